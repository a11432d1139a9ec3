// SPDX-License-Identifier: GPL-3.0-or-later
// Scattered bytes: see mem/blocks.h. Blocks of 64 bytes, found by hash, each with a bit per byte.
#include "mem/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "util/bisect.h"
#include "util/hash.h"

#define BLOCK_BYTES 64u

struct block {
    uint64_t number; // address / 64
    uint64_t known, changed;
    bool touched; // it is in the list of those that may have changed bytes
    unsigned char bytes[BLOCK_BYTES];
};

struct mem_blocks {
    VEC(struct block) blocks;
    uint32_t *index; // of blocks, + 1; 0: free
    size_t index_size;
    size_t last; // the block that was written last: ranges lie close together
    VEC(uint32_t) touched; // blocks that have changed bytes
};

struct mem_blocks *mem_blocks_create(void)
{
    return calloc(1, sizeof(struct mem_blocks));
}

void mem_blocks_destroy(struct mem_blocks *blocks)
{
    if (!blocks)
        return;
    vec_deinit(&blocks->blocks);
    vec_deinit(&blocks->touched);
    free(blocks->index);
    free(blocks);
}

void mem_blocks_clear(struct mem_blocks *blocks)
{
    vec_clear(&blocks->blocks);
    vec_clear(&blocks->touched);
    if (blocks->index)
        memset(blocks->index, 0, blocks->index_size * sizeof(*blocks->index));
}

static size_t slot_of(const struct mem_blocks *blocks, uint64_t number)
{
    size_t mask = blocks->index_size - 1, slot = hash_u64(HASH_SEED, number) & mask;
    while (blocks->index[slot] && blocks->blocks.items[blocks->index[slot] - 1].number != number)
        slot = (slot + 1) & mask;
    return slot;
}

static struct block *find(const struct mem_blocks *blocks, uint64_t number)
{
    if (!blocks->index_size)
        return NULL;
    uint32_t index = blocks->index[slot_of(blocks, number)];
    return index ? &blocks->blocks.items[index - 1] : NULL;
}

static bool grow(struct mem_blocks *blocks)
{
    size_t size = blocks->index_size ? 2 * blocks->index_size : 256;
    uint32_t *index = calloc(size, sizeof(*index));
    if (!index || blocks->blocks.count >= UINT32_MAX / 2) {
        free(index);
        return false;
    }
    free(blocks->index);
    blocks->index = index;
    blocks->index_size = size;
    for (size_t i = 0; i < blocks->blocks.count; i++)
        index[slot_of(blocks, blocks->blocks.items[i].number)] = (uint32_t)i + 1;
    return true;
}

static struct block *make(struct mem_blocks *blocks, uint64_t number)
{
    if (blocks->last < blocks->blocks.count && blocks->blocks.items[blocks->last].number == number)
        return &blocks->blocks.items[blocks->last];
    struct block *found = find(blocks, number);
    if (found) {
        blocks->last = (size_t)(found - blocks->blocks.items);
        return found;
    }
    if (2 * (blocks->blocks.count + 1) > blocks->index_size && !grow(blocks))
        return NULL;
    if (!vec_push(&blocks->blocks, (struct block){.number = number}))
        return NULL;
    blocks->index[slot_of(blocks, number)] = (uint32_t)blocks->blocks.count;
    blocks->last = blocks->blocks.count - 1;
    return &blocks->blocks.items[blocks->last];
}

// Bits [at, at + size) of a block's 64.
static uint64_t bits(size_t at, size_t size)
{
    return (size == BLOCK_BYTES ? UINT64_MAX : ((uint64_t)1 << size) - 1) << at;
}

static size_t piece_of(uint64_t addr, size_t size, size_t *ret_at)
{
    *ret_at = addr % BLOCK_BYTES;
    return size < BLOCK_BYTES - *ret_at ? size : BLOCK_BYTES - *ret_at;
}

static void drop_part(struct block *block, uint64_t start, uint64_t end)
{
    uint64_t first = block->number * BLOCK_BYTES;
    uint64_t from = start > first ? start - first : 0;
    uint64_t to = end > first ? end - first : 0;
    if (to > BLOCK_BYTES)
        to = BLOCK_BYTES;
    if (from < to)
        block->known &= ~bits(from, to - from);
    block->changed &= block->known;
}

void mem_blocks_drop(struct mem_blocks *blocks, const struct mem_ranges *ranges)
{
    vec_foreach (block, &blocks->blocks) {
        uint64_t first = block->number * BLOCK_BYTES;
        // The first range that ends behind the block's start.
        size_t at = bisect(ranges->count, i, ranges->items[i].addr + ranges->items[i].size <= first);
        for (; at < ranges->count &&
               (ranges->items[at].addr <= first || ranges->items[at].addr - first < BLOCK_BYTES);
             at++)
            drop_part(block, ranges->items[at].addr,
                      ranges->items[at].addr + ranges->items[at].size);
    }
}

