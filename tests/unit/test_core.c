// SPDX-License-Identifier: GPL-3.0-or-later
// The core reader: what it makes of kernel and debugger cores, which bytes it says are there, what
// it refuses and in which words, and that no cut or damaged file makes it crash or hang.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/xattr.h>
#include <zlib.h>

#include "core_builder.h"
#include "target/core.h"
#include "util/guard.h"
#include "util/limits.h"

#define BASE 0x7f0000000000ull

static struct target *open_good(const char *path)
{
    struct target *target = NULL;
    struct err *err = target_open_core(path, &target);
    if (err)
        print_message("%s\n", err_message(err));
    assert_null(err);
    assert_non_null(target);
    return target;
}

static bool has_note(struct target *target, const char *part)
{
    vec_foreach(note, &target->notes)
        if (strstr(*note, part))
            return true;
    return false;
}

static void expect_refusal(const char *path, enum err_code code, const char *part)
{
    struct target *target = NULL;
    struct err *err = target_open_core(path, &target);
    if (target || !err)
        print_message("%s was opened\n", path);
    assert_null(target);
    assert_non_null(err);
    const char *message = err_message(err);
    if (err_code(err) != code || !strstr(message, part) || !strstr(message, path) ||
        strchr(message, '\n'))
        print_message("%s: code %d, '%s', wanted code %d, '%s'\n", path, err_code(err), message,
                      code, part);
    assert_int_equal(err_code(err), code);
    assert_non_null(strstr(message, part));
    assert_non_null(strstr(message, path));
    assert_null(strchr(message, '\n'));
    err_destroy(err);
}

static enum mem_origin origin_at(struct target *target, uint64_t addr)
{
    struct mem_segment_info info;
    assert_true(mem_segment_at(target->mem, addr, &info));
    assert_true(info.start <= addr);
    return info.origin;
}

// ---- What a good core says ----------------------------------------------------------------------

static void test_threads(void **state)
{
    (void)state;
    struct builder builder = {0};
    builder_thread(&builder, 102, SIGSEGV, 0x401000, 0x7ffe0000, 0x1122334455667788);
    builder_psinfo(&builder, 100, "python3 app.py --port 80 ");
    builder_siginfo(&builder, SIGSEGV, SEGV_MAPERR, 0xdeadbeef);
    builder_thread(&builder, 100, SIGSEGV, 0x402000, 0x7ffd0000, 0x99);
    builder_thread(&builder, 101, SIGSEGV, 0x403000, 0x7ffc0000, 0x98);
    builder_write(&builder, test_path("threads"));
    struct target *target = open_good(test_path("threads"));
    assert_int_equal(target->kind, TARGET_CORE);
    assert_int_equal(target->pid, 100);
    assert_int_equal(target->threads.count, 3);
    const struct target_thread *first = &target->threads.items[0];
    assert_int_equal(first->tid, 102);
    assert_true(first->has_regs);
    assert_int_equal(first->regs.ip, 0x401000);
    assert_int_equal(first->regs.sp, 0x7ffe0000);
    assert_int_equal(first->regs.tls, 0x1122334455667788);
    assert_int_equal(target->threads.items[2].tid, 101);
    assert_int_equal(target->threads.items[2].regs.tls, 0x98);
    assert_int_equal(target->signal.tid, 102);
    // No stack to read them from: NT_PRPSINFO's string, split at blanks.
    assert_non_null(target->argv);
    assert_string_equal(target->argv[0], "python3");
    assert_string_equal(target->argv[3], "80");
    assert_null(target->argv[4]);
    assert_true(has_note(target, "NT_FILE"));
    assert_false(target->truncated);
    assert_true(target->taken_at_ns > 1600000000ll * 1000000000);
    target_destroy(target);
}

