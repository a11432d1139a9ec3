#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTML report's numbers are those of the JSON report of the same capture to the last sample, and no
name becomes markup: in headless Chromium nothing complains, and nothing is asked of the network."""

import html.parser
import json
import os
import re
import shutil
import subprocess
import unittest

import browser
import support
from html_report import Checked, Report, with_data
from test_hostile_text import HOSTILE

VOID = {"meta", "input", "br", "link", "img", "hr"}

STRANGE_PROGRAM = '''
import sys, threading, types
HOSTILE = %r

def spin():
    print("READY")
    sys.stdout.flush()
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
inner()
'''


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


@support.not_sanitized
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

    @support.not_sanitized
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
            threads = page.run(
                "[...document.querySelectorAll('[data-part=dump] table')]"
                ".filter(table => table.querySelector('th').textContent.trim() === 'TID')"
                ".flatMap(table => [...table.querySelectorAll('tbody tr')].map(row => row.textContent))")
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
