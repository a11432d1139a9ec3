#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Event loops in trouble: the answer is in the first five lines, live, over a run and from a core; and no
alarm where nothing is wrong."""

import functools
import itertools
import os
import tempfile
import time
import unittest

import harm
import support

PROGRAM = support.path("tests/programs/task_trouble.py")
line_of = functools.partial(support.line_of, PROGRAM)


def place(text, after):
    return "task_trouble.py:%d" % line_of(text, after)


TROUBLE = {
    "cycle": ("DEADLOCK - ", "wait for each other", "first_half", "second_half",
              place("await others[1]", "def first_half"),
              place("await others[0]", "def second_half")),
    "locks": ("DEADLOCK - ", "wait for each other", "waits for lock", "held by",
              place("async with other", "def transfer")),
    "reenter": ("DEADLOCK - ", "waits for lock", "inner", "which it holds itself",
                place("async with lock", "def inner")),
    "acquire_twice": ("DEADLOCK - ", "waits for lock", "twice", "which it holds itself"),
    "by_hand": ("DEADLOCK - ", "wait for each other", "holds a lock", "held by",
                place("await other.acquire", "def move")),
    "over_thread": ("DEADLOCK - ", "in a ring", "handle", "job",
                    place("await loop.run_in_executor(None", "def handle")),
    "group": ("DEADLOCK - ", "wait for each other", "child", "parent", "and 1 more"),
    "two_loops": ("DEADLOCK - ", "in a ring", "confirm", "reserve", "order",
                  place("await asking[0]", "def confirm"), place("await ask", "def reserve")),
    "pile_up": ("BLOCKED - ", "299 of 301 tasks wait for lock", "held by", "use_table",
                place("async with lock", "def use_table"),
                place("await asyncio.sleep", "def use_table")),
    "pile_up_task": ("BLOCKED - ", "300 of 302 tasks wait for", "use_token", "which is itself",
                     place("await asyncio.shield", "def use_token")),
    "pile_up_limit": ("BLOCKED - ", "297 of 301 tasks wait for semaphore", "limited",
                      place("async with limit", "def limited")),
    "blocked": ("BLOCKED - ", "event loop", "blocking_query", "recv", "5 tasks of the loop wait",
                place("peer.recv", "def blocking_query")),
    "handles_signal": ("BLOCKED - ", "event loop", "reload", "recv", "6 tasks of the loop wait",
                       place("here.recv", "def reload")),
    "never_released": ("HUNG - ", "event loop", "nothing is left in this process that could wake it",
                       "2 of them for lock", "held by nobody that is known", "update",
                       place("await lock.acquire", "def never_released")),
    "held_over_await": ("HUNG - ", "waits for lock", "save", "held by",
                        place("with lock", "def held_over_await"),
                        place("await asyncio.sleep", "def held_over_await"),
                        "which cannot go on while this thread waits"),
    "not_woken": ("HUNG - ", "event loop", "1 callback of it is due, and nothing wakes it", "receive",
                  place("await answer", "def not_woken")),
    "at_rest": ("IDLE - ", "event loop", "nothing is left in this process that could wake it",
                "3 of them for an item of queue", "consume"),
    "exhausted": ("9 of 13 tasks await jobs", "all 3 threads", "slow_job", "handle",
                  place("peer.recv", "def slow_job")),
}
OF_CORES = ("cycle", "over_thread", "two_loops", "pile_up_limit", "never_released", "not_woken", "handles_signal", "exhausted")
# What lasts has to be seen to last.
OF_A_RUN = {
    "hogged": ("BLOCKED - ", "event loop", "has not gone on", "5 tasks of the loop wait", "compute"),
    "starving": ("SLOW - ", "10 of 51 tasks are ready to run", "has not got to them", "tick"),
}
QUIET = ("idle_server", "idle_consumers", "sleepers", "family", "crawler", "poller_and_bridge",
         "acquired_elsewhere")


class TaskFindings(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def first_lines(self, *arguments):
        outcome = support.pycore(*arguments)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        return " ".join("\n".join(outcome.out.split("\n")[:5]).split())

    def start(self, python, what):
        target = support.start_target(python, PROGRAM, what)
        return target

    def check(self, text, what):
        for words in TROUBLE.get(what) or OF_A_RUN[what]:
            self.assertIn(words, text, what)

    def check_at_last(self, what, *commands):
        """One of the commands, in turn, says so. Others than the loop's own thread take their time on a busy
        machine, and a loop that ticks may be met in the middle of it."""
        deadline = time.monotonic() + harm.PATIENCE_S
        for command in itertools.cycle(commands):
            text = self.first_lines(*command)
            if all(words in text for words in TROUBLE.get(what) or OF_A_RUN[what]) or \
                    time.monotonic() > deadline:
                break
        self.check(text, what)

    @harm.versions("3.8", "3.11", "3.12", "3.14")
    def test_trouble(self, python):
        for what in TROUBLE:
            core = os.path.join(self.folder, what)
            with self.subTest(what=what), self.start(python, what) as target:
                self.check_at_last(what, ("snap", target.pid))
                if what not in OF_CORES:
                    continue
                done = support.pycore("gcore", target.pid, "-o", core)
                self.assertEqual(done.rc, 0, done.err)
                self.check(self.first_lines("analyze", core), what)

    @harm.versions("3.12")
    def test_trouble_of_a_run(self, python):
        for what in OF_CORES:
            with self.subTest(what=what), self.start(python, what) as target:
                # Tasks are read in a small part of the time: on a busy machine it takes longer to have one.
                self.check_at_last(what, *[("snap", target.pid, "-n", "12", "-i", interval)
                                           for interval in ("20ms", "100ms", "500ms")])

    @harm.versions("3.12")
    def test_what_lasts(self, python):
        for what, seconds in (("hogged", 2), ("starving", 5)):
            with self.subTest(what=what), self.start(python, what) as target:
                self.check_at_last(what, ("snap", target.pid, "-n", 20 * seconds, "-i", "50ms"))

    @harm.versions("3.8", "3.12")
    def test_quiet(self, python):
        for what in QUIET:
            with self.subTest(what=what), self.start(python, what) as target:
                for options in ((), ("-n", "12", "-i", "20ms")):
                    text = self.first_lines("snap", target.pid, *options)
                    self.assertRegex(text, " (IDLE|BUSY|HOT) - ", what)
                    self.assertIn("nothing is wrong that can be seen", text, what)


if __name__ == "__main__":
    unittest.main()
