// SPDX-License-Identifier: GPL-3.0-or-later
// Code that a program registers for debuggers: this program registers ELF images the way a JIT
// compiler does (its child is the target, its own memory the target's), then damages the list.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <elfutils/libdw.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/elf.h"
#include "image/image_private.h"
#include "target/live.h"
#include "util/guard.h"

// ---- gdb manual, "JIT Interface" ----------------------------------------------------------------

struct jit_code_entry {
    struct jit_code_entry *next_entry, *prev_entry;
    const void *symfile_addr;
    uint64_t symfile_size;
};

struct jit_descriptor {
    uint32_t version;
    uint32_t action_flag;
    struct jit_code_entry *relevant_entry, *first_entry;
};

extern struct jit_descriptor __jit_debug_descriptor;
struct jit_descriptor __jit_debug_descriptor = {1, 0, NULL, NULL};

#define CODE_BYTES 0x40
#define CODE(i) (0x7e0000000000ull + (uint64_t)(i)*0x1000)

// What CPython 3.15's JIT registers: .text, .eh_frame with frame pointers, no program headers.
struct symfile {
    Elf64_Ehdr header;
    uint8_t text[CODE_BYTES];
    struct {
        uint32_t cie_bytes, cie_id;
        uint8_t cie[16]; // version, "zR", factors, augmentation data, rules
        uint32_t fde_bytes, fde_cie;
        uint64_t start, size;
        uint8_t augmentation[8];
        uint32_t end;
    } __attribute__((packed)) eh_frame;
    char names[32];
    Elf64_Shdr sections[4];
} __attribute__((packed));

static void fill_symfile(struct symfile *file, uint64_t code)
{
    static const char names[] = "\0.text\0.eh_frame\0.shstrtab";
    *file = (struct symfile){
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                               EV_CURRENT},
                   .e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_shoff = offsetof(struct symfile, sections),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = 4,
                   .e_shstrndx = 3},
        // def_cfa rbp+16, rbp at cfa-16, return address at cfa-8
        .eh_frame = {.cie_bytes = 4 + 16,
                     .cie = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0, 0x0c, 6, 16, 0x86, 2, 0x90, 1},
                     .fde_bytes = 4 + 16 + 8,
                     .fde_cie = 28,
                     .start = code,
                     .size = CODE_BYTES},
        .sections = {{.sh_type = SHT_NULL},
                     {.sh_name = 1,
                      .sh_type = SHT_PROGBITS,
                      .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                      .sh_addr = code,
                      .sh_offset = offsetof(struct symfile, text),
                      .sh_size = CODE_BYTES},
                     {.sh_name = 7,
                      .sh_type = SHT_PROGBITS,
                      .sh_flags = SHF_ALLOC,
                      .sh_addr = code + CODE_BYTES,
                      .sh_offset = offsetof(struct symfile, eh_frame),
                      .sh_size = sizeof(file->eh_frame)},
                     {.sh_name = 17,
                      .sh_type = SHT_STRTAB,
                      .sh_offset = offsetof(struct symfile, names),
                      .sh_size = sizeof(names)}},
    };
    memcpy(file->names, names, sizeof(names));
}

// ---- The target ---------------------------------------------------------------------------------

#define MAX_OBJECTS 8
#define SCENE_BYTES (4u << 20) // more than one object may have

static struct scene {
    struct live *live;
    struct image *image;
    struct mem *mem;
    size_t reads;
    struct jit_code_entry entries[MAX_OBJECTS];
    struct symfile *files; // MAX_OBJECTS
} scene;

static size_t read_self(void *arg, uint64_t addr, void *buffer, size_t size)
{
    (void)arg;
    struct iovec ours = {buffer, size}, theirs = {(void *)(uintptr_t)addr, size}; // NOLINT
    ssize_t got = process_vm_readv(getpid(), &ours, 1, &theirs, 1, 0);
    scene.reads++;
    return got > 0 ? (size_t)got : 0;
}

