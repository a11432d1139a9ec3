// SPDX-License-Identifier: GPL-3.0-or-later
// Writes a full core: notes of all threads, then every mapping that the filter lets through, page by
// page only where there is one.
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dump/dump_private.h"
#include "target/live.h"
#include "util/fdio.h"
#include "util/guard.h"

#ifndef NT_X86_XSAVE_LAYOUT
#define NT_X86_XSAVE_LAYOUT 0x205 // linux/elf.h since 6.12
#endif

// One read. Its place in memory has the same offset within the page as the target's: copying to
// another one takes three times as long.
#define BATCH_BYTES ((size_t)4 << 20)
#define SKIP_BYTES ((uint64_t)1 << 30)

struct writer {
    const struct dump_input *input;
    const struct dump_options *options;
    struct sink *sink;
    struct pages pages;
    unsigned char *buffer; // BATCH_BYTES, at a page's start
    size_t page_bytes;
    struct corefile_segments segments;
    struct dump_progress progress;
    struct dump_result result;
};

static struct err *no_memory(void)
{
    return err_create(ERR_NO_MEMORY, "out of memory");
}

// ---- Notes --------------------------------------------------------------------------------------

// The kernel's order: what belongs to the process follows the first thread's NT_PRSTATUS.
static bool process_notes(const struct dump_input *input, struct corefile_bytes *notes)
{
    // No signal ended it. One that a thread was about to take when it was stopped did not, either.
    static const unsigned char no_signal[REGSETS_SIGINFO_BYTES];
    unsigned char layout[64 * 16];
    size_t layout_bytes = regsets_xsave_layout(layout, sizeof(layout));
    return corefile_note_process(notes, &input->process) &&
           corefile_note(notes, "CORE", NT_SIGINFO, no_signal, sizeof(no_signal)) &&
           corefile_note(notes, "CORE", NT_AUXV, input->auxv.items, input->auxv.count) &&
           corefile_note_files(notes, input->mappings) &&
           (!layout_bytes ||
            corefile_note(notes, "LINUX", NT_X86_XSAVE_LAYOUT, layout, layout_bytes));
}

static bool all_notes(const struct dump_input *input, struct corefile_bytes *notes)
{
    bool ok = true, first = true;
    vec_foreach (thread, &input->threads) {
        if (!thread->has_regs)
            continue;
        ok = ok && corefile_note_thread(notes, arch_host(), thread->tid, &input->process,
                                        &thread->regs, 0);
        if (first)
            ok = ok && process_notes(input, notes);
        first = false;
        if (thread->comm[0])
            ok = ok && corefile_note(notes, TARGET_NOTE_OWNER, TARGET_NOTE_THREAD_NAME,
                                     thread->comm, sizeof(thread->comm));
        for (size_t i = 0; ok && i < thread->count; i++)
            ok = corefile_note(notes, thread->sets[i].name, thread->sets[i].type,
                               thread->sets[i].bytes, thread->sets[i].size);
    }
    return ok;
}

// ---- Segments -----------------------------------------------------------------------------------

static struct err *lay_out(struct writer *writer, size_t note_bytes)
{
    const struct target_mappings *mappings = writer->input->mappings;
    struct corefile_segments *segments = &writer->segments;
    if (!vec_reserve(segments, mappings->count + 1))
        return no_memory();
    segments->items[segments->count++] =
        (struct corefile_segment){.type = PT_NOTE, .file_bytes = note_bytes, .align = 4};
    for (size_t i = 0; i < mappings->count; i++) {
        const struct target_mapping *mapping = &mappings->items[i];
        uint64_t bytes = dump_mapping_bytes(writer->input, i);
        segments->items[segments->count++] = (struct corefile_segment){
            .type = PT_LOAD,
            .flags = (mapping->readable ? PF_R : 0u) | (mapping->writable ? PF_W : 0u) |
                     (mapping->executable ? PF_X : 0u),
            .addr = mapping->start,
            .mem_bytes = mapping->end - mapping->start,
            .file_bytes = bytes,
            .align = writer->page_bytes,
        };
        writer->result.memory_bytes += bytes;
    }
    corefile_place(segments);
    return NULL;
}

uint64_t dump_estimate_bytes(const struct dump_input *input)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < input->mappings->count; i++) {
        const struct dump_mapping *detail = &input->details.items[i];
        uint64_t all = dump_mapping_bytes(input, i);
        bool only_touched = detail->known && !input->mappings->items[i].inode;
        if (detail->hugetlb && all > detail->resident_bytes)
            all = detail->resident_bytes;
        bytes += only_touched && detail->touched_bytes < all ? detail->touched_bytes : all;
    }
    return bytes;
}

// ---- Memory -------------------------------------------------------------------------------------

