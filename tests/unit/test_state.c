// SPDX-License-Identifier: GPL-3.0-or-later
// Interpreters, thread states, GILs and names from synthetic memory; and what a thread is doing,
// from its registers and the kernel's words.
#include "fake_python.h"

#include "snapshot/build.h"
#include "util/limits.h"

static struct py_state read_state(struct fake_python *py)
{
    struct py_state state = {0};
    py_state_read(&py->process, &state);
    // Again: it is filled anew, not added to.
    py_state_read(&py->process, &state);
    return state;
}

// ---- Thread states ------------------------------------------------------------------------------

static void threads(struct fake_python *py)
{
    uint64_t interp = fake_interpreter(py, 0, 0);
    uint64_t main = fake_thread(py, interp, 0x7f01, 101, 0x1230);
    uint64_t worker = fake_thread(py, interp, 0x7f02, 102, 0);
    uint64_t sub = fake_interpreter(py, interp, 5), other = fake_thread(py, sub, 0x7f03, 103, 0);
    bool has_native = py_layout_has(&py->dec->layout, PY_TS_native_thread_id);
    bool has_ids = py_layout_has(&py->dec->layout, PY_IS_id);
    fake_gil(py, worker);
    struct py_state state = read_state(py);
    assert_null(state.cut);
    assert_int_equal(state.interpreters, 2);
    assert_int_equal(state.threads.count, 3);
    const struct py_thread *t = state.threads.items;
    // Newest interpreter first, newest thread first.
    assert_int_equal(t[0].tstate, other);
    assert_int_equal(t[1].tstate, worker);
    assert_int_equal(t[2].tstate, main);
    assert_int_equal(t[0].interp, sub);
    assert_int_equal(t[0].interp_id, has_ids ? 5 : 0);
    assert_int_equal(t[2].interp_id, 0);
    assert_int_equal(t[2].ident, 0x7f01);
    assert_int_equal(t[2].native_id, has_native ? 101 : 0);
    assert_true(t[2].root != 0);
    assert_int_equal(state.gils.count, 1);
    assert_true(state.gils.items[0].known && state.gils.items[0].locked);
    for (int i = 0; i < 3; i++) {
        assert_true(t[i].gil_known);
        assert_int_equal(t[i].holds_gil, i == 1);
        assert_false(t[i].in_gc);
    }
    // Released: the last holder is only history.
    fake_gil(py, 0);
    py_state_read(&py->process, &state);
    for (int i = 0; i < 3; i++)
        assert_false(state.threads.items[i].holds_gil);
    assert_false(state.gils.items[0].locked);
    py_state_deinit(&state);
    py_state_deinit(&state);
}

static void test_threads(void **state)
{
    (void)state;
    fake_each_build(threads, 4 << 20);
}

static void collecting(struct fake_python *py)
{
    uint64_t interp = fake_interpreter(py, 0, 0);
    fake_thread(py, interp, 1, 1, 0);
    uint64_t holder = fake_thread(py, interp, 2, 2, 0);
    fake_gil(py, holder);
    bool told = fake_set(py, interp, PY_IS_gc_collecting, 1) ||
                (py->process.runtime && fake_set(py, py->process.runtime, PY_RT_gc_collecting, 1));
    struct py_state state = read_state(py);
    // That a collection is under way is known of the interpreter; in which thread, is not.
    assert_int_equal(state.threads.items[0].collecting, told);
    assert_int_equal(state.threads.items[1].collecting, told);
    assert_false(state.threads.items[0].in_gc || state.threads.items[1].in_gc);
    py_state_deinit(&state);
}

static void test_gc(void **state)
{
    (void)state;
    fake_each_build(collecting, 4 << 20);
}

