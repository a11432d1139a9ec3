#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTML report as a reader has it: opened in headless Chromium, clicked, searched, zoomed, sorted,
moved through by keyboard and by time, printed, narrow, dark, and by a screen reader."""

import json
import os
import re
import shutil
import subprocess
import unittest

import support
from html_report import PROGRAM, Checked, Report, with_data

# WCAG 2.2, 1.4.3 and 1.4.11: text, and what is to be told apart by its colour.
TEXT_CONTRAST = 4.5


def luminance(color):
    parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@support.not_sanitized
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
            page.choose("#moment", "3")
            # The last band is as wide as they are in the mean, whatever time lay between two snapshots.
            page.click("#bands", page.run("document.querySelector('#bands').clientWidth") - 5, 5)
            self.assertRegex(page.text("#moment-says"), "^20 of 20, ")
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


class Options(Report):
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


@support.not_sanitized
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


if __name__ == "__main__":
    unittest.main()
