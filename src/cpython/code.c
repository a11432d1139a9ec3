// SPDX-License-Identifier: GPL-3.0-or-later
// The code object cache: see cpython/code.h.
#include "cpython/code.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"
#include "util/redact.h"
#include "util/vec.h"

#define CACHE_LIMIT_BYTES (64u << 20)
#define HEAD_MAX_BYTES 512
#define LARGE_TABLE_BYTES (64u << 10)
#define OBJECT_HEAD_BYTES 128 // of a str or bytes object, before its text
#define OBJECT_BYTES 96       // of names and line tables that are compared

#define CHECKED_SLOTS 1024 // distinct code objects on all stacks of a process: rarely more

struct py_codes {
    struct py_code **slots; // by address and fingerprint
    size_t slot_count, used;
    size_t bytes;
    uint64_t walked_bytes; // of large tables
    uint64_t proof;
    struct py_code *checked[CHECKED_SLOTS]; // fingerprint compared since the last recheck
};

struct py_codes *py_codes_create(void)
{
    return calloc(1, sizeof(struct py_codes));
}

static void code_destroy(struct py_code *code)
{
    if (!code)
        return;
    free(code->line_table);
    free(code->bytecode);
    free(code->exception_table);
    py_callsite_depths_destroy(code->depths);
    free(code);
}

void py_codes_clear(struct py_codes *codes)
{
    for (size_t i = 0; i < codes->slot_count; i++)
        code_destroy(codes->slots[i]);
    free(codes->slots);
    *codes = (struct py_codes){.proof = codes->proof};
}

void py_codes_recheck(struct py_codes *codes)
{
    codes->walked_bytes = 0;
    memset(codes->checked, 0, sizeof(codes->checked));
}

void py_codes_destroy(struct py_codes *codes)
{
    if (!codes)
        return;
    py_codes_clear(codes);
    free(codes);
}

void py_codes_trim(struct py_codes *codes)
{
    codes->walked_bytes = 0;
    if (codes->bytes > CACHE_LIMIT_BYTES)
        py_codes_clear(codes);
}

bool py_codes_may_walk(struct py_codes *codes, size_t bytes)
{
    if (!codes)
        return true;
    if (bytes > LARGE_TABLE_BYTES)
        codes->walked_bytes += bytes;
    return codes->walked_bytes <= LIMIT_TABLES_WALKED_BYTES;
}

bool py_codes_may_hold(struct py_codes *codes, size_t bytes)
{
    if (bytes > LIMIT_CODES_BYTES || codes->bytes > LIMIT_CODES_BYTES - bytes)
        return false;
    codes->bytes += bytes;
    return true;
}

static size_t slot_of(const struct py_codes *codes, uint64_t addr, uint64_t fingerprint)
{
    size_t at = hash_u64(fingerprint, addr) & (codes->slot_count - 1);
    while (codes->slots[at] &&
           (codes->slots[at]->addr != addr || codes->slots[at]->fingerprint != fingerprint))
        at = (at + 1) & (codes->slot_count - 1);
    return at;
}

static bool grow(struct py_codes *codes)
{
    struct py_codes next = {.slot_count = codes->slot_count ? codes->slot_count * 2 : 256};
    next.slots = calloc(next.slot_count, sizeof(struct py_code *));
    if (!next.slots)
        return false;
    for (size_t i = 0; i < codes->slot_count; i++) {
        struct py_code *code = codes->slots[i];
        if (code)
            next.slots[slot_of(&next, code->addr, code->fingerprint)] = code;
    }
    free(codes->slots);
    codes->slots = next.slots;
    codes->slot_count = next.slot_count;
    return true;
}

// The fixed part of a PyCodeObject, read at once.
struct head {
    uint64_t addr;
    unsigned char bytes[HEAD_MAX_BYTES];
    size_t size;
};

static uint64_t pick(const struct py_decoder *dec, const struct head *head, enum py_field_id field)
{
    return py_pick_or_0(&dec->layout, head->bytes, head->size, field);
}

static struct err *read_head(struct py_decoder *dec, uint64_t addr, struct head *ret)
{
    if (!addr || addr % 8)
        return err_create(ERR_BAD_DATA, "0x%llx is no code object", (unsigned long long)addr);
    ret->addr = addr;
    ret->size = 0;
    for (enum py_field_id field = PY_CO_ob_size; field <= PY_CO_tlbc; field++)
        if (py_layout_has(&dec->layout, field)) {
            size_t end = py_offset(&dec->layout, field) + 8;
            if (field != PY_CO_code_adaptive && end > ret->size && end <= HEAD_MAX_BYTES)
                ret->size = end;
        }
    TRY(mem_read(dec->mem, addr, ret->bytes, ret->size));
    uint64_t type;
    struct py_type_info info;
    if (!py_pick(&dec->layout, ret->bytes, ret->size, PY_OB_type, &type))
        return err_create(ERR_UNSUPPORTED, "no ob_type");
    TRY(py_type_info(dec, type, &info));
    if (info.kind != PY_KIND_CODE)
        return err_create(ERR_BAD_DATA, "0x%llx is no code object", (unsigned long long)addr);
    return NULL;
}

