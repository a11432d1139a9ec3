// SPDX-License-Identifier: GPL-3.0-or-later
// Compares the layout tables with the DWARF of a real interpreter, one line per mismatch; with
// --dump prints the rows of a layouts/cp3XX.def for a version that has none yet.
//   layout_dwarf [--debug-root DIR] ELF MAJOR.MINOR.PATCH BUILD[+BUILD]
//   layout_dwarf [--debug-root DIR] --dump ELF [BIG_HEAD_ELF]
// BUILD: release, debug, trace-refs, free-threaded. ELF may be a detached .debug file, or have one
// in DIR/.build-id. Exit status: 0 all equal, 1 mismatches, 2 wrong use, 3 no DWARF of CPython.
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>

#include "cpython/layout.h"
#include "util/guard.h"

#define ABSENT UINT64_MAX

struct upstream_row {
    uint16_t version; // non-zero: opens a table
    uint16_t field;
    uint8_t first_patch;
    const char *upstream;
};

static const struct upstream_row upstream_rows[] = {
#define VERSION(major, minor) {(major) << 8 | (minor), PY_FIELD_COUNT, 0, NULL},
#define ROW_SINCE(patch, group, name, offset, big, upstream)                                       \
    {0, PY_##group##_##name, patch, upstream},
#define ROW(group, name, offset, big, upstream) ROW_SINCE(0, group, name, offset, big, upstream)
#include "cpython/versions.def"
#undef VERSION
#undef ROW
#undef ROW_SINCE
};

static const struct {
    const char *group, *name;
    uint8_t width;
} field_info[PY_FIELD_COUNT] = {
#define FIELD(group, name, width, comment) {#group, #name, width},
#include "cpython/layout_fields.def"
#undef FIELD
};

static const struct {
    uint8_t minor;
    const char *section, *name;
} debug_offsets[] = {
#define SIZE(minor, section, name) {minor, #section, #name},
#define OFFSET(minor, section, name, group, field) SIZE(minor, section, name)
#define SKIP(minor, section, name) SIZE(minor, section, name)
#include "cpython/debug_offsets.def"
#undef SIZE
#undef OFFSET
#undef SKIP
};

// --- The DWARF: complete structs by their tag or typedef name.

struct named_type {
    const char *name;
    Dwarf_Die die;
};

#define EXTENSIONS_MAX 4
static const char *extensions[EXTENSIONS_MAX]; // --extension, each: its structs are known, too
static size_t extension_count;
static void *types; // a tsearch tree of struct named_type, the first complete one of each name

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct named_type *)a)->name, ((const struct named_type *)b)->name);
}

// Through typedefs and qualifiers to a complete struct or union; false when it is anything else.
static bool to_struct(Dwarf_Die *die)
{
    for (int depth = 0; depth < 16; depth++) {
        int tag = dwarf_tag(die);
        if (tag == DW_TAG_structure_type || tag == DW_TAG_union_type)
            return !dwarf_hasattr(die, DW_AT_declaration);
        if (tag != DW_TAG_typedef && tag != DW_TAG_const_type && tag != DW_TAG_volatile_type &&
            tag != DW_TAG_atomic_type)
            return false;
        Dwarf_Attribute attr;
        if (!dwarf_attr(die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, die))
            return false;
    }
    return false;
}

static void remember_type(Dwarf_Die *die)
{
    const char *name = dwarf_diename(die);
    Dwarf_Die target = *die;
    if (!name || !to_struct(&target))
        return;
    struct named_type *type = malloc(sizeof(*type));
    if (!type)
        exit(2);
    *type = (struct named_type){name, target};
    struct named_type **found = tsearch(type, &types, compare_names);
    if (!found)
        exit(2);
    if (*found != type)
        free(type);
}

static void index_types(Dwarf *dwarf)
{
    Dwarf_CU *cu = NULL;
    Dwarf_Die unit, die;
    while (dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
        if (dwarf_child(&unit, &die) != 0)
            continue;
        do {
            int tag = dwarf_tag(&die);
            if (tag == DW_TAG_structure_type || tag == DW_TAG_typedef)
                remember_type(&die);
        } while (dwarf_siblingof(&die, &die) == 0);
    }
}

