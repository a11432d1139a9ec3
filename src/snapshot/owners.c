// SPDX-License-Identifier: GPL-3.0-or-later
// Who has what a thread waits for. Asked anew in every snapshot: a lock may pass from hand to hand
// while a waiter sleeps on.
#include <string.h>

#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "util/guard.h"

#define LENDERS_MAX 8 // for each of them the frames of all threads are looked through
#define LENT_FRAMES_MAX 100

struct owners {
    const struct snap_input *in;
    struct snapshot *snapshot;
    struct py_decoder *dec; // NULL: Python could not be read
};

// ---- Threads ------------------------------------------------------------------------------------

static struct snap_thread *by_tid(const struct owners *o, pid_t tid)
{
    vec_foreach (thread, &o->snapshot->threads)
        if (thread->tid && thread->tid == tid)
            return thread;
    return NULL;
}

// As the target's own namespace numbers it.
static struct snap_thread *by_ns_tid(const struct owners *o, pid_t ns_tid)
{
    for (size_t i = 0; ns_tid && i < o->in->thread_count; i++)
        if (o->in->threads[i].ns_tid == ns_tid)
            return by_tid(o, o->in->threads[i].tid);
    return NULL;
}

// What is held is the innermost lock, or what has none of its own: a semaphore.
static const struct snap_held *held_by(const struct snap_thread *owner,
                                       const struct snap_wait *wait)
{
    if (owner->details)
        vec_foreach (held, &owner->details->held)
            if (held->object && (held->object == wait->lock || held->object == wait->object))
                return held;
    return NULL;
}

// Where `owner` took it.
static uint32_t frame_of_lock(const struct snap_thread *owner, const struct snap_wait *wait)
{
    const struct snap_held *held = held_by(owner, wait);
    return held ? held->frame : UINT32_MAX;
}

static void set(struct snap_wait *wait, const struct snap_thread *owner,
                enum snap_certainty certainty)
{
    wait->owner_known = certainty;
    wait->owner = owner ? owner->tid : 0;
    wait->owner_gone = !owner;
    wait->owner_frame = owner ? frame_of_lock(owner, wait) : UINT32_MAX;
}

// ---- Locks --------------------------------------------------------------------------------------

static bool looked_at_all(const struct owners *o)
{
    vec_foreach (thread, &o->snapshot->threads)
        if (thread->known_to_python && !thread->details)
            return false;
    return true;
}

static size_t python_threads(const struct owners *o)
{
    size_t count = 0;
    vec_foreach (thread, &o->snapshot->threads)
        count += thread->known_to_python;
    return count;
}

// Whoever is in a `with` block of it; if nobody is, whoever called its acquire(). Of a semaphore
// several may be.
static void infer(const struct owners *o, struct snap_wait *wait)
{
    const struct snap_thread *owners[2] = {NULL, NULL};
    size_t counts[2] = {0, 0};
    vec_foreach (thread, &o->snapshot->threads) {
        const struct snap_held *held = held_by(thread, wait);
        if (!held || held->frame == UINT32_MAX)
            continue;
        owners[held->by_call] = thread;
        counts[held->by_call]++;
    }
    bool by_call = counts[0] == 0;
    if (counts[by_call] == 1)
        set(wait, owners[by_call], SNAP_INFERRED);
}

// The only thread there is waits: nobody is left who could let go.
static bool is_left_behind(const struct owners *o, const struct snap_wait *wait)
{
    struct py_lock lock;
    if (!wait->lock || python_threads(o) != 1 || !looked_at_all(o))
        return false;
    AUTO_ERR struct err *err = py_lock_read(o->dec, wait->lock, &lock);
    return !err && lock.kind == PY_LOCK_PLAIN && lock.locked;
}

static void own_lock(const struct owners *o, const struct snap_thread *thread,
                     struct snap_wait *wait)
{
    struct py_lock lock;
    uint64_t object = wait->lock ? wait->lock : wait->object;
    if (!object)
        return;
    if (wait->object && py_is_a(o->dec, wait->object, "_RLock")) { // the one in Python
        uint64_t ident = py_int_attr(o->dec, wait->object, "_owner");
        if (ident)
            set(wait, details_by_ident(o->snapshot, ident), SNAP_OBSERVED);
        return;
    }
    AUTO_ERR struct err *err = py_lock_read(o->dec, object, &lock);
    if (err)
        return;
    if (lock.kind == PY_LOCK_RLOCK && lock.owner)
        set(wait, details_by_ident(o->snapshot, lock.owner), SNAP_OBSERVED);
    else if (lock.kind != PY_LOCK_RLOCK)
        infer(o, wait);
    if (wait->kind == SNAP_WAIT_LOCK && !wait->owner_known && !wait->limited && is_left_behind(o, wait))
        set(wait, wait->taken_here ? thread : NULL, SNAP_INFERRED);
}

static void name_by(const struct owners *o, uint64_t object, const char *attribute,
                    struct snap_wait *wait)
{
    uint64_t value = 0;
    uint32_t id = 0;
    AUTO_ERR struct err *err = py_instance_attr(o->dec, object, attribute, &value);
    AUTO_ERR struct err *other = err || !value ? NULL : py_str_id(o->dec, value, &id);
    if (!err && !other && id)
        wait->what = id;
}

