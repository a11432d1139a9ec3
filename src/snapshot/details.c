// SPDX-License-Identifier: GPL-3.0-or-later
// See snapshot/details.h.
#include "snapshot/details.h"

#include "util/bisect.h"
#include "util/guard.h"

void snap_details_deinit(struct snap_details *details)
{
    vec_deinit(&details->wait.fds);
    vec_deinit(&details->held);
    vec_deinit(&details->lent);
    vec_foreach (exception, &details->exceptions) {
        vec_deinit(&exception->traceback);
        vec_deinit(&exception->notes);
    }
    vec_deinit(&details->exceptions);
    vec_deinit(&details->locals);
}

const char *snap_wait_name(enum snap_wait_kind kind)
{
    static const char *const names[SNAP_WAIT_COUNT] = {
        [SNAP_WAIT_NONE] = "none",
        [SNAP_WAIT_LOCK] = "lock",
        [SNAP_WAIT_RLOCK] = "rlock",
        [SNAP_WAIT_CONDITION] = "condition",
        [SNAP_WAIT_EVENT] = "event",
        [SNAP_WAIT_SEMAPHORE] = "semaphore",
        [SNAP_WAIT_BARRIER] = "barrier",
        [SNAP_WAIT_QUEUE_GET] = "queue-get",
        [SNAP_WAIT_QUEUE_PUT] = "queue-put",
        [SNAP_WAIT_QUEUE_JOIN] = "queue-join",
        [SNAP_WAIT_JOIN] = "thread-join",
        [SNAP_WAIT_FUTURE] = "future",
        [SNAP_WAIT_IMPORT] = "import",
        [SNAP_WAIT_LOGGING] = "logging",
        [SNAP_WAIT_GIL] = "gil",
        [SNAP_WAIT_PYMUTEX] = "pymutex",
        [SNAP_WAIT_MUTEX] = "mutex",
        [SNAP_WAIT_COND] = "condition-variable",
        [SNAP_WAIT_FUTEX] = "futex",
        [SNAP_WAIT_READ] = "read",
        [SNAP_WAIT_WRITE] = "write",
        [SNAP_WAIT_ACCEPT] = "accept",
        [SNAP_WAIT_CONNECT] = "connect",
        [SNAP_WAIT_POLL] = "poll",
        [SNAP_WAIT_SLEEP] = "sleep",
        [SNAP_WAIT_CHILD] = "child",
        [SNAP_WAIT_SIGNAL] = "signal",
        [SNAP_WAIT_FILE_LOCK] = "file-lock",
        [SNAP_WAIT_SYSCALL] = "syscall",
    };
    return kind < SNAP_WAIT_COUNT ? names[kind] : names[SNAP_WAIT_NONE];
}

bool snap_wait_is_internal(enum snap_wait_kind kind)
{
    return kind > SNAP_WAIT_NONE && kind <= SNAP_WAIT_FUTEX;
}

const char *snap_certainty_name(enum snap_certainty certainty)
{
    static const char *const names[] = {
        [SNAP_NOT_KNOWN] = "unknown", [SNAP_INFERRED] = "inferred", [SNAP_OBSERVED] = "observed"};
    return names[certainty];
}

const char *snap_exception_role_name(enum snap_exception_role role)
{
    static const char *const names[] = {[SNAP_EXC_RAISED] = "raised",
                                        [SNAP_EXC_HANDLED] = "handled",
                                        [SNAP_EXC_CAUSE] = "cause",
                                        [SNAP_EXC_CONTEXT] = "context",
                                        [SNAP_EXC_MEMBER] = "member"};
    return names[role];
}

const char *snap_local_kind_name(enum snap_local_kind kind)
{
    static const char *const names[] = {[SNAP_ARGUMENT] = "argument",
                                        [SNAP_LOCAL] = "local",
                                        [SNAP_CELL] = "cell",
                                        [SNAP_FREE] = "free"};
    return names[kind];
}

const char *snap_fault_name(enum snap_fault fault)
{
    static const char *const names[] = {
        [SNAP_FAULT_NONE] = "none",
        [SNAP_FAULT_NULL] = "null-pointer",
        [SNAP_FAULT_STACK] = "stack-overflow",
        [SNAP_FAULT_UNMAPPED] = "unmapped",
        [SNAP_FAULT_NON_CANONICAL] = "non-canonical",
        [SNAP_FAULT_POISON] = "freed-or-fresh",
        [SNAP_FAULT_PROTECTION] = "protection",
        [SNAP_FAULT_BEYOND_FILE] = "beyond-file",
        [SNAP_FAULT_CODE] = "no-code",
        [SNAP_FAULT_ABORT] = "abort",
        [SNAP_FAULT_SENT] = "sent",
        [SNAP_FAULT_OTHER] = "other",
    };
    return names[fault];
}

size_t snap_locals_begin(const struct snap_locals *locals, size_t frame)
{
    return bisect(locals->count, i, locals->items[i].frame < frame);
}
