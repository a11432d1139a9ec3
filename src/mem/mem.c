// SPDX-License-Identifier: GPL-3.0-or-later
// The memory model: sorted segments over read callbacks, with a small page cache for the sources
// that do not change. See mem/mem.h.
#include "mem/mem.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/vec.h"

#define PAGE_BYTES 4096u
// Direct-mapped, powers of two: 2 MiB; 64 MiB between mem_cache_begin() and mem_cache_end().
#define CACHE_PAGES 512u
#define CACHE_PAGES_MANY 16384u

struct segment {
    uint64_t start, end;
    enum mem_origin origin;
    mem_read_fn *read;
    void *arg;
    bool cache;
};

struct page {
    uint64_t addr; // page number + 1; 0: empty
    uint32_t size; // leading bytes that are there
    unsigned char bytes[PAGE_BYTES];
};

struct mem {
    bool exact;
    VEC(struct segment) segments;
    size_t last; // index of the last hit
    struct page *pages;
    size_t page_count;
    // Put aside while everything is cached.
    struct page *few_pages;
    bool caching;
};

struct mem *mem_create(void)
{
    return calloc(1, sizeof(struct mem));
}

void mem_destroy(struct mem *mem)
{
    if (!mem)
        return;
    mem_cache_end(mem);
    vec_deinit(&mem->segments);
    free(mem->pages);
    free(mem);
}

// Index of the first segment whose end is above addr.
static size_t find(const struct mem *mem, uint64_t addr)
{
    size_t low = 0, high = mem->segments.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mem->segments.items[mid].end > addr)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static bool insert(struct mem *mem, size_t at, struct segment segment)
{
    if (!vec_reserve(&mem->segments, mem->segments.count + 1))
        return false;
    struct segment *items = mem->segments.items;
    memmove(items + at + 1, items + at, (mem->segments.count - at) * sizeof(*items));
    items[at] = segment;
    mem->segments.count++;
    return true;
}

// A core's gaps are filled segment by segment, a million of them if it says so.
static bool replace(struct mem *mem, struct segment segment)
{
    size_t at = find(mem, segment.start);
    if (at >= mem->segments.count || mem->segments.items[at].start != segment.start ||
        mem->segments.items[at].end != segment.end)
        return false;
    mem->segments.items[at] = segment;
    return true;
}

// Cuts [start, end) out of what is there, so that the new segment can take its place.
static bool carve(struct mem *mem, uint64_t start, uint64_t end)
{
    size_t at = find(mem, start);
    while (at < mem->segments.count && mem->segments.items[at].start < end) {
        struct segment *old = &mem->segments.items[at];
        if (old->start < start && old->end > end) {
            struct segment tail = *old;
            tail.start = end;
            old->end = start;
            return insert(mem, at + 1, tail);
        }
        if (old->start < start) {
            old->end = start;
            at++;
        } else if (old->end > end) {
            old->start = end;
            return true;
        } else {
            memmove(old, old + 1, (mem->segments.count - at - 1) * sizeof(*old));
            mem->segments.count--;
        }
    }
    return true;
}

struct err *mem_add(struct mem *mem, uint64_t start, uint64_t end, enum mem_origin origin,
                    mem_read_fn *read, void *arg, bool cache)
{
    if (start >= end)
        return NULL;
    if (cache && !mem->pages) {
        mem->pages = calloc(CACHE_PAGES, sizeof(*mem->pages));
        if (!mem->pages)
            return err_create(ERR_NO_MEMORY, "page cache");
        mem->page_count = CACHE_PAGES;
    }
    struct segment segment = {start, end, origin, read, arg, cache};
    if (!replace(mem, segment) &&
        (!carve(mem, start, end) || !insert(mem, find(mem, start), segment)))
        return err_create(ERR_NO_MEMORY, "memory map");
    for (size_t i = 0; mem->pages && i < mem->page_count; i++)
        if (mem->pages[i].addr && (mem->pages[i].addr - 1) * PAGE_BYTES < end &&
            mem->pages[i].addr * PAGE_BYTES - 1 >= start) // the last page ends at 2^64
            mem->pages[i].addr = 0;
    return NULL;
}

void mem_cache_begin(struct mem *mem)
{
    if (mem->caching)
        return;
    struct page *pages = calloc(CACHE_PAGES_MANY, sizeof(*pages));
    if (!pages) // without it everything is slow, and right
        return;
    mem->few_pages = mem->pages;
    mem->pages = pages;
    mem->page_count = CACHE_PAGES_MANY;
    mem->caching = true;
}

void mem_cache_end(struct mem *mem)
{
    if (!mem->caching)
        return;
    free(mem->pages);
    mem->pages = mem->few_pages;
    mem->few_pages = NULL;
    mem->page_count = CACHE_PAGES;
    mem->caching = false;
}

