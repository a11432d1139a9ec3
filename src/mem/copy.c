// SPDX-License-Identifier: GPL-3.0-or-later
// A snapshot's copied bytes as an address space: see mem/copy.h.
#include "mem/copy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/bisect.h"
#include "util/guard.h"

#define PAGE_BYTES 4096u
#define BLOCK_BYTES (1u << 20)
#define TAIL_PIECES 256 // looked through one by one
#define LEVELS 6        // of sorted pieces, each eight times as large as the one before
#define MERGE_BYTES 128
#define WINDOW_BYTES 256
#define LOG_RANGES 8192 // room for what one snapshot reads
#define LOG_BYTES (1u << 20)

struct piece {
    uint64_t start, end;
    const unsigned char *bytes; // NULL: a known gap
    bool used;                  // somebody read it
};

struct block {
    unsigned char *bytes;
    size_t size, used;
};

// Pieces come one at a time while the target runs (150,000 frames are as many reads): merging each
// tail into all that is there would cost the square of that, hence the levels.
struct run {
    struct piece *items;
    size_t count, capacity;
    size_t last; // index of the last hit
};

struct mem_copy {
    struct mem *view;
    struct mem *fallback;
    struct run tail;           // unsorted, the newest last
    struct run levels[LEVELS]; // each sorted and without overlaps, the newest first
    VEC(struct block) blocks;
    size_t block; // the one being filled
    struct mem_ranges misses;
    struct mem_ranges log; // what was read, while `logging`
    VEC(unsigned char) log_bytes;
    bool logging;
    size_t bytes;
};

static size_t copy_read(void *arg, uint64_t addr, void *buffer, size_t size);

struct mem_copy *mem_copy_create(void)
{
    struct mem_copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return NULL;
    copy->view = mem_create();
    AUTO_ERR struct err *err =
        copy->view ? mem_add(copy->view, 0, UINT64_MAX, MEM_COPY, copy_read, copy, false)
                   : err_create(ERR_NO_MEMORY, "copy");
    if (err) {
        mem_destroy(copy->view);
        free(copy);
        return NULL;
    }
    return copy;
}

void mem_copy_destroy(struct mem_copy *copy)
{
    if (!copy)
        return;
    vec_foreach (block, &copy->blocks)
        munmap(block->bytes, block->size);
    vec_deinit(&copy->blocks);
    vec_deinit(&copy->tail);
    for (size_t i = 0; i < LEVELS; i++)
        vec_deinit(&copy->levels[i]);
    vec_deinit(&copy->misses);
    vec_deinit(&copy->log);
    vec_deinit(&copy->log_bytes);
    mem_destroy(copy->view);
    free(copy);
}

void mem_copy_clear(struct mem_copy *copy)
{
    // A block of unusual size served one large read; keeping it would keep the peak for ever.
    size_t kept = 0;
    for (size_t i = 0; i < copy->blocks.count; i++) {
        struct block *block = &copy->blocks.items[i];
        if (block->size > BLOCK_BYTES) {
            munmap(block->bytes, block->size);
            continue;
        }
        block->used = 0;
        copy->blocks.items[kept++] = *block;
    }
    copy->blocks.count = kept;
    copy->block = 0;
    copy->tail.count = 0;
    for (size_t i = 0; i < LEVELS; i++)
        copy->levels[i].count = 0;
    copy->misses.count = 0;
    mem_copy_clear_log(copy);
    copy->bytes = 0;
    copy->fallback = NULL;
}

struct mem *mem_copy_view(struct mem_copy *copy)
{
    return copy->view;
}

void mem_copy_set_fallback(struct mem_copy *copy, struct mem *fallback)
{
    copy->fallback = fallback;
}

