#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Native stacks in cores: frame for frame what eu-stack and gdb say, in the right order with
Python's; broken stacks end with a note and invent nothing."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import native_oracle
import oracle
import support
import tap
from native_oracle import check_order, check_places, eu_stack, gdb, place, threads

EARLY = True
LIMIT_S = 900
LONG = os.environ.get("PYCORE_LONG", "") not in ("", "0")
# The whole matrix; the others get a part of it.
FULL = ("3.12", "3.15") if support.memory_errors_only() else ("3.6", "3.12", "3.15")
USUAL = ("3.12", "3.11", "3.13", "3.14", "3.10", "3.15")

# What is known of the oracles: the last function whose caller they still find, where neither of
# them comes to the right end.
# context: the end of a stack made by makecontext() is __start_context. It is called from nowhere,
# so that its address as a return address is its own first byte, and both apply the rules of the
# function before it to it.
KNOWN = {"context": "context_main"}
# Code without tables whose callers have no chain of frame pointers: right, but no more than likely.
GUESSES = ("notables_",)

LEAVES = [place("leaf_" + leaf, ("fp", "place_plain", 1), leaf=("base", "leaf_" + leaf))
          for leaf in ("pause", "nanosleep", "futex", "sem", "epoll", "read", "poll")]
PYTHON_LEAVES = [place(leaf, leaf=leaf) for leaf in (
    "leaf_sleep", "leaf_lock", "leaf_event", "leaf_select", "leaf_epoll", "leaf_read", "leaf_sort")]
for item in PYTHON_LEAVES:
    item["name"] = "python_" + item["name"]
SHAPES = [place("%s_%s" % (build, shape), (build, "place_" + shape, 5))
          for build in ("nofp", "fp", "slow", "stripped", "nobuildid", "debugframe", "notables",
                        "cet")
          for shape in ("plain", "alloca", "realign", "noreturn", "tail", "cold", "qsort")]
SIGNALS = [place(shape, ("nofp", "place_" + shape, 5)) for shape in (
    "signal_libc", "signal_libc_alt", "signal_trap", "signal_trap_alt", "signal_null",
    "signal_memcpy", "signal_nested")]
SIGNALS += [place("fp_" + shape, ("fp", "place_" + shape, 5)) for shape in (
    "signal_libc", "signal_trap_alt", "signal_null")]
STEPS = [place("%s_%s_%d" % (build, what, steps), (build, "place_step_" + what, steps))
         for build, what, counts in (
             ("nofp", "plt", (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 40, 200)),
             ("cet", "plt", (0, 1, 2, 3, 4, 5, 6, 7, 40)),
             ("fp", "plt", (0, 1, 2, 3)),
             ("nofp", "vdso", (1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 20, 30)),
             ("nofp", "calls", range(0, 40, 4)), ("fp", "calls", range(0, 40, 4)),
             ("slow", "calls", range(0, 40, 4)), ("debugframe", "calls", range(1, 40, 6)))
         for steps in counts]
CXX = [place(shape, ("cxx", shape, 1)) for shape in (
    "cxx_inline", "cxx_lambda", "cxx_catch", "cxx_destructor", "cxx_terminate")]
CXX += [place("throw_%d" % steps, ("cxx", "cxx_throw_step", steps))
        for steps in (10, 300, 1000, 3000, 5000)]
ODD = [place("odd_frame_pointer", ("base", "odd_frame_pointer", 1)),
       place("recurse", ("nofp", "place_recurse", 700)),
       place("context", ("nofp", "place_context", 1))]
SANDWICHES = [
    place("two", ("nofp", "place_plain", 1), ("fp", "place_alloca", 1)),
    place("four", ("nofp", "place_plain", 1), ("cxx", "cxx_lambda", 1),
          ("stripped", "place_qsort", 1), ("fp", "place_recurse", 20)),
    place("python_inside", ("fp", "place_plain", 1), ("slow", "place_qsort", 1), leaf="leaf_sleep"),
    place("handler_inside", ("nofp", "place_plain", 1), ("nofp", "place_signal_libc_alt", 1),
          ("fp", "place_plain", 1)),
    place("python_in_handler", ("nofp", "place_signal_trap", 1), ("fp", "place_realign", 1),
          leaf="leaf_lock"),
    place("while_unwinding", ("cxx", "cxx_destructor", 1), ("nofp", "place_plain", 1)),
    place("generator", ("nofp", "place_plain", 1), ("fp", "place_plain", 1), via="generator"),
    place("coroutine", ("nofp", "place_plain", 1), ("fp", "place_plain", 1), via="coroutine"),
    place("comprehension", ("nofp", "place_plain", 1), via="comprehension"),
    place("sort", ("nofp", "place_plain", 1), leaf="leaf_sleep", via="sort")]
