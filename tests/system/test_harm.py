#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does pycore harm the process it looks at? Signals, job control, exec, fork, exits, other tracers,
and the violent death of pycore itself, all while snapshots are taken as fast as users would, and
both in the default mode, which stops the threads that run, and with --stop=all."""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import time
import unittest

import harm
import support
from harm import (ALL, APP, AT_LEISURE, PATIENCE_S, RUNNING, compiled, each_version, libc, task_facts,
                  until, usual_python)

EARLY = True


class Harm(harm.Case):
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
        with self.app(python, "signals", compiled(self.folder), log) as app:
            with open(log, "r+b") as stream:
                count = memoryview(mmap.mmap(stream.fileno(), 8)).cast("Q")
            sent = []
            for mode in (RUNNING, ALL):
                with self.running(app.pid, *mode) as run:
                    for number in range(300):
                        signo = signal.SIGUSR1 if number % 2 else signal.SIGALRM
                        os.kill(app.pid, signo)
                        sent.append(int(signo))
                        until(lambda: count[0] >= len(sent), "signal %d of 300" % number)
                        time.sleep(0.0005)
                app.check_unharmed()
                self.check_report(run, at_least=2)
            rows = self.read_log(log)
            self.assertEqual([row[0] for row in rows], sent)
            self.assertEqual({row[1] for row in rows}, {0})  # SI_USER
            self.assertEqual({row[3] for row in rows}, {os.getpid()})

    @each_version
    def test_queued_signals(self, python):
        """Queued signals keep their order, their values and who sent them."""
        first = signal.SIGRTMIN
        log = os.path.join(self.folder, "log" + python.name)
        with self.app(python, "signals", compiled(self.folder), log) as app:
            value = 0
            for mode in (RUNNING, ALL):
                with self.running(app.pid, *mode, interval="5ms") as run:
                    begin, end = time.monotonic(), value + 10000
                    while value < end and time.monotonic() < begin + 0.5:
                        self.queue(app.pid, first + 3, value)
                        self.queue(app.pid, first + 4, value)
                        value += 1
                        if value % 20 == 0:
                            time.sleep(0.001)
                    until(lambda: len(self.read_log(log)) >= 2 * value, "the last signal")
                app.check_unharmed()
                self.check_report(run, at_least=2)
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
        with self.app(usual_python(), "signals", compiled(self.folder), log) as app:
            value = 0
            for number in range(150 if support.LONG else 20 if support.memory_errors_only() else 60):
                mode = ALL if number % 3 == 0 else RUNNING
                with self.running(app.pid, *mode, interval="300us") as run:
                    until_s = time.monotonic() + random.uniform(0.005, 0.045)
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
            for signo, mode in ((signal.SIGINT, RUNNING), (signal.SIGTERM, ALL),
                                (signal.SIGHUP, RUNNING)):
                with self.running(app.pid, *mode, interval="50ms") as run:
                    run.await_snapshots(2)
                    run.finish(signo)
                self.check_report(run, at_least=2)
                self.assertFalse(run.document["source"]["complete"])
                self.assertIn("interrupted", " ".join(run.document["notes"]))
            app.check_unharmed()

    def test_suspended_pycore(self):
        """Ctrl-Z suspends pycore, never its target."""
        with self.app(usual_python(), "plain") as app:
            for mode in (RUNNING, ALL):
                with self.running(app.pid, *mode, interval="300us",
                                  preexec_fn=lambda: os.setpgid(0, 0)) as run:
                    time.sleep(0.1)
                    for _ in range(30):
                        time.sleep(random.uniform(0, 0.01))
                        run.process.send_signal(signal.SIGTSTP)
                        until(lambda: all(fact[1] == "T" for fact in task_facts(run.pid)),
                              "the suspension")
                        app.check_progress(1)
                        self.assertEqual([fact for fact in task_facts(app.pid)
                                          if fact[1] in "tT"], [])
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
            for number, (signo, mode) in enumerate(((signal.SIGSTOP, RUNNING),
                                                    (signal.SIGTSTP, ALL),
                                                    (signal.SIGTTIN, RUNNING)), 1):
                os.kill(app.pid, signo)
                until(lambda: self.state(app.pid) == {"T"}, "the stop")
                until(lambda: app.beats[8] == number, "wait() for the stop")
                document = support.pycore_json("snap", app.pid, *mode, AT_LEISURE)
                threads = document["snapshots"][0]["threads"]
                self.assertEqual(len(threads), 4)
                self.assertTrue(all(thread["frames"] for thread in threads))
                before = app.beats.tolist()
                with self.running(app.pid, *mode, AT_LEISURE, count=20) as run:
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
        for mode in (RUNNING, ALL):
            with self.job(usual_python()) as app:
                with self.running(app.pid, *mode, interval="2ms") as run:
                    for number in range(1, 31):
                        os.kill(app.pid, signal.SIGSTOP if number % 2 else signal.SIGTSTP)
                        until(lambda: app.beats[8] == number, "wait() for stop %d" % number)
                        before = app.beats.tolist()
                        time.sleep(random.uniform(0, 0.02))
                        self.assertEqual(app.beats.tolist(), before, "it ran while stopped")
                        os.kill(app.pid, signal.SIGCONT)
                        until(lambda: app.beats[9] == number, "wait() for going on %d" % number)
                        app.check_progress()
                    os.kill(app.pid, signal.SIGSTOP)
                    until(lambda: app.beats[8] == 31, "wait() for the last stop")
                self.check_report(run, at_least=2)
                until(lambda: self.state(app.pid) == {"T"}, "the last stop")
                os.kill(app.pid, signal.SIGCONT)
                until(lambda: app.beats[9] == 31, "wait() for the last continuation")
                app.check_unharmed()
                self.assertEqual((app.beats[8], app.beats[9]), (31, 31))

    # ---- Ends ------------------------------------------------------------------------------------

    @each_version
    def test_process_ends(self, python):
        """A program that ends in the middle keeps its exit status, and there is a report."""
        for stop, *mode in ((RUNNING, "leave", 0.05, 7), (ALL, "leave", 0.02, 7),
                            (RUNNING, "threads-end", 10), (ALL, "threads-end", 10)):
            with self.app(python, *mode) as app:
                with self.running(app.pid, *stop, count=10000) as run:
                    # What ends before the first snapshot is taken leaves nothing to report.
                    run.await_line("the first snapshot is taken")
                    app.beats[8] = 1
                    self.assertEqual(app.target.process.wait(PATIENCE_S), 7)
                    run.wait()
                self.check_report(run)
                self.assertIn("process %d has ended" % app.pid, " ".join(run.document["notes"]))

    def test_killed_target(self):
        """kill -9 of a target with many threads at any moment: its parent learns of it, whatever pycore
        does then."""
        fifo = os.path.join(self.folder, "fifo")
        os.mkfifo(fifo)
        for number in range(24):
            with self.app(usual_python(), "many", 30) as app:
                with self.waiting_for_reader(app.pid, fifo, 1000000,
                                             *(RUNNING, ALL)[number % 2]) as process:
                    time.sleep(random.uniform(0.03, 0.06))
                    app.target.process.kill()
                    # Meanwhile pycore waits for somebody to read its report.
                    self.assertEqual(app.target.process.wait(PATIENCE_S), -signal.SIGKILL)
                    self.read_fifo(fifo, process)
                    self.assertIn(process.wait(PATIENCE_S), (1, 2))

    @each_version
    def test_main_thread_ends(self, python):
        """The main thread is a zombie, its process is alive."""
        with self.app(python, "main-exits") as app:
            until(lambda: (app.pid, "Z", 0) in task_facts(app.pid), "the main thread's end")
            with self.running(app.pid, AT_LEISURE, count=20) as run:
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
        for caller, mode in (("main", RUNNING), ("thread", RUNNING), ("main", ALL),
                             ("thread", ALL)):
            with self.app(python, "become", caller, 3) as app:
                with self.running(app.pid, *mode, interval="200us") as run:
                    until(lambda: app.beats[0] == 3, "the last exec by %s" % caller)
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
            for interval in ("500ms", "5s", "20s"):
                with self.app(usual_python(), "become", caller, 1) as app:
                    with self.running(app.pid, "--no-jitter", count=3, interval=interval) as run:
                        run.await_line("the first snapshot is taken")
                        app.beats[8] = 1  # now it executes itself
                        run.wait()
                    app.check_unharmed(8, 1, 2, 3)
                notes = " ".join(run.document["notes"]) if run.document else ""
                if run.rc == 0 and "executed another program" in notes:
                    break
                # It was not up again in time, or a snapshot met it as it started.
            else:
                self.fail("three runs did not survive an exec: %s %s" % (run.err, notes))

    def test_exec_of_another_program(self):
        """A Python that becomes something else ends the run with what there is."""
        for caller, mode in (("main", ALL), ("thread", RUNNING)):
            with self.app(usual_python(), "become-sleep", caller) as app:
                with self.running(app.pid, *mode) as run:
                    run.await_line("the first snapshot is taken")
                    app.beats[8] = 1
                    run.wait()
                self.check_report(run)
                app.check_free()
                until(lambda: self.state(app.pid) == {"S"}, "the sleep of what it became")

    @each_version
    def test_fork(self, python):
        """fork() and subprocess.run() go on as fast as the target can."""
        for mode in ("fork", "run"):
            with self.app(python, mode) as app:
                for stop in (RUNNING, ALL):
                    with self.running(app.pid, *stop, interval="2ms") as run:
                        before = app.beats[0]
                        until_s = time.monotonic() + 0.8
                        until(lambda: app.beats[0] >= before + 20 and time.monotonic() > until_s,
                              "20 rounds of %s" % mode)
                    self.check_report(run, at_least=2)
                    self.assertEqual(app.beats[8], 0, "a child was harmed")
                    app.check_unharmed()

    def test_vfork(self):
        """A vfork() parent cannot be stopped: it is read as it sleeps or, when all are to be
        stopped, that is said, the rest is seen, and it is let go."""
        hold_ms = 2000  # far longer than any stop, on a busy machine, too
        with self.app(usual_python(), "vfork", compiled(self.folder), hold_ms) as app:
            for mode in (RUNNING, ALL):
                rounds = app.beats[0]
                with self.running(app.pid, "--snapshots", *mode, interval="30ms") as run:
                    until(lambda: app.beats[0] >= rounds + 2, "two vfork() children")
                rounds = app.beats[0] - rounds
                self.check_report(run, at_least=2)
                self.assertLess(run.document["profile"]["pause_max_ns"], hold_ms * 1000000 / 2)
                parents = [thread for snapshot in run.document["snapshots"]
                           for thread in snapshot["threads"] if thread["tid"] == app.pid]
                told = [thread for thread in parents
                        if any("not stopped" in note for note in thread["notes"])]
                if mode is ALL:
                    self.assertTrue(told)
                else:
                    calls = [thread["syscall"] for thread in parents]
                    self.assertGreater(calls.count("vfork"), len(calls) / 2)
                    # It is stopped at most on its way out of the call.
                    stopped = [thread for thread in parents if thread["syscall"] == "vfork" and
                               thread["stopped"]]
                    self.assertLessEqual(len(stopped), rounds + 1)
                    bare = [thread for thread in parents if not thread["frames"]]
                    self.assertTrue(all(thread["notes"] for thread in bare))
                    self.assertLess(len(bare), len(parents) / 2)
                for snapshot in run.document["snapshots"]:
                    self.assertEqual(len(snapshot["threads"]), 4)
                app.check_unharmed()

    def test_vfork_ends_while_pycore_is_busy(self):
        """A vfork() parent goes on although pycore waits for somebody to read its report."""
        with self.app(usual_python(), "vfork", compiled(self.folder), 500) as app:
            fifo = os.path.join(self.folder, "fifo")
            os.mkfifo(fifo)
            for mode in (RUNNING, ALL):
                rounds = app.beats[0]
                until(lambda: app.beats[0] > rounds and app.beats[8] == 1, "vfork")
                rounds = app.beats[0]
                with self.waiting_for_reader(app.pid, fifo, 3, *mode) as process:
                    until(lambda: app.beats[0] > rounds, "the return from vfork()")
                    self.assertIsNone(process.poll())
                    self.assertIn("SUMMARY", self.read_fifo(fifo, process))
                    self.assertIn(process.wait(PATIENCE_S), (0, 1))
                app.check_unharmed()

    # ---- Other tracers ---------------------------------------------------------------------------

    def test_other_tracer(self):
        """Threads that another tracer holds are reported with what can be had of them: the newest
        one of a program that works, or all of it, as a debugger does."""
        python = usual_python()
        for mode, everything in ((RUNNING, False), (ALL, False), (RUNNING, True)):
            with self.app(python, "plain") as app:
                tids = sorted(fact[0] for fact in task_facts(app.pid))
                held = tids if everything else tids[-1:]
                with support.start_target(python, APP, os.path.join(self.folder, "beats"),
                                          "tracer", *held) as tracer:
                    document = support.pycore_json("snap", app.pid, "-n", "10", "-i", "10ms",
                                                   "--snapshots", AT_LEISURE, *mode, ok=(0, 1))
                    for snapshot in document["snapshots"]:
                        threads = {thread["tid"]: thread for thread in snapshot["threads"]}
                        self.assertEqual(sorted(threads), tids)
                        for tid in held:
                            self.assertTrue(threads[tid]["frames"])
                            self.assertIn("process %d traces it" % tracer.pid,
                                          " ".join(threads[tid]["notes"]))
                    for tid in held:
                        self.assertIn((tid, "t", tracer.pid), task_facts(app.pid))
                app.check_unharmed()

    def test_traced_by_its_parent(self):
        """PTRACE_TRACEME, and a stop that only the parent ends."""
        with self.app(usual_python(), "trace-me") as app:
            child = int(app.target.lines[0])
            for mode in (RUNNING, ALL):
                document = support.pycore_json("snap", child, AT_LEISURE, *mode, ok=(0, 1))
                thread = document["snapshots"][0]["threads"][0]
                self.assertTrue(thread["frames"])
                self.assertIn("process %d traces it" % app.pid, " ".join(thread["notes"]))
                self.assertEqual(task_facts(child), [(child, "t", app.pid)])
            app.beats[8] = 1
            app.check_progress(0)


if __name__ == "__main__":
    unittest.main()
