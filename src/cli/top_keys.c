// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/top_keys.h.
#include "cli/top_keys.h"

#include <stdio.h>
#include <string.h>

#include "util/guard.h"

#define CTRL_U 0x15

static enum top_key meaning(uint32_t key)
{
    static const struct {
        const char *keys;
        enum top_key id;
    } rows[] = {
#define KEY(id, keys, name, help) {keys, TOP_KEY_##id},
#include "report/top_keys.def"
#undef KEY
    };
    if (key > TOP_KEY_NONE)
        return (enum top_key)key;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (key && key < 0x80 && strchr(rows[i].keys, (int)key))
            return rows[i].id;
    return TOP_KEY_NONE;
}

// ---- Typing --------------------------------------------------------------------------------------

static void type(char *text, uint32_t code)
{
    size_t size = strlen(text);
    char *at = text + size;
    if (size + 5 > TOP_INPUT_BYTES || code < 0x20 || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return;
    if (code < 0x80) {
        *at++ = (char)code;
    } else if (code < 0x800) {
        *at++ = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        *at++ = (char)(0xe0 | code >> 12);
        *at++ = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        *at++ = (char)(0xf0 | code >> 18);
        *at++ = (char)(0x80 | (code >> 12 & 0x3f));
        *at++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80)
        *at++ = (char)(0x80 | (code & 0x3f));
    *at = '\0';
}

static void take_back(char *text)
{
    size_t size = strlen(text);
    while (size && ((unsigned char)text[--size] & 0xc0) == 0x80)
        continue;
    text[size] = '\0';
}

static enum top_action press_in_prompt(struct top_state *state, uint32_t key)
{
    enum top_prompt prompt = state->prompt;
    switch (key) {
    case '\n':
    case '\r':
        state->prompt = TOP_NO_PROMPT;
        if (prompt == TOP_ASK_FILE)
            return state->input[0] ? TOP_SAVE : TOP_DRAW;
        memcpy(state->filter, state->input, sizeof(state->filter));
        return TOP_DRAW;
    case '\x1b':
        state->prompt = TOP_NO_PROMPT;
        return TOP_DRAW;
    case '\x7f':
    case '\b':
        take_back(state->input);
        return TOP_DRAW;
    case CTRL_U:
        state->input[0] = '\0';
        return TOP_DRAW;
    default:
        type(state->input, key);
        return TOP_DRAW;
    }
}

// ---- Moving --------------------------------------------------------------------------------------

static bool is_text(enum top_page page)
{
    return page == TOP_STACK || page == TOP_FUNCTION || page == TOP_TASK || page == TOP_HELP;
}

static struct top_cursor *cursor_of(struct top_state *state)
{
    switch (state->page) {
    case TOP_OVERVIEW:
        return state->lower ? &state->functions : &state->threads;
    case TOP_THREADS:
        return &state->threads;
    case TOP_FUNCTIONS:
        return &state->functions;
    case TOP_LINES:
        return &state->lines;
    case TOP_TASKS:
        return &state->tasks;
    case TOP_STACK:
    case TOP_FUNCTION:
    case TOP_TASK:
    case TOP_HELP:
        break;
    }
    return &state->text;
}

// Where there is no such row, drawing moves it to the last one.
static void move(struct top_state *state, enum top_key key)
{
    struct top_cursor *cursor = cursor_of(state);
    size_t *row = is_text(state->page) ? &cursor->first : &cursor->row;
    size_t page = cursor->height > 1 ? cursor->height - 1 : 1;
    cursor->moved = true;
    switch (key) {
    case TOP_KEY_UP:
        *row -= *row > 0;
        break;
    case TOP_KEY_DOWN:
        *row += 1;
        break;
    case TOP_KEY_PAGE_UP:
        *row = *row > page ? *row - page : 0;
        break;
    case TOP_KEY_PAGE_DOWN:
        *row += page;
        break;
    case TOP_KEY_HOME:
        *row = 0;
        break;
    default:
        *row = UINT32_MAX;
        break;
    }
}

// ---- Pages ---------------------------------------------------------------------------------------

static void go_to(struct top_state *state, enum top_page page)
{
    if (page == TOP_HELP && state->page != TOP_HELP)
        state->before_help = state->page;
    if (is_text(page) && page != TOP_HELP && !is_text(state->page))
        state->back = state->page;
    state->page = page;
    state->text.first = 0;
}

static void go_back(struct top_state *state)
{
    if (state->page == TOP_HELP)
        go_to(state, state->before_help);
    else if (is_text(state->page))
        go_to(state, state->back);
    else
        state->filter[0] = '\0';
}

static void open_row(struct top_state *state)
{
    const struct top_cursor *cursor = cursor_of(state);
    if (is_text(state->page) || !cursor->opens)
        return;
    state->opened = cursor->opens;
    go_to(state, cursor == &state->threads ? TOP_STACK
                 : cursor == &state->tasks ? TOP_TASK
                                           : TOP_FUNCTION);
}

static void next_group(struct top_state *state)
{
    static const enum top_page next[] = {[TOP_OVERVIEW] = TOP_THREADS,
                                         [TOP_THREADS] = TOP_FUNCTIONS,
                                         [TOP_FUNCTIONS] = TOP_LINES,
                                         [TOP_LINES] = TOP_TASKS,
                                         [TOP_TASKS] = TOP_OVERVIEW};
    enum top_page page = is_text(state->page) ? TOP_OVERVIEW : next[state->page];
    go_to(state, page == TOP_TASKS && !state->has_tasks ? TOP_OVERVIEW : page);
}

static void next_sort(struct top_state *state)
{
    static const enum report_sort next[] = {
        [REPORT_SORT_DEFAULT] = REPORT_SORT_TOTAL, [REPORT_SORT_OWN] = REPORT_SORT_TOTAL,
        [REPORT_SORT_TOTAL] = REPORT_SORT_SELF,    [REPORT_SORT_SELF] = REPORT_SORT_CPU,
        [REPORT_SORT_CPU] = REPORT_SORT_WAITING,   [REPORT_SORT_WAITING] = REPORT_SORT_CALLS,
        [REPORT_SORT_CALLS] = REPORT_SORT_NAME,    [REPORT_SORT_NAME] = REPORT_SORT_OWN};
    if (cursor_of(state) == &state->threads)
        state->thread_sort = (enum top_thread_sort)((state->thread_sort + 1) % TOP_THREAD_SORTS);
    else if (!is_text(state->page) && state->page != TOP_TASKS)
        state->function_sort = next[state->function_sort];
}

static enum top_action ask(struct top_state *state, enum top_prompt prompt)
{
    bool filter = prompt == TOP_ASK_FILTER;
    if (filter && is_text(state->page))
        return TOP_DRAW;
    state->prompt = prompt;
    memcpy(state->input, filter ? state->filter : "", filter ? sizeof(state->input) : 1);
    return filter ? TOP_DRAW : TOP_NAME_FILE;
}

enum top_action top_press(struct top_state *state, uint32_t key)
{
    state->message[0] = '\0';
    if (state->prompt)
        return press_in_prompt(state, key);
    enum top_key id = meaning(key);
    switch (id) {
    case TOP_KEY_NONE:
        break;
    case TOP_KEY_UP:
    case TOP_KEY_DOWN:
    case TOP_KEY_PAGE_UP:
    case TOP_KEY_PAGE_DOWN:
    case TOP_KEY_HOME:
    case TOP_KEY_END:
        move(state, id);
        break;
    case TOP_KEY_NEXT_TABLE:
        state->lower = !state->lower;
        break;
    case TOP_KEY_OPEN:
        open_row(state);
        break;
    case TOP_KEY_BACK:
        go_back(state);
        break;
    case TOP_KEY_GROUP:
        next_group(state);
        break;
    case TOP_KEY_OVERVIEW:
        go_to(state, TOP_OVERVIEW);
        break;
    case TOP_KEY_BY_THREAD:
        go_to(state, TOP_THREADS);
        break;
    case TOP_KEY_BY_FUNCTION:
        go_to(state, TOP_FUNCTIONS);
        break;
    case TOP_KEY_BY_LINE:
        go_to(state, TOP_LINES);
        break;
    case TOP_KEY_BY_TASK:
        if (state->has_tasks)
            go_to(state, TOP_TASKS);
        else
            snprintf(state->message, sizeof(state->message), "there are no tasks or greenlets");
        break;
    case TOP_KEY_SORT:
        next_sort(state);
        break;
    case TOP_KEY_FILTER:
        return ask(state, TOP_ASK_FILTER);
    case TOP_KEY_WINDOW:
        state->whole = !state->whole;
        return TOP_COUNT;
    case TOP_KEY_NATIVE:
        state->native = !state->native;
        break;
    case TOP_KEY_PAUSE:
        state->paused = !state->paused;
        return state->paused ? TOP_DRAW : TOP_COUNT;
    case TOP_KEY_RESET:
        return TOP_RESTART;
    case TOP_KEY_SAVE:
        return ask(state, TOP_ASK_FILE);
    case TOP_KEY_REDRAW:
        return TOP_REPAINT;
    case TOP_KEY_HELP:
        go_to(state, TOP_HELP);
        break;
    case TOP_KEY_QUIT:
        return TOP_LEAVE;
    }
    return TOP_DRAW;
}
