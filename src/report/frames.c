// SPDX-License-Identifier: GPL-3.0-or-later
// The frames of one stack in a thread dump, Python's and native ones in one order. Native frames
// stand back: they are indented and dim, and a long row of them is cut in its middle.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/groups.h"
#include "report/page.h"
#include "util/guard.h"

#define LINES_FIRST 60 // of a stack that is too long
#define LINES_LAST 40
#define NAME_COLUMNS 120
#define PATH_COLUMNS 200

// How many native frames in a row are shown, innermost and outermost; where there are many stacks,
// Python's frames need the place.
struct native_limits {
    size_t first, last;
};
static const struct native_limits few_stacks = {14, 6}, many_stacks = {6, 2};

// "time_sleep (libpython3.12.so.1.0) timemodule.c:2204", "libfoo.so+0x1234"
static void add_native(struct plain *line, const struct page *page, const struct snap_frame *frame)
{
    const struct strtab *strings = page->names.strings;
    if (frame->flags & SNAP_FRAME_SIGNAL) {
        plain_str(line, "<signal handler called>");
        return;
    }
    if (!frame->function && frame->module) {
        plain_id(line, strings, frame->module, NAME_COLUMNS, PLAIN_KEEP_END);
        if (frame->address != SNAP_NO_ADDRESS)
            plain_add(line, "+0x%" PRIx64, frame->offset);
        return;
    }
    if (frame->function)
        plain_id(line, strings, frame->function, NAME_COLUMNS, PLAIN_KEEP_START);
    else if (frame->address == SNAP_NO_ADDRESS)
        plain_str(line, "code in no module");
    else
        plain_add(line, "0x%" PRIx64, frame->address);
    if (frame->module) {
        plain_str(line, " (");
        plain_id(line, strings, frame->module, NAME_COLUMNS, PLAIN_KEEP_END);
        plain_str(line, ")");
    }
    const char *file = strtab_get(strings, frame->file);
    if (file) {
        const char *base = names_base(file);
        GUARD(plain_deinit) struct plain whole = {0};
        plain_safe(&whole, base, strtab_size(strings, frame->file) - (size_t)(base - file));
        plain_str(line, " ");
        plain_clip(line, plain_text(&whole), NAME_COLUMNS, PLAIN_KEEP_END);
        line->failed |= whole.failed;
        if (frame->line >= 0)
            plain_add(line, ":%" PRId32, frame->line);
    }
}

static void add_path(struct plain *line, const struct page *page, uint32_t file)
{
    const char *path = strtab_get(page->names.strings, file);
    size_t size = strtab_size(page->names.strings, file);
    size_t cut = names_stripped(page->options, path, size);
    GUARD(plain_deinit) struct plain whole = {0};
    plain_safe(&whole, path + cut, size - cut);
    plain_clip(line, plain_text(&whole), PATH_COLUMNS, PLAIN_KEEP_END);
    line->failed |= whole.failed;
}

static void add_python(struct plain *line, const struct page *page, const struct snap_frame *frame)
{
    const struct strtab *strings = page->names.strings;
    uint32_t name = frame->qualname ? frame->qualname : frame->function;
    if (frame->flags & SNAP_FRAME_UNREADABLE && !name) {
        plain_str(line, "(unreadable)");
    } else if (frame->kind == SNAP_BUILTIN) {
        const char *text = strtab_get(strings, name);
        bool braces = !text || text[0] != '{';
        plain_str(line, braces ? "{" : "");
        plain_id(line, strings, name, NAME_COLUMNS, PLAIN_KEEP_START);
        plain_str(line, braces ? "}" : "");
    } else {
        plain_id(line, strings, name, NAME_COLUMNS, PLAIN_KEEP_START);
    }
    if (!frame->file)
        return;
    const struct report_options *options = page->options;
    int32_t at = options->by_function ? frame->first_line : frame->line;
    plain_str(line, " (");
    add_path(line, page, frame->file);
    if (at >= 0 && !options->no_lines)
        plain_add(line, ":%" PRId32, at);
    bool unknown = at < 0 && frame->kind == SNAP_PYTHON && !options->no_lines;
    plain_str(line, unknown ? ", line not known)" : ")");
}

static void add_frame(struct page *page, const struct snap_frame *frame)
{
    static const struct {
        uint8_t flag;
        const char *words;
    } marks[] = {
        {SNAP_FRAME_INFERRED, " (inferred)"}, {SNAP_FRAME_INCOMPLETE, " (being set up)"},
        {SNAP_FRAME_INLINED, " (inlined)"},   {SNAP_FRAME_LIKELY, " (likely)"},
        {SNAP_FRAME_GUESSED, " (guessed)"},
    };
    bool native = frame->kind == SNAP_NATIVE;
    GUARD(plain_deinit) struct plain line = {0};
    plain_str(&line, native ? "    " : "  ");
    if (native)
        add_native(&line, page, frame);
    else
        add_python(&line, page, frame);
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (frame->flags & marks[i].flag)
            plain_str(&line, marks[i].words);
    doc_line(page->doc, native ? DOC_FAINT : DOC_NORMAL, 0, plain_text(&line));
    page->failed |= line.failed;
}

