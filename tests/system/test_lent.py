#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has what a pool lends, and that workers who wait for work are none that starve."""

import os
import subprocess
import tempfile

import support
import tap

PROGRAM = support.path("tests/programs/lent.py")
LIMIT_S = 900


class Lent(support.TestCase):
    def check(self, document, name, starved):
        found = [finding for finding in document["findings"]
                 if finding["id"] in ("pool-exhausted", "root-blocker", "deadlock")
                 and ("slow" in finding["title"] or finding["severity"] == "high")]
        if not starved:
            self.assertEqual(found, [], name)
            return
        self.assertEqual(len(found), 1, (name, document["findings"]))
        self.assertEqual(found[0]["severity"], "high", found)
        self.assertIn("4 of 6 threads", found[0]["title"], name)
        self.assertRegex(found[0]["title"], "`slow`.*called by `.*query`", name)

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_all(self, python):
        listed = subprocess.run([python.path, PROGRAM, "list"], stdout=subprocess.PIPE, check=True)
        names, starved = (line.split() for line in listed.stdout.decode().splitlines())
        for name in names:
            with support.start_target(python, PROGRAM, name, still=True) as target, \
                    tempfile.TemporaryDirectory() as folder:
                capture = os.path.join(folder, "capture")
                live = support.pycore_json("snap", target.pid, "--save", capture, ok=(0, 1))
                self.check(live, name, name in starved)
                self.check(support.pycore_json("analyze", capture, ok=(0, 1)), name,
                           name in starved)


if __name__ == "__main__":
    tap.main()
