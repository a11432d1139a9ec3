// SPDX-License-Identifier: GPL-3.0-or-later
// File, line and inlined calls of an address, from DWARF. See image/symbols.h.
#include "lines.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "image/symbols.h"
#include "util/guard.h"

// Lexical blocks count, too.
#define MAX_SCOPES 256
#define MAX_INLINED 64
#define MAX_PATH_BYTES 8192

struct place {
    struct image *image;
    struct image_lines *lines;
    Dwarf_Die unit;
    uint64_t addr; // in the file
};

// The calls that were inlined around an address, outermost first.
struct calls {
    Dwarf_Die items[MAX_INLINED];
    size_t count;
};

static const char *text_of(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    return dwarf_formstring(dwarf_attr_integrate(die, name, &attribute));
}

static const char *function_name(struct image *image, Dwarf_Die *die)
{
    const char *linkage = text_of(die, DW_AT_linkage_name);
    if (!linkage)
        linkage = text_of(die, DW_AT_MIPS_linkage_name);
    const char *name = text_of(die, DW_AT_name);
    if (linkage && strlen(linkage) < MAX_PATH_BYTES) {
        const char *pretty = image_pretty_name(image, linkage);
        // A linkage name that cannot be told in words is worse than the plain name.
        if (pretty != linkage || !name)
            return image_keep_name(image, pretty, strlen(pretty));
    }
    return name ? image_keep_name(image, name, strnlen(name, MAX_PATH_BYTES)) : NULL;
}

// DW_AT_comp_dir is where the compiler ran: what it names relatively counts from there.
static const char *absolute(struct place *place, const char *file)
{
    if (!file || !*file || strcmp(file, "???") == 0)
        return NULL;
    AUTO_FREE char *joined = NULL;
    const char *dir = *file == '/' ? NULL : text_of(&place->unit, DW_AT_comp_dir);
    if (strnlen(file, MAX_PATH_BYTES) == MAX_PATH_BYTES ||
        (dir && strnlen(dir, MAX_PATH_BYTES) == MAX_PATH_BYTES))
        return NULL;
    // libdw has done so with its tables' own folders; builds that map "." have nothing to count from.
    if (dir && *dir == '/' && asprintf(&joined, "%s/%s", dir, file) < 0)
        joined = NULL;
    const char *text = joined ? joined : file;
    return image_keep_name(place->image, text, strlen(text));
}

static void own_line(struct place *place, struct image_location *ret)
{
    Dwarf_Line *line = dwarf_getsrc_die(&place->unit, place->addr);
    int number;
    if (!line)
        return;
    ret->file = absolute(place, dwarf_linesrc(line, NULL, NULL));
    // Line 0: code that belongs to no line (DWARF 5, 6.2.2).
    if (dwarf_lineno(line, &number) == 0 && number > 0)
        ret->line = number;
}

static void call_line(struct place *place, Dwarf_Die *call, struct image_location *ret)
{
    Dwarf_Attribute attribute;
    Dwarf_Word number;
    Dwarf_Files *files;
    size_t count;
    if (dwarf_formudata(dwarf_attr(call, DW_AT_call_line, &attribute), &number) == 0 &&
        number > 0 && number <= INT32_MAX)
        ret->line = (int32_t)number;
    if (dwarf_formudata(dwarf_attr(call, DW_AT_call_file, &attribute), &number) == 0 &&
        dwarf_getsrcfiles(&place->unit, &files, &count) == 0 && number < count)
        ret->file = absolute(place, dwarf_filesrc(files, number, NULL, NULL));
}

// The child of `scope` that holds the address: an inlined call or a block.
static bool inner_scope(const struct place *place, Dwarf_Die *scope, Dwarf_Die *ret)
{
    if (dwarf_child(scope, ret) != 0)
        return false;
    do {
        switch (dwarf_tag(ret)) {
        case DW_TAG_inlined_subroutine:
        case DW_TAG_lexical_block:
        case DW_TAG_try_block:
        case DW_TAG_catch_block:
        case DW_TAG_with_stmt:
            if (dwarf_haspc(ret, place->addr) > 0)
                return true;
        }
    } while (dwarf_siblingof(ret, ret) == 0);
    return false;
}

static void find_calls(const struct place *place, const Dwarf_Die *function, struct calls *ret)
{
    Dwarf_Die scope = *function, inner;
    for (int depth = 0; depth < MAX_SCOPES && inner_scope(place, &scope, &inner); depth++) {
        scope = inner;
        if (dwarf_tag(&scope) != DW_TAG_inlined_subroutine)
            continue;
        if (ret->count == MAX_INLINED)
            return;
        ret->items[ret->count++] = scope;
    }
}

static struct image_lines *lines_of(struct image *image, struct module *module)
{
    struct image_module *self = (struct image_module *)module;
    image_files_take(self);
    if (self->lines)
        return self->lines;
    self->lines = calloc(1, sizeof(*self->lines));
    if (!self->lines)
        return NULL;
    self->lines->alt_file.fd = -1;
    if (!image_dwarf_open(self, image_elf(image, module), self->lines))
        image_dwarf_open(self, image_debug_elf(image, module), self->lines);
    image_files_give(self);
    return self->lines;
}

size_t image_locations(struct image *image, struct module *module, uint64_t addr,
                       struct image_location *ret, size_t limit)
{
    if (!module || addr < module->start || addr >= module->end || limit == 0)
        return 0;
    if (image->record)
        return image_record_locations((struct image_module *)module, addr, ret, limit);
    struct place place = {
        .image = image, .lines = lines_of(image, module), .addr = addr - module->bias};
    Dwarf_Die function;
    struct calls calls = {.count = 0};
    bool has_function;
    if (!place.lines || !place.lines->dwarf ||
        !image_lines_find(place.lines, place.addr, &place.unit, &function, &has_function))
        return 0;
    if (has_function)
        find_calls(&place, &function, &calls);
    size_t count = 0;
    for (size_t i = calls.count; count < limit; i--) {
        struct image_location *location = &ret[count++];
        *location = (struct image_location){.line = -1};
        if (i == calls.count)
            own_line(&place, location);
        else
            call_line(&place, &calls.items[i], location);
        if (i == 0)
            break;
        location->function = function_name(image, &calls.items[i - 1]);
        location->inlined = true;
    }
    return count;
}
