// SPDX-License-Identifier: GPL-3.0-or-later
// What a future or a task says of itself: see cpython/task.h. In C it is a struct, in Python
// attributes (Lib/asyncio/futures.py, tasks.py); of which kind one is, its class says.
#include "cpython/task.h"

#include <stdio.h>
#include <string.h>

#include "cpython/lock.h"
#include "util/guard.h"
#include "util/hash.h"
#include "util/limits.h"

#define CLASSES_KEPT 256
#define KEYS_KEPT 256
#define SITES_KEPT 1024

struct class
{
    uint64_t addr;
    enum py_future_kind kind;
    bool in_python, gathering;
    bool mixed; // a task in Python that is a future in C: 3.6
    uint32_t name;
};

// Attributes of the implementation in Python.
enum key {
    KEY_LOOP,
    KEY_STATE,
    KEY_EXCEPTION,
    KEY_CALLBACKS,
    KEY_LOG,
    KEY_CORO,
    KEY_WAITER,
    KEY_NAME,
    KEY_MUST_CANCEL,
    KEY_CANCELS,
    KEY_COUNT
};

static const struct {
    const char *name;
    enum key key;
} key_names[] = {
    {"_loop", KEY_LOOP},
    {"_state", KEY_STATE},
    {"_exception", KEY_EXCEPTION},
    {"_callbacks", KEY_CALLBACKS},
    {"_Future__log_traceback", KEY_LOG},
    {"_log_traceback", KEY_LOG}, // 3.6
    {"_coro", KEY_CORO},
    {"_fut_waiter", KEY_WAITER},
    {"_name", KEY_NAME},
    {"_must_cancel", KEY_MUST_CANCEL},
    {"_num_cancels_requested", KEY_CANCELS},
};

struct py_futures {
    struct py_decoder *dec;
    uint64_t none;                      // address of None; 0: not met so far
    struct class classes[CLASSES_KEPT]; // addr 0: empty
    struct {
        uint64_t addr; // of the str; 0: empty
        enum key key;  // KEY_COUNT: another attribute
    } keys[KEYS_KEPT];
    size_t future_bytes, task_bytes; // as far as their fields reach
    size_t looked_at;
    struct py_closure closure;
    uint64_t plain_sites[SITES_KEPT]; // 0: empty
};

static size_t reach(const struct py_layout *lay, const enum py_field_id *fields, size_t count)
{
    size_t end = 0;
    for (size_t i = 0; i < count; i++)
        if (py_layout_has(lay, fields[i]) && py_offset(lay, fields[i]) + 8 > end)
            end = py_offset(lay, fields[i]) + 8;
    return end;
}

struct py_futures *py_futures_create(struct py_decoder *dec)
{
    static const enum py_field_id of_future[] = {
        PY_FUT_loop,  PY_FUT_callback0, PY_FUT_callbacks, PY_FUT_exception,
        PY_FUT_state, PY_FUT_log_tb,    PY_FUT_flags};
    static const enum py_field_id of_task[] = {PY_TASK_waiter, PY_TASK_coro, PY_TASK_name,
                                               PY_TASK_must_cancel, PY_TASK_cancels};
    struct py_futures *futures = calloc(1, sizeof(*futures));
    if (!futures)
        return NULL;
    futures->dec = dec;
    futures->future_bytes = reach(&dec->layout, of_future, ARRAY_SIZE(of_future));
    futures->task_bytes = reach(&dec->layout, of_task, ARRAY_SIZE(of_task));
    return futures;
}

void py_futures_destroy(struct py_futures *futures)
{
    free(futures);
}

bool py_futures_may_look(struct py_futures *futures)
{
    return futures->looked_at++ < LIMIT_CALLBACK_OBJECTS;
}

struct py_closure *py_futures_closure(struct py_futures *futures)
{
    return &futures->closure;
}

uint64_t *py_futures_plain_site(struct py_futures *futures, uint64_t site)
{
    return &futures->plain_sites[site % SITES_KEPT];
}

struct py_decoder *py_futures_decoder(const struct py_futures *futures)
{
    return futures->dec;
}

bool py_is_none(struct py_futures *futures, uint64_t object)
{
    struct py_type_info type;
    if (!object || object == futures->none)
        return true;
    if (futures->none)
        return false;
    AUTO_ERR struct err *err = py_type_of(futures->dec, object, &type);
    if (err || type.heap || !strtab_is(futures->dec->strings, type.name, "NoneType"))
        return false;
    futures->none = object;
    return true;
}

static uint64_t or_0(struct py_futures *futures, uint64_t object)
{
    return py_is_none(futures, object) ? 0 : object;
}

// ---- Classes ------------------------------------------------------------------------------------

struct class_reading {
    const struct py_decoder *dec;
    struct class *class;
};

