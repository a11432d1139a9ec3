// SPDX-License-Identifier: GPL-3.0-or-later
// The Python processes of a machine, as a table or as JSON.
//
// JSON, schema "pycore/1": "schema", "tool", "host", "taken_at", "complete", "hidden" (how
// many more may not be looked at), "processes", "notes". Of
// each process: "pid", "parent", "uid", "user", "exe", "argv" (secrets hidden), "runs" (the program
// in short), "python" {"version", "build"} or null, "threads", "cpu_share" (1.0: one processor),
// "rss_bytes", "start_time_ns" (since 1970), "age_ns", "can_be_opened", and "why_not" with
// "why_not_in_short" where it cannot. What is not known is null.
#ifndef REPORT_LISTING_H
#define REPORT_LISTING_H

#include <sys/types.h>

#include "report/report.h"

struct listed_process {
    pid_t pid, parent;
    bool has_uid;
    uid_t uid;
    char comm[16];     // the kernel's name of it
    char *user, *exe;  // NULL: not known
    char **argv;       // NULL-terminated, as it may be shown; NULL: not known
    char version[24];  // of its Python; empty: not known
    const char *build; // static text; NULL: not known
    uint64_t threads;
    bool has_cpu;
    double cpu_share; // 1.0: one processor
    uint64_t rss_bytes;
    uint64_t start_time_ns; // since 1970; 0: not known
    uint64_t age_ns;
    const char *why_not_in_short; // static text; NULL: it can be opened
    char *why_not;                // a line with what would help; NULL likewise
};

struct process_list {
    VEC(struct listed_process) items;
    const char *tool_version, *host;
    int64_t taken_at_ns; // since 1970
    bool complete;       // nothing is missing of those that are listed
    size_t hidden;       // further ones that may not be looked at, and do not say what they run
    VEC(char *) notes;   // clean text
};

void listed_process_deinit(struct listed_process *process);
void process_list_deinit(struct process_list *list);
struct err *process_list_text(FILE *out, const struct process_list *list,
                              const struct report_options *options);
struct err *process_list_json(FILE *out, const struct process_list *list);

#endif
