// SPDX-License-Identifier: GPL-3.0-or-later
// A flame graph as one SVG file (SVG 1.1, XML 1.0) that needs nothing else. Opened in a browser it
// can be searched and zoomed (assets/svg.js); where scripts and styles are stripped it is the same
// picture, with names in the boxes and all facts of a box as its tooltip.
//
// Text goes through put_xml(), which lets through what XML may hold and escapes its marks; the
// script and the style are fixed text of ours and hold no "]]>".
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/assets.h"
#include "report/boxes.h"
#include "report/export.h"
#include "report/names.h"
#include "util/guard.h"
#include "util/hash.h"

#define WIDTH 1200
#define MARGIN 10
#define ROW 18
#define COLUMN_TENTHS 73 // of a pixel: a column of the 12 px fixed-width font
#define LEAST_COLUMNS 3
#define LINE 17
#define HEAD_COLUMNS 170
#define PARTS 1000     // boxes below 0.1 % of the width are left out
#define BOXES_MAX 3500 // some 280 bytes each: the file stays below 1 MB
#define SHADES 3

struct svg {
    FILE *out;
    const struct report_input *input;
    const struct view *view;
    struct names names;
    struct boxes boxes;
    struct plain text; // scratch
    unsigned y;        // of the next line
    bool async;        // --async-stacks
    bool failed;
};

// ---- Colours -------------------------------------------------------------------------------------

enum paint { PAINT_OWN, PAINT_LIBRARY, PAINT_BUILTIN, PAINT_NATIVE, PAINT_ROOT };

// Told apart by hue and lightness, so that it can be seen without red or green, too. The text on them
// has a contrast of 4.5 at least (WCAG 2.1, 1.4.3): dark text, but on the dark ones of a dark page.
static const struct {
    const char *class, *words;
    const char *light[SHADES], *dark[SHADES];
} paints[] = {
    [PAINT_OWN] = {"o",
                   "the program's own code",
                   {"#f5a04c", "#f7ad62", "#f09a4a"},
                   {"#8f4e0b", "#9a5814", "#844608"}},
    [PAINT_LIBRARY] = {"l",
                       "library",
                       {"#9ccaf0", "#add4f4", "#92c3ea"},
                       {"#1d5587", "#255f93", "#184d7b"}},
    [PAINT_BUILTIN] = {"b",
                       "builtin",
                       {"#f4e77f", "#f7ec98", "#efe06c"},
                       {"#b3a63c", "#bdb04a", "#a99c34"}},
    [PAINT_NATIVE] = {"n",
                      "native code",
                      {"#cfcfd4", "#d9d9dd", "#c6c6cc"},
                      {"#55565c", "#5f6066", "#4c4d53"}},
    [PAINT_ROOT] = {"r",
                    "all, processes, threads",
                    {"#efeff2", "#efeff2", "#efeff2"},
                    {"#2c2e33", "#2c2e33", "#2c2e33"}},
};

static enum paint paint_of(const struct svg *svg, const struct view_frame *frame)
{
    if (!frame || frame->kind == VIEW_PROCESS || frame->kind == VIEW_THREAD)
        return PAINT_ROOT;
    if (frame->kind != VIEW_PYTHON)
        return frame->kind == VIEW_BUILTIN ? PAINT_BUILTIN : PAINT_NATIVE;
    return names_is_own_code(&svg->names, &svg->view->profile->functions[frame->function])
               ? PAINT_OWN
               : PAINT_LIBRARY;
}

// ---- Text ----------------------------------------------------------------------------------------

// Clean text (report/plain.h) as character data of XML. It holds no control characters; what else
// XML 1.0 forbids (2.2) is no character for plain_safe() either.
static void put_xml(FILE *out, const char *text)
{
    static const char *const marks[] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        const char *mark = *at < ARRAY_SIZE(marks) ? marks[*at] : NULL;
        if (mark)
            fputs(mark, out);
        else if (*at >= 0x20)
            fputc(*at, out);
    }
}

static void put_tenths(FILE *out, const char *name, uint64_t tenths)
{
    fprintf(out, " %s=\"%" PRIu64 ".%" PRIu64 "\"", name, tenths / 10, tenths % 10);
}

