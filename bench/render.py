#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rendering costs: a hotspot report of a large run, in every format.

    bench/render.py [FORMAT]... [--snapshots 1000] [--threads 100] [--stacks 8] [--seed 1]
                    [--pycore PATH] [--document FILE] [--keep FILE] [--json FILE]

Makes the JSON document of such a run (--keep: and leaves it there), or takes --document, and runs
`pycore report DOCUMENT -f FORMAT` for each of include/report/formats.def, or those named: seconds,
processor seconds, peak memory, and how large the output is. That is reading and rendering; the aim
is below 2 s and 200 MB.

The run: --stacks distinct stacks of each thread, 30 to 60 frames deep, native ones at some of their
ends, and a time line; every number in the document agrees with its stacks.
"""

import argparse
import collections
import json
import os
import random
import re
import subprocess
import tempfile

import common

WORKING = ("running", "runnable")
STATES = ("running", "running", "runnable", "gil-wait", "lock-wait", "io-wait", "sleep")
CPU_NS = 2_000_000  # of a working sample


def formats():
    with open(os.path.join(common.TOP, "include", "report", "formats.def")) as stream:
        return re.findall(r'^FORMAT\("(\w+)"', stream.read(), re.M)


# ---- The run -------------------------------------------------------------------------------------

def make_functions(random_of):
    """Functions as the document has them, and for each the frames of its lines."""
    functions, frames = [], []
    for number in range(900):
        name = "%s_%d" % (random_of.choice(("load", "decode", "detect", "serve", "query")), number)
        function = {"kind": "python", "function": name, "qualname": "Service%d.%s" % (number % 40, name),
                    "file": "/srv/app/package_%d/module_%d.py" % (number % 7, number % 60),
                    "line": 10 + number}
        if number % 9 == 0:
            function.update(kind="builtin", qualname="{built-in method app.%s}" % name, file=None,
                            line=None, inferred=False)
        elif number % 9 == 1:
            function.update(kind="native", qualname=None, file=None, line=None,
                            module="libapp_%d.so" % (number % 5))
        functions.append(function)
        for line in range(3 if function["kind"] == "python" else 1):
            frame = dict(function, function_id=number, first_line=function["line"], column=None)
            frame["line"] = function["line"] + line + 1 if function["kind"] == "python" else None
            if function["kind"] == "native":
                frame.update(address=None, offset=None, inlined=False, unwound_by="cfi")
            frames.append(frame)
    return functions, frames


def make_stack(random_of, functions, frames):
    """Innermost first: perhaps a native frame or a builtin, then Python's; some recursion."""
    of_kind = collections.defaultdict(list)
    for index, frame in enumerate(frames):
        of_kind[frame["kind"]].append(index)
    ends = random_of.choice(((), ("builtin",), ("native", "native", "builtin")))
    stack = [random_of.choice(of_kind[kind]) for kind in ends]
    trunk = of_kind["python"]
    deep = random_of.randint(30, 60) - len(stack)
    branch = random_of.randrange(40)  # stacks of a service share their outer frames
    for depth in range(deep, 0, -1):
        shared = depth < deep * 2 // 3
        stack.append(trunk[(branch * 40 + depth) % len(trunk)] if shared else
                     random_of.choice(trunk))
    return stack


Counts = collections.namedtuple("Counts", "working waiting cpu_ns")


