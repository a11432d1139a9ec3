#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""pprof, callgrind and pstats, each opened by its real readers: protoc, go tool pprof,
callgrind_annotate, and pstats of every Python here. A program is sampled once into a capture; what a
format says of it is compared with the JSON of the same capture, to the last sample."""

import ast
import collections
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

import support

# Recursion, directly and in a ring; functions of the same name; names that want to be syntax; threads
# that work and wait.
PROGRAM = r'''
import sys, threading, time, types

NAMES = ["na\u00efve_\u4e16\u754c", 'say "hi"', "semi;colon", "<b>&amp;</b>", "line\nfeed", "(1) id",
         "  blank", "\x1b[31mred\ttab", "\udcff\ud800", "a:b", "fn=(1) forged", "100%", "back\\slash",
         "\u202egnp", "", "calls=1 0", "{}", "<>"]

def burn():
    x = 0
    for i in range(3000):
        x = (x * 31 + i) % 1000003
    return x

def fib(n):
    return burn() + (fib(n - 1) + fib(n - 2) if n > 1 else n)

def ping(n):
    return pong(n - 1) if n else burn()

def pong(n):
    return ping(n - 1) if n else burn()

class A:
    def __init__(self):
        burn()

class B:
    def __init__(self):
        A()
        burn()

def wrap(name, inner):
    def hostile():
        return inner()
    code = hostile.__code__.replace(co_name=name, co_filename="/x/" + name + ".py",
                                    **({"co_qualname": name} if sys.version_info >= (3, 11) else {}))
    return types.FunctionType(code, globals(), name, None, hostile.__closure__)

def chain(inner):
    for name in NAMES:
        inner = wrap(name, inner)
    return inner

hostile_burn, hostile_sleep = chain(burn), chain(lambda: time.sleep(0.01))

def work():
    twice = lambda: burn(); twice(); (lambda: twice())()
    while True:
        fib(4); ping(5); B(); hostile_burn(); hostile_burn(); sorted([3, 1, 2] * 50, key=lambda v: burn() * 0 + v)

def idle():
    while True:
        hostile_sleep()

threading.Thread(target=work, name="worker \u4e16;<1>", daemon=True).start()
threading.Thread(target=idle, name="idle", daemon=True).start()
sys.stdout.write("READY\n")
sys.stdout.flush()
work()
'''

WEIGHTS = ("samples", "wall", "cpu")
WORKS = ("running", "runnable")


def show(text):
    """Text of the JSON as exports have it: plain_safe() of src/report/plain.h."""
    shorts = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    unseen = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
                        "\u2800\ufeff\ud800-\udfff]")
    return unseen.sub(lambda match: shorts.get(match.group()) or
                      ("\\x%02x" if ord(match.group()) < 0x100 else "\\u%04x") % ord(match.group()),
                      text)


def name_of(function):
    """As exports name a function: view.h."""
    name = function["qualname"]
    if name is None:
        name = function["function"]
    if name is None and function["kind"] != "native":
        return "?"  # its code object could not be read
    if name is None:
        return (show(function["module"]) + " " if function.get("module") else "") + "(no symbol)"
    if function["kind"] == "builtin" and not name.startswith("{"):
        name = "{" + name + "}"
    return show(name) or "(no name)"


class Expected:
    """What the JSON says for one weight: numbers are (samples, cpu_ns)."""

    def __init__(self, document, weight):
        profile = document["profile"]
        self.interval_ns = profile["interval_ns"]
        self.functions = profile["functions"]
        frames = profile["frames"]
        self.stacks = [stack for stack in profile["stacks"]
                       if weight == "wall" or (weight == "cpu" and stack["cpu_ns"]) or
                       (weight == "samples" and stack["state"] in WORKS)]
        self.threads = {thread["tid"]: thread for thread in profile["threads"]}
        self.self, self.total = collections.Counter(), collections.Counter()
        self.self_cpu, self.total_cpu = collections.Counter(), collections.Counter()
        self.edges, self.leaf_edges = collections.Counter(), collections.Counter()
        for stack in self.stacks:
            ids = [frames[index]["function_id"] for index in stack["frames"]]
            self.self[ids[0]] += stack["samples"]
            self.self_cpu[ids[0]] += stack["cpu_ns"]
            for function in set(ids):
                self.total[function] += stack["samples"]
                self.total_cpu[function] += stack["cpu_ns"]
            for edge in set(zip(ids[1:], ids)):
                self.edges[edge] += stack["samples"]
            if len(ids) > 1:
                self.leaf_edges[ids[1], ids[0]] += stack["samples"]
        self.samples = sum(stack["samples"] for stack in self.stacks)
        self.cpu_ns = sum(stack["cpu_ns"] for stack in self.stacks)

    def by(self, key, *counters):
        """{key of the function: its numbers}, of all that were seen; functions of one key together."""
        found = collections.defaultdict(lambda: [0] * len(counters))
        for function in self.total:
            numbers = found[key(self.functions[function])]
            for at, counter in enumerate(counters):
                numbers[at] += counter[function]
        return {key: tuple(numbers) for key, numbers in found.items()}


class Exports(support.TestCase):
    @classmethod
    def setUpClass(cls):
        pythons = [python for python in support.interpreters() if python.minor >= (3, 8)]
        if not pythons:
            raise unittest.SkipTest("no Python 3.8 or later is on this machine")
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.reader = cls.path("reader")  # callgrind_annotate shortens paths of where it runs
        os.mkdir(cls.reader)
        cls.documents = {}
        cls.exported = []  # (Expected, path without an ending, weight)
        # Before and after the version from which on names are qualified.
        for python in (pythons[0], pythons[-1]):
            script = cls.path("app.py")
            with open(script, "w", encoding="utf-8") as stream:
                stream.write(PROGRAM)
            capture = cls.path(python.name + ".cap")
            with support.start_target(python, script) as target:
                cls.run_pycore("snap", target.pid, "-n", "80", "-i", "10ms", "-o", os.devnull,
                               "--save", capture)
            document = support.pycore_json("analyze", capture, ok=(0, 1))
            cls.documents[python.name] = document
            for weight in WEIGHTS:
                base = cls.path("%s-%s" % (python.name, weight))
                cls.run_pycore("analyze", capture, "--weight", weight, "-o", base + ".pb.gz", "-o",
                               base + ".callgrind", "-o", base + ".pstats")
                cls.exported.append((Expected(document, weight), base, weight))

    @staticmethod
    def run_pycore(*arguments):
        done = support.pycore(*arguments)
        if done.rc not in (0, 1) or done.out:
            raise AssertionError(done.err)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    def tool(self, name):
        found = shutil.which(name)
        if not found:
            self.skipTest("%s is not on this machine" % name)
        return found

    def run_tool(self, *command, data=None, **environment):
        done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=600, cwd=self.reader,
                              env=support.clean_environment(**environment))
        self.assertEqual(done.returncode, 0, done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def test_hostile_names_are_there(self):
        names = re.search(r"NAMES = (\[.*?\])", PROGRAM, re.S).group(1)
        for document in self.documents.values():
            seen = {function["function"] for function in document["profile"]["functions"]}
            self.assertLessEqual(set(ast.literal_eval(names)), seen)

    def test_numbers_of_json(self):
        """The functions of the JSON are the sums of its stacks: what all else is compared with."""
        for expected, _, weight in self.exported:
            for function in expected.functions:
                waiting = weight == "wall"
                if weight != "cpu":
                    self.assertEqual(expected.total[function["id"]], function["total"] +
                                     waiting * function["total_waiting"], function)
                    self.assertEqual(expected.self[function["id"]], function["self"] +
                                     waiting * function["self_waiting"], function)
                self.assertEqual(expected.total_cpu[function["id"]], function["total_cpu_ns"])

    # ---- pprof -----------------------------------------------------------------------------------

    # The fields used, by the numbers of google/pprof's proto/profile.proto.
    PROTO = """
        syntax = "proto3";
        message Profile {
          repeated ValueType sample_type = 1; repeated Sample sample = 2;
          repeated Mapping mapping = 3; repeated Location location = 4;
          repeated Function function = 5; repeated string string_table = 6;
          int64 time_nanos = 9; int64 duration_nanos = 10; ValueType period_type = 11;
          int64 period = 12; repeated int64 comment = 13; int64 default_sample_type = 14;
        }
        message ValueType { int64 type = 1; int64 unit = 2; }
        message Sample {
          repeated uint64 location_id = 1; repeated int64 value = 2; repeated Label label = 3;
        }
        message Label { int64 key = 1; int64 str = 2; int64 num = 3; int64 num_unit = 4; }
        message Mapping {
          uint64 id = 1; uint64 memory_start = 2; uint64 memory_limit = 3; uint64 file_offset = 4;
          int64 filename = 5; int64 build_id = 6; bool has_functions = 7; bool has_filenames = 8;
          bool has_line_numbers = 9; bool has_inline_frames = 10;
        }
        message Location {
          uint64 id = 1; uint64 mapping_id = 2; uint64 address = 3; repeated Line line = 4;
        }
        message Line { uint64 function_id = 1; int64 line = 2; }
        message Function {
          uint64 id = 1; int64 name = 2; int64 system_name = 3; int64 filename = 4;
          int64 start_line = 5;
        }
    """

    def decode(self, path):
        """The message as {field: [value or message, ...]}."""
        with open(os.path.join(self.reader, "profile.proto"), "w") as stream:
            stream.write(textwrap.dedent(self.PROTO))
        data = subprocess.run(["gzip", "-dc", path], check=True, stdout=subprocess.PIPE).stdout
        text = self.run_tool(self.tool("protoc"), "--decode=Profile", "profile.proto", data=data)
        top = collections.defaultdict(list)
        stack = [top]
        for line in text.decode("ascii").splitlines():
            self.assertNotRegex(line, r"^\s*\d+[:{ ]")  # a field that is not in the .proto
            line = line.strip()
            if line == "}":
                stack.pop()
            elif line.endswith("{"):
                inner = collections.defaultdict(list)
                stack[-1][line[:-1].strip()].append(inner)
                stack.append(inner)
            else:
                key, value = line.split(": ", 1)
                if value.startswith('"'):
                    value = re.sub(rb"\\([0-7]{3}|.)", lambda match: bytes(
                        [int(match.group(1), 8)]) if len(match.group(1)) == 3 else
                        {b"n": b"\n", b"t": b"\t", b"r": b"\r"}.get(match.group(1),
                                                                    match.group(1)),
                                   value[1:-1].encode()).decode("utf-8")
                else:
                    value = {"true": 1, "false": 0}.get(value) if value in ("true", "false") \
                        else int(value)
                stack[-1][key].append(value)
        return top

    def test_protoc(self):
        for expected, base, weight in self.exported:
            profile = self.decode(base + ".pb.gz")
            strings = profile["string_table"]
            self.assertEqual(strings[0], "")
            self.assertEqual(len(strings), len(set(strings)))

            def text(message, key):
                return strings[message[key][0] if message[key] else 0]

            types = [(text(kind, "type"), text(kind, "unit")) for kind in profile["sample_type"]]
            self.assertEqual(types, [("samples", "count"), ("cpu", "nanoseconds"),
                                     ("wall", "nanoseconds"), ("gil", "count")])
            self.assertEqual(text(profile, "default_sample_type"),
                             "cpu" if weight == "cpu" else "samples")
            self.assertEqual(profile["period"], [expected.interval_ns])
            functions = {one["id"][0]: one for one in profile["function"]}
            locations = {one["id"][0]: one for one in profile["location"]}
            mappings = {one["id"][0]: one for one in profile["mapping"]}
            self.assertEqual(len(functions), len(profile["function"]))
            self.assertEqual(len(locations), len(profile["location"]))

            def key(identity):
                function = functions[identity]
                name = text(function, "name")
                # Where names are the same, the place follows: (app.py:12).
                if (name, text(function, "filename")) not in known:
                    name = re.sub(r" \([^()]*\)\Z", "", name)
                return (name, text(function, "filename"), (function["start_line"] or [0])[0])

            def json_key(function):
                line = function["line"] if function["kind"] == "python" else None
                return (name_of(function), show(function["file"] or ""), line or 0)

            known = {json_key(function)[:2] for function in expected.functions}
            own, total = collections.Counter(), collections.Counter()
            own_cpu, total_cpu = collections.Counter(), collections.Counter()
            labels = collections.Counter()
            for sample in profile["sample"]:
                samples, cpu_ns, wall_ns, gil = sample["value"]
                self.assertEqual(wall_ns, samples * expected.interval_ns)
                self.assertLessEqual(gil, samples)
                lines = [line for location in sample["location_id"]
                         for line in locations[location]["line"]]
                ids = [line["function_id"][0] for line in lines]
                own[ids[0]] += samples
                own_cpu[ids[0]] += cpu_ns
                for identity in set(ids):
                    total[identity] += samples
                    total_cpu[identity] += cpu_ns
                has = {text(label, "key"): text(label, "str") for label in sample["label"]}
                labels[has["pid"], has["tid"], has["thread"], has["state"]] += samples
                for location in sample["location_id"]:
                    if locations[location]["mapping_id"]:
                        self.assertIn(locations[location]["mapping_id"][0], mappings)
            found = collections.defaultdict(lambda: [0] * 4)
            for identity in total:
                for at, counter in enumerate((own, total, own_cpu, total_cpu)):
                    found[key(identity)][at] += counter[identity]
            self.assertEqual({key: tuple(numbers) for key, numbers in found.items()},
                             expected.by(json_key, expected.self, expected.total,
                                         expected.self_cpu, expected.total_cpu), base)
            names = [text(functions[identity], "name") for identity in total]
            self.assertEqual(len(names), len(set(names)), "readers go by the name alone")
            wanted = collections.Counter()
            for stack in expected.stacks:
                thread = expected.threads[stack["tid"]]
                wanted[str(stack["pid"]), str(stack["tid"]), show(thread["name"] or ""),
                       stack["state"]] += stack["samples"]
            self.assertEqual(labels, wanted)

    @functools.lru_cache(maxsize=None)
    def go_with_pprof(self):
        """The first Go on this machine that came with pprof, else one that builds it (a minute)."""
        self.tool("go")
        every = [go for go in (shutil.which("go", path=folder) for folder in os.get_exec_path()) if go]
        folders = [self.run_tool(go, "env", "GOTOOLDIR", HOME=self.folder).decode().strip()
                   for go in every]
        return next((go for go, folder in zip(every, folders)
                     if os.path.exists(os.path.join(folder, "pprof"))), every[0])

    def go(self, *arguments):
        """go tool pprof; what has to be built of it is kept beside the suite."""
        kept = os.path.join(support.BUILDDIR, "tests", "go")
        return self.run_tool(self.go_with_pprof(), "tool", "pprof", *arguments, HOME=kept,
                             GOCACHE=os.path.join(kept, "cache"), GOFLAGS="", GOTOOLCHAIN="local",
                             PPROF_TMPDIR=self.folder).decode("utf-8")

    @support.not_sanitized
    def test_go_tool_pprof(self):
        for expected, base, weight in self.exported:
            everything = ("-nodecount=100000", "-nodefraction=0", "-edgefraction=0")
            output = self.go("-top", "-sample_index=samples", *everything, base + ".pb.gz")
            self.assertIn("Total samples = %d" % expected.samples, output)
            rows = [(re.sub(r" \([^() ]*\)\Z", "", name), int(flat), int(cum)) for flat, cum, name in
                    re.findall(r"(?m)^ *(\d+) +\S+% +\S+% +(\d+) +\S+%  (.*)$", output)]
            # pprof shows the empty name in its own way.
            wanted = [(re.sub(r" \([^() ]*\)\Z", "", name_of(expected.functions[function])),
                       expected.self[function], count)
                      for function, count in expected.total.items()]
            self.assertEqual(sorted(row for row in rows if row[0] != "<unknown>"),
                             sorted(row for row in wanted if row[0]), base)
            if weight != "wall":
                continue
            tags = self.go("-tags", "-sample_index=samples", base + ".pb.gz")
            for tag in ("thread", "tid", "pid", "state"):
                self.assertRegex(tags, r"(?m)^ *%s: Total %d" % (tag, expected.samples))
            traces = self.go("-traces", "-sample_index=samples", base + ".pb.gz")
            self.assertEqual(sum(int(count) for count in re.findall(r"(?m)^ {0,12}(\d+)   ", traces)),
                             expected.samples)

    # ---- callgrind -------------------------------------------------------------------------------

    def annotate(self, path, *options):
        """What callgrind_annotate says: {(file, function): costs}, and its output."""
        output = self.run_tool(self.tool("callgrind_annotate"), "--threshold=100", "--auto=no",
                               "--show-percs=no", *options, path).decode("utf-8")
        columns = len(re.search(r"Events shown: +(.*)", output).group(1).split())
        row = re.compile(r"^ *((?:(?:[\d,]+|\.) +){%d})( |[<>*] ? )?(.*)$" % columns)
        table = output[output.index("file:function"):]
        found = {}
        for line in table.splitlines()[2:]:
            match = row.match(line)
            if not match or (match.group(2) or "").strip() in ("<", ">"):
                continue
            costs = tuple(0 if word == "." else int(word.replace(",", ""))
                          for word in match.group(1).split())
            name = re.sub(r" \[[^\]]*\]\Z", "", match.group(3)).strip()
            self.assertNotIn(name, found)
            found[name] = costs
        return found, output

    def test_callgrind_annotate(self):
        def key(function):
            name = name_of(function)
            name = "\\" + name if name[0] == " " or re.match(r"\(\d", name) \
                else name
            return "%s:%s" % (show(function["file"] or "") or "???", name)

        def joined(found, known):
            """Rows of functions that have file and name in common, "name (place)", put together."""
            sums = collections.Counter()
            for name, costs in found.items():
                sums[name if name in known else re.sub(r" \([^()]*\)\Z", "", name)] += costs[0]
            return dict(sums)

        for expected, base, weight in self.exported:
            counters = (expected.self_cpu, expected.total_cpu) if weight == "cpu" else \
                (expected.self, expected.total)
            own = {name: count for name, (count,) in expected.by(key, counters[0]).items()}
            total = {name: count for name, (count,) in expected.by(key, counters[1]).items()}
            found, output = self.annotate(base + ".callgrind")
            self.assertNotIn("WARNING", output)
            self.assertIn("Samples are no calls", output)
            sums = joined(found, own)
            self.assertEqual({name: count for name, count in sums.items() if count},
                             {name: count for name, count in own.items() if count}, base)
            found, _ = self.annotate(base + ".callgrind", "--inclusive=yes", "--tree=both")
            sums = joined(found, total)
            sums.pop("???:(a stack begins)", None)
            self.assertEqual(sums, total, base)
            self.check_callgrind_ids(base + ".callgrind")

    def check_callgrind_ids(self, path):
        """What KCachegrind's loader wants beyond: an id has one name, and its file comes before."""
        with open(path, encoding="utf-8") as stream:
            lines = stream.read().split("\n")
        self.assertEqual(lines[0], "# callgrind format")
        names, before = {}, ""
        for line in lines:
            match = re.match(r"c?(ob|fl|fi|fn)=\((\d+)\)( .+)?$", line)
            self.assertTrue(match or not re.match(r"\w+=", line) or line.startswith("calls="), line)
            if match:
                space = {"fi": "fl"}.get(match.group(1), match.group(1))
                if match.group(3):
                    self.assertNotIn((space, match.group(2)), names)
                    names[space, match.group(2)] = match.group(3)
                self.assertIn((space, match.group(2)), names)
                if space == "fn":
                    self.assertRegex(before, r"\Ac?f[li]=")
            before = line
        self.assertEqual(len({name for (space, _), name in names.items() if space == "ob"}),
                         sum(space == "ob" for space, _ in names))

    # ---- pstats ----------------------------------------------------------------------------------

    READ = """
import io, json, pstats, sys
found = []
for path in sys.argv[1:]:
    stats = pstats.Stats(path, stream=io.StringIO())
    found.append([list(key) + list(value[:4]) + [[list(caller) + list(numbers) for caller, numbers in
                  value[4].items()]] for key, value in stats.stats.items()])
    for order in ("calls", "cumulative", "filename", "line", "module", "name", "nfl", "pcalls",
                  "stdname", "time"):
        stats.sort_stats(order).print_stats()
    stats.print_callers(); stats.print_callees()
    stats.strip_dirs().sort_stats("time").print_stats().print_callers()
    stats.add(path).print_stats()
sys.stdout.write(json.dumps(found))
"""

    def check_pstats(self, rows, expected, base, weight):

        def key(function):
            name = name_of(function)
            if function["kind"] == "builtin":
                return ("~", 0, "<%s>" % name[1:-1])
            if function["kind"] == "native":
                return (show(function["module"] or "~"), 0, name)
            return (show(function["file"] or ""), function["line"] or 0, name)

        notes = [row for row in rows if row[2].startswith("<pycore: ")]
        self.assertEqual([row[:2] + row[3:] for row in notes], [["~", 0, 0, 0, 0, 0, []]])
        found = {tuple(row[:3]): row[3:] for row in rows if row not in notes}
        counters = (expected.self_cpu, expected.total_cpu) if weight == "cpu" else \
            (expected.self, expected.total)
        unit_s = 1e-9 if weight == "cpu" else expected.interval_ns / 1e9
        wanted = expected.by(key, *counters)
        self.assertEqual(set(found), set(wanted), base)
        activations = collections.Counter()
        for function in expected.functions:
            activations[key(function)] += function["activations"]
        for name, (primitive, calls, own, total, callers) in found.items():
            self.assertEqual((primitive, calls), (max(activations[name], 1),) * 2)
            self.assertAlmostEqual(own, wanted[name][0] * unit_s, places=6)
            self.assertAlmostEqual(total, wanted[name][1] * unit_s, places=6)
            for caller in callers:
                self.assertIn(tuple(caller[:3]), found)
                self.assertGreaterEqual(min(caller[3:5]), 1)
        if weight == "cpu":
            return
        edges = collections.defaultdict(lambda: [0, 0])
        for edge, count in expected.edges.items():
            numbers = edges[tuple(key(expected.functions[function]) for function in edge)]
            numbers[0] += expected.leaf_edges[edge]
            numbers[1] += count
        self.assertEqual({(tuple(caller[:3]), name): [round(time / unit_s) for time in caller[5:7]]
                          for name, row in found.items() for caller in row[4]}, dict(edges))

    @support.each_python()
    def test_pstats(self, python):
        paths = [base + ".pstats" for _, base, _ in self.exported]
        files = json.loads(self.run_tool(python.path, "-c", self.READ, *paths))
        self.assertEqual(len(files), len(paths))
        for rows, (expected, base, weight) in zip(files, self.exported):
            self.check_pstats(rows, expected, base, weight)

    def test_pstats_browser(self):
        for _, base, _ in self.exported:
            output = self.run_tool(sys.executable, "-m", "pstats", base + ".pstats",
                                   data=b"sort cumtime\nstats 5\ncallers burn\nquit\n").decode()
            self.assertIn("function calls in ", output)
            self.assertIn("(burn)  <-", output)

    # ---- Beside the numbers ----------------------------------------------------------------------

    def test_nothing_seen(self):
        """No sample has the weight: every reader still opens the file."""
        sleeper = "import time; print('READY', flush=True); time.sleep(1000)"
        with support.start_program([support.interpreters()[-1].path, "-c", sleeper], still=True) as target:
            base = self.path("nothing")
            done = support.pycore("snap", target.pid, "-n", "2", "-i", "20ms", "--weight", "cpu",
                                  "-o", base + ".pb.gz", "-o", base + ".callgrind", "-o",
                                  base + ".prof")
        self.assertIn(done.rc, (0, 1), done.err)
        output = self.run_tool(sys.executable, "-m", "pstats", base + ".prof",
                               data=b"stats\nstrip\ncallers\nquit\n").decode()
        self.assertIn("0 function calls", output)
        if shutil.which("callgrind_annotate"):
            self.annotate(base + ".callgrind")
        if shutil.which("go"):
            self.assertIn("Total samples = 0", self.go("-top", base + ".pb.gz"))

    def test_one_snapshot(self):
        """Without -n, too: the snapshot is a profile of its own. callgrind is text, the others not."""
        with support.start_program([support.interpreters()[-1].path, "-c",
                                    "print('READY', flush=True); __import__('time').sleep(1000)"]) as target:
            for name, begin in (("pprof", b"\x1f\x8b"), ("callgrind", b"# callgrind format\n"),
                                ("pstats", b"{(")):
                done = support.pycore("snap", target.pid, "-f", name, binary=True)
                self.assertIn(done.rc, (0, 1), done.err)
                self.assertTrue(done.out.startswith(begin))

    def test_threads_as_frames(self):
        for name, document in self.documents.items():
            base = self.path("threads")
            done = support.pycore("analyze", self.path(name + ".cap"), "--threads", "--weight",
                                  "wall", "-o", base + ".callgrind", "-o", base + ".pstats")
            self.assertIn(done.rc, (0, 1), done.err)
            found, _ = self.annotate(base + ".callgrind", "--inclusive=yes")
            for thread in document["profile"]["threads"]:
                label = "???:thread %s (%d)" % (show(thread["name"]), thread["tid"])
                samples = sum(stack["samples"] for stack in document["profile"]["stacks"]
                              if stack["tid"] == thread["tid"])
                self.assertEqual(found[label][0], samples)


if __name__ == "__main__":
    unittest.main()
