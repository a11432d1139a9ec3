#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs files of unittest tests and prints TAP, one line for each test.

usage: tap.py FILE [Class[.test]]...

'ok', 'ok # SKIP reason' or 'not ok' with the traceback as comment lines; each failed or skipped
subTest gets a line of its own. What tests print themselves becomes comments too.

Modules may set
    EARLY = True      of the longest: it is begun before the others, so that it does not run alone in the
                      end (tests/tools/source-lists.sh puts it to the front)
    SERIAL = True     nothing else of the suite runs beside it (it measures time)
    LIMIT_S = 3600    seconds after which the whole file is given up as hung (default, and least: 1800)
"""

import contextlib
import faulthandler
import fcntl
import importlib.util
import io
import os
import resource
import signal
import sys
import time
import traceback
import unittest

DEFAULT_LIMIT_S = 1800  # the longest takes three minutes, and three times that under sanitizers


class TapResult(unittest.TestResult):
    """Prints each outcome as it comes; the plan comes last."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream
        self.count = 0
        self.failed = 0
        self.spoken_for = False  # a subTest of the running test had a line of its own
        self.printed = None

    def line(self, ok, name, directive="", comment=""):
        self.count += 1
        self.failed += not ok
        name = name.replace("#", "\\#").replace("\n", " ")
        print("%s %d - %s%s" % ("ok" if ok else "not ok", self.count, name, directive),
              file=self.stream)
        self.comment(comment)
        self.stream.flush()

    def comment(self, text):
        for row in text.splitlines():
            print("# " + row, file=self.stream)

    @staticmethod
    def name_of(test):
        if isinstance(test, unittest.case._SubTest):
            return "%s %s" % (TapResult.name_of(test.test_case), test._subDescription())
        if isinstance(test, unittest.TestCase):
            return "%s.%s" % (type(test).__name__, test._testMethodName)
        return str(test)  # setUpClass, setUpModule

    @staticmethod
    def explain(error):
        kind, value, trace = error
        # The frames of unittest itself say nothing about the failure.
        entries = [entry for entry in traceback.extract_tb(trace)
                   if "__unittest" not in entry.line and
                   os.path.basename(os.path.dirname(entry.filename)) != "unittest"]
        text = "".join(traceback.format_list(entries) +
                       traceback.format_exception_only(kind, value))
        if value.__cause__ is not None:
            text += "caused by: " + "".join(
                traceback.format_exception_only(type(value.__cause__), value.__cause__))
        return text

    def startTest(self, test):
        super().startTest(test)
        self.spoken_for = False
        self.printed = io.StringIO()
        self.redirection = contextlib.redirect_stdout(self.printed)
        self.redirection.__enter__()

    def stopTest(self, test):
        self.redirection.__exit__(None, None, None)
        self.comment(self.printed.getvalue())
        super().stopTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        # Python 3.9 calls this also when all subTests were skipped.
        if not self.spoken_for:
            self.line(True, self.name_of(test))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line(False, self.name_of(test), comment=self.explain(err))

    addError = addFailure

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.spoken_for = True
        self.line(True, self.name_of(test), " # SKIP " + reason.replace("\n", " "))

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.line(False, self.name_of(test), " # TODO expected failure", self.explain(err))
        self.failed -= 1

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.line(False, self.name_of(test), comment="was expected to fail, and passed")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.spoken_for = True
            self.line(False, self.name_of(subtest), comment=self.explain(err))

    def plan(self):
        print("1..%d" % self.count if self.count else "1..0 # SKIP no test in it",
              file=self.stream, flush=True)


def load(path):
    """Imports a test file under its own name, with the test folders on the module path."""
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (here, os.path.join(here, "system"), os.path.dirname(os.path.abspath(path))):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def heed_signals():
    """A shell ignores SIGINT for what it starts in the background, and nohup SIGHUP: programs that the
    tests interrupt would inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def take_turn(serial):
    """Serial modules hold the suite's lock alone, the others hold it together."""
    folder = os.environ.get("builddir")
    if not folder or not os.path.isdir(folder):
        return None
    os.makedirs(os.path.join(folder, "tests"), exist_ok=True)
    lock = open(os.path.join(folder, "tests", "suite.lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX if serial else fcntl.LOCK_SH)
    return lock


def allow_cores():
    """Kernel cores of the programs that tests start, also where shells set the soft limit to 0."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def run(module, names=(), stream=None):
    """Runs the module's tests (or the named ones); returns the exit status."""
    heed_signals()
    allow_cores()
    result = TapResult(stream or sys.stdout)
    lock = take_turn(getattr(module, "SERIAL", False))
    limit_s = max(getattr(module, "LIMIT_S", 0), DEFAULT_LIMIT_S)
    faulthandler.dump_traceback_later(limit_s, exit=True)
    loader = unittest.TestLoader()
    if names:
        suite = loader.loadTestsFromNames(names, module)
    else:
        suite = loader.loadTestsFromModule(module)
    started = time.monotonic()
    suite.run(result)
    faulthandler.cancel_dump_traceback_later()
    result.comment("%.1f s" % (time.monotonic() - started))
    result.plan()
    if lock:
        lock.close()
    return 1 if result.failed else 0


def main():
    """For test files that are run by themselves: if __name__ == "__main__": tap.main()"""
    sys.exit(run(sys.modules["__main__"], sys.argv[1:]))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(__doc__.strip().splitlines()[2], file=sys.stderr)
        sys.exit(64)
    sys.exit(run(load(sys.argv[1]), sys.argv[2:]))
