// SPDX-License-Identifier: GPL-3.0-or-later
// Registers of x86_64, and what its system calls say of a thread that sleeps in one.
#include "fake_memory.h"

#include <elf.h>
#include <sys/user.h>

#include "target/arch.h"

static const struct arch *arch(void)
{
    return arch_by_elf_machine(EM_X86_64);
}

static void test_machines(void **state)
{
    (void)state;
    assert_non_null(arch());
    assert_string_equal(arch()->name, "x86_64");
    assert_ptr_equal(arch_host(), arch());
    assert_null(arch_by_elf_machine(EM_386));
    assert_null(arch_by_elf_machine(0));
}

static void test_gregset(void **state)
{
    (void)state;
    struct user_regs_struct from;
    struct arch_regs regs;
    assert_int_equal(arch()->gregset_bytes, sizeof(from));
    for (size_t i = 0; i < sizeof(from) / 8; i++)
        ((unsigned long long *)&from)[i] = 0x1000 + i;
    from.rip = 1, from.rsp = 2, from.rbp = 3, from.fs_base = 4, from.orig_rax = 5;
    from.rax = (unsigned long long)-512;
    from.rdi = 10, from.rsi = 11, from.rdx = 12, from.r10 = 13, from.r8 = 14, from.r9 = 15;
    arch()->regs_from_gregset(&from, &regs);
    assert_int_equal(regs.ip, 1);
    assert_int_equal(regs.sp, 2);
    assert_int_equal(regs.fp, 3);
    assert_int_equal(regs.tls, 4);
    assert_int_equal(regs.syscall, 5);
    assert_int_equal(regs.syscall_value, -512);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(regs.args[i], 10 + i);
    assert_int_equal(regs.raw_count, 27);
    assert_memory_equal(regs.raw, &from, sizeof(from));
    // No system call: -1, and whatever else is negative.
    from.orig_rax = (unsigned long long)-1;
    arch()->regs_from_gregset(&from, &regs);
    assert_int_equal(regs.syscall, -1);
    from.orig_rax = (unsigned long long)-60;
    arch()->regs_from_gregset(&from, &regs);
    assert_int_equal(regs.syscall, -1);
}

static void test_blocked(void **state)
{
    (void)state;
    for (int64_t value = -600; value <= 600; value++) {
        struct arch_regs regs = {.syscall = 202, .syscall_value = value};
        bool blocked = value == -512 || value == -513 || value == -514 || value == -516 ||
                       value == -4;
        assert_int_equal(arch_blocked_in_syscall(&regs), blocked);
        regs.syscall = -1; // user code that has such a number in its register
        assert_false(arch_blocked_in_syscall(&regs));
    }
    struct arch_regs read = {.syscall = 0, .syscall_value = -512}; // read(2) is number 0
    assert_true(arch_blocked_in_syscall(&read));
}

// ---- restart_syscall ----------------------------------------------------------------------------

enum { READ = 0, POLL = 7, SELECT = 23, NANOSLEEP = 35, FUTEX = 202, RESTART = 219,
       CLOCK_NANOSLEEP = 230 };

// What a thread in restart_syscall was in, with `mov $number,%eax; syscall` before its ip.
static int64_t original(uint32_t number, const uint64_t args[6])
{
    struct fake_memory memory;
    struct arch_regs regs = {.syscall = RESTART, .syscall_value = -516, .ip = FAKE_BASE + 0x47};
    uint8_t code[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05};
    fake_memory_init(&memory, 4096);
    memcpy(code + 1, &number, 4);
    fake_put(&memory, FAKE_BASE + 0x40, code, sizeof(code));
    memcpy(regs.args, args, sizeof(regs.args));
    int64_t found = arch_original_syscall(arch(), memory.mem, &regs);
    fake_memory_deinit(&memory);
    return found;
}

static void test_restart_told_by_code(void **state)
{
    (void)state;
    static const int64_t calls[] = {POLL, NANOSLEEP, FUTEX, CLOCK_NANOSLEEP};
    // Arguments that say poll.
    static const uint64_t args[6] = {0x7fff00001000, 3, 100};
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        assert_int_equal(original((uint32_t)calls[i], args), calls[i]);
    // A number that never restarts is a chance find: the arguments decide.
    assert_int_equal(original(READ, args), POLL);
    assert_int_equal(original(RESTART, args), POLL);
}

