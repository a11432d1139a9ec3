// SPDX-License-Identifier: GPL-3.0-or-later
// Why a process died, as far as its memory and registers tell: see struct snap_crash.
#ifndef SNAPSHOT_CRASH_H
#define SNAPSHOT_CRASH_H

#include "snapshot/build.h"

// Fills *ret, for a core that a signal ended; else leaves it. `snapshot` was built of the same input.
// `image` is the one that answers for its modules. What is not there stays absent: ERR_NO_MEMORY only.
struct err *snap_crash_build(const struct snap_input *input, struct image *image,
                             const struct snapshot *snapshot, struct snap_crash *ret);

#endif
