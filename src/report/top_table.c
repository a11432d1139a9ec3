// SPDX-License-Identifier: GPL-3.0-or-later
// Tables of pycore top: rows in order, columns that fit, a cursor that follows its row.
#include <stdlib.h>
#include <string.h>

#include "report/top_private.h"
#include "util/guard.h"

#define GAP 1 // between columns

void top_table_deinit(struct top_table *table)
{
    vec_deinit(&table->rows);
}

bool top_matches(const struct top *top, const char *text)
{
    const struct top_state *state = top->state;
    const char *wanted = state->prompt == TOP_ASK_FILTER ? state->input : state->filter;
    return !*wanted || strcasestr(text, wanted);
}

static int by_weight(const void *left, const void *right)
{
    const struct top_row *a = left, *b = right;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    if (a->second != b->second)
        return a->second > b->second ? -1 : 1;
    int order = strcmp(a->name ? a->name : "", b->name ? b->name : "");
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

// ---- Cursor --------------------------------------------------------------------------------------

static size_t find_row(const struct top_rows *rows, uint64_t key, size_t otherwise)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].key == key)
            return i;
    return otherwise;
}

static void place_cursor(struct top_cursor *cursor, const struct top_rows *rows, size_t height)
{
    size_t last = rows->count ? rows->count - 1 : 0;
    if (!cursor->moved)
        cursor->row = cursor->follows ? find_row(rows, cursor->follows, cursor->row) : 0;
    if (cursor->row > last)
        cursor->row = last;
    cursor->here = rows->count ? rows->items[cursor->row].key : 0;
    cursor->opens = rows->count ? rows->items[cursor->row].opens : 0;
    // A row that a filter hides for a while is still followed.
    if (cursor->moved)
        cursor->follows = cursor->row ? cursor->here : 0;
    cursor->moved = false;
    cursor->height = height;
    if (cursor->first > cursor->row)
        cursor->first = cursor->row;
    if (height && cursor->row >= cursor->first + height)
        cursor->first = cursor->row - height + 1;
    if (cursor->first + height > rows->count)
        cursor->first = rows->count > height ? rows->count - height : 0;
}

// ---- Columns -------------------------------------------------------------------------------------

static bool is_shown(const struct top_table *table, const struct screen *screen, size_t column)
{
    return screen->columns >= table->columns[column].needs;
}

static unsigned rest_of(const struct top_table *table, const struct screen *screen,
                        unsigned *ret_shares)
{
    unsigned used = 0;
    *ret_shares = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        if (!is_shown(table, screen, i))
            continue;
        used += table->columns[i].width + (used ? GAP : 0);
        *ret_shares += table->columns[i].width ? 0 : table->columns[i].share;
    }
    return screen->columns > used ? screen->columns - used : 0;
}

// 0: the column is left out. The last one takes what is left over.
static unsigned width_of(const struct top_table *table, const struct screen *screen, size_t column)
{
    unsigned shares, rest = rest_of(table, screen, &shares);
    if (!is_shown(table, screen, column))
        return 0;
    if (table->columns[column].width)
        return table->columns[column].width;
    unsigned width = rest * table->columns[column].share / shares;
    return width ? width : 1;
}

// "5-12 of 30" at the right edge, when not all rows are seen.
static void say_seen(struct plain *out, const struct top_table *table,
                     const struct top_cursor *cursor)
{
    size_t end = cursor->first + cursor->height;
    if (cursor->height && table->rows.count > cursor->height)
        plain_add(out, " %zu-%zu of %zu", cursor->first + 1,
                  end < table->rows.count ? end : table->rows.count, table->rows.count);
}

static void draw_titles(struct top *top, const struct top_table *table,
                        const struct top_cursor *cursor, unsigned line)
{
    struct screen *screen = top->screen;
    GUARD(plain_deinit) struct plain seen = {0};
    say_seen(&seen, table, cursor);
    unsigned taken = (unsigned)plain_columns(plain_text(&seen));
    for (size_t i = 0; i < table->column_count; i++) {
        const struct top_column *column = &table->columns[i];
        unsigned width = width_of(table, screen, i), at = screen->lines[line].columns;
        if (!width)
            continue;
        screen_fill(screen, line, SCREEN_BAR, at + (at ? GAP : 0));
        at = screen->lines[line].columns;
        if (at + width + taken > screen->columns && at + taken < screen->columns)
            width = screen->columns - taken - at;
        screen_cell(screen, line, i == table->sorted ? SCREEN_SORTED : SCREEN_BAR,
                    i == table->sorted && table->title ? table->title : column->title, width,
                    column->right, PLAIN_KEEP_START);
    }
    if (taken < screen->columns)
        screen_fill(screen, line, SCREEN_BAR, screen->columns - taken);
    screen_put(screen, line, SCREEN_BAR, plain_text(&seen));
}

static void draw_row(struct top *top, const struct top_table *table, const struct top_row *row,
                     bool selected, unsigned line)
{
    struct screen *screen = top->screen;
    enum screen_style style = selected ? SCREEN_SELECTED : table->style(top, row->index);
    for (size_t i = 0; i < table->column_count; i++) {
        unsigned width = width_of(table, screen, i);
        GUARD(plain_deinit) struct plain text = {0};
        if (!width)
            continue;
        table->cell(&text, top, row->index, i);
        unsigned at = screen->lines[line].columns;
        screen_fill(screen, line, style, at + (at ? GAP : 0));
        screen_cell(screen, line, style, plain_text(&text), width, table->columns[i].right,
                    table->columns[i].keep);
        screen->failed |= text.failed;
    }
    screen_fill(screen, line, style, screen->columns);
}

void top_table_draw(struct top *top, struct top_table *table, struct top_cursor *cursor,
                    bool has_cursor, unsigned from, unsigned lines)
{
    struct top_rows *rows = &table->rows;
    if (lines < 1 || from + lines > top->screen->rows)
        return;
    if (rows->count)
        qsort(rows->items, rows->count, sizeof(*rows->items), by_weight);
    place_cursor(cursor, rows, lines - 1);
    draw_titles(top, table, cursor, from);
    if (!rows->count && lines > 1)
        screen_put(top->screen, from + 1, SCREEN_FAINT, table->nothing);
    for (size_t i = 0; i < lines - 1 && cursor->first + i < rows->count; i++) {
        size_t at = cursor->first + i;
        draw_row(top, table, &rows->items[at], has_cursor && at == cursor->row,
                 from + 1 + (unsigned)i);
    }
}
