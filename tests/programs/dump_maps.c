// SPDX-License-Identifier: GPL-3.0-or-later
// A mapping of every kind that the kernel's dump filter tells apart, one line each on standard output
// (name, start, bytes), then READY, then it waits. argv[1]: a folder for its files; argv[2]: pages of
// a large reservation.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#define PAGE 4096u
#define HUGE (2u << 20)
#define GUARD_INSTALL 102 // MADV_GUARD_INSTALL, linux/mman.h since 6.13

static void say(const char *name, const void *place, size_t bytes)
{
    if (place != MAP_FAILED)
        printf("%s %llx %zu\n", name, (unsigned long long)(uintptr_t)place, bytes);
}

static unsigned char *map(const char *name, size_t pages, int protection, int flags, int fd)
{
    unsigned char *place = mmap(NULL, pages * PAGE, protection, flags, fd, 0);
    say(name, place, pages * PAGE);
    // A hole behind it, so that no two of them become one.
    mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return place;
}

static unsigned char *anonymous(const char *name, size_t pages, int flags)
{
    return map(name, pages, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1);
}

static void touch(unsigned char *place, size_t from, size_t pages)
{
    for (size_t i = from; place != MAP_FAILED && i < from + pages; i++)
        memset(place + i * PAGE, (int)(i % 250) + 1, PAGE);
}

static int file(const char *folder, const char *name, size_t pages, const char *begin, int mode)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, mode);
    if (fd < 0 || ftruncate(fd, (off_t)(pages * PAGE)) != 0)
        abort();
    for (size_t i = 0; i < pages; i++)
        if (pwrite(fd, begin, strlen(begin), (off_t)(i * PAGE)) < 0)
            abort();
    return fd;
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : ".";
    touch(anonymous("touched", 8, MAP_PRIVATE), 0, 8);
    anonymous("untouched", 8, MAP_PRIVATE);
    touch(anonymous("partly", 64, MAP_PRIVATE), 10, 3);
    unsigned char *zeros = anonymous("zeros", 16, MAP_PRIVATE);
    memset(zeros, 0, (size_t)16 * PAGE);
    size_t pages = argc > 2 ? strtoull(argv[2], NULL, 10) : 1 << 20;
    unsigned char *large = anonymous("reserved", pages, MAP_PRIVATE | MAP_NORESERVE);
    touch(large, pages - 48576, 1);
    unsigned char *dont = anonymous("dontdump", 8, MAP_PRIVATE);
    touch(dont, 0, 8);
    madvise(dont, (size_t)8 * PAGE, MADV_DONTDUMP);
    unsigned char *guarded = anonymous("guarded", 8, MAP_PRIVATE);
    touch(guarded, 0, 8);
    madvise(guarded + 2 * PAGE, 2 * PAGE, GUARD_INSTALL); // before Linux 6.13: nothing happens
    map("none", 8, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    touch(anonymous("shared", 8, MAP_SHARED), 2, 3);
    anonymous("shared_untouched", 8, MAP_SHARED);

    int memory = memfd_create("notes", 0);
    if (memory < 0 || ftruncate(memory, 8 * PAGE) != 0 || pwrite(memory, "memory", 6, 9000) != 6)
        abort();
    map("memfd", 8, PROT_READ, MAP_SHARED, memory);
    int id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
    unsigned char *segment = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
    shmctl(id, IPC_RMID, NULL);
    touch(segment, 1, 1);
    say("sysv", segment, 4 * PAGE);

    int plain = file(folder, "plain", 8, "text", 0600),
        program = file(folder, "program", 8, "#!", 0700);
    int elf = file(folder, "elf", 8, "\177ELF", 0600), gone = file(folder, "gone", 8, "gone", 0600);
    int cut = file(folder, "cut", 3, "short", 0600);
    char path[4096];
    snprintf(path, sizeof(path), "%s/gone", folder);
    unlink(path);
    map("file_private", 8, PROT_READ, MAP_PRIVATE, plain);
    touch(map("file_written", 8, PROT_READ | PROT_WRITE, MAP_PRIVATE, plain), 4, 1);
    map("file_shared", 8, PROT_READ | PROT_WRITE, MAP_SHARED, plain);
    map("file_gone_shared", 8, PROT_READ, MAP_SHARED, gone);
    map("file_gone_private", 8, PROT_READ, MAP_PRIVATE, gone);
    map("program", 8, PROT_READ, MAP_PRIVATE, program);
    map("elf", 8, PROT_READ | PROT_EXEC, MAP_PRIVATE, elf);
    map("file_cut", 8, PROT_READ, MAP_PRIVATE, cut);

    unsigned char *huge =
        mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (huge != MAP_FAILED)
        memset(huge, 7, HUGE);
    say("huge_private", huge, HUGE);
    huge =
        mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (huge != MAP_FAILED)
        memset(huge, 8, HUGE);
    say("huge_shared", huge, HUGE);
    puts("READY");
    fflush(stdout);
    for (;;)
        pause();
}
