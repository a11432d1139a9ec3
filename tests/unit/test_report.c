// SPDX-License-Identifier: GPL-3.0-or-later
// The reports for people: text and Markdown of values written by hand, against golden files
// (PYCORE_GOLDEN=write makes them anew), and what must hold of every report: hostile names are
// harmless, lengths are kept, what is cut is counted.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden.h"
#include "report/groups.h"
#include "report_values.h"

// ---- The snapshot --------------------------------------------------------------------------------

static void test_snapshot(void **state)
{
    (void)state;
    static const char *const names[] = {"running", "runnable", "gil-wait", "lock-wait",
                                        "io-wait", "sleep",    "unknown"};
    for (int i = 0; i < SNAP_STATE_COUNT; i++) {
        assert_string_equal(snap_state_name((enum snap_state)i), names[i]);
        assert_int_equal(snap_state_works((enum snap_state)i), i < 2);
    }
    VALUES v = values_create();
    assert_true(snap_note(v->strings, &v->notes, "%d pages", 3));
    assert_true(snap_note(v->strings, &v->notes, "%d pages", 3));
    assert_true(snap_note(v->strings, &v->notes, "%d pages", 4));
    assert_int_equal(v->notes.count, 2);
    assert_string_equal(strtab_get(v->strings, v->notes.items[1]), "4 pages");
}

// ---- Golden files --------------------------------------------------------------------------------

static void test_hotspots(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    snap_note(v->strings, &v->notes, "native frames are missing: --no-native was given");
    check_golden("hotspots.txt", render(report_text, v));
    check_golden("hotspots.md", render(report_md, v));
    check_golden("hotspots.callgrind", render(report_callgrind, v));
    v->options.color = true;
    v->options.width = 80;
    v->options.weight = REPORT_WEIGHT_CPU;
    check_golden("hotspots_cpu_color_80.txt", render(report_text, v));
}

static void make_dump(struct values *v)
{
    struct snap_thread *main_thread = add_thread(v, "MainThread", SNAP_SLEEP);
    main_thread->syscall = id_of(v, "clock_nanosleep");
    add_frame(v, main_thread, "{built-in method time.sleep}", NULL, -1)->kind = SNAP_BUILTIN;
    main_thread->frames.items[0].flags = SNAP_FRAME_INFERRED;
    add_frame(v, main_thread, "<module>", "/srv/shop/app.py", 80);
    struct snap_thread *hot = add_thread(v, "pricing", SNAP_RUNNING);
    hot->has_cpu = hot->has_holds_gil = hot->holds_gil = hot->in_gc = true;
    hot->cpu_ns = 98 * MS;
    hot->crashed = true;
    for (int i = 0; i < 10000; i++)
        add_frame(v, hot, "down", "/srv/shop/app.py", 12);
    for (int i = 0; i < 8; i++)
        add_frame(v, hot, i % 2 ? "pong" : "ping", "/srv/shop/app.py", 20);
    add_frame(v, hot, "work", "/srv/shop/app.py", 44)->qualname = id_of(v, "Shop.work");
    snap_note(v->strings, &hot->notes, "the stack may go on");
    hot->cut = true;
    for (int i = 0; i < 30; i++) {
        char name[32];
        snprintf(name, sizeof(name), "worker-%d", i);
        struct snap_thread *idle = add_thread(v, name, SNAP_LOCK_WAIT);
        add_frame(v, idle, "get", "/usr/lib/python3.11/queue.py", 171);
    }
    struct snap_thread *native = add_thread(v, "poller", SNAP_IO_WAIT);
    native->known_to_python = false;
    struct snap_frame *frame = add_frame(v, native, "epoll_wait", NULL, -1);
    frame->kind = SNAP_NATIVE;
    frame->module = id_of(v, "libc.so.6");
    v->snapshot->cpu_window_ns = 100 * MS;
    v->snapshot->pause_ns = 84000;
    v->source.signal = (struct snap_signal){.signo = 11,
                                            .name = id_of(v, "SIGSEGV"),
                                            .code_text = id_of(v, "address not mapped"),
                                            .has_fault_address = true,
                                            .fault_address = 8,
                                            .tid = 4712};
    v->source.kind = SNAP_CORE;
    v->source.of_core = true;
    v->source.path = id_of(v, "/var/crash/core.4711");
    v->source.complete = false;
}

static void test_dump(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_dump(v);
    check_golden("dump.txt", render(report_text, v));
    check_golden("dump.md", render(report_md, v));
}

// ---- Native frames -------------------------------------------------------------------------------