static void test_signals(void **state)
{
    (void)state;
    enum { NO_FACTS = 0, SENDER = 1, FAULT = 2 };
    static const struct {
        bool by_debugger;
        int cursig, info_signo, code;
        uint64_t value;
        int want_signo, want_facts;
        bool want_info;
    } rows[] = {
        {false, SIGSEGV, SIGSEGV, SEGV_MAPERR, 0x10,           SIGSEGV, FAULT,    true },
        {false, SIGSEGV, SIGSEGV, SEGV_ACCERR, 0,              SIGSEGV, FAULT,    true },
        {false, SIGSEGV, SIGSEGV, SI_KERNEL,   0,              SIGSEGV, NO_FACTS, true },
        {false, SIGSEGV, SIGSEGV, SI_USER,     0x3e800000007,  SIGSEGV, SENDER,   true },
        {false, SIGABRT, SIGABRT, SI_TKILL,    0x3e800000007,  SIGABRT, SENDER,   true },
        {false, SIGQUIT, SIGQUIT, SI_QUEUE,    0x3e800000007,  SIGQUIT, SENDER,   true },
        {false, SIGQUIT, SIGQUIT, SI_TIMER,    0x3e800000007,  SIGQUIT, NO_FACTS, true },
        {false, SIGBUS,  SIGBUS,  BUS_ADRERR,  0x7f0000000123, SIGBUS,  FAULT,    true },
        {false, SIGILL,  SIGILL,  ILL_ILLOPN,  0x401000,       SIGILL,  FAULT,    true },
        {false, SIGFPE,  SIGFPE,  FPE_INTDIV,  0x401000,       SIGFPE,  FAULT,    true },
        {false, SIGTRAP, SIGTRAP, TRAP_BRKPT,  0x401000,       SIGTRAP, FAULT,    true },
        {false, SIGTRAP, SIGTRAP, SI_KERNEL,   0,              SIGTRAP, NO_FACTS, true },
 // Not every signal of the kernel's is a fault.
        {false, SIGXCPU, SIGXCPU, SI_KERNEL,   0x10,           SIGXCPU, NO_FACTS, true },
        {false, SIGSYS,  SIGSYS,  1,           0x10,           SIGSYS,  NO_FACTS, true },
 // NT_SIGINFO of another signal, or none, proves nothing.
        {false, SIGSEGV, SIGCHLD, SEGV_MAPERR, 0x10,           SIGSEGV, NO_FACTS, false},
        {false, SIGSEGV, -1,      0,           0,              SIGSEGV, NO_FACTS, false},
        {false, 0,       SIGSEGV, SEGV_MAPERR, 0x10,           0,       NO_FACTS, false},
 // gdb: attached, stopped by Ctrl-C or at a breakpoint; a real signal stays one.
        {true,  0,       SIGSTOP, SI_KERNEL,   0,              0,       NO_FACTS, false},
        {true,  SIGSTOP, SIGSTOP, SI_USER,     0,              0,       NO_FACTS, false},
        {true,  SIGINT,  SIGINT,  SI_KERNEL,   0,              0,       NO_FACTS, false},
        {true,  SIGTRAP, SIGTRAP, SI_KERNEL,   0,              0,       NO_FACTS, false},
        {true,  SIGSEGV, SIGSEGV, SEGV_MAPERR, 0x10,           SIGSEGV, FAULT,    true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct builder builder = {0};
        if (rows[i].by_debugger)
            builder_psinfo(&builder, 7, "x");
        builder_thread(&builder, 7, rows[i].cursig, 1, 2, 3);
        if (!rows[i].by_debugger)
            builder_psinfo(&builder, 7, "x");
        if (rows[i].info_signo >= 0)
            builder_siginfo(&builder, rows[i].info_signo, rows[i].code, rows[i].value);
        builder_thread(&builder, 8, rows[i].cursig, 1, 2, 3);
        // Of another thread: not to be taken for the first one's.
        builder_siginfo(&builder, rows[i].cursig, SEGV_MAPERR, 0x666);
        builder_write(&builder, test_path("signal"));
        struct target *target = open_good(test_path("signal"));
        const struct target_signal *signal = &target->signal;
        print_message("row %zu: signal %d info %d sender %d fault %d\n", i, signal->signo,
                      signal->has_info, signal->has_sender, signal->has_fault_address);
        assert_int_equal(signal->signo, rows[i].want_signo);
        assert_int_equal(signal->has_info, rows[i].want_info);
        assert_int_equal(signal->has_sender, rows[i].want_facts == SENDER);
        assert_int_equal(signal->has_fault_address, rows[i].want_facts == FAULT);
        assert_int_equal(signal->tid, rows[i].want_signo ? 7 : 0);
        if (rows[i].want_info)
            assert_int_equal(signal->code, rows[i].code);
        if (rows[i].want_facts == FAULT)
            assert_int_equal(signal->fault_address, rows[i].value);
        if (rows[i].want_facts == SENDER) {
            assert_int_equal(signal->sender_pid, 7);
            assert_int_equal(signal->sender_uid, 1000);
        }
        target_destroy(target);
    }
}

// ---- Which bytes are there ----------------------------------------------------------------------

static void test_memory(void **state)
{
    (void)state;
    static uint8_t bytes[3 * BUILDER_PAGE];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    static const struct builder_file files[] = {
        {BASE + 0x10000, BASE + 0x12000, 0, "/lib/a.so"       },
        {BASE + 0x12000, BASE + 0x14000, 2, "/lib/a.so"       },
        {BASE + 0x40000, BASE + 0x43000, 5, "/tmp/b (deleted)"},
    };
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, files, ARRAY_SIZE(files));
    builder_load(&builder, BASE, 3 * BUILDER_PAGE, 3 * BUILDER_PAGE, PF_R | PF_W, bytes);
    // The kernel's way with a file: first page kept, rest not.
    builder_load(&builder, BASE + 0x10000, 0x2000, 0x1000, PF_R, bytes);
    builder_load(&builder, BASE + 0x12000, 0x2000, 0, PF_R | PF_X, NULL);
    builder_load(&builder, BASE + 0x20000, 0x1000, 0, 0, NULL); // PROT_NONE
    builder_write(&builder, test_path("memory"));
    struct target *target = open_good(test_path("memory"));

    uint8_t got[sizeof(bytes)];
    assert_null(mem_read(target->mem, BASE, got, sizeof(got)));
    assert_memory_equal(got, bytes, sizeof(bytes));
    assert_null(mem_read(target->mem, BASE + 4090, got, 12)); // through the page cache
    assert_memory_equal(got, bytes + 4090, 12);
    assert_int_equal(origin_at(target, BASE), MEM_CORE);
    assert_int_equal(origin_at(target, BASE + 0x10fff), MEM_CORE);
    assert_int_equal(origin_at(target, BASE + 0x11000), MEM_ABSENT);
    assert_int_equal(mem_read_some(target->mem, BASE + 0x10ff8, got, 16), 8);
    struct err *err = mem_read(target->mem, BASE + 0x11000, got, 1);
    assert_non_null(err);
    assert_int_equal(err_code(err), ERR_FAULT);
    err_destroy(err);
    // gdb's way: no PT_LOAD at all, yet the mapping is known.
    assert_int_equal(origin_at(target, BASE + 0x41000), MEM_ABSENT);
    assert_int_equal(target->missing_bytes, 0);
    assert_false(target->truncated);
    assert_int_equal(target->absent_bytes, 0x1000 + 0x2000 + 0x3000);

    assert_int_equal(target->mappings.count, 5);
    const struct target_mapping *mapping = target_mapping_at(target, BASE + 0x13fff);
    assert_non_null(mapping);
    assert_string_equal(mapping->path, "/lib/a.so");
    assert_int_equal(mapping->start, BASE + 0x12000);
    assert_int_equal(mapping->offset, 0x2000);
    assert_true(mapping->executable);
    assert_false(mapping->writable);
    mapping = target_mapping_at(target, BASE + 0x40000);
    assert_string_equal(mapping->path, "/tmp/b");
    assert_true(mapping->deleted);
    assert_int_equal(mapping->offset, 0x5000);
    mapping = target_mapping_at(target, BASE);
    assert_null(mapping->path);
    assert_true(mapping->writable);
    assert_false(target_mapping_at(target, BASE + 0x20000)->readable);
    assert_null(target_mapping_at(target, BASE + 0x14000));
    target_destroy(target);
}

