// SPDX-License-Identifier: GPL-3.0-or-later
// Walking frame chains in synthetic memory of each kind of frame: whole ones, and hostile ones.
#include "fake_python.h"

#include "util/limits.h"

static uint16_t version_of(const struct fake_python *py)
{
    return py->dec->layout.version;
}

// The walk from `frame` on to its end.
static void walk(struct fake_python *py, uint64_t frame, struct py_stack *ret)
{
    struct py_thread thread = {.root = frame, .ident = 1};
    if (py_layout_has(&py->dec->layout, PY_TS_cframe)) {
        thread.root = fake_alloc(&py->memory, 64);
        fake_set(py, thread.root, PY_CF_current_frame, frame);
    }
    py_stack_init(ret, &thread, false);
    assert_true(py_stack_step(&py->process, ret));
    py_stack_finish(&py->process, ret);
}

static void assert_frame(struct fake_python *py, const struct py_stack *stack, size_t index,
                         const char *name, int32_t line)
{
    assert_true(index < stack->frames.count);
    const struct py_frame *frame = &stack->frames.items[index];
    const char *found = strtab_get(py->strings, frame->name);
    if (strcmp(found ? found : "(none)", name) != 0 || frame->line.line != line)
        fail_msg("3.%d, frame %zu: %s:%d, not %s:%d", version_of(py) & 255, index, found,
                 frame->line.line, name, line);
}

// main calls work calls a builtin; main's frame first in memory.
struct three {
    struct fake_call main, work;
    uint64_t main_frame, shim, work_frame;
};

static struct three make_three(struct fake_python *py)
{
    struct three it = {.main = fake_calling_code(py, "main", "app.py"),
                       .work = fake_calling_code(py, "work", "lib.py")};
    it.main_frame = fake_frame(py, it.main.code, 0, it.main.offset, it.main.slots, 0);
    it.shim = version_of(py) >= 0x030c ? fake_frame(py, 0, it.main_frame, 0, 0, 3) : it.main_frame;
    it.work_frame = fake_frame(py, it.work.code, it.shim, it.work.offset, it.work.slots, 0);
    fake_put_slot(py, it.work_frame, it.work.slot, fake_builtin(py, "time", "sleep"));
    return it;
}

// ---- Whole chains -------------------------------------------------------------------------------

static void whole(struct fake_python *py)
{
    struct three it = make_three(py);
    struct py_stack stack;
    walk(py, it.work_frame, &stack);
    assert_null(stack.cut);
    assert_int_equal(stack.frames.count, 2);
    assert_frame(py, &stack, 0, "work", 12);
    assert_frame(py, &stack, 1, "main", 12);
    const struct py_frame *work = &stack.frames.items[0], *main = &stack.frames.items[1];
    assert_string_equal(strtab_get(py->strings, work->file), "lib.py");
    assert_int_equal(work->first_line, 10);
    assert_string_equal(strtab_get(py->strings, work->call_qualname),
                        "{built-in method time.sleep}");
    assert_string_equal(strtab_get(py->strings, work->call_name), "sleep");
    assert_int_equal(main->call_name, 0); // nothing lies in its slot
    assert_int_equal(work->offset_bytes, it.work.offset);
    // Up to 3.10 every call comes from C; later the shim says so.
    bool entry = version_of(py) != 0x030b;
    assert_int_equal(!!(work->flags & PY_FRAME_ENTRY), entry);
    assert_true(work->fingerprint != main->fingerprint);
    assert_int_equal(work->content, 0);
    assert_true(main->content != 0);
    if (version_of(py) >= 0x030c)
        assert_int_equal(stack.outermost_shim, it.shim);
    py_stack_deinit(&stack);
    // No frame at all.
    walk(py, 0, &stack);
    assert_int_equal(stack.frames.count, 0);
    assert_null(stack.cut);
    py_stack_deinit(&stack);
}

static void test_whole(void **state)
{
    (void)state;
    fake_each_build(whole, 4 << 20);
}

