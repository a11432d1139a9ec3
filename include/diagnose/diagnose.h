// SPDX-License-Identifier: GPL-3.0-or-later
// The verdict: rules turn finished values into findings with evidence. A rule never prints, never reads
// the target, and says nothing rather than guess: a few findings that are right beat many.
//
// To add a rule: src/diagnose/RULE.c with a diag_rule_fn, a line in src/diagnose/rules.def, and two
// fixtures: one that fires, one that must not. Rules go by structure (who waits for whom, what takes
// which share), never by a program's own names.
#ifndef DIAGNOSE_DIAGNOSE_H
#define DIAGNOSE_DIAGNOSE_H

#include "profile/profile.h"
#include "util/err.h"

enum diag_severity { DIAG_LOW, DIAG_MEDIUM, DIAG_HIGH };
const char *diag_severity_name(enum diag_severity severity); // "low", "medium", "high"

VEC_DEFINE(diag_texts, char *);

// Texts are sentences with code marks around the target's own words (DIAG_CODE, DIAG_CODE_END), clean
// (util/clean.h). They belong to the diagnosis.
#define DIAG_CODE "\x01"
#define DIAG_CODE_END "\x02"

struct diag_finding {
    const char *id; // "deadlock", "gil-convoy": as in rules.def
    enum diag_severity severity;
    enum snap_certainty certainty; // SNAP_OBSERVED or SNAP_INFERRED
    double impact;              // share of threads, of working time, of snapshots; negative: none
    char *title;                // one sentence: the first line that a person reads
    struct diag_texts evidence; // snapshots, threads, frames, lines
    char *advice;
    uint32_t bucket[4]; // names (strings of the run) that make up its fingerprint: own functions
};
VEC_DEFINE(diag_findings, struct diag_finding);

// Threads that wait for each other in a ring, or behind one: as jstack writes it.
struct diag_chain {
    bool cycle; // else the last one is the root blocker
    enum snap_certainty certainty;
    VEC(uint32_t) threads; // indexes in the snapshot's threads; each waits for the next one
    size_t behind;         // how many threads wait, directly or through others
};
VEC_DEFINE(diag_chains, struct diag_chain);

struct diagnosis {
    struct diag_findings findings; // most severe first, then by impact
    struct diag_chains chains;     // cycles first, then by how many wait
    char *verdict;                 // one sentence, always there: "HUNG - ...", "Healthy: ..."
    char *bucket,
        *fingerprint; // "hang/pool_lock/recvfrom", "8c1f03..."; the same for the same trouble
};

struct diag_input {
    const struct strtab *strings;
    const struct snap_source *source;
    const struct snapshot *last;       // the only, or the last snapshot, with its threads' details
    const struct prof_report *profile; // NULL: there is only `last`
};

struct err *diagnose(const struct diag_input *input, struct diagnosis **ret);
void diagnosis_destroy(struct diagnosis *diagnosis);

#endif
