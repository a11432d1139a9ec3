// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks and greenlets written by hand, for the tests of what renders them. A stack is a line of text,
// innermost first: "sleep /usr/lib/python3.12/asyncio/tasks.py:665 < poll /srv/jobs.py:20"; with a star it
// is a native frame of a module: "*qsort libc.so.6:0".
#ifndef TESTS_SUSPENDED_MAKER_H
#define TESTS_SUSPENDED_MAKER_H

#include <stdio.h>
#include <string.h>

#include "snapshot/snapshot.h"

#define ASYNCIO "/usr/lib/python3.12/asyncio/"

struct scene { // what is being made
    struct strtab *strings;
    struct snap_suspended *suspended;
    pid_t pid;
};

// Of a snapshot, which gets what it has not got yet.
static inline struct scene scene_in(struct strtab *strings, struct snapshot *snapshot)
{
    if (!snapshot->suspended && !(snapshot->suspended = snap_suspended_create()))
        abort();
    return (struct scene){strings, snapshot->suspended, 4711};
}

static inline uint32_t scene_id(struct scene *scene, const char *text)
{
    return text ? strtab_add_cstr(scene->strings, text) : 0;
}

static inline uint32_t scene_stack(struct scene *scene, const char *text)
{
    struct snap_frames frames = {0};
    uint32_t stack = SNAP_NO_INDEX;
    char name[100], file[200];
    int line, size;
    for (; text && *text; text += size) {
        size = 0;
        if (sscanf(text, "%99s %199[^:]:%d%n", name, file, &line, &size) != 3)
            abort();
        struct snap_frame frame = {.kind = SNAP_PYTHON,
                                   .flags = SNAP_FRAME_GENERATOR,
                                   .function = scene_id(scene, name),
                                   .qualname = scene_id(scene, name),
                                   .file = scene_id(scene, file),
                                   .line = line,
                                   .column = -1,
                                   .first_line = 1};
        if (name[0] == '*')
            frame = (struct snap_frame){.kind = SNAP_NATIVE,
                                        .function = scene_id(scene, name + 1),
                                        .module = scene_id(scene, file),
                                        .line = -1,
                                        .column = -1,
                                        .first_line = -1};
        if (!vec_push(&frames, frame))
            abort();
        size += (int)strspn(text + size, " <");
    }
    if (frames.count && !snap_suspended_stack(scene->suspended, frames.items, frames.count, &stack))
        abort();
    vec_deinit(&frames);
    return stack;
}

static inline struct snap_await scene_await(struct scene *scene, enum snap_await_kind kind,
                                            const char *what)
{
    return (struct snap_await){.kind = kind,
                               .what = scene_id(scene, what),
                               .fd = -1,
                               .left_ns = -1,
                               .holder = SNAP_NO_INDEX};
}

// Each moves when the next one is added.
static inline struct snap_loop *scene_loop(struct scene *scene, pid_t tid, const char *type)
{
    struct snap_loop loop = {.pid = scene->pid,
                             .tid = tid,
                             .object = 0x7f0000100000u + scene->suspended->loops.count * 256,
                             .type = scene_id(scene, type),
                             .library = scene_id(scene, "asyncio"),
                             .current = SNAP_NO_INDEX,
                             .ready = -1,
                             .scheduled = -1};
    if (!vec_push(&scene->suspended->loops, loop))
        abort();
    return &scene->suspended->loops.items[scene->suspended->loops.count - 1];
}

// Of the last loop.
static inline struct snap_task *scene_task(struct scene *scene, const char *name,
                                           const char *coroutine, enum snap_task_state state,
                                           enum snap_await_kind kind, const char *what,
                                           const char *stack)
{
    struct snap_task task = {.pid = scene->pid,
                             .object = 0x7f0000200000u + scene->suspended->tasks.count * 256,
                             .name = scene_id(scene, name),
                             .type = scene_id(scene, "Task"),
                             .coroutine = scene_id(scene, coroutine),
                             .loop = (uint32_t)scene->suspended->loops.count - 1,
                             .state = state,
                             .stack = scene_stack(scene, stack),
                             .await = scene_await(scene, kind, what)};
    if (!vec_push(&scene->suspended->tasks, task))
        abort();
    return &scene->suspended->tasks.items[scene->suspended->tasks.count - 1];
}

// `by` awaits `of`, too.
static inline void scene_edge(struct scene *scene, uint32_t by, uint32_t of)
{
    struct snap_await *await = &scene->suspended->tasks.items[by].await;
    if (!vec_push(&await->tasks, of))
        abort();
    await->task_count++;
}

static inline struct snap_greenlet *scene_greenlet(struct scene *scene, pid_t tid, const char *type,
                                                   const char *name, enum snap_greenlet_state state,
                                                   uint32_t parent, enum snap_await_kind kind,
                                                   const char *what, const char *stack)
{
    struct snap_greenlet greenlet = {.pid = scene->pid,
                                     .tid = tid,
                                     .object =
                                         0x7f0000300000u + scene->suspended->greenlets.count * 256,
                                     .type = scene_id(scene, type),
                                     .name = scene_id(scene, name),
                                     .state = state,
                                     .parent = parent,
                                     .stack = scene_stack(scene, stack),
                                     .await = scene_await(scene, kind, what)};
    if (!vec_push(&scene->suspended->greenlets, greenlet))
        abort();
    return &scene->suspended->greenlets.items[scene->suspended->greenlets.count - 1];
}

static inline void scene_generator(struct scene *scene, enum snap_generator_kind kind, bool begun,
                                   const char *stack)
{
    struct snap_generator generator = {.pid = scene->pid,
                                       .object = 0x7f0000400000u +
                                                 scene->suspended->generators.count * 256,
                                       .kind = kind,
                                       .begun = begun,
                                       .stack = scene_stack(scene, stack)};
    if (!vec_push(&scene->suspended->generators, generator))
        abort();
}

#endif
