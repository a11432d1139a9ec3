// SPDX-License-Identifier: GPL-3.0-or-later
// Putting a snapshot together from hand-made threads and stacks: who belongs to whom, in which
// order, and which calls count as the same one.
#include "fake_scene.h"

// ---- Who belongs to whom ------------------------------------------------------------------------

static void test_matching(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    scene_thread(scene, 102, 0x7002);
    scene_thread(scene, PID, 0x7001);
    scene_thread(scene, 103, 0);
    scene_thread(scene, 104, 0)->ns_tid = 4;
    scene_thread(scene, 105, 0x7005); // not Python's
    // In another order than the kernel's.
    scene_frame(scene, scene_stack(scene, FAKE_BASE + 0x100, 0), "pthread");
    scene_frame(scene, scene_stack(scene, 0x7002, 0), "tls");
    struct py_stack *native = scene_stack(scene, 0x7fff, 0);
    native->thread.native_id = 4; // as the target's own PID namespace numbers it
    scene_frame(scene, native, "native");
    // Both speak: the register is of this moment, the number may be of before a fork.
    struct py_stack *main = scene_stack(scene, 0x7001, 0);
    main->thread.native_id = 105;
    scene_frame(scene, main, "main");
    uint32_t tid = 103;
    fake_put(&scene->memory, FAKE_BASE + 0x100 + 0x2d0, &tid, 4); // glibc's struct pthread
    struct snapshot *snapshot = scene_build(scene);
    assert_int_equal(snapshot->threads.count, 5);
    static const pid_t tids[] = {PID, 102, 103, 104, 105}; // main first
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(snapshot->threads.items[i].tid, tids[i]);
        assert_int_equal(snapshot->threads.items[i].pid, PID);
        assert_int_equal(snapshot->threads.items[i].known_to_python, i < 4);
        assert_int_equal(snapshot->threads.items[i].interpreter, i < 4 ? 0 : -1);
    }
    scene_assert_frames(scene, 0, "main");
    scene_assert_frames(scene, 1, "tls");
    scene_assert_frames(scene, 2, "pthread");
    scene_assert_frames(scene, 3, "native");
    scene_assert_frames(scene, 4, "");
    assert_int_equal(snapshot->threads.items[3].python_id, 0x7fff);
    assert_int_equal(snapshot->notes.count, 0);
    assert_true(snapshot->stopped);
    // In a core the registers say all; what a struct might hold there is not asked.
    scene->in.is_core = true;
    snapshot = scene_build(scene);
    assert_int_equal(snapshot->threads.count, 6);
    assert_int_equal(snapshot->threads.items[1].tid, 0);
    scene_assert_frames(scene, 1, "pthread");
    scene_assert_frames(scene, 3, "");
    scene_destroy(scene);
}

// Up to 3.12 a subinterpreter's state carries its creator's ids; its C stack tells who runs it.
static void test_subinterpreter_by_its_stack(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct target_mapping stacks[] = {{.start = 0x10000, .end = 0x20000},
                                      {.start = 0x30000, .end = 0x40000}};
    for (size_t i = 0; i < 2; i++)
        assert_true(vec_push(&scene->target.mappings, stacks[i]));
    scene_thread(scene, PID, 0x7001)->regs.sp = 0x11000;
    scene_thread(scene, 102, 0x7002)->regs.sp = 0x31000;
    struct py_stack *sub = scene_stack(scene, 0x7001, 2);
    sub->outermost_shim = 0x35000;
    scene_frame(scene, sub, "sub");
    scene_frame(scene, scene_stack(scene, 0x7001, 0), "main");
    scene_build(scene);
    scene_assert_frames(scene, 0, "main");
    scene_assert_frames(scene, 1, "sub");
    assert_int_equal(scene->snapshot->threads.items[1].interpreter, 2);
    // Below the stack pointer nothing lives; outside of all stacks the ids have to do.
    static const uint64_t elsewhere[] = {0x30800, 0x25000, 0};
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
        sub->outermost_shim = elsewhere[i];
        scene_build(scene);
        scene_assert_frames(scene, 0, "sub main"); // two thread states on one thread: newest inside
        scene_assert_frames(scene, 1, "");
        // The thread's own facts are those of the innermost one.
        assert_int_equal(scene->snapshot->threads.items[0].interpreter, 2);
    }
    // The main interpreter's ids are its own.
    sub->outermost_shim = 0x35000;
    sub->thread.interp_id = 0;
    scene_build(scene);
    scene_assert_frames(scene, 0, "sub main");
    scene_destroy(scene);
}

