// SPDX-License-Identifier: GPL-3.0-or-later
// The program that pycore run starts. It is in pycore's own process group, with pycore's terminal and
// files, and lives on whatever becomes of pycore.
//
// What the terminal sends (Ctrl-C, Ctrl-\, Ctrl-Z, a new size) reaches the program by itself. What
// somebody sends to pycore is passed on, but for SIGUSR1, which asks for an interim report.
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

// As pycore itself was started: before it changes anything that programs inherit.
void child_remember_inherited(void);

// Starts the program and passes signals on from now on. 0: it runs. Otherwise the exit code, as shells
// have it, after a message: 127 there is no such program, 126 it cannot be executed.
// Sets `interrupted` (cli/signals.h) at the second of two Ctrl-C that come within 10 s.
int child_start(char **argv, pid_t *ret);
// Has it ended? Nothing of it is collected. When it was stopped from the terminal, pycore stops, too,
// and wakes it when it goes on itself.
bool child_has_ended(pid_t pid);
// Waits until it ends, and collects it. False: `interrupted` came first. *ret_status: see waitpid(2).
bool child_wait(pid_t pid, int *ret_status);
// Ends pycore as the program ended: with its status, or by the same signal, without a core of
// pycore's own. Returns the exit code where that fails, or 128 + signal where pycore must not die.
int child_exit_code(int status);

#endif
