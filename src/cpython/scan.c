// SPDX-License-Identifier: GPL-3.0-or-later
// Memory scan for a runtime that no symbol leads to (stripped static programs, sstrip, UPX).
// 3.13+ begins with a cookie; for earlier versions every word that could point to an interpreter
// whose thread state points back is a candidate, checked in full afterwards.
#include <stdlib.h>
#include <string.h>

#include "cpython/find.h"
#include "util/guard.h"
#include "util/limits.h"

#define CHUNK_BYTES (1u << 20)
#define SCAN_LIMIT_BYTES (256u << 20) // .data, .bss and a heap; a model's weights are not searched
#define COOKIE "xdebugpy"             // _Py_Debug_Cookie, Include/internal/pycore_debug_offsets.h

struct scan {
    struct target *target;
    py_candidate_visit *visit;
    void *arg;
    const struct py_layout *layouts; // of the versions without debug offsets
    size_t layout_count;
    uint64_t low, high;          // of all writable memory: a cheap first test for pointers
    size_t pointers, candidates; // looked at so far
};

static bool could_point(const struct scan *scan, uint64_t word)
{
    // From 3.11 on the main interpreter is a member of _PyRuntime: aligned to a word, not more.
    return word % 8 == 0 && word >= scan->low && word < scan->high;
}

// Does `interp` look like an interpreter of this layout?
static bool plausible(const struct scan *scan, const struct py_layout *layout, uint64_t interp)
{
    uint64_t tstate, back;
    AUTO_ERR struct err *err =
        py_read(scan->target->mem, layout, interp, PY_IS_threads_head, &tstate);
    if (err || tstate % 8 || tstate < scan->low || tstate >= scan->high)
        return false;
    AUTO_ERR struct err *second = py_read(scan->target->mem, layout, tstate, PY_TS_interp, &back);
    return !second && back == interp;
}

// The candidates that are looked at in full are counted.
static bool try_place(struct scan *scan, const struct py_candidate *candidate)
{
    return scan->candidates++ < LIMIT_SCANNED_CANDIDATES && scan->visit(scan->arg, candidate);
}

static bool visit_cookie(struct scan *scan, uint64_t addr)
{
    uint32_t hexversion;
    bool free_threaded;
    AUTO_ERR struct err *err =
        py_debug_offsets_head(scan->target->mem, addr, &hexversion, &free_threaded);
    struct py_candidate candidate = {.runtime = addr,
                                     .hexversion = hexversion,
                                     .free_threaded = free_threaded,
                                     .says_version = true,
                                     .debug_offsets = true,
                                     .found_by = "a scan for its cookie"};
    return !err && try_place(scan, &candidate);
}

static bool visit_word(struct scan *scan, uint64_t addr, uint64_t word)
{
    if (scan->pointers++ >= LIMIT_SCANNED_POINTERS)
        return false;
    for (size_t i = 0; i < scan->layout_count; i++) {
        const struct py_layout *layout = &scan->layouts[i];
        if (!plausible(scan, layout, word))
            continue;
        struct py_candidate candidate = {.hexversion = (uint32_t)layout->version << 16 | 0xff00,
                                         .found_by = "a scan of writable memory"};
        if (py_layout_has(layout, PY_RT_interpreters_head))
            candidate.runtime = addr - py_offset(layout, PY_RT_interpreters_head);
        else
            candidate.head_addr = addr;
        if (try_place(scan, &candidate))
            return true;
    }
    return false;
}

static bool scan_range(struct scan *scan, uint64_t start, uint64_t end, bool words,
                       uint64_t *budget)
{
    AUTO_FREE uint64_t *chunk = malloc(CHUNK_BYTES);
    for (uint64_t at = start; chunk && at < end && *budget;) {
        size_t want = end - at < CHUNK_BYTES ? end - at : CHUNK_BYTES;
        if (want > *budget)
            want = *budget;
        size_t got = mem_read_some(scan->target->mem, at, chunk, want);
        *budget -= want;
        for (size_t i = 0; i + 1 < got / 8; i++) {
            if (memcmp(&chunk[i], COOKIE, 8) == 0 && visit_cookie(scan, at + 8 * i))
                return true;
            if (words && could_point(scan, chunk[i]) && visit_word(scan, at + 8 * i, chunk[i]))
                return true;
        }
        at += want;
    }
    return false;
}

// Data of program files: .data, and .bss, which is the anonymous mapping right behind it.
static bool is_data(const struct target *target, size_t index)
{
    const struct target_mapping *mapping = &target->mappings.items[index];
    if (mapping->path)
        return mapping->path[0] != '[';
    return index > 0 && mapping[-1].path && mapping[-1].path[0] != '[' &&
           mapping[-1].end == mapping->start;
}

bool py_scan(struct target *target, py_candidate_visit *visit, void *arg)
{
    size_t count, layout_count = 0;
    const uint16_t *versions = py_layout_versions(&count);
    AUTO_FREE struct py_layout *layouts = calloc(2 * count, sizeof(*layouts));
    struct scan scan = {
        .target = target, .visit = visit, .arg = arg, .layouts = layouts, .low = UINT64_MAX};
    for (size_t i = 0; layouts && i < count; i++) {
        if (versions[i] >= 0x030d)
            continue;
        AUTO_ERR struct err *err =
            py_layout_static(versions[i], 0xff, PY_BUILD_RELEASE, &layouts[layout_count]);
        layout_count += !err;
    }
    scan.layout_count = layout_count;
    vec_foreach (mapping, &target->mappings) {
        if (!mapping->writable)
            continue;
        scan.low = mapping->start < scan.low ? mapping->start : scan.low;
        scan.high = mapping->end > scan.high ? mapping->end : scan.high;
    }
    uint64_t budget = SCAN_LIMIT_BYTES;
    for (size_t i = 0; i < target->mappings.count; i++) {
        const struct target_mapping *mapping = &target->mappings.items[i];
        if (mapping->writable && mapping->readable && is_data(target, i) &&
            scan_range(&scan, mapping->start, mapping->end, true, &budget))
            return true;
    }
    return false;
}
