// SPDX-License-Identifier: GPL-3.0-or-later
// Replaying a capture: see capture/capture.h. All of it is hostile: what it may take is bounded by
// facts.h, and its facts go through util/wire.h.
#include <stdlib.h>
#include <string.h>

#include "recorder.h"
#include "util/guard.h"

struct replay {
    struct target *core; // borrowed
    struct strtab *strings;
    bool native, native_recorded;
    struct mem_blocks *known;
    struct capture_view view;
    struct image_record *names;
    struct epoch_parts parts;
    struct capture_facts facts;
    struct capture_snapshot snapshot;
    unsigned char *bytes; // of the facts segment
    struct wire_in records;
    size_t count, next; // snapshots; the next one
    uint32_t epochs;
    size_t extra;        // of the core's, the next that may hold memory
    uint64_t memory_end; // of the last one's bytes in the file
    uint64_t frames;     // of all snapshots so far
};

static const struct target_extra *find_facts(const struct target *core)
{
    vec_foreach (extra, &core->extras)
        if (extra->type == PT_PYCORE_FACTS)
            return extra;
    return NULL;
}

bool capture_is(const struct target *core)
{
    return find_facts(core);
}

const struct capture_facts *replay_facts(const struct replay *replay)
{
    return &replay->facts;
}

size_t replay_count(const struct replay *replay)
{
    return replay->count;
}

void replay_close(struct replay *replay)
{
    if (!replay)
        return;
    epoch_close(&replay->parts);
    capture_snapshot_deinit(&replay->snapshot);
    capture_facts_deinit(&replay->facts);
    image_record_destroy(replay->names);
    capture_view_deinit(&replay->view);
    mem_blocks_destroy(replay->known);
    free(replay->bytes);
    free(replay);
}

// ---- Opening ------------------------------------------------------------------------------------

// They lie in order, one for each snapshot but the first; one that is not where it belongs is lost.
static const struct target_extra *find_memory(struct replay *replay, size_t number)
{
    const struct target_extras *extras = &replay->core->extras;
    while (replay->extra < extras->count &&
           (extras->items[replay->extra].type != PT_PYCORE_MEMORY ||
            extras->items[replay->extra].phys < number))
        replay->extra++;
    bool found = replay->extra < extras->count && extras->items[replay->extra].phys == number;
    return found ? &extras->items[replay->extra] : NULL;
}

static struct err *read_extra(struct replay *replay, const struct target_extra *extra,
                              unsigned char **ret)
{
    if (extra->present_bytes > 2 * (uint64_t)CAPTURE_MAX_BYTES)
        return err_create(ERR_LIMIT, "its facts are too large");
    *ret = malloc(extra->present_bytes + 1);
    if (!*ret)
        return err_create(ERR_NO_MEMORY, "capture");
    if (!target_read_extra(replay->core, extra, 0, *ret, extra->present_bytes))
        return err_create(ERR_OS, "its facts cannot be read");
    return NULL;
}

// Everything but snapshots and epochs, which are read in their turn.
static struct err *read_records(struct replay *replay)
{
    struct wire_in in = replay->records, body;
    uint32_t tag, version = 0;
    bool has_run = false;
    while (wire_next(&in, &tag, &body)) {
        if (tag == RECORD_VERSION) {
            version = wire_get_u32(&body);
            if (version != CAPTURE_VERSION)
                return err_create(ERR_UNSUPPORTED,
                                  "it was saved in format %u; this pycore reads format %d", version,
                                  CAPTURE_VERSION);
        } else if (tag == RECORD_RUN && !has_run) {
            facts_run(&(struct facts_io){.in = &body}, &replay->facts);
            has_run = !body.bad;
        } else if (tag == RECORD_IMAGES) {
            struct err *err = image_record_read(replay->names, &body);
            if (err)
                return err;
        } else if (tag == RECORD_SNAPSHOT) {
            replay->count++;
        }
    }
    if (!version || !has_run)
        return err_create(ERR_BAD_DATA, "its facts are damaged");
    return NULL;
}

static bool read_base(struct replay *replay)
{
    // No more than the file can hold, whatever its headers say.
    uint64_t left = CAPTURE_MAX_BYTES;
    struct mem_segment_info info;
    uint64_t at = 0;
    while (mem_segment_at(replay->core->mem, at, &info)) {
        for (uint64_t addr = info.start; info.origin == MEM_CORE && addr < info.end && left;) {
            unsigned char bytes[4096];
            uint64_t size = info.end - addr;
            size_t want = size < sizeof(bytes) ? (size_t)size : sizeof(bytes);
            size_t got = mem_read_some(replay->core->mem, addr, bytes, want);
            if (!got)
                break;
            if (!mem_blocks_put(replay->known, addr, bytes, got))
                return false;
            addr += got;
            left -= left < got ? left : got;
        }
        if (info.end <= at)
            break;
        at = info.end;
    }
    return true;
}