static int open_scene(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_null(live_open(pid, &scene.live));
    if (scene.live->refusal) {
        print_message("%s\n", scene.live->refusal);
        return -1;
    }
    assert_null(image_open(scene.live->target, NULL, &scene.image));
    scene.mem = mem_create();
    assert_null(mem_add(scene.mem, 0x1000, 0x7ffffffff000, MEM_LIVE, read_self, NULL, false));
    scene.files =
        mmap(NULL, SCENE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(scene.files != MAP_FAILED);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    pid_t pid = scene.live->target->pid;
    image_destroy(scene.image);
    live_close(scene.live);
    mem_destroy(scene.mem);
    munmap(scene.files, SCENE_BYTES);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return 0;
}

// Registers objects 0 to count - 1, in that order in the list.
static void register_all(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fill_symfile(&scene.files[i], CODE(i));
        scene.entries[i] =
            (struct jit_code_entry){.next_entry = i + 1 < count ? &scene.entries[i + 1] : NULL,
                                    .prev_entry = i ? &scene.entries[i - 1] : NULL,
                                    .symfile_addr = &scene.files[i],
                                    .symfile_size = sizeof(struct symfile)};
    }
    __jit_debug_descriptor =
        (struct jit_descriptor){1, 1, count ? scene.entries : NULL, count ? scene.entries : NULL};
}

static void refresh(void)
{
    image_jit_refresh(scene.image, scene.mem);
}

static bool known(size_t i)
{
    const struct image_jit *jit = image_jit_at(scene.image, CODE(i) + 1);
    if (!jit)
        return false;
    assert_int_equal(jit->start, CODE(i));
    assert_int_equal(jit->end, CODE(i) + CODE_BYTES);
    assert_int_equal(jit->bias, 0);
    return true;
}

static void check_known(size_t count)
{
    for (size_t i = 0; i < MAX_OBJECTS; i++)
        assert_int_equal(known(i), i < count);
}

// ---- Tests --------------------------------------------------------------------------------------

