// SPDX-License-Identifier: GPL-3.0-or-later
// Threads of ThreadPoolExecutors, as rules look at them.
#ifndef DIAGNOSE_EXECUTORS_H
#define DIAGNOSE_EXECUTORS_H

#include "diagnose/stack.h"

// It takes jobs out of an executor's queue; *ret_busy: it runs one.
bool executor_thread(const struct diag *diag, uint32_t thread, bool *ret_busy);
// Both are threads of one executor, as far as their names tell.
bool executor_same(const struct diag *diag, uint32_t one, uint32_t other);
// "all 4 threads of `asyncio`", "the only thread of `pool`"
void say_executor(struct plain *text, const struct diag *diag, uint32_t thread, size_t count);

#endif
