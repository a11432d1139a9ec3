// SPDX-License-Identifier: GPL-3.0-or-later
// Frozen copies by hand, for test_frozen.py and bench/fork.py: frozen_probe PID, then a command a
// line, each answered by a line "ok ..." or "error TEXT":
//   estimate | freeze [COPY_LIMIT [DEADLINE_NS]] | read ADDR SIZE | notes | regs | drain | thaw
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target/frozen.h"
#include "util/guard.h"

#define PATIENT_NS 30000000000u // so that tests do not depend on how busy the machine is

static void answer(struct err *err)
{
    if (err)
        printf("error %s\n", err_message(err));
    err_destroy(err);
}

static void estimate(pid_t pid)
{
    struct frozen_estimate it = {0};
    struct err *err = frozen_estimate(pid, &it);
    if (!err)
        printf("ok pause_ns=%" PRIu64 " anonymous=%" PRIu64 " huge=%" PRIu64 " worst=%" PRIu64
               " free=%" PRIu64 " refusal=%s\n",
               it.pause_ns, it.anonymous_bytes, it.huge_bytes, it.worst_bytes, it.free_bytes,
               it.refusal ? it.refusal : "");
    answer(err);
    frozen_estimate_deinit(&it);
}

static void freeze(pid_t pid, uint64_t limit, uint64_t deadline_ns, struct frozen **ret)
{
    struct frozen_options options = {.copy_limit_bytes = limit,
                                     .deadline_ns = deadline_ns ? deadline_ns : PATIENT_NS};
    struct err *err = frozen_create(pid, &options, ret);
    if (!err)
        printf("ok child=%d threads=%zu mappings=%zu pause_ns=%" PRIu64 "\n", (*ret)->child,
               (*ret)->threads.count, (*ret)->mappings.count, (*ret)->pause_ns);
    answer(err);
}

static void read_bytes(struct frozen *frozen, uint64_t addr, size_t size)
{
    AUTO_FREE unsigned char *bytes = malloc(size ? size : 1);
    struct mem_segment_info segment = {0};
    struct err *err =
        bytes ? mem_read(frozen->mem, addr, bytes, size) : err_create(ERR_NO_MEMORY, "buffer");
    if (!err) {
        mem_segment_at(frozen->mem, addr, &segment);
        printf("ok %s ", mem_origin_name(segment.origin));
        for (size_t i = 0; i < size; i++)
            printf("%02x", bytes[i]);
        printf("\n");
    }
    answer(err);
}

// Reads all of it, as a dump would.
static void drain(struct frozen *frozen)
{
    enum { PART = 1 << 20 };
    AUTO_FREE unsigned char *part = malloc(PART);
    uint64_t total = 0;
    vec_foreach (mapping, &frozen->mappings)
        for (uint64_t at = mapping->start; part && mapping->readable && at < mapping->end;
             at += PART)
            total += mem_read_some(frozen->mem, at, part,
                                   mapping->end - at < PART ? (size_t)(mapping->end - at) : PART);
    printf("ok bytes=%" PRIu64 "\n", total);
}

static void show(const struct frozen *frozen, bool regs)
{
    printf("ok ");
    vec_foreach (thread, &frozen->threads)
        if (regs)
            printf("%d:%" PRIx64 ":%zu ", thread->tid, thread->regs.sp, thread->count);
    vec_foreach (note, &frozen->notes)
        if (!regs)
            printf("%s; ", *note);
    printf("\n");
}

int main(int argc, char **argv)
{
    struct frozen *frozen = NULL;
    char line[256], name[32];
    pid_t pid = argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t first = 0, second = 0;
        if (sscanf(line, "%31s %" SCNx64 " %" SCNx64, name, &first, &second) < 1)
            continue;
        if (strcmp(name, "estimate") == 0) {
            estimate(pid);
        } else if (strcmp(name, "freeze") == 0 && !frozen) {
            freeze(pid, first, second, &frozen);
        } else if (!frozen) {
            printf("error nothing is frozen\n");
        } else if (strcmp(name, "read") == 0) {
            read_bytes(frozen, first, (size_t)second);
        } else if (strcmp(name, "drain") == 0) {
            drain(frozen);
        } else if (strcmp(name, "thaw") == 0) {
            struct err *err = frozen_destroy(frozen);
            frozen = NULL;
            if (!err)
                printf("ok\n");
            answer(err);
        } else {
            show(frozen, strcmp(name, "regs") == 0);
        }
        fflush(stdout);
    }
    return 0; // without a thaw: as if pycore had been killed
}
