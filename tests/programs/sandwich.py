# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads whose stacks go from Python to C and back in ways that the test knows. Each parks in
read(); then the program writes down its stacks (expected.json, and faulthandler's words), says
READY, waits for a byte on the FIFO "go" and aborts.

Runs on Python 3.6 and later: python sandwich.py FOLDER
"""
import ctypes
import faulthandler
import functools
import json
import os
import re
import sys
import threading

import at_rest

folder = sys.argv[1]
never, _ = os.pipe()
parked = []


def park():
    parked.append(threading.current_thread().name)
    os.read(never, 1)


def sort_outer(then=park):
    def sort_key(item):
        then()
        return item
    return sorted([2], key=sort_key)


COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
libc = ctypes.CDLL(None)


def qsort_outer(then=park):
    def qsort_compare(left, right):
        then()
        return 0
    array = (ctypes.c_int * 2)(2, 1)
    compare = COMPARE(qsort_compare)
    libc.qsort(array, ctypes.c_size_t(2), ctypes.c_size_t(4), compare)


def sub_outer(then=park):
    def sub_replace(match):
        then()
        return ""
    return re.compile("a").sub(sub_replace, "bab")


def reduce_outer(then=park):
    def reduce_step(left, right):
        then()
        return left
    return functools.reduce(reduce_step, [1, 2])


def sum_outer(then=park):
    def sum_inner():
        yield 1
        then()
        yield 2

    def sum_middle():
        yield from sum_inner()
    return sum(sum_middle())


def del_outer(then=park):
    class Dies:
        def __del__(self):
            then()
    one = Dies()
    del one


def exec_outer(then=park):
    exec("def exec_inner():\n then()\nexec_inner()", {"then": then})


def init_outer(then=park):
    class Made:
        def __init__(self):
            then()

        def __call__(self):
            type(self)()
    made = Made.__new__(Made)
    list(map(lambda _: made(), [1]))


def coroutine_outer(then=park):
    async def coroutine_inner():
        then()

    async def coroutine_middle():
        await coroutine_inner()
    try:
        coroutine_middle().send(None)
    except StopIteration:
        pass


def deep_outer(then=park, depth=40):
    if depth:
        deep_outer(then, depth - 1)
    else:
        then()


def all_outer():
    step = park
    for outer in (sort_outer, qsort_outer, deep_outer, sum_outer, del_outer, reduce_outer,
                  exec_outer, sub_outer, init_outer, coroutine_outer):
        step = functools.partial(outer, step)
    step()


def waits():
    threading.Event().wait()


SCENES = [sort_outer, qsort_outer, sub_outer, reduce_outer, sum_outer, del_outer, exec_outer,
          init_outer, coroutine_outer, deep_outer, all_outer, waits]


def main():
    sys.setswitchinterval(0.001)
    for scene in SCENES:
        thread = threading.Thread(target=scene, name=scene.__name__)
        thread.daemon = True
        thread.start()
    while len(parked) < len(SCENES) - 1:
        os.sched_yield()
    at_rest.wait()
    threads = {}
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        rows = []
        while frame:
            rows.append(frame.f_code.co_name)
            frame = frame.f_back
        threads[names.get(ident, str(ident))] = rows
    with open(os.path.join(folder, "expected.json"), "w") as stream:
        json.dump(threads, stream)
    with open(os.path.join(folder, "faulthandler.txt"), "w") as stream:
        faulthandler.dump_traceback(stream)
    os.chdir(folder)
    print("READY", flush=True)
    with open(os.path.join(folder, "go"), "rb") as stream:
        stream.read(1)
    os.abort()


main()
