// SPDX-License-Identifier: GPL-3.0-or-later
// The notes of an ELF core: threads, signal, auxiliary vector, mapped files. Layouts are those of
// the 64-bit ABI (linux/elfcore.h, fs/binfmt_elf.c); nothing in them is trusted.
#include "target/core.h"

#include <elf.h>
#include <signal.h>
#include <string.h>

#include "util/fdio.h"
#include "util/guard.h"
#include "util/limits.h"

// Notes are read through a window of this size.
#define WINDOW_BYTES (64u << 10)
// Owners' names that we know are "CORE", "LINUX" and "PYCORE", with their NUL.
#define OWNER_BYTES 7u

// struct elf_prstatus: pr_info (12 bytes), pr_cursig, pr_sigpend, pr_sighold, four pids, four
// timevals, then the registers. The same on every 64-bit machine.
#define PRSTATUS_CURSIG 12
#define PRSTATUS_PID 32
#define PRSTATUS_REGS 112

// struct elf_prpsinfo, 64-bit.
#define PRPSINFO_PID 24
#define PRPSINFO_PSARGS 56
#define PRPSINFO_PSARGS_BYTES 80

// siginfo_t, 64-bit: three ints, padding, then a union.
#define SIGINFO_SIGNO 0
#define SIGINFO_CODE 8
#define SIGINFO_UNION 16

static uint64_t get_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint32_t get_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint16_t get_u16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static struct err *no_memory(void)
{
    return err_create(ERR_NO_MEMORY, "out of memory");
}

static struct err *read_prstatus(const struct arch *arch, const uint8_t *desc, size_t size,
                                 struct core_notes *ret)
{
    if (size < PRSTATUS_REGS + arch->gregset_bytes)
        return NULL;
    if (ret->threads.count >= LIMIT_THREADS) {
        ret->threads_cut = true;
        return NULL;
    }
    struct target_thread thread = {.tid = (pid_t)get_u32(desc + PRSTATUS_PID), .has_regs = true};
    arch->regs_from_gregset(desc + PRSTATUS_REGS, &thread.regs);
    if (ret->threads.count == 0)
        ret->first_signal = get_u16(desc + PRSTATUS_CURSIG);
    if (!vec_push(&ret->threads, thread))
        return no_memory();
    return NULL;
}

static void read_prpsinfo(const uint8_t *desc, size_t size, struct core_notes *ret)
{
    if (size < PRPSINFO_PSARGS + PRPSINFO_PSARGS_BYTES)
        return;
    ret->pid = (pid_t)get_u32(desc + PRPSINFO_PID);
    memcpy(ret->psargs, desc + PRPSINFO_PSARGS, PRPSINFO_PSARGS_BYTES);
    ret->has_psargs = true;
}

static void read_auxv(const uint8_t *desc, size_t size, struct core_notes *ret)
{
    if (size >= sizeof(ret->auxv_head)) {
        memcpy(ret->auxv_head, desc, sizeof(ret->auxv_head));
        ret->has_auxv = true;
    }
    for (size_t at = 0; at + 16 <= size; at += 16) {
        uint64_t value = get_u64(desc + at + 8);
        switch (get_u64(desc + at)) {
        case AT_NULL:
            return;
        case AT_PHDR:
            ret->phdr = value;
            break;
        case AT_ENTRY:
            ret->entry = value;
            break;
        case AT_RANDOM:
            ret->random = value;
            break;
        case AT_EXECFN:
            ret->execfn = value;
            break;
        case AT_SYSINFO_EHDR:
            ret->vdso = value;
            break;
        }
    }
}

// NT_FILE: count, page size, count * (start, end, offset in pages), then count strings
// (fs/binfmt_elf.c, fill_files_note). Entries whose string is cut off are left out.
static struct err *read_files(const uint8_t *desc, size_t size, struct core_notes *ret)
{
    if (size < 16 || ret->has_files)
        return NULL;
    uint64_t count = get_u64(desc), page_bytes = get_u64(desc + 8);
    uint64_t fitting = (size - 16) / 24;
    if (count > fitting)
        ret->cut = true;
    if (page_bytes == 0 || page_bytes > (1u << 30) || count > fitting || count > LIMIT_MAPPINGS)
        return NULL;
    size_t names_at = 16 + count * 24;
    ret->file_bytes = malloc(size - names_at + 1);
    if (!ret->file_bytes || !vec_reserve(&ret->files, count))
        return no_memory();
    memcpy(ret->file_bytes, desc + names_at, size - names_at);
    ret->has_files = true;

