// SPDX-License-Identifier: GPL-3.0-or-later
// Where threads wait: the stacks seen waiting, put together by state and Python function, so that
// a pool of idle workers is one line.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS 10

struct wait_stack {
    struct wait_place place; // of this stack alone; its `samples`
    uint32_t thread;
};
VEC_DEFINE(wait_stacks, struct wait_stack);

static int compare_place(const struct wait_place *a, const struct wait_place *b)
{
    if (a->state != b->state)
        return a->state < b->state ? -1 : 1;
    if (a->at.function != b->at.function)
        return a->at.function < b->at.function ? -1 : 1;
    if (a->at.own != b->at.own)
        return a->at.own < b->at.own ? -1 : 1;
    // Without a Python function the innermost one tells places apart.
    if (a->at.function == UINT32_MAX && a->at.leaf != b->at.leaf)
        return a->at.leaf < b->at.leaf ? -1 : 1;
    return 0;
}

static int by_place(const void *left, const void *right)
{
    const struct wait_stack *a = left, *b = right;
    int order = compare_place(&a->place, &b->place);
    if (order)
        return order;
    if (a->thread != b->thread)
        return a->thread < b->thread ? -1 : 1;
    if (a->place.samples != b->place.samples)
        return a->place.samples > b->place.samples ? -1 : 1;
    return (a->place.at.leaf > b->place.at.leaf) - (a->place.at.leaf < b->place.at.leaf);
}

static int by_samples(const void *left, const void *right)
{
    const struct wait_place *a = left, *b = right;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    int order = compare_place(a, b);
    return order ? order : (a->at.leaf > b->at.leaf) - (a->at.leaf < b->at.leaf);
}

static bool collect(const struct page *page, struct wait_stacks *ret)
{
    const struct prof_report *profile = page->profile;
    for (size_t i = 0; i < profile->stack_count; i++) {
        const struct prof_stack *stack = &profile->stacks[i];
        if (snap_state_works(stack->state) || stack->state >= SNAP_UNKNOWN)
            continue;
        uint32_t thread = page_thread_of(page, stack);
        if (thread == UINT32_MAX)
            continue;
        struct wait_place place = {
            .state = stack->state, .at = page_place_of(page, stack), .samples = stack->samples};
        if (!vec_push(ret, (struct wait_stack){place, thread}))
            return false;
    }
    return true;
}

static void stacks_deinit(struct wait_stacks *stacks)
{
    vec_deinit(stacks);
}

bool wait_places_find(const struct page *page, struct wait_places *ret)
{
    GUARD(stacks_deinit) struct wait_stacks stacks = {0};
    if (!collect(page, &stacks))
        return false;
    if (stacks.count)
        qsort(stacks.items, stacks.count, sizeof(*stacks.items), by_place);
    uint64_t in_thread = 0, most = 0, in_leaf = 0;
    for (size_t i = 0; i < stacks.count; i++) {
        const struct wait_stack *stack = &stacks.items[i];
        bool fresh = i == 0 || compare_place(&stack[-1].place, &stack->place) != 0;
        if (fresh) {
            struct wait_place empty = stack->place;
            empty.samples = 0;
            if (!vec_push(ret, empty))
                return false;
            most = in_leaf = 0;
        }
        struct wait_place *place = &ret->items[ret->count - 1];
        if (fresh || stack[-1].thread != stack->thread) {
            place->threads++;
            place->of_samples += page->profile->threads[stack->thread].samples;
            in_thread = 0;
        }
        in_thread += stack->place.samples;
        place->samples += stack->place.samples;
        if (in_thread > most) {
            most = in_thread;
            place->one_thread = stack->thread;
        }
        if (stack->place.samples > in_leaf) {
            in_leaf = stack->place.samples;
            place->at.leaf = stack->place.at.leaf;
        }
    }
    if (ret->count)
        qsort(ret->items, ret->count, sizeof(*ret->items), by_samples);
    return true;
}

// ---- The table -----------------------------------------------------------------------------------

static void add_row(struct page *page, const struct wait_place *place)
{
    const struct stack_place *at = &place->at;
    const struct prof_thread *thread = &page->profile->threads[place->one_thread];
    GUARD(plain_deinit) struct plain row = {0};
    plain_add(&row, "%s" DOC_NEXT, snap_state_name(place->state));
    if (place->threads == 1)
        page_thread_name(&row, page, thread->name, thread->known_to_python);
    else
        plain_things(&row, place->threads, "thread");
    plain_str(&row, DOC_NEXT);
    plain_percent(&row, weigh_ratio(place->samples, place->of_samples));
    plain_str(&row, " %" DOC_NEXT);
    // The nearest own code first; then what it is in, without saying anything twice.
    uint32_t first = at->own != UINT32_MAX        ? at->own
                     : at->function != UINT32_MAX ? at->function
                                                  : at->leaf;
    page_function_cell(&row, page, first);
    plain_str(&row, DOC_NEXT);
    uint32_t second = at->function != first && at->function != UINT32_MAX ? at->function : at->leaf;
    page_function_cell(&row, page, second != first ? second : UINT32_MAX);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

static void places_deinit(struct wait_places *places)
{
    vec_deinit(places);
}

void page_waiting(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "STATE"},
        {.title = "THREADS", .code = true, .least = 14},
        {.title = "TIME", .right = true},
        {.title = "WHERE", .code = true, .keep = PLAIN_KEEP_END, .least = 24},
        {.title = "IN", .code = true, .least = 16},
    };
    GUARD(places_deinit) struct wait_places places = {0};
    if (!wait_places_find(page, &places)) {
        page->failed = true;
        return;
    }
    if (places.count == 0)
        return;
    doc_section(page->doc, "Where threads wait (of the time of these threads)", "place", 4, 15);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_ROWS, places.count);
    for (size_t i = 0; i < rows; i++)
        add_row(page, &places.items[i]);
    doc_more(page->doc, places.count - rows);
}
