# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads in known native places. usage: native_threads.py FOLDER

FOLDER/plan.json says which, FOLDER/expected.json will say what Python itself knows of them; a line
written to the fifo FOLDER/go makes the program die as planned. Runs on Python 3.6 and later.

A place is {"name": ..., "chain": [[library, function, argument], ...], "leaf": ..., "via": ...}:
Python calls the first function, which calls back into Python, which calls the second, and so on;
the last one calls the leaf: [library, function], or a name of LEAVES for one in Python.
"""

import ctypes
import json
import os
import resource
import select
import sys
import threading
import time

RTLD_LAZY = 1
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_long)
SYS_GETTID = 186  # x86-64

libc = ctypes.CDLL(None)
libc.dlopen.restype = ctypes.c_void_p
libc.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
libc.dlerror.restype = ctypes.c_char_p
folder = sys.argv[1]
libraries = {}
keep = []
expected = {}


def library(name):
    # ctypes itself binds all symbols at once, which leaves nothing to be resolved lazily.
    if name not in libraries:
        handle = libc.dlopen(os.path.join(folder, name + ".so").encode(), RTLD_LAZY)
        if not handle:
            raise OSError(libc.dlerror().decode())
        libraries[name] = ctypes.CDLL(name, handle=handle)
    return libraries[name]


def function_of(name, symbol, *argument_types):
    function = getattr(library(name), symbol)
    function.restype = ctypes.c_long
    function.argtypes = argument_types
    return function


def python_names():
    names, frame = [], sys._getframe(1)
    while frame:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


# ---- Leaves in Python ----------------------------------------------------------------------------

def leaf_sleep():
    time.sleep(86400)


def leaf_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def leaf_event():
    threading.Event().wait(86400)


def leaf_select():
    select.select([], [], [], 86400)


def leaf_epoll():
    select.epoll().poll()


def leaf_read():
    os.read(os.pipe()[0], 1)


def leaf_hot():
    total = 0
    while True:
        for number in range(1000):
            total += number * number & 255


def leaf_warm():
    """Waits inside of a loop that ran often before: just-in-time compiled where there is such."""
    for duration in [0] * 20000 + [86400]:
        time.sleep(duration)


def leaf_sort():
    class Key:
        def __lt__(self, other):
            time.sleep(86400)
    sorted([Key(), Key()])


LEAVES = {function.__name__: function for function in (
    leaf_sleep, leaf_lock, leaf_event, leaf_select, leaf_epoll, leaf_read, leaf_hot, leaf_warm,
    leaf_sort)}


# ---- Ways there ----------------------------------------------------------------------------------

def python_leaf(place):
    leaf = LEAVES[place["leaf"]]
    library("base").native_tell()
    expected[place["name"]]["python"] = [leaf.__name__] + python_names()
    leaf()


def descend(place, level):
    if level == len(place["chain"]):
        python_leaf(place)
        return 0
    name, symbol, argument = place["chain"][level]
    function = function_of(name, symbol, ctypes.c_void_p, ctypes.c_long)
    leaf = place["leaf"]
    if level == len(place["chain"]) - 1 and not isinstance(leaf, str):
        pointer = leaf and ctypes.cast(function_of(*leaf), ctypes.c_void_p)
        expected[place["name"]]["python"] = python_names()
        return function(pointer, argument)

    def callback(number):
        return descend(place, level + 1)
    pointer = CALLBACK(callback)
    keep.append(pointer)
    return function(ctypes.cast(pointer, ctypes.c_void_p), argument)


def through_generator(place):
    def produce():
        yield descend(place, 0)

    def pass_on():
        yield from produce()
    for _ in pass_on():
        pass


def through_coroutine(place):
    async def inner():
        return descend(place, 0)

    async def middle():
        return await inner()

    async def outer():
        return await middle()
    outer().send(None)


def through_comprehension(place):
    return [descend(place, 0) for _ in "x"]


def through_sort(place):
    return sorted([2, 1], key=lambda number: descend(place, 0))


WAYS = {"call": lambda place: descend(place, 0), "generator": through_generator,
        "coroutine": through_coroutine, "comprehension": through_comprehension,
        "sort": through_sort}


def start_place(place):
    expected[place["name"]] = {"tid": libc.syscall(SYS_GETTID), "python": None}
    WAYS[place.get("via", "call")](place)


# ---- Waiting until all are there -----------------------------------------------------------------

def task_file(tid, name):
    with open("/proc/self/task/%d/%s" % (tid, name)) as stream:
        return stream.read()


def wait_until_parked(names):
    """All of them sleep in a system call, and do not come back from it."""
    deadline = time.time() + 60
    before, seen = None, 0
    while time.time() < deadline:
        now = [task_file(expected[name]["tid"], "syscall") for name in names]
        seen = seen + 1 if now == before and not any(text.startswith("running") for text in now) else 0
        if seen == 2:
            return
        before = now
        time.sleep(0.02)
    raise SystemExit("not parked: %s" % [pair for pair in zip(names, before)
                                         if pair[1].startswith("running")])


def main():
    with open(os.path.join(folder, "plan.json")) as stream:
        plan = json.load(stream)
    if "user" in plan:
        os.setgid(plan["user"])
        os.setuid(plan["user"])
        libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as if it had started as that user
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    base = library("base")
    for place in plan["places"]:
        before = base.native_count()
        threading.stack_size(place.get("stack", 1 << 20))
        thread = threading.Thread(target=start_place, args=(place,), name=place["name"])
        thread.daemon = True
        thread.start()
        deadline = time.time() + 60
        while base.native_count() == before:
            if time.time() > deadline:
                raise SystemExit("%s does not get there" % place["name"])
            time.sleep(0.001)
    if plan.get("foreign"):
        base.native_foreign()
    wait_until_parked([place["name"] for place in plan["places"] if not place.get("runs")])
    with open(os.path.join(folder, "expected.json"), "w") as stream:
        json.dump(expected, stream)
    for name in plan.get("remove", ()):
        os.unlink(os.path.join(folder, name))
    for name, other in plan.get("replace", {}).items():
        os.rename(os.path.join(folder, other), os.path.join(folder, name))
    print("READY")
    sys.stdout.flush()
    with open(os.path.join(folder, "go")) as stream:
        stream.readline()
    finish = plan["finish"]
    expected["finish"] = {}
    if len(finish) == 2:
        function_of(finish[0], finish[1], ctypes.c_long)(0)
    else:
        descend({"name": "finish", "chain": [finish], "leaf": None}, 0)


if __name__ == "__main__":
    main()