static struct err *missed(const struct py_decoder *dec, uint64_t addr, size_t size)
{
    return dec->copy && mem_copy_misses(dec->copy)->count ? err_fault(addr, size) : NULL;
}

// Length and first bytes of a str or bytes object that a code object of 3.11 and before is told apart
// by. Not the rest of it: hash, UTF-8 form and flags are filled in when they are first asked for. And
// never a byte behind it: what is read is kept by captures, and the next object may be a secret.
// What is not readable is lost to the frame, but no reason to lose the frame; a miss in a copy is
// one to try again.
static struct err *mix_object(struct py_decoder *dec, uint64_t addr, bool is_str, uint64_t *hash)
{
    const struct py_layout *lay = &dec->layout;
    size_t data = py_offset(lay, is_str ? PY_STR_ascii_data : PY_BYTES_data);
    unsigned char head[OBJECT_HEAD_BYTES], bytes[OBJECT_BYTES];
    if (data > sizeof(head))
        return NULL;
    size_t got = mem_read_some(dec->mem, addr, head, data);
    if (got < data)
        return missed(dec, addr + got, data - got);
    uint64_t type;
    struct py_type_info info;
    if (!py_pick(lay, head, data, PY_OB_type, &type))
        return NULL;
    struct err *err = py_type_info(dec, type, &info);
    if (err && dec->copy && mem_copy_misses(dec->copy)->count)
        return err;
    if (err || info.kind != (is_str ? PY_KIND_STR : PY_KIND_BYTES)) {
        err_destroy(err);
        return NULL;
    }
    uint64_t length = py_pick_or_0(lay, head, data, is_str ? PY_STR_length : PY_BYTES_size);
    // Include/cpython/unicodeobject.h up to 3.11: bits 5 and 6 of `state` are `compact` and `ascii`.
    // The characters of other strings are wider, or lie elsewhere.
    bool ascii = !is_str || (head[py_offset(lay, PY_STR_state)] & 0x60) == 0x60;
    size_t want = !ascii ? 0 : length < sizeof(bytes) ? (size_t)length : sizeof(bytes);
    got = mem_read_some(dec->mem, addr + data, bytes, want);
    if (got < want)
        TRY(missed(dec, addr + data + got, want - got));
    *hash = hash_u64(*hash, length);
    *hash = hash_bytes(*hash, bytes, got);
    return NULL;
}

static struct err *fingerprint(struct py_decoder *dec, const struct head *head, uint64_t *ret)
{
    static const enum py_field_id fields[] = {
        PY_CO_ob_size,   PY_CO_argcount, PY_CO_flags, PY_CO_firstlineno,
        PY_CO_stacksize, PY_CO_filename, PY_CO_name,  PY_CO_qualname,
        PY_CO_linetable, PY_CO_code,     PY_CO_names, PY_CO_version,
    };
    uint64_t hash = HASH_SEED;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        hash = hash_u64(hash, pick(dec, head, fields[i]));
    // co_version (3.12+) numbers code objects; before, another one may have been built of the
    // same pointers after the first one's death.
    if (!py_layout_has(&dec->layout, PY_CO_version)) {
        TRY(mix_object(dec, pick(dec, head, PY_CO_name), true, &hash));
        TRY(mix_object(dec, pick(dec, head, PY_CO_filename), true, &hash));
        TRY(mix_object(dec, pick(dec, head, PY_CO_linetable), false, &hash));
    }
    *ret = hash;
    return NULL;
}

static struct err *read_bytecode(struct py_decoder *dec, const struct head *head,
                                 struct py_code *code)
{
    if (py_layout_has(&dec->layout, PY_CO_code))
        return py_bytes(dec, pick(dec, head, PY_CO_code), LIMIT_CODE_BYTES, &code->bytecode,
                        &code->bytecode_bytes);
    // 3.11+: ob_size counts code units of two bytes, which follow the struct.
    uint64_t units = pick(dec, head, PY_CO_ob_size);
    if (units > LIMIT_CODE_BYTES / 2)
        return err_create(ERR_LIMIT, "code of %llu units", (unsigned long long)units);
    code->bytecode_bytes = units * 2;
    code->bytecode = malloc(code->bytecode_bytes + 1);
    if (!code->bytecode)
        return err_create(ERR_NO_MEMORY, "code");
    TRY(mem_read(dec->mem, code->bytecode_addr, code->bytecode, code->bytecode_bytes));
    TRY(py_code_restore(dec, pick(dec, head, PY_CO_monitoring), code));
    uint64_t table = pick(dec, head, PY_CO_exceptiontable);
    return table ? py_bytes(dec, table, LIMIT_LINE_TABLE_BYTES, &code->exception_table,
                            &code->exception_table_bytes)
                 : NULL;
}

