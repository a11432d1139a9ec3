// SPDX-License-Identifier: GPL-3.0-or-later
// Finished values written by hand, for the tests of what renders them: the profile of a small
// service (one hot thread, one that waits for a lock, an idle pool) and a dump of it.
#ifndef TESTS_REPORT_VALUES_H
#define TESTS_REPORT_VALUES_H

#include <string.h>

#include "report/report.h"
#include "util/guard.h"

#define MS 1000000ull
#define S 1000000000ull

enum { HOT, WORK, LOOP, BOOT, SLEEP, LOCK, LOOKUP, WAIT, GET, RANK, POLL, FUNCTIONS };

struct values {
    struct strtab *strings;
    struct snap_source source;
    uint32_t argv[3];
    struct prof_function functions[FUNCTIONS];
    struct prof_line lines[3];
    struct prof_edge edges[8];
    struct prof_node nodes[10];
    struct snap_frame frames[FUNCTIONS];
    uint32_t frame_function[FUNCTIONS];
    uint32_t stack_frames[8][6];
    size_t stack_sizes[8];
    struct prof_stack stacks[12];
    struct prof_thread threads[20];
    struct prof_report profile;
    struct snap_notes notes;
    struct snapshot *snapshot;
    const struct snapshot *snapshots[1];
    struct report_input input;
    struct report_options options;
};

static uint32_t id_of(struct values *v, const char *text)
{
    return strtab_add_cstr(v->strings, text);
}

static void set_function(struct values *v, uint32_t index, enum snap_frame_kind kind,
                         const char *name, const char *file, int32_t line)
{
    struct prof_function *function = &v->functions[index];
    *function = (struct prof_function){.id = index, .kind = kind, .line = line};
    if (kind == SNAP_NATIVE)
        function->function = id_of(v, name);
    else
        function->qualname = id_of(v, name);
    if (kind == SNAP_NATIVE)
        function->module = id_of(v, file);
    else if (file)
        function->file = id_of(v, file);
    v->frames[index] = (struct snap_frame){.kind = kind,
                                           .qualname = function->qualname,
                                           .function = function->function,
                                           .file = function->file,
                                           .module = function->module,
                                           .line = line,
                                           .column = -1,
                                           .first_line = line};
    v->frame_function[index] = index;
}

static void set_weight(struct prof_function *function, uint64_t self, uint64_t total, uint64_t of,
                       uint64_t waiting)
{
    function->self_working = self;
    function->total_working = total;
    function->self = self + (self ? 0 : waiting);
    function->total = total + waiting;
    function->own_working = function->self_working;
    function->own = function->self;
    function->self_cpu_ns = function->own_cpu_ns = self * 200 * MS;
    function->total_cpu_ns = total * 200 * MS;
    double share = (double)self / (double)of, all = (double)total / (double)of;
    function->self_low = share > 0.1 ? share - 0.1 : 0;
    function->self_high = self && share < 0.9 ? share + 0.1 : share;
    function->own_low = function->self_low;
    function->own_high = function->self_high;
    function->total_low = all > 0.1 ? all - 0.1 : 0;
    function->total_high = all < 0.9 ? all + 0.1 : 1;
}

static struct prof_thread *set_thread(struct values *v, size_t index, const char *name,
                                      enum snap_state state, double share, uint32_t top)
{
    struct prof_thread *thread = &v->threads[index];
    *thread = (struct prof_thread){.pid = 4711,
                                   .tid = 4711 + (pid_t)index,
                                   .samples = 50,
                                   .known_to_python = true,
                                   .has_cpu = true,
                                   .cpu_share = share,
                                   .hottest = UINT32_MAX,
                                   .top_frame = top};
    thread->name = id_of(v, name);
    thread->cpu_ns = (uint64_t)(share * 10e9);
    thread->states[state] = 50;
    return thread;
}

static void set_stack(struct values *v, size_t index, pid_t tid, enum snap_state state,
                      size_t frames)
{
    v->stacks[index] = (struct prof_stack){.pid = 4711,
                                           .tid = tid,
                                           .state = state,
                                           .samples = 50,
                                           .frames = v->stack_frames[frames],
                                           .frame_count = v->stack_sizes[frames]};
}

