// SPDX-License-Identifier: GPL-3.0-or-later
// The frame of a comparison: what was compared, the order of the sections, and what they share.
#include "report/diff_page.h"

#include <math.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define NAME_COLUMNS 60
#define WORDS_COLUMNS 60
#define BEYOND_ROWS 30

// ---- Numbers and names ---------------------------------------------------------------------------

void diff_points(struct plain *plain, double share)
{
    if (fabs(share) >= 0.00005)
        plain_str(plain, share > 0 ? "+" : "-");
    if (fabs(share) >= 0.00005)
        plain_percent(plain, fabs(share));
    else
        plain_str(plain, "0");
}

void diff_rate(struct plain *plain, double rate)
{
    if (isnan(rate))
        return;
    plain_add(plain, rate >= 99.5 ? "%.0f" : rate >= 9.95 ? "%.1f" : "%.2f", rate);
}

void diff_signed(struct plain *plain, double rate)
{
    if (isnan(rate))
        return;
    plain_str(plain, rate >= 0.005 ? "+" : rate <= -0.005 ? "-" : "");
    diff_rate(plain, fabs(rate));
}

const char *diff_verdict_word(enum diff_verdict verdict)
{
    static const char *const words[] = {[DIFF_UNKNOWN] = "?",
                                        [DIFF_RARE] = "rare",
                                        [DIFF_NOISE] = "noise",
                                        [DIFF_MORE] = "yes",
                                        [DIFF_LESS] = "yes"};
    return words[verdict];
}

bool diff_beyond(const struct diff_share *share)
{
    return share->verdict == DIFF_MORE || share->verdict == DIFF_LESS;
}

size_t diff_rows(const struct diff_page *page, size_t usual, size_t there)
{
    size_t rows = page->options->top ? page->options->top : page->options->full ? there : usual;
    return rows < there ? rows : there;
}

size_t diff_usual(size_t beyond, size_t usual)
{
    return beyond < usual ? usual : beyond < BEYOND_ROWS ? beyond : BEYOND_ROWS;
}

const struct prof_function *diff_function_of(const struct diff_page *page, uint32_t index,
                                             const struct names **ret_names)
{
    const struct diff_function *function = &page->diff->functions[index];
    int side = function->index[DIFF_AFTER] != DIFF_NONE ? DIFF_AFTER : DIFF_BEFORE;
    *ret_names = &page->names[side];
    return &page->of->inputs[side]->profile->functions[function->index[side]];
}

void diff_say_function(struct plain *plain, const struct diff_page *page, uint32_t index)
{
    const struct names *names;
    const struct prof_function *function = diff_function_of(page, index, &names);
    names_say(plain, names, function);
}

void diff_function_cells(struct plain *plain, const struct diff_page *page, uint32_t index)
{
    const struct names *names;
    const struct diff_function *both = &page->diff->functions[index];
    const struct prof_function *function = diff_function_of(page, index, &names);
    names_function(plain, names, function, 60);
    plain_str(plain, DOC_NEXT);
    names_place(plain, names, function);
    if (!both->moved || function->kind != SNAP_PYTHON)
        return;
    const struct prof_report *before = page->of->inputs[DIFF_BEFORE]->profile;
    plain_add(plain, " (A: %d)", before->functions[both->index[DIFF_BEFORE]].line);
}

// ---- What was compared ---------------------------------------------------------------------------

static void add_named(struct plain *plain, const struct report_input *input, const char *before,
                      uint32_t id)
{
    if (!id)
        return;
    plain_add(plain, "%s" PLAIN_CODE, before);
    plain_id(plain, input->strings, id, WORDS_COLUMNS, PLAIN_KEEP_END);
    plain_str(plain, PLAIN_CODE_END);
}

static void say_program(struct plain *plain, const struct report_input *input)
{
    const struct snap_process *process = &input->source->process;
    GUARD(plain_deinit) struct plain whole = {0};
    for (size_t i = 0; i < process->argc; i++) {
        const char *word = strtab_get(input->strings, process->argv[i]);
        if (!word)
            continue;
        const char *base = i ? word : names_base(word);
        plain_str(&whole, i ? " " : "");
        plain_safe(&whole, base,
                   strtab_size(input->strings, process->argv[i]) - (size_t)(base - word));
    }
    if (!whole.size)
        return;
    plain_str(plain, ", " PLAIN_CODE);
    plain_clip(plain, plain_text(&whole), WORDS_COLUMNS, PLAIN_KEEP_START);
    plain_str(plain, PLAIN_CODE_END);
    plain->failed |= whole.failed;
}

