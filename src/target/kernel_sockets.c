// SPDX-License-Identifier: GPL-3.0-or-later
// See kernel_sockets.h. Formats: Documentation/networking/proc_net_tcp.rst; unix(7).
#include "target/kernel_sockets.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/guard.h"
#include "util/vec.h"

#define ROWS_MAX 200000
#define AGAIN_AFTER_NS 250000000ll
#define TCP_LISTEN 10         // include/net/tcp_states.h
#define SO_ACCEPTCON 0x10000u // include/linux/net.h: a listening unix socket

struct socket {
    uint64_t inode;
    bool internet;
    char *text; // of `internet`, its row's "LOCAL REMOTE STATE": few of very many are asked for
};

struct kernel_sockets {
    VEC(struct socket) items;
    pid_t pid;
    int64_t read_ns;
};

struct kernel_sockets *kernel_sockets_create(void)
{
    return calloc(1, sizeof(struct kernel_sockets));
}

static void clear(struct kernel_sockets *sockets)
{
    vec_foreach (socket, &sockets->items)
        free(socket->text);
    vec_clear(&sockets->items);
}

void kernel_sockets_destroy(struct kernel_sockets *sockets)
{
    if (!sockets)
        return;
    clear(sockets);
    vec_deinit(&sockets->items);
    free(sockets);
}

static void add(struct kernel_sockets *sockets, uint64_t inode, bool internet, char *text)
{
    if (!text || !vec_push(&sockets->items, (struct socket){inode, internet, text}))
        free(text);
}

// Words of four bytes in the machine's order, each in hexadecimal: "0100007F:1F90".
static bool as_address(const char *text, char *ret, size_t size, bool *ret_any)
{
    char shown[INET6_ADDRSTRLEN];
    const char *colon = strchr(text, ':');
    uint32_t words[4] = {0};
    size_t digits = colon ? (size_t)(colon - text) : 0;
    if (digits != 8 && digits != 32)
        return false;
    for (size_t i = 0; i < digits / 8; i++)
        if (sscanf(text + 8 * i, "%8" SCNx32, &words[i]) != 1)
            return false;
    unsigned port = (unsigned)strtoul(colon + 1, NULL, 16);
    bool mapped = digits == 32 && !words[0] && !words[1] && words[2] == htonl(0xffff);
    bool v4 = digits == 8 || mapped;
    if (!inet_ntop(v4 ? AF_INET : AF_INET6, mapped ? words + 3 : words, shown, sizeof(shown)))
        return false;
    *ret_any = port == 0;
    snprintf(ret, size, v4 ? "%s:%u" : "[%s]:%u", shown, port);
    return true;
}

static char *internet_text(const char *row)
{
    char local[64], remote[64], here[80], there[80], *text = NULL;
    unsigned state;
    bool any_here, any_there;
    if (sscanf(row, "%63s %63s %x", local, remote, &state) != 3 ||
        !as_address(local, here, sizeof(here), &any_here) ||
        !as_address(remote, there, sizeof(there), &any_there))
        return NULL;
    bool listens = state == TCP_LISTEN || any_there;
    int size = asprintf(&text, "%s%s",
                        !listens              ? ""
                        : state == TCP_LISTEN ? "listening on "
                                              : "at ",
                        listens ? here : there);
    return size >= 0 ? text : NULL;
}

static const char *skip_fields(const char *at, unsigned count)
{
    for (; count; count--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return at;
}

// "  0: LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS UID TIMEOUT INODE ..."
static void read_internet(struct kernel_sockets *sockets, const char *path)
{
    char line[512];
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    while (file && sockets->items.count < ROWS_MAX && fgets(line, sizeof(line), file)) {
        const char *local = skip_fields(line + strspn(line, " "), 1);
        const char *queues = skip_fields(local, 3);
        uint64_t inode = strtoull(skip_fields(queues, 5), NULL, 10);
        if (inode) // not those that nobody has any more, of which there may be very many
            add(sockets, inode, true, strndup(local, (size_t)(queues - local)));
    }
}

// "Num: RefCount Protocol Flags Type St Inode Path"
static void read_unix(struct kernel_sockets *sockets, const char *path)
{
    char line[512];
    unsigned flags;
    uint64_t inode;
    int name;
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    while (file && sockets->items.count < ROWS_MAX && fgets(line, sizeof(line), file)) {
        name = 0;
        if (sscanf(line, "%*s %*x %*x %x %*x %*x %" SCNu64 " %n", &flags, &inode, &name) != 2 ||
            !inode)
            continue;
        line[strcspn(line, "\n")] = '\0';
        char *text = NULL;
        bool has_name = name && line[name];
        if (asprintf(&text, "%s%s", flags & SO_ACCEPTCON ? "listening on " : "",
                     has_name ? line + name : "a unix socket") >= 0)
            add(sockets, inode, false, text);
    }
}

static int compare(const void *left, const void *right)
{
    const struct socket *a = left, *b = right;
    return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static void read_tables(struct kernel_sockets *sockets, pid_t pid)
{
    static const char *const tables[] = {"tcp", "tcp6", "udp", "udp6", "unix"};
    clear(sockets);
    sockets->pid = pid;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, tables[i]);
        if (i + 1 < ARRAY_SIZE(tables))
            read_internet(sockets, path);
        else
            read_unix(sockets, path);
    }
    if (sockets->items.count)
        qsort(sockets->items.items, sockets->items.count, sizeof(struct socket), compare);
}

static const struct socket *find(const struct kernel_sockets *sockets, uint64_t inode)
{
    struct socket wanted = {.inode = inode};
    return sockets->items.count ? bsearch(&wanted, sockets->items.items, sockets->items.count,
                                          sizeof(wanted), compare)
                                : NULL;
}

char *kernel_socket_text(struct kernel_sockets *sockets, pid_t pid, uint64_t inode)
{
    struct timespec time;
    if (!sockets)
        return NULL;
    const struct socket *socket = sockets->pid == pid ? find(sockets, inode) : NULL;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t now_ns = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    bool again = sockets->pid != pid || now_ns - sockets->read_ns > AGAIN_AFTER_NS;
    if (!socket && again) {
        read_tables(sockets, pid);
        sockets->read_ns = now_ns;
        socket = find(sockets, inode);
    }
    if (!socket)
        return NULL;
    return socket->internet ? internet_text(socket->text) : strdup(socket->text);
}
