// SPDX-License-Identifier: GPL-3.0-or-later
// Records as bytes: a version, the texts, and the answers in groups of one epoch and module each,
// sorted. What is read may be anything: it is checked before it is believed.
#include <stdlib.h>
#include <string.h>

#include "record_store.h"
#include "util/guard.h"
#include "util/limits.h"

#define VERSION 1u

enum { TAG_TEXTS = 1, TAG_ANSWERS = 2 };

// The least that one takes in the stream.
#define MIN_TEXT_BYTES 4
#define MIN_ANSWER_BYTES 2
#define MIN_LOCATION_BYTES 13

// Which fields follow the question, of an answer that is there.
static const struct layout {
    bool named;     // the key is a name's number
    bool addressed; // the key is an address
    bool start, size, names, locations, facts, frames;
} layouts[RECORD_KIND_END] = {
    [RECORD_MODULE] = {.facts = true},
    [RECORD_SYMBOL] = {.named = true, .start = true, .size = true},
    [RECORD_SECTION] = {.named = true, .start = true, .size = true},
    [RECORD_JIT] = {.start = true},
    [RECORD_SYMBOL_AT] = {.addressed = true, .start = true, .size = true, .names = true},
    [RECORD_LOCATIONS] = {.addressed = true, .locations = true},
    [RECORD_FRAMES] = {.frames = true},
};

// ---- Writing ------------------------------------------------------------------------------------

struct writer {
    const struct image_record *record;
    uint32_t *numbers; // of each text in the stream; 0: not used
    VEC(uint32_t) texts;
    struct wire_out answers;
    bool failed;
};

static int by_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_question(const void *left, const void *right, void *arg)
{
    const struct record_question *a = &(*(const struct record_entry *const *)left)->question;
    const struct record_question *b = &(*(const struct record_entry *const *)right)->question;
    const struct image_record *record = arg;
    int order = by_number(a->epoch, b->epoch);
    if (!order)
        order = by_number(a->module, b->module);
    if (!order)
        order = by_number(a->kind, b->kind);
    if (order || !layouts[a->kind].named)
        return order ? order : by_number(a->key, b->key);
    // Their own numbers say only in which order they came up.
    return strcmp(record_text_get(record, (uint32_t)a->key),
                  record_text_get(record, (uint32_t)b->key));
}

static void put_text(struct writer *writer, uint32_t text)
{
    if (text && !writer->numbers[text]) {
        writer->failed |= !vec_push(&writer->texts, text);
        writer->numbers[text] = (uint32_t)writer->texts.count;
    }
    wire_u32(&writer->answers, text ? writer->numbers[text] : 0);
}

static void put_facts(struct writer *writer, const struct record_facts *facts)
{
    struct wire_out *out = &writer->answers;
    wire_u64(out, facts->end);
    wire_u64(out, facts->bias);
    wire_u8(out, (uint8_t)facts->file_state);
    put_text(writer, facts->file);
    wire_u8(out, (uint8_t)facts->build_id_bytes);
    wire_bytes(out, facts->build_id, facts->build_id_bytes);
    wire_u32(out, (uint32_t)facts->headers.count);
    if (!facts->headers.count)
        return;
    // As they lie in the file: only little-endian ones are used (headers.c).
    wire_bytes(out, &facts->headers.ehdr, sizeof(facts->headers.ehdr));
    wire_bytes(out, facts->headers.phdrs, facts->headers.count * sizeof(*facts->headers.phdrs));
}

static void put_locations(struct writer *writer, const struct record_answer *answer)
{
    struct wire_out *out = &writer->answers;
    wire_u32(out, answer->count);
    for (size_t i = 0; i < answer->count; i++) {
        const struct record_location *location =
            &writer->record->locations.items[answer->first + i];
        put_text(writer, location->function);
        put_text(writer, location->file);
        wire_u32(out, (uint32_t)location->line);
        wire_bool(out, location->inlined);
    }
}

static void put_frames(struct writer *writer, const struct record_frames *frames)
{
    struct wire_out *out = &writer->answers;
    wire_u32(out, (uint32_t)frames->type << 16 | frames->machine);
    wire_u32(out, (uint32_t)frames->size);
    wire_bytes(out, frames->elf + frames->at, frames->size);
}

