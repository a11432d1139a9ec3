// SPDX-License-Identifier: GPL-3.0-or-later
// Answers of an image that has a record: from there, or, while recording, from the source's image,
// and then kept. What could not be kept is answered as not known: a replay will not know it either.
#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "image/symbols.h"
#include "record_store.h"

// The same module in the image of the running process or core.
static struct image_module *in_source(const struct image_record *record,
                                      const struct module *module)
{
    struct module *found = image_module_at(record->source, module->start);
    return found && found->start == module->start && strcmp(found->path, module->path) == 0
               ? (struct image_module *)found
               : NULL;
}

// ---- Asking the source --------------------------------------------------------------------------

static bool copy_headers(const struct elf_headers *from, struct elf_headers *ret)
{
    Elf64_Phdr *phdrs = calloc(from->count, sizeof(*phdrs));
    if (!phdrs)
        return false;
    memcpy(phdrs, from->phdrs, from->count * sizeof(*phdrs));
    *ret = (struct elf_headers){.ehdr = from->ehdr, .phdrs = phdrs, .count = from->count};
    return true;
}

// `asking`: the module whose facts these will be.
static void ask_facts(struct image_record *record, const struct image_module *asking,
                      const struct image_module *from, struct record_answer *ret)
{
    const struct module *public = &from->public;
    struct record_facts facts = {.end = public->end,
                                 .bias = public->bias,
                                 .build_id_bytes = (uint32_t) public->build_id_bytes,
                                 .file_state = public->file_state};
    memcpy(facts.build_id, public->build_id, sizeof(facts.build_id));
    if (public->file)
        facts.file = record_text(record, public->file, strlen(public->file));
    if (record->facts.count >= RECORD_MAX_FACTS ||
        !vec_reserve(&record->facts, record->facts.count + 1))
        return;
    if (!asking->headers_in_memory && from->headers.count &&
        !copy_headers(&from->headers, &facts.headers))
        return;
    ret->there = true;
    ret->first = (uint32_t)record->facts.count;
    ret->count = 1;
    record->facts.items[record->facts.count++] = facts;
}

static void ask_symbol_at(struct image_record *record, struct image_module *from, uint64_t addr,
                          struct record_answer *ret)
{
    struct image_symbol symbol;
    if (!image_symbol_at(record->source, &from->public, addr, &symbol))
        return;
    ret->name = record_text(record, symbol.name, strlen(symbol.name));
    ret->raw_name = record_text(record, symbol.raw_name, strlen(symbol.raw_name));
    ret->start = symbol.start;
    ret->size = symbol.size;
    ret->there = ret->name && ret->raw_name;
}

static void ask_locations(struct image_record *record, struct image_module *from, uint64_t addr,
                          struct record_answer *ret)
{
    struct image_location found[RECORD_LOCATIONS_AT];
    size_t count = image_locations(record->source, &from->public, addr, found, RECORD_LOCATIONS_AT);
    if (!count || record->locations.count + count > RECORD_MAX_LOCATIONS ||
        !vec_reserve(&record->locations, record->locations.count + count))
        return;
    ret->there = true;
    ret->first = (uint32_t)record->locations.count;
    ret->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const char *function = found[i].function, *file = found[i].file;
        record->locations.items[record->locations.count++] = (struct record_location){
            .function = function ? record_text(record, function, strlen(function)) : 0,
            .file = file ? record_text(record, file, strlen(file)) : 0,
            .line = found[i].line,
            .inlined = found[i].inlined};
    }
}

static void ask_frames(struct image_record *record, struct image_module *from,
                       struct record_answer *ret)
{
    ret->there = record_copy_frames(record, image_elf(record->source, &from->public)) ||
                 record_copy_frames(record, image_debug_elf(record->source, &from->public));
    ret->first = (uint32_t)record->frames.count - 1;
    ret->count = 1;
}

static void ask_source(struct image_record *record, const struct image_module *asking,
                       const struct record_question *question, struct record_answer *ret)
{
    struct image_module *from = in_source(record, &asking->public);
    if (!from)
        return;
    struct module *public = &from->public;
    const char *name;
    switch (question->kind) {
    case RECORD_MODULE:
        ask_facts(record, asking, from, ret);
        break;
    case RECORD_SYMBOL:
        name = record_text_get(record, (uint32_t)question->key);
        ret->there = image_symbol(record->source, public, name, &ret->start, &ret->size);
        break;
    case RECORD_SECTION:
        name = record_text_get(record, (uint32_t)question->key);
        ret->there = image_section(record->source, public, name, &ret->start, &ret->size);
        break;
    case RECORD_JIT:
        ret->start = image_jit_descriptor(record->source, from);
        ret->there = ret->start != 0;
        break;
    case RECORD_SYMBOL_AT:
        ask_symbol_at(record, from, question->key, ret);
        break;
    case RECORD_LOCATIONS:
        ask_locations(record, from, question->key, ret);
        break;
    case RECORD_FRAMES:
        ask_frames(record, from, ret);
        break;
    }
}

