// SPDX-License-Identifier: GPL-3.0-or-later
// Descriptors: see target/kernel.h. Formats: proc(5), /proc/PID/fd, /proc/PID/fdinfo.
#include "target/kernel.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "target/kernel_sockets.h"
#include "util/guard.h"
#include "util/redact.h"

static void fds_clear(struct kernel_fds *fds)
{
    vec_foreach (fd, fds) {
        free(fd->text);
        vec_deinit(&fd->set);
    }
    vec_clear(fds);
}

void kernel_facts_deinit(struct kernel_facts *facts)
{
    fds_clear(&facts->fds);
    vec_deinit(&facts->fds);
    vec_deinit(&facts->moved);
    vec_deinit(&facts->greenlets);
    vec_deinit(&facts->torn_tasks);
    vec_deinit(&facts->heap_tasks);
    vec_deinit(&facts->changed);
    vec_deinit(&facts->generators);
    kernel_sockets_destroy(facts->sockets);
    facts->sockets = NULL;
}

static int64_t now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

void kernel_facts_renew(struct kernel_facts *facts, pid_t ask)
{
    fds_clear(&facts->fds);
    vec_clear(&facts->moved);
    vec_clear(&facts->greenlets);
    vec_clear(&facts->torn_tasks);
    vec_clear(&facts->heap_tasks);
    vec_clear(&facts->changed);
    facts->read_greenlets = facts->read_tasks = false;
    vec_clear(&facts->generators);
    facts->has_generators = false;
    facts->generators_left_out = facts->greenlet_switch = 0;
    facts->ask = ask;
    facts->clocks = (struct wait_clocks){now(CLOCK_MONOTONIC), now(CLOCK_REALTIME)};
}

// "tfd:        5 events: ...", a line for each of the set.
static void read_epoll(pid_t pid, struct kernel_fd *ret)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, ret->fd);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    int32_t fd;
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "tfd: %" SCNd32, &fd) != 1)
            continue;
        ret->set_count++;
        if (ret->set.count < WAIT_CALL_FDS_MAX)
            (void)vec_push(&ret->set, fd);
    }
}

static char *describe(struct kernel_facts *facts, const char *link, struct kernel_fd *fd)
{
    uint64_t inode;
    if (sscanf(link, "socket:[%" SCNu64 "]", &inode) == 1) {
        fd->kind = KERNEL_FD_SOCKET;
        if (!facts->sockets)
            facts->sockets = kernel_sockets_create();
        char *text = kernel_socket_text(facts->sockets, facts->ask, inode);
        return text ? text : strdup("a socket");
    }
    if (strncmp(link, "pipe:", 5) == 0) {
        fd->kind = KERNEL_FD_PIPE;
        return strdup("a pipe");
    }
    if (strncmp(link, "anon_inode:", 11) == 0) {
        fd->kind = KERNEL_FD_OTHER;
        if (strcmp(link + 11, "[eventpoll]") == 0) {
            fd->kind = KERNEL_FD_EPOLL;
            read_epoll(facts->ask, fd);
        }
        const char *name = link + 11;
        size_t size = strlen(name);
        bool quoted = size > 2 && name[0] == '[' && name[size - 1] == ']';
        return strndup(name + quoted, size - 2 * quoted);
    }
    fd->kind = KERNEL_FD_FILE;
    return redact_path(link);
}

static void ask(struct kernel_facts *facts, struct kernel_fd *fd)
{
    char path[64], link[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", facts->ask, fd->fd);
    ssize_t size = readlink(path, link, sizeof(link) - 1);
    if (size <= 0)
        return;
    link[size] = '\0';
    fd->text = describe(facts, link, fd);
}

const struct kernel_fd *kernel_fd(struct kernel_facts *facts, int32_t number)
{
    if (!facts || number < 0)
        return NULL;
    vec_foreach (fd, &facts->fds)
        if (fd->fd == number)
            return fd->text ? fd : NULL;
    if (!facts->ask || facts->fds.count >= KERNEL_FDS_MAX)
        return NULL;
    struct kernel_fd fd = {.fd = number};
    ask(facts, &fd);
    if (!vec_push(&facts->fds, fd)) {
        free(fd.text);
        vec_deinit(&fd.set);
        return NULL;
    }
    const struct kernel_fd *ret = &facts->fds.items[facts->fds.count - 1];
    return ret->text ? ret : NULL;
}
