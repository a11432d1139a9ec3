// SPDX-License-Identifier: GPL-3.0-or-later
// Which ways lead through a code object: see cpython/callsite.h.
#include <stdlib.h>

#include "callsite_tables.h"
#include "util/guard.h"

bool py_callsite_is_certain(const struct py_bytecode *bc, size_t begin_bytes, size_t offset_bytes)
{
    struct py_instr_decoder decoder;
    struct py_instr instr, now;
    struct py_handler handler;
    size_t offset = 0;
    uint32_t begin = (uint32_t)(begin_bytes / 2);
    if (!py_instr_decoder_init(&decoder, bc) || offset_bytes >= bc->size_bytes ||
        !py_instr_owner(&decoder, (uint32_t)(offset_bytes / 2), &now))
        return false;
    for (uint32_t start = 0; start < begin && py_instr_decode(&decoder, start, &instr);
         start = instr.next) {
        int64_t target = py_instr_jumps(&instr) ? py_instr_target(&decoder, &instr) : -1;
        if (target > begin && target <= now.start)
            return false;
    }
    while (py_handler_next(bc, &offset, &handler))
        if (handler.start <= begin && handler.target > begin && handler.target <= now.start)
            return false;
    return true;
}

struct search {
    const struct py_instr_decoder *decoder;
    uint8_t *met;   // by unit
    uint32_t *open; // whose successors were not looked at so far
    uint32_t count;
};

static void meet(struct search *search, int64_t unit)
{
    if (unit < 0 || unit >= search->decoder->units || search->met[unit])
        return;
    search->met[unit] = 1;
    search->open[search->count++] = (uint32_t)unit;
}

// Follows what runs without an exception: a handler that jumps back to behind its block is no loop.
static bool comes_back(struct search *search, const struct py_instr *from)
{
    struct py_instr instr = *from;
    for (;;) {
        if (instr.row->jump == JUMP_EXECUTOR) // what it hides is a jump back, nearly always
            return true;
        if (py_instr_jumps(&instr))
            meet(search, py_instr_target(search->decoder, &instr));
        if (py_instr_falls_through(&instr))
            meet(search, instr.next);
        if (search->met[from->start])
            return true;
        do {
            if (!search->count)
                return false;
        } while (!py_instr_decode(search->decoder, search->open[--search->count], &instr));
    }
}

bool py_callsite_in_loop(const struct py_bytecode *bc, size_t offset_bytes)
{
    struct py_instr_decoder decoder;
    struct py_instr now;
    if (!py_instr_decoder_init(&decoder, bc) || offset_bytes >= bc->size_bytes ||
        !py_instr_owner(&decoder, (uint32_t)(offset_bytes / 2), &now))
        return false;
    AUTO_FREE uint8_t *met = calloc(decoder.units, 1);
    AUTO_FREE uint32_t *open = calloc(decoder.units, sizeof(*open));
    struct search search = {.decoder = &decoder, .met = met, .open = open};
    return met && open && comes_back(&search, &now);
}

// Where the ways from one instruction lead that end at the targets.
struct ways {
    bool come;  // to a target
    bool avoid; // to what is to be avoided, or it cannot be told
    bool leave; // the code
};

static struct ways find_ways(const struct py_bytecode *bc, size_t from_bytes, size_t avoid_bytes,
                             const size_t *targets, size_t count)
{
    struct py_instr_decoder decoder;
    struct py_instr instr, avoid;
    struct ways ways = {0};
    if (!py_instr_decoder_init(&decoder, bc) || from_bytes >= bc->size_bytes ||
        avoid_bytes >= bc->size_bytes ||
        !py_instr_owner(&decoder, (uint32_t)(from_bytes / 2), &instr) ||
        !py_instr_owner(&decoder, (uint32_t)(avoid_bytes / 2), &avoid))
        return (struct ways){.avoid = true};
    AUTO_FREE uint8_t *met = calloc(decoder.units, 1);
    AUTO_FREE uint32_t *open = calloc(decoder.units, sizeof(*open));
    struct search search = {.decoder = &decoder, .met = met, .open = open};
    if (!met || !open)
        return (struct ways){.avoid = true};
    for (;;) {
        if (py_instr_jumps(&instr))
            meet(&search, py_instr_target(&decoder, &instr));
        if (py_instr_falls_through(&instr))
            meet(&search, instr.next);
        ways.avoid |= instr.row->jump == JUMP_EXECUTOR;
        ways.leave |= !py_instr_jumps(&instr) && !py_instr_falls_through(&instr);
        bool target = true;
        while (target) {
            if (!search.count)
                return ways;
            uint32_t unit = search.open[--search.count];
            target = false;
            for (size_t i = 0; i < count; i++)
                target |= targets[i] / 2 == unit;
            ways.come |= target;
            if (target)
                continue;
            if (unit == avoid.start || !py_instr_decode(&decoder, unit, &instr)) {
                ways.avoid = true;
                return ways;
            }
        }
    }
}

bool py_callsite_comes_to(const struct py_bytecode *bc, size_t from_bytes, size_t avoid_bytes,
                          const size_t *targets, size_t count)
{
    struct ways ways = find_ways(bc, from_bytes, avoid_bytes, targets, count);
    return ways.come && !ways.avoid;
}

bool py_callsite_must_come_to(const struct py_bytecode *bc, size_t from_bytes, size_t avoid_bytes,
                              const size_t *targets, size_t count)
{
    struct ways ways = find_ways(bc, from_bytes, avoid_bytes, targets, count);
    return ways.come && !ways.avoid && !ways.leave;
}
