// SPDX-License-Identifier: GPL-3.0-or-later
// Which processes run a Python, told without reading each of them in full: by the name and content
// of the program's file (once for each file) and by the names of what is mapped. Those that pass are
// opened; where their interpreter lies is searched for once for each distinct program.
#ifndef CLI_PYTHONS_H
#define CLI_PYTHONS_H

#include "report/listing.h"
#include "target/usage.h"

struct pythons; // what is known of the programs so far

struct pythons *pythons_create(void); // NULL: out of memory
void pythons_destroy(struct pythons *pythons);

enum python_guess {
    PYTHON_NONE,   // not a Python process, or gone
    PYTHON_LIKELY, // worth opening
    PYTHON_CLOSED, // says that it is one, and is not ours to look at
    PYTHON_HIDDEN, // not ours to look at, and does not say what it is
};
enum python_guess pythons_guess(struct pythons *pythons, pid_t pid, const char *comm);

// Fills version, build, argv, exe, and what keeps it from being opened. False: it is no Python
// process after all, or has ended.
bool pythons_look(struct pythons *pythons, pid_t pid, enum python_guess guess,
                  struct listed_process *ret);

#endif
