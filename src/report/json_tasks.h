// SPDX-License-Identifier: GPL-3.0-or-later
// What waits without a thread, in the JSON report: see json_tasks.c.
#ifndef REPORT_JSON_TASKS_H
#define REPORT_JSON_TASKS_H

#include "report/json.h"

// Stacks as they are written in one list, one after the other.
struct json_stacks {
    const struct snap_suspended *suspended;
    uint32_t *first; // by stack: the item of the list that was written with it first, plus 1
    uint64_t frames; // written so far
    struct json_stack_text {
        char *bytes; // NULL: not kept
        size_t size;
    } *texts; // by stack: "frames" of those that were met twice
    size_t text_bytes;
};
// False: out of memory.
bool json_stacks_init(struct json_stacks *stacks, const struct snap_suspended *suspended);
void json_stacks_deinit(struct json_stacks *stacks);
// "frames" of number `item` of the list; "frames_as" where there were too many already.
void json_stack(struct json_report *report, struct json_stacks *stacks, uint32_t stack,
                uint32_t item);
// "frames", without native ones
void json_python_frames(struct json_report *report, const struct snap_frames *frames);

// "suspended", "loops", "tasks", "greenlets" of the judged snapshot, each where there are some
struct err *json_suspended(struct json_report *report);
// json_task_groups.c: "task_groups" and "greenlet_groups", put together of them
struct err *json_task_groups(struct json_report *report, const struct snap_suspended *suspended);
// json_generators.c: "generators", and "generator_groups" put together of them
struct err *json_generators(struct json_report *report, const struct snap_suspended *suspended);
// A list of `count` items, where there are some.
typedef void json_suspended_item(struct json_report *report, struct json_stacks *stacks,
                                 uint32_t index);
struct err *json_suspended_list(struct json_report *report, const struct snap_suspended *suspended,
                                const char *key, size_t count, json_suspended_item *write);
// "turn" of a thread, where there is one
void json_turn(struct json_report *report, const struct snap_thread *thread);

#endif
