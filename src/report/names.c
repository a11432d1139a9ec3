// SPDX-License-Identifier: GPL-3.0-or-later
// Names and places: paths lose what all have in common with the installation, and keep as much as
// it takes to tell two files apart.
#include "report/names.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/paths.h"
#include "util/guard.h"

#define PATH_COLUMNS 48
#define NAME_COLUMNS 64

const char *names_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool is_installed(const char *path)
{
    return path[0] == '<' || snap_installed_part(path);
}

static const char *short_path(const struct names *names, const char *path, unsigned extra)
{
    if (path[0] == '<') // "<frozen importlib._bootstrap>", "<string>"
        return path;
    const char *below = snap_installed_part(path), *at = path + strlen(path);
    if (!below && names->root && strncmp(path, names->root, names->root_size) == 0)
        below = path + names->root_size;
    unsigned components = (below ? 3 : 2) + extra;
    const char *first = below && !extra ? below : path;
    while (at > first) {
        if (at[-1] == '/' && --components == 0)
            break;
        at--;
    }
    return at;
}

// The directory that all own code has in common, if it says more than "/" and one name.
static void find_root(struct names *names)
{
    const char *root = NULL;
    size_t size = 0;
    for (size_t i = 0; i < names->path_count; i++) {
        const char *path = strtab_get(names->strings, names->paths[i].id);
        if (is_installed(path))
            continue;
        if (!root) {
            root = path;
            size = (size_t)(names_base(path) - path);
        }
        size_t same = 0, end = 0;
        for (; same < size && path[same] == root[same]; same++)
            if (path[same] == '/')
                end = same + 1;
        size = end;
    }
    size_t slashes = 0;
    for (size_t i = 0; i < size; i++)
        slashes += root[i] == '/';
    if (size && root[0] == '/' && slashes >= 3) {
        names->root = root;
        names->root_size = size;
    }
}

static int by_text(const void *left, const void *right)
{
    const struct name_path *a = left, *b = right;
    int order = strcmp(a->text, b->text);
    return order ? order : (a->id > b->id) - (a->id < b->id);
}

static int by_id(const void *left, const void *right)
{
    const struct name_path *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static void make_unique(struct names *names)
{
    for (unsigned round = 0; round < 8; round++) {
        bool changed = false;
        qsort(names->paths, names->path_count, sizeof(*names->paths), by_text);
        for (size_t i = 0, next; i < names->path_count; i = next) {
            for (next = i + 1; next < names->path_count; next++)
                if (strcmp(names->paths[i].text, names->paths[next].text) != 0)
                    break;
            for (size_t k = i; next - i > 1 && k < next; k++) {
                names->paths[k].extra++;
                changed = true;
            }
        }
        if (!changed)
            break;
        for (size_t i = 0; i < names->path_count; i++)
            names->paths[i].text = short_path(names, strtab_get(names->strings, names->paths[i].id),
                                              names->paths[i].extra);
    }
}

bool names_init(struct names *names, const struct report_input *input,
                const struct report_options *options)
{
    const struct strtab *strings = input->strings;
    const struct prof_report *profile = input->profile;
    *names = (struct names){.strings = strings, .options = options};
    size_t count = profile ? profile->function_count : 0;
    names->paths = calloc(count + 1, sizeof(*names->paths));
    if (!names->paths)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strtab_get(strings, profile->functions[i].file))
            names->paths[names->path_count++].id = profile->functions[i].file;
    qsort(names->paths, names->path_count, sizeof(*names->paths), by_id);
    size_t kept = 0;
    for (size_t i = 0; i < names->path_count; i++)
        if (i == 0 || names->paths[i].id != names->paths[kept - 1].id)
            names->paths[kept++] = names->paths[i];
    names->path_count = kept;
    find_root(names);
    for (size_t i = 0; i < kept; i++)
        names->paths[i].text = short_path(names, strtab_get(strings, names->paths[i].id), 0);
    make_unique(names);
    qsort(names->paths, kept, sizeof(*names->paths), by_id);
    return true;
}

void names_deinit(struct names *names)
{
    free(names->paths);
    *names = (struct names){0};
}

