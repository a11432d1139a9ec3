// SPDX-License-Identifier: GPL-3.0-or-later
// Writing any object: bounds, cycles, secrets, and which family it belongs to. See cpython/repr.h.
#include "cpython/repr.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"
#include "util/redact.h"

const struct py_repr_options py_repr_defaults = {
    .depth = 4, .items = 20, .chars = 200, .text_bytes = 1000, .objects = 500};

#define END "..."

// ---- Writing ------------------------------------------------------------------------------------

void repr_put(struct repr *repr, const char *bytes, size_t size)
{
    size_t room = repr->options->text_bytes > repr->text.count
                      ? repr->options->text_bytes - repr->text.count
                      : 0;
    if (repr->full || repr->no_memory)
        return;
    if (size > room) {
        repr->full = true;
        // No character is cut in two.
        for (size = room; size && ((unsigned char)bytes[size] & 0xc0) == 0x80; size--)
            ;
    }
    if (!vec_reserve(&repr->text, repr->text.count + size + sizeof(END))) {
        repr->no_memory = true;
        return;
    }
    if (size)
        memcpy(repr->text.items + repr->text.count, bytes, size);
    repr->text.count += size;
    if (repr->full) {
        memcpy(repr->text.items + repr->text.count, END, strlen(END));
        repr->text.count += strlen(END);
    }
}

void repr_puts(struct repr *repr, const char *text)
{
    repr_put(repr, text, strlen(text));
}

void repr_printf(struct repr *repr, const char *fmt, ...)
{
    AUTO_FREE char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int size = vasprintf(&text, fmt, args);
    va_end(args);
    if (size < 0) {
        text = NULL;
        repr->no_memory = true;
        return;
    }
    repr_put(repr, text, (size_t)size);
}

bool repr_next(struct repr *repr, size_t index, size_t count)
{
    if (repr->full || repr->no_memory)
        return false;
    if (index >= count)
        return false;
    if (index)
        repr_puts(repr, ", ");
    if (index < repr->options->items && repr->objects)
        return true;
    repr_printf(repr, "... %zu more", count - index);
    return false;
}

bool repr_enter(struct repr *repr, uint64_t object, const char *cycle, const char *what,
                size_t count)
{
    for (unsigned i = 0; i < repr->depth; i++)
        if (repr->path[i] == object) {
            repr_puts(repr, cycle);
            return false;
        }
    if (repr->depth >= repr->options->depth || repr->depth >= PY_REPR_DEPTH_MAX) {
        repr_printf(repr, "<%s of %zu>", what, count);
        return false;
    }
    repr->path[repr->depth++] = object;
    return true;
}

void repr_leave(struct repr *repr)
{
    repr->depth--;
}

// ---- Secrets ------------------------------------------------------------------------------------

void repr_hidden(struct repr *repr, uint64_t object)
{
    const struct repr_class *class = repr_class_of(repr, object);
    repr_printf(repr, "<hidden %s>", class ? repr_short_name(repr, class) : "object");
    repr->hidden++;
}

// What a secret name stands for. True: written.
static bool write_secret(struct repr *repr, uint64_t object)
{
    const struct repr_class *class = repr_class_of(repr, object);
    if (!class || (class->base && class->base->kind == REPR_PLAIN && !class->of_python))
        return false;
    if (class->is_type)
        return false;
    if (!class->base || class->base->kind == REPR_INSTANCE) {
        repr_puts(repr, "<");
        repr_full_name(repr, class);
        repr_printf(repr, " object at 0x%llx>", (unsigned long long)object);
        repr->hidden++;
        return true;
    }
    repr_hidden(repr, object);
    return true;
}

bool repr_named(struct repr *repr, const char *name, size_t size, uint64_t object)
{
    if (!repr->options->show_secrets && redact_is_secret_name(name, size) && repr->objects) {
        repr->objects--;
        if (write_secret(repr, object))
            return !repr->full && !repr->no_memory;
    }
    // A variable that holds an environment: names alone are shown.
    bool before = repr->hide_values;
    unsigned depth = repr->hide_depth;
    if (redact_is_environment_name(name, size)) {
        repr->hide_values = true;
        repr->hide_depth = repr->depth;
    }
    bool more = repr_object(repr, object);
    repr->hide_values = before;
    repr->hide_depth = depth;
    return more;
}

bool repr_hides_values(const struct repr *repr)
{
    return repr->hide_values && repr->depth <= repr->hide_depth + 1 && !repr->options->show_secrets;
}

bool repr_field(struct repr *repr, const char *name, size_t size, uint64_t object)
{
    repr_put(repr, name, size);
    repr_puts(repr, "=");
    return repr_named(repr, name, size, object);
}

// ---- Objects ------------------------------------------------------------------------------------

