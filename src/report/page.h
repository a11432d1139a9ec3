// SPDX-License-Identifier: GPL-3.0-or-later
// The pages: from the values of a run to a document (doc.h). One file per group of sections; the
// order in which a reader meets them is the order of the calls in page.c.
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include "report/doc.h"
#include "report/names.h"
#include "report/report.h"
#include "report/weigh.h"

struct page_thread { // for finding a thread of the profile
    pid_t pid, tid;
    uint32_t index;
};

struct page {
    struct doc *doc;
    const struct report_input *input;
    const struct report_options *options;
    const struct prof_report *profile; // NULL: a thread dump
    struct names names;
    size_t pythons;                // processes of which there are stacks
    struct weigh weigh;            // with a profile
    struct page_thread *threads;   // sorted
    const struct snapshot *moment; // report_last()
    struct page_thread *last;      // its threads, sorted
    bool *own_code;                // by function: neither library nor package
    bool *interpreter;             // by function: native code of the interpreter itself
    bool python_only;              // page_frames() leaves native frames out
    bool inner_hidden;             // ... those that the innermost other frame is inside of
    bool failed;                   // out of memory
};

// The whole document of a report; the formats call nothing else.
struct err *page_build(struct doc *doc, const struct report_input *input,
                       const struct report_options *options);
// For those who need a page's helpers alone: what they look things up in, from doc, input, options and
// profile. False: out of memory; page_deinit() is due in any case.
bool page_prepare(struct page *page);
void page_deinit(struct page *page);
// What went wrong while building or writing, as an error.
struct err *page_finish(const struct doc *doc, FILE *out);

// Sections of every report, where there is something to say.
void page_verdict(struct page *page);     // verdict.c
void page_findings(struct page *page);    // verdict.c
void page_crash(struct page *page);       // crash.c
void page_say_signal(struct page *page);  // a sentence on the fatal signal; crash.c
void page_waits(struct page *page);       // blocked.c
void page_environment(struct page *page); // environment.c
// What a thread waits for, as a tag: "[lock pool_lock, held by Thread-7 (4718), inferred]". `closely`:
// with the times, which differ between threads that wait alike. blocked.c
void page_say_wait(struct plain *plain, const struct page *page, const struct snap_thread *thread,
                   bool closely);
// Lines below a frame: the locks whose `with` it is, its variables. detail_lines.c
void page_frame_details(struct page *page, const struct snap_thread *thread, size_t frame);
// Lines below a stack: its other locks, its exceptions.
void page_thread_details(struct page *page, const struct snap_thread *thread);
// What waits without a thread, in the snapshot that is told of; NULL: nothing. tasks.c
const struct snap_suspended *page_suspended(const struct page *page);
void page_tasks(struct page *page);      // tasks.c
void page_task_tree(struct page *page);  // task_tree.c
void page_greenlets(struct page *page);  // greenlets.c
void page_generators(struct page *page); // generators.c
// A sentence of the summary: how many there are, and where most of them wait. tasks.c
void page_say_suspended(struct page *page, bool of_greenlets);
// "runs task worker-3 for 5 snapshots", of a thread that has a turn. tasks.c
void page_say_turn(struct plain *plain, const struct page *page, const struct snap_thread *thread);
// How many values look like secrets and are not shown.
uint64_t page_hidden_values(const struct page *page);

// Sections of a hotspot report.
void page_summary(struct page *page);      // summary.c
void page_processes(struct page *page);    // processes.c
void page_threads(struct page *page);      // threads.c
void page_by_thread(struct page *page);    // by_thread.c
void page_tasks_by_cpu(struct page *page); // by_task.c
void page_await_sites(struct page *page);  // by_task.c
void page_functions(struct page *page);    // functions.c
void page_natives(struct page *page);      // natives.c
void page_hottest(struct page *page);      // hottest.c
void page_tree(struct page *page);         // tree.c
void page_waiting(struct page *page);      // waiting.c
void page_cpu(struct page *page);          // cpu.c
// A sentence of the summary: where native code takes the time.
void page_say_native(struct page *page); // natives.c
// Of threads that Python does not know: ", in code of libopenblas.so, which Python calls in predict()
// model.py:20"; nothing where no module has the most of their work.
void page_say_shared_module(struct plain *line, const struct page *page); // natives.c
// Sentences of the summary: which threads do the work.
void page_say_work(struct page *page); // work.c
// ", below acquire() pool.py:6": where one's own code is above a function of others. Nothing when that is
// `named` already, or when there is none for half of its own weight.
void page_say_below(struct plain *line, const struct page *page, uint32_t index,
                    uint32_t named); // work.c
