#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does pycore harm the process it looks at? Signals, job control, exec, fork, exits, other tracers,
and the violent death of pycore itself, all while snapshots are taken as fast as users would."""

import contextlib
import ctypes
import errno
import functools
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import support

APP = support.path("tests/programs/harm_app.py")
NATIVE = support.path("tests/programs/harm_native.c")
VERSIONS = ("3.8", "3.12", "3.15")
USUAL = ("3.12", "3.11", "3.13", "3.14", "3.10", "3.9", "3.15")
PATIENCE_S = 20  # far more than anything takes; only a hang gets there

libc = ctypes.CDLL(None, use_errno=True)


def usual_python():
    """One interpreter, for what does not depend on the version of Python."""
    here = {python.name: python for python in support.interpreters()}
    for name in USUAL:
        if name in here:
            return here[name]
    raise unittest.SkipTest("no Python 3.9 or later is on this machine")


def each_version(function):
    """Makes of a test for one interpreter one for each of VERSIONS."""
    @functools.wraps(function)
    def test(self):
        for name in VERSIONS:
            with self.subTest(python=name):
                function(self, support.find_python(name))
    return test


def native(folder):
    """harm_native.c as a shared object."""
    library = os.path.join(folder, "harm_native.so")
    try:
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", library,
                        NATIVE], check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        raise unittest.SkipTest("no C compiler") from None
    return library


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
              "the release of all threads of %d %s" % (self.pid, task_facts(self.pid)), 5)

    def check_unharmed(self, *counters):
        self.check_free()
        self.check_progress(*counters)
        self.check_free()


class Run:
    """pycore in the background. finish() ends it with a signal and has its rc, document and err."""

    def __init__(self, process, output):
        self.process = process
        self.pid = process.pid
        self.output = output
        self.document = None
        self.rc = self.err = None

    def finish(self, signo=signal.SIGINT):
        if signo:
            self.process.send_signal(signo)
        self.wait()

    def wait(self):
        try:
            _, err = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError("pycore hangs: %s" % task_facts(self.pid)) from None
        self.rc, self.err = self.process.returncode, err.decode("utf-8", "replace")
        if self.rc < 0 and self.rc != -signal.SIGKILL or self.rc == support.SANITIZER_STATUS:
            raise AssertionError("pycore ended with %d: %s" % (self.rc, self.err))
        with contextlib.suppress(FileNotFoundError):
            with open(self.output) as stream:
                self.document = json.load(stream)


class Harm(support.TestCase):
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
        """pycore snap in the background, already at work."""
        output = os.path.join(self.folder, "report.json")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(output)
        command = [support.PYCORE, "snap", pid, "-n", count, "-i", interval, "-q", "-f", "json",
                   "-o", output, *arguments]
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=support.clean_environment(), **options)
        run = Run(process, output)
        try:
            yield run
            if run.rc is None:
                run.finish()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stderr.close()

    @contextlib.contextmanager
    def waiting_for_reader(self, pid, fifo, count):
        """pycore that waits for somebody to read its report from a FIFO."""
        process = subprocess.Popen([support.PYCORE, "snap", str(pid), "-n", str(count), "-i",
                                    "300us", "-q", "-o", fifo], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, env=support.clean_environment())
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

    # ---- Signals -------------------------------------------------------------------------------

    def read_log(self, log):
        with open(log, "rb") as stream:
            count = struct.unpack("Q", stream.read(8))[0]
            stream.seek(16)
            return list(struct.iter_unpack("iiii", stream.read(16 * count)))

    def queue(self, pid, signo, value):
        """sigqueue(3); waits while the kernel's queue is full."""
        def queued():
            if libc.sigqueue(pid, int(signo), ctypes.c_void_p(value)) == 0:
                return True
            if ctypes.get_errno() != errno.EAGAIN:
                raise OSError(ctypes.get_errno(), "sigqueue")
            return False
        until(queued, "room in the signal queue")

    @each_version
    def test_acknowledged_signals(self, python):
        """Each of many signals reaches its handler once, at 1 kHz."""
        log = os.path.join(self.folder, "log" + python.name)
        with self.app(python, "signals", native(self.folder), log) as app:
            with open(log, "r+b") as stream:
                count = memoryview(mmap.mmap(stream.fileno(), 8)).cast("Q")
            sent = []
            with self.running(app.pid) as run:
                for number in range(600):
                    signo = signal.SIGUSR1 if number % 2 else signal.SIGALRM
                    os.kill(app.pid, signo)
                    sent.append(int(signo))
                    until(lambda: count[0] >= len(sent), "signal %d of 600" % number)
                    time.sleep(0.0005)
            app.check_unharmed()
            self.check_report(run, at_least=20)
            rows = self.read_log(log)
            self.assertEqual([row[0] for row in rows], sent)
            self.assertEqual({row[1] for row in rows}, {0})  # SI_USER
            self.assertEqual({row[3] for row in rows}, {os.getpid()})

    @each_version
    def test_queued_signals(self, python):
        """Queued signals keep their order, their values and who sent them."""
        first = signal.SIGRTMIN
        log = os.path.join(self.folder, "log" + python.name)
        with self.app(python, "signals", native(self.folder), log) as app:
            with self.running(app.pid, interval="5ms") as run:
                begin = time.monotonic()
                value = 0
                while value < 20000 and time.monotonic() < begin + 1:
                    self.queue(app.pid, first + 3, value)
                    self.queue(app.pid, first + 4, value)
                    value += 1
                    if value % 20 == 0:
                        time.sleep(0.001)
                until(lambda: len(self.read_log(log)) >= 2 * value, "the last signal")
            app.check_unharmed()
            self.check_report(run, at_least=20)
            rows = self.read_log(log)
            self.assertEqual({(row[1], row[3]) for row in rows}, {(-1, os.getpid())})
            to_main = [row[2] for row in rows if row[0] == first + 3]
            to_any = [row[2] for row in rows if row[0] == first + 4]
            self.assertEqual(to_main, list(range(value)))
            self.assertEqual(sorted(to_any), list(range(value)))

    # ---- The violent end of pycore ---------------------------------------------------------------

    def test_killed_pycore(self):
        """kill -9 of pycore at any moment: nothing stays stopped and no signal gets lost."""
        first = signal.SIGRTMIN
        log = os.path.join(self.folder, "log")
        with self.app(usual_python(), "signals", native(self.folder), log) as app:
            value = 0
            for number in range(100):
                with self.running(app.pid, interval="300us") as run:
                    until_s = time.monotonic() + random.uniform(0.01, 0.06)
                    while time.monotonic() < until_s:
                        self.queue(app.pid, first + 3, value)
                        value += 1
                        time.sleep(0.00005)
                    run.finish(signal.SIGKILL)
                if number % 10 == 0:
                    app.check_unharmed()
            app.check_unharmed()
            until(lambda: len(self.read_log(log)) >= value, "the last signal")
            self.assertEqual([row[2] for row in self.read_log(log)], list(range(value)))

    @each_version
    def test_ended_by_signals(self, python):
        """Ctrl-C and SIGTERM end a run with a report; the target runs on."""
        with self.app(python, "plain") as app:
            for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                with self.running(app.pid, count=50, interval="50ms") as run:
                    time.sleep(0.3)
                    run.finish(signo)
                self.check_report(run)
                self.assertLess(run.document["profile"]["snapshots"], 50)
                self.assertFalse(run.document["source"]["complete"])
                self.assertIn("interrupted", " ".join(run.document["notes"]))
            app.check_unharmed()

    def test_suspended_pycore(self):
        """Ctrl-Z suspends pycore, never its target."""
        with self.app(usual_python(), "plain") as app:
            with self.running(app.pid, interval="300us",
                              preexec_fn=lambda: os.setpgid(0, 0)) as run:
                time.sleep(0.1)
                for _ in range(40):
                    time.sleep(random.uniform(0, 0.01))
                    run.process.send_signal(signal.SIGTSTP)
                    until(lambda: all(fact[1] == "T" for fact in task_facts(run.pid)),
                          "the suspension")
                    app.check_progress(1)
                    self.assertEqual([fact for fact in task_facts(app.pid) if fact[1] in "tT"], [])
                    run.process.send_signal(signal.SIGCONT)
            self.check_report(run)
            app.check_unharmed()

    def test_closed_outputs(self):
        """A reader that goes away, and no standard output at all."""
        with self.app(usual_python(), "many", 20) as app:
            command = [support.PYCORE, "snap", str(app.pid), "-n", "5", "-i", "5ms", "--full"]
            reader, writer = os.pipe()
            os.close(reader)
            for redirection in ({"stdout": writer}, {"preexec_fn": lambda: os.close(1)}):
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      timeout=PATIENCE_S, **redirection)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
            os.close(writer)
            app.check_unharmed()

    # ---- Job control -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def job(self, python):
        """A process that its parent waits for, in a background process group."""
        with self.app(python, "job") as app:
            app.pid = int(app.target.lines[-1].split()[1])
            yield app

    def state(self, pid):
        return {state for _, state, _ in task_facts(pid)}

    @each_version
    def test_stopped_targets(self, python):
        """What stands still is read, stands still as before, and goes on with SIGCONT."""
        with self.job(python) as app:
            for number, signo in enumerate((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN), 1):
                os.kill(app.pid, signo)
                until(lambda: self.state(app.pid) == {"T"}, "the stop")
                until(lambda: app.beats[8] == number, "wait() for the stop")
                document = support.pycore_json("snap", app.pid)
                threads = document["snapshots"][0]["threads"]
                self.assertEqual(len(threads), 4)
                self.assertTrue(all(thread["frames"] for thread in threads))
                before = app.beats.tolist()
                with self.running(app.pid, count=20) as run:
                    run.wait()
                self.check_report(run, rc=0, at_least=20)
                self.assertIn("stopped", json.dumps(run.document["notes"]))
                until(lambda: self.state(app.pid) == {"T"}, "the return to the stop")
                self.assertEqual(app.beats.tolist(), before)
                os.kill(app.pid, signal.SIGCONT)
                until(lambda: app.beats[9] == number, "wait() for the continuation")
                app.check_unharmed()

    def test_job_control_during_run(self):
        """Stops and continuations that come while snapshots are taken do what they always do."""
        with self.job(usual_python()) as app:
            with self.running(app.pid, interval="2ms") as run:
                for number in range(1, 41):
                    os.kill(app.pid, signal.SIGSTOP if number % 2 else signal.SIGTSTP)
                    until(lambda: app.beats[8] == number, "wait() for stop %d" % number)
                    before = app.beats.tolist()
                    time.sleep(random.uniform(0, 0.02))
                    self.assertEqual(app.beats.tolist(), before, "it ran while it was stopped")
                    os.kill(app.pid, signal.SIGCONT)
                    until(lambda: app.beats[9] == number, "wait() for continuation %d" % number)
                    app.check_progress()
                os.kill(app.pid, signal.SIGSTOP)
                until(lambda: app.beats[8] == 41, "wait() for the last stop")
            self.check_report(run, at_least=20)
            until(lambda: self.state(app.pid) == {"T"}, "the last stop")
            os.kill(app.pid, signal.SIGCONT)
            until(lambda: app.beats[9] == 41, "wait() for the last continuation")
            app.check_unharmed()
            self.assertEqual((app.beats[8], app.beats[9]), (41, 41))

    # ---- Ends ------------------------------------------------------------------------------------

    @each_version
    def test_process_ends(self, python):
        """A program that ends in the middle keeps its exit status, and there is a report."""
        for mode in (("leave", 0.4, 7), ("threads-end", 40)):
            with self.app(python, *mode) as app:
                with self.running(app.pid, count=10000) as run:
                    self.assertEqual(app.target.process.wait(PATIENCE_S), 7)
                    run.wait()
                self.check_report(run)
                self.assertIn("ended", " ".join(run.document["notes"]))

    def test_killed_target(self):
        """kill -9 of a target with many threads at any moment: its parent learns of it at once,
        whatever pycore does then."""
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        for _ in range(20):
            with self.app(usual_python(), "many", 30) as app:
                with self.waiting_for_reader(app.pid, fifo, 1000000) as process:
                    time.sleep(random.uniform(0.03, 0.06))
                    app.target.process.kill()
                    self.assertEqual(app.target.process.wait(5), -signal.SIGKILL)
                    self.read_fifo(fifo, process)
                    self.assertIn(process.wait(PATIENCE_S), (1, 2))

    @each_version
    def test_main_thread_ends(self, python):
        """The main thread is a zombie, its process is alive."""
        with self.app(python, "main-exits") as app:
            until(lambda: (app.pid, "Z", 0) in task_facts(app.pid), "the main thread's end")
            with self.running(app.pid, count=20) as run:
                run.wait()
            self.check_report(run, rc=0, at_least=20)
                # A thread state that the main thread left behind is shown without a number.
            tids = [thread["tid"] for thread in run.document["profile"]["threads"]]
            self.assertEqual(len([tid for tid in tids if tid]), 3)
            self.assertNotIn(app.pid, tids)
            app.check_unharmed(1, 2, 3)

    # ---- exec, fork, vfork -----------------------------------------------------------------------

    @each_version
    def test_exec(self, python):
        """Programs that execute themselves again and again get there, whichever thread does it."""
        for caller in ("main", "thread"):
            with self.app(python, "become", caller, 8) as app:
                with self.running(app.pid, interval="200us") as run:
                    until(lambda: app.beats[0] == 8, "the last exec by %s" % caller)
                    app.check_progress(8, 1, 2, 3)
                    # Between two programs there is no Python to be found: that ends a run.
                    if run.process.poll() is None:
                        run.finish()
                    else:
                        run.wait()
                self.assertIn(run.rc, (0, 1, 2), run.err)
                app.check_unharmed(8, 1, 2, 3)

    def test_exec_once(self):
        """A run goes on in the program that the target becomes."""
        for caller in ("main", "thread"):
            for attempt in range(5):
                with self.app(usual_python(), "become", caller, 1) as app:
                    with self.running(app.pid, "--no-jitter", count=4, interval="200ms") as run:
                        run.wait()
                    app.check_unharmed(8, 1, 2, 3)
                notes = " ".join(run.document["notes"]) if run.document else ""
                if run.rc == 0 and "executed another program" in notes:
                    break
                # While the new program starts there is no Python to be found: that ends a run.
            else:
                self.fail("five runs did not survive an exec: %s %s" % (run.err, notes))

    def test_exec_of_another_program(self):
        """A Python that becomes something else ends the run with what there is."""
        for caller in ("main", "thread"):
            with self.app(usual_python(), "become-sleep", caller, 0.3) as app:
                with self.running(app.pid, count=10000) as run:
                    run.wait()
                self.check_report(run)
                app.check_free()
                self.assertEqual(self.state(app.pid), {"S"})

    @each_version
    def test_fork(self, python):
        """fork() and subprocess.run() go on as fast as the target can."""
        for mode in ("fork", "run"):
            with self.app(python, mode) as app:
                with self.running(app.pid, interval="2ms") as run:
                    before = app.beats[0]
                    until(lambda: app.beats[0] >= before + 40, "40 rounds of %s" % mode)
                self.check_report(run, at_least=10)
                self.assertEqual(app.beats[8], 0, "a child was harmed")
                app.check_unharmed()

    def test_vfork(self):
        """A vfork() parent cannot be stopped: that is said, the rest is seen, it is let go."""
        with self.app(usual_python(), "vfork", native(self.folder), 300) as app:
            until(lambda: app.beats[8] == 1, "vfork")
            with self.running(app.pid, "--snapshots") as run:
                until(lambda: app.beats[0] >= 4, "four vfork() children")
            self.check_report(run, at_least=20)
            self.assertLess(run.document["profile"]["pause_max_ns"], 250000000)
            told = [thread for snapshot in run.document["snapshots"]
                    for thread in snapshot["threads"] if thread["tid"] == app.pid and
                    any("not stopped" in note for note in thread["notes"])]
            self.assertTrue(told)
            for snapshot in run.document["snapshots"]:
                self.assertEqual(len(snapshot["threads"]), 4)
            app.check_unharmed()

    def test_vfork_ends_while_pycore_is_busy(self):
        """A vfork() parent goes on although pycore waits for somebody to read its report."""
        with self.app(usual_python(), "vfork", native(self.folder), 700) as app:
            fifo = os.path.join(self.folder, "fifo")
            os.mkfifo(fifo)
            rounds = app.beats[0]
            until(lambda: app.beats[0] > rounds and app.beats[8] == 1, "vfork")
            rounds = app.beats[0]
            with self.waiting_for_reader(app.pid, fifo, 3) as process:
                until(lambda: app.beats[0] > rounds, "the return from vfork()", 5)
                self.assertIsNone(process.poll())
                self.assertIn("SUMMARY", self.read_fifo(fifo, process))
                self.assertIn(process.wait(PATIENCE_S), (0, 1))
            app.check_unharmed()

    # ---- Other tracers ---------------------------------------------------------------------------

    def test_other_tracer(self):
        """A thread that another tracer holds is reported with what can be had of it."""
        python = usual_python()
        with self.app(python, "plain") as app:
            tid = max(fact[0] for fact in task_facts(app.pid))
            with support.start_target(python, APP, os.path.join(self.folder, "beats"), "tracer",
                                      tid) as tracer:
                begin = time.monotonic()
                document = support.pycore_json("snap", app.pid, "-n", "20", "-i", "10ms",
                                               "--snapshots", ok=(0, 1))
                self.assertLess(time.monotonic() - begin, PATIENCE_S)
                for snapshot in document["snapshots"]:
                    threads = {thread["tid"]: thread for thread in snapshot["threads"]}
                    self.assertEqual(len(threads), 4)
                    self.assertTrue(threads[tid]["frames"])
                    self.assertIn("process %d traces it" % tracer.pid,
                                  " ".join(threads[tid]["notes"]))
                self.assertIn((tid, "t", tracer.pid), task_facts(app.pid))
            app.check_unharmed()

    def test_traced_by_its_parent(self):
        """PTRACE_TRACEME, and a stop that only the parent ends."""
        with self.app(usual_python(), "trace-me") as app:
            child = int(app.target.lines[0])
            document = support.pycore_json("snap", child, ok=(0, 1))
            thread = document["snapshots"][0]["threads"][0]
            self.assertTrue(thread["frames"])
            self.assertIn("process %d traces it" % app.pid, " ".join(thread["notes"]))
            self.assertEqual(task_facts(child), [(child, "t", app.pid)])
            app.beats[8] = 1
            app.check_progress(0)


if __name__ == "__main__":
    unittest.main()
