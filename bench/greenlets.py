#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to read many greenlets.

    bench/greenlets.py [--counts 0,1000,10000] [--python 3.12]... [--packages DIR] [--pycore PATH]
                       [--json FILE]

The target: N greenlets, each suspended below six calls of Python. Columns: the time and processor
time of one `pycore snap -f json` to the end, the same for the run with none taken off and divided by
N, and how large the capture gets.

--packages is a folder that holds greenlet (tests/tools/get-packages); without it the interpreter's
own is taken. Takes about 5 s for each Python and count. Needs root or kernel.yama.ptrace_scope=0.
"""

import argparse
import json
import os
import subprocess
import tempfile

import common

PROGRAM = os.path.join(common.TOP, "tests", "programs", "greenlets.py")


def measure(options, python, count, meter, folder):
    """Spent of a snapshot, and the bytes of a capture."""
    environment = dict(os.environ)
    if options.packages:
        environment["PYTHONPATH"] = options.packages
    process = subprocess.Popen([python, PROGRAM, os.path.join(folder, "said"), "many", str(count)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
    try:
        if process.stdout.readline() != b"READY\n":
            raise SystemExit("the target does not start: is greenlet there?")
        snap = [options.pycore, "snap", str(process.pid), "-q", "-f", "json", "-o",
                os.path.join(folder, "out.json")]
        best = min((meter.run(snap) for _ in range(3)), key=lambda done: done.cpu_seconds)
        capture = os.path.join(folder, "run.pycore")
        meter.run(snap + ["--save", capture])
        return best, os.path.getsize(capture)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", default="0,1000,10000")
    parser.add_argument("--python", action="append")
    parser.add_argument("--packages")
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--json")
    options = parser.parse_args()
    raw = []
    print("%-8s %9s %9s %9s %13s %13s" % ("Python", "greenlets", "seconds", "CPU s",
                                          "us/greenlet", "capture KiB"))
    meter = common.Meter()
    with tempfile.TemporaryDirectory() as folder:
        for python in common.find_pythons(options.python or ["3.12", "3.8"]):
            version, base = common.version_of(python), None
            for count in map(int, options.counts.split(",")):
                spent, size = measure(options, python, count, meter, folder)
                base = base or spent
                each = 1e6 * (spent.cpu_seconds - base.cpu_seconds) / max(1, count)
                print("%-8s %9d %9.2f %9.2f %13.1f %13.0f" % (
                    version, count, spent.seconds, spent.cpu_seconds, each, size / 1024),
                      flush=True)
                raw.append([version, count, spent.seconds, spent.cpu_seconds, size])
    if options.json:
        with open(options.json, "w") as stream:
            json.dump(raw, stream)


if __name__ == "__main__":
    main()