static struct snap_frame *add_native(struct values *v, struct snap_thread *thread, const char *name,
                                     const char *module, uint64_t offset)
{
    struct snap_frame *frame = add_frame(v, thread, name ? name : "", NULL, -1);
    frame->kind = SNAP_NATIVE;
    frame->function = name ? frame->function : 0;
    frame->module = module ? id_of(v, module) : 0;
    frame->offset = offset;
    frame->address = 0x7f1200000000 + (v->snapshot->threads.count << 20) + offset;
    return frame;
}

static void add_start(struct values *v, struct snap_thread *thread)
{
    static const char python[] = "libpython3.12.so.1.0";
    for (int i = 0; i < 24; i++) {
        char name[32];
        snprintf(name, sizeof(name), "pymain_%d", i);
        add_native(v, thread, name, python, 1);
    }
    add_native(v, thread, "_start", "python3.12", 0x25);
}

// A sleeper read as it slept, a thread in a signal handler that was stopped, a pool without
// symbols; what each sort of frame looks like.
static void make_native_dump(struct values *v)
{
    static const char python[] = "libpython3.12.so.1.0";
    struct snap_thread *sleeper = add_thread(v, "MainThread", SNAP_SLEEP);
    sleeper->held_still = true;
    add_native(v, sleeper, "clock_nanosleep", "libc.so.6", 0x63);
    struct snap_frame *frame = add_native(v, sleeper, "pysleep", python, 0x112);
    frame->file = id_of(v, "/build/Modules/timemodule.c");
    frame->line = 2204;
    frame->flags = SNAP_FRAME_INLINED;
    frame = add_native(v, sleeper, "time_sleep", python, 0x112);
    frame->file = id_of(v, "/build/Modules/timemodule.c");
    frame->line = 413;
    add_frame(v, sleeper, "{built-in method time.sleep}", NULL, -1)->kind = SNAP_BUILTIN;
    add_frame(v, sleeper, "<module>", "/srv/shop/app.py", 80);
    add_start(v, sleeper);
    struct snap_thread *hot = add_thread(v, "pricing", SNAP_RUNNING);
    hot->was_stopped = true;
    add_native(v, hot, "on_signal", "libfoo.so", 4);
    add_native(v, hot, "__restore_rt", "libc.so.6", 0)->flags = SNAP_FRAME_SIGNAL;
    add_native(v, hot, NULL, "libfoo.so", 0x1234)->flags = SNAP_FRAME_LIKELY;
    add_native(v, hot, "step", "libfoo.so", 8)->flags = SNAP_FRAME_GUESSED;
    add_native(v, hot, NULL, NULL, 0x10);
    add_frame(v, hot, "work", "/srv/shop/app.py", 44);
    for (int i = 0; i < 3; i++) {
        struct snap_thread *idle = add_thread(v, "blas", SNAP_LOCK_WAIT);
        idle->known_to_python = false;
        idle->held_still = true;
        add_native(v, idle, "futex_wait", "libc.so.6", 0x40 + (uint64_t)i);
        add_native(v, idle, NULL, "libblas.so.3", 0x900);
    }
    v->snapshot->pause_ns = 61000;
    v->snapshot->threads_stopped = 1;
    v->snapshot->interrupted_calls = 1;
}

static void test_native_dump(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_native_dump(v);
    check_golden("dump_native.txt", render(report_text, v));
    check_golden("dump_native.md", render(report_md, v));
    v->options.full = true;
    check_says(v, "    pymain_20 (libpython3.12.so.1.0)\n", true);
    check_says(v, "are left out", false);
    v->options.full = false;
    v->options.color = true; // dim, and Python's are not
    char *text = render(report_text, v);
    assert_non_null(strstr(text, "\x1b[2m    clock_nanosleep (libc.so.6)\x1b[0m\n"));
    assert_non_null(strstr(text, "\n  <module> (/srv/shop/app.py:80)\n"));
    free(text);
}

static void test_pause_of_dump(void **state)
{
    (void)state;
    VALUES v = values_create();
    make_native_dump(v);
    check_says(v,
               "1 thread was stopped, for 61 us. 1 system call was interrupted (EINTR). "
               "1 thread ran meanwhile: not all stacks are of one moment.",
               true);
    check_says(v, "running, ran during the snapshot", true);
    v->snapshot->stopped = v->snapshot->overran = true;
    v->snapshot->threads_stopped = 5;
    check_says(v, "5 threads were stopped, for 61 us, longer than --max-pause allows.", true);
    check_says(v, "meanwhile", false);
    check_says(v, "ran during", false);
    v->snapshot->threads_stopped = v->snapshot->overran = 0;
    v->snapshot->pause_ns = 0;
    check_says(v, "no thread was stopped.", true);
    v->source.kind = SNAP_CORE;
    v->source.of_core = true;
    check_says(v, "stopped", false);
}

