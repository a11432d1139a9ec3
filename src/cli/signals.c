// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/signals.h.
#include "cli/signals.h"

#include <stddef.h>

volatile sig_atomic_t interrupted;

volatile sig_atomic_t interim_wanted;

static void on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

static void on_usr1(int signo)
{
    (void)signo;
    interim_wanted = 1;
}

void signals_catch_interim(void)
{
    struct sigaction action = {.sa_handler = on_usr1};
    sigaction(SIGUSR1, &action, NULL);
}

void signals_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signals_catch_interim();
}
