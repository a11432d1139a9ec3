// SPDX-License-Identifier: GPL-3.0-or-later
// Messages and report files (how those come to their names: cli/outfile.h).
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/outfile.h"
#include "util/guard.h"

void complain(const char *fmt, ...)
{
    AUTO_FREE char *text = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    // In one piece, because a program that runs beside pycore may write to the same terminal.
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&line, &size);
    if (out) {
        fputs("pycore: ", out);
        put_clean(text ? text : "out of memory", out);
        putc('\n', out);
    }
    if (!out || fclose(out) != 0)
        fputs("pycore: out of memory\n", stderr);
    else
        fwrite(line, 1, size, stderr);
}

int fail(struct err *err)
{
    complain("%s", err_message(err));
    err_destroy(err);
    return EXIT_NO_REPORT;
}

// What is written to the outputs.
struct writing {
    const struct options *options;
    write_fn *write;
    void *arg;
};

static struct err *render(const struct writing *writing, const struct report_format *format,
                          FILE *out)
{
    struct report_options choices = writing->options->report;
    if (out != stdout)
        choices.color = false;
    TRY(writing->write(out, format, &choices, writing->arg));
    if (fflush(out) != 0 || ferror(out))
        return err_os(errno, "writing the report");
    return NULL;
}

static struct err *write_file(const struct writing *writing, const char *path,
                              const struct report_format *format)
{
    struct outfile file;
    char buffer[1 << 16]; // a report may have 200 MB
    TRY(outfile_begin(path, OUTFILE_REPORT, &file));
    int fd = fcntl(file.fd, F_DUPFD_CLOEXEC, 3);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (out)
        setvbuf(out, buffer, _IOFBF, sizeof(buffer));
    struct err *err = out ? render(writing, format, out) : err_os(errno, "%s", path);
    if (out ? fclose(out) != 0 : fd >= 0 && close(fd) != 0)
        err = err ? err : err_os(errno, "%s", path);
    if (!err)
        return outfile_commit(&file);
    outfile_abort(&file);
    return err;
}

static const struct report_format *format_of(const struct options *options, size_t output)
{
    const char *path = output < options->output_count ? options->outputs[output] : "-";
    const struct report_format *format = options->format;
    if (!format)
        format = report_format_by_ending(path);
    return format ? format : report_format_by_name("text");
}

// The capture, and that no report is to be written over it.
static struct err *check_save(const struct options *options)
{
    if (strcmp(options->save, "-") == 0)
        return err_create(ERR_UNSUPPORTED, "--save needs the name of a file");
    TRY(outfile_refuse_link(options->save));
    TRY(outfile_check(options->save));
    for (size_t i = 0; i < options->output_count; i++)
        if (strcmp(options->outputs[i], options->save) == 0 ||
            outfile_is(options->save, options->outputs[i]))
            return err_create(ERR_OTHER, "--save and -o name the same file, %s", options->save);
    for (int k = 0; k < options->file_count; k++)
        if (outfile_is(options->save, options->files[k]))
            return err_create(ERR_OTHER, "cannot write %s: it is what is to be read",
                              options->save);
    return NULL;
}

bool outputs_look_writable(const struct options *options)
{
    struct err *unusable = options->save ? check_save(options) : NULL;
    if (unusable) {
        fail(unusable);
        return false;
    }
    for (size_t i = 0; i < options->output_count || i == 0; i++) {
        const char *path = i < options->output_count ? options->outputs[i] : "-";
        if (strcmp(path, "-") == 0 && format_of(options, i)->flags & REPORT_BINARY &&
            isatty(STDOUT_FILENO)) {
            complain("%s is no text, and standard output is a terminal: name a file with -o",
                     format_of(options, i)->name);
            return false;
        }
        if (strcmp(path, "-") == 0)
            continue;
        struct err *err = outfile_check(path);
        for (int k = 0; !err && k < options->file_count; k++)
            if (outfile_is(path, options->files[k]))
                err = err_create(ERR_OTHER, "cannot write %s: it is what is to be read", path);
        if (err) {
            fail(err);
            return false;
        }
    }
    return true;
}

bool outputs_among(const struct options *options, const char *const *names)
{
    for (size_t i = 0; i < options->output_count || i == 0; i++) {
        const char *const *name = names;
        while (*name && strcmp(*name, format_of(options, i)->name) != 0)
            name++;
        if (*name)
            continue;
        complain("%s: this is not written as %s; -f names one of the formats that it is written in",
                 options->outputs[i], format_of(options, i)->name);
        return false;
    }
    return true;
}

bool outputs_have(const struct options *options, unsigned flags)
{
    for (size_t i = 0; i < options->output_count || i == 0; i++)
        if ((format_of(options, i)->flags & flags) == flags)
            return true;
    return false;
}

bool write_outputs(const struct options *options, write_fn *write, void *arg)
{
    const struct writing writing = {options, write, arg};
    bool ok = true;
    for (size_t i = 0; i < options->output_count || i == 0; i++) {
        const char *path = i < options->output_count ? options->outputs[i] : "-";
        const struct report_format *format = format_of(options, i);
        struct err *err = strcmp(path, "-") == 0 ? render(&writing, format, stdout)
                                                 : write_file(&writing, path, format);
        if (err) {
            fail(err);
            ok = false;
        }
    }
    return ok;
}

struct inputs {
    const struct report_input *input, *of_profile;
};

static struct err *write_input(FILE *out, const struct report_format *format,
                               const struct report_options *options, void *arg)
{
    const struct inputs *inputs = arg;
    return format->render(
        out, format->flags & REPORT_OF_PROFILE ? inputs->of_profile : inputs->input, options);
}

bool write_report(const struct options *options, const struct report_input *input,
                  const struct report_input *of_profile)
{
    struct inputs inputs = {input, of_profile};
    return write_outputs(options, write_input, &inputs);
}

struct err *write_report_to(const struct options *options, const char *path,
                            const struct report_input *input)
{
    const struct report_format *format = report_format_by_ending(path);
    struct inputs inputs = {input, input};
    const struct writing writing = {options, write_input, &inputs};
    return write_file(&writing, path, format ? format : report_format_by_name("text"));
}