// One PT_LOAD over two files and a gap, and one file over two PT_LOADs: every border cuts.
static void test_borders(void **state)
{
    (void)state;
    static const struct builder_file files[] = {
        {BASE + 0x1000, BASE + 0x2000, 0, "/a"},
        {BASE + 0x3000, BASE + 0x6000, 8, "/b"},
        {BASE + 0x5000, BASE + 0x7000, 1, "/c"}, // overlaps: the first one keeps what it has
    };
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_files(&builder, files, ARRAY_SIZE(files));
    builder_load(&builder, BASE, 0x4000, 0x4000, PF_R, NULL);
    builder_load(&builder, BASE + 0x4000, 0x1000, 0x1000, PF_R | PF_W, NULL);
    builder_write(&builder, test_path("borders"));
    struct target *target = open_good(test_path("borders"));
    static const struct {
        uint64_t start, end, offset;
        const char *path;
        bool writable;
    } rows[] = {
        {0x0000, 0x1000, 0,      NULL, false},
        {0x1000, 0x2000, 0,      "/a", false},
        {0x2000, 0x3000, 0,      NULL, false},
        {0x3000, 0x4000, 0x8000, "/b", false},
        {0x4000, 0x5000, 0x9000, "/b", true },
        {0x5000, 0x6000, 0xa000, "/b", false},
        {0x6000, 0x7000, 0x2000, "/c", false},
    };
    assert_int_equal(target->mappings.count, ARRAY_SIZE(rows));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct target_mapping *mapping = &target->mappings.items[i];
        assert_int_equal(mapping->start, BASE + rows[i].start);
        assert_int_equal(mapping->end, BASE + rows[i].end);
        assert_int_equal(mapping->offset, rows[i].offset);
        assert_int_equal(mapping->writable, rows[i].writable);
        assert_true(!mapping->path == !rows[i].path);
        if (rows[i].path)
            assert_string_equal(mapping->path, rows[i].path);
    }
    target_destroy(target);
}

static void test_hostile_segments(void **state)
{
    (void)state;
    static uint8_t ones[BUILDER_PAGE], twos[BUILDER_PAGE * 2], fives[BUILDER_PAGE * 2];
    memset(ones, 1, sizeof(ones));
    memset(twos, 2, sizeof(twos));
    twos[0x1fff] = 3;
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_load(&builder, BASE, 0x1000, 0x1000, PF_R, ones);
    builder_load(&builder, BASE - 0x800, 0x2000, 0x2000, PF_R, twos); // overlaps the first
    memset(fives, 5, sizeof(fives));
    fives[0x1fff] = 6;
    builder_load(&builder, BASE + 0x800, 0x2000, 0x2000, PF_R, fives);
    builder_load(&builder, BASE + 0x10000, 0x800, 0x1000, PF_R, ones);      // p_filesz > p_memsz
    builder_load(&builder, UINT64_MAX - 0xfff, 0x2000, 0x1000, PF_R, ones); // past the end
    builder_load(&builder, BASE + 0x20000, 0, 0, PF_R, NULL);
    builder_write(&builder, test_path("hostile"));
    struct target *target = open_good(test_path("hostile"));
    uint8_t byte;
    assert_null(mem_read_u8(target->mem, BASE + 0x7ff, &byte));
    assert_int_equal(byte, 2);
    assert_null(mem_read_u8(target->mem, BASE + 0x17ff, &byte));
    assert_int_equal(byte, 3);
    // What is left of the one that overlaps from below is still its own bytes.
    assert_null(mem_read_u8(target->mem, BASE + 0x1800, &byte));
    assert_int_equal(byte, 5);
    assert_null(mem_read_u8(target->mem, BASE + 0x27ff, &byte));
    assert_int_equal(byte, 6);
    uint8_t got[0x1000];
    assert_int_equal(mem_read_some(target->mem, BASE + 0x10000, got, sizeof(got)), 0x800);
    assert_int_equal(mem_read_some(target->mem, UINT64_MAX - 0x10, got, 0x10), 0x10);
    for (size_t i = 1; i < target->mappings.count; i++)
        assert_true(target->mappings.items[i - 1].end <= target->mappings.items[i].start);
    target_destroy(target);
}

static void test_truncated(void **state)
{
    (void)state;
    static uint8_t bytes[4 * BUILDER_PAGE];
    memset(bytes, 0x5a, sizeof(bytes));
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, BASE + 0x100, 3);
    builder_thread(&builder, 8, 6, 1, BASE + 0x10100, 3);
    builder_load(&builder, BASE, 0x4000, 0x4000, PF_R, bytes);
    builder_load(&builder, BASE + 0x10000, 0x2000, 0x1000, PF_R, bytes);
    builder_write(&builder, test_path("cut"));
    assert_int_equal(truncate(test_path("cut"), 0x1000 + 0x2345), 0);
    struct target *target = open_good(test_path("cut"));
    assert_true(target->truncated);
    assert_int_equal(target->missing_bytes, 0x4000 - 0x2345 + 0x1000);
    assert_int_equal(target->absent_bytes, 0x1000);
    uint8_t got[0x4000];
    assert_int_equal(mem_read_some(target->mem, BASE, got, sizeof(got)), 0x2345);
    assert_memory_equal(got, bytes, 0x2345);
    assert_int_equal(origin_at(target, BASE + 0x2344), MEM_CORE);
    assert_int_equal(origin_at(target, BASE + 0x2345), MEM_TRUNCATED);
    assert_int_equal(origin_at(target, BASE + 0x10000), MEM_TRUNCATED);
    assert_int_equal(origin_at(target, BASE + 0x11000), MEM_ABSENT);
    assert_true(has_note(target, "truncated"));
    assert_true(has_note(target, "all or part of 2 of its 2 mappings"));
    assert_true(has_note(target, "the native stacks of 1 of its 2 threads"));
    // The file may shrink further while it is open: then reads end earlier.
    assert_int_equal(truncate(test_path("cut"), 0x1000), 0);
    assert_int_equal(mem_read_some(target->mem, BASE, got, sizeof(got)), 0);
    target_destroy(target);
}

// ---- The command line ---------------------------------------------------------------------------

struct stack {
    uint8_t bytes[2 * BUILDER_PAGE];
    uint64_t start;
    size_t text_at, words_at;
    uint64_t auxv[8];
};

static uint64_t put_text(struct stack *stack, const char *text, size_t size)
{
    memcpy(stack->bytes + stack->text_at, text, size);
    stack->text_at += size;
    return stack->start + stack->text_at - size;
}

static void put_word(struct stack *stack, uint64_t word)
{
    memcpy(stack->bytes + stack->words_at, &word, 8);
    stack->words_at += 8;
}

