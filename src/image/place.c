// SPDX-License-Identifier: GPL-3.0-or-later
// Opens files whose names came from a target: below the sysroot only, regular files only.
#include "image/image_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/guard.h"

// openat2(2), Linux 5.6; its header is younger than some systems this is built on.
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#define IN_ROOT 0x10 // RESOLVE_IN_ROOT

struct open_how_v1 {
    uint64_t flags, mode, resolve;
};

// As the kernel's own loop (path_resolution(7)).
#define MAX_LINKS 40

struct walk {
    char done[PATH_MAX]; // relative to the root, free of links and dots; "" is the root
    char rest[PATH_MAX]; // still to be walked
};

static void step_up(char *done)
{
    char *slash = strrchr(done, '/');
    *(slash ? slash : done) = '\0';
}

static bool append(char *path, const char *name)
{
    size_t size = strlen(path);
    int more = snprintf(path + size, PATH_MAX - size, "%s%s", size ? "/" : "", name);
    return more > 0 && size + (size_t)more < PATH_MAX;
}

// Replaces the link that was just reached by what it says.
static bool follow(struct walk *walk, const char *link)
{
    char rest[PATH_MAX];
    int size = snprintf(rest, sizeof(rest), "%s/%s", link, walk->rest);
    if (size < 0 || (size_t)size >= sizeof(rest))
        return false;
    if (*link == '/')
        *walk->done = '\0';
    else
        step_up(walk->done);
    memcpy(walk->rest, rest, (size_t)size + 1);
    return true;
}

int image_resolve_by_hand(int root_fd, const char *path)
{
    struct walk walk = {.done = ""};
    if (strlen(path) >= sizeof(walk.rest)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(walk.rest, path);
    for (int links = 0; *walk.rest;) {
        size_t start = strspn(walk.rest, "/"), size = strcspn(walk.rest + start, "/");
        char name[NAME_MAX + 1], link[PATH_MAX];
        if (size > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, walk.rest + start, size);
        name[size] = '\0';
        memmove(walk.rest, walk.rest + start + size, strlen(walk.rest + start + size) + 1);
        if (size == 0 || strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            step_up(walk.done);
            continue;
        }
        if (!append(walk.done, name)) {
            errno = ENAMETOOLONG;
            return -1;
        }
        ssize_t link_size = readlinkat(root_fd, walk.done, link, sizeof(link) - 1);
        if (link_size < 0 && errno != EINVAL)
            return -1;
        if (link_size >= 0) {
            link[link_size] = '\0';
            if (++links > MAX_LINKS || !follow(&walk, link)) {
                errno = ELOOP;
                return -1;
            }
        }
    }
    return openat(root_fd, *walk.done ? walk.done : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static int resolve_in_root(const char *root, const char *path)
{
    AUTO_CLOSE int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return -1;
    struct open_how_v1 how = {.flags = O_PATH | O_CLOEXEC, .resolve = IN_ROOT};
    int fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    // EPERM: seccomp filters that are older than the call.
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EINVAL))
        return fd;
    return image_resolve_by_hand(root_fd, path);
}

int image_open_place(const struct image_place *place, struct stat *ret)
{
    AUTO_CLOSE int found = place->root ? resolve_in_root(place->root, place->path)
                                       : open(place->path, O_PATH | O_CLOEXEC);
    // The size leaves out the files of /proc and /sys, where a read can do things.
    if (found < 0 || fstat(found, ret) < 0 || !S_ISREG(ret->st_mode) || ret->st_size == 0)
        return -1;
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", found);
    return open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

bool image_file_open(const struct image_place *place, struct image_file *ret)
{
    elf_version(EV_CURRENT);
    *ret = (struct image_file){.fd = -1};
    ret->fd = image_open_place(place, &ret->stat);
    if (ret->fd < 0)
        return false;
    ret->elf = elf_begin(ret->fd, ELF_C_READ, NULL);
    if (ret->elf && elf_kind(ret->elf) == ELF_K_ELF)
        return true;
    image_file_close(ret);
    return false;
}

Elf *image_file_map(const struct image_file *file)
{
    Elf *elf = elf_begin(file->fd, ELF_C_READ_MMAP_PRIVATE, NULL);
    // Reads the file where it cannot be mapped; otherwise it only forgets the descriptor.
    if (elf && elf_kind(elf) == ELF_K_ELF && elf_cntl(elf, ELF_C_FDREAD) == 0)
        return elf;
    elf_end(elf);
    return NULL;
}

void image_file_close(struct image_file *file)
{
    elf_end(file->elf);
    if (file->fd >= 0)
        close(file->fd);
    *file = (struct image_file){.fd = -1};
}

void image_place_deinit(struct image_place *place)
{
    free(place->root);
    free(place->path);
    *place = (struct image_place){0};
}
