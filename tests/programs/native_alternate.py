# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that go up and down two chains of calls as fast as they can: hot_a -> leaf_a and
hot_b -> leaf_b in Python; mixed_a -> call_a (C) -> back_a and mixed_b -> call_b (C) -> back_b.
usage: native_alternate.py BASE.SO. SIGTERM ends it. Runs on Python 3.6 and later."""

import ctypes
import signal
import sys
import threading

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)
library = ctypes.CDLL(sys.argv[1])
call_a, call_b = library.call_a, library.call_b
over = threading.Event()
done = {"plain": 0, "mixed": 0, "wrong": 0}


def leaf_a():
    return "a"


def leaf_b():
    return "b"


def hot_a():
    for _ in range(20):
        leaf_a()
    return leaf_a()


def hot_b():
    for _ in range(20):
        leaf_b()
    return leaf_b()


@CALLBACK
def back_a(number):
    return number + 10


@CALLBACK
def back_b(number):
    return number + 20


def mixed_a():
    for number in range(5):
        result = call_a(back_a, number)
    return result


def mixed_b():
    for number in range(5):
        result = call_b(back_b, number)
    return result


def alternate():
    while not over.is_set():
        for _ in range(50):
            done["wrong"] += hot_a() != "a"
            done["wrong"] += hot_b() != "b"
        done["plain"] += 1


def alternate_mixed():
    while not over.is_set():
        for _ in range(50):
            done["wrong"] += mixed_a() != 15
            done["wrong"] += mixed_b() != 26
        done["mixed"] += 1


def main():
    signal.signal(signal.SIGTERM, lambda signo, frame: over.set())
    threads = [threading.Thread(target=target) for target in (alternate, alternate_mixed)]
    for thread in threads:
        thread.start()
    print("READY")
    sys.stdout.flush()
    while not over.is_set():
        over.wait(1000)
    for thread in threads:
        thread.join()
    print("DONE wrong=%(wrong)d plain=%(plain)d mixed=%(mixed)d" % done)


if __name__ == "__main__":
    main()
