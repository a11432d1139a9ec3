// SPDX-License-Identifier: GPL-3.0-or-later
// Modules: bias, which file is taken for one and which is refused, symbols with and without a
// file, what a core is lent from files (compared with what a fuller core of the same program
// holds), sysroots that cannot be left, and damaged headers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <sys/mman.h>

#include "core_builder.h"
#include "image/elf.h"
#include "image/image_private.h"
#include "target/live.h"
#include "util/guard.h"

#define BASE 0x7f0000000000ull

struct opened {
    struct target *target;
    struct image *image;
};

static struct opened open_both(const char *core, const struct image_options *options)
{
    struct opened opened = {0};
    struct err *err = target_open_core(core, &opened.target);
    if (!err)
        err = image_open(opened.target, options, &opened.image);
    if (err)
        print_message("%s\n", err_message(err));
    assert_null(err);
    return opened;
}

static void close_both(struct opened *opened)
{
    image_destroy(opened->image);
    target_destroy(opened->target);
}

static bool has_note(struct target *target, const char *part)
{
    vec_foreach (note, &target->notes)
        if (strstr(*note, part))
            return true;
    return false;
}

static struct module *module_named(struct image *image, const char *part)
{
    for (size_t i = 0; i < image_module_count(image); i++)
        if (strstr(image_module(image, i)->path, part))
            return image_module(image, i);
    return NULL;
}

static enum mem_origin origin_at(struct target *target, uint64_t addr)
{
    struct mem_segment_info info;
    assert_true(mem_segment_at(target->mem, addr, &info));
    assert_true(info.start <= addr);
    return info.origin;
}

static void copy_file(const char *from, const char *to)
{
    size_t size;
    AUTO_FREE uint8_t *bytes = read_whole(from, &size);
    write_file(to, bytes, size);
}

// Creates the directories above a path.
static void make_parents(const char *path)
{
    char folder[512];
    snprintf(folder, sizeof(folder), "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(folder, 0700);
        *slash = '/';
    }
}

// ---- Bias ---------------------------------------------------------------------------------------

#define LOAD(offset, vaddr, filesz)                                                       \
    {                                                                                     \
        .p_type = PT_LOAD, .p_offset = (offset), .p_vaddr = (vaddr), .p_filesz = (filesz) \
    }

static void check_bias(const char *what, Elf64_Phdr first, Elf64_Phdr second, uint64_t start,
                       uint64_t offset, bool want_found, uint64_t want)
{
    Elf64_Phdr phdrs[] = {first, second};
    struct elf_headers headers = {.phdrs = phdrs, .count = ARRAY_SIZE(phdrs)};
    uint64_t bias = 0;
    print_message("%s\n", what);
    assert_int_equal(elf_headers_bias(&headers, start, offset, &bias), want_found);
    assert_int_equal(bias, want);
}

static void test_bias(void **state)
{
    (void)state;
    const Elf64_Phdr none = {.p_type = PT_NOTE, .p_filesz = 0x800};
    const Elf64_Phdr at_0 = LOAD(0, 0, 0x800), at_4m = LOAD(0, 0x400000, 0x800);
    const Elf64_Phdr far = LOAD(0, 0x3a00000000, 0x800), wild = LOAD(UINT64_MAX - 10, 0, 0x800);
    const Elf64_Phdr third = LOAD(0x1000, 0x201000, 0x800), fourth = LOAD(0x2000, 0x203000, 0x800);
    const Elf64_Phdr small = LOAD(0, 0, 0x400), shared = LOAD(0x400, 0x1400, 0x100);
    const Elf64_Phdr crooked = LOAD(0x6d0, 0x16d0, 0x900);
    check_bias("library", at_0, third, BASE, 0, true, BASE);
    check_bias("not PIE", at_4m, none, 0x400000, 0, true, 0);
    check_bias("prelinked", far, none, 0x3a00000000, 0, true, 0);
    check_bias("prelinked, moved", far, none, BASE, 0, true, BASE - 0x3a00000000);
    check_bias("header in no segment", third, fourth, BASE + 0x201000, 0x1000, true, BASE);
    check_bias("shared first page", small, shared, BASE, 0, true, BASE);
    check_bias("not at a page border", none, crooked, BASE + 0x1000, 0, true, BASE);
    check_bias("no such offset", at_0, none, BASE, 0x5000, false, 0);
    check_bias("no segment", none, none, BASE, 0, false, 0);
    check_bias("overflow", wild, none, BASE, 0, false, 0);
}

// ---- Files made by hand -------------------------------------------------------------------------

// A library of three pages: text, RELRO, data; header and notes in the first.
struct library {
    uint8_t bytes[3 * BUILDER_PAGE];
};

static Elf64_Ehdr *header_of(struct library *library)
{
    return (Elf64_Ehdr *)library->bytes;
}

static Elf64_Phdr *phdrs_of(struct library *library)
{
    return (Elf64_Phdr *)(library->bytes + sizeof(Elf64_Ehdr));
}

static Elf64_Dyn *dynamic_of(struct library *library)
{
    return (Elf64_Dyn *)(library->bytes + 0x2000);
}

static void fill_library(struct library *library, uint64_t vaddr, const char *build_id)
{
    memset(library, 0, sizeof(*library));
    for (size_t i = BUILDER_PAGE / 2; i < sizeof(library->bytes); i++)
        library->bytes[i] = (uint8_t)(i * 31 + i / 251);
    *header_of(library) = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 4,
        .e_shentsize = sizeof(Elf64_Shdr)};
    Elf64_Phdr phdrs[] = {
        {.p_type = PT_LOAD,
         .p_flags = PF_R | PF_X,
         .p_vaddr = vaddr,
         .p_filesz = 0x1000,
         .p_memsz = 0x1000,
         .p_align = 0x1000},
        {.p_type = PT_LOAD,
         .p_flags = PF_R | PF_W,
         .p_offset = 0x1000,
         .p_vaddr = vaddr + 0x1000,
         .p_filesz = 0x2000,
         .p_memsz = 0x2800,
         .p_align = 0x1000},
        {.p_type = PT_NOTE,
         .p_flags = PF_R,
         .p_offset = 0x400,
         .p_vaddr = vaddr + 0x400,
         .p_filesz = build_id ? 16 + 8 : 0,
         .p_memsz = 24,
         .p_align = 4},
        {.p_type = PT_DYNAMIC,
         .p_flags = PF_R | PF_W,
         .p_offset = 0x2000,
         .p_vaddr = vaddr + 0x2000,
         .p_filesz = 0x100,
         .p_memsz = 0x100,
         .p_align = 8},
    };
    memcpy(phdrs_of(library), phdrs, sizeof(phdrs));
    Elf64_Dyn *dynamic = dynamic_of(library);
    memset(dynamic, 0, 0x100);
    dynamic[0] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = 0x123};
    dynamic[1] = (Elf64_Dyn){.d_tag = DT_STRTAB, .d_un.d_ptr = vaddr + 0x500};
    dynamic[2] = (Elf64_Dyn){.d_tag = DT_DEBUG};
    Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 8, .n_type = NT_GNU_BUILD_ID};
    memcpy(library->bytes + 0x400, &note, sizeof(note));
    memcpy(library->bytes + 0x400 + 12, "GNU", 4);
    if (build_id)
        memcpy(library->bytes + 0x400 + 16, build_id, 8);
}