    char *name = ret->file_bytes, *names_end = name + (size - names_at);
    for (uint64_t i = 0; i < count; i++) {
        char *name_end = memchr(name, '\0', (size_t)(names_end - name));
        if (!name_end) {
            ret->cut = true;
            break;
        }
        const uint8_t *entry = desc + 16 + i * 24;
        struct core_file file = {
            .start = get_u64(entry), .end = get_u64(entry + 8), .path = name, .order = (uint32_t)i};
        name = name_end + 1;
        uint64_t size_bytes = file.end - file.start;
        if (file.start < file.end && size_bytes <= INT64_MAX &&
            !__builtin_mul_overflow(get_u64(entry + 16), page_bytes, &file.offset) &&
            file.offset <= INT64_MAX - size_bytes && *file.path)
            ret->files.items[ret->files.count++] = file;
    }
    return NULL;
}

static struct err *read_note(const struct arch *arch, uint32_t type, const uint8_t *desc,
                             size_t size, struct core_notes *ret)
{
    switch (type) {
    case NT_PRSTATUS:
        return read_prstatus(arch, desc, size, ret);
    case NT_PRPSINFO:
        // The kernel writes the dying thread's NT_PRSTATUS first; gdb and the tools that follow it
        // write NT_PRPSINFO first.
        if (ret->count == 0)
            ret->by_debugger = true;
        read_prpsinfo(desc, size, ret);
        return NULL;
    case NT_SIGINFO:
        // One a process from the kernel, one a thread from gdb: both follow the NT_PRSTATUS they
        // belong to.
        if (ret->threads.count == 1 && !ret->has_siginfo && size >= sizeof(ret->siginfo)) {
            memcpy(ret->siginfo, desc, sizeof(ret->siginfo));
            ret->has_siginfo = true;
        }
        return NULL;
    case NT_AUXV:
        read_auxv(desc, size, ret);
        return NULL;
    case NT_FILE:
        return read_files(desc, size, ret);
    }
    return NULL;
}

// What read_note() and read_linux_note() look at. Vector registers, most of a core's notes, are not
// even read.
static bool is_wanted(bool core, uint32_t type)
{
    static const uint32_t types[] = {NT_PRSTATUS, NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE};
    for (size_t i = 0; core && i < ARRAY_SIZE(types); i++)
        if (types[i] == type)
            return true;
    return !core && type == NT_ARM_TLS;
}

// aarch64 keeps the thread pointer in a note of its own, which follows the thread's NT_PRSTATUS.
static void read_linux_note(uint32_t type, const uint8_t *desc, size_t size, struct core_notes *ret)
{
    if (type == NT_ARM_TLS && size >= 8 && ret->threads.count)
        ret->threads.items[ret->threads.count - 1].regs.tls = get_u64(desc);
}

static void read_thread_name(const uint8_t *desc, size_t size, struct core_notes *ret)
{
    if (!ret->threads.count)
        return;
    struct target_thread *thread = &ret->threads.items[ret->threads.count - 1];
    size_t room = sizeof(thread->comm) - 1;
    memcpy(thread->comm, desc, size < room ? size : room);
}

struct window {
    int fd;
    uint64_t start, end; // of the notes in the file
    uint64_t at;         // of the window, from start
    size_t bytes;
    uint8_t *buffer;
};

// Bytes [at, at + size) of the notes. False: not all of them are there.
static bool take(struct window *window, uint64_t at, void *ret, size_t size)
{
    if (size > window->end - window->start || at > window->end - window->start - size)
        return false;
    if (size > WINDOW_BYTES)
        return fd_pread(window->fd, ret, size, window->start + at) == size;
    if (at < window->at || at + size > window->at + window->bytes) {
        uint64_t left = window->end - window->start - at;
        size_t want = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        window->at = at;
        window->bytes = fd_pread(window->fd, window->buffer, want, window->start + at);
        if (window->bytes < size)
            return false;
    }
    memcpy(ret, window->buffer + (at - window->at), size);
    return true;
}

static bool owner_is(const char *name, uint32_t size, const char *owner)
{
    return size == strlen(owner) + 1 && memcmp(name, owner, size) == 0;
}

