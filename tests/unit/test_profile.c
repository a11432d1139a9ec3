// SPDX-License-Identifier: GPL-3.0-or-later
// The profile: counts and CPU time worked out by hand, activations, bounds, the order of a report,
// and stacks and runs that are too large.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "profile/bounds.h"
#include "profile/interval.h"
#include "profile/profile.h"
#include "profile_run.h"

#define MS 1000000u

// ---- Feeding and asking -------------------------------------------------------------------------

static struct snap_thread *thread(struct run *run, pid_t tid, enum snap_state state,
                                  const char *stack)
{
    struct snap_thread *made = make_thread(run->strings, run->snapshot, tid, state, stack);
    assert_non_null(made);
    return made;
}

// The same with CPU time used since the last snapshot.
static void thread_cpu(struct run *run, pid_t tid, enum snap_state state, uint64_t cpu_ns,
                       const char *stack)
{
    struct snap_thread *made = thread(run, tid, state, stack);
    made->has_cpu = true;
    made->cpu_ns = cpu_ns;
}

// Adds what was made; the next snapshot is 200 ms later.
static void add(struct run *run)
{
    run->snapshot->at_ns = run->at_ns;
    assert_true(profile_add(run->profile, run->snapshot));
    snapshot_destroy(run->snapshot);
    run->snapshot = snapshot_create();
    assert_non_null(run->snapshot);
    run->at_ns += 200 * MS;
}

static const struct prof_report *report(struct run *run)
{
    struct prof_run about = {.interval_ns = 200 * MS, .duration_ns = 800 * MS, .missed = 3};
    prof_report_destroy(run->report);
    run->report = profile_report(run->profile, &about);
    assert_non_null(run->report);
    return run->report;
}

static const char *name(const struct run *run, uint32_t function)
{
    if (function == UINT32_MAX)
        return "(root)";
    const char *text = strtab_get(run->strings, run->report->functions[function].function);
    return text ? text : "(none)";
}

static const struct prof_function *function(const struct run *run, const char *text)
{
    for (size_t i = 0; i < run->report->function_count; i++)
        if (strcmp(name(run, (uint32_t)i), text) == 0)
            return &run->report->functions[i];
    fail_msg("no function %s", text);
    return NULL;
}

static const struct prof_edge *edge(const struct run *run, const char *caller, const char *callee)
{
    for (size_t i = 0; i < run->report->edge_count; i++) {
        const struct prof_edge *found = &run->report->edges[i];
        if (strcmp(name(run, found->caller), caller) == 0 &&
            strcmp(name(run, found->callee), callee) == 0)
            return found;
    }
    fail_msg("no edge %s -> %s", caller, callee);
    return NULL;
}

// The tree as text: "(root) 4/3 self 0\n main 4/3 self 1 ...", samples/working.
static void tree_text(const struct run *run, char *text, size_t size)
{
    const struct prof_node *nodes = run->report->nodes;
    size_t used = 0;
    int depth = 0;
    text[0] = '\0';
    for (uint32_t i = 0;;) {
        used += (size_t)snprintf(text + used, size - used, "%*s%s %d/%d self %d/%d cpu %d/%d\n",
                                 depth, "", name(run, nodes[i].function), (int)nodes[i].samples,
                                 (int)nodes[i].samples_working, (int)nodes[i].self,
                                 (int)nodes[i].self_working, (int)(nodes[i].cpu_ns / MS),
                                 (int)(nodes[i].self_cpu_ns / MS));
        assert_true(used < size);
        if (nodes[i].first_child) {
            assert_int_equal(nodes[nodes[i].first_child].parent, i);
            i = nodes[i].first_child;
            depth++;
            continue;
        }
        while (i && !nodes[i].next_sibling) {
            i = nodes[i].parent;
            depth--;
        }
        if (!i)
            return;
        i = nodes[i].next_sibling;
    }
}

static void assert_counts(const struct run *run, const char *text, uint64_t self_working,
                          uint64_t total_working, uint64_t self, uint64_t total)
{
    const struct prof_function *f = function(run, text);
    assert_int_equal(f->self_working, self_working);
    assert_int_equal(f->total_working, total_working);
    assert_int_equal(f->self, self);
    assert_int_equal(f->total, total);
}

static void assert_calls(const struct run *run, const char *text, uint64_t activations,
                         uint64_t longest_snapshots, uint64_t longest_ms)
{
    const struct prof_function *f = function(run, text);
    if (f->activations != activations || f->longest_snapshots != longest_snapshots ||
        f->longest_ns != longest_ms * MS)
        print_message("%s: %d activations, %d snapshots, %d ms\n", text, (int)f->activations,
                      (int)f->longest_snapshots, (int)(f->longest_ns / MS));
    assert_int_equal(f->activations, activations);
    assert_int_equal(f->longest_snapshots, longest_snapshots);
    assert_int_equal(f->longest_ns, longest_ms * MS);
}

// ---- Counts -------------------------------------------------------------------------------------

// Three snapshots of two threads. Thread 1: hot <- work <- main, then sum! <- work <- main, then
// work <- main, always at work. Thread 2: waits in a lock, but works in hot the last time.
static void feed_three(struct run *run)
{
    run->snapshot->pause_ns = 100;
    run->snapshot->has_process_cpu = true;
    run->snapshot->process_cpu_ns = 10 * MS;
    thread_cpu(run, 1, SNAP_RUNNING, 0, "hot:11 work:21 main:31");
    thread_cpu(run, 2, SNAP_LOCK_WAIT, 0, "acquire! pool:41");
    add(run);
    run->snapshot->pause_ns = 700;
    run->snapshot->has_process_cpu = true;
    run->snapshot->process_cpu_ns = 200 * MS;
    thread_cpu(run, 1, SNAP_RUNNABLE, 150 * MS, "sum! work:22 main:31");
    thread_cpu(run, 2, SNAP_LOCK_WAIT, 7 * MS, "acquire! pool:41");
    add(run);
    run->snapshot->pause_ns = 300;
    run->snapshot->has_process_cpu = true;
    run->snapshot->process_cpu_ns = 200 * MS;
    thread_cpu(run, 1, SNAP_RUNNING, 120 * MS, "work:22 main:32");
    thread_cpu(run, 2, SNAP_RUNNING, 60 * MS, "hot:12 pool:42");
    add(run);
}

