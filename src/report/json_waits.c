// SPDX-License-Identifier: GPL-3.0-or-later
// The last snapshot's waits and locks put together, for those who do not want to do it themselves. "waits":
// what is waited for, with the "threads" (ids) that wait alike. "locks": each one that is held or waited
// for, its "holder" (a thread id), how that is known, and the threads that are "waiting" for it. All of it
// is made of "wait" and "held" of the threads, and not read back.
#include "report/json.h"
#include "report/waits.h"
#include "util/guard.h"

static void write_wait(struct json_report *report, const struct waits *waits,
                       const struct wait_group *group)
{
    struct json_writer *json = &report->json;
    const struct wait_one *one = &waits->ones.items[group->first];
    json_line(json);
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", one->thread->pid != 0, one->thread->pid);
    json_text(json, "kind", snap_wait_name(one->wait->kind));
    json_name(report, "what", one->wait->what);
    json_i64_if(report, "owner", one->wait->owner != 0, one->wait->owner);
    json_text(json, "owner_known", snap_certainty_name(one->wait->owner_known));
    json_u64_if(report, "since_ns", group->since_ns != 0, group->since_ns);
    json_begin_array(json, "threads");
    for (size_t i = 0; i < group->count; i++)
        json_i64(json, NULL, one[i].thread->tid);
    json_end_array(json, JSON_LINE);
    json_end_object(json, JSON_LINE);
}

// Of uses[0..count), all of one lock: where several say who holds it, the best known one.
static void write_lock(struct json_report *report, const struct lock_use *uses, size_t count)
{
    struct json_writer *json = &report->json;
    const struct lock_use *best = uses;
    uint32_t what = 0, type = 0;
    for (size_t i = 0; i < count; i++) {
        best = uses[i].holder && uses[i].known > (best->holder ? best->known : 0) ? &uses[i] : best;
        what = what ? what : uses[i].what;
        type = type ? type : uses[i].type;
    }
    json_line(json);
    json_begin_object(json, NULL);
    json_i64_if(report, "pid", uses->pid != 0, uses->pid);
    json_name(report, "what", what);
    json_name(report, "type", type);
    json_hex(json, "object", uses->object);
    json_i64_if(report, "holder", best->holder != 0, best->holder);
    json_text(json, "holder_known",
              snap_certainty_name(best->holder ? best->known : SNAP_NOT_KNOWN));
    json_begin_array(json, "waiting");
    for (size_t i = 0; i < count; i++)
        if (uses[i].waiter)
            json_i64(json, NULL, uses[i].waiter);
    json_end_array(json, JSON_LINE);
    json_end_object(json, JSON_LINE);
}

static void uses_deinit(struct lock_uses *uses)
{
    vec_deinit(uses);
}

void json_waits(struct json_report *report)
{
    struct json_writer *json = &report->json;
    const struct snapshot *last = report_last(report->input);
    GUARD(waits_deinit) struct waits waits = {0};
    GUARD(uses_deinit) struct lock_uses uses = {0};
    if (!waits_find(last, &waits) || !lock_uses_find(last, &uses))
        return;
    if (waits.groups.count) {
        json_line(json);
        json_begin_array(json, "waits");
        vec_foreach (group, &waits.groups)
            write_wait(report, &waits, group);
        json_end_array(json, JSON_LINES);
    }
    if (!uses.count)
        return;
    json_line(json);
    json_begin_array(json, "locks");
    for (size_t i = 0, next; i < uses.count; i = next) {
        for (next = i + 1; next < uses.count && uses.items[next].pid == uses.items[i].pid &&
                           uses.items[next].object == uses.items[i].object;)
            next++;
        write_lock(report, &uses.items[i], next - i);
    }
    json_end_array(json, JSON_LINES);
}
