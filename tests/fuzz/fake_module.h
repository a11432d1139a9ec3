// SPDX-License-Identifier: GPL-3.0-or-later
// A small library as it lies in memory, also good as a file: headers, dynamic symbols with both
// kinds of hash tables, call frame information, text.
#ifndef FAKE_MODULE_H
#define FAKE_MODULE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_MODULE_ADDR 0x7e1000000000u
#define FAKE_MODULE_PATH "/nowhere/libfake.so"
#define FAKE_EH_FRAME_BYTES 1024
#define FAKE_TEXT_BYTES 512

// For a struct fuzz_region.
#define FAKE_MODULE_REGION(module)           \
    {                                        \
        .addr = FAKE_MODULE_ADDR,            \
        .bytes = (const uint8_t *)&(module), \
        .size = sizeof(module),              \
        .path = FAKE_MODULE_PATH,            \
        .executable = true,                  \
    }

// Both are file offsets and addresses.
struct fake_module {
    Elf64_Ehdr header;
    Elf64_Phdr phdrs[4];
    struct {
        Elf64_Nhdr header;
        char name[4];
        uint8_t id[20];
    } build_id;
    Elf64_Dyn dynamic[7];
    Elf64_Sym symbols[4]; // none, work, _PyRuntime, __jit_debug_descriptor
    char names[64];
    uint32_t hash[2 + 1 + 4];
    uint32_t gnu_hash[4 + 2 + 1 + 3];
    uint8_t eh_frame_hdr[16];
    uint8_t eh_frame[FAKE_EH_FRAME_BYTES];
    uint8_t text[FAKE_TEXT_BYTES];
    char section_names[64];
    Elf64_Shdr sections[6];
};

// `data` is the address that _PyRuntime and __jit_debug_descriptor get. Returns the bytes of its
// .eh_frame that are used.
size_t fake_module(struct fake_module *ret, uint64_t data);

#endif