static uint64_t number(Dwarf_Die *die, unsigned name, uint64_t otherwise)
{
    Dwarf_Attribute attr;
    Dwarf_Word value;
    if (dwarf_attr_integrate(die, name, &attr) && dwarf_formudata(&attr, &value) == 0)
        return value;
    return otherwise;
}

static uint64_t type_size(Dwarf_Die *die)
{
    Dwarf_Attribute attr;
    Dwarf_Die type;
    Dwarf_Word size;
    if (dwarf_attr(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, &type) &&
        dwarf_aggregate_size(&type, &size) == 0)
        return size;
    return 0;
}

// Where a member starts within its struct, in bits. DWARF 4+ counts a bit-field from the start of
// the struct; before, DW_AT_bit_offset counted from the most significant bit of its storage.
static uint64_t member_bit(Dwarf_Die *member)
{
    uint64_t bit = number(member, DW_AT_data_member_location, 0) * 8;
    if (dwarf_hasattr(member, DW_AT_data_bit_offset))
        return number(member, DW_AT_data_bit_offset, 0);
    if (dwarf_hasattr(member, DW_AT_bit_offset)) {
        uint64_t storage = number(member, DW_AT_byte_size, type_size(member)) * 8;
        return bit + storage - number(member, DW_AT_bit_offset, 0) -
               number(member, DW_AT_bit_size, 0);
    }
    return bit;
}

// Finds `name` in the struct, also within members that have no name of their own.
static bool find_member(Dwarf_Die *type, const char *name, Dwarf_Die *ret, uint64_t *ret_bit)
{
    Dwarf_Die member, inner;
    if (dwarf_child(type, &member) != 0)
        return false;
    do {
        if (dwarf_tag(&member) != DW_TAG_member)
            continue;
        const char *own = dwarf_diename(&member);
        *ret_bit = member_bit(&member);
        if (own && strcmp(own, name) == 0) {
            *ret = member;
            return true;
        }
        Dwarf_Attribute attr;
        uint64_t outer = *ret_bit;
        if (!own && dwarf_attr(&member, DW_AT_type, &attr) && dwarf_formref_die(&attr, &inner) &&
            to_struct(&inner) && find_member(&inner, name, ret, ret_bit)) {
            *ret_bit += outer;
            return true;
        }
    } while (dwarf_siblingof(&member, &member) == 0);
    return false;
}

struct place {
    uint64_t bit;       // from the start of the outermost struct
    uint64_t inner_bit; // from the start of the struct right around the member
    uint64_t size;      // bytes
};

// "PyThreadState.exc_state.exc_value"
static bool resolve(const char *path, struct place *ret)
{
    AUTO_FREE char *copy = strdup(path);
    char *save = NULL;
    char *name = strtok_r(copy, ".", &save);
    struct named_type **type = tfind(&(struct named_type){.name = name}, &types, compare_names);
    if (!type)
        return false;
    Dwarf_Die die = (*type)->die, member;
    *ret = (struct place){.size = number(&die, DW_AT_byte_size, 0)};
    while ((name = strtok_r(NULL, ".", &save))) {
        Dwarf_Attribute attr;
        if (!to_struct(&die) || !find_member(&die, name, &member, &ret->inner_bit))
            return false;
        ret->bit += ret->inner_bit;
        ret->size = type_size(&member);
        if (!dwarf_attr(&member, DW_AT_type, &attr) || !dwarf_formref_die(&attr, &die))
            return false;
    }
    return true;
}

// What a row's upstream member is in this ELF; ABSENT when it has none.
static uint64_t upstream_value(const char *upstream, uint64_t *ret_size)
{
    char path[128];
    struct place place;
    *ret_size = 0;
    if (sscanf(upstream, "sizeof(%127[^)])", path) == 1)
        return resolve(path, &place) ? place.size : ABSENT;
    if (sscanf(upstream, "bit(%127[^)])", path) == 1)
        return resolve(path, &place) ? place.inner_bit : ABSENT;
    if (!resolve(upstream, &place))
        return ABSENT;
    *ret_size = place.size;
    return place.bit / 8;
}

// --- Opening.

