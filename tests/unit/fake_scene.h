// SPDX-License-Identifier: GPL-3.0-or-later
// What a snapshot is put together from, made by hand: threads of the kernel, stacks of Python.
#ifndef FAKE_SCENE_H
#define FAKE_SCENE_H

#include "fake_memory.h"
#include "snapshot/build.h"

enum { PID = 100, MAX = 8 };

struct scene {
    struct fake_memory memory;
    struct target target;
    struct strtab *strings;
    struct py_process process;
    struct py_state state;
    struct py_stack stacks[MAX];
    struct py_thread_names names;
    struct live_thread threads[MAX];
    struct snap_input in;
    struct unwind_stack native_stacks[MAX];
    size_t native_names;
    struct snapshot *snapshot;
};

struct scene *scene_create(void);
void scene_destroy(struct scene *scene);
// Stopped, in user code; without registers when tls is 0.
struct live_thread *scene_thread(struct scene *scene, pid_t tid, uint64_t tls);
struct py_stack *scene_stack(struct scene *scene, uint64_t ident, int64_t interp);
// Frames are added innermost first; "?" has no name.
struct py_frame *scene_frame(struct scene *scene, struct py_stack *stack, const char *name);
// What C code entered with the frames added since the last entry.
void scene_entry(struct py_stack *stack, uint64_t addr);
// Native frames of a thread, innermost first, one above the other from 0x10000 on, `bytes` each. By
// its name it is of the interpreter's module; "?..." has no name there, "lib..." and "@..." are of
// another one, or of none.
struct unwind_frame *scene_native(struct scene *scene, size_t thread, const char *name,
                                  uint64_t bytes);
// The snapshot of all that; it lives until the next one.
struct snapshot *scene_build(struct scene *scene);
// "name name ..." of a thread's frames, innermost first.
void scene_assert_frames(struct scene *scene, size_t thread, const char *expected);
void scene_assert_note(struct scene *scene, const struct snap_notes *notes, size_t index,
                       const char *part);

#endif