static void test_objects(void **state)
{
    (void)state;
    register_all(0);
    refresh();
    check_known(0);
    register_all(5);
    refresh();
    check_known(5);
    assert_null(image_jit_at(scene.image, CODE(0) - 1));
    assert_null(image_jit_at(scene.image, CODE(0) + CODE_BYTES));
    assert_null(image_jit_at(scene.image, 0));
    assert_null(image_jit_at(scene.image, UINT64_MAX));

    const struct image_jit *jit = image_jit_at(scene.image, CODE(3) + 8);
    Dwarf_CFI *cfi = dwarf_getcfi_elf(jit->elf);
    assert_non_null(cfi);
    AUTO_FREE Dwarf_Frame *frame = NULL;
    Dwarf_Op *ops;
    size_t count;
    assert_int_equal(dwarf_cfi_addrframe(cfi, CODE(3) + 8, &frame), 0);
    assert_int_equal(dwarf_frame_cfa(frame, &ops, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(ops[0].number, 6); // rbp
    assert_int_equal(ops[0].number2, 16);
    dwarf_cfi_end(cfi);
}

static void test_changes(void **state)
{
    (void)state;
    register_all(4);
    refresh();
    uint64_t generation = image_jit_generation(scene.image);
    Elf *elf = image_jit_at(scene.image, CODE(3))->elf;
    for (int i = 0; i < 20; i++)
        refresh();
    assert_int_equal(image_jit_generation(scene.image), generation);
    assert_ptr_equal(image_jit_at(scene.image, CODE(3))->elf, elf);

    // One goes that is not the first: the descriptor says the same as before.
    scene.entries[0].next_entry = &scene.entries[2];
    scene.entries[2].prev_entry = &scene.entries[0];
    refresh();
    assert_true(known(0) && !known(1) && known(2) && known(3));
    assert_int_not_equal(image_jit_generation(scene.image), generation);
    assert_ptr_equal(image_jit_at(scene.image, CODE(3))->elf, elf); // the others were kept

    // Another object at an old one's place.
    fill_symfile(&scene.files[2], CODE(6));
    refresh();
    assert_true(known(0) && !known(2) && known(6));

    // One that cannot be read at first.
    scene.entries[3].symfile_addr = (void *)0x1000;
    refresh();
    assert_false(known(3));
    scene.entries[3].symfile_addr = &scene.files[3];
    refresh();
    assert_true(known(3));
    register_all(0);
    refresh();
    check_known(0);
}

// Unchanged lists cost a read for the descriptor and two for each of a few entries.
static void test_cheap_when_unchanged(void **state)
{
    (void)state;
    register_all(MAX_OBJECTS);
    refresh();
    scene.reads = 0;
    refresh();
    assert_int_equal(scene.reads, 1 + 2 * MAX_OBJECTS);
    static struct jit_code_entry many[500];
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] =
            (struct jit_code_entry){.next_entry = i + 1 < ARRAY_SIZE(many) ? many + i + 1 : NULL,
                                    .symfile_addr = scene.files,
                                    .symfile_size = sizeof(struct symfile)};
    scene.entries[MAX_OBJECTS - 1].next_entry = many;
    refresh();
    scene.reads = 0;
    refresh();
    assert_true(scene.reads < 40);
    // Some in turn: none goes unseen for long.
    uint64_t generation = image_jit_generation(scene.image);
    many[250].next_entry = &many[252];
    for (size_t i = 0; i < ARRAY_SIZE(many) / 10; i++)
        refresh();
    assert_int_not_equal(image_jit_generation(scene.image), generation);
    register_all(0);
    refresh();
    scene.reads = 0;
    refresh();
    assert_int_equal(scene.reads, 1);
}

static void test_hostile_lists(void **state)
{
    (void)state;
    // A list that ends in a cycle, of each length and at each place.
    for (size_t last = 0; last < MAX_OBJECTS; last++) {
        for (size_t back = 0; back <= last; back++) {
            register_all(last + 1);
            scene.entries[last].next_entry = &scene.entries[back];
            scene.reads = 0;
            refresh();
            check_known(last + 1);
            assert_true(scene.reads < 100);
        }
    }
    register_all(4);
    __jit_debug_descriptor.version = 2;
    refresh();
    check_known(0);
    __jit_debug_descriptor.version = 1;
    scene.entries[1].next_entry = (void *)8;
    refresh();
    check_known(2);

    // Sizes: one that is absurd costs that object only.
    static const uint64_t sizes[] = {0, 8, (1u << 20) + 1, 1ull << 40, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        register_all(3);
        scene.entries[1].symfile_size = sizes[i];
        refresh();
        assert_true(known(0) && !known(1) && known(2));
    }
    // More than fits the whole budget, each of a size that is allowed.
    register_all(1);
    enum { MANY = 1000 };
    static struct jit_code_entry many[MANY];
    for (size_t i = 0; i < MANY; i++)
        many[i] = (struct jit_code_entry){.next_entry = i + 1 < MANY ? &many[i + 1] : NULL,
                                          .symfile_addr = scene.files,
                                          .symfile_size = 1u << 20};
    scene.entries[0].next_entry = many;
    refresh();
    check_known(0); // the same code a thousand times: nobody's
}

static void test_hostile_objects(void **state)
{
    (void)state;
    // Two that claim one address: neither is believed; others are.
    register_all(4);
    scene.files[2].sections[1].sh_addr = CODE(1) + 8;
    refresh();
    assert_true(known(0) && !known(1) && !known(2) && known(3));

    register_all(4);
    scene.files[1].header.e_ident[EI_CLASS] = ELFCLASS32;
    scene.files[2].sections[1].sh_size = UINT64_MAX;
    memset(scene.files[3].header.e_ident, 'x', 4);
    refresh();
    check_known(1);

    // Any byte may be anything.
    uint64_t random = 0x2545f4914f6cdd1d;
    for (int round = 0; round < 3000; round++) {
        register_all(2);
        for (int i = 0; i < 4; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            ((uint8_t *)&scene.files[1])[random % sizeof(struct symfile)] = (uint8_t)(random >> 40);
        }
        refresh();
        const struct image_jit *jit = image_jit_at(scene.image, CODE(1) + 1);
        Dwarf_CFI *cfi = jit ? dwarf_getcfi_elf(jit->elf) : NULL;
        Dwarf_Frame *frame = NULL;
        if (cfi && dwarf_cfi_addrframe(cfi, CODE(1) + 1, &frame) == 0)
            free(frame);
        if (cfi)
            dwarf_cfi_end(cfi);
    }
}

// ---- CPython 3.15 -------------------------------------------------------------------------------

static const char program[] = "import sys, time\n"
                              "if not sys._jit.is_enabled(): sys.exit(7)\n"
                              "def f(n):\n"
                              " s = 0\n"
                              " for i in range(n):\n"
                              "  s += i & 3\n"
                              "  if i % 7 == 0: s ^= 1\n"
                              " return s\n"
                              "for i in range(20): f(20000)\n"
                              "print(end='x', flush=True)\n"
                              "time.sleep(1000)\n";

static void exec_python(int out)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, 1);
    setenv("PYTHON_JIT", "1", true);
    char folders[4096];
    snprintf(folders, sizeof(folders), "%s",
             getenv("PYCORE_PYTHONS") ? getenv("PYCORE_PYTHONS") : "");
    char *rest, path[4200];
    for (char *folder = strtok_r(folders, ":", &rest); folder;
         folder = strtok_r(NULL, ":", &rest)) {
        snprintf(path, sizeof(path), "%s/python3.15", folder);
        execl(path, "python3.15", "-c", program, NULL);
    }
    execlp("python3.15", "python3.15", "-c", program, NULL);
    _exit(7);
}

