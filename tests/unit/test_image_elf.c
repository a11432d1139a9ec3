// SPDX-License-Identifier: GPL-3.0-or-later
// ELF images behind modules: unwind tables read back from memory say what the file says, or are
// refused; separate debug files are proved before they are used; a debuginfod server is asked only
// when that was allowed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <zlib.h>

#include "core_builder.h"
#include "image/elf.h"
#include "image/image_private.h"
#include "target/live.h"
#include "util/guard.h"

#define BASE 0x7f0000000000ull
#define REGISTERS 17 // of x86_64: 16 and the return address

struct opened {
    struct live *live; // NULL: a core
    struct target *target;
    struct image *image;
    pid_t child;
};

static struct opened open_core(const char *core, const struct image_options *options)
{
    struct opened opened = {0};
    assert_null(target_open_core(core, &opened.target));
    assert_null(image_open(opened.target, options, &opened.image));
    return opened;
}

static struct opened open_child(pid_t pid)
{
    struct opened opened = {.child = pid};
    assert_null(live_open(pid, &opened.live));
    if (opened.live->refusal) {
        print_message("%s\n", opened.live->refusal);
        live_close(opened.live);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        skip();
    }
    opened.target = opened.live->target;
    assert_null(image_open(opened.target, NULL, &opened.image));
    return opened;
}

static void close_all(struct opened *opened)
{
    image_destroy(opened->image);
    if (opened->live)
        live_close(opened->live);
    else
        target_destroy(opened->target);
    if (opened->child) {
        kill(opened->child, SIGKILL);
        waitpid(opened->child, NULL, 0);
    }
}

// Starts a program that says so when it is about to sleep for good.
static pid_t start(const char *const *args)
{
    int out[2];
    char byte;
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        execvp(args[0], (char *const *)args);
        _exit(1);
    }
    close(out[1]);
    assert_int_equal(read(out[0], &byte, 1), 1);
    close(out[0]);
    return pid;
}

static struct image_module *module_named(struct image *image, const char *part)
{
    for (size_t i = 0; i < image_module_count(image); i++)
        if (strstr(image_module(image, i)->path, part))
            return (struct image_module *)image_module(image, i);
    return NULL;
}

static bool has_note(struct target *target, const char *part)
{
    vec_foreach (note, &target->notes)
        if (strstr(*note, part))
            return true;
    return false;
}

static const char *const sleeper[] = {"sh", "-c", "echo; kill -STOP $$", NULL};

// ---- Unwind tables ------------------------------------------------------------------------------

static bool same_ops(const Dwarf_Op *a, size_t a_count, const Dwarf_Op *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (a[i].atom != b[i].atom || a[i].number != b[i].number || a[i].number2 != b[i].number2)
            return false;
    return true;
}

static void check_same_rules(Dwarf_CFI *left, Dwarf_CFI *right, Dwarf_Addr addr)
{
    AUTO_FREE Dwarf_Frame *a = NULL;
    AUTO_FREE Dwarf_Frame *b = NULL;
    assert_int_equal(dwarf_cfi_addrframe(left, addr, &a), 0);
    assert_int_equal(dwarf_cfi_addrframe(right, addr, &b), 0);
    Dwarf_Addr a_start, a_end, b_start, b_end;
    bool a_signal, b_signal;
    assert_int_equal(dwarf_frame_info(a, &a_start, &a_end, &a_signal),
                     dwarf_frame_info(b, &b_start, &b_end, &b_signal));
    assert_true(a_start == b_start && a_end == b_end && a_signal == b_signal);
    for (int i = -1; i < REGISTERS; i++) {
        Dwarf_Op a_space[3], b_space[3], *a_ops = a_space, *b_ops = b_space;
        size_t a_count, b_count;
        int a_result = i < 0 ? dwarf_frame_cfa(a, &a_ops, &a_count)
                             : dwarf_frame_register(a, i, a_space, &a_ops, &a_count);
        int b_result = i < 0 ? dwarf_frame_cfa(b, &b_ops, &b_count)
                             : dwarf_frame_register(b, i, b_space, &b_ops, &b_count);
        assert_int_equal(a_result, b_result);
        // No location and no operations: "same value" and "undefined" differ in the pointer.
        assert_int_equal(a_ops == NULL, b_ops == NULL);
        if (a_result == 0)
            assert_true(same_ops(a_ops, a_count, b_ops, b_count));
    }
}

