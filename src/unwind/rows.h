// SPDX-License-Identifier: GPL-3.0-or-later
// A row: how to get from one activation to its caller while the program counter lies in one range
// of code. Evaluated once from call frame information, kept, and looked up by program counter.
#ifndef UNWIND_ROWS_H
#define UNWIND_ROWS_H

#include <elfutils/libdw.h>

#include "image/image.h"
#include "target/arch.h"

// General registers of one activation, by DWARF number.
struct unwind_regs {
    uint64_t pc;
    uint64_t known; // a bit each
    uint64_t value[ARCH_MAX_DWARF];
};

struct expression {
    size_t count;
    Dwarf_Op ops[];
};

enum rule_kind {
    RULE_UNDEFINED,
    RULE_CFA_MEMORY, // at CFA + offset
    RULE_CFA_VALUE,  // is CFA + offset
    RULE_REG_MEMORY, // at reg + offset
    RULE_REG_VALUE,  // is reg + offset
    RULE_EXPR_MEMORY,
    RULE_EXPR_VALUE,
};

// Small: the rules of a row are what a warm walk reads most.
struct rule {
    uint8_t kind;
    uint8_t column; // the register that it restores
    uint8_t reg;
    int32_t offset;
    struct expression *expression; // owned
};

struct row {
    uint64_t start, end; // in the target
    struct row *next;    // of the loose ones
    uint64_t keep;       // registers that the caller has as they are
    struct rule cfa, ra;
    bool base;   // the return address is undefined: outermost
    bool signal; // the kernel's signal frame
    bool stub;   // known by its bytes
    bool loose;  // not in a module's list
    bool simple; // all rules are RULE_CFA_MEMORY
    bool plain;  // simple, the CFA a register + offset, the return address in memory: `lowest`,
                 // `span` and `saved` are set. Nearly all rows are
    bool unsupported; // libdw knows more than we do
    int32_t lowest;   // offset from the CFA of the lowest word to read
    uint32_t span;    // from there to the highest one
    uint64_t saved;   // registers that are read
    uint8_t rule_count;
    struct rule rules[];
};

struct row_cache;

struct row_cache *row_cache_create(struct image *image, const struct arch_unwind *arch);
void row_cache_destroy(struct row_cache *cache);
// Forgets rows of modules that are gone and of generated code.
void row_cache_refresh(struct row_cache *cache);

// One slot of the hash over program counters. What is learnt of one pc lies with it.
struct row_slot {
    uint64_t tag; // pc * 2 + exact; 0: empty
    struct row *row;
    int64_t fp_minus_sp;
    uint8_t fp_state; // enum fp_state
    uint8_t frame;    // enum frame_size
};
// FP_GUESSED: recovered without having seen it; FP_STABLE: all whole walks had the same distance.
enum fp_state { FP_NOT_SEEN, FP_GUESSED, FP_STABLE, FP_UNSTABLE };

// Forgets all rows when there are too many. Not during a walk, which holds on to some.
void row_cache_make_room(struct row_cache *cache);
// Whether the function's frame is always of one size (FRAME_VARIES: alloca).
enum frame_size { FRAME_NOT_SEEN, FRAME_FIXED, FRAME_VARIES };

// The slot of that pc, with its row; NULL: there is no call frame information for it.
// `exact`: pc itself is meant; otherwise it is a return address, and the row is that of pc - 1.
struct row_slot *row_cache_at(struct row_cache *cache, uint64_t pc, bool exact);
// Enters a row that came from elsewhere (stubs). Takes it over.
struct row_slot *row_cache_add_stub(struct row_cache *cache, uint64_t pc, bool exact,
                                    struct row *row);
struct row *row_create(size_t rule_count);
// Sets what follows from the rules of a row that is not signal, base or unsupported.
void row_settle(struct row *row);
void row_destroy(struct row *row);

uint64_t row_cache_hits(const struct row_cache *cache);
uint64_t row_cache_built(const struct row_cache *cache);

#endif
