// SPDX-License-Identifier: GPL-3.0-or-later
// See report/screen.h.
#include "report/screen.h"

#include <stdlib.h>
#include <string.h>

#include "util/clean.h"
#include "util/guard.h"

struct screen *screen_create(unsigned rows, unsigned columns, bool ascii)
{
    struct screen *screen = calloc(1, sizeof(*screen));
    if (screen)
        screen->lines = calloc(rows ? rows : 1, sizeof(*screen->lines));
    if (!screen || !screen->lines) {
        free(screen);
        return NULL;
    }
    screen->rows = rows;
    screen->columns = columns;
    screen->ascii = ascii;
    return screen;
}

void screen_destroy(struct screen *screen)
{
    if (!screen)
        return;
    for (unsigned row = 0; row < screen->rows; row++) {
        plain_deinit(&screen->lines[row].text);
        vec_deinit(&screen->lines[row].pieces);
    }
    free(screen->lines);
    free(screen);
}

// Without marks, and in the terminal's letters.
static void add_shown(struct plain *out, const struct screen *screen, const char *text)
{
    for (size_t size; *text; text += size) {
        unsigned columns;
        uint32_t code = 0;
        size = plain_char(text, &columns);
        if (*text == PLAIN_CODE[0] || *text == PLAIN_CODE_END[0])
            continue;
        if (!screen->ascii || size == 1)
            plain_bytes(out, text, size);
        else if (clean_decode(text, size, &code))
            plain_add(out, code > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)code);
    }
}

// `text` is shown already, and fits.
static void append(struct screen *screen, unsigned row, enum screen_style style, const char *text)
{
    struct screen_line *line = &screen->lines[row];
    plain_str(&line->text, text);
    line->columns += (unsigned)plain_columns(text);
    screen->failed |= line->text.failed;
    if (line->pieces.count && line->pieces.items[line->pieces.count - 1].style == style)
        line->pieces.items[line->pieces.count - 1].end = line->text.size;
    else if (!vec_push(&line->pieces, (struct screen_piece){line->text.size, style}))
        screen->failed = true;
}

static unsigned room(const struct screen *screen, unsigned row)
{
    if (row >= screen->rows || screen->lines[row].columns >= screen->columns)
        return 0;
    return screen->columns - screen->lines[row].columns;
}

void screen_put(struct screen *screen, unsigned row, enum screen_style style, const char *text)
{
    GUARD(plain_deinit) struct plain shown = {0};
    size_t size = 0, used = 0, left = room(screen, row);
    add_shown(&shown, screen, text);
    for (const char *at = plain_text(&shown); left && *at;) {
        unsigned columns;
        size_t bytes = plain_char(at, &columns);
        if (used + columns > left)
            break;
        used += columns;
        size += bytes;
        at += bytes;
    }
    if (size && !shown.failed) {
        shown.bytes[size] = '\0';
        append(screen, row, style, shown.bytes);
    }
    screen->failed |= shown.failed;
}

void screen_fill(struct screen *screen, unsigned row, enum screen_style style, unsigned column)
{
    GUARD(plain_deinit) struct plain spaces = {0};
    unsigned limit = column < screen->columns ? column : screen->columns;
    if (!room(screen, row) || screen->lines[row].columns >= limit)
        return;
    plain_pad(&spaces, limit - screen->lines[row].columns);
    append(screen, row, style, plain_text(&spaces));
    screen->failed |= spaces.failed;
}

void screen_cell(struct screen *screen, unsigned row, enum screen_style style, const char *text,
                 unsigned width, bool right, enum plain_keep keep)
{
    GUARD(plain_deinit) struct plain shown = {0}, cell = {0};
    add_shown(&shown, screen, text);
    plain_clip(&cell, plain_text(&shown), width, keep);
    unsigned taken = (unsigned)plain_columns(plain_text(&cell));
    unsigned end = row < screen->rows ? screen->lines[row].columns + width : 0;
    if (right && taken < width)
        screen_fill(screen, row, style, end - taken);
    screen_put(screen, row, style, plain_text(&cell));
    screen_fill(screen, row, style, end);
    screen->failed |= shown.failed || cell.failed;
}

static const char *color_of(enum screen_style style)
{
    static const char *const codes[SCREEN_STYLE_COUNT] = {
        [SCREEN_BOLD] = "\x1b[1m",  [SCREEN_FAINT] = "\x1b[2m",  [SCREEN_HOT] = "\x1b[31m",
        [SCREEN_BAR] = "\x1b[7m",   [SCREEN_SORTED] = "\x1b[7m", [SCREEN_SELECTED] = "\x1b[7m",
        [SCREEN_ALERT] = "\x1b[1m",
    };
    return codes[style] ? codes[style] : "";
}

void screen_print(FILE *out, const struct screen *screen, bool color)
{
    unsigned rows = screen->rows;
    while (rows && screen->lines[rows - 1].text.size == 0)
        rows--;
    for (unsigned row = 0; row < rows; row++) {
        const struct screen_line *line = &screen->lines[row];
        const char *bytes = plain_text(&line->text);
        size_t at = 0, size = line->text.size;
        while (size && bytes[size - 1] == ' ')
            size--;
        vec_foreach (piece, &line->pieces) {
            size_t end = piece->end < size ? piece->end : size;
            bool colored = color && piece->style != SCREEN_NORMAL && end > at;
            if (colored)
                fputs(color_of(piece->style), out);
            if (end > at)
                fwrite(bytes + at, 1, end - at, out);
            if (colored)
                fputs("\x1b[0m", out);
            at = end > at ? end : at;
        }
        fputc('\n', out);
    }
}