// Attributes of Lib/threading.py and Lib/importlib/_bootstrap.py in all versions.
static void own_by_ident(const struct owners *o, struct snap_wait *wait, const char *attribute,
                         const char *name)
{
    if (!wait->object)
        return;
    uint64_t ident = py_int_attr(o->dec, wait->object, attribute);
    name_by(o, wait->object, name, wait);
    if (ident)
        set(wait, details_by_ident(o->snapshot, ident), SNAP_OBSERVED);
}

static bool is_false(struct py_decoder *dec, uint64_t object)
{
    uint64_t word; // False is the only bool whose int is zero: lv_tag 1, or ob_size 0
    if (!py_is_a(dec, object, "bool"))
        return false;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, object, PY_LONG_size, &word);
    return !err && (dec->layout.version >= 0x030c ? (word & 3) == 1 : word == 0);
}

// The Thread object of a thread: `self` of its outermost frame (Lib/threading.py, Thread._bootstrap).
static uint64_t thread_object(struct py_decoder *dec, const struct py_stack *stack)
{
    struct py_slots slots;
    if (!stack->frames.count)
        return 0;
    const struct py_frame *frame = &stack->frames.items[stack->frames.count - 1];
    if (!strtab_is(dec->strings, frame->name, "_bootstrap"))
        return 0;
    AUTO_ERR struct err *err = py_slots_read(dec, frame, &slots);
    uint64_t self = err ? 0 : py_slots_find(dec, frame, &slots, "self");
    return py_is_a(dec, self, "Thread") ? self : 0;
}

// At its end the interpreter waits for each thread that is no daemon (Lib/threading.py, _shutdown), without
// a word for which one comes first.
static void own_shutdown(const struct owners *o, const struct snap_thread *waiter,
                         struct snap_wait *wait)
{
    for (size_t i = 0; i < o->in->stack_count; i++) {
        const struct py_stack *stack = &o->in->stacks[i];
        const struct snap_thread *thread = details_by_ident(o->snapshot, stack->thread.ident);
        uint64_t object = thread && thread != waiter ? thread_object(o->dec, stack) : 0, daemon = 0;
        AUTO_ERR struct err *err = object ? py_instance_attr(o->dec, object, "_daemonic", &daemon) : NULL;
        if (!object || err || !is_false(o->dec, daemon))
            continue;
        wait->what = thread->name;
        set(wait, thread, SNAP_INFERRED);
        return;
    }
}

static void own_future(const struct owners *o, struct snap_wait *wait)
{
    for (size_t i = 0; wait->object && i < o->in->stack_count; i++) {
        const struct py_stack *stack = &o->in->stacks[i];
        const struct snap_thread *owner = details_by_ident(o->snapshot, stack->thread.ident);
        if (owner && owner->details && details_future_run(o->in, stack) == wait->object) {
            set(wait, owner, SNAP_INFERRED);
            return;
        }
    }
}

static void own_mutex(const struct owners *o, struct snap_wait *wait)
{
    uint32_t owner;
    AUTO_ERR struct err *err = mem_read_u32(o->in->target->mem, wait->address + 8, &owner);
    if (!err && owner)
        set(wait, by_ns_tid(o, (pid_t)owner), SNAP_OBSERVED);
}

static void own_gil(const struct owners *o, const struct snap_thread *waiter,
                    struct snap_wait *wait)
{
    vec_foreach (thread, &o->snapshot->threads)
        if (thread->holds_gil && thread->tid && thread->interpreter == waiter->interpreter)
            set(wait, thread, SNAP_OBSERVED);
}

// ---- Who came through a method that others wait in -----------------------------------------------

static enum py_wait_kind kind_of_pool(enum snap_wait_kind kind)
{
    switch (kind) {
    case SNAP_WAIT_LOCK:
        return PY_WAIT_LOCK;
    case SNAP_WAIT_SEMAPHORE:
        return PY_WAIT_SEMAPHORE;
    case SNAP_WAIT_QUEUE_GET:
        return PY_WAIT_QUEUE_GET;
    case SNAP_WAIT_CONDITION:
        return PY_WAIT_CONDITION;
    default:
        return PY_WAIT_NONE;
    }
}

static bool has_it(const struct snap_details *details, uint64_t object)
{
    vec_foreach (held, &details->held)
        if (held->object == object)
            return true;
    vec_foreach (lent, &details->lent)
        if (lent->pool == object)
            return true;
    return false;
}

