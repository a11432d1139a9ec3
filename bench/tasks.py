#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reading all asyncio tasks of a process costs: time, processor time and peak memory of one report.

    bench/tasks.py [--tasks 1000,50000] [--python 3.8]... [--runs 5] [--pycore PATH] [--json FILE]

The target: a loop that sleeps, with N tasks that wait for one of ten queues, three coroutines deep
each. It is looked at in turn --runs times: a report as text, one as JSON, one that is recorded as well
(--save), and, as the control, a report of the same program with a single task. Medians; the
quickest of the runs beside them, as what else the machine does slows down the others.

Takes about 20 s for each Python and number of tasks. Needs root or kernel.yama.ptrace_scope=0.
"""

import argparse
import json
import os
import subprocess
import tempfile

import common

TARGET = """
import asyncio, sys

async def get(queue):
    return await queue.get()

async def handle(queue):
    await get(queue)

async def main():
    queues = [asyncio.Queue() for _ in range(10)]
    tasks = [asyncio.ensure_future(handle(queues[i % 10])) for i in range(int(sys.argv[1]))]
    await asyncio.sleep(0)
    asyncio.get_event_loop().call_later(0.2, lambda: (print("READY"), sys.stdout.flush()))
    await asyncio.wait(tasks)

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
loop.run_until_complete(main())
"""


class Target:
    """The program, for as long as a `with` lasts."""

    def __init__(self, python, tasks):
        self.command = [python, "-c", TARGET, str(tasks)]

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


def measure(meter, command, runs):
    spent = [meter.run(command) for _ in range(runs)]
    if any(one.status for one in spent):
        raise SystemExit("%s failed" % " ".join(command))
    return {"seconds": common.median([one.seconds for one in spent]),
            "quickest": min(one.seconds for one in spent),
            "cpu_seconds": common.median([one.cpu_seconds for one in spent]),
            "peak_mib": max(one.peak_mib for one in spent)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default="1000,50000")
    parser.add_argument("--python", action="append")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    row = "%-8s %7s  %-7s %9s %9s %9s %9s"
    print(row % ("Python", "tasks", "report", "median s", "fastest", "CPU s", "peak MiB"))
    meter = common.Meter()
    with tempfile.TemporaryDirectory() as folder:
        capture = os.path.join(folder, "run.pycore")
        for python in common.find_pythons(options.python or ["3.8", "3.12", "3.14"]):
            for tasks in [1] + [int(count) for count in options.tasks.split(",")]:
                with Target(python, tasks) as pid:
                    snap = [options.pycore, "snap", str(pid), "-o", os.path.join(folder, "out")]
                    for name, more in (("text", ["-f", "text"]), ("json", ["-f", "json"]),
                                       ("save", ["-f", "text", "--save", capture])):
                        result = measure(meter, snap + more, options.runs)
                        result.update(python=common.version_of(python), tasks=tasks, report=name)
                        results.append(result)
                        print(row % (result["python"], tasks, name, "%.3f" % result["seconds"],
                                     "%.3f" % result["quickest"], "%.3f" % result["cpu_seconds"],
                                     "%.0f" % result["peak_mib"]), flush=True)
    if options.json:
        with open(options.json, "w") as stream:
            json.dump(results, stream, indent=1)


if __name__ == "__main__":
    main()