// A line of the heading: what is in svg->text.
static void put_line(struct svg *svg, const char *attributes)
{
    GUARD(plain_deinit) struct plain line = {0};
    plain_clip(&line, plain_text(&svg->text), HEAD_COLUMNS, PLAIN_KEEP_START);
    fprintf(svg->out, "<text x=\"%d\" y=\"%u\"%s>", MARGIN, svg->y, attributes);
    put_xml(svg->out, plain_text(&line));
    fputs("</text>\n", svg->out);
    svg->y += LINE;
    svg->failed |= svg->text.failed || line.failed;
    plain_clear(&svg->text);
}

static void say_weight(const struct svg *svg, struct plain *text, uint64_t weight)
{
    if (svg->view->weigh.kind == REPORT_WEIGHT_CPU) {
        plain_duration(text, weight);
        plain_str(text, " of CPU time");
    } else {
        plain_things(text, weight, "sample");
    }
}

// ---- Heading -------------------------------------------------------------------------------------

static void say_width(struct svg *svg)
{
    const struct weigh *weigh = &svg->view->weigh;
    static const char *const words[] = {
        [REPORT_WEIGHT_SAMPLES] =
            (" of threads at work. Waiting threads are not in it; --weight wall shows them."),
        [REPORT_WEIGHT_WALL] = " of all threads, at work and waiting.",
        [REPORT_WEIGHT_CPU] = " of threads seen at work.",
    };
    plain_str(&svg->text, "The width is ");
    say_weight(svg, &svg->text, svg->view->weight);
    plain_str(&svg->text, weigh->awaits      ? " of all threads and of tasks that wait."
                          : weigh->fell_back ? " of all threads: none was seen at work."
                                             : words[weigh->kind]);
    if (svg->async)
        plain_str(&svg->text, " Stacks of tasks: what waits for them, not the event loop.");
    put_line(svg, "");
}

static void note(struct svg *svg)
{
    put_line(svg, " class=\"note\" font-style=\"italic\"");
}

static void put_notes(struct svg *svg)
{
    const struct boxes *boxes = &svg->boxes;
    if (svg->input->interrupted) {
        plain_str(&svg->text, "Interrupted: this is what was seen until then.");
        note(svg);
    }
    if (!svg->input->source->complete) {
        plain_str(&svg->text, "Incomplete: the notes of the text report say what is missing.");
        note(svg);
    }
    if (view_dropped(svg->view)) {
        view_say_dropped(&svg->text, svg->view);
        plain_str(&svg->text, ".");
        note(svg);
    }
    if (boxes->narrow) {
        plain_things(&svg->text, boxes->narrow, "frame");
        plain_str(&svg->text, " narrower than ");
        plain_percent(&svg->text, weigh_ratio(boxes->least, svg->view->weight));
        plain_str(&svg->text, " % of the width left out.");
        note(svg);
    }
    if (boxes->deep) {
        plain_things(&svg->text, boxes->deep, "stack");
        plain_add(&svg->text, " cut at %d frames.", BOXES_DEPTH_MAX);
        note(svg);
    }
}

static void put_head(struct svg *svg)
{
    svg->y = 26;
    fputs("<g id=\"head\" font-family=\"system-ui,'Segoe UI','DejaVu Sans',sans-serif\" "
          "font-size=\"13\">\n",
          svg->out);
    plain_str(&svg->text, "Flame graph of ");
    export_command(&svg->text, svg->input);
    put_line(svg, " id=\"heading\" font-size=\"17\" font-weight=\"600\"");
    svg->y += 4;
    export_subject(&svg->text, svg->input);
    plain_str(&svg->text, " ");
    export_run(&svg->text, svg->view->profile);
    put_line(svg, "");
    say_width(svg);
    put_notes(svg);
    fputs("</g>\n", svg->out);
}

