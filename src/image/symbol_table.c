// SPDX-License-Identifier: GPL-3.0-or-later
// The functions of one module, sorted once and found by halves.
#include "symbol_table.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>

// Names that are longer are not searched for a version: a million symbols may share one of 64 MiB.
#define MAX_VERSIONED 4096

// What a table says about one of its sections.
struct section_fact {
    uint64_t end;
    bool executable;
};

struct source {
    VEC(struct section_fact) sections; // none: the table comes without section headers
    const char *names;
    size_t names_bytes; // up to and with the last NUL: every name within ends
    uint64_t limit;     // no function reaches beyond
};

// Where the function must end at the latest; 0: this is no function.
static uint64_t function_limit(const struct source *source, const Elf64_Sym *symbol)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    bool is_function = type == STT_FUNC || type == STT_GNU_IFUNC;
    if ((!is_function && type != STT_NOTYPE) || symbol->st_shndx == SHN_UNDEF)
        return 0;
    if (symbol->st_shndx >= source->sections.count) // SHN_ABS and the like; or no sections at all
        return is_function && symbol->st_shndx < SHN_LORESERVE ? source->limit : 0;
    const struct section_fact *section = &source->sections.items[symbol->st_shndx];
    return section->executable || is_function ? section->end : 0;
}

static void add_symbol(struct image_symbols *symbols, const struct source *source,
                       const Elf64_Sym *symbol)
{
    uint64_t limit = function_limit(source, symbol);
    if (symbol->st_value >= limit || symbol->st_name >= source->names_bytes)
        return;
    const char *name = source->names + symbol->st_name;
    // Mapping symbols ($x, $d: AAELF64 5.5.5) and local labels are no functions.
    if (*name == '\0' || *name == '$' || (name[0] == '.' && name[1] == 'L'))
        return;
    uint64_t end = symbol->st_size ? symbol->st_value + symbol->st_size : limit;
    if (end <= symbol->st_value || symbols->functions.count >= IMAGE_MAX_SYMBOLS)
        return;
    // On no memory the symbol is missing, and its address is shown as module + offset.
    (void)vec_push(&symbols->functions,
                   (struct function_symbol){.name = name,
                                            .start = symbol->st_value,
                                            .size = symbol->st_size,
                                            .limit = limit,
                                            .binding = ELF64_ST_BIND(symbol->st_info)});
}

static size_t terminated_bytes(const char *names, size_t size)
{
    const char *last = names ? memrchr(names, '\0', size) : NULL;
    return last ? (size_t)(last - names) + 1 : 0;
}

// A mapped file's table may lie at any address: each symbol is copied before it is looked at.
static void add_all(struct image_symbols *symbols, const struct source *source, const void *table,
                    size_t count)
{
    const char *at = table;
    for (size_t i = 0; i < count; i++, at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, at, sizeof(symbol));
        add_symbol(symbols, source, &symbol);
    }
}

void symbol_table_add(struct image_symbols *symbols, const Elf64_Sym *table, size_t count,
                      const char *names, size_t names_bytes, uint64_t limit)
{
    struct source source = {
        .names = names, .names_bytes = terminated_bytes(names, names_bytes), .limit = limit};
    add_all(symbols, &source, table, count);
}

// Once in an ELF file, so that a symbol costs no call.
static void list_sections(Elf *elf, struct source *ret)
{
    Elf_Scn *section = NULL;
    struct section_fact none = {0};
    bool done = vec_push(&ret->sections, none);
    while (done && (section = elf_nextscn(elf, section))) {
        GElf_Shdr header;
        struct section_fact fact = {0};
        if (gelf_getshdr(section, &header) && (header.sh_flags & SHF_ALLOC) &&
            header.sh_size < UINT64_MAX - header.sh_addr) {
            fact.end = header.sh_addr + header.sh_size;
            fact.executable = header.sh_flags & SHF_EXECINSTR;
        }
        done = ret->sections.count < SHN_LORESERVE && vec_push(&ret->sections, fact);
    }
}