// Stores `size` bytes of the buffer; pages of zeros become holes.
static struct err *store(struct writer *writer, size_t size)
{
    size_t page_bytes = writer->page_bytes;
    for (size_t at = 0; at < size;) {
        size_t end = at;
        bool zero =
            bytes_are_zero(writer->buffer + at, size - at < page_bytes ? size - at : page_bytes);
        do {
            end += size - end < page_bytes ? size - end : page_bytes;
        } while (end < size &&
                 bytes_are_zero(writer->buffer + end,
                                size - end < page_bytes ? size - end : page_bytes) == zero);
        if (zero) {
            TRY(sink_skip(writer->sink, end - at));
        } else {
            TRY(sink_write(writer->sink, writer->buffer + at, end - at));
            writer->result.stored_bytes += end - at;
        }
        at = end;
    }
    return NULL;
}

// Bytes that should be there and cannot be read: poisoned by the hardware, or behind the end of a
// file that was cut after it was mapped.
static void count_unreadable(struct writer *writer, uint64_t addr, uint64_t bytes)
{
    if (!writer->result.unreadable_bytes)
        writer->result.first_unreadable = addr;
    writer->result.unreadable_bytes += bytes;
}

static void fill_from_memory(struct writer *writer, uint64_t addr, size_t size)
{
    for (size_t done = 0; done < size;) {
        done += mem_read_some(writer->input->mem, addr + done, writer->buffer + done, size - done);
        if (done == size)
            return;
        size_t gap = writer->page_bytes - (addr + done) % writer->page_bytes;
        gap = gap < size - done ? gap : size - done;
        memset(writer->buffer + done, 0, gap);
        count_unreadable(writer, addr + done, gap);
        done += gap;
    }
}

// False: the file ends before.
static bool fill_from_file(struct writer *writer, int fd, uint64_t offset, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, writer->buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    if (done == 0)
        return false;
    memset(writer->buffer + done, 0, size - done); // the rest of its last page
    return size - done < writer->page_bytes;
}

static struct err *report_progress(struct writer *writer, uint64_t bytes)
{
    writer->progress.done_bytes += bytes;
    if (writer->options->progress &&
        !writer->options->progress(writer->options->arg, &writer->progress))
        return err_create(ERR_OTHER, "interrupted");
    return NULL;
}

enum from { FROM_MEMORY, FROM_FILE, FROM_ZERO, FROM_NOWHERE };

// mmap(2) with MAP_ANONYMOUS | MAP_HUGETLB: fs/hugetlbfs/inode.c, HUGETLB_ANON_FILE.
static bool is_anonymous_huge(const struct target_mapping *mapping,
                              const struct dump_mapping *detail)
{
    return detail->hugetlb && !detail->shared && mapping->path &&
           strcmp(mapping->path, "/anon_hugepage") == 0;
}

// Where the bytes from `addr` on come from, and how far that goes.
static enum from look(struct writer *writer, size_t index, int fd, uint64_t addr, uint64_t end,
                      uint64_t *ret_end)
{
    const struct target_mapping *mapping = &writer->input->mappings->items[index];
    const struct dump_mapping *detail = &writer->input->details.items[index];
    struct mem_segment_info info;
    *ret_end = end;
    if (mem_segment_at(writer->input->mem, addr, &info)) {
        bool inside = info.start <= addr;
        uint64_t border = inside ? info.end : info.start;
        *ret_end = border < end ? border : end;
        if (inside && info.origin == MEM_COPY)
            return FROM_MEMORY;
    }
    if (pages_run(&writer->pages, addr, *ret_end, ret_end))
        return FROM_MEMORY;
    if (fd >= 0)
        return FROM_FILE;
    // Anonymous memory that was never touched is zero. A page that the target has yet to provide
    // (userfaultfd(2)), or a huge one that would have to be found, cannot be had without its doing.
    bool is_anonymous =
        (mapping->inode == 0 && !dump_is_vdso(mapping)) || is_anonymous_huge(mapping, detail);
    if (detail->userfault)
        return FROM_NOWHERE;
    if (is_anonymous)
        return FROM_ZERO;
    // A frozen copy has no page tables for what is shared: it is read as mem says.
    bool is_frozen = writer->input->memory_pid != writer->input->pid;
    return detail->hugetlb && !(is_frozen && detail->shared) ? FROM_NOWHERE : FROM_MEMORY;
}

static struct err *write_range(struct writer *writer, const struct target_mapping *mapping,
                               enum from from, int fd, uint64_t addr, uint64_t end)
{
    while (addr < end) {
        // Batches end where those of the target's addresses do: huge pages are read whole.
        uint64_t left = BATCH_BYTES - addr % BATCH_BYTES;
        size_t size = (size_t)(left < end - addr ? left : end - addr);
        if (from != FROM_FILE ||
            !fill_from_file(writer, fd, mapping->offset + (addr - mapping->start), size))
            fill_from_memory(writer, addr, size);
        TRY(store(writer, size));
        TRY(report_progress(writer, size));
        addr += size;
    }
    return NULL;
}

// Compressed, an endless reservation takes its time.
static struct err *skip(struct writer *writer, uint64_t size)
{
    while (size) {
        uint64_t now = size < SKIP_BYTES ? size : SKIP_BYTES;
        TRY(sink_skip(writer->sink, now));
        TRY(report_progress(writer, 0));
        size -= now;
    }
    return NULL;
}

