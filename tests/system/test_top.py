#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""pycore top in a real terminal (tmux): what is on the screen, what keys do, and that the terminal is
as it was whatever ends it; and its tables where there is no terminal."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import support
from harm import PATIENCE_S, until_asleep, usual_python

EARLY = True

SERVICE = support.path("examples/busy_service.py")
THREADS = ["pricing", "http-server", "http-client", "cache-writer", "cache-reader", "MainThread",
           "worker-0", "worker-1", "worker-2"]
# So many snapshots that the shares of simulate_prices and of its lines are near what they are.
ENOUGH = r" ([3-9]\d|\d{3,}) snapshots"


def service(python):
    return support.start_target(python, SERVICE, "--seconds", "600", "--allow-tracing")


class Terminal:
    """A tmux window in which a shell runs pycore top, and says how it ended."""

    def __init__(self, folder, pid, arguments, columns, rows, env, shell):
        self.folder = folder
        self.socket = os.path.join(folder, "tmux")
        self.arguments = [support.PYCORE, "top", str(pid), *arguments]
        # Ctrl-C is for all of the terminal: the shell outlives it. What signals kill leaves no core.
        # See support.keep_what_is_written().
        command = ("ulimit -c 0; stty noflsh; trap : INT; stty -a > '%s/before'; '%s'; echo \"rc=$?\"; "
                   "stty -a > '%s/after'; echo finished; exec sleep 600"
                   % (folder, "' '".join(self.arguments), folder))
        if shell:
            command = shell
        environment = support.pycore_environment(**env)
        self.environment = environment
        words = ["env", "-i"] + ["%s=%s" % item for item in environment.items()
                                 if item[0] != "TERM"]
        # tmux says itself what terminal it is, unless a test wants another one.
        words += ["TERM=%s" % environment.get("TERM", "screen"), "sh", "-c", command]
        self.tmux("-f", "/dev/null", "new-session", "-d", "-s", "top", "-x", str(columns),
                  "-y", str(rows), *words)

    def tmux(self, *arguments):
        # The server takes its locale from here: UTF-8, so that it can show what is sent to it.
        done = subprocess.run(["tmux", "-u", "-S", self.socket, *arguments], timeout=PATIENCE_S,
                              env=support.clean_environment(TERM="screen"),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            raise AssertionError("tmux %s: %s" % (" ".join(arguments), done.stderr.decode()))
        return done.stdout.decode("utf-8", "replace")

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", "-t", "top", *options)

    def lines(self):
        return self.screen().split("\n")

    def keys(self, *keys):
        for key in keys:
            self.tmux("send-keys", "-t", "top", key)

    def typed(self, text):
        self.tmux("send-keys", "-t", "top", "-l", text)

    def resize(self, columns, rows):
        self.tmux("resize-window", "-t", "top", "-x", str(columns), "-y", str(rows))

    def flag(self, name):
        return self.tmux("display-message", "-p", "-t", "top", "#{%s}" % name).strip()

    def until(self, pattern, options=()):
        """The screen, once the pattern is on it and all of it is drawn: twice the same."""
        deadline = time.monotonic() + PATIENCE_S
        before = None
        while True:
            screen = self.screen(*options)
            found = re.search(pattern, screen, re.M)
            if found and screen == before:
                return screen
            if time.monotonic() > deadline:
                raise AssertionError("no %r %swithin %d s in:\n%s" % (
                    pattern, "that stays " if found else "", PATIENCE_S, screen))
            before = screen
            time.sleep(0.1)

    def pid(self):
        """Of the pycore in it."""
        pane = int(self.flag("pane_pid"))
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for name in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    with open("/proc/%s/stat" % name) as stream:
                        fields = stream.read().rsplit(")", 1)[1].split()
                    with open("/proc/%s/cmdline" % name, "rb") as stream:
                        words = stream.read().decode().split("\0")
                    if int(fields[1]) == pane and words[:2] == self.arguments[:2]:
                        return int(name)
            time.sleep(0.1)
        raise AssertionError("there is no pycore in:\n%s" % self.screen())

    def kill(self):
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.tmux("kill-server")

    def stty(self, name):
        with open(os.path.join(self.folder, name)) as stream:
            # The size is the window's, not what a program left.
            return re.sub(r"rows \d+; columns \d+;", "", stream.read())


@contextlib.contextmanager
def terminal(pid, *arguments, columns=80, rows=24, env=None, shell=None):
    # The path of a socket is short.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        window = Terminal(folder, pid, arguments, columns, rows, env or {}, shell)
        try:
            yield window
        finally:
            window.kill()


class OnATerminal(support.TestCase):
    def setUp(self):
        if not shutil.which("tmux"):
            self.skipTest("tmux is not on this machine")
        self.python = usual_python()

    def enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def start(self, pid, *arguments, **options):
        window = self.enter(terminal(pid, *arguments, **options))
        screen = window.until(r"\d+ snapshots?, one per|finished|plain tables")
        if "without ncurses" in screen:
            self.skipTest("this pycore was built without ncurses")
        return window

    def assert_restored(self, window, rc):
        screen = window.until(r"^finished$")
        if rc is not None:
            self.assertRegex(screen, r"(?m)^rc=%d$" % rc)
        self.assertEqual(window.stty("before"), window.stty("after"))
        self.assertEqual(window.flag("alternate_on"), "0")
        self.assertEqual(window.flag("cursor_flag"), "1")
        self.assertNotIn("Sanitizer", screen)

    def row(self, screen, pattern):
        found = [line for line in screen.split("\n") if re.search(pattern, line)]
        self.assertTrue(found, "no %r in:\n%s" % (pattern, screen))
        return found[0]

    def test_80x24(self):
        with service(self.python) as target:
            window = self.start(target.pid, "-i", "100ms")
            screen = window.until(ENOUGH)
            lines = screen.split("\n")
            self.assertIn("busy_service.py", lines[0])
            self.assertIn("pid %d, Python %s" % (target.pid, self.python.full.split("+")[0]),
                          lines[0])
            self.assertRegex(lines[1], r"^CPU \d+ % +9 threads: \d\.\d work, \d\.\d wait +GIL \d+ %")
            self.assertRegex(lines[2], r"^last .*: \d+ snapshots, one per .* pause .* %, pycore")
            self.assertRegex(lines[4], r"^ +TID THREAD +CPU% STATE +% MOSTLY IN")
            self.assertRegex(lines[5], r"^ *\d+ pricing +\d+\.\d (running|runnable|gil-wait) +\d+ ")
            titles = [number for number, line in enumerate(lines) if " SELF% TOTAL%" in line]
            hottest = lines[titles[0] + 1]
            self.assertIn("simulate_prices", hottest)
            self.assertIn("busy_service.py:", hottest)
            own, total = map(float, hottest.split()[:2])
            self.assertTrue(35 <= own <= total <= 95, hottest)
            # All it calls is range(), where a thread may be seen to wait for the GIL.
            self.assertLess(total - own, 15)
            self.assertRegex(lines[23], "^q quit  h help")
            self.assertTrue(all(len(line) <= 80 for line in lines))
            self.assertEqual(window.flag("alternate_on"), "1")
            window.keys("q")
            self.assert_restored(window, 0)

    def test_sizes(self):
        with service(self.python) as target:
            window = self.start(target.pid, "-i", "100ms", columns=200, rows=60)
            screen = window.until(ENOUGH)
            for name in THREADS:
                self.row(screen, r"^ *\d+ %s +" % name)
            self.assertRegex(self.row(screen, "^ +TID"), "GIL%  SAMPLES MOSTLY IN")
            # It may have been seen at work itself, too.
            row = self.row(screen, r"^ *(\d+\.\d +)?\d+\.\d .*\bpricing_loop ")
            total = re.match(r" *(?:\d+\.\d +)?(\d+\.\d) ", row).group(1)
            self.assertGreater(float(total), 50)
            self.assertRegex(screen.split("\n")[59], "^q quit")
            window.resize(80, 24)
            screen = window.until(r"(?s)\A.*\n.*\n.*\n.*\n +TID THREAD +CPU% STATE +% MOSTLY IN")
            self.assertRegex(screen.split("\n")[23], "^q quit")
            window.resize(40, 10)
            window.until(r"^40 x 10 is too small")
            window.resize(120, 30)
            screen = window.until(r"(?m)^ +TID THREAD +CPU% STATE +% GIL%  SAMPLES MOSTLY IN")
            self.assertRegex(screen.split("\n")[29], "^q quit")
            self.assertNotIn("too small", screen)
            window.keys("C-c")
            self.assert_restored(window, 0)

    def test_keys(self):
        with service(self.python) as target:
            window = self.start(target.pid, "-i", "100ms", columns=120, rows=40)
            window.until(ENOUGH)
            window.keys("Enter")
            stack = window.until(r"^pricing \(\d+\)  .*innermost first")
            self.assertLess(stack.index("handle_round ("), stack.index("pricing_loop ("))
            self.assertLess(stack.index("pricing_loop ("), stack.index("Thread.run ("))
            window.keys("Escape")
            window.until(r"^ +TID THREAD")
            window.keys("Tab", "Enter")
            function = window.until(r"^simulate_prices .*busy_service.py")
            # The workers call it, too, now and then.
            self.assertRegex(function, r"(100|9\d)\.\d %  handle_round ")
            self.assertRegex(function, r"line \d+ +price = \(price \* 31 \+ step\) % 10007")
            window.keys("l")
            lines = window.until(r"^ SELF%.* SOURCE")
            self.assertRegex(self.row(lines, "price \\* 31"), r"^ +\d+\.\d .*simulate_prices ")
            window.keys("f", "s")
            functions = window.until(r"FUNCTION +PLACE")
            window.keys("g", "g", "t", "/")
            window.typed("cache")
            window.until(r"^Show only: cache")
            window.keys("Enter")
            screen = window.until(r'only with "cache"')
            self.row(screen, " cache-reader ")
            self.assertNotIn(" pricing ", screen.split("TID")[1])
            window.keys("Escape", "w")
            window.until(r"^all \d")
            window.keys("o", "h")
            window.until(r"^q, Ctrl-C +quit")
            window.keys("Escape", "n")
            window.until("without native frames")
            counted = r"^all .*: (\d+) snapshots?,"
            before = int(re.search(counted, window.until(counted), re.M).group(1))
            # Held, so that they do not grow again while the test is not looking.
            window.keys("r", "p")
            held = window.until("held: p goes on")
            if "the first snapshots are being taken" not in held:
                self.assertLess(int(re.search(counted, held, re.M).group(1)), before)
            window.keys("q")
            self.assert_restored(window, 0)

    def test_hold(self):
        with service(self.python) as target:
            window = self.start(target.pid)
            window.keys("p")
            held = window.until("held: p goes on").split("\n")[1:22]
            time.sleep(2.5)
            self.assertEqual(window.lines()[1:22], held)
            window.keys("p")
            window.until(r"\A(?!.*held)(?s:.*)\Z")
            deadline = time.monotonic() + PATIENCE_S
            while window.lines()[2] == held[1] and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertNotEqual(window.lines()[2], held[1])

    def test_save(self):
        with service(self.python) as target:
            window = self.start(target.pid)
            window.until(r" [1-9]\d+ snapshots")
            window.keys("S")
            window.until(r"^Save as: pycore-%d-\d{8}-\d{6}\.md" % target.pid)
            for name in "report.json", "report.md":
                file = os.path.join(window.folder, name)
                window.keys("C-u")
                window.typed(file)
                window.keys("Enter")
                self.assertRegex(window.until("^(not )?saved"), r"(?m)^saved, \d+ snapshots over")
                window.keys("S")
                window.until(r"^Save as: ")
            window.keys("C-u")
            window.typed("/nonexistent/folder/report.md")
            window.keys("Enter")
            window.until("^not saved: .*/nonexistent/folder")
            with open(os.path.join(window.folder, "report.json")) as stream:
                profile = json.load(stream)["profile"]
            names = [function["function"] for function in profile["functions"]]
            self.assertIn("simulate_prices", names)
            self.assertGreaterEqual(profile["snapshots"], 10)
            with open(os.path.join(window.folder, "report.md")) as stream:
                self.assertIn("simulate_prices", stream.read())
            window.keys("q")
            self.assert_restored(window, 0)

    def test_target_killed(self):
        with service(self.python) as target:
            window = self.start(target.pid)
            os.kill(target.pid, signal.SIGKILL)
            screen = window.until(r"^process %d has ended \(killed by signal 9, Killed\)"
                                  % target.pid)
            # The last screen stays, and keys still do what they do.
            self.row(screen, " pricing ")
            window.keys("S")
            window.until("^Save as: ")
            file = os.path.join(window.folder, "last.json")
            window.keys("C-u")
            window.typed(file)
            window.keys("Enter")
            window.until("^saved")
            with open(file) as stream:
                self.assertTrue(json.load(stream)["profile"]["functions"])
            window.keys("f")
            window.until("FUNCTION")
            window.keys("q")
            self.assert_restored(window, 0)
            self.assertIn("pycore: process %d has ended" % target.pid, window.screen())

    def test_signals(self):
        with service(self.python) as target:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT,
                           signal.SIGSEGV, signal.SIGABRT):
                with self.subTest(signal=number.name):
                    window = self.start(target.pid)
                    self.assertEqual(window.flag("alternate_on"), "1")
                    os.kill(window.pid(), number)
                    polite = number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                    self.assert_restored(window, 0 if polite else 128 + number)

    def test_suspended(self):
        if not shutil.which("bash"):
            self.skipTest("bash is not on this machine")
        with service(self.python) as target:
            shell = "PS1='> ' exec bash --norc --noprofile -i"
            window = self.enter(terminal(target.pid, shell=shell))
            window.until("^>")
            window.typed("stty -a > '%s/before'; '%s'" % (
                window.folder, "' '".join(window.arguments)))
            window.keys("Enter")
            screen = window.until(r"\d+ snapshots?, one per|plain tables")
            if "without ncurses" in screen:
                self.skipTest("this pycore was built without ncurses")
            window.keys("C-z")
            window.until("Stopped")
            self.assertEqual(window.flag("alternate_on"), "0")
            window.typed("clear; fg")
            window.keys("Enter")
            window.until(r"^ +TID THREAD")
            self.assertEqual(window.flag("alternate_on"), "1")
            window.keys("q")
            window.until("^>")
            window.typed("stty -a > '%s/after'; clear; echo finished" % window.folder)
            window.keys("Enter")
            self.assert_restored(window, None)

    def test_nobody_there(self):
        with service(self.python) as target:
            window = self.start(target.pid)
            pid = window.pid()
            window.kill()
            deadline = time.monotonic() + PATIENCE_S
            while os.path.exists("/proc/%d" % pid) and time.monotonic() < deadline:
                time.sleep(0.1)
            self.assertFalse(os.path.exists("/proc/%d" % pid), "it runs on without a terminal")
            with open("/proc/%d/stat" % target.pid) as stream:
                self.assertNotIn(stream.read().rsplit(")", 1)[1].split()[0], "Tt")

    def test_terminals(self):
        with service(self.python) as target:
            for term, note in (("dumb", "cannot place its cursor"), ("no-such", "is not known")):
                with self.subTest(term=term):
                    window = self.start(target.pid, "-n", "2", env={"TERM": term}, rows=100)
                    screen = window.until("^finished$")
                    self.assertRegex(screen, "pycore: the terminal %s.*plain tables" % note)
                    self.assertEqual(len(re.findall(r"(?m)^ +TID THREAD", screen)), 2)
                    self.assert_restored(window, 0)

    def test_color(self):
        colors = r"\x1b\[[0-9;]*3[1-7]"
        with service(self.python) as target:
            window = self.start(target.pid)
            window.until(" pricing ")
            self.assertRegex(window.screen("-e"), colors)
            for arguments, env in (((), {"NO_COLOR": "1"}), (("--color", "never"), {})):
                window = self.start(target.pid, *arguments, env=env)
                window.until(" pricing ")
                self.assertNotRegex(window.screen("-e"), colors)

    def test_names(self):
        script = support.path("tests/programs/top_names.py")
        with support.start_target(self.python, script) as target:
            window = self.start(target.pid, rows=30)
            screen = window.until("größe_berechnen")
            row = self.row(screen, "zażółć-预订")
            self.assertRegex(row, r"^ *\d+ zażółć-预订 +\d")
            self.row(screen, re.escape(r"red\x1b[31m\x1b[2J"))
            self.row(screen, re.escape(r"two\nlines"))
            window = self.start(target.pid, rows=31, columns=200,
                                env={"LC_ALL": "C", "LANG": "C"})
            screen = window.until("gr.u00f6")
            self.row(screen, re.escape(r"za\u017c\u00f3\u0142\u0107-\u9884\u8ba2"))
            self.assertTrue(screen.isascii())
            # What is no character of the terminal's is no key.
            window.tmux("send-keys", "-t", "top", "-H", "ff", "c3", "28")
            window.keys("h")
            window.until(r"^q, Ctrl-C +quit")


