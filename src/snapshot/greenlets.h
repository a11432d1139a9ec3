// SPDX-License-Identifier: GPL-3.0-or-later
// One look at all greenlets of a process, in the pieces of greenlets*.c.
//
// A live process runs meanwhile. Each switch of a thread counts up its context_ver (3.7+): where
// that did not happen, or once only while the greenlet itself looks as before, what was read of it
// is of one moment; else it is read again, and left out in the end. What was found in the heap, and
// what turned out to have changed, are facts (target/kernel.h): a capture does not hold the whole
// heap, and has one byte for each address.
#ifndef SNAPSHOT_GREENLETS_H
#define SNAPSHOT_GREENLETS_H

#include "cpython/greenlet.h"
#include "snapshot/details_build.h"
#include "util/index.h"

struct greenlet_known {
    uint64_t object;
    uint64_t token;   // of where it was suspended
    int64_t since_ns; // CLOCK_MONOTONIC when it was first seen there; 0: not known
    uint64_t group;   // as of the beginning of this look
};

struct greenlets_known {
    const struct py_process *process; // of another program all is void
    struct py_greenlet_build build;
    VEC(struct greenlet_known) items; // as the collector has them: the older ones mostly first
    // Where suspended ones go on, in the module's code; 0: not known. `looked`: it was searched for.
    uint64_t switch_pc;
    bool looked;
    // So as to take a small part of the time in a run of many snapshots; CLOCK_MONOTONIC.
    uint64_t next_walk_ns, next_read_ns;
};

// What is not part of the value.
struct greenlet_extra {
    uint64_t group, parent;
};

// A lock that a greenlet has, by its index in out->greenlets.
struct greenlet_held {
    uint64_t object;
    uint32_t greenlet;
};

#define GREENLET_SITES 1024

// The greenlets of a thread.
struct greenlet_group {
    uint64_t group;
    bool gone;        // the thread has ended
    bool switches;    // it has others than its first one, which each thread has that asked for it
    pid_t tid;        // 0: not known
    uint64_t counter; // address of what counts its switches; 0: not known
    uint64_t first,
        seen; // what it counted when this look began, and when the memory that is used now
              // was read at the earliest
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
    VEC(struct greenlet_group) groups;
    struct hash_index by_group;   // ids are indexes of these
    size_t first;                 // of them in out->greenlets
    bool strays;                  // some do not say what thread they are of, until they run
    struct hash_index by_object;  // ids are indexes
    size_t paths, sockets, slots; // work that was done on what they wait for
    size_t changed_next;          // of kernel->changed, in a replay
    VEC(struct greenlet_held) held;
    uint64_t plain_sites[GREENLET_SITES]; // instructions of frames that hold nothing, by hash
    // Native frames: greenlets_native.c.
    bool asked_switch, has_switch;
    struct arch_switch at_switch;
    size_t native_stacks, native_frames; // found; and walked, those of no use included
    size_t natives_left_out;             // where others at the same place may have none, too
    uint8_t places[4096]; // at so many of each place they were looked at, by hash
};

// Fills known->items. False: nothing is to be read in this snapshot.
struct err *greenlets_find(struct greenlets *g, bool *ret);
// What was read costs time that is to be no more than a small part of all: see next_read_ns.
void greenlets_account(struct greenlets *g, uint64_t begun_ns);

// Which threads there are greenlets of. NULL: no memory.
struct err *greenlets_know_groups(struct greenlets *g);
struct greenlet_group *greenlets_group(const struct greenlets *g, uint64_t group); // NULL: none

// ---- greenlets_verify.c -------------------------------------------------------------------------

// Before one is read; `again`: what was read of its thread is void.
void greenlets_begin(struct greenlets *g, struct greenlet_group *group, bool again);
// Afterwards: it is of one moment.
bool greenlets_hold(struct greenlets *g, const struct greenlet_group *group,
                    const struct py_greenlet *greenlet, const struct py_stack *stack,
                    const struct unwind_stack *native);
// Something changed while it was read: a fact, of which a replay is told when it asks in the same
// order.
struct err *greenlets_tell_change(struct greenlets *g, uint64_t addr);
bool greenlets_told_of(struct greenlets *g, uint64_t addr);
// Does the thread still run the greenlet whose frames the snapshot has?
struct err *greenlets_hold_thread(struct greenlets *g, const struct py_stack *stack,
                                  const struct py_greenlet *greenlet, bool *ret);
// Nothing of it all has changed.
struct err *greenlets_hold_all(struct greenlets *g, bool *ret);

// ---- greenlets_native.c -------------------------------------------------------------------------

// The native stack of a suspended one, its starter's activation last. False: there is none to show.
bool greenlets_unwind(struct greenlets *g, const struct py_greenlet *greenlet,
                      const struct py_stack *stack, struct unwind_stack *ret);
// It is still the same, where nothing counts the switches.
bool greenlets_same_natives(struct greenlets *g, const struct py_greenlet *greenlet,
                            const struct unwind_stack *native);
// Native and Python frames in one order, innermost first. *ret is empty where that is not certain; both
// stacks are then as good as before. False: out of memory.
bool greenlets_merge(struct greenlets *g, const struct py_greenlet *greenlet,
                     const struct py_stack *stack, struct unwind_stack *native,
                     struct snap_frames *ret);
void greenlets_tell_natives_left_out(const struct greenlets *g);

// ---- The others ---------------------------------------------------------------------------------

// Index of the greenlet; SNAP_NO_INDEX: it is not among them.
uint32_t greenlets_index(const struct greenlets *g, uint64_t object);
// Threads, parents, and the stacks of those that run, once all were read.
struct err *greenlets_settle(struct greenlets *g);

// "gevent._gevent_cqueue.Queue" is a Queue.
uint32_t greenlets_short_name(struct strtab *strings, uint32_t name);
// What a suspended one waits for.
void greenlets_read_await(struct greenlets *g, const struct py_stack *stack,
                          struct snap_await *ret);

// ---- greenlets_held.c ---------------------------------------------------------------------------

// The locks of the one that is kept next, which waits for `await`.
struct err *greenlets_read_held(struct greenlets *g, const struct py_stack *stack,
                                const struct snap_await *await);
// Who has the locks that others wait for, once all were read.
void greenlets_link_held(struct greenlets *g);

#endif