static void add_remark(struct page *page, struct plain *line)
{
    doc_line(page->doc, DOC_FAINT, 0, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static bool is_native(const struct snap_frames *frames, const struct repetition *run)
{
    for (size_t i = 0; i < run->period; i++)
        if (frames->items[run->start + i].kind != SNAP_NATIVE)
            return false;
    return true;
}

// A stack as it is shown, and whose it is.
struct shown {
    const struct snap_frames *frames;
    const uint32_t *places; // of each frame in the thread's; NULL: they are the same
    const struct snap_thread *details;
};

static void add_run(struct page *page, const struct shown *shown, const struct repetition *run)
{
    const struct snap_frames *frames = shown->frames;
    for (size_t i = run->start; i < run->start + run->period; i++) {
        add_frame(page, &frames->items[i]);
        if (shown->details)
            page_frame_details(page, shown->details, shown->places ? shown->places[i] : i);
    }
    if (run->times == 1)
        return;
    GUARD(plain_deinit) struct plain line = {0};
    plain_str(&line, is_native(frames, run) ? "    " : "  ");
    if (run->period == 1)
        plain_str(&line, "... the same frame ");
    else
        plain_add(&line, "... the same %zu frames ", run->period);
    plain_count(&line, run->times - 1);
    plain_str(&line, run->times == 2 ? " more time" : " more times");
    add_remark(page, &line);
}

// ---- What is left out ----------------------------------------------------------------------------

// The middle of each long row of native frames.
static void hide_natives(const struct snap_frames *frames, const struct repetitions *runs,
                         struct native_limits limits, bool *hidden)
{
    for (size_t i = 0, next; i < runs->count; i = next) {
        for (next = i; next < runs->count && is_native(frames, &runs->items[next]);)
            next++;
        for (size_t k = i + limits.first;
             next - i > limits.first + limits.last + 1 && k < next - limits.last; k++)
            hidden[k] = true;
        next += next == i;
    }
}

// The middle of what would still be too long.
static void hide_middle(const struct repetitions *runs, bool *hidden)
{
    size_t shown = 0, at = 0;
    for (size_t i = 0; i < runs->count; i++)
        shown += !hidden[i];
    if (shown <= LINES_FIRST + LINES_LAST + 1)
        return;
    for (size_t i = 0; i < runs->count; i++) {
        if (hidden[i])
            continue;
        hidden[i] = at >= LINES_FIRST && at < shown - LINES_LAST;
        at++;
    }
}

static void runs_deinit(struct repetitions *runs)
{
    vec_deinit(runs);
}

// The innermost one that is not native; the innermost, where there is none.
static const struct snap_frame *find_named(const struct snap_frames *frames)
{
    vec_foreach (frame, frames)
        if (frame->kind != SNAP_NATIVE)
            return frame;
    return frames->items;
}

// The frames that are wanted: without boilerplate, and the outermost ones only.
static bool choose(const struct page *page, const struct snap_frames *frames,
                   struct snap_frames *ret, uint32_t *ret_places)
{
    const struct report_options *options = page->options;
    const struct snap_frame *first = page->inner_hidden ? find_named(frames) : frames->items;
    vec_foreach (frame, frames) {
        if (page->python_only && frame->kind == SNAP_NATIVE)
            continue;
        if (frame < first)
            continue;
        if (options->hide_boilerplate &&
            names_is_boilerplate(page->names.strings, frame->kind, frame->file, frame->function))
            continue;
        ret_places[ret->count] = (uint32_t)(frame - frames->items);
        if (!vec_push(ret, *frame))
            return false;
    }
    if (options->max_depth && ret->count > options->max_depth) {
        size_t inner = ret->count - options->max_depth;
        memmove(ret->items, ret->items + inner, options->max_depth * sizeof(*ret->items));
        memmove(ret_places, ret_places + inner, options->max_depth * sizeof(*ret_places));
        ret->count = options->max_depth;
    }
    return true;
}

static void frames_deinit(struct snap_frames *frames)
{
    vec_deinit(frames);
}

void page_frames(struct page *page, const struct snap_frames *whole, bool sparingly,
                 const struct snap_thread *details)
{
    GUARD(frames_deinit) struct snap_frames chosen = {0};
    AUTO_FREE uint32_t *places = NULL;
    struct shown shown = {.frames = whole, .details = details};
    if (page->options->hide_boilerplate || page->options->max_depth || page->python_only ||
        page->inner_hidden) {
        places = calloc(whole->count + 1, sizeof(*places));
        page->failed |= !places || !choose(page, whole, &chosen, places);
        shown.frames = &chosen;
        shown.places = places;
    }
    const struct snap_frames *frames = shown.frames;
    GUARD(runs_deinit) struct repetitions runs = {0};
    GUARD(plain_deinit) struct plain line = {0};
    AUTO_FREE bool *hidden = NULL;
    if (!repetitions_find(frames, &runs) || !(hidden = calloc(runs.count + 1, sizeof(*hidden)))) {
        page->failed = true;
        return;
    }
    if (!page->options->full) {
        hide_natives(frames, &runs, sparingly ? many_stacks : few_stacks, hidden);
        hide_middle(&runs, hidden);
    }
    for (size_t i = 0, next; i < runs.count; i = next) {
        next = i + 1;
        if (!hidden[i]) {
            add_run(page, &shown, &runs.items[i]);
            continue;
        }
        bool native = is_native(frames, &runs.items[i]);
        for (; next < runs.count && hidden[next]; next++)
            native &= is_native(frames, &runs.items[next]);
        const struct repetition *last = &runs.items[next - 1];
        plain_str(&line, native ? "    ... " : "  ... ");
        plain_count(&line, last->start + last->period * last->times - runs.items[i].start);
        plain_add(&line, " %sframes between are left out; --full shows them",
                  native ? "native " : "");
        add_remark(page, &line);
    }
}
