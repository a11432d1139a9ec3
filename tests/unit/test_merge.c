// SPDX-License-Identifier: GPL-3.0-or-later
// Native and Python frames in one order, from hand-made stacks: what takes whose place, what is
// folded, and that nothing is ever lost.
#include "fake_scene.h"
#include "snapshot/native.h"

#define LOOP "_PyEval_EvalFrameDefault"

// A thread, and one thread state of its own.
static struct py_stack *begin(struct scene **ret, uint16_t version)
{
    *ret = scene_create();
    (*ret)->process.dec.layout.version = version;
    (*ret)->native_stacks[0].end = UNWIND_END_BASE;
    scene_thread(*ret, PID, 0x7001);
    return scene_stack(*ret, 0x7001, 0);
}

static void expect(struct scene *scene, const char *frames, const char *raw)
{
    scene->in.raw_native = false;
    scene_build(scene);
    scene_assert_frames(scene, 0, frames);
    scene->in.raw_native = true;
    scene_build(scene);
    scene_assert_frames(scene, 0, raw);
    scene->in.raw_native = false;
    scene_build(scene);
}

static const struct snap_notes *notes(struct scene *scene)
{
    return &scene->snapshot->threads.items[0].notes;
}

static void sleeping(struct scene *scene)
{
    scene_native(scene, 0, "libc_read", 0x40); // 0x10000
    scene_native(scene, 0, "os_read", 0x40);   // 0x10040
}

// ---- 3.11 and later: by address -----------------------------------------------------------------

static void test_sandwich(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030c);
    sleeping(scene);
    scene_native(scene, 0, LOOP, 0x100);                // 0x10080
    scene_native(scene, 0, "_PyEval_Vector", 0x40);     // 0x10180
    scene_native(scene, 0, "PyObject_Vectorcall", 0x40); // 0x101c0
    scene_native(scene, 0, "list_sort_impl", 0x100);    // 0x10200
    scene_native(scene, 0, LOOP ".cold", 0x100);        // 0x10300
    scene_native(scene, 0, "Py_RunMain", 0x100);
    scene_native(scene, 0, "lib_start_main", 0)->cfa = 0;
    scene_frame(scene, stack, "a")->call_name = strtab_add_cstr(scene->strings, "read");
    scene_frame(scene, stack, "b");
    scene_entry(stack, 0x10080 + 0x80);
    scene_frame(scene, stack, "c")->call_name = strtab_add_cstr(scene->strings, "sorted");
    scene_entry(stack, 0x10300);
    expect(scene, "libc_read os_read read a b list_sort_impl sorted c lib_start_main",
           "libc_read os_read read a b " LOOP " _PyEval_Vector PyObject_Vectorcall "
           "list_sort_impl sorted c " LOOP ".cold Py_RunMain lib_start_main");
    assert_int_equal(notes(scene)->count, 0);
    // The borders: [sp, cfa).
    stack->entries.items[1].addr = 0x10300 + 0xff;
    expect(scene, "libc_read os_read read a b list_sort_impl sorted c lib_start_main",
           "libc_read os_read read a b " LOOP " _PyEval_Vector PyObject_Vectorcall "
           "list_sort_impl sorted c " LOOP ".cold Py_RunMain lib_start_main");
    assert_int_equal(notes(scene)->count, 0);
    // Without native frames all is as before.
    scene->in.native_stacks = NULL;
    expect(scene, "read a b sorted c", "read a b sorted c");
    scene_destroy(scene);
}

// Names are not needed: a stripped interpreter, code split and merged by the compiler.
static void test_without_names(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030f);
    scene_native(scene, 0, "?", 0x40);   // 0x10000: something inside
    scene_native(scene, 0, "?", 0x100);  // 0x10040: a loop
    scene_native(scene, 0, "lib_sort", 0x40);
    scene_native(scene, 0, "?", 0x100);  // 0x10180: a loop
    scene_native(scene, 0, "?", 0x40);
    scene_frame(scene, stack, "a");
    scene_entry(stack, 0x10050);
    scene_frame(scene, stack, "b");
    scene_entry(stack, 0x10180);
    expect(scene, "? a lib_sort b", "? a ? lib_sort b ? ?");
    // A frame that is known to do other work is not left out, even when it seems to be the loop: by
    // frame pointers, activations may be missed, and their pieces of the stack seem its own.
    scene_native(scene, 0, "list_sort_impl", 0x40)->how = UNWIND_FRAME_POINTER; // 0x102c0
    scene_frame(scene, stack, "c");
    scene_entry(stack, 0x102c8);
    expect(scene, "? a lib_sort b c list_sort_impl", "? a ? lib_sort b ? ? c list_sort_impl");
    assert_int_equal(notes(scene)->count, 0);
    scene_destroy(scene);
}

