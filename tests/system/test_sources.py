#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree keeps its own promises: complete source lists, licence lines, nothing forgotten."""

import os
import subprocess

import support

IDENTIFIER = "SPDX-License-Identifier: GPL-3.0-or-later"


def tree(*tops):
    for top in tops:
        for folder, folders, names in os.walk(support.path(top)):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(names):
                yield os.path.join(folder, name)


class Sources(support.TestCase):
    def test_lists_in_makefile(self):
        """'make update-sources' (tests/tools/source-lists.sh --write) mends this."""
        done = subprocess.run(["sh", support.path("tests/tools/source-lists.sh"), "--check",
                               support.SRCDIR], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, "Makefile.am does not list what is in the tree:\n" +
                         done.stdout.decode())

    def test_licence_lines(self):
        faults = []
        for file in tree("src", "include", "tests", "examples"):
            if file.endswith((".c", ".h", ".def", ".py", ".sh")):
                with open(file, encoding="utf-8") as stream:
                    head = stream.readline() + stream.readline()
                if IDENTIFIER not in head:
                    faults.append(os.path.relpath(file, support.SRCDIR))
        self.assertEqual(faults, [], "no %s in the first two lines" % IDENTIFIER)


if __name__ == "__main__":
    import tap
    tap.main()
