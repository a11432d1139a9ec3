#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays the captures in fixtures/: the same report on every machine, without any Python there,
and what it says is what the programs in fixtures/programs do."""

import functools
import glob
import gzip
import json
import os
import re
import sys
import unittest

import support

FIXTURES = support.path("fixtures")
sys.path.insert(0, FIXTURES)
import rules  # noqa: E402

KINDS = {"parked", "busy", "subinterpreters", *rules.CORES, *rules.KINDS}

# What each thread of parked.py is in, innermost first; names of builtins as far as they go.
PARKED = {
    "MainThread": ["read", "park", "<module>"],
    "deep": ["read", "park"] + ["deep"] * 61 + ["<lambda>"],
    "generators": ["read", "park", "generator_inner", "generator_outer", "generators"],
    "sandwich": ["read", "park", "sort_key", "sorted", "sandwich"],
    "c_callback": ["read", "park", "compare", "c_callback"],
    "regex": ["read", "park", "replacement", "sub", "regex"],
    "extension": ["read", "park", "call", "<lambda>", "call", "extension"],
    "lock_wait": ["withdraw", "lock_wait"],
    "queue_wait": ["wait", "get", "queue_wait"],
    "event_wait": ["wait", "wait", "event_wait"],
    "sleeping": ["sleep", "sleeping"],
    "polling": ["poll", "polling"],
    "comprehension": ["read", "park", "comprehension"],
}
BUILTINS = ("read", "sorted", "sub", "call", "sleep", "poll")
# The signal, and what ran then.
CRASHES = {"segv": (11, "write_to"), "abort": (6, "give_up"), "null": (11, "null_call"),
           "null_ctypes": (11, "null_ctypes"), "overflow": (11, "descend")}


def fixtures(kind="*"):
    found = sorted(glob.glob(os.path.join(FIXTURES, "*", kind + ".core.gz")))
    if not found:
        raise AssertionError("no fixture of kind %s" % kind)
    return found


def each(kind="*"):
    """Runs a test for each fixture of that kind."""
    def mark(function):
        @functools.wraps(function)
        def test(self):
            for fixture in fixtures(kind):
                with self.subTest(os.path.relpath(fixture, FIXTURES)):
                    function(self, fixture)
        return test
    return mark


def kind_of(fixture):
    return os.path.basename(fixture)[:-len(".core.gz")]


def replay(fixture, *options):
    folder, name = os.path.split(fixture)
    return support.pycore("analyze", name, "-q", *options, cwd=folder)


def without_version(text):
    return re.sub(r'(pycore |"version": ")\d+\.\d+\.\d+', r"\1X", text, count=1)


def is_subsequence(wanted, names):
    rest = iter(names)
    return all(any(name == other for other in rest) for name in wanted)


class Fixtures(support.TestCase):
    def document(self, fixture):
        done = replay(fixture, "-f", "json")
        self.assertIn(done.rc, (0, 1), done.err)
        return json.loads(done.out)

    def threads(self, fixture):
        """{name: its frames} of the last snapshot."""
        document = self.document(fixture)
        return {thread["name"]: thread["frames"] for thread in document["snapshots"][-1]["threads"]}

    @each()
    def test_same_report(self, fixture):
        for ending, name in (("json", "json"), ("txt", "text")):
            if ending == "json" and kind_of(fixture) in rules.KINDS:
                continue
            done = replay(fixture, "-f", name)
            with open(fixture.replace("core.gz", ending), encoding="utf-8") as stream:
                expected = stream.read()
            self.assertEqual(without_version(done.out), without_version(expected))
            self.assertEqual(done.rc, 0 if self.document(fixture)["source"]["complete"] else 1)

    def test_versions_and_builds(self):
        found = set()
        for fixture in fixtures("parked"):
            process = self.document(fixture)["source"]["processes"][0]
            version, build = os.path.basename(os.path.dirname(fixture)).split("-", 1)
            self.assertRegex(process["python"]["version"], r"\A%s\." % re.escape(version))
            self.assertEqual(process["python"]["build"], build)
            self.assertTrue(process["exe"].startswith("/opt/python" + version), process["exe"])
            found.add((version, build))
        self.assertLessEqual({("%d.%d" % minor, "release") for minor in support.MINORS}, found)
        self.assertLessEqual({"debug", "free-threaded"}, {build for _, build in found})

    def test_kinds(self):
        self.assertEqual({kind_of(fixture) for fixture in fixtures()}, KINDS)

    def found(self, fixture):
        return {finding["id"]: finding["severity"] for finding in self.document(fixture)["findings"]}

    def test_rules(self):
        """Each speaks where it must, and is silent where things only look alike."""
        for kind, facts in rules.KINDS.items():
            with self.subTest(kind):
                found = self.found(os.path.join(FIXTURES, facts.where, kind + ".core.gz"))
                for also in facts.also:
                    found.pop(also, None)
                self.assertEqual(found, facts.findings)
        for kind, findings in rules.CORES.items():
            for fixture in fixtures(kind):
                with self.subTest(kind):
                    self.assertEqual(self.found(fixture), findings)

    def test_no_rule_is_without_a_fixture(self):
        with open(support.path("src/diagnose/rules.def"), encoding="utf-8") as stream:
            known = set(re.findall(r'^RULE\("([^"]+)"', stream.read(), re.MULTILINE))
        shown = [facts.findings for facts in rules.KINDS.values()] + list(rules.CORES.values())
        self.assertEqual({rule for findings in shown for rule in findings},
                         known - rules.LIVE_ONLY)

    @each("parked")
    def test_parked(self, fixture):
        threads = self.threads(fixture)
        self.assertEqual(set(threads), set(PARKED))
        for name, wanted in PARKED.items():
            functions = [frame["function"].split(".")[-1] for frame in threads[name]
                         if frame["kind"] != "native"]
            # What a version does not tell of a builtin is told by the native frames.
            present = [function for function in wanted
                       if function in functions or function not in BUILTINS]
            self.assertTrue(is_subsequence(present, functions), (name, functions))
            # To the very end of the native stack: _start, or what clone3() began with.
            last = threads[name][-1]
            self.assertEqual(last["kind"], "native")
            self.assertRegex(last["module"], "^python3" if name == "MainThread" else r"^libc\.so")
        extension = [frame["function"] for frame in threads["extension"]]
        self.assertEqual(extension.count("native_inner"), 2)
        self.assertEqual(extension.count("inlined_step"), 2)

    @each("busy")
    def test_busy(self, fixture):
        profile = self.document(fixture)["profile"]
        self.assertEqual(profile["snapshots"], 5)
        functions = {function["function"] for function in profile["functions"]}
        self.assertLessEqual({"hot", "dictionary_work", "idle"}, functions)

    @each("subinterpreters")
    def test_subinterpreters(self, fixture):
        threads = self.document(fixture)["snapshots"][0]["threads"]
        inside = {thread["name"]: (thread["interpreter"],
                                   [frame["function"] for frame in thread["frames"]])
                  for thread in threads}
        for name in ("first", "second"):
            self.assertIn("inside_" + name, inside[name][1])
            self.assertIn("enter", inside[name][1])
        self.assertEqual(len({inside[name][0] for name in inside}), 3)

    def test_crashes(self):
        for kind, (signo, last) in CRASHES.items():
            for fixture in fixtures(kind):
                with self.subTest(os.path.relpath(fixture, FIXTURES)):
                    self.check_crash(self.document(fixture), kind, signo, last)

    def check_crash(self, document, kind, signo, last):
        self.assertEqual(document["source"]["signal"]["signo"], signo)
        threads = {thread["name"]: [frame["function"] for frame in thread["frames"]]
                   for thread in document["snapshots"][0]["threads"]}
        self.assertIn("waiting", threads["waiting"])
        crashed = threads["overflow" if kind == "overflow" else "MainThread"]
        self.assertIn(last, crashed[:8])
        self.assertTrue({kind, "<lambda>"} & set(crashed), crashed)

    @each()
    def test_nothing_of_the_machine_is_inside(self, fixture):
        with gzip.open(fixture) as stream:
            data = stream.read()
        data = re.sub(rb"/tmp/(jit|perf)-%", b"", data)  # constants of Python
        inside = [word for word in (b"/root/", b"/home/", b"/tmp/", b"/nix/", b"PATH=", b"HOME=")
                  if word in data]
        self.assertEqual(inside, [])
        self.assertLess(os.path.getsize(fixture), 500000)


if __name__ == "__main__":
    unittest.main()
