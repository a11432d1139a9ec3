#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What 30 blocking calls return while pycore looks, against a control that nobody looks at.

    bench/blocking.py [--snapshots 10000] [--interval 20ms] [--python 3.12] [--pycore PATH]
                      [--options "--stop=all"] [--json FILE]
                      [--peer "py-spy record -r 50 -d {seconds} -f raw -o FILE -p {pid}"]

Two Python processes run side by side for the same time, each with one thread in each of the calls
of tests/programs/harm_blocking.c (timeouts of 50 ms, or woken each 50 ms). pycore takes its
snapshots of the one; the other is the control, under the same load of the machine. Prints for each
call how often it returned which errno, how often before its time, and its lateness (median / 99th
percentile / maximum, in us) in both, and marks the calls whose errno values differ in kind. An
EINTR where the control has none is harm: a signal's, or a stop's. Signals sent and taken are
counted, and the exit statuses told. Exit status 1 when anything but lateness differs.

--options gives pycore more options; --peer looks with another program instead. Takes the snapshots'
time: 200 s for 10,000 at 20 ms. Needs a C compiler, and root or kernel.yama.ptrace_scope=0.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import tempfile
import time

import common

SOURCE = os.path.join(common.TOP, "tests", "programs", "harm_blocking.c")

TARGET = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1])
if library.harm_blocking_start():
    sys.exit("cannot start")
print("READY")
sys.stdout.flush()
sys.stdin.readline()
library.harm_blocking_stop()
library.harm_blocking_report(1)
"""


def start(python, library):
    process = subprocess.Popen([python, "-c", TARGET, library], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, universal_newlines=True)
    if process.stdout.readline() != "READY\n":
        raise SystemExit("the target does not start")
    return process


def finish(process):
    """{call: {"count": n, "errno": {name: n}, "early": n, "late_us": [p50, p99, max]}}, status."""
    out, _ = process.communicate("\n", timeout=60)
    calls = {}
    for line in out.splitlines():
        name, _, rest = line.partition(" ")
        fields = dict(re.findall(r"(\w+)=(\S+)", rest))
        if "errno" in fields:
            fields["errno"] = {key: int(n) for key, n in (
                pair.split(":") for pair in fields["errno"].split(",") if pair)}
            fields["late_us"] = [int(part) for part in fields["late_us"].split("/")]
        calls[name] = {key: int(value) if isinstance(value, str) and value.isdigit() else value
                       for key, value in fields.items()}
    return calls, process.returncode


def show(errnos):
    return " ".join("%s:%d" % item for item in sorted(errnos.items()))


def print_table(watched, control):
    """How many calls differ."""
    differences = 0
    print("%-16s %-32s %-32s %-20s %-20s" % ("call", "errno watched", "errno control",
                                             "late us watched", "late us control"))
    for name, row in watched.items():
        other = control[name]
        if "errno" not in row:
            print("%-16s %s" % (name, " ".join("%s=%s" % item for item in row.items())))
            continue
        differs = set(row["errno"]) != set(other["errno"]) or row["early"] > other["early"]
        differences += differs
        print("%-16s %-32s %-32s %-20s %-20s%s%s" % (
            name, show(row["errno"]), show(other["errno"]), "/".join(map(str, row["late_us"])),
            "/".join(map(str, other["late_us"])),
            "  early %d, %d" % (row["early"], other["early"]) if row["early"] or other["early"]
            else "", "  <-- differs" if differs else ""))
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--python", default="3.12", help="path or version")
    parser.add_argument("--snapshots", type=int, default=10000)
    parser.add_argument("--interval", default="20ms")
    parser.add_argument("--options", default="", help="more for pycore")
    parser.add_argument("--peer", help="another program's command, with {pid} and {seconds}")
    parser.add_argument("--json", help="the counts go there")
    options = parser.parse_args()
    python = common.find_pythons([options.python])[0]
    number, unit = re.match(r"([\d.]+)(\w+)", options.interval).groups()
    seconds = options.snapshots * float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6}[unit]
    with tempfile.TemporaryDirectory() as folder:
        library = common.build(SOURCE, os.path.join(folder, "blocking.so"), shared=True)
        watched, control = start(python, library), start(python, library)
        output = os.path.join(folder, "report.json")
        if options.peer:
            words = {"pid": watched.pid, "seconds": round(seconds)}
            command = [part.format(**words) for part in shlex.split(options.peer)]
        else:
            command = [options.pycore, "snap", str(watched.pid), "-n", str(options.snapshots), "-i",
                       options.interval, "-q", "-f", "json", "-o", output,
                       *shlex.split(options.options)]
        begin = time.monotonic()
        looked = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        took = time.monotonic() - begin
        (rows, status), (control_rows, control_status) = finish(watched), finish(control)
        print("Python %s, %s: %.0f s, exit status %d" % (
            common.version_of(python), os.path.basename(command[0]), took, looked.returncode))
        differences = print_table(rows, control_rows)
        profile = {}
        if os.path.exists(output):
            with open(output) as stream:
                profile = json.load(stream)["profile"]
            wanted = ("snapshots", "missed", "threads_stopped", "interrupted_calls", "overruns",
                      "pause_median_ns", "pause_p95_ns", "pause_max_ns", "own_cpu_share")
            print("pycore says: " + ", ".join("%s %s" % (key, profile[key]) for key in wanted
                                              if key in profile))
    eintr = {name: sum(row["errno"].get("EINTR", 0) for call, row in table.items()
                       if call != "sigsuspend" and "errno" in row)
             for name, table in (("watched", rows), ("control", control_rows))}
    print("EINTR: %(watched)d watched, %(control)d control (sigsuspend's own aside)" % eintr)
    signals = [table["signals"]["sent"] - table["signals"]["taken"]
               for table in (rows, control_rows)]
    print("signals lost: %d watched, %d control; exit status %d, %d" % (
        signals[0], signals[1], status, control_status))
    if options.json:
        with open(options.json, "w") as stream:
            json.dump({"watched": rows, "control": control_rows, "profile": {
                key: value for key, value in profile.items() if isinstance(value, (int, float))}},
                      stream, indent=1)
    raise SystemExit(1 if differences or signals != [0, 0] or status or control_status
                     or looked.returncode not in (0, 1) else 0)


if __name__ == "__main__":
    main()