static void set_functions(struct values *v)
{
    static const char app[] = "/srv/shop/shop/app.py", library[] = "/usr/lib/python3.11/queue.py";
    set_function(v, HOT, SNAP_PYTHON, "hot", app, 10);
    set_function(v, WORK, SNAP_PYTHON, "work", app, 44);
    set_function(v, LOOP, SNAP_PYTHON, "Service.loop", "/srv/shop/shop/service.py", 12);
    set_function(v, BOOT, SNAP_PYTHON, "Thread._bootstrap", "/usr/lib/python3.11/threading.py",
                 1000);
    set_function(v, SLEEP, SNAP_BUILTIN, "{built-in method time.sleep}", NULL, -1);
    set_function(v, LOCK, SNAP_BUILTIN, "{method 'acquire' of '_thread.lock' objects}", NULL, -1);
    set_function(v, LOOKUP, SNAP_PYTHON, "Cache.lookup", "/srv/shop/shop/cache.py", 118);
    set_function(v, WAIT, SNAP_PYTHON, "Condition.wait", "/usr/lib/python3.11/threading.py", 288);
    set_function(v, GET, SNAP_PYTHON, "Queue.get", library, 154);
    set_function(v, RANK, SNAP_PYTHON, "rank", app, 60);
    set_function(v, POLL, SNAP_NATIVE, "epoll_wait", "libc.so.6", -1);
    set_weight(&v->functions[HOT], 35, 35, 50, 0);
    set_weight(&v->functions[WORK], 5, 50, 50, 0);
    set_weight(&v->functions[LOOP], 0, 50, 50, 0);
    set_weight(&v->functions[BOOT], 0, 50, 50, 700);
    set_weight(&v->functions[RANK], 10, 10, 50, 0);
    v->functions[HOT].activations = 37;
    v->functions[HOT].longest_snapshots = 1;
    v->functions[RANK].activations = 9;
    v->functions[WORK].activations = 50;
    v->functions[LOOP].activations = 1;
    v->functions[LOOP].longest_snapshots = 50;
    v->functions[LOOP].longest_ns = 9800 * MS;
}

static void set_edge(struct values *v, size_t index, uint32_t caller, uint32_t callee,
                     uint64_t total)
{
    uint64_t cpu_ns = total * 200 * MS;
    v->edges[index] = (struct prof_edge){.caller = caller,
                                         .callee = callee,
                                         .total = total,
                                         .total_working = total,
                                         .cpu_ns = cpu_ns,
                                         .through = total,
                                         .through_working = total,
                                         .through_cpu_ns = cpu_ns};
}

static void set_graph(struct values *v)
{
    v->lines[0] =
        (struct prof_line){.function = HOT, .line = 12, .own_working = 30, .own_cpu_ns = 6 * S};
    v->lines[1] = (struct prof_line){.function = HOT, .line = 13, .own_working = 5};
    v->lines[2] = (struct prof_line){.function = RANK, .line = 61, .own_working = 10};
    set_edge(v, 0, BOOT, LOOP, 50);
    set_edge(v, 1, LOOP, WORK, 50);
    set_edge(v, 2, WORK, HOT, 35);
    set_edge(v, 3, WORK, RANK, 10);
    set_edge(v, 4, RANK, RANK, 8);
    v->profile.edge_count = 5;
    // root > _bootstrap > loop > work > { hot, rank > rank > rank }
    const struct prof_node nodes[] = {
        {.function = UINT32_MAX, .first_child = 1, .samples_working = 50},
        {.function = BOOT, .parent = 0, .first_child = 2, .samples_working = 50},
        {.function = LOOP, .parent = 1, .first_child = 3, .samples_working = 50},
        {.function = WORK, .parent = 2, .first_child = 4, .samples_working = 50, .self_working = 5},
        {.function = HOT,
         .parent = 3,
         .next_sibling = 5,
         .samples_working = 35,
         .self_working = 35},
        {.function = RANK, .parent = 3, .first_child = 6, .samples_working = 10, .self_working = 2},
        {.function = RANK, .parent = 5, .first_child = 7, .samples_working = 8, .self_working = 3},
        {.function = RANK, .parent = 6, .samples_working = 5, .self_working = 5},
    };
    memcpy(v->nodes, nodes, sizeof(nodes));
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        v->nodes[i].cpu_ns = nodes[i].samples_working * 200 * MS;
        v->nodes[i].self_cpu_ns = nodes[i].self_working * 200 * MS;
    }
    v->profile.node_count = ARRAY_SIZE(nodes);
}

