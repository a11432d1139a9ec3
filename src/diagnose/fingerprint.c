// SPDX-License-Identifier: GPL-3.0-or-later
// What makes two tickets the same one: the rule, and the names of the program's functions it is
// about. No line and no address: those change with each release and each run. Names are hashed as
// bytes, so the same trouble has the same fingerprint on every machine and Python version.
#include <inttypes.h>
#include <string.h>

#include "diagnose/verdict.h"
#include "util/hash.h"

// A bucket is read by people and used as a label; what is longer is hashed in full all the same.
#define BUCKET_COLUMNS 40

static uint64_t hash_id(const struct diag *diag, uint64_t hash, uint32_t id)
{
    const char *text = strtab_get(diag->strings, id);
    return text ? hash_bytes(hash, text, strtab_size(diag->strings, id)) : hash;
}

// Native code without a name: its build ID and offset name the place, on whatever machine.
static uint64_t hash_crash(const struct diag *diag, uint64_t hash)
{
    const struct snap_crash *crash = &diag->source->crash;
    if (!diag->source->signal.signo)
        return hash;
    hash = hash_id(diag, hash, diag->source->signal.name);
    for (size_t i = 0; i < diag->count; i++) {
        const struct snap_thread *thread = &diag->threads[i];
        if (!thread->crashed || !thread->frames.count)
            continue;
        const struct snap_frame *top = &thread->frames.items[0];
        if (top->kind == SNAP_NATIVE && !top->function && crash->build_id)
            return hash_u64(hash_id(diag, hash, crash->build_id), top->offset);
    }
    return hash;
}

void fingerprint_make(struct diag *diag, const char *id, const uint32_t *names, size_t count)
{
    struct plain bucket = {0}, print = {0};
    uint64_t hash = hash_bytes(HASH_SEED, id, strlen(id));
    plain_str(&bucket, id);
    for (size_t i = 0; i < count && names[i]; i++) {
        hash = hash_id(diag, hash, names[i]);
        plain_str(&bucket, "/");
        plain_id(&bucket, diag->strings, names[i], BUCKET_COLUMNS, PLAIN_KEEP_START);
    }
    if (strcmp(id, "crash") == 0)
        hash = hash_crash(diag, hash);
    plain_add(&print, "%016" PRIx64, hash);
    diag->failed |= bucket.failed || print.failed;
    diag->out->bucket = bucket.bytes;
    diag->out->fingerprint = print.bytes;
}
