// SPDX-License-Identifier: GPL-3.0-or-later
// Errors, the string table and the vector.
#include "fake_memory.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "util/hash.h"
#include "util/strtab.h"
#include "util/vec.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

// ---- Errors -------------------------------------------------------------------------------------

static void test_err_create(void **state)
{
    (void)state;
    uint64_t addr, size;
    struct err *err = err_create(ERR_LIMIT, "%d of %s", 3, "them");
    assert_int_equal(err_code(err), ERR_LIMIT);
    assert_string_equal(err_message(err), "3 of them");
    assert_false(err_fault_range(err, &addr, &size));
    err_destroy(err);
    err_destroy(NULL);
}

static void test_err_os(void **state)
{
    (void)state;
    static const struct {
        int errno_value;
        enum err_code code;
    } cases[] = {
        {EPERM, ERR_PERMISSION}, {EACCES, ERR_PERMISSION}, {ESRCH, ERR_GONE},
        {EFAULT, ERR_FAULT},     {ENOMEM, ERR_NO_MEMORY},  {ENOENT, ERR_NOT_FOUND},
        {EIO, ERR_OS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char expected[128];
        uint64_t addr, size;
        struct err *err = err_os(cases[i].errno_value, "file %d", 7);
        snprintf(expected, sizeof(expected), "file 7: %s", strerror(cases[i].errno_value));
        assert_int_equal(err_code(err), cases[i].code);
        assert_string_equal(err_message(err), expected);
        // An EFAULT of the kernel does not say where.
        assert_false(err_fault_range(err, &addr, &size));
        err_destroy(err);
    }
}

static void test_err_fault_and_wrap(void **state)
{
    (void)state;
    uint64_t addr = 0, size = 0;
    struct err *err = err_fault(0xdead0000beefull, 12);
    assert_string_equal(err_message(err), "12 bytes at 0xdead0000beef are not readable");
    err = err_wrap(err_wrap(err, "field %s", "x"), "thread %d", 2);
    assert_string_equal(err_message(err),
                        "thread 2: field x: 12 bytes at 0xdead0000beef are not readable");
    assert_int_equal(err_code(err), ERR_FAULT);
    assert_true(err_fault_range(err, &addr, &size));
    assert_int_equal(addr, 0xdead0000beefull);
    assert_int_equal(size, 12);
    err_destroy(err);

    // Wrapped before anybody asked for the message.
    err = err_wrap(err_fault(UINT64_MAX, UINT64_MAX), "w");
    assert_string_equal(err_message(err), "w: 18446744073709551615 bytes at 0xffffffffffffffff "
                                          "are not readable");
    err_destroy(err);
    assert_null(err_wrap(NULL, "nothing happened"));
}

static struct err *pass_on(struct err *inner)
{
    AUTO_FREE char *text = strdup("released by its guard");
    TRY(inner);
    return text ? err_create(ERR_OTHER, "went on") : NULL;
}

static void test_guards(void **state)
{
    (void)state;
    assert_err(pass_on(err_create(ERR_TIMEOUT, "late")), ERR_TIMEOUT, "late");
    assert_err(pass_on(NULL), ERR_OTHER, "went on");
    AUTO_FREE char *mine = strdup("taken");
    char *taken = TAKE(mine);
    assert_null(mine);
    assert_string_equal(taken, "taken");
    free(taken);
}

// In a child whose memory is used up to the last 16 bytes.
static int without_memory(void)
{
    struct rlimit limit = {256u << 20, 256u << 20};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        return 2;
    struct strtab *tab = strtab_create();
    VEC(uint64_t) numbers = {0};
    if (!tab || !vec_push(&numbers, 1) || !vec_reserve(&numbers, 8) || !strtab_add(tab, "a", 1))
        return 3;
    // Kept in a chain, so that nothing may take the allocations for useless.
    static void **chain;
    for (size_t size = 64u << 20; size >= 16; size /= 2) {
        for (void **more; (more = malloc(size)); chain = more)
            *more = chain;
    }
    struct err *err = err_create(ERR_OTHER, "%d", 1), *fault = err_fault(1, 2);
    uint64_t addr, size;
    bool ok = err && err_code(err) == ERR_NO_MEMORY;
    ok = ok && strcmp(err_message(err), "out of memory") == 0;
    ok = ok && err_os(EIO, "x") == err && fault == err && !err_fault_range(err, &addr, &size);
    ok = ok && err_wrap(err, "%s", "context") == err;
    err_destroy(err); // a static object: neither freed nor used up
    ok = ok && err_code(err) == ERR_NO_MEMORY;
    while (numbers.count < numbers.capacity)
        vec_push(&numbers, 2);
    size_t count = numbers.count, capacity = numbers.capacity;
    ok = ok && !vec_reserve(&numbers, 100000) && numbers.count == count &&
         numbers.capacity == capacity && numbers.items[0] == 1;
    char big[70000]; // more than a block has left
    memset(big, 'x', sizeof(big));
    ok = ok && strtab_add(tab, big, sizeof(big)) == 0 && strtab_add(tab, "a", 1) == 1;
    // When there is memory again, the static object is still nobody's to write to.
    for (void **next; chain; chain = next) {
        next = *chain;
        free(chain);
    }
    ok = ok && err_wrap(err, "%s", "context") == err &&
         strcmp(err_message(err), "out of memory") == 0;
    return ok ? 0 : 1;
}

static void test_no_memory(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("a sanitizer's malloc does not run out of memory\n");
        skip();
    }
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(without_memory());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

// ---- Strings ------------------------------------------------------------------------------------

static void test_strtab_basics(void **state)
{
    (void)state;
    struct strtab *tab = strtab_create();
    assert_non_null(tab);
    assert_int_equal(strtab_count(tab), 0);
    assert_int_equal(strtab_add_cstr(tab, NULL), 0);
    assert_int_equal(strtab_add(tab, NULL, 3), 0);
    uint32_t empty = strtab_add_cstr(tab, ""), a = strtab_add_cstr(tab, "a");
    uint32_t with_nul = strtab_add(tab, "a\0b", 3), only_nul = strtab_add(tab, "\0", 1);
    assert_int_not_equal(empty, 0);
    assert_int_equal(strtab_count(tab), 4);
    assert_true(empty != a && a != with_nul && with_nul != only_nul && only_nul != empty);
    assert_int_equal(strtab_add(tab, "abc", 1), a);
    assert_int_equal(strtab_add(tab, "a\0bc", 3), with_nul);
    assert_int_equal(strtab_size(tab, with_nul), 3);
    assert_memory_equal(strtab_get(tab, with_nul), "a\0b", 4);
    assert_string_equal(strtab_get(tab, empty), "");
    assert_null(strtab_get(tab, 0));
    assert_null(strtab_get(tab, 5));
    assert_int_equal(strtab_size(tab, 0), 0);
    assert_int_equal(strtab_size(tab, UINT32_MAX), 0);
    assert_true(strtab_is(tab, a, "a") && strtab_is(tab, empty, ""));
    assert_false(strtab_is(tab, a, "") || strtab_is(tab, a, "ab") || strtab_is(tab, empty, "a"));
    assert_false(strtab_is(tab, 0, "") || strtab_is(tab, UINT32_MAX, "a"));
    strtab_destroy(tab);
    strtab_destroy(NULL);
}

enum { MANY = 60000 };

static size_t numbered(char *text, size_t size, unsigned i)
{
    // Of all lengths, so that blocks end at every distance from their end.
    return (size_t)snprintf(text, size, "%u-%.*s", i, (int)(i * 7 % 90),
                            "...................................................................."
                            "..........................................");
}

static void test_strtab_is_stable(void **state)
{
    (void)state;
    struct strtab *tab = strtab_create();
    const char **kept = calloc(MANY, sizeof(*kept));
    char text[160];
    assert_true(tab && kept);
    for (unsigned i = 0; i < MANY; i++) {
        size_t size = numbered(text, sizeof(text), i);
        assert_int_equal(strtab_add(tab, text, size), i + 1);
        kept[i] = strtab_get(tab, i + 1);
    }
    size_t bytes = strtab_bytes(tab);
    for (unsigned i = 0; i < MANY; i++) {
        size_t size = numbered(text, sizeof(text), i);
        assert_int_equal(strtab_add(tab, text, size), i + 1);
        assert_ptr_equal(strtab_get(tab, i + 1), kept[i]);
        assert_int_equal(strtab_size(tab, i + 1), size);
        assert_string_equal(kept[i], text);
    }
    assert_int_equal(strtab_count(tab), MANY);
    assert_int_equal(strtab_bytes(tab), bytes);
    assert_true(bytes > MANY * 30 && bytes < MANY * 300);
    free(kept);
    strtab_destroy(tab);
}

static void test_strtab_large_strings(void **state)
{
    (void)state;
    static const size_t sizes[] = {16383, 16384, 16385, 40000, 65534, 65535, 65536, 65537, 3000000};
    struct strtab *tab = strtab_create();
    char *big = malloc(3000001);
    const char *kept[ARRAY_SIZE(sizes)];
    assert_true(tab && big);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t before = strtab_bytes(tab);
        memset(big, 'a' + (int)i, sizes[i]);
        uint32_t id = strtab_add(tab, big, sizes[i]);
        size_t with_big = strtab_bytes(tab);
        uint32_t small = strtab_add(tab, big, 3);
        // A large string has a block of its own and does not end the one of the small ones.
        assert_true(sizes[i] < 65536 || strtab_bytes(tab) < with_big + 60000);
        assert_int_equal(id, 2 * i + 1);
        assert_int_equal(small, 2 * i + 2);
        kept[i] = strtab_get(tab, id);
        assert_true(sizes[i] < 65536 || strtab_bytes(tab) > before + sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint32_t id = (uint32_t)(2 * i + 1);
        memset(big, 'a' + (int)i, sizes[i]);
        assert_ptr_equal(strtab_get(tab, id), kept[i]);
        assert_int_equal(strtab_size(tab, id), sizes[i]);
        assert_memory_equal(kept[i], big, sizes[i]);
        assert_int_equal(kept[i][sizes[i]], '\0');
        assert_int_equal(strtab_add(tab, big, sizes[i]), id);
        big[3] = '\0';
        assert_string_equal(strtab_get(tab, id + 1), big);
    }
    free(big);
    strtab_destroy(tab);
}

// ---- Vector and hash ----------------------------------------------------------------------------

struct wide {
    uint64_t a, b, c;
};

static void test_vec(void **state)
{
    (void)state;
    VEC(struct wide) vec = {0};
    size_t seen = 0;
    vec_foreach(item, &vec)
        seen++;
    assert_int_equal(seen, 0);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(vec_push(&vec, (struct wide){i, i + 1, i + 2}));
    assert_int_equal(vec.count, 1000);
    assert_true(vec.capacity >= 1000 && vec.capacity <= 2000);
    vec_foreach(item, &vec) {
        assert_int_equal(item->a, seen);
        assert_int_equal(item->c, seen + 2);
        seen++;
    }
    assert_int_equal(seen, 1000);
    struct wide *items = vec.items;
    vec_clear(&vec);
    assert_true(vec_reserve(&vec, 1000));
    assert_ptr_equal(vec.items, items);
    vec_deinit(&vec);
    assert_true(!vec.items && !vec.count && !vec.capacity);
}

static void test_vec_overflow(void **state)
{
    (void)state;
    VEC(struct wide) vec = {0};
    assert_true(vec_push(&vec, (struct wide){1, 2, 3}));
    struct wide *items = vec.items;
    size_t capacity = vec.capacity;
    // Products that wrap around to something small, and sums without a power of two above them.
    static const size_t wants[] = {SIZE_MAX, SIZE_MAX / 2 + 2, SIZE_MAX / sizeof(struct wide) + 1,
                                   ((size_t)1 << 63) / 8 + 1};
    for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
        assert_false(vec_reserve(&vec, wants[i]));
        assert_ptr_equal(vec.items, items);
        assert_int_equal(vec.capacity, capacity);
        assert_int_equal(vec.count, 1);
    }
    assert_int_equal(vec.items[0].c, 3);
    // 2^10 items of 2^54 + 1 bytes are 2^10 bytes, modulo 2^64.
    void *place = vec.items;
    assert_false(vec_grow(&place, &capacity, 1000, ((size_t)1 << 54) + 1));
    vec_deinit(&vec);
}

static void test_hash(void **state)
{
    (void)state;
    assert_int_not_equal(hash_bytes(HASH_SEED, "", 0), hash_bytes(HASH_SEED, "\0", 1));
    assert_int_not_equal(hash_bytes(HASH_SEED, "ab", 2), hash_bytes(HASH_SEED, "ba", 2));
    assert_int_not_equal(hash_u64(HASH_SEED, 1), hash_u64(HASH_SEED, 1ull << 32));
    assert_int_not_equal(hash_u64(1, 2), hash_u64(2, 3));
    assert_int_equal(hash_bytes(7, "abc", 3), hash_bytes(7, "abcd", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_create),
        cmocka_unit_test(test_err_os),
        cmocka_unit_test(test_err_fault_and_wrap),
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_strtab_basics),
        cmocka_unit_test(test_strtab_is_stable),
        cmocka_unit_test(test_strtab_large_strings),
        cmocka_unit_test(test_vec),
        cmocka_unit_test(test_vec_overflow),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
