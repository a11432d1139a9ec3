# SPDX-License-Identifier: GPL-3.0-or-later
"""Cores: pycore says of every thread what the interpreter itself said before it was dumped."""

import os
import shutil
import subprocess

import oracle
import support
import tap

BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")
LIMIT_S = 600


class OracleCore(support.TestCase):
    @support.each_python(builds=BUILDS, every_debug=True)
    def test_kernel_core(self, python):
        """os.abort() in the main thread, while all others wait."""
        oracle.need_kernel_cores()
        with oracle.situations(python) as (target, folder, expected):
            core = oracle.make_core(target, folder)
            document = support.pycore_json("analyze", core, ok=(0, 1), timeout=120)
            # It has moved on to the other call of its line.
            expected["MainThread"]["calls"] = {"main": "{built-in method posix.abort}"}
            expected["MainThread"]["frames"][0][4] = "any"
            problems = oracle.compare(document, expected, python, running="MainThread")
            self.assertFalse(bool(problems), "\n  " + problems)
            self.assertEqual(document["source"]["signal"]["name"], "SIGABRT")
            self.assertEqual(document["source"]["signal"]["tid"], target.pid)
            problems = oracle.compare_faulthandler(document, expected,
                                                   os.path.join(folder, "faulthandler.txt"))
            self.assertFalse(bool(problems), "\n  " + problems)

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_gcore(self, python):
        """gdb's gcore of the living process."""
        gcore = shutil.which("gcore")
        if not gcore:
            self.skipTest("no gcore on this machine")
        with oracle.situations(python) as (target, folder, expected):
            core = os.path.join(folder, "gcore")
            done = subprocess.run([gcore, "-o", core, str(target.pid)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                                  env=support.clean_environment())
            # gdb gives up a whole stack when it meets guard pages made with MADV_GUARD_INSTALL
            # (glibc 2.42), and writes zeros in its place.
            lost = [line for line in done.stdout.decode("utf-8", "replace").splitlines()
                    if "Memory read failed" in line and "0xffffffffff600000" not in line]
            if lost:
                self.skipTest("this gdb cannot read all of that process: %s" % lost[0])
            core += ".%d" % target.pid
            if not os.path.exists(core):
                self.skipTest("gcore failed: %s" % done.stdout[-300:].decode("utf-8", "replace"))
            document = support.pycore_json("analyze", core, ok=(0, 1), timeout=120)
            problems = oracle.compare(document, expected, python)
            self.assertFalse(bool(problems), "\n  " + problems)


if __name__ == "__main__":
    tap.main()