// py_owner_of by itself: what is asked, and in which order.
static void test_owner(void **state)
{
    (void)state;
    enum { IDENT = FAKE_BASE + 0x1000 };
    struct fake_memory memory;
    fake_memory_init(&memory, 1 << 16);
    struct target target = {.mem = memory.mem};
    struct target_mapping stacks[] = {{.start = 0x10000, .end = 0x20000},
                                      {.start = 0x20000, .end = 0x30000}};
    for (size_t i = 0; i < 2; i++)
        assert_true(vec_push(&target.mappings, stacks[i]));
    struct py_kernel_thread threads[] = {{.ns_tid = 1, .tls = 0x7001, .sp = 0x11000},
                                         {.ns_tid = 2, .sp = 0x12000},
                                         {.ns_tid = 3, .tls = 0x7003, .sp = 0x21000},
                                         {.ns_tid = 0, .tls = 0x7004, .sp = 0x13000},
                                         {.ns_tid = 5}};
    struct py_thread thread = {.ident = 0x7003, .native_id = 5};
#define OWNER(on_stack) py_owner_of(&target, memory.mem, &thread, on_stack, threads, 5)
    assert_int_equal(OWNER(0), 2);
    thread.ident = 0x7004; // of one that ended
    assert_int_equal(OWNER(0), 4);
    thread.native_id = 0;
    assert_int_equal(OWNER(0), SIZE_MAX);
    // Of those on one stack, the nearest below; nothing below a stack pointer lives.
    assert_int_equal(OWNER(0x12000), 1);
    assert_int_equal(OWNER(0x11fff), 0);
    assert_int_equal(OWNER(0x13001), 1);
    assert_int_equal(OWNER(0x10fff), SIZE_MAX);
    assert_int_equal(OWNER(0x20fff), SIZE_MAX);
    assert_int_equal(OWNER(0x30000), SIZE_MAX);
    // The C library's word: glibc's, musl's.
    static const uint64_t offsets[] = {0x2d0, 0x30};
    thread.ident = IDENT;
    for (size_t i = 0; i < 2; i++) {
        uint32_t tid = 2;
        fake_put(&memory, IDENT + offsets[i], &tid, 4);
        assert_int_equal(OWNER(0), 1);
        assert_int_equal(py_owner_of(&target, NULL, &thread, 0, threads, 5), SIZE_MAX);
        tid = 3; // its register says that it is another one
        fake_put(&memory, IDENT + offsets[i], &tid, 4);
        assert_int_equal(OWNER(0), SIZE_MAX);
        tid = 77;
        fake_put(&memory, IDENT + offsets[i], &tid, 4);
        assert_int_equal(OWNER(0), SIZE_MAX);
    }
    // A subinterpreter's ids may be another's: its stack comes first.
    thread = (struct py_thread){.ident = 0x7003, .interp_id = 1};
    assert_int_equal(OWNER(0x12000), 1);
    thread.interp_id = 0;
    assert_int_equal(OWNER(0x12000), 2);
    thread.ident_doubtful = true;
    assert_int_equal(OWNER(0x12000), SIZE_MAX);
    vec_deinit(&target.mappings);
    fake_memory_deinit(&memory);
}

