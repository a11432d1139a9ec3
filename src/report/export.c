// SPDX-License-Identifier: GPL-3.0-or-later
// See report/export.h.
#include "report/export.h"

#include <errno.h>
#include <string.h>

#include "report/names.h"
#include "util/guard.h"

#define COMMAND_COLUMNS 72

void export_command(struct plain *out, const struct report_input *input)
{
    names_program(out, input->strings, snap_process_first(input->source), COMMAND_COLUMNS);
}

static void add_named(struct plain *out, const struct report_input *input, const char *before,
                      uint32_t id)
{
    if (!id)
        return;
    plain_str(out, before);
    plain_id(out, input->strings, id, 80, PLAIN_KEEP_END);
}

void export_subject(struct plain *out, const struct report_input *input)
{
    const struct snap_source *source = input->source;
    const struct snap_process *process = &source->process;
    size_t processes = snap_process_count(source);
    pid_t pid = process->pid ? process->pid : source->pid;
    if (processes > 1)
        plain_add(out, "%zu processes", processes);
    else if (pid)
        plain_add(out, "Process %d", (int)pid);
    else
        plain_str(out, "Process of unknown pid");
    add_named(out, input, " on ", source->host);
    add_named(out, input, ", Python ", process->python_version);
    if (source->taken_at_ns) {
        plain_str(out, ", ");
        plain_time(out, source->taken_at_ns);
    }
    plain_str(out, ".");
}

void export_run(struct plain *out, const struct prof_report *profile)
{
    plain_things(out, profile->snapshots, "snapshot");
    if (profile->interval_ns) {
        plain_str(out, ", one every ");
        plain_duration(out, profile->interval_ns);
    }
    if (profile->duration_ns) {
        plain_str(out, ", over ");
        plain_duration(out, profile->duration_ns);
    }
    plain_str(out, "; ");
    plain_things(out, profile->thread_count, "thread");
    plain_str(out, ".");
}

void export_view(struct view **place)
{
    view_destroy(*place);
}

struct err *export_no_memory(void)
{
    return err_create(ERR_NO_MEMORY, "no memory for the report");
}

struct err *export_finish(FILE *out)
{
    errno = 0;
    if (fflush(out) != 0 || ferror(out))
        return err_os(errno ? errno : EIO, "the report cannot be written");
    return NULL;
}
