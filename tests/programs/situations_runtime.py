# SPDX-License-Identifier: GPL-3.0-or-later
"""Situations of the runtime: tracing, specialised code, depth, threads that Python did not make,
other interpreters, pools."""

import _thread
import concurrent.futures
import ctypes
import json
import os
import sys
import threading
import time

from situations import FOLDER, HIDDEN, LIBC, PARK, body, park, situation, start

NEW = sys.version_info >= (3, 12)

# ---- Depth ---------------------------------------------------------------------------------------


def recurse(depth):
    if depth == 0:
        return park()
    return recurse(
        depth - 1)


@situation(name="recursion-900")
def recursion():
    recurse(900)


@situation(name="recursion-through-c")
def recursion_through_c():
    def again(depth):
        if depth == 0:
            park()
        return max([depth], key=lambda value: again(value - 1))
    again(60)


@situation(name="recursion-of-generators")
def recursion_of_generators():
    def nested(depth):
        if depth == 0:
            yield park()
        else:
            yield from nested(depth - 1)
    list(nested(200))


# ---- Specialised (adaptive) code -----------------------------------------------------------------

STOP = [False]


class Warm:
    def __init__(self, value):
        self.value = value

    @property
    def attribute(self):
        if STOP[0]:
            park()
        return 1

    def method(self, argument):
        if STOP[0]:
            park()
        return argument

    def __getitem__(self, key):
        if STOP[0]:
            park()
        return key

    def __getattribute__(self, name):
        if STOP[0]:
            park()
        return object.__getattribute__(self, name)


class Ready(Warm):
    __getattribute__ = object.__getattribute__


class Made:
    def __init__(self, value, other=2):
        if STOP[0]:
            park()
        self.value = value


def items(count):
    for number in range(count):
        if STOP[0]:
            park()
        yield number


def hot(kind, rounds):
    thing = Ready(1)
    slow = Warm(1)
    total = 0
    if kind == "init":
        for number in range(rounds):
            total += Made(
                number).value
    elif kind == "property":
        for number in range(rounds):
            total += thing.attribute
    elif kind == "method":
        for number in range(rounds):
            total += thing.method(
                argument=number)
    elif kind == "getitem":
        for number in range(rounds):
            total += thing[number]
    elif kind == "getattribute":
        for number in range(rounds):
            total += slow.value
    elif kind == "generator":
        for number in items(rounds):
            total += number
    elif kind == "yield-from":
        for number in delegating(rounds):
            total += number
    elif kind == "function":
        for number in range(rounds):
            total += function(number, 2)
    elif kind == "keywords":
        for number in range(rounds):
            total += function(first=number, second=1)
    elif kind == "star":
        for number in range(rounds):
            total += function(*(number, 2), **{})
    elif kind == "bound":
        bound = thing.method
        for number in range(rounds):
            total += bound(number)
    elif kind == "binary":
        for number in range(rounds):
            total = total + (number * 2) - function(1, 1) % 3
    elif kind == "map":
        for number in range(rounds):
            list(map(function, (1,), (2,)))
    elif kind == "sorted":
        for number in range(rounds):
            sorted((1, 2), key=lambda value: function(value, 1))
    return total


def delegating(count):
    yield from items(count)


def function(first, second):
    if STOP[0]:
        park()
    return first + second


HOT = ("init", "property", "method", "getitem", "getattribute", "generator", "yield-from",
       "function", "keywords", "star", "bound", "binary", "map", "sorted")


def warm_up_then(kind):
    hot(kind, 3000)
    WARM.wait()
    hot(kind, 3000)


# All loops warm up with the switch off; then it is thrown for good.
WARM = threading.Barrier(len(HOT), action=lambda: STOP.__setitem__(0, True))
for _kind in HOT:
    situation(name="hot-" + _kind)(lambda kind=_kind: warm_up_then(kind))


# ---- Tracing -------------------------------------------------------------------------------------

def traced_function():
    value = 1
    for number in (1, 2):
        value += number
        park(
        )


@situation(name="traced", tracing=True)
def traced():
    def trace(frame, event, argument):
        return trace
    sys.settrace(trace)
    traced_function()


@situation(name="inside-trace-function", tracing=True)
def inside_trace():
    def trace(frame, event, argument):
        if event == "line" and frame.f_code.co_name == "traced_function":
            sys.settrace(None)
            park()
        return trace
    sys.settrace(trace)
    traced_function()


@situation(name="traced-opcodes", tracing=True)
def traced_opcodes():
    def trace(frame, event, argument):
        if hasattr(frame, "f_trace_opcodes"):
            frame.f_trace_opcodes = True
        return trace
    sys.settrace(trace)
    traced_function()


@situation(name="profiled", tracing=True)
def profiled():
    sys.setprofile(lambda frame, event, argument: None)
    sorted([1, 2], key=lambda value: traced_function())


@situation(name="inside-profile-function", tracing=True)
def inside_profile():
    def profile(frame, event, argument):
        if event == "c_call" and argument is len:
            sys.setprofile(None)
            park()
    sys.setprofile(profile)
    len([])