struct err *replay_open(struct target *core, struct strtab *strings, bool native,
                        struct replay **ret)
{
    struct replay *replay = calloc(1, sizeof(*replay));
    if (!replay)
        return err_create(ERR_NO_MEMORY, "capture");
    replay->core = core;
    replay->strings = strings;
    replay->native = native;
    replay->known = mem_blocks_create();
    replay->names = image_record_create();
    replay->view.known = replay->known;
    struct err *err = replay->known && replay->names ? capture_view_init(&replay->view)
                                                     : err_create(ERR_NO_MEMORY, "capture");
    const struct target_extra *facts = find_facts(core);
    if (!err)
        err = read_extra(replay, facts, &replay->bytes);
    if (!err) {
        replay->records =
            (struct wire_in){replay->bytes, replay->bytes + facts->present_bytes, false};
        err = read_records(replay);
    }
    if (!err && !read_base(replay))
        err = err_create(ERR_NO_MEMORY, "capture");
    if (err) {
        replay_close(replay);
        return err_wrap(err, "this capture cannot be replayed");
    }
    *ret = replay;
    return NULL;
}

// ---- Snapshots ----------------------------------------------------------------------------------

// A segment from front to back: a snapshot has 10,000 ranges of a few bytes each.
struct reader {
    const struct target *core;
    const struct target_extra *extra;
    uint64_t at;       // in the segment, of what comes next
    size_t used, have; // of `bytes`
    unsigned char bytes[1 << 16];
};

static uint64_t left_of(const struct reader *reader)
{
    return reader->extra->present_bytes - reader->at;
}

static bool take(struct reader *reader, void *ret, size_t size)
{
    unsigned char *to = ret;
    while (size) {
        if (reader->used == reader->have) {
            uint64_t left = left_of(reader);
            reader->have = left < sizeof(reader->bytes) ? (size_t)left : sizeof(reader->bytes);
            reader->used = 0;
            if (!reader->have || !target_read_extra(reader->core, reader->extra, reader->at,
                                                    reader->bytes, reader->have))
                return false;
        }
        size_t piece = reader->have - reader->used < size ? reader->have - reader->used : size;
        memcpy(to, reader->bytes + reader->used, piece);
        reader->used += piece;
        reader->at += piece;
        to += piece;
        size -= piece;
    }
    return true;
}

// The bytes that were others by snapshot `number`.
static struct err *read_memory(struct replay *replay, size_t number)
{
    const struct target_extra *extra = find_memory(replay, number);
    if (!extra)
        return NULL;
    // One behind the other: the same bytes must not serve many.
    if (extra->offset < replay->memory_end)
        return err_create(ERR_BAD_DATA, "snapshot %zu is damaged", number + 1);
    replay->memory_end = extra->offset + extra->present_bytes;
    struct reader reader = {.core = replay->core, .extra = extra};
    while (left_of(&reader) > 16) {
        uint64_t head[2]; // address and size; captures are read on machines of their own byte order
        if (!take(&reader, head, sizeof(head)))
            break;
        uint64_t left = left_of(&reader);
        uint64_t size = head[1] < left ? head[1] : left;
        for (uint64_t done = 0; done < size;) {
            unsigned char bytes[4096];
            size_t piece = size - done < sizeof(bytes) ? (size_t)(size - done) : sizeof(bytes);
            if (!take(&reader, bytes, piece))
                return err_create(ERR_OS, "snapshot %zu cannot be read", number + 1);
            if (head[0] > UINT64_MAX - done - piece ||
                !mem_blocks_put(replay->known, head[0] + done, bytes, piece))
                return err_create(ERR_BAD_DATA, "snapshot %zu is damaged", number + 1);
            if (mem_blocks_footprint(replay->known) > REPLAY_MAX_BYTES)
                return err_create(ERR_LIMIT, "snapshot %zu takes more memory than a replay may",
                                  number + 1);
            done += piece;
        }
    }
    return NULL;
}

