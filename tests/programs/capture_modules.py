# SPDX-License-Identifier: GPL-3.0-or-later
"""A program whose modules come and go, which then becomes another program.

usage: capture_modules.py FIRST.so SECOND.so LAPS LAP_S

FIRST.so and SECOND.so have a function call(callback); each in its turn is loaded, calls back into
Python for LAP_S seconds, and is unloaded. After LAPS rounds the program executes itself with none left,
and then computes. Runs on Python 3.6 and later.
"""

import ctypes
import os
import sys
import time


def inside():
    end = time.monotonic() + int(sys.argv[4])
    while time.monotonic() < end:
        sum(range(100))
    return 0


def first_lap(library):
    return library.call(callback)


def second_lap(library):
    return library.call(callback)


callback = ctypes.CFUNCTYPE(ctypes.c_int)(inside)
libc = ctypes.CDLL(None)


def unload(library):
    handle = ctypes.c_void_p(library._handle)
    ctypes.CDLL(None).dlclose(handle)


def executed():
    while True:
        sum(range(1000))


def main():
    if len(sys.argv) < 3:
        executed()
    print("READY %d" % os.getpid())
    sys.stdout.flush()
    for number in range(int(sys.argv[3])):
        for path, lap in zip(sys.argv[1:3], (first_lap, second_lap)):
            library = ctypes.CDLL(path)
            lap(library)
            unload(library)
    os.execv(sys.executable, [sys.executable, sys.argv[0]])


main()
