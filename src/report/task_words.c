// SPDX-License-Identifier: GPL-3.0-or-later
// See task_words.h.
#include "report/task_words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

#define NAME_COLUMNS 40
#define WHAT_COLUMNS 60
#define FUNCTION_COLUMNS 48

static void say_id(struct plain *plain, const struct page *page, uint32_t id, size_t columns,
                   enum plain_keep keep)
{
    plain_str(plain, PLAIN_CODE);
    plain_id(plain, page->names.strings, id, columns, keep);
    plain_str(plain, PLAIN_CODE_END);
}

void task_say_name(struct plain *plain, const struct page *page, const struct task_groups *groups,
                   uint32_t index)
{
    struct task_view view = task_groups_view(groups, index);
    const struct snap_greenlet *greenlet =
        groups->of_greenlets ? &groups->suspended->greenlets.items[index] : NULL;
    if (view.name) {
        say_id(plain, page, view.name, NAME_COLUMNS, PLAIN_KEEP_START);
    } else if (view.coroutine) {
        task_say_coroutine(plain, page, view.coroutine);
    } else if (greenlet && (greenlet->is_hub || greenlet->is_main)) {
        plain_str(plain, greenlet->is_hub ? "hub" : "main");
    } else {
        plain_str(plain, PLAIN_CODE);
        plain_add(plain, "<0x%" PRIx64 ">", view.object);
        plain_str(plain, PLAIN_CODE_END);
    }
}

// "handle" of "Server.start.<locals>.handle": where it is defined, the line says better.
static void add_function(struct plain *plain, const struct page *page, uint32_t name,
                         size_t columns)
{
    static const char within[] = "<locals>.";
    const char *text = strtab_get(page->names.strings, name);
    if (!text) {
        plain_str(plain, "?");
        return;
    }
    const char *end = text + strtab_size(page->names.strings, name), *at;
    while ((at = memmem(text, (size_t)(end - text), within, strlen(within))) &&
           at + strlen(within) < end)
        text = at + strlen(within);
    GUARD(plain_deinit) struct plain whole = {0};
    plain_safe(&whole, text, (size_t)(end - text));
    plain_clip(plain, plain_text(&whole), columns, PLAIN_KEEP_START);
    plain->failed |= whole.failed;
}

void task_say_coroutine(struct plain *plain, const struct page *page, uint32_t coroutine)
{
    plain_str(plain, PLAIN_CODE);
    add_function(plain, page, coroutine, NAME_COLUMNS);
    plain_str(plain, "()" PLAIN_CODE_END);
}

static uint32_t name_of(const struct task_groups *groups, uint32_t index)
{
    return groups->of_greenlets ? groups->suspended->greenlets.items[index].name
                                : groups->suspended->tasks.items[index].name;
}

int task_by_name(const struct page *page, const struct task_groups *groups, uint32_t left,
                 uint32_t right)
{
    const struct strtab *strings = page->names.strings;
    uint32_t a = name_of(groups, left), b = name_of(groups, right);
    size_t a_size = a ? strtab_size(strings, a) : 0, b_size = b ? strtab_size(strings, b) : 0;
    if (a_size != b_size)
        return a_size < b_size ? -1 : 1;
    int order = a == b ? 0 : memcmp(strtab_get(strings, a), strtab_get(strings, b), a_size);
    return order ? order : (left > right) - (left < right);
}

// A heap: of very many only the first few are named, and need to be in order.
struct named {
    const struct page *page;
    const struct task_groups *groups;
    uint32_t *items; // each is before those at twice its place
    size_t count;
};

static void sink(struct named *named, size_t at)
{
    uint32_t moved = named->items[at];
    for (size_t below; (below = 2 * at + 1) < named->count; at = below) {
        const uint32_t *two = named->items + below;
        if (below + 1 < named->count &&
            task_by_name(named->page, named->groups, two[1], two[0]) < 0)
            below++;
        if (task_by_name(named->page, named->groups, moved, named->items[below]) < 0)
            break;
        named->items[at] = named->items[below];
    }
    named->items[at] = moved;
}

static uint32_t take_first(struct named *named)
{
    uint32_t first = named->items[0];
    named->items[0] = named->items[--named->count];
    if (named->count)
        sink(named, 0);
    return first;
}

// Greenlets are often called by what they run.
static bool same_name(const struct task_groups *groups, uint32_t left, uint32_t right)
{
    struct task_view a = task_groups_view(groups, left), b = task_groups_view(groups, right);
    return a.name == b.name && (a.name || (a.coroutine && a.coroutine == b.coroutine));
}

