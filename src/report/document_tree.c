// SPDX-License-Identifier: GPL-3.0-or-later
// The call tree as a document has it, for one whose stacks are not all there. It is pruned where it
// was written; what that left out stays counted.
#include "report/document_in.h"
#include "util/guard.h"

// By recursion: the reader bounds the depth of documents.
struct node_in {
    struct prof_node node;
    uint32_t index; // in profile.nodes
    uint32_t frame;
    uint32_t last_child; // 0: none yet
    bool has_frame;
    uint64_t pruned;
};

static void read_node(struct document_in *in, struct node_in *node);

static void read_children(struct document_in *in, void *into)
{
    struct node_in *parent = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        struct node_in child = {.node.parent = parent->index};
        read_node(in, &child);
        if (in->json.err)
            return;
        if (!child.has_frame)
            json_fault(&in->json, "a node of the tree without \"frame\"");
        struct prof_node *nodes = in->profile->nodes.items;
        if (parent->last_child)
            nodes[parent->last_child].next_sibling = child.index;
        else
            parent->node.first_child = child.index;
        parent->last_child = child.index;
    }
}

static const struct field node_fields[] = {
    FIELD_HAS(struct node_in, "frame", FIELD_U32, frame, has_frame),
    FIELD(struct node_in, "samples", FIELD_U64, node.samples),
    FIELD(struct node_in, "samples_working", FIELD_U64, node.samples_working),
    FIELD(struct node_in, "self", FIELD_U64, node.self),
    FIELD(struct node_in, "self_working", FIELD_U64, node.self_working),
    FIELD(struct node_in, "cpu_ns", FIELD_U64, node.cpu_ns),
    FIELD(struct node_in, "self_cpu_ns", FIELD_U64, node.self_cpu_ns),
    {.key = "children", .kind = FIELD_OTHER, .required = true, .read = read_children},
    FIELD(struct node_in, "pruned", FIELD_U64, pruned),
};

static void read_node(struct document_in *in, struct node_in *node)
{
    struct profile_in *profile = in->profile;
    node->index = (uint32_t)profile->nodes.count;
    if (!document_push(in, &profile->nodes))
        return;
    document_fields(in, node_fields, ARRAY_SIZE(node_fields), node);
    if (in->json.err)
        return;
    node->node.function = UINT32_MAX;
    if (node->has_frame && node->frame >= profile->frame_function.count)
        json_fault(&in->json, "the tree refers to frame %u of %zu", node->frame,
                   profile->frame_function.count);
    else if (node->has_frame)
        node->node.function = profile->frame_function.items[node->frame];
    profile->nodes.items[node->index] = node->node;
}

void document_read_tree(struct document_in *in, struct profile_in *profile)
{
    struct json_mark here = json_get_mark(&in->json);
    struct node_in root = {0};
    json_go_to(&in->json, profile->tree);
    in->profile = profile;
    read_node(in, &root);
    in->profile = NULL;
    if (root.has_frame)
        json_fault(&in->json, "the tree's root has a frame");
    profile->report.pruned_nodes = root.pruned;
    json_go_to(&in->json, here);
}
