// SPDX-License-Identifier: GPL-3.0-or-later
// What the process had around it: packages on the stacks, limits, its cgroup, the names of its
// environment variables.
#include <inttypes.h>

#include "report/page.h"
#include "util/guard.h"

#define PACKAGES_SHOWN 40
#define VARIABLES_SHOWN 60
#define NAME_COLUMNS 60

static void say(struct page *page, const char *label, struct plain *line)
{
    if (line->size)
        doc_bullet(page->doc, label, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void say_python(struct page *page, struct plain *line)
{
    const struct snap_process *process = snap_process_first(page->input->source);
    if (process->python_version) {
        plain_str(line, PLAIN_CODE);
        plain_id(line, page->names.strings, process->python_version, NAME_COLUMNS,
                 PLAIN_KEEP_START);
        plain_str(line, PLAIN_CODE_END);
    }
    if (process->python_version && process->python_build) {
        plain_str(line, ", " PLAIN_CODE);
        plain_id(line, page->names.strings, process->python_build, NAME_COLUMNS, PLAIN_KEEP_START);
        plain_str(line, PLAIN_CODE_END " build");
    }
    say(page, "Python", line);
}

static size_t shown_of(const struct page *page, size_t usual, size_t there)
{
    return page->options->full || there <= usual + 1 ? there : usual;
}

static void say_more(struct plain *line, size_t more)
{
    if (!more)
        return;
    plain_str(line, " and ");
    plain_count(line, more);
    plain_str(line, " more");
}

static void say_packages(struct page *page, struct plain *line, const struct snap_packages *from)
{
    size_t shown = shown_of(page, PACKAGES_SHOWN, from->count);
    for (size_t i = 0; i < shown; i++) {
        plain_str(line, i ? ", " PLAIN_CODE : PLAIN_CODE);
        plain_id(line, page->names.strings, from->items[i].name, NAME_COLUMNS, PLAIN_KEEP_START);
        if (from->items[i].version) {
            plain_str(line, " ");
            plain_id(line, page->names.strings, from->items[i].version, NAME_COLUMNS,
                     PLAIN_KEEP_START);
        }
        plain_str(line, PLAIN_CODE_END);
    }
    say_more(line, from->count - shown);
    say(page, "Packages", line);
}

static void say_variables(struct page *page, struct plain *line, const struct snap_ids *from)
{
    size_t shown = shown_of(page, VARIABLES_SHOWN, from->count);
    for (size_t i = 0; i < shown; i++) {
        plain_str(line, i ? ", " PLAIN_CODE : PLAIN_CODE);
        plain_id(line, page->names.strings, from->items[i], NAME_COLUMNS, PLAIN_KEEP_START);
        plain_str(line, PLAIN_CODE_END);
    }
    say_more(line, from->count - shown);
    if (shown)
        plain_str(line, " (environment variables; values are not read)");
    say(page, "Variables", line);
}

static void part(struct plain *line)
{
    plain_str(line, line->size ? ", " : "");
}

static void say_memory(struct plain *line, int64_t bytes)
{
    double gib = (double)bytes / (1u << 30);
    if (gib >= 1)
        plain_add(line, "%.1f GiB", gib);
    else
        plain_add(line, "%.0f MiB", (double)bytes / (1u << 20));
}

static void say_limits(struct page *page, struct plain *line, const struct snap_environment *of)
{
    if (of->fd_count > 0) {
        plain_count(line, (uint64_t)of->fd_count);
        if (of->fd_limit > 0) {
            plain_str(line, " of ");
            plain_count(line, (uint64_t)of->fd_limit);
        }
        plain_str(line, " file descriptors are open");
    }
    if (of->processors > 0) {
        part(line);
        plain_things(line, (uint64_t)of->processors, "processor");
        plain_str(line, " may be used");
    }
    say(page, "Limits", line);
    if (of->cgroup_processors > 0) {
        part(line);
        plain_add(line, "quota of %.2f processors", of->cgroup_processors);
    }
    if (of->cgroup_memory_bytes > 0) {
        part(line);
        say_memory(line, of->cgroup_memory_bytes);
        if (of->cgroup_memory_limit_bytes > 0) {
            plain_str(line, " of ");
            say_memory(line, of->cgroup_memory_limit_bytes);
        }
        plain_str(line, " of memory in use");
    }
    if (of->has_throttling && of->throttled_periods) {
        part(line);
        plain_str(line, "held up for ");
        plain_duration(line, of->throttled_ns);
        plain_str(line, " in ");
        plain_count(line, of->throttled_periods);
        plain_str(line, " of ");
        plain_things(line, of->periods, "period");
    }
    say(page, "Cgroup", line);
}

void page_environment(struct page *page)
{
    const struct snap_environment *of = &page->input->source->environment;
    GUARD(plain_deinit) struct plain line = {0};
    if (!of->packages.count && !of->variables.count && of->fd_count <= 0 && of->processors <= 0 &&
        of->cgroup_processors <= 0 && of->cgroup_memory_bytes <= 0)
        return;
    doc_section(page->doc, "Environment", NULL, 0, 0);
    say_python(page, &line);
    say_packages(page, &line, &of->packages);
    say_limits(page, &line, of);
    say_variables(page, &line, &of->variables);
}