// A stack of 100 lines is long enough for a ticket, whatever it is made of.
static void test_long_stack(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct snap_thread *thread = add_thread(v, "t", SNAP_RUNNING);
    add_start(v, thread);
    for (int i = 0; i < 300; i++)
        add_frame(v, thread, "f", "/srv/a.py", i + 1);
    // 14 native ones, a remark, 6 more; then of 300 so many that 100 are shown in all.
    check_says(v,
               "  f (/srv/a.py:40)\n  ... 220 frames between are left out; --full shows them\n"
               "  f (/srv/a.py:261)\n",
               true);
    v->options.full = true;
    check_says(v, "  f (/srv/a.py:150)\n", true);
}

// Where stacks are many, native frames give way to Python's.
static void test_many_native_stacks(void **state)
{
    (void)state;
    VALUES v = values_create();
    for (int i = 0; i < 13; i++) {
        struct snap_thread *thread = add_thread(v, "t", SNAP_SLEEP);
        thread->held_still = true;
        for (int k = 0; k < 200; k++) {
            char name[32];
            snprintf(name, sizeof(name), "deep_%d", k);
            add_native(v, thread, name, "libdeep.so", 1);
        }
        add_frame(v, thread, "f", "/srv/a.py", i + 1);
        add_start(v, thread);
    }
    check_says(v,
               "    deep_5 (libdeep.so)\n    ... 192 native frames between are left out; "
               "--full shows them\n    deep_198 (libdeep.so)\n    deep_199 (libdeep.so)\n  f (",
               true);
    check_says(v, "  f (/srv/a.py:13)\n", true);
    v->snapshot->threads.count = 12; // few: more of each
    check_says(v, "    deep_13 (libdeep.so)\n    ... 180 native frames between", true);
    check_says(v, "    deep_194 (libdeep.so)\n", true);
    v->snapshot->threads.count = 13;
}

static void test_native_groups(void **state)
{
    (void)state;
    VALUES v = values_create();
    for (uint64_t i = 0; i < 8; i++) { // add_native: each thread has other addresses
        struct snap_thread *thread = add_thread(v, "t", SNAP_SLEEP);
        add_native(v, thread, "f", "liba.so", i);                  // with a symbol: any offset
        add_native(v, thread, NULL, "liba.so", i < 4 ? 7 : i % 2); // without one: what is printed
    }
    struct groups groups;
    assert_true(groups_init(&groups, v->snapshot, false));
    static const uint32_t counts[] = {4, 2, 2};
    assert_int_equal(groups.list.count, ARRAY_SIZE(counts));
    for (size_t i = 0; i < groups.list.count; i++)
        assert_int_equal(groups.list.items[i].count, counts[i]);
    groups_deinit(&groups);
}

static void test_native_hotspots(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_natives(v);
    // The Python function is the hottest still, and the native one is told beside it.
    check_says(v,
               "**Hottest**: 70 % (60-80 %) of the working time is in `hot() app.py:10`, called "
               "from `work() app.py:44`",
               true);
    check_says(v,
               "**Native**: 60 % of the working time is in native code outside of the "
               "interpreter, most of all 60 % in `dgemm_kernel libblas.so.3`, called from `hot() "
               "app.py:10`.",
               true);
    check_says(v, "| SELF | 95 % | TOTAL | CPU | CALLS | FUNCTION | PLACE |", true);
    check_says(v, "| 70 % | 60-80 | 70 % | 7 s | >=37 | `hot` | `app.py:10` |", true);
    check_says(v, "## Native functions that run for Python (of the working time)", true);
    check_says(v, "| 60 % | 60 % | 6 s | `dgemm_kernel` | `libblas.so.3` | `hot` |", true);
    check_says(v, "  calls        86 %  dgemm_kernel  libblas.so.3\n", true);
    // It is in no table of Python's functions.
    char *text = render(report_md, v);
    const char *own = strstr(text, "## Functions by their own"), *end = strstr(text, "## Native f");
    const char *found = strstr(own, "dgemm_kernel");
    assert_true(own < end && found > end);
    free(text);
    // Called by native code, a Python function still says which Python function is behind it.
    v->edges[2].caller = POLL;
    set_edge(v, 6, WORK, HOT, 35);
    v->edges[6].total = v->edges[6].total_working = v->edges[6].cpu_ns = 0; // never directly
    v->profile.edge_count = 7;
    check_says(v, "is in `hot() app.py:10`, called from `work() app.py:44`;", true);
    check_says(v, "  called by   100 %  work  app.py:44\n", true);
    check_says(v, "called by   100 %  dgemm_kernel", false);
}

