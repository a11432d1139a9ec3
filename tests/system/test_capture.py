#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures: the report of a saved run is the same anywhere, and it is decoded from what was saved."""

import contextlib
import copy
import functools
import glob
import gzip
import json
import os
import re
import shutil
import signal
import stat
import struct
import subprocess

import harm
import oracle
import support
import tap

EARLY = True

BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")
HOT = "\n".join((
    "import threading, time",
    "def doze():",
    "    while True: time.sleep(0.003)",
    "def inner(n): return sum(i * i for i in range(n))",
    "def outer_loop(say=''):",
    "    if say: print(say, flush=True)",
    "    while True: sorted(range(40), key=inner)",
    "for work in (doze, outer_loop):",
    "    threading.Thread(target=work, daemon=True).start()",
    "outer_loop('READY')",
))


def plain(document):
    """A report without what may differ: where it was read from."""
    document = copy.deepcopy(document)
    document["source"].update(kind=None, path=None, of_core=None)
    return document


def differences(left, right, path=""):
    """Where two JSON values differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(set(left) | set(right)):
            yield from differences(left.get(key), right.get(key), "%s/%s" % (path, key))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right)):
            yield from differences(one, other, "%s/%d" % (path, number))
    elif left != right:
        yield "%s: %.200r, %.200r" % (path, left, right)


class Case(support.FolderCase):
    def assert_same(self, left, right):
        found = list(differences(plain(left), plain(right)))
        self.assertFalse(found, "\n  ".join(["%d differences" % len(found)] + found[:10]))

    def snap(self, pid, *options, ok=(0,), name="capture"):
        """A saved run: its own report and the capture's path. What must be complete is taken until it is."""
        capture = self.file(name)
        command = ["snap", pid, "--save", capture, "-f", "json", *options]
        take = functools.partial(support.pycore, *command, timeout=300)
        outcome = take() if 1 in ok else support.until_complete(take)
        self.assertIn(outcome.rc, ok, outcome.err or outcome.out)
        return json.loads(outcome.out), capture

    def analyze(self, capture, *options, ok=(0,), **more):
        document = support.pycore_json("analyze", capture, *options, ok=ok, timeout=300, **more)
        self.assertEqual(document["source"]["kind"], "capture")
        return document

    @contextlib.contextmanager
    def hot(self, python):
        script = self.file("hot.py")
        with open(script, "w") as stream:
            stream.write(HOT)
        with support.start_target(python, script) as target:
            yield target


