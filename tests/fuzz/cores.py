#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged cores through the real 'pycore analyze': never a crash, a hang or more memory than stated.

usage: tests/fuzz/cores.py [N [SEED]] [--python PATH]... [--jobs J] [--keep DIR]

Makes a few kernel cores of Python (small ones, with an empty environment) and N damaged copies of
them: bytes of the headers, the notes, stacks, thread states, frames, code objects, dicts, unwind
tables and of anything else are changed, and some are cut. The same seed gives the same damage. What
goes wrong is kept in DIR (default: build folder) and told with the command to see it again.
"""

import json
import mmap
import multiprocessing
import os
import random
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import support  # noqa: E402

# What 'analyze' may take, see HACKING.md: processor time, for the machine may be busy. Sanitizers
# slow everything down and remember a lot.
LIMIT_S = 10
WAIT_FACTOR = 12
BASE_MIB, PER_INPUT = 128, 3
SANITIZED_LIMIT_S, SANITIZED_MIB = 60, 2048

PROGRAM = r"""
import ctypes, os, sys, threading, time

def word(addr):
    return ctypes.c_uint64.from_address(addr).value

places = []
def place(addr, size):
    places.append("%d %d" % (addr, size))

def tell(frame):
    while frame is not None:
        code = frame.f_code
        place(id(frame), sys.getsizeof(frame))
        if sys.version_info >= (3, 11):
            place(word(id(frame) + 24), 160)
        place(id(code), sys.getsizeof(code))
        for name in ("co_linetable", "co_lnotab", "co_exceptiontable", "co_name", "co_filename",
                     "co_qualname", "co_names", "co_code"):
            value = getattr(code, name, None) if name != "co_lnotab" or \
                not hasattr(code, "co_linetable") else None
            if value is not None:
                place(id(value), sys.getsizeof(value))
        frame = frame.f_back

def dicts():
    for value in (sys.modules, threading._active, threading.__dict__, sys.__dict__,
                  threading.current_thread().__dict__):
        place(id(value), 64)
        place(word(id(value) + 32), 512)
    place(id(threading), 64)
    place(id(threading.current_thread()), 64)

def states():
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_uint64
    state = get()
    place(state, 320)
    for offset in (0, 8, 16, 24):  # its neighbours, its interpreter
        if word(state + offset) > 1 << 32 and word(state + offset) % 8 == 0:
            place(word(state + offset), 512)
    try:
        place(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")), 2048)
    except ValueError:
        pass

ready = []
def generator():
    yield sum(1 for _ in [states(), tell(sys._getframe())])
    time.sleep(1000)

def worker(depth):
    if depth:
        return worker(depth - 1)
    ready.append(1)
    for _ in generator():
        pass

class Thing:
    def __del__(self):
        pass
    def method(self, number):
        if number:
            return sorted([3, 1, 2], key=lambda _: self.method(number - 1))
        states()
        dicts()
        tell(sys._getframe())
        for kind in (str, int, dict, list, type, type(Thing), type(tell), type(tell.__code__)):
            place(id(kind), 400)
        with open("places", "w") as stream:
            stream.write("\n".join(places))
        os.abort()

threads = [threading.Thread(target=worker, args=(4,), name="worker %d" % i, daemon=True)
           for i in range(2)]
for thread in threads:
    thread.start()
while len(ready) < 2:
    time.sleep(0.01)
time.sleep(0.05)
Thing().method(3)
"""

NT_PRSTATUS, NT_FILE = 1, 0x46494C45
PT_LOAD, PT_DYNAMIC, PT_NOTE, PT_GNU_EH_FRAME = 1, 2, 4, 0x6474E550


# Most of what befalls headers ends in a refusal.
WEIGHTS = {"headers": 1, "notes": 2, "python": 8, "stacks": 4, "tables": 5, "anything": 2}


class Core:
    """A core's file, and where in it there is what."""

    def __init__(self, path, places):
        self.path = path
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self.file).st_size
        self.loads, self.regions = [], {"headers": [], "notes": [], "python": [], "stacks": [],
                                        "tables": []}
        self.read_headers()
        self.has_files = len(self.regions["tables"]) > 20
        for addr, size in places:
            self.add("python", addr, size)

    def read(self, at, size):
        return os.pread(self.file, size, at)

    def unpack(self, form, at):
        return struct.unpack(form, self.read(at, struct.calcsize(form)))

    def add(self, kind, addr, size):
        for start, file_bytes, offset in self.loads:
            if start <= addr < start + file_bytes:
                size = min(size, start + file_bytes - addr)
                self.regions[kind].append((offset + addr - start, size))

    def offset_of(self, addr):
        for start, file_bytes, offset in self.loads:
            if start <= addr < start + file_bytes:
                return offset + addr - start
        return None

    def read_headers(self):
        phoff, = self.unpack("<Q", 32)
        count, = self.unpack("<H", 56)
        self.regions["headers"] += [(0, 64), (phoff, 56 * count)]
        notes = []
        for i in range(count):
            kind, _, offset, addr, _, size, _, _ = self.unpack("<IIQQQQQQ", phoff + 56 * i)
            if kind == PT_NOTE:
                notes.append((offset, size))
            elif kind == PT_LOAD and size:
                self.loads.append((addr, size, offset))
        for offset, size in notes:
            self.read_notes(offset, offset + size)

    def read_notes(self, at, end):
        while at + 12 <= end:
            name_size, size, kind = self.unpack("<III", at)
            body = at + 12 + (name_size + 3) // 4 * 4
            # Registers that nobody reads fill most of the notes.
            self.regions["notes"].append((at, 12 + min(size, 400) + 8))
            if kind == NT_PRSTATUS:
                stack, = self.unpack("<Q", body + 112 + 8 * 19)
                tls, = self.unpack("<Q", body + 112 + 8 * 21)
                self.add("stacks", stack, 4096)
                self.add("stacks", tls, 1024)
            elif kind == NT_FILE:
                self.read_files(body)
            at = body + (size + 3) // 4 * 4

    def read_files(self, body):
        count, _ = self.unpack("<QQ", body)
        for i in range(count):
            start, _, offset = self.unpack("<QQQ", body + 16 + 24 * i)
            at = self.offset_of(start) if offset == 0 else None
            if at is None or self.read(at, 4) != b"\x7fELF":
                continue
            phoff, = self.unpack("<Q", at + 32)
            phnum, = self.unpack("<H", at + 56)
            self.regions["tables"].append((at, 64 + 56 * phnum))
            for k in range(phnum):
                header = self.unpack("<IIQQQQQQ", at + phoff + 56 * k)
                if header[0] == PT_DYNAMIC:
                    self.add("tables", start + header[3], header[5])
                elif header[0] == PT_GNU_EH_FRAME:
                    # .eh_frame lies right behind in what linkers make.
                    self.add("tables", start + header[3], header[5])
                    self.add("tables", start + header[3] + header[5], 65536)