static void test_entries_without_frames(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030b);
    scene_native(scene, 0, LOOP, 0x100); // 0x10000: has its entry, no frame yet
    scene_native(scene, 0, "list_sort_impl", 0x40);
    scene_native(scene, 0, LOOP, 0x100); // 0x10140
    scene_entry(stack, 0x10010);
    scene_frame(scene, stack, "a");
    scene_entry(stack, 0x10150);
    expect(scene, "list_sort_impl a", LOOP " list_sort_impl a " LOOP);
    assert_int_equal(notes(scene)->count, 0);
    // One without even an entry has just been entered.
    stack->entries.items[0].addr = 0;
    expect(scene, "list_sort_impl a", LOOP " list_sort_impl a " LOOP);
    assert_int_equal(notes(scene)->count, 0);
    // The chain of frames broke: loops without frames are all that is known of them.
    stack->cut = err_create(ERR_FAULT, "not there");
    expect(scene, LOOP " list_sort_impl a", LOOP " list_sort_impl a " LOOP);
    scene_destroy(scene);
}

static void test_subinterpreters(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *sub = begin(&scene, 0x030d), *main = scene_stack(scene, 0x7001, 0);
    sub->thread.interp_id = 3;
    scene_native(scene, 0, LOOP, 0x100);       // 0x10000, of main again
    scene_native(scene, 0, "callback", 0x100); // 0x10100
    scene_native(scene, 0, LOOP, 0x100);       // 0x10200, of the subinterpreter
    scene_native(scene, 0, "run_string", 0x100);
    scene_native(scene, 0, LOOP, 0x100);       // 0x10400
    scene_frame(scene, sub, "sub");
    scene_entry(sub, 0x10220);
    scene_frame(scene, main, "inner");
    scene_entry(main, 0x10020);
    scene_frame(scene, main, "outer");
    scene_entry(main, 0x10420);
    expect(scene, "inner callback sub run_string outer",
           "inner " LOOP " callback sub " LOOP " run_string outer " LOOP);
    assert_int_equal(notes(scene)->count, 0);
    scene_destroy(scene);
}

// A greenlet runs on the stack of the one that it will switch back to, whose frames are no part of
// the thread's chain meanwhile.
static void test_greenlets(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030c);
    static const char *const natives[] = {LOOP, "lib_greenlet", LOOP, "list_sort_impl", LOOP};
    for (size_t i = 0; i < 5; i++)
        scene_native(scene, 0, natives[i], 0x100);
    scene_frame(scene, stack, "a");
    scene_entry(stack, 0x10000);
    expect(scene, "a lib_greenlet " LOOP " list_sort_impl " LOOP,
           "a " LOOP " lib_greenlet " LOOP " list_sort_impl " LOOP);
    assert_int_equal(notes(scene)->count, 1);
    scene_assert_note(scene, notes(scene), 0, "2 evaluation loops on the native stack without");
    scene->native_stacks[0].frames.count = 4;
    expect(scene, "a lib_greenlet " LOOP " list_sort_impl",
           "a " LOOP " lib_greenlet " LOOP " list_sort_impl");
    scene_assert_note(scene, notes(scene), 0, "1 evaluation loop on the");
    // The innermost one may have just been entered.
    stack->entries.items[0].addr = 0x10200;
    expect(scene, "lib_greenlet a list_sort_impl",
           LOOP " lib_greenlet a " LOOP " list_sort_impl");
    assert_int_equal(notes(scene)->count, 0);
    scene_destroy(scene);
}

