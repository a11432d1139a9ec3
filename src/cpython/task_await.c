// SPDX-License-Identifier: GPL-3.0-or-later
// What a task awaits: see py_await_read(). The innermost frames are asyncio's own; by file, function and
// the class of `self` they say what the future is part of that the innermost one awaits, until a frame
// of the program is met. A future that no frame tells of may do so by its callbacks.
#include "cpython/task.h"

#include <string.h>

#include "cpython/lock.h"
#include "cpython/slots.h"
#include "util/guard.h"
#include "util/hash.h"

#define CHAIN_MAX 24 // frames of the library around one wait

enum from { NOTHING, SELF, LOCAL_SOCKET, TRANSPORT, SERVER, TIMER, TIMEOUT, FUTURES, LOCAL_FUT };

// A function of asyncio that waits. `over`: what it must be so far that this one changes it;
// PY_AWAIT_NONE: nothing is known so far. The object is what `from` says.
struct row {
    const char *file, *function, *class_name; // class_name NULL: whatever
    enum py_await_kind kind, over;
    enum from from;
};

// Lib/asyncio of 3.6 to 3.15. No two files are called alike.
static const struct row rows[] = {
    {"locks.py", "acquire", "Lock", PY_AWAIT_LOCK, PY_AWAIT_NONE, SELF},
    {"locks.py", "wait", "Event", PY_AWAIT_EVENT, PY_AWAIT_NONE, SELF},
    {"locks.py", "wait", "Condition", PY_AWAIT_CONDITION, PY_AWAIT_NONE, SELF},
    {"locks.py", "acquire", "Semaphore", PY_AWAIT_SEMAPHORE, PY_AWAIT_NONE, SELF},
    {"locks.py", "wait", "Barrier", PY_AWAIT_BARRIER, PY_AWAIT_CONDITION, SELF},
    {"queues.py", "get", "Queue", PY_AWAIT_QUEUE_GET, PY_AWAIT_NONE, SELF},
    {"queues.py", "put", "Queue", PY_AWAIT_QUEUE_PUT, PY_AWAIT_NONE, SELF},
    {"queues.py", "join", "Queue", PY_AWAIT_QUEUE_JOIN, PY_AWAIT_EVENT, SELF},
    {"tasks.py", "sleep", NULL, PY_AWAIT_SLEEP, PY_AWAIT_NONE, TIMER},
    {"tasks.py", "__sleep0", NULL, PY_AWAIT_YIELD, PY_AWAIT_NONE, NOTHING},
    {"tasks.py", "_wait", NULL, PY_AWAIT_SEVERAL, PY_AWAIT_NONE, TIMEOUT},
    {"tasks.py", "_wait_for_one", NULL, PY_AWAIT_SEVERAL, PY_AWAIT_QUEUE_GET, NOTHING},
    {"tasks.py", "wait_for", NULL, PY_AWAIT_TASK, PY_AWAIT_NONE, LOCAL_FUT},
    {"taskgroups.py", "_aexit", "TaskGroup", PY_AWAIT_SEVERAL, PY_AWAIT_NONE, SELF},
    {"taskgroups.py", "__aexit__", "TaskGroup", PY_AWAIT_SEVERAL, PY_AWAIT_NONE, SELF},
    {"streams.py", "_wait_for_data", "StreamReader", PY_AWAIT_READ, PY_AWAIT_NONE, TRANSPORT},
    {"streams.py", "_drain_helper", NULL, PY_AWAIT_WRITE, PY_AWAIT_NONE, TRANSPORT},
    {"streams.py", "drain", "StreamWriter", PY_AWAIT_WRITE, PY_AWAIT_WRITE, TRANSPORT},
    {"selector_events.py", "sock_recv", NULL, PY_AWAIT_READ, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"selector_events.py", "sock_recv_into", NULL, PY_AWAIT_READ, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"selector_events.py", "sock_recvfrom", NULL, PY_AWAIT_READ, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"selector_events.py", "sock_recvfrom_into", NULL, PY_AWAIT_READ, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"selector_events.py", "sock_sendall", NULL, PY_AWAIT_WRITE, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"selector_events.py", "sock_sendto", NULL, PY_AWAIT_WRITE, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"selector_events.py", "sock_connect", NULL, PY_AWAIT_CONNECT, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"selector_events.py", "sock_accept", NULL, PY_AWAIT_ACCEPT, PY_AWAIT_NONE, LOCAL_SOCKET},
    {"base_events.py", "wait_closed", "Server", PY_AWAIT_ACCEPT, PY_AWAIT_NONE, SERVER},
    {"base_events.py", "serve_forever", "Server", PY_AWAIT_ACCEPT, PY_AWAIT_NONE, SERVER},
    {"base_subprocess.py", "_wait", NULL, PY_AWAIT_CHILD, PY_AWAIT_NONE, SELF},
    {"subprocess.py", "wait", "Process", PY_AWAIT_CHILD, PY_AWAIT_CHILD, SELF},
    {"subprocess.py", "wait", "Process", PY_AWAIT_CHILD, PY_AWAIT_NONE, SELF}, // of uvloop
    // trio 0.20 to 0.35.
    {"_run.py", "_nested_child_finished", "Nursery", PY_AWAIT_SEVERAL, PY_AWAIT_NONE, SELF},
    {"_sync.py", "wait", "Event", PY_AWAIT_EVENT, PY_AWAIT_NONE, SELF},
    {"_sync.py", "acquire", "_LockImpl", PY_AWAIT_LOCK, PY_AWAIT_NONE, SELF},
    {"_sync.py", "wait", "Condition", PY_AWAIT_CONDITION, PY_AWAIT_NONE, SELF},
    {"_sync.py", "acquire", "Semaphore", PY_AWAIT_SEMAPHORE, PY_AWAIT_NONE, SELF},
    {"_sync.py", "acquire_on_behalf_of", "CapacityLimiter", PY_AWAIT_SEMAPHORE, PY_AWAIT_NONE,
     SELF},
    {"_channel.py", "receive", "MemoryReceiveChannel", PY_AWAIT_QUEUE_GET, PY_AWAIT_NONE, SELF},
    {"_channel.py", "send", "MemorySendChannel", PY_AWAIT_QUEUE_PUT, PY_AWAIT_NONE, SELF},
    {"_timeouts.py", "sleep_forever", NULL, PY_AWAIT_SLEEP, PY_AWAIT_NONE, NOTHING},
    {"_io_epoll.py", "wait_readable", NULL, PY_AWAIT_READ, PY_AWAIT_NONE, NOTHING},
    {"_io_epoll.py", "wait_writable", NULL, PY_AWAIT_WRITE, PY_AWAIT_NONE, NOTHING},
    {"_threads.py", "to_thread_run_sync", NULL, PY_AWAIT_EXECUTOR, PY_AWAIT_NONE, NOTHING},
};

