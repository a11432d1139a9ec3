#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of programs in trouble: the answer comes first in every format, live, from cores, captures and
documents alike; --fail-on; no secret; and no alarm where nothing is wrong."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import time

import harm
import support
import tap

PROGRAM = support.path("tests/programs/incident.py")
line_of = functools.partial(support.line_of, PROGRAM)
SECRETS = ("hunter2", "x1Y2")


NATIVE_DEADLOCK = """
import ctypes, threading, time
libc = ctypes.CDLL(None)
first, second = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
both = threading.Barrier(3)

def take(one, other):
    libc.pthread_mutex_lock(one)
    both.wait()
    libc.pthread_mutex_lock(other)

threading.Thread(target=take, args=(first, second), name="lower", daemon=True).start()
threading.Thread(target=take, args=(second, first), name="upper", daemon=True).start()
both.wait()
print("READY", flush=True)
time.sleep(600)
"""


class Incident(support.FolderCase):
    def read(self, name):
        with open(self.file(name), encoding="utf-8") as stream:
            return stream.read()

    def target(self, python, what):
        return support.start_target(python, PROGRAM, what, still=True)

    def check_deadlock(self, text):
        first = " ".join("\n".join(text.split("\n")[:5]).split())
        self.assertRegex(first, "DEADLOCK - ")
        for words in ("transfer-1", "refund-1", "accounts", "orders",
                      "incident.py:%d" % line_of("with orders", "def transfer"),
                      "incident.py:%d" % line_of("with accounts", "def refund")):
            self.assertIn(words, first)

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_deadlock(self, python):
        with self.target(python, "di") as target:
            live = support.pycore("snap", target.pid, "--save", self.file("capture"))
            run = support.pycore("snap", target.pid, "-n", "5", "-i", "20ms")
            done = support.pycore("gcore", target.pid, "-o", self.file("core"))
            self.assertEqual(done.rc, 0, done.err)
        self.assertIn(live.rc, (0, 1), live.err)
        self.check_deadlock(live.out)
        self.check_deadlock(run.out)
        self.check_deadlock(support.pycore("analyze", self.file("core")).out)
        self.check_deadlock(support.pycore("report", self.file("capture")).out)

    @harm.versions("3.8", "3.12", "3.15")
    def test_native_deadlock(self, python):
        """Threads that have to be stopped, as the kernel does not tell all their registers."""
        with open(self.file("native.py"), "w", encoding="ascii") as stream:
            stream.write(NATIVE_DEADLOCK)
        with support.start_target(python, self.file("native.py"), still=True) as target:
            one = support.pycore("snap", target.pid)
            run = support.pycore("snap", target.pid, "-n", "5", "-i", "20ms")
        for done in (one, run):
            first = " ".join(done.out.split("\n")[:5])
            self.assertIn("DEADLOCK - lower and upper wait for each other: lower holds a native mutex",
                          first)

    @harm.versions("3.8", "3.12")
    def test_formats(self, python):
        """All say the same, and a document says it again."""
        names = ["a.txt", "a.md", "a.html", "a.json"]
        outputs = [word for name in names for word in ("-o", self.file(name))]
        with self.target(python, "dpe") as target:
            for options in ((), ("-n", "5", "-i", "20ms"), ("--locals",)):
                support.pycore("snap", target.pid, *options, *outputs)
                document = json.loads(self.read("a.json"))
                self.assertEqual(document["word"], "DEADLOCK")
                severities = [finding["severity"] for finding in document["findings"]]
                self.assertEqual(severities, sorted(severities, key=["high", "medium", "low"].index))
                self.assertEqual([finding["id"] for finding in document["findings"]][:2],
                                 ["deadlock", "root-blocker"])
                lock = [lock for lock in document["locks"] if lock["what"] == "pool_lock"]
                self.assertEqual(len(lock), 1)
                self.assertEqual(len(lock[0]["waiting"]), 8)
                last = document.get("last_snapshot") or document["snapshots"][-1]
                holder = [thread for thread in last["threads"] if thread["tid"] == lock[0]["holder"]]
                self.assertEqual([thread["name"] for thread in holder], ["report"])
                for name in names[:2] + names[3:]:
                    again = support.pycore("report", self.file("a.json"), "-o", self.file("b"), "-f",
                                           name.split(".")[1].replace("txt", "text"))
                    self.assertIn(again.rc, (0, 1), again.err)
                    self.assertEqual(self.read("b"), self.read(name))
                for name in names:
                    text = self.read(name)
                    self.assertIn(document["fingerprint"], text)
                    for secret in SECRETS:
                        self.assertNotIn(secret, text, name)

    @harm.versions("3.12")
    def test_secrets(self, python):
        with self.target(python, "pe") as target:
            hidden = support.pycore("snap", target.pid, "--locals").out
            shown = support.pycore("snap", target.pid, "--locals", "--show-secrets").out
        self.assertRegex(hidden, r"\n\d+ values that look like secrets are hidden; --show-secrets")
        self.assertIn("ValueError: no price, password=***", hidden)
        self.assertIn("This report may hold passwords and keys", shown)
        for secret in SECRETS:
            self.assertNotIn(secret, hidden)
            self.assertIn(secret, shown)

    @harm.versions("3.12")
    def test_traceback(self, python):
        with self.target(python, "e") as target:
            text = support.pycore("snap", target.pid, "--no-native").out
        lines = line_of("raise", "def retry"), line_of("sku", "def retry")
        self.assertRegex(text, "  - handles ValueError: no price, password=[*]{3}\n"
                               "      retry .*:%d[)]\n    caused by KeyError: 'sku'\n"
                               "      retry .*:%d[)]\n" % lines)

    @harm.versions("3.8", "3.12", "3.15")
    def test_fail_on(self, python):
        with self.target(python, "d") as target:
            for severity, rc in (("low", 3), ("medium", 3), ("high", 3)):
                done = support.pycore("snap", target.pid, "--fail-on", severity)
                self.assertEqual(done.rc, rc, done.err)
                self.assertIn("DEADLOCK", done.out)
            done = support.pycore("snap", target.pid, "-n", "3", "-i", "20ms", "--fail-on=high",
                                  "-o", self.file("a.json"))
            self.assertEqual(done.rc, 3)
            # Of one thread alone it is still said: its lock's holder is not forgotten.
            done = support.pycore("snap", target.pid, "--fail-on=high", "--thread", "transfer-1")
            self.assertEqual(done.rc, 3)
            self.check_deadlock(done.out)
            self.assertIn(support.pycore("snap", target.pid).rc, (0, 1))
        self.assertEqual(support.pycore("report", self.file("a.json"), "--fail-on=high").rc, 3)
        self.assertEqual(support.pycore("report", self.file("a.json"), "--fail-on=all").rc, 64)
        with self.target(python, "i") as target:
            done = support.pycore("snap", target.pid, "--fail-on", "low")
            self.assertIn(done.rc, (0, 1), done.out[:2000])
            self.assertEqual(support.pycore_json("snap", target.pid, ok=(0, 1))["findings"], [])
            self.assertRegex(done.out.split("\n")[1], "^IDLE - ")

    def observed(self, options, command, text):
        """(exit status, report) of pycore run, whose program ends, as its input does, once pycore saw the
        text: on a busy machine that may take any time."""
        report = self.file("report.txt")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(report)
        process = subprocess.Popen([support.PYCORE, "run", "-v", "-i", "50ms", "-o", report, *options, "--",
                                    *command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, env=support.clean_environment())
        try:
            said = b""
            for line in process.stderr:
                said += line
                if b"the first snapshot is taken" in line:
                    break
            deadline = time.monotonic() + harm.PATIENCE_S
            while not (os.path.exists(report) and text in self.read("report.txt")):
                self.assertIsNone(process.poll(), said)
                self.assertLess(time.monotonic(), deadline, said)
                process.send_signal(signal.SIGUSR1)  # an interim report
                time.sleep(0.2)
            _, err = process.communicate(timeout=harm.PATIENCE_S)
        finally:
            process.kill()
            process.communicate()
        self.assertNotIn(b"Sanitizer", err)
        return process.returncode, self.read("report.txt")

    @harm.versions("3.12")
    def test_run(self, python):
        """--fail-on is asked for, so it goes before the program's own exit code."""
        script = self.file("ends.py")
        with open(script, "w", encoding="utf-8") as stream:
            stream.write("import os, sys, threading\n"
                         "a = threading.Lock()\n"
                         "def again():\n"
                         "    with a:\n"
                         "        with a: pass\n"
                         "threading.Thread(target=again, daemon=True).start()\n"
                         "sys.stdin.read()\n"
                         "os._exit(7)\n")  # at once: in the last snapshot it deadlocks still
        for options, wanted in (((), 7), (("--fail-on=medium",), 3)):
            rc, report = self.observed(options, [python.path, script], "DEADLOCK - ")
            self.assertEqual(rc, wanted, report)
            self.assertRegex(report, "DEADLOCK - ")
            self.assertNotIn("Interim report", report)

    @harm.versions("3.12")
    def test_command_line_without_secrets(self, python):
        """The line that says how to get the report again holds the program's arguments."""
        rc, report = self.observed((), [python.path, "-c", "import sys; sys.stdin.read()", "--password",
                                        SECRETS[0]], "once more")
        self.assertEqual(rc, 0, report)
        self.assertIn("once more", report)
        self.assertNotIn(SECRETS[0], report)


if __name__ == "__main__":
    tap.main()
