// SPDX-License-Identifier: GPL-3.0-or-later
// See kept_python.h.
#include "kept_python.h"

void kept_python_keep(struct kept_python *kept)
{
    struct fake_memory *memory = &kept->py.memory;
    memory->size = memory->used;
    kept->bytes = malloc(memory->size);
    FUZZ_CHECK(kept->bytes);
    memcpy(kept->bytes, memory->bytes, memory->size);
}

void kept_python_change(struct kept_python *kept, struct fuzz_input *in)
{
    struct fake_memory *memory = &kept->py.memory;
    memcpy(memory->bytes, kept->bytes, memory->size);
    fuzz_change(memory->bytes, memory->size, FAKE_BASE, in);
    py_decoder_forget(kept->py.dec);
}

void kept_python_free(struct kept_python *kept)
{
    if (!kept->bytes)
        return;
    free(kept->bytes);
    fake_python_deinit(&kept->py);
}
