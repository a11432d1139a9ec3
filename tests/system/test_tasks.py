#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every task of every loop, where it stands and what it awaits, against what the program itself says of
them: of a live process, of its core, and of a capture."""

import glob
import json
import os
import tempfile

import harm
import support

PROGRAM = support.path("tests/programs/tasks.py")
LOOPS_PROGRAM = support.path("tests/programs/loops.py")


def told_by(target):
    """{id of the task: facts}, as the program told them."""
    return {int(task): facts for line in target.lines if line.startswith("{")
            for task, facts in json.loads(line).items()}


def frames_of(task):
    return [[frame["function"], frame["file"], frame["line"]] for frame in task["frames"] or []
            if frame["kind"] == "python"]


class Tasks(support.TestCase):
    def check_awaits(self, told, found, labels, document, live):
        awaits = found["awaits"]
        self.assertIsNotNone(awaits, (told, found))
        self.assertEqual(told["kind"], awaits["kind"], (told, found))
        self.assertEqual(told["awaits"], sorted(
            labels[int(document["tasks"][index]["id"], 16)] for index in awaits["tasks"]), found)
        self.assertEqual(len(told["awaits"]), awaits["task_count"])
        self.assertEqual((told.get("what"), told.get("type")),
                         (awaits["what"] if told.get("what") else None, awaits["type"]), found)
        holder = awaits["holder"]
        self.assertEqual(told.get("holder"),
                         None if holder is None else
                         labels[int(document["tasks"][holder]["id"], 16)], found)
        self.assertEqual(told.get("fd"), awaits["fd"], found)
        if live and told["kind"] == "sleep":
            self.assertTrue(4000 * 10**9 < awaits["left_ns"] <= 5000 * 10**9, found)
        names = {thread["tid"]: thread["name"] for thread in
                 document["snapshots"][-1]["threads"]}
        self.assertEqual(told.get("thread"), names.get(awaits["thread"]), found)

    def check_task(self, told, found, labels, document, live, python):
        self.assertEqual(told["state"], found["state"], (told, found))
        self.assertEqual(told["name"], found["name"])
        self.assertEqual(told.get("task_type", "Task"), found["type"])
        self.assertEqual(told["loop"], int(document["loops"][found["loop"]]["id"], 16))
        if told["state"] == "finished":
            self.assertEqual(told["exception"], found["exception"])
            return
        self.assertEqual(told["coroutine"], found["coroutine"])
        self.assertEqual(told["cancelling"], found["cancelling"], (told, found))
        self.assertFalse(found.get("cut"))
        if told["state"] != "running":
            self.assertEqual(told["frames"], frames_of(found), told["label"])
        if told["state"] in ("waiting", "ready") and told.get("kind"):
            self.check_awaits(told, found, labels, document, live)

    def check(self, told, document, python, live=False, heap=False):
        labels = {task: facts["label"] for task, facts in told.items()}
        found = {int(task["id"], 16): task for task in document["tasks"]}
        # 3.14 lists no task that is done; but in the heap there it is.
        expected = {task for task, facts in told.items()
                    if facts["state"] != "finished" or python.minor < (3, 14) or heap}
        self.assertEqual(sorted(labels[task] for task in expected),
                         sorted(labels.get(task, "?") for task in found))
        for task in expected:
            with self.subTest(task=labels[task]):
                self.check_task(told[task], found[task], labels, document, live, python)
        for index, task in enumerate(document["tasks"]):
            self.assertEqual(sorted(task["awaited_by"]),
                             [other for other, its in enumerate(document["tasks"])
                              if index in (its["awaits"] or {"tasks": []})["tasks"]])

    def check_loops(self, document):
        loops = document["loops"]
        threads = {thread["tid"]: thread["name"]
                   for thread in document["snapshots"][-1]["threads"]}
        self.assertEqual({"MainThread", "other loop"}, {threads[loop["thread"]] for loop in loops})
        self.assertEqual({(0, None)}, {(loop["ready"], loop["current"]) for loop in loops})
        self.assertTrue(all(loop["scheduled"] > 0 for loop in loops), loops)

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_asleep(self, python):
        with support.start_target(python, PROGRAM, "asleep", flags=("-W", "ignore"),
                                  still=True) as target, \
                tempfile.TemporaryDirectory() as folder:
            told = told_by(target)
            core, capture = os.path.join(folder, "core"), os.path.join(folder, "run.pycore")
            live = support.pycore_json("snap", target.pid, "--save", capture)
            self.check(told, live, python, live=True)
            self.check_loops(live)
            replay = support.pycore_json("analyze", capture)
            self.assertEqual((live["tasks"], live["loops"]), (replay["tasks"], replay["loops"]))
            if python.build == "release":
                self.check(told, support.pycore_json("snap", target.pid), python, live=True)
                outcome = support.pycore("gcore", "-o", core, target.pid)
                self.assertEqual(0, outcome.rc, outcome.err)
                self.check(told, support.pycore_json("analyze", core), python, heap=True)
                support.until_still(target.pid)  # epoll_wait() ends when its thread was stopped
                os.unlink(capture)
                live = support.pycore_json("snap", target.pid, "--generators", "--save", capture)
                self.check(told, live, python, live=True, heap=True)
                replay = support.pycore_json("analyze", capture, "--generators")
                self.assertEqual(live["tasks"], replay["tasks"])

    @harm.versions("3.6", "3.7", "3.9", "3.10", "3.12")
    def test_debug_mode(self, python):
        """asyncio has stand-ins for coroutines then, up to 3.10."""
        with support.start_target(python, PROGRAM, "asleep", flags=("-W", "ignore"),
                                  env={"PYTHONASYNCIODEBUG": "1"}, still=True) as target:
            told = told_by(target)
            self.check(told, support.pycore_json("snap", target.pid), python, live=True)

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_blocked(self, python):
        with support.start_target(python, PROGRAM, "blocked", flags=("-W", "ignore"),
                                  still=True) as target:
            told = told_by(target)
            document = support.pycore_json("snap", target.pid, "-n", "4", "-i", "20ms",
                                           "--snapshots")
            self.check(told, document, python)
            states = {facts["label"]: facts["state"] for facts in told.values()}
            self.assertEqual({"before": "waiting", "woken": "ready", "created": "created",
                              "blocking": "running", "awaits blocking": "waiting",
                              "main": "waiting"}, states)
            running = next(task for task in document["tasks"] if task["state"] == "running")
            told = told[int(running["id"], 16)]
            # It went on since, in the function that told.
            names = [frame[0] for frame in told["frames"]]
            expected = told["frames"][names.index("sleep_as_it_may_not"):]
            frames = frames_of(running)
            self.assertEqual("sleep_as_it_may_not", frames[0][0])
            self.assertEqual(expected[1:], frames[1:])
            loop, = document["loops"]
            self.assertEqual(document["tasks"].index(running), loop["current"])
            self.assertEqual(4, loop["same_snapshots"])
            self.check_turns(document, running)

    def check_turns(self, document, running):
        for snapshot in document["snapshots"]:
            turn = snapshot["threads"][0]["turn"]
            self.assertEqual((running["id"], running["name"], "blocking"),
                             (turn["task"], turn["name"], turn["coroutine"]))
            frames = snapshot["threads"][0]["frames"]
            self.assertEqual("blocking", frames[turn["frames"] - 1]["function"])
            self.assertEqual(["direct"], [frame["function"] for frame in turn["awaiting"]])
            if running["name"]:
                root, = [task["name"] for task in document["tasks"]
                         if task["coroutine"] == "direct"]
                self.assertEqual(root, turn["root"])

    # kind: library and type of the loop, type of what stands for the group
    LOOPS = {
        "uvloop": ("asyncio", "uvloop.Loop", "TaskGroup"),
        "anyio": ("asyncio", "_UnixSelectorEventLoop", "Future"),
        "trio": ("trio", "Runner", "Nursery"),
    }

    def check_group(self, document, kind):
        library, loop_type, group = self.LOOPS[kind]
        self.assertEqual([(library, loop_type)], [(loop["library"], loop["type"])
                                                  for loop in document["loops"]])
        self.assertEqual(document["source"]["pid"], document["loops"][0]["thread"])
        tasks = document["tasks"]
        by_name = {task["name"]: index for index, task in enumerate(tasks)}
        main = next(index for index, task in enumerate(tasks)
                    if task["coroutine"].endswith("main"))
        awaits = tasks[main]["awaits"]
        self.assertEqual(("several", group), (awaits["kind"], awaits["type"]))
        self.assertEqual(sorted(by_name[name] for name in ("one", "two", "three")),
                         sorted(awaits["tasks"]))
        for name, what in (("one", "event"), ("two", "event"), ("three", "sleep")):
            task = tasks[by_name[name]]
            self.assertEqual(("waiting", what, [main]), (
                task["state"], task["awaits"]["kind"], task["awaited_by"]), task)
        functions = [frame[0] for frame in frames_of(tasks[by_name["two"]])
                     if frame[1].endswith("/loops.py")]
        self.assertEqual(["happen"] + 4 * ["nested"], functions)

    def test_other_loops(self):
        python = support.find_python("3.11")
        folders = [folder for top in (os.path.join(support.SRCDIR, "build"), support.BUILDDIR,
                                      os.path.dirname(support.BUILDDIR))
                   for folder in glob.glob(os.path.join(top, "packages", "3.11-trio-*[0-9]"))]
        if not python or not folders:
            self.skipTest("no trio for python3.11 in build/packages (tests/tools/get-packages)")
        for kind in sorted(self.LOOPS):
            with self.subTest(loop=kind), tempfile.TemporaryDirectory() as folder, \
                    support.start_target(python, LOOPS_PROGRAM, kind,
                                         env={"PYTHONPATH": folders[0]}, still=True) as target:
                core, capture = os.path.join(folder, "core"), os.path.join(folder, "run.pycore")
                live = support.pycore_json("snap", target.pid, "--save", capture)
                self.check_group(live, kind)
                replay = support.pycore_json("analyze", capture)
                self.assertEqual((live["tasks"], live["loops"]),
                                 (replay["tasks"], replay["loops"]))
                self.assertEqual(0, support.pycore("gcore", "-o", core, target.pid).rc)
                self.check_group(support.pycore_json("analyze", core), kind)


if __name__ == "__main__":
    import tap
    tap.main()
