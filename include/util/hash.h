// SPDX-License-Identifier: GPL-3.0-or-later
// FNV-1a with a final mix: good enough for tables and for telling two readings of the same bytes
// apart; not for adversaries, so no result may depend on the absence of collisions for safety.
#ifndef UTIL_HASH_H
#define UTIL_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_SEED 0xcbf29ce484222325ull

static inline uint64_t hash_u64(uint64_t seed, uint64_t value)
{
    uint64_t hash = (seed ^ value) * 0x9e3779b97f4a7c15ull;
    return hash ^ (hash >> 32);
}

static inline uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t hash = seed;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3ull;
    return hash_u64(hash, size);
}

#endif
