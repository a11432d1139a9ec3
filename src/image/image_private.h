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

// Files that stay open to be lent from.
#define IMAGE_MAX_OPEN 32
// Of an ELF image that is put together from memory.
#define IMAGE_MAX_REBUILT_BYTES (64u << 20)

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
struct image_lines;
struct image_symbols;
struct image_jits;
struct image_location;
struct image_symbol;
struct strtab;

// Lends the bytes of one stretch of a mapping to the memory model.
struct image_loan {
    struct image_module *module;
    uint64_t start, offset, size;
};

struct image_shared;

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
    char *other_build;          // the first file that was refused, for people; NULL: none
    struct image_file file;     // while it is verified or lent from; fd -1: closed
    bool file_failed;
    Elf *elf; // of that file, mapped; made when first asked for, stays
    Elf *debug;
    bool debug_tried, fetch_tried;
    Elf *rebuilt; // from memory, also the vDSO's
    void *rebuilt_bytes;
    bool rebuilt_tried;
    bool jit_searched;
    uint64_t jit_descriptor; // 0: none
    VEC(struct image_loan *) loans;
    bool keep, dropped;            // while modules are listed anew
    struct image_shared *shared;   // files.c's; NULL: not looked for yet, or not to be shared
    struct image_symbols *symbols; // made when first asked for
    struct image_lines *lines;
};

struct image {
    struct target *target;
    char *exe, *sysroot, *debug_dir;
    VEC(struct image_module *) modules; // sorted by start
    VEC(struct image_module *) retired; // unmapped; callers may still hold them
    uint64_t mappings_hash;
    uint64_t generation;                          // of the list of modules
    struct image_module *lending[IMAGE_MAX_OPEN]; // whose files are open; the oldest is next
    size_t lending_next;
    bool use_debuginfod;
    void *debuginfod; // debuginfod.c's
    struct image_jits *jits;
    uint64_t from_memory_bytes;  // LIMIT_FROM_MEMORY_BYTES
    struct image_files *files;   // borrowed; NULL: nothing is shared
    struct strtab *names;        // demangled ones, files; made when first asked for
    struct image_record *record; // borrowed; NULL: modules have files
};

// ---- place.c: files by name, below a root -------------------------------------------------------

// Opens a regular, non-empty file for reading; anything else is not even opened (a core may name a
// device). `path` never leaves `root`: "..", and symbolic links, end there.
int image_open_place(const struct image_place *place, struct stat *ret);
// The same on kernels before 5.6, which have no openat2(2). Returns an O_PATH descriptor.
int image_resolve_by_hand(int root_fd, const char *path);
bool image_file_open(const struct image_place *place, struct image_file *ret);
void image_file_close(struct image_file *file);
// The file's ELF handle, which needs no descriptor any more; NULL: none.
Elf *image_file_map(const struct image_file *file);
void image_place_deinit(struct image_place *place);

// ---- headers.c: ELF headers and build IDs -------------------------------------------------------

// One of a program or library for 64-bit little-endian machines.
bool elf_headers_usable(const Elf64_Ehdr *ehdr);
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
// The file's ELF handle (the vDSO's: its memory's), made when first asked for; NULL: none. It is a
// private mapping without a descriptor (programs have hundreds of modules) and stays.
Elf *image_module_elf(struct image_module *module);
// Opens module->file, to read from its descriptor, if it is still the file that was verified.
bool image_module_open(struct image_module *module);
// Gives the descriptor back.
void image_module_close(struct image_module *module);

// ---- locate_core.c: where a core's files may be -------------------------------------------------

struct image_search;
void image_search_core(struct image_search *search);

// ---- files.c: what modules of the same file share -----------------------------------------------

// Before something is made of the module's file: what others have made already is the module's, too
// (elf, debug, symbols, lines).
void image_files_take(struct image_module *module);
// Once it is made.
void image_files_give(struct image_module *module);
// It is the store's, and not to be freed with the module.
bool image_files_own(const struct image_module *module);
// Where names are kept that those refer to.
struct strtab **image_files_names(struct image_files *files);

// ---- missing.c: what is said of files that are not at hand --------------------------------------

void image_note_states(struct image *image, const struct image_found *found);

// ---- debug.c, debuglink.c, debuginfod.c: separate debug files -----------------------------------

