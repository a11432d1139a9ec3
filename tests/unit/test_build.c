// SPDX-License-Identifier: GPL-3.0-or-later
// Putting a snapshot together from hand-made threads and stacks: who belongs to whom, in which
// order, and which calls count as the same one.
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
    struct snapshot *snapshot;
};

static struct scene *scene_create(void)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    fake_memory_init(&scene->memory, 1 << 16);
    scene->strings = strtab_create();
    scene->target = (struct target){.kind = TARGET_LIVE, .pid = PID, .mem = scene->memory.mem};
    scene->in = (struct snap_input){
        .strings = scene->strings, .target = &scene->target, .process = &scene->process,
        .state = &scene->state, .stacks = scene->stacks, .names = &scene->names,
        .threads = scene->threads, .stopped = true};
    return scene;
}

static void scene_destroy(struct scene *scene)
{
    for (size_t i = 0; i < scene->in.stack_count; i++)
        py_stack_deinit(&scene->stacks[i]);
    snapshot_destroy(scene->snapshot);
    vec_deinit(&scene->names);
    vec_deinit(&scene->target.mappings);
    py_state_deinit(&scene->state);
    strtab_destroy(scene->strings);
    fake_memory_deinit(&scene->memory);
    free(scene);
}

static struct live_thread *add_thread(struct scene *scene, pid_t tid, uint64_t tls)
{
    struct live_thread *thread = &scene->threads[scene->in.thread_count++];
    *thread = (struct live_thread){.tid = tid, .ns_tid = tid, .state = LIVE_STOPPED,
                                   .has_regs = tls != 0, .regs = {.tls = tls, .syscall = -1}};
    return thread;
}

static struct py_stack *add_stack(struct scene *scene, uint64_t ident, int64_t interp)
{
    struct py_stack *stack = &scene->stacks[scene->in.stack_count++];
    struct py_thread thread = {.tstate = 0x9000 + 16 * scene->in.stack_count, .ident = ident,
                               .interp_id = interp};
    py_stack_init(stack, &thread, false);
    return stack;
}

// Frames are added innermost first; "?" has no name.
static struct py_frame *add_frame(struct scene *scene, struct py_stack *stack, const char *name)
{
    struct py_frame frame = {.addr = 0x1000 + 0x100 * stack->frames.count,
                             .fingerprint = name[0],
                             .content = 7,
                             .first_line = 3,
                             .line = {.line = 5, .column = -1}};
    if (name[0] != '?') {
        frame.name = strtab_add_cstr(scene->strings, name);
        frame.file = strtab_add_cstr(scene->strings, "app.py");
    }
    assert_true(vec_push(&stack->frames, frame));
    return &stack->frames.items[stack->frames.count - 1];
}

static struct snapshot *build(struct scene *scene)
{
    snapshot_destroy(scene->snapshot);
    scene->snapshot = snapshot_create();
    assert_non_null(scene->snapshot);
    assert_ok(snapshot_build(&scene->in, scene->snapshot));
    return scene->snapshot;
}

// "name name ..." of a thread's frames, innermost first.
static void assert_frames(struct scene *scene, size_t thread, const char *expected)
{
    char text[256] = "";
    assert_true(thread < scene->snapshot->threads.count);
    vec_foreach(frame, &scene->snapshot->threads.items[thread].frames) {
        const char *name = strtab_get(scene->strings, frame->function);
        if (text[0])
            strcat(text, " ");
        strcat(text, name ? name : "?");
    }
    assert_string_equal(text, expected);
}

