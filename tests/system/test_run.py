#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""'pycore run': the program does not notice that it is observed: terminal, signals, files and exit
status are its own; and the report tells what it did, whatever ends it."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import harm
import support
import test_snap_input as inputs
from harm import PATIENCE_S

FIRST = "the first snapshot is taken"  # what -v says
EARLY = True
# Of processor time: on a busy machine that lasts longer, as all the rest does.
BUSY = """
import os, signal, sys, time

def hot(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))

def hot_until(path):
    while not os.path.exists(path):
        hot(0.01)
"""


def arguments(report, code, *options, python=None):
    """A pycore run of that code."""
    return ["run", "-o", report, "-f", "json", *options, "--",
            (python or inputs.some_python()).path, "-c", BUSY + code]


class Run(inputs.Scratch):
    def setUp(self):
        super().setUp()
        self.report = os.path.join(self.folder, "report.json")
        self.go = os.path.join(self.folder, "go")

    def let_go(self):
        """The program may go on."""
        with open(self.go, "w"):
            pass

    def read(self):
        with open(self.report) as stream:
            return json.load(stream)

    def functions(self):
        return [function["function"] for function in self.read()["profile"]["functions"]]

    @contextlib.contextmanager
    def started(self, code, *options, command=None, **more):
        """A pycore run in the background that has printed READY, and is observed; its Popen object."""
        command = command or [support.PYCORE, *arguments(self.report, code, "-v", *options)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=support.pycore_environment(),
                                   start_new_session=True, **more)
        try:
            self.assertEqual(process.stdout.readline(), b"READY\n")
            for line in process.stderr:
                if FIRST.encode() in line:
                    break
            else:
                self.fail("pycore ended before it saw something")
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            process.stderr.close()
            process.wait()

    def check_end(self, document):
        """The program's end is the end of the run, and nothing is missing because of it."""
        self.assertFalse([note for note in document["notes"]
                          if re.search("interrupted|ended after|has ended|interim", note)])

    def wait_for_report(self):
        harm.until(lambda: os.path.exists(self.report), "the report")
        return self.read()