RUNNING = [place("runs_" + leaf, ("nofp", "place_plain", 1), leaf=("base", "leaf_" + leaf),
                 runs=True) for leaf in ("spin", "vdso", "plt", "malloc")]
RUNNING += [place("runs_hot", leaf="leaf_hot", runs=True)]
SMOKE = LEAVES[:2] + PYTHON_LEAVES[:3] + SIGNALS[1:3] + SANDWICHES + RUNNING[:1] + CXX[:1]
BROKEN = [place(shape, ("fp", shape, 1)) for shape in (
    "broken_return", "broken_return_data", "broken_return_zero", "broken_chain", "broken_all")]
BROKEN += [place("notables_" + shape, ("notables", shape, 1)) for shape in (
    "broken_return", "broken_return_data", "broken_chain", "broken_all")]
BROKEN += [place("pointer_%x" % where, ("fp", "broken_pointer", where), runs=True)
           for where in (0, 0x1000, 0x7ffffffff000, 0x4141414141414140)]


def setUpModule():
    native_oracle.need_tools("gcc", "g++", "eu-stack")
    native_oracle.LIBRARIES.make()


def tearDownModule():
    native_oracle.LIBRARIES.drop()


def usual_python():
    here = {python.name: python for python in support.interpreters()}
    for name in USUAL:
        if name in here:
            return here[name]
    raise unittest.SkipTest("no Python from 3.10 on is on this machine")


def readable_by_all(file):
    """Nobody may read it, and enter all folders above."""
    folders = [file[:index] or "/" for index in range(len(file)) if file[index] == "/"]
    return all(os.stat(name).st_mode & 0o5 == 0o5 for name in folders + [file])


def analyze(core, *options, **more):
    return support.pycore_json("analyze", core, *options, ok=(0, 1), timeout=120, **more)


def by_tid(document):
    return {thread["tid"]: thread for thread in document["snapshots"][0]["threads"]}


