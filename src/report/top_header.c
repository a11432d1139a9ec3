// SPDX-License-Identifier: GPL-3.0-or-later
// The lines of pycore top above and below its tables: which process, how busy it is, what the view costs
// it; the keys, or what is being typed.
#include <stdlib.h>
#include <string.h>

#include "report/task_words.h"
#include "report/top_private.h"
#include "util/guard.h"

#define STATUS_ROW 3
#define STATUS_LINES 3 // of its words, at most

// ---- Which process -------------------------------------------------------------------------------

// The program and its arguments; where that is too long, paths without their folders.
static void say_command(struct plain *out, const struct top *top, unsigned columns)
{
    const struct snap_process *process = &top->values->input->source->process;
    const struct strtab *strings = top->page.names.strings;
    GUARD(plain_deinit) struct plain whole = {0};
    names_program(&whole, strings, process, 0);
    if (plain_columns(plain_text(&whole)) <= columns || !process->argc) {
        plain_str(out, plain_text(&whole));
        return;
    }
    for (size_t i = 0; i < process->argc; i++) {
        const char *word = strtab_get(strings, process->argv[i]);
        const char *base = word ? names_base(word) : "";
        plain_str(out, i ? " " : "");
        plain_safe(out, base, strlen(base));
    }
}

static void say_process(struct top *top, unsigned row)
{
    const struct snap_process *process = &top->values->input->source->process;
    const struct strtab *strings = top->page.names.strings;
    struct screen *screen = top->screen;
    GUARD(plain_deinit) struct plain left = {0}, right = {0};
    plain_add(&right, "pid %d", (int)process->pid);
    if (process->python_version) {
        plain_str(&right, ", Python ");
        plain_id(&right, strings, process->python_version, 16, PLAIN_KEEP_START);
        const char *build = strtab_get(strings, process->python_build);
        if (build && strcmp(build, "release") != 0)
            plain_add(&right, " %s", build);
    }
    unsigned taken = (unsigned)plain_columns(plain_text(&right)) + 2;
    unsigned width = taken < screen->columns ? screen->columns - taken : 0;
    say_command(&left, top, width);
    screen_cell(screen, row, SCREEN_BOLD, plain_text(&left), width, false, PLAIN_KEEP_START);
    screen_put(screen, row, SCREEN_NORMAL, "  ");
    screen_put(screen, row, SCREEN_NORMAL, plain_text(&right));
    screen->failed |= left.failed || right.failed;
}

// ---- How busy it is ------------------------------------------------------------------------------

// The thread that held the GIL most, and in how many snapshots one of them did.
static const struct prof_thread *gil_holder(const struct prof_report *profile, uint64_t *ret_held)
{
    const struct prof_thread *most = NULL;
    *ret_held = 0;
    for (size_t i = 0; i < profile->thread_count; i++) {
        const struct prof_thread *thread = &profile->threads[i];
        *ret_held += thread->gil_held;
        if (thread->gil_held && (!most || thread->gil_held > most->gil_held))
            most = thread;
    }
    return most;
}

// "   1,204 tasks, runs worker-3 (5 snapshots)"
static void say_suspended(struct plain *line, const struct top *top)
{
    const struct snap_suspended *suspended = top->values->suspended;
    if (!top->state->has_tasks)
        return;
    const size_t counts[] = {suspended->tasks.count, suspended->greenlets.count};
    static const char *const things[] = {"task", "greenlet"};
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        if (counts[i]) {
            plain_str(line, "   ");
            plain_things(line, counts[i], things[i]);
        }
    vec_foreach (loop, &suspended->loops) {
        if (loop->current >= suspended->tasks.count)
            continue;
        const struct task_groups all = {.suspended = suspended};
        plain_str(line, ", runs ");
        task_say_name(line, &top->page, &all, loop->current);
        if (loop->same_snapshots > 1) {
            plain_str(line, " (");
            plain_things(line, loop->same_snapshots, "snapshot");
            plain_str(line, ")");
        }
        return;
    }
}

