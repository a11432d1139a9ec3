// SPDX-License-Identifier: GPL-3.0-or-later
// Inside the image layer: a module with the mappings it was made of, where its file was found, and
// the ELF handles, which are opened when first asked for.
#ifndef IMAGE_PRIVATE_H
#define IMAGE_PRIVATE_H

#include <elf.h>
#include <libelf.h>
#include <sys/stat.h>

#include "image/image.h"
#include "util/vec.h"

// Real programs have about a dozen.
#define IMAGE_MAX_HEADERS 1024u

// ELF header and program headers, from the target's memory or from a file.
struct elf_headers {
    Elf64_Ehdr ehdr;
    Elf64_Phdr *phdrs;
    size_t count;
};

struct image_range {
    uint64_t start, end;
    uint64_t offset;
    bool writable, executable;
};

// Where a file is, in a way that can be opened again: `path` below `root`, or as it stands.
struct image_place {
    char *root; // NULL: this process's own root
    char *path;
};

// An opened regular file.
struct image_file {
    int fd;
    struct stat stat;
    Elf *elf;
};

struct image;

// Lends the bytes of one stretch of a mapping to the memory model.
struct image_loan {
    struct image_module *module;
    uint64_t start, offset, size;
};

struct image_module {
    struct module public; // first: image_module() hands out its address
    struct image *image;
    VEC(struct image_range) ranges;
    uint64_t inode, device;
    bool deleted;
    bool is_exe;
    bool is_vdso;
    bool headers_in_memory;
    bool no_build_id;           // its notes were read, and there is none among them
    struct elf_headers headers; // of the running module when in memory, else of the file
    struct image_place place;   // of public.file
    struct stat identity;       // what was found there, to know it again
    struct image_file file;     // fd -1 until asked for
    bool file_failed;
    struct image_file debug;
    bool debug_tried;
    void *vdso_bytes;
    VEC(struct image_loan *) loans;
    bool keep; // while modules are listed anew
};

struct image {
    struct target *target;
    char *exe, *sysroot, *debug_dir;
    VEC(struct image_module *) modules; // sorted by start
    VEC(struct image_module *) retired; // unmapped; callers may still hold them
    uint64_t mappings_hash;
};

// ---- place.c: files by name, below a root -------------------------------------------------------

// Opens a regular, non-empty file for reading; anything else is not even opened (a core may name a
// device). `path` never leaves `root`: "..", and symbolic links, end there.
int image_open_place(const struct image_place *place, struct stat *ret);
// The same on kernels before 5.6, which have no openat2(2). Returns an O_PATH descriptor.
int image_resolve_by_hand(int root_fd, const char *path);
bool image_file_open(const struct image_place *place, struct image_file *ret);
void image_file_close(struct image_file *file);
void image_place_deinit(struct image_place *place);

// ---- headers.c: ELF headers and build IDs -------------------------------------------------------

bool elf_headers_from_memory(struct mem *mem, uint64_t addr, struct elf_headers *ret);
bool elf_headers_from_file(const struct image_file *file, struct elf_headers *ret);
void elf_headers_deinit(struct elf_headers *headers);
// Ends of all PT_LOADs in the file's own addresses; false when there is none.
bool elf_headers_span(const struct elf_headers *headers, uint64_t *ret_low, uint64_t *ret_high);
// What a mapping of `offset` at `start` makes the bias.
bool elf_headers_bias(const struct elf_headers *headers, uint64_t start, uint64_t offset,
                      uint64_t *ret);
const Elf64_Phdr *elf_headers_find(const struct elf_headers *headers, uint32_t type);
// Fills build_id of the running module from its notes in memory.
void image_read_build_id(struct image_module *module, struct mem *mem);

// ---- linkmap.c: names for mappings that have none -----------------------------------------------

struct err *image_name_mappings(struct image *image);

// ---- modules.c: mappings to modules -------------------------------------------------------------

VEC_DEFINE(image_found, struct image_module *);

// Sorted candidates; the file of each is still to be found.
struct err *image_list_modules(struct image *image, struct image_found *ret);
void image_module_destroy(struct image_module *module);
// Recomputes bias, start and end from the headers.
void image_module_settle(struct image_module *module);

// ---- locate.c: which file is the module's -------------------------------------------------------

struct err *image_locate(struct image *image, struct image_module *module);
// The file's ELF handle, opened when first asked for; NULL: none.
Elf *image_module_elf(struct image_module *module);
// Gives the descriptor back; the next one to ask opens the file again. Programs have hundreds of
// modules, of which few are ever looked into.
void image_module_close(struct image_module *module);
// The separate debug file's, by build ID; NULL: none.
Elf *image_module_debug_elf(struct image_module *module);

// ---- verify.c: is this file the module's --------------------------------------------------------

enum module_file image_verify(struct image_module *module, struct mem *mem,
                              const struct image_file *file, const struct elf_headers *headers);

// ---- lend.c: file bytes for a core --------------------------------------------------------------

struct err *image_lend(struct image *image, struct image_module *module);

// ---- dynamic.c: symbols without a file ----------------------------------------------------------

bool image_dynamic_symbol(struct mem *mem, const struct image_module *module, const char *name,
                          uint64_t *ret_addr, uint64_t *ret_size);

#endif
