// SPDX-License-Identifier: GPL-3.0-or-later
// The pages of pycore top that are text: the stack of a thread as reports show it, what is known of a
// function, the help.
#include <stdlib.h>
#include <string.h>

#include "report/task_words.h"
#include "report/top_private.h"
#include "util/guard.h"

#define ROWS_OF_EACH 12 // callers, callees, lines
#define TASKS_SHOWN 500 // of a group
#define CONTINUED 8     // indentation of what is left of a line

// A page: its title, and a document whose last section holds the lines.
struct text {
    struct top *top;
    struct plain title;
    struct doc doc;
};

static void text_begin(struct text *text, struct top *top)
{
    *text = (struct text){.top = top};
    doc_section(&text->doc, NULL, NULL, 0, 0);
}

static void text_deinit(struct text *text)
{
    plain_deinit(&text->title);
    doc_deinit(&text->doc);
}

static void add_line(struct text *text, enum doc_style style, const char *line)
{
    doc_line(&text->doc, style, 0, line);
}

// A line of the document, or what of it begins at the left edge of a line of the screen.
struct part {
    const char *text;
    size_t bytes, indent;
    enum doc_style style;
};
VEC_DEFINE(parts, struct part);

static void parts_deinit(struct parts *parts)
{
    vec_deinit(parts);
}

size_t top_fits(const char *text, size_t columns)
{
    size_t bytes = 0, used = 0, space = 0;
    while (text[bytes]) {
        unsigned width;
        size_t size = plain_char(text + bytes, &width);
        if (used + width > columns)
            break;
        used += width;
        bytes += size;
        if (text[bytes] == ' ' && bytes > strspn(text, " "))
            space = bytes + 1;
    }
    return text[bytes] && space && space <= bytes ? space : bytes;
}

// Lines that are too wide go on in the next one.
static void wrap(struct text *text, struct parts *parts)
{
    size_t columns = text->top->screen->columns;
    vec_foreach (block, &text->doc.sections.items[0].blocks) {
        const char *at = block->text ? block->text : "";
        size_t indent = 0;
        do {
            size_t bytes = top_fits(at, columns - indent);
            if (!vec_push(parts, (struct part){at, bytes, indent, block->style}))
                text->doc.failed = true;
            at += bytes ? bytes : strlen(at);
            indent = CONTINUED;
        } while (*at);
    }
}

static void scroll_to_bounds(struct top_cursor *scroll, size_t lines, size_t height)
{
    size_t last = lines > height ? lines - height : 0;
    scroll->height = height;
    if (scroll->first > last)
        scroll->first = last;
}

static void draw_part(struct screen *screen, unsigned row, const struct part *part)
{
    static const enum screen_style styles[] = {
        [DOC_NORMAL] = SCREEN_NORMAL, [DOC_HOT] = SCREEN_HOT, [DOC_FAINT] = SCREEN_FAINT};
    GUARD(plain_deinit) struct plain line = {0};
    plain_pad(&line, part->indent);
    plain_bytes(&line, part->text, part->bytes);
    screen_put(screen, row, styles[part->style], plain_text(&line));
    screen->failed |= line.failed;
}

static void text_draw(struct text *text, unsigned from, unsigned lines)
{
    struct screen *screen = text->top->screen;
    struct top_cursor *scroll = &text->top->state->text;
    GUARD(parts_deinit) struct parts parts = {0};
    GUARD(plain_deinit) struct plain seen = {0};
    if (!lines || from + lines > screen->rows || !text->doc.sections.count)
        return;
    wrap(text, &parts);
    size_t count = parts.count, height = lines - 1;
    scroll_to_bounds(scroll, count, height);
    size_t end = scroll->first + height < count ? scroll->first + height : count;
    if (count > height)
        plain_add(&seen, " lines %zu-%zu of %zu", scroll->first + 1, end, count);
    unsigned taken = (unsigned)plain_columns(plain_text(&seen));
    unsigned left = taken < screen->columns ? screen->columns - taken : 0;
    screen_cell(screen, from, SCREEN_BAR, plain_text(&text->title), left, false, PLAIN_KEEP_START);
    screen_put(screen, from, SCREEN_BAR, plain_text(&seen));
    for (size_t i = scroll->first; i < end; i++)
        draw_part(screen, from + 1 + (unsigned)(i - scroll->first), &parts.items[i]);
    screen->failed |= text->doc.failed || text->title.failed || seen.failed;
}

// ---- A stack -------------------------------------------------------------------------------------

static const struct snap_thread *opened_thread(const struct top *top)
{
    if (!top->latest)
        return NULL;
    vec_foreach (thread, &top->latest->threads)
        if (top_thread_key(thread->pid, thread->tid) == top->state->opened)
            return thread;
    return NULL;
}

static void frames_deinit(struct snap_frames *frames)
{
    vec_deinit(frames);
}