// A frame's content stands still until its own slots or its instruction change.
static void content(struct fake_python *py)
{
    struct three it = make_three(py);
    struct py_stack first, second, moved, deeper;
    walk(py, it.work_frame, &first);
    walk(py, it.work_frame, &second);
    assert_int_equal(first.frames.items[1].content, second.frames.items[1].content);
    fake_put_slot(py, it.work_frame, 2, 0x5550); // of the innermost: not its caller's
    walk(py, it.work_frame, &deeper);
    assert_int_equal(first.frames.items[1].content, deeper.frames.items[1].content);
    fake_put_slot(py, it.main_frame, 2, 0x5550);
    walk(py, it.work_frame, &moved);
    assert_int_not_equal(first.frames.items[1].content, moved.frames.items[1].content);
    py_stack_deinit(&first);
    py_stack_deinit(&second);
    py_stack_deinit(&moved);
    py_stack_deinit(&deeper);
}

static void test_content(void **state)
{
    (void)state;
    fake_each_build(content, 4 << 20);
}

static void states(struct fake_python *py)
{
    struct fake_call call = fake_calling_code(py, "f", "f.py");
    struct py_stack stack;
    // Not started: before the first instruction; the line is that of the def.
    uint64_t frame = fake_frame(py, call.code, 0, version_of(py) >= 0x030b ? -2 : -1, 7, 0);
    if (version_of(py) >= 0x030d)
        fake_set(py, frame, PY_IF_instr, 0);
    walk(py, frame, &stack);
    assert_frame(py, &stack, 0, "f", 10);
    py_stack_deinit(&stack);
    // A generator's frame.
    walk(py, fake_frame(py, call.code, 0, call.offset, 7, 1), &stack);
    assert_true(stack.frames.items[0].flags & PY_FRAME_GENERATOR);
    py_stack_deinit(&stack);
    // An instruction outside of the code: the name stays, the line is lost.
    static const int32_t outside[] = {1000, 1 << 30};
    for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
        walk(py, fake_frame(py, call.code, 0, outside[i], 7, 0), &stack);
        assert_frame(py, &stack, 0, "f", -1);
        assert_true(stack.frames.items[0].flags & PY_FRAME_LINE_LOST);
        assert_null(stack.cut);
        py_stack_deinit(&stack);
    }
    // What is no code object costs the others nothing.
    uint64_t bad = fake_frame(py, fake_str(py, "no code"), frame, 0, 7, 0);
    walk(py, bad, &stack);
    assert_null(stack.cut);
    assert_int_equal(stack.frames.count, 2);
    assert_int_equal(stack.frames.items[0].name, 0);
    assert_frame(py, &stack, 1, "f", 10);
    py_stack_deinit(&stack);
    if (version_of(py) < 0x030c)
        return;
    // _PyFrame_IsIncomplete: before the first traceable instruction.
    struct fake_code being_set_up = {.name = "g",
                                     .file = "g.py",
                                     .first_line = 3,
                                     .slots = 1,
                                     .stack_size = 1,
                                     .first_traceable = 3,
                                     .bytecode = "\0\0\0\0\0\0\0",
                                     .bytecode_bytes = 8,
                                     .line_table = "\x83\0",
                                     .line_table_bytes = 2};
    uint64_t code = fake_code_object(py, &being_set_up);
    for (int32_t offset = 0; offset < 8; offset += 2) {
        walk(py, fake_frame(py, code, 0, offset, 2, 0), &stack);
        assert_int_equal(!!(stack.frames.items[0].flags & PY_FRAME_INCOMPLETE), offset < 6);
        py_stack_deinit(&stack);
    }
}

static void test_states_of_a_frame(void **state)
{
    (void)state;
    fake_each_build(states, 4 << 20);
}

// ---- Hostile chains -----------------------------------------------------------------------------

static void set_back(struct fake_python *py, uint64_t frame, uint64_t back)
{
    fake_set(py, frame, version_of(py) < 0x030b ? PY_FO_back : PY_IF_previous, back);
}

