# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what pycore says of tests/programs/situations.py with what its interpreter said."""

import json
import os
import re
import shutil
import tempfile
import time
import contextlib
import glob
import unittest

import support

PROGRAM = support.path("tests/programs/situations.py")

# What faulthandler leaves out (Python/traceback.c: MAX_NTHREADS, MAX_STRING_LENGTH).
FAULTHANDLER_THREADS = 100
FAULTHANDLER_CHARS = 500


@contextlib.contextmanager
def situations(python, mode="plain", *names, flags=()):
    """Runs the program: yields (target, folder, what it expects)."""
    folder = tempfile.mkdtemp(prefix="pycore-oracle-")
    cache = os.path.join(support.BUILDDIR, "tests", "situations")
    os.makedirs(cache, exist_ok=True)
    try:
        os.mkfifo(os.path.join(folder, "go"))
        with support.start_target(python, PROGRAM, folder, mode, *names, flags=flags, cwd=folder,
                                  env={"SITUATIONS_CACHE": cache}) as target:
            with open(os.path.join(folder, "expected.json")) as stream:
                expected = json.load(stream)["threads"]
            wait_for_last(expected)
            yield target, folder, expected
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_last(expected):
    """The collector, which printed READY, is about to go to sleep as the last one."""
    tid = expected["collector"]["tid"]
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open("/proc/%d/stat" % tid) as stream:
            state = stream.read().rpartition(")")[2].split()[0]
        with open("/proc/%d/syscall" % tid) as stream:
            if state == "S" and stream.read().split()[0] == "0":
                return
        time.sleep(0.01)
    raise AssertionError("the collector does not go to sleep")