static void test_functions(void **state)
{
    struct run *run = *state;
    feed_three(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->snapshots, 3);
    assert_int_equal(r->samples, 6);
    assert_int_equal(r->samples_working, 4);
    assert_int_equal(r->states[SNAP_RUNNING], 3);
    assert_int_equal(r->states[SNAP_RUNNABLE], 1);
    assert_int_equal(r->states[SNAP_LOCK_WAIT], 2);
    assert_int_equal(r->function_count, 6);
    assert_counts(run, "hot", 2, 2, 2, 2);
    assert_counts(run, "sum", 1, 1, 1, 1);
    assert_counts(run, "work", 1, 3, 1, 3);
    assert_counts(run, "main", 0, 3, 0, 3);
    assert_counts(run, "acquire", 0, 0, 2, 2);
    assert_counts(run, "pool", 0, 1, 0, 3);
    assert_int_equal(function(run, "acquire")->states[SNAP_LOCK_WAIT], 2);
    // By self_working, then total_working.
    const char *order[] = {"hot", "work", "sum", "main", "pool", "acquire"};
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(name(run, (uint32_t)i), order[i]);
        assert_int_equal(r->functions[i].id, i);
    }
}

static void test_cpu(void **state)
{
    struct run *run = *state;
    feed_three(run);
    const struct prof_report *r = report(run);
    assert_int_equal(function(run, "hot")->self_cpu_ns, 60 * MS);
    assert_int_equal(function(run, "sum")->self_cpu_ns, 150 * MS);
    assert_int_equal(function(run, "work")->self_cpu_ns, 120 * MS);
    assert_int_equal(function(run, "work")->total_cpu_ns, 270 * MS);
    assert_int_equal(function(run, "main")->total_cpu_ns, 270 * MS);
    assert_int_equal(function(run, "pool")->total_cpu_ns, 60 * MS);
    assert_int_equal(function(run, "acquire")->total_cpu_ns, 0);
    assert_int_equal(r->cpu_on_stacks_ns, 330 * MS);
    assert_int_equal(r->cpu_between_ns, 7 * MS);
    assert_true(r->has_process_cpu);
    assert_int_equal(r->process_cpu_ns, 410 * MS);
    assert_int_equal(r->cpu_unseen_ns, 73 * MS);
    // Thread 1 first: it used more.
    assert_int_equal(r->thread_count, 2);
    assert_int_equal(r->threads[0].tid, 1);
    assert_int_equal(r->threads[0].cpu_ns, 270 * MS);
    assert_int_equal(r->threads[0].cpu_between_ns, 0);
    assert_true(r->threads[0].cpu_share > 0.337 && r->threads[0].cpu_share < 0.338);
    assert_int_equal(r->threads[1].cpu_ns, 67 * MS);
    assert_int_equal(r->threads[1].cpu_between_ns, 7 * MS);
    assert_int_equal(r->threads[1].states[SNAP_LOCK_WAIT], 2);
    assert_string_equal(name(run, r->threads[1].hottest), "hot");
    assert_string_equal(name(run, r->threads[1].top_frame), "acquire");
    // Three functions were innermost once each: the first of the report's order.
    assert_string_equal(name(run, r->threads[0].hottest), "hot");
}

static void test_lines_and_edges(void **state)
{
    struct run *run = *state;
    feed_three(run);
    const struct prof_report *r = report(run);
    // hot 11, 12; work 21, 22; main 31, 32; pool 41, 42; builtins have no line.
    assert_int_equal(r->line_count, 8);
    assert_int_equal(r->frame_count, 10);
    for (size_t i = 0; i < r->line_count; i++)
        assert_int_equal(r->lines[i].own, r->lines[i].self);
    const struct prof_line *line = &r->lines[0];
    assert_string_equal(name(run, line->function), "work"); // self 1 each; in 2 stacks
    assert_int_equal(line->line, 22);
    assert_int_equal(line->self_working, 1);
    assert_int_equal(line->total_working, 2);
    assert_int_equal(line->self_cpu_ns, 120 * MS);
    assert_int_equal(line->total_cpu_ns, 270 * MS);
    assert_int_equal(r->lines[1].line, 11);
    assert_int_equal(r->lines[2].line, 12);
    for (size_t i = 0; i < r->line_count; i++) {
        if (r->lines[i].line != 41)
            continue;
        assert_int_equal(r->lines[i].total_working, 0);
        assert_int_equal(r->lines[i].total, 2);
        assert_int_equal(r->lines[i].self, 0);
    }
    assert_int_equal(r->edge_count, 5);
    assert_int_equal(edge(run, "main", "work")->total_working, 3);
    assert_int_equal(edge(run, "main", "work")->cpu_ns, 270 * MS);
    assert_int_equal(edge(run, "work", "hot")->total, 1);
    assert_int_equal(edge(run, "pool", "acquire")->total, 2);
    assert_int_equal(edge(run, "pool", "acquire")->total_working, 0);
    assert_string_equal(name(run, r->edges[0].caller), "main");
    for (size_t i = 0; i < r->frame_count; i++) {
        const struct prof_function *f = &r->functions[r->frame_function[i]];
        assert_int_equal(f->function, r->frames[i].function);
        assert_int_equal(r->frames[i].activation, 0);
    }
}