// 3.12+: an interpreter may have a GIL of its own.
static void own_gils(struct fake_python *py)
{
    if (!py_layout_has(&py->dec->layout, PY_IS_ceval_gil))
        return;
    uint64_t interp = fake_interpreter(py, 0, 0), main = fake_thread(py, interp, 1, 1, 0);
    fake_gil(py, main);
    uint64_t sub = fake_interpreter(py, interp, 1), worker = fake_thread(py, sub, 2, 2, 0);
    uint64_t own = fake_alloc(&py->memory, 512);
    fake_set(py, own, PY_GIL_enabled, 1);
    fake_set(py, own, PY_GIL_locked, 1);
    fake_set(py, own, PY_GIL_last_holder, worker);
    fake_set(py, sub, PY_IS_ceval_gil, own);
    struct py_state state = read_state(py);
    assert_int_equal(state.gils.count, 2);
    assert_true(state.threads.items[0].holds_gil && state.threads.items[1].holds_gil);
    // Not created yet (-1); and, on free-threaded builds, switched off.
    fake_set(py, own, PY_GIL_locked, (uint32_t)-1);
    py_state_read(&py->process, &state);
    assert_false(state.threads.items[0].holds_gil);
    assert_true(state.threads.items[0].gil_known);
    if (fake_set(py, own, PY_GIL_enabled, 0)) {
        fake_set(py, own, PY_GIL_locked, 1);
        py_state_read(&py->process, &state);
        assert_false(state.threads.items[0].holds_gil || state.threads.items[0].gil_known);
        assert_int_equal(state.gils.count, 1);
    }
    // Nobody knows: an interpreter that is being set up.
    fake_set(py, sub, PY_IS_ceval_gil, 0);
    py_state_read(&py->process, &state);
    assert_false(state.threads.items[0].gil_known);
    assert_true(state.threads.items[1].holds_gil);
    py_state_deinit(&state);
}

static void test_own_gils(void **state)
{
    (void)state;
    fake_each_build(own_gils, 4 << 20);
}

// ---- Damage -------------------------------------------------------------------------------------

static void damaged_lists(struct fake_python *py)
{
    uint64_t all[40];
    uint64_t interp = fake_interpreter(py, 0, 0);
    for (size_t i = 40; i-- > 0;)
        all[i] = fake_thread(py, interp, 0x7f00 + i, 100 + i, 0);
    // A round at every distance from the head: each thread is kept once.
    for (size_t back = 0; back < 40; back++) {
        fake_set(py, all[39], PY_TS_next, all[back]);
        struct py_state state = read_state(py);
        assert_non_null(state.cut);
        assert_int_equal(err_code(state.cut), ERR_BAD_DATA);
        assert_int_equal(state.threads.count, 40);
        for (size_t i = 0; i < 40; i++)
            assert_int_equal(state.threads.items[i].tstate, all[i]);
        py_state_deinit(&state);
    }
    // One of another interpreter; memory that is not there.
    fake_set(py, all[39], PY_TS_next, 0);
    fake_set(py, all[3], PY_TS_interp, interp + 8);
    struct py_state state = read_state(py);
    assert_int_equal(err_code(state.cut), ERR_BAD_DATA);
    assert_int_equal(state.threads.count, 3);
    fake_set(py, all[3], PY_TS_interp, interp);
    fake_set(py, all[20], PY_TS_next, 0x1000);
    py_state_read(&py->process, &state);
    assert_int_equal(err_code(state.cut), ERR_FAULT);
    assert_int_equal(state.threads.count, 21);
    py_state_deinit(&state);
}

static void test_damaged_thread_lists(void **state)
{
    (void)state;
    fake_each_build(damaged_lists, 4 << 20);
}