// DIR/.build-id/ab/cdef....debug for an ELF whose debug sections were stripped.
static int open_detached(int fd, const char *debug_root)
{
    const uint8_t *id;
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    ssize_t length = elf ? dwelf_elf_gnu_build_id(elf, (const void **)&id) : 0;
    char path[512];
    int used = snprintf(path, sizeof(path), "%s/.build-id/", debug_root);
    for (ssize_t i = 0; i < length && used < 400; i++)
        used += snprintf(path + used, sizeof(path) - (size_t)used, i ? "%02x" : "%02x/", id[i]);
    snprintf(path + used, sizeof(path) - (size_t)used, ".debug");
    elf_end(elf);
    return length > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

// They stay open: the types point into them.
static Dwarf *opened[4];
static size_t opened_count;

static Dwarf *add_types(const char *path, const char *debug_root)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Dwarf *dwarf = dwarf_begin(fd, DWARF_C_READ);
    if (!dwarf && debug_root)
        dwarf = dwarf_begin(open_detached(fd, debug_root), DWARF_C_READ);
    if (dwarf)
        index_types(dwarf);
    if (dwarf && opened_count < ARRAY_SIZE(opened))
        opened[opened_count++] = dwarf;
    return dwarf;
}

static void load_types(const char *path, const char *debug_root)
{
    tdestroy(types, free);
    types = NULL;
    elf_version(EV_CURRENT);
    Dwarf *dwarf = add_types(path, debug_root);
    for (size_t i = 0; i < extension_count; i++)
        add_types(extensions[i], debug_root);
    if (dwarf && tfind(&(struct named_type){.name = "PyThreadState"}, &types, compare_names))
        return;
    fprintf(stderr, "%s: no DWARF of CPython\n", path);
    exit(3);
}

// --- The two jobs.

static const char *upstream_of(uint16_t version, uint8_t patch, uint16_t field)
{
    const char *upstream = NULL;
    uint16_t in = 0;
    for (size_t i = 0; i < ARRAY_SIZE(upstream_rows); i++) {
        const struct upstream_row *row = &upstream_rows[i];
        if (row->version)
            in = row->version;
        else if (in == version && row->field == field && row->first_patch <= patch)
            upstream = row->upstream;
    }
    return upstream;
}

static unsigned check_rows(const struct py_layout *layout, unsigned *ret_checked)
{
    unsigned bad = 0;
    *ret_checked = 0;
    for (uint16_t field = 0; field < PY_FIELD_COUNT; field++) {
        if (!py_layout_has(layout, field))
            continue;
        const char *upstream = upstream_of(layout->version, layout->patch, field);
        uint64_t size, value = upstream_value(upstream, &size);
        uint8_t width = field_info[field].width;
        ++*ret_checked;
        if (value == ABSENT)
            printf("%s: no %s in the DWARF\n", py_field_name(field), upstream), bad++;
        else if (value != py_offset(layout, field))
            printf("%s: table %u, DWARF %lu (%s)\n", py_field_name(field),
                   py_offset(layout, field), (unsigned long)value, upstream), bad++;
        else if (width && size != width)
            printf("%s: %u bytes wide, DWARF %lu (%s)\n", py_field_name(field), width,
                   (unsigned long)size, upstream), bad++;
    }
    return bad;
}

// debug_offsets.def gives an order; here it meets the positions.
static unsigned check_debug_offsets(uint8_t minor, unsigned *checked)
{
    unsigned bad = 0;
    uint64_t expected = 8, size; // behind the cookie
    for (size_t i = 0; minor >= 13 && i < ARRAY_SIZE(debug_offsets); i++) {
        char path[128];
        bool head = strcmp(debug_offsets[i].section, "head") == 0;
        snprintf(path, sizeof(path), "_Py_DebugOffsets.%s%s%s",
                 head ? "" : debug_offsets[i].section, head ? "" : ".", debug_offsets[i].name);
        uint64_t value = upstream_value(path, &size);
        bool has = debug_offsets[i].minor <= minor;
        ++*checked;
        if (value != (has ? expected : ABSENT))
            printf("%s: table %ld, DWARF %ld\n", path, has ? (long)expected : -1, (long)value),
                bad++;
        expected += has ? 8 : 0;
    }
    uint64_t total = upstream_value("sizeof(_Py_DebugOffsets)", &size);
    if (minor >= 13 && total != expected)
        printf("sizeof(_Py_DebugOffsets): table %lu, DWARF %ld\n", (unsigned long)expected,
               (long)total), bad++;
    return bad;
}

