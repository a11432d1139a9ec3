#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every row of the layout tables against the DWARF of the interpreters of this machine."""

import glob
import os
import re
import subprocess
import unittest

import support

TOOL = os.path.join(support.BUILDDIR, "tests", "tools", "layout_dwarf")
BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")
MATCH, MISMATCH, WRONG_USE, NO_DWARF = 0, 1, 2, 3


def layout_dwarf(*arguments, debug_dirs=(), extensions=()):
    """Runs the tool, with each folder of separate debug files in turn; (status, output lines)."""
    for folder in list(debug_dirs) or [None]:
        command = [TOOL] + (["--debug-root", folder] if folder else []) + [
            word for file in extensions for word in ("--extension", file)] + list(arguments)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                              env=support.clean_environment())
        if done.returncode != NO_DWARF:
            break
    return done.returncode, (done.stdout + done.stderr).decode().splitlines()


def elf_files(python):
    """The files that may hold the interpreter itself, the likelier first."""
    libraries = glob.glob(os.path.join(python.prefix, "lib", "libpython%d.%d*.so.1.0"
                                       % python.minor))
    return sorted(libraries) + [python.program]


def extension_files(python):
    """The files of the modules whose structs are private to them, where they are not built in."""
    names = ["_asyncio", "_queue"] if python.minor >= (3, 7) else ["_asyncio"]
    code = ("import importlib; print(*[getattr(importlib.import_module(name), '__file__', '') "
            "for name in %r])" % names)
    return subprocess.run([python.path, "-c", code], stdout=subprocess.PIPE, check=True,
                          env=support.clean_environment()).stdout.decode().split()


def check(python, version=None, build=None):
    """(status, lines) of the first file of the interpreter that has DWARF; skips when none has."""
    version = version or "%d.%d.%d" % python.version
    build = (build or python.build).replace(" ", "+")
    for file in elf_files(python):
        status, lines = layout_dwarf(file, version, build, debug_dirs=python.debug_dirs(),
                                     extensions=extension_files(python))
        if status != NO_DWARF:
            return status, lines
    raise unittest.SkipTest("%s of python%s has no debug information" % (python.program,
                                                                        python.name))


def table(minor):
    """{(group, field): (offset, big)} of the last row of each field; None where it says NO."""
    rows = {}
    with open(support.path("src/cpython/layouts/cp%d%d.def" % minor)) as stream:
        for line in stream:
            match = re.match(r"ROW(?:_SINCE)?\((?:\d+, )?(\w+), (\w+), +(\w+), +(\w+), \"", line)
            if match:
                rows[match.group(1, 2)] = tuple(None if cell == "NO" else int(cell)
                                                for cell in match.group(3, 4))
    return rows


@unittest.skipUnless(os.access(TOOL, os.X_OK), "%s is not built" % TOOL)
class LayoutDwarf(support.TestCase):
    @support.each_python(builds=BUILDS, every_debug=True, every_patch=True)
    def test_table_is_what_the_compiler_made(self, python):
        status, lines = check(python)
        self.assertEqual(status, MATCH, "\n".join(lines))
        match = re.match(r"# (\d+) checked, 0 mismatches$", lines[-1])
        self.assertTrue(match, lines[-1])
        big = "free-threaded" in python.build or python.minor < (3, 8) and "debug" in python.build
        expected = sum(row[big] is not None for row in table(python.minor).values())
        if python.minor >= (3, 13):
            with open(support.path("src/cpython/debug_offsets.def")) as stream:
                expected += len(re.findall(r"^(?:SIZE|OFFSET|SKIP)\(", stream.read(), re.M))
        self.assertEqual(int(match.group(1)), expected, "not every row was compared")

    @support.each_python()
    def test_finds_what_is_wrong(self, python):
        """The neighbouring version's table does not fit."""
        minor = python.minor[1] - 1 if python.minor > (3, 6) else python.minor[1] + 1
        status, lines = check(python, version="3.%d.0" % minor)
        self.assertEqual(status, MISMATCH)
        # Some field at another offset, and the summary counts what was said.
        self.assertTrue([line for line in lines if re.match(r"[A-Z]+\.\w+: table \d+, DWARF", line)],
                        lines)
        self.assertEqual(int(lines[-1].split()[3]), len(lines) - 1, lines[-1])

    @support.each_python(builds=("release", "debug"), first=(3, 13), every_debug=True)
    def test_finds_a_wrong_build(self, python):
        """No GIL build has the rows of a free-threaded one."""
        status, lines = check(python, build="free-threaded")
        self.assertEqual(status, MISMATCH)
        self.assertTrue([line for line in lines if line.startswith("OB.type: table 24, DWARF 8 ")])

    @support.each_python(first=support.MINORS[-1])
    def test_dump_gives_the_rows(self, python):
        """What --dump writes for the newest version is what its table says."""
        for file in elf_files(python):
            status, lines = layout_dwarf("--dump", file, debug_dirs=python.debug_dirs(),
                                         extensions=extension_files(python))
            if status != NO_DWARF:
                break
        else:
            self.skipTest("python%s has no debug information" % python.name)
        dumped = {}
        for line in lines:
            match = re.match(r"ROW\((\w+), (\w+), +(\d+), +NO, \".+\"\)$", line)
            if match:
                dumped[match.group(1, 2)] = int(match.group(3))
            else:
                self.assertTrue(not line or line.startswith("// not found: "), line)
        self.assertEqual(dumped, {field: row[0] for field, row in table(python.minor).items()
                                  if row[0] is not None})

    def test_file_without_debug_information(self):
        status, lines = layout_dwarf(support.path("configure.ac"), "3.12.1", "release")
        self.assertEqual(status, NO_DWARF, lines)

    def test_wrong_use(self):
        self.assertEqual(layout_dwarf()[0], WRONG_USE)
        self.assertEqual(layout_dwarf("a", "b")[0], WRONG_USE)


if __name__ == "__main__":
    import tap
    tap.main()
