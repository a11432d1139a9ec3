// SPDX-License-Identifier: GPL-3.0-or-later
// What the files that draw the screens of pycore top share.
#ifndef REPORT_TOP_PRIVATE_H
#define REPORT_TOP_PRIVATE_H

#include "report/page.h"
#include "report/task_groups.h"
#include "report/top.h"

struct top {
    struct screen *screen;
    const struct top_values *values;
    struct top_state *state;
    struct page page;              // helpers; page.profile: what is counted, NULL: nothing so far
    const struct snapshot *latest; // NULL: none so far
    uint32_t *mostly_in;           // by thread
    struct task_groups tasks, greenlets;
};

// ---- Tables (top_table.c) ------------------------------------------------------------------------

struct top_row {
    uint64_t key;   // the same in each refresh, never 0
    uint64_t opens; // the key of the thread or function that it is of
    uint32_t index;
    uint64_t weight, second; // the larger the higher; then by name
    const char *name;
};
VEC_DEFINE(top_rows, struct top_row);

struct top_column {
    const char *title;
    unsigned width; // 0: a share of what the others leave
    unsigned share;
    unsigned needs; // columns that the screen must have for it; 0: it is always there
    bool right;
    enum plain_keep keep;
};

struct top_table {
    const struct top_column *columns;
    size_t column_count;
    size_t sorted;       // the column that it is sorted by
    const char *title;   // of that column; NULL: its own
    const char *nothing; // said when there are no rows
    struct top_rows rows;
    void (*cell)(struct plain *out, const struct top *top, uint32_t index, size_t column);
    enum screen_style (*style)(const struct top *top, uint32_t index);
};

// In lines [from, from + lines) of the screen; `has_cursor`: the keys move this one's cursor.
void top_table_draw(struct top *top, struct top_table *table, struct top_cursor *cursor,
                    bool has_cursor, unsigned from, unsigned lines);
void top_table_deinit(struct top_table *table);

// Is what the user typed as a filter in the text?
bool top_matches(const struct top *top, const char *text);

// The tables that there are; false: out of memory.
bool top_threads(struct top *top, struct top_table *ret);   // top_threads.c
bool top_functions(struct top *top, struct top_table *ret); // top_functions.c
bool top_lines(struct top *top, struct top_table *ret);     // top_functions.c

bool top_tasks(struct top *top, struct top_table *ret); // top_tasks.c

uint64_t top_thread_key(pid_t pid, pid_t tid);
uint64_t top_function_key(const struct prof_function *function);
// The index of the function with that key; UINT32_MAX: it is not in the profile.
uint32_t top_function_of(const struct top *top, uint64_t key);

// Groups of tasks and greenlets are found where they are needed; false: out of memory.
bool top_find_tasks(struct top *top);
// The group with that key, and whose it is; NULL: there is none any more.
const struct task_group *top_task_group_of(const struct top *top, uint64_t key,
                                           const struct task_groups **ret_groups);

// ---- Text (top_text.c) ---------------------------------------------------------------------------

// A page of text that is scrolled, in those lines of the screen.
void top_stack(struct top *top, unsigned from, unsigned lines);
void top_function(struct top *top, unsigned from, unsigned lines);
void top_task(struct top *top, unsigned from, unsigned lines);
void top_help(struct top *top, unsigned from, unsigned lines);

// How many bytes of a text go on a line of so many columns: if not all, up to behind a space, if there is
// one.
size_t top_fits(const char *text, size_t columns);

// ---- The lines above and below (top_header.c) ----------------------------------------------------

// How many lines it has: more where the status is long.
unsigned top_header_lines(const struct top *top, unsigned columns);
void top_header(struct top *top);
void top_footer(struct top *top);

#endif
