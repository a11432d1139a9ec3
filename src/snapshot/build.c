// SPDX-License-Identifier: GPL-3.0-or-later
// Putting a snapshot together: see snapshot/build.h.
#include "snapshot/build.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"

// glibc x86_64: struct pthread's tid, at thread_id + 0x2d0 since 2.2 (nptl/descr.h: after the
// 704-byte header and the list). Only a hint: it must name a thread that is there.
#define GLIBC_TID_OFFSET 0x2d0

struct builder {
    const struct snap_input *in;
    struct snapshot *out;
    size_t *owner; // per stack: index of its kernel thread, or SIZE_MAX
};

// Whoever has ended owns nothing: its ident and its ids may be another's by now.
static bool lives(const struct snap_input *in, size_t thread)
{
    return in->threads[thread].state != LIVE_GONE;
}

static size_t by_tls(const struct snap_input *in, uint64_t ident)
{
    for (size_t i = 0; ident && i < in->thread_count; i++)
        if (lives(in, i) && in->threads[i].has_regs && in->threads[i].regs.tls == ident)
            return i;
    return SIZE_MAX;
}

static size_t by_native_id(const struct snap_input *in, uint64_t native_id)
{
    for (size_t i = 0; native_id && i < in->thread_count; i++)
        if (lives(in, i) && (uint64_t)in->threads[i].ns_tid == native_id)
            return i;
    return SIZE_MAX;
}

static size_t by_pthread_struct(const struct snap_input *in, uint64_t ident)
{
    uint32_t tid;
    if (!ident)
        return SIZE_MAX;
    AUTO_ERR struct err *err = mem_read_u32(in->target->mem, ident + GLIBC_TID_OFFSET, &tid);
    return err ? SIZE_MAX : by_native_id(in, tid);
}

// Up to 3.12 a subinterpreter's thread state carries the ids of the thread that created it, even
// while another one runs it; the C stack that its entry frame lies on does not lie.
static size_t by_stack(const struct snap_input *in, uint64_t on_stack)
{
    for (size_t i = 0; on_stack && i < in->thread_count; i++) {
        uint64_t sp = lives(in, i) && in->threads[i].has_regs ? in->threads[i].regs.sp : 0;
        const struct target_mapping *mapping = sp ? target_mapping_at(in->target, sp) : NULL;
        if (mapping && on_stack >= sp && on_stack < mapping->end)
            return i;
    }
    return SIZE_MAX;
}

static size_t owner_of(const struct snap_input *in, const struct py_stack *stack)
{
    const struct py_thread *thread = &stack->thread;
    size_t index = SIZE_MAX;
    if (thread->ident_doubtful)
        return SIZE_MAX;
    if (thread->interp_id > 0)
        index = by_stack(in, stack->outermost_shim);
    if (index == SIZE_MAX)
        index = by_tls(in, thread->ident);
    if (index == SIZE_MAX)
        index = by_native_id(in, thread->native_id);
    if (index == SIZE_MAX && !in->is_core)
        index = by_pthread_struct(in, thread->ident);
    return index;
}

// 3.12+ puts a frame of its own between a class's call and its __init__ (_Py_InitCleanup): it never
// starts, and neither f_back nor a traceback shows it.
static bool hidden(const struct py_stack *stack, size_t index)
{
    uint8_t flags = stack->frames.items[index].flags;
    return index > 0 && (flags & PY_FRAME_INCOMPLETE) && !(flags & PY_FRAME_GENERATOR);
}

