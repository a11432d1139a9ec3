// SPDX-License-Identifier: GPL-3.0-or-later
// Which installed packages the files on the stacks are of, and their versions: what the loaded module
// says itself (`__version__` of the outermost package), else what its installer has left beside it.
#ifndef SNAPSHOT_PACKAGES_H
#define SNAPSHOT_PACKAGES_H

#include "cpython/decoder.h"
#include "snapshot/snapshot.h"
#include "target/source.h"

#define PACKAGES_MAX 300

// One for a run.
struct package_finder;
struct package_finder *package_finder_create(struct strtab *strings); // NULL: no memory
void package_finder_destroy(struct package_finder *finder);

// Takes notice of what is new in a snapshot. Versions that modules say are read at once, from `mem`,
// as the process may end before the run does; `dec` NULL or `interp` 0: none are read. Nothing of it
// happens under a stop.
void package_finder_see(struct package_finder *finder, const struct snapshot *snapshot,
                        struct py_decoder *dec, struct mem *mem, uint64_t interp);
// The same for one file.
void package_finder_see_file(struct package_finder *finder, uint32_t file, struct py_decoder *dec,
                             struct mem *mem, uint64_t interp);
// Adds to `ret` what was seen, with what files say where modules said nothing; by name. `source`
// NULL: no files. May be called again.
void package_finder_finish(struct package_finder *finder, struct source *source,
                           struct snap_packages *ret);

// One of that name and version.
bool snap_packages_have(const struct snap_packages *packages, const struct snap_package *package);
// The package that a file is of; NULL: none.
const struct snap_package *snap_package_of(const struct snap_packages *packages,
                                           const struct strtab *strings, const char *path);

#endif
