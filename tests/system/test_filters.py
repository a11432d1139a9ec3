#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which samples count: --thread, --gil, --on-cpu. Live, of a capture and of a document the same, and
what the snapshots themselves say."""

import collections
import fnmatch
import json
import os
import unittest

import harm
import support

PROGRAM = '''
import sys, threading, time, zlib

def hot():
    total = 0
    for i in range(1000):
        total += i * i

def work():
    while True:
        hot()

def pack():  # without the GIL, most of the time
    data = bytes(range(256)) * 4000
    while True:
        zlib.compress(data, 9)

threading.Thread(target=work, name="worker-1", daemon=True).start()
threading.Thread(target=pack, name="worker-2", daemon=True).start()
threading.Thread(target=threading.Event().wait, name="waits", daemon=True).start()
print("READY")
sys.stdout.flush()
time.sleep(1000)
'''

# What a document does not say of two snapshots: which calls are the same.
CALLS = ("activations", "longest_snapshots", "longest_ns")

FILTERS = {
    ("--thread", "worker-*"): lambda thread: fnmatch.fnmatch(thread["name"] or "", "worker-*"),
    ("--gil",): lambda thread: thread["holds_gil"] is True,
    ("--on-cpu",): lambda thread: thread["on_cpu"] or thread["state"] == "running",
    ("--gil", "--thread", "worker-1"):
        lambda thread: thread["holds_gil"] is True and thread["name"] == "worker-1",
    ("--thread", "nobody"): lambda thread: False,
}


def name_of(frame):
    return frame["kind"], frame["function"], frame.get("line")


class Case(support.FolderCase):
    def start(self, python):
        with open(self.file("service.py"), "w", encoding="ascii") as stream:
            stream.write(PROGRAM)
        return support.start_target(python, self.file("service.py"))

    def read(self, name):
        with open(self.file(name), encoding="utf-8") as stream:
            return json.load(stream)

    def run_of(self, pid, *options):
        """A run's capture, and its document with all snapshots."""
        done = support.pycore("snap", pid, "-n", 10, "-i", "30ms", "-q", "--snapshots", "-o",
                              self.file("run.json"), *options)
        self.assertIn(done.rc, (0, 1), done.err)
        return self.read("run.json")

    def check(self, whole, document, wanted):
        """Of all samples of a run those that are wanted, and no others."""
        stacks, kept = collections.Counter(), 0
        for snapshot, filtered in zip(whole["snapshots"], document["snapshots"]):
            threads = [thread for thread in snapshot["threads"] if wanted(thread)]
            self.assertEqual(threads, filtered["threads"])
            kept += len(threads)
            for thread in threads:
                stacks[thread["pid"], thread["tid"], thread["state"],
                       tuple(map(name_of, thread["frames"]))] += 1
        profile, counted = document["profile"], collections.Counter()
        for stack in profile["stacks"]:
            counted[stack["pid"], stack["tid"], stack["state"],
                    tuple(name_of(profile["frames"][frame]) for frame in stack["frames"])] += \
                stack["samples"]
        self.assertEqual(counted, stacks)
        self.assertEqual(profile["samples"], kept)
        self.assertEqual(profile["snapshots"], whole["profile"]["snapshots"])
        self.assertIsNone(profile["process_cpu_ns"])
        self.assertRegex(document["notes"][-1], r"^only samples of threads .* count: %d of %d$"
                         % (kept, sum(len(one["threads"]) for one in whole["snapshots"])))


