// SPDX-License-Identifier: GPL-3.0-or-later
// See report/top.h.
#include "report/top.h"

#include <stdlib.h>

#include "report/top_private.h"
#include "util/guard.h"

#define LEAST_ROWS 12
#define LEAST_COLUMNS 60

static void top_deinit(struct top *top)
{
    page_deinit(&top->page);
    free(top->mostly_in);
    task_groups_deinit(&top->tasks);
    task_groups_deinit(&top->greenlets);
}

static struct err *prepare(struct top *top, const struct report_options *options)
{
    const struct report_input *input = top->values->input;
    top->page = (struct page){.input = input, .options = options, .profile = input->profile};
    top->latest = input->snapshot_count ? input->snapshots[0] : NULL;
    size_t threads = input->profile ? input->profile->thread_count : 0;
    top->mostly_in = calloc(threads + 1, sizeof(*top->mostly_in));
    if (!page_prepare(&top->page) || !top->mostly_in)
        return err_create(ERR_NO_MEMORY, "no memory for the screen");
    const struct snap_suspended *suspended = top->values->suspended;
    top->state->has_tasks = suspended && (suspended->tasks.count || suspended->greenlets.count);
    if (input->profile)
        page_mostly_in(&top->page, top->mostly_in);
    return NULL;
}

static bool draw_one(struct top *top, bool (*make)(struct top *, struct top_table *),
                     struct top_cursor *cursor, unsigned from, unsigned lines)
{
    GUARD(top_table_deinit) struct top_table table = {0};
    bool made = make(top, &table);
    if (made)
        top_table_draw(top, &table, cursor, true, from, lines);
    return made;
}

// The threads have two fifths of the place, and what the functions leave.
static bool draw_both(struct top *top, unsigned from, unsigned lines)
{
    struct top_state *state = top->state;
    GUARD(top_table_deinit) struct top_table threads = {0};
    GUARD(top_table_deinit) struct top_table functions = {0};
    if (!top_threads(top, &threads) || !top_functions(top, &functions))
        return false;
    size_t wanted = 1 + (threads.rows.count ? threads.rows.count : 1);
    size_t others = 1 + (functions.rows.count ? functions.rows.count : 1);
    size_t most = lines * 2 / 5;
    if (others < lines - most)
        most = lines - others;
    unsigned upper = (unsigned)(wanted < most ? wanted : most);
    top_table_draw(top, &threads, &state->threads, !state->lower, from, upper);
    top_table_draw(top, &functions, &state->functions, state->lower, from + upper, lines - upper);
    return true;
}

static bool draw_body(struct top *top, unsigned from, unsigned lines)
{
    struct top_state *state = top->state;
    switch (state->page) {
    case TOP_OVERVIEW:
        return draw_both(top, from, lines);
    case TOP_THREADS:
        return draw_one(top, top_threads, &state->threads, from, lines);
    case TOP_FUNCTIONS:
        return draw_one(top, top_functions, &state->functions, from, lines);
    case TOP_LINES:
        return draw_one(top, top_lines, &state->lines, from, lines);
    case TOP_TASKS:
        return draw_one(top, top_tasks, &state->tasks, from, lines);
    case TOP_STACK:
        top_stack(top, from, lines);
        return true;
    case TOP_FUNCTION:
        if (top->page.profile)
            top_function(top, from, lines);
        return true;
    case TOP_TASK:
        top_task(top, from, lines);
        return true;
    case TOP_HELP:
        top_help(top, from, lines);
        return true;
    }
    return true;
}

static void say_too_small(struct screen *screen)
{
    GUARD(plain_deinit) struct plain line = {0};
    plain_add(&line, "%u x %u is too small", screen->columns, screen->rows);
    screen_put(screen, 0, SCREEN_BOLD, plain_text(&line));
    plain_clear(&line);
    plain_add(&line, "pycore top needs %d x %d", LEAST_COLUMNS, LEAST_ROWS);
    screen_put(screen, 1, SCREEN_NORMAL, plain_text(&line));
    screen_put(screen, 2, SCREEN_NORMAL, "q quits");
    screen->failed |= line.failed;
}

struct err *top_draw(struct screen *screen, const struct top_values *values,
                     struct top_state *state)
{
    static const struct report_options options = {0};
    GUARD(top_deinit) struct top top = {.screen = screen, .values = values, .state = state};
    if (screen->rows < LEAST_ROWS || screen->columns < LEAST_COLUMNS) {
        say_too_small(screen);
        return NULL;
    }
    TRY(prepare(&top, &options));
    top_header(&top);
    unsigned header = top_header_lines(&top, screen->columns);
    bool done = draw_body(&top, header, screen->rows - header - 1);
    top_footer(&top);
    return done && !screen->failed ? NULL : err_create(ERR_NO_MEMORY, "no memory for the screen");
}

struct err *top_table(unsigned columns, bool ascii, unsigned threads, unsigned functions,
                      const struct top_values *values, struct top_state *state, struct screen **ret)
{
    static const struct report_options options = {0};
    GUARD(top_deinit) struct top top = {.values = values, .state = state};
    TRY(prepare(&top, &options));
    unsigned there = top.page.profile ? (unsigned)top.page.profile->thread_count : 0;
    threads = 1 + (there < threads ? there ? there : 1 : threads);
    unsigned header = top_header_lines(&top, columns);
    struct screen *screen = screen_create(header + threads + 1 + functions, columns, ascii);
    if (!screen)
        return err_create(ERR_NO_MEMORY, "no memory for the table");
    top.screen = screen;
    top_header(&top);
    GUARD(top_table_deinit) struct top_table upper = {0};
    GUARD(top_table_deinit) struct top_table lower = {0};
    if (!top_threads(&top, &upper) || !top_functions(&top, &lower) || screen->failed) {
        screen_destroy(screen);
        return err_create(ERR_NO_MEMORY, "no memory for the table");
    }
    top_table_draw(&top, &upper, &state->threads, false, header, threads);
    top_table_draw(&top, &lower, &state->functions, false, header + threads, 1 + functions);
    *ret = screen;
    return NULL;
}
