// SPDX-License-Identifier: GPL-3.0-or-later
// See report/html_doc.h.
#include "report/html_doc.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "util/guard.h"

const struct html_script html_page_script = {asset_page_js, asset_page_js_sha256};

void html_text(FILE *out, const char *text, size_t size)
{
    static const struct {
        char byte;
        const char *escape;
    } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    for (size_t i = 0; i < size; i++) {
        const char *escape = NULL;
        for (size_t k = 0; k < ARRAY_SIZE(escapes); k++)
            if (escapes[k].byte == text[i])
                escape = escapes[k].escape;
        if (escape)
            fputs(escape, out);
        else if (text[i] != PLAIN_CODE[0] && text[i] != PLAIN_CODE_END[0])
            fputc(text[i], out);
    }
}

void html_words(FILE *out, const char *text)
{
    while (*text) {
        size_t words = strcspn(text, PLAIN_CODE);
        html_text(out, text, words);
        text += words;
        if (!*text)
            break;
        size_t code = strcspn(++text, PLAIN_CODE_END);
        fputs("<code>", out);
        html_text(out, text, code);
        fputs("</code>", out);
        text += code;
        text += *text != '\0';
    }
}

static void put_text(FILE *out, const char *text)
{
    html_text(out, text, strlen(text));
}

// ---- Tables --------------------------------------------------------------------------------------

struct html_table {
    const struct doc_column *columns;
    size_t count;
    bool used[DOC_MAX_COLUMNS]; // a column without a value in any row is left out
    size_t head;                // the column that names the row
};

static void look_at_table(struct html_table *table, const struct doc_block *head,
                          const struct doc_block *end)
{
    *table = (struct html_table){.columns = head->columns, .count = head->column_count};
    for (const struct doc_block *row = head + 1; row < end && row->kind == DOC_ROW; row++)
        for (size_t i = 0; i < table->count; i++)
            table->used[i] |= row->cells[i] && row->cells[i][0];
    table->head = table->count;
    for (size_t i = table->count; i-- > 0;)
        if (table->used[i] && table->columns[i].code)
            table->head = i;
}

static const char *class_of(const struct doc_column *column)
{
    return column->right ? " class=\"n\"" : column->code ? " class=\"c\"" : "";
}

