// SPDX-License-Identifier: GPL-3.0-or-later
// Generators that are suspended, read back: see json_generators.c.
#include "report/document_in.h"
#include "util/guard.h"

static void read_kind(struct document_in *in, void *into)
{
    ((struct snap_generator *)into)->kind =
        document_enum(in, snap_generator_kind_name, SNAP_ASYNC_GENERATOR + 1, SNAP_GENERATOR);
}

static void read_frames(struct document_in *in, void *into)
{
    document_read_stack(in, &((struct snap_generator *)into)->stack);
}

static void read_frames_as(struct document_in *in, void *into)
{
    const struct snap_generators *generators = &document_suspended_of(in)->generators;
    uint64_t other = json_read_u64(&in->json, UINT32_MAX);
    if (other < generators->count)
        ((struct snap_generator *)into)->stack = generators->items[other].stack;
    else
        json_fault(&in->json, "\"frames_as\" of a generator that is not there");
}

static const struct field fields[] = {
    FIELD(struct snap_generator, "pid", FIELD_INT, pid),
    FIELD(struct snap_generator, "id", FIELD_HEX, object),
    {.key = "kind", .kind = FIELD_OTHER, .required = true, .read = read_kind},
    FIELD(struct snap_generator, "begun", FIELD_BOOL, begun),
    FIELD_READ("frames", read_frames),
    FIELD_READ("frames_as", read_frames_as),
};

void document_read_generators(struct document_in *in, void *document)
{
    (void)document;
    struct snap_suspended *suspended = document_suspended_of(in);
    struct snap_generator *generator;
    if (!suspended || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (generator = document_push(in, &suspended->generators))) {
        generator->stack = SNAP_NO_INDEX;
        document_fields(in, fields, ARRAY_SIZE(fields), generator);
    }
}
