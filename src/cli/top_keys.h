// SPDX-License-Identifier: GPL-3.0-or-later
// What the keys of pycore top do to what is shown.
#ifndef CLI_TOP_KEYS_H
#define CLI_TOP_KEYS_H

#include "report/top.h"

// A key is a character (a Unicode code point), or one of these, which are none.
enum top_key {
    TOP_KEY_NONE = 0x110000,
#define KEY(id, keys, name, help) TOP_KEY_##id,
#include "report/top_keys.def"
#undef KEY
};

enum top_action {
    TOP_DRAW,      // the same numbers, shown in another way
    TOP_COUNT,     // the numbers are to be computed anew: another window, no longer held
    TOP_RESTART,   // begin to count anew
    TOP_NAME_FILE, // a file is going to be asked for: state->input is to hold a proposal
    TOP_SAVE,      // a report, into the file state->input
    TOP_REPAINT,   // all of the terminal
    TOP_LEAVE,
};

enum top_action top_press(struct top_state *state, uint32_t key);

#endif
