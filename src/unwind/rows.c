// SPDX-License-Identifier: GPL-3.0-or-later
// The cache of rows: a direct-mapped hash over program counters in front of one sorted list of rows
// per module. Bounded: at too many rows all of them are forgotten. See unwind/rows.h.
#include "unwind/rows.h"

#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "unwind/table.h"
#include "util/bisect.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/vec.h"

#define SLOTS 32768u // 1 MiB
// Evaluating tables made to hurt takes up to a millisecond a row. A sound process has some thousand
// rows, and finds nearly all of them again and again; a lookup that fails costs little there.
#define FREE_BUILDS 32768u
#define BUILD_COST 16
#define MAX_ROWS (1u << 18) // some 50 MiB; a process with 100 modules has 5,000 after hours

struct row_table {
    struct module *module;
    struct cfi_table *cfi;  // NULL: there is none
    VEC(struct row *) rows; // sorted by start
};

struct row_cache {
    struct image *image;
    const struct arch_unwind *arch;
    struct row_slot *slots;
    VEC(struct row_table) tables;
    struct row *loose; // of generated code and of stubs
    uint64_t jit_generation;
    size_t row_count;
    uint64_t hits, built, failed;
};

struct row *row_create(size_t rule_count)
{
    return calloc(1, sizeof(struct row) + rule_count * sizeof(struct rule));
}

void row_destroy(struct row *row)
{
    if (!row)
        return;
    free(row->cfa.expression);
    free(row->ra.expression);
    for (size_t i = 0; i < row->rule_count; i++)
        free(row->rules[i].expression);
    free(row);
}

void row_settle(struct row *row)
{
    int32_t highest = row->ra.offset;
    row->lowest = row->ra.offset;
    row->simple = true;
    for (size_t i = 0; i < row->rule_count; i++) {
        const struct rule *rule = &row->rules[i];
        row->simple &= rule->kind == RULE_CFA_MEMORY;
        row->saved |= 1ull << rule->column;
        if (rule->offset < row->lowest)
            row->lowest = rule->offset;
        if (rule->offset > highest)
            highest = rule->offset;
    }
    // Far apart they would not be in one window.
    int64_t span = (int64_t)highest - row->lowest;
    row->plain = row->simple && !row->signal && !row->base && !row->unsupported &&
                 row->cfa.kind == RULE_REG_VALUE && row->ra.kind == RULE_CFA_MEMORY && span < 4096;
    row->span = row->plain ? (uint32_t)span : 0;
}

struct row_cache *row_cache_create(struct image *image, const struct arch_unwind *arch)
{
    struct row_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    cache->image = image;
    cache->arch = arch;
    cache->jit_generation = image_jit_generation(image);
    cache->slots = calloc(SLOTS, sizeof(*cache->slots));
    if (cache->slots)
        return cache;
    free(cache);
    return NULL;
}

static void forget_rows(struct row_cache *cache, struct row_table *table)
{
    vec_foreach (row, &table->rows)
        row_destroy(*row);
    cache->row_count -= table->rows.count;
    vec_deinit(&table->rows);
}

static void table_deinit(struct row_cache *cache, struct row_table *table)
{
    forget_rows(cache, table);
    cfi_table_close(table->cfi);
}

static void forget_loose(struct row_cache *cache)
{
    while (cache->loose) {
        struct row *row = cache->loose;
        cache->loose = row->next;
        row_destroy(row);
        cache->row_count--;
    }
}

static void forget_slots(struct row_cache *cache)
{
    memset(cache->slots, 0, SLOTS * sizeof(*cache->slots));
}

void row_cache_destroy(struct row_cache *cache)
{
    if (!cache)
        return;
    vec_foreach (table, &cache->tables)
        table_deinit(cache, table);
    vec_deinit(&cache->tables);
    forget_loose(cache);
    free(cache->slots);
    free(cache);
}

static bool is_mapped(const struct row_cache *cache, const struct module *module)
{
    return image_module_at(cache->image, module->start) == module;
}

void row_cache_refresh(struct row_cache *cache)
{
    uint64_t generation = image_jit_generation(cache->image);
    bool jit_changed = generation != cache->jit_generation, changed = false;
    cache->jit_generation = generation;
    for (size_t i = 0; i < cache->tables.count;) {
        struct row_table *table = &cache->tables.items[i];
        if (is_mapped(cache, table->module)) {
            i++;
            continue;
        }
        table_deinit(cache, table);
        *table = cache->tables.items[--cache->tables.count];
        changed = true;
    }
    if (!changed && !jit_changed)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        if (cache->slots[i].row && (changed || cache->slots[i].row->loose))
            cache->slots[i] = (struct row_slot){0};
    forget_loose(cache);
}