static void test_tree_and_stacks(void **state)
{
    struct run *run = *state;
    feed_three(run);
    const struct prof_report *r = report(run);
    char text[1000];
    tree_text(run, text, sizeof(text));
    assert_string_equal(text, "(root) 6/4 self 0/0 cpu 330/0\n"
                              " main 3/3 self 0/0 cpu 270/0\n"
                              "  work 3/3 self 1/1 cpu 270/120\n"
                              "   hot 1/1 self 1/1 cpu 0/0\n"
                              "   sum 1/1 self 1/1 cpu 150/150\n"
                              " pool 3/1 self 0/0 cpu 60/0\n"
                              "  hot 1/1 self 1/1 cpu 60/60\n"
                              "  acquire 2/0 self 2/0 cpu 0/0\n");
    assert_int_equal(r->node_count, 8);
    assert_int_equal(r->stack_count, 5);
    const struct prof_stack *stack = &r->stacks[0]; // the only one that was seen twice
    assert_int_equal(stack->samples, 2);
    assert_int_equal(stack->tid, 2);
    assert_int_equal(stack->state, SNAP_LOCK_WAIT);
    assert_int_equal(stack->cpu_ns, 0);
    assert_int_equal(stack->frame_count, 2);
    assert_string_equal(name(run, r->frame_function[stack->frames[0]]), "acquire");
    assert_int_equal(r->frames[stack->frames[1]].line, 41);
    assert_int_equal(r->stacks[1].cpu_ns, 150 * MS); // then by CPU time
    assert_int_equal(r->stacks[2].cpu_ns, 120 * MS);
    assert_int_equal(r->dropped_stacks, 0);
}

static void test_pauses(void **state)
{
    struct run *run = *state;
    feed_three(run);
    assert_int_equal(report(run)->pause_total_ns, 1100);
    assert_int_equal(run->report->pause_max_ns, 700);
    assert_int_equal(run->report->pause_median_ns, 300);
    assert_int_equal(run->report->pause_p95_ns, 700);
    assert_int_equal(run->report->interval_ns, 200 * MS);
    assert_int_equal(run->report->duration_ns, 800 * MS);
    assert_int_equal(run->report->missed, 3);
    run->snapshot->pause_ns = 600;
    add(run);
    assert_int_equal(report(run)->pause_median_ns, 450); // of 100 300 600 700
}

// However often a function is on a stack, the sample counts once for it, its line and its edges.
// ---- Native frames ------------------------------------------------------------------------------

static void assert_own(const struct run *run, const char *text, uint64_t own_working, uint64_t own)
{
    const struct prof_function *f = function(run, text);
    assert_int_equal(f->own_working, own_working);
    assert_int_equal(f->own, own);
}

// Thread 1 computes, mostly in native code that a builtin or a Python function called; thread 2 has
// no Python frame.
static void feed_natives(struct run *run)
{
    thread_cpu(run, 1, SNAP_RUNNING, 100 * MS,
               "memmove~@16 sort~@32 sort! hot:11 main:31 start~@9");
    thread_cpu(run, 2, SNAP_RUNNING, 50 * MS, "spin~@7 clone~@8");
    add(run);
    thread_cpu(run, 1, SNAP_RUNNING, 100 * MS, "memmove~@24 long_add~@48 hot:12 main:31 start~@9");
    thread_cpu(run, 2, SNAP_LOCK_WAIT, 0, "futex~@5 clone~@8");
    add(run);
    // hot calls key through native code, and key is at work itself.
    thread_cpu(run, 1, SNAP_RUNNING, 100 * MS, "key:51 sort~@40 hot:12 main:31 start~@9");
    add(run);
}

static void test_native_functions(void **state)
{
    struct run *run = *state;
    feed_natives(run);
    report(run);
    // self is the innermost of whatever kind, own the innermost with a name in Python.
    assert_counts(run, "memmove", 2, 2, 2, 2);
    assert_own(run, "memmove", 0, 0);
    assert_counts(run, "hot", 0, 3, 0, 3);
    assert_own(run, "hot", 1, 1);
    const struct prof_function *builtin = NULL, *native = NULL;
    for (size_t i = 0; i < run->report->function_count; i++) {
        const struct prof_function *f = &run->report->functions[i];
        if (strcmp(name(run, (uint32_t)i), "sort") == 0)
            *(f->kind == SNAP_BUILTIN ? &builtin : &native) = f;
    }
    assert_int_equal(builtin->own_working, 1); // for its native code
    assert_int_equal(builtin->self, 0);
    assert_int_equal(builtin->own_cpu_ns, 100 * MS);
    assert_int_equal(native->total, 2); // at two addresses: one function
    assert_int_equal(native->own, 0);
    assert_own(run, "key", 1, 1);
    // Without anything of Python's above it, it is its own.
    assert_own(run, "spin", 1, 1);
    assert_own(run, "futex", 0, 1);
    assert_own(run, "clone", 0, 0);
    assert_true(builtin->own_low > 0 && builtin->own_low == builtin->total_low);
    assert_true(builtin->own_high == builtin->total_high);
    assert_true(native->own_low == 0);
    uint64_t own = 0, self = 0;
    for (size_t i = 0; i < run->report->function_count; i++) {
        own += run->report->functions[i].own;
        self += run->report->functions[i].self;
    }
    assert_int_equal(own, 5);
    assert_int_equal(self, 5);
}

static void test_native_lines_and_edges(void **state)
{
    struct run *run = *state;
    feed_natives(run);
    const struct prof_report *r = report(run);
    uint32_t hot = function(run, "hot")->id, key = function(run, "key")->id;
    for (size_t i = 0; i < r->line_count; i++)
        if (r->lines[i].function == hot && r->lines[i].line == 12) {
            assert_int_equal(r->lines[i].own, 1);
            assert_int_equal(r->lines[i].self, 0);
            assert_int_equal(r->lines[i].own_cpu_ns, 100 * MS);
        }
    const struct prof_edge *through = NULL;
    for (size_t i = 0; i < r->edge_count; i++)
        if (r->edges[i].caller == hot && r->edges[i].callee == key)
            through = &r->edges[i];
    assert_non_null(through);
    assert_int_equal(through->total, 0);
    assert_int_equal(through->through, 1);
    assert_int_equal(through->through_cpu_ns, 100 * MS);
    assert_int_equal(edge(run, "main", "hot")->through, 3);
    assert_int_equal(edge(run, "main", "hot")->total, 3);
    assert_int_equal(edge(run, "hot", "long_add")->total, 1);
    assert_int_equal(edge(run, "hot", "long_add")->through, 0);
    // What a thread is in, is told in Python's words.
    // (Three had one sample each: the first in order, and never memmove, which has two.)
    assert_string_equal(name(run, r->threads[0].hottest), "key");
    assert_string_equal(name(run, r->threads[1].hottest), "spin");
    assert_int_equal(r->dropped_edges, 0);
}

