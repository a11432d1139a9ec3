// SPDX-License-Identifier: GPL-3.0-or-later
// Words for sentences: threads, places, what is waited for. The target's own text is clean and in
// code marks.
#include <inttypes.h>
#include <string.h>

#include "diagnose/stack.h"
#include "util/guard.h"

// A name in a sentence; the rest of the report has it in full.
#define NAME_COLUMNS 60

void say_code(struct plain *out, const struct diag *diag, uint32_t id)
{
    plain_str(out, DIAG_CODE);
    plain_id(out, diag->strings, id, NAME_COLUMNS, PLAIN_KEEP_START);
    plain_str(out, DIAG_CODE_END);
}

void say_thread(struct plain *out, const struct diag *diag, uint32_t thread)
{
    const struct snap_thread *t = &diag->threads[thread];
    if (t->name && !t->name_from_kernel)
        say_code(out, diag, t->name);
    else if (t->tid && t->tid == t->pid)
        plain_str(out, "the main thread");
    else if (t->tid)
        plain_add(out, "thread %d", (int)t->tid);
    else
        plain_str(out, "a thread without a number");
}

void say_profiled(struct plain *out, const struct diag *diag, const struct prof_thread *thread)
{
    if (thread->name)
        say_code(out, diag, thread->name);
    else
        plain_add(out, "thread %d", (int)thread->tid);
}

// The last two parts of a path: "app/db.py".
static void say_file(struct plain *out, const struct diag *diag, uint32_t file)
{
    const char *path = strtab_get(diag->strings, file);
    if (!path) {
        plain_str(out, "?");
        return;
    }
    const char *at = path + strlen(path);
    for (int slashes = 0; at > path && path[0] != '<'; at--)
        if (at[-1] == '/' && ++slashes == 2)
            break;
    if (path[0] == '<')
        at = path;
    plain_safe(out, at, strlen(at));
}

static void say_place(struct plain *out, const struct diag *diag, enum snap_frame_kind kind,
                      uint32_t file, uint32_t module, int32_t line)
{
    if (kind == SNAP_BUILTIN || (kind == SNAP_NATIVE ? !module : !file))
        return;
    plain_str(out, " (" DIAG_CODE);
    if (kind == SNAP_NATIVE)
        plain_id(out, diag->strings, module, NAME_COLUMNS, PLAIN_KEEP_END);
    else
        say_file(out, diag, file);
    if (kind == SNAP_PYTHON && line >= 0)
        plain_add(out, ":%d", (int)line);
    plain_str(out, DIAG_CODE_END ")");
}

void say_frame(struct plain *out, const struct diag *diag, const struct snap_frame *frame)
{
    uint32_t name = frame->qualname ? frame->qualname : frame->function;
    if (name)
        say_code(out, diag, name);
    else
        plain_str(out, "code without a name");
    say_place(out, diag, frame->kind, frame->file, frame->module, frame->line);
}

void say_function(struct plain *out, const struct diag *diag, const struct prof_function *function)
{
    uint32_t name = function->qualname ? function->qualname : function->function;
    if (name)
        say_code(out, diag, name);
    else
        plain_str(out, "code without a name");
    say_place(out, diag, function->kind, function->file, function->module, function->line);
}

// With the name of the object, and where it has none.
static const struct {
    const char *named, *unnamed;
} wanted_words[SNAP_WAIT_COUNT] = {
    [SNAP_WAIT_NONE] = {"", "something"},
    [SNAP_WAIT_LOCK] = {"lock", "a lock"},
    [SNAP_WAIT_RLOCK] = {"RLock", "an RLock"},
    [SNAP_WAIT_CONDITION] = {"condition", "a condition"},
    [SNAP_WAIT_EVENT] = {"event", "an event"},
    [SNAP_WAIT_SEMAPHORE] = {"semaphore", "a semaphore"},
    [SNAP_WAIT_BARRIER] = {"barrier", "a barrier"},
    [SNAP_WAIT_QUEUE_GET] = {"an item of queue", "an item of a queue"},
    [SNAP_WAIT_QUEUE_PUT] = {"room in queue", "room in a queue"},
    [SNAP_WAIT_QUEUE_JOIN] = {"the tasks of queue", "the tasks of a queue"},
    [SNAP_WAIT_JOIN] = {"the end of thread", "the end of a thread"},
    [SNAP_WAIT_FUTURE] = {"the result of", "the result of a future"},
    [SNAP_WAIT_IMPORT] = {"the import of", "an import"},
    [SNAP_WAIT_LOGGING] = {"the lock of logging handler", "the lock of a logging handler"},
    [SNAP_WAIT_GIL] = {NULL, "the GIL"},
    [SNAP_WAIT_PYMUTEX] = {"mutex", "a mutex of the interpreter"},
    [SNAP_WAIT_MUTEX] = {"mutex", "a native mutex"},
    [SNAP_WAIT_COND] = {"condition variable", "a native condition variable"},
    [SNAP_WAIT_FUTEX] = {"futex", "a futex"},
    [SNAP_WAIT_READ] = {"input from", "input"},
    [SNAP_WAIT_WRITE] = {"output to", "output"},
    [SNAP_WAIT_ACCEPT] = {"a connection to", "a connection"},
    [SNAP_WAIT_CONNECT] = {"the connection to", "a connection that it opens"},
    [SNAP_WAIT_POLL] = {"events of", "events"},
    [SNAP_WAIT_SLEEP] = {NULL, "the end of a sleep"},
    [SNAP_WAIT_CHILD] = {"child process", "a child process"},
    [SNAP_WAIT_SIGNAL] = {"signal", "a signal"},
    [SNAP_WAIT_FILE_LOCK] = {"the file lock of", "a file lock"},
    [SNAP_WAIT_SYSCALL] = {"system call", "a system call"},
};

