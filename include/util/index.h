// SPDX-License-Identifier: GPL-3.0-or-later
// A hash index over the items of a caller's array: it knows only hashes and item numbers, so that
// each table compares its own keys.
//
//     struct hash_probe probe = hash_probe(&index, hash);
//     for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
//         if (items[id] is the one) ...
#ifndef UTIL_INDEX_H
#define UTIL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_NONE UINT32_MAX

struct hash_slot {
    uint32_t hash;
    uint32_t id_plus_1; // 0: empty
};

struct hash_index {
    struct hash_slot *slots;
    size_t slot_count; // a power of two, or 0
    size_t capacity;   // slots allocated
    size_t count;
};

struct hash_probe {
    const struct hash_index *index;
    size_t at;
    uint32_t hash;
};

static inline struct hash_probe hash_probe(const struct hash_index *index, uint64_t hash)
{
    return (struct hash_probe){index, (uint32_t)hash & (index->slot_count - 1), (uint32_t)hash};
}

// The next item whose hash is this one, or HASH_NONE. At least half of the slots are empty.
static inline uint32_t hash_probe_next(struct hash_probe *probe)
{
    const struct hash_index *index = probe->index;
    if (!index->slot_count)
        return HASH_NONE;
    for (;;) {
        const struct hash_slot *slot = &index->slots[probe->at];
        if (!slot->id_plus_1)
            return HASH_NONE;
        probe->at = (probe->at + 1) & (index->slot_count - 1);
        if (slot->hash == probe->hash)
            return slot->id_plus_1 - 1;
    }
}

// Makes room for `more` items, so that adding them cannot fail.
bool hash_index_reserve(struct hash_index *index, size_t more);
// The item must not be in it yet, and there must be room.
void hash_index_add(struct hash_index *index, uint64_t hash, uint32_t id);
// Empties it and makes room for `items`; touches no more memory than these need.
bool hash_index_reset(struct hash_index *index, size_t items);
void hash_index_deinit(struct hash_index *index);

#endif
