// SPDX-License-Identifier: GPL-3.0-or-later
// What a thread waits for: see cpython/lock.h.
//
// The kernel names the futex; the object that the innermost frame holds and that this futex belongs
// to is the lock. From there outwards, frames of the standard library (by file, function and the
// class of `self`) say what the lock is part of, until a frame of the program is met.
#include "cpython/lock.h"

#include <string.h>

#include "util/guard.h"

#define CHAIN_MAX 24 // frames of the library around one wait
#define OBJECT_WORDS 16
#define SELF_MAX_BYTES 512

// A function of the standard library that waits. `over`: for what it must be waiting so far, or it
// only stands in between (its own lock, not what it is for): PY_WAIT_NONE: for whatever.
struct row {
    const char *file, *function, *class_name; // function NULL: every one; class_name NULL: no self
    enum py_wait_kind kind;                   // PY_WAIT_NONE: it stands in between
    enum py_wait_kind over;
};

// Lib/threading.py, Lib/queue.py, Lib/concurrent/futures/, Lib/logging/, Lib/importlib/_bootstrap.py
// and Lib/multiprocessing/synchronize.py of 3.6 to 3.15.
static const struct row rows[] = {
    {"threading.py", "wait", "Condition", PY_WAIT_CONDITION, PY_WAIT_LOCK},
    {"threading.py", "wait_for", "Condition", PY_WAIT_NONE, PY_WAIT_NONE},
    {"threading.py", "__enter__", "Condition", PY_WAIT_NONE, PY_WAIT_NONE},
    {"threading.py", "_acquire_restore", "Condition", PY_WAIT_NONE, PY_WAIT_NONE},
    {"threading.py", "wait", "Event", PY_WAIT_EVENT, PY_WAIT_CONDITION},
    {"threading.py", "acquire", "Semaphore", PY_WAIT_SEMAPHORE, PY_WAIT_CONDITION},
    {"threading.py", "wait", "Barrier", PY_WAIT_BARRIER, PY_WAIT_CONDITION},
    {"threading.py", "_wait", "Barrier", PY_WAIT_BARRIER, PY_WAIT_CONDITION},
    {"threading.py", "_enter", "Barrier", PY_WAIT_BARRIER, PY_WAIT_CONDITION},
    {"threading.py", "_wait_for_tstate_lock", "Thread", PY_WAIT_JOIN, PY_WAIT_NONE},
    {"threading.py", "join", "Thread", PY_WAIT_JOIN, PY_WAIT_NONE},
    {"threading.py", "_shutdown", NULL, PY_WAIT_JOIN, PY_WAIT_NONE}, // of each that is no daemon
    {"threading.py", "acquire", "_RLock", PY_WAIT_RLOCK, PY_WAIT_NONE},
    {"queue.py", "get", "Queue", PY_WAIT_QUEUE_GET, PY_WAIT_CONDITION},
    {"queue.py", "put", "Queue", PY_WAIT_QUEUE_PUT, PY_WAIT_CONDITION},
    {"queue.py", "join", "Queue", PY_WAIT_QUEUE_JOIN, PY_WAIT_CONDITION},
    {"queue.py", "get", "_PySimpleQueue", PY_WAIT_QUEUE_GET, PY_WAIT_SEMAPHORE},
    {"concurrent/futures/_base.py", "result", "Future", PY_WAIT_FUTURE, PY_WAIT_CONDITION},
    {"concurrent/futures/_base.py", "exception", "Future", PY_WAIT_FUTURE, PY_WAIT_CONDITION},
    {"concurrent/futures/_base.py", NULL, NULL, PY_WAIT_FUTURE, PY_WAIT_EVENT},
    {"logging/__init__.py", "acquire", "Handler", PY_WAIT_LOGGING, PY_WAIT_RLOCK},
    {"logging/__init__.py", "handle", "Handler", PY_WAIT_LOGGING, PY_WAIT_RLOCK},
    {"logging/__init__.py", NULL, NULL, PY_WAIT_NONE, PY_WAIT_NONE},
    {"<frozen importlib._bootstrap>", "acquire", "_ModuleLock", PY_WAIT_IMPORT, PY_WAIT_NONE},
    {"<frozen importlib._bootstrap>", NULL, NULL, PY_WAIT_NONE, PY_WAIT_NONE},
    {"multiprocessing/synchronize.py", "__enter__", "SemLock", PY_WAIT_NONE, PY_WAIT_NONE},
};

struct search {
    struct py_decoder *dec;
    const struct py_stack *stack;
    uint64_t futex, mutex;
    uint64_t named; // what the program calls by name, if not the object
    struct py_wait *ret;
};

