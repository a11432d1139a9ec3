// SPDX-License-Identifier: GPL-3.0-or-later
// The table of pycore ps: see report/listing.h.
#include "report/listing.h"

#include <string.h>

#include "report/doc.h"
#include "report/json_writer.h"
#include "report/page.h"
#include "report/runs.h"
#include "util/guard.h"

#define HOT_SHARE 0.9
#define PIDS_NAMED 5

static const struct doc_column columns[] = {
    {.title = "PID", .right = true},
    {.title = "USER", .code = true, .keep = PLAIN_KEEP_START, .least = 4},
    {.title = "PYTHON"},
    {.title = "THREADS", .right = true, .drop = 1},
    {.title = "CPU %", .right = true},
    {.title = "RSS", .right = true},
    {.title = "AGE", .right = true},
    {.title = "RUNS", .code = true, .keep = PLAIN_KEEP_START, .least = 18},
    {.title = "CANNOT BE OPENED"},
};

void listed_process_deinit(struct listed_process *process)
{
    for (char **arg = process->argv; arg && *arg; arg++)
        free(*arg);
    free(process->argv);
    free(process->user);
    free(process->exe);
    free(process->why_not);
    *process = (struct listed_process){0};
}

void process_list_deinit(struct process_list *list)
{
    vec_foreach (process, &list->items)
        listed_process_deinit(process);
    vec_foreach (note, &list->notes)
        free(*note);
    vec_deinit(&list->items);
    vec_deinit(&list->notes);
}

// 640K, 83M, 1.2G
static void add_size(struct plain *plain, uint64_t bytes)
{
    static const char units[] = "KMGT";
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 999.5 && units[unit + 1]) {
        value /= 1024;
        unit++;
    }
    plain_add(plain, value < 9.95 && unit ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

// 12s, 4m, 3h20m, 12d
static void add_age(struct plain *plain, uint64_t ns)
{
    unsigned long long seconds = ns / 1000000000u, minutes = seconds / 60, hours = minutes / 60;
    if (seconds < 100)
        plain_add(plain, "%llus", seconds);
    else if (minutes < 100)
        plain_add(plain, "%llum", minutes);
    else if (hours < 24)
        plain_add(plain, "%lluh%02llum", hours, minutes % 60);
    else
        plain_add(plain, "%llud", hours / 24);
}

// As its program is named: 3.13.1t, 3.14.2d.
static const char *build_suffix(const char *build)
{
    if (!build || strcmp(build, "release") == 0)
        return "";
    return strcmp(build, "debug") == 0 ? "d" : strcmp(build, "free-threaded") == 0 ? "t" : "td";
}

static void add_process(struct doc *doc, const struct listed_process *process)
{
    GUARD(plain_deinit) struct plain row = {0};
    plain_add(&row, "%d" DOC_NEXT, (int)process->pid);
    if (process->user)
        plain_safe(&row, process->user, strlen(process->user));
    else if (process->has_uid)
        plain_add(&row, "%u", process->uid);
    plain_add(&row, DOC_NEXT "%s%s" DOC_NEXT, process->version[0] ? process->version : "?",
              build_suffix(process->build));
    plain_count(&row, process->threads);
    plain_str(&row, DOC_NEXT);
    if (process->has_cpu)
        plain_percent(&row, process->cpu_share);
    plain_str(&row, DOC_NEXT);
    add_size(&row, process->rss_bytes);
    plain_str(&row, DOC_NEXT);
    add_age(&row, process->age_ns);
    plain_str(&row, DOC_NEXT);
    runs_say(&row, process->argv, process->exe, process->comm);
    plain_str(&row, DOC_NEXT);
    plain_str(&row, process->why_not_in_short ? process->why_not_in_short : "");
    enum doc_style style = process->why_not_in_short                             ? DOC_FAINT
                           : process->has_cpu && process->cpu_share >= HOT_SHARE ? DOC_HOT
                                                                                 : DOC_NORMAL;
    doc_row(doc, style, 1, plain_text(&row));
    doc->failed |= row.failed;
}

// "other user (4711, 4712 and 3 more): process 4711 belongs to ..."; `from` is the first with it.
static void explain(struct doc *doc, const struct process_list *list,
                    const struct listed_process *from)
{
    GUARD(plain_deinit) struct plain line = {0}, label = {0};
    size_t named = 0, more = 0;
    vec_foreach (process, &list->items) {
        if (!process->why_not_in_short ||
            strcmp(process->why_not_in_short, from->why_not_in_short) != 0)
            continue;
        if (process < from)
            return; // told already
        if (named == PIDS_NAMED) {
            more++;
            continue;
        }
        plain_add(&line, "%s%d", named++ ? ", " : "", (int)process->pid);
    }
    if (more) {
        plain_str(&line, " and ");
        plain_count(&line, more);
        plain_str(&line, " more");
    }
    plain_str(&line, ": ");
    plain_safe(&line, from->why_not, strlen(from->why_not));
    plain_str(&label, from->why_not_in_short);
    doc_bullet(doc, plain_text(&label), plain_text(&line));
    doc->failed |= line.failed || label.failed;
}

static void build(struct doc *doc, const struct process_list *list)
{
    GUARD(plain_deinit) struct plain title = {0};
    size_t closed = 0;
    if (list->items.count == 0)
        plain_str(&title, "No Python process");
    else
        plain_things(&title, list->items.count, "Python process");
    if (list->host) {
        plain_str(&title, " on ");
        plain_safe(&title, list->host, strlen(list->host));
    }
    doc_title(doc, plain_text(&title));
    if (list->items.count) {
        doc_section(doc, NULL, NULL, 0, 0);
        doc_table(doc, columns, ARRAY_SIZE(columns));
    }
    vec_foreach (process, &list->items) {
        add_process(doc, process);
        closed += process->why_not_in_short != NULL;
    }
    if (closed)
        doc_section(doc, "Why they cannot be opened", NULL, 0, 0);
    vec_foreach (process, &list->items)
        if (process->why_not_in_short)
            explain(doc, list, process);
    if (list->notes.count)
        doc_section(doc, "Notes", NULL, 0, 0);
    vec_foreach (note, &list->notes)
        doc_bullet(doc, "", *note);
    doc->failed |= title.failed;
}

struct err *process_list_text(FILE *out, const struct process_list *list,
                              const struct report_options *options)
{
    GUARD(doc_deinit) struct doc doc = {0};
    struct report_options all = *options;
    all.full = true; // a list is as long as it is
    build(&doc, list);
    return doc_as_text(out, &doc, &all);
}