// Not stopped, a thread's register is not known: the kernel's number tells.
static void test_thread_that_was_not_stopped(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct live_thread *thread = scene_thread(scene, PID, 0x7001);
    thread->state = LIVE_RUNNING;
    thread->regs = (struct arch_regs){.ip = 1, .sp = 2, .syscall = 0};
    thread->held_still = true;
    scene_thread(scene, 102, 0x7002)->stopped_by_us = true;
    struct py_stack *stack = scene_stack(scene, 0x7001, 0);
    stack->thread.native_id = PID;
    scene_frame(scene, stack, "main");
    struct snap_thread *t = scene_build(scene)->threads.items;
    assert_int_equal(scene->snapshot->threads.count, 2);
    scene_assert_frames(scene, 0, "main");
    assert_true(t[0].held_still && !t[0].was_stopped);
    assert_true(t[1].was_stopped && !t[1].held_still);
    scene->in.is_core = true;
    t = scene_build(scene)->threads.items;
    assert_true(t[0].held_still && t[1].held_still);
    scene_destroy(scene);
}

static void test_orphans(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    scene_thread(scene, PID, 0x7001);
    scene_frame(scene, scene_stack(scene, 0x7001, 0), "main");
    scene_frame(scene, scene_stack(scene, 0xdead, 0), "lost");
    scene_stack(scene, 0xbeef, 0);
    struct snapshot *snapshot = scene_build(scene);
    assert_int_equal(snapshot->threads.count, 2);
    scene_assert_frames(scene, 0, "main");
    scene_assert_frames(scene, 1, "lost"); // tid 0: not known
    assert_int_equal(snapshot->threads.items[1].tid, 0);
    assert_int_equal(snapshot->threads.items[1].python_id, 0xdead);
    assert_int_equal(snapshot->threads.items[1].state, SNAP_UNKNOWN);
    assert_int_equal(snapshot->notes.count, 1);
    scene_assert_note(scene, &snapshot->notes, 0, "1 thread state without frames belongs to no");
    scene_stack(scene, 0xbeef, 0);
    scene_assert_note(scene, &scene_build(scene)->notes, 0,
                      "2 thread states without frames belong to no");
    scene_destroy(scene);
}

// A thread that ended has left its ident, perhaps its id, to the next one.
static void test_gone_threads_own_nothing(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    scene_thread(scene, PID, 0x7001);
    struct live_thread *gone = scene_thread(scene, 102, 0x7002);
    gone->state = LIVE_GONE;
    scene_thread(scene, 103, 0x7002);
    scene_frame(scene, scene_stack(scene, 0x7002, 0), "next");
    struct py_stack *late = scene_stack(scene, 0x7009, 0);
    late->thread.native_id = 102;
    scene_frame(scene, late, "last words");
    struct snapshot *snapshot = scene_build(scene);
    assert_int_equal(snapshot->threads.count, 3);
    assert_int_equal(snapshot->threads.items[0].tid, PID);
    assert_int_equal(snapshot->threads.items[1].tid, 0);
    scene_assert_frames(scene, 1, "last words");
    assert_int_equal(snapshot->threads.items[2].tid, 103);
    scene_assert_frames(scene, 2, "next");
    scene_destroy(scene);
}

// ---- Frames -------------------------------------------------------------------------------------

