// SPDX-License-Identifier: GPL-3.0-or-later
// The progress line on a terminal.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "util/clean.h"

// Messages hold paths and names from the target: nothing of theirs may steer the terminal.
void put_clean(const char *text, FILE *out)
{
    char shown[CLEAN_BYTES];
    for (size_t left = strlen(text), size; left; left -= size, text += size) {
        size = clean_char(text, left, shown);
        fputs(shown, out);
    }
}

// Only a line of ours may be erased.
static volatile sig_atomic_t progress_shown;
static char *later; // what the timer is to show; NULL: nothing

static bool begin_progress(const struct options *options)
{
    if (options->quiet || !isatty(STDERR_FILENO))
        return false;
    fputs("\r\033[K", stderr);
    progress_shown = true;
    return true;
}

void progress(const struct options *options, uint64_t done, uint64_t total, uint64_t left_ns)
{
    if (!begin_progress(options))
        return;
    fprintf(stderr, "%llu of %llu snapshots, %.0f s left (Ctrl-C ends with a report)",
            (unsigned long long)done, (unsigned long long)total, (double)left_ns / 1e9);
    fflush(stderr);
}

void progress_bytes(const struct options *options, const char *path, uint64_t done, uint64_t total)
{
    if (!begin_progress(options))
        return;
    const char *slash = strrchr(path, '/');
    fputs("unpacking ", stderr);
    put_clean(slash ? slash + 1 : path, stderr);
    if (total)
        fprintf(stderr, ": %.0f %%", 100.0 * (double)done / (double)total);
    fflush(stderr);
}

void progress_line(const struct options *options, const char *text)
{
    if (!begin_progress(options))
        return;
    put_clean(text, stderr);
    fflush(stderr);
}

void progress_end(const struct options *options)
{
    const struct itimerval none = {0};
    if (later)
        setitimer(ITIMER_REAL, &none, NULL);
    free(later);
    later = NULL;
    if (progress_shown)
        begin_progress(options);
    progress_shown = false;
}

void progress_mark(void)
{
    progress_shown = true;
}

static void on_timer(int signo)
{
    (void)signo;
    int before = errno;
    if (later && write(STDERR_FILENO, later, strlen(later)) > 0)
        progress_shown = true;
    errno = before;
}

void progress_later(const struct options *options, const char *text)
{
    const struct itimerval second = {.it_value = {.tv_sec = 1}};
    const struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    size_t size;
    progress_end(options);
    if (options->quiet || !isatty(STDERR_FILENO))
        return;
    FILE *out = open_memstream(&later, &size);
    if (!out)
        return;
    fputs("\r\033[K", out);
    put_clean(text, out);
    fclose(out);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &second, NULL);
}
