# SPDX-License-Identifier: GPL-3.0-or-later
"""A small program that waits in known frames; arguments: libraries to load before."""

import sys


def inner(seconds):
    import time
    time.sleep(seconds)


def outer():
    inner(
        100000)


if __name__ == "__main__":
    if sys.argv[1:]:
        import ctypes
        loaded = [ctypes.CDLL(path) for path in sys.argv[1:]]
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    outer()