// "A: `before.json`: process 4711 on web-3, `python3 app.py`, Python 3.11.7; 50 snapshots over 10 s"
static void add_side(struct diff_page *page, int side)
{
    const struct report_input *input = page->of->inputs[side];
    const struct snap_source *source = input->source;
    const struct prof_report *profile = input->profile;
    const char *name = page->of->names[side];
    GUARD(plain_deinit) struct plain line = {0}, clean = {0};
    plain_safe(&clean, name, strlen(name));
    plain_str(&line, PLAIN_CODE);
    plain_clip(&line, plain_text(&clean), NAME_COLUMNS, PLAIN_KEEP_END);
    plain_str(&line, PLAIN_CODE_END ": ");
    pid_t pid = source->process.pid ? source->process.pid : source->pid;
    if (pid)
        plain_add(&line, "process %d", (int)pid);
    else
        plain_str(&line, "process of unknown pid");
    add_named(&line, input, " on ", source->host);
    say_program(&line, input);
    add_named(&line, input, ", Python ", source->process.python_version);
    plain_str(&line, "; ");
    plain_things(&line, profile ? profile->snapshots : input->snapshot_count, "snapshot");
    if (profile && profile->duration_ns) {
        plain_str(&line, " over ");
        plain_duration(&line, profile->duration_ns);
    }
    if (source->taken_at_ns) {
        plain_str(&line, ", ");
        plain_time(&line, source->taken_at_ns);
    }
    plain_str(&line, ".");
    if (!source->complete || input->interrupted)
        plain_str(&line, " Incomplete: its notes are at the end.");
    doc_bullet(page->doc, side == DIFF_BEFORE ? "A" : "B", plain_text(&line));
    page->failed |= line.failed | clean.failed;
}

static void add_heading(struct diff_page *page)
{
    doc_title(page->doc, page->diff ? "What changed from A to B" : "What moved between A and B");
    doc_section(page->doc, NULL, NULL, 0, 0);
    add_side(page, DIFF_BEFORE);
    add_side(page, DIFF_AFTER);
}

// Only formats that draw have it; they put it below these words.
static void add_graph(struct diff_page *page)
{
    if (!page->draws || !page->diff->stack_count)
        return;
    doc_section(page->doc, "Differential flame graph", NULL, 0, 0);
    page->doc->sections.items[page->doc->sections.count - 1].id = DIFF_GRAPH_ID;
    doc_text(
        page->doc,
        "Both runs in one, by stacks at work, outermost function at the top. A frame is as wide "
        "as the mean of its shares in A and B. Red: more of it in B; blue: more of it in A; "
        "grey: alike. Whether a difference is more than noise is in the tables.");
}

// ---- How it was told -----------------------------------------------------------------------------

static void add_method(struct diff_page *page)
{
    const struct prof_diff *diff = page->diff;
    GUARD(plain_deinit) struct plain line = {0};
    doc_section(page->doc, "How noise was told", NULL, 0, 0);
    doc_text(page->doc,
             "Percentages are of the working time of each run: samples in which a thread ran or "
             "could have run. Each difference has its own 95 % interval, by Newcombe's "
             "square-and-add method from the bounds of both runs, which account for correlated "
             "snapshots.");
    plain_str(&line, "\"Differs: yes\" takes into account how many differences were looked at: ");
    plain_count(&line, diff->tested);
    plain_str(&line, " of functions, ");
    plain_count(&line, diff->natives_tested);
    plain_str(&line, " of native code, ");
    plain_count(&line, diff->stacks_tested);
    plain_str(&line, " of stacks. By Holm's method, two runs of one program get a \"yes\" anywhere "
                     "in at most 5 % of comparisons. \"Rare\": seen too seldom for "
                     "any difference to stand out; longer runs help. CPU time, threads and waiting "
                     "are stated, not tested.");
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}

static void add_command(struct diff_page *page)
{
    const struct report_diff *of = page->of;
    GUARD(plain_deinit) struct plain line = {0};
    plain_str(&line, "Made by pycore ");
    plain_str(&line, of->tool_version);
    if (of->command) {
        plain_str(&line, "; once more: " PLAIN_CODE);
        plain_safe(&line, of->command, strnlen(of->command, 1000));
        plain_str(&line, PLAIN_CODE_END);
    }
    doc_section(page->doc, NULL, NULL, 0, 0);
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}

// ---- The page ------------------------------------------------------------------------------------

void diff_page_deinit(struct diff_page *page)
{
    for (int side = 0; side < DIFF_SIDES; side++)
        names_deinit(&page->names[side]);
}

struct err *diff_page_init(struct diff_page *page, struct doc *doc, const struct report_diff *of,
                           const struct report_options *options)
{
    *page = (struct diff_page){.doc = doc, .of = of, .diff = of->diff, .options = options};
    for (int side = 0; side < DIFF_SIDES; side++)
        if (!names_init(&page->names[side], of->inputs[side], options))
            return err_create(ERR_NO_MEMORY, "no memory for the report");
    return NULL;
}

void diff_page_fill(struct diff_page *page)
{
    add_heading(page);
    if (page->diff) {
        diff_page_summary(page);
        add_graph(page);
        diff_page_functions(page);
        diff_page_stacks(page);
        diff_page_threads(page);
        diff_page_waits(page);
    } else {
        diff_page_dumps(page);
    }
    diff_page_notes(page);
    if (page->diff && page->diff->testable)
        add_method(page);
    add_command(page);
    page->doc->failed |= page->failed;
}
