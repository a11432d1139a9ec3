#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict's rules in running programs: each finds what it is there for, whatever the program calls its
functions; and none raises an alarm in servers in which nothing is wrong."""

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import harm
import support
import tap
from renamed import renamed

sys.path.insert(0, support.path("fixtures"))
import quota  # noqa: E402
import rules  # noqa: E402

HEALTHY = os.path.abspath(support.path("tests/programs/healthy.py"))
# Programs take turns at them, so that all of them together see all rules.
VERSIONS = ("3.6", "3.12", "3.15", "3.8", "3.14", "3.11")
RUN = ("-n", "60", "-i", "20ms", "--no-native")


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def compile_native(folder):
    try:
        subprocess.run([os.environ.get("CC", "cc").split()[-1], "-O1", "-shared", "-fPIC", "-pthread",
                        "-o", os.path.join(folder, "rules_native.so"),
                        support.path("fixtures/programs/rules_native.c")], check=True)
    except (OSError, subprocess.CalledProcessError):
        raise unittest.SkipTest("no C compiler") from None


def found_in(document):
    return {finding["id"] for finding in document["findings"]}


def python_for(number):
    return support.find_python(VERSIONS[number % len(VERSIONS)])


class Rules(support.TestCase):
    @contextlib.contextmanager
    def looked_at(self, python, script, kind, folder):
        """The processes to look at."""
        with support.start_target(python, script, kind, cwd=folder) as target:
            # A program that wants other processes to be looked at says their numbers.
            yield [int(word) for word in target.lines[-1].split()[1:]] or [target.pid]

    @support.not_sanitized
    def test_renamed(self):
        """With other names for everything that is the program's own."""
        if sys.version_info < (3, 9):
            self.skipTest("ast.unparse() is there from Python 3.9 on")
        text, names = renamed(read(support.path("fixtures/programs/trouble.py")))
        firing = [kind for kind, facts in rules.KINDS.items() if facts.findings]
        for number, kind in enumerate(firing):
            with self.subTest(kind), tempfile.TemporaryDirectory() as folder:
                facts, python = rules.KINDS[kind], python_for(number)
                compile_native(folder)
                script = os.path.join(folder, "main.py")
                with open(script, "w", encoding="utf-8") as stream:
                    stream.write(text)
                with self.looked_at(python, script, names[kind], folder) as pids:
                    document = self.in_trouble(lambda: self.snap_with_quota(pids[0], facts),
                                               facts.findings)
                self.assertLessEqual(set(facts.findings), found_in(document), document["verdict"])

    def in_trouble(self, look, wanted):
        """The document, once it has the findings: on a busy machine the threads are not at once where they
        stay, nor is what they do together in each moment what it is over a longer time. Or the last one."""
        deadline = time.monotonic() + harm.PATIENCE_S
        while True:
            document = look()
            if set(wanted) <= found_in(document) or time.monotonic() > deadline:
                return document

    def snap_with_quota(self, pid, facts):
        try:
            with quota.cgroup(facts.quota, pid):
                return support.pycore_json("snap", pid, *facts.options, ok=(0, 1))
        except OSError as error:
            self.skipTest("no cgroup with a quota can be made: %s" % error)

    @harm.versions("3.8", "3.12", "3.14", "3.15")
    def test_gil_in_a_core(self, python):
        """Those who wait for it wake all the time, only to wait again: a core may find them awake."""
        with tempfile.TemporaryDirectory() as folder:
            compile_native(folder)
            script = shutil.copy(support.path("fixtures/programs/trouble.py"), folder)
            core = os.path.join(folder, "core")
            with self.looked_at(python, script, "gil_held_by_native", folder) as pids:
                for _ in range(3):
                    document = self.fought_over(pids[0], core)
                    self.assertIn("gil-held-by-native", found_in(document), document["verdict"])

    def fought_over(self, pid, core):
        """What a core says in which one is in the code that has the GIL and another one wants it: between
        two calls of it neither may be so, which on a busy machine lasts until they are on a processor."""
        deadline = time.monotonic() + harm.PATIENCE_S
        while True:
            done = support.pycore("gcore", pid, "-o", core)
            self.assertEqual(done.rc, 0, done.err)
            document = support.pycore_json("analyze", core, ok=(0, 1))
            stacks = [{frame["function"] for frame in thread["frames"]}
                      for thread in document["snapshots"][0]["threads"]]
            if any("spin" in stack for stack in stacks) and any(
                    stack & {"take_gil", "PyEval_RestoreThread"} for stack in stacks):
                return document
            self.assertLess(time.monotonic(), deadline, stacks)

    def check_calm(self, pid):
        """Over a run, and in single moments."""
        for options in (RUN, (), ("--no-native",), ("--no-native",)):
            document = support.pycore_json("snap", pid, *options, ok=(0, 1))
            alarms = [finding["title"] for finding in document["findings"]
                      if finding["severity"] == "high"]
            self.assertEqual(alarms, [])

    def test_healthy(self):
        kinds = re.findall(r"^@kind\ndef (\w+)", read(HEALTHY), re.MULTILINE)
        for number, kind in enumerate(kinds):
            with self.subTest(kind), tempfile.TemporaryDirectory() as folder, \
                    self.looked_at(python_for(number), HEALTHY, kind, folder) as pids:
                for pid in pids:
                    self.check_calm(pid)

    @harm.versions("3.12", "3.14")
    def test_healthy_prompt(self, python):
        """An interpreter that waits for somebody to type."""
        leader, follower = pty.openpty()
        self.addCleanup(os.close, leader)
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen([python.path, "-I"], stdin=follower, stdout=follower,
                                       stderr=follower, cwd=folder, start_new_session=True,
                                       env=support.clean_environment(TERM="dumb"))
            os.close(follower)
            try:
                shown = b""
                while b">>>" not in shown:
                    shown += os.read(leader, 1000)
                support.until_still(process.pid)
                self.check_calm(process.pid)
                self.assertRegex(support.pycore("snap", process.pid).out, "\nIDLE - ")
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()


if __name__ == "__main__":
    tap.main()