// A tail of frames that leads into a round: each frame once, and an end.
static void rounds(struct fake_python *py)
{
    static const size_t sizes[][2] = {{0, 1}, {0, 2},    {0, 3},   {1, 1},    {5, 1},
                                      {5, 7}, {100, 64}, {0, 300}, {33, 1000}};
    struct fake_call call = fake_calling_code(py, "round", "r.py");
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t tail = sizes[i][0], round = sizes[i][1], total = tail + round;
        uint64_t frames[1100] = {0};
        struct py_stack stack;
        for (size_t f = 0; f < total; f++)
            frames[f] = fake_frame(py, call.code, 0, call.offset, 0, 0);
        for (size_t f = 0; f < total; f++)
            set_back(py, frames[f], frames[f + 1 < total ? f + 1 : tail]);
        walk(py, frames[0], &stack);
        assert_int_equal(stack.frames.count, total);
        for (size_t f = 0; f < total; f++)
            assert_int_equal(stack.frames.items[f].addr, frames[f]);
        vec_foreach (entry, &stack.entries)
            assert_true(entry->frames_end <= stack.frames.count);
        assert_int_equal(stack.entries.count, version_of(py) < 0x030b ? total : 0);
        assert_non_null(stack.cut);
        assert_int_equal(err_code(stack.cut), ERR_BAD_DATA);
        py_stack_deinit(&stack);
    }
}

static void test_rounds(void **state)
{
    (void)state;
    fake_each_build(rounds, 4 << 20);
}

// Shims are no frames: a round of nothing but them must end, too.
static void shims(struct fake_python *py)
{
    if (version_of(py) < 0x030c)
        return;
    struct fake_call call = fake_calling_code(py, "f", "f.py");
    uint64_t one = fake_frame(py, 0, 0, 0, 0, 3), two = fake_frame(py, 0, one, 0, 0, 3);
    uint64_t frame = fake_frame(py, call.code, two, call.offset, 7, 0);
    struct py_stack stack;
    walk(py, frame, &stack);
    assert_null(stack.cut);
    assert_int_equal(stack.frames.count, 1);
    py_stack_deinit(&stack);
    set_back(py, one, two);
    walk(py, frame, &stack);
    assert_int_equal(stack.frames.count, 1);
    assert_int_equal(stack.entries.count, 2);
    assert_int_equal(stack.entries.items[0].addr, two);
    assert_int_equal(stack.entries.items[1].addr, one);
    assert_int_equal(err_code(stack.cut), ERR_BAD_DATA);
    py_stack_deinit(&stack);
    set_back(py, one, one);
    walk(py, one, &stack);
    assert_int_equal(stack.frames.count, 0);
    assert_int_equal(err_code(stack.cut), ERR_BAD_DATA);
    py_stack_deinit(&stack);
}

static void test_rounds_of_shims(void **state)
{
    (void)state;
    fake_each_build(shims, 4 << 20);
}

static void cut_off(struct fake_python *py)
{
    struct three it = make_three(py);
    struct py_stack stack;
    fake_hide(&py->memory, it.main_frame + 64, it.main_frame + 72);
    walk(py, it.work_frame, &stack);
    assert_int_equal(stack.frames.count, 1);
    assert_frame(py, &stack, 0, "work", 12);
    assert_int_equal(err_code(stack.cut), ERR_FAULT);
    py_stack_deinit(&stack);
    set_back(py, it.work_frame, 0x1000);
    walk(py, it.work_frame, &stack);
    assert_int_equal(stack.frames.count, 1);
    assert_int_equal(err_code(stack.cut), ERR_FAULT);
    py_stack_deinit(&stack);
    // Something else than a frame.
    set_back(py, it.work_frame, version_of(py) < 0x030b ? fake_str(py, "x") : it.work_frame + 4);
    walk(py, it.work_frame, &stack);
    assert_int_equal(stack.frames.count, 1);
    assert_int_equal(err_code(stack.cut), ERR_BAD_DATA);
    py_stack_deinit(&stack);
    // The code object is there, its names and tables are not.
    fake_set(py, it.work.code, PY_CO_name, 0x1000);
    fake_set(py, it.work.code, PY_CO_linetable, 0);
    set_back(py, it.work_frame, 0);
    py_codes_clear(py->dec->codes);
    walk(py, it.work_frame, &stack);
    assert_null(stack.cut);
    assert_int_equal(stack.frames.items[0].name, 0);
    // Without co_version, a code object is told apart by its strings: it needs them.
    if (py_layout_has(&py->dec->layout, PY_CO_version))
        assert_string_equal(strtab_get(py->strings, stack.frames.items[0].file), "lib.py");
    assert_int_equal(stack.frames.items[0].line.line, -1);
    py_stack_deinit(&stack);
    if (py_layout_has(&py->dec->layout, PY_TS_cframe)) {
        struct py_thread thread = {.root = 0x1000}; // not even the head of the chain is there
        py_stack_init(&stack, &thread, false);
        assert_true(py_stack_step(&py->process, &stack));
        assert_int_equal(stack.frames.count, 0);
        assert_int_equal(err_code(stack.cut), ERR_FAULT);
        py_stack_deinit(&stack);
    }
}

