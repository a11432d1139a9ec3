// SPDX-License-Identifier: GPL-3.0-or-later
// The boxes of a flame graph: the stacks of a view laid over each other where they begin alike. From
// left to right by name, so that two graphs of the same program can be compared.
#ifndef REPORT_BOXES_H
#define REPORT_BOXES_H

#include "report/view.h"
#include "util/vec.h"

struct box {
    uint32_t frame;         // index in view.frames; UINT32_MAX: the outermost box, all stacks
    uint32_t depth;         // 0: the outermost box
    uint64_t begin, weight; // from `begin` on, in the unit of the view
    uint64_t self;          // of the weight: nothing is on top of it
};

struct boxes {
    VEC(struct box) list; // each before what is on top of it, from left to right
    uint32_t depth;       // of the deepest
    uint64_t least;       // boxes of less weight are left out
    size_t narrow;        // ... so many of them
    size_t deep;          // stacks of which the innermost frames are left out
};

enum { BOXES_DEPTH_MAX = 1000 };

// `count_max`: when there are more, those of the least weight are left out; in any case those below
// one `parts`th of the whole. False: out of memory.
bool boxes_init(struct boxes *boxes, const struct view *view, size_t count_max, unsigned parts);
void boxes_deinit(struct boxes *boxes);

#endif
