# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that stand still, share their pages or crowd the processors, for test_stop_running.py.

usage: harm_quiet.py MODE [ARGUMENT]...

Each prints READY when all of its threads are where they stay. Runs on Python 3.6 and later.
"""

import ctypes
import mmap
import os
import select
import signal
import sys
import threading
import time

import at_rest

libc = ctypes.CDLL(None, use_errno=True)


def ready():
    print("READY")
    sys.stdout.flush()


def stay():
    while True:
        time.sleep(1000)


def nest(depth, wait, *arguments):
    if depth:
        return nest(depth - 1, wait, *arguments)
    return wait(*arguments)


at_work = []


def spin():
    at_work.append(1)
    number = 0
    while True:
        number += 1
        number -= 1


def start(name, function, *arguments):
    threading.Thread(target=function, args=arguments, name=name, daemon=True).start()


def await_work(count):
    """Until so many threads are in the functions in which they stay."""
    while len(at_work) < count:
        time.sleep(0.01)


def taken_lock():
    lock = threading.Lock()
    lock.acquire()
    return lock


def waits():
    """Calls that never return, by name."""
    poll, epoll, reader = select.poll(), select.epoll(), os.pipe()[0]
    poll.register(reader, select.POLLIN)
    return {"lock": (taken_lock().acquire,), "timed-lock": (taken_lock().acquire, True, 1000),
            "sleep": (time.sleep, 1000), "pipe": (os.read, reader, 1),
            "poll": (poll.poll, 1000000), "epoll": (epoll.poll, 1000, 1),
            "select": (select.select, [reader], [], [], 1000),
            "event": (threading.Event().wait, 1000)}


def parked(rounds, depth, spinners):
    """Threads that wait in known calls, and some that compute."""
    sys.setrecursionlimit(100000)
    threading.stack_size(64 << 20)
    for number in range(int(rounds)):
        for name, call in waits().items():
            start("%s-%d" % (name, number), nest, int(depth), *call)
    at_rest.wait()
    for number in range(int(spinners)):
        start("spinner-%d" % number, spin)
    await_work(int(spinners))
    ready()
    stay()


def prefork(heap_mib):
    """Parent and child share all they have, and stand in functions that are large."""
    heap = b"x" * (int(heap_mib) << 20)
    names = {"end": prefork_end}
    for number in range(600):
        body = "\n".join("    if argument == %d:\n        argument += %d" % (line, line + number)
                         for line in range(1000, 1020))
        exec(compile("def f_%d(argument):\n%s\n    return %s(argument)\n"
                     % (number, body, "f_%d" % (number + 1) if number < 599 else "end"),
                     "/quiet/f_%d.py" % number, "exec"), names)
    names["f_0"](0)
    return heap


def prefork_end(argument):
    child = os.fork()
    if child == 0:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        stay()
    at_rest.wait_for_child(child)
    print(child)
    ready()
    stay()


def untouched(count):
    """A large mapping that nobody ever touched, and threads with large stacks."""
    mapping = mmap.mmap(-1, 4 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    print(ctypes.addressof(ctypes.c_char.from_buffer(mapping)))
    threading.stack_size(8 << 20)
    for number in range(int(count)):
        start("waiter-%d" % number, nest, 5, taken_lock().acquire)
    at_rest.wait()
    ready()
    stay()


def busy(library, count):
    """That many threads that compute outside of the GIL, whatever the number of processors."""
    os.nice(19)  # there are others on this machine
    work = ctypes.CDLL(library).spin_after
    counters = (ctypes.c_uint64 * int(count))()
    reader, writer = os.pipe()
    for number in range(int(count)):
        start("busy-%d" % number, nest, 5, work, reader, ctypes.byref(counters, 8 * number))
    at_rest.wait()
    print(ctypes.addressof(counters))
    ready()
    os.close(writer)
    stay()


def contend(count):
    """That many threads that all want the GIL."""
    for number in range(int(count)):
        start("spinner-%d" % number, nest, 5, spin)
    await_work(int(count))
    ready()
    stay()


def chain_a(depth):
    if depth:
        return chain_a(depth - 1)
    time.sleep(0.00002)
    return None


def chain_b(depth):
    if depth:
        return chain_b(depth - 1)
    time.sleep(0.00002)
    return None


def alternate(depth):
    """They sleep for moments only, each time at the end of another chain of calls."""
    def work():
        at_work.append(1)
        while True:
            chain_a(int(depth))
            chain_b(int(depth))

    for number in range(2):
        start("alternate-%d" % number, work)
    await_work(2)
    ready()
    stay()


def deep(depth):
    """It computes, many calls deep."""
    sys.setrecursionlimit(100000)
    threading.stack_size(256 << 20)
    start("deep", nest, int(depth), spin)
    await_work(1)
    ready()
    stay()


def natives(library, count):
    """Threads that Python does not know, beside some that it does."""
    counter = ctypes.c_uint64()
    if ctypes.CDLL(library).start_natives(int(count), ctypes.byref(counter)):
        sys.exit("no threads")
    start("waiter", nest, 5, taken_lock().acquire)
    at_rest.wait(running=1)
    ready()
    stay()


INSIDE = """
import os, time
def inside(seconds):
    os.write(%d, b"x")
    time.sleep(seconds)
inside(1000)
"""


def subinterpreters(count):
    try:
        import _interpreters as module
    except ImportError:
        import _xxsubinterpreters as module
    entered, enter = os.pipe()
    for number in range(int(count)):
        start("sub-%d" % number, module.run_string, module.create(), INSIDE % enter)
    start("spinner-0", spin)
    for _ in range(int(count)):
        os.read(entered, 1)
    at_rest.wait(running=1)
    ready()
    stay()


def blocking(library):
    """A thread in each of many blocking calls until SIGTERM, and each has returned some times; then what
    they returned."""
    library = ctypes.CDLL(library)
    library.harm_blocking_least.restype = ctypes.c_uint64
    over = []
    signal.signal(signal.SIGTERM, lambda signo, frame: over.append(signo))
    if library.harm_blocking_start():
        sys.exit("no threads")
    ready()
    while not over or library.harm_blocking_least() <= 10:
        time.sleep(0.02)
    library.harm_blocking_stop()
    library.harm_blocking_report(1)
    print("END")
    sys.stdout.flush()
    sys.exit(7)


MODES = {function.__name__: function for function in (
    parked, prefork, untouched, busy, contend, alternate, deep, natives, subinterpreters,
    blocking)}


if __name__ == "__main__":
    MODES[sys.argv[1]](*sys.argv[2:])
