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
#define FATAL_FRAMES 16          // looked at
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

// Python/pylifecycle.c: Py_FatalError(message), _Py_FatalErrorFunc(function, message); the others are
// called by these.
enum fatal { FATAL_NONE, FATAL_MESSAGE, FATAL_FUNCTION_MESSAGE, FATAL_INNER };

static enum fatal fatal_kind(const struct crash_site *site, const struct unwind_frame *frame)
{
    static const struct {
        const char *name;
        enum fatal kind;
    } rows[] = {
        {"Py_FatalError", FATAL_MESSAGE},      {"_Py_FatalErrorFunc", FATAL_FUNCTION_MESSAGE},
        {"_Py_FatalErrorFormat", FATAL_INNER}, {"fatal_error", FATAL_INNER},
        {"fatal_error_exit", FATAL_INNER},
    };
    uint64_t pc = frame->exact_pc ? frame->pc : frame->pc - 1;
    struct module *module = image_module_at(site->image, pc);
    struct image_symbol symbol;
    if (!module || !image_symbol_at(site->image, module, pc, &symbol))
        return FATAL_NONE;
    const char *name = symbol.raw_name ? symbol.raw_name : symbol.name;
    size_t size = strcspn(name, ".");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (strlen(rows[i].name) == size && memcmp(rows[i].name, name, size) == 0)
            return rows[i].kind;
    return FATAL_NONE;
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

// x86_64: what loads a constant's address into an argument before the call: lea reg, [rip + x], and in
// programs at fixed addresses mov reg, imm32 (Intel SDM, volume 2).
enum argument { FIRST, SECOND }; // rdi, rsi
static char *constant(const struct crash_site *site, uint64_t return_address, enum argument which)
{
    static const uint8_t lea[][3] = {{0x48, 0x8d, 0x3d}, {0x48, 0x8d, 0x35}};
    static const uint8_t move[] = {0xbf, 0xbe};
    uint8_t code[CODE_BYTES];
    uint64_t from = return_address - sizeof(code);
    AUTO_ERR struct err *err = mem_read(site->target->mem, from, code, sizeof(code));
    for (size_t i = sizeof(code) - 7; !err && i-- > 0;) {
        int32_t number;
        char *text = NULL;
        if (memcmp(code + i, lea[which], 3) == 0) {
            memcpy(&number, code + i + 3, sizeof(number));
            text = read_text(site, from + i + 7 + (uint64_t)(int64_t)number);
        } else if (code[i] == move[which]) {
            memcpy(&number, code + i + 1, sizeof(number));
            text = read_text(site, (uint32_t)number);
        }
        if (text)
            return text;
    }
    return NULL;
}

// Any bytes may look like a text in another encoding.
static bool is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 0x7f)
        text++;
    return !*text;
}

// The only text that the frames themselves point to; of several, the only one with words in it. It may
// be one that the caller was at work with, so that it is inferred; more than one says nothing.
static char *in_frames(const struct crash_site *site, uint64_t start, uint64_t end)
{
    struct {
        uint64_t at;
        char *text;
        bool more;
    } found[2] = {0}; // without words, with words
    for (uint64_t at = start; at < end && at - start < WITHIN_BYTES; at += 8) {
        uint64_t word;
        AUTO_ERR struct err *err = mem_read_u64(site->target->mem, at, &word);
        AUTO_FREE char *text = err ? NULL : read_text(site, word);
        size_t kind = text && strchr(text, ' ');
        if (!text || !is_ascii(text) || word == found[kind].at)
            continue;
        found[kind].more |= found[kind].text != NULL;
        if (!found[kind].text) {
            found[kind].at = word;
            found[kind].text = TAKE(text);
        }
    }
    size_t kind = found[1].text != NULL;
    char *ret = found[kind].more ? NULL : TAKE(found[kind].text);
    free(found[0].text);
    free(found[1].text);
    return ret;
}

// What the caller gave to the outermost of them.
static char *from_caller(const struct crash_site *site, enum fatal kind, uint64_t return_address)
{
    char *text = NULL;
    if (kind == FATAL_MESSAGE)
        return constant(site, return_address, FIRST);
    if (kind != FATAL_FUNCTION_MESSAGE)
        return NULL;
    AUTO_FREE char *message = constant(site, return_address, SECOND);
    AUTO_FREE char *function = constant(site, return_address, FIRST);
    if (!message || !function || strchr(function, ' '))
        return TAKE(message);
    return asprintf(&text, "%s: %s", function, message) < 0 ? NULL : text;
}

static char *fatal_error(const struct crash_site *site, bool *ret_inferred)
{
    const struct unwind_frames *frames = &site->native->frames;
    enum fatal outer = FATAL_NONE;
    size_t first = SIZE_MAX, last = 0;
    for (size_t i = 0; i < frames->count && i < FATAL_FRAMES; i++) {
        enum fatal kind = fatal_kind(site, &frames->items[i]);
        if (kind == FATAL_NONE)
            continue;
        outer = kind;
        first = first == SIZE_MAX ? i : first;
        last = i;
    }
    if (first == SIZE_MAX)
        return NULL;
    char *text = in_dead_stack(site);
    if (!text && last + 1 < frames->count)
        text = from_caller(site, outer, frames->items[last + 1].pc);
    *ret_inferred = !text;
    if (!text && last + 1 < frames->count)
        text = in_frames(site, frames->items[first].sp, frames->items[last + 1].sp);
    return text;
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

static uint32_t say(const struct crash_site *site, const char *prefix, const char *text,
                    const char *suffix)
{
    size_t hidden = 0;
    AUTO_FREE char *safe = site->in->show_secrets ? strdup(text) : redact_text(text, &hidden);
    return safe ? crash_text(site, "%s%s%s", prefix, safe, suffix) : 0;
}

uint32_t crash_message(const struct crash_site *site)
{
    bool inferred = false, gave_up = site->native && site->signal.signo == SIGABRT;
    AUTO_FREE char *fatal = site->native ? fatal_error(site, &inferred) : NULL;
    if (fatal)
        return say(site, FATAL, fatal, inferred ? " (inferred)" : "");
    AUTO_FREE char *aborted = abort_message(site);
    if (aborted)
        return say(site, "", aborted, "");
    AUTO_FREE char *thrown = gave_up ? crash_cxx(site) : NULL;
    return thrown ? say(site, "", thrown, "") : 0;
}
