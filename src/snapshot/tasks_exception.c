// SPDX-License-Identifier: GPL-3.0-or-later
// The exception of a finished task, as one text: see tasks.h.
#include <stdio.h>

#include "cpython/exception.h"
#include "snapshot/tasks.h"
#include "util/guard.h"
#include "util/redact.h"

// "ValueError: message", or with arguments where only the program's own code would tell the message.
static uint32_t text_of(const struct tasks *tasks, const struct py_exception *exception)
{
    struct strtab *strings = tasks->in->strings;
    const char *type = strtab_get(strings, exception->type);
    const char *message = strtab_get(strings, exception->message);
    const char *arguments = strtab_get(strings, exception->arguments);
    AUTO_FREE char *text = NULL, *safe = NULL;
    size_t size, hidden;
    int length =
        asprintf(&text, "%s%s%s%s", type ? type : "exception", message && *message ? ": " : "",
                 message ? message : "", !message && arguments ? arguments : "");
    if (length < 0) {
        text = NULL;
        return 0;
    }
    if (tasks->in->show_secrets)
        return strtab_add(strings, text, (size_t)length);
    safe = redact_bytes(text, (size_t)length, &size, &hidden);
    return safe ? strtab_add(strings, safe, size) : 0;
}

struct err *tasks_exception(struct tasks *tasks, uint64_t object, uint32_t *ret)
{
    struct py_exceptions found = {0};
    struct err *err =
        py_exception_read(tasks->in->process, object, tasks->in->show_secrets, &found);
    if (!err && found.count)
        *ret = text_of(tasks, &found.items[0]);
    py_exceptions_deinit(&found);
    return err;
}
