// SPDX-License-Identifier: GPL-3.0-or-later
// Finds the instruction that put the callable of a call on the stack, and the name it loads: the
// last one before the call, in the order of the code, that writes the callable's slot, provided
// that no jump from elsewhere comes in between.
#include "callsite_tables.h"

// Which values an instruction takes off and which name each value it pushes has.
struct load {
    bool is_load;
    bool null; // the lowest value may be NULL (3.11, 3.12: then the callable is one above)
    uint32_t pops;
    uint32_t pushes;
    struct {
        enum py_name_kind kind;
        int32_t index;
    } names[2]; // of the values pushed, lowest first
};

static int32_t to_index(uint32_t oparg)
{
    return oparg <= INT32_MAX ? (int32_t)oparg : -1;
}

// Loads whose row has no shift push one value, named by the whole oparg.
static struct load plain_load(enum py_name_kind kind, uint32_t pops, uint32_t oparg)
{
    return (struct load){true, false, pops, 1, {{kind, to_index(oparg)}}};
}

// With the low bit of the oparg set they push two: callable and NULL or self in either order.
// Both get the name: who asks for the slot of the callable gets it right.
static struct load pair_load(enum py_name_kind kind, uint32_t pops, uint32_t index, bool pair)
{
    return (struct load){
        true, pair, pops, pair ? 2 : 1, {{kind, to_index(index)}, {kind, to_index(index)}}};
}

static struct load load_fast(const struct py_instr *instr)
{
    uint32_t oparg = instr->oparg;

    if (instr->row->role == ROLE_LOAD_FAST_PAIR)
        return (struct load){
            true, false, 0, 2, {{PY_NAME_FAST, to_index(oparg >> 4)}, {PY_NAME_FAST, oparg & 15}}};
    if (instr->row->role == ROLE_STORE_LOAD_FAST)
        return plain_load(PY_NAME_FAST, 1, oparg & 15);
    return plain_load(PY_NAME_FAST, 0, oparg);
}

static struct load load_of(const struct py_instr *instr)
{
    uint32_t oparg = instr->oparg;
    uint32_t shift = instr->row->param;
    bool bit = shift > 0 && (oparg & 1);

    switch ((enum py_role)instr->row->role) {
    case ROLE_LOAD_GLOBAL:
        return pair_load(PY_NAME_GLOBAL, 0, oparg >> shift, bit);
    case ROLE_LOAD_NAME:
        return plain_load(PY_NAME_NAME, 0, oparg);
    case ROLE_LOAD_DICT_NAME:
        return plain_load(PY_NAME_NAME, 1, oparg);
    case ROLE_LOAD_DICT_DEREF:
        return plain_load(PY_NAME_DEREF, 1, oparg);
    case ROLE_LOAD_ATTR:
        return pair_load(bit ? PY_NAME_METHOD : PY_NAME_ATTR, 1, oparg >> shift, bit);
    case ROLE_LOAD_METHOD:
        return pair_load(PY_NAME_METHOD, 1, oparg, true);
    case ROLE_LOAD_SUPER:
        return pair_load(PY_NAME_SUPER, 3, oparg >> shift, bit);
    case ROLE_LOAD_FAST:
    case ROLE_LOAD_FAST_PAIR:
    case ROLE_STORE_LOAD_FAST:
        return load_fast(instr);
    case ROLE_LOAD_DEREF:
        return plain_load(PY_NAME_DEREF, 0, oparg);
    case ROLE_LOAD_CONST:
        return plain_load(PY_NAME_CONST, 0, oparg);
    case ROLE_LOAD_SPECIAL:
        return pair_load(PY_NAME_SPECIAL, 1, oparg, true);
    case ROLE_ENTER_EXIT: // leaves the exit function below the result of the enter function
    case ROLE_ENTER_MANAGER:
        return (struct load){
            true, false, 1, 2, {{PY_NAME_SPECIAL, instr->row->param + 1}, {PY_NAME_UNKNOWN, -1}}};
    case ROLE_BUILD_CLASS:
        return (struct load){true, false, 0, 1, {{PY_NAME_BUILD_CLASS, -1}}};
    case ROLE_PUSH_NULL:
        return (struct load){true, true, 0, 1, {{PY_NAME_UNKNOWN, -1}}};
    default:
        return (struct load){false, false, 0, 0, {{PY_NAME_UNKNOWN, -1}}};
    }
}

