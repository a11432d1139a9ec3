#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hotspots by task: a program whose tasks share the processor as they are told to, and what each
format says of their stacks, against the JSON report of the same capture, to the last sample."""

import collections
import csv
import gzip
import io
import json
import os
import pstats
import re
import tempfile
import unittest
import xml.etree.ElementTree

import browser
import harm
import support
import tap
import test_flame as flame
from test_flame import SVG, WORKING, weight_of

PROGRAM = support.path("tests/programs/busy_tasks.py")
SNAPSHOTS = 100


def observe(python, folder):
    """A capture of the program."""
    capture = os.path.join(folder, "capture")
    with support.start_target(python, PROGRAM) as target:
        outcome = support.pycore("snap", target.pid, "-n", SNAPSHOTS, "-i", "11ms", "--save", capture,
                                 "-f", "json")
    if outcome.rc not in (0, 1):
        raise AssertionError(outcome.err)
    return capture


def is_unread(frame):
    """Its code object could not be read."""
    return frame["kind"] != "native" and frame["qualname"] is None and frame["function"] is None


def name_of(frame):
    return "?" if is_unread(frame) else flame.name_of(frame)


def folded_label(frame):
    return "?" if is_unread(frame) else flame.folded_label(frame)


def async_stacks(profile, weight):
    """((frame, outermost first), thread, what waits) -> weight"""
    counted = collections.Counter()
    for stack in profile["stacks"]:
        frames = stack["frames"]
        if stack.get("task_frames"):
            frames = frames[:stack["task_frames"]] + stack["awaiting"]
        counted[tuple(reversed(frames)), stack["tid"], False] += weight_of(stack, weight)
    if weight == "wall":
        for site in profile["await_sites"]:
            counted[tuple(reversed(site["frames"])), site["tid"], True] += site["samples"]
    return +counted


def labelled(profile, weight):
    """The same as folded stacks have it."""
    counted = collections.Counter()
    for (frames, _, _), count in async_stacks(profile, weight).items():
        counted[";".join(folded_label(profile["frames"][frame]) for frame in frames)] += count
    return counted


def folded(text):
    counted = collections.Counter()
    for line in text.splitlines():
        stack, count = line.rsplit(" ", 1)
        counted[stack] += int(count)
    return counted


def fields(data):
    """(number, value) of a message of Protocol Buffers."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = varint()
            yield key >> 3, data[at:at + size]
            at += size


class Shares(support.TestCase):
    """What the tasks had of the processor, and where they waited."""

    @support.each_python()
    def test_live(self, python):
        with tempfile.TemporaryDirectory() as folder:
            profile = support.pycore_json("analyze", observe(python, folder), ok=(0, 1))["profile"]
        samples = collections.Counter()
        for task in profile["tasks"]:
            self.assertLessEqual(task["low"], task["samples_working"] / profile["samples_working"])
            self.assertEqual(sum(task["states"].values()), task["samples"])
            samples[task["coroutine"]] += task["samples_working"]
            if task["coroutine"] in ("heavy", "light") and task["name"] is not None:
                self.assertEqual(task["root_coroutine"], "main")
                self.assertIn(profile["functions"][task["hottest"]]["function"],
                              ("spin", "thread_time", "perf_counter"))
        self.check_sums(profile, samples)
        total = samples["heavy"] + samples["light"]
        # On a busy machine it may hardly have run.
        self.assertGreater(total, 0.9 * profile["samples_working"])
        self.assertGreater(total, 50)
        # Seven standard deviations of as many draws.
        self.assertAlmostEqual(samples["heavy"] / total, 0.7, delta=7 * (0.21 / total) ** 0.5)
        self.check_sites(profile)

    @harm.versions("3.8", "3.12", "3.14")
    def test_capture(self, python):
        """What is only met when tasks are looked at again is in the capture, too."""
        with tempfile.TemporaryDirectory() as folder, \
                support.start_target(python, PROGRAM) as target:
            capture = os.path.join(folder, "capture")
            for _ in range(4):
                live = support.pycore_json("snap", target.pid, "-n", "40", "-i", "11ms", "--save",
                                           capture, ok=(0, 1))
                replay = support.pycore_json("report", capture, ok=(0, 1))
                for part in ("tasks", "loops", "task_groups", "suspended"):
                    self.assertEqual(live[part], replay[part], part)

    def check_sums(self, profile, samples):
        """Each working sample of the thread is of one task, or of none."""
        by_task, none = collections.Counter(), 0
        main = max(profile["threads"], key=lambda thread: thread["cpu_ns"])
        for stack in profile["stacks"]:
            if stack["state"] not in WORKING or stack["tid"] != main["tid"]:
                continue
            if "task" in stack:
                by_task[profile["tasks"][stack["task"]]["coroutine"]] += stack["samples"]
            else:
                none += stack["samples"]
        self.assertEqual(by_task, +samples)
        working = sum(main["states"].get(state, 0) for state in WORKING)
        self.assertEqual(sum(by_task.values()) + none, working)

    def check_sites(self, profile):
        names = lambda site: [name_of(profile["frames"][frame]) for frame in site["frames"]]
        sites = {site["coroutine"].split(".")[-1]: site for site in profile["await_sites"]
                 if site["samples"] > site["of_snapshots"] / 2}
        patient, lonely = sites["patient"], sites["lonely"]
        self.assertEqual(patient["most"], 7)
        self.assertGreater(patient["mean"], 5) # of a loop that runs, some tasks may be left out
        self.assertEqual([name.split(".")[-1] for name in names(patient)],
                         ["wait", "patient", "root", "main"])
        self.assertEqual(patient["task_frames"], 2)
        self.assertEqual(list(patient["kinds"]), ["event"])
        self.assertEqual([name.split(".")[-1] for name in names(lonely)], ["sleep", "lonely"])
        self.assertEqual(list(lonely["kinds"]), ["sleep"])


