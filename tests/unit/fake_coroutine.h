// SPDX-License-Identifier: GPL-3.0-or-later
// Generators and the collector's lists in a fake memory.
#ifndef FAKE_COROUTINE_H
#define FAKE_COROUTINE_H

#include "cpython/coroutine.h"
#include "fake_python.h"

struct fake_generators {
    uint64_t generator, coroutine, async_generator; // types
    uint64_t code;                                  // "f", which delegates at its first instruction
};
void fake_generators_init(struct fake_python *py, struct fake_generators *ret);

// Of a type of the three; suspended while it delegates to `inner`, or created when that is 0.
uint64_t fake_generator(struct fake_python *py, const struct fake_generators *kinds, uint64_t type,
                        uint64_t inner);
void fake_generator_state(struct fake_python *py, uint64_t generator,
                          enum py_generator_state state);
// Address of its frame.
uint64_t fake_generator_frame(struct fake_python *py, uint64_t generator);
// What stands for `inner`: its first field.
uint64_t fake_wrapper(struct fake_python *py, const char *type, uint64_t inner);

// An interpreter with empty lists (3.6: py->process.generation0_addr, too).
uint64_t fake_collector(struct fake_python *py);
// Address of the head of generation 0 to 2; 3: permanent.
uint64_t fake_generation(struct fake_python *py, uint64_t interp, unsigned generation);
// A new object at the end of a list; its address.
uint64_t fake_tracked(struct fake_python *py, uint64_t list);

#endif
