// SPDX-License-Identifier: GPL-3.0-or-later
// The functions and the lines in pycore top. As in reports, what a Python function did itself includes the
// native code that it called; native functions stand beside them, dim, with what they did themselves.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "report/sort.h"
#include "report/top_private.h"
#include "util/guard.h"
#include "util/hash.h"

#define HOT_SHARE 0.2

enum { SELF, TOTAL, CPU, WAITING, CALLS, NAME, PLACE, SOURCE, COLUMNS };

static const struct top_column columns[COLUMNS] = {
    [SELF] = {.title = "SELF%", .width = 6, .right = true},
    [TOTAL] = {.title = "TOTAL%", .width = 6, .right = true},
    [CPU] = {.title = "CPU%", .width = 6, .right = true},
    [WAITING] = {.title = "WAIT", .width = 6, .right = true},
    [CALLS] = {.title = "CALLS", .width = 8, .needs = 110, .right = true},
    [NAME] = {.title = "FUNCTION", .share = 4},
    [PLACE] = {.title = "PLACE", .share = 3, .keep = PLAIN_KEEP_END},
};

static const struct top_column line_columns[COLUMNS] = {
    [SELF] = {.title = "SELF%", .width = 6, .right = true},
    [TOTAL] = {.title = "TOTAL%", .width = 6, .right = true},
    [CPU] = {.title = "CPU%", .width = 6, .right = true},
    [WAITING] = {.title = "WAIT", .width = 6, .right = true},
    [CALLS] = {.title = "", .width = 1, .needs = UINT32_MAX},
    [NAME] = {.title = "FUNCTION", .share = 3},
    [PLACE] = {.title = "LINE", .share = 3, .keep = PLAIN_KEEP_END},
    [SOURCE] = {.title = "SOURCE", .share = 4, .needs = 100},
};

static size_t sorted_by(enum report_sort sort)
{
    static const size_t sorted[] = {
        [REPORT_SORT_DEFAULT] = SELF, [REPORT_SORT_OWN] = SELF,        [REPORT_SORT_SELF] = SELF,
        [REPORT_SORT_TOTAL] = TOTAL,  [REPORT_SORT_CPU] = CPU,         [REPORT_SORT_CALLS] = CALLS,
        [REPORT_SORT_NAME] = NAME,    [REPORT_SORT_WAITING] = WAITING,
    };
    return sorted[sort];
}

static const struct prof_function *function_at(const struct top *top, uint32_t index)
{
    return &top->page.profile->functions[index];
}

uint64_t top_function_key(const struct prof_function *function)
{
    const uint64_t facts[] = {function->kind, function->function, function->qualname,
                              function->file, function->module,   (uint64_t)function->line};
    return hash_bytes(HASH_SEED, facts, sizeof(facts)) | 1;
}

uint32_t top_function_of(const struct top *top, uint64_t key)
{
    for (uint32_t i = 0; top->page.profile && i < top->page.profile->function_count; i++)
        if (top_function_key(function_at(top, i)) == key)
            return i;
    return UINT32_MAX;
}

// With --sort self, and of native functions, the innermost frame whatever it is.
static bool counts_innermost(const struct top *top, const struct prof_function *function)
{
    return top->state->function_sort == REPORT_SORT_SELF || function->kind == SNAP_NATIVE;
}

static uint64_t self_of(const struct top *top, const struct prof_function *function)
{
    return counts_innermost(top, function) ? weigh_self(&top->page.weigh, function)
                                           : weigh_own(&top->page.weigh, function);
}

static uint64_t waiting_of(const struct top *top, const struct prof_function *function)
{
    return counts_innermost(top, function) ? function->self - function->self_working
                                           : function->own - function->own_working;
}

static uint64_t cpu_of(const struct top *top, const struct prof_function *function)
{
    return counts_innermost(top, function) ? function->self_cpu_ns : function->own_cpu_ns;
}

static void add_share(struct plain *out, const struct top *top, uint64_t weight)
{
    if (weight)
        plain_add(out, "%.1f", weigh_share(&top->page.weigh, weight) * 100);
}

