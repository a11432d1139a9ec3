// SPDX-License-Identifier: GPL-3.0-or-later
// What a live process runs in: its limits, the quota of its cgroup and what that cost it, and the
// names of its environment's variables (never their values).
#ifndef TARGET_SURROUNDINGS_H
#define TARGET_SURROUNDINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/vec.h"

struct throttling { // of the cgroup that has the quota: cgroup-v2.rst, cpu.stat
    uint64_t periods, throttled_periods, throttled_ns;
};

VEC_DEFINE(proc_names, char *);

struct surroundings {
    int64_t fd_count, fd_limit;               // -1: not known
    int64_t processors;                       // in its affinity mask; -1: not known
    double cgroup_processors;                 // its quota; 0: none, or not known
    int64_t memory_bytes, memory_limit_bytes; // of its cgroup; -1: not known, or no limit
    char *cpu_cgroup;                         // folder of the one with the quota; NULL: none
    bool has_throttling;
    struct throttling at_start, at_end;
    struct proc_names variables;
};

enum { SURROUNDINGS_NAMES_MAX = 1000 };

extern const struct surroundings surroundings_unknown;

void surroundings_read(pid_t pid, struct surroundings *ret);
// at_end as it is now.
void surroundings_update(struct surroundings *surroundings);
void surroundings_deinit(struct surroundings *surroundings);

#endif
