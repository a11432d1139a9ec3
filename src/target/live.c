// SPDX-License-Identifier: GPL-3.0-or-later
// Opening a live process, reading its memory in batches and its clocks. Stopping it is in stop.c.
#include "target/live.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "target/stop_private.h"
#include "util/guard.h"

#define END_PATIENCE_NS 250000000u
#define BATCH 1024 // IOV_MAX: process_vm_readv(2) fails with EINVAL above it

uint64_t live_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t read_proc_mem(struct live *live, uint64_t addr, void *buffer, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got =
            pread(live->proc_mem_fd, (char *)buffer + done, size - done, (off_t)(addr + done));
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

// That it cannot be asked (no descriptor is free, say) tells nothing of it.
static bool is_over(pid_t pid, pid_t tid, struct proc_stat *ret)
{
    AUTO_ERR struct err *err = proc_thread_stat(pid, tid, ret);
    if (err)
        *ret = (struct proc_stat){0};
    return err ? err_code(err) == ERR_NOT_FOUND || err_code(err) == ERR_GONE
               : ret->exiting || live_is_dead(ret->state);
}

static bool is_alive(pid_t pid, pid_t tid)
{
    struct proc_stat stat;
    return !is_over(pid, tid, &stat);
}

enum life { LIFE_ALIVE, LIFE_MAIN_OVER, LIFE_OVER };

static enum life look_for_life(const struct live *live)
{
    struct proc_stat stat;
    struct proc_tids tids = {0};
    bool over = is_over(live->pid, live->pid, &stat);
    if (stat.start_ticks && stat.start_ticks != live->start_ticks)
        return LIFE_OVER; // the number is another's by now
    if (!over)
        return LIFE_ALIVE;
    AUTO_ERR struct err *err = proc_tasks(live->pid, &tids);
    for (size_t i = 0; !err && over && i < tids.count; i++)
        over = !is_alive(live->pid, tids.items[i]);
    vec_deinit(&tids);
    return over && (!err || err_code(err) == ERR_GONE) ? LIFE_OVER : LIFE_MAIN_OVER;
}

bool live_is_ending(const struct live *live)
{
    return look_for_life(live) == LIFE_OVER;
}

// The end of a process shows in many ways, and some come before the end: its memory is gone while
// threads have yet to take the SIGKILL that exit_group() sends them.
struct err *live_tell_end(const struct live *live, struct err *err)
{
    if (!err || err_code(err) == ERR_GONE || err_code(err) == ERR_NO_MEMORY)
        return err;
    // These say what else it is.
    bool patient = err_code(err) != ERR_NOT_FOUND && err_code(err) != ERR_UNSUPPORTED;
    uint64_t until_ns = live_now_ns() + END_PATIENCE_NS;
    for (enum life life; (life = look_for_life(live)) != LIFE_OVER;) {
        if (live_now_ns() >= until_ns || (life == LIFE_ALIVE && !patient))
            return err;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    err_destroy(err);
    return err_create(ERR_GONE, "process %d has ended", live->pid);
}

// The main thread, or the first that is alive when that has ended (pthread_exit): the memory is
// reached through a thread, and one that has ended has none.
static bool choose_reader(struct live *live)
{
    struct proc_tids tids = {0};
    live->reader = live->pid;
    if (is_alive(live->pid, live->pid))
        return true;
    AUTO_ERR struct err *err = proc_tasks(live->pid, &tids);
    bool found = false;
    for (size_t i = 0; !err && !found && i < tids.count; i++) {
        found = is_alive(live->pid, tids.items[i]);
        if (found)
            live->reader = tids.items[i];
    }
    vec_deinit(&tids);
    return found;
}

static ssize_t read_vectors(struct live *live, const struct iovec *local,
                            const struct iovec *remote, size_t count)
{
    ssize_t got = process_vm_readv(live->reader, local, count, remote, count, 0);
    if (got >= 0 || errno != ESRCH)
        return got;
    pid_t ended = live->reader;
    if (choose_reader(live) && live->reader != ended)
        return process_vm_readv(live->reader, local, count, remote, count, 0);
    errno = ESRCH;
    return -1;
}

static size_t live_read(void *arg, uint64_t addr, void *buffer, size_t size)
{
    struct live *live = arg;
    if (live->use_proc_mem || live->shares_pages)
        return read_proc_mem(live, addr, buffer, size);
    struct iovec local = {buffer, size}, remote = {(void *)addr, size};
    ssize_t got = read_vectors(live, &local, &remote, 1);
    return got > 0 ? (size_t)got : 0;
}

// One process_vm_readv over up to BATCH ranges. The kernel stops at the first byte it cannot read
// and returns the count before it; *ret_done ranges are then settled, the last perhaps in part.
static struct err *read_some(struct live *live, const struct mem_range *ranges, size_t count,
                             struct mem_copy *copy, size_t *ret_done)
{
    struct iovec local[BATCH], remote[BATCH];
    for (size_t i = 0; i < count; i++) {
        void *place;
        if (!mem_copy_reserve(copy, ranges[i], &place))
            return err_create(ERR_NO_MEMORY, "snapshot buffer");
        local[i] = (struct iovec){place, ranges[i].size};
        remote[i] = (struct iovec){(void *)ranges[i].addr, ranges[i].size};
    }
    size_t left = 0, i = 0;
    bool by_file = live->use_proc_mem || live->shares_pages;
    ssize_t got = by_file ? -1 : read_vectors(live, local, remote, count);
    if (got > 0)
        left = (size_t)got;
    else if (!by_file && errno == ESRCH)
        return err_create(ERR_GONE, "process %d has ended", live->pid);
    bool ok = true;
    for (; i < count && ok; i++) {
        size_t here = left < ranges[i].size ? left : ranges[i].size;
        bool failed = !by_file && here < ranges[i].size;
        if (by_file)
            here = read_proc_mem(live, ranges[i].addr, local[i].iov_base, ranges[i].size);
        else
            left -= here;
        ok = mem_copy_commit(copy, ranges[i], local[i].iov_base, here);
        if (failed) {
            i++;
            break; // what follows the bad element was not tried: the next call goes on there
        }
    }
    *ret_done = i;
    return ok ? NULL : err_create(ERR_NO_MEMORY, "snapshot buffer");
}

struct err *live_read_batch(struct live *live, const struct mem_range *ranges, size_t count,
                            struct mem_copy *copy)
{
    for (size_t done = 0; done < count;) {
        size_t want = count - done < BATCH ? count - done : BATCH, settled = 0;
        TRY(read_some(live, ranges + done, want, copy, &settled));
        done += settled;
    }
    return NULL;
}

// Tries a byte of the first readable mapping by each of the two ways.
static void probe_reading(struct live *live)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", live->reader);
    if (live->proc_mem_fd >= 0)
        close(live->proc_mem_fd);
    live->proc_mem_fd = open(path, O_RDONLY | O_CLOEXEC);
    int refusal = live->proc_mem_fd < 0 ? errno : 0;
    vec_foreach (mapping, &live->target->mappings) {
        if (!mapping->readable || (mapping->path && mapping->path[0] == '['))
            continue;
        char byte;
        live->readable_addr = mapping->start;
        live->use_proc_mem = false;
        if (live_read(live, mapping->start, &byte, 1) == 1) {
            live->can_read = true;
            return;
        }
        if (errno == EPERM || errno == ENOSYS)
            refusal = refusal ? refusal : errno;
        live->use_proc_mem = true;
        if (live->proc_mem_fd >= 0 && live_read(live, mapping->start, &byte, 1) == 1) {
            live->can_read = true;
            return;
        }
    }
    live->use_proc_mem = live->can_read = false;
    free(live->refusal);
    live->refusal = proc_why_refused(live->pid, refusal ? refusal : EPERM);
    live->refused_by = proc_refused_by(live->pid, refusal ? refusal : EPERM);
}

bool live_has_memory(struct live *live)
{
    char byte;
    return live_read(live, live->readable_addr, &byte, 1) == 1;
}

// The ELF class of the main program; a 32-bit process has other structs than we know.
static struct err *check_class(const struct live *live)
{
    char path[64];
    unsigned char ident[EI_NIDENT];
    snprintf(path, sizeof(path), "/proc/%d/exe", live->reader);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, ident, sizeof(ident), 0) != sizeof(ident))
        return NULL;
    if (memcmp(ident, ELFMAG, SELFMAG) == 0 && ident[EI_CLASS] == ELFCLASS32)
        return err_create(ERR_UNSUPPORTED,
                          "process %d is a 32-bit program; pycore reads 64-bit "
                          "ones only",
                          live->pid);
    return NULL;
}