// The start and the middle of every function that the file's table knows. Returns how many.
static size_t compare_tables(Elf *file, Elf *memory)
{
    Dwarf_CFI *left = dwarf_getcfi_elf(file), *right = dwarf_getcfi_elf(memory);
    assert_non_null(left);
    assert_non_null(right);
    size_t names_index, count = 0;
    assert_int_equal(elf_getshdrstrndx(file, &names_index), 0);
    for (Elf_Scn *section = elf_nextscn(file, NULL); section;
         section = elf_nextscn(file, section)) {
        GElf_Shdr header;
        assert_non_null(gelf_getshdr(section, &header));
        if (strcmp(elf_strptr(file, names_index, header.sh_name), ".eh_frame_hdr") != 0)
            continue;
        // Version 1, sdata4 pcrel, udata4, sdata4 datarel: pairs of distances from the section.
        Elf_Data *data = elf_rawdata(section, NULL);
        const int32_t *words = data->d_buf;
        assert_int_equal(words[0], 0x3b031b01);
        for (int32_t i = 0; i < words[2]; i++) {
            Dwarf_Addr begin = header.sh_addr + (uint64_t)(int64_t)words[3 + 2 * i];
            AUTO_FREE Dwarf_Frame *frame = NULL;
            Dwarf_Addr from, until;
            if (dwarf_cfi_addrframe(left, begin, &frame) != 0)
                continue;
            dwarf_frame_info(frame, &from, &until, NULL);
            check_same_rules(left, right, begin);
            if (until > from) // the row behind the prologue's first
                check_same_rules(left, right, until - 1);
            count++;
        }
    }
    dwarf_cfi_end(left);
    dwarf_cfi_end(right);
    return count;
}

static void check_rebuilt(const char *const *args, size_t want)
{
    struct opened opened = open_child(start(args));
    size_t all = 0;
    for (size_t i = 0; i < image_module_count(opened.image); i++) {
        struct image_module *module = (struct image_module *)image_module(opened.image, i);
        if (module->is_vdso)
            continue;
        AUTO_FREE void *bytes = NULL;
        Elf *memory = image_rebuild(opened.target->mem, module, &bytes);
        Elf *file = image_elf(opened.image, &module->public);
        assert_non_null(file);
        assert_true(file != memory);
        if (!memory) {
            assert_null(elf_headers_find(&module->headers, PT_GNU_EH_FRAME));
            continue;
        }
        size_t count = compare_tables(file, memory);
        print_message("%s: %zu functions\n", module->public.path, count);
        all += count;
        elf_end(memory);
    }
    assert_true(all >= want);
    close_all(&opened);
}

static void test_rebuilt_equals_file(void **state)
{
    (void)state;
    static const char *const python[] = {
        "python3", "-c", "import time; print(end='x', flush=True); time.sleep(1000)", NULL};
    check_rebuilt(sleeper, 2000);
    if (system("python3 -c '' 2>/dev/null") == 0)
        check_rebuilt(python, 5000);
}

static size_t read_through(void *arg, uint64_t addr, void *buffer, size_t size)
{
    return mem_read_some(arg, addr, buffer, size);
}

