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

struct thread_key {
    pid_t pid, tid;
    uint32_t index;
};

static int by_thread(const void *left, const void *right)
{
    const struct thread_key *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    return (a->tid > b->tid) - (a->tid < b->tid);
}

static int compare_place(const struct wait_place *a, const struct wait_place *b)
{
    if (a->state != b->state)
        return a->state < b->state ? -1 : 1;
    if (a->function != b->function)
        return a->function < b->function ? -1 : 1;
    if (a->own != b->own)
        return a->own < b->own ? -1 : 1;
    // Without a Python function the innermost one tells places apart.
    if (a->function == UINT32_MAX && a->leaf != b->leaf)
        return a->leaf < b->leaf ? -1 : 1;
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
    return (a->place.leaf > b->place.leaf) - (a->place.leaf < b->place.leaf);
}

static int by_samples(const void *left, const void *right)
{
    const struct wait_place *a = left, *b = right;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    int order = compare_place(a, b);
    return order ? order : (a->leaf > b->leaf) - (a->leaf < b->leaf);
}

static struct wait_place place_of(const struct page *page, const struct prof_stack *stack,
                                  const bool *own_code)
{
    const struct prof_report *profile = page->profile;
    struct wait_place place = {.state = stack->state, .samples = stack->samples,
                               .leaf = UINT32_MAX, .function = UINT32_MAX, .own = UINT32_MAX};
    for (size_t i = 0; i < stack->frame_count && place.own == UINT32_MAX; i++) {
        uint32_t index = profile->frame_function[stack->frames[i]];
        const struct prof_function *function = page_function(page, index);
        if (!function)
            continue;
        if (place.leaf == UINT32_MAX)
            place.leaf = index;
        if (place.function == UINT32_MAX && function->kind == SNAP_PYTHON)
            place.function = index;
        if (own_code[index])
            place.own = index;
    }
    return place;
}

static bool collect(const struct page *page, struct wait_stacks *ret)
{
    const struct prof_report *profile = page->profile;
    AUTO_FREE struct thread_key *keys = calloc(profile->thread_count + 1, sizeof(*keys));
    AUTO_FREE bool *own_code = calloc(profile->function_count + 1, sizeof(*own_code));
    if (!keys || !own_code)
        return false;
    for (size_t i = 0; i < profile->thread_count; i++)
        keys[i] = (struct thread_key){profile->threads[i].pid, profile->threads[i].tid,
                                      (uint32_t)i};
    qsort(keys, profile->thread_count, sizeof(*keys), by_thread);
    for (size_t i = 0; i < profile->function_count; i++)
        own_code[i] = names_is_own_code(&page->names, &profile->functions[i]);
    for (size_t i = 0; i < profile->stack_count; i++) {
        const struct prof_stack *stack = &profile->stacks[i];
        if (snap_state_works(stack->state) || stack->state >= SNAP_UNKNOWN)
            continue;
        struct thread_key wanted = {stack->pid, stack->tid, 0};
        const struct thread_key *thread =
            bsearch(&wanted, keys, profile->thread_count, sizeof(*keys), by_thread);
        if (thread && !vec_push(ret, (struct wait_stack){place_of(page, stack, own_code),
                                                         thread->index}))
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
            place->leaf = stack->place.leaf;
        }
    }
    if (ret->count)
        qsort(ret->items, ret->count, sizeof(*ret->items), by_samples);
    return true;
}

// ---- The table -----------------------------------------------------------------------------------

static void add_place_cell(struct plain *row, const struct page *page, uint32_t index)
{
    const struct prof_function *function = page_function(page, index);
    plain_str(row, DOC_NEXT);
    if (!function)
        return;
    names_function(row, &page->names, function, 48);
    size_t before = row->size;
    plain_str(row, "  ");
    names_place(row, &page->names, function);
    if (row->size == before + 2 && !row->failed)
        row->bytes[row->size = before] = '\0';
}

static void add_row(struct page *page, const struct wait_place *place)
{
    GUARD(plain_deinit) struct plain row = {0};
    plain_add(&row, "%s" DOC_NEXT, snap_state_name(place->state));
    plain_count(&row, place->threads);
    plain_str(&row, DOC_NEXT);
    plain_percent(&row, weigh_ratio(place->samples, place->of_samples));
    plain_str(&row, " %");
    add_place_cell(&row, page, place->leaf);
    uint32_t library = place->function != place->leaf ? place->function : UINT32_MAX;
    add_place_cell(&row, page, library != place->own ? library : UINT32_MAX);
    add_place_cell(&row, page, place->own != place->leaf ? place->own : UINT32_MAX);
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
        {.title = "THREADS", .right = true},
        {.title = "TIME", .right = true},
        {.title = "IN", .code = true, .least = 16},
        {.title = "CALLED BY", .code = true, .least = 14},
        {.title = "FOR", .code = true, .least = 16},
    };
    GUARD(places_deinit) struct wait_places places = {0};
    if (!wait_places_find(page, &places)) {
        page->failed = true;
        return;
    }
    if (places.count == 0)
        return;
    doc_section(page->doc, "Where threads wait (of the time of these threads)", "places", 4, 15);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_ROWS, places.count);
    for (size_t i = 0; i < rows; i++)
        add_row(page, &places.items[i]);
    doc_more(page->doc, places.count - rows);
}
