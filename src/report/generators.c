// SPDX-License-Identifier: GPL-3.0-or-later
// Generators that are suspended, by where they are: there only when they were asked for.
#include "report/generator_groups.h"
#include "report/page.h"
#include "report/task_words.h"
#include "util/guard.h"

#define ROWS 15 // of a hotspot report's table

static const char *kind_words(enum snap_generator_kind kind, bool several)
{
    static const char *const one[] = {
        [SNAP_GENERATOR] = "Generator",
        [SNAP_COROUTINE] = "Coroutine",
        [SNAP_ASYNC_GENERATOR] = "Async generator",
    };
    static const char *const many[] = {
        [SNAP_GENERATOR] = "generator",
        [SNAP_COROUTINE] = "coroutine",
        [SNAP_ASYNC_GENERATOR] = "async generator",
    };
    return several ? many[kind] : one[kind];
}

static const struct snap_frames *frames_of(const struct generator_groups *groups,
                                           const struct generator_group *group)
{
    static const struct snap_frames none = {0};
    const struct snap_stacks *stacks = &groups->suspended->stacks;
    return group->stack < stacks->count ? &stacks->items[group->stack] : &none;
}

// What it is a generator of: the outermost frame's function.
static uint32_t function_of(const struct snap_frames *frames)
{
    const struct snap_frame *frame = frames->count ? &frames->items[frames->count - 1] : NULL;
    return !frame ? 0 : frame->qualname ? frame->qualname : frame->function;
}

// "Generator rows(), suspended", "120 generators of rows(), not begun"
static void add_group(struct page *page, const struct generator_groups *groups,
                      const struct generator_group *group)
{
    const struct snap_frames *frames = frames_of(groups, group);
    GUARD(plain_deinit) struct plain head = {0};
    if (group->count == 1)
        plain_add(&head, "%s ", kind_words(group->kind, false));
    else
        plain_things(&head, group->count, kind_words(group->kind, true));
    if (group->count > 1)
        plain_str(&head, " of ");
    task_say_coroutine(&head, page, function_of(frames));
    plain_str(&head, group->begun ? ", suspended" : ", not begun");
    doc_head(page->doc, DOC_NORMAL, group->count, plain_text(&head));
    page_frames(page, frames, true, NULL);
    page->failed |= head.failed;
}

static void add_row(struct page *page, const struct generator_groups *groups,
                    const struct generator_group *group)
{
    GUARD(plain_deinit) struct plain row = {0};
    plain_count(&row, group->count);
    plain_add(&row, DOC_NEXT "%s" DOC_NEXT "%s" DOC_NEXT, snap_generator_kind_name(group->kind),
              group->begun ? "suspended" : "not begun");
    task_say_place(&row, page, frames_of(groups, group));
    plain_unmark(&row);
    doc_row(page->doc, DOC_NORMAL, group->count, plain_text(&row));
    page->failed |= row.failed;
}

static void add_groups(struct page *page, const struct generator_groups *groups)
{
    static const struct doc_column columns[] = {
        {.title = "COUNT", .right = true},
        {.title = "KIND"},
        {.title = "STATE"},
        {.title = "WHERE", .code = true, .keep = PLAIN_KEEP_START, .least = 20},
    };
    size_t rows = page->profile ? page_rows(page, ROWS, groups->list.count) : groups->list.count;
    if (page->profile)
        doc_table(page->doc, columns, ARRAY_SIZE(columns));
    for (size_t i = 0; i < groups->list.count; i++)
        if (i >= rows)
            doc_more(page->doc, groups->list.items[i].count);
        else if (page->profile)
            add_row(page, groups, &groups->list.items[i]);
        else
            add_group(page, groups, &groups->list.items[i]);
}

void page_generators(struct page *page)
{
    const struct snap_suspended *suspended = page_suspended(page);
    if (!suspended || (!suspended->generators.count && !suspended->generators_left_out))
        return;
    doc_section(page->doc,
                page->profile ? "Suspended generators (in the last snapshot)"
                              : "Suspended generators (innermost frame first)",
                "generator", page->profile ? 3 : 0, page->profile ? 10 : 35);
    if (suspended->generators_left_out) {
        GUARD(plain_deinit) struct plain line = {0};
        plain_things(&line, suspended->generators_left_out, "generator");
        plain_str(&line, suspended->generators_left_out == 1
                             ? " that ran while it was read, or lies beyond the bound of what is."
                             : " that ran while they were read, or lie beyond the bound of what is.");
        doc_bullet(page->doc, "Left out", plain_text(&line));
        page->failed |= line.failed;
    }
    GUARD(generator_groups_deinit) struct generator_groups groups = {0};
    if (generator_groups_init(&groups, suspended))
        add_groups(page, &groups);
    else
        page->failed = true;
}
