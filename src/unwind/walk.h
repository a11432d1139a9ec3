// SPDX-License-Identifier: GPL-3.0-or-later
// One walk in progress, and the unwinder that it belongs to: what the files of this layer share.
#ifndef UNWIND_WALK_H
#define UNWIND_WALK_H

#include <string.h>

#include "unwind/rows.h"
#include "unwind/unwind.h"

// Stack bytes at hand. At most a page at a time: what lies behind it may be no stack any more, and
// in a copy (mem/copy.h) each read that misses is remembered as wanted.
#define WINDOW_BYTES 4096u

struct unwinder {
    struct target *target;
    struct image *image;
    const struct arch_unwind *arch;
    struct row_cache *rows;
    struct reference *reference; // made when first needed
    struct code_cache *code;
    struct unwind_stats stats;
    struct mem *stack; // of the walk in progress
    uint64_t window_start;
    size_t window_usable; // offsets below this are those of whole words
    unsigned char window[WINDOW_BYTES];
};

VEC_DEFINE(unwind_words, uint64_t);

struct walk {
    struct unwinder *unwinder;
    struct unwind_regs regs;
    struct unwind_stack *out;
    struct unwind_words *fps; // NULL, or: the frame pointer in each frame
    bool exact;               // regs.pc is no return address
    bool strict;              // exact rules only: a proof
    bool complete;            // it began with all registers
    bool learn;               // what is seen of frame pointers is true
    uint8_t how;              // how regs were found
    bool guessed;             // by a scan, or from what a scan has found
    unsigned jumps;           // times that the stack pointer went down
    uint64_t stop;            // the activation that this lies in is the last; 0: none such
    uint64_t lost_fp;         // where the frame pointer is to be found, if the bytes were there
};

enum step {
    STEP_ON,   // regs are those of the caller
    STEP_END,  // out->end says why
    STEP_NONE, // this way does not lead on: try another
};

// ---- walk.c -------------------------------------------------------------------------------------

bool stack_read_slowly(struct unwinder *unwinder, uint64_t addr, uint64_t *ret);
void walk_run(struct walk *walk);
enum step walk_end(struct walk *walk, enum unwind_end end, uint64_t addr);

static inline bool stack_read(struct unwinder *unwinder, uint64_t addr, uint64_t *ret)
{
    uint64_t offset = addr - unwinder->window_start;
    if (offset >= unwinder->window_usable)
        return stack_read_slowly(unwinder, addr, ret);
    memcpy(ret, unwinder->window + offset, sizeof(*ret));
    return true;
}

static inline bool walk_knows(const struct walk *walk, unsigned reg)
{
    return walk->regs.known >> reg & 1;
}

// ---- code.c: questions about machine code -------------------------------------------------------

struct code_cache *code_cache_create(void);
void code_cache_forget(struct code_cache *cache);
void code_cache_destroy(struct code_cache *cache);
bool code_is_executable(struct unwinder *unwinder, uint64_t pc);
// `pc` is executable and a call instruction lies right before it.
bool code_follows_call(struct unwinder *unwinder, uint64_t pc, uint64_t *ret_target);

// ---- fallback.c: code without call frame information --------------------------------------------

struct row_slot *stub_at(struct unwinder *unwinder, uint64_t pc, bool exact);
enum step fallback_step(struct walk *walk);

// ---- recover.c: the frame pointer, when only ip and sp are known --------------------------------

void recover_learn(struct row_slot *slot, const struct walk *walk);
// False: not found; walk->lost_fp says which bytes it would have taken, if any.
bool recover_frame_pointer(struct walk *walk, struct row_slot *slot, uint64_t *ret);

#endif
