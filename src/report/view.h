// SPDX-License-Identifier: GPL-3.0-or-later
// The stacks of a profile as exports show them (flame graphs, pprof, speedscope ...): outermost frame
// first, names and paths clean and as the options want them, weights as --weight says, and stacks
// that then look the same put together. All exports show this, so that their numbers agree.
//
// With --async-stacks a stack in which a task has its turn is the task's, and below it those that wait
// for it, without the event loop; and where all that waits has weight, so does each task that waits: a
// sample of its await site.
//
// A stack that has no weight (with --weight samples, one that waits) is not in it.
#ifndef REPORT_VIEW_H
#define REPORT_VIEW_H

#include "report/report.h"
#include "report/weigh.h"

enum view_kind { VIEW_PROCESS, VIEW_THREAD, VIEW_PYTHON, VIEW_BUILTIN, VIEW_NATIVE };

struct view_frame {
    enum view_kind kind;
    bool inferred;     // a builtin that was concluded, not read
    bool no_symbol;    // native code of `module` whose functions are not known
    uint32_t function; // index in the profile's functions; UINT32_MAX: a process or a thread
    // Never NULL, the name not empty. Clean (util/clean.h), complete, without anything of a format.
    // "Cache.lookup", "{built-in method time.sleep}", "memcpy", "libfoo.so (no symbol)"
    const char *name;
    const char *file;   // of Python code and of native code with debug information; "": none
    const char *module; // of native code; "": none
    int32_t line;       // that was executing (--function: the first one); -1: none
    int32_t first_line; // of the function; -1: none
    uint64_t address;   // of native code; SNAP_NO_ADDRESS: not known, or not always the same
};

struct view_stack {
    const uint32_t *frames; // indexes of view.frames, outermost first
    size_t count;
    uint64_t weight;          // in the unit of view.weigh
    uint64_t samples, cpu_ns; // whatever the weight is
    uint64_t gil_samples;     // of the samples: it held the GIL
    // With VIEW_BY_THREAD, VIEW_BY_STATE and VIEW_BY_TASK; otherwise those of the first stack that
    // looked so.
    uint32_t thread; // index in the profile's threads; UINT32_MAX: not known
    pid_t pid, tid;
    enum snap_state state;
    uint32_t task; // index in the profile's tasks; UINT32_MAX: none had its turn
    uint32_t site; // where tasks wait: index in the profile's await sites; UINT32_MAX: a thread's stack
    uint32_t order; // private: in which they were met, that of the profile
};

struct view {
    const struct prof_report *profile;
    struct weigh weigh;
    struct view_frame *frames;
    size_t frame_count;
    struct view_stack *stacks; // heaviest first
    size_t stack_count;
    uint64_t weight, samples, cpu_ns; // of all stacks
    // By index in the profile's stacks: the one it is part of; UINT32_MAX: it has no weight.
    uint32_t *stack_of;
    uint32_t *frame_storage; // private, as are the next two
    char **texts;
    size_t text_count;
};

enum view_split {
    VIEW_BY_THREAD = 1, // stacks of different threads stay apart
    VIEW_BY_STATE = 2,  // ... and of different states
    VIEW_BY_TASK = 4,   // ... and of different tasks
    // With any of them: those of threads, and of tasks that wait
};

// `split`: enum view_split. `input` needs a profile, which must outlive the view.
struct err *view_create(const struct report_input *input, const struct report_options *options,
                        unsigned split, struct view **ret);
void view_destroy(struct view *view);

// "lookup (/srv/cache.py:118)", "memcpy (libc.so.6)": for formats in which a frame is one text. `out`
// is not cleared.
struct plain;
void view_label(struct plain *out, const struct view_frame *frame);

// Samples that it lacks.
uint64_t view_dropped(const struct view *view);
// "12 samples beyond the bound on distinct stacks are not in it"; nothing when all are.
void view_say_dropped(struct plain *out, const struct view *view);

#endif