static void put_entry(struct writer *writer, const struct record_entry *entry)
{
    const struct layout *layout = &layouts[entry->question.kind];
    const struct record_answer *answer = &entry->answer;
    struct wire_out *out = &writer->answers;
    wire_u8(out, (uint8_t)entry->question.kind);
    wire_bool(out, answer->there);
    if (layout->named)
        put_text(writer, (uint32_t)entry->question.key);
    if (layout->addressed)
        wire_u64(out, entry->question.key);
    if (!answer->there)
        return;
    if (layout->names) {
        put_text(writer, answer->name);
        put_text(writer, answer->raw_name);
    }
    if (layout->start)
        wire_u64(out, answer->start);
    if (layout->size)
        wire_u64(out, answer->size);
    if (layout->locations)
        put_locations(writer, answer);
    if (layout->facts)
        put_facts(writer, &writer->record->facts.items[answer->first]);
    if (layout->frames)
        put_frames(writer, &writer->record->frames.items[answer->first]);
}

static void put_groups(struct writer *writer, const struct record_entry **entries, size_t count)
{
    for (size_t from = 0, to; from < count; from = to) {
        const struct record_question *first = &entries[from]->question;
        to = from + 1;
        while (to < count && entries[to]->question.epoch == first->epoch &&
               entries[to]->question.module == first->module)
            to++;
        size_t begun = wire_begin(&writer->answers, TAG_ANSWERS);
        wire_u32(&writer->answers, first->epoch);
        wire_u64(&writer->answers, first->module);
        wire_u32(&writer->answers, (uint32_t)(to - from));
        for (size_t i = from; i < to; i++)
            put_entry(writer, entries[i]);
        wire_end(&writer->answers, begun);
    }
}

void image_record_write(const struct image_record *record, struct wire_out *out)
{
    size_t count = record->entries.count;
    AUTO_FREE const struct record_entry **entries = calloc(count + 1, sizeof(*entries));
    AUTO_FREE uint32_t *numbers = calloc(strtab_count(record->texts) + 1, sizeof(*numbers));
    struct writer writer = {.record = record, .numbers = numbers};
    if (!entries || !numbers) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        entries[i] = &record->entries.items[i];
    qsort_r(entries, count, sizeof(*entries), by_question, (void *)record);
    put_groups(&writer, entries, count);
    wire_u32(out, VERSION);
    size_t begun = wire_begin(out, TAG_TEXTS);
    wire_u32(out, (uint32_t)writer.texts.count);
    vec_foreach (text, &writer.texts)
        wire_str(out, record_text_get(record, *text));
    wire_end(out, begun);
    wire_bytes(out, writer.answers.bytes.items, writer.answers.bytes.count);
    out->failed |= writer.failed || writer.answers.failed;
    vec_deinit(&writer.texts);
    wire_out_deinit(&writer.answers);
}

// ---- Reading ------------------------------------------------------------------------------------

struct reader {
    struct image_record *record;
    VEC(uint32_t) texts;
    const char *fault;
};

static bool refuse(struct reader *reader, const char *fault)
{
    if (!reader->fault)
        reader->fault = fault;
    return false;
}

static void read_texts(struct reader *reader, struct wire_in *in)
{
    uint32_t count = wire_get_count(in, MIN_TEXT_BYTES);
    for (uint32_t i = 0; i < count && !reader->fault; i++) {
        size_t size;
        const char *text = wire_get_str(in, &size);
        uint32_t number =
            text && !memchr(text, '\0', size) ? record_text(reader->record, text, size) : 0;
        if (!number || !vec_push(&reader->texts, number))
            refuse(reader, "a text is missing or too long");
    }
}

// `optional`: there may be none.
static uint32_t get_text(struct reader *reader, struct wire_in *in, bool optional)
{
    uint32_t number = wire_get_u32(in);
    if (number > reader->texts.count || (!number && !optional)) {
        refuse(reader, "the number of a text is too high");
        return 0;
    }
    return number ? reader->texts.items[number - 1] : 0;
}

static bool get_headers(struct reader *reader, struct wire_in *in, struct elf_headers *ret)
{
    uint32_t count = wire_get_count(in, sizeof(Elf64_Phdr));
    if (count > IMAGE_MAX_HEADERS)
        return refuse(reader, "a module has too many program headers");
    if (!count)
        return true;
    ret->phdrs = calloc(count, sizeof(*ret->phdrs));
    ret->count = count;
    return ret->phdrs && wire_get_bytes(in, &ret->ehdr, sizeof(ret->ehdr)) &&
           wire_get_bytes(in, ret->phdrs, count * sizeof(*ret->phdrs)) &&
           elf_headers_usable(&ret->ehdr) && ret->ehdr.e_phnum == count;
}

