// SPDX-License-Identifier: GPL-3.0-or-later
// callsite.h against bytecode written out here, and against hostile bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpython/callsite.h"

#define CODE(version_, stack_, ...) \
    (&(struct py_bytecode){ \
        .code = (const uint8_t[]){__VA_ARGS__}, \
        .size_bytes = sizeof((const uint8_t[]){__VA_ARGS__}), \
        .version = version_, \
        .stack_size = stack_, \
    })

static struct py_callsite found(const struct py_bytecode *bc, size_t offset_bytes)
{
    struct py_callsite ret;

    assert_true(py_callsite_find(bc, NULL, offset_bytes, -1, &ret));
    return ret;
}

static void expect(const struct py_callsite *site, enum py_call_kind kind, int32_t slot,
                   enum py_name_kind name_kind, int32_t name_index)
{
    assert_int_equal(site->kind, kind);
    assert_true(site->depth_certain);
    assert_int_equal(site->slot, slot);
    assert_int_equal(site->name_kind, name_kind);
    assert_int_equal(site->name_index, name_index);
}

// f(x, g(y, z=1)) of 3.6: LOAD_GLOBAL 0; LOAD_FAST 0; LOAD_GLOBAL 1; LOAD_FAST 1; LOAD_CONST 1;
// LOAD_CONST 2; CALL_FUNCTION_KW 2; CALL_FUNCTION 2; RETURN_VALUE
static void test_nested_36(void **state)
{
    (void)state;
    const struct py_bytecode *bc = CODE(0x0306, 6, 116, 0, 124, 0, 116, 1, 124, 1, 100, 1, 100, 2,
                                        141, 2, 131, 2, 83, 0);
    struct py_callsite inner = found(bc, 12);
    struct py_callsite outer = found(bc, 14);

    expect(&inner, PY_CALL_FUNCTION, 2, PY_NAME_GLOBAL, 1);
    assert_int_equal(inner.arg_count, 2);
    expect(&outer, PY_CALL_FUNCTION, 0, PY_NAME_GLOBAL, 0);
    assert_int_equal(outer.slot_alt, -1);
    assert_false(py_callsite_is_call(bc, 10));
    assert_true(py_callsite_is_call(bc, 12));
}

// poll.poll(t) of 3.8, the attribute name behind an EXTENDED_ARG: LOAD_FAST 0; EXTENDED_ARG 1;
// LOAD_METHOD 5; LOAD_FAST 1; CALL_METHOD 1; RETURN_VALUE
static void test_method_38(void **state)
{
    (void)state;
    const struct py_bytecode *bc =
        CODE(0x0308, 3, 124, 0, 144, 1, 160, 5, 124, 1, 161, 1, 83, 0);
    struct py_callsite site = found(bc, 8);

    expect(&site, PY_CALL_METHOD, 0, PY_NAME_METHOD, 0x105);
    assert_int_equal(site.slot_alt, 1);
    // The offset of the prefix belongs to the instruction behind it.
    site = found(bc, 2);
    assert_int_equal(site.kind, PY_CALL_NONE);
    assert_int_equal(site.instruction_bytes, 4);
    assert_int_equal(site.oparg, 0x105);
    assert_int_equal(site.depths[0], 1);
}

