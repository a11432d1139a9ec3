// SPDX-License-Identifier: GPL-3.0-or-later
// Questions about machine code in the target: may this be executed, does it follow a call. Answers
// are kept in a small table.
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "image/elf.h"
#include "unwind/walk.h"
#include "util/hash.h"

#define SLOTS 2048u

struct code_cache {
    struct {
        uint64_t pc; // 0: empty
        uint64_t target;
        bool follows;
    } slots[SLOTS];
};

struct code_cache *code_cache_create(void)
{
    return calloc(1, sizeof(struct code_cache));
}

void code_cache_forget(struct code_cache *cache)
{
    memset(cache, 0, sizeof(*cache));
}

void code_cache_destroy(struct code_cache *cache)
{
    free(cache);
}

// Where a core does not tell the permissions of what it left out, the file's headers do.
static bool in_code_segment(struct unwinder *unwinder, uint64_t pc)
{
    struct module *module = image_module_at(unwinder->image, pc);
    Elf *elf = module ? image_elf(unwinder->image, module) : NULL;
    size_t count;
    if (!elf || elf_getphdrnum(elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr phdr;
        if (gelf_getphdr(elf, (int)i, &phdr) && phdr.p_type == PT_LOAD && (phdr.p_flags & PF_X) &&
            pc - module->bias - phdr.p_vaddr < phdr.p_memsz)
            return true;
    }
    return false;
}

bool code_is_executable(struct unwinder *unwinder, uint64_t pc)
{
    const struct target_mapping *mapping = target_mapping_at(unwinder->target, pc);
    if (mapping && mapping->executable)
        return true;
    return unwinder->target->kind == TARGET_CORE && in_code_segment(unwinder, pc);
}

static bool look(struct unwinder *unwinder, uint64_t pc, uint64_t *ret_target)
{
    uint8_t code[16];
    size_t size = unwinder->arch->call_bytes;
    *ret_target = 0;
    if (pc < 4096 || size > sizeof(code) || !code_is_executable(unwinder, pc - 1))
        return false;
    // The call may be the first code of a mapping.
    for (; size >= 2; size--)
        if (mem_read_some(unwinder->target->mem, pc - size, code, size) == size)
            return unwinder->arch->follows_call(code, size, pc, ret_target);
    return false;
}

bool code_follows_call(struct unwinder *unwinder, uint64_t pc, uint64_t *ret_target)
{
    size_t index = hash_u64(HASH_SEED, pc) % SLOTS;
    __typeof__(unwinder->code->slots[0]) *slot = &unwinder->code->slots[index];
    if (slot->pc != pc || pc == 0) {
        slot->follows = look(unwinder, pc, &slot->target);
        slot->pc = pc;
    }
    *ret_target = slot->target;
    return slot->follows;
}