struct search {
    struct py_futures *futures;
    struct py_decoder *dec;
    const struct py_frame *frame;
    struct py_slots slots;
    uint64_t self;
    struct py_await *ret;
};

static uint64_t attribute(const struct search *s, uint64_t object, const char *name)
{
    uint64_t value = 0;
    if (!object)
        return 0;
    AUTO_ERR struct err *err = py_attr(s->dec, object, name, &value);
    return err || py_is_none(s->futures, value) ? 0 : value;
}

static uint64_t local(const struct search *s, const char *name)
{
    uint64_t value = py_slots_find(s->dec, s->frame, &s->slots, name);
    return py_is_none(s->futures, value) ? 0 : value;
}

// ---- Frames --------------------------------------------------------------------------------------

// The name of a file of asyncio or trio itself; NULL: it is another one.
static const char *library_file(const struct search *s)
{
    static const char *const folders[] = {"/asyncio", "/trio", "/trio/_core"};
    const char *path = strtab_get(s->dec->strings, s->frame->file);
    const char *base = path ? strrchr(path, '/') : NULL;
    for (size_t i = 0; base && i < ARRAY_SIZE(folders); i++) {
        size_t size = strlen(folders[i]);
        if ((size_t)(base - path) >= size && memcmp(base - size, folders[i], size) == 0)
            return base + 1;
    }
    return NULL;
}

// The next row for the function at hand, from `row` on; NULL: none.
static const struct row *next_row(const struct search *s, const char *file, const struct row *row)
{
    const char *name = strtab_get(s->dec->strings, s->frame->name);
    for (; name && row < rows + ARRAY_SIZE(rows); row++)
        if (strcmp(name, row->function) == 0 && strcmp(file, row->file) == 0)
            return row;
    return NULL;
}

// ---- What the wait is about -----------------------------------------------------------------------

// TimerHandle._when, a float.
static void take_time(const struct search *s, uint64_t handle)
{
    uint64_t when = attribute(s, handle, "_when");
    if (!strtab_is(s->dec->strings, py_type_name(s->dec, when), "float"))
        return;
    AUTO_ERR struct err *err =
        mem_read(s->dec->mem, when + py_offset(&s->dec->layout, PY_FLOAT_value), &s->ret->when_s,
                 sizeof(s->ret->when_s));
    s->ret->has_when = !err;
}

