// SPDX-License-Identifier: GPL-3.0-or-later
// See package_files.h. Files are hostile: each is bounded, and so is all that is read.
#include "package_files.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/guard.h"
#include "util/vec.h"

#define FILE_MAX_BYTES (1u << 20)
#define READ_MAX_BYTES (64u << 20) // of all files of a run: the RECORDs of some 500 packages
#define ENTRIES_MAX 20000
#define DISTS_MAX 2000
#define SITES_MAX 64

struct dist {
    char *entry;      // name of the folder, or of the file (distutils)
    size_t name_size; // of the package, at its start
    bool egg;
};

struct site {
    char *path;
    VEC(struct dist) dists;
};

struct package_files {
    VEC(struct site) sites;
    size_t left_bytes;
};

struct package_files *package_files_create(void)
{
    struct package_files *files = calloc(1, sizeof(*files));
    if (files)
        files->left_bytes = READ_MAX_BYTES;
    return files;
}

void package_files_destroy(struct package_files *files)
{
    if (!files)
        return;
    vec_foreach (site, &files->sites) {
        vec_foreach (dist, &site->dists)
            free(dist->entry);
        vec_deinit(&site->dists);
        free(site->path);
    }
    vec_deinit(&files->sites);
    free(files);
}

bool package_is_version(const char *text)
{
    size_t size = strlen(text);
    const char *digit = text + (text[0] == 'v');
    return size > 0 && size < sizeof((struct package_said){0}.version) &&
           isdigit((unsigned char)digit[0]) &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+!_-") ==
               size;
}

// ---- What is there -------------------------------------------------------------------------------

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), want = strlen(end);
    return size > want && strcmp(text + size - want, end) == 0;
}

// A '-' of the name itself is written '_' (PEP 427, pkg_resources.to_filename).
static void add_entry(void *arg, const char *name)
{
    struct site *site = arg;
    bool egg = ends_with(name, ".egg-info");
    if ((!egg && !ends_with(name, ".dist-info")) || site->dists.count >= DISTS_MAX)
        return;
    const char *dash = strchr(name, '-'), *dot = strrchr(name, '.');
    struct dist dist = {strdup(name), (size_t)((dash < dot ? dash : dot) - name), egg};
    if (dash > dot)
        dist.name_size = (size_t)(dot - name); // the dash of "egg-info": no version is in its name
    if (!dist.entry || !vec_push(&site->dists, dist))
        free(dist.entry);
}

static struct site *site_of(struct package_files *files, struct source *source, const char *path)
{
    vec_foreach (site, &files->sites)
        if (strcmp(site->path, path) == 0)
            return site;
    struct site site = {.path = strdup(path)};
    if (!site.path || files->sites.count >= SITES_MAX || !vec_push(&files->sites, site)) {
        free(site.path);
        return NULL;
    }
    struct site *new = &files->sites.items[files->sites.count - 1];
    source_folder(source, path, ENTRIES_MAX, add_entry, new);
    return new;
}

static char *read_file(struct package_files *files, struct source *source, const struct site *site,
                       const struct dist *dist, const char *name, bool *ret_newer)
{
    AUTO_FREE char *path = NULL;
    size_t size = 0;
    if (!files->left_bytes ||
        asprintf(&path, "%s%s%s%s", site->path, dist->entry, name ? "/" : "", name ? name : "") < 0)
        return NULL;
    char *text = source_file(source, path, FILE_MAX_BYTES, &size, ret_newer);
    files->left_bytes -= size < files->left_bytes ? size : files->left_bytes;
    return text;
}

// ---- What it says --------------------------------------------------------------------------------

// A field of the head, which an empty line ends (PEP 314).
static bool field(const char *text, const char *name, char *ret, size_t room)
{
    size_t want = strlen(name);
    for (const char *line = text; *line && *line != '\n' && *line != '\r';) {
        size_t size = strcspn(line, "\r\n");
        if (size > want && strncmp(line, name, want) == 0) {
            const char *value = line + want + strspn(line + want, " \t");
            size_t length = (size_t)(line + size - value);
            if (length == 0 || length >= room)
                return false;
            memcpy(ret, value, length);
            ret[length] = '\0';
            return true;
        }
        line += size;
        line += *line == '\r';
        line += *line == '\n';
    }
    return false;
}

