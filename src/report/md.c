// SPDX-License-Identifier: GPL-3.0-or-later
// The report as GitHub-flavoured Markdown, for tickets and for machines that read prose. What came
// from the target stands in code spans and fences, where Markdown has no say; the rest is escaped.
#include <string.h>

#include "report/doc.h"
#include "report/page.h"
#include "util/guard.h"

#define CELL_COLUMNS 120

static size_t longest_run(const char *text, size_t size, char wanted)
{
    size_t longest = 0, run = 0;
    for (size_t i = 0; i < size; i++) {
        run = text[i] == wanted ? run + 1 : 0;
        if (run > longest)
            longest = run;
    }
    return longest;
}

static void put_repeated(FILE *out, size_t count, char byte)
{
    while (count-- > 0)
        fputc(byte, out);
}

// In a table a pipe ends the cell even inside a code span, unless a backslash stands before it.
static void put_code(FILE *out, const char *text, size_t size, bool in_table)
{
    if (size == 0)
        return;
    size_t ticks = longest_run(text, size, '`') + 1;
    bool padded = text[0] == '`' || text[size - 1] == '`' || text[0] == ' ';
    put_repeated(out, ticks, '`');
    fputs(padded ? " " : "", out);
    for (size_t i = 0; i < size; i++) {
        if (in_table && text[i] == '|')
            fputc('\\', out);
        fputc(text[i], out);
    }
    fputs(padded ? " " : "", out);
    put_repeated(out, ticks, '`');
}

// Plain text: characters with a meaning anywhere in a line of GFM (spec 0.29, 2.4 and 6) get a
// backslash. What issue trackers look for in the finished text (mentions, references, formulas,
// addresses) is only safe inside a code span.
static void put_escaped(FILE *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bool address = text[i] == ':' && i + 2 < size && text[i + 1] == '/' && text[i + 2] == '/';
        if (strchr("@#$", text[i]) || address) {
            put_code(out, text + i, address ? 3 : 1, false);
            i += address ? 2 : 0;
            continue;
        }
        if (strchr("\\`*_[]<|~&", text[i]))
            fputc('\\', out);
        fputc(text[i], out);
    }
}

// What would begin a list, a quotation or a heading where a line begins.
static const char *put_beginning(FILE *out, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    bool marks = digits && digits < 10 && (text[digits] == '.' || text[digits] == ')');
    if (marks && (text[digits + 1] == ' ' || text[digits + 1] == '\0')) {
        fprintf(out, "%.*s\\%c", (int)digits, text, text[digits]);
        return text + digits + 1;
    }
    if (*text && strchr("-+=>", *text))
        fputc('\\', out);
    return text;
}

// Sentences with code marks.
static void put_words(FILE *out, const char *text)
{
    while (*text) {
        size_t words = strcspn(text, PLAIN_CODE);
        put_escaped(out, text, words);
        text += words;
        if (!*text)
            break;
        size_t code = strcspn(++text, PLAIN_CODE_END);
        put_code(out, text, code, false);
        text += code;
        text += *text != '\0';
    }
}

// ---- Tables --------------------------------------------------------------------------------------

struct md_table {
    const struct doc_column *columns;
    size_t count;
    bool used[DOC_MAX_COLUMNS]; // a column without a value in any row is left out
};

static void look_at_table(struct md_table *table, const struct doc_block *head,
                          const struct doc_block *end)
{
    *table = (struct md_table){.columns = head->columns, .count = head->column_count};
    for (const struct doc_block *row = head + 1; row < end && row->kind == DOC_ROW; row++)
        for (size_t i = 0; i < table->count; i++)
            table->used[i] |= row->cells[i] && row->cells[i][0];
}

static void put_row(FILE *out, const struct md_table *table, char *const *cells)
{
    GUARD(plain_deinit) struct plain cell = {0};
    fputc('|', out);
    for (size_t i = 0; i < table->count; i++) {
        const struct doc_column *column = &table->columns[i];
        if (!table->used[i])
            continue;
        plain_clear(&cell);
        if (cells && cells[i])
            plain_clip(&cell, cells[i], CELL_COLUMNS, column->keep);
        fputc(' ', out);
        if (!cells)
            put_escaped(out, column->title, strlen(column->title));
        else if (column->code)
            put_code(out, plain_text(&cell), cell.size, true);
        else
            put_escaped(out, plain_text(&cell), cell.size);
        fputs(" |", out);
    }
    fputc('\n', out);
}

