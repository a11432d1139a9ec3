// SPDX-License-Identifier: GPL-3.0-or-later
// A JSON report (schema "pycore/1") read back into the values that it was written from, so that it
// can be rendered in any format. What report_json() writes of them is the same document.
//
// The text is hostile: every number, index and depth meets a bound. Fields that are not known are
// skipped (a newer pycore wrote them); what is missing is as if it had been null.
#ifndef REPORT_DOCUMENT_H
#define REPORT_DOCUMENT_H

#include "report/report.h"

struct report_document;

// `bytes` may be freed afterwards. The error says in one line what is wrong, and in which line.
struct err *report_read_json(const char *bytes, size_t size, struct report_document **ret);
void report_document_destroy(struct report_document *document);

// Valid as long as the document. Its source_reader answers from the lines that the document has.
// All notes are in input->notes, none in those of the source.
const struct report_input *report_document_input(const struct report_document *document);
// For what adds to it: the table of its strings.
struct strtab *report_document_strings(struct report_document *document);
// The snapshots of its input, for who leaves threads out of them.
struct snapshot *const *report_document_snapshots(struct report_document *document);
// A profile that has its snapshots, or its time line, beside it.
bool report_document_has_snapshots(const struct report_document *document);

#endif
