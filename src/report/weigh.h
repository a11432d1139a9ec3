// SPDX-License-Identifier: GPL-3.0-or-later
// What percentages are of: --weight samples (of the working time), wall (of all time), or cpu.
// When no thread worked, samples fall back to wall: a report of nothing helps nobody.
#ifndef REPORT_WEIGH_H
#define REPORT_WEIGH_H

#include "report/report.h"

struct weigh {
    enum report_weight kind;
    uint64_t base;             // what 100 % is; never 0
    const char *base_words;    // "of the working time"
    const char *samples_words; // "of threads at work": whose samples have a weight
    bool fell_back;
    bool awaits; // tasks that wait count, too
};

void weigh_init(struct weigh *weigh, const struct prof_report *profile, enum report_weight kind);
// Where threads that wait have weight, tasks that wait have it from now on.
void weigh_add_awaits(struct weigh *weigh, const struct prof_report *profile);
uint64_t weigh_await(const struct weigh *weigh, const struct prof_await_site *site);
uint64_t weigh_self(const struct weigh *weigh, const struct prof_function *function);
uint64_t weigh_own(const struct weigh *weigh, const struct prof_function *function);
uint64_t weigh_total(const struct weigh *weigh, const struct prof_function *function);
// Own, too: native code called from that line counts for it.
uint64_t weigh_line(const struct weigh *weigh, const struct prof_line *line);
uint64_t weigh_line_total(const struct weigh *weigh, const struct prof_line *line);
// A share of weigh_total of its caller, and of its callee. Between functions that are not native,
// it does not matter what native code lies between them.
uint64_t weigh_edge(const struct weigh *weigh, const struct prof_edge *edge);
// What a stack's samples count; a stack is of one state.
uint64_t weigh_stack(const struct weigh *weigh, const struct prof_stack *stack);
uint64_t weigh_task(const struct weigh *weigh, const struct prof_task *task);
double weigh_share(const struct weigh *weigh, uint64_t part);
// a / b, and 0 when b is 0.
double weigh_ratio(uint64_t a, uint64_t b);

#endif
