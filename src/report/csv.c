// SPDX-License-Identifier: GPL-3.0-or-later
// The functions as a table for spreadsheets: RFC 4180 (a header, CRLF, quotes doubled) in UTF-8,
// numbers with a decimal point whatever the locale. A fact that is not there is an empty cell.
//
// Samples and CPU seconds are those of the JSON report, whatever --weight says: own, self and total
// of working threads, and beside them what was seen waiting. Shares are what --weight makes them;
// their 95 % bounds are known of samples. "calls_seen_at_least" counts calls that were seen, of which
// there may have been many more. With --async-stacks totals are those of async stacks, and a task that
// waits is a sample that was seen waiting (async.h).
//
// Spreadsheets run text that looks like a formula. An apostrophe is put before what begins a cell
// with = + - @ (or their full-width forms, which some take for the same); and also behind a `;`, with
// which a cell begins for those whose list separator it is.
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/async.h"
#include "report/export.h"
#include "report/names.h"
#include "report/sort.h"
#include "util/guard.h"

struct csv {
    FILE *out;
    const struct report_input *input;
    const struct report_options *options;
    const struct prof_report *profile;
    struct names names;
    struct weigh weigh;
    bool begun; // the line has a cell
    bool failed;
};

// ---- Cells ---------------------------------------------------------------------------------------

static void next_cell(struct csv *csv)
{
    if (csv->begun)
        fputc(',', csv->out);
    csv->begun = true;
}

static void end_line(struct csv *csv)
{
    fputs("\r\n", csv->out);
    csv->begun = false;
}

static bool begins_formula(const char *text)
{
    static const char *const signs[] = {
        "=",           "+", "-", "@", "\t", "\r", "\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d",
        "\xef\xbc\xa0"};
    for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
        if (strncmp(text, signs[i], strlen(signs[i])) == 0)
            return true;
    return false;
}

static void put_text(struct csv *csv, const char *text)
{
    bool quoted = strpbrk(text, "\",;\r\n") || text[0] == ' ';
    next_cell(csv);
    if (quoted)
        fputc('"', csv->out);
    for (const char *at = text; *at; at++) {
        if ((at == text || at[-1] == ';') && begins_formula(at))
            fputc('\'', csv->out);
        if (*at == '"')
            fputc('"', csv->out);
        fputc(*at, csv->out);
    }
    if (quoted)
        fputc('"', csv->out);
}

// A string of the table, or an empty cell; of a path without what --strip-prefix takes.
static void put_id(struct csv *csv, uint32_t id, bool is_path)
{
    GUARD(plain_deinit) struct plain text = {0};
    const char *bytes = strtab_get(csv->input->strings, id);
    size_t size = bytes ? strtab_size(csv->input->strings, id) : 0;
    size_t cut = bytes && is_path ? names_stripped(csv->options, bytes, size) : 0;
    if (bytes)
        plain_safe(&text, bytes + cut, size - cut);
    put_text(csv, plain_text(&text));
    csv->failed |= text.failed;
}

static void put_count(struct csv *csv, uint64_t value)
{
    next_cell(csv);
    fprintf(csv->out, "%" PRIu64, value);
}