def damage(core, chance):
    """[(offset, bytes)...] and a size that the file is cut to."""
    kinds = [kind for kind in core.regions if core.regions[kind]] + ["anything"]
    weights = [WEIGHTS[kind] for kind in kinds]
    changes, size = [], core.size
    if chance.random() < 0.1:
        size = chance.choice([chance.randrange(size), chance.randrange(min(size, 65536)),
                              size - chance.randrange(4096)])
    for _ in range(chance.choice([1, 1, 2, 3, 5, 8, 20])):
        kind = chance.choices(kinds, weights)[0]
        start, length = (0, core.size) if kind == "anything" else \
            chance.choice(core.regions[kind])
        at = start + chance.randrange(max(length, 1))
        changes.append(change(core, at, chance))
    return changes, size


def change(core, at, chance):
    word = at // 8 * 8
    old, = struct.unpack("<Q", core.read(word, 8).ljust(8, b"\0"))
    choice = chance.randrange(9)
    if choice == 0:
        return at, bytes([old >> 8 * (at - word) & 255 ^ 1 << chance.randrange(8)])
    if choice == 1:
        return at, bytes([chance.randrange(256)])
    if choice == 2:
        return word, struct.pack("<Q", chance.getrandbits(64))
    if choice == 3:  # a pointer to something else
        start, size, _ = chance.choice(core.loads)
        return word, struct.pack("<Q", start + chance.randrange(size) // 8 * 8)
    if choice == 4:  # a little off
        return word, struct.pack("<Q", (old + 8 * chance.randrange(-32, 33)) % (1 << 64))
    if choice == 5:
        return word, struct.pack("<Q", 1 << chance.randrange(64))
    if choice == 6:
        return at, struct.pack("<I", chance.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                                                    chance.getrandbits(16)]))
    if choice == 7:
        return word, bytes(8 * chance.randrange(1, 64))
    kind = chance.choice([kind for kind in core.regions if core.regions[kind]])
    offset, _ = chance.choice(core.regions[kind])  # another place's first word
    return word, core.read(offset, 8)


# ---- Running -------------------------------------------------------------------------------------

def options_of(core, chance, empty):
    options = ["-f", chance.choice(["text", "md", "json"])]
    # All from the core; otherwise with this machine's files.
    if chance.random() < (0.8 if core.has_files else 0.1):
        options += ["--sysroot", empty]
    if chance.random() < 0.15:
        options.append("--no-native")
    return options


