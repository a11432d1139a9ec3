// SPDX-License-Identifier: GPL-3.0-or-later
// Finding the Python in a target: symbols first, then the section, then a scan. Several copies may
// be mapped (a static program that also loads libpython): the one that lives is taken.
#include "cpython/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpython/find.h"
#include "util/guard.h"

struct search {
    struct py_process *process;
    struct strtab *strings;
    struct err *best; // the most telling refusal so far
    bool found;
};

static bool try_candidate(void *arg, const struct py_candidate *candidate)
{
    struct search *search = arg;
    struct err *err = py_candidate_try(search->process, candidate, search->strings);
    if (!err) {
        search->found = true;
        return true;
    }
    // A symbol or cookie that turned out dead says more than a look-alike word in memory.
    bool telling = err_code(err) == ERR_UNSUPPORTED || err_code(err) == ERR_NOT_FOUND;
    if (!search->best || telling) {
        err_destroy(search->best);
        search->best = err;
    } else {
        err_destroy(err);
    }
    return false;
}

// Version as far as the module tells it: Py_Version is exported from 3.11 on.
static uint32_t version_of(struct py_process *process, struct module *module)
{
    uint64_t addr, size;
    uint32_t hexversion = 0;
    if (!image_symbol(process->image, module, "Py_Version", &addr, &size))
        return 0;
    AUTO_ERR struct err *err = mem_read_u32(process->target->mem, addr, &hexversion);
    return err ? 0 : hexversion;
}

static bool try_runtime(struct search *search, struct module *module, uint64_t addr,
                        const char *found_by)
{
    struct py_candidate candidate = {.runtime = addr, .found_by = found_by};
    AUTO_ERR struct err *no_cookie = py_debug_offsets_head(
        search->process->target->mem, addr, &candidate.hexversion, &candidate.free_threaded);
    candidate.debug_offsets = !no_cookie;
    if (no_cookie)
        candidate.hexversion = version_of(search->process, module);
    candidate.says_version = candidate.hexversion != 0;
    return try_candidate(search, &candidate);
}

static bool try_module(struct search *search, struct module *module)
{
    struct image *image = search->process->image;
    uint64_t addr, size;
    if (image_symbol(image, module, "_PyRuntime", &addr, &size) &&
        try_runtime(search, module, addr, "symbol _PyRuntime"))
        return true;
    if (image_section(image, module, ".PyRuntime", &addr, &size) &&
        try_runtime(search, module, addr, "section .PyRuntime"))
        return true;
    if (image_symbol(image, module, "interp_head", &addr, &size)) {
        struct py_candidate candidate = {.head_addr = addr, .found_by = "symbol interp_head"};
        if (try_candidate(search, &candidate))
            return true;
    }
    return false;
}

// 3.6 keeps its GIL in statics (Python/ceval_gil.h): the exported current thread state tells the
// holder, the condition variable the waiters.
static void find_statics(struct py_process *process)
{
    uint64_t addr, size;
    for (size_t i = 0; i < image_module_count(process->image); i++) {
        struct module *module = image_module(process->image, i);
        if (process->head_addr < module->start || process->head_addr >= module->end)
            continue;
        if (image_symbol(process->image, module, "_PyThreadState_Current", &addr, &size))
            process->current_addr = addr;
        if (image_symbol(process->image, module, "_PyGC_generation0", &addr, &size))
            process->generation0_addr = addr;
        if (image_symbol(process->image, module, "gil_cond", &addr, &size)) {
            process->gil_cond = addr;
            process->gil_end = addr + size;
        }
    }
}

static void name_version(struct py_process *process)
{
    static const char *const levels[] = {"a", "b", "rc"};
    uint32_t hex = process->hexversion;
    unsigned level = hex >> 4 & 15;
    int size = snprintf(process->version, sizeof(process->version), "%u.%u.%u", hex >> 24,
                        hex >> 16 & 0xff, hex >> 8 & 0xff);
    // PY_VERSION_HEX, Include/patchlevel.h: 0xA alpha, 0xB beta, 0xC candidate, 0xF final.
    if (level >= 10 && level <= 12)
        snprintf(process->version + size, sizeof(process->version) - (size_t)size, "%s%u",
                 levels[level - 10], hex & 15);
}

