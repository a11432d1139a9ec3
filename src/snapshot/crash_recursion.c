// SPDX-License-Identifier: GPL-3.0-or-later
// Which function has used up a stack: the one that is there most often.
#include <stdlib.h>

#include "snapshot/crash_private.h"
#include "util/guard.h"

#define FRAMES_MAX 500000u // counted, from the innermost
#define REPEATS_MIN 10u

struct function {
    uint32_t name, place; // place: file, or module
    int32_t line;
    bool native;
    size_t count, order;
};

static int compare(const void *left, const void *right)
{
    const struct function *a = left, *b = right;
    if (a->name != b->name)
        return a->name < b->name ? -1 : 1;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

// The most frequent of a kind, of several the innermost.
static const struct function *most(const struct function *functions, size_t count, bool native)
{
    const struct function *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct function *at = &functions[i];
        if (at->native == native && at->count >= REPEATS_MIN &&
            (!best || at->count > best->count ||
             (at->count == best->count && at->order < best->order)))
            best = at;
    }
    return best;
}

static uint32_t say(const struct crash_site *site, const struct function *python,
                    const struct function *native)
{
    struct strtab *strings = site->in->strings;
    const struct function *first = python ? python : native;
    const char *place = first ? strtab_get(strings, first->place) : NULL;
    if (!first)
        return 0;
    if (!python)
        return crash_text(site, "%s%s%s%s, %zu times on the stack",
                          strtab_get(strings, first->name), place ? " (" : "", place ? place : "",
                          place ? ")" : "", first->count);
    return crash_text(site, "%s (%s:%d), %zu times on the stack%s%s",
                      strtab_get(strings, first->name), place ? place : "?", first->line,
                      first->count, native ? ", by way of " : "",
                      native ? strtab_get(strings, native->name) : "");
}

uint32_t crash_recursion(const struct crash_site *site)
{
    const struct snap_thread *thread = site->thread;
    size_t count = 0, groups = 0;
    if (!thread)
        return 0;
    AUTO_FREE struct function *functions =
        calloc((thread->frames.count < FRAMES_MAX ? thread->frames.count : FRAMES_MAX) + 1,
               sizeof(*functions));
    for (size_t i = 0; functions && i < thread->frames.count && i < FRAMES_MAX; i++) {
        const struct snap_frame *frame = &thread->frames.items[i];
        bool native = frame->kind == SNAP_NATIVE;
        if (!frame->function || frame->kind == SNAP_BUILTIN)
            continue;
        functions[count] = (struct function){frame->function,
                                             native ? frame->module : frame->file,
                                             native ? -1 : frame->line,
                                             native,
                                             1,
                                             count};
        count++;
    }
    if (!count)
        return 0;
    qsort(functions, count, sizeof(*functions), compare);
    for (size_t i = 0; i < count; i++) {
        struct function *last = groups ? &functions[groups - 1] : NULL;
        if (last && last->name == functions[i].name && last->place == functions[i].place)
            last->count++;
        else
            functions[groups++] = functions[i];
    }
    return say(site, most(functions, groups, false), most(functions, groups, true));
}
