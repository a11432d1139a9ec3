// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/loaded.h.
#include "cli/loaded.h"

#include <stdlib.h>
#include <string.h>

#include "cli/document_file.h"
#include "cli/evidence.h"
#include "cli/filter.h"
#include "util/guard.h"

struct loaded {
    struct report_document *document; // NULL: captures or cores
    // Of captures and cores.
    struct session session;
    bool has_session;
    struct evidence evidence;
    struct prof_run run;
    // What is shown; with_profile has a profile also of a single snapshot.
    struct report_input input, with_profile;
    struct prof_report *report; // of the session, of a single snapshot, or of a filter
    struct snap_notes notes;    // of a filtered document
    struct diagnosis unchained; // what its diagnosis says without chains
    bool aggregate;
};

// A report of pycore's in another format is what people try first.
static struct err *add_evidence(struct loaded *loaded, const char *path)
{
    const struct report_format *format = report_format_by_ending(path);
    struct err *err = evidence_add(&loaded->evidence, &loaded->session, NULL, path);
    if (err && err_code(err) == ERR_UNSUPPORTED && format && strcmp(format->name, "json") != 0)
        return err_wrap(err, "reports in the format %s cannot be read back, only json",
                        format->name);
    return err;
}

static struct err *open_evidence(struct loaded *loaded, const struct options *options,
                                 char *const *paths, int count)
{
    loaded->has_session = true;
    TRY(session_init(&loaded->session, options, count > 1));
    for (int i = 0; i < count; i++)
        TRY(add_evidence(loaded, paths[i]));
    struct evidence_facts facts = evidence_facts(&loaded->evidence, &loaded->session);
    loaded->run = facts.run;
    TRY(session_report(&loaded->session, &facts.run, facts.lines, facts.command, &loaded->input));
    loaded->report = (struct prof_report *)(uintptr_t)loaded->input.profile;
    return NULL;
}

static struct err *open_files(struct loaded *loaded, const struct options *options,
                              char *const *paths, int count)
{
    for (int i = 0; i < count; i++) {
        TRY(document_file_read(paths[i], &loaded->document));
        if (loaded->document && count > 1)
            return err_create(
                ERR_UNSUPPORTED,
                "%s is a JSON report, and those cannot be put together: one at a time "
                "(\"pycore diff\" compares two)",
                paths[i]);
    }
    if (!loaded->document)
        return open_evidence(loaded, options, paths, count);
    loaded->input = *report_document_input(loaded->document);
    return NULL;
}

struct err *loaded_open_files(const struct options *options, char *const *paths, int count,
                              bool aggregate, struct loaded **ret)
{
    struct loaded *loaded = calloc(1, sizeof(*loaded));
    if (!loaded)
        return err_create(ERR_NO_MEMORY, "out of memory");
    loaded->aggregate = aggregate;
    struct err *err = open_files(loaded, options, paths, count);
    const struct report_input *unused;
    if (!err && aggregate)
        err = loaded_profile(loaded, &unused);
    if (err) {
        loaded_close(loaded);
        return err;
    }
    *ret = loaded;
    return NULL;
}

struct err *loaded_open(const struct options *options, const char *path, bool aggregate,
                        struct loaded **ret)
{
    return loaded_open_files(options, (char *const[]){(char *)(uintptr_t)path}, 1, aggregate, ret);
}

void loaded_close(struct loaded *loaded)
{
    if (!loaded)
        return;
    prof_report_destroy(loaded->report);
    vec_deinit(&loaded->notes);
    evidence_close(&loaded->evidence);
    report_document_destroy(loaded->document);
    if (loaded->has_session)
        session_deinit(&loaded->session);
    free(loaded);
}

const struct report_input *loaded_input(const struct loaded *loaded)
{
    return loaded->aggregate ? &loaded->with_profile : &loaded->input;
}

struct err *loaded_profile(struct loaded *loaded, const struct report_input **ret)
{
    struct report_input *with = &loaded->with_profile;
    if (!with->strings) {
        *with = loaded->input;
        if (!with->profile) {
            struct strtab *strings = loaded->document ? report_document_strings(loaded->document)
                                                      : loaded->session.strings;
            with->profile = loaded->report =
                session_profile_of(strings, with->snapshots, with->snapshot_count, &loaded->run);
        }
        if (!with->profile)
            return err_create(ERR_NO_MEMORY, "out of memory");
    }
    *ret = with;
    return NULL;
}

bool loaded_has_snapshots(const struct loaded *loaded)
{
    return loaded->document && report_document_has_snapshots(loaded->document);
}

bool loaded_has_samples(const struct loaded *loaded)
{
    const struct report_input *input = &loaded->input;
    return !loaded->document || !input->profile ||
           (input->snapshot_count && input->snapshot_count == input->profile->snapshots);
}

// A document does not say which calls of two snapshots are the same one.
static void forget_calls(struct prof_report *report)
{
    for (size_t i = 0; i < report->function_count; i++) {
        struct prof_function *function = &report->functions[i];
        function->activations = function->longest_snapshots = function->longest_ns = 0;
    }
}

static struct err *count_anew(struct loaded *loaded)
{
    struct report_input *input = &loaded->input;
    const struct prof_report *was = input->profile;
    struct prof_run run = {.interval_ns = was->interval_ns,
                           .duration_ns = was->duration_ns,
                           .missed = was->missed,
                           .own_cpu_ns = was->own_cpu_ns};
    input->profile = loaded->report = session_profile_of(
        report_document_strings(loaded->document), input->snapshots, input->snapshot_count, &run);
    if (!loaded->report)
        return err_create(ERR_NO_MEMORY, "out of memory");
    forget_calls(loaded->report);
    return NULL;
}

struct err *loaded_filter(struct loaded *loaded, const struct options *options)
{
    struct report_input *input = &loaded->input;
    struct filter_counts counts = {0};
    if (!loaded->document)
        return NULL;
    struct strtab *strings = report_document_strings(loaded->document);
    struct snapshot *const *snapshots = report_document_snapshots(loaded->document);
    for (size_t i = 0; i < input->snapshot_count; i++)
        filter_mark(options, strings, snapshots[i], &counts);
    if (input->profile)
        TRY(count_anew(loaded));
    for (size_t i = 0; i < input->snapshot_count; i++)
        filter_drop(snapshots[i]);
    if (input->diagnosis) { // chains name threads by their place
        loaded->unchained = *input->diagnosis;
        loaded->unchained.chains = (struct diag_chains){0};
        input->diagnosis = &loaded->unchained;
    }
    vec_foreach (note, input->notes)
        snap_note(strings, &loaded->notes, "%s", strtab_get(strings, *note));
    filter_note(options, &counts, strings, &loaded->notes);
    input->notes = &loaded->notes;
    return NULL;
}
