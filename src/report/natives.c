// SPDX-License-Identifier: GPL-3.0-or-later
// Native code that runs for Python: its hottest functions, and for which Python function each of
// them mostly runs. Threads that Python does not know are in the other tables.
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS 8
#define SAID_SHARE 0.1 // of the weight: worth a sentence of the summary
#define HOT_SHARE 0.05 // the same, for the one function it names

struct use { // of a native function, by the Python function whose stacks it was innermost in
    uint32_t native, python;
    uint64_t weight;
};

struct hot {
    uint32_t native, python; // python: the one it runs for most; UINT32_MAX: none is known
    uint64_t weight, by_python;
};
VEC_DEFINE(hots, struct hot);

static int by_function(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    if (a->native != b->native)
        return a->native < b->native ? -1 : 1;
    return (a->python > b->python) - (a->python < b->python);
}

static int by_weight(const void *left, const void *right)
{
    const struct hot *a = left, *b = right;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return (a->native > b->native) - (a->native < b->native);
}

// A builtin's name is for want of a Python function only: where it is called from says more.
static struct use use_of(const struct page *page, const struct prof_stack *stack)
{
    const struct prof_report *profile = page->profile;
    struct use use = {UINT32_MAX, UINT32_MAX, weigh_stack(&page->weigh, stack)};
    for (size_t i = 0; i < stack->frame_count; i++) {
        uint32_t index = profile->frame_function[stack->frames[i]];
        enum snap_frame_kind kind = profile->functions[index].kind;
        if (i == 0 && kind == SNAP_NATIVE)
            use.native = index;
        if (kind == SNAP_PYTHON) {
            use.python = index;
            break;
        }
        if (kind == SNAP_BUILTIN && use.python == UINT32_MAX)
            use.python = index;
    }
    return use;
}

static size_t collect(const struct page *page, struct use *uses)
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < page->profile->stack_count; i++) {
        struct use use = use_of(page, &page->profile->stacks[i]);
        if (use.native != UINT32_MAX && use.python != UINT32_MAX && use.weight)
            uses[count++] = use;
    }
    qsort(uses, count, sizeof(*uses), by_function);
    for (size_t i = 0; i < count; i++)
        if (kept && by_function(&uses[kept - 1], &uses[i]) == 0)
            uses[kept - 1].weight += uses[i].weight;
        else
            uses[kept++] = uses[i];
    return kept;
}

// Those that were innermost below something of Python's, hottest first. Their weight is the
// functions'; stacks only tell whom they run for, and some may be beyond the profile's bounds.
static bool find_hot(const struct page *page, struct hots *ret)
{
    const struct prof_report *profile = page->profile;
    AUTO_FREE struct use *uses = calloc(profile->stack_count + 1, sizeof(*uses));
    if (!uses)
        return false;
    size_t count = collect(page, uses), at = 0;
    for (uint32_t i = 0; i < profile->function_count; i++) {
        const struct prof_function *function = &profile->functions[i];
        uint64_t own = weigh_own(&page->weigh, function);
        struct hot hot = {i, UINT32_MAX, weigh_self(&page->weigh, function), 0};
        if (function->kind != SNAP_NATIVE || hot.weight <= own)
            continue;
        hot.weight -= own;
        while (at < count && uses[at].native < i)
            at++;
        for (; at < count && uses[at].native == i; at++)
            if (uses[at].weight > hot.by_python) {
                hot.by_python = uses[at].weight;
                hot.python = uses[at].python;
            }
        if (!vec_push(ret, hot))
            return false;
    }
    if (ret->count)
        qsort(ret->items, ret->count, sizeof(*ret->items), by_weight);
    return true;
}

static void hots_deinit(struct hots *hots)
{
    vec_deinit(hots);
}

void page_say_native(struct page *page)
{
    GUARD(hots_deinit) struct hots hots = {0};
    GUARD(plain_deinit) struct plain line = {0};
    const struct hot *first = NULL;
    uint64_t all = 0;
    page->failed |= !find_hot(page, &hots);
    vec_foreach (hot, &hots) {
        if (page->interpreter[hot->native])
            continue; // it is what running Python is made of
        all += hot->weight;
        first = first ? first : hot;
    }
    if (!first || page->weigh.fell_back || weigh_share(&page->weigh, all) < SAID_SHARE ||
        weigh_share(&page->weigh, first->weight) < HOT_SHARE)
        return;
    plain_percent(&line, weigh_share(&page->weigh, all));
    plain_add(&line, " %% %s is in native code outside of the interpreter, most of all ",
              page->weigh.base_words);
    plain_percent(&line, weigh_share(&page->weigh, first->weight));
    plain_str(&line, " % in ");
    names_say(&line, &page->names, page_function(page, first->native));
    if (first->python != UINT32_MAX) {
        plain_str(&line, ", called from ");
        names_say(&line, &page->names, page_function(page, first->python));
    }
    plain_str(&line, ".");
    doc_bullet(page->doc, "Native", plain_text(&line));
    page->failed |= line.failed;
}

// ---- Native threads ------------------------------------------------------------------------------

