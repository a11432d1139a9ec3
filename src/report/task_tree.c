// SPDX-License-Identifier: GPL-3.0-or-later
// Who awaits whom, as a tree: roots first, below each task what it waits for. Subtrees that look alike
// are one, with a count; what was shown is not shown again, so that no graph makes a tree that is larger
// than itself. Rings are named.
#include <stdlib.h>

#include "report/await_graph.h"
#include "report/page.h"
#include "report/task_words.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/index.h"

#define LINES_SHOWN 200
#define DEEPEST 24 // of the lines that are shown
#define DEEPEST_INDENT 40
#define NAMED_TASKS 3
#define RINGS_SHOWN 3
#define RING_TASKS_SHOWN 6
#define DEFAULT_WIDTH 100
#define LEAST_COLUMNS 40 // of a chain, however deep

// ---- What looks alike ----------------------------------------------------------------------------

struct shape { // of subtrees: a range in `words`
    size_t first, count;
};

struct shapes {
    const struct await_graph *graph;
    uint32_t *of; // by task
    VEC(struct shape) list;
    VEC(uint32_t) words;
    struct hash_index index;
};

static void shapes_deinit(struct shapes *shapes)
{
    free(shapes->of);
    vec_deinit(&shapes->list);
    vec_deinit(&shapes->words);
    hash_index_deinit(&shapes->index);
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static const struct snap_task *task_at(const struct await_graph *graph, uint32_t task)
{
    return &graph->suspended->tasks.items[task];
}

// The task itself, then the shapes of what it waits for. One in a ring is like no other.
static bool describe(struct shapes *shapes, uint32_t index, struct shape *ret)
{
    const struct snap_task *task = task_at(shapes->graph, index);
    bool apart = await_graph_in_ring(shapes->graph, index);
    uint32_t own[] = {task->stack, task->coroutine,
                      task->state << 8 | task->cancelling << 7 | task->await.kind,
                      apart ? index : SNAP_NO_INDEX};
    ret->first = shapes->words.count;
    ret->count = ARRAY_SIZE(own) + (apart ? 0 : await_edges(task, false));
    if (!vec_reserve(&shapes->words, ret->first + ret->count))
        return false;
    uint32_t *words = shapes->words.items + ret->first;
    memcpy(words, own, sizeof(own));
    for (size_t i = ARRAY_SIZE(own); i < ret->count; i++) {
        uint32_t child = await_edge(task, i - ARRAY_SIZE(own));
        words[i] = child < shapes->graph->count ? shapes->of[child] : SNAP_NO_INDEX;
    }
    if (ret->count > ARRAY_SIZE(own))
        qsort(words + ARRAY_SIZE(own), ret->count - ARRAY_SIZE(own), sizeof(*words), by_value);
    shapes->words.count += ret->count;
    return true;
}

static bool find_shape(struct shapes *shapes, uint32_t index)
{
    struct shape wanted;
    if (!describe(shapes, index, &wanted))
        return false;
    const uint32_t *words = shapes->words.items + wanted.first;
    uint64_t hash = hash_u64(HASH_SEED, wanted.count);
    for (size_t i = 0; i < wanted.count; i++)
        hash = hash_u64(hash, words[i]);
    struct hash_probe probe = hash_probe(&shapes->index, hash);
    for (uint32_t id; (id = hash_probe_next(&probe)) != HASH_NONE;) {
        const struct shape *shape = &shapes->list.items[id];
        if (shape->count == wanted.count &&
            memcmp(shapes->words.items + shape->first, words, shape->count * sizeof(*words)) == 0) {
            shapes->of[index] = id;
            shapes->words.count = wanted.first;
            return true;
        }
    }
    uint32_t id = shapes->of[index] = (uint32_t)shapes->list.count;
    if (!hash_index_reserve(&shapes->index, 1) || !vec_push(&shapes->list, wanted))
        return false;
    hash_index_add(&shapes->index, hash, id);
    return true;
}

static bool shapes_init(struct shapes *shapes, const struct await_graph *graph)
{
    *shapes = (struct shapes){.graph = graph, .of = calloc(graph->count + 1, sizeof(*shapes->of))};
    if (!shapes->of)
        return false;
    for (size_t i = 0; i < graph->count; i++)
        if (!find_shape(shapes, graph->order[i]))
            return false;
    return true;
}

// ---- The tree ------------------------------------------------------------------------------------

struct branch {          // tasks that look alike, below the same one
    size_t first, count; // range in tree.members
    uint32_t parent;     // SNAP_NO_INDEX: none
    unsigned depth;
};

struct tree {
    struct page *page;
    const struct await_graph *graph;
    struct shapes shapes;
    struct task_groups all;
    bool *shown; // by shape: what is below it was
    VEC(uint32_t) members;
    VEC(struct branch) stack;
    size_t lines, deep;
};

static void tree_deinit(struct tree *tree)
{
    shapes_deinit(&tree->shapes);
    free(tree->shown);
    vec_deinit(&tree->members);
    vec_deinit(&tree->stack);
}

static int by_shape(const void *left, const void *right, void *arg)
{
    const uint32_t *shapes = arg;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (shapes[a] != shapes[b])
        return shapes[a] < shapes[b] ? -1 : 1;
    return (a > b) - (a < b);
}

// The first one is popped first.
static int by_first(const void *left, const void *right, void *arg)
{
    const struct tree *tree = arg;
    uint32_t a = tree->members.items[((const struct branch *)left)->first];
    uint32_t b = tree->members.items[((const struct branch *)right)->first];
    return task_by_name(tree->page, &tree->all, b, a);
}

// The members from `first` on are below `parent`: those that look alike become one branch.
static bool push_branches(struct tree *tree, size_t first, uint32_t parent, unsigned depth)
{
    uint32_t *members = tree->members.items;
    size_t count = tree->members.count - first, branches = tree->stack.count, kept = first;
    if (!count)
        return true;
    qsort_r(members + first, count, sizeof(*members), by_shape, tree->shapes.of);
    for (size_t i = first; i < tree->members.count; i++) {
        uint32_t task = members[i];
        if (kept > first && members[kept - 1] == task)
            continue; // awaited twice
        bool fresh = kept == first || tree->shapes.of[members[kept - 1]] != tree->shapes.of[task];
        struct branch branch = {.first = kept, .parent = parent, .depth = depth};
        if (fresh && !vec_push(&tree->stack, branch))
            return false;
        tree->stack.items[tree->stack.count - 1].count++;
        members[kept++] = task;
    }
    tree->members.count = kept;
    qsort_r(tree->stack.items + branches, tree->stack.count - branches, sizeof(struct branch),
            by_first, tree);
    return true;
}

static bool push_children(struct tree *tree, uint32_t index, unsigned depth)
{
    const struct snap_task *task = task_at(tree->graph, index);
    size_t first = tree->members.count;
    for (size_t i = 0; i < await_edges(task, false); i++) {
        uint32_t child = await_edge(task, i);
        if (child < tree->graph->count && !vec_push(&tree->members, child))
            return false;
    }
    return push_branches(tree, first, index, depth);
}

// Nobody awaits them, but they await others; of a ring that nobody else awaits, one.
static bool push_roots(struct tree *tree, size_t *ret_alone)
{
    const struct await_graph *graph = tree->graph;
    AUTO_FREE bool *awaited = calloc(graph->count + 1, sizeof(*awaited)); // by component
    *ret_alone = 0;
    if (!awaited)
        return false;
    for (uint32_t i = 0; i < graph->count; i++)
        for (size_t k = 0; k < await_edges(task_at(graph, i), false); k++) {
            uint32_t child = await_edge(task_at(graph, i), k);
            if (child < graph->count && graph->components[child] != graph->components[i])
                awaited[graph->components[child]] = true;
        }
    for (uint32_t i = 0; i < graph->count; i++) {
        bool *known = &awaited[graph->components[i]];
        bool edges = await_edges(task_at(graph, i), false) > 0;
        *ret_alone += !*known && !edges && task_at(graph, i)->state != SNAP_TASK_FINISHED;
        if (!*known && edges && !vec_push(&tree->members, i))
            return false;
        *known |= edges; // the ring has its root
    }
    return push_branches(tree, 0, SNAP_NO_INDEX, 0);
}

// ---- Lines ---------------------------------------------------------------------------------------

static void put(struct tree *tree, struct plain *line)
{
    plain_unmark(line);
    doc_line(tree->page->doc, DOC_NORMAL, 1, plain_text(line));
    tree->page->failed |= line->failed;
    tree->lines++;
}

static void indent(struct plain *line, unsigned depth)
{
    plain_pad(line, 2 + 2 * (size_t)(depth < DEEPEST_INDENT ? depth : DEEPEST_INDENT));
}

static void add_tags(struct plain *tags, const struct tree *tree, const struct branch *branch,
                     const uint32_t *members)
{
    const struct task_group group = task_groups_sum(&tree->all, members, branch->count);
    GUARD(plain_deinit) struct plain await = {0};
    task_say_await(&await, tree->page, &tree->all, &group, members);
    if (!await.size && group.state != SNAP_TASK_WAITING)
        plain_str(&await, task_state_words(&tree->all, group.state));
    task_say_times(&await, &group);
    if (group.cancelling)
        plain_add(&await, "%sasked to end", await.size ? ", " : "");
    if (await.size)
        plain_add(tags, "  [%s]", plain_text(&await));
    tags->failed |= await.failed;
}

// `remark` NULL: none.
static void add_line(struct tree *tree, const struct branch *branch, const char *remark)
{
    const uint32_t *members = tree->members.items + branch->first;
    const struct page *page = tree->page;
    const struct snap_frames *frames =
        task_groups_frames(&tree->all, task_at(tree->graph, *members)->stack);
    GUARD(plain_deinit) struct plain line = {0}, tags = {0};
    indent(&line, branch->depth);
    if (branch->count > 1) {
        plain_count(&line, branch->count);
        plain_str(&line, " x ");
    }
    task_say_names(&line, page, &tree->all, members, branch->count, NAMED_TASKS);
    plain_str(&line, frames->count ? ": " : "");
    add_tags(&tags, tree, branch, members);
    plain_unmark(&line);
    plain_unmark(&tags);
    size_t width = page->options->width ? page->options->width : DEFAULT_WIDTH;
    size_t taken = plain_columns(plain_text(&line)) + plain_columns(plain_text(&tags));
    task_say_chain(&line, page, frames,
                   taken + LEAST_COLUMNS < width ? width - taken : LEAST_COLUMNS);
    plain_str(&line, plain_text(&tags));
    plain_str(&line, remark ? remark : "");
    line.failed |= tags.failed;
    put(tree, &line);
}

// The only one that a task awaits, where it is at the same place: a chain of them is told in one line.
static uint32_t next_alike(const struct tree *tree, uint32_t index)
{
    const struct snap_task *task = task_at(tree->graph, index), *next;
    uint32_t child = await_edges(task, false) == 1 ? await_edge(task, 0) : SNAP_NO_INDEX;
    if (child >= tree->graph->count || tree->shown[tree->shapes.of[child]] ||
        await_graph_in_ring(tree->graph, child))
        return SNAP_NO_INDEX;
    next = task_at(tree->graph, child);
    bool alike = next->stack == task->stack && next->state == task->state &&
                 next->await.kind == task->await.kind && next->await.tasks.count;
    return alike ? child : SNAP_NO_INDEX;
}

static const char *remark_of(const struct tree *tree, const struct branch *branch, uint32_t task)
{
    const uint32_t *components = tree->graph->components;
    if (!await_edges(task_at(tree->graph, task), false) || !tree->shown[tree->shapes.of[task]])
        return NULL;
    return branch->parent != SNAP_NO_INDEX && components[branch->parent] == components[task]
               ? "  (above: it is a ring)"
               : "  (what it awaits is above)";
}

static bool show_branch(struct tree *tree, const struct branch *branch)
{
    uint32_t task = tree->members.items[branch->first], next;
    const char *remark = remark_of(tree, branch, task);
    unsigned below = branch->depth + 1;
    size_t alike = 0;
    add_line(tree, branch, remark);
    if (remark)
        return true;
    tree->shown[tree->shapes.of[task]] = true;
    for (; (next = next_alike(tree, task)) != SNAP_NO_INDEX; alike++) {
        task = next;
        tree->shown[tree->shapes.of[task]] = true;
    }
    if (alike) {
        GUARD(plain_deinit) struct plain line = {0};
        indent(&line, below++);
        plain_str(&line, "... ");
        plain_things(&line, alike, "task");
        plain_str(&line, alike == 1 ? " more that is at the same place"
                                    : " more at the same place, each awaits the next one");
        put(tree, &line);
    }
    return push_children(tree, task, below);
}

static bool show(struct tree *tree)
{
    bool full = tree->page->options->full;
    while (tree->stack.count && (full || tree->lines < LINES_SHOWN)) {
        struct branch branch = tree->stack.items[--tree->stack.count];
        if (!full && branch.depth > DEEPEST)
            tree->deep += branch.count;
        else if (!show_branch(tree, &branch))
            return false;
    }
    return true;
}

static void say_left_out(struct tree *tree)
{
    GUARD(plain_deinit) struct plain line = {0};
    if (tree->stack.count)
        plain_str(&line, "  ... the rest of the tree is left out; --full shows it");
    else if (tree->deep)
        plain_str(&line, "  ... what lies deeper is left out; --full shows it");
    if (line.size)
        put(tree, &line);
}

// ---- Rings ---------------------------------------------------------------------------------------

static void ring_deinit(struct await_ring *ring)
{
    vec_deinit(ring);
}

// " of order()", where the name does not say it.
static void say_coroutine(struct plain *line, const struct page *page, const struct snap_task *task)
{
    if (!task->name || !task->coroutine || task->name == task->coroutine)
        return;
    plain_str(line, " of ");
    task_say_coroutine(line, page, task->coroutine);
}

static void say_ring(struct page *page, const struct task_groups *all,
                     const struct await_ring *ring)
{
    GUARD(plain_deinit) struct plain line = {0};
    size_t shown =
        ring->count <= RING_TASKS_SHOWN || page->options->full ? ring->count : RING_TASKS_SHOWN;
    if (ring->count == 1) {
        plain_str(&line, "A task waits for itself: ");
        task_say_name(&line, page, all, ring->items[0]);
        plain_str(&line, ".");
    } else {
        plain_things(&line, ring->count, "task");
        plain_str(&line, " wait for each other in a ring: ");
        for (size_t i = 0; i < shown; i++) {
            task_say_name(&line, page, all, ring->items[i]);
            say_coroutine(&line, page, &all->suspended->tasks.items[ring->items[i]]);
            plain_str(&line, " > ");
        }
        if (shown < ring->count) {
            plain_str(&line, "... ");
            plain_count(&line, ring->count - shown);
            plain_str(&line, " more ... > ");
        }
        task_say_name(&line, page, all, ring->items[0]);
        plain_str(&line, ".");
    }
    doc_strong(page->doc, DOC_HOT, plain_text(&line));
    page->failed |= line.failed;
}

// Also those that hold locks which others wait for.
static bool say_rings(struct page *page, const struct snap_suspended *suspended, bool begin)
{
    GUARD(await_graph_deinit) struct await_graph graph = {0};
    GUARD(ring_deinit) struct await_ring ring = {0};
    const struct task_groups all = {.suspended = suspended};
    size_t rings = 0;
    if (!await_graph_init(&graph, suspended, true))
        return false;
    AUTO_FREE bool *known = calloc(graph.count + 1, sizeof(*known)); // by component
    if (!known)
        return false;
    for (uint32_t i = 0; i < graph.count; i++) {
        bool *said = &known[graph.components[i]];
        if (*said || !await_graph_in_ring(&graph, i))
            continue;
        *said = true;
        if (++rings > RINGS_SHOWN && !page->options->full)
            continue;
        if (!await_graph_ring(&graph, i, &ring))
            return false;
        if (begin)
            doc_section(page->doc, "Tasks that wait for each other", NULL, 0, 0);
        begin = false;
        say_ring(page, &all, &ring);
    }
    if (rings > RINGS_SHOWN && !page->options->full) {
        GUARD(plain_deinit) struct plain line = {0};
        plain_things(&line, rings - RINGS_SHOWN, "more ring");
        plain_str(&line, "; --full shows them.");
        doc_text(page->doc, plain_text(&line));
        page->failed |= line.failed;
    }
    return true;
}

// ---- The section ---------------------------------------------------------------------------------

static bool add_tree(struct page *page, const struct snap_suspended *suspended)
{
    GUARD(await_graph_deinit) struct await_graph graph = {0};
    GUARD(tree_deinit)
    struct tree tree = {.page = page, .graph = &graph, .all = {.suspended = suspended}};
    size_t alone;
    if (!await_graph_init(&graph, suspended, false) || !shapes_init(&tree.shapes, &graph) ||
        !(tree.shown = calloc(tree.shapes.list.count + 1, sizeof(*tree.shown))) ||
        !push_roots(&tree, &alone))
        return false;
    if (!tree.stack.count)
        return true;
    doc_section(page->doc, "Who awaits whom (below each task what it waits for)", "line", 1, 25);
    if (alone) {
        GUARD(plain_deinit) struct plain line = {0};
        plain_things(&line, alone, "task");
        plain_str(&line, alone == 1 ? " awaits no other one, and none awaits it."
                                    : " await no other one, and none awaits them.");
        doc_text(page->doc, plain_text(&line));
        page->failed |= line.failed;
    }
    if (!show(&tree))
        return false;
    say_left_out(&tree);
    return true;
}

void page_task_tree(struct page *page)
{
    const struct snap_suspended *suspended = page_suspended(page);
    if (!suspended || !suspended->tasks.count)
        return;
    page->failed |= !say_rings(page, suspended, true) || !add_tree(page, suspended);
}
