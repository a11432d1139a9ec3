#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line itself: help, usage errors, exit codes, report files, colours."""

import contextlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

import harm
import support

COMMANDS = ("snap", "analyze", "gcore", "report", "diff", "top", "ps", "run")
SLEEPER = "import time; print('READY', flush=True); time.sleep(1000)"
ESCAPE = "\x1b["


@contextlib.contextmanager
def sleeper():
    """Any Python, doing nothing; skips the test where there is none."""
    pythons = support.interpreters()
    if not pythons:
        raise unittest.SkipTest("no Python on this machine")
    with support.start_program([pythons[-1].path, "-c", SLEEPER]) as target:
        harm.until_asleep(target.pid)
        yield target


def options():
    """(short or None, long, takes a value, commands) of every option there is."""
    with open(support.path("src/cli/option_rows.h")) as stream:
        masks = dict(re.findall(r"^#define ([A-Z]+) (.+?)(?: *//.*)?$", stream.read(), re.M))
    single = {"SNAP": "snap", "ANALYZE": "analyze", "GCORE": "gcore", "REPORT": "report",
              "DIFF": "diff", "TOP": "top", "PS": "ps", "RUN": "run"}

    def which(mask):
        names = re.findall("[A-Z]+", mask)
        if names == ["EVERY"]:
            return COMMANDS
        return tuple(command for name in names
                     for command in ((single[name],) if name in single else which(masks[name])))

    with open(support.path("src/cli/options.def")) as stream:
        text = stream.read()
    rows = re.findall(r"^OPTION\((\w+), (?:'(.)'|0), \"([\w-]+)\", (NULL|\"[^\"]+\"), ([\w |]+),",
                      text, re.M)
    found = {}  # one that means something else to another command has two rows
    for name, short, long, value, mask in rows:
        before = found[long][3] if long in found else ()
        found[long] = (short or None, long, value != "NULL", before + which(mask))
        for other in re.findall(r'^ALIAS\("([\w-]+)", %s\)' % name, text, re.M):
            found[other] = (None, other, value != "NULL", which(mask))
    return list(found.values())


def aliases():
    with open(support.path("src/cli/options.def")) as stream:
        return re.findall(r'^ALIAS\("([\w-]+)"', stream.read(), re.M)


def examples():
    """Each worked example, as words."""
    with open(support.path("src/cli/commands.def")) as stream:
        lines = re.findall(r'EXAMPLE\(\w+, "([^"]+)"', stream.read())
    return [shlex.split(line.split(" | ")[0].split(" > ")[0]) for line in lines]


class Help(support.TestCase):
    def assert_fits(self, text, height=23):
        """One screen of an old terminal with a prompt below; that of a command may be longer, not wider."""
        lines = text.splitlines()
        self.assertLessEqual(len(lines), height)
        self.assertLessEqual(max(map(len, lines)), 80, max(lines, key=len))
        self.assertTrue(text.endswith("\n"))

    def test_overview(self):
        texts = [support.pycore(*words) for words in (["--help"], ["-h"], ["help"], ["help", "help"])]
        for done in texts:
            self.assertEqual((done.rc, done.err), (0, ""))
            self.assertEqual(done.out, texts[0].out)
        self.assert_fits(texts[0].out)
        for command in COMMANDS:
            self.assertIn("\n  %s " % command, texts[0].out)

    def test_commands(self):
        for command in COMMANDS:
            with self.subTest(command):
                texts = [support.pycore(*words) for words in
                         (["help", command], [command, "--help"], [command, "-h"])]
                for done in texts:
                    self.assertEqual((done.rc, done.err), (0, ""))
                    self.assertEqual(done.out, texts[0].out)
                self.assert_fits(texts[0].out, 100)
                self.assertTrue(texts[0].out.startswith("Usage: pycore %s " % command))
                self.assertIn("\nExamples:\n  pycore %s" % command, texts[0].out)
                for short, long, _value, commands in options():
                    line = re.search(r"^ +(-., )? *--%s( |$)" % long, texts[0].out, re.M)
                    self.assertEqual(line is not None,
                                     command in commands and long not in aliases(), long)
                    if line and short:
                        self.assertIn("-%s, --%s" % (short, long), texts[0].out)

    def test_nothing(self):
        done = support.pycore()
        self.assertEqual((done.rc, done.out), (64, ""))
        self.assertEqual(done.err, support.pycore("--help").out)

    def test_version(self):
        done = support.pycore("--version")
        with open(support.path("configure.ac")) as stream:
            version = re.search(r"AC_INIT\(\[pycore\],\s*\[([^]]+)\]", stream.read()).group(1)
        self.assertEqual(done, (0, "pycore %s\n" % version, ""))


