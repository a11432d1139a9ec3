#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Greenlets: their stacks, parents and states are those that the program itself says, and those of
gevent.util.format_run_info(); live, from cores and from captures, with several releases of greenlet."""

import contextlib
import glob
import json
import os
import re
import subprocess
import tempfile
import time
import unittest

import harm
import native_oracle
import support

PROGRAM = support.path("tests/programs/greenlets.py")

# function: kind, what, type; as its name says. What the kernel knows of a socket is not in a core.
AWAITS = {
    "wait_queue_get": ("queue-get", "queue", "Queue"),
    "wait_queue_put": ("queue-put", "full", "Queue"),
    "wait_event": ("event", "event", "Event"),
    "wait_semaphore": ("semaphore", "semaphore", "Semaphore"),
    "wait_with": ("semaphore", "semaphore", "Semaphore"),
    "wait_lock": ("lock", "lock", "LockType"),
    "wait_read": ("read", "a unix socket", "socket"),
    "wait_accept": ("accept", "listening on 127.0.0.1:", "socket"),
    "wait_sleep": ("sleep", None, None),
    "wait_sleep_in_generator": ("sleep", None, None),
    "wait_task": ("task", None, "Greenlet"),
}


# Native frames of the library (with a star) and Python's, outermost first.
CALLED = ["*switch_outer", "*switch_inner", "called", "away"]
NATIVES = {
    "calls": ["calls"] + CALLED,
    "calls_alloca": ["calls_alloca", "*switch_alloca"] + CALLED,
    "calls_twice": ["calls_twice", "*switch_outer", "*switch_inner", "called_twice", "between",
                    "*switch_inner", "called", "away"],
    "switches_often": ["switches_often", "calls"] + CALLED,
    "run": CALLED,
    "main": ["<module>", "native", "*switch_outer", "*switch_inner", "<lambda>"],
    "no_python": [],
}
LIBRARIES = {
    "plain": ["-O2", "-g"],
    "fp": ["-O2", "-fno-omit-frame-pointer", "-s"],
    "slow": ["-O0"],
}


def build_library(folder, name):
    """tests/programs/native_switch.c as a library."""
    compiler = os.environ.get("CC", "gcc").split()[0]
    native_oracle.need_tools(compiler)
    file = os.path.join(folder, "switch_%s.so" % name)
    subprocess.run([compiler, *LIBRARIES[name], "-shared", "-fPIC", "-o", file,
                    support.path("tests/programs/native_switch.c")], check=True)
    return file


def packages(python):
    """Folders with greenlet for that interpreter, which tests/tools/get-packages fetches."""
    found = []
    for top in (os.path.join(support.SRCDIR, "build"), support.BUILDDIR,
                os.path.dirname(support.BUILDDIR)):
        found += glob.glob(os.path.join(top, "packages", "%d.%d-greenlet-*[0-9]" % python.minor))
    names = {os.path.basename(folder): folder for folder in found[::-1]}
    return [names[name] for name in sorted(names)]


def has_gevent(folder):
    return os.path.isdir(os.path.join(folder, "gevent"))


@contextlib.contextmanager
def started(python, folder, kind, *arguments, still=True):
    """The running program, what it says, and a folder for files."""
    with tempfile.TemporaryDirectory() as scratch:
        said = os.path.join(scratch, "said.json")
        with support.start_target(python, PROGRAM, said, kind, *arguments,
                                  env={"PYTHONPATH": folder}, still=still) as target:
            with open(said) as stream:
                yield target, json.load(stream), scratch


def frames_of(document, greenlet):
    """Outermost first, as the program has them."""
    if "frames_as" in greenlet:
        greenlet = document["greenlets"][greenlet["frames_as"]]
    return [[frame["function"], frame["line"], frame["file"]]
            for frame in greenlet["frames"][::-1] if frame["kind"] == "python"]


def parse_run_info(text):
    """{id: frames, outermost first} of what format_run_info() wrote."""
    stacks, rows = {}, None
    for line in text.splitlines():
        begins = re.match(r"(?:[ |]*\+--- )?<.* at (0x[0-9a-f]+)", line)
        frame = re.search(r'File "(.*)", line (\d+), in (.*)$', line)
        if begins:
            rows = stacks.setdefault(begins.group(1), [])
        elif "Spawned at:" in line or "Spawn Tree Locals" in line:
            rows = None
        elif frame and rows is not None:
            rows.append([frame.group(3), int(frame.group(2)), frame.group(1)])
    return stacks


class Greenlets(support.TestCase):
    cut_off = False  # the release hides the callers of a suspended greenlet's frame

    def compare(self, document, said):
        """The document's greenlets by id, after a look at each that the program names."""
        listed = {greenlet["id"]: greenlet for greenlet in document.get("greenlets", [])}
        for identity, wanted in said["greenlets"].items():
            got = listed.get(identity)
            if wanted["state"] == "dead":
                self.assertIsNone(got, wanted)
                continue
            self.assertIsNotNone(got, (wanted, list(listed)))
            if wanted["state"] == "suspended":
                self.compare_frames(wanted, frames_of(document, got))
            parent = got["parent"]
            self.assertEqual(wanted["parent"],
                             None if parent is None else document["greenlets"][parent]["id"])
            self.assertEqual(wanted["type"], got["type"].rsplit(".")[-1])
            if wanted["name"] not in ("hub", "main"):  # they went on after it was said
                self.assertEqual(wanted["state"], got["state"], wanted["name"])
        self.assertFalse(document["suspended"]["greenlets_left_out"])
        return listed

    def compare_frames(self, wanted, got):
        if self.cut_off:
            # gr_frame is the innermost frame only.
            self.assertEqual(wanted["frames"], got[-1:], wanted["name"])
            names = {"deep": 301 * ["deep"], "of thread": 6 * ["deep"], "inner": ["simple"],
                     "simple": ["simple"], "nested": ["nested"], "own": ["run", "with_default"],
                     "by_c": ["by_c", "<lambda>"]}.get(wanted["name"])
            if names:
                self.assertEqual(names + ["away"], [row[0] for row in got], wanted["name"])
        else:
            self.assertEqual(wanted["frames"], got, wanted["name"])

    def check_plain(self, document, said):
        listed = self.compare(document, said)
        threads = {thread["tid"]: thread for thread in document["snapshots"][-1]["threads"]}
        self.assertEqual(2, len(threads))
        identity = {facts["name"]: key for key, facts in said["greenlets"].items()}
        first, second = identity["main"], identity["main of thread"]
        main_tid = min(threads)
        self.assertEqual(main_tid, listed[first]["tid"])
        for name, key in identity.items():
            if key in listed:
                of_main = name not in ("main of thread", "of thread")
                self.assertEqual(of_main, listed[key]["tid"] == main_tid, name)
                self.assertEqual(key in (first, second), listed[key]["main"], name)
                self.assertFalse(listed[key]["hub"])
        for key, function in ((first, "plain"), (second, "in_thread")):
            self.assertEqual("running", listed[key]["state"])
            self.assertIn(function, [frame["function"] for frame in listed[key]["frames"]])
            thread = threads[listed[key]["tid"]]
            self.assertEqual(support.of_python(thread), support.of_python(listed[key]))
            self.assertEqual(len(thread["frames"]), len(listed[key]["frames"]))
        names = {name: listed[key]["name"] for name, key in identity.items() if key in listed}
        self.assertEqual("simple", names["simple"])
        self.assertEqual("simple", names["never"])
        self.assertEqual("deep", names["of thread"])

    def check_gevent(self, document, said, sockets):
        listed = self.compare(document, said)
        stacks = parse_run_info(said["run_info"])
        seen = 0
        for key, wanted in said["greenlets"].items():
            if wanted["state"] != "suspended" or wanted["name"] == "hub":
                continue
            self.assertEqual(stacks[key], frames_of(document, listed[key]), wanted["name"])
            seen += 1
        self.assertEqual(len(AWAITS), seen)
        hub = next(key for key, facts in said["greenlets"].items() if facts["name"] == "hub")
        self.assertEqual([hub], [key for key, one in listed.items() if one["hub"]])
        self.assertEqual("running", listed[hub]["state"])
        for key, wanted in said["greenlets"].items():
            if wanted["name"] not in AWAITS:
                continue
            kind, what, type_name = AWAITS[wanted["name"]]
            awaits = listed[key]["awaits"]
            self.assertIsNotNone(awaits, wanted["name"])
            self.assertEqual((kind, type_name), (awaits["kind"], awaits["type"]), wanted["name"])
            if kind in ("read", "accept"):
                self.assertIsNotNone(awaits["fd"])
                if sockets:
                    self.assertIn(what, awaits["what"])
            else:
                self.assertEqual(what, awaits["what"], wanted["name"])
            self.assertEqual("start_gevent.<locals>." + wanted["name"], listed[key]["name"])
            inner = listed[key]["frames"][0]
            self.assertEqual("native", inner["kind"], wanted["name"])
            self.assertIn("gevent", inner["module"])
        self.assert_joined(document, said)
        self.assert_native(document)

    def assert_native(self, document):
        """The hub's part of the C stack is its own: what lies further out is not shown as its callers."""
        thread, = document["snapshots"][-1]["threads"]
        names = [frame["function"] or "" for frame in thread["frames"]]
        begins = [index for index, name in enumerate(names) if "g_initialstub" in name]
        if begins:  # else the extension module has no symbols
            self.assertEqual([len(names) - 1], begins)
            self.assertEqual([], thread["notes"])

    def assert_joined(self, document, said):
        """Who waits for another's end says whose."""
        names = {facts["name"]: key for key, facts in said["greenlets"].items()}
        waits = next(one for one in document["greenlets"] if one["id"] == names["wait_task"])
        self.assertEqual([names["wait_sleep"]], [document["greenlets"][index]["id"]
                                                 for index in waits["awaits"]["tasks"]])

    def each_way(self, target, scratch, check):
        """Live, from the capture of that, and from a core."""
        core, capture = os.path.join(scratch, "core"), os.path.join(scratch, "run.pycore")
        live = support.pycore_json("snap", target.pid, "--save", capture)
        check(live, True)
        again = support.pycore_json("analyze", capture)
        self.assertEqual(live["greenlets"], again["greenlets"])
        check(support.pycore_json("snap", target.pid), True)
        outcome = support.pycore("gcore", "-o", core, target.pid)
        self.assertEqual(0, outcome.rc, outcome.err)
        saved = os.path.join(scratch, "core.pycore")
        from_core = support.pycore_json("analyze", core, "--save", saved)
        check(from_core, False)
        again = support.pycore_json("analyze", saved)
        self.assertEqual(from_core["greenlets"], again["greenlets"])
        self.assertTrue(from_core["suspended"]["moment"])

    def folders(self, python, gevent=False):
        found = [folder for folder in packages(python) if not gevent or has_gevent(folder)]
        if not found:
            self.skipTest("no %s for python%s in build/packages (tests/tools/get-packages)"
                          % ("gevent" if gevent else "greenlet", python.name))
        return found

    @support.each_python()
    def test_greenlet(self, python):
        for folder in self.folders(python):
            self.cut_off = folder.endswith("3.12-greenlet-3.0.0")
            with self.subTest(packages=os.path.basename(folder)), \
                    started(python, folder, "plain") as (target, said, scratch):
                self.each_way(target, scratch, lambda document, _, said=said:
                              self.check_plain(document, said))

    @support.each_python()
    def test_gevent(self, python):
        for folder in self.folders(python, gevent=True):
            with self.subTest(packages=os.path.basename(folder)), \
                    started(python, folder, "gevent") as (target, said, scratch):
                self.each_way(target, scratch, lambda document, sockets, said=said:
                              self.check_gevent(document, said, sockets))
                # What gevent does to wait, its Python frames say.
                for options, shown in (((), False), (("--full",), True)):
                    text = support.pycore("snap", target.pid, *options).out
                    self.assertEqual(shown, "__pyx_" in text.split("WHERE GREENLETS WAIT")[1])

    def first_lines(self, *arguments):
        outcome = support.pycore(*arguments)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        return " ".join("\n".join(outcome.out.split("\n")[:7]).split())

    def check_finding(self, target, scratch, *words):
        core = os.path.join(scratch, "core")
        self.assertEqual(0, support.pycore("gcore", "-o", core, target.pid).rc)
        for command in (("snap", target.pid), ("snap", target.pid, "-n", 12, "-i", "20ms"),
                        ("analyze", core)):
            text = self.first_lines(*command)
            for word in words:
                self.assertIn(word, text, command)

    @harm.versions("3.8", "3.12")
    def test_findings(self, python):
        """Who waits for each other, and for whom many wait."""
        folder = self.folders(python, gevent=True)[-1]
        for kind, one, other, wanted in (("rlock", "transfer", "audit", "lock"),
                                         ("lock", "transfer", "audit", "lock"),
                                         ("semaphore", "transfer", "audit", "semaphore"),
                                         ("join", "left", "right", "the end of")):
            with self.subTest(kind=kind), \
                    started(python, folder, "cycle", kind) as (target, _, scratch):
                self.check_finding(target, scratch, "DEADLOCK - Greenlet", "wait for each other", one,
                                   other, wanted)
        with started(python, folder, "pile") as (target, _, scratch):
            self.check_finding(target, scratch, "BLOCKED - 39 of 41 greenlets wait for semaphore lock",
                               "update", "held by greenlet", "itself waiting for the end of a sleep")

    def natives_of(self, document, name, identity):
        """The greenlet's frames, and the names of Python's and the library's, outermost first."""
        found = next(one for one in document["greenlets"] if one["id"] == identity)
        self.assertEqual("suspended", found["state"], name)
        names = []
        for frame in found["frames"][::-1]:
            if frame["kind"] == "native" and (frame["module"] or "").startswith("switch_"):
                names.append("*" + frame["function"])
                self.assertEqual("cfi", frame["unwound_by"])
            elif frame["kind"] == "python":
                names.append(frame["function"])
        return found["frames"], names

    def check_natives(self, document, said):
        for identity, facts in said["greenlets"].items():
            name = facts["name"]
            frames, names = self.natives_of(document, name, identity)
            self.assertEqual(NATIVES[name], names, name)
            # How the module switches is told where there is nothing else.
            of_module = [frame["function"] for frame in frames if frame["kind"] == "native" and
                         "greenlet" in (frame["module"] or "")]
            if name == "no_python":
                self.assertTrue([one for one in of_module if one.startswith("green_switch")])
            else:
                self.assertEqual([], of_module)

    def check_native_options(self, target, said):
        bare = support.pycore_json("snap", target.pid, "--no-native")
        raw = support.pycore_json("snap", target.pid, "--raw-native")
        for identity, facts in said["greenlets"].items():
            name = facts["name"]
            frames, names = self.natives_of(bare, name, identity)
            self.assertEqual([one for one in NATIVES[name] if not one.startswith("*")], names)
            self.assertNotIn("native", [frame["kind"] for frame in frames])
            frames, names = self.natives_of(raw, name, identity)
            self.assertEqual(NATIVES[name], names, name)
            self.assertEqual("slp_switch", frames[0]["function"])
        text = support.pycore("snap", target.pid).out
        self.assertIn("    switch_inner (switch_", text)
        self.assertEqual(1, text.count("slp_switch"))

    @support.each_python()
    def test_natives(self, python):
        """Native code that called back into Python, of greenlets that were switched away from."""
        for number, folder in enumerate(self.folders(python)):
            with tempfile.TemporaryDirectory() as libraries:
                name = sorted(LIBRARIES)[(number + python.minor[1]) % len(LIBRARIES)]
                library = build_library(libraries, name)
                with self.subTest(packages=os.path.basename(folder), library=name), \
                        started(python, folder, "native", library) as (target, said, scratch):
                    self.each_way(target, scratch, lambda document, _, said=said:
                                  self.check_natives(document, said))
                    self.check_native_options(target, said)

    @support.each_python()
    def test_alone(self, python):
        """A thread's first greenlet is nothing to tell of, while there is no other one to switch to."""
        with started(python, self.folders(python)[-1], "alone") as (target, _, scratch):
            core = os.path.join(scratch, "core")
            self.assertEqual(0, support.pycore("gcore", "-o", core, target.pid).rc)
            for command in (("snap", target.pid), ("analyze", core)):
                self.assertNotIn("greenlets", support.pycore_json(*command))

    def check_ping(self, document, count):
        """Each of the suspended ones stands where one of them can stand."""
        found = document.get("greenlets", [])
        suspended = [one for one in found if one["state"] == "suspended"]
        for one in suspended:
            names = [row[0] for row in frames_of(document, one)]
            if one["main"]:
                self.assertEqual(["<module>", "busy"], names)
                continue
            depth = names.count("deep")
            self.assertIn(names, (["ping", "simple", "away"],
                                  ["ping"] + depth * ["deep"] + ["away"]))
            self.assertLessEqual(depth, 40)
        self.assertEqual(count + 1, len(found) +
                         document["suspended"]["greenlets_left_out"])

    @support.each_python()
    def test_busy(self, python):
        """A program that switches all the time: what was read of each is of one moment."""
        with started(python, self.folders(python)[-1], "busy", 60, still=False) as (target, _, scratch):
            capture = os.path.join(scratch, "run.pycore")
            found, deadline = 0, time.monotonic() + 60
            while found <= 20 and time.monotonic() < deadline:
                document = support.pycore_json("snap", target.pid)
                self.check_ping(document, 60)
                found += len(document.get("greenlets", []))
            self.assertGreater(found, 20)
            for options in ((), ("--raw-native",)):
                live = support.pycore_json("snap", target.pid, "-n", 5, "-i", "20ms", "--save",
                                           capture, *options)
                again = support.pycore_json("analyze", capture, *options)
                self.assertEqual(live.get("greenlets"), again.get("greenlets"))
                self.check_ping(live, 60)
            self.check_ends(live)

    def check_ends(self, document):
        """Where native frames begin and end; those of several stacks are never mixed."""
        for one in document.get("greenlets", []):
            names = [frame["function"] for frame in one["frames"] if frame["kind"] == "native"]
            if one["state"] != "suspended" or not names:
                continue
            self.assertEqual("slp_switch", names[0])
            if not one["main"]:
                self.assertIn("g_initialstub", names[-1])
                self.assertEqual(1, len([name for name in names if name and
                                         "g_initialstub" in name]))

    def test_none(self):
        """A program without greenlets has none, and says nothing of them."""
        python = next((one for one in support.interpreters() if one.build == "release"), None)
        if not python:
            self.skipTest("no Python on this machine")
        with support.start_target(python, support.path("tests/programs/waits.py")) as target:
            self.assertNotIn("greenlets", support.pycore_json("snap", target.pid))


if __name__ == "__main__":
    unittest.main()
