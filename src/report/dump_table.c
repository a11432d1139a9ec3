// SPDX-License-Identifier: GPL-3.0-or-later
// The thread table of a dump: all that /proc tells when the process's memory may not be read, and an
// overview where there is room for one beside the stacks.
#include "report/page.h"
#include "util/guard.h"

static const struct doc_column columns[] = {
    {.title = "TID", .right = true},
    {.title = "THREAD", .code = true, .keep = PLAIN_KEEP_START, .least = 8},
    {.title = "CPU", .right = true},
    {.title = "STATE"},
    {.title = "IN", .code = true, .keep = PLAIN_KEEP_START, .least = 8},
    {.title = "AT", .code = true, .keep = PLAIN_KEEP_START, .least = 8},
};

// The innermost frame that has a name in Python; a thread without any has its innermost one.
static void add_place(struct plain *row, const struct page *page, const struct snap_thread *thread)
{
    const struct snap_frame *shown = NULL;
    vec_foreach (frame, &thread->frames) {
        if (!shown || frame->kind != SNAP_NATIVE)
            shown = frame;
        if (frame->kind != SNAP_NATIVE)
            break;
    }
    uint32_t name = !shown ? 0 : shown->qualname ? shown->qualname : shown->function;
    if (!name)
        return;
    plain_id(row, page->names.strings, name, 60, PLAIN_KEEP_START);
    if (shown->kind != SNAP_PYTHON || !shown->file)
        return;
    plain_str(row, " ");
    plain_id(row, page->names.strings, shown->file, 60, PLAIN_KEEP_END);
    if (shown->line >= 0)
        plain_add(row, ":%d", (int)shown->line);
}

static void add_thread(struct page *page, const struct snapshot *snapshot,
                       const struct snap_thread *thread)
{
    GUARD(plain_deinit) struct plain row = {0};
    plain_add(&row, "%d" DOC_NEXT, (int)thread->tid);
    plain_id(&row, page->names.strings, thread->name, 40, PLAIN_KEEP_START);
    plain_str(&row, DOC_NEXT);
    uint64_t window_ns = snap_window_of(snapshot, thread->pid);
    if (thread->has_cpu && window_ns)
        plain_percent(&row, weigh_ratio(thread->cpu_ns, window_ns));
    plain_str(&row, DOC_NEXT);
    plain_str(&row,
              thread->state == SNAP_UNKNOWN ? "waits or sleeps" : snap_state_name(thread->state));
    plain_str(&row, DOC_NEXT);
    if (thread->syscall)
        plain_id(&row, page->names.strings, thread->syscall, 40, PLAIN_KEEP_START);
    plain_str(&row, DOC_NEXT);
    add_place(&row, page, thread);
    doc_row(page->doc, DOC_NORMAL, 1, plain_text(&row));
    page->failed |= row.failed;
}

void page_dump_table(struct page *page, const struct snapshot *snapshot)
{
    doc_section(page->doc, "Threads (CPU: % of one processor)", "thread", 1, 80);
    doc_table(page->doc, columns, ARRAY_SIZE(columns));
    vec_foreach (thread, &snapshot->threads)
        add_thread(page, snapshot, thread);
}