// As the kernel lays it out: argc, argv, environment, auxv; texts above.
static void fill_stack(struct stack *stack, const char *args, size_t args_bytes, size_t argc,
                       bool with_environment)
{
    *stack = (struct stack){.start = 0x7ffe00000000, .text_at = 0x1800, .words_at = 0x1000};
    uint64_t first = put_text(stack, args, args_bytes);
    uint64_t env = put_text(stack, "HOME=/root", 11);
    uint64_t execfn = put_text(stack, "/usr/bin/python3", 17);
    if (!with_environment)
        execfn = env;
    put_word(stack, argc);
    const char *arg = args;
    for (size_t i = 0; i < argc; i++) {
        put_word(stack, first + (uint64_t)(arg - args));
        arg += strlen(arg) + 1;
        if (arg >= args + args_bytes)
            arg = args + args_bytes - 1;
    }
    put_word(stack, 0);
    if (with_environment)
        put_word(stack, env);
    put_word(stack, 0);
    uint64_t auxv[8] = {AT_EXECFN, execfn, AT_PHDR, 0x400040, AT_ENTRY, 0x401000, AT_NULL, 0};
    memcpy(stack->auxv, auxv, sizeof(auxv));
    for (size_t i = 0; i < ARRAY_SIZE(auxv); i++)
        put_word(stack, auxv[i]);
}

static struct target *open_with_stack(const struct stack *stack)
{
    static const struct builder_file files[] = {
        {0x400000, 0x401000, 0, "/usr/bin/python3.11"}
    };
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_psinfo(&builder, 7, "only psargs");
    builder_note(&builder, NT_AUXV, stack->auxv, sizeof(stack->auxv));
    builder_files(&builder, files, 1);
    builder_load(&builder, stack->start, sizeof(stack->bytes), sizeof(stack->bytes), PF_R | PF_W,
                 stack->bytes);
    builder_write(&builder, test_path("stack"));
    return open_good(test_path("stack"));
}

static void test_argv(void **state)
{
    (void)state;
    static struct stack stack;
    static const char args[] = "python3\0-c\0import time\nprint('a b')\0\0last";
    fill_stack(&stack, args, sizeof(args), 5, true);
    struct target *target = open_with_stack(&stack);
    static const char *const want[] = {"python3", "-c", "import time\nprint('a b')", "", "last"};
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_string_equal(target->argv[i], want[i]);
    assert_null(target->argv[5]);
    assert_string_equal(target->exe, "/usr/bin/python3.11");
    assert_int_equal(target->auxv_phdr, 0x400040);
    assert_int_equal(target->auxv_entry, 0x401000);
    assert_string_equal(target_mapping_at(target, stack.start)->path, "[stack]");
    target_destroy(target);

    fill_stack(&stack, args, sizeof(args), 5, false);
    target = open_with_stack(&stack);
    assert_string_equal(target->argv[4], "last");
    assert_null(target->argv[5]);
    target_destroy(target);
}

// The program is the file that holds AT_ENTRY; AT_PHDR stands in for it.
static void test_exe(void **state)
{
    (void)state;
    static const struct builder_file files[] = {
        {0x400000, 0x401000, 0, "/first" },
        {0x401000, 0x402000, 0, "/second"},
    };
    static const struct {
        uint64_t phdr, entry;
        const char *exe;
    } rows[] = {
        {0x400040, 0x401100, "/second"},
        {0x400040, 0,        "/first" },
        {0x400040, 0x500000, "/first" },
        {0x500000, 0x401100, "/second"},
        {0,        0,        NULL     },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t auxv[] = {AT_PHDR, rows[i].phdr, AT_ENTRY, rows[i].entry, AT_NULL, 0};
        struct builder builder = {0};
        builder_thread(&builder, 7, 6, 1, 2, 3);
        builder_note(&builder, NT_AUXV, auxv, sizeof(auxv));
        builder_files(&builder, files, ARRAY_SIZE(files));
        builder_write(&builder, test_path("exe"));
        struct target *target = open_good(test_path("exe"));
        assert_true(!target->exe == !rows[i].exe);
        if (rows[i].exe)
            assert_string_equal(target->exe, rows[i].exe);
        assert_null(target->argv); // neither a stack nor NT_PRPSINFO
        target_destroy(target);
    }
}

// setproctitle writes one string over all arguments.
static void test_argv_title(void **state)
{
    (void)state;
    static struct stack stack;
    static const char title[] = "gunicorn: worker [app]\0\0\0\0\0";
    fill_stack(&stack, title, sizeof(title), 3, true);
    struct target *target = open_with_stack(&stack);
    assert_string_equal(target->argv[0], "gunicorn: worker [app]");
    assert_null(target->argv[1]);
    target_destroy(target);
}

// A damaged stack is not believed.
static void test_argv_damaged(void **state)
{
    (void)state;
    static struct stack stack;
    static const char args[] = "python3\0-V";
    for (size_t word = 0; word < 5; word++) {
        fill_stack(&stack, args, sizeof(args), 2, true);
        uint64_t wild = 0x123456789;
        memcpy(stack.bytes + 0x1000 + word * 8, &wild, 8);
        struct target *target = open_with_stack(&stack);
        assert_string_equal(target->argv[0], "only");
        assert_string_equal(target->argv[1], "psargs");
        target_destroy(target);
    }
}

// ---- Many segments, many threads ----------------------------------------------------------------

static void test_many_segments(void **state)
{
    (void)state;
    enum { COUNT = 70000 };
    static uint8_t last[BUILDER_PAGE];
    memset(last, 0x77, sizeof(last));
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    for (uint64_t i = 0; i < COUNT; i++)
        builder_load(&builder, BASE + i * 0x2000, 0x1000, i == COUNT - 1 ? 0x1000 : 0, PF_R,
                     i == COUNT - 1 ? last : NULL);
    builder_write(&builder, test_path("many"));
    struct target *target = open_good(test_path("many"));
    assert_int_equal(target->mappings.count, COUNT);
    uint8_t byte = 0;
    assert_null(mem_read_u8(target->mem, BASE + (COUNT - 1) * 0x2000ull, &byte));
    assert_int_equal(byte, 0x77);
    target_destroy(target);

    // Section header 0, which holds the count, is the last thing in the file and goes first.
    size_t size;
    free(read_whole(test_path("many"), &size));
    assert_int_equal(truncate(test_path("many"), (off_t)size - 64 - 16), 0);
    target = open_good(test_path("many"));
    assert_int_equal(target->mappings.count, COUNT);
    assert_int_equal(target->missing_bytes, 16);
    target_destroy(target);
}

