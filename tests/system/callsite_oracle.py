# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares src/cpython/callsite*.c with what real interpreters do.

    PYCORE_PYTHONS=/a/python3.6:/b/python3.14 tests/system/callsite_oracle.py [--traced N]

Builds the C files as a shared library and runs callsite_probe.py inside each interpreter (without
PYCORE_PYTHONS: every python3.6 .. python3.15 on PATH). Exit 77: no interpreter or no compiler.
"""
import argparse
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PROBE = os.path.join(HERE, "callsite_oracle_probe.py")


def interpreters():
    listed = os.environ.get("PYCORE_PYTHONS")
    if listed:
        return [path for path in listed.split(":") if path]
    return [path for path in (shutil.which("python3.%d" % minor) for minor in range(6, 16))
            if path]


def build(directory):
    """The shared library of callsite*.c, None without a compiler."""
    compiler = os.environ.get("CC", "cc").split()
    if not shutil.which(compiler[0]):
        return None
    library = os.path.join(directory, "libcallsite.so")
    sources = sorted(glob.glob(os.path.join(TOP, "src", "cpython", "callsite*.c")))
    subprocess.run(compiler + ["-std=gnu11", "-O2", "-g", "-fPIC", "-shared",
                               "-I" + os.path.join(TOP, "include"), "-I" + os.path.join(TOP, "src"),
                               "-o", library] + sources, check=True)
    return library


def run(python, library, traced):
    """The probe's counts, or None when it died; its complaints go to standard error."""
    try:
        done = subprocess.run([python, "-B", "-W", "ignore", PROBE, library, str(traced)],
                              stdout=subprocess.PIPE, universal_newlines=True, timeout=300)
    except subprocess.TimeoutExpired:
        print("%s: the probe took more than 300 s" % python, file=sys.stderr)
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        print("%s: the probe ended with status %d" % (python, done.returncode), file=sys.stderr)
        return None
    return json.loads(lines[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--traced", type=int, default=100000,
                        help="instructions to single-step in each interpreter")
    traced = parser.parse_args().traced
    pythons = interpreters()
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        library = build(directory)
        if not library or not pythons:
            print("1..0 # SKIP no %s" % ("interpreter" if library else "compiler"))
            return 77
        print("1..%d" % len(pythons))
        for number, python in enumerate(pythons, 1):
            counts = run(python, library, traced)
            good = counts is not None and not counts["failures"]
            failures += not good
            print("%s %d - %s" % ("ok" if good else "not ok", number, python))
            for key, value in sorted((counts or {}).items()):
                print("#   %s: %s" % (key, value))
            sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
