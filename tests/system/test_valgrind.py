#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""No invalid reads and no leaks, as valgrind sees them: it also knows of bytes that were never set,
which the sanitizers do not."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import support

EARLY = True
LIMIT_S = 900
FOUND = 77

PROGRAM = """
import threading, time
def deep(n):
    return deep(n - 1) if n else time.sleep(1000)
threading.Thread(target=deep, args=(30,), name="worker", daemon=True).start()
print("READY", flush=True)
deep(5)
"""


def valgrind():
    """The command in front of pycore; skips the test where it cannot work."""
    program = shutil.which("valgrind")
    if not program:
        raise unittest.SkipTest("no valgrind on this machine")
    if support.is_sanitized():
        raise unittest.SkipTest("pycore is built with AddressSanitizer")
    works = subprocess.run([program, "--error-exitcode=%d" % FOUND, "true"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if works.returncode:
        raise unittest.SkipTest("valgrind does not work here: %s"
                                % works.stderr.decode("utf-8", "replace").strip()[-200:])
    return [program, "--quiet", "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=%d" % FOUND,
            "--track-fds=no", "--child-silent-after-fork=yes"]


def pythons():
    """The oldest, a middle and the newest release build: the three kinds of frame chains."""
    found = [python for python in support.interpreters()
             if python.build == "release" and python.name == "%d.%d" % python.minor]
    middle = [python for python in found if python.minor in ((3, 11), (3, 12))]
    picked = {python.name: python for python in found[:1] + middle[:1] + found[-1:]}
    if not picked:
        raise unittest.SkipTest("no Python on this machine")
    return picked.values()


class Valgrind(support.TestCase):
    def run_clean(self, *words, ok=(0,)):
        done = subprocess.run(valgrind() + [support.PYCORE] + [str(word) for word in words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=600, check=False,
                              env=support.clean_environment())
        err = done.stderr.decode("utf-8", "replace")
        self.assertNotEqual(done.returncode, FOUND, err)
        self.assertNotIn("== ", err)
        self.assertIn(done.returncode, ok, err)
        return done.stdout.decode("utf-8", "replace")

    def names(self, text):
        document = json.loads(text)
        return {frame["function"] for snapshot in document["snapshots"]
                for thread in snapshot["threads"] for frame in thread["frames"]}

    def test_snap(self):
        for python in pythons():
            with self.subTest(python.name), \
                    support.start_program([python.path, "-c", PROGRAM], still=True) as target:
                out = self.run_clean("snap", target.pid, "-f", "json")
                self.assertIn("deep", self.names(out))

    def test_hotspots(self):
        for python in pythons():
            with self.subTest(python.name), \
                    support.start_program([python.path, "-c", PROGRAM], still=True) as target:
                out = self.run_clean("snap", target.pid, "-n", 3, "-i", "100ms")
                self.assertIn("deep", out)

    def test_core(self):
        gcore = shutil.which("gcore")
        if not gcore:
            self.skipTest("no gcore on this machine")
        python = list(pythons())[-1]
        with tempfile.TemporaryDirectory() as folder:
            with support.start_program([python.path, "-c", PROGRAM], still=True) as target:
                core = os.path.join(folder, "core")
                subprocess.run([gcore, "-o", core, str(target.pid)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300,
                               check=False)
                core += ".%d" % target.pid
                if not os.path.exists(core):
                    self.skipTest("gcore wrote no core")
            out = self.run_clean("analyze", core, "-f", "json", ok=(0, 1))
            self.assertIn("deep", self.names(out))

    def test_refusals(self):
        """The ways out of a failure free what was made on the way in."""
        self.run_clean("snap", 0x7ffffffe, ok=(2,))
        self.run_clean("analyze", "/dev/null", ok=(2,))
        self.run_clean("analyze", support.PYCORE, ok=(2,))
        with support.start_program(["sh", "-c", "echo READY; exec sleep 1000"]) as target:
            self.run_clean("snap", target.pid, ok=(2,))


if __name__ == "__main__":
    unittest.main()
