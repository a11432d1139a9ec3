#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""'snap --when' waits for a moment; SIGUSR1 makes a running snap write an interim report."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import harm
import support
import test_snap_input as inputs
from harm import PATIENCE_S

# Works, opens files, takes memory and starts threads when a line says so.
PROGRAM = """
import os, sys, threading, time
kept = []
def work():
    while True:
        sum(range(1000))
def idle():
    time.sleep(1000)
print('READY', flush=True)
for line in sys.stdin:
    word = line.strip()
    if word == 'work': threading.Thread(target=work, daemon=True).start()
    if word == 'threads': [threading.Thread(target=idle, daemon=True).start() for _ in range(20)]
    if word == 'files': kept += [open('/dev/null') for _ in range(200)]
    if word == 'memory': kept.append(bytearray(b'x') * (300 << 20))
    if word == 'fork':
        if os.fork() == 0: work()
    if word == 'end': break
    print('done', flush=True)
"""


class Target(inputs.Scratch):
    def setUp(self):
        super().setUp()
        self.target = subprocess.Popen([inputs.some_python().path, "-c", PROGRAM],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env=support.clean_environment(), start_new_session=True)
        self.addCleanup(self.end_target)
        self.assertEqual(self.target.stdout.readline(), b"READY\n")

    def end_target(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.target.pid, signal.SIGKILL)
        self.target.stdin.close()
        self.target.stdout.close()
        self.target.wait()

    def say(self, word):
        self.target.stdin.write(word.encode() + b"\n")
        self.target.stdin.flush()
        if word != "end":
            self.assertEqual(self.target.stdout.readline(), b"done\n")

    @contextlib.contextmanager
    def snap(self, *arguments):
        """A snap in the background, and a path of its report."""
        report = os.path.join(self.folder, "report.json")
        process = subprocess.Popen([support.PYCORE, "snap", *map(str, arguments), "-o", report],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=support.pycore_environment())
        try:
            yield process, report
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.stdout.close()
            process.stderr.close()
            process.wait()


    def until_it_waits(self, process):
        """For a moment: it has looked, and would say so."""
        bit = 1 << signal.SIGUSR1 - 1

        def is_caught():
            with open("/proc/%d/status" % process.pid) as stream:
                return int(re.search(r"^SigCgt:\s+(\w+)", stream.read(), re.M).group(1), 16) & bit
        harm.until(is_caught, "the start of pycore")
        process.send_signal(signal.SIGUSR1)
        self.assertIn(b"no snapshot has been taken yet", process.stderr.readline())


class Waiting(Target):
    def check_waits_for(self, moment, word, *arguments):
        with self.snap(self.target.pid, "--when", moment, *arguments) as (process, report):
            self.until_it_waits(process)
            time.sleep(1)
            self.assertIsNone(process.poll(), "%s is no moment to wait for" % moment)
            self.say(word)
            self.assertIn(process.wait(PATIENCE_S), (0, 1), process.stderr.read())
            with open(report) as stream:
                return json.load(stream)

    def test_cpu(self):
        document = self.check_waits_for("cpu>5%", "work", "-n", "5", "-i", "50ms")
        self.assertEqual(document["profile"]["snapshots"], 5)
        self.assertIn("work", [row["function"] for row in document["profile"]["functions"]])

    def test_for_a_while(self):
        self.check_waits_for("cpu>1% for 1s", "work")

    def test_threads(self):
        document = self.check_waits_for("threads>=21", "threads")
        self.assertEqual(len(document["snapshots"][0]["threads"]), 21)

    def test_files(self):
        self.check_waits_for("fds>150", "files")

    def test_memory(self):
        self.check_waits_for("rss>250M, threads<3", "memory")

    def test_processes_together(self):
        """With --children it is the sum that counts."""
        document = self.check_waits_for("threads>1", "fork", "--children")
        self.assertEqual(len(document["source"]["processes"]), 2)

    def test_now(self):
        outcome = support.pycore("snap", self.target.pid, "--when", "threads>0")
        self.assertEqual(outcome.rc, 0, outcome.err)

    def test_interrupted(self):
        with self.snap(self.target.pid, "--when", "rss>100G") as (process, report):
            self.until_it_waits(process)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE_S), 2)
            self.assertEqual(process.stderr.read(),
                             b"pycore: rss>100G was never true: interrupted\n")
            self.assertFalse(os.path.exists(report))

    def test_process_ends(self):
        with self.snap(self.target.pid, "--when", "rss>100G") as (process, report):
            self.until_it_waits(process)
            self.say("end")
            self.assertEqual(process.wait(PATIENCE_S), 2)
            self.assertEqual(process.stderr.read().decode(), "pycore: rss>100G was never true: "
                             "process %d has ended\n" % self.target.pid)
            self.assertFalse(os.path.exists(report))

    def test_costs_nothing(self):
        """The target is never stopped, and pycore sleeps."""
        with self.snap(self.target.pid, "--when", "rss>100G") as (process, _):
            time.sleep(3)
            with open("/proc/%d/stat" % process.pid) as stream:
                words = stream.read().rsplit(")", 1)[1].split()
            self.assertLess(int(words[11]) + int(words[12]), 0.3 * os.sysconf("SC_CLK_TCK")
                            * (10 if support.is_sanitized() else 1))
            self.assertEqual([row[2] for row in harm.task_facts(self.target.pid)], [0])

    def test_usage(self):
        for moment in ("cpu", "cpu>", "load>3", "cpu>90% or rss>1G", ""):
            self.check_one_line(support.pycore("snap", self.target.pid, "--when", moment), 64,
                                "--when 'cpu>90%'")

    def test_progress(self):
        """On a terminal it says what it waits for, and takes that away again."""
        pid, master = pty.fork()
        if pid == 0:
            support.keep_what_is_written(0)
            os.execv(support.PYCORE, ["pycore", "snap", str(self.target.pid), "--when", "rss>100G"])
        text = ""
        while not re.search(r"waiting for rss>100G: now rss [\d.]+M", text):
            self.assertTrue(select.select([master], [], [], PATIENCE_S)[0], text)
            text += os.read(master, 65536).decode()
        os.write(master, b"\x03")
        with contextlib.suppress(OSError):
            while True:
                data = os.read(master, 65536)
                if not data:
                    break
                text += data.decode()
        os.close(master)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 2)
        self.assertIn("\r\x1b[Kpycore: rss>100G was never true", text)