// Where the function is met that starts greenlets, a greenlet's own part of the stack ends: what lies further
// out is left out, damaged or not.
static void test_greenlet_start(void **state)
{
    (void)state;
    for (uint16_t version = 0x0308; version <= 0x030c; version += 4) {
        struct scene *scene;
        struct py_stack *stack = begin(&scene, version);
        sleeping(scene);
        scene_native(scene, 0, LOOP, 0x100); // 0x10080
        scene_native(scene, 0, "lib_g_initialstub", 0x100);
        scene_native(scene, 0, "lib_g_switch", 0x100);
        scene_native(scene, 0, LOOP, 0x100);
        scene_native(scene, 0, LOOP, 0x100);
        scene->native_stacks[0].end = UNWIND_END_CORRUPT;
        scene_frame(scene, stack, "a");
        scene_entry(stack, 0x10080);
        expect(scene, "libc_read os_read a lib_g_initialstub",
               "libc_read os_read a " LOOP " lib_g_initialstub");
        assert_int_equal(notes(scene)->count, 0);
        scene_destroy(scene);
        // Who starts another one is in that function, too, until it is switched back to.
        stack = begin(&scene, version);
        scene_native(scene, 0, "lib_slp_switch", 0x40);
        scene_native(scene, 0, "lib_g_initialstub", 0x40);
        scene_native(scene, 0, LOOP, 0x100); // 0x10080
        scene_native(scene, 0, "lib_main", 0x100);
        scene_frame(scene, stack, "a");
        scene_entry(stack, 0x10080);
        expect(scene, "lib_slp_switch lib_g_initialstub a lib_main",
               "lib_slp_switch lib_g_initialstub a " LOOP " lib_main");
        assert_int_equal(notes(scene)->count, 0);
        scene_destroy(scene);
    }
}

// A handler on an alternate signal stack that lies above the interrupted one.
static void test_signal_stack(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030e);
    scene_native(scene, 0, LOOP, 0x100)->sp += 0x50000;
    scene->native_stacks[0].frames.items[0].cfa += 0x50000; // 0x60000
    struct unwind_frame *kernel = scene_native(scene, 0, "lib__restore_rt", 0);
    kernel->signal = true;
    kernel->cfa = 0x10000;
    scene_native(scene, 0, LOOP, 0x100); // 0x10000
    scene_native(scene, 0, "lib_main", 0x100);
    scene_frame(scene, stack, "handler");
    scene_entry(stack, 0x60010);
    scene_frame(scene, stack, "interrupted");
    scene_entry(stack, 0x10010);
    expect(scene, "handler lib__restore_rt interrupted lib_main",
           "handler " LOOP " lib__restore_rt interrupted " LOOP " lib_main");
    const struct snap_frames *frames = &scene->snapshot->threads.items[0].frames;
    assert_int_equal(frames->items[1].flags, SNAP_FRAME_SIGNAL);
    assert_int_equal(notes(scene)->count, 0);
    // Below it: the kernel's frame seems to span everything between, and owns nothing of it.
    kernel->sp = 0x1000;
    kernel->cfa = 0x10000;
    expect(scene, "handler lib__restore_rt interrupted lib_main",
           "handler " LOOP " lib__restore_rt interrupted " LOOP " lib_main");
    stack->entries.items[1].addr = 0x5000;
    expect(scene, "handler lib__restore_rt " LOOP " lib_main interrupted",
           "handler " LOOP " lib__restore_rt " LOOP " lib_main interrupted");
    scene_assert_note(scene, notes(scene), 0, "the place of 1 Python frame");
    scene_destroy(scene);
}

// -X perf puts a trampoline outside of each loop; the JIT's code is inside of it.
static void test_generated_code(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030c);
    scene_native(scene, 0, "@jit", 0x40);             // 0x10000
    scene_native(scene, 0, LOOP, 0x100);              // 0x10040
    scene_native(scene, 0, "@trampoline", 0x40);
    scene_native(scene, 0, "_PyEval_Vector", 0x40);
    scene_native(scene, 0, "@numba", 0x40);
    scene_native(scene, 0, "lib_dispatch", 0x40);
    scene_frame(scene, stack, "a");
    scene_entry(stack, 0x10040);
    expect(scene, "@jit a @numba lib_dispatch",
           "@jit a " LOOP " @trampoline _PyEval_Vector @numba lib_dispatch");
    scene->process.dec.layout.version = 0x030d;
    expect(scene, "a @numba lib_dispatch",
           "@jit a " LOOP " @trampoline _PyEval_Vector @numba lib_dispatch");
    // Where the JIT's code had to be left by guesses, there may seem to be more of it.
    struct unwind_frame *natives = scene->native_stacks[0].frames.items;
    struct unwind_frame jit = natives[0];
    natives[0].pc = natives[2].pc; // "@trampoline"
    natives[0].exact_pc = false;
    natives[0].cfa -= 0x20;
    assert_true(vec_push(&scene->native_stacks[0].frames, jit));
    natives = scene->native_stacks[0].frames.items;
    size_t count = scene->native_stacks[0].frames.count;
    memmove(natives + 2, natives + 1, (count - 2) * sizeof(*natives));
    natives[1] = jit;
    natives[1].sp += 0x20;
    expect(scene, "a @numba lib_dispatch",
           "@trampoline @jit a " LOOP " @trampoline _PyEval_Vector @numba lib_dispatch");
    memmove(natives, natives + 1, --scene->native_stacks[0].frames.count * sizeof(*natives));
    // Another library's code that calls the loop itself is no trampoline.
    scene_native(scene, 0, LOOP, 0x100); // 0x10240
    scene_native(scene, 0, "@callback", 0x40);
    scene_native(scene, 0, "lib_other", 0x40);
    scene_frame(scene, stack, "b");
    scene_entry(stack, 0x10240);
    expect(scene, "a @numba lib_dispatch b @callback lib_other",
           "@jit a " LOOP " @trampoline _PyEval_Vector @numba lib_dispatch b " LOOP
           " @callback lib_other");
    scene_destroy(scene);
}