static struct err *read_desc(struct window *window, const struct arch *arch,
                             const Elf64_Nhdr *header, const char *owner, uint64_t at,
                             struct core_notes *ret)
{
    bool core = owner_is(owner, header->n_namesz, "CORE");
    bool linux_own = owner_is(owner, header->n_namesz, "LINUX");
    bool thread_name = header->n_type == TARGET_NOTE_THREAD_NAME &&
                       owner_is(owner, header->n_namesz, TARGET_NOTE_OWNER);
    if (!thread_name && ((!core && !linux_own) || !is_wanted(core, header->n_type)))
        return NULL;
    if (header->n_descsz > CORE_NOTE_MAX_BYTES) {
        ret->cut = true;
        return NULL;
    }
    // Small ones, which may be tens of thousands, without a visit to the allocator each.
    uint8_t small[1024];
    AUTO_FREE uint8_t *large = NULL;
    if (header->n_descsz > sizeof(small) && !(large = malloc(header->n_descsz)))
        return no_memory();
    uint8_t *desc = large ? large : small;
    if (!take(window, at, desc, header->n_descsz)) {
        ret->cut = true;
        return NULL;
    }
    if (core)
        return read_note(arch, header->n_type, desc, header->n_descsz, ret);
    if (thread_name)
        read_thread_name(desc, header->n_descsz, ret);
    else
        read_linux_note(header->n_type, desc, header->n_descsz, ret);
    return NULL;
}

static uint64_t aligned(uint64_t size)
{
    return (size + 3) & ~3ull;
}

struct err *core_notes_read(int fd, const struct arch *arch, uint64_t offset, uint64_t size,
                            struct core_notes *ret)
{
    AUTO_FREE uint8_t *buffer = malloc(WINDOW_BYTES);
    if (!buffer)
        return no_memory();
    struct window window = {.fd = fd, .start = offset, .end = offset + size, .buffer = buffer};
    Elf64_Nhdr header;
    uint64_t at = 0;
    while (size - at >= sizeof(header)) {
        char owner[OWNER_BYTES] = {0};
        uint64_t name_at = at + sizeof(header);
        if (!take(&window, at, &header, sizeof(header)))
            break;
        uint64_t desc_at = name_at + aligned(header.n_namesz);
        if (desc_at > size || header.n_descsz > size - desc_at)
            break;
        if (header.n_namesz <= sizeof(owner) && !take(&window, name_at, owner, header.n_namesz))
            break;
        TRY(read_desc(&window, arch, &header, owner, desc_at, ret));
        ret->count++;
        at = desc_at + aligned(header.n_descsz);
        if (at > size) // the last one's padding need not be there
            at = size;
    }
    // Up to three bytes of padding may follow the last note.
    if (size - at >= sizeof(header))
        ret->cut = true;
    return NULL;
}

void core_notes_deinit(struct core_notes *notes)
{
    vec_deinit(&notes->threads);
    vec_deinit(&notes->files);
    free(notes->file_bytes);
    notes->file_bytes = NULL;
}

// siginfo's union is known by si_code (sigaction(2)): a process sent it, or the CPU trapped.
static void read_siginfo(const struct core_notes *notes, struct target_signal *ret)
{
    const uint8_t *info = notes->siginfo;
    ret->has_info = true;
    ret->code = (int)get_u32(info + SIGINFO_CODE);
    switch (ret->code) {
    case SI_USER:
    case SI_QUEUE:
    case SI_TKILL:
        ret->has_sender = true;
        ret->sender_pid = (pid_t)get_u32(info + SIGINFO_UNION);
        ret->sender_uid = get_u32(info + SIGINFO_UNION + 4);
        return;
    }
    // SI_KERNEL comes with no address: for SIGSEGV it is a general protection fault, where the CPU
    // does not tell which address (it reads 0). ptrace's own SIGTRAP codes lie above it.
    if (ret->code <= 0 || ret->code >= SI_KERNEL)
        return;
    switch (ret->signo) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
        ret->has_fault_address = true;
        ret->fault_address = get_u64(info + SIGINFO_UNION);
    }
}

struct target_signal core_notes_signal(const struct core_notes *notes)
{
    struct target_signal signal = {0};
    int signo = notes->first_signal;
    // A debugger writes the signal it stopped the process with: an attach, a breakpoint, Ctrl-C.
    bool only_stopped =
        notes->by_debugger && (signo == SIGSTOP || signo == SIGTRAP || signo == SIGINT);
    if (notes->threads.count == 0 || signo <= 0 || signo > 64 || only_stopped)
        return signal;
    signal.signo = signo;
    signal.tid = notes->threads.items[0].tid;
    if (notes->has_siginfo && (int)get_u32(notes->siginfo + SIGINFO_SIGNO) == signo)
        read_siginfo(notes, &signal);
    return signal;
}