void names_function(struct plain *plain, const struct names *names,
                    const struct prof_function *function, size_t columns)
{
    uint32_t id = function->qualname ? function->qualname : function->function;
    const char *text = strtab_get(names->strings, id);
    bool braces = function->kind == SNAP_BUILTIN && text && text[0] != '{';
    if (!text && function->kind == SNAP_NATIVE) {
        // Without a symbol a module's code is one row: where its functions begin is not known.
        if (function->module) {
            plain_id(plain, names->strings, function->module, PATH_COLUMNS, PLAIN_KEEP_END);
            plain_str(plain, " ");
        }
        plain_str(plain, "(no symbol)");
        return;
    }
    plain_str(plain, braces ? "{" : "");
    plain_id(plain, names->strings, id, columns, PLAIN_KEEP_START);
    plain_str(plain, braces ? "}" : "");
}

void names_path(struct plain *plain, const struct names *names, uint32_t file)
{
    const struct name_path wanted = {.id = file};
    const struct name_path *known =
        bsearch(&wanted, names->paths, names->path_count, sizeof(wanted), by_id);
    const char *text = strtab_get(names->strings, file);
    size_t size = text ? strtab_size(names->strings, file) : 0;
    size_t cut = text ? names_stripped(names->options, text, size) : 0;
    if (!cut && known && text)
        cut = (size_t)(known->text - text);
    GUARD(plain_deinit) struct plain whole = {0};
    if (text)
        plain_safe(&whole, text + cut, size - cut);
    plain_clip(plain, text ? plain_text(&whole) : "?", PATH_COLUMNS, PLAIN_KEEP_END);
    plain->failed |= whole.failed;
}

void names_place(struct plain *plain, const struct names *names,
                 const struct prof_function *function)
{
    if (function->kind == SNAP_NATIVE && function->module && function->function)
        plain_id(plain, names->strings, function->module, PATH_COLUMNS, PLAIN_KEEP_END);
    if (function->kind != SNAP_PYTHON || !function->file)
        return;
    names_path(plain, names, function->file);
    if (function->line >= 0 && !names->options->no_lines)
        plain_add(plain, ":%d", function->line);
}

void names_say(struct plain *plain, const struct names *names, const struct prof_function *function)
{
    plain_str(plain, PLAIN_CODE);
    names_function(plain, names, function, NAME_COLUMNS);
    plain_str(plain, function->kind == SNAP_PYTHON ? "()" : "");
    size_t before = plain->size;
    plain_str(plain, " ");
    names_place(plain, names, function);
    if (plain->size == before + 1 && !plain->failed)
        plain->bytes[--plain->size] = '\0';
    plain_str(plain, PLAIN_CODE_END);
}

size_t names_stripped(const struct report_options *options, const char *path, size_t size)
{
    size_t cut = 0;
    for (size_t i = 0; i < options->strip_count; i++) {
        const char *prefix = options->strip[i];
        size_t length = strlen(prefix);
        while (length && prefix[length - 1] == '/')
            length--;
        if (length >= cut && length + 1 < size && path[length] == '/' &&
            memcmp(path, prefix, length) == 0)
            cut = length + 1;
    }
    return cut;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t size = strlen(text), want = strlen(ending);
    return size >= want && strcmp(text + size - want, ending) == 0;
}

bool names_is_boilerplate(const struct strtab *strings, enum snap_frame_kind kind, uint32_t file,
                          uint32_t function)
{
    static const struct {
        enum snap_frame_kind kind;
        const char *file, *function;
    } rows[] = {
#define BOILERPLATE(file, function) {SNAP_PYTHON, file, function},
#define START_UP(function) {SNAP_NATIVE, NULL, function},
#include "report/boilerplate.def"
#undef BOILERPLATE
#undef START_UP
    };
    const char *path = strtab_get(strings, file), *name = strtab_get(strings, function);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].kind == kind && (!rows[i].file || (path && ends_with(path, rows[i].file))) &&
            (!rows[i].function || (name && strcmp(name, rows[i].function) == 0)))
            return true;
    return false;
}