class Whole(Run):
    @support.each_python()
    def test_observes(self, python):
        outcome = support.pycore(*arguments(self.report, "hot(3); sys.exit(7)", python=python))
        self.assertEqual(outcome.rc, 7, outcome.err)
        document = self.read()
        self.assertEqual(document["source"]["processes"][0]["python"]["version"], python.full)
        self.check_end(document)
        self.assertIn("hot", self.functions())
        self.assertEqual(document["profile"]["interval_ns"], 100000000)
        self.assertGreater(document["profile"]["snapshots"], 3)

    def test_files_are_its_own(self):
        code = "print('out:' + sys.stdin.read()); print('err', file=sys.stderr); hot(3)"
        outcome = support.pycore(*arguments(self.report, code), input=b"in")
        self.assertEqual(outcome, (0, "out:in\n", "err\n"))

    def test_report_follows_the_output(self):
        python = inputs.some_python()
        outcome = support.pycore("run", "--", python.path, "-c", BUSY + "print('mine', flush=True); hot(3)")
        self.assertEqual(outcome.rc, 0, outcome.err)
        self.assertTrue(outcome.out.startswith("mine\nHotspots of "), outcome.out[:200])
        self.assertIn("hot(", outcome.out)

    def test_inherits_what_pycore_got(self):
        code = ("import os, resource\nprint(os.umask(0), resource.getrlimit(resource.RLIMIT_NOFILE),"
                " os.getpgrp(), os.getsid(0), sorted(os.listdir('/proc/self/fd')),\n"
                " [line for line in open('/proc/self/status') if line[:6] in ('SigBlk', 'SigIgn', 'SigCgt')])")
        python = inputs.some_python()
        plain = [python.path, "-c", code]

        def odd():
            os.umask(0o027)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        options = dict(preexec_fn=odd, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                       env=support.pycore_environment(), timeout=PATIENCE_S, restore_signals=False)
        wanted = subprocess.run(plain, **options).stdout
        got = subprocess.run([support.PYCORE, "run", "-q", "-o", self.report, "--", *plain],
                             stderr=subprocess.DEVNULL, **options).stdout
        self.assertTrue(wanted)
        self.assertEqual(got, wanted)

    def test_dies_by_the_same_signal(self):
        for signo in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
            code = "hot(3); import os; os.kill(os.getpid(), %d)" % signo
            done = subprocess.run([support.PYCORE, *arguments(self.report, code)],
                                  timeout=PATIENCE_S, env=support.pycore_environment(),
                                  cwd=self.folder)
            self.assertEqual(done.returncode, -signo)
            self.assertIn("hot", self.functions())
            os.unlink(self.report)

    def test_cannot_be_started(self):
        plain = os.path.join(self.folder, "plain")
        with open(plain, "w") as stream:
            stream.write("text\n")
        for program, code in (("/nonexistent/program", 127), ("no-such-program-anywhere", 127),
                              (plain, 126), (self.folder, 126)):
            self.check_one_line(support.pycore("run", "--", program), code, program)

    def test_usage(self):
        for words in ((), ("--",), ("-n", "0", "--", "true"), ("--when", "cpu>9", "--", "true"),
                      ("--children", "--save", "x", "--", "true")):
            self.assertEqual(support.pycore("run", *words).rc, 64)

    def test_nothing_to_see(self):
        """No Python, or one that has ended before it could be seen: its status is passed all the same."""
        for program, code in ((["/bin/true"], 0), (["/bin/sh", "-c", "sleep 0.3; exit 9"], 9),
                              ([inputs.some_python().path, "-Ic", "import os; os._exit(4)"], 4)):
            outcome = support.pycore("run", "-o", self.report, "--", *program)
            self.assertEqual((outcome.rc, outcome.out), (code, ""), outcome.err)
            if outcome.err:
                self.assertIn("no report", outcome.err)

    def test_script_that_becomes_python(self):
        script = os.path.join(self.folder, "start.sh")
        with open(script, "w") as stream:
            stream.write("#!/bin/sh\nsleep 0.5\nexec '%s' -c '%s\nhot(3); sys.exit(3)'\n"
                         % (inputs.some_python().path, BUSY))
        os.chmod(script, 0o755)
        outcome = support.pycore("run", "-o", self.report, "--", script)
        self.assertEqual(outcome.rc, 3, outcome.err)
        self.assertIn("hot", self.functions())

    def test_exec_of_another_python(self):
        """What it was and what it became are in one report."""
        python = inputs.some_python()
        code = ("def before(): hot(3)\nbefore(); import os\n"
                "os.execv(sys.executable, [sys.executable, '-c', %r])"
                % (BUSY + "def after(): hot(3)\nafter()"))
        outcome = support.pycore(*arguments(self.report, code, python=python))
        self.assertEqual(outcome.rc, 0, outcome.err)
        self.assertLessEqual({"before", "after"}, set(self.functions()))

    def test_enough_snapshots(self):
        """-n ends the observation, and not the program."""
        code = "print('READY', flush=True); hot_until(%r); sys.exit(6)" % self.go
        with self.started(code, "-n", "3") as process:
            document = self.wait_for_report()
            self.assertIsNone(process.poll())
            self.assertEqual(document["profile"]["snapshots"], 3)
            self.check_end(document)
            self.let_go()
            self.assertEqual(process.wait(PATIENCE_S), 6)

    def test_ends_under_a_stop(self):
        """Whoever of tracer and parent collects it, its status is told."""
        code = ("import os, threading\nthreads = [threading.Thread(target=hot, args=(0.3,)) for _ in"
                " range(3)]\n[thread.start() for thread in threads]\nhot(0.3); %s")
        for end, wanted in (("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", -9)) * 5:
            done = subprocess.run([support.PYCORE, *arguments(self.report, code % end, "-i", "200us",
                                                              "--stop=all")],
                                  env=support.pycore_environment(), timeout=PATIENCE_S,
                                  stderr=subprocess.DEVNULL)
            self.assertEqual(done.returncode, wanted)

    def test_children(self):
        """A script is not Python, and what it starts is."""
        script = os.path.join(self.folder, "start.sh")
        with open(script, "w") as stream:
            stream.write("#!/bin/sh\n'%s' -c '%s\nhot(4)'\nexit 5\n"
                         % (inputs.some_python().path, BUSY))
        os.chmod(script, 0o755)
        outcome = support.pycore("run", "--children", "-o", self.report, "--", script)
        self.assertEqual(outcome.rc, 5, outcome.err)
        self.assertIn("hot", self.functions())
        whys = [process.get("why") for process in self.read()["source"]["processes"]]
        self.assertEqual(sum(why is None for why in whys), 1, whys)
        self.check_end(self.read())

    def test_children_of_a_python(self):
        code = ("import os\nfor _ in range(2):\n    if os.fork() == 0:\n        hot(4); os._exit(0)\n"
                "os.wait(); os.wait()")
        outcome = support.pycore(*arguments(self.report, code, "--children"))
        self.assertEqual(outcome.rc, 0, outcome.err)
        self.assertEqual(len(self.read()["source"]["processes"]), 3)
        self.assertIn("hot", self.functions())

    def test_save(self):
        capture = os.path.join(self.folder, "capture")
        outcome = support.pycore(*arguments(self.report, "hot(3)", "--save", capture))
        self.assertEqual(outcome.rc, 0, outcome.err)
        again = support.pycore_json("analyze", capture)
        self.assertEqual(again["profile"]["snapshots"], self.read()["profile"]["snapshots"])