enum dump {
    DUMP_KERNEL,  // header page, written pages
    DUMP_NOTHING, // mappings without bytes
    DUMP_LIST,    // not even mappings (gdb)
};

// A core of a process that has the library at BASE: text r-x, RELRO r--, data rw-.
static void write_core(const char *name, struct library *library, const char *path, enum dump dump)
{
    const struct builder_file files[] = {
        {BASE, BASE + 0x1000, 0, path},
        {BASE + 0x1000, BASE + 0x2000, 1, path},
        {BASE + 0x2000, BASE + 0x3000, 2, path},
    };
    static const uint32_t flags[] = {PF_R | PF_X, PF_R, PF_R | PF_W};
    struct builder builder = {0};
    // What ld.so writes: the bias is added to pointers, and DT_DEBUG is filled in.
    struct library running = *library;
    dynamic_of(&running)[1].d_un.d_ptr += BASE - phdrs_of(&running)[0].p_vaddr;
    dynamic_of(&running)[2].d_un.d_ptr = 0x7ffff7ffe100;
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, files, ARRAY_SIZE(files));
    for (size_t i = 0; dump != DUMP_LIST && i < ARRAY_SIZE(files); i++)
        builder_load(&builder, files[i].start, 0x1000, dump == DUMP_KERNEL && i != 1 ? 0x1000 : 0,
                     flags[i], library->bytes + i * 0x1000);
    builder_load(&builder, BASE + 0x3000, 0x1000, 0x1000, PF_R | PF_W, NULL); // its .bss
    builder_write(&builder, test_path(name));
}

// One executable mapping, nothing of it dumped.
static void write_one_range_core(const char *name, const char *path)
{
    const struct builder_file file = {BASE, BASE + 0x1000, 0, path};
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, &file, 1);
    builder_load(&builder, BASE, 0x1000, 0, PF_R | PF_X, NULL);
    builder_write(&builder, test_path(name));
}

static void test_verification(void **state)
{
    (void)state;
    enum { ID_NONE, ID_A, ID_B };
    static const char *const ids[] = {NULL, "AAAAAAAA", "BBBBBBBB"};
    static const struct {
        enum dump dump;
        int core_id, file_id;
        bool other_header, other_layout, other_dynamic;
        enum module_file want;
    } rows[] = {
        {DUMP_KERNEL, ID_A, ID_A, false, false, false, MODULE_FILE_VERIFIED},
        {DUMP_KERNEL, ID_A, ID_B, false, false, false, MODULE_FILE_WRONG},
        {DUMP_KERNEL, ID_A, ID_NONE, false, false, false, MODULE_FILE_WRONG},
        {DUMP_KERNEL, ID_NONE, ID_A, false, false, false, MODULE_FILE_WRONG},
        {DUMP_KERNEL, ID_NONE, ID_NONE, false, false, false, MODULE_FILE_UNVERIFIED},
        {DUMP_KERNEL, ID_NONE, ID_NONE, true, false, false, MODULE_FILE_WRONG},
        {DUMP_KERNEL, ID_NONE, ID_NONE, false, false, true, MODULE_FILE_WRONG},
        {DUMP_NOTHING, ID_A, ID_A, false, false, false, MODULE_FILE_UNVERIFIED},
        {DUMP_NOTHING, ID_A, ID_A, false, true, false, MODULE_FILE_WRONG},
        {DUMP_LIST, ID_A, ID_A, false, false, false, MODULE_FILE_UNVERIFIED},
    };
    struct library library;
    const char *path = test_path("library.so");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fill_library(&library, 0, ids[rows[i].core_id]);
        write_core("core", &library, path, rows[i].dump);
        fill_library(&library, 0, ids[rows[i].file_id]);
        if (rows[i].other_header)
            header_of(&library)->e_entry = 0x123;
        if (rows[i].other_dynamic)
            dynamic_of(&library)[0].d_un.d_val++;
        if (rows[i].other_layout)
            phdrs_of(&library)[1].p_vaddr += 0x1000;
        write_file(path, &library, sizeof(library));
        struct opened opened = open_both(test_path("core"), NULL);
        assert_int_equal(image_module_count(opened.image), 1);
        struct module *module = image_module(opened.image, 0);
        print_message("row %zu: %d\n", i, module->file_state);
        assert_int_equal(module->file_state, rows[i].want);
        assert_int_equal(module->start, BASE);
        bool used = rows[i].want == MODULE_FILE_VERIFIED || rows[i].want == MODULE_FILE_UNVERIFIED;
        assert_true(!module->file == !used);
        assert_true(has_note(opened.target, "library.so") ==
                    (rows[i].want != MODULE_FILE_VERIFIED));
        if (used)
            assert_int_equal(module->end, BASE + 0x4000); // .bss included
        close_both(&opened);
    }
    unlink(path);
    struct opened opened = open_both(test_path("core"), NULL);
    assert_int_equal(image_module(opened.image, 0)->file_state, MODULE_FILE_MISSING);
    assert_true(has_note(opened.target, "not at hand"));
    close_both(&opened);
}

