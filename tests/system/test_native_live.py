#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Native stacks of living processes: blocked threads as eu-stack and gdb see them, however little
is stopped; two alternating chains of calls through thousands of snapshots, never a stack that
cannot be. 1,000 snapshots by default, 15,000 with PYCORE_LONG=1."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import native_oracle
import support
import tap
import test_native_core as core_tests
from native_oracle import check_order, eu_stack, gdb, place, threads

EARLY = True
LIMIT_S = 900
FULL = core_tests.FULL
STOPS = ("running", "all", "none")
PATIENT = ("--max-pause", "1s")  # what is compared here must not depend on how busy the machine is
SAMPLES = 15000 if support.LONG else 200 if support.memory_errors_only() else 1000
CHUNK = min(SAMPLES, 1000)
# Samples whose thread has a note that not all of its stack was known, at most; those that did not
# fit into --max-pause, which depends on how busy the machine is, do not count.
UNCERTAIN_SHARE = 0.01
# Who may lie right below whom, among the functions of native_alternate.py, innermost first.
CALLERS = {
    ("python", "leaf_a"): {("python", "hot_a")}, ("python", "leaf_b"): {("python", "hot_b")},
    ("python", "hot_a"): {("python", "alternate")}, ("python", "hot_b"): {("python", "alternate")},
    ("python", "back_a"): {("native", "call_a")}, ("python", "back_b"): {("native", "call_b")},
    ("native", "call_a"): {("python", "mixed_a")}, ("native", "call_b"): {("python", "mixed_b")},
    ("python", "mixed_a"): {("python", "alternate_mixed")},
    ("python", "mixed_b"): {("python", "alternate_mixed")},
    ("python", "alternate"): {("python", "run")},
    ("python", "alternate_mixed"): {("python", "run")},
    ("python", "run"): {("python", "_bootstrap_inner")},
    ("python", "_bootstrap_inner"): {("python", "_bootstrap")},
    ("python", "_bootstrap"): {None},
}
# What is met for sure; back_a and back_b are too short.
MET = {"leaf_a", "leaf_b", "hot_a", "hot_b", "call_a", "call_b", "mixed_a", "mixed_b"}
# Not Python's epoll.poll(): a stop, eu-stack's too, ends it with EINTR, and its second turn is
# called from elsewhere in the same function.
BLOCKED = core_tests.LEAVES + core_tests.SIGNALS + \
    [plan for plan in core_tests.PYTHON_LEAVES if plan["leaf"] != "leaf_epoll"] + \
    core_tests.SANDWICHES + core_tests.CXX + core_tests.ODD + \
    [plan for plan in core_tests.SHAPES if plan["name"].startswith(("nofp", "fp", "stripped"))] + \
    [plan for plan in core_tests.STEPS if plan["name"].endswith(("_3", "_8", "_20"))]


def setUpModule():
    native_oracle.need_tools("gcc", "g++", "eu-stack")
    native_oracle.LIBRARIES.make()


def tearDownModule():
    native_oracle.LIBRARIES.drop()


def snap(pid, *options, **more):
    return support.pycore_json("snap", pid, "--raw-native", *options, ok=(0, 1), **more)


def whole_snap(pid, *options):
    """Of a process with threads that run: once all of them answered in time."""
    outcome = support.until_complete(lambda: support.pycore(
        "snap", pid, "--raw-native", "-f", "json", *PATIENT, *options))
    return json.loads(outcome.out)


