// SPDX-License-Identifier: GPL-3.0-or-later
// Code objects and lines. A code object never changes while it lives, so it is read once; but its
// address may be given to another one after its death, so what the cache holds is believed only
// when a fingerprint of the object, read anew, agrees.
#ifndef CPYTHON_CODE_H
#define CPYTHON_CODE_H

#include "cpython/callsite.h"
#include "cpython/decoder.h"

struct py_line {
    int32_t line;   // -1: this instruction has none
    int32_t column; // 0-based, in UTF-8 bytes; -1: not known (before 3.11, or none)
};

struct py_code {
    uint64_t addr, fingerprint;
    uint32_t name, qualname, file; // in the decoder's strings; 0: could not be read
    int32_t first_line;
    uint32_t flags;
    uint32_t slot_count; // locals, cells and free variables (3.11+; earlier see the frame)
    uint32_t stack_size;
    uint32_t first_traceable; // in code units, 3.11+
    uint8_t *line_table;
    size_t line_table_bytes;
    uint8_t *bytecode; // without the tail that could not be read
    size_t bytecode_bytes;
    uint8_t *exception_table;
    size_t exception_table_bytes;
    uint64_t bytecode_addr; // of its first byte in the target, 3.11+; offsets count from here
    uint64_t names_addr;    // co_names
    uint64_t proof;         // the proof (py_codes_begin_proof) during which it was last compared
    struct py_callsite_depths *depths; // computed when first asked for
    bool depths_tried;
    // Indexes in co_names of the methods that take something and give it back, by enum py_taking
    // (cpython/lock.h), as far as py_acquired() knows them; -1: it does not use that name.
    bool taking_known;
    struct {
        int32_t take[2], give[2];
    } taking[2];
    // Answers given lately: deep recursion asks the same again and again.
    struct {
        bool valid, known;
        int32_t offset_bytes, known_depth;
        struct py_callsite site;
    } last_site;
    struct {
        bool valid;
        int32_t offset_bytes;
        struct py_line line;
    } last_line;
};

// Its instructions, for py_callsite...(); as long as it is kept.
static inline struct py_bytecode py_code_bytecode(const struct py_decoder *dec,
                                                  const struct py_code *code)
{
    return (struct py_bytecode){
        code->bytecode,        code->bytecode_bytes,        dec->layout.version,
        code->exception_table, code->exception_table_bytes, code->stack_size};
}

struct py_codes;

struct py_codes *py_codes_create(void);
void py_codes_destroy(struct py_codes *codes);
void py_codes_clear(struct py_codes *codes);
// Drops everything when more than a bounded number of bytes is held; call between snapshots.
void py_codes_trim(struct py_codes *codes);

// Work on large tables is counted. False: as much was done since the last trim or recheck as no sane
// program needs (LIMIT_TABLES_WALKED_BYTES).
bool py_codes_may_walk(struct py_codes *codes, size_t bytes);
// Memory that others took for a code object. False: that would be too much (LIMIT_CODES_BYTES).
bool py_codes_may_hold(struct py_codes *codes, size_t bytes);

// From now on addresses are checked anew: the target may have run.
void py_codes_recheck(struct py_codes *codes);

// Code objects that were compared while the target ran need not be read again while it stands still:
// compared once more afterwards, and found the same, they were the same in between. A proof is
// the time in which what py_code_get reads is certain; what it did not read, py_code_still tells
// of. With dec->code_mem set: reads that object again, at most once until the next recheck.
void py_codes_begin_proof(struct py_codes *codes);
bool py_code_still(struct py_decoder *dec, const struct py_code *code);

// The code object at addr; *ret belongs to the cache and lives until it is cleared or trimmed.
// ERR_BAD_DATA: what lies there is no code object.
struct err *py_code_get(struct py_decoder *dec, uint64_t addr, struct py_code **ret);

// What PyCode_Addr2Line of that version says for an instruction offset in bytes; a negative offset
// (a frame that has not started) is the first line.
// Puts the original opcodes back into code->bytecode where tracing has put others (3.12+).
// `monitoring`: co->_co_monitoring.
struct err *py_code_restore(struct py_decoder *dec, uint64_t monitoring, struct py_code *code);

struct py_line py_code_line(const struct py_decoder *dec, struct py_code *code,
                            int32_t offset_bytes);

// The three formats, each on its own table.
struct py_line py_line_lnotab(const struct py_code *code, uint32_t offset_bytes);   // 3.6-3.9
struct py_line py_line_ranges(const struct py_code *code, uint32_t offset_bytes);   // 3.10
struct py_line py_line_location(const struct py_code *code, uint32_t offset_bytes); // 3.11+

#endif
