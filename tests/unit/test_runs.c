// SPDX-License-Identifier: GPL-3.0-or-later
// What a command line runs, in short.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "report/runs.h"
#include "util/guard.h"

static void check(const char *wanted, char **argv)
{
    GUARD(plain_deinit) struct plain plain = {0};
    runs_say(&plain, argv, "/usr/bin/python3.11", "python3");
    assert_string_equal(plain_text(&plain), wanted);
}

#define RUNS(wanted, ...) check(wanted, (char *[]){__VA_ARGS__, NULL})

static void python_options(void **state)
{
    (void)state;
    RUNS("app.py", "python3", "app.py");
    RUNS("shop/manage.py runserver 80", "/usr/bin/python3", "/srv/shop/manage.py", "runserver",
         "80");
    RUNS("app.py -m x", "python3", "-Bu", "-X", "dev", "-W", "error", "app.py", "-m", "x");
    RUNS("app.py", "python3", "-Xdev", "-Werror", "--check-hash-based-pycs", "never", "app.py");
    RUNS("-m http.server 8000", "python3", "-m", "http.server", "8000");
    RUNS("-m http.server", "python3", "-Imhttp.server");
    RUNS("-c 'pass' one", "python3", "-Ic", "pass", "one");
    RUNS("-c 'import x\\nx.run()'", "python3", "-c", "\nimport x\nx.run()\n");
    RUNS("python3.12", "/opt/bin/python3.12");
    RUNS("python3", "python3", "-i");
    RUNS("python3", "python3", "-c");
    RUNS("python3 -", "python3", "-");
    RUNS("app.py 'two words' ''x''", "python3", "app.py", "two words", "'x'");
}

static void other_programs(void **state)
{
    (void)state;
    RUNS("uwsgi --ini /etc/shop.ini", "/usr/sbin/uwsgi", "--ini", "/etc/shop.ini");
    // A program that has renamed itself.
    RUNS("gunicorn: worker [/srv/shop]", "gunicorn: worker [/srv/shop]", "", "");
    check("[python3.11]", NULL);
    check("[python3.11]", (char *[]){"", "", NULL});
    GUARD(plain_deinit) struct plain plain = {0};
    runs_say(&plain, NULL, NULL, "python3");
    assert_string_equal(plain_text(&plain), "[python3]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_options),
        cmocka_unit_test(other_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