// ---- Where it is not certain --------------------------------------------------------------------

static void test_uncertain(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030c);
    scene_native(scene, 0, "os_read", 0x40);        // 0x10000
    scene_native(scene, 0, LOOP, 0x100);            // 0x10040
    scene_native(scene, 0, "list_sort_impl", 0x40); // 0x10140
    scene_native(scene, 0, LOOP, 0x100);            // 0x10180
    scene_native(scene, 0, "lib_main", 0x40);       // 0x10280
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        scene_frame(scene, stack, names[i]);
        scene_entry(stack, 0);
    }
    struct py_entry *e = stack->entries.items;
    // None has a place: both stacks, Python's first, and nothing is left out that may be missed.
    expect(scene, "a b c os_read " LOOP " list_sort_impl " LOOP " lib_main",
           "a b c os_read " LOOP " list_sort_impl " LOOP " lib_main");
    assert_int_equal(notes(scene)->count, 1);
    scene_assert_note(scene, notes(scene), 0, "the place of 3 Python frames among the native ones");
    // One in the middle: it comes after the one before it.
    e[0].addr = 0x10040;
    e[2].addr = 0x10180;
    expect(scene, "os_read a b list_sort_impl c lib_main",
           "os_read a " LOOP " b list_sort_impl c " LOOP " lib_main");
    scene_assert_note(scene, notes(scene), 0, "the place of 1 Python frame among");
    // The outermost: at the end.
    e[1].addr = 0x10180;
    e[2].addr = 0x99999;
    expect(scene, "os_read a list_sort_impl b lib_main c",
           "os_read a " LOOP " list_sort_impl b " LOOP " lib_main c");
    scene_assert_note(scene, notes(scene), 0, "the place of 1 Python frame among");
    // Two that contradict the order of Python's own frames.
    e[0].addr = 0x10180;
    e[1].addr = 0x10040;
    e[2].addr = 0x10190;
    expect(scene, "os_read " LOOP " list_sort_impl a b c lib_main",
           "os_read " LOOP " list_sort_impl a " LOOP " b c lib_main");
    scene_assert_note(scene, notes(scene), 0, "the place of 1 Python frame among");
    scene_destroy(scene);
}

static void test_walk_that_ended_early(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030c);
    scene_native(scene, 0, "os_read", 0x40); // 0x10000
    scene_native(scene, 0, LOOP, 0x100);     // 0x10040
    scene_native(scene, 0, "list_sort_impl", 0x40)->cfa = 0; // 0x10140
    scene_frame(scene, stack, "a");
    scene_entry(stack, 0x10040);
    scene_frame(scene, stack, "b");
    scene_entry(stack, 0x10400);
    scene->native_stacks[0].end = UNWIND_END_MEMORY;
    expect(scene, "os_read a list_sort_impl b", "os_read a " LOOP " list_sort_impl b");
    assert_int_equal(notes(scene)->count, 1);
    scene_assert_note(scene, notes(scene), 0, "the native stack is known only so far: ");
    // It did not even come to the first loop.
    scene->native_stacks[0].frames.count = 1;
    expect(scene, "os_read a b", "os_read a b");
    assert_int_equal(notes(scene)->count, 1);
    // Then it does not matter either where the loops lie; but what may be one does.
    stack->entries.items[0].addr = stack->entries.items[1].addr = 0;
    expect(scene, "os_read a b", "os_read a b");
    assert_int_equal(notes(scene)->count, 1);
    scene->native_stacks[0].frames.count = 2;
    expect(scene, "a b os_read " LOOP, "a b os_read " LOOP);
    assert_int_equal(notes(scene)->count, 2);
    scene_destroy(scene);
}

