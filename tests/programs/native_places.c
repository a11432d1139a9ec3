// SPDX-License-Identifier: GPL-3.0-or-later
// Places on the way to a leaf, each with something that makes unwinding hard: built several times
// over, with and without frame pointers, tables, symbols, build ID. x86-64, Linux, gcc or clang.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define PUBLIC __attribute__((visibility("default")))

typedef long leaf_function(long);

static volatile long sink;

// ---- Plain calls --------------------------------------------------------------------------------

static NOINLINE long plain_c(leaf_function *leaf, long argument)
{
    return leaf(argument) + sink;
}

static NOINLINE long plain_b(leaf_function *leaf, long argument, long a, long b, long c)
{
    long keep[4] = {a, b, c, argument};

    sink += plain_c(leaf, argument);
    return keep[sink & 3];
}

PUBLIC long place_plain(leaf_function *leaf, long argument)
{
    return plain_b(leaf, argument, argument + 1, argument + 2, argument + 3) * 2;
}

// A frame whose size is known at run time only.
PUBLIC long place_alloca(leaf_function *leaf, long argument)
{
    char *piece = __builtin_alloca((size_t)(argument & 63) * 16 + 64);

    memset(piece, 1, 32);
    sink = piece[3] + leaf(argument);
    return piece[5] + sink;
}

// And aligned more than the ABI does: the frame's address is an expression over a saved register.
PUBLIC long place_realign(leaf_function *leaf, long argument)
{
    long wide[8] __attribute__((aligned(64)));
    char *piece = __builtin_alloca((size_t)(argument & 63) * 16 + 64);

    memset(wide, 0, sizeof wide);
    memset(piece, 2, 64);
    sink = (long)((uintptr_t)wide & 63) + leaf(argument);
    return piece[7] + wide[sink & 7];
}

// The call is the last instruction: the return address lies in the next function.
static NOINLINE __attribute__((noreturn)) void no_return(leaf_function *leaf, long argument)
{
    for (;;)
        sink = leaf(argument);
}

static NOINLINE __attribute__((noreturn)) void calls_no_return(leaf_function *leaf, long argument)
{
    sink++;
    no_return(leaf, argument);
}

PUBLIC long place_noreturn(leaf_function *leaf, long argument)
{
    if (argument >= 0)
        calls_no_return(leaf, argument);
    return 1;
}

// Jumps instead of calling: its own frame is gone.
PUBLIC long place_tail(leaf_function *leaf, long argument)
{
    sink++;
    return plain_c(leaf, argument);
}

static NOINLINE __attribute__((cold)) long rarely(leaf_function *leaf, long argument)
{
    return leaf(argument) - sink;
}

// Inside the part of a function that the compiler moved away.
PUBLIC long place_cold(leaf_function *leaf, long argument)
{
    if (__builtin_expect(argument < 1000000, 0)) {
        sink += rarely(leaf, argument);
        return sink * rarely(leaf, argument);
    }
    return argument;
}

// From within libc.
static __thread leaf_function *compare_leaf;
static __thread long compare_argument;

static int compare(const void *a, const void *b)
{
    sink = compare_leaf(compare_argument);
    return *(const int *)a - *(const int *)b;
}

PUBLIC long place_qsort(leaf_function *leaf, long argument)
{
    int numbers[] = {3, 1, 2};

    compare_leaf = leaf;
    compare_argument = argument;
    qsort(numbers, 3, sizeof numbers[0], compare);
    return numbers[0];
}

NOINLINE PUBLIC long place_recurse(leaf_function *leaf, long argument)
{
    long result = argument <= 1 ? leaf(argument) : place_recurse(leaf, argument - 1);

    sink += result; // else the compiler makes a loop of it
    return result + sink;
}

// ---- Signals ------------------------------------------------------------------------------------

static __thread leaf_function *handler_leaf;
static __thread long handler_argument;

static void handler(int signo, siginfo_t *info, void *context)
{
    sink += signo + (info != NULL) + (context != NULL);
    sink += handler_leaf(handler_argument);
}

