// SPDX-License-Identifier: GPL-3.0-or-later
// ELF cores for the tests of the core reader and the modules: written by hand, byte by byte, or by
// the kernel from a real process, where its core_pattern allows that.
#ifndef CORE_BUILDER_H
#define CORE_BUILDER_H

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/vec.h"

#define MAYBE __attribute__((unused))

#define BUILDER_PAGE 4096u

struct builder_load {
    Elf64_Phdr header;
    const void *bytes;
};

struct builder {
    VEC(uint8_t) notes;
    VEC(struct builder_load) loads;
    Elf64_Half machine;
};

static char test_dir[128];

// A path in the test's own directory; the same name gives the same pointer, for good.
MAYBE static const char *test_path(const char *name)
{
    static char paths[64][512];
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", test_dir, name);
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        if (!*paths[i])
            memcpy(paths[i], path, sizeof(path));
        if (strcmp(paths[i], path) == 0)
            return paths[i];
    }
    abort();
}

MAYBE static int make_test_dir(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(test_dir, sizeof(test_dir), "%.64s/pycore-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(test_dir) ? 0 : -1;
}

MAYBE static int remove_test_dir(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof(command), "rm -rf '%s'", test_dir);
    return system(command);
}

MAYBE static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file || (size && fwrite(bytes, size, 1, file) != 1) || fclose(file) != 0) {
        perror(path);
        abort();
    }
}

MAYBE static uint8_t *read_whole(const char *path, size_t *ret_size)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0)
        abort();
    uint8_t *bytes = malloc((size_t)stat.st_size + 1);
    size_t done = 0;
    for (ssize_t got; bytes && done < (size_t)stat.st_size; done += (size_t)got)
        if ((got = read(fd, bytes + done, (size_t)stat.st_size - done)) <= 0)
            break;
    close(fd);
    *ret_size = done;
    return bytes;
}

static void builder_append(struct builder *builder, const void *bytes, size_t size)
{
    if (!vec_reserve(&builder->notes, builder->notes.count + size))
        abort();
    if (size)
        memcpy(builder->notes.items + builder->notes.count, bytes, size);
    builder->notes.count += size;
    while (builder->notes.count % 4)
        (void)vec_push(&builder->notes, 0);
}

MAYBE static void builder_note(struct builder *builder, uint32_t type, const void *desc,
                               size_t size)
{
    Elf64_Nhdr header = {.n_namesz = 5, .n_descsz = (uint32_t)size, .n_type = type};
    builder_append(builder, &header, sizeof(header));
    builder_append(builder, "CORE", 5);
    builder_append(builder, desc, size);
}

// elf_prstatus of x86_64: pr_cursig at 12, pr_pid at 32, user_regs_struct at 112.
enum { REG_FP = 4, REG_ORIG_AX = 15, REG_IP = 16, REG_SP = 19, REG_FS_BASE = 21 };

MAYBE static void builder_thread(struct builder *builder, int tid, int cursig, uint64_t ip,
                                 uint64_t sp, uint64_t fs_base)
{
    uint8_t desc[336] = {0};
    uint64_t regs[27] = {
        [REG_IP] = ip, [REG_SP] = sp, [REG_FS_BASE] = fs_base, [REG_ORIG_AX] = (uint64_t)-1};
    uint16_t signo = (uint16_t)cursig;
    memcpy(desc + 12, &signo, sizeof(signo));
    memcpy(desc + 32, &tid, sizeof(tid));
    memcpy(desc + 112, regs, sizeof(regs));
    builder_note(builder, NT_PRSTATUS, desc, sizeof(desc));
}

MAYBE static void builder_psinfo(struct builder *builder, int pid, const char *args)
{
    uint8_t desc[136] = {0};
    memcpy(desc + 24, &pid, sizeof(pid));
    memcpy(desc + 40, "program", 7);
    memcpy(desc + 56, args, strnlen(args, 80));
    builder_note(builder, NT_PRPSINFO, desc, sizeof(desc));
}

// `a` is si_pid + si_uid << 32, or si_addr.
MAYBE static void builder_siginfo(struct builder *builder, int signo, int code, uint64_t a)
{
    uint8_t desc[128] = {0};
    memcpy(desc, &signo, sizeof(signo));
    memcpy(desc + 8, &code, sizeof(code));
    memcpy(desc + 16, &a, sizeof(a));
    builder_note(builder, NT_SIGINFO, desc, sizeof(desc));
}

struct builder_file {
    uint64_t start, end, page;
    const char *path;
};

MAYBE static void builder_files(struct builder *builder, const struct builder_file *files,
                                size_t count)
{
    VEC(uint8_t) desc = {0};
    uint64_t head[2] = {count, BUILDER_PAGE};
    size_t size = sizeof(head) + count * 24;
    for (size_t i = 0; i < count; i++)
        size += strlen(files[i].path) + 1;
    if (!vec_reserve(&desc, size))
        abort();
    memcpy(desc.items, head, sizeof(head));
    size_t at = sizeof(head) + count * 24;
    for (size_t i = 0; i < count; i++) {
        memcpy(desc.items + sizeof(head) + i * 24, &files[i], 24);
        memcpy(desc.items + at, files[i].path, strlen(files[i].path) + 1);
        at += strlen(files[i].path) + 1;
    }
    builder_note(builder, NT_FILE, desc.items, size);
    vec_deinit(&desc);
}

