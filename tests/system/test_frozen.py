#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen copies (gcore --fork): the copy is the process at the stop, and the process is afterwards
what it was: no zombie, no signal, no file, no call that ends otherwise, whoever is killed."""

import contextlib
import ctypes
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import harm
import support
from harm import PATIENCE_S, compiled, each_version, task_facts, until, usual_python

EARLY = True

PROBE = os.path.join(support.BUILDDIR, "tests", "tools", "frozen_probe")
LONG = os.environ.get("PYCORE_LONG", "") not in ("", "0")
MARK = struct.pack("<Q", 0x6162636465666768).hex()
PR_CAPBSET_DROP, CAP_SYS_ADMIN = 24, 21
TRACER = "pycore-frozen", "frozen_probe"  # the latter before it has given itself a name


def children(pid):
    """[(pid, state)] of all children of all threads."""
    found = []
    for tid in os.listdir("/proc/%d/task" % pid):
        with contextlib.suppress(FileNotFoundError):
            with open("/proc/%d/task/%s/children" % (pid, tid)) as stream:
                for child in map(int, stream.read().split()):
                    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                        with open("/proc/%d/stat" % child) as stat:
                            found.append((child, stat.read().rpartition(")")[2].split()[0]))
    return found


def status(pid, key):
    with open("/proc/%d/status" % pid) as stream:
        return next(line.split(":", 1)[1].strip() for line in stream if line.startswith(key + ":"))


def rss_kib(pid):
    return int(status(pid, "VmRSS").split()[0])


def cpu_ticks(pid):
    """Processor time in its own code."""
    with open("/proc/%d/stat" % pid) as stream:
        return int(stream.read().rpartition(")")[2].split()[11])


def main_syscall(pid):
    with open("/proc/%d/syscall" % pid) as stream:
        return stream.read().split()[0]


def files(pid):
    return sorted(os.listdir("/proc/%d/fd" % pid))


def tracers():
    """Processes that make copies, of whoever."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/comm" % pid) as stream:
                if stream.read().strip() in TRACER:
                    found.add(int(pid))
    return found


