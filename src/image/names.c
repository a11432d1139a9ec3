// SPDX-License-Identifier: GPL-3.0-or-later
// The function that an address lies in. See image/symbols.h.
#include "image/symbols.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/demangle.h"
#include "image/elf.h"
#include "symbol_table.h"
#include "util/guard.h"
#include "util/limits.h"
#include "util/strtab.h"

const char *image_keep_name(struct image *image, const char *text, size_t size)
{
    struct strtab **names = image->files ? image_files_names(image->files) : &image->names;
    if (!*names)
        *names = strtab_create();
    return *names ? strtab_get(*names, strtab_add(*names, text, size)) : NULL;
}

const char *image_pretty_name(struct image *image, const char *name)
{
    // "read@@GLIBC_2.2.5" is read; "read@plt" is not.
    const char *at = strchr(name, '@');
    bool is_stub = at && strcmp(at, "@plt") == 0;
    AUTO_FREE char *bare = at && at != name ? strndup(name, (size_t)(at - name)) : NULL;
    AUTO_FREE char *demangled = image_demangle(bare ? bare : name);
    AUTO_FREE char *stub = NULL;
    if (!bare && !demangled)
        return name;
    if (is_stub && asprintf(&stub, "%s@plt", demangled ? demangled : bare) < 0)
        stub = NULL;
    const char *text = stub ? stub : demangled ? demangled : bare;
    const char *kept = image_keep_name(image, text, strlen(text));
    return kept ? kept : name;
}

static bool add_minidebug(struct image_symbols *symbols, Elf *elf)
{
    void *bytes = NULL;
    Elf *inner = minidebug_open(elf, &bytes);
    if (!inner)
        return false;
    if (!vec_reserve(&symbols->elfs, symbols->elfs.count + 1) ||
        !vec_push(&symbols->bytes, bytes)) {
        elf_end(inner);
        free(bytes);
        return false;
    }
    symbols->elfs.items[symbols->elfs.count++] = inner;
    return symbol_table_add_elf(symbols, inner, SHT_SYMTAB);
}

static void add_from_memory(struct image_symbols *symbols, const struct image_module *module)
{
    struct image_dynamic_table table;
    const struct module *public = &module->public;
    if (module->image->from_memory_bytes > LIMIT_FROM_MEMORY_BYTES)
        return;
    if (!image_dynamic_table(module->image->target->mem, module, &table))
        return;
    if (!vec_push(&symbols->bytes, table.names)) {
        image_dynamic_table_deinit(&table);
        return;
    }
    // Each symbol becomes a function and a span.
    module->image->from_memory_bytes += table.names_bytes + table.count * 4 * sizeof(Elf64_Sym);
    symbol_table_add(symbols, table.symbols, table.count, table.names, table.names_bytes,
                     public->end - public->bias);
    table.names = NULL;
    image_dynamic_table_deinit(&table);
}

// Names stay where they are: image_elf() and image_debug_elf() live as long as the image.
static struct image_symbols *make_table(struct image *image, struct image_module *module)
{
    struct image_symbols *symbols = calloc(1, sizeof(*symbols));
    if (!symbols)
        return NULL;
    Elf *elf = image_elf(image, &module->public);
    Elf *debug = image_debug_elf(image, &module->public);
    bool found = symbol_table_add_elf(symbols, elf, SHT_SYMTAB);
    if (!found) {
        found = symbol_table_add_elf(symbols, elf, SHT_DYNSYM);
        found |= add_minidebug(symbols, elf);
    }
    found |= symbol_table_add_elf(symbols, debug, SHT_SYMTAB);
    if (found)
        symbol_table_add_plt(symbols, elf);
    else // no file, or one whose section headers were stripped off
        add_from_memory(symbols, module);
    symbol_table_finish(symbols);
    return symbols;
}

// Registered code comes in objects of a few symbols, which go when the next list is read: nothing is
// kept of them but names.
static bool jit_symbol_at(struct image *image, uint64_t addr, struct image_symbol *ret)
{
    const struct image_jit *jit = image_jit_at(image, addr);
    struct image_symbols *symbols = jit ? calloc(1, sizeof(*symbols)) : NULL;
    if (!symbols)
        return false;
    symbol_table_add_elf(symbols, jit->elf, SHT_SYMTAB);
    symbol_table_finish(symbols);
    const struct function_symbol *found = symbol_table_find(symbols, addr - jit->bias);
    const char *name = found ? image_keep_name(image, found->name, strlen(found->name)) : NULL;
    if (name)
        *ret = (struct image_symbol){.name = image_pretty_name(image, name),
                                     .raw_name = name,
                                     .start = jit->bias + found->start,
                                     .size = found->size};
    image_symbols_destroy(symbols);
    return name;
}

bool image_symbol_at(struct image *image, struct module *module, uint64_t addr,
                     struct image_symbol *ret)
{
    struct image_module *self = (struct image_module *)module;
    if (!module)
        return jit_symbol_at(image, addr, ret);
    if (addr < module->start || addr >= module->end)
        return false;
    if (image->record)
        return image_record_symbol_at(self, addr, ret);
    image_files_take(self);
    if (!self->symbols) {
        self->symbols = make_table(image, self);
        image_files_give(self);
    }
    struct function_symbol *found =
        self->symbols ? symbol_table_find(self->symbols, addr - module->bias) : NULL;
    if (!found || strnlen(found->name, LIMIT_STRING_CHARS) == LIMIT_STRING_CHARS)
        return false;
    if (!found->pretty)
        found->pretty = image_pretty_name(image, found->name);
    *ret = (struct image_symbol){.name = found->pretty,
                                 .raw_name = found->name,
                                 .start = module->bias + found->start,
                                 .size = found->size};
    return true;
}