class Spawner:
    """A small process that starts others: a program's maximum resident set begins with that of the
    process that started it."""

    def __init__(self):
        self.ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def run(self, command, out_path, err_path, limit_s):
        self.ours.send((command, out_path, err_path, limit_s))
        return self.ours.recv()

    def serve(self, theirs):
        self.ours.close()
        while True:
            try:
                theirs.send(self.spawn(*theirs.recv()))
            except EOFError:
                return

    @staticmethod
    def spawn(command, out_path, err_path, limit_s):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [(os.POSIX_SPAWN_OPEN, 1, out_path, flags, 0o600),
                   (os.POSIX_SPAWN_OPEN, 2, err_path, flags, 0o600)]
        pid = os.posix_spawn(command[0], command, dict(os.environ), file_actions=actions)
        pidfd = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        late = not poll.poll(limit_s * 1000 * WAIT_FACTOR)
        if late:
            os.kill(pid, signal.SIGKILL)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        late |= usage.ru_utime + usage.ru_stime > limit_s
        return None if late else code, usage.ru_maxrss >> 10, usage.ru_utime + usage.ru_stime


class Runner:
    def __init__(self, folder, keep, spawner):
        self.folder, self.keep, self.spawner = folder, keep, spawner
        self.core_path = os.path.join(folder, "core")
        self.out_path, self.err_path = (os.path.join(folder, name) for name in ("out", "err"))
        self.empty = os.path.join(folder, "empty")
        os.makedirs(self.empty, exist_ok=True)
        self.core = None
        self.sanitized = is_sanitized()

    def load(self, core):
        shutil.copyfile(core.path, self.core_path)
        self.core = core

    def run(self, arguments):
        """Status (negative: by that signal; None: took too long), MiB, standard error."""
        code, mib, _ = self.spawner.run([support.PYCORE, "analyze", *arguments, self.core_path],
                                        self.out_path, self.err_path,
                                        SANITIZED_LIMIT_S if self.sanitized else LIMIT_S)
        with open(self.err_path, "rb") as stream:
            return code, mib, stream.read()

    def wrong(self, arguments):
        """What is wrong with the run, or None; and its exit status and MiB."""
        code, mib, said = self.run(arguments)
        most = SANITIZED_MIB if self.sanitized else \
            BASE_MIB + PER_INPUT * self.core.size // (1 << 20)
        if code is None:
            return "took too long", code, mib
        if code not in (0, 1, 2):
            return "status %d: %s" % (code, said[-2000:].decode("utf-8", "replace")), code, mib
        if mib > most:
            return "%d MiB, more than %d" % (mib, most), code, mib
        if code == 2 and (said.count(b"\n") != 1 or not said.startswith(b"pycore: ")):
            return "status 2 and %r" % said[:300], code, mib
        if any(byte < 0x20 and byte != 0x0A or byte == 0x7F for byte in said):
            return "control characters on standard error: %r" % said[:300], code, mib
        return self.bad_report(arguments, code), code, mib

    def bad_report(self, arguments, code):
        with open(self.out_path, "rb") as stream:
            report = stream.read()
        if (code == 2) != (not report):
            return "status %d and a report of %d bytes" % (code, len(report))
        if any(control in report for control in (b"\x1b", b"\r", b"\0", b"\x07", b"\xc2\x9b")):
            return "control characters in the report"
        if code != 2 and "json" in arguments:
            try:
                document = json.loads(report.decode("utf-8"))
            except ValueError as error:
                return "bad JSON: %s" % error
            if document["source"]["complete"] != (code == 0):
                return "status %d, complete is %s" % (code, document["source"]["complete"])
        return None

    def one(self, index, seed):
        chance = random.Random("%d %d" % (seed, index))
        changes, size = damage(self.core, chance)
        arguments = options_of(self.core, chance, self.empty)
        core = self.core
        with open(self.core_path, "r+b", buffering=0) as stream:
            file = stream.fileno()
            for at, data in changes:
                os.pwrite(file, data[:max(core.size - at, 0)], at)
            stream.truncate(size)
            wrong, code, mib = self.wrong(arguments)
            if wrong and self.keep:
                name = os.path.join(self.keep, "core-%d-%d" % (seed, index))
                shutil.copyfile(self.core_path, name)
                wrong += "\n  again: pycore analyze %s %s" % (" ".join(arguments), name)
            for at in range(size, core.size, 1 << 20):
                os.pwrite(file, core.read(at, min(1 << 20, core.size - at)), at)
            for at, data in changes:
                os.pwrite(file, core.read(at, len(data)), at)
        return wrong, code, mib


