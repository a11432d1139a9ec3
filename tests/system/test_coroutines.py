#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generators and coroutines: what waits inside of what, as the interpreter itself says it."""

import json
import os
import subprocess
import tempfile
import unittest

import support

PROGRAM = support.path("tests/programs/coroutines.py")
TOOL = os.path.join(support.BUILDDIR, "tests", "tools", "await_chain")
BUILDS = ("release", "debug", "free-threaded")
CHAIN = ("kind", "state", "name", "qualname", "frames", "end", "running")


def ask(target, *questions):
    """What pycore reads of a process or core: a value for each address, or --heap."""
    done = subprocess.run([TOOL, str(target)] + [str(question) for question in questions],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env=support.clean_environment())
    if done.returncode:
        raise AssertionError("await_chain: %d, %s" % (done.returncode, done.stderr.decode()))
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def listed(document):
    """The generators of a report, as the program says them: {address: [kind, begun, frames]}."""
    found = {}
    for generator in document.get("generators", ()):
        places = [[frame["function"], frame["file"], frame["line"]] for frame in generator["frames"]]
        found[str(int(generator["id"], 16))] = [generator["kind"], generator["begun"], places]
    return found


@unittest.skipUnless(os.access(TOOL, os.X_OK), "%s is not built" % TOOL)
class Coroutines(support.TestCase):
    def compare(self, expected, target):
        found = ask(target, *[facts["object"] for facts in expected.values()])
        self.assertEqual(len(found), len(expected))
        for (label, facts), chain in zip(expected.items(), found):
            with self.subTest(label):
                self.assertEqual(chain["error"], "")
                self.assertEqual({key: chain.get(key) for key in CHAIN if key in facts},
                                 {key: facts[key] for key in CHAIN if key in facts})

    def compare_heap(self, expected, target):
        found, = ask(target, "--heap")
        self.assertEqual(found["error"], "")
        self.assertEqual(sorted(found["generators"]), expected["generators"])
        # It says so in objects of its own.
        self.assertLess(abs(found["objects"] - expected["objects"]), 100)

    def compare_lists(self, expected, reports):
        for name, document in reports.items():
            with self.subTest(name):
                self.assertEqual(listed(document), expected)
                self.assertEqual(document["suspended"]["generators"], len(expected))
                self.assertEqual(document["suspended"]["generators_left_out"], 0)
                counts = [group["count"] for group in document["generator_groups"]]
                self.assertEqual(sum(counts), len(expected))
                self.assertEqual(counts, sorted(counts, reverse=True))

    @support.each_python(builds=BUILDS, every_patch=True)
    def test_live_core_and_capture(self, python):
        reports = {}
        with tempfile.TemporaryDirectory() as folder:
            core, capture, again = (os.path.join(folder, name) for name in ("core", "cap", "cap2"))
            with support.start_target(python, PROGRAM, still=True) as target:
                expected, heap = map(json.loads, target.lines[:2])
                self.assertGreater(len(expected), 30)
                self.assertGreater(len(heap["outermost"]), 25)
                self.compare(expected, target.pid)
                dumped = support.pycore("gcore", target.pid, "-o", core)
                self.assertEqual(dumped.rc, 0, dumped.err)
                reports["saved"] = support.pycore_json("snap", target.pid, "--generators",
                                                       "--save", capture)
                reports["live"] = support.pycore_json("snap", target.pid, "--generators")
                if "free-threaded" not in python.build:
                    self.compare_heap(heap, target.pid)
            self.compare(expected, core)
            if "free-threaded" in python.build:
                self.assertIn("free-threaded", str(reports["live"]["snapshots"][0]["notes"]))
                return
            self.compare_heap(heap, core)
            reports["core"] = support.pycore_json("analyze", core, "--generators", "--save", again,
                                                  ok=(0, 1))
            reports["capture"] = support.pycore_json("report", capture, "--generators")
            reports["capture of core"] = support.pycore_json("report", again, "--generators",
                                                             ok=(0, 1))
            self.assertNotIn("generators", support.pycore_json("report", capture))
        self.compare_lists(heap["outermost"], reports)