class Manual(support.TestCase):
    """Man pages and completions, which the program makes of its own tables."""

    def man(self, command):
        done = support.pycore("help", "--man", *([command] if command else []))
        self.assertEqual((done.rc, done.err), (0, ""))
        return done.out

    def test_pages(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not on this machine")
        for command in ("",) + COMMANDS:
            with self.subTest(command):
                page = self.man(command)
                shown = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u"],
                                       input=page.encode(), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, check=True)
                self.assertEqual(shown.stderr, b"")
                text = shown.stdout.decode()
                self.assertIn("EXIT STATUS", text)
                for _short, long, _value, commands in options():
                    own = text[text.find("\nOPTIONS\n"):text.find("\nEXAMPLES\n")]
                    found = re.search(r"(?:^ +|, )--%s(?:$|[ ,])" % long, own, re.M)
                    if command:
                        self.assertEqual(found is not None, command in commands, long)
                if command:
                    self.assertRegex(text, r"(?m)^EXAMPLES\n +pycore %s" % command)
                else:
                    for other in COMMANDS:
                        self.assertIn("pycore-%s(1)" % other, text)
                    with open(support.path("src/diagnose/rules.def"), encoding="utf-8") as stream:
                        for rule, said in re.findall(r'^RULE\("([^"]+)",.* "([^"]+)"\)$', stream.read(),
                                                     re.MULTILINE):
                            self.assertRegex(text, r"(?m)^ +%s\s+%s" % (rule, said.split(" ")[0]))

    def test_no_such_page(self):
        for words in (["--man", "frobnicate"], ["--completion"], ["--completion", "csh"]):
            done = support.pycore("help", *words)
            self.assertEqual((done.rc, done.out), (64, ""))

    def test_examples_use_options_that_there_are(self):
        self.assertGreater(len(examples()), 15)
        known = {command: {"--" + long for _s, long, _v, where in options() if command in where} |
                 {"-" + short for short, _l, _v, where in options() if short and command in where}
                 for command in COMMANDS}
        for words in examples():
            self.assertEqual(words[0], "pycore")
            self.assertIn(words[1], COMMANDS)
            own = words[2:words.index("--")] if "--" in words else words[2:]
            for word in own:
                if word.startswith("-"):
                    self.assertIn(word, known[words[1]], words)

    def completion(self, shell):
        if not shutil.which(shell):
            self.skipTest("%s is not on this machine" % shell)
        done = support.pycore("help", "--completion", shell)
        self.assertEqual((done.rc, done.err), (0, ""))
        return done.out

    CASES = (("pycore ", {"snap", "report", "diff", "top", "ps", "run", "help"}, {"--stop"}),
             ("pycore snap --st", {"--stop", "--strip-prefix"}, {"--snapshots"}),
             ("pycore snap --stop ", {"running", "all", "none"}, {"gz"}),
             ("pycore report x --weight ", {"samples", "wall", "cpu"}, {"running"}),
             ("pycore report x -f ", {"text", "md", "json"}, {"gz"}),
             ("pycore gcore --co", {"--compress"}, {"--count"}),
             ("pycore help g", {"gcore"}, {"snap"}))

    def check_cases(self, complete):
        for line, there, absent in self.CASES:
            with self.subTest(line):
                found = set(complete(line))
                self.assertLessEqual(there, found)
                self.assertFalse(absent & found)

    def test_bash(self):
        script = self.completion("bash")

        def complete(line):
            words = line.split(" ")
            ask = "%s\nCOMP_WORDS=(%s)\nCOMP_CWORD=%d\n_pycore\nprintf '%%s\\n' \"${COMPREPLY[@]}\"" % (
                script, " ".join(map(shlex.quote, words)), len(words) - 1)
            done = subprocess.run(["bash", "--norc", "-c", ask], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=True)
            self.assertEqual(done.stderr, b"")
            return done.stdout.decode().split()
        self.check_cases(complete)

    def test_fish(self):
        script = self.completion("fish")

        def complete(line):
            with tempfile.TemporaryDirectory() as folder:
                ask = "%s\ncomplete -C %s" % (script, shlex.quote(line))
                done = subprocess.run(["fish", "--no-config", "-c", ask], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, check=True,
                                      env=support.clean_environment(HOME=folder))
            self.assertEqual(done.stderr, b"")
            return [row.split("\t")[0] for row in done.stdout.decode().splitlines()]
        self.check_cases(complete)

    def test_zsh(self):
        """Its completion needs a terminal; the script is at least one that zsh can read."""
        script = self.completion("zsh")
        done = subprocess.run(["zsh", "-f", "-n"], input=script.encode(), stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertTrue(script.startswith("#compdef pycore\n"))
        for command in COMMANDS:
            self.assertIn("\n    %s)\n" % command, script)

    def test_zsh_of_a_program(self):
        """What stands behind -- is completed as a command line of its own."""
        script = self.completion("zsh")
        with tempfile.TemporaryDirectory() as folder:
            for name, text in (("_pycore", script), ("oddly-named-program", "#!/bin/sh\n")):
                with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
                    stream.write(text)
                os.chmod(stream.name, 0o755)
            pid, terminal = pty.fork()
            if pid == 0:
                os.execvpe("zsh", ["zsh", "-f"], support.clean_environment(
                    HOME=folder, TERM="dumb", PATH=folder + ":" + os.environ["PATH"]))
            try:
                os.write(terminal, b"fpath=(~ $fpath); autoload -U compinit; compinit -u -D; "
                                   b"echo rea''dy\n")
                self.read_until(terminal, b"ready")
                os.write(terminal, b"pycore run -o x.html -- oddly-na\t")
                self.read_until(terminal, b"oddly-named-program")
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                os.close(terminal)

    def read_until(self, terminal, wanted):
        shown, deadline = b"", time.monotonic() + support.PATIENCE_S
        while wanted not in shown:
            left = deadline - time.monotonic()
            if not select.select([terminal], [], [], max(0, left))[0]:
                self.fail("no %r in %r" % (wanted, shown))
            shown += os.read(terminal, 4096)


class Messages(support.TestCase):
    def test_in_one_piece(self):
        """A program that runs beside pycore writes to the same terminal."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            subprocess.run([support.PYCORE, "analyze", "/nowhere/\n"], stderr=theirs)
            self.assertEqual(ours.recv(1000), b"pycore: /nowhere/\\n: No such file or directory\n")


class Usage(support.TestCase):
    def assert_refused(self, words, *parts):
        done = support.pycore(*words)
        self.assertEqual((done.rc, done.out), (64, ""), words)
        self.assertRegex(done.err, r"\Apycore: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, done.err)

    def test_commands(self):
        self.assert_refused(["frobnicate"], '"frobnicate"', "--help")
        self.assert_refused(["help", "frobnicate"], '"frobnicate"')
        self.assert_refused(["--frobnicate"], '"--frobnicate"')
        self.assert_refused([""], '""')

    def test_options_of_other_commands(self):
        for short, long, value, commands in options():
            for command in set(COMMANDS) - set(commands):
                words = [command, "--" + long] + (["1"] if value else [])
                self.assert_refused(words, "--" + long, "help " + command)
                if short:
                    self.assert_refused([command, "-" + short, "1"], "-" + short)

    def test_missing_values(self):
        for short, long, value, commands in options():
            for command in commands:
                if value:
                    self.assert_refused([command, "--" + long], "--" + long, "value")
                    if short:
                        self.assert_refused([command, "-" + short], "-" + short, "value")
                else:
                    self.assert_refused([command, "--%s=1" % long], "--" + long)

    def test_bad_values(self):
        for option, values in {
                "--count": ("0", "-1", "1x", "", "1.5", "99999999999999999999"),
                "--interval": ("0", "5", "1 s", "ms", "-1s", "1d", "nan", "1e400s", ""),
                "--duration": ("0", "x", "-5", "1e99", ""),
                "--pid": ("0", "-1", "x", "4294967297"),
                "--top": ("0", "x"),
                "--format": ("xml", "TEXT", ""),
                "--color": ("sometimes", "yes"),
                "--stop": ("some", "", "ALL", "all,none"),
                "--max-pause": ("0", "0ms", "-1ms", "5 ms", "5d", "ms", "")}.items():
            for value in values:
                self.assert_refused(["snap", option, value, "1"], option, '"%s"' % value)

    def test_good_values(self):
        """They get as far as looking for the process."""
        ended = subprocess.Popen(["true"])
        ended.wait()
        for option, values in {"--stop": ("all", "running", "none"),
                               "--max-pause": ("5ms", "500us", "1", "0.005", "2s")}.items():
            for value in values:
                done = support.pycore("snap", option, value, ended.pid)
                self.assertEqual((done.rc, done.out), (2, ""), value)
                self.assertIn(str(ended.pid), done.err)
        done = support.pycore("snap", "--raw-native", "--no-native", "--debuginfod", ended.pid)
        self.assertEqual(done.rc, 2)

    def test_operands(self):
        self.assert_refused(["snap"])
        self.assert_refused(["snap", "1", "2"])
        self.assert_refused(["snap", "--pid", "1", "2"])
        self.assert_refused(["analyze"])
        for pid in ("abc", "0", "-", "1x", "4294967297", "core.1"):
            self.assert_refused(["snap", "--", pid], '"%s"' % pid)

    def test_too_many_outputs(self):
        self.assert_refused(["snap", "1"] + ["-o", "x"] * 17, "one output too many")

    def test_messages_do_not_steer_the_terminal(self):
        done = support.pycore("\x1b]0;x\x07\r\nfake: all is well")
        self.assertEqual(done.rc, 64)
        self.assertNotRegex(done.err, r"[\x00-\x09\x0b-\x1f]")
        self.assertEqual(done.err.count("\n"), 1)


class NoReport(support.TestCase):
    def assert_no_report(self, *words):
        done = support.pycore(*words)
        self.assertEqual((done.rc, done.out), (2, ""), words)
        self.assertRegex(done.err, r"\Apycore: [^\n]+\n\Z")
        return done.err

    def test_no_such_process(self):
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.assertIn(str(ended.pid), self.assert_no_report("snap", ended.pid))

    def test_no_such_core(self):
        self.assertIn("/no/such/core", self.assert_no_report("analyze", "/no/such/core"))

    def test_no_file_is_left(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assert_no_report("analyze", "/no/such/core", "-o", os.path.join(folder, "r.md"))
            self.assertEqual(os.listdir(folder), [])


class Native(support.TestCase):
    """Native frames, their options, and what a report says of the pause."""

    def snapshot(self, target, *options):
        done = support.pycore("snap", target.pid, "-f", "json", *options)
        self.assertEqual((done.rc, done.err), (0, ""))
        return json.loads(done.out)["snapshots"][0]

    def kinds(self, snapshot):
        return [frame["kind"] for frame in snapshot["threads"][0]["frames"]]

    def test_frames(self):
        with sleeper() as target:
            plain = self.snapshot(target)
            without = self.snapshot(target, "--no-native")
            raw = self.snapshot(target, "--raw-native")
            text = support.pycore("snap", target.pid).out
        self.assertIn("native", self.kinds(plain))
        self.assertIn("python", self.kinds(plain))
        self.assertEqual(self.kinds(plain)[0], "native")  # it sleeps in the kernel
        self.assertNotIn("native", self.kinds(without))
        self.assertEqual([kind for kind in self.kinds(plain) if kind != "native"],
                         self.kinds(without))
        self.assertGreater(len(self.kinds(raw)), len(self.kinds(plain)))
        names = [frame["function"] for frame in raw["threads"][0]["frames"]]
        self.assertTrue(any(name and name.startswith("_PyEval_EvalFrame") for name in names)
                        or None in names, names)
        # One order, innermost first; Python's frames stand out, whatever the colours.
        lines = text[text.index("STACKS"):].splitlines()
        frames = [line for line in lines if line.startswith("  ")]
        self.assertTrue(frames[0].startswith("    "), frames)
        self.assertRegex("\n".join(frames), r"\n  <module> \(<string>:1\)(\n|$)")
        native = plain["threads"][0]["frames"][0]
        self.assertRegex(native["address"], r"^0x[0-9a-f]+$")
        self.assertRegex(native["offset"], r"^0x[0-9a-f]+$")
        self.assertIn(native["unwound_by"], ("cfi", "frame-pointer", "scan"))

    def test_stop(self):
        with sleeper() as target:
            usual = self.snapshot(target)
            none = self.snapshot(target, "--stop", "none")
            whole = self.snapshot(target, "--stop", "all")
            text = support.pycore("snap", target.pid, "--stop", "none").out
        # It sleeps: nothing needs to be stopped for its stack.
        for snapshot in (usual, none):
            self.assertEqual((snapshot["threads_stopped"], snapshot["pause_ns"]), (0, 0))
            self.assertEqual((snapshot["atomic"], snapshot["threads"][0]["held_still"]),
                             (True, True))
            self.assertFalse(snapshot["threads"][0]["stopped"])
        self.assertEqual(whole["threads_stopped"], 1)
        self.assertGreater(whole["pause_ns"], 0)
        self.assertTrue(whole["atomic"] and whole["threads"][0]["stopped"])
        self.assertIn("no thread was stopped.", text)

    def test_pause_in_reports(self):
        with sleeper() as target:
            options = ["snap", target.pid, "-n", "10", "-i", "10ms", "--stop", "all"]
            done = support.pycore(*options, "-f", "json")
            text = support.pycore(*options).out
        self.assertEqual(done.rc, 0, done.err)
        profile = json.loads(done.out)["profile"]
        self.assertEqual(profile["threads_stopped"], 10)
        self.assertGreater(profile["pause_median_ns"], 0)
        self.assertLessEqual(profile["pause_median_ns"], profile["pause_p95_ns"])
        self.assertLessEqual(profile["pause_p95_ns"], profile["pause_max_ns"])
        self.assertLessEqual(profile["pause_max_ns"], profile["pause_total_ns"])
        self.assertAlmostEqual(profile["pause_share"],
                               profile["pause_total_ns"] / profile["duration_ns"], 4)
        self.assertGreater(profile["own_cpu_ns"], 0)
        self.assertAlmostEqual(profile["own_cpu_share"],
                               profile["own_cpu_ns"] / profile["duration_ns"], 4)
        self.assertRegex(" ".join(text.split()), r"stood still for [\d.]+ m?u?s in all \([\d.]+ % of "
                         r"the time\): median [\d.]+ \w+, p95 [\d.]+ \w+, at the longest [\d.]+ \w+\.")
        self.assertIn("pycore itself used", " ".join(text.split()))

    def test_long_pauses_are_told(self):
        with sleeper() as target:
            done = support.pycore("snap", target.pid, "-n", "200", "-i", "100us", "--stop", "all",
                                  "-f", "json")
        document = json.loads(done.out)
        told = [note for note in document["notes"] if "of the time: a longer interval" in note]
        self.assertEqual(len(told), document["profile"]["pause_share"] > 0.01, document["notes"])
        self.assertGreater(document["profile"]["pause_share"], 0.01)


class Outputs(support.FolderCase):
    def read(self, name):
        with open(self.file(name)) as stream:
            return stream.read()

    def test_formats_by_ending(self):
        with sleeper() as target:
            done = support.pycore("snap", target.pid, "-o", self.file("a.json"), "-o",
                                  self.file("a.md"), "-o", self.file("a.txt"), "-o",
                                  self.file("plain"), "-o", self.file("a.MD.x"))
        self.assertEqual(done, (0, "", ""))
        self.assertEqual(json.loads(self.read("a.json"))["schema"], "pycore/1")
        self.assertTrue(self.read("a.md").startswith("#"))
        self.assertFalse(self.read("a.txt").startswith("#"))
        for name in ("plain", "a.MD.x"):
            self.assertEqual(self.read(name), self.read("a.txt"))
        # They may hold secrets, and nothing is left beside them.
        self.assertEqual(sorted(os.listdir(self.folder)),
                         ["a.MD.x", "a.json", "a.md", "a.txt", "plain"])
        for name in os.listdir(self.folder):
            self.assertEqual(stat.S_IMODE(os.stat(self.file(name)).st_mode), 0o600, name)

    def test_format_beats_ending(self):
        with sleeper() as target:
            done = support.pycore("snap", target.pid, "-f", "json", "-o", self.file("a.md"))
        self.assertEqual(done, (0, "", ""))
        self.assertEqual(json.loads(self.read("a.md"))["schema"], "pycore/1")

    def test_standard_output_too(self):
        with sleeper() as target:
            done = support.pycore("snap", target.pid, "-o", self.file("a.json"), "-o", "-")
        self.assertEqual((done.rc, done.err), (0, ""))
        self.assertIn("Thread", done.out)
        self.assertFalse(done.out.startswith("{"))
        json.loads(self.read("a.json"))

    def test_old_report_is_replaced(self):
        with open(self.file("a.txt"), "w") as stream:
            stream.write("old\n" * 100000)
        os.chmod(self.file("a.txt"), 0o640)
        os.symlink("a.txt", self.file("link.txt"))
        with sleeper() as target:
            support.pycore("snap", target.pid, "-o", self.file("link.txt"))
        self.assertNotIn("old", self.read("a.txt"))
        # Who could read it still can.
        self.assertEqual(stat.S_IMODE(os.stat(self.file("a.txt")).st_mode), 0o640)
        self.assertEqual(sorted(os.listdir(self.folder)), ["a.txt", "link.txt"])
        self.assertTrue(os.path.islink(self.file("link.txt")))

    def test_standard_output_by_its_path(self):
        """It may be a regular file: that is written on where it stands, and never replaced."""
        with sleeper() as target, open(self.file("log"), "w+") as log:
            for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
                log.write("before %s\n" % path)
                log.flush()
                done = subprocess.run([support.PYCORE, "snap", str(target.pid), "-o", path],
                                      stdout=log, stderr=subprocess.PIPE,
                                      timeout=support.PATIENCE_S, env=support.pycore_environment())
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                log.seek(0, os.SEEK_END)
        text = self.read("log")
        self.assertEqual(re.findall("^before .*", text, re.M),
                         ["before /dev/stdout", "before /dev/fd/1", "before /proc/self/fd/1"])
        self.assertEqual(text.count("Made by pycore"), 3)
        self.assertEqual(os.listdir(self.folder), ["log"])
        self.assertTrue(os.path.islink("/dev/stdout"))

    def test_an_input_is_never_replaced(self):
        with open(self.file("core"), "wb") as stream:
            stream.write(b"precious")
        os.symlink("core", self.file("link"))
        for output in ("core", "link"):
            done = support.pycore("analyze", self.file("core"), "-o", self.file(output))
            self.assertEqual((done.rc, done.out), (2, ""))
            self.assertRegex(done.err, r"\Apycore: cannot write \S+: it is what is to be read\n\Z")
        self.assertEqual(self.read("core"), "precious")

    def test_a_failing_output_costs_the_others_nothing(self):
        with sleeper() as target:
            done = support.pycore("snap", target.pid, "-o", "/dev/full", "-o",
                                  self.file("good.json"))
        self.assertEqual((done.rc, done.out), (2, ""))
        self.assertRegex(done.err, r"\Apycore: [^\n]+\n\Z")
        json.loads(self.read("good.json"))
        self.assertEqual(os.listdir(self.folder), ["good.json"])

    def test_a_wrong_output_is_told_before_the_run(self):
        for bad in ("/no/such/folder/r.txt", self.folder):
            with self.subTest(bad), sleeper() as target:
                done = support.pycore("snap", target.pid, "-d", "300s", "-o", bad)
                self.assertEqual((done.rc, done.out), (2, ""))
                self.assertRegex(done.err, r"\Apycore: cannot write [^\n]+\n\Z")
                self.assertEqual(os.listdir(self.folder), [])

    def test_full_standard_output(self):
        with sleeper() as target, open("/dev/full", "w") as full:
            done = subprocess.run([support.PYCORE, "snap", str(target.pid)], stdout=full,
                                  stderr=subprocess.PIPE, timeout=support.PATIENCE_S,
                                  env=support.pycore_environment())
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"report", done.stderr)

    def test_quiet_and_verbose(self):
        with sleeper() as target:
            quiet = support.pycore("snap", target.pid, "-q")
            verbose = support.pycore("snap", target.pid, "-v")
        self.assertEqual((quiet.rc, quiet.err), (0, ""))
        self.assertEqual(verbose.rc, 0)
        self.assertIn("found by", verbose.err)

    def test_interrupted(self):
        """Ctrl-C ends with a report of what was taken, and says that it is not all."""
        with sleeper() as target:
            process = subprocess.Popen([support.PYCORE, "snap", str(target.pid), "-n", "1000000",
                                        "-i", "10ms", "-v"], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=support.pycore_environment())
            for line in process.stderr:
                if b"the first snapshot is taken" in line:
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=support.PATIENCE_S)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn(b"interrupted after", out)


class Colour(support.TestCase):
    def on_terminal(self, *words, **environment):
        """What pycore writes to a terminal."""
        master, slave = pty.openpty()
        try:
            process = subprocess.Popen([support.PYCORE, *map(str, words)], stdout=slave,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       env=support.clean_environment(TERM="xterm", **environment))
        finally:
            os.close(slave)
        text = b""
        try:
            while True:
                text += os.read(master, 65536)
        except OSError:  # EIO: the other end is closed
            pass
        os.close(master)
        err = process.communicate(timeout=support.PATIENCE_S)[1]
        self.assertEqual((process.returncode, err), (0, b""))
        return text.decode()

    def test_terminal(self):
        with sleeper() as target:
            self.assertIn(ESCAPE, self.on_terminal("snap", target.pid))
            self.assertNotIn(ESCAPE, self.on_terminal("snap", target.pid, NO_COLOR="1"))
            self.assertNotIn(ESCAPE, self.on_terminal("snap", target.pid, "--color", "never"))
            # What was asked for on the command line counts more than the environment.
            self.assertIn(ESCAPE, self.on_terminal("snap", target.pid, "--color", "always",
                                                   NO_COLOR="1"))

    def test_no_terminal(self):
        with sleeper() as target, tempfile.TemporaryDirectory() as folder:
            plain = support.pycore("snap", target.pid).out
            self.assertNotIn(ESCAPE, plain)
            self.assertNotIn(ESCAPE, support.pycore("snap", target.pid, "--color", "auto").out)
            self.assertIn(ESCAPE, support.pycore("snap", target.pid, "--color", "always").out)
            # Files hold none, whatever was asked for; neither do the formats for programs.
            file = os.path.join(folder, "a.txt")
            support.pycore("snap", target.pid, "--color", "always", "-o", file)
            with open(file) as stream:
                self.assertNotIn(ESCAPE, stream.read())
            for name in ("json", "md"):
                done = support.pycore("snap", target.pid, "--color", "always", "-f", name)
                self.assertNotIn("\x1b", done.out, name)


if __name__ == "__main__":
    unittest.main()