// Whether a non-loading instruction may change the slot, from the depth before and after it.
static bool may_write(const struct py_instr *instr, int64_t before, int64_t after, int64_t slot)
{
    if (instr->row->role == ROLE_SHUFFLE)
        return before - (instr->row->param ? instr->row->param : (int64_t)instr->oparg) <= slot;
    if (before <= slot || after <= slot)
        return true;
    return after == slot + 1 && instr->row->role != ROLE_DROP &&
           instr->row->role != ROLE_EXTENDED_ARG && instr->row->jump == JUMP_NEXT;
}

// Depth before the instruction on the path that entered its finally blocks as the call's path
// did. False: never reached, or only differently (*different).
static bool depth_before(const struct py_callsite_depths *depths, uint32_t unit, uint32_t entries,
                         int64_t *ret, bool *different)
{
    struct py_depth at[PY_DEPTHS_OF_UNIT_MAX];
    uint32_t count = py_depths_of_unit(depths, unit, at);
    bool found = false;

    for (uint32_t i = 0; i < count; i++) {
        if (at[i].entries != entries)
            continue;
        *different = found;
        *ret = at[i].depth;
        found = true;
    }
    if (!found)
        *different = count > 0;
    return found;
}

// Whether no jump or handler leads from outside [writer, call] to behind the writer.
static bool straight(const struct py_bytecode *bc, const struct py_instr_decoder *decoder,
                     const struct py_instr *writer, const struct py_instr *call)
{
    struct py_instr instr;
    struct py_handler handler;
    size_t offset = 0;

    for (uint32_t start = 0; py_instr_decode(decoder, start, &instr); start = instr.next) {
        if (!py_instr_jumps(&instr) || (instr.start >= writer->start && instr.start <= call->start))
            continue;
        int64_t target = py_instr_target(decoder, &instr);
        if (target > writer->start && target <= call->start)
            return false;
    }
    while (py_handler_next(bc, &offset, &handler)) {
        if (handler.target > writer->start && handler.target <= call->start &&
            (handler.start < writer->start || handler.end > call->next))
            return false;
    }
    return true;
}

// The last instruction before the call that writes `slot`. False: none or not a load.
static bool find_writer(const struct py_instr_decoder *decoder,
                        const struct py_callsite_depths *depths, const struct py_instr *call,
                        uint32_t entries, int64_t slot, struct py_instr *ret, uint32_t *value)
{
    struct py_instr instr;
    bool found = false;

    for (uint32_t start = 0; start < call->start; start = instr.next) {
        int64_t before = 0;
        bool different = false;
        if (!py_instr_decode(decoder, start, &instr))
            return false;
        if (!depth_before(depths, start, entries, &before, &different)) {
            found = found && !different;
            continue;
        }
        struct load load = load_of(&instr);
        int64_t lowest = before - load.pops;
        if (different ||
            (!load.is_load && may_write(&instr, before, before + py_instr_effect(&instr), slot))) {
            found = false;
        } else if (load.is_load && lowest <= slot) {
            found = slot < lowest + load.pushes;
            *ret = instr;
            *value = (uint32_t)(slot - lowest);
        }
    }
    return found;
}

void py_callsite_name(const struct py_bytecode *bc, const struct py_instr_decoder *decoder,
                      const struct py_callsite_depths *depths, const struct py_instr *call,
                      const struct py_depth *at, struct py_callsite *ret)
{
    struct py_instr writer;
    uint32_t value = 0;

    if (!find_writer(decoder, depths, call, at->entries, ret->slot, &writer, &value))
        return;
    struct load load = load_of(&writer);
    // What is one above is not always from the same load.
    if (ret->kind == PY_CALL_METHOD && load.null) {
        if (!find_writer(decoder, depths, call, at->entries, ret->slot + 1, &writer, &value))
            return;
        load = load_of(&writer);
    }
    if (!straight(bc, decoder, &writer, call))
        return;
    ret->name_kind = load.names[value].kind;
    ret->name_index = load.names[value].index;
}
