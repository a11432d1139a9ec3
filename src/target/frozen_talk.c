// SPDX-License-Identifier: GPL-3.0-or-later
// What the tracer of a frozen copy tells pycore: see frozen_private.h.
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target/frozen_private.h"
#include "util/wire.h"

void frozen_tell(int socket, const struct err *err, struct frozen_message *message, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    const char *text = err ? err_message(err) : "";
    message->code = err ? (int32_t)err_code(err) : -1;
    struct iovec parts[] = {{message, sizeof(*message)}, {(void *)text, strlen(text)}};
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
    if (fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &fd, sizeof(int));
    }
    sendmsg(socket, &header, MSG_NOSIGNAL);
}

static void write_thread(struct wire_out *out, const struct regsets_thread *thread)
{
    wire_u32(out, (uint32_t)thread->tid);
    wire_bytes(out, &thread->regs, sizeof(thread->regs));
    wire_u64(out, thread->blocked);
    wire_bool(out, thread->has_siginfo);
    wire_bytes(out, thread->siginfo, sizeof(thread->siginfo));
    wire_u32(out, (uint32_t)thread->count);
    for (size_t i = 0; i < thread->count; i++) {
        wire_u32(out, thread->sets[i].type);
        wire_u64(out, thread->sets[i].size);
        wire_bytes(out, thread->sets[i].bytes, thread->sets[i].size);
    }
}

struct err *frozen_write_threads(int fd, const struct regsets_threads *threads, uint64_t *ret_size)
{
    struct wire_out out = {0};
    wire_u32(&out, (uint32_t)threads->count);
    vec_foreach (thread, threads)
        write_thread(&out, thread);
    bool ok = !out.failed;
    for (size_t done = 0; ok && done < out.bytes.count;) {
        ssize_t put = write(fd, out.bytes.items + done, out.bytes.count - done);
        ok = put > 0;
        done += ok ? (size_t)put : 0;
    }
    *ret_size = out.bytes.count;
    wire_out_deinit(&out);
    return ok ? NULL : err_create(ERR_NO_MEMORY, "registers");
}