static struct row_table *table_of(struct row_cache *cache, struct module *module)
{
    vec_foreach (table, &cache->tables)
        if (table->module == module)
            return table;
    if (!vec_push(&cache->tables, (struct row_table){.module = module}))
        return NULL;
    struct row_table *table = &cache->tables.items[cache->tables.count - 1];
    table->cfi = cfi_table_open(cache->image, module);
    return table;
}

// Index of the first row that ends above pc.
static size_t find(const struct row_table *table, uint64_t pc)
{
    return bisect(table->rows.count, i, table->rows.items[i]->end <= pc);
}

void row_cache_make_room(struct row_cache *cache)
{
    if (cache->row_count < MAX_ROWS)
        return;
    vec_foreach (table, &cache->tables)
        forget_rows(cache, table);
    forget_loose(cache);
    forget_slots(cache);
}

static struct row *build_for_module(struct row_cache *cache, struct module *module, uint64_t pc)
{
    struct row_table *table = table_of(cache, module);
    if (!table || !table->cfi)
        return NULL;
    size_t at = find(table, pc);
    if (at < table->rows.count && table->rows.items[at]->start <= pc)
        return table->rows.items[at];
    struct row *row = cfi_table_row(table->cfi, cache->arch, pc);
    if (!row)
        return NULL;
    // Rows never overlap in sound tables; in others each keeps what the earlier ones left.
    if (at > 0 && row->start < table->rows.items[at - 1]->end)
        row->start = table->rows.items[at - 1]->end;
    if (at < table->rows.count && row->end > table->rows.items[at]->start)
        row->end = table->rows.items[at]->start;
    if (!vec_reserve(&table->rows, table->rows.count + 1)) {
        row_destroy(row);
        return NULL;
    }
    memmove(table->rows.items + at + 1, table->rows.items + at,
            (table->rows.count - at) * sizeof(*table->rows.items));
    table->rows.items[at] = row;
    table->rows.count++;
    cache->row_count++;
    cache->built++;
    return row;
}

static void add_loose(struct row_cache *cache, struct row *row)
{
    row->loose = true;
    row->next = cache->loose;
    cache->loose = row;
    cache->row_count++;
    cache->built++;
}

static struct row *build(struct row_cache *cache, uint64_t pc)
{
    struct module *module = image_module_at(cache->image, pc);
    if (module)
        return build_for_module(cache, module, pc);
    const struct image_jit *jit = image_jit_at(cache->image, pc);
    if (!jit)
        return NULL;
    struct row *row = cfi_row_of_elf(jit->elf, jit->bias, cache->arch, pc);
    if (row)
        add_loose(cache, row);
    return row;
}

static struct row_slot *slot_of(struct row_cache *cache, uint64_t tag)
{
    return &cache->slots[(tag * 0x9e3779b97f4a7c15ull) >> 49]; // the upper 15 bits
}
_Static_assert(SLOTS == 1u << (64 - 49), "slot_of");

static uint64_t tag_of(uint64_t pc, bool exact)
{
    return pc << 1 | exact;
}

struct row_slot *row_cache_at(struct row_cache *cache, uint64_t pc, bool exact)
{
    uint64_t tag = tag_of(pc, exact);
    struct row_slot *slot = slot_of(cache, tag);
    if (slot->tag == tag && slot->row) {
        cache->hits++;
        return slot;
    }
    if (BUILD_COST * cache->built + cache->failed > BUILD_COST * FREE_BUILDS + 4 * cache->hits)
        return NULL;
    struct row *row = build(cache, exact ? pc : pc - 1);
    cache->failed += !row;
    if (!row)
        return NULL;
    *slot = (struct row_slot){.tag = tag, .row = row};
    return slot;
}

struct row_slot *row_cache_add_stub(struct row_cache *cache, uint64_t pc, bool exact,
                                    struct row *row)
{
    add_loose(cache, row);
    uint64_t tag = tag_of(pc, exact);
    struct row_slot *slot = slot_of(cache, tag);
    *slot = (struct row_slot){.tag = tag, .row = row};
    return slot;
}

uint64_t row_cache_hits(const struct row_cache *cache)
{
    return cache->hits;
}

uint64_t row_cache_built(const struct row_cache *cache)
{
    return cache->built;
}
