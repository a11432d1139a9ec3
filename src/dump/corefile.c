// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes of an ELF core: notes as the kernel lays them out, ELF header, program headers.
// Layouts: linux/elfcore.h (struct elf_prstatus, struct elf_prpsinfo) of the 64-bit ABI,
// fs/binfmt_elf.c (fill_files_note, fill_extnum_info), elf(5).
#include "dump/corefile.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/guard.h"

// struct elf_prstatus: pr_info (12 bytes), pr_cursig, pr_sigpend, pr_sighold, four pids, four
// timevals, the registers, pr_fpvalid and its padding.
#define PRSTATUS_SIGNO 0
#define PRSTATUS_CURSIG 12
#define PRSTATUS_PID 32
#define PRSTATUS_REGS 112
#define PRSTATUS_TAIL 8

// struct elf_prpsinfo.
#define PRPSINFO_STATE 0
#define PRPSINFO_SNAME 1
#define PRPSINFO_ZOMB 2
#define PRPSINFO_UID 16
#define PRPSINFO_PID 24
#define PRPSINFO_FNAME 40
#define PRPSINFO_FNAME_BYTES 16
#define PRPSINFO_PSARGS 56
#define PRPSINFO_PSARGS_BYTES 80
#define PRPSINFO_BYTES 136

#define DELETED " (deleted)"

static void put_u16(unsigned char *at, uint16_t value)
{
    memcpy(at, &value, sizeof(value));
}

static void put_u32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof(value));
}

static void put_u64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof(value));
}

// Room for `size` more bytes, which are zero; NULL: out of memory.
static unsigned char *append(struct corefile_bytes *bytes, size_t size)
{
    if (size > SIZE_MAX / 2 - bytes->count || !vec_reserve(bytes, bytes->count + size))
        return NULL;
    unsigned char *at = bytes->items + bytes->count;
    memset(at, 0, size);
    bytes->count += size;
    return at;
}

// A note whose content is to be filled in by the caller; NULL: out of memory.
static unsigned char *begin_note(struct corefile_bytes *notes, const char *name, uint32_t type,
                                 size_t size)
{
    size_t name_bytes = strlen(name) + 1, name_room = (name_bytes + 3) & ~(size_t)3;
    Elf64_Nhdr header = {(Elf64_Word)name_bytes, (Elf64_Word)size, type};
    if (size > UINT32_MAX - 4)
        return NULL;
    unsigned char *at = append(notes, sizeof(header) + name_room + ((size + 3) & ~(size_t)3));
    if (!at)
        return NULL;
    memcpy(at, &header, sizeof(header));
    memcpy(at + sizeof(header), name, name_bytes);
    return at + sizeof(header) + name_room;
}

bool corefile_note(struct corefile_bytes *notes, const char *name, uint32_t type, const void *desc,
                   size_t size)
{
    unsigned char *at = begin_note(notes, name, type, size);
    if (at && size)
        memcpy(at, desc, size);
    return at != NULL;
}

static void put_pids(unsigned char *at, pid_t pid, const struct corefile_process *process)
{
    put_u32(at, (uint32_t)pid);
    put_u32(at + 4, (uint32_t)process->ppid);
    put_u32(at + 8, (uint32_t)process->pgrp);
    put_u32(at + 12, (uint32_t)process->sid);
}

static void put_text(unsigned char *at, size_t room, const char *text)
{
    if (text)
        memcpy(at, text, strnlen(text, room - 1));
}

bool corefile_note_process(struct corefile_bytes *notes, const struct corefile_process *process)
{
    // fill_psinfo: pr_state is the letter's index in this list, which is that of
    // fs/proc/array.c up to 'Z'; readers show the letter.
    static const char letters[] = "RSDTZW";
    unsigned char *at = begin_note(notes, "CORE", NT_PRPSINFO, PRPSINFO_BYTES);
    if (!at)
        return false;
    const char *letter = process->state ? strchr(letters, process->state) : NULL;
    at[PRPSINFO_STATE] = (unsigned char)(letter ? letter - letters : 0);
    at[PRPSINFO_SNAME] = (unsigned char)(process->state ? process->state : 'R');
    at[PRPSINFO_ZOMB] = process->state == 'Z';
    put_u32(at + PRPSINFO_UID, process->uid);
    put_u32(at + PRPSINFO_UID + 4, process->gid);
    put_pids(at + PRPSINFO_PID, process->pid, process);
    put_text(at + PRPSINFO_FNAME, PRPSINFO_FNAME_BYTES, process->name);
    put_text(at + PRPSINFO_PSARGS, PRPSINFO_PSARGS_BYTES, process->psargs);
    return true;
}

bool corefile_note_thread(struct corefile_bytes *notes, const struct arch *arch, pid_t tid,
                          const struct corefile_process *process, const struct arch_regs *regs,
                          int signo)
{
    unsigned char *at =
        begin_note(notes, "CORE", NT_PRSTATUS, PRSTATUS_REGS + arch->gregset_bytes + PRSTATUS_TAIL);
    if (!at)
        return false;
    put_u32(at + PRSTATUS_SIGNO, (uint32_t)signo);
    put_u16(at + PRSTATUS_CURSIG, (uint16_t)signo);
    put_pids(at + PRSTATUS_PID, tid, process);
    arch->regs_to_gregset(regs, at + PRSTATUS_REGS);
    return true;
}

