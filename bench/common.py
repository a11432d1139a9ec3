# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks share: finding programs, building C, percentiles."""

import collections
import glob
import os
import shutil
import signal
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)


def default_pycore():
    built = os.path.join(TOP, "build", "pycore")
    return os.environ.get("PYCORE") or (built if os.path.exists(built) else "pycore")


def python_folders():
    """$PYCORE_PYTHONS (folders or programs), $PATH, pyenv."""
    yield from filter(None, os.environ.get("PYCORE_PYTHONS", "").split(":"))
    yield from os.environ.get("PATH", "").split(":")
    yield from sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin")), reverse=True)


def find_python(name):
    """A path, or the interpreter of a version such as 3.12; None when there is none."""
    if os.sep in name:
        return name
    wanted = name if name.startswith("python") else "python" + name
    for folder in python_folders():
        file = folder if os.path.basename(folder) == wanted else os.path.join(folder, wanted)
        # A pyenv shim is a script that may find nothing.
        if os.path.isfile(file) and os.access(file, os.X_OK) and "shims" not in file:
            return file
    return None


def find_pythons(names):
    found = [path for path in map(find_python, names) if path]
    if not found:
        raise SystemExit("none of these Pythons is here: %s (--python, PYCORE_PYTHONS)"
                         % " ".join(names))
    return found


def version_of(python):
    done = subprocess.run([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"],
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().strip()


def find_peer(path, name, probe=("--version",)):
    """A peer that starts at all; None: it is not installed, or does not run here."""
    file = path or shutil.which(name)
    if not file:
        return None
    try:
        done = subprocess.run([file, *probe], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return file if done.returncode == 0 else None


def build(source, output, shared=False):
    """Compiles one C file with $CC (cc)."""
    flags = ["-shared", "-fPIC"] if shared else []
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-g", *flags, "-pthread", "-o",
                    output, source], check=True)
    return output


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values):
    return percentile(values, 0.5)


Spent = collections.namedtuple("Spent", "status seconds cpu_seconds peak_mib")


class Meter:
    """Runs commands and says what they took. Has a folder of its own, and a compiled helper."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.program = build(os.path.join(HERE, "spent.c"), os.path.join(self.folder.name, "spent"))

    def run(self, command, limit=300):
        """Spent, or None when it took longer than `limit` seconds."""
        result = os.path.join(self.folder.name, "result")
        process = subprocess.Popen([self.program, result, *command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None
        with open(result) as stream:
            status, wall_ns, cpu_ns, peak_kib = map(int, stream.read().split())
        return Spent(status, wall_ns / 1e9, cpu_ns / 1e9, peak_kib / 1024)
