#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""pycore report: of captures, cores and JSON documents, in every format, what the run that made them
printed; a document written again is the same to the byte. And the JSON Schema of documents."""

import contextlib
import copy
import glob
import gzip
import json
import os
import textwrap
import time
import unittest

import harm
import support
from test_hostile_text import HOSTILE

EARLY = True
SCHEMA = support.path("share/pycore-1.schema.json")
PROCESSES = support.path("tests/programs/processes.py")
# All of a run's report that is text: what `report` must print again.
ENDINGS = ("json", "txt", "md")

PROGRAM = '''
import os, sys, threading, time
lock = threading.Lock()

def hot(n):
    total = 0
    for i in range(n):
        total += i * i
    return total

def descend(n):
    return hot(200) if n == 0 else descend(n - 1)

def work():
    while True:
        hot(1000)
        descend(20)
        sorted(range(2000), key=lambda x: -x)

def wait():
    with lock:
        pass

lock.acquire()
threading.Thread(target=work, name="worker \\u00e9\\"\\\\", daemon=True).start()
threading.Thread(target=wait, name="waits", daemon=True).start()
print("READY")
sys.stdout.flush()
work() if sys.argv[1:] else time.sleep(1000)
'''

NAMES = '''
import sys, threading, types
never = threading.Event()

def wrap(name, inner):
    def frame():
        inner()
    code = frame.__code__.replace(co_name=name, co_filename="/x/" + name + ".py")
    return types.FunctionType(code, globals(), name, None, frame.__closure__)

def spin():
    while True:
        sum(range(1000))

inner = spin
for name in %r:
    inner = wrap(name, inner)
    threading.Thread(target=never.wait, name=name, daemon=True).start()
print("READY")
sys.stdout.flush()
inner()
''' % (HOSTILE,)


class Folder(support.FolderCase):
    def read(self, name):
        with open(self.file(name), "rb") as stream:
            return stream.read()

    def write(self, name, data):
        with open(self.file(name), "wb") as stream:
            stream.write(data)
        return self.file(name)

    @contextlib.contextmanager
    def target(self, python, text, *arguments):
        script = self.write("service.py", textwrap.dedent(text).encode("utf-8", "surrogatepass"))
        with support.start_target(python, script, *arguments) as target:
            yield target

    def made(self, name, command, *arguments, ok=(0,), **options):
        """pycore's reports of all kinds: name.json, name.txt, name.md."""
        outputs = [part for ending in ENDINGS for part in ("-o", self.file(name + "." + ending))]
        done = support.pycore(command, *arguments, "-q", *outputs, **options)
        self.assertIn(done.rc, ok, done.err)
        return done

    def check_again(self, name, **options):
        """The document gives the same reports once more."""
        first = self.made(name + "-again", "report", self.file(name + ".json"), ok=(0, 1), **options)
        for ending in ENDINGS:
            self.assertEqual(self.read("%s-again.%s" % (name, ending)),
                             self.read("%s.%s" % (name, ending)), ending)
        document = json.loads(self.read(name + ".json"))
        self.assertEqual(first.rc, 0 if document["source"]["complete"] else 1)
        return document


