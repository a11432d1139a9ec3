// SPDX-License-Identifier: GPL-3.0-or-later
// Processes that come, go, and become other programs: what subjects.c asks of follow.c.
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/subjects.h"

// Its entry of the source: the one it has already, or a new one. A number that is used again is
// another process.
struct err *follow_enter(struct subjects *subjects, pid_t pid, size_t *ret_process);
// subjects->items[i] is not looked at any more because of `err`, which is consumed: it has ended, or
// is a bystander from now on.
struct err *follow_leave(struct subjects *subjects, size_t i, struct err *err);
// There is no Python in it just now, because it has just executed another program.
bool follow_is_between(struct subject *subject, const struct err *err);

#endif
