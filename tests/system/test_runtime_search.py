# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the interpreter in programs that do not make it easy: stripped, without symbols or
section headers, deleted, renamed, started through the loader, embedded, beside a second one; and refusing
what is no CPython 3."""

import contextlib
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time

import support
import tap

PROGRAM = support.path("tests/programs/waits.py")
BUILDS = ("release", "debug", "free-threaded", "free-threaded debug")

# A program that loads a libpython and runs a script with it: argv[1] is the library.
EMBEDDER = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
int main(int argc, char **argv)
{
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int (*bytes_main)(int, char **) = (int (*)(int, char **))dlsym(library, "Py_BytesMain");
    if (bytes_main)
        return bytes_main(argc - 1, argv + 1);
    int (*wide_main)(int, wchar_t **) = (int (*)(int, wchar_t **))dlsym(library, "Py_Main");
    wchar_t **wide = calloc(argc, sizeof(*wide));
    for (int i = 1; i < argc; i++) {
        wide[i - 1] = calloc(4096, sizeof(wchar_t));
        mbstowcs(wide[i - 1], argv[i], 4095);
    }
    return wide_main(argc - 1, wide);
}
"""


def libpython_of(python):
    """The libpython that an interpreter runs from, or None: all of it is in the program."""
    script = ("import sys\nfor line in open('/proc/self/maps'):\n"
              " if 'libpython3.' in line: sys.stdout.write(line.split(None, 5)[5]); break\n")
    done = subprocess.run([python.path, "-I", "-S", "-c", script], stdout=subprocess.PIPE,
                          env=support.clean_environment(), check=True, timeout=60)
    return done.stdout.decode().strip() or None


def loader_of(program):
    """PT_INTERP of an ELF file."""
    with open(program, "rb") as stream:
        data = stream.read(8192)
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", data, offset + index * size)
        if kind == 3:
            with open(program, "rb") as stream:
                stream.seek(start)
                return stream.read(length).rstrip(b"\0").decode()
    return None


def edit(path, *changes):
    with open(path, "rb") as stream:
        data = bytearray(stream.read())
    for change in changes:
        change(data)
    with open(path, "wb") as stream:
        stream.write(data)


def remove_sections(data):
    """e_shoff, e_shnum and e_shstrndx are 0, as after sstrip: no .symtab, no section names."""
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HH", data, 60, 0, 0)


def rename_runtime(data):
    """Another name of the same length and the same GNU hash (h * 33 + c), so that ld.so still finds
    it: +1 in one character, -33 in the next."""
    for name, other in ((b"_PyRuntime", b"_PySTntime"),
                        (b"_PyThreadState_Current", b"_PyThreadState_CvQrent"),
                        (b".PyRuntime", b".PySTntime")):
        for match in list(re.finditer(b"\0" + re.escape(name) + b"\0", data)):
            data[match.start() + 1:match.end() - 1] = other


class Copy:
    """A private copy of an interpreter's program and library."""

    def __init__(self, python, folder, program="python3", library="libpython.so.1.0"):
        self.python = python
        self.program = os.path.join(folder, program)
        self.library = None
        shutil.copy(python.program, self.program)
        original = libpython_of(python)
        if original:
            self.library = os.path.join(folder, library)
            shutil.copy(original, self.library)
        self.files = [file for file in (self.program, self.library) if file]
        self.env = {"PYTHONHOME": python.prefix}
        if self.library:
            # Its DT_SONAME is the one that the program asks for.
            self.env["LD_PRELOAD"] = self.library

    def run(self, *arguments, before=()):
        return support.start_program([*before, self.program, PROGRAM, *arguments], env=self.env)


