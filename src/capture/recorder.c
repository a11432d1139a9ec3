// SPDX-License-Identifier: GPL-3.0-or-later
// Recording snapshots: see capture/capture.h. The bytes that the sampler copied for a snapshot are
// decoded once more, in the address space of view.h, as a replay will do it.
#include "recorder.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/hash.h"
#include "util/redact.h"

#define RED_ZONE 128u // below the stack pointer, System V psABI AMD64, section 3.2.2
#define STACK_MAX (64u << 20)

struct err *recorder_create(struct strtab *strings, bool native, struct recorder **ret)
{
    struct recorder *recorder = calloc(1, sizeof(*recorder));
    if (!recorder)
        return err_create(ERR_NO_MEMORY, "capture");
    recorder->strings = strings;
    recorder->native = native;
    recorder->fresh = mem_blocks_create();
    recorder->known = mem_blocks_create();
    recorder->names = image_record_create();
    recorder->view.fresh = recorder->codes.fresh = recorder->fresh;
    recorder->view.known = recorder->known;
    recorder->view.record = recorder->codes.record = recorder->known;
    struct err *err = recorder->fresh && recorder->known && recorder->names
                          ? capture_view_init(&recorder->view)
                          : err_create(ERR_NO_MEMORY, "capture");
    if (!err)
        err = capture_view_init(&recorder->codes);
    if (err) {
        recorder_destroy(recorder);
        return err;
    }
    *ret = recorder;
    return NULL;
}

void epoch_close(struct epoch_parts *parts)
{
    still_deinit(&parts->still);
    unwinder_destroy(parts->unwinder);
    py_process_close(parts->process);
    image_destroy(parts->image);
    if (parts->target) {
        parts->target->mem = NULL; // the view's
        target_destroy(parts->target);
    }
    *parts = (struct epoch_parts){0};
}

void recorder_destroy(struct recorder *recorder)
{
    if (!recorder)
        return;
    epoch_close(&recorder->parts);
    image_record_destroy(recorder->names);
    capture_view_deinit(&recorder->view);
    capture_view_deinit(&recorder->codes);
    mem_blocks_destroy(recorder->fresh);
    mem_blocks_destroy(recorder->known);
    wire_out_deinit(&recorder->facts);
    vec_foreach (memory, &recorder->memories)
        wire_out_deinit(memory);
    vec_deinit(&recorder->memories);
    vec_deinit(&recorder->base);
    wire_out_deinit(&recorder->base_bytes);
    vec_deinit(&recorder->notes);
    free(recorder);
}

void recorder_keep_values(struct recorder *recorder)
{
    recorder->as_they_are = true;
}

uint64_t recorder_differences(const struct recorder *recorder)
{
    return recorder->differences;
}

// What the sampler read of a copy, as it was read.
static void watch(void *watcher, struct mem_copy *copy)
{
    struct recorder *recorder = watcher;
    const unsigned char *bytes;
    const struct mem_ranges *log = mem_copy_log(copy, &bytes);
    for (size_t i = 0; i < log->count; i++) {
        if (!mem_blocks_put(recorder->fresh, log->items[i].addr, bytes, log->items[i].size))
            recorder->view.failed = true;
        bytes += log->items[i].size;
    }
    mem_copy_clear_log(copy);
}

void recorder_attach(struct recorder *recorder, struct sampler *sampler)
{
    sampler_watch(sampler, watch, recorder);
}

// ---- Epochs -------------------------------------------------------------------------------------

// Of the mappings that say which modules there are and where code may lie.
static uint64_t hash_modules(const struct target *target)
{
    uint64_t hash = HASH_SEED;
    vec_foreach (mapping, &target->mappings) {
        if (!mapping->executable && !mapping->inode)
            continue;
        hash = hash_u64(hash, mapping->start);
        hash = hash_u64(hash, mapping->end);
        hash = hash_u64(hash, mapping->offset ^ mapping->inode << 20 ^ mapping->executable);
    }
    return hash;
}

static bool copy_mappings(struct target_mappings *to, const struct target_mappings *from)
{
    if (!vec_reserve(to, from->count + 1))
        return false;
    vec_foreach (mapping, from) {
        struct target_mapping copy = *mapping;
        copy.path = mapping->path ? strdup(mapping->path) : NULL;
        if (mapping->path && !copy.path)
            return false;
        to->items[to->count++] = copy;
    }
    return true;
}

