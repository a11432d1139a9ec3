// SPDX-License-Identifier: GPL-3.0-or-later
// See fuzz.h.
#include "fuzz.h"

#include <sys/mman.h>

uint64_t fuzz_take(struct fuzz_input *in, size_t bytes)
{
    uint64_t value = 0;
    size_t there = in->size < bytes ? in->size : bytes;
    if (there)
        memcpy(&value, in->data, there);
    in->data += there;
    in->size -= there;
    return value;
}

struct fuzz_input fuzz_take_bytes(struct fuzz_input *in, size_t most)
{
    struct fuzz_input ret = {in->data, in->size < most ? in->size : most};
    in->data += ret.size;
    in->size -= ret.size;
    return ret;
}

static void put_word(uint8_t *bytes, size_t size, size_t at, uint64_t value)
{
    memcpy(bytes + at, &value, size - at < 8 ? size - at : 8);
}

static uint64_t get_word(const uint8_t *bytes, size_t size, size_t at)
{
    uint64_t value = 0;
    memcpy(&value, bytes + at, size - at < 8 ? size - at : 8);
    return value;
}

static void change(uint8_t *bytes, size_t size, uint64_t base, uint64_t position, unsigned kind,
                   uint64_t value)
{
    size_t place = position % size, at = place / 8 * 8;
    switch (kind % 10) {
    case 0: // nothing
        break;
    case 1: // a pointer to something else
        put_word(bytes, size, at, base + value % size / 8 * 8);
        break;
    case 2: // a pointer, or a number, that is a little off
        put_word(bytes, size, at, get_word(bytes, size, at) + 8 * (value % 65) - 256);
        break;
    case 3: // a size
        put_word(bytes, size, at, 1ull << value % 64);
        break;
    case 4:
        bytes[place] = (uint8_t)value;
        break;
    case 5:
        bytes[place] ^= (uint8_t)(1u << value % 8);
        break;
    case 6: // another word of it
        put_word(bytes, size, at, get_word(bytes, size, value % size / 8 * 8));
        break;
    case 7: { // a smaller number, anywhere
        uint32_t half = (uint32_t)value;
        memcpy(bytes + place, &half, size - place < 4 ? size - place : 4);
        break;
    }
    case 8: { // zeros
        size_t count = value % 256;
        memset(bytes + place, 0, size - place < count ? size - place : count);
        break;
    }
    default:
        put_word(bytes, size, at, value);
        break;
    }
}

void fuzz_change(uint8_t *bytes, size_t size, uint64_t base, struct fuzz_input *in)
{
    for (size_t i = 0; size && i < FUZZ_MAX_CHANGES && in->size >= FUZZ_CHANGE_BYTES; i++) {
        uint64_t position = fuzz_take(in, 3);
        unsigned kind = (unsigned)fuzz_take(in, 1);
        change(bytes, size, base, position, kind, fuzz_take(in, 8));
    }
}

void fuzz_seed_changes(const void *head, size_t head_size, size_t count)
{
    uint8_t seed[64 + 16 * FUZZ_CHANGE_BYTES] = {0};
    FUZZ_CHECK(head_size <= 64 && count <= 16);
    if (head_size)
        memcpy(seed, head, head_size);
    fuzz_seed(seed, head_size + count * FUZZ_CHANGE_BYTES);
}

static size_t read_region(void *arg, uint64_t addr, void *buffer, size_t size)
{
    const struct fuzz_region *region = arg;
    FUZZ_CHECK(addr >= region->addr && size <= region->size &&
               addr - region->addr <= region->size - size);
    memcpy(buffer, region->bytes + (addr - region->addr), size);
    return size;
}

struct target *fuzz_scene(const struct fuzz_region *regions, size_t count)
{
    struct target *target = calloc(1, sizeof(*target));
    FUZZ_CHECK(target && (target->mem = mem_create()));
    target->kind = TARGET_CORE;
    target->pid = 100;
    for (size_t i = 0; i < count; i++) {
        const struct fuzz_region *region = &regions[i];
        struct target_mapping mapping = {.start = region->addr,
                                         .end = region->addr + region->size,
                                         .offset = region->offset,
                                         .readable = true,
                                         .writable = region->writable,
                                         .executable = region->executable,
                                         .path = region->path ? strdup(region->path) : NULL};
        FUZZ_CHECK(vec_push(&target->mappings, mapping));
        FUZZ_CHECK(!mem_add(target->mem, mapping.start, mapping.end, MEM_CORE, read_region,
                            (void *)region, false));
    }
    return target;
}

int fuzz_file(const void *bytes, size_t size, char ret_path[static 32])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    snprintf(ret_path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

void fuzz_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

// elfutils up to 0.188 (and perhaps later) loses a frame's state when a program of call frame
// information turns out to be damaged.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdw\n";
}

#ifdef WITH_LIBFUZZER
void fuzz_seed(const void *bytes, size_t size)
{
    (void)bytes, (void)size;
}
#endif
