// SPDX-License-Identifier: GPL-3.0-or-later
// Facts as records: see facts.h.
#include "facts.h"

#include <stdlib.h>
#include <string.h>

#include "util/limits.h"

void capture_facts_deinit(struct capture_facts *facts)
{
    struct capture_texts *lists[] = {&facts->source_notes, &facts->first_notes, &facts->last_notes};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        vec_foreach (text, lists[i])
            free(*text);
        vec_deinit(lists[i]);
    }
    vec_foreach (line, &facts->lines) {
        free(line->file);
        free(line->text);
    }
    vec_deinit(&facts->lines);
    vec_foreach (package, &facts->packages) {
        free(package->name);
        free(package->version);
        free(package->place);
    }
    vec_deinit(&facts->packages);
    surroundings_deinit(&facts->surroundings);
    free(facts->host);
    free(facts->command);
}

void capture_snapshot_deinit(struct capture_snapshot *snapshot)
{
    vec_foreach (why, &snapshot->whys)
        free(*why);
    vec_deinit(&snapshot->whys);
    still_moment_deinit(&snapshot->moment);
    kernel_facts_deinit(&snapshot->kernel);
}

void capture_epoch_deinit(struct capture_epoch *epoch)
{
    proc_mappings_clear(&epoch->mappings);
    free(epoch->exe);
    vec_foreach (arg, &epoch->argv)
        free(*arg);
    vec_deinit(&epoch->argv);
}

#define TEXTS_MAX (1u << 20) // arguments; notes are far fewer

// ---- Values -------------------------------------------------------------------------------------

static void io_u64(struct facts_io *io, uint64_t *value)
{
    if (io->out)
        wire_u64(io->out, *value);
    else
        *value = wire_get_u64(io->in);
}

static void io_i64(struct facts_io *io, int64_t *value)
{
    if (io->out)
        wire_i64(io->out, *value);
    else
        *value = wire_get_i64(io->in);
}

static void io_int(struct facts_io *io, int32_t *value)
{
    if (io->out)
        wire_u32(io->out, (uint32_t)*value);
    else
        *value = (int32_t)wire_get_u32(io->in);
}

static void io_u32(struct facts_io *io, uint32_t *value)
{
    if (io->out)
        wire_u32(io->out, *value);
    else
        *value = wire_get_u32(io->in);
}

static void io_bool(struct facts_io *io, bool *value)
{
    if (io->out)
        wire_bool(io->out, *value);
    else
        *value = wire_get_bool(io->in);
}

static void io_text(struct facts_io *io, char **text)
{
    if (io->out)
        wire_str(io->out, *text);
    else
        *text = wire_get_strdup(io->in);
}

static void io_size(struct facts_io *io, size_t *value)
{
    uint64_t wide = *value == SIZE_MAX ? UINT64_MAX : *value;
    io_u64(io, &wide);
    *value = wide > SIZE_MAX ? SIZE_MAX : (size_t)wide;
}

// How many items of a list follow; while reading the list gets room for them, of zeros.
#define IO_COUNT(io, list, item_bytes, limit)                              \
    do {                                                                   \
        if ((io)->out) {                                                   \
            wire_u32((io)->out, (uint32_t)(list)->count);                  \
        } else {                                                           \
            uint32_t count_ = wire_get_count((io)->in, (item_bytes));      \
            if (count_ > (limit))                                          \
                (io)->in->bad = true, count_ = 0;                          \
            if (count_ && !vec_reserve((list), count_))                    \
                (io)->in->bad = true, count_ = 0;                          \
            if (count_)                                                    \
                memset((list)->items, 0, count_ * sizeof(*(list)->items)); \
            (list)->count = count_;                                        \
        }                                                                  \
    } while (0)

static void io_texts(struct facts_io *io, struct capture_texts *texts)
{
    IO_COUNT(io, texts, 4, TEXTS_MAX);
    vec_foreach (text, texts)
        io_text(io, text);
}

// ---- The run ------------------------------------------------------------------------------------

static void io_signal(struct facts_io *io, struct target_signal *signal)
{
    int32_t uid = (int32_t)signal->sender_uid;
    io_int(io, &signal->signo);
    io_bool(io, &signal->has_info);
    io_int(io, &signal->code);
    io_bool(io, &signal->has_sender);
    io_int(io, &signal->sender_pid);
    io_int(io, &uid);
    signal->sender_uid = (uid_t)uid;
    io_bool(io, &signal->has_fault_address);
    io_u64(io, &signal->fault_address);
    io_int(io, &signal->tid);
}

