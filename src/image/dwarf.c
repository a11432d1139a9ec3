// SPDX-License-Identifier: GPL-3.0-or-later
// Opens a module's DWARF and indexes it by address: units first, then the functions of those units
// that are asked for.
#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "lines.h"
#include "util/guard.h"

// What a program nests in earnest is far below; damaged DIEs may nest as deep as there are bytes.
#define MAX_DIE_DEPTH 64
#define MAX_UNITS (1u << 20)
#define MAX_UNIT_RANGES (1u << 24)

static bool open_alt_at(struct image_lines *lines, const char *root, const char *dir,
                        const char *name, const void *id, size_t id_bytes)
{
    AUTO_FREE char *path = NULL;
    // A name in a file of the target must not lead out of the directory.
    if (strstr(name, "../"))
        return false;
    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        path = NULL;
        return false;
    }
    struct image_place place = {(char *)root, path};
    if (!image_file_open(&place, &lines->alt_file))
        return false;
    const void *found;
    ssize_t found_bytes = dwelf_elf_gnu_build_id(lines->alt_file.elf, &found);
    if (found_bytes > 0 && (size_t)found_bytes == id_bytes && memcmp(found, id, id_bytes) == 0)
        lines->alt = dwarf_begin_elf(lines->alt_file.elf, DWARF_C_READ, NULL);
    if (!lines->alt)
        image_file_close(&lines->alt_file);
    return lines->alt;
}

// dwz moves what several files share into one more file. libdw would open whatever name is given
// there; here it is opened like every file of the target, and without it this DWARF is not used.
static bool open_alt(struct image_module *module, struct image_lines *lines)
{
    const struct image *image = module->image;
    const char *root = module->place.root, *name;
    const void *id;
    ssize_t id_bytes = dwelf_dwarf_gnu_debugaltlink(lines->dwarf, &name, &id);
    if (id_bytes <= 0)
        return id_bytes == 0;
    // Relative names count from the debug file's folder, and lead to .dwz on top of that tree.
    const char *below = strstr(name, ".dwz/");
    if (!below)
        below = name;
    if ((image->debug_dir &&
         open_alt_at(lines, NULL, image->debug_dir, below, id, (size_t)id_bytes)) ||
        open_alt_at(lines, root, "/usr/lib/debug", below, id, (size_t)id_bytes) ||
        (*name == '/' && open_alt_at(lines, root, "", name + 1, id, (size_t)id_bytes)))
        dwarf_setalt(lines->dwarf, lines->alt);
    return lines->alt;
}

static void close_dwarf(struct image_lines *lines)
{
    dwarf_end(lines->dwarf);
    dwarf_end(lines->alt);
    image_file_close(&lines->alt_file);
    lines->dwarf = lines->alt = NULL;
}

bool image_dwarf_open(struct image_module *module, Elf *elf, struct image_lines *ret)
{
    GElf_Shdr header;
    if (!image_elf_section(elf, ".debug_info", &header) &&
        !image_elf_section(elf, ".zdebug_info", &header))
        return false;
    ret->dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
    if (ret->dwarf && open_alt(module, ret))
        return true;
    close_dwarf(ret);
    return false;
}

// `budget`: how many ranges there may be yet. Damaged DIEs may all name one long list.
static bool add_ranges(Dwarf_Die *die, uint64_t value, uint64_t *budget, struct image_spans *ret)
{
    Dwarf_Addr base, start, end;
    ptrdiff_t at = 0;
    for (; *budget && (at = dwarf_ranges(die, at, &base, &start, &end)) > 0; --*budget)
        // The linker leaves ranges of functions that it threw away at address 0 or 1.
        if (start > 1 && !image_spans_add(ret, start, end, value))
            return false;
    return true;
}

static bool is_unit(int tag)
{
    return tag == DW_TAG_compile_unit || tag == DW_TAG_skeleton_unit;
}

// All units, by what their DIEs say: .debug_aranges is left out by clang, so that it proves nothing.
static void list_units(struct image_lines *lines)
{
    Dwarf_Off at = 0, next;
    size_t header_bytes;
    uint64_t budget = MAX_UNIT_RANGES;
    while (lines->units.count < MAX_UNITS &&
           dwarf_nextcu(lines->dwarf, at, &next, &header_bytes, NULL, NULL, NULL) == 0) {
        Dwarf_Die die;
        if (next <= at)
            break;
        if (dwarf_offdie(lines->dwarf, at + header_bytes, &die) && is_unit(dwarf_tag(&die))) {
            size_t index = lines->units.count;
            struct image_unit unit = {.offset = at + header_bytes, .bytes = next - at};
            if (!vec_push(&lines->units, unit) || !add_ranges(&die, index, &budget, &lines->spans))
                break;
        }
        at = next;
    }
    if (!image_spans_sort(&lines->spans) || !image_spans_flatten(&lines->spans))
        vec_deinit(&lines->spans);
}

static bool may_hold_functions(int tag)
{
    switch (tag) {
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_subprogram:
    case DW_TAG_lexical_block:
        return true;
    }
    return false;
}

// Outer functions before inner ones, so that of spans that start at one address the inner one wins.
// `budget`: siblings that are children of each other, too, would be walked 2^depth times.
static void list_functions(Dwarf_Die *parent, int depth, uint64_t *budget, struct image_spans *ret)
{
    Dwarf_Die die;
    if (depth > MAX_DIE_DEPTH || !*budget || dwarf_child(parent, &die) != 0)
        return;
    do {
        int tag = dwarf_tag(&die);
        --*budget;
        if (tag == DW_TAG_subprogram)
            add_ranges(&die, dwarf_dieoffset(&die), budget, ret);
        if (may_hold_functions(tag))
            list_functions(&die, depth + 1, budget, ret);
    } while (*budget && dwarf_siblingof(&die, &die) == 0);
}

bool image_lines_find(struct image_lines *lines, uint64_t addr, Dwarf_Die *ret_unit,
                      Dwarf_Die *ret_function, bool *ret_has_function)
{
    if (!lines->units.count)
        list_units(lines);
    const struct image_span *span = image_spans_find(&lines->spans, addr);
    if (!span)
        return false;
    struct image_unit *unit = &lines->units.items[span->value];
    if (!dwarf_offdie(lines->dwarf, unit->offset, ret_unit))
        return false;
    if (!unit->listed) {
        unit->listed = true;
        // Ranges count, too, and lie in another section.
        uint64_t budget = unit->bytes + MAX_UNIT_RANGES / 16;
        list_functions(ret_unit, 0, &budget, &unit->functions);
        if (!image_spans_sort(&unit->functions) || !image_spans_flatten(&unit->functions))
            vec_deinit(&unit->functions);
    }
    span = image_spans_find(&unit->functions, addr);
    *ret_has_function = span && dwarf_offdie(lines->dwarf, span->value, ret_function);
    return true;
}

void image_lines_destroy(struct image_lines *lines)
{
    if (!lines)
        return;
    vec_foreach (unit, &lines->units)
        vec_deinit(&unit->functions);
    vec_deinit(&lines->units);
    vec_deinit(&lines->spans);
    close_dwarf(lines);
    free(lines);
}
