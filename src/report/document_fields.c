// SPDX-License-Identifier: GPL-3.0-or-later
// Objects of a document by tables of their fields: see document_in.h.
#include <limits.h>
#include <string.h>

#include "report/document_in.h"

void *document_grow(struct document_in *in, void **items, size_t *count, size_t *capacity,
                    size_t item_bytes)
{
    if (in->json.err)
        return NULL;
    in->bytes += item_bytes;
    if (in->bytes > LIMIT_DOCUMENT_VALUES_BYTES) {
        json_fault(&in->json, "the document is too large: more than %llu MiB of values",
                   LIMIT_DOCUMENT_VALUES_BYTES >> 20);
        return NULL;
    }
    // Indexes are 32 bits, and UINT32_MAX is none.
    if (*count >= UINT32_MAX - 1 ||
        (*count == *capacity && !vec_grow(items, capacity, *count + 1, item_bytes))) {
        json_fault(&in->json, "no memory for the document");
        return NULL;
    }
    void *item = (char *)*items + *count * item_bytes;
    memset(item, 0, item_bytes);
    (*count)++;
    return item;
}

uint32_t document_name(struct document_in *in)
{
    size_t size;
    if (json_read_null(&in->json))
        return 0;
    const char *bytes = json_read_string(&in->json, &size);
    if (in->json.err)
        return 0;
    uint32_t id = strtab_add(in->strings, bytes, size);
    if (!id)
        json_fault(&in->json, "no memory for the document's strings");
    return id;
}

static void read_names(struct document_in *in, struct snap_notes *ret)
{
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        uint32_t name = document_name(in), *place = document_push(in, ret);
        if (place)
            *place = name;
    }
}

static bool is_key(const char *text, size_t size, const char *key)
{
    return strlen(key) == size && memcmp(text, key, size) == 0;
}

static enum snap_state state_of(const char *text, size_t size)
{
    int state = 0;
    while (state < SNAP_UNKNOWN && !is_key(text, size, snap_state_name((enum snap_state)state)))
        state++;
    return (enum snap_state)state;
}

static enum snap_state read_state(struct document_in *in)
{
    size_t size;
    const char *text = json_read_string(&in->json, &size);
    return state_of(text, size);
}

static void read_states(struct document_in *in, uint64_t *ret)
{
    const char *key;
    size_t size;
    if (!json_read_object(&in->json))
        return;
    // One that is not known counts as unknown.
    while (json_read_key(&in->json, &key, &size)) {
        enum snap_state state = state_of(key, size);
        if (state == SNAP_UNKNOWN && json_peek(&in->json) != JSON_NUMBER)
            json_skip(&in->json);
        else
            ret[state] += json_read_u64(&in->json, UINT64_MAX);
    }
}

static int read_word(struct document_in *in, const struct field *field)
{
    size_t size;
    int word = 0;
    const char *text = json_read_string(&in->json, &size);
    while (field->words[word] && !is_key(text, size, field->words[word]))
        word++;
    if (!field->words[word]) {
        json_fault(&in->json, "\"%s\" has a value that this pycore does not know", field->key);
        return 0;
    }
    return word;
}

static void read_value(struct document_in *in, const struct field *field, void *into)
{
    struct json_reader *json = &in->json;
    void *at = (char *)into + field->at;
    switch (field->kind) {
    case FIELD_U64:
        *(uint64_t *)at = json_read_u64(json, UINT64_MAX);
        return;
    case FIELD_U32:
        *(uint32_t *)at = (uint32_t)json_read_u64(json, UINT32_MAX);
        return;
    case FIELD_INT:
        *(int *)at = (int)json_read_i64(json, INT_MIN, INT_MAX);
        return;
    case FIELD_LINE:
        *(int32_t *)at = (int32_t)json_read_i64(json, 0, INT32_MAX);
        return;
    case FIELD_I64:
        *(int64_t *)at = json_read_i64(json, INT64_MIN, INT64_MAX);
        return;
    case FIELD_BOOL:
        *(bool *)at = json_read_bool(json);
        return;
    case FIELD_HEX:
        *(uint64_t *)at = json_read_hex(json);
        return;
    case FIELD_DOUBLE:
        *(double *)at = json_read_double(json);
        return;
    case FIELD_NAME:
        *(uint32_t *)at = document_name(in);
        return;
    case FIELD_NAMES:
        read_names(in, at);
        return;
    case FIELD_WORD:
        *(int *)at = read_word(in, field);
        return;
    case FIELD_STATE:
        *(enum snap_state *)at = read_state(in);
        return;
    case FIELD_STATES:
        read_states(in, at);
        return;
    case FIELD_OTHER:
        field->read(in, into);
    }
}

static void read_field(struct document_in *in, const struct field *field, void *into)
{
    if (json_peek(&in->json) == JSON_NULL) {
        if (field->required)
            json_fault(&in->json, "\"%s\" is null", field->key);
        json_read_null(&in->json);
        return;
    }
    read_value(in, field, into);
    if (field->has)
        *(bool *)((char *)into + field->has) = true;
}

// Documents mostly have their fields in the order of the table: `expected` is looked at first.
static size_t find_field(const struct field *fields, size_t count, size_t expected, const char *key,
                         size_t size)
{
    for (size_t i = 0; i < count; i++) {
        size_t field = expected + i < count ? expected + i : expected + i - count;
        if (is_key(key, size, fields[field].key))
            return field;
    }
    return count;
}

void document_fields(struct document_in *in, const struct field *fields, size_t count, void *into)
{
    uint64_t seen = 0;
    size_t expected = 0, size;
    const char *key;
    if (!json_read_object(&in->json))
        return;
    while (json_read_key(&in->json, &key, &size)) {
        size_t field = find_field(fields, count, expected, key, size);
        if (field == count) {
            json_skip(&in->json);
            continue;
        }
        if (seen >> field & 1)
            json_fault(&in->json, "\"%s\" is there twice", fields[field].key);
        else
            read_field(in, &fields[field], into);
        seen |= 1ull << field;
        expected = field + 1;
    }
    for (size_t i = 0; i < count && !in->json.err; i++)
        if (fields[i].required && !(seen >> i & 1))
            json_fault(&in->json, "\"%s\" is missing", fields[i].key);
}
