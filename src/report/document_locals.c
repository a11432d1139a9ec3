// SPDX-License-Identifier: GPL-3.0-or-later
// A thread's variables, and how many of its values are hidden, read back: see json_details.c.
#include "report/document_in.h"
#include "util/guard.h"

void document_read_hidden(struct document_in *in, void *thread)
{
    uint64_t hidden = json_read_u64(&in->json, UINT32_MAX);
    struct snap_details *details = document_details_of(in, thread);
    if (details)
        details->hidden = hidden;
}

static void read_local_kind(struct document_in *in, void *into)
{
    ((struct snap_local *)into)->kind =
        document_enum(in, snap_local_kind_name, SNAP_FREE + 1, SNAP_LOCAL);
}

static const struct field local_fields[] = {
    FIELD(struct snap_local, "name", FIELD_NAME, name),
    FIELD_READ("kind", read_local_kind),
    FIELD(struct snap_local, "value", FIELD_NAME, value),
    FIELD(struct snap_local, "hidden", FIELD_BOOL, hidden),
};

void document_read_locals(struct document_in *in, struct snap_locals *ret)
{
    struct snap_local *local;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (local = document_push(in, ret)))
        document_fields(in, local_fields, ARRAY_SIZE(local_fields), local);
}