class Again(Folder):
    """What is printed of a document is what the run printed."""

    @harm.versions("3.6", "3.11", "3.14")
    def test_live(self, python):
        with self.target(python, PROGRAM) as target:
            self.made("dump", "snap", target.pid, ok=(0, 1))
            self.made("hot", "snap", target.pid, "-n", "10", "-i", "20ms", ok=(0, 1))
            self.made("all", "snap", target.pid, "-n", "5", "-i", "20ms", "--snapshots", ok=(0, 1))
            self.made("python", "snap", target.pid, "-n", "5", "-i", "20ms", "--no-native",
                      ok=(0, 1))
        self.assertNotIn("moments", self.check_again("dump")["profile"] or {})
        hot = self.check_again("hot")
        self.assertNotIn("snapshots", hot)
        self.check_source_lines(hot)
        document = self.check_again("all")
        self.assertEqual(len(document["snapshots"]), 5)
        self.check_time_line(document)
        self.check_again("python")

    def check_source_lines(self, document):
        """Lines with samples of their own come with what stands there in their file."""
        profile, source = document["profile"], {}
        for line in profile["lines"]:
            file = profile["functions"][line["function"]]["file"]
            if "text" not in line or file != self.file("service.py"):
                continue
            self.assertGreater(line["own"] + line["own_waiting"], 0)
            source[line["line"]] = line["text"]
        rows = self.read("service.py").decode().split("\n")
        self.assertTrue(source)
        self.assertEqual(source, {line: rows[line - 1] for line in source})

    def check_time_line(self, document):
        profile = document["profile"]
        self.assertEqual([moment["at_ns"] for moment in profile["moments"]],
                         [snapshot["at_ns"] for snapshot in document["snapshots"]])
        seen = [0] * len(profile["stacks"])
        for moment, snapshot in zip(profile["moments"], document["snapshots"]):
            for index, thread in zip(moment["stacks"], snapshot["threads"]):
                seen[index] += 1
                stack = profile["stacks"][index]
                self.assertEqual((stack["tid"], stack["state"], stack.get("holds_gil", False)),
                                 (thread["tid"], thread["state"], bool(thread["holds_gil"])))
                frames = [profile["frames"][frame] for frame in stack["frames"]]
                self.assertEqual([frame["function"] for frame in frames],
                                 [frame["function"] for frame in thread["frames"]])
        self.assertEqual(seen, [stack["samples"] for stack in profile["stacks"]])

    @harm.versions("3.12")
    def test_fixed_by_options(self, python):
        """Options of the report, too: they show the same of a document as of the run."""
        options = ("--weight", "wall", "--top", "3", "--full")
        with self.target(python, PROGRAM) as target:
            done = support.pycore("snap", target.pid, "-n", "5", "-i", "20ms", "-q", "-o",
                                  self.file("run.json"), "-o", self.file("run.txt"), *options)
        self.assertIn(done.rc, (0, 1), done.err)
        again = support.pycore("report", self.file("run.json"), *options)
        self.assertEqual(again.out, self.read("run.txt").decode())

    @harm.versions("3.8", "3.13")
    def test_hostile_names(self, python):
        with self.target(python, NAMES) as target:
            self.made("dump", "snap", target.pid, ok=(0, 1))
            self.made("hot", "snap", target.pid, "-n", "3", "-i", "20ms", "--snapshots", ok=(0, 1))
        document = self.check_again("dump")
        names = {thread["name"] for thread in document["snapshots"][0]["threads"]}
        self.assertLessEqual(set(HOSTILE), names)
        self.check_again("hot")

    @harm.versions("3.12")
    def test_capture(self, python):
        """A capture, its document, and the run: all say the same."""
        capture = self.file("run.cap")
        with self.target(python, PROGRAM) as target:
            self.made("run", "snap", target.pid, "-n", "5", "-i", "20ms", "--save", capture,
                      ok=(0, 1))
        self.made("capture", "report", capture, ok=(0, 1))
        self.check_again("run")
        self.check_again("capture")
        self.assertEqual(support.pycore("report", capture, "-f", "md").out,
                         support.pycore("analyze", capture, "-f", "md").out)

        def numbers(name):
            profile = json.loads(self.read(name + ".json"))["profile"]
            return {key: profile[key] for key in ("samples", "functions", "stacks", "threads")}
        self.assertEqual(numbers("run"), numbers("capture"))
        # Two of one program are one report, as with analyze.
        self.made("two", "report", capture, capture, ok=(0, 1))
        self.assertEqual(self.check_again("two")["profile"]["snapshots"], 10)

    @harm.versions("3.12")
    def test_processes(self, python):
        """Of several processes: beside programs that are no Python, and where some come and end."""
        def once(pid, name, *options):
            self.made(name, "snap", pid, "--children", "-i", "50ms", *options, ok=(0, 1))
            return self.check_again(name)

        def documents(*program):
            with support.start_target(python, PROCESSES, *program) as target:
                for name, options in (("dump", ()), ("hot", ("-n", 10)),
                                      ("all", ("-n", 10, "--snapshots"))):
                    deadline = time.monotonic() + harm.PATIENCE_S
                    found = once(target.pid, name, *options)
                    # Where they come and end there may be none just then.
                    while len(found["source"]["processes"]) == 1 and time.monotonic() < deadline:
                        found = once(target.pid, name, *options)
                    yield name, found
        for name, document in documents("prefork", 3):
            pids = [process["pid"] for process in document["source"]["processes"]
                    if process["why"] is None]
            self.assertEqual(len(pids), 4)
            for snapshot in document.get("snapshots", ()):
                self.assertEqual(sorted(part["pid"] for part in snapshot["processes"]), sorted(pids))
            if name != "dump":
                self.assertEqual(sorted(one["pid"] for one in document["profile"]["processes"]),
                                 sorted(pids))
            self.assertIn("PROCESSES (", self.read(name + "-again.txt").decode())
        for _, document in documents("churn", 0.2):
            self.assertGreater(len(document["source"]["processes"]), 1)

    @harm.versions("3.11")
    def test_core(self, python):
        core = self.file("core.full")
        with self.target(python, PROGRAM) as target:
            done = support.pycore("gcore", target.pid, "-q", "-o", core)
            self.assertEqual(done.rc, 0, done.err)
            self.made("core", "analyze", core, ok=(0, 1))
            self.made("report", "report", core, ok=(0, 1))
        self.check_again("core")
        document = self.check_again("report")
        self.assertEqual(document["source"]["kind"], "core")
        self.assertEqual(document["snapshots"],
                         json.loads(self.read("core.json"))["snapshots"])

    def test_fixtures(self):
        for fixture in sorted(glob.glob(support.path("fixtures/*/*.core.gz"))):
            with self.subTest(os.path.relpath(fixture, support.path("fixtures"))):
                for options in ((), ("--snapshots",)):
                    self.made("fixture", "analyze", fixture, *options, ok=(0, 1))
                    self.check_again("fixture")


