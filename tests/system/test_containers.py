#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live processes in namespaces of their own, and pycore in them: mounts, PIDs, users, roots, system
calls that a sandbox refuses. The report is the one that the same process would have outside."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import support
import tap
import trees

ENTER = support.path("tests/programs/enter.py")
PROGRAM = support.path("tests/programs/contained.py")
NOBODY = 65534
CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE = 19, 21, 40  # <linux/capability.h>
SEEN = "number = (number + 1) % 1000"  # in the source lines of the report, where a thread works


def enter(plan):
    return [sys.executable, ENTER, json.dumps(plan)]


def child_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as stream:
        return int(stream.read().split()[0])


def inner_ids(pid):
    """{number outside: number inside} of all threads of a process."""
    ids = {}
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, tid)) as stream:
            ids[int(tid)] = int([line for line in stream if line.startswith("NSpid:")][0].split()[-1])
    return ids


def until_waiting(pid):
    """contained.py has said READY, and is about to go to sleep: in waiting(), and in parked() before."""
    sleeps = ("23", "35", "230", "270")  # select, nanosleep, clock_nanosleep, pselect6 of x86-64
    deadline = time.monotonic() + 60
    while True:
        states = {}
        for tid in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/stat" % (pid, tid)) as stream:
                states[int(tid)] = stream.read().rpartition(")")[2].split()[0]
        with open("/proc/%d/syscall" % pid) as stream:
            call = stream.read().split()[0]
        if call in sleeps and list(states.values()).count("S") >= 2:
            return
        if time.monotonic() > deadline:
            raise AssertionError("it does not go to sleep: %s, call %s" % (states, call))
        time.sleep(0.01)


class Contained:
    """A running target: `pid` as we number it, `inner` as it does itself, `ids` of its threads."""

    def __init__(self, target, pid, command):
        self.target, self.pid, self.command = target, pid, command
        self.threads = {}  # name: number outside
        outside = {inside: outer for outer, inside in inner_ids(pid).items()}
        for line in target.lines[:-1]:
            name, number = line.split()[1:]
            self.threads[name] = outside.get(int(number))
        self.inner = inner_ids(pid)[pid]


