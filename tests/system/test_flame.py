#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""svg, folded, speedscope and csv: one run, kept as a capture, in each format as its real reader
takes it, against the JSON report of the same capture, to the last sample. The program's names hold
what each format has a use for."""

import base64
import collections
import csv
import glob
import io
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import xml.etree.ElementTree

import browser
import support
import tap

HOSTILE = (
    "a;b;;", "count 12", "dot 3.", "#begin", "x\"y'z`", "<b>&amp;</b>", "]]>", "new\nline\r",
    "-->",
    "tab\t\x1b[31m\x00", "\xfcml\xe4ut \u6f22\u5b57 \U0001f525", "\ud800 lone \udcff", "=1+1", "+x", "-x",
    "@x", "a,b", "\uff1dwide", "x;=cmd()", "  blank  ", "", "\ufffe\ufdd0\U0010ffff", "\u202eabc\u2028",
    "</title></svg><script>alert(1)</script>", "\\x3b", "f (g) 7",
)

PROGRAM = """
import sys, threading, time, types

def wrap(name, inner):
    def frame():
        inner()
    more = {"co_qualname": name} if sys.version_info >= (3, 11) else {}
    code = frame.__code__.replace(co_name=name, co_filename="/srv/app/" + name + ".py", **more)
    return types.FunctionType(code, globals(), name, None, frame.__closure__)

def spin():
    for _ in range(20000): pass

def fib(n):
    return 1 if n < 2 else fib(n - 1) + fib(n - 2)

def forever(what):
    while True: what()

inner = spin
for name in %(hostile)s:
    inner = wrap(name, inner)
for name, what in (("spinner; 5", inner), ("<fib> & \\u6f22", lambda: fib(16)),
                   ("=sleeper", lambda: time.sleep(1))):
    threading.Thread(target=forever, args=(what,), name=name, daemon=True).start()
print("READY", flush=True)
forever(inner)
"""

RUN = None
WORKING = ("running", "runnable")
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
                    "\U0010ffff]")
SVG = "{http://www.w3.org/2000/svg}"


def clean(text):
    """As include/util/clean.h says, for the characters of this test."""
    def shown(match):
        code = ord(match.group())
        short = {0x0a: "\\n", 0x0d: "\\r", 0x09: "\\t"}.get(code)
        return short or ("\\U%08x" if code > 0xffff else "\\x%02x" if code < 0xa0 else "\\u%04x") % code
    return UNSEEN.sub(shown, text)


def name_of(frame):
    """A frame's or function's name."""
    name = frame["qualname"] if frame.get("qualname") is not None else frame["function"]
    if name is None:
        return clean(frame["module"]) + " (no symbol)"
    if frame["kind"] == "builtin" and not name.startswith("{"):
        name = "{%s}" % name
    return clean(name) or "(no name)"


def label_of(frame):
    """A frame as one text."""
    place = frame.get("file") or ""
    if frame["kind"] == "native":
        place = frame.get("module") or place
    if frame["kind"] == "builtin" or not place or (frame.get("qualname") is None and
                                                    frame["function"] is None):
        return name_of(frame)
    line = ":%d" % frame["line"] if frame["kind"] == "python" and frame["line"] is not None else ""
    return "%s (%s%s)" % (name_of(frame), clean(place), line)


def weight_of(stack, weight):
    """What a stack counts with --weight."""
    if weight == "cpu":
        return stack["cpu_ns"]
    return stack["samples"] if weight == "wall" or stack["state"] in WORKING else 0


def stacks_of(document, weight, of_frame):
    """(tid, frames outermost first) -> weight"""
    profile, counted = document["profile"], collections.Counter()
    for stack in profile["stacks"]:
        frames = tuple(of_frame(profile["frames"][index]) for index in reversed(stack["frames"]))
        counted[stack["tid"], frames] += weight_of(stack, weight)
    return +counted


def merged(stacks):
    """The same without threads."""
    counted = collections.Counter()
    for (_, frames), weight in stacks.items():
        counted[frames] += weight
    return counted


def folded_label(frame):
    """As src/report/folded.c says."""
    label = label_of(frame).replace(";", "\\x3b")
    label = re.sub(r" ([0-9.]+)$", r"\\x20\1", label)
    return "\\x23" + label[1:] if label.startswith("#") else label


def reader(name):
    """The folder of a package that tests/tools/get-readers fetches, or None."""
    for top in (os.path.join(support.SRCDIR, "build"), support.BUILDDIR,
                os.path.dirname(support.BUILDDIR)):
        folder = os.path.join(top, "readers", "node_modules", name)
        if os.path.isdir(folder):
            return folder
    return None


class Run:
    """One run of the program for all tests: `capture`, or None where there is no Python for it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pycore-flame-")
        self.capture = None
        pythons = [python for python in support.interpreters()
                   if python.build == "release" and python.minor >= (3, 11)]
        if not pythons:
            return
        script = os.path.join(self.folder, "strange.py")
        with open(script, "w", encoding="ascii") as stream:
            stream.write(PROGRAM % {"hostile": ascii(HOSTILE)})
        with support.start_target(pythons[-1], script) as target:
            capture = os.path.join(self.folder, "capture")
            deadline = time.monotonic() + 60
            while True:
                document = support.pycore_json("snap", target.pid, "-n", 60, "-i", "10ms", "--save",
                                               capture, ok=(0, 1))
                if self.all_worked(document["profile"]) or time.monotonic() > deadline:
                    break
            self.capture = capture

    @staticmethod
    def all_worked(profile):
        """On a busy machine one of the threads may have had the GIL in nearly all samples."""
        worked = [sum(count for state, count in thread["states"].items() if state in WORKING)
                  for thread in profile["threads"]]
        return sum(count >= 5 for count in worked) >= 3


