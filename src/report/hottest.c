// SPDX-License-Identifier: GPL-3.0-or-later
// The hottest functions one by one: who calls them, whom they call, and which of their lines.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define USUAL_FUNCTIONS 4
#define LEAST_SHARE 0.03 // colder functions are not worth a page
#define NEIGHBOURS 4
#define LINES 5

static void add_line(struct page *page, struct plain *line)
{
    doc_line(page->doc, DOC_NORMAL, 0, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void start_line(struct plain *line, bool first, const char *label, double share)
{
    GUARD(plain_deinit) struct plain percent = {0};
    plain_percent(&percent, share);
    plain_add(line, "  %-10s %4s %%  ", first ? label : "", plain_text(&percent));
    line->failed |= percent.failed;
}

// The interpreter's own functions are no news.
static bool is_plumbing(const struct page *page, uint32_t function)
{
    return page->interpreter[function] && !page->options->full;
}

// The neighbours in the call graph, hottest first (the edges come sorted).
static void add_neighbours(struct page *page, uint32_t index, bool callers)
{
    const struct prof_report *profile = page->profile;
    uint64_t all = weigh_total(&page->weigh, &profile->functions[index]);
    bool python = profile->functions[index].kind != SNAP_NATIVE;
    size_t shown = 0, more = 0;
    GUARD(plain_deinit) struct plain line = {0};
    for (size_t i = 0; i < profile->edge_count; i++) {
        const struct prof_edge *edge = &profile->edges[i];
        uint64_t weight = weigh_edge(&page->weigh, edge);
        const struct prof_function *other =
            page_function(page, callers ? edge->caller : edge->callee);
        if ((callers ? edge->callee : edge->caller) != index || !weight || !other)
            continue;
        // Who called through native code is told: that edge goes through.
        if (python && (callers ? other->kind == SNAP_NATIVE : is_plumbing(page, edge->callee)))
            continue;
        if (shown == NEIGHBOURS) {
            more++;
            continue;
        }
        start_line(&line, shown++ == 0, callers ? "called by" : "calls", weigh_ratio(weight, all));
        names_function(&line, &page->names, other, 48);
        size_t before = line.size;
        plain_str(&line, "  ");
        names_place(&line, &page->names, other);
        if (line.size == before + 2 && !line.failed)
            line.bytes[line.size = before] = '\0';
        plain_str(&line, edge->caller == edge->callee ? "  (itself)" : "");
        add_line(page, &line);
    }
    if (more) {
        plain_add(&line, "  %-10s        ... %zu more", "", more);
        add_line(page, &line);
    }
}

static int by_weight(const void *left, const void *right, void *arg)
{
    const struct page *page = arg;
    const struct prof_line *a = *(const struct prof_line *const *)left;
    const struct prof_line *b = *(const struct prof_line *const *)right;
    uint64_t x = weigh_line(&page->weigh, a), y = weigh_line(&page->weigh, b);
    if (x != y)
        return x > y ? -1 : 1;
    x = weigh_line_total(&page->weigh, a), y = weigh_line_total(&page->weigh, b);
    if (x != y)
        return x > y ? -1 : 1;
    return (a->line > b->line) - (a->line < b->line);
}

static void add_source_line(struct page *page, const struct prof_function *function,
                            const struct prof_line *source, bool first)
{
    const struct report_source_reader *reader = &page->input->source_reader;
    const char *file = strtab_get(page->names.strings, function->file);
    bool newer = false;
    const char *text = reader->line && file && source->line > 0
                           ? reader->line(reader->arg, file, source->line, &newer)
                           : NULL;
    GUARD(plain_deinit) struct plain line = {0}, clean = {0};
    start_line(&line, first, "lines",
               weigh_ratio(weigh_line(&page->weigh, source), weigh_own(&page->weigh, function)));
    if (source->line < 0)
        plain_str(&line, "line not known");
    else
        plain_add(&line, "%5" PRId32, source->line);
    if (text) {
        text += strspn(text, " \t\f");
        plain_safe(&clean, text, strcspn(text, "\r\n"));
        plain_str(&line, newer ? " (file changed since) " : "  ");
        size_t width = page->options->width ? page->options->width : 100;
        size_t used = plain_columns(plain_text(&line));
        plain_clip(&line, plain_text(&clean), width > used + 40 ? width - used : 40,
                   PLAIN_KEEP_START);
    }
    line.failed |= clean.failed;
    add_line(page, &line);
}

static void add_lines(struct page *page, const struct prof_function *function,
                      const struct prof_line **lines)
{
    const struct prof_report *profile = page->profile;
    size_t count = 0;
    for (size_t i = 0; i < profile->line_count; i++)
        if (profile->lines[i].function == function->id &&
            weigh_line(&page->weigh, &profile->lines[i]))
            lines[count++] = &profile->lines[i];
    qsort_r(lines, count, sizeof(*lines), by_weight, page);
    for (size_t i = 0; i < count && i < LINES; i++)
        add_source_line(page, function, lines[i], i == 0);
    if (count > LINES) {
        GUARD(plain_deinit) struct plain line = {0};
        plain_add(&line, "  %-10s        ... %zu more lines", "", count - LINES);
        add_line(page, &line);
    }
}

static void add_function(struct page *page, uint32_t index, const struct prof_line **lines)
{
    const struct prof_function *function = &page->profile->functions[index];
    GUARD(plain_deinit) struct plain head = {0};
    names_say(&head, &page->names, function);
    plain_str(&head, function->inferred ? " (inferred): " : ": ");
    plain_percent(&head, weigh_share(&page->weigh, weigh_own(&page->weigh, function)));
    plain_str(&head, " % itself, ");
    plain_percent(&head, weigh_share(&page->weigh, weigh_total(&page->weigh, function)));
    plain_add(&head, " %% with all it calls");
    doc_head(page->doc, DOC_NORMAL, 1, plain_text(&head));
    page->failed |= head.failed;
    add_neighbours(page, index, true);
    add_neighbours(page, index, false);
    add_lines(page, function, lines);
}

void page_hottest(struct page *page)
{
    const struct prof_report *profile = page->profile;
    AUTO_FREE const struct prof_line **lines = calloc(profile->line_count + 1, sizeof(*lines));
    AUTO_FREE bool *done = calloc(profile->function_count + 1, sizeof(*done));
    if (!lines || !done) {
        page->failed = true;
        return;
    }
    size_t rows = page_rows(page, USUAL_FUNCTIONS, profile->function_count);
    if (rows > 20)
        rows = 20;
    for (size_t row = 0; row < rows; row++) {
        size_t best = profile->function_count;
        for (size_t i = 0; i < profile->function_count; i++)
            if (!done[i] && (best == profile->function_count ||
                             weigh_own(&page->weigh, &profile->functions[i]) >
                                 weigh_own(&page->weigh, &profile->functions[best])))
                best = i;
        if (best == profile->function_count ||
            weigh_share(&page->weigh, weigh_own(&page->weigh, &profile->functions[best])) <
                LEAST_SHARE)
            break;
        if (row == 0)
            doc_section(page->doc, "The hottest functions", "function", 3, 20);
        done[best] = true;
        add_function(page, (uint32_t)best, lines);
    }
}