// Text may be lent; RELRO, which looks read-only, and data may not.
static void test_lending_rules(void **state)
{
    (void)state;
    struct library library;
    const char *path = test_path("library.so");
    fill_library(&library, 0x3a00000000, "AAAAAAAA");
    write_file(path, &library, sizeof(library));
    write_core("core", &library, path, DUMP_NOTHING);
    struct opened opened = open_both(test_path("core"), NULL);
    assert_int_equal(image_module(opened.image, 0)->bias, BASE - 0x3a00000000);
    assert_int_equal(origin_at(opened.target, BASE), MEM_FILE);
    assert_int_equal(origin_at(opened.target, BASE + 0xfff), MEM_FILE);
    assert_int_equal(origin_at(opened.target, BASE + 0x1000), MEM_ABSENT);
    assert_int_equal(origin_at(opened.target, BASE + 0x2000), MEM_ABSENT);
    uint8_t got[0x1000];
    assert_null(mem_read(opened.target->mem, BASE, got, sizeof(got)));
    assert_memory_equal(got, library.bytes, sizeof(got));
    close_both(&opened);

    // Text relocations are written into pages that look untouched.
    dynamic_of(&library)[2] = (Elf64_Dyn){.d_tag = DT_TEXTREL};
    write_file(path, &library, sizeof(library));
    opened = open_both(test_path("core"), NULL);
    assert_int_equal(image_module(opened.image, 0)->file_state, MODULE_FILE_UNVERIFIED);
    assert_int_equal(origin_at(opened.target, BASE), MEM_ABSENT);
    close_both(&opened);
    dynamic_of(&library)[2] = (Elf64_Dyn){.d_tag = DT_DEBUG};
    write_file(path, &library, sizeof(library));

    // A file that is replaced while it is in use is not read any more.
    opened = open_both(test_path("core"), NULL);
    library.bytes[0x900] ^= 1;
    unlink(path);
    write_file(path, &library, sizeof(library));
    assert_int_equal(mem_read_some(opened.target->mem, BASE, got, sizeof(got)), 0);
    close_both(&opened);

    // The core's own bytes win, also where they differ (a breakpoint, self-modifying code).
    fill_library(&library, 0, "AAAAAAAA");
    library.bytes[0x900] ^= 0xff;
    write_core("core", &library, path, DUMP_KERNEL);
    library.bytes[0x900] ^= 0xff;
    write_file(path, &library, sizeof(library));
    opened = open_both(test_path("core"), NULL);
    uint8_t byte;
    assert_null(mem_read_u8(opened.target->mem, BASE + 0x900, &byte));
    assert_int_equal(byte, library.bytes[0x900] ^ 0xff);
    assert_int_equal(origin_at(opened.target, BASE), MEM_CORE);
    close_both(&opened);

    // What a mapping holds behind the end of its file is not in the file, and stays absent.
    write_core("core", &library, path, DUMP_NOTHING);
    phdrs_of(&library)[0].p_filesz = 0x900;
    phdrs_of(&library)[0].p_memsz = 0x900;
    header_of(&library)->e_phnum = 1;
    write_file(path, &library, 0x900);
    write_one_range_core("one", path);
    opened = open_both(test_path("one"), NULL);
    assert_int_equal(origin_at(opened.target, BASE + 0x8ff), MEM_FILE);
    assert_int_equal(origin_at(opened.target, BASE + 0x900), MEM_ABSENT);
    assert_int_equal(mem_read_some(opened.target->mem, BASE + 0x800, got, 0x400), 0x100);
    close_both(&opened);

    // A file that is shorter than its own headers say is refused.
    fill_library(&library, 0, "AAAAAAAA");
    write_core("core", &library, path, DUMP_NOTHING);
    write_file(path, &library, 0x800);
    opened = open_both(test_path("core"), NULL);
    assert_int_equal(image_module(opened.image, 0)->file_state, MODULE_FILE_WRONG);
    assert_int_equal(origin_at(opened.target, BASE), MEM_ABSENT);
    close_both(&opened);
}

// dlmopen(3) loads a library again, next to itself: two modules, two biases.
static void test_loaded_twice(void **state)
{
    (void)state;
    struct library library;
    const char *path = test_path("library.so");
    const struct builder_file files[] = {
        {BASE, BASE + 0x1000, 0, path},
        {BASE + 0x1000, BASE + 0x4000, 1, path},
        {BASE + 0x5000, BASE + 0x6000, 0, path},
        {BASE + 0x6000, BASE + 0x9000, 1, path},
    };
    fill_library(&library, 0, "AAAAAAAA");
    phdrs_of(&library)[1].p_memsz = 0x3800; // a .bss that would reach into the next one
    write_file(path, &library, sizeof(library));
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, files, ARRAY_SIZE(files));
    for (size_t i = 0; i < ARRAY_SIZE(files); i += 2) {
        builder_load(&builder, files[i].start, 0x1000, 0x1000, PF_R | PF_X, library.bytes);
        builder_load(&builder, files[i + 1].start, 0x3000, 0, PF_R | PF_W, NULL);
    }
    builder_write(&builder, test_path("core"));
    struct opened opened = open_both(test_path("core"), NULL);
    assert_int_equal(image_module_count(opened.image), 2);
    for (size_t i = 0; i < 2; i++) {
        struct module *module = image_module(opened.image, i);
        assert_int_equal(module->bias, BASE + i * 0x5000);
        assert_int_equal(module->start, BASE + i * 0x5000);
        assert_int_equal(module->end, BASE + (i + 1) * 0x5000);
        assert_int_equal(module->file_state, MODULE_FILE_VERIFIED);
        assert_ptr_equal(image_module_at(opened.image, module->end - 1), module);
    }
    close_both(&opened);
}