def is_sanitized():
    with open(support.PYCORE, "rb") as stream, \
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as image:
        return image.find(b"__asan_init") >= 0


def work(job, jobs, cores, count, seed, folder, keep, spawner, results):
    tally, mibs, wrongs = {}, [0], []
    try:
        runner = Runner(os.path.join(folder, "job-%d" % job), keep, spawner)
        per_core = (count + len(cores) - 1) // len(cores)
        for number, core in enumerate(cores):
            runner.load(core)
            for index in range(number * per_core + job, min((number + 1) * per_core, count), jobs):
                wrong, code, mib = runner.one(index, seed)
                tally[code] = tally.get(code, 0) + 1
                mibs.append(mib)
                if wrong:
                    wrongs.append("%d of %s: %s" % (index, core.path, wrong))
                if len(wrongs) >= 20:
                    return
    except (OSError, EOFError) as error:
        wrongs.append("gave up: %r" % error)
    finally:
        results.put((tally, max(mibs), wrongs))


def damaged(cores, count, seed=1, jobs=1, keep=None):
    """Runs them all: ({status: how many}, most MiB, what went wrong)."""
    results = multiprocessing.Queue()
    tally, most, wrongs = {}, 0, []
    with tempfile.TemporaryDirectory(prefix="pycore-cores-") as folder:
        for job in range(jobs):
            os.mkdir(os.path.join(folder, "job-%d" % job))
        workers = [multiprocessing.Process(target=work, args=(job, jobs, cores, count, seed, folder,
                                                              keep, Spawner(), results))
                   for job in range(jobs)]
        for worker in workers:
            worker.start()
        for _ in workers:
            found, mib, wrong = results.get()
            for code, number in found.items():
                tally[code] = tally.get(code, 0) + number
            most = max(most, mib)
            wrongs += wrong
        for worker in workers:
            worker.join()
    return tally, most, wrongs


def no_kernel_cores():
    """Why the kernel's cores cannot be had here; None: they can."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as stream:
        pattern = stream.read().strip()
    if not pattern or set(pattern) & set("|/%"):
        return "core_pattern does not write plain files into the working directory"
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        return "the hard limit on core sizes is not unlimited"
    return None


def kernel_core(folder, arguments, dump_filter):
    """Runs a program, without an environment, until it dumps core; the core's path."""
    def allow():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with open("/proc/self/coredump_filter", "w", encoding="ascii") as stream:
            stream.write(dump_filter)

    done = subprocess.Popen(arguments, cwd=folder, preexec_fn=allow, env={},
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    status = done.wait(180)
    for name in ("core", "core.%d" % done.pid):
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise RuntimeError("%s ended with %d and without a core" % (arguments, status))


def make_cores(folder, pythons):
    """Two cores of each Python: as kernels write them, and with the files' own pages."""
    cores = []
    for python in pythons:
        for dump_filter in ("0x33", "0x37"):
            own = os.path.join(folder, "%s-%s" % (python.name, dump_filter))
            os.mkdir(own)
            script = os.path.join(own, "program.py")
            with open(script, "w", encoding="utf-8") as stream:
                stream.write(PROGRAM)
            path = kernel_core(own, [python.path, "-S", "-E", script], dump_filter)
            with open(os.path.join(own, "places"), encoding="ascii") as stream:
                places = [tuple(map(int, line.split())) for line in stream]
            cores.append(Core(path, places))
    return cores


def main(arguments):
    pythons, count, seed, jobs, keep, numbers = [], 1000, 1, os.cpu_count() or 1, support.BUILDDIR, []
    while arguments:
        argument = arguments.pop(0)
        if argument in ("-h", "--help"):
            print(__doc__.strip())
            return 0
        if argument == "--python":
            pythons.append(arguments.pop(0))
        elif argument == "--jobs":
            jobs = int(arguments.pop(0))
        elif argument == "--keep":
            keep = arguments.pop(0)
        else:
            numbers.append(int(argument))
    count = numbers[0] if numbers else count
    seed = numbers[1] if len(numbers) > 1 else seed
    found = [python for python in support.interpreters() if not pythons or python.path in pythons
             or python.name in pythons]
    why_not = no_kernel_cores()
    if why_not or not found:
        print("cores.py: %s" % (why_not or "no such Python"), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="pycore-cores-") as folder:
        cores = make_cores(folder, found)
        tally, most, wrongs = damaged(cores, count, seed, jobs, keep)
    print("%d damaged cores of %d: status %s; at most %d MiB" % (
        sum(tally.values()), len(cores), ", ".join("%s: %d" % (code, tally[code])
                                                   for code in sorted(tally, key=str)), most))
    for wrong in wrongs:
        print(wrong)
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