// Where there are several: who they are; a sentence on the one that used most. processes.c
void page_say_processes(struct page *page, struct plain *line);
bool page_same_python(const struct page *page); // in all of them
void page_say_busiest_process(struct page *page);
// The one of a thread dump.
void page_dump(struct page *page);                                        // dump.c
void page_dump_table(struct page *page, const struct snapshot *snapshot); // dump_table.c
// The lines of one stack; `sparingly`: there are many stacks to come. `details` NULL: frames alone; else
// the thread whose variables and locks stand below its frames.
void page_frames(struct page *page, const struct snap_frames *whole, bool sparingly,
                 const struct snap_thread *details); // frames.c

// Rows of a table: --top, all with --full, or the default.
size_t page_rows(const struct page *page, size_t usual, size_t there);
const struct prof_function *page_function(const struct page *page, uint32_t index);
// What a process runs, in code marks: "gunicorn app:app".
void page_say_command(struct plain *plain, const struct page *page,
                      const struct snap_process *process, size_t columns);
// A thread for sentences, in code marks: pricing (4712), where there are several processes pricing
// (4712, process 4711). `tid` 0 is left out.
void page_say_thread(struct plain *plain, const struct page *page, uint32_t name, pid_t pid,
                     pid_t tid);
// A thread's name for table cells; marked when Python does not know the thread.
void page_thread_name(struct plain *plain, const struct page *page, uint32_t name,
                      bool known_to_python);

// The columns of a table that tell by state, in the order of enum snap_state; and their cells: % of
// the samples.
// clang-format off
#define PAGE_STATE_COLUMNS                                       \
    {.title = "RUN", .tight = true, .right = true},              \
    {.title = "READY", .tight = true, .right = true, .drop = 1}, \
    {.title = "GIL", .tight = true, .right = true},              \
    {.title = "LOCK", .tight = true, .right = true},             \
    {.title = "IO", .tight = true, .right = true},               \
    {.title = "SLEEP", .tight = true, .right = true},            \
    {.title = "?", .tight = true, .right = true, .drop = 2}
// clang-format on
void page_state_cells(struct plain *row, const uint64_t states[SNAP_STATE_COUNT],
                      uint64_t samples); // threads.c
// The state that it was seen in most.
enum snap_state page_usual_state(const struct prof_thread *thread); // threads.c
// The function each thread is mostly in, as a reader wants it named: an index, or UINT32_MAX, for each of
// the profile's threads. Of one that works its hottest; of others, where their own code waits.
void page_mostly_in(const struct page *page, uint32_t *ret); // threads.c

// Function and place for table cells: "lookup cache.py:118"; nothing for UINT32_MAX.
void page_function_cell(struct plain *plain, const struct page *page, uint32_t index);

// Of the last snapshot; NULL: it has none of these numbers.
const struct snap_thread *page_last_thread(const struct page *page, pid_t pid, pid_t tid);

// Index in prof_report.threads; UINT32_MAX: unknown.
uint32_t page_thread_of(const struct page *page, const struct prof_stack *stack);

// Three functions that say where a stack is; UINT32_MAX: it has none.
struct stack_place {
    uint32_t leaf;     // the innermost function; above native code, the builtin it belongs to
    uint32_t function; // the innermost Python function
    uint32_t own;      // the innermost one that is neither library nor package
};
struct stack_place page_place_of(const struct page *page, const struct prof_stack *stack);

// Where threads wait (waiting.c): the stacks seen waiting, by state and Python function.
struct wait_place {
    enum snap_state state;
    struct stack_place at;
    uint64_t samples;
    size_t threads;
    uint32_t one_thread; // index in prof_report.threads, of the one seen there most
    uint64_t of_samples; // all samples of these threads
};
VEC_DEFINE(wait_places, struct wait_place);
// Most samples first. False: out of memory.
bool wait_places_find(const struct page *page, struct wait_places *ret);

#endif
