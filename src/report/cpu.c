// SPDX-License-Identifier: GPL-3.0-or-later
// CPU accounting: what the tables of a hotspot report hold of the CPU time, and what they cannot.
#include "report/page.h"
#include "util/guard.h"

static void add_cpu_row(struct page *page, uint64_t ns, uint64_t of_ns, const char *what)
{
    GUARD(plain_deinit) struct plain row = {0};
    plain_duration(&row, ns);
    plain_str(&row, DOC_NEXT);
    if (of_ns) {
        plain_percent(&row, weigh_ratio(ns, of_ns));
        plain_str(&row, " %");
    }
    plain_add(&row, DOC_NEXT "%s", what);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

void page_cpu(struct page *page)
{
    static const struct doc_column columns[] = {
        {.title = "TIME", .right = true},
        {.title = "SHARE", .right = true},
        {.title = "WHERE"},
    };
    const struct prof_report *profile = page->profile;
    uint64_t seen = profile->cpu_on_stacks_ns + profile->cpu_between_ns;
    if (seen == 0 && !profile->has_process_cpu)
        return;
    uint64_t all = profile->has_process_cpu ? profile->process_cpu_ns : seen;
    doc_section(page->doc, "CPU time", NULL, 0, 0);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    add_cpu_row(page, profile->cpu_on_stacks_ns, all,
                "by threads seen working: in the tables above");
    add_cpu_row(page, profile->cpu_between_ns, all,
                "by threads seen waiting: used between the snapshots, in no table");
    if (profile->cpu_unseen_ns)
        add_cpu_row(page, profile->cpu_unseen_ns, all, "by threads that came and went unseen");
    add_cpu_row(page, all, 0,
                !profile->has_process_cpu ? "by the threads in all"
                : page->pythons > 1       ? "by all processes"
                                          : "by the process in all");
}
