// SPDX-License-Identifier: GPL-3.0-or-later
// Pycore's side of a frozen copy: starts the process that makes it, takes what that found, and
// reads the child. See target/frozen.h.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "target/frozen_private.h"
#include "util/fdio.h"
#include "util/guard.h"
#include "util/limits.h"
#include "util/wire.h"

#define DEADLINE_NS 1000000000u
#define COPY_LIMIT_BYTES (32u << 20)
// The tracer gives up by its own deadlines; this is for one that hangs.
#define PATIENCE_NS 60000000000u

struct frozen_private {
    struct frozen_survey survey;
    struct frozen_job job;
    size_t arena_bytes;
    int socket, child_mem, parent_mem;
    pid_t tracer;
    bool hangs; // the tracer: it is left to itself, for killed it could not undo what it began
};

// ---- Its memory ---------------------------------------------------------------------------------

static size_t read_child(void *arg, uint64_t addr, void *buffer, size_t size)
{
    return fd_pread(((struct frozen_private *)arg)->child_mem, buffer, size, addr);
}

static size_t read_parent(void *arg, uint64_t addr, void *buffer, size_t size)
{
    return fd_pread(((struct frozen_private *)arg)->parent_mem, buffer, size, addr);
}

// What was copied under the stop. `addr` lies within one of the ranges.
static size_t read_copy(void *arg, uint64_t addr, void *buffer, size_t size)
{
    struct frozen_private *private = arg;
    for (size_t i = 0; i < private->survey.ranges.count; i++) {
        const struct frozen_range *range = &private->survey.ranges.items[i];
        if (!range->copied || addr < range->start || addr >= range->end)
            continue;
        uint64_t at = addr - range->start, had = private->job.arena_bytes[i];
        if (at >= had)
            return 0;
        if (size > had - at)
            size = (size_t)(had - at);
        memcpy(buffer, private->job.arena + range->arena_offset + at, size);
        return size;
    }
    return 0;
}

