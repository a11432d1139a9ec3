// SPDX-License-Identifier: GPL-3.0-or-later
// The processes of a report: their sums, how many threads they had, and their hottest functions.
#include "profile/result.h"

// What the threads of a process were seen in, added up.
struct place {
    uint32_t process, function; // an entry of the profile; an index of the report
    uint64_t own, own_working;
};

static int by_process_and_function(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->process != b->process)
        return a->process < b->process ? -1 : 1;
    return (a->function > b->function) - (a->function < b->function);
}

static int by_cpu(const void *left, const void *right)
{
    const struct prof_process *a = left, *b = right;
    if (a->cpu_ns != b->cpu_ns)
        return a->cpu_ns > b->cpu_ns ? -1 : 1;
    if (a->samples != b->samples)
        return a->samples > b->samples ? -1 : 1;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

static size_t merge_places(struct place *places, size_t count)
{
    size_t kept = 0;
    qsort(places, count, sizeof(*places), by_process_and_function);
    for (size_t i = 0; i < count; i++) {
        if (kept && by_process_and_function(&places[kept - 1], &places[i]) == 0) {
            places[kept - 1].own += places[i].own;
            places[kept - 1].own_working += places[i].own_working;
        } else {
            places[kept++] = places[i];
        }
    }
    return kept;
}

// Of functions that were seen equally often the hotter one of the report.
static bool find_hottest(struct prof_result *result)
{
    struct profile *profile = result->profile;
    size_t count = 0;
    AUTO_FREE struct place *places = prof_array(profile->pairs.count, sizeof(*places));
    AUTO_FREE struct place *best = prof_array(profile->processes.count, sizeof(*best));
    if (!places || !best)
        return false;
    vec_foreach (pair, &profile->pairs) {
        struct place *place = &places[count];
        place->function = result->function_place[pair->function];
        place->own = pair->own;
        place->own_working = pair->own_working;
        if (!prof_process(profile, profile->threads.items[pair->thread].t.pid, &place->process))
            return false;
        count += pair->own > 0;
    }
    count = merge_places(places, count);
    for (size_t i = 0; i < count; i++) {
        const struct place *place = &places[i];
        struct prof_process *process = &result->report->processes[place->process];
        struct place *most = &best[place->process];
        if (place->own_working > most->own_working) {
            most->own_working = place->own_working;
            process->hottest = place->function;
        }
        if (place->own > most->own) {
            most->own = place->own;
            process->top_frame = place->function;
        }
    }
    return true;
}

bool prof_copy_processes(struct prof_result *result)
{
    struct profile *profile = result->profile;
    struct prof_report *report = result->report;
    if (!(report->processes = prof_array(profile->processes.count, sizeof(*report->processes))))
        return false;
    report->process_count = profile->processes.count;
    for (size_t i = 0; i < report->process_count; i++) {
        const struct prof_process_entry *entry = &profile->processes.items[i];
        struct prof_process *process = &report->processes[i];
        *process = entry->p;
        process->has_cpu |= entry->has_process_cpu;
        if (!entry->has_process_cpu)
            process->cpu_ns = entry->thread_cpu_ns;
        process->hottest = process->top_frame = UINT32_MAX;
    }
    for (size_t i = 0; i < report->thread_count; i++) {
        uint32_t id;
        if (!prof_process(profile, report->threads[i].pid, &id))
            return false;
        report->processes[id].threads++;
    }
    if (!find_hottest(result))
        return false;
    qsort(report->processes, report->process_count, sizeof(*report->processes), by_cpu);
    return true;
}
