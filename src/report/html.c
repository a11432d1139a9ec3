// SPDX-License-Identifier: GPL-3.0-or-later
// The report as one HTML file: the document that text and Markdown show, and for a profile the parts
// that a reader can ask: flame graph, functions, lines, snapshots (assets/profile.html). These are
// made by scripts from data that the page carries (html_data.c); without scripts the document's
// own tables and its call tree say the same.
#include <string.h>

#include "report/html_data.h"
#include "report/html_doc.h"
#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS 100 // of each table
#define LINE_COLUMNS 140

#define SCRIPT(name)                                \
    {                                               \
        asset_##name##_js, asset_##name##_js_sha256 \
    }
static const struct html_script profile_scripts[] = {
    SCRIPT(model), SCRIPT(tree), SCRIPT(flame), SCRIPT(functions), SCRIPT(moments), SCRIPT(page),
};

// What a reader wants before anything can be asked: in the first screen or two.
static bool is_overview(const struct doc_section *section)
{
    return section->id &&
           (strcmp(section->id, "findings") == 0 || strcmp(section->id, "crash") == 0 ||
            strcmp(section->id, "waits") == 0 || strcmp(section->id, "summary") == 0 ||
            strcmp(section->id, "threads") == 0 || strcmp(section->id, "tasks-by-cpu") == 0 ||
            strcmp(section->id, "by-thread") == 0);
}

struct err *report_html(FILE *out, const struct report_input *input,
                        const struct report_options *options)
{
    struct report_options roomy = *options;
    roomy.top = options->top || options->full ? options->top : USUAL_ROWS;
    roomy.width = LINE_COLUMNS;
    roomy.table = true;
    GUARD(doc_deinit) struct doc doc = {0};
    TRY(page_build(&doc, input, &roomy));
    struct html html = {.out = out,
                        .scripts = input->profile ? profile_scripts : &html_page_script,
                        .script_count = input->profile ? ARRAY_SIZE(profile_scripts) : 1,
                        .hints = "--full shows them"};
    size_t next = html_begin(&html, &doc);
    for (; next < doc.sections.count && is_overview(&doc.sections.items[next]); next++)
        html_section(&html, &doc.sections.items[next]);
    if (input->profile) {
        fputs(asset_profile_html, out);
        TRY(html_data(out, input, options));
    }
    for (; next < doc.sections.count; next++)
        html_section(&html, &doc.sections.items[next]);
    html_end(&html);
    return page_finish(&doc, out);
}
