// SPDX-License-Identifier: GPL-3.0-or-later
// What a thread waits for: the kernel's side and Python's put together.
#include <stdio.h>
#include <string.h>

#include "cpython/lock.h"
#include "snapshot/details_build.h"
#include "util/guard.h"

static enum snap_wait_kind from_kernel(enum wait_call_kind kind)
{
    static const enum snap_wait_kind kinds[] = {
        [WAIT_CALL_NONE] = SNAP_WAIT_SYSCALL,        [WAIT_CALL_READ] = SNAP_WAIT_READ,
        [WAIT_CALL_WRITE] = SNAP_WAIT_WRITE,         [WAIT_CALL_ACCEPT] = SNAP_WAIT_ACCEPT,
        [WAIT_CALL_CONNECT] = SNAP_WAIT_CONNECT,     [WAIT_CALL_POLL] = SNAP_WAIT_POLL,
        [WAIT_CALL_SLEEP] = SNAP_WAIT_SLEEP,         [WAIT_CALL_CHILD] = SNAP_WAIT_CHILD,
        [WAIT_CALL_SIGNAL] = SNAP_WAIT_SIGNAL,       [WAIT_CALL_FUTEX] = SNAP_WAIT_FUTEX,
        [WAIT_CALL_FILE_LOCK] = SNAP_WAIT_FILE_LOCK,
    };
    return kinds[kind];
}

static enum snap_wait_kind from_python(enum py_wait_kind kind)
{
    static const enum snap_wait_kind kinds[] = {
        [PY_WAIT_NONE] = SNAP_WAIT_NONE,           [PY_WAIT_LOCK] = SNAP_WAIT_LOCK,
        [PY_WAIT_RLOCK] = SNAP_WAIT_RLOCK,         [PY_WAIT_CONDITION] = SNAP_WAIT_CONDITION,
        [PY_WAIT_EVENT] = SNAP_WAIT_EVENT,         [PY_WAIT_SEMAPHORE] = SNAP_WAIT_SEMAPHORE,
        [PY_WAIT_BARRIER] = SNAP_WAIT_BARRIER,     [PY_WAIT_QUEUE_GET] = SNAP_WAIT_QUEUE_GET,
        [PY_WAIT_QUEUE_PUT] = SNAP_WAIT_QUEUE_PUT, [PY_WAIT_QUEUE_JOIN] = SNAP_WAIT_QUEUE_JOIN,
        [PY_WAIT_JOIN] = SNAP_WAIT_JOIN,           [PY_WAIT_FUTURE] = SNAP_WAIT_FUTURE,
        [PY_WAIT_IMPORT] = SNAP_WAIT_IMPORT,       [PY_WAIT_LOGGING] = SNAP_WAIT_LOGGING,
    };
    return kinds[kind];
}

// ---- Descriptors --------------------------------------------------------------------------------

static bool owns_fd(struct py_decoder *dec, uint64_t object, int32_t fd)
{
    static const char *const classes[] = {"_socket.socket", "_io.FileIO", "select.epoll"};
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        if (py_fd_of(dec, object, classes[i]) == fd)
            return true;
    return false;
}

// buffered (Modules/_io/bufferedio.c): raw behind the head; textio (textio.c): buffer two words later.
static uint64_t inner_file(struct py_decoder *dec, uint64_t object)
{
    bool text = py_is_a(dec, object, "_io.TextIOWrapper");
    uint64_t inner;
    if (!text && !py_is_a(dec, object, "_io._BufferedIOBase"))
        return 0;
    AUTO_ERR struct err *err =
        mem_read_u64(dec->mem, object + py_head_bytes(dec) + (text ? 16 : 0), &inner);
    return err ? 0 : inner;
}

static bool leads_to_fd(struct py_decoder *dec, uint64_t object, int32_t fd)
{
    for (int depth = 0; object && depth < 3; depth++) {
        if (owns_fd(dec, object, fd))
            return true;
        object = inner_file(dec, object);
    }
    return false;
}

// The object of the innermost frames that has the descriptor.
static void find_file_object(const struct details_thread *of, struct snap_wait *wait)
{
    const struct py_stack *stack = of->stack_count ? of->stacks[0] : NULL;
    struct py_slots slots;
    for (size_t i = 0; stack && i < stack->frames.count && i < 4 && !wait->object; i++) {
        AUTO_ERR struct err *err = py_slots_read(of->dec, &stack->frames.items[i], &slots);
        for (uint32_t k = 0; !err && k < slots.count && !wait->object; k++) {
            uint64_t object = py_slots_value(of->dec, slots.objects[k]);
            uint64_t self = py_bound_self(of->dec, object);
            object = self ? self : object;
            if (!object || !leads_to_fd(of->dec, object, wait->fd))
                continue;
            wait->object = object;
            wait->type = py_type_name(of->dec, object);
        }
    }
}

static void describe_fd(const struct details_thread *of, struct snap_wait *wait)
{
    const struct kernel_fd *fd = kernel_fd(of->in->kernel, wait->fd);
    if (fd && fd->text)
        wait->what = strtab_add_cstr(of->in->strings, fd->text);
}

static struct err *keep_fds(const int32_t *fds, size_t count, size_t known, struct snap_wait *wait)
{
    wait->fd_count = known;
    for (size_t i = 0; i < count; i++)
        if (!vec_push(&wait->fds, fds[i]))
            return err_create(ERR_NO_MEMORY, "descriptors");
    return NULL;
}

