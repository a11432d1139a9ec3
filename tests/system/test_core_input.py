#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input for 'pycore analyze': one clear line and status 2, never a crash, a hang or a file."""

import gzip
import json
import lzma
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

import support

sys.path.insert(0, support.path("tests/fuzz"))
import cores  # noqa: E402

EHDR = "<16sHHIQQQIHHHHHH"
PHDR = "<IIQQQQQQ"
ET_CORE, EM_386, EM_X86_64, EM_S390 = 4, 3, 62, 22
PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS = 1


def note(kind, body):
    name = b"CORE\0\0\0\0"
    return struct.pack("<III", 5, len(body), kind) + name + body + b"\0" * (-len(body) % 4)


def small_core(machine=EM_X86_64, elf_class=2, data=1, kind=ET_CORE, threads=1):
    """A core of one page of memory."""
    notes = b"".join(note(NT_PRSTATUS, bytes(32) + struct.pack("<i", 100 + i) + bytes(300))
                     for i in range(threads))
    ident = b"\x7fELF" + bytes([elf_class, data, 1]) + bytes(9)
    at = 64 + 2 * 56
    header = struct.pack(EHDR, ident, kind, machine, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    headers = struct.pack(PHDR, PT_NOTE, 0, at, 0, 0, len(notes), 0, 4)
    headers += struct.pack(PHDR, PT_LOAD, 6, 4096, 0x7f0000000000, 0, 4096, 4096, 4096)
    return (header + headers + notes).ljust(4096, b"\0") + bytes(4096)


def allow_core():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    # Not the parent's: what a developer's shell leaves out of its cores is no concern of the test.
    with open("/proc/self/coredump_filter", "w", encoding="ascii") as stream:
        stream.write("0x33")


def kernel_core(folder, arguments):
    """Runs a program until it dumps core; the core's path."""
    done = subprocess.Popen(arguments, cwd=folder, preexec_fn=allow_core,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env=support.clean_environment())
    status = done.wait(180)
    if status != -signal.SIGABRT:
        raise AssertionError("%s ended with %d" % (arguments, status))
    for name in ("core", "core.%d" % done.pid):
        if os.path.exists(os.path.join(folder, name)):
            path = os.path.join(folder, "kernel-%d" % done.pid)
            os.rename(os.path.join(folder, name), path)
            return path
    raise unittest.SkipTest("the kernel wrote no core")


class InFolder(support.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pycore-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as stream:
            stream.write(data)
        return self.path(name)

    def expect_refusal(self, path, *phrases):
        """Also that nothing is left under the name of the report."""
        report = self.path("report.json")
        outcome = support.pycore("analyze", path, "-o", report)
        self.assertEqual((outcome.rc, outcome.out), (2, ""), outcome.err)
        lines = outcome.err.splitlines()
        self.assertEqual(len(lines), 1, outcome.err)
        self.assertTrue(lines[0].startswith("pycore: "), lines[0])
        self.assertIn(os.path.basename(path), lines[0])
        for phrase in phrases:
            self.assertIn(phrase, lines[0])
        leftovers = [name for name in os.listdir(self.folder) if name.startswith("report")]
        self.assertEqual(leftovers, [])


class NoCore(InFolder):
    def test_contents(self):
        core = small_core()
        cases = [
            ("empty", b"", "is empty"),
            ("text", b"Thread 1 (most recent call first):\n", "not an ELF core"),
            ("one-byte", b"\x7f", "inside its ELF header"),
            ("magic-only", b"\x7fELF", "inside its ELF header"),
            ("half-header", core[:40], "inside its ELF header"),
            ("no-headers", core[:64], "inside its program headers"),
            ("half-headers", core[:64 + 30], "inside its program headers"),
            ("half-notes", core[:64 + 2 * 56 + 100], "before the notes"),
            ("no-thread", small_core(threads=0), "no thread"),
            ("32-bit", small_core(elf_class=1, machine=EM_386), "32-bit"),
            ("big-endian", small_core(data=2, machine=EM_S390), "big-endian"),
            ("other-machine", small_core(machine=EM_S390), "another machine"),
            ("executable", small_core(kind=2), "executable"),
            ("object", small_core(kind=1), "not a core"),
            ("zeros", bytes(100000), "not an ELF core"),
            ("noise", random.Random(7).randbytes(100000), "not an ELF core"),
        ]
        for name, data, phrase in cases:
            with self.subTest(name):
                self.expect_refusal(self.write(name, data), phrase)

    def test_kinds_of_files(self):
        os.mkdir(self.path("folder"))
        os.mkfifo(self.path("fifo"))
        os.symlink("nowhere", self.path("dangling"))
        os.symlink("circle", self.path("circle"))
        for name, phrase in (("folder", "a directory"), ("fifo", "a FIFO"),
                             ("dangling", "No such file"), ("circle", "symbolic links"),
                             ("missing", "No such file"), ("text/below", "No such file")):
            with self.subTest(name):
                self.expect_refusal(self.path(name), phrase)
        with self.subTest("device"):
            self.expect_refusal("/dev/null", "a character device")
        with self.subTest("program"):
            self.expect_refusal(os.path.realpath(sys.executable), "not a core")
        with self.subTest("pycore itself"):
            self.expect_refusal(os.path.realpath(support.PYCORE), "not a core")

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_unreadable(self):
        os.chmod(self.write("secret", small_core()), 0)
        self.expect_refusal(self.path("secret"), "Permission denied")

    def test_compressed_is_told_by_content(self):
        """Whatever the name; what each kind does is in test_core_packed.py."""
        cases = [
            ("gz", gzip.compress(small_core()), "no Python in it"),
            ("xz", lzma.compress(small_core()), "no Python in it"),
            ("zstd", b"\x28\xb5\x2f\xfd" + bytes(64), "nothing of it could be unpacked"),
            ("lz4", b"\x04\x22\x4d\x18" + bytes(64), "nothing of it could be unpacked"),
        ]
        for name, data, phrase in cases:
            with self.subTest(name):
                self.expect_refusal(self.write("core-" + name[::-1], data), phrase)

    def test_no_python_in_it(self):
        self.expect_refusal(self.write("small", small_core()))
        if cores.no_kernel_cores():
            self.skipTest(cores.no_kernel_cores())
        core = kernel_core(self.folder, ["/bin/sh", "-c", "kill -ABRT $$"])
        self.expect_refusal(core, "Python")

    def test_good_and_bad(self):
        """A bad one among several is not passed over in silence."""
        self.write("text", b"no core\n")
        outcome = support.pycore("analyze", self.path("text"), self.path("missing"))
        self.assertEqual(outcome.rc, 2)
        self.assertEqual(len(outcome.err.splitlines()), 1)


class Damaged(InFolder):
    """Cores of a real Python, cut and spoilt: a report that says so, or one line."""

    def setUp(self):
        super().setUp()
        if cores.no_kernel_cores():
            self.skipTest(cores.no_kernel_cores())
        program = [sys.executable, "-c", "import os\ndef f(): os.abort()\nf()"]
        self.core = kernel_core(self.folder, program)
        with open(self.core, "rb") as stream:
            self.bytes = stream.read()

    def analyze(self, data):
        """Status and document (None for status 2)."""
        outcome = support.pycore("analyze", self.write("spoilt", data), "-f", "json")
        self.assertIn(outcome.rc, (0, 1, 2), outcome.err)
        if outcome.rc == 2:
            self.assertEqual(outcome.out, "")
            self.assertEqual(len(outcome.err.splitlines()), 1, outcome.err)
            return 2, None
        return outcome.rc, json.loads(outcome.out)

    def test_whole(self):
        """What the other tests spoil is good: they would pass with anything otherwise."""
        status, document = self.analyze(self.bytes)
        self.assertIn(status, (0, 1))
        names = [frame["function"] for frame in document["snapshots"][0]["threads"][0]["frames"]]
        self.assertIn("f", names)

    def test_cut(self):
        reports = 0
        for percent in range(0, 100, 4):
            status, document = self.analyze(self.bytes[:len(self.bytes) * percent // 100])
            self.assertNotEqual(status, 0, "cut at %d %%, and called complete" % percent)
            if document:
                reports += 1
                self.assertFalse(document["source"]["complete"])
                self.assertTrue([text for text in document["notes"] if "trunc" in text or
                                 "cut" in text], document["notes"])
        self.assertGreater(reports, 0, "no cut core gave any report")

    def test_spoilt(self):
        """Headers and notes first, then anywhere."""
        rng = random.Random(20)
        for round_number in range(40):
            data = bytearray(self.bytes)
            reach = 4096 if round_number < 15 else 65536 if round_number < 25 else len(data)
            for _ in range(1 + round_number % 16):
                data[rng.randrange(reach)] = rng.randrange(256)
            self.analyze(bytes(data))


if __name__ == "__main__":
    import tap
    tap.main()