// Code without a symbol is one function for each module, wherever in it a thread was.
static void test_native_identity(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 50; i++) {
        char text[64];
        snprintf(text, sizeof(text), "~@%d f~@%d main:31", 4096 + i, 8192 + i);
        struct snap_thread *t = thread(run, 1, SNAP_RUNNING, text);
        t->frames.items[0].first_line = t->frames.items[1].first_line = i; // whatever is there
        t->frames.items[0].line = i;
        if (i == 49)
            t->frames.items[0].module = strtab_add_cstr(run->strings, "libfoo.so");
        add(run);
    }
    const struct prof_report *r = report(run);
    assert_int_equal(r->function_count, 4);
    assert_int_equal(r->frame_count, 4);
    assert_int_equal(r->stack_count, 2);
    for (size_t i = 0; i < r->function_count; i++)
        if (!r->functions[i].function)
            assert_true(r->functions[i].self == 49 || r->functions[i].self == 1);
    for (size_t i = 0; i < r->frame_count; i++)
        if (r->frames[i].kind == SNAP_NATIVE && r->functions[r->frame_function[i]].total > 1)
            assert_true(r->frames[i].address == SNAP_NO_ADDRESS && r->frames[i].offset == 0);
    // Each time it returned elsewhere: f called it anew, and main did not.
    assert_int_equal(function(run, "(none)")->activations, 49);
    assert_int_equal(function(run, "f")->activations, 1);
}

static void test_cost_of_a_run(void **state)
{
    struct run *run = *state;
    for (unsigned i = 1; i <= 40; i++) {
        run->snapshot->pause_ns = i * 1000;
        run->snapshot->threads_stopped = i % 2;
        run->snapshot->interrupted_calls = i == 7;
        run->snapshot->overran = i > 38;
        run->snapshot->stopped = i == 40;
        thread(run, 1, SNAP_SLEEP, "main:1")->held_still = i > 10;
        thread(run, 2, SNAP_RUNNING, "main:1");
        add(run);
    }
    struct prof_run about = {.duration_ns = 10 * MS, .own_cpu_ns = 2 * MS};
    struct prof_report *r = profile_report(run->profile, &about);
    assert_int_equal(r->pause_total_ns, 820000);
    assert_int_equal(r->pause_median_ns, 20500);
    assert_int_equal(r->pause_p95_ns, 38000); // of 40, 38 are not longer
    assert_int_equal(r->pause_max_ns, 40000);
    assert_true(r->pause_share > 0.0819 && r->pause_share < 0.0821);
    assert_int_equal(r->threads_stopped, 20);
    assert_int_equal(r->interrupted_calls, 1);
    assert_int_equal(r->overruns, 2);
    assert_int_equal(r->held_still, 31);
    assert_int_equal(r->own_cpu_ns, 2 * MS);
    assert_true(r->own_cpu_share > 0.199 && r->own_cpu_share < 0.201);
    prof_report_destroy(r);
}

// ---- More of counts ------------------------------------------------------------------------------

static void test_recursion(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_RUNNING, "f:5 g:6 f:5 g:6 f:5 f:5 main:1");
    add(run);
    const struct prof_report *r = report(run);
    assert_counts(run, "f", 1, 1, 1, 1);
    assert_counts(run, "g", 0, 1, 0, 1);
    assert_int_equal(edge(run, "f", "g")->total, 1);
    assert_int_equal(edge(run, "g", "f")->total, 1);
    assert_int_equal(edge(run, "f", "f")->total, 1);
    assert_int_equal(edge(run, "main", "f")->total, 1);
    assert_int_equal(r->edge_count, 4);
    assert_int_equal(r->lines[0].total, 1);
    assert_int_equal(r->node_count, 8);
    assert_int_equal(r->stacks[0].frame_count, 7);
    // At two lines: each counts, the function once.
    thread(run, 1, SNAP_RUNNING, "f:5 f:6 main:1");
    add(run);
    r = report(run);
    assert_counts(run, "f", 2, 2, 2, 2);
    assert_int_equal(r->lines[0].line, 5);
    assert_int_equal(r->lines[0].total, 2);
    assert_int_equal(r->line_count, 4);
}

// The same stack of a thread at work and waiting, and of another thread, are three.
static void test_stacks_of_states(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_RUNNING, "f:5");
    thread(run, 2, SNAP_RUNNING, "f:5");
    add(run);
    thread(run, 1, SNAP_SLEEP, "f:5");
    thread(run, 2, SNAP_RUNNING, "f:5");
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->stack_count, 3);
    assert_int_equal(r->stacks[0].samples, 2);
    assert_int_equal(r->stacks[0].tid, 2);
    assert_int_equal(r->stacks[1].state, SNAP_RUNNING);
    assert_int_equal(r->stacks[2].state, SNAP_SLEEP);
    assert_int_equal(r->node_count, 2);
    // Seen equally often: by TID.
    thread(run, 9, SNAP_RUNNING, "f:5");
    thread(run, 8, SNAP_RUNNING, "f:5");
    add(run);
    r = report(run);
    assert_int_equal(r->stack_count, 5);
    assert_int_equal(r->stacks[3].tid, 8);
    assert_int_equal(r->stacks[4].tid, 9);
}

