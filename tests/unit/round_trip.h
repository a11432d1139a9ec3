// SPDX-License-Identifier: GPL-3.0-or-later
// JSON reports that are read back, for tests of what documents hold.
#ifndef ROUND_TRIP_H
#define ROUND_TRIP_H

#include "report/document.h"
#include "report_values.h"

// `why`: it must be refused, and the error says so; NULL: it must be read.
static inline struct report_document *read_back(const char *text, const char *why)
{
    struct report_document *document = NULL;
    struct err *err = report_read_json(text, strlen(text), &document);
    if (!why && err)
        fail_msg("%s", err_message(err));
    if (why && (!err || !strstr(err_message(err), why)))
        fail_msg("not refused with \"%s\": %s", why, err ? err_message(err) : "taken");
    err_destroy(err);
    return document;
}

// The document of a report gives the same JSON, text, Markdown and html as the report itself.
static inline void check_round_trip(struct values *v)
{
    static report_fn *const formats[] = {report_json, report_text, report_md, report_html};
    char *text = render(report_json, v);
    assert_non_null(text);
    struct report_document *document = read_back(text, NULL);
    struct values copy = *v;
    copy.input = *report_document_input(document);
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        char *first = render(formats[i], v), *second = render(formats[i], &copy);
        assert_string_equal(second, first);
        free(first);
        free(second);
    }
    report_document_destroy(document);
    free(text);
}

#endif
