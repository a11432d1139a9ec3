// SPDX-License-Identifier: GPL-3.0-or-later
// Separate debug files: by build ID, by the name in .gnu_debuglink, and, where the user allowed it,
// from a debuginfod server. Each is proved to be the module's before it is used.
#include <elfutils/libdwelf.h>
#include <gelf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/image_private.h"
#include "util/guard.h"

#define SYSTEM_DEBUG_DIR "/usr/lib/debug"

// What a debug file has to agree with.
struct wanted {
    struct image_module *module;
    const uint8_t *id; // NULL: neither the running module nor its file has one
    size_t id_bytes;
    char id_text[129];
    char link[256]; // .gnu_debuglink's file name; "": none
    uint32_t crc;
};

void image_roots_of(const struct image *image, struct image_roots *ret)
{
    *ret = (struct image_roots){0};
    if (image->target->kind == TARGET_LIVE) {
        snprintf(ret->live, sizeof(ret->live), "/proc/%d/root", (int)image->target->pid);
        ret->names[ret->count++] = ret->live;
        ret->names[ret->count++] = NULL;
        // It is given relative to our own root; what lies outside of that is of no use.
        ssize_t size = readlink(ret->live, ret->chroot, sizeof(ret->chroot) - 1);
        ret->chroot[size > 1 && *ret->chroot == '/' ? size : 0] = '\0';
    } else {
        ret->names[ret->count++] = image->sysroot;
    }
}

const char *image_path_below(const struct image_roots *roots, size_t index, const char *path)
{
    size_t size = strlen(roots->chroot);
    bool inside = size && roots->names[index] == roots->live &&
                  strncmp(path, roots->chroot, size) == 0 && path[size] == '/';
    return inside ? path + size : path;
}

// strip(1) and objcopy(1) leave the headers of what they take out, as SHT_NOBITS.
bool image_is_debug_only(Elf *elf)
{
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        if (gelf_getshdr(section, &header) && header.sh_type == SHT_NOBITS &&
            (header.sh_flags & (SHF_ALLOC | SHF_EXECINSTR)) == (SHF_ALLOC | SHF_EXECINSTR))
            return true;
    }
    return false;
}

// The module once more, and stripped as it is, would hide a better file.
static bool knows_more(Elf *elf)
{
    size_t names_index;
    bool has_code = false;
    if (elf_getshdrstrndx(elf, &names_index) != 0)
        return false;
    for (Elf_Scn *section = elf_nextscn(elf, NULL); section; section = elf_nextscn(elf, section)) {
        GElf_Shdr header;
        const char *name =
            gelf_getshdr(section, &header) ? elf_strptr(elf, names_index, header.sh_name) : NULL;
        if (name && (header.sh_type == SHT_SYMTAB || strncmp(name, ".debug_", 7) == 0 ||
                     strncmp(name, ".zdebug_", 8) == 0))
            return true;
        has_code |= name && header.sh_type == SHT_PROGBITS && header.sh_flags & SHF_EXECINSTR;
    }
    return !has_code;
}

static void guard_file(struct image_file *file)
{
    image_file_close(file);
}

// By build ID where both have one; else by the checksum that the module's own file asks for.
static bool agrees(const struct wanted *wanted, const struct image_file *file, bool by_link)
{
    struct elf_headers headers;
    if (!elf_headers_from_file(file, &headers))
        return false;
    elf_headers_deinit(&headers);
    const void *id = NULL;
    ssize_t id_bytes = dwelf_elf_gnu_build_id(file->elf, &id);
    if (id_bytes > 0 && wanted->id_bytes)
        return (size_t)id_bytes == wanted->id_bytes &&
               memcmp(id, wanted->id, wanted->id_bytes) == 0;
    uint32_t crc;
    return by_link && image_debuglink_crc(file->fd, &crc) && crc == wanted->crc;
}

static Elf *try_file(const struct wanted *wanted, const char *root, bool by_link,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

static Elf *try_file(const struct wanted *wanted, const char *root, bool by_link,
                     const char *format, ...)
{
    AUTO_FREE char *path = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&path, format, args) < 0)
        path = NULL;
    va_end(args);
    struct image_place place = {(char *)root, path};
    GUARD(guard_file) struct image_file file = {.fd = -1};
    if (!path || !image_file_open(&place, &file))
        return NULL;
    // The link of a file that was not stripped after all, beside itself.
    const struct stat *own = &wanted->module->identity;
    if (file.stat.st_ino == own->st_ino && file.stat.st_dev == own->st_dev)
        return NULL;
    return agrees(wanted, &file, by_link) && knows_more(file.elf) ? image_file_map(&file) : NULL;
}

static Elf *by_build_id(const struct wanted *wanted, const char *root, const char *dir)
{
    if (wanted->id_bytes < 2)
        return NULL;
    return try_file(wanted, root, false, "%s/.build-id/%.2s/%s.debug", dir, wanted->id_text,
                    wanted->id_text + 2);
}

// In a directory of the user's, under the module's own name: in its place, or side by side. Only a
// build ID can prove such a file.
static Elf *by_name(const struct wanted *wanted, const char *dir)
{
    const char *path = wanted->module->public.path, *base = strrchr(path, '/');
    const char *names[] = {path, base ? base : path};
    Elf *elf = NULL;
    for (size_t i = 0; wanted->id_bytes && i < ARRAY_SIZE(names) && !elf; i++) {
        elf = try_file(wanted, dir, false, "%s.debug", names[i]);
        if (!elf)
            elf = try_file(wanted, dir, false, "%s", names[i]);
    }
    return elf;
}