static void test_many_threads(void **state)
{
    (void)state;
    struct builder builder = {0};
    for (int i = 0; i < LIMIT_THREADS + 10; i++)
        builder_thread(&builder, 1000 + i, 6, 1, 2, 3);
    builder_write(&builder, test_path("threads"));
    struct target *target = open_good(test_path("threads"));
    assert_int_equal(target->threads.count, LIMIT_THREADS);
    assert_true(has_note(target, "only the first"));
    target_destroy(target);
}

// ---- Compressed files, and what lies beside a core ----------------------------------------------

// A core of 512 MiB with one page that is not zero, in gzip.
static void write_sparse_gzip(const char *path, const uint8_t *page)
{
    enum { PAGES = 131072 };
    gzFile file = gzopen(path, "wb1");
    assert_non_null(file);
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_load(&builder, BASE, (uint64_t)PAGES * BUILDER_PAGE, 0, PF_R, NULL);
    builder_write(&builder, test_path("head"));
    size_t size;
    AUTO_FREE uint8_t *head = read_whole(test_path("head"), &size);
    ((Elf64_Phdr *)(head + sizeof(Elf64_Ehdr)))[1].p_filesz = (uint64_t)PAGES * BUILDER_PAGE;
    uint8_t zeros[BUILDER_PAGE] = {0};
    assert_int_equal(gzwrite(file, head, (unsigned)size), size);
    for (size_t i = 0; i < PAGES; i++)
        assert_int_equal(gzwrite(file, i == 1000 ? page : zeros, BUILDER_PAGE), BUILDER_PAGE);
    assert_int_equal(gzclose(file), Z_OK);
}

// Blocks of 512 bytes on disk of the only open file without a name; SIZE_MAX: there is none.
static size_t blocks_of_unnamed(void)
{
    for (int fd = 3; fd < 64; fd++) {
        struct stat stat;
        if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_nlink == 0)
            return (size_t)stat.st_blocks;
    }
    return SIZE_MAX;
}

static void count_calls(void *arg, const char *path, uint64_t done_bytes, uint64_t total_bytes)
{
    assert_string_equal(path, test_path("sparse.gz"));
    assert_true(done_bytes <= total_bytes);
    ++*(int *)arg;
}

static void test_unpacked_is_sparse(void **state)
{
    (void)state;
    uint8_t page[BUILDER_PAGE], got[BUILDER_PAGE];
    memset(page, 0x5a, sizeof(page));
    write_sparse_gzip(test_path("sparse.gz"), page);
    int calls = 0;
    struct target_core_options options = {.progress = count_calls, .progress_arg = &calls};
    struct target *target = NULL;
    assert_null(target_open_core_with(test_path("sparse.gz"), &options, &target));
    assert_null(mem_read(target->mem, BASE + 1000 * BUILDER_PAGE, got, sizeof(got)));
    assert_memory_equal(got, page, sizeof(page));
    assert_null(mem_read(target->mem, BASE + 1001 * BUILDER_PAGE, got, sizeof(got)));
    assert_int_equal(got[0] | got[BUILDER_PAGE - 1], 0);
    assert_false(target->truncated);
    assert_true(blocks_of_unnamed() < 256);
    assert_true(calls > 0); // half a GiB takes longer than a tenth of a second
    target_destroy(target);
    assert_int_equal(blocks_of_unnamed(), SIZE_MAX);

    options = (struct target_core_options){.max_unpacked_bytes = 1 << 20};
    assert_null(target_open_core_with(test_path("sparse.gz"), &options, &target));
    assert_true(target->truncated);
    assert_true(has_note(target, "only the first 1048576 bytes"));
    assert_true(has_note(target, "all or part of 1 of its 1 mappings"));
    assert_false(has_note(target, "ulimit"));
    target_destroy(target);
}

// systemd-coredump's attributes fill what the core does not say.
static void test_stored(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"pid", "4711"},
        {"signal", "11"},
        {"timestamp", "1700000000"},
        {"hostname", "web-3"},
        {"exe", "/usr/bin/python3.11"},
    };
    struct builder builder = {0};
    builder_thread(&builder, 7, 0, 1, 2, 3);
    builder_write(&builder, test_path("stored"));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char name[64];
        snprintf(name, sizeof(name), "user.coredump.%s", rows[i].name);
        if (setxattr(test_path("stored"), name, rows[i].value, strlen(rows[i].value), 0) != 0)
            skip(); // this file system has none
    }
    struct target *target = open_good(test_path("stored"));
    assert_int_equal(target->pid, 4711);
    assert_int_equal(target->signal.signo, 11);
    assert_int_equal(target->signal.tid, 0);
    assert_int_equal(target->taken_at_ns, 1700000000000000000);
    assert_string_equal(target->host, "web-3");
    assert_string_equal(target->exe, "/usr/bin/python3.11");
    target_destroy(target);

    // Microseconds; and what is no number, or no text.
    setxattr(test_path("stored"), "user.coredump.timestamp", "1700000000000001", 16, 0);
    setxattr(test_path("stored"), "user.coredump.pid", "-4", 2, 0);
    setxattr(test_path("stored"), "user.coredump.signal", "9x", 2, 0);
    setxattr(test_path("stored"), "user.coredump.hostname", "a\033[2J", 5, 0);
    setxattr(test_path("stored"), "user.coredump.exe", "python", 6, 0);
    target = open_good(test_path("stored"));
    assert_int_equal(target->pid, 7);
    assert_int_equal(target->signal.signo, 0);
    assert_int_equal(target->taken_at_ns, 1700000000000001000);
    assert_null(target->host);
    assert_null(target->exe);
    target_destroy(target);

    // The core's own word goes first.
    struct builder own = {0};
    builder_thread(&own, 7, 6, 1, 2, 3);
    builder_psinfo(&own, 100, "python3");
    builder_write(&own, test_path("own"));
    assert_int_equal(setxattr(test_path("own"), "user.coredump.pid", "4711", 4, 0), 0);
    assert_int_equal(setxattr(test_path("own"), "user.coredump.signal", "11", 2, 0), 0);
    target = open_good(test_path("own"));
    assert_int_equal(target->pid, 100);
    assert_int_equal(target->signal.signo, 6);
    target_destroy(target);
}

