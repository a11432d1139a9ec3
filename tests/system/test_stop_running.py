#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only threads that run are stopped: a thread that sleeps does not learn that it was looked at, and
yet its stack is whole. What that costs the target and pycore itself: calls, pages, memory, time."""

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

import harm
import support
from harm import (ALL, AT_LEISURE, NONE, PATIENCE_S, QUIET, RUNNING, compiled, until, until_asleep,
                  usual_python, versions)

LONG = os.environ.get("PYCORE_LONG", "") not in ("", "0")
EARLY = True
LIMIT_S = 3600 if LONG else 0
NOBODY = 65534
each_version = versions("3.6", "3.12", "3.15")


def runs(pid):
    """How often each thread was put on a processor, and went: {tid: (voluntary, other, slices)}."""
    found = {}
    for tid in map(int, os.listdir("/proc/%d/task" % pid)):
        with open("/proc/%d/task/%d/status" % (pid, tid)) as stream:
            lines = dict(line.split(":\t", 1) for line in stream if ":\t" in line)
        with open("/proc/%d/task/%d/schedstat" % (pid, tid)) as stream:
            slices = int(stream.read().split()[2])
        found[tid] = (int(lines["voluntary_ctxt_switches"]),
                      int(lines["nonvoluntary_ctxt_switches"]), slices)
    return found


def kib_of(pid, file, key):
    with open("/proc/%d/%s" % (pid, file)) as stream:
        return sum(int(line.split()[1]) for line in stream if line.startswith(key + ":"))


def python_frames(thread):
    return [(frame["function"], frame["line"]) for frame in thread["frames"]
            if frame["kind"] == "python"]


def names_of(thread):
    return [name for name, _ in python_frames(thread)]


def threads_of(document, name):
    """That thread in each snapshot; name is the beginning of its own."""
    return [thread for snapshot in document["snapshots"] for thread in snapshot["threads"]
            if (thread["name"] or "").startswith(name)]


def nested(depth, *inner):
    """What nest() of harm_quiet.py looks like from its thread."""
    return [*inner, *["nest"] * (depth + 1), "run", "_bootstrap_inner", "_bootstrap"]


class Case(harm.Case):
    @contextlib.contextmanager
    def quiet(self, python, *arguments, **options):
        with support.start_target(python, QUIET, *arguments, **options) as target:
            until_asleep(target.pid)
            yield target

    def snap(self, pid, *arguments, count=50, interval="2ms", ok=(0, 1)):
        """A report. How much fits into a pause is asked by Promise, which sets it."""
        document = support.pycore_json("snap", pid, "--snapshots", "-n", count, "-i", interval,
                                       "-q", AT_LEISURE, *arguments, ok=ok)
        self.check_sums(document)
        return document

    def check_sums(self, document):
        """The report's totals are those of its snapshots."""
        profile, snapshots = document["profile"], document["snapshots"]
        self.assertEqual(profile["snapshots"], len(snapshots))
        self.assertEqual(profile["pause_total_ns"], sum(one["pause_ns"] for one in snapshots))
        self.assertEqual(profile["pause_max_ns"], max(one["pause_ns"] for one in snapshots))
        self.assertLessEqual(profile["pause_median_ns"], profile["pause_p95_ns"])
        self.assertLessEqual(profile["pause_p95_ns"], profile["pause_max_ns"])
        self.assertAlmostEqual(profile["pause_share"],
                               profile["pause_total_ns"] / profile["duration_ns"], 3)
        self.assertEqual(profile["interrupted_calls"],
                         sum(one["interrupted_calls"] for one in snapshots))
        self.assertGreater(profile["own_cpu_ns"], 0)
        for one in snapshots:
            stopped = [thread for thread in one["threads"] if thread["stopped"]]
            self.assertEqual(one["threads_stopped"], len(stopped))
            self.assertTrue(one["pause_ns"] > 0 or not stopped)
            for thread in one["threads"]:
                self.assertIsInstance(thread["held_still"], bool)


