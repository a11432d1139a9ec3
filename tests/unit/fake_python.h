// SPDX-License-Identifier: GPL-3.0-or-later
// Python objects in a fake memory, laid out as a given version and build has them. Offsets come
// from the static layout; how the parts hang together is written out here once more.
#ifndef FAKE_PYTHON_H
#define FAKE_PYTHON_H

#include "cpython/stack.h"
#include "fake_memory.h"

struct fake_python {
    struct fake_memory memory;
    struct strtab *strings;
    struct py_process process; // dec, runtime, head_addr; 3.6: current_addr and the GIL's statics
    struct py_decoder *dec;    // &process.dec
    uint64_t type, str, bytes, integer, tuple, dict, code, module, frame, builtin; // types
    uint64_t gil; // the GIL; 0 in 3.6
};

// The version's newest patch that has rows. Fails the test when there is none.
void fake_python_init(struct fake_python *py, uint16_t version, uint8_t build, size_t bytes);
void fake_python_deinit(struct fake_python *py);
// Runs a test once for each way that CPython's versions and builds keep frames and objects.
void fake_each_build(void (*test)(struct fake_python *py), size_t bytes);

// Sets a field of the struct at base, if this version has it; says whether.
bool fake_set(struct fake_python *py, uint64_t base, enum py_field_id field, uint64_t value);
uint32_t fake_offset(struct fake_python *py, enum py_field_id field);

uint64_t fake_object(struct fake_python *py, uint64_t type, size_t size);
uint64_t fake_type(struct fake_python *py, const char *name, uint64_t flags);
uint64_t fake_str(struct fake_python *py, const char *ascii); // compact, ASCII
// `kind` bytes a character; compact or with its characters elsewhere.
uint64_t fake_str_kind(struct fake_python *py, const void *chars, size_t count, unsigned kind,
                       bool compact);
uint64_t fake_bytes(struct fake_python *py, const void *bytes, size_t size);
uint64_t fake_int(struct fake_python *py, int64_t value);
uint64_t fake_tuple(struct fake_python *py, const uint64_t *items, size_t count);

enum fake_keys { FAKE_GENERAL, FAKE_UNICODE, FAKE_SPLIT };
// Keys with their entries; values are left out for FAKE_SPLIT (they lie in an array of their own).
uint64_t fake_keys(struct fake_python *py, enum fake_keys kind, const uint64_t *keys,
                   const uint64_t *values, size_t count, unsigned log2_size);
uint64_t fake_dict(struct fake_python *py, uint64_t keys, uint64_t values);
// A combined dict of n pairs, made the version's usual way.
uint64_t fake_dict_of(struct fake_python *py, const uint64_t *keys, const uint64_t *values,
                      size_t count);

struct fake_code {
    const char *name, *file;
    int32_t first_line;
    uint32_t slots, stack_size, first_traceable;
    const void *bytecode;
    size_t bytecode_bytes;
    const void *line_table;
    size_t line_table_bytes;
    uint64_t names; // a tuple, or 0
};
uint64_t fake_code_object(struct fake_python *py, const struct fake_code *code);
// Where its bytecode begins (3.11+).
uint64_t fake_first_instruction(struct fake_python *py, uint64_t code);

// A function whose code calls a builtin without arguments: lines 11 (before it), 12 (the call).
struct fake_call {
    uint64_t code;
    int32_t offset; // of the call
    size_t slot;    // of the frame, that holds the callable
    size_t slots;   // the frame's
};
struct fake_call fake_calling_code(struct fake_python *py, const char *name, const char *file);
uint64_t fake_builtin(struct fake_python *py, const char *module, const char *name);
void fake_put_slot(struct fake_python *py, uint64_t frame, size_t slot, uint64_t object);

// A frame of the version's kind, at `offset` bytes in its code, with `slots` words behind it.
// `owner` (3.11+): 0 thread, 1 generator, 3 a shim.
uint64_t fake_frame(struct fake_python *py, uint64_t code, uint64_t back, int32_t offset,
                    size_t slots, unsigned owner);

uint64_t fake_interpreter(struct fake_python *py, uint64_t next, int64_t id);
// The newest one of its interpreter. `frame`: its innermost, or 0.
uint64_t fake_thread(struct fake_python *py, uint64_t interp, uint64_t ident, uint64_t native_id,
                     uint64_t frame);
// Who holds the GIL; 0: nobody.
void fake_gil(struct fake_python *py, uint64_t tstate);

#endif
