#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Executors whose jobs wait for their own jobs, live, in cores and in captures; and those whose do not."""

import subprocess

import support
import tap

PROGRAM = support.path("tests/programs/executors.py")
LIMIT_S = 900
# Of those that end: the severity of what is said of them.
MILDER = {"limited": "medium"}


class Executors(support.FolderCase):
    def check(self, document, name, severity):
        found = [finding for finding in document["findings"] if finding["id"] == "executor-deadlock"]
        high = [finding for finding in document["findings"] if finding["severity"] == "high"]
        if not severity:
            self.assertEqual(found + high, [], name)
            return
        self.assertTrue(found, (name, document["findings"]))
        for finding in found:
            self.assertEqual(finding["severity"], severity, name)
            self.assertRegex(finding["title"],
                             "^Both threads of `(upper|lower)` wait for jobs that only they could run: "
                             ".* waits for the result of .*, which no thread has begun")
        self.assertEqual(len(found), 2 if name == "each_other" else 1, name)
        self.assertEqual(document["word"], "DEADLOCK", name)

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_all(self, python):
        listed = subprocess.run([python.path, PROGRAM, "list"], stdout=subprocess.PIPE, check=True)
        stuck, others = (line.split() for line in listed.stdout.decode().splitlines())
        for name in stuck + others:
            severity = "high" if name in stuck else MILDER.get(name)
            with support.start_target(python, PROGRAM, name) as target:
                capture = self.file(name)
                live = support.pycore_json("snap", target.pid, "--save", capture, ok=(0, 1))
                self.check(live, name, severity)
                if name in ("own_wait", "each_other"):
                    again = support.pycore_json("analyze", capture, ok=(0, 1))
                    self.check(again, name, severity)
                if name == "own_result":
                    done = support.pycore("gcore", target.pid, "-o", self.file("core"))
                    self.assertEqual(done.rc, 0, done.err)
                    core = support.pycore_json("analyze", self.file("core"), ok=(0, 1))
                    self.check(core, name, severity)


if __name__ == "__main__":
    tap.main()
