// SPDX-License-Identifier: GPL-3.0-or-later
// MiniDebugInfo: the .symtab of a stripped file, as an xz-compressed ELF file in a section of it
// (gdb manual, "MiniDebugInfo").
#include "symbol_table.h"

#include <stdlib.h>

#include "image/elf.h"
#include "util/guard.h"

#ifdef HAVE_LIBLZMA

#include <lzma.h>

#define MAX_PACKED (32u << 20)
#define MAX_UNPACKED (128u << 20)
#define MAX_DECODER_BYTES (128u << 20)

static Elf_Data *packed_data(Elf *elf)
{
    GElf_Shdr header;
    Elf_Scn *section = image_elf_section(elf, ".gnu_debugdata", &header);
    return section && header.sh_size <= MAX_PACKED ? elf_rawdata(section, NULL) : NULL;
}

static bool unpack(lzma_stream *stream, const Elf_Data *packed, void **ret, size_t *ret_size)
{
    AUTO_FREE uint8_t *bytes = NULL;
    size_t capacity = packed->d_size + 4096; // at most half of the limit
    lzma_ret state = LZMA_OK;
    stream->next_in = packed->d_buf;
    stream->avail_in = packed->d_size;
    while (state == LZMA_OK && stream->total_out < MAX_UNPACKED) {
        uint8_t *more = realloc(bytes, capacity);
        if (!more)
            return false;
        bytes = more;
        stream->next_out = bytes + stream->total_out;
        stream->avail_out = capacity - stream->total_out;
        state = lzma_code(stream, LZMA_FINISH);
        capacity = capacity < MAX_UNPACKED / 2 ? capacity * 2 : MAX_UNPACKED;
    }
    *ret_size = stream->total_out;
    *ret = TAKE(bytes);
    return state == LZMA_STREAM_END;
}

Elf *minidebug_open(Elf *elf, void **ret_bytes)
{
    Elf_Data *packed = packed_data(elf);
    lzma_stream stream = LZMA_STREAM_INIT;
    size_t size = 0;
    if (!packed || !packed->d_buf || packed->d_size == 0 ||
        lzma_stream_decoder(&stream, MAX_DECODER_BYTES, 0) != LZMA_OK)
        return NULL;
    AUTO_FREE void *bytes = NULL;
    bool done = unpack(&stream, packed, &bytes, &size);
    lzma_end(&stream);
    Elf *ret = done ? elf_memory(bytes, size) : NULL;
    if (ret && elf_kind(ret) != ELF_K_ELF) {
        elf_end(ret);
        ret = NULL;
    }
    if (ret)
        *ret_bytes = TAKE(bytes);
    return ret;
}

#else

Elf *minidebug_open(Elf *elf, void **ret_bytes)
{
    (void)elf;
    (void)ret_bytes;
    return NULL;
}

#endif
