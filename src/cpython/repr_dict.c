// SPDX-License-Identifier: GPL-3.0-or-later
// dict and what is made of it. What a secret key stands for is hidden, and so are all values of what
// looks like an environment.
#include <stdlib.h>
#include <string.h>

#include "repr_private.h"
#include "util/guard.h"
#include "util/redact.h"

struct pair {
    uint64_t key, value;
};
VEC_DEFINE(pairs, struct pair);

struct collector {
    struct pairs pairs;
    size_t limit;
    bool failed;
};

static bool collect(void *arg, uint64_t key, uint64_t value)
{
    struct collector *to = arg;
    to->failed |= !vec_push(&to->pairs, (struct pair){key, value});
    return !to->failed && to->pairs.count < to->limit;
}

// A key's text, of str and bytes. 0: it has none, or a long one.
static size_t key_text(struct repr *repr, uint64_t key, char *ret, size_t room)
{
    struct py_type_info info;
    size_t size = 0;
    if (!repr_ok(repr, py_type_of(repr->dec, key, &info)))
        return 0;
    if (info.kind == PY_KIND_STR)
        return repr_key(repr, key, ret, room, &size) ? size : 0;
    AUTO_FREE uint8_t *bytes = NULL;
    if (info.kind != PY_KIND_BYTES ||
        !repr_ok(repr, py_bytes(repr->dec, key, room - 1, &bytes, &size)))
        return 0;
    memcpy(ret, bytes, size);
    return size;
}

static bool is_environment(struct repr *repr, const struct pairs *pairs)
{
    char text[128];
    size_t known = 0;
    for (size_t i = 0; i < pairs->count && i < 64 && known < 2; i++) {
        size_t size = key_text(repr, pairs->items[i].key, text, sizeof(text));
        known += size && redact_is_environment_name(text, size);
    }
    return known >= 2;
}

static bool write_value(struct repr *repr, const struct pair *pair, bool hide)
{
    char text[128];
    if (hide) {
        repr_hidden(repr, pair->value);
        return true;
    }
    size_t size = key_text(repr, pair->key, text, sizeof(text));
    return size ? repr_named(repr, text, size, pair->value) : repr_object(repr, pair->value);
}

static void write_pairs(struct repr *repr, const struct pairs *pairs, size_t count, bool tuples)
{
    bool hide =
        !repr->options->show_secrets && (repr_hides_values(repr) || is_environment(repr, pairs));
    repr_puts(repr, tuples ? "[" : "{");
    for (size_t i = 0; i < pairs->count && repr_next(repr, i, count); i++) {
        repr_puts(repr, tuples ? "(" : "");
        repr_object(repr, pairs->items[i].key);
        repr_puts(repr, tuples ? ", " : ": ");
        write_value(repr, &pairs->items[i], hide);
        repr_puts(repr, tuples ? ")" : "");
    }
    repr_puts(repr, tuples ? "]" : "}");
}

// The pairs that may be shown; *ret_count is how many there are.
static bool read_pairs(struct repr *repr, uint64_t dict, size_t limit, struct pairs *ret,
                       size_t *ret_count)
{
    uint64_t used;
    struct collector collector = {.limit = limit};
    bool ok = repr_read(repr, dict, PY_DICT_used, &used) &&
              repr_ok(repr, py_dict_walk(repr->dec, dict, collect, &collector));
    repr->no_memory |= collector.failed;
    if (!ok || collector.failed) {
        vec_deinit(&collector.pairs);
        return false;
    }
    *ret = collector.pairs;
    // Between two words of a change ma_used may disagree with what is there.
    *ret_count = used > ret->count && ret->count == limit ? used : ret->count;
    return true;
}

static bool write_dict(struct repr *repr, uint64_t object, uint64_t dict, const char *what,
                       bool tuples)
{
    struct pairs pairs;
    size_t count;
    if (!read_pairs(repr, dict, repr->options->items + 1, &pairs, &count))
        return false;
    if (repr_enter(repr, object, "{...}", what, count)) {
        write_pairs(repr, &pairs, count, tuples);
        repr_leave(repr);
    }
    vec_deinit(&pairs);
    return true;
}

bool repr_dict(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    return write_dict(repr, object, object, repr_short_name(repr, class), false);
}

bool repr_mapping_proxy(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t mapping; // Objects/descrobject.c, mappingproxyobject: the mapping follows the head
    if (!repr_u64(repr, object + repr_head(repr), &mapping))
        return false;
    repr_puts(repr, "mappingproxy(");
    repr_object(repr, mapping);
    repr_puts(repr, ")");
    return true;
}

bool repr_default_dict(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint64_t factory;
    const char *name = repr_short_name(repr, class);
    if (!repr_read(repr, object, PY_DEFDICT_factory, &factory))
        return false;
    size_t before = repr->text.count;
    repr_printf(repr, "%s(", name);
    if (factory)
        repr_object(repr, factory);
    else
        repr_puts(repr, "None");
    repr_puts(repr, ", ");
    if (!write_dict(repr, object, object, name, false)) {
        if (!repr->full)
            repr->text.count = before;
        return false;
    }
    repr_puts(repr, ")");
    return true;
}

#define ORDERED_MAX 4096 // pairs that are put into their order

// Objects/odictobject.c: the order is that of a list of nodes, each with its key.
static bool in_order(struct repr *repr, uint64_t object, const struct pairs *from,
                     struct pairs *ret)
{
    uint64_t node, key;
    if (!repr_read(repr, object, PY_ODICT_first, &node))
        return false;
    for (size_t i = 0; node && i <= repr->options->items && i < from->count; i++) {
        if (!repr_read(repr, node, PY_ODNODE_key, &key))
            return false;
        vec_foreach (pair, from)
            if (pair->key == key && !vec_push(ret, *pair)) {
                repr->no_memory = true;
                return false;
            }
        if (!repr_read(repr, node, PY_ODNODE_next, &node))
            return false;
    }
    return true;
}

bool repr_ordered_dict(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct pairs pairs, ordered = {0};
    size_t count;
    const char *name = repr_short_name(repr, class);
    if (!read_pairs(repr, object, ORDERED_MAX, &pairs, &count))
        return false;
    bool ok = in_order(repr, object, &pairs, &ordered);
    if (ok && !count) {
        repr_printf(repr, "%s()", name);
    } else if (ok && repr_enter(repr, object, "...", name, count)) {
        // 3.12: "OrderedDict({...})", earlier "OrderedDict([(...), ...])".
        repr_printf(repr, "%s(", name);
        write_pairs(repr, &ordered, count, repr->dec->layout.version < 0x030c);
        repr_puts(repr, ")");
        repr_leave(repr);
    }
    vec_deinit(&pairs);
    vec_deinit(&ordered);
    return ok;
}
