// SPDX-License-Identifier: GPL-3.0-or-later
// The stacks of a view as one tree of frames, because most of them have most frames in common: a
// stack is a node, and what lies above it.
#include "report/html_data.h"

#include <stdlib.h>

#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"

// Some 6 MB of page for each view. The stacks come heaviest first; what does not fit loses its inner
// frames.
#define NODES_MAX 400000
#define CUT UINT32_MAX // stands for the frames that do not fit

struct tree_node {
    uint32_t parent, frame;
};

struct tree {
    VEC(struct tree_node) nodes; // 0: the root
    struct hash_index index;     // by parent and frame
    size_t most;                 // nodes
};

static void tree_deinit(struct tree *tree)
{
    vec_deinit(&tree->nodes);
    hash_index_deinit(&tree->index);
}

// 0: out of memory, or it is not there and there is no room.
static uint32_t child_of(struct tree *tree, uint32_t parent, uint32_t frame)
{
    uint64_t hash = hash_u64(hash_u64(HASH_SEED, parent), frame);
    struct hash_probe probe = hash_probe(&tree->index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;)
        if (tree->nodes.items[id].parent == parent && tree->nodes.items[id].frame == frame)
            return id;
    uint32_t index = (uint32_t)tree->nodes.count;
    if ((frame != CUT && index >= tree->most) || !hash_index_reserve(&tree->index, 1) ||
        !vec_push(&tree->nodes, (struct tree_node){parent, frame}))
        return 0;
    hash_index_add(&tree->index, hash, index);
    return index;
}

static uint32_t add_stack(struct tree *tree, const struct view_stack *stack, size_t first_frame)
{
    uint32_t node = 0;
    for (size_t i = 0; i < stack->count; i++) {
        uint32_t child = child_of(tree, node, (uint32_t)(first_frame + stack->frames[i]));
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

static bool write_stacks(struct json_writer *json, const char *key, struct tree *tree,
                         const struct view *view, size_t first_frame)
{
    tree->most = tree->nodes.count - 1 + NODES_MAX;
    json_begin_array(json, key);
    for (size_t i = 0; i < view->stack_count; i++) {
        const struct view_stack *stack = &view->stacks[i];
        uint32_t node = add_stack(tree, stack, first_frame);
        if (!node && stack->count)
            return false;
        json_i64(json, NULL, stack->thread == UINT32_MAX ? -1 : (int64_t)stack->thread);
        json_u64(json, NULL, stack->site == UINT32_MAX ? stack->state : SNAP_STATE_COUNT);
        json_u64(json, NULL, node);
        json_u64(json, NULL, stack->samples);
        json_u64(json, NULL, stack->cpu_ns);
        json_u64(json, NULL, stack->gil_samples);
    }
    json_end_array(json, JSON_LINE);
    return true;
}

struct err *html_stacks(struct json_writer *json, const struct view *view, const struct view *tasks)
{
    GUARD(tree_deinit) struct tree tree = {0};
    if (!vec_push(&tree.nodes, (struct tree_node){0, CUT}) ||
        !write_stacks(json, "stacks", &tree, view, 0) ||
        (tasks && !write_stacks(json, "task_stacks", &tree, tasks, view->frame_count)))
        return err_create(ERR_NO_MEMORY, "no memory for the report");
    write_nodes(json, &tree);
    return NULL;
}