def setUpModule():  # the name that unittest knows
    global RUN  # pylint: disable=global-statement
    RUN = Run()


def tearDownModule():
    shutil.rmtree(RUN.folder)


class Case(support.TestCase):
    def setUp(self):
        self.capture, self.folder = RUN.capture, RUN.folder
        if not self.capture:
            self.skipTest("no release build of Python 3.11 or later is on this machine")

    def document(self, *options):
        return support.pycore_json("analyze", self.capture, *options, ok=(0, 1))

    def render(self, form, *options):
        """The report's bytes."""
        outcome = support.pycore("analyze", self.capture, "-f", form, *options, binary=True)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        return outcome.out

    def file(self, name, *options):
        """The report as a file whose ending says the format."""
        path = os.path.join(self.folder, name)
        outcome = support.pycore("analyze", self.capture, "-o", path, *options)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        return path


class Folded(Case):
    def check(self, weight, *options):
        counted = collections.Counter()
        text = self.render("folded", "--weight", weight, *options).decode("utf-8")
        self.assertTrue(text.endswith("\n"))
        for line in text[:-1].split("\n"):
            self.assertEqual(UNSEEN.sub("", line), line)
            stack, count = re.fullmatch(r"(.*?) ([0-9]+)", line).groups()
            # flamegraph.pl would take a second number for the count of a differential graph.
            self.assertIsNone(re.fullmatch(r"(.*)\s+?(\d+(?:\.\d*)?)", stack), stack)
            counted[tuple(stack.split(";"))] += int(count)
        self.assertEqual(counted, merged(stacks_of(self.document(), weight, folded_label)))

    def test_samples(self):
        self.check("samples")

    def test_wall(self):
        self.check("wall")

    def test_cpu(self):
        self.check("cpu")

    def test_hostile_names_are_there(self):
        frames = set()
        for line in self.render("folded", "--weight", "wall").decode("utf-8").splitlines():
            frames.update(line.rsplit(" ", 1)[0].split(";"))
        for name in HOSTILE:
            label = folded_label({"kind": "python", "qualname": name, "function": name, "line": None,
                                  "file": "/srv/app/" + name + ".py"})
            self.assertTrue(any(frame.startswith(label[:-1] + ":") for frame in frames), name)