class NativeTestCase(support.TestCase):
    def fail_with(self, problems, limit=6):
        """All problems in one message, the first ones in full."""
        if problems:
            self.fail("%d problems\n  %s" % (len(problems), "\n  ".join(problems[:limit])))

    def compare_core(self, python, core, folder, places, expected, gdb_too=True, order=True):
        """Frames, names, places and order of a core's threads; the document."""
        document = analyze(core, "--raw-native")
        eu = eu_stack("--core", core, "--executable", python.program)
        by_gdb = gdb(python.program, "-c", core) if gdb_too and shutil.which("gdb") else {}
        compared = native_oracle.Comparison()
        plans = {plan["name"]: plan for plan in places}
        modules = native_oracle.modules_of("--core=" + core, "--executable=" + python.program)
        labels = {facts["tid"]: name for name, facts in expected.items()}
        found = by_tid(document)
        self.assertEqual(set(found), set(eu))
        for tid, thread in found.items():
            label = labels.get(tid, "other")
            compared.thread(label, thread, eu[tid], by_gdb.get(tid), KNOWN.get(label))
            compared.names(label, thread, eu[tid], modules, "eu-stack")
            if label in plans and order:
                names = eu[tid].names + (by_gdb[tid].names if tid in by_gdb else [])
                problem = check_order(thread, expected[label], plans[label], names)
                problem = problem or native_oracle.check_loops(thread, python.minor <= (3, 10))
                if problem:
                    compared.problems.append("%s (tid %d): %s" % (label, tid, problem))
            self.check_kinds(label, thread, compared.problems)
        frames, inlined = check_places(document, folder, compared.problems)
        print("%s: %s; %d places checked, %d inlined calls" % (
            python.name, compared.summary(), frames, inlined))
        self.check_folded(core, document, compared.problems)
        self.fail_with(compared.problems)
        return document

    def check_kinds(self, label, thread, problems):
        """What each frame says of itself."""
        natives = native_oracle.natives_of(thread)
        for frame in natives:
            restore = frame["function"] == "__restore_rt"
            if restore and not frame.get("signal"):
                problems.append("%s: %s is no signal frame" % (label, frame["address"]))
            if frame["unwound_by"] == "scan" and not label.startswith(GUESSES):
                problems.append("%s: %s %s was guessed" % (label, frame["address"],
                                                           frame["function"]))

    def check_folded(self, core, raw, problems):
        """Without --raw-native: the same frames, but for the interpreter's own."""
        folded, raw = by_tid(analyze(core)), by_tid(raw)
        for tid, thread in folded.items():
            key = [(frame["kind"], frame["function"], frame.get("address"), frame.get("line"))
                   for frame in thread["frames"]]
            rest = iter([(frame["kind"], frame["function"], frame.get("address"), frame.get("line"))
                         for frame in raw[tid]["frames"]])
            if not all(any(one == other for other in rest) for one in key):
                problems.append("tid %d: folded frames are not among the raw ones in that order:\n"
                                "      %s" % (tid, key))
            if any("_PyEval_EvalFrame" in str(row[1]) for row in key) and \
                    any(row[0] == "python" for row in key):
                problems.append("tid %d: the evaluation loop is shown: %s" % (tid, key))
            if len([row for row in key if row[0] == "python"]) != \
                    len([1 for frame in raw[tid]["frames"] if frame["kind"] == "python"]):
                problems.append("tid %d: Python frames differ without --raw-native" % tid)

    def run_core(self, python, places, finish=("base", "crash_abort"), flags=(), env=None,
                 gdb_too=True, order=True, **plan):
        with threads(python, places, finish, flags, env, **plan) as (target, folder, expected):
            core = oracle.make_core(target, folder)
            return self.compare_core(python, core, folder, places, expected, gdb_too, order)


