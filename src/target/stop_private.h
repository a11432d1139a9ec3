// SPDX-License-Identifier: GPL-3.0-or-later
// What the files that look at, stop and release threads share: see target/live.h.
#ifndef TARGET_STOP_PRIVATE_H
#define TARGET_STOP_PRIVATE_H

#include "target/live.h"

// ---- threads.c: the thread table ----------------------------------------------------------------

// Brings the thread table up to date with /proc. Not while a SIGCHLD may come: its handler walks it.
struct err *live_list_threads(struct live *live);
// Gives its descriptors back.
void live_close_thread(struct live_thread *thread);
// The kernel's letter for it; 'X' when it has ended.
char live_kernel_state(const struct live *live, const struct live_thread *thread);
bool live_is_dead(char state);

// ---- release.c: letting go, come what may -------------------------------------------------------

// What a seized thread has to say. *ret_status: event << 8 | signal.
enum live_answer { LIVE_NO_ANSWER, LIVE_HAS_STOPPED, LIVE_HAS_ENDED };
enum live_answer live_ask(pid_t tid, int *ret_status);
// The signal that a stopped thread was about to take; 0: none.
int live_pending_signal(int status);
// Takes note of an answer. True when the thread is stopped or gone.
bool live_poll_thread(struct live_thread *thread);

// Seized, and cannot be let go of as long as it does not stop or end: the SIGCHLD handler will.
void live_linger(struct live *live, struct live_thread *thread);

// No signal may reach pycore while threads are held: one that stops it (SIGTSTP) would leave the
// target stopped, too. They wait until the resume, SIGKILL and SIGSTOP excepted.
void live_block_signals(struct live *live);
void live_unblock_signals(struct live *live);

// From right before the first interrupt to the last detach pycore runs before all others, where it
// may: being put off its processor in between would be the target's pause.
void live_raise_priority(struct live *live);
void live_restore_priority(struct live *live);

// Around PTRACE_SEIZE.
void live_begin_seizing(struct live *live);
void live_end_seizing(void);
// Lets go of lingering threads that have answered.
void live_release_answered(void);

#endif