// The target as a replay will see it: memory, mappings and a few facts.
static struct err *make_target(struct recorder *recorder, const struct target *source)
{
    struct target *target = calloc(1, sizeof(*target));
    if (!target)
        return err_create(ERR_NO_MEMORY, "capture");
    recorder->parts.target = target;
    target->kind = TARGET_CORE;
    target->pid = source->pid;
    target->mem = recorder->view.mem;
    target->auxv_phdr = source->auxv_phdr;
    target->auxv_entry = source->auxv_entry;
    target->signal = source->signal;
    target->taken_at_ns = source->taken_at_ns;
    if (source->kind == TARGET_LIVE)
        proc_auxv(source->pid, &target->auxv_phdr, &target->auxv_entry);
    target->exe = source->exe ? redact_path(source->exe) : NULL;
    if (!copy_mappings(&target->mappings, &source->mappings) || (source->exe && !target->exe))
        return err_create(ERR_NO_MEMORY, "capture");
    size_t argc = 0;
    while (source->argv && source->argv[argc])
        argc++;
    if (source->argv && !(target->argv = calloc(argc + 1, sizeof(*target->argv))))
        return err_create(ERR_NO_MEMORY, "capture");
    for (size_t i = 0; i < argc; i++)
        if (!(target->argv[i] = redact_argument(i ? source->argv[i - 1] : NULL, source->argv[i])))
            return err_create(ERR_NO_MEMORY, "capture");
    return NULL;
}

static void write_epoch(struct recorder *recorder, bool new_program)
{
    const struct target *target = recorder->parts.target;
    struct capture_epoch epoch = {
        .mappings = target->mappings, // lent
        .auxv_phdr = target->auxv_phdr,
        .auxv_entry = target->auxv_entry,
        .exe = target->exe,
        .argv = {.items = target->argv},
        .has_argv = target->argv,
        .new_program = new_program,
        .native = recorder->native,
    };
    while (target->argv && target->argv[epoch.argv.count])
        epoch.argv.count++;
    size_t begun = wire_begin(&recorder->facts, RECORD_EPOCH);
    facts_epoch(&(struct facts_io){.out = &recorder->facts}, &epoch);
    wire_end(&recorder->facts, begun);
    recorder->bytes += recorder->facts.bytes.count - begun;
}

struct err *epoch_open(struct epoch_parts *ret, struct image_record *names, struct strtab *strings,
                       bool native)
{
    struct image_options options = {.record = names};
    TRY(image_open(ret->target, &options, &ret->image));
    TRY(py_process_open(ret->target, ret->image, strings, &ret->process));
    return native ? unwinder_create(ret->target, ret->image, &ret->unwinder) : NULL;
}

bool epoch_forget(struct mem_blocks *known, const struct target_mappings *mappings)
{
    struct mem_ranges ranges = {0};
    bool ok = true;
    vec_foreach (mapping, mappings)
        if (mapping->inode || (mapping->path && *mapping->path == '/') || mapping->executable)
            ok = ok && vec_push(&ranges,
                                (struct mem_range){mapping->start, mapping->end - mapping->start});
    if (ok)
        mem_blocks_drop(known, &ranges);
    vec_deinit(&ranges);
    return ok;
}

static void hide_environment(struct recorder *recorder, const struct target *source)
{
    uint64_t start =
        source->kind == TARGET_LIVE ? proc_args_start(source->pid) : source->args_start;
    const struct target_mapping *stack = start ? target_mapping_at(source, start) : NULL;
    struct capture_view *views[] = {&recorder->view, &recorder->codes};
    for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
        views[i]->hidden_start = stack ? start : 0;
        views[i]->hidden_end = stack ? stack->end : 0;
    }
}

static struct err *open_epoch(struct recorder *recorder, struct target *source,
                              struct image *source_image, bool new_program)
{
    // Before the first snapshot nothing is recorded that could be void.
    new_program = new_program && recorder->count;
    bool ok = true;
    if (new_program)
        mem_blocks_clear(recorder->known);
    else if (recorder->parts.target && recorder->count)
        ok = epoch_forget(recorder->known, &recorder->parts.target->mappings) &&
             epoch_forget(recorder->known, &source->mappings);
    if (!ok)
        return err_create(ERR_NO_MEMORY, "capture");
    epoch_close(&recorder->parts);
    recorder->modules_hash = hash_modules(source);
    recorder->view.below = recorder->codes.below = source->mem;
    hide_environment(recorder, source);
    TRY(make_target(recorder, source));
    write_epoch(recorder, new_program);
    image_record_set_source(recorder->names, source_image);
    image_record_set_epoch(recorder->names, recorder->epochs++);
    // What is asked for the first time is as it is now, not as it was when modules changed.
    recorder->view.skip_known = source->kind == TARGET_LIVE;
    struct err *err =
        epoch_open(&recorder->parts, recorder->names, recorder->strings, recorder->native);
    record_link_map(recorder->view.mem, recorder->parts.target->auxv_phdr);
    recorder->view.skip_known = false;
    return err;
}

