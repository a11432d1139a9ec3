// SPDX-License-Identifier: GPL-3.0-or-later
// Two facts that thread states do not tell: who runs a collection (the collector may have let go of
// the GIL in a finalizer, so that another thread holds it), and who runs a subinterpreter (up to
// 3.10 its thread state carries the ids of the thread that created it).
//
// The proof is a call of gc.collect() on the Python stack, or a pointer in the live part of the C
// stack: gc_collect_main() works on list heads inside of the collector's state
// (Modules/gcmodule.c), the evaluation loop on its frame (Python/ceval.c). Where it is not found,
// nothing is claimed.
#include <stdlib.h>

#include "cpython/stack.h"
#include "util/guard.h"
#include "util/limits.h"

#define STACK_BYTES (256u << 10) // looked at from the stack pointer on
#define GC_BEFORE 256            // `collecting` comes behind the generations in every version
#define GC_BEHIND 64

struct search {
    struct py_process *process;
    uint64_t *words;
    uint64_t left_bytes; // that may still be searched
};

// Does the stack hold a word in [low, high)?
static bool holds(struct search *search, uint64_t sp, uint64_t low, uint64_t high)
{
    uint64_t start = sp & ~7ull;
    // What lies behind the stack may never have been touched.
    const struct target_mapping *mapping = target_mapping_at(search->process->target, start);
    size_t size = STACK_BYTES;
    if (mapping && mapping->end - start < size)
        size = mapping->end - start;
    if (search->left_bytes < size)
        return false;
    search->left_bytes -= size;
    size_t got = mem_read_some(search->process->dec.mem, start, search->words, size);
    for (size_t i = 0; i < got / 8; i++)
        if (search->words[i] >= low && search->words[i] < high)
            return true;
    return false;
}

static const struct py_native_thread *native_of(const struct py_native_thread *natives,
                                                size_t count, uint64_t ident)
{
    for (size_t i = 0; i < count; i++)
        if (natives[i].ident == ident && ident)
            return &natives[i];
    return NULL;
}

static void find_collector(struct search *search, struct py_thread *thread,
                           const struct py_native_thread *native)
{
    const struct py_layout *lay = &search->process->dec.layout;
    uint64_t collecting = py_layout_has(lay, PY_IS_gc_collecting)
                              ? thread->interp + py_offset(lay, PY_IS_gc_collecting)
                              : search->process->runtime + py_offset(lay, PY_RT_gc_collecting);
    // A collection that nobody asked for begins with the GIL held. The pointers alone would not do:
    // what an earlier collection left in unused slots looks the same.
    thread->in_gc = native && thread->holds_gil &&
                    holds(search, native->sp, collecting - GC_BEFORE, collecting + GC_BEHIND);
}

static void find_runner(struct search *search, struct py_thread *thread,
                        const struct py_native_thread *natives, size_t count)
{
    thread->ident_doubtful = true;
    for (size_t i = 0; thread->root && i < count; i++) {
        if (!holds(search, natives[i].sp, thread->root, thread->root + 1))
            continue;
        thread->ident = natives[i].ident;
        thread->ident_doubtful = false;
        return;
    }
}

void py_state_settle(struct py_process *process, struct py_state *state,
                     const struct py_native_thread *natives, size_t count)
{
    AUTO_FREE uint64_t *words = malloc(STACK_BYTES);
    struct search search = {process, words, LIMIT_STACKS_SEARCHED_BYTES};
    vec_foreach (thread, &state->threads) {
        if (words && thread->collecting)
            find_collector(&search, thread, native_of(natives, count, thread->ident));
        if (words && thread->interp_id > 0 && process->dec.layout.version <= 0x030a)
            find_runner(&search, thread, natives, count);
    }
}

static bool calls_collect(const struct py_stack *stack, uint32_t collect)
{
    vec_foreach (frame, &stack->frames)
        if (frame->call_qualname == collect)
            return true;
    return false;
}

void py_stacks_settle(struct strtab *strings, struct py_stack *stacks, size_t count)
{
    uint32_t collect = strtab_add_cstr(strings, "{built-in method gc.collect}");
    for (size_t i = 0; collect && i < count; i++) {
        if (!stacks[i].thread.collecting || !calls_collect(&stacks[i], collect))
            continue;
        // Collections do not nest: it is this one, and nobody else's.
        for (size_t k = 0; k < count; k++)
            if (stacks[k].thread.interp == stacks[i].thread.interp)
                stacks[k].thread.in_gc = false;
        stacks[i].thread.in_gc = true;
    }
}