if NEW:
    def monitored(value):
        total = 0
        for number in (1, 2, value):
            total += number
            park(
            )
        return total

    @situation(name="monitored", tracing=True)
    def monitoring():
        tool, events = 3, sys.monitoring.events
        sys.monitoring.use_tool_id(tool, "test")
        kinds = (events.LINE, events.INSTRUCTION, events.PY_START, events.CALL, events.PY_RETURN,
                 events.JUMP)
        for kind in kinds:
            sys.monitoring.register_callback(tool, kind, lambda *arguments: None)
        sys.monitoring.set_local_events(tool, monitored.__code__, sum(kinds))
        monitored(3)

    @situation(name="inside-monitor", tracing=True)
    def inside_monitor():
        tool, events = 4, sys.monitoring.events
        sys.monitoring.use_tool_id(tool, "test 2")

        def watched():
            value = 1
            return value + 1

        def callback(code, line):
            park()
        sys.monitoring.register_callback(tool, events.LINE, callback)
        sys.monitoring.set_local_events(tool, watched.__code__, events.LINE)
        watched()


# ---- Pools and running threads -------------------------------------------------------------------

@situation(name="queue-get")
def queue_get():
    import queue
    queue.Queue().get()


@situation(name="pool")
def pool():
    executor = concurrent.futures.ThreadPoolExecutor(1)
    future = executor.submit(park)
    future.result()


@situation(name="condition")
def condition():
    mine = threading.Condition()
    with mine:
        mine.wait_for(lambda: False)


@situation(name="joining")
def joining():
    thread = threading.Thread(target=park, daemon=True, name="joined")
    thread.start()
    thread.join()


# ---- Threads that are not threading's ------------------------------------------------------------

PTHREAD_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)


@PTHREAD_CALLBACK
def foreign_callback(argument):
    body("foreign-with-python", park, {"foreign": True})


def start_foreign(facts):
    """Threads made by C: one that runs Python all the same, one that never heard of it."""
    handle = ctypes.c_ulong()
    LIBC.pthread_create(ctypes.byref(handle), None, foreign_callback, None)
    while "foreign-with-python" not in facts:
        time.sleep(0.001)
    before = set(os.listdir("/proc/self/task"))
    LIBC.pthread_create(ctypes.byref(handle), None,
                        ctypes.cast(LIBC.pause, ctypes.c_void_p), None)
    tid = (set(os.listdir("/proc/self/task")) - before).pop()
    facts["foreign-plain"] = {"ident": None, "tid": int(tid), "name": None, "native_id": None,
                              "calls": {"foreign": True}}


# ---- Other interpreters --------------------------------------------------------------------------

SUB = r"""
import json, os, sys
def column(code, instruction):
    if not hasattr(code, "co_positions"):
        return None
    return list(code.co_positions())[instruction // 2][2]
def walk(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        frames.append([code.co_name, getattr(code, "co_qualname", None), code.co_filename,
                       frame.f_lineno, column(code, frame.f_lasti)])
        frame = frame.f_back
    return frames
def sub_park(depth, name):
    if depth:
        return sub_park(depth - 1, name)
    tell(sys._getframe(), name); os.read(%(pipe)d, 1)
def tell(frame, name):
    frames = walk(frame)
    if frames[0][4] is not None:
        frames[0][4] = "any"
    with open(os.path.join(%(folder)r, name + ".tmp"), "w") as stream:
        json.dump(frames, stream)
    os.rename(os.path.join(%(folder)r, name + ".tmp"), os.path.join(%(folder)r, name + ".json"))
sub_park(5, %(name)r)
"""


def find_api():
    """(create, run) of this version's interpreters, or None."""
    try:
        if sys.version_info >= (3, 13):
            import _interpreters
            return _interpreters.create, _interpreters.run_string
        import _xxsubinterpreters
        return _xxsubinterpreters.create, _xxsubinterpreters.run_string
    except ImportError:
        pass
    try:
        import _testcapi
        return lambda: None, lambda ident, code: _testcapi.run_in_subinterp(code)
    except ImportError:
        return None


def start_sub(name, create, run, facts):
    source = SUB % {"pipe": PARK, "folder": FOLDER, "name": name}
    ident = create()

    def in_thread():
        run(ident, source)
    start(name, in_thread, {"interpreter": None if ident is None else int(ident)})
    path = os.path.join(FOLDER, name + ".json")
    limit = time.time() + 60
    while not os.path.exists(path):
        time.sleep(0.01)
        if time.time() > limit or "failed" in facts[name]:
            sys.stderr.write("no interpreter: %s\n" % facts[name].get("failed"))
            sys.stderr.flush()
            os._exit(1)
    with open(path) as stream:
        HIDDEN[name] = json.load(stream)


def start_raw(facts):
    _thread.start_new_thread(body, ("raw-thread", park, {"foreign": True}))
    while "raw-thread" not in facts:
        time.sleep(0.001)


def start_interpreters(facts):
    api = find_api()
    if api:
        create, run = api
        # Made by this thread, run by another one.
        start_sub("sub-1", create, run, facts)
        start_sub("sub-2", create, run, facts)
