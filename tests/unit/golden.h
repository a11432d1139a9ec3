// SPDX-License-Identifier: GPL-3.0-or-later
// Texts against the files of tests/golden; PYCORE_GOLDEN=write makes these anew.
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Takes the text over.
static void check_golden(const char *name, char *text)
{
    assert_non_null(text);
    const char *top = getenv("srcdir"), *mode = getenv("PYCORE_GOLDEN");
    char path[4096];
    snprintf(path, sizeof(path), "%s/tests/golden/%s", top ? top : ".", name);
    if (mode && strcmp(mode, "write") == 0) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        fputs(text, out);
        fclose(out);
    }
    char expected[65536];
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    expected[fread(expected, 1, sizeof(expected) - 1, in)] = '\0';
    fclose(in);
    assert_string_equal(text, expected);
    free(text);
}

#endif
