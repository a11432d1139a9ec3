// SPDX-License-Identifier: GPL-3.0-or-later
// A report as a value: sections of sentences, tables and fixed-width lines, without anything of a
// format in it. Pages (page.h) write it, text.c and md.c render it, and the length limit is met
// here, so that it means the same in both.
//
// All text in it is clean (report/plain.h). Building never fails halfway: out of memory sets
// `failed`, which the format reports once at the end.
#ifndef REPORT_DOC_H
#define REPORT_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "report/plain.h"
#include "report/report.h"
#include "util/vec.h"

enum doc_kind {
    DOC_TEXT,   // a paragraph; may hold code marks
    DOC_BULLET, // a sentence under a short label; may hold code marks
    DOC_HEAD,   // a line above fixed-width lines; may hold code marks
    DOC_LINE,   // a fixed-width line; neighbours form one block
    DOC_TABLE,  // the columns of the rows that follow
    DOC_ROW,
};

#define DOC_MAX_COLUMNS 16

enum doc_style { DOC_NORMAL, DOC_HOT, DOC_FAINT };

struct doc_column {
    const char *title;
    bool right;           // aligned to the right
    bool tight;           // close to the column before it
    bool code;            // the target's own text
    enum plain_keep keep; // the end that stays when a cell is too wide
    unsigned least;       // it may shrink to so many columns; 0: never shrinks
    unsigned drop;        // left out on narrow terminals, highest first; 0: never
};

struct doc_block {
    enum doc_kind kind;
    enum doc_style style;
    // How many things it stands for when it is cut; 0: it goes with the block before it.
    size_t counts;
    char *label, *text;
    const struct doc_column *columns; // DOC_TABLE, static
    size_t column_count;
    char **cells; // DOC_ROW: column_count of the table before it
};

struct doc_section {
    char *title;       // NULL: none
    const char *id;    // which part of a report it is, for links; static; NULL: none
    const char *thing; // what a unit is, for "... 12 more functions"; NULL: it is never cut
    unsigned priority; // 0 stays longest
    unsigned share;    // percent of the report it may have when not all fits
    size_t more;       // things that are not in it at all
    size_t keep;       // units that are rendered (doc_fit); SIZE_MAX: all
    VEC(struct doc_block) blocks;
};

struct doc {
    char *title;
    VEC(struct doc_section) sections;
    size_t columns; // of the last table
    bool failed;
};

void doc_deinit(struct doc *doc);

void doc_title(struct doc *doc, const char *title);
void doc_section(struct doc *doc, const char *title, const char *thing, unsigned priority,
                 unsigned share);
// All of these add to the last section, copy the text, and take `counts` as above.
void doc_text(struct doc *doc, const char *text);
void doc_bullet(struct doc *doc, const char *label, const char *text);
void doc_head(struct doc *doc, enum doc_style style, size_t counts, const char *text);
void doc_line(struct doc *doc, enum doc_style style, size_t counts, const char *text);
void doc_table(struct doc *doc, const struct doc_column *columns, size_t count);
// The cells are joined by '\x1f' in `text`: "69\x1fhot\x1fapp.py:10".
void doc_row(struct doc *doc, enum doc_style style, size_t counts, const char *text);
#define DOC_NEXT "\x1f"
// So many more things exist than the last section has.
void doc_more(struct doc *doc, size_t count);

// Units of a section, and the things that are not shown when `keep` of them are.
size_t doc_units(const struct doc_section *section);
size_t doc_hidden(const struct doc_section *section, size_t keep);
// The first block that is not rendered.
size_t doc_end(const struct doc_section *section, size_t keep);

typedef void doc_render_fn(FILE *out, const struct doc_section *section, size_t keep, void *arg);
// Chooses each section's `keep` so that the sections rendered take at most `limit` bytes.
void doc_fit(struct doc *doc, doc_render_fn *render, void *arg, size_t limit);
// "Left out for length: Call tree, ...; --full shows them"; NULL: nothing was. To be freed.
char *doc_left_out(struct doc *doc);

// Any document in a format (text.c, md.c); cut to REPORT_CUT_CHARS, but with options->full.
struct err *doc_as_text(FILE *out, struct doc *doc, const struct report_options *options);
struct err *doc_as_md(FILE *out, struct doc *doc, const struct report_options *options);

#endif
