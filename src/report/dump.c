// SPDX-License-Identifier: GPL-3.0-or-later
// A thread dump: every stack once, with all threads that are in it.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/groups.h"
#include "report/page.h"
#include "util/guard.h"

#define NAMED_THREADS 24 // of one group
#define MANY_STACKS 12   // from which on native frames are shown more sparingly

// ---- Threads -------------------------------------------------------------------------------------

static void add_part(struct plain *line, const char *part)
{
    plain_str(line, line->size ? ", " : "");
    plain_str(line, part);
}

// Its stack may be of another moment than the others'. What has no stack is not concerned.
static bool has_moved(const struct page *page, const struct snapshot *snapshot,
                      const struct snap_thread *thread)
{
    return !page->input->source->of_core && !snapshot->stopped && !thread->held_still &&
           thread->frames.count;
}

// "waits for a lock (futex), CPU 98 %, holds the GIL"; what is not known is not mentioned.
static void add_details(struct plain *line, const struct page *page,
                        const struct snap_thread *thread, bool closely)
{
    const struct snapshot *snapshot = page->input->snapshots[0];
    GUARD(plain_deinit) struct plain text = {0};
    if (thread->crashed)
        add_part(&text, "crashed");
    if (thread->state < SNAP_UNKNOWN)
        add_part(&text, names_state_words(thread->state));
    if (thread->details && thread->details->wait.kind != SNAP_WAIT_NONE) {
        plain_str(&text, text.size ? " " : "");
        page_say_wait(&text, page, thread, closely);
    } else if (thread->syscall) {
        plain_str(&text, text.size ? " (" PLAIN_CODE : "(" PLAIN_CODE);
        plain_id(&text, page->names.strings, thread->syscall, 40, PLAIN_KEEP_START);
        plain_str(&text, PLAIN_CODE_END ")");
    }
    uint64_t window_ns = snap_window_of(snapshot, thread->pid);
    double share = weigh_ratio(thread->cpu_ns, window_ns);
    if (thread->has_cpu && share >= 0.01) {
        add_part(&text, "CPU ");
        plain_percent(&text, share);
        plain_str(&text, " %");
    } else if (thread->has_cpu && !window_ns && thread->cpu_total_ns >= 10000000) {
        add_part(&text, "CPU ");
        plain_duration(&text, thread->cpu_total_ns);
        plain_str(&text, " in all");
    }
    if (thread->has_holds_gil && thread->holds_gil)
        add_part(&text, "holds the GIL");
    if (thread->turn) {
        add_part(&text, "");
        page_say_turn(&text, page, thread);
    }
    if (thread->in_gc)
        add_part(&text, "collects garbage");
    if (thread->interpreter > 0) {
        add_part(&text, "interpreter ");
        plain_add(&text, "%" PRId64, thread->interpreter);
    }
    if (thread->cut)
        add_part(&text, "stack incomplete");
    if (has_moved(page, snapshot, thread))
        add_part(&text, "ran during the snapshot");
    plain_str(line, plain_text(&text));
    line->failed |= text.failed;
}

static bool all_alike(const struct page *page, const struct snap_thread *threads,
                      const uint32_t *order, size_t count, struct plain *ret)
{
    GUARD(plain_deinit) struct plain other = {0};
    add_details(ret, page, &threads[order[0]], count == 1);
    bool alike = true;
    for (size_t i = 1; i < count && alike; i++) {
        plain_clear(&other);
        add_details(&other, page, &threads[order[i]], false);
        alike = strcmp(plain_text(ret), plain_text(&other)) == 0;
    }
    return alike;
}

// Of threads in the order of the snapshot, where those of a process stand together.
static size_t processes_of(const struct snap_thread *threads, const uint32_t *order, size_t count)
{
    size_t processes = 1;
    for (size_t i = 1; i < count; i++)
        processes += threads[order[i]].pid != threads[order[i - 1]].pid;
    return processes;
}

static void add_heading(struct page *page, const struct snap_thread *threads, const uint32_t *order,
                        const struct group *group)
{
    GUARD(plain_deinit) struct plain head = {0}, details = {0};
    bool alike = all_alike(page, threads, order, group->count, &details);
    if (group->count == 1) {
        plain_str(&head, "Thread ");
        page_say_thread(&head, page, threads[order[0]].name, threads[order[0]].pid,
                        threads[order[0]].tid);
        plain_add(&head, "%s%s", details.size ? ": " : "", plain_text(&details));
    } else {
        plain_things(&head, group->count, "thread");
        if (page->pythons > 1) {
            plain_str(&head, " of ");
            plain_things(&head, processes_of(threads, order, group->count), "process");
        }
        if (alike && details.size)
            plain_add(&head, ", each %s", plain_text(&details));
        plain_str(&head, ": ");
        size_t named =
            page->options->full || group->count <= NAMED_THREADS + 1 ? group->count : NAMED_THREADS;
        for (size_t i = 0; i < named; i++) {
            const struct snap_thread *thread = &threads[order[i]];
            plain_str(&head, i == 0 ? "" : alike ? ", " : "; ");
            page_say_thread(&head, page, thread->name, thread->pid, thread->tid);
            if (!alike) {
                plain_str(&head, " ");
                add_details(&head, page, thread, false);
            }
        }
        if (named < group->count) {
            plain_str(&head, " and ");
            plain_count(&head, group->count - named);
            plain_str(&head, " more");
        }
    }
    doc_head(page->doc, group->crashed ? DOC_HOT : DOC_NORMAL, group->count, plain_text(&head));
    page->failed |= head.failed || details.failed;
}