class Blocked(core_tests.NativeTestCase):
    """Threads that sleep have the same stack whoever looks, and whenever."""

    def compare(self, label, document, expected, plans, eu, by_gdb, stop="running"):
        compared, early = native_oracle.Comparison(), 0
        found = core_tests.by_tid(document)
        for plan in plans:
            facts, name = expected[plan["name"]], plan["name"]
            stack = eu[facts["tid"]]
            thread = found.get(facts["tid"])
            if thread is None:
                compared.problems.append("%s is missing" % name)
                continue
            if stop == "none" and any("register" in note for note in thread["notes"]):
                # Its frame pointer is needed, and cannot be had from outside: a part, and a note.
                # A context's stack is not to be had to its end either.
                early += 1
                truth = by_gdb.get(facts["tid"], stack) if stack.error else stack
                pcs = native_oracle.pcs_of(thread)
                if pcs != truth.pcs[:len(pcs)] or not pcs:
                    compared.differ(name, thread, "eu-stack or gdb", truth)
                continue
            compared.thread(name, thread, stack, by_gdb.get(facts["tid"]),
                            core_tests.KNOWN.get(name))
            problem = check_order(thread, facts, plan, stack.names + by_gdb[facts["tid"]].names
                                  if facts["tid"] in by_gdb else stack.names)
            problem = problem or native_oracle.check_loops(thread, False)
            if problem:
                compared.problems.append("%s: %s" % (name, problem))
        print("%s: %s; %d known in part, as is said" % (label, compared.summary(), early))
        return ["%s: %s" % (label, problem) for problem in compared.problems]

    def check_blocked(self, python, plans, stops, gdb_too=True):
        problems = []
        with threads(python, plans) as (target, _, expected):
            documents = []
            for stop in stops:
                documents.append((stop, snap(target.pid, "--stop=" + stop, *PATIENT)))
                support.until_still(target.pid)  # whom it stopped is in its call again
            # A second look of the same run: what did not move was not read again.
            again = snap(target.pid, "--snapshots", "-n", "3", "-i", "20ms", *PATIENT)
            support.until_still(target.pid)
            eu = eu_stack("-p", target.pid)
            support.until_still(target.pid)
            gdb_too = gdb_too or any(stack.error for stack in eu.values())
            by_gdb = gdb("-p", target.pid) if gdb_too and shutil.which("gdb") else {}
            for number, snapshot in enumerate(again["snapshots"]):
                documents.append(("running, %d of 3" % (number + 1), {"snapshots": [snapshot]}))
        for stop, document in documents:
            problems += self.compare("%s --stop=%s" % (python.name, stop), document, expected,
                                     plans, {tid: native_oracle.copy_of(stack)
                                             for tid, stack in eu.items()}, by_gdb, stop)
        self.fail_with(problems)

    def test_places(self):
        """All the ways to sleep, with all threads stopped, none, or the running ones."""
        for name in FULL:
            with self.subTest(python=name):
                self.check_blocked(support.find_python(name), BLOCKED, STOPS)

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_smoke(self, python):
        plans = core_tests.LEAVES[:3] + core_tests.PYTHON_LEAVES[:3] + core_tests.SANDWICHES
        self.check_blocked(python, plans, STOPS[:1], gdb_too=False)

    def test_blocked_beside_running(self):
        """The blocked threads' stacks are whole though others run, and those of the running ones
        are possible."""
        python = core_tests.usual_python()
        plans = core_tests.LEAVES + core_tests.PYTHON_LEAVES[:4]
        with threads(python, plans + core_tests.RUNNING) as (target, _, expected):
            documents = [whole_snap(target.pid, "--stop=" + stop) for stop in ("running", "all")
                         for _ in range(5)]
            eu = eu_stack("-p", target.pid)
        problems = []
        for document in documents:
            problems += self.compare(python.name, document, expected, plans,
                                     {tid: native_oracle.copy_of(stack)
                                      for tid, stack in eu.items()}, {})
            found = core_tests.by_tid(document)
            for plan in core_tests.RUNNING:
                thread = found[expected[plan["name"]]["tid"]]
                names = native_oracle.natives_of(thread)
                problem = check_order(thread, expected[plan["name"]], plan,
                                      [frame["function"] for frame in names])
                if problem or thread["notes"]:
                    problems.append("%s: %s %s" % (plan["name"], problem, thread["notes"]))
                # The outer end of the stack is the same whatever the thread does.
                other = [frame["function"] for frame in native_oracle.natives_of(
                    found[expected["leaf_pause"]["tid"]])]
                if [frame["function"] for frame in names][-4:] != other[-4:]:
                    problems.append("%s ends with %s" % (plan["name"], names[-4:]))
        self.fail_with(problems)

    def test_short_pause(self):
        """What does not fit into --max-pause is left out with a note: no thread is lost, and what
        is told is right."""
        python = core_tests.usual_python()
        plans = [plan for plan in BLOCKED if plan["name"] not in core_tests.KNOWN]
        with threads(python, plans) as (target, _, expected):
            documents = []
            for pause in ("100us", "1ms", "3ms"):
                documents.append(snap(target.pid, "--stop=all", "--max-pause", pause))
                support.until_still(target.pid)  # whom it stopped is in its call again
            tids = set(map(int, os.listdir("/proc/%d/task" % target.pid)))
            eu = eu_stack("-p", target.pid)
        problems = []
        for document in documents:
            found = core_tests.by_tid(document)
            if set(found) != tids:
                problems.append("%d of %d threads; notes %s" % (
                    len(found), len(tids), document["snapshots"][0]["notes"]))
            noted = document["notes"] + document["snapshots"][0]["notes"]
            for plan in plans:
                facts = expected[plan["name"]]
                thread = found.get(facts["tid"])
                if thread is None:
                    continue
                pcs, truth = native_oracle.pcs_of(thread), eu[facts["tid"]]
                names = [frame["function"] for frame in thread["frames"]
                         if frame["kind"] == "python"]
                common = min(len(pcs), len(truth.pcs))
                if not truth.error and (pcs[:common] != truth.pcs[:common] or
                                        common < len(truth.pcs) and not thread["notes"] and
                                        not noted):
                    problems.append("%s: %d of %d frames; notes %s" % (
                        plan["name"], len(pcs), len(truth.pcs), thread["notes"]))
                if not names[-len(facts["python"]):] == facts["python"] and not thread["notes"] \
                        and not noted:
                    problems.append("%s: Python frames %s; no note" % (plan["name"], names))
        self.fail_with(problems)

    def test_files(self):
        """A library whose file was deleted, or replaced by another build: the kernel still has it,
        and who may look finds all of it there."""
        python = core_tests.usual_python()
        plans = [place("gone", ("gone", "place_plain", 1)),
                 place("gone_inside", ("gone", "place_qsort", 1), ("fp", "place_plain", 1))]
        for change in ({"remove": ["gone.so"]}, {"replace": {"gone.so": "other.so"}}):
            with self.subTest(**change), threads(python, plans, **change) as (
                    target, folder, expected):
                document = snap(target.pid)
                shutil.copy(os.path.join(native_oracle.LIBRARIES.make(), "gone.so"), folder)
                problems = []
                for plan in plans:
                    thread = core_tests.by_tid(document)[expected[plan["name"]]["tid"]]
                    names = {frame["function"] for frame in thread["frames"]
                             if frame["kind"] == "native"}
                    problem = check_order(thread, expected[plan["name"]], plan,
                                          {"place_plain", "place_qsort"})
                    if problem:
                        problems.append("%s: %s; notes %s" % (plan["name"], problem,
                                                             thread["notes"]))
                    # Of the static functions the deleted file knows, too; of the new one none.
                    if os.geteuid() == 0 and "gone" == plan["name"] and \
                            not {"plain_b", "plain_c"} <= names:
                        problems.append("%s: only %s" % (plan["name"], sorted(map(str, names))))
                self.fail_with(problems)

    def test_plain_user(self):
        """The owner sees the same as root does."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user")
        python = next((python for python in reversed(support.interpreters())
                       if core_tests.readable_by_all(python.program) and
                       python.build == "release"), None)
        if not python:
            self.skipTest("no Python that everybody may read is on this machine")
        if os.path.exists("/proc/sys/kernel/yama/ptrace_scope"):
            self.skipTest("Yama is on")
        plans = core_tests.LEAVES + core_tests.SANDWICHES

        def become_nobody():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        with threads(python, plans, user=65534) as (target, _, expected), \
                tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            copy = shutil.copy(support.PYCORE, folder)
            os.chmod(copy, 0o755)
            done = subprocess.run([copy, "snap", str(target.pid), "-f", "json", "--raw-native"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=180,
                                  preexec_fn=become_nobody, cwd="/",
                                  env=support.clean_environment())
            self.assertIn(done.returncode, (0, 1), done.stderr)
            support.until_still(target.pid)
            eu = eu_stack("-p", target.pid)
            support.until_still(target.pid)
            by_gdb = gdb("-p", target.pid) if shutil.which("gdb") else {}
        self.fail_with(self.compare("as nobody", json.loads(done.stdout.decode()), expected, plans,
                                    eu, by_gdb))


class Alternating(support.TestCase):
    """Two chains of calls that take turns: what a sampler gets wrong that reads a moving stack."""

    def take(self, pid, count, stop, folder):
        output = os.path.join(folder, "snapshots.json")
        outcome = support.pycore("snap", pid, "-n", count, "-i", "1ms", "-q", "--raw-native",
                                 "--snapshots", "--stop=" + stop, "-f", "json", "-o", output,
                                 timeout=600)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        with open(output) as stream:
            return json.load(stream)

    def check_thread(self, thread, counts):
        known = set(CALLERS)
        frames = [(frame["kind"], native_oracle.bare(frame["function"] or "?"))
                  for frame in thread["frames"]]
        own = [frame for frame in frames if frame in known]
        mixed = ("python", "alternate_mixed") in own
        # The second is a thread that the machine was too busy to let answer.
        if any("--max-pause" in note or "has not answered" in note for note in thread["notes"]):
            counts["left out"] += 1
            return None
        if not mixed and ("python", "alternate") not in own:
            counts["other"] += 1
            return None
        counts["mixed" if mixed else "plain"] += 1
        own.append(None)
        wrong = next((pair for pair in zip(own, own[1:]) if pair[1] not in CALLERS[pair[0]]), None)
        if thread["notes"]:
            counts["uncertain"] += 1
            return None
        if wrong:
            return "%s: %s" % (wrong, frames)
        # It reaches the start of the thread: the same place in all samples.
        end = thread["frames"][-1].get("address")
        if counts.setdefault("end", end) != end:
            return "ends at %s, others at %s: %s" % (end, counts["end"], frames)
        return None

    def check_python(self, name, stop, total):
        python = support.find_python(name)
        counts = dict.fromkeys(("plain", "mixed", "other", "uncertain", "lost",
                                "left out"), 0)
        impossible, snapshots, seen, notes = [], 0, set(), {}
        with tempfile.TemporaryDirectory() as folder:
            base = shutil.copy(os.path.join(native_oracle.LIBRARIES.make(), "base.so"), folder)
            with support.start_target(python, support.path("tests/programs/native_alternate.py"),
                                      base) as target:
                deadline = time.monotonic() + 60  # for what a target that hardly runs shows late
                while snapshots < total or (not MET <= seen and time.monotonic() < deadline):
                    document = self.take(target.pid, CHUNK, stop, folder)
                    for snapshot in document["snapshots"]:
                        counts["lost"] += 3 - len(snapshot["threads"])
                        for thread in snapshot["threads"]:
                            for note in thread["notes"]:
                                notes[note] = notes.get(note, 0) + 1
                            problem = self.check_thread(thread, counts)
                            if problem:
                                impossible.append(problem)
                            seen.update(frame["function"] for frame in thread["frames"])
                    snapshots += len(document["snapshots"])
                os.kill(target.pid, signal.SIGTERM)
                last = target.read_line()
        often = sorted(notes.items(), key=lambda item: -item[1])[:4]
        print("%s --stop=%s: %d snapshots, %d samples of the Python chains, %d of the mixed ones, "
              "%d uncertain, %d impossible, %d left out, %d threads lost; target: %s; notes %s" % (
                  name, stop, snapshots, counts["plain"], counts["mixed"], counts["uncertain"],
                  len(impossible), counts["left out"], counts["lost"], last, often))
        self.assertRegex(last, r"^DONE wrong=0 ")
        self.assertEqual(impossible[:3], [], "%d impossible stacks" % len(impossible))
        # Each thread in each snapshot: nothing was dropped. A thread of which a note says that its
        # Python frames are not known counts as uncertain.
        self.assertEqual(counts["lost"], 0, "threads are missing in snapshots")
        uncertain = counts["uncertain"] + 2 * snapshots - counts["plain"] - counts["mixed"] - \
            counts["left out"]
        self.assertLessEqual(uncertain, 2 * snapshots * UNCERTAIN_SHARE)
        self.assertLessEqual(MET, seen)

    def test_default(self):
        for name in FULL:
            with self.subTest(python=name):
                self.check_python(name, "running", SAMPLES)

    def test_all_stopped(self):
        with self.subTest(python=FULL[1]):
            self.check_python(FULL[1], "all", SAMPLES)

    def test_others(self):
        """The layouts between."""
        for name in ("3.8", "3.10", "3.11", "3.13", "3.14"):
            with self.subTest(python=name):
                self.check_python(name, "running", SAMPLES // 2)


if __name__ == "__main__":
    tap.main()
