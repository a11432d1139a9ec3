// SPDX-License-Identifier: GPL-3.0-or-later
// The address space of a core: PT_LOAD says what was mapped and which bytes were kept, NT_FILE
// which file lay behind it. gdb leaves file-backed mappings out of PT_LOAD altogether, the kernel
// keeps them with p_filesz 0; here both become mappings whose bytes are MEM_ABSENT.
#include "target/core.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/guard.h"

#define DELETED " (deleted)"
#define VSYSCALL_ADDR 0xffffffffff600000ull

static size_t read_segment(void *arg, uint64_t addr, void *buffer, size_t size)
{
    const struct core_segment *segment = arg;
    uint64_t skip = addr - segment->start;
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(segment->fd, (char *)buffer + done, size - done,
                            (off_t)(segment->offset + skip + done));
        if (got <= 0)
            break; // the file shrank after it was opened, or the disk fails: not readable
        done += (size_t)got;
    }
    return done;
}

// Adds [start, end), which lies within the segment, to the memory model by where its bytes are.
static struct err *add_bytes(struct target *target, const struct core_segment *segment)
{
    uint64_t present_end = segment->start + segment->present_bytes;
    uint64_t dumped_end = segment->start + segment->dumped_bytes;
    // The zero pages a dump filter leaves and the holes of a sparse core lie within p_filesz; what
    // lies between p_filesz and p_memsz was left out, and is not known to be zero.
    TRY(mem_add(target->mem, segment->start, present_end, MEM_CORE, read_segment, (void *)segment,
                true));
    TRY(mem_add(target->mem, present_end, dumped_end, MEM_TRUNCATED, NULL, NULL, false));
    TRY(mem_add(target->mem, dumped_end, segment->end, MEM_ABSENT, NULL, NULL, false));
    target->missing_bytes += dumped_end - present_end;
    if (segment->flags & PF_R)
        target->absent_bytes += segment->end - dumped_end;
    return NULL;
}

static int compare_files(const void *left, const void *right)
{
    const struct core_file *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static void settle_files(struct core_files *files)
{
    size_t kept = 0;
    uint64_t free_from = 0;
    if (files->count)
        qsort(files->items, files->count, sizeof(*files->items), compare_files);
    for (size_t i = 0; i < files->count; i++) {
        struct core_file file = files->items[i];
        if (file.end <= free_from)
            continue;
        if (file.start < free_from) {
            file.offset += free_from - file.start;
            file.start = free_from;
        }
        free_from = file.end;
        files->items[kept++] = file;
    }
    files->count = kept;
}

static bool set_path(struct target_mapping *mapping, const char *path)
{
    size_t size = strlen(path), tail = strlen(DELETED);
    if (size > tail && strcmp(path + size - tail, DELETED) == 0) {
        mapping->deleted = true;
        size -= tail;
    }
    mapping->path = strndup(path, size);
    return mapping->path != NULL;
}

// One stretch that belongs to at most one segment and at most one file.
static struct err *add_mapping(struct target *target, uint64_t start, uint64_t end,
                               const struct core_segment *segment, const struct core_file *file)
{
    struct target_mapping mapping = {.start = start, .end = end, .readable = true};
    if (segment) {
        mapping.readable = segment->flags & PF_R;
        mapping.writable = segment->flags & PF_W;
        mapping.executable = segment->flags & PF_X;
    } else {
        target->absent_bytes += end - start;
        TRY(mem_add(target->mem, start, end, MEM_ABSENT, NULL, NULL, false));
    }
    if (file) {
        mapping.offset = file->offset + (start - file->start);
        if (!set_path(&mapping, file->path))
            return err_create(ERR_NO_MEMORY, "out of memory");
    }
    if (!vec_push(&target->mappings, mapping)) {
        free(mapping.path);
        return err_create(ERR_NO_MEMORY, "out of memory");
    }
    return NULL;
}

// Walks both sorted lists at once and cuts at every border of either.
static struct err *merge(struct target *target, const struct core_segments *segments,
                         const struct core_files *files)
{
    size_t s = 0, f = 0;
    uint64_t at = 0;
    bool entered = false; // segments->items[s] was already added to the memory model
    while (s < segments->count || f < files->count) {
        const struct core_segment *segment = s < segments->count ? &segments->items[s] : NULL;
        const struct core_file *file = f < files->count ? &files->items[f] : NULL;
        uint64_t next_segment = segment ? segment->start : UINT64_MAX;
        uint64_t next_file = file ? file->start : UINT64_MAX;
        uint64_t nearest = next_segment < next_file ? next_segment : next_file;
        if (at < nearest)
            at = nearest;
        bool in_segment = segment && segment->start <= at, in_file = file && file->start <= at;
        uint64_t end = in_segment ? segment->end : next_segment;
        uint64_t file_end = in_file ? file->end : next_file;
        if (file_end < end)
            end = file_end;
        if (in_segment && !entered) {
            TRY(add_bytes(target, segment));
            entered = true;
        }
        TRY(add_mapping(target, at, end, in_segment ? segment : NULL, in_file ? file : NULL));
        at = end;
        if (segment && segment->end <= at) {
            s++;
            entered = false;
        }
        if (file && file->end <= at)
            f++;
    }
    return NULL;
}

static struct err *name_mapping(struct target *target, uint64_t addr, const char *name)
{
    struct target_mapping *mapping =
        addr ? (struct target_mapping *)target_mapping_at(target, addr) : NULL;
    if (!mapping || mapping->path)
        return NULL;
    mapping->path = strdup(name);
    return mapping->path ? NULL : err_create(ERR_NO_MEMORY, "out of memory");
}

struct err *core_maps_build(struct target *target, const struct core_segments *segments,
                            struct core_notes *notes)
{
    settle_files(&notes->files);
    TRY(merge(target, segments, &notes->files));
    TRY(name_mapping(target, notes->vdso, "[vdso]"));
    // The kernel puts the sixteen random bytes and the program's name on the main stack.
    TRY(name_mapping(target, notes->random ? notes->random : notes->execfn, "[stack]"));
    return name_mapping(target, VSYSCALL_ADDR, "[vsyscall]");
}
