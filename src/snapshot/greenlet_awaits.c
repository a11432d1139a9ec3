// SPDX-License-Identifier: GPL-3.0-or-later
// What a suspended greenlet waits for. gevent's primitives are compiled by Cython and have no
// Python frame: there the call that the innermost frame is inside of tells, and its value stack has
// the object. From there outwards, frames of gevent, eventlet and of what they replace in the
// standard library say what it is part of, until a frame of the program is met.
#include <string.h>

#include "cpython/lock.h"
#include "snapshot/greenlets.h"
#include "util/guard.h"

#define LIBRARY_FRAMES_MAX 24
#define SELF_MAX_BYTES 512
#define ATTRIBUTES_MAX 64 // of a socket's object
// Of all greenlets in one snapshot: objects whose names are looked for, sockets, slots of frames.
#define PATHS_MAX 500
#define SOCKETS_MAX 50000
#define SLOTS_MAX (10u << 20)

struct call_row {
    const char *module, *method;
    enum snap_await_kind kind;
};

// gevent 1.3 to 26: gevent/__init__.py, "_gevent_c*" of setup.py.
static const struct call_row calls[] = {
    {"gevent._gevent_cqueue", "get", SNAP_AWAIT_QUEUE_GET},
    {"gevent._gevent_cqueue", "peek", SNAP_AWAIT_QUEUE_GET},
    {"gevent._gevent_cqueue", "put", SNAP_AWAIT_QUEUE_PUT},
    {"gevent._gevent_cqueue", "join", SNAP_AWAIT_QUEUE_JOIN},
    {"gevent._gevent_cevent", "wait", SNAP_AWAIT_EVENT},
    {"gevent._gevent_cevent", "get", SNAP_AWAIT_FUTURE}, // AsyncResult
    {"gevent._gevent_c_semaphore", "acquire", SNAP_AWAIT_SEMAPHORE},
    {"gevent._gevent_c_semaphore", "wait", SNAP_AWAIT_SEMAPHORE},
    {"gevent._gevent_c_semaphore", "__enter__", SNAP_AWAIT_SEMAPHORE},
    {"gevent._gevent_cgreenlet", "join", SNAP_AWAIT_TASK},
    {"gevent._gevent_cgreenlet", "get", SNAP_AWAIT_TASK},
    {"gevent._gevent_cgreenlet", "joinall", SNAP_AWAIT_SEVERAL},
    {"gevent._gevent_c_hub_primitives", "wait_on_objects", SNAP_AWAIT_SEVERAL},
    {"gevent._gevent_c_hub_primitives", "wait_read", SNAP_AWAIT_READ},
    {"gevent._gevent_c_hub_primitives", "wait_write", SNAP_AWAIT_WRITE},
};

enum what { NO_OBJECT, SELF, SOCKET };

struct frame_row {
    const char *file, *function, *class_name; // function NULL: any; class_name NULL: no self
    enum snap_await_kind kind;                // SNAP_AWAIT_NONE: it stands in between
    enum what object;
};