class Blocked(Case):
    @each_version
    def test_parked_threads(self, python):
        """Threads in eight kinds of waits, beside one that computes: not one context switch in 50
        snapshots, and all the same frames in each."""
        seen = {}
        with self.quiet(python, "parked", 2, 10, 1) as target:
            for mode in (RUNNING, NONE, ALL):
                before = runs(target.pid)
                document = self.snap(target.pid, *mode)
                after = runs(target.pid)
                spinner = threads_of(document, "spinner")[0]["tid"]
                waiting = sorted(set(before) - {spinner})
                self.assertEqual(len(waiting), 17)
                if mode is ALL:
                    for tid in waiting:
                        self.assertGreaterEqual(after[tid][0] - before[tid][0], 45)
                else:
                    self.assertEqual([before[tid] for tid in waiting],
                                     [after[tid] for tid in waiting])
                self.check_parked(document, mode, spinner)
                seen[mode] = {thread["tid"]: thread["frames"] for thread in
                              document["snapshots"][-1]["threads"] if thread["tid"] != spinner}
        for mode in (NONE, ALL):
            for tid, frames in seen[RUNNING].items():
                self.assertEqual([frame for frame in frames if frame["kind"] == "python"],
                                 [frame for frame in seen[mode][tid] if frame["kind"] == "python"])

    def check_parked(self, document, mode, spinner):
        first, atomic, held = {}, 0, 0
        for one in document["snapshots"]:
            self.assertEqual(len(one["threads"]), 18)
            atomic += one["atomic"]
            if mode is not ALL:
                self.assertEqual(one["interrupted_calls"], 0)
            for thread in one["threads"]:
                if thread["tid"] == spinner:
                    continue
                held += thread["stopped"]
                self.assertFalse(thread.get("cut"), thread)
                self.assertEqual(thread["notes"], [])
                self.assertTrue(thread["held_still"] or mode is ALL)
                first.setdefault(thread["tid"], thread["frames"])
                # A stop that ends epoll_wait(2) with EINTR makes the thread run.
                self.assertTrue(thread["frames"] == first[thread["tid"]] or mode is ALL,
                                (thread["name"], thread["frames"], first[thread["tid"]]))
                if thread["name"] != "MainThread":
                    inner = ["wait", "wait"] if thread["name"].startswith("event") else []
                    self.assertEqual(names_of(thread), nested(10, *inner), thread["name"])
        count = len(document["snapshots"])
        stopped = sum(thread["stopped"] for thread in threads_of(document, "spinner"))
        if mode is not ALL:
            self.assertEqual(held, 0)
        else:
            self.assertGreater(held, 17 * count * 0.8)
            self.assertGreater(atomic, 0)
        if mode is NONE:
            self.assertEqual((atomic, stopped), (0, 0))
        else:
            self.assertGreater(stopped, count * 0.8)

    @each_version
    def test_nothing_is_read_twice(self, python):
        """The stack of a thread that did not run is not read again."""
        if not shutil.which("strace"):
            self.skipTest("no strace")
        if support.is_sanitized():
            self.skipTest("the leak sanitizer does not work below strace")
        with self.quiet(python, "parked", 2, 300, 0) as target:
            few, many = (self.bytes_read(target.pid, count) for count in (5, 25))
        each = (many - few) / 20
        print("%s: %d bytes read for 5 snapshots, %d for each one more" % (python.name, few, each))
        self.assertLess(each, 48 * 1024)  # the frames of 16 stacks of 300 calls are 500 KiB
        self.assertGreater(few, 16 * 300 * 64)

    def bytes_read(self, pid, count):
        log = os.path.join(self.folder, "strace")
        done = subprocess.run(
            ["strace", "-f", "-y", "-qq", "-e", "trace=process_vm_readv,pread64,preadv", "-o", log,
             support.PYCORE, "snap", str(pid), "-n", str(count), "-i", "5ms", "-q", "-o",
             os.path.join(self.folder, "report.txt")], stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, timeout=PATIENCE_S, env=support.clean_environment())
        if b"PTRACE" in done.stderr:
            self.skipTest("strace may not trace")
        self.assertEqual(done.returncode, 0, done.stderr)
        total = 0
        with open(log) as stream:
            for line in stream:
                match = re.search(r"= (\d+)$", line.rstrip())
                if match and ("process_vm_readv" in line or "/mem>" in line):
                    total += int(match.group(1))
        return total

    @each_version
    def test_other_kinds_of_threads(self, python):
        """Threads that Python does not know."""
        with self.quiet(python, "natives", compiled(self.folder), 4) as target:
            before = runs(target.pid)
            document = self.snap(target.pid)
            after = runs(target.pid)
            moved = [tid for tid in before if before[tid] != after[tid]]
            unknown = {thread["tid"] for one in document["snapshots"] for thread in one["threads"]
                       if not thread["known_to_python"]}
            self.assertEqual(len(unknown), 5)
            self.assertEqual(len(before), 7)
            self.assertLessEqual(set(moved), unknown)
            self.assertLessEqual(len(moved), 1)
            for thread in threads_of(document, "waiter"):
                self.assertEqual(names_of(thread), nested(5))

    @each_version
    def test_none_is_missed(self, python):
        """Threads that sleep and run in turn are all there in each snapshot, with their stacks."""
        expected = {"compute", "doze", "wait_for_pipe", "plain"}
        with self.app(python, "plain") as app:
            document = self.snap(app.pid, count=150)
            app.check_unharmed()
        seen, whole = 0, 0
        for one in document["snapshots"]:
            self.assertEqual(len(one["threads"]), 4)
            for thread in one["threads"]:
                names = names_of(thread)
                seen += 1
                if not thread.get("cut"):
                    self.assertEqual(len(expected.intersection(names)), 1, names)
                    self.assertIn(names[-1], ("_bootstrap", "<module>"))
                    whole += 1
                else:
                    self.assertTrue(thread["notes"])
        print("%s: %d of %d stacks whole" % (python.name, whole, seen))
        self.assertGreater(whole, seen * 0.9)

    @each_version
    def test_light_sleepers(self, python):
        """A thread that was asleep when it was looked at, and ran while its stack was read, between
        two chains of calls: no stack is half of the one and half of the other."""
        with self.quiet(python, "alternate", 60) as target:
            # That it is read in its short sleep is a matter of luck where either side is slow.
            lucky = python.version[:2] >= (3, 12) and not support.is_sanitized()
            deadline = time.monotonic() + PATIENCE_S
            while not self.light_sleepers(python, target.pid) and lucky:
                self.assertLess(time.monotonic(), deadline, "none was read in its sleep")

    def light_sleepers(self, python, pid):
        """How many of their stacks were read without a stop."""
        document = self.snap(pid, count=400, interval="500us")
        whole, still = 0, 0
        for thread in threads_of(document, "alternate"):
            names = [name for name in names_of(thread) if (name or "chain_").startswith("chain_")]
            self.assertIn(set(names), (set(), {"chain_a"}, {"chain_b"}, {None}))
            self.assertLessEqual(len(names), 61)
            if thread.get("cut"):
                continue
            self.assertEqual(names_of(thread)[len(names):],
                             ["work", "run", "_bootstrap_inner", "_bootstrap"])
            whole += 1
            still += not thread["stopped"]
            if thread["syscall"] in ("pselect6", "clock_nanosleep"):
                self.assertEqual(len(names), 61, thread["frames"][:3])
        print("%s: %d of 800 stacks whole, %d without a stop" % (python.name, whole, still))
        self.assertGreater(whole, 800 * 0.9)
        return still

    @versions("3.8", "3.12", "3.15")
    def test_subinterpreters(self, python):
        """Up to 3.12 a subinterpreter's thread state does not say who runs it: then all is
        stopped."""
        with self.quiet(python, "subinterpreters", 4) as target:
            for mode in (RUNNING, ALL):
                alone = mode is RUNNING and python.minor >= (3, 13)
                before = runs(target.pid)
                document = self.snap(target.pid, *mode, count=20)
                after = runs(target.pid)
                threads = [thread for thread in document["snapshots"][-1]["threads"]
                           if "inside" in names_of(thread)]
                self.assertEqual(len({thread["tid"] for thread in threads}), 4)
                self.assertEqual(len({thread["interpreter"] for thread in threads}), 4)
                for one in document["snapshots"]:
                    for thread in one["threads"]:
                        if thread["tid"] not in [other["tid"] for other in threads]:
                            continue
                        self.assertEqual(names_of(thread)[:2], ["inside", "<module>"])
                        if alone:
                            self.assertFalse(thread["stopped"])
                for thread in threads:
                    if alone:
                        self.assertEqual(before[thread["tid"]], after[thread["tid"]])

    @each_version
    def test_gil(self, python):
        """Of many threads that want the GIL, one holds it, or none does."""
        with self.quiet(python, "contend", 20) as target:
            document = self.snap(target.pid, count=60, interval="3ms")
        held, known, cut, unknown = 0, 0, 0, 0
        for one in document["snapshots"]:
            holders = [thread for thread in one["threads"] if thread["holds_gil"]]
            self.assertLessEqual(len(holders), 1)
            held += len(holders)
        for thread in threads_of(document, "spinner"):
            unknown += thread["state"] == "unknown" and not thread["notes"]
            if thread.get("cut"):
                self.assertTrue(thread["notes"] or document["notes"])
                cut += 1
            elif thread["frames"]:
                self.assertEqual(names_of(thread), nested(5, "spin"))
                known += 1
            else:
                self.assertTrue(thread["notes"])
        print("%s: 60 snapshots of 20 threads that want the GIL: %d held, %d stacks whole, %d cut, "
              "%d without a state" % (python.name, held, known, cut, unknown))
        self.assertGreater(held, 30)
        self.assertGreater(known, 20 * 60 * 0.9)
        self.assertLess(unknown, 20 * 60 * 0.05)
        profile = document["profile"]
        self.assertEqual(sum(profile["states"].values()), profile["samples"])
        self.assertEqual(profile["samples"],
                         sum(len(one["threads"]) for one in document["snapshots"]))
        for state, samples in profile["states"].items():
            self.assertEqual(samples, sum(thread["state"] == state for one in document["snapshots"]
                                          for thread in one["threads"]))

    def test_plain_user(self):
        """The owner of a process needs no privilege for any of this."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user; then all tests are this one")
        if os.path.exists("/proc/sys/kernel/yama/ptrace_scope"):
            self.skipTest("Yama is on: see test_snap_input.py for what it says")
        pycore = os.path.join(self.folder, "pycore")
        shutil.copy(support.PYCORE, pycore)
        os.chmod(self.folder, 0o755)
        # All imports come first: nobody may not be able to read the interpreter's own folder.
        program = ("import ctypes, mmap, os, select, signal, sys, threading, time\n"
                   "sys.path.insert(0, os.path.dirname(%r))\n"
                   "import at_rest\n"
                   "source = open(%r).read()\n"
                   "os.setgid(%d); os.setuid(%d)\n"
                   "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
                   "sys.argv = ['quiet', 'parked', '1', '10', '1']\n"
                   "exec(compile(source, 'quiet', 'exec'), {'__name__': '__main__'})\n"
                   % (QUIET, QUIET, NOBODY, NOBODY))

        def become_nobody():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

        with support.start_program([usual_python().path, "-c", program]) as target:
            until_asleep(target.pid)
            as_root = self.snap(target.pid, count=10)
            before = runs(target.pid)
            done = subprocess.run([pycore, "snap", str(target.pid), "-n", "10", "-i", "2ms",
                                   "--snapshots", "-q", "-f", "json", AT_LEISURE],
                                  stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
                                  timeout=PATIENCE_S, env=support.clean_environment(),
                                  preexec_fn=become_nobody)
            after = runs(target.pid)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            document = json.loads(done.stdout)
            self.check_sums(document)
            spinner = threads_of(document, "spinner")[0]["tid"]
            for one, other in zip(document["snapshots"], as_root["snapshots"]):
                for thread, peer in zip(one["threads"], other["threads"]):
                    self.assertEqual(thread["tid"], peer["tid"])
                    if thread["tid"] != spinner:
                        self.assertEqual(python_frames(thread), python_frames(peer))
                        self.assertFalse(thread["stopped"])
                        self.assertEqual(before[thread["tid"]], after[thread["tid"]])


class Calls(Case):
    """One thread in each of many blocking calls."""

    def outcome(self, python, *mode, watched=True, interval="5ms"):
        """What harm_blocking.c says after some hundred snapshots, and the report of these."""
        with self.quiet(python, "blocking", compiled(self.folder, "harm_blocking")) as target:
            document = None
            if watched:
                document = self.snap(target.pid, *mode, count=10000 if LONG else 300,
                                     interval=interval)
            os.kill(target.pid, signal.SIGTERM)
            lines = []
            while not lines or lines[-1] != "END":
                lines.append(target.read_line())
            self.assertEqual(target.process.wait(PATIENCE_S), 7)
        errors, signals = {}, None
        for line in lines[:-1]:
            name, rest = line.split(None, 1)
            fields = dict(field.split("=") for field in rest.split())
            if name == "signals":
                signals = fields
            elif "errno" in fields:
                errors[name] = {error: int(count) for error, count in
                                (pair.split(":") for pair in fields["errno"].split(","))}
        self.assertEqual(signals["sent"], signals["taken"])
        self.assertGreater(int(signals["taken"]), 10)
        return errors, document

    def eintr(self, errors):
        """How many calls failed so; of sigsuspend(2) that is the success."""
        return sum(counts.get("EINTR", 0) for name, counts in errors.items()
                   if name != "sigsuspend")

    control = None

    @each_version
    def test_default_interrupts_nothing(self, python):
        if not self.control:
            Calls.control, _ = self.outcome(python, watched=False)
        control = self.control
        self.assertGreaterEqual(len(control), 24)
        self.assertEqual(self.eintr(control), 0)
        # A thread that ran when it was looked at, and slept when the stop came: on a busy machine both are
        # far apart at times, but not always.
        for _ in range(5):
            errors, document = self.outcome(python)
            reported = document["profile"]["interrupted_calls"]
            print("%s: %d snapshots, EINTR %d, reported %d" % (
                python.name, len(document["snapshots"]), self.eintr(errors), reported))
            self.assertLessEqual(self.eintr(errors), reported)
            for name, counts in errors.items():
                self.assertEqual(set(counts) - {"EINTR"}, set(control[name]) - {"EINTR"}, name)
                self.assertGreater(sum(counts.values()), 10, name)
            few = 1 + len(document["snapshots"]) * 0.02
            if reported <= few:
                break
        self.assertLessEqual(reported, few)

    def test_all_interrupts_and_says_so(self):
        """Otherwise the test above proves nothing."""
        for interval in ("5ms", "20ms", "80ms"):
            errors, document = self.outcome(usual_python(), *ALL, interval=interval)
            for name in ("epoll_wait", "semop", "sigtimedwait", "recv_timeout"):
                self.assertGreater(errors[name].get("EINTR", 0), 50, name)
            reported, seen = document["profile"]["interrupted_calls"], self.eintr(errors)
            print("--stop=all -i %s: EINTR %d, reported %d" % (interval, seen, reported))
            # Of one that answers too late, and is let go by a signal handler, it is not known.
            self.assertLessEqual(seen * 0.95, reported)
            # One that is stopped again before it could return is counted again.
            if reported <= seen * 1.3 + 5:
                break
        self.assertLessEqual(reported, seen * 1.3 + 5)


class Promise(Case):
    """--max-pause."""

    def check_promise(self, document, limit_ns):
        """What was too long is counted, what is missing is noted."""
        profile = document["profile"]
        longer = sum(one["pause_ns"] > limit_ns for one in document["snapshots"])
        # The promise is for each stop; a snapshot may need a second one.
        self.assertLessEqual(profile["overruns"], longer)
        self.assertGreaterEqual(profile["overruns"], sum(
            one["pause_ns"] > limit_ns * (1 + one["threads_stopped"]) for one in
            document["snapshots"]))
        for one in document["snapshots"]:
            for thread in one["threads"]:
                whole = thread["frames"] and not thread.get("cut")
                if not whole:
                    self.assertTrue(thread["notes"] or one["notes"], thread)
        return longer

    def test_crowd(self):
        """More threads compute than there are processors for: not all can be stopped in time."""
        with self.quiet(usual_python(), "busy", compiled(self.folder), 300) as target:
            address = int(target.lines[-2])
            until(lambda: self.counters(target.pid, address).count(0) < 50, "the start of them")
            for limit, limit_ns in (("1us", 1000), ("5ms", 5000000)):
                before = self.counters(target.pid, address)
                document = self.snap(target.pid, "--max-pause", limit, count=2, interval="20ms")
                overruns = self.check_promise(document, limit_ns)
                busy = threads_of(document, "busy")
                self.assertEqual(len(busy), 2 * 300)
                whole = [thread for thread in busy if names_of(thread) == nested(5)]
                for thread in busy:
                    if thread["stopped"] and not thread.get("cut"):
                        self.assertEqual(names_of(thread), nested(5))
                print("--max-pause=%s, 300 busy threads: %d of 600 stacks, max %d us, overruns %d"
                      % (limit, len(whole), document["profile"]["pause_max_ns"] // 1000, overruns))
                if len(whole) < len(busy):
                    self.assertTrue(document["notes"] or
                                    any(one["notes"] for one in document["snapshots"]) or
                                    all(thread["notes"] for thread in busy
                                        if names_of(thread) != nested(5)))
                until(lambda: all(state not in "tT" and tracer == 0 for _, state, tracer in
                                  harm.task_facts(target.pid)), "the release of all threads")
                until(lambda: sum(after > value for after, value in
                                  zip(self.counters(target.pid, address), before)) > 100,
                      "progress of the threads: %s" % harm.task_facts(target.pid))

    def counters(self, pid, address):
        with open("/proc/%d/mem" % pid, "rb", buffering=0) as stream:
            return memoryview(os.pread(stream.fileno(), 8 * 300, address)).cast("Q").tolist()

    @versions("3.8", "3.15")
    def test_deep_recursion(self, python):
        """A thread that computes 2,000 calls deep: whole, or said to be cut; never wrong."""
        expected = nested(2000, "spin")
        with self.quiet(python, "deep", 2000) as target:
            for limit, limit_ns in (("1us", 1000), ("500us", 500000), ("10s", 10000000000)):
                document = self.snap(target.pid, "--max-pause", limit, count=10)
                self.check_promise(document, limit_ns)
                whole = 0
                for thread in threads_of(document, "deep"):
                    names = names_of(thread)
                    self.assertLessEqual(set(names), set(expected) | {None})
                    if thread["frames"] and not thread.get("cut"):
                        self.assertEqual(names, expected)
                        whole += 1
                print("%s --max-pause=%s: %d of 10 stacks of 2,000 calls, max %d us"
                      % (python.name, limit, whole, document["profile"]["pause_max_ns"] // 1000))
                if limit == "1us":
                    self.assertEqual(whole, 0)
            self.assertGreater(whole, 5)


class Pages(Case):
    """A look leaves the target's memory as it is: how much of it is shared, and its page tables."""

    def unshare_all(self, pid, where, pages, step=4096):
        """Reads as a debugger would: what the tests below would see then."""
        buffer = ctypes.create_string_buffer(1)
        for number in range(pages):
            local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 1)
            remote = (ctypes.c_void_p * 2)(where + number * step, 1)
            self.assertEqual(harm.libc.process_vm_readv(pid, local, 1, remote, 1, 0), 1)

    @each_version
    def test_shared_pages(self, python):
        """Parent and child of a fork go on sharing."""
        with self.quiet(python, "prefork", 100) as target:
            pids = (target.pid, int(target.lines[-2]))
            for pid in pids:
                before = [kib_of(one, "smaps_rollup", "Shared_Dirty") for one in pids]
                self.assertGreater(before[0], 100 << 10)
                document = self.snap(pid)
                after = [kib_of(one, "smaps_rollup", "Shared_Dirty") for one in pids]
                self.assertGreater(len(document["snapshots"][-1]["threads"][0]["frames"]), 600)
                lost = max(old - new for old, new in zip(before, after))
                print("%s: %d KiB no longer shared after 50 snapshots" % (python.name, lost))
                self.assertLess(lost, 256)

    def test_page_tables(self):
        """Memory that was never touched is not touched."""
        with self.quiet(usual_python(), "untouched", 20) as target:
            before = kib_of(target.pid, "status", "VmPTE")
            resident = kib_of(target.pid, "status", "VmRSS")
            document = self.snap(target.pid)
            self.assertEqual(len(threads_of(document, "waiter")), 20 * 50)
            self.assertLessEqual(kib_of(target.pid, "status", "VmPTE") - before, 16)
            self.assertLess(kib_of(target.pid, "status", "VmRSS") - resident, 1024)
            # So it would be seen.
            self.unshare_all(target.pid, int(target.lines[-2]), 200, 8 << 20)
            self.assertGreater(kib_of(target.pid, "status", "VmPTE") - before, 500)


