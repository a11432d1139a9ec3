#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report over several processes: --children, --pids, --name. Each process once with what is its
own, and together the sums; those that come and go are followed; what is no Python is named."""

import collections
import json
import os
import pwd
import re
import signal
import subprocess
import time
import unittest

import harm
import support
from harm import AT_LEISURE

PROGRAM = support.path("tests/programs/processes.py")
PYTHONS = ("3.6", "3.9", "3.11", "3.14")


def python_of_the_suite():
    for name in ("3.11", "3.12", "3.10", "3.9", "3.8"):
        for python in support.interpreters():
            if python.name == name:
                return python
    raise unittest.SkipTest("no usual Python is on this machine")


def by_pid(document):
    return {process["pid"]: process for process in document["source"]["processes"]}


def pythons(document):
    """Those with stacks."""
    return [process for process in document["source"]["processes"] if process["why"] is None]


def functions_of(document, pid, file=None):
    """Samples of a process by the innermost Python function, of that file."""
    profile = document["profile"]
    seen = collections.Counter()
    for stack in profile["stacks"]:
        if stack["pid"] == pid:
            for index in stack["frames"]:
                if (profile["frames"][index]["kind"] == "python" and
                        file in (None, profile["frames"][index]["file"])):
                    seen[profile["frames"][index]["function"]] += stack["samples"]
                    break
    return seen


class TestCase(support.TestCase):
    def start(self, *arguments, python=None, **options):
        return support.start_target(python or python_of_the_suite(), PROGRAM, *arguments, **options)

    def check_sums(self, document):
        """What the processes have is what the whole has."""
        profile, processes = document["profile"], document["profile"]["processes"]
        for key in ("samples", "samples_working"):
            self.assertEqual(sum(process[key] for process in processes), profile[key], key)
        for state, samples in profile["states"].items():
            self.assertEqual(sum(process["states"].get(state, 0) for process in processes), samples,
                             state)
        self.assertEqual(sum(process["threads"] for process in processes), len(profile["threads"]))
        self.assertEqual(sum(process["cpu_ns"] or 0 for process in processes),
                         profile["process_cpu_ns"])
        self.assertLessEqual(max(process["pause_max_ns"] for process in processes),
                             profile["pause_max_ns"])
        self.assertLessEqual(profile["pause_total_ns"],
                             sum(process["pause_total_ns"] for process in processes))
        for process in processes:
            own = [thread for thread in profile["threads"] if thread["pid"] == process["pid"]]
            self.assertEqual(process["threads"], len(own))
            self.assertEqual(process["samples"], sum(thread["samples"] for thread in own))
            stacks = [stack for stack in profile["stacks"] if stack["pid"] == process["pid"]]
            self.assertEqual(process["samples"], sum(stack["samples"] for stack in stacks))
            facts = by_pid(document)[process["pid"]]
            self.assertEqual(process["snapshots"], facts["snapshots"])


class Servers(TestCase):
    """A server whose workers are there all the time."""

    @support.each_python()
    def test_prefork(self, python):
        if python.name not in PYTHONS:
            self.skipTest("the versions of this test are %s" % ", ".join(PYTHONS))
        with self.start("prefork", 4, python=python) as target:
            workers = [int(word) for word in target.lines[-1].split()[1:]]
            document = support.pycore_json("snap", AT_LEISURE, target.pid, "--children", "-n", 20, "-i",
                                           "50ms")
        self.check_sums(document)
        self.assertEqual(document["source"]["pid"], target.pid)
        self.assertEqual(document["source"]["processes"][0]["pid"], target.pid)
        self.assertEqual(sorted(process["pid"] for process in pythons(document)),
                         sorted([target.pid] + workers))
        for process in pythons(document):
            self.assertEqual(process["python"]["version"], python.full)
            self.assertEqual(process["snapshots"], 20)
            self.assertFalse(process["ended"])
            if process["pid"] != target.pid:
                self.assertEqual(process["parent"], target.pid)
        hottest = max(document["profile"]["processes"], key=lambda process: process["cpu_ns"])
        self.assertEqual(hottest["pid"], workers[0])
        self.assertEqual(document["profile"]["processes"][0]["pid"], workers[0])
        self.assertGreater(functions_of(document, workers[0])["busy_in_worker"], 0)
        for worker in workers[1:]:
            self.assertEqual(set(functions_of(document, worker)), {"idle_in_worker"})
        # Workers are copies of one another: each has a GIL and threads of its own.
        for thread in document["profile"]["threads"]:
            self.assertTrue(thread["known_to_python"], thread)
            self.assertIn(thread["name"], ("MainThread", "helper"))
        others = [process for process in document["source"]["processes"] if process["why"]]
        self.assertEqual({process["why"] for process in others}, {"not a Python process"})
        self.assertEqual(sorted(process["argv"][0] for process in others),
                         ["sh", "sleep", "sleep"])
        self.assertTrue(all(process["snapshots"] == 0 for process in others))

    def test_dump(self):
        with self.start("prefork", 4) as target:
            workers = [int(word) for word in target.lines[-1].split()[1:]]
            document = support.pycore_json("snap", AT_LEISURE, target.pid, "--children", "--stop=all")
            text = support.pycore("snap", AT_LEISURE, target.pid, "--children")
        snapshot = document["snapshots"][0]
        self.assertEqual(sorted({thread["pid"] for thread in snapshot["threads"]}),
                         sorted([target.pid] + workers))
        self.assertEqual(sorted(process["pid"] for process in snapshot["processes"]),
                         sorted([target.pid] + workers))
        self.assertEqual(snapshot["pause_ns"],
                         max(process["pause_ns"] for process in snapshot["processes"]))
        self.assertFalse(snapshot["atomic"])
        for thread in snapshot["threads"]:
            names = [frame["function"] for frame in thread["frames"]]
            if thread["name"] == "helper":
                self.assertIn("idle_in_worker", names)
            elif thread["pid"] == workers[0]:
                self.assertIn("busy_in_worker", names)
        self.assertEqual(text.rc, 0)
        self.assertIn("Threads of 5 processes: ", text.out)
        # The idle workers are one stack.
        self.assertRegex(text.out, r"3 threads of 3 processes[^\n]*: MainThread")
        self.assertRegex(text.out, r"(?m)^PROCESSES")
        self.assertRegex(text.out, r"No stacks \(not a Python process\): sleep 1000 \(\d+\)")

    def test_text_and_md(self):
        with self.start("prefork", 2) as target:
            workers = [int(word) for word in target.lines[-1].split()[1:]]
            text = support.pycore("snap", AT_LEISURE, target.pid, "--subprocesses", "-n", 10, "-i", "50ms")
            md = support.pycore("snap", AT_LEISURE, target.pid, "--children", "-n", 10, "-i", "50ms",
                                "-f", "md")
        self.assertEqual((text.rc, md.rc), (0, 0))
        self.assertIn("Hotspots of 3 processes: ", text.out)
        self.assertRegex(text.out, r"(?m)^ +%d +%d +[\d.]+ +2 " % (workers[0], target.pid))
        self.assertRegex(text.out, r"process %d used \d+ %% of a processor" % workers[0])
        self.assertRegex(text.out, r"(?m)^ +%d +%d +MainThread " % (workers[0], workers[0]))
        self.assertIn("## Processes (", md.out)
        self.assertRegex(md.out, r"\| %d \| %d \| MainThread|\| %d \| %d \| `MainThread`"
                         % (workers[0], workers[0], workers[0], workers[0]))

    def test_only_the_process_itself(self):
        """Without --children its children cost nothing, and the report is as ever."""
        with self.start("prefork", 2) as target:
            document = support.pycore_json("snap", AT_LEISURE, target.pid, "-n", 3, "-i", "50ms")
        self.assertEqual(len(document["source"]["processes"]), 1)
        self.assertNotIn("processes", document["profile"])

    def test_no_children(self):
        """With --children, but without any, the report is that of the one."""
        with support.start_target(python_of_the_suite(), support.path("tests/programs/waits.py")) as target:
            alone = support.pycore_json("snap", AT_LEISURE, target.pid, "--stop=all")
            with_children = support.pycore_json("snap", AT_LEISURE, target.pid, "--children", "--stop=all")
        self.assertEqual(len(with_children["source"]["processes"]), 1)
        for document in (alone, with_children):
            for thread in document["snapshots"][0]["threads"]:
                self.assertEqual(thread["pid"], target.pid)
        self.assertNotIn("processes", with_children["snapshots"][0])

    def test_pool(self):
        for method in ("fork", "spawn", "forkserver"):
            with self.subTest(method=method), self.start("pool", method) as target:
                deadline, working = time.monotonic() + harm.PATIENCE_S, ()
                while len(working) < 2:  # on a busy machine one of them may do it all for a while
                    self.assertLess(time.monotonic(), deadline, working)
                    document = support.pycore_json("snap", AT_LEISURE, target.pid, "--children", "-n",
                                                   20, "-i", "50ms")
                    self.check_sums(document)
                    self.assertTrue(document["source"]["complete"])
                    working = [process["pid"] for process in document["profile"]["processes"]
                               if functions_of(document, process["pid"])["busy_for"]]
                self.assertEqual(len(working), 2)

    def test_below_a_shell(self):
        """A shell between two of them, and a child of a child."""
        python = python_of_the_suite()
        other = [candidate for candidate in support.interpreters()
                 if candidate.version[:2] != python.version[:2] and candidate.build == "release"]
        if not other:
            self.skipTest("there is one version of Python on this machine only")
        with self.start("shell", other[-1].path, python=python) as target:
            document = support.pycore_json("snap", AT_LEISURE, target.pid, "--children", "-n", 20, "-i",
                                           "50ms")
            text = support.pycore("snap", AT_LEISURE, target.pid, "--children", "-n", 2)
        self.check_sums(document)
        self.assertEqual([process["python"]["version"] for process in pythons(document)],
                         [python.full, other[-1].full, other[-1].full])
        shells = [process for process in document["source"]["processes"] if process["why"]]
        self.assertEqual([process["argv"][0] for process in shells], ["sh"])
        grandchild = pythons(document)[1]
        self.assertEqual(grandchild["parent"], shells[0]["pid"])
        self.assertEqual(pythons(document)[2]["parent"], grandchild["pid"])
        self.assertGreater(functions_of(document, pythons(document)[2]["pid"])["busy_in_worker"], 0)
        self.assertIn(" and others", text.out)
        # The root need not be a Python.
        command = "%s %s grandchild; true" % (python.path, PROGRAM)
        with support.start_program(["sh", "-c", command]) as shell:
            document = support.pycore_json("snap", AT_LEISURE, shell.pid, "--children")
        self.assertEqual(document["source"]["pid"], shell.pid)
        self.assertEqual(len(pythons(document)), 2)


class Followed(harm.Case, TestCase):
    """Those that come, end, and become other programs."""

    def put(self, name):
        """The file for which one of them waits."""
        with open(os.path.join(self.folder, name), "w"):
            pass

    def test_short_lived(self):
        # Of those that live 0.3 s up to 16 fit; how many are met depends on how busy the machine is.
        for lifetime_s in (0.3, 1, 4, 16):
            sampled = self.check_short_lived(lifetime_s)
            if sampled:
                break
        self.assertGreaterEqual(sampled, 1)

    def check_short_lived(self, lifetime_s):
        with self.start("churn", lifetime_s) as target:
            document = support.pycore_json("snap", AT_LEISURE, target.pid, "--children", "-d",
                                           max(5, 2 * lifetime_s), "-i", "50ms")
        self.check_sums(document)
        self.assertTrue(document["source"]["complete"], document["notes"])
        children = [process for process in pythons(document) if process["pid"] != target.pid]
        sampled = [process for process in children if process["snapshots"]]
        self.assertGreaterEqual(sum(process["ended"] for process in sampled), len(sampled) - 1)
        # The next one begins after the end of the last one.
        sampled.sort(key=lambda process: process["first_ns"])
        for process, following in zip(sampled, sampled[1:]):
            self.assertLess(process["last_ns"], following["first_ns"])
        for process in sampled:
            self.assertLessEqual(set(functions_of(document, process["pid"], PROGRAM)),
                                 {"busy_for", "forked"})
        self.assertEqual(by_pid(document)[target.pid]["snapshots"],
                         document["profile"]["snapshots"])
        return len(sampled)

    def test_becomes_another_program_and_comes_back(self):
        python = python_of_the_suite()
        with self.start("parent_of_becoming", python.path, self.folder, python=python) as target:
            def seen(document, name):
                """Samples of the child in that function."""
                return sum(functions_of(document, process["pid"])[name]
                           for process in document["source"]["processes"]
                           if process["parent"] == target.pid)

            def is_gone(document):
                return any("which is no Python" in note for note in document["notes"])

            with self.running(target.pid, "--children", AT_LEISURE, interval="50ms") as run:
                run.look_until(lambda document: seen(document, "becomes"), "the child")
                self.put("go")
                run.look_until(is_gone, "another program")
                self.put("back")
                run.look_until(lambda document: seen(document, "busy_in_worker"), "its return")
        document = run.document
        self.assertEqual(run.rc, 1)
        self.check_sums(document)
        child = [process for process in pythons(document) if process["parent"] == target.pid]
        self.assertEqual(len(child), 1)
        self.assertGreater(seen(document, "becomes"), 0)
        self.assertGreater(seen(document, "busy_in_worker"), 0)
        self.assertLess(child[0]["snapshots"], document["profile"]["snapshots"])
        self.assertTrue(is_gone(document), document["notes"])

    def test_mother_ends_first(self):
        for count in (60, 600):
            with self.start("mother") as target:
                child = int(target.lines[-1].split()[1])
                with self.running(target.pid, "--children", AT_LEISURE, count=count, interval="50ms") as run:
                    run.await_line("the first snapshot is taken")
                    os.kill(target.pid, signal.SIGKILL)
                    run.wait()
            document = run.document
            self.assertEqual(run.rc, 0, run.err)
            self.check_sums(document)
            processes = by_pid(document)
            self.assertFalse(processes[child]["ended"])
            self.assertGreater(processes[target.pid]["snapshots"], 0)
            self.assertTrue(document["source"]["complete"], document["notes"])
            if processes[target.pid]["ended"]:  # else she was killed too late
                break
        self.assertTrue(processes[target.pid]["ended"])
        self.assertGreater(processes[child]["snapshots"], processes[target.pid]["snapshots"])

    def test_all_end(self):
        with self.start("brief", self.folder) as target:
            with self.running(target.pid, "--children", AT_LEISURE, count=1000, interval="50ms") as run:
                run.await_line("the first snapshot is taken")
                self.put("go")
                run.wait()
        document = run.document
        self.assertEqual(run.rc, 1, run.err)
        self.assertTrue(all(process["ended"] for process in document["source"]["processes"]))
        self.assertTrue(any(re.match(r"ended after \d+ of 1000 snapshots: all processes have ended",
                                     note) for note in document["notes"]), document["notes"])
        self.check_sums(document)


class Listed(TestCase):
    """--pids"""

    def test_some_of_them(self):
        with self.start("prefork", 3) as target:
            workers = [int(word) for word in target.lines[-1].split()[1:]]
            pids = ",".join(map(str, (workers[1], workers[0], workers[1])))
            document = support.pycore_json("snap", AT_LEISURE, "--pids", pids, "-n", 10, "-i", "50ms")
        self.check_sums(document)
        self.assertEqual([process["pid"] for process in document["source"]["processes"]],
                         [workers[1], workers[0]])

    def test_one_that_is_gone(self):
        with subprocess.Popen(["true"]) as gone:
            gone.wait()
        with self.start("prefork", 2) as target:
            worker = int(target.lines[-1].split()[1])
            document = support.pycore_json("snap", AT_LEISURE, "--pids",
                                           "%d,%d" % (worker, gone.pid), ok=(1,))
            nothing = support.pycore("snap", "--pids", "%d" % gone.pid)
        self.assertFalse(document["source"]["complete"])
        self.assertIn("there is no process %d" % gone.pid, document["notes"])
        self.assertEqual([process["pid"] for process in document["source"]["processes"]], [worker])
        self.assertEqual(nothing.rc, 2)
        self.assertRegex(nothing.err, r"^pycore: none of these processes is there any more\n$")

    def test_one_that_is_no_python(self):
        with self.start("prefork", 1) as target, subprocess.Popen(["sleep", "60"]) as sleeper:
            try:
                harm.until_asleep(sleeper.pid)
                document = support.pycore_json("snap", "--pids",
                                               "%d,%d" % (sleeper.pid, target.pid), ok=(1,))
                nothing = support.pycore("snap", "--pids", "%d" % sleeper.pid)
            finally:
                sleeper.kill()
        self.assertEqual(by_pid(document)[sleeper.pid]["why"], "not a Python process")
        self.assertIn("no stacks of process %d: not a Python process" % sleeper.pid,
                      document["notes"])
        self.assertEqual(nothing.rc, 2)
        self.assertIn("not a Python process", nothing.err)

    def test_usage(self):
        for words in (["--pids", "1,x"], ["--pids", ""], ["--pids", "1,"], ["--pids", "1", "2"],
                      ["--pids", "1", "--name", "x"], ["--name", ""], ["--name", "x", "-p", "1"],
                      ["--children"], ["--pids", "1,2", "--save", "x.pycore"],
                      ["1", "--children", "--save", "x.pycore"], ["1,2"]):
            outcome = support.pycore("snap", *words)
            self.assertEqual(outcome.rc, 64, words)
            self.assertEqual(outcome.out, "")
            self.assertRegex(outcome.err, r"\Apycore: [^\n]+\n\Z")


class Named(TestCase):
    """--name"""

    def test_pattern(self):
        with self.start("prefork", 2) as target:
            workers = [int(word) for word in target.lines[-1].split()[1:]]
            for pattern in ("processes.py", PROGRAM, "*processes.py prefork*"):
                with self.subTest(pattern=pattern):
                    document = support.pycore_json("snap", "--name", pattern, "-n", 5, "-i", "50ms",
                                                   ok=(0, 1))
                    found = {process["pid"] for process in pythons(document)}
                    self.assertLessEqual(set(workers + [target.pid]), found)
                    self.check_sums(document)
                    self.assertNotIn(os.getpid(), found)

    def test_no_match(self):
        outcome = support.pycore("snap", "--name", "no-such-program-here")
        self.assertEqual(outcome.rc, 2)
        self.assertRegex(outcome.err, r"\Apycore: no process has a name, .*\"no-such-program-here\"")

    def test_only_another_program(self):
        with subprocess.Popen(["sleep", "31.4159"]) as sleeper:
            try:
                harm.until_asleep(sleeper.pid)
                outcome = support.pycore("snap", "--name", "31.4159")
            finally:
                sleeper.kill()
        self.assertEqual(outcome.rc, 2)
        self.assertIn("no Python process", outcome.err)
        self.assertIn(str(sleeper.pid), outcome.err)


class Refused(TestCase):
    """One that may not be read costs only itself."""

    def test_plain_user(self):
        if os.geteuid() != 0:
            self.skipTest("needs to be root, to have processes of two users")
        try:
            user = pwd.getpwnam("nobody")
        except KeyError:
            self.skipTest("there is no user nobody")

        def demote():
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)

        def may_run(*command):
            try:
                subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=demote, check=True)
            except (OSError, subprocess.CalledProcessError):
                return False
            return True
        usable = [python for python in support.interpreters()
                  if python.build == "release" and may_run(python.path, "-c", "")]
        if not usable or not may_run(support.PYCORE, "--version"):
            self.skipTest("nobody may run no Python, or not this pycore")
        if os.path.exists("/proc/sys/kernel/yama/ptrace_scope"):
            with open("/proc/sys/kernel/yama/ptrace_scope") as stream:
                if stream.read().strip() != "0":
                    self.skipTest("Yama keeps plain users from all processes")
        idle = "import time\nprint('READY', flush=True)\nwhile True: time.sleep(0.1)"
        with self.start("prefork", 1) as target, \
                subprocess.Popen([usable[-1].path, "-c", idle], stdout=subprocess.PIPE,
                                 preexec_fn=demote) as own:
            try:
                own.stdout.readline()
                outcome = subprocess.run(
                    [support.PYCORE, "snap", "--pids", "%d,%d" % (own.pid, target.pid), "-f",
                     "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=demote,
                    env=support.clean_environment())
            finally:
                own.kill()
        self.assertEqual(outcome.returncode, 1, outcome.stderr)
        document = json.loads(outcome.stdout.decode())
        processes = by_pid(document)
        self.assertIsNone(processes[own.pid]["why"])
        self.assertIn("belongs to user 0", processes[target.pid]["why"])
        self.assertEqual({thread["pid"] for thread in document["snapshots"][0]["threads"]},
                         {own.pid})
        self.assertTrue(any(note.startswith("no stacks of process %d" % target.pid)
                            for note in document["notes"]))


if __name__ == "__main__":
    unittest.main()
