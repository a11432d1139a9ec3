// SPDX-License-Identifier: GPL-3.0-or-later
// What pycore writes as a core, libelf and pycore's own reader find again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gelf.h>

#include "core_builder.h"
#include "dump/corefile.h"
#include "util/guard.h"

#define BASE 0x7f0000000000ull

static const struct corefile_process process = {
    .pid = 100,
    .ppid = 1,
    .pgrp = 99,
    .sid = 98,
    .uid = 1000,
    .gid = 1001,
    .state = 'S',
    .name = "a name that is too long",
    .psargs = "python3 app.py",
};

static struct arch_regs some_regs(uint64_t ip)
{
    uint64_t raw[27] = {
        [REG_FP] = 0x5005, [REG_IP] = ip, [REG_SP] = 0x7ffe0000, [REG_ORIG_AX] = (uint64_t)-1};
    struct arch_regs regs;
    arch_host()->regs_from_gregset(raw, &regs);
    return regs;
}

static void fill_notes(struct corefile_bytes *notes)
{
    struct target_mapping rows[] = {
        {.start = BASE, .end = BASE + 0x3000, .offset = 0x2000, .path = "/opt/a", .deleted = true},
        {.start = BASE + 0x3000, .end = BASE + 0x5000, .path = "[heap]"},
        {.start = BASE + 0x5000, .end = BASE + 0x6000},
        {.start = BASE + 0x6000, .end = BASE + 0x7000, .path = "/opt/b c"},
    };
    struct target_mappings mappings = {rows, ARRAY_SIZE(rows), ARRAY_SIZE(rows)};
    struct arch_regs regs = some_regs(0x401000), other = some_regs(0x402000);
    assert_true(corefile_note_thread(notes, arch_host(), 101, &process, &regs, SIGABRT));
    assert_true(corefile_note_process(notes, &process));
    assert_true(corefile_note_files(notes, &mappings));
    assert_true(corefile_note_thread(notes, arch_host(), 100, &process, &other, 0));
    assert_true(corefile_note(notes, "LINUX", NT_X86_XSTATE, "abcde", 5));
}

static void write_core(const char *path, const struct corefile_bytes *notes,
                       struct corefile_segments *segments)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    uint64_t end = corefile_place(segments);
    assert_int_equal(ftruncate(fd, (off_t)end), 0);
    assert_null(corefile_write_headers(fd, arch_host(), segments));
    const struct corefile_segment *first = &segments->items[0];
    assert_int_equal(pwrite(fd, notes->items, notes->count, (off_t)first->offset), notes->count);
    close(fd);
}

static void add_segment(struct corefile_segments *segments, uint32_t type, uint64_t addr,
                        uint64_t file_bytes, uint64_t mem_bytes, uint64_t align)
{
    assert_true(vec_push(segments, (struct corefile_segment){.type = type,
                                                             .flags = PF_R | PF_W,
                                                             .addr = addr,
                                                             .file_bytes = file_bytes,
                                                             .mem_bytes = mem_bytes,
                                                             .align = align}));
}

static void test_read_back_with_libelf(void **state)
{
    (void)state;
    struct corefile_bytes notes = {0};
    struct corefile_segments segments = {0};
    fill_notes(&notes);
    add_segment(&segments, PT_NOTE, 0, notes.count, 0, 4);
    add_segment(&segments, PT_LOAD, BASE, 0, 0x3000, 4096);
    add_segment(&segments, PT_LOAD, BASE + 0x3000, 0x2000, 0x2000, 4096);
    write_core(test_path("small"), &notes, &segments);

    int fd = open(test_path("small"), O_RDONLY | O_CLOEXEC);
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    GElf_Ehdr header;
    GElf_Phdr row;
    size_t count = 0;
    assert_non_null(gelf_getehdr(elf, &header));
    assert_int_equal(header.e_type, ET_CORE);
    assert_int_equal(header.e_machine, arch_host()->elf_machine);
    assert_int_equal(elf_getphdrnum(elf, &count), 0);
    assert_int_equal(count, 3);
    assert_non_null(gelf_getphdr(elf, 2, &row));
    assert_int_equal(row.p_vaddr, BASE + 0x3000);
    assert_int_equal(row.p_filesz, 0x2000);
    assert_int_equal(row.p_offset % 4096, 0);
    assert_int_equal(row.p_flags, PF_R | PF_W);
    assert_non_null(gelf_getphdr(elf, 0, &row));
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)row.p_offset, row.p_filesz, ELF_T_NHDR);
    static const struct {
        uint32_t type, size;
        const char *name;
    } expected[] = {
        {NT_PRSTATUS, 336, "CORE"},
        {NT_PRPSINFO, 136, "CORE"},
        {NT_FILE, 16 + 2 * 24 + 17 + 9, "CORE"},
        {NT_PRSTATUS, 336, "CORE"},
        {NT_X86_XSTATE, 5, "LINUX"},
    };
    size_t at = 0, found = 0;
    GElf_Nhdr note;
    for (size_t name, desc; (at = gelf_getnote(data, at, &note, &name, &desc)) > 0; found++) {
        assert_true(found < ARRAY_SIZE(expected));
        assert_int_equal(note.n_type, expected[found].type);
        assert_int_equal(note.n_descsz, expected[found].size);
        assert_string_equal((char *)data->d_buf + name, expected[found].name);
    }
    assert_int_equal(found, ARRAY_SIZE(expected));
    elf_end(elf);
    close(fd);
    vec_deinit(&notes);
    vec_deinit(&segments);
}

