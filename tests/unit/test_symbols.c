// SPDX-License-Identifier: GPL-3.0-or-later
// From addresses to names and lines: programs of C, C++, Rust and assembly are compiled, stripped in
// several ways, and what is said of their addresses is held against nm, c++filt and addr2line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elfutils/libdwelf.h>

#include "core_builder.h"
#include "image/demangle.h"
#include "image/elf.h"
#include "image/image_private.h"
#include "image/spans.h"
#include "image/symbols.h"
#include "target/live.h"
#include "util/guard.h"
#include "util/strtab.h"

#define BASE 0x7f0000000000ull
#define MODULE_BYTES (64ull << 20)

// ---- Code registered for debuggers (gdb manual, "JIT Interface") ---------------------------------

struct jit_code_entry {
    struct jit_code_entry *next_entry, *prev_entry;
    const void *symfile_addr;
    uint64_t symfile_size;
};

struct jit_descriptor {
    uint32_t version, action_flag;
    struct jit_code_entry *relevant_entry, *first_entry;
};

extern struct jit_descriptor __jit_debug_descriptor;
struct jit_descriptor __jit_debug_descriptor = {1, 0, NULL, NULL};

// ---- Programs -----------------------------------------------------------------------------------

static const char c_source[] =
    "#include <stdlib.h>\n"
    "static int counter;\n"
    "static inline __attribute__((always_inline)) int innermost(int x)\n"
    "{\n"
    "    counter += x;\n"
    "    return abs(counter) * 3;\n"
    "}\n"
    "static inline __attribute__((always_inline)) int middle(int x)\n"
    "{\n"
    "    if (x > 3)\n"
    "        return innermost(x + 1);\n"
    "    return innermost(x - 1) + rand();\n"
    "}\n"
    "__attribute__((noinline)) static int local_function(int x)\n"
    "{\n"
    "    return middle(x) + 1;\n"
    "}\n"
    "__attribute__((noinline)) int outer_function(int x)\n"
    "{\n"
    "    int sum = 0;\n"
    "    for (int i = 0; i < x; i++)\n"
    "        sum += middle(i) ^ local_function(i);\n"
    "    if (sum == 12345)\n"
    "        abort();\n"
    "    return sum;\n"
    "}\n"
    "__attribute__((noinline, cold)) void cold_function(void)\n"
    "{\n"
    "    rand();\n"
    "}\n"
    "int global_name(int x) { return x * counter; }\n"
    "int weak_name(int x) __attribute__((weak, alias(\"global_name\")));\n"
    "int __reserved_name(int x) __attribute__((alias(\"global_name\")));\n"
    "static int (*choose(void))(int) { return global_name; }\n"
    "int chosen(int x) __attribute__((ifunc(\"choose\")));\n";

static const char cxx_source[] =
    "#include <map>\n"
    "#include <stdexcept>\n"
    "#include <string>\n"
    "#include <vector>\n"
    "namespace outer { namespace {\n"
    "template <typename T> struct box {\n"
    "    T value;\n"
    "    __attribute__((noinline)) T get(const std::string &why) const {\n"
    "        if (why.empty()) throw std::runtime_error(\"empty\");\n"
    "        return value;\n"
    "    }\n"
    "    bool operator<(const box &other) const { return value < other.value; }\n"
    "};\n"
    "}\n"
    "int sum(const std::vector<int> &items, const std::map<std::string, int> &names)\n"
    "{\n"
    "    box<int> here{3};\n"
    "    int total = here.get(\"x\");\n"
    "    for (int item : items)\n"
    "        total += [&](int y) { return y * total; }(item);\n"
    "    for (const auto &name : names)\n"
    "        total += (int)name.first.size() + name.second;\n"
    "    return total;\n"
    "}\n"
    "}\n"
    "extern \"C\" int plain_name(int x) {\n"
    "    try { return outer::sum({x, 1}, {{\"a\", x}}); } catch (const std::exception &) { return "
    "0; }\n"
    "}\n";

static const char rust_source[] =
    "pub mod shapes {\n"
    "    pub trait Area { fn area(&self) -> u64; }\n"
    "    pub struct Square<T>(pub T);\n"
    "    impl Area for Square<u32> {\n"
    "        #[inline(never)]\n"
    "        fn area(&self) -> u64 { self.0 as u64 * self.0 as u64 }\n"
    "    }\n"
    "}\n"
    "#[inline(never)]\n"
    "pub fn total(shapes: &[Box<dyn shapes::Area>]) -> u64 {\n"
    "    shapes.iter().map(|shape| shape.area()).fold(0, |a, b| a.wrapping_add(b))\n"
    "}\n"
    "#[no_mangle]\n"
    "pub extern \"C\" fn rust_entry(x: u32) -> u64 {\n"
    "    let mut all: Vec<Box<dyn shapes::Area>> = Vec::new();\n"
    "    for i in 0..x { all.push(Box::new(shapes::Square(i))); }\n"
    "    total(&all)\n"
    "}\n";