void task_say_names(struct plain *plain, const struct page *page, const struct task_groups *groups,
                    const uint32_t *indexes, size_t count, size_t named)
{
    AUTO_FREE uint32_t *items = malloc((count + 1) * sizeof(*items));
    struct named heap = {page, groups, items, count};
    if (!items) {
        plain->failed = true;
        return;
    }
    memcpy(items, indexes, count * sizeof(*items));
    for (size_t i = count / 2; i-- > 0;)
        sink(&heap, i);
    named = count <= named + 1 ? count : named;
    for (; named && heap.count; named--) {
        size_t alike = 1;
        bool first = heap.count == count;
        uint32_t index = take_first(&heap);
        for (; heap.count && same_name(groups, index, heap.items[0]); alike++)
            take_first(&heap);
        plain_str(plain, first ? "" : ", ");
        task_say_name(plain, page, groups, index);
        if (alike > 1 && alike < count) {
            plain_str(plain, " x ");
            plain_count(plain, alike);
        }
    }
    if (heap.count) {
        plain_str(plain, " and ");
        plain_count(plain, heap.count);
        plain_str(plain, " more");
    }
}

const char *task_state_words(const struct task_groups *groups, unsigned state)
{
    static const char *const tasks[SNAP_TASK_STATE_COUNT] = {
        [SNAP_TASK_UNKNOWN] = "",      [SNAP_TASK_CREATED] = "has not begun",
        [SNAP_TASK_RUNNING] = "runs",  [SNAP_TASK_READY] = "is ready to run",
        [SNAP_TASK_WAITING] = "waits", [SNAP_TASK_FINISHED] = "has ended",
    };
    static const char *const greenlets[SNAP_GREENLET_STATE_COUNT] = {
        [SNAP_GREENLET_UNKNOWN] = "",
        [SNAP_GREENLET_CREATED] = "has not begun",
        [SNAP_GREENLET_RUNNING] = "runs",
        [SNAP_GREENLET_SUSPENDED] = "is suspended",
    };
    return groups->of_greenlets ? greenlets[state] : tasks[state];
}

// ---- What is awaited -----------------------------------------------------------------------------

static void say_thread(struct plain *plain, const struct page *page, pid_t pid, pid_t tid)
{
    const struct snap_thread *thread = page_last_thread(page, pid, tid);
    if (thread)
        page_say_thread(plain, page, thread->name, thread->pid, thread->tid);
    else
        plain_add(plain, "thread %d", (int)tid);
}

static pid_t pid_of(const struct task_groups *groups, uint32_t index)
{
    return groups->of_greenlets ? groups->suspended->greenlets.items[index].pid
                                : groups->suspended->tasks.items[index].pid;
}

// Of a group of one: the tasks themselves. Of others only that there are some.
static void say_tasks(struct plain *plain, const struct page *page,
                      const struct task_groups *groups, const struct task_group *group,
                      const struct snap_await *await)
{
    if (group->kind == SNAP_AWAIT_TASK) {
        plain_str(plain, groups->of_greenlets ? "greenlet" : "task");
        if (group->count == 1 && await->tasks.count) {
            plain_str(plain, " ");
            task_say_name(plain, page, groups, await->tasks.items[0]);
        }
    } else if (group->count == 1 && await->task_count) {
        plain_things(plain, await->task_count, groups->of_greenlets ? "greenlet" : "task");
    } else {
        plain_str(plain, groups->of_greenlets ? "several greenlets" : "several tasks");
    }
}

void task_say_await(struct plain *plain, const struct page *page, const struct task_groups *groups,
                    const struct task_group *group, const uint32_t *indexes)
{
    const struct snap_await *await = task_groups_view(groups, indexes[0]).await;
    if (group->kind == SNAP_AWAIT_NONE)
        return;
    if (group->kind == SNAP_AWAIT_TASK || group->kind == SNAP_AWAIT_SEVERAL)
        say_tasks(plain, page, groups, group, await);
    else
        plain_str(plain, snap_await_name(group->kind));
    bool is_other = group->kind == SNAP_AWAIT_OTHER || group->kind == SNAP_AWAIT_FUTURE;
    // Of a task that is named, how the program calls it is less.
    bool task_named = group->kind == SNAP_AWAIT_TASK && group->count == 1 && await->tasks.count;
    if (!task_named && (group->what || (is_other && group->type))) {
        plain_str(plain, " ");
        say_id(plain, page, group->what ? group->what : group->type, WHAT_COLUMNS, PLAIN_KEEP_END);
    } else if (group->fd >= 0) {
        plain_add(plain, " fd %d", (int)group->fd);
    }
    if (group->holder != SNAP_NO_INDEX) {
        plain_str(plain, ", held by ");
        task_say_name(plain, page, groups, group->holder);
        plain_str(plain, " (inferred)");
    }
    if (group->thread) {
        plain_str(plain, ", run by ");
        say_thread(plain, page, pid_of(groups, indexes[0]), group->thread);
    }
}