class Places(NativeTestCase):
    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_smoke(self, python):
        self.run_core(python, SMOKE, foreign=True)

    def check_full(self, places, **more):
        for name in FULL:
            with self.subTest(python=name):
                self.run_core(support.find_python(name), places, **more)

    def test_leaves(self):
        self.check_full(LEAVES + PYTHON_LEAVES + RUNNING)

    def test_shapes(self):
        self.check_full(SHAPES + ODD)

    def test_signals_and_steps(self):
        self.check_full(SIGNALS + STEPS)

    def test_cxx_and_sandwiches(self):
        self.check_full(CXX + SANDWICHES)

    def test_dies_between_instructions(self):
        """The thread that dies is at any instruction: of a PLT, of the vdso, of a prologue."""
        python = usual_python()
        cases = [("nofp", "place_step_plt", step) for step in range(0, 8)]
        cases += [("cet", "place_step_plt", step) for step in (0, 2, 4, 5)]
        cases += [("nofp", "place_step_vdso", step) for step in (3, 6, 9)]
        cases += [("nofp", "place_step_calls", step) for step in (1, 3, 20)]
        for case in cases if LONG else cases[::2]:
            with self.subTest(case="%s %s %d" % case):
                document = self.run_core(python, [], case)
                self.assertEqual(document["source"]["signal"]["name"], "SIGTRAP")

    def test_crashes(self):
        python = usual_python()
        for finish, name, address in (
                (("base", "crash_call_null"), "SIGSEGV", "0x0"),
                (("base", "crash_call_data"), "SIGSEGV", None),
                (("base", "crash_store"), "SIGSEGV", None),
                (("cxx", "cxx_terminate_abort", 1), "SIGABRT", None)):
            with self.subTest(crash=finish[1]):
                document = self.run_core(python, SANDWICHES[:1], finish)
                self.assertEqual(document["source"]["signal"]["name"], name)
                frames = document["snapshots"][0]["threads"][0]["frames"]
                if address:
                    self.assertEqual(frames[0]["address"], address)
                self.assertIn(finish[1], [frame["function"] for frame in frames])

    def test_overflow(self):
        """Died in the guard page: thousands of frames, the stack pointer where nothing is."""
        python = usual_python()
        with threads(python, [], ("base", "crash_overflow")) as (target, folder, _):
            core = oracle.make_core(target, folder)
            document = analyze(core, "--raw-native")
            eu = eu_stack("--core", core, "--executable", python.program, "-q")
        thread = by_tid(document)[target.pid]
        pcs = native_oracle.pcs_of(thread)
        self.assertGreater(len(pcs), 3000)
        self.assertEqual(pcs, eu[target.pid].pcs)
        self.assertIn("main", [frame["function"] for frame in thread["frames"]])

    def test_deep(self):
        """100,000 frames, all of them, and what is behind them."""
        python = usual_python()
        places = [place("deep", ("nofp", "place_recurse", 100000), stack=64 << 20),
                  place("flat", ("nofp", "place_plain", 1))]
        with threads(python, places) as (target, folder, expected):
            document = analyze(oracle.make_core(target, folder), "--raw-native")
        stacks = by_tid(document)
        names = [frame["function"] for frame in
                 native_oracle.natives_of(stacks[expected["deep"]["tid"]])]
        flat = [frame["function"] for frame in
                native_oracle.natives_of(stacks[expected["flat"]["tid"]])]
        self.assertEqual(names.count("place_recurse"), 100000)
        first, last = names.index("place_recurse"), len(names) - names[::-1].index("place_recurse")
        self.assertEqual(last - first, 100000)
        self.assertEqual(names[:first], flat[:flat.index("plain_c")])
        self.assertEqual(names[last:], flat[flat.index("place_plain") + 1:])
        self.assertIsNone(check_order(stacks[expected["deep"]["tid"]], expected["deep"], places[0],
                                      names))

    def test_many_instructions(self):
        """Each instruction of a call, with its prologue and epilogue: PYCORE_LONG=1."""
        if not LONG:
            self.skipTest("PYCORE_LONG=1 runs it")
        python = usual_python()
        # The first call of a lazily bound function goes through the dynamic linker: many
        # instructions. Not "debugframe": its PLT has no tables, and gdb invents a frame there.
        for build, count in (("nofp", 200), ("fp", 50), ("slow", 200), ("cet", 200),
                             ("other", 200)):
            for first in range(0, count, 50):
                with self.subTest(build=build, first=first):
                    self.run_core(python, [
                        place("step_%d" % step, (build, "place_step_calls", step))
                        for step in range(first, first + 50)])


class Broken(NativeTestCase):
    def check_broken(self, python):
        good = LEAVES[:1]
        with threads(python, BROKEN + good) as (target, folder, expected):
            core = oracle.make_core(target, folder)
            document = analyze(core, "--raw-native")
            eu = eu_stack("--core", core, "--executable", python.program)
        found, problems = by_tid(document), []
        for plan in BROKEN:
            label, facts = plan["name"], expected[plan["name"]]
            thread = found[facts["tid"]]
            natives = native_oracle.natives_of(thread)
            names = [frame["function"] for frame in thread["frames"] if frame["kind"] == "python"]
            if names != facts["python"]:
                problems.append("%s: Python frames %s, not %s" % (label, names, facts["python"]))
            pcs, eu_pcs = native_oracle.pcs_of(thread), eu[facts["tid"]].pcs
            whole = pcs == eu_pcs and not eu[facts["tid"]].error
            if not thread["notes"] and not whole:
                problems.append("%s: no note says that its native stack ends early" % label)
            # Up to the damage everything is right.
            sound = [name for name in ("leaf_pause", plan["chain"][0][1])
                     if name in map(native_oracle.bare, filter(None, eu[facts["tid"]].names))]
            told = [native_oracle.bare(frame["function"] or "?") for frame in natives]
            length = told.index(sound[-1]) + 1 if sound[-1] in told else 0
            if not length or pcs[:length] != eu_pcs[:length]:
                problems.append("%s: begins with %s, not as eu-stack says\n%s" % (
                    label, told, native_oracle.show(eu_pcs, eu[facts["tid"]].names)))
            invented = [frame for frame in natives[length:]
                        if frame["unwound_by"] != "scan"]
            # A chain of frame pointers that was cut off may be mended by tables; what is shown
            # beyond must then be what is really there.
            real = {pc for other in expected.values() for pc in eu[other["tid"]].pcs
                    if not eu[other["tid"]].error}
            for frame in invented:
                if int(frame["address"] or "-1", 16) not in real:
                    problems.append("%s: %s %s (by %s) is invented" % (
                        label, frame["address"], frame["function"], frame["unwound_by"]))
            print("%s %s: %d frames (eu-stack %d), %s" % (
                python.name, label, len(natives), len(eu[facts["tid"]].pcs), thread["notes"]))
        compared = native_oracle.Comparison()
        tid = expected["leaf_pause"]["tid"]
        compared.thread("leaf_pause", found[tid], eu[tid], None)
        self.fail_with(problems + compared.problems)

    def test_broken(self):
        for name in FULL:
            with self.subTest(python=name):
                self.check_broken(support.find_python(name))


