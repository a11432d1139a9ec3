// SPDX-License-Identifier: GPL-3.0-or-later
// One look at all greenlets of a process, in the pieces of greenlets*.c.
//
// A live process runs meanwhile: what was read of a greenlet is compared with what stands there
// afterwards, and each is true for itself. What was found in the heap, and what turned out to have
// changed, are facts (target/kernel.h): a capture does not hold the whole heap, and has one byte
// for each address.
#ifndef SNAPSHOT_GREENLETS_H
#define SNAPSHOT_GREENLETS_H

#include "cpython/greenlet.h"
#include "snapshot/details_build.h"
#include "util/index.h"

struct greenlet_known {
    uint64_t object;
    uint64_t token;   // of where it was suspended
    int64_t since_ns; // CLOCK_MONOTONIC when it was first seen there; 0: not known
};

struct greenlets_known {
    const struct py_process *process; // of another program all is void
    struct py_greenlet_build build;
    VEC(struct greenlet_known) items; // as the collector has them: the older ones mostly first
    // So as to take a small part of the time in a run of many snapshots; CLOCK_MONOTONIC.
    uint64_t next_walk_ns, next_read_ns;
};

// What is not part of the value.
struct greenlet_extra {
    uint64_t group, parent, stack_stop;
    bool started;
};

struct greenlet_running {
    uint32_t index;
    struct py_greenlet as_read;
};

struct greenlets {
    const struct snap_input *in;
    struct snapshot *snapshot;
    struct py_process *process;
    struct greenlets_known *known;
    struct mem *cached; // NULL: not needed
    struct py_greenlet_view view;
    struct snap_suspended *out;
    VEC(struct greenlet_extra) extras; // one for each of out->greenlets
    VEC(struct greenlet_running) running;
    VEC(uint64_t) gone;          // groups whose thread has ended
    size_t first;                // of them in out->greenlets
    struct hash_index by_object; // ids are indexes
    size_t paths;                // names of objects that were looked for
    size_t changed_next;         // of kernel->changed, in a replay
};

// Fills known->items. False: nothing is to be read in this snapshot.
struct err *greenlets_find(struct greenlets *g, bool *ret);
// What was read costs time that is to be no more than a small part of all: see next_read_ns.
void greenlets_account(struct greenlets *g, uint64_t begun_ns);

// Does the target hold these bytes still?
bool greenlets_hold(struct greenlets *g, uint64_t addr, const void *bytes, size_t size);
bool greenlets_hold_frames(struct greenlets *g, const struct py_stack *stack);
// Does the thread still run the greenlet whose frames the snapshot has?
bool greenlets_hold_thread(struct greenlets *g, const struct py_stack *stack);

// Index of the greenlet; SNAP_NO_INDEX: it is not among them.
uint32_t greenlets_index(const struct greenlets *g, uint64_t object);
// Threads, parents, and the stacks of those that run, once all were read.
struct err *greenlets_settle(struct greenlets *g);

// "gevent._gevent_cqueue.Queue" is a Queue.
uint32_t greenlets_short_name(struct strtab *strings, uint32_t name);
// What a suspended one waits for.
void greenlets_read_await(struct greenlets *g, const struct py_stack *stack,
                          struct snap_await *ret);

#endif