static void test_cut_off(void **state)
{
    (void)state;
    fake_each_build(cut_off, 4 << 20);
}

static void hostile_sizes(struct fake_python *py)
{
    static const uint64_t words[] = {UINT64_MAX, 1ull << 63, 0, 1, 0x7fffffff, 0xffffffff};
    struct py_stack stack;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        struct three it = make_three(py);
        fake_set(py, it.work.code, PY_CO_stacksize, words[i]);
        fake_set(py, it.main.code, PY_CO_stacksize, words[i]);
        fake_set(py, it.main.code, PY_CO_nlocalsplus, words[i]);
        fake_set(py, it.work_frame, PY_FO_ob_size, words[i]);
        fake_set(py, it.main_frame, PY_FO_ob_size, words[i]);
        walk(py, it.work_frame, &stack);
        assert_int_equal(stack.frames.count, 2);
        assert_null(stack.cut);
        assert_frame(py, &stack, 0, "work", 12);
        assert_frame(py, &stack, 1, "main", 12);
        assert_true(stack.frames.items[1].slot_count <= LIMIT_FRAME_SLOTS);
        py_stack_deinit(&stack);
        if (version_of(py) >= 0x030b)
            continue;
        // A value stack outside of its frame ends the chain there.
        fake_set(py, it.main_frame, PY_FO_valuestack, words[i]);
        walk(py, it.work_frame, &stack);
        assert_int_equal(stack.frames.count, 1);
        assert_int_equal(err_code(stack.cut), ERR_BAD_DATA);
        py_stack_deinit(&stack);
        fake_set(py, it.work_frame, PY_FO_valuestack,
                 it.work_frame + fake_offset(py, PY_FO_localsplus) + 3); // not aligned
        set_back(py, it.work_frame, 0);
        walk(py, it.work_frame, &stack);
        assert_int_equal(stack.frames.count, 1);
        py_stack_deinit(&stack);
    }
}

static void test_hostile_sizes(void **state)
{
    (void)state;
    fake_each_build(hostile_sizes, 4 << 20);
}

static void test_limit(void **state)
{
    (void)state;
    struct fake_python py;
    struct py_stack stack;
    fake_python_init(&py, 0x030c, PY_BUILD_RELEASE, 32 << 20);
    uint64_t frame = 0;
    for (size_t i = 0; i < LIMIT_FRAMES_PER_THREAD + 1; i++) {
        frame = fake_frame(&py, 0, frame, 0, 0, 0);
        if (i + 1 == LIMIT_FRAMES_PER_THREAD) {
            walk(&py, frame, &stack);
            assert_null(stack.cut);
            assert_int_equal(stack.frames.count, LIMIT_FRAMES_PER_THREAD);
            py_stack_deinit(&stack);
        }
    }
    walk(&py, frame, &stack);
    assert_int_equal(stack.frames.count, LIMIT_FRAMES_PER_THREAD);
    assert_int_equal(err_code(stack.cut), ERR_LIMIT);
    py_stack_deinit(&stack);
    fake_python_deinit(&py);
}

// ---- Free-threaded bytecode copies --------------------------------------------------------------

