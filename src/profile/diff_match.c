// SPDX-License-Identifier: GPL-3.0-or-later
// Which functions of two runs are the same: kind, name and file; the first line tells those apart
// that share a name.
#include <math.h>
#include <stdlib.h>

#include "profile/diff_private.h"
#include "util/guard.h"

struct entry {
    const struct strtab *strings;
    uint32_t index, name, class;
    int side;
    enum snap_frame_kind kind;
    int32_t line;
    bool paired;
};

static bool has_qualnames(const struct diff_input *run)
{
    for (size_t i = 0; i < run->report->function_count; i++)
        if (run->report->functions[i].kind == SNAP_PYTHON && run->report->functions[i].qualname)
            return true;
    return false;
}

static uint32_t name_of(const struct prof_function *function, bool qualified)
{
    bool plain = function->kind == SNAP_NATIVE || (function->kind == SNAP_PYTHON && !qualified);
    if (plain && function->function)
        return function->function;
    return function->qualname ? function->qualname : function->function;
}

static int compare_key(const struct entry *a, const struct entry *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->class != b->class)
        return a->class < b->class ? -1 : 1;
    return diff_compare_text(a->strings, a->name, b->strings, b->name);
}

static int by_key(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = compare_key(a, b);
    if (order)
        return order;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->side != b->side)
        return a->side - b->side;
    return (a->index > b->index) - (a->index < b->index);
}

static struct diff_function *add(struct prof_diff *diff, const struct entry *before,
                                 const struct entry *after)
{
    uint32_t number = (uint32_t)diff->function_count++;
    struct diff_function *function = &diff->functions[number];
    function->index[DIFF_BEFORE] = before ? before->index : DIFF_NONE;
    function->index[DIFF_AFTER] = after ? after->index : DIFF_NONE;
    for (int side = 0; side < DIFF_SIDES; side++)
        if (function->index[side] != DIFF_NONE)
            diff->function_of[side][function->index[side]] = number;
    function->moved = before && after && before->line != after->line;
    return function;
}

// Those of one key, by line: the same lines first. Of the rest, the first with the first and so on
// when there are as many of them in both runs: the file was edited above them. Otherwise it cannot
// be said which of them was not seen.
static void pair_group(struct prof_diff *diff, struct entry *group, size_t count)
{
    size_t left[DIFF_SIDES] = {0};
    for (size_t i = 0; i < count; i++) {
        struct entry *a = &group[i], *b = i + 1 < count ? &group[i + 1] : NULL;
        if (a->paired)
            continue;
        a->paired = b && a->line == b->line && a->side == DIFF_BEFORE && b->side == DIFF_AFTER;
        if (a->paired) {
            b->paired = true;
            add(diff, a, b);
        } else {
            left[a->side]++;
        }
    }
    bool alike = left[DIFF_BEFORE] == left[DIFF_AFTER];
    for (size_t i = 0, k = 0; i < count; i++) {
        struct entry *a = &group[i];
        if (a->paired)
            continue;
        if (!alike) {
            diff->ambiguous += left[DIFF_BEFORE] && left[DIFF_AFTER];
            add(diff, a->side == DIFF_BEFORE ? a : NULL, a->side == DIFF_AFTER ? a : NULL);
        } else if (a->side == DIFF_BEFORE) {
            while (group[k].paired || group[k].side == DIFF_BEFORE)
                k++;
            add(diff, a, &group[k++]);
        }
    }
}

// ---- What is known of a function -----------------------------------------------------------------

static void set_share(struct diff_share *share, int side, uint64_t samples, uint64_t whole)
{
    share->samples[side] = samples;
    share->share[side] = whole ? (double)samples / (double)whole : 0;
    share->change = share->share[DIFF_AFTER] - share->share[DIFF_BEFORE];
}

static void set_sides(const struct diff_input runs[DIFF_SIDES], struct diff_function *function)
{
    static const struct prof_function nothing;
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *report = runs[side].report;
        uint32_t index = function->index[side];
        const struct prof_function *f = index == DIFF_NONE ? &nothing : &report->functions[index];
        double ns = (double)report->duration_ns, snapshots = (double)report->snapshots;
        set_share(&function->own, side, f->own_working, report->samples_working);
        set_share(&function->total, side, f->total_working, report->samples_working);
        function->self[side] = f->self_working;
        function->own_cpu.side[side] = diff_per((double)f->own_cpu_ns, ns);
        function->total_cpu.side[side] = diff_per((double)f->total_cpu_ns, ns);
        function->waiting.side[side] = diff_per((double)(f->own - f->own_working), snapshots);
    }
}

bool diff_match_functions(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff)
{
    GUARD(diff_files_deinit) struct diff_files files = {0};
    size_t count = 0;
    for (int side = 0; side < DIFF_SIDES; side++)
        count += runs[side].report->function_count;
    AUTO_FREE struct entry *entries = calloc(count + 1, sizeof(*entries));
    diff->functions = calloc(count + 1, sizeof(*diff->functions));
    if (!entries || !diff->functions || !diff_files_match(runs, &files))
        return false;
    diff->files_by_tail = files.by_tail;
    bool qualified = has_qualnames(&runs[DIFF_BEFORE]) && has_qualnames(&runs[DIFF_AFTER]);
    size_t at = 0;
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *report = runs[side].report;
        diff->function_of[side] = calloc(report->function_count + 1, sizeof(uint32_t));
        if (!diff->function_of[side])
            return false;
        for (size_t i = 0; i < report->function_count; i++) {
            const struct prof_function *f = &report->functions[i];
            uint32_t file = f->kind == SNAP_NATIVE ? f->module : f->file;
            entries[at++] = (struct entry){.strings = runs[side].strings,
                                           .index = (uint32_t)i,
                                           .name = name_of(f, qualified),
                                           .class = files.class_of[side][file],
                                           .side = side,
                                           .kind = f->kind,
                                           .line = f->line};
        }
    }
    qsort(entries, count, sizeof(*entries), by_key);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && compare_key(&entries[i], &entries[next]) == 0;)
            next++;
        pair_group(diff, entries + i, next - i);
    }
    for (size_t i = 0; i < diff->function_count; i++)
        set_sides(runs, &diff->functions[i]);
    return true;
}
