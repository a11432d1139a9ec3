// SPDX-License-Identifier: GPL-3.0-or-later
// pycore ps: the Python processes of this machine.
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/pythons.h"
#include "target/live.h"
#include "util/guard.h"

#define CPU_WINDOW_NS 300000000u

struct reading { // of a listed process: where its CPU % begins
    uint64_t start_ticks, cpu_ns, at_ns;
};

struct listing {
    struct process_list list;
    VEC(struct reading) readings; // beside list.items
    struct pythons *pythons;
    char host[256];
};

// Names may come from a server: each is asked for once.
static char *user_name(const struct process_list *list, uid_t uid)
{
    vec_foreach (process, &list->items)
        if (process->has_uid && process->uid == uid)
            return process->user ? strdup(process->user) : NULL;
    const struct passwd *entry = getpwuid(uid);
    return entry ? strdup(entry->pw_name) : NULL;
}

static struct err *add_process(struct listing *listing, pid_t pid, uint64_t now_ns)
{
    struct process_list *list = &listing->list;
    struct proc_usage usage;
    AUTO_ERR struct err *gone = proc_usage(pid, &usage);
    if (gone || usage.kernel_thread || usage.state == 'Z' || pid == getpid())
        return NULL;
    enum python_guess guess = pythons_guess(listing->pythons, pid, usage.comm);
    list->hidden += guess == PYTHON_HIDDEN;
    if (guess == PYTHON_NONE || guess == PYTHON_HIDDEN)
        return NULL;
    uid_t uids[4];
    gid_t gids[4];
    struct listed_process process = {.pid = pid,
                                     .parent = usage.parent,
                                     .threads = usage.threads,
                                     .rss_bytes = usage.rss_bytes,
                                     .start_time_ns = proc_start_time_ns(usage.start_ticks)};
    memcpy(process.comm, usage.comm, sizeof(process.comm));
    if ((process.has_uid = proc_uids(pid, uids, gids))) {
        process.uid = uids[0];
        process.user = user_name(list, uids[0]);
    }
    if (process.start_time_ns && (int64_t)process.start_time_ns < list->taken_at_ns)
        process.age_ns = (uint64_t)list->taken_at_ns - process.start_time_ns;
    if (!vec_push(&list->items, process) ||
        !vec_push(&listing->readings, (struct reading){usage.start_ticks, usage.cpu_ns, now_ns}))
        return err_create(ERR_NO_MEMORY, "list of processes");
    struct listed_process *last = &list->items.items[list->items.count - 1];
    if (!pythons_look(listing->pythons, pid, guess, last)) {
        listed_process_deinit(last);
        list->items.count--;
        listing->readings.count--;
    }
    return NULL;
}

// False: it has ended meanwhile.
static bool second_reading(struct listed_process *process, const struct reading *reading)
{
    struct proc_usage usage;
    AUTO_ERR struct err *gone = proc_usage(process->pid, &usage);
    uint64_t now_ns = live_now_ns();
    if (gone || usage.start_ticks != reading->start_ticks || usage.state == 'Z')
        return false;
    process->has_cpu = usage.cpu_ns >= reading->cpu_ns && now_ns > reading->at_ns;
    if (process->has_cpu)
        process->cpu_share =
            (double)(usage.cpu_ns - reading->cpu_ns) / (double)(now_ns - reading->at_ns);
    return true;
}

static void read_again(struct listing *listing)
{
    size_t kept = 0;
    for (size_t i = 0; i < listing->list.items.count; i++) {
        struct listed_process *process = &listing->list.items.items[i];
        if (second_reading(process, &listing->readings.items[i]))
            listing->list.items.items[kept++] = *process;
        else
            listed_process_deinit(process);
    }
    listing->list.items.count = kept;
}

static int by_cpu(const void *left, const void *right)
{
    const struct listed_process *a = left, *b = right;
    if (a->cpu_share != b->cpu_share)
        return a->cpu_share > b->cpu_share ? -1 : 1;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

static struct err *gather(struct listing *listing)
{
    struct process_list *list = &listing->list;
    struct proc_tids pids = {0};
    uint64_t begin_ns = live_now_ns();
    struct err *err = proc_check();
    if (!err)
        err = proc_processes(&pids);
    for (size_t i = 0; !err && i < pids.count; i++)
        err = add_process(listing, pids.items[i], live_now_ns());
    vec_deinit(&pids);
    TRY(err);
    // The search took part of that time, and the first ones' readings are the oldest.
    uint64_t now_ns = live_now_ns();
    if (list->items.count && now_ns < begin_ns + CPU_WINDOW_NS)
        nanosleep(&(struct timespec){0, (long)(begin_ns + CPU_WINDOW_NS - now_ns)}, NULL);
    read_again(listing);
    if (list->items.count)
        qsort(list->items.items, list->items.count, sizeof(*list->items.items), by_cpu);
    return NULL;
}

// A process that is not supported is told as that, and lacks nothing. Of one that does not even say
// what it is, nobody knows whether it belongs into the list.
static void note_gaps(struct listing *listing)
{
    struct process_list *list = &listing->list;
    const char *cure = geteuid() == 0
                           ? "the kernel keeps them closed even to this root (a container?)"
                           : "\"sudo pycore ps\" tells";
    char *text = NULL;
    vec_foreach (process, &list->items)
        if (process->why_not_in_short && strcmp(process->why_not_in_short, "not supported") != 0)
            list->complete = false;
    if (list->hidden &&
        asprintf(&text, "whether %zu more process%s run%s Python is not known: %s", list->hidden,
                 list->hidden == 1 ? "" : "es", list->hidden == 1 ? "s" : "", cure) < 0)
        text = NULL;
    if (text && !vec_push(&list->notes, text))
        free(text);
}

static void begin(struct listing *listing)
{
    struct timespec now;
    struct process_list *list = &listing->list;
    clock_gettime(CLOCK_REALTIME, &now);
    list->taken_at_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    list->tool_version = PACKAGE_VERSION;
    list->complete = true;
    if (gethostname(listing->host, sizeof(listing->host) - 1) == 0)
        list->host = listing->host;
}

static int show(const struct listing *listing, const struct options *options)
{
    bool json = options->format && strcmp(options->format->name, "json") == 0;
    struct err *err = json ? process_list_json(stdout, &listing->list)
                           : process_list_text(stdout, &listing->list, &options->report);
    if (!err && fflush(stdout) != 0)
        err = err_os(errno, "standard output");
    if (err)
        return fail(err);
    return listing->list.complete ? EXIT_COMPLETE : EXIT_PARTIAL;
}

int run_ps(const struct options *options, int argc, char **argv)
{
    (void)argc, (void)argv;
    if (options->file_count) {
        complain("ps takes no arguments; \"pycore help ps\" shows the options");
        return EXIT_USAGE;
    }
    struct listing listing = {.pythons = pythons_create()};
    begin(&listing);
    struct err *err = listing.pythons ? gather(&listing) : err_create(ERR_NO_MEMORY, "ps");
    if (!err)
        note_gaps(&listing);
    int code = err ? fail(err) : show(&listing, options);
    process_list_deinit(&listing.list);
    vec_deinit(&listing.readings);
    pythons_destroy(listing.pythons);
    return code;
}
