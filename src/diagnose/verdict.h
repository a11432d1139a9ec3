// SPDX-License-Identifier: GPL-3.0-or-later
// One sentence for all of it, and the names under which the same trouble is found again.
#ifndef DIAGNOSE_VERDICT_H
#define DIAGNOSE_VERDICT_H

#include "diagnose/diag.h"

// The findings are sorted.
void verdict_say(struct diag *diag);
// "; 312 tasks wait, 300 of them for input in `handle` (app/web.py:20)": what has no thread.
void say_suspended(struct plain *text, const struct diag *diag);
// "; `MainThread` is waiting for the end of thread `T1` in `main` (app.py:9); `T1` is in `recvfrom`
// on ...": what the main thread of an idle process waits for, and who has that. A hang that no rule can
// prove looks idle: this line is where a person sees it.
void say_main_thread(struct plain *text, const struct diag *diag);
// ", but no thread is left that could wake another": a signal or an extension's code may.
void say_nobody_left(struct plain *text, const struct diag *diag);
// Bucket and fingerprint: of a finding, or of a state without one ("hot", "idle") and its function.
void fingerprint_make(struct diag *diag, const char *id, const uint32_t *names, size_t count);

#endif
