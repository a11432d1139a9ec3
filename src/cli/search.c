// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/search.h.
#include "cli/search.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "target/proc.h"
#include "util/guard.h"

static bool fits(const char *pattern, const char *text)
{
    return fnmatch(pattern, text, 0) == 0;
}

// Programs that set their title write it as one argument: "gunicorn: worker [app]".
static bool word_fits(const char *pattern, char *word)
{
    size_t size = strlen(word);
    if (size && word[size - 1] == ':')
        word[size - 1] = '\0';
    const char *slash = strrchr(word, '/');
    return *word && (fits(pattern, word) || (slash && slash[1] && fits(pattern, slash + 1)));
}

static bool line_fits(const char *pattern, pid_t pid)
{
    char path[64];
    size_t size = 0;
    AUTO_FREE char *line = NULL;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    AUTO_ERR struct err *err = proc_read_file(path, &line, &size);
    while (!err && size && !line[size - 1])
        size--;
    for (size_t i = 0; !err && i < size; i++)
        if (!line[i])
            line[i] = ' ';
    if (err || !size)
        return false;
    if (fits(pattern, line))
        return true;
    char *left;
    for (char *word = strtok_r(line, " ", &left); word; word = strtok_r(NULL, " ", &left))
        if (word_fits(pattern, word))
            return true;
    return false;
}

bool search_matches(const char *pattern, pid_t pid)
{
    struct proc_stat stat;
    AUTO_ERR struct err *err = proc_thread_stat(pid, pid, &stat);
    return !err && !stat.kernel_thread && (fits(pattern, stat.comm) || line_fits(pattern, pid));
}