static void test_thread_local_bytecode(void **state)
{
    (void)state;
    struct fake_python py;
    struct py_stack stack;
    fake_python_init(&py, 0x030e, PY_BUILD_FREE_THREADED, 1 << 20);
    struct fake_call call = fake_calling_code(&py, "f", "f.py");
    uint64_t copy = fake_alloc(&py.memory, 64), array = fake_alloc(&py.memory, 64);
    fake_put_u64(&py.memory, array, 2);
    fake_put_u64(&py.memory, array + 8, fake_first_instruction(&py, call.code));
    fake_put_u64(&py.memory, array + 16, copy);
    fake_set(&py, call.code, PY_CO_tlbc, array);
    uint64_t frame = fake_frame(&py, call.code, 0, 0, 7, 0);
    fake_set(&py, frame, PY_IF_tlbc_index, 1);
    fake_set(&py, frame, PY_IF_instr, copy + (uint64_t)call.offset);
    walk(&py, frame, &stack);
    assert_frame(&py, &stack, 0, "f", 12);
    py_stack_deinit(&stack);
    fake_put_u64(&py.memory, array + 24, copy); // behind its end
    fake_set(&py, frame, PY_IF_tlbc_index, 2);
    walk(&py, frame, &stack);
    assert_frame(&py, &stack, 0, "f", -1);
    assert_true(stack.frames.items[0].flags & PY_FRAME_LINE_LOST);
    py_stack_deinit(&stack);
    fake_python_deinit(&py);
}

// ---- Over a copy --------------------------------------------------------------------------------

// The sampler's way: whatever is missing is fetched, and the walk goes on where it was.
static size_t walk_copy(struct fake_python *py, uint64_t tstate_root, struct py_stack *ret)
{
    struct mem *all = py->dec->mem;
    struct mem_copy *copy = mem_copy_create();
    struct py_thread thread = {.root = tstate_root, .ident = 1};
    size_t fetches = 0;
    py_decoder_forget(py->dec);
    py->dec->mem = mem_copy_view(copy);
    py->dec->copy = copy;
    py_stack_init(ret, &thread, false);
    while (!py_stack_step(&py->process, ret)) {
        struct mem_ranges misses = {0};
        for (size_t i = 0; i < mem_copy_misses(copy)->count; i++)
            assert_true(vec_push(&misses, mem_copy_misses(copy)->items[i]));
        assert_true(misses.count > 0 && fetches < 1000);
        mem_copy_clear_misses(copy);
        vec_foreach (miss, &misses) {
            struct mem_range range = mem_copy_window(*miss);
            void *place;
            assert_true(mem_copy_reserve(copy, range, &place));
            size_t got = mem_read_some(all, range.addr, place, range.size);
            assert_true(mem_copy_commit(copy, range, place, got));
        }
        vec_deinit(&misses);
        fetches++;
    }
    py_stack_finish(&py->process, ret);
    py->dec->mem = all;
    py->dec->copy = NULL;
    mem_copy_destroy(copy);
    return fetches;
}

static void same_over_a_copy(struct fake_python *py)
{
    struct three it = make_three(py);
    struct py_stack direct, copied;
    uint64_t root = it.work_frame, first;
    walk(py, it.work_frame, &direct);
    if (py_layout_has(&py->dec->layout, PY_TS_cframe))
        root = direct.thread.root;
    first = walk_copy(py, root, &copied);
    assert_true(first > 0 && first < 200);
    assert_null(copied.cut);
    assert_int_equal(copied.frames.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct py_frame *a = &direct.frames.items[i], *b = &copied.frames.items[i];
        assert_int_equal(a->name, b->name);
        assert_int_equal(a->file, b->file);
        assert_int_equal(a->line.line, b->line.line);
        assert_int_equal(a->call_qualname, b->call_qualname);
        assert_int_equal(a->fingerprint, b->fingerprint);
        assert_int_equal(a->content, b->content);
        assert_int_equal(a->flags, b->flags);
    }
    py_stack_deinit(&copied);
    // Memory that is not there at all is a fault, not an endless wish for more.
    fake_hide(&py->memory, it.main_frame, it.main_frame + 16);
    walk_copy(py, root, &copied);
    assert_int_equal(copied.frames.count, 1);
    assert_int_equal(err_code(copied.cut), ERR_FAULT);
    py_stack_deinit(&copied);
    py_stack_deinit(&direct);
}

static void test_same_over_a_copy(void **state)
{
    (void)state;
    fake_each_build(same_over_a_copy, 4 << 20);
}

// ---- Entries ------------------------------------------------------------------------------------

// Three loops, the innermost with two frames, then one, then one: inner2 inner1 | middle | outer.
struct loops {
    uint64_t root;      // what the thread state points to
    uint64_t frames[4]; // innermost first
    uint64_t addr[3];   // where each loop's mark is, innermost first; up to 3.10: 0
};

