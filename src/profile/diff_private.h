// SPDX-License-Identifier: GPL-3.0-or-later
// The pieces of a comparison (include/profile/diff.h).
#ifndef PROFILE_DIFF_PRIVATE_H
#define PROFILE_DIFF_PRIVATE_H

#include "profile/diff.h"
#include "profile/difference.h"

// All of these return false when memory is out.

// diff_files.c: a number for each string that is a function's file or module; both tables' strings
// that are the same file have the same one. class_of[side] is by string id; 0: no such string.
struct diff_files {
    uint32_t *class_of[DIFF_SIDES];
    size_t by_tail;
};
bool diff_files_match(const struct diff_input runs[DIFF_SIDES], struct diff_files *ret);
void diff_files_deinit(struct diff_files *files);

// diff_match.c: diff->functions (unsorted) and diff->function_of
bool diff_match_functions(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff);
// diff_stacks.c: diff->stacks and diff->waits, unsorted
bool diff_match_stacks(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff);
// diff_threads.c
bool diff_match_threads(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff);
// diff_test.c: intervals and verdicts
bool diff_test(const struct diff_input runs[DIFF_SIDES], struct prof_diff *diff);

// diff_chains.c: for each function the outermost one that has the same working samples in both runs,
// which may be itself
bool diff_find_chains(const struct diff_input runs[DIFF_SIDES], const struct prof_diff *diff,
                      uint32_t *ret_root);

// Order of two strings of two tables; the absent one comes first.
int diff_compare_text(const struct strtab *left_table, uint32_t left,
                      const struct strtab *right_table, uint32_t right);
// Copies a string with the version numbers of Python taken out: "lib/python3.11/os.py" becomes
// "lib/python3/os.py", "x.cpython-311-x86_64-linux-gnu.so" "x.cpython-3-x86_64-linux-gnu.so".
// NULL: out of memory. To be freed.
char *diff_without_versions(const char *bytes, size_t size);
// amount / whole, NAN without a whole
double diff_per(double amount, double whole);

#endif