// What the dump filter left out is named, with the bit that keeps it.
static void test_filtered(void **state)
{
    (void)state;
    static const struct builder_file files[] = {
        {0x400000, 0x401000, 0, "/usr/bin/python3"},
        {0x401000, 0x402000, 1, "/usr/bin/python3"},
        {0x500000, 0x501000, 0, "/lib/libc.so.6"},
        {0x501000, 0x502000, 1, "/lib/libc.so.6"},
        {0x600000, 0x601000, 0, "/data"},
    };
    static uint8_t page[BUILDER_PAGE];
    for (int with_header = 0; with_header < 2; with_header++) {
        struct builder builder = {0};
        builder_thread(&builder, 7, 6, 1, BASE + 8, 3);
        builder_psinfo(&builder, 7, "python3");
        builder_thread(&builder, 8, 6, 1, BASE + 0x10008, 3);
        builder_files(&builder, files, ARRAY_SIZE(files));
        builder_load(&builder, 0x400000, 0x1000, with_header ? 0x1000 : 0, PF_R, page);
        builder_load(&builder, 0x401000, 0x1000, 0, PF_R | PF_X, NULL);
        builder_load(&builder, 0x500000, 0x1000, 0, PF_R, NULL);
        builder_load(&builder, 0x501000, 0x1000, 0, PF_R | PF_X, NULL);
        builder_load(&builder, 0x600000, 0x1000, 0, PF_R | PF_W, NULL);
        builder_load(&builder, BASE, 0x1000, 0, PF_R | PF_W, NULL);
        builder_load(&builder, BASE + 0x10000, 0x1000, with_header ? 0x1000 : 0, PF_R | PF_W, page);
        builder_write(&builder, test_path("filtered"));
        struct target *target = open_good(test_path("filtered"));
        assert_false(target->truncated);
        assert_true(has_note(target, with_header
                                         ? "without the stacks of 1 of its 2 threads: set bit 0"
                                         : "without the stacks of 2 of its 2 threads"));
        assert_int_equal(has_note(target, "builds of 2 modules cannot be told: set bit 4"),
                         !with_header);
        target_destroy(target);
    }
}

// ---- Refusals -----------------------------------------------------------------------------------

static void write_elf(const char *name, void (*change)(Elf64_Ehdr *header))
{
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_write(&builder, test_path(name));
    size_t size;
    AUTO_FREE uint8_t *bytes = read_whole(test_path(name), &size);
    change((Elf64_Ehdr *)bytes);
    write_file(test_path(name), bytes, size);
}

static void make_32_bit(Elf64_Ehdr *header)
{
    header->e_ident[EI_CLASS] = ELFCLASS32;
}

static void make_big_endian(Elf64_Ehdr *header)
{
    header->e_ident[EI_DATA] = ELFDATA2MSB;
}

static void make_foreign(Elf64_Ehdr *header)
{
    header->e_machine = EM_S390;
}

static void make_executable(Elf64_Ehdr *header)
{
    header->e_type = ET_EXEC;
}

static void make_headerless(Elf64_Ehdr *header)
{
    header->e_phnum = 0;
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        size_t size;
        enum err_code code;
        const char *part;
    } contents[] = {
        {"empty", "",                             0,  ERR_BAD_DATA,    "is empty"             },
        {"text",  "just some text\n",             15, ERR_UNSUPPORTED, "not an ELF core"      },
        {"short", "x",                            1,  ERR_UNSUPPORTED, "not an ELF core"      },
        {"json",  "{\"schema\": \"pycore/1\"",      21, ERR_UNSUPPORTED, "\"pycore report\""    },
        {"magic",
         "\x7f"
         "EL",                                    3,  ERR_BAD_DATA,    "inside its ELF header"},
        {"head",
         "\x7f"
         "ELF\2\1\1",                             7,  ERR_BAD_DATA,    "inside its ELF header"},
        {"gz",    "\x1f\x8b\x01-----",            8,  ERR_BAD_DATA,    "nothing of it"        },
        {"gzcut", "\x1f\x8b\x08",                 3,  ERR_BAD_DATA,    "nothing of it"        },
        {"bz2",   "BZh9----",                     8,  ERR_UNSUPPORTED, "decompress it first"  },
        {"lz4l",  "\x02\x21\x4c\x18----",         8,  ERR_UNSUPPORTED, "decompress it first"  },
    };
    for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
        write_file(test_path(contents[i].name), contents[i].bytes, contents[i].size);
        expect_refusal(test_path(contents[i].name), contents[i].code, contents[i].part);
    }
    expect_refusal(test_path("nowhere"), ERR_NOT_FOUND, "No such file");
    expect_refusal(test_dir, ERR_UNSUPPORTED, "is a directory");
    expect_refusal("/dev/null", ERR_UNSUPPORTED, "is a character device");
    assert_int_equal(mkfifo(test_path("fifo"), 0600), 0);
    expect_refusal(test_path("fifo"), ERR_UNSUPPORTED, "is a FIFO"); // and does not wait for it
    expect_refusal("/proc/self/exe", ERR_UNSUPPORTED, "executable");

    static const struct {
        const char *name;
        void (*change)(Elf64_Ehdr *header);
        enum err_code code;
        const char *part;
    } headers[] = {
        {"bits",    make_32_bit,     ERR_UNSUPPORTED, "32-bit"            },
        {"endian",  make_big_endian, ERR_UNSUPPORTED, "big-endian"        },
        {"machine", make_foreign,    ERR_UNSUPPORTED, "another machine"   },
        {"exec",    make_executable, ERR_UNSUPPORTED, "an ELF executable" },
        {"phnum",   make_headerless, ERR_BAD_DATA,    "no program headers"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        write_elf(headers[i].name, headers[i].change);
        expect_refusal(test_path(headers[i].name), headers[i].code, headers[i].part);
    }

    struct builder builder = {0};
    builder_psinfo(&builder, 7, "x");
    builder_write(&builder, test_path("nobody"));
    expect_refusal(test_path("nobody"), ERR_BAD_DATA, "no thread");
}

