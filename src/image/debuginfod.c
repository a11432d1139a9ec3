// SPDX-License-Identifier: GPL-3.0-or-later
// Asks debuginfod servers for debug files, and for the programs themselves where a core lacks them
// (debuginfod_find_debuginfo(3)), when the user said --debuginfod. The library is looked for at run time: it
// is no part of the build, and nothing else in pycore goes to the network.
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/image_private.h"
#include "util/guard.h"

#define LIBRARY "libdebuginfod.so.1"

struct debuginfod {
    void *client; // NULL: given up, and a note says why
    int (*find_debuginfo)(void *client, const unsigned char *build_id, int build_id_bytes,
                          char **ret_path);
    int (*find_executable)(void *client, const unsigned char *build_id, int build_id_bytes,
                           char **ret_path);
    void (*end)(void *client);
};

static void load(struct image *image, struct debuginfod *ret)
{
    const char *urls = getenv("DEBUGINFOD_URLS");
    if (!urls || !*urls) {
        target_note(image->target, "--debuginfod: no servers are known; set DEBUGINFOD_URLS");
        return;
    }
    // Never unloaded: libcurl below it cannot be.
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        target_note(image->target,
                    "--debuginfod: " LIBRARY " cannot be loaded; install libdebuginfod1 "
                    "(Debian, Ubuntu), elfutils-debuginfod-client (Fedora, RHEL), or elfutils");
        return;
    }
    void *(*begin)(void) = (void *(*)(void))dlsym(library, "debuginfod_begin");
    *(void **)&ret->find_debuginfo = dlsym(library, "debuginfod_find_debuginfo");
    *(void **)&ret->find_executable = dlsym(library, "debuginfod_find_executable");
    *(void **)&ret->end = dlsym(library, "debuginfod_end");
    if (begin && ret->find_debuginfo && ret->find_executable && ret->end)
        ret->client = begin();
    if (!ret->client)
        target_note(image->target, "--debuginfod: " LIBRARY " does not start");
}

static struct debuginfod *started(struct image *image)
{
    if (!image->debuginfod && (image->debuginfod = calloc(1, sizeof(struct debuginfod))))
        load(image, image->debuginfod);
    return image->debuginfod;
}

// An open descriptor, or -1.
static int ask(struct image *image, bool executable, const uint8_t *build_id, size_t build_id_bytes,
               char **ret_path)
{
    struct debuginfod *self = started(image);
    if (!self || !self->client)
        return -1;
    int fd = executable
                 ? self->find_executable(self->client, build_id, (int)build_id_bytes, ret_path)
                 : self->find_debuginfo(self->client, build_id, (int)build_id_bytes, ret_path);
    if (fd >= 0 || fd == -ENOENT)
        return fd >= 0 ? fd : -1;
    // One server that does not answer would be waited for once per module.
    target_note(image->target, "--debuginfod: %s; no more is asked of the servers", strerror(-fd));
    self->end(self->client);
    self->client = NULL;
    return -1;
}

int image_debuginfod_open(struct image *image, const uint8_t *build_id, size_t build_id_bytes)
{
    return ask(image, false, build_id, build_id_bytes, NULL);
}

char *image_debuginfod_executable(struct image *image, const uint8_t *build_id,
                                  size_t build_id_bytes)
{
    char *path = NULL;
    AUTO_CLOSE int fd = ask(image, true, build_id, build_id_bytes, &path);
    if (fd >= 0)
        return path;
    free(path);
    return NULL;
}

void image_debuginfod_close(struct image *image)
{
    struct debuginfod *self = image->debuginfod;
    if (self && self->client)
        self->end(self->client);
    free(self);
    image->debuginfod = NULL;
}