// The outermost that is met decides.
static const struct frame_row frames[] = {
    {"gevent/hub.py", "sleep", NULL, SNAP_AWAIT_SLEEP, NO_OBJECT},
    {"gevent/_socketcommon.py", "recv", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socketcommon.py", "recvfrom", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socketcommon.py", "recvfrom_into", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socketcommon.py", "recv_into", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socketcommon.py", "recvmsg", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socketcommon.py", "send", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socketcommon.py", "sendto", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socketcommon.py", "sendall", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socketcommon.py", "sendmsg", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socketcommon.py", "connect", NULL, SNAP_AWAIT_CONNECT, SOCKET},
    {"gevent/_socketcommon.py", "_internal_connect", NULL, SNAP_AWAIT_CONNECT, SOCKET},
    {"gevent/_socketcommon.py", "accept", NULL, SNAP_AWAIT_ACCEPT, SOCKET},
    {"gevent/_socketcommon.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"gevent/_socket3.py", "recv", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socket3.py", "recvfrom", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socket3.py", "recvfrom_into", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socket3.py", "recv_into", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socket3.py", "recvmsg", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/_socket3.py", "send", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socket3.py", "sendto", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socket3.py", "sendall", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socket3.py", "sendmsg", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/_socket3.py", "connect", NULL, SNAP_AWAIT_CONNECT, SOCKET},
    {"gevent/_socket3.py", "_internal_connect", NULL, SNAP_AWAIT_CONNECT, SOCKET},
    {"gevent/_socket3.py", "accept", NULL, SNAP_AWAIT_ACCEPT, SOCKET},
    {"gevent/_socket3.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"gevent/ssl.py", "read", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/ssl.py", "write", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"gevent/ssl.py", "do_handshake", NULL, SNAP_AWAIT_READ, SOCKET},
    {"gevent/ssl.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"gevent/thread.py", "acquire", NULL, SNAP_AWAIT_LOCK, SELF},
    {"gevent/lock.py", "acquire", "RLock", SNAP_AWAIT_LOCK, SELF},
    {"gevent/lock.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"gevent/subprocess.py", "wait", NULL, SNAP_AWAIT_CHILD, NO_OBJECT},
    {"gevent/subprocess.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"gevent/pool.py", "apply", "ThreadPool", SNAP_AWAIT_EXECUTOR, SELF},
    {"gevent/pool.py", "apply", NULL, SNAP_AWAIT_TASK, NO_OBJECT},
    {"gevent/pool.py", "join", NULL, SNAP_AWAIT_SEVERAL, SELF},
    {"gevent/baseserver.py", "serve_forever", NULL, SNAP_AWAIT_ACCEPT, NO_OBJECT},
    // PURE_PYTHON
    {"gevent/queue.py", "get", NULL, SNAP_AWAIT_QUEUE_GET, SELF},
    {"gevent/queue.py", "put", NULL, SNAP_AWAIT_QUEUE_PUT, SELF},
    {"gevent/queue.py", "join", NULL, SNAP_AWAIT_QUEUE_JOIN, SELF},
    {"gevent/queue.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    // The standard library, where it was patched
    {"threading.py", "wait", "Condition", SNAP_AWAIT_CONDITION, SELF},
    {"threading.py", "wait", "Event", SNAP_AWAIT_EVENT, SELF},
    {"threading.py", "wait", "Barrier", SNAP_AWAIT_BARRIER, SELF},
    {"threading.py", "acquire", "Semaphore", SNAP_AWAIT_SEMAPHORE, SELF},
    {"threading.py", "join", "Thread", SNAP_AWAIT_TASK, SELF},
    {"threading.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    // eventlet 0.3x, 0.4x
    {"eventlet/hubs/hub.py", "switch", NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"eventlet/hubs/__init__.py", "trampoline", NULL, SNAP_AWAIT_READ, SOCKET},
    {"eventlet/greenthread.py", "sleep", NULL, SNAP_AWAIT_SLEEP, NO_OBJECT},
    {"eventlet/greenthread.py", "wait", NULL, SNAP_AWAIT_TASK, SELF},
    {"eventlet/event.py", "wait", NULL, SNAP_AWAIT_EVENT, SELF},
    {"eventlet/semaphore.py", "acquire", NULL, SNAP_AWAIT_SEMAPHORE, SELF},
    {"eventlet/semaphore.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"eventlet/queue.py", "get", "LightQueue", SNAP_AWAIT_QUEUE_GET, SELF},
    {"eventlet/queue.py", "put", "LightQueue", SNAP_AWAIT_QUEUE_PUT, SELF},
    {"eventlet/queue.py", "join", "LightQueue", SNAP_AWAIT_QUEUE_JOIN, SELF},
    {"eventlet/queue.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    {"eventlet/tpool.py", "execute", NULL, SNAP_AWAIT_EXECUTOR, NO_OBJECT},
    {"eventlet/greenio/base.py", "accept", NULL, SNAP_AWAIT_ACCEPT, SOCKET},
    {"eventlet/greenio/base.py", "connect", NULL, SNAP_AWAIT_CONNECT, SOCKET},
    {"eventlet/greenio/base.py", "_recv_loop", NULL, SNAP_AWAIT_READ, SOCKET},
    {"eventlet/greenio/base.py", "_send_loop", NULL, SNAP_AWAIT_WRITE, SOCKET},
    {"eventlet/greenio/base.py", NULL, NULL, SNAP_AWAIT_NONE, NO_OBJECT},
    // ... and what has the same name as some above
    {"queue.py", "get", "Queue", SNAP_AWAIT_QUEUE_GET, SELF},
    {"queue.py", "put", "Queue", SNAP_AWAIT_QUEUE_PUT, SELF},
    {"queue.py", "join", "Queue", SNAP_AWAIT_QUEUE_JOIN, SELF},
};

struct search {
    struct greenlets *g;
    struct py_decoder *dec;
    struct snap_await *ret;
    size_t attributes;
};

// ---- The innermost call -------------------------------------------------------------------------

struct base_search {
    const struct py_decoder *dec;
    const char *module;
    bool found;
};

static bool visit_base(void *arg, const struct py_type_info *base)
{
    struct base_search *search = arg;
    const char *name = strtab_get(search->dec->strings, base->name);
    size_t size = strlen(search->module);
    search->found = name && strncmp(name, search->module, size) == 0 && name[size] == '.';
    return !search->found;
}

// Its class, or one of its bases, comes from that module.
static bool is_of_module(struct py_decoder *dec, uint64_t object, const char *module)
{
    struct base_search search = {.dec = dec, .module = module};
    struct py_type_info type;
    if (!object)
        return false;
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    AUTO_ERR struct err *unread = err ? NULL : py_bases_walk(dec, type.addr, visit_base, &search);
    return search.found;
}

// By what was called, as the frame's builtin has it: "{built-in method MODULE.NAME}" or "{method
// 'NAME' of 'MODULE.CLASS' objects}".
static const struct call_row *row_of_call(const struct py_decoder *dec,
                                          const struct py_frame *frame)
{
    const char *name = strtab_get(dec->strings, frame->call_name);
    const char *full = strtab_get(dec->strings, frame->call_qualname);
    for (size_t i = 0; name && full && i < ARRAY_SIZE(calls); i++) {
        const char *module = strstr(full, calls[i].module);
        if (module && module[strlen(calls[i].module)] == '.' && strcmp(name, calls[i].method) == 0)
            return &calls[i];
    }
    return NULL;
}

// The name in the bytecode, where what was called is not on the stack any more.
static const char *method_name(struct py_decoder *dec, const struct py_slots *slots)
{
    const struct py_callsite *site = &slots->site;
    uint64_t object;
    uint32_t name;
    if (!slots->has_site)
        return NULL;
    if (site->kind == PY_CALL_ENTER)
        return "__enter__";
    if ((site->name_kind != PY_NAME_ATTR && site->name_kind != PY_NAME_METHOD) ||
        site->name_index < 0)
        return NULL;
    AUTO_ERR struct err *err =
        py_tuple_item(dec, slots->code->names_addr, (size_t)site->name_index, &object);
    AUTO_ERR struct err *unread = err ? NULL : py_str_id(dec, object, &name);
    return err || unread ? NULL : strtab_get(dec->strings, name);
}

// What the method was called on lies beside it or in its place, or is what it is bound to.
static uint64_t object_of_call(struct py_decoder *dec, const struct py_slots *slots,
                               const char *module)
{
    for (uint32_t i = slots->live; i < slots->count && i < slots->live + 3; i++) {
        uint64_t object = slots->objects[i], self = py_bound_self(dec, object);
        if (is_of_module(dec, self, module))
            return self;
        if (is_of_module(dec, object, module))
            return object;
    }
    return 0;
}

static void look_at_call(struct search *s, const struct py_frame *frame,
                         const struct py_slots *slots)
{
    const struct call_row *row = row_of_call(s->dec, frame);
    const char *method = row ? NULL : method_name(s->dec, slots);
    if (row)
        s->ret->object = object_of_call(s->dec, slots, row->module);
    for (size_t i = 0; method && !row && i < ARRAY_SIZE(calls); i++) {
        if (strcmp(calls[i].method, method) != 0)
            continue;
        s->ret->object = object_of_call(s->dec, slots, calls[i].module);
        row = s->ret->object ? &calls[i] : NULL;
    }
    if (row)
        s->ret->kind = row->kind;
}

// ---- Sockets ------------------------------------------------------------------------------------

static int32_t fd_of_socket(struct py_decoder *dec, uint64_t object)
{
    return py_fd_of(dec, object, "_socket.socket");
}

static bool visit_attribute(void *arg, uint64_t key, uint64_t value)
{
    struct search *s = arg;
    (void)key;
    s->ret->fd = fd_of_socket(s->dec, value);
    return s->ret->fd < 0 && s->attributes++ < ATTRIBUTES_MAX;
}

// gevent keeps the real socket in a slot, eventlet in an attribute.
static void find_socket(struct search *s, uint64_t object)
{
    struct py_type_info type;
    uint64_t words[SELF_MAX_BYTES / 8], size = 0;
    AUTO_ERR struct err *err = py_type_of(s->dec, object, &type);
    if (err)
        return;
    s->ret->fd = fd_of_socket(s->dec, object);
    AUTO_ERR struct err *unsized =
        py_read(s->dec->mem, &s->dec->layout, type.addr, PY_TYPE_basicsize, &size);
    if (unsized || s->ret->fd >= 0)
        return;
    size = mem_read_some(s->dec->mem, object, words, size < sizeof(words) ? size : sizeof(words));
    for (size_t i = py_head_bytes(s->dec) / 8; i < size / 8; i++)
        if (s->ret->fd < 0 && words[i])
            s->ret->fd = fd_of_socket(s->dec, words[i]);
    if (s->ret->fd >= 0)
        return;
    struct err *walked = py_instance_walk(s->dec, object, visit_attribute, s);
    err_destroy(walked);
}

static bool is_true(struct py_decoder *dec, uint64_t object)
{
    uint32_t digit = 0;
    if (!py_is_a(dec, object, "bool"))
        return false;
    AUTO_ERR struct err *err =
        mem_read_u32(dec->mem, object + py_offset(&dec->layout, PY_LONG_digits), &digit);
    return !err && digit == 1;
}

static void find_fd(struct search *s, uint64_t self, const struct py_frame *frame,
                    const struct py_slots *slots)
{
    int64_t number = -1;
    if (self) {
        s->ret->object = self;
        find_socket(s, self);
        return;
    }
    uint64_t object = py_slots_find(s->dec, frame, slots, "fileno"); // eventlet's trampoline()
    AUTO_ERR struct err *err = object ? py_int(s->dec, object, &number) : NULL;
    if (!err && number >= 0 && number <= INT32_MAX)
        s->ret->fd = (int32_t)number;
    if (is_true(s->dec, py_slots_find(s->dec, frame, slots, "write")))
        s->ret->kind = SNAP_AWAIT_WRITE;
}

// ---- All of it ----------------------------------------------------------------------------------

static const struct frame_row *row_of_frame(struct py_decoder *dec, const struct py_frame *frame,
                                            uint64_t self)
{
    for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
        if (py_frame_is(dec, frame, frames[i].file, frames[i].function) &&
            (!frames[i].class_name || py_is_a(dec, self, frames[i].class_name)))
            return &frames[i];
    return NULL;
}

static void apply(struct search *s, const struct frame_row *row, uint64_t self,
                  const struct py_frame *frame, const struct py_slots *slots)
{
    if (!row->kind)
        return;
    s->ret->kind = row->kind;
    if (row->object == SELF)
        s->ret->object = self;
    if (row->object == SOCKET && s->ret->fd < 0 && s->g->sockets++ < SOCKETS_MAX)
        find_fd(s, self, frame, slots);
}

static void describe_fd(struct search *s)
{
    struct kernel_facts *kernel = s->g->in->kernel;
    const struct kernel_fd *fd = kernel && s->ret->fd >= 0 ? kernel_fd(kernel, s->ret->fd) : NULL;
    if (fd && fd->text)
        s->ret->what = strtab_add_cstr(s->dec->strings, fd->text);
}

uint32_t greenlets_short_name(struct strtab *strings, uint32_t name)
{
    const char *text = strtab_get(strings, name), *dot = text ? strrchr(text, '.') : NULL;
    return dot ? strtab_add_cstr(strings, dot + 1) : name;
}

void greenlets_read_await(struct greenlets *g, const struct py_stack *stack, struct snap_await *ret)
{
    struct search s = {.g = g, .dec = &g->process->dec, .ret = ret};
    struct py_slots slots;
    for (size_t i = 0; i < stack->frames.count && i < LIBRARY_FRAMES_MAX; i++) {
        const struct py_frame *frame = &stack->frames.items[i];
        AUTO_ERR struct err *err = py_slots_read(s.dec, frame, &slots);
        if (err || (g->slots += slots.count) > SLOTS_MAX)
            break;
        uint64_t self = py_slots_find(s.dec, frame, &slots, "self");
        const struct frame_row *row = row_of_frame(s.dec, frame, self);
        if (i == 0)
            look_at_call(&s, frame, &slots);
        if (row) {
            apply(&s, row, self, frame, &slots);
            continue;
        }
        if (ret->object && ret->fd < 0 && g->paths++ < PATHS_MAX)
            ret->what = py_path_to(s.dec, frame, &slots, ret->object);
        break;
    }
    if (ret->object)
        ret->type = greenlets_short_name(s.dec->strings, py_type_name(s.dec, ret->object));
    describe_fd(&s);
}