class Case(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pycore-container-")
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)
        os.chmod(self.folder, 0o755)

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")

    @contextlib.contextmanager
    def contained(self, plan, python, script=PROGRAM, arguments=(), depth=None, before=()):
        """Starts the program as the plan says; skips by name what the kernel does not allow."""
        command = [python.program if python.build == "copy" else python.path, "-S", script,
                   *arguments]
        if depth is None:
            depth = "pid" in plan.get("unshare", [])
        with contextlib.ExitStack() as stack:
            try:
                target = stack.enter_context(support.start_program(
                    [*before, *enter(plan), *command]))
            except AssertionError as error:
                if "enter.py:" in str(error):
                    self.skipTest(str(error)[str(error).index("enter.py:"):].strip())
                raise
            pid = target.pid
            for _ in range(depth):
                pid = child_of(pid)
            until_waiting(pid)
            yield Contained(target, pid, command)

    def as_plan(self, plan, *arguments, pycore=None):
        """pycore itself, in a container of that plan."""
        env = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        if "hide" in plan or "ptrace" in plan.get("refuse", {}):
            # LeakSanitizer itself needs /proc, and traces.
            env["ASAN_OPTIONS"] = ":".join([env.get("ASAN_OPTIONS", ""), "detect_leaks=0"])
        done = subprocess.run([*enter(plan), pycore or support.PYCORE, *map(str, arguments)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=180, cwd="/",
                              env=support.clean_environment(**env))
        outcome = support.Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
        if outcome.rc == 77:
            self.skipTest(outcome.err.strip())
        self.assertNotIn(outcome.rc, (support.SANITIZER_STATUS,), outcome.err)
        self.assertGreaterEqual(outcome.rc, 0, outcome.err)
        return outcome

    def public_pycore(self):
        """A pycore that every user may run; the build may lie where others may not look."""
        place = os.path.join(self.folder, "pycore")
        shutil.copy(support.PYCORE, place)
        os.chmod(place, 0o755)
        return place

    def check_stacks(self, document, pid, threads, python, busy=False):
        """Names and numbers of threads, and where they stand."""
        self.assertEqual(document["source"]["pid"], pid)
        process, = document["source"]["processes"]
        self.assertEqual(process["pid"], pid)
        self.assertEqual(process["python"]["version"].split("+")[0], python.full)
        found = {thread["name"]: thread for thread in document["snapshots"][0]["threads"]}
        for name, function in (("MainThread", "waiting"), ("parked", "parked")):
            self.assertIn(name, found)
            thread = found[name]
            if threads.get(name):
                self.assertEqual(thread["tid"], threads[name], name)
            self.assertEqual(thread["pid"], pid)
            self.assertIn(function, [frame["function"] for frame in support.of_python(thread)])
            natives = [frame for frame in thread["frames"] if frame["kind"] == "native"]
            # The container's C library may be stripped.
            self.assertTrue(natives and natives[0]["module"].startswith(("libc", "libpthread")), thread["frames"])
            self.assertIn("_start", [frame["function"] for frame in found["MainThread"]["frames"]])
        if busy:
            self.assertIn("busy", found)
        return found

    def check_all(self, contained, python, *options, exe=None, run=None, pid=None, threads=None):
        """A complete report, with argv, exe, files that were found, source lines."""
        pid = pid or contained.pid
        run = run or support.pycore
        outcome = support.until_complete(lambda: run("snap", pid, "-f", "json", *options))
        self.assertEqual(outcome.rc, 0, outcome.err)
        document = json.loads(outcome.out)
        found = self.check_stacks(document, pid, contained.threads if threads is None else threads,
                                  python)
        process, = document["source"]["processes"]
        self.assertEqual(process["argv"][1:], contained.command[1:])
        if exe:
            self.assertEqual(process["exe"], exe)
        self.assertNotIn("mapped files", " ".join(document["notes"]))
        if "busy" in contained.command:
            text = support.until_complete(lambda: run("snap", pid, "-n", "5", "-i", "5ms", *options))
            self.assertEqual(text.rc, 0, text.err)
            self.assertIn(SEEN, text.out)
        return found

    def check_refused(self, outcome, pid, *words):
        """The table of threads, the rule that keeps us out, and a cure."""
        self.assertEqual(outcome.rc, 1, outcome.err)
        document = json.loads(outcome.out)
        self.assertFalse(document["source"]["complete"])
        self.assertIn(pid, [thread["tid"] for thread in document["snapshots"][0]["threads"]])
        self.assertEqual([frame for thread in document["snapshots"][0]["threads"]
                          for frame in thread["frames"]], [])
        notes = " ".join(document["notes"])
        for word in words:
            self.assertIn(word, notes)

    def check_one_line(self, outcome, *words):
        self.assertEqual((outcome.rc, outcome.out), (2, ""), outcome.err)
        self.assertEqual(outcome.err.count("\n"), 1, outcome.err)
        for word in words:
            self.assertIn(word, outcome.err)


class FromOutside(Case):
    """pycore on the host, the program in a container."""

    def setUp(self):
        super().setUp()
        self.need_root()

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_namespaces_of_pids_and_mounts(self, python):
        plan = {"unshare": ["mount", "pid"], "proc": ""}
        with self.contained(plan, python) as contained:
            self.assertEqual(contained.inner, 1)
            self.check_all(contained, python, exe=python.program)

    def make_root(self):
        python = trees.usual_python()
        root = trees.Root(python, os.path.join(self.folder, "root"))
        with open(PROGRAM) as stream:
            root.write("/tmp/inside.py", stream.read())
        inside = support.Interpreter(**dict(vars(python), build="copy"))
        inside.build = "copy"
        return root, inside

    def test_root_that_nobody_else_has(self):
        """Its files are in a file system that is mounted nowhere else."""
        root, python = self.make_root()
        plan = {"unshare": ["mount", "pid"], "tmpfs": root.folder, "proc": ""}
        with self.contained(plan, python, "/tmp/inside.py",
                            ["busy"]) as contained:
            self.assertEqual(os.readlink("/proc/%d/root" % contained.pid), "/")
            shutil.rmtree(root.folder)
            found = self.check_all(contained, python, exe=python.program)
            modules = {frame["module"] for frame in found["MainThread"]["frames"]
                       if frame["kind"] == "native"}
            self.assertIn("libc.so.6", modules)
            # Without the privilege for map_files, by the names below its root.
            weaker = {"drop": [CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE]}
            self.check_all(contained, python, run=lambda *a: self.as_plan(weaker, *a))

    def test_chroot(self):
        """The kernel names its files as the host does, it names them below its root."""
        root, python = self.make_root()
        with self.contained({"chroot": root.folder}, python, "/tmp/inside.py",
                            ["busy"]) as contained:
            self.check_all(contained, python, exe=root.folder + python.program)
            weaker = {"drop": [CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE]}
            self.check_all(contained, python, run=lambda *a: self.as_plan(weaker, *a))

    def test_chroot_in_a_container(self):
        """Names that are right neither here nor below its root."""
        root, python = self.make_root()
        outer = os.path.join(self.folder, "outer")
        os.makedirs(outer + "/proc")
        os.rename(root.folder, outer + "/jail")
        plan = {"unshare": ["mount", "pid"], "tmpfs": outer, "proc": "", "chroot": "/jail"}
        with self.contained(plan, python, "/tmp/inside.py",
                            ["busy"]) as contained:
            shutil.rmtree(outer)
            self.check_all(contained, python, exe="/jail" + python.program)
            weaker = {"drop": [CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE]}
            self.check_all(contained, python, run=lambda *a: self.as_plan(weaker, *a))

    def test_another_program_under_the_same_name(self):
        """Outside, other builds lie where the container has its own: they are not taken."""
        root, python = self.make_root()
        plan = {"unshare": ["mount", "pid"], "pivot": root.folder, "proc": ""}
        with self.contained(plan, python, "/tmp/inside.py",
                            ["busy"]) as contained:
            with open("/proc/%d/maps" % contained.pid) as stream:
                inodes = {line.split()[4] for line in stream if "libc" in line}
            self.assertNotIn(str(os.stat("/lib/x86_64-linux-gnu/libc.so.6").st_ino)
                             if os.path.exists("/lib/x86_64-linux-gnu/libc.so.6") else "-", inodes)
            self.check_all(contained, python, exe=python.program)

    def test_containers_in_containers(self):
        """pycore in the outer one: its numbers are neither ours nor the target's."""
        python = trees.usual_python()
        plan = {"unshare": ["mount", "pid"], "proc": ""}
        with self.contained(plan, python, depth=2, before=enter(plan)) as contained:
            outer = child_of(contained.target.pid)
            numbers = {}
            for name, tid in contained.threads.items():
                with open("/proc/%d/task/%d/status" % (contained.pid, tid)) as stream:
                    columns = [line for line in stream if line.startswith("NSpid:")][0].split()
                self.assertEqual(len(columns), 4)
                numbers[name] = int(columns[2])
            joined = {"join": {"pid": outer, "namespaces": ["pid"]}, "unshare": ["mount"],
                      "proc": ""}
            self.check_all(contained, python, run=lambda *a: self.as_plan(joined, *a),
                           pid=numbers["MainThread"], threads=numbers)


class Users(Case):
    def setUp(self):
        super().setUp()
        self.need_root()
        self.pycore = self.public_pycore()
        self.python = trees.usual_python()
        # Nobody must be able to read the interpreter: a root of its own has one.
        self.root = trees.Root(self.python, os.path.join(self.folder, "root"))
        with open(PROGRAM) as stream:
            self.root.write("/tmp/inside.py", stream.read())
        self.inside = support.Interpreter(**dict(vars(self.python)))
        self.inside.build = "copy"
        trees.run("chmod", "-R", "a+rX", self.root.folder)

    def as_nobody(self, *arguments):
        return self.as_plan({"uid": NOBODY}, *arguments, pycore=self.pycore)

    def of_nobody(self, **more):
        plan = {"uid": NOBODY, "unshare": ["user", "mount", "pid"], "pivot": self.root.folder}
        plan.update(more)
        return self.contained(plan, self.inside, "/tmp/inside.py", ["busy"])

    def test_own_user_namespace(self):
        """As rootless containers have it: root inside is a plain user outside."""
        with self.of_nobody() as contained:
            self.check_all(contained, self.inside, exe=self.python.program)
            if os.path.exists("/proc/sys/kernel/yama/ptrace_scope"):
                self.skipTest("Yama keeps plain users out")
            # Who made the namespace has all privileges over it.
            self.check_all(contained, self.inside, run=self.as_nobody)

    def test_user_namespaces_side_by_side(self):
        with self.of_nobody() as contained:
            outcome = self.as_plan({"uid": NOBODY, "unshare": ["user"]}, "snap", contained.pid,
                                   "-f", "json", pycore=self.pycore)
            self.check_refused(outcome, contained.pid, "user namespace")

    def test_root_without_the_capability(self):
        """The root of most containers."""
        with self.of_nobody() as contained:
            outcome = self.as_plan({"drop": [CAP_SYS_PTRACE]}, "snap", contained.pid, "-f", "json")
            self.check_refused(outcome, contained.pid, "CAP_SYS_PTRACE", "SYS_PTRACE")

    def test_root_over_its_own_without_the_capability(self):
        """Same ids: no capability is needed."""
        with self.contained({}, self.python) as contained:
            # A process with more capabilities than we have is out of reach all the same.
            drop = {"drop": [CAP_SYS_PTRACE]}
            outcome = self.as_plan(drop, "snap", contained.pid, "-f", "json")
            self.check_refused(outcome, contained.pid, "CAP_SYS_PTRACE", "--cap-add=SYS_PTRACE")
        with self.contained({"drop": [CAP_SYS_PTRACE]}, self.python) as contained:
            self.check_all(contained, self.python, run=lambda *a: self.as_plan(drop, *a))

    def test_plain_users(self):
        if os.path.exists("/proc/sys/kernel/yama/ptrace_scope"):
            self.skipTest("Yama keeps plain users out")
        plan = {"chroot": self.root.folder}
        with self.contained(plan, self.inside, "/tmp/inside.py",
                            ["busy"]) as contained:
            outcome = self.as_nobody("snap", contained.pid, "-f", "json")
            self.check_refused(outcome, contained.pid, "belongs to user 0", "sudo pycore")

    def test_hidden_processes(self):
        """/proc mounted with hidepid: a process that is there is not called missing."""
        with self.contained({}, self.python) as contained:
            for option in ("hidepid=1", "hidepid=2"):
                with self.subTest(option):
                    plan = {"unshare": ["mount"], "proc": option}
                    inner = self.as_plan(plan, "snap", contained.pid, "-f", "json")
                    self.assertEqual(inner.rc, 0, inner.err)  # root is not kept out
                    outcome = self.nested(plan, {"uid": NOBODY}, "snap", contained.pid)
                    self.check_one_line(outcome, str(contained.pid), "hidepid", "sudo pycore")
                    outcome = self.nested(plan, {"uid": NOBODY}, "snap", 2 ** 22 - 1)
                    self.check_one_line(outcome, "no process")

    def nested(self, outer, inner, *arguments):
        # The second step is read as nobody.
        script = os.path.join(self.folder, "enter.py")
        shutil.copy(ENTER, script)
        os.chmod(script, 0o755)
        python = self.python_for_all()
        return self.as_plan(outer, script, json.dumps(inner), self.pycore, *arguments,
                            pycore=python)

    def python_for_all(self):
        for python in ("/usr/bin/python3",):
            if os.access(python, os.X_OK):
                return python
        self.skipTest("no Python that every user may run")


class FromInside(Case):
    """pycore in the container itself."""

    def setUp(self):
        super().setUp()
        self.need_root()
        self.python = trees.usual_python()

    def check_inside(self, contained, python, join, **more):
        threads = {name: inner_ids(contained.pid)[tid] for name, tid in contained.threads.items()}
        self.check_all(contained, python, run=lambda *a: self.as_plan(join, *a, **more),
                       pid=contained.inner, threads=threads)

    def test_same_files(self):
        plan = {"unshare": ["mount", "pid"], "proc": ""}
        with self.contained(plan, self.python) as contained:
            join = {"join": {"pid": contained.pid, "namespaces": ["pid", "mount"]}}
            self.check_inside(contained, self.python, join)

    def test_root_of_its_own(self):
        root = trees.Root(self.python, os.path.join(self.folder, "root"))
        with open(PROGRAM) as stream:
            root.write("/tmp/inside.py", stream.read())
        trees.put(support.PYCORE, root.folder + "/bin/pycore")
        for file in trees.libraries_of(support.PYCORE):
            trees.put(os.path.realpath(file), root.folder + file)
        inside = support.Interpreter(**dict(vars(self.python)))
        inside.build = "copy"
        plan = {"unshare": ["mount", "pid"], "pivot": root.folder, "proc": ""}
        with self.contained(plan, inside, "/tmp/inside.py",
                            ["busy"]) as contained:
            join = {"join": {"pid": contained.pid, "namespaces": ["pid", "mount"]}}
            self.check_inside(contained, inside, join, pycore="/bin/pycore")

    def test_proc_of_another_namespace(self):
        """Its numbers are not those that system calls take."""
        with self.contained({}, self.python) as contained:
            outcome = self.as_plan({"unshare": ["pid"]}, "snap", contained.pid)
            self.check_one_line(outcome, "/proc", "PID namespace", "mount")

    def test_no_proc(self):
        if support.is_sanitized():
            self.skipTest("AddressSanitizer complains of the missing /proc itself")
        with self.contained({}, self.python) as contained:
            outcome = self.as_plan({"unshare": ["mount"], "hide": "/proc"}, "snap", contained.pid)
            self.check_one_line(outcome, "/proc is not mounted")


class Sandboxed(Case):
    """System calls that a seccomp filter refuses to pycore."""

    def setUp(self):
        super().setUp()
        self.python = trees.usual_python()
        scope = "/proc/sys/kernel/yama/ptrace_scope"
        if os.geteuid() != 0 and os.path.exists(scope):
            self.skipTest("Yama keeps plain users out")

    def test_reading(self):
        with self.contained({}, self.python) as contained:
            for number in (errno.EPERM, errno.ENOSYS, errno.EACCES):
                with self.subTest(errno=number):
                    plan = {"refuse": {"process_vm_readv": number}}
                    self.check_all(contained, self.python, run=lambda *a: self.as_plan(plan, *a))
                    self.check_all(contained, self.python, "--stop=all",
                                   run=lambda *a: self.as_plan(plan, *a))

    def test_stopping(self):
        """Sleeping threads need no stop; of the others it is said what would help."""
        with self.contained({}, self.python, arguments=["busy"]) as contained:
            for number in (errno.EPERM, errno.ENOSYS):
                with self.subTest(errno=number):
                    plan = {"refuse": {"process_vm_readv": number, "ptrace": number}}
                    outcome = self.as_plan(plan, "snap", contained.pid, "-f", "json")
                    self.assertIn(outcome.rc, (0, 1), outcome.err)
                    document = json.loads(outcome.out)
                    found = self.check_stacks(document, contained.pid, contained.threads,
                                              self.python, busy=True)
                    notes = " ".join(found["busy"]["notes"])
                    self.assertIn("not stopped", notes)
                    self.assertIn("--cap-add=SYS_PTRACE", notes)
                    self.assertIn("seccomp", notes)
                    for name in ("MainThread", "parked"):
                        self.assertEqual(found[name]["notes"], [])

    def test_stopping_alone(self):
        with self.contained({}, self.python) as contained:
            plan = {"refuse": {"ptrace": errno.EPERM}}
            self.check_all(contained, self.python, run=lambda *a: self.as_plan(plan, *a))


if __name__ == "__main__":
    tap.main()
