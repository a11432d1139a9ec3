#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTML report as a reader has it: opened in headless Chromium, clicked, searched, zoomed, sorted,
moved through by keyboard and by time, printed, narrow, dark. Its numbers are those of the JSON report
of the same capture to the last sample, nothing is asked of the network, nothing complains, and no
name becomes markup."""

import html.parser
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import browser
import support
from test_hostile_text import HOSTILE

PROGRAM = '''
import sys, threading, time

def hot(number):
    for step in range(3000):
        number = (number * 31 + step) % 10007
    return number

def cold(number):
    for step in range(700):
        number = (number * 17 + step) % 10007
    return number

def fall(depth):
    return cold(depth) if depth == 0 else fall(depth - 1)

def work():
    while True:
        hot(1)
        fall(5)

def doze():
    while True:
        time.sleep(60)

lock = threading.Lock()
lock.acquire()

def wait_for_lock():
    lock.acquire()

for name, target in (("worker", work), ("dozer", doze), ("locked", wait_for_lock)):
    threading.Thread(target=target, name=name, daemon=True).start()
print("READY")
sys.stdout.flush()
doze()
'''

VOID = {"meta", "input", "br", "link", "img", "hr"}
# WCAG 2.2, 1.4.3 and 1.4.11: text, and what is to be told apart by its colour.
TEXT_CONTRAST = 4.5


class Elements(html.parser.HTMLParser):
    """All elements of a page, and whether they are closed in the order in which they were opened."""

    def __init__(self, text):
        super().__init__()
        self.opened, self.elements, self.wrong, self.data = [], [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.opened.append(tag)
        if tag == "p" and self.opened.count("p") > 1:
            self.wrong.append("a paragraph in a paragraph")

    def handle_endtag(self, tag):
        if not self.opened or self.opened.pop() != tag:
            self.wrong.append("</%s> at %s" % (tag, self.getpos()))

    def handle_data(self, data):
        if self.opened:
            self.data[self.opened[-1]] = self.data.get(self.opened[-1], "") + data


def data_of(text):
    return json.loads(re.search('id="data">(.*?)</script>', text, re.S).group(1))


def with_data(text, data):
    """The page with other data."""
    escaped = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return re.sub('(id="data">).*?(</script>)', lambda found: found.group(1) + escaped + found.group(2),
                  text, count=1, flags=re.S)


def luminance(color):
    parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


STRANGE_PROGRAM = '''
import sys, threading, types
HOSTILE = %r

def spin():
    while True:
        sum(range(1000))  # </script><img src=x onerror=alert(1)>

def wrap(name, inner):
    def frame():
        inner()
    more = {"co_qualname": name} if sys.version_info >= (3, 11) else {}
    code = frame.__code__.replace(co_name=name, co_filename="/x/" + name + ".py", **more)
    return types.FunctionType(code, globals(), name, None, frame.__closure__)

inner = spin
for name in HOSTILE:
    inner = wrap(name, inner)
for name in HOSTILE:
    threading.Thread(target=threading.Event().wait, name=name, daemon=True).start()
print("READY")
sys.stdout.flush()
inner()
'''


class Report(support.TestCase):
    """One run, one capture, one page; the tests look at it."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        python = next((python for python in reversed(support.interpreters())
                       if python.build == "release" and python.minor >= (3, 8)), None)
        if not python:
            raise unittest.SkipTest("no Python 3.8 or later is on this machine")
        cls.python = python
        script = os.path.join(cls.folder, "service.py")
        with open(script, "w") as stream:
            stream.write(PROGRAM)
        cls.capture = os.path.join(cls.folder, "run.cap")
        with support.start_target(python, script) as target:
            done = support.pycore("snap", target.pid, "-n", "20", "-i", "20ms", "--save", cls.capture,
                                  "-o", os.path.join(cls.folder, "live.txt"))
            cls.dump = support.pycore("snap", target.pid, "-f", "html").out
        assert done.rc in (0, 1), done.err
        cls.json = support.pycore_json("analyze", cls.capture, ok=(0, 1))
        cls.profile = cls.json["profile"]
        cls.path = os.path.join(cls.folder, "report.html")
        done = support.pycore("analyze", cls.capture, "-o", cls.path)
        assert done.rc in (0, 1), done.err
        with open(cls.path, encoding="utf-8") as stream:
            cls.text = stream.read()
        cls.data = data_of(cls.text)

    def page(self, text=None, **options):
        path = self.path
        if text is not None:
            path = os.path.join(self.folder, "other.html")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
        return Checked(self, "file://" + path, **options)


