// SPDX-License-Identifier: GPL-3.0-or-later
// See snapshot/packages.h.
#include "snapshot/packages.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpython/modules.h"
#include "package_files.h"
#include "snapshot/paths.h"
#include "util/guard.h"

#define SEEN_MAX (1u << 20) // numbers of file names: a run has some thousand

// A package as its files' paths show it: "/venv/lib/python3.11/site-packages/" "zope/interface".
struct found {
    uint32_t site, top, place; // place: with what is below `top`, which may be another package's
    uint32_t file;             // one of its files, within the site
    uint32_t name, version;
    bool settled; // both are known
    bool shared;  // `top` is of several packages
    bool asked;   // files were
};

struct package_finder {
    struct strtab *strings;
    struct package_files *files;
    VEC(struct found) found;
    VEC(bool) seen; // by the number of the file name
};

struct package_finder *package_finder_create(struct strtab *strings)
{
    struct package_finder *finder = calloc(1, sizeof(*finder));
    if (!finder)
        return NULL;
    finder->strings = strings;
    finder->files = package_files_create();
    if (finder->files)
        return finder;
    free(finder);
    return NULL;
}

void package_finder_destroy(struct package_finder *finder)
{
    if (!finder)
        return;
    package_files_destroy(finder->files);
    vec_deinit(&finder->found);
    vec_deinit(&finder->seen);
    free(finder);
}

// ---- What is seen --------------------------------------------------------------------------------

static bool is_new(struct package_finder *finder, uint32_t file)
{
    if (!file || file >= SEEN_MAX)
        return false;
    if (file >= finder->seen.count) {
        if (!vec_reserve(&finder->seen, file + 1))
            return false;
        while (finder->seen.count <= file)
            finder->seen.items[finder->seen.count++] = false;
    }
    bool before = finder->seen.items[file];
    finder->seen.items[file] = true;
    return !before;
}

// "numpy" of "numpy/core/x.py", "six" of "six.py", "_x" of "_x.cpython-312-x86_64-linux-gnu.so".
static size_t top_size(const char *part)
{
    size_t size = 0;
    while (isalnum((unsigned char)part[size]) || part[size] == '_')
        size++;
    return part[size] == '/' || part[size] == '.' ? size : 0;
}

// An egg has its name and version in its folder's name: "six-1.16.0-py3.8.egg/six.py".
static const char *skip_egg(struct package_finder *finder, const char *part, struct found *ret)
{
    size_t size = strcspn(part, "/");
    if (size < 5 || part[size] != '/' || memcmp(part + size - 4, ".egg", 4) != 0)
        return part;
    const char *dash = memchr(part, '-', size);
    char version[64] = "";
    if (dash) {
        size_t length = strcspn(dash + 1, "-/");
        if (dash[1 + length] == '/')
            length -= 4;
        snprintf(version, sizeof(version), "%.*s", (int)length, dash + 1);
    }
    if (package_is_version(version)) {
        ret->name = strtab_add(finder->strings, part, (size_t)(dash - part));
        ret->version = strtab_add_cstr(finder->strings, version);
        ret->settled = true;
    }
    return part + size + 1;
}

// Where the package's own files are told from others': two folders down, or at the file itself.
static size_t place_size(const char *part)
{
    size_t size = strcspn(part, "/");
    if (part[size] && strchr(part + size + 1, '/'))
        size += 1 + strcspn(part + size + 1, "/");
    return size;
}

static bool take_apart(struct package_finder *finder, const char *path, struct found *ret)
{
    const char *part = snap_package_part(path);
    *ret = (struct found){0};
    if (!part)
        return false;
    part = skip_egg(finder, part, ret);
    size_t top = top_size(part);
    if (!top)
        return false;
    ret->site = strtab_add(finder->strings, path, (size_t)(part - path));
    ret->top = strtab_add(finder->strings, part, top);
    ret->place = strtab_add(finder->strings, path, (size_t)(part - path) + place_size(part));
    ret->file = strtab_add_cstr(finder->strings, part);
    return ret->site && ret->top && ret->place && ret->file;
}

// What is known of the outermost package holds for all that is in it.
static const struct found *find_known(const struct package_finder *finder, const struct found *like)
{
    vec_foreach (found, &finder->found)
        if (found->settled && !found->shared && found->site == like->site &&
            found->top == like->top)
            return found;
    return NULL;
}