static struct loops make_loops(struct fake_python *py)
{
    struct fake_call call = fake_calling_code(py, "f", "f.py");
    struct loops it = {0};
    uint16_t version = version_of(py);
    uint64_t cframes[4] = {0}, back = 0;
    if (version == 0x030b || version == 0x030c) {
        for (size_t i = 0; i < 4; i++) // the last one is the thread state's own
            cframes[i] = fake_alloc(&py->memory, 64);
        for (size_t i = 0; i < 3; i++)
            fake_set(py, cframes[i], PY_CF_previous, cframes[i + 1]);
    }
    static const bool entry[] = {false, true, true, true}; // is the outermost of its loop
    for (size_t i = 4, loop = 3; i-- > 0;) {
        if (entry[i]) {
            loop--;
            if (version >= 0x030c)
                back = it.addr[loop] = fake_frame(py, 0, back, 0, 0, 3);
        }
        back = it.frames[i] = fake_frame(py, call.code, back, call.offset, call.slots, 0);
        if (version == 0x030b) {
            fake_set(py, back, PY_IF_is_entry, entry[i]);
            fake_set(py, cframes[loop], PY_CF_current_frame, back);
            it.addr[loop] = cframes[loop];
        }
    }
    it.root = it.frames[0];
    if (cframes[0]) {
        fake_set(py, cframes[0], PY_CF_current_frame, it.frames[0]);
        it.root = cframes[0];
    }
    return it;
}

static void step(struct fake_python *py, const struct py_thread *thread, struct py_stack *ret)
{
    py_stack_init(ret, thread, false);
    assert_true(py_stack_step(&py->process, ret));
    py_stack_finish(&py->process, ret);
}

static void assert_entries(struct fake_python *py, const struct py_stack *stack,
                           const struct loops *it)
{
    static const uint32_t ends[] = {2, 3, 4};
    bool each = version_of(py) < 0x030b;
    assert_null(stack->cut);
    assert_int_equal(stack->frames.count, 4);
    assert_int_equal(stack->entries.count, each ? 4 : 3);
    for (size_t i = 0; i < stack->entries.count; i++) {
        assert_int_equal(stack->entries.items[i].frames_end, each ? i + 1 : ends[i]);
        assert_int_equal(stack->entries.items[i].addr, each ? 0 : it->addr[i]);
    }
}

static void entries(struct fake_python *py)
{
    struct loops it = make_loops(py);
    struct py_thread thread = {.root = it.root, .ident = 1};
    struct py_stack stack;
    step(py, &thread, &stack);
    assert_entries(py, &stack, &it);
    py_stack_deinit(&stack);
    // The same over a copy that learns what to hold step by step.
    size_t fetches = walk_copy(py, it.root, &stack);
    assert_true(fetches > 0 && fetches < 30);
    assert_entries(py, &stack, &it);
    py_stack_deinit(&stack);
    if (version_of(py) < 0x030c)
        return;
    // A shim on top: a loop that has no frame yet, or none any more. 3.15's base frame is none.
    thread.base_frame = fake_frame(py, 0, 0, 0, 0, 3);
    set_back(py, it.addr[2], thread.base_frame);
    uint64_t fresh = fake_frame(py, 0, it.frames[0], 0, 0, 3);
    thread.root = it.root = fresh;
    if (py_layout_has(&py->dec->layout, PY_TS_cframe)) {
        thread.root = fake_alloc(&py->memory, 64);
        fake_set(py, thread.root, PY_CF_current_frame, fresh);
    }
    step(py, &thread, &stack);
    assert_int_equal(stack.frames.count, 4);
    assert_int_equal(stack.entries.count, 4);
    assert_int_equal(stack.entries.items[0].addr, fresh);
    assert_int_equal(stack.entries.items[0].frames_end, 0);
    assert_int_equal(stack.entries.items[3].addr, it.addr[2]);
    assert_int_equal(stack.outermost_shim, it.addr[2]);
    py_stack_deinit(&stack);
}

static void test_entries(void **state)
{
    (void)state;
    fake_each_build(entries, 4 << 20);
}

