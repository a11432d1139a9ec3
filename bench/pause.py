#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long does a target stand still for one snapshot, as the target itself sees it?

usage: bench/pause.py [--pycore PATH] [--python PATH]... [--threads N]... [--seconds S]
                      [--py-spy PATH] [--pystack PATH]

Starts an idle Python program of N threads (1, 20, 100; each sleeps, or waits for a lock or a socket
below 20 calls) that also runs bench/pause.c: a thread that spins on the clock and writes down when
it was stopped. Then pycore looks at it 50 times a second, and in the same run whichever of these
are there: py-spy record, Tachyon (python3.15 -m profiling.sampling attach --blocking), and pystack
remote, which is started anew for each of its snapshots. Prints median, 95th percentile and maximum
of the pauses, and the ratio of the medians to pycore's. A profiler that does not stop its target
has no pauses. Processor contention makes every pause longer: run it on a quiet machine.

Needs a C compiler (CC, default cc), and root or kernel.yama.ptrace_scope=0.
"""

import argparse
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RATE_HZ = 50

TARGET = """
import ctypes, socket, sys, threading, time
library, record, count = sys.argv[1:]
lock = threading.Lock()
lock.acquire()

def wait(how, depth):
    if depth:
        return wait(how, depth - 1)
    if how == 0:
        time.sleep(100000)
    elif how == 1:
        lock.acquire()
    else:
        socket.socketpair()[0].recv(1)

for number in range(int(count) - 1):
    threading.Thread(target=wait, args=(number % 3, 20), daemon=True).start()
time.sleep(0.3)
if ctypes.CDLL(library).start_watcher(record.encode()):
    sys.exit("no watcher")
print("READY")
sys.stdout.flush()
wait(0, 20)
"""


class Tool:
    """One profiler: its name, and how to look at a process for some seconds."""

    def __init__(self, name, command, repeat=False):
        self.name, self.command, self.repeat = name, command, repeat

    def look(self, pid, seconds, folder):
        """False when it could not."""
        count = max(1, round(seconds * RATE_HZ))
        words = {"pid": pid, "seconds": seconds, "whole_seconds": max(1, round(seconds)),
                 "count": count, "output": os.path.join(folder, "output"), "rate": RATE_HZ}
        command = [part.format(**words) for part in self.command]
        end = time.monotonic() + seconds
        while True:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE)
            if done.returncode:
                message = done.stderr.decode("utf-8", "replace").strip().splitlines()
                print("    %s failed: %s" % (self.name, message[-1] if message else "?"),
                      file=sys.stderr)
                return False
            if not self.repeat or time.monotonic() > end:
                return True


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(python, threads, tools, seconds, library, folder):
    record = os.path.join(folder, "record")
    if os.path.exists(record):
        os.unlink(record)
    target = subprocess.Popen([python, "-c", TARGET, library, record, str(threads)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if target.stdout.readline() != b"READY\n":
            raise SystemExit("the target does not start")
        with open(record, "rb") as stream:
            memory = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
        rows = []
        for tool in tools:
            time.sleep(0.2)
            first = struct.unpack_from("Q", memory)[0]
            worked = tool.look(target.pid, seconds, folder)
            last = struct.unpack_from("Q", memory)[0]
            gaps = struct.unpack_from("%dQ" % (last - first), memory, 16 + 8 * first)
            rows.append((tool, [gap / 1e6 for gap in gaps] if worked else None))
        return rows
    finally:
        target.send_signal(signal.SIGKILL)
        target.wait()
        target.stdout.close()


def print_rows(version, threads, rows):
    base = None
    for tool, gaps in rows:
        line = "%-8s %7d  %-16s" % (version, threads, tool.name)
        if gaps is None:
            print(line + "  cannot look at it")
        elif not gaps:
            print(line + "       0  (never stopped)")
        else:
            median = percentile(gaps, 0.5)
            base = base or median
            print(line + " %7d %9.3f %9.3f %9.3f %8.1f" % (
                len(gaps), median, percentile(gaps, 0.95), max(gaps), median / base))
    sys.stdout.flush()


def version_of(python):
    return subprocess.run([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"],
                          stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def find_tools(options, version):
    tools = [Tool("pycore", [options.pycore, "snap", "{pid}", "-n", "{count}", "-i", "20ms", "-q",
                             "-o", "{output}"])]
    if options.py_spy:
        tools.append(Tool("py-spy", [options.py_spy, "record", "-d", "{whole_seconds}", "-r",
                                     "{rate}", "-f", "raw", "-o", "{output}", "-p", "{pid}"]))
    if options.pystack:
        tools.append(Tool("pystack", [options.pystack, "remote", "{pid}"], repeat=True))
    for python in options.python:
        if version.startswith("3.15") and version_of(python) == version:
            tools.append(Tool("Tachyon", [python, "-m", "profiling.sampling", "attach",
                                          "--blocking", "-a", "-r", "{rate}", "-d",
                                          "{whole_seconds}", "--collapsed", "-o", "{output}",
                                          "{pid}"]))
            break
    return tools


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    built = os.path.join(os.path.dirname(HERE), "build", "pycore")
    parser.add_argument("--pycore", default=built if os.path.exists(built) else "pycore")
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--threads", type=int, action="append", default=[])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--py-spy", default=shutil.which("py-spy"))
    parser.add_argument("--pystack", default=shutil.which("pystack"))
    options = parser.parse_args()
    if not options.python:
        options.python = [path for path in map(shutil.which, ("python3.8", "python3.12",
                                                              "python3.15")) if path]
    if not options.python:
        options.python = [sys.executable]
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "pause.so")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-pthread", "-o",
                        library, os.path.join(HERE, "pause.c")], check=True)
        print("%-8s %7s  %-16s %7s %9s %9s %9s %8s" % (
            "Python", "threads", "tool", "pauses", "median ms", "p95 ms", "max ms", "ratio"))
        for python in options.python:
            version = version_of(python)
            for threads in options.threads or (1, 20, 100):
                print_rows(version, threads, measure(python, threads, find_tools(options, version),
                                                     options.seconds, library, folder))


if __name__ == "__main__":
    main()
