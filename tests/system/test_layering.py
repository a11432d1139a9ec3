#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories are the layers: who may include whom, which system headers, who may print."""

import os
import re
import unittest

import support

# The law: a layer may include its own headers, those of util, and those of the layers named here.
# It holds for each #include by itself: what a layer uses may use others, and that gives no leave.
MAY_USE = {
    "util": "",
    "mem": "",
    "target": "mem",
    "image": "target mem",
    "unwind": "image target mem",
    "cpython": "image target mem",
    "sample": "target cpython unwind image mem",
    "snapshot": "cpython unwind image target",
    "dump": "mem target",
    "capture": "mem target image unwind cpython sample snapshot dump",
    "profile": "snapshot",
    "heap": "cpython",
    "diagnose": "snapshot profile heap",
    "report": "snapshot profile heap diagnose",
    "cli": "mem target image unwind cpython sample snapshot dump capture profile heap diagnose "
           "report",
}

# System headers that only some layers may include. The first pattern that matches counts.
RESERVED_HEADERS = [
    (r"(elf|libelf|gelf)\.h", "target image unwind dump capture"),
    (r"elfutils/.*|dwarf\.h", "image unwind"),
    (r"(sys|linux|asm)/ptrace\.h|sys/user\.h|sys/procfs\.h", "target"),
]

# Only cli prints to the standard streams and ends the process; the others return errors and
# values, and report writes to the FILE it is given. (_exit of a forked child is another matter.)
PRINTING = re.compile(r"\b(?:(?:v?printf|puts|putchar|perror|exit|quick_exit|abort)\s*\(|"
                      r"(?:stdout|stderr)\b)")
MAY_PRINT = ("cli",)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def source_files():
    """(layer, path, text) of every .c, .h and .def below src and include."""
    for top in ("src", "include"):
        for folder, folders, names in os.walk(support.path(top)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h", ".def")) and not name.startswith("."):
                    file = os.path.join(folder, name)
                    relative = os.path.relpath(file, support.SRCDIR)
                    with open(file, encoding="utf-8") as stream:
                        yield relative.split(os.sep)[1], relative, stream.read()


def line_of(text, match):
    return text.count("\n", 0, match.start(match.lastindex or 0)) + 1


def without_comments(text):
    """Blanks out comments, strings and characters, line numbers kept; #include lines stay."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    return COMMENT_OR_STRING.sub(blank, text)


def include_faults(layer, file, text):
    """What one file includes against the law, as 'file:line: ...'."""
    allowed = {layer, "util"} | set(MAY_USE[layer].split())
    bare = without_comments(text)
    for match in INCLUDE.finditer(text):
        start = text.index("#", match.start())
        if bare[start] != "#":
            continue  # inside a comment
        where = "%s:%d" % (file, line_of(text, match))
        own, system = match.groups()
        if own:
            beside = os.path.normpath(os.path.join(os.path.dirname(file), own))
            if own.startswith(".") or "/../" in own:
                yield "%s: %s: name it by its layer" % (where, own)
            elif own.split("/")[0] in MAY_USE and own.count("/"):
                used = own.split("/")[0]
                if used not in allowed:
                    yield "%s: %s may not use %s (%s)" % (where, layer, used, own)
                elif used != layer and not os.path.exists(support.path("include/" + own)):
                    yield "%s: %s is not one of the headers in include/" % (where, own)
            elif own != "config.h" and not os.path.exists(support.path(beside)):
                yield "%s: %s is neither beside the file nor in a layer" % (where, own)
        else:
            if system.split("/")[0] in MAY_USE and os.path.exists(support.path("include/" + system)):
                yield "%s: <%s>: own headers are included with quotes" % (where, system)
            for pattern, layers in RESERVED_HEADERS:
                if re.fullmatch(pattern, system):
                    if layer not in layers.split():
                        yield "%s: <%s> is for %s only" % (where, system, layers)
                    break


def printing_faults(layer, file, text):
    if layer in MAY_PRINT or not file.endswith((".c", ".h")):
        return
    bare = without_comments(text)
    for match in PRINTING.finditer(bare):
        # A declaration's __attribute__((format(printf, ...))) has no parenthesis after the name.
        yield "%s:%d: %s is for cli only" % (file, line_of(bare, match),
                                             match.group().rstrip(" ("))


class Layering(support.TestCase):
    def setUp(self):
        self.files = list(source_files())
        self.assertTrue(self.files, "no sources found below %s" % support.SRCDIR)

    def test_directories_are_layers(self):
        strangers = sorted({layer for layer, _, _ in self.files} - set(MAY_USE))
        self.assertEqual(strangers, [], "a new directory needs a row in MAY_USE")

    def test_law_has_no_cycle(self):
        for layer in MAY_USE:
            reached, rest = set(), MAY_USE[layer].split()
            while rest:
                used = rest.pop()
                if used not in reached:
                    reached.add(used)
                    rest += MAY_USE[used].split()
            self.assertNotIn(layer, reached)

    def test_includes(self):
        faults = [fault for entry in self.files if entry[0] in MAY_USE
                  for fault in include_faults(*entry)]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_only_cli_prints_and_exits(self):
        faults = [fault for entry in self.files for fault in printing_faults(*entry)]
        self.assertEqual(faults, [], "\n" + "\n".join(faults))


class TheCheckItself(unittest.TestCase):
    """Each rule finds what it is there to find."""

    def faults(self, layer, text):
        return list(include_faults(layer, "src/%s/x.c" % layer, text))

    def test_back_stairs(self):
        self.assertEqual(len(self.faults("report", '#include "target/live.h"\n')), 1)
        self.assertEqual(len(self.faults("image", '#include "cpython/code.h"\n')), 1)
        self.assertEqual(len(self.faults("util", '#  include "mem/mem.h"\n')), 1)

    def test_reserved_headers(self):
        for layer, header in (("cpython", "elf.h"), ("snapshot", "gelf.h"),
                              ("target", "elfutils/libdwfl.h"), ("image", "sys/ptrace.h")):
            self.assertEqual(len(self.faults(layer, "#include <%s>\n" % header)), 1, header)
        for layer, header in (("target", "elf.h"), ("image", "gelf.h"), ("target", "sys/ptrace.h"),
                              ("unwind", "elfutils/libdw.h"), ("report", "stdio.h")):
            self.assertEqual(self.faults(layer, "#include <%s>\n" % header), [], header)

    def test_paths_around_the_law(self):
        self.assertEqual(len(self.faults("report", '#include "../target/core.h"\n')), 1)
        self.assertEqual(len(self.faults("report", '#include "nowhere.h"\n')), 1)

    def test_comments_do_not_count(self):
        self.assertEqual(self.faults("util", '// #include "mem/mem.h"\n/*\n#include "cli/a.h"\n*/'), [])

    def test_printing(self):
        text = 'a(stderr);\nprintf ("x");\nexit(1);\n// exit(1)\nfprintf(f, "exit(");\n_exit(0);\n'
        self.assertEqual(list(printing_faults("mem", "src/mem/x.c", text)),
                         ["src/mem/x.c:1: stderr is for cli only",
                          "src/mem/x.c:2: printf is for cli only",
                          "src/mem/x.c:3: exit is for cli only"])
        self.assertEqual(list(printing_faults("cli", "src/cli/x.c", text)), [])


if __name__ == "__main__":
    import tap
    tap.main()