static int check(const char *version, char *builds)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } names[] = {{"release", PY_BUILD_RELEASE},
                 {"debug", PY_BUILD_DEBUG},
                 {"trace-refs", PY_BUILD_TRACE_REFS},
                 {"free-threaded", PY_BUILD_FREE_THREADED}};
    unsigned major, minor, patch;
    uint8_t build = 0;
    if (sscanf(version, "%u.%u.%u", &major, &minor, &patch) != 3)
        return 2;
    char *save = NULL;
    for (char *name = strtok_r(builds, "+", &save); name; name = strtok_r(NULL, "+", &save)) {
        size_t i = 0;
        while (i < ARRAY_SIZE(names) && strcmp(names[i].name, name) != 0)
            i++;
        if (i == ARRAY_SIZE(names))
            return 2;
        build |= names[i].bit;
    }
    struct py_layout layout;
    struct err *err = py_layout_static((uint16_t)(major << 8 | minor), (uint8_t)patch, build,
                                       &layout);
    if (err) {
        fprintf(stderr, "%s\n", err_message(err));
        err_destroy(err);
        return 2;
    }
    unsigned checked, bad = check_rows(&layout, &checked);
    bad += check_debug_offsets((uint8_t)minor, &checked);
    printf("# %u checked, %u mismatches\n", checked, bad);
    return bad ? 1 : 0;
}

static void collect(uint64_t *values)
{
    size_t count;
    const uint16_t *versions = py_layout_versions(&count);
    for (uint16_t field = 0; field < PY_FIELD_COUNT; field++) {
        const char *upstream = upstream_of(versions[count - 1], UINT8_MAX, field);
        uint64_t size;
        values[field] = upstream ? upstream_value(upstream, &size) : ABSENT;
    }
}

// The newest table's members, with this ELF's offsets.
static int dump(const char *elf, const char *big_elf, const char *debug_root)
{
    uint64_t plain[PY_FIELD_COUNT], big[PY_FIELD_COUNT];
    load_types(elf, debug_root);
    collect(plain);
    load_types(big_elf ? big_elf : elf, debug_root);
    collect(big);
    size_t count;
    const uint16_t *versions = py_layout_versions(&count);
    const char *group = NULL;
    for (uint16_t field = 0; field < PY_FIELD_COUNT; field++) {
        const char *upstream = upstream_of(versions[count - 1], UINT8_MAX, field);
        if (!upstream)
            continue;
        if (!group || strcmp(group, field_info[field].group) != 0)
            printf("\n");
        group = field_info[field].group;
        char cells[2][24], head[64];
        const uint64_t values[2] = {plain[field], big_elf ? big[field] : ABSENT};
        for (int i = 0; i < 2; i++)
            snprintf(cells[i], sizeof(cells[i]), values[i] == ABSENT ? "NO" : "%lu",
                     (unsigned long)values[i]);
        bool gone = values[0] == ABSENT && values[1] == ABSENT;
        snprintf(head, sizeof(head), "ROW(%s, %s,", group, field_info[field].name);
        printf("%s%-29s %4s, %4s, \"%s\")\n", gone ? "// not found: " : "", head, cells[0], cells[1],
               upstream);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *debug_root = NULL;
    int at = 1;
    for (; argc - at > 2; at += 2) {
        if (strcmp(argv[at], "--debug-root") == 0)
            debug_root = argv[at + 1];
        else if (strcmp(argv[at], "--extension") == 0 && extension_count < EXTENSIONS_MAX)
            extensions[extension_count++] = argv[at + 1];
        else
            break;
    }
    if (argc - at >= 2 && strcmp(argv[at], "--dump") == 0)
        return dump(argv[at + 1], argv[at + 2], debug_root);
    int status = 2;
    if (argc - at == 3) {
        load_types(argv[at], debug_root);
        status = check(argv[at + 1], argv[at + 2]);
    }
    if (status == 2)
        fprintf(stderr, "use: layout_dwarf [OPTIONS] ELF MAJOR.MINOR.PATCH BUILD[+BUILD]\n"
                        "     layout_dwarf [OPTIONS] --dump ELF [BIG_HEAD_ELF]\n"
                        "options: --debug-root DIR; --extension ELF\n");
    return status;
}
