// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks, or greenlets, that wait at the same place, put together: 10,000 of them fit one screen.
#ifndef REPORT_TASK_GROUPS_H
#define REPORT_TASK_GROUPS_H

#include "snapshot/suspended.h"
#include "util/strtab.h"

// What tasks and greenlets have in common.
struct task_view {
    uint32_t name, coroutine; // coroutine: of tasks only
    uint32_t stack;           // SNAP_NO_INDEX: none
    unsigned state;           // enum snap_task_state or snap_greenlet_state
    const struct snap_await *await;
    uint32_t parent; // of greenlets only; SNAP_NO_INDEX: none
    uint64_t object, since_ns;
    bool cut, cancelling;
};

struct task_group {
    uint32_t first, count; // range in task_groups.order
    uint32_t stack;        // SNAP_NO_INDEX: none. With native frames, if any of them has some
    bool natives_differ;   // ... which are not those of all that have some
    unsigned state;
    enum snap_await_kind kind;
    bool runs;
    // What all of them agree on; 0, SNAP_NO_INDEX: they do not, or it is not known.
    uint32_t what, type, coroutine, holder, parent;
    uint64_t object;
    pid_t thread;
    int32_t fd;                // -1
    uint64_t since_ns;         // the longest; 0: not known
    int64_t least_ns, most_ns; // that are left; -1: not known
    size_t cut;                // of so many the stack may be incomplete
    size_t cancelling;         // tasks that were asked to end
};

struct task_groups {
    const struct snap_suspended *suspended; // NULL: there is nothing
    bool of_greenlets;
    uint32_t *places;            // of each stack: snap_suspended_places(); NULL: they are all different
    uint32_t *order;             // indexes; those of a group are neighbours, in their own order
    VEC(struct task_group) list; // what runs first, then the largest
};

// Of the tasks that are not finished, or of the greenlets. False: out of memory.
bool task_groups_init(struct task_groups *groups, const struct snap_suspended *suspended,
                      bool of_greenlets);
void task_groups_deinit(struct task_groups *groups);
// The same of any of them, as many as are named; `first` is 0.
struct task_group task_groups_sum(const struct task_groups *groups, const uint32_t *indexes,
                                  size_t count);
struct task_view task_groups_view(const struct task_groups *groups, uint32_t index);
// "waiting", "suspended" ...
const char *task_groups_state_name(const struct task_groups *groups, unsigned state);
// Their frames, innermost first; never NULL.
const struct snap_frames *task_groups_frames(const struct task_groups *groups, uint32_t stack);

#endif