// Who waits in native code waits in what Python calls it; without a name for that, in the innermost
// function.
static void test_native_waits(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    const uint32_t frames[2][6] = {{POLL, LOCK, LOOKUP, LOOP}, {POLL, WAIT, GET, BOOT}};
    memcpy(v->stack_frames[1], frames, sizeof(frames));
    check_says(v,
               "| `Cache.lookup cache.py:118` | `{method 'acquire' of '_thread.lock' objects}` |",
               true);
    check_says(v, "| `Condition.wait threading.py:288` | `epoll_wait libc.so.6` |", true);
}

// In threads that Python does not know it has nothing to do with the calls from Python.
static void test_native_threads(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_natives(v);
    v->functions[POLL].own = v->functions[POLL].own_working = 10;
    check_says(v, "40 % of the working time is in native code outside", true);
    check_says(v, "| 40 % | 60 % | 6 s | `dgemm_kernel` |", true);
    char *text = render(report_md, v);
    const char *own = strstr(text, "## Functions by their own"), *end = strstr(text, "## Native f");
    assert_true(strstr(own, "`dgemm_kernel`") < end);
    free(text);
}

static void test_native_without_symbols(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_natives(v);
    v->functions[POLL].function = v->functions[POLL].qualname = 0;
    check_says(v, "most of all 60 % in `libblas.so.3 (no symbol)`, called from", true);
    check_says(v, "| 60 % | 60 % | 6 s | `libblas.so.3 (no symbol)` | `hot` |", true);
    v->functions[POLL].module = 0;
    check_says(v, "most of all 60 % in `(no symbol)`, called from", true);
}

// The interpreter's own functions are what running Python is made of: part of the call they are in,
// in the tree and elsewhere. In a table of their own they are shown.
static void test_interpreter(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_natives(v);
    v->functions[POLL].module = id_of(v, "libpython3.12.so.1.0");
    // The last one is below nothing of Python's.
    static const struct {
        uint32_t frames[4];
        size_t count;
        uint64_t samples;
    } stacks[] = {{{HOT}, 1, 5},
                  {{POLL, HOT}, 2, 9},
                  {{POLL, POLL, HOT}, 3, 16},
                  {{RANK, POLL, HOT}, 3, 5},
                  {{POLL}, 1, 15}};
    for (size_t i = 0; i < ARRAY_SIZE(stacks); i++) {
        memcpy(v->stack_frames[i], stacks[i].frames, sizeof(stacks[i].frames));
        v->stack_sizes[i] = stacks[i].count;
        set_stack(v, i, 4711, SNAP_RUNNING, i);
        v->stacks[i].samples = stacks[i].samples;
    }
    v->profile.stack_count = ARRAY_SIZE(stacks);
    check_says(v,
               "   70 % hot app.py:10  [60 % itself]\n   10 %   rank app.py:60\n"
               "   30 % dgemm_kernel libpython3.12.so.1.0\n",
               true);
    check_says(v, "**Native**", false);
    check_says(v, "  calls        86 %  dgemm_kernel", false);
    check_says(v, "| 60 % | 60 % | 6 s | `dgemm_kernel` | `libpython3.12.so.1.0` |", true);
    v->options.full = true;
    check_says(v,
               "   70 % hot app.py:10  [10 % itself]\n   60 %   dgemm_kernel "
               "libpython3.12.so.1.0 (recursive, 2 deep)  [50 % itself]\n   10 %     rank",
               true);
    check_says(v, "  calls        86 %  dgemm_kernel", true);
    v->options.full = false;
    // Static, and renamed: then it is the program itself.
    v->functions[POLL].module = id_of(v, "shopd");
    v->source.process.exe = id_of(v, "/opt/shop/shopd");
    check_says(v, "   70 % hot app.py:10  [60 % itself]\n", true);
    v->functions[POLL].module = id_of(v, "libblas.so.3");
    check_says(v, "   70 % hot app.py:10  [10 % itself]\n   60 %   dgemm_kernel", true);
}