// Threads without frames, unreadable frames, and names that differ in one part of the key only.
static void test_odd_frames(void **state)
{
    struct run *run = *state;
    thread_cpu(run, 1, SNAP_RUNNING, 5 * MS, "");
    struct snap_thread *t = thread(run, 2, SNAP_UNKNOWN, "f:3 f:3 f:3 f:3 f~ f! f~");
    t->frames.items[0].function = 0;
    t->frames.items[0].flags = SNAP_FRAME_UNREADABLE;
    t->frames.items[1].first_line = 2;
    t->frames.items[2].file = strtab_add_cstr(run->strings, "other.py");
    t->frames.items[3].qualname = strtab_add_cstr(run->strings, "C.f");
    t->frames.items[5].flags = SNAP_FRAME_INFERRED;
    t->frames.items[6].module = strtab_add_cstr(run->strings, "libm.so.6");
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->function_count, 7);
    assert_int_equal(function(run, "(none)")->self, 1);
    assert_int_equal(function(run, "(none)")->self_working, 0);
    assert_int_equal(r->samples_working, 1);
    assert_int_equal(r->cpu_on_stacks_ns, 5 * MS);
    assert_int_equal(r->nodes[0].self, 1);
    assert_int_equal(r->stack_count, 2);
    for (size_t i = 0; i < r->function_count; i++)
        assert_int_equal(r->functions[i].inferred, r->functions[i].kind == SNAP_BUILTIN);
    // Read once: no longer always concluded.
    thread(run, 2, SNAP_UNKNOWN, "f!");
    add(run);
    r = report(run);
    for (size_t i = 0; i < r->function_count; i++)
        assert_false(r->functions[i].inferred);
}

// A frame of the report says of column, address and flags what all its samples agree on.
static void test_frames_agree(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 2; i++) {
        struct snap_thread *t = thread(run, 1, SNAP_RUNNING, "read~ f:3 main:4");
        t->frames.items[0].address = 0x1000 + (uint64_t)i;
        t->frames.items[1].column = 7 + i;
        t->frames.items[2].column = 9;
        t->frames.items[2].flags = SNAP_FRAME_GENERATOR | (i ? SNAP_FRAME_INCOMPLETE : 0);
        add(run);
    }
    const struct prof_report *r = report(run);
    assert_int_equal(r->frame_count, 3);
    for (size_t i = 0; i < 3; i++) {
        bool is_main = r->frames[i].line == 4;
        assert_int_equal(r->frames[i].column, is_main ? 9 : -1);
        assert_int_equal(r->frames[i].flags, is_main ? SNAP_FRAME_GENERATOR : 0);
        bool is_native = r->frames[i].kind == SNAP_NATIVE;
        assert_true(r->frames[i].address == (is_native ? SNAP_NO_ADDRESS : 0));
    }
}

// Clocks that are read one after the other may disagree by a little: never a negative rest.
static void test_cpu_skew(void **state)
{
    struct run *run = *state;
    run->snapshot->has_process_cpu = true;
    run->snapshot->process_cpu_ns = 9;
    thread_cpu(run, 1, SNAP_RUNNING, 8, "f:1");
    thread_cpu(run, 2, SNAP_SLEEP, 2, "f:1");
    add(run);
    assert_int_equal(report(run)->cpu_unseen_ns, 0);
    assert_int_equal(run->report->cpu_on_stacks_ns, 8);
    assert_int_equal(run->report->cpu_between_ns, 2);
}

// ---- Activations --------------------------------------------------------------------------------

static void test_activations(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_RUNNING, "leaf:1#11 main:1#1");
    add(run);
    thread(run, 1, SNAP_RUNNING, "leaf:1#11 main:2#1");
    add(run);
    thread(run, 1, SNAP_RUNNING, "leaf:2#12 main:2#1"); // another call of leaf
    add(run);
    report(run);
    assert_calls(run, "main", 1, 3, 400);
    assert_calls(run, "leaf", 2, 2, 200);
    thread(run, 2, SNAP_RUNNING, "leaf:2#12 main:2#1"); // ids are of one thread
    add(run);
    report(run);
    assert_calls(run, "main", 2, 3, 400);
    assert_calls(run, "leaf", 3, 2, 200);
    thread(run, 1, SNAP_RUNNING, "leaf:2#12 main:2#1"); // was not in the last snapshot
    add(run);
    report(run);
    assert_calls(run, "main", 3, 3, 400);
    assert_calls(run, "leaf", 4, 2, 200);
}

// A filter lets a thread's samples through now and then: that is no other call each time.
static void test_left_out(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 5; i++) {
        struct snap_thread *made = thread(run, 1, SNAP_RUNNING, "leaf:1#11 main:1#1");
        made->left_out = i % 2;
        made->has_cpu = true;
        made->cpu_ns = 100;
        thread(run, 2, SNAP_RUNNING, "other:1#21 main:1#2")->left_out = true;
        add(run);
    }
    report(run);
    assert_calls(run, "main", 1, 5, 800);
    assert_calls(run, "leaf", 1, 5, 800);
    assert_int_equal(run->report->snapshots, 5);
    assert_int_equal(run->report->samples, 3);
    assert_int_equal(run->report->samples_working, 3);
    assert_int_equal(run->report->cpu_on_stacks_ns, 300);
    assert_int_equal(run->report->thread_count, 1);
    assert_int_equal(run->report->function_count, 2);
    // A thread that is gone for a snapshot is another matter, filter or not.
    thread(run, 3, SNAP_RUNNING, "main:1#3");
    add(run);
    thread(run, 1, SNAP_RUNNING, "leaf:1#11 main:1#1");
    add(run);
    report(run);
    assert_calls(run, "leaf", 2, 5, 800);
}

