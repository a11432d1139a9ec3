// SPDX-License-Identifier: GPL-3.0-or-later
// A hash index over the items of a caller's array: it knows only hashes and item numbers, so that
// each table compares its own keys.
//
//     struct prof_probe probe = prof_probe(&index, hash);
//     for (uint32_t id; (id = prof_probe_next(&probe)) != PROF_NONE;)
//         if (items[id] is the one) ...
#ifndef PROFILE_INDEX_H
#define PROFILE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROF_NONE UINT32_MAX

struct prof_slot {
    uint32_t hash;
    uint32_t id_plus_1; // 0: empty
};

struct prof_index {
    struct prof_slot *slots;
    size_t slot_count; // a power of two, or 0
    size_t capacity;   // slots allocated
    size_t count;
};

struct prof_probe {
    const struct prof_index *index;
    size_t at;
    uint32_t hash;
};

static inline struct prof_probe prof_probe(const struct prof_index *index, uint64_t hash)
{
    return (struct prof_probe){index, (uint32_t)hash & (index->slot_count - 1), (uint32_t)hash};
}

// The next item whose hash is this one, or PROF_NONE. At least half of the slots are empty.
static inline uint32_t prof_probe_next(struct prof_probe *probe)
{
    const struct prof_index *index = probe->index;
    if (!index->slot_count)
        return PROF_NONE;
    for (;;) {
        const struct prof_slot *slot = &index->slots[probe->at];
        if (!slot->id_plus_1)
            return PROF_NONE;
        probe->at = (probe->at + 1) & (index->slot_count - 1);
        if (slot->hash == probe->hash)
            return slot->id_plus_1 - 1;
    }
}

// Makes room for `more` items, so that adding them cannot fail.
bool prof_index_reserve(struct prof_index *index, size_t more);
// The item must not be in it yet, and there must be room.
void prof_index_add(struct prof_index *index, uint64_t hash, uint32_t id);
// Empties it and makes room for `items`; touches no more memory than these need.
bool prof_index_reset(struct prof_index *index, size_t items);
void prof_index_deinit(struct prof_index *index);

#endif
