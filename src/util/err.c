// SPDX-License-Identifier: GPL-3.0-or-later
// Error objects: see util/err.h.
#include "util/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct err {
    enum err_code code;
    bool has_range;
    uint64_t addr, size;
    char *message; // NULL for a fault until somebody asks
    char fault_text[80];
};

static struct err no_memory = {.code = ERR_NO_MEMORY, .fault_text = "out of memory"};

static struct err *create(enum err_code code, char *message)
{
    struct err *err = calloc(1, sizeof(*err));
    if (!err || !message) {
        free(err);
        free(message);
        return &no_memory;
    }
    err->code = code;
    err->message = message;
    return err;
}

struct err *err_create(enum err_code code, const char *fmt, ...)
{
    char *message = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&message, fmt, args) < 0)
        message = NULL;
    va_end(args);
    return create(code, message);
}

static enum err_code code_of_errno(int errno_value)
{
    switch (errno_value) {
    case EPERM:
    case EACCES:
        return ERR_PERMISSION;
    case ESRCH:
        return ERR_GONE;
    case EFAULT:
        return ERR_FAULT;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case ENOENT:
        return ERR_NOT_FOUND;
    default:
        return ERR_OS;
    }
}

struct err *err_os(int errno_value, const char *fmt, ...)
{
    char *what = NULL, *message = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&what, fmt, args) < 0)
        what = NULL;
    va_end(args);
    if (!what || asprintf(&message, "%s: %s", what, strerror(errno_value)) < 0)
        message = NULL;
    free(what);
    return create(code_of_errno(errno_value), message);
}

struct err *err_fault(uint64_t addr, uint64_t size)
{
    struct err *err = calloc(1, sizeof(*err));
    if (!err)
        return &no_memory;
    err->code = ERR_FAULT;
    err->has_range = true;
    err->addr = addr;
    err->size = size;
    return err;
}

struct err *err_wrap(struct err *inner, const char *fmt, ...)
{
    if (!inner || inner == &no_memory)
        return inner;
    char *context = NULL, *message = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&context, fmt, args) < 0)
        context = NULL;
    va_end(args);
    if (context && asprintf(&message, "%s: %s", context, err_message(inner)) >= 0) {
        free(inner->message);
        inner->message = message;
    }
    free(context);
    return inner;
}

void err_destroy(struct err *err)
{
    if (!err || err == &no_memory)
        return;
    free(err->message);
    free(err);
}

enum err_code err_code(const struct err *err)
{
    return err->code;
}

const char *err_message(const struct err *err)
{
    if (err->message)
        return err->message;
    if (err->has_range) {
        // Written late because most faults are only ever counted; the buffer is the object's own.
        struct err *self = (struct err *)err;
        snprintf(self->fault_text, sizeof(self->fault_text),
                 "%llu bytes at 0x%llx are not readable", (unsigned long long)err->size,
                 (unsigned long long)err->addr);
    }
    return err->fault_text;
}

bool err_fault_range(const struct err *err, uint64_t *ret_addr, uint64_t *ret_size)
{
    if (!err->has_range)
        return false;
    *ret_addr = err->addr;
    *ret_size = err->size;
    return true;
}
