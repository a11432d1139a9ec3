#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long does a target stand still for one snapshot, as the target itself sees it?

    bench/pause.py [--seconds 540] [--python 3.12]... [--threads 1,20,200,500]
                   [--scene spin,busy,gil] [--only pycore,floor] [--snapshots 200]
                   [--pin auto|none] [--json FILE]
                   [--pycore PATH] [--py-spy PATH] [--pystack PATH] [--austinp PATH]

The target is a Python program whose main thread, below 20 Python calls, calls bench/pause.c: that
spins on the clock and writes down each gap in which its count of *voluntary* context switches grew.
A thread that never sleeps gives its processor up voluntarily only when a tracer stops it (ptrace's
stop is a sleep, to the kernel); being preempted is involuntary, and not counted. A gap reaches from
the stop to being back on a processor, so it holds also the wait for one.

Scenes, N = --threads:
  spin  the spinner is the one busy thread; N - 1 others are blocked (sleep, lock, socket) below 20
        Python calls. Python never runs, so all stacks stand still.
  busy  one more thread computes in Python, calling and returning: what is read is moving
  gil   20 threads compute, and contend for the GIL; N does not count

The floor, in the same run: bench/floor.c finds the running threads, and seizes, interrupts, waits
for, gets the registers of, and detaches those, nothing else, at the same interval and priority. No
tool that stops running threads and looks at their registers can be below it. Half of it runs before
pycore, half after.

Processors: with --pin auto (default where there are two or more) the spinner has the first one for
itself, the tool the last one, and the target's other threads those between; where there are but
two, they share the second with the tool. Then a gap is how long the tool held the thread, not how
long the thread waited for a processor that the tool or another thread was using, and no tool has
luck or bad luck with where the kernel puts it; a tool that lets itself be preempted by the threads
that it lets go, with others still held, is seen for what it is. All that holds for the floor, too.
With --pin none the kernel places everything: closer to real life, noisier, and on two processors
with scenes busy and gil (three want to run) mostly a measurement of the scheduler. Everything runs
in one session, at one priority.

Tools that loop (pycore, floor, py-spy, austinp, Tachyon) are asked for 50 snapshots a second; each
gap is one pause. pystack, gdb and eu-stack are started anew for each snapshot, so they get few
(see `snaps`, from 3 to 20); a pause is the sum of the gaps of one run. "-n" stands for native
stacks (pycore, gdb, eu-stack and austinp give them anyway; "pycore py" is --no-native); py-spy is
told to show idle threads, too, as all others do. `stops` is pauses per snapshot: below 1 where the
spinner was missed, above where it was stopped again; `mean` is time stopped per snapshot. pycore
says itself: of 5 to 20 further snapshots, how many per cent of all threads were cut or could not
be stopped (`cut`), had a native stack that was not followed to its end (`native cut`), and were not
seen at rest over the whole window (`moved`); how many system calls its stops ended (EINTR). More
than 200 threads are for pycore and the floor alone.

Needs a C compiler (CC, default cc), and root or kernel.yama.ptrace_scope=0; a quiet machine.
"""

import argparse
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

import common

RATE_HZ = 50
PEER_THREADS = 200

TARGET = """
import ctypes, os, socket, sys, threading, time
library, record, blocked, busy, spinner_cpu, other_cpus = sys.argv[1:]
if other_cpus:
    os.sched_setaffinity(0, [int(cpu) for cpu in other_cpus.split(",")])
pause = ctypes.CDLL(library)
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
        here, there = socket.socketpair()
        here.recv(1)

def leaf(n):
    return n * n

def middle(n):
    return sum([leaf(i) for i in range(n)])

def compute(depth):
    if depth:
        return compute(depth - 1)
    while True:
        for n in range(10):
            middle(n)

def spin(depth):
    if depth:
        return spin(depth - 1)
    pause.watch(int(spinner_cpu))

