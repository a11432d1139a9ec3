// SPDX-License-Identifier: GPL-3.0-or-later
// The store behind a record: entries in a list, a hash table over it, texts once. See
// image/record.h and record_store.h.
#include <stdlib.h>
#include <string.h>

#include "record_store.h"
#include "util/hash.h"
#include "util/limits.h"

struct image_record *image_record_create(void)
{
    struct image_record *record = calloc(1, sizeof(*record));
    if (!record)
        return NULL;
    record->texts = strtab_create();
    if (record->texts)
        return record;
    free(record);
    return NULL;
}

void image_record_destroy(struct image_record *record)
{
    if (!record)
        return;
    vec_foreach (facts, &record->facts)
        elf_headers_deinit(&facts->headers);
    vec_deinit(&record->facts);
    vec_foreach (frames, &record->frames)
        free(frames->elf);
    vec_deinit(&record->frames);
    vec_deinit(&record->locations);
    vec_deinit(&record->entries);
    free(record->index);
    strtab_destroy(record->texts);
    free(record);
}

void image_record_set_source(struct image_record *record, struct image *source)
{
    record->source = source;
}

void image_record_set_epoch(struct image_record *record, uint32_t epoch)
{
    record->epoch = epoch;
}

uint32_t record_text(struct image_record *record, const char *text, size_t size)
{
    if (!text || size >= LIMIT_STRING_CHARS ||
        strtab_bytes(record->texts) + size > RECORD_MAX_TEXT_BYTES)
        return 0;
    return strtab_add(record->texts, text, size);
}

const char *record_text_get(const struct image_record *record, uint32_t text)
{
    return strtab_get(record->texts, text);
}

static bool same_question(const struct record_question *a, const struct record_question *b)
{
    return a->epoch == b->epoch && a->kind == b->kind && a->module == b->module && a->key == b->key;
}

// Where it is in the index, or the empty place where it belongs.
static size_t slot_of(const struct image_record *record, const struct record_question *question)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)question->epoch << 32 | question->kind);
    hash = hash_u64(hash_u64(hash, question->module), question->key);
    size_t at = hash & (record->index_size - 1);
    while (record->index[at] &&
           !same_question(&record->entries.items[record->index[at] - 1].question, question))
        at = (at + 1) & (record->index_size - 1);
    return at;
}

const struct record_answer *record_find(const struct image_record *record,
                                        const struct record_question *question)
{
    if (!record->index_size)
        return NULL;
    uint32_t number = record->index[slot_of(record, question)];
    return number ? &record->entries.items[number - 1].answer : NULL;
}

// Half of it stays empty.
static bool grow_index(struct image_record *record)
{
    if (record->entries.count < record->index_size / 2)
        return true;
    size_t size = record->index_size ? record->index_size * 2 : 256;
    uint32_t *index = calloc(size, sizeof(*index));
    if (!index)
        return false;
    free(record->index);
    record->index = index;
    record->index_size = size;
    for (size_t i = 0; i < record->entries.count; i++)
        index[slot_of(record, &record->entries.items[i].question)] = (uint32_t)i + 1;
    return true;
}

bool record_add(struct image_record *record, const struct record_question *question,
                const struct record_answer *answer)
{
    if (record->entries.count >= RECORD_MAX_ENTRIES || !grow_index(record))
        return false;
    size_t slot = slot_of(record, question);
    if (record->index[slot] ||
        !vec_push(&record->entries,
                  (struct record_entry){.question = *question, .answer = *answer}))
        return false;
    record->index[slot] = (uint32_t)record->entries.count;
    return true;
}