class Signals(Run):
    def test_are_passed_on(self):
        for name in ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2", "SIGWINCH", "SIGALRM", "SIGINT"):
            code = ("signal.signal(signal.%s, lambda *_: sys.exit(3))\n"
                    "print('READY', flush=True); hot(30)" % name)
            with self.started(code) as process:
                process.send_signal(getattr(signal, name))
                self.assertEqual(process.wait(PATIENCE_S), 3, name)
                self.check_end(self.read())

    def test_default_action(self):
        with self.started("print('READY', flush=True); hot(30)") as process:
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE_S), -signal.SIGTERM)
            self.check_end(self.read())

    def test_ignored_stay_ignored(self):
        """As under nohup."""
        def ignore():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with self.started("print('READY', flush=True); hot_until(%r); sys.exit(8)" % self.go,
                          preexec_fn=ignore, restore_signals=False) as process:
            os.killpg(process.pid, signal.SIGHUP)
            self.let_go()
            self.assertEqual(process.wait(PATIENCE_S), 8)

    def test_pycore_is_killed(self):
        """The program lives on, and does not stand still."""
        code = "import os\nprint('READY', flush=True); print(os.getpid(), flush=True); hot(60)"
        with self.started(code, "-i", "1ms") as process:
            pid = int(process.stdout.readline())
            time.sleep(1)
            process.kill()
            process.wait()
            before = harm.task_facts(pid)
            self.assertTrue(before)
            time.sleep(0.5)
            self.assertNotIn([row[1] for row in harm.task_facts(pid)], (["T"], ["t"], ["Z"]))

    def test_interim_report(self):
        with self.started("print('READY', flush=True); hot(60)") as process:
            deadline, seen = time.monotonic() + PATIENCE_S, set()
            while len(seen) < 3:
                self.assertLess(time.monotonic(), deadline, "it takes no more snapshots: %s" % seen)
                process.send_signal(signal.SIGUSR1)
                document = self.wait_for_report()
                self.assertIsNone(process.poll())
                seen.add(document["profile"]["snapshots"])
                self.assertIn("interim report after %d snapshots: the run goes on" % max(seen),
                              document["notes"])
                os.unlink(self.report)
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE_S), -signal.SIGTERM)
            document = self.read()
            self.assertGreaterEqual(document["profile"]["snapshots"], max(seen))
            self.check_end(document)