def start(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()

for number in range(int(blocked)):
    start(wait, number % 3, 20)
time.sleep(0.3)
if pause.prepare(record.encode()):
    sys.exit("no record")
for number in range(int(busy)):
    start(compute, number % 10)
print("READY")
sys.stdout.flush()
spin(20)
"""


class Tool:
    """One program that looks: `loop` says that one run takes many snapshots."""

    def __init__(self, name, command, weight=1.0, loop=True, native=True):
        self.name, self.command, self.weight = name, command, weight
        self.loop, self.native = loop, native


class Result:
    """What one tool did to one target."""

    def __init__(self, tool):
        self.tool, self.pauses, self.snapshots, self.failure = tool, [], 0, None
        self.extra = {}


class Target:
    """The Python program, its scene, and its record of gaps."""

    def __init__(self, python, scene, threads, library, folder, cpus):
        self.record = os.path.join(folder, "record")
        self.cpus = cpus
        blocked = {"spin": threads - 1, "busy": threads - 1, "gil": 0}[scene]
        busy = {"spin": 0, "busy": 1, "gil": 20}[scene]
        spinner, others = (cpus[0], cpus[1:-1] or cpus[1:]) if cpus else (-1, [])
        self.process = subprocess.Popen(
            [python, "-c", TARGET, library, self.record, str(blocked), str(busy), str(spinner),
             ",".join(map(str, others))], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        if self.process.stdout.readline() != b"READY\n":
            raise SystemExit("the target does not start")
        with open(self.record, "rb") as stream:
            self.memory = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
        time.sleep(0.3)

    def count(self):
        return struct.unpack_from("Q", self.memory)[0]

    def gaps(self, first):
        """In ms, since the one of number `first`."""
        size = len(self.memory) // 8 - 2
        return [struct.unpack_from("Q", self.memory, 16 + 8 * (at % size))[0] / 1e6
                for at in range(max(first, self.count() - size), self.count())]

    def was_left_stopped(self):
        with open("/proc/%d/stat" % self.pid) as stream:
            state = stream.read().rpartition(")")[2].split()[0]
        if state not in "Tt":
            return False
        os.kill(self.pid, signal.SIGCONT)
        return True

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.memory.close()
        os.unlink(self.record)


def complaint(text):
    """The line that says most."""
    lines = text.strip().splitlines() or ["no word"]
    telling = [line for line in lines if re.search("rror|fail|annot|support", line)]
    return (telling or lines)[-1].strip()[:90]


def run(target, command, limit):
    """Text that it printed, and None or what it complained of."""
    cpus = target.cpus[-1:]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE,
                               preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
    try:
        out, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "", "no end after %d s" % limit
    # 1 of pycore: the report lacks something, such as a stack that was cut (counted below).
    failed = process.returncode not in (0, 1 if "snap" in command else 0)
    complained = complaint((errors or out).decode("utf-8", "replace"))
    return (out.decode("utf-8", "replace"),
            "status %d: %s" % (process.returncode, complained) if failed else None)


def look(target, tool, result, seconds, count, folder):
    """Has the tool look at the target for some seconds (or snapshots), and notes the pauses."""
    words = {"pid": target.pid, "seconds": max(1, round(seconds)), "rate": RATE_HZ,
             "count": count, "interval_ns": 1000000000 // RATE_HZ,
             "output": os.path.join(folder, "output")}
    command = [part.format(**words) for part in tool.command]
    end, begin = time.monotonic() + seconds, time.monotonic()
    for number in range(20 if not tool.loop else 1):
        first = target.count()
        text, result.failure = run(target, command, 60 + 3 * seconds)
        gaps = target.gaps(first)
        if tool.loop and result.failure:
            break
        if tool.loop:
            result.pauses += gaps
            result.snapshots += read_counts(tool, result, text, words["output"]) or len(gaps)
        elif gaps:
            result.pauses.append(sum(gaps))
            result.snapshots += 1
        # At least three, unless they take very long. Some fail for one thread, and do the others.
        late = time.monotonic() - begin > 5 * max(1, seconds)
        if not gaps or (time.monotonic() > end and (number >= 2 or late)):
            break
    if target.was_left_stopped():
        result.failure = "left the target stopped"


def read_counts(tool, result, text, output):
    """Snapshots taken, as the tool itself says; pycore's own numbers go to result.extra."""
    if tool.name == "floor":
        result.extra["threads_stopped"] = result.extra.get("threads_stopped", 0) \
            + json.loads(text)["stopped"]
        return json.loads(text)["snapshots"]
    if not tool.name.startswith("pycore"):
        return 0
    with open(output) as stream:
        profile = json.load(stream)["profile"]
    for key in ("pause_median_ns", "pause_p95_ns", "pause_max_ns", "pause_total_ns", "pause_share",
                "threads_stopped", "interrupted_calls", "overruns", "samples_held_still", "samples",
                "missed", "own_cpu_ns", "own_cpu_share", "duration_ns"):
        if key in profile:
            result.extra[key] = profile[key]
    return profile["snapshots"]


def inspect(target, pycore, threads, result, folder):
    """Per cent of threads that were cut or not stopped, and that were not seen at rest."""
    output = os.path.join(folder, "output")
    count = max(5, min(20, 4000 // max(1, threads)))
    failure = run(target, [pycore, "snap", str(target.pid), "-n", str(count), "-i", "20ms", "-q",
                           "-f", "json", "--snapshots", "-o", output], 120)[1]
    if failure:
        result.extra["inspect"] = failure
        return
    with open(output) as stream:
        snapshots = json.load(stream)["snapshots"]
    all_threads = [thread for snapshot in snapshots for thread in snapshot["threads"]]
    total = len(all_threads) or 1
    result.extra["inspected"] = total
    result.extra["cut"] = sum(
        bool(thread.get("cut")) or any(note.startswith("not stopped") for note in thread["notes"])
        for thread in all_threads) / total
    result.extra["native cut"] = sum(
        any(note.startswith("the native stack is known only so far") for note in thread["notes"])
        for thread in all_threads) / total
    result.extra["moved"] = sum(not thread.get("held_still") for thread in all_threads) / total
    result.extra["thread_notes"] = sorted({note for thread in all_threads
                                           for note in thread["notes"]})[:20]


def find_tools(options, version, python):
    """All that are here and can look at this Python; the order is that of the table."""
    minor = version.rpartition(".")[0]
    snap = [options.pycore, "snap", "{pid}", "-n", "{count}", "-i", "20ms", "-q", "-f", "json",
            "-o", "{output}"]
    yield Tool("floor", [options.floor, "{pid}", "{count}", "{interval_ns}"])
    yield Tool("pycore", snap)
    yield Tool("pycore py", snap + ["--no-native"], native=False)
    if options.py_spy:
        spy = [options.py_spy, "record", "-d", "{seconds}", "-r", "{rate}", "-f", "raw", "-i", "-o",
               "{output}", "-p", "{pid}"]
        yield Tool("py-spy -n", spy + ["--native"])
        yield Tool("py-spy", spy, native=False)
    if options.austinp:
        yield Tool("austinp", [options.austinp, "-i", "20ms", "-x", "{seconds}", "-o", "{output}",
                               "-p", "{pid}"])
    if minor == "3.15":
        yield Tool("Tachyon", [python, "-m", "profiling.sampling", "attach", "--blocking", "-a",
                               "-r", "{rate}", "-d", "{seconds}", "--collapsed", "-o", "{output}",
                               "{pid}"], native=False)
    if options.pystack:
        yield Tool("pystack -n", [options.pystack, "remote", "{pid}", "--native"], loop=False)
    if options.gdb:
        yield Tool("gdb", [options.gdb, "-nx", "-batch", "-p", "{pid}", "-ex",
                           "thread apply all bt"], loop=False)
    if options.eu_stack:
        yield Tool("eu-stack", [options.eu_stack, "-p", "{pid}"], loop=False)


def measure(options, python, scene, threads, seconds, folder):
    """A result for each tool, on one target."""
    tools = [tool for tool in find_tools(options, options.versions[python], python)
             if not options.only or tool.name in options.only]
    if threads > PEER_THREADS:
        tools = [tool for tool in tools if tool.name in ("floor", "pycore", "pycore py")]
    results = {tool.name: Result(tool) for tool in tools}
    fixed = {"floor": 1.0, "pycore": 1.0, "pycore py": 0.5}
    base = options.snapshots / RATE_HZ
    rest = seconds - base * sum(fixed.get(tool.name, 0) for tool in tools)
    share = max(1.0, rest / max(1, sum(tool.name not in fixed for tool in tools)))
    target = Target(python, scene, threads, options.library, folder, options.cpus)
    try:
        floor = next((tool for tool in tools if tool.name == "floor"), None)
        half = (options.snapshots + 1) // 2
        if floor:
            look(target, floor, results["floor"], base / 2, half, folder)
        for tool in tools:
            part = fixed.get(tool.name, 0)
            if tool is floor:
                continue
            look(target, tool, results[tool.name], base * part or min(share, 4 * base),
                 round(options.snapshots * (part or 1)), folder)
            if tool.name == "pycore" and floor:
                look(target, floor, results["floor"], base / 2, half, folder)
            time.sleep(0.1)
        if "pycore" in results and not results["pycore"].failure:
            inspect(target, options.pycore, threads, results["pycore"], folder)
    finally:
        target.end()
    return results


HEADER = "%-8s %-5s %4s  %-10s %5s %6s %9s %9s %9s %9s %9s %7s %7s %7s %7s" % (
    "Python", "scene", "thr", "tool", "snaps", "stops", "mean ms", "median ms", "p95 ms", "p99 ms",
    "max ms", "/floor", "p99/fl", "/pycore", "p99/py")


def ratio(pauses, other, share):
    if other is None or not other.pauses:
        return "      -"
    base = common.percentile(other.pauses, share)
    return "%7.1f" % (common.percentile(pauses, share) / base)


def print_results(version, scene, threads, results):
    for name, result in results.items():
        line = "%-8s %-5s %4d  %-10s " % (version, scene, threads, name)
        if not result.pauses:
            print(line + " " + (result.failure or "never stopped the spinner"))
            continue
        pauses = result.pauses
        snapshots = max(1, result.snapshots)
        line += "%5d %6.2f %9.3f %9.3f %9.3f %9.3f %9.3f" % (
            snapshots, len(pauses) / snapshots, sum(pauses) / snapshots, common.median(pauses),
            common.percentile(pauses, 0.95), common.percentile(pauses, 0.99), max(pauses))
        for other in ("floor", "pycore"):
            for share in (0.5, 0.99):
                line += " " + ratio(pauses, results.get(other), share)
        print(line + (" (%s)" % result.failure if result.failure else "")
              + ("" if result.tool.native else "  no native"))
    extra = results["pycore"].extra if "pycore" in results else {}
    words = ["%s %.2f %%" % (key, 100 * extra[key]) for key in (
        "cut", "native cut", "moved") if key in extra]
    words += ["%s %s" % (label, extra[key]) for key, label in (
        ("interrupted_calls", "EINTR"), ("overruns", "overruns"), ("missed", "missed"),
        ("inspect", "inspect:")) if key in extra]
    if "own_cpu_ns" in extra:
        words.append("own CPU %.2f ms a snapshot" % (
            extra["own_cpu_ns"] / 1e6 / max(1, results["pycore"].snapshots)))
    if "pause_median_ns" in extra:
        words.append("median by its own count %.3f ms" % (extra["pause_median_ns"] / 1e6))
    if words:
        print("%21spycore: %s" % ("", ", ".join(words)))
    sys.stdout.flush()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--python", action="append", help="path or version, may be repeated")
    parser.add_argument("--threads", default="1,20,200,500")
    parser.add_argument("--scene", default="spin,busy,gil")
    parser.add_argument("--seconds", type=float, default=540, help="for the whole run, about")
    parser.add_argument("--snapshots", type=int, default=200, help="of pycore and the floor, each")
    parser.add_argument("--only", help="tools by the table's names, with commas")
    parser.add_argument("--pin", choices=("auto", "none"), default="auto")
    parser.add_argument("--json", help="raw numbers go there")
    for peer in ("py-spy", "pystack", "austinp", "gdb", "eu-stack"):
        parser.add_argument("--" + peer)
    options = parser.parse_args()
    options.python = common.find_pythons(options.python or ["3.8", "3.12", "3.15"])
    options.versions = {python: common.version_of(python) for python in options.python}
    options.only = options.only and options.only.split(",")
    for peer, probe in (("py_spy", "--version"), ("pystack", "--help"), ("austinp", "--version"),
                        ("gdb", "--version"), ("eu_stack", "--version")):
        setattr(options, peer, common.find_peer(getattr(options, peer), peer.replace("_", "-"),
                                                (probe,)))
    cpus = sorted(os.sched_getaffinity(0))
    options.cpus = cpus if options.pin == "auto" and len(cpus) > 1 else []
    return options


def cells(options):
    for python in options.python:
        for scene in options.scene.split(","):
            for threads in [20] if scene == "gil" else map(int, options.threads.split(",")):
                if scene != "busy" or threads <= PEER_THREADS:
                    yield python, scene, threads


def main():
    options = parse()
    raw = []
    with tempfile.TemporaryDirectory() as folder:
        options.library = common.build(os.path.join(common.HERE, "pause.c"),
                                       os.path.join(folder, "pause.so"), shared=True)
        options.floor = common.build(os.path.join(common.HERE, "floor.c"),
                                     os.path.join(folder, "floor"))
        print(HEADER)
        todo, end = list(cells(options)), time.monotonic() + options.seconds
        for number, (python, scene, threads) in enumerate(todo):
            seconds = max(0, end - time.monotonic()) / (len(todo) - number)
            results = measure(options, python, scene, threads, seconds, folder)
            version = options.versions[python]
            print_results(version, scene, threads, results)
            raw += [{"python": version, "scene": scene, "threads": threads, "tool": name,
                     "snapshots": result.snapshots, "pauses_ms": result.pauses,
                     "failure": result.failure, **result.extra}
                    for name, result in results.items()]
    if options.json:
        with open(options.json, "w") as stream:
            json.dump({"pin": options.cpus, "rows": raw}, stream)


if __name__ == "__main__":
    main()