static bool push_frames(struct snap_thread *thread, struct py_stack *stack)
{
    struct snap_frames *frames = &thread->frames;
    size_t first = frames->count;
    for (size_t i = 0; i < stack->frames.count; i++) {
        const struct py_frame *from = &stack->frames.items[i];
        if (hidden(stack, i))
            continue;
        if (from->call_name) {
            struct snap_frame builtin = {
                .kind = SNAP_BUILTIN,
                .flags = from->flags & PY_FRAME_CALL_INFERRED ? SNAP_FRAME_INFERRED : 0,
                .function = from->call_name,
                .qualname = from->call_qualname,
                .line = -1,
                .column = -1,
                .first_line = -1,
            };
            if (!vec_push(frames, builtin))
                return false;
        }
        struct snap_frame frame = {
            .kind = SNAP_PYTHON,
            .flags = (from->flags & PY_FRAME_GENERATOR ? SNAP_FRAME_GENERATOR : 0) |
                     (from->flags & PY_FRAME_INCOMPLETE ? SNAP_FRAME_INCOMPLETE : 0) |
                     (from->name || from->file ? 0 : SNAP_FRAME_UNREADABLE),
            .function = from->name,
            .qualname = from->qualname,
            .file = from->file,
            .line = from->line.line,
            .column = from->line.column,
            .first_line = from->name ? from->first_line : -1,
        };
        if (!vec_push(frames, frame))
            return false;
    }
    // Tokens from the outermost frame inwards: where a frame lies, what it runs, and in which state
    // its caller stood when it made the call. A generator keeps its own through all resumptions.
    uint64_t token = hash_u64(HASH_SEED, stack->thread.tstate);
    size_t at = frames->count;
    for (size_t i = stack->frames.count; i-- > 0;) {
        const struct py_frame *from = &stack->frames.items[i];
        if (from->flags & PY_FRAME_GENERATOR)
            token = HASH_SEED;
        token = hash_u64(hash_u64(token, from->addr), from->fingerprint);
        if (hidden(stack, i))
            continue;
        do
            at--;
        while (frames->items[at].kind != SNAP_PYTHON && at > first);
        frames->items[at].activation = token ? token : 1;
        token = hash_u64(token, from->content);
    }
    return true;
}

static void note_stack(struct builder *b, struct snap_thread *thread, const struct py_stack *stack)
{
    struct strtab *strings = b->in->strings;
    size_t unreadable = 0, lost = 0;
    vec_foreach (frame, &stack->frames) {
        unreadable += !frame->name && !frame->file;
        lost += (frame->flags & PY_FRAME_LINE_LOST) != 0;
    }
    if (stack->cut) {
        thread->cut = err_code(stack->cut) != ERR_LIMIT; // a limit is our choice, not a gap
        snap_note(strings, &thread->notes, "the stack is known only so far: %s",
                  err_message(stack->cut));
    }
    if (unreadable) {
        thread->cut = true;
        snap_note(strings, &thread->notes, "%zu frame%s could not be read", unreadable,
                  unreadable == 1 ? "" : "s");
    }
    if (lost)
        snap_note(strings, &thread->notes,
                  "%zu frame%s without a line: the instruction pointer "
                  "lies outside of the code",
                  lost, lost == 1 ? "" : "s");
}

// Puts one thread state's facts and frames on a snapshot's thread. The innermost comes first.
static bool add_python(struct builder *b, struct snap_thread *thread, struct py_stack *stack)
{
    const struct py_thread *python = &stack->thread;
    if (!thread->known_to_python) {
        thread->known_to_python = true;
        thread->python_id = python->ident_doubtful ? 0 : python->ident;
        thread->interpreter = python->interp_id;
        thread->has_holds_gil = python->gil_known;
    }
    if (python->ident_doubtful)
        snap_note(b->in->strings, &thread->notes,
                  "a subinterpreter's stack; which thread runs it is not known");
    thread->holds_gil |= python->holds_gil;
    thread->in_gc |= python->in_gc;
    // 3.15 says so itself, also in the moments before and after the futex.
    if (python->wants_gil && !python->holds_gil && snap_state_works(thread->state))
        thread->state = SNAP_GIL_WAIT, thread->on_cpu = false;
    for (size_t i = 0; b->in->names && i < b->in->names->count; i++) {
        const struct py_thread_name *name = &b->in->names->items[i];
        if (name->ident == python->ident && python->ident && !python->ident_doubtful) {
            thread->name = name->name;
            thread->name_from_kernel = false;
        }
    }
    note_stack(b, thread, stack);
    return push_frames(thread, stack);
}

