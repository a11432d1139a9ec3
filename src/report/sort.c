// SPDX-License-Identifier: GPL-3.0-or-later
// See report/sort.h.
#include "report/sort.h"

#include <stdlib.h>
#include <string.h>

struct sorting {
    const struct report_input *input;
    const struct weigh *weigh;
    enum report_sort kind;
};

uint64_t sort_value(const struct weigh *weigh, enum report_sort kind,
                    const struct prof_function *function)
{
    switch (kind) {
    case REPORT_SORT_DEFAULT:
    case REPORT_SORT_OWN:
        return weigh_own(weigh, function);
    case REPORT_SORT_SELF:
        return weigh_self(weigh, function);
    case REPORT_SORT_TOTAL:
        return weigh_total(weigh, function);
    case REPORT_SORT_CPU:
        return function->own_cpu_ns;
    case REPORT_SORT_WAITING:
        return function->own - function->own_working;
    case REPORT_SORT_CALLS:
        return function->activations;
    case REPORT_SORT_NAME:
        break;
    }
    return 0;
}

const char *sort_title(enum report_sort kind)
{
    static const char *const titles[] = {
        [REPORT_SORT_DEFAULT] = "Functions by their own work",
        [REPORT_SORT_OWN] = "Functions by their own work",
        [REPORT_SORT_SELF] = "Functions by how often they were innermost",
        [REPORT_SORT_TOTAL] = "Functions with all they call",
        [REPORT_SORT_CPU] = "Functions by their own CPU time",
        [REPORT_SORT_WAITING] = "Functions by how often threads waited in them",
        [REPORT_SORT_CALLS] = "Functions by the calls of them that were seen",
        [REPORT_SORT_NAME] = "Functions by name",
    };
    return titles[kind];
}

static int compare_names(const struct strtab *strings, const struct prof_function *a,
                         const struct prof_function *b)
{
    uint32_t left = a->qualname ? a->qualname : a->function;
    uint32_t right = b->qualname ? b->qualname : b->function;
    const char *left_text = strtab_get(strings, left), *right_text = strtab_get(strings, right);
    return strcmp(left_text ? left_text : "", right_text ? right_text : "");
}

static int compare(const void *left, const void *right, void *arg)
{
    const struct sorting *sorting = arg;
    const struct prof_function *functions = sorting->input->profile->functions;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    const enum report_sort kinds[] = {sorting->kind, REPORT_SORT_OWN, REPORT_SORT_TOTAL};
    int order = sorting->kind == REPORT_SORT_NAME
                    ? compare_names(sorting->input->strings, &functions[a], &functions[b])
                    : 0;
    for (size_t i = 0; i < 3 && !order; i++) {
        uint64_t x = sort_value(sorting->weigh, kinds[i], &functions[a]);
        uint64_t y = sort_value(sorting->weigh, kinds[i], &functions[b]);
        order = (x < y) - (x > y);
    }
    return order ? order : (a > b) - (a < b);
}

void sort_functions(const struct report_input *input, const struct weigh *weigh,
                    enum report_sort kind, uint32_t *order)
{
    struct sorting sorting = {input, weigh, kind};
    size_t count = input->profile->function_count;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, count, sizeof(*order), compare, &sorting);
}
