#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of harm share: the compiled helpers, what the kernel says of threads, programs that
count what they do, and a pycore that works in the background."""

import contextlib
import ctypes
import functools
import json
import mmap
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import support

APP = support.path("tests/programs/harm_app.py")
QUIET = support.path("tests/programs/harm_quiet.py")
USUAL = ("3.12", "3.11", "3.13", "3.14", "3.10", "3.9", "3.15")
PATIENCE_S = support.PATIENCE_S

# Only threads that run are stopped: what pycore does unless told otherwise. Or all of them.
RUNNING, ALL, NONE = (), ("--stop=all",), ("--stop=none",)
# Where it is not the question how much fits into a pause: on a busy machine it may be little.
AT_LEISURE = "--max-pause=10s"

libc = ctypes.CDLL(None, use_errno=True)


def usual_python():
    """One interpreter, for what does not depend on the version of Python."""
    here = {python.name: python for python in support.interpreters()}
    for name in USUAL:
        if name in here:
            return here[name]
    raise unittest.SkipTest("no Python 3.9 or later is on this machine")


def versions(*names):
    """Makes of a test for one interpreter one for each of those; under sanitizers for the last one."""
    if support.memory_errors_only():
        names = names[-1:]

    def mark(function):
        @functools.wraps(function)
        def test(self):
            for name in names:
                with self.subTest(python=name):
                    function(self, support.find_python(name))
        return test
    return mark


each_version = versions("3.8", "3.12", "3.15")


BUILT = tempfile.TemporaryDirectory(prefix="pycore-built-")  # what was compiled, until the suite's file ends


def compiled(folder, name="harm_native", ending=".so", options=("-shared", "-fPIC")):
    """A C file of tests/programs as a shared object (or as a program), in that folder."""
    built = os.path.join(BUILT.name, name + ending)
    if not os.path.exists(built):
        try:
            subprocess.run([os.environ.get("CC", "cc"), "-O1", *options, "-pthread", "-o", built,
                            support.path("tests/programs/%s.c" % name)], check=True,
                           stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            raise unittest.SkipTest("no C compiler") from None
    return shutil.copy(built, folder)


def until(condition, what, timeout_s=PATIENCE_S):
    """Waits for something that has to come; fails when it does not."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("%s did not happen within %g s" % (what, timeout_s))
        time.sleep(0.001)


