// SPDX-License-Identifier: GPL-3.0-or-later
// Opcode rows per CPython version and the instruction decoder over them, for callsite*.c only.
// To add a version: run tests/tools/opcode_rows.py with it, add the .def file to
// callsite_tables.c, run tests/system/callsite_oracle.py.
#ifndef PYCORE_CPYTHON_CALLSITE_TABLES_H
#define PYCORE_CPYTHON_CALLSITE_TABLES_H

#include "cpython/callsite.h"

// EXTENDED_ARG prefixes before one opcode; opargs have 32 bits (Python/assemble.c).
#define PY_INSTR_PREFIXES_MAX 3

// Stack effect when falling through, from a, b and the oparg; names as in opcode_rows.py. From
// BEGIN_FINALLY on: depends on how the finally block was entered (<= 3.8, callsite_depths.c).
enum py_effect {
    EFFECT_CONST,     // a
    EFFECT_ARG,       // a + b * oparg
    EFFECT_BIT0,      // a + b when bit 0 of the oparg is set
    EFFECT_BIT2,      // a + b when bit 2 of the oparg is set
    EFFECT_IS_3,      // a + b when the oparg is 3
    EFFECT_BITS4,     // a + b * number of bits set in the low four
    EFFECT_UNPACK_EX, // a + b * (low byte + the rest shifted down)
    EFFECT_BEGIN_FINALLY,
    EFFECT_CALL_FINALLY,
    EFFECT_POP_FINALLY,
    EFFECT_END_FINALLY,
    EFFECT_WITH_CLEANUP_START,
    EFFECT_WITH_CLEANUP_FINISH,
    EFFECT_END_ASYNC_FOR,
    EFFECT_POP_EXCEPT,
    EFFECT_SETUP_EXCEPT,
    EFFECT_SETUP_FINALLY,
    EFFECT_SETUP_WITH,
    EFFECT_SETUP_ASYNC_WITH,
};

// How control leaves an instruction. GO_: never falls through.
enum py_jump {
    JUMP_NEXT,
    JUMP_STOP,
    JUMP_LEAVE, // as STOP; runs the finally blocks around it with a value and a code pushed
    JUMP_BREAK, // as STOP; runs the finally blocks around it with a code pushed
    JUMP_FORWARD,
    JUMP_BACKWARD,
    JUMP_ABSOLUTE,
    JUMP_GO_FORWARD,
    JUMP_GO_BACKWARD,
    JUMP_GO_ABSOLUTE,
    JUMP_EXECUTOR, // ENTER_EXECUTOR hides a backward jump (or rarely something else)
};

// What an instruction means for a call. `param` of the row in brackets; d: the depth before it.
enum py_role {
    ROLE_NONE,
    ROLE_DROP,    // only pops or does nothing: leaves no new value on the stack
    ROLE_SHUFFLE, // moves the topmost [param, 0: oparg] values around
    ROLE_EXTENDED_ARG,
    ROLE_CALL,         // callable at d - oparg - [param]
    ROLE_CALL_METHOD,  // callable or NULL at d - oparg - [param], else the slot above
    ROLE_CALL_SELF,    // callable at d - oparg - [param], its self or NULL above
    ROLE_CALL_EX_FLAG, // callable at d - [param] - (oparg & 1)
    ROLE_CALL_EX,      // callable at d - [param]
    ROLE_ENTER_EXIT,   // calls [enum py_special], with the bound exit in the manager's place on top
    ROLE_ENTER_MANAGER, // calls [enum py_special], the manager still on top
    ROLE_EXIT_GONE,     // calls __exit__ after taking it off the stack
    ROLE_EXIT,          // __exit__ at d - [param]
    ROLE_EXIT_SELF,     // __exit__ at d - [param], its self or NULL above
    ROLE_ITER,          // iterator at d - [param]
    ROLE_SEND,          // iterator at d - [param]
    ROLE_AWAIT,         // awaits what lies on top
    ROLE_IMPORT,        // name index oparg >> [param]
    ROLE_LOAD_GLOBAL,   // name index oparg >> [param]; when shifted, bit 0 also pushes NULL
    ROLE_LOAD_NAME,
    ROLE_LOAD_DICT_NAME,  // as LOAD_NAME, takes a dict off first
    ROLE_LOAD_DICT_DEREF, // as LOAD_DEREF, takes a dict off first
    ROLE_LOAD_ATTR,       // name index oparg >> [param]; when shifted, bit 0 says method
    ROLE_LOAD_METHOD,
    ROLE_LOAD_SUPER, // name index oparg >> [param]; takes three values
    ROLE_LOAD_FAST,
    ROLE_LOAD_FAST_PAIR,  // two locals, oparg >> 4 below oparg & 15
    ROLE_STORE_LOAD_FAST, // stores one value, loads oparg & 15
    ROLE_LOAD_DEREF,
    ROLE_LOAD_CONST,
    ROLE_LOAD_SPECIAL, // takes the object, pushes method [oparg] and self
    ROLE_BUILD_CLASS,
    ROLE_PUSH_NULL,
};