static void damaged_interpreters(struct fake_python *py)
{
    struct py_state state = read_state(py);
    assert_int_equal(err_code(state.cut), ERR_NOT_FOUND); // not started
    uint64_t interps[10], next = 0;
    for (size_t i = 10; i-- > 0;) {
        interps[i] = next = fake_interpreter(py, next, (int64_t)i);
        fake_thread(py, next, i + 1, i + 1, 0);
    }
    for (size_t back = 0; back < 10; back++) {
        fake_set(py, interps[9], PY_IS_next, interps[back]);
        py_state_read(&py->process, &state);
        assert_int_equal(err_code(state.cut), ERR_BAD_DATA);
        assert_int_equal(state.threads.count, 10);
        assert_int_equal(state.interpreters, 10);
    }
    fake_set(py, interps[9], PY_IS_next, 0);
    fake_set(py, interps[4], PY_IS_next, 0x1000);
    py_state_read(&py->process, &state);
    assert_int_equal(err_code(state.cut), ERR_FAULT);
    assert_int_equal(state.threads.count, 5);
    assert_non_null(strstr(err_message(state.cut), "interpreter at 0x1000"));
    py_state_deinit(&state);
}

static void test_damaged_interpreter_lists(void **state)
{
    (void)state;
    fake_each_build(damaged_interpreters, 4 << 20);
}

static void test_limits(void **state)
{
    (void)state;
    struct fake_python py;
    fake_python_init(&py, 0x030b, PY_BUILD_RELEASE, 160 << 20);
    uint64_t interp = fake_interpreter(&py, 0, 0);
    for (int i = 0; i < LIMIT_THREADS + 1; i++)
        fake_thread(&py, interp, 1, 1, 0);
    struct py_state found = read_state(&py);
    assert_int_equal(err_code(found.cut), ERR_LIMIT);
    assert_int_equal(found.threads.count, LIMIT_THREADS);
    uint64_t next = 0;
    for (int i = 0; i < LIMIT_INTERPRETERS + 1; i++)
        next = fake_interpreter(&py, next, i);
    py_state_read(&py.process, &found);
    assert_int_equal(err_code(found.cut), ERR_LIMIT);
    assert_int_equal(found.interpreters, LIMIT_INTERPRETERS);
    py_state_deinit(&found);
    fake_python_deinit(&py);
}

// ---- Names --------------------------------------------------------------------------------------

static void names(struct fake_python *py)
{
    uint64_t interp = fake_interpreter(py, 0, 0);
    struct py_thread_names found = {0};
    assert_ok(py_thread_names(&py->process, interp, &found)); // no sys.modules yet
    uint64_t class = fake_type(py, "Thread", 1u << 9), key = fake_str(py, "_name");
    uint64_t idents[4], objects[4];
    static const char *const words[] = {"MainThread", "worker-1", "broken", "w\xc3\xb6rker"};
    fake_set(py, class, PY_TYPE_dictoffset, 16 + fake_offset(py, PY_OB_type));
    for (size_t i = 0; i < 4; i++) {
        static const uint8_t latin[] = {'w', 0xf6, 'r', 'k', 'e', 'r'};
        uint64_t name = i == 3 ? fake_str_kind(py, latin, 6, 1, true) : fake_str(py, words[i]);
        idents[i] = fake_int(py, 0x7f0000000000 + (int64_t)i);
        objects[i] = fake_object(py, class, 128);
        fake_put_u64(&py->memory, objects[i] + 16 + fake_offset(py, PY_OB_type),
                     i == 2 ? 0x1000 : fake_dict_of(py, &key, &name, 1));
    }
    uint64_t active = fake_dict_of(py, idents, objects, 4), active_key = fake_str(py, "_active");
    uint64_t module = fake_object(py, py->module, 96), module_key = fake_str(py, "threading");
    fake_set(py, module, PY_MODULE_dict, fake_dict_of(py, &active_key, &active, 1));
    uint64_t modules = fake_dict_of(py, NULL, NULL, 0);
    fake_set(py, interp, PY_IS_modules, modules);
    assert_ok(py_thread_names(&py->process, interp, &found)); // threading was never imported
    assert_int_equal(found.count, 0);
    fake_set(py, interp, PY_IS_modules, fake_dict_of(py, &module_key, &module, 1));
    for (int round = 0; round < 2; round++) {
        assert_ok(py_thread_names(&py->process, interp, &found));
        assert_int_equal(found.count, 3 + 3 * round); // appended; the broken one is left out
    }
    assert_int_equal(found.items[2].ident, 0x7f0000000003);
    assert_string_equal(strtab_get(py->strings, found.items[0].name), words[0]);
    assert_string_equal(strtab_get(py->strings, found.items[1].name), words[1]);
    assert_string_equal(strtab_get(py->strings, found.items[2].name), words[3]);
    vec_deinit(&found);
}

