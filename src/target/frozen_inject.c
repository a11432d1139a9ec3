// SPDX-License-Identifier: GPL-3.0-or-later
// Lends a stopped thread of the target for one system call, and gives it back as it was. No code is
// written: the instructions are looked for in what the target has mapped. See target/frozen.h.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "target/frozen_private.h"
#include "util/guard.h"

#define EVENT_STOP 128 // PTRACE_EVENT_STOP, <linux/ptrace.h>
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define SCAN_CHUNK (1u << 20)
#define SCAN_LIMIT (256u << 20)       // of code, all in all
#define TRIES 8                       // of a call that a signal or an attached stop put off
#define SLICE_NS 20000000             // the longest wait for a SIGCHLD; it comes with every change
#define RESTARTNOINTR 513             // linux/errno.h
#define GET_RSEQ_CONFIGURATION 0x420f // <linux/ptrace.h>; Linux 5.13

// ---- Code that is there -------------------------------------------------------------------------

static uint64_t find_bytes(const unsigned char *chunk, size_t size, uint64_t addr,
                           const char *bytes, size_t count)
{
    const unsigned char *found = count ? memmem(chunk, size, bytes, count) : NULL;
    return found ? addr + (uint64_t)(found - chunk) : 0;
}

static void scan_chunk(const unsigned char *chunk, size_t size, uint64_t addr, struct borrowed *ret)
{
    const struct arch_inject *inject = arch_host()->inject;
    if (!ret->call_ip)
        ret->call_ip = find_bytes(chunk, size, addr, inject->call, inject->call_bytes);
    for (size_t i = 0; i < ARRAY_SIZE(inject->sigreturn) && !ret->sigreturn_ip; i++)
        ret->sigreturn_ip =
            find_bytes(chunk, size, addr, inject->sigreturn[i], inject->sigreturn_bytes[i]);
}

// Only code of files and of the kernel: what a JIT wrote may be replaced at any time.
static bool is_lasting_code(const struct target_mapping *mapping)
{
    return mapping->executable && mapping->readable && !mapping->writable &&
           (mapping->inode || (mapping->path && strcmp(mapping->path, "[vdso]") == 0));
}

static void scan(const struct target_mapping *mapping, unsigned char *chunk, uint64_t *scanned,
                 struct borrowed *ret)
{
    const size_t overlap = 16;
    for (uint64_t at = mapping->start; at < mapping->end; at += SCAN_CHUNK - overlap) {
        if ((ret->call_ip && ret->sigreturn_ip) || *scanned > SCAN_LIMIT)
            return;
        size_t want = mapping->end - at < SCAN_CHUNK ? (size_t)(mapping->end - at) : SCAN_CHUNK;
        ssize_t got = pread(ret->mem_fd, chunk, want, (off_t)at);
        if (got <= 0)
            return;
        *scanned += (uint64_t)got;
        scan_chunk(chunk, (size_t)got, at, ret);
    }
}

struct err *borrow_prepare(pid_t pid, struct borrowed *ret)
{
    char path[64];
    if (!arch_host()->inject)
        return err_create(ERR_UNSUPPORTED, "pycore cannot do this on %s yet", arch_host()->name);
    *ret = (struct borrowed){.pid = pid};
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    ret->mem_fd = open(path, O_RDWR | O_CLOEXEC);
    if (ret->mem_fd < 0)
        return err_os(errno, "%s", path);
    struct target_mappings mappings = {0};
    AUTO_FREE unsigned char *chunk = malloc(SCAN_CHUNK);
    struct err *err = chunk ? proc_mappings(pid, &mappings) : err_create(ERR_NO_MEMORY, "code");
    uint64_t scanned = 0;
    // The C library has both, so it is looked at first.
    for (int others = 0; !err && others < 2; others++)
        vec_foreach (mapping, &mappings)
            if (is_lasting_code(mapping) &&
                others != (mapping->path &&
                           (strstr(mapping->path, "/libc") || strstr(mapping->path, "/ld-musl"))))
                scan(mapping, chunk, &scanned, ret);
    proc_mappings_clear(&mappings);
    if (!err && (!ret->call_ip || !ret->sigreturn_ip))
        err = err_create(ERR_UNSUPPORTED,
                         "no code is mapped in process %d that pycore could make a system call "
                         "with",
                         pid);
    if (err)
        borrow_deinit(ret);
    return err;
}

