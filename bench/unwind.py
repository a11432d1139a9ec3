#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one native frame costs: pycore's rows of evaluated call frame information, cold and warm,
beside libdwfl over the same memory, in one run.

    bench/unwind.py [--python 3.8,3.12,3.15] [--threads 100] [--rounds 50] [--dump PATH]

Makes a kernel core of a Python program of --threads threads for each interpreter (needs a
core_pattern that writes a file into the working directory) and has tests/tools/unwind_dump unwind
all of them: once with empty caches, then --rounds times. It compares the two stacks of each thread
frame for frame, too, and its exit status is 1 when they differ. `make check TESTS=` or `make
tests/tools/unwind_dump` builds it; --dump or PYCORE (the program beside it) says where it is.
Takes about 5 s for each Python.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import analyze
import common


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.8,3.12,3.15")
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--dump", default=os.path.join(
        os.path.dirname(common.default_pycore()), "tests", "tools", "unwind_dump"))
    options = parser.parse_args()
    if not os.access(options.dump, os.X_OK):
        raise SystemExit("%s is not built: make tests/tools/unwind_dump" % options.dump)
    status = 0
    for python in common.find_pythons(options.python.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            core = analyze.make_core(python, 0, options.threads, folder)
            done = subprocess.run([options.dump, core, "--quiet", "--bench", str(options.rounds)],
                                  stdout=subprocess.PIPE, check=False)
            print("%s\n  %s" % (common.version_of(python),
                                done.stdout.decode().strip().replace("\n", "\n  ")), flush=True)
            status |= done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
