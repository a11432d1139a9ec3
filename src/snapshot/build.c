// SPDX-License-Identifier: GPL-3.0-or-later
// Putting a snapshot together: see snapshot/build.h.
#include "snapshot/build.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot/details_build.h"
#include "snapshot/merge.h"
#include "snapshot/tasks.h"
#include "util/bisect.h"
#include "util/guard.h"
#include "util/redact.h"

struct builder {
    const struct snap_input *in;
    struct snapshot *out;
    size_t *owner;                       // per stack: index of its kernel thread, or SIZE_MAX
    size_t *first;                       // per kernel thread: its first stack, or SIZE_MAX
    size_t *next;                        // per stack: the next one of that thread
    const struct py_stack **mine;        // room for all stacks
    const struct py_thread_name **names; // sorted by ident; of each, the one that came last
    size_t name_count;
};

// Whoever has ended owns nothing: its ident and its ids may be another's by now.
static bool lives(const struct snap_input *in, size_t thread)
{
    return in->threads[thread].state != LIVE_GONE;
}

static struct py_kernel_thread kernel_thread(const struct snap_input *in, size_t index)
{
    const struct live_thread *from = &in->threads[index];
    struct py_kernel_thread thread = {0};
    if (!lives(in, index))
        return thread;
    thread.ns_tid = (uint64_t)from->ns_tid;
    if (from->has_regs) {
        thread.sp = from->regs.sp;
        thread.tls = from->regs.tls;
    }
    return thread;
}

static bool find_owners(struct builder *b)
{
    const struct snap_input *in = b->in;
    if (in->owners) {
        memcpy(b->owner, in->owners, in->stack_count * sizeof(*b->owner));
        return true;
    }
    AUTO_FREE struct py_kernel_thread *threads = calloc(in->thread_count + 1, sizeof(*threads));
    if (!threads)
        return false;
    for (size_t i = 0; i < in->thread_count; i++)
        threads[i] = kernel_thread(in, i);
    // In a core the registers say all.
    struct mem *mem = in->is_core ? NULL : in->target->mem;
    for (size_t i = 0; i < in->stack_count; i++)
        b->owner[i] = py_owner_of(in->target, mem, &in->stacks[i].thread,
                                  in->stacks[i].outermost_shim, threads, in->thread_count);
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

// Of one ident, the later one first.
static int compare_names(const void *left, const void *right)
{
    const struct py_thread_name *a = *(const struct py_thread_name *const *)left;
    const struct py_thread_name *b = *(const struct py_thread_name *const *)right;
    if (a->ident != b->ident)
        return a->ident < b->ident ? -1 : 1;
    return a > b ? -1 : a < b;
}

// threading's dict may claim a million names, and there may be tens of thousands of threads.
static bool sort_names(struct builder *b)
{
    const struct py_thread_names *from = b->in->names;
    if (!from || !from->count)
        return true;
    b->names = malloc(from->count * sizeof(*b->names));
    if (!b->names)
        return false;
    for (size_t i = 0; i < from->count; i++)
        b->names[i] = &from->items[i];
    qsort(b->names, from->count, sizeof(*b->names), compare_names);
    for (size_t i = 0; i < from->count; i++)
        if (!b->name_count || b->names[i]->ident != b->names[b->name_count - 1]->ident)
            b->names[b->name_count++] = b->names[i];
    return true;
}

static const struct py_thread_name *find_name(const struct builder *b, uint64_t ident)
{
    size_t at = bisect(b->name_count, i, b->names[i]->ident < ident);
    return ident && at < b->name_count && b->names[at]->ident == ident ? b->names[at] : NULL;
}

// Puts one thread state's facts on a snapshot's thread. The innermost comes first.
static void add_python(struct builder *b, struct snap_thread *thread, const struct py_stack *stack)
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
    const struct py_thread_name *name = python->ident_doubtful ? NULL : find_name(b, python->ident);
    if (name) {
        thread->name = b->in->show_secrets ? name->name : redact_id(b->in->strings, name->name);
        thread->name_from_kernel = false;
    }
    note_stack(b, thread, stack);
}

// The frames of `count` thread states, the innermost first, and of the kernel's thread.
static bool add_frames(struct builder *b, struct snap_thread *thread,
                       const struct py_stack *const *stacks, size_t count,
                       const struct unwind_stack *native)
{
    const struct snap_input *in = b->in;
    struct merge merge = {
        .strings = in->strings,
        .target = in->target,
        .natives = in->natives,
        .version = in->process ? in->process->dec.layout.version : 0,
        .memory = in->stack_memory,
        .raw = in->raw_native,
        .native = in->natives ? native : NULL,
        .stacks = stacks,
        .stack_count = count,
    };
    return snap_merge(&merge, thread);
}

