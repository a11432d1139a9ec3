// SPDX-License-Identifier: GPL-3.0-or-later
// Threads of two runs by their names. Names of pools count through the life of a process, so that a
// name without a counterpart is looked for again with each number as "*".
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "profile/diff_private.h"
#include "util/guard.h"

struct entry {
    char *name;
    int side;
    uint32_t index;
    bool matched, renumbered;
};
VEC_DEFINE(entries, struct entry);

static void entries_deinit(struct entries *entries)
{
    vec_foreach (entry, entries)
        free(entry->name);
    vec_deinit(entries);
}

static int by_name(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    if (order)
        return order;
    if (a->side != b->side)
        return a->side - b->side;
    return (a->index > b->index) - (a->index < b->index);
}

// [from, next) are those of one name.
static size_t end_of_name(const struct entries *entries, size_t from)
{
    size_t next = from + 1;
    while (next < entries->count &&
           strcmp(entries->items[from].name, entries->items[next].name) == 0)
        next++;
    return next;
}

static void mark_matched(struct entries *entries)
{
    for (size_t i = 0, next; i < entries->count; i = next) {
        next = end_of_name(entries, i);
        for (size_t k = i; k < next; k++)
            entries->items[k].matched |= entries->items[i].side != entries->items[next - 1].side;
    }
}

// Only those without a counterpart, and in place: the name does not get longer.
static void drop_numbers(struct entry *entry)
{
    char *to = entry->name;
    for (const char *at = entry->name; *at; at++) {
        bool digit = isdigit((unsigned char)*at);
        if (!digit || to == entry->name || to[-1] != '*')
            *to++ = digit ? '*' : *at;
    }
    *to = '\0';
    entry->renumbered = true;
}

static void fill(const struct diff_input runs[DIFF_SIDES], const struct entry *entries,
                 size_t count, struct diff_thread *ret)
{
    *ret = (struct diff_thread){.first = {DIFF_NONE, DIFF_NONE}};
    double cpu_ns[DIFF_SIDES] = {0};
    ret->numbered = entries[0].renumbered;
    for (size_t i = 0; i < count; i++) {
        int side = entries[i].side;
        const struct prof_thread *thread = &runs[side].report->threads[entries[i].index];
        if (ret->threads[side]++ == 0)
            ret->first[side] = entries[i].index;
        ret->samples[side] += thread->samples;
        for (int state = 0; state < SNAP_STATE_COUNT; state++)
            ret->states[side][state] += thread->states[state];
        cpu_ns[side] += thread->has_cpu ? (double)thread->cpu_ns : NAN;
    }
    for (int side = 0; side < DIFF_SIDES; side++)
        ret->cpu.side[side] = diff_per(cpu_ns[side], (double)runs[side].report->duration_ns);
}

bool diff_match_threads(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff)
{
    GUARD(entries_deinit) struct entries entries = {0};
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *report = runs[side].report;
        for (size_t i = 0; i < report->thread_count; i++) {
            const char *bytes = strtab_get(runs[side].strings, report->threads[i].name);
            size_t size = strtab_size(runs[side].strings, report->threads[i].name);
            char *name = bytes ? strndup(bytes, size) : strdup("");
            if (!name || !vec_push(&entries, (struct entry){name, side, (uint32_t)i, false, false}))
                return free(name), false;
        }
    }
    diff->threads_by_name = calloc(entries.count + 1, sizeof(*diff->threads_by_name));
    if (!diff->threads_by_name)
        return false;
    if (!entries.count)
        return true;
    qsort(entries.items, entries.count, sizeof(*entries.items), by_name);
    mark_matched(&entries);
    vec_foreach (entry, &entries)
        if (!entry->matched)
            drop_numbers(entry);
    qsort(entries.items, entries.count, sizeof(*entries.items), by_name);
    for (size_t i = 0, next; i < entries.count; i = next) {
        next = end_of_name(&entries, i);
        fill(runs, &entries.items[i], next - i, &diff->threads_by_name[diff->thread_count++]);
    }
    return true;
}