void borrow_deinit(struct borrowed *borrowed)
{
    if (borrowed->mem_fd >= 0)
        close(borrowed->mem_fd);
    borrowed->mem_fd = -1;
}

static bool code_is_still_there(const struct borrowed *borrowed)
{
    const struct arch_inject *inject = arch_host()->inject;
    unsigned char bytes[16];
    bool sigreturn = false;
    if (pread(borrowed->mem_fd, bytes, inject->call_bytes, (off_t)borrowed->call_ip) !=
            inject->call_bytes ||
        memcmp(bytes, inject->call, inject->call_bytes) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(inject->sigreturn); i++)
        sigreturn |= pread(borrowed->mem_fd, bytes, inject->sigreturn_bytes[i],
                           (off_t)borrowed->sigreturn_ip) == inject->sigreturn_bytes[i] &&
                     memcmp(bytes, inject->sigreturn[i], inject->sigreturn_bytes[i]) == 0;
    return sigreturn;
}

// ---- Which thread -------------------------------------------------------------------------------

// In a restartable sequence (rseq(2)) the kernel would clear its mark while our call runs, and the
// thread would then go on in the middle of it as if it had not been disturbed.
static bool in_restartable_sequence(const struct borrowed *borrowed, pid_t tid, uint64_t ip)
{
    struct {
        uint64_t address;
        uint32_t size, signature, flags, pad;
    } where = {0};                  // struct ptrace_rseq_configuration
    uint64_t section = 0, words[3]; // struct rseq_cs: version and flags, start, length
    if (ptrace(GET_RSEQ_CONFIGURATION, tid, (void *)sizeof(where), &where) != sizeof(where) ||
        !where.address)
        return false;
    if (pread(borrowed->mem_fd, &section, sizeof(section), (off_t)(where.address + 8)) !=
        sizeof(section))
        return true;
    if (!section)
        return false;
    return pread(borrowed->mem_fd, words, sizeof(words), (off_t)section) != sizeof(words) ||
           ip - words[1] < words[2];
}

// Its line of /proc/PID/task/TID/status.
static bool status_has(const struct borrowed *borrowed, pid_t tid, const char *name,
                       const char *value)
{
    char path[64];
    AUTO_FREE char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", borrowed->pid, tid);
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    char *line = err ? NULL : strstr(text, name);
    char *end = line ? strchr(line, '\n') : NULL;
    if (!line || !end)
        return false;
    *end = '\0';
    return strstr(line, value);
}

bool borrow_may(const struct borrowed *borrowed, const struct live_thread *thread,
                struct borrow_refusal *ret_why)
{
    struct borrow_refusal why = {0};
    if (thread->state != LIVE_STOPPED || !thread->has_regs)
        why.text = "it cannot be stopped";
    else if (thread->pending_signal)
        why = (struct borrow_refusal){"it is about to take a signal", true};
    else if (in_restartable_sequence(borrowed, thread->tid, thread->regs.ip))
        why = (struct borrow_refusal){"it is in a restartable sequence", true};
    else if (status_has(borrowed, thread->tid, "\nx86_Thread_features:", "shstk"))
        why.text = "it has a shadow stack";
    *ret_why = why;
    return !why.text;
}

// ---- Taking it, and giving it back --------------------------------------------------------------

static struct err *get_set(pid_t tid, unsigned type, void *room, size_t *size)
{
    struct iovec place = {room, *size};
    if (ptrace(PTRACE_GETREGSET, tid, (void *)(uintptr_t)type, &place) != 0)
        return err_os(errno, "registers of thread %d", tid);
    *size = place.iov_len;
    return NULL;
}

static struct err *set_registers(const struct borrowed *borrowed, const void *gregset)
{
    struct iovec place = {(void *)gregset, arch_host()->gregset_bytes};
    if (ptrace(PTRACE_SETREGSET, borrowed->tid, NT_PRSTATUS, &place) != 0)
        return err_os(errno, "registers of thread %d", borrowed->tid);
    return NULL;
}