// The length of "/usr/lib" in "/usr/lib/libc.so".
static int folder_size(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash - path < 4096 ? (int)(slash - path) : 0;
}

// gdb manual, "Separate Debug Files": beside the file, in .debug beside it, below the global one.
static Elf *beside(const struct wanted *wanted, const char *root, const char *path)
{
    int size = folder_size(path);
    Elf *elf = try_file(wanted, root, true, "%.*s/%s", size, path, wanted->link);
    return elf ? elf : try_file(wanted, root, true, "%.*s/.debug/%s", size, path, wanted->link);
}

// Names from a target must not lead out of the directory that they are looked for in.
static bool climbs(const char *path)
{
    for (const char *at = path; (at = strstr(at, "..")); at += 2)
        if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
            return true;
    return false;
}

static Elf *below(const struct wanted *wanted, const char *root, const char *dir, const char *path)
{
    if (climbs(path))
        return NULL;
    return try_file(wanted, root, true, "%s%.*s/%s", dir, folder_size(path), path, wanted->link);
}

static Elf *by_link(const struct wanted *wanted, const struct image_roots *roots)
{
    struct image_module *module = wanted->module;
    const char *debug_dir = module->image->debug_dir;
    Elf *elf = NULL;
    if (!*wanted->link || climbs(wanted->link))
        return NULL;
    if (debug_dir)
        elf = below(wanted, NULL, debug_dir, module->public.path);
    if (!elf && debug_dir)
        elf = try_file(wanted, NULL, true, "%s/%s", debug_dir, wanted->link);
    for (size_t i = 0; i < roots->count && !elf; i++)
        elf = beside(wanted, roots->names[i], image_path_below(roots, i, module->public.path));
    // --exe, or found by its bare name; /proc/PID/map_files has no neighbours.
    if (!elf && module->place.path && module->image->target->kind == TARGET_CORE)
        elf = beside(wanted, module->place.root, module->place.path);
    for (size_t i = 0; i < roots->count && !elf; i++)
        elf = below(wanted, roots->names[i], SYSTEM_DEBUG_DIR,
                    image_path_below(roots, i, module->public.path));
    return elf;
}

static Elf *by_debuginfod(const struct wanted *wanted)
{
    struct image *image = wanted->module->image;
    GUARD(guard_file) struct image_file file = {.fd = -1};
    if (wanted->module->is_vdso || wanted->id_bytes < 2)
        return NULL;
    file.fd = image_debuginfod_open(image, wanted->id, wanted->id_bytes);
    if (file.fd < 0)
        return NULL;
    file.elf = elf_begin(file.fd, ELF_C_READ, NULL);
    return file.elf && agrees(wanted, &file, false) ? image_file_map(&file) : NULL;
}

static void fill_wanted(struct image_module *module, struct wanted *ret)
{
    *ret = (struct wanted){
        .module = module, .id = module->public.build_id, .id_bytes = module->public.build_id_bytes};
    Elf *elf = image_module_elf(module);
    const void *id = NULL;
    ssize_t id_bytes = 0;
    if (elf && !ret->id_bytes)
        id_bytes = dwelf_elf_gnu_build_id(elf, &id);
    if (id_bytes > 0 && (size_t)id_bytes <= sizeof(module->public.build_id)) {
        ret->id = id;
        ret->id_bytes = (size_t)id_bytes;
    }
    for (size_t i = 0; i < ret->id_bytes; i++)
        snprintf(ret->id_text + 2 * i, 3, "%02x", ret->id[i]);
    if (!elf || !image_debuglink_read(elf, ret->link, &ret->crc))
        *ret->link = '\0';
}

Elf *image_module_debug_elf(struct image_module *module)
{
    const struct image *image = module->image;
    image_files_take(module);
    if (module->debug_tried)
        return module->debug;
    module->debug_tried = true;
    struct image_roots roots;
    struct wanted wanted;
    image_roots_of(image, &roots);
    fill_wanted(module, &wanted);
    if (image->debug_dir)
        module->debug = by_build_id(&wanted, NULL, image->debug_dir);
    for (size_t i = 0; i < roots.count && !module->debug; i++)
        module->debug = by_build_id(&wanted, roots.names[i], SYSTEM_DEBUG_DIR);
    // A build ID is the same everywhere.
    if (!module->debug && image->sysroot)
        module->debug = by_build_id(&wanted, NULL, SYSTEM_DEBUG_DIR);
    if (!module->debug && image->debug_dir)
        module->debug = by_name(&wanted, image->debug_dir);
    if (!module->debug)
        module->debug = by_link(&wanted, &roots);
    image_files_give(module);
    return module->debug;
}

Elf *image_module_fetched_debug_elf(struct image_module *module)
{
    if (image_module_debug_elf(module) || module->fetch_tried || !module->image->use_debuginfod)
        return module->debug;
    module->fetch_tried = true;
    struct wanted wanted;
    fill_wanted(module, &wanted);
    module->debug = by_debuginfod(&wanted);
    image_files_give(module);
    return module->debug;
}
