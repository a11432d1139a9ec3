#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of the target that wants to drive the terminal, forge a line of the report, or be markup:
names of functions, files, threads, programs, libraries and folders, arguments, source lines. In
every format it comes out harmless, live, from a core and from a capture, and in messages too."""

import contextlib
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harm
import support
from test_core_input import allow_core
from cores import no_kernel_cores  # noqa: E402 (test_core_input knows where it is)

# As in include/util/clean.h: controls, and characters that move or hide others.
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e"
                    "\u2060-\u206f\u2800\ufeff\U000e0000-\U000e0fff]")

HOSTILE = (
    "\x1b]0;owned\x07\x1b[31mred",
    "\x9b31m\x90",
    "\u202egpj.\u2066exe\u200b",
    "line\n# forged\n## forged\r| forged | row |\n\nThread forged (1): running",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;",
    "`code` ``more`` ```\n**bold** [x](http://evil.example) @everyone #1 | a \\| b",
    "\ud800 \udc80\udcff",  # side by side, JSON would take the first two for one character
    '"}],"forged":{"a":"\\',
    "nul\x00after",
    "\U000e0041\ufeff\u2028tag",
)

PROGRAM = '''
import ctypes, os, sys, threading, types
HOSTILE = %(hostile)r
never, _ = os.pipe()

def park():
    os.read(never, 1)  # \x1b[31m <script> | `x` \u202e @everyone

def wrap(name, inner):
    def frame():
        inner()
    more = {"co_qualname": name} if sys.version_info >= (3, 11) else {}
    # A code object's file name may hold no NUL where Python makes a path of it; nobody does here.
    code = frame.__code__.replace(co_name=name, co_filename="/x/" + name + ".py", **more)
    return types.FunctionType(code, globals(), name, None, frame.__closure__)

def last():
    print("READY")
    sys.stdout.flush()
    park()

call = ctypes.CDLL(%(library)r).strange_call
callback = ctypes.CFUNCTYPE(None)(last)
inner = lambda: call(callback)
for name in HOSTILE:
    inner = wrap(name, inner)
for name in HOSTILE:
    threading.Thread(target=park, name=name, daemon=True).start()
ctypes.CDLL(None).prctl(15, b"\\x1b[31m\\xff<b>\\n", 0, 0, 0)
inner()
'''

# Bytes that a file name can hold.
STRANGE = b"\x1b[31m\xff\n# forged <b>`|`\xe2\x80\xae@x"


def outside_of_code(line):
    """What of a line of Markdown is neither in a code span nor escaped (CommonMark 0.31, 6.1)."""
    prose = ""
    while line:
        ticks = re.match("`+", line)
        span = ticks and re.match("%s(?!`).*?(?<!`)%s(?!`)" % (ticks.group(), ticks.group()), line)
        size = 2 if line[0] == "\\" else span.end() if span else ticks.end() if ticks else 1
        prose += line[0] if size == 1 else " "
        line = line[size:]
    return prose


class HostileText(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(os.fsencode(folder.name), STRANGE)
        os.mkdir(self.folder)

    def compiled(self):
        library = os.path.join(self.folder, b"lib" + STRANGE + b".so")
        try:
            subprocess.run([os.environ.get("CC", "cc"), "-O0", "-shared", "-fPIC", "-xc", "-o",
                            library, "-"], check=True,
                           input=b"void strange_call(void (*call)(void)) { call(); }")
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("no C compiler")
        return os.fsdecode(library)

    @contextlib.contextmanager
    def target(self, python):
        """The program, by an interpreter of a strange name in a strange folder."""
        script = os.path.join(self.folder, b"script" + STRANGE + b".py")
        source = PROGRAM % {"hostile": HOSTILE, "library": self.compiled()}
        with open(script, "w", encoding="utf-8") as stream:
            stream.write(source)
        self.exe = os.fsdecode(os.path.join(self.folder, b"python" + STRANGE))
        shutil.copy(python.program, self.exe)
        self.argv = [self.exe, os.fsdecode(script), "argument\x1b[31m\n# forged\udcff<b>"]

        @contextlib.contextmanager
        def start():
            with support.start_program(self.argv, cwd=self.folder,
                                       env={"PYTHONHOME": python.prefix}) as target:
                yield target
        # Cores are asked for where the limit is the child's to raise.
        prepare = support._prepare_target

        def prepare_with_core():
            prepare()
            if not no_kernel_cores():
                allow_core()
        support._prepare_target = prepare_with_core
        try:
            with start() as target:
                yield target
        finally:
            support._prepare_target = prepare

    # ---- What is harmless ------------------------------------------------------------------------

    def check_clean(self, data):
        """UTF-8 that drives nothing, and no line but pycore's own."""
        text = data.decode("utf-8")  # fails on stray bytes and on surrogates
        found = UNSEEN.search(text)
        self.assertIsNone(found, found and repr(text[max(0, found.start() - 60):found.end() + 20]))
        self.assertNotRegex(text, r"(?m)^\s*(#+ forged|\| forged|Thread forged)")
        return text

    def check_markdown(self, text):
        """Outside of code nothing of the target's is markup; tables keep their columns."""
        fence, columns = None, 0
        for line in text.split("\n"):
            if fence:
                fence = None if line == fence else fence
                continue
            begins = re.match("(`{3,})text$", line)
            if begins:
                fence = begins.group(1)
                continue
            # A pipe ends a cell even inside of code, unless a backslash stands before it.
            pipes = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            self.assertIn(pipes, (0, columns) if columns and pipes else (0, pipes), line)
            columns = pipes
            prose = outside_of_code(line.replace("\\|", "|"))
            for markup in ("<script", "<img", "<b>", "**bold**", "](", "@everyone", "@x", "://"):
                self.assertNotIn(markup, prose, line)
        self.assertIsNone(fence)

    def check_html(self, text):
        """Every < of the page is of a tag that pycore writes (its scripts are fixed text)."""
        page = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.S)
        tags = set(re.findall(r"</?([^ >]*)", page))
        self.assertLessEqual(tags, {
            "!doctype", "html", "head", "meta", "title", "body", "a", "header", "h1", "h2", "h3",
            "p", "main", "section", "dl", "div", "dt", "dd", "ul", "li", "ol", "pre", "span", "code", "table",
            "caption", "thead", "tbody", "tr", "th", "td", "form", "fieldset", "legend", "label", "input",
            "select", "option", "button", "details", "summary", "kbd", "aside", "canvas", "output", "!--"})

    def check_json(self, data, names=True):
        self.assertNotIn(b"\x7f", data)
        document = json.loads(self.check_clean(data))
        process = document["source"]["processes"][0]
        self.assertEqual(process["exe"], self.exe)
        self.assertEqual(process["argv"], self.argv)
        if document.get("snapshots"):
            threads = document["snapshots"][0]["threads"]
            self.assertLessEqual(set(HOSTILE), {thread["name"] for thread in threads})
            main = next(thread["frames"] for thread in threads if thread["name"] == "MainThread")
            functions = [frame["function"] for frame in main if frame["kind"] == "python"]
            self.assertEqual([name for name in functions if name in HOSTILE], list(HOSTILE))
            files = {frame["file"] for frame in main if frame["kind"] == "python"}
            self.assertLessEqual({"/x/" + name + ".py" for name in HOSTILE}, files)
            self.assertIn(os.fsdecode(b"lib" + STRANGE + b".so"),
                          {frame.get("module") for frame in main})
        self.assertNotIn("forged", document)

    def check_formats(self, *command, cwd=None):
        for name in ("text", "md", "json", "html"):
            with self.subTest(command=command[0], format=name):
                done = support.pycore(*command, "-f", name, "--full", binary=True, cwd=cwd)
                self.assertIn(done.rc, (0, 1), done.err)
                if name == "json":
                    self.check_json(done.out)
                    continue
                text = self.check_clean(done.out)
                self.assertIn("forged", text)  # it is shown, only not as it wants to be
                if name == "md":
                    self.check_markdown(text)
                if name == "html":
                    self.check_html(text)
                self.check_clean(done.err.encode("utf-8", "surrogateescape"))

    # ---- The ways in -----------------------------------------------------------------------------

    @harm.versions("3.8", "3.12", "3.15")
    def test_everywhere(self, python):
        with self.target(python) as target:
            self.check_formats("snap", target.pid)
            self.check_formats("snap", target.pid, "-n", "3", "-i", "20ms", "-v")
            capture = os.path.join(self.folder, STRANGE + b".cap")
            done = support.pycore("snap", target.pid, "--save", os.fsdecode(capture))
            self.assertIn(done.rc, (0, 1), done.err)
            self.check_formats("analyze", os.fsdecode(capture))
            if no_kernel_cores():
                return
            target.process.send_signal(6)
            target.process.wait(180)
            cores = glob.glob(os.path.join(glob.escape(self.folder), b"core*"))
            if cores:
                self.check_formats("analyze", os.fsdecode(cores[0]))
                os.unlink(cores[0])
        shutil.rmtree(self.folder)
        os.mkdir(self.folder)

    def test_messages(self):
        """One line on standard error, whatever a path holds."""
        strange = os.fsdecode(os.path.join(self.folder, b"not-there" + STRANGE))
        garbage = os.fsdecode(os.path.join(self.folder, b"garbage" + STRANGE))
        with open(garbage, "wb") as stream:
            stream.write(STRANGE * 100)
        for command in (("analyze", strange), ("analyze", garbage), ("snap", strange),
                        ("snap", "1", "-o", strange + "/x"), (strange,), ("snap", "--" + STRANGE[:5]
                        .decode("latin-1"), "1"), ("analyze", garbage, "--exe", strange),
                        ("snap", "1", "-f", os.fsdecode(STRANGE))):
            with self.subTest(command):
                done = support.pycore(*command)
                self.assertIn(done.rc, (2, 64))
                self.assertEqual(done.out, "")
                self.check_clean(done.err.encode("utf-8", "surrogateescape"))
                self.assertRegex(done.err, r"\Apycore: [^\n]+\n\Z")


if __name__ == "__main__":
    unittest.main()
