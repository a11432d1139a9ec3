// SPDX-License-Identifier: GPL-3.0-or-later
// What a frame is in the middle of calling, from bytecode and exception tables. Input: version,
// stack size, size of the exception table, that table, the code.
#include "cpython/callsite.h"
#include "fuzz.h"

static uint8_t *copy_of(struct fuzz_input bytes)
{
    uint8_t *ret = malloc(bytes.size ? bytes.size : 1);
    FUZZ_CHECK(ret);
    memcpy(ret, bytes.data, bytes.size);
    return ret;
}

static void check(const struct py_callsite *site, size_t size)
{
    FUZZ_CHECK(site->depth_count <= PY_CALLSITE_DEPTHS_MAX);
    FUZZ_CHECK(!site->depth_certain || site->depth_count == 1);
    FUZZ_CHECK(site->name_index >= -1 && site->instruction_bytes <= size);
    for (uint32_t i = 0; i < site->depth_count; i++)
        FUZZ_CHECK(site->depths[i] >= 0 && site->depths[i] <= (int32_t)PY_CALLSITE_STACK_MAX);
    FUZZ_CHECK(!site->depth_count || (site->slot >= -1 && site->slot_alt >= -1));
}

static bool check_method(void *arg, const struct py_method_call *call)
{
    const struct py_bytecode *bc = arg;
    FUZZ_CHECK(call->part_count >= 1 && call->part_count <= PY_METHOD_PARTS_MAX);
    FUZZ_CHECK(call->root_index >= 0 && call->begin_bytes < call->end_bytes);
    FUZZ_CHECK(call->begin_bytes < bc->size_bytes);
    for (uint32_t i = 0; i < call->part_count; i++)
        FUZZ_CHECK(call->parts[i] >= 0);
    return true;
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size < 2048 ? size : 2048};
    struct py_bytecode bc = {.version = (uint16_t)(0x0306 + fuzz_take(&in, 1) % 11)};
    bc.stack_size = (uint32_t)fuzz_take(&in, 2);
    if (bc.stack_size >= 0xff00)
        bc.stack_size <<= 16;
    struct fuzz_input table = fuzz_take_bytes(&in, fuzz_take(&in, 1));
    AUTO_FREE uint8_t *exceptions = copy_of(table), *code = copy_of(in);
    bc.code = code;
    bc.size_bytes = in.size;
    bc.exception_table = bc.version >= 0x030b ? exceptions : NULL;
    bc.exception_table_size = bc.exception_table ? table.size : 0;
    struct py_callsite_depths *depths = py_callsite_depths_create(&bc);
    for (size_t offset = 0; offset < in.size + 4; offset += 1 + (offset > 256) * 37) {
        struct py_callsite site;
        if (py_callsite_find(&bc, depths, offset, offset % 64 == 8 ? 3 : -1, &site))
            check(&site, in.size);
        py_callsite_is_call(&bc, offset);
    }
    py_callsite_depths_destroy(depths);
    py_callsite_methods(&bc, check_method, &bc);
    for (size_t offset = 0; offset < in.size + 4; offset += 6) {
        py_callsite_in_loop(&bc, offset);
        FUZZ_CHECK(!py_callsite_is_certain(&bc, 0, offset) || offset < in.size);
    }
}

static void seeds(void)
{
    // Each opcode once in a row, with small arguments, for each version: most that there is to
    // decode.
    for (uint8_t version = 0; version < 10; version++) {
        uint8_t seed[4 + 9 + 512] = {version, 8, 0, 9, 0x80, 4, 20, 1, 0x80 | 10, 30, 60, 4, 0};
        for (size_t i = 0; i < 256; i++) {
            seed[13 + 2 * i] = (uint8_t)i;
            seed[13 + 2 * i + 1] = (uint8_t)(i % 5);
        }
        fuzz_seed(seed, sizeof(seed));
        fuzz_seed(seed, 13 + 80);
    }
}

FUZZ_TARGET(callsite, run, seeds, 20000)
