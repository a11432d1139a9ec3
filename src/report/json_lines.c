// SPDX-License-Identifier: GPL-3.0-or-later
// The "lines" of the JSON profile. Lines with samples of their own come with their source "text", as
// far as it can be read, and "newer" where the file was changed after the process had started.
#include <string.h>

#include "report/json.h"
#include "util/guard.h"

#define TEXT_BYTES_MAX 1000 // no terminal shows as much of a line

struct line_text {
    char *text; // NULL: none
    bool newer;
};

struct line_texts {
    struct line_text *items;
    size_t count;
};

static void texts_deinit(struct line_texts *texts)
{
    for (size_t i = 0; texts->items && i < texts->count; i++)
        free(texts->items[i].text);
    free(texts->items);
}

// By file: a reader keeps only some files at hand.
static int by_file(const void *left, const void *right, void *arg)
{
    const struct prof_report *profile = arg;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    uint32_t a_file = profile->functions[profile->lines[a].function].file;
    uint32_t b_file = profile->functions[profile->lines[b].function].file;
    return a_file != b_file ? (a_file > b_file) - (a_file < b_file) : (a > b) - (a < b);
}

static size_t shown_bytes(const char *text)
{
    size_t size = strcspn(text, "\r\n");
    if (size <= TEXT_BYTES_MAX)
        return size;
    size = TEXT_BYTES_MAX;
    while (size && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return size;
}

static bool read_text(const struct json_report *report, const struct prof_function *function,
                      const struct prof_line *line, struct line_text *ret)
{
    const struct report_source_reader *reader = &report->input->source_reader;
    const char *file = strtab_get(report->input->strings, function->file);
    bool newer = false;
    const char *text = file && line->line > 0 && line->own
                           ? reader->line(reader->arg, file, line->line, &newer)
                           : NULL;
    if (!text)
        return true;
    *ret = (struct line_text){strndup(text, shown_bytes(text)), newer};
    return ret->text != NULL;
}

static bool read_texts(const struct json_report *report, const struct prof_report *profile,
                       struct line_texts *ret)
{
    size_t count = profile->line_count;
    ret->count = count;
    ret->items = calloc(count + 1, sizeof(*ret->items));
    AUTO_FREE uint32_t *order = calloc(count + 1, sizeof(*order));
    if (!ret->items || !order)
        return false;
    if (!report->input->source_reader.line)
        return true;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, count, sizeof(*order), by_file, (void *)(uintptr_t)profile);
    for (size_t i = 0; i < count; i++) {
        const struct prof_line *line = &profile->lines[order[i]];
        if (!read_text(report, &profile->functions[line->function], line, &ret->items[order[i]]))
            return false;
    }
    return true;
}

static void write_line(struct json_report *report, const struct prof_line *line,
                       const struct line_text *text)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_u64(json, "function", line->function);
    json_u64(json, "line", (uint64_t)line->line);
    json_u64(json, "self", line->self_working);
    json_u64(json, "total", line->total_working);
    json_u64(json, "self_waiting", line->self - line->self_working);
    json_u64(json, "total_waiting", line->total - line->total_working);
    json_u64(json, "self_cpu_ns", line->self_cpu_ns);
    json_u64(json, "total_cpu_ns", line->total_cpu_ns);
    json_u64(json, "own", line->own_working);
    json_u64(json, "own_waiting", line->own - line->own_working);
    json_u64(json, "own_cpu_ns", line->own_cpu_ns);
    if (text->text)
        json_text(json, "text", text->text);
    if (text->newer)
        json_bool(json, "newer", true);
    json_end_object(json, JSON_LINE);
}

struct err *json_lines(struct json_report *report, const struct prof_report *profile)
{
    struct json_writer *json = &report->json;
    GUARD(texts_deinit) struct line_texts texts = {0};
    if (!read_texts(report, profile, &texts))
        return err_create(ERR_NO_MEMORY, "no memory for the JSON report");
    json_line(json);
    json_begin_array(json, "lines");
    for (size_t i = 0; i < profile->line_count; i++) {
        json_line(json);
        write_line(report, &profile->lines[i], &texts.items[i]);
    }
    json_end_array(json, JSON_LINES);
    return NULL;
}