def without_admin():
    """In a child, before exec: root, but without CAP_SYS_ADMIN."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)


class Probe:
    """frozen_probe of one process."""

    def __init__(self, pid, **options):
        self.process = subprocess.Popen([PROBE, str(pid)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0, **options)

    def send(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())

    def answer(self):
        if not select.select([self.process.stdout], [], [], 3 * PATIENCE_S)[0]:
            raise AssertionError("no answer")
        line = b""
        while not line.endswith(b"\n"):
            part = self.process.stdout.read(65536)
            if not part:
                raise AssertionError("frozen_probe ended with %s" % self.process.wait())
            line += part
        return line.decode().rstrip("\n")

    def ask(self, *words):
        """What it answers, without its "ok"."""
        self.send(*words)
        line = self.answer()
        if not line.startswith("ok"):
            raise AssertionError("%s: %s" % (words, line))
        return line[3:]

    def facts(self, *words):
        return dict(item.split("=", 1) for item in self.ask(*words).split(" ") if "=" in item)

    def fail(self, *words):
        """What it complains of."""
        self.send(*words)
        line = self.answer()
        if not line.startswith("error "):
            raise AssertionError("%s succeeded: %s" % (words, line))
        return line[6:]

    def word(self, address):
        origin, data = self.ask("read", "%x" % address, 8).split()
        return origin, data

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


@unittest.skipUnless(os.path.exists(PROBE), "tests/tools/frozen_probe is not built")
class Case(harm.Case):
    """A test with frozen_self, and a probe of it."""

    program = None

    def self_check(self):
        binary = os.path.join(self.folder, "frozen_self")
        return binary if os.path.exists(binary) else compiled(self.folder, "frozen_self", "", ())

    @contextlib.contextmanager
    def target(self, *arguments, **options):
        command = [self.self_check(), *arguments]
        with support.start_program(command, **options) as target:
            target.zombies = False
            words = target.lines[-1].split()
            target.places = {name: int(address, 16) for name, address in
                             zip(words[1::2], words[2::2])}
            yield target
            self.check_well(target, zombies=target.zombies)
            os.kill(target.pid, signal.SIGTERM)  # gives its semaphore back
            self.assertEqual(target.process.wait(PATIENCE_S), 0)

    @contextlib.contextmanager
    def probe(self, pid, **options):
        probe = Probe(pid, **options)
        try:
            yield probe
        finally:
            probe.close()

    def check_free(self, pid):
        until(lambda: all(state not in "tT" and tracer == 0 for _, state, tracer in
                          task_facts(pid)), "the release of %s" % task_facts(pid))

    def check_well(self, target, zombies=False):
        """It found nothing wrong, nobody stops it, and it has no child."""
        if target.process.poll() is not None:
            raise AssertionError("the target ended: %s" % target.process.stdout.read().decode())
        if select.select([target.process.stdout], [], [], 0)[0]:
            raise AssertionError("the target says: %s" % target.read_line())
        self.check_free(target.pid)
        if not zombies:
            self.assertEqual(children(target.pid), [])


class Copies(Case):
    """What is in the copy, and what is left of it."""

    def test_state_of_the_stop(self):
        """The copy holds one moment of all pages, in shared ones and those marked by madvise(2),
        too, and does not change while the process does."""
        with self.target("all") as target, self.probe(target.pid) as probe:
            pages = target.places["pages"]
            facts = probe.facts("freeze")
            self.assertEqual(int(facts["threads"]), len(task_facts(target.pid)))
            self.assertEqual(dict(children(target.pid)), {int(facts["child"]): "t"})
            with open("/proc/%s/oom_score_adj" % facts["child"]) as stream:
                self.assertEqual(stream.read().strip(), "1000")
            self.check_free(target.pid)

            def rounds():
                words = []
                for page in range(2048):
                    origin, data = probe.word(pages + page * 4096)
                    self.assertEqual(origin, "live")
                    words.append(struct.unpack("<Q", bytes.fromhex(data))[0])
                return words

            first = rounds()
            self.assertEqual(first, sorted(first, reverse=True))
            self.assertIn(first[0] - first[-1], (0, 1))
            with open("/proc/%d/mem" % target.pid, "rb", 0) as stream:
                until(lambda: struct.unpack("<Q", os.pread(stream.fileno(), 8, pages))[0] >
                      first[0], "the target's next round")
            self.assertEqual(rounds(), first)
            for name in ("shared", "dontfork", "wipe"):
                self.assertEqual(probe.word(target.places[name]), ("copy", MARK), name)
            self.assertEqual(probe.ask("thaw"), "")

    def test_what_does_not_fit(self):
        """Of what a child does not get only so much is copied; the rest is said to be of later."""
        with self.target("blocked") as target, self.probe(target.pid) as probe:
            probe.ask("freeze", 1)
            for name, origin in (("shared", "live"), ("dontfork", "copy"), ("wipe", "copy")):
                self.assertEqual(probe.word(target.places[name]), (origin, MARK), name)
            self.assertIn("12 KiB", probe.ask("notes"))
            probe.ask("thaw"), probe.ask("freeze")
            self.assertEqual(probe.ask("notes"), "")
            probe.ask("thaw")

    def test_registers_of_all(self):
        with self.target("all") as target, self.probe(target.pid) as probe:
            probe.ask("freeze")
            regs = [item.split(":") for item in probe.ask("regs").split()]
            self.assertEqual(int(regs[0][0]), target.pid)
            self.assertEqual(sorted(int(item[0]) for item in regs),
                             sorted(fact[0] for fact in task_facts(target.pid)))
            self.assertTrue(all(int(item[2]) >= 1 for item in regs))
            probe.ask("thaw")

    def test_stack_of_the_borrowed_thread(self):
        """Our signal frames are neither in the copy nor in the process."""
        with self.target("spin") as target, self.probe(target.pid) as probe:
            # READY is said before its stack is painted, which takes it far less than this.
            before = cpu_ticks(target.pid)
            until(lambda: cpu_ticks(target.pid) > before + 2, "its work")
            for _ in range(10):
                probe.ask("freeze")
                low = int(probe.ask("regs").split(":")[1], 16) - 8192
                data = probe.ask("read", "%x" % low, "%x" % (8192 - 1024)).split()[1]
                self.assertEqual(set(bytes.fromhex(data)), {0xa5})
                with open("/proc/%d/mem" % target.pid, "rb", 0) as stream:
                    self.assertEqual(set(os.pread(stream.fileno(), 8192 - 1024, low)), {0xa5})
                probe.ask("thaw")

    def test_hundred_in_a_row(self):
        for mode, count in (("all", 100), ("blocked", 100), ("spin", 30)):
            with self.target(mode) as target, self.probe(target.pid) as probe:
                probe.ask("freeze"), probe.ask("thaw")
                files_before, rss_before = files(target.pid), rss_kib(target.pid)
                threads = len(task_facts(target.pid))
                for _ in range(count):
                    probe.ask("freeze")
                    probe.ask("thaw")
                    self.check_well(target)
                self.assertEqual(files(target.pid), files_before)
                self.assertEqual(len(task_facts(target.pid)), threads)
                self.assertLess(abs(rss_kib(target.pid) - rss_before), 1024)
                self.assertEqual(int(status(target.pid, "SigPnd"), 16), 0)
                self.assertEqual(int(status(target.pid, "ShdPnd"), 16), 0)

    def test_memory_comes_back(self):
        """Reading the copy un-shares nothing, and its end gives back what it took."""
        python = usual_python()
        with self.app(python, "plain") as app, self.probe(app.pid) as probe:
            before = rss_kib(app.pid)
            child = int(probe.facts("freeze")["child"])
            self.assertGreater(int(probe.facts("drain")["bytes"]), 1 << 20)
            with open("/proc/%d/smaps_rollup" % child) as stream:
                private = next(int(line.split()[1]) for line in stream
                               if line.startswith("Private_Dirty:"))
            self.assertLess(private, rss_kib(child) / 2)
            probe.ask("thaw")
            self.assertLess(abs(rss_kib(app.pid) - before), 4096)
            app.check_unharmed()

    @each_version
    def test_python(self, python):
        with self.app(python, "plain") as app, self.probe(app.pid) as probe:
            for _ in range(20):
                probe.ask("freeze")
                app.check_progress()
                probe.ask("thaw")
            self.assertEqual(children(app.pid), [])
            app.check_unharmed()

    def test_stopped_by_job_control(self):
        """A process that stands still is copied, stands still as before, and goes on."""
        with self.target("spin") as target, self.probe(target.pid) as probe:
            for _ in range(5):
                os.kill(target.pid, signal.SIGSTOP)
                until(lambda: task_facts(target.pid) == [(target.pid, "T", 0)], "the stop")
                probe.ask("freeze")
                probe.ask("thaw")
                until(lambda: task_facts(target.pid) == [(target.pid, "T", 0)],
                      "the return to the stop")
                os.kill(target.pid, signal.SIGCONT)
                until(lambda: task_facts(target.pid)[0][1] == "R", "its work")

    def test_signals_meanwhile(self):
        """Signals that come at any moment are taken, each once; the registers stay."""
        with self.target("spin") as target, self.probe(target.pid) as probe:
            sent, over = [0], threading.Event()

            def taken():
                with open("/proc/%d/mem" % target.pid, "rb", 0) as stream:
                    return struct.unpack("<Q", os.pread(stream.fileno(), 8,
                                                        target.places["pages"]))[0]

            def send():
                while not over.is_set():
                    if sent[0] - taken() < 1000:  # the kernel's queue has an end (RLIMIT_SIGPENDING)
                        os.kill(target.pid, signal.SIGRTMIN)
                        sent[0] += 1
                    time.sleep(random.uniform(0, 0.0003))

            sender = threading.Thread(target=send)
            sender.start()
            try:
                for _ in range(60):
                    probe.ask("freeze")
                    probe.ask("thaw")
            finally:
                over.set()
                sender.join()
            until(lambda: taken() == sent[0], "all of %d signals (%d)" % (sent[0], taken()))

    def test_first_process_of_a_namespace(self):
        prefix = ("unshare", "--pid", "--fork", "--kill-child")
        if os.geteuid() != 0 or not shutil.which("unshare"):
            self.skipTest("needs root and unshare(1)")
        with support.start_program([*prefix, self.self_check(), "all"]) as outer:
            pid = children(outer.pid)[0][0]
            self.assertEqual(status(pid, "NSpid").split()[-1], "1")
            with self.probe(pid) as probe:
                for _ in range(20):
                    probe.ask("freeze")
                    probe.ask("thaw")
                    self.assertEqual(children(pid), [])
            self.check_free(pid)
            self.assertFalse(select.select([outer.process.stdout], [], [], 0.2)[0])
            os.kill(pid, signal.SIGTERM)
            outer.process.wait(PATIENCE_S)

    def test_exec_while_frozen(self):
        """The program that the process becomes collects the copy of the old one as well."""
        with self.app(usual_python(), "become-sleep", "main") as app:
            with self.probe(app.pid) as probe:
                probe.ask("freeze")
                app.beats[8] = 1
                until(lambda: "sleep" in os.readlink("/proc/%d/exe" % app.pid) or
                      "coreutils" in os.readlink("/proc/%d/exe" % app.pid), "exec")
                probe.ask("thaw")
            self.assertEqual(children(app.pid), [])
            self.check_free(app.pid)

    def test_process_ends_while_frozen(self):
        with support.start_program([self.self_check(), "spin"]) as target:
            with self.probe(target.pid) as probe:
                child = int(probe.facts("freeze")["child"])
                target.process.kill()
                target.process.wait(PATIENCE_S)
                self.assertEqual(probe.word(int(target.lines[-1].split()[2], 16))[0], "live")
                self.assertEqual(probe.ask("thaw"), "")
                # Whoever inherited it collects it, sooner or later.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    self.assertEqual(status(child, "State")[0], "Z")

    def test_clone_takes_too_long(self):
        """At the deadline all threads but one run on; that one, once the kernel is done with it.
        Nothing is left."""
        code = ("import sys, threading, time; heap = bytearray(512 << 20); n = 4096\n"
                "for at in range(0, len(heap), n): heap[at] = 1\n"
                "for _ in range(3): threading.Thread(target=time.sleep, args=(1000,)).start()\n"
                "print('READY'); sys.stdout.flush(); time.sleep(1000)")
        with support.start_program([usual_python().path, "-c", code]) as target, \
                self.probe(target.pid) as probe:
            support.until_still(target.pid)
            late, rounds, deadline = 0, 0, time.monotonic() + PATIENCE_S
            # On a busy machine the threads may not even stop in time.
            while rounds < 10 or (not late and time.monotonic() < deadline):
                rounds += 1
                probe.send("freeze", 0, "%x" % 3000000)  # 512 MiB take more than 10 ms
                line = probe.answer()
                if line.startswith("ok"):
                    probe.ask("thaw")
                else:
                    self.assertRegex(line, "took too long|in time")
                    late += "took too long" in line
                self.assertEqual(children(target.pid), [])
                self.check_free(target.pid)
            self.assertGreater(late, 0)
            probe.ask("freeze"), probe.ask("thaw")
            self.assertEqual(children(target.pid), [])


class Calls(Case):
    """What 30 blocking calls return."""

    # Calls with a time limit that the kernel ends with EINTR for every stop (signal(7)): when they
    # began is not known, so that they cannot be made to go on for what is left.
    TIMED = {"epoll_wait", "epoll_pwait", "sigtimedwait", "semtimedop", "io_getevents",
             "recv_timeout", "accept_timeout", "connect_timeout"}

    def outcome(self, freeze):
        python = usual_python()
        library = compiled(self.folder, "harm_blocking")
        with support.start_target(python, harm.QUIET, "blocking", library) as target:
            if freeze:
                with self.probe(target.pid) as probe:
                    for _ in range(100):
                        probe.ask("freeze")
                        probe.ask("thaw")
            else:
                time.sleep(1)
            os.kill(target.pid, signal.SIGTERM)
            lines = []
            while not lines or lines[-1] != "END":
                lines.append(target.read_line())
        errors, early = {}, {}
        for line in lines[:-1]:
            name, rest = line.split(None, 1)
            fields = dict(field.split("=") for field in rest.split())
            if "errno" in fields:
                errors[name] = {pair.split(":")[0] for pair in fields["errno"].split(",")}
                early[name] = int(fields["early"])
            if name == "signals":
                self.assertEqual(fields["sent"], fields["taken"])
        return errors, early

    def test_calls_end_as_ever(self):
        control, _ = self.outcome(False)
        errors, early = self.outcome(True)
        self.assertGreaterEqual(len(errors), 24)
        for name, found in errors.items():
            with self.subTest(call=name):
                allowed = {"EINTR"} if name in self.TIMED else set()
                self.assertEqual(found - allowed, control[name])
                self.assertEqual(early[name], 0)
        # Otherwise the list above is wrong, or nothing was stopped.
        self.assertTrue(any("EINTR" in errors[name] for name in self.TIMED if name in errors))


class Kills(Case):
    """Somebody is killed in the middle."""

    ROUNDS = 300 if LONG else 20

    def test_pycore_is_killed(self):
        """The tracer undoes everything by itself: at any moment."""
        for mode in ("all", "blocked"):
            with self.target(mode) as target:
                for _ in range(self.ROUNDS):
                    before = tracers()
                    probe = Probe(target.pid)
                    probe.send("freeze")
                    time.sleep(random.uniform(0, 0.04))
                    probe.process.kill()
                    probe.close()
                    until(lambda: not tracers() - before, "the end of the tracer")
                    self.check_well(target)

    def test_pycore_ends_without_a_word(self):
        with self.target("all") as target:
            before = tracers()
            with self.probe(target.pid) as probe:
                probe.ask("freeze")
                self.assertEqual(len(children(target.pid)), 1)
            # Its input ends, and so does it.
            until(lambda: not tracers() - before, "the end of the tracer")
            self.check_well(target)

    def test_signals_of_the_terminal(self):
        """SIGINT and the like to pycore's group do not reach the tracer."""
        with self.target("all") as target, \
                self.probe(target.pid, start_new_session=True) as probe:
            before = tracers()
            probe.ask("freeze")
            os.killpg(probe.process.pid, signal.SIGINT)
            probe.process.wait(PATIENCE_S)
            until(lambda: not tracers() - before, "the end of the tracer")
            self.check_well(target)

    def die_at(self, target, number, library):
        """The tracer is killed at that ptrace(2) call. False: it makes fewer of them."""
        probe = Probe(target.pid, env=support.clean_environment(LD_PRELOAD=library,
                                                                FROZEN_DIE=str(number)))
        probe.send("freeze")
        line = probe.answer()
        if line.startswith("ok"):
            probe.send("thaw")
            line = probe.answer()
        probe.close()
        until(lambda: {state for _, state in children(target.pid)} <= {"Z"},
              "the end of all copies: %s" % children(target.pid))
        time.sleep(0.02)
        self.check_well(target, zombies=True)
        self.assertTrue(line == "ok" or "was killed" in line, line)
        return line != "ok"

    def test_tracer_is_killed(self):
        """The worst case, at each single step. The thread finds its registers on its stack, and the
        copy ends by itself; what is left is a zombie."""
        if support.is_sanitized():
            self.skipTest("a sanitizer has a ptrace() of its own")
        library = compiled(self.folder, "frozen_die")
        for mode in ("spin", "blocked", "all"):
            with self.target(mode, "lenient") as target:
                target.zombies = True
                number = 1
                while self.die_at(target, number, library):
                    number += 1 if mode == "spin" else random.randint(1, 7)
                    if LONG:
                        self.die_at(target, -number, library)
                left = len(children(target.pid))
                print("%s: killed at up to %d calls, %d zombies" % (mode, number, left))
                # From the clone to the end of the copy; no step is passed over of a single thread.
                if mode == "spin":
                    self.assertGreater(left, 10)
                self.assertLess(left, number)