class Csv(Case):
    def table(self, *options):
        data = self.render("csv", *options)
        self.assertEqual(data.count(b"\r\n"), data.count(b"\n"))
        return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))

    def test_numbers(self):
        document = self.document()["profile"]
        rows = self.table()
        self.assertEqual(len(rows), len(document["functions"]))
        self.assertEqual([row["rank"] for row in rows], [str(n + 1) for n in range(len(rows))])
        key = lambda name, file, line, module: (name, file, line, module)
        functions = {}
        for function in document["functions"]:
            place = key(name_of(function), clean(function["file"] or ""),
                        "" if function["line"] is None else str(function["line"]),
                        clean(function.get("module") or ""))
            functions.setdefault(place, []).append(function)
        for row in rows:
            harmless = {name: re.sub(r"(^|;)'(?=[=+\-@\uff1d])", r"\1", row[name]) for name in row}
            found = functions[key(harmless["qualname"] or harmless["function"] or "(no name)",
                                  harmless["file"], row["line"], row["module"])]
            function = next(one for one in found if str(one["own"]) == row["own"] and
                            str(one["total"]) == row["total"])
            found.remove(function)
            for name in ("own", "self", "total", "own_waiting", "self_waiting", "total_waiting",
                         "longest_snapshots"):
                self.assertEqual(row[name], str(function[name]), row)
            self.assertEqual(row["calls_seen_at_least"], str(function["activations"]))
            for name in ("own", "self", "total"):
                self.assertRegex(row[name + "_cpu_seconds"], r"^[0-9]+\.[0-9]{9}$")
                self.assertEqual(row[name + "_cpu_seconds"].replace(".", "").lstrip("0"),
                                 str(function[name + "_cpu_ns"]).lstrip("0"))
                self.assertAlmostEqual(float(row[name + "_share"]),
                                       function[name] / document["samples_working"], 5)
                for bound in ("low", "high"):
                    self.assertAlmostEqual(float(row["%s_%s" % (name, bound)]),
                                           function["%s_%s" % (name, bound)], 5)

    def test_no_formula(self):
        cells = [cell for row in self.table() for name, cell in row.items()]
        for name in ("=1+1", "+x", "-x", "@x", "\uff1dwide"):
            self.assertIn("'" + name, cells)
            self.assertNotIn(name, cells)
        self.assertIn("x;'=cmd()", cells)
        for cell in cells:
            for piece in cell.split(";"):
                self.assertNotRegex(piece, r"^[=+\-@\t\r]", cell)

    def test_sort_and_top(self):
        all_rows = self.table()
        for sort, column in (("own", "own"), ("self", "self"), ("total", "total"),
                             ("cpu", "own_cpu_seconds"), ("waiting", "own_waiting"),
                             ("calls", "calls_seen_at_least")):
            rows = self.table("--sort", sort)
            values = [float(row[column]) for row in rows]
            self.assertEqual(values, sorted(values, reverse=True), sort)
            self.assertEqual(len(rows), len(all_rows))
        self.assertEqual(self.table("--top", "3"), all_rows[:3])
        self.assertEqual(self.table("--weight", "wall")[0]["own_low"], "")

    def test_options_of_names(self):
        rows = self.table("--strip-prefix", "/srv/app")
        self.assertIn("a,b.py", [row["file"] for row in rows])
        # What is stripped to may begin a formula again.
        self.assertIn("'=1+1.py", [row["file"] for row in rows])
        hidden = self.table("--hide-boilerplate")
        self.assertIn("_bootstrap_inner", [row["function"] for row in rows])
        self.assertNotIn("_bootstrap_inner", [row["function"] for row in hidden])


def evented(profile, frames):
    """What speedscope exports: (begin, end, frames outermost first) one after the other."""
    stack, at = [], 0
    for event in profile["events"]:
        if event["at"] > at:
            yield at, event["at"], tuple(frames[index] for index in stack)
            at = event["at"]
        if event["type"] == "O":
            stack.append(event["frame"])
        elif stack.pop() != event["frame"]:
            raise AssertionError("speedscope closes a frame that is not the innermost")


