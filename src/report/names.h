// SPDX-License-Identifier: GPL-3.0-or-later
// How functions and files are called in a report: short where short is clear, unique always.
#ifndef REPORT_NAMES_H
#define REPORT_NAMES_H

#include "report/plain.h"
#include "report/report.h"

struct name_path {
    uint32_t id;
    unsigned extra;   // components kept beyond the usual ones, to be unique
    const char *text; // the tail of the string in the table
};

struct names {
    const struct strtab *strings;
    const struct report_options *options;
    struct name_path *paths; // of the profile's functions, by id
    size_t path_count;
    const char *root; // all own code lies below it, and paths begin after it; NULL: none
    size_t root_size; // with the last slash
};

// `profile` may be NULL: then no path is known and all are shown in full. False: out of memory.
bool names_init(struct names *names, const struct report_input *input,
                const struct report_options *options);
void names_deinit(struct names *names);

// "Cache.lookup", "{built-in method time.sleep}", "__read"; at most `columns` wide (0: all).
void names_function(struct plain *plain, const struct names *names,
                    const struct prof_function *function, size_t columns);
// "app.py:10", "libc.so.6", "" for a builtin.
void names_place(struct plain *plain, const struct names *names,
                 const struct prof_function *function);
// For sentences, in code marks: "lookup() cache.py:118".
void names_say(struct plain *plain, const struct names *names,
               const struct prof_function *function);
void names_path(struct plain *plain, const struct names *names, uint32_t file);
// How many bytes of a path --strip-prefix takes away.
size_t names_stripped(const struct report_options *options, const char *path, size_t size);
// What --hide-boilerplate hides: how Python and C get to a program's first line (boilerplate.def).
bool names_is_boilerplate(const struct strtab *strings, enum snap_frame_kind kind, uint32_t file,
                          uint32_t function);
// Neither the standard library nor an installed package.
bool names_is_own_code(const struct names *names, const struct prof_function *function);
// Native, and a piece of the interpreter: what it does, it does for the Python function above it.
bool names_is_interpreter(const struct names *names, const struct prof_function *function);
// The part of a path after its last slash.
const char *names_base(const char *path);

// What runs, in one line: "python3.11 app.py 'two words'"; in so many columns at most, 0: all of it.
void names_program(struct plain *plain, const struct strtab *strings,
                   const struct snap_process *process, size_t columns);
// A thread's name with each number as "*", for threads of one kind; to be freed. NULL: out of memory.
char *names_stem(const char *name, size_t size);

// "fetch (Task-*)"; what of it is known.
void names_task(struct plain *plain, const struct strtab *strings, uint32_t coroutine,
                uint32_t name, size_t columns);
// What most of those that wait there wait for.
enum snap_await_kind names_usual_await(const struct prof_await_site *site);

// "running", "waits for the GIL" ...
const char *names_state_words(enum snap_state state);

#endif
