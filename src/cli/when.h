// SPDX-License-Identifier: GPL-3.0-or-later
// --when: the moment at which a run begins, as an expression.
//
//     cpu>90%    rss>=2G, threads>100    cpu<5% and fds>1000    cpu>90% for 5s
//
// cpu: percent of one processor, over the last second (250% is possible); rss (memory, mem) and vms:
// bytes, with K, M, G or T, powers of 1024; threads; fds (files): open files. All terms have to be
// true, with "for TIME" for so long without a break.
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum when_what { WHEN_CPU, WHEN_RSS, WHEN_VMS, WHEN_THREADS, WHEN_FDS, WHEN_COUNT };
enum { WHEN_TERMS_MAX = 8 };

struct when_term {
    enum when_what what;
    bool above, or_equal; // >, >=; <, <=
    double limit;         // CPU: percent; sizes: bytes
};

struct when {
    struct when_term terms[WHEN_TERMS_MAX];
    size_t count;
    uint64_t for_ns; // 0: at once
};

struct when_values { // of all processes of the run together
    double of[WHEN_COUNT];
    bool has[WHEN_COUNT];
};

// False: it is no such expression.
bool when_parse(const char *text, struct when *ret);
bool when_needs(const struct when *when, enum when_what what);
// A term about what is not known is false.
bool when_holds(const struct when *when, const struct when_values *values);
// "cpu 12 %, rss 83M", of what the expression asks for.
void when_say(FILE *out, const struct when *when, const struct when_values *values);

#endif