def wait_for_end(target, limit_s=180):
    """Returns when the program has ended and its core is written; it is not reaped."""
    deadline = time.monotonic() + limit_s
    while not os.waitid(os.P_PID, target.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        if time.monotonic() > deadline:
            raise AssertionError("the program does not end")
        time.sleep(0.02)


def need_kernel_cores():
    """Skips the test where the kernel's cores do not come to lie in the folder of who dies."""
    with open("/proc/sys/kernel/core_pattern") as stream:
        pattern = stream.read().strip()
    if "/" in pattern or pattern.startswith("|"):
        raise unittest.SkipTest("cores of this machine go to %s" % pattern)


def make_core(target, folder):
    """Lets a program die that waits for a line in the folder's "go"; the path of its core."""
    need_kernel_cores()
    with open(os.path.join(folder, "go"), "w") as stream:
        stream.write("x\n")
    wait_for_end(target)
    cores = glob.glob(os.path.join(folder, "core*"))
    if not cores:
        raise unittest.SkipTest("the kernel wrote no core (ulimit -c); the program said: %s"
                                % target.errors())
    return cores[0]


def frames_of(thread):
    """[function, qualname, file, line, column] of a thread's Python frames in pycore's JSON.

    Frames that are being set up are no frames yet for Python itself.
    """
    return [[frame["function"], frame["qualname"], frame["file"], frame["line"], frame["column"]]
            for frame in thread["frames"]
            if frame["kind"] == "python" and not frame.get("incomplete")]


def calls_of(thread):
    """[function of a Python frame, builtin it is calling or None], innermost first."""
    calls, builtin = [], None
    for frame in thread["frames"]:
        if frame["kind"] == "builtin":
            builtin = frame["qualname"]
        elif frame["kind"] == "python":
            calls.append([frame["function"], builtin])
            builtin = None
    return calls


def short(rows, limit=12):
    text = "\n".join("      %s" % ascii(row)[:300] for row in rows[:limit])
    return text + ("\n      ... %d in all" % len(rows) if len(rows) > limit else "")


def compare_frames(name, wanted, got, problems):
    """Notes the first difference of two lists of frames."""
    wanted = [list(row) for row in wanted]
    for index, row in enumerate(wanted[:len(got)]):
        if row[4] == "any":
            row[4] = got[index][4]
    if wanted == got:
        return
    first = next((index for index, pair in enumerate(zip(wanted, got)) if pair[0] != pair[1]),
                 min(len(wanted), len(got)))
    problems.append("%s: frame %d differs; Python says\n%s\n    pycore says\n%s" % (
        ascii(name)[:100], first, short(wanted[first:]), short(got[first:])))


def compare_thread(name, facts, thread, problems):
    wanted = facts["hidden"] + facts["frames"]
    if name == "collector" and wanted[0][4] is not None:
        wanted[0][4] = "any"  # it was elsewhere in its line when it looked
    compare_frames(name, wanted, frames_of(thread), problems)
    expected_name = facts["name"]
    if not facts["calls"].get("foreign") and thread["name"] != expected_name:
        problems.append("%s: named %s" % (ascii(name), ascii(thread["name"])))
    if facts["ident"] is None:
        if thread["python_thread_id"] is not None:
            problems.append("%s: python_thread_id %s" % (name, thread["python_thread_id"]))
    elif not facts["hidden"] and thread["python_thread_id"] != hex(facts["ident"]):
        problems.append("%s: python_thread_id %s, not %x" % (name, thread["python_thread_id"],
                                                             facts["ident"]))
    if facts["native_id"] is not None and facts["native_id"] != thread["tid"]:
        problems.append("%s: native id %d, not %d" % (name, thread["tid"], facts["native_id"]))
    interpreter = facts["calls"].get("interpreter")
    if interpreter is not None and thread["interpreter"] != interpreter:
        problems.append("%s: interpreter %s, not %s" % (name, thread["interpreter"], interpreter))
    if facts["ident"] is not None and not facts["hidden"] and thread["interpreter"] != 0:
        problems.append("%s: interpreter %s" % (name, thread["interpreter"]))
    if thread["notes"]:
        problems.append("%s: notes %s" % (name, thread["notes"]))
    inside = "{built-in method gc.collect}" in [f.get("qualname") for f in thread["frames"]]
    if thread["in_gc"] and not inside:
        problems.append("%s: in_gc" % name)


def compare_calls(name, facts, thread, problems):
    calls = calls_of(thread)
    wanted = dict({"park": "{built-in method posix.read}"}, **facts["calls"])
    for function, builtin in wanted.items():
        if function in ("foreign", "interpreter"):
            continue
        found = [call[1] for call in calls if call[0] == function]
        if function == "park" and not found:
            continue
        if builtin not in found:
            problems.append("%s: %s calls %s, not %s" % (ascii(name), function, found[:3], builtin))


def compare(document, expected, python, running=None, calls=True):
    """All differences between a document and what the interpreter said, as one text.

    running: the thread that holds the GIL; calls: the builtins too.
    """
    problems = []
    threads = document["snapshots"][0]["threads"]
    by_tid = {thread["tid"]: thread for thread in threads}
    if len(threads) != len(by_tid):
        problems.append("%d threads, %d ids" % (len(threads), len(by_tid)))
    for name, facts in expected.items():
        thread = by_tid.get(facts["tid"])
        if thread is None:
            problems.append("%s: its thread %d is missing" % (ascii(name), facts["tid"]))
            continue
        compare_thread(name, facts, thread, problems)
        if calls:
            compare_calls(name, facts, thread, problems)
    if not document["source"]["complete"]:
        problems.append("incomplete: %r" % [document["notes"], document["source"].get("notes"),
                                            document["snapshots"][0].get("notes")])
    processes = document["source"]["processes"]
    if [process["python"] for process in processes] != [{"version": python.full,
                                                         "build": python.build}]:
        problems.append("python: %r" % processes)
    holders = [thread["name"] for thread in threads if thread["holds_gil"]]
    wanted = [] if running is None or python.build.startswith("free") else [running]
    if holders != wanted:
        problems.append("the GIL is held by %r, not %r" % (holders, wanted))
    return "\n  ".join(problems)


# ---- faulthandler --------------------------------------------------------------------------------

ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
FRAME = re.compile(r'  File "?(.*?)"?, line (\S+) in (.*)$', re.S)


def escape(text):
    """Text in faulthandler's words (Python/traceback.c, _Py_DumpASCII)."""
    cut = text[:FAULTHANDLER_CHARS]
    found = "".join(char if 32 <= ord(char) < 127 else "\\x%02x" % ord(char) if ord(char) < 256
                    else "\\u%04x" % ord(char) if ord(char) < 65536 else "\\U%08x" % ord(char)
                    for char in cut)
    return found + ("..." if len(text) > FAULTHANDLER_CHARS else "")


def compare_faulthandler(document, expected, path):
    """The same against faulthandler.txt."""
    problems = []
    with open(path, encoding="latin-1") as stream:  # 3.14+: names of threads as bytes
        blocks = stream.read().split("\n\n")
    by_ident = {int(thread["python_thread_id"], 16): thread
                for thread in document["snapshots"][0]["threads"] if thread["python_thread_id"]}
    names = {facts["ident"]: name for name, facts in expected.items()}
    compared = 0
    for block in blocks:
        lines = block.strip("\n").split("\n")
        head = re.match(r"(?:Current thread|Thread) (0x[0-9a-f]+)", lines[0])
        if not head:
            continue
        ident = int(head.group(1), 16)
        thread = by_ident.get(ident)
        name = names.get(ident, hex(ident))
        if thread is None or expected.get(name, {}).get("hidden"):
            continue
        # 3.14+ shows a shim that it puts below a specialised call of __init__.
        said = [line for line in lines[1:] if line.startswith("  File ") and
                line != '  File "__init__", line ??? in __init__']
        # It gives up after 100 frames (3.13 counts a shim for each call from C), with or without a
        # word, and 3.13 at a frame without a line.
        whole = len(said) == len(lines) - 1 and len(said) < 50
        # faulthandler prints file names between quotes that it does not escape.
        ours = ['  File "%s", line %s in %s' % (
            escape(row[2]), "???" if row[3] is None else row[3], escape(row[0]))
            for row in frames_of(thread)]
        if not whole:
            ours = ours[:len(said)]
        compared += 1
        if said != ours:
            first = next((index for index, pair in enumerate(zip(said, ours))
                          if pair[0] != pair[1]), min(len(said), len(ours)))
            problems.append("%s: frame %d differs; faulthandler says\n%s\n    pycore says\n%s" % (
                ascii(name)[:100], first, short(said[first:]), short(ours[first:])))
    if compared < min(FAULTHANDLER_THREADS, len(expected)) - 5:
        problems.append("only %d threads compared" % compared)
    return "\n  ".join(problems)
