// SPDX-License-Identifier: GPL-3.0-or-later
// What a report says of its subject: program, Python, host, fatal signal.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cpython/process.h"
#include "target/arch.h"
#include "target/surroundings.h"
#include "util/guard.h"
#include "util/redact.h"

char *command_text(int argc, char **argv)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fputs("pycore", out);
    for (int i = 0; i < argc; i++) {
        // "pycore run" has the arguments of a program.
        AUTO_FREE char *argument = redact_argument(i ? argv[i - 1] : NULL, argv[i]);
        if (!argument)
            break;
        bool plain = argument[0] && !argument[strspn(argument, "abcdefghijklmnopqrstuvwxyz"
                                                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                               "0123456789-_./:=,@%+")];
        fputs(plain ? " " : " '", out);
        for (const char *at = argument; *at; at++)
            if (*at == '\'')
                fputs("'\\''", out);
            else
                putc(*at, out);
        if (!plain)
            putc('\'', out);
    }
    fclose(out);
    return text;
}

void fill_source(struct snap_source *source, struct strtab *strings)
{
    char host[256] = "";
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    source->taken_at_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (gethostname(host, sizeof(host) - 1) == 0)
        source->host = strtab_add_cstr(strings, host);
    source->arch = strtab_add_cstr(strings, arch_host()->name);
    source->complete = true;
}

struct code_row {
    int signo, code;
    const char *text;
};

// sigaction(2).
static const struct code_row code_rows[] = {
    {SIGSEGV, SEGV_MAPERR, "address not mapped (SEGV_MAPERR)"},
    {SIGSEGV, SEGV_ACCERR, "no permission for the mapped address (SEGV_ACCERR)"},
    {SIGBUS, BUS_ADRALN, "misaligned address (BUS_ADRALN)"},
    {SIGBUS, BUS_ADRERR, "address beyond the end of the mapped file (BUS_ADRERR)"},
    {SIGFPE, FPE_INTDIV, "integer division by zero (FPE_INTDIV)"},
    {SIGILL, ILL_ILLOPC, "illegal opcode (ILL_ILLOPC)"},
    {SIGILL, ILL_ILLOPN, "illegal operand (ILL_ILLOPN)"},
};

static const char *code_text(int signo, int code)
{
    for (size_t i = 0; i < ARRAY_SIZE(code_rows); i++)
        if (code_rows[i].signo == signo && code_rows[i].code == code)
            return code_rows[i].text;
    switch (code) {
    case SI_USER:
        return "sent by kill() (SI_USER)";
    case SI_TKILL:
        return "sent by tgkill(), as raise() and abort() do (SI_TKILL)";
    case SI_QUEUE:
        return "sent by sigqueue() (SI_QUEUE)";
    case SI_KERNEL:
        return "sent by the kernel (SI_KERNEL)";
    default:
        return NULL;
    }
}

static void fill_signal(struct snap_signal *to, const struct target_signal *from,
                        struct strtab *strings)
{
    const char *name = sigabbrev_np(from->signo);
    AUTO_FREE char *text = NULL;
    if (from->signo <= 0)
        return;
    if (asprintf(&text, name ? "SIG%s" : "signal %.0s%d", name ? name : "", from->signo) < 0)
        text = NULL;
    *to = (struct snap_signal){
        .signo = from->signo,
        .name = strtab_add_cstr(strings, text),
        .has_code = from->has_info,
        .code = from->code,
        .code_text =
            from->has_info ? strtab_add_cstr(strings, code_text(from->signo, from->code)) : 0,
        .has_sender = from->has_sender,
        .sender_pid = from->sender_pid,
        .sender_uid = from->sender_uid,
        .has_fault_address = from->has_fault_address,
        .fault_address = from->fault_address,
        .tid = from->tid,
    };
}

void fill_process(struct snap_source *source, struct strtab *strings, const struct target *target,
                  const struct py_process *process)
{
    fill_subject(source, strings, target, process);
    fill_notes(source, strings, target);
}

void fill_subject(struct snap_source *source, struct strtab *strings, const struct target *target,
                  const struct py_process *process)
{
    source->pid = target->pid;
    fill_program(&source->process, strings, target, process);
    fill_signal(&source->signal, &target->signal, strings);
}

void fill_program(struct snap_process *to, struct strtab *strings, const struct target *target,
                  const struct py_process *process)
{
    to->pid = target->pid;
    AUTO_FREE char *exe = target->exe ? redact_path(target->exe) : NULL;
    to->exe = strtab_add_cstr(strings, exe);
    to->argc = 0; // called again when the process executes another program
    for (char **arg = target->argv; arg && *arg; arg++)
        to->argc++;
    free(to->argv);
    to->argv = calloc(to->argc + 1, sizeof(*to->argv));
    for (size_t i = 0; to->argv && i < to->argc; i++) {
        AUTO_FREE char *shown = redact_argument(i ? target->argv[i - 1] : NULL, target->argv[i]);
        to->argv[i] = strtab_add_cstr(strings, shown);
    }
    if (!to->argv)
        to->argc = 0;
    if (process) {
        to->python_version = strtab_add_cstr(strings, process->version);
        if (process->build_known)
            to->python_build = strtab_add_cstr(strings, py_build_name(process->dec.layout.build));
    }
}

// Lists are filled once: variables do not change.
void fill_environment(struct snap_environment *to, struct strtab *strings,
                      const struct surroundings *from)
{
    to->fd_count = from->fd_count;
    to->fd_limit = from->fd_limit;
    to->processors = from->processors;
    to->cgroup_processors = from->cgroup_processors;
    to->cgroup_memory_bytes = from->memory_bytes;
    to->cgroup_memory_limit_bytes = from->memory_limit_bytes;
    to->has_throttling = from->has_throttling;
    to->periods = from->at_end.periods - from->at_start.periods;
    to->throttled_periods = from->at_end.throttled_periods - from->at_start.throttled_periods;
    to->throttled_ns = from->at_end.throttled_ns - from->at_start.throttled_ns;
    vec_clear(&to->variables);
    vec_foreach (name, &from->variables)
        (void)vec_push(&to->variables, strtab_add_cstr(strings, *name));
}

void fill_notes(struct snap_source *source, struct strtab *strings, const struct target *target)
{
    for (size_t i = 0; i < target->notes.count; i++)
        snap_note(strings, &source->notes, "%s", target->notes.items[i]);
}
