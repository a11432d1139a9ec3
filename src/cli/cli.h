// SPDX-License-Identifier: GPL-3.0-or-later
// The command line: options, exit codes, output files. The only layer that prints or exits.
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dump/dump.h"
#include "report/report.h"
#include "sample/sampler.h"
#include "util/err.h"

enum exit_code { EXIT_COMPLETE = 0, EXIT_PARTIAL = 1, EXIT_NO_REPORT = 2, EXIT_FINDING = 3, EXIT_USAGE = 64 };

enum { MAX_OUTPUTS = 16 };

struct options {
    int64_t pid;                              // -1: not given
    uint64_t count, interval_ns, duration_ns; // 0: not given
    uint64_t max_pause_ns;                    // how long one snapshot may stop the target
    enum stop_mode stop;
    bool no_jitter;
    bool no_native, raw_native, debuginfod;
    bool locals, generators, show_secrets, no_tasks;
    const char *exe, *sysroot, *debug_dir, *source_root;
    const char *save; // --save: the capture; NULL: none
    // Which processes, and from when on; NULL: not given.
    bool children;
    const char *pids, *name, *when;
    // Which samples count (cli/filter.h).
    const char *thread;
    bool gil, on_cpu;
    bool fail_on; // exit with EXIT_FINDING for findings at least as severe as ...
    enum diag_severity fail_from;
    const struct report_format *format;
    const char *outputs[MAX_OUTPUTS];
    size_t output_count;
    // gcore
    enum dump_compression compression;
    int filter; // -1: the target's own
    bool fork, mini;
    struct report_options report;
    bool quiet, verbose;
    char **files; // what is left: cores
    int file_count;
};

struct command {
    const char *name, *arguments, *help, *description;
    unsigned flag; // which options are its own
    int (*run)(const struct options *options, int argc, char **argv);
};
extern const struct command commands[]; // NULL-terminated by name

// Fills *ret from argv behind the command. 0: go on. Otherwise the exit code, after a message on
// standard error (or help on standard output: EXIT_COMPLETE, and *ret_done is set).
int options_parse(const struct command *command, int argc, char **argv, struct options *ret,
                  bool *ret_done);
// The command of that name; NULL: there is none.
const struct command *command_by_name(const char *name);
// help.c, man.c, completion.c: all from the same tables. `command` NULL: of pycore as a whole.
void print_help(FILE *out);
void print_command_help(FILE *out, const struct command *command);
void print_man(FILE *out, const struct command *command);
// False: it is none of bash, zsh, fish.
bool print_completion(FILE *out, const char *shell);

// "200ms", "1s", "500us", "2m"; bare numbers only where `bare_seconds`.
bool parse_time(const char *text, bool bare_seconds, uint64_t *ret_ns);

// Renders to all outputs (standard output when there is none), each through a temporary file
// beside it. `of_profile` is for formats that show profiles only (REPORT_OF_PROFILE). Prints errors;
// false when one could not be written.
bool write_report(const struct options *options, const struct report_input *input,
                  const struct report_input *of_profile);
// One file, in the format of its name's ending, else as text. Prints nothing.
struct err *write_report_to(const struct options *options, const char *path,
                            const struct report_input *input);
// The same for anything else that is rendered in formats: `write` is called for each output, with
// the format that it is to be in.
typedef struct err *write_fn(FILE *out, const struct report_format *format,
                             const struct report_options *options, void *arg);
bool write_outputs(const struct options *options, write_fn *write, void *arg);
// Is one of the outputs in a format with all of these flags (enum report_format_flag)?
bool outputs_have(const struct options *options, unsigned flags);

// False, after a message, when the ending of an output's name asks for a format that is none of these
// (NULL-terminated).
bool outputs_among(const struct options *options, const char *const *names);

// False, after a message, when an output cannot be written: better said before a long run.
bool outputs_look_writable(const struct options *options);

// Text that may hold what is not ours: nothing of it steers the terminal.
void put_clean(const char *text, FILE *out);

// "pycore: what went wrong" on standard error.
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
// Destroys err. Always EXIT_NO_REPORT.
int fail(struct err *err);

// Progress on a terminal, for runs over a second.
void progress(const struct options *options, uint64_t done, uint64_t total, uint64_t left_ns);
void progress_bytes(const struct options *options, const char *path, uint64_t done, uint64_t total);
// A line for what cannot say how far it is: shown when it has not come to its progress_end() within a
// second. Not for commands that stop a process.
void progress_later(const struct options *options, const char *text);
// A line was shown by other means: progress_end() is to erase it.
void progress_mark(void);
// Any other line of this kind.
void progress_line(const struct options *options, const char *text);
void progress_end(const struct options *options);

// The command line again, for the report's last line.
char *command_text(int argc, char **argv);
void fill_source(struct snap_source *source, struct strtab *strings);
struct target;
struct py_process;
// Program and Python of one process. May be called again: it executed another program.
void fill_program(struct snap_process *to, struct strtab *strings, const struct target *target,
                  const struct py_process *process);
// The same of the source's first process, and the signal; without notes.
void fill_subject(struct snap_source *source, struct strtab *strings, const struct target *target,
                  const struct py_process *process);
void fill_process(struct snap_source *source, struct strtab *strings, const struct target *target,
                  const struct py_process *process);
// What has been noted of the target meanwhile; nothing is noted twice.
struct surroundings;
void fill_environment(struct snap_environment *to, struct strtab *strings,
                      const struct surroundings *from);
void fill_notes(struct snap_source *source, struct strtab *strings, const struct target *target);

int run_snap(const struct options *options, int argc, char **argv);
int run_analyze(const struct options *options, int argc, char **argv);
int run_gcore(const struct options *options, int argc, char **argv);
int run_report(const struct options *options, int argc, char **argv);
int run_diff(const struct options *options, int argc, char **argv);
int run_top(const struct options *options, int argc, char **argv);
int run_ps(const struct options *options, int argc, char **argv);
int run_run(const struct options *options, int argc, char **argv);

#endif