static const char asm_source[] = ".text\n"
                                 ".globl first_label\n"
                                 "first_label:\n"
                                 "    nop\n    nop\n    nop\n    nop\n"
                                 "second_label:\n"
                                 "    nop\n    nop\n"
                                 ".type sized_function, @function\n"
                                 ".globl sized_function\n"
                                 "sized_function:\n"
                                 "    nop\n    nop\n"
                                 "label_within:\n"
                                 "    nop\n    nop\n"
                                 ".size sized_function, 4\n"
                                 "    .zero 4\n" // a gap
                                 ".type inner_function, @function\n"
                                 ".type around_function, @function\n"
                                 "around_function:\n"
                                 "    nop\n    nop\n"
                                 "inner_function:\n"
                                 "    nop\n    nop\n"
                                 ".size inner_function, 2\n"
                                 "    nop\n    nop\n"
                                 ".size around_function, 6\n"
                                 "last_label:\n"
                                 "    nop\n    nop\n    nop\n"
                                 ".section .note.GNU-stack,\"\",@progbits\n";

static bool run(const char *format, ...) __attribute__((format(printf, 1, 2)));

// In the test's folder; what the command says goes to a file there.
static bool run(const char *format, ...)
{
    char command[2048];
    int size = snprintf(command, sizeof(command), "cd '%s' && { ", test_dir);
    va_list args;
    va_start(args, format);
    size += vsnprintf(command + size, sizeof(command) - (size_t)size, format, args);
    va_end(args);
    snprintf(command + size, sizeof(command) - (size_t)size, "; } > command.log 2>&1 < /dev/null");
    return system(command) == 0;
}

static void need(const char *tool)
{
    if (run("command -v %s", tool))
        return;
    print_message("no %s\n", tool);
    skip();
}

static void compile(const char *compiler, const char *flags, const char *source_name,
                    const char *source, const char *ret_name)
{
    char tool[64];
    snprintf(tool, sizeof(tool), "%s", compiler);
    need(tool);
    write_file(test_path(source_name), source, strlen(source));
    if (run("%s %s -o %s %s", compiler, flags, ret_name, source_name))
        return;
    run("cat command.log");
    print_message("%s %s cannot compile %s\n", compiler, flags, source_name);
    skip();
}

// ---- A module without a process -----------------------------------------------------------------

struct scene {
    struct target target;
    struct image image;
    struct image_module *module;
    uint8_t *bytes; // of the file, when it is to be seen in memory
    size_t size;
};

static void set_build_id(struct scene *scene, const char *path)
{
    struct image_file file;
    struct image_place place = {NULL, (char *)path};
    const void *id;
    if (!image_file_open(&place, &file))
        return;
    ssize_t bytes = dwelf_elf_gnu_build_id(file.elf, &id);
    if (bytes > 0 && bytes <= 64) {
        memcpy(scene->module->public.build_id, id, (size_t)bytes);
        scene->module->public.build_id_bytes = (size_t)bytes;
    }
    image_file_close(&file);
}

static struct scene *open_scene(const char *name, const char *debug_dir)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    struct image_module *module = calloc(1, sizeof(*module));
    assert_non_null(scene);
    assert_non_null(module);
    scene->target.kind = TARGET_CORE;
    scene->target.mem = mem_create();
    scene->image.target = &scene->target;
    scene->image.debug_dir = debug_dir ? strdup(debug_dir) : NULL;
    scene->module = module;
    module->image = &scene->image;
    module->file.fd = -1;
    module->public.path = strdup(test_path(name));
    module->public.file = strdup(test_path(name));
    module->place.path = strdup(test_path(name));
    module->public.start = module->public.bias = BASE;
    module->public.end = BASE + MODULE_BYTES;
    module->public.file_state = MODULE_FILE_VERIFIED;
    assert_int_equal(stat(module->place.path, &module->identity), 0);
    set_build_id(scene, module->place.path);
    struct image_file file;
    if (image_file_open(&module->place, &file)) {
        elf_headers_from_file(&file, &module->headers);
        image_file_close(&file);
    }
    return scene;
}

static void close_scene(struct scene *scene)
{
    image_module_destroy(scene->module);
    strtab_destroy(scene->image.names);
    free(scene->image.debug_dir);
    mem_destroy(scene->target.mem);
    free(scene->bytes);
    free(scene);
}

static bool symbol_at(struct scene *scene, uint64_t addr, struct image_symbol *ret)
{
    return image_symbol_at(&scene->image, &scene->module->public, BASE + addr, ret);
}

static void check_name(struct scene *scene, uint64_t addr, const char *want)
{
    struct image_symbol symbol;
    bool found = symbol_at(scene, addr, &symbol);
    if (!found && want)
        print_message("%#llx: nothing, not %s\n", (unsigned long long)addr, want);
    assert_int_equal(found, want != NULL);
    if (want)
        assert_string_equal(symbol.name, want);
}

// ---- nm -----------------------------------------------------------------------------------------

struct nm_row {
    unsigned long long addr, size;
    char type;
    char name[1000];
};

