#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot costs pycore itself, and whether the sampling loop keeps up.

    bench/decode.py [--threads 1,20,200,500] [--depth 20] [--python 3.12]... [--snapshots 200]
                    [--intervals 10ms,1ms] [--pycore PATH] [--py-spy PATH] [--json FILE]

The target: N threads, of which one computes in Python and the others are blocked below --depth
Python calls. First table: processor time per snapshot, as the difference between a run of many and
one of few snapshots (so opening the process and reading its symbols, which are in the column
`start`, do not count), with native stacks, without, and with all threads blocked (scene `still`:
nothing runs, so nothing has to be read again). py-spy, when installed, by the same difference.
Second table: 20 threads at each of --intervals: the rate that was reached, missed ticks, pycore's
share of one processor, its median and largest pause by its own count.

Takes about 10 s for each Python and number of threads. Needs root or kernel.yama.ptrace_scope=0.
"""

import argparse
import json
import os
import subprocess
import tempfile

import common

TARGET = """
import sys, threading, time
blocked, depth, busy = map(int, sys.argv[1:])
lock = threading.Lock()
lock.acquire()

def wait(how, depth):
    if depth:
        return wait(how, depth - 1)
    if how:
        time.sleep(100000)
    lock.acquire()

def leaf(n):
    return n * n

def compute(depth):
    if depth:
        return compute(depth - 1)
    while True:
        sum([leaf(i) for i in range(10)])

for number in range(blocked):
    threading.Thread(target=wait, args=(number % 2, depth), daemon=True).start()
time.sleep(0.3)
print("READY")
sys.stdout.flush()
compute(depth) if busy else wait(1, depth)
"""

FEW = 10


class Target:
    """The program, for as long as a `with` lasts."""

    def __init__(self, python, threads, depth, busy):
        self.command = [python, "-c", TARGET, str(threads - 1), str(depth), str(int(busy))]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"READY\n":
            raise SystemExit("the target does not start")
        return self.process.pid

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def spent(meter, command):
    done = meter.run(command)
    if done is None or done.status not in (0, 1):
        return None
    return done


def cost(meter, command, few, many):
    """CPU ms per snapshot, and of the start; None when it cannot look. few, many: snapshots."""
    short, long = spent(meter, command(few)), spent(meter, command(many))
    if not short or not long:
        return None
    each = max(0, long.cpu_seconds - short.cpu_seconds) / (many - few)
    return 1e3 * each, 1e3 * max(0, short.cpu_seconds - few * each), long.peak_mib


def costs(options, python, threads, meter, output):
    """Yields scene, tool, cost."""
    def snap(pid, *more):
        return lambda count: [options.pycore, "snap", str(pid), "-n", str(count), "-i", "10ms",
                              "-q", "-f", "json", "-o", output, *more]

    def spy(pid, *more):  # 50 a second, in whole seconds
        return lambda count: [options.py_spy, "record", "-i", "-d", str(count // 50), "-r", "50",
                              "-f", "raw", "-o", output, "-p", str(pid), *more]

    for scene in ("busy", "still"):
        with Target(python, threads, options.depth, scene == "busy") as pid:
            yield scene, "pycore", cost(meter, snap(pid), FEW, options.snapshots)
            yield scene, "pycore -n", cost(meter, snap(pid, "--no-native"), FEW, options.snapshots)
            if options.py_spy and scene == "busy" and threads <= 200:
                yield scene, "py-spy", cost(meter, spy(pid), 50, 150)
                yield scene, "py-spy -n", cost(meter, spy(pid, "--native"), 50, 150)


def first_table(options, meter, output, raw):
    print("%-8s %4s %-6s %-10s %12s %9s %9s %9s" % ("Python", "thr", "scene", "tool",
                                                    "ms/snapshot", "us/thread", "start ms",
                                                    "peak MiB"))
    for python in options.python:
        version = common.version_of(python)
        for threads in map(int, options.threads.split(",")):
            for scene, tool, result in costs(options, python, threads, meter, output):
                line = "%-8s %4d %-6s %-10s " % (version, threads, scene, tool)
                print(line + ("%12.3f %9.1f %9.1f %9.1f" % (
                    result[0], 1e3 * result[0] / threads, result[1], result[2])
                              if result else "cannot look at it"), flush=True)
                raw.append([version, threads, scene, tool, result])


def second_table(options, meter, output, raw):
    print("\n%-8s %4s %9s %9s %9s %9s %8s %10s %8s" % ("Python", "thr", "interval", "wanted/s",
                                                      "reached/s", "missed", "CPU", "median ms",
                                                      "max ms"))
    for python in options.python:
        version = common.version_of(python)
        for interval in options.intervals.split(","):
            with Target(python, 20, options.depth, True) as pid:
                done = spent(meter, [options.pycore, "snap", str(pid), "-i", interval, "-d", "3s",
                                     "-q", "-f", "json", "-o", output])
            if not done:
                print("%-8s %4d %9s  failed" % (version, 20, interval))
                continue
            with open(output) as stream:
                profile = json.load(stream)["profile"]
            row = (1e9 / profile["interval_ns"],
                   profile["snapshots"] / (profile["duration_ns"] / 1e9), profile["missed"],
                   100 * profile.get("own_cpu_share", 0), profile["pause_median_ns"] / 1e6,
                   profile["pause_max_ns"] / 1e6)
            print("%-8s %4d %9s %9.0f %9.1f %9d %6.1f %% %10.3f %8.3f"
                  % (version, 20, interval, *row), flush=True)
            raw.append([version, 20, interval, *row])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--python", action="append", help="path or version, may be repeated")
    parser.add_argument("--threads", default="1,20,200,500")
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--snapshots", type=int, default=200)
    parser.add_argument("--intervals", default="10ms,1ms")
    parser.add_argument("--py-spy")
    parser.add_argument("--json", help="all numbers go there")
    options = parser.parse_args()
    options.python = common.find_pythons(options.python or ["3.8", "3.12", "3.15"])
    options.py_spy = common.find_peer(options.py_spy, "py-spy")
    meter, raw = common.Meter(), []
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, "output")
        first_table(options, meter, output, raw)
        second_table(options, meter, output, raw)
    if options.json:
        with open(options.json, "w") as stream:
            json.dump(raw, stream)


if __name__ == "__main__":
    main()
