// SPDX-License-Identifier: GPL-3.0-or-later
// datetime's types, Include/datetime.h: behind the head a hash, hastzinfo, then packed big-endian
// bytes, fold, and tzinfo where hastzinfo says so. The same in all versions.
#include <string.h>

#include "repr_private.h"

struct packed {
    uint8_t has_zone;
    uint8_t data[10]; // year (2), month, day; hour, minute, second, microsecond (3)
    uint8_t fold;
};

static uint64_t fields(const struct repr *repr, uint64_t object)
{
    return object + repr_head(repr) + 8;
}

static unsigned micros(const uint8_t *at)
{
    return (unsigned)at[0] << 16 | (unsigned)at[1] << 8 | at[2];
}

// ", second, microsecond" as far as they are not 0.
static void put_seconds(struct repr *repr, const uint8_t *at)
{
    if (at[0] || micros(at + 1))
        repr_printf(repr, ", %u", at[0]);
    if (micros(at + 1))
        repr_printf(repr, ", %u", micros(at + 1));
}

static bool put_zone(struct repr *repr, uint64_t object, const struct packed *packed, size_t data)
{
    uint64_t zone;
    if (packed->fold)
        repr_puts(repr, ", fold=1");
    if (!packed->has_zone)
        return true;
    // tzinfo is aligned behind hastzinfo, data and fold.
    uint64_t at = (fields(repr, object) + 1 + data + 1 + 7) & ~7ull;
    if (!repr_u64(repr, at, &zone) || !repr_enter(repr, object, "...", "datetime", 1))
        return false;
    repr_puts(repr, ", tzinfo=");
    repr_object(repr, zone);
    repr_leave(repr);
    return true;
}

static bool is_date(const uint8_t *data)
{
    return (data[0] || data[1]) && data[2] >= 1 && data[2] <= 12 && data[3] >= 1 && data[3] <= 31;
}

static bool is_time(const uint8_t *data)
{
    return data[0] < 24 && data[1] < 60 && data[2] < 60 && micros(data + 3) < 1000000;
}

// type.__module__ + "." + name of a class that derives from them is not what repr() says: tp_name is.
static void put_name(struct repr *repr, const struct repr_class *class, const char *name)
{
    if (class->of_python)
        repr_full_name(repr, class);
    else
        repr_puts(repr, name);
    repr_puts(repr, "(");
}

bool repr_datetime(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct packed packed;
    if (!repr_bytes(repr, fields(repr, object), &packed, sizeof(packed)) || packed.has_zone > 1 ||
        !is_date(packed.data) || !is_time(packed.data + 4))
        return false;
    const uint8_t *data = packed.data;
    put_name(repr, class, "datetime.datetime");
    repr_printf(repr, "%u, %u, %u, %u, %u", data[0] << 8 | data[1], data[2], data[3], data[4],
                data[5]);
    put_seconds(repr, data + 6);
    if (!put_zone(repr, object, &packed, 10))
        return false;
    repr_puts(repr, ")");
    return true;
}

bool repr_date(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    uint8_t packed[5];
    if (!repr_bytes(repr, fields(repr, object), packed, sizeof(packed)) || !is_date(packed + 1))
        return false;
    put_name(repr, class, "datetime.date");
    repr_printf(repr, "%u, %u, %u)", packed[1] << 8 | packed[2], packed[3], packed[4]);
    return true;
}

bool repr_time(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    struct packed packed = {0};
    uint8_t bytes[8];
    if (!repr_bytes(repr, fields(repr, object), bytes, sizeof(bytes)) || bytes[0] > 1 ||
        !is_time(bytes + 1))
        return false;
    packed.has_zone = bytes[0];
    packed.fold = bytes[7];
    put_name(repr, class, "datetime.time");
    repr_printf(repr, "%u, %u", bytes[1], bytes[2]);
    put_seconds(repr, bytes + 3);
    if (!put_zone(repr, object, &packed, 6))
        return false;
    repr_puts(repr, ")");
    return true;
}

bool repr_timedelta(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    static const char *const names[] = {"days", "seconds", "microseconds"};
    int32_t parts[3];
    if (!repr_bytes(repr, fields(repr, object), parts, sizeof(parts)) || parts[1] < 0 ||
        parts[1] >= 86400 || parts[2] < 0 || parts[2] >= 1000000)
        return false;
    put_name(repr, class, "datetime.timedelta");
    if (repr->dec->layout.version < 0x0307) {
        repr_printf(repr, "%d", parts[0]);
        if (parts[1] || parts[2])
            repr_printf(repr, ", %d", parts[1]);
        repr_printf(repr, parts[2] ? ", %d)" : ")", parts[2]);
        return true;
    }
    const char *comma = "";
    for (size_t i = 0; i < 3; i++)
        if (parts[i]) {
            repr_printf(repr, "%s%s=%d", comma, names[i], parts[i]);
            comma = ", ";
        }
    repr_puts(repr, *comma ? ")" : "0)");
    return true;
}

// PyDateTime_TimeZone, Modules/_datetimemodule.c: offset and name behind the head.
bool repr_timezone(struct repr *repr, uint64_t object, const struct repr_class *class)
{
    (void)class;
    uint64_t parts[2];
    int32_t delta[3];
    if (!repr_bytes(repr, object + repr_head(repr), parts, sizeof(parts)) ||
        !repr_bytes(repr, fields(repr, parts[0]), delta, sizeof(delta)))
        return false;
    if (!parts[1] && !delta[0] && !delta[1] && !delta[2]) {
        repr_puts(repr, "datetime.timezone.utc");
        return true;
    }
    repr_puts(repr, "datetime.timezone(");
    repr_object(repr, parts[0]);
    if (parts[1]) {
        repr_puts(repr, ", ");
        repr_object(repr, parts[1]);
    }
    repr_puts(repr, ")");
    return true;
}
