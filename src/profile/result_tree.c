// SPDX-License-Identifier: GPL-3.0-or-later
// The report's call tree: nodes in the order of a walk, each one's children hottest first.
#include "profile/result.h"

static int compare_nodes(const void *left, const void *right, void *arg)
{
    const struct prof_result *result = arg;
    const struct prof_node *a = &result->profile->nodes.items[*(const uint32_t *)left];
    const struct prof_node *b = &result->profile->nodes.items[*(const uint32_t *)right];
    if (a->samples_working != b->samples_working)
        return a->samples_working > b->samples_working ? -1 : 1;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    // Children of one node are all of different functions; others need no order.
    uint32_t a_place = a->function == UINT32_MAX ? 0 : result->function_place[a->function];
    uint32_t b_place = b->function == UINT32_MAX ? 0 : result->function_place[b->function];
    return (a_place > b_place) - (a_place < b_place);
}

struct links {
    uint32_t first_child, next_sibling;
};

// Coldest first, each put before its siblings.
static void link_nodes(const struct prof_result *result, const uint32_t *order, struct links *links)
{
    const struct prof_node *nodes = result->profile->nodes.items;
    for (size_t i = result->profile->nodes.count; i-- > 0;) {
        uint32_t node = order[i];
        if (node == 0)
            continue;
        links[node].next_sibling = links[nodes[node].parent].first_child;
        links[nodes[node].parent].first_child = node;
    }
}

// Walks the tree and gives each node the number of its turn.
static void number_nodes(const struct prof_result *result, const struct links *links,
                         uint32_t *place)
{
    const struct prof_node *nodes = result->profile->nodes.items;
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

bool prof_copy_tree(struct prof_result *result)
{
    const struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    size_t count = profile->nodes.count;
    AUTO_FREE uint32_t *order = prof_order(count, compare_nodes, result);
    AUTO_FREE uint32_t *place = prof_array(count, sizeof(*place));
    AUTO_FREE struct links *links = prof_array(count, sizeof(*links));
    if (!order || !place || !links || !(report->nodes = prof_array(count, sizeof(*report->nodes))))
        return false;
    link_nodes(result, order, links);
    number_nodes(result, links, place);
    report->node_count = count;
    // 0 stays 0: the root, and "none".
    for (size_t i = 0; i < count; i++) {
        struct prof_node *node = &report->nodes[place[i]];
        *node = profile->nodes.items[i];
        if (i)
            node->function = result->function_place[node->function];
        node->parent = place[node->parent];
        node->first_child = place[links[i].first_child];
        node->next_sibling = place[links[i].next_sibling];
    }
    return true;
}