// `bytes` is borrowed; NULL: zeros.
MAYBE static void builder_load(struct builder *builder, uint64_t addr, uint64_t mem_bytes,
                               uint64_t file_bytes, uint32_t flags, const void *bytes)
{
    struct builder_load load = {
        .header = {.p_type = PT_LOAD,
                   .p_flags = flags,
                   .p_vaddr = addr,
                   .p_memsz = mem_bytes,
                   .p_filesz = file_bytes,
                   .p_align = BUILDER_PAGE},
        .bytes = bytes
    };
    if (!vec_push(&builder->loads, load))
        abort();
}

// The kernel's order: header, program headers, notes, memory from the next page on.
MAYBE static void builder_write(struct builder *builder, const char *path)
{
    size_t count = builder->loads.count + 1;
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = builder->machine ? builder->machine : EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = count < PN_XNUM ? (Elf64_Half)count : PN_XNUM
    };
    Elf64_Phdr notes = {.p_type = PT_NOTE,
                        .p_offset = sizeof(header) + count * sizeof(Elf64_Phdr),
                        .p_filesz = builder->notes.count,
                        .p_align = 4};
    uint64_t at = (notes.p_offset + notes.p_filesz + BUILDER_PAGE - 1) & ~(BUILDER_PAGE - 1ull);
    vec_foreach(load, &builder->loads) {
        load->header.p_offset = at;
        at += load->header.p_filesz;
    }
    Elf64_Shdr section = {.sh_type = SHT_NULL, .sh_size = 1, .sh_info = (Elf64_Word)count};
    if (count >= PN_XNUM) {
        header.e_shoff = at;
        header.e_shentsize = sizeof(section);
        header.e_shnum = 1;
    }
    FILE *file = fopen(path, "wb");
    if (!file)
        abort();
    fwrite(&header, sizeof(header), 1, file);
    fwrite(&notes, sizeof(notes), 1, file);
    vec_foreach(load, &builder->loads)
        fwrite(&load->header, sizeof(load->header), 1, file);
    fwrite(builder->notes.items, 1, builder->notes.count, file);
    vec_foreach(load, &builder->loads) {
        if (load->bytes && load->header.p_filesz &&
            (fseek(file, (long)load->header.p_offset, SEEK_SET) != 0 ||
             fwrite(load->bytes, load->header.p_filesz, 1, file) != 1))
            abort();
    }
    if (count >= PN_XNUM) {
        fseek(file, (long)at, SEEK_SET);
        fwrite(&section, sizeof(section), 1, file);
    }
    if (fclose(file) != 0 || truncate(path, (off_t)(at + (count >= PN_XNUM ? 64 : 0))) != 0)
        abort();
    vec_deinit(&builder->notes);
    vec_deinit(&builder->loads);
}

// Why the kernel's cores cannot be had here; NULL: they can.
MAYBE static const char *no_kernel_cores(void)
{
    char pattern[128] = "";
    FILE *file = fopen("/proc/sys/kernel/core_pattern", "r");
    if (file) {
        if (!fgets(pattern, sizeof(pattern), file))
            *pattern = '\0';
        fclose(file);
    }
    if (!*pattern || strpbrk(pattern, "|/%"))
        return "core_pattern does not write plain files into the working directory";
    struct rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    return limit.rlim_max == RLIM_INFINITY ? NULL : "the hard limit on core sizes is not unlimited";
}

// Until the program that a child becomes has gone to sleep.
MAYBE static void await_sleep(pid_t pid)
{
    char name[64], state = 0;
    for (int i = 0; i < 6000 && state != 'S'; i++) {
        usleep(10000);
        snprintf(name, sizeof(name), "/proc/%d/stat", pid);
        FILE *file = fopen(name, "r");
        char comm[64] = "";
        if (!file)
            break;
        if (fscanf(file, "%*d %63s %c", comm, &state) != 2)
            state = 0;
        fclose(file);
    }
    usleep(20000);
}

// Runs a program (NULL-terminated arguments) with its addresses where they always are, waits until
// it sleeps, ends it by a signal, and moves its core to `path`. False: no core came of it.
MAYBE static bool make_kernel_core(const char *const *args, const char *filter, int signo,
                                   const char *path, pid_t *ret_pid)
{
    char name[64];
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
        int fd = open("/proc/self/coredump_filter", O_WRONLY);
        if (chdir(test_dir) < 0 || setrlimit(RLIMIT_CORE, &limit) < 0 || fd < 0 ||
            write(fd, filter, strlen(filter)) < 0 || personality(ADDR_NO_RANDOMIZE) < 0)
            _exit(1);
        close(fd);
        execv(args[0], (char *const *)args);
        _exit(1);
    }
    await_sleep(pid);
    kill(pid, signo);
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        return false;
    if (ret_pid)
        *ret_pid = pid;
    snprintf(name, sizeof(name), "core.%d", pid);
    return rename(test_path("core"), path) == 0 || rename(test_path(name), path) == 0;
}

#endif