class MadeAtRunTime(NativeTestCase):
    """Code that no file holds."""

    def test_jit(self):
        """Compiled by CPython itself."""
        for name in ("3.13", "3.14", "3.15"):
            with self.subTest(python=name):
                python = support.find_python(name)
                answer = subprocess.run(
                    [python.path, "-c", "import sys; print(sys._jit.is_enabled())"],
                    env=support.clean_environment(PYTHON_JIT="1"), stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL).stdout
                if answer != b"True\n":
                    self.skipTest("python%s was built without a JIT" % name)
                places = [place("warm", leaf="leaf_warm"),
                          place("warm_inside", ("fp", "place_plain", 1), leaf="leaf_warm"),
                          place("cold", ("fp", "place_plain", 1))]
                self.check_run_time(python, places, env={"PYTHON_JIT": "1"})

    def test_perf(self):
        """The trampolines of -X perf."""
        for name in ("3.12", "3.13", "3.14", "3.15"):
            with self.subTest(python=name):
                self.check_run_time(support.find_python(name), SANDWICHES[:3] + LEAVES[:1] +
                                    SANDWICHES[6:8], flags=("-X", "perf"))

    def check_run_time(self, python, places, flags=(), env=None):
        """The oracles do not know such code. But the frames up to it, and those behind it, which
        are the same in a run without it, are known."""
        stacks = []
        for options in ({}, {"flags": flags, "env": env}):
            with threads(python, places, **options) as (target, folder, expected):
                core = oracle.make_core(target, folder)
                document = analyze(core, "--raw-native")
                eu = eu_stack("--core", core, "--executable", python.program)
            perf_map = "/tmp/perf-%d.map" % target.pid
            if os.path.exists(perf_map):
                os.unlink(perf_map)
            stacks.append((by_tid(document), expected, eu))
        problems = []
        for plan in places:
            label = plan["name"]
            plain = [thread[facts[label]["tid"]] for thread, facts, _ in stacks]
            eu = stacks[1][2][stacks[1][1][label]["tid"]]
            problem = check_order(plain[1], stacks[1][1][label], plan,
                                  {frame["function"] for frame in plain[0]["frames"]
                                   if frame["kind"] == "native"})
            if problem:
                problems.append("%s: %s" % (label, problem))
            natives = [native_oracle.natives_of(thread) for thread in plain]
            pcs = native_oracle.pcs_of(plain[1])
            known = next((index for index, frame in enumerate(natives[1])
                          if frame["module"] is None), len(pcs))
            if pcs[:known] != eu.pcs[:known]:
                problems.append("%s: %s is not eu-stack's %s" % (label, pcs[:known],
                                                                 eu.pcs[:known]))
            # Of the frames that have a module, the same functions as without, but for the loop.
            named = [[frame["function"] for frame in side
                      if frame["module"] and "PyEval" not in str(frame["function"]) and
                      "Vectorcall" not in str(frame["function"])] for side in natives]
            if named[0][-4:] != named[1][-4:]:
                problems.append("%s: ends with %s, without with %s" % (label, named[1][-4:],
                                                                      named[0][-4:]))
            # Only the JIT before 3.15 has no unwind information: what is behind its code is guessed.
            said = [note for note in plain[1]["notes"]
                    if not (env and python.version[:2] < (3, 15) and "guessed" in note)]
            if said != plain[0]["notes"]:
                problems.append("%s: notes %s" % (label, plain[1]["notes"]))
            print("%s %s %s: %d native frames, %d of them in code of no file" % (
                python.name, flags or env, label, len(pcs),
                len([1 for frame in natives[1] if frame["module"] is None])))
        self.fail_with(problems)


