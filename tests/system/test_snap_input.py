#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What 'pycore snap' says of processes that it cannot show, of wrong options, and of outputs that
cannot be written: the exit status, one line that helps, and no partial file."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import harm
import support

IDLE = ("import sys, time\ndef idle():\n    print('READY'); sys.stdout.flush()\n"
        "    time.sleep(1000)\nidle()\n")
NOBODY = 65534


def some_python():
    for python in reversed(support.interpreters()):
        if python.build == "release":
            return python
    raise unittest.SkipTest("no Python is on this machine")


def idle(python=None, **options):
    return support.start_program([(python or some_python()).path, "-c", IDLE], **options)


def compiler(*arguments):
    try:
        subprocess.run([os.environ.get("CC", "cc"), *arguments], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Scratch(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def check_one_line(self, outcome, rc, *words):
        self.assertEqual(outcome.rc, rc, outcome.err)
        self.assertEqual(outcome.out, "")
        self.assertEqual(outcome.err.count("\n"), 1, outcome.err)
        self.assertTrue(outcome.err.startswith("pycore: "), outcome.err)
        for word in words:
            self.assertIn(word, outcome.err)


class Processes(Scratch):
    def refuse(self, pid, *words):
        self.check_one_line(support.pycore("snap", pid), 2, *words)

    def test_no_process(self):
        with open("/proc/sys/kernel/pid_max") as stream:
            self.refuse(int(stream.read()) - 1, "no process")
        self.refuse(2147483647, "no process 2147483647")

    def test_zombie(self):
        with subprocess.Popen(["/bin/true"]) as child:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            self.refuse(child.pid, "process %d is a zombie" % child.pid)

    def test_kernel_thread(self):
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open("/proc/%s/stat" % entry) as stream:
                    flags = int(stream.read().rsplit(")", 1)[1].split()[6])
                if flags & 0x200000:  # PF_KTHREAD, <linux/sched.h>
                    break
        else:
            self.skipTest("no kernel thread can be seen (a container)")
        self.refuse(entry, "kernel thread")

    def test_other_programs(self):
        with subprocess.Popen(["/bin/sleep", "1000"]) as child:
            try:
                # In the middle of its exec nothing can be told of it.
                harm.until_asleep(child.pid)
                self.refuse(child.pid, "no Python")
            finally:
                child.kill()

    def test_its_own_pid(self):
        """A shell that becomes pycore gives it its own number."""
        done = subprocess.run(["/bin/sh", "-c", 'exec "$0" snap $$', support.PYCORE],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=support.PATIENCE_S)
        self.assertEqual((done.returncode, done.stdout), (2, b""), done.stderr)
        self.assertIn(b"pycore itself", done.stderr)

    def test_32_bit_program(self):
        source = os.path.join(self.folder, "wait.c")
        program = os.path.join(self.folder, "wait32")
        with open(source, "w") as stream:
            # No library: a 32-bit libc is on few machines.
            stream.write("void _start(void) { for (;;) __asm__ volatile(\"int $0x80\" :: "
                         "\"a\"(29)); }\n")  # pause(2)
        if not compiler("-m32", "-nostdlib", "-static", "-o", program, source):
            self.skipTest("the compiler makes no 32-bit programs")
        try:
            child = subprocess.Popen([program])
        except OSError:
            self.skipTest("this kernel runs no 32-bit programs")
        with child:
            try:
                self.refuse(child.pid, "32-bit")
            finally:
                child.kill()

    def test_pypy(self):
        pypy = shutil.which("pypy3") or shutil.which("pypy")
        if not pypy:
            self.skipTest("no PyPy is on this machine")
        with support.start_program([pypy, "-c", IDLE]) as target:
            self.refuse(target.pid, "PyPy")


class Permission(Scratch):
    """As a plain user against processes of root."""

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user")
        # The build may lie where others may not look.
        os.chmod(self.folder, 0o755)
        self.pycore = os.path.join(self.folder, "pycore")
        shutil.copy(support.PYCORE, self.pycore)
        os.chmod(self.pycore, 0o755)

    def run_as_nobody(self, *arguments):
        def become_nobody():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        done = subprocess.run([self.pycore, *map(str, arguments)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=support.PATIENCE_S, preexec_fn=become_nobody, cwd="/",
                              env=support.pycore_environment())
        return support.Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def check_refused(self, pid, *words):
        """The table of threads, the rule, and a cure; exit status 1."""
        outcome = self.run_as_nobody("snap", pid, "-f", "json")
        self.assertEqual(outcome.rc, 1, outcome.err)
        document = json.loads(outcome.out)
        self.assertFalse(document["source"]["complete"])
        thread = document["snapshots"][0]["threads"][0]
        self.assertEqual((thread["tid"], thread["frames"]), (pid, []))
        notes = " ".join(document["notes"])
        for word in words:
            self.assertIn(word, notes)
        many = self.run_as_nobody("snap", pid, "-n", "3", "-i", "5ms")
        self.assertEqual(many.rc, 1, many.err)
        text = self.run_as_nobody("snap", pid)
        self.assertEqual(text.rc, 1)
        self.assertIn(str(pid), text.out)
        for word in words:
            self.assertIn(word, " ".join(text.out.split()))

    def test_other_user(self):
        with idle() as target:
            self.check_refused(target.pid, "belongs to user 0 and you are user 65534",
                               "sudo pycore")

    def test_init(self):
        self.check_refused(1, "belongs to user 0", "sudo pycore")

    def test_not_dumpable(self):
        """A process of the same user that took itself out of reach."""
        program = ("import ctypes, os, sys, time\n"
                   "os.setgid(65534); os.setuid(65534)\n"
                   "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"  # PR_SET_DUMPABLE
                   "print('READY'); sys.stdout.flush(); time.sleep(1000)\n")
        with support.start_program([some_python().path, "-c", program]) as target:
            self.check_refused(target.pid, "not dumpable")

    def test_own_process(self):
        """The same user needs no privilege."""
        scope = "/proc/sys/kernel/yama/ptrace_scope"
        # All imports come first: nobody may not be able to read the interpreter's own folder.
        program = "import ctypes, os, sys, time\nos.setgid(65534); os.setuid(65534)\n" \
                  "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n" + IDLE
        if os.path.exists(scope):
            self.skipTest("Yama is on: see test_other_user for what it says")
        with support.start_program([some_python().path, "-c", program]) as target:
            outcome = self.run_as_nobody("snap", target.pid, "-f", "json")
            self.assertEqual(outcome.rc, 0, outcome.err)
            frames = json.loads(outcome.out)["snapshots"][0]["threads"][0]["frames"]
            self.assertIn("idle", [frame["function"] for frame in frames])


class Usage(Scratch):
    def test_wrong_options(self):
        for arguments, words in (
                (("snap",), ("process number",)),
                (("snap", "abc"), ("abc", "process number")),
                (("snap", "-1"), ()),
                (("snap", "0"), ("process number",)),
                (("snap", "12x"), ("process number",)),
                (("snap", "99999999999"), ("process number",)),
                (("snap", "1", "2"), ("one process",)),
                (("snap", "-p", "1", "2"), ("one process",)),
                (("snap", "1", "-i", "200"), ("500us", "200ms", "1s")),
                (("snap", "1", "-i", "0ms"), ("200ms",)),
                (("snap", "1", "-i", "ms"), ("200ms",)),
                (("snap", "1", "-i", "5 ms"), ("200ms",)),
                (("snap", "1", "-i", "nan"), ("200ms",)),
                (("snap", "1", "-i", "-5ms"), ("200ms",)),
                (("snap", "1", "-n", "0"), ("count",)),
                (("snap", "1", "-n", "-3"), ("count",)),
                (("snap", "1", "-n", "many"), ("count",)),
                (("snap", "1", "-d", "soon"), ("10s",)),
                (("snap", "1", "-d", "0"), ("10s",)),
                (("snap", "1", "-f", "pdf"), ("pdf", "json")),
                (("snap", "1", "-o"), ("-o",)),
                (("snap", "1", "--no-such-option"), ("--no-such-option",)),
                (("snap", "1", "--stop", "some"), ("some",)),
                (("snap", "1", "--color", "pink"), ("pink",)),
                (("no-such-command",), ("no-such-command",))):
            with self.subTest(arguments=arguments):
                self.check_one_line(support.pycore(*arguments), 64, *words)

    def test_help(self):
        for arguments in (("--help",), ("help", "snap"), ("snap", "--help"), ("--version",)):
            outcome = support.pycore(*arguments)
            self.assertEqual((outcome.rc, outcome.err), (0, ""))
            self.assertIn("pycore", outcome.out)


class Outputs(Scratch):
    def files(self):
        return sorted(os.listdir(self.folder))

    def in_folder(self, name):
        return os.path.join(self.folder, name)

    def test_formats_by_ending(self):
        names = ("a.json", "b.md", "c.txt", "d")
        with idle() as target:
            outputs = [part for name in names for part in ("-o", self.in_folder(name))]
            outcome = support.pycore("snap", target.pid, *outputs)
            self.assertEqual((outcome.rc, outcome.out, outcome.err), (0, "", ""))
            forced = support.pycore("snap", target.pid, "-f", "json", "-o", self.in_folder("e.md"))
            self.assertEqual(forced.rc, 0, forced.err)
        self.assertEqual(self.files(), [*names, "e.md"])
        texts = {}
        for name in self.files():
            with open(self.in_folder(name)) as stream:
                texts[name] = stream.read()
            self.assertEqual(os.stat(self.in_folder(name)).st_mode & 0o777, 0o600)
        self.assertEqual(json.loads(texts["a.json"])["schema"], "pycore/1")
        self.assertEqual(json.loads(texts["e.md"])["schema"], "pycore/1")
        self.assertTrue(texts["b.md"].startswith("#"), texts["b.md"])
        self.assertIn("STACKS", texts["c.txt"])
        self.assertEqual(texts["c.txt"].splitlines()[0], texts["d"].splitlines()[0])

    def test_unwritable(self):
        """Exit status 2, one line that names the place, nothing left behind."""
        os.mkdir(self.in_folder("folder"))
        with open(self.in_folder("file"), "w") as stream:
            stream.write("older")
        places = [self.in_folder("folder"), self.in_folder("missing/report.txt"),
                  self.in_folder("file/report.txt"), "/proc/report.txt", "/dev/full"]
        if os.geteuid() != 0:
            os.mkdir(self.in_folder("locked"), 0o500)
            places.append(self.in_folder("locked/report.txt"))
        before = self.files()
        with idle() as target:
            for place in places:
                for many in ((), ("-n", "2", "-i", "5ms")):
                    with self.subTest(place=os.path.basename(place), many=many):
                        outcome = support.pycore("snap", target.pid, *many, "-o", place)
                        name = () if place == "/dev/full" else (place,)
                        self.check_one_line(outcome, 2, *name)
                        self.assertEqual(self.files(), before)
                        self.assertEqual(os.listdir(self.in_folder("folder")), [])

    def test_full_disk(self):
        """A file that cannot be written to its end does not appear, an older one stays."""
        with open(self.in_folder("report.txt"), "w") as stream:
            stream.write("older")

        def limit():
            import resource
            import signal
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

        with idle() as target:
            outcome = support.pycore("snap", target.pid, "-o", self.in_folder("report.txt"),
                                     preexec_fn=limit)
        self.check_one_line(outcome, 2)
        self.assertEqual(self.files(), ["report.txt"])
        with open(self.in_folder("report.txt")) as stream:
            self.assertEqual(stream.read(), "older")

    def test_standard_output_full(self):
        with idle() as target, open("/dev/full", "w") as full:
            done = subprocess.run([support.PYCORE, "snap", str(target.pid)], stdout=full,
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  timeout=support.PATIENCE_S)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)

    def test_replaces(self):
        with open(self.in_folder("report.json"), "w") as stream:
            stream.write("older" * 100000)
        with idle() as target:
            outcome = support.pycore("snap", target.pid, "-o", self.in_folder("report.json"))
        self.assertEqual(outcome.rc, 0, outcome.err)
        with open(self.in_folder("report.json")) as stream:
            json.load(stream)


if __name__ == "__main__":
    sys.exit(unittest.main())
