// SPDX-License-Identifier: GPL-3.0-or-later
// Opens an ELF core: reads the program headers of what core_file.c found to be one, and makes a
// target of the rest (core_notes.c, core_maps.c, core_argv.c). Memory is read by pread: a file
// that shrinks meanwhile must not kill us, and a large one must not fill our memory.
#include "target/core.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "util/fdio.h"
#include "util/guard.h"
#include "util/limits.h"

struct core {
    struct core_input input;
    const struct arch *arch;
    struct core_segments segments;
    struct target_extras extras;
    VEC(struct core_segment) notes; // PT_NOTE; only offset, dumped_bytes and present_bytes count
    bool headers_cut;               // the program header table is longer than the file
    bool segments_cut;              // more than LIMIT_MAPPINGS
};

static void core_destroy(void *source)
{
    struct core *core = source;
    if (!core)
        return;
    core_input_deinit(&core->input);
    vec_deinit(&core->segments);
    vec_deinit(&core->extras);
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

// The number of program headers. When section header 0, which holds it where there are more than
// 65,534, is cut off, the distance from the table to the notes, which the kernel puts right behind
// it, tells the number as well.
static size_t header_count(const struct core *core, const Elf64_Ehdr *header)
{
    size_t count = core_header_count(core->input.fd, core->input.size, header);
    Elf64_Phdr first;
    if (!count &&
        fd_pread(core->input.fd, &first, sizeof(first), header->e_phoff) == sizeof(first) &&
        first.p_type == PT_NOTE && first.p_offset > header->e_phoff)
        count = (first.p_offset - header->e_phoff) / sizeof(Elf64_Phdr);
    return count ? count : header->e_phnum;
}

static uint64_t present_bytes(const struct core *core, uint64_t offset, uint64_t bytes)
{
    if (offset >= core->input.size)
        return 0;
    return bytes < core->input.size - offset ? bytes : core->input.size - offset;
}

static struct err *add_header(struct core *core, const Elf64_Phdr *header, size_t index)
{
    struct core_segment segment = {.start = header->p_vaddr,
                                   .dumped_bytes = header->p_filesz,
                                   .offset = header->p_offset,
                                   .flags = header->p_flags,
                                   .order = (uint32_t)index,
                                   .fd = core->input.fd};
    if (__builtin_add_overflow(header->p_vaddr, header->p_memsz, &segment.end))
        segment.end = UINT64_MAX;
    bool pushed = true;
    if (header->p_type == PT_NOTE) {
        pushed = vec_push(&core->notes, segment);
    } else if (header->p_type == PT_LOAD && segment.start < segment.end) {
        if (segment.dumped_bytes > segment.end - segment.start)
            segment.dumped_bytes = segment.end - segment.start;
        pushed = vec_push(&core->segments, segment);
    } else if (header->p_type >= PT_LOOS && header->p_type <= PT_HIOS) {
        uint64_t present = present_bytes(core, header->p_offset, header->p_filesz);
        pushed = vec_push(&core->extras, (struct target_extra){
                                             .type = header->p_type,
                                             .phys = header->p_paddr,
                                             .offset = header->p_offset,
                                             .present_bytes = present,
                                             .cut = present < header->p_filesz,
                                         });
    }
    return pushed ? NULL : err_create(ERR_NO_MEMORY, "out of memory");
}

static struct err *read_headers(struct core *core)
{
    const Elf64_Ehdr *header = &core->input.header;
    size_t count = header_count(core, header), index = 0;
    if (count > LIMIT_MAPPINGS) {
        count = LIMIT_MAPPINGS;
        core->segments_cut = true;
    }
    while (index < count) {
        Elf64_Phdr batch[128];
        size_t want = count - index < ARRAY_SIZE(batch) ? count - index : ARRAY_SIZE(batch);
        uint64_t at;
        size_t got = 0;
        if (!__builtin_add_overflow(header->e_phoff, index * sizeof(*batch), &at) &&
            at < core->input.size)
            got = fd_pread(core->input.fd, batch, want * sizeof(*batch), at) / sizeof(*batch);
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

static struct err *read_notes(const char *path, struct core *core, struct core_notes *ret)
{
    uint64_t left = CORE_NOTES_MAX_BYTES;
    vec_foreach (note, &core->notes) {
        note->present_bytes = present_bytes(core, note->offset, note->dumped_bytes);
        if (note->present_bytes < note->dumped_bytes)
            ret->cut = true;
        if (note->present_bytes > left) {
            note->present_bytes = left;
            ret->cut = true;
        }
        left -= note->present_bytes;
        TRY(core_notes_read(core->input.fd, core->arch, note->offset, note->present_bytes, ret));
    }
    if (ret->threads.count)
        return NULL;
    if (core->headers_cut)
        return err_create(ERR_BAD_DATA, "%s ends inside its program headers (%llu bytes)", path,
                          (unsigned long long)core->input.size);
    if (ret->cut)
        return err_create(ERR_BAD_DATA, "%s ends before the notes of its first thread (%llu bytes)",
                          path, (unsigned long long)core->input.size);
    return err_create(ERR_BAD_DATA, "%s has no thread in its notes (NT_PRSTATUS)", path);
}

static const char *path_of_address(const struct target *target, uint64_t addr)
{
    const struct target_mapping *mapping = addr ? target_mapping_at(target, addr) : NULL;
    return mapping && mapping->path && *mapping->path == '/' ? mapping->path : NULL;
}

// What the core itself does not say, from what systemd-coredump kept beside it.
static struct err *add_stored(struct target *target, const struct core_stored *stored)
{
    if (stored->taken_at_ns)
        target->taken_at_ns = stored->taken_at_ns;
    if (stored->host[0] && !(target->host = strdup(stored->host)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    if (!target->exe && stored->exe[0] == '/' && !(target->exe = strdup(stored->exe)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    if (!target->signal.signo && stored->signo)
        target->signal.signo = stored->signo;
    return NULL;
}

static struct err *fill(struct target *target, struct core *core, struct core_notes *notes)
{
    const struct core_stored *stored = &core->input.stored;
    target->kind = TARGET_CORE;
    target->taken_at_ns = core->input.mtime_ns;
    target->mem = mem_create();
    if (!target->mem)
        return err_create(ERR_NO_MEMORY, "out of memory");
    TRY(core_maps_build(target, &core->segments, notes));
    target->signal = core_notes_signal(notes);
    pid_t first_tid = notes->threads.items[0].tid;
    target->pid = notes->pid > 0 ? notes->pid : stored->pid > 0 ? stored->pid : first_tid;
    target->threads = notes->threads;
    memset(&notes->threads, 0, sizeof(notes->threads));
    target->extras = core->extras;
    memset(&core->extras, 0, sizeof(core->extras));
    target->auxv_phdr = notes->phdr;
    target->auxv_entry = notes->entry;
    const char *exe = path_of_address(target, notes->entry);
    if (!exe)
        exe = path_of_address(target, notes->phdr);
    if (exe && !(target->exe = strdup(exe)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    TRY(add_stored(target, stored));
    target->truncated = target->missing_bytes || core->headers_cut || notes->cut || core->input.cut;
    target->why_cut = core->input.cut ? core->input.note : NULL;
    if (core->input.note)
        target_note(target, "%s", core->input.note);
    if (core->headers_cut)
        target_note(target, "the core is truncated: it ends inside its program headers");
    if (core->segments_cut)
        target_note(target, "only the first %d of the core's mappings were read", LIMIT_MAPPINGS);
    core_note_gaps(target, &core->segments, notes, !core->input.cut);
    return core_argv_read(target, notes);
}

static struct err *open_parts(struct target *target, struct core *core)
{
    GUARD(core_notes_deinit) struct core_notes notes = {0};
    core->arch = arch_by_elf_machine(core->input.header.e_machine);
    TRY(err_wrap(read_headers(core), "%s", target->path));
    settle_segments(core);
    TRY(read_notes(target->path, core, &notes));
    return err_wrap(fill(target, core, &notes), "%s", target->path);
}

struct err *target_open_core_with(const char *path, const struct target_core_options *options,
                                  struct target **ret)
{
    GUARD(guard_core) struct core *core = calloc(1, sizeof(*core));
    GUARD(guard_target) struct target *target = calloc(1, sizeof(*target));
    if (core)
        core->input.fd = -1;
    if (!core || !target || !(target->path = strdup(path)))
        return err_create(ERR_NO_MEMORY, "out of memory");
    TRY(core_input_open(path, options, &core->input));
    struct err *err = open_parts(target, core);
    // Why it ends where it does is the better half of what went wrong.
    if (err && core->input.cut && core->input.note)
        return err_wrap(err, "%s", core->input.note);
    TRY(err);
    target->source = TAKE(core);
    target->destroy_source = core_destroy;
    *ret = TAKE(target);
    return NULL;
}

struct err *target_open_core(const char *path, struct target **ret)
{
    static const struct target_core_options defaults;
    return target_open_core_with(path, &defaults, ret);
}

bool target_read_extra(const struct target *target, const struct target_extra *extra, uint64_t at,
                       void *ret, size_t size)
{
    const struct core *core = target->source;
    return target->kind == TARGET_CORE && core && at <= extra->present_bytes &&
           size <= extra->present_bytes - at &&
           fd_pread(core->input.fd, ret, size, extra->offset + at) == size;
}
