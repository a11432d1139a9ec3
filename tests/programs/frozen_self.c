// SPDX-License-Identifier: GPL-3.0-or-later
// A program that notices whatever is done to it: frozen_self MODE [EXTRA]. A thread that holds
// known values in all registers and in the red zone, one that counts through pages, some in calls
// that never return, some that sleep for a known time. The first thing that is not as it should be
// is printed, and ends it with status 3. MODE: spin (one thread, the registers), blocked (nobody
// runs), all. EXTRA: lenient (waits may end with EINTR), eperm or kill (filters of clone and
// wait4), uffd. Prints "READY pages ADDRESS shared ADDRESS dontfork ADDRESS wipe ADDRESS".
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 2048, PAGE = 4096, NAP_MS = 20 };

static int semaphore = -1;

static void broken(const char *what, long value)
{
    char text[128];
    semctl(semaphore, 0, IPC_RMID); // it would outlive us
    int size = snprintf(text, sizeof(text), "BROKEN %s %ld\n", what, value);
    if (write(1, text, (size_t)size) != size)
        _exit(4);
    _exit(3);
}

// ---- Registers ----------------------------------------------------------------------------------

static const uint64_t pattern[4] __attribute__((aligned(32))) = {
    0x1111222233334444, 0x5555666677778888, 0x9999aaaabbbbcccc, 0xddddeeeeffff0123};

// Fills them, idles, and returns how many are not as they were.
__attribute__((noinline)) static long hold_registers(void)
{
    long wrong;
    __asm__ volatile("xor %%eax, %%eax\n\t"
                     "movabs $0x0102030405060708, %%rbx\n\t"
                     "lea 1(%%rbx), %%rcx\n\t lea 2(%%rbx), %%rdx\n\t lea 3(%%rbx), %%rsi\n\t"
                     "lea 4(%%rbx), %%rdi\n\t lea 5(%%rbx), %%r8\n\t lea 6(%%rbx), %%r9\n\t"
                     "lea 7(%%rbx), %%r10\n\t lea 8(%%rbx), %%r11\n\t lea 9(%%rbx), %%r12\n\t"
                     "lea 10(%%rbx), %%r13\n\t lea 11(%%rbx), %%r14\n\t"
                     "movdqa %[pattern], %%xmm0\n\t movdqa 16+%[pattern], %%xmm15\n\t"
                     "mov %%r10, -8(%%rsp)\n\t mov %%r11, -120(%%rsp)\n\t"
                     "mov $20000, %%r15d\n\t"
                     "1: dec %%r15\n\t jnz 1b\n\t"
#define SAME(number, reg)                                                       \
    "lea " #number "(%%rbx), %%r15\n\t cmp %%r15, " reg "\n\t setne %%r15b\n\t" \
    "movzbl %%r15b, %%r15d\n\t add %%r15, %%rax\n\t"
                     SAME(1, "%%rcx") SAME(2, "%%rdx") SAME(3, "%%rsi") SAME(4, "%%rdi")
                         SAME(5, "%%r8") SAME(6, "%%r9") SAME(7, "%%r10") SAME(8, "%%r11") SAME(
                             9, "%%r12") SAME(10, "%%r13") SAME(11, "%%r14") SAME(7, "-8(%%rsp)")
                             SAME(8, "-120(%%rsp)") "pcmpeqb %[pattern], %%xmm0\n\t pmovmskb "
                                                    "%%xmm0, %%ecx\n\t xor $0xffff, %%ecx\n\t"
                                                    "add %%rcx, %%rax\n\t"
                                                    "pcmpeqb 16+%[pattern], %%xmm15\n\t pmovmskb "
                                                    "%%xmm15, %%ecx\n\t xor $0xffff, %%ecx\n\t"
                                                    "add %%rcx, %%rax\n\t"
                     : "=&a"(wrong)
                     : [pattern] "m"(pattern)
                     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
                       "r14", "r15", "xmm0", "xmm15", "cc", "memory");
    return wrong;
}

// What lies below the red zone is nobody's, and yet it is to look as before.
__attribute__((noinline)) static void paint_below(void)
{
    volatile unsigned char area[16384];
    for (size_t i = 0; i < sizeof(area); i++)
        area[i] = 0xa5;
}

_Noreturn static void *run_registers(void *arg)
{
    sigset_t before, now;
    (void)arg;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    for (long round = 0;; round++) {
        if (round == 1) // by then the dynamic linker has done its part, which takes stack
            paint_below();
        long wrong = hold_registers();
        if (wrong)
            broken("registers", wrong);
        if (round % 64)
            continue;
        pthread_sigmask(SIG_BLOCK, NULL, &now);
        if (memcmp(&before, &now, 8) != 0)
            broken("signal mask", round);
    }
}

// ---- Pages --------------------------------------------------------------------------------------

static volatile uint64_t *pages;

// At any moment the first ones hold n + 1, all after them n.
_Noreturn static void *run_pages(void *arg)
{
    (void)arg;
    for (uint64_t round = 1;; round++)
        for (int page = 0; page < PAGES; page++) {
            volatile uint64_t *word = &pages[page * PAGE / 8];
            if (*word != round - 1)
                broken("a page", page);
            *word = round;
        }
}