static void read_version(struct package_finder *finder, struct found *found, struct py_decoder *dec,
                         struct mem *mem, uint64_t interp)
{
    uint64_t modules = 0;
    uint32_t version = 0;
    struct mem *before = dec->mem;
    struct mem_copy *copy = dec->copy;
    dec->mem = mem;
    dec->copy = NULL;
    struct err *err = py_modules(dec, interp, &modules);
    if (!err && modules)
        err = py_module_text(dec, modules, strtab_get(finder->strings, found->top), "__version__",
                             &version);
    dec->mem = before;
    dec->copy = copy;
    bool read = !err;
    err_destroy(err);
    if (read && version && package_is_version(strtab_get(finder->strings, version))) {
        found->name = found->top;
        found->version = version;
        found->settled = true;
    }
}

void package_finder_see_file(struct package_finder *finder, uint32_t file, struct py_decoder *dec,
                             struct mem *mem, uint64_t interp)
{
    struct found new;
    const char *path = strtab_get(finder->strings, file);
    if (!is_new(finder, file) || finder->found.count >= PACKAGES_MAX ||
        !take_apart(finder, path, &new))
        return;
    vec_foreach (found, &finder->found)
        if (found->place == new.place)
            return;
    if (!new.settled && !find_known(finder, &new) && dec && mem &&interp)
        read_version(finder, &new, dec, mem, interp);
    (void)vec_push(&finder->found, new);
}

void package_finder_see(struct package_finder *finder, const struct snapshot *snapshot,
                        struct py_decoder *dec, struct mem *mem, uint64_t interp)
{
    vec_foreach (thread, &snapshot->threads)
        vec_foreach (frame, &thread->frames)
            if (frame->file)
                package_finder_see_file(finder, frame->file, dec, mem, interp);
}

// ---- What is known of it -------------------------------------------------------------------------

static void ask_files(struct package_finder *finder, struct source *source, struct found *found)
{
    struct package_said said;
    const struct strtab *strings = finder->strings;
    found->asked = true;
    if (!package_files_find(finder->files, source, strtab_get(strings, found->site),
                            strtab_get(strings, found->top), strtab_get(strings, found->file),
                            &said))
        return;
    found->name = strtab_add_cstr(finder->strings, said.name);
    found->version = said.version[0] ? strtab_add_cstr(finder->strings, said.version) : 0;
    found->settled = true;
    found->shared = said.shared;
}

// Within one package, its outermost folder.
static uint32_t place_of(struct package_finder *finder, const struct found *found)
{
    const char *place = strtab_get(finder->strings, found->place);
    if (found->shared || !found->settled)
        return found->place;
    size_t site = strtab_size(finder->strings, found->site);
    return strtab_add(finder->strings, place, site + strcspn(place + site, "/"));
}

bool snap_packages_have(const struct snap_packages *packages, const struct snap_package *package)
{
    vec_foreach (have, packages)
        if (have->name == package->name && have->version == package->version)
            return true;
    return false;
}

static int compare(const void *left, const void *right, void *arg)
{
    const struct snap_package *a = left, *b = right;
    const char *of_a = strtab_get(arg, a->name), *of_b = strtab_get(arg, b->name);
    int order = strcasecmp(of_a ? of_a : "", of_b ? of_b : "");
    return order ? order : a->version < b->version ? -1 : a->version > b->version;
}

void package_finder_finish(struct package_finder *finder, struct source *source,
                           struct snap_packages *ret)
{
    vec_foreach (found, &finder->found) {
        if (find_known(finder, found))
            continue;
        if (!found->settled && !found->asked && source)
            ask_files(finder, source, found);
    }
    vec_foreach (found, &finder->found) {
        const struct found *known = find_known(finder, found);
        known = known ? known : found;
        struct snap_package package = {known->settled ? known->name : known->top, known->version,
                                       place_of(finder, known)};
        if (!snap_packages_have(ret, &package) && ret->count < PACKAGES_MAX)
            (void)vec_push(ret, package);
    }
    if (ret->count)
        qsort_r(ret->items, ret->count, sizeof(*ret->items), compare, finder->strings);
}

const struct snap_package *snap_package_of(const struct snap_packages *packages,
                                           const struct strtab *strings, const char *path)
{
    vec_foreach (package, packages) {
        const char *place = strtab_get(strings, package->place);
        size_t size = place ? strlen(place) : 0;
        if (size && strncmp(path, place, size) == 0 && (path[size] == '\0' || path[size] == '/'))
            return package;
    }
    return NULL;
}