class Run:
    def __init__(self, arguments):
        self.random = random.Random(arguments.seed)
        self.functions, self.frames = make_functions(self.random)
        self.snapshots, self.threads = arguments.snapshots, arguments.threads
        self.stacks = []  # (tid, state, frames)
        self.samples = []
        self.moments = []
        for tid in range(self.threads):
            for _ in range(arguments.stacks):
                self.stacks.append((4711 + tid, self.random.choice(STATES),
                                    make_stack(self.random, self.functions, self.frames)))
        counts = [0] * len(self.stacks)
        for at in range(self.snapshots):
            moment = []
            for tid in range(self.threads):
                index = tid * arguments.stacks + min(self.random.randrange(arguments.stacks),
                                                     self.random.randrange(arguments.stacks))
                counts[index] += 1
                moment.append(index)
            self.moments.append({"at_ns": at * 200_000_000, "stacks": moment})
        self.samples = counts
        self.sort_stacks()

    def sort_stacks(self):
        """Most samples first, as a report has them; those that were never seen are none."""
        order = sorted((index for index, count in enumerate(self.samples) if count),
                       key=lambda index: -self.samples[index])
        place = {old: new for new, old in enumerate(order)}
        self.stacks = [self.stacks[index] for index in order]
        self.samples = [self.samples[index] for index in order]
        for moment in self.moments:
            moment["stacks"] = [place[index] for index in moment["stacks"]]

    def count(self, keys_of):
        """Working, waiting and CPU time of each key that keys_of(frames) gives for a stack."""
        found = collections.defaultdict(lambda: [0, 0, 0])
        for (_, state, frames), samples in zip(self.stacks, self.samples):
            working = state in WORKING
            for key in set(keys_of(frames)):
                found[key][0 if working else 1] += samples
                found[key][2] += samples * CPU_NS * working
        return collections.defaultdict(lambda: Counts(0, 0, 0),
                                       {key: Counts(*value) for key, value in found.items()})

    def function(self, frame):
        return self.frames[frame]["function_id"]

    def own(self, frames):
        """The innermost frame that has a name in Python."""
        return next((frame for frame in frames if self.frames[frame]["kind"] != "native"), frames[0])

    def of_functions(self):
        self_of = self.count(lambda frames: [self.function(frames[0])])
        own_of = self.count(lambda frames: [self.function(self.own(frames))])
        total_of = self.count(lambda frames: map(self.function, frames))
        all_working = sum(samples for (_, state, _), samples in zip(self.stacks, self.samples)
                          if state in WORKING)
        for index, function in enumerate(self.functions):
            of_self, of_own, of_all = self_of[index], own_of[index], total_of[index]
            row = dict(function, id=index, activations=of_all.working // 2 + 1, longest_snapshots=1,
                       longest_ns=0, states={"running": of_self.working, "sleep": of_self.waiting})
            for name, counts in ("self", of_self), ("own", of_own), ("total", of_all):
                share = counts.working / all_working
                row.update({name: counts.working, name + "_waiting": counts.waiting,
                            name + "_cpu_ns": counts.cpu_ns, name + "_low": round(share * 0.8, 6),
                            name + "_high": round(min(1, share * 1.2 + 0.001), 6)})
            yield row

    def of_lines(self):
        self_of = self.count(lambda frames: frames[:1])
        own_of = self.count(lambda frames: [self.own(frames)])
        total_of = self.count(lambda frames: frames)
        for index, frame in enumerate(self.frames):
            if frame["line"] is None:
                continue
            row = {"function": frame["function_id"], "line": frame["line"]}
            for name, counts in ("self", self_of[index]), ("own", own_of[index]), \
                    ("total", total_of[index]):
                row.update({name: counts.working, name + "_waiting": counts.waiting,
                            name + "_cpu_ns": counts.cpu_ns})
            if own_of[index] != (0, 0, 0):
                row["text"] = "        result = self.combine(item, cache[%d])" % index
            yield row

    def of_edges(self):
        def direct(frames):
            path = [self.function(frame) for frame in frames]
            return zip(path[1:], path)

        def through(frames):
            return direct([frame for frame in frames if self.frames[frame]["kind"] != "native"])
        direct_of, through_of = self.count(direct), self.count(through)
        for caller, callee in sorted(set(direct_of) | set(through_of)):
            counts, over = direct_of[caller, callee], through_of[caller, callee]
            row = {"caller": caller, "callee": callee, "total": counts.working,
                   "total_waiting": counts.waiting, "cpu_ns": counts.cpu_ns}
            if over.working + over.waiting > counts.working + counts.waiting:
                row.update(through=over.working, through_waiting=over.waiting,
                           through_cpu_ns=over.cpu_ns)
            yield row

    def of_threads(self):
        for tid in range(4711, 4711 + self.threads):
            states = collections.Counter()
            for (of, state, _), samples in zip(self.stacks, self.samples):
                if of == tid:
                    states[state] += samples
            working = sum(states[state] for state in WORKING)
            yield {"pid": 4711, "tid": tid, "name": "worker-%d" % (tid - 4711),
                   "name_from_kernel": False, "python_thread_id": hex(0x7f0000000000 + tid),
                   "known_to_python": True, "cpu_ns": working * CPU_NS, "cpu_between_ns": 0,
                   "cpu_share": 0.0, "samples": self.snapshots, "states": dict(states),
                   "holds_gil": 0, "in_gc": 0, "on_cpu": working, "hottest": None,
                   "most_seen": None}

    def document(self):
        states = collections.Counter()
        for (_, state, _), samples in zip(self.stacks, self.samples):
            states[state] += samples
        working = sum(states[state] for state in WORKING)
        profile = {
            "snapshots": self.snapshots, "interval_ns": 200_000_000,
            "duration_ns": self.snapshots * 200_000_000, "pause_total_ns": self.snapshots * 80_000,
            "pause_max_ns": 120_000, "pause_median_ns": 80_000, "pause_p95_ns": 110_000,
            "threads_stopped": working, "interrupted_calls": 0, "overruns": 0, "missed": 0,
            "own_cpu_ns": self.snapshots * 3_000_000, "samples": sum(self.samples),
            "samples_working": working, "samples_held_still": sum(self.samples),
            "states": dict(states), "unseen_high": 0.001, "process_cpu_ns": working * CPU_NS,
            "cpu_on_stacks_ns": working * CPU_NS, "cpu_between_ns": 0, "cpu_unseen_ns": 0,
            "dropped_stacks": 0, "dropped_tree": 0, "dropped_functions": 0, "dropped_edges": 0,
            "dropped_moments": 0, "threads": list(self.of_threads()),
            "functions": list(self.of_functions()), "lines": list(self.of_lines()),
            "edges": list(self.of_edges()), "frames": self.frames,
            "stacks": [{"pid": 4711, "tid": tid, "state": state, "samples": samples,
                        "cpu_ns": samples * CPU_NS * (state in WORKING), "frames": frames}
                       for (tid, state, frames), samples in zip(self.stacks, self.samples)],
            "moments": self.moments}
        return {
            "schema": "pycore/1",
            "tool": {"name": "pycore", "version": "0.0.0", "command": "pycore snap 4711 -n 1000"},
            "source": {"kind": "live", "path": None, "pid": 4711, "arch": "x86_64",
                       "processes": [{"pid": 4711, "exe": "/usr/bin/python3.12",
                                      "argv": ["python3", "service.py"],
                                      "python": {"version": "3.12.1", "build": "release"}}],
                       "taken_at": "2026-11-22T03:12:00Z", "host": "web-3", "signal": None,
                       "complete": True},
            "profile": profile, "findings": [], "notes": []}