static struct err *make_target(struct replay *replay, struct capture_epoch *epoch)
{
    struct target *target = calloc(1, sizeof(*target));
    if (!target)
        return err_create(ERR_NO_MEMORY, "capture");
    replay->parts.target = target;
    target->kind = TARGET_CORE;
    target->pid = replay->facts.pid;
    target->mem = replay->view.mem;
    target->signal = replay->facts.signal;
    target->taken_at_ns = replay->facts.taken_at_ns;
    target->auxv_phdr = epoch->auxv_phdr;
    target->auxv_entry = epoch->auxv_entry;
    target->mappings = epoch->mappings;
    target->exe = TAKE(epoch->exe);
    memset(&epoch->mappings, 0, sizeof(epoch->mappings));
    if (!epoch->has_argv)
        return NULL;
    target->argv = calloc(epoch->argv.count + 1, sizeof(*target->argv));
    if (!target->argv)
        return err_create(ERR_NO_MEMORY, "capture");
    size_t argc = 0;
    vec_foreach (arg, &epoch->argv)
        if (*arg)
            target->argv[argc++] = TAKE(*arg);
    return NULL;
}

static struct err *enter_epoch(struct replay *replay, struct capture_epoch *epoch)
{
    if (replay->epochs >= REPLAY_MAX_EPOCHS)
        return err_create(ERR_LIMIT, "its modules changed more than %u times", REPLAY_MAX_EPOCHS);
    // As open_epoch() of the recorder.
    bool ok = true;
    if (replay->next && epoch->new_program)
        mem_blocks_clear(replay->known);
    else if (replay->next && replay->parts.target)
        ok = epoch_forget(replay->known, &replay->parts.target->mappings) &&
             epoch_forget(replay->known, &epoch->mappings);
    if (!ok)
        return err_create(ERR_NO_MEMORY, "capture");
    epoch_close(&replay->parts);
    replay->native_recorded = epoch->native;
    TRY(make_target(replay, epoch));
    image_record_set_epoch(replay->names, replay->epochs++);
    return NULL;
}

static struct err *open_parts(struct replay *replay)
{
    return replay->parts.process ? NULL
                                 : epoch_open(&replay->parts, replay->names, replay->strings,
                                              replay->native && replay->native_recorded);
}

static struct err *decode(struct replay *replay, struct recorded *ret)
{
    size_t number = replay->next++;
    // The first snapshot's memory is the core's own.
    if (number)
        TRY(read_memory(replay, number));
    if (!replay->parts.target) {
        *ret = (struct recorded){.target = replay->core};
        return NULL;
    }
    TRY(open_parts(replay));
    still_deinit(&replay->parts.still);
    TRY(still_decode(replay->parts.process, replay->parts.unwinder, NULL, &replay->snapshot.moment,
                     &replay->parts.still));
    vec_foreach (stack, &replay->parts.still.stacks)
        replay->frames += stack->frames.count;
    vec_foreach (native, &replay->parts.still.natives)
        replay->frames += native->frames.count;
    if (replay->frames > REPLAY_MAX_FRAMES)
        return err_create(ERR_LIMIT, "its stacks have more than %u frames", REPLAY_MAX_FRAMES);
    *ret = (struct recorded){replay->parts.target, replay->parts.image, replay->epochs,
                             replay->parts.process, &replay->parts.still,
                             replay->parts.unwinder};
    return NULL;
}

struct err *replay_next(struct replay *replay, struct capture_snapshot **ret_snapshot,
                        struct recorded *ret)
{
    struct wire_in body;
    uint32_t tag;
    *ret_snapshot = NULL;
    // A thread dump is of one snapshot.
    if (replay->next && !replay->facts.aggregate)
        return NULL;
    while (wire_next(&replay->records, &tag, &body)) {
        struct facts_io io = {.in = &body};
        if (tag == RECORD_EPOCH) {
            GUARD(capture_epoch_deinit) struct capture_epoch epoch = {0};
            facts_epoch(&io, &epoch);
            if (body.bad)
                return err_create(ERR_BAD_DATA, "the facts of snapshot %zu are damaged",
                                  replay->next + 1);
            TRY(enter_epoch(replay, &epoch));
        } else if (tag == RECORD_SNAPSHOT) {
            capture_snapshot_deinit(&replay->snapshot);
            replay->snapshot = (struct capture_snapshot){0};
            facts_snapshot(&io, &replay->snapshot);
            if (body.bad)
                return err_create(ERR_BAD_DATA, "the facts of snapshot %zu are damaged",
                                  replay->next + 1);
            TRY(decode(replay, ret));
            *ret_snapshot = &replay->snapshot;
            return NULL;
        }
    }
    return replay->records.bad ? err_create(ERR_BAD_DATA, "its facts end too early") : NULL;
}