static struct err *read_descriptors(const struct details_thread *of, const struct wait_call *call,
                                    struct snap_wait *wait)
{
    wait->fd = call->fd;
    if (call->epoll >= 0) {
        const struct kernel_fd *set = kernel_fd(of->in->kernel, call->epoll);
        if (set)
            TRY(keep_fds(set->set.items, set->set.count, set->set_count, wait));
        if (wait->fd_count == 1 && wait->fds.count)
            wait->fd = wait->fds.items[0];
    } else if (call->kind == WAIT_CALL_POLL) {
        TRY(keep_fds(call->fds.items, call->fds.count, call->fd_count, wait));
    }
    if (wait->fd < 0)
        return NULL;
    describe_fd(of, wait);
    if (of->dec)
        find_file_object(of, wait);
    return NULL;
}

// ---- Locks --------------------------------------------------------------------------------------

static bool calls(const struct details_thread *of, const char *part)
{
    size_t seen = 0;
    vec_foreach (frame, &of->thread->frames) {
        const char *name = strtab_get(of->in->strings, frame->function);
        if (frame->kind != SNAP_NATIVE || seen++ > 6)
            return false;
        if (name && strstr(name, part))
            return true;
    }
    return false;
}

// glibc's pthread_mutex_t (sysdeps/nptl/bits/struct_mutex.h): lock, count, owner, nusers, kind. A
// waiter sleeps while `lock` is 2.
static bool is_mutex(const struct details_thread *of, const struct wait_call *call)
{
    uint32_t words[5];
    AUTO_ERR struct err *err = mem_read(of->in->target->mem, call->futex, words, sizeof(words));
    if (err || call->futex_value != 2 || words[0] != 2 || !words[2])
        return false;
    for (size_t i = 0; i < of->in->thread_count; i++)
        if ((uint32_t)of->in->threads[i].ns_tid == words[2])
            return true;
    return calls(of, "mutex_lock") || calls(of, "lll_lock_wait");
}

// Not the mutex that pthread_cond_wait() takes again at its end. The operation tells nothing: glibc
// before 2.34 waits without a timeout by FUTEX_WAIT, as for a mutex (nptl/futex-internal.h of 2.31,
// futex_wait_cancelable), later ones by FUTEX_WAIT_BITSET.
static bool is_condition_variable(const struct details_thread *of)
{
    return calls(of, "pthread_cond") && !calls(of, "pthread_mutex") && !calls(of, "lll_lock_wait");
}

static struct err *read_lock(const struct details_thread *of, const struct wait_call *call,
                             struct snap_wait *wait)
{
    struct py_wait python = {0};
    wait->address = call->futex;
    if (of->thread->state == SNAP_GIL_WAIT) {
        wait->kind = SNAP_WAIT_GIL;
        return NULL;
    }
    const struct py_stack *stack = of->stack_count ? of->stacks[0] : NULL;
    if (of->dec && stack && stack->frames.count)
        TRY(py_wait_read(of->dec, stack, call->futex, &python));
    if (python.kind) {
        wait->kind = from_python(python.kind);
        wait->object = python.object;
        wait->lock = python.lock;
        wait->type = python.type;
        wait->what = python.what;
        wait->gives_back = python.gives_back;
        wait->lender.self = python.lender.self;
        wait->lender.method = python.lender.method;
        _Static_assert(sizeof(wait->lender.attrs) == sizeof(python.lender.attrs), "attributes");
        memcpy(wait->lender.attrs, python.lender.attrs, sizeof(wait->lender.attrs));
        wait->loop = python.loop == UINT32_MAX ? UINT32_MAX : details_frame(of, 0, python.loop);
        wait->waiting =
            python.waiting == UINT32_MAX ? UINT32_MAX : details_frame(of, 0, python.waiting);
    } else if (is_mutex(of, call)) {
        wait->kind = SNAP_WAIT_MUTEX;
    } else if (calls(of, "PyMutex_Lock") && python.mutex) {
        wait->kind = SNAP_WAIT_PYMUTEX;
        wait->address = python.mutex;
    } else if (is_condition_variable(of)) {
        wait->kind = SNAP_WAIT_COND;
    }
    return NULL;
}

// ---- Both ---------------------------------------------------------------------------------------

// The innermost frame of Python, where nothing else is known.
static void find_waiting(const struct details_thread *of, struct snap_wait *wait)
{
    for (size_t i = 0; i < of->thread->frames.count && wait->waiting == UINT32_MAX; i++)
        if (of->thread->frames.items[i].kind == SNAP_PYTHON)
            wait->waiting = (uint32_t)i;
}

static struct err *fill(const struct details_thread *of, const struct wait_call *call,
                        struct snap_wait *wait)
{
    wait->kind = from_kernel(call->kind);
    wait->timeout_ns = call->timeout_ns;
    wait->left_ns = call->left_ns;
    wait->limited = call->limited;
    if (call->child) {
        wait->owner = call->child;
        wait->owner_known = SNAP_OBSERVED;
    }
    TRY(call->kind == WAIT_CALL_FUTEX ? read_lock(of, call, wait)
                                      : read_descriptors(of, call, wait));
    if (!wait->what && !snap_wait_is_internal(wait->kind))
        wait->what = of->thread->syscall;
    find_waiting(of, wait);
    return NULL;
}

struct err *details_read_wait(const struct details_thread *of)
{
    static const struct wait_clocks no_clocks;
    if (!of->kernel || !of->kernel->has_regs || !of->thread->syscall)
        return NULL;
    struct arch_regs regs = of->kernel->regs;
    regs.syscall = arch_original_syscall(arch_host(), of->in->target->mem, &regs);
    GUARD(wait_call_deinit) struct wait_call call;
    wait_call_read(of->in->target->mem, arch_host(), &regs,
                   of->in->kernel ? &of->in->kernel->clocks : &no_clocks, &call);
    return fill(of, &call, &of->ret->wait);
}
