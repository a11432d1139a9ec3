// SPDX-License-Identifier: GPL-3.0-or-later
// Attributes that a plain path leads to, and calls of them without arguments: see cpython/callsite.h.
#include "callsite_tables.h"

// What lies on top of the stack, as far as it is a path: a variable, and attributes of it.
struct path {
    bool known;
    struct py_method_call call; // the last attribute may be the method
};

static void begin(struct path *path, enum py_name_kind kind, uint32_t index)
{
    path->known = index <= INT32_MAX;
    path->call = (struct py_method_call){.root_kind = kind, .root_index = (int32_t)index};
}

static void add_attribute(struct path *path, uint32_t index)
{
    path->known = path->known && path->call.part_count < PY_METHOD_PARTS_MAX && index <= INT32_MAX;
    if (path->known)
        path->call.parts[path->call.part_count++] = (int32_t)index;
}

// False: it calls with what lies on top.
static bool load(struct path *path, const struct py_instr *instr)
{
    uint32_t index = instr->oparg >> instr->row->param;
    switch ((enum py_role)instr->row->role) {
    case ROLE_LOAD_GLOBAL:
        begin(path, PY_NAME_GLOBAL, index);
        return true;
    case ROLE_LOAD_NAME:
        begin(path, PY_NAME_NAME, instr->oparg);
        return true;
    case ROLE_LOAD_FAST:
        begin(path, PY_NAME_FAST, instr->oparg);
        return true;
    case ROLE_LOAD_FAST_PAIR:
    case ROLE_STORE_LOAD_FAST:
        begin(path, PY_NAME_FAST, instr->oparg & 15);
        return true;
    case ROLE_LOAD_DEREF:
        begin(path, PY_NAME_DEREF, instr->oparg);
        return true;
    case ROLE_LOAD_ATTR:
        add_attribute(path, index);
        return true;
    case ROLE_LOAD_METHOD:
        add_attribute(path, instr->oparg);
        return true;
    case ROLE_PUSH_NULL:
    case ROLE_EXTENDED_ARG:
        return true;
    case ROLE_CALL_METHOD: // PRECALL of 3.11 comes before the call itself
        return instr->row->effect == EFFECT_CONST;
    default:
        return false;
    }
}

static bool is_call(const struct py_instr *instr)
{
    return (instr->row->role == ROLE_CALL || instr->row->role == ROLE_CALL_METHOD ||
            instr->row->role == ROLE_CALL_SELF) &&
           instr->oparg == 0;
}

static bool is_awaited(const struct py_instr_decoder *decoder, uint32_t start)
{
    struct py_instr instr;
    return py_instr_decode(decoder, start, &instr) && instr.row->role == ROLE_AWAIT;
}

void py_callsite_methods(const struct py_bytecode *bc, py_method_call_visit *visit, void *arg)
{
    struct py_instr_decoder decoder;
    struct py_instr instr;
    struct path path = {0};
    if (!py_instr_decoder_init(&decoder, bc))
        return;
    for (uint32_t start = 0; py_instr_decode(&decoder, start, &instr); start = instr.next) {
        uint32_t parts = path.call.part_count;
        bool loads = load(&path, &instr);
        path.call.is_call = !loads && is_call(&instr);
        if (path.known && (path.call.is_call ? parts > 0 : path.call.part_count > parts)) {
            path.call.is_awaited = path.call.is_call && is_awaited(&decoder, instr.next);
            path.call.begin_bytes = 2ull * instr.start;
            path.call.end_bytes = 2ull * instr.next;
            if (!visit(arg, &path.call))
                return;
        }
        path.known &= loads;
    }
}