class Checked(browser.Page):
    """A page that must not complain, nor ask for anything, until it is left."""

    def __init__(self, test, url, **options):
        super().__init__(url, **options)
        self.test = test

    def __exit__(self, kind=None, *_):
        super().__exit__()
        if kind is None:
            self.test.assertEqual(self.complaints, [])
            self.test.assertEqual(self.requests, [])


class Numbers(Report):
    def function_id(self, name):
        return next(f["id"] for f in self.profile["functions"] if name in (f["function"], f["qualname"]))

    def test_functions(self):
        self.assertEqual(len(self.data["functions"]), len(self.profile["functions"]))
        for row, want in zip(self.data["functions"], self.profile["functions"]):
            own, own_all, own_cpu, self_, self_all, self_cpu, total, total_all, total_cpu = row[7:16]
            self.assertEqual(
                [own, own_all - own, own_cpu, self_, self_all - self_, self_cpu, total, total_all - total,
                 total_cpu, row[16]],
                [want[key] for key in ("own", "own_waiting", "own_cpu_ns", "self", "self_waiting",
                                       "self_cpu_ns", "total", "total_waiting", "total_cpu_ns",
                                       "activations")])

    def test_sums(self):
        for key in ("samples", "samples_working", "cpu_on_stacks_ns", "snapshots", "duration_ns"):
            self.assertEqual(self.data[key], self.profile[key], key)
        self.assertEqual(self.data["weight"], "working")
        stacks = [self.data["stacks"][i:i + 6] for i in range(0, len(self.data["stacks"]), 6)]
        self.assertEqual(sum(stack[3] for stack in stacks), self.profile["samples"])
        self.assertEqual(sum(stack[4] for stack in stacks), self.profile["cpu_on_stacks_ns"])
        works = [state["works"] for state in self.data["states"]]
        self.assertEqual(sum(stack[3] for stack in stacks if works[stack[1]]), self.profile["samples_working"])

    def test_edges_and_lines(self):
        edges = [self.data["edges"][i:i + 5] for i in range(0, len(self.data["edges"]), 5)]
        want = [[edge["caller"], edge["callee"], edge.get("through", edge["total"])] for edge in self.profile["edges"]]
        native = {f["id"] for f in self.profile["functions"] if f["kind"] == "native"}
        for have, edge in zip(edges, want):
            if have[0] not in native and have[1] not in native:
                self.assertEqual(have[:3], edge)
        for have, line in zip(self.data["lines"], self.profile["lines"]):
            self.assertEqual([have[0], have[2], have[3] - have[2], have[5]],
                             [line["function"], line["own"], line["own_waiting"], line["total"]])

    def test_time_line(self):
        """Each thread has its samples in it, in its states."""
        moments, works = self.data["moments"], self.data["stacks"]
        self.assertEqual(len(moments["at_us"]), self.profile["snapshots"])
        for thread, runs, row in zip(self.profile["threads"], moments["threads"], self.data["threads"]):
            states = {}
            for stack, count in zip(runs[::2], runs[1::2]):
                if stack >= 0:
                    name = self.data["states"][works[6 * stack + 1]]["name"]
                    states[name] = states.get(name, 0) + count
            self.assertEqual(states, thread["states"])
            self.assertEqual(row[2], thread["tid"])

    def where(self, stack):
        """Function and line of the innermost frame that has a name in Python."""
        node = self.data["stacks"][6 * stack + 2]
        while node:
            function, line = (self.data["frames"][2 * self.data["nodes"][2 * node - 1] + i] for i in (0, 1))
            if self.data["functions"][function][0] != 2:
                return self.data["names"][self.data["functions"][function][1]], line
            node = self.data["nodes"][2 * node - 2]
        return None, None

    def test_each_moment(self):
        worker = next(i for i, thread in enumerate(self.profile["threads"]) if thread["name"] == "worker")
        runs = self.data["moments"]["threads"][worker]
        stacks = [stack for stack, count in zip(runs[::2], runs[1::2]) for _ in range(count)]
        self.assertGreater(len(set(stacks)), 2)  # it moved
        with self.page() as page:
            page.choose("#thread", str(worker))
            for moment, stack in enumerate(stacks):
                page.choose("#moment", str(moment))
                shown = page.texts("#moment-threads > li")
                name, line = self.where(stack)
                if stack < 0:
                    self.assertEqual(shown, [])
                elif name:
                    self.assertRegex(shown[0], r": %s \(service\.py:%d\)$" % (name, line) if line >= 0 else re.escape(name))

    def test_graph(self):
        """What the graph says of a function is what the JSON report says, recursion counted once."""
        with self.page() as page:
            for count, key in (("working", "total"), ("cpu", "total_cpu_ns")):
                page.click("input[value=%s]" % count)
                for options in ({}, {"lines": True}, {"inverted": True}, {"threads": True}, {"natives": False}):
                    sums = page.run("""(() => { const graph = pycore.tree.build(Object.assign({natives: true}, %s));
                        const sums = {}, names = {};
                        for (let i = 1; i < graph.parent.length; i++) {
                          const f = pycore.tree.functionOf(graph, i);
                          if (!f) continue;
                          let above = graph.parent[i];
                          while (above && pycore.tree.functionOf(graph, above) !== f) above = graph.parent[above];
                          if (!above) sums[f.id] = (sums[f.id] || 0) + graph.value[i];
                        }
                        return [sums, graph.value[0], Array.from(graph.self).reduce((a, b) => a + b, 0)]; })()""" % json.dumps(options))
                    whole = self.profile["samples_working" if count == "working" else "cpu_on_stacks_ns"]
                    self.assertEqual(sums[1:], [whole, whole], options)
                    if options.get("inverted"):
                        continue  # there a call counts once for each of its callees that worked
                    for f in self.profile["functions"]:
                        if f["kind"] == "native" and "natives" in options:
                            continue
                        self.assertEqual(sums[0].get(str(f["id"]), 0), f[key], (f["function"], options))

    def test_chosen_thread(self):
        """The table of one thread is that of its stacks; that of all its states, the sum over them."""
        worker = next(i for i, thread in enumerate(self.profile["threads"]) if thread["name"] == "worker")
        tid = self.profile["threads"][worker]["tid"]
        frames = self.profile["frames"]
        want = {}
        for stack in self.profile["stacks"]:
            if stack["tid"] == tid and stack["state"] in ("running", "runnable"):
                for function in {frames[frame]["function_id"] for frame in stack["frames"]}:
                    want[function] = want.get(function, 0) + stack["samples"]
        with self.page() as page:
            page.choose("#thread", str(worker))
            have = page.run("pycore.model.tally.total.map((three) => three[0])")
            self.assertEqual({i: n for i, n in enumerate(have) if n}, want)
            self.assertIn("as chosen above", page.text("#functions-of"))
            edges = page.run("pycore.model.tally.edges.map((e) => [e.caller, e.callee, e.counts[0]])")
            whole = {(e["caller"], e["callee"]): e.get("through", e["total"]) for e in self.profile["edges"]}
            hot, work = self.function_id("hot"), self.function_id("work")
            self.assertEqual([count for caller, callee, count in edges if (caller, callee) == (work, hot)],
                             [whole[work, hot]])  # nobody else calls it
            page.choose("#thread", "-1")
            have = page.run("pycore.model.tally.total.map((three) => three[0])")
            self.assertEqual(have, [f["total"] for f in self.profile["functions"]])

    def test_style_of_numbers(self):
        """The table of the scripts reads as the one of the document that it stands for."""
        with self.page() as page:
            rows = page.run("""Array.from(document.querySelectorAll("#functions-table tbody tr"), (row) =>
                [row.querySelector("button").textContent].concat([0, 1, 2, 5, 6].map((i) => row.cells[i].textContent)))""")
            static = page.run("""Array.from(document.querySelectorAll("[data-part=functions]")[0].querySelectorAll("tbody tr"),
                (row) => Object.assign({}, ...Array.from(row.cells, (c) => ({[c.dataset.label]: c.textContent}))))""")
        shown = {row[0]: row[1:] for row in rows}
        self.assertTrue(static)
        for row in static:
            own, bounds, total, cpu, waiting = shown[row["FUNCTION"]]
            self.assertEqual([own, bounds.replace("\u2013", "-").replace(" %", ""), total, cpu, waiting],
                             [row["SELF"], row.get("95 %", ""), row["TOTAL"], row["CPU"], row.get("WAITING", "")])

    def test_table(self):
        with self.page() as page:
            rows = page.run("""Array.from(document.querySelectorAll("#functions-table tbody tr"), (row) =>
                [Number(row.querySelector("button").dataset.function)].concat(Array.from(row.cells, (c) => c.textContent)))""")
        for row in rows:
            f = self.profile["functions"][row[0]]
            self.assertEqual(row[4] or "0", "{:,}".format(f["own"]))
            self.assertEqual(row[5], "{:,}".format(f["total"]))
            self.assertEqual(row[8], "\u2265{:,}".format(f["activations"]) if f["activations"] else "")
        self.assertEqual(rows[0][0], self.function_id("hot"))