static size_t read_cached(struct mem *mem, const struct segment *segment, uint64_t addr,
                          unsigned char *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        uint64_t number = (addr + done) / PAGE_BYTES, page_start = number * PAGE_BYTES;
        size_t in_page = addr + done - page_start, got;
        size_t want = PAGE_BYTES - in_page < size - done ? PAGE_BYTES - in_page : size - done;
        struct page *page = &mem->pages[number & (mem->page_count - 1)];
        // A page that two segments share is read through: the cache holds whole pages of one.
        if (page_start >= segment->start && segment->end - page_start >= PAGE_BYTES) {
            if (page->addr != number + 1) {
                page->size =
                    (uint32_t)segment->read(segment->arg, page_start, page->bytes, PAGE_BYTES);
                page->addr = number + 1;
            }
            size_t there = in_page < page->size ? page->size - in_page : 0;
            got = want < there ? want : there;
            memcpy(to + done, page->bytes + in_page, got);
            // Behind what could not be read when the page was.
            if (got < want)
                got += segment->read(segment->arg, addr + done + got, to + done + got, want - got);
        } else {
            got = segment->read(segment->arg, addr + done, to + done, want);
        }
        done += got;
        if (got < want)
            break;
    }
    return done;
}

// Who reads much reads a few bytes of a page that is there already, most of the time.
static bool read_again(const struct mem *mem, uint64_t addr, void *ret, size_t size)
{
    uint64_t number = addr / PAGE_BYTES;
    size_t in_page = addr % PAGE_BYTES;
    const struct page *page = &mem->pages[number & (mem->page_count - 1)];
    if (page->addr != number + 1 || size > PAGE_BYTES || in_page + size > page->size)
        return false;
    memcpy(ret, page->bytes + in_page, size);
    return true;
}

size_t mem_read_some(struct mem *mem, uint64_t addr, void *ret, size_t size)
{
    unsigned char *to = ret;
    if (mem->caching && read_again(mem, addr, ret, size))
        return size;
    size_t done = 0;
    if (size > UINT64_MAX - addr)
        size = UINT64_MAX - addr;
    while (done < size) {
        uint64_t here = addr + done;
        size_t at = mem->last;
        if (at >= mem->segments.count || here < mem->segments.items[at].start ||
            here >= mem->segments.items[at].end)
            at = find(mem, here);
        if (at >= mem->segments.count || here < mem->segments.items[at].start)
            break;
        mem->last = at;
        const struct segment *segment = &mem->segments.items[at];
        if (!segment->read)
            break;
        size_t want = segment->end - here < size - done ? segment->end - here : size - done;
        // Large reads would only sweep the cache.
        size_t got = (segment->cache || mem->caching) && want <= PAGE_BYTES
                         ? read_cached(mem, segment, here, to + done, want)
                         : segment->read(segment->arg, here, to + done, want);
        done += got;
        if (got < want)
            break;
    }
    return done;
}

struct err *mem_read(struct mem *mem, uint64_t addr, void *ret, size_t size)
{
    size_t got = mem_read_some(mem, addr, ret, size);
    return got == size ? NULL : err_fault(addr + got, size - got);
}

struct err *mem_read_u8(struct mem *mem, uint64_t addr, uint8_t *ret)
{
    return mem_read(mem, addr, ret, sizeof(*ret));
}

struct err *mem_read_u32(struct mem *mem, uint64_t addr, uint32_t *ret)
{
    return mem_read(mem, addr, ret, sizeof(*ret));
}

struct err *mem_read_u64(struct mem *mem, uint64_t addr, uint64_t *ret)
{
    return mem_read(mem, addr, ret, sizeof(*ret));
}

void mem_set_exact(struct mem *mem)
{
    mem->exact = true;
}

static size_t read_through(void *arg, uint64_t addr, void *buffer, size_t size)
{
    return mem_read_some(arg, addr, buffer, size);
}

struct mem *mem_create_cached(struct mem *mem)
{
    struct mem *ret = mem_create();
    if (!ret)
        return NULL;
    ret->exact = mem->exact;
    struct err *err = mem_add(ret, 0, UINT64_MAX, MEM_COPY, read_through, mem, !mem->exact);
    if (err) {
        err_destroy(err);
        mem_destroy(ret);
        return NULL;
    }
    return ret;
}

struct err *mem_read_cstr(struct mem *mem, uint64_t addr, size_t limit, char **ret)
{
    AUTO_FREE char *text = malloc(limit + 1);
    if (!text)
        return err_create(ERR_NO_MEMORY, "string");
    size_t size = 0;
    while (size < limit) {
        // To the end of the page at most: the next one may not be there, and need not be.
        size_t want = PAGE_BYTES - (addr + size) % PAGE_BYTES;
        if (want > (mem->exact ? 1 : 256))
            want = mem->exact ? 1 : 256;
        if (want > limit - size)
            want = limit - size;
        size_t got = mem_read_some(mem, addr + size, text + size, want);
        if (got == 0)
            return err_fault(addr + size, want);
        char *end = memchr(text + size, '\0', got);
        if (end) {
            *ret = TAKE(text);
            return NULL;
        }
        size += got;
    }
    text[size] = '\0';
    *ret = TAKE(text);
    return NULL;
}

bool mem_segment_at(const struct mem *mem, uint64_t addr, struct mem_segment_info *ret)
{
    size_t at = find(mem, addr);
    if (at >= mem->segments.count)
        return false;
    const struct segment *segment = &mem->segments.items[at];
    *ret = (struct mem_segment_info){segment->start, segment->end, segment->origin};
    return true;
}

const char *mem_origin_name(enum mem_origin origin)
{
    static const char *const names[] = {
        [MEM_ABSENT] = "not dumped", [MEM_TRUNCATED] = "cut off", [MEM_CORE] = "core",
        [MEM_FILE] = "mapped file",  [MEM_LIVE] = "live",         [MEM_COPY] = "copy",
    };
    return names[origin];
}
