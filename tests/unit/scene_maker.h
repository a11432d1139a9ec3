// SPDX-License-Identifier: GPL-3.0-or-later
// What a diagnosis is made of, written by hand: threads with what they wait for, and runs of many
// snapshots. Each scene is diagnosed as it is and with all functions of the program renamed.
#ifndef TESTS_SCENE_MAKER_H
#define TESTS_SCENE_MAKER_H

#include <stdio.h>

#include "diagnose/diagnose.h"
#include "snap_maker.h"
#include "util/guard.h"

#define SCENE_THREADS 64
#define MS 1000000ull

struct scene {
    struct strtab *strings;
    struct snap_source source;
    struct snapshot *last;
    struct profile *profile; // NULL until scene_next()
    struct prof_report *report;
    uint64_t snapshots, duration_ns;
    bool renamed;
};

typedef void scene_fn(struct scene *scene);

// Functions of Python's library that rules know; all others are the program's, in app.py.
static const char *scene_file(const char *function)
{
    static const char *const rows[][2] = {
        {"_run", "/usr/lib/python3.11/asyncio/events.py"},
        {"_run_once", "/usr/lib/python3.11/asyncio/base_events.py"},
        {"run", "/usr/lib/python3.11/concurrent/futures/thread.py"},
        {"_worker", "/usr/lib/python3.11/concurrent/futures/thread.py"},
        {"process_request_thread", "/usr/lib/python3.11/socketserver.py"},
        {"_launch", "/usr/lib/python3.11/multiprocessing/popen_fork.py"},
        {"wait", "/usr/lib/python3.11/threading.py"},
        {"get", "/usr/lib/python3.11/queue.py"},
        {"select", "/usr/lib/python3.11/selectors.py"},
        {"unrolled_run", "/usr/lib/python3.11/site-packages/trio/_core/_run.py"},
        {"__aenter__", "/usr/lib/python3.11/asyncio/locks.py"},
        {"_wait", "/usr/lib/python3.11/asyncio/tasks.py"},
        {"getconn", "/usr/lib/python3.11/site-packages/psycopg_pool/pool_async.py"},
        {"connect", "/usr/lib/python3.11/site-packages/pymysql/connections.py"},
        {"weakref_manager", "/usr/lib/python3.11/concurrent/futures/process.py"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strcmp(rows[i][0], function) == 0)
            return rows[i][1];
    return NULL;
}

static void scene_name_frames(struct scene *scene, struct snap_frames *frames)
{
    vec_foreach (frame, frames) {
        const char *name = strtab_get(scene->strings, frame->function);
        const char *file = name && frame->kind == SNAP_PYTHON ? scene_file(name) : NULL;
        char other[64];
        if (name && frame->kind == SNAP_BUILTIN && strcmp(name, "semlock") == 0) {
            frame->function = strtab_add_cstr(scene->strings, "__enter__");
            frame->qualname = strtab_add_cstr(
                scene->strings, "{method '__enter__' of '_multiprocessing.SemLock' objects}");
        } else if (file) {
            frame->file = strtab_add_cstr(scene->strings, file);
        } else if (frame->kind == SNAP_PYTHON && scene->renamed && name) {
            snprintf(other, sizeof(other), "other_%s", name);
            frame->function = strtab_add_cstr(scene->strings, other);
        } else if (frame->kind == SNAP_NATIVE && name && strncmp(name, "ext_", 4) == 0) {
            frame->module = strtab_add_cstr(scene->strings, "ext.cpython-311-x86_64-linux-gnu.so");
        }
    }
}

static inline struct snap_thread *scene_thread(struct scene *scene, enum snap_state state,
                                               const char *stack)
{
    char name[32];
    pid_t tid = 101 + (pid_t)scene->last->threads.count;
    struct snap_thread *thread = make_thread(scene->strings, scene->last, tid, state, stack);
    snprintf(name, sizeof(name), "T%d", (int)tid - 100);
    thread->name = strtab_add_cstr(scene->strings, name);
    thread->held_still = !snap_state_works(state);
    thread->details = calloc(1, sizeof(*thread->details));
    thread->details->wait = (struct snap_wait){.fd = -1,
                                               .timeout_ns = -1,
                                               .left_ns = -1,
                                               .owner_frame = UINT32_MAX,
                                               .waiting = UINT32_MAX,
                                               .loop = UINT32_MAX};
    scene_name_frames(scene, &thread->frames);
    return thread;
}

// A thread that waits; `object` also names it: "lock-7". The owner is the n-th thread, from 1; 0: not
// known.
static inline struct snap_wait *scene_waits(struct scene *scene, enum snap_wait_kind kind,
                                            uint64_t object, unsigned owner, const char *stack)
{
    struct snap_wait *wait = &scene_thread(scene, SNAP_LOCK_WAIT, stack)->details->wait;
    char what[32];
    snprintf(what, sizeof(what), "thing-%u", (unsigned)object);
    wait->kind = kind;
    wait->object = 0x7f0000 + object;
    wait->what = strtab_add_cstr(scene->strings, what);
    if (owner) {
        wait->owner = 100 + (pid_t)owner;
        wait->owner_known = SNAP_OBSERVED;
    }
    return wait;
}

// ... for the outside world.
static inline struct snap_wait *scene_talks(struct scene *scene, enum snap_wait_kind kind,
                                            const char *syscall, const char *with,
                                            const char *stack)
{
    struct snap_thread *thread = scene_thread(scene, SNAP_IO_WAIT, stack);
    thread->syscall = strtab_add_cstr(scene->strings, syscall);
    thread->details->wait.kind = kind;
    thread->details->wait.what = strtab_add_cstr(scene->strings, with);
    return &thread->details->wait;
}

// ---- What waits without a thread -----------------------------------------------------------------

static inline struct snap_suspended *scene_suspended(struct scene *scene)
{
    if (!scene->last->suspended && !(scene->last->suspended = snap_suspended_create()))
        abort();
    return scene->last->suspended;
}

static inline uint32_t scene_stack(struct scene *scene, const char *stack)
{
    struct snap_frames frames = {0};
    uint32_t index = SNAP_NO_INDEX;
    while (*(stack += strspn(stack, " "))) {
        assert_true(vec_push(&frames, make_frame(scene->strings, stack)));
        stack += strcspn(stack, " ");
    }
    scene_name_frames(scene, &frames);
    assert_true(snap_suspended_stack(scene_suspended(scene), frames.items, frames.count, &index));
    vec_deinit(&frames);
    return index;
}

// The loop of the n-th thread, from 1.
static inline struct snap_loop *scene_loop(struct scene *scene, unsigned thread)
{
    struct snap_loop loop = {.pid = 100,
                             .tid = 100 + (pid_t)thread,
                             .current = SNAP_NO_INDEX,
                             .ready = -1,
                             .scheduled = -1,
                             .watched = -1,
                             .signals = -1};
    loop.type = strtab_add_cstr(scene->strings, "_UnixSelectorEventLoop");
    assert_true(vec_push(&scene_suspended(scene)->loops, loop));
    return &scene->last->suspended->loops.items[scene->last->suspended->loops.count - 1];
}

// A task of the first loop; it belongs to the snapshot, and moves when there are more.
static inline struct snap_task *scene_task(struct scene *scene, enum snap_task_state state,
                                           const char *stack)
{
    struct snap_suspended *suspended = scene_suspended(scene);
    struct snap_task task = {.pid = 100, .state = state, .stack = scene_stack(scene, stack)};
    char name[32];
    task.await = (struct snap_await){.fd = -1, .left_ns = -1, .holder = SNAP_NO_INDEX};
    task.object = 0x7e0000 + suspended->tasks.count;
    snprintf(name, sizeof(name), "Task-%zu", suspended->tasks.count + 1);
    task.name = strtab_add_cstr(scene->strings, name);
    suspended->moment = true;
    assert_true(vec_push(&suspended->tasks, task));
    return &suspended->tasks.items[suspended->tasks.count - 1];
}

// One that waits; `object` also names it. The holder is the n-th task, from 1; 0: not known.
static inline struct snap_await *scene_awaits(struct scene *scene, enum snap_await_kind kind,
                                              uint64_t object, unsigned holder, const char *stack)
{
    struct snap_await *await = &scene_task(scene, SNAP_TASK_WAITING, stack)->await;
    char what[32];
    await->kind = kind;
    if (object) {
        snprintf(what, sizeof(what), "thing-%u", (unsigned)object);
        await->what = strtab_add_cstr(scene->strings, what);
        await->object = 0x7d0000 + object;
    }
    if (holder)
        await->holder = holder - 1;
    return await;
}

// One that awaits these others: the digits of `others`, from 1.
static inline struct snap_await *scene_awaits_tasks(struct scene *scene, const char *others,
                                                    const char *stack)
{
    enum snap_await_kind kind = others[1] ? SNAP_AWAIT_SEVERAL : SNAP_AWAIT_TASK;
    struct snap_await *await = scene_awaits(scene, kind, 0, 0, stack);
    await->task_count = strlen(others);
    for (; *others; others++)
        assert_true(vec_push(&await->tasks, (uint32_t)(*others - '1')));
    return await;
}

// A greenlet of the n-th thread, from 1. The first one is the parent of all others.
static inline struct snap_greenlet *scene_greenlet(struct scene *scene, unsigned thread,
                                                   enum snap_greenlet_state state,
                                                   const char *stack)
{
    struct snap_suspended *suspended = scene_suspended(scene);
    struct snap_greenlet greenlet = {
        .pid = 100, .tid = 100 + (pid_t)thread, .state = state, .stack = scene_stack(scene, stack)};
    greenlet.parent = suspended->greenlets.count ? 0 : SNAP_NO_INDEX;
    greenlet.await = (struct snap_await){.fd = -1, .left_ns = -1, .holder = SNAP_NO_INDEX};
    assert_true(vec_push(&suspended->greenlets, greenlet));
    return &suspended->greenlets.items[suspended->greenlets.count - 1];
}

// ---- Snapshots -----------------------------------------------------------------------------------

static struct snapshot *scene_snapshot(void)
{
    struct snapshot *snapshot = snapshot_create();
    if (!vec_reserve(&snapshot->threads, SCENE_THREADS))
        abort();
    return snapshot;
}

// Counts the snapshot in the profile and begins the next one, so much later.
static inline void scene_next_after(struct scene *scene, uint64_t ns)
{
    if (!scene->profile)
        scene->profile = profile_create(scene->strings);
    scene->last->at_ns = scene->duration_ns;
    scene->duration_ns += ns;
    scene->snapshots++;
    profile_add(scene->profile, scene->last);
    snapshot_destroy(scene->last);
    scene->last = scene_snapshot();
}

static inline void scene_next(struct scene *scene)
{
    scene_next_after(scene, 100 * MS);
}

static void scene_report(struct scene *scene)
{
    struct prof_run run = {.interval_ns = 100 * MS, .duration_ns = scene->duration_ns};
    if (scene->profile)
        scene->report = profile_report(scene->profile, &run);
}

static struct scene scene_create(bool renamed)
{
    struct scene scene = {.strings = strtab_create(), .last = scene_snapshot(), .renamed = renamed};
    scene.source = (struct snap_source){.kind = SNAP_LIVE, .pid = 100, .complete = true};
    scene.source.process.pid = 100;
    return scene;
}

static struct diagnosis *scene_diagnose(struct scene *scene)
{
    struct diagnosis *diagnosis = NULL;
    struct diag_input input = {scene->strings, &scene->source, scene->last, scene->report};
    AUTO_ERR struct err *err = diagnose(&input, &diagnosis);
    return err ? NULL : diagnosis;
}

static void scene_destroy(struct scene *scene)
{
    prof_report_destroy(scene->report);
    profile_destroy(scene->profile);
    snapshot_destroy(scene->last);
    strtab_destroy(scene->strings);
}

// "deadlock:high gil-convoy:medium", ""; to be freed.
static char *scene_ids(const struct diagnosis *diagnosis)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    vec_foreach (finding, &diagnosis->findings)
        fprintf(out, "%s%s:%s", finding == diagnosis->findings.items ? "" : " ", finding->id,
                diag_severity_name(finding->severity));
    fclose(out);
    return text;
}

// Diagnoses the scene twice as it is and once renamed; the ids must be the expected ones each time.
// `verdict`: what the first verdict begins with; NULL: whatever.
static inline void scene_check(scene_fn *make, const char *ids, const char *verdict)
{
    for (int renamed = 0; renamed < 2; renamed++) {
        struct scene scene = scene_create(renamed);
        make(&scene);
        scene_report(&scene);
        struct diagnosis *one = scene_diagnose(&scene), *other = scene_diagnose(&scene);
        assert_non_null(one);
        assert_non_null(other);
        AUTO_FREE char *found = scene_ids(one);
        if (getenv("SCENE_SHOW") && !renamed)
            fprintf(stderr, "%s\n  [%s] %s %s\n", one->verdict, found, one->bucket,
                    one->fingerprint);
        assert_string_equal(found, ids);
        assert_string_equal(one->verdict, other->verdict);
        assert_string_equal(one->fingerprint, other->fingerprint);
        if (verdict && !renamed && strncmp(one->verdict, verdict, strlen(verdict)) != 0)
            assert_string_equal(one->verdict, verdict);
        diagnosis_destroy(one);
        diagnosis_destroy(other);
        scene_destroy(&scene);
    }
}

#endif
