// SPDX-License-Identifier: GPL-3.0-or-later
// What makes two reports hard to compare, and what each of them says of itself.
#include <string.h>

#include "report/diff_page.h"
#include "report/page.h"
#include "util/guard.h"

#define NOTE_COLUMNS 400

struct noting {
    const struct report_diff *of;
    diff_note_fn *say;
    void *arg;
    struct plain line;
};

static void note(struct noting *noting)
{
    noting->say(noting->arg, plain_text(&noting->line));
    plain_clear(&noting->line);
}

static void add_text(struct noting *noting, int side, uint32_t id)
{
    plain_str(&noting->line, PLAIN_CODE);
    plain_id(&noting->line, noting->of->inputs[side]->strings, id, NOTE_COLUMNS, PLAIN_KEEP_END);
    plain_str(&noting->line, PLAIN_CODE_END);
}

static bool same_text(const struct report_diff *of, uint32_t before, uint32_t after)
{
    const struct strtab *a = of->inputs[DIFF_BEFORE]->strings;
    const struct strtab *b = of->inputs[DIFF_AFTER]->strings;
    size_t size = strtab_size(a, before);
    return before && after && size == strtab_size(b, after) &&
           memcmp(strtab_get(a, before), strtab_get(b, after), size) == 0;
}

// "the hosts differ: `web-3` in A, `web-4` in B". What one of them does not know, is not said.
static void note_if_other(struct noting *noting, const char *what, uint32_t before, uint32_t after)
{
    if (!before || !after || same_text(noting->of, before, after))
        return;
    plain_add(&noting->line, "the %s differ: ", what);
    add_text(noting, DIFF_BEFORE, before);
    plain_str(&noting->line, " in A, ");
    add_text(noting, DIFF_AFTER, after);
    plain_str(&noting->line, " in B");
    note(noting);
}

static bool same_program(const struct report_diff *of)
{
    const struct snap_process *a = &of->inputs[DIFF_BEFORE]->source->process;
    const struct snap_process *b = &of->inputs[DIFF_AFTER]->source->process;
    if (!a->argc || !b->argc)
        return true; // not known of one of them
    // The interpreter may lie elsewhere.
    bool same = a->argc == b->argc;
    for (size_t i = 1; i < a->argc && same; i++)
        same = same_text(of, a->argv[i], b->argv[i]);
    return same;
}

static void note_sources(struct noting *noting)
{
    const struct snap_source *a = noting->of->inputs[DIFF_BEFORE]->source;
    const struct snap_source *b = noting->of->inputs[DIFF_AFTER]->source;
    if (!same_program(noting->of)) {
        plain_str(&noting->line, "the command lines differ: these may be different programs");
        note(noting);
    }
    note_if_other(noting, "versions of Python", a->process.python_version,
                  b->process.python_version);
    note_if_other(noting, "builds of Python", a->process.python_build, b->process.python_build);
    note_if_other(noting, "hosts", a->host, b->host);
    note_if_other(noting, "machines", a->arch, b->arch);
    if (a->of_core != b->of_core) {
        plain_add(
            &noting->line,
            "%s is made of cores, %s of a running process: CPU time and load are known of the "
            "latter alone",
            a->of_core ? "A" : "B", a->of_core ? "B" : "A");
        note(noting);
    }
}

static void note_runs(struct noting *noting)
{
    const struct prof_report *a = noting->of->inputs[DIFF_BEFORE]->profile;
    const struct prof_report *b = noting->of->inputs[DIFF_AFTER]->profile;
    struct plain *line = &noting->line;
    if (a->interval_ns && b->interval_ns && a->interval_ns != b->interval_ns) {
        plain_str(line, "the intervals differ: ");
        plain_duration(line, a->interval_ns);
        plain_str(line, " in A, ");
        plain_duration(line, b->interval_ns);
        plain_str(line, " in B");
        note(noting);
    }
    const struct prof_diff *diff = noting->of->diff;
    if (diff->files_by_tail) {
        plain_things(line, diff->files_by_tail, "file");
        plain_str(line, " with other paths in A and B taken for the same by the ends of the paths");
        note(noting);
    }
    if (diff->ambiguous) {
        plain_things(line, diff->ambiguous, "function");
        plain_str(line, " of the same names in one file could not be told apart: listed as seen in "
                        "one run only");
        note(noting);
    }
    for (int side = 0; side < DIFF_SIDES; side++) {
        const struct prof_report *report = side == DIFF_BEFORE ? a : b;
        if (report->dropped_stacks) {
            plain_things(line, report->dropped_stacks, "sample");
            plain_add(line, " of %s in no stack: there were too many distinct ones",
                      side == DIFF_BEFORE ? "A" : "B");
            note(noting);
        }
    }
}

static void note_own(struct noting *noting, int side)
{
    const struct report_input *input = noting->of->inputs[side];
    const struct snap_notes *lists[] = {&input->source->notes, input->notes};
    const char *name = side == DIFF_BEFORE ? "A" : "B";
    if (!input->source->complete || input->interrupted) {
        plain_add(&noting->line, "%s is %s", name,
                  input->interrupted ? "of a run that was interrupted" : "incomplete");
        note(noting);
    }
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++)
        for (size_t i = 0; lists[k] && i < lists[k]->count; i++) {
            bool known = false;
            for (size_t j = 0; k && j < lists[0]->count; j++)
                known |= lists[0]->items[j] == lists[k]->items[i];
            if (known)
                continue;
            plain_add(&noting->line, "%s: ", name);
            plain_id(&noting->line, input->strings, lists[k]->items[i], NOTE_COLUMNS,
                     PLAIN_KEEP_START);
            note(noting);
        }
}

void diff_notes(const struct report_diff *of, diff_note_fn *say, void *arg)
{
    struct noting noting = {.of = of, .say = say, .arg = arg};
    note_sources(&noting);
    if (of->diff)
        note_runs(&noting);
    for (int side = 0; side < DIFF_SIDES; side++)
        note_own(&noting, side);
    plain_deinit(&noting.line);
}

struct adding {
    struct doc *doc;
    bool begun;
};

static void add_note(void *arg, const char *text)
{
    struct adding *adding = arg;
    if (!adding->begun)
        doc_section(adding->doc, "Notes", "note", 1, 20);
    adding->begun = true;
    doc_bullet(adding->doc, "", text);
}

void diff_page_notes(struct diff_page *page)
{
    struct adding adding = {.doc = page->doc};
    diff_notes(page->of, add_note, &adding);
}
