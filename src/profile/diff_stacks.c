// SPDX-License-Identifier: GPL-3.0-or-later
// Stacks of two runs by the sequence of their functions, whichever thread had them; and where
// threads wait. Too fine a distinction tells nothing: each of many stacks would be too rare to stand
// out. So a function that directly calls itself is one frame, however deep the recursion is, and
// native code is left out where it belongs to a function or builtin of Python.
#include <stdlib.h>
#include <string.h>

#include "profile/diff_private.h"
#include "util/guard.h"
#include "util/hash.h"

struct entry {
    uint64_t hash;
    const uint32_t *functions;
    size_t count;
    int side;
    const struct prof_stack *stack;
};

struct wait_entry {
    enum snap_state state;
    uint32_t function;
    int side;
    uint64_t samples;
};

struct lists {
    VEC(struct entry) stacks;
    VEC(struct wait_entry) waits;
};

static void lists_deinit(struct lists *lists)
{
    vec_deinit(&lists->stacks);
    vec_deinit(&lists->waits);
}

static int same_sequence(const struct entry *a, const struct entry *b)
{
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    return memcmp(a->functions, b->functions, a->count * sizeof(*a->functions));
}

static int by_sequence(const void *left, const void *right)
{
    return same_sequence(left, right);
}

static int by_place(const void *left, const void *right)
{
    const struct wait_entry *a = left, *b = right;
    if (a->state != b->state)
        return a->state < b->state ? -1 : 1;
    return (a->function > b->function) - (a->function < b->function);
}

static bool waits(enum snap_state state)
{
    return !snap_state_works(state) && state != SNAP_UNKNOWN;
}

// The stack's functions into `room`; how many.
static size_t map_stack(const struct prof_diff *diff, const struct prof_report *report, int side,
                        const struct prof_stack *stack, uint32_t *room)
{
    size_t count = 0;
    bool python = false;
    for (size_t i = 0; i < stack->frame_count && !python; i++)
        python = report->frames[stack->frames[i]].kind != SNAP_NATIVE;
    for (size_t i = 0; i < stack->frame_count; i++) {
        uint32_t function = diff->function_of[side][report->frame_function[stack->frames[i]]];
        bool left_out = python && report->frames[stack->frames[i]].kind == SNAP_NATIVE;
        if (!left_out && (!count || room[count - 1] != function))
            room[count++] = function;
    }
    return count;
}

static uint32_t wait_place(const struct prof_report *report, const struct prof_stack *stack)
{
    for (size_t i = 0; i < stack->frame_count; i++) {
        uint32_t function = report->frame_function[stack->frames[i]];
        if (report->functions[function].kind == SNAP_PYTHON)
            return function;
    }
    return stack->frame_count ? report->frame_function[stack->frames[0]] : DIFF_NONE;
}

static bool collect(const struct diff_input *run, int side, struct prof_diff *diff, uint32_t **room,
                    struct lists *lists)
{
    const struct prof_report *report = run->report;
    for (size_t i = 0; i < report->stack_count; i++) {
        const struct prof_stack *stack = &report->stacks[i];
        size_t count = map_stack(diff, report, side, stack, *room);
        struct entry entry = {.functions = *room, .count = count, .side = side, .stack = stack};
        entry.hash = hash_bytes(HASH_SEED, *room, count * sizeof(**room));
        *room += count;
        if (!vec_push(&lists->stacks, entry))
            return false;
        uint32_t place = waits(stack->state) ? wait_place(report, stack) : DIFF_NONE;
        struct wait_entry wait = {stack->state, 0, side, stack->samples};
        if (place == DIFF_NONE)
            continue;
        wait.function = diff->function_of[side][place];
        if (!vec_push(&lists->waits, wait))
            return false;
    }
    return true;
}

static void fill_stack(const struct diff_input runs[DIFF_SIDES], struct diff_stack *ret,
                       const struct entry *entries, size_t count)
{
    uint64_t cpu_ns[DIFF_SIDES] = {0}, waiting[DIFF_SIDES] = {0};
    ret->functions = entries[0].functions;
    ret->count = entries[0].count;
    for (size_t i = 0; i < count; i++) {
        const struct prof_stack *stack = entries[i].stack;
        if (snap_state_works(stack->state))
            ret->work.samples[entries[i].side] += stack->samples;
        else
            waiting[entries[i].side] += stack->samples;
        cpu_ns[entries[i].side] += stack->cpu_ns;
    }
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *report = runs[side].report;
        ret->work.share[side] = report->samples_working ? (double)ret->work.samples[side] /
                                                              (double)report->samples_working
                                                        : 0;
        ret->cpu.side[side] = diff_per((double)cpu_ns[side], (double)report->duration_ns);
        ret->waiting.side[side] = diff_per((double)waiting[side], (double)report->snapshots);
    }
    ret->work.change = ret->work.share[DIFF_AFTER] - ret->work.share[DIFF_BEFORE];
}

static void merge_stacks(const struct diff_input runs[DIFF_SIDES], struct lists *lists,
                         struct prof_diff *diff)
{
    const struct entry *items = lists->stacks.items;
    if (lists->stacks.count)
        qsort(lists->stacks.items, lists->stacks.count, sizeof(*items), by_sequence);
    for (size_t i = 0, next; i < lists->stacks.count; i = next) {
        for (next = i + 1; next < lists->stacks.count;)
            if (same_sequence(&items[i], &items[next]) != 0)
                break;
            else
                next++;
        fill_stack(runs, &diff->stacks[diff->stack_count++], items + i, next - i);
    }
}

static void merge_waits(const struct diff_input runs[DIFF_SIDES], struct lists *lists,
                        struct prof_diff *diff)
{
    if (lists->waits.count)
        qsort(lists->waits.items, lists->waits.count, sizeof(*lists->waits.items), by_place);
    struct diff_wait *last = NULL;
    vec_foreach (entry, &lists->waits) {
        if (!last || last->state != entry->state || last->function != entry->function) {
            last = &diff->waits[diff->wait_count++];
            *last = (struct diff_wait){.state = entry->state, .function = entry->function};
        }
        last->samples[entry->side] += entry->samples;
    }
    for (size_t i = 0; i < diff->wait_count; i++)
        for (int side = 0; side < DIFF_SIDES; side++)
            diff->waits[i].threads.side[side] = diff_per((double)diff->waits[i].samples[side],
                                                         (double)runs[side].report->snapshots);
}

bool diff_match_stacks(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff)
{
    GUARD(lists_deinit) struct lists lists = {0};
    size_t frames = 0;
    for (int side = 0; side < DIFF_SIDES; side++)
        for (size_t i = 0; i < runs[side].report->stack_count; i++)
            frames += runs[side].report->stacks[i].frame_count;
    uint32_t *room = diff->stack_functions = calloc(frames + 1, sizeof(*room));
    for (int side = 0; side < DIFF_SIDES; side++)
        if (!room || !collect(&runs[side], side, diff, &room, &lists))
            return false;
    diff->stacks = calloc(lists.stacks.count + 1, sizeof(*diff->stacks));
    diff->waits = calloc(lists.waits.count + 1, sizeof(*diff->waits));
    if (!diff->stacks || !diff->waits)
        return false;
    merge_stacks(runs, &lists, diff);
    merge_waits(runs, &lists, diff);
    return true;
}
