#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed cores: the same report as of the plain core, whatever the name; cut, damaged or
hostile ones give what is left of them or one line, and nothing stays in the temporary folder."""

import gzip
import json
import lzma
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import support
from test_core_input import InFolder, kernel_core, small_core
from cores import no_kernel_cores  # noqa: E402 (test_core_input knows where it is)

PROGRAM = """
import os, sys, threading, time
sys.path.insert(0, %r)
import at_rest
def wait():
    time.sleep(1000)
for i in range(3):
    threading.Thread(target=wait, daemon=True).start()
at_rest.wait()
def f():
    os.abort()
f()
""" % support.path("tests/programs")
# lz4 unpacks whole blocks only: small ones, so that a cut costs little.
TOOLS = {"zst": ["zstd", "-q", "-c"], "lz4": ["lz4", "-q", "-c", "-B4"]}
NAMES = {"gz": "gzip", "xz": "xz", "zst": "zstd", "lz4": "lz4"}


def tool(kind, data):
    """Through the format's own program; None when it is not on this machine."""
    if not shutil.which(TOOLS[kind][0]):
        return None
    return subprocess.run(TOOLS[kind] + ["-"], input=data, stdout=subprocess.PIPE,
                          check=True).stdout


PACKERS = {
    "gz": lambda data: gzip.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": lambda data: tool("zst", data),
    "lz4": lambda data: tool("lz4", data),
}


def stacks(document):
    return {thread["tid"]: thread["frames"] for thread in document["snapshots"][0]["threads"]}


class Packed(InFolder):
    def setUp(self):
        super().setUp()
        self.temporary = self.path("temporary")
        os.mkdir(self.temporary)
        self.addCleanup(self.expect_nothing_left)

    def expect_nothing_left(self):
        self.assertEqual(os.listdir(self.temporary), [])

    def analyze(self, data, name="packed", **options):
        """Status, document (None for status 2), standard error."""
        options.setdefault("env", {"TMPDIR": self.temporary})
        outcome = support.pycore("analyze", self.write(name, data), "-f", "json", "--no-native",
                                 **options)
        self.assertIn(outcome.rc, (0, 1, 2), outcome.err)
        if outcome.rc == 2:
            self.assertEqual(outcome.out, "")
            self.assertEqual(len(outcome.err.splitlines()), 1, outcome.err)
            return 2, None, outcome.err
        return outcome.rc, json.loads(outcome.out), outcome.err

    def packed(self, kind, data):
        packed = PACKERS[kind](data)
        if packed is None:
            self.skipTest("no %s on this machine" % TOOLS[kind][0])
        return packed


