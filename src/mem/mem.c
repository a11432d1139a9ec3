// SPDX-License-Identifier: GPL-3.0-or-later
// The memory model: sorted segments over read callbacks, with a small page cache for the sources
// that do not change. See mem/mem.h.
#include "mem/mem.h"

#include <stdlib.h>
#include <string.h>

#include "util/bisect.h"
#include "util/guard.h"
#include "util/vec.h"

#define PAGE_BYTES 4096u
// Direct-mapped, powers of two: 2 MiB; 64 MiB between mem_cache_begin() and mem_cache_end().
#define CACHE_PAGES 512u
#define CACHE_PAGES_MANY 16384u
// Whoever has read the page beside it reads on, most of the time: an aligned group in one go.
#define GROUP_PAGES 16u

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
};

struct cache {
    struct page *pages;
    unsigned char *bytes; // of all of them
    size_t count;
};

struct mem {
    bool exact;
    VEC(struct segment) segments;
    size_t last; // index of the last hit
    struct cache cache;
    struct cache aside; // while everything is cached
    bool caching;
};

static bool cache_init(struct cache *cache, size_t count)
{
    *cache = (struct cache){calloc(count, sizeof(*cache->pages)), malloc(count * PAGE_BYTES), count};
    if (cache->pages && cache->bytes)
        return true;
    free(cache->pages);
    free(cache->bytes);
    *cache = (struct cache){0};
    return false;
}

static void cache_deinit(struct cache *cache)
{
    free(cache->pages);
    free(cache->bytes);
    *cache = (struct cache){0};
}

static void forget(struct cache *cache, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < cache->count; i++) {
        struct page *page = &cache->pages[i];
        if (page->addr && (page->addr - 1) * PAGE_BYTES < end &&
            page->addr * PAGE_BYTES - 1 >= start) // the last page ends at 2^64
            page->addr = 0;
    }
}

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
    cache_deinit(&mem->cache);
    free(mem);
}

// Index of the first segment whose end is above addr.
static size_t find(const struct mem *mem, uint64_t addr)
{
    return bisect(mem->segments.count, i, mem->segments.items[i].end <= addr);
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
    if (cache && !mem->cache.pages && !cache_init(&mem->cache, CACHE_PAGES))
        return err_create(ERR_NO_MEMORY, "page cache");
    struct segment segment = {start, end, origin, read, arg, cache};
    if (!replace(mem, segment) &&
        (!carve(mem, start, end) || !insert(mem, find(mem, start), segment)))
        return err_create(ERR_NO_MEMORY, "memory map");
    forget(&mem->cache, start, end);
    forget(&mem->aside, start, end);
    return NULL;
}

void mem_cache_begin(struct mem *mem)
{
    struct cache many;
    if (mem->caching || !cache_init(&many, CACHE_PAGES_MANY))
        return; // without it everything is slow, and right
    mem->aside = mem->cache;
    mem->cache = many;
    mem->caching = true;
}

void mem_cache_end(struct mem *mem)
{
    if (!mem->caching)
        return;
    cache_deinit(&mem->cache);
    mem->cache = mem->aside;
    mem->aside = (struct cache){0};
    mem->caching = false;
}

static struct page *page_of(const struct mem *mem, uint64_t number)
{
    return &mem->cache.pages[number & (mem->cache.count - 1)];
}

static unsigned char *bytes_of(const struct mem *mem, uint64_t number)
{
    return mem->cache.bytes + (number & (mem->cache.count - 1)) * PAGE_BYTES;
}

static bool is_there(const struct mem *mem, uint64_t number)
{
    return page_of(mem, number)->addr == number + 1;
}

static bool has_page(const struct segment *segment, uint64_t number)
{
    uint64_t start = number * PAGE_BYTES;
    return start >= segment->start && start < segment->end && segment->end - start >= PAGE_BYTES;
}

static void keep(struct mem *mem, uint64_t number, size_t size)
{
    *page_of(mem, number) =
        (struct page){number + 1, size < PAGE_BYTES ? (uint32_t)size : PAGE_BYTES};
}

// Pages of the group that are there stay as they are.
static void load(struct mem *mem, const struct segment *segment, uint64_t number)
{
    uint64_t first = number, end = number + 1, group = number & ~(uint64_t)(GROUP_PAGES - 1);
    if (mem->caching && (is_there(mem, number - 1) || is_there(mem, number + 1))) {
        while (first > group && has_page(segment, first - 1) && !is_there(mem, first - 1))
            first--;
        while (end < group + GROUP_PAGES && has_page(segment, end) && !is_there(mem, end))
            end++;
    }
    for (uint64_t i = first; i < end; i++)
        page_of(mem, i)->addr = 0; // of another page, whose bytes are overwritten
    size_t before = (size_t)(number - first) * PAGE_BYTES;
    size_t got = segment->read(segment->arg, first * PAGE_BYTES, bytes_of(mem, first),
                               (size_t)(end - first) * PAGE_BYTES);
    // Behind what cannot be read nothing is known.
    if (got < before)
        keep(mem, number, segment->read(segment->arg, number * PAGE_BYTES, bytes_of(mem, number),
                                        PAGE_BYTES));
    else
        for (uint64_t i = first; i == number || got; i++) {
            keep(mem, i, got);
            got -= got < PAGE_BYTES ? got : PAGE_BYTES;
        }
}

static size_t read_cached(struct mem *mem, const struct segment *segment, uint64_t addr,
                          unsigned char *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        uint64_t number = (addr + done) / PAGE_BYTES;
        size_t in_page = (addr + done) % PAGE_BYTES, got;
        size_t want = PAGE_BYTES - in_page < size - done ? PAGE_BYTES - in_page : size - done;
        // A page that two segments share is read through: the cache holds whole pages of one.
        if (has_page(segment, number)) {
            if (!is_there(mem, number))
                load(mem, segment, number);
            const struct page *page = page_of(mem, number);
            size_t there = in_page < page->size ? page->size - in_page : 0;
            got = want < there ? want : there;
            memcpy(to + done, bytes_of(mem, number) + in_page, got);
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
    const struct page *page = page_of(mem, number);
    if (page->addr != number + 1 || size > PAGE_BYTES || in_page + size > page->size)
        return false;
    const unsigned char *bytes = bytes_of(mem, number) + in_page;
    if (size == 8) // a call less
        memcpy(ret, bytes, 8);
    else
        memcpy(ret, bytes, size);
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
        // Large reads would only sweep it. There is none for a segment that came while all was cached.
        bool cached = (segment->cache || mem->caching) && mem->cache.count;
        size_t got = cached && want <= PAGE_BYTES
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
