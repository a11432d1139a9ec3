// SPDX-License-Identifier: GPL-3.0-or-later
// Asks debuginfod servers for debug files (debuginfod_find_debuginfo(3)), when the user said
// --debuginfod. The library is looked for at run time: it is no part of the build, and nothing
// else in pycore goes to the network.
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
    int (*find)(void *client, const unsigned char *build_id, int build_id_bytes, char **ret_path);
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
    *(void **)&ret->find = dlsym(library, "debuginfod_find_debuginfo");
    *(void **)&ret->end = dlsym(library, "debuginfod_end");
    if (begin && ret->find && ret->end)
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

int image_debuginfod_open(struct image *image, const uint8_t *build_id, size_t build_id_bytes)
{
    struct debuginfod *self = started(image);
    if (!self || !self->client)
        return -1;
    int fd = self->find(self->client, build_id, (int)build_id_bytes, NULL);
    if (fd >= 0 || fd == -ENOENT)
        return fd >= 0 ? fd : -1;
    // One server that does not answer would be waited for once per module.
    target_note(image->target, "--debuginfod: %s; no more is asked of the servers", strerror(-fd));
    self->end(self->client);
    self->client = NULL;
    return -1;
}

void image_debuginfod_close(struct image *image)
{
    struct debuginfod *self = image->debuginfod;
    if (self && self->client)
        self->end(self->client);
    free(self);
    image->debuginfod = NULL;
}
