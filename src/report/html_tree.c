// SPDX-License-Identifier: GPL-3.0-or-later
// The stacks of a view as one tree of frames, because most of them have most frames in common: a
// stack is a node, and what lies above it.
#include "report/html_data.h"

#include <stdlib.h>

#include "util/guard.h"
#include "util/hash.h"

// Some 6 MB of page. The stacks come heaviest first; what does not fit loses its inner frames.
#define NODES_MAX 400000
#define CUT UINT32_MAX // stands for the frames that do not fit

struct tree_node {
    uint32_t parent, frame;
};

struct tree {
    VEC(struct tree_node) nodes; // 0: the root
    uint32_t *slots;             // open addressing by parent and frame; 0: empty
    size_t slot_count;           // a power of two, never half full
};

static void tree_deinit(struct tree *tree)
{
    vec_deinit(&tree->nodes);
    free(tree->slots);
}

static bool tree_init(struct tree *tree, const struct view *view)
{
    size_t most = view->stack_count + 1; // a node that stands for what is cut
    for (size_t i = 0; i < view->stack_count && most < NODES_MAX; i++)
        most += view->stacks[i].count;
    most = most < NODES_MAX ? most : NODES_MAX + view->stack_count;
    for (tree->slot_count = 16; tree->slot_count < 2 * most;)
        tree->slot_count *= 2;
    tree->slots = calloc(tree->slot_count, sizeof(*tree->slots));
    return tree->slots && vec_push(&tree->nodes, (struct tree_node){0, CUT});
}

// 0: out of memory, or it is not there and there is no room.
static uint32_t child_of(struct tree *tree, uint32_t parent, uint32_t frame)
{
    size_t at = hash_u64(hash_u64(HASH_SEED, parent), frame) & (tree->slot_count - 1);
    for (; tree->slots[at]; at = (at + 1) & (tree->slot_count - 1)) {
        const struct tree_node *node = &tree->nodes.items[tree->slots[at]];
        if (node->parent == parent && node->frame == frame)
            return tree->slots[at];
    }
    uint32_t index = (uint32_t)tree->nodes.count;
    if ((frame != CUT && index >= NODES_MAX) ||
        !vec_push(&tree->nodes, (struct tree_node){parent, frame}))
        return 0;
    return tree->slots[at] = index;
}

static uint32_t add_stack(struct tree *tree, const struct view_stack *stack)
{
    uint32_t node = 0;
    for (size_t i = 0; i < stack->count; i++) {
        uint32_t child = child_of(tree, node, stack->frames[i]);
        if (!child)
            return child_of(tree, node, CUT);
        node = child;
    }
    return node;
}

static void write_nodes(struct json_writer *json, const struct tree *tree)
{
    json_begin_array(json, "nodes");
    for (size_t i = 1; i < tree->nodes.count; i++) {
        json_u64(json, NULL, tree->nodes.items[i].parent);
        uint32_t frame = tree->nodes.items[i].frame;
        json_i64(json, NULL, frame == CUT ? -1 : (int64_t)frame);
    }
    json_end_array(json, JSON_LINE);
}

struct err *html_stacks(struct json_writer *json, const struct view *view)
{
    GUARD(tree_deinit) struct tree tree = {0};
    if (!tree_init(&tree, view))
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    json_begin_array(json, "stacks");
    for (size_t i = 0; i < view->stack_count; i++) {
        const struct view_stack *stack = &view->stacks[i];
        uint32_t node = add_stack(&tree, stack);
        if (!node && stack->count)
            return err_create(ERR_NO_MEMORY, "no memory for the report");
        json_i64(json, NULL, stack->thread == UINT32_MAX ? -1 : (int64_t)stack->thread);
        json_u64(json, NULL, stack->state);
        json_u64(json, NULL, node);
        json_u64(json, NULL, stack->samples);
        json_u64(json, NULL, stack->cpu_ns);
        json_u64(json, NULL, stack->gil_samples);
    }
    json_end_array(json, JSON_LINE);
    write_nodes(json, &tree);
    return NULL;
}
