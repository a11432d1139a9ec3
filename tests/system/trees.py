# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders with the files of a program: a private interpreter for files that move, vanish or are
replaced, and small roots that hold all that a Python needs."""

import os
import re
import shutil
import subprocess
import unittest

import support

# A library with an exported, a hidden and a static function on the stack.
CODE = r"""
#include <stdlib.h>
#include <unistd.h>
#define APART __attribute__((noinline, noclone))
volatile long sink;
static APART void end_in_static(long number)
{
    if (number > 2)
        abort();
    for (;;)
        pause();
}
__attribute__((visibility("hidden"))) APART void through_hidden(long number)
{
    end_in_static(number + VALUE);
    sink = number;
}
APART void enter_exported(long number)
{
    through_hidden(number + 1);
    sink = number;
}
"""


def usual_python():
    """One whose frames are known best; any other will do."""
    here = {python.name: python for python in support.interpreters()}
    for name in ("3.11", "3.12", "3.13", "3.14", "3.10", "3.15", "3.9", "3.8"):
        if name in here:
            return here[name]
    raise unittest.SkipTest("no Python from 3.8 on is on this machine")


def run(*arguments):
    """A tool; skips the test where it is not there, fails when it fails."""
    if not shutil.which(arguments[0]):
        raise unittest.SkipTest("no %s on this machine" % arguments[0])
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(arguments), done.stderr.decode()))
    return done.stdout.decode()


def compile_code(file, *options, value=1):
    """CODE as a shared library; another value is another build of the same layout."""
    source = file + ".c"
    with open(source, "w") as stream:
        stream.write(CODE)
    run(os.environ.get("CC", "cc").split()[0], "-shared", "-fPIC", "-O1", "-g",
        "-fno-optimize-sibling-calls", "-DVALUE=%dL" % value, *options, "-o", file, source)


def build_id(file):
    """Of an ELF file; None: it has none."""
    found = re.search(r"Build ID: ([0-9a-f]+)", run("readelf", "-n", file))
    return found and found.group(1)


def put(source, target):
    """A copy, with all folders above it."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(source, target)
    return target


def libraries_of(program):
    """Everything that ld.so loads for it, itself included."""
    text = run("ldd", program)
    return sorted(set(re.findall(r"(/\S+) \(0x", text)))


def mapped_files(python):
    """What an interpreter maps with a few usual modules: its program, libpython, extensions."""
    script = ("import sys, threading, ctypes\nnames = set()\nfor line in open('/proc/self/maps'):\n"
              " if '/' in line: names.add(line.split(None, 5)[5].rstrip())\n"
              "sys.stdout.write('\\n'.join(sorted(names)))\n")
    done = subprocess.run([python.path, "-I", "-S", "-c", script], stdout=subprocess.PIPE,
                          env=support.clean_environment(), check=True, timeout=60)
    files = []
    for name in done.stdout.decode().split("\n"):
        with open(name, "rb") as stream:
            if stream.read(4) == b"\x7fELF":
                files.append(name)
    return files


class Copy:
    """A private copy of an interpreter's program and of its libpython: bin/ and lib/ of a folder."""

    def __init__(self, python, folder):
        self.python = python
        self.program = put(python.program, os.path.join(folder, "bin", "python3"))
        self.library = None
        self.env = {"PYTHONHOME": python.prefix}
        for file in mapped_files(python):
            if os.path.basename(file).startswith("libpython3."):
                self.library = put(file, os.path.join(folder, "lib", os.path.basename(file)))
                # Its DT_SONAME is the one that the program asks for.
                self.env["LD_PRELOAD"] = self.library


class Root:
    """A root file system with one interpreter, at the places where it is on this machine."""

    def __init__(self, python, folder):
        self.python, self.folder = python, folder
        stdlib = os.path.join(python.prefix, "lib", "python%d.%d" % python.minor)
        if not os.path.isdir(stdlib):
            raise unittest.SkipTest("the library of python%s is not where it is sought"
                                    % python.name)
        for name in ("proc", "dev", "tmp", "usr", "bin", "old"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        shutil.copytree(stdlib, folder + stdlib, ignore=shutil.ignore_patterns(
            "test", "tests", "__pycache__", "config-*", "site-packages", "idlelib", "lib2to3",
            "ensurepip", "lib-dynload", "pydoc_data", "tkinter", "*.a"))
        os.makedirs(folder + stdlib + "/lib-dynload", exist_ok=True)
        for file in [python.program] + mapped_files(python):
            self.add(file)

    def add(self, program):
        """A program or library, under its own name, and what it needs."""
        for file in [program] + libraries_of(program):
            if not os.path.exists(self.folder + file):
                put(os.path.realpath(file), self.folder + file)

    def write(self, name, text):
        """A file of the root; its path as those inside see it."""
        with open(self.folder + name, "w") as stream:
            stream.write(text)
        return name
