// SPDX-License-Identifier: GPL-3.0-or-later
// The pages of a comparison: from its values to a document (doc.h), as page.h does for a report.
// A is the first file, B the second: what a sentence says of "hotter" is of B.
#ifndef REPORT_DIFF_PAGE_H
#define REPORT_DIFF_PAGE_H

#include "report/diff.h"
#include "report/doc.h"
#include "report/names.h"

struct diff_page {
    struct doc *doc;
    const struct report_diff *of;
    const struct prof_diff *diff; // NULL: dumps
    const struct report_options *options;
    struct names names[DIFF_SIDES];
    bool draws;  // the format has a place for the flame graph: the section DIFF_GRAPH_ID
    bool failed; // out of memory
};

#define DIFF_GRAPH_ID "difference"

// To be ended by diff_page_deinit() also after an error.
struct err *diff_page_init(struct diff_page *page, struct doc *doc, const struct report_diff *of,
                           const struct report_options *options);
void diff_page_deinit(struct diff_page *page);
void diff_page_fill(struct diff_page *page);

void diff_page_summary(struct diff_page *page);   // diff_summary.c
void diff_page_functions(struct diff_page *page); // diff_functions.c
void diff_page_stacks(struct diff_page *page);    // diff_stacks.c
void diff_page_threads(struct diff_page *page);   // diff_threads.c
void diff_page_waits(struct diff_page *page);     // diff_threads.c
void diff_page_dumps(struct diff_page *page);     // diff_dumps.c
// diff_notes.c: sentences about what makes the two hard to compare. Also for JSON: they go to `say`.
typedef void diff_note_fn(void *arg, const char *note);
void diff_notes(const struct report_diff *of, diff_note_fn *say, void *arg);
void diff_page_notes(struct diff_page *page);

// The function in the run that has it, B's before A's, and the names that go with it.
const struct prof_function *diff_function_of(const struct diff_page *page, uint32_t index,
                                             const struct names **ret_names);
// For sentences, in code marks.
void diff_say_function(struct plain *plain, const struct diff_page *page, uint32_t index);
// Two cells: its name, and its place with the line it had in A where that is another one.
void diff_function_cells(struct plain *plain, const struct diff_page *page, uint32_t index);
// "+29", "-3.2", "0": of a share in points, of a rate as it is; nothing for NAN.
void diff_points(struct plain *plain, double share);
void diff_signed(struct plain *plain, double rate);
// "1.9", "0.13", "0"; nothing for NAN.
void diff_rate(struct plain *plain, double rate);
// "yes", "noise", "rare", "?"
const char *diff_verdict_word(enum diff_verdict verdict);
bool diff_beyond(const struct diff_share *share);
// The default rows of a table in which so many differ by more than noise: all of these, if they are
// not too many.
size_t diff_usual(size_t beyond, size_t usual);
// Rows of a table: --top, all with --full, or the default.
size_t diff_rows(const struct diff_page *page, size_t usual, size_t there);

#endif
