// SPDX-License-Identifier: GPL-3.0-or-later
// Boxes of a flame graph: see report/boxes.h. The stacks are sorted by their frames' names; what has
// a prefix in common is then one range of them, and a box.
#include "report/boxes.h"

#include <stdlib.h>
#include <string.h>

#include "report/plain.h"
#include "util/guard.h"

// Boxes of so large a part of the whole are never left out, however many they are: 2 %.
#define FEW_PARTS 50

struct named {
    char *label;
    uint32_t frame;
};

struct sorted {
    const struct view_stack *stack;
    const uint32_t *rank; // of view frames, by name
};

struct laying {
    struct boxes *boxes;
    const struct sorted *sorted;
    const uint64_t *begins; // of sorted stacks; one more: where the last ends
    bool dry, failed;       // dry: boxes are only counted
    size_t count;
};

static int by_label(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->label, b->label);
    return order ? order : (a->frame > b->frame) - (a->frame < b->frame);
}

static bool rank_frames(const struct view *view, uint32_t *ret_rank)
{
    AUTO_FREE struct named *named = calloc(view->frame_count + 1, sizeof(*named));
    bool done = named;
    for (size_t i = 0; done && i < view->frame_count; i++) {
        struct plain label = {0};
        view_label(&label, &view->frames[i]);
        named[i] = (struct named){label.bytes, (uint32_t)i};
        done = label.bytes && !label.failed;
    }
    if (done && view->frame_count)
        qsort(named, view->frame_count, sizeof(*named), by_label);
    for (size_t i = 0; done && i < view->frame_count; i++)
        ret_rank[named[i].frame] = (uint32_t)i;
    for (size_t i = 0; named && i < view->frame_count; i++)
        free(named[i].label);
    return done;
}

static int by_frames(const void *left, const void *right)
{
    const struct sorted *a = left, *b = right;
    size_t both = a->stack->count < b->stack->count ? a->stack->count : b->stack->count;
    for (size_t i = 0; i < both; i++) {
        uint32_t x = a->rank[a->stack->frames[i]], y = b->rank[b->stack->frames[i]];
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a->stack->count > b->stack->count) - (a->stack->count < b->stack->count);
}

// The end of the range of stacks, from `first` on, that have its frame at that depth.
static size_t same_until(const struct laying *laying, size_t first, size_t end, uint32_t depth)
{
    const struct view_stack *stack = laying->sorted[first].stack;
    size_t at = first + 1;
    while (at < end && laying->sorted[at].stack->frames[depth] == stack->frames[depth])
        at++;
    return at;
}

// The stacks [first, end) have their frames in common below `depth`, which is that of their box.
static void lay(struct laying *laying, size_t first, size_t end, uint32_t depth)
{
    struct boxes *boxes = laying->boxes;
    uint64_t weight = laying->begins[end] - laying->begins[first];
    bool drawn = weight >= boxes->least;
    struct box box = {.frame = depth ? laying->sorted[first].stack->frames[depth - 1] : UINT32_MAX,
                      .depth = depth,
                      .begin = laying->begins[first],
                      .weight = weight};
    while (first < end && laying->sorted[first].stack->count == depth)
        box.self += laying->sorted[first++].stack->weight;
    if (depth == BOXES_DEPTH_MAX) {
        boxes->deep += end - first;
        first = end;
    }
    laying->count += drawn;
    boxes->narrow += !drawn;
    if (drawn && depth > boxes->depth)
        boxes->depth = depth;
    if (drawn && !laying->dry && !vec_push(&boxes->list, box))
        laying->failed = true;
    for (size_t next; first < end; first = next) {
        next = same_until(laying, first, end, depth);
        lay(laying, first, next, depth + 1);
    }
}

static void lay_all(struct laying *laying, size_t stacks, bool dry)
{
    laying->dry = dry;
    laying->count = 0;
    laying->boxes->narrow = laying->boxes->deep = laying->boxes->depth = 0;
    lay(laying, 0, stacks, 0);
}

bool boxes_init(struct boxes *boxes, const struct view *view, size_t count_max, unsigned parts)
{
    size_t count = view->stack_count;
    AUTO_FREE uint32_t *rank = calloc(view->frame_count + 1, sizeof(*rank));
    AUTO_FREE struct sorted *sorted = calloc(count + 1, sizeof(*sorted));
    AUTO_FREE uint64_t *begins = calloc(count + 1, sizeof(*begins));
    *boxes = (struct boxes){.least = (view->weight + parts - 1) / parts};
    if (!rank || !sorted || !begins || !rank_frames(view, rank))
        return false;
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct sorted){&view->stacks[i], rank};
    if (count)
        qsort(sorted, count, sizeof(*sorted), by_frames);
    for (size_t i = 0; i < count; i++)
        begins[i + 1] = begins[i] + sorted[i].stack->weight;
    struct laying laying = {.boxes = boxes, .sorted = sorted, .begins = begins};
    uint64_t most = view->weight / FEW_PARTS;
    for (lay_all(&laying, count, true); laying.count > count_max && boxes->least < most;
         lay_all(&laying, count, true))
        boxes->least = boxes->least * 2 < most ? boxes->least * 2 : most;
    lay_all(&laying, count, false);
    return !laying.failed;
}

void boxes_deinit(struct boxes *boxes)
{
    vec_deinit(&boxes->list);
    *boxes = (struct boxes){0};
}