// ---- The lock -----------------------------------------------------------------------------------

// Its semaphore is a word of it (up to 3.12, SimpleQueue and SemLock included), or the mutex that
// the thread is parked at lies in it (3.13+).
static bool owns_futex(const struct search *s, uint64_t object)
{
    struct py_type_info type;
    uint64_t words[OBJECT_WORDS], size;
    AUTO_ERR struct err *err = py_type_of(s->dec, object, &type);
    if (err)
        return false;
    AUTO_ERR struct err *sized =
        py_read(s->dec->mem, &s->dec->layout, type.addr, PY_TYPE_basicsize, &size);
    if (sized || size > SELF_MAX_BYTES)
        return false;
    if (s->mutex && s->mutex >= object && s->mutex < object + size)
        return true;
    size = size < sizeof(words) ? size : sizeof(words);
    size = mem_read_some(s->dec->mem, object, words, size);
    for (size_t i = py_head_bytes(s->dec) / 8; i < size / 8; i++)
        if (words[i] == s->futex)
            return true;
    return false;
}

// Modules/_multiprocessing/semaphore.c, SemLockObject: {head, handle, last_tid, int count, int
// maxvalue, int kind}; RECURSIVE_MUTEX is 0.
static enum py_wait_kind kind_of_semlock(const struct search *s, uint64_t object)
{
    int32_t words[3];
    uint64_t body = object + py_head_bytes(s->dec);
    AUTO_ERR struct err *err = mem_read(s->dec->mem, body + 16, words, sizeof(words));
    if (err)
        return PY_WAIT_NONE;
    return words[2] == 0 ? PY_WAIT_RLOCK : words[1] == 1 ? PY_WAIT_LOCK : PY_WAIT_SEMAPHORE;
}

static enum py_wait_kind kind_of(const struct search *s, uint64_t object)
{
    static const struct {
        const char *type;
        enum py_wait_kind kind;
    } kinds[] = {
        {"_thread.lock", PY_WAIT_LOCK},
        {"_thread.RLock", PY_WAIT_RLOCK},
        {"_queue.SimpleQueue", PY_WAIT_QUEUE_GET},
    };
    const char *name = strtab_get(s->dec->strings, py_type_name(s->dec, object));
    if (name && strcmp(name, "_multiprocessing.SemLock") == 0)
        return kind_of_semlock(s, object);
    for (size_t i = 0; name && i < ARRAY_SIZE(kinds); i++)
        if (strcmp(kinds[i].type, name) == 0)
            return kinds[i].kind;
    return PY_WAIT_NONE;
}

// Stale slots do no harm: the futex proves it.
static void find_lock(const struct search *s, const struct py_slots *slots)
{
    for (uint32_t i = slots->count; i-- > 0 && !s->ret->lock;) {
        uint64_t object = py_slots_value(s->dec, slots->objects[i]);
        uint64_t self = py_bound_self(s->dec, object);
        object = self ? self : object;
        enum py_wait_kind kind = object ? kind_of(s, object) : PY_WAIT_NONE;
        if (!kind || !owns_futex(s, object))
            continue;
        s->ret->lock = s->ret->object = object;
        s->ret->kind = kind;
    }
}

// ---- What it is part of -------------------------------------------------------------------------

static bool in_file(const char *path, const char *file)
{
    size_t size = strlen(path), want = strlen(file);
    return size >= want && strcmp(path + size - want, file) == 0 &&
           (size == want || path[size - want - 1] == '/');
}

static const struct row *row_of(const struct search *s, const struct py_frame *frame, uint64_t self)
{
    const char *file = strtab_get(s->dec->strings, frame->file);
    const char *name = strtab_get(s->dec->strings, frame->name);
    for (size_t i = 0; file && name && i < ARRAY_SIZE(rows); i++)
        if (in_file(file, rows[i].file) &&
            (!rows[i].function || strcmp(name, rows[i].function) == 0) &&
            (!rows[i].class_name || py_is_a(s->dec, self, rows[i].class_name)))
            return &rows[i];
    return NULL;
}

// A Condition takes its own lock again before wait() returns: then it waits for that.
static bool waits_for_its_lock(const struct search *s, uint64_t condition)
{
    uint64_t lock;
    AUTO_ERR struct err *err = py_instance_attr(s->dec, condition, "_lock", &lock);
    return !err && lock && lock == s->ret->lock;
}

