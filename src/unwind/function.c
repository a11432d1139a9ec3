// SPDX-License-Identifier: GPL-3.0-or-later
// The range of the function that a program counter lies in, by its FDE: the binary search table of
// .eh_frame_hdr says where each begins, the FDE how long it is. LSB 5.0, "Exception Frames".
#include <dwarf.h>
#include <gelf.h>
#include <string.h>

#include "image/elf.h"
#include "unwind/walk.h"

// What toolchains write (bfd, gold, lld, mold); others are not looked into.
#define TABLE_ENCODING (DW_EH_PE_datarel | DW_EH_PE_sdata4)
#define MAX_FDE_BYTES (1u << 20)

struct bytes {
    const uint8_t *at, *end;
};

static bool take(struct bytes *bytes, void *ret, size_t size)
{
    if ((size_t)(bytes->end - bytes->at) < size)
        return false;
    memcpy(ret, bytes->at, size);
    bytes->at += size;
    return true;
}

// The value of a LEB128 is of interest for none but small ones.
static bool take_leb(struct bytes *bytes, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; bytes->at < bytes->end; shift += 7) {
        uint8_t byte = *bytes->at++;
        if (shift < 63)
            *ret |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool raw(Elf *elf, uint64_t offset, uint64_t size, struct bytes *ret)
{
    size_t file_bytes = 0;
    if (!elf_rawfile(elf, &file_bytes) || offset >= file_bytes)
        return false;
    if (size > file_bytes - offset)
        size = file_bytes - offset;
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)offset, size, ELF_T_BYTE);
    if (!data || !data->d_buf)
        return false;
    *ret = (struct bytes){data->d_buf, (const uint8_t *)data->d_buf + data->d_size};
    return true;
}

static bool find_header(Elf *elf, GElf_Phdr *ret)
{
    size_t count;
    if (elf_getphdrnum(elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (gelf_getphdr(elf, (int)i, ret) && ret->p_type == PT_GNU_EH_FRAME)
            return true;
    return false;
}

static size_t width_of(uint8_t encoding)
{
    switch (encoding & 0x0f) {
    case DW_EH_PE_udata4:
    case DW_EH_PE_sdata4:
        return 4;
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
        return 8;
    default:
        return 0;
    }
}

// The encoding of addresses in the FDEs of a CIE ("R" of its augmentation).
static bool encoding_of_cie(struct bytes bytes, uint8_t *ret)
{
    uint32_t length, id;
    uint8_t version, byte;
    uint64_t number;
    *ret = DW_EH_PE_absptr;
    if (!take(&bytes, &length, 4) || !take(&bytes, &id, 4) || id != 0 || !take(&bytes, &version, 1))
        return false;
    const char *augmentation = (const char *)bytes.at;
    const uint8_t *nul = memchr(bytes.at, 0, (size_t)(bytes.end - bytes.at));
    if (!nul)
        return false;
    bytes.at = nul + 1;
    if (!take_leb(&bytes, &number) || !take_leb(&bytes, &number) ||
        !(version == 1 ? take(&bytes, &byte, 1) : take_leb(&bytes, &number)))
        return false;
    if (*augmentation != 'z')
        return *augmentation == '\0';
    if (!take_leb(&bytes, &number))
        return false;
    for (const char *letter = augmentation + 1; *letter; letter++) {
        uint8_t pointer[8];
        if (*letter == 'R')
            return take(&bytes, ret, 1);
        if ((*letter == 'L' || *letter == 'P') && !take(&bytes, &byte, 1))
            return false;
        if (*letter == 'P' && (!width_of(byte) || !take(&bytes, pointer, width_of(byte))))
            return false;
    }
    return true;
}

static bool fde_size(Elf *elf, uint64_t fde_offset, uint64_t *ret)
{
    struct bytes fde, cie;
    uint32_t length, back;
    uint8_t encoding;
    if (!raw(elf, fde_offset, 64, &fde) || !take(&fde, &length, 4) || !take(&fde, &back, 4) ||
        length > MAX_FDE_BYTES || back == 0 || back > fde_offset + 4)
        return false;
    if (!raw(elf, fde_offset + 4 - back, 64, &cie) || !encoding_of_cie(cie, &encoding))
        return false;
    size_t width = width_of(encoding);
    uint64_t start = 0;
    *ret = 0;
    return width && take(&fde, &start, width) && take(&fde, ret, width);
}

static bool from_table(Elf *elf, uint64_t addr, uint64_t *ret_start, uint64_t *ret_size)
{
    GElf_Phdr phdr;
    struct bytes bytes;
    uint8_t head[4];
    int32_t frame_pointer;
    uint32_t count;
    if (!find_header(elf, &phdr) || !raw(elf, phdr.p_offset, phdr.p_filesz, &bytes) ||
        !take(&bytes, head, 4) || head[0] != 1 || width_of(head[1]) != 4 ||
        head[2] != DW_EH_PE_udata4 || head[3] != TABLE_ENCODING ||
        !take(&bytes, &frame_pointer, 4) || !take(&bytes, &count, 4) ||
        count > (size_t)(bytes.end - bytes.at) / 8)
        return false;
    int64_t want = (int64_t)(addr - phdr.p_vaddr);
    size_t low = 0, high = count;
    int32_t entry[2] = {0, 0};
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        memcpy(entry, bytes.at + middle * 8, 4);
        if (entry[0] <= want)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    memcpy(entry, bytes.at + (low - 1) * 8, 8);
    *ret_start = phdr.p_vaddr + (uint64_t)(int64_t)entry[0];
    return fde_size(elf, phdr.p_offset + (uint64_t)(int64_t)entry[1], ret_size) &&
           addr - *ret_start < *ret_size;
}

bool unwind_function(struct unwinder *unwinder, uint64_t pc, uint64_t *ret_start, uint64_t *ret_end)
{
    struct module *module = image_module_at(unwinder->image, pc);
    Elf *elf = module ? image_elf(unwinder->image, module) : NULL;
    uint64_t size;
    if (!elf || !from_table(elf, pc - module->bias, ret_start, &size))
        return false;
    *ret_start += module->bias;
    *ret_end = *ret_start + size;
    return true;
}
