// SPDX-License-Identifier: GPL-3.0-or-later
// A terminal's screen as a value: lines of styled pieces, filled from left to right and cut at the right
// edge. What shows it (a terminal, a pipe, a test) knows nothing of what is on it.
#ifndef REPORT_SCREEN_H
#define REPORT_SCREEN_H

#include <stdio.h>

#include "report/plain.h"
#include "util/vec.h"

enum screen_style {
    SCREEN_NORMAL,
    SCREEN_BOLD,
    SCREEN_FAINT,
    SCREEN_HOT,
    SCREEN_BAR,    // titles of columns
    SCREEN_SORTED, // ... of the one that a table is sorted by
    SCREEN_SELECTED,
    SCREEN_ALERT,
    SCREEN_STYLE_COUNT
};

struct screen_piece { // bytes from the end of the piece before it to `end`
    size_t end;
    enum screen_style style;
};

struct screen_line {
    struct plain text; // clean UTF-8, without marks
    unsigned columns;  // that it takes
    VEC(struct screen_piece) pieces;
};

struct screen {
    unsigned rows, columns;
    bool ascii; // the terminal knows nothing else: \u00e9 in the place of a letter with an accent
    struct screen_line *lines;
    unsigned cursor_row, cursor_column; // where text is typed
    bool cursor;                        // it is
    bool failed;                        // out of memory: something is missing
};

// NULL when out of memory. All lines are empty.
struct screen *screen_create(unsigned rows, unsigned columns, bool ascii);
void screen_destroy(struct screen *screen);

// All of these add at the end of a line; beyond the last row or column nothing is added. `text` is
// clean; code marks (report/plain.h) are dropped.
void screen_put(struct screen *screen, unsigned row, enum screen_style style, const char *text);
// Exactly `width` columns: cut, or filled up with spaces on the side away from the text.
void screen_cell(struct screen *screen, unsigned row, enum screen_style style, const char *text,
                 unsigned width, bool right, enum plain_keep keep);
// Spaces up to that column.
void screen_fill(struct screen *screen, unsigned row, enum screen_style style, unsigned column);

// The lines down to the last one that is not empty, without spaces at their ends.
void screen_print(FILE *out, const struct screen *screen, bool color);

#endif
