// SPDX-License-Identifier: GPL-3.0-or-later
// What threads wait for and who has it: as tags of threads, and as a table of the last snapshot.
#include <string.h>

#include "report/page.h"
#include "report/waits.h"
#include "util/guard.h"

#define USUAL_ROWS 12
#define NAME_COLUMNS 60
#define CHAINS_SHOWN 3
#define CHAIN_THREADS_SHOWN 6

// How what ends the wait stands to it.
enum relation { HELD, RUN, IS };

static enum relation relation_of(enum snap_wait_kind kind)
{
    if (kind == SNAP_WAIT_JOIN || kind == SNAP_WAIT_CHILD)
        return IS;
    return kind == SNAP_WAIT_FUTURE ? RUN : HELD;
}

static void say_owner(struct plain *plain, const struct page *page, pid_t pid,
                      const struct snap_wait *wait)
{
    const struct snap_thread *owner =
        wait->kind == SNAP_WAIT_CHILD ? NULL : page_last_thread(page, pid, wait->owner);
    if (owner)
        page_say_thread(plain, page, owner->name, owner->pid, owner->tid);
    else
        plain_add(plain, "%s %d", wait->kind == SNAP_WAIT_CHILD ? "process" : "thread",
                  (int)wait->owner);
    plain_str(plain, wait->owner_gone ? ", which is no thread of this process any more" : "");
}

// Where nothing better is known, `what` is the system call's name, which a kind says already.
static bool says_call_only(const struct snap_thread *thread)
{
    enum snap_wait_kind kind = thread->details->wait.kind;
    return kind == SNAP_WAIT_SLEEP ||
           (kind != SNAP_WAIT_SYSCALL && thread->details->wait.what == thread->syscall);
}

static void say_what(struct plain *plain, const struct page *page, const struct snap_thread *thread)
{
    const struct snap_wait *wait = &thread->details->wait;
    plain_str(plain, snap_wait_name(wait->kind));
    if (wait->what && !says_call_only(thread)) {
        plain_str(plain, " " PLAIN_CODE);
        plain_id(plain, page->names.strings, wait->what, NAME_COLUMNS, PLAIN_KEEP_END);
        plain_str(plain, PLAIN_CODE_END);
    } else if (wait->fd >= 0) {
        plain_add(plain, " fd %d", (int)wait->fd);
    } else if (wait->fd_count) {
        plain_str(plain, " ");
        plain_things(plain, wait->fd_count, "descriptor");
    }
}

static void say_times(struct plain *plain, const struct snap_wait *wait)
{
    if (wait->left_ns >= 0) {
        plain_str(plain, ", ");
        plain_duration(plain, (uint64_t)wait->left_ns);
        plain_str(plain, " left");
    } else if (wait->timeout_ns >= 0) {
        plain_str(plain, ", at most ");
        plain_duration(plain, (uint64_t)wait->timeout_ns);
    }
    if (wait->since_ns) {
        plain_str(plain, ", for ");
        plain_duration(plain, wait->since_ns);
        plain_str(plain, " or longer");
    }
}

void page_say_wait(struct plain *plain, const struct page *page, const struct snap_thread *thread,
                   bool closely)
{
    static const char *const words[] = {[HELD] = ", held by ", [RUN] = ", run by ", [IS] = ": "};
    const struct snap_wait *wait = &thread->details->wait;
    plain_str(plain, "[");
    say_what(plain, page, thread);
    if (wait->owner) {
        plain_str(plain, words[relation_of(wait->kind)]);
        say_owner(plain, page, thread->pid, wait);
        plain_str(plain, wait->owner_known == SNAP_INFERRED ? " (inferred)" : "");
    } else if (waits_is_lock(wait->kind)) {
        plain_str(plain, ", owner unknown");
    }
    if (closely)
        say_times(plain, wait);
    plain_str(plain, "]");
}

// ---- The table -----------------------------------------------------------------------------------

// The innermost Python function of one's own, else the innermost of Python's, else the innermost one.
static void add_place(struct plain *row, const struct page *page, const struct snap_thread *thread)
{
    const struct snap_frame *shown = NULL;
    vec_foreach (frame, &thread->frames) {
        struct prof_function function = {.kind = frame->kind, .file = frame->file};
        bool own = frame->kind == SNAP_PYTHON && names_is_own_code(&page->names, &function);
        bool better = !shown || (frame->kind == SNAP_PYTHON && shown->kind != SNAP_PYTHON);
        shown = own || better ? frame : shown;
        if (own)
            break;
    }
    uint32_t name = !shown ? 0 : shown->qualname ? shown->qualname : shown->function;
    if (!name)
        return;
    plain_id(row, page->names.strings, name, NAME_COLUMNS, PLAIN_KEEP_START);
    if (shown->kind != SNAP_PYTHON || !shown->file)
        return;
    plain_str(row, " ");
    names_path(row, &page->names, shown->file);
    if (shown->line >= 0)
        plain_add(row, ":%d", (int)shown->line);
}

