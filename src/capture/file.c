// SPDX-License-Identifier: GPL-3.0-or-later
// The capture's file: see capture/capture.h and facts.h.
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "recorder.h"
#include "util/guard.h"
#include "util/redact.h"

#define NOTE_NAME "PYCORE"
// Readers that do not know the owner go by the number: none of theirs.
#define NOTE_VERSION 0x50590001   // u32: CAPTURE_VERSION
#define NOTE_REGISTERS 0x50590002 // u32 tid, u32 which: enum known_registers; for each thread
#define LONGEST_ARGS 80
#define TEXT_MIN_BYTES 8 // "token=x1"

enum known_registers { REGISTERS_NONE, REGISTERS_SP_PC, REGISTERS_ALL };

// ---- Notes of the first snapshot ----------------------------------------------------------------

static void join_arguments(const struct target *target, char ret[static LONGEST_ARGS + 1])
{
    size_t used = 0;
    for (char **arg = target->argv; arg && *arg && used < LONGEST_ARGS; arg++) {
        int wrote = snprintf(ret + used, LONGEST_ARGS + 1 - used, "%s%s", used ? " " : "", *arg);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    ret[LONGEST_ARGS] = '\0';
}

static bool add_thread(struct corefile_bytes *notes, const struct corefile_process *process,
                       const struct still_moment *moment, size_t index, int signo)
{
    const struct unwind_start *start = &moment->starts.items[index];
    return corefile_note_thread(notes, arch_host(), moment->threads.items[index].tid, process,
                                &start->regs, signo);
}

// siginfo_t as NT_SIGINFO has it; only what is known of it.
static bool add_signal(struct corefile_bytes *notes, const struct target_signal *signal)
{
    siginfo_t info = {0};
    info.si_signo = signal->signo;
    info.si_code = signal->code;
    if (signal->has_fault_address)
        info.si_addr = (void *)(uintptr_t)signal->fault_address; // NOLINT
    else if (signal->has_sender) {
        info.si_pid = signal->sender_pid;
        info.si_uid = signal->sender_uid;
    }
    return corefile_note(notes, "CORE", NT_SIGINFO, &info, sizeof(info));
}

// What debuggers need of it to find the program and the list of its libraries.
static bool add_auxv(struct corefile_bytes *notes, const struct target *target)
{
    Elf64_auxv_t auxv[6];
    Elf64_Ehdr header;
    size_t count = 0;
    if (!target->auxv_phdr || !target->auxv_entry)
        return true;
    auxv[count++] = (Elf64_auxv_t){.a_type = AT_PHDR, .a_un.a_val = target->auxv_phdr};
    auxv[count++] = (Elf64_auxv_t){.a_type = AT_ENTRY, .a_un.a_val = target->auxv_entry};
    if (mem_read_some(target->mem, target->auxv_phdr - sizeof(header), &header, sizeof(header)) ==
            sizeof(header) &&
        memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_phoff == sizeof(header)) {
        auxv[count++] = (Elf64_auxv_t){.a_type = AT_PHENT, .a_un.a_val = header.e_phentsize};
        auxv[count++] = (Elf64_auxv_t){.a_type = AT_PHNUM, .a_un.a_val = header.e_phnum};
    }
    vec_foreach (mapping, &target->mappings) {
        if (mapping->path && strcmp(mapping->path, "[vdso]") == 0) {
            auxv[count++] = (Elf64_auxv_t){.a_type = AT_SYSINFO_EHDR, .a_un.a_val = mapping->start};
            break;
        }
    }
    auxv[count++] = (Elf64_auxv_t){.a_type = AT_NULL};
    return corefile_note(notes, "CORE", NT_AUXV, auxv, count * sizeof(*auxv));
}

// The thread that debuggers show first: the one that took the signal, or the main thread.
static size_t first_thread(const struct target *target, const struct still_moment *moment)
{
    pid_t tid = target->signal.signo && target->signal.tid ? target->signal.tid : target->pid;
    for (size_t i = 0; i < moment->threads.count; i++)
        if (moment->threads.items[i].tid == tid)
            return i;
    return 0;
}

static bool build_notes(struct recorder *recorder, const struct still_moment *moment)
{
    const struct target *target = recorder->parts.target;
    char args[LONGEST_ARGS + 1] = "";
    join_arguments(target, args);
    const char *slash = target->exe ? strrchr(target->exe, '/') : NULL;
    struct corefile_process process = {
        .pid = target->pid,
        .state = 'R',
        .name = slash         ? slash + 1
                : target->exe ? target->exe
                              : "python",
        .psargs = args,
    };
    struct corefile_bytes *notes = &recorder->notes;
    size_t first = first_thread(target, moment), count = moment->threads.count;
    const struct target_signal *signal = &target->signal;
    uint32_t version = CAPTURE_VERSION;
    bool ok = corefile_note_process(notes, &process);
    if (ok && count)
        ok = add_thread(notes, &process, moment, first, signal->signo);
    if (ok && signal->signo && signal->has_info)
        ok = add_signal(notes, signal);
    ok = ok && add_auxv(notes, target) && corefile_note_files(notes, &target->mappings);
    VEC(uint32_t) known = {0};
    for (size_t i = 0; ok && i < count; i++) {
        const struct unwind_start *start = &moment->starts.items[i];
        enum known_registers which = !still_start_known(start) ? REGISTERS_NONE
                                     : start->complete         ? REGISTERS_ALL
                                                               : REGISTERS_SP_PC;
        ok = vec_push(&known, (uint32_t)moment->threads.items[i].tid) && vec_push(&known, which);
        if (ok && i != first && moment->threads.items[i].state != LIVE_GONE)
            ok = add_thread(notes, &process, moment, i, signal->signo);
    }
    ok = ok && corefile_note(notes, NOTE_NAME, NOTE_VERSION, &version, sizeof(version)) &&
         corefile_note(notes, NOTE_NAME, NOTE_REGISTERS, known.items,
                       known.count * sizeof(*known.items));
    vec_deinit(&known);
    return ok;
}

// ---- Putting snapshots away ---------------------------------------------------------------------

// A text of the target may name a secret as paths and messages of exceptions do: what certainly is one is
// written over. A replay shows the same, as both show that something is hidden.
static void blot_texts(unsigned char *bytes, size_t size)
{
    for (size_t at = 0, end; at < size; at = end + 1) {
        for (end = at; end < size && (isprint(bytes[end]) || isspace(bytes[end]));)
            end++;
        if (end - at >= TEXT_MIN_BYTES)
            redact_blot((char *)bytes + at, end - at);
    }
}

// The bytes of `ranges`; with their addresses and sizes where `framed`.
static bool pack(const struct recorder *recorder, const struct mem_ranges *ranges, bool framed,
                 struct wire_out *ret)
{
    vec_foreach (range, ranges) {
        if (framed) {
            wire_u64(ret, range->addr);
            wire_u64(ret, range->size);
        }
        unsigned char bytes[4096];
        size_t begun = ret->bytes.count;
        for (size_t at = 0; at < range->size;) {
            size_t want = range->size - at < sizeof(bytes) ? range->size - at : sizeof(bytes);
            size_t got = mem_blocks_get(recorder->known, range->addr + at, bytes, want);
            if (!got)
                return false;
            wire_bytes(ret, bytes, got);
            at += got;
        }
        if (!ret->failed && !recorder->as_they_are)
            blot_texts(ret->bytes.items + begun, range->size);
    }
    return !ret->failed;
}

struct err *recorder_keep(struct recorder *recorder, const struct capture_snapshot *snapshot)
{
    recorder->view.skip_known = false;
    recorder->view.keep = recorder->codes.keep = NULL;
    recorder->view.ahead_bytes = 0;
    mem_blocks_clear(recorder->fresh);
    if (recorder->view.failed || recorder->codes.failed)
        return err_create(ERR_NO_MEMORY, "capture");
    if (recorder->bytes > CAPTURE_MAX_BYTES) {
        recorder->left_out++;
        return NULL;
    }
    struct mem_ranges ranges = {0};
    bool first = recorder->count == 0;
    bool ok = mem_blocks_ranges(recorder->known, !first, &ranges);
    if (ok && first) {
        ok = pack(recorder, &ranges, false, &recorder->base_bytes) &&
             (!recorder->parts.target || build_notes(recorder, &snapshot->moment));
        recorder->base = ranges;
        recorder->bytes += recorder->base_bytes.bytes.count;
    } else if (ok) {
        struct wire_out memory = {0};
        ok = pack(recorder, &ranges, true, &memory) && vec_push(&recorder->memories, memory);
        recorder->bytes += memory.bytes.count;
        if (!ok)
            wire_out_deinit(&memory);
        vec_deinit(&ranges);
    }
    if (ok && first && recorder->bytes > CAPTURE_MAX_BYTES)
        return err_create(ERR_LIMIT, "one snapshot is more than the %u MiB that a capture may hold",
                          CAPTURE_MAX_BYTES >> 20);
    mem_blocks_settle(recorder->known);
    size_t before = recorder->facts.bytes.count;
    size_t begun = wire_begin(&recorder->facts, RECORD_SNAPSHOT);
    struct capture_snapshot copy = *snapshot; // facts_snapshot() serves both directions
    facts_snapshot(&(struct facts_io){.out = &recorder->facts}, &copy);
    wire_end(&recorder->facts, begun);
    recorder->bytes += recorder->facts.bytes.count - before;
    recorder->count++;
    return ok && !recorder->facts.failed ? NULL : err_create(ERR_NO_MEMORY, "capture");
}

// ---- Writing ------------------------------------------------------------------------------------

// From front to back, compressed or not.
struct sink {
    int fd;
    gzFile gz; // NULL: plain
    uint64_t at;
};

static struct err *write_all(struct sink *sink, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    sink->at += size;
    while (size) {
        unsigned piece = size > 1u << 30 ? 1u << 30 : (unsigned)size;
        errno = 0;
        ssize_t wrote = sink->gz ? gzwrite(sink->gz, at, piece) : write(sink->fd, at, piece);
        if (wrote < 0 && errno == EINTR && !sink->gz)
            continue;
        if (wrote <= 0)
            return err_os(errno ? errno : EIO, "cannot write");
        at += wrote;
        size -= (size_t)wrote;
    }
    return NULL;
}

static struct err *write_padding(struct sink *sink, uint64_t until)
{
    static const unsigned char zeros[64];
    while (sink->at < until) {
        uint64_t gap = until - sink->at;
        TRY(write_all(sink, zeros, gap < sizeof(zeros) ? (size_t)gap : sizeof(zeros)));
    }
    return NULL;
}

static uint32_t flags_at(const struct target *target, uint64_t addr)
{
    const struct target_mapping *mapping = target ? target_mapping_at(target, addr) : NULL;
    if (!mapping)
        return PF_R;
    return (mapping->readable ? PF_R : 0u) | (mapping->writable ? PF_W : 0u) |
           (mapping->executable ? PF_X : 0u);
}

static bool list_segments(const struct recorder *recorder, size_t facts_bytes,
                          struct corefile_segments *ret)
{
    bool ok = vec_push(ret, (struct corefile_segment){
                                .type = PT_NOTE, .file_bytes = recorder->notes.count, .align = 4});
    for (size_t i = 0; ok && i < recorder->base.count; i++) {
        const struct mem_range *range = &recorder->base.items[i];
        ok = vec_push(
            ret, (struct corefile_segment){.type = PT_LOAD,
                                           .flags = flags_at(recorder->parts.target, range->addr),
                                           .addr = range->addr,
                                           .mem_bytes = range->size,
                                           .file_bytes = range->size,
                                           .align = 1});
    }
    ok = ok && vec_push(ret, (struct corefile_segment){
                                 .type = PT_PYCORE_FACTS, .file_bytes = facts_bytes, .align = 1});
    for (size_t i = 0; ok && i < recorder->memories.count; i++)
        ok = vec_push(
            ret, (struct corefile_segment){.type = PT_PYCORE_MEMORY,
                                           .phys = i + 1,
                                           .file_bytes = recorder->memories.items[i].bytes.count,
                                           .align = 1});
    return ok;
}

static struct err *write_segments(const struct recorder *recorder, const struct wire_out *facts,
                                  const struct corefile_segments *segments, struct sink *sink)
{
    size_t next = 0;
    TRY(write_padding(sink, segments->items[next++].offset));
    TRY(write_all(sink, recorder->notes.items, recorder->notes.count));
    if (recorder->base.count)
        TRY(write_padding(sink, segments->items[next].offset));
    TRY(write_all(sink, recorder->base_bytes.bytes.items, recorder->base_bytes.bytes.count));
    next += recorder->base.count;
    TRY(write_padding(sink, segments->items[next++].offset));
    TRY(write_all(sink, facts->bytes.items, facts->bytes.count));
    vec_foreach (memory, &recorder->memories) {
        TRY(write_padding(sink, segments->items[next++].offset));
        TRY(write_all(sink, memory->bytes.items, memory->bytes.count));
    }
    return NULL;
}

static struct err *write_file(struct recorder *recorder, const struct wire_out *facts,
                              struct sink *sink)
{
    struct corefile_segments segments = {0};
    struct corefile_bytes front = {0}, back = {0};
    struct err *err = NULL;
    bool ok = list_segments(recorder, facts->bytes.count, &segments);
    if (ok) {
        corefile_place(&segments);
        ok = corefile_headers(arch_host(), &segments, &front, &back);
    }
    if (!ok)
        err = err_create(ERR_NO_MEMORY, "capture");
    if (!err)
        err = write_all(sink, front.items, front.count);
    if (!err)
        err = write_segments(recorder, facts, &segments, sink);
    if (!err && back.count)
        err = write_padding(sink, (sink->at + 7) / 8 * 8);
    if (!err)
        err = write_all(sink, back.items, back.count);
    vec_deinit(&segments);
    vec_deinit(&front);
    vec_deinit(&back);
    return err;
}

uint64_t recorder_left_out(const struct recorder *recorder)
{
    return recorder->left_out;
}

struct err *recorder_write(struct recorder *recorder, const struct capture_facts *facts, int fd,
                           bool gzip)
{
    GUARD(wire_out_deinit) struct wire_out stream = {0};
    size_t begun = wire_begin(&stream, RECORD_VERSION);
    wire_u32(&stream, CAPTURE_VERSION);
    wire_end(&stream, begun);
    begun = wire_begin(&stream, RECORD_RUN);
    struct capture_facts copy = *facts;
    facts_run(&(struct facts_io){.out = &stream}, &copy);
    wire_end(&stream, begun);
    begun = wire_begin(&stream, RECORD_IMAGES);
    image_record_write(recorder->names, &stream);
    wire_end(&stream, begun);
    wire_bytes(&stream, recorder->facts.bytes.items, recorder->facts.bytes.count);
    if (stream.failed)
        return err_create(ERR_NO_MEMORY, "capture");
    struct sink sink = {.fd = fd};
    int gz_fd = gzip ? dup(fd) : -1;
    if (gzip && !(sink.gz = gz_fd < 0 ? NULL : gzdopen(gz_fd, "wb6"))) {
        if (gz_fd >= 0)
            close(gz_fd);
        return err_create(ERR_NO_MEMORY, "capture");
    }
    struct err *err = write_file(recorder, &stream, &sink);
    if (sink.gz && gzclose(sink.gz) != Z_OK && !err)
        err = err_os(errno ? errno : EIO, "cannot write");
    return err;
}
