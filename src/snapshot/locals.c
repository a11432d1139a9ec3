// SPDX-License-Identifier: GPL-3.0-or-later
// Variables of a thread's Python frames, as text: only where they were asked for (--locals).
#include <string.h>

#include "cpython/locals.h"
#include "cpython/repr.h"
#include "snapshot/details_build.h"
#include "util/guard.h"
#include "util/limits.h"
#include "util/redact.h"

static enum snap_local_kind kind_of(enum py_variable_kind kind)
{
    static const enum snap_local_kind kinds[] = {[PY_VARIABLE_ARGUMENT] = SNAP_ARGUMENT,
                                                 [PY_VARIABLE_LOCAL] = SNAP_LOCAL,
                                                 [PY_VARIABLE_CELL] = SNAP_CELL,
                                                 [PY_VARIABLE_FREE] = SNAP_FREE};
    return kinds[kind];
}

static struct err *add_local(const struct details_thread *of, uint32_t frame,
                             const struct py_variable *variable)
{
    struct strtab *strings = of->in->strings;
    const char *name = strtab_get(strings, variable->name);
    size_t size = strtab_size(strings, variable->name);
    struct py_repr_options options = py_repr_defaults;
    struct py_repr repr;
    options.show_secrets = of->in->show_secrets;
    TRY(py_repr(of->dec, variable->object, name, size, &options, &repr));
    struct snap_local local = {.frame = frame,
                               .name = variable->name,
                               .kind = kind_of(variable->kind),
                               .value = strtab_add(strings, repr.text, repr.size),
                               .hidden = repr.hidden};
    of->ret->hidden += repr.hidden_count;
    py_repr_deinit(&repr);
    return vec_push(&of->ret->locals, local) ? NULL : err_create(ERR_NO_MEMORY, "variables");
}

static struct err *read_frame(const struct details_thread *of, size_t stack, size_t index)
{
    const struct py_frame *frame = &of->stacks[stack]->frames.items[index];
    uint32_t place = details_frame(of, stack, index);
    struct py_variables variables = {0};
    if (!frame->complete || !frame->code_addr || place == UINT32_MAX)
        return NULL;
    // What could not be read is left out.
    struct err *err = py_frame_variables(of->dec, frame, LIMIT_LOCALS_PER_FRAME, &variables);
    bool no_memory = err && err_code(err) == ERR_NO_MEMORY;
    if (!no_memory) {
        err_destroy(err);
        err = NULL;
    }
    for (size_t i = 0; !err && i < variables.count; i++)
        err = add_local(of, place, &variables.items[i]);
    vec_deinit(&variables);
    return err;
}

struct err *details_read_locals(const struct details_thread *of)
{
    if (!of->in->locals || !of->dec)
        return NULL;
    size_t frames = 0;
    for (size_t s = 0; s < of->stack_count; s++)
        for (size_t i = 0; i < of->stacks[s]->frames.count; i++) {
            if (frames++ >= LIMIT_LOCALS_FRAMES || of->ret->locals.count >= LIMIT_LOCALS ||
                strtab_bytes(of->in->strings) > LIMIT_LOCALS_STRINGS_BYTES)
                return NULL;
            TRY(read_frame(of, s, i));
        }
    return NULL;
}
