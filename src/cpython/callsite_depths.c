// SPDX-License-Identifier: GPL-3.0-or-later
// Depth of the value stack before every reachable instruction of a code object: propagated along
// the control flow from the entry (depth 0) and the exception handlers. Up to 3.8 a finally block
// is entered with 1, 2 or 6 values pushed, so each path also remembers how it entered.
#include "callsite_tables.h"

#include <stdlib.h>

// How a finally or except block was entered: 2 bits each, innermost lowest. Ordered by how likely
// a frame is found in a block entered that way.
#define ENTRY_SILENCED 0u // <= 3.7: a with block's, after __exit__ said true: a WHY code more
#define ENTRY_NORMAL 1u   // <= 3.7: None, 3.8: NULL was pushed
#define ENTRY_RETURN 2u   // <= 3.7: [a value and] a WHY code, 3.8: the address to go on from
#define ENTRY_RAISED 3u   // six values: the exception and the one handled before it

#define HEAD_INDEX 0x7fffffffu
#define HEAD_FINALLY 0x80000000u // <= 3.7: a block that is also entered by falling into it

struct depth_state {
    int32_t depth;
    uint32_t entries;
    uint32_t unit;
    uint32_t next; // index + 1 of the next state of the same unit
};

struct py_callsite_depths {
    uint32_t units;
    uint32_t *heads; // per unit: index + 1 of its first state, HEAD_FINALLY
    struct depth_state *states;
    uint32_t count;
    uint32_t capacity;
    uint32_t limit;        // of count
    uint32_t guessed_from; // states from this index on rest on a guess
};

// Instructions that run the finally blocks around them on their way out.
struct leaves {
    uint32_t with_value; // JUMP_LEAVE
    uint32_t bare;       // JUMP_BREAK
};

// One computation of a table.
struct walk {
    const struct py_bytecode *bc;
    struct py_instr_decoder decoder;
    struct py_callsite_depths *depths;
    struct leaves *leaves; // <= 3.7: before each unit
    bool out_of_memory;
};

static bool reserve_state(struct py_callsite_depths *d)
{
    if (d->count < d->capacity)
        return true;
    uint32_t capacity = d->capacity ? d->capacity * 2 : 64;
    struct depth_state *states = realloc(d->states, capacity * sizeof(*states));
    if (!states)
        return false;
    d->states = states;
    d->capacity = capacity;
    return true;
}

// Notes that `unit` is reached so. What cannot be true (outside the code or the stack) is dropped,
// and so is what exceeds a limit: then nothing counts as proven any more.
static void reach(struct walk *walk, int64_t unit, int64_t depth, uint32_t entries)
{
    struct py_callsite_depths *d = walk->depths;

    if (unit < 0 || unit >= d->units || depth < 0 || depth > PY_CALLSITE_STACK_MAX)
        return;
    uint32_t states = 0;
    for (uint32_t i = d->heads[unit] & HEAD_INDEX; i; i = d->states[i - 1].next, states++) {
        if (d->states[i - 1].depth == depth && d->states[i - 1].entries == entries)
            return;
    }
    if (states == PY_DEPTHS_OF_UNIT_MAX || d->count == d->limit) {
        d->guessed_from = 0;
        return;
    }
    if (!reserve_state(d)) {
        walk->out_of_memory = true;
        return;
    }
    d->states[d->count++] = (struct depth_state){
        .depth = (int32_t)depth,
        .entries = entries,
        .unit = (uint32_t)unit,
        .next = d->heads[unit] & HEAD_INDEX,
    };
    d->heads[unit] = d->count | (d->heads[unit] & HEAD_FINALLY);
}

// Enters a finally or except block. CPython nests 20 of them at most (CO_MAXBLOCKS), of which
// handlers running inside handlers are few; beyond 16 the path is dropped.
static void reach_block(struct walk *walk, int64_t unit, int64_t depth, uint32_t entries,
                        uint32_t entry)
{
    if (entries >> 30 == 0)
        reach(walk, unit, depth, entries << 2 | entry);
}

// Ordinary flow, which up to 3.7 can fall into a finally block.
static void reach_next(struct walk *walk, int64_t unit, int64_t depth, uint32_t entries)
{
    if (unit >= 0 && unit < walk->depths->units && walk->depths->heads[unit] & HEAD_FINALLY)
        reach_block(walk, unit, depth, entries, ENTRY_NORMAL);
    else
        reach(walk, unit, depth, entries);
}