// libffi maps a page of its own text elsewhere, for closures: no module, and no reason to doubt the
// library, on whichever side of it, and whether or not the library's header was dumped.
static void test_copied_text(void **state)
{
    (void)state;
    static const struct {
        uint64_t copies[3];
        bool dumped;
    } rows[] = {
        {{BASE - 0x1000}, true},
        {{BASE - 0x1000}, false},
        {{BASE - 0x4000, BASE - 0x3000, BASE - 0x1000}, true},
        {{BASE - 0x4000, BASE - 0x3000, BASE - 0x1000}, false},
        {{BASE + 0x3000}, true},
        {{BASE + 0x3000}, false},
        {{BASE - 0x1000, BASE + 0x10000, BASE + 0x13000}, true},
        {{BASE - 0x1000, BASE + 0x10000, BASE + 0x13000}, false},
    };
    struct library library;
    const char *path = test_path("library.so");
    fill_library(&library, 0, "AAAAAAAA");
    // Header page r--, text r-x, data rw-.
    Elf64_Phdr *phdrs = phdrs_of(&library);
    phdrs[0].p_flags = PF_R;
    phdrs[4] = phdrs[1];
    phdrs[1].p_flags = PF_R | PF_X;
    phdrs[1].p_filesz = phdrs[1].p_memsz = 0x1000;
    phdrs[4].p_offset = phdrs[4].p_vaddr = 0x2000;
    phdrs[4].p_filesz = phdrs[4].p_memsz = 0x1000;
    header_of(&library)->e_phnum = 5;
    write_file(path, &library, sizeof(library));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct builder_file files[6];
        size_t count = 0;
        struct builder builder = {0};
        builder_thread(&builder, 7, 6, 1, 2, 3);
        for (uint64_t page = 0, copy = 0; page < 3 || (copy < 3 && rows[i].copies[copy]);) {
            bool is_copy = copy < 3 && rows[i].copies[copy] &&
                           (page == 3 || rows[i].copies[copy] < BASE + page * 0x1000);
            uint64_t addr = is_copy ? rows[i].copies[copy] : BASE + page * 0x1000;
            uint64_t offset = is_copy ? 1 : page;
            static const uint32_t flags[] = {PF_R, PF_R | PF_X, PF_R | PF_W};
            files[count++] = (struct builder_file){addr, addr + 0x1000, offset, path};
            builder_load(&builder, addr, 0x1000, rows[i].dumped && offset == 0 ? 0x1000 : 0,
                         flags[offset], library.bytes + offset * 0x1000);
            copy += is_copy;
            page += !is_copy;
        }
        builder_files(&builder, files, count);
        builder_write(&builder, test_path("core"));
        struct opened opened = open_both(test_path("core"), NULL);
        print_message("row %zu: %zu modules\n", i, image_module_count(opened.image));
        assert_int_equal(image_module_count(opened.image), 1);
        struct module *module = image_module(opened.image, 0);
        assert_int_equal(module->start, BASE);
        assert_int_equal(module->bias, BASE);
        assert_int_equal(module->end, BASE + 0x3000);
        assert_int_equal(module->file_state,
                         rows[i].dumped ? MODULE_FILE_VERIFIED : MODULE_FILE_UNVERIFIED);
        assert_null(image_module_at(opened.image, rows[i].copies[0]));
        assert_false(has_note(opened.target, "another build"));
        close_both(&opened);
    }
}

// A header that claims more .bss than there is room for does not get its neighbour's addresses.
static void test_claimed_bss(void **state)
{
    (void)state;
    struct library library;
    const char *path = test_path("library.so"), *other = test_path("other.so");
    const struct builder_file files[] = {
        {BASE, BASE + 0x1000, 0, path},
        {BASE + 0x10000, BASE + 0x11000, 0, other},
    };
    fill_library(&library, 0, "AAAAAAAA");
    phdrs_of(&library)[1].p_memsz = 1ull << 40;
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, files, ARRAY_SIZE(files));
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        builder_load(&builder, files[i].start, 0x1000, 0x1000, PF_R | PF_X, library.bytes);
    builder_write(&builder, test_path("core"));
    struct opened opened = open_both(test_path("core"), NULL);
    assert_int_equal(image_module_count(opened.image), 2);
    assert_int_equal(image_module(opened.image, 0)->end, BASE + 0x10000);
    assert_ptr_equal(image_module_at(opened.image, BASE + 0x10800), image_module(opened.image, 1));
    close_both(&opened);
}

// Files that are mapped to be read are no modules, whatever they are.
static void test_no_modules(void **state)
{
    (void)state;
    struct library library;
    fill_library(&library, 0, "AAAAAAAA");
    static uint8_t text[BUILDER_PAGE] = "no ELF file";
    static const struct builder_file files[] = {
        {BASE, BASE + 0x1000, 0, "/data/read.so"},
        {BASE + 0x10000, BASE + 0x11000, 0, "/data/text"},
        {BASE + 0x20000, BASE + 0x21000, 0, "/data/none"},
    };
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, files, ARRAY_SIZE(files));
    builder_load(&builder, BASE, 0x1000, 0x1000, PF_R, library.bytes);
    builder_load(&builder, BASE + 0x10000, 0x1000, 0x1000, PF_R, text);
    builder_load(&builder, BASE + 0x20000, 0x1000, 0, PF_R, NULL);
    builder_write(&builder, test_path("core"));
    struct opened opened = open_both(test_path("core"), NULL);
    assert_int_equal(image_module_count(opened.image), 0);
    assert_null(image_module(opened.image, 0));
    assert_null(image_module_at(opened.image, BASE));
    close_both(&opened);
}

// ---- Where files are looked for -----------------------------------------------------------------

static void place_and_check(const char *core, const char *place,
                            const struct image_options *options, struct library *library,
                            enum module_file want)
{
    make_parents(place);
    write_file(place, library, sizeof(*library));
    struct opened opened = open_both(core, options);
    struct module *module = image_module(opened.image, 0);
    print_message("%s: %d\n", place, module->file_state);
    assert_int_equal(module->file_state, want);
    close_both(&opened);
    unlink(place);
}