void task_say_times(struct plain *plain, const struct task_group *group)
{
    if (group->least_ns >= 0) {
        GUARD(plain_deinit) struct plain most = {0};
        plain_str(plain, ", ");
        size_t before = plain->size;
        plain_duration(plain, (uint64_t)group->least_ns);
        plain_duration(&most, (uint64_t)group->most_ns);
        if (!plain->failed && strcmp(plain->bytes + before, plain_text(&most)) != 0)
            plain_add(plain, " to %s", plain_text(&most));
        plain_str(plain, " left");
        plain->failed |= most.failed;
    }
    if (group->since_ns) {
        plain_str(plain, group->count == 1 ? ", for " : ", the longest for ");
        plain_duration(plain, group->since_ns);
        plain_str(plain, " or longer");
    }
}

// ---- Where ---------------------------------------------------------------------------------------

static bool is_own(const struct page *page, const struct snap_frame *frame)
{
    struct prof_function function = {
        .kind = frame->kind, .function = frame->function, .file = frame->file};
    return frame->kind == SNAP_PYTHON && names_is_own_code(&page->names, &function);
}

// "TaskGroup._aexit taskgroups.py:121"
static void add_frame(struct plain *plain, const struct page *page, const struct snap_frame *frame)
{
    const struct strtab *strings = page->names.strings;
    const struct report_options *options = page->options;
    const char *file = strtab_get(strings, frame->file);
    add_function(plain, page, frame->qualname ? frame->qualname : frame->function,
                 FUNCTION_COLUMNS);
    if (frame->kind != SNAP_PYTHON || !file)
        return;
    const char *base = names_base(file);
    GUARD(plain_deinit) struct plain whole = {0};
    plain_safe(&whole, base, strtab_size(strings, frame->file) - (size_t)(base - file));
    plain_str(plain, " ");
    plain_clip(plain, plain_text(&whole), FUNCTION_COLUMNS, PLAIN_KEEP_END);
    plain->failed |= whole.failed;
    int32_t line = options->by_function ? frame->first_line : frame->line;
    if (line >= 0 && !options->no_lines)
        plain_add(plain, ":%" PRId32, line);
}

// The innermost frame of one's own, else the innermost one that is not native.
static size_t own_place(const struct page *page, const struct snap_frames *frames)
{
    size_t inner = frames->count;
    for (size_t i = 0; i < frames->count; i++) {
        if (is_own(page, &frames->items[i]))
            return i;
        if (inner == frames->count && frames->items[i].kind != SNAP_NATIVE)
            inner = i;
    }
    return inner < frames->count ? inner : 0;
}

// Which frames of a chain are named; the others are counted.
enum naming { NAME_ALL, NAME_OWN_AND_INNER, NAME_OWN, NAME_OUTER_AND_OWN, NAME_PLACE, NAMINGS };

static bool is_named(const struct page *page, const struct snap_frames *frames, size_t i,
                     size_t place, enum naming naming)
{
    switch (naming) {
    case NAME_ALL:
        return true;
    case NAME_OWN_AND_INNER:
        return i == 0 || is_own(page, &frames->items[i]);
    case NAME_OWN:
        return i == place || is_own(page, &frames->items[i]);
    case NAME_OUTER_AND_OWN:
        return i == place || i == frames->count - 1;
    case NAME_PLACE:
    case NAMINGS:
        break;
    }
    return i == place;
}

static void add_chain(struct plain *plain, const struct page *page,
                      const struct snap_frames *frames, enum naming naming)
{
    size_t skipped = 0, place = own_place(page, frames);
    bool any = false;
    for (size_t i = frames->count; i-- > 0;) {
        if (!is_named(page, frames, i, place, naming)) {
            skipped++;
            continue;
        }
        plain_str(plain, any ? " > " : "");
        if (skipped && any) {
            plain_str(plain, "... ");
            plain_count(plain, skipped);
            plain_str(plain, " more ... > ");
        }
        skipped = 0;
        any = true;
        add_frame(plain, page, &frames->items[i]);
    }
}

void task_say_chain(struct plain *plain, const struct page *page, const struct snap_frames *frames,
                    size_t columns)
{
    GUARD(plain_deinit) struct plain chain = {0};
    // Of long ones not all need to be tried: each name takes three columns at least.
    int first = frames->count * 3 > columns ? NAME_OUTER_AND_OWN : NAME_ALL;
    for (int naming = first; naming < NAMINGS; naming++) {
        plain_clear(&chain);
        add_chain(&chain, page, frames, (enum naming)naming);
        if (plain_columns(plain_text(&chain)) <= columns)
            break;
    }
    plain_str(plain, plain_text(&chain));
    plain->failed |= chain.failed;
}

void task_say_place(struct plain *plain, const struct page *page, const struct snap_frames *frames)
{
    if (frames->count)
        add_frame(plain, page, &frames->items[own_place(page, frames)]);
}