static void io_throttling(struct facts_io *io, struct throttling *throttling)
{
    io_u64(io, &throttling->periods);
    io_u64(io, &throttling->throttled_periods);
    io_u64(io, &throttling->throttled_ns);
}

// Captures of earlier versions end before this.
static void io_surroundings(struct facts_io *io, struct surroundings *around)
{
    if (io->in)
        *around = surroundings_unknown;
    if (io->in && io->in->next == io->in->end)
        return;
    int64_t milli = (int64_t)(around->cgroup_processors * 1000);
    io_i64(io, &around->fd_count);
    io_i64(io, &around->fd_limit);
    io_i64(io, &around->processors);
    io_i64(io, &milli);
    around->cgroup_processors = (double)milli / 1000;
    io_i64(io, &around->memory_bytes);
    io_i64(io, &around->memory_limit_bytes);
    io_bool(io, &around->has_throttling);
    io_throttling(io, &around->at_start);
    io_throttling(io, &around->at_end);
    IO_COUNT(io, &around->variables, 4, SURROUNDINGS_NAMES_MAX);
    vec_foreach (name, &around->variables)
        io_text(io, name);
}

// Captures of earlier versions end before this.
static void io_packages(struct facts_io *io, struct capture_packages *packages)
{
    if (io->in && io->in->next == io->in->end)
        return;
    IO_COUNT(io, packages, 12, CAPTURE_MAX_PACKAGES);
    vec_foreach (package, packages) {
        io_text(io, &package->name);
        io_text(io, &package->version);
        io_text(io, &package->place);
    }
}

void facts_run(struct facts_io *io, struct capture_facts *facts)
{
    io_bool(io, &facts->is_core);
    io_bool(io, &facts->aggregate);
    io_int(io, &facts->pid);
    io_text(io, &facts->host);
    io_text(io, &facts->command);
    io_i64(io, &facts->taken_at_ns);
    io_u64(io, &facts->start_time_ns);
    io_signal(io, &facts->signal);
    io_u64(io, &facts->interval_ns);
    io_u64(io, &facts->duration_ns);
    io_u64(io, &facts->missed);
    io_u64(io, &facts->own_cpu_ns);
    io_bool(io, &facts->interrupted);
    io_bool(io, &facts->incomplete);
    io_texts(io, &facts->source_notes);
    io_texts(io, &facts->first_notes);
    io_texts(io, &facts->last_notes);
    IO_COUNT(io, &facts->lines, 13, CAPTURE_MAX_LINES);
    vec_foreach (line, &facts->lines) {
        io_text(io, &line->file);
        io_int(io, &line->line);
        io_bool(io, &line->newer);
        io_text(io, &line->text);
    }
    io_surroundings(io, &facts->surroundings);
    io_packages(io, &facts->packages);
}

// ---- An epoch -----------------------------------------------------------------------------------

void facts_epoch(struct facts_io *io, struct capture_epoch *epoch)
{
    io_bool(io, &epoch->new_program);
    io_bool(io, &epoch->native);
    io_u64(io, &epoch->auxv_phdr);
    io_u64(io, &epoch->auxv_entry);
    io_text(io, &epoch->exe);
    io_bool(io, &epoch->has_argv);
    io_texts(io, &epoch->argv);
    IO_COUNT(io, &epoch->mappings, 48, LIMIT_MAPPINGS);
    uint64_t end = 0;
    vec_foreach (mapping, &epoch->mappings) {
        io_u64(io, &mapping->start);
        io_u64(io, &mapping->end);
        io_u64(io, &mapping->offset);
        io_u64(io, &mapping->inode);
        io_u64(io, &mapping->device);
        io_bool(io, &mapping->readable);
        io_bool(io, &mapping->writable);
        io_bool(io, &mapping->executable);
        io_bool(io, &mapping->deleted);
        io_text(io, &mapping->path);
        // Sorted and disjoint: everybody relies on it.
        if (io->in && (mapping->start < end || mapping->end <= mapping->start))
            io->in->bad = true;
        end = mapping->end;
    }
}