// ---- Up to 3.10: by count -----------------------------------------------------------------------

static struct py_stack *old_scene(struct scene **ret)
{
    struct py_stack *stack = begin(ret, 0x0308);
    static const char *const natives[] = {"os_read", LOOP, "_PyFunction_Vectorcall", LOOP,
                                          "gen_send_ex", "list_sort_impl", LOOP, "lib_main"};
    for (size_t i = 0; i < ARRAY_SIZE(natives); i++)
        scene_native(*ret, 0, natives[i], 0x100); // 0x10000, 0x10100 ...
    return stack;
}

static void old_frame(struct scene *scene, struct py_stack *stack, const char *name)
{
    scene_frame(scene, stack, name);
    scene_entry(stack, 0);
}

static void test_counts(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = old_scene(&scene);
    old_frame(scene, stack, "a");
    old_frame(scene, stack, "b");
    // The newest loop has no frame yet.
    expect(scene, "os_read a list_sort_impl b lib_main",
           "os_read " LOOP " _PyFunction_Vectorcall a " LOOP
           " gen_send_ex list_sort_impl b " LOOP " lib_main");
    assert_int_equal(notes(scene)->count, 0);
    old_frame(scene, stack, "c");
    expect(scene, "os_read a b list_sort_impl c lib_main",
           "os_read a " LOOP " _PyFunction_Vectorcall b " LOOP
           " gen_send_ex list_sort_impl c " LOOP " lib_main");
    assert_int_equal(notes(scene)->count, 0);
    // Counting from the outermost needs all of them: frames that a scan may have missed, or a chain
    // of Python's that is cut off, leave no pair certain.
    static const char both[] = "a b c os_read " LOOP " _PyFunction_Vectorcall " LOOP
                               " gen_send_ex list_sort_impl " LOOP " lib_main";
    static const char both_folded[] =
        "a b c os_read " LOOP " " LOOP " list_sort_impl " LOOP " lib_main";
    scene->native_stacks[0].frames.items[5].how = UNWIND_SCAN;
    expect(scene, both_folded, both);
    scene->native_stacks[0].frames.items[5].how = UNWIND_CFI;
    stack->cut = err_create(ERR_FAULT, "not there");
    expect(scene, both_folded, both);
    err_destroy(stack->cut);
    stack->cut = NULL;
    // The newest frame is one too many.
    old_frame(scene, stack, "d");
    expect(scene, "a os_read b c list_sort_impl d lib_main",
           "a os_read b " LOOP " _PyFunction_Vectorcall c " LOOP
           " gen_send_ex list_sort_impl d " LOOP " lib_main");
    assert_int_equal(notes(scene)->count, 0);
    // Two are not: then no pair is certain.
    old_frame(scene, stack, "e");
    expect(scene,
           "a b c d e os_read " LOOP " " LOOP " list_sort_impl " LOOP " lib_main",
           "a b c d e os_read " LOOP " _PyFunction_Vectorcall " LOOP
           " gen_send_ex list_sort_impl " LOOP " lib_main");
    assert_int_equal(notes(scene)->count, 1);
    scene_assert_note(scene, notes(scene), 0, "not as many evaluation loops");
    scene_destroy(scene);
}

// The frame object's address lies in the loop's own piece of the stack.
static void test_evidence(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = old_scene(&scene);
    struct unwind_frames *natives = &scene->native_stacks[0].frames;
    for (size_t i = 0; i < natives->count; i++) {
        natives->items[i].sp += FAKE_BASE - 0x10000;
        natives->items[i].cfa += FAKE_BASE - 0x10000;
    }
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++)
        old_frame(scene, stack, names[i]);
    const struct py_frame *f = stack->frames.items;
    scene->in.stack_memory = scene->memory.mem;
    fake_put_u64(&scene->memory, FAKE_BASE + 0x600, f[4].addr); // its first word
    fake_put_u64(&scene->memory, FAKE_BASE + 0x348, f[2].addr);
    fake_put_u64(&scene->memory, FAKE_BASE + 0x350, f[1].addr); // about to be called
    expect(scene, "a b os_read " LOOP " c d list_sort_impl e lib_main",
           "a b os_read " LOOP " _PyFunction_Vectorcall c " LOOP
           " d gen_send_ex list_sort_impl e " LOOP " lib_main");
    scene_assert_note(scene, notes(scene), 0, "the place of 3 Python frames");
    // An end before the outermost ones were reached: those that follow come behind.
    scene->native_stacks[0].end = UNWIND_END_NO_INFO;
    fake_put_u64(&scene->memory, FAKE_BASE + 0x600, f[3].addr);
    fake_put_u64(&scene->memory, FAKE_BASE + 0x1f8, f[1].addr); // its last word
    expect(scene, "a os_read b c list_sort_impl d lib_main e",
           "a os_read b " LOOP " _PyFunction_Vectorcall c " LOOP
           " gen_send_ex list_sort_impl d " LOOP " lib_main e");
    assert_int_equal(notes(scene)->count, 2);
    scene_assert_note(scene, notes(scene), 0, "known only so far");
    scene_assert_note(scene, notes(scene), 1, "the place of 1 Python frame ");
    // No loop was reached at all.
    natives->count = 1;
    expect(scene, "os_read a b c d e", "os_read a b c d e");
    assert_int_equal(notes(scene)->count, 1);
    scene_destroy(scene);
}