static bool has_file(const struct target_mapping *mapping)
{
    return mapping->path && mapping->path[0] && mapping->path[0] != '[';
}

// fill_files_note: count, page size, then start, end and offset in pages of each, then the paths.
bool corefile_note_files(struct corefile_bytes *notes, const struct target_mappings *mappings)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), count = 0, size = 0;
    vec_foreach (mapping, mappings) {
        if (!has_file(mapping))
            continue;
        count++;
        size += strlen(mapping->path) + 1 + (mapping->deleted ? strlen(DELETED) : 0);
    }
    unsigned char *row = begin_note(notes, "CORE", NT_FILE, 16 + 24 * count + size);
    if (!row)
        return false;
    unsigned char *text = row + 16 + 24 * count;
    put_u64(row, count);
    put_u64(row + 8, page_bytes);
    row += 16;
    vec_foreach (mapping, mappings) {
        if (!has_file(mapping))
            continue;
        put_u64(row, mapping->start);
        put_u64(row + 8, mapping->end);
        put_u64(row + 16, mapping->offset / page_bytes);
        row += 24;
        text = (unsigned char *)stpcpy((char *)text, mapping->path);
        if (mapping->deleted)
            text = (unsigned char *)stpcpy((char *)text, DELETED);
        text++;
    }
    return true;
}

static uint64_t round_up(uint64_t value, uint64_t align)
{
    return align > 1 ? (value + align - 1) / align * align : value;
}

uint64_t corefile_place(struct corefile_segments *segments)
{
    uint64_t end = sizeof(Elf64_Ehdr) + segments->count * sizeof(Elf64_Phdr);
    vec_foreach (segment, segments) {
        segment->offset = round_up(end, segment->align);
        end = segment->offset + segment->file_bytes;
    }
    return end;
}

static uint64_t sections_offset(const struct corefile_segments *segments)
{
    uint64_t end = sizeof(Elf64_Ehdr) + segments->count * sizeof(Elf64_Phdr);
    vec_foreach (segment, segments)
        if (segment->offset + segment->file_bytes > end)
            end = segment->offset + segment->file_bytes;
    return round_up(end, 8);
}

static Elf64_Ehdr elf_header(const struct arch *arch, const struct corefile_segments *segments)
{
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT,
                    ELFOSABI_NONE},
        .e_type = ET_CORE,
        .e_machine = arch->elf_machine,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(header),
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)segments->count,
    };
    if (segments->count >= PN_XNUM) {
        header.e_phnum = PN_XNUM;
        header.e_shoff = sections_offset(segments);
        header.e_shentsize = sizeof(Elf64_Shdr);
        header.e_shnum = 1;
    }
    return header;
}

bool corefile_headers(const struct arch *arch, const struct corefile_segments *segments,
                      struct corefile_bytes *front, struct corefile_bytes *back)
{
    Elf64_Ehdr header = elf_header(arch, segments);
    size_t front_bytes = sizeof(header) + segments->count * sizeof(Elf64_Phdr);
    unsigned char *at = append(front, front_bytes);
    if (!at)
        return false;
    memcpy(at, &header, sizeof(header));
    at += sizeof(header);
    vec_foreach (segment, segments) {
        Elf64_Phdr row = {
            .p_type = segment->type,
            .p_flags = segment->flags,
            .p_offset = segment->offset,
            .p_vaddr = segment->addr,
            .p_paddr = segment->phys,
            .p_filesz = segment->file_bytes,
            .p_memsz = segment->mem_bytes,
            .p_align = segment->align,
        };
        memcpy(at, &row, sizeof(row));
        at += sizeof(row);
    }
    if (segments->count < PN_XNUM)
        return true;
    Elf64_Shdr section = {.sh_size = 1, .sh_info = (Elf64_Word)segments->count};
    at = append(back, sizeof(section));
    if (at)
        memcpy(at, &section, sizeof(section));
    return at != NULL;
}

static struct err *write_at(int fd, const struct corefile_bytes *bytes, uint64_t offset)
{
    for (size_t done = 0; done < bytes->count;) {
        ssize_t put = pwrite(fd, bytes->items + done, bytes->count - done, (off_t)(offset + done));
        if (put < 0 && errno != EINTR)
            return err_os(errno, "writing the headers");
        done += put > 0 ? (size_t)put : 0;
    }
    return NULL;
}

struct err *corefile_write_headers(int fd, const struct arch *arch,
                                   const struct corefile_segments *segments)
{
    struct corefile_bytes front = {0}, back = {0};
    struct err *err = corefile_headers(arch, segments, &front, &back)
                          ? write_at(fd, &front, 0)
                          : err_create(ERR_NO_MEMORY, "out of memory");
    if (!err)
        err = write_at(fd, &back, sections_offset(segments));
    vec_deinit(&front);
    vec_deinit(&back);
    return err;
}