// ---- Snapshots ----------------------------------------------------------------------------------

static bool fill_stack(const struct sample *sample, size_t index, struct still_moment *moment)
{
    const struct py_stack *stack = &sample->stacks[index];
    struct still_stack said = {
        .tstate = stack->thread.tstate,
        .interp = stack->thread.interp,
        .interp_id = stack->thread.interp_id,
        .owner = sample->owners[index],
        .blocked = stack->blocked,
    };
    // What the sampler chose to leave out; what could not be read shows itself.
    if (stack->cut && err_code(stack->cut) == ERR_TIMEOUT) {
        said.not_taken = !stack->frames.count;
        said.cut_code = ERR_TIMEOUT;
        said.cut = strdup(err_message(stack->cut));
        if (!said.cut)
            return false;
    }
    if (!vec_push(&moment->stacks, said)) {
        free(said.cut);
        return false;
    }
    vec_foreach (frame, &stack->frames)
        if (frame->code_addr && !frame->name && !frame->file &&
            !vec_push(&moment->lost_codes, frame->code_addr))
            return false;
    return true;
}

static void blot_names(struct still_moment *moment)
{
    vec_foreach (thread, &moment->threads)
        redact_blot(thread->comm, strnlen(thread->comm, sizeof(thread->comm)));
}

static struct err *fill_moment(const struct sampler *sampler, const struct sample *sample,
                               struct still_moment *ret)
{
    const struct live_threads *threads = &sampler->live->threads;
    if (!vec_reserve(&ret->threads, threads->count + 1) ||
        !vec_reserve(&ret->starts, threads->count + 1))
        return err_create(ERR_NO_MEMORY, "capture");
    for (size_t i = 0; i < threads->count; i++) {
        const struct unwind_stack *native = sample->natives ? &sample->natives[i] : NULL;
        ret->threads.items[ret->threads.count++] = threads->items[i];
        ret->starts.items[ret->starts.count++] =
            native && native->frames.count ? native->start : (struct unwind_start){0};
    }
    ret->list_known = !sample->state.cut;
    for (size_t i = 0; i < sample->stack_count; i++)
        if (!fill_stack(sample, i, ret))
            return err_create(ERR_NO_MEMORY, "capture");
    blot_names(ret);
    still_moment_settle(ret);
    return NULL;
}

static bool same_place(const struct py_frame *a, const struct py_frame *b)
{
    return a->addr == b->addr && a->code_addr == b->code_addr && a->instr == b->instr;
}

static bool leave_out(struct still_stack *said)
{
    free(said->cut);
    said->not_taken = true;
    said->cut_code = ERR_TIMEOUT;
    said->cut = strdup("its memory was another thread's by the time that one was read");
    return said->cut;
}

// A stack that was read at another moment than the others may lie where one of theirs does: there
// is one memory for all. What the recorded bytes do not show as it was sampled is left out, and a
// code object that is another one by now is no frame's any more. True: the moment has changed.
static bool check_python(struct recorder *recorder, const struct sample *sample,
                         struct still_moment *moment)
{
    bool changed = false;
    for (size_t i = 0; i < sample->stack_count && i < recorder->parts.still.stacks.count; i++) {
        const struct py_stack *then = &sample->stacks[i],
                              *now = &recorder->parts.still.stacks.items[i];
        bool same = then->frames.count == now->frames.count;
        for (size_t k = 0; same && k < then->frames.count; k++) {
            const struct py_frame *a = &then->frames.items[k], *b = &now->frames.items[k];
            same = same_place(a, b);
            if (same && a->fingerprint != b->fingerprint)
                changed |= vec_push(&moment->lost_codes, a->code_addr);
        }
        if (same || then->cut)
            continue;
        recorder->differences++;
        changed |= leave_out(&moment->stacks.items[i]);
    }
    return changed;
}