// Below its stack: the frame that ends the child, and below that, where signal handlers that run
// on it do no harm, the one that gives the thread its registers back.
static struct err *make_frames(struct borrowed *borrowed, uint64_t sp, unsigned char *room)
{
    const struct arch_inject *inject = arch_host()->inject;
    AUTO_FREE unsigned char *xstate = calloc(1, BORROW_ROOM), *image = calloc(1, BORROW_ROOM);
    unsigned char ending[sizeof(borrowed->gregset)], last[1024] = {0};
    size_t xstate_bytes = BORROW_ROOM;
    if (!xstate || !image)
        return err_create(ERR_NO_MEMORY, "signal frame");
    TRY(get_set(borrowed->tid, NT_X86_XSTATE, xstate, &xstate_bytes));
    const uint64_t none[6] = {0}, top = sp - inject->red_zone_bytes;
    memcpy(ending, borrowed->gregset, sizeof(ending));
    inject->set_call(ending, borrowed->call_ip, sp, inject->exit, none);
    size_t above = inject->frame(ending, NULL, 0, ~(uint64_t)0, borrowed->sigreturn_ip, top, last,
                                 sizeof(last), &borrowed->child_sp);
    size_t size = inject->frame(borrowed->gregset, xstate, xstate_bytes, borrowed->signal_mask,
                                borrowed->sigreturn_ip, borrowed->child_sp, image, BORROW_ROOM,
                                &borrowed->sp);
    if (!size || !above || size + above > BORROW_ROOM)
        return err_create(ERR_UNSUPPORTED, "the registers of thread %d are too many",
                          borrowed->tid);
    borrowed->stack_at = borrowed->sp;
    borrowed->stack_bytes = size + above;
    memcpy(room, image, size);
    memcpy(room + size, last, above);
    return NULL;
}

// The frames lie in the mapping that its stack pointer is in, and nobody else sees that.
static bool has_room(const struct borrowed *borrowed, uint64_t sp)
{
    struct target_mappings mappings = {0};
    AUTO_ERR struct err *err = proc_mappings(borrowed->pid, &mappings);
    bool room = false;
    vec_foreach (mapping, &mappings)
        room |= !err && mapping->readable && mapping->writable && !mapping->inode &&
                borrowed->stack_at >= mapping->start && sp <= mapping->end;
    proc_mappings_clear(&mappings);
    return room;
}

static struct err *set_mask(const struct borrowed *borrowed, uint64_t mask)
{
    if (ptrace(PTRACE_SETSIGMASK, borrowed->tid, (void *)sizeof(mask), &mask) != 0)
        return err_os(errno, "signal mask of thread %d", borrowed->tid);
    return NULL;
}

static struct err *write_stack(const struct borrowed *borrowed, const void *bytes)
{
    ssize_t done =
        pwrite(borrowed->mem_fd, bytes, borrowed->stack_bytes, (off_t)borrowed->stack_at);
    if (done != (ssize_t)borrowed->stack_bytes)
        return err_os(done < 0 ? errno : EFAULT, "stack of thread %d", borrowed->tid);
    return NULL;
}

// Filters of system calls would see ours: one that kills would kill the target. Where there is one
// it must be suspended, which takes CAP_SYS_ADMIN (ptrace(2), PTRACE_O_SUSPEND_SECCOMP).
static struct err *set_options(const struct borrowed *borrowed)
{
    uintptr_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
    bool filtered = !status_has(borrowed, borrowed->tid, "\nSeccomp:", "\t0");
    if (filtered)
        options |= PTRACE_O_SUSPEND_SECCOMP;
    if (ptrace(PTRACE_SETOPTIONS, borrowed->tid, 0, options) == 0)
        return NULL;
    if (filtered)
        return err_create(ERR_UNSUPPORTED,
                          "process %d filters its system calls (seccomp), and the filter may kill "
                          "it for one of ours; with CAP_SYS_ADMIN pycore can suspend it",
                          borrowed->pid);
    return err_os(errno, "thread %d", borrowed->tid);
}