static void put_table_head(FILE *out, const struct md_table *table)
{
    fputc('\n', out);
    put_row(out, table, NULL);
    fputc('|', out);
    for (size_t i = 0; i < table->count; i++)
        if (table->used[i])
            fputs(table->columns[i].right ? " ---: |" : " --- |", out);
    fputc('\n', out);
}

// ---- Sections ------------------------------------------------------------------------------------

static size_t fence_of(const struct doc_block *line, const struct doc_block *end)
{
    size_t longest = 2;
    for (; line < end && line->kind == DOC_LINE; line++) {
        size_t run = longest_run(line->text, strlen(line->text), '`');
        if (run > longest)
            longest = run;
    }
    return longest + 1;
}

static void put_fence(FILE *out, size_t ticks, const char *kind)
{
    put_repeated(out, ticks, '`');
    fprintf(out, "%s\n", kind);
}

static void put_blocks(FILE *out, const struct doc_block *block, const struct doc_block *end)
{
    struct md_table table = {0};
    size_t fence = 0;
    enum doc_kind before = DOC_TEXT;
    for (; block < end; before = block->kind, block++) {
        if (block->kind == DOC_LINE && !fence) {
            fence = fence_of(block, end);
            fputc('\n', out);
            put_fence(out, fence, "text");
        }
        if (block->kind == DOC_TEXT || block->kind == DOC_HEAD ||
            (block->kind == DOC_BULLET && before != DOC_BULLET))
            fputc('\n', out);
        if (block->kind == DOC_TABLE) {
            look_at_table(&table, block, end);
            put_table_head(out, &table);
        } else if (block->kind == DOC_ROW) {
            put_row(out, &table, block->cells);
        } else {
            if (block->kind == DOC_BULLET)
                fputs("- ", out);
            if (block->kind == DOC_BULLET && block->label[0])
                fprintf(out, "**%s**: ", block->label);
            if (block->kind == DOC_LINE)
                fputs(block->text, out);
            else if (block->kind == DOC_BULLET && block->label[0])
                put_words(out, block->text);
            else
                put_words(out, put_beginning(out, block->text));
            fputc('\n', out);
        }
        if (fence && (block + 1 == end || block[1].kind != DOC_LINE)) {
            put_fence(out, fence, "");
            fence = 0;
        }
    }
}

static void put_section(FILE *out, const struct doc_section *section, size_t keep, void *arg)
{
    (void)arg;
    size_t count = doc_end(section, keep), hidden = doc_hidden(section, keep);
    if (keep == 0 && section->thing)
        return;
    if (section->title) {
        fputs("\n## ", out);
        put_escaped(out, section->title, strlen(section->title));
        fputc('\n', out);
    }
    if (count)
        put_blocks(out, section->blocks.items, section->blocks.items + count);
    if (hidden && section->thing) {
        GUARD(plain_deinit) struct plain more = {0};
        plain_count(&more, hidden);
        plain_str(&more, " more ");
        plain_plural(&more, hidden, section->thing);
        fprintf(out, "\n... %s; --full shows them\n", plain_text(&more));
    }
}

struct err *doc_as_md(FILE *out, struct doc *doc, const struct report_options *options)
{
    if (!options->full)
        doc_fit(doc, put_section, NULL, REPORT_CUT_CHARS - 1000);
    fputs("# ", out);
    put_words(out, doc->title ? doc->title : "");
    fputc('\n', out);
    vec_foreach (section, &doc->sections)
        put_section(out, section, section->keep, NULL);
    AUTO_FREE char *left_out = doc_left_out(doc);
    if (left_out)
        fprintf(out, "\n%s\n", left_out);
    return page_finish(doc, out);
}

struct err *report_md(FILE *out, const struct report_input *input,
                      const struct report_options *options)
{
    GUARD(doc_deinit) struct doc doc = {0};
    TRY(page_build(&doc, input, options));
    return doc_as_md(out, &doc, options);
}