static void add_frames(struct text *text, const struct snap_frames *frames)
{
    GUARD(frames_deinit) struct snap_frames shown = {0};
    struct report_options options = {.full = true};
    vec_foreach (frame, frames)
        if ((frame->kind != SNAP_NATIVE || text->top->state->native) && !vec_push(&shown, *frame))
            text->doc.failed = true;
    struct page page = text->top->page;
    page.doc = &text->doc;
    page.options = &options;
    page_frames(&page, &shown, false, NULL);
    text->doc.failed |= page.failed;
}

static void say_thread(struct text *text, const struct snap_thread *thread)
{
    const struct page *page = &text->top->page;
    struct plain *title = &text->title;
    page_thread_name(title, page, thread->name, thread->known_to_python);
    plain_add(title, " (%d)  %s", (int)thread->tid, snap_state_name(thread->state));
    if (thread->syscall) {
        plain_str(title, " in ");
        plain_id(title, page->names.strings, thread->syscall, 32, PLAIN_KEEP_START);
    }
    if (thread->has_holds_gil && thread->holds_gil)
        plain_str(title, ", holds the GIL");
    if (thread->in_gc)
        plain_str(title, ", collects garbage");
    for (size_t i = 0; page->profile && i < page->profile->thread_count; i++) {
        const struct prof_thread *counted = &page->profile->threads[i];
        if (counted->tid == thread->tid && counted->pid == thread->pid && counted->has_cpu)
            plain_add(title, ", %.1f %% CPU", counted->cpu_share * 100);
    }
    plain_str(title, "; innermost first");
}

void top_stack(struct top *top, unsigned from, unsigned lines)
{
    GUARD(text_deinit) struct text text;
    text_begin(&text, top);
    const struct snap_thread *thread = opened_thread(top);
    if (!thread) {
        plain_str(&text.title, "Stack");
        add_line(&text, DOC_NORMAL, "  This thread was not in the last snapshot: it has ended.");
    } else {
        say_thread(&text, thread);
        add_frames(&text, &thread->frames);
        if (!thread->frames.count)
            add_line(&text, DOC_FAINT, "  no frames");
        vec_foreach (note, &thread->notes) {
            GUARD(plain_deinit) struct plain line = {0};
            plain_str(&line, "  Note: ");
            plain_id(&line, top->page.names.strings, *note, 0, PLAIN_KEEP_START);
            add_line(&text, DOC_FAINT, plain_text(&line));
        }
    }
    text_draw(&text, from, lines);
}

// ---- A group of tasks ----------------------------------------------------------------------------

static void add_task(struct text *text, const struct task_groups *groups, uint32_t index)
{
    const struct page *page = &text->top->page;
    const struct task_group one = task_groups_sum(groups, &index, 1);
    GUARD(plain_deinit) struct plain line = {0}, await = {0};
    plain_str(&line, "  ");
    task_say_name(&line, page, groups, index);
    task_say_await(&await, page, groups, &one, &index);
    task_say_times(&await, &one);
    plain_add(&line, "  %s", plain_text(&await));
    plain_unmark(&line);
    add_line(text, DOC_NORMAL, plain_text(&line));
    text->doc.failed |= line.failed || await.failed;
}

void top_task(struct top *top, unsigned from, unsigned lines)
{
    GUARD(text_deinit) struct text text;
    const struct task_groups *groups = NULL;
    text_begin(&text, top);
    const struct task_group *group =
        top_find_tasks(top) ? top_task_group_of(top, top->state->opened, &groups) : NULL;
    plain_str(&text.title, "Tasks that wait at one place; innermost frame first");
    if (!group) {
        add_line(&text, DOC_NORMAL, "  None is there any more.");
    } else {
        static const struct report_options options = {0};
        struct page page = top->page;
        page.doc = &text.doc;
        page.options = &options;
        page_add_group(&page, groups, group);
        add_line(&text, DOC_NORMAL, "");
        for (size_t i = 0; i < group->count && i < TASKS_SHOWN; i++)
            add_task(&text, groups, groups->order[group->first + i]);
        text.doc.failed |= page.failed;
    }
    text_draw(&text, from, lines);
}

// ---- A function ----------------------------------------------------------------------------------

static void add_share_of(struct plain *line, uint64_t part, uint64_t of)
{
    plain_add(line, "  %5.1f %%  ", weigh_ratio(part, of) * 100);
}

// `callers`: those that call it; else those that it calls. Edges are heaviest first.
static void add_edges(struct text *text, uint32_t index, bool callers)
{
    const struct page *page = &text->top->page;
    const struct prof_report *profile = page->profile;
    uint64_t total = weigh_total(&page->weigh, page_function(page, index));
    size_t shown = 0;
    for (size_t i = 0; i < profile->edge_count && shown < ROWS_OF_EACH; i++) {
        const struct prof_edge *edge = &profile->edges[i];
        uint32_t other = callers ? edge->caller : edge->callee;
        uint64_t weight = weigh_edge(&page->weigh, edge);
        const struct prof_function *function = page_function(page, other);
        if ((callers ? edge->callee : edge->caller) != index || !weight || !function ||
            (function->kind == SNAP_NATIVE && !text->top->state->native))
            continue;
        GUARD(plain_deinit) struct plain line = {0};
        add_share_of(&line, weight, total);
        page_function_cell(&line, page, other);
        add_line(text, function->kind == SNAP_NATIVE ? DOC_FAINT : DOC_NORMAL, plain_text(&line));
        shown++;
    }
    if (!shown)
        add_line(text, DOC_FAINT, "  none seen");
}