class OnRequest(support.TestCase):
    @support.each_python(first=(3, 11), last=(3, 11))
    def test_capture_without_them(self, python):
        with tempfile.TemporaryDirectory() as folder:
            capture = os.path.join(folder, "capture")
            with support.start_target(python, PROGRAM) as target:
                saved = support.pycore("snap", target.pid, "--save", capture)
                self.assertEqual(saved.rc, 0, saved.err)
            document = support.pycore_json("report", capture, "--generators")
        self.assertNotIn("generators", document)
        self.assertIn("without --generators", str(document["snapshots"][0]["notes"]))


BUSY = """
def steady():
    yield

def busy():
    while True:
        yield 1
        yield 2

def outer(inner):
    yield from inner

kept = [steady() for _ in range(100)]
[next(thing) for thing in kept]
fast, slow = busy(), outer(busy())
print("READY", flush=True)
while True:
    next(fast)
    next(slow)
"""


class Busy(support.TestCase):
    """What a running program has resumed meanwhile is left out, and what is told is true."""

    @support.each_python(first=(3, 8))
    def test_running(self, python):
        with tempfile.TemporaryDirectory() as folder, \
                support.start_program([python.path, "-c", BUSY]) as target:
            capture = os.path.join(folder, "capture")
            saved = support.pycore_json("snap", target.pid, "--generators", "--save", capture,
                                        ok=(0, 1))
            replayed = support.pycore_json("report", capture, "--generators", ok=(0, 1))
        self.assertEqual(listed(saved), listed(replayed))
        self.assertEqual(saved["suspended"], replayed["suspended"])
        places = [[frame[0] for frame in frames] for _, _, frames in listed(saved).values()
                  if frames[-1][1] == "<string>"]
        self.assertEqual(places.count(["steady"]), 100)
        others = [names for names in places if names != ["steady"]]
        for names in others:
            self.assertIn(names, (["busy"], ["busy", "outer"]))
        self.assertLessEqual(len(others), 2)


TASKS = """
import asyncio, sys, time

async def inner():
    await asyncio.sleep(1000)

async def job():
    await inner()

def plain():
    yield

async def main():
    kept = [plain() for _ in range(3)]
    [next(thing) for thing in kept]
    forgotten = inner()
    jobs = [asyncio.ensure_future(job()) for _ in range(5)]
    await asyncio.sleep(0.05)
    print("READY", flush=True)
    await asyncio.wait(jobs)

asyncio.get_event_loop_policy().new_event_loop().run_until_complete(main())
"""


class Tasks(support.TestCase):
    @support.each_python()
    def test_their_coroutines_are_not_listed(self, python):
        with support.start_program([python.path, "-c", TASKS], still=True) as target:
            document = support.pycore_json("snap", target.pid, "--generators")
        program = [thing for thing in document["generators"]
                   if thing["frames"][-1]["file"] == "<string>"]
        self.assertEqual(sorted((thing["frames"][-1]["function"], thing["begun"])
                                for thing in program),
                         [("inner", False)] + 3 * [("plain", True)])


# Everything on a stack, from the innermost: what the program's own frames say.
ORDER = """
import json, sys, time

def stack(at):
    names = []
    while at is not None:
        names.append(at.f_code.co_name)
        at = at.f_back
    return names

def rest():
    print(json.dumps(stack(sys._getframe())))
    print("READY", flush=True)
    time.sleep(1000)

def leaf():
    yield 1
    rest()
    yield 2

def middle():
    yield from leaf()

def over(source):
    for item in source:
        yield item

class Once:
    def __await__(self):
        yield from over(middle())

async def ticks():
    yield 0
    await Once()
    yield 1

async def each():
    async for tick in ticks():
        pass

async def outer():
    await each()

def drive(thing):
    try:
        while True:
            thing.send(None)
    except StopIteration:
        pass

def nested():
    yield from (drive(outer()) for _ in [1])

list(over(nested()))
"""


class Order(support.TestCase):
    @support.each_python(builds=BUILDS)
    def test_generators_on_a_stack(self, python):
        with support.start_program([python.path, "-c", ORDER], still=True) as target:
            expected = json.loads(target.lines[0])
            document = support.pycore_json("snap", target.pid, "--no-native")
        frames = support.of_python(document["snapshots"][0]["threads"][0])
        self.assertEqual([frame["function"] for frame in frames if frame["kind"] == "python"],
                         expected)


if __name__ == "__main__":
    import tap
    tap.main()
