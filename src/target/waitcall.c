// SPDX-License-Identifier: GPL-3.0-or-later
// See target/waitcall.h.
#include "target/waitcall.h"

#include <linux/futex.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "util/guard.h"

#define NS_PER_S 1000000000ll
#define SECONDS_MAX (INT64_MAX / NS_PER_S)
#define SELECT_MAX 1024 // FD_SETSIZE

enum timeout { NO_TIMEOUT, TIMESPEC, TIMEVAL, MILLISECONDS, DEADLINE, FUTEX_TIME };
enum set { NO_SET, POLLFDS, FDSETS, EPOLL };

// How each call says what it waits for: manual pages, section 2. `fd`, `time`, `child`: which
// argument, -1: none.
static const struct row {
    const char *name;
    enum wait_call_kind kind;
    int8_t fd, time, child;
    enum timeout timeout;
    enum set set;
} rows[] = {
    {"read", WAIT_CALL_READ, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"pread64", WAIT_CALL_READ, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"readv", WAIT_CALL_READ, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"preadv", WAIT_CALL_READ, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"preadv2", WAIT_CALL_READ, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"recvfrom", WAIT_CALL_READ, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"recvmsg", WAIT_CALL_READ, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"recvmmsg", WAIT_CALL_READ, 0, 4, -1, TIMESPEC, NO_SET},
    {"write", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"pwrite64", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"writev", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"pwritev", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"pwritev2", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"sendto", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"sendmsg", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"sendmmsg", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"sendfile", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"fsync", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"fdatasync", WAIT_CALL_WRITE, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"accept", WAIT_CALL_ACCEPT, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"accept4", WAIT_CALL_ACCEPT, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"connect", WAIT_CALL_CONNECT, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"poll", WAIT_CALL_POLL, -1, 2, -1, MILLISECONDS, POLLFDS},
    {"ppoll", WAIT_CALL_POLL, -1, 2, -1, TIMESPEC, POLLFDS},
    {"select", WAIT_CALL_POLL, -1, 4, -1, TIMEVAL, FDSETS},
    {"pselect6", WAIT_CALL_POLL, -1, 4, -1, TIMESPEC, FDSETS},
    {"epoll_wait", WAIT_CALL_POLL, -1, 3, -1, MILLISECONDS, EPOLL},
    {"epoll_pwait", WAIT_CALL_POLL, -1, 3, -1, MILLISECONDS, EPOLL},
    {"epoll_pwait2", WAIT_CALL_POLL, -1, 3, -1, TIMESPEC, EPOLL},
    {"nanosleep", WAIT_CALL_SLEEP, -1, 0, -1, TIMESPEC, NO_SET},
    {"clock_nanosleep", WAIT_CALL_SLEEP, -1, 2, -1, DEADLINE, NO_SET},
    {"wait4", WAIT_CALL_CHILD, -1, -1, 0, NO_TIMEOUT, NO_SET},
    {"waitid", WAIT_CALL_CHILD, -1, -1, 1, NO_TIMEOUT, NO_SET},
    {"pause", WAIT_CALL_SIGNAL, -1, -1, -1, NO_TIMEOUT, NO_SET},
    {"rt_sigsuspend", WAIT_CALL_SIGNAL, -1, -1, -1, NO_TIMEOUT, NO_SET},
    {"rt_sigtimedwait", WAIT_CALL_SIGNAL, -1, 2, -1, TIMESPEC, NO_SET},
    {"flock", WAIT_CALL_FILE_LOCK, 0, -1, -1, NO_TIMEOUT, NO_SET},
    {"fcntl", WAIT_CALL_FILE_LOCK, 0, -1, -1, NO_TIMEOUT, NO_SET}, // F_SETLKW alone sleeps
    {"futex", WAIT_CALL_FUTEX, -1, 3, -1, FUTEX_TIME, NO_SET},
};

void wait_call_deinit(struct wait_call *call)
{
    vec_deinit(&call->fds);
}

// A struct of two words, seconds and fractions; -1: none, unreadable, or no such time.
static int64_t read_time(struct mem *mem, uint64_t addr, int64_t fraction_ns)
{
    int64_t words[2];
    if (!addr)
        return -1;
    AUTO_ERR struct err *err = mem_read(mem, addr, words, sizeof(words));
    if (err || words[0] < 0 || words[0] >= SECONDS_MAX || words[1] < 0 ||
        words[1] > NS_PER_S / fraction_ns)
        return -1;
    return words[0] * NS_PER_S + words[1] * fraction_ns;
}

