// SPDX-License-Identifier: GPL-3.0-or-later
// Greenlets: what the extension module of that name keeps of each, and the Python frames of one that
// is suspended. Where its fields lie depends on the release; it is found out from the objects.
#ifndef CPYTHON_GREENLET_H
#define CPYTHON_GREENLET_H

#include "cpython/stack.h"

enum { PY_GREENLET_TYPES = 256 }; // distinct types that are remembered

// What is known of a process's greenlet module. Zero it before its first use, and when the process
// runs another program.
struct py_greenlet_build {
    // Word of the C++ object where the fields begin that a thread's first greenlet and the others
    // have for themselves; 0: not known yet.
    uint16_t user;
    struct {
        uint64_t type, base; // base: greenlet.greenlet; 0: it is none
        bool is_hub;
    } types[PY_GREENLET_TYPES];
    size_t visits; // attributes that were looked at; set it back for each look
};

enum py_greenlet_state {
    PY_GREENLET_CREATED,
    PY_GREENLET_RUNNING,
    PY_GREENLET_SUSPENDED,
    PY_GREENLET_DEAD,
};

enum { PY_GREENLET_WORDS = 40 };

struct py_greenlet {
    uint64_t object;
    enum py_greenlet_state state;
    bool is_main;     // its thread's first one
    bool of_hub;      // gevent's class for event loops
    uint64_t group;   // the same word in all greenlets of a thread that have started; 0: not known
    bool gone;        // is_main: its thread has ended
    uint64_t parent;  // 0: none, or not known
    uint64_t run;     // created: what it will call; 0: not known
    uint64_t frame;   // suspended: its innermost frame object; 0: no Python in it
    uint64_t cut_off; // what linked that to its caller, where the module cuts the link; else 0
    uint64_t cframe;  // 3.11: its innermost _PyCFrame; else 0
    // Its part of the C stack, [stack_start, stack_stop). The first stack_saved bytes of it, which
    // others use meanwhile, lie at stack_copy.
    uint64_t stack_start, stack_stop, stack_copy, stack_saved;
    // Where all this was read from, and what stood there: see whether it still does.
    uint64_t words_addr;
    size_t word_count;
    uint64_t words[PY_GREENLET_WORDS];
};

// False: the program has not imported the module, in that interpreter.
struct err *py_greenlet_imported(struct py_decoder *dec, uint64_t interp, bool *ret);
// Is an object with this type a greenlet? Cheap when asked again.
bool py_greenlet_type(struct py_decoder *dec, struct py_greenlet_build *build, uint64_t type);
// ERR_BAD_DATA: it is none. Fields that are only known once a thread's first greenlet has been read
// are 0 until then.
struct err *py_greenlet_read(struct py_decoder *dec, struct py_greenlet_build *build,
                             uint64_t object, struct py_greenlet *ret);

// What the C stack of suspended greenlets holds is read where it was moved to: an address space over
// `below` that is bent for one greenlet at a time.
struct py_greenlet_view {
    struct mem *mem;   // owned
    struct mem *below; // borrowed
    uint64_t start, size, copy;
    uint64_t patch_addr, patch_value; // a word that is read as another; 0: none
};
struct err *py_greenlet_view_init(struct py_greenlet_view *view, struct mem *below);
void py_greenlet_view_deinit(struct py_greenlet_view *view);
// From now on it is that one's; py_greenlet_stack() does it by itself.
void py_greenlet_view_bend(struct py_greenlet_view *view, const struct py_greenlet *greenlet);

// The Python frames of a suspended one, innermost first, complete as by py_stack_finish(). `stack`
// is made anew.
void py_greenlet_stack(struct py_process *process, struct py_greenlet_view *view,
                       const struct py_greenlet *greenlet, struct py_stack *stack);

// Address of the outermost frame that a thread has; 0: not known. It tells which greenlet runs. Nothing
// of what is read stays in a cache.
uint64_t py_thread_outermost(struct py_process *process, const struct py_thread *thread);

// gevent's and eventlet's name of it, or what it runs: the function that was given to spawn(). 0: none.
uint32_t py_greenlet_name(struct py_decoder *dec, struct py_greenlet_build *build,
                          const struct py_greenlet *greenlet, const struct py_stack *stack);
// It runs the event loop of gevent or eventlet.
bool py_greenlet_is_hub(const struct py_decoder *dec, const struct py_greenlet *greenlet,
                        const struct py_stack *stack);
// A frame of that function (NULL: any) in a file whose path ends with `file`.
bool py_frame_is(const struct py_decoder *dec, const struct py_frame *frame, const char *file,
                 const char *function);

#endif