bool mem_blocks_put(struct mem_blocks *blocks, uint64_t addr, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    while (size) {
        size_t at, piece = piece_of(addr, size, &at);
        struct block *block = make(blocks, addr / BLOCK_BYTES);
        if (!block)
            return false;
        uint64_t mask = bits(at, piece);
        if ((block->known & mask) != mask || memcmp(block->bytes + at, from, piece) != 0) {
            if (!block->touched &&
                !vec_push(&blocks->touched, (uint32_t)(block - blocks->blocks.items)))
                return false;
            block->touched = true;
            for (size_t i = 0; i < piece; i++)
                if (!(block->known & bits(at + i, 1)) || block->bytes[at + i] != from[i])
                    block->changed |= bits(at + i, 1);
            memcpy(block->bytes + at, from, piece);
            block->known |= mask;
        }
        addr += piece;
        from += piece;
        size -= piece;
    }
    return true;
}

size_t mem_blocks_get(const struct mem_blocks *blocks, uint64_t addr, void *ret, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t at, piece = piece_of(addr + done, size - done, &at);
        const struct block *block = find(blocks, (addr + done) / BLOCK_BYTES);
        uint64_t unknown = block ? ~block->known >> at : 1;
        size_t known = unknown ? (size_t)__builtin_ctzll(unknown) : BLOCK_BYTES;
        size_t take = known < piece ? known : piece;
        if (take)
            memcpy((unsigned char *)ret + done, block->bytes + at, take);
        done += take;
        if (take < piece)
            break;
    }
    return done;
}

size_t mem_blocks_gap(const struct mem_blocks *blocks, uint64_t addr, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t at, piece = piece_of(addr + done, size - done, &at);
        const struct block *block = find(blocks, (addr + done) / BLOCK_BYTES);
        uint64_t known = block ? block->known >> at : 0;
        size_t unknown = known ? (size_t)__builtin_ctzll(known) : BLOCK_BYTES;
        done += unknown < piece ? unknown : piece;
        if (unknown < piece)
            break;
    }
    return done;
}

uint64_t mem_blocks_bytes(const struct mem_blocks *blocks)
{
    uint64_t count = 0;
    vec_foreach (block, &blocks->blocks)
        count += (uint64_t)__builtin_popcountll(block->known);
    return count;
}

size_t mem_blocks_footprint(const struct mem_blocks *blocks)
{
    return blocks->blocks.count * sizeof(struct block) +
           blocks->index_size * sizeof(*blocks->index);
}

static int compare_numbers(const void *left, const void *right)
{
    const struct block *a = *(const struct block *const *)left;
    const struct block *b = *(const struct block *const *)right;
    return a->number < b->number ? -1 : a->number > b->number;
}

static bool add_range(struct mem_ranges *ranges, uint64_t addr, size_t size)
{
    struct mem_range *last = ranges->count ? &ranges->items[ranges->count - 1] : NULL;
    if (last && last->addr + last->size == addr) {
        last->size += size;
        return true;
    }
    return vec_push(ranges, (struct mem_range){addr, size});
}

static bool add_block(struct mem_ranges *ranges, uint64_t number, uint64_t mask)
{
    for (size_t at = 0; at < BLOCK_BYTES && mask >> at;) {
        at += (size_t)__builtin_ctzll(mask >> at);
        uint64_t rest = ~(mask >> at);
        size_t size = rest ? (size_t)__builtin_ctzll(rest) : BLOCK_BYTES;
        if (size > BLOCK_BYTES - at)
            size = BLOCK_BYTES - at;
        if (!add_range(ranges, number * BLOCK_BYTES + at, size))
            return false;
        at += size;
    }
    return true;
}

bool mem_blocks_ranges(const struct mem_blocks *blocks, bool changed, struct mem_ranges *ret)
{
    size_t count = changed ? blocks->touched.count : blocks->blocks.count;
    const struct block **sorted = malloc((count + 1) * sizeof(*sorted));
    vec_clear(ret);
    if (!sorted)
        return false;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &blocks->blocks.items[changed ? blocks->touched.items[i] : i];
    if (count)
        qsort(sorted, count, sizeof(const struct block *), compare_numbers);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok = add_block(ret, sorted[i]->number, changed ? sorted[i]->changed : sorted[i]->known);
    free(sorted);
    return ok;
}

void mem_blocks_settle(struct mem_blocks *blocks)
{
    vec_foreach (index, &blocks->touched) {
        blocks->blocks.items[*index].changed = 0;
        blocks->blocks.items[*index].touched = false;
    }
    vec_clear(&blocks->touched);
}
