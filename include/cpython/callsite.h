// SPDX-License-Identifier: GPL-3.0-or-later
// Which value-stack slot holds what a Python frame is in the middle of calling: a pure function
// of the code object's bytecode and the offset being executed. Reads no target memory.
//
// Use: copy the bytecode (co_code, 3.11+: co_code_adaptive as it lies in memory) and the exception
// table, call py_callsite_find() with the frame's instruction offset in bytes, then read the
// slots it names: slot N of the value stack is localsplus[nlocalsplus + N] (<= 3.10:
// f_valuestack[N]). 3.14 and later hold tagged references there (mask the low two bits off).
//
// Check what the slot holds: a callable that takes one argument in front of the given ones (bound
// method, functools.partial) may borrow the slot below the arguments while it calls on
// (PY_VECTORCALL_ARGUMENTS_OFFSET), and that is the callable's, but for 3.13+ without self.
//
// Limits: INSTRUMENTED_LINE and INSTRUMENTED_INSTRUCTION (PEP 669: coverage, debuggers) hide the
// opcode below them. A caller that can read _co_monitoring writes the original opcodes into its
// copy first; otherwise the answer may be "not known".
#ifndef PYCORE_CPYTHON_CALLSITE_H
#define PYCORE_CPYTHON_CALLSITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Longest bytecode looked at. CPython itself has no limit; this keeps the working memory of hostile
// input below 100 MiB.
#define PY_CALLSITE_CODE_MAX_BYTES ((size_t)2 << 20)

// co_stacksize above this is not believed (a call with as many positional arguments).
#define PY_CALLSITE_STACK_MAX ((uint32_t)1 << 20)

// Depths told of one instruction, see depth_count.
#define PY_CALLSITE_DEPTHS_MAX 16

// One code object, in the caller's memory. `code` begins at the first instruction.
struct py_bytecode {
    const uint8_t *code;
    size_t size_bytes;
    uint16_t version;               // 0x0306 .. 0x030f (sys.hexversion >> 16)
    const uint8_t *exception_table; // co_exceptiontable of 3.11+, else NULL
    size_t exception_table_size;
    uint32_t stack_size; // co_stacksize, 0: not known
};

enum py_call_kind {
    PY_CALL_NONE,      // the instruction calls nothing that belongs on a stack trace
    PY_CALL_FUNCTION,  // slot: the callable
    PY_CALL_METHOD,    // slot: the callable, unless it is NULL: then slot_alt holds it. When slot
                       // is not NULL, slot_alt holds its self (3.11/3.12: or any first argument)
    PY_CALL_ENTER,     // __enter__ of a with statement (<= 3.13; later it is a plain call);
                       // slot: see slot_content
    PY_CALL_EXIT,      // __exit__ called by an opcode of its own; slot: the bound __exit__ or the
                       // function (3.14+: then slot_alt: its self or NULL); <= 3.8: slot -1, the
                       // interpreter takes it off the stack before the call. A normal exit is a
                       // plain call from 3.9 on.
    PY_CALL_ITER_NEXT, // slot: the iterator whose tp_iternext runs
    PY_CALL_SEND,      // yield from / await; slot: the generator or iterator being driven
    PY_CALL_IMPORT,    // import statement; slot -1, name_index: the module's name
};

// What the object in `slot` is.
enum py_slot_content {
    PY_SLOT_NOTHING,    // slot is -1
    PY_SLOT_CALLABLE,   // the callable itself
    PY_SLOT_BOUND_EXIT, // with, entering: the bound __exit__; its self is the manager
    PY_SLOT_MANAGER,    // with, entering: the manager itself
    PY_SLOT_ITERATOR,   // the iterator or generator
};

// Which instruction put the callable on the stack, when the code before the call tells.
enum py_name_kind {
    PY_NAME_UNKNOWN,
    PY_NAME_GLOBAL,  // name_index into co_names (LOAD_GLOBAL)
    PY_NAME_NAME,    // name_index into co_names (LOAD_NAME: class bodies and modules)
    PY_NAME_ATTR,    // name_index into co_names (LOAD_ATTR, callable found on an object)
    PY_NAME_METHOD,  // name_index into co_names (LOAD_METHOD, LOAD_ATTR with the method bit)
    PY_NAME_SUPER,   // name_index into co_names (LOAD_SUPER_*)
    PY_NAME_MODULE,  // name_index into co_names (IMPORT_NAME)
    PY_NAME_FAST,    // name_index into co_varnames / co_localsplusnames
    PY_NAME_DEREF,   // name_index: <= 3.10 into co_cellvars + co_freevars, 3.11+ localsplusnames
    PY_NAME_CONST,   // name_index into co_consts
    PY_NAME_SPECIAL, // name_index: enum py_special
    PY_NAME_BUILD_CLASS, // builtins.__build_class__; name_index -1
};