static void test_frames(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    scene_thread(scene, PID, 0x7001);
    struct py_stack *stack = scene_stack(scene, 0x7001, 0);
    struct py_frame *frame = scene_frame(scene, stack, "inner");
    frame->call_name = strtab_add_cstr(scene->strings, "sleep");
    frame->call_qualname = strtab_add_cstr(scene->strings, "{built-in method time.sleep}");
    frame->line = (struct py_line){17, 4};
    frame = scene_frame(scene, stack, "middle");
    frame->flags = PY_FRAME_GENERATOR | PY_FRAME_INCOMPLETE | PY_FRAME_CALL_INFERRED;
    frame->call_name = strtab_add_cstr(scene->strings, "map");
    scene_frame(scene, stack, "?");
    scene_frame(scene, stack, "outer")->flags = PY_FRAME_LINE_LOST;
    scene_build(scene);
    // A builtin lies inside of the frame that calls it.
    scene_assert_frames(scene, 0, "sleep inner map middle ? outer");
    struct snap_thread *thread = &scene->snapshot->threads.items[0];
    const struct snap_frame *f = thread->frames.items;
    static const enum snap_frame_kind kinds[] = {SNAP_BUILTIN, SNAP_PYTHON, SNAP_BUILTIN,
                                                 SNAP_PYTHON, SNAP_PYTHON, SNAP_PYTHON};
    static const uint8_t flags[] = {
        0, 0, SNAP_FRAME_INFERRED, SNAP_FRAME_GENERATOR | SNAP_FRAME_INCOMPLETE,
        SNAP_FRAME_UNREADABLE, 0};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(f[i].kind, kinds[i]);
        assert_int_equal(f[i].flags, flags[i]);
        assert_int_equal(f[i].activation != 0, kinds[i] == SNAP_PYTHON);
    }
    assert_string_equal(strtab_get(scene->strings, f[0].qualname), "{built-in method time.sleep}");
    assert_int_equal(f[0].line, -1);
    assert_int_equal(f[0].first_line, -1);
    assert_int_equal(f[1].line, 17);
    assert_int_equal(f[1].column, 4);
    assert_int_equal(f[1].first_line, 3);
    assert_int_equal(f[4].first_line, -1);
    assert_true(thread->cut);
    assert_int_equal(thread->notes.count, 2);
    scene_assert_note(scene, &thread->notes, 0, "1 frame could not be read");
    scene_assert_note(scene, &thread->notes, 1, "1 frame without a line");
    scene_destroy(scene);
}

static void test_cut_stacks(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    scene_thread(scene, PID, 0x7001);
    struct py_stack *stack = scene_stack(scene, 0x7001, 0);
    scene_frame(scene, stack, "f");
    assert_false(scene_build(scene)->threads.items[0].cut);
    stack->cut = err_create(ERR_FAULT, "it ended there");
    scene->state.cut = err_create(ERR_LIMIT, "too many of them");
    struct snapshot *snapshot = scene_build(scene);
    assert_true(snapshot->threads.items[0].cut);
    scene_assert_note(scene, &snapshot->threads.items[0].notes, 0, "only so far: it ended there");
    scene_assert_note(scene, &snapshot->notes, 0, "could be listed: too many of them");
    scene_destroy(scene);
}

// ---- Activations --------------------------------------------------------------------------------

static void tokens(struct scene *scene, uint64_t ret[4])
{
    struct snap_thread *thread = &scene_build(scene)->threads.items[0];
    assert_int_equal(thread->frames.count, 4);
    for (size_t i = 0; i < 4; i++)
        ret[i] = thread->frames.items[i].activation;
}

// Which of the four frames, innermost first, are other calls after the change.
#define ASSERT_CHANGED(...)                                                                        \
    do {                                                                                           \
        static const bool expected_[4] = {__VA_ARGS__};                                            \
        tokens(scene, after);                                                                      \
        for (size_t i_ = 0; i_ < 4; i_++)                                                          \
            assert_int_equal(before[i_] != after[i_], expected_[i_]);                              \
    } while (0)

static void test_activations(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    uint64_t before[4], after[4];
    scene_thread(scene, PID, 0x7001);
    struct py_stack *stack = scene_stack(scene, 0x7001, 0);
    for (int i = 0; i < 4; i++)
        scene_frame(scene, stack, "recursion");
    struct py_frame *f = stack->frames.items;
    tokens(scene, before);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(before[i], before[j]);
    ASSERT_CHANGED(false, false, false, false);
    f[0].line.line = 99; // it went on, in the same call
    f[0].call_name = 0;
    ASSERT_CHANGED(false, false, false, false);
    f[0].addr += 8;
    ASSERT_CHANGED(true, false, false, false);
    f[0].addr -= 8;
    f[0].fingerprint++; // another function in the same place
    ASSERT_CHANGED(true, false, false, false);
    f[0].fingerprint--;
    f[0].content++; // its own slots say nothing of its own call
    ASSERT_CHANGED(false, false, false, false);
    f[0].content--;
    f[2].content++; // its caller went on in between: whatever it calls now is another call
    ASSERT_CHANGED(true, true, false, false);
    f[2].content--;
    f[3].addr += 8;
    ASSERT_CHANGED(true, true, true, true);
    f[3].addr -= 8;
    stack->thread.tstate += 16; // another thread on the same memory
    ASSERT_CHANGED(true, true, true, true);
    stack->thread.tstate -= 16;
    ASSERT_CHANGED(false, false, false, false);
    // A generator is resumed by whomever: it and what it calls are its own.
    f[1].flags = PY_FRAME_GENERATOR;
    tokens(scene, before);
    f[2].content++;
    ASSERT_CHANGED(false, false, false, false);
    f[3].addr += 8;
    stack->thread.tstate += 16;
    ASSERT_CHANGED(false, false, true, true);
    f[1].content++;
    ASSERT_CHANGED(true, false, true, true);
    scene_destroy(scene);
}

