// SPDX-License-Identifier: GPL-3.0-or-later
// A document (doc.h) as a page of HTML: one file that asks for nothing from elsewhere, made of
// headings, lists and tables that read without its scripts. What a page has beside the document's
// sections, its format puts between them.
//
// Scripts and styles are fixed text of ours, let in by their hashes: a name that slipped through the
// escaping could still run nothing. Nothing has a style attribute, for the same reason.
#ifndef REPORT_HTML_DOC_H
#define REPORT_HTML_DOC_H

#include <stdio.h>

#include "report/assets.h"
#include "report/doc.h"

struct html_script {
    const char *text, *sha256; // of the assets
};

struct html {
    FILE *out;
    const struct html_script *scripts; // that the page ends with, in order
    size_t script_count;
    unsigned sections; // written so far
    const char *hints; // what mends a table that is cut: "--top or --full shows them"; NULL
};

// For a page without others: theme, links to the sections, tables that sort, search.
extern const struct html_script html_page_script;

// Everything before the first section but the untitled ones that a doc may begin with: these are
// written as part of the heading. Returns the index of the section to go on with.
size_t html_begin(struct html *html, const struct doc *doc);
void html_section(struct html *html, const struct doc_section *section);
void html_end(struct html *html);

// The target's text, escaped for content and for quoted attributes.
void html_text(FILE *out, const char *text, size_t size);
// The same for a sentence that may hold code marks (report/plain.h).
void html_words(FILE *out, const char *text);

#endif