static bool looks_like(const struct target *target, const char *name)
{
    vec_foreach (mapping, &target->mappings) {
        const char *base = mapping->path ? strrchr(mapping->path, '/') : NULL;
        if (base && strstr(base, name))
            return true;
    }
    return false;
}

static struct err *refusal(struct search *search)
{
    const struct target *target = search->process->target;
    if (looks_like(target, "pypy"))
        return err_create(ERR_UNSUPPORTED, "this is PyPy; pycore reads CPython 3.6 to 3.15");
    if (search->best &&
        (err_code(search->best) == ERR_UNSUPPORTED || err_code(search->best) == ERR_NOT_FOUND)) {
        struct err *best = TAKE(search->best);
        return err_wrap(best, "no live Python in it");
    }
    if (looks_like(target, "python2"))
        return err_create(ERR_UNSUPPORTED, "this is Python 2; pycore reads CPython 3.6 to 3.15");
    if (target->truncated)
        return err_create(ERR_NOT_FOUND,
                          "no Python could be found in what is left of the core: %llu bytes of its "
                          "memory are cut off (%s)",
                          (unsigned long long)target->missing_bytes,
                          target->why_cut ? target->why_cut : "\"ulimit -c\", or a full disk?");
    if (looks_like(target, "python") && target->why_absent)
        return err_create(ERR_NOT_FOUND, "Python is mapped, but its runtime could not be found: %s",
                          target->why_absent);
    AUTO_FREE char *missing = image_missing_interpreter(search->process->image);
    if (looks_like(target, "python") && target->kind == TARGET_CORE)
        return err_create(ERR_NOT_FOUND,
                          "Python is mapped, but its runtime could not be found; name the binary "
                          "that ran with --exe or --sysroot%s%s",
                          missing ? ": not at hand, or only in another build: " : "",
                          missing ? missing : "");
    if (looks_like(target, "python"))
        return err_create(ERR_NOT_FOUND, "Python is mapped, but its runtime could not be found "
                                         "(is it just starting, or ending?)");
    return err_create(ERR_NOT_FOUND, "no Python in it (the program is %s)",
                      target->exe ? target->exe : "not known");
}

// By symbols and sections.
static void find_named(struct search *search)
{
    struct image *image = search->process->image;
    for (size_t i = 0; !search->found && i < image_module_count(image); i++)
        try_module(search, image_module(image, i));
}

static void find(struct search *search)
{
    find_named(search);
    if (!search->found)
        py_scan(search->process->target, try_candidate, search);
}

bool py_process_may_have_begun(struct target *target, struct image *image, struct strtab *strings)
{
    struct py_process process = {.target = target, .image = image};
    struct search search = {.process = &process, .strings = strings};
    find_named(&search);
    bool dead = !search.found && search.best && err_code(search.best) != ERR_UNSUPPORTED;
    err_destroy(search.best);
    py_decoder_deinit(&process.dec);
    return !dead;
}

struct err *py_process_open(struct target *target, struct image *image, struct strtab *strings,
                            struct py_process **ret)
{
    struct py_process *process = calloc(1, sizeof(*process));
    if (!process)
        return err_create(ERR_NO_MEMORY, "process");
    process->target = target;
    process->image = image;
    struct search search = {.process = process, .strings = strings};
    find(&search);
    if (!search.found) {
        struct err *err = refusal(&search);
        err_destroy(search.best);
        py_process_close(process);
        return err;
    }
    err_destroy(search.best);
    if (process->dec.layout.version == 0x0306)
        find_statics(process);
    name_version(process);
    *ret = process;
    return NULL;
}

void py_process_close(struct py_process *process)
{
    if (!process)
        return;
    py_decoder_deinit(&process->dec);
    free(process->asyncio);
    free(process);
}

const char *py_build_name(uint8_t build)
{
    bool debug = build & PY_BUILD_DEBUG;
    if (build & PY_BUILD_FREE_THREADED)
        return debug ? "free-threaded debug" : "free-threaded";
    return debug ? "debug" : "release";
}