// Argument of LOAD_SPECIAL (Include/internal/pycore_ceval.h, 3.14), used for all versions here.
enum py_special {
    PY_SPECIAL_ENTER,
    PY_SPECIAL_EXIT,
    PY_SPECIAL_AENTER,
    PY_SPECIAL_AEXIT,
};

struct py_callsite {
    enum py_call_kind kind;
    enum py_slot_content slot_content;
    enum py_name_kind name_kind;
    int32_t name_index; // -1: not known

    // Value-stack slots, counted from the bottom; -1: none. Meaningful when depth_count > 0.
    int32_t slot;
    int32_t slot_alt;
    uint32_t arg_count; // positional and keyword arguments on the stack; 0 for CALL_FUNCTION_EX

    // Stack depths the instruction can have, the likeliest first; slot and slot_alt belong to
    // depths[0], for depths[i] add depths[i] - depths[0] to both. More than one only in a finally
    // block of 3.6 - 3.8, where the depth depends on how the block was entered: try them all.
    // 0: the depth is not known (unreachable or undecodable code): search the slots by name.
    uint32_t depth_count;
    int32_t depths[PY_CALLSITE_DEPTHS_MAX];
    bool depth_certain; // depth_count is 1 and nothing was guessed

    size_t instruction_bytes; // offset of the opcode itself, after EXTENDED_ARG prefixes
    uint8_t opcode;           // base (unspecialised) opcode
    uint32_t oparg;           // with EXTENDED_ARG applied
};

// Stack depths of a whole code object, to ask many times. Immutable after creation.
struct py_callsite_depths;

// The table of `bc`; NULL when the version is not known, the code is empty, too long or of odd
// size, or memory is out. Keeps no pointer into `bc`. O(code size).
struct py_callsite_depths *py_callsite_depths_create(const struct py_bytecode *bc);
void py_callsite_depths_destroy(struct py_callsite_depths *depths); // NULL is fine
// Heap bytes held, for cache accounting.
size_t py_callsite_depths_size(const struct py_callsite_depths *depths);

// What the frame executing the instruction at `offset_bytes` (<= 3.9 f_lasti, 3.10 f_lasti * 2,
// 3.11+ distance of prev_instr / instr_ptr from the first instruction; may lie in the
// instruction's inline cache or on its EXTENDED_ARG prefix) is calling. False: not known (offset
// outside the code, opcode not of this version, instrumented beyond recognition). Everything
// that is not a call: true with PY_CALL_NONE, depths filled all the same.
// `depths` belongs to `bc`, or NULL: computed for this question only. `known_depth` is used when
// the depth cannot be computed (3.14+: (stackpointer - stack base) / 8 as saved by the frame at
// an escaping call, which is the depth before the instruction for every call), -1: not known.
bool py_callsite_find(const struct py_bytecode *bc, const struct py_callsite_depths *depths,
                      size_t offset_bytes, int32_t known_depth, struct py_callsite *ret);

// A call without arguments of what a plain path leads to: "lock.acquire()", "self.pool.lock.release()"; or
// the path alone, with whatever is done with it.
#define PY_METHOD_PARTS_MAX 5
struct py_method_call {
    enum py_name_kind root_kind; // GLOBAL, NAME, FAST or DEREF; root_index as for py_callsite
    int32_t root_index;
    int32_t parts[PY_METHOD_PARTS_MAX]; // indexes into co_names; the last one is the method
    uint32_t part_count;
    bool is_call;
    bool is_awaited; // what the call returns is awaited at once
    size_t begin_bytes,
        end_bytes; // of the call itself, with its prefixes and caches; else of the load
};
// In the order of the code. Return false to end it.
typedef bool py_method_call_visit(void *arg, const struct py_method_call *call);
void py_callsite_methods(const struct py_bytecode *bc, py_method_call_visit *visit, void *arg);

// The cheap half of py_callsite_find(): whether the instruction is a call at all. O(offset).
bool py_callsite_is_call(const struct py_bytecode *bc, size_t offset_bytes);

// ---- Which ways lead through the code ------------------------------------------------------------

// Whether each way to the instruction at the offset leads through the one that begins at `begin_bytes`, and
// lies before it: no jump and no handler passes it by. O(code size).
bool py_callsite_is_certain(const struct py_bytecode *bc, size_t begin_bytes, size_t offset_bytes);
// Whether the code, from the instruction at `from_bytes` on, can come to one of those that begin at
// `targets`, and cannot come to the one at `avoid_bytes` before (which may be the first one itself).
// Exceptions aside.
bool py_callsite_comes_to(const struct py_bytecode *bc, size_t from_bytes, size_t avoid_bytes,
                          const size_t *targets, size_t count);
// Whether it cannot but come to one of them.
bool py_callsite_must_come_to(const struct py_bytecode *bc, size_t from_bytes, size_t avoid_bytes,
                              const size_t *targets, size_t count);
// Whether the code may come to the instruction once more. Code that only exceptions lead to is left out.
bool py_callsite_in_loop(const struct py_bytecode *bc, size_t offset_bytes);

#endif
