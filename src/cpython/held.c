// SPDX-License-Identifier: GPL-3.0-or-later
// Locks that a thread holds: see cpython/lock.h; acquired.c has those it took by acquire(). A `with` block
// leaves the manager's __exit__ on the
// value stack until it ends: bound (up to 3.13), or the function and the manager behind it (3.14+,
// LOAD_SPECIAL). Only slots that were pushed before the frame's current call count.
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"

#define FRAMES_MAX 512
#define RELEASED_MAX 4
#define ACQUIRED_MAX 8 // of one frame

struct scan {
    struct py_decoder *dec;
    const struct py_stack *stack;
    struct py_helds *ret;
    uint64_t released[RELEASED_MAX]; // locks of Conditions that are being waited for
    size_t released_count;
};

static bool is_named_text(struct py_decoder *dec, uint64_t ml, const char *want)
{
    AUTO_FREE char *text = NULL;
    uint64_t name;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, ml, PY_ML_name, &name);
    AUTO_ERR struct err *unread = err ? NULL : mem_read_cstr(dec->mem, name, 16, &text);
    return !err && !unread && strcmp(text, want) == 0;
}

static bool is_named_str(struct py_decoder *dec, uint64_t object, const char *want)
{
    uint32_t id;
    AUTO_ERR struct err *err = py_str_id(dec, object, &id);
    const char *text = err ? NULL : strtab_get(dec->strings, id);
    return text && strcmp(text, want) == 0;
}

static struct err *is_exit(struct py_decoder *dec, uint64_t object, const struct py_type_info *type,
                           const char *want, bool *ret)
{
    const struct py_layout *lay = &dec->layout;
    uint64_t part, name;
    switch (type->kind) {
    case PY_KIND_BUILTIN:
        TRY(py_read(dec->mem, lay, object, PY_CFUNC_ml, &part));
        *ret = is_named_text(dec, part, want);
        return NULL;
    case PY_KIND_METHOD_DESCRIPTOR:
        TRY(py_read(dec->mem, lay, object, PY_DESCR_method, &part));
        *ret = is_named_text(dec, part, want);
        return NULL;
    case PY_KIND_BOUND_METHOD:
        TRY(py_read(dec->mem, lay, object, PY_METHOD_func, &object));
        TRY(py_expect(dec, object, PY_KIND_FUNCTION, "method"));
        break;
    case PY_KIND_FUNCTION:
        break;
    default:
        return NULL;
    }
    TRY(py_read(dec->mem, lay, object, PY_FUNC_name, &name));
    *ret = is_named_str(dec, name, want);
    return NULL;
}

uint64_t py_with_manager(struct py_decoder *dec, const struct py_slots *slots, uint32_t index,
                         const char *exit)
{
    struct py_type_info type;
    bool exits = false;
    uint64_t object = slots->objects[index];
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    AUTO_ERR struct err *other = err ? NULL : is_exit(dec, object, &type, exit, &exits);
    if (err || other || !exits)
        return 0;
    uint64_t self = py_bound_self(dec, object);
    if (self || dec->layout.version < 0x030e)
        return self;
    return index + 1 < slots->live ? slots->objects[index + 1] : 0;
}

static bool is_released(const struct scan *scan, uint64_t lock)
{
    for (size_t i = 0; i < scan->released_count; i++)
        if (scan->released[i] == lock)
            return true;
    return false;
}

