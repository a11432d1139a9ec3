// SPDX-License-Identifier: GPL-3.0-or-later
// The per-machine tables behind target/arch.h.
#ifndef TARGET_ARCH_ROWS_H
#define TARGET_ARCH_ROWS_H

#include "target/arch.h"

struct arch_syscall {
    const char *name;
    int64_t number;
    enum arch_wait wait;      // what a thread waits for that sleeps in it
    int sleeps_when_arg_is_0; // index of the argument that makes it a mere sleep; -1: none
    bool is_futex;
};

extern const struct arch arch_x86_64;
extern const struct arch_inject inject_x86_64; // src/target/arch_x86_64_inject.c

#endif
