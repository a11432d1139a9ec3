// SPDX-License-Identifier: GPL-3.0-or-later
// Where the stacks of the native tests end: functions that wait in a known system call or compute,
// and ways to die. Each says first that it is there: native_reached counts. x86-64, Linux.
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

atomic_int native_reached;
atomic_long native_sink;
static __thread int is_told; // a place that is left and entered again is counted once

void native_tell(void)
{
    if (!is_told)
        atomic_fetch_add(&native_reached, 1);
    is_told = 1;
}

int native_count(void)
{
    return atomic_load(&native_reached);
}

NOINLINE long leaf_pause(long argument)
{
    native_tell();
    for (;;)
        pause();
    return argument;
}

NOINLINE long leaf_nanosleep(long argument)
{
    struct timespec day = {86400, 0};

    native_tell();
    nanosleep(&day, NULL);
    return argument + 1;
}

NOINLINE long leaf_futex(long argument)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;

    native_tell();
    pthread_mutex_lock(&mutex);
    for (;;)
        pthread_cond_wait(&never, &mutex);
    return argument;
}

NOINLINE long leaf_sem(long argument)
{
    struct timespec day;
    sem_t never;

    sem_init(&never, 0, 0);
    clock_gettime(CLOCK_REALTIME, &day);
    day.tv_sec += 86400;
    native_tell();
    sem_timedwait(&never, &day);
    return argument + 1;
}

NOINLINE long leaf_epoll(long argument)
{
    struct epoll_event event;
    int set = epoll_create1(0);

    native_tell();
    for (;;)
        epoll_wait(set, &event, 1, -1); // ends with EINTR when somebody stops it
    return argument;
}

NOINLINE long leaf_read(long argument)
{
    int ends[2];
    char byte;

    if (pipe(ends) != 0)
        abort();
    native_tell();
    return read(ends[0], &byte, 1) + argument;
}

NOINLINE long leaf_poll(long argument)
{
    native_tell();
    return poll(NULL, 0, -1) + argument;
}

// These compute for ever.
NOINLINE long leaf_spin(long argument)
{
    native_tell();
    for (unsigned long value = (unsigned long)argument;; value = value * 6364136223846793005ul + 1)
        atomic_store_explicit(&native_sink, (long)value, memory_order_relaxed);
    return argument;
}

// Finds the vdso now and then, libc for the rest.
NOINLINE long leaf_vdso(long argument)
{
    struct timespec now;

    native_tell();
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        argument += now.tv_nsec;
        atomic_store_explicit(&native_sink, argument, memory_order_relaxed);
    }
    return argument;
}

// strnlen, strchr and labs lie behind stubs of the PLT, two of them chosen by the processor's kind.
NOINLINE long leaf_plt(long argument)
{
    static char text[] = "aaaaaaab";

    native_tell();
    for (;;) {
        argument += (long)strnlen(text, (size_t)(argument & 7) + 1);
        argument += strchr(text, 'b') - text + rand_r((unsigned *)&argument);
        atomic_store_explicit(&native_sink, argument, memory_order_relaxed);
    }
    return argument;
}

NOINLINE long leaf_malloc(long argument)
{
    native_tell();
    for (;;) {
        void *volatile memory = malloc((size_t)(argument++ & 4095) + 1);
        free(memory);
    }
    return argument;
}

// Two ways back into Python that look the same but for their names.
NOINLINE long call_a(long (*back)(long), long argument)
{
    return back(argument) + atomic_load_explicit(&native_sink, memory_order_relaxed) * 0 + 1;
}

NOINLINE long call_b(long (*back)(long), long argument)
{
    return back(argument) + atomic_load_explicit(&native_sink, memory_order_relaxed) * 0 + 2;
}

// The frame pointer holds nonsense while the leaf waits: legal, the tables say where it was saved.
__asm__(".text\n"
        ".globl odd_frame_pointer\n"
        ".type odd_frame_pointer, @function\n"
        "odd_frame_pointer:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset %rbp, -16\n"
        "mov $0x123456789, %rbp\n"
        "mov %rdi, %rax\n"
        "mov %rsi, %rdi\n"
        "call *%rax\n"
        "pop %rbp\n"
        ".cfi_def_cfa_offset 8\n"
        ".cfi_restore %rbp\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size odd_frame_pointer, . - odd_frame_pointer\n");

// ---- Threads that Python does not know ----------------------------------------------------------

static void *foreign_main(void *argument)
{
    return (void *)leaf_pause((long)argument);
}

int native_foreign(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, foreign_main, NULL);
}

// ---- Ways to die --------------------------------------------------------------------------------

NOINLINE long crash_abort(long argument)
{
    abort();
    return argument;
}

// Jumps to address 0: the program counter itself is the fault.
NOINLINE long crash_call_null(long argument)
{
    long (*volatile nowhere)(long) = NULL;

    return nowhere(argument) + 1;
}

// Jumps to data, which cannot be executed.
NOINLINE long crash_call_data(long argument)
{
    static long data[64];
    long (*volatile nowhere)(long) = (long (*)(long))data;

    return nowhere(argument) + 1;
}

NOINLINE long crash_store(long argument)
{
    volatile int *volatile nowhere = (volatile int *)16;

    *nowhere = 1;
    return argument;
}

// Until the guard page below the stack.
NOINLINE long crash_overflow(long argument)
{
    volatile char piece[2048];

    piece[0] = (char)argument;
    if (argument == native_sink - 1) // never: keeps the compiler quiet
        return 0;
    return crash_overflow(argument + 1) + piece[0];
}