static struct err *read_program(struct live *live)
{
    struct target *target = live->target;
    TRY(check_class(live));
    free(target->exe);
    target->exe = proc_exe(live->reader);
    for (char **arg = target->argv; arg && *arg; arg++)
        free(*arg);
    free(target->argv);
    target->argv = proc_argv(live->reader);
    return proc_mappings(live->reader, &target->mappings);
}

// The file behind /proc/PID/mem is that of the memory before an exec: it is opened anew, and the
// new program may be one that we may not read.
struct err *live_refresh(struct live *live)
{
    if (!choose_reader(live) || live_is_ending(live))
        return err_create(ERR_GONE, "process %d has ended", live->pid);
    TRY(read_program(live));
    probe_reading(live);
    live->can_stop = live->can_read;
    if (!live->can_read)
        return err_create(ERR_PERMISSION, "%s", live->refusal ? live->refusal : "no permission");
    return NULL;
}

// The kernel knows processes that /proc does not show (proc(5), hidepid).
static struct err *no_process(pid_t pid)
{
    if (kill(pid, 0) == 0 || errno == EPERM)
        return err_create(ERR_PERMISSION,
                          "process %d is hidden: /proc is mounted with hidepid, which shows "
                          "everybody no more than the own processes; run \"sudo pycore ...\"",
                          pid);
    return err_create(ERR_NOT_FOUND,
                      "no process %d; \"pycore snap\" takes the number that ps or top shows", pid);
}

