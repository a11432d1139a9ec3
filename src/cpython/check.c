// SPDX-License-Identifier: GPL-3.0-or-later
// Is this a live runtime, and of which version and build? A candidate is believed only when its
// interpreter, thread state and sys.__dict__ lead to each other and sys.hexversion agrees.
#include <stdio.h>
#include <string.h>

#include "cpython/find.h"
#include "util/guard.h"

struct facts {
    uint32_t hexversion;
    uint8_t build;
    bool build_known;
};

// What sys.__dict__ says of version and build; ERR_BAD_DATA when it contradicts the layout.
static struct err *read_facts(struct py_decoder *dec, uint64_t sysdict, struct facts *ret)
{
    uint64_t object, total_refs, objects;
    int64_t hexversion = 0;
    TRY(py_dict_get(dec, sysdict, "hexversion", &object));
    if (object)
        TRY(py_int(dec, object, &hexversion));
    if (hexversion >> 16 != dec->layout.version)
        return err_create(ERR_BAD_DATA, "sys.hexversion is 0x%llx", (unsigned long long)hexversion);
    ret->hexversion = (uint32_t)hexversion;
    TRY(py_dict_get(dec, sysdict, "gettotalrefcount", &total_refs));
    TRY(py_dict_get(dec, sysdict, "getobjects", &objects));
    ret->build |= (total_refs ? PY_BUILD_DEBUG : 0) | (objects ? PY_BUILD_TRACE_REFS : 0);
    return NULL;
}

static struct err *attempt(struct py_process *process, const struct py_candidate *candidate,
                           const struct py_layout *layout, struct strtab *strings)
{
    struct mem *mem = process->target->mem;
    uint64_t head_addr = candidate->head_addr, interp, tstate, back, sysdict;
    if (candidate->runtime && py_layout_has(layout, PY_RT_interpreters_head))
        head_addr = candidate->runtime + py_offset(layout, PY_RT_interpreters_head);
    if (!head_addr)
        return err_create(ERR_BAD_DATA, "no interpreter list");
    TRY(mem_read_u64(mem, head_addr, &interp));
    if (!interp)
        return err_create(ERR_NOT_FOUND, "its interpreter has not started, or has finished");
    if (interp % 8)
        return err_create(ERR_BAD_DATA, "no interpreter");
    TRY(py_read(mem, layout, interp, PY_IS_threads_head, &tstate));
    if (!tstate || tstate % 8)
        return err_create(ERR_BAD_DATA, "no thread state");
    TRY(py_read(mem, layout, tstate, PY_TS_interp, &back));
    if (back != interp)
        return err_create(ERR_BAD_DATA, "thread state and interpreter disagree");
    struct py_decoder dec;
    struct facts facts = {
        .hexversion = candidate->hexversion, .build = layout->build, .build_known = true};
    TRY(py_decoder_init(&dec, layout, mem, strings));
    struct err *err = py_read(mem, layout, interp, PY_IS_sysdict, &sysdict);
    if (!err)
        err = read_facts(&dec, sysdict, &facts);
    if (err && err_code(err) == ERR_FAULT && candidate->says_version &&
        process->target->kind == TARGET_CORE) {
        // A core that lost its heap: the runtime says its version itself.
        err_destroy(err);
        err = NULL;
        facts.build_known = false;
    }
    if (err) {
        py_decoder_deinit(&dec);
        return err;
    }
    process->dec = dec;
    process->dec.layout.build = facts.build;
    process->build_known = facts.build_known;
    process->hexversion = facts.hexversion;
    process->head_addr = head_addr;
    process->runtime = candidate->runtime;
    process->found_by = candidate->found_by;
    return NULL;
}

// The layout of an exact version and build; 3.13+ describe themselves on top of it.
static struct err *layout_of(struct py_process *process, const struct py_candidate *candidate,
                             uint32_t hexversion, uint8_t build, struct py_layout *ret)
{
    TRY(py_layout_static((uint16_t)(hexversion >> 16), (uint8_t)(hexversion >> 8), build, ret));
    if (candidate->debug_offsets)
        return py_layout_import(process->target->mem, candidate->runtime, ret);
    return NULL;
}

struct err *py_candidate_try(struct py_process *process, const struct py_candidate *candidate,
                             struct strtab *strings)
{
    size_t count;
    const uint16_t *versions = py_layout_versions(&count);
    static const uint8_t builds[] = {PY_BUILD_RELEASE, PY_BUILD_DEBUG,
                                     PY_BUILD_DEBUG | PY_BUILD_TRACE_REFS};
    struct err *best = NULL;
    for (size_t i = 0; i < count; i++) {
        uint16_t version = versions[i];
        // Self-describing versions are tried only where they describe themselves.
        if (candidate->hexversion ? candidate->hexversion >> 16 != version : version >= 0x030d)
            continue;
        if ((version == 0x0306) != (candidate->runtime == 0))
            continue;
        for (size_t b = 0; b < ARRAY_SIZE(builds); b++) {
            uint32_t hexversion =
                candidate->hexversion ? candidate->hexversion : (uint32_t)version << 16 | 0xff00;
            uint8_t build = builds[b];
            if (candidate->free_threaded)
                build = (uint8_t)((build & ~PY_BUILD_RELEASE) | PY_BUILD_FREE_THREADED);
            struct py_layout layout;
            struct err *err = layout_of(process, candidate, hexversion, build, &layout);
            if (!err)
                err = attempt(process, candidate, &layout, strings);
            if (!err) {
                err_destroy(best);
                // Once more with the patch level and build that sys itself names.
                uint8_t exact = process->dec.layout.build;
                py_decoder_deinit(&process->dec);
                if (layout_of(process, candidate, process->hexversion, exact, &layout))
                    layout = process->dec.layout;
                return attempt(process, candidate, &layout, strings);
            }
            // "Not started" says more than the guesses that follow it.
            if (!best || err_code(err) == ERR_NOT_FOUND || err_code(err) == ERR_UNSUPPORTED) {
                err_destroy(best);
                best = err;
            } else {
                err_destroy(err);
            }
        }
    }
    if (!best)
        best = err_create(ERR_UNSUPPORTED,
                          "CPython %u.%u is not supported; this pycore knows 3.6 to 3.15",
                          candidate->hexversion >> 24, candidate->hexversion >> 16 & 0xff);
    return best;
}
