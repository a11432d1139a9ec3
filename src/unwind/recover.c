// SPDX-License-Identifier: GPL-3.0-or-later
// The frame pointer of a thread of which only pc and stack pointer are known: from what stopped
// threads taught, from the size of the frame as the function's code sets it up, or from a word on
// the stack. Each is only believed when the chain from it comes to its end by exact rules.
#include <stdlib.h>
#include <string.h>

#include "unwind/walk.h"
#include "util/guard.h"

#define SEARCH_BYTES 8192u // larger frames are rare: their threads are stopped once, and teach
#define CODE_BYTES 65536u  // functions above that (evaluation loops) are not looked through
#define MAX_SIZES 16

struct search {
    struct walk *walk;
    uint64_t sp, lowest; // no frame pointer is below
    uint64_t start, end; // of the function
    bool has_function;
    struct unwind_stack scratch;
    struct unwind_words fps;
    uint64_t missing; // bytes that a proof would need
};

void recover_learn(struct row_slot *slot, const struct walk *walk)
{
    const struct arch_unwind *arch = walk->unwinder->arch;
    if (!walk_knows(walk, arch->fp))
        return;
    int64_t distance = (int64_t)(walk->regs.value[arch->fp] - walk->regs.value[arch->sp]);
    if (slot->fp_state == FP_NOT_SEEN || slot->fp_state == FP_GUESSED) {
        slot->fp_minus_sp = distance;
        slot->fp_state = FP_STABLE;
    } else if (slot->fp_minus_sp != distance) {
        slot->fp_state = FP_UNSTABLE;
    }
}

// ---- One candidate ------------------------------------------------------------------------------

// With this frame pointer the stack unwinds to its base by exact rules alone.
static bool proves(struct search *search, uint64_t fp)
{
    struct walk *walk = search->walk;
    const struct arch_unwind *arch = walk->unwinder->arch;
    struct walk proof = {
        .unwinder = walk->unwinder,
        .regs = walk->regs,
        .out = &search->scratch,
        .fps = &search->fps,
        .exact = walk->exact,
        .strict = true,
        .how = UNWIND_CFI,
        .jumps = walk->jumps,
    };
    proof.regs.value[arch->fp] = fp;
    proof.regs.known |= 1ull << arch->fp;
    vec_clear(&search->scratch.frames);
    vec_clear(&search->fps);
    walk_run(&proof);
    if (search->scratch.end == UNWIND_END_MEMORY && !search->missing)
        search->missing = search->scratch.end_addr;
    return search->scratch.end == UNWIND_END_BASE && search->scratch.frames.count > 1;
}

enum verdict { VERDICT_NO, VERDICT_MAYBE, VERDICT_YES };

// NULL: none, too large, or not there.
static uint8_t *read_function(struct unwinder *unwinder, uint64_t start, uint64_t end)
{
    size_t bytes = end - start;
    uint8_t *code = bytes <= CODE_BYTES ? malloc(bytes) : NULL;
    if (code && mem_read_some(unwinder->target->mem, start, code, bytes) == bytes)
        return code;
    free(code);
    return NULL;
}

// The function at `target` may end in a jump into this one.
static bool may_tail_call(struct search *search, uint64_t target)
{
    struct unwinder *unwinder = search->walk->unwinder;
    uint64_t start, end;
    if (!unwind_function(unwinder, target, &start, &end))
        return true;
    AUTO_FREE uint8_t *code = read_function(unwinder, start, end);
    return !code ||
           unwinder->arch->may_jump_to(code, end - start, start, search->start, search->end);
}

// Does the call before [fp + 8] lead into this function?
static enum verdict is_called_by(struct search *search, uint64_t fp)
{
    struct unwinder *unwinder = search->walk->unwinder;
    uint64_t ra, target;
    if (!stack_read(unwinder, fp + 8, &ra) || !code_follows_call(unwinder, ra, &target))
        return VERDICT_NO;
    if (target == 0 || !search->has_function)
        return VERDICT_MAYBE;
    if (target >= search->start && target < search->end)
        return VERDICT_YES;
    return may_tail_call(search, target) ? VERDICT_MAYBE : VERDICT_NO;
}

// ---- The size of the frame, from the code -------------------------------------------------------

// Distances from the stack pointer to the frame pointer that the code's own adjustments of the
// stack pointer make possible, when calls push no arguments. 0: not known, or it varies.
static size_t frame_sizes(struct search *search, uint64_t ret[static MAX_SIZES])
{
    struct unwinder *unwinder = search->walk->unwinder;
    if (!search->has_function)
        return 0;
    AUTO_FREE uint8_t *code = read_function(unwinder, search->start, search->end);
    return code ? unwinder->arch->frame_sizes(code, search->end - search->start, ret, MAX_SIZES)
                : 0;
}

