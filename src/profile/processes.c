// SPDX-License-Identifier: GPL-3.0-or-later
// Processes of the run: what their threads add up to, and how long each of them stood still.
#include "profile/profile_private.h"

static bool add_process(struct profile *profile, pid_t pid, uint32_t *ret_process)
{
    struct prof_process_entry entry = {.p = {.pid = pid}};
    if (!vec_push(&profile->processes, entry))
        return false;
    *ret_process = (uint32_t)profile->processes.count - 1;
    return true;
}

bool prof_process(struct profile *profile, pid_t pid, uint32_t *ret_process)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint32_t)pid);
    struct hash_probe probe = hash_probe(&profile->process_index, hash);
    while ((*ret_process = hash_probe_next(&probe)) != HASH_NONE)
        if (profile->processes.items[*ret_process].p.pid == pid)
            return true;
    if (profile->process_index.count < PROF_PROCESSES_MAX) {
        if (!hash_index_reserve(&profile->process_index, 1) ||
            !add_process(profile, pid, ret_process))
            return false;
        hash_index_add(&profile->process_index, hash, *ret_process);
        return true;
    }
    if (profile->spare_process == HASH_NONE && !add_process(profile, 0, &profile->spare_process))
        return false;
    *ret_process = profile->spare_process;
    return true;
}

static void see(struct profile *profile, struct prof_process_entry *entry)
{
    entry->p.snapshots += entry->seen != profile->sum.snapshots;
    entry->seen = profile->sum.snapshots;
}

static bool count_part(struct profile *profile, const struct snap_part *part)
{
    uint32_t id;
    if (!prof_process(profile, part->pid, &id))
        return false;
    struct prof_process_entry *entry = &profile->processes.items[id];
    see(profile, entry);
    entry->p.pause_total_ns += part->pause_ns;
    if (part->pause_ns > entry->p.pause_max_ns)
        entry->p.pause_max_ns = part->pause_ns;
    if (part->has_process_cpu) {
        entry->has_process_cpu = true;
        entry->p.cpu_ns += part->process_cpu_ns;
    }
    return true;
}

bool prof_count_parts(struct profile *profile, const struct snapshot *snapshot)
{
    if (!snapshot->parts.count && snapshot->threads.count) {
        struct snap_part only = {.pid = snapshot->threads.items[0].pid,
                                 .pause_ns = snapshot->pause_ns,
                                 .has_process_cpu = snapshot->has_process_cpu,
                                 .process_cpu_ns = snapshot->process_cpu_ns};
        return count_part(profile, &only);
    }
    vec_foreach (part, &snapshot->parts)
        if (!count_part(profile, part))
            return false;
    return true;
}

void prof_count_process(struct profile *profile, const struct prof_sample *sample)
{
    struct prof_process_entry *entry = &profile->processes.items[sample->process_id];
    see(profile, entry);
    entry->p.samples++;
    entry->p.samples_working += sample->works;
    entry->p.states[sample->thread->state]++;
    if (sample->thread->has_cpu) {
        entry->p.has_cpu = true;
        entry->thread_cpu_ns += sample->thread->cpu_ns;
    }
}
