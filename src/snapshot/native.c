// SPDX-License-Identifier: GPL-3.0-or-later
// Names of native program counters: see native.h. A table from pc to frames; new ones cost what
// symbols and DWARF cost, known ones a look into a hash table.
#include "snapshot/native.h"

#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "image/symbols.h"
#include "util/guard.h"
#include "util/hash.h"

#define PCS_MAX 65536  // kept; a program that runs more at once is looked up again
#define INLINED_MAX 32 // calls inlined at one place

struct snap_natives {
    struct image *image; // borrowed
    struct strtab *strings;
    VEC(struct snap_native) pcs;
    VEC(struct snap_frame) frames;
    uint32_t *index; // of pcs, + 1
    size_t index_size;
    struct module *interpreter, *others[64]; // the last one that was one, and those that are none
};

struct snap_natives *snap_natives_create(struct image *image, struct strtab *strings)
{
    struct snap_natives *natives = calloc(1, sizeof(*natives));
    if (!natives)
        return NULL;
    natives->image = image;
    natives->strings = strings;
    // The first is what stands in when memory is out.
    struct snap_frame frame = {.kind = SNAP_NATIVE, .line = -1, .column = -1, .first_line = -1};
    struct snap_native none = {.count = 1};
    natives->index_size = 4 * PCS_MAX;
    natives->index = calloc(natives->index_size, sizeof(*natives->index));
    if (!natives->index || !vec_push(&natives->frames, frame) || !vec_push(&natives->pcs, none)) {
        snap_natives_destroy(natives);
        return NULL;
    }
    return natives;
}

void snap_natives_destroy(struct snap_natives *natives)
{
    if (!natives)
        return;
    vec_deinit(&natives->pcs);
    vec_deinit(&natives->frames);
    free(natives->index);
    free(natives);
}

void snap_natives_forget(struct snap_natives *natives, struct image *image)
{
    natives->image = image;
    natives->interpreter = NULL;
    memset(natives->others, 0, sizeof(natives->others));
    natives->pcs.count = natives->frames.count = 1;
    memset(natives->index, 0, natives->index_size * sizeof(*natives->index));
}

void snap_natives_trim(struct snap_natives *natives)
{
    if (natives->pcs.count > PCS_MAX || natives->frames.count > 4 * PCS_MAX)
        snap_natives_forget(natives, natives->image);
}

const struct snap_native *snap_native_get(const struct snap_natives *natives, uint32_t index)
{
    return &natives->pcs.items[index];
}

const struct snap_frame *snap_native_frames(const struct snap_natives *natives,
                                            const struct snap_native *native)
{
    return &natives->frames.items[native->first];
}

// ---- What part it plays -------------------------------------------------------------------------

static const struct {
    const char *name;
    bool prefix;
} machinery[] = {
#define NAME(name) {name, false},
#define PREFIX(name) {name, true},
#include "snapshot/machinery.def"
#undef NAME
#undef PREFIX
};

enum native_role snap_native_role(const char *raw_name)
{
    // foo.cold, foo.constprop.0, foo.lto_priv.1, foo.llvm.123: parts and copies of foo.
    size_t size = strcspn(raw_name, ".");
    static const char loop[] = "_PyEval_EvalFrameDefault";
    if (size == sizeof(loop) - 1 && memcmp(raw_name, loop, size) == 0)
        return NATIVE_LOOP;
    for (size_t i = 0; i < ARRAY_SIZE(machinery); i++) {
        size_t want = strlen(machinery[i].name);
        if ((machinery[i].prefix ? size >= want : size == want) &&
            memcmp(raw_name, machinery[i].name, want) == 0)
            return NATIVE_MACHINERY;
    }
    return NATIVE_WORK;
}

// greenlet: src/greenlet/TUserGreenlet.cpp, UserGreenlet::g_initialstub(); up to 1.1 a function of
// greenlet.c. Its extension module lies in the package, up to 0.4 beside it.
enum native_role snap_native_role_elsewhere(const char *module, const char *raw_name)
{
    bool greenlet = strncmp(module, "_greenlet.", 10) == 0 || strncmp(module, "greenlet.", 9) == 0;
    return greenlet && strstr(raw_name, "g_initialstub") ? NATIVE_GREENLET : NATIVE_WORK;
}

static bool is_interpreter(struct snap_natives *natives, struct module *module)
{
    uint64_t addr, size;
    struct module **other =
        &natives->others[hash_u64(HASH_SEED, (uintptr_t)module) % ARRAY_SIZE(natives->others)];
    if (module == natives->interpreter || module == *other)
        return module == natives->interpreter;
    // Exported by every version and build.
    bool is = image_symbol(natives->image, module, "_PyEval_EvalFrameDefault", &addr, &size);
    *(is ? &natives->interpreter : other) = module;
    return is;
}

// ---- What it is called --------------------------------------------------------------------------