// Who waits for the GIL wakes after each switch interval to ask for it: then it is in no futex call, but in
// the code that takes the GIL, without having it. CPython: Python/ceval_gil.c (before 3.12 .h).
static void find_gil_wait(const struct builder *b, struct snap_thread *thread)
{
    static const char *const takers[] = {"take_gil", "PyEval_RestoreThread",
                                         "PyEval_AcquireThread"};
    if (!snap_state_works(thread->state) || !thread->has_holds_gil || thread->holds_gil)
        return;
    vec_foreach (frame, &thread->frames) {
        const char *name = strtab_get(b->in->strings, frame->function);
        if (frame->kind != SNAP_NATIVE)
            return;
        for (size_t i = 0; name && i < ARRAY_SIZE(takers); i++)
            if (strcmp(name, takers[i]) == 0)
                thread->state = SNAP_GIL_WAIT, thread->on_cpu = false;
    }
}

// What thread `index` of the kernel runs. Newer interpreters come first, and are the inner ones
// where a thread runs several.
static struct err *add_stacks(struct builder *b, struct snap_thread *thread, size_t index)
{
    const struct snap_input *in = b->in;
    size_t count = 0;
    for (size_t i = b->first[index]; i != SIZE_MAX; i = b->next[i])
        b->mine[count++] = &in->stacks[i];
    for (size_t i = 0; i < count; i++)
        add_python(b, thread, b->mine[i]);
    if (!add_frames(b, thread, b->mine, count,
                    in->native_stacks ? &in->native_stacks[index] : NULL))
        return err_create(ERR_NO_MEMORY, "snapshot");
    find_gil_wait(b, thread);
    return details_read(in, index, b->mine, count, thread);
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
    to->was_stopped = from->stopped_by_us;
    to->held_still = from->held_still || in->is_core;
    if (from->comm[0]) {
        to->name = strtab_add_cstr(in->strings, from->comm);
        if (!in->show_secrets)
            to->name = redact_id(in->strings, to->name);
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
    if (from->tracer)
        snap_note(in->strings, &to->notes, "not stopped: process %d traces it%s", from->tracer,
                  from->was_stopped ? ", and holds it" : "");
    else if (from->state == LIVE_UNSTOPPED)
        snap_note(in->strings, &to->notes, "not stopped: %s", from->why);
    if (from->was_stopped && !from->tracer && !in->is_core)
        snap_note(in->strings, &to->notes, "the process is stopped (SIGSTOP or job control)");
}

static bool add_orphan(struct builder *b, struct py_stack *stack)
{
    struct snap_thread thread = {
        .pid = b->in->target->pid, .interpreter = -1, .state = SNAP_UNKNOWN};
    const struct py_stack *const stacks[] = {stack};
    add_python(b, &thread, stack);
    if (!add_frames(b, &thread, stacks, 1, NULL) || !vec_push(&b->out->threads, thread)) {
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
    if (!find_owners(b))
        return err_create(ERR_NO_MEMORY, "snapshot");
    for (size_t t = 0; t < in->thread_count; t++)
        b->first[t] = SIZE_MAX;
    for (size_t i = in->stack_count; i-- > 0;) {
        if (b->owner[i] == SIZE_MAX)
            continue;
        b->next[i] = b->first[b->owner[i]];
        b->first[b->owner[i]] = i;
    }
    for (size_t t = 0; t < in->thread_count; t++) {
        if (!lives(in, t))
            continue;
        struct snap_thread thread = {0};
        fill_kernel(b, &in->threads[t], &thread);
        struct err *err = add_stacks(b, &thread, t);
        if (!err && !vec_push(&b->out->threads, thread))
            err = err_create(ERR_NO_MEMORY, "snapshot");
        if (err) {
            snap_thread_deinit(&thread);
            return err;
        }
    }
    size_t orphans = 0, framed = 0;
    for (size_t i = 0; i < in->stack_count; i++) {
        if (b->owner[i] != SIZE_MAX)
            continue;
        // A thread that is about to begin has not put its number in (3.12+: Python/pystate.c, bind_tstate()).
        bool begins = !in->is_core && !in->stacks[i].thread.ident;
        orphans += !begins || in->stacks[i].frames.count;
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
    AUTO_FREE size_t *owner = calloc(input->stack_count + 1, sizeof(*owner));
    AUTO_FREE size_t *next = calloc(input->stack_count + 1, sizeof(*next));
    AUTO_FREE size_t *first = calloc(input->thread_count + 1, sizeof(*first));
    AUTO_FREE const struct py_stack **mine = calloc(input->stack_count + 1, sizeof(*mine));
    struct builder builder = {input, ret, owner, first, next, mine, NULL, 0};
    if (!owner || !next || !first || !mine || !sort_names(&builder))
        return err_create(ERR_NO_MEMORY, "snapshot");
    details_memory_begin(input->remembered);
    struct err *err = join(&builder);
    free(builder.names);
    TRY(err);
    ret->stopped = input->stopped;
    if (input->state && input->state->cut)
        snap_note(input->strings, &ret->notes, "not all threads of Python could be listed: %s",
                  err_message(input->state->cut));
    if (ret->threads.count)
        qsort(ret->threads.items, ret->threads.count, sizeof(*ret->threads.items), thread_compare);
    TRY(details_settle(input, ret));
    if (!input->no_tasks) {
        TRY(tasks_build(input, owner, ret));
        TRY(greenlets_read(input, ret));
    }
    return generators_read(input, ret);
}