static void say_load(struct top *top, unsigned row)
{
    const struct prof_report *profile = top->page.profile;
    struct screen *screen = top->screen;
    GUARD(plain_deinit) struct plain line = {0};
    uint64_t held = 0, waiting = 0, snapshots = profile->snapshots;
    const struct prof_thread *holder = gil_holder(profile, &held);
    for (int state = 0; state < SNAP_STATE_COUNT; state++)
        if (!snap_state_works((enum snap_state)state) && state != SNAP_UNKNOWN)
            waiting += profile->states[state];
    if (profile->has_process_cpu) {
        plain_add(&line, "CPU %.0f %%",
                  weigh_ratio(profile->process_cpu_ns, profile->duration_ns) * 100);
        screen_put(screen, row, SCREEN_BOLD, plain_text(&line));
        plain_clear(&line);
        plain_str(&line, "   ");
    }
    plain_things(&line, top->latest ? top->latest->threads.count : 0, "thread");
    plain_add(&line, ": %.1f work, %.1f wait", weigh_ratio(profile->samples_working, snapshots),
              weigh_ratio(waiting, snapshots));
    if (holder) {
        plain_add(&line, "   GIL %.0f %% (", weigh_ratio(held, snapshots) * 100);
        plain_id(&line, top->page.names.strings, holder->name, 20, PLAIN_KEEP_START);
        plain_add(&line, "), %.1f wait", weigh_ratio(profile->states[SNAP_GIL_WAIT], snapshots));
    }
    say_suspended(&line, top);
    screen_put(screen, row, SCREEN_NORMAL, plain_text(&line));
    screen->failed |= line.failed;
}

static void say_cost(struct top *top, unsigned row)
{
    const struct prof_report *profile = top->page.profile;
    GUARD(plain_deinit) struct plain line = {0};
    plain_str(&line, top->state->whole ? "all " : "last ");
    plain_duration(&line, profile->duration_ns);
    plain_str(&line, ": ");
    plain_things(&line, profile->snapshots, "snapshot");
    plain_str(&line, ", one per ");
    plain_duration(&line, profile->interval_ns);
    plain_str(&line, "   pause ");
    plain_percent(&line, profile->pause_share);
    plain_str(&line, " %, pycore ");
    plain_percent(&line, profile->own_cpu_share);
    plain_str(&line, " % CPU");
    screen_put(top->screen, row, SCREEN_NORMAL, plain_text(&line));
    top->screen->failed |= line.failed;
}

// As much of the status as STATUS_LINES hold. The number of lines, at least one; `screen` NULL: only that.
static unsigned put_status(const struct top *top, unsigned columns, struct screen *screen,
                           unsigned row)
{
    GUARD(plain_deinit) struct plain words = {0};
    unsigned lines = 0;
    if (!top->values->status)
        return 1;
    plain_safe(&words, top->values->status, strlen(top->values->status));
    for (const char *at = plain_text(&words); *at && lines < STATUS_LINES; lines++) {
        GUARD(plain_deinit) struct plain line = {0};
        size_t bytes = top_fits(at, columns);
        plain_bytes(&line, at, bytes);
        if (screen)
            screen_put(screen, row + lines, SCREEN_ALERT, plain_text(&line));
        at += bytes ? bytes : strlen(at);
    }
    if (screen && words.failed)
        screen->failed = true;
    return lines ? lines : 1;
}

static void say_status(struct top *top, unsigned row)
{
    const struct top_state *state = top->state;
    struct screen *screen = top->screen;
    GUARD(plain_deinit) struct plain line = {0};
    row += put_status(top, screen->columns, screen, row) - 1;
    if (top->values->status)
        screen_put(screen, row, SCREEN_NORMAL, "  ");
    if (state->paused)
        screen_put(screen, row, SCREEN_ALERT, "held: p goes on  ");
    if (state->filter[0] && state->prompt != TOP_ASK_FILTER) {
        plain_clear(&line);
        plain_str(&line, "only with \"");
        plain_safe(&line, state->filter, strlen(state->filter));
        plain_str(&line, "\": Esc ends it  ");
        screen_put(screen, row, SCREEN_ALERT, plain_text(&line));
    }
    if (!state->native)
        screen_put(screen, row, SCREEN_FAINT, "without native frames");
    screen->failed |= line.failed;
}

