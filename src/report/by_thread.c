// SPDX-License-Identifier: GPL-3.0-or-later
// What each thread, or each kind of threads, does with its time, working and waiting alike: places in
// one's own code, with who called them. It answers for the thread whose share of the working time is
// too small for the other tables.
#include <stdlib.h>
#include <string.h>

#include "report/kinds.h"
#include "util/guard.h"

#define CHAIN 4 // functions of one's own code that a place names, from the innermost
#define USUAL_KINDS 8
#define USUAL_PLACES 5
#define LEAST_SHARE 0.02 // of the kind's time
#define ONE_PLACE 0.97   // a kind that is in one place is told by the thread table

struct thread_place {
    uint32_t kind;
    enum snap_state state;
    uint32_t chain[CHAIN]; // functions; UINT32_MAX: no more
    int32_t line;          // of the innermost of them, that was executing
    uint32_t leaf;         // the innermost function
    uint64_t samples;
};
VEC_DEFINE(thread_places, struct thread_place);

struct by_thread {
    struct page *page;
    struct kinds kinds;
    struct thread_places places;
};

static void by_thread_deinit(struct by_thread *by)
{
    kinds_deinit(&by->kinds);
    vec_deinit(&by->places);
}

// ---- Places --------------------------------------------------------------------------------------

static struct thread_place place_of(const struct page *page, const struct prof_stack *stack)
{
    const struct prof_report *profile = page->profile;
    struct thread_place place = {.state = stack->state, .samples = stack->samples, .line = -1};
    size_t named = 0, python = SIZE_MAX;
    for (size_t i = 0; i < CHAIN; i++)
        place.chain[i] = UINT32_MAX;
    for (size_t i = 0; i < stack->frame_count && named < CHAIN; i++) {
        uint32_t function = profile->frame_function[stack->frames[i]];
        if (profile->functions[function].kind == SNAP_PYTHON && python == SIZE_MAX)
            python = i;
        if (!page->own_code[function] || (named && place.chain[named - 1] == function))
            continue;
        if (!named)
            place.line = profile->frames[stack->frames[i]].line;
        place.chain[named++] = function;
    }
    if (!named && python != SIZE_MAX) { // nothing but libraries
        place.chain[0] = profile->frame_function[stack->frames[python]];
        place.line = profile->frames[stack->frames[python]].line;
    }
    place.leaf = page_place_of(page, stack).leaf;
    if (place.chain[0] == UINT32_MAX)
        place.chain[0] = place.leaf;
    return place;
}

static int compare_places(const struct thread_place *a, const struct thread_place *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    // Running and ready to run are one: which of them it was is the scheduler's affair.
    bool a_works = snap_state_works(a->state), b_works = snap_state_works(b->state);
    if (a_works != b_works || (!a_works && a->state != b->state))
        return a->state < b->state ? -1 : 1;
    return memcmp(a->chain, b->chain, sizeof(a->chain));
}

static int by_place(const void *left, const void *right)
{
    const struct thread_place *a = left, *b = right;
    int order = compare_places(a, b);
    if (order)
        return order;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return (a->leaf > b->leaf) - (a->leaf < b->leaf);
}

static int by_samples(const void *left, const void *right)
{
    const struct thread_place *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    return compare_places(a, b);
}

// Equal places become one, with the line and the innermost function that most samples had.
static void put_together(struct thread_places *places)
{
    size_t kept = 0;
    uint64_t most = 0;
    for (size_t i = 0; i < places->count; i++) {
        const struct thread_place *place = &places->items[i];
        struct thread_place *last = kept ? &places->items[kept - 1] : NULL;
        if (!last || compare_places(last, place) != 0) {
            places->items[kept++] = *place;
            most = place->samples;
            continue;
        }
        if (place->samples > most) {
            most = place->samples;
            last->line = place->line;
            last->leaf = place->leaf;
        }
        last->samples += place->samples;
    }
    places->count = kept;
}

static bool find_places(struct by_thread *by)
{
    const struct prof_report *profile = by->page->profile;
    for (size_t i = 0; i < profile->stack_count; i++) {
        uint32_t thread = page_thread_of(by->page, &profile->stacks[i]);
        if (thread == UINT32_MAX)
            continue;
        struct thread_place place = place_of(by->page, &profile->stacks[i]);
        place.kind = by->kinds.of_thread[thread];
        if (!vec_push(&by->places, place))
            return false;
    }
    if (!by->places.count)
        return true;
    qsort(by->places.items, by->places.count, sizeof(*by->places.items), by_place);
    put_together(&by->places);
    qsort(by->places.items, by->places.count, sizeof(*by->places.items), by_samples);
    return true;
}

// ---- The section ---------------------------------------------------------------------------------