// Every object that the interpreter's JIT registered, with unwind rules for its code.
static void test_cpython(void **state)
{
    (void)state;
    int out[2], status;
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0)
        exec_python(out[1]);
    close(out[1]);
    char byte;
    bool ready = read(out[0], &byte, 1) == 1;
    close(out[0]);
    if (!ready) {
        waitpid(pid, &status, 0);
        print_message("no CPython 3.15 with a JIT (status %d)\n", status);
        skip();
    }
    struct live *live;
    struct image *image;
    assert_null(live_open(pid, &live));
    assert_null(image_open(live->target, NULL, &image));
    image_jit_refresh(image, live->target->mem);
    size_t objects = 0, rules = 0;
    const struct image_jit *last = NULL;
    vec_foreach (mapping, &live->target->mappings) {
        for (uint64_t at = mapping->start;
             mapping->executable && !mapping->path && at < mapping->end; at += 16) {
            const struct image_jit *jit = image_jit_at(image, at);
            if (!jit || jit == last)
                continue;
            last = jit;
            objects++;
            assert_true(jit->end <= mapping->end);
            Dwarf_CFI *cfi = dwarf_getcfi_elf(jit->elf);
            AUTO_FREE Dwarf_Frame *frame = NULL;
            rules += cfi && dwarf_cfi_addrframe(cfi, at - jit->bias, &frame) == 0;
            dwarf_cfi_end(cfi);
        }
    }
    print_message("%zu objects, %zu with rules\n", objects, rules);
    assert_true(objects >= 2);
    assert_int_equal(rules, objects);
    image_destroy(image);
    live_close(live);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_cheap_when_unchanged),
        cmocka_unit_test(test_hostile_lists),
        cmocka_unit_test(test_hostile_objects),
        cmocka_unit_test(test_cpython),
    };
    return cmocka_run_group_tests_name("image_jit", tests, open_scene, close_scene);
}