static void test_restart_told_by_arguments(void **state)
{
    (void)state;
    static const struct {
        int64_t expected;
        uint64_t args[6];
    } cases[] = {
        {CLOCK_NANOSLEEP, {1, 1, 0x7fff00001000, 0}},          // CLOCK_MONOTONIC, TIMER_ABSTIME
        {CLOCK_NANOSLEEP, {0, 0, 0x7fff00001000, 0x7fff00001000}}, // CLOCK_REALTIME
        {CLOCK_NANOSLEEP, {0, 1, 0x7fff00001000, 0}},
        {FUTEX, {0x7f0000001230, 0x80, 2, 0x7fff00001000}},    // FUTEX_WAIT_PRIVATE
        {FUTEX, {0x7f0000001230, 0x189, 0, 0x7fff00001000}},   // WAIT_BITSET|CLOCK_REALTIME|PRIVATE
        {FUTEX, {0x7f0000001230, 0x89, 0, 0x7fff00001000}},
        {POLL, {0x7fff00001000, 1, 100}},
        {POLL, {0x7fff00001000, 60000, 0xffffffff}},
        {POLL, {0, 0, 100}},                                   // poll(NULL, 0, ms): a sleep
        {NANOSLEEP, {0x7fff00001000, 0x7fff00001010}},
        {NANOSLEEP, {0x7fff00001000, 0, 0}},
        {RESTART, {0x7fff00001000, 100000, 5}},                // none of them
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arch_regs regs = {.syscall = RESTART, .syscall_value = -516, .ip = 0x1000};
        struct mem *nothing = mem_create();
        memcpy(regs.args, cases[i].args, sizeof(regs.args));
        int64_t found = arch_original_syscall(arch(), nothing, &regs);
        if (found != cases[i].expected)
            fail_msg("case %zu: %lld", i, (long long)found);
        // The same with code that loads the number elsewhere.
        assert_int_equal(original(READ, cases[i].args), cases[i].expected);
        mem_destroy(nothing);
    }
}

static void test_other_calls_stay(void **state)
{
    (void)state;
    struct arch_regs regs = {.syscall = FUTEX, .args = {1, 0, 5000}};
    assert_int_equal(arch_original_syscall(arch(), NULL, &regs), FUTEX);
    regs.syscall = -1;
    assert_int_equal(arch_original_syscall(arch(), NULL, &regs), -1);
}

// ---- What a call waits for ----------------------------------------------------------------------

