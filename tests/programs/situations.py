# SPDX-License-Identifier: GPL-3.0-or-later
"""A process full of difficult Python stacks, and what the interpreter itself says of them.

usage: situations.py FOLDER plain|traced|interpreters [NAME]...

Each situation of situations_*.py parks a thread of its own. When all stand still, it writes
FOLDER/expected.json (sys._current_frames() of all of them, walked outwards) and
FOLDER/faulthandler.txt (the same moment in faulthandler's words), prints READY and stays as it is.
The main thread waits for a byte from FOLDER/go and then aborts. Runs on Python 3.6 to 3.15.

'traced' adds threads with trace functions, which from 3.12 on instrument the code of all threads;
'interpreters' is about threads that run other interpreters. NAMEs leave other situations out.
"""

import ctypes
import faulthandler
import itertools
import json
import os
import sys
import threading
import time
import traceback

PARK, PARK_WRITE = os.pipe()
FOLDER, MODE = sys.argv[1:3]
SITUATIONS = []  # [name, function, {function name: builtin it is calling}]
FACTS = {}       # situation: what its thread is
HIDDEN = {}      # situation: frames that lie inside of its own (another interpreter's)
LIBC = ctypes.CDLL(None)


def park():
    os.read(PARK, 1)


def gettid():
    return LIBC.syscall(186)  # SYS_gettid of x86_64, asm/unistd_64.h


def situation(*calls, name=None, tracing=False, **named):
    """Registers a situation; named: the builtin that the frame of that function is calling."""
    def register(function):
        if not tracing or MODE == "traced":
            SITUATIONS.append([name or function.__name__, function, dict(*calls, **named)])
        return function
    return register


def register_thread(name, calls):
    FACTS[name] = {"ident": threading.get_ident(), "tid": gettid(), "name": name, "calls": calls,
                   "native_id": getattr(threading, "get_native_id", lambda: None)()}


def body(name, function, calls):
    register_thread(name, calls)
    try:
        function()
        FACTS[name]["failed"] = "%s ended without waiting\n" % name
    except BaseException:
        FACTS[name]["failed"] = "%s: %s" % (name, traceback.format_exc())


def column(code, instruction):
    if not hasattr(code, "co_positions") or instruction < 0:
        return None
    return next(itertools.islice(code.co_positions(), instruction // 2, None),
                [None] * 4)[2]


def walk(frame):
    """[function, qualname, file, line, column] from the innermost frame outwards."""
    frames = []
    while frame is not None:
        code = frame.f_code
        frames.append([code.co_name, getattr(code, "co_qualname", None), code.co_filename,
                       frame.f_lineno, column(code, frame.f_lasti)])
        frame = frame.f_back
    return frames


def signature():
    """Changes while anything moves; None while a thread is not asleep."""
    marks = []
    frames = sys._current_frames()
    for name, facts in sorted(FACTS.items()):
        if "failed" in facts:
            return None
        with open("/proc/self/task/%d/stat" % facts["tid"]) as stream:
            state = stream.read().rpartition(")")[2].split()[0]
        frame = frames.get(facts["ident"])
        if facts.get("moves"):
            continue
        if state != "S":
            return None
        # In most situations the thread must sit in its read() of the pipe: not in some other wait.
        if frame is not None and frame.f_code.co_name == "park":
            with open("/proc/self/task/%d/syscall" % facts["tid"]) as stream:
                if stream.read().split()[:2] != ["0", hex(PARK)]:
                    return None
        marks.append((name, id(frame), frame and frame.f_lasti))
    return marks


def wait_until_parked(limit_s=60):
    """Returns when nothing has moved for three looks in a row."""
    seen, last = 0, None
    give_up = time.time() + limit_s
    while seen < 3:
        time.sleep(0.04)
        mark = signature()
        seen = seen + 1 if mark is not None and mark == last else 0
        last = mark
        failed = [facts["failed"] for facts in FACTS.values() if "failed" in facts]
        if failed or time.time() > give_up:
            sys.stderr.write("\n".join(failed))
            if not failed:
                faulthandler.dump_traceback(sys.stderr, True)
            sys.stderr.flush()
            os._exit(1)


def write_expected():
    frames = sys._current_frames()
    for name, facts in FACTS.items():
        # The frame of this very function is gone when anybody looks.
        facts["frames"] = [row for row in walk(frames.get(facts["ident"]))
                           if row[0] != "write_expected"]
        facts["hidden"] = HIDDEN.get(name, [])
    with open(os.path.join(FOLDER, "expected.json"), "w") as stream:
        json.dump({"threads": FACTS, "switch_interval": sys.getswitchinterval()}, stream)


def collect():
    try:
        collect_all()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def collect_all():
    register_thread("collector", {})
    FACTS["collector"]["moves"] = True
    stream = open(os.path.join(FOLDER, "faulthandler.txt"), "w")
    wait_until_parked()
    # One line, so that it is right in the middle of telling the truth, and stays so afterwards.
    faulthandler.dump_traceback(stream, True); stream.close(); write_expected(); say_ready(); os.read(PARK, 1)


def say_ready():
    sys.stdout.write("READY\n")
    sys.stdout.flush()


def start(name, function, calls):
    """A daemon thread for one situation; returns when its facts are there."""
    thread = threading.Thread(target=body, args=(name, function, calls), name=name, daemon=True)
    thread.start()
    while name not in FACTS:
        time.sleep(0.001)


def main():
    # This module is __main__; the situations import it by name.
    sys.modules["situations"] = sys.modules["__main__"]
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import resource
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    go = os.open(os.path.join(FOLDER, "go"), os.O_RDWR)
    import situations_calls
    import situations_syntax
    import situations_names
    import situations_runtime
    only = sys.argv[3:]
    threading.stack_size(1 << 20)  # cores hold all of the stacks
    for name, function, calls in SITUATIONS:
        if MODE != "interpreters" and (not only or name in only):
            start(name, function, calls)
    if MODE == "interpreters":
        situations_runtime.start_interpreters(FACTS)
    elif not only:
        situations_runtime.start_raw(FACTS)
        situations_runtime.start_foreign(FACTS)
    register_thread("MainThread", {"main": "{built-in method posix.read}"})
    threading.Thread(target=collect, name="collector", daemon=True).start()
    os.read(go, 1); os.abort()


if __name__ == "__main__":
    main()