class Terminal(Run):
    """In a real shell, on a terminal of its own."""

    def setUp(self):
        super().setUp()
        bash = shutil.which("bash")
        if not bash:
            self.skipTest("bash is not on this machine")
        pid, self.master = pty.fork()
        if pid == 0:
            support.keep_what_is_written(0)
            os.execve(bash, ["bash", "--norc", "--noprofile", "-i"],
                      support.clean_environment(PS1="$ ", TERM="dumb"))
        self.shell = pid
        self.addCleanup(self.end)
        self.text = ""
        self.until(r"\$ ")

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.shell, signal.SIGHUP)
        os.close(self.master)
        for _ in range(100):
            if os.waitpid(self.shell, os.WNOHANG)[0]:
                return
            time.sleep(0.05)
        os.kill(self.shell, signal.SIGKILL)
        os.waitpid(self.shell, 0)

    def send(self, text):
        os.write(self.master, text.encode())

    def until(self, pattern, timeout_s=PATIENCE_S, keep=False):
        """Reads up to what matches, which is taken away unless it is to be kept; the match."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text if keep else self.text[found.end():]
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                self.fail("%r did not come: %r" % (pattern, self.text[-2000:]))
            self.text += os.read(self.master, 65536).decode("utf-8", "replace")

    def until_all(self, *patterns):
        """In any order; the matches."""
        found = {}
        for pattern in sorted(patterns, key=lambda pattern: pattern != FIRST):
            found[pattern] = self.until(pattern, keep=True)
        self.text = ""
        return [found[pattern] for pattern in patterns]

    def start(self, code, *options, after=""):
        """Runs it in the shell, in a file because the shell echoes what is typed."""
        script = os.path.join(self.folder, "app.py")
        with open(script, "w") as stream:
            stream.write(BUSY + "import os\n" + code)
        self.send("%s run -v -o %s %s -- %s %s %s\n"
                  % (support.PYCORE, self.report, " ".join(options), inputs.some_python().path,
                     script, after))

    def until_prompt(self, key):
        """Until the shell is back, with that key again each 8 s."""
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(r"\$ ", self.text):
            self.assertLess(time.monotonic(), deadline, self.text)
            if select.select([self.master], [], [], 8)[0]:
                self.text += os.read(self.master, 65536).decode("utf-8", "replace")
            else:
                self.send(key)

    def status(self):
        self.until(r"\$ ")
        self.send("echo status=$?\n")
        return int(self.until(r"status=(\d+)").group(1))

    def test_foreground(self):
        """The program is in the terminal's foreground group, and reads what is typed."""
        self.start("print('tty:', os.isatty(0), os.tcgetpgrp(0) == os.getpgrp(), flush=True)\n"
                   "print('got', input())")
        self.assertEqual(self.until(r"tty: (\w+) (\w+)").groups(), ("True", "True"))
        self.send("typed words\n")
        self.until("got typed words")
        self.assertEqual(self.status(), 0)

    def test_control_c(self):
        """The program decides, and is asked once."""
        self.start("try:\n    print('REA' + 'DY', flush=True); hot(60)\n"
                   "except KeyboardInterrupt:\n    print('cau' + 'ght', flush=True)\n"
                   "    hot(1)\n    sys.exit(5)\n")
        self.until_all("READY", FIRST)
        self.send("\x03")
        self.until("caught")
        self.assertEqual(self.status(), 5)
        self.assertGreater(self.read()["profile"]["snapshots"], 0)
        self.check_end(self.read())

    def test_control_c_kills(self):
        """A Python that does not catch it ends by SIGINT (3.8 and later), and so does pycore."""
        self.start("print('REA' + 'DY', flush=True); hot(60)\n")
        self.until_all("READY", FIRST)
        self.send("\x03")
        self.until("KeyboardInterrupt")
        self.assertEqual(self.status(), 130)
        self.assertGreater(self.read()["profile"]["snapshots"], 0)

    def test_control_c_twice(self):
        self.start("signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
                   "print('pid=' + str(os.getpid()), flush=True); hot(60)\n")
        pid = int(self.until_all(r"pid=(\d+)\s", FIRST)[0].group(1))
        self.send("\x03")
        time.sleep(0.7)
        self.assertFalse(os.path.exists(self.report))
        self.send("\x03")
        # Where pycore did not get to run in between, both were one to it.
        self.until_prompt("\x03")
        self.assertEqual(self.status(), 1)
        self.assertGreater(self.read()["profile"]["snapshots"], 0)
        os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)

    def test_control_z(self):
        self.start("print('REA' + 'DY', flush=True); hot_until(%r); print('do' + 'ne'); sys.exit(4)\n"
                   % self.go)
        self.until_all("READY", FIRST)
        self.send("\x1a")
        self.until("Stopped")
        self.send("jobs -l\n")
        self.until(r"Stopped.*pycore")
        time.sleep(1)
        self.send("fg\n")
        self.let_go()
        self.until("done")
        self.assertEqual(self.status(), 4)
        self.assertGreater(self.read()["profile"]["snapshots"], 0)

    def test_program_stops_itself(self):
        """As an editor does: the shell gets the terminal, and fg wakes both."""
        self.start("hot(3); os.kill(os.getpid(), signal.SIGTSTP)\n"
                   "print('aw' + 'ake', flush=True); hot(0.5); sys.exit(2)\n")
        self.until("Stopped")
        self.send("fg\n")
        self.until("awake")
        self.assertEqual(self.status(), 2)

    def test_background(self):
        self.start("hot(3); sys.exit(9)", after="&")
        self.until(r"\$ ")
        self.send("wait %1; echo code=$?\n")
        self.assertEqual(self.until(r"code=(\d+)").group(1), "9")
        self.assertGreater(self.read()["profile"]["snapshots"], 0)

    def test_control_backslash(self):
        self.start("signal.signal(signal.SIGQUIT, lambda *_: sys.exit(6))\n"
                   "print('REA' + 'DY', flush=True); hot(60)\n")
        self.until_all("READY", FIRST)
        self.send("\x1c")
        self.assertEqual(self.status(), 6)

    def test_hangup(self):
        """The terminal goes away: no program of it is left."""
        self.start("print('pid=' + str(os.getpid()), flush=True); hot(60)\n")
        pid = int(self.until_all(r"pid=(\d+)\s", FIRST)[0].group(1))
        os.kill(self.shell, signal.SIGHUP)
        harm.until(lambda: not os.path.exists("/proc/%d" % pid), "the program's end")
        harm.until(lambda: os.path.exists(self.report), "the report")


if __name__ == "__main__":
    import tap
    tap.main()
