// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/filter.h.
#include "cli/filter.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

bool filter_is_set(const struct options *options)
{
    return options->thread || options->gil || options->on_cpu;
}

// A pattern for the whole name, or the number of a thread.
static bool is_named(const struct snap_thread *thread, const struct strtab *strings,
                     const char *wanted)
{
    char tid[16];
    const char *name = strtab_get(strings, thread->name);
    snprintf(tid, sizeof(tid), "%d", (int)thread->tid);
    return strcmp(tid, wanted) == 0 || (name && fnmatch(wanted, name, 0) == 0);
}

static bool is_wanted(const struct options *options, const struct strtab *strings,
                      const struct snap_thread *thread)
{
    return (!options->thread || is_named(thread, strings, options->thread)) &&
           (!options->gil || (thread->has_holds_gil && thread->holds_gil)) &&
           (!options->on_cpu || thread->on_cpu || thread->state == SNAP_RUNNING);
}

void filter_mark(const struct options *options, const struct strtab *strings,
                 struct snapshot *snapshot, struct filter_counts *ret_counts)
{
    if (!filter_is_set(options))
        return;
    vec_foreach (thread, &snapshot->threads) {
        thread->left_out = !is_wanted(options, strings, thread);
        ret_counts->samples++;
        ret_counts->kept += !thread->left_out;
    }
    snapshot->has_process_cpu = false;
    vec_foreach (part, &snapshot->parts)
        part->has_process_cpu = false;
}

void filter_drop(struct snapshot *snapshot)
{
    size_t kept = 0;
    vec_foreach (thread, &snapshot->threads) {
        if (thread->left_out)
            snap_thread_deinit(thread);
        else
            snapshot->threads.items[kept++] = *thread;
    }
    snapshot->threads.count = kept;
}

void filter_note(const struct options *options, const struct filter_counts *counts,
                 struct strtab *strings, struct snap_notes *notes)
{
    AUTO_FREE char *thread = NULL;
    if (!filter_is_set(options))
        return;
    if (options->thread && asprintf(&thread, " named %s (--thread)", options->thread) < 0)
        thread = NULL;
    const char *holds = options->gil ? " that hold the GIL (--gil)" : "";
    const char *runs = options->on_cpu ? " that are on a processor (--on-cpu)" : "";
    snap_note(strings, notes, "only samples of threads%s%s%s%s%s count: %llu of %llu",
              thread ? thread : "", thread && *holds ? "," : "", holds,
              (thread || *holds) && *runs ? "," : "", runs, (unsigned long long)counts->kept,
              (unsigned long long)counts->samples);
}