// The stripped ".cold" part of the loop has no name; the frame object gives it away.
static void test_loop_without_a_name(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x0309);
    static const char *const natives[] = {LOOP, "?", LOOP, "?", LOOP, "lib_main"};
    for (size_t i = 0; i < ARRAY_SIZE(natives); i++) {
        struct unwind_frame *frame = scene_native(scene, 0, natives[i], 0x100);
        if (!i)
            frame->sp = FAKE_BASE, frame->cfa = FAKE_BASE + 0x100;
    }
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++)
        old_frame(scene, stack, names[i]);
    static const size_t at[] = {0, 1, 2, 3, 4};
    scene->in.stack_memory = scene->memory.mem;
    for (size_t i = 0; i < 5; i++)
        fake_put_u64(&scene->memory, FAKE_BASE + 0x100 * at[i] + 0x40, stack->frames.items[i].addr);
    expect(scene, "a b c d e lib_main",
           "a " LOOP " b ? c " LOOP " d ? e " LOOP " lib_main");
    assert_int_equal(notes(scene)->count, 0);
    scene_destroy(scene);
}

// ---- Names, roles, flags ------------------------------------------------------------------------

static void test_roles(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum native_role role;
    } rows[] = {
        {LOOP, NATIVE_LOOP},
        {LOOP ".cold", NATIVE_LOOP},
        {LOOP ".lto_priv.0", NATIVE_LOOP},
        {LOOP "Ex", NATIVE_WORK},
        {"_PyEval_Vector", NATIVE_MACHINERY},
        {"PyEval_EvalFrameEx", NATIVE_MACHINERY},
        {"_PyFunction_Vectorcall.localalias", NATIVE_MACHINERY},
        {"_PyObject_VectorcallTstate.constprop.3", NATIVE_MACHINERY},
        {"PyObject_CallFunctionObjArgs", NATIVE_MACHINERY},
        {"method_vectorcall_NOARGS", NATIVE_MACHINERY},
        {"cfunction_vectorcall_FASTCALL", NATIVE_MACHINERY},
        {"slot_tp_call", NATIVE_MACHINERY},
        {"type_call", NATIVE_MACHINERY},
        {"type_call_of_another", NATIVE_WORK},
        {"_TAIL_CALL_CALL_KW", NATIVE_MACHINERY},
        {"pymain_run_python", NATIVE_MACHINERY},
        {"list_sort_impl", NATIVE_WORK},
        {"builtin_exec", NATIVE_WORK},
        {"time_sleep", NATIVE_WORK},
        {"subtype_dealloc", NATIVE_WORK},
        {"_PyObject_GC_New", NATIVE_WORK},
        {"_PyEval_EvalFram", NATIVE_WORK},
        {"", NATIVE_WORK},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (snap_native_role(rows[i].name) != rows[i].role)
            fail_msg("%s is %d", rows[i].name, snap_native_role(rows[i].name));
}