static void test_cost_of_a_run(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    check_says(v,
               "stood still for 4.2 ms in all (0.04 % of the time): median 84 us, p95 0.11 ms, at "
               "the longest 0.12 ms. 1 system call was interrupted (EINTR). pycore itself used "
               "0.3 % of a processor.",
               true);
    v->profile.pause_total_ns = v->profile.interrupted_calls = v->profile.own_cpu_ns = 0;
    check_says(v, "The target was never stopped. 2 moments", true);
    v->source.kind = SNAP_CORE;
    v->source.of_core = true;
    check_says(v, "stopped", false);
}

// ---- Sentences -----------------------------------------------------------------------------------

static void test_calls(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    struct prof_function *hot = &v->functions[HOT];
    check_says(v, "at least 37 calls seen, none of them in two snapshots.", true);
    hot->longest_snapshots = 4;
    hot->longest_ns = 600 * MS;
    check_says(v, "at least 37 calls seen, the longest over 600 ms.", true);
    hot->longest_snapshots = 49;
    check_says(v, "at least 37 calls seen, one of them the whole time.", true);
    hot->activations = 1;
    check_says(v, "one call lasted the whole time.", true);
    hot->activations = 0;
    check_says(v, "call lasted", false);
}

static void test_nothing_works(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    v->profile.samples_working = 0;
    v->profile.states[SNAP_RUNNING] = 0;
    v->profile.states[SNAP_LOCK_WAIT] = 995;
    v->profile.process_cpu_ns = 0;
    check_says(v, "no thread was seen working", true);
    check_says(v, "all threads wait", true);
    check_says(v, "**Hottest**", false);
    check_says(v, "of all threads' time", true);
    v->profile.snapshots = 3;
    check_says(v, "only 3 snapshots", true);
}

static void test_what_numbers_carry(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    check_says(v, "**Unseen**", false);
    check_says(v, "**GC**", false);
    check_says(v, "**Processor**", false);
    v->profile.process_cpu_ns = 5 * S;
    v->profile.cpu_unseen_ns = 2500 * MS;
    v->profile.states[SNAP_RUNNABLE] = 20;
    v->threads[0].in_gc = 10;
    check_says(v, "**Unseen**: 50 % of the CPU time", true);
    check_says(v, "**GC**: garbage was being collected in 20 % of", true);
    check_says(v, "**Processor**: in 40 % of", true);
    v->profile.process_cpu_ns = 10 * S; // as much as one thread that was never kept waiting
    check_says(v, "**Processor**", false);
    check_says(v, "## Notes", false);
    v->profile.dropped_stacks = 1234;
    check_says(v, "- 1,234 samples beyond the bound on distinct stacks", true);
}

// ---- Trees and stacks ----------------------------------------------------------------------------

static void test_deep_tree(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    // A chain of hot > work > hot > work ...
    size_t count = 100000;
    uint32_t *frames = calloc(count, sizeof(*frames));
    for (size_t i = 0; i < count; i++)
        frames[i] = i % 2 ? HOT : WORK;
    v->profile.stack_count = 1;
    v->stacks[0].frames = frames;
    v->stacks[0].frame_count = count;
    v->stacks[0].samples = 50;
    check_says(v, "  100 % hot app.py:10 (recursive, 50,000 deep)\n", true);
    // A cold branch is left out and counted.
    const uint32_t branches[] = {HOT, WORK};
    for (size_t i = 0; i < 2; i++) {
        v->stacks[i] = v->stacks[0];
        v->stacks[i].frames = (uint32_t *)(uintptr_t)&branches[i];
        v->stacks[i].frame_count = 1;
        v->stacks[i].samples = i ? 1 : 49;
    }
    v->profile.stack_count = 2;
    v->profile.samples_working = 500;
    check_says(v, "1 branch below 1 % left out (0.2 % in all).", true);
    free(frames);
}