class RuntimeSearch(support.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pycore-search-")
        self.addCleanup(shutil.rmtree, self.folder, True)

    def check(self, target, python, found_by=None):
        """Python's version and the frames of waits.py."""
        support.until_still(target.pid)
        outcome = support.pycore("snap", target.pid, "-v", "-f", "json")
        self.assertEqual(outcome.rc, 0, outcome.err)
        document = json.loads(outcome.out)
        main = document["snapshots"][0]["threads"][0]
        frames = [frame["function"] for frame in main["frames"] if frame["kind"] == "python"]
        self.assertEqual(frames[:3], ["inner", "outer", "<module>"])
        self.assertEqual(support.of_python(main)[0]["qualname"], "{built-in method time.sleep}")
        self.assertEqual(document["source"]["processes"][0]["python"],
                         {"version": python.full, "build": python.build})
        if found_by:
            self.assertIn(found_by, outcome.err)
        return document

    def copy(self, python, **options):
        copy = Copy(python, self.folder, **options)
        for file in copy.files:
            os.chmod(file, 0o755)
        return copy

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_without_symbols(self, python):
        """No .symtab, no section headers, and no _PyRuntime: only memory can tell."""
        copy = self.copy(python)
        for file in copy.files:
            edit(file, remove_sections, rename_runtime)
        with copy.run() as target:
            self.check(target, python, "a scan ")

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_without_sections_deleted(self, python):
        """Only .dynsym is left, and the files are gone."""
        copy = self.copy(python, program="worker", library="code.bin")
        for file in copy.files:
            edit(file, remove_sections)
        with copy.run() as target:
            for file in copy.files:
                os.unlink(file)
            exported = python.minor >= (3, 7)
            self.check(target, python, "symbol _PyRuntime" if exported else "a scan ")

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_stripped_replaced(self, python):
        """strip --strip-all, then other files take the place of the running ones."""
        strip = shutil.which("strip")
        if not strip:
            self.skipTest("no strip on this machine")
        copy = self.copy(python)
        for file in copy.files:
            done = subprocess.run([strip, "--strip-all", file], stderr=subprocess.PIPE, check=True)
            if done.stderr:
                self.skipTest("strip cannot do that: %s" % done.stderr.decode().strip()[-200:])
        with copy.run() as target:
            for file in copy.files:
                shutil.copy("/bin/sh", file + ".new")
                os.rename(file + ".new", file)
            self.check(target, python)

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_through_the_loader(self, python):
        """/proc/PID/exe is ld.so."""
        copy = self.copy(python, program="service")
        with copy.run(before=[loader_of(python.program)]) as target:
            self.assertIn("/ld-", os.readlink("/proc/%d/exe" % target.pid))
            self.check(target, python)

    def embedder(self):
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            self.skipTest("no C compiler on this machine")
        program = os.path.join(self.folder, "embedder")
        subprocess.run([compiler, "-x", "c", "-", "-o", program, "-ldl"], check=True,
                       input=EMBEDDER.encode())
        return program

    @support.each_python(builds=BUILDS, every_debug=True)
    def test_embedded(self, python):
        """A program of another name that loads libpython when it runs."""
        library = libpython_of(python)
        if not library:
            self.skipTest("python%s has no libpython" % python.name)
        with support.start_program([self.embedder(), library, PROGRAM],
                                   env={"PYTHONHOME": python.prefix}) as target:
            self.check(target, python)

    @support.each_python()
    def test_beside_another(self, python):
        """Libraries of other versions, and one more of its own, are loaded and do not run."""
        others = []
        for other in support.interpreters():
            library = libpython_of(other) if other.build == "release" else None
            if library and other.minor != python.minor and len(others) < 2:
                others.append(library)
        copy = self.copy(python, program="own", library="own.so")
        if not others:
            self.skipTest("no libpython of another version on this machine")
        if copy.library:
            shutil.copy(copy.library, os.path.join(self.folder, "second.so"))
            edit(os.path.join(self.folder, "second.so"), self.other_soname)
            others.append(os.path.join(self.folder, "second.so"))
        with support.start_target(python, PROGRAM, *others) as target:
            with open("/proc/%d/maps" % target.pid) as stream:
                maps = stream.read()
            for other in others:
                self.assertIn(os.path.realpath(other), maps)
            self.check(target, python)

    @staticmethod
    def other_soname(data):
        """So that ld.so does not take it for the one it has."""
        for match in list(re.finditer(rb"\0libpython3\.\d+m?\.so\.1\.0\0", data)):
            data[match.start() + 4:match.start() + 6] = b"PY"


class Refusals(support.TestCase):
    def refused(self, pid, *words):
        outcome = support.pycore("snap", pid)
        self.assertEqual(outcome.rc, 2, outcome.err)
        self.assertEqual(outcome.out, "")
        self.assertEqual(len(outcome.err.strip().split("\n")), 1, outcome.err)
        for word in words:
            self.assertIn(word, outcome.err)

    @contextlib.contextmanager
    def sleeping(self, name):
        with tempfile.TemporaryDirectory(prefix="pycore-search-") as folder:
            program = os.path.join(folder, name)
            shutil.copy(shutil.which("sleep"), program)
            with support.start_program(["/bin/sh", "-c", 'echo READY; exec "$0" 1000',
                                        program]) as target:
                deadline = time.monotonic() + 60
                while os.readlink("/proc/%d/exe" % target.pid) != program:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)
                yield target

    def test_no_python(self):
        with self.sleeping("worker") as target:
            self.refused(target.pid, "no Python", "worker")

    def test_pypy(self):
        with self.sleeping("pypy3.10") as target:
            self.refused(target.pid, "PyPy", "CPython")

    def test_python2(self):
        for folder in [os.path.expanduser("~/.pyenv/versions/2.7.18/bin"), "/usr/bin"]:
            program = os.path.join(folder, "python2.7")
            if os.access(program, os.X_OK):
                break
        else:
            self.skipTest("no Python 2 on this machine")
        with support.start_program([program, PROGRAM]) as target:
            self.refused(target.pid, "Python 2")

    def test_named_python(self):
        with self.sleeping("python3.11") as target:
            self.refused(target.pid, "Python")


if __name__ == "__main__":
    tap.main()
