// SPDX-License-Identifier: GPL-3.0-or-later
// Locks that a thread holds: see cpython/lock.h; acquired.c has those it took by acquire(). A `with` block
// leaves the manager's __exit__ on the
// value stack until it ends: bound (up to 3.13), or the function and the manager behind it (3.14+,
// LOAD_SPECIAL). Only slots that were pushed before the frame's current call count. A manager that is no
// lock may have some: a generator's, an ExitStack's, one of a class that takes a lock in its __enter__.
#include <string.h>

#include "cpython/coroutine_read.h"
#include "cpython/lock.h"
#include "cpython/stack_walk.h"
#include "util/guard.h"

#define FRAMES_MAX 512
#define RELEASED_MAX 4
#define ACQUIRED_MAX 8 // of one frame
#define CALLBACKS_MAX 64 // of one ExitStack
#define DEPTH_MAX 4 // managers of managers
#define MANAGERS_MAX 1000 // of one stack: ExitStacks may hold each other

struct scan {
    struct py_decoder *dec;
    const struct py_stack *stack;
    struct py_helds *ret;
    uint64_t released[RELEASED_MAX]; // locks of Conditions that are being waited for
    size_t released_count;
    size_t managers; // that were looked at
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
    return !err && strtab_is(dec->strings, id, want);
}

