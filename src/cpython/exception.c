// SPDX-License-Identifier: GPL-3.0-or-later
// Where a thread state keeps its exceptions: see cpython/exception.h. Python/errors.c, ceval.c of
// each version; Include/cpython/pystate.h (_PyErr_StackItem).
#include "cpython/exception.h"

#include <string.h>

#include "cpython/callsite_tables.h"
#include "cpython/exception_parts.h"
#include "util/guard.h"
#include "util/limits.h"

#define TPFLAGS_BASE_EXC_SUBCLASS (1ull << 30)
#define MEMBERS_MAX 5        // of a group
#define STACK_MAX 128        // slots of a value stack that are looked at
#define FRAMES_SEARCHED 2000 // for what is handled

struct reader {
    struct py_process *process;
    struct py_decoder *dec;
    bool show_secrets;
    struct py_exceptions *out;
    size_t begin;   // of this thread state's
    size_t related; // the first whose causes and contexts have not been looked for
};

static bool no_memory(const struct err *err)
{
    return err && err_code(err) == ERR_NO_MEMORY;
}

// What cannot be read is left out.
#define TOLERATE(call)                   \
    do {                                 \
        struct err *tolerated_ = (call); \
        if (no_memory(tolerated_))       \
            return tolerated_;           \
        err_destroy(tolerated_);         \
    } while (0)

static uint64_t field_of(struct reader *r, uint64_t base, enum py_field_id field)
{
    uint64_t value = 0;
    AUTO_ERR struct err *err = py_read(r->dec->mem, &r->dec->layout, base, field, &value);
    return err ? 0 : value;
}

static bool is_exception(struct reader *r, uint64_t object)
{
    struct py_type_info info;
    AUTO_ERR struct err *err = py_type_of(r->dec, object, &info);
    return !err && (info.flags & TPFLAGS_BASE_EXC_SUBCLASS);
}

static bool is_known(const struct reader *r, uint64_t object)
{
    for (size_t i = r->begin; i < r->out->count; i++)
        if (r->out->items[i].addr == object)
            return true;
    return false;
}

static bool is_full(const struct reader *r)
{
    return r->out->count - r->begin >= LIMIT_EXCEPTIONS_PER_THREAD;
}

static struct err *add(struct reader *r, const struct py_exception *exception)
{
    return vec_push(r->out, *exception) ? NULL : err_create(ERR_NO_MEMORY, "exception");
}

// ---- Names of types ------------------------------------------------------------------------------

static struct err *attribute_text(struct py_decoder *dec, uint64_t type, enum py_field_id field,
                                  const char *key, char **ret)
{
    uint64_t object;
    size_t bytes;
    TRY(py_read(dec->mem, &dec->layout, type, field, &object));
    if (key)
        TRY(py_dict_get(dec, object, key, &object));
    return py_str(dec, object, ret, &bytes);
}

// "module.Name" as tracebacks print it.
static struct err *type_name(struct py_decoder *dec, uint64_t type, uint32_t *ret)
{
    struct py_type_info info;
    TRY(py_type_info(dec, type, &info));
    *ret = info.name;
    AUTO_FREE char *module = NULL, *name = NULL, *text = NULL;
    if (!info.heap) {
        // A static type's name has its module in front, but for builtin ones (Objects/typeobject.c).
        return NULL;
    }
    AUTO_ERR struct err *unnamed = attribute_text(dec, type, PY_HT_qualname, NULL, &name);
    AUTO_ERR struct err *homeless = attribute_text(dec, type, PY_TYPE_dict, "__module__", &module);
    if (unnamed)
        return NULL;
    // Lib/traceback.py: the module goes in front, but for these two.
    bool plain = homeless || strcmp(module, "builtins") == 0 || strcmp(module, "__main__") == 0;
    if (asprintf(&text, "%s%s%s", plain ? "" : module, plain ? "" : ".", name) < 0) {
        text = NULL;
        return err_create(ERR_NO_MEMORY, "exception");
    }
    *ret = strtab_add_cstr(dec->strings, text);
    return NULL;
}

// ---- One of them --------------------------------------------------------------------------------

// An object. `traceback` 0: its own.
static struct err *add_object(struct reader *r, uint64_t object, enum py_exception_role role,
                              size_t of, uint64_t traceback)
{
    struct py_type_info type;
    if (!object || is_full(r) || is_known(r, object) || !is_exception(r, object))
        return NULL;
    TRY(add(r, &(struct py_exception){.addr = object,
                                      .role = role,
                                      .of = of == SIZE_MAX ? UINT32_MAX : (uint32_t)of}));
    struct py_exception *to = &r->out->items[r->out->count - 1];
    TOLERATE(py_type_of(r->dec, object, &type));
    TOLERATE(type_name(r->dec, type.addr, &to->type));
    TOLERATE(py_exception_message(r->dec, object, &to->message));
    if (!to->message)
        TOLERATE(py_exception_arguments(r->dec, object, r->show_secrets, to));
    TOLERATE(py_exception_notes(r->dec, object, &to->notes));
    if (!traceback)
        traceback = field_of(r, object, PY_EXC_traceback);
    return py_traceback_read(r->process, traceback, to);
}

