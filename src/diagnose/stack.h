// SPDX-License-Identifier: GPL-3.0-or-later
// Where in a stack is what: by whose code it is and by the functions of Python's libraries, never by
// the names of a program.
#ifndef DIAGNOSE_STACK_H
#define DIAGNOSE_STACK_H

#include "diagnose/diag.h"
#include "snapshot/paths.h"

// Of a thread of the snapshot, or of the profile. Innermost first.
struct stack {
    const struct snap_frame *frames;
    const uint32_t *index; // NULL: the frames as they are
    size_t count;
};

struct stack stack_of_thread(const struct snap_thread *thread);
struct stack stack_of_profile(const struct prof_report *profile, const struct prof_stack *from);
static inline const struct snap_frame *stack_frame(const struct stack *stack, size_t i)
{
    return &stack->frames[stack->index ? stack->index[i] : i];
}

enum snap_origin stack_origin(const struct diag *diag, const struct snap_frame *frame);
// A Python frame whose file ends so, of that function (NULL: whatever function).
bool stack_is(const struct diag *diag, const struct snap_frame *frame, const char *file,
              const char *function);
bool stack_named(const struct diag *diag, uint32_t id, const char *name);
// What a person looks for: the innermost Python frame of the program; without one, of a package; else
// of any Python code. NULL: there is none.
const struct snap_frame *stack_own(const struct diag *diag, const struct stack *stack);
// The same, but nothing further in than `from`.
const struct snap_frame *stack_own_from(const struct diag *diag, const struct stack *stack,
                                        size_t from);
// The same of the code that waits for what diag_wait() tells. NULL: nothing, or no Python code.
const struct snap_frame *stack_waiting(const struct diag *diag, uint32_t thread);
bool stack_same_function(const struct snap_frame *a, const struct snap_frame *b);
// What the thread calls: its innermost frame in Python code or of a builtin.
const struct snap_frame *stack_call(const struct stack *stack);
// The native code on top, below which Python goes on, is an extension's or a library's: not the
// interpreter, not the C library. NULL: it is not, or not known.
const struct snap_frame *stack_extension(const struct diag *diag, const struct stack *stack);

#endif
