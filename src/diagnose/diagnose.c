// SPDX-License-Identifier: GPL-3.0-or-later
// See diagnose/diagnose.h: the graph, then each rule, then what it all comes to.
#include "diagnose/diagnose.h"

#include <string.h>

#include "diagnose/verdict.h"
#include "util/guard.h"

const struct diag_rule diag_rules[] = {
#define RULE(id, word, milder, function, help) {id, word, milder, help},
#include "diagnose/rules.def"
#undef RULE
    {NULL, NULL, NULL, NULL},
};

static diag_rule_fn *const functions[] = {
#define RULE(id, word, milder, function, help) function,
#include "diagnose/rules.def"
#undef RULE
};

static const char *const severities[] = {
    [DIAG_LOW] = "low", [DIAG_MEDIUM] = "medium", [DIAG_HIGH] = "high"};

const char *diag_severity_name(enum diag_severity severity)
{
    return severities[severity];
}

bool diag_severity_by_name(const char *name, enum diag_severity *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(severities); i++)
        if (strcmp(name, severities[i]) == 0) {
            *ret = (enum diag_severity)i;
            return true;
        }
    return false;
}

bool diagnosis_has(const struct diagnosis *diagnosis, enum diag_severity severity)
{
    return diagnosis->findings.count && diagnosis->findings.items[0].severity >= severity;
}

static size_t rank_of(const struct diag_finding *finding)
{
    size_t rank = 0;
    while (diag_rules[rank].id && diag_rules[rank].id != finding->id)
        rank++;
    return rank;
}

static int by_severity(const void *left, const void *right)
{
    const struct diag_finding *a = left, *b = right;
    if (a->severity != b->severity)
        return a->severity > b->severity ? -1 : 1;
    if (rank_of(a) != rank_of(b))
        return rank_of(a) < rank_of(b) ? -1 : 1;
    if (a->impact != b->impact)
        return a->impact > b->impact ? -1 : 1;
    return strcmp(a->title ? a->title : "", b->title ? b->title : "");
}

static bool index_profile(struct diag *diag)
{
    size_t count = diag->profile ? diag->profile->thread_count : 0;
    if (!(diag->profiled = calloc(count + 1, sizeof(*diag->profiled))))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct prof_thread *thread = &diag->profile->threads[i];
        diag->profiled[i] = (struct diag_number){thread->pid, thread->tid, i};
    }
    numbers_sort(diag->profiled, count);
    return true;
}

const struct prof_thread *diag_profiled(const struct diag *diag, pid_t pid, pid_t tid)
{
    size_t count = diag->profile ? diag->profile->thread_count : 0;
    uint32_t found = numbers_find(diag->profiled, count, pid, tid);
    return found == DIAG_NONE ? NULL : &diag->profile->threads[found];
}

static struct err *run(struct diag *diag)
{
    if (!index_profile(diag) || !graph_build(diag))
        return err_create(ERR_NO_MEMORY, "out of memory while looking for who waits for whom");
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        diag->now = &diag_rules[i];
        functions[i](diag);
    }
    struct diag_findings *findings = &diag->out->findings;
    if (findings->count)
        qsort(findings->items, findings->count, sizeof(*findings->items), by_severity);
    if (!diag->failed)
        verdict_say(diag);
    return diag->failed ? err_create(ERR_NO_MEMORY, "out of memory while looking for what is wrong")
                        : NULL;
}

struct err *diagnose(const struct diag_input *input, struct diagnosis **ret)
{
    struct diagnosis *out = calloc(1, sizeof(*out));
    if (!out)
        return err_create(ERR_NO_MEMORY, "out of memory");
    const struct prof_report *profile = input->profile;
    struct diag diag = {
        .strings = input->strings,
        .source = input->source,
        .last = input->last,
        .threads = input->last->threads.items,
        .count = input->last->threads.count,
        .profile = profile && profile->snapshots >= DIAG_SNAPSHOTS_MIN ? profile : NULL,
        .out = out,
    };
    struct err *err = run(&diag);
    graph_deinit(&diag);
    free(diag.profiled);
    if (err)
        diagnosis_destroy(out);
    else
        *ret = out;
    return err;
}

void diagnosis_destroy(struct diagnosis *diagnosis)
{
    if (!diagnosis)
        return;
    vec_foreach (finding, &diagnosis->findings) {
        vec_foreach (text, &finding->evidence)
            free(*text);
        vec_deinit(&finding->evidence);
        free(finding->title);
        free(finding->advice);
    }
    vec_foreach (chain, &diagnosis->chains)
        vec_deinit(&chain->threads);
    vec_deinit(&diagnosis->findings);
    vec_deinit(&diagnosis->chains);
    free(diagnosis->verdict);
    free(diagnosis->bucket);
    free(diagnosis->fingerprint);
    free(diagnosis);
}