static void test_places(void **state)
{
    (void)state;
    char sysroot[256], debug[256], core[256];
    snprintf(sysroot, sizeof(sysroot), "%s/sysroot", test_dir);
    snprintf(debug, sizeof(debug), "%s/debug", test_dir);
    snprintf(core, sizeof(core), "%s/core", test_dir);
    mkdir(sysroot, 0700);
    struct image_options in_sysroot = {.sysroot = sysroot}, in_debug = {.debug_dir = debug};
    struct library library, other;
    fill_library(&library, 0, "AAAAAAAA");
    fill_library(&other, 0, "BBBBBBBB");
    write_core("core", &library, "/opt/app/lib/some.so", DUMP_KERNEL);

    static const struct {
        const char *place;
        bool in_debug;
    } rows[] = {
        {"sysroot/opt/app/lib/some.so", false},
        {"sysroot/some.so", false},
        {"sysroot/usr/lib/debug/.build-id/41/41414141414141", false},
        {"debug/.build-id/41/41414141414141", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct image_options *options = rows[i].in_debug ? &in_debug : &in_sysroot;
        place_and_check(core, test_path(rows[i].place), options, &library, MODULE_FILE_VERIFIED);
        place_and_check(core, test_path(rows[i].place), options, &other, MODULE_FILE_WRONG);
    }

    // With a sysroot, nothing outside it is looked at.
    const char *outside = test_path("outside.so");
    write_core("core", &library, outside, DUMP_KERNEL);
    place_and_check(core, outside, NULL, &library, MODULE_FILE_VERIFIED);
    place_and_check(core, outside, &in_sysroot, &library, MODULE_FILE_MISSING);
}

static void test_exe_option(void **state)
{
    (void)state;
    struct library library;
    uint64_t auxv[] = {AT_PHDR, BASE + 0x40, AT_ENTRY, BASE + 0x800, AT_NULL, 0};
    static const struct builder_file files[] = {{BASE, BASE + 0x1000, 0, "/gone/program"}};
    fill_library(&library, 0, "AAAAAAAA");
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_note(&builder, NT_AUXV, auxv, sizeof(auxv));
    builder_files(&builder, files, 1);
    builder_load(&builder, BASE, 0x1000, 0x1000, PF_R | PF_X, library.bytes);
    builder_write(&builder, test_path("core"));
    struct image_options options = {.exe = test_path("copy of the program")};
    write_file(options.exe, &library, sizeof(library));
    struct opened opened = open_both(test_path("core"), &options);
    struct module *module = image_module(opened.image, 0);
    assert_int_equal(module->file_state, MODULE_FILE_VERIFIED);
    assert_string_equal(module->file, options.exe);
    assert_string_equal(module->path, "/gone/program");
    close_both(&opened);

    fill_library(&library, 0, "BBBBBBBB");
    write_file(options.exe, &library, sizeof(library));
    opened = open_both(test_path("core"), &options);
    assert_int_equal(image_module(opened.image, 0)->file_state, MODULE_FILE_WRONG);
    assert_true(has_note(opened.target, options.exe));
    close_both(&opened);

    unlink(options.exe);
    opened = open_both(test_path("core"), &options);
    assert_true(has_note(opened.target, options.exe));
    close_both(&opened);
}

static ino_t inode_of(int fd)
{
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return 0;
    close(fd);
    return stat.st_ino;
}

// Links and dots end at the root, with openat2(2) and without.
static void test_sysroot_is_a_root(void **state)
{
    (void)state;
    struct stat inside, stat;
    write_file(test_path("target"), "outside", 7);
    make_parents(test_path("root/a/b/x"));
    write_file(test_path("root/target"), "inside", 6);
    assert_int_equal(lstat(test_path("root/target"), &inside), 0);
    char absolute[256];
    snprintf(absolute, sizeof(absolute), "%s/target", test_dir);
    assert_int_equal(symlink("../../../target", test_path("root/a/b/up")), 0);
    assert_int_equal(symlink("/target", test_path("root/a/b/absolute")), 0);
    assert_int_equal(symlink(absolute, test_path("root/a/b/away")), 0);
    assert_int_equal(symlink("b", test_path("root/a/folder")), 0);
    assert_int_equal(symlink("loop", test_path("root/a/loop")), 0);
    assert_int_equal(mkfifo(test_path("root/fifo"), 0600), 0);
    static const struct {
        const char *path;
        bool found;
    } rows[] = {
        {"/target", true},
        {"target", true},
        {"/a/../target", true},
        {"/../../../target", true},
        {"/a/b/up", true},
        {"/a/b/absolute", true},
        {"/a/folder/absolute", true},
        {"/a//./folder/../../target", true},
        {"/a/b/away", false},
        {"/a/loop", false},
        {"/nothing", false},
        {"/target/x", false},
    };
    const char *root = test_path("root");
    int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct image_place place = {(char *)root, (char *)rows[i].path};
        ino_t want = rows[i].found ? inside.st_ino : 0;
        print_message("%s\n", rows[i].path);
        assert_int_equal(inode_of(image_open_place(&place, &stat)), want);
        assert_int_equal(inode_of(image_resolve_by_hand(root_fd, rows[i].path)), want);
    }
    close(root_fd);
    // Neither waits for a writer nor opens what is no regular file.
    static const char *const irregular[] = {"/fifo", "/a", "/"};
    for (size_t i = 0; i < ARRAY_SIZE(irregular); i++) {
        struct image_place place = {(char *)root, (char *)irregular[i]};
        assert_int_equal(image_open_place(&place, &stat), -1);
    }
    struct image_place device = {NULL, (char *)"/dev/zero"}, proc = {NULL, (char *)"/proc/version"};
    assert_int_equal(image_open_place(&device, &stat), -1);
    assert_int_equal(image_open_place(&proc, &stat), -1);
}

// ---- Real programs ------------------------------------------------------------------------------

static const char *const sleeper[] = {"/bin/sleep", "1000", NULL};

static void need_kernel_core(const char *filter, const char *path)
{
    const char *why = no_kernel_cores();
    if (!why && !make_kernel_core(sleeper, filter, SIGABRT, path, NULL))
        why = "the kernel wrote no core";
    if (why) {
        print_message("%s\n", why);
        skip();
    }
}

// What ld.so found for this very process, as an offset into libc.
static uint64_t libc_offset(const char *name)
{
    void *addr = dlsym(dlopen("libc.so.6", RTLD_NOW), name);
    Dl_info info;
    assert_non_null(addr);
    assert_true(dladdr(addr, &info) != 0);
    return (uint64_t)((char *)addr - (char *)info.dli_fbase);
}

static const char *const known_names[] = {"clock_getres", "qsort", "environ", "_exit"};

static void check_libc_symbols(struct opened *opened)
{
    struct module *libc = module_named(opened->image, "libc.so.6");
    uint64_t addr, size;
    assert_non_null(libc);
    for (size_t i = 0; i < ARRAY_SIZE(known_names); i++) {
        assert_true(image_symbol(opened->image, libc, known_names[i], &addr, &size));
        assert_int_equal(addr - libc->bias, libc_offset(known_names[i]));
        assert_true(size > 0);
        assert_ptr_equal(image_module_at(opened->image, addr), libc);
    }
    assert_false(image_symbol(opened->image, libc, "no_such_symbol", &addr, &size));
    assert_false(image_symbol(opened->image, libc, "", &addr, &size));
    assert_false(image_symbol(opened->image, libc, "errno", &addr, &size)); // thread-local
}