// time.sleep(1) of 3.12, specialised: RESUME 0; LOAD_GLOBAL_MODULE 0 (+4 caches);
// LOAD_ATTR_MODULE 3 (+9; method bit, name 1); LOAD_CONST 1; CALL_NO_KW_BUILTIN_O 1 (+3);
// RETURN_VALUE. Caches hold what looks like opcodes.
static void test_specialised_312(void **state)
{
    (void)state;
    uint8_t code[40 + 4] = {151, 0};
    struct py_bytecode bc = {.code = code, .size_bytes = 42, .version = 0x030c, .stack_size = 3};

    memset(code + 2, 140, sizeof(code) - 2); // JUMP_BACKWARD
    memcpy(code + 2, (uint8_t[]){116, 0}, 2);
    memcpy(code + 12, (uint8_t[]){106, 3}, 2);
    memcpy(code + 32, (uint8_t[]){100, 1, 171, 1}, 4);
    struct py_callsite site = found(&bc, 34);
    expect(&site, PY_CALL_METHOD, 0, PY_NAME_METHOD, 1);
    // prev_instr may point at the last inline cache.
    struct py_callsite in_cache = found(&bc, 40);
    assert_int_equal(in_cache.instruction_bytes, 34);
    assert_int_equal(in_cache.slot, 0);
    // INSTRUMENTED_CALL is a CALL; INSTRUMENTED_LINE hides what it was.
    code[34] = 241;
    site = found(&bc, 34);
    expect(&site, PY_CALL_METHOD, 0, PY_NAME_METHOD, 1);
    code[32] = 254;
    assert_false(py_callsite_find(&bc, NULL, 34, -1, &site));
}

// f(x) of 3.11, C function called by the PRECALL: RESUME; LOAD_GLOBAL 1 (+5; NULL, name 0);
// LOAD_FAST 0; PRECALL 1 (+1); CALL 1 (+4); RETURN_VALUE
static void test_precall_311(void **state)
{
    (void)state;
    const struct py_bytecode *bc =
        CODE(0x030b, 3, 151, 0, 116, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 124, 0, 166, 1, 0, 0,
             171, 1, 0, 0, 0, 0, 0, 0, 0, 0, 83, 0);
    struct py_callsite precall = found(bc, 18);
    struct py_callsite call = found(bc, 20);

    expect(&precall, PY_CALL_METHOD, 0, PY_NAME_GLOBAL, 0);
    expect(&call, PY_CALL_METHOD, 0, PY_NAME_GLOBAL, 0);
    assert_int_equal(call.instruction_bytes, 20);
    assert_int_equal(call.slot_alt, 1);
}

// (f if c else g)(): the name cannot be told, the slot can. 3.10: LOAD_FAST 0;
// POP_JUMP_IF_FALSE 4; LOAD_GLOBAL 0; JUMP_FORWARD 1; LOAD_GLOBAL 1; CALL_FUNCTION 0; RETURN
static void test_two_origins(void **state)
{
    (void)state;
    const struct py_bytecode *bc =
        CODE(0x030a, 1, 124, 0, 114, 4, 116, 0, 110, 1, 116, 1, 131, 0, 83, 0);
    struct py_callsite site = found(bc, 10);

    expect(&site, PY_CALL_FUNCTION, 0, PY_NAME_UNKNOWN, -1);
}

// An exception handler of 3.13 with two values below it and lasti: depth 4 at its start.
// RESUME; RETURN_CONST; handler: PUSH_EXC_INFO; WITH_EXCEPT_START; RERAISE
static void test_exception_table(void **state)
{
    (void)state;
    const uint8_t table[] = {0x80, 1, 2, 2 << 1 | 1};
    struct py_bytecode bc = *CODE(0x030d, 6, 149, 0, 103, 0, 33, 0, 44, 0, 102, 0);
    bc.exception_table = table;
    bc.exception_table_size = sizeof(table);
    struct py_callsite site = found(&bc, 6);

    assert_int_equal(site.depths[0], 5);
    expect(&site, PY_CALL_EXIT, 1, PY_NAME_SPECIAL, PY_SPECIAL_EXIT);
    // Without the table nothing leads there.
    bc.exception_table_size = 3;
    site = found(&bc, 6);
    assert_int_equal(site.depth_count, 0);
    assert_int_equal(site.slot, -1);
    // The frame may know its depth.
    assert_true(py_callsite_find(&bc, NULL, 6, 5, &site));
    assert_int_equal(site.slot, 1);
    assert_true(site.depth_certain);
}