// SETUP_EXCEPT, SETUP_FINALLY, SETUP_WITH, SETUP_ASYNC_WITH of <= 3.8 (block_stack handling in
// Python/ceval.c, "fast_block_end").
static void step_setup(struct walk *walk, const struct py_instr *instr,
                       const struct depth_state *from)
{
    int64_t target = py_instr_target(&walk->decoder, instr);
    int64_t raised = from->depth + instr->row->jump_effect;

    if (target < walk->depths->units && walk->leaves && instr->row->effect != EFFECT_SETUP_EXCEPT) {
        walk->depths->heads[target] |= HEAD_FINALLY;
        const struct leaves *start = &walk->leaves[instr->next];
        const struct leaves *end = &walk->leaves[target];
        if (end->with_value != start->with_value)
            reach_block(walk, target, raised - 6 + 2, from->entries, ENTRY_RETURN);
        if (end->bare != start->bare)
            reach_block(walk, target, raised - 6 + 1, from->entries, ENTRY_RETURN);
    }
    reach_block(walk, target, raised, from->entries, ENTRY_RAISED);
    reach_next(walk, instr->next, from->depth + instr->row->a, from->entries);
}

// The opcodes of <= 3.8 whose effect depends on how the innermost block was entered.
static void step_finally(struct walk *walk, const struct py_instr *instr,
                         const struct depth_state *from)
{
    int64_t depth = from->depth;
    uint32_t entries = from->entries;
    uint32_t entry = entries & 3;

    switch ((enum py_effect)instr->row->effect) {
    case EFFECT_BEGIN_FINALLY:
        reach_block(walk, instr->next, depth + 1, entries, ENTRY_NORMAL);
        break;
    case EFFECT_CALL_FINALLY:
        reach_block(walk, py_instr_target(&walk->decoder, instr), depth + 1, entries, ENTRY_RETURN);
        reach(walk, instr->next, depth, entries);
        break;
    case EFFECT_POP_FINALLY:
        reach(walk, instr->next, depth - (entry == ENTRY_RAISED ? 6 : 1), entries >> 2);
        break;
    case EFFECT_END_FINALLY: // raises again or goes on returning, but for a normal entry
        if (entry == ENTRY_NORMAL)
            reach_next(walk, instr->next, depth - 1, entries >> 2);
        else if (entry == ENTRY_SILENCED) // the exception, the WHY code and __exit__ go
            reach_next(walk, instr->next, depth - 8, entries >> 2);
        break;
    case EFFECT_WITH_CLEANUP_START: // __exit__ moves off the stack when nothing was raised
        reach(walk, instr->next, depth + (entry == ENTRY_RAISED ? 2 : 1), entries);
        break;
    case EFFECT_WITH_CLEANUP_FINISH:
        reach(walk, instr->next, depth - 2, entries);
        if (entry == ENTRY_RAISED && walk->leaves) // __exit__ may have said true
            reach(walk, instr->next, depth - 2 + 1, (entries & ~3u) | ENTRY_SILENCED);
        else if (entry == ENTRY_RAISED) // 3.8 then clears up here
            reach(walk, instr->next, depth - 2 - 6, (entries & ~3u) | ENTRY_NORMAL);
        break;
    case EFFECT_END_ASYNC_FOR:
        reach_next(walk, instr->next, depth - 7, entries >> 2);
        break;
    case EFFECT_POP_EXCEPT:
        reach_next(walk, instr->next, depth - 3, entries >> 2);
        break;
    default:
        step_setup(walk, instr, from);
        break;
    }
}

static void step(struct walk *walk, const struct depth_state *from)
{
    struct py_instr instr;

    if (!py_instr_decode(&walk->decoder, from->unit, &instr))
        return;
    if (instr.row->effect >= EFFECT_BEGIN_FINALLY) {
        step_finally(walk, &instr, from);
        return;
    }
    if (py_instr_jumps(&instr))
        reach_next(walk, py_instr_target(&walk->decoder, &instr),
                   (int64_t)from->depth + instr.row->jump_effect, from->entries);
    if (py_instr_falls_through(&instr))
        reach_next(walk, instr.next, from->depth + py_instr_effect(&instr), from->entries);
}