class Formats(support.TestCase):
    @classmethod
    def setUpClass(cls):
        pythons = [python for python in support.interpreters()
                   if python.build == "release" and python.minor >= (3, 11)]
        if not pythons:
            raise unittest.SkipTest("no release build of Python 3.11 or later is on this machine")
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = cls.holder.name
        cls.capture = observe(pythons[-1], cls.folder)
        cls.document = os.path.join(cls.folder, "document.json")
        outcome = support.pycore("analyze", cls.capture, "-o", cls.document)
        if outcome.rc not in (0, 1):
            raise AssertionError(outcome.err)
        with open(cls.document, encoding="utf-8") as stream:
            cls.profile = json.load(stream)["profile"]

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def render(self, form, *options, source=None):
        command = "analyze" if source is None else "report"
        outcome = support.pycore(command, source or self.capture, "-f", form, "--async-stacks",
                                 *options, binary=True)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        return outcome.out

    def total(self, weight):
        return sum(async_stacks(self.profile, weight).values())

    def test_folded(self):
        for weight in ("samples", "wall", "cpu"):
            with self.subTest(weight):
                text = self.render("folded", "--weight", weight).decode()
                self.assertEqual(folded(text), labelled(self.profile, weight))
                again = self.render("folded", "--weight", weight, source=self.document).decode()
                self.assertEqual(again, text)
        self.assertEqual(self.render("folded", "--idle"), self.render("folded", "--weight", "wall"))
        self.assertRegex(text, r"(?m)^main [^;]*;root [^;]*;heavy [^;]*;spin ")

    def test_speedscope(self):
        made = json.loads(self.render("speedscope", "--weight", "wall"))
        interval, counted = self.profile["interval_ns"], collections.Counter()
        frames = [(frame["name"], frame.get("line")) for frame in made["shared"]["frames"]]
        for profile in made["profiles"]:
            tid = int(re.search(r"\(([0-9]+)\)$", profile["name"]).group(1))
            waits = profile["name"].startswith("waiting tasks of ")
            for sample, weight in zip(profile["samples"], profile["weights"]):
                if sample:
                    counted[tuple(frames[frame] for frame in sample), tid, waits] += weight
        expected = collections.Counter()
        for (stack, tid, waits), weight in async_stacks(self.profile, "wall").items():
            stack = tuple((name_of(self.profile["frames"][frame]),
                           self.profile["frames"][frame].get("line") or None) for frame in stack)
            expected[stack, tid, waits] += weight * interval
        self.assertEqual(counted, expected)
        self.assertFalse(made["profiles"][made["activeProfileIndex"]]["name"].startswith("waiting"))

    def test_svg(self):
        for weight in ("samples", "wall"):
            root = xml.etree.ElementTree.fromstring(self.render("svg", "--weight", weight))
            box = root.find("%sg[@id='frames']/%sg" % (SVG, SVG))
            self.assertEqual(int(box.get("data-w")), self.total(weight))

    def test_csv(self):
        expected = {"total": collections.Counter(), "total_waiting": collections.Counter()}
        frame_of = lambda index: (self.profile["frames"][index]["function_id"])
        for weight, sign in (("wall", 1), ("samples", -1)):
            for (stack, _, _), count in async_stacks(self.profile, weight).items():
                for function in set(map(frame_of, stack)):
                    expected["total_waiting"][function] += sign * count
                    expected["total"][function] += count if sign < 0 else 0
        functions = self.profile["functions"]
        named = {column: collections.Counter() for column in expected}
        for column, counts in expected.items():
            for function, count in counts.items():
                named[column][name_of(functions[function])] += count
        found = {column: collections.Counter() for column in expected}
        for row in csv.DictReader(io.StringIO(self.render("csv").decode(), newline="")):
            for column in expected:
                found[column][row["qualname"] or row["function"] or row["module"]] += int(row[column])
        for column in expected:
            wanted = {name.replace(" (no symbol)", ""): count for name, count in named[column].items()}
            self.assertEqual({name.replace(" (no symbol)", "").strip("{}"): count
                              for name, count in (+found[column]).items()},
                             {name.strip("{}"): count for name, count in wanted.items() if count})

    def test_callgrind_and_pstats(self):
        text = self.render("callgrind", "--weight", "wall").decode()
        events = re.search(r"(?m)^events: (.*)$", text).group(1).split()
        totals = dict(zip(events, map(int, re.search(r"(?m)^totals: (.*)$", text).group(1).split())))
        wall = self.total("wall")
        self.assertEqual(totals["Samples"], wall)
        self.assertEqual(totals["Waiting"], wall - self.total("samples"))
        path = os.path.join(self.folder, "made.pstats")
        with open(path, "wb") as stream:
            stream.write(self.render("pstats", "--weight", "wall"))
        stats = pstats.Stats(path)
        self.assertAlmostEqual(stats.total_tt, wall * self.profile["interval_ns"] / 1e9, delta=0.01)
        heavy, = [row for key, row in stats.stats.items() if key[2].split(".")[-1] == "heavy"]
        callers = {key[2].split(".")[-1] for key in heavy[4]}
        self.assertEqual(callers - {"Handle._run", "_run"}, callers)
        self.assertIn("root", callers)

    def test_pprof(self):
        """The labels are there with and without the option."""
        for options in ((), ("--async-stacks",)):
            outcome = support.pycore("analyze", self.capture, "-f", "pprof", "--weight", "wall",
                                     *options, binary=True)
            message = list(fields(gzip.decompress(outcome.out)))
            strings = [value.decode() for number, value in message if number == 6]
            counted, waits = collections.Counter(), collections.Counter()
            for number, sample in message:
                if number != 2:
                    continue
                labels, count = {}, 0
                for part, value in fields(sample):
                    if part == 2:
                        count = next(self.varints(value))
                    elif part == 3:
                        label = dict(fields(value))
                        labels[strings[label[1]]] = strings[label[2]]
                if labels["state"] == "await":
                    waits[labels["task"], labels["await"]] += count
                else:
                    counted[labels.get("task"), labels.get("root_task")] += count
            self.assertEqual(counted, self.labels_of_json())
            sites = collections.Counter()
            for site in self.profile["await_sites"] if options else ():
                sites[site["coroutine"], max(site["kinds"], key=site["kinds"].get)] += site["samples"]
            self.assertEqual(sum(waits.values()), sum(sites.values()))
            self.assertEqual({task for task, _ in waits}, {task for task, _ in sites})

    @staticmethod
    def varints(data):
        value = shift = 0
        for byte in data:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                yield value
                value = shift = 0

    def labels_of_json(self):
        counted = collections.Counter()
        for stack in self.profile["stacks"]:
            labels = [None, None]
            if "task" in stack:
                task = self.profile["tasks"][stack["task"]]
                for i, (coroutine, name) in enumerate((("coroutine", "name"),
                                                       ("root_coroutine", "root_name"))):
                    words = [task[coroutine], task[name] and "(%s)" % task[name]]
                    labels[i] = " ".join(word for word in words if word) or None
            counted[tuple(labels)] += stack["samples"]
        return counted

    @support.not_sanitized
    def test_html(self):
        path = os.path.join(self.folder, "page.html")
        support.pycore("analyze", self.capture, "-o", path)
        widths = """(() => { const graph = pycore.flame.view.graph, sums = {};
            graph.parent.forEach((parent, at) => { if (at && parent === 0)
              sums[pycore.tree.nameOf(graph, at)] = (sums[pycore.tree.nameOf(graph, at)] || 0) + graph.value[at]; });
            return [graph.value[0], sums]; })()"""
        with browser.Page("file://" + path) as page:
            page.wait("!!window.pycore || typeof pycore !== 'undefined'")
            self.assertEqual(page.run("document.getElementById('graph-stacks').value"), "threads")
            whole, _ = page.run(widths)
            self.assertEqual(whole, self.profile["samples_working"])
            page.choose("#graph-stacks", "tasks")
            for count, weight in (("working", "samples"), ("wall", "wall"), ("cpu", "cpu")):
                page.run("document.querySelector('input[name=count][value=%s]').click()" % count)
                whole, sums = page.run(widths)
                expected = collections.Counter()
                for (stack, _, _), value in async_stacks(self.profile, weight).items():
                    expected[name_of(self.profile["frames"][stack[0]]) if stack else "all"] += value
                expected.pop("all", None)
                self.assertEqual(sums, {name: value for name, value in expected.items()}, count)
                self.assertEqual(whole, self.total(weight))
            self.assertEqual(page.complaints, [])
        outcome = support.pycore("analyze", self.capture, "-o", path, "--async-stacks")
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        with browser.Page("file://" + path) as page:
            self.assertEqual(page.run("document.getElementById('graph-stacks').value"), "tasks")
            self.assertGreater(page.run("document.querySelectorAll('section[data-part=tasks-by-cpu]').length"), 0)

    def test_text(self):
        text = self.render("text").decode()
        for title in ("TASKS BY CPU", "CALL TREE OF TASKS", "WHERE TASKS WAIT"):
            self.assertIn(title, text)
        shown = re.search(r"(?m)^ +([0-9.]+) %.* heavy \(Task-[0-9]+\) +main \(Task-1\) ", text)
        heavy, = [task for task in self.profile["tasks"] if task["coroutine"] == "heavy" and task["name"]]
        self.assertAlmostEqual(float(shown.group(1)), 100 * heavy["samples_working"] /
                               self.profile["samples_working"], delta=0.5001)
        shown = re.search(r"(?m)^ +([0-9.]+) +7 +event .*patient ", text)
        patient = max((site for site in self.profile["await_sites"] if site["coroutine"] == "patient"),
                      key=lambda site: site["samples"])
        self.assertAlmostEqual(float(shown.group(1)), patient["mean"], delta=0.0501)

    def test_filters(self):
        """A filter by thread leaves the tasks of others out."""
        main = max(self.profile["threads"], key=lambda thread: thread["cpu_ns"])
        other = next(thread for thread in self.profile["threads"] if thread is not main)
        mine = support.pycore_json("analyze", self.capture, "--thread", main["tid"], ok=(0, 1))["profile"]
        none = support.pycore_json("analyze", self.capture, "--thread", other["tid"], ok=(0, 1))["profile"]
        self.assertEqual(mine["tasks"], [dict(task, **{key: kept[key] for key in ("low", "high", "hottest")})
                                         for task, kept in zip(self.profile["tasks"], mine["tasks"])])
        self.assertEqual([site["samples"] for site in mine["await_sites"]],
                         [site["samples"] for site in self.profile["await_sites"]])
        self.assertNotIn("tasks", none)
        self.assertNotIn("await_sites", none)


if __name__ == "__main__":
    tap.main()