struct py_opcode_row {
    bool known;
    uint8_t base;   // number of the unspecialised opcode: its own, but for variants
    uint8_t caches; // code units of inline cache
    uint8_t effect; // enum py_effect
    int8_t a, b;
    uint8_t jump;       // enum py_jump
    int8_t jump_effect; // stack effect when jumping
    uint8_t role;       // enum py_role
    uint8_t param;
};

// The 256 rows of a version, NULL: not known. Of a variant only known and base are filled.
const struct py_opcode_row *py_opcode_rows(uint16_t version);

// One decoded instruction. Units are 2-byte code units from the start of the code.
struct py_instr {
    const struct py_opcode_row *row; // of the base opcode
    uint32_t start;                  // first unit, an EXTENDED_ARG prefix if there are any
    uint32_t unit;                   // the opcode
    uint32_t next;                   // first unit after its caches
    uint32_t oparg;
    uint8_t opcode; // base
};

// Bytecode checked against the limits, with its rows.
struct py_instr_decoder {
    const struct py_opcode_row *rows;
    const uint8_t *code;
    uint32_t units;
    uint16_t version;
};

// False: version not known, or code empty, too long or of odd size.
bool py_instr_decoder_init(struct py_instr_decoder *decoder, const struct py_bytecode *bc);

// The instruction whose first unit is `start`. False: outside the code, cut off, unknown opcode.
bool py_instr_decode(const struct py_instr_decoder *decoder, uint32_t start, struct py_instr *ret);

// The instruction that owns the unit (which may be a prefix or an inline cache).
bool py_instr_owner(const struct py_instr_decoder *decoder, uint32_t unit, struct py_instr *ret);

// Effect of falling through; not for the effects that depend on a finally block's entry.
int64_t py_instr_effect(const struct py_instr *instr);

bool py_instr_jumps(const struct py_instr *instr);
bool py_instr_falls_through(const struct py_instr *instr);
// Unit a jumping instruction goes to; may lie outside the code.
int64_t py_instr_target(const struct py_instr_decoder *decoder, const struct py_instr *instr);

// One entry of an exception table of 3.11+ (Objects/exception_handling_notes.txt), in units.
struct py_handler {
    uint32_t start;
    uint32_t end;
    uint32_t target;
    uint32_t kept;  // slots of the stack that stay as they are
    uint32_t depth; // of the stack at the handler's first instruction
};

// The entry at *offset, which moves on. False at the end or on broken data.
bool py_handler_next(const struct py_bytecode *bc, size_t *offset, struct py_handler *ret);

// Ways one instruction can be reached; blocks nested three deep in each other's finally make 27.
#define PY_DEPTHS_OF_UNIT_MAX 32

// The depths before the instruction whose first unit is given, the likeliest first. `entries`:
// how the finally blocks around were entered, the same all along one path. `guessed`: not proven.
struct py_depth {
    int32_t depth;
    uint32_t entries;
    bool guessed;
};
uint32_t py_depths_of_unit(const struct py_callsite_depths *depths, uint32_t unit,
                           struct py_depth ret[PY_DEPTHS_OF_UNIT_MAX]);

// Fills name_kind and name_index of a call whose callable is in `slot` at the depth `at`.
void py_callsite_name(const struct py_bytecode *bc, const struct py_instr_decoder *decoder,
                      const struct py_callsite_depths *depths, const struct py_instr *call,
                      const struct py_depth *at, struct py_callsite *ret);

#endif