// ---- What belongs to them ------------------------------------------------------------------------

static struct err *add_members(struct reader *r, size_t index, uint64_t object)
{
    struct py_type_info type;
    uint64_t members, count;
    if (!py_layout_has(&r->dec->layout, PY_EG_members))
        return NULL;
    AUTO_ERR struct err *err = py_type_of(r->dec, object, &type);
    for (size_t depth = 0; !err && depth < LIMIT_MRO; depth++) {
        if (!type.heap && strtab_is(r->dec->strings, type.name, "BaseExceptionGroup"))
            break;
        uint64_t base = field_of(r, type.addr, PY_TYPE_base);
        if (!base)
            return NULL;
        err = py_type_info(r->dec, base, &type);
    }
    if (!err)
        err = py_read(r->dec->mem, &r->dec->layout, object, PY_EG_members, &members);
    if (!err)
        err = py_expect(r->dec, members, PY_KIND_TUPLE, "exceptions");
    if (!err)
        err = py_read(r->dec->mem, &r->dec->layout, members, PY_TUPLE_size, &count);
    if (err)
        return NULL;
    r->out->items[index].members = count;
    for (size_t i = 0; i < count && i < MEMBERS_MAX; i++) {
        uint64_t member = 0;
        TOLERATE(py_tuple_item(r->dec, members, i, &member));
        TRY(add_object(r, member, PY_EXC_MEMBER, index, 0));
    }
    return NULL;
}

// As Lib/traceback.py prints: a cause hides the context, and so does `from None`.
static struct err *add_related(struct reader *r, size_t index)
{
    uint64_t object = r->out->items[index].addr;
    if (!object)
        return NULL;
    uint64_t cause = field_of(r, object, PY_EXC_cause);
    if (cause && is_exception(r, cause))
        TRY(add_object(r, cause, PY_EXC_CAUSE, index, 0));
    else if (!field_of(r, object, PY_EXC_suppress_context))
        TRY(add_object(r, field_of(r, object, PY_EXC_context), PY_EXC_CONTEXT, index, 0));
    return add_members(r, index, object);
}

// Of one that the thread state has, with all that belongs to it. What it was raised in the handling of
// mostly is handled, too: it is told once, as what it is to the other.
static struct err *add_root(struct reader *r, uint64_t object, enum py_exception_role role,
                            uint64_t traceback)
{
    TRY(add_object(r, object, role, SIZE_MAX, traceback));
    for (; r->related < r->out->count; r->related++)
        TRY(add_related(r, r->related));
    return NULL;
}

// ---- In flight -----------------------------------------------------------------------------------

// Up to 3.11 a type, and a value that becomes an instance when somebody catches it.
static struct err *add_raised_parts(struct reader *r, uint64_t tstate)
{
    uint64_t type = field_of(r, tstate, PY_TS_curexc_type);
    uint64_t value = field_of(r, tstate, PY_TS_curexc_value);
    uint64_t traceback = field_of(r, tstate, PY_TS_curexc_traceback);
    struct py_type_info info;
    if (!type)
        return NULL;
    if (value && is_exception(r, value))
        return add_root(r, value, PY_EXC_RAISED, traceback);
    AUTO_ERR struct err *err = py_type_info(r->dec, type, &info);
    if (err || !(info.flags & TPFLAGS_BASE_EXC_SUBCLASS))
        return NULL;
    TRY(add(r, &(struct py_exception){.role = PY_EXC_RAISED, .of = UINT32_MAX}));
    struct py_exception *to = &r->out->items[r->out->count - 1];
    TOLERATE(type_name(r->dec, type, &to->type));
    TOLERATE(py_exception_message_raw(r->dec, type, value, &to->message));
    return py_traceback_read(r->process, traceback, to);
}

static struct err *add_raised(struct reader *r, uint64_t tstate)
{
    if (!py_layout_has(&r->dec->layout, PY_TS_current_exception))
        return add_raised_parts(r, tstate);
    return add_root(r, field_of(r, tstate, PY_TS_current_exception), PY_EXC_RAISED, 0);
}

// ---- Handled -------------------------------------------------------------------------------------

// 3.7+: a list of items; a generator that runs has put its own in front.
static struct err *add_items(struct reader *r, uint64_t tstate)
{
    uint64_t item = field_of(r, tstate, PY_TS_exc_info);
    for (size_t i = 0; item && i < LIMIT_EXCEPTION_ITEMS && !is_full(r); i++) {
        uint64_t value = field_of(r, item, PY_EI_exc_value);
        TRY(add_root(r, value, PY_EXC_HANDLED, field_of(r, item, PY_EI_exc_traceback)));
        item = field_of(r, item, PY_EI_previous_item);
    }
    return NULL;
}

enum { EXCEPT_HANDLER = 257, BLOCKS_MAX = 20 }; // Include/opcode.h; CO_MAXBLOCKS

