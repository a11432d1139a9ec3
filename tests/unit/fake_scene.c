// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_scene.h.
#include "fake_scene.h"

#include "snapshot/native.h"

struct scene *scene_create(void)
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

void scene_destroy(struct scene *scene)
{
    for (size_t i = 0; i < scene->in.stack_count; i++)
        py_stack_deinit(&scene->stacks[i]);
    for (size_t i = 0; i < MAX; i++)
        unwind_stack_deinit(&scene->native_stacks[i]);
    snap_natives_destroy(scene->in.natives);
    snapshot_destroy(scene->snapshot);
    vec_deinit(&scene->names);
    vec_deinit(&scene->target.mappings);
    py_state_deinit(&scene->state);
    strtab_destroy(scene->strings);
    fake_memory_deinit(&scene->memory);
    free(scene);
}

struct live_thread *scene_thread(struct scene *scene, pid_t tid, uint64_t tls)
{
    struct live_thread *thread = &scene->threads[scene->in.thread_count++];
    *thread = (struct live_thread){.tid = tid, .ns_tid = tid, .state = LIVE_STOPPED,
                                   .has_regs = tls != 0, .regs = {.tls = tls, .syscall = -1}};
    return thread;
}

struct py_stack *scene_stack(struct scene *scene, uint64_t ident, int64_t interp)
{
    struct py_stack *stack = &scene->stacks[scene->in.stack_count++];
    struct py_thread thread = {.tstate = 0x9000 + 16 * scene->in.stack_count, .ident = ident,
                               .interp_id = interp};
    py_stack_init(stack, &thread, false);
    return stack;
}

struct py_frame *scene_frame(struct scene *scene, struct py_stack *stack, const char *name)
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

void scene_entry(struct py_stack *stack, uint64_t addr)
{
    struct py_entry entry = {addr, (uint32_t)stack->frames.count};
    assert_true(vec_push(&stack->entries, entry));
}

struct unwind_frame *scene_native(struct scene *scene, size_t thread, const char *name,
                                  uint64_t bytes)
{
    struct unwind_frames *frames = &scene->native_stacks[thread].frames;
    uint64_t sp = frames->count ? frames->items[frames->count - 1].cfa : 0x10000;
    struct unwind_frame frame = {.pc = 0x400000 + 0x1000 * ++scene->native_names,
                                 .sp = sp,
                                 .cfa = sp + bytes,
                                 .how = frames->count ? UNWIND_CFI : UNWIND_START,
                                 .exact_pc = !frames->count};
    if (!scene->in.natives)
        scene->in.natives = snap_natives_create(NULL, scene->strings);
    assert_non_null(scene->in.natives);
    scene->in.native_stacks = scene->native_stacks;
    bool lib = strncmp(name, "lib", 3) == 0, none = name[0] == '@', unnamed = name[0] == '?';
    struct snap_native native = {.count = 1, .named = !none && !unnamed,
                                 .of_interpreter = !none && !lib,
                                 .role = none      ? NATIVE_ANONYMOUS
                                         : unnamed ? NATIVE_WORK
                                         : lib     ? snap_native_role_elsewhere("_greenlet.so", name)
                                                   : snap_native_role(name)};
    struct snap_frame known = {.kind = SNAP_NATIVE, .address = frame.pc, .line = -1, .offset = 4,
                               .function = unnamed ? 0 : strtab_add_cstr(scene->strings, name)};
    assert_true(
        snap_native_put(scene->in.natives, frame.pc, frame.exact_pc, &native, &known, true));
    assert_true(vec_push(frames, frame));
    return &frames->items[frames->count - 1];
}

struct snapshot *scene_build(struct scene *scene)
{
    snapshot_destroy(scene->snapshot);
    scene->snapshot = snapshot_create();
    assert_non_null(scene->snapshot);
    assert_ok(snapshot_build(&scene->in, scene->snapshot));
    return scene->snapshot;
}

void scene_assert_frames(struct scene *scene, size_t thread, const char *expected)
{
    char text[2048] = "";
    assert_true(thread < scene->snapshot->threads.count);
    vec_foreach(frame, &scene->snapshot->threads.items[thread].frames) {
        const char *name = strtab_get(scene->strings, frame->function);
        if (text[0])
            strcat(text, " ");
        strcat(text, name ? name : "?");
    }
    assert_string_equal(text, expected);
}

void scene_assert_note(struct scene *scene, const struct snap_notes *notes, size_t index,
                       const char *part)
{
    assert_true(index < notes->count);
    const char *text = strtab_get(scene->strings, notes->items[index]);
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}