static void set_deadline(const struct wait_clocks *clocks, bool realtime, int64_t deadline_ns,
                         struct wait_call *ret)
{
    int64_t now_ns = realtime ? clocks->realtime_ns : clocks->monotonic_ns;
    if (deadline_ns < 0 || !now_ns)
        return;
    ret->left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

static void read_timeout(struct mem *mem, const struct row *row, const uint64_t args[6],
                         const struct wait_clocks *clocks, struct wait_call *ret)
{
    uint64_t at = row->time >= 0 ? args[row->time] : 0;
    int64_t time_ns;
    ret->limited = at && row->timeout != NO_TIMEOUT;
    switch (row->timeout) {
    case NO_TIMEOUT:
        break;
    case MILLISECONDS:
        ret->timeout_ns = (int32_t)at < 0 ? -1 : (int32_t)at * (NS_PER_S / 1000);
        ret->limited = ret->timeout_ns >= 0;
        break;
    case TIMESPEC:
        ret->timeout_ns = read_time(mem, at, 1);
        break;
    case TIMEVAL:
        ret->timeout_ns = read_time(mem, at, 1000);
        break;
    case DEADLINE: // clock_nanosleep(clock, flags, request)
        time_ns = read_time(mem, at, 1);
        if (!(args[1] & TIMER_ABSTIME))
            ret->timeout_ns = time_ns;
        else if (args[0] == CLOCK_MONOTONIC || args[0] == CLOCK_REALTIME)
            set_deadline(clocks, args[0] == CLOCK_REALTIME, time_ns, ret);
        break;
    case FUTEX_TIME: // FUTEX_WAIT: relative; FUTEX_WAIT_BITSET and others: a deadline
        time_ns = read_time(mem, at, 1);
        if (ret->futex_operation == FUTEX_WAIT)
            ret->timeout_ns = time_ns;
        else
            set_deadline(clocks, args[1] & FUTEX_CLOCK_REALTIME, time_ns, ret);
        break;
    }
}

static void add_fd(struct wait_call *ret, int32_t fd)
{
    for (size_t i = 0; i < ret->fds.count; i++)
        if (ret->fds.items[i] == fd)
            return;
    ret->fd_count++;
    if (ret->fds.count < WAIT_CALL_FDS_MAX)
        (void)vec_push(&ret->fds, fd); // without memory there are fewer
}

static void read_pollfds(struct mem *mem, const uint64_t args[6], struct wait_call *ret)
{
    size_t count = args[1] < SELECT_MAX ? (size_t)args[1] : SELECT_MAX;
    struct pollfd items[SELECT_MAX];
    AUTO_ERR struct err *err = mem_read(mem, args[0], items, count * sizeof(*items));
    for (size_t i = 0; !err && i < count; i++)
        if (items[i].fd >= 0)
            add_fd(ret, items[i].fd);
}

// The kernel takes the sets into copies of its own: they still are as they were asked for.
static void read_fdsets(struct mem *mem, const uint64_t args[6], struct wait_call *ret)
{
    size_t count = args[0] < SELECT_MAX ? (size_t)args[0] : SELECT_MAX;
    for (size_t set = 1; set <= 3; set++) {
        uint64_t words[SELECT_MAX / 64] = {0};
        if (!args[set])
            continue;
        AUTO_ERR struct err *err = mem_read(mem, args[set], words, (count + 63) / 64 * 8);
        for (size_t fd = 0; !err && fd < count; fd++)
            if (words[fd / 64] >> fd % 64 & 1)
                add_fd(ret, (int32_t)fd);
    }
}

void wait_call_read(struct mem *mem, const struct arch *arch, const struct arch_regs *regs,
                    const struct wait_clocks *clocks, struct wait_call *ret)
{
    const char *name = regs->syscall >= 0 ? arch_syscall_name(arch, regs->syscall) : NULL;
    const struct row *row = NULL;
    *ret = (struct wait_call){.fd = -1, .epoll = -1, .timeout_ns = -1, .left_ns = -1};
    for (size_t i = 0; name && i < ARRAY_SIZE(rows) && !row; i++)
        row = strcmp(rows[i].name, name) == 0 ? &rows[i] : NULL;
    if (!row)
        return;
    ret->kind = row->kind;
    if (row->fd >= 0)
        ret->fd = (int32_t)regs->args[row->fd];
    if (row->child >= 0 && (int32_t)regs->args[row->child] > 0)
        ret->child = (pid_t)regs->args[row->child];
    if (row->kind == WAIT_CALL_FUTEX) {
        ret->futex = regs->args[0];
        ret->futex_operation = (uint32_t)regs->args[1] & FUTEX_CMD_MASK;
        ret->futex_value = (uint32_t)regs->args[2];
    }
    if (row->set == POLLFDS)
        read_pollfds(mem, regs->args, ret);
    else if (row->set == FDSETS)
        read_fdsets(mem, regs->args, ret);
    else if (row->set == EPOLL)
        ret->epoll = (int32_t)regs->args[0];
    // What Python's time.sleep() was up to 3.10.
    bool nothing =
        (row->set == POLLFDS && !regs->args[1]) || (row->set == FDSETS && !regs->args[0]);
    if (nothing)
        ret->kind = WAIT_CALL_SLEEP;
    if (ret->fd_count == 1)
        ret->fd = ret->fds.items[0];
    read_timeout(mem, row, regs->args, clocks, ret);
}