// Behind an executor the code is usually reached by other ways too. What is not reached after all
// proven flow was followed gets the executor's own depth, as a guess.
static void guess(struct walk *walk, const struct depth_state *from)
{
    struct py_instr instr;

    if (!py_instr_decode(&walk->decoder, from->unit, &instr) || instr.row->jump != JUMP_EXECUTOR ||
        instr.next >= walk->depths->units || walk->depths->heads[instr.next] & HEAD_INDEX)
        return;
    if (walk->depths->guessed_from > walk->depths->count)
        walk->depths->guessed_from = walk->depths->count;
    reach(walk, instr.next, from->depth, from->entries);
}

static void count_leaves(struct walk *walk)
{
    struct py_instr instr;
    struct leaves leaves = {0, 0};
    uint32_t filled = 0;

    for (uint32_t start = 0; py_instr_decode(&walk->decoder, start, &instr); start = instr.next) {
        while (filled < instr.next)
            walk->leaves[filled++] = leaves;
        leaves.with_value += instr.row->jump == JUMP_LEAVE;
        leaves.bare += instr.row->jump == JUMP_BREAK;
    }
    while (filled <= walk->decoder.units)
        walk->leaves[filled++] = leaves;
}

// Depth at the first instruction: a generator of 3.10 starts with the value sent to it on the
// stack, which its first instruction takes (GEN_START).
static int64_t entry_depth(const struct walk *walk)
{
    struct py_instr instr;

    if (!py_instr_decode(&walk->decoder, 0, &instr) || instr.row->effect != EFFECT_CONST ||
        instr.row->a >= 0)
        return 0;
    return -instr.row->a;
}

static void walk_all(struct walk *walk)
{
    struct py_callsite_depths *d = walk->depths;
    struct py_handler handler;
    size_t offset = 0;

    reach(walk, 0, entry_depth(walk), 0);
    while (py_handler_next(walk->bc, &offset, &handler))
        reach(walk, handler.target, handler.depth, 0);
    // The states are their own work list. They move when it grows: pass copies.
    for (uint32_t done = 0, guessed = 0; guessed < d->count && !walk->out_of_memory;) {
        struct depth_state from = d->states[done < d->count ? done : guessed];
        if (done < d->count) {
            done++;
            step(walk, &from);
        } else {
            guessed++;
            guess(walk, &from);
        }
    }
}

struct py_callsite_depths *py_callsite_depths_create(const struct py_bytecode *bc)
{
    struct walk walk = {.bc = bc};

    if (!py_instr_decoder_init(&walk.decoder, bc))
        return NULL;
    walk.depths = calloc(1, sizeof(*walk.depths));
    if (!walk.depths)
        return NULL;
    walk.depths->units = walk.decoder.units;
    walk.depths->guessed_from = UINT32_MAX;
    // Ordinary code has one state per instruction; the few in finally blocks may have many.
    walk.depths->limit = 65536 + walk.decoder.units;
    walk.depths->heads = calloc(walk.decoder.units, sizeof(*walk.depths->heads));
    if (bc->version <= 0x0307) {
        walk.leaves = calloc((size_t)walk.decoder.units + 1, sizeof(*walk.leaves));
        if (walk.leaves)
            count_leaves(&walk);
    }
    if (walk.depths->heads && (walk.leaves || bc->version > 0x0307))
        walk_all(&walk);
    else
        walk.out_of_memory = true;
    free(walk.leaves);
    if (walk.out_of_memory) {
        py_callsite_depths_destroy(walk.depths);
        return NULL;
    }
    return walk.depths;
}

void py_callsite_depths_destroy(struct py_callsite_depths *depths)
{
    if (!depths)
        return;
    free(depths->heads);
    free(depths->states);
    free(depths);
}

size_t py_callsite_depths_size(const struct py_callsite_depths *depths)
{
    return sizeof(*depths) + depths->units * sizeof(*depths->heads) +
           depths->capacity * sizeof(*depths->states);
}

uint32_t py_depths_of_unit(const struct py_callsite_depths *depths, uint32_t unit,
                           struct py_depth ret[PY_DEPTHS_OF_UNIT_MAX])
{
    uint32_t count = 0;

    if (unit >= depths->units)
        return 0;
    for (uint32_t i = depths->heads[unit] & HEAD_INDEX; i && count < PY_DEPTHS_OF_UNIT_MAX;
         i = depths->states[i - 1].next) {
        const struct depth_state *state = &depths->states[i - 1];
        struct py_depth depth = {state->depth, state->entries, i > depths->guessed_from};
        uint32_t at = count++;
        for (; at > 0 && ret[at - 1].entries > depth.entries; at--)
            ret[at] = ret[at - 1];
        ret[at] = depth;
    }
    return count;
}
