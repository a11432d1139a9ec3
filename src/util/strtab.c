// SPDX-License-Identifier: GPL-3.0-or-later
// String interner: see util/strtab.h. Open addressing over ids; bytes in obstack-like blocks so
// that pointers stay valid while the table grows.
#include "util/strtab.h"

#include <stdlib.h>
#include <string.h>

#include "util/hash.h"
#include "util/limits.h"
#include "util/vec.h"

#define BLOCK_BYTES 65536

struct entry {
    const char *bytes;
    size_t size;
    uint64_t hash;
    uint32_t shown;
};

struct strtab {
    VEC(struct entry) entries; // entry i is id i + 1
    VEC(char *) blocks;
    size_t block_left;
    char *block_next;
    uint32_t *slots; // id or 0
    size_t slot_count;
    size_t bytes;
};

struct strtab *strtab_create(void)
{
    struct strtab *tab = calloc(1, sizeof(*tab));
    if (!tab)
        return NULL;
    tab->slot_count = 256;
    tab->slots = calloc(tab->slot_count, sizeof(*tab->slots));
    if (!tab->slots) {
        free(tab);
        return NULL;
    }
    return tab;
}

void strtab_destroy(struct strtab *tab)
{
    if (!tab)
        return;
    vec_foreach (block, &tab->blocks)
        free(*block);
    vec_deinit(&tab->blocks);
    vec_deinit(&tab->entries);
    free(tab->slots);
    free(tab);
}

static bool grow_slots(struct strtab *tab)
{
    size_t count = tab->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < tab->entries.count; i++) {
        size_t at = tab->entries.items[i].hash & (count - 1);
        while (slots[at])
            at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)(i + 1);
    }
    free(tab->slots);
    tab->slots = slots;
    tab->slot_count = count;
    return true;
}

static const char *store(struct strtab *tab, const char *bytes, size_t size)
{
    if (size >= tab->block_left) {
        size_t block_bytes = size >= BLOCK_BYTES / 4 ? size + 1 : BLOCK_BYTES;
        char *block = malloc(block_bytes);
        if (!block)
            return NULL;
        if (!vec_push(&tab->blocks, block)) {
            free(block);
            return NULL;
        }
        tab->bytes += block_bytes;
        if (block_bytes != BLOCK_BYTES) {
            // A large string has a block of its own; the current block goes on.
            memcpy(block, bytes, size);
            block[size] = '\0';
            return block;
        }
        tab->block_next = block;
        tab->block_left = block_bytes;
    }
    char *place = tab->block_next;
    memcpy(place, bytes, size);
    place[size] = '\0';
    tab->block_next += size + 1;
    tab->block_left -= size + 1;
    return place;
}

uint32_t strtab_add(struct strtab *tab, const char *bytes, size_t size)
{
    if (!bytes || tab->entries.count >= UINT32_MAX - 1)
        return 0;
    uint64_t hash = hash_bytes(HASH_SEED, bytes, size);
    size_t at = hash & (tab->slot_count - 1);
    while (tab->slots[at]) {
        const struct entry *entry = &tab->entries.items[tab->slots[at] - 1];
        if (entry->hash == hash && entry->size == size && memcmp(entry->bytes, bytes, size) == 0)
            return tab->slots[at];
        at = (at + 1) & (tab->slot_count - 1);
    }
    if (size > LIMIT_STRTAB_BYTES || strtab_bytes(tab) > LIMIT_STRTAB_BYTES - size)
        return 0;
    if ((tab->entries.count + 1) * 2 > tab->slot_count) {
        if (!grow_slots(tab))
            return 0;
        at = hash & (tab->slot_count - 1);
        while (tab->slots[at])
            at = (at + 1) & (tab->slot_count - 1);
    }
    const char *stored = store(tab, bytes, size);
    if (!stored || !vec_push(&tab->entries, (struct entry){stored, size, hash, 0}))
        return 0;
    tab->slots[at] = (uint32_t)tab->entries.count;
    return tab->slots[at];
}

uint32_t strtab_add_cstr(struct strtab *tab, const char *text)
{
    return text ? strtab_add(tab, text, strlen(text)) : 0;
}

const char *strtab_get(const struct strtab *tab, uint32_t id)
{
    return id && id <= tab->entries.count ? tab->entries.items[id - 1].bytes : NULL;
}

bool strtab_is(const struct strtab *tab, uint32_t id, const char *text)
{
    const char *bytes = strtab_get(tab, id);
    return bytes && strcmp(bytes, text) == 0;
}

size_t strtab_size(const struct strtab *tab, uint32_t id)
{
    return id && id <= tab->entries.count ? tab->entries.items[id - 1].size : 0;
}

uint32_t strtab_shown(const struct strtab *tab, uint32_t id)
{
    return id && id <= tab->entries.count ? tab->entries.items[id - 1].shown : 0;
}

void strtab_set_shown(struct strtab *tab, uint32_t id, uint32_t shown)
{
    if (id && id <= tab->entries.count)
        tab->entries.items[id - 1].shown = shown;
}

size_t strtab_count(const struct strtab *tab)
{
    return tab->entries.count;
}

size_t strtab_bytes(const struct strtab *tab)
{
    return tab->bytes + tab->entries.capacity * sizeof(struct entry) +
           tab->slot_count * sizeof(*tab->slots);
}