// A part that is not readable is left out: the frame then lacks its line or its file, not more.
// A miss in a copy is different: all of it is to be tried again when the bytes are there.
static struct err *tolerate(struct py_decoder *dec, struct err *err, struct err **first_miss)
{
    if (!err)
        return NULL;
    if (dec->copy && err_code(err) == ERR_FAULT && mem_copy_misses(dec->copy)->count) {
        if (*first_miss)
            err_destroy(err);
        else
            *first_miss = err;
        return NULL;
    }
    if (err_code(err) == ERR_NO_MEMORY)
        return err;
    err_destroy(err);
    return NULL;
}

static struct err *read_path(struct py_decoder *dec, uint64_t object, uint32_t *ret)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    TRY(py_str(dec, object, &text, &size));
    AUTO_FREE char *shown = redact_path_bytes(text, size, &size);
    *ret = strtab_add(dec->strings, shown, size);
    return *ret ? NULL : err_create(ERR_NO_MEMORY, "path");
}

static struct err *fill(struct py_decoder *dec, const struct head *head, struct py_code *code)
{
    struct err *miss = NULL, *err;
    const struct py_layout *lay = &dec->layout;
    code->first_line = (int32_t)pick(dec, head, PY_CO_firstlineno);
    code->flags = (uint32_t)pick(dec, head, PY_CO_flags);
    code->slot_count = (uint32_t)pick(dec, head, PY_CO_nlocalsplus);
    code->stack_size = (uint32_t)pick(dec, head, PY_CO_stacksize);
    code->first_traceable = (uint32_t)pick(dec, head, PY_CO_firsttraceable);
    code->names_addr = pick(dec, head, PY_CO_names);
    if (py_layout_has(lay, PY_CO_code_adaptive))
        code->bytecode_addr = head->addr + py_offset(lay, PY_CO_code_adaptive);
    // All parts are asked for before a miss is reported, so that one batch brings them all.
    err = tolerate(dec, py_str_id(dec, pick(dec, head, PY_CO_name), &code->name), &miss);
    if (!err && py_layout_has(lay, PY_CO_qualname))
        err =
            tolerate(dec, py_str_id(dec, pick(dec, head, PY_CO_qualname), &code->qualname), &miss);
    if (!err)
        err = tolerate(dec, read_path(dec, pick(dec, head, PY_CO_filename), &code->file), &miss);
    if (!err)
        err = tolerate(dec,
                       py_bytes(dec, pick(dec, head, PY_CO_linetable), LIMIT_LINE_TABLE_BYTES,
                                &code->line_table, &code->line_table_bytes),
                       &miss);
    if (!err)
        err = tolerate(dec, read_bytecode(dec, head, code), &miss);
    if (err) {
        err_destroy(miss);
        return err;
    }
    return miss;
}

static struct py_code **checked_slot(struct py_codes *codes, uint64_t addr)
{
    return &codes->checked[hash_u64(HASH_SEED, addr) % CHECKED_SLOTS];
}

static struct err *get(struct py_decoder *dec, uint64_t addr, struct py_code **ret)
{
    struct head head;
    uint64_t print;
    struct py_code **checked = checked_slot(dec->codes, addr);
    TRY(read_head(dec, addr, &head));
    TRY(fingerprint(dec, &head, &print));
    struct py_codes *codes = dec->codes;
    if ((codes->used + 1) * 2 > codes->slot_count && !grow(codes))
        return err_create(ERR_NO_MEMORY, "code cache");
    size_t at = slot_of(codes, addr, print);
    if (codes->slots[at]) {
        *ret = *checked = codes->slots[at];
        (*ret)->proof = codes->proof;
        return NULL;
    }
    if (codes->bytes >= LIMIT_CODES_BYTES)
        return err_create(ERR_LIMIT, "more than %u MiB of code objects", LIMIT_CODES_BYTES >> 20);
    struct py_code *code = calloc(1, sizeof(*code));
    if (!code)
        return err_create(ERR_NO_MEMORY, "code cache");
    code->addr = addr;
    code->fingerprint = print;
    code->proof = codes->proof;
    struct err *err = fill(dec, &head, code);
    if (err) {
        code_destroy(code);
        return err;
    }
    codes->slots[at] = code;
    codes->used++;
    codes->bytes +=
        sizeof(*code) + code->line_table_bytes + code->bytecode_bytes + code->exception_table_bytes;
    *ret = *checked = code;
    return NULL;
}

struct err *py_code_get(struct py_decoder *dec, uint64_t addr, struct py_code **ret)
{
    struct py_code *known = *checked_slot(dec->codes, addr);
    if (known && known->addr == addr) {
        *ret = known;
        return NULL;
    }
    if (!dec->code_mem)
        return get(dec, addr, ret);
    struct mem *mem = dec->mem;
    struct mem_copy *copy = dec->copy;
    dec->mem = dec->code_mem;
    dec->copy = NULL;
    struct err *err = get(dec, addr, ret);
    dec->mem = mem;
    dec->copy = copy;
    return err;
}

void py_codes_begin_proof(struct py_codes *codes)
{
    codes->proof++;
}

bool py_code_still(struct py_decoder *dec, const struct py_code *code)
{
    struct py_code *now = NULL;
    if (code->proof == dec->codes->proof)
        return true;
    AUTO_ERR struct err *err = py_code_get(dec, code->addr, &now);
    return !err && now == code;
}
