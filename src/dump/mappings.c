// SPDX-License-Identifier: GPL-3.0-or-later
// Which mappings the kernel would dump, and how much of each: fs/coredump.c, vma_dump_size, of which
// /proc/PID/smaps and the mapped files' inodes tell all it asks for, but one thing: whether a
// mapping was ever written to. Instead: whether it has private pages now.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dump/dump_private.h"
#include "target/proc.h"
#include "util/guard.h"

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000 // linux/stat.h since 5.8
#endif

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

// Two letters each: fs/proc/task_mmu.c, show_smap_vma_flags.
static void take_flags(const char *text, struct dump_mapping *ret)
{
    static const struct {
        char letters[3];
        size_t place;
    } flags[] = {
        {"dd", offsetof(struct dump_mapping, dont_dump)},
        {"io", offsetof(struct dump_mapping, io)},
        {"ht", offsetof(struct dump_mapping, hugetlb)},
        {"sh", offsetof(struct dump_mapping, shared)},
        {"um", offsetof(struct dump_mapping, userfault)},
        {"ui", offsetof(struct dump_mapping, userfault)},
    };
    for (const char *at = text + strspn(text, " "); *at; at += strspn(at, " ")) {
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
            if (strncmp(at, flags[i].letters, 2) == 0 && (at[2] == ' ' || !at[2]))
                *(bool *)((char *)ret + flags[i].place) = true;
        at += strcspn(at, " ");
    }
}

// One line of a mapping's entry, "Key:   123 kB".
static void take_line(const char *line, struct dump_mapping *ret)
{
    const char *colon = strchr(line, ':');
    if (!colon)
        return;
    if (starts_with(line, "VmFlags:")) {
        take_flags(colon + 1, ret);
        return;
    }
    uint64_t bytes = strtoull(colon + 1, NULL, 10) * 1024;
    bool is_anonymous = starts_with(line, "Anonymous:"), is_swap = starts_with(line, "Swap:");
    if (is_swap)
        ret->swapped_bytes = bytes;
    if (is_anonymous || is_swap)
        ret->touched_bytes += bytes;
    if (is_swap || starts_with(line, "Rss:") || starts_with(line, "Shared_Hugetlb:") ||
        starts_with(line, "Private_Hugetlb:"))
        ret->resident_bytes += bytes;
}

// smaps begins each entry with the line that maps has: two hexadecimal numbers.
static bool is_head(const char *line, uint64_t *ret_start)
{
    char *end;
    *ret_start = strtoull(line, &end, 16);
    return end != line && *end == '-';
}

static struct err *read_smaps(struct dump_input *input)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/smaps", input->memory_pid);
    AUTO_FREE char *text = NULL;
    TRY(proc_read_file(path, &text, NULL));
    struct dump_mapping *current = NULL;
    size_t next = 0;
    for (char *line = text; *line;) {
        char *end = strchrnul(line, '\n');
        bool last = *end == '\0';
        uint64_t start;
        *end = '\0';
        if (is_head(line, &start)) {
            // Both lists are sorted, and of one moment; a frozen copy may lack some.
            while (next < input->mappings->count && input->mappings->items[next].start < start)
                next++;
            current = NULL;
            if (next < input->mappings->count && input->mappings->items[next].start == start) {
                current = &input->details.items[next];
                current->known = true;
            }
        } else if (current) {
            take_line(line, current);
        }
        if (last)
            break;
        line = end + 1;
    }
    return NULL;
}

static bool has_file(const struct target_mapping *mapping)
{
    return mapping->inode != 0;
}

// The mapped file itself, which only the privileged may open so; otherwise what lies under its name,
// when it is that file.
int dump_open_mapped(pid_t pid, const struct target_mapping *mapping, int flags)
{
    char path[64];
    AUTO_FREE char *named = NULL;
    struct stat info;
    if (!has_file(mapping))
        return -1;
    snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
             (unsigned long long)mapping->start, (unsigned long long)mapping->end);
    // O_PATH first: nothing may happen because a device or a FIFO was opened.
    AUTO_CLOSE int place = open(path, O_PATH | O_CLOEXEC);
    if (place < 0 && mapping->path && mapping->path[0] == '/' && !mapping->deleted &&
        asprintf(&named, "/proc/%d/root%s", pid, mapping->path) > 0)
        place = open(named, O_PATH | O_CLOEXEC);
    if (place < 0 || fstat(place, &info) != 0 || info.st_ino != mapping->inode)
        return -1;
    if (flags & O_PATH) {
        int taken = place;
        place = -1;
        return taken;
    }
    // The number of a device is that of its superblock, which not all file systems show in stat:
    // by name only the very same one is good enough to read from.
    if (!S_ISREG(info.st_mode) ||
        (named && info.st_dev != makedev((unsigned)(mapping->device >> 32),
                                         (unsigned)(mapping->device & 0xffffffff))))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
    return open(path, flags | O_CLOEXEC);
}

