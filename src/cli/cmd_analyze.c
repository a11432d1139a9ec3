// SPDX-License-Identifier: GPL-3.0-or-later
// pycore analyze: the stacks in one or more cores and captures.
#include "cli/evidence.h"
#include "cli/session.h"
#include "util/guard.h"

static int finish(struct session *session, struct evidence *evidence, struct recording *recording,
                  int argc, char **argv)
{
    AUTO_FREE char *command = command_text(argc, argv);
    struct evidence_facts facts = evidence_facts(evidence, session);
    bool saved = true;
    if (recording) {
        recording_mark(recording);
        saved = recording_write(recording, &facts.run, evidence->source, command);
    }
    int code =
        session_finish(session, &facts.run, facts.lines, facts.command ? facts.command : command);
    return saved ? code : EXIT_NO_REPORT;
}

int run_analyze(const struct options *options, int argc, char **argv)
{
    if (options->file_count < 1) {
        complain("analyze takes a core file; \"pycore help analyze\" shows the options");
        return EXIT_USAGE;
    }
    if (options->save && options->file_count > 1) {
        complain("--save keeps one core; there are %d", options->file_count);
        return EXIT_USAGE;
    }
    if (!outputs_look_writable(options))
        return EXIT_NO_REPORT;
    struct session session;
    struct evidence evidence = {0};
    struct recording *recording = NULL;
    struct err *err = session_init(&session, options, options->file_count > 1);
    if (!err && options->save)
        err = recording_create(&session, true, &recording);
    for (int i = 0; !err && i < options->file_count; i++)
        err = evidence_add(&evidence, &session, recording, options->files[i]);
    progress_end(options);
    int code = err ? fail(err) : finish(&session, &evidence, recording, argc, argv);
    recording_destroy(recording);
    evidence_close(&evidence);
    session_deinit(&session);
    return code;
}
