// SPDX-License-Identifier: GPL-3.0-or-later
// The screens of pycore top: from the values of a run, and what the user wants to see of them, to
// cells. Knows no terminal and no process.
#ifndef REPORT_TOP_H
#define REPORT_TOP_H

#include "report/report.h"
#include "report/screen.h"

enum top_page {
    TOP_OVERVIEW, // threads above, functions below
    TOP_THREADS,
    TOP_FUNCTIONS,
    TOP_LINES,
    TOP_TASKS,    // tasks and greenlets by where they wait
    TOP_STACK,    // of a thread, in the last snapshot
    TOP_FUNCTION, // callers, callees and lines of one
    TOP_TASK,     // frames and names of those that wait at a place
    TOP_HELP,
};

enum top_thread_sort { TOP_BY_CPU, TOP_BY_STATE, TOP_BY_TID, TOP_BY_NAME, TOP_THREAD_SORTS };

enum top_prompt { TOP_NO_PROMPT, TOP_ASK_FILTER, TOP_ASK_FILE };

// A place in a table. It follows the row, not the number of the row.
struct top_cursor {
    uint64_t follows; // key of the row that it is on; 0: it stays on the first one
    size_t row;       // the number of that row when last drawn, or where the user moves it to
    bool moved;       // the latter
    uint64_t here;    // when last drawn: the key of the row; 0: there is none
    uint64_t opens;   // ... and of the thread or function that it is of
    size_t first;     // row at the table's upper edge
    size_t height;    // rows that are seen
};

enum { TOP_INPUT_BYTES = 512 };

struct top_state {
    enum top_page page;
    enum top_page back, before_help; // where Esc leads to
    bool lower;                      // overview: the cursor is in the functions
    enum top_thread_sort thread_sort;
    enum report_sort function_sort;
    struct top_cursor threads, functions, lines, tasks;
    struct top_cursor text; // of pages that are text: only `first` and `height`
    uint64_t opened;        // the key of the row that TOP_STACK, TOP_FUNCTION or TOP_TASK is of
    bool has_tasks;         // when last drawn: there are tasks or greenlets
    bool native, whole, paused;
    enum top_prompt prompt;
    char input[TOP_INPUT_BYTES]; // being typed
    char filter[TOP_INPUT_BYTES];
    char message[TOP_INPUT_BYTES + 128]; // below the tables, clean; until the next key
    bool alert;                          // it is an error
};

struct top_values {
    // strings, source, source_reader; profile: what is counted, NULL: nothing so far; snapshots[0]: the
    // last one, snapshot_count 0: none.
    const struct report_input *input;
    const struct snap_suspended *suspended; // the newest that is known; NULL: none
    const char *status; // "process 4711 has ended", "its memory may not be read"; NULL: all is well
};

// Fills the screen. Cursors are moved to where there are rows.
struct err *top_draw(struct screen *screen, const struct top_values *values,
                     struct top_state *state);
// The same for a pipe: header, `threads` and `functions` rows at most, and no more. *ret is to be
// destroyed by the caller.
struct err *top_table(unsigned columns, bool ascii, unsigned threads, unsigned functions,
                      const struct top_values *values, struct top_state *state,
                      struct screen **ret);

#endif
