// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/package_facts.h.
#include "cli/package_facts.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot/packages.h"

static char *copy_of(const struct strtab *strings, uint32_t id)
{
    const char *text = strtab_get(strings, id);
    return text ? strdup(text) : NULL;
}

bool packages_to_facts(const struct snap_source *source, const struct strtab *strings,
                       struct capture_facts *ret)
{
    vec_foreach (from, &source->environment.packages) {
        struct capture_package package = {copy_of(strings, from->name),
                                          copy_of(strings, from->version),
                                          copy_of(strings, from->place)};
        if (!package.name || !vec_push(&ret->packages, package)) {
            free(package.name);
            free(package.version);
            free(package.place);
            return false;
        }
    }
    return true;
}

void packages_from_facts(struct snap_source *source, struct strtab *strings,
                         const struct capture_facts *facts)
{
    struct snap_packages *to = &source->environment.packages;
    vec_foreach (from, &facts->packages) {
        struct snap_package package = {strtab_add_cstr(strings, from->name),
                                       strtab_add_cstr(strings, from->version),
                                       strtab_add_cstr(strings, from->place)};
        if (package.name && !snap_packages_have(to, &package))
            (void)vec_push(to, package);
    }
}
