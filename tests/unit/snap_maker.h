// SPDX-License-Identifier: GPL-3.0-or-later
// Snapshots written by hand, for the tests of what reads them. A stack is a line of text, innermost
// first, "sleep! work:12#7 main:3#1": a name, its line, its activation, and one of
// "!" builtin, "~" native, "*" generator; "@" a native frame's address, "~@4096" one without a
// symbol. All of Python is in app.py, and a function begins at line 1; all native code in libc.
#ifndef TESTS_SNAP_MAKER_H
#define TESTS_SNAP_MAKER_H

#include <ctype.h>
#include <string.h>

#include "snapshot/snapshot.h"

static struct snap_frame make_frame(struct strtab *strings, const char *text)
{
    size_t size = strcspn(text, ":#!~*@ ");
    struct snap_frame frame = {.kind = SNAP_PYTHON, .line = -1, .column = -1, .first_line = 1};
    frame.function = size ? strtab_add(strings, text, size) : 0;
    for (text += size; *text && *text != ' ';) {
        char mark = *text++;
        unsigned long long number = isdigit((unsigned char)*text) ? strtoull(text, NULL, 10) : 0;
        text += strspn(text, "0123456789");
        if (mark == ':')
            frame.line = (int32_t)number;
        else if (mark == '#')
            frame.activation = number;
        else if (mark == '@')
            frame.address = frame.offset = number;
        else if (mark == '*')
            frame.flags |= SNAP_FRAME_GENERATOR;
        else
            frame.kind = mark == '!' ? SNAP_BUILTIN : SNAP_NATIVE;
    }
    if (frame.kind == SNAP_PYTHON)
        frame.file = strtab_add_cstr(strings, "app.py");
    else
        frame.first_line = -1;
    if (frame.kind == SNAP_NATIVE)
        frame.module = strtab_add_cstr(strings, "libc.so.6");
    return frame;
}

// The thread belongs to the snapshot and moves when the next one is added.
static struct snap_thread *make_thread(struct strtab *strings, struct snapshot *snapshot, pid_t tid,
                                       enum snap_state state, const char *stack)
{
    struct snap_thread thread = {.pid = 100, .tid = tid, .state = state, .interpreter = 0};
    thread.known_to_python = true;
    thread.python_id = 0x7f0000000000u + (uint64_t)tid;
    while (*(stack += strspn(stack, " "))) {
        if (!vec_push(&thread.frames, make_frame(strings, stack)))
            return NULL;
        stack += strcspn(stack, " ");
    }
    if (!vec_push(&snapshot->threads, thread))
        return NULL;
    return &snapshot->threads.items[snapshot->threads.count - 1];
}

#endif