static size_t read_nm(const char *options, const char *file, struct nm_row **ret)
{
    VEC(struct nm_row) rows = {0};
    assert_true(run("nm -n -S --defined-only %s %s > nm.txt", options, file));
    AUTO_FCLOSE FILE *lines = fopen(test_path("nm.txt"), "r");
    AUTO_FREE char *line = NULL;
    size_t capacity = 0;
    assert_non_null(lines);
    while (getline(&line, &capacity, lines) > 0) {
        struct nm_row row = {0};
        // Symbols without a size have no second column.
        if ((sscanf(line, "%llx %llx %c %999[^\n]", &row.addr, &row.size, &row.type, row.name) !=
                 4 &&
             (row.size = 0,
              sscanf(line, "%llx %c %999[^\n]", &row.addr, &row.type, row.name) != 3)) ||
            !strchr("tTwWi", row.type))
            continue;
        char *version = strchr(row.name, '@');
        if (version)
            *version = '\0';
        assert_true(vec_push(&rows, row));
    }
    *ret = rows.items;
    return rows.count;
}

static uint64_t addr_of(const char *file, const char *name)
{
    struct nm_row *rows;
    size_t count = read_nm("", file, &rows);
    uint64_t addr = 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].name, name) == 0)
            addr = rows[i].addr;
    free(rows);
    if (!addr)
        print_message("nm has no %s in %s\n", name, file);
    assert_true(addr);
    return addr;
}

static size_t hash_bytes_at(const char *text, const char *before, const char *after)
{
    size_t lead = strlen(before), digits;
    if (strncmp(text, before, lead) != 0)
        return 0;
    digits = strspn(text + lead, "0123456789abcdef");
    return digits >= 12 && strncmp(text + lead + digits, after, strlen(after)) == 0
               ? lead + digits + strlen(after)
               : 0;
}

// The tools keep the hashes of Rust's names: "::h0123456789abcdef" and "core[0123456789abcdef]".
static void drop_hash(char *name)
{
    char *to = name;
    for (const char *from = name; *from;) {
        size_t skipped = hash_bytes_at(from, "::h", "");
        skipped += hash_bytes_at(from, "[", "]");
        from += skipped;
        if (!skipped)
            *to++ = *from++;
    }
    *to = '\0';
}

// Every function that nm knows, at its first and its last byte, and what lies behind it.
static size_t check_against_nm(struct scene *scene, const char *options, const char *file)
{
    struct nm_row *rows;
    size_t count = read_nm(options, file, &rows), checked = 0;
    for (size_t i = 0; i < count; i++) {
        struct image_symbol symbol = {0};
        bool named = false;
        if (rows[i].size == 0)
            continue;
        for (uint64_t at = rows[i].addr;
             at<rows[i].addr + rows[i].size; at += rows[i].size> 1 ? rows[i].size - 1 : 1) {
            if (!symbol_at(scene, at, &symbol) || symbol.start != BASE + rows[i].addr)
                print_message("%s at %#llx: %s\n", rows[i].name, (unsigned long long)at,
                              symbol.raw_name ? symbol.raw_name : "nothing");
            assert_true(symbol_at(scene, at, &symbol));
            assert_int_equal(symbol.start, BASE + rows[i].addr);
        }
        uint64_t end = rows[i].addr + rows[i].size;
        bool covered = false;
        for (size_t j = 0; j < count; j++) {
            named |= rows[j].addr == rows[i].addr && strcmp(rows[j].name, symbol.raw_name) == 0;
            covered |=
                rows[j].addr <= end && (rows[j].size == 0 || end < rows[j].addr + rows[j].size);
        }
        if (!named)
            print_message("%s is called %s\n", rows[i].name, symbol.raw_name);
        assert_true(named);
        if (!covered && symbol_at(scene, end, &symbol))
            print_message("behind %s: %s\n", rows[i].name, symbol.raw_name);
        assert_true(covered || !symbol_at(scene, end, &symbol));
        checked++;
    }
    free(rows);
    return checked;
}

// Demangled names, in one go through c++filt.
static size_t check_against_filter(struct scene *scene, const char *file)
{
    struct nm_row *rows;
    size_t count = read_nm("", file, &rows), checked = 0;
    assert_true(run("awk '$(NF - 1) ~ /^[tTwWi]$/ "
                    "{ sub(/@.*/, \"\", $NF); print $NF }' nm.txt | c++filt -i > filtered.txt"));
    AUTO_FCLOSE FILE *lines = fopen(test_path("filtered.txt"), "r");
    AUTO_FREE char *line = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < count && getline(&line, &capacity, lines) > 0; i++) {
        struct image_symbol symbol;
        line[strcspn(line, "\n")] = '\0';
        drop_hash(line);
        if (!symbol_at(scene, rows[i].addr, &symbol) || strcmp(symbol.raw_name, rows[i].name) != 0)
            continue;
        assert_string_equal(symbol.name, line);
        checked += strcmp(symbol.name, symbol.raw_name) != 0;
    }
    free(rows);
    return checked;
}

// ---- addr2line ----------------------------------------------------------------------------------

static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path ? path : "?";
}