static void test_inlined_and_flags(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030b);
    struct unwind_frame *frame = scene_native(scene, 0, "outer", 0x40);
    struct strtab *strings = scene->strings;
    struct snap_native native = {.count = 3, .named = true, .of_interpreter = true};
    struct snap_frame known[3] = {
        {.kind = SNAP_NATIVE, .flags = SNAP_FRAME_INLINED, .line = 7, .address = 0x500001,
         .function = strtab_add_cstr(strings, "inner"), .file = strtab_add_cstr(strings, "x.c")},
        {.kind = SNAP_NATIVE, .flags = SNAP_FRAME_INLINED, .line = 8, .address = 0x500001,
         .function = strtab_add_cstr(strings, "_PyObject_VectorcallTstate"), .activation = 1},
        {.kind = SNAP_NATIVE, .line = 9, .address = 0x500001, .offset = 1,
         .function = strtab_add_cstr(strings, "function")},
    };
    frame->pc = 0x500001;
    frame->exact_pc = false;
    frame->how = UNWIND_SCAN;
    assert_true(snap_native_put(scene->in.natives, frame->pc, false, &native, known, true));
    scene_native(scene, 0, "likely", 0x40)->how = UNWIND_FRAME_POINTER;
    expect(scene, "inner _PyObject_VectorcallTstate function likely",
           "inner _PyObject_VectorcallTstate function likely");
    scene_frame(scene, stack, "python");
    scene_native(scene, 0, LOOP, 0x40);
    scene_entry(stack, 0x10080);
    expect(scene, "inner function likely python",
           "inner _PyObject_VectorcallTstate function likely python " LOOP);
    const struct snap_frame *f = scene->snapshot->threads.items[0].frames.items;
    assert_int_equal(f[0].flags, SNAP_FRAME_INLINED | SNAP_FRAME_GUESSED);
    assert_int_equal(f[0].line, 7);
    assert_int_equal(f[0].file, known[0].file);
    assert_int_equal(f[0].address, 0x500001);
    assert_int_equal(f[1].flags, SNAP_FRAME_GUESSED);
    assert_int_equal(f[1].offset, 1);
    assert_int_equal(f[2].flags, SNAP_FRAME_LIKELY);
    assert_int_equal(f[3].kind, SNAP_PYTHON);
    assert_int_equal(f[3].address, 0);
    for (size_t i = 0; i < 4; i++)
        assert_true(f[i].activation != 0);
    // The same pc as a return address and as the place where it executes are two things.
    uint32_t return_to = snap_native_at(scene->in.natives, &scene->target, 0x500001, false);
    uint32_t here = snap_native_at(scene->in.natives, &scene->target, 0x500001, true);
    assert_int_not_equal(return_to, here);
    assert_int_equal(snap_native_get(scene->in.natives, return_to)->count, 3);
    assert_int_equal(snap_native_get(scene->in.natives, here)->role, NATIVE_ANONYMOUS);
    scene_destroy(scene);
}

static void test_no_thread_state(void **state)
{
    (void)state;
    struct scene *scene = scene_create();
    scene->process.dec.layout.version = 0x030c;
    scene_thread(scene, PID, 0x7001);
    scene_native(scene, 0, "libc_wait", 0x40);
    scene_native(scene, 0, "_PyObject_Call", 0x40); // nothing of Python stands for it
    scene_native(scene, 0, "Py_RunMain", 0x40);
    expect(scene, "libc_wait _PyObject_Call Py_RunMain", "libc_wait _PyObject_Call Py_RunMain");
    assert_false(scene->snapshot->threads.items[0].known_to_python);
    scene_destroy(scene);
}

// ---- Activations --------------------------------------------------------------------------------

static void test_activations(void **state)
{
    (void)state;
    struct scene *scene;
    struct py_stack *stack = begin(&scene, 0x030c);
    scene_native(scene, 0, "os_read", 0x40);
    scene_native(scene, 0, LOOP, 0x100); // 0x10040
    scene_native(scene, 0, "list_sort_impl", 0x40);
    scene_native(scene, 0, LOOP, 0x100); // 0x10180
    scene_native(scene, 0, "lib_main", 0x40);
    scene_frame(scene, stack, "a");
    scene_entry(stack, 0x10040);
    scene_frame(scene, stack, "b");
    scene_entry(stack, 0x10180);
    uint64_t before[5];
    enum { READ, A, SORT, B, MAIN };
    const struct snap_frames *frames = &scene_build(scene)->threads.items[0].frames;
    assert_int_equal(frames->count, 5);
    for (size_t i = 0; i < 5; i++)
        before[i] = frames->items[i].activation;
    struct unwind_frame *natives = scene->native_stacks[0].frames.items;
#define ASSERT_OTHERS(...)                                                        \
    do {                                                                          \
        static const bool others_[5] = {__VA_ARGS__};                             \
        frames = &scene_build(scene)->threads.items[0].frames;                    \
        for (size_t i_ = 0; i_ < 5; i_++)                                         \
            assert_int_equal(frames->items[i_].activation != before[i_], others_[i_]); \
    } while (0)
    ASSERT_OTHERS(false, false, false, false, false);
    natives[4].cfa += 16; // what Python's frames run is told from themselves
    ASSERT_OTHERS(false, false, false, false, true);
    natives[4].cfa -= 16;
    stack->frames.items[1].content++; // b went on: its call of sort is another one
    ASSERT_OTHERS(true, true, true, false, false);
    stack->frames.items[1].content--;
    natives[2].cfa += 16;
    ASSERT_OTHERS(false, false, true, false, false);
    natives[2].cfa -= 16;
    stack->frames.items[0].offset_bytes += 2; // a is at another call
    ASSERT_OTHERS(true, false, false, false, false);
    stack->frames.items[0].offset_bytes -= 2;
    ASSERT_OTHERS(false, false, false, false, false);
    scene_destroy(scene);
}

