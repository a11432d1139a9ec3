// SPDX-License-Identifier: GPL-3.0-or-later
// Captures, from the file to the text of the report. Input: which Python, options, how much is cut
// off, how many of the changes are of headers and facts, changes.
#include <limits.h>

#include "core_builder.h"
#include "fake_core.h"
#include "fuzz.h"
#include "whole.h"

static struct fake_core captures[FAKE_CORE_KINDS];

__attribute__((destructor)) static void free_captures(void)
{
    for (size_t i = 0; i < FAKE_CORE_KINDS; i++)
        free(captures[i].bytes);
}

// What `analyze --save` makes of a made-up core.
static void make(unsigned kind)
{
    struct fake_core core;
    const char *tmp = getenv("TMPDIR");
    char path[32], folder[PATH_MAX], save[PATH_MAX + 16];
    fake_core(kind, &core);
    AUTO_CLOSE int fd = fuzz_file(core.bytes, core.size, path);
    (void)fd; // clang does not take its guard for a use
    snprintf(folder, sizeof(folder), "%s/pycore-fuzz-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    FUZZ_CHECK(mkdtemp(folder));
    snprintf(save, sizeof(save), "%s/capture", folder);
    struct options options = whole_options(0, path);
    options.save = save;
    FUZZ_CHECK(whole_analyze(&options) != EXIT_NO_REPORT);
    captures[kind].bytes = read_whole(save, &captures[kind].size);
    unlink(save);
    rmdir(folder);
    free(core.bytes);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    unsigned kind = (unsigned)fuzz_take(&in, 1) % FAKE_CORE_KINDS;
    unsigned flags = (unsigned)fuzz_take(&in, 1);
    uint64_t cut = fuzz_take(&in, 2);
    size_t in_tail = fuzz_take(&in, 1) % 8;
    if (!captures[kind].bytes)
        make(kind);
    const struct fake_core *whole = &captures[kind];
    AUTO_FREE uint8_t *bytes = malloc(whole->size);
    FUZZ_CHECK(bytes);
    memcpy(bytes, whole->bytes, whole->size);
    // Facts lie behind the memory.
    size_t tail_bytes = whole->size < 8192 ? whole->size : 8192;
    struct fuzz_input tail = fuzz_take_bytes(&in, in_tail * FUZZ_CHANGE_BYTES);
    fuzz_change(bytes + whole->size - tail_bytes, tail_bytes, 0, &tail);
    fuzz_change(bytes, whole->size, FAKE_BASE, &in);
    whole_analyze_bytes(flags, bytes, whole->size, cut);
}

static void seeds(void)
{
    whole_seeds(4);
}

FUZZ_TARGET(capture, run, seeds, 3000)
