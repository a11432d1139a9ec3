// SPDX-License-Identifier: GPL-3.0-or-later
// The file that is said to be a core: opened, unpacked where it is compressed, and refused in one
// clear line when it is something else.
#include "target/core.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "target/packed.h"
#include "util/fdio.h"
#include "util/guard.h"
#include "util/limits.h"

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

static struct err *refuse_no_elf(const char *path, const uint8_t *head, size_t size)
{
    if (size == 0)
        return err_create(ERR_BAD_DATA, "%s is empty", path);
    if (size < SELFMAG && memcmp(head, ELFMAG, size) == 0)
        return err_create(ERR_BAD_DATA, "%s ends inside its ELF header (%zu bytes)", path, size);
    return err_create(ERR_UNSUPPORTED, "%s is not an ELF core file%s", path,
                      head[0] == '{' ? ", but looks like JSON: \"pycore report\" reads a report" : "");
}

// What can be told from the first 64 bytes.
static struct err *check_header(const char *path, const uint8_t *head, size_t size, Elf64_Ehdr *ret)
{
    if (size < SELFMAG || memcmp(head, ELFMAG, SELFMAG) != 0)
        return refuse_no_elf(path, head, size);
    if (size < EI_NIDENT)
        return err_create(ERR_BAD_DATA, "%s ends inside its ELF header (%zu bytes)", path, size);
    if (head[EI_CLASS] == ELFCLASS32)
        return err_create(ERR_UNSUPPORTED,
                          "%s is a 32-bit ELF file; pycore reads cores of 64-bit processes", path);
    if (size < sizeof(*ret))
        return err_create(ERR_BAD_DATA, "%s ends inside its ELF header (%zu bytes)", path, size);
    memcpy(ret, head, sizeof(*ret));
    if (head[EI_CLASS] != ELFCLASS64 || head[EI_VERSION] != EV_CURRENT)
        return err_create(ERR_BAD_DATA, "%s has a damaged ELF header", path);
    if (head[EI_DATA] != ELFDATA2LSB)
        return err_create(ERR_UNSUPPORTED,
                          "%s is of a big-endian machine; pycore reads little-endian cores", path);
    if (ret->e_type != ET_CORE) {
        const char *kind = ret->e_type == ET_EXEC  ? "an ELF executable"
                           : ret->e_type == ET_DYN ? "an ELF executable or shared library"
                                                   : "an ELF file of another kind";
        return err_create(ERR_UNSUPPORTED, "%s is %s, not a core", path, kind);
    }
    if (!arch_by_elf_machine(ret->e_machine))
        return err_create(ERR_UNSUPPORTED,
                          "%s is a core of another machine (ELF machine %u); this pycore reads %s",
                          path, ret->e_machine, arch_host()->name);
    if (ret->e_phnum == 0 || ret->e_phentsize != sizeof(Elf64_Phdr))
        return err_create(ERR_BAD_DATA, "%s has no program headers", path);
    return NULL;
}

size_t core_header_count(int fd, uint64_t size, const Elf64_Ehdr *header)
{
    Elf64_Shdr section;
    if (header->e_phnum != PN_XNUM)
        return header->e_phnum;
    if (header->e_shoff == 0 || size < sizeof(section) ||
        header->e_shoff > size - sizeof(section) ||
        fd_pread(fd, &section, sizeof(section), header->e_shoff) != sizeof(section))
        return 0;
    return section.sh_info;
}

// ---- Compressed files ---------------------------------------------------------------------------

struct unpacking {
    const char *path;
    const struct packed_format *format;
    bool checked;
    Elf64_Ehdr header;
};

// Where the last segment ends; false: not known before more of the file is there.
static bool find_end(const struct unpacking *unpacking, int fd, uint64_t bytes, uint64_t *ret_end)
{
    const Elf64_Ehdr *header = &unpacking->header;
    size_t count = core_header_count(fd, bytes, header);
    uint64_t table_end = 0, end;
    if (count == 0 || count > LIMIT_MAPPINGS ||
        __builtin_add_overflow(header->e_phoff, count * sizeof(Elf64_Phdr), &table_end) ||
        table_end > bytes)
        return false;
    uint64_t last = table_end;
    for (size_t i = 0; i < count; i++) {
        Elf64_Phdr segment;
        if (fd_pread(fd, &segment, sizeof(segment), header->e_phoff + i * sizeof(segment)) !=
            sizeof(segment))
            return false;
        if (__builtin_add_overflow(segment.p_offset, segment.p_filesz, &end))
            end = UINT64_MAX;
        if (end > last)
            last = end;
    }
    *ret_end = last;
    return true;
}

// Something else than a core is refused before all of it is unpacked.
static struct err *look(void *arg, int fd, uint64_t bytes, bool whole, uint64_t *ret_end)
{
    struct unpacking *unpacking = arg;
    if (!unpacking->checked) {
        uint8_t head[sizeof(Elf64_Ehdr)];
        size_t size = fd_pread(fd, head, sizeof(head), 0);
        const struct packed_format *inner = packed_format_of(head, size);
        if (inner)
            return err_create(ERR_UNSUPPORTED,
                              "%s is compressed twice (%s, and %s in it): decompress it once (%s) "
                              "and give the result",
                              unpacking->path, unpacking->format->name, inner->name,
                              unpacking->format->command);
        TRY(err_wrap(check_header(unpacking->path, head, size, &unpacking->header),
                     "decompressed (%s)", unpacking->format->name));
        unpacking->checked = true;
    }
    if (!whole && *ret_end == UINT64_MAX)
        find_end(unpacking, fd, bytes, ret_end);
    return NULL;
}

static struct err *unpack(const char *path, const struct packed_format *format,
                          const struct target_core_options *options, struct core_input *input)
{
    struct unpacking unpacking = {.path = path, .format = format};
    struct packed_request request = {.max_bytes = options->max_unpacked_bytes,
                                     .look = look,
                                     .look_arg = &unpacking,
                                     .progress = options->progress,
                                     .progress_arg = options->progress_arg};
    struct packed_result result;
    TRY(packed_open(input->fd, path, format, &request, &result));
    close(input->fd);
    input->fd = result.fd;
    input->size = result.bytes;
    input->cut = result.cut;
    input->note = result.note;
    input->header = unpacking.header;
    return NULL;
}

// ---- Any file -----------------------------------------------------------------------------------

static int64_t mtime_ns(const struct stat *stat)
{
    return (int64_t)stat->st_mtim.tv_sec * 1000000000 + stat->st_mtim.tv_nsec;
}

struct err *core_input_open(const char *path, const struct target_core_options *options,
                            struct core_input *ret)
{
    struct stat stat;
    TRY(open_regular(path, &ret->fd, &stat));
    ret->size = (uint64_t)stat.st_size;
    ret->mtime_ns = mtime_ns(&stat);
    core_stored_read(ret->fd, &ret->stored);
    const struct packed_format *format = packed_format_of_file(ret->fd);
    if (format)
        return unpack(path, format, options, ret);
    uint8_t head[sizeof(Elf64_Ehdr)];
    size_t size = fd_pread(ret->fd, head, sizeof(head), 0);
    return check_header(path, head, size, &ret->header);
}

void core_input_deinit(struct core_input *input)
{
    if (input->fd >= 0)
        close(input->fd);
    input->fd = -1;
    free(input->note);
    input->note = NULL;
}
