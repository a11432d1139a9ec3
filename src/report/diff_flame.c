// SPDX-License-Identifier: GPL-3.0-or-later
// The differential flame graph of the HTML page: both runs in one, outermost function at the top. A
// frame is as wide as the mean of its shares in A and B, so that what is gone is there as well as
// what is new; its colour says which of the two has more of it. Drawn as SVG without any script or
// style: each frame has its numbers as a title, which is what browsers show under the pointer.
#include "report/diff_flame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html_doc.h"
#include "util/guard.h"

#define WIDTH 1200.0
#define ROW 18
#define LEAST_WIDTH 1.5 // narrower frames are left out; wider ones, too, where there are too many
#define CHAR_WIDTH 6.7  // of the font below, at 11 pixels
#define ROWS_MAX 120
#define FRAMES_MAX 3000

struct flame {
    FILE *out; // NULL: frames are only counted
    const struct diff_page *page;
    const struct diff_stack **stacks; // by their functions, outermost first
    size_t stack_count, frames, left_out;
    double least_width;
    unsigned rows;
};

static uint32_t function_at(const struct diff_stack *stack, size_t depth)
{
    return stack->functions[stack->count - 1 - depth];
}

static int by_functions(const void *left, const void *right)
{
    const struct diff_stack *a = *(const struct diff_stack *const *)left;
    const struct diff_stack *b = *(const struct diff_stack *const *)right;
    for (size_t depth = 0; depth < a->count && depth < b->count; depth++)
        if (function_at(a, depth) != function_at(b, depth))
            return function_at(a, depth) < function_at(b, depth) ? -1 : 1;
    return (a->count > b->count) - (a->count < b->count);
}

// From blue by grey to red, by how much of the frame is B's: nine steps, light enough for black text.
static const char *color_of(double before, double after)
{
    static const char *const colors[] = {"#7fb2e5", "#9dc3ea", "#bad4ee", "#d3e2f1", "#e4e4e4",
                                         "#f5dcd5", "#f4c3b5", "#f1a48f", "#ec8368"};
    double part = (after - before) / (after + before); // -1: A's alone
    return colors[(int)lround((part + 1) * 4)];
}

static void put_title(struct flame *flame, struct plain *text, uint32_t function, double before,
                      double after)
{
    const struct names *names;
    const struct prof_function *f = diff_function_of(flame->page, function, &names);
    plain_clear(text);
    names_function(text, names, f, 80);
    size_t name_size = text->size;
    plain_str(text, " ");
    names_place(text, names, f);
    if (text->size == name_size + 1 && !text->failed)
        text->bytes[--text->size] = '\0';
    plain_str(text, ": A ");
    plain_percent(text, before);
    plain_str(text, " %, B ");
    plain_percent(text, after);
    plain_str(text, " % (");
    diff_points(text, after - before);
    plain_str(text, " points)");
    fputs("<title>", flame->out);
    html_text(flame->out, plain_text(text), text->size);
    fputs("</title>", flame->out);
}

static void put_frame(struct flame *flame, uint32_t function, unsigned row, double x, double before,
                      double after)
{
    GUARD(plain_deinit) struct plain text = {0}, shown = {0};
    const struct names *names;
    double width = (before + after) / 2 * WIDTH;
    // Integers: what printf writes between the digits of others is the locale's.
    long left = lround(x * WIDTH * 10), size = lround(width * 10);
    fprintf(flame->out, "<g>");
    put_title(flame, &text, function, before, after);
    fprintf(flame->out,
            "<rect x=\"%ld\" y=\"%u\" width=\"%ld\" height=\"%d\" fill=\"%s\" stroke=\"#fff\" "
            "stroke-width=\"5\"/>",
            left, row * ROW * 10, size, ROW * 10, color_of(before, after));
    size_t columns = (size_t)fmax(0, (width - 6) / CHAR_WIDTH);
    if (columns >= 4) {
        plain_clear(&text);
        const struct prof_function *f = diff_function_of(flame->page, function, &names);
        names_function(&text, names, f, 0);
        plain_clip(&shown, plain_text(&text), columns, PLAIN_KEEP_START);
        fprintf(flame->out, "<text x=\"%ld\" y=\"%u\" fill=\"#111\">", left + 30,
                row * ROW * 10 + 130);
        html_text(flame->out, plain_text(&shown), shown.size);
        fputs("</text>", flame->out);
    }
    fputs("</g>\n", flame->out);
}

// The frames at `depth` of the stacks [from, end), which have all frames before it in common.
static void put_frames(struct flame *flame, size_t from, size_t end, size_t depth, double x)
{
    for (size_t i = from, next; i < end; i = next) {
        double before = 0, after = 0;
        next = i + 1;
        if (flame->stacks[i]->count <= depth)
            continue; // it ends in the frame above
        uint32_t function = function_at(flame->stacks[i], depth);
        while (next < end && function_at(flame->stacks[next], depth) == function)
            next++;
        for (size_t k = i; k < next; k++) {
            before += flame->stacks[k]->work.share[DIFF_BEFORE];
            after += flame->stacks[k]->work.share[DIFF_AFTER];
        }
        double width = (before + after) / 2;
        if (width * WIDTH < flame->least_width || depth >= ROWS_MAX) {
            flame->left_out++;
        } else {
            flame->frames++;
            if (flame->rows <= depth)
                flame->rows = (unsigned)depth + 1;
            if (flame->out)
                put_frame(flame, function, (unsigned)depth, x, before, after);
            put_frames(flame, i, next, depth + 1, x);
        }
        x += width;
    }
}

// So that there are not too many.
static void find_least_width(struct flame *flame)
{
    for (flame->least_width = LEAST_WIDTH;; flame->least_width *= 1.5) {
        flame->frames = flame->rows = 0;
        put_frames(flame, 0, flame->stack_count, 0, 0);
        flame->left_out = 0;
        if (flame->frames <= FRAMES_MAX)
            break;
    }
}

bool diff_flame(FILE *out, const struct diff_page *page)
{
    const struct prof_diff *diff = page->diff;
    AUTO_FREE const struct diff_stack **stacks =
        calloc(diff->stack_count + 1, sizeof(const struct diff_stack *));
    struct flame flame = {.page = page, .stacks = stacks};
    if (!stacks)
        return false;
    for (size_t i = 0; i < diff->stack_count; i++) {
        const uint64_t *samples = diff->stacks[i].work.samples;
        if (diff->stacks[i].count && samples[DIFF_BEFORE] + samples[DIFF_AFTER])
            stacks[flame.stack_count++] = &diff->stacks[i];
    }
    qsort(stacks, flame.stack_count, sizeof(const struct diff_stack *), by_functions);
    find_least_width(&flame);
    flame.out = out;
    fprintf(
        out,
        "<svg viewBox=\"0 0 %d %u\" width=\"100%%\" role=\"img\" aria-label=\"Differential flame "
        "graph; the tables of stacks say the same\" font-family=\"monospace\" "
        "font-size=\"110\">\n",
        (int)WIDTH * 10, flame.rows * ROW * 10 + 10);
    put_frames(&flame, 0, flame.stack_count, 0, 0);
    fputs("</svg>\n", out);
    if (flame.left_out)
        fprintf(out, "<p>%zu frames are too narrow or too deep to be drawn.</p>\n", flame.left_out);
    return true;
}