// Where the first of them waits, and whether all do.
static void add_places(struct plain *row, struct page *page, const struct wait_one *ones,
                       size_t count)
{
    GUARD(plain_deinit) struct plain first = {0};
    bool elsewhere = false;
    add_place(&first, page, ones->thread);
    for (size_t i = 1; i < count && !elsewhere; i++) {
        GUARD(plain_deinit) struct plain other = {0};
        add_place(&other, page, ones[i].thread);
        elsewhere = strcmp(plain_text(&first), plain_text(&other)) != 0;
        page->failed |= other.failed;
    }
    plain_str(row, plain_text(&first));
    plain_str(row, elsewhere ? ", ..." : "");
    page->failed |= first.failed;
}

static void add_row(struct page *page, const struct waits *waits, const struct wait_group *group)
{
    const struct wait_one *one = &waits->ones.items[group->first];
    GUARD(plain_deinit) struct plain row = {0};
    if (group->count == 1)
        page_thread_name(&row, page, one->thread->name, one->thread->known_to_python);
    else
        plain_things(&row, group->count, "thread");
    plain_str(&row, DOC_NEXT);
    say_what(&row, page, one->thread);
    plain_str(&row, DOC_NEXT);
    if (one->wait->owner) {
        say_owner(&row, page, one->thread->pid, one->wait);
        plain_str(&row, one->wait->owner_known == SNAP_INFERRED ? " (inferred)" : "");
    } else if (waits_is_lock(one->wait->kind)) {
        plain_str(&row, "unknown");
    }
    plain_str(&row, DOC_NEXT);
    if (group->since_ns)
        plain_duration(&row, group->since_ns);
    plain_str(&row, DOC_NEXT);
    add_places(&row, page, one, group->count);
    plain_unmark(&row); // all of a cell is code
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

static void add_table(struct page *page, const struct waits *waits)
{
    static const struct doc_column columns[] = {
        {.title = "WHO", .code = true, .least = 10},
        {.title = "WAITS FOR", .code = true, .keep = PLAIN_KEEP_END, .least = 20},
        {.title = "WHO HAS IT", .code = true, .least = 12},
        {.title = "SINCE", .right = true},
        {.title = "WHERE", .code = true, .keep = PLAIN_KEEP_END, .least = 20},
    };
    doc_section(page->doc, "What threads wait for (in the last snapshot)", "wait", 3, 15);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    size_t rows = page_rows(page, USUAL_ROWS, waits->groups.count);
    for (size_t i = 0; i < rows; i++)
        add_row(page, waits, &waits->groups.items[i]);
    doc_more(page->doc, waits->groups.count - rows);
}

// ---- Chains --------------------------------------------------------------------------------------

static void add_thread(struct page *page, const struct snap_thread *thread)
{
    GUARD(plain_deinit) struct plain head = {0};
    plain_str(&head, "Thread ");
    page_say_thread(&head, page, thread->name, thread->pid, thread->tid);
    plain_add(&head, ": %s", names_state_words(thread->state));
    if (thread->details && thread->details->wait.kind != SNAP_WAIT_NONE) {
        plain_str(&head, " ");
        page_say_wait(&head, page, thread, true);
    }
    doc_head(page->doc, DOC_NORMAL, 1, plain_text(&head));
    vec_foreach (frame, &thread->frames)
        page->python_only |= frame->kind == SNAP_PYTHON;
    page_frames(page, &thread->frames, true, thread);
    page->python_only = false;
    page_thread_details(page, thread);
    page->failed |= head.failed;
}

// A hotspot report has no stacks of single threads: those that hold others up are shown.
static void add_chains(struct page *page, const struct snapshot *last)
{
    const struct diagnosis *diagnosis = page->input->diagnosis;
    if (!page->profile || !diagnosis || !diagnosis->chains.count ||
        !diagnosis_has(diagnosis, DIAG_MEDIUM))
        return;
    doc_section(page->doc, "Threads that hold others up (in the last snapshot)", "thread", 2, 25);
    AUTO_FREE bool *seen = calloc(last->threads.count + 1, sizeof(*seen));
    page->failed |= !seen;
    for (size_t i = 0; seen && i < diagnosis->chains.count && i < CHAINS_SHOWN; i++) {
        const struct diag_chain *chain = &diagnosis->chains.items[i];
        // The root blocker is the last one.
        for (size_t k = chain->threads.count, shown = 0; k-- > 0 && shown < CHAIN_THREADS_SHOWN;) {
            uint32_t thread = chain->threads.items[k];
            if (thread >= last->threads.count || seen[thread])
                continue;
            seen[thread] = true;
            shown++;
            add_thread(page, &last->threads.items[thread]);
        }
    }
}

// A dump has the tags of its stacks; a table is worth its place where somebody has what others want.
static bool wants_table(const struct page *page, const struct waits *waits)
{
    return waits->groups.count &&
           (page->profile || page->options->table ||
            (waits->ones.items[waits->groups.items[0].first].wait->owner && waits->ones.count > 1));
}

void page_waits(struct page *page)
{
    const struct snapshot *last = page->moment;
    GUARD(waits_deinit) struct waits waits = {0};
    if (!waits_find(last, &waits)) {
        page->failed = true;
        return;
    }
    if (wants_table(page, &waits))
        add_table(page, &waits);
    if (last)
        add_chains(page, last);
}
