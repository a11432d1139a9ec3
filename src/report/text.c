// SPDX-License-Identifier: GPL-3.0-or-later
// The report as text for a terminal: wrapped to its width, tables aligned, colour when asked for.
#include <ctype.h>
#include <string.h>

#include "report/doc.h"
#include "report/page.h"
#include "util/guard.h"

#define DEFAULT_WIDTH 100
#define LABEL_COLUMNS 10
#define UNBROKEN_BYTES 48

struct text {
    size_t width;
    bool color;
};

static const char *color_on(const struct text *text, enum doc_style style)
{
    if (!text->color || style == DOC_NORMAL)
        return "";
    return style == DOC_HOT ? "\x1b[31m" : "\x1b[2m";
}

static const char *color_off(const struct text *text, enum doc_style style)
{
    return text->color && style != DOC_NORMAL ? "\x1b[0m" : "";
}

static void put_spaces(FILE *out, size_t count)
{
    fprintf(out, "%*s", (int)count, "");
}

static void put_clean(FILE *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] != PLAIN_CODE[0] && text[i] != PLAIN_CODE_END[0])
            fputc(text[i], out);
}

// Up to the next space at which the line may break: not within a short piece of code, so that a
// function and its place, a thread and its number stay together.
static size_t word_size(const char *words)
{
    size_t size = 0;
    for (;;) {
        size += strcspn(words + size, " " PLAIN_CODE);
        if (words[size] != PLAIN_CODE[0])
            return size;
        size_t code = strcspn(words + size, PLAIN_CODE_END);
        size += code <= UNBROKEN_BYTES ? code : 1;
    }
}

// Words, from column `start` on, with the following lines indented by `indent`.
static void put_wrapped(FILE *out, const struct text *text, const char *words, size_t start,
                        size_t indent)
{
    size_t at = start;
    bool first = true;
    while (*words) {
        size_t size = word_size(words), columns = 0;
        for (size_t i = 0; i < size;) {
            unsigned width;
            i += plain_char(words + i, &width);
            columns += width;
        }
        if (!first && at + 1 + columns > text->width) {
            fputc('\n', out);
            put_spaces(out, indent);
            at = indent;
        } else if (!first) {
            fputc(' ', out);
            at++;
        }
        put_clean(out, words, size);
        at += columns;
        words += size;
        words += *words == ' ';
        first = false;
    }
}

// ---- Tables --------------------------------------------------------------------------------------

struct shape {
    const struct doc_column *columns;
    size_t count, widths[DOC_MAX_COLUMNS];
    bool dropped[DOC_MAX_COLUMNS];
};

static size_t gap_before(const struct doc_column *column)
{
    return column->tight ? 1 : 2;
}

static size_t table_width(const struct shape *shape, bool shrunk)
{
    size_t total = 0;
    for (size_t i = 0; i < shape->count; i++) {
        unsigned least = shape->columns[i].least;
        if (!shape->dropped[i])
            total += gap_before(&shape->columns[i]) +
                     (shrunk && least && least < shape->widths[i] ? least : shape->widths[i]);
    }
    return total;
}

static bool drop_a_column(struct shape *shape)
{
    size_t worst = shape->count;
    for (size_t i = 0; i < shape->count; i++)
        if (!shape->dropped[i] && shape->columns[i].drop &&
            (worst == shape->count || shape->columns[i].drop > shape->columns[worst].drop))
            worst = i;
    if (worst == shape->count)
        return false;
    return shape->dropped[worst] = true;
}

// Columns nobody has a value for go first, then those that may go, then the widest shrinks.
static void fit_table(struct shape *shape, size_t width)
{
    while (table_width(shape, true) > width && drop_a_column(shape))
        ;
    while (table_width(shape, false) > width) {
        size_t widest = shape->count;
        for (size_t i = 0; i < shape->count; i++)
            if (!shape->dropped[i] && shape->columns[i].least &&
                shape->widths[i] > shape->columns[i].least &&
                (widest == shape->count || shape->widths[i] > shape->widths[widest]))
                widest = i;
        if (widest == shape->count)
            break;
        shape->widths[widest]--;
    }
}

static void shape_table(struct shape *shape, const struct doc_block *table,
                        const struct doc_block *end, size_t width)
{
    *shape = (struct shape){.columns = table->columns, .count = table->column_count};
    bool used[DOC_MAX_COLUMNS] = {false};
    for (const struct doc_block *row = table + 1; row < end && row->kind == DOC_ROW; row++)
        for (size_t i = 0; i < shape->count; i++) {
            size_t columns = row->cells[i] ? plain_columns(row->cells[i]) : 0;
            used[i] |= columns > 0;
            if (columns > shape->widths[i])
                shape->widths[i] = columns;
        }
    for (size_t i = 0; i < shape->count; i++) {
        size_t title = strlen(shape->columns[i].title);
        shape->dropped[i] = !used[i];
        if (title > shape->widths[i])
            shape->widths[i] = title;
    }
    fit_table(shape, width);
}