@support.not_sanitized
class Speedscope(Case):
    def imported(self, path):
        """The file as speedscope has it after its own import: what its Export button gives."""
        package = reader("speedscope")
        if not package:
            self.skipTest("speedscope is not in build/readers (tests/tools/get-readers)")
        with open(path, "rb") as stream:
            data = base64.b64encode(stream.read()).decode()
        loader = os.path.join(self.folder, "load.js")
        with open(loader, "w", encoding="utf-8") as stream:
            stream.write("speedscope.loadFileFromBase64(%s, %s)"
                         % (json.dumps(os.path.basename(path)), json.dumps(data)))
        url = "file://%s/dist/release/index.html#localProfilePath=%s" % (package, loader)
        with browser.Page(url, flags=("--use-gl=angle", "--use-angle=swiftshader",
                                      "--enable-unsafe-swiftshader")) as page:
            export = ("Array.from(document.querySelectorAll('div')).filter(made => "
                      "/Export/.test(made.textContent) && made.children.length < 3).pop()")
            page.wait("!!%s" % export)
            self.assertEqual(page.errors, [])
            page.run("const make = URL.createObjectURL.bind(URL); URL.createObjectURL = "
                       "blob => { window.saved = blob.text(); return make(blob); }; 0")
            page.run(export + ".click()")
            return json.loads(page.run("window.saved"))

    @staticmethod
    def frame(frame):
        place = clean(frame.get("file") or "") or clean(frame.get("module") or "")
        return name_of(frame), place or None, frame.get("line") or None

    def counted(self, exported):
        """(tid, frames) -> weight"""
        frames = [(frame["name"], frame.get("file"), frame.get("line"))
                  for frame in exported["shared"]["frames"]]
        counted = collections.Counter()
        for profile in exported["profiles"]:
            tid = int(re.search(r"\(([0-9]+)\)$", profile["name"]).group(1))
            for begin, end, stack in evented(profile, frames):
                if stack:
                    counted[tid, stack] += end - begin
        return counted

    def check(self, weight):
        document = self.document()
        unit = 1 if weight == "cpu" else document["profile"]["interval_ns"]
        exported = self.imported(self.file("out.speedscope.json", "--weight", weight))
        expected = {key: count * unit
                    for key, count in stacks_of(document, weight, self.frame).items()}
        self.assertEqual(self.counted(exported), expected)
        self.assertEqual({profile["unit"] for profile in exported["profiles"]}, {"nanoseconds"})
        busiest = exported["profiles"][exported["activeProfileIndex"]]["name"]
        by_thread = collections.Counter()
        for (tid, _), count in expected.items():
            by_thread[tid] += count
        tid = int(re.search(r"\(([0-9]+)\)$", busiest).group(1))
        self.assertEqual(by_thread[tid], max(by_thread.values()))

    def test_samples(self):
        self.check("samples")

    def test_wall(self):
        self.check("wall")

    def test_cpu(self):
        self.check("cpu")

    def test_true_order(self):
        document = self.document("--snapshots")
        interval = document["profile"]["interval_ns"]
        exported = self.imported(self.file("time.speedscope.json", "--function", "--weight", "wall"))
        names = [frame["name"] for frame in exported["shared"]["frames"]]
        for profile in exported["profiles"]:
            tid = int(re.search(r"\(([0-9]+)\)$", profile["name"]).group(1))
            seen = [()] * len(document["snapshots"])
            for begin, end, stack in evented(profile, names):
                for number in range(begin // interval, end // interval):
                    seen[number] = stack
            expected = []
            for snapshot in document["snapshots"]:
                thread = next((one for one in snapshot["threads"] if one["tid"] == tid), None)
                expected.append(tuple(name_of(frame) for frame in reversed(thread["frames"]))
                                if thread else ())
            self.assertEqual(seen, expected)

    def test_folded_is_read_too(self):
        exported = self.imported(self.file("out.folded"))
        names = [frame["name"] for frame in exported["shared"]["frames"]]
        counted = collections.Counter()
        for begin, end, stack in evented(exported["profiles"][0], names):
            counted[stack] += end - begin
        self.assertEqual(counted, merged(stacks_of(self.document(), "samples", folded_label)))

    def test_schema(self):
        package, ajv = reader("speedscope"), reader("ajv")
        node = shutil.which("node")
        if not package or not ajv or not node:
            self.skipTest("speedscope and ajv are not in build/readers, or node is missing")
        schema = glob.glob(os.path.join(package, "dist", "release", "file-format-schema.json"))[0]
        check = ("const Ajv = require(process.argv[1]); const read = (name) => "
                 "JSON.parse(require('fs').readFileSync(name, 'utf8'));"
                 "const ajv = new Ajv({strict: false}); const valid = ajv.compile(read(process.argv[2]));"
                 "if (!valid(read(process.argv[3]))) { console.log(valid.errors); process.exit(1); }")
        for options in ((), ("--weight", "cpu"), ("--threads", "--hide-boilerplate")):
            path = self.file("schema.speedscope.json", *options)
            done = subprocess.run([node, "-e", check, ajv, schema, path], capture_output=True,
                                  check=False, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Svg(Case):
    def boxes(self, path):
        """Of the picture: (labels from the outermost box to this one) -> weight; the boxes' titles."""
        root = xml.etree.ElementTree.parse(path).getroot()
        groups = root.find(".//%sg[@id='frames']" % SVG)
        counted, titles, above = collections.Counter(), [], []
        for group in groups:
            title = group.find(SVG + "title").text
            del above[int(group.get("data-d")):]
            above.append(title.split("\n")[0])
            counted[tuple(above[1:])] += int(group.get("data-w"))
            titles.append(title)
        return counted, titles

    def check(self, weight):
        path = self.file("out.svg", "--weight", weight)
        counted, titles = self.boxes(path)
        stacks = merged(stacks_of(self.document(), weight, label_of))
        expected = collections.Counter()
        for frames, count in stacks.items():
            for depth in range(len(frames) + 1):
                expected[frames[:depth]] += count
        whole = sum(stacks.values())
        drawn = {key for key, count in expected.items() if count * 1000 >= whole}
        self.assertEqual(counted, {key: expected[key] for key in drawn})
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        narrow = len(expected) - len(drawn)
        self.assertEqual("%d frame" % narrow in text, narrow > 0)
        self.assertLess(len(text), 1000000)

    def test_samples(self):
        self.check("samples")

    def test_wall(self):
        self.check("wall")

    def test_cpu(self):
        self.check("cpu")

    def test_xml(self):
        if not shutil.which("xmllint"):
            self.skipTest("xmllint is not on this machine")
        for options in (("--weight", "wall"), ("--threads",), ("--max-depth", "3")):
            done = subprocess.run(["xmllint", "--noout", "--nonet", self.file("xml.svg", *options)],
                                  capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_asks_for_nothing(self):
        text = self.render("svg").decode("utf-8")
        for word in ("href", "src=", "url(", "@import", "fetch(", "XMLHttpRequest", "eval("):
            self.assertNotIn(word, text)
        self.assertEqual(set(re.findall(r"https?://[^\"' ]*", text)),
                         {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"})

    BOXES = "Array.from(document.querySelectorAll('#frames > g'))"

    def details(self, page):
        return page.run("document.getElementById('details').textContent")

    def width(self, page, element):
        return page.run(element + ".querySelector('rect').getBoundingClientRect().width")

    def check_search(self, page):
        """The share of all that is below the name, recursion counted once."""
        profile = self.document()["profile"]
        share = sum(one["total"] for one in profile["functions"]
                    if name_of(one) == "fib") / profile["samples_working"]
        page.key("/")
        page.type(None, "^fib ")
        found = page.run("document.getElementById('found').textContent")
        self.assertAlmostEqual(float(re.search(r"([0-9.]+) %", found).group(1)), share * 100,
                               delta=0.5 if share >= 0.0995 else 0.05)
        self.assertGreater(page.run("document.querySelectorAll('#frames > .hit').length"), 1)
        page.key("Enter")  # to the first match
        self.assertTrue(self.details(page).startswith("fib ("))
        self.assertTrue(page.run("document.activeElement.classList.contains('hit')"))
        page.run("document.getElementById('search').focus()")
        page.key("Escape")
        self.assertEqual(page.run("document.querySelectorAll('#frames > .hit').length"), 0)
        self.assertEqual(page.run("document.getElementById('search').value"), "")

    def check_zoom(self, page, whole):
        """A box and what it is on have the whole width, its neighbours are gone."""
        page.run("window.some = %s.find(g => g.dataset.x > 0 && g.dataset.w * 2 < "
                   "document.querySelector('#frames > g').dataset.w && "
                   "g.querySelector('rect').getBoundingClientRect().width > 40)" % self.BOXES)
        page.run("window.some.querySelector('rect').id = 'some'")
        page.click("#some")
        self.assertAlmostEqual(self.width(page, "window.some"), whole, delta=2)
        self.assertAlmostEqual(
            page.run("window.some.querySelector('rect').getBoundingClientRect().x"), 10, delta=1)
        hidden = ".filter(g => g.style.display === 'none').length"
        self.assertGreater(page.run(self.BOXES + hidden), 0)
        self.assertEqual(self.details(page), page.run(
            "window.some.querySelector('title').textContent.replace('\\n', '')"))
        page.key("Escape")
        self.assertEqual(page.run("document.querySelectorAll('#frames > .above').length"), 0)

    def check_keys(self, page, whole):
        """Down to a child and zoom, up again; and the other way up."""
        depth = lambda: page.run("document.activeElement.dataset.d")
        top = lambda: page.run(self.BOXES + "[0].getBoundingClientRect().y + scrollY")
        page.run(self.BOXES + "[0].focus()")
        page.key("ArrowDown")
        page.key("ArrowDown")
        self.assertEqual(depth(), "2")
        page.key("Enter")
        self.assertAlmostEqual(self.width(page, "document.activeElement"), whole, delta=2)
        page.key("ArrowUp")
        self.assertEqual(depth(), "1")
        page.key("Home")
        self.assertEqual(depth(), "0")
        page.key("Escape")
        before = top()
        page.key("i")
        self.assertGreater(top(), before)
        page.run(self.BOXES + "[0].focus()")
        page.key("ArrowUp")
        self.assertEqual(depth(), "1")

    @support.not_sanitized
    def test_in_a_browser(self):
        path = self.file("page.svg")
        with browser.Page("file://" + path, 1300, 2000, flags=("--hide-scrollbars",)) as page:
            whole = self.width(page, self.BOXES + "[0]")
            self.assertAlmostEqual(whole, 1280, delta=2)
            self.assertLessEqual(page.run("document.scrollingElement.scrollWidth"), 1300)
            self.check_search(page)
            self.check_zoom(page, whole)
            self.check_keys(page, whole)
            # What is looked for is found as it is, too; hostile names are shown, not run.
            page.key("/")
            page.type(None, "</title></svg><script>alert(1)</script>")
            self.assertGreater(page.run("document.querySelectorAll('#frames > .hit').length"), 0)
            self.assertEqual(page.run("document.querySelectorAll('script').length"), 1)
            page.click("#reset")
            page.resize(390, 844)
            page.wait("document.documentElement.getBoundingClientRect().width === 390")
            self.assertLessEqual(page.run("document.scrollingElement.scrollWidth"), 390)
            self.assertEqual(page.complaints, [])
            self.assertEqual(page.requests, [])

    @support.not_sanitized
    def test_contrast(self):
        """Text on each box, in both schemes: 4.5 at least (WCAG 2.1, 1.4.3)."""
        def luminance(color):
            parts = [int(part) / 255 for part in re.findall(r"[0-9]+", color)[:3]]
            parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
                     for part in parts]
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

        with browser.Page("file://" + self.file("color.svg", "--weight", "wall")) as page:
            for scheme in ("light", "dark"):
                page.media(dark=scheme == "dark")
                pairs = page.run(
                    "Array.from(document.querySelectorAll('#frames > g')).filter(g => "
                    "g.querySelector('text')).map(g => [getComputedStyle(g.querySelector('rect')).fill,"
                    " getComputedStyle(g.querySelector('text')).fill])")
                self.assertGreater(len({box for box, _ in pairs}), 3)
                for box, text in pairs:
                    light, dark = sorted((luminance(box), luminance(text)), reverse=True)
                    self.assertGreater((light + 0.05) / (dark + 0.05), 4.5, (scheme, box, text))


class Any(Case):
    def test_endings(self):
        """.speedscope.json is no .json."""
        for name, begin in (("e.speedscope.json", b'{\n "$schema"'), ("e.json", b'{\n "schema"'),
                            ("e.csv", b"rank,function"), ("e.svg", b"<?xml")):
            with open(self.file(name), "rb") as stream:
                self.assertTrue(stream.read(200).startswith(begin), name)

    def test_a_single_snapshot(self):
        """A thread dump has a profile of one snapshot for these formats."""
        pythons = [python for python in support.interpreters() if python.build == "release"]
        program = "import time; print('READY', flush=True); time.sleep(1000)"
        script = os.path.join(self.folder, "sleeps.py")
        with open(script, "w", encoding="ascii") as stream:
            stream.write(program)
        with support.start_target(pythons[-1], script, still=True) as target:
            outputs = [os.path.join(self.folder, "one" + ending)
                       for ending in (".svg", ".folded", ".csv", ".speedscope.json")]
            arguments = [word for path in outputs for word in ("-o", path)]
            outcome = support.pycore("snap", target.pid, *arguments)
        self.assertIn(outcome.rc, (0, 1), outcome.err)
        for path in outputs:
            with open(path, encoding="utf-8") as stream:
                self.assertIn("time.sleep", stream.read(), path)


if __name__ == "__main__":
    tap.main()