// try: return f() finally: g(), 3.7: entered by return (2 values) and by exceptions (6); the
// fall into it (1) is dead code. SETUP_FINALLY 6; LOAD_GLOBAL 0; CALL_FUNCTION 0; RETURN_VALUE;
// finally: LOAD_GLOBAL 1; CALL_FUNCTION 0; POP_TOP; END_FINALLY
static void test_finally_37(void **state)
{
    (void)state;
    const struct py_bytecode *bc =
        CODE(0x0307, 8, 122, 6, 116, 0, 131, 0, 83, 0, 116, 1, 131, 0, 1, 0, 88, 0);
    struct py_callsite site = found(bc, 10);

    assert_false(site.depth_certain);
    assert_int_equal(site.depth_count, 2);
    assert_int_equal(site.depths[0], 3);
    assert_int_equal(site.depths[1], 7);
    assert_int_equal(site.slot, 2);
    assert_int_equal(site.name_kind, PY_NAME_GLOBAL);
    assert_int_equal(site.name_index, 1);
}

// with x: pass, 3.6: LOAD_FAST 0; SETUP_WITH 6; POP_TOP; POP_BLOCK; LOAD_CONST 0;
// WITH_CLEANUP_START; WITH_CLEANUP_FINISH; END_FINALLY; LOAD_CONST 0; RETURN_VALUE
static void test_with_36(void **state)
{
    (void)state;
    const struct py_bytecode *bc = CODE(0x0306, 11, 124, 0, 143, 6, 1, 0, 87, 0, 100, 0, 81, 0,
                                        82, 0, 88, 0, 100, 0, 83, 0);
    struct py_callsite site = found(bc, 2);

    expect(&site, PY_CALL_ENTER, 0, PY_NAME_SPECIAL, PY_SPECIAL_ENTER);
    assert_int_equal(site.slot_content, PY_SLOT_BOUND_EXIT);
    site = found(bc, 10);
    assert_int_equal(site.kind, PY_CALL_EXIT);
    assert_int_equal(site.slot, -1);
    assert_int_equal(site.name_index, PY_SPECIAL_EXIT);
    assert_int_equal(site.depth_count, 2);
    assert_int_equal(site.depths[0], 2);
    assert_int_equal(site.depths[1], 7);
    // Whichever way out, what follows has one depth.
    site = found(bc, 16);
    assert_int_equal(site.depths[0], 0);
    assert_true(site.depth_certain);
}

// with x: pass, 3.12: RESUME; LOAD_FAST 0; BEFORE_WITH; POP_TOP; LOAD_CONST 0 thrice; CALL 2 (+3)
static void test_with_312(void **state)
{
    (void)state;
    const struct py_bytecode *bc = CODE(0x030c, 4, 151, 0, 124, 0, 53, 0, 1, 0, 100, 0, 100, 0,
                                        100, 0, 171, 2, 0, 0, 0, 0, 0, 0);
    struct py_callsite site = found(bc, 4);

    expect(&site, PY_CALL_ENTER, 0, PY_NAME_SPECIAL, PY_SPECIAL_ENTER);
    assert_int_equal(site.slot_content, PY_SLOT_MANAGER);
    site = found(bc, 14);
    expect(&site, PY_CALL_METHOD, 0, PY_NAME_SPECIAL, PY_SPECIAL_EXIT);
}

// At module level, 3.12: RESUME; PUSH_NULL; LOAD_NAME 7; CALL 0 (+3)
static void test_name_312(void **state)
{
    (void)state;
    struct py_callsite site =
        found(CODE(0x030c, 2, 151, 0, 2, 0, 101, 7, 171, 0, 0, 0, 0, 0, 0, 0), 6);

    expect(&site, PY_CALL_METHOD, 0, PY_NAME_NAME, 7);
    assert_int_equal(site.slot_alt, 1);
}

