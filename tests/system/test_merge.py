# SPDX-License-Identifier: GPL-3.0-or-later
"""Stacks that go from Python to C and back: in a core, native and Python frames stand in the order
in which they were called."""

import contextlib
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

import oracle
import support
import tap

BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")
PROGRAM = support.path("tests/programs/sandwich.py")
LOOP = "_PyEval_EvalFrameDefault"

# Between these two Python functions (the inner one first) lies a native one of this name. The first
# are exported by their libraries; the others need the interpreter's own symbols.
EXPORTED = [
    ("qsort_compare", "qsort_outer", r"(ffi_call)?$"),
    ("qsort_compare", "qsort_outer", r"qsort(_r)?$"),
]
NAMED = [
    ("sort_key", "sort_outer", r"list_?sort(_impl)?$"),
    ("sort_key", "sort_outer", r"builtin_sorted$"),
    ("qsort_compare", "qsort_outer", r"_CallPythonObject$"),
    ("qsort_compare", "qsort_outer", r"_ctypes_callproc$"),
    ("sub_replace", "sub_outer", r"pattern_subx$"),
    ("reduce_step", "reduce_outer", r"functools_reduce|_functools_reduce"),
    ("sum_middle", "sum_outer", r"builtin_sum"),
    ("__del__", "del_outer", r"subtype_dealloc$"),
    ("<module>", "exec_outer", r"builtin_exec"),
    ("<lambda>", "init_outer", r"map_next$"),
]
# Of these nothing is left when the interpreter's machinery is left out.
FOLDED = re.compile(r"_PyEval_(EvalFrameDefault|Vector|EvalCode)|_PyFunction_Vectorcall|"
                    r"_?PyObject_(Call|Vectorcall|FastCall)|pymain_|Py_RunMain|PyRun_|slot_tp_")


def is_named(python):
    """The interpreter has its own symbol table, not only what it exports."""
    files = [python.program] + glob.glob(os.path.join(python.prefix, "lib", "libpython3*.so*"))
    readelf = shutil.which("readelf")
    if not readelf:
        return False
    own = [file for file in files if "libpython%d.%d" % python.minor in file] or files[:1]
    sections = subprocess.run([readelf, "-SW", own[0]], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False).stdout.decode()
    return ".symtab" in sections


@contextlib.contextmanager
def dumped(python, *flags):
    """(core, functions of each thread) of the program."""
    oracle.need_kernel_cores()
    folder = tempfile.mkdtemp(prefix="pycore-merge-")
    try:
        os.mkfifo(os.path.join(folder, "go"))
        with support.start_target(python, PROGRAM, folder, flags=flags, cwd=folder) as target:
            core = oracle.make_core(target, folder)
        with open(os.path.join(folder, "expected.json")) as stream:
            expected = json.load(stream)
        with open(os.path.join(folder, "faulthandler.txt"), encoding="latin-1") as stream:
            said = stream.read()
        yield core, expected, said
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def threads_of(document):
    return {thread["name"]: thread for thread in document["snapshots"][0]["threads"]}


def functions(thread, kind):
    return [frame["function"] for frame in thread["frames"] if frame["kind"] == kind]


def between(thread, inner, outer):
    """All runs of native functions that lie between two neighbouring Python frames."""
    runs, native, last = [], [], None
    for frame in thread["frames"]:
        if frame["kind"] == "native":
            native.append(frame["function"] or "")
        elif frame["kind"] == "python":
            if last == inner and frame["function"] == outer:
                runs.append(native)
            native, last = [], frame["function"]
    return runs


