// SPDX-License-Identifier: GPL-3.0-or-later
// The answer in the first lines: the load, and what differs by more than noise.
#include <math.h>
#include <string.h>

#include "report/diff_page.h"
#include "report/page.h"
#include "util/guard.h"

#define AGAINST 1.1 // so many times the processors count as more
#define SAID_MAX 3  // functions in a sentence of their own, of each direction

static void say(struct diff_page *page, const char *label, struct plain *line)
{
    doc_bullet(page->doc, label, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

// "B kept 1.90 processors busy, A 1.10; of 12.0 threads 2.1 worked on average, in A 1.2 of 12.0."
static void say_load(struct diff_page *page, struct plain *line)
{
    const struct prof_diff *diff = page->diff;
    const double *processors = diff->processors.side;
    if (!isnan(processors[DIFF_BEFORE]) && !isnan(processors[DIFF_AFTER])) {
        plain_str(line, "B kept ");
        diff_rate(line, processors[DIFF_AFTER]);
        plain_str(line, " processors busy, A ");
        diff_rate(line, processors[DIFF_BEFORE]);
        plain_str(line, "; ");
    }
    plain_add(line, "on average %.1f of %.1f threads worked in B, %.1f of %.1f in A.",
              diff->works.side[DIFF_AFTER], diff->threads.side[DIFF_AFTER],
              diff->works.side[DIFF_BEFORE], diff->threads.side[DIFF_BEFORE]);
    say(page, "Load", line);
}

static void say_percent(struct plain *line, double share)
{
    plain_percent(line, share);
    plain_str(line, " %");
}

// "`render()` app.py:10 went from 12 % to 41 % (+29 points, 95 %: +18 to +39), from 0.13 to 0.78
// processors"
static void say_change(struct diff_page *page, struct plain *line, size_t index, bool of_total)
{
    const struct diff_function *function = &page->diff->functions[index];
    const struct diff_share *share = of_total ? &function->total : &function->own;
    const double *cpu = of_total ? function->total_cpu.side : function->own_cpu.side;
    diff_say_function(line, page, (uint32_t)index);
    plain_str(line, of_total ? ", with all it calls, went from " : " went from ");
    say_percent(line, share->share[DIFF_BEFORE]);
    plain_str(line, " to ");
    say_percent(line, share->share[DIFF_AFTER]);
    plain_str(line, " of the working time (");
    diff_points(line, share->change);
    plain_str(line, " points, 95 %: ");
    diff_points(line, share->low);
    plain_str(line, " to ");
    diff_points(line, share->high);
    plain_str(line, ")");
    if (cpu[DIFF_BEFORE] + cpu[DIFF_AFTER] > 0) { // false, too, where one is not known
        plain_str(line, ", from ");
        diff_rate(line, cpu[DIFF_BEFORE]);
        plain_str(line, " to ");
        diff_rate(line, cpu[DIFF_AFTER]);
        plain_str(line, " processors");
        // The share went one way, what it costs the other.
        if (share->change < 0 && cpu[DIFF_AFTER] >= cpu[DIFF_BEFORE] * AGAINST)
            plain_str(line, ": a smaller share of a larger load");
        if (share->change > 0 && cpu[DIFF_BEFORE] >= cpu[DIFF_AFTER] * AGAINST)
            plain_str(line, ": a larger share of a smaller load");
    }
    if (function->index[DIFF_BEFORE] == DIFF_NONE)
        plain_str(line, "; it was not seen in A");
    if (function->index[DIFF_AFTER] == DIFF_NONE)
        plain_str(line, "; it was not seen in B");
    plain_str(line, ".");
}

// Native code below Python counts for the Python function above it, which is the one to be said.
static bool is_native(const struct diff_page *page, uint32_t index)
{
    const struct names *names;
    const struct diff_share *own = &page->diff->functions[index].own;
    return diff_function_of(page, index, &names)->kind == SNAP_NATIVE &&
           !own->samples[DIFF_BEFORE] && !own->samples[DIFF_AFTER];
}

static bool says(const struct diff_page *page, uint32_t index, bool of_total,
                 enum diff_verdict verdict)
{
    const struct diff_function *function = &page->diff->functions[index];
    if (is_native(page, index))
        return false;
    return of_total ? function->total.verdict == verdict && !diff_beyond(&function->own)
                    : function->own.verdict == verdict;
}

// The functions of that verdict, most change first. What stands out by `own` is said before what
// only does with all that it calls.
static size_t say_verdict(struct diff_page *page, struct plain *line, enum diff_verdict verdict)
{
    const struct prof_diff *diff = page->diff;
    size_t said = 0, more = 0, count = diff->function_count;
    for (int of_total = 0; of_total < 2; of_total++) {
        size_t here = 0;
        for (size_t k = 0; k < count; k++) {
            size_t i = verdict == DIFF_MORE ? k : count - 1 - k;
            if (!says(page, (uint32_t)i, of_total, verdict))
                continue;
            if (said >= SAID_MAX || (of_total && here)) {
                more++;
                continue;
            }
            say_change(page, line, i, of_total);
            say(page, verdict == DIFF_MORE ? "Hotter" : "Colder", line);
            said++, here++;
        }
    }
    if (more) {
        plain_count(line, more);
        plain_str(line, more == 1 ? " more function differs" : " more functions differ");
        plain_str(line, " by more than noise: see the tables.");
        say(page, verdict == DIFF_MORE ? "Hotter" : "Colder", line);
    }
    return said;
}

// The largest change that noise explains, when nothing else is to be said.
static void say_largest(struct diff_page *page, struct plain *line)
{
    const struct prof_diff *diff = page->diff;
    size_t best = diff->function_count;
    for (size_t i = 0; i < diff->function_count; i++)
        if (diff->functions[i].own.verdict == DIFF_NOISE && !is_native(page, (uint32_t)i) &&
            (best == diff->function_count ||
             fabs(diff->functions[i].own.change) > fabs(diff->functions[best].own.change)))
            best = i;
    if (best == diff->function_count || diff->functions[best].own.change == 0)
        return;
    plain_str(line, "the largest change that noise explains: ");
    say_change(page, line, best, false);
    say(page, "Largest", line);
}

static void say_noise(struct diff_page *page, struct plain *line)
{
    const struct prof_diff *diff = page->diff;
    size_t noise = 0, rare = 0, beyond = 0, natives = 0;
    for (size_t i = 0; i < diff->function_count; i++) {
        const struct diff_function *function = &diff->functions[i];
        bool differs = diff_beyond(&function->own) || diff_beyond(&function->total);
        bool told = function->own.verdict == DIFF_NOISE || function->total.verdict == DIFF_NOISE;
        if (is_native(page, (uint32_t)i)) {
            natives += differs;
            continue;
        }
        bool worked = function->total.samples[DIFF_BEFORE] || function->total.samples[DIFF_AFTER];
        beyond += differs;
        noise += !differs && told;
        rare += !differs && !told && worked;
    }
    plain_str(line, beyond ? "within" : "no function differs by more than noise. Within");
    plain_str(line, " noise: ");
    plain_things(line, noise, "function");
    if (rare) {
        plain_str(line, "; seen too seldom to tell: ");
        plain_count(line, rare);
    }
    plain_str(line, ".");
    if (natives) {
        plain_str(line, " Of native code, ");
        plain_count(line, natives);
        plain_str(line, natives == 1 ? " function differs" : " functions differ");
        plain_str(line, " by more than noise: see its tables.");
    }
    say(page, beyond ? "The rest" : "Nothing", line);
    if (!beyond)
        say_largest(page, line);
}

static void say_untold(struct diff_page *page, struct plain *line)
{
    plain_str(line, "noise cannot be told: ");
    bool first = true;
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *profile = page->of->inputs[side]->profile;
        const char *name = side == DIFF_BEFORE ? "A" : "B";
        if (profile->snapshots >= DIFF_LEAST_SNAPSHOTS && profile->samples_working)
            continue;
        plain_str(line, first ? "" : ", ");
        first = false;
        if (profile->snapshots < DIFF_LEAST_SNAPSHOTS) {
            plain_add(line, "%s has only ", name);
            plain_things(line, profile->snapshots, "snapshot");
        } else {
            plain_add(line, "no thread was seen working in %s", name);
        }
    }
    plain_add(line,
              ". Differences are stated as they are; %d snapshots of each at the least, "
              "better 50, tell them from chance.",
              DIFF_LEAST_SNAPSHOTS);
    say(page, "Careful", line);
}

void diff_page_summary(struct diff_page *page)
{
    GUARD(plain_deinit) struct plain line = {0};
    doc_section(page->doc, "Summary", NULL, 0, 0);
    say_load(page, &line);
    if (!page->diff->testable) {
        say_untold(page, &line);
    } else {
        say_verdict(page, &line, DIFF_MORE);
        say_verdict(page, &line, DIFF_LESS);
        say_noise(page, &line);
    }
    page->failed |= line.failed;
}