// Up to 3.10 (Python/ceval.c): an `except` block keeps on the value stack what was handled before it:
// traceback, value, type. In 3.6 a generator that runs has it in its frame, too (save_exc_state).
static struct err *add_saved(struct reader *r, const struct py_frame *frame)
{
    struct {
        int32_t type, handler, level;
    } blocks[BLOCKS_MAX];
    uint64_t count = field_of(r, frame->addr, PY_FO_iblock);
    uint64_t at = frame->addr + py_offset(&r->dec->layout, PY_FO_blockstack);
    if (count > BLOCKS_MAX)
        count = 0;
    AUTO_ERR struct err *unreadable =
        mem_read(r->dec->mem, at, blocks, (size_t)count * sizeof(blocks[0]));
    for (uint64_t i = unreadable ? 0 : count; i-- > 0;) {
        uint64_t saved[2];
        if (blocks[i].type != EXCEPT_HANDLER || blocks[i].level < 0 ||
            blocks[i].level > LIMIT_FRAME_SLOTS)
            continue;
        AUTO_ERR struct err *err = mem_read(
            r->dec->mem,
            frame->slots_addr + 8 * ((uint64_t)frame->stack_offset + (uint64_t)blocks[i].level),
            saved, sizeof(saved));
        if (!err)
            TRY(add_root(r, saved[1], PY_EXC_HANDLED, saved[0]));
    }
    return add_root(r, field_of(r, frame->addr, PY_FO_exc_value), PY_EXC_HANDLED,
                    field_of(r, frame->addr, PY_FO_exc_traceback));
}

// Slots of the value stack that the handler of an exception raised now would leave there: 0 for most.
static size_t slots_kept(struct reader *r, const struct py_frame *frame, const struct py_code *code)
{
    const struct py_bytecode bytecode = {.version = r->dec->layout.version,
                                         .exception_table = code->exception_table,
                                         .exception_table_size = code->exception_table_bytes};
    uint32_t unit = (uint32_t)frame->offset_bytes / 2;
    struct py_handler handler;
    size_t at = 0, kept = 0;
    if (frame->offset_bytes < 0 || !py_codes_may_walk(r->dec->codes, code->exception_table_bytes))
        return 0;
    while (py_handler_next(&bytecode, &at, &handler) && handler.start <= unit)
        if (unit < handler.end)
            kept = handler.kept;
    return kept < STACK_MAX ? kept : STACK_MAX;
}

// 3.11+: an `except` block keeps what was handled before it (PUSH_EXC_INFO) below what its own handler
// would leave. There, in full statements, lies no exception for another reason.
static struct err *add_pushed(struct reader *r, const struct py_frame *frame)
{
    uint64_t slots[STACK_MAX];
    struct py_code *code;
    AUTO_ERR struct err *err = py_code_get(r->dec, frame->code_addr, &code);
    if (err)
        return NULL;
    size_t count = slots_kept(r, frame, code);
    count =
        mem_read_some(r->dec->mem, frame->slots_addr + 8ull * code->slot_count, slots, count * 8) /
        8;
    while (count-- > 0)
        TRY(add_root(r, py_untag(r->dec, slots[count]), PY_EXC_HANDLED, 0));
    return NULL;
}

static struct err *add_handled(struct reader *r, const struct py_stack *stack)
{
    uint64_t tstate = stack->thread.tstate;
    if (py_layout_has(&r->dec->layout, PY_TS_exc_info))
        TRY(add_items(r, tstate));
    else
        TRY(add_root(r, field_of(r, tstate, PY_TS_exc_value), PY_EXC_HANDLED,
                     field_of(r, tstate, PY_TS_exc_traceback)));
    // What is handled further out has something that is handled in it, which came first.
    bool blocks = py_layout_has(&r->dec->layout, PY_FO_blockstack);
    bool any = r->out->count > r->begin;
    for (size_t i = 0; any && i < stack->frames.count && i < FRAMES_SEARCHED && !is_full(r); i++)
        TRY(blocks ? add_saved(r, &stack->frames.items[i])
                   : add_pushed(r, &stack->frames.items[i]));
    return NULL;
}

struct err *py_exceptions_read(struct py_process *process, const struct py_stack *stack,
                               bool show_secrets, struct py_exceptions *ret)
{
    struct reader reader = {process, &process->dec, show_secrets, ret, ret->count, ret->count};
    TRY(add_raised(&reader, stack->thread.tstate));
    return add_handled(&reader, stack);
}

struct err *py_exception_read(struct py_process *process, uint64_t object, bool show_secrets,
                              struct py_exceptions *ret)
{
    struct reader reader = {process, &process->dec, show_secrets, ret, ret->count, ret->count};
    return add_root(&reader, object, PY_EXC_HANDLED, 0);
}

void py_exceptions_deinit(struct py_exceptions *exceptions)
{
    vec_foreach (exception, exceptions) {
        vec_deinit(&exception->notes);
        vec_deinit(&exception->traceback);
    }
    vec_deinit(exceptions);
}
