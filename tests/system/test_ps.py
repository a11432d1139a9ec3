#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""'pycore ps': which processes are listed, what is said of each, and why one cannot be opened."""

import json
import os
import pty
import re
import shutil
import struct
import subprocess
import unittest

import support
import test_runtime_search as search
import test_snap_input as inputs

IDLE = inputs.IDLE
BURN = "print('READY', flush=True)\nwhile True: pass\n"


def listing(**options):
    return support.pycore_json("ps", ok=(0, 1), **options)


def find(document, pid):
    return next((row for row in document["processes"] if row["pid"] == pid), None)


class Listed(inputs.Scratch):
    @support.each_python(builds=search.BUILDS)
    def test_versions(self, python):
        with support.start_program([python.path, "-c", IDLE, "--token", "hunter2"]) as target:
            row = find(listing(), target.pid)
        self.assertEqual(row["python"], {"version": python.full, "build": python.build})
        self.assertEqual((row["can_be_opened"], row["why_not"]), (True, None))
        self.assertEqual(row["argv"][1:], ["-c", IDLE, "--token", "***"])
        self.assertTrue(row["runs"].startswith("-c 'import sys, time\\ndef idle"), row["runs"])
        self.assertEqual(os.path.realpath(row["exe"]), os.path.realpath(python.program))
        self.assertEqual((row["uid"], row["parent"], row["threads"]),
                         (os.getuid(), os.getpid(), 1))
        self.assertGreater(row["rss_bytes"], 1 << 20)
        self.assertLess(row["age_ns"], 60 * 10**9)

    def test_stripped_and_renamed(self):
        """No name says what it is, and no symbol."""
        static = [python for python in support.interpreters()
                  if python.build == "release" and not search.libpython_of(python)]
        if not static:
            self.skipTest("every Python of this machine has a libpython")
        python = static[-1]
        copy = search.Copy(python, self.folder, program="worker")
        search.edit(copy.program, search.rename_runtime, search.remove_sections)
        with copy.run() as target:
            row = find(listing(), target.pid)
        self.assertEqual(row["python"]["version"], python.full)
        self.assertTrue(row["runs"].startswith("worker "), row["runs"])

    def embedder(self, source):
        program = os.path.join(self.folder, "server")
        with open(program + ".c", "w") as stream:
            stream.write(source)
        if not inputs.compiler("-o", program, program + ".c", "-ldl"):
            self.skipTest("no C compiler is on this machine")
        for python in reversed(support.interpreters()):
            library = search.libpython_of(python)
            if library and python.build == "release":
                return program, python, library
        raise unittest.SkipTest("no shared libpython is on this machine")

    def test_embedded(self):
        program, python, library = self.embedder(search.EMBEDDER)
        with support.start_program([program, library, "-c", IDLE],
                                   env={"PYTHONHOME": python.prefix}) as target:
            row = find(listing(), target.pid)
        self.assertEqual(row["python"]["version"], python.full)
        self.assertTrue(row["runs"].startswith("server "), row["runs"])

    def test_library_alone_is_no_python(self):
        """It could run Python, and does not."""
        program, _, library = self.embedder(
            "#include <dlfcn.h>\n#include <stdio.h>\n#include <unistd.h>\n"
            "int main(int c, char **v) { if (!dlopen(v[1], RTLD_NOW)) return 1;\n"
            "puts(\"READY\"); fflush(stdout); pause(); return 0; }\n")
        with support.start_program([program, library]) as target:
            self.assertIsNone(find(listing(), target.pid))

    def test_others_are_not_listed(self):
        with subprocess.Popen(["/bin/sleep", "1000"]) as child:
            try:
                self.assertIsNone(find(listing(), child.pid))
            finally:
                child.kill()

    def test_forked_share_one_search(self):
        """All of them are found by the first one's search."""
        program = ("import os, time\npids = [os.fork() for _ in range(1)]\n"
                   "for _ in range(5):\n os.fork()\n"
                   "print('READY' if pids[0] else '', flush=True); time.sleep(1000)\n")
        python = inputs.some_python()
        with support.start_program([python.path, "-c", program]) as target:
            rows = [row for row in listing()["processes"] if program in (row["argv"] or [])]
        self.assertGreater(len(rows), 1)
        self.assertTrue(any(row["pid"] == target.pid for row in rows))
        for row in rows:
            self.assertEqual(row["python"], {"version": python.full, "build": "release"})

    def test_busiest_first(self):
        python = inputs.some_python()
        with support.start_program([python.path, "-c", BURN]) as busy, \
                support.start_program([python.path, "-c", IDLE]) as idle:
            for _ in range(10):  # on a busy machine it may not run for 0.3 s
                document = listing()
                shares = [row["cpu_share"] for row in document["processes"]]
                self.assertEqual(shares, sorted(shares, reverse=True))
                worked = find(document, busy.pid)["cpu_share"]
                if worked:
                    break
            self.assertGreater(worked, find(document, idle.pid)["cpu_share"])