char *names_stem(const char *name, size_t size)
{
    size = size > 100 ? 100 : size; // what tells pools apart
    char *stem = malloc(size + 1), *at = stem;
    for (size_t i = 0; stem && i < size; i++) {
        bool digit = isdigit((unsigned char)name[i]);
        if (!digit || i == 0 || !isdigit((unsigned char)name[i - 1]))
            *at++ = digit ? '*' : name[i];
    }
    if (stem)
        *at = '\0';
    return stem;
}

// The script that an installed package is started by, as bin/gunicorn: its body does nothing else.
static bool is_launcher(const struct names *names, const struct prof_function *function,
                        const char *path)
{
    const char *name = strtab_get(names->strings, function->function);
    const char *base = names_base(path);
    return name && strcmp(name, "<module>") == 0 && !strchr(base, '.') && base - path >= 5 &&
           strncmp(base - 5, "/bin/", 5) == 0;
}

bool names_is_own_code(const struct names *names, const struct prof_function *function)
{
    const char *path = strtab_get(names->strings, function->file);
    return function->kind == SNAP_PYTHON && path && !is_installed(path) &&
           !is_launcher(names, function, path);
}

bool names_is_interpreter(const struct names *names, const struct prof_function *function)
{
    const char *module = strtab_get(names->strings, function->module);
    return function->kind == SNAP_NATIVE && module &&
           (strncmp(module, "libpython", 9) == 0 || strncmp(module, "python", 6) == 0);
}

const char *names_state_words(enum snap_state state)
{
    static const char *const words[SNAP_STATE_COUNT] = {
        [SNAP_RUNNING] = "running",
        [SNAP_RUNNABLE] = "ready to run",
        [SNAP_GIL_WAIT] = "waits for the GIL",
        [SNAP_LOCK_WAIT] = "waits for a lock",
        [SNAP_IO_WAIT] = "waits for input or output",
        [SNAP_SLEEP] = "sleeps",
        [SNAP_UNKNOWN] = "state unknown",
    };
    return state < SNAP_STATE_COUNT ? words[state] : words[SNAP_UNKNOWN];
}

static void add_program(struct plain *plain, const struct strtab *strings,
                        const struct snap_process *process)
{
    size_t before = plain->size;
    for (size_t i = 0; i < process->argc; i++) {
        const char *word = strtab_get(strings, process->argv[i]);
        size_t size = strtab_size(strings, process->argv[i]);
        const char *base = word && i == 0 ? names_base(word) : word;
        if (!base)
            continue;
        bool quoted = size == 0 || memchr(word, ' ', size);
        plain_str(plain, i ? quoted ? " '" : " " : quoted ? "'" : "");
        plain_safe(plain, base, size - (size_t)(base - word));
        plain_str(plain, quoted ? "'" : "");
    }
    if (plain->size == before && process->exe)
        plain_id(plain, strings, process->exe, 0, PLAIN_KEEP_END);
    if (plain->size == before)
        plain_str(plain, "unknown program");
}

void names_program(struct plain *plain, const struct strtab *strings,
                   const struct snap_process *process, size_t columns)
{
    if (!columns) {
        add_program(plain, strings, process);
        return;
    }
    GUARD(plain_deinit) struct plain whole = {0};
    add_program(&whole, strings, process);
    plain_clip(plain, plain_text(&whole), columns, PLAIN_KEEP_START);
    plain->failed |= whole.failed;
}

void names_task(struct plain *plain, const struct strtab *strings, uint32_t coroutine,
                uint32_t name, size_t columns)
{
    if (coroutine)
        plain_id(plain, strings, coroutine, columns, PLAIN_KEEP_START);
    if (coroutine && name)
        plain_str(plain, " (");
    if (name)
        plain_id(plain, strings, name, columns, PLAIN_KEEP_START);
    if (coroutine && name)
        plain_str(plain, ")");
}

enum snap_await_kind names_usual_await(const struct prof_await_site *site)
{
    enum snap_await_kind usual = SNAP_AWAIT_NONE;
    for (int kind = 0; kind < SNAP_AWAIT_COUNT; kind++)
        if (site->kinds[kind] > site->kinds[usual])
            usual = (enum snap_await_kind)kind;
    return usual;
}