bool symbol_table_add_elf(struct image_symbols *symbols, Elf *elf, uint32_t table_type)
{
    bool found = false;
    if (!elf || gelf_getclass(elf) != ELFCLASS64)
        return false;
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_type != table_type)
            continue;
        size_t size;
        const char *names = image_elf_strings(elf, header.sh_link, &size);
        Elf_Data *data = elf_getdata(section, NULL);
        if (!names || !data || !data->d_buf || data->d_size < 2 * sizeof(Elf64_Sym))
            continue;
        struct source source = {
            .names = names, .names_bytes = terminated_bytes(names, size), .limit = 0};
        list_sections(elf, &source);
        add_all(symbols, &source, data->d_buf, data->d_size / sizeof(Elf64_Sym));
        vec_deinit(&source.sections);
        found = true;
    }
    return found;
}

// Of the symbols at one address the one with the highest rank is shown. Those with a size first,
// then by binding, as eu-stack does; among equals names that are not reserved for the
// implementation (C11 7.1.3) and carry no version ("@GLIBC_2.2.5").
static unsigned rank_of(const struct function_symbol *function)
{
    unsigned binding = function->binding == STB_LOCAL ? 0 : function->binding == STB_WEAK ? 1 : 2;
    const char *name = function->name;
    bool reserved = name[0] == '_' && name[1] == '_';
    bool versioned = memchr(name, '@', strnlen(name, MAX_VERSIONED));
    return (function->size != 0) * 12 + binding * 4 + !reserved * 2 + !versioned;
}

// Later ones before earlier ones, and the best of a place behind the others: the last is shown.
static bool list_spans(struct image_symbols *symbols)
{
    struct image_spans *spans = &symbols->spans;
    const struct function_symbol *functions = symbols->functions.items;
    if (!vec_reserve(spans, symbols->functions.count))
        return false;
    for (size_t i = symbols->functions.count; i-- > 0;) {
        uint64_t end =
            functions[i].size ? functions[i].start + functions[i].size : functions[i].limit;
        if (!image_spans_add(spans, functions[i].start, end, i))
            return false;
    }
    if (!image_spans_sort(spans))
        return false;
    for (size_t i = 0; i + 1 < spans->count; i++) {
        struct image_span *here = &spans->items[i], *next = here + 1;
        if (here->start == next->start &&
            rank_of(&functions[here->value]) > rank_of(&functions[next->value])) {
            struct image_span swap = *here;
            *here = *next;
            *next = swap;
        }
    }
    return true;
}

// Symbols of assembly code may have no size. Such a one reaches up to the next symbol, unless it is
// a label within a function that has a size.
static void size_labels(struct image_symbols *symbols)
{
    struct image_spans *spans = &symbols->spans;
    uint64_t covered = 0;
    size_t kept = 0;
    for (size_t i = 0, next; i < spans->count; i = next) {
        uint64_t start = spans->items[i].start;
        for (next = i; next < spans->count && spans->items[next].start == start; next++) {
            const struct image_span *span = &spans->items[next];
            if (symbols->functions.items[span->value].size && span->end > covered)
                covered = span->end;
        }
        for (size_t j = i; j < next; j++) {
            struct image_span span = spans->items[j];
            if (symbols->functions.items[span.value].size == 0) {
                if (covered > start)
                    continue;
                if (next < spans->count && spans->items[next].start < span.end)
                    span.end = spans->items[next].start;
            }
            spans->items[kept++] = span;
        }
    }
    spans->count = kept;
}

void symbol_table_finish(struct image_symbols *symbols)
{
    if (!list_spans(symbols)) {
        vec_deinit(&symbols->spans);
        return;
    }
    size_labels(symbols);
    if (!image_spans_flatten(&symbols->spans))
        vec_deinit(&symbols->spans);
}

struct function_symbol *symbol_table_find(const struct image_symbols *symbols, uint64_t addr)
{
    const struct image_span *span = image_spans_find(&symbols->spans, addr);
    return span ? &symbols->functions.items[span->value] : NULL;
}

void image_symbols_destroy(struct image_symbols *symbols)
{
    if (!symbols)
        return;
    vec_deinit(&symbols->functions);
    vec_deinit(&symbols->spans);
    vec_foreach (elf, &symbols->elfs)
        elf_end(*elf);
    vec_deinit(&symbols->elfs);
    vec_foreach (bytes, &symbols->bytes)
        free(*bytes);
    vec_deinit(&symbols->bytes);
    free(symbols);
}
