// SPDX-License-Identifier: GPL-3.0-or-later
// Details that still hold: their thread has not run since they were read.
#include <stdlib.h>
#include <string.h>

#include "snapshot/details_build.h"
#include "util/guard.h"

struct memory_item {
    pid_t tid;
    struct proc_clock clock;
    int64_t since_ns,
        read_ns; // CLOCK_MONOTONIC when it was first seen to stand still, and when the
                 // details were read; 0: not known
    struct snap_details *details; // NULL: none were read
};

struct snap_memory {
    VEC(struct memory_item) items; // in the order of the process's threads, mostly
    size_t next;                   // where the next thread is likely to be
    bool begun;
    struct greenlets_known *greenlets;
    struct tasks_known *tasks;
};

struct tasks_known **tasks_known_of(struct snap_memory *memory)
{
    return &memory->tasks;
}

struct greenlets_known **greenlets_known_of(struct snap_memory *memory)
{
    return &memory->greenlets;
}

struct snap_memory *snap_memory_create(void)
{
    return calloc(1, sizeof(struct snap_memory));
}

void snap_memory_destroy(struct snap_memory *memory)
{
    if (!memory)
        return;
    vec_foreach (item, &memory->items)
        details_destroy(item->details);
    vec_deinit(&memory->items);
    greenlets_known_destroy(memory->greenlets);
    tasks_known_destroy(memory->tasks);
    free(memory);
}

void details_destroy(struct snap_details *details)
{
    if (details)
        snap_details_deinit(details);
    free(details);
}

#define COPY(to, from)                                                                         \
    (vec_reserve((to), (from)->count + 1) &&                                                   \
     ((from)->count ? memcpy((to)->items, (from)->items, (from)->count * sizeof(*(to)->items)) \
                    : NULL,                                                                    \
      (to)->count = (from)->count, true))

static bool copy_lists(struct snap_details *to, const struct snap_details *from)
{
    if (!COPY(&to->wait.fds, &from->wait.fds) || !COPY(&to->held, &from->held) ||
        !COPY(&to->lent, &from->lent) || !COPY(&to->locals, &from->locals) ||
        !vec_reserve(&to->exceptions, from->exceptions.count + 1))
        return false;
    vec_foreach (exception, &from->exceptions) {
        struct snap_exception copy = *exception;
        memset(&copy.traceback, 0, sizeof(copy.traceback));
        memset(&copy.notes, 0, sizeof(copy.notes));
        to->exceptions.items[to->exceptions.count++] = copy;
        struct snap_exception *last = &to->exceptions.items[to->exceptions.count - 1];
        if (!COPY(&last->traceback, &exception->traceback) ||
            !COPY(&last->notes, &exception->notes))
            return false;
    }
    return true;
}

struct snap_details *details_copy(const struct snap_details *from)
{
    struct snap_details *to = malloc(sizeof(*to));
    if (!to)
        return NULL;
    *to = *from;
    memset(&to->wait.fds, 0, sizeof(to->wait.fds));
    memset(&to->held, 0, sizeof(to->held));
    memset(&to->lent, 0, sizeof(to->lent));
    memset(&to->exceptions, 0, sizeof(to->exceptions));
    memset(&to->locals, 0, sizeof(to->locals));
    if (copy_lists(to, from))
        return to;
    details_destroy(to);
    return NULL;
}

static struct memory_item *find(struct snap_memory *memory, pid_t tid)
{
    for (size_t i = 0; i < memory->items.count; i++) {
        struct memory_item *item = &memory->items.items[(memory->next + i) % memory->items.count];
        if (item->tid == tid) {
            memory->next = (size_t)(item - memory->items.items) + 1;
            return item;
        }
    }
    return NULL;
}

static bool same(const struct proc_clock *a, const struct proc_clock *b)
{
    return a->cpu_ns == b->cpu_ns && a->slices == b->slices;
}

static int64_t now_of(const struct snap_input *in)
{
    return in->kernel ? in->kernel->clocks.monotonic_ns : 0;
}

// A stop wakes a thread, and its clock proves nothing: what it waits for is read each time. Mostly these are
// all threads (--stop=all), or one that is stopped for its registers in each snapshot.
static bool is_read_now(const struct snap_input *in, const struct live_thread *kernel)
{
    return !in->remembered->begun || kernel->state == LIVE_STOPPED;
}

bool details_recall(const struct snap_input *in, const struct live_thread *kernel,
                    struct snap_details **ret)
{
    struct snap_memory *memory = in->remembered;
    *ret = NULL;
    if (!memory || !kernel)
        return true;
    struct memory_item *item = find(memory, kernel->tid);
    if (!item) {
        // Once full of threads that ended, it begins anew.
        struct memory_item fresh = {kernel->tid, kernel->clock, now_of(in), 0, NULL};
        (void)vec_push(&memory->items, fresh); // without memory it is read more often
        return is_read_now(in, kernel);
    }
    if (!kernel->has_clock || !same(&item->clock, &kernel->clock)) {
        details_destroy(item->details);
        *item = (struct memory_item){kernel->tid, kernel->clock, now_of(in), 0, NULL};
        return is_read_now(in, kernel);
    }
    if (!item->details)
        return true;
    *ret = details_copy(item->details);
    if (*ret && item->since_ns && now_of(in) > item->since_ns)
        (*ret)->wait.since_ns = (uint64_t)(now_of(in) - item->since_ns);
    int64_t gone_ns = item->read_ns ? now_of(in) - item->read_ns : 0;
    if (*ret && (*ret)->wait.left_ns > 0)
        (*ret)->wait.left_ns = (*ret)->wait.left_ns > gone_ns ? (*ret)->wait.left_ns - gone_ns : 0;
    return true;
}

void details_remember(const struct snap_input *in, const struct live_thread *kernel,
                      const struct snap_details *details)
{
    struct memory_item *item = in->remembered && kernel ? find(in->remembered, kernel->tid) : NULL;
    if (!item)
        return;
    details_destroy(item->details);
    item->details = details_copy(details);
    item->read_ns = now_of(in);
}

void details_memory_begin(struct snap_memory *memory)
{
    if (memory)
        memory->next = 0;
}

// Threads that are no more are forgotten.
void details_memory_end(const struct snap_input *in)
{
    struct snap_memory *memory = in->remembered;
    if (!memory)
        return;
    memory->begun = true;
    if (memory->items.count <= 2 * in->thread_count + 64)
        return;
    vec_foreach (item, &memory->items)
        details_destroy(item->details);
    vec_clear(&memory->items);
}
