// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of a thread beyond its stack, as lines among and below its frames: locks that it has,
// variables, exceptions.
#include <inttypes.h>
#include <string.h>

#include "report/page.h"
#include "util/guard.h"

#define NAME_COLUMNS 60
#define MESSAGE_COLUMNS 200
#define LINE_COLUMNS 100 // where there is no terminal
#define VALUE_LEAST 40
#define PATH_COLUMNS 200
#define LOCALS_SHOWN 24 // of a frame
#define LINES_SHOWN 12  // of a traceback, its inner ones
#define EXCEPTIONS_SHOWN 8

static void put(struct page *page, struct plain *line)
{
    doc_line(page->doc, DOC_FAINT, 0, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void add_held(struct page *page, struct plain *line, const struct snap_held *held)
{
    plain_str(line, "    - holds ");
    if (held->type)
        plain_id(line, page->names.strings, held->type, NAME_COLUMNS, PLAIN_KEEP_START);
    else
        plain_str(line, "lock");
    if (held->what) {
        plain_str(line, " ");
        plain_id(line, page->names.strings, held->what, NAME_COLUMNS, PLAIN_KEEP_END);
    }
    if (held->object)
        plain_add(line, " <0x%" PRIx64 ">", held->object);
    plain_str(line, held->known == SNAP_INFERRED ? " (inferred)" : "");
    put(page, line);
}

static void add_local(struct page *page, struct plain *line, const struct snap_local *local)
{
    plain_str(line, "    ");
    plain_id(line, page->names.strings, local->name, NAME_COLUMNS, PLAIN_KEEP_START);
    plain_str(line, " = ");
    size_t width = page->options->width ? page->options->width : LINE_COLUMNS;
    size_t taken = plain_columns(plain_text(line));
    size_t columns = taken + VALUE_LEAST < width ? width - taken : VALUE_LEAST;
    if (local->value)
        plain_id(line, page->names.strings, local->value, page->options->full ? 0 : columns,
                 PLAIN_KEEP_START);
    else
        plain_str(line, "(could not be read)");
    put(page, line);
}

void page_frame_details(struct page *page, const struct snap_thread *thread, size_t frame)
{
    const struct snap_details *details = thread->details;
    GUARD(plain_deinit) struct plain line = {0};
    size_t left_out = 0, shown = 0;
    if (!details)
        return;
    vec_foreach (held, &details->held)
        if (held->frame == frame)
            add_held(page, &line, held);
    const struct snap_locals *locals = &details->locals;
    for (size_t i = snap_locals_begin(locals, frame);
         i < locals->count && locals->items[i].frame == frame; i++) {
        if (!page->options->full && shown >= LOCALS_SHOWN) {
            left_out++;
            continue;
        }
        add_local(page, &line, &locals->items[i]);
        shown++;
    }
    if (left_out) {
        plain_str(&line, "    ... ");
        plain_things(&line, left_out, "more variable");
        plain_str(&line, "; --full shows them");
        put(page, &line);
    }
}

// ---- Exceptions ----------------------------------------------------------------------------------

static const char *words_of(enum snap_exception_role role)
{
    switch (role) {
    case SNAP_EXC_RAISED:
        return "  - raises ";
    case SNAP_EXC_HANDLED:
        return "  - handles ";
    case SNAP_EXC_CAUSE:
        return "    caused by ";
    case SNAP_EXC_CONTEXT:
        return "    while it handled ";
    case SNAP_EXC_MEMBER:
        return "    one of its members: ";
    }
    return "";
}

// "ValueError: bad price", as a traceback's last line has it.
static void say_exception(struct plain *line, const struct page *page,
                          const struct snap_exception *from)
{
    size_t columns = page->options->full ? 0 : MESSAGE_COLUMNS;
    plain_id(line, page->names.strings, from->type, NAME_COLUMNS, PLAIN_KEEP_START);
    if (from->message && strtab_size(page->names.strings, from->message)) {
        plain_str(line, ": ");
        plain_id(line, page->names.strings, from->message, columns, PLAIN_KEEP_START);
    } else if (!from->message && from->arguments) {
        plain_id(line, page->names.strings, from->arguments, columns, PLAIN_KEEP_START);
    }
    if (from->members)
        plain_add(line, " (%zu sub-exception%s)", from->members, from->members == 1 ? "" : "s");
}

static void add_traceback(struct page *page, struct plain *line, const struct snap_exception *from)
{
    size_t count = from->traceback.count;
    size_t shown = page->options->full || count <= LINES_SHOWN + 1 ? count : LINES_SHOWN;
    if (shown < count) {
        plain_add(line, "      ... %zu outer lines are left out; --full shows them", count - shown);
        put(page, line);
    }
    for (size_t i = count - shown; i < count; i++) {
        const struct snap_traceback_line *at = &from->traceback.items[i];
        plain_str(line, "      ");
        plain_id(line, page->names.strings, at->function, NAME_COLUMNS, PLAIN_KEEP_START);
        plain_str(line, " (");
        plain_id(line, page->names.strings, at->file, PATH_COLUMNS, PLAIN_KEEP_END);
        if (at->line >= 0)
            plain_add(line, ":%" PRId32, at->line);
        plain_str(line, ")");
        put(page, line);
    }
    if (from->lines_left_out) {
        plain_add(line, "      %zu lines in the middle of the traceback were not read",
                  from->lines_left_out);
        put(page, line);
    }
    if (from->cut) {
        plain_str(line, "      the rest of the traceback could not be read");
        put(page, line);
    }
}

void page_thread_details(struct page *page, const struct snap_thread *thread)
{
    const struct snap_details *details = thread->details;
    GUARD(plain_deinit) struct plain line = {0};
    if (!details)
        return;
    vec_foreach (held, &details->held)
        if (held->frame >= thread->frames.count)
            add_held(page, &line, held);
    size_t count = details->exceptions.count;
    size_t shown = page->options->full || count <= EXCEPTIONS_SHOWN + 1 ? count : EXCEPTIONS_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        const struct snap_exception *exception = &details->exceptions.items[i];
        plain_str(&line, words_of(exception->role));
        say_exception(&line, page, exception);
        put(page, &line);
        add_traceback(page, &line, exception);
    }
    if (shown < count) {
        plain_add(&line, "  ... %zu more exceptions; --full shows them", count - shown);
        put(page, &line);
    }
}

uint64_t page_hidden_values(const struct page *page)
{
    uint64_t hidden = 0;
    const struct snapshot *last = page->moment;
    for (size_t i = 0; last && i < last->threads.count; i++)
        if (last->threads.items[i].details)
            hidden += last->threads.items[i].details->hidden;
    return hidden;
}