static void take_socket(const struct search *s, uint64_t socket)
{
    int32_t fd = py_fd_of(s->dec, socket, "_socket.socket");
    if (fd >= 0)
        s->ret->fd = fd;
}

// _SelectorTransport._sock; of TLS, the transport below it.
static void take_transport(const struct search *s, uint64_t transport)
{
    for (int i = 0; transport && i < 3; i++) {
        uint64_t socket = attribute(s, transport, "_sock");
        if (socket) {
            take_socket(s, socket);
            return;
        }
        uint64_t protocol = attribute(s, transport, "_ssl_protocol");
        transport = attribute(s, protocol, "_transport");
    }
}

static bool take_first(void *arg, uint64_t socket)
{
    take_socket(arg, socket);
    return false;
}

static void take_server(struct search *s)
{
    uint64_t sockets = attribute(s, s->self, "_sockets");
    if (py_is_a(s->dec, sockets, "list"))
        err_destroy(py_list_walk(s->dec, sockets, take_first, s));
}

// Up to 3.11 wait_for() makes a task of what it waits for, and awaits a future beside it.
static void take_inner(const struct search *s)
{
    struct py_future inner;
    uint64_t fut = local(s, "fut");
    take_time(s, local(s, "timeout_handle"));
    AUTO_ERR struct err *err = fut ? py_future_read(s->futures, fut, &inner) : NULL;
    bool known = fut && !err && inner.kind;
    s->ret->object = known ? fut : 0;
    s->ret->kind = PY_AWAIT_NONE; // what it is, the future itself says
}

static void apply(struct search *s, const struct row *row)
{
    s->ret->kind = row->kind;
    s->ret->object = row->class_name || row->from == SELF ? s->self : 0;
    switch (row->from) {
    case TIMER:
        take_time(s, local(s, "h"));
        break;
    case TIMEOUT:
        take_time(s, local(s, "timeout_handle"));
        break;
    case LOCAL_SOCKET:
        s->ret->object = local(s, "sock");
        take_socket(s, s->ret->object);
        break;
    case TRANSPORT:
        if (s->ret->fd < 0)
            take_transport(s, attribute(s, s->self, "_transport"));
        break;
    case SERVER:
        take_server(s);
        break;
    case LOCAL_FUT:
        take_inner(s);
        break;
    default:
        break;
    }
}

// ---- Without frames -------------------------------------------------------------------------------

// An awaitable of somebody else's, without a frame: what it is about is not known.
static bool is_foreign(const struct search *s, uint64_t end)
{
    struct py_future future;
    AUTO_ERR struct err *err = end ? py_future_read(s->futures, end, &future) : NULL;
    return end && !err && !future.kind;
}

static void from_future(const struct search *s, uint64_t object)
{
    struct py_future future;
    struct py_objects awaiters = {0};
    struct py_await *ret = s->ret;
    AUTO_ERR struct err *err = py_future_read(s->futures, object, &future);
    if (err || !future.kind)
        return;
    ret->object = object;
    ret->kind = future.kind == PY_TASK ? PY_AWAIT_TASK
                : future.gathering     ? PY_AWAIT_SEVERAL
                                       : PY_AWAIT_FUTURE;
    if (ret->kind != PY_AWAIT_FUTURE)
        return;
    err_destroy(py_future_awaiters(s->futures, &future, &awaiters, &ret->job));
    vec_deinit(&awaiters);
    if (ret->job)
        ret->kind = PY_AWAIT_EXECUTOR;
}

static void from_object(const struct search *s, const struct py_future *task, uint64_t end)
{
    if (s->ret->object) {
        from_future(s, s->ret->object);
    } else if (is_foreign(s, end)) {
        s->ret->kind = PY_AWAIT_OTHER;
        s->ret->object = end;
    } else if (task->waiter || end) {
        from_future(s, task->waiter ? task->waiter : end);
    }
}

void py_await_read(struct py_futures *futures, const struct py_future *task,
                   const struct py_frames *frames, uint64_t end, struct py_await *ret)
{
    struct search s = {.futures = futures, .dec = py_futures_decoder(futures), .ret = ret};
    *ret = (struct py_await){.fd = -1, .waiting = UINT32_MAX};
    for (uint32_t i = 0; i < frames->count && i < CHAIN_MAX; i++) {
        s.frame = &frames->items[i];
        const char *file = library_file(&s);
        if (!file) {
            ret->waiting = i;
            break;
        }
        const struct row *row = next_row(&s, file, rows);
        AUTO_ERR struct err *err = row ? py_slots_read(s.dec, s.frame, &s.slots) : NULL;
        if (!row || err)
            continue;
        s.self =
            row->class_name || row->from == SELF || row->from == TRANSPORT ? local(&s, "self") : 0;
        while (row && (row->over != ret->kind ||
                       (row->class_name && !py_is_a(s.dec, s.self, row->class_name))))
            row = next_row(&s, file, row + 1);
        if (row)
            apply(&s, row);
    }
    if (ret->kind == PY_AWAIT_NONE)
        from_object(&s, task, end);
    ret->type = py_type_name(s.dec, ret->object);
}

