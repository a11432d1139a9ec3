#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a lock that was taken by acquire(): told by the code where it is certain, and never else."""

import os
import tempfile

import support
import tap

PROGRAM = support.path("tests/programs/taken.py")


class Taken(support.TestCase):
    def check(self, document, holds):
        last = document["snapshots"][-1]["threads"]
        names = {thread["tid"]: thread["name"] for thread in last}
        told = {}
        for thread in last:
            if thread["name"].startswith("wants-"):
                wait = thread["wait"]
                self.assertEqual(wait["kind"], "lock", thread["name"])
                told[thread["name"][6:]] = names.get(wait["owner"])
                if wait["owner"]:
                    self.assertEqual(wait["owner_known"], "inferred")
        self.assertEqual(told, {name: "has-" + name if name in holds else None for name in told})
        self.assertGreater(len(told), len(holds))

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_all(self, python):
        with support.start_target(python, PROGRAM) as target, \
                tempfile.TemporaryDirectory() as folder:
            holds = next(line for line in target.lines if line.startswith("HOLDS")).split()[1:]
            core, capture = os.path.join(folder, "core"), os.path.join(folder, "capture")
            self.check(support.pycore_json("snap", target.pid, "--save", capture, ok=(0, 1)), holds)
            self.check(support.pycore_json("analyze", capture, ok=(0, 1)), holds)
            done = support.pycore("gcore", target.pid, "-o", core)
            self.assertEqual(done.rc, 0, done.err)
            self.check(support.pycore_json("analyze", core, ok=(0, 1)), holds)


if __name__ == "__main__":
    tap.main()
