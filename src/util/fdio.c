// SPDX-License-Identifier: GPL-3.0-or-later
// Reading files in pieces: see util/fdio.h.
#include "util/fdio.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

size_t fd_pread(int fd, void *ret, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)ret + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

bool bytes_are_zero(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    return size == 0 || (*at == 0 && memcmp(at, at + 1, size - 1) == 0);
}