class Files(NativeTestCase):
    """What became of the libraries' files."""

    def test_deleted(self):
        """The file is gone: dynamic symbols, nothing else; the tables are in memory only if the
        core has them. What is shown must be right, and a note must say what is missing."""
        self.check_changed("deleted", remove=["gone.so"])

    def test_replaced(self):
        """Another build lies under the same name: its symbols must not be used."""
        self.check_changed("replaced", replace={"gone.so": "other.so"})

    def check_changed(self, what, **plan):
        python = usual_python()
        places = [place("gone", ("gone", "place_plain", 1)),
                  place("gone_inside", ("gone", "place_qsort", 1), ("fp", "place_plain", 1))]
        with threads(python, places, **plan) as (target, folder, expected):
            # The truth: with the right file back in its place.
            core = oracle.make_core(target, folder)
            with_changes = analyze(core, "--raw-native")
            folded = analyze(core)
            shutil.copy(os.path.join(native_oracle.LIBRARIES.make(), "gone.so"),
                        os.path.join(folder, "gone.so.new"))
            os.rename(os.path.join(folder, "gone.so.new"), os.path.join(folder, "gone.so"))
            right = eu_stack("--core", core, "--executable", python.program)
            modules = native_oracle.modules_of("--core=" + core, "--executable=" + python.program)
        problems = []
        for plan in places:
            facts = expected[plan["name"]]
            thread, truth = by_tid(with_changes)[facts["tid"]], right[facts["tid"]]
            names = [frame["function"] for frame in thread["frames"] if frame["kind"] == "python"]
            if names != facts["python"]:
                problems.append("%s: Python frames are %s" % (plan["name"], names))
            pcs = native_oracle.pcs_of(thread)
            position = 0
            for frame in native_oracle.natives_of(thread):
                pc = int(frame["address"] or "-1", 16)
                if pc not in truth.pcs[position:]:
                    if frame["unwound_by"] == "scan" and \
                            any("guess" in note for note in thread["notes"]):
                        continue # it is said to be a guess
                    problems.append("%s: %s %s (by %s) is invented" % (
                        plan["name"], frame["address"], frame["function"], frame["unwound_by"]))
                    continue
                position = truth.pcs.index(pc, position) + 1
                name = truth.names[position - 1]
                if frame["function"] and name and not native_oracle.same_name(
                        frame["function"], name, modules):
                    problems.append("%s: %s is %s, not %s" % (plan["name"], frame["address"],
                                                              frame["function"], name))
            if pcs != truth.pcs and not thread["notes"] and not with_changes["notes"]:
                problems.append("%s: no note says that frames are missing" % plan["name"])
            print("%s %s: %d of %d frames; %s %s" % (
                what, plan["name"], len(pcs), len(truth.pcs), thread["notes"],
                by_tid(folded)[facts["tid"]]["notes"]))
        self.fail_with(problems)

    def test_plain_user(self):
        """Reading a core needs no privilege."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to become another user")
        python = next((python for python in reversed(support.interpreters())
                       if readable_by_all(python.program) and python.build == "release"), None)
        if not python:
            self.skipTest("no Python that everybody may read is on this machine")
        with threads(python, LEAVES[:2] + SANDWICHES[:2]) as (target, folder, _), \
                tempfile.TemporaryDirectory() as other:
            core = oracle.make_core(target, folder)
            os.chmod(core, 0o644)
            os.chmod(other, 0o755)
            copy = shutil.copy(support.PYCORE, other)
            os.chmod(copy, 0o755)

            def become_nobody():
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            done = subprocess.run([copy, "analyze", core, "-f", "json", "--raw-native"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  preexec_fn=become_nobody, cwd="/", timeout=120,
                                  env=support.clean_environment())
            self.assertIn(done.returncode, (0, 1), done.stderr)
            mine = analyze(core, "--raw-native")
        theirs = json.loads(done.stdout.decode())
        for tid, thread in by_tid(mine).items():
            self.assertEqual(native_oracle.pcs_of(by_tid(theirs)[tid]),
                             native_oracle.pcs_of(thread))


if __name__ == "__main__":
    tap.main()
