#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wall time and peak memory of reading a large core, against whichever peers are installed.

    bench/analyze.py [--pycore PATH] [--python PATH] [--gib 1] [--threads 100] [--runs 3] [--dir DIR]

Makes a process with that many threads and that much heap, has the kernel dump it (needs a
core_pattern that writes a file into the working directory), and times pycore, pystack, gdb and
eu-stack on the same core in turn. Ratios are against pycore's median in the same run.
"""
import argparse
import glob
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

TARGET = """
import os, signal, sys, threading, time
heap = [bytes([65 + i % 26]) * (1 << 20) for i in range(int(sys.argv[1]))]
def wait(depth):
    if depth:
        return wait(depth - 1)
    time.sleep(1000)
for i in range(int(sys.argv[2])):
    threading.Thread(target=wait, args=(10 + i % 30,), daemon=True).start()
time.sleep(1)
os.kill(os.getpid(), signal.SIGABRT)
time.sleep(1000)
"""


def make_core(args, folder):
    subprocess.run([args.python, "-c", TARGET, str(int(args.gib * 1024)), str(args.threads)],
                   cwd=folder, stderr=subprocess.DEVNULL, check=False,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)))
    cores = glob.glob(os.path.join(folder, "core*"))
    if not cores:
        raise SystemExit("no core was written: see /proc/sys/kernel/core_pattern")
    return cores[0]


def timed(command):
    """Seconds and peak KiB of one run; None when it failed."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    return (time.monotonic() - begin, usage.ru_maxrss) if os.WIFEXITED(status) else None


def commands(args, core):
    exe = os.path.realpath(args.python)
    yield "pycore", [args.pycore, "analyze", core, "-f", "json"]
    if shutil.which("pystack"):
        yield "pystack", ["pystack", "core", core, exe]
    if shutil.which("gdb"):
        yield "gdb", ["gdb", "-batch", "-nx", "-ex", "thread apply all bt", exe, core]
    if shutil.which("eu-stack"):
        yield "eu-stack", ["eu-stack", "--core", core, "-e", exe]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycore", default=os.environ.get("PYCORE", "./pycore"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--gib", type=float, default=1)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dir", default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        core = make_core(args, folder)
        print("core: %.2f GiB, %d threads" % (os.path.getsize(core) / 2**30, args.threads))
        rows = {}
        for _ in range(args.runs):
            for name, command in commands(args, core):
                result = timed(command)
                if result:
                    rows.setdefault(name, []).append(result)
        base = sorted(rows["pycore"])[len(rows["pycore"]) // 2]
        print("%-10s %10s %12s %8s %8s" % ("reader", "median s", "peak MiB", "x time", "x memory"))
        for name, results in rows.items():
            seconds, peak = sorted(results)[len(results) // 2]
            print("%-10s %10.3f %12.1f %8.1f %8.1f" % (name, seconds, peak / 1024,
                                                       seconds / base[0], peak / base[1]))


if __name__ == "__main__":
    main()