// What one walk taught holds for the next one when the frame is always of one size.
static bool is_fixed(struct search *search, struct row_slot *slot)
{
    if (slot->frame == FRAME_NOT_SEEN) {
        uint64_t sizes[MAX_SIZES];
        bool large = search->has_function && search->end - search->start > CODE_BYTES;
        slot->frame = large || frame_sizes(search, sizes) ? FRAME_FIXED : FRAME_VARIES;
    }
    return slot->frame == FRAME_FIXED;
}

static bool by_experience(struct search *search, struct row_slot *slot, uint64_t *ret)
{
    *ret = search->sp + (uint64_t)slot->fp_minus_sp;
    if ((slot->fp_state != FP_STABLE && slot->fp_state != FP_GUESSED) || *ret < search->lowest)
        return false;
    enum verdict verdict = is_called_by(search, *ret);
    if (verdict == VERDICT_NO || (verdict == VERDICT_MAYBE && !is_fixed(search, slot)))
        return false;
    return proves(search, *ret);
}

// Registers are saved by pushes before the adjustment, or by moves into what it makes room for.
static bool by_size(struct search *search, uint64_t *ret)
{
    uint64_t sizes[MAX_SIZES];
    size_t count = frame_sizes(search, sizes), found = 0;
    for (size_t i = 0; i < 2 * count; i++) {
        uint64_t fp = (i & 1 ? search->sp : search->lowest) + sizes[i / 2];
        if (fp < search->lowest || (found && fp == *ret) ||
            is_called_by(search, fp) == VERDICT_NO || !proves(search, fp))
            continue;
        *ret = fp;
        found++;
    }
    return found == 1;
}

// ---- The stack ----------------------------------------------------------------------------------

static bool looks_like_frame(struct search *search, uint64_t at, uint64_t stack_end)
{
    uint64_t next;
    return stack_read(search->walk->unwinder, at, &next) && next > at && next < stack_end &&
           is_called_by(search, at) != VERDICT_NO;
}

static bool on_chain(const struct unwind_words *chain, uint64_t fp)
{
    for (size_t i = 0; i < chain->count; i++)
        if (chain->items[i] == fp)
            return true;
    return false;
}

// The nearest word that proves, if the call in front of it names this function, and if all others
// that prove are frame pointers of its callers. What an earlier, deeper call left behind can prove,
// too: therefore the first condition.
static bool by_search(struct search *search, uint64_t *ret)
{
    const struct target_mapping *mapping =
        target_mapping_at(search->walk->unwinder->target, search->sp);
    uint64_t stack_end = mapping ? mapping->end : search->sp + SEARCH_BYTES;
    struct unwind_words chain = {0};
    bool found = false, sole = true;
    for (uint64_t at = search->lowest; at - search->lowest < SEARCH_BYTES && sole; at += 8) {
        if (at + 16 > stack_end || (found && on_chain(&chain, at)) ||
            !looks_like_frame(search, at, stack_end) || !proves(search, at))
            continue;
        if (found) {
            sole = false;
        } else {
            found = true;
            *ret = at;
            sole = is_called_by(search, at) == VERDICT_YES;
            struct unwind_words spare = chain;
            chain = search->fps;
            search->fps = spare;
        }
    }
    vec_deinit(&chain);
    return found && sole;
}

// ---- All of them --------------------------------------------------------------------------------

// Registers that the row finds on the stack lie at or above the stack pointer.
static uint64_t lowest_frame_pointer(const struct row *row, uint64_t sp)
{
    int64_t lowest = -row->cfa.offset; // relative to the CFA: where the frame pointer points
    for (size_t i = 0; i < row->rule_count; i++)
        if (row->rules[i].kind == RULE_CFA_MEMORY && row->rules[i].offset < lowest)
            lowest = row->rules[i].offset;
    return sp + (uint64_t)(-row->cfa.offset - lowest);
}

bool recover_frame_pointer(struct walk *walk, struct row_slot *slot, uint64_t *ret)
{
    uint64_t sp = walk->regs.value[walk->unwinder->arch->sp];
    struct search search = {
        .walk = walk,
        .sp = sp,
        .lowest = lowest_frame_pointer(slot->row, sp),
    };
    if (sp % 8 != 0 || search.lowest < sp)
        return false;
    // Walks to prove may make the slot another pc's.
    const uint64_t tag = slot->tag;
    const uint8_t state = slot->fp_state;
    uint64_t pc = walk->exact ? walk->regs.pc : walk->regs.pc - 1;
    search.has_function = unwind_function(walk->unwinder, pc, &search.start, &search.end);
    bool found = by_experience(&search, slot, ret);
    if (!found && state != FP_STABLE && !search.missing)
        found = by_size(&search, ret) || (!search.missing && by_search(&search, ret));
    unwind_stack_deinit(&search.scratch);
    vec_deinit(&search.fps);
    if (!found)
        walk->lost_fp = search.missing;
    if (found && state == FP_NOT_SEEN && slot->tag == tag) {
        slot->fp_minus_sp = (int64_t)(*ret - sp);
        slot->fp_state = FP_GUESSED;
    }
    return found;
}