class Merge(support.TestCase):
    def check_python(self, threads, expected, said):
        """The Python frames alone are what the interpreter said."""
        for name, wanted in expected.items():
            self.assertIn(name, threads)
            self.assertEqual(functions(threads[name], "python"), wanted, name)
            self.assertEqual(threads[name]["notes"], [], name)
        by_ident = {int(thread["python_thread_id"], 16): thread for thread in threads.values()
                    if thread["python_thread_id"]}
        compared = 0
        for block in said.split("\n\n"):
            head = re.match(r"(?:Current thread|Thread) (0x[0-9a-f]+)", block)
            rows = [line.rpartition(" in ")[2] for line in block.split("\n")
                    if line.startswith("  File ") and "line ??? in" not in line]
            if head and rows:
                ours = functions(by_ident[int(head.group(1), 16)], "python")
                compared += 1
                self.assertEqual(ours[:len(rows)], rows)
        self.assertEqual(compared, len(expected))

    def check_between(self, threads, rows):
        for name in ("all_outer", None):
            for inner, outer, pattern in rows:
                thread = threads[name or outer]
                runs = between(thread, inner, outer)
                self.assertTrue(runs, "%s: no %s called from %s" % (thread["name"], inner, outer))
                for run in runs:
                    self.assertTrue(any(re.match(pattern, function) for function in run),
                                    "%s: between %s and %s: %s" % (
                                        thread["name"], inner, outer, run))

    def check_raw(self, threads, python):
        """Each evaluation loop follows the frames that it runs."""
        for thread in threads.values():
            frames = [frame for frame in thread["frames"] if not frame.get("inlined")]
            loops = 0
            for index, frame in enumerate(frames):
                if (frame["function"] or "").split(".")[0] != LOOP or frame["kind"] != "native":
                    continue
                loops += 1
                self.assertEqual(frames[index - 1]["kind"], "python", thread["name"])
            count = len(functions(thread, "python"))
            if python.minor <= (3, 10):
                self.assertEqual(loops, count, thread["name"])
            elif count:
                self.assertLess(loops, count, thread["name"])

    @support.each_python(builds=BUILDS)
    def test_sandwiches(self, python):
        named = is_named(python)
        with dumped(python) as (core, expected, said):
            folded = threads_of(support.pycore_json("analyze", core, ok=(0, 1), timeout=120))
            raw = threads_of(support.pycore_json("analyze", core, "--raw-native", ok=(0, 1),
                                                 timeout=120))
            alone = threads_of(support.pycore_json("analyze", core, "--no-native", ok=(0, 1),
                                                   timeout=120))
        self.assertEqual(len(expected), 13)
        for threads in (folded, raw, alone):
            self.check_python(threads, expected, said)
        for name in expected:
            self.assertEqual(functions(alone[name], "native"), [])
            # Natives stand on both sides: where the thread sleeps, and where it began.
            self.assertEqual(folded[name]["frames"][0]["kind"], "native")
            self.assertEqual(folded[name]["frames"][-1]["kind"], "native")
            # What is left out leaves the rest in its order.
            rest = iter(raw[name]["frames"])
            for frame in folded[name]["frames"]:
                self.assertTrue(any(frame["kind"] == other["kind"] and
                                    frame["function"] == other["function"] and
                                    frame.get("address") == other.get("address")
                                    for other in rest), frame)
            for function in functions(folded[name], "native"):
                self.assertFalse(FOLDED.match(function or ""), "%s: %s" % (name, function))
        for threads in (folded, raw):
            self.check_between(threads, EXPORTED + (NAMED if named else []))
        self.check_raw(raw, python)

    @support.each_python(first=(3, 12))
    def test_perf_trampolines(self, python):
        """-X perf: a stub of generated code before each evaluation loop."""
        with dumped(python, "-X", "perf") as (core, expected, said):
            folded = threads_of(support.pycore_json("analyze", core, ok=(0, 1), timeout=120))
            raw = threads_of(support.pycore_json("analyze", core, "--raw-native", ok=(0, 1),
                                                 timeout=120))
        self.check_python(folded, expected, said)
        self.check_between(folded, EXPORTED)
        for name in expected:
            stubs = [frame for frame in raw[name]["frames"]
                     if frame["kind"] == "native" and not frame["module"]]
            self.assertTrue(stubs, name)
            self.assertFalse([frame for frame in folded[name]["frames"]
                              if frame["kind"] == "native" and not frame["module"]], name)

    @support.each_python()
    def test_stack_that_was_cut_off(self, python):
        """The end of the core, where the main thread's stack is, is missing: what is left is given
        in its order, and a note says so."""
        with dumped(python) as (core, expected, _):
            os.truncate(core, os.path.getsize(core) - 100000)
            threads = threads_of(support.pycore_json("analyze", core, ok=(1,), timeout=120))
        for name, wanted in expected.items():
            ours = functions(threads[name], "python")
            self.assertEqual(ours, wanted[:len(ours)] if name == "MainThread" else wanted, name)
            self.assertEqual(bool(threads[name]["notes"]), name == "MainThread")
        self.assertIn("the native stack is known only so far",
                      " ".join(threads["MainThread"]["notes"]))


if __name__ == "__main__":
    tap.main()