class Refusals(Case):
    """Where it must not be done, that is said before anything is touched."""

    def check_refused(self, target, *words, pid=None, **options):
        with self.probe(pid or target.pid, **options) as probe:
            said = probe.fail("freeze")
            for word in words:
                self.assertIn(word, said)
            if pid is None:
                self.check_well(target)
        return said

    def test_filters_are_suspended(self):
        if os.geteuid() != 0:
            self.skipTest("needs CAP_SYS_ADMIN")
        for extra in ("eperm", "kill"):
            with self.target("all", extra) as target, self.probe(target.pid) as probe:
                for _ in range(10):
                    probe.ask("freeze")
                    probe.ask("thaw")
                    self.check_well(target)

    def test_filters_that_cannot_be(self):
        for extra in ("eperm", "kill"):
            with self.target("all", extra) as target:
                self.check_refused(target, "seccomp", preexec_fn=without_admin)

    def test_userfaultfd(self):
        with self.target("blocked", "uffd") as target:
            if "NO userfaultfd" in target.lines:
                self.skipTest("userfaultfd(2) is not allowed here")
            self.check_refused(target, "userfaultfd")

    def test_traced(self):
        with self.target("spin") as target:
            code = ("import ctypes, sys, time; libc = ctypes.CDLL(None); "
                    "libc.ptrace(0x4206, %d, None, None); print('READY'); sys.stdout.flush(); "
                    "time.sleep(1000)" % target.pid)
            with support.start_program([usual_python().path, "-c", code]) as tracer:
                with self.probe(target.pid) as probe:
                    self.assertIn("process %d traces it" % tracer.pid, probe.fail("freeze"))

    def test_vfork(self):
        with self.app(usual_python(), "vfork", compiled(self.folder), 100000) as app:
            until(lambda: main_syscall(app.pid) == "58", "vfork")  # of x86-64
            said = self.check_refused(None, pid=app.pid)
            self.assertRegex(said, "vfork|cannot be stopped")
            app.check_free()

    def in_mounts(self, file, content):
        """preexec_fn: `file` reads as `content` for this one."""
        if os.geteuid() != 0:
            self.skipTest("needs root")
        fake = os.path.join(self.folder, "fake")
        with open(fake, "w") as stream:
            stream.write(content)
        libc = ctypes.CDLL(None, use_errno=True)

        def enter():
            if libc.unshare(0x20000) != 0 or \
                    libc.mount(b"none", b"/", None, 0x44000, None) != 0 or \
                    libc.mount(fake.encode(), file.encode(), None, 0x1000, None) != 0:
                os._exit(90)
        return enter

    def test_no_overcommit(self):
        enter = self.in_mounts("/proc/sys/vm/overcommit_memory", "2\n")
        with self.target("blocked") as target:
            self.check_refused(target, "overcommit", preexec_fn=enter)

    def test_machine_is_full(self):
        enter = self.in_mounts("/proc/meminfo", "MemTotal: 10000 kB\nMemAvailable: 1000 kB\n")
        with self.target("blocked") as target:
            with open("/proc/%d/mem" % target.pid, "r+b", 0) as stream:
                for page in range(2048):
                    os.pwrite(stream.fileno(), b"1", target.places["pages"] + page * 4096)
            self.check_refused(target, "the machine", "MiB", preexec_fn=enter)

    def group(self, controller, **limits):
        """A control group of version 1 or 2 with those limits."""
        for top in ("/sys/fs/cgroup/" + controller, "/sys/fs/cgroup"):
            folder = os.path.join(top, "pycore-test-%d" % os.getpid())
            version = 1 if top.endswith(controller) else 2
            try:
                os.mkdir(folder)
            except OSError:
                continue
            self.addCleanup(os.rmdir, folder)
            try:
                for name, value in limits.items():
                    name = name.split("__")[version - 1] if "__" in name else name
                    with open("%s/%s.%s" % (folder, controller, name), "w") as stream:
                        stream.write(str(value))
                return folder
            except OSError:
                pass
        self.skipTest("no control group of %s can be made" % controller)

    def test_memory_limit_of_a_control_group(self):
        folder = self.group("memory", limit_in_bytes__max=16 << 20)
        with self.target("blocked") as target:
            with open(folder + "/cgroup.procs", "w") as stream:
                stream.write(str(target.pid))
            with self.probe(target.pid) as probe:
                probe.ask("freeze"), probe.ask("thaw")
                # 8 MiB of pages: now a copy could need more than half of what is left.
                with open("/proc/%d/mem" % target.pid, "r+b", 0) as stream:
                    for page in range(2048):
                        os.pwrite(stream.fileno(), b"1", target.places["pages"] + page * 4096)
            with open([name for name in (folder + "/memory.limit_in_bytes", folder + "/memory.max")
                       if os.path.exists(name)][0], "w") as stream:
                stream.write(str(12 << 20))
            self.check_refused(target, "pycore-test", "MiB")

    def test_limit_of_processes(self):
        """clone() fails: EAGAIN, and nothing has happened."""
        folder = self.group("pids")
        with self.target("all") as target:
            with open(folder + "/cgroup.procs", "w") as stream:
                stream.write(str(target.pid))
            with open(folder + "/pids.max", "w") as stream:
                stream.write(str(len(task_facts(target.pid))))
            for _ in range(5):
                self.check_refused(target, "clone()", "temporarily unavailable")

    def test_devices(self):
        folder = "/dev/infiniband"
        try:
            os.mkdir(folder)
        except OSError:
            self.skipTest("cannot make %s" % folder)
        self.addCleanup(shutil.rmtree, folder)
        with open(folder + "/test", "wb") as stream:
            stream.write(bytes(4096))
        code = ("import mmap, sys, time; f = open(%r, 'r+b'); m = mmap.mmap(f.fileno(), 4096); "
                "print('READY'); sys.stdout.flush(); time.sleep(1000)" % (folder + "/test"))
        with support.start_program([usual_python().path, "-c", code]) as target:
            self.check_refused(None, "device", folder, pid=target.pid)
            self.check_free(target.pid)

    def test_namespace_of_children(self):
        code = ("import ctypes, sys, time; print(ctypes.CDLL(None).unshare(0x20000000)); "
                "print('READY'); sys.stdout.flush(); time.sleep(1000)")
        with support.start_program([usual_python().path, "-c", code]) as target:
            if target.lines[0] != "0":
                self.skipTest("unshare(CLONE_NEWPID) is not allowed here")
            self.check_refused(None, "PID namespace", pid=target.pid)

    def test_32_bits(self):
        binary = os.path.join(self.folder, "small")
        code = "#include <unistd.h>\nint main(void) { write(1, \"READY\\n\", 6); pause(); }\n"
        done = subprocess.run([os.environ.get("CC", "cc"), "-m32", "-xc", "-", "-o", binary],
                              input=code.encode(), stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            self.skipTest("this compiler makes no 32-bit programs")
        with support.start_program([binary]) as target:
            self.check_refused(None, "32-bit", pid=target.pid)

    def test_no_permission(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to be somebody else")
        with self.target("blocked") as target:
            shared = os.path.join(tempfile.gettempdir(), "frozen-probe-%d" % os.getpid())
            shutil.copy(PROBE, shared)
            self.addCleanup(os.unlink, shared)
            os.chmod(shared, 0o755)
            process = subprocess.run([shared, str(target.pid)], input=b"freeze\n",
                                     stdout=subprocess.PIPE, check=True,
                                     preexec_fn=lambda: os.setuid(65534))
            self.assertTrue(process.stdout.startswith(b"error "), process.stdout)


class Estimates(Case):
    def test_numbers(self):
        with self.target("blocked") as target, self.probe(target.pid) as probe:
            facts = probe.facts("estimate")
            before = int(facts["anonymous"])
            with open("/proc/%d/mem" % target.pid, "r+b", 0) as stream:
                for page in range(2048):
                    os.pwrite(stream.fileno(), b"1", target.places["pages"] + page * 4096)
            facts = probe.facts("estimate")
            self.assertAlmostEqual(int(facts["anonymous"]) - before, 8 << 20, delta=64 << 10)
            self.assertGreaterEqual(int(facts["worst"]), int(facts["anonymous"]))
            self.assertGreater(int(facts["pause_ns"]), 0)
            self.assertGreater(int(facts["free"]), 1 << 20)
            self.assertEqual(facts["refusal"], "")


if __name__ == "__main__":
    unittest.main()
