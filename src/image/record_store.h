// SPDX-License-Identifier: GPL-3.0-or-later
// What a record holds: questions with their answers, one entry each, found by a hash of the
// question.
#ifndef IMAGE_RECORD_STORE_H
#define IMAGE_RECORD_STORE_H

#include "image/image_private.h"
#include "image/record.h"
#include "util/strtab.h"

// More is not recorded, and is answered as not known, then and later. A profiler keeps no more than
// 65,536 program counters (snapshot/native.c); there are two entries for each.
#define RECORD_MAX_ENTRIES (1u << 20)
#define RECORD_MAX_LOCATIONS (4u << 20) // of all entries
#define RECORD_MAX_TEXT_BYTES (64u << 20)
// Of one address: lines.c finds no more inlined calls, and the function itself.
#define RECORD_LOCATIONS_AT 65u
#define RECORD_MAX_FACTS 65536u // modules of all epochs
// .debug_frame of one module, and of all. Go's programs have some MiB.
#define RECORD_MAX_FRAMES_BYTES (16u << 20)
#define RECORD_MAX_ALL_FRAMES_BYTES (64u << 20)

// Numbers are those of the stream: they do not change.
enum record_kind {
    RECORD_MODULE = 1,    // no key; .facts
    RECORD_SYMBOL = 2,    // key: name; .start and .size
    RECORD_SECTION = 3,   // key: name; .start and .size
    RECORD_JIT = 4,       // no key; .start: address of its JIT descriptor
    RECORD_SYMBOL_AT = 5, // key: address; .names, .start and .size
    RECORD_LOCATIONS = 6, // key: address; .first and .count of locations
    RECORD_FRAMES = 7,    // no key; .first of frame tables
    RECORD_KIND_END
};

struct record_question {
    uint32_t epoch;
    uint32_t kind;
    uint64_t module; // where it starts
    uint64_t key;    // an address, or the number of a name
};

struct record_answer {
    bool there; // false: it was asked, and there is none
    uint64_t start, size;
    uint32_t name, raw_name; // of the text table
    uint32_t first, count;   // of locations, facts, or frame tables
};

struct record_entry {
    struct record_question question;
    struct record_answer answer;
};

struct record_location {
    uint32_t function, file;
    int32_t line;
    bool inlined;
};

// What the module of the asked image was.
struct record_facts {
    uint64_t end, bias;
    uint8_t build_id[64];
    uint32_t build_id_bytes;
    uint32_t file_state;
    uint32_t file;              // of the text table; 0: none
    struct elf_headers headers; // where they are in no memory; count 0: not needed
};

// A module's .debug_frame as an ELF image that holds nothing else.
struct record_frames {
    unsigned char *elf;
    size_t elf_bytes;
    size_t at, size; // of the section in there
    uint16_t type, machine;
};

struct image_record {
    struct image *source; // borrowed; NULL: replaying
    uint32_t epoch;
    struct strtab *texts;
    VEC(struct record_entry) entries;
    VEC(struct record_location) locations;
    VEC(struct record_facts) facts;
    VEC(struct record_frames) frames;
    size_t frames_bytes;
    uint32_t *index; // of entries, + 1
    size_t index_size;
};

// The number of a text; 0: NULL, too long, or no room.
uint32_t record_text(struct image_record *record, const char *text, size_t size);
// NULL for 0.
const char *record_text_get(const struct image_record *record, uint32_t text);
const struct record_answer *record_find(const struct image_record *record,
                                        const struct record_question *question);
// False: no room, or it is there already.
bool record_add(struct image_record *record, const struct record_question *question,
                const struct record_answer *answer);

// ---- record_frames.c ----------------------------------------------------------------------------

// Makes an ELF image of it and appends that. False: too large, or no room.
bool record_add_frames(struct image_record *record, uint16_t type, uint16_t machine,
                       const void *bytes, size_t size);
// Appends .debug_frame of `elf`. False: it has none.
bool record_copy_frames(struct image_record *record, Elf *elf);

#endif
