// SPDX-License-Identifier: GPL-3.0-or-later
// A made-up Python as targets use it: built once, damaged anew by each input.
#ifndef KEPT_PYTHON_H
#define KEPT_PYTHON_H

#include "fake_python.h"
#include "fuzz.h"

struct kept_python {
    struct fake_python py;
    uint8_t *bytes; // of its memory as it was made; NULL: it is not made yet
};

// It is made: from here on its memory has the size that it needs.
void kept_python_keep(struct kept_python *kept);
// As it was made, but for the changes that the rest of an input says.
void kept_python_change(struct kept_python *kept, struct fuzz_input *in);
void kept_python_free(struct kept_python *kept);

#endif