static void put_table_head(FILE *out, const struct html_table *table, const char *caption)
{
    fputs("<div class=\"scroll\"><table>\n", out);
    if (caption) {
        fputs("<caption class=\"unseen\">", out);
        put_text(out, caption);
        fputs("</caption>\n", out);
    }
    fputs("<thead><tr>", out);
    for (size_t i = 0; i < table->count; i++) {
        if (!table->used[i])
            continue;
        fprintf(out, "<th scope=\"col\"%s>", class_of(&table->columns[i]));
        put_text(out, table->columns[i].title);
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
}

static void put_row(FILE *out, const struct html_table *table, const struct doc_block *row)
{
    fputs(row->style == DOC_HOT ? "<tr class=\"hot\">" : "<tr>", out);
    for (size_t i = 0; i < table->count; i++) {
        if (!table->used[i])
            continue;
        const struct doc_column *column = &table->columns[i];
        const char *tag = i == table->head ? "th" : "td", *text = row->cells[i];
        fprintf(out, "<%s%s%s data-label=\"", tag, i == table->head ? " scope=\"row\"" : "",
                class_of(column));
        put_text(out, column->title);
        fputs("\">", out);
        put_text(out, text ? text : "");
        fprintf(out, "</%s>", tag);
    }
    fputs("</tr>\n", out);
}

// ---- Blocks --------------------------------------------------------------------------------------

// What neighbouring blocks share: a list, a description list, fixed-width lines, a table.
enum run { RUN_NONE, RUN_LIST, RUN_FACTS, RUN_LINES, RUN_TABLE };

static const char *const run_begins[] = {[RUN_NONE] = "",
                                         [RUN_LIST] = "<ul>\n",
                                         [RUN_FACTS] = "<dl class=\"facts\">\n",
                                         [RUN_LINES] = "<pre>",
                                         [RUN_TABLE] = ""};
static const char *const run_ends[] = {[RUN_NONE] = "",
                                       [RUN_LIST] = "</ul>\n",
                                       [RUN_FACTS] = "</dl>\n",
                                       [RUN_LINES] = "</pre>\n",
                                       [RUN_TABLE] = "</tbody></table></div>\n"};

static enum run run_of(const struct doc_block *block)
{
    switch (block->kind) {
    case DOC_BULLET:
        return block->label && block->label[0] ? RUN_FACTS : RUN_LIST;
    case DOC_LINE:
        return RUN_LINES;
    case DOC_TABLE:
    case DOC_ROW:
        return RUN_TABLE;
    case DOC_TEXT:
    case DOC_HEAD:
        break;
    }
    return RUN_NONE;
}

static void put_line(FILE *out, const struct doc_block *block)
{
    static const char *const classes[] = {[DOC_HOT] = "hot", [DOC_FAINT] = "faint"};
    if (block->style != DOC_NORMAL)
        fprintf(out, "<span class=\"%s\">", classes[block->style]);
    put_text(out, block->text);
    fputs(block->style != DOC_NORMAL ? "</span>\n" : "\n", out);
}

static void put_block(FILE *out, const struct doc_block *block)
{
    switch (block->kind) {
    case DOC_TEXT:
        fputs("<p>", out);
        html_words(out, block->text);
        fputs("</p>\n", out);
        break;
    case DOC_HEAD:
        fprintf(out, "<h3%s>", block->style == DOC_HOT ? " class=\"hot\"" : "");
        html_words(out, block->text);
        fputs("</h3>\n", out);
        break;
    case DOC_BULLET:
        if (block->label && block->label[0]) {
            fputs("<div><dt>", out);
            put_text(out, block->label);
            fputs("</dt><dd>", out);
            html_words(out, block->text);
            fputs("</dd></div>\n", out);
        } else {
            fputs("<li>", out);
            html_words(out, block->text);
            fputs("</li>\n", out);
        }
        break;
    case DOC_LINE:
        put_line(out, block);
        break;
    case DOC_TABLE:
    case DOC_ROW:
        break;
    }
}

static void put_blocks(FILE *out, const struct doc_section *section, const char *caption)
{
    const struct doc_block *block = section->blocks.items;
    const struct doc_block *end = block + doc_end(section, section->keep);
    struct html_table table = {0};
    enum run run = RUN_NONE;
    for (; block < end; block++) {
        enum run wanted = run_of(block);
        if (wanted != run || block->kind == DOC_TABLE) {
            fputs(run_ends[run], out);
            fputs(run_begins[wanted], out);
            run = wanted;
        }
        if (block->kind == DOC_TABLE) {
            look_at_table(&table, block, end);
            put_table_head(out, &table, caption);
        } else if (block->kind == DOC_ROW) {
            put_row(out, &table, block);
        } else {
            put_block(out, block);
        }
    }
    fputs(run_ends[run], out);
}

// ---- Sections ------------------------------------------------------------------------------------

static void put_more(const struct html *html, const struct doc_section *section)
{
    size_t hidden = doc_hidden(section, section->keep);
    if (!hidden || !section->thing)
        return;
    GUARD(plain_deinit) struct plain more = {0};
    plain_count(&more, hidden);
    plain_str(&more, " more ");
    plain_plural(&more, hidden, section->thing);
    fprintf(html->out, "<p class=\"more\">%s%s%s</p>\n", plain_text(&more), html->hints ? "; " : "",
            html->hints ? html->hints : "");
}

// "Threads (CPU: % of one processor)": what stands in parentheses at the end is said below.
static void put_title(FILE *out, const char *title, unsigned number, size_t *ret_size)
{
    size_t size = strlen(title);
    const char *more = strchr(title, '(');
    bool split = more && more > title + 1 && title[size - 1] == ')';
    *ret_size = split ? (size_t)(more - title) - 1 : size;
    fprintf(out, "<h2 id=\"title-%u\">", number);
    html_text(out, title, *ret_size);
    fputs("</h2>\n", out);
    if (split) {
        fputs("<p class=\"of\">", out);
        fputc(toupper((unsigned char)more[1]), out);
        html_text(out, more + 2, strlen(more) - 3);
        fputs("</p>\n", out);
    }
}

void html_section(struct html *html, const struct doc_section *section)
{
    FILE *out = html->out;
    unsigned number = ++html->sections;
    fprintf(out, "<section id=\"%s-%u\"%s%s", section->id ? section->id : "section", number,
            section->id ? " data-part=\"" : "", section->id ? section->id : "");
    fputs(section->id ? "\"" : "", out);
    if (!section->title) {
        fputs(">\n", out);
        put_blocks(out, section, NULL);
    } else {
        size_t size;
        fprintf(out, " aria-labelledby=\"title-%u\">\n", number);
        put_title(out, section->title, number, &size);
        AUTO_FREE char *caption = strndup(section->title, size);
        put_blocks(out, section, caption);
    }
    put_more(html, section);
    fputs("</section>\n", out);
}

// ---- The page ------------------------------------------------------------------------------------

static void put_policy(const struct html *html)
{
    FILE *out = html->out;
    fputs("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "base-uri 'none'; form-action 'none'; script-src",
          out);
    for (size_t i = 0; i < html->script_count; i++)
        fprintf(out, " 'sha256-%s'", html->scripts[i].sha256);
    fprintf(out, "; style-src 'sha256-%s'\">\n", asset_page_css_sha256);
}

size_t html_begin(struct html *html, const struct doc *doc)
{
    FILE *out = html->out;
    const char *title = doc->title ? doc->title : "";
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n", out);
    put_policy(html);
    fputs("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n"
          "<meta name=\"referrer\" content=\"no-referrer\">\n<title>",
          out);
    put_text(out, title);
    fprintf(out, "</title>\n<style>%s</style>\n</head>\n<body>\n", asset_page_css);
    fputs("<a class=\"skip\" href=\"#main\">Skip to the report</a>\n<header>\n<h1>", out);
    html_words(out, title);
    fputs("</h1>\n", out);
    size_t next = 0;
    for (; next < doc->sections.count && !doc->sections.items[next].title; next++)
        put_blocks(out, &doc->sections.items[next], NULL);
    fputs("</header>\n<main id=\"main\">\n", out);
    return next;
}

void html_end(struct html *html)
{
    FILE *out = html->out;
    fputs("</main>\n", out);
    for (size_t i = 0; i < html->script_count; i++)
        fprintf(out, "<script>%s</script>\n", html->scripts[i].text);
    fputs("</body>\n</html>\n", out);
}
