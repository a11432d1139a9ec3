// SPDX-License-Identifier: GPL-3.0-or-later
// See report/runs.h. A Python's options are those of `python -h`: letters may stand together; -c and
// -m end them, -W, -X and --check-hash-based-pycs take a value.
#include "report/runs.h"

#include <string.h>

#include "report/names.h"

#define CODE_COLUMNS 60

static bool is_python_name(const char *path)
{
    const char *base = path ? names_base(path) : "";
    return strncmp(base, "python", 6) == 0 || strncmp(base, "pypy", 4) == 0;
}

// Of a path the last folder and the name; what is no path stays whole.
static const char *short_path(const char *path)
{
    const char *name = strrchr(path, '/');
    if (path[0] != '/' || !name || name == path)
        return path;
    while (name > path && name[-1] != '/')
        name--;
    return name;
}

static void add_word(struct plain *plain, const char *word)
{
    bool quoted = !*word || strpbrk(word, " \t\n'");
    plain_str(plain, plain->size ? " " : "");
    plain_str(plain, quoted ? "'" : "");
    plain_safe(plain, word, strlen(word));
    plain_str(plain, quoted ? "'" : "");
}

// Its lines are told apart by "\n".
static void add_code(struct plain *plain, const char *code)
{
    struct plain clean = {0};
    size_t size = strlen(code += strspn(code, " \t\n"));
    while (size && strchr(" \t\n", code[size - 1]))
        size--;
    plain_safe(&clean, code, size);
    plain_str(plain, "-c '");
    plain_clip(plain, plain_text(&clean), CODE_COLUMNS, PLAIN_KEEP_START);
    plain_str(plain, "'");
    plain->failed |= clean.failed;
    plain_deinit(&clean);
}

enum { NO_PROGRAM = 0, IS_SCRIPT = 's', IS_MODULE = 'm', IS_CODE = 'c' };

// What it runs, and where that stands: argv[*ret_at] + *ret_skip.
static int find_program(char *const *argv, size_t *ret_at, size_t *ret_skip)
{
    *ret_skip = 0;
    for (size_t i = 1; argv[i]; i++) {
        *ret_at = i;
        if (argv[i][0] != '-' || !argv[i][1])
            return IS_SCRIPT;
        if (strcmp(argv[i], "--check-hash-based-pycs") == 0 && argv[i + 1])
            i++;
        for (size_t k = 1; argv[i][1] != '-' && argv[i][k]; k++) {
            char letter = argv[i][k];
            bool here = argv[i][k + 1] != '\0';
            if (!strchr("cmWXQ", letter))
                continue;
            if (!here && !argv[i + 1])
                return NO_PROGRAM;
            *ret_at = here ? i : i + 1;
            *ret_skip = here ? k + 1 : 0;
            if (letter == IS_MODULE || letter == IS_CODE)
                return letter;
            i = *ret_at;
            *ret_skip = 0;
            break;
        }
    }
    return NO_PROGRAM;
}

static void say_python(struct plain *plain, char *const *argv, size_t count)
{
    size_t at = 0, skip = 0;
    int kind = find_program(argv, &at, &skip);
    bool is_input = kind == IS_SCRIPT && strcmp(argv[at], "-") == 0;
    if (kind == NO_PROGRAM || is_input)
        plain_safe(plain, names_base(argv[0]), strlen(names_base(argv[0])));
    if (kind == NO_PROGRAM)
        return;
    if (kind == IS_CODE)
        add_code(plain, argv[at] + skip);
    else if (kind == IS_MODULE)
        plain_str(plain, "-m");
    if (kind != IS_CODE)
        add_word(plain, short_path(argv[at] + skip));
    for (size_t i = at + 1; i < count; i++)
        add_word(plain, argv[i]);
}

void runs_say(struct plain *plain, char *const *argv, const char *exe, const char *comm)
{
    size_t count = 0;
    while (argv && argv[count])
        count++;
    // A program that names itself leaves empty words behind that name.
    while (count && !argv[count - 1][0])
        count--;
    struct plain whole = {0};
    if (count && is_python_name(argv[0]) && !strchr(argv[0], ' ')) {
        say_python(&whole, argv, count);
    } else if (count) {
        bool names_itself = strchr(argv[0], ' ') != NULL;
        plain_safe(&whole, names_itself ? argv[0] : names_base(argv[0]),
                   strlen(names_itself ? argv[0] : names_base(argv[0])));
        for (size_t i = 1; i < count; i++)
            add_word(&whole, argv[i]);
    } else {
        const char *name = exe ? names_base(exe) : comm ? comm : "?";
        plain_str(&whole, "[");
        plain_safe(&whole, name, strlen(name));
        plain_str(&whole, "]");
    }
    plain_str(plain, plain_text(&whole));
    plain->failed |= whole.failed;
    plain_deinit(&whole);
}