// Processors, in %; threads that wait, on average.
static void add_cpu(struct plain *out, const struct top *top, uint64_t cpu_ns)
{
    if (cpu_ns)
        plain_add(out, "%.1f", weigh_ratio(cpu_ns, top->page.profile->duration_ns) * 100);
}

static void add_waiting(struct plain *out, const struct top *top, uint64_t samples)
{
    if (samples)
        plain_add(out, "%.2f", weigh_ratio(samples, top->page.profile->snapshots));
}

static void cell(struct plain *out, const struct top *top, uint32_t index, size_t column)
{
    const struct prof_function *function = function_at(top, index);
    switch (column) {
    case SELF:
        add_share(out, top, self_of(top, function));
        break;
    case TOTAL:
        add_share(out, top, weigh_total(&top->page.weigh, function));
        break;
    case CPU:
        add_cpu(out, top, cpu_of(top, function));
        break;
    case WAITING:
        add_waiting(out, top, waiting_of(top, function));
        break;
    case CALLS:
        if (function->activations) {
            plain_str(out, ">=");
            plain_count(out, function->activations);
        }
        break;
    case NAME:
        names_function(out, &top->page.names, function, 0);
        break;
    case PLACE:
        names_place(out, &top->page.names, function);
        break;
    }
}

static enum screen_style style(const struct top *top, uint32_t index)
{
    const struct prof_function *function = function_at(top, index);
    if (function->kind == SNAP_NATIVE)
        return SCREEN_FAINT;
    bool hot = weigh_share(&top->page.weigh, weigh_own(&top->page.weigh, function)) >= HOT_SHARE;
    return hot ? SCREEN_HOT : SCREEN_NORMAL;
}

// Native functions that worked themselves: what they wait in, Python has a name for. What the
// interpreter's own ones do, they do for the Python function above.
static bool belongs(const struct top *top, uint32_t index)
{
    const struct prof_function *function = function_at(top, index);
    if (function->kind == SNAP_NATIVE &&
        (!top->state->native || !weigh_self(&top->page.weigh, function) ||
         top->page.interpreter[index]))
        return false;
    GUARD(plain_deinit) struct plain text = {0};
    page_function_cell(&text, &top->page, index);
    return top_matches(top, plain_text(&text));
}

static void weigh_row(const struct top *top, const struct prof_function *function,
                      struct top_row *row)
{
    uint64_t self = self_of(top, function), total = weigh_total(&top->page.weigh, function);
    uint32_t name = function->qualname ? function->qualname : function->function;
    enum report_sort sort = top->state->function_sort;
    bool native = function->kind == SNAP_NATIVE;
    row->name = strtab_get(top->page.names.strings, name);
    row->weight = native && sorted_by(sort) == SELF   ? self
                  : native && sort == REPORT_SORT_CPU ? cpu_of(top, function)
                  : native && sort == REPORT_SORT_WAITING
                      ? waiting_of(top, function)
                      : sort_value(&top->page.weigh, sort, function);
    row->second = sort == REPORT_SORT_TOTAL ? self : total;
    if (sort == REPORT_SORT_NAME)
        row->second = 0;
    else if (sorted_by(sort) == SELF && self == 0) // those that only wait: where most do
        row->second = waiting_of(top, function);
}

bool top_functions(struct top *top, struct top_table *ret)
{
    *ret =
        (struct top_table){.columns = columns,
                           .column_count = SOURCE,
                           .sorted = sorted_by(top->state->function_sort),
                           .title = top->state->function_sort == REPORT_SORT_SELF ? "INNER%" : NULL,
                           .nothing = "no function was seen",
                           .cell = cell,
                           .style = style};
    size_t count = top->page.profile ? top->page.profile->function_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = top_function_key(function_at(top, i));
        struct top_row row = {.key = key, .opens = key, .index = i};
        if (!belongs(top, i))
            continue;
        weigh_row(top, function_at(top, i), &row);
        if (!vec_push(&ret->rows, row))
            return false;
    }
    return true;
}

// ---- Lines ---------------------------------------------------------------------------------------