static void add_lines(struct text *text, uint32_t index)
{
    const struct page *page = &text->top->page;
    const struct prof_report *profile = page->profile;
    uint64_t total = weigh_total(&page->weigh, page_function(page, index));
    size_t shown = 0;
    for (size_t i = 0; i < profile->line_count && shown < ROWS_OF_EACH; i++) {
        const struct prof_line *line = &profile->lines[i];
        uint64_t weight = weigh_line_total(&page->weigh, line);
        if (line->function != index || !weight || line->line < 0)
            continue;
        const struct report_source_reader *reader = &page->input->source_reader;
        const char *file = strtab_get(page->names.strings, page_function(page, index)->file),
                   *source = NULL;
        bool newer = false;
        if (file && reader->line)
            source = reader->line(reader->arg, file, line->line, &newer);
        GUARD(plain_deinit) struct plain row = {0};
        add_share_of(&row, weight, total);
        plain_add(&row, "line %d  ", (int)line->line);
        if (source && !newer)
            plain_safe(&row, source, strcspn(source, "\r\n"));
        add_line(text, DOC_NORMAL, plain_text(&row));
        shown++;
    }
    if (!shown)
        add_line(text, DOC_FAINT, "  none seen");
}

static void say_function(struct text *text, const struct prof_function *function)
{
    const struct page *page = &text->top->page;
    GUARD(plain_deinit) struct plain line = {0};
    names_function(&text->title, &page->names, function, 0);
    plain_str(&text->title, "  ");
    names_place(&text->title, &page->names, function);
    plain_add(&line, "  %.1f %% itself, %.1f %% with all it calls (%s)",
              weigh_share(&page->weigh, weigh_own(&page->weigh, function)) * 100,
              weigh_share(&page->weigh, weigh_total(&page->weigh, function)) * 100,
              page->weigh.base_words);
    add_line(text, DOC_NORMAL, plain_text(&line));
    plain_clear(&line);
    plain_str(&line, "  ");
    plain_duration(&line, function->own_cpu_ns);
    plain_str(&line, " of CPU time itself, ");
    plain_duration(&line, function->total_cpu_ns);
    plain_str(&line, " with all it calls");
    if (function->activations) {
        plain_str(&line, "; at least ");
        plain_things(&line, function->activations, "distinct call");
    }
    add_line(text, DOC_NORMAL, plain_text(&line));
    text->doc.failed |= line.failed;
}

void top_function(struct top *top, unsigned from, unsigned lines)
{
    GUARD(text_deinit) struct text text;
    text_begin(&text, top);
    uint32_t index = top_function_of(top, top->state->opened);
    if (index == UINT32_MAX) {
        plain_str(&text.title, "Function");
        add_line(&text, DOC_NORMAL, "  It was not seen in this time.");
    } else {
        say_function(&text, page_function(&top->page, index));
        add_line(&text, DOC_NORMAL, "");
        add_line(&text, DOC_NORMAL, "Called by (of its total)");
        add_edges(&text, index, true);
        add_line(&text, DOC_NORMAL, "");
        add_line(&text, DOC_NORMAL, "Calls (of its total)");
        add_edges(&text, index, false);
        add_line(&text, DOC_NORMAL, "");
        add_line(&text, DOC_NORMAL, "Lines (of its total, with what they call)");
        add_lines(&text, index);
    }
    text_draw(&text, from, lines);
}

// ---- Help ----------------------------------------------------------------------------------------

void top_help(struct top *top, unsigned from, unsigned lines)
{
    static const char *const keys[][2] = {
#define KEY(id, keys, name, help) {name, help},
#include "report/top_keys.def"
#undef KEY
    };
    static const char *const words[] = {
        "",
        "CPU%    of one processor; 200 is two of them",
        "STATE   the one the thread was in most, and in how much of the time",
        "SELF%   of the working time: in the function, with the native code it calls",
        "INNER%  (--sort self) the same of the innermost frame, whatever it is",
        "TOTAL%  with all that the function calls; recursion counts once",
        "WAIT    threads that wait in it, on average",
        "CALLS   distinct calls that were seen: at least so many were made",
        "",
        "Native functions are dim: what they do counts for the Python function above",
        "them, too.",
        "All shares are estimated from snapshots, some ten a second. The interval",
        "between them grows (up to 500 ms) when they would stop the process for 1 % of",
        "the time, or cost pycore too much; -i sets it.",
    };
    GUARD(text_deinit) struct text text;
    text_begin(&text, top);
    plain_str(&text.title, "Keys (Esc: back)");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        GUARD(plain_deinit) struct plain line = {0};
        plain_add(&line, "%-10s  %s", keys[i][0], keys[i][1]);
        add_line(&text, DOC_NORMAL, plain_text(&line));
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        add_line(&text, DOC_NORMAL, words[i]);
    text_draw(&text, from, lines);
}
