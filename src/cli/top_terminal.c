// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/top_terminal.h. ncurses knows the terminals (terminfo), sends only what changed, and follows
// resizes; what it does on signals by itself is replaced: its handlers do more than a handler may.
#include "cli/top_terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

bool terminal_is_utf8(void)
{
    setlocale(LC_CTYPE, ""); // and no more: numbers keep their point
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

#ifdef HAVE_NCURSES

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <poll.h>
#include <signal.h>

#include "cli/top_keys.h"
#include "cli/top_rescue.h"
#include "target/live.h"
#include "util/guard.h"

#define ESCAPE_MS 25 // after Esc: is it a key's sequence?

static SCREEN *curses;
static bool ascii, has_color;
static volatile sig_atomic_t stop_wanted, continued;

// ---- Signals -------------------------------------------------------------------------------------

static void on_stop(int signo)
{
    (void)signo;
    stop_wanted = 1;
}

static void on_continue(int signo)
{
    (void)signo;
    continued = 1;
}

static void set_signals(bool ours)
{
    struct sigaction stop = {.sa_handler = ours ? on_stop : SIG_DFL};
    struct sigaction cont = {.sa_handler = ours ? on_continue : SIG_DFL};
    sigaction(SIGTSTP, &stop, NULL);
    sigaction(SIGCONT, &cont, NULL);
}

// Ctrl-Z, as if there were no handler: the shell gets its terminal back.
static void stop_here(void)
{
    struct sigaction default_action = {.sa_handler = SIG_DFL}, before;
    stop_wanted = 0;
    endwin();
    sigaction(SIGTSTP, &default_action, &before);
    raise(SIGTSTP);
    sigaction(SIGTSTP, &before, NULL);
}

static void take_again(void)
{
    continued = 0;
    reset_prog_mode();
    clearok(curscr, TRUE);
    refresh();
}

// ---- Open and close ------------------------------------------------------------------------------

static void set_colors(bool color)
{
    has_color = color && has_colors();
    if (!has_color)
        return;
    start_color();
    use_default_colors();
    init_pair(1, COLOR_RED, -1);
    init_pair(2, COLOR_BLACK, COLOR_CYAN);
    init_pair(3, COLOR_YELLOW, -1);
    init_pair(4, COLOR_BLACK, COLOR_GREEN);
}

bool terminal_open(bool color, const char **ret_why)
{
    *ret_why = NULL;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !rescue_prepare(ret_why))
        return false;
    ascii = !terminal_is_utf8();
    curses = newterm(NULL, stdout, stdin);
    *ret_why = "the terminal cannot be used";
    if (!curses)
        return false;
    cbreak();
    noecho();
    nonl(); // Enter is \r, and Ctrl-J is \n
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    set_escdelay(ESCAPE_MS);
    set_colors(color);
    rescue_begin();
    set_signals(true);
    *ret_why = NULL;
    return true;
}

void terminal_close(void)
{
    if (!curses)
        return;
    set_signals(false);
    rescue_end();
    endwin();
    delscreen(curses);
    curses = NULL;
}

// ---- Showing -------------------------------------------------------------------------------------

static attr_t attributes_of(enum screen_style style)
{
    switch (style) {
    case SCREEN_BOLD:
        return A_BOLD;
    case SCREEN_FAINT:
        return A_DIM;
    case SCREEN_HOT:
        return has_color ? (attr_t)COLOR_PAIR(1) : A_BOLD;
    case SCREEN_BAR:
        return A_REVERSE;
    case SCREEN_SORTED:
        return has_color ? (attr_t)COLOR_PAIR(4) | A_BOLD : A_REVERSE | A_BOLD | A_UNDERLINE;
    case SCREEN_SELECTED:
        return has_color ? (attr_t)COLOR_PAIR(2) : A_REVERSE;
    case SCREEN_ALERT:
        return has_color ? (attr_t)COLOR_PAIR(3) | A_BOLD : A_BOLD;
    case SCREEN_NORMAL:
    case SCREEN_STYLE_COUNT:
        break;
    }
    return A_NORMAL;
}