// "function, file:line, function, file:line, ...", innermost first, as addr2line -fip has it.
static void tell(struct scene *scene, uint64_t addr, char *ret, size_t size)
{
    struct image_location locations[32];
    struct image_symbol symbol;
    size_t count = image_locations(&scene->image, &scene->module->public, BASE + addr, locations,
                                   ARRAY_SIZE(locations));
    size_t used = 0;
    *ret = '\0';
    for (size_t i = 0; i < count && used < size; i++) {
        const char *name = locations[i].function;
        assert_int_equal(locations[i].inlined, i + 1 < count);
        assert_int_equal(name == NULL, i + 1 == count);
        if (!name)
            name = symbol_at(scene, addr, &symbol) ? symbol.name : "??";
        used += (size_t)snprintf(ret + used, size - used, "%s|%s:%d\n", name,
                                 base_name(locations[i].file),
                                 locations[i].line < 0 ? 0 : locations[i].line);
    }
}

// What addr2line -a says of one address; *at is then at the next one.
static void read_answer(char **at, uint64_t addr, char *ret, size_t size)
{
    size_t used = 0;
    *ret = '\0';
    assert_int_equal(strtoull(strsep(at, "\n"), NULL, 16), addr);
    while (*at && **at && strncmp(*at, "0x", 2) != 0) {
        char *function = strsep(at, "\n"), *place = strsep(at, "\n");
        char *colon = strrchr(place, ':');
        assert_non_null(colon);
        *colon = '\0';
        drop_hash(function);
        if (used < size)
            used += (size_t)snprintf(ret + used, size - used, "%s|%s:%d\n", function,
                                     strcmp(place, "??") ? base_name(place) : "?", atoi(colon + 1));
    }
}

// addr2line's own names of functions are those of DWARF, without arguments for the outermost:
// only the lines are compared there. `ret_inlined` counts the addresses with inlined calls.
static bool same_answers(const char *ours, const char *theirs)
{
    while (*ours && *theirs) {
        const char *our_end = strchr(ours, '\n'), *their_end = strchr(theirs, '\n');
        bool last = !our_end[1] && !their_end[1];
        const char *our_place = memrchr(ours, '|', (size_t)(our_end - ours));
        const char *their_place = memrchr(theirs, '|', (size_t)(their_end - theirs));
        if (last) {
            ours = our_place;
            theirs = their_place;
        }
        if (our_end - ours != their_end - theirs ||
            memcmp(ours, theirs, (size_t)(our_end - ours)) != 0)
            return false;
        ours = our_end + 1;
        theirs = their_end + 1;
    }
    return *ours == *theirs;
}

struct line_counts {
    size_t asked, same, inlined;
};

static struct line_counts check_against_addr2line(struct scene *scene, const char *file, int step)
{
    struct line_counts counts = {0};
    struct nm_row *rows;
    VEC(uint64_t) addrs = {0};
    need("addr2line");
    size_t count = read_nm("", file, &rows);
    FILE *list = fopen(test_path("addrs.txt"), "w");
    for (size_t i = 0; i < count; i++)
        for (uint64_t at = rows[i].addr; at < rows[i].addr + rows[i].size; at += (uint64_t)step) {
            fprintf(list, "%#llx\n", (unsigned long long)at);
            assert_true(vec_push(&addrs, at));
        }
    free(rows);
    fclose(list);
    assert_true(run("addr2line -a -f -i -C -e %s < addrs.txt > answers.txt", file));
    size_t size;
    AUTO_FREE char *answers = (char *)read_whole(test_path("answers.txt"), &size);
    answers[size] = '\0';
    char *answer = answers;
    vec_foreach (addr, &addrs) {
        static char ours[1 << 17], theirs[1 << 17];
        tell(scene, *addr, ours, sizeof(ours));
        read_answer(&answer, *addr, theirs, sizeof(theirs));
        // Without DWARF addr2line still has the symbol.
        size_t said = strlen(theirs);
        if (!*ours && said > 3 && strcmp(theirs + said - 3, ":0\n") == 0)
            continue;
        counts.asked++;
        counts.inlined += *ours && strchr(ours, '\n')[1] != '\0';
        if (same_answers(ours, theirs))
            counts.same++;
        else if (counts.asked - counts.same <= 5)
            print_message("%#llx\n%s--- addr2line\n%s\n", (unsigned long long)*addr, ours, theirs);
    }
    vec_deinit(&addrs);
    print_message("%s: %zu addresses, %zu told alike, %zu with inlined calls\n", file, counts.asked,
                  counts.same, counts.inlined);
    return counts;
}

// ---- Tests --------------------------------------------------------------------------------------

static void test_spans(void **state)
{
    (void)state;
    static const struct image_span given[] = {
        {100, 200, 1}, {10, 20, 2},   {120, 150, 3},
        {130, 140, 4}, {145, 260, 5}, {100, 110, 6},
        {300, 300, 7}, {250, 255, 8}, {1ull << 63, UINT64_MAX, 9},
    };
    struct image_spans spans = {0};
    for (size_t i = 0; i < ARRAY_SIZE(given); i++)
        assert_true(image_spans_add(&spans, given[i].start, given[i].end, given[i].value));
    assert_true(image_spans_sort(&spans) && image_spans_flatten(&spans));
    for (uint64_t at = 0; at < 320; at++) {
        // The last to start has it; of those that start together, the last one given.
        const struct image_span *want = NULL, *got = image_spans_find(&spans, at);
        for (size_t i = 0; i < ARRAY_SIZE(given); i++)
            if (at >= given[i].start && at < given[i].end &&
                (!want || given[i].start >= want->start))
                want = &given[i];
        assert_int_equal(got ? got->value : 0, want ? want->value : 0);
    }
    assert_int_equal(image_spans_find(&spans, UINT64_MAX - 1)->value, 9);
    assert_null(image_spans_find(&spans, UINT64_MAX));
    vec_deinit(&spans);
    assert_true(image_spans_sort(&spans) && image_spans_flatten(&spans));
    assert_null(image_spans_find(&spans, 0));
}

