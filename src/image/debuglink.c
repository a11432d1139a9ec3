// SPDX-License-Identifier: GPL-3.0-or-later
// .gnu_debuglink: the file name of a separate debug file and its CRC-32 (gdb manual, "Separate
// Debug Files"; objcopy(1), --add-gnu-debuglink).
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "image/elf.h"
#include "image/image_private.h"
#include "util/guard.h"

#define CHUNK_BYTES (1u << 20)

// A name, its NUL, zeros up to a multiple of four, four bytes of CRC.
static bool parse(const Elf_Data *data, char ret_name[static 256], uint32_t *ret_crc)
{
    const char *bytes = data->d_buf;
    size_t size = bytes ? strnlen(bytes, data->d_size) : 0;
    size_t crc_at = (size + 4) & ~(size_t)3;
    // Names lead to nowhere else: it comes from the target.
    if (size == 0 || size > 255 || memchr(bytes, '/', size) || crc_at + 4 > data->d_size ||
        strcmp(bytes, ".") == 0 || strcmp(bytes, "..") == 0)
        return false;
    memcpy(ret_name, bytes, size + 1);
    memcpy(ret_crc, bytes + crc_at, sizeof(*ret_crc));
    return true;
}

bool image_debuglink_read(Elf *elf, char ret_name[static 256], uint32_t *ret_crc)
{
    GElf_Shdr header;
    Elf_Scn *section = image_elf_section(elf, ".gnu_debuglink", &header);
    Elf_Data *data = section ? elf_rawdata(section, NULL) : NULL;
    return data && parse(data, ret_name, ret_crc);
}

bool image_debuglink_crc(int fd, uint32_t *ret)
{
    AUTO_FREE uint8_t *chunk = malloc(CHUNK_BYTES);
    uLong crc = crc32(0, NULL, 0);
    ssize_t got;
    for (off_t at = 0; chunk && (got = pread(fd, chunk, CHUNK_BYTES, at)) != 0; at += got) {
        if (got < 0)
            return false;
        crc = crc32(crc, chunk, (uInt)got);
    }
    *ret = (uint32_t)crc;
    return chunk != NULL;
}