// The target's memory without the page that `addr` lies in.
static bool rebuilds_without(struct opened *opened, const struct image_module *module,
                             uint64_t addr)
{
    struct mem *mem = mem_create();
    uint64_t page = (module->public.bias + addr) & ~(uint64_t)(BUILDER_PAGE - 1);
    assert_null(mem_add(mem, module->public.start, module->public.end, MEM_LIVE, read_through,
                        opened->target->mem, false));
    assert_null(mem_add(mem, page, page + BUILDER_PAGE, MEM_ABSENT, NULL, NULL, false));
    AUTO_FREE void *bytes = NULL;
    Elf *elf = image_rebuild(mem, module, &bytes);
    elf_end(elf);
    mem_destroy(mem);
    return elf != NULL;
}

static void test_absent_pages(void **state)
{
    (void)state;
    struct opened opened = open_child(start(sleeper));
    struct image_module *libc = module_named(opened.image, "libc.so.6");
    assert_non_null(libc);
    const Elf64_Phdr *hdr = elf_headers_find(&libc->headers, PT_GNU_EH_FRAME);
    uint64_t addr, size, text, text_size;
    assert_true(image_section(opened.image, &libc->public, ".eh_frame", &addr, &size));
    assert_true(image_section(opened.image, &libc->public, ".text", &text, &text_size));
    addr -= libc->public.bias;
    assert_true(size > 4 * BUILDER_PAGE);
    assert_false(rebuilds_without(&opened, libc, hdr->p_vaddr));
    assert_false(rebuilds_without(&opened, libc, hdr->p_vaddr + hdr->p_filesz - 1));
    assert_false(rebuilds_without(&opened, libc, addr));
    assert_false(rebuilds_without(&opened, libc, addr + size / 2));
    assert_false(rebuilds_without(&opened, libc, addr + size - 1));
    assert_true(rebuilds_without(&opened, libc, addr + size + BUILDER_PAGE));
    assert_true(rebuilds_without(&opened, libc, text - libc->public.bias));
    close_all(&opened);
}