static void apply(struct search *s, const struct row *row, uint64_t self)
{
    bool known = row->kind == s->ret->kind && !row->class_name; // a row further in says more
    bool fits = row->kind && !known && (!row->over || row->over == s->ret->kind ||
                              (row->kind == PY_WAIT_CONDITION && !s->ret->kind));
    if (fits && row->kind == PY_WAIT_CONDITION && waits_for_its_lock(s, self))
        fits = false;
    if (fits) {
        s->ret->kind = row->kind;
        s->ret->object = row->class_name ? self : 0;
        s->named = 0;
    } else if (row->class_name && !strstr(row->file, "logging") && s->ret->kind) {
        s->named = self;
    }
}

static void find_name(struct search *s, const struct py_slots *slots)
{
    const struct py_frame *frame = &s->stack->frames.items[s->ret->waiting];
    if (s->named)
        s->ret->what = py_path_to(s->dec, frame, slots, s->named);
    if (!s->ret->what && s->ret->object)
        s->ret->what = py_path_to(s->dec, frame, slots, s->ret->object);
    if (!s->ret->what && s->ret->lock)
        s->ret->what = py_path_to(s->dec, frame, slots, s->ret->lock);
}

static bool is_in_loop(struct py_decoder *dec, const struct py_frame *frame)
{
    struct py_code *code;
    if (!frame->code_addr || !frame->complete || frame->offset_bytes < 0)
        return false;
    AUTO_ERR struct err *err = py_code_get(dec, frame->code_addr, &code);
    if (err || !code->bytecode || !py_codes_may_walk(dec->codes, code->bytecode_bytes))
        return false;
    struct py_bytecode bytecode = py_code_bytecode(dec, code);
    return py_callsite_in_loop(&bytecode, (size_t)frame->offset_bytes);
}

// What tells a borrower from a worker: it gives back what it got. And one that takes work for good comes
// round again.
static void find_habits(struct search *s, const struct py_slots *slots)
{
    struct py_wait *ret = s->ret;
    if (ret->kind == PY_WAIT_LOCK) { // by a `with` statement, where it names no acquire()
        const struct py_frame *frame = &s->stack->frames.items[ret->waiting];
        ret->gives_back = !py_names_method(s->dec, frame, slots, ret->object, py_verbs[PY_ACQUIRE].take) ||
                          py_will_give(s->dec, frame, slots, ret->object, py_verbs[PY_ACQUIRE].give);
    }
    if (ret->kind != PY_WAIT_QUEUE_GET && ret->kind != PY_WAIT_SEMAPHORE)
        return;
    const struct py_frame *frames = s->stack->frames.items;
    enum py_taking taking = ret->kind == PY_WAIT_SEMAPHORE ? PY_ACQUIRE : PY_GET;
    ret->gives_back = py_will_give(s->dec, &frames[ret->waiting], slots, ret->object,
                                   py_verbs[taking].give);
    for (uint32_t i = ret->waiting, end = i + CHAIN_MAX; i < s->stack->frames.count && i < end;
         i++) {
        if (is_in_loop(s->dec, &frames[i])) {
            ret->loop = i;
            return;
        }
    }
}

struct err *py_wait_read(struct py_decoder *dec, const struct py_stack *stack, uint64_t futex,
                         struct py_wait *ret)
{
    struct search s = {.dec = dec, .stack = stack, .futex = futex, .ret = ret};
    struct py_slots slots;
    *ret = (struct py_wait){.waiting = UINT32_MAX, .loop = UINT32_MAX};
    // Python/parking_lot.c, struct wait_entry {park_arg, addr, sema}: the futex is its semaphore.
    if (dec->layout.version >= 0x030d) {
        AUTO_ERR struct err *err = mem_read_u64(dec->mem, futex - 8, &s.mutex);
        s.mutex = err ? 0 : s.mutex;
        ret->mutex = s.mutex;
    }
    for (uint32_t i = 0; i < stack->frames.count && i < CHAIN_MAX; i++) {
        const struct py_frame *frame = &stack->frames.items[i];
        AUTO_ERR struct err *err = py_slots_read(dec, frame, &slots);
        if (err)
            return NULL;
        if (i == 0)
            find_lock(&s, &slots);
        uint64_t self = py_slots_find(dec, frame, &slots, "self");
        const struct row *row = row_of(&s, frame, self);
        if (row && (i == 0 || ret->kind)) {
            apply(&s, row, self);
            continue;
        }
        if (!ret->kind)
            return NULL;
        ret->waiting = i;
        break;
    }
    ret->type = py_type_name(dec, ret->object);
    if (ret->waiting != UINT32_MAX) {
        find_name(&s, &slots);
        find_habits(&s, &slots);
        py_lender_read(dec, &stack->frames.items[ret->waiting], &slots, ret->kind,
                       ret->object, &ret->lender);
    }
    return NULL;
}