// Which stacks each snapshot had, whatever the order of the stacks in the report.
static void test_moments(void **state)
{
    struct run *run = *state;
    static const char *const stacks[] = {"a:1 main:1", "b:1 main:1", "b:1 main:1"};
    for (size_t i = 0; i < 3; i++) {
        thread(run, 1, SNAP_RUNNING, stacks[i])->holds_gil = i == 1;
        run->snapshot->threads.items[0].has_holds_gil = true;
        thread(run, 2, SNAP_SLEEP, "");
        add(run);
    }
    const struct prof_report *r = report(run);
    assert_int_equal(r->moment_count, 3);
    assert_int_equal(r->dropped_moments, 0);
    assert_int_equal(r->stack_count, 4); // that with the GIL is one of its own
    for (size_t i = 0; i < 3; i++) {
        const struct prof_moment *moment = &r->moments[i];
        assert_int_equal(moment->at_ns, i * 200 * MS);
        assert_int_equal(moment->count, 2);
        const struct prof_stack *working = &r->stacks[r->moment_stacks[moment->first]];
        assert_int_equal(working->tid, 1);
        assert_int_equal(working->holds_gil, i == 1);
        assert_string_equal(name(run, r->frame_function[working->frames[0]]), i ? "b" : "a");
        assert_int_equal(r->stacks[r->moment_stacks[moment->first + 1]].tid, 2);
    }
}

static void test_activations_of_recursion(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_RUNNING, "f:1#3 f:1#2 f:1#1 main:1#9");
    add(run);
    report(run);
    assert_calls(run, "f", 3, 1, 0);
    // Two returned, two other ones were called; the id of another function is another call.
    thread(run, 1, SNAP_RUNNING, "g:1#3 f:1#5 f:1#4 f:1#1 main:1#9");
    add(run);
    report(run);
    assert_calls(run, "f", 5, 2, 200);
    assert_calls(run, "g", 1, 1, 0);
    // The outermost frames were out of reach this time: the others are found all the same.
    thread(run, 1, SNAP_RUNNING, "g:1#3 f:1#5 f:1#4");
    add(run);
    report(run);
    assert_calls(run, "f", 5, 2, 200);
    assert_calls(run, "g", 1, 2, 200);
    // They are back.
    thread(run, 1, SNAP_RUNNING, "g:1#3 f:1#5 f:1#4 f:1#1 main:1#9");
    add(run);
    report(run);
    assert_calls(run, "f", 6, 3, 400); // f:1#1, of which nothing was seen in between
    assert_calls(run, "g", 1, 3, 400);
    // And an id that stands twice where it cannot is one call.
    thread(run, 1, SNAP_RUNNING, "f:1#77 f:1#77");
    add(run);
    report(run);
    assert_calls(run, "f", 7, 3, 400);
}

static void test_activations_of_generators(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_RUNNING, "gen:1#5* loop:1#1");
    add(run);
    thread(run, 1, SNAP_RUNNING, "loop:1#1");
    add(run);
    thread(run, 1, SNAP_RUNNING, "gen:2#5* loop:1#1");
    add(run);
    thread(run, 1, SNAP_RUNNING, "gen:2#5* loop:1#1");
    add(run);
    report(run);
    assert_calls(run, "gen", 1, 2, 200); // seen in a row, not in all
    assert_calls(run, "loop", 1, 4, 600);
    thread(run, 1, SNAP_RUNNING, "gen:2#6* loop:1#1");
    add(run);
    report(run);
    assert_calls(run, "gen", 2, 2, 200);
}

// Only so many are remembered, but those that were seen lately.
static void test_many_generators(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < 3 * PROF_GENERATORS_MAX / 100; i++) {
        struct snap_thread *t = thread(run, 1, SNAP_RUNNING, "often:1#5*");
        for (int j = 0; j < 100; j++) {
            struct snap_frame frame = make_frame(run->strings, "seldom:1*");
            frame.activation = (uint64_t)(1000 + i * 100 + j);
            assert_true(vec_push(&t->frames, frame));
        }
        add(run);
        add(run); // without the thread
    }
    report(run);
    assert_int_equal(function(run, "often")->activations, 1);
    assert_int_equal(function(run, "seldom")->activations, 3 * PROF_GENERATORS_MAX / 100 * 100);
}

static void test_activations_of_builtins(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_SLEEP, "poll~ sleep! f:7#1");
    add(run);
    thread(run, 1, SNAP_SLEEP, "poll~ sleep! f:7#1");
    add(run);
    report(run);
    assert_calls(run, "sleep", 1, 2, 200);
    assert_calls(run, "poll", 1, 2, 200);
    thread(run, 1, SNAP_SLEEP, "poll~ sleep! f:8#1"); // f went on to another line
    add(run);
    report(run);
    assert_calls(run, "sleep", 2, 2, 200);
    assert_calls(run, "poll", 2, 2, 200);
    thread(run, 1, SNAP_SLEEP, "poll~ sleep! f:8#2"); // another call of f
    add(run);
    thread(run, 1, SNAP_SLEEP, "poll~ join! f:8#2"); // another builtin
    add(run);
    report(run);
    assert_calls(run, "sleep", 3, 2, 200);
    assert_calls(run, "join", 1, 1, 0);
    assert_calls(run, "poll", 4, 2, 200);
    assert_calls(run, "f", 2, 3, 400);
    // Native all the way down: nothing speaks against its being the same.
    thread(run, 3, SNAP_SLEEP, "poll~ clone~");
    add(run);
    thread(run, 3, SNAP_SLEEP, "poll~ clone~");
    add(run);
    report(run);
    assert_calls(run, "clone", 1, 2, 200);
    assert_calls(run, "poll", 5, 2, 200);
}

// ---- The tree of stacks -------------------------------------------------------------------------

static void test_grown_tree(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_RUNNING, "hot:2 work:3 main:1");
    thread(run, 2, SNAP_SLEEP, "sleep! idle:3 main:1");
    thread(run, 3, SNAP_RUNNING, "");
    add(run);
    thread(run, 1, SNAP_RUNNABLE, "hot:3 hot:2 work:4 main:1")->has_holds_gil = true;
    thread(run, 2, SNAP_RUNNING, "idle:3 main:1");
    thread_cpu(run, 4, SNAP_RUNNING, 3 * 1000000, "a:1 work:1");
    thread(run, 5, SNAP_RUNNING, "b:1 work:1");
    add(run);
    report(run);
    struct prof_node *nodes = run->report->nodes;
    size_t count = run->report->node_count;
    assert_int_equal(count, 10);
    run->report->nodes = NULL;
    assert_null(prof_report_grow_tree(run->report));
    assert_int_equal(run->report->node_count, count);
    assert_memory_equal(run->report->nodes, nodes, count * sizeof(*nodes));
    free(nodes);
}