// Calls without a choice share a line; the program's own functions are named, be it on several lines, but
// of a long row of them only the last.
static void test_own_chains(void **state)
{
    (void)state;
    static const struct {
        size_t own;
        const char *lines;
    } cases[] = {
        {3, "  100 % its_own_function_with_a_long_name_0 app.py:10\n"
            "  100 %   its_own_function_with_a_long_name_1 app.py:10\n"
            "  100 %     its_own_function_with_a_long_name_2 app.py:10\n"},
        {12, "  100 % ... 11 more ... > its_own_function_with_a_long_name_11 app.py:10\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        VALUES v = values_create();
        set_profile(v);
        struct prof_function functions[12];
        uint32_t frames[12], frame_function[12];
        struct snap_frame python[12];
        for (size_t k = 0; k < cases[i].own; k++) {
            char name[64];
            snprintf(name, sizeof(name), "its_own_function_with_a_long_name_%zu", k);
            functions[k] = v->functions[HOT];
            functions[k].function = functions[k].qualname = id_of(v, name);
            python[k] = v->profile.frames[0];
            frame_function[k] = (uint32_t)k;
            frames[k] = (uint32_t)(cases[i].own - 1 - k); // the innermost first
        }
        v->profile.functions = functions;
        v->profile.function_count = v->profile.frame_count = cases[i].own;
        v->profile.frames = python;
        v->profile.frame_function = frame_function;
        v->profile.edge_count = v->profile.line_count = v->profile.thread_count = 0;
        v->profile.stack_count = 1;
        v->stacks[0].frames = frames;
        v->stacks[0].frame_count = cases[i].own;
        v->stacks[0].samples = 50;
        check_says(v, cases[i].lines, true);
    }
}

// --threads, --max-depth, --hide-boilerplate, --nolineno, --strip-prefix.
static void test_views(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    v->options.threads = true;
    check_says(v, "  100 % thread pricing (4711) > ", true);
    v->options.threads = false;
    v->functions[BOOT].function = id_of(v, "_bootstrap");
    check_says(v, "  100 % ... 1 more ... > Service.loop service.py:12 > work app.py:44", true);
    v->options.hide_boilerplate = true;
    check_says(v, "  100 % Service.loop service.py:12 > work app.py:44  [10 % itself]\n", true);
    check_says(v, "| `Thread._bootstrap` |", false);
    v->options.max_depth = 2;
    check_says(v, "  100 % Service.loop service.py:12 > work app.py:44\n", true);
    v->options.no_lines = true;
    check_says(v, "  100 % Service.loop service.py > work app.py\n", true);
    v->options.strip[v->options.strip_count++] = "/srv/shop";
    check_says(v, "  100 % Service.loop shop/service.py > work shop/app.py\n", true);
}

static void test_sort(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    static const struct {
        enum report_sort sort;
        const char *title, *first;
    } rows[] = {
        {REPORT_SORT_OWN, "by their own work (", "`hot`"},
        {REPORT_SORT_TOTAL, "with all they call (", "`work`"},
        {REPORT_SORT_CPU, "by their own CPU time (", "`hot`"},
        {REPORT_SORT_CALLS, "by the calls of them that were seen (", "`work`"},
        {REPORT_SORT_NAME, "by name (", "`Service.loop`"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        v->options.sort = rows[i].sort;
        AUTO_FREE char *text = render(report_md, v);
        const char *section = strstr(text, "## Functions ");
        assert_non_null(section);
        assert_true(strncmp(section + 13, rows[i].title, strlen(rows[i].title)) == 0);
        // There is no other, and its first row is the one with a name in code marks.
        assert_null(strstr(section + 1, "## Functions "));
        const char *name = strstr(section, "| `");
        assert_non_null(name);
        assert_true(strncmp(name + 2, rows[i].first, strlen(rows[i].first)) == 0);
    }
}

static void test_repetitions(void **state)
{
    (void)state;
    VALUES v = values_create();
    struct snap_thread *thread = add_thread(v, "t", SNAP_RUNNING);
    static const char pattern[] = "xaaaabcbcbcyzz";
    for (size_t i = 0; pattern[i]; i++)
        add_frame(v, thread, (char[]){pattern[i], 0}, "a.py", 1);
    struct repetitions runs = {0};
    assert_true(repetitions_find(&thread->frames, &runs));
    static const struct repetition expected[] = {{0, 1, 1},  {1, 1, 4},  {5, 2, 3},
                                                 {11, 1, 1}, {12, 1, 1}, {13, 1, 1}};
    assert_int_equal(runs.count, ARRAY_SIZE(expected));
    for (size_t i = 0; i < runs.count; i++) {
        assert_int_equal(runs.items[i].start, expected[i].start);
        assert_int_equal(runs.items[i].period, expected[i].period);
        assert_int_equal(runs.items[i].times, expected[i].times);
    }
    vec_deinit(&runs);
}

static void test_groups(void **state)
{
    (void)state;
    VALUES v = values_create();
    for (int i = 0; i < 6; i++) {
        struct snap_thread *thread = add_thread(v, "t",
                                                i == 3   ? SNAP_RUNNING
                                                : i == 2 ? SNAP_GIL_WAIT
                                                         : SNAP_SLEEP);
        add_frame(v, thread, "f", "a.py", i < 2 ? 1 : i)->activation = (uint64_t)i;
        thread->crashed = i == 5;
    }
    add_frame(v, add_thread(v, "t", SNAP_SLEEP), "f", "a.py", 1);
    struct groups groups;
    assert_true(groups_init(&groups, v->snapshot, false));
    static const uint32_t counts[] = {1, 1, 1, 3, 1}, firsts[] = {5, 2, 3, 0, 4};
    assert_int_equal(groups.list.count, ARRAY_SIZE(counts));
    for (size_t i = 0; i < groups.list.count; i++) {
        assert_int_equal(groups.list.items[i].count, counts[i]);
        assert_int_equal(groups.order[groups.list.items[i].first], firsts[i]);
    }
    groups_deinit(&groups);
}

// ---- What holds of every report ------------------------------------------------------------------

static void check_harmless(const char *text)
{
    for (const char *at = text; *at; at++)
        assert_true((unsigned char)*at >= 0x20 || *at == '\n');
    assert_null(strstr(text, "\x7f"));
    assert_null(strstr(text, "\xe2\x80\xae"));
}

// Every row of a Markdown table has the cells of its head.
static void check_tables(const char *text)
{
    size_t cells = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        size_t size = strcspn(line, "\n"), pipes = 0;
        for (size_t i = 0; i < size; i++)
            pipes += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
        if (line[0] != '|')
            cells = 0;
        else if (cells)
            assert_int_equal(pipes, cells);
        else
            cells = pipes;
        if (!line[size])
            break;
    }
}

static const char hostile[] =
    "a|b``<img>\x1b[2J\n# x\xe2\x80\xae\xff\r\n\\|*_[l](u)&@me \x01\x02\x1f";

static void test_hostile_names(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    uint32_t id = strtab_add(v->strings, hostile, sizeof(hostile) - 1);
    for (size_t i = 0; i < FUNCTIONS; i++)
        v->functions[i].qualname = v->functions[i].function = v->functions[i].file = id;
    for (size_t i = 0; i < ARRAY_SIZE(v->threads); i++)
        v->threads[i].name = id;
    v->functions[POLL].module = id;
    v->source.host = v->source.arch = v->argv[1] = v->source.process.exe = id;
    vec_push(&v->notes, id);
    for (int dump = 0; dump < 2; dump++) {
        char *text = render(report_text, v), *md = render(report_md, v);
        assert_non_null(text);
        assert_non_null(md);
        check_harmless(text);
        check_harmless(md);
        check_tables(md);
        assert_non_null(strstr(md, dump ? "```a|b``<img>" : "| ```a\\|b``<img>"));
        // The note stands outside of code spans.
        assert_non_null(strstr(md, "\n- a\\|b\\`\\`\\<img>\\\\x1b\\[2J\\\\n`#` x"));
        assert_non_null(strstr(md, "\\&`@`me "));
        free(text);
        free(md);
        struct snap_thread *thread = add_thread(v, "t", SNAP_SLEEP);
        thread->name = thread->syscall = id;
        *add_frame(v, thread, "f", "a.py", 1) =
            (struct snap_frame){.kind = SNAP_PYTHON,
                                .function = id,
                                .file = strtab_add_cstr(v->strings, "````"),
                                .line = 1};
        // Symbols are anybody's, too.
        *add_frame(v, thread, "f", "a.py", 1) = (struct snap_frame){
            .kind = SNAP_NATIVE, .function = id, .module = id, .file = id, .line = 1};
        *add_frame(v, thread, "f", "a.py", 1) =
            (struct snap_frame){.kind = SNAP_NATIVE, .module = id, .address = 1, .line = -1};
        vec_push(&thread->notes, id);
        v->input.profile = NULL;
        if (dump) {
            char *stack = render(report_md, v);
            assert_non_null(strstr(stack, "\n`````text\n"));
            assert_non_null(strstr(stack, "\n`````\n"));
            free(stack);
        }
    }
}

// A C++ template's name can be longer than a page. In full it is in the JSON only.
static void test_long_names(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_natives(v);
    static char name[20001];
    memset(name, '<', 20000);
    memcpy(name, "std::map", 8);
    uint32_t id = v->functions[POLL].function = id_of(v, name);
    struct snap_thread *thread = add_thread(v, "t", SNAP_RUNNING);
    add_native(v, thread, "f", "libcxx.so", 1)->function = id;
    add_native(v, thread, "f", "libcxx.so", 1)->module = id;
    for (int dump = 0; dump < 2; dump++) {
        v->options.full = true; // nothing else cuts it
        char *text = render(report_text, v), *md = render(report_md, v);
        char *json = render(report_json, v);
        assert_in_range(strlen(text), 100, 10000);
        assert_in_range(strlen(md), 100, 10000);
        assert_non_null(strstr(text, "std::map<<<<<"));
        assert_non_null(strstr(text, "<<<..."));
        assert_non_null(strstr(json, name));
        free(text);
        free(md);
        free(json);
        v->input.profile = NULL;
    }
}

static size_t count_of(const char *text, const char *wanted)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, wanted)); at++)
        count++;
    return count;
}

