#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions against what the program itself says of them by Python's traceback module."""

import json
import os
import tempfile

import support
import tap

SCRIPT = support.path("tests/programs/exceptions.py")
MEMBERS = 5
OUTER, INNER = 100, 400
BUILDS = ("release", "debug", "free-threaded")


def trees(found):
    """The list of a thread as trees, of those that are handled: [{..., cause, context, members}]."""
    roots = []
    for number, exception in enumerate(found):
        exception["below"] = {}
        if exception["of"] is None:
            roots.append(exception)
            continue
        assert exception["of"] < number, found
        below = found[exception["of"]]["below"]
        below.setdefault(exception["role"], []).append(exception)
    return roots


class Exceptions(support.TestCase):
    def same(self, found, said, where):
        self.assertEqual(found["type"], said["type"], where)
        self.assertEqual(found["message"], said["message"], where)
        self.assertEqual(found.get("arguments"), said["arguments"], where)
        if said["first_line"] is not None:
            line = found["type"] + (": " + found["message"] if found["message"] else "")
            self.assertEqual(line.split("\n")[0], said["first_line"], where)
        self.assertEqual(found.get("notes", []), said["notes"], where)
        lines = said["traceback"]
        left_out = max(0, len(lines) - OUTER - INNER)
        if left_out:
            lines = lines[:OUTER] + lines[-INNER:]
        self.assertEqual(found.get("lines_left_out", 0), left_out, where)
        self.assertEqual([[line["function"], line["file"], line["line"]]
                          for line in found["traceback"]], lines, where)
        self.assertNotIn("cut", found)
        for role in "cause", "context":
            below = found["below"].get(role, [])
            self.assertEqual(len(below), role in said, (where, role))
            if below:
                self.same(below[0], said[role], where + " " + role)
        members = found["below"].get("member", [])
        self.assertEqual(found.get("members", 0), len(said.get("members", [])), where)
        for number, one in enumerate(said.get("members", [])[:MEMBERS]):
            self.same(members[number], one, where + " member")

    def check(self, document, said):
        threads = {thread["name"]: thread for thread in document["snapshots"][0]["threads"]}
        for item in said:
            thread = threads[item["thread"]]
            found = thread.get("exceptions", [])
            self.assertTrue(all(one["role"] != "raised" for one in found))
            if item["roots"] is None:  # ring
                self.assertEqual([one["role"] for one in found], ["handled", "cause"])
                continue
            roots = trees(found)
            self.assertEqual(len(roots), len(item["roots"]), item["thread"])
            for one, expected in zip(roots, item["roots"]):
                self.assertEqual(one["role"], "handled")
                self.same(one, expected, item["thread"])
        self.assertNotIn("exceptions", threads["MainThread"])

    @support.each_python(builds=BUILDS, every_patch=True)
    def test_live(self, python):
        with support.start_target(python, SCRIPT, still=True) as target:
            said = json.loads(target.lines[-2])
            self.check(support.pycore_json("snap", target.pid), said)

    @support.each_python(builds=BUILDS)
    def test_core_and_capture(self, python):
        with tempfile.TemporaryDirectory() as folder:
            core = os.path.join(folder, "core")
            captures = [os.path.join(folder, name) for name in ("live.pycore", "core.pycore")]
            with support.start_target(python, SCRIPT, still=True) as target:
                said = json.loads(target.lines[-2])
                self.check(support.pycore_json("snap", target.pid, "--save", captures[0]), said)
                self.assertEqual(support.pycore("gcore", target.pid, "-o", core).rc, 0)
            self.check(support.pycore_json("analyze", core, "--save", captures[1]), said)
            for capture in captures:
                self.check(support.pycore_json("analyze", capture), said)


if __name__ == "__main__":
    tap.main()
