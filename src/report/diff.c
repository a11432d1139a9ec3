// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison in the formats it is written in.
#include "report/diff.h"

#include <string.h>

#include "report/diff_flame.h"
#include "report/diff_json.h"
#include "report/diff_page.h"
#include "report/html_doc.h"
#include "report/page.h"
#include "util/guard.h"

#define HTML_ROWS 100 // of each table
#define HTML_COLUMNS 140

static struct err *build(struct doc *doc, const struct report_diff *diff,
                         const struct report_options *options)
{
    GUARD(diff_page_deinit) struct diff_page page;
    TRY(diff_page_init(&page, doc, diff, options));
    diff_page_fill(&page);
    return NULL;
}

static struct err *as_text(FILE *out, const struct report_diff *diff,
                           const struct report_options *options)
{
    GUARD(doc_deinit) struct doc doc = {0};
    TRY(build(&doc, diff, options));
    return doc_as_text(out, &doc, options);
}

static struct err *as_md(FILE *out, const struct report_diff *diff,
                         const struct report_options *options)
{
    GUARD(doc_deinit) struct doc doc = {0};
    TRY(build(&doc, diff, options));
    return doc_as_md(out, &doc, options);
}

static struct err *as_html(FILE *out, const struct report_diff *diff,
                           const struct report_options *options)
{
    struct report_options roomy = *options;
    roomy.top = options->top || options->full ? options->top : HTML_ROWS;
    roomy.width = HTML_COLUMNS;
    GUARD(doc_deinit) struct doc doc = {0};
    GUARD(diff_page_deinit) struct diff_page page;
    TRY(diff_page_init(&page, &doc, diff, &roomy));
    page.draws = true;
    diff_page_fill(&page);
    struct html html = {
        .out = out, .scripts = &html_page_script, .script_count = 1, .hints = "--full shows them"};
    for (size_t i = html_begin(&html, &doc); i < doc.sections.count; i++) {
        const struct doc_section *section = &doc.sections.items[i];
        html_section(&html, section);
        if (section->id && strcmp(section->id, DIFF_GRAPH_ID) == 0)
            doc.failed |= !diff_flame(out, &page);
    }
    html_end(&html);
    return page_finish(&doc, out);
}

const char *const report_diff_formats[] = {"text", "md", "json", "html", NULL};

report_diff_fn *report_diff_format(const char *name)
{
    static report_diff_fn *const renderers[] = {as_text, as_md, diff_json, as_html};
    for (size_t i = 0; i < ARRAY_SIZE(renderers); i++)
        if (strcmp(report_diff_formats[i], name) == 0)
            return renderers[i];
    return NULL;
}