// Words that allocators leave in freed and fresh memory: PYMEM_DEADBYTE and its neighbours
// (Objects/obmalloc.c; up to 3.7 0xdb, 0xcb, 0xfb).
static bool is_poison(uint64_t word)
{
    static const uint8_t bytes[] = {0xdd, 0xcd, 0xfd, 0xdb, 0xcb, 0xfb};
    for (size_t i = 0; i < ARRAY_SIZE(bytes); i++)
        if (word == bytes[i] * 0x0101010101010101ull)
            return true;
    return false;
}

// Whether the reference count can be that of a live object. A freed one's is 0, or what an allocator
// has written over it.
static bool is_counted(struct repr *repr, uint64_t object)
{
    const struct py_layout *lay = &repr->dec->layout;
    uint64_t count, shared;
    if (lay->build & PY_BUILD_FREE_THREADED) {
        // Include/object.h: ob_ref_local (u32) at 12, ob_ref_shared, whose low two bits are flags, at 16.
        uint32_t local;
        return repr_bytes(repr, object + 12, &local, 4) && repr_u64(repr, object + 16, &shared) &&
               (local || shared >> 2) && !is_poison(shared);
    }
    if (!repr_u64(repr, object + py_offset(lay, PY_OB_type) - 8, &count) || is_poison(count))
        return false;
    // 3.14: ob_refcnt is 32 bits, then ob_overflow and ob_flags of 16. 3.12: immortal is 2^32 - 1.
    if (lay->version >= 0x030e)
        return (uint32_t)count && !(count >> 32 & 0xffff);
    return count && count < 1ull << 40;
}

static void write_default(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    repr_puts(repr, "<");
    repr_full_name(repr, class);
    repr_printf(repr, " object at 0x%llx>", (unsigned long long)object);
}

static bool write_known(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    bool written = false;
    if (repr_known_class(repr, object, class, &written))
        return written;
    if (class->is_type)
        return repr_type(repr, object, class);
    if (!class->base)
        return repr_instance(repr, object, class);
    // What a __repr__ in Python would make of it is not known; "Counter({...})" is what most do.
    bool wrapped = class->own_repr && class->base->kind == REPR_VALUE && !class->fields;
    if (wrapped)
        repr_printf(repr, "%s(", repr_short_name(repr, class));
    if (!class->base->write(repr, object, class))
        return false;
    if (wrapped)
        repr_puts(repr, ")");
    return true;
}

bool repr_object(struct repr *repr, uint64_t object)
{
    size_t before = repr->text.count;
    if (repr->full || repr->no_memory)
        return false;
    if (!repr->objects) {
        repr_puts(repr, END);
        return false;
    }
    repr->objects--;
    if (!object) {
        repr_puts(repr, "<NULL>");
        return true;
    }
    unsigned depth = repr->depth;
    if (object % 8 == 0 && is_counted(repr, object)) {
        const struct repr_class *class = repr_class_of(repr, object);
        if (class && write_known(repr, object, class))
            return !repr->full && !repr->no_memory;
        repr->depth = depth;
        if (repr->full || repr->no_memory)
            return false;
        repr->text.count = before;
        if (class) {
            write_default(repr, object, class);
            return true;
        }
    }
    uint64_t head;
    bool readable = object % 8 == 0 && repr_u64(repr, object, &head);
    repr_printf(repr, "<%s object at 0x%llx>", readable ? "freed" : "unreadable",
                (unsigned long long)object);
    return !repr->full;
}

struct err *py_repr(struct py_decoder *dec, uint64_t object, const char *name, size_t name_size,
                    const struct py_repr_options *options, struct py_repr *ret)
{
    AUTO_FREE struct repr *repr = calloc(1, sizeof(*repr));
    *ret = (struct py_repr){0};
    if (!repr)
        return err_create(ERR_NO_MEMORY, "value");
    repr->dec = dec;
    repr->options = options;
    repr->objects = options->objects;
    if (name)
        repr_named(repr, name, name_size, object);
    else
        repr_object(repr, object);
    vec_foreach (class, &repr->classes)
        free(*class);
    vec_deinit(&repr->classes);
    if (!vec_push(&repr->text, '\0'))
        repr->no_memory = true;
    if (repr->no_memory) {
        vec_deinit(&repr->text);
        return err_create(ERR_NO_MEMORY, "value");
    }
    *ret = (struct py_repr){
        .text = repr->text.items, .size = repr->text.count - 1, .hidden_count = repr->hidden};
    ret->hidden = repr->hidden == 1 && strncmp(ret->text, "<hidden ", 8) == 0;
    return NULL;
}

void py_repr_deinit(struct py_repr *repr)
{
    free(repr->text);
    *repr = (struct py_repr){0};
}
