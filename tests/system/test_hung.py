#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs whose main thread waits for good: the verdict says for what, and whether anybody could end it."""

import re

import harm
import support
import tap

PROGRAM = support.path("tests/programs/hung.py")
LEFT = "IDLE - nothing is wrong that can be seen: "
NOBODY = "IDLE - nothing is wrong that can be seen, but no thread is left that could wake another: "
# What the first lines say, unwrapped.
KINDS = {
    "lock_twice": "DEADLOCK - MainThread waits for lock lock in lock_twice .*, which it holds itself[.]",
    "lock_of_the_caller": r"DEADLOCK - outer waits for lock lock in \S*inner .*, which it holds itself[.]",
    "ring_with_a_limit": "DEADLOCK - lower and upper wait for each other: .*, until a time limit ends it[.]",
    "tasks_not_done": "HUNG - MainThread waits for the tasks of queue jobs in tasks_not_done .*, and nobody "
                      "is left to do them: all 2 threads wait for each other, or for work[.]",
    "consumer_has_ended": "HUNG - MainThread waits for room in queue jobs in consumer_has_ended .*, and "
                          "nobody is left to take from it: the process has no other thread[.]",
    "missing_at_a_barrier": "HUNG - MainThread waits for a barrier .* in missing_at_a_barrier .*, and nobody "
                            "is left to come to it: ",
    "semaphore_not_released": "HUNG - MainThread waits for semaphore slots in semaphore_not_released .*, and "
                              "nobody is left to release it: ",
    "result_of_nobody": "HUNG - MainThread waits for the result of a future .* in result_of_nobody .*, and "
                        "nobody is left to set it: ",
    "thread_at_exit": NOBODY + ".*; MainThread is waiting for the end of thread forgotten in .*; forgotten "
                      "is waiting for an event ",
    "producer_has_ended": NOBODY + ".*; MainThread is waiting for the end of thread consumer in "
                          "producer_has_ended .*; consumer is waiting for an item of a queue ",
    "signal_by_a_lock": LEFT + ".*; MainThread is waiting for lock done in signal_by_a_lock ",
}


class Hung(support.FolderCase):
    def check(self, kind, *command):
        text = " ".join(support.pycore(*command).out.split("\n")[1:6])
        return re.search(KINDS[kind], text) is not None, text

    @harm.versions("3.8", "3.12", "3.15")
    def test_all(self, python):
        for kind in KINDS:
            with self.subTest(kind), support.start_target(python, PROGRAM, kind) as target:
                last = []

                def settled():
                    found, text = self.check(kind, "snap", target.pid)
                    last[:] = [text]
                    return found

                try:
                    harm.until(settled, "the verdict")
                except AssertionError:
                    self.fail(last)
                found, text = self.check(kind, "snap", target.pid, "-n", "12", "-i", "10ms")
                self.assertTrue(found, text)
                core = self.file("core")
                self.assertEqual(support.pycore("gcore", target.pid, "-o", core).rc, 0)
                found, text = self.check(kind, "analyze", core)
                self.assertTrue(found, text)


if __name__ == "__main__":
    tap.main()
