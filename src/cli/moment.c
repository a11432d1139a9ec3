// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/moment.h.
#include "cli/moment.h"

#include <time.h>
#include <unistd.h>

#include "cli/signals.h"
#include "target/usage.h"
#include "util/guard.h"

#define LOOK_EVERY_NS 500000000u
#define NAP_NS 50000000u
#define CPU_LOOKS 2 // over so many looks CPU % is measured

struct reading { // of one process, at one look
    pid_t pid;
    uint64_t cpu_ns;
};

struct look {
    uint64_t at_ns;
    VEC(struct reading) readings;
};

static struct err *add_process(struct look *look, const struct when *when, pid_t pid,
                               struct when_values *values)
{
    struct proc_usage usage;
    uint64_t fds;
    AUTO_ERR struct err *gone = proc_usage(pid, &usage);
    if (gone || usage.state == 'Z' || usage.state == 'X')
        return NULL;
    values->of[WHEN_RSS] += (double)usage.rss_bytes;
    values->of[WHEN_VMS] += (double)usage.vms_bytes;
    values->of[WHEN_THREADS] += (double)usage.threads;
    values->has[WHEN_RSS] = values->has[WHEN_VMS] = values->has[WHEN_THREADS] = true;
    if (when_needs(when, WHEN_FDS) && proc_open_files(pid, &fds)) {
        values->of[WHEN_FDS] += (double)fds;
        values->has[WHEN_FDS] = true;
    }
    return vec_push(&look->readings, (struct reading){pid, usage.cpu_ns})
               ? NULL
               : err_create(ERR_NO_MEMORY, "--when");
}

// Those that are in both looks: what was used before the first one, or after an end, is not known.
static void fill_cpu(const struct look *old, const struct look *now, struct when_values *values)
{
    uint64_t used_ns = 0;
    if (!old->at_ns || now->at_ns <= old->at_ns)
        return;
    vec_foreach (after, &now->readings)
        vec_foreach (before, &old->readings)
            if (before->pid == after->pid && after->cpu_ns > before->cpu_ns)
                used_ns += after->cpu_ns - before->cpu_ns;
    values->has[WHEN_CPU] = true;
    values->of[WHEN_CPU] = 100.0 * (double)used_ns / (double)(now->at_ns - old->at_ns);
}

static struct err *look(struct subjects *subjects, const struct when *when,
                        struct look *looks, size_t turn, struct when_values *ret)
{
    struct look *now = &looks[turn % (CPU_LOOKS + 1)];
    bool more = true;
    while (more && !interrupted)
        TRY(subjects_follow(subjects, &more));
    *ret = (struct when_values){0};
    vec_clear(&now->readings);
    now->at_ns = live_now_ns();
    vec_foreach (subject, &subjects->items)
        TRY(add_process(now, when, (*subject)->sampler->live->pid, ret));
    if (!now->readings.count && !subjects->bystanders.count)
        return err_create(ERR_GONE, "process %d has ended", subjects->session->source.pid);
    fill_cpu(&looks[(turn + 1) % (CPU_LOOKS + 1)], now, ret);
    return NULL;
}

static void tell(const struct options *options, const struct when *when, const char *text,
                 const struct when_values *values)
{
    AUTO_FREE char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return;
    fprintf(out, "waiting for %s: now ", text);
    when_say(out, when, values);
    fputs(" (Ctrl-C ends)", out);
    fclose(out);
    progress_line(options, line);
}

static struct err *wait_on(struct subjects *subjects, const struct when *when, const char *text,
                           struct look *looks)
{
    const struct options *options = subjects->session->options;
    uint64_t since_ns = 0;
    for (size_t turn = 0;; turn++) {
        struct when_values values;
        TRY(look(subjects, when, looks, turn, &values));
        uint64_t now_ns = live_now_ns(), next_ns = now_ns + LOOK_EVERY_NS;
        bool holds = when_holds(when, &values);
        since_ns = !holds ? 0 : since_ns ? since_ns : now_ns;
        if (holds && now_ns - since_ns >= when->for_ns)
            return NULL;
        if (interim_wanted)
            complain("no snapshot has been taken yet: %s is not true so far", text);
        interim_wanted = 0;
        tell(options, when, text, &values);
        while (!interrupted && now_ns < next_ns) {
            uint64_t left_ns = next_ns - now_ns < NAP_NS ? next_ns - now_ns : NAP_NS;
            nanosleep(&(struct timespec){0, (long)left_ns}, NULL);
            now_ns = live_now_ns();
        }
        if (interrupted)
            return err_create(ERR_TIMEOUT, "interrupted");
    }
}

struct err *moment_wait(struct subjects *subjects, const struct when *when, const char *text)
{
    struct look looks[CPU_LOOKS + 1] = {0};
    struct err *err = wait_on(subjects, when, text, looks);
    progress_end(subjects->session->options);
    for (size_t i = 0; i < ARRAY_SIZE(looks); i++)
        vec_deinit(&looks[i].readings);
    return err_wrap(err, "%s was never true", text);
}
