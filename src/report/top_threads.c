// SPDX-License-Identifier: GPL-3.0-or-later
// The threads in pycore top.
#include <stdlib.h>
#include <string.h>

#include "report/top_private.h"
#include "util/guard.h"
#include "util/hash.h"

#define HOT_SHARE 0.5 // of a processor

enum { TID, THREAD, CPU, STATE, SHARE, GIL, SAMPLES, MOSTLY_IN, COLUMNS };

uint64_t top_thread_key(pid_t pid, pid_t tid)
{
    return hash_u64(hash_u64(HASH_SEED, (uint64_t)pid), (uint64_t)tid) | 1;
}

static const struct prof_thread *thread_at(const struct top *top, uint32_t index)
{
    return &top->page.profile->threads[index];
}

static bool has_ended(const struct top *top, const struct prof_thread *thread)
{
    if (!top->latest)
        return false;
    vec_foreach (seen, &top->latest->threads)
        if (seen->tid == thread->tid && seen->pid == thread->pid)
            return false;
    return true;
}

static void add_percent(struct plain *out, double share)
{
    plain_add(out, "%.0f", share * 100);
}

// The function before its place: where both do not fit, the end is cut off.
static void add_function(struct plain *out, const struct top *top, uint32_t index)
{
    const struct prof_function *function = page_function(&top->page, index);
    if (!function)
        return;
    GUARD(plain_deinit) struct plain place = {0};
    names_place(&place, &top->page.names, function);
    names_function(out, &top->page.names, function, 0);
    if (place.size)
        plain_add(out, " %s", names_base(plain_text(&place)));
    out->failed |= place.failed;
}

static void cell(struct plain *out, const struct top *top, uint32_t index, size_t column)
{
    const struct prof_thread *thread = thread_at(top, index);
    enum snap_state usual = page_usual_state(thread);
    switch (column) {
    case TID:
        plain_add(out, "%d", (int)thread->tid);
        break;
    case THREAD:
        page_thread_name(out, &top->page, thread->name, thread->known_to_python);
        break;
    case CPU:
        if (thread->has_cpu)
            plain_add(out, "%.1f", thread->cpu_share * 100);
        break;
    case STATE:
        plain_str(out, has_ended(top, thread) ? "ended" : snap_state_name(usual));
        break;
    case SHARE:
        if (!has_ended(top, thread))
            add_percent(out, weigh_ratio(thread->states[usual], thread->samples));
        break;
    case GIL:
        if (thread->gil_held)
            add_percent(out, weigh_ratio(thread->gil_held, thread->samples));
        break;
    case SAMPLES:
        plain_count(out, thread->samples);
        break;
    case MOSTLY_IN:
        add_function(out, top, top->mostly_in[index]);
        break;
    }
}

static enum screen_style style(const struct top *top, uint32_t index)
{
    const struct prof_thread *thread = thread_at(top, index);
    if (has_ended(top, thread))
        return SCREEN_FAINT;
    return thread->has_cpu && thread->cpu_share >= HOT_SHARE ? SCREEN_HOT : SCREEN_NORMAL;
}

static bool matches(const struct top *top, uint32_t index)
{
    const struct prof_thread *thread = thread_at(top, index);
    GUARD(plain_deinit) struct plain text = {0};
    plain_add(&text, "%d ", (int)thread->tid);
    page_thread_name(&text, &top->page, thread->name, thread->known_to_python);
    plain_str(&text, " ");
    page_function_cell(&text, &top->page, top->mostly_in[index]);
    return top_matches(top, plain_text(&text));
}

static void weigh_row(const struct top *top, struct top_row *row)
{
    const struct prof_thread *thread = thread_at(top, row->index);
    row->second = thread->samples;
    row->name = strtab_get(top->page.names.strings, thread->name);
    switch (top->state->thread_sort) {
    case TOP_BY_CPU:
        row->weight = thread->cpu_ns;
        break;
    case TOP_BY_STATE:
        row->weight = SNAP_STATE_COUNT - (uint64_t)page_usual_state(thread);
        row->second = thread->cpu_ns;
        break;
    case TOP_BY_TID:
        row->weight = UINT32_MAX - (uint32_t)thread->tid;
        break;
    case TOP_BY_NAME:
        row->second = 0;
        break;
    case TOP_THREAD_SORTS:
        break;
    }
}

bool top_threads(struct top *top, struct top_table *ret)
{
    static const struct top_column columns[COLUMNS] = {
        [TID] = {.title = "TID", .width = 7, .right = true},
        [THREAD] = {.title = "THREAD", .share = 2},
        [CPU] = {.title = "CPU%", .width = 6, .right = true},
        [STATE] = {.title = "STATE", .width = 9},
        [SHARE] = {.title = "%", .width = 3, .right = true},
        [GIL] = {.title = "GIL%", .width = 4, .needs = 90, .right = true},
        [SAMPLES] = {.title = "SAMPLES", .width = 8, .needs = 120, .right = true},
        [MOSTLY_IN] = {.title = "MOSTLY IN", .share = 3},
    };
    static const size_t sorted[TOP_THREAD_SORTS] = {
        [TOP_BY_CPU] = CPU, [TOP_BY_STATE] = STATE, [TOP_BY_TID] = TID, [TOP_BY_NAME] = THREAD};
    *ret = (struct top_table){.columns = columns,
                              .column_count = COLUMNS,
                              .sorted = sorted[top->state->thread_sort],
                              .nothing = "no thread",
                              .cell = cell,
                              .style = style};
    size_t count = top->page.profile ? top->page.profile->thread_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct prof_thread *thread = thread_at(top, i);
        uint64_t key = top_thread_key(thread->pid, thread->tid);
        struct top_row row = {.key = key, .opens = key, .index = i};
        if (!matches(top, i))
            continue;
        weigh_row(top, &row);
        if (!vec_push(&ret->rows, row))
            return false;
    }
    return true;
}