def task_facts(pid):
    """[(tid, state letter, tracer)] of a process; tasks that end meanwhile are left out."""
    facts = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for tid in os.listdir("/proc/%d/task" % pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open("/proc/%d/task/%s/status" % (pid, tid)) as stream:
                    lines = dict(line.split(":\t", 1) for line in stream if ":\t" in line)
                facts.append((int(tid), lines["State"][0], int(lines["TracerPid"])))
    return facts


SLEEPS = {"23", "35", "230", "270"}  # select, nanosleep, clock_nanosleep, pselect6


def until_asleep(pid):
    """Until the main thread sleeps for a time: not just somewhere where it waits for a moment."""
    def sleeps():
        with open("/proc/%d/syscall" % pid) as stream:
            return stream.read().split()[0] in SLEEPS
    until(sleeps, "the sleep of %d" % pid)


class App:
    """A running harm_app.py: pid of the process to look at, its counters, its Target."""

    def __init__(self, target, beats):
        self.target = target
        self.beats = beats
        self.pid = target.pid

    def check_progress(self, *counters):
        """Its threads work: each of those counters grows."""
        before = self.beats.tolist()
        for counter in counters or (0, 1, 2, 3):
            until(lambda: self.beats[counter] != before[counter],
                  "progress of counter %d (tasks: %s)" % (counter, task_facts(self.pid)))

    def check_free(self):
        """No thread is stopped and none is traced; the kernel may need a moment for that."""
        until(lambda: all(state not in "tT" and tracer == 0
                          for _, state, tracer in task_facts(self.pid)),
              "the release of all threads of %d %s" % (self.pid, task_facts(self.pid)))

    def check_unharmed(self, *counters):
        self.check_free()
        self.check_progress(*counters)
        self.check_free()


class Run:
    """pycore in the background. finish() ends it with a signal and has its rc, document and err; look()
    is what it has seen so far."""

    def __init__(self, process, output):
        self.process = process
        self.pid = process.pid
        self.output = output
        self.document = None
        self.rc = self.err = None
        self.said = ""

    def await_line(self, text):
        """Until it says so on standard error, or ends."""
        for line in self.process.stderr:
            self.said += line.decode("utf-8", "replace")
            if text in self.said:
                break

    def look(self):
        """An interim report; None: it has ended."""
        before, sent_s = self._written(), 0
        while self.process.poll() is None:
            now_s = time.monotonic()
            if now_s - sent_s > 1:  # not each of them is answered: none before the first snapshot
                self.process.send_signal(signal.SIGUSR1)
                sent_s = now_s
            if self._written() not in (None, before):
                with open(self.output) as stream:
                    return json.load(stream)
            time.sleep(0.01)
        return None

    def _written(self):
        with contextlib.suppress(FileNotFoundError):
            facts = os.stat(self.output)
            return facts.st_ino, facts.st_mtime_ns
        return None

    def look_until(self, condition, what):
        """The first interim report of which that is true; None: it has ended before."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            document = self.look()
            if document is None or condition(document):
                return document
            if time.monotonic() > deadline:
                raise AssertionError("%s was not seen within %g s: %s" % (
                    what, PATIENCE_S, json.dumps(document)[:20000]))
            time.sleep(0.05)

    def await_snapshots(self, count):
        """Until it has taken so many, or has ended; however slow it is, as long as it goes on."""
        taken = 0
        while taken < count:
            document = self.look_until(lambda document: document["profile"]["snapshots"] > taken,
                                       "another snapshot after %d" % taken)
            if document is None:
                break
            taken = document["profile"]["snapshots"]
            time.sleep(0.1)

    def finish(self, signo=signal.SIGINT):
        if signo:
            self.process.send_signal(signo)
        self.wait()

    def wait(self):
        try:
            _, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError("pycore hangs: %s" % task_facts(self.pid)) from None
        self.rc = self.process.returncode
        self.err = self.said + err.decode("utf-8", "replace")
        if (self.rc < 0 and self.rc != -signal.SIGKILL or self.rc == support.SANITIZER_STATUS or
                "Sanitizer" in self.err):
            raise AssertionError("pycore ended with %d: %s" % (self.rc, self.err))
        with contextlib.suppress(FileNotFoundError):
            with open(self.output) as stream:
                self.document = json.load(stream)


class Case(support.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    @contextlib.contextmanager
    def app(self, python, mode, *arguments, **options):
        shared = os.path.join(self.folder, "beats")
        with open(shared, "wb") as stream:
            stream.write(bytes(512))
        with open(shared, "r+b") as stream:
            beats = memoryview(mmap.mmap(stream.fileno(), 512)).cast("Q")
        with support.start_target(python, APP, shared, mode, *arguments, **options) as target:
            yield App(target, beats)

    @contextlib.contextmanager
    def running(self, pid, *arguments, interval="10ms", count=1000000, **options):
        """pycore snap in the background, already at work. If nobody else ends it, it has taken two
        snapshots at least."""
        output = os.path.join(self.folder, "report.json")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output)
        command = [support.PYCORE, "snap", pid, "-n", count, "-i", interval, "-q", "-v", "-f",
                   "json", "-o", output, *arguments]
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=support.pycore_environment(), **options)
        run = Run(process, output)
        try:
            run.await_line("the first snapshot comes now")
            yield run
            if run.rc is None:
                run.await_snapshots(2)
                run.finish()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()

    @contextlib.contextmanager
    def waiting_for_reader(self, pid, fifo, count, *arguments):
        """pycore that waits for somebody to read its report from a FIFO."""
        process = subprocess.Popen([support.PYCORE, "snap", str(pid), "-n", str(count), "-i",
                                    "300us", "-q", "-o", fifo, *arguments],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=support.pycore_environment())
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def read_fifo(self, fifo, process):
        """What it writes until it ends; it may also end without a word."""
        data = b""
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            deadline = time.monotonic() + PATIENCE_S
            ended = False
            while not ended:
                self.assertLess(time.monotonic(), deadline, "pycore hangs")
                ended = process.poll() is not None
                with contextlib.suppress(BlockingIOError):
                    while True:
                        part = os.read(reader, 65536)
                        data += part
                        if not part:
                            break
                time.sleep(0.001)
            return data.decode()
        finally:
            os.close(reader)

    def check_report(self, run, rc=1, at_least=1):
        self.assertEqual(run.rc, rc, run.err)
        self.assertIsNotNone(run.document)
        self.assertGreaterEqual(run.document["profile"]["snapshots"], at_least)
