// SPDX-License-Identifier: GPL-3.0-or-later
#include "report/kinds.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

struct named {
    char *stem;
    uint32_t thread;
    bool python;
};

static int by_stem(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    if (a->python != b->python)
        return a->python ? -1 : 1;
    int order = strcmp(a->stem, b->stem);
    return order ? order : (a->thread > b->thread) - (a->thread < b->thread);
}

static uint64_t weight_of(const struct weigh *weigh, const struct prof_thread *thread)
{
    if (weigh->kind == REPORT_WEIGHT_CPU)
        return thread->cpu_ns - thread->cpu_between_ns;
    if (weigh->kind == REPORT_WEIGHT_WALL || weigh->fell_back)
        return thread->samples;
    return thread->states[SNAP_RUNNING] + thread->states[SNAP_RUNNABLE];
}

static bool add_kind(struct kinds *kinds, const struct page *page, const struct named *first,
                     size_t count)
{
    struct kind kind = {.first = first->thread, .threads = count};
    if (!vec_push(&kinds->list, kind))
        return false;
    struct kind *added = &kinds->list.items[kinds->list.count - 1];
    for (size_t i = 0; i < count; i++) {
        const struct prof_thread *thread = &page->profile->threads[first[i].thread];
        kinds->of_thread[first[i].thread] = (uint32_t)kinds->list.count - 1;
        added->samples += thread->samples;
        added->working += thread->states[SNAP_RUNNING] + thread->states[SNAP_RUNNABLE];
        added->weight += weight_of(&page->weigh, thread);
    }
    return (added->stem = strdup(first->stem)) != NULL;
}

bool kinds_find(const struct page *page, struct kinds *ret)
{
    const struct prof_report *profile = page->profile;
    size_t count = profile->thread_count;
    AUTO_FREE struct named *named = calloc(count + 1, sizeof(*named));
    ret->of_thread = calloc(count + 1, sizeof(*ret->of_thread));
    bool done = named && ret->of_thread;
    for (size_t i = 0; done && i < count; i++) {
        const char *name = strtab_get(page->names.strings, profile->threads[i].name);
        named[i].stem = names_stem(name ? name : "",
                                   strtab_size(page->names.strings, profile->threads[i].name));
        named[i].thread = (uint32_t)i;
        named[i].python = profile->threads[i].known_to_python;
        done = named[i].stem;
    }
    if (done && count)
        qsort(named, count, sizeof(*named), by_stem);
    for (size_t i = 0, next; done && i < count; i = next) {
        for (next = i + 1; next < count; next++)
            if (named[i].python != named[next].python || strcmp(named[i].stem, named[next].stem))
                break;
        done = add_kind(ret, page, &named[i], next - i);
    }
    for (size_t i = 0; named && i < count; i++)
        free(named[i].stem);
    return done;
}

void kinds_deinit(struct kinds *kinds)
{
    vec_foreach (kind, &kinds->list)
        free(kind->stem);
    vec_deinit(&kinds->list);
    free(kinds->of_thread);
}

void kind_say(struct plain *plain, const struct kind *kind)
{
    const char *stem = kind->stem[0] ? kind->stem : "(no name)";
    plain_str(plain, PLAIN_CODE);
    plain_safe(plain, stem, strlen(stem));
    plain_str(plain, PLAIN_CODE_END);
}
