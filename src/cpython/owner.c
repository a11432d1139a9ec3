// SPDX-License-Identifier: GPL-3.0-or-later
// Which thread of the kernel runs a thread state. See py_owner_of in cpython/process.h.
#include "cpython/process.h"
#include "util/guard.h"

// Where the C library keeps the kernel's number of a thread, counted from pthread_self(). Only
// hints: what lies there must be the number of a thread that is there.
static const uint64_t tid_offsets[] = {
    0x2d0, // glibc, x86_64: after the 704-byte header and the list (nptl/descr.h), since 2.2
    0x30,  // musl, x86_64: self, dtv, prev, next, sysinfo, canary (src/internal/pthread_impl.h)
};

static size_t by_tls(uint64_t ident, const struct py_kernel_thread *threads, size_t count)
{
    for (size_t i = 0; ident && i < count; i++)
        if (threads[i].ns_tid && threads[i].tls == ident)
            return i;
    return SIZE_MAX;
}

static size_t by_number(uint64_t number, const struct py_kernel_thread *threads, size_t count)
{
    for (size_t i = 0; number && i < count; i++)
        if (threads[i].ns_tid == number)
            return i;
    return SIZE_MAX;
}

static size_t by_pthread(struct mem *mem, uint64_t ident, const struct py_kernel_thread *threads,
                         size_t count)
{
    for (size_t i = 0; mem && ident && i < ARRAY_SIZE(tid_offsets); i++) {
        uint32_t tid;
        AUTO_ERR struct err *err = mem_read_u32(mem, ident + tid_offsets[i], &tid);
        size_t index = err ? SIZE_MAX : by_number(tid, threads, count);
        // By then no thread's register is known to hold `ident`: one that holds another is not it.
        if (index != SIZE_MAX && !threads[index].tls)
            return index;
    }
    return SIZE_MAX;
}

// The thread whose stack pointer is the nearest one below, in the same mapping.
static size_t by_stack(const struct target *target, uint64_t on_stack,
                       const struct py_kernel_thread *threads, size_t count)
{
    const struct target_mapping *mapping = on_stack ? target_mapping_at(target, on_stack) : NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; mapping && i < count; i++) {
        const struct py_kernel_thread *thread = &threads[i];
        if (thread->ns_tid && thread->sp >= mapping->start && thread->sp <= on_stack &&
            (best == SIZE_MAX || thread->sp > threads[best].sp))
            best = i;
    }
    return best;
}

size_t py_owner_of(const struct target *target, struct mem *mem, const struct py_thread *thread,
                   uint64_t on_stack, const struct py_kernel_thread *threads, size_t count)
{
    size_t index = SIZE_MAX;
    if (thread->ident_doubtful)
        return SIZE_MAX;
    // Up to 3.12 a subinterpreter's thread state carries the ids of the thread that created it,
    // even while another one runs it; the C stack that its entry lies on does not lie.
    if (thread->interp_id > 0)
        index = by_stack(target, on_stack, threads, count);
    if (index == SIZE_MAX)
        index = by_tls(thread->ident, threads, count);
    if (index == SIZE_MAX)
        index = by_number(thread->native_id, threads, count);
    if (index == SIZE_MAX)
        index = by_pthread(mem, thread->ident, threads, count);
    if (index == SIZE_MAX)
        index = by_stack(target, on_stack, threads, count);
    return index;
}