struct err *borrow_take(struct borrowed *borrowed, const struct live_thread *thread)
{
    AUTO_FREE unsigned char *room = malloc(BORROW_ROOM);
    size_t size = sizeof(borrowed->gregset);
    borrowed->tid = thread->tid;
    borrowed->taken = borrowed->stop_again = false;
    if (!room)
        return err_create(ERR_NO_MEMORY, "signal frame");
    if (!code_is_still_there(borrowed))
        return err_create(ERR_UNSUPPORTED, "the code of process %d is changing", borrowed->pid);
    TRY(get_set(thread->tid, NT_PRSTATUS, borrowed->gregset, &size));
    if (ptrace(PTRACE_GETSIGMASK, thread->tid, (void *)sizeof(borrowed->signal_mask),
               &borrowed->signal_mask) != 0)
        return err_os(errno, "signal mask of thread %d", thread->tid);
    TRY(make_frames(borrowed, thread->regs.sp, room));
    if (!has_room(borrowed, thread->regs.sp) ||
        pread(borrowed->mem_fd, borrowed->stack, borrowed->stack_bytes,
              (off_t)borrowed->stack_at) != (ssize_t)borrowed->stack_bytes)
        return err_create(ERR_UNSUPPORTED, "the stack of thread %d has no room", thread->tid);
    TRY(set_options(borrowed));
    TRY(write_stack(borrowed, room));
    borrowed->taken = true;
    return NULL;
}

// ---- Running it ---------------------------------------------------------------------------------

// SIGCHLD is blocked, and pending whenever a tracee changed its state.
struct err *borrow_await(pid_t tid, uint64_t deadline_ns, int *ret_status)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        pid_t got = waitpid(tid, ret_status, __WALL | WNOHANG);
        if (got == tid && WIFSTOPPED(*ret_status))
            return NULL;
        if (got == tid || (got < 0 && errno != EINTR))
            return err_create(ERR_GONE, "thread %d has ended", tid);
        uint64_t now_ns = live_now_ns();
        if (now_ns >= deadline_ns)
            return err_create(ERR_TIMEOUT, "thread %d did not stop in time", tid);
        uint64_t left_ns = deadline_ns - now_ns;
        struct timespec wait = {0, (long)(left_ns < SLICE_NS ? left_ns : SLICE_NS)};
        sigtimedwait(&child, NULL, &wait);
    }
}

struct run {
    struct borrowed *borrowed;
    uint64_t deadline_ns;
    const struct borrow_late *late;
    bool is_late;
    pid_t child;
};

// A call that has begun is waited for to its end, however long that takes: the thread is the
// target's, and must get its registers back. But the others need not wait for it any longer.
static struct err *await_own(struct run *run, int *ret_status)
{
    struct err *err = borrow_await(run->borrowed->tid, run->deadline_ns, ret_status);
    if (!err || err_code(err) != ERR_TIMEOUT)
        return err;
    err_destroy(err);
    run->is_late = true;
    run->deadline_ns = UINT64_MAX;
    if (run->late)
        run->late->function(run->late->arg);
    return borrow_await(run->borrowed->tid, UINT64_MAX, ret_status);
}

// From here on the kernel kills it when the tracer dies. It was attached by the clone itself, and
// stops before its first instruction (ptrace(2), PTRACE_O_TRACECLONE).
static struct err *take_child(struct run *run)
{
    unsigned long child = 0;
    int status;
    if (ptrace(PTRACE_GETEVENTMSG, run->borrowed->tid, 0, &child) != 0)
        return err_os(errno, "the number of the copy");
    run->child = (pid_t)child;
    TRY(borrow_await(run->child, live_now_ns() + 10000000000u, &status));
    if (ptrace(PTRACE_SETOPTIONS, run->child, 0, PTRACE_O_EXITKILL) != 0)
        return err_os(errno, "the copy %d", run->child);
    return NULL;
}

static struct err *resume(const struct borrowed *borrowed, int how)
{
    if (ptrace(how, borrowed->tid, 0, 0) != 0)
        return err_os(errno, "thread %d", borrowed->tid);
    return NULL;
}