// ---- Nothing is lost ----------------------------------------------------------------------------

static void random_scene(uint64_t *seed)
{
    static const uint16_t versions[] = {0x0308, 0x030b, 0x030c, 0x030f};
    static const char *const natives[] = {LOOP, "work", "?", "@", "lib", "_PyEval_Vector"};
    struct scene *scene;
    struct py_stack *stacks[2];
    char name[16];
    stacks[0] = begin(&scene, versions[fake_random(seed) % 4]);
    stacks[1] = scene_stack(scene, 0x7001, 1);
    size_t count = fake_random(seed) % 12, numbers[2] = {0};
    scene->native_stacks[0].end = fake_random(seed) % 6;
    scene->in.raw_native = true;
    for (size_t i = 0; i < count; i++) {
        struct unwind_frame *frame =
            scene_native(scene, 0, natives[fake_random(seed) % 6], fake_random(seed) % 64);
        frame->how = fake_random(seed) % 5;
        if (fake_random(seed) % 16 == 0)
            frame->cfa = fake_random(seed) % 4 ? 0 : UINT64_MAX;
        if (fake_random(seed) % 16 == 0)
            frame->sp = 0x10000 + fake_random(seed) % 512;
    }
    for (size_t s = 0; s < 2; s++) {
        for (size_t e = fake_random(seed) % 6; e > 0; e--) {
            for (size_t f = fake_random(seed) % 3; f > 0; f--) {
                snprintf(name, sizeof(name), "%c%zu", (int)('A' + s), numbers[s]++);
                scene_frame(scene, stacks[s], name);
                if (versions[0] == scene->process.dec.layout.version)
                    scene_entry(stacks[s], 0);
            }
            if (versions[0] != scene->process.dec.layout.version && fake_random(seed) % 8)
                scene_entry(stacks[s],
                            fake_random(seed) % 8 ? 0x10000 + fake_random(seed) % 512 : 0);
        }
    }
    size_t seen[2] = {0}, native = 0;
    const struct snap_frames *frames = &scene_build(scene)->threads.items[0].frames;
    vec_foreach(frame, frames) {
        if (frame->kind == SNAP_NATIVE) {
            assert_true(native < count);
            assert_int_equal(frame->address, scene->native_stacks[0].frames.items[native++].pc);
            continue;
        }
        const char *text = strtab_get(scene->strings, frame->function);
        size_t s = (size_t)(text[0] - 'A');
        assert_int_equal(strtoul(text + 1, NULL, 10), seen[s]++);
    }
    assert_int_equal(native, count);
    assert_int_equal(seen[0], numbers[0]);
    assert_int_equal(seen[1], numbers[1]);
    // Folded, Python's frames are the same.
    scene->in.raw_native = false;
    size_t python = 0;
    frames = &scene_build(scene)->threads.items[0].frames;
    vec_foreach(frame, frames)
        python += frame->kind == SNAP_PYTHON;
    assert_int_equal(python, numbers[0] + numbers[1]);
    scene_destroy(scene);
}

static void test_nothing_is_lost(void **state)
{
    (void)state;
    uint64_t seed = 20;
    for (int i = 0; i < 1000; i++)
        random_scene(&seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sandwich),
        cmocka_unit_test(test_without_names),
        cmocka_unit_test(test_entries_without_frames),
        cmocka_unit_test(test_subinterpreters),
        cmocka_unit_test(test_greenlets),
        cmocka_unit_test(test_greenlet_start),
        cmocka_unit_test(test_signal_stack),
        cmocka_unit_test(test_generated_code),
        cmocka_unit_test(test_uncertain),
        cmocka_unit_test(test_walk_that_ended_early),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_evidence),
        cmocka_unit_test(test_loop_without_a_name),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_inlined_and_flags),
        cmocka_unit_test(test_no_thread_state),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
