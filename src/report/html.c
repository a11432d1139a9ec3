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
    for (size_t i = html_begin(&html, &doc); i < doc.sections.count; i++) {
        const struct doc_section *section = &doc.sections.items[i];
        html_section(&html, section);
        if (input->profile && section->id && strcmp(section->id, "threads") == 0) {
            fputs(asset_profile_html, out);
            TRY(html_data(out, input, options));
        }
    }
    html_end(&html);
    return page_finish(&doc, out);
}
