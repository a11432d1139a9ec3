// SPDX-License-Identifier: GPL-3.0-or-later
// To be preloaded into frozen_probe: the process that it forks, the tracer, is killed right after
// its ptrace(2) call of number FROZEN_DIE, or, when that is negative, right before it. So every
// point at which the target could be left between two states is met.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <unistd.h>

static pid_t first;

__attribute__((constructor)) static void begin(void)
{
    first = getpid();
}

long ptrace(enum __ptrace_request request, ...)
{
    static long (*real)(enum __ptrace_request, ...);
    static int calls;
    va_list args;
    va_start(args, request);
    pid_t pid = va_arg(args, pid_t);
    void *addr = va_arg(args, void *), *data = va_arg(args, void *);
    va_end(args);
    if (!real)
        real = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
    const char *text = getenv("FROZEN_DIE");
    int number = text ? atoi(text) : 0, now = getpid() == first ? 0 : ++calls;
    if (now && now == -number)
        raise(SIGKILL);
    long result = real(request, pid, addr, data);
    if (now && now == number)
        raise(SIGKILL);
    return result;
}
