// SPDX-License-Identifier: GPL-3.0-or-later
// The answer: the verdict above all else, then the findings with what they rest on. The sentences are
// those of the diagnosis, clean and with their own code marks.
#include <ctype.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

static enum doc_style style_of(enum diag_severity severity)
{
    return severity == DIAG_HIGH ? DOC_HOT : DOC_NORMAL;
}

void page_verdict(struct page *page)
{
    const struct diagnosis *diagnosis = page->input->diagnosis;
    if (!diagnosis || !diagnosis->verdict)
        return;
    bool high = diagnosis_has(diagnosis, DIAG_HIGH);
    doc_section(page->doc, NULL, NULL, 0, 0);
    doc_strong(page->doc, style_of(high ? DIAG_HIGH : DIAG_LOW), diagnosis->verdict);
    if (!diagnosis->fingerprint)
        return;
    GUARD(plain_deinit) struct plain line = {0};
    plain_add(&line, "Fingerprint " PLAIN_CODE "%s" PLAIN_CODE_END, diagnosis->fingerprint);
    if (diagnosis->bucket)
        plain_add(&line, " of " PLAIN_CODE "%s" PLAIN_CODE_END, diagnosis->bucket);
    plain_str(&line, ".");
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}

// The verdict is the first finding's title behind a word.
static bool is_verdict(const struct diagnosis *diagnosis, const char *title)
{
    size_t whole = diagnosis->verdict ? strlen(diagnosis->verdict) : 0, part = strlen(title);
    return part && part <= whole && strcmp(diagnosis->verdict + whole - part, title) == 0;
}

static void add_finding(struct page *page, const struct diag_finding *finding)
{
    const char *severity = diag_severity_name(finding->severity);
    const char *title = finding->title ? finding->title : "";
    GUARD(plain_deinit) struct plain head = {0};
    plain_add(&head, "%c%s (%s, %s): %s", toupper((unsigned char)severity[0]), severity + 1,
              finding->id, snap_certainty_name(finding->certainty),
              is_verdict(page->input->diagnosis, title) ? "the verdict above." : title);
    doc_head(page->doc, style_of(finding->severity), 1, plain_text(&head));
    vec_foreach (text, &finding->evidence)
        if (*text)
            doc_point(page->doc, "", *text);
    if (finding->advice)
        doc_point(page->doc, "To do", finding->advice);
    page->failed |= head.failed;
}

void page_findings(struct page *page)
{
    const struct diagnosis *diagnosis = page->input->diagnosis;
    if (!diagnosis || !diagnosis->findings.count)
        return;
    doc_section(page->doc, "Findings", "finding", 0, 35);
    vec_foreach (finding, &diagnosis->findings)
        add_finding(page, finding);
}