static void test_activations_skip_builtins(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    scene_thread(scene, PID, 0x7001);
    struct py_stack *newer = scene_stack(scene, 0x7001, 1), *older = scene_stack(scene, 0x7001, 0);
    scene_frame(scene, newer, "a");
    scene_frame(scene, newer, "b");
    scene_frame(scene, older, "c");
    struct snap_frames *frames = &scene_build(scene)->threads.items[0].frames;
    uint64_t plain[3];
    for (size_t i = 0; i < 3; i++)
        plain[i] = frames->items[i].activation;
    newer->frames.items[1].call_name = strtab_add_cstr(scene->strings, "map");
    older->frames.items[0].call_name = strtab_add_cstr(scene->strings, "exec");
    frames = &scene_build(scene)->threads.items[0].frames;
    scene_assert_frames(scene, 0, "a map b exec c");
    assert_int_equal(frames->items[0].activation, plain[0]);
    assert_int_equal(frames->items[1].activation, 0);
    assert_int_equal(frames->items[2].activation, plain[1]);
    assert_int_equal(frames->items[3].activation, 0);
    assert_int_equal(frames->items[4].activation, plain[2]);
    scene_destroy(scene);
}

// ---- What the kernel says -----------------------------------------------------------------------

static void test_names_and_facts(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct live_thread *main = scene_thread(scene, PID, 0x7001);
    struct live_thread *other = scene_thread(scene, 102, 0x7002);
    strcpy(main->comm, "python3");
    strcpy(other->comm, "jemalloc_bg_thd");
    main->has_clock = true;
    main->cpu_delta_ns = 5;
    main->clock.cpu_ns = 50;
    struct py_stack *stack = scene_stack(scene, 0x7001, 0);
    stack->thread.gil_known = stack->thread.holds_gil = stack->thread.in_gc = true;
    struct py_thread_name names[] = {{0x7001, strtab_add_cstr(scene->strings, "MainThread")},
                                     {0, strtab_add_cstr(scene->strings, "nobody")}};
    for (size_t i = 0; i < 2; i++)
        assert_true(vec_push(&scene->names, names[i]));
    struct snap_thread *t = scene_build(scene)->threads.items;
    assert_string_equal(strtab_get(scene->strings, t[0].name), "MainThread");
    assert_false(t[0].name_from_kernel);
    assert_string_equal(strtab_get(scene->strings, t[1].name), "jemalloc_bg_thd");
    assert_true(t[1].name_from_kernel);
    assert_true(t[0].has_holds_gil && t[0].holds_gil && t[0].in_gc && t[0].has_cpu);
    assert_false(t[1].has_holds_gil || t[1].holds_gil || t[1].in_gc || t[1].has_cpu);
    assert_int_equal(t[0].cpu_ns, 5);
    assert_int_equal(t[0].cpu_total_ns, 50);
    // Without Python there is still the table of threads, and no claim that Python knows none.
    scene->in.process = NULL;
    scene->in.state = NULL;
    scene->in.names = NULL;
    scene->in.stack_count = 0;
    t = scene_build(scene)->threads.items;
    assert_int_equal(scene->snapshot->threads.count, 2);
    assert_string_equal(strtab_get(scene->strings, t[0].name), "python3");
    assert_true(t[0].known_to_python && t[1].known_to_python);
    assert_int_equal(t[0].interpreter, -1);
    py_stack_deinit(stack);
    scene_destroy(scene);
}