static int lenient; // the tracer is killed: then EINTR is what is documented

// ---- Calls --------------------------------------------------------------------------------------

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *run_read(void *arg)
{
    int ends[2];
    char byte;
    (void)arg;
    if (pipe(ends) == 0)
        broken("read", read(ends[0], &byte, 1) < 0 ? errno : 0);
    return NULL;
}

static void *run_recv(void *arg)
{
    int ends[2];
    char byte;
    (void)arg;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0)
        broken("recv", recv(ends[0], &byte, 1, 0) < 0 ? errno : 0);
    return NULL;
}

static void *run_epoll(void *arg)
{
    struct epoll_event event;
    (void)arg;
    int epoll = epoll_create1(0);
    while (epoll_wait(epoll, &event, 1, -1) < 0 && errno == EINTR && lenient)
        ;
    broken("epoll_wait", errno);
    return NULL;
}

static void *run_sigwait(void *arg)
{
    sigset_t set;
    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMAX);
    while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR && lenient)
        ;
    broken("sigwaitinfo", errno);
    return NULL;
}

static void *run_semop(void *arg)
{
    struct sembuf take = {0, -1, 0};
    (void)arg;
    while (semop(semaphore, &take, 1) < 0 && errno == EINTR && lenient)
        ;
    if (errno != EIDRM)
        broken("semop", errno);
    return NULL;
}

static void *run_mutex(void *arg)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    (void)arg;
    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&mutex);
    broken("futex", errno);
    return NULL;
}

_Noreturn static void *run_nap(void *arg)
{
    (void)arg;
    for (;;) {
        int64_t begin_ms = now_ms();
        if (usleep(NAP_MS * 1000) != 0) {
            if (!lenient)
                broken("nanosleep", errno);
            continue;
        }
        if (now_ms() - begin_ms < NAP_MS - 1)
            broken("nanosleep early", now_ms() - begin_ms);
    }
}

// Nothing sends it a signal, a child that ends least of all.
static void on_signal(int signo)
{
    broken("signal", signo);
}

// Counted where the test can read it.
static void on_counted(int signo)
{
    (void)signo;
    pages[0]++;
}

// ---- All ----------------------------------------------------------------------------------------

static void *map(size_t size, int flags)
{
    void *place = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED)
        _exit(4);
    return place;
}

static void start(void *(*function)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, NULL) != 0)
        _exit(4);
}

static void watch_page(void *page)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.range = {(uintptr_t)page, PAGE},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    int fd = (int)syscall(SYS_userfaultfd, 0);
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &range) != 0)
        printf("NO userfaultfd\n");
}

// clone and wait4 fail with EPERM, or end the program.
static void filter_calls(unsigned action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), // seccomp_data.nr
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_wait4, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        _exit(4);
}

static void clean_up(int signo)
{
    (void)signo;
    semctl(semaphore, 0, IPC_RMID);
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "all";
    const char *extra = argc > 2 ? argv[2] : "";
    lenient = strcmp(extra, "lenient") == 0;
    for (int signo = 1; signo < 32; signo++)
        if (signo != SIGCONT)
            signal(signo, signo == SIGTERM ? clean_up : on_signal);
    uint64_t *shared = map(PAGE, MAP_SHARED), *dont = map(PAGE, MAP_PRIVATE);
    uint64_t *wipe = map(PAGE, MAP_PRIVATE);
    pages = map((size_t)PAGES * PAGE, MAP_PRIVATE);
    *shared = *dont = *wipe = 0x6162636465666768;
    madvise(dont, PAGE, MADV_DONTFORK);
    madvise(wipe, PAGE, MADV_WIPEONFORK);
    if (strcmp(mode, "spin") != 0)
        semaphore = semget(IPC_PRIVATE, 1, 0600);
    static void *(*const blocked[])(void *) = {run_read,  run_recv,  run_epoll, run_sigwait,
                                               run_semop, run_mutex, run_nap};
    for (size_t i = 0; strcmp(mode, "spin") != 0 && i < sizeof(blocked) / sizeof(blocked[0]); i++)
        start(blocked[i]);
    if (strcmp(mode, "all") == 0) {
        start(run_pages);
        start(run_registers);
    }
    usleep(100000);
    signal(SIGRTMIN, on_counted);
    if (strcmp(extra, "eperm") == 0)
        filter_calls(SECCOMP_RET_ERRNO | EPERM);
    if (strcmp(extra, "kill") == 0)
        filter_calls(SECCOMP_RET_KILL_PROCESS);
    if (strcmp(extra, "uffd") == 0)
        watch_page(wipe);
    printf("READY pages %lx shared %lx dontfork %lx wipe %lx\n", (unsigned long)pages,
           (unsigned long)shared, (unsigned long)dont, (unsigned long)wipe);
    fflush(stdout);
    if (strcmp(mode, "spin") == 0)
        run_registers(NULL);
    run_nap(NULL);
}
