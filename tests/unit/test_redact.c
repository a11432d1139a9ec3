// SPDX-License-Identifier: GPL-3.0-or-later
// What is hidden of arguments, and what is not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "util/redact.h"

static const struct {
    const char *previous, *argument, *shown;
} rows[] = {
    {NULL, "python3", "python3"},
    {"python3", "app.py", "app.py"},
    {NULL, "--password=hunter2", "--password=***"},
    {NULL, "--db-passwd=hunter2", "--db-passwd=***"},
    {NULL, "DB_PASSWORD=hunter2", "DB_PASSWORD=***"},
    {NULL, "--api-key=1", "--api-key=***"},
    {NULL, "--authToken=1", "--authToken=***"},
    {"--token", "abc", "***"},
    {"--token=abc", "abc", "abc"},
    {"--token", "--verbose", "--verbose"},
    {"token.py", "8000", "8000"},
    {NULL, "https://user:hunter2@host/path", "https://user:***@host/path"},
    {NULL, "--url=https://user:p@ss@host", "--url=https://user:***@host"},
    {NULL, "https://host:8080/a@b", "https://host:8080/a@b"},
    {NULL, "ghp_0123456789abcdefghijklmn", "***"},
    {NULL, "--header=ghp_0123456789abcdefghijklmn", "--header=***"},
    {NULL, "AKIA0123456789ABCDEF", "***"},
    {NULL, "eyJhbGciOiJIUzI1NiIsInR5cCI6.abc", "***"},
    {NULL, "sk-short", "sk-short"},
    {NULL, "***", "***"},
    {NULL, "", ""},
    {NULL, "--header=Authorization: Bearer abc", "--header=Authorization: Bearer ***"},
    {NULL, "--conn=Server=x;Password=y;Port=1", "--conn=Server=x;Password=***;Port=1"},
    {NULL, "http://h/?a=1&api_key=1&b=2", "http://h/?a=1&api_key=***&b=2"},
    {NULL, "import os; os.environ['X'] = 1", "import os; os.environ['X'] = 1"},
    {NULL, "--tokenizer-api-key=1", "--tokenizer-api-key=***"},
    {"--tokenizer-password", "1", "***"},
    {NULL, "--max-tokens=100", "--max-tokens=100"},
    {NULL, "a://x/ b://u:p@h/ c://v:q@i", "a://x/ b://u:***@h/ c://v:***@i"},
    {NULL, "--tokenizer-path=/srv/model", "--tokenizer-path=/srv/model"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char *shown = redact_argument(rows[i].previous, rows[i].argument);
        assert_string_equal(shown, rows[i].shown);
        char *again = redact_argument(rows[i].previous, shown);
        assert_string_equal(again, rows[i].shown);
        free(again);
        free(shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
