// SPDX-License-Identifier: GPL-3.0-or-later
// Two thread dumps: which threads moved between them, and which stand where they stood. The question
// behind it is "does it hang?".
#include <string.h>

#include "report/diff_page.h"
#include "report/page.h"
#include "util/guard.h"

#define USUAL_ROWS 40
#define BUSY_NS 1000000u // less processor time than this is no work

static const struct snap_thread *thread_of(const struct diff_page *page,
                                           const struct diff_motion_thread *motion, int side)
{
    uint32_t index = motion->thread[side];
    return index == DIFF_NONE ? NULL : &page->of->inputs[side]->snapshots[0]->threads.items[index];
}

// The innermost Python function, else the innermost frame: "work app.py:12".
static void add_place(struct plain *row, const struct diff_page *page,
                      const struct diff_motion_thread *motion, int side)
{
    const struct snap_thread *thread = thread_of(page, motion, side);
    const struct snap_frame *frame = NULL;
    const struct strtab *strings = page->of->inputs[side]->strings;
    if (!thread)
        return;
    vec_foreach (at, &thread->frames)
        if (!frame || (frame->kind != SNAP_PYTHON && at->kind == SNAP_PYTHON))
            frame = at;
    if (!frame)
        return;
    plain_id(row, strings, frame->qualname ? frame->qualname : frame->function, 40,
             PLAIN_KEEP_START);
    const char *file = strtab_get(strings, frame->file);
    if (file) {
        plain_str(row, " ");
        plain_safe(row, names_base(file), strlen(names_base(file)));
    }
    if (frame->line >= 0)
        plain_add(row, ":%d", frame->line);
}

static const char *motion_words(const struct diff_motion_thread *motion)
{
    static const char *const words[] = {[DIFF_SAME_CALLS] = "same calls",
                                        [DIFF_SAME_PLACE] = "same place",
                                        [DIFF_MOVED] = "moved",
                                        [DIFF_APPEARED] = "in B only",
                                        [DIFF_ENDED] = "in A only"};
    return words[motion->motion];
}

static void add_row(struct diff_page *page, const struct diff_motion_thread *motion)
{
    GUARD(plain_deinit) struct plain row = {0};
    int side = motion->thread[DIFF_AFTER] != DIFF_NONE ? DIFF_AFTER : DIFF_BEFORE;
    const struct snap_thread *thread = thread_of(page, motion, side);
    plain_add(&row, "%s" DOC_NEXT, motion_words(motion));
    if (motion->has_cpu)
        plain_duration(&row, motion->cpu_ns);
    plain_str(&row, DOC_NEXT);
    if (thread->tid)
        plain_add(&row, "%d", (int)thread->tid);
    plain_str(&row, DOC_NEXT);
    plain_id(&row, page->of->inputs[side]->strings, thread->name, 32, PLAIN_KEEP_START);
    plain_str(&row, DOC_NEXT);
    for (int of = 0; of < DIFF_SIDES; of++) {
        const struct snap_thread *there = thread_of(page, motion, of);
        plain_add(&row, "%s" DOC_NEXT, there ? snap_state_name(there->state) : "");
        add_place(&row, page, motion, of);
        plain_str(&row, DOC_NEXT);
    }
    doc_row(page->doc, motion->motion == DIFF_MOVED ? DOC_HOT : DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

static void say(struct diff_page *page, const char *label, struct plain *line)
{
    doc_bullet(page->doc, label, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void say_threads(struct plain *line, uint64_t count, const char *one, const char *many)
{
    plain_things(line, count, "thread");
    plain_str(line, count == 1 ? one : many);
}

static void add_summary(struct diff_page *page)
{
    const struct report_diff *of = page->of;
    size_t counts[DIFF_ENDED + 1] = {0}, spins = 0;
    for (size_t i = 0; i < of->motion_count; i++) {
        const struct diff_motion_thread *motion = &of->motions[i];
        counts[motion->motion]++;
        spins += motion->motion == DIFF_SAME_CALLS && motion->has_cpu && motion->cpu_ns >= BUSY_NS;
    }
    GUARD(plain_deinit) struct plain line = {0};
    doc_section(page->doc, "Summary", NULL, 0, 0);
    plain_str(&line, of->same_process
                         ? "both are of the same process: threads go by their number, and calls "
                           "can be told apart."
                         : "not known to be of the same process: threads go by their names, and a "
                           "call in A is never the same as one in B.");
    say(page, "Process", &line);
    if (counts[DIFF_MOVED]) {
        say_threads(&line, counts[DIFF_MOVED], " is", " are");
        plain_str(&line, " elsewhere in B.");
        say(page, "Moved", &line);
    }
    if (counts[DIFF_SAME_CALLS]) {
        say_threads(&line, counts[DIFF_SAME_CALLS], " is", " are");
        plain_str(&line, " in the very same calls, at the same lines");
        if (spins) {
            plain_str(&line, "; of these ");
            plain_count(&line, spins);
            plain_str(&line, " used processor time meanwhile: a loop, not a wait");
        }
        plain_str(&line, ".");
        say(page, "Still", &line);
    }
    if (counts[DIFF_SAME_PLACE]) {
        say_threads(&line, counts[DIFF_SAME_PLACE], " is", " are");
        plain_str(&line, " at the same lines, in other calls or where that cannot be told.");
        say(page, "In place", &line);
    }
    if (counts[DIFF_APPEARED] + counts[DIFF_ENDED]) {
        say_threads(&line, counts[DIFF_APPEARED], " is", " are");
        plain_str(&line, " in B only, ");
        plain_count(&line, counts[DIFF_ENDED]);
        plain_str(&line, " in A only.");
        say(page, "Others", &line);
    }
    page->failed |= line.failed;
}

void diff_page_dumps(struct diff_page *page)
{
    static const struct doc_column columns[] = {
        {.title = "MOTION"},
        {.title = "CPU", .right = true},
        {.title = "TID", .right = true, .drop = 1},
        {.title = "NAME", .code = true, .least = 10},
        {.title = "A"},
        {.title = "WHERE", .code = true, .keep = PLAIN_KEEP_END, .least = 16},
        {.title = "B"},
        {.title = "WHERE", .code = true, .keep = PLAIN_KEEP_END, .least = 16},
    };
    const struct report_diff *of = page->of;
    add_summary(page);
    if (!of->motion_count)
        return;
    doc_section(page->doc, "Threads", "thread", 2, 0);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = diff_rows(page, USUAL_ROWS, of->motion_count);
    for (size_t i = 0; i < rows; i++)
        add_row(page, &of->motions[i]);
    doc_more(page->doc, of->motion_count - rows);
}