static bool note(struct frozen *frozen, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool note(struct frozen *frozen, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int made = vasprintf(&text, fmt, args);
    va_end(args);
    if (made >= 0 && vec_push(&frozen->notes, text))
        return true;
    free(made >= 0 ? text : NULL);
    return false;
}

static bool is_mapped(const struct target_mappings *mappings, uint64_t start)
{
    vec_foreach (mapping, mappings)
        if (start >= mapping->start && start < mapping->end)
            return true;
    return false;
}

static int compare_mappings(const void *left, const void *right)
{
    const struct target_mapping *a = left, *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

// The child's mappings, and with them those that it did not get.
static struct err *list_mappings(struct frozen *frozen)
{
    TRY(proc_mappings(frozen->child, &frozen->mappings));
    size_t own = frozen->mappings.count;
    vec_foreach (range, &frozen->private->survey.ranges) {
        if (range->lack != FROZEN_DONT_FORK || is_mapped(&frozen->mappings, range->start))
            continue;
        struct target_mapping mapping = range->mapping;
        mapping.path = range->path[0] ? strdup(range->path) : NULL;
        if (!vec_push(&frozen->mappings, mapping)) {
            free(mapping.path);
            return err_create(ERR_NO_MEMORY, "mappings");
        }
    }
    if (frozen->mappings.count > own)
        qsort(frozen->mappings.items, frozen->mappings.count, sizeof(*frozen->mappings.items),
              compare_mappings);
    return NULL;
}

// Shared files are left: they are on disk, and reading them may take its time. A shared mapping
// without a name (shared anonymous memory, memfd_create(2)) reads as a deleted file.
static bool is_wanted(const struct frozen_range *range)
{
    const char deleted[] = " (deleted)";
    size_t size = strlen(range->path), end = sizeof(deleted) - 1;
    return range->lack != FROZEN_SHARED || !range->mapping.inode ||
           (size > end && strcmp(range->path + size - end, deleted) == 0);
}

// Shared files are on disk, and what others write to them is no part of the process's state.
static bool changes(const struct frozen_range *range)
{
    return is_wanted(range) || range->mapping.writable;
}

static struct err *build_memory(struct frozen *frozen)
{
    struct frozen_private *private = frozen->private;
    uint64_t later = 0;
    frozen->mem = mem_create();
    if (!frozen->mem)
        return err_create(ERR_NO_MEMORY, "memory model");
    vec_foreach (mapping, &frozen->mappings)
        TRY(mem_add(frozen->mem, mapping->start, mapping->end, MEM_LIVE, read_child, private,
                    false));
    vec_foreach (range, &private->survey.ranges) {
        if (!range->copied && changes(range))
            later += range->end - range->start;
        // Shared memory is the child's, too, even if the target unmaps it meanwhile.
        if (!range->copied && range->lack == FROZEN_SHARED)
            continue;
        TRY(mem_add(frozen->mem, range->start, range->end, MEM_COPY,
                    range->copied ? read_copy : read_parent, private, false));
    }
    if (later)
        note(frozen,
             "%llu KiB that a copy does not have (shared mappings, MADV_DONTFORK, "
             "MADV_WIPEONFORK) were read after the stop, while the process ran",
             (unsigned long long)later / 1024);
    return NULL;
}

// ---- What is to be copied under the stop --------------------------------------------------------

static struct err *make_arena(struct frozen_private *private, uint64_t limit_bytes)
{
    struct frozen_ranges *ranges = &private->survey.ranges;
    uint64_t used = 0, table = (ranges->count * sizeof(uint64_t) + 4095) / 4096 * 4096;
    vec_foreach (range, ranges) {
        uint64_t size = range->end - range->start;
        range->copied = is_wanted(range) && size <= limit_bytes - used;
        range->arena_offset = table + used;
        used += range->copied ? size : 0;
    }
    private->arena_bytes = table + used ? (size_t)(table + used) : 4096;
    void *arena = mmap(NULL, private->arena_bytes, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (arena == MAP_FAILED)
        return err_os(errno, "memory for a copy");
    private->job.arena = arena;
    private->job.arena_bytes = arena;
    private->job.ranges = ranges;
    return NULL;
}

// ---- The tracer ---------------------------------------------------------------------------------

static struct err *start_tracer(struct frozen_private *private)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_os(errno, "socketpair");
    private->socket = pair[0];
    private->job.socket = pair[1];
    private->job.result_fd = memfd_create("pycore", MFD_CLOEXEC);
    private->job.parent_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    fflush(NULL);
    // Nothing may reach the child before it has blocked all signals itself.
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t tracer = private->job.result_fd < 0 ? -1 : fork();
    int failure = errno;
    if (tracer == 0)
        frozen_tracer(&private->job);
    sigprocmask(SIG_SETMASK, &before, NULL);
    guard_close(&private->job.socket);
    guard_close(&private->job.parent_pidfd);
    private->tracer = tracer > 0 ? tracer : 0;
    return tracer < 0 ? err_os(failure, "a process for the copy") : NULL;
}

// One message; an error that it brings is ours. *ret_fd: the descriptor with it, -1: none.
static struct err *receive(struct frozen_private *private, uint64_t patience_ns,
                           struct frozen_message *ret, int *ret_fd)
{
    char text[1024] = "", control[CMSG_SPACE(sizeof(int))];
    struct iovec parts[] = {{ret, sizeof(*ret)}, {text, sizeof(text) - 1}};
    struct msghdr header = {.msg_iov = parts,
                            .msg_iovlen = 2,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    struct pollfd fd = {.fd = private->socket, .events = POLLIN};
    uint64_t until_ns = live_now_ns() + patience_ns, now_ns;
    *ret_fd = -1;
    while ((now_ns = live_now_ns()) < until_ns &&
           poll(&fd, 1, (int)((until_ns - now_ns) / 1000000) + 1) <= 0)
        ;
    private->hangs = now_ns >= until_ns;
    if (private->hangs)
        return err_create(ERR_TIMEOUT, "the copy took too long; what was begun will be undone");
    ssize_t got = recvmsg(private->socket, &header, MSG_CMSG_CLOEXEC);
    if (got < (ssize_t)sizeof(*ret))
        return err_create(ERR_OTHER, "the process that made the copy was killed");
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    if (rights && rights->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(rights), sizeof(int));
    return ret->code >= 0 ? err_create((enum err_code)ret->code, "%s", text) : NULL;
}

// ---- What it found ------------------------------------------------------------------------------

static bool read_set(struct wire_in *in, struct regset *ret)
{
    ret->type = wire_get_u32(in);
    ret->name = ret->type == NT_FPREGSET ? "CORE" : "LINUX";
    ret->size = wire_get_u64(in);
    if (in->bad || ret->size > (size_t)(in->end - in->next) || !(ret->bytes = malloc(ret->size)))
        return false;
    return wire_get_bytes(in, ret->bytes, ret->size);
}

static bool read_thread(struct wire_in *in, struct regsets_thread *ret)
{
    *ret = (struct regsets_thread){.has_regs = true, .stopped = true};
    ret->tid = (pid_t)wire_get_u32(in);
    wire_get_bytes(in, &ret->regs, sizeof(ret->regs));
    ret->blocked = wire_get_u64(in);
    ret->has_siginfo = wire_get_bool(in);
    wire_get_bytes(in, ret->siginfo, sizeof(ret->siginfo));
    size_t count = wire_get_u32(in);
    for (; !in->bad && ret->count < count && ret->count < REGSETS_MAX; ret->count++)
        if (!read_set(in, &ret->sets[ret->count]))
            return false;
    return !in->bad;
}

static struct err *read_result(struct frozen *frozen, size_t size)
{
    AUTO_FREE unsigned char *bytes = malloc(size ? size : 1);
    if (!bytes || fd_pread(frozen->private->job.result_fd, bytes, size, 0) != size)
        return err_create(ERR_NO_MEMORY, "registers");
    struct wire_in in = {.next = bytes, .end = bytes + size};
    uint32_t count = wire_get_count(&in, sizeof(struct arch_regs));
    for (uint32_t i = 0; i < count; i++) {
        struct regsets_thread thread;
        bool ok = read_thread(&in, &thread);
        if (!ok || !vec_push(&frozen->threads, thread)) {
            for (size_t k = 0; k < thread.count; k++)
                free(thread.sets[k].bytes);
            return err_create(ERR_NO_MEMORY, "registers");
        }
    }
    return NULL;
}

static struct err *create(struct frozen *frozen, const struct frozen_options *options)
{
    struct frozen_private *private = frozen->private;
    struct frozen_message message;
    uint64_t limit =
        options && options->copy_limit_bytes ? options->copy_limit_bytes : COPY_LIMIT_BYTES;
    private->job.pid = frozen->pid;
    private->job.deadline_ns = options && options->deadline_ns ? options->deadline_ns : DEADLINE_NS;
    TRY(frozen_survey(frozen->pid, &private->survey));
    if (private->survey.estimate.refusal)
        return err_create(ERR_UNSUPPORTED, "no copy of process %d can be made safely: %s",
                          frozen->pid, private->survey.estimate.refusal);
    TRY(make_arena(private, limit));
    TRY(start_tracer(private));
    TRY(receive(private, PATIENCE_NS + private->job.deadline_ns, &message, &private->child_mem));
    frozen->child = message.child;
    frozen->taken_at_ns = message.taken_at_ns;
    frozen->pause_ns = message.pause_ns;
    TRY(read_result(frozen, (size_t)message.result_bytes));
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", frozen->pid);
    private->parent_mem = open(path, O_RDONLY | O_CLOEXEC);
    TRY(list_mappings(frozen));
    return build_memory(frozen);
}

struct err *frozen_create(pid_t pid, const struct frozen_options *options, struct frozen **ret)
{
    struct frozen *frozen = calloc(1, sizeof(*frozen));
    struct frozen_private *private = calloc(1, sizeof(*private));
    if (!frozen || !private) {
        free(frozen);
        free(private);
        return err_create(ERR_NO_MEMORY, "a copy");
    }
    private->socket = private->child_mem = private->parent_mem = private->job.result_fd = -1;
    frozen->pid = pid;
    frozen->private = private;
    struct err *err = create(frozen, options);
    if (err)
        err_destroy(frozen_destroy(frozen));
    else
        *ret = frozen;
    return err;
}

// The tracer unmakes the copy when it sees our end of the socket closed.
static struct err *end_tracer(struct frozen_private *private, bool made)
{
    struct frozen_message message;
    struct err *err = NULL;
    int fd = -1;
    if (!private->tracer)
        return NULL;
    shutdown(private->socket, SHUT_WR);
    if (made)
        err = receive(private, PATIENCE_NS, &message, &fd);
    guard_close(&fd);
    while (!private->hangs && waitpid(private->tracer, NULL, 0) < 0 && errno == EINTR)
        ;
    return err;
}

struct err *frozen_destroy(struct frozen *frozen)
{
    if (!frozen)
        return NULL;
    struct frozen_private *private = frozen->private;
    mem_destroy(frozen->mem);
    guard_close(&private->child_mem);
    guard_close(&private->parent_mem);
    guard_close(&private->job.result_fd);
    struct err *err = end_tracer(private, frozen->child != 0);
    guard_close(&private->socket);
    if (private->job.arena)
        munmap(private->job.arena, private->arena_bytes);
    regsets_clear(&frozen->threads);
    proc_mappings_clear(&frozen->mappings);
    vec_foreach (text, &frozen->notes)
        free(*text);
    vec_deinit(&frozen->notes);
    frozen_survey_deinit(&private->survey);
    free(private);
    free(frozen);
    return err;
}
