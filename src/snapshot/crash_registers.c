// SPDX-License-Identifier: GPL-3.0-or-later
// What registers point to. Values of objects are not shown: they are the program's data.
#include <string.h>

#include "image/symbols.h"
#include "snapshot/crash_private.h"
#include "util/guard.h"
#include "util/limits.h"

#define TPFLAGS_TYPE_SUBCLASS (1ull << 31)
#define COUNT_MAX (1ull << 40)

// An object has a type, and that is an object whose type is a class of classes.
static bool is_object(struct py_decoder *dec, uint64_t address, struct py_type_info *ret)
{
    struct py_type_info meta;
    AUTO_ERR struct err *err = py_type_of(dec, address, ret);
    if (!err)
        err = py_type_of(dec, ret->addr, &meta);
    const char *name = err ? NULL : strtab_get(dec->strings, ret->name);
    if (!name || !*name || !(meta.flags & TPFLAGS_TYPE_SUBCLASS))
        return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c == 0x7f)
            return false;
    return true;
}

// "function handler", "module numpy": objects that have a name of their own.
static uint32_t named(const struct crash_site *site, const char *kind, uint64_t address,
                      enum py_field_id field)
{
    struct py_decoder *dec = &site->in->process->dec;
    uint64_t object;
    uint32_t name;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, address, field, &object);
    if (!err)
        err = py_str_id(dec, object, &name);
    return err ? crash_text(site, "%s", kind)
               : crash_text(site, "%s %s", kind, strtab_get(dec->strings, name));
}

static uint32_t counted(const struct crash_site *site, const char *kind, uint64_t address,
                        enum py_field_id field, const char *unit)
{
    struct py_decoder *dec = &site->in->process->dec;
    uint64_t count;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, address, field, &count);
    if (err || count > COUNT_MAX)
        return crash_text(site, "%s", kind);
    return crash_text(site, "%s of %llu %s%s", kind, (unsigned long long)count, unit,
                      count == 1 ? "" : "s");
}

static uint32_t describe_object(const struct crash_site *site, uint64_t address)
{
    struct py_decoder *dec = site->in->process ? &site->in->process->dec : NULL;
    struct py_type_info type;
    if (!dec || !is_object(dec, address, &type))
        return 0;
    const char *name = strtab_get(dec->strings, type.name);
    switch (type.kind) {
    case PY_KIND_STR:
        return counted(site, "str", address, PY_STR_length, "character");
    case PY_KIND_BYTES:
        return counted(site, "bytes", address, PY_BYTES_size, "byte");
    case PY_KIND_TUPLE:
        return counted(site, "tuple", address, PY_TUPLE_size, "item");
    case PY_KIND_DICT:
        return counted(site, "dict", address, PY_DICT_used, "item");
    case PY_KIND_FUNCTION:
        return named(site, "function", address, PY_FUNC_name);
    case PY_KIND_MODULE:
        return named(site, "module", address, PY_MODULE_name);
    case PY_KIND_CODE:
        return named(site, "code of", address, PY_CO_name);
    case PY_KIND_TYPE: {
        struct py_type_info info;
        AUTO_ERR struct err *err = py_type_info(dec, address, &info);
        return err ? 0 : crash_text(site, "class %s", strtab_get(dec->strings, info.name));
    }
    default:
        if (!type.heap && strcmp(name, "list") == 0)
            return counted(site, "list", address, PY_LIST_size, "item");
        return crash_text(site, "%s object", name);
    }
}

static uint32_t describe_place(const struct crash_site *site, uint64_t address)
{
    struct image_symbol symbol;
    uint64_t offset;
    struct module *module = image_module_at(site->image, address);
    if (module && image_symbol_at(site->image, module, address, &symbol))
        return crash_text(site, "%s+0x%llx", symbol.name,
                          (unsigned long long)(address - symbol.start));
    uint32_t mapping = crash_mapping(site, address, &offset);
    if (!mapping || !module)
        return mapping;
    return crash_text(site, "%s+0x%llx", strtab_get(site->in->strings, mapping),
                      (unsigned long long)offset);
}

// Memory whose first words are what an allocator writes into it when it is freed.
static const char *freed(const struct crash_site *site, uint64_t address)
{
    uint64_t words[2];
    AUTO_ERR struct err *err = mem_read(site->target->mem, address, words, sizeof(words));
    return !err && words[0] == words[1] ? crash_poison(words[1]) : NULL;
}

uint32_t crash_describe(const struct crash_site *site, uint64_t address)
{
    const char *poison = crash_poison(address);
    if (!address)
        return crash_text(site, "NULL");
    if (poison)
        return crash_text(site, "a word from %s", poison);
    if (crash_is_non_canonical(address))
        return crash_text(site, "no address");
    if (!target_mapping_at(site->target, address))
        return 0;
    uint32_t object = address % 8 ? 0 : describe_object(site, address);
    const char *gone = object ? NULL : freed(site, address);
    if (gone)
        return crash_text(site, "%s", gone);
    return object ? object : describe_place(site, address);
}

// Of the instruction's own registers all is told. Of the others what names something: any pointer
// points to memory, and any number may be no address.
static bool is_telling(const struct crash_site *site, uint64_t value, uint32_t text)
{
    const char *says = strtab_get(site->in->strings, text);
    return says && strcmp(says, "anonymous memory") != 0 &&
           (!crash_is_non_canonical(value) || crash_poison(value));
}

struct err *crash_registers(const struct crash_site *site, struct snap_registers *ret)
{
    const struct arch_unwind *unwind = arch_host()->unwind;
    const struct target_signal *signal = &site->signal;
    uint64_t operands = site->instruction.operands;
    // Where the instruction is not known: it may be what it went by.
    for (int i = 0; site->has_regs && i < unwind->count; i++)
        if (!site->instruction.size && signal->has_fault_address &&
            site->regs.raw[unwind->raw[i]] == signal->fault_address)
            operands |= 1ull << i;
    for (int used = 1; site->has_regs && used >= 0; used--)
        for (int i = 0; i < unwind->count; i++) {
            uint64_t value = site->regs.raw[unwind->raw[i]];
            if ((int)(operands >> i & 1) != used || (!used && !value))
                continue;
            struct snap_register reg = {
                .name = strtab_add_cstr(site->in->strings, unwind->names[i]),
                .value_text = crash_describe(site, value),
                .value = value,
            };
            if ((used || is_telling(site, value, reg.value_text)) && !vec_push(ret, reg))
                return err_create(ERR_NO_MEMORY, "crash");
        }
    return NULL;
}
