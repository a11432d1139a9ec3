// SPDX-License-Identifier: GPL-3.0-or-later
// What all targets share, whatever filled them: their end, their notes, and the way from an
// address to its mapping.
#include "target/target.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A hostile core can make one note a mapping; a report needs none of them after the first hundreds.
#define MAX_NOTES 512

void target_destroy(struct target *target)
{
    if (!target)
        return;
    // The memory model borrows the source (file descriptors), so it goes first.
    mem_destroy(target->mem);
    if (target->destroy_source)
        target->destroy_source(target->source);
    vec_foreach (mapping, &target->mappings)
        free(mapping->path);
    vec_deinit(&target->mappings);
    vec_deinit(&target->threads);
    vec_deinit(&target->extras);
    vec_foreach (note, &target->notes)
        free(*note);
    vec_deinit(&target->notes);
    for (char **arg = target->argv; arg && *arg; arg++)
        free(*arg);
    free(target->argv);
    free(target->exe);
    free(target->host);
    free(target->path);
    free(target);
}

const struct target_mapping *target_mapping_at(const struct target *target, uint64_t addr)
{
    size_t low = 0, high = target->mappings.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct target_mapping *mapping = &target->mappings.items[middle];
        if (addr < mapping->start)
            high = middle;
        else if (addr >= mapping->end)
            low = middle + 1;
        else
            return mapping;
    }
    return NULL;
}

// Paths in notes come from the target: a newline would forge a second note, an escape sequence
// would reach a terminal.
static void hide_control_bytes(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

static void add_note(struct target *target, char *text)
{
    vec_foreach (note, &target->notes) {
        if (strcmp(*note, text) == 0) {
            free(text);
            return;
        }
    }
    if (!vec_push(&target->notes, text))
        free(text);
}

void target_note(struct target *target, const char *fmt, ...)
{
    if (target->notes.count > MAX_NOTES)
        return;
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    if (target->notes.count == MAX_NOTES)
        text = strdup("more notes were left out");
    else if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    if (!text)
        return;
    hide_control_bytes(text);
    add_note(target, text);
}
