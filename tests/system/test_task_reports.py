#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of a program with asyncio tasks: what they say, and that captures and documents give the same
again."""

import unittest

import harm
import support
from test_report import Folder

PROGRAM = '''
import asyncio

async def serve(lock):
    async with lock:
        pass

async def keep(lock):
    async with lock:
        await asyncio.sleep(1000)

async def order(tasks):
    await asyncio.sleep(0)
    await tasks["stock"]

async def stock(tasks):
    await tasks["order"]

async def poll():
    await asyncio.sleep(500)

async def batch():
    await asyncio.gather(poll(), poll(), poll())

async def main():
    pool_lock = asyncio.Lock()
    tasks = {}
    tasks["keep"] = asyncio.ensure_future(keep(pool_lock))
    await asyncio.sleep(0)
    tasks["order"] = asyncio.ensure_future(order(tasks))
    tasks["stock"] = asyncio.ensure_future(stock(tasks))
    tasks["batch"] = asyncio.ensure_future(batch())
    tasks["serve"] = [asyncio.ensure_future(serve(pool_lock)) for _ in range(200)]
    await asyncio.sleep(0.2)
    print("READY", flush=True)
    await asyncio.sleep(1000)

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
'''


class Reports(Folder):
    def check_text(self, text, names):
        """`names`: tasks have some (3.8+)."""
        name = (lambda of: r"Task-\d+") if names else (lambda of: of + r"\(\)")
        groups = text[text.index("WHERE TASKS WAIT"):]
        self.assertRegex(text, r"Loop +_UnixSelectorEventLoop of .* \(\d+\): 208 tasks; \d+ timers?\.")
        self.assertRegex(groups, r"200 tasks of serve\(\), each waits \[lock[^]]*held by %s \(inferred\)" %
                         name("keep"))
        self.assertRegex(groups, r"3 tasks of poll\(\), each waits \[sleep, [^]]* left\]")
        self.assertRegex(groups, r"2 tasks wait for each other in a ring: \S+ (of \S+ )?> \S+ "
                                 r"(of \S+ )?> \S+\.")
        tree = groups[groups.index("WHO AWAITS WHOM"):]
        self.assertRegex(tree, r"\n  %s: batch service\.py:\d+ .*\n    3 x .*: poll service\.py:\d+" %
                         name("batch"))
        self.assertRegex(tree, r"\n  \S+: (order|stock) .*\n    \S+: (order|stock) .*\n"
                               r"      \S+: (order|stock) .*\(above: it is a ring\)\n")

    @harm.versions("3.6", "3.8", "3.12", "3.14")
    def test_reports(self, python):
        with self.target(python, PROGRAM) as target:
            support.until_still(target.pid)
            self.made("dump", "snap", target.pid, "--no-native")
            self.made("run", "snap", target.pid, "-n", "3", "-i", "50ms", "--no-native")
            support.pycore("snap", target.pid, "--no-native", "--save", self.file("a.cap"))
            without = support.pycore_json("snap", target.pid, "--no-tasks")
            in_pipe = support.pycore("top", target.pid, "-n", "1").out
        self.check_text(self.read("dump.txt").decode(), python.minor >= (3, 8))
        document = self.check_again("dump")
        self.assertEqual(len(document["tasks"]), 208)
        self.assertEqual(max(group["count"] for group in document["task_groups"]), 200)
        self.check_again("run")
        self.assertIn("TASKS (in the last snapshot)", self.read("run.txt").decode())
        self.check_text(support.pycore("report", self.file("a.cap")).out, python.minor >= (3, 8))
        self.assertEqual(document.keys() - without.keys(),
                         {"suspended", "loops", "tasks", "task_groups"})
        self.assertRegex(in_pipe, r"2 threads?: .* 208 tasks|1 thread: .* 208 tasks")


if __name__ == "__main__":
    unittest.main()