static void add_remark(struct page *page, struct plain *line)
{
    doc_line(page->doc, DOC_FAINT, 0, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void add_thread_notes(struct page *page, const struct snap_thread *threads,
                             const uint32_t *order, size_t count)
{
    GUARD(plain_deinit) struct plain line = {0};
    struct snap_notes seen = {0};
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < threads[order[i]].notes.count; k++) {
            uint32_t note = threads[order[i]].notes.items[k];
            bool known = false;
            vec_foreach (id, &seen)
                known |= *id == note;
            if (known || seen.count >= 10)
                continue;
            page->failed |= !vec_push(&seen, note);
            plain_str(&line, "  note: ");
            plain_id(&line, page->names.strings, note, 300, PLAIN_KEEP_START);
            add_remark(page, &line);
        }
    vec_deinit(&seen);
}

// What stands among the frames is one thread's; others in the same stack have values of their own.
static void say_whose(struct page *page, const struct snap_thread *thread)
{
    const struct snap_details *details = thread->details;
    GUARD(plain_deinit) struct plain line = {0};
    if (!details || (!details->locals.count && !details->held.count))
        return;
    plain_str(&line,
              details->locals.count ? "  (variables and locks: those of " : "  (locks: those of ");
    plain_id(&line, page->names.strings, thread->name, 60, PLAIN_KEEP_START);
    plain_str(&line, details->locals.count ? "; --full shows them all)" : ")");
    add_remark(page, &line);
}

static void add_group(struct page *page, const struct groups *groups, const struct group *group)
{
    const struct snap_thread *threads = page->input->snapshots[0]->threads.items;
    const uint32_t *order = groups->order + group->first;
    const struct snap_thread *first = &threads[order[0]];
    add_heading(page, threads, order, group);
    if (first->frames.count == 0)
        doc_line(page->doc, DOC_FAINT, 0,
                 first->known_to_python ? "  (no Python frame)" : "  (no stack was read)");
    if (group->count > 1)
        say_whose(page, first);
    page_frames(page, &first->frames, groups->list.count > MANY_STACKS, first);
    page_thread_details(page, first);
    add_thread_notes(page, threads, order, group->count);
}

// ---- The top -------------------------------------------------------------------------------------

static void add_states(struct page *page, const struct snapshot *snapshot)
{
    uint64_t states[SNAP_STATE_COUNT] = {0};
    size_t native = 0;
    GUARD(plain_deinit) struct plain line = {0};
    vec_foreach (thread, &snapshot->threads) {
        states[thread->state < SNAP_STATE_COUNT ? thread->state : SNAP_UNKNOWN]++;
        native += !thread->known_to_python;
    }
    plain_things(&line, snapshot->threads.count, "thread");
    const char *comma = ": ";
    if (states[SNAP_UNKNOWN] < snapshot->threads.count)
        for (int state = 0; state < SNAP_STATE_COUNT; state++)
            if (states[state]) {
                plain_str(&line, comma);
                plain_count(&line, states[state]);
                plain_add(&line, " %s", snap_state_name((enum snap_state)state));
                comma = ", ";
            }
    if (native) {
        plain_str(&line, "; ");
        plain_count(&line, native);
        plain_str(&line, " of them unknown to Python");
    }
    plain_str(&line, ".");
    doc_bullet(page->doc, "Threads", plain_text(&line));
    page->failed |= line.failed;
}

// What taking the snapshot cost the target, and whether it is one moment.
static void add_pause(struct page *page, const struct snapshot *snapshot)
{
    size_t moved = 0;
    GUARD(plain_deinit) struct plain line = {0};
    if (page->input->source->of_core)
        return;
    vec_foreach (thread, &snapshot->threads)
        moved += has_moved(page, snapshot, thread);
    if (snapshot->threads_stopped) {
        plain_things(&line, snapshot->threads_stopped, "thread");
        plain_str(&line,
                  snapshot->threads_stopped == 1 ? " was stopped, for " : " were stopped, for ");
        plain_duration(&line, snapshot->pause_ns);
        plain_str(&line, page->pythons > 1 ? " in a process at the longest" : "");
    } else if (snapshot->pause_ns) {
        plain_str(&line, "the target stood still for ");
        plain_duration(&line, snapshot->pause_ns);
    } else {
        plain_str(&line, "no thread was stopped");
    }
    plain_str(&line, snapshot->overran ? ", longer than --max-pause allows." : ".");
    if (snapshot->interrupted_calls) {
        plain_str(&line, " ");
        plain_things(&line, snapshot->interrupted_calls, "system call");
        plain_str(&line, snapshot->interrupted_calls == 1 ? " was" : " were");
        plain_str(&line, " interrupted (EINTR).");
    }
    if (moved) {
        plain_str(&line, " ");
        plain_things(&line, moved, "thread");
        plain_str(&line, " ran meanwhile: not all stacks are of one moment.");
    }
    doc_bullet(page->doc, "Pause", plain_text(&line));
    page->failed |= line.failed;
}

// The GIL of one process: who holds it, who waits for it.
static void say_gil(struct page *page, const struct snapshot *snapshot, pid_t pid,
                    struct plain *ret)
{
    size_t waiting = 0;
    GUARD(plain_deinit) struct plain line = {0};
    vec_foreach (thread, &snapshot->threads) {
        if (thread->pid != pid)
            continue;
        waiting += thread->state == SNAP_GIL_WAIT;
        if (thread->has_holds_gil && thread->holds_gil) {
            plain_str(&line, line.size ? ", " : "held by ");
            page_say_thread(&line, page, thread->name, thread->pid, thread->tid);
        }
    }
    if (waiting) {
        plain_str(&line, line.size ? "; " : "");
        plain_things(&line, waiting, "thread");
        plain_str(&line, waiting == 1 ? " waits for it" : " wait for it");
    }
    if (!line.size)
        return;
    plain_str(ret, ret->size ? ". " : "");
    if (page->pythons > 1)
        plain_add(ret, "Of process %d: ", (int)pid);
    plain_str(ret, plain_text(&line));
    ret->failed |= line.failed;
}

static void add_gils(struct page *page, const struct snapshot *snapshot)
{
    GUARD(plain_deinit) struct plain line = {0};
    pid_t last = -1;
    vec_foreach (thread, &snapshot->threads) {
        if (thread->pid != last)
            say_gil(page, snapshot, thread->pid, &line);
        last = thread->pid;
    }
    if (line.size) {
        plain_str(&line, ".");
        doc_bullet(page->doc, "GIL", plain_text(&line));
    }
    page->failed |= line.failed;
}

// The stacks of one kind; nothing when there are none.
static void add_section(struct page *page, const struct groups *groups, bool python)
{
    bool any = false, others = false;
    vec_foreach (group, &groups->list)
        others |= !group->known_to_python && !group->crashed;
    vec_foreach (group, &groups->list) {
        if ((group->known_to_python || group->crashed) != python)
            continue;
        if (!any)
            doc_section(page->doc,
                        python ? "Stacks (innermost frame first)" : "Threads unknown to Python",
                        "thread", python ? 1 : 2, python && others ? 80 : 0);
        any = true;
        add_group(page, groups, group);
    }
}

static bool has_frames(const struct snapshot *snapshot)
{
    vec_foreach (thread, &snapshot->threads)
        if (thread->frames.count)
            return true;
    return false;
}

void page_dump(struct page *page)
{
    const struct snapshot *snapshot = page->input->snapshots[0];
    GUARD(groups_deinit) struct groups groups = {0};
    if (!groups_init(&groups, snapshot, page->options->full)) {
        page->failed = true;
        return;
    }
    doc_section(page->doc, "Summary", NULL, 0, 0);
    if (!page->input->source->crash.has)
        page_say_signal(page);
    add_states(page, snapshot);
    add_pause(page, snapshot);
    if (!page->input->source->process.python_version && !has_frames(snapshot)) {
        page_dump_table(page, snapshot);
        return;
    }
    add_gils(page, snapshot);
    page_say_suspended(page, false);
    page_say_suspended(page, true);
    page_processes(page);
    page_waits(page);
    if (page->options->table)
        page_dump_table(page, snapshot);
    add_section(page, &groups, true);
    add_section(page, &groups, false);
    GUARD(plain_deinit) struct plain line = {0};
    plain_things(&line, snapshot->threads.count, "thread");
    plain_str(&line, ", ");
    plain_things(&line, groups.list.count, "distinct stack");
    plain_str(&line, ".");
    doc_section(page->doc, NULL, NULL, 0, 0);
    doc_text(page->doc, plain_text(&line));
    page->failed |= line.failed;
}
