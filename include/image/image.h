// SPDX-License-Identifier: GPL-3.0-or-later
// The modules of a target: which ELF files are mapped where, whether the file at hand is the build
// that ran (build ID), and what symbols and sections say. For a core it also lends the memory
// model the file-backed bytes that the dump left out.
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "target/target.h"

enum module_file {
    MODULE_FILE_VERIFIED,   // build IDs agree
    MODULE_FILE_UNVERIFIED, // one side has no build ID to compare; used, and said
    MODULE_FILE_WRONG,      // another build lies at that path; not used
    MODULE_FILE_MISSING,    // nothing there, or not readable
};

struct module {
    char *path;          // as the target names it
    char *file;          // what was opened, NULL: nothing
    uint64_t start, end; // lowest and highest mapped address
    uint64_t bias;       // add to an address in the ELF file to get one in the target
    uint8_t build_id[64];
    size_t build_id_bytes; // of the running module, 0: none, or not in memory
    enum module_file file_state;
};

struct image;

struct image_record;

// What is opened and worked out of files (debug information, tables of symbols), shared by images
// that have the same ones: a server's workers all map the same interpreter.
struct image_files;
struct image_files *image_files_create(void);
// After all images that use it.
void image_files_destroy(struct image_files *files);

struct image_options {
    const char *exe;       // --exe: the main program's file
    const char *sysroot;   // --sysroot: prefix for every path (and build-id lookup below it)
    const char *debug_dir; // --debug-dir: debug files, and the programs themselves
    bool debuginfod;       // --debuginfod: what is nowhere here may be asked of $DEBUGINFOD_URLS
    struct image_files *files;   // borrowed; NULL: each file is opened for this image alone
    struct image_record *record; // borrowed. Not NULL: no file is opened; see image/record.h
};

// Lists modules and opens their files. Live: /proc/PID/map_files, then /proc/PID/root + path, then
// path, accepted only when the inode is the mapped one. Core: --exe; --sysroot as a tree and flat, or
// path; --debug-dir as a store (.build-id), a tree and flat; the stores of the sysroot and of this
// system; debuginfod. Missing or wrong files are notes on the target, never failures.
struct err *image_open(struct target *target, const struct image_options *options,
                       struct image **ret);
void image_destroy(struct image *image);

// For live targets: new mappings since (dlopen, exec). Cheap when nothing changed.
struct err *image_refresh(struct image *image);
// Another number when modules have come, gone, or been replaced.
uint64_t image_generation(const struct image *image);

size_t image_module_count(const struct image *image);
struct module *image_module(const struct image *image, size_t index);
struct module *image_module_at(const struct image *image, uint64_t addr);

// A defined symbol's address in the target (bias added), from .symtab, then .dynsym, and, where no
// file can be had, from the dynamic section in the target's memory (PT_DYNAMIC, DT_HASH or
// DT_GNU_HASH). False: not there.
bool image_symbol(struct image *image, struct module *module, const char *name, uint64_t *ret_addr,
                  uint64_t *ret_size);
// An allocated section, by name, from the file's section headers.
bool image_section(struct image *image, struct module *module, const char *name, uint64_t *ret_addr,
                   uint64_t *ret_size);
// The program and libpython, as far as their files are not at hand: names, build IDs, and what lies
// in their place, for people. To be freed. NULL: nothing is missing.
char *image_missing_interpreter(const struct image *image);
// The code at addr is of a file that is not at hand, and the target has no bytes of it itself.
bool image_lacks_code(const struct image *image, uint64_t addr);
// "3c1f…" of the module; empty when it has none.
void module_build_id_text(const struct module *module, char ret[static 129]);

#endif