static void test_cut_early(void **state)
{
    (void)state;
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_thread(&builder, 8, 6, 1, 2, 3);
    for (uint64_t i = 0; i < 10; i++)
        builder_load(&builder, BASE + i * 0x1000, 0x1000, 0x1000, PF_R, NULL);
    builder_write(&builder, test_path("whole"));
    size_t size, notes_at = sizeof(Elf64_Ehdr) + 11 * sizeof(Elf64_Phdr);
    AUTO_FREE uint8_t *bytes = read_whole(test_path("whole"), &size);
    write_file(test_path("cut"), bytes, 40);
    expect_refusal(test_path("cut"), ERR_BAD_DATA, "inside its ELF header");
    write_file(test_path("cut"), bytes, 64 + 100);
    expect_refusal(test_path("cut"), ERR_BAD_DATA, "inside its program headers");
    write_file(test_path("cut"), bytes, notes_at + 100);
    expect_refusal(test_path("cut"), ERR_BAD_DATA, "before the notes");
    // One thread whole, the second cut, also right between the two: opens, and says so.
    static const size_t more[] = {0, 5, 100};
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        write_file(test_path("cut"), bytes, notes_at + 20 + 336 + more[i]);
        struct target *target = open_good(test_path("cut"));
        assert_int_equal(target->threads.count, 1);
        assert_true(target->truncated);
        assert_int_equal(target->missing_bytes, 10 * 0x1000);
        assert_true(has_note(target, "notes are cut"));
        target_destroy(target);
    }
}

// More is claimed than is read at all: what is there is read.
static void test_notes_too_large(void **state)
{
    (void)state;
    struct builder builder = {0};
    builder_thread(&builder, 7, 6, 1, 2, 3);
    builder_write(&builder, test_path("notes"));
    size_t size;
    AUTO_FREE uint8_t *bytes = read_whole(test_path("notes"), &size);
    Elf64_Phdr *header = (Elf64_Phdr *)(bytes + sizeof(Elf64_Ehdr));
    header->p_filesz = CORE_NOTES_MAX_BYTES + 1;
    write_file(test_path("notes"), bytes, size);
    assert_int_equal(truncate(test_path("notes"), CORE_NOTES_MAX_BYTES * 2ll), 0);
    struct target *target = open_good(test_path("notes"));
    assert_int_equal(target->threads.count, 1);
    assert_true(target->truncated);
    assert_true(has_note(target, "notes are cut or damaged"));
    target_destroy(target);

    // One note that claims to be larger than any.
    uint32_t huge = CORE_NOTE_MAX_BYTES + 4;
    struct builder second = {0};
    builder_thread(&second, 7, 6, 1, 2, 3);
    size_t second_at = second.notes.count;
    builder_note(&second, NT_AUXV, "", 0);
    builder_write(&second, test_path("notes"));
    AUTO_FREE uint8_t *more = read_whole(test_path("notes"), &size);
    header = (Elf64_Phdr *)(more + sizeof(Elf64_Ehdr));
    memcpy(more + header->p_offset + second_at + 4, &huge, sizeof(huge));
    header->p_filesz = 2ull * huge;
    write_file(test_path("notes"), more, size);
    assert_int_equal(truncate(test_path("notes"), 3ll * huge), 0);
    target = open_good(test_path("notes"));
    assert_int_equal(target->threads.count, 1);
    assert_true(has_note(target, "notes are cut or damaged"));
    target_destroy(target);
}

// Notes that lie across the borders of the window through which they are read.
static void test_notes_window(void **state)
{
    (void)state;
    static uint8_t filler[100000];
    struct builder builder = {0};
    for (int i = 0; i < 500; i++) {
        builder_thread(&builder, 1000 + i, 6, (uint64_t)i, 2, 3);
        builder_note(&builder, NT_FPREGSET, filler, (size_t)(i * 7 % 1800));
    }
    builder_note(&builder, NT_X86_XSTATE, filler, sizeof(filler));
    builder_thread(&builder, 5000, 6, 77, 2, 3);
    builder_write(&builder, test_path("window"));
    struct target *target = open_good(test_path("window"));
    assert_int_equal(target->threads.count, 501);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(target->threads.items[i].tid, 1000 + i);
        assert_int_equal(target->threads.items[i].regs.ip, i);
    }
    assert_int_equal(target->threads.items[500].regs.ip, 77);
    assert_false(target->truncated);
    target_destroy(target);
}

// Counts and lengths in NT_FILE that the note cannot hold.
static void test_hostile_files(void **state)
{
    (void)state;
    static const uint64_t rows[][5] = {
        {UINT64_MAX,          4096,       BASE, BASE + 0x1000, 0         },
        {UINT64_MAX / 24 + 1, 4096,       BASE, BASE + 0x1000, 0         },
        {1,                   0,          BASE, BASE + 0x1000, 0         },
        {1,                   UINT64_MAX, BASE, BASE + 0x1000, 0         },
        {1,                   4096,       BASE, BASE,          0         },
        {1,                   4096,       BASE, BASE - 1,      0         },
        {1,                   4096,       BASE, BASE + 0x1000, UINT64_MAX},
        {1,                   4096,       0,    UINT64_MAX,    1         },
        {2,                   4096,       BASE, BASE + 0x1000, 0         },
        {1,                   4096,       BASE, BASE + 0x1000, 0         },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct builder builder = {0};
        builder_thread(&builder, 7, 6, 1, 2, 3);
        uint8_t desc[sizeof(rows[i]) + 4] = {0};
        memcpy(desc, rows[i], sizeof(rows[i]));
        memcpy(desc + sizeof(rows[i]), "/ab", 4);
        // The last one is well-formed but for the string, which is not terminated.
        builder_note(&builder, NT_FILE, desc, sizeof(desc) - (i == ARRAY_SIZE(rows) - 1));
        builder_write(&builder, test_path("files"));
        struct target *target = open_good(test_path("files"));
        assert_int_equal(target->mappings.count, 0);
        target_destroy(target);
    }
}

// ---- Damage -------------------------------------------------------------------------------------

static void look_at_everything(struct target *target)
{
    uint8_t buffer[256];
    for (size_t i = 0; i < target->mappings.count && i < 64; i++) {
        const struct target_mapping *mapping = &target->mappings.items[i];
        assert_true(mapping->start < mapping->end);
        mem_read_some(target->mem, mapping->start, buffer, sizeof(buffer));
        mem_read_some(target->mem, mapping->end - 8, buffer, sizeof(buffer));
    }
    assert_true(target->threads.count > 0);
}

static void open_anything(const char *path)
{
    struct target *target = NULL;
    struct err *err = target_open_core(path, &target);
    assert_true(!err != !target);
    if (target)
        look_at_everything(target);
    else
        assert_true(*err_message(err) && !strchr(err_message(err), '\n'));
    err_destroy(err);
    target_destroy(target);
}