// ---- Locks that are held --------------------------------------------------------------------------

// asyncio.Lock, or that of a Condition; 0: it is neither, or free.
static uint64_t lock_of(const struct search *s, uint64_t manager)
{
    uint64_t lock = manager;
    if (py_is_a(s->dec, manager, "Condition"))
        lock = attribute(s, manager, "_lock");
    return lock && py_is_a(s->dec, lock, "Lock") ? lock : 0;
}

// threading.Lock, in the `with` block of a coroutine that waits in there.
static uint64_t plain_lock_of(const struct search *s, uint32_t index)
{
    struct py_lock lock = {0};
    uint64_t manager =
        s->slots.objects[index] ? py_with_manager(s->dec, &s->slots, index, "__exit__") : 0;
    AUTO_ERR struct err *err = manager ? py_lock_read(s->dec, manager, &lock) : NULL;
    return !err && lock.kind == PY_LOCK_PLAIN && lock.locked ? manager : 0;
}

// The lock that the task is about to take, though its `async with` has begun, and the one that a
// Condition gave away for as long as it waits.
static uint64_t lock_not_held(const struct search *s, const struct py_await *await)
{
    return await->kind == PY_AWAIT_LOCK        ? await->object
           : await->kind == PY_AWAIT_CONDITION ? attribute(s, await->object, "_lock")
                                               : 0;
}

#define ACQUIRED_MAX 4 // in one frame

// await lock.acquire(), with the release() still to come. The one that it waits for was called, too, but
// has not returned; unless it is the second call.
static struct err *held_by_call(struct search *s, uint64_t *not_held, struct py_objects *ret,
                                bool *any)
{
    struct py_acquired acquired[ACQUIRED_MAX];
    const char *name = strtab_get(s->dec->strings, s->frame->name);
    // What __aenter__() takes is the block's, which is found as such.
    bool of_block = library_file(s) || !name || strcmp(name, "__aenter__") == 0;
    size_t count =
        of_block ? 0 : py_acquired(s->dec, s->frame, &s->slots, PY_ACQUIRE, acquired, ACQUIRED_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t lock = acquired[i].awaited ? lock_of(s, acquired[i].object) : 0;
        bool waits = lock && lock == *not_held;
        *any = true;
        if (waits)
            *not_held = 0;
        if (lock && (!waits || acquired[i].again) && py_is_true(s->dec, attribute(s, lock, "_locked")) &&
            !vec_push(ret, lock))
            return err_create(ERR_NO_MEMORY, "locks");
    }
    return NULL;
}

// Managers lie on the value stack of a frame by where it stands: `any` says whether there are some.
static struct err *held_in_frame(struct search *s, uint64_t *not_held, struct py_objects *ret,
                                 bool *any)
{
    AUTO_ERR struct err *err = py_slots_read(s->dec, s->frame, &s->slots);
    *any = err != NULL;
    for (uint32_t i = s->slots.locals; !err && i < s->slots.live; i++) {
        uint64_t manager = py_with_manager(s->dec, &s->slots, i, "__aexit__");
        uint64_t plain = manager ? 0 : plain_lock_of(s, i);
        uint64_t lock = manager ? lock_of(s, manager) : plain;
        *any |= manager != 0 || plain != 0;
        if (lock && lock == *not_held)
            *not_held = 0; // once: it may have taken it before
        else if (lock && !vec_push(ret, lock))
            return err_create(ERR_NO_MEMORY, "locks");
    }
    return err ? NULL : held_by_call(s, not_held, ret, any);
}

struct err *py_await_held(struct py_futures *futures, const struct py_await *await,
                          const struct py_frames *frames, struct py_objects *ret)
{
    struct search s = {.futures = futures, .dec = py_futures_decoder(futures)};
    uint64_t not_held = lock_not_held(&s, await);
    for (size_t i = 0; i < frames->count; i++) {
        s.frame = &frames->items[i];
        uint64_t site =
            hash_u64(hash_u64(HASH_SEED, s.frame->code_addr), (uint64_t)s.frame->offset_bytes);
        uint64_t *plain = py_futures_plain_site(futures, site);
        bool any;
        if (*plain == site)
            continue;
        TRY(held_in_frame(&s, &not_held, ret, &any));
        if (!any)
            *plain = site;
    }
    return NULL;
}
