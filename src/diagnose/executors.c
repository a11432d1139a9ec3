// SPDX-License-Identifier: GPL-3.0-or-later
// See executors.h.
#include "diagnose/executors.h"

#include <string.h>

// CPython: Lib/concurrent/futures/thread.py: _worker() takes jobs out of a queue, and _WorkItem.run()
// runs one.
#define THREADS "concurrent/futures/thread.py"

bool executor_thread(const struct diag *diag, uint32_t thread, bool *ret_busy)
{
    struct stack stack = stack_of_thread(&diag->threads[thread]);
    *ret_busy = false;
    for (size_t i = 0; i < stack.count; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        *ret_busy |= stack_is(diag, frame, THREADS, "run");
        if (stack_is(diag, frame, THREADS, "_worker"))
            return true;
    }
    return false;
}

// Its threads are called after it, with a number: "asyncio_3", "ThreadPoolExecutor-0_3".
static size_t prefix_size(const struct diag *diag, uint32_t thread)
{
    const char *name = strtab_get(diag->strings, diag->threads[thread].name);
    const char *end = name ? strrchr(name, '_') : NULL;
    return end ? (size_t)(end - name) : 0;
}

bool executor_same(const struct diag *diag, uint32_t one, uint32_t other)
{
    size_t size = prefix_size(diag, one);
    return diag->threads[one].pid == diag->threads[other].pid && size == prefix_size(diag, other) &&
           (!size || strncmp(strtab_get(diag->strings, diag->threads[one].name),
                             strtab_get(diag->strings, diag->threads[other].name), size) == 0);
}

void say_executor(struct plain *text, const struct diag *diag, uint32_t thread, size_t count)
{
    size_t size = prefix_size(diag, thread);
    if (count == 1) {
        plain_str(text, "the only thread");
    } else if (count == 2) {
        plain_str(text, "both threads");
    } else {
        plain_str(text, "all ");
        plain_things(text, count, "thread");
    }
    if (size) {
        plain_str(text, " of " DIAG_CODE);
        plain_safe(text, strtab_get(diag->strings, diag->threads[thread].name), size);
        plain_str(text, DIAG_CODE_END);
    }
}