# ---- The measurement -----------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("formats", nargs="*")
    parser.add_argument("--snapshots", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--stacks", type=int, default=8, help="distinct ones of each thread")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--document", help="this one instead")
    parser.add_argument("--keep", help="write the document there")
    parser.add_argument("--json", help="write the numbers there")
    arguments = parser.parse_args()
    meter = common.Meter()
    with tempfile.TemporaryDirectory() as folder:
        document = arguments.document or arguments.keep or os.path.join(folder, "run.json")
        if not arguments.document:
            with open(document, "w") as stream:
                json.dump(Run(arguments).document(), stream)
        print("document: %.1f MB" % (os.path.getsize(document) / 1e6))
        print("%-12s %8s %8s %9s %10s" % ("format", "seconds", "cpu s", "peak MiB", "output KB"))
        rows = []
        for name in arguments.formats or formats():
            output = os.path.join(folder, "output")
            spent = meter.run([arguments.pycore, "report", document, "-q", "-f", name, "-o", output])
            if spent is None or spent.status != 0:
                done = subprocess.run([arguments.pycore, "report", document, "-f", name, "-o", output],
                                      stderr=subprocess.PIPE)
                print("%-12s failed: %s" % (name, done.stderr.decode().strip()))
                continue
            size = os.path.getsize(output)
            rows.append({"format": name, "seconds": spent.seconds, "cpu_seconds": spent.cpu_seconds,
                         "peak_mib": spent.peak_mib, "output_bytes": size})
            print("%-12s %8.2f %8.2f %9.1f %10.0f" % (
                name, spent.seconds, spent.cpu_seconds, spent.peak_mib, size / 1000))
    if arguments.json:
        with open(arguments.json, "w") as stream:
            json.dump(rows, stream, indent=1)


if __name__ == "__main__":
    main()
