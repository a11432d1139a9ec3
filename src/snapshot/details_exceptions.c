// SPDX-License-Identifier: GPL-3.0-or-later
// The exceptions of a thread: those of its thread states, as values.
#include <stdlib.h>

#include "cpython/exception.h"
#include "snapshot/details_build.h"
#include "util/guard.h"
#include "util/redact.h"

static const enum snap_exception_role roles[] = {
    [PY_EXC_RAISED] = SNAP_EXC_RAISED, [PY_EXC_HANDLED] = SNAP_EXC_HANDLED,
    [PY_EXC_CAUSE] = SNAP_EXC_CAUSE,   [PY_EXC_CONTEXT] = SNAP_EXC_CONTEXT,
    [PY_EXC_MEMBER] = SNAP_EXC_MEMBER,
};

// The text as it may be shown.
static struct err *shown(const struct details_thread *of, struct snap_exception *to, uint32_t *id)
{
    const char *text = strtab_get(of->in->strings, *id);
    if (!text || of->in->show_secrets)
        return NULL;
    size_t size, hidden = 0;
    AUTO_FREE char *safe = redact_bytes(text, strtab_size(of->in->strings, *id), &size, &hidden);
    if (!safe)
        return err_create(ERR_NO_MEMORY, "details");
    if (!hidden)
        return NULL;
    to->hidden = true;
    of->ret->hidden += hidden;
    *id = strtab_add(of->in->strings, safe, size);
    return NULL;
}

static struct err *fill(const struct details_thread *of, const struct py_exception *from,
                        size_t before, struct snap_exception *to)
{
    to->role = roles[from->role];
    to->of = from->of == UINT32_MAX ? UINT32_MAX : (uint32_t)(from->of + before);
    to->type = from->type;
    to->message = from->message;
    to->arguments = from->arguments;
    to->members = from->members;
    to->lines_left_out = from->lines_left_out;
    to->cut = from->cut;
    to->hidden = from->hidden;
    of->ret->hidden += from->hidden;
    TRY(shown(of, to, &to->message));
    TRY(shown(of, to, &to->arguments));
    vec_foreach (note, &from->notes) {
        uint32_t id = *note;
        TRY(shown(of, to, &id));
        if (!vec_push(&to->notes, id))
            return err_create(ERR_NO_MEMORY, "details");
    }
    vec_foreach (line, &from->traceback) {
        struct snap_traceback_line copy = {line->function, line->file, line->line};
        if (!vec_push(&to->traceback, copy))
            return err_create(ERR_NO_MEMORY, "details");
    }
    return NULL;
}

struct err *details_exceptions(const struct details_thread *of)
{
    struct py_exceptions found = {0};
    struct err *err = NULL;
    for (size_t i = 0; i < of->stack_count && of->dec && !err; i++) {
        size_t before = of->ret->exceptions.count;
        err = py_exceptions_read(of->in->process, of->stacks[i], of->in->show_secrets, &found);
        for (size_t k = 0; k < found.count && !err; k++) {
            if (!vec_push(&of->ret->exceptions, (struct snap_exception){0})) {
                err = err_create(ERR_NO_MEMORY, "details");
                break;
            }
            err = fill(of, &found.items[k], before,
                       &of->ret->exceptions.items[of->ret->exceptions.count - 1]);
        }
        py_exceptions_deinit(&found);
    }
    return err;
}