// NULL: not known.
static const struct record_answer *find(const struct image_module *module, enum record_kind kind,
                                        uint64_t key)
{
    struct image_record *record = module->image->record;
    struct record_question question = {
        .epoch = record->epoch, .kind = kind, .module = module->public.start, .key = key};
    const struct record_answer *answer = record_find(record, &question);
    if (answer || !record->source)
        return answer;
    struct record_answer fresh = {0};
    ask_source(record, module, &question, &fresh);
    return record_add(record, &question, &fresh) ? record_find(record, &question) : NULL;
}

static const struct record_answer *find_there(const struct image_module *module,
                                              enum record_kind kind, uint64_t key)
{
    const struct record_answer *answer = find(module, kind, key);
    return answer && answer->there ? answer : NULL;
}

// ---- Answering ----------------------------------------------------------------------------------

static bool find_named(const struct image_module *module, enum record_kind kind, const char *name,
                       uint64_t *ret_addr, uint64_t *ret_size)
{
    uint32_t key = record_text(module->image->record, name, strlen(name));
    const struct record_answer *answer = key ? find_there(module, kind, key) : NULL;
    if (!answer)
        return false;
    *ret_addr = answer->start;
    *ret_size = answer->size;
    return true;
}

bool image_record_symbol(const struct image_module *module, const char *name, uint64_t *ret_addr,
                         uint64_t *ret_size)
{
    return find_named(module, RECORD_SYMBOL, name, ret_addr, ret_size);
}

bool image_record_section(const struct image_module *module, const char *name, uint64_t *ret_addr,
                          uint64_t *ret_size)
{
    return find_named(module, RECORD_SECTION, name, ret_addr, ret_size);
}

uint64_t image_record_jit_descriptor(const struct image_module *module)
{
    const struct record_answer *answer = find_there(module, RECORD_JIT, 0);
    return answer ? answer->start : 0;
}

bool image_record_symbol_at(const struct image_module *module, uint64_t addr,
                            struct image_symbol *ret)
{
    const struct record_answer *answer = find_there(module, RECORD_SYMBOL_AT, addr);
    if (!answer)
        return false;
    const struct image_record *record = module->image->record;
    *ret = (struct image_symbol){.name = record_text_get(record, answer->name),
                                 .raw_name = record_text_get(record, answer->raw_name),
                                 .start = answer->start,
                                 .size = answer->size};
    return true;
}

size_t image_record_locations(const struct image_module *module, uint64_t addr,
                              struct image_location *ret, size_t limit)
{
    const struct record_answer *answer = find_there(module, RECORD_LOCATIONS, addr);
    const struct image_record *record = module->image->record;
    size_t count = answer && answer->count < limit ? answer->count : answer ? limit : 0;
    for (size_t i = 0; i < count; i++) {
        const struct record_location *from = &record->locations.items[answer->first + i];
        ret[i] = (struct image_location){.function = record_text_get(record, from->function),
                                         .file = record_text_get(record, from->file),
                                         .line = from->line,
                                         .inlined = from->inlined};
    }
    return count;
}

Elf *image_record_debug_elf(struct image_module *module)
{
    const struct record_answer *answer =
        module->debug ? NULL : find_there(module, RECORD_FRAMES, 0);
    if (!answer)
        return module->debug;
    const struct record_frames *frames = &module->image->record->frames.items[answer->first];
    elf_version(EV_CURRENT);
    return module->debug = elf_memory((char *)frames->elf, frames->elf_bytes);
}

// ---- Modules ------------------------------------------------------------------------------------

static struct err *apply(struct image_module *module, const struct record_facts *facts)
{
    const struct image_record *record = module->image->record;
    struct module *public = &module->public;
    public->end = facts->end;
    public->bias = facts->bias;
    memcpy(public->build_id, facts->build_id, sizeof(public->build_id));
    public->build_id_bytes = facts->build_id_bytes;
    public->file_state = (enum module_file)facts->file_state;
    const char *file = record_text_get(record, facts->file);
    public->file = file ? strdup(file) : NULL;
    bool copied = module->headers_in_memory || !facts->headers.count;
    if (!copied) {
        elf_headers_deinit(&module->headers);
        copied = copy_headers(&facts->headers, &module->headers);
    }
    return copied && (public->file || !file) ? NULL : err_create(ERR_NO_MEMORY, "out of memory");
}

struct err *image_record_modules(struct image *image, struct image_found *found)
{
    size_t kept = 0;
    struct err *err = NULL;
    vec_foreach (slot, found) {
        struct image_module *module = *slot;
        const struct record_answer *answer = find(module, RECORD_MODULE, 0);
        // Nothing is looked for: neither its file nor one with debug information.
        module->file_failed = module->debug_tried = module->fetch_tried = true;
        if (answer && !answer->there) {
            image_module_destroy(module); // mapped data; the source's image has no such module
            continue;
        }
        if (answer && !err)
            err = apply(module, &image->record->facts.items[answer->first]);
        found->items[kept++] = module;
    }
    found->count = kept;
    // A record may claim anything.
    for (size_t i = 0; i + 1 < found->count; i++) {
        uint64_t next = found->items[i + 1]->public.start;
        if (found->items[i]->public.end > next)
            found->items[i]->public.end = next;
    }
    return err;
}
