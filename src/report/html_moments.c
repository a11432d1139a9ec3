// SPDX-License-Identifier: GPL-3.0-or-later
// The time line of the HTML report: by thread, which stack it had in which snapshot, in runs, because
// a thread that waits has the same stack for long.
#include "report/html_data.h"

#include <stdlib.h>

#include "util/guard.h"

// Thread samples, some 8 bytes of page each. Of longer runs only every second, third ... snapshot
// is in it, and the page says so.
#define SAMPLES_MAX 500000

struct cell {
    uint32_t thread, moment, stack;
};
VEC_DEFINE(cells, struct cell);

static void cells_deinit(struct cells *cells)
{
    vec_deinit(cells);
}

static int by_thread(const void *left, const void *right)
{
    const struct cell *a = left, *b = right;
    if (a->thread != b->thread)
        return a->thread < b->thread ? -1 : 1;
    return (a->moment > b->moment) - (a->moment < b->moment);
}

static bool collect(struct cells *cells, const struct prof_report *profile, const struct view *view,
                    size_t step)
{
    for (size_t i = 0; i < profile->moment_count; i += step) {
        const struct prof_moment *moment = &profile->moments[i];
        for (size_t k = 0; k < moment->count; k++) {
            uint32_t stack = view->stack_of[profile->moment_stacks[moment->first + k]];
            uint32_t thread = stack == UINT32_MAX ? UINT32_MAX : view->stacks[stack].thread;
            if (thread != UINT32_MAX &&
                !vec_push(cells, (struct cell){thread, (uint32_t)(i / step), stack}))
                return false;
        }
    }
    if (cells->count)
        qsort(cells->items, cells->count, sizeof(*cells->items), by_thread);
    return true;
}

// [stack, how many snapshots, ...]; -1: it was not there, or its stack is not known.
static void write_thread(struct json_writer *json, const struct cell *cell, const struct cell *end)
{
    json_begin_array(json, NULL);
    for (uint32_t next = 0; cell < end;) {
        const struct cell *last = cell;
        while (last + 1 < end && last[1].stack == cell->stack && last[1].moment == last->moment + 1)
            last++;
        if (cell->moment > next) {
            json_i64(json, NULL, -1);
            json_u64(json, NULL, cell->moment - next);
        }
        json_u64(json, NULL, cell->stack);
        json_u64(json, NULL, (uint64_t)(last - cell) + 1);
        next = last->moment + 1;
        cell = last + 1;
    }
    json_end_array(json, JSON_LINE);
}

struct err *html_moments(struct json_writer *json, const struct prof_report *profile,
                         const struct view *view)
{
    if (!profile->moment_count) {
        json_null(json, "moments");
        return NULL;
    }
    size_t samples = 0;
    for (size_t i = 0; i < profile->moment_count; i++)
        samples += profile->moments[i].count;
    size_t step = samples / SAMPLES_MAX + 1;
    GUARD(cells_deinit) struct cells cells = {0};
    if (!collect(&cells, profile, view, step))
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    json_begin_object(json, "moments");
    json_u64(json, "step", step);
    json_u64(json, "dropped", profile->dropped_moments);
    json_begin_array(json, "at_us");
    for (size_t i = 0; i < profile->moment_count; i += step)
        json_u64(json, NULL, profile->moments[i].at_ns / 1000);
    json_end_array(json, JSON_LINE);
    json_begin_array(json, "threads");
    const struct cell *cell = cells.items, *end = cells.items + cells.count;
    for (size_t i = 0; i < profile->thread_count; i++) {
        const struct cell *first = cell;
        while (cell < end && cell->thread == i)
            cell++;
        write_thread(json, first, cell);
    }
    json_end_array(json, JSON_LINE);
    json_end_object(json, JSON_LINE);
    return NULL;
}
