#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""pycore gcore: the core holds what the process held, byte for byte what the kernel would have
written; the process lives on as it was, whatever ends pycore; a file is there whole or not at all."""

import contextlib
import gzip
import os
import resource
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import unittest

import harm
import native_oracle
import oracle
import support
import tap

EARLY = True
LIMIT_S = 900
LONG = support.LONG
PAGE = os.sysconf("SC_PAGESIZE")
PT_LOAD, PT_NOTE, PN_XNUM = 1, 4, 0xffff
PF_R = 4
MASKS = (0x33, 0x7f, 0x00, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x1ff)

# Memory that does not shrink, so that a dump with --compress takes its time.
SLOW = """
import os, time
data = os.urandom(%d << 20)
print("READY", flush=True)
while True:
    time.sleep(0.01)
    print("beat", flush=True)
"""


def loads(path):
    """{address: (offset, bytes in the file, bytes in memory, flags)}"""
    with open(path, "rb") as stream:
        header = stream.read(64)
        count, = struct.unpack_from("<H", header, 56)
        rows = [struct.unpack("<IIQQQQQQ", stream.read(56)) for _ in range(count)]
    assert count < PN_XNUM and header[:4] == b"\x7fELF"
    return {row[3]: (row[2], row[5], row[6], row[1]) for row in rows if row[0] == PT_LOAD}


def notes(path):
    """[(type, content)] of all notes."""
    found = []
    with open(path, "rb") as stream:
        header = stream.read(64)
        for i in range(struct.unpack_from("<H", header, 56)[0]):
            stream.seek(64 + i * 56)
            row = struct.unpack("<IIQQQQQQ", stream.read(56))
            if row[0] != PT_NOTE:
                continue
            stream.seek(row[2])
            data, at = stream.read(row[5]), 0
            while at < len(data):
                name, size, kind = struct.unpack_from("<III", data, at)
                at += 12 + (name + 3 & ~3)
                found.append((kind, data[at:at + size]))
                at += size + 3 & ~3
    return found


def piece(stream, segment, at, size):
    stream.seek(segment[0] + at)
    return stream.read(size)


def mappings(pid):
    """{start: (end, permissions, inode, name)}"""
    found = {}
    with open("/proc/%d/maps" % pid) as stream:
        for line in stream:
            fields = line.split(maxsplit=5)
            start, end = (int(part, 16) for part in fields[0].split("-"))
            found[start] = (end, fields[1], int(fields[4]),
                            fields[5].rstrip("\n") if len(fields) > 5 else "")
    return found


def status(pid, key):
    with open("/proc/%d/status" % pid) as stream:
        for line in stream:
            if line.startswith(key + ":"):
                return line.split(":", 1)[1].strip()
    return None


class InFolder(support.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pycore-gcore-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def gcore(self, pid, *options, rc=0, name="core", **more):
        core = self.path(name)
        outcome = support.pycore("gcore", pid, "-o", core, *options, timeout=300, **more)
        self.assertEqual((outcome.rc, outcome.out), (rc, ""), outcome.err)
        return core

    def leftovers(self):
        return [name for name in os.listdir(self.folder) if ".part" in name]


# ---- What is in it ------------------------------------------------------------------------------

class RoundTrip(InFolder):
    BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")

    @staticmethod
    def plain(thread):
        return (thread["tid"], thread["name"],
                [(frame["kind"], frame["function"], frame.get("qualname"), frame.get("module"),
                  frame.get("file"), frame.get("line")) for frame in thread["frames"]])

    @support.each_python(builds=BUILDS)
    def test_situations(self, python):
        """What the interpreter says of itself, and what a live snapshot says."""
        with oracle.situations(python) as (target, _, expected):
            live = support.pycore_json("snap", target.pid, ok=(0, 1), timeout=120)
            core = self.gcore(target.pid)
            document = support.pycore_json("analyze", core, ok=(0, 1), timeout=120)
            problems = oracle.compare(document, expected, python)
        self.assertFalse(bool(problems), "\n  " + problems)
        self.assertIsNone(document["source"]["signal"])
        for one, other in zip(document["snapshots"][0]["threads"],
                              live["snapshots"][0]["threads"]):
            self.assertEqual(self.plain(one), self.plain(other))

    @support.not_sanitized
    @support.each_python(first=(3, 11), last=(3, 12))
    def test_debuggers(self, python):
        """gdb and eu-stack see the same stacks in the core as in the process."""
        # Of programs without debug information gdb loses its way in the living one only.
        native_oracle.need_tools("gdb", "eu-stack")
        with oracle.situations(python) as (target, _, expected):
            del expected
            live = {"gdb": native_oracle.gdb("-p", target.pid)}
            support.until_still(target.pid)  # whom one stopped must be in its call again for the next one
            live["eu-stack"] = native_oracle.eu_stack("-p", target.pid)
            support.until_still(target.pid)
            core = self.gcore(target.pid)
            first = notes(core)[0]
        dead = {"gdb": native_oracle.gdb(python.program, "-c", core),
                "eu-stack": native_oracle.eu_stack("--core", core, "--executable", python.program)}
        self.assertEqual((first[0], struct.unpack_from("<i", first[1], 32)[0]), (1, target.pid))
        for tool, stacks in live.items():
            self.assertGreater(len(stacks), 3)
            self.assertEqual({tid: (stack.pcs, stack.names) for tid, stack in dead[tool].items()},
                             {tid: (stack.pcs, stack.names) for tid, stack in stacks.items()}, tool)


    def test_mini(self):
        """What snap --save keeps."""
        with oracle.situations(harm.usual_python()) as (target, _, expected):
            core = self.gcore(target.pid, "--mini", "-q")
            self.assertLess(os.stat(core).st_size, 32 << 20)
            document = support.pycore_json("analyze", core, ok=(0, 1), timeout=120)
        self.assertEqual(document["source"]["kind"], "capture")
        self.assertFalse(oracle.compare(document, expected, harm.usual_python()))


class AsTheKernel(InFolder):
    """tests/programs/dump_maps.c has a mapping of every kind."""

    @classmethod
    def setUpClass(cls):
        cls.build = tempfile.mkdtemp(prefix="pycore-gcore-")
        cls.program = os.path.join(cls.build, "dump_maps")
        try:
            subprocess.run([os.environ.get("CC", "cc"), "-O1", "-D_GNU_SOURCE", "-o", cls.program,
                            support.path("tests/programs/dump_maps.c")], check=True)
        except (OSError, subprocess.CalledProcessError):
            shutil.rmtree(cls.build)
            raise unittest.SkipTest("no C compiler") from None

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.build)

    @contextlib.contextmanager
    def started(self, pages=1 << 20):
        # On one processor: the kernel writes its number into memory (rseq(2)).
        one = sorted(os.sched_getaffinity(0))[-1:]
        with support.start_program(["taskset", "-c", one[0], self.program, self.folder, pages],
                                   cwd=self.folder) as target:
            # In its last call, pause(): before it the dynamic linker still writes that one's slot.
            self.until_parked(target)
            yield target

    @staticmethod
    def until_parked(target):
        def is_parked():
            with open("/proc/%d/syscall" % target.pid) as stream:
                return stream.read().split()[0] == "34"
        harm.until(is_parked, "pause()")

    def kernel_core(self, target):
        self.until_parked(target)  # a stop before this made it leave the call
        os.kill(target.pid, signal.SIGABRT)
        target.process.wait(60)
        for name in ("core", "core.%d" % target.pid):
            if os.path.exists(self.path(name)):
                os.rename(self.path(name), self.path("kernel"))
                return self.path("kernel")
        return self.skipTest("the kernel wrote no core")

    @unittest.skipIf(shutil.which("taskset") is None, "no taskset on this machine")
    def test_filters(self):
        with open("/proc/sys/kernel/core_pattern") as stream:
            pattern = stream.read().strip()
        if not pattern or set(pattern) & set("|/%"):
            self.skipTest("core_pattern does not write plain files into the working directory")
        if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
            self.skipTest("the hard limit on core sizes is not unlimited")
        for mask in range(0x200) if LONG else MASKS:
            with self.subTest(mask=hex(mask)):
                self.check_filter(mask)

    def check_filter(self, mask):
        with self.started() as target:
            resource.prlimit(target.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
            with open("/proc/%d/coredump_filter" % target.pid, "w") as stream:
                stream.write("%#x" % mask)
            named = {int(line.split()[1], 16): line.split()[0] for line in target.lines[:-1]}
            maps = mappings(target.pid)
            ours = self.gcore(target.pid, name="ours")
            by_option = None
            if mask == 0x7f:
                with open("/proc/%d/coredump_filter" % target.pid, "w") as stream:
                    stream.write("0")
                by_option = loads(self.gcore(target.pid, "--filter", "0x7f", name="option"))
                with open("/proc/%d/coredump_filter" % target.pid, "w") as stream:
                    stream.write("%#x" % mask)
            kernel = self.kernel_core(target)
        mine, theirs = loads(ours), loads(kernel)
        self.assertEqual(set(mine), set(maps))
        self.assertEqual(set(mine), set(theirs))
        if by_option:
            self.assertEqual(by_option, mine)
        with open(ours, "rb") as one, open(kernel, "rb") as other:
            for start, (end, permissions, inode, name) in maps.items():
                label = "%s %s" % (named.get(start, ""), name)
                expected, bytes_here = theirs[start][1], mine[start][1]
                if not permissions.startswith("r") or name in ("[vvar]", "[vvar_vclock]"):
                    expected = 0  # nobody can read these from outside; the kernel writes zeros
                elif named.get(start) == "file_cut" and expected == end - start:
                    expected = 3 * PAGE  # nothing lies behind the end of the file
                del inode
                self.assertEqual((label, bytes_here, mine[start][2:]),
                                 (label, expected, theirs[start][2:]))
                self.check_bytes(label, one, mine[start], other, theirs[start])
        os.unlink(kernel)

    def check_bytes(self, label, one, mine, other, theirs):
        size = mine[1] if mine[1] < 1 << 30 else 0
        places = [(0, size)] if size or not mine[1] else [(1000000 * PAGE - PAGE, 3 * PAGE)]
        for at, bytes_here in places:
            same = piece(one, mine, at, bytes_here) == piece(other, theirs, at, bytes_here)
            self.assertTrue(same, label)

    @unittest.skipIf(shutil.which("taskset") is None, "no taskset on this machine")
    def test_sparse_and_unchanged(self):
        """4 GiB of which one page was touched: holes in the file, and the target does not grow."""
        keys = ("VmRSS", "RssAnon", "RssFile", "RssShmem", "VmPTE", "VmSize")
        with self.started() as target:
            before = {key: status(target.pid, key) for key in keys}
            core = self.gcore(target.pid, "--filter", "0x7f")
            after = {key: status(target.pid, key) for key in keys}
            file = os.stat(core)
        # Reading the vdso or a page that the page cache has may map it; nothing else may come.
        for key in ("RssAnon", "VmSize", "VmPTE"):
            self.assertEqual(after[key], before[key], key)
        for key in ("RssFile", "RssShmem") if os.geteuid() == 0 else ():
            self.assertLessEqual(int(after[key].split()[0]) - int(before[key].split()[0]), 16, key)
        self.assertGreater(file.st_size, 4 << 30)
        self.assertLess(file.st_blocks * 512, 16 << 20)
        self.assertEqual(stat.S_IMODE(file.st_mode), 0o600)

    @unittest.skipIf(shutil.which("taskset") is None, "no taskset on this machine")
    def test_fork(self):
        """A frozen copy holds what the stopped process holds."""
        with self.started() as target:
            outcome = support.pycore("gcore", target.pid, "-o", self.path("copy"), "--fork",
                                     timeout=120)
            if "--fork: " in outcome.err and outcome.rc == 2:
                self.skipTest(outcome.err)
            self.assertEqual(outcome.rc, 0, outcome.err)
            with open("/proc/%d/task/%d/children" % (target.pid, target.pid)) as stream:
                self.assertEqual(stream.read(), "")
            plain = self.gcore(target.pid)
        copy, stopped = loads(self.path("copy")), loads(plain)
        self.assertEqual(copy, stopped)
        with open(self.path("copy"), "rb") as one, open(plain, "rb") as other:
            for start, segment in copy.items():
                self.check_bytes(hex(start), one, segment, other, stopped[start])
        self.assertEqual([row for row in notes(self.path("copy")) if row[0] not in (1, 3)],
                         [row for row in notes(plain) if row[0] not in (1, 3)])

    @unittest.skipIf(shutil.which("taskset") is None, "no taskset on this machine")
    def test_notes(self):
        """Those of a kernel core, with the same sizes; the registers are those of the call."""
        with self.started() as target:
            resource.prlimit(target.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
            ours = self.gcore(target.pid, name="ours")
            kernel = self.kernel_core(target)
        mine, theirs = notes(ours), notes(kernel)
        own = [(0x50590003, 16)]  # the thread's name, behind those of the process
        without = [(kind, len(data)) for kind, data in theirs if kind != 0x205]
        self.assertEqual([(kind, len(data)) for kind, data in mine if kind != 0x205],
                         without[:5] + own + without[5:])
        mine.remove((0x50590003, b"dump_maps".ljust(16, b"\0")))
        for kind in {kind for kind, _ in theirs} - {1, 3, 0x53494749}:
            # Floating point state, auxiliary vector, files, xsave layout: not a byte differs.
            self.assertEqual([data for number, data in mine if number == kind],
                             [data for number, data in theirs if number == kind], hex(kind))
        process = [dict(mine)[3], dict(theirs)[3]]
        self.assertEqual(process[0][16:], process[1][16:])  # ids, name, arguments
        # All but rax, which says how the call ended, and orig_rax.
        registers = [struct.unpack_from("<27Q", dict(all_)[1], 112) for all_ in (mine, theirs)]
        for index in set(range(27)) - {10, 15}:
            self.assertEqual(registers[0][index], registers[1][index], index)
        self.assertEqual(struct.unpack_from("<h", dict(mine)[1], 12)[0], 0)

    @unittest.skipIf(shutil.which("taskset") is None, "no taskset on this machine")
    def test_compression(self):
        """Unpacked it is the same, and long stretches of zeros cost next to nothing."""
        with self.started(1 << 17) as target:
            plain = self.gcore(target.pid, "--filter", "0x31")
            packed = {"gz": self.gcore(target.pid, "--filter", "0x31", "--compress", "gz",
                                       name="core.gz")}
            if shutil.which("zstd"):
                outcome = support.pycore("gcore", target.pid, "-o", self.path("core.zst"),
                                         "--filter", "0x31", "--compress", "zst", timeout=120)
                if outcome.rc == 0:
                    packed["zst"] = self.path("core.zst")
                else:
                    self.assertIn("libzstd", outcome.err)
        for how, path in packed.items():
            self.assertLess(os.stat(path).st_size, 8 << 20)
            with self.unpacked(how, path) as stream, open(plain, "rb") as expected:
                while True:
                    one, other = stream.read(1 << 20), expected.read(1 << 20)
                    self.assertTrue(one == other, how)
                    if not one:
                        break

    @staticmethod
    def unpacked(how, path):
        if how == "gz":
            return gzip.open(path)
        done = subprocess.Popen(["zstd", "-qdc", path], stdout=subprocess.PIPE)
        return done.stdout


# ---- Whatever comes between ---------------------------------------------------------------------

class Interrupted(InFolder):
    def started(self, megabytes=96):
        python = harm.usual_python()
        script = self.path("slow.py")
        with open(script, "w") as stream:
            stream.write(SLOW % megabytes)
        return support.start_target(python, script)

    @contextlib.contextmanager
    def dumping(self, pid, before=None):
        """pycore in the middle of a dump, where it is held: what is done in the block meets it there.
        before: what is in the file that is there already."""
        for _ in range(20):  # it may be done before we get to look
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path("core"))
            if before is not None:
                with open(self.path("core"), "w") as stream:
                    stream.write(before)
            process = subprocess.Popen([support.PYCORE, "gcore", str(pid), "-o", self.path("core"),
                                        "--compress", "gz"], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, env=support.clean_environment())
            self.addCleanup(process.stderr.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            harm.until(lambda: process.poll() is not None or self.is_half_done(pid),
                       "a stop of the target, and the first megabyte")
            process.send_signal(signal.SIGSTOP)
            harm.until(lambda: process.poll() is not None or
                       harm.task_facts(process.pid)[0][1] == "T", "a stop of pycore")
            if process.poll() is None and self.is_half_done(pid):
                yield process
                process.send_signal(signal.SIGCONT)
                return
            process.send_signal(signal.SIGCONT)
            self.assertEqual(process.wait(harm.PATIENCE_S), 0, process.stderr.read())
        self.fail("it is too fast for this test")

    def is_half_done(self, pid):
        """Is the target stopped, and a part of the file written?"""
        sizes = []
        for name in self.leftovers():
            with contextlib.suppress(FileNotFoundError):
                sizes.append(os.stat(self.path(name)).st_size)
        return any(size > 1 << 20 for size in sizes) and \
            all(facts[1] == "t" for facts in harm.task_facts(pid))

    def check_runs(self, target):
        harm.until(lambda: all(facts[1] in "RS" and not facts[2]
                               for facts in harm.task_facts(target.pid)), "running on")
        target.read_line()
        before = len(target.lines)
        for _ in range(3):
            target.lines.append(target.read_line())
        self.assertEqual(target.lines[before:], ["beat"] * 3)

    def test_signals(self):
        with self.started() as target:
            for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                with self.dumping(target.pid, "the old one") as process:
                    process.send_signal(signo)
                self.assertEqual(process.wait(harm.PATIENCE_S), 2)
                text = process.stderr.read().decode()
                self.assertIn("runs on", text)
                self.assertEqual(self.leftovers(), [])
                with open(self.path("core")) as stream:
                    self.assertEqual(stream.read(), "the old one")
                self.check_runs(target)

    def test_ignored_hangup(self):
        """nohup pycore gcore."""
        with self.started(32) as target:
            before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
            try:
                with self.dumping(target.pid) as process:
                    process.send_signal(signal.SIGHUP)
            finally:
                signal.signal(signal.SIGHUP, before)
            self.assertEqual(process.wait(harm.PATIENCE_S), 0, process.stderr.read())
            self.check_runs(target)

    def test_kill(self):
        with self.started() as target:
            with self.dumping(target.pid) as process:
                process.kill()
                process.wait(harm.PATIENCE_S)
            self.assertFalse(os.path.exists(self.path("core")))
            self.check_runs(target)

    def test_target_dies(self):
        with self.started() as target:
            with self.dumping(target.pid) as process:
                os.kill(target.pid, signal.SIGKILL)
            self.assertIn(process.wait(harm.PATIENCE_S), (1, 2))
            self.assertEqual(self.leftovers(), [])

    def test_stopped_target_stays_stopped(self):
        with self.started(1) as target:
            os.kill(target.pid, signal.SIGSTOP)
            harm.until(lambda: harm.task_facts(target.pid)[0][1] == "T", "the stop")
            self.gcore(target.pid)
            harm.until(lambda: harm.task_facts(target.pid)[0][1] == "T", "the stop again")
            os.kill(target.pid, signal.SIGCONT)
            self.check_runs(target)

    def test_no_space(self):
        """Said before the target is stopped, in numbers."""
        if os.geteuid() != 0 or not shutil.which("unshare"):
            self.skipTest("only root can mount a small file system")
        with self.started(32) as target:
            mount = "mount -t tmpfs -o size=8m none %s && " % self.folder
            script = mount + "%s gcore %d -o %s/core; echo $? $(ls %s)" % (
                support.PYCORE, target.pid, self.folder, self.folder)
            done = subprocess.run(["unshare", "-m", "sh", "-c", script], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            if b"mount" in done.stderr or b"unshare" in done.stderr:
                self.skipTest("no mount namespaces here")
            self.assertEqual(done.stdout.split(), [b"2"], done.stderr)
            self.assertIn(b"8.0 MiB left", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.check_runs(target)

    def test_full_while_writing(self):
        """A limit on the size of files stands for a disk that fills up."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))
        with self.started(32) as target:
            outcome = support.pycore("gcore", target.pid, "-o", self.path("core"), preexec_fn=limit)
            self.assertEqual(outcome.rc, 2)
            self.assertIn("File too large", outcome.err)
            self.assertEqual(os.listdir(self.folder), ["slow.py"])
            self.check_runs(target)