static struct err *fill(struct live *live)
{
    struct target *target = live->target;
    pid_t pid = live->pid;
    struct proc_stat stat;
    TRY(proc_check());
    struct err *err = proc_thread_stat(pid, pid, &stat);
    if (err && err_code(err) != ERR_NOT_FOUND && err_code(err) != ERR_GONE &&
        err_code(err) != ERR_PERMISSION)
        return err;
    if (err) {
        err_destroy(err);
        return no_process(pid);
    }
    live->start_ticks = stat.start_ticks;
    if (pid == getpid())
        return err_create(ERR_UNSUPPORTED, "process %d is pycore itself", pid);
    if (stat.kernel_thread)
        return err_create(ERR_UNSUPPORTED, "process %d is a kernel thread (%s): it runs no program",
                          pid, stat.comm);
    live->in_namespace = proc_in_inner_namespace(pid);
    if (!choose_reader(live))
        return err_create(ERR_GONE,
                          "process %d is a zombie: it has ended, and waits for its "
                          "parent to collect it",
                          pid);
    err = read_program(live);
    if (err && err_code(err) != ERR_PERMISSION)
        return err;
    err_destroy(err);
    if (target->mappings.count == 0 && target->exe)
        return err_create(ERR_GONE, "process %d has ended", pid);
    target->mem = mem_create();
    if (!target->mem)
        return err_create(ERR_NO_MEMORY, "memory map");
    // Canonical user addresses on x86_64 and aarch64 with 48-bit virtual addresses end below this.
    TRY(mem_add(target->mem, 0, 1ull << 48, MEM_LIVE, live_read, live, false));
    probe_reading(live);
    live->can_stop = live->can_read;
    return NULL;
}

struct err *live_open(pid_t pid, struct live **ret)
{
    struct live *live = calloc(1, sizeof(*live));
    struct target *target = calloc(1, sizeof(*target));
    if (!live || !target) {
        free(live);
        free(target);
        return err_create(ERR_NO_MEMORY, "process");
    }
    live->pid = target->pid = pid;
    live->proc_mem_fd = -1;
    live->target = target;
    target->kind = TARGET_LIVE;
    struct err *err = fill(live);
    if (live->start_ticks)
        err = live_tell_end(live, err);
    if (err) {
        live_close(live);
        return err;
    }
    *ret = live;
    return NULL;
}

void live_close(struct live *live)
{
    if (!live)
        return;
    struct stop_times times = {0};
    vec_foreach (thread, &live->threads)
        thread->late = false;
    live_resume(live, &times);
    live_abandon(live);
    vec_foreach (thread, &live->threads)
        live_close_thread(thread);
    vec_deinit(&live->threads);
    if (live->proc_mem_fd >= 0)
        close(live->proc_mem_fd);
    free(live->refusal);
    target_destroy(live->target);
    free(live);
}
