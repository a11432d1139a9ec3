// SPDX-License-Identifier: GPL-3.0-or-later
// JSON reports in files, as they are or packed by gzip.
#ifndef CLI_DOCUMENT_FILE_H
#define CLI_DOCUMENT_FILE_H

#include "report/document.h"

// *ret is NULL, without an error, when it is no JSON by its first character.
struct err *document_file_read(const char *path, struct report_document **ret);

#endif
