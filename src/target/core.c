// SPDX-License-Identifier: GPL-3.0-or-later
// Opens an ELF core: says in one line what is no core, reads the program headers, and makes a
// target of the rest (core_notes.c, core_maps.c, core_argv.c). Memory is read by pread: a file
// that shrinks meanwhile must not kill us, and a large one must not fill our memory.
#include "target/core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/guard.h"
#include "util/limits.h"

struct core {
    int fd;
    uint64_t size;
    const struct arch *arch;
    struct core_segments segments;
    VEC(struct core_segment) notes; // PT_NOTE; only offset, dumped_bytes and present_bytes count
    bool headers_cut;               // the program header table is longer than the file
    bool segments_cut;              // more than LIMIT_MAPPINGS
};

static void core_destroy(void *source)
{
    struct core *core = source;
    if (!core)
        return;
    if (core->fd >= 0)
        close(core->fd);
    vec_deinit(&core->segments);
    vec_deinit(&core->notes);
    free(core);
}

static void guard_core(struct core **core)
{
    core_destroy(*core);
}

static void guard_target(struct target **target)
{
    target_destroy(*target);
}

static void guard_elf(Elf **elf)
{
    elf_end(*elf);
}

static size_t pread_full(int fd, void *buffer, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

static struct err *refuse_file_kind(const char *path, mode_t mode)
{
    const char *kind = S_ISDIR(mode)    ? "a directory"
                       : S_ISFIFO(mode) ? "a FIFO"
                       : S_ISCHR(mode)  ? "a character device"
                       : S_ISBLK(mode)  ? "a block device"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "no regular file";
    return err_create(ERR_UNSUPPORTED, "%s is %s, not a core file", path, kind);
}

// stat(2) before open(2), because opening a device can do things; fstat(2) afterwards, because the
// name may have changed hands in between.
static struct err *open_regular(const char *path, int *ret_fd, struct stat *ret_stat)
{
    if (stat(path, ret_stat) < 0)
        return err_os(errno, "%s", path);
    if (!S_ISREG(ret_stat->st_mode))
        return refuse_file_kind(path, ret_stat->st_mode);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_os(errno, "%s", path);
    if (fstat(fd, ret_stat) < 0)
        return err_os(errno, "%s", path);
    if (!S_ISREG(ret_stat->st_mode))
        return refuse_file_kind(path, ret_stat->st_mode);
    *ret_fd = fd;
    fd = -1;
    return NULL;
}

static const struct packing {
    const char *magic;
    size_t magic_bytes;
    const char *name, *command;
} packings[] = {
    {"\x28\xb5\x2f\xfd", 4, "zstd", "zstd -d"},
    {"\x04\x22\x4d\x18", 4, "lz4", "lz4 -d"},
    {"\xfd\x37\x7a\x58\x5a\x00", 6, "xz", "xz -dk"},
    {"\x1f\x8b", 2, "gzip", "gzip -dk"},
    {"BZh", 3, "bzip2", "bzip2 -dk"},
};

static struct err *refuse_no_elf(const char *path, const uint8_t *head, size_t size)
{
    for (size_t i = 0; i < ARRAY_SIZE(packings); i++) {
        const struct packing *packing = &packings[i];
        if (size >= packing->magic_bytes && memcmp(head, packing->magic, packing->magic_bytes) == 0)
            return err_create(ERR_UNSUPPORTED,
                              "%s is compressed with %s: decompress it first "
                              "(%s) and give the result",
                              path, packing->name, packing->command);
    }
    if (size < SELFMAG && memcmp(head, ELFMAG, size) == 0)
        return err_create(ERR_BAD_DATA, "%s ends inside its ELF header (%zu bytes)", path, size);
    return err_create(ERR_UNSUPPORTED, "%s is not an ELF core file", path);
}

// Looks at the first 64 bytes only.
static struct err *check_header(const char *path, struct core *core)
{
    uint8_t head[sizeof(Elf64_Ehdr)] = {0};
    size_t size = pread_full(core->fd, head, sizeof(head), 0);
    if (core->size == 0)
        return err_create(ERR_BAD_DATA, "%s is empty", path);
    if (size < SELFMAG || memcmp(head, ELFMAG, SELFMAG) != 0)
        return refuse_no_elf(path, head, size);
    if (size < EI_NIDENT)
        return err_create(ERR_BAD_DATA, "%s ends inside its ELF header (%zu bytes)", path, size);
    if (head[EI_CLASS] == ELFCLASS32)
        return err_create(ERR_UNSUPPORTED,
                          "%s is a 32-bit ELF file; pycore reads cores of 64-bit processes", path);
    if (size < sizeof(head))
        return err_create(ERR_BAD_DATA, "%s ends inside its ELF header (%zu bytes)", path, size);
    Elf64_Ehdr header;
    memcpy(&header, head, sizeof(header));
    if (head[EI_CLASS] != ELFCLASS64 || head[EI_VERSION] != EV_CURRENT)
        return err_create(ERR_BAD_DATA, "%s has a damaged ELF header", path);
    if (head[EI_DATA] != ELFDATA2LSB)
        return err_create(ERR_UNSUPPORTED,
                          "%s is of a big-endian machine; pycore reads little-endian cores", path);
    if (header.e_type != ET_CORE) {
        const char *kind = header.e_type == ET_EXEC  ? "an ELF executable"
                           : header.e_type == ET_DYN ? "an ELF executable or shared library"
                                                     : "an ELF file of another kind";
        return err_create(ERR_UNSUPPORTED, "%s is %s, not a core", path, kind);
    }
    core->arch = arch_by_elf_machine(header.e_machine);
    if (!core->arch)
        return err_create(ERR_UNSUPPORTED,
                          "%s is a core of another machine (ELF machine %u); this pycore reads %s",
                          path, header.e_machine, arch_host()->name);
    if (header.e_phnum == 0 || header.e_phentsize != sizeof(Elf64_Phdr))
        return err_create(ERR_BAD_DATA, "%s has no program headers", path);
    return NULL;
}

// The number of program headers. More than 65,534 are counted in section header 0 (elf(5),
// PN_XNUM), which the kernel writes at the end of the file: when that is cut off, the distance
// from the table to the notes, which the kernel puts right behind it, tells the number as well.
static size_t header_count(Elf *elf, struct core *core, const GElf_Ehdr *header)
{
    size_t count = header->e_phnum, counted;
    bool known = header->e_phnum != PN_XNUM;
    if (elf_getphdrnum(elf, &counted) == 0 && counted > count) {
        count = counted;
        known = true;
    }
    Elf64_Phdr first;
    if (!known && header->e_phoff < core->size &&
        pread_full(core->fd, &first, sizeof(first), header->e_phoff) == sizeof(first) &&
        first.p_type == PT_NOTE && first.p_offset > header->e_phoff)
        count = (first.p_offset - header->e_phoff) / sizeof(Elf64_Phdr);
    return count;
}

static struct err *add_header(struct core *core, const Elf64_Phdr *header, size_t index)
{
    struct core_segment segment = {.start = header->p_vaddr,
                                   .dumped_bytes = header->p_filesz,
                                   .offset = header->p_offset,
                                   .flags = header->p_flags,
                                   .order = (uint32_t)index,
                                   .fd = core->fd};
    if (__builtin_add_overflow(header->p_vaddr, header->p_memsz, &segment.end))
        segment.end = UINT64_MAX;
    bool pushed = true;
    if (header->p_type == PT_NOTE) {
        pushed = vec_push(&core->notes, segment);
    } else if (header->p_type == PT_LOAD && segment.start < segment.end) {
        if (segment.dumped_bytes > segment.end - segment.start)
            segment.dumped_bytes = segment.end - segment.start;
        pushed = vec_push(&core->segments, segment);
    }
    return pushed ? NULL : err_create(ERR_NO_MEMORY, "out of memory");
}

// In batches straight from the file: libelf's own table stops at what section header 0 says.
static struct err *read_headers(Elf *elf, struct core *core)
{
    GElf_Ehdr header;
    if (!gelf_getehdr(elf, &header))
        return err_create(ERR_BAD_DATA, "damaged ELF header: %s", elf_errmsg(-1));
    size_t count = header_count(elf, core, &header), index = 0;
    if (count > LIMIT_MAPPINGS) {
        count = LIMIT_MAPPINGS;
        core->segments_cut = true;
    }
    while (index < count) {
        Elf64_Phdr batch[128];
        size_t want = count - index < ARRAY_SIZE(batch) ? count - index : ARRAY_SIZE(batch);
        uint64_t at;
        size_t got = 0;
        if (!__builtin_add_overflow(header.e_phoff, index * sizeof(*batch), &at) && at < core->size)
            got = pread_full(core->fd, batch, want * sizeof(*batch), at) / sizeof(*batch);
        for (size_t i = 0; i < got; i++)
            TRY(add_header(core, &batch[i], index + i));
        index += got;
        if (got < want) {
            core->headers_cut = true;
            break;
        }
    }
    return NULL;
}

static int compare_segments(const void *left, const void *right)
{
    const struct core_segment *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static uint64_t present_bytes(const struct core *core, uint64_t offset, uint64_t bytes)
{
    if (offset >= core->size)
        return 0;
    return bytes < core->size - offset ? bytes : core->size - offset;
}

// Sorts, and lets the earlier of two overlapping segments have the shared addresses: no tool writes
// such a core, and sorted disjoint segments keep every later step linear.
static void settle_segments(struct core *core)
{
    struct core_segment *items = core->segments.items;
    size_t count = core->segments.count, kept = 0;
    if (count)
        qsort(items, count, sizeof(*items), compare_segments);
    uint64_t free_from = 0;
    for (size_t i = 0; i < count; i++) {
        struct core_segment segment = items[i];
        if (segment.end <= free_from)
            continue;
        if (segment.start < free_from) {
            uint64_t cut = free_from - segment.start;
            uint64_t cut_dumped = cut < segment.dumped_bytes ? cut : segment.dumped_bytes;
            segment.start += cut;
            segment.dumped_bytes -= cut_dumped;
            segment.offset += cut_dumped;
        }
        segment.present_bytes = present_bytes(core, segment.offset, segment.dumped_bytes);
        free_from = segment.end;
        items[kept++] = segment;
    }
    core->segments.count = kept;
}

static struct err *read_notes(const char *path, Elf *elf, struct core *core, struct core_notes *ret)
{
    uint64_t total = 0;
    vec_foreach (note, &core->notes) {
        if (note->dumped_bytes > CORE_NOTES_MAX_BYTES - total)
            return err_create(ERR_LIMIT, "%s claims more than %u MiB of notes", path,
                              CORE_NOTES_MAX_BYTES >> 20);
        total += note->dumped_bytes;
        note->present_bytes = present_bytes(core, note->offset, note->dumped_bytes);
        if (note->present_bytes < note->dumped_bytes)
            ret->cut = true;
        TRY(core_notes_read(elf, core->arch, note->offset, note->present_bytes, ret));
    }
    if (ret->threads.count)
        return NULL;
    if (core->headers_cut)
        return err_create(ERR_BAD_DATA, "%s ends inside its program headers (%llu bytes)", path,
                          (unsigned long long)core->size);
    if (ret->cut)
        return err_create(ERR_BAD_DATA, "%s ends before the notes of its first thread (%llu bytes)",
                          path, (unsigned long long)core->size);
    return err_create(ERR_BAD_DATA, "%s has no thread in its notes (NT_PRSTATUS)", path);
}

static int64_t mtime_ns(const struct stat *stat)
{
    return (int64_t)stat->st_mtim.tv_sec * 1000000000 + stat->st_mtim.tv_nsec;
}

static void note_what_is_missing(struct target *target, const struct core *core,
                                 const struct core_notes *notes)
{
    if (target->missing_bytes)
        target_note(target,
                    "the core is truncated: it ends %llu bytes before its memory does (raise "
                    "'ulimit -c', or free disk space, where it is written)",
                    (unsigned long long)target->missing_bytes);
    if (core->headers_cut)
        target_note(target, "the core is truncated: it ends inside its program headers");
    if (core->segments_cut)
        target_note(target, "only the first %d of the core's mappings were read", LIMIT_MAPPINGS);
    if (notes->cut)
        target_note(target, "the core's notes are cut or damaged; threads or files may be missing");
    if (notes->threads_cut)
        target_note(target, "only the first %d threads were read", LIMIT_THREADS);
    if (!notes->has_files)
        target_note(target,
                    "the core does not say which files were mapped (no NT_FILE note): name the "
                    "program with --exe");
}

static const char *path_of_address(const struct target *target, uint64_t addr)
{
    const struct target_mapping *mapping = addr ? target_mapping_at(target, addr) : NULL;
    return mapping && mapping->path && *mapping->path == '/' ? mapping->path : NULL;
}

static struct err *fill(struct target *target, struct core *core, struct core_notes *notes)
{
    target->kind = TARGET_CORE;
    target->mem = mem_create();
    if (!target->mem)
        return err_create(ERR_NO_MEMORY, "out of memory");
    TRY(core_maps_build(target, &core->segments, notes));
    target->signal = core_notes_signal(notes);
    target->pid = notes->pid > 0 ? notes->pid : notes->threads.items[0].tid;
    target->threads = notes->threads;
    memset(&notes->threads, 0, sizeof(notes->threads));
    target->auxv_phdr = notes->phdr;
    target->auxv_entry = notes->entry;
    const char *exe = path_of_address(target, notes->entry);
    if (!exe)
        exe = path_of_address(target, notes->phdr);
    if (exe && !(target->exe = strdup(exe)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    target->truncated = target->missing_bytes || core->headers_cut || notes->cut;
    note_what_is_missing(target, core, notes);
    return core_argv_read(target, notes);
}

struct err *target_open_core(const char *path, struct target **ret)
{
    GUARD(guard_core) struct core *core = calloc(1, sizeof(*core));
    GUARD(guard_target) struct target *target = calloc(1, sizeof(*target));
    GUARD(core_notes_deinit) struct core_notes notes = {0};
    struct stat stat;
    if (!core || !target || !(target->path = strdup(path)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    core->fd = -1;
    TRY(open_regular(path, &core->fd, &stat));
    core->size = (uint64_t)stat.st_size;
    target->taken_at_ns = mtime_ns(&stat);
    TRY(check_header(path, core));

    elf_version(EV_CURRENT);
    GUARD(guard_elf) Elf *elf = elf_begin(core->fd, ELF_C_READ, NULL);
    if (!elf)
        return err_create(ERR_BAD_DATA, "%s: %s", path, elf_errmsg(-1));
    TRY(err_wrap(read_headers(elf, core), "%s", path));
    settle_segments(core);
    TRY(read_notes(path, elf, core, &notes));
    TRY(err_wrap(fill(target, core, &notes), "%s", path));
    target->source = TAKE(core);
    target->destroy_source = core_destroy;
    *ret = TAKE(target);
    return NULL;
}