class NotOpened(inputs.Permission):
    def test_other_user(self):
        with inputs.idle() as target:
            outcome = self.run_as_nobody("ps", "-f", "json")
            text = self.run_as_nobody("ps")
        document = json.loads(outcome.out)
        row = find(document, target.pid)
        self.assertEqual((row["can_be_opened"], row["why_not_in_short"], row["python"]),
                         (False, "other user", None))
        self.assertIn("belongs to user 0 and you are user 65534", row["why_not"])
        self.assertIn("sudo pycore", row["why_not"])
        self.assertEqual((outcome.rc, document["complete"]), (1, False))
        self.assertRegex(text.out, r"\n *%d .*other user\n" % target.pid)
        self.assertIn("WHY THEY CANNOT BE OPENED", text.out)

    def test_others_without_a_name(self):
        with subprocess.Popen(["/bin/sleep", "1000"]) as child:
            try:
                document = json.loads(self.run_as_nobody("ps", "-f", "json").out)
            finally:
                child.kill()
        self.assertIsNone(find(document, child.pid))
        self.assertGreater(document["hidden"], 0)
        self.assertIn("sudo pycore ps", " ".join(document["notes"]))

    def test_not_dumpable(self):
        program = ("import ctypes, os, sys, time\n"
                   "os.setgid(65534); os.setuid(65534)\n"
                   "ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n"  # PR_SET_DUMPABLE
                   "print('READY'); sys.stdout.flush(); time.sleep(1000)\n")
        with support.start_program([inputs.some_python().path, "-c", program]) as target:
            row = find(json.loads(self.run_as_nobody("ps", "-f", "json").out), target.pid)
        self.assertEqual(row["why_not_in_short"], "not dumpable")

    # Those of the base class are snap's.
    test_init = test_own_process = None


class NotSupported(inputs.Scratch):
    def check(self, command, word):
        with support.start_program(command) as target:
            row = find(listing(), target.pid)
        self.assertEqual((row["can_be_opened"], row["why_not_in_short"], row["python"]),
                         (False, "not supported", None))
        self.assertIn(word, row["why_not"])

    def test_pypy(self):
        pypy = shutil.which("pypy3") or shutil.which("pypy")
        if not pypy:
            self.skipTest("no PyPy is on this machine")
        self.check([pypy, "-c", IDLE], "PyPy")

    def test_32_bit(self):
        program = os.path.join(self.folder, "python3")
        with open(program + ".c", "w") as stream:
            # No library: a 32-bit libc is on few machines. write(1, "READY\n", 6), pause().
            stream.write('void _start(void) { static const char text[] = "READY\\n"; int ret;\n'
                         '__asm__ volatile("int $0x80" : "=a"(ret) : "a"(4), "b"(1), "c"(text), '
                         '"d"(6) : "memory");\n'
                         'for (;;) __asm__ volatile("int $0x80" : "=a"(ret) : "a"(29)); }\n')
        if not inputs.compiler("-m32", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-o", program,
                               program + ".c"):
            self.skipTest("the compiler makes no 32-bit programs")
        try:
            self.check([program], "32-bit")
        except OSError:
            self.skipTest("this kernel runs no 32-bit programs")


class Shown(inputs.Scratch):
    def table(self, columns):
        """What it prints on a terminal so wide."""
        pid, master = pty.fork()
        if pid == 0:
            os.environ["NO_COLOR"] = "1"
            import fcntl, termios
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execv(support.PYCORE, ["pycore", "ps"])
        text = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            text += data
        os.close(master)
        os.waitpid(pid, 0)
        return text.decode().replace("\r", "")

    def test_width(self):
        with support.start_program([inputs.some_python().path, "-c", IDLE + "#" * 300]) as target:
            for columns in (80, 200):
                text = self.table(columns)
                row = re.search(r"^ *%d .*$" % target.pid, text, re.M).group()
                self.assertLessEqual(max(map(len, text.split("\n"))), columns)
                self.assertIn("-c 'import", row)

    def test_hostile_arguments(self):
        with support.start_program([inputs.some_python().path, "-c", IDLE,
                                    "\x1b]0;owned\x07\u202e\n| <b>"]) as target:
            text = support.pycore("ps").out
            document = listing()
        row = [line for line in text.split("\n") if line.lstrip().startswith("%d " % target.pid)]
        self.assertEqual(len(row), 1)
        self.assertFalse(set(text) & {"\x1b", "\x07", "\u202e"})
        self.assertEqual(find(document, target.pid)["argv"][3], "\x1b]0;owned\x07\u202e\n| <b>")

    def test_none(self):
        """In a namespace without any it says so, which is no failure."""
        command = ["unshare", "--pid", "--fork", "--mount-proc"]
        try:
            subprocess.run([*command, "/bin/true"], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("no namespace of PIDs can be made here")
        done = subprocess.run([*command, support.PYCORE, "ps"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=support.pycore_environment(),
                              timeout=support.PATIENCE_S)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertTrue(done.stdout.startswith(b"No Python process"), done.stdout)

    def test_usage(self):
        for arguments in (("4711",), ("-f", "svg"), ("--count", "3")):
            outcome = support.pycore("ps", *arguments)
            self.assertEqual((outcome.rc, outcome.out), (64, ""), outcome.err)


if __name__ == "__main__":
    import tap
    tap.main()
