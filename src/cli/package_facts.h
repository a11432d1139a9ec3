// SPDX-License-Identifier: GPL-3.0-or-later
// The packages of a report as a capture keeps them.
#ifndef CLI_PACKAGE_FACTS_H
#define CLI_PACKAGE_FACTS_H

#include "capture/capture.h"
#include "snapshot/snapshot.h"

// False: out of memory.
bool packages_to_facts(const struct snap_source *source, const struct strtab *strings,
                       struct capture_facts *ret);
// Adds those that are not there yet.
void packages_from_facts(struct snap_source *source, struct strtab *strings,
                         const struct capture_facts *facts);

#endif