static bool visit_base(void *arg, const struct py_type_info *base)
{
    const struct class_reading *reading = arg;
    struct class *class = reading->class;
    const char *name = strtab_get(reading->dec->strings, base->name);
    if (!name)
        return false;
    if (!class->name)
        class->name = base->name;
    if (strcmp(name, "_asyncio.Task") == 0 || strcmp(name, "_asyncio.Future") == 0) {
        class->mixed = class->in_python && class->kind == PY_TASK && name[9] == 'F';
        class->in_python = class->mixed;
        class->kind = class->mixed || name[9] == 'T' ? PY_TASK : PY_FUTURE;
        return false;
    }
    class->gathering |= strcmp(name, "_GatheringFuture") == 0;
    if (!class->kind && (strcmp(name, "Task") == 0 || strcmp(name, "Future") == 0)) {
        class->kind = name[0] == 'T' ? PY_TASK : PY_FUTURE;
        class->in_python = true;
    }
    return true;
}

static struct err *class_of(struct py_futures *futures, uint64_t object, struct class **ret)
{
    struct py_decoder *dec = futures->dec;
    uint64_t type;
    if (!object || object % 8)
        return err_create(ERR_BAD_DATA, "0x%llx is no object", (unsigned long long)object);
    TRY(py_read(dec->mem, &dec->layout, object, PY_OB_type, &type));
    struct class *class = &futures->classes[hash_u64(HASH_SEED, type) % CLASSES_KEPT];
    *ret = class;
    if (class->addr == type)
        return NULL;
    class->addr = 0;
    struct class fresh = {0};
    struct class_reading reading = {.dec = dec, .class = &fresh};
    struct err *unread = py_bases_walk(dec, type, visit_base, &reading);
    if (unread && !fresh.name)
        return unread;
    err_destroy(unread); // what the bases before that one say is true
    *class = fresh;
    class->addr = type;
    return NULL;
}

// ---- Values -------------------------------------------------------------------------------------

static uint32_t numbered_name(struct py_decoder *dec, int64_t number)
{
    char text[sizeof("Task--9223372036854775808")], *end = text + sizeof(text), *at = end;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        *--at = '-';
    at = (char *)memcpy(at - 5, "Task-", 5);
    return strtab_add(dec->strings, at, (size_t)(end - at));
}

// 3.12+: an int N stands for "Task-N" until somebody asks for the name.
static uint32_t task_name(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info type;
    uint32_t id = 0;
    int64_t number;
    AUTO_ERR struct err *err = object ? py_type_of(dec, object, &type) : NULL;
    if (err || !object)
        return 0;
    if (type.kind == PY_KIND_INT) {
        AUTO_ERR struct err *bad = py_int(dec, object, &number);
        return bad ? 0 : numbered_name(dec, number);
    }
    AUTO_ERR struct err *bad = py_str_id(dec, object, &id);
    return bad ? 0 : id;
}

// ---- In C ---------------------------------------------------------------------------------------

static struct err *read_struct(struct py_futures *futures, bool is_task, struct py_future *ret)
{
    struct py_decoder *dec = futures->dec;
    const struct py_layout *lay = &dec->layout;
    unsigned char bytes[512];
    size_t size = is_task && futures->task_bytes > futures->future_bytes ? futures->task_bytes
                                                                         : futures->future_bytes;
    if (size > sizeof(bytes))
        return err_create(ERR_BAD_DATA, "task of impossible size");
    TRY(mem_read(dec->mem, ret->object, bytes, size));
    uint64_t state = py_pick_or_0(lay, bytes, size, PY_FUT_state);
    uint64_t flags = py_pick_or_0(lay, bytes, size, PY_FUT_flags);
    if (state > PY_FUTURE_FINISHED)
        return err_create(ERR_BAD_DATA, "future at 0x%llx has an impossible state",
                          (unsigned long long)ret->object);
    ret->state = (enum py_future_state)state;
    ret->loop = or_0(futures, py_pick_or_0(lay, bytes, size, PY_FUT_loop));
    ret->exception = or_0(futures, py_pick_or_0(lay, bytes, size, PY_FUT_exception));
    ret->callback0 = py_pick_or_0(lay, bytes, size, PY_FUT_callback0);
    ret->callbacks = or_0(futures, py_pick_or_0(lay, bytes, size, PY_FUT_callbacks));
    ret->unretrieved = py_pick_or_0(lay, bytes, size, PY_FUT_log_tb) || flags & 1;
    if (!is_task)
        return NULL;
    ret->coro = or_0(futures, py_pick_or_0(lay, bytes, size, PY_TASK_coro));
    ret->waiter = or_0(futures, py_pick_or_0(lay, bytes, size, PY_TASK_waiter));
    ret->name = task_name(dec, py_pick_or_0(lay, bytes, size, PY_TASK_name));
    ret->cancelling = py_pick_or_0(lay, bytes, size, PY_TASK_must_cancel) || flags & 4 ||
                      py_pick_or_0(lay, bytes, size, PY_TASK_cancels);
    return NULL;
}