static void put_seconds(struct csv *csv, uint64_t ns)
{
    next_cell(csv);
    fprintf(csv->out, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

static void put_share(struct csv *csv, double share)
{
    uint64_t millionths = share > 0 ? (uint64_t)(share * 1e6 + 0.5) : 0;
    next_cell(csv);
    fprintf(csv->out, "%" PRIu64 ".%06" PRIu64, millionths / 1000000, millionths % 1000000);
}

static void put_shares(struct csv *csv, uint64_t weight, double low, double high)
{
    put_share(csv, weigh_share(&csv->weigh, weight));
    if (csv->weigh.kind == REPORT_WEIGHT_SAMPLES && !isnan(low)) {
        put_share(csv, low);
        put_share(csv, high);
    } else {
        put_text(csv, "");
        put_text(csv, "");
    }
}

// ---- Rows ----------------------------------------------------------------------------------------

static const char *const columns[] = {
    "rank",
    "function",
    "qualname",
    "kind",
    "file",
    "line",
    "module",
    "own_share",
    "own_low",
    "own_high",
    "self_share",
    "self_low",
    "self_high",
    "total_share",
    "total_low",
    "total_high",
    "own",
    "self",
    "total",
    "own_waiting",
    "self_waiting",
    "total_waiting",
    "own_cpu_seconds",
    "self_cpu_seconds",
    "total_cpu_seconds",
    "calls_seen_at_least",
    "longest_seconds",
    "longest_snapshots",
};

static void put_name(struct csv *csv, const struct prof_function *function)
{
    GUARD(plain_deinit) struct plain text = {0};
    if (function->function)
        plain_id(&text, csv->input->strings, function->function, 0, PLAIN_KEEP_START);
    else
        names_function(&text, &csv->names, function, 0);
    put_text(csv, plain_text(&text));
    csv->failed |= text.failed;
}

static void put_function(struct csv *csv, size_t rank, const struct prof_function *f)
{
    static const char *const kinds[] = {
        [SNAP_PYTHON] = "python", [SNAP_BUILTIN] = "builtin", [SNAP_NATIVE] = "native"};
    put_count(csv, rank);
    put_name(csv, f);
    put_id(csv, f->qualname, false);
    put_text(csv, f->kind == SNAP_BUILTIN && f->inferred ? "builtin (inferred)" : kinds[f->kind]);
    put_id(csv, f->file, true);
    if (f->line >= 0)
        put_count(csv, (uint64_t)f->line);
    else
        put_text(csv, "");
    put_id(csv, f->module, false);
    put_shares(csv, weigh_own(&csv->weigh, f), f->own_low, f->own_high);
    put_shares(csv, weigh_self(&csv->weigh, f), f->self_low, f->self_high);
    put_shares(csv, weigh_total(&csv->weigh, f), f->total_low, f->total_high);
    const uint64_t samples[] = {
        f->own_working,          f->self_working,           f->total_working,
        f->own - f->own_working, f->self - f->self_working, f->total - f->total_working};
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        put_count(csv, samples[i]);
    put_seconds(csv, f->own_cpu_ns);
    put_seconds(csv, f->self_cpu_ns);
    put_seconds(csv, f->total_cpu_ns);
    put_count(csv, f->activations);
    put_seconds(csv, f->longest_ns);
    put_count(csv, f->longest_snapshots);
    end_line(csv);
}

static void put_functions(struct csv *csv)
{
    const struct prof_report *profile = csv->profile;
    enum report_sort sort = csv->options->sort;
    AUTO_FREE uint32_t *order = calloc(profile->function_count + 1, sizeof(*order));
    bool has_tasks = profile->task_count || profile->await_site_count;
    size_t rank = 0;
    if (!order) {
        csv->failed = true;
        return;
    }
    sort_functions(csv->input, &csv->weigh, sort ? sort : REPORT_SORT_OWN, order);
    for (size_t i = 0; i < profile->function_count; i++) {
        const struct prof_function *f = &profile->functions[order[i]];
        if (csv->options->top && rank == csv->options->top)
            break;
        if (has_tasks && !f->total) // only seen in what waits, which counts nothing here
            continue;
        if (!csv->options->hide_boilerplate ||
            !names_is_boilerplate(csv->input->strings, f->kind, f->file, f->function))
            put_function(csv, ++rank, f);
    }
}

static void csv_deinit(struct csv *csv)
{
    names_deinit(&csv->names);
}

static struct err *write_csv(struct csv *csv)
{
    if (!names_init(&csv->names, csv->input, csv->options))
        return export_no_memory();
    weigh_init(&csv->weigh, csv->profile, csv->options->weight);
    if (csv->options->async_stacks)
        weigh_add_awaits(&csv->weigh, csv->profile);
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
        put_text(csv, columns[i]);
    end_line(csv);
    put_functions(csv);
    return csv->failed ? export_no_memory() : export_finish(csv->out);
}

struct err *report_csv(FILE *out, const struct report_input *input,
                       const struct report_options *options)
{
    struct report_input shown = *input;
    struct prof_report profile = *input->profile;
    AUTO_FREE struct prof_function *functions = NULL;
    if (options->async_stacks) {
        functions = async_functions(input->profile);
        if (!functions)
            return export_no_memory();
        profile.functions = functions;
        shown.profile = &profile;
    }
    GUARD(csv_deinit)
    struct csv csv = {.out = out, .input = &shown, .options = options, .profile = shown.profile};
    return write_csv(&csv);
}