// True of a file that holds no code of its own, only what strip(1) takes out of others.
bool image_is_debug_only(Elf *elf);
// Those on this machine. NULL: none.
Elf *image_module_debug_elf(struct image_module *module);
// These, and then what the user allowed to be fetched: only for modules that lie on a stack.
Elf *image_module_fetched_debug_elf(struct image_module *module);
// Where files of the target are looked for, besides the user's own directories: its sysroot, its
// root in /proc. NULL: this process's own root.
struct image_roots {
    char live[64];
    const char *names[2];
    size_t count;
    char chroot[4096]; // of a live process, as its mount namespace names its root; "": is that
};
void image_roots_of(const struct image *image, struct image_roots *ret);
// A path of the target as it is to be looked for below root number `index`. The kernel names the
// files of a chrooted process by their place in the mount namespace: its root lies below that.
const char *image_path_below(const struct image_roots *roots, size_t index, const char *path);
// The strings of section number `index`; NULL: it has none. The last one need not be terminated.
const char *image_elf_strings(Elf *elf, size_t index, size_t *ret_bytes);
// What .gnu_debuglink says: a bare file name and the CRC-32 of that file. False: nothing usable.
bool image_debuglink_read(Elf *elf, char ret_name[static 256], uint32_t *ret_crc);
bool image_debuglink_crc(int fd, uint32_t *ret);
// An open descriptor, or -1. Notes on the target say what is missing or failed.
int image_debuginfod_open(struct image *image, const uint8_t *build_id, size_t build_id_bytes);
// The program or library itself: its path in debuginfod's cache, to be freed. NULL: none.
char *image_debuginfod_executable(struct image *image, const uint8_t *build_id,
                                  size_t build_id_bytes);
void image_debuginfod_close(struct image *image);

// ---- verify.c: is this file the module's --------------------------------------------------------

enum module_file image_verify(struct image_module *module, struct mem *mem,
                              const struct image_file *file, const struct elf_headers *headers);

// ---- lend.c: file bytes for a core --------------------------------------------------------------

struct err *image_lend(struct image *image, struct image_module *module);

// ---- rebuild.c: an ELF image from memory --------------------------------------------------------

// The unwind tables of a module as an ELF image of their own, in *ret_bytes, which must outlive
// it. NULL: they are not all there.
Elf *image_rebuild(struct mem *mem, const struct image_module *module, void **ret_bytes);

// ---- frames.c: call frame information that nobody vouches for ------------------------------------

// Takes out of an .eh_frame what libdw must not be given. Returns how many entries.
size_t image_frames_disarm(uint8_t *bytes, size_t size);
// Whether there is no such thing in the .eh_frame of an ELF image (by its section headers).
bool image_frames_sane(Elf *elf);
// The same of the bytes of a .debug_frame, all of which must be sane.
bool image_debug_frames_sane(const uint8_t *bytes, size_t size);

// ---- jit.c --------------------------------------------------------------------------------------

void image_jits_destroy(struct image_jits *jits);
// Where the module has the list of code made at run time; 0: it has none.
uint64_t image_jit_descriptor(struct image *image, struct image_module *module);

// ---- record_ask.c: an image without files (image/record.h) --------------------------------------

// What the functions of these names (without "record_") answer for modules of such an image.
bool image_record_symbol(const struct image_module *module, const char *name, uint64_t *ret_addr,
                         uint64_t *ret_size);
bool image_record_section(const struct image_module *module, const char *name, uint64_t *ret_addr,
                          uint64_t *ret_size);
bool image_record_symbol_at(const struct image_module *module, uint64_t addr,
                            struct image_symbol *ret);
size_t image_record_locations(const struct image_module *module, uint64_t addr,
                              struct image_location *ret, size_t limit);
uint64_t image_record_jit_descriptor(const struct image_module *module);
// Of the debug file, or the module's own, there is .debug_frame and nothing else.
Elf *image_record_debug_elf(struct image_module *module);
// Gives each what the source's has: build ID, bias, file's name. Those that it has not are dropped.
struct err *image_record_modules(struct image *image, struct image_found *found);

// ---- dynamic.c: symbols without a file ----------------------------------------------------------

bool image_dynamic_symbol(struct mem *mem, const struct image_module *module, const char *name,
                          uint64_t *ret_addr, uint64_t *ret_size);

// All symbols of that kind: copies of what lies in the target's memory.
struct image_dynamic_table {
    Elf64_Sym *symbols;
    size_t count;
    char *names;
    size_t names_bytes;
};
bool image_dynamic_table(struct mem *mem, const struct image_module *module,
                         struct image_dynamic_table *ret);
void image_dynamic_table_deinit(struct image_dynamic_table *table);

// ---- names.c, symbol_table.c, lines.c: from addresses to names ----------------------------------

// Owned by the image. NULL: out of memory.
const char *image_keep_name(struct image *image, const char *text, size_t size);
// Demangled, without a symbol version; `name` itself where that changes nothing.
const char *image_pretty_name(struct image *image, const char *name);

void image_symbols_destroy(struct image_symbols *symbols);
void image_lines_destroy(struct image_lines *lines);

#endif
