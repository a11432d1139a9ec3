// SPDX-License-Identifier: GPL-3.0-or-later
// Which native frame runs which Python frames.
//
// 3.11+: by address. The shim frame (3.11: the _PyCFrame) is a local of the evaluation loop, so the
// activation whose [SP, CFA) holds it is the one: that needs no name and no count. Up to 3.10 each
// Python frame has an evaluation loop of its own, and they are counted from the outermost; where
// the counts do not agree, a pair needs evidence: the frame object's address on the loop's own
// piece of the stack.
#include <stdlib.h>
#include <string.h>

#include "snapshot/merge.h"
#include "util/bisect.h"
#include "util/guard.h"

#define LOOP_BYTES 4096 // of an activation that are looked at for evidence
#define AHEAD 16        // pieces that may have no loop between two that have

// ---- By address ---------------------------------------------------------------------------------

struct span {
    uint64_t sp, cfa;
    size_t at;
};

static int span_compare(const void *left, const void *right)
{
    const struct span *a = left, *b = right;
    return a->sp < b->sp ? -1 : a->sp > b->sp;
}

// The activation that holds addr, or SIZE_MAX.
static size_t span_at(const struct span *spans, size_t count, uint64_t addr)
{
    size_t above = bisect(count, i, spans[i].sp <= addr);
    return above && addr < spans[above - 1].cfa ? spans[above - 1].at : SIZE_MAX;
}

// No native frame is a loop, nor may be one.
static bool no_loops(const struct merge *merge, const uint32_t *known)
{
    for (size_t i = 0; i < merge->native->frames.count; i++) {
        const struct snap_native *native = snap_native_get(merge->natives, known[i]);
        if (native->role == NATIVE_LOOP || (native->of_interpreter && !native->named))
            return false;
    }
    return true;
}

static bool pair_by_address(const struct merge *merge, const uint32_t *known,
                            struct merge_pieces *pieces)
{
    const struct unwind_frames *frames = &merge->native->frames;
    AUTO_FREE struct span *spans = calloc(frames->count + 1, sizeof(*spans));
    if (!spans)
        return false;
    size_t count = 0;
    bool sorted = true;
    for (size_t i = 0; i < frames->count; i++) {
        const struct unwind_frame *frame = &frames->items[i];
        // The kernel's frame may reach from one stack to another.
        if (frame->signal || frame->cfa <= frame->sp)
            continue;
        sorted &= !count || spans[count - 1].sp <= frame->sp;
        spans[count++] = (struct span){frame->sp, frame->cfa, i};
    }
    if (!sorted) // alternate signal stacks
        qsort(spans, count, sizeof(*spans), span_compare);
    const struct unwind_frame *last = &frames->items[frames->count - 1];
    bool early = merge->native->end != UNWIND_END_BASE, none = early && no_loops(merge, known);
    vec_foreach (piece, pieces) {
        size_t at = piece->addr ? span_at(spans, count, piece->addr) : SIZE_MAX;
        if (at != SIZE_MAX) {
            piece->at = (ptrdiff_t)at;
            piece->placed = true;
        } else {
            piece->beyond = early && (piece->addr ? piece->addr >= last->sp : none);
        }
    }
    return true;
}

// ---- By count -----------------------------------------------------------------------------------

// The frame objects of all pieces, by address.
struct objects {
    struct object {
        uint64_t addr;
        size_t piece;
    } * items;
    size_t count;
};

