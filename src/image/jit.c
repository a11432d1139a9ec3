// SPDX-License-Identifier: GPL-3.0-or-later
// Code made at run time that was registered for debuggers: each registered object is an ELF image
// in the target's memory with the code's final addresses. gdb manual, "JIT Interface"; CPython
// 3.15's JIT puts .text and .eh_frame there.
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "image/image_private.h"
#include "util/guard.h"

#define DESCRIPTOR_NAME "__jit_debug_descriptor"
// Interpreters and compilers bring one each.
#define MAX_DESCRIPTORS 16
#define MAX_ENTRIES 65536
#define MAX_SYMFILE_BYTES (1u << 20)
#define MAX_TOTAL_BYTES (64u << 20)
#define MAX_CODE_RANGES 64 // of one object
// String tables of one module that are searched for the descriptor's name; sections may overlap.
#define MAX_NAMES_BYTES (256u << 20)
// Known objects that are looked at again per refresh while the descriptors stay as they are.
#define RECHECKED 16

// struct jit_descriptor and struct jit_code_entry of the manual, 64 bits.
struct descriptor {
    uint32_t version, action;
    uint64_t relevant, first;
};

struct code_entry {
    uint64_t next, previous, symfile, symfile_bytes;
};

// One registered object.
struct object {
    uint64_t addr; // of its entry
    uint64_t next, symfile;
    uint64_t claimed_bytes;
    uint64_t symfile_bytes; // 0: the claim is absurd
    void *bytes;
    Elf *elf; // NULL: unreadable, or no ELF image
};

struct image_jits {
    uint64_t generation; // of the list of modules that was searched
    uint64_t descriptors[MAX_DESCRIPTORS];
    struct descriptor last[MAX_DESCRIPTORS]; // what they held
    size_t descriptor_count;
    bool complete;              // all lists were read to their ends
    VEC(struct object) objects; // in the order of the lists
    VEC(struct image_jit) code; // sorted by start
    size_t recheck_at;
    uint64_t code_generation;
};

static void object_deinit(struct object *object)
{
    elf_end(object->elf);
    free(object->bytes);
    *object = (struct object){0};
}

void image_jits_destroy(struct image_jits *jits)
{
    if (!jits)
        return;
    vec_foreach (object, &jits->objects)
        object_deinit(object);
    vec_deinit(&jits->objects);
    vec_deinit(&jits->code);
    free(jits);
}

// ---- Which modules have a descriptor ------------------------------------------------------------

// Symbol tables are scanned by image_symbol, which takes long for hundreds of modules; whether the
// name occurs at all is told faster.
static bool names_descriptor(Elf *elf)
{
    size_t searched_bytes = 0;
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_type != SHT_STRTAB)
            continue;
        Elf_Data *data = elf_rawdata(section, NULL);
        if (!data || !data->d_buf || data->d_size > MAX_NAMES_BYTES - searched_bytes)
            continue;
        searched_bytes += data->d_size;
        if (memmem(data->d_buf, data->d_size, DESCRIPTOR_NAME, sizeof(DESCRIPTOR_NAME)))
            return true;
    }
    return false;
}

static uint64_t descriptor_of(struct image *image, struct image_module *module)
{
    if (image->record)
        return image_record_jit_descriptor(module);
    Elf *elf = image_module_elf(module);
    uint64_t addr, size;
    bool found = (!elf || names_descriptor(elf)) &&
                 image_symbol(image, &module->public, DESCRIPTOR_NAME, &addr, &size) &&
                 size >= sizeof(struct descriptor);
    return found ? addr : 0;
}

uint64_t image_jit_descriptor(struct image *image, struct image_module *module)
{
    if (!module->jit_searched)
        module->jit_descriptor = descriptor_of(image, module);
    module->jit_searched = true;
    return module->jit_descriptor;
}

static void find_descriptors(struct image *image, struct image_jits *jits)
{
    jits->generation = image->generation;
    jits->descriptor_count = 0;
    jits->complete = false;
    vec_foreach (slot, &image->modules) {
        uint64_t descriptor = image_jit_descriptor(image, *slot);
        if (descriptor && jits->descriptor_count < MAX_DESCRIPTORS)
            jits->descriptors[jits->descriptor_count++] = descriptor;
    }
}

// ---- The list -----------------------------------------------------------------------------------

VEC_DEFINE(objects, struct object);

// Cuts what was gathered twice, of a list whose last `length` entries were a cycle.
static void cut_cycle(struct objects *objects, size_t first, size_t length)
{
    size_t at = first;
    while (at + length < objects->count &&
           objects->items[at].addr != objects->items[at + length].addr)
        at++;
    if (at + length < objects->count)
        objects->count = at + length;
}

