// SPDX-License-Identifier: GPL-3.0-or-later
// Traceback objects: a list from the outermost frame to the one that raised
// (Include/cpython/traceback.h, Python/traceback.c).
#include "cpython/exception_parts.h"
#include "util/guard.h"
#include "util/limits.h"

#define KEPT_OUTER 100
#define KEPT_INNER 400

VEC_DEFINE(places, uint64_t);

static bool is_traceback(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info info;
    AUTO_ERR struct err *err = py_type_of(dec, object, &info);
    return !err && !info.heap && strtab_is(dec->strings, info.name, "traceback");
}

// Addresses of all entries. A list in damaged memory may be a ring.
static bool walk(struct py_process *process, uint64_t at, struct places *ret, bool *ret_cut)
{
    struct py_decoder *dec = &process->dec;
    while (at && !*ret_cut) {
        uint64_t next = 0;
        AUTO_ERR struct err *err = NULL;
        if (++process->tracebacks_walked > LIMIT_TRACEBACK_LINES_PER_SNAPSHOT ||
            ret->count >= LIMIT_TRACEBACK_LINES || !is_traceback(dec, at)) {
            *ret_cut = true;
            break;
        }
        if (!vec_push(ret, at))
            return false;
        err = py_read(dec->mem, &dec->layout, at, PY_TB_next, &next);
        *ret_cut = err != NULL;
        at = next;
    }
    return true;
}

static struct err *code_of_frame(struct py_decoder *dec, uint64_t frame, struct py_code **ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t code;
    if (py_layout_has(lay, PY_FO_frame)) {
        // 3.11+: the frame object has the interpreter's frame, or a copy of it when that is gone.
        TRY(py_read(dec->mem, lay, frame, PY_FO_frame, &frame));
        TRY(py_read(dec->mem, lay, frame, PY_IF_code, &code));
        code = py_untag(dec, code);
    } else {
        TRY(py_read(dec->mem, lay, frame, PY_FO_code, &code));
    }
    return py_code_get(dec, code, ret);
}

static struct err *read_line(struct py_decoder *dec, uint64_t at, struct py_traceback_line *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t frame, lasti, line;
    struct py_code *code;
    TRY(py_read(dec->mem, lay, at, PY_TB_line, &line));
    if ((int32_t)line > 0)
        ret->line = (int32_t)line;
    TRY(py_read(dec->mem, lay, at, PY_TB_lasti, &lasti));
    TRY(py_read(dec->mem, lay, at, PY_TB_frame, &frame));
    TRY(code_of_frame(dec, frame, &code));
    ret->function = code->name;
    ret->file = code->file;
    // 3.12+ works it out when it is first asked for; tb_lasti counts bytes in all versions.
    if (ret->line < 0)
        ret->line = py_code_line(dec, code, (int32_t)lasti).line;
    return NULL;
}

struct err *py_traceback_read(struct py_process *process, uint64_t traceback,
                              struct py_exception *ret)
{
    struct py_decoder *dec = &process->dec;
    struct places places = {0};
    if (!traceback || !is_traceback(dec, traceback))
        return NULL;
    bool ok = walk(process, traceback, &places, &ret->cut);
    for (size_t i = 0; ok && i < places.count; i++) {
        struct py_traceback_line line = {.line = -1};
        if (i >= KEPT_OUTER && places.count - i > KEPT_INNER) {
            ret->lines_left_out++;
            continue;
        }
        AUTO_ERR struct err *err = read_line(dec, places.items[i], &line);
        ok = vec_push(&ret->traceback, line);
    }
    vec_deinit(&places);
    return ok ? NULL : err_create(ERR_NO_MEMORY, "traceback");
}
