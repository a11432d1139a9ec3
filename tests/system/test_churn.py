#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of snapshots in a row of a program that never stands still: no stack that its calls
cannot produce, no name with another's file, no growth of pycore, no harm to the target.

1,000 snapshots each by default, 300 under sanitizers, 10,000 with PYCORE_LONG=1."""

import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
import unittest

import support

SNAPSHOTS = 10000 if support.LONG else 300 if support.memory_errors_only() else 1000
VERSIONS = ("3.8", "3.11", "3.15")
OUTERMOST = {"<module>", "_bootstrap"}
# Of the samples, how many may be known in part only. 3.11 and 3.12 link a C frame to the thread
# before they say which Python frame it runs (Python/ceval.c, _PyEval_EvalFrameDefault): a stop
# between the two finds what lay on the C stack before. Elsewhere it is a code object that died right
# after the stop, before it was compared.
CUT_SHARE = {"3.11": 0.01, "3.12": 0.01}
# Who may call what, besides the functions whose names say it.
CALLERS = {"walk": {"run"}, "short_lived": {"run"}, "alternate": {"run"}, "leaf_a": {"hot_a"},
           "leaf_b": {"hot_b"}, "hot_a": {"alternate"}, "hot_b": {"alternate"},
           "main": {"<module>"}, "f_0": {"walk"}, "run": {"_bootstrap_inner"},
           "_bootstrap_inner": {"_bootstrap"}, "define": {"main", "short_lived", "build"}}
OWN_FILE = re.compile(r"([frs]_[0-9_]+|(hot|leaf)_[ab])$")


def callers_of(name):
    """The functions that may call it; None: not known here."""
    if name in CALLERS:
        return CALLERS[name]
    if name.startswith("f_"):
        return {name.rsplit("_", 1)[0]}
    if name.startswith("r_"):
        return {name, "f_" + name[2:]}
    if re.match(r"s_\d{3}$", name):
        return {"short_lived"}
    return None


def resident_kib(pid):
    try:
        with open("/proc/%d/status" % pid) as stream:
            for line in stream:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


class Churn(support.TestCase):
    def take(self, pid, count, folder):
        """The report of that many snapshots without a pause between them, and pycore's size."""
        output = os.path.join(folder, "report.json")
        sizes = []
        with subprocess.Popen([support.PYCORE, "snap", str(pid), "-n", str(count), "-i", "100us",
                               "--max-pause", "1s", "-q", "-f", "json", "-o", output], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None:
                size = resident_kib(process.pid)
                if size:
                    sizes.append(size)
                time.sleep(0.02)
            errors = process.stderr.read().decode()
        with open(output) as stream:
            document = json.load(stream)
        self.assertEqual(process.returncode, 0 if document["source"]["complete"] else 1, errors)
        return document, sizes

    def check_stack(self, names, files):
        stack = " < ".join(map(str, names))
        for name, file in zip(names, files):
            if name and OWN_FILE.match(name):
                self.assertEqual(file, "/churn/%s.py" % name, stack)
        for callee, caller in zip(names, names[1:]):
            if callee is None or caller is None or (callee, caller) == ("<module>", "define"):
                continue
            allowed = callers_of(callee)
            self.assertTrue(allowed is None or caller in allowed,
                            "%s cannot call %s: %s" % (caller, callee, stack))

    def check_python(self, name, count):
        python = support.find_python(name)
        with tempfile.TemporaryDirectory() as folder, support.start_target(
                python, support.path("tests/programs/harm_churn.py")) as target:
            document, sizes = self.take(target.pid, count, folder)
            os.kill(target.pid, signal.SIGTERM)
            last = target.read_line()
            self.assertRegex(last, r"^DONE wrong=0 ")
            self.assertEqual(target.process.wait(support.PATIENCE_S), 0)
        profile = document["profile"]
        self.assertEqual(profile["snapshots"], count)
        seen, samples, alternating, cut = set(), 0, 0, 0
        for stack in profile["stacks"]:
            frames = [profile["frames"][index] for index in stack["frames"]]
            frames = [frame for frame in frames if frame["kind"] == "python"]
            names = [frame["function"] for frame in frames]
            if None in names or names and names[-1] not in OUTERMOST:
                cut += stack["samples"]
            if not names:
                continue
            self.check_stack(names, [frame["file"] for frame in frames])
            seen.add(tuple(names))
            samples += stack["samples"]
            alternating += stack["samples"] if "alternate" in names else 0
        self.assertGreater(alternating, count * 0.9)
        self.assertLessEqual(cut, samples * CUT_SHARE.get(name, 0.002))
        # A thread that is about to start or to end may have no frame that could be read.
        told = [note for note in document["notes"] if "the stack is known only so far" in note]
        self.assertTrue(document["source"]["complete"] or cut or told, document["notes"])
        self.assertGreater(len(seen), count // 30)  # how many depends on how busy the machine is
        # Neither while files are read in the beginning, nor while the report is made.
        part = max(1, len(sizes) // 10)
        early, late = (statistics.median(sizes[part:4 * part]), statistics.median(sizes[6 * part:9 * part]))
        print("%s: %d snapshots, %d samples, %d distinct stacks, %d of the alternating thread; "
              "cut %d; missed %d; resident %d KiB in the first half, %d KiB in the second; target: %s"
              % (name, count, samples, len(seen), alternating, cut, profile["missed"], early, late,
                 last))
        # The table of distinct stacks may still grow, in proportion to what there is to tell.
        self.assertLess(late, early * 1.5 + 8192)
        return document

    def test_impossible_stacks(self):
        for name in VERSIONS:
            with self.subTest(python=name):
                self.check_python(name, SNAPSHOTS)


if __name__ == "__main__":
    unittest.main()
