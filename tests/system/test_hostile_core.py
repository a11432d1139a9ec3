#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cores that are damaged, or made to hurt: never a crash, a hang, or more memory than is stated.

PYCORE_LONG=1 tries 100,000 damaged cores (an hour and more), otherwise a few hundred.
"""

import os
import struct
import sys
import tempfile
import unittest

import support

sys.path.insert(0, support.path("tests/fuzz"))
import cores  # noqa: E402

LONG = bool(os.environ.get("PYCORE_LONG"))
EARLY = True
LIMIT_S = 4 * 3600 if LONG else 600

PT_LOAD, PT_NOTE = 1, 4
PF_X, PF_W, PF_R = 1, 2, 4
NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_FILE = 1, 3, 6, 0x46494C45
PN_XNUM = 0xFFFF
MODULE = 0x7E1000000000


def note(kind, body):
    return struct.pack("<III", 5, len(body), kind) + b"CORE\0\0\0\0" + body + \
        bytes(-len(body) % 4)


def thread(tid, pc=0, stack=0, tls=0):
    registers = [0] * 27
    registers[16], registers[19], registers[21] = pc, stack, tls
    return note(NT_PRSTATUS, bytes(32) + struct.pack("<i", tid) + bytes(76) +
                struct.pack("<27Q", *registers) + bytes(8))


def files(entries):
    """NT_FILE of (start, end, page, path)."""
    body = struct.pack("<QQ", len(entries), 4096)
    body += b"".join(struct.pack("<QQQ", *entry[:3]) for entry in entries)
    return note(NT_FILE, body + b"".join(entry[3] + b"\0" for entry in entries))


def write_core(path, notes, loads):
    """`loads`: (address, size in memory, size in the file, flags, bytes or None: a hole)."""
    count = len(loads) + 1
    many = count >= PN_XNUM
    at = 64 + 56 * count
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1" + bytes(9), 4, 62, 1, 0, 64, 0, 0, 64,
                         56, PN_XNUM if many else count, 64, 1 if many else 0, 0)
    headers = [struct.pack("<IIQQQQQQ", PT_NOTE, 0, at, 0, 0, len(notes), 0, 4)]
    at = (at + len(notes) + 4095) // 4096 * 4096
    with open(path, "wb") as stream:
        for addr, mem_bytes, file_bytes, flags, data in loads:
            headers.append(struct.pack("<IIQQQQQQ", PT_LOAD, flags, at, addr, 0, file_bytes,
                                       mem_bytes, 4096))
            if data:
                stream.seek(at)
                stream.write(data)
            at += file_bytes
        if many:
            header = header[:40] + struct.pack("<Q", at) + header[48:]
        stream.seek(0)
        stream.write(header + b"".join(headers) + notes)
        stream.truncate(at)
        if many:
            stream.seek(at)
            stream.write(struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 1, 0, count, 0, 0))


class Damaged(support.TestCase):
    def test_damaged_cores(self):
        why_not = cores.no_kernel_cores()
        if why_not:
            self.skipTest(why_not)
        only = os.environ.get("PYCORE_ONLY", "").replace(",", " ").split()
        pythons = [python for python in support.interpreters()
                   if python.name in (only or ("3.8", "3.11", "3.13", "3.14"))]
        if not pythons:
            self.skipTest("none of the interpreters that it is done with")
        count = 100000 if LONG else 40 if cores.is_sanitized() else 300
        with tempfile.TemporaryDirectory(prefix="pycore-cores-") as folder:
            made = cores.make_cores(folder, pythons)
            tally, most, wrongs = cores.damaged(made, count, jobs=os.cpu_count() if LONG else 2,
                                                keep=support.BUILDDIR)
        print("status %s, at most %d MiB" % (tally, most))
        self.assertEqual(wrongs, [])
        self.assertEqual(sum(tally.values()), count)
        # Much of it is still readable, or the damage tests little.
        self.assertGreater(tally.get(0, 0) + tally.get(1, 0), count / 3)


class MadeToHurt(support.TestCase):
    """A few MiB that claim to be much, or that cost much."""

    def setUp(self):
        self.spawner = cores.Spawner()
        self.addCleanup(self.spawner.process.terminate)
        folder = tempfile.TemporaryDirectory(prefix="pycore-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.sanitized = cores.is_sanitized()

    def analyze(self, notes, loads, *options, statuses=(2,)):
        path = os.path.join(self.folder, "core")
        write_core(path, notes, loads)
        size = os.stat(path).st_blocks * 512
        said_path = os.path.join(self.folder, "err")
        code, mib, spent_s = self.spawner.run(
            [support.PYCORE, "analyze", "--sysroot", self.folder, *options, path],
            os.path.join(self.folder, "out"), said_path,
            cores.SANITIZED_LIMIT_S if self.sanitized else cores.LIMIT_S)
        with open(said_path, "rb") as stream:
            said = stream.read()
        print("%s: status %s, %d MiB for %d, %.1f s" % (self._testMethodName, code, mib, size >> 20,
                                                         spent_s))
        self.assertIn(code, statuses, said[:1000])
        self.assertEqual(said.count(b"\n"), 1 if code == 2 else 0, said[:1000])
        most = cores.SANITIZED_MIB if self.sanitized else \
            cores.BASE_MIB + cores.PER_INPUT * size // (1 << 20)
        self.assertLess(mib, most)

    def test_many_mappings_of_one_file(self):
        count = 200000
        names = files([(MODULE + 8192 * i, MODULE + 8192 * i + 4096, i % 97 + 1, b"/f")
                       for i in range(count)])
        loads = [(MODULE + 8192 * i, 4096, 0, PF_R | PF_X, None) for i in range(count)]
        self.analyze(thread(100, MODULE) + names, loads)

    def test_many_files(self):
        count = 200000
        names = files([(MODULE + 8192 * i, MODULE + 8192 * i + 4096, 0, b"/f%d" % i)
                       for i in range(count)])
        loads = [(MODULE + 8192 * i, 4096, 0, PF_R | PF_X, None) for i in range(count)]
        self.analyze(thread(100, MODULE) + names, loads)

    def test_many_gaps_of_one_file(self):
        """A file of this machine, of which the core left out each eight bytes one by one."""
        library = next(line.split()[-1] for line in open("/proc/self/maps", encoding="utf-8")
                       if "/libc.so" in line or "/libc-" in line or "/ld-" in line)  # all C libraries have one of these
        size, count = os.path.getsize(library) // 4096 * 4096, 100000
        names = files([(MODULE, MODULE + size, 0, os.fsencode(library))])
        loads = [(MODULE + 8 * i, 8, 0, PF_R | PF_X, None) for i in range(count)]
        self.analyze(thread(100, MODULE + 4096, MODULE) + names, loads, "--sysroot", "/")

    def test_many_threads(self):
        notes = b"".join(thread(100 + i, MODULE, MODULE + 8 * i, MODULE) for i in range(40001))
        self.analyze(notes, [(MODULE, 1 << 20, 1 << 20, PF_R | PF_W, bytes(1 << 20))])

    def test_more_than_memory(self):
        """A sparse file that claims 64 TiB of data of the program."""
        size = 1 << 42
        names = files([(MODULE, MODULE + size, 0, b"/nowhere/python3")])
        self.analyze(thread(100, MODULE, MODULE + 4096) + names,
                     [(MODULE, size, size, PF_R | PF_W | PF_X, None)])

    def test_words_that_could_be_pointers(self):
        """Data of the program in which each word points to an interpreter, perhaps."""
        size = 16 << 20
        words = struct.pack("<Q", MODULE + 4096) * (size // 8)
        names = files([(MODULE, MODULE + size, 0, b"/nowhere/python3")])
        self.analyze(thread(100, MODULE, MODULE + 4096) + names,
                     [(MODULE, size, size, PF_R | PF_W, words)])

    def test_many_cookies(self):
        """The cookie of a runtime that describes itself, over and over."""
        size = 4 << 20
        cookie = b"xdebugpy" + struct.pack("<QQ", 0x030E00F0, 0)
        names = files([(MODULE, MODULE + size, 0, b"/nowhere/python3")])
        self.analyze(thread(100, MODULE, MODULE + 4096) + names,
                     [(MODULE, size, size, PF_R | PF_W, cookie * (size // len(cookie)))])


if __name__ == "__main__":
    unittest.main()
