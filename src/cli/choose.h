// SPDX-License-Identifier: GPL-3.0-or-later
// Which processes the command line names: PID, --children, --pids, --name.
#ifndef CLI_CHOOSE_H
#define CLI_CHOOSE_H

#include "cli/subjects.h"

VEC_DEFINE(chosen_pids, pid_t);

struct choice {
    struct chosen_pids pids; // each once, in the order given; empty: by name
    const char *name;        // NULL: by number
    bool children;
};

// 0: go on. Otherwise the exit code, after a message on standard error.
int choose(const struct options *options, struct choice *ret);
void choice_deinit(struct choice *choice);
// Opens all of them. One process alone has to be a Python; of several at least one.
struct err *choice_open(const struct choice *choice, struct subjects *subjects);

#endif