class Interim(Target):
    def test_files(self):
        self.say("work")
        markdown = os.path.join(self.folder, "report.md")
        with self.snap(self.target.pid, "-d", "1h", "-i", "20ms", "-v", "-o", markdown) as (process,
                                                                                      report):
            for line in process.stderr:
                if b"the first snapshot is taken" in line:
                    break
            seen, grown, deadline = 0, 0, time.monotonic() + PATIENCE_S
            while grown < 3:
                self.assertLess(time.monotonic(), deadline, "it takes no more snapshots")
                time.sleep(0.2)
                process.send_signal(signal.SIGUSR1)
                harm.until(lambda: os.path.exists(report) and os.path.exists(markdown), "the reports")
                with open(report) as stream:
                    document = json.load(stream)
                self.assertIsNone(process.poll())
                self.assertGreaterEqual(document["profile"]["snapshots"], seen)
                grown += document["profile"]["snapshots"] > seen
                seen = document["profile"]["snapshots"]
                self.assertEqual(sum(row["samples"] for row in document["profile"]["stacks"]),
                                 sum(row["samples"] for row in document["profile"]["threads"]))
                with open(markdown) as stream:
                    self.assertIn("Interim report", stream.read())
                os.unlink(report)
                os.unlink(markdown)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE_S), 1)
            with open(report) as stream:
                document = json.load(stream)
            self.assertGreaterEqual(document["profile"]["snapshots"], seen)
            self.assertFalse([note for note in document["notes"] if "interim" in note])
            self.assertEqual(sorted(os.listdir(self.folder)), ["report.json", "report.md"])

    def test_standard_output(self):
        self.say("work")
        process = subprocess.Popen([support.PYCORE, "snap", str(self.target.pid), "-d", "1h", "-i",
                                    "20ms", "-v"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=support.pycore_environment())
        for line in process.stderr:
            if b"the first snapshot is taken" in line:
                break
        process.send_signal(signal.SIGUSR1)
        for line in process.stderr:
            if b"interim report after" in line:
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_S)
        text = out.decode()
        self.assertEqual(text.count("Hotspots of "), 2)
        self.assertEqual(text.count("Interim report: "), 1)
        self.assertLess(text.index("Interim report: "), text.rindex("Hotspots of "))
        self.assertEqual(process.returncode, 1)

    def test_before_the_first_snapshot(self):
        with self.snap(self.target.pid, "--when", "rss>100G") as (process, report):
            self.until_it_waits(process)
            self.assertIsNone(process.poll())
            self.assertFalse(os.path.exists(report))


if __name__ == "__main__":
    import tap
    tap.main()