// ---- A snapshot ---------------------------------------------------------------------------------

static void io_regs(struct facts_io *io, struct arch_regs *regs)
{
    io_u64(io, &regs->ip);
    io_u64(io, &regs->sp);
    io_u64(io, &regs->fp);
    io_u64(io, &regs->tls);
    io_i64(io, &regs->syscall);
    io_i64(io, &regs->syscall_value);
    for (size_t i = 0; i < 6; i++)
        io_u64(io, &regs->args[i]);
    io_u32(io, &regs->raw_count);
    if (regs->raw_count > ARCH_MAX_RAW) {
        regs->raw_count = 0;
        io->in->bad = true;
    }
    for (size_t i = 0; i < regs->raw_count; i++)
        io_u64(io, &regs->raw[i]);
}

static void io_comm(struct facts_io *io, char comm[static 16])
{
    if (io->out)
        wire_bytes(io->out, comm, 16);
    else
        wire_get_bytes(io->in, comm, 16);
    comm[15] = '\0';
}

static void io_thread(struct facts_io *io, struct live_thread *thread, char **why)
{
    int32_t state = (int32_t)thread->state, letter = thread->proc_state;
    io_int(io, &thread->tid);
    io_int(io, &thread->ns_tid);
    io_comm(io, thread->comm);
    io_int(io, &state);
    thread->state =
        state < LIVE_RUNNING || state > LIVE_GONE ? LIVE_RUNNING : (enum live_thread_state)state;
    io_int(io, &letter);
    thread->proc_state = (char)letter;
    io_bool(io, &thread->has_regs);
    if (thread->has_regs)
        io_regs(io, &thread->regs);
    io_bool(io, &thread->asleep);
    io_bool(io, &thread->stopped_by_us);
    io_bool(io, &thread->held_still);
    io_bool(io, &thread->was_stopped);
    io_bool(io, &thread->on_cpu);
    io_bool(io, &thread->has_clock);
    io_u64(io, &thread->clock.cpu_ns);
    io_u64(io, &thread->clock.wait_ns);
    io_u64(io, &thread->clock.slices);
    io_u64(io, &thread->cpu_delta_ns);
    io_bool(io, &thread->fresh);
    io_int(io, &thread->tracer);
    if (io->out)
        wire_str(io->out, thread->why);
    else
        thread->why = *why = wire_get_strdup(io->in);
}

static void io_start(struct facts_io *io, struct unwind_start *start)
{
    bool any = still_start_known(start);
    io_bool(io, &any);
    if (!any)
        return;
    io_bool(io, &start->complete);
    io_regs(io, &start->regs);
}

static void io_stack(struct facts_io *io, struct still_stack *stack)
{
    io_u64(io, &stack->tstate);
    io_u64(io, &stack->interp);
    io_i64(io, &stack->interp_id);
    io_size(io, &stack->owner);
    io_bool(io, &stack->blocked);
    io_bool(io, &stack->not_taken);
    io_int(io, &stack->cut_code);
    io_text(io, &stack->cut);
}

static void io_fd(struct facts_io *io, struct kernel_fd *fd)
{
    uint32_t kind = fd->kind;
    io_int(io, &fd->fd);
    io_u32(io, &kind);
    fd->kind = kind > KERNEL_FD_OTHER ? KERNEL_FD_UNKNOWN : (enum kernel_fd_kind)kind;
    io_text(io, &fd->text);
    io_u32(io, &fd->set_count);
    IO_COUNT(io, &fd->set, 4, WAIT_CALL_FDS_MAX);
    vec_foreach (member, &fd->set)
        io_int(io, member);
}

// Captures of earlier versions end before this.
static void io_kernel(struct facts_io *io, struct kernel_facts *kernel)
{
    if (io->in && io->in->next == io->in->end)
        return;
    io_i64(io, &kernel->clocks.monotonic_ns);
    io_i64(io, &kernel->clocks.realtime_ns);
    IO_COUNT(io, &kernel->moved, 4, LIMIT_THREADS);
    vec_foreach (tid, &kernel->moved)
        io_int(io, tid);
    IO_COUNT(io, &kernel->fds, 20, KERNEL_FDS_MAX);
    vec_foreach (fd, &kernel->fds)
        io_fd(io, fd);
}