static void test_names(void **state)
{
    (void)state;
    fake_each_build(names, 4 << 20);
}

// ---- What a thread is doing ---------------------------------------------------------------------

enum { READ = 0, SELECT = 23, FUTEX = 202, GETPID = 39 };

static void test_thread_state(void **state)
{
    (void)state;
    struct py_gil gil = {0x5000, 0x50d0, true, true, 0};
    struct py_gils gils = {&gil, 1, 1};
    struct live_thread thread = {.state = LIVE_STOPPED, .has_regs = true};
    struct arch_regs *regs = &thread.regs;
#define EXPECT(expected, core) \
    assert_int_equal(snap_thread_state(&thread, &gils, (core)), (expected))
    // Stopped, asleep in a call.
    *regs = (struct arch_regs){.syscall = READ, .syscall_value = -512};
    EXPECT(SNAP_IO_WAIT, false);
    EXPECT(SNAP_IO_WAIT, true);
    *regs = (struct arch_regs){.syscall = SELECT, .syscall_value = -514};
    EXPECT(SNAP_SLEEP, false);
    *regs = (struct arch_regs){.syscall = FUTEX, .syscall_value = -512, .args = {0x4fff}};
    EXPECT(SNAP_LOCK_WAIT, false);
    regs->args[0] = 0x50d0; // behind the GIL's end
    EXPECT(SNAP_LOCK_WAIT, false);
    regs->args[0] = 0x5000;
    EXPECT(SNAP_GIL_WAIT, false);
    regs->args[0] = 0x50cf;
    EXPECT(SNAP_GIL_WAIT, true);
    assert_int_equal(snap_thread_state(&thread, NULL, false), SNAP_LOCK_WAIT);
    *regs = (struct arch_regs){.syscall = GETPID, .syscall_value = -512};
    EXPECT(SNAP_UNKNOWN, false);
    // Stopped, in user code or at the end of a call.
    *regs = (struct arch_regs){.syscall = -1};
    EXPECT(SNAP_RUNNABLE, false);
    EXPECT(SNAP_RUNNING, true); // a core has no clock to ask
    thread.on_cpu = true;
    EXPECT(SNAP_RUNNING, false);
    *regs = (struct arch_regs){.syscall = READ, .syscall_value = 17};
    EXPECT(SNAP_RUNNING, false);
    // Somebody else holds it: it does nothing; but what it slept in is still true.
    thread.was_stopped = true;
    EXPECT(SNAP_UNKNOWN, false);
    regs->syscall_value = -512;
    EXPECT(SNAP_IO_WAIT, false);
    // Not stopped by us: the kernel's words.
    thread = (struct live_thread){.state = LIVE_RUNNING, .has_regs = true};
    regs->syscall = READ;
    EXPECT(SNAP_IO_WAIT, false);
    regs->syscall = FUTEX;
    regs->args[0] = 0x5010;
    EXPECT(SNAP_GIL_WAIT, false);
    thread = (struct live_thread){.state = LIVE_UNSTOPPED, .proc_state = 'R'};
    EXPECT(SNAP_RUNNING, false);
    thread.proc_state = 'D';
    EXPECT(SNAP_IO_WAIT, false);
    thread.proc_state = 'S';
    EXPECT(SNAP_UNKNOWN, false);
    thread.proc_state = 0;
    EXPECT(SNAP_UNKNOWN, false);
    thread = (struct live_thread){.state = LIVE_STOPPED};
    EXPECT(SNAP_UNKNOWN, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_gc),
        cmocka_unit_test(test_own_gils),
        cmocka_unit_test(test_damaged_thread_lists),
        cmocka_unit_test(test_damaged_interpreter_lists),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_thread_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