static struct err *write_mapping(struct writer *writer, size_t index)
{
    const struct target_mapping *mapping = &writer->input->mappings->items[index];
    const struct corefile_segment *segment = &writer->segments.items[index + 1];
    uint64_t addr = mapping->start, end = addr + segment->file_bytes;
    if (addr == end)
        return NULL;
    TRY(sink_skip(writer->sink, segment->offset - sink_position(writer->sink)));
    AUTO_CLOSE int fd = dump_open_mapped(writer->input->memory_pid, mapping, O_RDONLY | O_NONBLOCK);
    const struct dump_mapping *detail = &writer->input->details.items[index];
    writer->pages.nothing_swapped = detail->known && !detail->swapped_bytes && !detail->hugetlb;
    while (addr < end) {
        uint64_t run_end;
        enum from from = look(writer, index, fd, addr, end, &run_end);
        if (from == FROM_NOWHERE)
            count_unreadable(writer, addr, run_end - addr);
        if (from == FROM_NOWHERE || from == FROM_ZERO)
            TRY(skip(writer, run_end - addr));
        else
            TRY(write_range(writer, mapping, from, fd, addr, run_end));
        addr = run_end;
    }
    return NULL;
}

static struct err *write_all(struct writer *writer, const struct corefile_bytes *notes)
{
    struct corefile_bytes front = {0}, back = {0};
    TRY(lay_out(writer, notes->count));
    writer->progress.total_bytes = dump_estimate_bytes(writer->input);
    struct err *err =
        corefile_headers(arch_host(), &writer->segments, &front, &back) ? NULL : no_memory();
    if (!err)
        err = sink_write(writer->sink, front.items, front.count);
    if (!err)
        err =
            sink_skip(writer->sink, writer->segments.items[0].offset - sink_position(writer->sink));
    if (!err)
        err = sink_write(writer->sink, notes->items, notes->count);
    for (size_t i = 0; !err && i < writer->input->mappings->count; i++)
        err = write_mapping(writer, i);
    if (!err && back.count)
        err = sink_skip(writer->sink, -sink_position(writer->sink) & 7);
    if (!err && back.count)
        err = sink_write(writer->sink, back.items, back.count);
    vec_deinit(&front);
    vec_deinit(&back);
    return err;
}

// ---- The whole ----------------------------------------------------------------------------------

static struct err *open_writer(struct writer *writer, int fd, const struct dump_input *input,
                               const struct dump_options *options)
{
    *writer = (struct writer){
        .input = input,
        .options = options,
        .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
        .progress = {.began_ns = live_now_ns()},
    };
    pages_open(&writer->pages, input->memory_pid);
    void *buffer =
        mmap(NULL, BATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return no_memory();
    writer->buffer = buffer;
    return sink_open(fd, options->compression, &writer->sink);
}

static void close_writer(struct writer *writer)
{
    sink_close(writer->sink);
    pages_close(&writer->pages);
    if (writer->buffer)
        munmap(writer->buffer, BATCH_BYTES);
    vec_deinit(&writer->segments);
}

struct err *dump_write(int fd, const struct dump_input *input, const struct dump_options *options,
                       struct dump_result *ret)
{
    struct writer writer;
    struct corefile_bytes notes = {0};
    struct err *err = open_writer(&writer, fd, input, options);
    if (!err && !all_notes(input, &notes))
        err = no_memory();
    if (!err)
        err = write_all(&writer, &notes);
    if (!err)
        err = sink_finish(writer.sink, &writer.result.file_bytes);
    *ret = writer.result;
    vec_deinit(&notes);
    close_writer(&writer);
    return err;
}

// What is surely there, and private: heaps.
static struct err *rehearse(struct writer *writer, uint64_t limit_bytes)
{
    vec_foreach (mapping, writer->input->mappings) {
        if (!mapping->writable || !mapping->readable || mapping->inode)
            continue;
        for (uint64_t addr = mapping->start, end; addr < mapping->end; addr = end) {
            if (!pages_run(&writer->pages, addr, mapping->end, &end))
                continue;
            if (end - addr > limit_bytes)
                end = addr + limit_bytes;
            limit_bytes -= end - addr;
            TRY(write_range(writer, mapping, FROM_MEMORY, -1, addr, end));
            if (!limit_bytes)
                return NULL;
        }
    }
    return NULL;
}

uint64_t dump_rehearse(int fd, const struct dump_input *input, enum dump_compression compression,
                       uint64_t limit_bytes)
{
    struct dump_options options = {.compression = compression};
    struct writer writer;
    uint64_t file_bytes, speed = 0;
    struct err *err = open_writer(&writer, fd, input, &options);
    if (!err && writer.pages.fd >= 0)
        err = rehearse(&writer, limit_bytes / writer.page_bytes * writer.page_bytes);
    if (!err)
        err = sink_finish(writer.sink, &file_bytes);
    uint64_t took_ns = live_now_ns() - writer.progress.began_ns;
    if (!err && writer.progress.done_bytes >= (1u << 20) && took_ns)
        speed = (uint64_t)((double)writer.progress.done_bytes * 1e9 / (double)took_ns);
    err_destroy(err);
    close_writer(&writer);
    return ftruncate(fd, 0) == 0 ? speed : 0;
}
