#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wall time, processor time and peak memory of reading a large core, against peers.

    bench/analyze.py [--gib 1,4] [--threads 100] [--runs 3] [--python 3.12] [--seconds 540]
                     [--only pycore,gdb] [--dir DIR] [--core FILE] [--json FILE] [--pycore PATH]
                     [--pystack PATH] [--gdb PATH] [--eu-stack PATH]

For each size makes a process with that many threads below 10 to 39 Python calls and that much heap
and has the kernel dump it (needs a core_pattern that writes a file into the working directory, and
room for the core in --dir). Then pycore, pycore --no-native, pystack core with and without
--native, gdb and eu-stack read the same core in turn, --runs times, out of the page cache; those
of them that are not installed are left out. eu-stack gives no line numbers here, the others do.
Ratios are against pycore's median in the same run. Peak memory is the largest resident set, which
counts the pages of a mapped core, too, for whoever maps it. A reader that takes longer than its
part of --seconds is given up. Exit status 1 when pycore failed.
"""
import argparse
import glob
import json
import os
import resource
import subprocess
import tempfile
import time

import common

TARGET = """
import os, signal, sys, threading, time
heap = [bytes([65 + i % 26]) * (1 << 20) for i in range(int(sys.argv[1]))]
def wait(depth):
    if depth:
        return wait(depth - 1)
    time.sleep(1000)
for i in range(int(sys.argv[2]) - 1):
    threading.Thread(target=wait, args=(10 + i % 30,), daemon=True).start()
time.sleep(1)
os.kill(os.getpid(), signal.SIGABRT)
time.sleep(1000)
"""


def make_core(python, gib, threads, folder):
    subprocess.run([python, "-c", TARGET, str(round(gib * 1024)), str(threads)],
                   cwd=folder, stderr=subprocess.DEVNULL, check=False,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (-1, -1)))
    cores = glob.glob(os.path.join(folder, "core*"))
    if not cores:
        raise SystemExit("no core was written: see /proc/sys/kernel/core_pattern")
    return cores[0]


def commands(options, exe, core):
    """(name, command, whether it gives native stacks); pycore comes first."""
    yield "pycore", [options.pycore, "analyze", core, "-f", "json"], True
    yield "pycore no-native", [options.pycore, "analyze", core, "-f", "json", "--no-native"], False
    if options.pystack:
        yield "pystack native", [options.pystack, "core", core, exe, "--native"], True
        yield "pystack", [options.pystack, "core", core, exe], False
    if options.gdb:
        yield "gdb", [options.gdb, "-batch", "-nx", "-ex", "thread apply all bt", exe, core], True
    if options.eu_stack:
        yield "eu-stack", [options.eu_stack, "-n", "0", "--core", core, "-e", exe], True


def read_all(options, meter, exe, core, seconds):
    """{name: [Spent]}; a reader that failed or took too long has what it did until then."""
    readers = [reader for reader in commands(options, exe, core)
               if not options.only or reader[0] in options.only]
    limit = max(60, seconds / max(1, len(readers)))
    rows = {name: [] for name, _, _ in readers}
    given_up, end = {}, time.monotonic() + seconds
    for number in range(options.runs):
        for name, command, _ in readers:
            if name in given_up or (number and time.monotonic() > end):
                continue
            spent = meter.run(command, limit)
            if spent is None:
                given_up[name] = "no end after %d s" % limit
            elif spent.status not in (0, 1 if name.startswith(("pycore", "eu-stack")) else 0):
                given_up[name] = "exit status %d" % spent.status
            else:
                rows[name].append(spent)
    return rows, given_up, {name: native for name, _, native in readers}


def middle(spents, field):
    return common.median([getattr(spent, field) for spent in spents])


def print_table(rows, given_up, native):
    base = rows.get("pycore")
    print("%-17s %4s %9s %8s %9s %8s %8s %8s" % ("reader", "runs", "median s", "CPU s", "peak MiB",
                                                 "x time", "x CPU", "x memory"))
    for name, spents in rows.items():
        if not spents:
            print("%-17s %s" % (name, given_up.get(name, "did not run")))
            continue
        line = "%-17s %4d %9.3f %8.3f %9.1f" % (name, len(spents), middle(spents, "seconds"),
                                                middle(spents, "cpu_seconds"),
                                                middle(spents, "peak_mib"))
        for field in ("seconds", "cpu_seconds", "peak_mib") if base else ():
            line += " %8.1f" % (middle(spents, field) / max(1e-9, middle(base, field)))
        print(line + ("" if native[name] else "  no native"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--python", default="3.12", help="path or version")
    parser.add_argument("--gib", default="1,4")
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=540, help="for the whole run, about")
    parser.add_argument("--only", help="readers by the table's names, with commas")
    parser.add_argument("--dir", help="where the cores go, for as long as it takes")
    parser.add_argument("--core", help="read this one instead, made by --python")
    parser.add_argument("--json", help="all runs go there")
    for peer in ("pystack", "gdb", "eu-stack"):
        parser.add_argument("--" + peer)
    options = parser.parse_args()
    options.only = options.only and options.only.split(",")
    options.pystack = common.find_peer(options.pystack, "pystack", ("--help",))
    options.gdb = common.find_peer(options.gdb, "gdb")
    options.eu_stack = common.find_peer(options.eu_stack, "eu-stack")
    python = common.find_pythons([options.python])[0]
    exe, meter, raw, failed = os.path.realpath(python), common.Meter(), {}, False
    sizes = [None] if options.core else list(map(float, options.gib.split(",")))
    for gib in sizes:
        with tempfile.TemporaryDirectory(dir=options.dir) as folder:
            core = options.core or make_core(python, gib, options.threads, folder)
            size = os.path.getsize(core) / 2**30
            print("core of Python %s: %.2f GiB, %.2f on disk%s" % (
                common.version_of(python), size, os.stat(core).st_blocks * 512 / 2**30,
                "" if options.core else ", %d threads" % options.threads))
            rows, given_up, native = read_all(options, meter, exe, core,
                                              options.seconds / len(sizes))
            print_table(rows, given_up, native)
        raw["%.2f" % size] = {name: [spent._asdict() for spent in spents]
                              for name, spents in rows.items()}
        failed |= any(name.startswith("pycore") for name in given_up)
    if options.json:
        with open(options.json, "w") as stream:
            json.dump(raw, stream)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
