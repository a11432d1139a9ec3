// SPDX-License-Identifier: GPL-3.0-or-later
// Register sets of stopped threads by PTRACE_GETREGSET: see target/regsets.h.
#include "target/regsets.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "target/stop_private.h"
#include "util/guard.h"

#define XSTATE_LIMIT_BYTES 65536u // AMX tiles make it 11 KB; CPUID 0xd says how large
#define EVENT_STOP 128            // PTRACE_EVENT_STOP, <linux/ptrace.h>

// What a kernel core has besides NT_PRSTATUS, in its order (arch/x86/kernel/ptrace.c,
// x86_64_regsets). A set that the machine does not have is left out.
static const struct {
    uint32_t type;
    const char *name;
} wanted[REGSETS_MAX] = {
    {NT_FPREGSET, "CORE"},
#if defined(__x86_64__)
    {NT_X86_XSTATE, "LINUX"},
#elif defined(__aarch64__)
    {NT_ARM_TLS, "LINUX"},
#endif
};

static bool read_set(pid_t tid, uint32_t type, unsigned char *room, size_t *size)
{
    struct iovec place = {room, *size};
    if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)type, &place) != 0)
        return false;
    *size = place.iov_len;
    return true;
}

static struct err *read_others(pid_t tid, unsigned char *room, struct regsets_thread *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(wanted) && wanted[i].name; i++) {
        size_t size = XSTATE_LIMIT_BYTES;
        if (!read_set(tid, wanted[i].type, room, &size) || size == 0)
            continue;
        struct regset set = {wanted[i].type, wanted[i].name, malloc(size), size};
        if (!set.bytes)
            return err_create(ERR_NO_MEMORY, "registers of thread %d", tid);
        memcpy(set.bytes, room, size);
        ret->sets[ret->count++] = set;
    }
    return NULL;
}

// A stop that we caused has SIGTRAP there, with the event in si_code (ptrace(2), PTRACE_INTERRUPT).
static void read_signal(pid_t tid, struct regsets_thread *ret)
{
    siginfo_t info;
    _Static_assert(sizeof(info) == REGSETS_SIGINFO_BYTES, "siginfo_t");
    memset(&info, 0, sizeof(info));
    if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0 && info.si_code >> 8 != EVENT_STOP) {
        memcpy(ret->siginfo, &info, sizeof(info));
        ret->has_siginfo = true;
    }
    ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof(ret->blocked), &ret->blocked);
}

static void read_name(pid_t tid, struct regsets_thread *ret)
{
    struct proc_stat stat;
    AUTO_ERR struct err *err = proc_thread_stat(tid, tid, &stat);
    if (!err)
        memcpy(ret->comm, stat.comm, sizeof(ret->comm));
}

static void clear_thread(struct regsets_thread *thread)
{
    for (size_t i = 0; i < thread->count; i++)
        free(thread->sets[i].bytes);
    thread->count = 0;
}

struct err *regsets_read(pid_t tid, struct regsets_thread *ret)
{
    const struct arch *arch = arch_host();
    AUTO_FREE unsigned char *room = malloc(XSTATE_LIMIT_BYTES);
    size_t size = XSTATE_LIMIT_BYTES;
    *ret = (struct regsets_thread){.tid = tid};
    if (!room)
        return err_create(ERR_NO_MEMORY, "registers of thread %d", tid);
    if (!read_set(tid, NT_PRSTATUS, room, &size))
        return err_os(errno, "registers of thread %d", tid);
    if (size != arch->gregset_bytes)
        return err_create(ERR_UNSUPPORTED, "thread %d runs 32-bit code", tid);
    read_name(tid, ret);
    arch->regs_from_gregset(room, &ret->regs);
    ret->has_regs = ret->stopped = true;
    read_signal(tid, ret);
    struct err *err = read_others(tid, room, ret);
    if (err)
        clear_thread(ret);
    return err;
}

static struct err *add_thread(const struct live_thread *thread, struct regsets_threads *ret)
{
    struct regsets_thread sets = {
        .tid = thread->tid, .regs = thread->regs, .has_regs = thread->has_regs};
    if (thread->state == LIVE_GONE)
        return NULL;
    read_name(thread->tid, &sets);
    if (thread->state == LIVE_STOPPED) {
        struct err *err = regsets_read(thread->tid, &sets);
        // Killed under our hands.
        if (err && err_code(err) == ERR_GONE) {
            err_destroy(err);
            return NULL;
        }
        TRY(err);
    }
    if (!vec_push(ret, sets)) {
        clear_thread(&sets);
        return err_create(ERR_NO_MEMORY, "registers of thread %d", thread->tid);
    }
    return NULL;
}

struct err *regsets_read_all(struct live *live, struct regsets_threads *ret)
{
    for (int others = 0; others < 2; others++)
        vec_foreach (thread, &live->threads)
            if ((thread->tid != live->pid) == others)
                TRY(add_thread(thread, ret));
    if (ret->count == 0)
        return err_create(ERR_GONE, "process %d has ended", live->pid);
    return NULL;
}

void regsets_read_names(struct regsets_threads *threads)
{
    vec_foreach (thread, threads)
        if (!thread->comm[0])
            read_name(thread->tid, thread);
}

void regsets_clear(struct regsets_threads *threads)
{
    vec_foreach (thread, threads)
        clear_thread(thread);
    vec_deinit(threads);
}

// arch/x86/kernel/fpu/xstate.c, dump_xsave_layout_desc: one row for each extended feature that the
// kernel enables, as CPUID leaf 0xd tells it. XCR0 has a bit for each of those.
size_t regsets_xsave_layout(unsigned char *ret, size_t room)
{
    size_t done = 0;
#if defined(__x86_64__)
    uint32_t eax, ebx, ecx, edx, low, high;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    uint64_t enabled = (uint64_t)high << 32 | low;
    for (uint32_t feature = 2; feature < 63; feature++) {
        if (!(enabled >> feature & 1) || !__get_cpuid_count(0xd, feature, &eax, &ebx, &ecx, &edx))
            continue;
        uint32_t row[4] = {feature, eax, ebx, 0};
        if (room - done < sizeof(row))
            return 0;
        memcpy(ret + done, row, sizeof(row));
        done += sizeof(row);
    }
#else
    (void)ret;
    (void)room;
#endif
    return done;
}

void live_stay_stopped(struct live *live)
{
    live_restore_priority(live);
}

int live_asked_to_end(void)
{
    static const int asking[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t pending;
    if (sigpending(&pending) != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(asking); i++) {
        // One that is ignored is kept pending all the same as long as it is blocked
        // (kernel/signal.c, sig_ignored).
        struct sigaction action;
        if (sigismember(&pending, asking[i]) == 1 && sigaction(asking[i], NULL, &action) == 0 &&
            action.sa_handler != SIG_IGN)
            return asking[i];
    }
    return 0;
}
