// SPDX-License-Identifier: GPL-3.0-or-later
// The unwinder as an object, and the words for what it finds.
#include <stdlib.h>

#include "unwind/reference.h"
#include "unwind/walk.h"
#include "util/guard.h"

void unwinder_destroy(struct unwinder *unwinder)
{
    if (!unwinder)
        return;
    reference_destroy(unwinder->reference);
    row_cache_destroy(unwinder->rows);
    code_cache_destroy(unwinder->code);
    free(unwinder);
}

struct err *unwinder_create(struct target *target, struct image *image, struct unwinder **ret)
{
    struct unwinder *unwinder = calloc(1, sizeof(*unwinder));
    if (!unwinder)
        return err_create(ERR_NO_MEMORY, "out of memory");
    unwinder->target = target;
    unwinder->image = image;
    unwinder->arch = arch_host()->unwind;
    unwinder->rows = row_cache_create(image, unwinder->arch);
    unwinder->code = code_cache_create();
    if (!unwinder->rows || !unwinder->code) {
        unwinder_destroy(unwinder);
        return err_create(ERR_NO_MEMORY, "out of memory");
    }
    *ret = unwinder;
    return NULL;
}

void unwinder_refresh(struct unwinder *unwinder)
{
    row_cache_refresh(unwinder->rows);
    code_cache_forget(unwinder->code);
    reference_destroy(unwinder->reference);
    unwinder->reference = NULL;
}

struct unwind_stats unwinder_stats(const struct unwinder *unwinder)
{
    struct unwind_stats ret = unwinder->stats;
    ret.row_hits = row_cache_hits(unwinder->rows);
    ret.rows_built = row_cache_built(unwinder->rows);
    return ret;
}

const char *unwind_how_name(enum unwind_how how)
{
    static const char *const names[] = {
        [UNWIND_START] = "start", [UNWIND_CFI] = "cfi",
        [UNWIND_STUB] = "stub",   [UNWIND_FRAME_POINTER] = "frame-pointer",
        [UNWIND_SCAN] = "scan",
    };
    return (size_t)how < ARRAY_SIZE(names) ? names[how] : "unknown";
}

const char *unwind_end_text(enum unwind_end end)
{
    static const char *const texts[] = {
        [UNWIND_END_LIMIT] = "the stack is deeper than pycore's limit",
        [UNWIND_END_MEMORY] = "the stack's bytes are missing",
        [UNWIND_END_NO_INFO] = "there is no unwind information for the code, and no other way out",
        [UNWIND_END_CORRUPT] = "the stack is damaged",
        [UNWIND_END_REGISTER] =
            "a register is needed that is only known when the thread is stopped",
    };
    return (size_t)end < ARRAY_SIZE(texts) ? texts[end] : NULL;
}