// Likewise.
static void io_heap(struct facts_io *io, struct kernel_facts *kernel)
{
    if (io->in && io->in->next == io->in->end)
        return;
    io_bool(io, &kernel->read_greenlets);
    IO_COUNT(io, &kernel->greenlets, 8, LIMIT_GREENLETS);
    vec_foreach (object, &kernel->greenlets)
        io_u64(io, object);
    IO_COUNT(io, &kernel->changed, 8, LIMIT_FRAMES_PER_SNAPSHOT);
    vec_foreach (addr, &kernel->changed)
        io_u64(io, addr);
}

// Likewise.
static void io_tasks(struct facts_io *io, struct kernel_facts *kernel)
{
    if (io->in && io->in->next == io->in->end)
        return;
    io_bool(io, &kernel->read_tasks);
    IO_COUNT(io, &kernel->torn_tasks, 8, LIMIT_TASKS);
    vec_foreach (task, &kernel->torn_tasks)
        io_u64(io, task);
}

// Likewise.
static void io_generators(struct facts_io *io, struct kernel_facts *kernel)
{
    if (io->in && io->in->next == io->in->end)
        return;
    io_bool(io, &kernel->has_generators);
    io_u64(io, &kernel->generators_left_out);
    IO_COUNT(io, &kernel->generators, 8, LIMIT_GENERATORS);
    vec_foreach (object, &kernel->generators)
        io_u64(io, object);
}

// Likewise.
static void io_heap_tasks(struct facts_io *io, struct kernel_facts *kernel)
{
    if (io->in && io->in->next == io->in->end)
        return;
    IO_COUNT(io, &kernel->heap_tasks, 8, LIMIT_TASKS);
    vec_foreach (task, &kernel->heap_tasks)
        io_u64(io, task);
}

// Likewise.
static void io_greenlet_switch(struct facts_io *io, struct kernel_facts *kernel)
{
    if (io->in && io->in->next == io->in->end)
        return;
    io_u64(io, &kernel->greenlet_switch);
}

void facts_snapshot(struct facts_io *io, struct capture_snapshot *snapshot)
{
    struct still_moment *moment = &snapshot->moment;
    io_u64(io, &snapshot->at_ns);
    io_u64(io, &snapshot->cpu_window_ns);
    io_u64(io, &snapshot->pause_ns);
    io_u64(io, &snapshot->process_cpu_ns);
    io_u64(io, &snapshot->threads_stopped);
    io_u64(io, &snapshot->interrupted_calls);
    io_u64(io, &snapshot->skipped);
    io_bool(io, &snapshot->overran);
    io_bool(io, &snapshot->atomic);
    io_bool(io, &snapshot->has_process_cpu);
    io_bool(io, &snapshot->changed_program);
    io_bool(io, &moment->all);
    io_bool(io, &moment->list_known);
    IO_COUNT(io, &moment->threads, 64, LIMIT_THREADS);
    if (io->in) {
        size_t count = moment->threads.count;
        if (!vec_reserve(&snapshot->whys, count + 1) || !vec_reserve(&moment->starts, count + 1)) {
            io->in->bad = true;
            return;
        }
        memset(snapshot->whys.items, 0, (count + 1) * sizeof(*snapshot->whys.items));
        memset(moment->starts.items, 0, (count + 1) * sizeof(*moment->starts.items));
        snapshot->whys.count = moment->starts.count = count;
    }
    for (size_t i = 0; i < moment->threads.count; i++) {
        io_thread(io, &moment->threads.items[i], io->in ? &snapshot->whys.items[i] : NULL);
        io_start(io, &moment->starts.items[i]);
    }
    IO_COUNT(io, &moment->stacks, 42, LIMIT_THREADS);
    vec_foreach (stack, &moment->stacks)
        io_stack(io, stack);
    IO_COUNT(io, &moment->lost_codes, 8, LIMIT_FRAMES_PER_SNAPSHOT);
    vec_foreach (code, &moment->lost_codes)
        io_u64(io, code);
    io_kernel(io, &snapshot->kernel);
    io_heap(io, &snapshot->kernel);
    io_tasks(io, &snapshot->kernel);
    io_generators(io, &snapshot->kernel);
    io_heap_tasks(io, &snapshot->kernel);
    io_greenlet_switch(io, &snapshot->kernel);
    if (io->in)
        still_moment_settle(moment);
}