static void test_c(void **state)
{
    (void)state;
    compile("gcc", "-g -O2 -shared -fPIC", "code.c", c_source, "code.so");
    struct scene *scene = open_scene("code.so", NULL);
    assert_true(check_against_nm(scene, "", "code.so") >= 5);
    check_name(scene, addr_of("code.so", "local_function") + 1, "local_function");
    // A global name, and not one that is reserved, of the three of one address.
    check_name(scene, addr_of("code.so", "global_name"), "global_name");
    check_name(scene, addr_of("code.so", "chosen"), "chosen");
    check_name(scene, addr_of("code.so", "cold_function"), "cold_function");
    check_name(scene, 0, NULL);
    struct image_symbol symbol;
    assert_false(symbol_at(scene, UINT64_MAX - BASE, &symbol)); // not of this module
    assert_false(symbol_at(scene, MODULE_BYTES, &symbol));
    scene->module->public.end = BASE + addr_of("code.so", "global_name");
    assert_false(symbol_at(scene, addr_of("code.so", "global_name"), &symbol));
    scene->module->public.end = BASE + MODULE_BYTES;
    struct line_counts counts = check_against_addr2line(scene, "code.so", 1);
    assert_true(counts.inlined > 10);
    assert_int_equal(counts.same, counts.asked);
    // Absolute, though the compiler was told a relative name.
    struct image_location location;
    uint64_t addr = BASE + addr_of("code.so", "cold_function");
    assert_int_equal(image_locations(&scene->image, &scene->module->public, addr, &location, 1), 1);
    assert_string_equal(location.file, test_path("code.c"));
    assert_int_equal(image_locations(&scene->image, &scene->module->public, addr, NULL, 0), 0);
    // No more than asked for: some address has three calls.
    size_t deepest = 0;
    for (addr = BASE + addr_of("code.so", "outer_function"); deepest < 3; addr++) {
        struct image_location all[8], few[3] = {{.line = -7}, {.line = -7}, {.line = -7}};
        deepest = image_locations(&scene->image, &scene->module->public, addr, all, 8);
        if (deepest < 3)
            continue;
        assert_int_equal(image_locations(&scene->image, &scene->module->public, addr, few, 2), 2);
        assert_int_equal(few[1].line, all[1].line);
        assert_int_equal(few[2].line, -7);
    }
    close_scene(scene);
}

static void check_language(const char *file, int step, size_t names, size_t inlined)
{
    struct scene *scene = open_scene(file, NULL);
    need("c++filt");
    assert_true(check_against_nm(scene, "", file) > 5);
    size_t demangled = check_against_filter(scene, file);
    print_message("%s: %zu demangled names as c++filt has them\n", file, demangled);
    assert_true(demangled >= names);
    struct line_counts counts = check_against_addr2line(scene, file, step);
    assert_true(counts.inlined >= inlined);
    assert_true(counts.same * 100 >= counts.asked * 99);
    close_scene(scene);
}

static void test_cxx(void **state)
{
    (void)state;
    compile("g++", "-g -O2 -shared -fPIC", "code.cc", cxx_source, "cxx.so");
    check_language("cxx.so", 1, 5, 100);
}

static void test_rust(void **state)
{
    (void)state;
    compile("rustc", "-g -O --crate-type=cdylib", "code.rs", rust_source, "rust.so");
    check_language("rust.so", 97, 100, 100);
    compile("rustc", "-g -O --crate-type=cdylib -C symbol-mangling-version=v0", "code.rs",
            rust_source, "rust.so");
    check_language("rust.so", 97, 100, 100);
}

// clang leaves .debug_aranges out. binutils 2.40 misses inlined calls in its DWARF 5, so that this
// is held against the same code with DWARF 4.
static void test_clang(void **state)
{
    (void)state;
    compile("clang", "-gdwarf-5 -O2 -shared -fPIC", "code.c", c_source, "five.so");
    compile("clang", "-gdwarf-4 -O2 -shared -fPIC", "code.c", c_source, "four.so");
    need("readelf");
    assert_false(run("readelf -SW four.so five.so | grep debug_aranges"));
    struct scene *four = open_scene("four.so", NULL), *five = open_scene("five.so", NULL);
    assert_true(check_against_nm(four, "", "four.so") >= 5);
    struct line_counts counts = check_against_addr2line(four, "four.so", 1);
    assert_true(counts.inlined > 10);
    assert_int_equal(counts.same, counts.asked);
    if (addr_of("four.so", "outer_function") == addr_of("five.so", "outer_function")) {
        for (uint64_t at = 0; at < 0x3000; at++) {
            static char four_said[1 << 17], five_said[1 << 17];
            tell(four, at, four_said, sizeof(four_said));
            tell(five, at, five_said, sizeof(five_said));
            assert_string_equal(four_said, five_said);
        }
    }
    close_scene(four);
    close_scene(five);
}