static void test_waits(void **state)
{
    (void)state;
    static const struct {
        int64_t number;
        uint64_t args[6];
        enum arch_wait expected;
        const char *name;
    } cases[] = {
        {READ, {0}, ARCH_WAIT_IO, "read"},
        {45, {3}, ARCH_WAIT_IO, "recvfrom"},
        {POLL, {1, 1}, ARCH_WAIT_IO, "poll"},
        {POLL, {0, 0, 100}, ARCH_WAIT_SLEEP, "poll"},
        {SELECT, {4}, ARCH_WAIT_IO, "select"},
        {SELECT, {0, 0, 0, 0, 0x1000}, ARCH_WAIT_SLEEP, "select"},
        {270, {0}, ARCH_WAIT_SLEEP, "pselect6"},
        {270, {1}, ARCH_WAIT_IO, "pselect6"},
        {271, {0, 0}, ARCH_WAIT_SLEEP, "ppoll"},
        {271, {0, 2}, ARCH_WAIT_IO, "ppoll"},
        {NANOSLEEP, {0x1000}, ARCH_WAIT_SLEEP, "nanosleep"},
        {CLOCK_NANOSLEEP, {1}, ARCH_WAIT_SLEEP, "clock_nanosleep"},
        {34, {0}, ARCH_WAIT_SLEEP, "pause"},
        {FUTEX, {0x1000}, ARCH_WAIT_LOCK, "futex"},
        {449, {0x1000}, ARCH_WAIT_LOCK, "futex_waitv"},
        {232, {5}, ARCH_WAIT_IO, "epoll_wait"},
        {281, {5}, ARCH_WAIT_IO, "epoll_pwait"},
        {61, {0}, ARCH_WAIT_IO, "wait4"},
        {56, {0}, ARCH_WAIT_OTHER, "clone"},
        {39, {0}, ARCH_WAIT_OTHER, NULL}, // getpid: not in the table
        {-1, {0}, ARCH_WAIT_OTHER, NULL},
        {1 << 30, {0}, ARCH_WAIT_OTHER, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum arch_wait wait = arch_syscall_wait(arch(), cases[i].number, cases[i].args);
        if (wait != cases[i].expected)
            fail_msg("case %zu: %d", i, wait);
        const char *name = arch_syscall_name(arch(), cases[i].number);
        if (cases[i].name)
            assert_string_equal(name, cases[i].name);
        else
            assert_null(name);
    }
}

static void test_futex_address(void **state)
{
    (void)state;
    static const uint64_t args[6] = {0x7f1234567890, 1};
    assert_int_equal(arch_futex_address(arch(), FUTEX, args), 0x7f1234567890);
    assert_int_equal(arch_futex_address(arch(), 455, args), 0x7f1234567890); // futex_wait
    assert_int_equal(arch_futex_address(arch(), 449, args), 0); // a list of waiters, no word
    assert_int_equal(arch_futex_address(arch(), READ, args), 0);
    assert_int_equal(arch_futex_address(arch(), -1, args), 0);
}

// ---- Switches of stacks -------------------------------------------------------------------------

#define BEGIN "\x48\x83\xec\x20\xd9\x7c\x24\x0a\x0f\xae\x5c\x24\x0c" // fnstcw; stmxcsr
#define SAVE "\x48\x89\x6c\x24\x10\x48\x89\x5c\x24\x18"              // mov %rbp,16(%rsp); %rbx
#define CALL "\x48\x89\xe3\xe8\0\0\0\0"                                // mov %rsp,%rbx; call
#define SWITCH "\x48\x01\xc4\x48\x01\xc5"                               // add %rax,%rsp; %rbp
#define LOAD "\xe8\0\0\0\0\x48\x31\xc0\x48\x8b\x5c\x24\x18\x48\x8b\x6c\x24\x10"
#define END "\x0f\xae\x54\x24\x0c\xd9\x6c\x24\x0a\x48\x83\xc4\x20\xc3" // ldmxcsr; fldcw

static size_t count_switches(const char *code, size_t size, struct arch_switch *ret)
{
    struct arch_switch found;
    size_t count = 0;
    for (size_t at = 0; at <= size; at++)
        if (arch()->unwind->switches_stack((const uint8_t *)code, size, at, &found)) {
            *ret = found;
            count++;
        }
    return count;
}

#define COUNT(code) count_switches((code), sizeof(code) - 1, &found)

static void test_switches_stack(void **state)
{
    (void)state;
    struct arch_switch found = {0};
    static const char code[] = BEGIN SAVE CALL SWITCH LOAD END;
    size_t at = sizeof(BEGIN SAVE CALL SWITCH) - 1;
    assert_int_equal(COUNT(code), 1);
    assert_true(arch()->unwind->switches_stack((const uint8_t *)code, sizeof(code) - 1, at, &found));
    assert_int_equal(found.fp_base, arch()->unwind->sp);
    assert_int_equal(found.fp_at, 16);
    // %r15, which takes another prefix; frame pointers, and locals far away.
    assert_int_equal(COUNT(BEGIN SAVE CALL "\x4c\x01\xfc\x4c\x01\xfd" LOAD END), 1);
    assert_int_equal(COUNT("\xd9\x7d\xba\x0f\xae\x5d\xbc\x48\x89\xad\xc0\xfe\xff\xff" CALL SWITCH
                           "\x48\x8b\xad\xc0\xfe\xff\xff\x0f\xae\x55\xbc\xd9\x6d\xba\xc9\xc3"
                           "\x90\x90\x90\x90"),
                     1);
    assert_int_equal(found.fp_base, arch()->unwind->fp);
    assert_int_equal(found.fp_at, -320);
    // Other registers for each; another local at the end; parts that are missing.
    assert_int_equal(COUNT(BEGIN SAVE CALL "\x48\x01\xc4\x48\x01\xcd" LOAD END), 0);
    assert_int_equal(COUNT("\xd9\x7c\x24\x0a\x0f\xae\x5c\x24\x0c\x48\x89\x6c\x24\x08" CALL SWITCH LOAD END),
                     0);
    assert_int_equal(COUNT(SAVE CALL SWITCH LOAD END), 0);
    assert_int_equal(COUNT(BEGIN CALL SWITCH LOAD END), 0);
    assert_int_equal(COUNT(BEGIN SAVE CALL SWITCH END), 0);
    assert_int_equal(COUNT(BEGIN SAVE CALL SWITCH LOAD), 0);
    // Whatever it is cut to, nothing is read behind it.
    for (size_t size = 0; size < sizeof(code) - 1; size++) {
        char *cut = malloc(size + 1);
        assert_non_null(cut);
        char *end = memcpy(cut, code, size);
        size_t count = count_switches(end, size, &found);
        assert_true(count == 0 || size > at + sizeof(LOAD) - 1);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machines),
        cmocka_unit_test(test_gregset),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_restart_told_by_code),
        cmocka_unit_test(test_restart_told_by_arguments),
        cmocka_unit_test(test_other_calls_stay),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_futex_address),
        cmocka_unit_test(test_switches_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
