// SPDX-License-Identifier: GPL-3.0-or-later
// Which files of two runs are the same: those of the same path, but for Python's version; then those
// that differ by an installation prefix.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "profile/diff_private.h"
#include "util/guard.h"

#define TAIL_COMPONENTS_MAX 16

struct file {
    int side;
    uint32_t id;
    char *text; // without versions
    const char *tail;
    uint32_t class;
    bool matched;
};
VEC_DEFINE(files, struct file);

static void files_deinit(struct files *files)
{
    vec_foreach (file, files)
        free(file->text);
    vec_deinit(files);
}

char *diff_without_versions(const char *bytes, size_t size)
{
    // As sysconfig names directories, libraries and extension modules of CPython.
    static const char *const before[] = {"python3", "cpython-3"};
    char *text = malloc(size + 1), *end = text;
    for (size_t i = 0; text && i < size;) {
        size_t length = 0;
        for (size_t k = 0; k < ARRAY_SIZE(before) && !length; k++)
            if (size - i >= strlen(before[k]) &&
                memcmp(bytes + i, before[k], strlen(before[k])) == 0)
                length = strlen(before[k]);
        memcpy(end, bytes + i, length ? length : 1);
        end += length ? length : 1;
        i += length ? length : 1;
        if (length && i + 1 < size && bytes[i] == '.' && isdigit((unsigned char)bytes[i + 1]))
            i++;
        while (length && i < size && isdigit((unsigned char)bytes[i]))
            i++;
    }
    if (text)
        *end = '\0';
    return text;
}

int diff_compare_text(const struct strtab *left_table, uint32_t left,
                      const struct strtab *right_table, uint32_t right)
{
    size_t left_size = strtab_size(left_table, left), right_size = strtab_size(right_table, right);
    if (!left || !right)
        return (left != 0) - (right != 0);
    size_t common = left_size < right_size ? left_size : right_size;
    int order = memcmp(strtab_get(left_table, left), strtab_get(right_table, right), common);
    return order ? order : (left_size > right_size) - (left_size < right_size);
}

static int by_text(const void *left, const void *right)
{
    const struct file *a = left, *b = right;
    int order = strcmp(a->text, b->text);
    return order ? order : a->side - b->side;
}

static int by_tail(const void *left, const void *right)
{
    const struct file *a = *(struct file *const *)left, *b = *(struct file *const *)right;
    int order = strcmp(a->tail, b->tail);
    return order ? order : a->side - b->side;
}

// Each string once.
static bool add(struct files *files, const struct diff_input *run, int side, uint32_t id,
                uint32_t *classes)
{
    if (!id || classes[id])
        return true;
    char *text = diff_without_versions(strtab_get(run->strings, id), strtab_size(run->strings, id));
    classes[id] = DIFF_NONE; // listed
    if (text && vec_push(files, (struct file){.side = side, .id = id, .text = text}))
        return true;
    free(text);
    return false;
}

static bool collect(const struct diff_input *run, int side, struct files *files, uint32_t *classes)
{
    for (size_t i = 0; i < run->report->function_count; i++) {
        const struct prof_function *function = &run->report->functions[i];
        if (!add(files, run, side,
                 function->kind == SNAP_NATIVE ? function->module : function->file, classes))
            return false;
    }
    return true;
}

static void match_paths(struct files *files)
{
    uint32_t class = 0;
    qsort(files->items, files->count, sizeof(*files->items), by_text);
    for (size_t i = 0, next; i < files->count; i = next) {
        class ++;
        for (next = i; next < files->count; next++) {
            if (strcmp(files->items[i].text, files->items[next].text) != 0)
                break;
            files->items[next].class = class;
        }
        for (size_t k = i; k < next; k++)
            files->items[k].matched = files->items[i].side != files->items[next - 1].side;
    }
}

// The last components, as many; NULL: there are fewer, or they say nothing ("__init__.py" alone).
static const char *tail_of(const char *text, size_t components)
{
    const char *at = text + strlen(text);
    for (size_t left = components; at > text; at--)
        if (at[-1] == '/' && --left == 0)
            break;
    bool whole = at == text, mere_name = components == 1 && strncmp(at, "__", 2) == 0;
    return whole || !*at || mere_name ? NULL : at;
}

// Pairs those that are the only ones with such a tail.
static size_t match_tails(struct files *files, struct file **list, size_t components)
{
    size_t count = 0, pairs = 0;
    vec_foreach (file, files) {
        file->tail = file->matched ? NULL : tail_of(file->text, components);
        if (file->tail)
            list[count++] = file;
    }
    if (count)
        qsort(list, count, sizeof(*list), by_tail);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && strcmp(list[i]->tail, list[next]->tail) == 0;)
            next++;
        if (next - i != 2 || list[i]->side == list[i + 1]->side)
            continue;
        list[i + 1]->class = list[i]->class;
        list[i]->matched = list[i + 1]->matched = true;
        pairs++;
    }
    return pairs;
}

void diff_files_deinit(struct diff_files *files)
{
    for (int side = 0; side < DIFF_SIDES; side++)
        free(files->class_of[side]);
}

bool diff_files_match(const struct diff_input runs[DIFF_SIDES], struct diff_files *ret)
{
    GUARD(files_deinit) struct files files = {0};
    *ret = (struct diff_files){0};
    for (int side = 0; side < DIFF_SIDES; side++) {
        size_t strings = strtab_count(runs[side].strings) + 1;
        ret->class_of[side] = calloc(strings + 1, sizeof(*ret->class_of[side]));
        if (!ret->class_of[side] || !collect(&runs[side], side, &files, ret->class_of[side]))
            return false;
    }
    if (!files.count)
        return true;
    AUTO_FREE struct file **list = calloc(files.count, sizeof(struct file *));
    if (!list)
        return false;
    match_paths(&files);
    for (size_t components = TAIL_COMPONENTS_MAX; components; components--)
        ret->by_tail += match_tails(&files, list, components);
    vec_foreach (file, &files)
        ret->class_of[file->side][file->id] = file->class;
    return true;
}