static void assert_note(struct scene *scene, const struct snap_notes *notes, size_t index,
                        const char *part)
{
    assert_true(index < notes->count);
    const char *text = strtab_get(scene->strings, notes->items[index]);
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

// ---- Who belongs to whom -------------------------------------------------------------------------

static void test_matching(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    add_thread(scene, 102, 0x7002);
    add_thread(scene, PID, 0x7001);
    add_thread(scene, 103, 0);
    add_thread(scene, 104, 0)->ns_tid = 4;
    add_thread(scene, 105, 0x7005); // not Python's
    // In another order than the kernel's.
    add_frame(scene, add_stack(scene, FAKE_BASE + 0x100, 0), "pthread");
    add_frame(scene, add_stack(scene, 0x7002, 0), "tls");
    struct py_stack *native = add_stack(scene, 0x7fff, 0);
    native->thread.native_id = 4; // as the target's own PID namespace numbers it
    add_frame(scene, native, "native");
    // Both speak: the register is of this moment, the number may be of before a fork.
    struct py_stack *main = add_stack(scene, 0x7001, 0);
    main->thread.native_id = 105;
    add_frame(scene, main, "main");
    uint32_t tid = 103;
    fake_put(&scene->memory, FAKE_BASE + 0x100 + 0x2d0, &tid, 4); // glibc's struct pthread
    struct snapshot *snapshot = build(scene);
    assert_int_equal(snapshot->threads.count, 5);
    static const pid_t tids[] = {PID, 102, 103, 104, 105}; // main first
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(snapshot->threads.items[i].tid, tids[i]);
        assert_int_equal(snapshot->threads.items[i].pid, PID);
        assert_int_equal(snapshot->threads.items[i].known_to_python, i < 4);
        assert_int_equal(snapshot->threads.items[i].interpreter, i < 4 ? 0 : -1);
    }
    assert_frames(scene, 0, "main");
    assert_frames(scene, 1, "tls");
    assert_frames(scene, 2, "pthread");
    assert_frames(scene, 3, "native");
    assert_frames(scene, 4, "");
    assert_int_equal(snapshot->threads.items[3].python_id, 0x7fff);
    assert_int_equal(snapshot->notes.count, 0);
    assert_true(snapshot->stopped);
    // In a core the registers say all; what a struct might hold there is not asked.
    scene->in.is_core = true;
    snapshot = build(scene);
    assert_int_equal(snapshot->threads.count, 6);
    assert_int_equal(snapshot->threads.items[1].tid, 0);
    assert_frames(scene, 1, "pthread");
    assert_frames(scene, 3, "");
    scene_destroy(scene);
}

// A subinterpreter's state carries the ids of its creator up to 3.12; its C stack tells who runs it.
static void test_subinterpreter_by_its_stack(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct target_mapping stacks[] = {{.start = 0x10000, .end = 0x20000},
                                      {.start = 0x30000, .end = 0x40000}};
    for (size_t i = 0; i < 2; i++)
        assert_true(vec_push(&scene->target.mappings, stacks[i]));
    add_thread(scene, PID, 0x7001)->regs.sp = 0x11000;
    add_thread(scene, 102, 0x7002)->regs.sp = 0x31000;
    struct py_stack *sub = add_stack(scene, 0x7001, 2);
    sub->outermost_shim = 0x35000;
    add_frame(scene, sub, "sub");
    add_frame(scene, add_stack(scene, 0x7001, 0), "main");
    build(scene);
    assert_frames(scene, 0, "main");
    assert_frames(scene, 1, "sub");
    assert_int_equal(scene->snapshot->threads.items[1].interpreter, 2);
    // Below the stack pointer nothing lives; outside of all stacks the ids have to do.
    static const uint64_t elsewhere[] = {0x30800, 0x25000, 0};
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++) {
        sub->outermost_shim = elsewhere[i];
        build(scene);
        assert_frames(scene, 0, "sub main"); // two thread states on one thread: newest inside
        assert_frames(scene, 1, "");
        // The thread's own facts are those of the innermost one.
        assert_int_equal(scene->snapshot->threads.items[0].interpreter, 2);
    }
    // The main interpreter's ids are its own.
    sub->outermost_shim = 0x35000;
    sub->thread.interp_id = 0;
    build(scene);
    assert_frames(scene, 0, "sub main");
    scene_destroy(scene);
}

static void test_orphans(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    add_thread(scene, PID, 0x7001);
    add_frame(scene, add_stack(scene, 0x7001, 0), "main");
    add_frame(scene, add_stack(scene, 0xdead, 0), "lost");
    add_stack(scene, 0xbeef, 0);
    struct snapshot *snapshot = build(scene);
    assert_int_equal(snapshot->threads.count, 2);
    assert_frames(scene, 0, "main");
    assert_frames(scene, 1, "lost"); // tid 0: not known
    assert_int_equal(snapshot->threads.items[1].tid, 0);
    assert_int_equal(snapshot->threads.items[1].python_id, 0xdead);
    assert_int_equal(snapshot->threads.items[1].state, SNAP_UNKNOWN);
    assert_int_equal(snapshot->notes.count, 1);
    assert_note(scene, &snapshot->notes, 0, "1 thread state without frames belongs to no");
    add_stack(scene, 0xbeef, 0);
    assert_note(scene, &build(scene)->notes, 0, "2 thread states without frames belong to no");
    scene_destroy(scene);
}