// ---- Bounds -------------------------------------------------------------------------------------

// To a millionth, as documents have them.
static void assert_bounds(double low, double high, double expected_low, double expected_high)
{
    expected_low = round(expected_low * 1e6) / 1e6;
    expected_high = round(expected_high * 1e6) / 1e6;
    if (low != expected_low || high != expected_high)
        fail_msg("[%f, %f] instead of [%f, %f]", low, high, expected_low, expected_high);
}

// hot is innermost in phases of 7 of 16 snapshots and on every third stack; 0 to 3 others work.
static void check_bounds(struct run *run, size_t snapshots)
{
    static uint32_t self[2000], total[2000], working[2000];
    assert_true(snapshots <= 2000);
    for (size_t i = 0; i < snapshots; i++) {
        self[i] = i % 16 < 7;
        total[i] = self[i] || i % 3 == 0;
        working[i] = 1;
        thread(run, 1, SNAP_RUNNING, self[i] ? "hot:1 hot:1" : total[i] ? "g:1 hot:1" : "g:1");
        for (pid_t other = 0; other < (pid_t)(i % 4); other++) {
            thread(run, 10 + other, SNAP_RUNNABLE, "h:1");
            working[i]++;
        }
        thread(run, 2, SNAP_SLEEP, "hot:1 idle:1");
        add(run);
    }
    report(run);
    double low, high;
    interval_share(self, working, snapshots, &low, &high);
    assert_true(low > 0 && low < high && high < 1);
    const struct prof_function *f = function(run, "hot");
    assert_bounds(f->self_low, f->self_high, low, high);
    interval_share(total, working, snapshots, &low, &high);
    assert_bounds(f->total_low, f->total_high, low, high);
    memset(self, 0, sizeof(self));
    interval_share(self, working, snapshots, &low, &high);
    f = function(run, "idle");
    assert_bounds(f->self_low, f->self_high, 0, high);
    assert_bounds(f->total_low, f->total_high, 0, high);
}

static void test_bounds(void **state)
{
    check_bounds(*state, 100);
}

// Sums of 4 snapshots: the same bytes as from all of them.
static void test_bounds_grouped(void **state)
{
    check_bounds(*state, 1501);
}

static void test_nothing_at_work(void **state)
{
    struct run *run = *state;
    thread(run, 1, SNAP_SLEEP, "f:1");
    add(run);
    report(run);
    assert_bounds(function(run, "f")->self_low, function(run, "f")->self_high, 0, 1);
    assert_int_equal(run->report->threads[0].hottest, UINT32_MAX);
    assert_string_equal(name(run, run->report->threads[0].top_frame), "f");
}

// ---- The report ---------------------------------------------------------------------------------

static void test_empty(void **state)
{
    struct run *run = *state;
    const struct prof_report *r = report(run);
    assert_int_equal(r->snapshots, 0);
    assert_int_equal(r->node_count, 1);
    assert_int_equal(r->nodes[0].function, UINT32_MAX);
    assert_int_equal(r->function_count + r->line_count + r->edge_count + r->stack_count +
                         r->thread_count + r->frame_count,
                     0);
}

// An interim report changes nothing.
static void test_interim(void **state)
{
    struct run *run = *state;
    feed_three(run);
    report(run);
    uint64_t self = function(run, "hot")->self;
    feed_three(run);
    report(run);
    assert_int_equal(function(run, "hot")->self, 2 * self);
    assert_int_equal(run->report->stacks[0].samples, 4);
    assert_int_equal(run->report->snapshots, 6);
}

static void all_text(const struct run *run, char *text, size_t size)
{
    tree_text(run, text, size);
    size_t used = strlen(text);
    const struct prof_report *r = run->report;
    for (size_t i = 0; i < r->function_count; i++)
        used += (size_t)snprintf(text + used, size - used, "%s\n", name(run, (uint32_t)i));
    for (size_t i = 0; i < r->edge_count; i++)
        used += (size_t)snprintf(text + used, size - used, "%u %u\n", r->edges[i].caller,
                                 r->edges[i].callee);
    for (size_t i = 0; i < r->line_count; i++)
        used += (size_t)snprintf(text + used, size - used, "%u:%d\n", r->lines[i].function,
                                 r->lines[i].line);
    for (size_t i = 0; i < r->stack_count; i++)
        for (size_t j = 0; j < r->stacks[i].frame_count; j++)
            used += (size_t)snprintf(text + used, size - used, "%d %u\n", r->stacks[i].tid,
                                     r->stacks[i].frames[j]);
    for (size_t i = 0; i < r->thread_count; i++)
        used += (size_t)snprintf(text + used, size - used, "%d %u\n", r->threads[i].tid,
                                 r->threads[i].hottest);
    assert_true(used < size);
}

// Whatever was met first, and whatever number its name has: the same report.
static void test_order(void **state)
{
    static const char *const stacks[] = {"a:1 c:1", "b:2 c:2", "a!", "d:3 b:2", "e~ d:4", "c:5"};
    struct run *run = *state;
    char texts[2][4000];
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 6; i++) {
            int which = turn ? 5 - i : i;
            thread(run, 1 + which, SNAP_RUNNING, stacks[which]);
        }
        add(run);
        report(run);
        all_text(run, texts[turn], sizeof(texts[turn]));
        void *again = run;
        teardown(&again);
        assert_int_equal(setup(&again), 0);
    }
    assert_string_equal(texts[0], texts[1]);
}

// ---- Too much -----------------------------------------------------------------------------------