static void set_threads(struct values *v)
{
    const uint32_t stacks[8][6] = {{HOT, WORK, LOOP, BOOT},
                                   {LOCK, LOOKUP, LOOP, BOOT},
                                   {LOCK, WAIT, GET, BOOT},
                                   {SLEEP, LOOP, LOOP, BOOT},
                                   {WORK, LOOP, BOOT},
                                   {RANK, WORK, LOOP, BOOT},
                                   {RANK, RANK, WORK, LOOP, BOOT},
                                   {RANK, RANK, RANK, WORK, LOOP, BOOT}};
    const size_t sizes[8] = {4, 4, 4, 4, 3, 4, 5, 6};
    memcpy(v->stack_frames, stacks, sizeof(stacks));
    memcpy(v->stack_sizes, sizes, sizeof(sizes));
    set_thread(v, 0, "pricing", SNAP_RUNNING, 0.98, HOT)->hottest = HOT;
    v->threads[0].states[SNAP_RUNNING] = 45;
    v->threads[0].states[SNAP_GIL_WAIT] = 5;
    set_thread(v, 1, "cache-reader", SNAP_LOCK_WAIT, 0.02, LOCK);
    struct prof_thread *poller = set_thread(v, 2, "poller", SNAP_IO_WAIT, 0.001, POLL);
    poller->known_to_python = false;
    poller->name_from_kernel = true;
    set_thread(v, 3, "MainThread", SNAP_SLEEP, 0, SLEEP);
    for (size_t i = 4; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "worker-%zu", i - 4);
        set_thread(v, i, name, SNAP_LOCK_WAIT, 0, LOCK);
    }
    set_stack(v, 0, 4711, SNAP_RUNNING, 0);
    set_stack(v, 1, 4712, SNAP_LOCK_WAIT, 1);
    set_stack(v, 2, 4714, SNAP_SLEEP, 3);
    for (size_t i = 3; i < 8; i++)
        set_stack(v, i, 4712 + (pid_t)i, SNAP_LOCK_WAIT, 2);
    // The working samples of the thread, as the tree has them.
    const uint64_t samples[] = {35, 5, 2, 3, 5};
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        size_t index = i ? 7 + i : 0;
        set_stack(v, index, 4711, SNAP_RUNNING, i ? 3 + i : 0);
        v->stacks[index].samples = samples[i];
        v->stacks[index].cpu_ns = samples[i] * 200 * MS;
    }
    for (size_t i = 9; i < 20; i++) // idle in the same place, though their stacks are not kept
        v->threads[i].top_frame = LOCK;
}

static void set_profile(struct values *v)
{
    set_functions(v);
    set_graph(v);
    set_threads(v);
    struct prof_report *profile = &v->profile;
    profile->snapshots = 50;
    profile->interval_ns = 200 * MS;
    profile->duration_ns = 10 * S;
    profile->pause_total_ns = 4200000;
    profile->pause_max_ns = 120000;
    profile->pause_median_ns = 84000;
    profile->pause_p95_ns = 110000;
    profile->pause_share = 0.00042;
    profile->interrupted_calls = 1;
    profile->own_cpu_ns = 31 * MS;
    profile->own_cpu_share = 0.0031;
    profile->missed = 2;
    profile->samples = 1000;
    profile->samples_working = 50;
    profile->states[SNAP_RUNNING] = 45;
    profile->states[SNAP_GIL_WAIT] = 5;
    profile->has_process_cpu = true;
    profile->process_cpu_ns = 10200 * MS;
    profile->cpu_on_stacks_ns = 10 * S;
    profile->cpu_between_ns = 100 * MS;
    profile->cpu_unseen_ns = 100 * MS;
    profile->functions = v->functions;
    profile->function_count = FUNCTIONS;
    profile->lines = v->lines;
    profile->line_count = ARRAY_SIZE(v->lines);
    profile->edges = v->edges;
    profile->nodes = v->nodes;
    profile->frames = v->frames;
    profile->frame_function = v->frame_function;
    profile->frame_count = FUNCTIONS;
    profile->stacks = v->stacks;
    profile->stack_count = ARRAY_SIZE(v->stacks);
    profile->threads = v->threads;
    profile->thread_count = ARRAY_SIZE(v->threads);
    v->input.profile = profile;
}

static const char *read_line(void *arg, const char *file, int32_t line, bool *ret_newer)
{
    (void)arg;
    *ret_newer = line == 13;
    return strstr(file, "app.py") ? line == 12 ? "        price = (price * 31) % 10007\n" : "x = 1"
                                  : NULL;
}