static size_t count_descriptors(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static const char *const core_program[] = {"/bin/sleep", "1000", NULL};

static void need_kernel_core(const char *filter, const char *path)
{
    const char *why = no_kernel_cores();
    if (!why && !make_kernel_core(core_program, filter, SIGABRT, path, NULL))
        why = "the kernel wrote no core";
    if (why) {
        print_message("%s\n", why);
        skip();
    }
}

// A core whose files are not at hand, with the text in it and without.
static void test_core_without_files(void **state)
{
    (void)state;
    need_kernel_core("0x7f", test_path("full"));
    need_kernel_core("0x33", test_path("lean"));
    mkdir(test_path("nothing"), 0700);
    struct image_options nothing = {.sysroot = test_path("nothing")};
    struct opened files = open_core(test_path("full"), NULL);
    struct opened full = open_core(test_path("full"), &nothing);
    struct opened lean = open_core(test_path("lean"), &nothing);
    size_t descriptors = count_descriptors();
    struct module *ours = &module_named(files.image, "libc.so.6")->public;
    struct module *theirs = &module_named(full.image, "libc.so.6")->public;
    assert_int_equal(ours->file_state, MODULE_FILE_VERIFIED);
    assert_int_equal(theirs->file_state, MODULE_FILE_MISSING);
    Elf *file = image_elf(files.image, ours), *memory = image_elf(full.image, theirs);
    assert_non_null(file);
    assert_non_null(memory);
    assert_true(compare_tables(file, memory) > 1000);
    assert_ptr_equal(image_elf(full.image, theirs), memory);
    assert_ptr_equal(image_elf(files.image, ours), file);
    assert_null(image_elf(lean.image, &module_named(lean.image, "libc.so.6")->public));
    // Handles outlive descriptors.
    assert_int_equal(count_descriptors(), descriptors);

    struct module *vdso = &module_named(full.image, "[vdso]")->public;
    uint64_t addr, size;
    assert_true(image_symbol(full.image, vdso, "__vdso_clock_gettime", &addr, &size));
    Dwarf_CFI *cfi = dwarf_getcfi_elf(image_elf(full.image, vdso));
    AUTO_FREE Dwarf_Frame *frame = NULL;
    assert_int_equal(dwarf_cfi_addrframe(cfi, addr - vdso->bias, &frame), 0);
    dwarf_cfi_end(cfi);
    close_all(&files);
    close_all(&full);
    close_all(&lean);
}

// ---- Separate debug files -----------------------------------------------------------------------

#define ID_AT 0x400
#define LINK_AT 0x500
#define NAMES_AT 0x700
#define SECTIONS_AT 0x800

// One page that is mapped r-x: header, a build ID (or none), .gnu_debuglink (or none).
struct small {
    uint8_t bytes[BUILDER_PAGE];
};

static void fill_small(struct small *small, const char *build_id, const char *link, uint32_t crc)
{
    static const char names[] = "\0.gnu_debuglink\0.shstrtab\0.note";
    memset(small, 0, sizeof(*small));
    memset(small->bytes + 0xa00, 0x5a, 0x600);
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_shoff = SECTIONS_AT,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = 4,
        .e_shstrndx = 2};
    Elf64_Phdr phdrs[] = {
        {.p_type = PT_LOAD,
         .p_flags = PF_R | PF_X,
         .p_filesz = BUILDER_PAGE,
         .p_memsz = BUILDER_PAGE,
         .p_align = BUILDER_PAGE},
        {.p_type = PT_NOTE,
         .p_offset = ID_AT,
         .p_vaddr = ID_AT,
         .p_filesz = build_id ? 24 : 0,
         .p_align = 4},
    };
    Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 8, .n_type = NT_GNU_BUILD_ID};
    memcpy(small->bytes + ID_AT, &note, sizeof(note));
    memcpy(small->bytes + ID_AT + 12, "GNU", 4);
    if (build_id)
        memcpy(small->bytes + ID_AT + 16, build_id, 8);
    size_t link_bytes = link ? (strlen(link) + 4) / 4 * 4 : 0;
    if (link) {
        strcpy((char *)small->bytes + LINK_AT, link);
        memcpy(small->bytes + LINK_AT + link_bytes, &crc, sizeof(crc));
    }
    Elf64_Shdr sections[] = {
        {.sh_type = SHT_NULL},
        {.sh_name = 1,
         .sh_type = link ? SHT_PROGBITS : SHT_NULL,
         .sh_offset = LINK_AT,
         .sh_size = link_bytes + 4},
        {.sh_name = 16, .sh_type = SHT_STRTAB, .sh_offset = NAMES_AT, .sh_size = sizeof(names)},
        {.sh_name = 26,
         .sh_type = build_id ? SHT_NOTE : SHT_NULL,
         .sh_flags = SHF_ALLOC,
         .sh_addr = ID_AT,
         .sh_offset = ID_AT,
         .sh_size = 24,
         .sh_addralign = 4},
    };
    memcpy(small->bytes, &header, sizeof(header));
    memcpy(small->bytes + sizeof(header), phdrs, sizeof(phdrs));
    memcpy(small->bytes + NAMES_AT, names, sizeof(names));
    memcpy(small->bytes + SECTIONS_AT, sections, sizeof(sections));
}

// A core that has the file mapped at BASE, all of it dumped.
static void write_core(const char *core, const char *path, const struct small *small)
{
    struct builder builder = {0};
    struct builder_file file = {BASE, BASE + BUILDER_PAGE, 0, path};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, &file, 1);
    builder_load(&builder, BASE, BUILDER_PAGE, BUILDER_PAGE, PF_R | PF_X, small->bytes);
    builder_write(&builder, core);
}

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

struct debug_row {
    const char *place;
    const char *link;
    const char *running_id, *debug_id;
    bool right_crc;
    bool found;
};