static void install(int signo, int flags)
{
    struct sigaction action = {.sa_sigaction = handler,
                               .sa_flags = SA_SIGINFO | SA_NODEFER | flags};

    if (flags & SA_ONSTACK) {
        stack_t other = {.ss_size = 256 * 1024};
        other.ss_sp =
            mmap(NULL, other.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        sigaltstack(&other, NULL);
    }
    sigaction(signo, &action, NULL);
}

// Interrupted in libc, which has just sent it.
PUBLIC long place_signal_libc(leaf_function *leaf, long argument)
{
    handler_leaf = leaf;
    handler_argument = argument;
    install(SIGUSR1, 0);
    return raise(SIGUSR1) + sink;
}

PUBLIC long place_signal_libc_alt(leaf_function *leaf, long argument)
{
    handler_leaf = leaf;
    handler_argument = argument;
    install(SIGUSR2, SA_ONSTACK);
    return raise(SIGUSR2) + sink;
}

// Interrupted at the instruction itself, in this file.
static NOINLINE long trap_here(long argument)
{
    __asm__ volatile("ud2");
    return argument + sink;
}

PUBLIC long place_signal_trap(leaf_function *leaf, long argument)
{
    handler_leaf = leaf;
    handler_argument = argument;
    install(SIGILL, 0);
    return trap_here(argument) + 1;
}

PUBLIC long place_signal_trap_alt(leaf_function *leaf, long argument)
{
    int zero = 0;

    handler_leaf = leaf;
    handler_argument = argument;
    install(SIGFPE, SA_ONSTACK);
    __asm__ volatile("idivl %1" : "+a"(argument) : "r"(zero) : "rdx", "cc");
    return argument + 1;
}

// One instruction of a function was not run yet: nothing is where it is later.
PUBLIC long place_signal_null(leaf_function *leaf, long argument)
{
    leaf_function *volatile nowhere = NULL;

    handler_leaf = leaf;
    handler_argument = argument;
    install(SIGSEGV, SA_ONSTACK);
    return nowhere(argument) + 1;
}

// In a function of libc that was chosen at load time for this processor.
PUBLIC long place_signal_memcpy(leaf_function *leaf, long argument)
{
    static char text[4096];
    char *volatile nowhere = (char *)8;

    handler_leaf = leaf;
    handler_argument = argument;
    install(SIGSEGV, SA_ONSTACK);
    memcpy(text, nowhere, (size_t)argument + 1000);
    return text[3];
}

// A handler that was interrupted by another one, on two stacks.
static __thread leaf_function *nested_leaf;

static long raise_again(long argument)
{
    handler_leaf = nested_leaf;
    install(SIGUSR2, SA_ONSTACK);
    return raise(SIGUSR2) + argument;
}

PUBLIC long place_signal_nested(leaf_function *leaf, long argument)
{
    nested_leaf = leaf;
    handler_leaf = raise_again;
    handler_argument = argument;
    install(SIGUSR1, 0);
    return raise(SIGUSR1) + sink;
}

// ---- One instruction at a time ------------------------------------------------------------------
// The processor's trap flag brings SIGTRAP after every instruction. After as many as asked for, the
// leaf is called in the handler, or, when there is none, the next instruction is deadly: the core
// has the thread right there. So any instruction of a PLT, of the vdso, of the dynamic linker, of a
// prologue or an epilogue can be had.

static __thread long steps_left;
static __thread uintptr_t step_from, step_end; // counts only within, if set

static void step_handler(int signo, siginfo_t *info, void *context)
{
    ucontext_t *where = context;
    uintptr_t pc = (uintptr_t)where->uc_mcontext.gregs[REG_RIP];

    (void)info;
    if (step_end && (pc < step_from || pc >= step_end))
        return;
    if (steps_left-- > 0)
        return;
    if (handler_leaf) {
        sink += handler_leaf(handler_argument);
    } else {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(signo, &action, NULL);
    }
}

#define STEPS_BEGIN() __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc")
#define STEPS_END() __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc")

static void steps_prepare(leaf_function *leaf, long steps, int flags)
{
    struct sigaction action = {.sa_sigaction = step_handler, .sa_flags = SA_SIGINFO | flags};

    install(SIGUSR2, flags);
    handler_leaf = leaf;
    handler_argument = 0;
    steps_left = steps;
    step_from = step_end = 0;
    sigaction(SIGTRAP, &action, NULL);
}

// Through the PLT, the dynamic linker's resolver and libc; and back.
NOINLINE PUBLIC long place_step_plt(leaf_function *leaf, long steps)
{
    long value = 17;

    steps_prepare(leaf, steps, SA_ONSTACK);
    STEPS_BEGIN();
    value += a64l("zz");
    STEPS_END();
    return value + sink;
}

NOINLINE PUBLIC long place_step_vdso(leaf_function *leaf, long steps)
{
    struct timespec now = {0};

    steps_prepare(leaf, steps, 0);
    STEPS_BEGIN();
    clock_gettime(CLOCK_MONOTONIC, &now);
    STEPS_END();
    return now.tv_nsec + sink;
}

static NOINLINE long step_inner(long a, long b)
{
    char piece[256];

    memset(piece, (int)a, sizeof piece);
    sink += piece[b & 255];
    return sink * a;
}

NOINLINE PUBLIC long step_outer(long a)
{
    long sum = 0;

    for (long number = 0; number < 3; number++)
        sum += step_inner(a + number, sum) * number;
    return sum;
}

// Prologues and epilogues of this very build.
NOINLINE PUBLIC long place_step_calls(leaf_function *leaf, long steps)
{
    long value;

    steps_prepare(leaf, steps, SA_ONSTACK);
    STEPS_BEGIN();
    value = step_outer(steps);
    STEPS_END();
    return value + sink;
}

// ---- Other stacks -------------------------------------------------------------------------------

static __thread ucontext_t context_here, context_there;
static __thread leaf_function *context_leaf;

static void context_main(void)
{
    sink += context_leaf(0);
}

// A coroutine of C: the stack ends at its start.
PUBLIC long place_context(leaf_function *leaf, long argument)
{
    size_t size = 256 * 1024;

    context_leaf = leaf;
    getcontext(&context_there);
    context_there.uc_stack.ss_sp =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    context_there.uc_stack.ss_size = size;
    context_there.uc_link = &context_here;
    makecontext(&context_there, context_main, 0);
    swapcontext(&context_here, &context_there);
    return argument + sink;
}

// ---- Broken stacks ------------------------------------------------------------------------------

// Its return address is overwritten with what is no code, as an overrun buffer does.
NOINLINE PUBLIC long broken_return(leaf_function *leaf, long argument)
{
    void **frame = __builtin_frame_address(0);

    frame[1] = (void *)0x4141414141414141;
    sink = leaf(argument);
    return sink;
}

// With something that could be code, but is the middle of data.
NOINLINE PUBLIC long broken_return_data(leaf_function *leaf, long argument)
{
    static long data[8];
    void **frame = __builtin_frame_address(0);

    frame[1] = (void *)data;
    sink = leaf(argument);
    return sink;
}

NOINLINE PUBLIC long broken_return_zero(leaf_function *leaf, long argument)
{
    void **frame = __builtin_frame_address(0);

    frame[1] = NULL;
    sink = leaf(argument);
    return sink;
}

// The saved frame pointer points to itself: a chain without end.
NOINLINE PUBLIC long broken_chain(leaf_function *leaf, long argument)
{
    void **frame = __builtin_frame_address(0);

    frame[0] = frame;
    sink = leaf(argument);
    return sink;
}

// All of the frames next to it is gone, too.
NOINLINE PUBLIC long broken_all(leaf_function *leaf, long argument)
{
    char *frame = __builtin_frame_address(0);

    memset(frame, 0x5a, 192);
    sink = leaf(argument);
    return sink;
}

// The stack pointer points where nothing is; `argument` says where. Computes for ever.
NOINLINE PUBLIC long broken_pointer(leaf_function *leaf, long argument)
{
    sink = (long)leaf;
    __asm__ volatile("call native_tell@PLT\n\t"
                     "mov %0, %%rsp\n"
                     "1: pause\n\t"
                     "jmp 1b"
                     :
                     : "b"(argument)
                     : "memory", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
    return argument;
}
