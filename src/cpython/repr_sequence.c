// SPDX-License-Identifier: GPL-3.0-or-later
// tuple, list, deque, set, frozenset; namedtuples and struct sequences, which are tuples with names.
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"
#include "util/redact.h"

// Writes one item after the other, and hides what a secret name before it stands for: the second of a
// pair ("Authorization", "..."), the argument behind "--password".
struct run {
    struct repr *repr;
    size_t index, count;
    bool secret;     // the last one was such a name
    char option[16]; // ... or an option, which is its own text
};

static bool is_secret_before(const struct run *run, uint64_t object)
{
    char text[80];
    struct repr *repr = run->repr;
    size_t size;
    if (repr->options->show_secrets)
        return false;
    struct py_type_info info;
    if (!repr_ok(repr, py_type_of(repr->dec, object, &info)))
        return false;
    if (info.kind == PY_KIND_BYTES) {
        AUTO_FREE uint8_t *bytes = NULL;
        if (!repr_ok(repr, py_bytes(repr->dec, object, sizeof(text), &bytes, &size)))
            return false;
        return (run->count == 2 || bytes[0] == '-') &&
               redact_is_secret_name((const char *)bytes, size);
    }
    return info.kind == PY_KIND_STR && repr_key(repr, object, text, sizeof(text), &size) &&
           (run->count == 2 || text[0] == '-') && !memchr(text, '=', size) &&
           redact_is_secret_name(text, size);
}

// "-p" and what follows it. Keeps the text for the next one.
static bool is_secret_argument(struct run *run, uint64_t object)
{
    char text[256];
    size_t size;
    struct repr *repr = run->repr;
    bool read = !repr->options->show_secrets && repr_key(repr, object, text, sizeof(text), &size);
    bool secret = read && run->option[0] && redact_is_secret_argument(run->option, text);
    run->option[0] = '\0';
    if (read && text[0] == '-' && size < sizeof(run->option))
        memcpy(run->option, text, size + 1);
    return secret;
}

static bool write_item(struct run *run, uint64_t object)
{
    struct repr *repr = run->repr;
    if (!repr_next(repr, run->index++, run->count))
        return false;
    run->secret |= is_secret_argument(run, object);
    if (run->secret) {
        run->secret = false;
        return repr_named(repr, "secret", 6, object);
    }
    run->secret = is_secret_before(run, object);
    return repr_object(repr, object);
}

static void write_array(struct run *run, uint64_t addr)
{
    uint64_t items[64];
    for (size_t at = 0; at < run->count;) {
        // Where not all are there, some may be.
        size_t want = run->count - at < ARRAY_SIZE(items) ? run->count - at : ARRAY_SIZE(items);
        size_t shown = run->repr->options->items + 1;
        want = at < shown && shown - at < want ? shown - at : want;
        size_t got = mem_read_some(run->repr->dec->mem, addr + 8 * at, items, want * 8) / 8;
        for (size_t i = 0; i < got; i++)
            if (!write_item(run, items[i]))
                return;
        if (!got) {
            repr_printf(run->repr, "%s<unreadable>", at ? ", " : "");
            return;
        }
        at += got;
    }
}

// structseq_repr, Objects/structseq.c: tp_members has the names, in the order of the items.
static bool write_structseq(struct repr *repr, const struct repr_class *class, uint64_t items,
                            uint64_t count)
{
    uint64_t member, name_addr, value;
    if (!repr_read(repr, class->addr, PY_TYPE_members, &member) || !member)
        return false;
    repr_printf(repr, "%s(", repr_type_name(repr, class));
    for (uint64_t i = 0; i < count && repr_next(repr, i, count); i++) {
        AUTO_FREE char *name = NULL;
        if (!repr_read(repr, member, PY_MEMBER_name, &name_addr) || !name_addr ||
            !repr_ok(repr, mem_read_cstr(repr->dec->mem, name_addr, 64, &name)) ||
            !repr_u64(repr, items + 8 * i, &value))
            return false;
        repr_field(repr, name, strlen(name), value);
        member += py_offset(&repr->dec->layout, PY_MEMBER_size);
    }
    repr_puts(repr, ")");
    return true;
}

// collections.namedtuple, typing.NamedTuple: the names are the class's _fields.
static bool write_named(struct repr *repr, const struct repr_class *class, uint64_t items,
                        uint64_t count)
{
    repr_printf(repr, "%s(", repr_short_name(repr, class));
    for (uint64_t i = 0; i < count && repr_next(repr, i, count); i++) {
        char name[256];
        size_t size = 0;
        uint64_t name_object, value;
        if (!repr_u64(repr, items + 8 * i, &value))
            break;
        if (repr_ok(repr, py_tuple_item(repr->dec, class->fields, i, &name_object)) &&
            repr_key(repr, name_object, name, sizeof(name), &size))
            repr_field(repr, name, size, value);
        else
            repr_object(repr, value);
    }
    repr_puts(repr, ")");
    return true;
}