class InAPipe(support.TestCase):
    def setUp(self):
        self.python = usual_python()

    def test_tables(self):
        with service(self.python) as target:
            outcome = support.pycore("top", target.pid, "-n", "4")
        self.assertEqual((outcome.rc, outcome.err), (0, ""))
        tables = outcome.out.rstrip("\n").split("\n\n    TID")
        self.assertEqual(len(tables), 5)
        self.assertNotIn("\x1b", outcome.out)
        for name in THREADS:
            self.assertEqual(len(re.findall(r"(?m)^ *\d+ %s " % name, outcome.out)), 4)
        # Of the first second there may be two snapshots only, on a busy machine.
        self.assertEqual(len(re.findall(r"(?m)^ +\d+\.\d .* simulate_prices ", tables[-1])), 1)

    def test_sort_and_filters(self):
        with service(self.python) as target:
            outcome = support.pycore("top", "-p", target.pid, "-d", "3", "-i", "50ms", "--sort",
                                     "total", "--thread", "pricing", "--no-native")
        self.assertEqual(outcome.rc, 0)
        self.assertEqual(set(re.findall(r"(?m)^ *\d+ ([a-z]+\S*) .*busy_service.py:\d+$",
                                        outcome.out)), {"pricing"})
        self.assertNotIn("libc.so", outcome.out)
        rows = outcome.out.rstrip("\n").split("FUNCTION")[-1].split("\n")[1:]
        totals = [float(line[7:13]) for line in rows if line[7:13].strip()]
        self.assertEqual(totals, sorted(totals, reverse=True))
        self.assertIn("one per 50 ms", outcome.out)

    def test_until_the_target_ends(self):
        with service(self.python) as target:
            process = subprocess.Popen([support.PYCORE, "top", str(target.pid)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            self.addCleanup(process.kill)
            self.assertIn(b"busy_service", process.stdout.readline())
            os.kill(target.pid, signal.SIGKILL)
            out, err = process.communicate(timeout=PATIENCE_S)
        self.assertEqual(process.returncode, 0)
        self.assertIn(b"process %d has ended (killed by signal 9" % target.pid, out)
        self.assertIn(b"process %d has ended" % target.pid, err)

    def test_interrupted(self):
        with service(self.python) as target:
            for arguments, rc in (((), 0), (("-n", "1000"), 1)):
                process = subprocess.Popen(
                    [support.PYCORE, "top", str(target.pid), *arguments],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.addCleanup(process.kill)
                process.stdout.readline()
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=PATIENCE_S)
                self.assertEqual(process.returncode, rc)

    def test_reader_that_goes_away(self):
        with service(self.python) as target:
            process = subprocess.Popen([support.PYCORE, "top", str(target.pid)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.addCleanup(process.kill)
            process.stdout.readline()
            process.stdout.close()
            process.wait(PATIENCE_S)

    def test_refused(self):
        with subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL) as sleeper:
            self.addCleanup(sleeper.wait)
            self.addCleanup(sleeper.kill)
            until_asleep(sleeper.pid)
            outcome = support.pycore("top", sleeper.pid)
            self.assertEqual((outcome.rc, outcome.out), (2, ""))
            self.assertIn("Python", outcome.err)
            sleeper.kill()
        for arguments in ((), ("x",), ("1", "2"), ("-n", "0", "1")):
            self.assertEqual(support.pycore("top", *arguments).rc, 64)


if __name__ == "__main__":
    unittest.main()