static void check_debug(const struct debug_row *row)
{
    struct small debug, running;
    fill_small(&debug, row->debug_id, NULL, 0);
    debug.bytes[0xa00] = 1;
    uint32_t crc = (uint32_t)crc32(0, debug.bytes, sizeof(debug.bytes)) + !row->right_crc;
    fill_small(&running, row->running_id, row->link, crc);
    const char *file = test_path("root/opt/lib/app.so"), *place = test_path(row->place);
    make_parents(file);
    make_parents(place);
    write_file(file, running.bytes, sizeof(running.bytes));
    if (strcmp(file, place) != 0)
        write_file(place, debug.bytes, sizeof(debug.bytes));
    write_core(test_path("core"), "/opt/lib/app.so", &running);
    struct image_options options = {.sysroot = test_path("root"), .debug_dir = test_path("debug")};
    struct opened opened = open_core(test_path("core"), &options);
    assert_int_equal(image_module_count(opened.image), 1);
    size_t descriptors = count_descriptors();
    Elf *elf = image_debug_elf(opened.image, image_module(opened.image, 0));
    print_message("%s, link %s, build IDs %s and %s, CRC %d: %s\n", row->place,
                  row->link ? row->link : "none", row->running_id ? row->running_id : "none",
                  row->debug_id ? row->debug_id : "none", row->right_crc, elf ? "found" : "none");
    assert_int_equal(elf != NULL, row->found);
    size_t size;
    if (elf)
        assert_memory_equal(elf_rawfile(elf, &size), debug.bytes, sizeof(debug.bytes));
    assert_int_equal(count_descriptors(), descriptors);
    close_all(&opened);
    unlink(place);
}