static void put_cells(FILE *out, const struct shape *shape, char *const *cells)
{
    GUARD(plain_deinit) struct plain line = {0}, cell = {0};
    for (size_t i = 0; i < shape->count; i++) {
        if (shape->dropped[i])
            continue;
        const struct doc_column *column = &shape->columns[i];
        plain_clear(&cell);
        plain_clip(&cell, cells ? cells[i] ? cells[i] : "" : column->title, shape->widths[i],
                   column->keep);
        size_t blank = shape->widths[i] - plain_columns(plain_text(&cell));
        plain_pad(&line, gap_before(column) + (column->right ? blank : 0));
        plain_str(&line, plain_text(&cell));
        plain_pad(&line, column->right ? 0 : blank);
    }
    while (line.size && line.bytes[line.size - 1] == ' ')
        line.bytes[--line.size] = '\0';
    fputs(plain_text(&line), out);
}

static void put_table_head(FILE *out, const struct text *text, const struct shape *shape)
{
    fputs(text->color ? "\x1b[1m" : "", out);
    put_cells(out, shape, NULL);
    fprintf(out, "%s\n", text->color ? "\x1b[0m" : "");
}

// ---- Sections ------------------------------------------------------------------------------------

static void put_bullet(FILE *out, const struct text *text, const struct doc_block *block)
{
    size_t label = plain_columns(block->label), indent = 2 + LABEL_COLUMNS;
    bool bold = text->color && label;
    fprintf(out, "  %s%s%s", bold ? "\x1b[1m" : "", block->label, bold ? "\x1b[0m" : "");
    size_t start = label == 0 ? 2 : label < LABEL_COLUMNS ? indent : 2 + label + 1;
    put_spaces(out, start - 2 - label);
    put_wrapped(out, text, block->text, start, label ? indent : 4);
    fputc('\n', out);
}

static void put_block(FILE *out, const struct text *text, const struct doc_block *block,
                      const struct doc_block *end, struct shape *shape)
{
    switch (block->kind) {
    case DOC_TEXT:
        put_wrapped(out, text, block->text, 0, 0);
        fputc('\n', out);
        break;
    case DOC_BULLET:
        put_bullet(out, text, block);
        break;
    case DOC_HEAD:
        fprintf(out, "\n%s", block->style == DOC_HOT ? color_on(text, DOC_HOT) : "");
        fputs(text->color ? "\x1b[1m" : "", out);
        put_wrapped(out, text, block->text, 0, 4);
        fprintf(out, "%s\n", text->color ? "\x1b[0m" : "");
        break;
    case DOC_LINE:
        fprintf(out, "%s%s%s\n", color_on(text, block->style), block->text,
                color_off(text, block->style));
        break;
    case DOC_TABLE:
        shape_table(shape, block, end, text->width);
        put_table_head(out, text, shape);
        break;
    case DOC_ROW:
        fputs(color_on(text, block->style), out);
        put_cells(out, shape, block->cells);
        fprintf(out, "%s\n", color_off(text, block->style));
        break;
    }
}

static void put_title(FILE *out, const struct text *text, const char *title)
{
    fputs(text->color ? "\x1b[1m" : "", out);
    for (; *title && *title != '('; title++)
        fputc(toupper((unsigned char)*title), out);
    fprintf(out, "%s%s\n", title, text->color ? "\x1b[0m" : "");
}

static void put_section(FILE *out, const struct doc_section *section, size_t keep, void *arg)
{
    const struct text *text = arg;
    size_t count = doc_end(section, keep), hidden = doc_hidden(section, keep);
    if (keep == 0 && section->thing)
        return;
    if (section->title) {
        fputc('\n', out);
        put_title(out, text, section->title);
    }
    struct shape shape = {0};
    const struct doc_block *blocks = section->blocks.items;
    for (size_t i = 0; i < count; i++)
        put_block(out, text, &blocks[i], blocks + count, &shape);
    if (hidden && section->thing) {
        GUARD(plain_deinit) struct plain more = {0};
        plain_str(&more, "  ... ");
        plain_count(&more, hidden);
        plain_str(&more, " more ");
        plain_plural(&more, hidden, section->thing);
        plain_str(&more, "; --full shows them");
        fprintf(out, "%s\n", plain_text(&more));
    }
}

struct err *doc_as_text(FILE *out, struct doc *doc, const struct report_options *options)
{
    struct text text = {.width = options->width ? options->width : DEFAULT_WIDTH,
                        .color = options->color};
    if (text.width < 40)
        text.width = 40;
    // The title, the line about what was left out, and the difference of bytes and characters.
    if (!options->full)
        doc_fit(doc, put_section, &text, REPORT_CUT_CHARS - 1000);
    fprintf(out, "%s", text.color ? "\x1b[1m" : "");
    put_wrapped(out, &text, doc->title ? doc->title : "", 0, 4);
    fprintf(out, "%s\n", text.color ? "\x1b[0m" : "");
    vec_foreach (section, &doc->sections) {
        if (!section->title && section != doc->sections.items)
            fputc('\n', out);
        put_section(out, section, section->keep, &text);
    }
    AUTO_FREE char *left_out = doc_left_out(doc);
    if (left_out) {
        fputc('\n', out);
        put_wrapped(out, &text, left_out, 0, 0);
        fputc('\n', out);
    }
    return page_finish(doc, out);
}

struct err *report_text(FILE *out, const struct report_input *input,
                        const struct report_options *options)
{
    GUARD(doc_deinit) struct doc doc = {0};
    TRY(page_build(&doc, input, options));
    return doc_as_text(out, &doc, options);
}