// f(*a, **k) with f the local 2.
static void test_star(void **state)
{
    (void)state;
    // 3.10: LOAD_FAST 2, 0, 1; CALL_FUNCTION_EX 1
    struct py_callsite site = found(CODE(0x030a, 3, 124, 2, 124, 0, 124, 1, 142, 1), 6);

    expect(&site, PY_CALL_FUNCTION, 0, PY_NAME_FAST, 2);
    // 3.13: RESUME; LOAD_FAST 2; PUSH_NULL; LOAD_FAST 0, 1; CALL_FUNCTION_EX 1
    site = found(CODE(0x030d, 4, 149, 0, 85, 2, 34, 0, 85, 0, 85, 1, 54, 1), 10);
    expect(&site, PY_CALL_FUNCTION, 0, PY_NAME_FAST, 2);
    // 3.14, no keywords: RESUME; LOAD_FAST 2; PUSH_NULL; LOAD_FAST 0; PUSH_NULL; CALL_FUNCTION_EX
    site = found(CODE(0x030e, 4, 128, 0, 84, 2, 33, 0, 84, 0, 33, 0, 4, 0), 10);
    expect(&site, PY_CALL_FUNCTION, 0, PY_NAME_FAST, 2);
}

// f(k=x), 3.14: RESUME; LOAD_FAST 2; PUSH_NULL; LOAD_FAST 0; LOAD_CONST 0; CALL_KW 1 (+3)
static void test_keywords_314(void **state)
{
    (void)state;
    struct py_callsite site = found(CODE(0x030e, 4, 128, 0, 84, 2, 33, 0, 84, 0, 82, 0, 55, 1, 0,
                                         0, 0, 0, 0, 0), 16);

    expect(&site, PY_CALL_FUNCTION, 0, PY_NAME_FAST, 2);
    assert_int_equal(site.slot_alt, 1);
    assert_int_equal(site.instruction_bytes, 10);
}

// yield from x, 3.11: RESUME; LOAD_FAST 0; GET_YIELD_FROM_ITER; LOAD_CONST 0; SEND 3
static void test_send_311(void **state)
{
    (void)state;
    struct py_callsite site =
        found(CODE(0x030b, 2, 151, 0, 124, 0, 69, 0, 100, 0, 123, 3, 83, 0), 8);

    expect(&site, PY_CALL_SEND, 0, PY_NAME_UNKNOWN, -1);
    assert_int_equal(site.slot_content, PY_SLOT_ITERATOR);
}

// for x in it: pass, 3.15: LOAD_FAST 0; GET_ITER (+1); FOR_ITER 3 (+1); STORE_FAST 1;
// JUMP_BACKWARD 5 (+1); END_FOR; POP_ITER; LOAD_CONST 0; RETURN_VALUE
static void test_iteration_315(void **state)
{
    (void)state;
    const struct py_bytecode *bc = CODE(0x030f, 3, 84, 0, 70, 0, 0, 0, 68, 3, 0, 0, 111, 1, 74, 5,
                                        0, 0, 9, 0, 28, 0, 81, 0, 33, 0);
    struct py_callsite site = found(bc, 6);

    assert_int_equal(site.kind, PY_CALL_ITER_NEXT);
    assert_int_equal(site.slot, 0);
    assert_true(site.depth_certain);
    site = found(bc, 22);
    assert_int_equal(site.depths[0], 1);
    assert_true(site.depth_certain);
}

static void test_import_315(void **state)
{
    (void)state;
    struct py_callsite site = found(CODE(0x030f, 2, 81, 0, 81, 1, 72, 3 << 2, 31, 0), 4);

    expect(&site, PY_CALL_IMPORT, -1, PY_NAME_MODULE, 3);
}

static void test_executor(void **state)
{
    (void)state;
    // 3.13: RESUME; ENTER_EXECUTOR (+1); LOAD_GLOBAL 1 (+4); CALL 0 (+3): a guess behind it.
    const struct py_bytecode *bc = CODE(0x030d, 2, 149, 0, 70, 0, 0, 0, 91, 1, 0, 0, 0, 0, 0, 0,
                                        0, 0, 53, 0, 0, 0, 0, 0, 0, 0);
    struct py_callsite site = found(bc, 16);

    assert_int_equal(site.slot, 0);
    assert_false(site.depth_certain);
    assert_false(py_callsite_find(bc, NULL, 2, -1, &site));
    // In the place of the EXTENDED_ARG before JUMP_BACKWARD (+1): no cache of its own.
    bc = CODE(0x030d, 2, 149, 0, 70, 0, 77, 9, 0, 0, 91, 1, 0, 0, 0, 0, 0, 0, 0, 0, 53, 0, 0, 0,
              0, 0, 0, 0);
    site = found(bc, 18);
    assert_int_equal(site.kind, PY_CALL_FUNCTION);
    assert_int_equal(site.instruction_bytes, 18);
}