static void add_place(struct page *page, const struct thread_place *place, uint64_t of)
{
    const struct prof_function *function = page_function(page, place->chain[0]);
    const char *state = snap_state_works(place->state) ? "works" : snap_state_name(place->state);
    GUARD(plain_deinit) struct plain line = {0}, percent = {0};
    plain_percent(&percent, weigh_ratio(place->samples, of));
    plain_add(&line, "  %4s %%  %-9s  ", plain_text(&percent), state);
    if (!function)
        plain_str(&line, "(no stack was read)");
    for (size_t i = 0; function && i < CHAIN; i++) {
        const struct prof_function *caller = page_function(page, place->chain[i]);
        if (!caller)
            break;
        plain_str(&line, i ? " < " : "");
        names_function(&line, &page->names, caller, 40);
        if (i == 0 && caller->kind == SNAP_PYTHON && caller->file) {
            plain_str(&line, " ");
            names_path(&line, &page->names, caller->file);
            if (place->line >= 0 && !page->options->no_lines)
                plain_add(&line, ":%d", (int)place->line);
        }
    }
    const struct prof_function *leaf = page_function(page, place->leaf);
    if (leaf && place->leaf != place->chain[0]) {
        plain_str(&line, "  in ");
        names_function(&line, &page->names, leaf, 48);
    }
    doc_line(page->doc, DOC_NORMAL, 0, plain_text(&line));
    page->failed |= line.failed || percent.failed;
}

static void add_head(struct page *page, const struct kind *kind)
{
    const struct prof_thread *thread = &page->profile->threads[kind->first];
    GUARD(plain_deinit) struct plain head = {0};
    if (kind->threads == 1) {
        page_say_thread(&head, page, thread->name, thread->pid, thread->tid);
    } else {
        kind_say(&head, kind);
        plain_str(&head, ", ");
        plain_things(&head, kind->threads, "thread");
    }
    plain_str(&head, thread->known_to_python ? ": " : " that Python does not know: ");
    plain_percent(&head, weigh_ratio(kind->working, kind->samples));
    plain_str(&head, " % of ");
    plain_things(&head, kind->samples, "sample");
    plain_str(&head, " at work");
    if (kind->working && page->profile->samples_working > kind->working) {
        plain_str(&head, ", ");
        plain_percent(&head, weigh_ratio(kind->working, page->profile->samples_working));
        plain_str(&head, " % of all the work");
    }
    doc_head(page->doc, DOC_NORMAL, 1, plain_text(&head));
    page->failed |= head.failed;
}

static int by_work(const void *left, const void *right, void *arg)
{
    const struct kinds *kinds = arg;
    const struct kind *a = &kinds->list.items[*(const uint32_t *)left];
    const struct kind *b = &kinds->list.items[*(const uint32_t *)right];
    if (a->working != b->working)
        return a->working > b->working ? -1 : 1;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    return (a > b) - (a < b);
}

static void add_kinds(struct by_thread *by)
{
    struct page *page = by->page;
    size_t count = by->kinds.list.count, shown = 0, told = 0;
    AUTO_FREE uint32_t *order = calloc(count + 1, sizeof(*order));
    AUTO_FREE size_t *first = calloc(count + 2, sizeof(*first)); // of each kind's places
    if (!order || !first) {
        page->failed = true;
        return;
    }
    vec_foreach (place, &by->places)
        first[place->kind + 1]++;
    for (size_t i = 0; i < count; i++) {
        order[i] = (uint32_t)i;
        first[i + 1] += first[i];
    }
    qsort_r(order, count, sizeof(*order), by_work, &by->kinds);
    size_t kinds = page_rows(page, USUAL_KINDS, count);
    for (size_t i = 0; i < count; i++) {
        const struct kind *kind = &by->kinds.list.items[order[i]];
        const struct thread_place *places = by->places.items + first[order[i]];
        size_t there = first[order[i] + 1] - first[order[i]];
        if (!there || weigh_ratio(places[0].samples, kind->samples) >= ONE_PLACE)
            continue;
        if (told++ >= kinds)
            continue;
        if (!shown++)
            doc_section(page->doc,
                        "What threads do with their time (of all of it, working and waiting)",
                        "thread", 3, 20);
        add_head(page, kind);
        for (size_t k = 0; k < there && k < USUAL_PLACES; k++)
            if (weigh_ratio(places[k].samples, kind->samples) >= LEAST_SHARE)
                add_place(page, &places[k], kind->samples);
    }
    if (told > kinds)
        doc_more(page->doc, told - kinds);
}

void page_by_thread(struct page *page)
{
    GUARD(by_thread_deinit) struct by_thread by = {.page = page};
    if (!kinds_find(page, &by.kinds) || !find_places(&by))
        page->failed = true;
    else
        add_kinds(&by);
}