bool repr_tuple(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t count, items = py_offset(&repr->dec->layout, PY_TUPLE_items);
    if (!repr_read(repr, object, PY_TUPLE_size, &count) || count > 1ull << 40)
        return false;
    if (!repr_enter(repr, object, "(...)", repr_short_name(repr, class), count))
        return true;
    bool ok = true;
    if (class->fields) {
        ok = write_named(repr, class, object + items, count);
    } else if (class->addr != class->base_addr && !class->of_python) {
        ok = write_structseq(repr, class, object + items, count);
    } else {
        struct run run = {.repr = repr, .count = count};
        repr_puts(repr, "(");
        write_array(&run, object + items);
        repr_puts(repr, count == 1 ? ",)" : ")");
    }
    repr_leave(repr);
    return ok;
}

bool repr_list(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t count, items, room;
    if (!repr_read(repr, object, PY_LIST_size, &count) ||
        !repr_read(repr, object, PY_LIST_items, &items) ||
        !repr_read(repr, object, PY_LIST_allocated, &room) || count > 1ull << 40)
        return false;
    // One that grows may say more than it has room for.
    struct run run = {.repr = repr, .count = count < room || !items ? count : room};
    if (!items && count)
        return false;
    if (!repr_enter(repr, object, "[...]", repr_short_name(repr, class), count))
        return true;
    repr_puts(repr, "[");
    write_array(&run, items);
    repr_puts(repr, "]");
    repr_leave(repr);
    return true;
}

// Modules/_collectionsmodule.c: BLOCK is leftlink, data[BLOCKLEN], rightlink.
enum { BLOCK_ITEMS = 64 };

bool repr_deque(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t count, block, index, max;
    if (!repr_read(repr, object, PY_DEQUE_size, &count) ||
        !repr_read(repr, object, PY_DEQUE_leftblock, &block) ||
        !repr_read(repr, object, PY_DEQUE_leftindex, &index) ||
        !repr_read(repr, object, PY_DEQUE_maxlen, &max) || count > 1ull << 40 ||
        index > BLOCK_ITEMS)
        return false;
    if (!repr_enter(repr, object, "[...]", repr_short_name(repr, class), count))
        return true;
    struct run run = {.repr = repr, .count = count};
    repr_printf(repr, "%s([", repr_short_name(repr, class));
    for (uint64_t i = 0, item; i < count; i++, index++) {
        if (index == BLOCK_ITEMS) {
            index = 0;
            if (!repr_u64(repr, block + 8 + 8 * BLOCK_ITEMS, &block))
                break;
        }
        if (!repr_u64(repr, block + 8 + 8 * index, &item) || !write_item(&run, item))
            break;
    }
    repr_puts(repr, "]");
    if ((int64_t)max >= 0)
        repr_printf(repr, ", maxlen=%lld", (long long)max);
    repr_puts(repr, ")");
    repr_leave(repr);
    return true;
}

// The table of {key, hash} has mask + 1 places (Objects/setobject.c); a dummy's hash is -1.
static void write_table(struct run *run, uint64_t table, uint64_t places)
{
    uint64_t entries[2 * 32];
    for (uint64_t at = 0; at < places && at < 1u << 20; at += 32) {
        size_t count = places - at < 32 ? places - at : 32;
        if (!repr_bytes(run->repr, table + 16 * at, entries, 16 * count)) {
            repr_puts(run->repr, "<unreadable>");
            return;
        }
        for (size_t i = 0; i < count; i++)
            if (entries[2 * i] && entries[2 * i + 1] != UINT64_MAX &&
                !write_item(run, entries[2 * i]))
                return;
    }
}

bool repr_set(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t used, mask, table;
    if (!repr_read(repr, object, PY_SET_used, &used) ||
        !repr_read(repr, object, PY_SET_mask, &mask) ||
        !repr_read(repr, object, PY_SET_table, &table) || mask & (mask + 1) || used > mask + 1 ||
        mask > 1ull << 40)
        return false;
    const char *name = repr_short_name(repr, class);
    bool bare = strcmp(name, "set") == 0 && used;
    if (!used) {
        repr_printf(repr, "%s()", name);
        return true;
    }
    if (!repr_enter(repr, object, "{...}", name, used))
        return true;
    struct run run = {.repr = repr, .count = used};
    if (!bare)
        repr_printf(repr, "%s(", name);
    repr_puts(repr, "{");
    write_table(&run, table, mask + 1);
    repr_puts(repr, bare ? "}" : "})");
    repr_leave(repr);
    return true;
}
