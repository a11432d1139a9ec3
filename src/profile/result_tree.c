// SPDX-License-Identifier: GPL-3.0-or-later
// The report's call tree: nodes in the order of a walk, each one's children hottest first. It comes
// from the profile's own nodes, or is made of the report's stacks.
#include "profile/result.h"

static int compare_nodes(const void *left, const void *right, void *arg)
{
    const struct prof_node *nodes = arg;
    const struct prof_node *a = &nodes[*(const uint32_t *)left];
    const struct prof_node *b = &nodes[*(const uint32_t *)right];
    if (a->samples_working != b->samples_working)
        return a->samples_working > b->samples_working ? -1 : 1;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    // Children of one node are all of different functions; others need no order.
    return (a->function > b->function) - (a->function < b->function);
}

struct links {
    uint32_t first_child, next_sibling;
};

// Coldest first, each put before its siblings.
static void link_nodes(const struct prof_node *nodes, size_t count, const uint32_t *order,
                       struct links *links)
{
    for (size_t i = count; i-- > 0;) {
        uint32_t node = order[i];
        if (node == 0)
            continue;
        links[node].next_sibling = links[nodes[node].parent].first_child;
        links[nodes[node].parent].first_child = node;
    }
}

// Walks the tree and gives each node the number of its turn.
static void number_nodes(const struct prof_node *nodes, const struct links *links, uint32_t *place)
{
    uint32_t turn = 0;
    for (uint32_t node = 0;;) {
        place[node] = turn++;
        if (links[node].first_child) {
            node = links[node].first_child;
            continue;
        }
        while (node && !links[node].next_sibling)
            node = nodes[node].parent;
        if (!node)
            return;
        node = links[node].next_sibling;
    }
}

// Sorts nodes of which only `parent` is set into the report.
static bool take_nodes(struct prof_report *report, struct prof_node *nodes, size_t count)
{
    AUTO_FREE uint32_t *order = prof_order(count, compare_nodes, nodes);
    AUTO_FREE uint32_t *place = prof_array(count, sizeof(*place));
    AUTO_FREE struct links *links = prof_array(count, sizeof(*links));
    if (!order || !place || !links || !(report->nodes = prof_array(count, sizeof(*report->nodes))))
        return false;
    link_nodes(nodes, count, order, links);
    number_nodes(nodes, links, place);
    report->node_count = count;
    // 0 stays 0: the root, and "none".
    for (size_t i = 0; i < count; i++) {
        struct prof_node *node = &report->nodes[place[i]];
        *node = nodes[i];
        node->parent = place[node->parent];
        node->first_child = place[links[i].first_child];
        node->next_sibling = place[links[i].next_sibling];
    }
    return true;
}

bool prof_copy_tree(struct prof_result *result)
{
    const struct profile *profile = result->profile;
    size_t count = profile->nodes.count;
    AUTO_FREE struct prof_node *nodes = prof_array(count, sizeof(*nodes));
    if (!nodes)
        return false;
    for (size_t i = 0; i < count; i++) {
        nodes[i] = profile->nodes.items[i];
        if (i)
            nodes[i].function = result->function_place[nodes[i].function];
    }
    return take_nodes(result->report, nodes, count);
}

// ---- Of stacks ----------------------------------------------------------------------------------

struct growing {
    VEC(struct prof_node) nodes;
    struct hash_index index;
};

static void growing_deinit(struct growing *tree)
{
    vec_deinit(&tree->nodes);
    hash_index_deinit(&tree->index);
}

static bool child_of(struct growing *tree, uint32_t parent, uint32_t function, uint32_t *ret_child)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)parent << 32 | function);
    struct hash_probe probe = hash_probe(&tree->index, hash);
    while ((*ret_child = hash_probe_next(&probe)) != HASH_NONE) {
        const struct prof_node *node = &tree->nodes.items[*ret_child];
        if (node->parent == parent && node->function == function)
            return true;
    }
    struct prof_node node = {.function = function, .parent = parent};
    if (!hash_index_reserve(&tree->index, 1) || !vec_push(&tree->nodes, node))
        return false;
    *ret_child = (uint32_t)tree->nodes.count - 1;
    hash_index_add(&tree->index, hash, *ret_child);
    return true;
}

static void count_node(struct prof_node *node, const struct prof_stack *stack, bool innermost)
{
    uint64_t working = snap_state_works(stack->state) ? stack->samples : 0;
    node->samples += stack->samples;
    node->samples_working += working;
    node->cpu_ns += stack->cpu_ns;
    if (!innermost)
        return;
    node->self += stack->samples;
    node->self_working += working;
    node->self_cpu_ns += stack->cpu_ns;
}

static struct err *add_stack(struct growing *tree, const struct prof_report *report,
                             const struct prof_stack *stack)
{
    uint32_t node = 0;
    count_node(&tree->nodes.items[0], stack, !stack->frame_count);
    for (size_t i = stack->frame_count; i-- > 0;) {
        uint32_t function = report->frame_function[stack->frames[i]];
        if (!child_of(tree, node, function, &node))
            return err_create(ERR_NO_MEMORY, "no memory for the call tree");
        if (tree->nodes.count > PROF_NODES_MAX)
            return err_create(ERR_LIMIT, "its stacks make a call tree of more than %d nodes",
                              PROF_NODES_MAX);
        count_node(&tree->nodes.items[node], stack, i == 0);
    }
    return NULL;
}

struct err *prof_report_grow_tree(struct prof_report *report)
{
    GUARD(growing_deinit) struct growing tree = {0};
    if (!vec_push(&tree.nodes, (struct prof_node){.function = UINT32_MAX}))
        return err_create(ERR_NO_MEMORY, "no memory for the call tree");
    for (size_t i = 0; i < report->stack_count; i++)
        TRY(add_stack(&tree, report, &report->stacks[i]));
    if (!take_nodes(report, tree.nodes.items, tree.nodes.count))
        return err_create(ERR_NO_MEMORY, "no memory for the call tree");
    return NULL;
}