static void look_at_file(pid_t pid, const struct target_mapping *mapping,
                         struct dump_mapping *detail)
{
    struct stat info;
    struct statx more;
    detail->file_bytes = UINT64_MAX;
    detail->unlinked = mapping->deleted;
    AUTO_CLOSE int fd = dump_open_mapped(pid, mapping, O_PATH);
    if (fd < 0 || fstat(fd, &info) != 0)
        return;
    detail->unlinked = info.st_nlink == 0;
    detail->executable_file = info.st_mode & 0111;
    if (S_ISREG(info.st_mode))
        detail->file_bytes = (uint64_t)info.st_size;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &more) == 0)
        detail->dax = more.stx_attributes & STATX_ATTR_DAX;
}

struct err *dump_look_at_mappings(struct dump_input *input)
{
    const struct target_mappings *mappings = input->mappings;
    input->details.count = 0;
    if (!vec_reserve(&input->details, mappings->count))
        return err_create(ERR_NO_MEMORY, "%zu mappings", mappings->count);
    if (mappings->count)
        memset(input->details.items, 0, mappings->count * sizeof(*input->details.items));
    input->details.count = mappings->count;
    TRY(read_smaps(input));
    size_t looked_at = SIZE_MAX; // neighbours are mostly parts of one file
    for (size_t i = 0; i < mappings->count; i++) {
        const struct target_mapping *mapping = &mappings->items[i];
        struct dump_mapping *detail = &input->details.items[i];
        if (!has_file(mapping))
            continue;
        const struct target_mapping *before =
            looked_at == SIZE_MAX ? NULL : &mappings->items[looked_at];
        if (before && before->inode == mapping->inode && before->device == mapping->device &&
            before->deleted == mapping->deleted) {
            const struct dump_mapping *same = &input->details.items[looked_at];
            detail->unlinked = same->unlinked;
            detail->executable_file = same->executable_file;
            detail->file_bytes = same->file_bytes;
            detail->dax = same->dax;
            continue;
        }
        look_at_file(input->memory_pid, mapping, detail);
        looked_at = i;
    }
    return NULL;
}

// The one special mapping that is always dumped. Not [vvar], which is no memory: nobody can read it
// from outside, and the kernel writes zeros for it; nor [vsyscall], which is the kernel's own and can
// only be executed.
bool dump_is_vdso(const struct target_mapping *mapping)
{
    return mapping->path && strcmp(mapping->path, "[vdso]") == 0;
}

static uint64_t elf_header_bytes(const struct dump_input *input, size_t index)
{
    const struct target_mapping *mapping = &input->mappings->items[index];
    unsigned char magic[4];
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!(input->filter & DUMP_ELF_HEADERS) || mapping->offset != 0)
        return 0;
    if (input->details.items[index].executable_file)
        return page_bytes;
    bool is_elf =
        mem_read_some(input->mem, mapping->start, magic, sizeof(magic)) == sizeof(magic) &&
        memcmp(magic, "\177ELF", sizeof(magic)) == 0;
    return is_elf ? page_bytes : 0;
}

// Of a file that ends before its mapping does, what lies behind its last page cannot be read.
static uint64_t whole(const struct target_mapping *mapping, const struct dump_mapping *detail)
{
    uint64_t bytes = mapping->end - mapping->start, page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    if (!has_file(mapping) || detail->file_bytes > UINT64_MAX - page_bytes)
        return bytes;
    uint64_t end = (detail->file_bytes + page_bytes - 1) / page_bytes * page_bytes;
    uint64_t left = end > mapping->offset ? end - mapping->offset : 0;
    return left < bytes ? left : bytes;
}

uint64_t dump_mapping_bytes(const struct dump_input *input, size_t index)
{
    const struct target_mapping *mapping = &input->mappings->items[index];
    const struct dump_mapping *detail = &input->details.items[index];
    unsigned filter = input->filter, wanted;
    if (!mapping->readable)
        return 0;
    if (dump_is_vdso(mapping))
        return mapping->end - mapping->start;
    if (detail->dont_dump)
        return 0;
    if (detail->dax) {
        wanted = detail->shared ? DUMP_DAX_SHARED : DUMP_DAX_PRIVATE;
        return filter & wanted ? whole(mapping, detail) : 0;
    }
    if (detail->hugetlb) {
        wanted = detail->shared ? DUMP_HUGETLB_SHARED : DUMP_HUGETLB_PRIVATE;
        return filter & wanted ? mapping->end - mapping->start : 0;
    }
    if (detail->io)
        return 0;
    if (detail->shared) {
        wanted = detail->unlinked ? DUMP_ANON_SHARED : DUMP_FILE_SHARED;
        return filter & wanted ? whole(mapping, detail) : 0;
    }
    // What a frozen copy does not share (MADV_WIPEONFORK) was copied, and shows no pages.
    struct mem_segment_info segment;
    bool copied = mem_segment_at(input->mem, mapping->start, &segment) &&
                  segment.start <= mapping->start && segment.origin == MEM_COPY;
    bool touched = detail->touched_bytes || !detail->known || copied;
    if (touched && (filter & DUMP_ANON_PRIVATE))
        return whole(mapping, detail);
    if (!has_file(mapping))
        return 0;
    return filter & DUMP_FILE_PRIVATE ? whole(mapping, detail) : elf_header_bytes(input, index);
}