static void put_legend(struct svg *svg)
{
    unsigned x = MARGIN;
    fputs("<g id=\"legend\" font-family=\"system-ui,'Segoe UI','DejaVu Sans',sans-serif\" "
          "font-size=\"13\">\n",
          svg->out);
    for (size_t i = 0; i < ARRAY_SIZE(paints); i++) {
        fprintf(svg->out,
                "<g class=\"%s0\"><rect x=\"%u\" y=\"%u\" width=\"14\" height=\"14\" fill=\"%s\" "
                "stroke=\"#888\"/><text x=\"%u\" y=\"%u\">%s</text></g>\n",
                paints[i].class, x, svg->y - 8, paints[i].light[0], x + 20, svg->y + 4,
                paints[i].words);
        x += 50 + 7 * (unsigned)strlen(paints[i].words);
    }
    fputs("</g>\n", svg->out);
    svg->y += 20;
}

// ---- Boxes ---------------------------------------------------------------------------------------

static const struct view_frame *frame_of(const struct svg *svg, const struct box *box)
{
    return box->frame == UINT32_MAX ? NULL : &svg->view->frames[box->frame];
}

// "lookup (cache.py:118)": as view_label(), with the file's own name only.
static void say_short(struct plain *text, const struct view_frame *frame)
{
    struct view_frame brief = *frame;
    brief.file = names_base(frame->file);
    brief.module = names_base(frame->module);
    view_label(text, &brief);
}

static void put_tooltip(struct svg *svg, const struct box *box)
{
    const struct view_frame *frame = frame_of(svg, box);
    struct plain *text = &svg->text;
    if (frame)
        view_label(text, frame);
    else
        plain_str(text, "all");
    fputs("<title>", svg->out);
    put_xml(svg->out, plain_text(text));
    plain_clear(text);
    if (frame && frame->function != UINT32_MAX)
        plain_add(text, "%s%s, ", paints[paint_of(svg, frame)].words,
                  frame->inferred ? " (inferred)" : "");
    say_weight(svg, text, box->weight);
    plain_str(text, ", ");
    plain_percent(text, weigh_share(&svg->view->weigh, box->weight));
    plain_add(text, " %% %s", svg->view->weigh.base_words);
    if (box->self && box->self == box->weight) {
        plain_str(text, "; all of it in itself");
    } else if (box->self) {
        plain_str(text, "; in itself ");
        say_weight(svg, text, box->self);
    }
    fputc('\n', svg->out);
    put_xml(svg->out, plain_text(text));
    fputs("</title>", svg->out);
    svg->failed |= text->failed;
    plain_clear(text);
}

static void put_name(struct svg *svg, const struct box *box, uint64_t x, uint64_t width, unsigned y)
{
    const struct view_frame *frame = frame_of(svg, box);
    size_t columns = width > 60 ? (width - 60) / COLUMN_TENTHS : 0;
    GUARD(plain_deinit) struct plain name = {0};
    if (columns < LEAST_COLUMNS)
        return;
    if (frame)
        say_short(&svg->text, frame);
    else
        plain_str(&svg->text, "all");
    plain_clip(&name, plain_text(&svg->text), columns, PLAIN_KEEP_START);
    fputs("<text", svg->out);
    put_tenths(svg->out, "x", x + 30);
    fprintf(svg->out, " y=\"%u\">", y + 13);
    put_xml(svg->out, plain_text(&name));
    fputs("</text>", svg->out);
    svg->failed |= name.failed || svg->text.failed;
    plain_clear(&svg->text);
}