static bool check_native(struct recorder *recorder, const struct sample *sample,
                         struct still_moment *moment)
{
    bool changed = false;
    for (size_t i = 0; sample->natives && i < recorder->parts.still.natives.count; i++) {
        const struct unwind_frames *then = &sample->natives[i].frames;
        const struct unwind_frames *now = &recorder->parts.still.natives.items[i].frames;
        bool same = then->count == now->count;
        for (size_t k = 0; same && k < then->count; k++)
            same = then->items[k].pc == now->items[k].pc && then->items[k].how == now->items[k].how;
        if (same)
            continue;
        recorder->differences++;
        moment->starts.items[i] = (struct unwind_start){0};
        changed = true;
    }
    return changed;
}

static bool check(struct recorder *recorder, const struct sample *sample,
                  struct still_moment *moment)
{
    bool python = check_python(recorder, sample, moment);
    still_moment_settle(moment);
    return check_native(recorder, sample, moment) || python;
}

// The used part of the native stacks, for those who open the capture with a debugger.
static void keep_stacks(struct recorder *recorder, const struct still_moment *moment)
{
    size_t count = recorder->parts.still.natives.count;
    for (size_t i = 0; i < count && i < moment->starts.count; i++) {
        const struct unwind_stack *native = &recorder->parts.still.natives.items[i];
        if (!native->frames.count || moment->starts.items[i].regs.sp < RED_ZONE)
            continue;
        const struct unwind_frame *last = &native->frames.items[native->frames.count - 1];
        uint64_t at = moment->starts.items[i].regs.sp - RED_ZONE;
        uint64_t end = last->cfa ? last->cfa : last->sp;
        // What was copied while it stood still; of a core, all of it.
        struct capture_view only = recorder->view;
        if (!recorder->is_core)
            only.below = NULL;
        while (at < end && end - at < STACK_MAX) {
            unsigned char bytes[4096];
            size_t want = end - at < sizeof(bytes) ? (size_t)(end - at) : sizeof(bytes);
            size_t got = capture_view_read(&only, at, bytes, want);
            at += got ? got : 8;
        }
    }
}

static void give(struct recorder *recorder, struct recorded *ret)
{
    *ret = (struct recorded){recorder->parts.target, recorder->parts.image, recorder->epochs,
                             recorder->parts.process, &recorder->parts.still,
                             recorder->parts.unwinder};
}

// As a replay will; once more where the recorded bytes do not show what was sampled.
static struct err *decode_again(struct recorder *recorder, const struct sample *sample,
                                struct still_moment *moment)
{
    for (int again = 0; again < 2; again++) {
        still_deinit(&recorder->parts.still);
        TRY(still_decode(recorder->parts.process, recorder->parts.unwinder, recorder->codes.mem,
                         moment, &recorder->parts.still));
        if (again || !check(recorder, sample, moment))
            break;
    }
    return NULL;
}

struct err *recorder_take_live(struct recorder *recorder, const struct sampler *sampler,
                               const struct sample *sample, struct capture_snapshot *snapshot,
                               struct recorded *ret)
{
    struct target *source = sampler->live->target;
    recorder->new_program |= sample->changed_program;
    TRY(fill_moment(sampler, sample, &snapshot->moment));
    if (!sampler->process) {
        *ret = (struct recorded){.target = source};
        mem_blocks_clear(recorder->fresh);
        return NULL;
    }
    recorder->view.keep = recorder->codes.keep = recorder->fresh;
    struct err *err = NULL;
    if (recorder->new_program || !recorder->parts.process ||
        recorder->modules_hash != hash_modules(source))
        err = open_epoch(recorder, source, sampler->image, recorder->new_program);
    if (!err) {
        recorder->new_program = false;
        image_record_set_source(recorder->names, sampler->image);
        err = decode_again(recorder, sample, &snapshot->moment);
    }
    if (!err) {
        keep_stacks(recorder, &snapshot->moment);
        give(recorder, ret);
    }
    recorder->view.ahead_bytes = recorder->codes.ahead_bytes = 0;
    // Details are read from now on, until the snapshot is kept: as they are now, but what the
    // stacks were decoded from stays as it was.
    recorder->view.skip_known = true;
    return err;
}

struct err *recorder_take_core(struct recorder *recorder, struct target *core, struct image *image,
                               struct capture_snapshot *snapshot, struct recorded *ret)
{
    recorder->is_core = true;
    TRY(still_moment_of_core(core, &snapshot->moment));
    blot_names(&snapshot->moment);
    TRY(open_epoch(recorder, core, image, false));
    TRY(still_decode(recorder->parts.process, recorder->parts.unwinder, NULL, &snapshot->moment,
                     &recorder->parts.still));
    keep_stacks(recorder, &snapshot->moment);
    give(recorder, ret);
    return NULL;
}