static bool add_entry(struct objects *objects, uint64_t at, const struct code_entry *entry,
                      uint64_t *budget_bytes)
{
    struct object object = {.addr = at,
                            .next = entry->next,
                            .symfile = entry->symfile,
                            .claimed_bytes = entry->symfile_bytes};
    if (entry->symfile_bytes >= sizeof(Elf64_Ehdr) && entry->symfile_bytes <= MAX_SYMFILE_BYTES &&
        entry->symfile_bytes <= *budget_bytes)
        object.symfile_bytes = entry->symfile_bytes;
    *budget_bytes -= object.symfile_bytes;
    return vec_push(objects, object);
}

// The list may be changing while it is read, and be anything in a core. Cycles are found as in
// Brent, "An improved Monte Carlo factorization algorithm" (1980). False: it could not be read to
// its end.
static bool read_list(struct mem *mem, const struct descriptor *descriptor, uint64_t *budget_bytes,
                      struct objects *ret)
{
    struct code_entry entry;
    size_t first = ret->count, power = 1, steps = 0;
    uint64_t mark = 0;
    for (uint64_t at = descriptor->version == 1 ? descriptor->first : 0;
         at && ret->count < MAX_ENTRIES; at = entry.next) {
        if (mem_read_some(mem, at, &entry, sizeof(entry)) != sizeof(entry) ||
            !add_entry(ret, at, &entry, budget_bytes))
            return false;
        steps++;
        if (at == mark) {
            cut_cycle(ret, first, steps);
            return true;
        }
        if (steps == power) {
            mark = at;
            power *= 2;
            steps = 0;
        }
    }
    return true;
}

static bool same_place(const struct object *a, const struct object *b)
{
    return a->addr == b->addr && a->symfile == b->symfile && a->symfile_bytes == b->symfile_bytes;
}

// Whether the target still holds what was read, or still nothing that can be read.
static bool same_bytes(struct mem *mem, const struct object *object, void *scratch)
{
    size_t size = object->symfile_bytes;
    bool readable = size && mem_read_some(mem, object->symfile, scratch, size) == size;
    return object->bytes ? readable && memcmp(scratch, object->bytes, size) == 0 : !readable;
}

static bool same_entry(struct mem *mem, const struct object *object)
{
    struct code_entry entry;
    return mem_read_some(mem, object->addr, &entry, sizeof(entry)) == sizeof(entry) &&
           entry.next == object->next && entry.symfile == object->symfile &&
           entry.symfile_bytes == object->claimed_bytes;
}

// Registering changes the descriptor, unless malloc(3) gave an old entry's place to the new one;
// unregistering may not. So the first entry and some of the others in turn are compared, too:
// what goes unseen for a while is code that is gone.
static bool unchanged(struct image_jits *jits, struct mem *mem, const struct descriptor *now)
{
    size_t count = jits->objects.count;
    if (!jits->complete || memcmp(now, jits->last, jits->descriptor_count * sizeof(*now)) != 0)
        return false;
    AUTO_FREE void *scratch = count ? malloc(MAX_SYMFILE_BYTES) : NULL;
    for (size_t i = 0; scratch && i < RECHECKED && i < count; i++) {
        if (i > 0)
            jits->recheck_at = jits->recheck_at % (count - 1) + 1;
        const struct object *object = &jits->objects.items[i ? jits->recheck_at : 0];
        if (!same_entry(mem, object) || !same_bytes(mem, object, scratch))
            return false;
    }
    return true;
}

