// SPDX-License-Identifier: GPL-3.0-or-later
// The call tree: cold branches left out and counted, recursion folded into the outermost call,
// calls without a choice on one line. Never recursive itself: the target chooses the depth.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "report/view.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"

#define LEAST_SHARE 0.01
#define ANCESTORS 200 // looked at for recursion; beyond it a call is taken for a new one
#define DEEPEST_INDENT 24
#define CHAIN_NAMES 3 // calls without a choice that are named; the others are counted
#define CHAIN_OWN 8   // own functions among them, for which it goes on in further lines

// A call in the tree as shown: all calls of one function below the same call, whatever recursion
// lies between.
struct call {
    uint32_t frame, parent;                 // frame: of the view
    uint32_t first_child, last_child, next; // calls; 0: none
    uint64_t weight, self;
    uint64_t stamp;           // the stack that counted it last
    uint32_t active, deepest; // nested in that stack; at most in any
};

struct calls {
    const struct view *view;
    VEC(struct call) list;
    struct hash_index index; // by parent and frame
    bool failed;
};

static void calls_deinit(struct calls *calls)
{
    vec_deinit(&calls->list);
    hash_index_deinit(&calls->index);
}

static uint32_t child_of(struct calls *calls, uint32_t parent, uint32_t frame)
{
    uint64_t hash = hash_u64(hash_u64(HASH_SEED, parent), frame);
    struct hash_probe probe = hash_probe(&calls->index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (calls->list.items[id].parent == parent && calls->list.items[id].frame == frame)
            return id;
    uint32_t index = (uint32_t)calls->list.count;
    if (!hash_index_reserve(&calls->index, 1) ||
        !vec_push(&calls->list, (struct call){.frame = frame, .parent = parent})) {
        calls->failed = true;
        return 0;
    }
    struct call *items = calls->list.items;
    if (items[parent].last_child)
        items[items[parent].last_child].next = index;
    else
        items[parent].first_child = index;
    items[parent].last_child = index;
    hash_index_add(&calls->index, hash, index);
    return index;
}

// The call a frame belongs to: an outer call of the same function, else a child of its caller's.
static uint32_t call_of(struct calls *calls, uint32_t parent, uint32_t frame)
{
    uint32_t outer = parent;
    for (int i = 0; i < ANCESTORS && outer; i++) {
        if (calls->list.items[outer].frame == frame)
            return outer;
        outer = calls->list.items[outer].parent;
    }
    return child_of(calls, parent, frame);
}

// Counts once for each stack, however often it is in it.
static void enter(struct call *call, const struct view_stack *stack, uint64_t stamp)
{
    if (call->stamp != stamp) {
        call->stamp = stamp;
        call->active = 0;
        call->weight += stack->weight;
    }
    if (++call->active > call->deepest)
        call->deepest = call->active;
}

// The interpreter's own functions below a call are that call, but for --full.
static bool is_part(const struct page *page, uint32_t parent, const struct view_frame *frame)
{
    return parent && frame->function != UINT32_MAX && page->interpreter[frame->function] &&
           !page->options->full;
}

static bool build(struct page *page, struct calls *calls)
{
    const struct view *view = calls->view;
    if (!vec_push(&calls->list, (struct call){.frame = UINT32_MAX}))
        return false;
    for (size_t i = 0; i < view->stack_count && !calls->failed; i++) {
        const struct view_stack *stack = &view->stacks[i];
        uint32_t at = 0;
        for (size_t k = 0; k < stack->count && !calls->failed; k++) {
            if (is_part(page, at, &view->frames[stack->frames[k]]))
                continue;
            at = call_of(calls, at, stack->frames[k]);
            enter(&calls->list.items[at], stack, i + 1);
        }
        calls->list.items[at].self += stack->weight;
    }
    return !calls->failed;
}

// ---- Showing -------------------------------------------------------------------------------------

struct pruned {
    uint64_t branches, weight, deep;
};

static int by_weight(const void *left, const void *right, void *arg)
{
    const struct call *items = arg;
    const struct call *a = &items[*(const uint32_t *)left], *b = &items[*(const uint32_t *)right];
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return (a > b) - (a < b);
}

// The children of a call worth showing, pushed so that the hottest is popped first.
static bool push_children(struct calls *calls, uint32_t index, struct snap_notes *stack,
                          struct pruned *pruned)
{
    struct call *items = calls->list.items;
    size_t first = stack->count;
    for (uint32_t child = items[index].first_child; child; child = items[child].next) {
        if (weigh_share(&calls->view->weigh, items[child].weight) < LEAST_SHARE) {
            pruned->branches += items[child].weight > 0;
            pruned->weight += items[child].weight;
        } else if (!vec_push(stack, child)) {
            return false;
        }
    }
    size_t count = stack->count - first;
    if (count)
        qsort_r(stack->items + first, count, sizeof(*stack->items), by_weight, items);
    for (size_t i = 0; i < count / 2; i++) {
        uint32_t swap = stack->items[first + i];
        stack->items[first + i] = stack->items[first + count - 1 - i];
        stack->items[first + count - 1 - i] = swap;
    }
    return true;
}

// The callee that has all the weight of a call. 0: it calls more, or does something itself.
static uint32_t only_child(const struct calls *calls, uint32_t index)
{
    const struct call *items = calls->list.items;
    if (items[index].deepest > 1)
        return 0;
    for (uint32_t child = items[index].first_child; child; child = items[child].next)
        if (items[child].weight == items[index].weight)
            return child;
    return 0;
}

static void add_name(struct plain *line, const struct page *page, const struct calls *calls,
                     const struct call *call)
{
    const struct view_frame *frame = &calls->view->frames[call->frame];
    const struct prof_function *function = page_function(page, frame->function);
    if (!function) { // a process or a thread
        plain_str(line, frame->name);
        return;
    }
    names_function(line, &page->names, function, 40);
    size_t before = line->size;
    plain_str(line, " ");
    names_place(line, &page->names, function);
    if (line->size == before + 1 && !line->failed)
        line->bytes[line->size = before] = '\0';
    if (call->deepest > 1) {
        plain_str(line, " (recursive, ");
        plain_count(line, call->deepest);
        plain_str(line, " deep)");
    }
}

// Which calls of a chain are named; the others are counted.
enum naming { NAME_ALL, NAME_OWN_AND_LAST_TWO, NAME_OWN_AND_LAST, NAME_LAST_TWO, NAME_LAST };

static bool is_named(const struct page *page, uint32_t function, size_t after, enum naming naming)
{
    if (function >= page->profile->function_count) // a process or a thread
        return true;
    bool own = page->own_code[function];
    switch (naming) {
    case NAME_ALL:
        return true;
    case NAME_OWN_AND_LAST_TWO:
        return own || after < 2;
    case NAME_OWN_AND_LAST:
        return own || after == 0;
    case NAME_LAST_TWO:
        return after < 2;
    case NAME_LAST:
        break;
    }
    return after == 0;
}

static void add_names(struct plain *line, const struct page *page, const struct calls *calls,
                      const struct snap_notes *chain, enum naming naming)
{
    size_t skipped = 0;
    for (size_t i = 0; i < chain->count; i++) {
        const struct call *call = &calls->list.items[chain->items[i]];
        const struct view_frame *frame = &calls->view->frames[call->frame];
        if (!is_named(page, frame->function, chain->count - 1 - i, naming)) {
            skipped++;
            continue;
        }
        plain_str(line, i > skipped ? " > " : "");
        if (skipped) {
            plain_str(line, "... ");
            plain_count(line, skipped);
            plain_str(line, " more ... > ");
        }
        skipped = 0;
        add_name(line, page, calls, call);
    }
}

// As many names of the chain as there is room for; or as few as there can be. Which those are.
static enum naming choose_names(struct plain *names, const struct page *page,
                                const struct calls *calls, const struct snap_notes *chain,
                                size_t room)
{
    int naming = chain->count <= CHAIN_NAMES ? NAME_ALL : NAME_OWN_AND_LAST_TWO;
    for (;; naming++) {
        plain_clear(names);
        add_names(names, page, calls, chain, (enum naming)naming);
        if (naming == NAME_LAST || plain_columns(plain_text(names)) <= room)
            return (enum naming)naming;
    }
}

// Where the program's own functions of a chain do not fit on one line, it ends behind one of them that
// does, and goes on in the next line. A long row of them stays on one, most of it counted.
static void cut_chain(struct snap_notes *chain, struct plain *names, const struct page *page,
                      const struct calls *calls, size_t room)
{
    size_t ends[CHAIN_OWN], own = 0;
    for (size_t i = 0; i + 1 < chain->count; i++) {
        const struct call *call = &calls->list.items[chain->items[i]];
        uint32_t function = calls->view->frames[call->frame].function;
        if (function >= page->profile->function_count || !page->own_code[function])
            continue;
        if (own == CHAIN_OWN)
            return;
        ends[own++] = i + 1;
    }
    size_t whole = chain->count;
    while (own > 0) {
        chain->count = ends[--own];
        if (choose_names(names, page, calls, chain, room) <= NAME_OWN_AND_LAST)
            return;
    }
    chain->count = whole;
    choose_names(names, page, calls, chain, room);
}

static void chain_deinit(struct snap_notes *chain)
{
    vec_deinit(chain);
}

// One line: a chain of calls without a choice, of which the last one is returned.
static uint32_t add_chain(struct page *page, struct calls *calls, uint32_t index, unsigned depth)
{
    GUARD(plain_deinit) struct plain line = {0}, names = {0}, percent = {0};
    GUARD(chain_deinit) struct snap_notes chain = {0}; // of call indexes
    const struct call *items = calls->list.items;
    for (uint32_t next = index; next; next = only_child(calls, next))
        if (!vec_push(&chain, next)) {
            page->failed = true;
            return index;
        }
    uint32_t last = chain.items[chain.count - 1];
    plain_percent(&percent, weigh_share(&calls->view->weigh, items[index].weight));
    plain_add(&line, "%5s %% ", plain_text(&percent));
    plain_pad(&line, 2 * (size_t)(depth < DEEPEST_INDENT ? depth : DEEPEST_INDENT));
    double self = weigh_share(&calls->view->weigh, items[last].self);
    bool tells_self = items[last].first_child && self >= LEAST_SHARE;
    size_t width = page->options->width ? page->options->width : 100;
    size_t used = line.size + (tells_self ? strlen("  [99 % itself]") : 0);
    size_t room = used < width ? width - used : 0;
    if (choose_names(&names, page, calls, &chain, room) > NAME_OWN_AND_LAST)
        cut_chain(&chain, &names, page, calls, room);
    plain_str(&line, plain_text(&names));
    tells_self = tells_self && chain.items[chain.count - 1] == last;
    if (tells_self) {
        plain_clear(&percent);
        plain_percent(&percent, self);
        plain_add(&line, "  [%s %% itself]", plain_text(&percent));
    }
    doc_line(page->doc, DOC_NORMAL, 1, plain_text(&line));
    page->failed |= line.failed || names.failed || percent.failed;
    return chain.items[chain.count - 1];
}

static bool show(struct page *page, struct calls *calls, struct pruned *pruned)
{
    AUTO_FREE uint32_t *depths = calloc(calls->list.count, sizeof(*depths));
    GUARD(chain_deinit) struct snap_notes stack = {0}; // of call indexes
    if (!depths || !push_children(calls, 0, &stack, pruned))
        return false;
    bool fine = true;
    while (fine && stack.count) {
        uint32_t index = stack.items[--stack.count];
        uint32_t parent = calls->list.items[index].parent;
        unsigned depth = parent ? depths[parent] + 1 : 0;
        uint32_t last = add_chain(page, calls, index, depth);
        depths[last] = depth;
        if (depth > DEEPEST_INDENT)
            pruned->deep++;
        else
            fine = push_children(calls, last, &stack, pruned);
    }
    return fine;
}

static void view_guard(struct view **view)
{
    view_destroy(*view);
}

void page_tree(struct page *page)
{
    GUARD(calls_deinit) struct calls calls = {0};
    GUARD(view_guard) struct view *view = NULL;
    struct report_options options = *page->options;
    options.by_function = true; // lines have a section of their own
    AUTO_ERR struct err *err = view_create(page->input, &options, 0, &view);
    calls.view = view;
    if (err || !build(page, &calls)) {
        page->failed = true;
        return;
    }
    if (calls.list.count < 2)
        return;
    GUARD(plain_deinit) struct plain text = {0};
    plain_add(&text, "Call tree%s (%s)", options.async_stacks ? " of tasks" : "",
              view->weigh.base_words);
    doc_section(page->doc, plain_text(&text), "line", 5, 25);
    struct pruned pruned = {0};
    page->failed |= !show(page, &calls, &pruned);
    plain_clear(&text);
    if (pruned.branches) {
        plain_things(&text, pruned.branches, "branch");
        plain_str(&text, " below 1 % left out (");
        plain_percent(&text, weigh_share(&view->weigh, pruned.weight));
        plain_str(&text, " % in all).");
    }
    if (pruned.deep) {
        plain_str(&text, text.size ? " " : "");
        plain_things(&text, pruned.deep, "branch");
        plain_str(&text, " cut at the depth that can be shown.");
    }
    if (text.size)
        doc_text(page->doc, plain_text(&text));
    page->failed |= text.failed;
}
