// SPDX-License-Identifier: GPL-3.0-or-later
// A thread's "wait" and "held", read back: see json_details.c.
#include "report/document_in.h"
#include "util/guard.h"

static const char *const known_words[] = {
    [SNAP_NOT_KNOWN] = "unknown", [SNAP_INFERRED] = "inferred", [SNAP_OBSERVED] = "observed", NULL};

struct snap_details *document_details_of(struct document_in *in, struct snap_thread *thread)
{
    if (thread->details || in->json.err)
        return thread->details;
    thread->details = calloc(1, sizeof(*thread->details));
    in->bytes += sizeof(*thread->details);
    if (!thread->details) {
        json_fault(&in->json, "no memory for the document");
        return NULL;
    }
    struct snap_wait *wait = &thread->details->wait;
    wait->fd = -1;
    wait->timeout_ns = wait->left_ns = -1;
    wait->owner_frame = wait->waiting = UINT32_MAX;
    return thread->details;
}

// A kind that is not known is a system call of some sort.
static void read_kind(struct document_in *in, void *into)
{
    size_t size;
    struct snap_wait *wait = into;
    const char *text = json_read_string(&in->json, &size);
    wait->kind = SNAP_WAIT_SYSCALL;
    for (int kind = SNAP_WAIT_NONE; !in->json.err && kind < SNAP_WAIT_COUNT; kind++) {
        const char *name = snap_wait_name((enum snap_wait_kind)kind);
        if (strlen(name) == size && memcmp(name, text, size) == 0)
            wait->kind = (enum snap_wait_kind)kind;
    }
}

static void read_fds(struct document_in *in, void *into)
{
    struct snap_wait *wait = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        int32_t fd = (int32_t)json_read_i64(&in->json, 0, INT32_MAX),
                *place = document_push(in, &wait->fds);
        if (place)
            *place = fd;
    }
}

static const struct field wait_fields[] = {
    FIELD_READ("kind", read_kind),
    FIELD(struct snap_wait, "what", FIELD_NAME, what),
    FIELD(struct snap_wait, "type", FIELD_NAME, type),
    FIELD(struct snap_wait, "object", FIELD_HEX, object),
    FIELD(struct snap_wait, "lock", FIELD_HEX, lock),
    FIELD(struct snap_wait, "address", FIELD_HEX, address),
    FIELD(struct snap_wait, "fd", FIELD_INT, fd),
    FIELD_READ("fds", read_fds),
    FIELD(struct snap_wait, "fd_count", FIELD_U64, fd_count),
    FIELD(struct snap_wait, "timeout_ns", FIELD_I64, timeout_ns),
    FIELD(struct snap_wait, "left_ns", FIELD_I64, left_ns),
    FIELD(struct snap_wait, "since_ns", FIELD_U64, since_ns),
    FIELD(struct snap_wait, "owner", FIELD_INT, owner),
    {.key = "owner_known",
     .kind = FIELD_WORD,
     .at = offsetof(struct snap_wait, owner_known),
     .words = known_words},
    FIELD(struct snap_wait, "owner_frame", FIELD_U32, owner_frame),
    FIELD(struct snap_wait, "owner_gone", FIELD_BOOL, owner_gone),
    FIELD(struct snap_wait, "waiting_frame", FIELD_U32, waiting),
};

void document_read_wait(struct document_in *in, void *into)
{
    struct snap_details *details = document_details_of(in, into);
    if (details)
        document_fields(in, wait_fields, ARRAY_SIZE(wait_fields), &details->wait);
}

static const struct field held_fields[] = {
    FIELD(struct snap_held, "what", FIELD_NAME, what),
    FIELD(struct snap_held, "type", FIELD_NAME, type),
    FIELD(struct snap_held, "object", FIELD_HEX, object),
    FIELD(struct snap_held, "frame", FIELD_U32, frame),
    {.key = "known",
     .kind = FIELD_WORD,
     .at = offsetof(struct snap_held, known),
     .words = known_words},
};

void document_read_held(struct document_in *in, void *into)
{
    struct snap_details *details = document_details_of(in, into);
    struct snap_held *held;
    if (!details || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (held = document_push(in, &details->held))) {
        held->frame = UINT32_MAX;
        document_fields(in, held_fields, ARRAY_SIZE(held_fields), held);
    }
}

// Frames that the details name are there.
void document_check_details(struct document_in *in, const struct snap_thread *thread)
{
    const struct snap_details *details = thread->details;
    if (!details)
        return;
    bool good = details->wait.waiting == UINT32_MAX || details->wait.waiting < thread->frames.count;
    vec_foreach (held, &details->held)
        good = good && (held->frame == UINT32_MAX || held->frame < thread->frames.count);
    if (!good)
        json_fault(&in->json, "a wait or a lock of a frame that is not there");
}