// Which lock the manager stands for, and whether it is held. *ret->lock 0: it is none.
static void resolve(const struct scan *scan, uint64_t manager, struct py_held *ret)
{
    struct py_decoder *dec = scan->dec;
    struct py_lock lock;
    uint64_t inner = manager;
    *ret = (struct py_held){.manager = manager};
    if (py_is_a(dec, manager, "Condition")) {
        AUTO_ERR struct err *err = py_instance_attr(dec, manager, "_lock", &inner);
        if (err || !inner)
            return;
    }
    if (py_is_a(dec, manager, "SemLock")) { // Lib/multiprocessing/synchronize.py
        AUTO_ERR struct err *err = py_instance_attr(dec, manager, "_semlock", &inner);
        ret->lock = err ? 0 : inner;
        ret->type = py_type_name(dec, manager);
        return;
    }
    if (py_is_a(dec, manager, "_RLock")) { // the one in Python
        ret->observed = py_int_attr(dec, manager, "_owner") == scan->stack->thread.ident;
        ret->lock = ret->observed ? manager : 0;
        ret->type = py_type_name(dec, manager);
        return;
    }
    AUTO_ERR struct err *err = py_lock_read(dec, inner, &lock);
    if (err || is_released(scan, inner))
        return;
    if (lock.kind == PY_LOCK_NONE && !py_is_a(dec, manager, "Semaphore"))
        return;
    if (lock.kind != PY_LOCK_NONE && !lock.locked)
        return;
    ret->observed = lock.kind == PY_LOCK_RLOCK;
    if (ret->observed && lock.owner != scan->stack->thread.ident)
        return;
    ret->lock = inner;
    ret->type = py_type_name(dec, manager);
}

static struct err *add(struct scan *scan, uint32_t index, const struct py_slots *slots,
                       uint64_t manager, bool by_call)
{
    struct py_held held;
    resolve(scan, manager, &held);
    if (!held.lock)
        return NULL;
    held.frame = index;
    held.what = py_path_to(scan->dec, &scan->stack->frames.items[index], slots, manager);
    held.by_call = by_call && !held.observed;
    return vec_push(scan->ret, held) ? NULL : err_create(ERR_NO_MEMORY, "locks");
}

static struct err *scan_frame(struct scan *scan, uint32_t index)
{
    struct py_decoder *dec = scan->dec;
    const struct py_frame *frame = &scan->stack->frames.items[index];
    struct py_slots slots;
    AUTO_ERR struct err *err = py_slots_read(dec, frame, &slots);
    for (uint32_t i = slots.locals; !err && i < slots.live; i++) {
        uint64_t manager = slots.objects[i] ? py_with_manager(dec, &slots, i, "__exit__") : 0;
        if (manager)
            TRY(add(scan, index, &slots, manager, false));
    }
    struct py_acquired acquired[ACQUIRED_MAX];
    size_t count = err ? 0 : py_acquired(dec, frame, &slots, acquired, ACQUIRED_MAX);
    for (size_t i = 0; i < count; i++)
        // A semaphore that is not given back is a signal.
        if (acquired[i].given_back || !py_is_a(dec, acquired[i].object, "Semaphore"))
            TRY(add(scan, index, &slots, acquired[i].object, true));
    return NULL;
}

// Condition.wait() gives its lock away while it waits.
static void find_released(struct scan *scan)
{
    struct py_decoder *dec = scan->dec;
    for (size_t i = 0; i < scan->stack->frames.count && i < FRAMES_MAX; i++) {
        const struct py_frame *frame = &scan->stack->frames.items[i];
        const char *name = strtab_get(dec->strings, frame->name);
        struct py_slots slots;
        if (!name || strcmp(name, "wait") != 0 || scan->released_count == RELEASED_MAX)
            continue;
        AUTO_ERR struct err *err = py_slots_read(dec, frame, &slots);
        uint64_t self = err ? 0 : py_slots_find(dec, frame, &slots, "self"), lock = 0;
        if (!py_is_a(dec, self, "Condition"))
            continue;
        AUTO_ERR struct err *unread = py_instance_attr(dec, self, "_lock", &lock);
        if (!unread && lock)
            scan->released[scan->released_count++] = lock;
    }
}

struct err *py_held_read(struct py_decoder *dec, const struct py_stack *stack, struct py_helds *ret)
{
    struct scan scan = {.dec = dec, .stack = stack, .ret = ret};
    find_released(&scan);
    for (uint32_t i = 0; i < stack->frames.count && i < FRAMES_MAX; i++)
        TRY(scan_frame(&scan, i));
    return NULL;
}