class Documents(Folder):
    """What report takes, and what it says to what it does not take."""

    fixture = support.path("fixtures/3.12-release/busy.json")

    def document(self):
        with open(self.fixture, encoding="utf-8") as stream:
            return json.load(stream)

    def test_standard_output(self):
        with open(self.fixture, "rb") as stream:
            data = stream.read()
        done = support.pycore("report", self.fixture, "-f", "json", binary=True)
        self.assertEqual((done.rc, done.out), (0, data))
        self.assertTrue(support.pycore("report", self.fixture).out.startswith("Hotspots of"))

    def test_packed(self):
        with open(self.fixture, "rb") as stream:
            data = stream.read()
        packed = self.write("packed", gzip.compress(data))
        done = support.pycore("report", packed, "-f", "json", binary=True)
        self.assertEqual((done.rc, done.out), (0, data))
        cut = self.write("cut", gzip.compress(data)[:-20])
        self.refused("the gzip file is cut", cut)
        wrong = bytearray(gzip.compress(data))
        wrong[-6] ^= 1
        self.refused("damaged gzip file", self.write("wrong", wrong))

    def test_blanks_and_pipe(self):
        with open(self.fixture, "rb") as stream:
            data = stream.read()
        spaced = self.write("spaced", b" \n\t\r\n" + data + b"\n\n")
        self.assertEqual(support.pycore("report", spaced, "-f", "json", binary=True).out, data)
        piped = support.pycore("report", "/dev/stdin", "-f", "json", binary=True, input=data)
        self.assertEqual((piped.rc, piped.out), (0, data))

    def test_order_of_fields(self):
        """Other programs write fields in their own order, and escape what need not be."""
        for keys in (sorted, lambda names: sorted(names, reverse=True)):
            def ordered(value):
                if isinstance(value, dict):
                    return {key: ordered(value[key]) for key in keys(value)}
                return [ordered(item) for item in value] if isinstance(value, list) else value
            other = self.write("other.json", json.dumps(ordered(self.document())).encode())
            done = support.pycore("report", other, "-f", "json", binary=True)
            with open(self.fixture, "rb") as stream:
                self.assertEqual((done.rc, done.out), (0, stream.read()))

    def test_incomplete(self):
        document = self.document()
        document["source"]["complete"] = False
        path = self.write("a.json", json.dumps(document).encode())
        done = support.pycore("report", path)
        self.assertEqual(done.rc, 1)
        self.assertIn("Incomplete", done.out)
        document["source"]["interrupted"] = True
        path = self.write("a.json", json.dumps(document).encode())
        done = support.pycore("report", path)
        self.assertEqual(done.rc, 1)
        self.assertIn("Interrupted", done.out)

    def refused(self, why, *arguments, rc=2):
        done = support.pycore("report", *arguments)
        self.assertEqual((done.rc, done.out), (rc, ""))
        self.assertRegex(done.err, r"\Apycore: [^\n]+\n\Z")
        self.assertIn(why, done.err)

    def test_refused(self):
        with open(self.fixture, "rb") as stream:
            data = stream.read()
        self.refused("no report", self.write("a.json", b'{"name": "package", "version": 1}'))
        self.refused("this pycore reads pycore/1",
                     self.write("b.json", data.replace(b"pycore/1", b"pycore/7", 1)))
        self.refused("it ends", self.write("c.json", data[:len(data) // 2]))
        self.refused("line 5", self.write("d.json", data.replace(b'"kind": "capture"', b'"kind": 7')))
        self.refused("there", self.file("not-there.json"))
        self.refused("", self.folder)
        self.refused("", self.write("e.json", b""))
        self.refused("", self.write("f.json", b"hello"))
        self.refused("read back, only json", self.write("h.svg", b"<svg/>"))
        self.refused("takes a capture", rc=64)
        self.refused("one at a time", self.fixture, self.fixture)
        self.refused("it is what is to be read", self.write("g.json", data), "-o",
                     self.file("g.json"))
        self.assertEqual(self.read("g.json"), data)

    def test_snapshots_are_not_invented(self):
        """--snapshots adds nothing to a document that has none."""
        with open(self.fixture, "rb") as stream:
            data = stream.read()
        done = support.pycore("report", self.fixture, "-f", "json", "--snapshots", binary=True)
        self.assertEqual(json.loads(done.out).get("snapshots", []), [])
        self.assertEqual(json.loads(done.out)["profile"]["stacks"],
                         json.loads(data)["profile"]["stacks"])


def strict(schema):
    """No object has a field that the schema does not know."""
    schema = copy.deepcopy(schema)

    def close(value):
        if isinstance(value, dict):
            for item in value.values():
                close(item)
            if value.get("type") == "object" and "properties" in value:
                value["additionalProperties"] = False
        elif isinstance(value, list):
            for item in value:
                close(item)
    close(schema)
    return schema


class Schema(Folder):
    @classmethod
    def setUpClass(cls):
        try:
            import jsonschema
        except ImportError:
            raise unittest.SkipTest("python3-jsonschema is not on this machine")
        if not hasattr(jsonschema, "Draft202012Validator"):
            raise unittest.SkipTest("this jsonschema does not know draft 2020-12")
        with open(SCHEMA, encoding="utf-8") as stream:
            schema = json.load(stream)
        jsonschema.Draft202012Validator.check_schema(schema)
        cls.validator = jsonschema.Draft202012Validator(strict(schema))
        cls.open_validator = jsonschema.Draft202012Validator(schema)
        cls.best = staticmethod(jsonschema.exceptions.best_match)

    def check(self, document):
        error = self.best(self.validator.iter_errors(document))
        self.assertIsNone(error, error and "%s: %s" % (error.json_path, error.message[:500]))

    def test_fixtures(self):
        for path in sorted(glob.glob(support.path("fixtures/*/*.json"))):
            with self.subTest(os.path.relpath(path, support.path("fixtures"))):
                with open(path, encoding="utf-8") as stream:
                    self.check(json.load(stream))

    def test_suspended(self):
        """Tasks, greenlets and generators, as unit tests write them."""
        for name in "tasks", "greenlets", "generators":
            with open(support.path("tests/golden/%s.json" % name), encoding="utf-8") as stream:
                self.check(json.load(stream))

    @harm.versions("3.8", "3.15")
    def test_live(self, python):
        with self.target(python, PROGRAM, "busy") as target:
            for options in ((), ("-n", "3", "-i", "20ms"), ("--no-native",), ("--raw-native",),
                            ("-n", "3", "-i", "20ms", "--snapshots", "--stop=none")):
                self.check(support.pycore_json("snap", target.pid, *options, ok=(0, 1)))
            capture = self.file("run.cap")
            support.pycore("snap", target.pid, "-n", "2", "-i", "20ms", "--save", capture)
            self.check(support.pycore_json("report", capture, capture, "--snapshots", ok=(0, 1)))

    @harm.versions("3.12")
    def test_processes(self, python):
        with support.start_target(python, PROCESSES, "shell", python.path) as target:
            for options in ((), ("-n", "5", "-i", "50ms", "--snapshots")):
                document = support.pycore_json("snap", target.pid, "--children", *options, ok=(0, 1))
                self.check(document)
                self.assertGreater(len(document["snapshots"][0]["processes"]), 1)

    @harm.versions("3.12")
    def test_hostile_names(self, python):
        with self.target(python, NAMES) as target:
            self.check(support.pycore_json("snap", target.pid, "-n", "2", "-i", "20ms",
                                           "--snapshots", ok=(0, 1)))

    @support.not_sanitized
    def test_wrong_documents(self):
        """Anything that is left out, renamed or of another type is found."""
        with open(support.path("fixtures/3.12-release/busy.json"), encoding="utf-8") as stream:
            profile = json.load(stream)
        with open(support.path("fixtures/3.11-release/segv.json"), encoding="utf-8") as stream:
            dump = json.load(stream)

        def shortened(value):
            """Three items of each list are enough, one of each kind."""
            if isinstance(value, dict):
                return {key: shortened(item) for key, item in value.items()}
            if not isinstance(value, list):
                return value
            kinds = {item.get("kind") if isinstance(item, dict) else index: item
                     for index, item in enumerate(value[:3] + [item for item in value[3:] if
                                                               isinstance(item, dict) and
                                                               "kind" in item])}
            return [shortened(item) for item in list(kinds.values())[:3]]

        def objects(value):
            if isinstance(value, dict):
                yield value
            for item in value.values() if isinstance(value, dict) else value:
                if isinstance(item, (dict, list)):
                    yield from objects(item)
        profile, dump = shortened(profile), shortened(dump)
        optional = {"through", "through_waiting", "through_cpu_ns", "text", "newer", "snapshots",
                    "generator", "signal", "holds_gil", "of_core", "crashed", "verdict", "word",
                    "bucket", "fingerprint", "chains", "waits", "wait", "crash", "last_snapshot"}
        changes = 0
        for document in profile, dump:
            for value in objects(document):
                for key in list(value):
                    kept = value.pop(key)
                    if key not in optional and key not in self.states:
                        self.assertFalse(self.validator.is_valid(document), key)
                    value[key + "_"] = kept
                    self.assertFalse(self.validator.is_valid(document), key)
                    del value[key + "_"]
                    value[key] = {"a": []}
                    if key not in ("findings",):
                        self.assertFalse(self.validator.is_valid(document), key)
                    value[key] = kept
                    changes += 1
            self.check(document)
        self.assertGreater(changes, 100)

    states = ("running", "runnable", "gil-wait", "lock-wait", "io-wait", "sleep", "unknown")

    def test_newer_documents(self):
        """The schema as it is published lets fields through that a newer pycore may add."""
        with open(support.path("fixtures/3.12-release/busy.json"), encoding="utf-8") as stream:
            document = json.load(stream)
        document["profile"]["added_later"] = document["source"]["added_later"] = [1]
        self.assertTrue(self.open_validator.is_valid(document))
        self.assertFalse(self.validator.is_valid(document))


if __name__ == "__main__":
    unittest.main()