static void test_kernel_core(void **state)
{
    (void)state;
    need_kernel_core("0x33", test_path("kernel"));
    struct opened opened = open_both(test_path("kernel"), NULL);
    struct module *exe = module_named(opened.image, "sleep"), *libc;
    assert_non_null(exe);
    for (size_t i = 0; i < image_module_count(opened.image); i++)
        assert_int_equal(image_module(opened.image, i)->file_state, MODULE_FILE_VERIFIED);
    check_libc_symbols(&opened);
    libc = module_named(opened.image, "libc.so.6");
    uint64_t addr, size, text;
    // Descriptors are given back.
    assert_int_equal(((struct image_module *)exe)->file.fd, -1);
    // What a program only imports is not in it.
    assert_false(image_symbol(opened.image, exe, "__libc_start_main", &addr, &size));
    assert_true(image_section(opened.image, libc, ".text", &addr, &size));
    assert_true(image_symbol(opened.image, libc, "qsort", &text, &size));
    assert_true(text > addr);
    assert_false(image_section(opened.image, libc, ".symtab", &addr, &size)); // not in memory
    assert_int_equal(origin_at(opened.target, text), MEM_FILE);
    assert_non_null(module_named(opened.image, "[vdso]"));
    assert_true(image_symbol(opened.image, module_named(opened.image, "[vdso]"),
                             "__vdso_clock_gettime", &addr, &size));
    close_both(&opened);
}

// The fuller core is the oracle: the same program at the same addresses, with its text dumped.
static void test_lent_bytes(void **state)
{
    (void)state;
    need_kernel_core("0x33", test_path("lean"));
    need_kernel_core("0x7f", test_path("full"));
    struct opened lean = open_both(test_path("lean"), NULL);
    struct target *full = NULL;
    assert_null(target_open_core(test_path("full"), &full));
    size_t compared = 0;
    struct mem_segment_info info;
    for (uint64_t at = 0; mem_segment_at(lean.target->mem, at, &info); at = info.end) {
        if (info.origin != MEM_FILE)
            continue;
        assert_false(target_mapping_at(lean.target, info.start)->writable);
        for (uint64_t page = info.start; page < info.end; page += BUILDER_PAGE) {
            uint8_t ours[BUILDER_PAGE], theirs[BUILDER_PAGE];
            size_t size = info.end - page < BUILDER_PAGE ? info.end - page : BUILDER_PAGE;
            assert_null(mem_read(lean.target->mem, page, ours, size));
            assert_null(mem_read(full->mem, page, theirs, size));
            assert_memory_equal(ours, theirs, size);
            compared += size;
        }
    }
    print_message("%zu bytes compared\n", compared);
    assert_true(compared > 1000000);
    target_destroy(full);
    close_both(&lean);
}

// Without bit 0 the dump has no written pages: RELRO looks like any read-only page, but is not.
static void test_relro_is_not_lent(void **state)
{
    (void)state;
    need_kernel_core("0x10", test_path("bare"));
    struct opened opened = open_both(test_path("bare"), NULL);
    struct image_module *libc = (struct image_module *)module_named(opened.image, "libc.so.6");
    assert_non_null(libc);
    assert_int_equal(libc->public.file_state, MODULE_FILE_VERIFIED);
    const Elf64_Phdr *relro = elf_headers_find(&libc->headers, PT_GNU_RELRO);
    assert_non_null(relro);
    uint64_t addr = libc->public.bias + relro->p_vaddr;
    assert_false(target_mapping_at(opened.target, addr)->writable);
    assert_int_equal(origin_at(opened.target, addr), MEM_ABSENT);
    close_both(&opened);

    // Nothing at all was dumped: names and layout are all there is to go by.
    need_kernel_core("0x0", test_path("bare"));
    opened = open_both(test_path("bare"), NULL);
    struct module *module = module_named(opened.image, "libc.so.6");
    assert_non_null(module);
    assert_int_equal(module->file_state, MODULE_FILE_UNVERIFIED);
    check_libc_symbols(&opened);
    close_both(&opened);
}

// Hides DT_HASH of one dynamic section.
static void hide_hash(const char *core, struct target *target, uint64_t addr)
{
    uint8_t dynamic[512];
    size_t size;
    assert_null(mem_read(target->mem, addr, dynamic, sizeof(dynamic)));
    AUTO_FREE uint8_t *bytes = read_whole(core, &size);
    uint8_t *place = memmem(bytes, size, dynamic, sizeof(dynamic));
    assert_non_null(place);
    for (size_t at = 0; at < sizeof(dynamic); at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn *entry = (Elf64_Dyn *)(void *)(place + at);
        if (entry->d_tag == DT_HASH)
            entry->d_tag = 0x6ffffe00;
    }
    write_file(core, bytes, size);
}

// Hides the dynamic entries of one tag from a core; returns how many there were.
static size_t hide_tag(const char *core, uint64_t tag)
{
    size_t size, count = 0;
    AUTO_FREE uint8_t *bytes = read_whole(core, &size);
    static const uint64_t other = 0x6ffffe00; // means nothing to anybody
    for (size_t at = 0; at + 8 <= size; at += 8) {
        if (memcmp(bytes + at, &tag, 8) == 0) {
            memcpy(bytes + at, &other, 8);
            count++;
        }
    }
    write_file(core, bytes, size);
    return count;
}

// No file can be had: the dynamic section in memory answers.
static void test_symbols_from_memory(void **state)
{
    (void)state;
    need_kernel_core("0x7f", test_path("full"));
    mkdir(test_path("nothing"), 0700);
    struct image_options options = {.sysroot = test_path("nothing")};
    struct opened opened = open_both(test_path("full"), &options);
    struct module *libc = module_named(opened.image, "libc.so.6");
    assert_int_equal(libc->file_state, MODULE_FILE_MISSING);
    assert_null(libc->file);
    assert_true(libc->build_id_bytes > 0);
    check_libc_symbols(&opened);
    close_both(&opened);

    // One of the two hash tables is enough, either one; distributions differ in which they have.
    need_kernel_core("0x7f", test_path("gnu"));
    assert_true(hide_tag(test_path("gnu"), DT_GNU_HASH) > 0);
    opened = open_both(test_path("gnu"), &options);
    uint64_t addr, size;
    libc = module_named(opened.image, "libc.so.6");
    bool has_sysv = image_symbol(opened.image, libc, "qsort", &addr, &size);
    if (has_sysv)
        check_libc_symbols(&opened);
    close_both(&opened);
    need_kernel_core("0x7f", test_path("gnu"));
    // A tag of 4 is any small number: those of the libraries are told by what follows.
    opened = open_both(test_path("gnu"), &options);
    struct image_module *module = (struct image_module *)module_named(opened.image, "libc.so.6");
    const Elf64_Phdr *dynamic = elf_headers_find(&module->headers, PT_DYNAMIC);
    assert_non_null(dynamic);
    hide_hash(test_path("gnu"), opened.target, module->public.bias + dynamic->p_vaddr);
    close_both(&opened);
    opened = open_both(test_path("gnu"), &options);
    if (has_sysv)
        check_libc_symbols(&opened);
    close_both(&opened);
}

