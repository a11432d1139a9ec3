// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/top_rescue.h.
#include "cli/top_rescue.h"

#ifdef HAVE_NCURSES

#include <curses.h>
#include <signal.h>
#include <stdlib.h>
#include <term.h> // defines macros with everyday names
#include <termios.h>
#include <unistd.h>

static struct termios modes;
static char bytes[256];
static size_t byte_count;

static const int ends[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT, SIGSYS};

// write(2), tcsetattr(3) and raise(3) are async-signal-safe. The handler is reset already
// (SA_RESETHAND): the signal that is raised ends pycore once this returns.
static void on_end(int signo)
{
    if (write(STDOUT_FILENO, bytes, byte_count) >= 0)
        tcsetattr(STDIN_FILENO, TCSANOW, &modes);
    raise(signo);
}

static int keep_byte(int byte)
{
    if (byte_count < sizeof(bytes))
        bytes[byte_count++] = (char)byte;
    return byte;
}

static void keep_way_back(void)
{
    static char *const names[] = {"sgr0", "rmkx", "rmcup", "cnorm"};
    byte_count = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *text = tigetstr(names[i]);
        if (text && text != (const char *)-1)
            tputs(text, 1, keep_byte);
    }
}

bool rescue_prepare(const char **ret_why)
{
    int known;
    const char *name = getenv("TERM");
    *ret_why = "the terminal is not known (TERM)";
    if (!name || !*name || setupterm(NULL, STDOUT_FILENO, &known) != OK)
        return false;
    const char *place = tigetstr("cup");
    bool can_place = place && place != (const char *)-1;
    keep_way_back();
    del_curterm(cur_term); // curses reads it again, for itself
    *ret_why = "the terminal cannot place its cursor (TERM)";
    if (!can_place)
        return false;
    *ret_why = "the terminal's modes cannot be read";
    return tcgetattr(STDIN_FILENO, &modes) == 0;
}

static void set_handlers(const struct sigaction *action)
{
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        sigaction(ends[i], action, NULL);
}

void rescue_begin(void)
{
    static char stack[65536]; // an overflow of the stack is one of the crashes
    stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = on_end, .sa_flags = SA_RESETHAND};
    if (sigaltstack(&other, NULL) == 0)
        action.sa_flags |= SA_ONSTACK;
    set_handlers(&action);
}

void rescue_end(void)
{
    set_handlers(&(struct sigaction){.sa_handler = SIG_DFL});
}

#endif