static void test_labels(void **state)
{
    (void)state;
    compile("gcc", "-shared -nostdlib", "code.s", asm_source, "asm.so");
    struct scene *scene = open_scene("asm.so", NULL);
    uint64_t text = addr_of("asm.so", "sized_function") - 6;
    static const char *const want[] = {
        "first_label",
        "first_label",
        "first_label",
        "first_label",
        "second_label",
        "second_label",
        "sized_function",
        "sized_function",
        "sized_function",
        "sized_function",
        NULL,
        NULL,
        NULL,
        NULL,
        "around_function",
        "around_function",
        "inner_function",
        "inner_function",
        "around_function",
        "around_function",
        "last_label",
        "last_label",
        "last_label",
        NULL,
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        check_name(scene, text + i, want[i]);
    close_scene(scene);
}

// Stubs have the names that objdump has for them, in the layouts that linkers make.
static void test_plt(void **state)
{
    (void)state;
    static const char *const flags[] = {
        "-O2 -shared -fPIC -Wl,-z,lazy -fcf-protection=none",
        "-O2 -shared -fPIC -Wl,-z,lazy -Wl,-z,ibtplt -fcf-protection=full",
        "-O2 -shared -fPIC -Wl,-z,now -fcf-protection=full",
    };
    need("objdump");
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        compile("g++", flags[i], "code.cc", cxx_source, "plt.so");
        assert_true(run("strip plt.so && objdump -d plt.so | "
                        "sed -n 's/^\\([0-9a-f]*\\) <\\(.*@plt\\)>:$/\\1 \\2/p' > stubs.txt"));
        AUTO_FCLOSE FILE *stubs = fopen(test_path("stubs.txt"), "r");
        struct scene *scene = open_scene("plt.so", NULL);
        unsigned long long addr;
        char name[512];
        size_t checked = 0;
        while (fscanf(stubs, "%llx %511s", &addr, name) == 2) {
            struct image_symbol symbol;
            if (!symbol_at(scene, addr + 3, &symbol))
                print_message("%s at %#llx: nothing\n", name, addr);
            assert_true(symbol_at(scene, addr + 3, &symbol));
            assert_string_equal(symbol.raw_name, name);
            assert_int_equal(symbol.start, BASE + addr);
            size_t size = strlen(symbol.name);
            assert_true(size > 4 && strcmp(symbol.name + size - 4, "@plt") == 0);
            assert_true(strncmp(name, "_ZN", 3) != 0 || strstr(symbol.name, "::"));
            checked++;
        }
        print_message("%s: %zu stubs\n", flags[i], checked);
        assert_true(checked > 5);
        close_scene(scene);
    }
}

// The same library in three states of stripping.
static void test_stripped(void **state)
{
    (void)state;
    compile("gcc", "-g -O2 -shared -fPIC -Wl,--build-id", "code.c", c_source, "code.so");
    need("objcopy");
    assert_true(run("objcopy --strip-all code.so bare.so"));
    uint64_t local = addr_of("code.so", "local_function");
    struct scene *scene = open_scene("bare.so", NULL);
    assert_true(check_against_nm(scene, "-D", "code.so") >= 3);
    check_name(scene, local, NULL);
    struct image_location location;
    assert_int_equal(
        image_locations(&scene->image, &scene->module->public, BASE + local, &location, 1), 0);
    close_scene(scene);

    // By build ID below --debug-dir.
    assert_true(run("objcopy --only-keep-debug code.so code.debug"));
    scene = open_scene("bare.so", NULL);
    char id[129], folder[8] = "";
    module_build_id_text(&scene->module->public, id);
    close_scene(scene);
    assert_true(strlen(id) > 2);
    memcpy(folder, id, 2);
    assert_true(run("mkdir -p debug/.build-id/%s && mv code.debug debug/.build-id/%s/%s.debug",
                    folder, folder, id + 2));
    scene = open_scene("bare.so", test_path("debug"));
    assert_true(check_against_nm(scene, "", "code.so") >= 5);
    check_name(scene, local, "local_function");
    struct line_counts counts = check_against_addr2line(scene, "code.so", 1);
    assert_true(counts.inlined > 10);
    assert_int_equal(counts.same, counts.asked);
    close_scene(scene);

    // By name and checksum, beside the stripped file.
    compile("gcc", "-g -O2 -shared -fPIC -Wl,--build-id=none", "code.c", c_source, "code.so");
    assert_true(run("objcopy --only-keep-debug code.so code.debug && "
                    "objcopy --strip-all --add-gnu-debuglink=code.debug code.so linked.so"));
    scene = open_scene("linked.so", NULL);
    assert_true(check_against_nm(scene, "", "code.so") >= 5);
    counts = check_against_addr2line(scene, "code.so", 1);
    assert_true(counts.inlined > 10);
    assert_int_equal(counts.same, counts.asked);
    close_scene(scene);
}