static void test_read_back_with_pycore(void **state)
{
    (void)state;
    struct target *target = NULL;
    assert_null(target_open_core(test_path("small"), &target));
    assert_false(target->truncated);
    assert_int_equal(target->pid, 100);
    assert_int_equal(target->signal.signo, SIGABRT);
    assert_int_equal(target->threads.count, 2);
    assert_int_equal(target->threads.items[0].tid, 101);
    assert_int_equal(target->threads.items[0].regs.ip, 0x401000);
    assert_int_equal(target->threads.items[0].regs.fp, 0x5005);
    assert_int_equal(target->threads.items[1].tid, 100);
    assert_int_equal(target->threads.items[1].regs.ip, 0x402000);
    const struct target_mapping *mapping = target_mapping_at(target, BASE + 0x1000);
    assert_non_null(mapping);
    assert_string_equal(mapping->path, "/opt/a");
    assert_true(mapping->deleted);
    assert_int_equal(mapping->offset, 0x2000);
    mapping = target_mapping_at(target, BASE + 0x6000);
    assert_non_null(mapping);
    assert_string_equal(mapping->path, "/opt/b c");
    assert_string_equal(target->argv[0], "python3");
    assert_string_equal(target->argv[1], "app.py");
    target_destroy(target);
}

// One segment more than e_phnum can say, one less, and exactly as many.
static void many_segments(size_t loads)
{
    struct corefile_bytes notes = {0};
    struct corefile_segments segments = {0};
    fill_notes(&notes);
    add_segment(&segments, PT_NOTE, 0, notes.count, 0, 4);
    for (size_t i = 0; i < loads; i++)
        add_segment(&segments, PT_LOAD, BASE + i * 0x2000,
                    i == 0           ? 0x1000
                    : i + 1 == loads ? 3
                                     : 0,
                    0x1000, i + 1 == loads ? 1 : 4096);
    write_core(test_path("many"), &notes, &segments);

    int fd = open(test_path("many"), O_RDONLY | O_CLOEXEC);
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
    GElf_Ehdr header;
    GElf_Phdr row;
    size_t count = 0;
    assert_non_null(gelf_getehdr(elf, &header));
    assert_int_equal(header.e_phnum, loads + 1 < PN_XNUM ? loads + 1 : PN_XNUM);
    assert_int_equal(header.e_shnum, loads + 1 < PN_XNUM ? 0 : 1);
    assert_int_equal(elf_getphdrnum(elf, &count), 0);
    assert_int_equal(count, loads + 1);
    assert_non_null(gelf_getphdr(elf, (int)loads, &row));
    assert_int_equal(row.p_vaddr, BASE + (loads - 1) * 0x2000);
    elf_end(elf);
    close(fd);

    struct target *target = NULL;
    struct err *err = target_open_core(test_path("many"), &target);
    assert_null(err);
    assert_false(target->truncated);
    assert_int_equal(target->threads.count, 2);
    assert_non_null(target_mapping_at(target, BASE + (loads - 1) * 0x2000));
    target_destroy(target);
    vec_deinit(&notes);
    vec_deinit(&segments);
}

static void test_many_segments(void **state)
{
    (void)state;
    many_segments(PN_XNUM - 2);
    many_segments(PN_XNUM - 1);
    many_segments(PN_XNUM);
    many_segments(70000);
}

// What /proc says of a sleeper has no `raw`.
static void test_few_registers(void **state)
{
    (void)state;
    struct arch_regs regs = {
        .ip = 0x401000, .sp = 0x7ffe0000, .syscall = 202, .args = {1, 2, 3, 4, 5, 6}};
    unsigned char gregset[27 * 8];
    struct arch_regs back;
    arch_host()->regs_to_gregset(&regs, gregset);
    arch_host()->regs_from_gregset(gregset, &back);
    assert_int_equal(back.ip, regs.ip);
    assert_int_equal(back.sp, regs.sp);
    assert_int_equal(back.fp, 0);
    assert_int_equal(back.syscall, 202);
    assert_memory_equal(back.args, regs.args, sizeof(regs.args));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back_with_libelf),
        cmocka_unit_test(test_read_back_with_pycore),
        cmocka_unit_test(test_many_segments),
        cmocka_unit_test(test_few_registers),
    };
    return cmocka_run_group_tests(tests, make_test_dir, remove_test_dir);
}