// A core without NT_FILE, as the kernel writes it when the note would be too large: ld.so's list and
// --exe tell the modules.
static void test_no_file_note(void **state)
{
    (void)state;
    need_kernel_core("0x33", test_path("kernel"));
    size_t size;
    AUTO_FREE uint8_t *bytes = read_whole(test_path("kernel"), &size);
    static const uint8_t type_and_owner[] = {'E', 'L', 'I', 'F', 'C', 'O', 'R', 'E', 0};
    uint8_t *note = memmem(bytes, size, type_and_owner, sizeof(type_and_owner));
    assert_non_null(note);
    *note = 'X';
    write_file(test_path("kernel"), bytes, size);

    struct opened opened = open_both(test_path("kernel"), NULL);
    assert_true(has_note(opened.target, "--exe"));
    assert_null(opened.target->exe);
    assert_non_null(module_named(opened.image, "libc.so.6")); // the program's header is in memory
    check_libc_symbols(&opened);
    close_both(&opened);

    // The list has the names, memory has the headers: the files may be anywhere.
    mkdir(test_path("nothing"), 0700);
    Dl_info info;
    char folder[512];
    assert_true(dladdr(dlsym(dlopen("libc.so.6", RTLD_NOW), "qsort"), &info) != 0);
    snprintf(folder, sizeof(folder), "%s", info.dli_fname);
    *strrchr(folder, '/') = '\0';
    struct image_options moved = {.sysroot = test_path("nothing"), .debug_dir = folder};
    opened = open_both(test_path("kernel"), &moved);
    struct module *libc = module_named(opened.image, "libc.so.6");
    assert_non_null(libc);
    assert_int_equal(libc->file_state, MODULE_FILE_VERIFIED);
    check_libc_symbols(&opened);
    close_both(&opened);

    struct image_options options = {.exe = sleeper[0]};
    opened = open_both(test_path("kernel"), &options);
    struct module *exe = module_named(opened.image, sleeper[0]);
    assert_non_null(exe);
    assert_int_equal(exe->file_state, MODULE_FILE_VERIFIED);
    assert_true(((struct image_module *)exe)->is_exe);
    assert_int_equal(origin_at(opened.target, opened.target->auxv_entry), MEM_FILE);
    check_libc_symbols(&opened);
    close_both(&opened);
}

static void test_gcore(void **state)
{
    (void)state;
    if (access("/usr/bin/gcore", X_OK) < 0) {
        print_message("no gcore\n");
        skip();
    }
    char command[512];
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(sleeper[0], (char *const *)sleeper);
        _exit(1);
    }
    await_sleep(pid);
    snprintf(command, sizeof(command), "/usr/bin/gcore -o %s/gcore %d >/dev/null 2>&1", test_dir,
             pid);
    int status = system(command);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (status != 0) {
        print_message("gcore failed\n");
        skip();
    }
    char name[64];
    snprintf(name, sizeof(name), "gcore.%d", pid);
    struct opened opened = open_both(test_path(name), NULL);
    assert_int_equal(opened.target->pid, pid);
    assert_int_equal(opened.target->signal.signo, 0);
    assert_string_equal(opened.target->argv[0], "/bin/sleep");
    struct module *libc = module_named(opened.image, "libc.so.6");
    assert_non_null(libc);
    assert_true(libc->file_state <= MODULE_FILE_UNVERIFIED);
    check_libc_symbols(&opened);
    uint64_t addr, size;
    assert_true(image_symbol(opened.image, libc, "qsort", &addr, &size));
    assert_int_equal(origin_at(opened.target, addr), MEM_FILE); // gdb leaves text out
    close_both(&opened);
}

// ---- Live ---------------------------------------------------------------------------------------

