// SPDX-License-Identifier: GPL-3.0-or-later
// What the program said when it ended itself, where memory still holds it: CPython's fatal errors, the C
// library's own and those of assertions, C++ exceptions that nobody caught.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "image/symbols.h"
#include "snapshot/crash_private.h"
#include "util/guard.h"
#include "util/redact.h"

#define TEXT_MAX_BYTES 1024
#define BELOW_BYTES (32u << 10)  // of the stack, left by calls that have returned
#define WITHIN_BYTES (64u << 10) // of the stack that fatal_error() and its callers use
#define CODE_BYTES 48            // before a call
#define FATAL "Fatal Python error: "

// A text as people write it, of one line or more; NULL: it is none. To be freed.
static char *read_text(const struct crash_site *site, uint64_t address)
{
    AUTO_FREE char *text = NULL;
    if (!address || !target_mapping_at(site->target, address))
        return NULL;
    AUTO_ERR struct err *err = mem_read_cstr(site->target->mem, address, TEXT_MAX_BYTES, &text);
    if (err)
        return NULL;
    size_t size = strlen(text);
    while (size && (text[size - 1] == '\n' || text[size - 1] == ' '))
        text[--size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t') ||
            (unsigned char)text[i] == 0x7f)
            return NULL;
    return size >= 4 ? TAKE(text) : NULL;
}

// ---- CPython -------------------------------------------------------------------------------------

// Python/pylifecycle.c: the outermost of them was called with what it is about.
static bool is_fatal(const struct crash_site *site, const struct unwind_frame *frame)
{
    static const char *const names[] = {"Py_FatalError", "_Py_FatalErrorFunc",
                                        "_Py_FatalErrorFormat", "fatal_error", "fatal_error_exit"};
    uint64_t pc = frame->exact_pc ? frame->pc : frame->pc - 1;
    struct module *module = image_module_at(site->image, pc);
    struct image_symbol symbol;
    if (!module || !image_symbol_at(site->image, module, pc, &symbol))
        return false;
    const char *name = symbol.raw_name ? symbol.raw_name : symbol.name;
    size_t size = strcspn(name, ".");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return true;
    return false;
}

// What the C library wrote to an unbuffered stderr went through a buffer on the stack.
static char *in_dead_stack(const struct crash_site *site)
{
    uint64_t sp = site->native->frames.items[0].sp;
    AUTO_FREE char *bytes = malloc(BELOW_BYTES + 1);
    if (!bytes || sp < BELOW_BYTES)
        return NULL;
    size_t size = mem_read_some(site->target->mem, sp - BELOW_BYTES, bytes, BELOW_BYTES);
    char *found = memmem(bytes, size, FATAL, strlen(FATAL));
    if (!found)
        return NULL;
    char *begin = found + strlen(FATAL);
    size_t length = 0, left = size - (size_t)(begin - bytes);
    while (length < left && begin[length] != '\n' && (unsigned char)begin[length] >= 0x20)
        length++;
    return length >= 4 && length < left && begin[length] == '\n' ? strndup(begin, length) : NULL;
}

// x86_64: `lea rsi, [rip + x]` (48 8d 35) or rdi (48 8d 3d) before the call loads a constant.
static char *constant(const struct crash_site *site, uint64_t return_address, uint8_t modrm)
{
    uint8_t code[CODE_BYTES];
    uint64_t from = return_address - sizeof(code);
    AUTO_ERR struct err *err = mem_read(site->target->mem, from, code, sizeof(code));
    for (size_t i = sizeof(code) - 7; !err && i-- > 0;) {
        int32_t distance;
        if (code[i] != 0x48 || code[i + 1] != 0x8d || code[i + 2] != modrm)
            continue;
        memcpy(&distance, code + i + 3, sizeof(distance));
        return read_text(site, from + i + 7 + (uint64_t)(int64_t)distance);
    }
    return NULL;
}

// A pointer to a text in the frames themselves; of several, the one that has words in it.
static char *in_frames(const struct crash_site *site, uint64_t start, uint64_t end)
{
    char *best = NULL;
    for (uint64_t at = start; at < end && at - start < WITHIN_BYTES; at += 8) {
        uint64_t word;
        AUTO_ERR struct err *err = mem_read_u64(site->target->mem, at, &word);
        char *text = err ? NULL : read_text(site, word);
        if (text && (!best || (strchr(text, ' ') && !strchr(best, ' ')))) {
            free(best);
            best = text;
        } else {
            free(text);
        }
    }
    return best;
}

static char *fatal_error(const struct crash_site *site)
{
    const struct unwind_frames *frames = &site->native->frames;
    size_t first = SIZE_MAX, last = 0;
    for (size_t i = 0; i < frames->count && i < 16; i++)
        if (is_fatal(site, &frames->items[i])) {
            first = first == SIZE_MAX ? i : first;
            last = i;
        }
    if (first == SIZE_MAX)
        return NULL;
    char *text = in_dead_stack(site);
    AUTO_FREE char *function = NULL, *message = NULL;
    if (text || last + 1 >= frames->count)
        return text;
    uint64_t caller = frames->items[last + 1].pc;
    message = constant(site, caller, 0x35);
    function = constant(site, caller, 0x3d);
    if (!message)
        message = TAKE(function);
    if (!message)
        message = in_frames(site, frames->items[first].sp, frames->items[last + 1].sp);
    if (message && function && asprintf(&text, "%s: %s", function, message) < 0)
        text = NULL;
    return text ? text : TAKE(message);
}

// ---- The C library -------------------------------------------------------------------------------

// glibc, assert/assert.c and sysdeps/posix/libc_fatal.c: struct abort_msg_s {unsigned size; char msg[]}.
static char *abort_message(const struct crash_site *site)
{
    for (size_t i = 0; i < image_module_count(site->image); i++) {
        struct module *module = image_module(site->image, i);
        const char *slash = module->path ? strrchr(module->path, '/') : NULL;
        uint64_t address, size, at;
        if (!slash || strncmp(slash, "/libc", 5) != 0 || (slash[5] != '.' && slash[5] != '-') ||
            !image_symbol(site->image, module, "__abort_msg", &address, &size))
            continue;
        AUTO_ERR struct err *err = mem_read_u64(site->target->mem, address, &at);
        return err || !at ? NULL : read_text(site, at + 4);
    }
    return NULL;
}

// ---- All of them ---------------------------------------------------------------------------------

static uint32_t say(const struct crash_site *site, const char *prefix, const char *text)
{
    size_t hidden = 0;
    AUTO_FREE char *safe = site->in->show_secrets ? strdup(text) : redact_text(text, &hidden);
    return safe ? crash_text(site, "%s%s", prefix, safe) : 0;
}

uint32_t crash_message(const struct crash_site *site)
{
    AUTO_FREE char *fatal = site->native ? fatal_error(site) : NULL;
    if (fatal)
        return say(site, FATAL, fatal);
    AUTO_FREE char *aborted = abort_message(site);
    if (aborted)
        return say(site, "", aborted);
    bool gave_up = site->native && site->signal.signo == SIGABRT;
    AUTO_FREE char *thrown = gave_up ? crash_cxx(site) : NULL;
    return thrown ? say(site, "", thrown) : 0;
}