static void test_minidebug(void **state)
{
    (void)state;
#ifndef HAVE_LIBLZMA
    print_message("built without liblzma\n");
    skip();
#endif
    compile("gcc", "-g -O2 -shared -fPIC", "code.c", c_source, "code.so");
    need("objcopy");
    need("xz");
    assert_true(run("objcopy --strip-all code.so bare.so && strip -g -o mini code.so && "
                    "objcopy --only-keep-debug mini mini.debug && xz -kf mini.debug && "
                    "objcopy --add-section .gnu_debugdata=mini.debug.xz bare.so mini.so"));
    struct scene *scene = open_scene("mini.so", NULL);
    assert_true(check_against_nm(scene, "", "code.so") >= 5);
    check_name(scene, addr_of("code.so", "local_function"), "local_function");
    close_scene(scene);

    // Cut, damaged, and ten thousand times smaller than what it unpacks to.
    assert_true(run("head -c -4 mini.debug.xz > cut.xz && "
                    "objcopy --add-section .gnu_debugdata=cut.xz bare.so cut.so && "
                    "{ cat mini.debug; head -c 140000000 /dev/zero; } | xz -0 > bomb.xz && "
                    "objcopy --add-section .gnu_debugdata=bomb.xz bare.so bomb.so && "
                    "echo nothing | xz > nothing.xz && "
                    "objcopy --add-section .gnu_debugdata=nothing.xz bare.so nothing.so"));
    static const char *const names[] = {"cut.so", "bomb.so", "nothing.so"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        scene = open_scene(names[i], NULL);
        assert_true(check_against_nm(scene, "-D", "code.so") >= 3);
        check_name(scene, addr_of("code.so", "local_function"), NULL);
        close_scene(scene);
    }
}

static size_t read_scene(void *arg, uint64_t addr, void *buffer, size_t size)
{
    struct scene *scene = arg;
    memcpy(buffer, scene->bytes + (addr - BASE), size);
    return size;
}

// No file: what its loaded segments hold in memory.
static void test_from_memory(void **state)
{
    (void)state;
    static const char *const styles[] = {"-Wl,--hash-style=gnu", "-Wl,--hash-style=sysv"};
    for (size_t i = 0; i < ARRAY_SIZE(styles); i++) {
        char flags[128];
        snprintf(flags, sizeof(flags), "-O2 -shared -fPIC %s", styles[i]);
        compile("gcc", flags, "code.c", c_source, "code.so");
        struct scene *scene = open_scene("code.so", NULL);
        const struct elf_headers *headers = &scene->module->headers;
        size_t file_bytes;
        AUTO_FREE uint8_t *file = read_whole(test_path("code.so"), &file_bytes);
        scene->size = 1 << 20;
        scene->bytes = calloc(1, scene->size);
        for (size_t j = 0; j < headers->count; j++)
            if (headers->phdrs[j].p_type == PT_LOAD)
                memcpy(scene->bytes + headers->phdrs[j].p_vaddr, file + headers->phdrs[j].p_offset,
                       headers->phdrs[j].p_filesz);
        assert_null(mem_add(scene->target.mem, BASE, BASE + scene->size, MEM_CORE, read_scene,
                            scene, false));
        scene->module->file_failed = true;
        scene->module->public.end = BASE + scene->size;
        assert_true(check_against_nm(scene, "-D", "code.so") >= 3);
        check_name(scene, addr_of("code.so", "local_function"), NULL);
        close_scene(scene);
    }
}