static void put_box(struct svg *svg, const struct box *box)
{
    const struct view_frame *frame = frame_of(svg, box);
    const char *name = frame ? frame->name : "";
    enum paint paint = paint_of(svg, frame);
    unsigned shade = (unsigned)(hash_bytes(HASH_SEED, name, strlen(name)) % SHADES);
    unsigned y = svg->y + box->depth * ROW;
    double scale = svg->view->weight ? (WIDTH - 2 * MARGIN) * 10.0 / (double)svg->view->weight : 0;
    uint64_t x = MARGIN * 10 + (uint64_t)((double)box->begin * scale);
    uint64_t end = MARGIN * 10 + (uint64_t)((double)(box->begin + box->weight) * scale);
    uint64_t width = end > x ? end - x : 1;
    fprintf(svg->out,
            "<g class=\"%s%u\" data-d=\"%u\" data-x=\"%" PRIu64 "\" data-w=\"%" PRIu64 "\">",
            paints[paint].class, shade, box->depth, box->begin, box->weight);
    put_tooltip(svg, box);
    fputs("<rect", svg->out);
    put_tenths(svg->out, "x", x);
    fprintf(svg->out, " y=\"%u\"", y);
    put_tenths(svg->out, "width", width > 6 ? width - 5 : width);
    fprintf(svg->out, " height=\"%d\" fill=\"%s\"/>", ROW - 1, paints[paint].light[shade]);
    put_name(svg, box, x, width, y);
    fputs("</g>\n", svg->out);
}

// ---- The file ------------------------------------------------------------------------------------

static void put_style(struct svg *svg)
{
    fputs("<style><![CDATA[\n", svg->out);
    fwrite(asset_svg_css, 1, asset_svg_css_size, svg->out);
    fputs("@media (prefers-color-scheme: dark) {\n", svg->out);
    for (size_t i = 0; i < ARRAY_SIZE(paints); i++)
        for (size_t shade = 0; shade < SHADES; shade++)
            fprintf(svg->out, "    .%s%zu rect { fill: %s; }\n", paints[i].class, shade,
                    paints[i].dark[shade]);
    for (size_t shade = 0; shade < SHADES; shade++)
        fprintf(svg->out, "    #frames .%s%zu text { fill: #111; }\n", paints[PAINT_BUILTIN].class,
                shade);
    fputs("}\n]]></style>\n", svg->out);
}

static unsigned head_lines(const struct svg *svg)
{
    return 3u + svg->input->interrupted + !svg->input->source->complete +
           (view_dropped(svg->view) != 0) + (svg->boxes.narrow != 0) + (svg->boxes.deep != 0);
}

static void put_file(struct svg *svg)
{
    unsigned head = 26 + 4 + head_lines(svg) * LINE + 20;
    unsigned height = head + (svg->boxes.depth + 1) * ROW + MARGIN;
    fprintf(svg->out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" "
            "viewBox=\"0 0 %d %u\" data-base=\"%" PRIu64 "\" data-words=\"%s\">\n",
            WIDTH, height, WIDTH, height, svg->view->weigh.base, svg->view->weigh.base_words);
    plain_str(&svg->text, "Flame graph of ");
    export_command(&svg->text, svg->input);
    fputs("<title>", svg->out);
    put_xml(svg->out, plain_text(&svg->text));
    fprintf(svg->out, "</title>\n<!-- Made by pycore %s. -->\n", svg->input->tool_version);
    plain_clear(&svg->text);
    put_style(svg);
    fprintf(svg->out, "<rect id=\"paper\" width=\"100%%\" height=\"%u\" fill=\"#fff\"/>\n", height);
    put_head(svg);
    put_legend(svg);
    fputs(
        "<g id=\"frames\" font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" "
        "font-size=\"12\">\n",
        svg->out);
    vec_foreach (box, &svg->boxes.list)
        put_box(svg, box);
    fputs("</g>\n<script><![CDATA[\n", svg->out);
    fwrite(asset_svg_js, 1, asset_svg_js_size, svg->out);
    fputs("]]></script>\n</svg>\n", svg->out);
}

static void svg_deinit(struct svg *svg)
{
    names_deinit(&svg->names);
    boxes_deinit(&svg->boxes);
    plain_deinit(&svg->text);
}

struct err *report_svg(FILE *out, const struct report_input *input,
                       const struct report_options *options)
{
    GUARD(export_view) struct view *view = NULL;
    TRY(view_create(input, options, 0, &view));
    GUARD(svg_deinit)
    struct svg svg = {.out = out, .input = input, .view = view, .async = options->async_stacks};
    if (!names_init(&svg.names, input, options) || !boxes_init(&svg.boxes, view, BOXES_MAX, PARTS))
        return export_no_memory();
    put_file(&svg);
    return svg.failed ? export_no_memory() : export_finish(out);
}