// A thread that ended has left its ident, perhaps its id, to the next one.
static void test_gone_threads_own_nothing(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    add_thread(scene, PID, 0x7001);
    struct live_thread *gone = add_thread(scene, 102, 0x7002);
    gone->state = LIVE_GONE;
    add_thread(scene, 103, 0x7002);
    add_frame(scene, add_stack(scene, 0x7002, 0), "next");
    struct py_stack *late = add_stack(scene, 0x7009, 0);
    late->thread.native_id = 102;
    add_frame(scene, late, "last words");
    struct snapshot *snapshot = build(scene);
    assert_int_equal(snapshot->threads.count, 3);
    assert_int_equal(snapshot->threads.items[0].tid, PID);
    assert_int_equal(snapshot->threads.items[1].tid, 0);
    assert_frames(scene, 1, "last words");
    assert_int_equal(snapshot->threads.items[2].tid, 103);
    assert_frames(scene, 2, "next");
    scene_destroy(scene);
}

// ---- Frames --------------------------------------------------------------------------------------

static void test_frames(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    add_thread(scene, PID, 0x7001);
    struct py_stack *stack = add_stack(scene, 0x7001, 0);
    struct py_frame *frame = add_frame(scene, stack, "inner");
    frame->call_name = strtab_add_cstr(scene->strings, "sleep");
    frame->call_qualname = strtab_add_cstr(scene->strings, "{built-in method time.sleep}");
    frame->line = (struct py_line){17, 4};
    frame = add_frame(scene, stack, "middle");
    frame->flags = PY_FRAME_GENERATOR | PY_FRAME_INCOMPLETE | PY_FRAME_CALL_INFERRED;
    frame->call_name = strtab_add_cstr(scene->strings, "map");
    add_frame(scene, stack, "?");
    add_frame(scene, stack, "outer")->flags = PY_FRAME_LINE_LOST;
    build(scene);
    // A builtin lies inside of the frame that calls it.
    assert_frames(scene, 0, "sleep inner map middle ? outer");
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
    assert_note(scene, &thread->notes, 0, "1 frame could not be read");
    assert_note(scene, &thread->notes, 1, "1 frame without a line");
    scene_destroy(scene);
}

static void test_cut_stacks(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    add_thread(scene, PID, 0x7001);
    struct py_stack *stack = add_stack(scene, 0x7001, 0);
    add_frame(scene, stack, "f");
    assert_false(build(scene)->threads.items[0].cut);
    stack->cut = err_create(ERR_FAULT, "it ended there");
    scene->state.cut = err_create(ERR_LIMIT, "too many of them");
    struct snapshot *snapshot = build(scene);
    assert_true(snapshot->threads.items[0].cut);
    assert_note(scene, &snapshot->threads.items[0].notes, 0, "only so far: it ended there");
    assert_note(scene, &snapshot->notes, 0, "could be listed: too many of them");
    scene_destroy(scene);
}

// ---- Activations ---------------------------------------------------------------------------------

static void tokens(struct scene *scene, uint64_t ret[4])
{
    struct snap_thread *thread = &build(scene)->threads.items[0];
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
    add_thread(scene, PID, 0x7001);
    struct py_stack *stack = add_stack(scene, 0x7001, 0);
    for (int i = 0; i < 4; i++)
        add_frame(scene, stack, "recursion");
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
    add_thread(scene, PID, 0x7001);
    struct py_stack *newer = add_stack(scene, 0x7001, 1), *older = add_stack(scene, 0x7001, 0);
    add_frame(scene, newer, "a");
    add_frame(scene, newer, "b");
    add_frame(scene, older, "c");
    struct snap_frames *frames = &build(scene)->threads.items[0].frames;
    uint64_t plain[3];
    for (size_t i = 0; i < 3; i++)
        plain[i] = frames->items[i].activation;
    newer->frames.items[1].call_name = strtab_add_cstr(scene->strings, "map");
    older->frames.items[0].call_name = strtab_add_cstr(scene->strings, "exec");
    frames = &build(scene)->threads.items[0].frames;
    assert_frames(scene, 0, "a map b exec c");
    assert_int_equal(frames->items[0].activation, plain[0]);
    assert_int_equal(frames->items[1].activation, 0);
    assert_int_equal(frames->items[2].activation, plain[1]);
    assert_int_equal(frames->items[3].activation, 0);
    assert_int_equal(frames->items[4].activation, plain[2]);
    scene_destroy(scene);
}

