// SPDX-License-Identifier: GPL-3.0-or-later
// Reading through what was copied, what is recorded and what is there: see view.h.
#include "view.h"

#include "util/guard.h"

#define PAGE_BYTES 4096u

// Bytes of one of the sources, and how far it is to the next ones of a source asked before it.
static size_t read_below(struct capture_view *view, uint64_t addr, unsigned char *ret, size_t size)
{
    if (size != 1) {
        view->ahead_bytes = 0;
        return mem_read_some(view->below, addr, ret, size);
    }
    if (addr < view->ahead_addr || addr - view->ahead_addr >= view->ahead_bytes) {
        // Not past the page: the next one may never have been touched.
        size_t want = PAGE_BYTES - addr % PAGE_BYTES;
        if (want > sizeof(view->ahead))
            want = sizeof(view->ahead);
        view->ahead_addr = addr;
        view->ahead_bytes = mem_read_some(view->below, addr, view->ahead, want);
        if (!view->ahead_bytes)
            return 0;
    }
    *ret = view->ahead[addr - view->ahead_addr];
    return 1;
}

static size_t piece(struct capture_view *view, uint64_t addr, unsigned char *ret, size_t size)
{
    if (view->fresh) {
        size_t got = mem_blocks_get(view->fresh, addr, ret, size);
        if (got)
            return got;
        size = mem_blocks_gap(view->fresh, addr, size);
    }
    if (view->known && !view->skip_known) {
        size_t got = mem_blocks_get(view->known, addr, ret, size);
        if (got)
            return got;
        size = mem_blocks_gap(view->known, addr, size);
    }
    return view->below ? read_below(view, addr, ret, size) : 0;
}

size_t capture_view_read(struct capture_view *view, uint64_t addr, void *ret, size_t size)
{
    if (addr >= view->hidden_start && addr < view->hidden_end)
        return 0;
    if (addr < view->hidden_start && size > view->hidden_start - addr)
        size = view->hidden_start - addr;
    size_t done = 0;
    while (done < size) {
        size_t got = piece(view, addr + done, (unsigned char *)ret + done, size - done);
        if (!got)
            break;
        done += got;
    }
    if (view->record && done && !mem_blocks_put(view->record, addr, ret, done))
        view->failed = true;
    if (view->keep && done && !mem_blocks_put(view->keep, addr, ret, done))
        view->failed = true;
    return done;
}

static size_t view_read(void *arg, uint64_t addr, void *buffer, size_t size)
{
    return capture_view_read(arg, addr, buffer, size);
}

struct err *capture_view_init(struct capture_view *view)
{
    view->mem = mem_create();
    if (!view->mem)
        return err_create(ERR_NO_MEMORY, "capture");
    mem_set_exact(view->mem);
    return mem_add(view->mem, 0, UINT64_MAX, MEM_CORE, view_read, view, false);
}

void capture_view_deinit(struct capture_view *view)
{
    mem_destroy(view->mem);
    view->mem = NULL;
}