class CommandLine(InFolder):
    def test_usage(self):
        for arguments in ((), ("x",), ("1", "2"), ("1", "-o", "a", "-o", "b"),
                          ("1", "--mini", "--fork"), ("1", "--compress", "lz4"), ("1", "--filter", "all"),
                          ("1", "--filter", "0x200"), ("1", "--interval", "1s")):
            outcome = support.pycore("gcore", *arguments, cwd=self.folder)
            self.assertEqual((arguments, outcome.rc, outcome.out), (arguments, 64, ""))
            self.assertEqual(len(outcome.err.splitlines()), 1)
        self.assertEqual(os.listdir(self.folder), [])

    def test_names(self):
        with support.start_program(["sh", "-c", "echo READY; exec sleep 600"]) as target:
            harm.until(lambda: open("/proc/%d/comm" % target.pid).read() == "sleep\n", "exec")
            outcome = support.pycore("gcore", target.pid, cwd=self.folder)
            self.assertEqual(outcome.rc, 0, outcome.err)
            self.assertIn("core.%d" % target.pid, outcome.err)
            self.assertEqual(os.listdir(self.folder), ["core.%d" % target.pid])
            outcome = support.pycore("gcore", target.pid, "-q", "-o", "a", cwd=self.folder)
            self.assertEqual((outcome.rc, outcome.err), (0, ""))
            for place, word in ((self.folder, "directory"), ("/dev/null", "regular"),
                                (self.path("no/such"), "No such")):
                outcome = support.pycore("gcore", target.pid, "-o", place)
                self.assertEqual(outcome.rc, 2)
                self.assertIn(word, outcome.err)
        outcome = support.pycore("gcore", target.pid, "-o", self.path("gone"))
        self.assertEqual(outcome.rc, 2)
        self.assertEqual(len(outcome.err.splitlines()), 1)
        self.assertFalse(os.path.exists(self.path("gone")))


if __name__ == "__main__":
    tap.main()