// ---- What the kernel says ------------------------------------------------------------------------

static void test_names_and_facts(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct live_thread *main = add_thread(scene, PID, 0x7001);
    struct live_thread *other = add_thread(scene, 102, 0x7002);
    strcpy(main->comm, "python3");
    strcpy(other->comm, "jemalloc_bg_thd");
    main->has_clock = true;
    main->cpu_delta_ns = 5;
    main->clock.cpu_ns = 50;
    struct py_stack *stack = add_stack(scene, 0x7001, 0);
    stack->thread.gil_known = stack->thread.holds_gil = stack->thread.in_gc = true;
    struct py_thread_name names[] = {{0x7001, strtab_add_cstr(scene->strings, "MainThread")},
                                     {0, strtab_add_cstr(scene->strings, "nobody")}};
    for (size_t i = 0; i < 2; i++)
        assert_true(vec_push(&scene->names, names[i]));
    struct snap_thread *t = build(scene)->threads.items;
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
    t = build(scene)->threads.items;
    assert_int_equal(scene->snapshot->threads.count, 2);
    assert_string_equal(strtab_get(scene->strings, t[0].name), "python3");
    assert_true(t[0].known_to_python && t[1].known_to_python);
    assert_int_equal(t[0].interpreter, -1);
    py_stack_deinit(stack);
    scene_destroy(scene);
}

static const char *syscall_of(struct scene *scene)
{
    return strtab_get(scene->strings, build(scene)->threads.items[0].syscall);
}

static void test_system_calls(void **state)
{
    (void)state;
    enum { READ = 0, RESTART = 219 };
    struct scene *scene = scene_create();
    struct live_thread *thread = add_thread(scene, PID, 0x7001);
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
    struct live_thread *thread = add_thread(scene, PID, 0x7001);
    struct py_stack *stack = add_stack(scene, 0x7001, 0);
    thread->on_cpu = true;
    stack->thread.wants_gil = true;
    assert_int_equal(build(scene)->threads.items[0].state, SNAP_GIL_WAIT);
    assert_false(scene->snapshot->threads.items[0].on_cpu);
    stack->thread.holds_gil = true; // got it, and has not taken its wish back
    assert_int_equal(build(scene)->threads.items[0].state, SNAP_RUNNING);
    stack->thread.holds_gil = false;
    thread->regs = (struct arch_regs){.tls = 0x7001, .syscall = 0, .syscall_value = -512};
    assert_int_equal(build(scene)->threads.items[0].state, SNAP_IO_WAIT);
    scene_destroy(scene);
}

static void test_notes_of_threads(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    struct live_thread *thread = add_thread(scene, PID, 0x7001);
    thread->state = LIVE_UNSTOPPED;
    thread->tracer = 4321;
    assert_note(scene, &build(scene)->threads.items[0].notes, 0, "process 4321 traces it");
    thread->tracer = 0;
    thread->why = "it waits for its vfork child";
    assert_note(scene, &build(scene)->threads.items[0].notes, 0, "(it waits for its vfork child)");
    thread->state = LIVE_STOPPED;
    thread->was_stopped = true;
    assert_note(scene, &build(scene)->threads.items[0].notes, 0, "SIGSTOP");
    // Of a core: who took the signal.
    add_thread(scene, 102, 0x7002);
    scene->in.is_core = true;
    scene->target.signal = (struct target_signal){.signo = 11, .tid = 102};
    struct snap_thread *t = build(scene)->threads.items;
    assert_false(t[0].crashed);
    assert_true(t[1].crashed);
    assert_int_equal(t[0].notes.count, 0);
    scene->target.signal.signo = 0;
    assert_false(build(scene)->threads.items[1].crashed);
    scene_destroy(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_subinterpreter_by_its_stack),
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