static uint32_t base_name(struct strtab *strings, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return path ? strtab_add_cstr(strings, slash && slash[1] ? slash + 1 : path) : 0;
}

// The calls inlined at that place, innermost first, and the function itself.
static size_t locations(struct snap_natives *natives, struct module *module, uint64_t lookup,
                        bool of_interpreter, const struct snap_frame *function,
                        struct snap_frame *ret)
{
    struct image_location found[INLINED_MAX];
    size_t count = image_locations(natives->image, module, lookup, found, INLINED_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct image_location *from = &found[i];
        ret[i] = *function;
        if (from->function)
            ret[i].function = strtab_add_cstr(natives->strings, from->function);
        ret[i].flags = from->inlined ? SNAP_FRAME_INLINED : 0;
        ret[i].file = from->file ? strtab_add_cstr(natives->strings, from->file) : 0;
        ret[i].line = from->line;
        // See snap_native_frames.
        ret[i].activation = of_interpreter && from->inlined && from->function &&
                            snap_native_role(from->function) == NATIVE_MACHINERY;
    }
    // The function closes the list, also where there was no room for it.
    if (!count || found[count - 1].inlined)
        ret[count++] = *function;
    return count;
}

// True: it will be the same the next time.
static bool look_up(struct snap_natives *natives, const struct target *target, uint64_t pc,
                    uint64_t lookup, struct snap_native *native, struct snap_frame *ret)
{
    struct module *module = natives->image ? image_module_at(natives->image, lookup) : NULL;
    struct snap_frame frame = {
        .kind = SNAP_NATIVE, .line = -1, .column = -1, .first_line = -1, .address = pc};
    struct image_symbol symbol;
    *ret = frame;
    native->count = 1;
    if (!module) {
        const struct target_mapping *mapping = target_mapping_at(target, lookup);
        native->role = mapping && mapping->path ? NATIVE_WORK : NATIVE_ANONYMOUS;
        if (mapping && mapping->path) {
            ret->module = base_name(natives->strings, mapping->path);
            ret->offset = pc - mapping->start;
        } else if (natives->image && image_symbol_at(natives->image, NULL, lookup, &symbol)) {
            // Made at run time, and registered for debuggers.
            ret->function = strtab_add_cstr(natives->strings, symbol.name);
            ret->offset = pc - symbol.start;
        }
        return false;
    }
    frame.module = base_name(natives->strings, module->path);
    frame.offset = pc - module->start;
    native->role = NATIVE_WORK;
    native->of_interpreter = is_interpreter(natives, module);
    native->named = image_symbol_at(natives->image, module, lookup, &symbol);
    if (native->named) {
        frame.function = strtab_add_cstr(natives->strings, symbol.name);
        frame.offset = pc - symbol.start;
        const char *raw = symbol.raw_name ? symbol.raw_name : symbol.name;
        const char *file = strtab_get(natives->strings, frame.module);
        native->role = native->of_interpreter ? snap_native_role(raw)
                                              : snap_native_role_elsewhere(file ? file : "", raw);
    }
    native->count =
        (uint32_t)locations(natives, module, lookup, native->of_interpreter, &frame, ret);
    return true;
}

static size_t slot_of(const struct snap_natives *natives, uint64_t key)
{
    size_t mask = natives->index_size - 1, at = hash_u64(HASH_SEED, key) & mask;
    while (natives->index[at] && natives->pcs.items[natives->index[at] - 1].key != key)
        at = (at + 1) & mask;
    return at;
}

uint32_t snap_native_put(struct snap_natives *natives, uint64_t pc, bool exact_pc,
                         const struct snap_native *native, const struct snap_frame *frames,
                         bool keep)
{
    struct snap_native made = *native;
    size_t at = slot_of(natives, pc << 1 | exact_pc);
    made.key = pc << 1 | exact_pc;
    made.first = (uint32_t)natives->frames.count;
    if (!vec_reserve(&natives->frames, natives->frames.count + made.count) ||
        !vec_push(&natives->pcs, made))
        return 0;
    for (size_t i = 0; i < made.count; i++)
        natives->frames.items[natives->frames.count++] = frames[i];
    uint32_t index = (uint32_t)natives->pcs.count - 1;
    // Half of the index stays empty.
    if (keep && natives->pcs.count < natives->index_size / 2)
        natives->index[at] = index + 1;
    return index;
}

uint32_t snap_native_at(struct snap_natives *natives, const struct target *target, uint64_t pc,
                        bool exact_pc)
{
    size_t at = slot_of(natives, pc << 1 | exact_pc);
    if (natives->index[at])
        return natives->index[at] - 1;
    struct snap_native native = {0};
    struct snap_frame frames[INLINED_MAX + 1];
    // What lies in no module may be another thing the next time.
    bool keep = look_up(natives, target, pc, exact_pc ? pc : pc - 1, &native, frames);
    return snap_native_put(natives, pc, exact_pc, &native, frames, keep);
}