static void get_facts(struct reader *reader, struct wire_in *in, uint64_t start,
                      struct record_answer *ret)
{
    struct image_record *record = reader->record;
    struct record_facts facts = {.end = wire_get_u64(in), .bias = wire_get_u64(in)};
    facts.file_state = wire_get_u8(in);
    facts.file = get_text(reader, in, true);
    facts.build_id_bytes = wire_get_u8(in);
    bool good = facts.end > start && facts.file_state <= MODULE_FILE_MISSING &&
                facts.build_id_bytes <= sizeof(facts.build_id) &&
                wire_get_bytes(in, facts.build_id, facts.build_id_bytes) &&
                get_headers(reader, in, &facts.headers) && record->facts.count < RECORD_MAX_FACTS &&
                vec_push(&record->facts, facts);
    if (!good) {
        elf_headers_deinit(&facts.headers);
        refuse(reader, "a module's facts cannot be right");
        return;
    }
    ret->first = (uint32_t)record->facts.count - 1;
    ret->count = 1;
}

static void get_locations(struct reader *reader, struct wire_in *in, struct record_answer *ret)
{
    struct image_record *record = reader->record;
    ret->count = wire_get_count(in, MIN_LOCATION_BYTES);
    ret->first = (uint32_t)record->locations.count;
    if (!ret->count || ret->count > RECORD_LOCATIONS_AT ||
        ret->count > RECORD_MAX_LOCATIONS - record->locations.count ||
        !vec_reserve(&record->locations, record->locations.count + ret->count)) {
        refuse(reader, "an address has no or too many locations");
        return;
    }
    for (uint32_t i = 0; i < ret->count; i++) {
        struct record_location location = {.function = get_text(reader, in, true),
                                           .file = get_text(reader, in, true)};
        location.line = (int32_t)wire_get_u32(in);
        location.inlined = wire_get_bool(in);
        record->locations.items[record->locations.count++] = location;
    }
}

static void get_frames(struct reader *reader, struct wire_in *in, struct record_answer *ret)
{
    uint32_t kind = wire_get_u32(in), size = wire_get_count(in, 1);
    if (in->bad || !record_add_frames(reader->record, (uint16_t)(kind >> 16), (uint16_t)kind,
                                      in->next, size)) {
        refuse(reader, "an unwind table is cut or too large");
        return;
    }
    in->next += size;
    ret->first = (uint32_t)reader->record->frames.count - 1;
    ret->count = 1;
}

static void get_answer(struct reader *reader, struct wire_in *in, const struct layout *layout,
                       uint64_t module, struct record_answer *ret)
{
    if (layout->names) {
        ret->name = get_text(reader, in, false);
        ret->raw_name = get_text(reader, in, false);
    }
    if (layout->start)
        ret->start = wire_get_u64(in);
    if (layout->size)
        ret->size = wire_get_u64(in);
    if (layout->locations)
        get_locations(reader, in, ret);
    if (layout->facts)
        get_facts(reader, in, module, ret);
    if (layout->frames)
        get_frames(reader, in, ret);
}

static void read_entry(struct reader *reader, struct wire_in *in, struct record_question *question)
{
    struct record_answer answer = {0};
    question->kind = wire_get_u8(in);
    answer.there = wire_get_bool(in);
    if (question->kind < RECORD_MODULE || question->kind >= RECORD_KIND_END) {
        refuse(reader, "an answer is of no known kind");
        return;
    }
    const struct layout *layout = &layouts[question->kind];
    question->key = 0;
    if (layout->named)
        question->key = get_text(reader, in, false);
    if (layout->addressed)
        question->key = wire_get_u64(in);
    if (answer.there)
        get_answer(reader, in, layout, question->module, &answer);
    if (in->bad)
        refuse(reader, "an answer is cut");
    if (!reader->fault && !record_add(reader->record, question, &answer))
        refuse(reader, "a question is answered twice, or there are too many");
}

static void read_answers(struct reader *reader, struct wire_in *in)
{
    struct record_question question = {.epoch = wire_get_u32(in), .module = wire_get_u64(in)};
    uint32_t count = wire_get_count(in, MIN_ANSWER_BYTES);
    for (uint32_t i = 0; i < count && !reader->fault; i++)
        read_entry(reader, in, &question);
}

struct err *image_record_read(struct image_record *record, struct wire_in *in)
{
    struct reader reader = {.record = record};
    struct wire_in body;
    uint32_t tag, version = wire_get_u32(in);
    if (in->bad || version != VERSION)
        return err_create(ERR_BAD_DATA, "names and lines are recorded in a way that is not known");
    while (!reader.fault && wire_next(in, &tag, &body)) {
        if (tag == TAG_TEXTS)
            read_texts(&reader, &body);
        else if (tag == TAG_ANSWERS)
            read_answers(&reader, &body);
        if (body.bad)
            refuse(&reader, "they are cut");
    }
    if (in->bad)
        refuse(&reader, "they are cut");
    vec_deinit(&reader.texts);
    return reader.fault
               ? err_create(ERR_BAD_DATA, "recorded names and lines are damaged: %s", reader.fault)
               : NULL;
}
