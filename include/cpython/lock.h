// SPDX-License-Identifier: GPL-3.0-or-later
// Python's locks: what they say of themselves, what a thread waits for, and what a thread holds.
#ifndef CPYTHON_LOCK_H
#define CPYTHON_LOCK_H

#include "cpython/slots.h"
#include "util/vec.h"

enum py_lock_kind {
    PY_LOCK_NONE,  // it is no lock
    PY_LOCK_PLAIN, // _thread.lock
    PY_LOCK_RLOCK, // _thread.RLock, the one in C
};

struct py_lock {
    enum py_lock_kind kind;
    bool locked;
    uint64_t owner; // PY_LOCK_RLOCK that is locked: threading.get_ident() of who has it
};
// *ret is PY_LOCK_NONE for every other object.
struct err *py_lock_read(struct py_decoder *dec, uint64_t object, struct py_lock *ret);

// Its class, or one of its bases, has that name.
bool py_is_a(struct py_decoder *dec, uint64_t object, const char *class_name);
// Name of its type; 0: not readable.
uint32_t py_type_name(struct py_decoder *dec, uint64_t object);
// The descriptor that an object of that class keeps: "_socket.socket", "_io.FileIO", "select.epoll". -1: it
// is of another class, or has none.
int32_t py_fd_of(struct py_decoder *dec, uint64_t object, const char *class_name);
// What a method is bound to: builtins and Python's own; 0: `object` is no bound method.
uint64_t py_bound_self(struct py_decoder *dec, uint64_t object);

// An attribute of its own dict that is an int; 0: there is none.
uint64_t py_int_attr(struct py_decoder *dec, uint64_t object, const char *name);

// ---- Waiting ------------------------------------------------------------------------------------

enum py_wait_kind {
    PY_WAIT_NONE,
    PY_WAIT_LOCK,
    PY_WAIT_RLOCK,
    PY_WAIT_CONDITION,
    PY_WAIT_EVENT,
    PY_WAIT_SEMAPHORE,
    PY_WAIT_BARRIER,
    PY_WAIT_QUEUE_GET,
    PY_WAIT_QUEUE_PUT,
    PY_WAIT_QUEUE_JOIN,
    PY_WAIT_JOIN,
    PY_WAIT_FUTURE,
    PY_WAIT_IMPORT,
    PY_WAIT_LOGGING,
};

// A method of the program's own in which a thread waits: `checkout`, say. Who came through it before, and
// gives back by another method of that object, has what is waited for.
enum { PY_LENDER_ATTRS = 4 };
struct py_lender {
    uint64_t self, method; // the object, and the method's name, a str; 0: it waits in no method
    uint64_t attrs[PY_LENDER_ATTRS]; // names of attributes of it that are looked at before it waits
};

struct py_wait {
    enum py_wait_kind kind;
    uint64_t object;  // the Queue, the Thread, the lock ...; 0: not known
    uint64_t lock;    // the innermost lock, proved by the futex that the kernel names; 0: none
    uint32_t type;    // of the object
    uint32_t what;    // how the waiting frame calls it: "self._lock"; 0: it does not
    uint32_t waiting; // frame of the program that waits: the library's own are passed over
    struct py_lender lender;
    uint64_t mutex;   // address of the PyMutex that is waited for, 3.13+; 0: not known
    // Code of the waiting frame also puts into this queue, or releases this lock or semaphore.
    bool gives_back;
    // Innermost frame, from the waiting one outwards, that waits in a loop; UINT32_MAX: none.
    uint32_t loop;
};
// What the innermost frames of a thread wait for that sleeps in a futex call on `futex`.
struct err *py_wait_read(struct py_decoder *dec, const struct py_stack *stack, uint64_t futex,
                         struct py_wait *ret);

// The local variable, attribute or global of a frame that is `object`: "lock", "self._lock",
// "app.lock". 0: none that could be found.
uint32_t py_path_to(struct py_decoder *dec, const struct py_frame *frame,
                    const struct py_slots *slots, uint64_t object);

// ---- Holding ------------------------------------------------------------------------------------

struct py_held {
    uint64_t lock;    // the innermost lock; of a semaphore, itself
    uint64_t manager; // what the `with` statement names
    uint32_t type, what;
    uint32_t frame;
    bool lent;     // no lock: what it got out of a queue, `lock`, and puts back
    bool observed; // the lock itself names this thread; else the frame's code tells
    bool by_call;  // ... by acquire(); else its `with` block is under way
    bool given_back; // ... with a release() to come
};
VEC_DEFINE(py_helds, struct py_held);

// How something is taken and given back.
enum py_taking {
    PY_ACQUIRE, // without arguments, or with some if there is no way around release()
    PY_GET,
    PY_NOTICE, // of a Condition, given by others
};
// By which methods. The second one may be NULL.
struct py_verbs {
    const char *take[2], *give[2];
};
extern const struct py_verbs py_verbs[]; // by enum py_taking

struct py_acquired {
    uint64_t object;
    bool given_back; // by a call that is still to come
    bool awaited;    // "await lock.acquire()"
    bool again;      // there is one more such call, and no way around the first one
};
// What a frame has called `take` on, by name, and not `give` by the same name since, which either is still to
// come, or there is no way around the call of `take`: in the order of its code; whatever that is now. Of what
// was got (PY_GET) only if it comes to `give`, unless an exception keeps it from that, before it comes round
// again: who puts back what it could not do is no borrower. Not for PY_NOTICE, which nobody has. At most
// `room` objects; returns how many.
size_t py_acquired(struct py_decoder *dec, const struct py_frame *frame,
                   const struct py_slots *slots, enum py_taking taking, struct py_acquired *ret,
                   size_t room);
// Whether the frame gives the object back by one of these methods, unless an exception keeps it from that,
// before it comes round to its instruction again. The second one may be NULL.
bool py_will_give(struct py_decoder *dec, const struct py_frame *frame,
                  const struct py_slots *slots, uint64_t object, const char *const methods[2]);
// The object whose method a path names; 0: none that could be found.
uint64_t py_method_object(struct py_decoder *dec, const struct py_frame *frame,
                          const struct py_slots *slots, const struct py_method_call *call);
// Whether the frame's code names one of these methods of the object, whenever. The second may be NULL.
bool py_names_method(struct py_decoder *dec, const struct py_frame *frame,
                     const struct py_slots *slots, uint64_t object, const char *const methods[2]);
// The method in which a frame waits for `object`, and which does not give it back itself.
void py_lender_read(struct py_decoder *dec, const struct py_frame *frame,
                    const struct py_slots *slots, enum py_wait_kind kind, uint64_t object,
                    struct py_lender *ret);
// Whether a frame has called that method, and is to call another one of that object, which by its code gives
// back what is waited for.
bool py_lender_has_lent(struct py_decoder *dec, const struct py_frame *frame,
                        const struct py_lender *lender, enum py_wait_kind kind, uint64_t object);
// The manager of a `with` block, whose `exit` ("__exit__", "__aexit__") slot `index` holds, one of those
// that are live; 0: it holds none.
uint64_t py_with_manager(struct py_decoder *dec, const struct py_slots *slots, uint32_t index,
                         const char *exit);
// Locks that frames of this stack have taken, in `with` statements or by acquire(). Appends.
struct err *py_held_read(struct py_decoder *dec, const struct py_stack *stack,
                         struct py_helds *ret);

#endif
