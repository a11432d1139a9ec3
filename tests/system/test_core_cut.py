#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cores that are not whole, and large ones: cut at every percent, without what a dump filter left
out, with more segments than an ELF header can count, with thousands of threads, of 64 GiB.

PYCORE_LONG=1: every interpreter, every filter, ten thousand threads."""

import gzip
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import unittest

import support
from test_core_input import EHDR, PHDR, PT_LOAD, PT_NOTE, InFolder
from cores import no_kernel_cores  # noqa: E402 (test_core_input knows where it is)

LONG = bool(os.environ.get("PYCORE_LONG"))
WAITING = 3
PROGRAM = """
import os, sys, threading
sys.path.insert(0, %r)
import at_rest
lock = threading.Lock()
lock.acquire()
def wait():
    lock.acquire()
def inner():
    wait()
threading.stack_size(128 << 10)
for i in range(int(sys.argv[1])):
    threading.Thread(target=inner, daemon=True).start()
at_rest.wait()
def f(value=0):
    os.abort()
def g():
    sorted([1], key=f)
def h():
    max([1, 2], key=lambda value: g())
h()
""" % support.path("tests/programs")
GIB = 1 << 30
PN_XNUM = 0xffff
SHDR = "<IIQQQQIIQQ"
PEAK_BYTES = 64 << 20
FREE_ADDRESS = 0x100000000000  # of no mapping that the kernel chooses


def dump(folder, python, core_filter, threads=WAITING):
    """The core of PROGRAM, with a coredump_filter."""
    def prepare():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with open("/proc/self/coredump_filter", "w", encoding="ascii") as stream:
            stream.write("%#x" % core_filter)
    process = subprocess.Popen([python, "-c", PROGRAM, str(threads)], cwd=folder,
                               preexec_fn=prepare, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=support.clean_environment())
    status = process.wait(300)
    if status != -signal.SIGABRT:
        raise AssertionError("%s ended with %d" % (python, status))
    for name in ("core", "core.%d" % process.pid):
        if os.path.exists(os.path.join(folder, name)):
            path = os.path.join(folder, "dumped")
            os.rename(os.path.join(folder, name), path)
            return path
    raise unittest.SkipTest("the kernel wrote no core")


def read_headers(path):
    """The ELF header as a list, and the program headers."""
    with open(path, "rb") as stream:
        header = list(struct.unpack(EHDR, stream.read(64)))
        stream.seek(header[5])
        return header, [struct.unpack(PHDR, stream.read(56)) for _ in range(header[10])]


def add_segments(path, more, size):
    """Segments that the core did not have; its table of them moves to the end, behind `size`."""
    header, segments = read_headers(path)
    segments += more
    with open(path, "r+b") as stream:
        stream.truncate(size)
        stream.seek(size)
        stream.write(b"".join(struct.pack(PHDR, *segment) for segment in segments))
        header[5] = size
        header[10] = min(len(segments), PN_XNUM)
        if len(segments) >= PN_XNUM:
            header[6] = stream.tell()
            header[11:13] = 64, 1
            stream.write(struct.pack(SHDR, 0, 0, 0, 0, 0, 1, 0, len(segments), 0, 0))
        stream.seek(0)
        stream.write(struct.pack(EHDR, *header))


def stack_pointers(path):
    """tid: sp, from NT_PRSTATUS (x86_64: pid at 32, registers at 112, rsp the 20th of them)."""
    _, segments = read_headers(path)
    found = {}
    with open(path, "rb") as stream:
        for segment in segments:
            if segment[0] != PT_NOTE:
                continue
            stream.seek(segment[2])
            notes, at = stream.read(segment[5]), 0
            while at + 12 <= len(notes):
                name, desc, kind = struct.unpack_from("<III", notes, at)
                body = at + 12 + (name + 3) // 4 * 4
                if kind == 1:
                    found[struct.unpack_from("<i", notes, body + 32)[0]] = struct.unpack_from(
                        "<Q", notes, body + 112 + 19 * 8)[0]
                at = body + (desc + 3) // 4 * 4
    return found


def key(frame):
    return frame["kind"], frame["function"], frame.get("file"), frame.get("line")


def agrees(frame, frames):
    """Is it one of them, as far as something is known of it?"""
    return any(all(mine in (None, -1, theirs) for mine, theirs in zip(frame, other))
               for other in frames)


def stacks(document):
    return {thread["tid"]: [key(frame) for frame in thread["frames"]]
            for thread in document["snapshots"][0]["threads"]}


def python_stacks(document):
    return {tid: [frame for frame in frames if frame[0] != "native"]
            for tid, frames in stacks(document).items()}


class Cores(InFolder):
    def setUp(self):
        super().setUp()
        if no_kernel_cores():
            self.skipTest(no_kernel_cores())

    def analyze(self, path, *arguments):
        """Status, document (None for status 2), standard error."""
        outcome = support.pycore("analyze", path, "-f", "json", *arguments, timeout=300)
        self.assertIn(outcome.rc, (0, 1, 2), outcome.err)
        if outcome.rc == 2:
            self.assertEqual(outcome.out, "")
            self.assertEqual(len(outcome.err.splitlines()), 1, outcome.err)
            return 2, None, outcome.err
        return outcome.rc, json.loads(outcome.out), outcome.err

    def expect_note(self, document, phrase):
        self.assertTrue([text for text in document["notes"] if phrase in text],
                        "%r is not in %s" % (phrase, document["notes"]))


def one_python(function):
    """The newest release, or all with PYCORE_LONG."""
    if LONG:
        return support.each_python()(function)

    def test(self):
        pythons = [python for python in support.interpreters() if python.build == "release"]
        if not pythons:
            self.skipTest("no release build of Python is on this machine")
        function(self, pythons[-1])
    test.__doc__ = function.__doc__
    return test


class Cut(Cores):
    @one_python
    def test_every_percent(self, python):
        """Nothing is invented: what a cut core tells, the whole one tells, too."""
        path = dump(self.folder, python.path, 0x33)
        whole = python_stacks(self.analyze(path, "--no-native")[1])
        self.assertEqual(len(whole), 1 + WAITING)
        size, reports = os.path.getsize(path), 0
        for percent in range(99, -1, -1):
            os.truncate(path, size * percent // 100)
            status, document, _ = self.analyze(path, "--no-native")
            self.assertNotEqual(status, 0, "cut at %d %%, and called complete" % percent)
            if not document:
                continue
            reports += 1
            self.assertFalse(document["source"]["complete"])
            self.expect_note(document, "the core is truncated: it ends")
            self.expect_note(document, "what the core lost: all or part of")
            for tid, frames in python_stacks(document).items():
                self.assertEqual([frame for frame in frames if not agrees(frame, whole[tid])], [],
                                 "cut at %d %%" % percent)
        self.assertGreater(reports, 0)

    def test_native_alone(self):
        """Where nothing of Python can be found any more, its threads' native stacks still can."""
        # Where libpython is a shared library: its data is among the last things in a core.
        for python in support.interpreters():
            if python.build == "release" and self.count_alone(python):
                return
        self.skipTest("no interpreter here loses its data before its threads' stacks")

    def count_alone(self, python):
        path = dump(self.folder, python.path, 0x33)
        _, whole, _ = self.analyze(path, "--raw-native")
        size, alone = os.path.getsize(path), 0
        for percent in range(98, 60, -2):
            os.truncate(path, size * percent // 100)
            status, document, _ = self.analyze(path, "--raw-native")
            if status == 2 or document["source"]["processes"][0]["python"]["version"]:
                continue
            alone += 1
            self.expect_note(document, "native stacks only: ")
            for tid, frames in stacks(document).items():
                called = [frame for frame in frames if frame[0] == "native"]
                wanted = [frame for frame in stacks(whole)[tid] if frame[0] == "native"]
                self.assertEqual(called, wanted[:len(called)], "cut at %d %%" % percent)
        return alone

    @one_python
    def test_last_percent(self, python):
        """The stacks that are still in it are all given, native frames and all."""
        path = dump(self.folder, python.path, 0x33)
        _, whole, _ = self.analyze(path)
        pointers = stack_pointers(path)
        _, segments = read_headers(path)
        cut = os.path.getsize(path) * 99 // 100
        os.truncate(path, cut)
        status, document, error = self.analyze(path)
        self.assertEqual(status, 1, error)
        left = [tid for tid, pointer in pointers.items() for segment in segments
                if segment[0] == PT_LOAD and segment[3] <= pointer < segment[3] + segment[5] and
                segment[2] + segment[5] <= cut]
        self.assertEqual(len(left), WAITING)  # the main thread's is the last thing in the core
        for tid in left:
            self.assertEqual(stacks(document)[tid], stacks(whole)[tid])
        self.expect_note(document, "the native stacks of 1 of its %d threads" % (WAITING + 1))
        # Its Python frames are not on it, though what links them is.
        main = document["source"]["processes"][0]["pid"]
        self.assertEqual(python_stacks(document)[main], python_stacks(whole)[main])

    @one_python
    def test_file_that_shrinks_is_no_surprise(self, python):
        """While pycore reads it."""
        path = dump(self.folder, python.path, 0x33)
        timer = threading.Timer(0.02, os.truncate, (path, 100000))
        timer.start()
        self.analyze(path)
        timer.join()


class Filtered(Cores):
    FILTERS = range(256) if LONG else (0x00, 0x01, 0x10, 0x11, 0x32, 0x3f, 0x7f, 0xff)

    def test_filters(self):
        """What is missing is named with the bit that keeps it; what is there is told."""
        _, whole, _ = self.analyze(dump(self.folder, sys.executable, 0x33))
        shapes = sorted(map(str, stacks(whole).values()))
        for core_filter in self.FILTERS:
            with self.subTest("%#04x" % core_filter):
                status, document, error = self.analyze(
                    dump(self.folder, sys.executable, core_filter))
                said = error if status == 2 else str(document["notes"])
                if not core_filter & 1:
                    self.assertNotEqual(status, 0)
                    self.assertIn("set bit 0 of", said)
                    continue
                self.assertIn(status, (0, 1))
                self.assertEqual(sorted(map(str, stacks(document).values())), shapes)
                self.assertEqual("set bit 4 of" in said, not core_filter & (4 | 16), said)


class Large(Cores):
    def peak_bytes(self, *arguments):
        """Runs pycore; its largest resident set."""
        process = subprocess.Popen([support.PYCORE, *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env=support.clean_environment(TMPDIR=self.folder))
        with process.stderr:
            error = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertIn(process.returncode, (0, 1), error)
        return usage.ru_maxrss * 1024

    def expect_peak(self, *arguments):
        if support.is_sanitized():
            return
        self.assertLess(self.peak_bytes(*arguments), PEAK_BYTES)

    def test_more_segments_than_the_header_counts(self):
        path = dump(self.folder, sys.executable, 0x33)
        _, whole, _ = self.analyze(path)
        size = os.path.getsize(path)
        more = [(PT_LOAD, 6, size, FREE_ADDRESS + i * 8192, 0, 0, 4096, 4096)
                for i in range(70000)]
        add_segments(path, more, size)
        status, document, _ = self.analyze(path)
        self.assertEqual(status, 0)
        self.assertEqual(stacks(document), stacks(whole))
        self.expect_peak("analyze", path, "--no-native")

    def test_64_gib(self):
        """Nearly all of it a hole, which nobody reads."""
        path = dump(self.folder, sys.executable, 0x33)
        _, whole, _ = self.analyze(path)
        size = (os.path.getsize(path) + 4095) // 4096 * 4096
        more = [(PT_LOAD, 6, size, FREE_ADDRESS, 0, 64 * GIB, 64 * GIB, 4096)]
        try:
            add_segments(path, more, size + 64 * GIB)
        except OSError as error:
            self.skipTest("no file of 64 GiB here: %s" % error)
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        outcome = support.pycore("analyze", path, "-f", "json", preexec_fn=limit)
        self.assertEqual(outcome.rc, 0, outcome.err)
        self.assertEqual(stacks(json.loads(outcome.out)), stacks(whole))
        self.expect_peak("analyze", path, "--no-native")

    def test_peak_of_a_large_core(self):
        """1 GiB with 100 threads: plain, and packed."""
        path = dump(self.folder, sys.executable, 0x33, threads=100)
        size = (os.path.getsize(path) + 4095) // 4096 * 4096
        add_segments(path, [(PT_LOAD, 6, size, FREE_ADDRESS, 0, GIB, GIB, 4096)], size + GIB)
        self.expect_peak("analyze", path, "--no-native")
        packed = self.path("packed")
        with open(path, "rb") as source, gzip.open(packed, "wb", 1) as target:
            for block in iter(lambda: source.read(1 << 20), b""):
                target.write(block)
        self.expect_peak("analyze", packed, "--no-native")

    def test_many_threads(self):
        """Each has its name and its stack. What is quadratic would not end in time."""
        count = 10000 if LONG else 2000
        path = dump(self.folder, sys.executable, 0x33, threads=count)
        status, document, _ = self.analyze(path, "--no-native")
        self.assertEqual(status, 0)
        threads = document["snapshots"][0]["threads"]
        self.assertEqual(len(threads), count + 1)
        self.assertEqual(len({thread["name"] for thread in threads}), count + 1)
        for thread in threads:
            self.assertIn("f" if thread["name"] == "MainThread" else "wait",
                          [frame["function"] for frame in thread["frames"]])


if __name__ == "__main__":
    import tap
    tap.main()