bool mem_copy_reserve(struct mem_copy *copy, struct mem_range range, void **ret)
{
    size_t skew = range.addr % PAGE_BYTES;
    for (;; copy->block++) {
        if (copy->block == copy->blocks.count) {
            size_t need = range.size + 2 * PAGE_BYTES;
            size_t size = need > BLOCK_BYTES ? (need + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES
                                             : BLOCK_BYTES;
            void *bytes =
                mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (bytes == MAP_FAILED)
                return false;
            if (!vec_push(&copy->blocks, (struct block){bytes, size, 0})) {
                munmap(bytes, size);
                return false;
            }
        }
        struct block *block = &copy->blocks.items[copy->block];
        // Small reads need no alignment and must not cost a page each.
        size_t at = block->used;
        if (range.size >= PAGE_BYTES)
            at += (skew + PAGE_BYTES - at % PAGE_BYTES) % PAGE_BYTES;
        else
            at = (at + 7) & ~(size_t)7;
        if (at + range.size <= block->size) {
            *ret = block->bytes + at;
            block->used = at + range.size;
            return true;
        }
    }
}

static int piece_compare(const void *left, const void *right)
{
    const struct piece *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    // Bytes before gaps, longer before shorter.
    if (!a->bytes != !b->bytes)
        return a->bytes ? -1 : 1;
    return a->end > b->end ? -1 : a->end < b->end;
}

// Pieces on their way to being sorted and free of overlap. They come in the order of piece_compare;
// bytes are kept wherever they are, gaps where no bytes are.
struct merge {
    struct piece *pieces;
    size_t count;
    uint64_t bytes_end;          // where the last bytes end
    uint64_t gap_start, gap_end; // a gap that later bytes may still cut; none: equal
};

static void merge_gap_until(struct merge *merge, uint64_t until)
{
    uint64_t end = merge->gap_end < until ? merge->gap_end : until;
    if (merge->gap_start < end) {
        merge->pieces[merge->count++] = (struct piece){merge->gap_start, end, NULL, false};
        merge->gap_start = end;
    }
}

static void merge_add(struct merge *merge, struct piece piece)
{
    if (piece.start < merge->bytes_end) {
        // What it has in common with the bytes before it is theirs.
        uint64_t cut = piece.end < merge->bytes_end ? piece.end : merge->bytes_end;
        if (piece.bytes) {
            merge->pieces[merge->count - 1].used |= piece.used;
            piece.bytes += cut - piece.start;
        }
        piece.start = cut;
    }
    if (piece.start == piece.end)
        return;
    if (piece.bytes) {
        merge_gap_until(merge, piece.start);
        merge->pieces[merge->count++] = piece;
        merge->bytes_end = piece.end;
        if (merge->gap_start < piece.end)
            merge->gap_start = piece.end < merge->gap_end ? piece.end : merge->gap_end;
    } else if (piece.start <= merge->gap_end && merge->gap_start < merge->gap_end) {
        if (merge->gap_end < piece.end)
            merge->gap_end = piece.end;
    } else {
        merge_gap_until(merge, UINT64_MAX);
        merge->gap_start = piece.start;
        merge->gap_end = piece.end;
    }
}

// Merges the sorted run `from` into the sorted run `into`, and empties it.
static bool merge_runs(struct run *into, struct run *from)
{
    if (!from->count)
        return true;
    // Bytes may cut one gap in two.
    size_t capacity = 2 * (into->count + from->count);
    struct merge merge = {.pieces = malloc(capacity * sizeof(*merge.pieces))};
    if (!merge.pieces)
        return false;
    for (size_t i = 0, j = 0; i < into->count || j < from->count;) {
        bool old = j == from->count ||
                   (i < into->count && piece_compare(&into->items[i], &from->items[j]) <= 0);
        merge_add(&merge, old ? into->items[i++] : from->items[j++]);
    }
    merge_gap_until(&merge, UINT64_MAX);
    free(into->items);
    *into = (struct run){merge.pieces, merge.count, capacity, 0};
    from->count = 0;
    return true;
}

// Makes room in the tail, and wherever that overflows.
static bool settle(struct mem_copy *copy)
{
    if (copy->tail.count)
        qsort(copy->tail.items, copy->tail.count, sizeof(*copy->tail.items), piece_compare);
    if (!merge_runs(&copy->levels[0], &copy->tail))
        return false;
    size_t room = TAIL_PIECES;
    for (size_t i = 0; i + 1 < LEVELS; i++) {
        room *= 8;
        if (copy->levels[i].count < room)
            break;
        if (!merge_runs(&copy->levels[i + 1], &copy->levels[i]))
            return false;
    }
    return true;
}

static bool push(struct mem_copy *copy, struct piece piece)
{
    if (copy->tail.count >= TAIL_PIECES && !settle(copy))
        return false;
    return vec_push(&copy->tail, piece);
}

bool mem_copy_commit(struct mem_copy *copy, struct mem_range range, void *bytes, size_t got)
{
    if (got && !push(copy, (struct piece){range.addr, range.addr + got, bytes, false}))
        return false;
    copy->bytes += got;
    return got == range.size ||
           push(copy, (struct piece){range.addr + got, range.addr + range.size, NULL, false});
}

static struct piece *find_in(struct run *run, uint64_t addr)
{
    struct piece *items = run->items;
    if (run->last < run->count && addr >= items[run->last].start && addr < items[run->last].end)
        return &items[run->last];
    size_t at = run->last = bisect(run->count, i, items[i].end <= addr);
    return at < run->count && addr >= items[at].start ? &items[at] : NULL;
}

// The newest bytes at addr; a gap only where there are none.
static struct piece *find(struct mem_copy *copy, uint64_t addr)
{
    struct piece *gap = NULL;
    for (size_t i = copy->tail.count; i > 0; i--) {
        struct piece *piece = &copy->tail.items[i - 1];
        if (addr < piece->start || addr >= piece->end)
            continue;
        if (piece->bytes)
            return piece;
        gap = piece;
    }
    for (size_t i = 0; i < LEVELS; i++) {
        struct piece *piece = find_in(&copy->levels[i], addr);
        if (piece && piece->bytes)
            return piece;
        if (piece)
            gap = piece;
    }
    return gap;
}

// Copies what is there from addr on; *ret_gap: it ended at a known gap, not at a miss. `use`: it
// counts as used.
static size_t copy_some(struct mem_copy *copy, uint64_t addr, void *buffer, size_t size, bool use,
                        bool *ret_gap)
{
    size_t done = 0;
    *ret_gap = false;
    while (done < size) {
        uint64_t here = addr + done;
        struct piece *piece = find(copy, here);
        if (!piece)
            break;
        if (!piece->bytes) {
            *ret_gap = true;
            break;
        }
        size_t want = piece->end - here < size - done ? piece->end - here : size - done;
        if (buffer) {
            memcpy((unsigned char *)buffer + done, piece->bytes + (here - piece->start), want);
            piece->used |= use;
        }
        done += want;
    }
    return done;
}

struct mem_range mem_copy_window(struct mem_range range)
{
    // Whoever reads one field of an object reads others next. Not past the page: that one may
    // never have been touched, and reading it would grow the target's page tables.
    uint64_t page_end = (range.addr / PAGE_BYTES + 1) * PAGE_BYTES;
    size_t window = page_end - range.addr < WINDOW_BYTES ? page_end - range.addr : WINDOW_BYTES;
    if (range.size < window)
        range.size = window;
    // The very last byte of the address space has no end to name; nothing lies there.
    if (range.size > UINT64_MAX - range.addr)
        range.size = UINT64_MAX - range.addr;
    return range;
}

// Reads what is missing from the fallback, and keeps it.
static size_t read_through(struct mem_copy *copy, uint64_t addr, void *buffer, size_t size)
{
    struct mem_range range = mem_copy_window((struct mem_range){addr, size});
    void *place;
    if (!mem_copy_reserve(copy, range, &place))
        return 0;
    range.size = mem_read_some(copy->fallback, addr, place, range.size);
    if (range.size && !push(copy, (struct piece){addr, addr + range.size, place, true}))
        return 0;
    copy->bytes += range.size;
    size_t got = range.size < size ? range.size : size;
    memcpy(buffer, place, got);
    return got;
}

void mem_copy_keep_log(struct mem_copy *copy, bool on)
{
    copy->logging = on;
    // Not to grow under a stop.
    if (on)
        (void)(vec_reserve(&copy->log, LOG_RANGES) && vec_reserve(&copy->log_bytes, LOG_BYTES));
}

const struct mem_ranges *mem_copy_log(const struct mem_copy *copy, const unsigned char **ret_bytes)
{
    *ret_bytes = copy->log_bytes.items;
    return &copy->log;
}

void mem_copy_clear_log(struct mem_copy *copy)
{
    copy->log.count = 0;
    copy->log_bytes.count = 0;
}

static void write_down(struct mem_copy *copy, uint64_t addr, const void *bytes, size_t size)
{
    if (!size || !vec_reserve(&copy->log_bytes, copy->log_bytes.count + size) ||
        !vec_push(&copy->log, (struct mem_range){addr, size}))
        return;
    memcpy(copy->log_bytes.items + copy->log_bytes.count, bytes, size);
    copy->log_bytes.count += size;
}

void mem_copy_log_range(struct mem_copy *copy, uint64_t addr, size_t size)
{
    unsigned char bytes[PAGE_BYTES];
    bool gap;
    while (copy->logging && size) {
        size_t want = size < sizeof(bytes) ? size : sizeof(bytes);
        size_t got = copy_some(copy, addr, bytes, want, false, &gap);
        write_down(copy, addr, bytes, got);
        if (got < want)
            break;
        addr += got;
        size -= got;
    }
}

static size_t copy_read(void *arg, uint64_t addr, void *buffer, size_t size)
{
    struct mem_copy *copy = arg;
    bool gap;
    size_t done = copy_some(copy, addr, buffer, size, true, &gap);
    if (done < size && copy->fallback)
        done += read_through(copy, addr + done, (unsigned char *)buffer + done, size - done);
    else if (done < size && !gap)
        (void)vec_push(&copy->misses, (struct mem_range){addr + done, size - done});
    if (copy->logging)
        write_down(copy, addr, buffer, done);
    return done;
}

bool mem_copy_has(struct mem_copy *copy, uint64_t addr, size_t size)
{
    bool gap;
    return copy_some(copy, addr, NULL, size, false, &gap) == size;
}

void mem_copy_want(struct mem_copy *copy, uint64_t addr, size_t size)
{
    bool gap;
    if (size > UINT64_MAX - addr)
        size = UINT64_MAX - addr;
    size_t done = copy_some(copy, addr, NULL, size, false, &gap);
    if (done < size && !gap)
        (void)vec_push(&copy->misses, (struct mem_range){addr + done, size - done});
}

bool mem_copy_used(struct mem_copy *copy, struct mem_ranges *ret)
{
    vec_clear(ret);
    if (!settle(copy))
        return false;
    struct run *all = &copy->levels[LEVELS - 1];
    for (size_t i = 0; i + 1 < LEVELS; i++)
        if (!merge_runs(all, &copy->levels[i]))
            return false;
    vec_foreach (piece, all) {
        if (!piece->used || !piece->bytes)
            continue;
        struct mem_range *last = ret->count ? &ret->items[ret->count - 1] : NULL;
        // A small hole costs less to read than another element of the batch.
        if (last && piece->start - (last->addr + last->size) <= MERGE_BYTES &&
            piece->start / PAGE_BYTES == (last->addr + last->size) / PAGE_BYTES)
            last->size = piece->end - last->addr;
        else if (!vec_push(ret, (struct mem_range){piece->start, piece->end - piece->start}))
            return false;
    }
    return true;
}

const struct mem_ranges *mem_copy_misses(const struct mem_copy *copy)
{
    return &copy->misses;
}

void mem_copy_clear_misses(struct mem_copy *copy)
{
    copy->misses.count = 0;
}

size_t mem_copy_bytes(const struct mem_copy *copy)
{
    return copy->bytes;
}