void say_wanted(struct plain *out, const struct diag *diag, const struct snap_wait *wait)
{
    enum snap_wait_kind kind = wait->kind < SNAP_WAIT_COUNT ? wait->kind : SNAP_WAIT_NONE;
    if (wait->what && wanted_words[kind].named) {
        plain_add(out, "%s ", wanted_words[kind].named);
        say_code(out, diag, wait->what);
        return;
    }
    plain_str(out, wanted_words[kind].unnamed);
    uint64_t address = wait->object ? wait->object : wait->lock ? wait->lock : wait->address;
    if (address && kind != SNAP_WAIT_GIL && snap_wait_is_internal(kind))
        plain_add(out, " (0x%" PRIx64 ")", address);
}

// "in `recvfrom` on `10.0.3.9:5432`": what the kernel does for it.
static void say_call(struct plain *out, const struct diag *diag, const struct snap_thread *thread,
                     const struct snap_wait *wait)
{
    if (!thread->syscall) {
        plain_str(out, "waiting for ");
        say_wanted(out, diag, wait);
        return;
    }
    plain_str(out, "in ");
    say_code(out, diag, thread->syscall);
    if (wait->what && wait->what != thread->syscall) {
        plain_str(out, " on ");
        say_code(out, diag, wait->what);
    }
    if (wait->kind == SNAP_WAIT_CHILD && wait->owner)
        plain_add(out, " for process %d", (int)wait->owner);
}

static void say_state(struct plain *out, const struct diag *diag, const struct snap_thread *thread)
{
    static const char *const words[SNAP_STATE_COUNT] = {
        [SNAP_RUNNING] = "running",
        [SNAP_RUNNABLE] = "ready to run",
        [SNAP_GIL_WAIT] = "waiting for the GIL",
        [SNAP_LOCK_WAIT] = "waiting for something of its own process",
        [SNAP_IO_WAIT] = "waiting for input or output",
        [SNAP_SLEEP] = "sleeping",
        [SNAP_UNKNOWN] = "in an unknown state",
    };
    plain_str(out, thread->state < SNAP_STATE_COUNT ? words[thread->state] : words[SNAP_UNKNOWN]);
    if (!snap_state_works(thread->state) && thread->syscall) {
        plain_str(out, " in ");
        say_code(out, diag, thread->syscall);
    }
}

void say_doing(struct plain *out, const struct diag *diag, uint32_t thread)
{
    const struct snap_thread *t = &diag->threads[thread];
    const struct snap_wait *wait = diag_wait(diag, thread);
    bool called = wait && !snap_wait_is_internal(wait->kind);
    if (!wait) {
        say_state(out, diag, t);
    } else if (!called) {
        plain_str(out, "waiting for ");
        say_wanted(out, diag, wait);
    } else {
        say_call(out, diag, t, wait);
    }
    struct stack stack = stack_of_thread(t);
    const struct snap_frame *own =
        stack_own_from(diag, &stack, wait && wait->waiting < stack.count ? wait->waiting : 0);
    if (own) {
        plain_str(out, called ? ", called by " : " in ");
        say_frame(out, diag, own);
    }
}

void say_itself(struct plain *out, const struct diag *diag, uint32_t thread)
{
    plain_str(out, "itself ");
    say_doing(out, diag, thread);
}

void say_of_threads(struct plain *out, size_t count, size_t all)
{
    plain_count(out, count);
    plain_str(out, " of ");
    plain_things(out, all, "thread");
}
