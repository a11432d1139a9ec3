# SPDX-License-Identifier: GPL-3.0-or-later
"""Live processes: pycore says of every thread what the interpreter itself said at that moment."""

import os

import oracle
import support
import tap

BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")


class OracleLive(support.TestCase):
    @support.each_python(builds=BUILDS)
    def test_plain(self, python):
        self.check(python, "plain")

    @support.each_python(builds=BUILDS)
    def test_traced(self, python):
        self.check(python, "traced")

    def check(self, python, mode):
        with oracle.situations(python, mode) as (target, folder, expected):
            document = support.pycore_json("snap", target.pid)
            problems = oracle.compare(document, expected, python)
            self.assertFalse(problems, "\n  " + problems)
            problems = oracle.compare_faulthandler(document, expected,
                                                   os.path.join(folder, "faulthandler.txt"))
            self.assertFalse(problems, "\n  " + problems)


if __name__ == "__main__":
    tap.main()