class RealCore(Packed):
    """A core of a real Python; all tests of the class share it."""

    def setUp(self):
        super().setUp()
        if no_kernel_cores():
            self.skipTest(no_kernel_cores())
        if not hasattr(RealCore, "core"):
            with open(kernel_core(self.folder, [sys.executable, "-c", PROGRAM]), "rb") as stream:
                RealCore.core = stream.read()
            RealCore.status, RealCore.plain, _ = self.analyze(RealCore.core)
            self.assertEqual(len(stacks(RealCore.plain)), 4)

    def expect_the_same(self, data, phrase=None):
        status, document, _ = self.analyze(data)
        self.assertEqual(status, self.status)
        self.assertEqual(stacks(document), stacks(self.plain))
        if phrase:
            self.assertTrue([text for text in document["notes"] if phrase in text],
                            document["notes"])
        else:
            self.assertEqual(document["notes"], self.plain["notes"])
        return document

    def check_whole(self, kind):
        document = self.expect_the_same(self.packed(kind, self.core))
        self.assertEqual(document["source"]["path"], self.path("packed"))

    def check_members(self, kind):
        """Several one behind the other are one file."""
        half = len(self.core) // 2 + 1234
        parts = [self.packed(kind, part) for part in (self.core[:half], b"", self.core[half:])]
        self.expect_the_same(b"".join(parts))
        self.expect_the_same(b"".join(parts) + bytes(4096))

    def check_trailing_garbage(self, kind):
        self.expect_the_same(self.packed(kind, self.core) + b"garbage\n", "8 bytes behind")

    def check_cut(self, kind):
        """What was unpacked before the cut is used, and it is said how much."""
        packed, reports = self.packed(kind, self.core), 0
        for percent in (0.001, 1, 25, 50, 75, 95, 99, 99.99):
            cut = packed[:max(3, int(len(packed) * percent / 100))]
            if kind == "xz":
                cut = cut.ljust(6, b"\0") if len(cut) < 6 else cut
            status, document, error = self.analyze(cut)
            self.assertNotEqual(status, 0, "cut at %g %%, and called complete" % percent)
            if not document:
                continue
            reports += 1
            self.assertFalse(document["source"]["complete"])
            said = [text for text in document["notes"] if "bytes that could be unpacked" in text]
            self.assertEqual(len(said), 1, document["notes"])
            self.assertIn("%d bytes" % len(packed[:len(cut)]), said[0])
        self.assertGreater(reports, 0)

    def check_damaged(self, kind):
        packed = bytearray(self.packed(kind, self.core))
        for part in (0.05, 0.5, 0.9):
            data = bytearray(packed)
            at = int(len(data) * part)
            data[at:at + 64] = bytes(byte ^ 0x5a for byte in data[at:at + 64])
            status, document, error = self.analyze(bytes(data))
            self.assertNotEqual(status, 0)
            if document:
                self.assertTrue([text for text in document["notes"] if "damaged" in text or
                                 "checksum" in text], document["notes"])

    def test_cut_equals_plain_cut(self):
        """A cut stream gives what the plain core, cut where unpacking ended, gives."""
        packed = self.packed("gz", self.core)
        cut = packed[:len(packed) * 97 // 100]
        left = zlib.decompressobj(31).decompress(cut)
        self.assertLess(len(left), len(self.core))
        status, document, _ = self.analyze(cut)
        plain_status, plain, _ = self.analyze(self.core[:len(left)])
        self.assertEqual(status, plain_status)
        if document:
            self.assertEqual(stacks(document), stacks(plain))

    def test_wrong_checksum(self):
        packed = bytearray(self.packed("gz", self.core))
        packed[-8] ^= 1
        status, document, _ = self.analyze(bytes(packed))
        self.assertEqual(status, 1)
        self.assertEqual(stacks(document), stacks(self.plain))
        self.assertTrue([text for text in document["notes"] if "checksum" in text])

    def test_skippable_frames_first(self):
        skip = struct.pack("<II", 0x184d2a53, 5) + b"12345"
        self.expect_the_same(skip * 3 + self.packed("zst", self.core))

    def test_no_room(self):
        """A full disk costs the rest of the core, and is not filled to the last byte."""
        tmpfs = ["unshare", "-rm", "sh", "-c",
                 "mount -t tmpfs -o size=2m none \"$0\" && TMPDIR=\"$0\" && export TMPDIR && "
                 "exec \"$@\"", self.temporary]
        if not shutil.which("unshare") or subprocess.run(
                tmpfs + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no mount namespace of one's own on this machine")
        path = self.write("packed", self.packed("gz", self.core))
        done = subprocess.run(tmpfs + [support.PYCORE, "analyze", path, "-f", "json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=180)
        self.assertIn(done.returncode, (1, 2), done.stderr)
        said = done.stderr.decode() if done.returncode == 2 else json.loads(done.stdout)["notes"]
        self.assertIn("set TMPDIR", str(said))

    def test_file_size_limit(self):
        """RLIMIT_FSIZE would end a process that writes on."""
        size = len(self.core) - 50000

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        status, document, _ = self.analyze(self.packed("gz", self.core), preexec_fn=limit)
        self.assertEqual(status, 1)
        self.assertTrue([text for text in document["notes"] if "are unpacked at most" in text and
                         "first %d bytes" % size in text], document["notes"])

    def test_other_folder(self):
        """A TMPDIR that cannot be written to is passed over."""
        status, document, _ = self.analyze(self.packed("gz", self.core),
                                           env={"TMPDIR": self.path("missing")})
        self.assertEqual(status, self.status)
        self.assertEqual(stacks(document), stacks(self.plain))

    def test_killed(self):
        """SIGKILL in the middle: there was never a name."""
        path = self.write("packed", self.packed("xz", self.core))
        process = subprocess.Popen([support.PYCORE, "analyze", path], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   env=support.clean_environment(TMPDIR=self.temporary))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline, seen = time.monotonic() + 60, False
        while not seen and time.monotonic() < deadline and process.poll() is None:
            try:
                folder = "/proc/%d/fd" % process.pid
                seen = any(os.readlink(os.path.join(folder, fd)).startswith(self.temporary)
                           for fd in os.listdir(folder))
            except OSError:
                pass
            self.expect_nothing_left()
        if not seen:
            self.skipTest("pycore was done before it could be killed")
        process.send_signal(signal.SIGKILL)
        process.wait()


for _kind in PACKERS:
    for _name in ("whole", "members", "trailing_garbage", "cut", "damaged"):
        def _test(self, kind=_kind, name=_name):
            getattr(self, "check_" + name)(kind)
        setattr(RealCore, "test_%s[%s]" % (_name, _kind), _test)


class Hostile(Packed):
    def expect_line(self, data, *phrases, **options):
        status, _, error = self.analyze(data, **options)
        self.assertEqual(status, 2)
        for phrase in phrases:
            self.assertIn(phrase, error)

    def test_packed_twice(self):
        inner = gzip.compress(small_core())
        self.expect_line(gzip.compress(inner), "compressed twice (gzip, and gzip in it)",
                         "decompress it once")
        self.expect_line(lzma.compress(inner), "compressed twice (xz, and gzip in it)")

    def test_no_core_in_it(self):
        self.expect_line(gzip.compress(b"text\n"), "not an ELF core")
        self.expect_line(gzip.compress(b""), "is empty")
        self.expect_line(gzip.compress(small_core(elf_class=1)), "32-bit")
        self.expect_line(gzip.compress(small_core(kind=2)), "executable")
        self.expect_line(gzip.compress(small_core()[:30]), "inside its ELF header")

    def test_not_supported(self):
        self.expect_line(b"BZh91AY&SY", "bzip2", "bzip2 -dk")
        self.expect_line(b"\x02\x21\x4c\x18" + bytes(100), "lz4 (legacy form)", "lz4 -d")

    def test_only_a_beginning(self):
        for magic in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18",
                      b"\xfd7zXZ\0"):
            self.expect_line(magic, "nothing of it could be unpacked")
            self.expect_line(magic + b"\xff" * 100, "nothing of it could be unpacked")

    def test_zeros(self):
        """Refused at the first bytes, not after the last of them."""
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        block = bytes(1 << 20)
        data = b"".join(packer.compress(block) for _ in range(300)) + packer.flush()
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
        self.expect_line(data * 200, "not an ELF core", preexec_fn=limit)

    def test_more_than_the_core(self):
        """What follows the core's last segment is not unpacked to its end."""
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        block = bytes(1 << 20)
        data = packer.compress(small_core())
        data += b"".join(packer.compress(block) for _ in range(300)) + packer.flush()
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (4, 4))
        self.expect_line(data + data * 300, "Python", preexec_fn=limit)

    def test_large_windows(self):
        """Memory that only the file's own word asks for."""
        packed = bytearray(lzma.compress(small_core()))
        # The first block header: its size, flags, LZMA2 (0x21), one byte of properties: 4 GiB.
        size = (packed[12] + 1) * 4
        self.assertEqual(bytes(packed[14:16]), b"\x21\x01")
        packed[16] = 40
        packed[12 + size - 4:12 + size] = struct.pack("<I", zlib.crc32(packed[12:12 + size - 4]))
        self.expect_line(bytes(packed), "128 MiB of memory", "xz -dk")
        # Frame header without a single segment: a window of 2 GiB (RFC 8878, 3.1.1.1.2).
        self.expect_line(b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(50), "128 MiB of memory",
                         "zstd -d --long=31")


if __name__ == "__main__":
    import tap
    tap.main()
