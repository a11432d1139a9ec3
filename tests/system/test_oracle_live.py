# SPDX-License-Identifier: GPL-3.0-or-later
"""Live processes: pycore says of every thread what the interpreter itself said at that moment."""

import contextlib
import json
import os
import tempfile
import time

import oracle
import support
import tap

EARLY = True

BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")
SPINNING = (33, 34)  # lines of spin() in tests/programs/gil.py


def whole(*arguments):
    """A document in which nothing is missing, of a process with threads that run."""
    return json.loads(support.until_complete(lambda: support.pycore(*arguments, "-f", "json")).out)


class OracleLive(support.TestCase):
    @support.each_python(builds=BUILDS, every_debug=True)
    def test_plain(self, python):
        with oracle.situations(python) as (target, folder, expected):
            document = support.pycore_json("snap", target.pid)
            self.check(oracle.compare(document, expected, python))
            self.check(oracle.compare_faulthandler(document, expected,
                                                   os.path.join(folder, "faulthandler.txt")))

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_traced(self, python):
        """Trace, profile and monitoring functions are at work."""
        with oracle.situations(python, "traced") as (target, folder, expected):
            document = support.pycore_json("snap", target.pid)
        with self.subTest("frames"):
            self.check(oracle.compare(document, expected, python, calls=False))
        with self.subTest("calls"):
            self.check(oracle.compare(document, expected, python))

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_interpreters(self, python):
        """Other interpreters, made by one thread and run by another."""
        with oracle.situations(python, "interpreters") as (target, folder, expected):
            document = support.pycore_json("snap", target.pid)
        self.check(oracle.compare(document, expected, python))

    @support.each_python()
    def test_bound_builtin(self, python):
        """A builtin that is told its class (METH_METHOD, 3.9 and later) was bound long before."""
        program = ("import re\nmatch = re.compile('(a*)*b').match\n"
                   "print('READY', flush=True)\nmatch('a' * 60)")
        with support.start_program([python.path, "-c", program]) as target:
            wanted = "{method 'match' of '%s' objects}" % (
                "re.Pattern" if python.minor > (3, 6) else "_sre.SRE_Pattern")
            deadline = time.monotonic() + 60
            innermost = None
            while innermost != wanted and time.monotonic() < deadline:  # it has only said that it will
                document = whole("snap", target.pid, "--no-native")
                innermost = document["snapshots"][0]["threads"][0]["frames"][0]["qualname"]
        self.assertEqual(innermost, wanted)

    def check(self, problems):
        self.assertFalse(bool(problems), "\n  " + problems)

    @support.each_python(builds=("release", "free-threaded"))
    def test_deep(self, python):
        """150 threads, 1,000 and 100,000 frames, and 'python -X dev'."""
        depths = (1000, 100000)
        with tempfile.TemporaryDirectory(prefix="pycore-oracle-") as folder:
            with support.start_target(python, support.path("tests/programs/deep.py"), folder, 150,
                                      *depths, flags=("-X", "dev")) as target:
                document = support.pycore_json("snap", target.pid, timeout=300)
                with open(os.path.join(folder, "expected.json")) as stream:
                    expected = json.load(stream)
        threads = document["snapshots"][0]["threads"]
        self.assertEqual(len(threads), len(expected) + 1)
        by_ident = {thread["python_thread_id"]: thread for thread in threads}
        for name, ident, wanted in expected:
            thread = by_ident[hex(ident)]
            self.assertEqual(thread["name"], name)
            self.assertEqual(thread["notes"], [])
            self.assertEqual(support.of_python(thread)[0]["qualname"], "{built-in method posix.read}")
            self.assertEqual(self.runs(thread), wanted, name)

    @staticmethod
    def runs(thread):
        """Runs of equal frames: [count, function, line]."""
        runs = []
        for frame in thread["frames"]:
            if frame["kind"] == "python":
                row = [frame["function"], frame["line"]]
                if runs and runs[-1][1:] == row:
                    runs[-1][0] += 1
                else:
                    runs.append([1] + row)
        return runs


class Gil(support.TestCase):
    """tests/programs/gil.py, phase by phase."""

    @contextlib.contextmanager
    def program(self, python):
        with tempfile.TemporaryDirectory(prefix="pycore-oracle-") as folder:
            fifo = os.path.join(folder, "fifo")
            os.mkfifo(fifo)
            with support.start_target(python, support.path("tests/programs/gil.py"),
                                      fifo) as target:
                with open(fifo, "wb", buffering=0) as stream:
                    yield target, stream

    def threads(self, target, **facts):
        """The threads by name, when one of them is as `facts` say: it was about to be so."""
        deadline = time.monotonic() + 60
        while True:
            document = whole("snap", target.pid)
            threads = {thread["name"]: thread
                       for thread in document["snapshots"][0]["threads"]}
            if all(threads.get(name, {}).get("state") == state for name, state in facts.items()):
                return threads
            self.assertLess(time.monotonic(), deadline, {
                name: thread["state"] for name, thread in threads.items()})
            time.sleep(0.05)

    @staticmethod
    def having(threads, fact):
        return sorted(name for name, thread in threads.items() if thread[fact])

    @support.each_python(builds=("release", "debug"))
    def test_gil(self, python):
        with self.program(python) as (target, fifo):
            # A C function called without letting go of the GIL.
            threads = self.threads(target, MainThread="io-wait", waiter="io-wait")
            self.assertEqual(self.having(threads, "holds_gil"), ["MainThread"])
            self.assertEqual(self.having(threads, "in_gc"), [])
            fifo.write(b"x")
            self.assertEqual(target.read_line(), "gil-wait")
            threads = self.threads(target, MainThread="io-wait", spinner="gil-wait")
            self.assertEqual(self.having(threads, "holds_gil"), ["MainThread"])
            self.assertEqual(self.spinning(threads), ["spin", "spin_outer"])
            fifo.write(b"x")
            # A callback of the garbage collector.
            self.assertEqual(target.read_line(), "collecting")
            threads = self.threads(target, MainThread="io-wait", spinner="gil-wait")
            self.assertEqual(self.having(threads, "holds_gil"), ["MainThread"])
            self.assertEqual(self.having(threads, "in_gc"), ["MainThread"]
                             if python.minor > (3, 6) else [])
            fifo.write(b"x")
            # The collection waits in a finalizer; another thread works meanwhile.
            self.assertEqual(target.read_line(), "elsewhere")
            threads = self.threads(target, collector="io-wait", MainThread="lock-wait")
            self.assertEqual(self.having(threads, "holds_gil"), ["spinner"])
            self.assertEqual(self.spinning(threads), ["spin", "spin_outer"])
            self.assertEqual(support.of_python(threads["collector"])[1]["function"], "wait")

    def spinning(self, threads):
        frames = [frame for frame in threads["spinner"]["frames"] if frame["kind"] == "python"]
        self.assertIn(frames[0]["line"], SPINNING)
        return [frame["function"] for frame in frames[:2]]

    @support.each_python(builds=("release", "debug"))
    def test_collection_elsewhere(self, python):
        """The GIL's holder does not collect: another thread does, whose finalizer waits."""
        with self.program(python) as (target, fifo):
            for _ in range(3):
                fifo.write(b"x")
            while target.read_line() != "elsewhere":
                pass
            threads = self.threads(target, collector="io-wait", MainThread="lock-wait")
            self.assertEqual(self.having(threads, "holds_gil"), ["spinner"])
            self.assertNotIn("spinner", self.having(threads, "in_gc"))


if __name__ == "__main__":
    tap.main()