#define DEEP 310000

static void deep_stack(struct run *run, const char *innermost, const char *other)
{
    struct snap_thread *t = thread(run, 1, SNAP_RUNNING, innermost);
    struct snap_frame frames[] = {make_frame(run->strings, "even:1"),
                                  make_frame(run->strings, other)};
    for (int i = 1; i < DEEP; i++) {
        struct snap_frame frame = frames[i % 2];
        frame.activation = (uint64_t)(DEEP - i);
        assert_true(vec_push(&t->frames, frame));
    }
    add(run);
}

static void test_deep(void **state)
{
    struct run *run = *state;
    deep_stack(run, "top:1#999999", "odd:2");
    deep_stack(run, "top:1#999998", "odd:2");
    const struct prof_report *r = report(run);
    assert_counts(run, "even", 0, 2, 0, 2);
    assert_calls(run, "even", DEEP / 2 - 1, 2, 200);
    assert_calls(run, "top", 2, 1, 0);
    assert_int_equal(r->node_count, DEEP + 1);
    assert_int_equal(r->edge_count, 3);
    assert_int_equal(r->stack_count, 1);
    assert_int_equal(r->stacks[0].frame_count, DEEP);
    assert_int_equal(r->dropped_stacks, 0);
    // A second tree of that size does not fit, and is left out as a whole.
    deep_stack(run, "top:1#999998", "else:2");
    r = report(run);
    assert_int_equal(r->node_count, DEEP + 1);
    assert_int_equal(r->dropped_tree, 1);
    assert_int_equal(r->dropped_stacks, 1);
    assert_int_equal(r->nodes[0].samples, 2);
    assert_int_equal(r->samples, 3);
    assert_counts(run, "even", 0, 3, 0, 3);
    assert_counts(run, "else", 0, 1, 0, 1);
}

static void test_many_stacks(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < PROF_STACKS_MAX + 10; i++) {
        struct snap_thread *t = thread(run, 1, SNAP_RUNNING, "f:1");
        t->frames.items[0].line = i;
        if (i % 1000 == 0)
            add(run);
        else
            t->tid = 1 + i % 1000;
    }
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->stack_count, PROF_STACKS_MAX);
    assert_int_equal(r->dropped_stacks, 10);
    assert_int_equal(r->dropped_tree, 0);
    assert_int_equal(r->nodes[0].samples, PROF_STACKS_MAX + 10);
    assert_counts(run, "f", PROF_STACKS_MAX + 10, PROF_STACKS_MAX + 10, PROF_STACKS_MAX + 10,
                  PROF_STACKS_MAX + 10);
}

static void test_many_functions(void **state)
{
    struct run *run = *state;
    struct snap_thread *t = thread(run, 1, SNAP_RUNNING, "");
    for (int i = 0; i < PROF_FUNCTIONS_MAX + 7; i++) {
        struct snap_frame frame = make_frame(run->strings, "f:1");
        frame.first_line = i;
        assert_true(vec_push(&t->frames, frame));
    }
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->function_count, PROF_FUNCTIONS_MAX + 1);
    assert_int_equal(r->dropped_functions, 7);
    assert_int_equal(function(run, "(none)")->total, 1);
}

// 601 functions that call each other at all distances: a prime number, so no pair comes twice.
static void test_many_edges(void **state)
{
    struct run *run = *state;
    struct snap_thread *t = thread(run, 1, SNAP_RUNNING, "");
    struct snap_frame frame = make_frame(run->strings, "f:1");
    int at = 0;
    for (int i = 0; i <= PROF_EDGES_MAX + 9; i++) {
        frame.first_line = at;
        assert_true(vec_push(&t->frames, frame));
        at = (at + 1 + i / 601) % 601;
    }
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->function_count, 601);
    assert_int_equal(r->edge_count, PROF_EDGES_MAX);
    assert_int_equal(r->dropped_edges, 9);
}

static void test_many_threads(void **state)
{
    struct run *run = *state;
    for (int i = 0; i < PROF_THREADS_MAX + 5; i++) {
        thread_cpu(run, 1 + i, SNAP_RUNNING, 3, "f:1#5");
        if (i % 1000 == 999)
            add(run);
    }
    add(run);
    const struct prof_report *r = report(run);
    assert_int_equal(r->thread_count, PROF_THREADS_MAX + 1);
    assert_int_equal(r->threads[0].tid, 0); // the spare one: 15 ns
    assert_int_equal(r->threads[0].samples, 5);
    assert_int_equal(r->threads[0].python_id, 0);
    assert_counts(run, "f", PROF_THREADS_MAX + 5, PROF_THREADS_MAX + 5, PROF_THREADS_MAX + 5,
                  PROF_THREADS_MAX + 5);
    // The spare one's calls cannot be told apart, so none are counted.
    assert_int_equal(function(run, "f")->activations, PROF_THREADS_MAX);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_functions),
        TEST(test_cpu),
        TEST(test_lines_and_edges),
        TEST(test_tree_and_stacks),
        TEST(test_pauses),
        TEST(test_native_functions),
        TEST(test_native_lines_and_edges),
        TEST(test_native_identity),
        TEST(test_cost_of_a_run),
        TEST(test_recursion),
        TEST(test_stacks_of_states),
        TEST(test_odd_frames),
        TEST(test_frames_agree),
        TEST(test_cpu_skew),
        TEST(test_activations),
        TEST(test_left_out),
        TEST(test_moments),
        TEST(test_activations_of_recursion),
        TEST(test_activations_of_generators),
        TEST(test_many_generators),
        TEST(test_activations_of_builtins),
        TEST(test_grown_tree),
        TEST(test_bounds),
        TEST(test_bounds_grouped),
        TEST(test_nothing_at_work),
        TEST(test_empty),
        TEST(test_interim),
        TEST(test_order),
        TEST(test_deep),
        TEST(test_many_stacks),
        TEST(test_many_functions),
        TEST(test_many_edges),
        TEST(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
