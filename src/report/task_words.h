// SPDX-License-Identifier: GPL-3.0-or-later
// How tasks and greenlets are spoken of, wherever they are shown. The target's text is in code marks.
#ifndef REPORT_TASK_WORDS_H
#define REPORT_TASK_WORDS_H

#include "report/page.h"
#include "report/task_groups.h"

// "conn-1"; of one without a name what it runs, or its address.
void task_say_name(struct plain *plain, const struct page *page, const struct task_groups *groups,
                   uint32_t index);
// The order of names as people count: conn-9 before conn-10. As qsort() has it.
int task_by_name(const struct page *page, const struct task_groups *groups, uint32_t left,
                 uint32_t right);
// "serve()": what tasks were made of.
void task_say_coroutine(struct plain *plain, const struct page *page, uint32_t coroutine);
// "conn-0, conn-1 and 9,998 more": so many are named.
void task_say_names(struct plain *plain, const struct page *page, const struct task_groups *groups,
                    const uint32_t *indexes, size_t count, size_t named);
// "waits", "is ready to run", "is suspended" ...; "" where it is not known.
const char *task_state_words(const struct task_groups *groups, unsigned state);
// What a group awaits: "lock stock_lock, held by order (inferred)"; nothing where that is not known.
// indexes[0] is one of them.
void task_say_await(struct plain *plain, const struct page *page, const struct task_groups *groups,
                    const struct task_group *group, const uint32_t *indexes);
// How long: ", 0.8 to 1.6 s left", ", the longest for 4 s or longer".
void task_say_times(struct plain *plain, const struct task_group *group);
// Its frames from the outermost one, in so many columns if that is possible, without code marks:
// "main server.py:80 > TaskGroup._aexit taskgroups.py:121".
void task_say_chain(struct plain *plain, const struct page *page, const struct snap_frames *frames,
                    size_t columns);
// Where it waits, for table cells: the innermost frame of one's own, else of Python's.
void task_say_place(struct plain *plain, const struct page *page, const struct snap_frames *frames);

// One group, with its frames. tasks.c
void page_add_group(struct page *page, const struct task_groups *groups,
                    const struct task_group *group);
// The groups of a section: with their frames in a dump, as a table in a hotspot report. tasks.c
void page_add_groups(struct page *page, const struct task_groups *groups);

#endif