static const char *syscall_of(struct scene *scene)
{
    return strtab_get(scene->strings, scene_build(scene)->threads.items[0].syscall);
}

static void test_system_calls(void **state)
{
    (void)state;
    enum { READ = 0, RESTART = 219 };
    struct scene *scene = scene_create();
    struct live_thread *thread = scene_thread(scene, PID, 0x7001);
    thread->regs.syscall = READ;
    thread->regs.syscall_value = -512;
    assert_string_equal(syscall_of(scene), "read");
    assert_int_equal(scene->snapshot->threads.items[0].state, SNAP_IO_WAIT);
    thread->regs.syscall_value = 12; // it has just come back
    assert_null(syscall_of(scene));
    assert_int_equal(scene->snapshot->threads.items[0].state, SNAP_RUNNABLE);
    // A wait that goes on inside restart_syscall: clock_nanosleep by its arguments.
    thread->regs.syscall = RESTART;
    thread->regs.syscall_value = -516;
    thread->regs.args[0] = 1;
    assert_string_equal(syscall_of(scene), "clock_nanosleep");
    assert_int_equal(scene->snapshot->threads.items[0].state, SNAP_SLEEP);
    // Not stopped: /proc's word of the call it sleeps in.
    *thread = (struct live_thread){.tid = PID, .state = LIVE_RUNNING, .has_regs = true};
    assert_string_equal(syscall_of(scene), "read");
    assert_int_equal(scene->snapshot->threads.items[0].state, SNAP_IO_WAIT);
    scene_destroy(scene);
}

// 3.15 says itself that a thread asks for the GIL: true of one that looks busy, not of a sleeper.
static void test_wants_gil(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct live_thread *thread = scene_thread(scene, PID, 0x7001);
    struct py_stack *stack = scene_stack(scene, 0x7001, 0);
    thread->on_cpu = true;
    stack->thread.wants_gil = true;
    assert_int_equal(scene_build(scene)->threads.items[0].state, SNAP_GIL_WAIT);
    assert_false(scene->snapshot->threads.items[0].on_cpu);
    stack->thread.holds_gil = true; // got it, and has not taken its wish back
    assert_int_equal(scene_build(scene)->threads.items[0].state, SNAP_RUNNING);
    stack->thread.holds_gil = false;
    thread->regs = (struct arch_regs){.tls = 0x7001, .syscall = 0, .syscall_value = -512};
    assert_int_equal(scene_build(scene)->threads.items[0].state, SNAP_IO_WAIT);
    scene_destroy(scene);
}

static void test_notes_of_threads(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct live_thread *thread = scene_thread(scene, PID, 0x7001);
    thread->state = LIVE_UNSTOPPED;
    thread->tracer = 4321;
    scene_assert_note(scene, &scene_build(scene)->threads.items[0].notes, 0,
                      "process 4321 traces it");
    thread->tracer = 0;
    thread->why = "it waits for its vfork child";
    scene_assert_note(scene, &scene_build(scene)->threads.items[0].notes, 0,
                      "not stopped: it waits for its vfork child");
    thread->state = LIVE_STOPPED;
    thread->was_stopped = true;
    scene_assert_note(scene, &scene_build(scene)->threads.items[0].notes, 0,
                      "SIGSTOP");
    // Of a core: who took the signal.
    scene_thread(scene, 102, 0x7002);
    scene->in.is_core = true;
    scene->target.signal = (struct target_signal){.signo = 11, .tid = 102};
    struct snap_thread *t = scene_build(scene)->threads.items;
    assert_false(t[0].crashed);
    assert_true(t[1].crashed);
    assert_int_equal(t[0].notes.count, 0);
    scene->target.signal.signo = 0;
    assert_false(scene_build(scene)->threads.items[1].crashed);
    scene_destroy(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_subinterpreter_by_its_stack),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_thread_that_was_not_stopped),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_gone_threads_own_nothing),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_cut_stacks),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_activations_skip_builtins),
        cmocka_unit_test(test_names_and_facts),
        cmocka_unit_test(test_system_calls),
        cmocka_unit_test(test_wants_gil),
        cmocka_unit_test(test_notes_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
