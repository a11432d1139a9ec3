// SPDX-License-Identifier: GPL-3.0-or-later
// Native frames below and between Python's, of greenlets that were switched away from: see
// greenlets.py. Built several times over, with and without frame pointers and symbols.
#include <string.h>

typedef int callback(int);

// What a function keeps on its stack tells when it comes back: the stack was moved meanwhile.
__attribute__((noinline)) int switch_inner(callback *call, int value)
{
    volatile char room[64];
    memset((char *)room, value, sizeof(room));
    int got = call(value + 1);
    return room[0] == (char)value && room[63] == (char)value ? got : -1;
}

__attribute__((noinline)) int switch_outer(callback *call, int value)
{
    volatile int kept = value;
    int got = switch_inner(call, value) + kept;
    return got - kept;
}

// A frame of a size that only runtime knows.
__attribute__((noinline)) int switch_alloca(callback *call, int value)
{
    char *room = __builtin_alloca((size_t)value * 16 + 16);
    memset(room, value, (size_t)value * 16 + 16);
    int got = switch_outer(call, value);
    return room[0] == (char)value ? got : -1;
}