static int object_compare(const void *left, const void *right)
{
    const struct object *a = left, *b = right;
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static bool list_objects(const struct merge *merge, const struct merge_pieces *pieces,
                         struct objects *ret)
{
    *ret = (struct objects){calloc(pieces->count + 1, sizeof(*ret->items)), pieces->count};
    if (!ret->items)
        return false;
    for (size_t p = 0; p < pieces->count; p++) {
        const struct merge_piece *piece = &pieces->items[p];
        const struct py_frames *frames = &merge->stacks[piece->stack]->frames;
        bool empty = piece->first >= piece->end;
        ret->items[p] = (struct object){empty ? 0 : frames->items[piece->first].addr, p};
    }
    qsort(ret->items, ret->count, sizeof(*ret->items), object_compare);
    return true;
}

static size_t piece_of(const struct objects *objects, uint64_t word)
{
    const struct object key = {.addr = word}, *last = objects->items + objects->count - 1;
    if (!objects->count || word < objects->items->addr || word > last->addr)
        return SIZE_MAX; // mostly
    const struct object *found =
        bsearch(&key, objects->items, objects->count, sizeof(key), object_compare);
    return found ? found->piece : SIZE_MAX;
}

// Which of the pieces [low, high) is the one whose frame object the activation names: the outermost
// (it may know the frame that it is about to run, too). SIZE_MAX: none.
static size_t evidence(const struct merge *merge, const struct objects *objects,
                       const struct unwind_frame *frame, size_t low, size_t high)
{
    uint64_t words[LOOP_BYTES / 8];
    size_t best = SIZE_MAX;
    if (!merge->memory || frame->cfa <= frame->sp)
        return SIZE_MAX;
    uint64_t bytes = frame->cfa - frame->sp;
    size_t got = mem_read_some(merge->memory, frame->sp, words,
                               bytes < LOOP_BYTES ? (size_t)bytes & ~(size_t)7 : LOOP_BYTES);
    for (size_t i = 0; i < got / 8; i++) {
        size_t piece = piece_of(objects, words[i]);
        if (piece >= low && piece < high && (best == SIZE_MAX || piece > best))
            best = piece;
    }
    return best;
}

// The native frames that are evaluation loops, or, in the interpreter's own code without a name
// (stripped ".cold" parts), may be one.
struct loops {
    VEC(size_t) at;
    size_t certain; // how many are known by name
    bool guessed;   // frames on the way were guessed: some may be missing
};

static bool find_loops(const struct merge *merge, const uint32_t *known, struct loops *ret)
{
    const struct unwind_frames *frames = &merge->native->frames;
    for (size_t i = 0; i < frames->count; i++) {
        const struct snap_native *native = snap_native_get(merge->natives, known[i]);
        bool loop = native->role == NATIVE_LOOP;
        ret->certain += loop;
        ret->guessed |= frames->items[i].how == UNWIND_SCAN;
        bool maybe = native->of_interpreter && !native->named;
        if ((loop || maybe) && !vec_push(&ret->at, i))
            return false;
    }
    return true;
}

static void place(struct merge_piece *piece, size_t at)
{
    piece->at = (ptrdiff_t)at;
    piece->placed = true;
}

// From the outermost: loop n belongs to piece n. The newest loop may not have its frame yet, or not
// any more, and the newest frame may be about to leave its loop.
static void pair_by_count(const struct merge *merge, const uint32_t *known,
                          const struct loops *loops, struct merge_pieces *pieces)
{
    size_t p = pieces->count;
    for (size_t i = loops->at.count; i-- > 0 && p > 0;)
        if (snap_native_get(merge->natives, known[loops->at.items[i]])->role == NATIVE_LOOP)
            place(&pieces->items[--p], loops->at.items[i]);
    if (p == 1)
        pieces->items[0].placed = true; // innermost of all
}

static bool pair_by_evidence(const struct merge *merge, const struct loops *loops,
                             struct merge_pieces *pieces)
{
    struct objects objects;
    if (!list_objects(merge, pieces, &objects))
        return false;
    size_t high = pieces->count;
    // Where the walk ended early, any frame may be the outermost one that was reached.
    bool first = merge->native->end != UNWIND_END_BASE;
    for (size_t i = loops->at.count; i-- > 0 && high > 0;) {
        const struct unwind_frame *frame = &merge->native->frames.items[loops->at.items[i]];
        size_t low = first || high < AHEAD ? 0 : high - AHEAD;
        size_t p = evidence(merge, &objects, frame, low, high);
        if (p == SIZE_MAX)
            continue;
        place(&pieces->items[p], loops->at.items[i]);
        if (first)
            for (size_t k = p + 1; k < pieces->count; k++)
                pieces->items[k].beyond = true;
        first = false;
        high = p;
    }
    free(objects.items);
    return true;
}

// One loop more or less than frames: is it the newest that makes the difference? A greenlet's frames,
// whose outermost loop is its parent's, do not begin at the outermost one. Without memory, yes.
static bool outermost_agrees(const struct merge *merge, const struct loops *loops,
                             const struct merge_pieces *pieces)
{
    struct objects objects;
    if (!merge->memory || !loops->at.count || !pieces->count)
        return true;
    if (!list_objects(merge, pieces, &objects))
        return false;
    size_t outermost = loops->at.items[loops->at.count - 1];
    bool agrees = evidence(merge, &objects, &merge->native->frames.items[outermost], 0,
                           pieces->count) == pieces->count - 1;
    free(objects.items);
    return agrees;
}

static bool pair_in_order(const struct merge *merge, const uint32_t *known,
                          struct merge_pieces *pieces)
{
    struct loops loops = {0};
    bool ok = find_loops(merge, known, &loops);
    bool whole = merge->native->end == UNWIND_END_BASE && !loops.guessed;
    vec_foreach (piece, pieces)
        whole &= !merge->stacks[piece->stack]->cut;
    bool nearly = loops.certain == pieces->count + 1 || loops.certain + 1 == pieces->count;
    bool agree =
        loops.certain == pieces->count || (nearly && outermost_agrees(merge, &loops, pieces));
    if (ok && !loops.at.count && merge->native->end != UNWIND_END_BASE)
        vec_foreach (piece, pieces)
            piece->beyond = true;
    else if (ok && whole && agree)
        pair_by_count(merge, known, &loops, pieces);
    else if (ok)
        ok = pair_by_evidence(merge, &loops, pieces);
    vec_deinit(&loops.at);
    return ok;
}

// ---- Both ---------------------------------------------------------------------------------------

// One thread state's pieces. The order of Python's frames is certain: a native frame that
// contradicts it is not theirs. What has no place of its own comes after what was called before it;
// what lies further out than all that has a place comes at the end.
static void keep_order(const struct merge *merge, struct merge_piece *pieces, size_t count)
{
    ptrdiff_t last = -1;
    size_t tail = 0;
    for (size_t i = 0; i < count; i++) {
        struct merge_piece *piece = &pieces[i];
        piece->placed &= piece->at >= last;
        if (piece->placed) {
            last = piece->at;
            tail = i + 1;
        }
        piece->at = last;
    }
    bool out = tail > 0;
    for (size_t i = 0; i < count; i++)
        pieces[i].beyond &= i >= tail;
    for (size_t i = tail; i < count; i++) {
        out |= pieces[i].beyond;
        if (out)
            pieces[i].at = (ptrdiff_t)merge->native->frames.count;
    }
}

bool merge_pair(const struct merge *merge, const uint32_t *known, struct merge_pieces *pieces)
{
    vec_foreach (piece, pieces)
        piece->at = -1;
    if (!(merge->version >= 0x030b ? pair_by_address(merge, known, pieces)
                                   : pair_in_order(merge, known, pieces)))
        return false;
    for (size_t begin = 0, end; begin < pieces->count; begin = end) {
        for (end = begin; end < pieces->count; end++)
            if (pieces->items[end].stack != pieces->items[begin].stack)
                break;
        keep_order(merge, &pieces->items[begin], end - begin);
    }
    return true;
}
