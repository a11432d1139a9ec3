// SPDX-License-Identifier: GPL-3.0-or-later
// What the two files of the JSON reader share.
#ifndef REPORT_JSON_SCAN_H
#define REPORT_JSON_SCAN_H

#include "report/json_reader.h"

void json_scan_blanks(struct json_reader *in);
bool json_scan_char(struct json_reader *in, char wanted);
bool json_scan_word(struct json_reader *in, const char *word);
// At the first character of such a value; a fault, and false, where there is another one.
bool json_scan_expect(struct json_reader *in, enum json_type wanted);

#endif