// Where all threads begin and wait: no sign of what they are there for.
static bool is_system(const struct page *page, uint32_t function)
{
    static const char *const beginnings[] = {"libc.", "libc-", "libpthread", "ld-", "[vdso"};
    const struct prof_function *f = page_function(page, function);
    const char *module = strtab_get(page->names.strings, f->module);
    if (f->kind != SNAP_NATIVE || !module || page->interpreter[function])
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
        if (strncmp(module, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

// The module that most of the work of native threads is in; 0: none.
static uint32_t module_of_natives(const struct page *page)
{
    const struct prof_report *profile = page->profile;
    uint32_t module = 0;
    uint64_t votes = 0, all = 0, of_it = 0;
    // Boyer and Moore's majority vote, and a count to make sure.
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < profile->stack_count; i++) {
            const struct prof_stack *stack = &profile->stacks[i];
            uint32_t thread = page_thread_of(page, stack), found = 0;
            if (thread == UINT32_MAX || profile->threads[thread].known_to_python ||
                stack->tid == stack->pid || !snap_state_works(stack->state))
                continue;
            for (size_t k = 0; k < stack->frame_count && !found; k++) {
                uint32_t function = profile->frame_function[stack->frames[k]];
                found = is_system(page, function) ? 0 : page_function(page, function)->module;
            }
            if (pass) {
                all += stack->samples;
                of_it += found == module ? stack->samples : 0;
            } else if (found == module || votes < stack->samples) {
                votes = found == module ? votes + stack->samples : stack->samples - votes;
                module = found;
            } else {
                votes -= stack->samples;
            }
        }
    return of_it * 2 > all ? module : 0;
}

// The Python function that code of the module runs for, in a stack; UINT32_MAX: none.
static uint32_t caller_of_module(const struct page *page, const struct prof_stack *stack,
                                 uint32_t module)
{
    const struct prof_report *profile = page->profile;
    bool seen = false;
    for (size_t k = 0; k < stack->frame_count; k++) {
        uint32_t index = profile->frame_function[stack->frames[k]];
        const struct prof_function *function = page_function(page, index);
        seen |= function->kind == SNAP_NATIVE && function->module == module;
        if (function->kind == SNAP_PYTHON)
            return seen ? index : UINT32_MAX;
    }
    return UINT32_MAX;
}

void page_say_shared_module(struct plain *line, const struct page *page)
{
    const struct prof_report *profile = page->profile;
    uint32_t module = module_of_natives(page), best = UINT32_MAX;
    AUTO_FREE uint64_t *samples = calloc(profile->function_count + 1, sizeof(*samples));
    if (!module || !samples) {
        line->failed |= !samples;
        return;
    }
    for (size_t i = 0; i < profile->stack_count; i++) {
        const struct prof_stack *stack = &profile->stacks[i];
        bool active = snap_state_works(stack->state) || stack->state == SNAP_LOCK_WAIT;
        uint32_t index = active ? caller_of_module(page, stack, module) : UINT32_MAX;
        if (index == UINT32_MAX)
            continue;
        samples[index] += stack->samples;
        if (best == UINT32_MAX || samples[index] > samples[best])
            best = index;
    }
    plain_str(line, ", in code of " PLAIN_CODE);
    plain_id(line, page->names.strings, module, 40, PLAIN_KEEP_START);
    plain_str(line, PLAIN_CODE_END);
    if (best != UINT32_MAX) {
        plain_str(line, ", which Python calls in ");
        names_say(line, &page->names, page_function(page, best));
        plain_str(line, ": it seems to work for that (inferred)");
    }
}

// ---- The table -----------------------------------------------------------------------------------

static void add_row(struct page *page, const struct hot *hot)
{
    const struct prof_function *function = page_function(page, hot->native);
    GUARD(plain_deinit) struct plain row = {0};
    plain_percent(&row, weigh_share(&page->weigh, hot->weight));
    plain_str(&row, " %" DOC_NEXT);
    plain_percent(&row, weigh_share(&page->weigh, weigh_total(&page->weigh, function)));
    plain_str(&row, " %" DOC_NEXT);
    if (function->self_cpu_ns > function->own_cpu_ns)
        plain_duration(&row, function->self_cpu_ns - function->own_cpu_ns);
    plain_str(&row, DOC_NEXT);
    names_function(&row, &page->names, function, 60);
    plain_str(&row, DOC_NEXT);
    names_place(&row, &page->names, function);
    plain_str(&row, DOC_NEXT);
    if (hot->python != UINT32_MAX) // where it is, the other tables say
        names_function(&row, &page->names, page_function(page, hot->python), 48);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

void page_natives(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "SELF", .right = true},
        {.title = "TOTAL", .right = true, .drop = 2},
        {.title = "CPU", .right = true, .drop = 3},
        {.title = "FUNCTION", .code = true, .least = 28},
        {.title = "MODULE", .code = true, .least = 14, .drop = 1},
        {.title = "MOSTLY FOR", .code = true, .least = 24},
    };
    GUARD(hots_deinit) struct hots hots = {0};
    GUARD(plain_deinit) struct plain heading = {0};
    page->failed |= !find_hot(page, &hots);
    if (hots.count == 0)
        return;
    plain_add(&heading, "Native functions that run for Python (%s)", page->weigh.base_words);
    doc_section(page->doc, plain_text(&heading), "function", 4, 12);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_ROWS, hots.count);
    for (size_t i = 0; i < rows; i++)
        add_row(page, &hots.items[i]);
    doc_more(page->doc, hots.count - rows);
    page->failed |= heading.failed;
}
