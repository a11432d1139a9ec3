// SPDX-License-Identifier: GPL-3.0-or-later
// Folded stacks, one a line: "outermost;...;innermost COUNT". flamegraph.pl, inferno and speedscope
// read them. COUNT is what --weight says: thread samples, or nanoseconds of CPU time.
//
// The format has no way to quote. What would break it is written as Python writes it in a string:
// `;`, which parts frames, as \x3b, and the last blank of a frame that ends like a count ("f 12"),
// which flamegraph.pl would take for a second one, as \x20; so is a `#` at the begin, where some
// readers know comments. Everything else survives: names come from the view, where controls and line
// ends are \n and \x1b already.
#include <inttypes.h>
#include <string.h>

#include "report/export.h"
#include "util/guard.h"

// Where the blank is that stands before a number at the end of the text, as flamegraph.pl finds one:
// \d+(\.\d*)?$. The size of the text: there is none.
static size_t blank_before_number(const char *text, size_t size)
{
    size_t at = size;
    while (at > 0 && strchr("0123456789.", text[at - 1]))
        at--;
    return at > 0 && at < size && text[at - 1] == ' ' ? at - 1 : size;
}

static void escape(struct plain *out, const char *text)
{
    size_t size = strlen(text), blank = blank_before_number(text, size);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ';' || i == blank || (text[i] == '#' && i == 0))
            plain_add(out, "\\x%02x", (unsigned char)text[i]);
        else
            plain_bytes(out, &text[i], 1);
    }
}

// The frames' texts one after the other; where each begins, and at last the end of all.
static bool make_labels(const struct view *view, struct plain *ret, size_t *ret_begins)
{
    GUARD(plain_deinit) struct plain label = {0};
    for (size_t i = 0; i < view->frame_count; i++) {
        plain_clear(&label);
        view_label(&label, &view->frames[i]);
        ret_begins[i] = ret->size;
        escape(ret, plain_text(&label));
    }
    ret_begins[view->frame_count] = ret->size;
    return !label.failed && !ret->failed;
}

struct err *report_folded(FILE *out, const struct report_input *input,
                          const struct report_options *options)
{
    GUARD(export_view) struct view *view = NULL;
    GUARD(plain_deinit) struct plain labels = {0};
    TRY(view_create(input, options, 0, &view));
    AUTO_FREE size_t *begins = calloc(view->frame_count + 1, sizeof(*begins));
    if (!begins || !make_labels(view, &labels, begins))
        return export_no_memory();
    for (size_t i = 0; i < view->stack_count; i++) {
        const struct view_stack *stack = &view->stacks[i];
        for (size_t k = 0; k < stack->count; k++) {
            size_t begin = begins[stack->frames[k]], end = begins[stack->frames[k] + 1];
            if (k)
                fputc(';', out);
            fwrite(plain_text(&labels) + begin, 1, end - begin, out);
        }
        if (!stack->count)
            fputs(EXPORT_NO_FRAMES, out);
        fprintf(out, " %" PRIu64 "\n", stack->weight);
    }
    return export_finish(out);
}
