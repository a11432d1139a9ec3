#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the stated 95 % intervals hold the truth in 95 % of the runs?

A target burns CPU time in three functions in a known split (70/20/10) in two threads; pycore
profiles it again and again; the share of runs whose interval [self_low, self_high] holds the
designed share is printed for each function, with the mean width of the interval.

    bench/coverage.py [--pycore PATH] [--python PATH] [--runs 200] [-n 50] [-i 20ms] [--mode MODE]

Modes: split    each function runs for a few milliseconds, in random order
       phases   each for 0.6-1.4 s at 200 ms intervals (scaled with -i), in random order
       periodic one cycle of all three is exactly the interval
A run takes n x i. Binomial noise of 200 runs at 95 % is +-1.5 points (one standard deviation).
"""
import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time

SHARES = {"seventy": 0.70, "twenty": 0.20, "ten": 0.10}


def seventy(end):
    while time.thread_time() < end:
        pass


def twenty(end):
    while time.thread_time() < end:
        pass


def ten(end):
    while time.thread_time() < end:
        pass


def burn(mode, interval_s):
    """One thread's work for ever: spends its own CPU time in the three functions by their shares."""
    rng = random.Random(threading.get_ident())
    calls = {"seventy": seventy, "twenty": twenty, "ten": ten}
    spent = time.thread_time()
    while True:
        if mode == "phases":
            # Which function comes next is drawn by its share, so that phases of equal mean length
            # add up to the split.
            name = rng.choices(list(SHARES), list(SHARES.values()))[0]
            # The clock is the thread's own; two threads share the GIL, so it runs at half speed.
            order = [(name, rng.uniform(3, 7) * interval_s / 2)]
        elif mode == "periodic":
            order = [(name, share * interval_s) for name, share in SHARES.items()]
        else:
            name = rng.choices(list(SHARES), list(SHARES.values()))[0]
            order = [(name, rng.uniform(0.001, 0.004))]
        for name, seconds in order:
            spent += seconds
            calls[name](spent)


def target(mode, interval_s):
    # "periodic" must keep its period: one thread works, the other one sleeps.
    workers = 1 if mode == "periodic" else 2
    for _ in range(workers):
        threading.Thread(target=burn, args=(mode, interval_s), daemon=True).start()
    print("READY", flush=True)
    sys.stdin.read()


def run_once(pycore, pid, count, interval):
    out = subprocess.run([pycore, "snap", str(pid), "-n", str(count), "-i", interval, "-f", "json",
                          "-q"], stdout=subprocess.PIPE, check=True).stdout
    profile = json.loads(out)["profile"]
    # A function that was never seen has an interval, too.
    bounds = dict.fromkeys(SHARES, (0.0, profile["unseen_high"]))
    for function in profile["functions"]:
        # The clock call inside of a function is part of its time: `total` counts it.
        if function["function"] in SHARES and function["file"].endswith("coverage.py"):
            bounds[function["function"]] = (function["total_low"], function["total_high"])
    return bounds


def seconds_of(interval):
    for unit, scale in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if interval.endswith(unit):
            return float(interval[:-len(unit)]) * scale
    raise SystemExit("an interval has a unit: 20ms")


def measure(args):
    interval_s = seconds_of(args.i)
    command = [args.python, os.path.abspath(__file__), "--target", args.mode, str(interval_s)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    held = dict.fromkeys(SHARES, 0)
    width = dict.fromkeys(SHARES, 0.0)
    try:
        for _ in range(args.runs):
            bounds = run_once(args.pycore, process.pid, args.n, args.i)
            for name, share in SHARES.items():
                low, high = bounds[name]
                held[name] += low <= share <= high
                width[name] += high - low
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
    print("%d runs of %d x %s, %s:" % (args.runs, args.n, args.i, args.mode))
    for name, share in SHARES.items():
        print("  %-8s true %.2f  held in %5.1f %%  mean width %.3f"
              % (name, share, 100.0 * held[name] / args.runs, width[name] / args.runs))


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--target":
        return target(sys.argv[2], float(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycore", default=os.environ.get("PYCORE", "./pycore"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("-i", default="20ms")
    parser.add_argument("--mode", choices=("split", "phases", "periodic"), default="split")
    return measure(parser.parse_args())


if __name__ == "__main__":
    main()