unsigned top_header_lines(const struct top *top, unsigned columns)
{
    return STATUS_ROW + put_status(top, columns, NULL, 0);
}

void top_header(struct top *top)
{
    say_process(top, 0);
    if (top->page.profile) {
        say_load(top, 1);
        say_cost(top, 2);
    } else {
        screen_put(top->screen, 1, SCREEN_NORMAL, "the first snapshots are being taken");
    }
    say_status(top, STATUS_ROW);
}

// ---- The last line -------------------------------------------------------------------------------

enum {
    TABLES = 1u << TOP_OVERVIEW | 1u << TOP_THREADS | 1u << TOP_FUNCTIONS | 1u << TOP_LINES |
             1u << TOP_TASKS,
    TEXTS = 1u << TOP_STACK | 1u << TOP_FUNCTION | 1u << TOP_TASK,
    HELP = 1u << TOP_HELP,
    EVERY = TABLES | TEXTS | HELP,
};

static void show_hints(struct top *top, unsigned row)
{
    static const struct {
        const char *key, *words;
        unsigned pages; // 1 << enum top_page
    } hints[] = {
        {"q", "quit", EVERY},          {"h", "help", EVERY & ~HELP},
        {"Esc", "back", TEXTS | HELP}, {"Enter", "open", TABLES},
        {"g", "group", TABLES},        {"s", "sort", TABLES & ~(1u << TOP_TASKS)},
        {"w", "window", TABLES},       {"/", "filter", TABLES},
        {"n", "native", TEXTS},        {"S", "save", TABLES | TEXTS},
        {"p", "hold", TABLES | TEXTS}, {"Tab", "other table", 1u << TOP_OVERVIEW},
    };
    struct screen *screen = top->screen;
    for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
        if (!(hints[i].pages & 1u << top->state->page) ||
            screen->lines[row].columns + strlen(hints[i].key) + strlen(hints[i].words) + 2 >
                screen->columns)
            continue;
        screen_put(screen, row, SCREEN_BOLD, hints[i].key);
        screen_put(screen, row, SCREEN_FAINT, " ");
        screen_put(screen, row, SCREEN_FAINT, hints[i].words);
        screen_put(screen, row, SCREEN_FAINT, "  ");
    }
}

// What is typed, its end in sight.
static void show_prompt(struct top *top, unsigned row)
{
    const struct top_state *state = top->state;
    struct screen *screen = top->screen;
    GUARD(plain_deinit) struct plain text = {0}, end = {0};
    const char *question = state->prompt == TOP_ASK_FILE ? "Save as: " : "Show only: ";
    screen_put(screen, row, SCREEN_BOLD, question);
    plain_safe(&text, state->input, strlen(state->input));
    size_t room = screen->columns - screen->lines[row].columns;
    plain_clip(&end, plain_text(&text), room > 1 ? room - 1 : 0, PLAIN_KEEP_END);
    screen_put(screen, row, SCREEN_NORMAL, plain_text(&end));
    screen->cursor = true;
    screen->cursor_row = row;
    screen->cursor_column = screen->lines[row].columns;
    screen->failed |= text.failed || end.failed;
}

void top_footer(struct top *top)
{
    unsigned row = top->screen->rows - 1;
    if (top->state->prompt)
        show_prompt(top, row);
    else if (top->state->message[0])
        screen_put(top->screen, row, top->state->alert ? SCREEN_ALERT : SCREEN_BOLD,
                   top->state->message);
    else
        show_hints(top, row);
}
