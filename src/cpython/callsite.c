// SPDX-License-Identifier: GPL-3.0-or-later
// Answers what a frame is calling: from the instruction's role and the stack depth before it.
#include "callsite_tables.h"

// Where the instruction keeps what it calls: slots below the depth, 0: not on the stack.
struct place {
    enum py_call_kind kind;
    enum py_slot_content content;
    int64_t below;
    bool alt; // the slot above matters too
    uint32_t arg_count;
};

static struct place place_of(const struct py_instr *instr)
{
    uint32_t param = instr->row->param;
    uint32_t oparg = instr->oparg;

    switch ((enum py_role)instr->row->role) {
    case ROLE_CALL:
        return (struct place){PY_CALL_FUNCTION, PY_SLOT_CALLABLE, (int64_t)oparg + param, false,
                              oparg};
    case ROLE_CALL_METHOD:
        return (struct place){PY_CALL_METHOD, PY_SLOT_CALLABLE, (int64_t)oparg + param, true,
                              oparg};
    case ROLE_CALL_SELF:
        return (struct place){PY_CALL_FUNCTION, PY_SLOT_CALLABLE, (int64_t)oparg + param, true,
                              oparg};
    case ROLE_CALL_EX_FLAG:
        return (struct place){PY_CALL_FUNCTION, PY_SLOT_CALLABLE, param + (oparg & 1), false, 0};
    case ROLE_CALL_EX:
        return (struct place){PY_CALL_FUNCTION, PY_SLOT_CALLABLE, param, false, 0};
    case ROLE_ENTER_EXIT:
        return (struct place){PY_CALL_ENTER, PY_SLOT_BOUND_EXIT, 1, false, 0};
    case ROLE_ENTER_MANAGER:
        return (struct place){PY_CALL_ENTER, PY_SLOT_MANAGER, 1, false, 0};
    case ROLE_EXIT_GONE:
        return (struct place){PY_CALL_EXIT, PY_SLOT_NOTHING, 0, false, 3};
    case ROLE_EXIT:
        return (struct place){PY_CALL_EXIT, PY_SLOT_CALLABLE, param, false, 3};
    case ROLE_EXIT_SELF:
        return (struct place){PY_CALL_EXIT, PY_SLOT_CALLABLE, param, true, 3};
    case ROLE_ITER:
        return (struct place){PY_CALL_ITER_NEXT, PY_SLOT_ITERATOR, param, false, 0};
    case ROLE_SEND:
        return (struct place){PY_CALL_SEND, PY_SLOT_ITERATOR, param, false, 1};
    case ROLE_IMPORT:
        return (struct place){PY_CALL_IMPORT, PY_SLOT_NOTHING, 0, false, 0};
    default:
        return (struct place){PY_CALL_NONE, PY_SLOT_NOTHING, 0, false, 0};
    }
}

// Fills the depths of *ret and *first, the one that slot will refer to.
static void set_depths(const struct py_bytecode *bc, const struct py_callsite_depths *depths,
                       const struct py_instr *instr, int64_t below, int32_t known_depth,
                       struct py_depth *first, struct py_callsite *ret)
{
    struct py_depth at[PY_DEPTHS_OF_UNIT_MAX];
    uint32_t count = depths ? py_depths_of_unit(depths, instr->start, at) : 0;

    if ((count == 0 || at[0].guessed) && known_depth >= 0) {
        at[0] = (struct py_depth){known_depth, 0, false};
        count = 1;
    }
    for (uint32_t i = 0; i < count && ret->depth_count < PY_CALLSITE_DEPTHS_MAX; i++) {
        bool listed = at[i].depth < below; // hostile code: fewer values than the call takes
        for (uint32_t j = 0; j < ret->depth_count; j++)
            listed |= ret->depths[j] == at[i].depth;
        if (listed)
            continue;
        if (ret->depth_count == 0)
            *first = at[i];
        ret->depths[ret->depth_count++] = at[i].depth;
    }
    ret->depth_certain = ret->depth_count == 1 && !first->guessed &&
                         (bc->stack_size == 0 || (uint32_t)first->depth <= bc->stack_size);
}

// Names that the instruction itself tells.
static void set_own_name(const struct py_instr *instr, struct py_callsite *ret)
{
    switch (ret->kind) {
    case PY_CALL_ENTER:
        ret->name_kind = PY_NAME_SPECIAL;
        ret->name_index = instr->row->param;
        break;
    case PY_CALL_EXIT:
        ret->name_kind = PY_NAME_SPECIAL;
        ret->name_index = PY_SPECIAL_EXIT;
        break;
    case PY_CALL_IMPORT:
        ret->name_kind = PY_NAME_MODULE;
        ret->name_index = (int32_t)(instr->oparg >> instr->row->param & INT32_MAX);
        break;
    default:
        break;
    }
}

bool py_callsite_find(const struct py_bytecode *bc, const struct py_callsite_depths *depths,
                      size_t offset_bytes, int32_t known_depth, struct py_callsite *ret)
{
    struct py_instr_decoder decoder;
    struct py_instr instr;
    struct py_depth first = {0, 0, true};
    struct py_callsite_depths *own = NULL;

    *ret = (struct py_callsite){.name_index = -1, .slot = -1, .slot_alt = -1};
    if (!py_instr_decoder_init(&decoder, bc) || offset_bytes >= bc->size_bytes ||
        !py_instr_owner(&decoder, (uint32_t)(offset_bytes / 2), &instr) ||
        instr.row->jump == JUMP_EXECUTOR)
        return false;
    struct place place = place_of(&instr);
    ret->kind = place.kind;
    ret->slot_content = place.content;
    ret->arg_count = place.arg_count;
    ret->instruction_bytes = (size_t)instr.unit * 2;
    ret->opcode = instr.opcode;
    ret->oparg = instr.oparg;
    if (!depths)
        depths = own = py_callsite_depths_create(bc);
    set_depths(bc, depths, &instr, place.below, known_depth, &first, ret);
    set_own_name(&instr, ret);
    if (ret->depth_count > 0 && place.below > 0) {
        ret->slot = (int32_t)(ret->depths[0] - place.below);
        ret->slot_alt = place.alt ? ret->slot + 1 : -1;
        if (depths && (ret->kind == PY_CALL_FUNCTION || ret->kind == PY_CALL_METHOD))
            py_callsite_name(bc, &decoder, depths, &instr, &first, ret);
    }
    py_callsite_depths_destroy(own);
    return true;
}

bool py_callsite_is_call(const struct py_bytecode *bc, size_t offset_bytes)
{
    struct py_instr_decoder decoder;
    struct py_instr instr;

    return py_instr_decoder_init(&decoder, bc) && offset_bytes < bc->size_bytes &&
           py_instr_owner(&decoder, (uint32_t)(offset_bytes / 2), &instr) &&
           place_of(&instr).kind != PY_CALL_NONE;
}
