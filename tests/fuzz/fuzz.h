// SPDX-License-Identifier: GPL-3.0-or-later
// What fuzz targets share. A target is one file with one entry: FUZZ_TARGET(name, run, seeds,
// rounds) makes it known to the replay driver (test_replay.c) and, with -DWITH_LIBFUZZER, is
// libFuzzer's entry as well. `run` takes one input; `seeds` tells well-formed ones by fuzz_seed();
// `rounds` is how many random changes of them `make check` tries.
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "fake_memory.h"
#include "target/target.h"

struct fuzz_target {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
    void (*seeds)(void);
    unsigned rounds;
};

#define FUZZ_MAX_BYTES (256u << 10) // of one input

// To be called by `seeds`.
void fuzz_seed(const void *bytes, size_t size);

// Ends the program when something that must hold does not.
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
void fuzz_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

#ifdef WITH_LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
#define FUZZ_TARGET(target, run_it, seeds_of_it, rounds_of_it)                             \
    const struct fuzz_target fuzz_##target = {#target, run_it, seeds_of_it, rounds_of_it}; \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                           \
    {                                                                                      \
        run_it(data, size);                                                                \
        return 0;                                                                          \
    }
#else
#define FUZZ_TARGET(target, run_it, seeds_of_it, rounds_of_it) \
    const struct fuzz_target fuzz_##target = {#target, run_it, seeds_of_it, rounds_of_it};
#endif

#define TARGET(name) extern const struct fuzz_target fuzz_##name;
#include "targets.def"
#undef TARGET

// ---- Taking an input apart ----------------------------------------------------------------------

struct fuzz_input {
    const uint8_t *data;
    size_t size;
};

// Missing bytes are zeros.
uint64_t fuzz_take(struct fuzz_input *in, size_t bytes);
// At most `most` bytes of it.
struct fuzz_input fuzz_take_bytes(struct fuzz_input *in, size_t most);

// Inputs of structured targets are lists of changes to a well-formed whole: position:3 kind:1
// value:8. `base` is the address of its first byte in the target.
#define FUZZ_CHANGE_BYTES 12
#define FUZZ_MAX_CHANGES 64
void fuzz_change(uint8_t *bytes, size_t size, uint64_t base, struct fuzz_input *in);
// A seed of `count` changes that change nothing, behind `head`.
void fuzz_seed_changes(const void *head, size_t head_size, size_t count);

// ---- A target without a process -----------------------------------------------------------------

// Bytes that are mapped somewhere; file-backed where `path` is not NULL.
struct fuzz_region {
    uint64_t addr;
    const uint8_t *bytes;
    size_t size;
    const char *path;
    uint64_t offset;
    bool writable, executable;
};
// Both are the caller's; `regions` are borrowed.
struct target *fuzz_scene(const struct fuzz_region *regions, size_t count);

// A file without a name; /proc/self/fd/N opens it. Closing it is the caller's.
int fuzz_file(const void *bytes, size_t size, char ret_path[static 32]);

#endif