static void test_refused(void **state)
{
    (void)state;
    const struct py_bytecode *good = CODE(0x0306, 1, 100, 0, 83, 0);
    struct py_bytecode bad = *good;
    struct py_callsite site;

    assert_false(py_callsite_find(good, NULL, 4, -1, &site));
    bad.version = 0x0310;
    assert_false(py_callsite_find(&bad, NULL, 0, -1, &site));
    assert_null(py_callsite_depths_create(&bad));
    bad = *good;
    bad.version = 0x0305;
    assert_false(py_callsite_find(&bad, NULL, 0, -1, &site));
    bad = *good;
    bad.size_bytes = 3;
    assert_null(py_callsite_depths_create(&bad));
    bad.size_bytes = PY_CALLSITE_CODE_MAX_BYTES + 2;
    assert_null(py_callsite_depths_create(&bad));
    bad.size_bytes = 0;
    assert_false(py_callsite_is_call(&bad, 0));
    // A call that takes more than there is on the stack.
    site = found(CODE(0x0306, 1, 131, 5, 83, 0), 0);
    assert_int_equal(site.kind, PY_CALL_FUNCTION);
    assert_int_equal(site.depth_count, 0);
    assert_int_equal(site.slot, -1);
    // Deeper than co_stacksize says.
    site = found(CODE(0x0306, 1, 116, 0, 100, 0, 131, 1, 83, 0), 4);
    assert_int_equal(site.slot, 0);
    assert_false(site.depth_certain);
}

// Random bytes, and real opcodes with random arguments, must neither crash nor run away.
static void test_hostile(void **state)
{
    (void)state;
    uint64_t seed = 1;
    uint8_t code[512];
    uint8_t table[64];

    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof(code); i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            code[i] = (uint8_t)(seed >> 56);
            if (round % 3 && i % 2)
                code[i] &= 15; // short jumps reach more
            if (i < sizeof(table))
                table[i] = (uint8_t)(seed >> 48);
        }
        struct py_bytecode bc = {code, 2 + (seed >> 40) % 256 * 2, 0x0306 + round % 10, table,
                                 seed >> 32 & 63, 0};
        struct py_callsite_depths *depths = py_callsite_depths_create(&bc);
        assert_non_null(depths);
        assert_true(py_callsite_depths_size(depths) < 4 << 20);
        for (size_t offset = 0; offset < bc.size_bytes; offset += 7) {
            struct py_callsite site;
            if (!py_callsite_find(&bc, depths, offset, -1, &site))
                continue;
            assert_true(site.depth_count <= PY_CALLSITE_DEPTHS_MAX);
            assert_true(site.slot >= -1 && site.instruction_bytes < bc.size_bytes);
        }
        py_callsite_depths_destroy(depths);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested_36),
        cmocka_unit_test(test_method_38),
        cmocka_unit_test(test_specialised_312),
        cmocka_unit_test(test_precall_311),
        cmocka_unit_test(test_two_origins),
        cmocka_unit_test(test_exception_table),
        cmocka_unit_test(test_finally_37),
        cmocka_unit_test(test_with_36),
        cmocka_unit_test(test_with_312),
        cmocka_unit_test(test_name_312),
        cmocka_unit_test(test_star),
        cmocka_unit_test(test_keywords_314),
        cmocka_unit_test(test_send_311),
        cmocka_unit_test(test_iteration_315),
        cmocka_unit_test(test_import_315),
        cmocka_unit_test(test_executor),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