static void test_debuglink(void **state)
{
    (void)state;
    static const char a[] = "AAAAAAAA", b[] = "BBBBBBBB", link[] = "app.debug";
    static const struct debug_row rows[] = {
        {"root/opt/lib/app.debug", link, NULL, NULL, true, true},
        {"root/opt/lib/app.debug", link, NULL, NULL, false, false},
        {"root/opt/lib/.debug/app.debug", link, NULL, NULL, true, true},
        {"root/usr/lib/debug/opt/lib/app.debug", link, NULL, NULL, true, true},
        {"debug/opt/lib/app.debug", link, NULL, NULL, true, true},
        {"debug/app.debug", link, NULL, NULL, true, true},
        {"debug/app.debug", link, NULL, NULL, false, false},
        // Build IDs decide where there are two of them.
        {"root/opt/lib/app.debug", link, a, a, false, true},
        {"root/opt/lib/app.debug", link, a, b, true, false},
        {"root/opt/lib/app.debug", link, a, NULL, true, true},
        {"root/opt/lib/app.debug", link, a, NULL, false, false},
        {"root/opt/lib/app.debug", NULL, a, a, true, false},
        {"root/usr/lib/debug/.build-id/41/41414141414141.debug", NULL, a, a, true, true},
        {"root/usr/lib/debug/.build-id/41/41414141414141.debug", NULL, a, b, true, false},
        {"root/usr/lib/debug/.build-id/41/41414141414141.debug", link, a, NULL, true, false},
        {"debug/.build-id/41/41414141414141.debug", NULL, a, a, true, true},
        // Names that lead elsewhere, and to the file itself.
        {"root/opt/app.debug", "../app.debug", NULL, NULL, true, false},
        {"root/opt/lib/app.so", "app.so", a, a, true, false},
        {"outside.debug", link, NULL, NULL, true, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        check_debug(&rows[i]);
}

static Elf *ask_debuginfod(bool allowed, const char *urls, const char *note)
{
    setenv("DEBUGINFOD_URLS", urls, true);
    struct image_options options = {.sysroot = test_path("root"), .debuginfod = allowed};
    struct opened opened = open_core(test_path("core"), &options);
    struct module *module = image_module(opened.image, 0);
    uint64_t addr, size;
    // A search for a name in all modules must not make each of them wait.
    assert_false(image_symbol(opened.image, module, "nothing", &addr, &size));
    assert_false(has_note(opened.target, "--debuginfod"));
    assert_null(image_local_debug_elf(opened.image, module));
    assert_false(has_note(opened.target, "--debuginfod"));
    Elf *elf = image_debug_elf(opened.image, module);
    assert_ptr_equal(image_local_debug_elf(opened.image, module), elf);
    assert_ptr_equal(image_debug_elf(opened.image, module), elf);
    assert_int_equal(has_note(opened.target, note ? note : "--debuginfod"), note != NULL);
    close_all(&opened);
    return elf;
}

static void test_debuginfod(void **state)
{
    (void)state;
    struct small running, debug;
    char urls[256];
    fill_small(&running, "AAAAAAAA", NULL, 0);
    fill_small(&debug, "AAAAAAAA", NULL, 0);
    debug.bytes[0xa00] = 1;
    const char *place = test_path("server/buildid/4141414141414141/debuginfo");
    make_parents(place);
    write_file(place, debug.bytes, sizeof(debug.bytes));
    make_parents(test_path("root/opt/lib/app.so"));
    write_file(test_path("root/opt/lib/app.so"), running.bytes, sizeof(running.bytes));
    write_core(test_path("core"), "/opt/lib/app.so", &running);
    snprintf(urls, sizeof(urls), "file://%s/server", test_dir);
    setenv("DEBUGINFOD_CACHE_PATH", test_path("cache"), true);
    assert_null(ask_debuginfod(false, urls, NULL));
    assert_int_equal(access(test_path("cache"), F_OK), -1);
    assert_null(ask_debuginfod(true, "", "set DEBUGINFOD_URLS"));
    if (!dlopen("libdebuginfod.so.1", RTLD_NOW)) {
        assert_null(ask_debuginfod(true, urls, "install libdebuginfod1"));
        return;
    }
    assert_non_null(ask_debuginfod(true, urls, NULL));
    // A server that gives another build's file.
    debug.bytes[ID_AT + 16] = 'B';
    write_file(place, debug.bytes, sizeof(debug.bytes));
    setenv("DEBUGINFOD_CACHE_PATH", test_path("other-cache"), true);
    assert_null(ask_debuginfod(true, urls, NULL));
    // One that is not there.
    setenv("DEBUGINFOD_CACHE_PATH", test_path("third-cache"), true);
    assert_null(ask_debuginfod(true, "http://127.0.0.1:1/", "no more is asked"));
}

// However many files a core is read from, few are open at a time.
static void test_many_modules(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    static char paths[COUNT][300];
    static struct small small;
    struct builder_file files[COUNT];
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/many%zu.so", test_dir, i);
        fill_small(&small, NULL, NULL, 0);
        small.bytes[0xa00] = (uint8_t)i;
        write_file(paths[i], small.bytes, sizeof(small.bytes));
        uint64_t at = BASE + i * 2 * BUILDER_PAGE;
        files[i] = (struct builder_file){at, at + BUILDER_PAGE, 0, paths[i]};
        builder_load(&builder, at, BUILDER_PAGE, 0, PF_R | PF_X, NULL);
    }
    builder_files(&builder, files, COUNT);
    builder_write(&builder, test_path("core"));
    size_t descriptors = count_descriptors();
    struct opened opened = open_core(test_path("core"), NULL);
    assert_int_equal(image_module_count(opened.image), COUNT);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            uint8_t bytes[600];
            assert_null(mem_read(opened.target->mem, files[i].start + 0xa00, bytes, 600));
            assert_int_equal(bytes[0], i);
            assert_non_null(image_elf(opened.image, image_module(opened.image, i)));
            assert_true(count_descriptors() <= descriptors + IMAGE_MAX_OPEN + 8);
        }
    }
    close_all(&opened);
    assert_int_equal(count_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rebuilt_equals_file), cmocka_unit_test(test_absent_pages),
        cmocka_unit_test(test_core_without_files),  cmocka_unit_test(test_debuglink),
        cmocka_unit_test(test_debuginfod),          cmocka_unit_test(test_many_modules),
    };
    return cmocka_run_group_tests_name("image_elf", tests, make_test_dir, remove_test_dir);
}