class Runs(Case):
    @harm.versions("3.8", "3.12")
    def test_capture_and_document(self, python):
        with self.start(python) as target:
            whole = self.run_of(target.pid, "--save", self.file("run.cap"))
        for options, wanted in FILTERS.items():
            with self.subTest(options):
                of_capture, of_document = (
                    support.pycore_json("report", self.file(name), "--snapshots", *options,
                                        ok=(0, 1)) for name in ("run.cap", "run.json"))
                self.check(whole, of_document, wanted)
                self.check(whole, of_capture, wanted)
                # What is wrong is looked for among all threads, over the whole run.
                for document in (of_document, of_capture):
                    for key in ("verdict", "fingerprint", "findings"):
                        self.assertEqual(document[key], whole[key])
                for function in of_capture["profile"]["functions"]:
                    function.update(dict.fromkeys(CALLS, 0))
                # What pycore itself used is not told of a run that was not this one's.
                for key in set(of_capture["profile"]) - {"own_cpu_ns", "own_cpu_share"}:
                    self.assertEqual(of_document["profile"][key], of_capture["profile"][key], key)
        # Every format: of those samples, too.
        for name in ("run.cap", "run.json"):
            folded = support.pycore("report", self.file(name), "--thread", "worker-1", "--weight",
                                    "wall", "-f", "folded")
            samples = [thread for snapshot in whole["snapshots"] for thread in snapshot["threads"]
                       if thread["name"] == "worker-1" and thread["frames"]]
            self.assertEqual(sum(int(line.rsplit(" ", 1)[1]) for line in folded.out.splitlines()),
                             len(samples))

    @harm.versions("3.11")
    def test_live(self, python):
        with self.start(python) as target:
            for options, wanted in FILTERS.items():
                with self.subTest(options):
                    document = self.run_of(target.pid, *options)
                    self.assertEqual(len(document["snapshots"]), 10)
                    threads = [thread for snapshot in document["snapshots"]
                               for thread in snapshot["threads"]]
                    self.assertTrue(all(map(wanted, threads)))
                    self.assertEqual(document["profile"]["samples"], len(threads))
                    self.assertRegex(document["notes"][-1], r"^only samples of threads .*: %d of "
                                     % len(threads))
            tid = document["source"]["pid"]
            main = self.run_of(target.pid, "--thread", tid)
        self.assertEqual([thread["name"] for thread in main["profile"]["threads"]], ["MainThread"])
        self.assertEqual(main["profile"]["samples"], 10)

    @harm.versions("3.12")
    def test_several_processes(self, python):
        with support.start_target(python, support.path("tests/programs/processes.py"), "prefork",
                                  2) as target:
            whole = self.run_of(target.pid, "--children")
        document = support.pycore_json("report", self.file("run.json"), "--thread", "helper",
                                       ok=(0, 1))
        self.check(whole, document, lambda thread: thread["name"] == "helper")
        processes = document["profile"]["processes"]
        self.assertEqual(sum(process["samples"] for process in processes),
                         document["profile"]["samples"])
        for process in processes:
            threads = [thread for thread in document["profile"]["threads"]
                       if thread["pid"] == process["pid"]]
            self.assertEqual(process["cpu_ns"] or 0,
                             sum(thread["cpu_ns"] or 0 for thread in threads))


class Dumps(Case):
    @harm.versions("3.12")
    def test_dump(self, python):
        with self.start(python) as target:
            done = support.pycore("snap", target.pid, "-q", "-o", self.file("dump.json"), "--save",
                                  self.file("dump.cap"))
        self.assertIn(done.rc, (0, 1), done.err)
        for name in ("dump.json", "dump.cap"):
            for options, wanted in FILTERS.items():
                document = support.pycore_json("report", self.file(name), *options, ok=(0, 1))
                self.assertEqual(document["snapshots"][0]["threads"],
                                 [thread for thread in self.read("dump.json")["snapshots"][0]["threads"]
                                  if wanted(thread)])
            folded = support.pycore("report", self.file(name), "--thread", "waits", "--weight",
                                    "wall", "-f", "folded")
            self.assertEqual(len(folded.out.splitlines()), 1)


class Refused(Case):
    """A hotspot report without its snapshots has sums only."""

    def test_sums_only(self):
        document = support.path("fixtures/3.12-release/busy.json")
        for options in (("--thread", "x"), ("--gil",), ("--on-cpu",)):
            done = support.pycore("report", document, *options, "-o", self.file("out.md"))
            self.assertEqual((done.rc, done.out), (64, ""))
            self.assertEqual(done.err, "pycore: %s needs the samples one by one: a capture (snap "
                             "--save), or JSON written with --snapshots\n" % options[0])
            self.assertFalse(os.path.exists(self.file("out.md")))


if __name__ == "__main__":
    unittest.main()