// The number before "more THING", without its commas.
static size_t hidden_of(const char *text, const char *thing)
{
    char wanted[64];
    snprintf(wanted, sizeof(wanted), " more %s; --full", thing);
    const char *end = strstr(text, wanted), *at = end;
    size_t number = 0;
    while (at && at[-1] != ' ')
        at--;
    for (; at && at < end; at++)
        if (*at != ',')
            number = number * 10 + (size_t)(*at - '0');
    return number;
}

static void test_length_of_dump(void **state)
{
    (void)state;
    VALUES v = values_create();
    for (int i = 0; i < 5000; i++)
        add_frame(v, add_thread(v, "t", SNAP_SLEEP), "f", "/a/rather/long/path/to/a/file.py", i);
    report_fn *const reports[] = {report_text, report_md};
    for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
        v->options.full = false;
        char *text = render(reports[i], v);
        assert_in_range(strlen(text), 20000, REPORT_CUT_CHARS);
        assert_int_equal(count_of(text, "/file.py:") + hidden_of(text, "threads"), 5000);
        assert_int_equal(count_of(text, "```") % 2, 0);
        free(text);
        v->options.full = true;
        text = render(reports[i], v);
        assert_int_equal(count_of(text, "/file.py:"), 5000);
        assert_int_equal(hidden_of(text, "threads"), 0);
        free(text);
    }
}

