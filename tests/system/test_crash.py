#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real crashes: what kind, of what, by whom, and what the program said; in cores and captures."""

import glob
import os
import re
import resource
import shutil
import subprocess
import tempfile
import unittest

import oracle
import support
import tap

EARLY = True
LIMIT_S = 900
SCRIPT = support.path("tests/programs/crashes.py")
# Every crash; the others some of them.
FULL = ("3.15",) if support.memory_errors_only() else ("3.6", "3.9", "3.12", "3.15")
BUILT = {}  # folder of what was compiled, by how objects begin


class Case:
    def __init__(self, fault, cause, message=None, module="crash_native.so", signal="SIGSEGV",
                 recursion=None, register=None, raised=None, some=False, env=None, last=(3, 99),
                 handled=None):
        self.fault, self.cause, self.message, self.module = fault, cause, message, module
        self.signal, self.recursion, self.register, self.raised = signal, recursion, register, raised
        self.some, self.env, self.last, self.handled = some, env or {}, last, handled


CTYPES = r"_ctypes\.cpython.*\.so|None"  # built into some interpreters
CXX = "crash_cxx.so"
ABORT = {"fault": "abort", "cause": "ended itself", "signal": "SIGABRT"}
CASES = {
    "null_read": Case("null-pointer", r"^read of 0x8, a field of .* NULL pointer( \(r\w+ is NULL\))?$",
                      register=r"^NULL$", some=True),
    "null_write": Case("null-pointer", "^write to 0x10, a field of", register="^tuple of 2 items$"),
    "wild_write": Case("unmapped", "^write to 0x123456789008, where nothing is mapped$"),
    "non_canonical": Case("non-canonical", "0x41424344454647(48|50)"),
    "non_canonical_frame": Case("non-canonical", "0x41424344454647(48|50)", signal="SIGBUS"),
    "after_free": Case("freed-or-fresh", r"(0xdddddddddddddde5|0xdbdbdbdbdbdbdbe3|0xd[bd]{15}).* freed "
                       r"\(0xd[bd]\)$", env={"PYTHONMALLOC": "debug"}, some=True),
    "read_only": Case("protection", r"^write to 0x\w+, in crash_native\.so, which is read-only$"),
    "data_call": Case("no-code", r"^execution of data at 0x\w+, in crash_native\.so$"),
    "null_call": Case("null-pointer", "^call of a NULL function pointer$", some=True),
    "divide": Case("other", "^integer division by zero$", signal="SIGFPE"),
    "beyond": Case("beyond-file", r"^read of 0x\w+, beyond the end of the mapped file crash-native-",
                   signal="SIGBUS"),
    "recurse": Case("stack-overflow", "^stack overflow: (write to|use of) .* recursion of sink",
                    recursion=r"^sink \(crash_native\.so\), \d{4,} times"),
    "c_recursion_in_thread": Case("stack-overflow", "^stack overflow: ", some=True,
                                  recursion=r"^sink \(crash_native\.so\), \d{3,} times"),
    "python_recursion": Case("stack-overflow", "^stack overflow: .* recursion of deeper", last=(3, 11),
                             module=None, recursion=r"^deeper \(\S*crashes\.py:\d+\), \d{2,} times"),
    "assertion": Case(message="Assertion `argument == NULL' failed", **ABORT),
    "free_twice": Case(message="double free", **ABORT),
    "give_up": Case(**ABORT),
    "raise_text": Case("null-pointer", "^read of 0x8", raised=("ValueError", "on its way")),
    "raise_os": Case("null-pointer", "^read of 0x8", some=True,
                     raised=(r"(FileNotFound|OS)Error", "[Errno 2] No such file or directory: 'x'")),
    "raise_key": Case("null-pointer", "^read of 0x8", raised=("KeyError", "'missing'")),
    "while_handling": Case("null-pointer", "^read of 0x8", handled=("ValueError", "first")),
    "ctypes_read": Case("null-pointer", "of 0x8, a field of", module=CTYPES),
    "ctypes_write": Case("null-pointer", "^write to 0x0, a NULL pointer", module=CTYPES),
    "ctypes_null_call": Case("null-pointer", "^call of a NULL function pointer$", module=CTYPES),
    "fatal": Case(module=CTYPES, some=True, **ABORT),
    "fatal_inside": Case(module=CTYPES, **ABORT),
    "through_faulthandler": Case("unmapped", "^write to 0x123456789008, where nothing is mapped$"),
    "sent": Case("sent", "^the program sent itself SIGSEGV$", module="None"),
    "throw_derived": Case(module=CXX, message=r"an instance of 'shop::order_error': the order is gone$",
                          some=True, **ABORT),
    "throw_own": Case(module=CXX, message=r"an instance of 'shop::own'$", **ABORT),
    "throw_text": Case(module=CXX, message=r"an instance of 'std::invalid_argument': of no use$",
                       **ABORT),
}
# A text that the caller has made may be in no place that stays; a constant of the interpreter's own is.
MAY_BE_SILENT = "fatal"
FATAL = "fatal", "fatal_inside"