static int by_place(const void *left, const void *right)
{
    const struct object *a = left, *b = right;
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static void read_object(struct mem *mem, struct object *object)
{
    size_t size = object->symfile_bytes;
    AUTO_FREE void *bytes = size ? malloc(size) : NULL;
    if (!bytes || mem_read_some(mem, object->symfile, bytes, size) != size)
        return;
    object->bytes = TAKE(bytes);
    elf_version(EV_CURRENT);
    object->elf = elf_memory(object->bytes, size);
    GElf_Ehdr header;
    if (object->elf && elf_kind(object->elf) == ELF_K_ELF && gelf_getehdr(object->elf, &header) &&
        header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
        image_frames_sane(object->elf))
        return;
    elf_end(object->elf);
    object->elf = NULL;
}

// Objects that stayed keep what was read of them, if that is what still lies there.
static void adopt(struct image_jits *jits, struct mem *mem, struct objects *found)
{
    if (jits->objects.count)
        qsort(jits->objects.items, jits->objects.count, sizeof(struct object), by_place);
    AUTO_FREE void *scratch = malloc(MAX_SYMFILE_BYTES);
    vec_foreach (object, found) {
        struct object *old = jits->objects.count && scratch
                                 ? bsearch(object, jits->objects.items, jits->objects.count,
                                           sizeof(*object), by_place)
                                 : NULL;
        if (old && same_place(old, object) && same_bytes(mem, old, scratch)) {
            object->bytes = TAKE(old->bytes);
            object->elf = TAKE(old->elf);
        } else {
            read_object(mem, object);
        }
    }
    vec_foreach (old, &jits->objects)
        object_deinit(old);
    vec_deinit(&jits->objects);
    jits->objects.items = found->items;
    jits->objects.count = found->count;
    jits->objects.capacity = found->capacity;
    *found = (struct objects){0};
}

// ---- Their code ---------------------------------------------------------------------------------

static void add_code(struct image_jits *jits, Elf *elf, uint64_t start, uint64_t size)
{
    uint64_t end;
    if (start && size && !__builtin_add_overflow(start, size, &end))
        (void)vec_push(&jits->code, (struct image_jit){.start = start, .end = end, .elf = elf});
}

// By sections, as gdb does; by segments where there are none.
static void add_object_code(struct image_jits *jits, Elf *elf)
{
    size_t count = 0, phdr_count;
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section && count < MAX_CODE_RANGES;
         section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        const GElf_Xword flags = SHF_ALLOC | SHF_EXECINSTR;
        if (!gelf_getshdr(section, &header) || (header.sh_flags & flags) != flags)
            continue;
        add_code(jits, elf, header.sh_addr, header.sh_size);
        count++;
    }
    if (count || elf_getphdrnum(elf, &phdr_count) != 0)
        return;
    for (size_t i = 0; i < phdr_count && i < MAX_CODE_RANGES; i++) {
        GElf_Phdr phdr;
        if (gelf_getphdr(elf, (int)i, &phdr) && phdr.p_type == PT_LOAD && (phdr.p_flags & PF_X))
            add_code(jits, elf, phdr.p_vaddr, phdr.p_memsz);
    }
}

static int by_start(const void *left, const void *right)
{
    const struct image_jit *a = left, *b = right;
    return a->start != b->start ? (a->start < b->start ? -1 : 1)
                                : (a->end > b->end) - (a->end < b->end);
}

// Two objects cannot have the same address. What was claimed twice is left to neither: one of them
// is stale, and nothing says which.
static void drop_overlaps(struct image_jits *jits)
{
    size_t kept = 0;
    uint64_t reach = 0; // of all that came before
    for (size_t i = 0; i < jits->code.count; i++) {
        const struct image_jit code = jits->code.items[i];
        bool with_next = i + 1 < jits->code.count && jits->code.items[i + 1].start < code.end;
        bool with_last = code.start < reach;
        if (code.end > reach)
            reach = code.end;
        if (!with_next && !with_last)
            jits->code.items[kept++] = code;
    }
    jits->code.count = kept;
}

static struct image_jits *jits_of(struct image *image)
{
    if (!image->jits) {
        image->jits = calloc(1, sizeof(*image->jits));
        if (image->jits)
            image->jits->generation = image->generation - 1;
    }
    return image->jits;
}

void image_jit_refresh(struct image *image, struct mem *mem)
{
    struct image_jits *jits = jits_of(image);
    if (!jits)
        return;
    if (jits->generation != image->generation)
        find_descriptors(image, jits);
    if (jits->descriptor_count == 0 && jits->objects.count == 0)
        return;
    struct descriptor now[MAX_DESCRIPTORS] = {0}; // one that cannot be read has no list
    for (size_t i = 0; i < jits->descriptor_count; i++)
        if (mem_read_some(mem, jits->descriptors[i], &now[i], sizeof(now[i])) != sizeof(now[i]))
            now[i] = (struct descriptor){0};
    if (unchanged(jits, mem, now))
        return;
    struct objects found = {0};
    uint64_t budget_bytes = MAX_TOTAL_BYTES;
    jits->complete = true;
    for (size_t i = 0; i < jits->descriptor_count; i++)
        if (!read_list(mem, &now[i], &budget_bytes, &found))
            jits->complete = false;
    memcpy(jits->last, now, sizeof(now));
    adopt(jits, mem, &found);
    vec_clear(&jits->code);
    vec_foreach (object, &jits->objects)
        if (object->elf)
            add_object_code(jits, object->elf);
    if (jits->code.count)
        qsort(jits->code.items, jits->code.count, sizeof(struct image_jit), by_start);
    drop_overlaps(jits);
    jits->code_generation++;
}

uint64_t image_jit_generation(const struct image *image)
{
    return image->jits ? image->jits->code_generation : 0;
}

const struct image_jit *image_jit_at(const struct image *image, uint64_t addr)
{
    const struct image_jits *jits = image->jits;
    size_t low = 0, high = jits ? jits->code.count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct image_jit *code = &jits->code.items[middle];
        if (addr < code->start)
            high = middle;
        else if (addr >= code->end)
            low = middle + 1;
        else
            return code;
    }
    return NULL;
}