class Loop(Case):
    """pycore's own time and memory."""

    def test_each_millisecond(self):
        """1,000 snapshots a second of 21 threads: the schedule is kept, or the misses are told."""
        with self.quiet(usual_python(), "parked", 2, 10, 4) as target:
            begin = time.monotonic()
            outcome = support.pycore("snap", target.pid, "-i", "1ms", "-d", "2s", "-q", "-f",
                                     "json", "--no-native")
            took_s = time.monotonic() - begin
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        profile = json.loads(outcome.out)["profile"]
        ticks = profile["snapshots"] + profile["missed"]
        share = profile["own_cpu_ns"] / profile["duration_ns"]
        print("-i 1ms: %d snapshots, %d missed, %d %% of a processor, %.1f s" % (
            profile["snapshots"], profile["missed"], 100 * share, took_s))
        self.assertTrue(1950 <= ticks <= 2010, ticks)
        self.assertGreater(profile["snapshots"], 0)
        self.assertTrue(0 < share < 1, share)

    def test_memory(self):
        """Many snapshots of what stays the same need no more memory than some."""
        sizes = []
        with self.quiet(usual_python(), "parked", 1, 10, 1) as target:
            with self.running(target.pid, interval="300us") as run:
                for count in (1, 1000, 3000):  # the first report needs memory of its own
                    run.await_snapshots(count)
                    sizes.append(kib_of(run.pid, "status", "VmRSS"))
        early, late = sizes[1:]
        print("resident: %d KiB after 1,000 snapshots, %d KiB after 3,000" % (early, late))
        # The sanitizer keeps what was freed for a while.
        self.assertLess(abs(late - early), 16384 if support.is_sanitized() else 1024)


if __name__ == "__main__":
    unittest.main()
