#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long does a target stand still while it is dumped, as the target itself sees it?

    bench/fork.py [--sizes 1,4] [--pages 4k,huge] [--rounds 3] [--python 3.12] [--threads 12]
                  [--only pycore,gcore] [--folder DIR] [--json FILE] [--pycore PATH] [--gcore PATH]

The target is a Python program with a heap of --sizes GiB, each page of it written once, in pages of
4 KiB or huge ones (madvise(2); a machine without transparent huge pages has but the former). It has
--threads sleeping threads, and its main thread calls bench/pause.c: that spins on the clock and
writes down each gap in which it gave up its processor voluntarily, which a thread that never sleeps
does only when a tracer stops it (see bench/pause.py).

Tools, one after the other, on the same target, in turn for --rounds rounds:
  fork   pycore gcore --fork: a copy-on-write child is dumped while the target runs on
  wait   pycore gcore: the target waits
  gcore  gdb's gcore: the target waits

For each: the longest gap in the target and the sum of all gaps of one dump (with --fork it is
stopped twice, the second time to collect the child), how long the whole dump took, what the core
takes on disk, and by how much the target's resident set has grown afterwards. Medians of the
rounds, and the worst longest gap. After each dump: no child, no zombie, nobody stopped, or the line
says what.

Cores are written to --folder (default: the usual one for temporary files) and deleted at once;
4 GiB of heap need 4.2 GiB there, and 9 GiB of memory. Takes two minutes for 1 GiB, ten for 4 GiB,
most of them gcore's. Needs a C compiler (CC, default cc), and root or kernel.yama.ptrace_scope=0; a
quiet machine.
"""

import argparse
import contextlib
import json
import mmap
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
import time

import common

TARGET = """
import ctypes, mmap, sys, threading, time
library, record, size, huge, threads = sys.argv[1:]
pause = ctypes.CDLL(library)
heap = mmap.mmap(-1, int(size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
libc = ctypes.CDLL(None, use_errno=True)
address = ctypes.addressof(ctypes.c_char.from_buffer(heap))
# 14: MADV_HUGEPAGE, 15: MADV_NOHUGEPAGE
libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(int(size)), 14 if huge == "1" else 15)
for at in range(0, int(size), 4096):
    heap[at:at + 8] = at.to_bytes(8, "little")
for number in range(int(threads)):
    threading.Thread(target=time.sleep, args=(100000,), daemon=True).start()
time.sleep(0.3)
if pause.prepare(record.encode()):
    sys.exit("no record")
print("READY")
sys.stdout.flush()
pause.watch(-1)
"""

MAX_GAPS = 1 << 16


class Target:
    """The Python program, and its record of gaps."""

    def __init__(self, options, size, huge, folder):
        self.record = os.path.join(folder, "record")
        self.process = subprocess.Popen(
            [options.python, "-c", TARGET, options.library, self.record, str(size),
             str(int(huge)), str(options.threads)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE)
        self.pid = self.process.pid
        if self.process.stdout.readline() != b"READY\n":
            raise SystemExit("the target does not start")
        with open(self.record, "rb") as stream:
            self.memory = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
        time.sleep(0.5)

    def count(self):
        return struct.unpack_from("Q", self.memory)[0]

    def gaps_ms(self, first):
        return [struct.unpack_from("Q", self.memory, 16 + 8 * (at % MAX_GAPS))[0] / 1e6
                for at in range(max(first, self.count() - MAX_GAPS), self.count())]

    def rss_mib(self):
        with open("/proc/%d/status" % self.pid) as stream:
            return next(int(line.split()[1]) for line in stream
                        if line.startswith("VmRSS:")) / 1024

    def anonymous_huge_mib(self):
        with open("/proc/%d/smaps_rollup" % self.pid) as stream:
            return next(int(line.split()[1]) for line in stream
                        if line.startswith("AnonHugePages:")) / 1024

    def complaint(self):
        """What is not as it was; "" is best."""
        for tid in os.listdir("/proc/%d/task" % self.pid):
            with open("/proc/%d/task/%s/stat" % (self.pid, tid)) as stream:
                if stream.read().rpartition(")")[2].split()[0] in "tT":
                    return "left stopped"
            with open("/proc/%d/task/%s/children" % (self.pid, tid)) as stream:
                if stream.read().strip():
                    return "left a child"
        return ""

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.memory.close()
        os.unlink(self.record)


def dump(target, command, core):
    """One core: {gap, gaps, seconds, disk, growth, failure}."""
    first, rss, begin = target.count(), target.rss_mib(), time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    seconds = time.monotonic() - begin
    time.sleep(0.2)
    gaps = target.gaps_ms(first)
    disk = 0
    with contextlib.suppress(FileNotFoundError):
        disk = os.stat(core).st_blocks * 512 / (1 << 20)
        os.unlink(core)
    failure = target.complaint()
    if done.returncode or not disk:
        failure = done.stdout.decode("utf-8", "replace").strip().splitlines()[-1:] or ["failed"]
        failure = failure[0][:80]
    return {"gap_ms": max(gaps, default=0), "gaps_ms": sum(gaps), "stops": len(gaps),
            "seconds": seconds, "disk_mib": disk, "growth_mib": target.rss_mib() - rss,
            "failure": failure}


def find_tools(options, folder):
    """[(name, command with {pid}, the core it writes)]"""
    core = os.path.join(folder, "core")
    tools = []
    if options.pycore:
        tools += [("fork", [options.pycore, "gcore", "{pid}", "--fork", "-q", "-o", core], core),
                  ("wait", [options.pycore, "gcore", "{pid}", "-q", "-o", core], core)]
    if options.gcore:
        tools.append(("gcore", [options.gcore, "-o", core, "{pid}"], core + ".{pid}"))
    return [tool for tool in tools if not options.only or tool[0] in options.only]


def measure(options, gib, huge, folder):
    target = Target(options, int(gib * (1 << 30)), huge, folder)
    results = {}
    try:
        if huge and target.anonymous_huge_mib() < gib * 512:
            return None
        for _ in range(options.rounds):
            for name, command, core in find_tools(options, folder):
                words = {"pid": target.pid}
                results.setdefault(name, []).append(
                    dump(target, [part.format(**words) for part in command],
                         core.format(**words)))
    finally:
        target.end()
    return results


def show(gib, pages, results):
    if results is None:
        print("%5g  %-5s  this machine gives no huge pages" % (gib, pages))
        return
    for name, rounds in results.items():
        middle = {key: statistics.median(one[key] for one in rounds)
                  for key in rounds[0] if key != "failure"}
        failures = sorted({one["failure"] for one in rounds} - {""})
        print("%5g  %-5s  %-6s %10.2f %10.2f %10.2f %6.0f %8.2f %9.0f %8.1f  %s" % (
            gib, pages, name, middle["gap_ms"], max(one["gap_ms"] for one in rounds),
            middle["gaps_ms"], middle["stops"], middle["seconds"], middle["disk_mib"],
            middle["growth_mib"], "; ".join(failures)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", default="1,4", help="GiB")
    parser.add_argument("--pages", default="4k,huge")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--threads", type=int, default=12)
    parser.add_argument("--only", default="")
    parser.add_argument("--folder")
    parser.add_argument("--json")
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--gcore", default=shutil.which("gcore"))
    options = parser.parse_args()
    options.only = [name for name in options.only.split(",") if name]
    options.python = common.find_pythons([options.python])[0]
    everything = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        options.library = common.build(os.path.join(common.HERE, "pause.c"),
                                       os.path.join(folder, "pause.so"), shared=True)
        print("%5s  %-5s  %-6s %10s %10s %10s %6s %8s %9s %8s" % (
            "GiB", "pages", "tool", "gap ms", "worst ms", "all ms", "stops", "took s", "disk MiB",
            "RSS MiB"))
        for gib in map(float, options.sizes.split(",")):
            for pages in options.pages.split(","):
                results = measure(options, gib, pages == "huge", folder)
                show(gib, pages, results)
                everything.append({"gib": gib, "pages": pages, "results": results})
    if options.json:
        with open(options.json, "w") as stream:
            json.dump(everything, stream, indent=1)


if __name__ == "__main__":
    main()