static struct err *lend(const struct owners *o, const struct snap_wait *wait,
                        const struct py_lender *lender, const struct py_stack *stack,
                        struct snap_thread *thread)
{
    struct details_thread of = {
        .in = o->in, .stacks = &stack, .stack_count = 1, .thread = thread, .ret = thread->details};
    for (size_t i = 0; i < stack->frames.count && i < LENT_FRAMES_MAX; i++) {
        if (!py_lender_has_lent(o->dec, &stack->frames.items[i], lender, kind_of_pool(wait->kind),
                                wait->object))
            continue;
        struct snap_held held = {.what = wait->what,
                                 .type = wait->type,
                                 .object = wait->object,
                                 .frame = details_frame(&of, 0, i),
                                 .known = SNAP_INFERRED,
                                 .by_call = true};
        struct snap_lent lent = {wait->object};
        bool lock = wait->kind == SNAP_WAIT_LOCK || wait->kind == SNAP_WAIT_SEMAPHORE;
        bool ok = lock ? vec_push(&thread->details->held, held)
                       : vec_push(&thread->details->lent, lent);
        return ok ? NULL : err_create(ERR_NO_MEMORY, "locks");
    }
    return NULL;
}

static struct err *find_lent(const struct owners *o, const struct snap_wait *wait)
{
    struct py_lender lender = {.self = wait->lender.self, .method = wait->lender.method};
    memcpy(lender.attrs, wait->lender.attrs, sizeof(lender.attrs));
    for (size_t i = 0; i < o->in->stack_count; i++) {
        const struct py_stack *stack = &o->in->stacks[i];
        struct snap_thread *thread = details_by_ident(o->snapshot, stack->thread.ident);
        if (thread && thread->details && thread->details->wait.object != wait->object &&
            !has_it(thread->details, wait->object))
            TRY(lend(o, wait, &lender, stack, thread));
    }
    return NULL;
}

// Of each object that is waited for, once.
static struct err *find_all_lent(const struct owners *o)
{
    uint64_t known[LENDERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < o->snapshot->threads.count && count < LENDERS_MAX; i++) {
        const struct snap_details *details = o->snapshot->threads.items[i].details;
        bool fresh = details && details->wait.lender.self && details->wait.object &&
                     kind_of_pool(details->wait.kind);
        for (size_t k = 0; fresh && k < count; k++)
            fresh = known[k] != details->wait.object;
        if (!fresh)
            continue;
        known[count++] = details->wait.object;
        TRY(find_lent(o, &details->wait));
    }
    return NULL;
}

// ---- All ----------------------------------------------------------------------------------------

static void find_owner(const struct owners *o, const struct snap_thread *thread)
{
    struct snap_wait *wait = &thread->details->wait;
    if (wait->kind == SNAP_WAIT_CHILD)
        return;
    wait->owner_known = SNAP_NOT_KNOWN;
    wait->owner = 0;
    wait->owner_frame = UINT32_MAX;
    wait->owner_gone = false;
    wait->queue = 0;
    if (wait->kind == SNAP_WAIT_MUTEX)
        own_mutex(o, wait);
    if (!o->dec)
        return;
    switch (wait->kind) {
    case SNAP_WAIT_LOCK:
    case SNAP_WAIT_RLOCK:
    case SNAP_WAIT_LOGGING:
    case SNAP_WAIT_SEMAPHORE:
        own_lock(o, thread, wait);
        break;
    case SNAP_WAIT_JOIN:
        if (wait->object)
            own_by_ident(o, wait, "_ident", "_name");
        else
            own_shutdown(o, thread, wait);
        break;
    case SNAP_WAIT_IMPORT:
        own_by_ident(o, wait, "owner", "name");
        break;
    case SNAP_WAIT_FUTURE:
        own_future(o, wait);
        break;
    case SNAP_WAIT_GIL:
        own_gil(o, thread, wait);
        break;
    default:
        break;
    }
}

// A lock that names its owner, which took it without a `with` statement.
static struct err *add_held(const struct owners *o, const struct snap_wait *wait)
{
    struct snap_thread *owner = wait->owner_known == SNAP_OBSERVED ? by_tid(o, wait->owner) : NULL;
    bool lock = wait->kind == SNAP_WAIT_RLOCK || wait->kind == SNAP_WAIT_LOGGING;
    uint64_t object = wait->lock ? wait->lock : wait->object;
    if (!owner || !owner->details || !lock || !object)
        return NULL;
    vec_foreach (held, &owner->details->held)
        if (held->object == wait->lock || held->object == wait->object)
            return NULL;
    struct snap_held held = {.what = wait->what,
                             .type = wait->type,
                             .object = object,
                             .frame = UINT32_MAX,
                             .known = SNAP_OBSERVED};
    return vec_push(&owner->details->held, held) ? NULL : err_create(ERR_NO_MEMORY, "locks");
}

struct err *details_find_owners(const struct snap_input *in, struct snapshot *snapshot)
{
    struct owners owners = {in, snapshot, details_decoder(in)};
    struct mem *mem = owners.dec ? owners.dec->mem : NULL;
    struct err *err = NULL;
    if (owners.dec)
        owners.dec->mem = in->target->mem;
    if (owners.dec)
        err = find_all_lent(&owners);
    vec_foreach (thread, &snapshot->threads)
        if (thread->details)
            find_owner(&owners, thread);
    if (owners.dec && !err)
        err = details_find_queued(in, snapshot);
    for (size_t i = 0; i < snapshot->threads.count && !err; i++)
        if (snapshot->threads.items[i].details)
            err = add_held(&owners, &snapshot->threads.items[i].details->wait);
    if (owners.dec)
        owners.dec->mem = mem;
    return err;
}
