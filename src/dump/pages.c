// SPDX-License-Identifier: GPL-3.0-or-later
// Which pages of a process exist, without touching any: PAGEMAP_SCAN (Linux 6.7) or /proc/PID/pagemap,
// Documentation/admin-guide/mm/pagemap.rst. A read of one that does not exist would have the kernel
// make a page table for it, or the page itself.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "dump/dump_private.h"
#include "util/guard.h"

// linux/fs.h since 6.7.
struct scan_region {
    uint64_t start, end, categories;
};
struct scan_request {
    uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages;
    uint64_t inverted, mask, any_of, ret_mask;
};
#define SCAN _IOWR('f', 16, struct scan_request)
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN_GUARD (1u << 8) // since 6.16

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_GUARD (1ull << 58) // since 6.15

enum { REGIONS_AT_ONCE = 1024, ENTRIES_AT_ONCE = 8192 };

void pages_open(struct pages *pages, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
    *pages = (struct pages){.fd = open(path, O_RDONLY | O_CLOEXEC)};
}

void pages_close(struct pages *pages)
{
    if (pages->fd >= 0)
        close(pages->fd);
    vec_deinit(&pages->regions);
    *pages = (struct pages){.fd = -1};
}

static bool add_region(struct pages *pages, uint64_t start, uint64_t end)
{
    if (pages->regions.count && pages->regions.items[pages->regions.count - 1].end == start) {
        pages->regions.items[pages->regions.count - 1].end = end;
        return true;
    }
    return vec_push(&pages->regions, (struct pages_region){start, end});
}

static bool scan(struct pages *pages, uint64_t addr, uint64_t end)
{
    struct scan_region found[REGIONS_AT_ONCE];
    struct scan_request request = {
        .size = sizeof(request),
        .start = addr,
        .end = end,
        .regions = (uint64_t)(uintptr_t)found,
        .region_count = REGIONS_AT_ONCE,
        .any_of = SCAN_PRESENT | (pages->nothing_swapped ? 0 : SCAN_SWAPPED),
        .inverted = pages->no_guard ? 0 : SCAN_GUARD,
        .mask = pages->no_guard ? 0 : SCAN_GUARD,
        .ret_mask = SCAN_PRESENT | SCAN_SWAPPED,
    };
    int count = ioctl(pages->fd, SCAN, &request);
    if (count < 0 && errno == EINVAL && !pages->no_guard) {
        pages->no_guard = true;
        request.inverted = request.mask = 0;
        count = ioctl(pages->fd, SCAN, &request);
    }
    if (count < 0 || count > REGIONS_AT_ONCE || request.walk_end <= addr)
        return false;
    for (int i = 0; i < count; i++)
        if (!add_region(pages, found[i].start, found[i].end))
            return false;
    pages->known_to = request.walk_end;
    return true;
}

static bool read_entries(struct pages *pages, uint64_t addr, uint64_t end)
{
    static uint64_t entries[ENTRIES_AT_ONCE];
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE), want = (end - addr) / page_bytes;
    if (want > ENTRIES_AT_ONCE)
        want = ENTRIES_AT_ONCE;
    ssize_t got =
        pread(pages->fd, entries, want * sizeof(*entries), (off_t)(addr / page_bytes * 8));
    if (got < (ssize_t)sizeof(*entries))
        return false;
    uint64_t count = (uint64_t)got / sizeof(*entries);
    uint64_t wanted = ENTRY_PRESENT | (pages->nothing_swapped ? 0 : ENTRY_SWAPPED);
    for (uint64_t i = 0; i < count; i++)
        if ((entries[i] & wanted) && !(entries[i] & ENTRY_GUARD) &&
            !add_region(pages, addr + i * page_bytes, addr + (i + 1) * page_bytes))
            return false;
    pages->known_to = addr + count * page_bytes;
    return true;
}

static bool learn(struct pages *pages, uint64_t addr, uint64_t end)
{
    if (pages->fd < 0)
        return false;
    pages->regions.count = pages->at = 0;
    pages->known_from = pages->known_to = addr;
    if (!pages->no_scan && scan(pages, addr, end))
        return true;
    pages->no_scan = true;
    pages->regions.count = 0;
    return read_entries(pages, addr, end);
}

bool pages_run(struct pages *pages, uint64_t addr, uint64_t end, uint64_t *ret_end)
{
    bool known = addr >= pages->known_from && addr < pages->known_to;
    if (!known && !learn(pages, addr, end)) {
        *ret_end = end;
        return true;
    }
    while (pages->at < pages->regions.count && pages->regions.items[pages->at].end <= addr)
        pages->at++;
    const struct pages_region *region =
        pages->at < pages->regions.count ? &pages->regions.items[pages->at] : NULL;
    bool there = region && region->start <= addr;
    uint64_t to = there ? region->end : region ? region->start : pages->known_to;
    *ret_end = to < end ? to : end;
    return there;
}
