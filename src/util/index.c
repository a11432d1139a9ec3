// SPDX-License-Identifier: GPL-3.0-or-later
// The hash index: open addressing, at most half full.
#include "util/index.h"

#include <stdlib.h>
#include <string.h>

#define FEWEST_SLOTS 64

static size_t slots_for(size_t items)
{
    size_t slots = FEWEST_SLOTS;
    while (slots < items * 2)
        slots *= 2;
    return slots;
}

static void put(struct hash_slot *slots, size_t slot_count, struct hash_slot slot)
{
    size_t at = slot.hash & (slot_count - 1);
    while (slots[at].id_plus_1)
        at = (at + 1) & (slot_count - 1);
    slots[at] = slot;
}

bool hash_index_reserve(struct hash_index *index, size_t more)
{
    size_t want = slots_for(index->count + more);
    if (want <= index->slot_count)
        return true;
    struct hash_slot *slots = calloc(want, sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < index->slot_count; i++)
        if (index->slots[i].id_plus_1)
            put(slots, want, index->slots[i]);
    free(index->slots);
    index->slots = slots;
    index->slot_count = index->capacity = want;
    return true;
}

void hash_index_add(struct hash_index *index, uint64_t hash, uint32_t id)
{
    put(index->slots, index->slot_count, (struct hash_slot){(uint32_t)hash, id + 1});
    index->count++;
}

bool hash_index_reset(struct hash_index *index, size_t items)
{
    size_t want = slots_for(items);
    if (want > index->capacity) {
        hash_index_deinit(index);
        return hash_index_reserve(index, items);
    }
    memset(index->slots, 0, want * sizeof(*index->slots));
    index->slot_count = want;
    index->count = 0;
    return true;
}

void hash_index_deinit(struct hash_index *index)
{
    free(index->slots);
    *index = (struct hash_index){0};
}
