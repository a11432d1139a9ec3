// SPDX-License-Identifier: GPL-3.0-or-later
// See stack.h.
#include "diagnose/stack.h"

#include "util/guard.h"

struct stack stack_of_thread(const struct snap_thread *thread)
{
    return (struct stack){.frames = thread->frames.items, .count = thread->frames.count};
}

struct stack stack_of_profile(const struct prof_report *profile, const struct prof_stack *from)
{
    return (struct stack){
        .frames = profile->frames, .index = from->frames, .count = from->frame_count};
}

enum snap_origin stack_origin(const struct diag *diag, const struct snap_frame *frame)
{
    return snap_origin_of(strtab_get(diag->strings, frame->file));
}

bool stack_named(const struct diag *diag, uint32_t id, const char *name)
{
    return strtab_is(diag->strings, id, name);
}

bool stack_is(const struct diag *diag, const struct snap_frame *frame, const char *file,
              const char *function)
{
    const char *path = strtab_get(diag->strings, frame->file);
    if (frame->kind != SNAP_PYTHON || !path ||
        (function && !stack_named(diag, frame->function, function)))
        return false;
    size_t size = strlen(path), want = strlen(file);
    return size >= want && strcmp(path + size - want, file) == 0;
}

const struct snap_frame *stack_own_from(const struct diag *diag, const struct stack *stack,
                                        size_t from)
{
    // The program's own code says more than a package's, and that more than Python's library.
    const struct snap_frame *best = NULL;
    enum snap_origin origin = SNAP_LIBRARY;
    for (size_t i = from; i < stack->count; i++) {
        const struct snap_frame *frame = stack_frame(stack, i);
        if (frame->kind != SNAP_PYTHON)
            continue;
        enum snap_origin its = stack_origin(diag, frame);
        if (its == SNAP_OWN_CODE)
            return frame;
        if (!best || its < origin) {
            best = frame;
            origin = its;
        }
    }
    return best;
}

const struct snap_frame *stack_own(const struct diag *diag, const struct stack *stack)
{
    return stack_own_from(diag, stack, 0);
}

const struct snap_frame *stack_waiting(const struct diag *diag, uint32_t thread)
{
    const struct snap_wait *wait = diag_wait(diag, thread);
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    return wait ? stack_own_from(diag, &stack, wait->waiting < stack.count ? wait->waiting : 0) : NULL;
}

bool stack_same_function(const struct snap_frame *a, const struct snap_frame *b)
{
    return a->kind == b->kind && a->function == b->function && a->file == b->file &&
           a->first_line == b->first_line && a->module == b->module;
}

const struct snap_frame *stack_call(const struct stack *stack)
{
    for (size_t i = 0; i < stack->count; i++)
        if (stack_frame(stack, i)->kind != SNAP_NATIVE)
            return stack_frame(stack, i);
    return NULL;
}

// The interpreter, the C library and what belongs to it, the kernel's own page of code, and what only
// carries a call from Python to any other library.
static bool is_common(const char *module)
{
    static const char *const beginnings[] = {
        "python",     "libpython", "libc.",  "libc-",   "libm.",    "libm-",
        "libpthread", "ld-",       "ld.",    "libdl",   "librt",    "[vdso]",
        "linux-vdso", "libgcc_s",  "libffi", "_ctypes", "libstdc++"};
    for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
        if (strncmp(module, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

const struct snap_frame *stack_extension(const struct diag *diag, const struct stack *stack)
{
    for (size_t i = 0; i < stack->count; i++) {
        const struct snap_frame *frame = stack_frame(stack, i);
        const char *module = strtab_get(diag->strings, frame->module);
        if (frame->kind == SNAP_PYTHON)
            break;
        if (frame->kind == SNAP_NATIVE && module && !is_common(module))
            return frame;
    }
    return NULL;
}