// 3.11: what the chain of _PyCFrames says is checked against the frames.
static void test_cframes(void **state)
{
    (void)state;
    struct fake_python py;
    struct py_stack stack;
    fake_python_init(&py, 0x030b, PY_BUILD_RELEASE, 1 << 20);
    struct loops it = make_loops(&py);
    struct py_thread thread = {.root = it.root, .ident = 1};
    // One that runs another frame than the loop's.
    fake_set(&py, it.addr[1], PY_CF_current_frame, it.frames[3]);
    step(&py, &thread, &stack);
    assert_int_equal(stack.entries.items[0].addr, it.addr[0]);
    assert_int_equal(stack.entries.items[1].addr, 0);
    assert_int_equal(stack.entries.items[2].addr, it.addr[2]);
    assert_null(stack.cut);
    py_stack_deinit(&stack);
    fake_set(&py, it.addr[1], PY_CF_current_frame, it.frames[2]);
    // A chain that goes round, down, or nowhere costs no frame.
    const uint64_t bad[] = {it.addr[0], it.addr[1], it.addr[0] - 64, 0x1000, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fake_set(&py, it.addr[1], PY_CF_previous, bad[i]);
        step(&py, &thread, &stack);
        assert_null(stack.cut);
        assert_int_equal(stack.frames.count, 4);
        assert_int_equal(stack.entries.count, 3);
        assert_int_equal(stack.entries.items[1].addr, it.addr[1]);
        assert_int_equal(stack.entries.items[2].addr, 0);
        assert_true(stack.cframes.count <= 3);
        py_stack_deinit(&stack);
        walk_copy(&py, it.root, &stack);
        assert_int_equal(stack.frames.count, 4);
        assert_int_equal(stack.entries.items[2].addr, 0);
        py_stack_deinit(&stack);
    }
    fake_set(&py, it.addr[1], PY_CF_previous, it.addr[2]);
    // The thread state's own is no activation.
    thread.tstate = it.addr[2] - 16;
    step(&py, &thread, &stack);
    assert_int_equal(stack.entries.items[1].addr, it.addr[1]);
    assert_int_equal(stack.entries.items[2].addr, 0);
    py_stack_deinit(&stack);
    fake_python_deinit(&py);
}

// 3.11 and 3.12: a _PyCFrame that is linked and not filled yet is an entry without frames.
static void unfilled(struct fake_python *py)
{
    if (!py_layout_has(&py->dec->layout, PY_TS_cframe))
        return;
    struct loops it = make_loops(py);
    uint64_t page = fake_alloc(&py->memory, 4096), fresh = page;
    const uint64_t rubbish[] = {0, 0x1001, 0x7fffffffff00};
    // Locals of functions that call each other: the newer lies below.
    uint64_t older = page + 2048, current = it.frames[0];
    fake_set(py, older, PY_CF_current_frame, current);
    if (version_of(py) == 0x030b)
        fake_set(py, older, PY_CF_previous, 0);
    for (size_t i = 0; i < ARRAY_SIZE(rubbish); i++) {
        struct py_thread thread = {.root = fresh, .ident = 1};
        struct py_stack stack;
        fake_set(py, fresh, PY_CF_previous, older);
        fake_set(py, fresh, PY_CF_current_frame, rubbish[i]);
        for (int copied = 0; copied < 2; copied++) {
            if (copied)
                walk_copy(py, fresh, &stack);
            else
                step(py, &thread, &stack);
            if (stack.frames.count != 4)
                fail_msg("3.%d, rubbish %zu, copied %d: %zu frames", version_of(py) & 255, i,
                         copied, stack.frames.count);
            assert_null(stack.cut);
            assert_int_equal(stack.entries.count, 4);
            assert_int_equal(stack.entries.items[0].addr, fresh);
            assert_int_equal(stack.entries.items[0].frames_end, 0);
            assert_int_equal(stack.entries.items[1].frames_end, 2);
            assert_int_equal(stack.entries.items[1].addr,
                             version_of(py) == 0x030b ? older : it.addr[0]);
            py_stack_deinit(&stack);
        }
    }
}

static void test_unfilled_cframe(void **state)
{
    (void)state;
    fake_each_build(unfilled, 4 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_states_of_a_frame),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_rounds_of_shims),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_thread_local_bytecode),
        cmocka_unit_test(test_same_over_a_copy),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_cframes),
        cmocka_unit_test(test_unfilled_cframe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