static bool is_name(const char *text)
{
    // PEP 508.
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
           strlen(text);
}

// A file that is newer than the process says what was installed since.
static bool read_metadata(struct package_files *files, struct source *source,
                          const struct site *site, const struct dist *dist,
                          struct package_said *ret)
{
    bool newer = false;
    AUTO_FREE char *text =
        read_file(files, source, site, dist, dist->egg ? "PKG-INFO" : "METADATA", &newer);
    if (!text && dist->egg)
        text = read_file(files, source, site, dist, NULL, &newer);
    if (!text || !field(text, "Name:", ret->name, sizeof(ret->name)) || !is_name(ret->name))
        return false;
    if (newer || !field(text, "Version:", ret->version, sizeof(ret->version)) ||
        !package_is_version(ret->version))
        ret->version[0] = '\0';
    return true;
}

static char plain(char c)
{
    return c == '_' || c == '.' ? '-' : (char)tolower((unsigned char)c);
}

// PEP 503: small letters, and runs of '-', '_' and '.' are one.
static bool same_name(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t i = 0, k = 0;
    while (i < a_size && k < b_size) {
        char c = plain(a[i]);
        if (c != plain(b[k]))
            return false;
        for (i++; c == '-' && i < a_size && plain(a[i]) == '-';)
            i++;
        for (k++; c == '-' && k < b_size && plain(b[k]) == '-';)
            k++;
    }
    return i == a_size && k == b_size;
}

// Does a line begin with `what`, followed by one of `ends`?
static bool has_line(const char *text, const char *what, const char *ends)
{
    size_t size = strlen(what);
    for (const char *at = text; (at = strstr(at, what)); at++)
        if ((at == text || at[-1] == '\n') && (at[size] ? strchr(ends, at[size]) != NULL : true))
            return true;
    return false;
}

enum claim { CLAIM_NONE, CLAIM_TOP, CLAIM_FILE, CLAIM_PART };

// What it has of `file`: itself (RECORD, PEP 376), where `top` may be other packages' as well or not;
// or, of those that have no RECORD, `top`.
static enum claim claim_of(struct package_files *files, struct source *source,
                           const struct site *site, const struct dist *dist, const char *top,
                           const char *file)
{
    bool newer;
    AUTO_FREE char *tops = read_file(files, source, site, dist, "top_level.txt", &newer);
    if (tops && !has_line(tops, top, "\r\n"))
        return CLAIM_NONE;
    if (dist->egg)
        return tops ? CLAIM_TOP : CLAIM_NONE;
    AUTO_FREE char *record = read_file(files, source, site, dist, "RECORD", &newer);
    AUTO_FREE char *init = NULL;
    if (!record || !has_line(record, file, ",") || asprintf(&init, "%s/__init__.py", top) < 0)
        return CLAIM_NONE;
    return strchr(file, '/') && !has_line(record, init, ",") ? CLAIM_PART : CLAIM_FILE;
}

bool package_files_find(struct package_files *files, struct source *source, const char *path,
                        const char *top, const char *file, struct package_said *ret)
{
    struct site *site = site_of(files, source, path);
    const struct dist *found = NULL;
    size_t count = 0;
    *ret = (struct package_said){0};
    if (!site)
        return false;
    vec_foreach (dist, &site->dists)
        if (same_name(dist->entry, dist->name_size, top, strlen(top)))
            found = dist, count++;
    if (count > 1)
        return false; // what a broken upgrade has left: either may be
    if (found)
        return read_metadata(files, source, site, found, ret);
    vec_foreach (dist, &site->dists) {
        enum claim claim = claim_of(files, source, site, dist, top, file);
        if (claim >= CLAIM_FILE) {
            ret->shared = claim == CLAIM_PART;
            return read_metadata(files, source, site, dist, ret);
        }
        if (claim == CLAIM_TOP)
            found = dist, count++;
    }
    return count == 1 && read_metadata(files, source, site, found, ret);
}