// A live process: code that was registered for debuggers, and a function of the program.
static void test_live(void **state)
{
    (void)state;
    compile("gcc", "-O2 -shared -fPIC", "code.c", c_source, "code.so");
    uint64_t local = addr_of("code.so", "local_function");
    size_t bytes;
    AUTO_FREE uint8_t *file = read_whole(test_path("code.so"), &bytes);
    struct jit_code_entry entry = {.symfile_addr = file, .symfile_size = bytes};
    __jit_debug_descriptor.first_entry = &entry;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    __jit_debug_descriptor.first_entry = NULL;
    struct live *live = NULL;
    struct image *image = NULL;
    struct image_symbol symbol;
    struct err *err = live_open(pid, &live);
    if (!err && live->refusal) {
        print_message("%s\n", live->refusal);
        live_close(live);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        skip();
    }
    assert_null(err);
    assert_null(image_open(live->target, NULL, &image));
    assert_false(image_symbol_at(image, NULL, local, &symbol));
    image_jit_refresh(image, live->target->mem);
    assert_true(image_symbol_at(image, NULL, local + 1, &symbol));
    assert_string_equal(symbol.name, "local_function");
    assert_int_equal(symbol.start, local);
    uint64_t own = (uint64_t)(uintptr_t)need; // the child is this very program
    assert_true(image_symbol_at(image, image_module_at(image, own), own, &symbol));
    assert_string_equal(symbol.name, "need");
    assert_int_equal(symbol.start, own);
    image_destroy(image);
    live_close(live);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

// Names that are too long, that stand for gigabytes, or that nest without end.
static void test_hostile_names(void **state)
{
    (void)state;
    char name[20000];
    assert_null(image_demangle(""));
    assert_null(image_demangle("_"));
    assert_null(image_demangle("main"));
    assert_null(image_demangle("_Zero"));
    AUTO_FREE char *good = image_demangle("_ZN1a1bEi");
    if (!good) {
        print_message("no demangler here\n");
        skip();
    }
    assert_string_equal(good, "a::b(int)");
    size_t used = (size_t)snprintf(name, sizeof(name), "_RNvC1a5000");
    memset(name + used, 'a', 5000);
    name[used + 5000] = '\0';
    assert_null(image_demangle(name)); // longer than any name that is looked at
    // Each argument is a pair of the one before: thousands, then billions of names in the last.
    for (int doubled = 16; doubled <= 35; doubled += 19) {
        used = (size_t)snprintf(name, sizeof(name), "_Z1f1aS_IS_S_E");
        for (int i = 0; i < doubled; i++) {
            int id = i < 10 ? '0' + i : 'A' + i - 10;
            used += (size_t)snprintf(name + used, sizeof(name) - used, "S_IS%c_S%c_E", id, id);
        }
        AUTO_FREE char *bomb = image_demangle(name);
        assert_null(bomb);
    }
    static const char *const nests[] = {"P", "N", "I", "X", "F", "DpT_", "L_Z", "1aI", "sr"};
    for (size_t i = 0; i < ARRAY_SIZE(nests); i++) {
        used = (size_t)snprintf(name, sizeof(name), "_Z1f");
        while (used < 4000)
            used += (size_t)snprintf(name + used, sizeof(name) - used, "%s", nests[i]);
        free(image_demangle(name));
    }
    used = (size_t)snprintf(name, sizeof(name), "_RINv1a1b");
    while (used < 4000)
        used += (size_t)snprintf(name + used, sizeof(name) - used, "TR");
    free(image_demangle(name));
}

static void ask_everything(struct scene *scene, uint64_t end)
{
    struct image_symbol symbol;
    struct image_location locations[8];
    for (uint64_t at = 0; at < end; at += 5) {
        if (symbol_at(scene, at, &symbol)) {
            assert_true(symbol.start <= BASE + at);
            assert_true(symbol.size == 0 || BASE + at - symbol.start < symbol.size);
            assert_true(strlen(symbol.name) > 0 && strlen(symbol.raw_name) > 0);
        }
        size_t count = image_locations(&scene->image, &scene->module->public, BASE + at, locations,
                                       ARRAY_SIZE(locations));
        for (size_t i = 0; i < count; i++)
            assert_true(!locations[i].file || strlen(locations[i].file) > 0);
    }
}

// A symbol whose name lies beyond the names is left out, and the others stay.
static void test_bad_name_offset(void **state)
{
    (void)state;
    compile("gcc", "-g -O2 -shared -fPIC", "code.c", c_source, "code.so");
    size_t size;
    uint64_t local = addr_of("code.so", "local_function"),
             outer = addr_of("code.so", "outer_function");
    AUTO_FREE uint8_t *bytes = read_whole(test_path("code.so"), &size);
    Elf64_Ehdr *header = (Elf64_Ehdr *)bytes;
    Elf64_Shdr *sections = (Elf64_Shdr *)(bytes + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        Elf64_Sym *table = (Elf64_Sym *)(bytes + sections[i].sh_offset);
        for (size_t j = 0; sections[i].sh_type == SHT_SYMTAB && j < sections[i].sh_size / 24; j++)
            if (table[j].st_value == local)
                table[j].st_name = 0x7fffffff;
    }
    write_file(test_path("offset.so"), bytes, size);
    struct scene *scene = open_scene("offset.so", NULL);
    check_name(scene, local, NULL);
    check_name(scene, outer, "outer_function");
    close_scene(scene);
}

// Files that are cut, and files with random bytes where tables and debug information are.
static void test_damaged(void **state)
{
    (void)state;
    compile("gcc", "-g -O2 -shared -fPIC", "code.c", c_source, "code.so");
    size_t size;
    AUTO_FREE uint8_t *bytes = read_whole(test_path("code.so"), &size);
    AUTO_FREE uint8_t *copy = malloc(size);
    assert_non_null(copy);
    for (size_t i = 1; i < 30; i++) {
        write_file(test_path("damaged.so"), bytes, size * i / 30);
        struct scene *scene = open_scene("damaged.so", NULL);
        ask_everything(scene, 0x2000);
        close_scene(scene);
    }
    srand(1);
    for (int round = 0; round < 300; round++) {
        memcpy(copy, bytes, size);
        for (int i = 0; i <= round % 40; i++) {
            // Above all behind the code, and in the section headers at the end.
            size_t from = round % 3 == 0 ? size - 40 * 64 : 0x1000;
            copy[from + (size_t)rand() % (size - from)] = (uint8_t)rand();
        }
        write_file(test_path("damaged.so"), copy, size);
        struct scene *scene = open_scene("damaged.so", NULL);
        ask_everything(scene, 0x2000);
        close_scene(scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_c),
        cmocka_unit_test(test_cxx),
        cmocka_unit_test(test_rust),
        cmocka_unit_test(test_clang),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_plt),
        cmocka_unit_test(test_stripped),
        cmocka_unit_test(test_minidebug),
        cmocka_unit_test(test_from_memory),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_bad_name_offset),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests_name("symbols", tests, make_test_dir, remove_test_dir);
}
