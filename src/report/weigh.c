// SPDX-License-Identifier: GPL-3.0-or-later
// The three weights, each read from its own fields.
#include "report/weigh.h"

void weigh_init(struct weigh *weigh, const struct prof_report *profile, enum report_weight kind)
{
    *weigh = (struct weigh){.kind = kind};
    weigh->fell_back = kind == REPORT_WEIGHT_SAMPLES && profile->samples_working == 0;
    if (weigh->fell_back)
        weigh->kind = REPORT_WEIGHT_WALL;
    switch (weigh->kind) {
    case REPORT_WEIGHT_SAMPLES:
        weigh->base = profile->samples_working;
        weigh->base_words = "of the working time";
        weigh->samples_words = "of threads at work (running or runnable)";
        break;
    case REPORT_WEIGHT_WALL:
        weigh->base = profile->samples;
        weigh->base_words = "of all threads' time";
        weigh->samples_words = "of threads in all states";
        break;
    case REPORT_WEIGHT_CPU:
        weigh->base = profile->cpu_on_stacks_ns;
        weigh->base_words = "of the CPU time on stacks";
        weigh->samples_words = "of threads that used CPU time";
        break;
    }
    if (weigh->base == 0)
        weigh->base = 1;
}

void weigh_add_awaits(struct weigh *weigh, const struct prof_report *profile)
{
    uint64_t base = profile->samples + profile->await_samples;
    if (weigh->kind != REPORT_WEIGHT_WALL || !profile->await_samples)
        return;
    weigh->awaits = true;
    weigh->base = base;
    weigh->base_words = "of all threads' and waiting tasks' time";
    weigh->samples_words = "of threads in all states, and of tasks that wait";
}

uint64_t weigh_await(const struct weigh *weigh, const struct prof_await_site *site)
{
    return weigh->awaits ? site->samples : 0;
}

static uint64_t chosen(const struct weigh *weigh, uint64_t working, uint64_t all, uint64_t cpu_ns)
{
    return weigh->kind == REPORT_WEIGHT_SAMPLES ? working
           : weigh->kind == REPORT_WEIGHT_WALL  ? all
                                                : cpu_ns;
}

uint64_t weigh_self(const struct weigh *weigh, const struct prof_function *function)
{
    return chosen(weigh, function->self_working, function->self, function->self_cpu_ns);
}

uint64_t weigh_own(const struct weigh *weigh, const struct prof_function *function)
{
    return chosen(weigh, function->own_working, function->own, function->own_cpu_ns);
}

uint64_t weigh_total(const struct weigh *weigh, const struct prof_function *function)
{
    return chosen(weigh, function->total_working, function->total, function->total_cpu_ns);
}

uint64_t weigh_line(const struct weigh *weigh, const struct prof_line *line)
{
    return chosen(weigh, line->own_working, line->own, line->own_cpu_ns);
}

uint64_t weigh_line_total(const struct weigh *weigh, const struct prof_line *line)
{
    return chosen(weigh, line->total_working, line->total, line->total_cpu_ns);
}

uint64_t weigh_edge(const struct weigh *weigh, const struct prof_edge *edge)
{
    if (edge->through)
        return chosen(weigh, edge->through_working, edge->through, edge->through_cpu_ns);
    return chosen(weigh, edge->total_working, edge->total, edge->cpu_ns);
}

uint64_t weigh_stack(const struct weigh *weigh, const struct prof_stack *stack)
{
    return chosen(weigh, snap_state_works(stack->state) ? stack->samples : 0, stack->samples,
                  stack->cpu_ns);
}

uint64_t weigh_task(const struct weigh *weigh, const struct prof_task *task)
{
    return chosen(weigh, task->samples_working, task->samples, task->cpu_ns);
}

double weigh_share(const struct weigh *weigh, uint64_t part)
{
    return (double)part / (double)weigh->base;
}

double weigh_ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}