// To the end of the system call, before the thread has left the kernel.
static struct err *run_to_exit(struct run *run)
{
    bool inside = false;
    for (;;) {
        int status;
        TRY(resume(run->borrowed, PTRACE_SYSCALL));
        TRY(await_own(run, &status));
        int signo = WSTOPSIG(status), event = status >> 16;
        if (event == PTRACE_EVENT_CLONE)
            TRY(take_child(run));
        else if (signo == SYSCALL_STOP && inside)
            return NULL;
        else if (signo == SYSCALL_STOP)
            inside = true;
        else if (event != EVENT_STOP && signo == SIGSTOP)
            run->borrowed->stop_again = true;
        else if (event != EVENT_STOP)
            return err_create(ERR_OTHER, "thread %d took signal %d instead of our call",
                              run->borrowed->tid, signo);
    }
}

// Back to a stop on the way out of the kernel, where it looks for signals and restarts interrupted
// calls: only there may registers be given back that ask for that.
static struct err *settle(struct run *run)
{
    if (ptrace(PTRACE_INTERRUPT, run->borrowed->tid, 0, 0) != 0)
        return err_os(errno, "thread %d", run->borrowed->tid);
    for (;;) {
        int status;
        TRY(resume(run->borrowed, PTRACE_CONT));
        TRY(await_own(run, &status));
        if (status >> 16 == EVENT_STOP)
            return NULL;
        run->borrowed->stop_again |= WSTOPSIG(status) == SIGSTOP;
    }
}

static struct err *run_call(struct run *run, int64_t number, const uint64_t args[6], int64_t *ret)
{
    const struct arch *arch = arch_host();
    const struct borrowed *borrowed = run->borrowed;
    unsigned char gregset[sizeof(borrowed->gregset)];
    size_t size = sizeof(gregset);
    struct arch_regs regs;
    memcpy(gregset, borrowed->gregset, sizeof(gregset));
    arch->inject->set_call(gregset, borrowed->call_ip, borrowed->sp, number, args);
    // In this order, and the other way round at the end: with these registers the thread gets its
    // signal mask back from its stack, even if we are killed between the two.
    TRY(set_registers(borrowed, gregset));
    TRY(set_mask(borrowed, ~(uint64_t)0));
    TRY(run_to_exit(run));
    TRY(get_set(borrowed->tid, NT_PRSTATUS, gregset, &size));
    arch->regs_from_gregset(gregset, &regs);
    *ret = regs.syscall_value;
    return settle(run);
}

struct err *borrow_call(struct borrowed *borrowed, int64_t number, const uint64_t args[6],
                        uint64_t deadline_ns, const struct borrow_late *late, int64_t *ret,
                        pid_t *ret_child)
{
    struct run run = {.borrowed = borrowed, .deadline_ns = deadline_ns, .late = late};
    struct err *err = NULL;
    *ret = -RESTARTNOINTR;
    for (int i = 0; i < TRIES && !err && *ret == -RESTARTNOINTR; i++)
        err = run_call(&run, number, args, ret);
    if (ret_child)
        *ret_child = run.child;
    if (!err && run.is_late)
        err = err_create(ERR_TIMEOUT, "the kernel took too long");
    return err;
}

// A thread that is not stopped: an error left it in the middle.
static void stop_it(const struct borrowed *borrowed, uint64_t deadline_ns)
{
    int status;
    ptrace(PTRACE_INTERRUPT, borrowed->tid, 0, 0);
    err_destroy(borrow_await(borrowed->tid, deadline_ns, &status));
}

struct err *borrow_give_back(struct borrowed *borrowed, uint64_t deadline_ns)
{
    if (!borrowed->taken)
        return NULL;
    borrowed->taken = false;
    struct err *err = set_mask(borrowed, borrowed->signal_mask);
    if (err && err_code(err) == ERR_GONE) {
        err_destroy(err);
        stop_it(borrowed, deadline_ns);
        err = set_mask(borrowed, borrowed->signal_mask);
    }
    TRY(err);
    TRY(set_registers(borrowed, borrowed->gregset));
    ptrace(PTRACE_SETOPTIONS, borrowed->tid, 0, 0);
    if (borrowed->stop_again)
        syscall(SYS_tgkill, borrowed->pid, borrowed->tid, SIGSTOP);
    return write_stack(borrowed, borrowed->stack);
}