class RoundTrip(Case):
    @support.each_python(builds=BUILDS)
    def test_parked(self, python):
        """A parked program: the capture's stacks are those that the interpreter itself names."""
        with oracle.situations(python) as (target, _, expected):
            live, capture = self.snap(target.pid)
            support.until_still(target.pid)  # whom the first one stopped goes back to sleep
            unsaved = support.pycore_json("snap", target.pid)
        self.assert_same(live, self.analyze(capture))
        problems = oracle.compare(self.analyze(capture), expected, python)
        self.assertFalse(bool(problems), "\n  " + problems)
        for document in (live, unsaved):
            for thread in document["snapshots"][0]["threads"]:
                for varying in ("cpu_ns", "cpu_total_ns", "stopped", "held_still"):
                    thread[varying] = None
                thread.get("wait", {})["left_ns"] = None
        self.assertFalse(list(differences(live["snapshots"][0]["threads"],
                                          unsaved["snapshots"][0]["threads"])))

    @support.each_python(builds=BUILDS)
    def test_hotspots(self, python):
        """A program at work: every snapshot and the report of all of them."""
        with self.hot(python) as target:
            live, capture = self.snap(target.pid, "-n", 30, "-i", "10ms", "--snapshots", ok=(0, 1))
        again = self.analyze(capture, "--snapshots", ok=(0, 1))
        self.assertEqual(len(again["snapshots"]), 30)
        self.assert_same(live, again)

    def test_formats(self):
        """The same text and Markdown, source lines included; without them elsewhere."""
        with self.hot(harm.usual_python()) as target:
            live = {form: self.file("live." + form) for form in ("text", "md")}
            outcome = support.pycore("snap", target.pid, "-n", 10, "-i", "10ms", "--save",
                                     self.file("c"), "-o", live["md"])
            self.assertIn(outcome.rc, (0, 1), outcome.err)
            with open(live["md"]) as stream:
                report = stream.read()
        os.unlink(self.file("hot.py"))
        self.assertIn("sum(i * i for i in range(n))", report)
        again = support.pycore("analyze", self.file("c"), "-f", "md").out
        strip = re.compile(r"(?m)^(From the capture .*)?\n")
        self.assertEqual(strip.sub("", report), strip.sub("", again))

    @support.each_python(builds=BUILDS)
    def test_core(self, python):
        """A core is saved as a capture, too: with its signal, without its binaries."""
        with oracle.situations(python) as (target, folder, _):
            core = oracle.make_core(target, folder)
            saved = self.file("saved.gz")
            before = support.pycore_json("analyze", core, "--save", saved, ok=(0, 1), timeout=120)
            plainly = support.pycore_json("analyze", core, ok=(0, 1), timeout=120)
            self.assertLess(os.stat(saved).st_size, os.stat(core).st_size / 2)
        again = self.analyze(saved, ok=(0, 1))
        self.assert_same(before, again)
        self.assertEqual(again["source"]["signal"]["name"], "SIGABRT")
        plainly["tool"] = before["tool"]
        self.assertFalse(list(differences(plainly, before)))

    @support.each_python(builds=("release",))
    def test_core_equals_capture(self, python):
        """The capture of a parked program and its core: the same threads, names and frames."""
        with oracle.situations(python) as (target, folder, _):
            capture = self.snap(target.pid)[1]
            support.until_still(target.pid)  # or it dies where it makes its call again after a stop
            core = oracle.make_core(target, folder)
            dead = support.pycore_json("analyze", core, ok=(0, 1), timeout=120)
        alive = self.analyze(capture)

        def stacks(document):
            return {thread["tid"]: (None if thread["name_from_kernel"] else thread["name"], [
                        {key: frame.get(key) for key in ("kind", "function", "qualname", "file",
                                                         "line", "column", "module", "address")}
                        for frame in thread["frames"]])
                    for thread in document["snapshots"][0]["threads"]}
        left, right = stacks(alive), stacks(dead)
        left.pop(target.pid), right.pop(target.pid)  # it has gone to abort()
        self.assertFalse(list(differences(left, right))[:10])

    @harm.versions("3.8", "3.11", "3.15")
    def test_churn(self, python):
        """Threads that come and go, code that is freed: what is kept is what was reported."""
        with support.start_target(python, support.path("tests/programs/harm_churn.py")) as target:
            live, capture = self.snap(target.pid, "-n", 100, "-i", "5ms", "--snapshots", ok=(0, 1))
        self.assert_same(live, self.analyze(capture, "--snapshots", ok=(0, 1)))

    def test_modules(self):
        """Libraries are loaded and unloaded at the same addresses, and then comes an exec."""
        compiler = shutil.which("cc")
        if not compiler:
            self.skipTest("no C compiler")
        source = self.file("laps.c")
        with open(source, "w") as stream:
            stream.write("int NAME(int (*f)(void)) { return f() + 1; }\n"
                         "int call(int (*f)(void)) { return NAME(f) + 1; }\n")
        libraries = []
        for name in ("in_first", "in_second"):
            libraries.append(self.file(name + ".so"))
            subprocess.run([compiler, "-O1", "-fno-inline", "-g", "-shared", "-fPIC",
                            "-DNAME=" + name, "-o", libraries[-1], source], check=True)
        program = support.path("tests/programs/capture_modules.py")
        python = harm.usual_python()
        wanted = {"in_first", "in_second", "executed"}
        for lap_s in (2, 8, 32):  # what comes and goes stays longer where pycore came too late to see it
            with support.start_target(python, program, *libraries, 1, lap_s) as target:
                live, capture = self.snap(target.pid, "-d", "%ds" % (3 * lap_s), "-i", "50ms",
                                          "--snapshots", ok=(0, 1))
            kept = [shutil.move(library, library + ".kept") for library in libraries]
            again = self.analyze(capture, "--snapshots", ok=(0, 1))
            self.assert_same(live, again)
            seen = {frame["function"] for snapshot in again["snapshots"]
                    for thread in snapshot["threads"] for frame in thread["frames"]}
            if wanted <= seen:
                break
            for library, place in zip(kept, libraries):
                shutil.move(library, place)
        self.assertLessEqual(wanted, seen)
        self.assertIn("exec", " ".join(again["notes"]))