static void add_place(struct plain *out, const struct top *top, const struct prof_line *line)
{
    const struct prof_function *function = function_at(top, line->function);
    if (function->file) {
        names_path(out, &top->page.names, function->file);
        plain_add(out, ":%d", (int)line->line);
    } else {
        names_place(out, &top->page.names, function);
    }
}

static void add_source(struct plain *out, const struct top *top, const struct prof_line *line)
{
    const struct report_source_reader *reader = &top->values->input->source_reader;
    const struct prof_function *function = function_at(top, line->function);
    const char *file = strtab_get(top->page.names.strings, function->file);
    bool newer = false;
    const char *text =
        file && reader->line ? reader->line(reader->arg, file, line->line, &newer) : NULL;
    if (!text || newer) // the file is not what runs
        return;
    while (isspace((unsigned char)*text))
        text++;
    size_t size = strlen(text);
    while (size && isspace((unsigned char)text[size - 1]))
        size--;
    plain_safe(out, text, size);
}

static void line_cell(struct plain *out, const struct top *top, uint32_t index, size_t column)
{
    const struct prof_line *line = &top->page.profile->lines[index];
    switch (column) {
    case SELF:
        add_share(out, top, weigh_line(&top->page.weigh, line));
        break;
    case TOTAL:
        add_share(out, top, weigh_line_total(&top->page.weigh, line));
        break;
    case CPU:
        add_cpu(out, top, line->own_cpu_ns);
        break;
    case WAITING:
        add_waiting(out, top, line->own - line->own_working);
        break;
    case NAME:
        names_function(out, &top->page.names, function_at(top, line->function), 0);
        break;
    case PLACE:
        add_place(out, top, line);
        break;
    case SOURCE:
        add_source(out, top, line);
        break;
    }
}

static enum screen_style line_style(const struct top *top, uint32_t index)
{
    const struct prof_line *line = &top->page.profile->lines[index];
    bool hot = weigh_share(&top->page.weigh, weigh_line(&top->page.weigh, line)) >= HOT_SHARE;
    return hot ? SCREEN_HOT : SCREEN_NORMAL;
}

static void weigh_line_row(const struct top *top, const struct prof_line *line, struct top_row *row)
{
    const struct prof_function *function = function_at(top, line->function);
    uint64_t self = weigh_line(&top->page.weigh, line);
    uint64_t total = weigh_line_total(&top->page.weigh, line);
    enum report_sort sort = top->state->function_sort;
    row->name = strtab_get(top->page.names.strings, function->file);
    row->weight = sort == REPORT_SORT_TOTAL     ? total
                  : sort == REPORT_SORT_CPU     ? line->own_cpu_ns
                  : sort == REPORT_SORT_WAITING ? line->own - line->own_working
                                                : self;
    row->second = sort == REPORT_SORT_TOTAL ? self : total;
    if (sort == REPORT_SORT_NAME)
        row->weight = row->second = 0;
}

bool top_lines(struct top *top, struct top_table *ret)
{
    size_t sorted = sorted_by(top->state->function_sort);
    *ret = (struct top_table){.columns = line_columns,
                              .column_count = COLUMNS,
                              .sorted = sorted == NAME    ? PLACE
                                        : sorted == CALLS ? SELF
                                                          : sorted,
                              .nothing = "no line was seen",
                              .cell = line_cell,
                              .style = line_style};
    size_t count = top->page.profile ? top->page.profile->line_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct prof_line *line = &top->page.profile->lines[i];
        const struct prof_function *function = function_at(top, line->function);
        GUARD(plain_deinit) struct plain text = {0};
        if (function->kind == SNAP_NATIVE || line->line < 0)
            continue;
        names_function(&text, &top->page.names, function, 0);
        plain_str(&text, " ");
        add_place(&text, top, line);
        if (!top_matches(top, plain_text(&text)))
            continue;
        uint64_t opens = top_function_key(function);
        uint64_t key = hash_u64(opens, (uint64_t)line->line) | 1;
        struct top_row row = {.key = key, .opens = opens, .index = i};
        weigh_line_row(top, line, &row);
        if (!vec_push(&ret->rows, row))
            return false;
    }
    return true;
}