class Reading(Report):
    def test_first_screen(self):
        with self.page() as page:
            self.assertIn("service.py", page.text("h1"))
            bottom = page.run("document.querySelector('[data-part=summary]').getBoundingClientRect().bottom")
            self.assertLess(bottom, 800)
            self.assertRegex(page.text("[data-part=summary]"), r"Hottest\s*\d+ % .*hot\(\)")

    def test_click_zoom_and_escape(self):
        with self.page() as page:
            page.click("#graph-natives")
            place = page.run("""(() => { const flame = pycore.flame, graph = flame.view.graph;
                const at = graph.key.findIndex((key) => key >= 0 && pycore.model.functions[key].name === "hot");
                const span = flame.spanOf(at);
                return [span[0] + span[1] / 2, (flame.rowOf(graph.depth[at]) + 0.5) * flame.view.row, at]; })()""")
            page.click("#graph-box canvas", place[0], place[1])
            self.assertEqual(page.run("pycore.flame.view.zoom"), place[2])
            details = page.text("#graph-details")
            f = next(f for f in self.profile["functions"] if f["function"] == "hot")
            self.assertRegex(details, r"^hot service\.py:\d+: \d+ %%, %d of %d working samples; itself " % (
                f["total"], self.profile["samples_working"]))
            self.assertIn("CPU time", details)
            self.assertEqual(page.run("pycore.flame.spanOf(pycore.flame.view.zoom)[1]"),
                             page.run("document.querySelector('#graph-box').clientWidth"))
            page.run("document.querySelector('#graph-box').focus()")
            page.key("Escape")
            self.assertEqual(page.run("pycore.flame.view.zoom"), 0)
            self.assertTrue(page.run("document.querySelector('#graph-reset').disabled"))

    def test_keyboard(self):
        with self.page() as page:
            page.run("document.querySelector('#graph-box').focus({preventScroll: true})")
            self.assertRegex(page.text("#graph-details"), "^all: 100 %")
            page.key("ArrowDown", 3)
            deep = page.run("pycore.flame.view.graph.depth[pycore.flame.view.selected]")
            self.assertEqual(deep, 3)
            name = page.run("pycore.tree.nameOf(pycore.flame.view.graph, pycore.flame.view.selected)")
            self.assertTrue(page.text("#graph-details").startswith(name))
            page.key("Enter")
            self.assertEqual(page.run("pycore.flame.view.zoom === pycore.flame.view.selected"), True)
            page.key("ArrowUp")
            self.assertEqual(page.run("pycore.flame.view.graph.depth[pycore.flame.view.selected]"), 2)
            page.key("Home")
            page.key("?")
            self.assertTrue(page.run("document.querySelector('#graph-help').open"))
            page.key("/")
            self.assertEqual(page.run("document.activeElement.id"), "graph-search")
            # Callers at the bottom: up is inward.
            page.choose("#graph-view", "flame")
            page.run("document.querySelector('#graph-box').focus()")
            page.key("ArrowUp", 2)
            self.assertEqual(page.run("pycore.flame.view.graph.depth[pycore.flame.view.selected]"), 2)
            # To the table: the function that is selected there has its own place.
            page.run("(() => { const g = pycore.flame.view.graph; pycore.flame.view.selected = "
                     "g.key.findIndex((key) => key >= 0 && pycore.model.functions[key].name === 'hot'); })()")
            page.key("f")
            self.assertEqual(page.run("document.activeElement.id"), "function")
            self.assertRegex(page.text("#function h3"), "^hot")

    def test_search(self):
        """fall() calls itself: its time counts once."""
        with self.page() as page:
            page.type("#graph-search", "FALL")
            found = page.text("#graph-found")
            f = next(f for f in self.profile["functions"] if f["function"] == "fall")
            self.assertRegex(found, r"^1 function found, in .* \(%d of %d working samples\)$" % (
                f["total"], self.profile["samples_working"]))
            page.key("Escape")
            self.assertEqual(page.text("#graph-found"), "")
            page.type("#graph-search", "no such function")
            self.assertEqual(page.text("#graph-found"), "Nothing found")

    def test_counts_and_states(self):
        with self.page() as page:
            waiting = self.profile["samples"] - self.profile["samples_working"]
            page.click("input[value=waiting]")
            self.assertEqual(page.run("pycore.flame.view.graph.value[0]"), waiting)
            self.assertIn("%d waiting samples" % waiting, page.text("#graph-of"))
            page.click("input[value=wall]")
            self.assertEqual(page.run("pycore.flame.view.graph.value[0]"), self.profile["samples"])
            state = [state["name"] for state in self.data["states"]].index("lock-wait")
            page.choose("#state", str(state))
            self.assertEqual(page.run("pycore.flame.view.graph.value[0]"), self.profile["states"]["lock-wait"])

    def test_sorting_and_filter(self):
        with self.page() as page:
            names = "#functions-table tbody button"
            for button in (3, 9, 9):  # by total, by name, and backwards
                page.click("#functions-table thead th:nth-child(%d) button" % button)
            shown = page.texts(names)
            self.assertEqual(shown, sorted(shown, reverse=True))
            self.assertEqual(page.run("document.querySelector('#functions-table th[aria-sort]').textContent"), "Function")
            self.assertEqual(page.run("document.querySelector('#functions-table th[aria-sort]').getAttribute('aria-sort')"), "descending")
            self.assertEqual(page.run("document.activeElement.textContent"), "Function")
            page.type("#functions-filter", "hot")
            self.assertEqual(page.texts(names), ["hot"])
            self.assertRegex(page.text("#functions-found"), r"^1 of \d+ functions$")
            before = int(re.search(r"of (\d+)", page.text("#functions-found")).group(1))
            page.click("#functions-natives")
            self.assertGreaterEqual(int(re.search(r"(\d+) functions?$", page.text("#functions-found")).group(1)), before)

    def test_chosen_function(self):
        with self.page() as page:
            self.assertRegex(page.text("#function h3"), "^hot")
            aside = page.text("#function")
            self.assertIn("number = (number * 31 + step) % 10007", aside)
            page.click("#function button.function")  # its caller
            self.assertRegex(page.text("#function h3"), "^work")
            self.assertIn("fall", page.text("#function"))
            self.assertEqual(page.text("#functions-table tr.chosen button"), "work")

    def test_lines(self):
        with self.page() as page:
            first = page.text("#lines-table tbody tr")
            self.assertRegex(first, r"hot ?service\.py:\d+")
            line = int(re.search(r"service\.py:(\d+)", first).group(1))
            self.assertIn(PROGRAM.split("\n")[line - 1].strip(), first)

    def test_time(self):
        with self.page() as page:
            self.assertRegex(page.text("#moment-says"), "^1 of 20, at 0.00 s: ")
            page.run("document.querySelector('#moment').focus()")
            page.key("ArrowRight", 3)
            self.assertRegex(page.text("#moment-says"), "^4 of 20, at ")
            shown = page.texts("#moment-threads > li")
            self.assertEqual(len(shown), 4)
            self.assertTrue(any(re.search(r"locked \(\d+\) waits for a lock: .*acquire", item) for item in shown), shown)
            page.click("#moment-threads li:last-child summary")
            stack = page.texts("#moment-threads li:last-child ol li")
            self.assertTrue(stack)
            page.key("Tab")
            page.choose("#moment", "19")
            self.assertRegex(page.text("#moment-says"), "^20 of 20, ")
            self.assertTrue(page.run("document.querySelector('#moment-threads li:last-child details').open"))
            page.click("#bands", page.run("document.querySelector('#bands').clientWidth") - 60, 5)
            self.assertRegex(page.text("#moment-says"), "^(19|20) of 20, ")
            page.choose("#moment-working", True)
            self.assertLess(len(page.texts("#moment-threads > li")), 4)

    def test_processes(self):
        """Of several processes one can be chosen, and its threads then."""
        data = json.loads(json.dumps(self.data))
        own = data["processes"][0][0]
        data["names"].append("worker of <b>it</b>")
        data["processes"].append([own + 1, len(data["names"]) - 1])
        lone = next(row for row in data["threads"] if data["names"][row[0]] == "worker")
        lone[1] = own + 1
        with self.page(with_data(self.text, data)) as page:
            self.assertIn("%d worker of <b>it</b>" % (own + 1), page.texts("#process option"))
            page.click("input[value=wall]")
            page.choose("#process", str(own + 1))
            self.assertEqual(page.run("pycore.flame.view.graph.value[0]"), lone[4])
            self.assertEqual(len(page.texts("#thread option")), 2)
            self.assertEqual(len(page.texts("#moment-threads > li")), 1)
            page.choose("#process", "-1")
            self.assertEqual(page.run("pycore.flame.view.graph.value[0]"), self.profile["samples"])

    def test_theme(self):
        with self.page(dark=True) as page:
            self.assertEqual(page.run("getComputedStyle(document.body).backgroundColor"), "rgb(14, 17, 22)")
            page.choose("#theme", "light")
            self.assertEqual(page.run("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
            page.media(dark=False)
            page.choose("#theme", "")
            self.assertEqual(page.run("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")

    def test_narrow(self):
        """320 CSS pixels, as 1280 have at 400 % zoom: nothing has to be moved sideways (WCAG 1.4.10)."""
        for width in (320, 390, 800, 1280):
            with self.page(width=width, height=700) as page:
                self.assertLessEqual(page.run("document.documentElement.scrollWidth"), width)
                if width > 400:
                    continue
                wide = page.run("""Array.from(document.querySelectorAll("main *")).filter((e) =>
                    !e.closest(".unseen, thead, caption") && e.getBoundingClientRect().right > innerWidth + 1)
                    .map((e) => e.outerHTML.slice(0, 80))""")
                self.assertEqual(wide, [])

    def test_print(self):
        path = os.path.join(self.folder, "report.pdf")
        with self.page(dark=True) as page:
            page.print(path)
        with open(path, "rb") as stream:
            self.assertTrue(stream.read().startswith(b"%PDF"))
        if not shutil.which("pdftotext"):
            self.skipTest("pdftotext is not on this machine")
        text = subprocess.run(["pdftotext", "-layout", path, "-"], stdout=subprocess.PIPE, check=True).stdout.decode()
        for part in ("Summary", "Threads", "Flame graph", "Functions", "Hottest lines", "Call tree"):
            self.assertIn(part, text)
        self.assertNotIn("Reset zoom", text)

    def test_without_scripts(self):
        with self.page(scripts=False) as page:
            tree = page.ask("Accessibility.getFullAXTree")["nodes"]
        names = {node["name"]["value"] for node in tree if node.get("name") and node["role"]["value"] == "heading"}
        self.assertLessEqual({"Summary", "Threads", "Functions by their own work", "Call tree"}, names)
        self.assertNotIn("Flame graph", names)


    def test_options(self):
        """--sort, --top, --hide-boilerplate, --weight and --strip-prefix are what the page begins with."""
        path = os.path.join(self.folder, "options.html")
        done = support.pycore("analyze", self.capture, "-o", path, "--sort", "name", "--top", "3", "--weight", "wall",
                              "--hide-boilerplate", "--strip-prefix", self.folder)
        self.assertIn(done.rc, (0, 1), done.err)
        with Checked(self, "file://" + path) as page:
            shown = page.texts("#functions-table tbody button")
            self.assertEqual(len(shown), 3)
            self.assertEqual(shown, sorted(shown))
            self.assertEqual(page.run("pycore.flame.view.graph.value[0]"), self.profile["samples"])
            names = page.run("pycore.model.functions.filter((f) => f.hidden).map((f) => f.name.split('.').pop())")
            self.assertIn("_bootstrap_inner", names)
            self.assertNotIn("hot", names)
            page.click("#functions-more")
            self.assertNotIn("_bootstrap_inner", page.text("#functions-table"))
            files = page.run("pycore.model.functions.filter((f) => f.name === 'hot').map((f) => f.file)")
            self.assertEqual(files, ["service.py"])


class Accessible(Report):
    def test_names_and_headings(self):
        with self.page() as page:
            tree = page.ask("Accessibility.getFullAXTree")["nodes"]
            levels = page.run("Array.from(document.querySelectorAll('h1,h2,h3,h4')).filter((h) => h.offsetParent)"
                              ".map((h) => Number(h.tagName[1]))")
            ids = page.run("Array.from(document.querySelectorAll('[id]'), (e) => e.id)")
            scopes = page.run("document.querySelectorAll('th:not([scope])').length")
            referred = page.run("Array.from(document.querySelectorAll('[for],[aria-labelledby],[aria-describedby]'), (e) => "
                                "e.getAttribute('for') || e.getAttribute('aria-labelledby') || e.getAttribute('aria-describedby'))")
        controls = {"button", "checkbox", "radio", "combobox", "searchbox", "slider", "link", "application", "image"}
        for node in tree:
            if node.get("role", {}).get("value") in controls and not node.get("ignored"):
                self.assertTrue(node["name"]["value"].strip(), node)
        self.assertEqual(levels[0], 1)
        self.assertEqual(levels.count(1), 1)
        for before, level in zip(levels, levels[1:]):
            self.assertLessEqual(level, before + 1, levels)
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(scopes, 0)
        self.assertLessEqual(set(referred), set(ids))
        roles = [node["role"]["value"] for node in tree if not node.get("ignored") and "role" in node]
        for role in ("banner", "main", "navigation", "table", "columnheader", "rowheader", "status"):
            self.assertIn(role, roles)

    def test_focus_order(self):
        """By the Tab key every control is reached, in the order in which they stand."""
        with self.page() as page:
            page.run("document.body.focus()")
            reached = []
            for _ in range(45):
                page.key("Tab")
                reached.append(page.run("document.activeElement.id || document.activeElement.name || ''"))
        order = ["theme", "count", "thread", "state", "graph-search", "graph-view", "graph-lines", "graph-box"]
        places = [reached.index(name) for name in order]
        self.assertEqual(places, sorted(places))

    def test_contrast(self):
        with open(support.path("src/report/assets/page.css")) as stream:
            style = stream.read()
        schemes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
                   for block in re.findall(r":root[^{]*\{([^}]*)\}", style)]
        self.assertEqual(len(schemes), 3)
        self.assertEqual(schemes[1], schemes[2])  # dark by choice, and by the system
        kinds = [kind + shade for kind in ("own", "library", "builtin", "native") for shade in ("-a", "-b")]
        for scheme in schemes[:2]:
            for ground in ("bg", "panel"):
                for text in ("fg", "faint", "link", "hot"):
                    self.assertGreaterEqual(contrast(scheme[text], scheme[ground]), TEXT_CONTRAST, (text, ground))
            for kind in kinds:
                self.assertGreaterEqual(contrast(scheme["kind-fg"], scheme[kind]), TEXT_CONTRAST, kind)
            self.assertGreaterEqual(contrast(scheme["found-fg"], scheme["found"]), TEXT_CONTRAST)


class Harmless(Report):
    def test_well_formed(self):
        for text in (self.text, self.dump):
            page = Elements(text)
            self.assertEqual(page.wrong, [])
            self.assertEqual(page.opened, [])
            for tag, attributes in page.elements:
                self.assertNotIn("style", attributes)
                self.assertFalse([name for name in attributes if name.startswith("on")])
                self.assertFalse({"src", "action", "srcset", "data"} & set(attributes))
                if "href" in attributes:
                    self.assertRegex(attributes["href"], "^#")

    def test_xmllint(self):
        if not shutil.which("xmllint"):
            self.skipTest("xmllint is not on this machine")
        done = subprocess.run(["xmllint", "--html", "--noout", self.path], stderr=subprocess.PIPE)
        # It knows HTML 4: elements that came later are unknown to it, and nothing else is wrong.
        errors = [line for line in done.stderr.decode().split("\n") if "error" in line and "Tag" not in line]
        self.assertEqual(errors, [])

    def test_policy_bites(self):
        """A script that got into the page all the same would not run."""
        more = ("<script>document.title = 'owned'</script><p id=p style='color: red' onclick='document.title = 1'>x</p>"
                "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' onerror='document.title = 2'>"
                "<form action='file:///'><button id=b>x</button></form>")
        with browser.Page("file://" + self.write(self.text.replace("</main>", more + "</main>"))) as page:
            page.click("#p")
            page.click("#b")
            self.assertRegex(page.run("document.title"), "^Hotspots of ")
            for directive in ("script-src ", "style-src ", "img-src", "form-action "):
                self.assertTrue(any("Content Security Policy" in complaint and directive in complaint
                                    for complaint in page.complaints), (directive, page.complaints))

    def write(self, text):
        path = os.path.join(self.folder, "changed.html")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        return path

    def test_hostile_names(self):
        script = os.path.join(self.folder, "strange.py")
        with open(script, "w", encoding="utf-8") as stream:
            stream.write(STRANGE_PROGRAM % (HOSTILE,))
        path = os.path.join(self.folder, "strange.html")
        with support.start_target(self.python, script) as target:
            done = support.pycore("snap", target.pid, "-n", "5", "-i", "20ms", "-o", path)
            self.assertIn(done.rc, (0, 1), done.err)
        with open(path, encoding="utf-8") as stream:
            self.assertEqual(Elements(stream.read()).wrong, [])
        with Checked(self, "file://" + path) as page:
            kinds = page.run("Array.from(new Set(Array.from(document.querySelectorAll('*'), (e) => e.localName)))")
            self.assertFalse({"img", "b", "iframe", "object", "svg", "base"} & set(kinds))
            self.assertEqual(page.run("document.scripts.length"), 7)
            page.choose("#moment", "1")
            shown = page.texts("#functions-table tbody button")
            self.assertIn("<script>alert(1)</script><img src=x onerror=alert(1)>&lt;", shown)
            self.assertIn('"}],"forged":{"a":"\\', shown)
            self.assertIn("\\u202egpj.\\u2066exe\\u200b", shown)
            threads = page.texts("#thread option")
            self.assertTrue(any(name.startswith("<script>alert(1)") for name in threads), threads)
            self.assertIn("</script><img src=x", page.text("#lines-table"))
            text = page.run("document.documentElement.innerText")
            self.assertNotRegex(text, "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]")

    def test_size(self):
        self.assertLess(len(self.text), 1000000)

    def test_dump(self):
        with self.page(self.dump) as page:
            self.assertRegex(page.text("h1"), "^Threads of ")
            threads = page.texts("[data-part=dump] tbody tr")
            self.assertEqual(len(threads), 4)
            self.assertTrue(any("worker" in thread for thread in threads))
            self.assertIn("wait_for_lock", page.text("main"))
            self.assertLessEqual(page.run("document.documentElement.scrollWidth"), 1280)

    def test_no_snapshots(self):
        """A page of a document without a time line says how to keep it."""
        with self.page(with_data(self.text, dict(self.data, moments=None))) as page:
            self.assertIn("--snapshots", page.text("#moments-of"))
            self.assertTrue(page.run("document.querySelector('#moments-parts').hidden"))


if __name__ == "__main__":
    unittest.main()