static struct values *values_create(void)
{
    struct values *v = calloc(1, sizeof(*v));
    v->strings = strtab_create();
    v->argv[0] = id_of(v, "/usr/bin/python3");
    v->argv[1] = id_of(v, "serve.py");
    v->argv[2] = id_of(v, "--name=a b");
    v->source = (struct snap_source){.kind = SNAP_LIVE,
                                     .pid = 4711,
                                     .complete = true,
                                     .arch = id_of(v, "x86_64"),
                                     .host = id_of(v, "web-3"),
                                     .taken_at_ns = 1795317120ll * 1000000000};
    v->source.process = (struct snap_process){.pid = 4711,
                                              .exe = id_of(v, "/usr/bin/python3.11"),
                                              .argv = v->argv,
                                              .argc = 3,
                                              .python_version = id_of(v, "3.11.7"),
                                              .python_build = id_of(v, "release")};
    v->snapshot = snapshot_create();
    v->snapshots[0] = v->snapshot;
    v->input = (struct report_input){.tool_version = "0.1.0",
                                     .strings = v->strings,
                                     .command = "pycore snap 4711 -n 50",
                                     .source = &v->source,
                                     .snapshots = v->snapshots,
                                     .snapshot_count = 1,
                                     .source_reader = {read_line, NULL},
                                     .notes = &v->notes};
    return v;
}

static void values_destroy(struct values **place)
{
    struct values *v = *place;
    snapshot_destroy(v->snapshot);
    vec_deinit(&v->notes);
    strtab_destroy(v->strings);
    free(v);
}

static inline struct snap_thread *add_thread(struct values *v, const char *name,
                                             enum snap_state state)
{
    struct snap_thread thread = {.pid = 4711,
                                 .name = id_of(v, name),
                                 .state = state,
                                 .known_to_python = true,
                                 .python_id = 1};
    thread.tid = 4711 + (pid_t)v->snapshot->threads.count;
    vec_push(&v->snapshot->threads, thread);
    return &v->snapshot->threads.items[v->snapshot->threads.count - 1];
}

static inline struct snap_frame *add_frame(struct values *v, struct snap_thread *thread,
                                           const char *name, const char *file, int32_t line)
{
    struct snap_frame frame = {.kind = SNAP_PYTHON,
                               .function = id_of(v, name),
                               .line = line,
                               .column = -1,
                               .first_line = 1};
    frame.file = file ? id_of(v, file) : 0;
    vec_push(&thread->frames, frame);
    return &thread->frames.items[thread->frames.count - 1];
}

// The report as text; to be freed.
static inline char *render(report_fn *report, struct values *v)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    struct err *err = report(out, &v->input, &v->options);
    fclose(out);
    if (err) {
        err_destroy(err);
        free(bytes);
        return NULL;
    }
    return bytes;
}

#define VALUES __attribute__((cleanup(values_destroy))) struct values *

// The profile of values_create() with native code in the hottest function.
static inline void set_natives(struct values *v)
{
    set_profile(v);
    set_function(v, POLL, SNAP_NATIVE, "dgemm_kernel", "libblas.so.3", -1);
    struct prof_function *hot = &v->functions[HOT], *native = &v->functions[POLL];
    set_weight(native, 30, 30, 50, 0);
    native->own = native->own_working = native->own_cpu_ns = 0;
    hot->self_working = hot->self = 5;
    hot->self_cpu_ns = 1 * S;
    // What a stack was in: 25 of hot() are in the kernel, and 5 of rank().
    const uint32_t frames[2][6] = {{POLL, HOT, WORK, LOOP}, {POLL, LOCK, RANK, WORK}};
    memcpy(v->stack_frames[2], frames, sizeof(frames));
    set_stack(v, 3, 4711, SNAP_RUNNING, 2);
    set_stack(v, 4, 4711, SNAP_RUNNING, 3);
    v->stacks[3].samples = 25;
    v->stacks[4].samples = 5;
    v->profile.stack_count = 5;
    set_edge(v, 5, HOT, POLL, 30);
    v->edges[5].through = v->edges[5].through_working = v->edges[5].through_cpu_ns = 0;
    v->profile.edge_count = 6;
}

// Of the Markdown report, which is not wrapped.
static inline void check_says(struct values *v, const char *wanted, bool says)
{
    char *text = render(report_md, v);
    assert_non_null(text);
    if ((strstr(text, wanted) != NULL) != says)
        fail_msg("%s \"%s\" in:\n%s", says ? "no" : "an unwanted", wanted, text);
    free(text);
}

#endif
