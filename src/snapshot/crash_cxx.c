// SPDX-License-Identifier: GPL-3.0-or-later
// The C++ exception that nobody caught: std::terminate() was called by __cxa_throw(), or by what else
// throws, whose frames still point to it. Itanium C++ ABI, "Exception Handling" 2.2.
#include <stdlib.h>
#include <string.h>

#include "image/demangle.h"
#include "image/symbols.h"
#include "snapshot/crash_private.h"
#include "util/guard.h"

#define SEARCHED_BYTES (64u << 10) // of the stack
#define FRAMES_SEARCHED 24
#define BASES_MAX 8

// _Unwind_Exception lies right before the object: 32 bytes, the class first ("GNUCC++" and 0, or 1 for
// one that is thrown again). Before it __cxa_exception, which begins with the type (libstdc++-v3,
// libsupc++/unwind-cxx.h).
enum { HEADER_BYTES = 32, EXCEPTION_BYTES = 112 };
#define CLASS_GNU 0x474e5543432b2b00ull

static uint64_t word_at(const struct crash_site *site, uint64_t address)
{
    uint64_t word = 0;
    AUTO_ERR struct err *err = mem_read_u64(site->target->mem, address, &word);
    return err ? 0 : word;
}

static const char *name_of(const struct crash_site *site, const struct unwind_frame *frame)
{
    uint64_t pc = frame->exact_pc ? frame->pc : frame->pc - 1;
    struct module *module = image_module_at(site->image, pc);
    struct image_symbol symbol;
    if (!module || !image_symbol_at(site->image, module, pc, &symbol))
        return "";
    return symbol.raw_name ? symbol.raw_name : symbol.name;
}

// The frame that may know it: of what throws, else of std::terminate(). SIZE_MAX: it was neither.
static size_t thrower(const struct crash_site *site)
{
    const struct unwind_frames *frames = &site->native->frames;
    size_t terminate = SIZE_MAX;
    for (size_t i = site->fault_frame; i < frames->count && i < FRAMES_SEARCHED; i++) {
        const char *name = name_of(site, &frames->items[i]);
        if (strcmp(name, "__cxa_throw") == 0 || strcmp(name, "__cxa_rethrow") == 0)
            return i;
        if (strcmp(name, "_ZSt9terminatev") == 0)
            terminate = i;
    }
    return terminate;
}

static bool is_thrown(const struct crash_site *site, uint64_t object)
{
    return object % 8 == 0 && object > EXCEPTION_BYTES &&
           (word_at(site, object - HEADER_BYTES) & ~1ull) == CLASS_GNU &&
           word_at(site, object - EXCEPTION_BYTES);
}

static uint64_t find_object(const struct crash_site *site, size_t frame)
{
    const struct unwind_frames *frames = &site->native->frames;
    uint64_t start = frames->items[site->fault_frame].sp, end = frames->items[frame].cfa;
    for (uint64_t at = start; at < end && at - start < SEARCHED_BYTES; at += 8) {
        uint64_t word = word_at(site, at);
        if (is_thrown(site, word))
            return word;
        // The header itself is what the unwinder is given.
        if (word % 8 == 0 && is_thrown(site, word + HEADER_BYTES))
            return word + HEADER_BYTES;
    }
    return 0;
}

// std::type_info: a vtable and the mangled name, which may begin with '*'. To be freed.
static char *type_name(const struct crash_site *site, uint64_t type)
{
    AUTO_FREE char *mangled = NULL, *info = NULL, *name = NULL;
    AUTO_ERR struct err *err =
        mem_read_cstr(site->target->mem, word_at(site, type + 8), 1024, &mangled);
    // A type alone is no symbol; that of its type_info is one.
    if (err || asprintf(&info, "_ZTI%s", mangled + (*mangled == '*')) < 0) {
        info = NULL;
        return NULL;
    }
    name = image_demangle(info);
    static const char prefix[] = "typeinfo for ";
    if (name && strncmp(name, prefix, sizeof(prefix) - 1) == 0)
        return strdup(name + sizeof(prefix) - 1);
    return strdup(mangled);
}

// std::logic_error and std::runtime_error hold their text behind the vtable, as the pointer that a
// shared string is. Of a class with one base (__si_class_type_info) that follows.
static char *what(const struct crash_site *site, uint64_t object, uint64_t type)
{
    for (int i = 0; i < BASES_MAX && type; i++) {
        AUTO_FREE char *name = NULL;
        AUTO_ERR struct err *err =
            mem_read_cstr(site->target->mem, word_at(site, type + 8), 256, &name);
        if (err)
            return NULL;
        if (strcmp(name, "St13runtime_error") == 0 || strcmp(name, "St11logic_error") == 0) {
            char *text = NULL;
            AUTO_ERR struct err *unread =
                mem_read_cstr(site->target->mem, word_at(site, object + 8), 1024, &text);
            return unread ? NULL : text;
        }
        uint64_t table = word_at(site, type), start, size;
        struct module *module = image_module_at(site->image, table);
        if (!module ||
            !image_symbol(site->image, module, "_ZTVN10__cxxabiv120__si_class_type_infoE", &start,
                          &size) ||
            table - start > size)
            return NULL;
        type = word_at(site, type + 16);
    }
    return NULL;
}

char *crash_cxx(const struct crash_site *site)
{
    size_t frame = thrower(site);
    char *text = NULL;
    if (frame == SIZE_MAX)
        return NULL;
    uint64_t object = find_object(site, frame);
    if (!object)
        return strdup("std::terminate() was called");
    uint64_t type = word_at(site, object - EXCEPTION_BYTES);
    AUTO_FREE char *name = type_name(site, type);
    AUTO_FREE char *says = what(site, object, type);
    if (asprintf(&text, "terminate called after throwing an instance of '%s'%s%s",
                 name ? name : "an unknown type", says ? ": " : "", says ? says : "") < 0)
        return NULL;
    return text;
}