static void fill_kernel(struct builder *b, const struct live_thread *as_read,
                        struct snap_thread *to)
{
    const struct snap_input *in = b->in;
    struct live_thread thread = *as_read, *from = &thread;
    if (thread.has_regs)
        thread.regs.syscall = arch_original_syscall(arch_host(), in->target->mem, &thread.regs);
    to->pid = in->target->pid;
    to->tid = from->tid;
    to->interpreter = -1;
    to->known_to_python = !in->process;
    if (from->comm[0]) {
        to->name = strtab_add_cstr(in->strings, from->comm);
        to->name_from_kernel = true;
    }
    to->state = snap_thread_state(from, in->state ? &in->state->gils : NULL, in->is_core);
    to->on_cpu = to->state == SNAP_RUNNING;
    if (from->has_regs && from->regs.syscall >= 0 &&
        (from->state != LIVE_STOPPED || arch_blocked_in_syscall(&as_read->regs)))
        to->syscall =
            strtab_add_cstr(in->strings, arch_syscall_name(arch_host(), from->regs.syscall));
    to->has_cpu = from->has_clock;
    to->cpu_ns = from->cpu_delta_ns;
    to->cpu_total_ns = from->clock.cpu_ns;
    to->crashed = in->is_core && in->target->signal.signo && in->target->signal.tid == from->tid;
    if (from->state == LIVE_UNSTOPPED && from->tracer)
        snap_note(in->strings, &to->notes,
                  "not stopped: process %d traces it, so its stack may be of several moments",
                  from->tracer);
    else if (from->state == LIVE_UNSTOPPED)
        snap_note(in->strings, &to->notes, "not stopped (%s): its stack may be of several moments",
                  from->why);
    if (from->was_stopped && !from->tracer && !in->is_core)
        snap_note(in->strings, &to->notes, "the process is stopped (SIGSTOP or job control)");
}

static bool add_orphan(struct builder *b, struct py_stack *stack)
{
    struct snap_thread thread = {
        .pid = b->in->target->pid, .interpreter = -1, .state = SNAP_UNKNOWN};
    if (!add_python(b, &thread, stack) || !vec_push(&b->out->threads, thread)) {
        snap_thread_deinit(&thread);
        return false;
    }
    return true;
}

static int thread_compare(const void *left, const void *right)
{
    const struct snap_thread *a = left, *b = right;
    bool main_a = a->tid == a->pid, main_b = b->tid == b->pid;
    if (main_a != main_b)
        return main_a ? -1 : 1;
    return a->tid < b->tid ? -1 : a->tid > b->tid;
}

static struct err *join(struct builder *b)
{
    const struct snap_input *in = b->in;
    py_stacks_settle(in->strings, in->stacks, in->stack_count);
    for (size_t i = 0; i < in->stack_count; i++)
        b->owner[i] = owner_of(in, &in->stacks[i]);
    for (size_t t = 0; t < in->thread_count; t++) {
        if (!lives(in, t))
            continue;
        struct snap_thread thread = {0};
        fill_kernel(b, &in->threads[t], &thread);
        bool ok = true;
        // Newer interpreters come first, and are the inner ones where a thread runs several.
        for (size_t i = 0; ok && i < in->stack_count; i++)
            if (b->owner[i] == t)
                ok = add_python(b, &thread, &in->stacks[i]);
        if (!ok || !vec_push(&b->out->threads, thread)) {
            snap_thread_deinit(&thread);
            return err_create(ERR_NO_MEMORY, "snapshot");
        }
    }
    size_t orphans = 0, framed = 0;
    for (size_t i = 0; i < in->stack_count; i++) {
        if (b->owner[i] != SIZE_MAX)
            continue;
        orphans++;
        if (in->stacks[i].frames.count) {
            framed++;
            if (!add_orphan(b, &in->stacks[i]))
                return err_create(ERR_NO_MEMORY, "snapshot");
        }
    }
    if (orphans > framed)
        snap_note(in->strings, &b->out->notes,
                  "%zu thread state%s without frames belong%s to no thread that is alive (left "
                  "behind by fork(), or idle)",
                  orphans - framed, orphans - framed == 1 ? "" : "s",
                  orphans - framed == 1 ? "s" : "");
    return NULL;
}

struct err *snapshot_build(const struct snap_input *input, struct snapshot *ret)
{
    struct builder builder = {input, ret, calloc(input->stack_count + 1, sizeof(size_t))};
    if (!builder.owner)
        return err_create(ERR_NO_MEMORY, "snapshot");
    struct err *err = join(&builder);
    free(builder.owner);
    TRY(err);
    ret->stopped = input->stopped;
    if (input->state && input->state->cut)
        snap_note(input->strings, &ret->notes, "not all threads of Python could be listed: %s",
                  err_message(input->state->cut));
    if (ret->threads.count)
        qsort(ret->threads.items, ret->threads.count, sizeof(*ret->threads.items), thread_compare);
    return NULL;
}