struct screen *terminal_screen(void)
{
    int rows, columns;
    getmaxyx(stdscr, rows, columns);
    return screen_create(rows > 0 ? (unsigned)rows : 1, columns > 0 ? (unsigned)columns : 1, ascii);
}

void terminal_show(const struct screen *screen, bool repaint)
{
    if (repaint)
        clearok(curscr, TRUE);
    erase(); // of the picture in memory: what is the same in the next one is not sent
    for (unsigned row = 0; row < screen->rows; row++) {
        const struct screen_line *line = &screen->lines[row];
        size_t at = 0;
        move((int)row, 0);
        vec_foreach (piece, &line->pieces) {
            attrset((int)attributes_of(piece->style));
            addnstr(plain_text(&line->text) + at, (int)(piece->end - at));
            at = piece->end;
        }
    }
    attrset(A_NORMAL);
    curs_set(screen->cursor);
    if (screen->cursor)
        move((int)screen->cursor_row, (int)screen->cursor_column);
    else
        move((int)screen->rows - 1, 0);
    refresh();
}

// ---- Waiting -------------------------------------------------------------------------------------

static enum terminal_event key_event(wint_t code, bool is_key, uint32_t *ret_key)
{
    static const struct {
        wint_t code;
        enum top_key key;
    } rows[] = {
        {KEY_UP, TOP_KEY_UP},           {KEY_DOWN, TOP_KEY_DOWN},  {KEY_PPAGE, TOP_KEY_PAGE_UP},
        {KEY_NPAGE, TOP_KEY_PAGE_DOWN}, {KEY_HOME, TOP_KEY_HOME},  {KEY_END, TOP_KEY_END},
        {KEY_LEFT, TOP_KEY_BACK},       {KEY_RIGHT, TOP_KEY_OPEN}, {KEY_BTAB, TOP_KEY_NEXT_TABLE}};
    *ret_key = (uint32_t)code;
    if (!is_key)
        return TERMINAL_KEY;
    if (code == KEY_RESIZE)
        return TERMINAL_RESIZED;
    *ret_key = code == KEY_BACKSPACE ? '\x7f' : code == KEY_ENTER ? '\r' : TOP_KEY_NONE;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].code == code)
            *ret_key = rows[i].key;
    return TERMINAL_KEY;
}

enum terminal_event terminal_wait(uint64_t until_ns, uint32_t *ret_key)
{
    wint_t code;
    int got = get_wch(&code); // what is there, and whether the size has changed
    if (got == ERR && !stop_wanted && !continued) {
        uint64_t now_ns = live_now_ns();
        uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns + 999999) / 1000000 : 0;
        struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&terminal, 1, (int)(left_ms < 50 ? left_ms : 50));
        if (ready > 0 && terminal.revents & (POLLERR | POLLHUP | POLLNVAL))
            return TERMINAL_GONE;
        got = get_wch(&code);
    }
    if (stop_wanted) {
        stop_here();
        continued = 1;
    }
    if (continued) {
        take_again();
        return TERMINAL_RESUMED;
    }
    return got == ERR ? TERMINAL_NOTHING : key_event(code, got == KEY_CODE_YES, ret_key);
}

#else

bool terminal_open(bool color, const char **ret_why)
{
    (void)color;
    *ret_why = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)
                   ? "this pycore was built without ncurses"
                   : NULL;
    return false;
}

void terminal_close(void)
{
}

struct screen *terminal_screen(void)
{
    return NULL;
}

void terminal_show(const struct screen *screen, bool repaint)
{
    (void)screen, (void)repaint;
}

enum terminal_event terminal_wait(uint64_t until_ns, uint32_t *ret_key)
{
    (void)until_ns, (void)ret_key;
    return TERMINAL_GONE;
}

#endif
