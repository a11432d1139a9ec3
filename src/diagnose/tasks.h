// SPDX-License-Identifier: GPL-3.0-or-later
// Tasks, event loops and greenlets as rules look at them. Indexes are those of the snapshot.
#ifndef DIAGNOSE_TASKS_H
#define DIAGNOSE_TASKS_H

#include "diagnose/stack.h"

// Nothing else of its loop has a turn meanwhile. asyncio's debug mode warns of a callback that takes as long
// as this (slow_callback_duration) ...
#define LOOP_SLOW_NS 100000000ull
// ... ten times that makes each request late that comes in meanwhile ...
#define LOOP_STUCK_NS (10 * LOOP_SLOW_NS)
// ... and time limits of clients and of health checks begin about here.
#define LOOP_DEAD_NS 5000000000ull
// Of the snapshots of a run: what blocks the loop, or the hub, in so many is felt by each request.
#define LOOP_MEDIUM_SHARE 0.02
#define LOOP_HIGH_SHARE 0.2
#define LOOP_SEEN_MIN 3 // snapshots; fewer are accidents

// Never NULL.
const struct snap_suspended *diag_suspended(const struct diag *diag);
struct stack stack_of_suspended(const struct diag *diag, uint32_t stack);
// What a person looks for in its await chain: see stack_own(). NULL: there is none.
const struct snap_frame *task_own(const struct diag *diag, uint32_t task);
// It exists, and has not come to an end.
bool task_lives(const struct snap_task *task);
// Nothing of them changed while they were looked at.
bool tasks_of_one_moment(const struct diag *diag);
// It waits, and did so while others were looked at: what two such tasks say of each other holds at
// one moment.
bool task_still(const struct diag *diag, const struct snap_task *task);
size_t tasks_living(const struct diag *diag, pid_t pid);
// The thread that runs the loop; DIAG_NONE: not known.
uint32_t loop_thread(const struct diag *diag, uint32_t loop);
// The loop that the thread runs; DIAG_NONE: none, or not known.
uint32_t thread_loop(const struct diag *diag, pid_t pid, pid_t tid);
// How many tasks of the loop wait while `current` runs (DIAG_NONE: while no task does), not counting
// those that wait for that one itself.
size_t loop_behind(struct diag *diag, uint32_t loop, uint32_t current);
// The task whose step the thread is in; DIAG_NONE: none, or not known.
uint32_t thread_task(const struct diag *diag, uint32_t thread);

// ---- Words ---------------------------------------------------------------------------------------

void say_task(struct plain *out, const struct diag *diag, uint32_t task); // task `Task-7`
// lock `pool_lock`, input from `10.0.3.9:5432`, task `Task-7`
void say_awaited(struct plain *out, const struct diag *diag, const struct snap_await *await);
// itself waiting for lock `b` in `query` (app/db.py:91)
void say_task_itself(struct plain *out, const struct diag *diag, uint32_t task);
// greenlet `handle`, the main greenlet
void say_greenlet(struct plain *out, const struct diag *diag, uint32_t index);
// ", in task `Task-3`; 312 tasks of the loop wait behind it": of a thread that is in a callback
void say_turn(struct plain *out, struct diag *diag, uint32_t thread);
// For how long it has been the same step of the same task, and what its loop has to do.
void add_turn_evidence(struct draft *draft, uint32_t thread);
// "312 tasks wait, 300 of them for input in `handle` (app/web.py:20)", and what ended with an
// exception: of this loop (DIAG_NONE: of all). Those that wait for other tasks are only counted.
void say_waiting_tasks(struct plain *out, const struct diag *diag, uint32_t loop);
// "31 of 33 tasks"
void say_of_tasks(struct plain *out, size_t count, size_t all);

#endif