static void write_small_core(const char *path)
{
    static struct stack stack;
    static const char args[] = "python3\0app.py";
    static const struct builder_file files[] = {
        {0x400000,       0x402000,       0, "/usr/bin/python3"},
        {BASE + 0x10000, BASE + 0x14000, 0, "/lib/libc.so.6"  },
    };
    static uint8_t bytes[0x2000];
    fill_stack(&stack, args, sizeof(args), 2, true);
    struct builder builder = {0};
    builder_thread(&builder, 7, 11, 1, 2, 3);
    builder_psinfo(&builder, 7, "python3 app.py");
    builder_siginfo(&builder, 11, 1, 0x10);
    builder_note(&builder, NT_AUXV, stack.auxv, sizeof(stack.auxv));
    builder_files(&builder, files, ARRAY_SIZE(files));
    builder_thread(&builder, 8, 11, 1, 2, 3);
    builder_load(&builder, 0x400000, 0x2000, 0x1000, PF_R | PF_X, bytes);
    builder_load(&builder, BASE, 0x2000, 0x2000, PF_R | PF_W, bytes);
    builder_load(&builder, BASE + 0x10000, 0x4000, 0, PF_R | PF_X, NULL);
    builder_load(&builder, stack.start, sizeof(stack.bytes), sizeof(stack.bytes), PF_R | PF_W,
                 stack.bytes);
    builder_write(&builder, path);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

// Half of the damage goes to the headers and notes, where the decisions are made.
static void test_mutations(void **state)
{
    (void)state;
    write_small_core(test_path("small"));
    size_t size;
    AUTO_FREE uint8_t *whole = read_whole(test_path("small"), &size);
    AUTO_FREE uint8_t *bytes = malloc(size);
    size_t reach = size < 65536 ? size : 65536;
    uint64_t random = 0x9e3779b97f4a7c15;
    int opened = 0;
    for (int round = 0; round < 2000; round++) {
        memcpy(bytes, whole, size);
        int changes = 1 + (int)(next_random(&random) % 8);
        for (int i = 0; i < changes; i++) {
            size_t range = next_random(&random) & 1 ? 2048 : reach;
            uint64_t value = next_random(&random);
            bytes[next_random(&random) % range] = value & 3 ? (uint8_t)(value >> 8) : 0xff;
        }
        write_file(test_path("mutant"), bytes, size);
        struct target *target = NULL;
        struct err *err = target_open_core(test_path("mutant"), &target);
        assert_true(!err != !target);
        if (target)
            look_at_everything(target);
        opened += target != NULL;
        err_destroy(err);
        target_destroy(target);
    }
    print_message("%d of 2000 opened\n", opened);
    assert_in_range(opened, 200, 1990); // damage that never or always matters tests nothing
}

static void test_every_cut(void **state)
{
    (void)state;
    write_small_core(test_path("small"));
    size_t size;
    AUTO_FREE uint8_t *bytes = read_whole(test_path("small"), &size);
    for (size_t cut = 0; cut < size; cut += cut < 4096 ? 7 : 501) {
        write_file(test_path("cut"), bytes, cut);
        open_anything(test_path("cut"));
    }
}

// ---- The kernel's own ---------------------------------------------------------------------------

static void need_kernel_core(const char *filter, int signo, const char *path, pid_t *ret_pid)
{
    const char *why = no_kernel_cores();
    static const char *const args[] = {"/bin/sleep", "1000", NULL};
    if (!why && !make_kernel_core(args, filter, signo, path, ret_pid))
        why = "the kernel wrote no core";
    if (why) {
        print_message("%s\n", why);
        skip();
    }
}

static void test_kernel_core(void **state)
{
    (void)state;
    pid_t pid;
    need_kernel_core("0x33", SIGABRT, test_path("kernel"), &pid);
    struct target *target = open_good(test_path("kernel"));
    assert_int_equal(target->pid, pid);
    assert_int_equal(target->threads.count, 1);
    assert_int_equal(target->threads.items[0].tid, pid);
    assert_int_equal(target->signal.signo, SIGABRT);
    assert_int_equal(target->signal.code, SI_USER);
    assert_true(target->signal.has_sender);
    assert_int_equal(target->signal.sender_pid, getpid());
    assert_int_equal(target->signal.sender_uid, getuid());
    assert_string_equal(target->argv[0], "/bin/sleep");
    assert_string_equal(target->argv[1], "1000");
    assert_null(target->argv[2]);
    assert_non_null(strstr(target->exe, "/"));
    assert_false(target->truncated);
    assert_true(target->absent_bytes > 0);
    assert_true(arch_blocked_in_syscall(&target->threads.items[0].regs));
    uint64_t word;
    assert_null(mem_read_u64(target->mem, target->threads.items[0].regs.sp, &word));
    // pthread_self: the thread control block begins with its own address (x86-64 TLS ABI).
    assert_null(mem_read_u64(target->mem, target->threads.items[0].regs.tls, &word));
    assert_int_equal(word, target->threads.items[0].regs.tls);
    target_destroy(target);
}

// Each hundredth of a real core: whatever opens counts exactly what is missing.
static void test_kernel_core_cut(void **state)
{
    (void)state;
    need_kernel_core("0x7f", SIGSEGV, test_path("kernel"), NULL);
    size_t size, opened = 0;
    AUTO_FREE uint8_t *bytes = read_whole(test_path("kernel"), &size);
    uint64_t before = UINT64_MAX;
    for (size_t percent = 0; percent < 100; percent++) {
        write_file(test_path("cut"), bytes, size * percent / 100);
        open_anything(test_path("cut"));
        struct target *target = NULL;
        struct err *err = target_open_core(test_path("cut"), &target);
        if (target) {
            assert_true(target->truncated);
            assert_true(target->missing_bytes < before && target->missing_bytes > 0);
            before = target->missing_bytes;
            opened++;
        }
        err_destroy(err);
        target_destroy(target);
    }
    assert_true(opened >= 95);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_hostile_segments),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_argv),
        cmocka_unit_test(test_exe),
        cmocka_unit_test(test_argv_title),
        cmocka_unit_test(test_argv_damaged),
        cmocka_unit_test(test_many_segments),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_unpacked_is_sparse),
        cmocka_unit_test(test_stored),
        cmocka_unit_test(test_filtered),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cut_early),
        cmocka_unit_test(test_notes_too_large),
        cmocka_unit_test(test_notes_window),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_kernel_core),
        cmocka_unit_test(test_kernel_core_cut),
    };
    return cmocka_run_group_tests_name("core", tests, make_test_dir, remove_test_dir);
}
