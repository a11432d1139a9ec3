// SPDX-License-Identifier: GPL-3.0-or-later
// What systemd-coredump wrote down beside a core, in extended attributes of the file. Anybody who
// may write the file may write them: they fill gaps, and are never needed.
#include "target/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

// The kernel's %t are seconds; should a version store microseconds, as it does in the names of its
// files, they cannot be taken for seconds, nor the other way round.
#define SECONDS_MAX (INT64_MAX / 1000000000)
#define MICROSECONDS_MAX (INT64_MAX / 1000)

// The text of one attribute; empty: not there, too long, or not text.
static void read_text(int fd, const char *name, char *ret, size_t size)
{
    ssize_t got = fgetxattr(fd, name, ret, size - 1);
    if (got < 0)
        got = 0;
    ret[got] = '\0';
    for (ssize_t i = 0; i < got; i++)
        if ((unsigned char)ret[i] < 0x20 || ret[i] == 0x7f)
            *ret = '\0';
}

static int64_t read_number(int fd, const char *name)
{
    char text[24], *end;
    read_text(fd, name, text, sizeof(text));
    if (*text < '0' || *text > '9')
        return 0;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno || *end ? 0 : value;
}

void core_stored_read(int fd, struct core_stored *ret)
{
    read_text(fd, "user.coredump.hostname", ret->host, sizeof(ret->host));
    read_text(fd, "user.coredump.exe", ret->exe, sizeof(ret->exe));
    int64_t pid = read_number(fd, "user.coredump.pid");
    int64_t signo = read_number(fd, "user.coredump.signal");
    int64_t when = read_number(fd, "user.coredump.timestamp");
    if (pid > 0 && pid <= INT32_MAX)
        ret->pid = pid;
    if (signo > 0 && signo <= 64)
        ret->signo = (int)signo;
    if (when > 0 && when <= SECONDS_MAX)
        ret->taken_at_ns = when * 1000000000;
    else if (when > 0 && when <= MICROSECONDS_MAX)
        ret->taken_at_ns = when * 1000;
}