class Kept(Case):
    """What is in the file, and what is not."""

    def test_decoded_from_memory(self):
        """One byte of a stored co_name changes the report."""
        with self.hot(harm.usual_python()) as target:
            _, capture = self.snap(target.pid)
        with open(capture, "rb") as stream:
            data = stream.read()
        offset, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
        loads = [header for header in struct.iter_unpack("<IIQQQQQQ",
                                                         data[offset:offset + 56 * count])
                 if header[0] == 1]
        changed = data
        for _, _, at, _, _, size, _, _ in loads:
            changed = (changed[:at] + changed[at:at + size].replace(b"outer_loop", b"0uter_loop") +
                       changed[at + size:])
        self.assertNotEqual(changed, data)
        with open(capture, "wb") as stream:
            stream.write(changed)
        names = {frame["function"] for thread in self.analyze(capture, ok=(0, 1))["snapshots"][0]
                 ["threads"] for frame in thread["frames"]}
        self.assertIn("0uter_loop", names)
        self.assertNotIn("outer_loop", names)

    @harm.versions("3.8", "3.12", "3.15")
    def test_no_secrets(self, python):
        """No value of the environment and no secret argument is in it, live or from a core."""
        program = ("import os, sys, time; os.environ['LATER_SET'] = chr(112) + 'lanted6'; "
                   "print('READY', flush=True); time.sleep(600)")
        arguments = ["-c", program, "--db-password=planted1", "--api-token", "planted2",
                     "postgres://me:planted3@host/db", "ghp_planted4abcdefghijklmnopqrst"]
        with support.start_program([python.path, *arguments],
                                   env={"PLANTED_ENVIRONMENT": "planted5"},
                                   cwd=self.folder) as target:
            document, capture = self.snap(target.pid)
            argv = document["source"]["processes"][0]["argv"]
            os.kill(target.pid, signal.SIGABRT)
            target.process.wait()
        self.assertEqual(argv[-5:], ["--db-password=***", "--api-token", "***",
                                     "postgres://me:***@host/db", "***"])
        files = [capture]
        for core in glob.glob(self.file("core*")):
            saved = self.file("saved")
            again = support.pycore_json("analyze", core, "--save", saved)
            self.assertEqual(again["source"]["processes"][0]["argv"], argv)
            files.append(saved)
            os.unlink(core)
        for file in files:
            with open(file, "rb") as stream:
                data = stream.read()
            found = re.findall(rb"[ -~]{0,40}planted\d[ -~]{0,40}",
                               data)
            self.assertFalse(found, file)

    def test_names_of_the_environment(self):
        """Names of variables and nothing else, whatever a program was given or has made of it."""
        program = "\n".join((
            "import ctypes, os, sys, time",
            "if sys.argv[1] == 'over':",
            "    with open('/proc/self/stat') as stream: # proc(5): 50 is env_start, 51 env_end",
            "        start, end = map(int, stream.read().rpartition(')')[2].split()[47:49])",
            "    title = b'LEFT=' + bytes((112,)) + b'lanted8'",
            "    ctypes.memmove(start, title.ljust(40, b'\\0'), 40)",
            "print('READY', flush=True); time.sleep(600)"))
        strange = {"PLANTED_NAME": "planted0", "_x9": "planted1=planted2", "API_TOKEN": "planted3",
                   "LINES": "first\nplanted4=planted5\n"}
        odd = ["BASH_FUNC_planted6%%=() { planted6", "postgres://me:planted6@host/db?x=1",
               "=planted6", "ghp_planted6abcdefghijklmnopqrst=", "a planted6=1", "9=planted6",
               "cGxhbnRlZDZwbGFudGVkNg1234planted6abcd=="]
        execute = ("import ctypes, sys; text = lambda all: (ctypes.c_char_p * (len(all) + 1))("
                   "*(one.encode() for one in all)); at = sys.argv.index('--'); "
                   "ctypes.CDLL(None).execve(sys.argv[1].encode(), text(sys.argv[1:at]), "
                   "text(sys.argv[at + 1:]))")
        python = harm.usual_python().path
        given = ["%s=%s" % pair for pair in strange.items()]
        for how, names in (("plain", sorted(strange)), ("over", []), ("no sign", [])):
            lines = given + odd + ["planted7"] * (how == "no sign")
            with support.start_program([python, "-c", execute, python, "-c", program, how, "--",
                                        *lines]) as target:
                document, capture = self.snap(target.pid)
                texts = [support.pycore("snap", target.pid, "-f", form).out
                         for form in ("text", "md", "html")]
            again = self.analyze(capture)
            for report in (document, again):
                self.assertEqual(sorted(report["source"]["environment"]["variables"]), names, how)
            with open(capture, "rb") as stream:
                texts.append(stream.read().decode("latin-1"))
            for text in (*texts, json.dumps(document)):
                self.assertEqual(re.findall(r".{0,20}planted\d.{0,20}", text), [], how)

    @support.each_python(builds=BUILDS)
    def test_no_values(self, python):
        """No value of the heap, not even one that lies between two names that are."""
        script = self.file("values.py")
        with open(script, "w") as stream:
            stream.write("\n".join((
                "import os, time",
                "word, keep, names = os.environ['WORD'][::-1], [], {'time': time}",
                "exec('def f0():\\n  print(\"READY\", flush=True); time.sleep(1000)\\n', names)",
                "for i in range(1, 60):",
                "    keep.append('%s%d' % (word, i))",
                "    exec('def f%d():\\n  x%d = 1; f%d()\\n' % (i, i, i - 1), names)",
                "    keep.append('%s%d' % (word, i + 100))",
                "names['f59']()")))
        with support.start_target(python, script, env={"WORD": "detnalp"}, still=True) as target:
            _, capture = self.snap(target.pid)
        with open(capture, "rb") as stream:
            data = stream.read()
        self.assertIn(b"f59", data)
        self.assertEqual(re.findall(rb".{0,20}planted\d.{0,20}", data), [])

    def test_unreadable(self):
        """Nothing is kept of a process whose memory may not be read, and that is said."""
        if os.geteuid() != 0:
            self.skipTest("needs another user's process")
        os.chmod(self.folder, 0o777)
        with self.hot(harm.usual_python()) as target:
            done = subprocess.run([support.PYCORE, "snap", str(target.pid), "--save",
                                   self.file("denied")], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, preexec_fn=lambda: os.setuid(65534))
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"nothing can be saved", done.stderr)
        self.assertFalse(os.path.exists(self.file("denied")))

    def test_file(self):
        """Only for its user; gzip by its name; no file when the disk refuses it."""
        with self.hot(harm.usual_python()) as target:
            _, capture = self.snap(target.pid)
            self.assertEqual(stat.S_IMODE(os.stat(capture).st_mode), 0o600)
            self.snap(target.pid, name="capture.gz")
            with gzip.open(self.file("capture.gz")) as stream:
                self.assertEqual(stream.read(4), b"\x7fELF")
            self.analyze(self.file("capture.gz"))
            outcome = support.pycore("snap", target.pid, "--save", "/dev/full/x")
            self.assertEqual(outcome.rc, 2)
            with open(self.file("victim"), "w") as stream:
                stream.write("mine")
            os.symlink("victim", self.file("link"))
            for options in (["--save", self.file("link")], ["--save", "-"],
                            ["--save", self.file("x"), "-o", self.file("x")]):
                outcome = support.pycore("snap", target.pid, *options)
                self.assertEqual((outcome.rc, len(outcome.err.splitlines())), (2, 1), outcome)
            with open(self.file("victim")) as stream:
                self.assertEqual(stream.read(), "mine")
            os.unlink(self.file("link"))
            os.unlink(self.file("victim"))
            outcome = support.pycore("snap", target.pid, "--save", self.file("none/x"))
            self.assertEqual(outcome.rc, 2)
            self.assertIn("none", outcome.err)
        self.assertEqual(sorted(os.listdir(self.folder)), ["capture", "capture.gz", "hot.py"])

    def test_cut(self):
        """A capture that is cut anywhere: a report of what is there, or one line that says why."""
        with self.hot(harm.usual_python()) as target:
            _, capture = self.snap(target.pid, "-n", 5, "-i", "10ms", ok=(0, 1))
        with open(capture, "rb") as stream:
            data = stream.read()
        for percent in range(0, 100, 4):
            with open(self.file("cut"), "wb") as stream:
                stream.write(data[:len(data) * percent // 100])
            outcome = support.pycore("analyze", self.file("cut"))
            self.assertIn(outcome.rc, (1, 2), percent)
            if outcome.rc == 2:
                self.assertEqual(len(outcome.err.splitlines()), 1, outcome.err)

    def test_many(self):
        """Two captures are one statistical report."""
        with self.hot(harm.usual_python()) as target:
            files = [self.snap(target.pid, name="c%d" % number)[1] for number in range(2)]
        document = support.pycore_json("analyze", *files, ok=(0, 1))
        self.assertEqual(document["profile"]["snapshots"], 2)


class Elsewhere(Case):
    @harm.versions("3.6", "3.12", "3.15")
    def test_empty_chroot(self, python):
        """Where there is nothing but pycore and the capture."""
        if os.geteuid() != 0:
            self.skipTest("chroot(2) is root's")
        if support.is_sanitized():
            self.skipTest("a sanitizer needs /proc")
        root = self.file("root" + python.name)
        needed = subprocess.run(["ldd", support.PYCORE], stdout=subprocess.PIPE).stdout.decode()
        for library in re.findall(r"(/\S+)", needed):
            os.makedirs(root + os.path.dirname(library), exist_ok=True)
            shutil.copy(library, root + library)
        shutil.copy(support.PYCORE, os.path.join(root, "pycore"))
        for ending in ("", ".gz"):
            with self.hot(python) as target:
                live, capture = self.snap(target.pid, "-n", 10, "-i", "10ms", "--snapshots",
                                          ok=(0, 1), name="c" + ending)
            shutil.copy(capture, os.path.join(root, "c" + ending))
            done = subprocess.run(["chroot", root, "/pycore", "analyze", "--snapshots",
                                   "/c" + ending, "-f", "json"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
            self.assertIn(done.returncode, (0, 1), done.stderr.decode())
            self.assert_same(live, json.loads(done.stdout.decode("utf-8", "surrogateescape")))

    def test_debuggers(self):
        """gdb and eu-stack open the first snapshot, and unwind it where the binaries are."""
        program = ("import threading, time; "
                   "threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); "
                   "print('READY', flush=True); time.sleep(600)")
        with support.start_program([harm.usual_python().path, "-c", program], still=True) as target:
            live, capture = self.snap(target.pid)
            exe = os.readlink("/proc/%d/exe" % target.pid)
        threads = {str(thread["tid"]) for thread in live["snapshots"][0]["threads"]}
        gdb, eu_stack = shutil.which("gdb"), shutil.which("eu-stack")
        if not gdb and not eu_stack:
            self.skipTest("neither gdb nor eu-stack on this machine")
        if eu_stack:
            out = subprocess.run([eu_stack, "--core", capture, "-e", exe], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT).stdout.decode("utf-8", "replace")
            self.assertEqual(set(re.findall(r"(?m)^TID (\d+):", out)), threads)
            self.assertIn("PyEval", out)
            self.assertIn("_start", out)
        if gdb:
            out = subprocess.run([gdb, "-nx", "-batch", "-ex", "thread apply all bt", "-c", capture,
                                  exe], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT).stdout.decode("utf-8", "replace")
            self.assertEqual(set(re.findall(r"LWP (\d+)\)", out)), threads)
            self.assertIn("PyEval", out)
            self.assertIn("start_thread", out)


if __name__ == "__main__":
    tap.main()
