// SPDX-License-Identifier: GPL-3.0-or-later
// All of `pycore analyze`, from a core to the text of the report. Input: which Python, options, how
// much is cut off, how many of the changes are of headers and notes, changes.
#include "fake_core.h"
#include "fuzz.h"
#include "whole.h"

static struct fake_core cores[FAKE_CORE_KINDS];

__attribute__((destructor)) static void free_cores(void)
{
    for (size_t i = 0; i < FAKE_CORE_KINDS; i++)
        free(cores[i].bytes);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    unsigned kind = (unsigned)fuzz_take(&in, 1) % FAKE_CORE_KINDS;
    unsigned flags = (unsigned)fuzz_take(&in, 1);
    uint64_t cut = fuzz_take(&in, 2);
    size_t in_head = fuzz_take(&in, 1) % 8;
    if (!cores[kind].bytes)
        fake_core(kind, &cores[kind]);
    const struct fake_core *core = &cores[kind];
    AUTO_FREE uint8_t *bytes = malloc(core->size);
    FUZZ_CHECK(bytes);
    memcpy(bytes, core->bytes, core->size);
    struct fuzz_input head = fuzz_take_bytes(&in, in_head * FUZZ_CHANGE_BYTES);
    fuzz_change(bytes, core->head_bytes, 0, &head);
    fuzz_change(bytes, core->size, FAKE_BASE, &in);
    whole_analyze_bytes(flags, bytes, core->size, cut);
}

static void seeds(void)
{
    whole_seeds(2);
}

FUZZ_TARGET(analyze, run, seeds, 5000)