static void test_length_of_hotspots(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    size_t count = 3000;
    struct prof_thread *threads = calloc(count, sizeof(*threads));
    char name[200];
    memset(name, 'n', sizeof(name));
    for (size_t i = 0; i < count; i++) {
        threads[i] = v->threads[0];
        threads[i].tid = 5000 + (pid_t)i;
    }
    for (size_t i = 0; i < FUNCTIONS; i++) {
        name[0] = (char)('a' + i);
        v->functions[i].qualname = strtab_add(v->strings, name, sizeof(name));
    }
    for (size_t i = 0; i < 3000; i++)
        snap_note(v->strings, &v->notes, "note number %zu, which is long and says little", i);
    v->profile.threads = threads;
    v->profile.thread_count = count;
    v->options.top = 3000; // --top asks for more than fits
    report_fn *const reports[] = {report_text, report_md};
    for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
        v->options.full = false;
        char *text = render(reports[i], v);
        assert_in_range(strlen(text), 15000, REPORT_CUT_CHARS);
        assert_int_equal(count_of(text, i ? "| `pricing` |" : "  pricing  ") +
                             hidden_of(text, "threads"),
                         count);
        assert_int_equal(count_of(text, "note number") + hidden_of(text, "notes"), 3000);
        assert_non_null(strstr(text, i ? "## Summary" : "SUMMARY"));
        free(text);
        v->options.full = true;
        text = render(reports[i], v);
        assert_int_equal(count_of(text, "note number"), 3000);
        free(text);
    }
    free(threads);
}

static void test_rows(void **state)
{
    (void)state;
    VALUES v = values_create();
    set_profile(v);
    v->options.top = 1;
    char *text = render(report_text, v);
    assert_int_equal(hidden_of(strstr(text, "BY THEIR OWN"), "functions"), 2);
    free(text);
    v->input.profile = NULL;
    v->input.snapshot_count = 0;
    assert_null(render(report_text, v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_hotspots),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_nothing_works),
        cmocka_unit_test(test_what_numbers_carry),
        cmocka_unit_test(test_deep_tree),
        cmocka_unit_test(test_own_chains),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_repetitions),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_length_of_dump),
        cmocka_unit_test(test_length_of_hotspots),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_native_dump),
        cmocka_unit_test(test_pause_of_dump),
        cmocka_unit_test(test_long_stack),
        cmocka_unit_test(test_many_native_stacks),
        cmocka_unit_test(test_native_groups),
        cmocka_unit_test(test_native_hotspots),
        cmocka_unit_test(test_native_waits),
        cmocka_unit_test(test_native_threads),
        cmocka_unit_test(test_native_without_symbols),
        cmocka_unit_test(test_interpreter),
        cmocka_unit_test(test_cost_of_a_run),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
