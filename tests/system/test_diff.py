#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""pycore diff: real programs compared with themselves and with a changed one, captures against the
JSON reports of the same runs, dumps, and what it answers where it cannot compare."""

import json
import os
import re
import shutil
import tempfile
import unittest
import xml.etree.ElementTree

import support

PROGRAM = support.path("tests/programs/diff_shares.py")
SNAPSHOTS = 80


def strip(document):
    """A comparison without what the files' names make different."""
    for side in ("before", "after"):
        for key in ("name", "source"):
            del document[side][key]
    del document["tool"]
    return document


class Diff(support.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        pythons = [python for python in support.interpreters()
                   if python.build == "release" and python.version >= (3, 7)]
        if not pythons:
            raise unittest.SkipTest("no Python from 3.7 on (time.thread_time) is on this machine")
        cls.python = pythons[-1]
        cls.other = pythons[0]
        for name, python, shares in (("same1", cls.python, (10, 45)), ("same2", cls.python, (10, 45)),
                                     ("same3", cls.python, (10, 45)), ("slow", cls.python, (90, 5)),
                                     ("other", cls.other, (90, 5))):
            with support.start_target(python, PROGRAM, *map(str, shares)) as target:
                cls.record(name, target, "-n", SNAPSHOTS, "-i", "15ms")

    @classmethod
    def record(cls, name, target, *arguments):
        outcome = support.pycore("snap", target.pid, *arguments, "-q", "--save", cls.at(name, "pycap"),
                                 "-o", cls.at(name, "json"))
        if outcome.rc not in (0, 1):
            raise AssertionError(outcome.err)

    @classmethod
    def at(cls, name, ending):
        return os.path.join(cls.folder, "%s.%s" % (name, ending))

    def compare(self, before, after, ending="json", ok=(0, 1)):
        return support.pycore_json("diff", self.at(before, ending), self.at(after, ending), ok=ok)

    def function(self, document, name):
        found = [f for f in document["functions"] if f["function"] == name]
        self.assertEqual(len(found), 1, name)
        return found[0]

    def test_same_program(self):
        # Each comparison has something to say of chance in one of twenty cases: three of three have
        # in one of some thousand.
        pairs = (("same1", "same2"), ("same2", "same3"), ("same3", "same1"))
        found = 0
        for before, after in pairs:
            document = self.compare(before, after)
            self.assertTrue(document["noise"]["told"])
            self.assertGreater(document["noise"]["functions_tested"], 1)
            found += any(f[which]["verdict"] in ("more", "less")
                         for f in document["functions"] for which in ("own", "total"))
            hot = self.function(document, "hot")
            self.assertIsNotNone(hot["before"])
            self.assertFalse(hot["moved"])
        self.assertLess(found, 3)

    def test_changed_program(self):
        document = self.compare("same1", "slow")
        hot, cool = self.function(document, "hot"), self.function(document, "cool")
        self.assertEqual(hot["total"]["verdict"], "more")
        self.assertEqual(cool["total"]["verdict"], "less")
        self.assertGreater(hot["total"]["low"], 0.2)
        self.assertLess(hot["total"]["high"], 0.99)
        self.assertAlmostEqual(hot["total"]["change"],
                               hot["after"]["total_share"] - hot["before"]["total_share"], places=5)
        main = self.function(document, "main")
        self.assertEqual(main["total"]["verdict"], "rare")
        top = document["functions"][0]
        self.assertEqual(top["function"], "hot")
        stacks = [stack for stack in document["stacks"] if stack["work"]["verdict"] == "more"]
        self.assertTrue(stacks)
        self.assertIn(document["functions"].index(hot), stacks[0]["functions"])
        stuck = [t for t in document["threads"] if t["before"] and t["before"]["name"] == "stuck"]
        self.assertEqual(list(stuck[0]["after"]["states"]), ["lock-wait"])
        self.assertTrue(any("command lines differ" in note for note in document["notes"]))

    def test_first_lines(self):
        text = support.pycore("diff", self.at("same1", "json"), self.at("slow", "json")).out
        summary = text[text.index("SUMMARY"):text.index("HOTTER BY")]
        hotter = [line for line in summary.split("\n") if line.startswith("  Hotter")]
        self.assertRegex(hotter[0], r"  Hotter    hot\(\) \S*diff_shares.py:")
        self.assertIn("B kept ", summary)
        back = support.pycore("diff", self.at("slow", "json"), self.at("same1", "json")).out
        self.assertRegex(back, r"  Colder    hot\(\) \S*diff_shares.py:")

    def test_mirrored(self):
        there, back = self.compare("same1", "slow"), self.compare("slow", "same1")
        opposite = {"more": "less", "less": "more"}
        self.assertEqual(len(there["functions"]), len(back["functions"]))
        for f in there["functions"]:
            g = [g for g in back["functions"] if g["before"] == f["after"] and g["after"] == f["before"]]
            self.assertEqual(len(g), 1)
            for which in ("own", "total"):
                one, two = f[which], g[0][which]
                self.assertEqual(one["change"], -two["change"])
                self.assertEqual((one["low"], one["high"]), (-two["high"], -two["low"]))
                self.assertEqual(one["p_value"], two["p_value"])
                self.assertEqual(one["verdict"], opposite.get(two["verdict"], two["verdict"]))
        self.assertEqual(there["noise"], back["noise"])

    def test_json_says_what_captures_say(self):
        self.assertEqual(strip(self.compare("same1", "slow", "json")),
                         strip(self.compare("same1", "slow", "pycap")))

    def test_samples_are_those_of_the_reports(self):
        with open(self.at("slow", "json"), encoding="utf-8") as stream:
            profile = json.load(stream)["profile"]
        document = self.compare("same1", "slow")
        self.assertEqual(document["after"]["samples_working"], profile["samples_working"])
        seen = {f["after"]["id"]: f["after"] for f in document["functions"] if f["after"]}
        self.assertEqual(len(seen), len(profile["functions"]))
        for f in profile["functions"]:
            self.assertEqual([seen[f["id"]][key] for key in ("own", "total", "self")],
                             [f[key] for key in ("own", "total", "self")])
        working = sum(stack["after"]["samples"] for stack in document["stacks"])
        self.assertEqual(working, profile["samples_working"])

    def test_another_python(self):
        if self.other.version[:2] == self.python.version[:2]:
            self.skipTest("there is one version of Python only")
        document = self.compare("slow", "other")
        for name in ("hot", "warm", "burn", "main"):
            f = self.function(document, name)
            self.assertTrue(f["before"] and f["after"], name)
        run = [f for f in document["functions"] if f["function"] == "_bootstrap_inner"]
        self.assertTrue(run[0]["before"] and run[0]["after"])
        self.assertTrue(any("versions of Python differ" in note for note in document["notes"]))

    def test_formats(self):
        outputs = [os.path.join(self.folder, "diff." + ending) for ending in ("txt", "md", "html")]
        arguments = [word for path in outputs for word in ("-o", path)]
        outcome = support.pycore("diff", self.at("same1", "json"), self.at("slow", "json"), *arguments)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        texts = []
        for path in outputs:
            with open(path, encoding="utf-8") as stream:
                texts.append(stream.read())
        for text in texts:
            self.assertIn("What changed from A to B", text)
            self.assertIn("alert(1)", text)
        self.assertNotIn("<script>alert", texts[2])
        self.assertIn("&lt;script&gt;alert", texts[2])
        self.assertTrue(all(len(text) < 32000 for text in texts[:2]))
        # The flame graph: every frame with its numbers, as well-formed XML.
        graph = xml.etree.ElementTree.fromstring(re.search("<svg.*?</svg>", texts[2], re.S).group())
        titles = [title.text for title in graph.iter("title")]
        hot = self.function(self.compare("same1", "slow"), "hot")
        shown = [title for title in titles if re.match(r"hot \S*diff_shares.py:\d+: ", title)]
        self.assertEqual(len(shown), 1)
        points = float(re.search(r"\((.*) points\)", shown[0]).group(1))
        self.assertAlmostEqual(points, 100 * hot["total"]["change"], delta=0.51)

    def test_top(self):
        text = support.pycore("diff", "--top", "1", self.at("same1", "json"), self.at("slow", "json")).out
        self.assertIn("more functions; --full shows them", text)

    def test_dump_and_run(self):
        with support.start_target(self.python, PROGRAM, "50", "20") as target:
            self.record("dump", target)
        document = self.compare("dump", "slow")
        self.assertFalse(document["noise"]["told"])
        self.assertIsNone(self.function(document, "hot")["total"]["p_value"])
        text = support.pycore("diff", self.at("dump", "json"), self.at("slow", "json")).out
        self.assertIn("noise cannot be told: A has only 1 snapshot", text)

    def test_dumps(self):
        with support.start_target(self.python, PROGRAM, "50", "20") as target:
            self.record("one", target)
            self.record("two", target)
        for ending in ("pycap", "json"):
            document = self.compare("one", "two", ending)
            self.assertTrue(document["same_process"])
            motions = {m["name"]: m for m in document["motions"]}
            self.assertEqual(motions["stuck"]["motion"], "same-calls")
            self.assertEqual(motions["stuck"]["cpu_ns"], 0)
            self.assertIsNone(document["functions"])
        with support.start_target(self.python, PROGRAM, "50", "20") as target:
            self.record("three", target)
        document = self.compare("one", "three")
        self.assertFalse(document["same_process"])
        motions = {m["name"]: m for m in document["motions"]}
        self.assertEqual(motions["stuck"]["motion"], "same-place")
        text = support.pycore("diff", self.at("one", "pycap"), self.at("three", "pycap")).out
        self.assertIn("not known to be of the same process", text)

    def test_errors(self):
        one = self.at("same1", "json")
        for arguments, status in (((one,), 64), ((one, one, one), 64), ((one, one, "-f", "csv"), 64),
                                  ((one, self.at("absent", "json")), 2), ((one, PROGRAM), 2)):
            outcome = support.pycore("diff", *arguments)
            self.assertEqual(outcome.rc, status, outcome.err)
            self.assertEqual(outcome.out, "")
            self.assertEqual(outcome.err.count("\n"), 1)

    def test_incomplete(self):
        with open(self.at("same1", "json"), encoding="utf-8") as stream:
            document = json.load(stream)
        document["source"]["complete"] = False
        document["notes"].append("pages were missing")
        with open(self.at("part", "json"), "w", encoding="utf-8") as stream:
            json.dump(document, stream)
        outcome = support.pycore("diff", self.at("part", "json"), self.at("same2", "json"))
        self.assertEqual(outcome.rc, 1)
        self.assertIn("A is incomplete", outcome.out)
        self.assertIn("A: pages were missing", outcome.out)


if __name__ == "__main__":
    import tap
    tap.main()
