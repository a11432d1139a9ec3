#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generators and coroutines: what waits inside of what, as the interpreter itself says it."""

import json
import os
import subprocess
import tempfile
import unittest

import support

PROGRAM = support.path("tests/programs/coroutines.py")
TOOL = os.path.join(support.BUILDDIR, "tests", "tools", "await_chain")
BUILDS = ("release", "debug", "free-threaded")
CHAIN = ("kind", "state", "name", "qualname", "frames", "end", "running")


def ask(target, *questions):
    """What pycore reads of a process or core: a value for each address, or --heap."""
    done = subprocess.run([TOOL, str(target)] + [str(question) for question in questions],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env=support.clean_environment())
    if done.returncode:
        raise AssertionError("await_chain: %d, %s" % (done.returncode, done.stderr.decode()))
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


@unittest.skipUnless(os.access(TOOL, os.X_OK), "%s is not built" % TOOL)
class Chains(support.TestCase):
    def compare(self, expected, target):
        found = ask(target, *[facts["object"] for facts in expected.values()])
        self.assertEqual(len(found), len(expected))
        for (label, facts), chain in zip(expected.items(), found):
            with self.subTest(label):
                self.assertEqual(chain["error"], "")
                self.assertEqual({key: chain.get(key) for key in CHAIN if key in facts},
                                 {key: facts[key] for key in CHAIN if key in facts})

    def compare_heap(self, expected, target):
        found, = ask(target, "--heap")
        self.assertEqual(found["error"], "")
        self.assertEqual(sorted(found["generators"]), expected["generators"])
        # It says so in objects of its own.
        self.assertLess(abs(found["objects"] - expected["objects"]), 100)

    @support.each_python(builds=BUILDS, every_patch=True)
    def test_live_and_core(self, python):
        with tempfile.TemporaryDirectory() as folder, \
                support.start_target(python, PROGRAM) as target:
            expected = json.loads(target.lines[0])
            self.assertGreater(len(expected), 30)
            heap = json.loads(target.lines[1])
            listed = "free-threaded" not in python.build
            self.compare(expected, target.pid)
            if listed:
                self.compare_heap(heap, target.pid)
            core = os.path.join(folder, "core")
            dumped = support.pycore("gcore", target.pid, "-o", core)
            self.assertEqual(dumped.rc, 0, dumped.err)
            self.compare(expected, core)
            if listed:
                self.compare_heap(heap, core)


if __name__ == "__main__":
    import tap
    tap.main()
