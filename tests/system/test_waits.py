#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each blocked thread waits for, how the program calls it, who has it and where: of a live
process, of its core, and of a capture."""

import contextlib
import os
import tempfile
import time
import unittest

import support

PROGRAM = support.path("tests/programs/blocked.py")
PATIENCE_S = 60

# thread: kind, what, type, the function that waits, the owner, the function that took it, certainty
LOCK, RLOCK = "_thread.lock", "_thread.RLock"
WAITS = {
    "lock_with": ("lock", "pool_lock", LOCK, "lock_with", "holder", "holder", "inferred"),
    "lock_acquire": ("lock", "pool_lock", LOCK, "lock_acquire", "holder", "holder", "inferred"),
    "wait_taker": ("lock", "self.called", LOCK, "wait_taker", "taker", "taker", "inferred"),
    "wait_cell": ("lock", "inner", LOCK, "wait_cell", "cell_taker", "cell_taker", "inferred"),
    "wait_lent": ("lock", "lent", LOCK, "wait_lent", None, None, "unknown"),
    "signal": ("lock", "signalled", LOCK, "signal", None, None, "unknown"),
    "lock_timeout": ("lock", "pool_lock", LOCK, "lock_timeout", "holder", "holder", "inferred"),
    "lock_argument": ("lock", "given", LOCK, "lock_argument", "holder", "holder", "inferred"),
    "mutex_wait": ("mutex", None, None, "mutex_wait", "mutex_holder", None, "observed"),
    "variable_wait": ("condition-variable", None, None, "variable_wait", None, None, "unknown"),
    "rlock": ("rlock", "self._lock", RLOCK, "rlock", "holder", "holder", "observed"),
    "rlock_bare": ("rlock", "bare", RLOCK, "rlock_bare", "holder", "holder", "observed"),
    "rlock_python": ("rlock", "python_rlock", "_RLock", "rlock_python", "holder", "holder",
                     "observed"),
    "condition_wait": ("condition", "condition", "Condition", "condition_wait", None, None,
                       "unknown"),
    "condition_enter": ("rlock", "taken", RLOCK, "condition_enter", "holder", "holder",
                        "observed"),
    "event_wait": ("event", "event", "Event", "event_wait", None, None, "unknown"),
    "semaphore": ("semaphore", "slots", "Semaphore", "semaphore", "holder", "holder", "inferred"),
    "barrier_wait": ("barrier", "barrier", "Barrier", "barrier_wait", None, None, "unknown"),
    "queue_get": ("queue-get", "jobs", "Queue", "queue_get", None, None, "unknown"),
    "queue_put": ("queue-put", "full", "Queue", "queue_put", None, None, "unknown"),
    "queue_join": ("queue-join", "full", "Queue", "queue_join", None, None, "unknown"),
    "simple_get": ("queue-get", "simple", "_queue.SimpleQueue", "simple_get", None, None,
                   "unknown"),
    "between_processes": ("lock", "process_lock", "_multiprocessing.SemLock", "between_processes",
                          "holder", "holder", "inferred"),
    "ring_1": ("lock", "next_one", LOCK, "ring", "ring_2", "ring", "inferred"),
    "ring_2": ("lock", "next_one", LOCK, "ring", "ring_3", "ring", "inferred"),
    "ring_3": ("lock", "next_one", LOCK, "ring", "ring_1", "ring", "inferred"),
    "itself": ("lock", "mine", LOCK, "itself", "itself", "itself", "inferred"),
    "join": ("thread-join", "holder", "Thread", "join", "holder", None, "observed"),
    "future": ("future", "result", "Future", "future", "ThreadPoolExecutor-0_0", None, "inferred"),
    "import_lock": ("import", "slow_module", "_ModuleLock", "import_lock", "importing", None,
                    "observed"),
    "log_second": ("logging", None, "Stuck", "log_second", "log_first", None, "observed"),
}

# thread: kind, what a live process has it, type of the Python object
CALLS = {
    "receive": ("read", "a unix socket", "socket"),
    "receive_tcp": ("read", "127.0.0.1:", "socket"),
    "accept": ("accept", "listening on 127.0.0.1:", "socket"),
    "read_pipe": ("read", "a pipe", None),
    "read_fifo": ("read", "/fifo", None),
    "read_file": ("read", "/fifo", "_io.BufferedReader"),
    "poll": ("poll", "poll", None),
    "poll_epoll": ("poll", "epoll", None),
    "poll_select": ("poll", "select", None),
    "child": ("child", "wait4", None),
    "file_lock": ("file-lock", "/fifo", "_io.FileIO"),
    "holder": ("sleep", None, None),
}


@contextlib.contextmanager
def blocked(python):
    with tempfile.TemporaryDirectory() as folder, \
            support.start_target(python, PROGRAM, env={"TMPDIR": folder}, still=True) as target:
        target.child = next(int(line.split()[1]) for line in target.lines if "child" in line)
        yield target


def by_name(document):
    return {thread["name"]: thread for thread in document["snapshots"][-1]["threads"]}


def function_at(thread, index):
    return None if index is None else thread["frames"][index]["function"]


class Waits(support.TestCase):
    def check_wait(self, threads, name):
        kind, what, type_name, waiting, owner, took, certainty = WAITS[name]
        thread = threads[name]
        wait = thread.get("wait")
        self.assertIsNotNone(wait, thread)
        tids = {other["tid"]: other for other in threads.values()}
        # Who imports or logs is told by frames of the library's own, which differ by version.
        skip_took = name in ("log_second",)
        has = tids.get(wait["owner"])
        self.assertEqual(
            (kind, what, type_name, waiting, owner, took, certainty),
            (wait["kind"], wait["what"], wait["type"], function_at(thread, wait["waiting_frame"]),
             has and has["name"],
             took if skip_took else has and function_at(has, wait["owner_frame"]),
             wait["owner_known"]), (name, wait))
        self.assertFalse(wait["owner_gone"])

    def check(self, document, live):
        threads = by_name(document)
        for name in WAITS:
            if name != "simple_get" or "simple_get" in threads:
                with self.subTest(thread=name):
                    self.check_wait(threads, name)
        for name, (kind, what, type_name) in CALLS.items():
            with self.subTest(thread=name):
                wait = threads[name]["wait"]
                self.assertEqual((kind, type_name), (wait["kind"], wait["type"]), (name, wait))
                if live and what:
                    self.assertIn(what, wait["what"])
        self.assertEqual(
            [("pool_lock", "inferred"), ("box._lock", "observed"), ("slots", "inferred"),
             ("taken", "observed"), ("python_rlock", "observed"), ("process_lock", "inferred"),
             ("bare", "observed")],
            [(held["what"], held["known"]) for held in threads["holder"]["held"]])
        self.assertEqual([("self.called", "inferred")],
                         [(held["what"], held["known"]) for held in threads["taker"]["held"]])
        for name in ("lock_with", "signal", "condition_wait", "semaphore", "queue_get", "event_wait"):
            self.assertNotIn("held", threads[name], name)

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_live(self, python):
        with blocked(python) as target:
            document = support.pycore_json("snap", target.pid)
            self.check(document, True)
            threads = by_name(document)
            self.assertEqual(target.child, threads["child"]["wait"]["owner"])
            for name in ("poll", "poll_epoll", "poll_select"):
                self.assertEqual(2, threads[name]["wait"]["fd_count"], name)
                self.assertEqual(2, len(threads[name]["wait"]["fds"]), name)
            self.assertEqual(900 * 10**9, threads["poll_select"]["wait"]["timeout_ns"])
            left_ns = threads["lock_timeout"]["wait"]["left_ns"]
            self.assertTrue(left_ns is None or 300 * 10**9 < left_ns <= 500 * 10**9, left_ns)

    @support.each_python()
    def test_core_and_capture(self, python):
        with blocked(python) as target, tempfile.TemporaryDirectory() as folder:
            core, capture = os.path.join(folder, "core"), os.path.join(folder, "run.pycore")
            outcome = support.pycore("gcore", "-o", core, target.pid)
            self.assertEqual(0, outcome.rc, outcome.err)
            support.until_still(target.pid)  # calls that end when stopped are made again
            live = support.pycore_json("snap", target.pid, "--save", capture)
            self.check(live, True)
            self.assertEqual(live["snapshots"],
                             support.pycore_json("analyze", capture)["snapshots"])
            self.check(support.pycore_json("analyze", core), False)

    def test_profile(self):
        """Threads that stand still have details in each snapshot, and since when."""
        python = support.find_python("3.11")
        if not python:
            self.skipTest("no Python 3.11 on this machine")
        with blocked(python) as target, tempfile.TemporaryDirectory() as folder:
            capture = os.path.join(folder, "run.pycore")
            live = support.pycore_json("snap", target.pid, "-n", "4", "-i", "50ms",
                                       "--snapshots", "--save", capture)
            self.check(live, True)
            self.assertGreater(by_name(live)["lock_with"]["wait"]["since_ns"], 10**7)
            replay = support.pycore_json("analyze", capture, "--snapshots")
            self.assertEqual(live["snapshots"], replay["snapshots"])

    @support.each_python(builds=("release", "free-threaded"))
    def test_profile_that_stops_all(self, python):
        """A stop wakes every thread; what it goes on to wait for is known after the first snapshot, too."""
        with blocked(python) as target, tempfile.TemporaryDirectory() as folder:
            capture = os.path.join(folder, "run.pycore")
            deadline = time.monotonic() + PATIENCE_S
            told, missing = {}, WAITS
            while missing and time.monotonic() < deadline:
                live = support.pycore_json("snap", target.pid, "-n", "6", "-i", "20ms", "--stop=all",
                                           "--snapshots", "--save", capture, ok=(0, 1))
                replay = support.pycore_json("analyze", capture, "--snapshots", ok=(0, 1))
                self.assertEqual(live["snapshots"], replay["snapshots"])
                # Of a thread that is not asleep again yet when that is asked, nothing is told: on a busy
                # machine that may be so in each snapshot of a run.
                for snapshot in live["snapshots"][1:]:
                    for thread in snapshot["threads"]:
                        wait = thread.get("wait") or {"kind": "gil"}  # while it makes its call again
                        if wait["kind"] != "gil":
                            told.setdefault(thread["name"], set()).add((wait["kind"], wait["what"]))
                missing = [name for name in WAITS if name not in told and name in by_name(live)]
        self.assertEqual(missing, [])
        for name, expected in WAITS.items():
            if name != "simple_get" or name in told:
                self.assertEqual(told.get(name), {expected[:2]}, name)


if __name__ == "__main__":
    unittest.main()