static struct err *is_exit(struct py_decoder *dec, uint64_t object, const struct py_type_info *type,
                           const char *want, bool *ret)
{
    const struct py_layout *lay = &dec->layout;
    struct py_type_info function;
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
        TRY(py_type_of(dec, object, &function));
        if (py_is_cython_function(strtab_get(dec->strings, function.name))) {
            TRY(py_read(dec->mem, lay, object, PY_CFUNC_ml, &part));
            *ret = is_named_text(dec, part, want);
            return NULL;
        }
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

// Where something is held: by which frame of the stack, and what frame says so, which may be of a generator
// or a method that this one uses.
struct place {
    uint32_t index;
    const struct py_frame *frame;
    const struct py_slots *slots;
    unsigned depth;
};

enum by { BY_WITH, BY_CALL, BY_CALL_FOR_NOW }; // the last one gives it back

static struct err *add(struct scan *scan, const struct place *place, uint64_t manager, enum by by,
                       bool *ret_is)
{
    struct py_held held;
    resolve(scan, manager, &held);
    *ret_is = held.lock != 0;
    if (!held.lock)
        return NULL;
    held.frame = place->index;
    held.what = py_path_to(scan->dec, place->frame, place->slots, manager);
    held.by_call = by != BY_WITH && !held.observed;
    held.given_back = by == BY_CALL_FOR_NOW;
    return vec_push(scan->ret, held) ? NULL : err_create(ERR_NO_MEMORY, "locks");
}

static struct err *add_lent(struct scan *scan, const struct place *place, uint64_t queue)
{
    struct py_held lent = {.lock = queue, .frame = place->index, .lent = true};
    if (!py_is_a(scan->dec, queue, "Queue") && !py_is_a(scan->dec, queue, "_queue.SimpleQueue"))
        return NULL;
    return vec_push(scan->ret, lent) ? NULL : err_create(ERR_NO_MEMORY, "queues");
}

// ---- Objects that stand for locks ---------------------------------------------------------------

static struct err *scan_frame(struct scan *scan, const struct place *place);
static struct err *scan_manager(struct scan *scan, const struct place *place, uint64_t manager);

// A class of the program's own: what `take` leaves taken, and `give` gives back.
static struct err *scan_methods(struct scan *scan, const struct place *place, uint64_t object,
                                const char *take, const char *give)
{
    struct py_decoder *dec = scan->dec;
    struct py_acquired acquired[ACQUIRED_MAX];
    struct py_frame takes, gives;
    struct py_slots slots, its;
    bool is;
    if (place->depth >= DEPTH_MAX || !py_slots_of_method(dec, object, take, &takes, &slots) ||
        !py_slots_of_method(dec, object, give, &gives, &its))
        return NULL;
    size_t count = py_acquired(dec, &takes, &slots, PY_ACQUIRE, acquired, ACQUIRED_MAX);
    struct place inner = {place->index, &takes, &slots, place->depth + 1};
    for (size_t i = 0; i < count; i++) {
        if (!py_names_method(dec, &gives, &its, acquired[i].object, py_verbs[PY_ACQUIRE].give))
            continue;
        TRY(add(scan, &inner, acquired[i].object, BY_CALL, &is));
        if (!is)
            TRY(scan_methods(scan, &inner, acquired[i].object, "acquire", "release"));
    }
    count = py_acquired(dec, &takes, &slots, PY_GET, acquired, ACQUIRED_MAX);
    for (size_t i = 0; i < count; i++)
        if (py_names_method(dec, &gives, &its, acquired[i].object, py_verbs[PY_GET].give))
            TRY(add_lent(scan, &inner, acquired[i].object));
    return NULL;
}

// Lib/contextlib.py, _GeneratorContextManager: what its generator holds at its `yield`.
static struct err *scan_generator(struct scan *scan, const struct place *place, uint64_t manager)
{
    struct py_generator read;
    struct py_frame frame;
    struct py_slots slots;
    uint64_t generator = 0;
    AUTO_ERR struct err *err = py_instance_attr(scan->dec, manager, "gen", &generator);
    if (err || !generator)
        return NULL;
    AUTO_ERR struct err *unread = py_generator_read_frame(scan->dec, generator, &read, &frame);
    if (unread || read.state != PY_GEN_SUSPENDED)
        return NULL;
    AUTO_ERR struct err *none = py_slots_read(scan->dec, &frame, &slots);
    struct place inner = {place->index, &frame, &slots, place->depth + 1};
    return none ? NULL : scan_frame(scan, &inner);
}

struct callbacks {
    struct py_decoder *dec;
    uint64_t managers[CALLBACKS_MAX];
    size_t count;
};

// (is_sync, __exit__ bound to the manager), since 3.8: a closure before
static bool visit_callback(void *arg, uint64_t item)
{
    struct callbacks *callbacks = arg;
    uint64_t exit = 0;
    AUTO_ERR struct err *err = py_tuple_item(callbacks->dec, item, 1, &exit);
    uint64_t manager = err ? 0 : py_bound_self(callbacks->dec, exit);
    if (manager)
        callbacks->managers[callbacks->count++] = manager;
    return callbacks->count < CALLBACKS_MAX;
}

// Lib/contextlib.py, _BaseExitStack: who has been entered so far.
static struct err *scan_exit_stack(struct scan *scan, const struct place *place, uint64_t stack)
{
    struct callbacks callbacks = {.dec = scan->dec};
    uint64_t deque = 0;
    AUTO_ERR struct err *err = py_instance_attr(scan->dec, stack, "_exit_callbacks", &deque);
    if (err || !py_is_a(scan->dec, deque, "collections.deque"))
        return NULL;
    AUTO_ERR struct err *unread = py_deque_walk(scan->dec, deque, visit_callback, &callbacks);
    struct place inner = *place;
    inner.depth++;
    for (size_t i = 0; !unread && i < callbacks.count; i++)
        TRY(scan_manager(scan, &inner, callbacks.managers[i]));
    return NULL;
}

static struct err *scan_manager(struct scan *scan, const struct place *place, uint64_t manager)
{
    bool is;
    TRY(add(scan, place, manager, BY_WITH, &is));
    if (is || place->depth >= DEPTH_MAX || scan->managers++ >= MANAGERS_MAX)
        return NULL;
    if (py_is_a(scan->dec, manager, "_GeneratorContextManager"))
        return scan_generator(scan, place, manager);
    if (py_is_a(scan->dec, manager, "ExitStack"))
        return scan_exit_stack(scan, place, manager);
    return scan_methods(scan, place, manager, "__enter__", "__exit__");
}

// ---- Frames -------------------------------------------------------------------------------------

static struct err *scan_frame(struct scan *scan, const struct place *place)
{
    struct py_decoder *dec = scan->dec;
    const struct py_slots *slots = place->slots;
    for (uint32_t i = slots->locals; i < slots->live; i++) {
        uint64_t manager = slots->objects[i] ? py_with_manager(dec, slots, i, "__exit__") : 0;
        if (manager)
            TRY(scan_manager(scan, place, manager));
    }
    struct py_acquired acquired[ACQUIRED_MAX];
    size_t count = py_acquired(dec, place->frame, slots, PY_ACQUIRE, acquired, ACQUIRED_MAX);
    for (size_t i = 0; i < count; i++) {
        bool is, given_back = acquired[i].given_back;
        // A semaphore that is not given back is a signal.
        if (given_back || !py_is_a(dec, acquired[i].object, "Semaphore"))
            TRY(add(scan, place, acquired[i].object, given_back ? BY_CALL_FOR_NOW : BY_CALL, &is));
        else
            continue;
        if (!is)
            TRY(scan_methods(scan, place, acquired[i].object, "acquire", "release"));
    }
    count = py_acquired(dec, place->frame, slots, PY_GET, acquired, ACQUIRED_MAX);
    for (size_t i = 0; i < count; i++)
        if (acquired[i].given_back)
            TRY(add_lent(scan, place, acquired[i].object));
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
    for (uint32_t i = 0; i < stack->frames.count && i < FRAMES_MAX; i++) {
        struct py_slots slots;
        struct place place = {i, &stack->frames.items[i], &slots, 0};
        AUTO_ERR struct err *err = py_slots_read(dec, place.frame, &slots);
        if (!err)
            TRY(scan_frame(&scan, &place));
    }
    return NULL;
}
