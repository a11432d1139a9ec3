// SPDX-License-Identifier: GPL-3.0-or-later
// The snapshot as a value: making and freeing it, its notes, and what its states are called.
#include "snapshot/snapshot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/guard.h"

#define NOTE_BYTES 4096 // a note is a sentence

const char *snap_state_name(enum snap_state state)
{
    static const char *const names[SNAP_STATE_COUNT] = {
        [SNAP_RUNNING] = "running",     [SNAP_RUNNABLE] = "runnable", [SNAP_GIL_WAIT] = "gil-wait",
        [SNAP_LOCK_WAIT] = "lock-wait", [SNAP_IO_WAIT] = "io-wait",   [SNAP_SLEEP] = "sleep",
        [SNAP_UNKNOWN] = "unknown",
    };
    return (unsigned)state < SNAP_STATE_COUNT ? names[state] : "unknown";
}

bool snap_state_works(enum snap_state state)
{
    return state == SNAP_RUNNING || state == SNAP_RUNNABLE;
}

struct snapshot *snapshot_create(void)
{
    return calloc(1, sizeof(struct snapshot));
}

void snap_thread_deinit(struct snap_thread *thread)
{
    vec_deinit(&thread->frames);
    vec_deinit(&thread->notes);
    if (thread->details)
        snap_details_deinit(thread->details);
    free(thread->details);
    thread->details = NULL;
    snap_turn_destroy(thread->turn);
    thread->turn = NULL;
}

void snapshot_destroy(struct snapshot *snapshot)
{
    if (!snapshot)
        return;
    vec_foreach (thread, &snapshot->threads)
        snap_thread_deinit(thread);
    vec_deinit(&snapshot->threads);
    vec_deinit(&snapshot->parts);
    vec_deinit(&snapshot->notes);
    snap_suspended_destroy(snapshot->suspended);
    free(snapshot);
}

uint64_t snap_window_of(const struct snapshot *snapshot, pid_t pid)
{
    vec_foreach (part, &snapshot->parts)
        if (part->pid == pid)
            return part->cpu_window_ns;
    return snapshot->cpu_window_ns;
}

size_t snap_waits_known(const struct snapshot *snapshot)
{
    size_t known = 0;
    vec_foreach (thread, &snapshot->threads)
        known += thread->details && thread->details->wait.kind != SNAP_WAIT_NONE;
    return known;
}

bool snap_note(struct strtab *strings, struct snap_notes *notes, const char *fmt, ...)
{
    char text[NOTE_BYTES];
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (size < 0)
        return false;
    size_t kept = (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1;
    uint32_t id = strtab_add(strings, text, kept);
    if (!id)
        return false;
    vec_foreach (note, notes)
        if (*note == id)
            return true;
    return vec_push(notes, id);
}

void snap_source_deinit(struct snap_source *source)
{
    free(source->process.argv);
    source->process.argv = NULL;
    source->process.argc = 0;
    vec_foreach (process, &source->others)
        free(process->argv);
    vec_deinit(&source->others);
    vec_deinit(&source->crash.registers);
    vec_deinit(&source->environment.packages);
    vec_deinit(&source->environment.variables);
    vec_deinit(&source->notes);
}

size_t snap_process_count(const struct snap_source *source)
{
    return 1 + source->others.count;
}

const struct snap_process *snap_process_at(const struct snap_source *source, size_t index)
{
    return index ? &source->others.items[index - 1] : &source->process;
}

const struct snap_process *snap_process_first(const struct snap_source *source)
{
    for (size_t i = 0; i < snap_process_count(source); i++)
        if (!snap_process_at(source, i)->why)
            return snap_process_at(source, i);
    return &source->process;
}

const struct snap_process *snap_process_of(const struct snap_source *source, pid_t pid)
{
    vec_foreach (process, &source->others)
        if (process->pid == pid)
            return process;
    return &source->process;
}