// ---- In Python ----------------------------------------------------------------------------------

struct attributes {
    struct py_futures *futures;
    uint64_t values[KEY_COUNT];
};

// Names of attributes are interned: one str, one attribute.
static enum key key_of(struct py_futures *futures, uint64_t object)
{
    size_t slot = hash_u64(HASH_SEED, object) % KEYS_KEPT;
    if (futures->keys[slot].addr == object)
        return futures->keys[slot].key;
    AUTO_FREE char *text = NULL;
    size_t bytes;
    AUTO_ERR struct err *err = py_str(futures->dec, object, &text, &bytes);
    futures->keys[slot].addr = err ? 0 : object;
    futures->keys[slot].key = KEY_COUNT;
    for (size_t i = 0; !err && i < ARRAY_SIZE(key_names); i++)
        if (strcmp(text, key_names[i].name) == 0)
            futures->keys[slot].key = key_names[i].key;
    return err ? KEY_COUNT : futures->keys[slot].key;
}

static bool visit_attribute(void *arg, uint64_t name, uint64_t value)
{
    struct attributes *attributes = arg;
    enum key key = key_of(attributes->futures, name);
    if (key != KEY_COUNT)
        attributes->values[key] = or_0(attributes->futures, value);
    return true;
}

bool py_is_true(struct py_decoder *dec, uint64_t object)
{
    uint32_t type = py_type_name(dec, object);
    uint64_t size;
    uint32_t digit;
    if (!strtab_is(dec->strings, type, "bool") && !strtab_is(dec->strings, type, "int"))
        return false;
    AUTO_ERR struct err *err = py_read(dec->mem, &dec->layout, object, PY_LONG_size, &size);
    AUTO_ERR struct err *other =
        mem_read_u32(dec->mem, object + py_offset(&dec->layout, PY_LONG_digits), &digit);
    bool zero = dec->layout.version >= 0x030c ? (size & 3) == 1 : !size;
    return !err && !other && !zero && digit;
}

static struct err *take_future(struct py_decoder *dec, const uint64_t *values,
                               struct py_future *ret)
{
    AUTO_FREE char *state = NULL;
    size_t bytes;
    // While it is pending, only the class has the attribute.
    if (values[KEY_STATE])
        TRY(py_str(dec, values[KEY_STATE], &state, &bytes));
    ret->state = !state || strcmp(state, "PENDING") == 0 ? PY_FUTURE_PENDING
                 : strcmp(state, "CANCELLED") == 0       ? PY_FUTURE_CANCELLED
                                                         : PY_FUTURE_FINISHED;
    ret->loop = values[KEY_LOOP];
    ret->exception = values[KEY_EXCEPTION];
    ret->callbacks = values[KEY_CALLBACKS];
    ret->unretrieved = py_is_true(dec, values[KEY_LOG]);
    return NULL;
}

static struct err *read_attributes(struct py_futures *futures, const struct class *class,
                                   struct py_future *ret)
{
    struct py_decoder *dec = futures->dec;
    struct attributes attributes = {.futures = futures};
    const uint64_t *values = attributes.values;
    bool is_task = class->kind == PY_TASK;
    TRY(py_instance_walk(dec, ret->object, visit_attribute, &attributes));
    // concurrent.futures.Future has no loop.
    if ((!values[KEY_LOOP] && !class->mixed) || (is_task && !values[KEY_CORO])) {
        ret->kind = PY_FUTURE_NONE;
        return NULL;
    }
    TRY(class->mixed ? read_struct(futures, false, ret) : take_future(dec, values, ret));
    if (!is_task)
        return NULL;
    ret->coro = values[KEY_CORO];
    ret->waiter = values[KEY_WAITER];
    ret->name = task_name(dec, values[KEY_NAME]);
    ret->cancelling = py_is_true(dec, values[KEY_MUST_CANCEL]) || py_is_true(dec, values[KEY_CANCELS]);
    return NULL;
}

// ---- Both ---------------------------------------------------------------------------------------

struct err *py_future_read(struct py_futures *futures, uint64_t object, struct py_future *ret)
{
    struct class *class = NULL;
    *ret = (struct py_future){.object = object};
    TRY(class_of(futures, object, &class));
    ret->kind = class->kind;
    ret->type = class->name;
    ret->gathering = class->gathering;
    if (ret->kind == PY_FUTURE_NONE)
        return NULL;
    return class->in_python ? read_attributes(futures, class, ret)
                            : read_struct(futures, class->kind == PY_TASK, ret);
}
