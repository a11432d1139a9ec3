// SPDX-License-Identifier: GPL-3.0-or-later
// Which methods a code object calls on its variables and their attributes, and whether it goes round in a
// loop: read off the code, in its order. What a call leads to is not followed.
#include <stdlib.h>

#include "callsite_tables.h"
#include "util/guard.h"

// What the value on top of the stack was loaded from: a variable, and attributes of it.
struct chain {
    bool valid;
    enum py_name_kind base;
    int32_t base_index, attrs[PY_USE_ATTRS_MAX];
    uint32_t attr_count;
};

// A value that is no such path ends the one before; what does nothing of its own does not.
static bool is_silent(const struct py_instr *instr)
{
    return instr->row->role == ROLE_EXTENDED_ARG || instr->row->role == ROLE_PUSH_NULL;
}

static struct chain variable(enum py_name_kind base, uint32_t index)
{
    return (struct chain){.valid = index <= INT32_MAX, .base = base, .base_index = (int32_t)index};
}

// Follows one instruction. *ret_method: the name of a method that it loads from what the chain was
// before; -1: it loads none.
static void follow(struct chain *chain, const struct py_instr *instr, int32_t *ret_method)
{
    uint32_t index = instr->oparg >> instr->row->param;
    *ret_method = -1;
    switch ((enum py_role)instr->row->role) {
    case ROLE_LOAD_FAST:
        *chain = variable(PY_NAME_FAST, instr->oparg);
        return;
    case ROLE_LOAD_FAST_PAIR:
    case ROLE_STORE_LOAD_FAST:
        *chain = variable(PY_NAME_FAST, instr->oparg & 15);
        return;
    case ROLE_LOAD_DEREF:
        *chain = variable(PY_NAME_DEREF, instr->oparg);
        return;
    case ROLE_LOAD_GLOBAL:
        *chain = variable(PY_NAME_GLOBAL, index);
        return;
    case ROLE_LOAD_NAME:
        *chain = variable(PY_NAME_NAME, instr->oparg);
        return;
    case ROLE_LOAD_ATTR:
    case ROLE_LOAD_METHOD:
        // 3.6: methods are loaded as attributes, so each attribute may be one.
        if (chain->valid && index <= INT32_MAX)
            *ret_method = (int32_t)index;
        return;
    default:
        if (!is_silent(instr))
            chain->valid = false;
    }
}

static void add_attribute(struct chain *chain, int32_t name)
{
    if (chain->attr_count < PY_USE_ATTRS_MAX)
        chain->attrs[chain->attr_count++] = name;
    else
        chain->valid = false;
}

static bool is_call(const struct py_instr *instr)
{
    return instr->row->role == ROLE_CALL || instr->row->role == ROLE_CALL_METHOD ||
           instr->row->role == ROLE_CALL_SELF;
}

// The call of a method that was just loaded, if it has no arguments, and whether its result is dropped.
// 3.11 calls by two instructions (PRECALL, CALL).
static bool plain_call(const struct py_instr_decoder *decoder, const struct py_instr *load,
                       struct py_instr *ret, bool *ret_dropped)
{
    struct py_instr next;
    bool found = false;
    for (uint32_t start = load->next; py_instr_decode(decoder, start, &next); start = next.next) {
        if (is_silent(&next))
            continue;
        if (!is_call(&next) || next.oparg) {
            *ret_dropped = found && next.row->role == ROLE_DROP && py_instr_effect(&next) == -1;
            return found;
        }
        *ret = next;
        found = true;
    }
    return false;
}

// No way leads from before `use` to `now` that passes it by: no jump, and no handler.
static bool is_certain(const struct py_bytecode *bc, const struct py_instr_decoder *decoder,
                       const struct py_instr *use, const struct py_instr *now)
{
    struct py_instr instr;
    struct py_handler handler;
    size_t offset = 0;
    for (uint32_t start = 0; start < use->start && py_instr_decode(decoder, start, &instr);
         start = instr.next) {
        int64_t target = py_instr_jumps(&instr) ? py_instr_target(decoder, &instr) : -1;
        if (target > use->start && target <= now->start)
            return false;
    }
    while (py_handler_next(bc, &offset, &handler))
        if (handler.start <= use->start && handler.target > use->start &&
            handler.target <= now->start)
            return false;
    return true;
}

bool py_callsite_uses(const struct py_bytecode *bc, size_t offset_bytes, py_method_use_fn *visit,
                      void *arg)
{
    struct py_instr_decoder decoder;
    struct py_instr instr, now, call;
    struct chain chain = {0};
    size_t certain = 0;
    if (!py_instr_decoder_init(&decoder, bc) || offset_bytes >= bc->size_bytes ||
        !py_instr_owner(&decoder, (uint32_t)(offset_bytes / 2), &now))
        return false;
    for (uint32_t start = 0; py_instr_decode(&decoder, start, &instr); start = instr.next) {
        int32_t method;
        follow(&chain, &instr, &method);
        if (method < 0)
            continue;
        struct py_method_use use = {
            .base = chain.base,
            .base_index = chain.base_index,
            .attr_count = chain.attr_count,
            .method = method,
            .when = instr.start < now.start ? PY_USE_MAYBE : PY_USE_LATER,
        };
        for (uint32_t i = 0; i < chain.attr_count; i++)
            use.attrs[i] = chain.attrs[i];
        use.plain = plain_call(&decoder, &instr, &call, &use.dropped);
        if (use.plain && call.start >= now.start && instr.start < now.start)
            use.when = PY_USE_NOW;
        else if (use.plain && use.dropped && use.when == PY_USE_MAYBE &&
                 certain++ < PY_USES_CERTAIN_MAX && is_certain(bc, &decoder, &instr, &now))
            use.when = PY_USE_CERTAIN;
        if (!visit(arg, &use))
            return true;
        add_attribute(&chain, method);
    }
    return true;
}

struct search {
    const struct py_instr_decoder *decoder;
    uint8_t *met;   // by unit
    uint32_t *open; // whose successors were not looked at so far
    uint32_t count;
};

static void meet(struct search *search, int64_t unit)
{
    if (unit < 0 || unit >= search->decoder->units || search->met[unit])
        return;
    search->met[unit] = 1;
    search->open[search->count++] = (uint32_t)unit;
}

// Follows what runs without an exception: a handler that jumps back to behind its block is no loop.
static bool comes_back(struct search *search, const struct py_instr *from)
{
    struct py_instr instr = *from;
    for (;;) {
        if (instr.row->jump == JUMP_EXECUTOR) // what it hides is a jump back, nearly always
            return true;
        if (py_instr_jumps(&instr))
            meet(search, py_instr_target(search->decoder, &instr));
        if (py_instr_falls_through(&instr))
            meet(search, instr.next);
        if (search->met[from->start])
            return true;
        do {
            if (!search->count)
                return false;
        } while (!py_instr_decode(search->decoder, search->open[--search->count], &instr));
    }
}

bool py_callsite_in_loop(const struct py_bytecode *bc, size_t offset_bytes)
{
    struct py_instr_decoder decoder;
    struct py_instr now;
    if (!py_instr_decoder_init(&decoder, bc) || offset_bytes >= bc->size_bytes ||
        !py_instr_owner(&decoder, (uint32_t)(offset_bytes / 2), &now))
        return false;
    AUTO_FREE uint8_t *met = calloc(decoder.units, 1);
    AUTO_FREE uint32_t *open = calloc(decoder.units, sizeof(*open));
    struct search search = {.decoder = &decoder, .met = met, .open = open};
    return met && open && comes_back(&search, &now);
}