def setUpModule():
    for tool in "gcc", "g++":
        if not shutil.which(tool):
            raise unittest.SkipTest("%s is not on this machine" % tool)
    oracle.need_kernel_cores()


def tearDownModule():
    for folder in BUILT.values():
        folder.cleanup()


def compiled(python):
    """The folder with the libraries for an interpreter."""
    flag = ("-DFREE_THREADED" if "free-threaded" in python.build else
            "-DTRACE_REFS" if "debug" in python.build and python.minor < (3, 8) else "-DPLAIN")
    if flag not in BUILT:
        folder = BUILT[flag] = tempfile.TemporaryDirectory()
        usual = ["-g", "-O1", "-w", "-shared", "-fPIC", "-Wl,--build-id"]
        for compiler, source in ("gcc", "crash_native.c"), ("g++", "crash_cxx.cc"):
            subprocess.run([compiler, *usual, flag, "-o",
                            os.path.join(folder.name, source.split(".")[0] + ".so"),
                            support.path("tests/programs/" + source)], check=True)
    return BUILT[flag].name


def allow_cores():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Crashes(support.TestCase):
    def crash(self, python, name, folder):
        """(core, what it wrote to stderr)"""
        environment = support.clean_environment(**CASES[name].env)
        done = subprocess.run([python.path, SCRIPT, name, compiled(python)], cwd=folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environment, preexec_fn=allow_cores,
                              timeout=120)
        cores = glob.glob(os.path.join(folder, "core*"))
        if not cores:
            self.assertLess(done.returncode, 0, done.stderr)
            self.skipTest("the kernel wrote no core")
        return cores[0], done.stderr.decode("utf-8", "replace")

    def check_message(self, name, crash, said):
        case = CASES[name]
        message = crash["message"]
        if case.message:
            self.assertRegex(message or "", case.message)
        elif name in FATAL and (message or name != MAY_BE_SILENT):
            self.assertTrue(message, said)
            self.assertTrue(message.startswith("Fatal Python error: "), message)
            # Python may have put the name of its function before the text.
            text = message[len("Fatal Python error: "):]
            if text.endswith(" (inferred)"):
                self.assertEqual(name, MAY_BE_SILENT)
                text = text[:-len(" (inferred)")]
            self.assertIn(text, said)
        else:
            self.assertIsNone(message)

    def check(self, name, document, said):
        case, source = CASES[name], document["source"]
        crash = source["crash"]
        self.assertEqual(source["signal"]["name"], case.signal)
        self.assertEqual(crash["fault"], case.fault, crash)
        self.assertRegex(crash["cause"], case.cause)
        self.check_message(name, crash, said)
        if case.module:
            self.assertRegex(str(crash["module"]), "^(%s)$" % case.module)
        if crash["module"] == "crash_native.so":
            self.assertEqual(crash["module_version"], "1.2.3+crash")
            self.assertRegex(crash["build_id"], "^[0-9a-f]{40}$")
        if case.recursion:
            self.assertRegex(crash["recursion"], case.recursion)
        else:
            self.assertIsNone(crash["recursion"])
        if case.register:
            self.assertTrue(any(re.search(case.register, register["points_to"] or "")
                                for register in crash["registers"]), crash["registers"])
        threads = document["snapshots"][0]["threads"]
        crashed = [thread for thread in threads if thread.get("crashed")]
        self.assertEqual(len(crashed), 1)
        found = crashed[0].get("exceptions", [])
        self.assertEqual([one["role"] for one in found],
                         ["raised"] if case.raised else ["handled"] if case.handled else [])
        if found:
            kind, text = case.raised or case.handled
            self.assertRegex(found[0]["type"], "^%s$" % kind)
            self.assertEqual(found[0]["message"], text)

    @support.each_python(builds=("release", "debug"))
    def test_crashes(self, python):
        for name, case in CASES.items():
            if python.minor > case.last or not (case.some or python.name in FULL):
                continue
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                core, said = self.crash(python, name, folder)
                capture = os.path.join(folder, "saved.pycore")
                saved = support.pycore_json("analyze", core, "--save", capture, ok=(0, 1))
                self.check(name, saved, said)
                replayed = support.pycore_json("analyze", capture, ok=(0, 1))
                self.assertEqual(saved["source"]["crash"], replayed["source"]["crash"])
                direct = support.pycore_json("analyze", core, ok=(0, 1))
                self.assertEqual(saved["source"]["crash"], direct["source"]["crash"])

    @support.each_python(first=(3, 12), last=(3, 12))
    def test_no_crash(self, python):
        """A core that was written of a running process tells of none."""
        with support.start_target(python, support.path("tests/programs/exceptions.py"),
                                  still=True) as target, \
                tempfile.TemporaryDirectory() as folder:
            core = os.path.join(folder, "core")
            self.assertEqual(support.pycore("gcore", target.pid, "-o", core).rc, 0)
            self.assertNotIn("crash", support.pycore_json("analyze", core)["source"])


if __name__ == "__main__":
    tap.main()
