// SPDX-License-Identifier: GPL-3.0-or-later
// What a dump says of the process as such: the facts of /proc/PID that the notes hold.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump/dump.h"
#include "target/proc.h"
#include "util/guard.h"

#define AUXV_LIMIT_BYTES 65536u

static struct err *read_pid_file(pid_t pid, const char *name, char **ret, size_t *ret_size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return proc_read_file(path, ret, ret_size);
}

// state, ppid, pgrp, session: proc_pid_stat(5), fields 3 to 6, behind the name in parentheses.
static struct err *read_stat(struct dump_input *input)
{
    AUTO_FREE char *text = NULL;
    TRY(read_pid_file(input->pid, "stat", &text, NULL));
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    struct corefile_process *process = &input->process;
    if (!open || !close || close < open ||
        sscanf(close + 1, " %c %d %d %d", &process->state, &process->ppid, &process->pgrp,
               &process->sid) != 4)
        return err_create(ERR_BAD_DATA, "/proc/%d/stat", input->pid);
    // A stop of ours is no state of the process.
    if (process->state == 't')
        process->state = 'R';
    free(input->name);
    input->name = strndup(open + 1, (size_t)(close - open - 1));
    return input->name ? NULL : err_create(ERR_NO_MEMORY, "out of memory");
}

// The kernel's pr_psargs: all of the argument area, its NULs as spaces (fs/binfmt_elf.c,
// fill_psinfo).
static struct err *read_command(struct dump_input *input)
{
    size_t size = 0;
    free(input->psargs);
    input->psargs = NULL;
    TRY(read_pid_file(input->pid, "cmdline", &input->psargs, &size));
    for (size_t i = 0; i < size; i++)
        if (!input->psargs[i])
            input->psargs[i] = ' ';
    return NULL;
}

static struct err *read_auxv(struct dump_input *input)
{
    AUTO_FREE char *bytes = NULL;
    size_t size = 0;
    TRY(read_pid_file(input->pid, "auxv", &bytes, &size));
    if (size > AUXV_LIMIT_BYTES || !vec_reserve(&input->auxv, size))
        return err_create(ERR_NO_MEMORY, "/proc/%d/auxv", input->pid);
    if (size)
        memcpy(input->auxv.items, bytes, size);
    input->auxv.count = size;
    return NULL;
}

static unsigned read_filter(pid_t pid)
{
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = read_pid_file(pid, "coredump_filter", &text, NULL);
    // Empty: a zombie. Without CONFIG_ELF_CORE there is no such file.
    return err || !*text ? DUMP_FILTER_DEFAULT : (unsigned)strtoul(text, NULL, 16);
}

struct err *dump_input_facts(struct dump_input *input)
{
    uid_t uids[4];
    gid_t gids[4];
    TRY(read_stat(input));
    TRY(read_command(input));
    TRY(read_auxv(input));
    input->filter = read_filter(input->pid);
    input->process.pid = input->pid;
    input->process.name = input->name;
    input->process.psargs = input->psargs;
    if (proc_uids(input->pid, uids, gids)) {
        input->process.uid = uids[0];
        input->process.gid = gids[0];
    }
    return NULL;
}

void dump_input_deinit(struct dump_input *input)
{
    regsets_clear(&input->threads);
    vec_deinit(&input->details);
    vec_deinit(&input->auxv);
    free(input->name);
    free(input->psargs);
    input->name = input->psargs = NULL;
}

// VmRSS and VmSwap by kind, in kB: proc_pid_status(5).
static uint64_t status_bytes(const char *text, const char *key)
{
    char line[32];
    snprintf(line, sizeof(line), "\n%s:", key);
    const char *at = strstr(text, line);
    return at ? strtoull(at + strlen(line), NULL, 10) * 1024 : 0;
}

uint64_t dump_expected_bytes(pid_t pid, unsigned filter)
{
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = read_pid_file(pid, "status", &text, NULL);
    if (err)
        return 0;
    uint64_t bytes = 0;
    if (filter & DUMP_ANON_PRIVATE)
        bytes += status_bytes(text, "RssAnon") + status_bytes(text, "VmSwap");
    if (filter & DUMP_ANON_SHARED)
        bytes += status_bytes(text, "RssShmem");
    if (filter & (DUMP_FILE_PRIVATE | DUMP_FILE_SHARED))
        bytes += status_bytes(text, "RssFile");
    if (filter & (DUMP_HUGETLB_PRIVATE | DUMP_HUGETLB_SHARED))
        bytes += status_bytes(text, "HugetlbPages");
    return bytes;
}