// Maps a library of its own when told to, and tells when it has.
static pid_t start_mapper(const char *path, int *ret_go, int *ret_done)
{
    int go[2], done[2];
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char byte;
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        int fd = open(path, O_RDONLY);
        void *at = mmap(NULL, BUILDER_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED || write(done[1], "x", 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(1);
        munmap(at, BUILDER_PAGE);
        if (write(done[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(go[0]);
    close(done[1]);
    *ret_go = go[1];
    *ret_done = done[0];
    return pid;
}

static void step(int go, int done)
{
    char byte;
    assert_int_equal(write(go, "x", 1), 1);
    assert_int_equal(read(done, &byte, 1), 1);
}

static void test_live(void **state)
{
    (void)state;
    struct library library;
    const char *path = test_path("mapped.so");
    fill_library(&library, 0, NULL); // no build ID: the inode has to do
    write_file(path, &library, sizeof(library));
    int go, done;
    pid_t pid = start_mapper(path, &go, &done);
    struct live *live = NULL;
    struct image *image = NULL;
    struct err *err = live_open(pid, &live);
    if (!err && live->refusal) {
        print_message("%s\n", live->refusal);
        live_close(live);
        kill(pid, SIGKILL);
        skip();
    }
    assert_null(err);
    assert_null(image_open(live->target, NULL, &image));
    size_t count = image_module_count(image);
    struct module *libc = module_named(image, "libc.so.6");
    assert_non_null(libc);
    assert_int_equal(libc->file_state, MODULE_FILE_VERIFIED);
    assert_null(module_named(image, "mapped.so"));
    struct opened opened = {live->target, image};
    check_libc_symbols(&opened);

    step(go, done);
    assert_null(live_refresh(live));
    assert_null(image_refresh(image));
    assert_int_equal(image_module_count(image), count + 1);
    assert_ptr_equal(module_named(image, "libc.so.6"), libc); // objects stay
    struct module *mapped = module_named(image, "mapped.so");
    assert_non_null(mapped);
    assert_int_equal(mapped->file_state, MODULE_FILE_VERIFIED);

    step(go, done);
    assert_null(live_refresh(live));
    assert_null(image_refresh(image));
    assert_int_equal(image_module_count(image), count);
    assert_ptr_equal(module_named(image, "libc.so.6"), libc);
    assert_non_null(strstr(mapped->path, "mapped.so")); // and those that went may still be held
    image_destroy(image);
    live_close(live);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(go);
    close(done);
}

// Another file in the place of a mapped one is not taken for it.
static void test_live_replaced(void **state)
{
    (void)state;
    struct library library;
    const char *path = test_path("mapped.so");
    fill_library(&library, 0, "AAAAAAAA");
    write_file(path, &library, sizeof(library));
    int go, done;
    pid_t pid = start_mapper(path, &go, &done);
    step(go, done);
    unlink(path);
    fill_library(&library, 0, "BBBBBBBB");
    write_file(path, &library, sizeof(library));
    struct live *live = NULL;
    struct image *image = NULL;
    struct err *err = live_open(pid, &live);
    assert_null(err);
    if (live->refusal) {
        print_message("%s\n", live->refusal);
        live_close(live);
        kill(pid, SIGKILL);
        skip();
    }
    assert_null(image_open(live->target, NULL, &image));
    struct module *mapped = module_named(image, "mapped.so");
    assert_non_null(mapped);
    // Whoever may open map_files (CAP_CHECKPOINT_RESTORE) gets the old file; others none.
    if (mapped->file_state == MODULE_FILE_VERIFIED)
        assert_non_null(strstr(mapped->file, "map_files"));
    else
        assert_int_equal(mapped->file_state, MODULE_FILE_WRONG);
    image_destroy(image);
    live_close(live);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(go);
    close(done);
}

// ---- Damage -------------------------------------------------------------------------------------

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void ask_everything(struct opened *opened)
{
    uint64_t addr, size;
    uint8_t buffer[64];
    for (size_t i = 0; i < image_module_count(opened->image); i++) {
        struct module *module = image_module(opened->image, i);
        assert_true(module->start <= module->end);
        if (image_symbol(opened->image, module, "qsort", &addr, &size))
            mem_read_some(opened->target->mem, addr, buffer, sizeof(buffer));
        image_symbol(opened->image, module, "_PyRuntime", &addr, &size);
        image_section(opened->image, module, ".PyRuntime", &addr, &size);
        mem_read_some(opened->target->mem, module->start, buffer, sizeof(buffer));
        Elf *elf = image_elf(opened->image, module);
        assert_ptr_equal(image_elf(opened->image, module), elf);
        image_debug_elf(opened->image, module);
    }
    image_jit_refresh(opened->image, opened->target->mem);
}

// `bytes` is damaged and restored; `reach` bytes from the start are what gets damaged.
static void damage(const char *core, const char *victim, size_t from, size_t reach, int rounds,
                   const struct image_options *options)
{
    size_t size;
    AUTO_FREE uint8_t *bytes = read_whole(victim, &size);
    uint64_t random = 0x2545f4914f6cdd1d;
    assert_true(from + reach <= size);
    for (int round = 0; round < rounds; round++) {
        size_t places[4];
        uint8_t old[4];
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
            uint64_t value = next_random(&random);
            places[i] = from + next_random(&random) % reach;
            old[i] = bytes[places[i]];
            bytes[places[i]] = value & 3 ? (uint8_t)(value >> 8) : 0xff;
        }
        write_file(victim, bytes, size);
        struct target *target = NULL;
        struct err *err = target_open_core(core, &target);
        if (!err) {
            struct opened opened = {.target = target};
            err = image_open(target, options, &opened.image);
            if (!err)
                ask_everything(&opened);
            close_both(&opened);
        }
        err_destroy(err);
        for (size_t i = ARRAY_SIZE(places); i-- > 0;)
            bytes[places[i]] = old[i];
    }
    write_file(victim, bytes, size);
}

// ELF headers and dynamic sections in the target's memory.
static void test_damaged_memory(void **state)
{
    (void)state;
    struct library library;
    const char *path = test_path("library.so");
    fill_library(&library, 0, "AAAAAAAA");
    write_file(path, &library, sizeof(library));
    write_core("core", &library, path, DUMP_KERNEL);
    damage(test_path("core"), test_path("core"), 0x1000, 0x200, 1000, NULL);

    need_kernel_core("0x7f", test_path("full"));
    mkdir(test_path("nothing"), 0700);
    struct image_options options = {.sysroot = test_path("nothing")};
    struct target *target = NULL;
    assert_null(target_open_core(test_path("full"), &target));
    target_destroy(target);
    damage(test_path("full"), test_path("full"), 0x1000, 0x10000, 100, &options);
}

// Files on disk that carry the right build ID and wrong everything else.
static void test_damaged_files(void **state)
{
    (void)state;
    need_kernel_core("0x33", test_path("kernel"));
    struct opened opened = open_both(test_path("kernel"), NULL);
    struct module *exe = module_named(opened.image, "sleep");
    char place[512], real[256];
    snprintf(real, sizeof(real), "%s", exe->path);
    snprintf(place, sizeof(place), "%s/copies%s", test_dir, real);
    close_both(&opened);
    make_parents(place);
    copy_file(real, place);
    size_t size;
    free(read_whole(place, &size));
    struct image_options options = {.sysroot = test_path("copies")};
    damage(test_path("kernel"), place, 0, 0x400, 300, &options);
    damage(test_path("kernel"), place, 0, size, 100, &options);
    damage(test_path("kernel"), place, size - 0x800, 0x800, 300, &options); // section headers
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_verification),
        cmocka_unit_test(test_lending_rules),
        cmocka_unit_test(test_loaded_twice),
        cmocka_unit_test(test_copied_text),
        cmocka_unit_test(test_claimed_bss),
        cmocka_unit_test(test_no_modules),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_exe_option),
        cmocka_unit_test(test_sysroot_is_a_root),
        cmocka_unit_test(test_kernel_core),
        cmocka_unit_test(test_lent_bytes),
        cmocka_unit_test(test_relro_is_not_lent),
        cmocka_unit_test(test_symbols_from_memory),
        cmocka_unit_test(test_no_file_note),
        cmocka_unit_test(test_gcore),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_live_replaced),
        cmocka_unit_test(test_damaged_memory),
        cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests_name("image", tests, make_test_dir, remove_test_dir);
}
