# SPDX-License-Identifier: GPL-3.0-or-later
"""Native stacks: builds the libraries of tests/programs/native_*, runs their threads, and compares
what pycore says of them with what eu-stack and gdb say, frame for frame."""

import contextlib
import functools
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import unittest

import support

PROGRAM = support.path("tests/programs/native_threads.py")
ALIASES = {}  # of aliases(), by a file's content

PLAIN = ["-O2", "-g"]
# name: (source, options). The same places several times over, often with less to go by. "gone" and
# "other" are for tests that delete and replace a file.
BUILDS = {
    "base": ("native_base.c", PLAIN),
    "cxx": ("native_cxx.cc", PLAIN),
    "nofp": ("native_places.c", ["-O2", "-fomit-frame-pointer", "-Wl,-z,lazy"]),
    "fp": ("native_places.c", ["-O2", "-g", "-fno-omit-frame-pointer", "-Wl,-z,now"]),
    "slow": ("native_places.c", ["-O0", "-g"]),
    "stripped": ("native_places.c", ["-O2", "-s"]),
    "nobuildid": ("native_places.c", ["-O2", "-Wl,--build-id=none"]),
    "debugframe": ("native_places.c", ["-O2", "-g", "-fno-asynchronous-unwind-tables",
                                       "-fno-unwind-tables"]),
    "notables": ("native_places.c", ["-O1", "-fno-asynchronous-unwind-tables",
                                     "-fno-unwind-tables", "-fno-omit-frame-pointer"]),
    "cet": ("native_places.c", ["-O2", "-fcf-protection=full", "-Wl,-z,ibtplt", "-Wl,-z,lazy"]),
    "gone": ("native_places.c", ["-O2"]),
    "other": ("native_places.c", ["-O1", "-g", "-fno-omit-frame-pointer"]),
}

GDB_SCRIPT = r"""
import gdb, json
threads = {}
for thread in gdb.selected_inferior().threads():
    thread.switch()
    rows, end = [], None
    try:
        frame = gdb.newest_frame()
        while frame is not None and len(rows) < LIMIT:
            # Inlined calls have no activation, and tail calls have none any more.
            if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
                rows.append([frame.pc(), frame.name()])
            end = frame.unwind_stop_reason()
            frame = frame.older()
    except gdb.error as error:
        end = str(error)
    threads[thread.ptid[1] or thread.ptid[0]] = {"rows": rows, "end": end}
with open(OUTPUT, "w") as stream:
    json.dump(threads, stream)
"""


def need_tools(*names):
    """Skips by name what is not on this machine."""
    if platform.machine() != "x86_64":
        raise unittest.SkipTest("the native programs are for x86-64, not %s" % platform.machine())
    for name in names:
        if not shutil.which(name):
            raise unittest.SkipTest("no %s on this machine" % name)


def build(folder, names=tuple(BUILDS)):
    """The libraries NAME.so in a folder."""
    base = os.path.join(folder, "base.so")
    for name in sorted(names, key=lambda name: name != "base"):
        source, options = BUILDS[name]
        compiler = "g++" if source.endswith(".cc") else os.environ.get("CC", "gcc").split()[0]
        need_tools(compiler)
        file = os.path.join(folder, name + ".so")
        subprocess.run([compiler, "-shared", "-fPIC", "-pthread", *options,
                        "-Wl,-soname,%s.so" % name, "-o", file,
                        support.path("tests/programs/" + source)] + [base] * (name != "base"),
                       check=True, stdout=subprocess.DEVNULL)


class Libraries:
    """Built once for a test file: make() has their folder."""

    def __init__(self):
        self.folder = None

    def make(self):
        if not self.folder:
            need_tools("gcc", "g++")
            self.folder = tempfile.mkdtemp(prefix="pycore-native-")
            build(self.folder)
        return self.folder

    def drop(self):
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


LIBRARIES = Libraries()


# ---- The program ---------------------------------------------------------------------------------

def place(name, *chain, leaf=("base", "leaf_pause"), **more):
    """A row of the plan that native_threads.py explains."""
    return dict({"name": name, "chain": [list(link) for link in chain],
                 "leaf": leaf if isinstance(leaf, str) or leaf is None else list(leaf)}, **more)


def check_libc(python, folder):
    """An interpreter with a C library of its own may be unable to load what this machine builds."""
    done = subprocess.run(
        [python.path, "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])",
         os.path.join(folder, "base.so")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=support.clean_environment())
    if b"GLIBC" in done.stderr:
        raise unittest.SkipTest("the C library of this Python is older than this machine's")


@contextlib.contextmanager
def threads(python, places, finish=("base", "crash_abort"), flags=(), env=None, keep=None, **plan):
    """Runs native_threads.py: yields (target, folder, expected)."""
    folder = tempfile.mkdtemp(prefix="pycore-native-")
    try:
        os.chmod(folder, 0o755)
        for file in glob.glob(os.path.join(LIBRARIES.make(), "*.so")):
            shutil.copy(file, folder)
        with open(os.path.join(folder, "plan.json"), "w") as stream:
            json.dump(dict({"places": places, "finish": list(finish)}, **plan), stream)
        os.mkfifo(os.path.join(folder, "go"))
        if "user" in plan:
            os.chown(folder, plan["user"], plan["user"])
        check_libc(python, folder)
        with support.start_target(python, PROGRAM, folder, flags=flags, cwd=folder,
                                  env=dict({"LD_LIBRARY_PATH": folder}, **(env or {}))) as target:
            with open(os.path.join(folder, "expected.json")) as stream:
                expected = json.load(stream)
            yield target, folder, expected
    finally:
        if keep or os.environ.get("PYCORE_KEEP"):
            print("kept: " + folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


# ---- What others say -----------------------------------------------------------------------------

class Stack:
    """One thread's stack: pcs and names, innermost first; error: why it ended early, or None."""

    def __init__(self):
        self.pcs, self.names, self.error = [], [], None


def copy_of(stack):
    other = Stack()
    other.pcs, other.names, other.error = list(stack.pcs), list(stack.names), stack.error
    return other


def eu_stack(*arguments, timeout=120):
    """{tid: Stack} as eu-stack says."""
    done = subprocess.run(["eu-stack", "-n", "0", *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          env=support.clean_environment())
    stacks, stack = {}, None
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        match = re.match(r"TID (\d+):", line)
        if match:
            stack = stacks.setdefault(int(match.group(1)), Stack())
            continue
        match = re.match(r"#\d+\s+0x([0-9a-f]+)\s*(?:- 1\s*)?(.*)$", line)
        if match and stack:
            stack.pcs.append(int(match.group(1), 16))
            stack.names.append(match.group(2).strip() or None)
    for match in re.finditer(r"tid (\d+) at (0x[0-9a-f]+) in ([^\n]*)",
                             done.stderr.decode("utf-8", "replace")):
        if int(match.group(1)) in stacks:
            stacks[int(match.group(1))].error = match.group(0)
    if not stacks:
        raise AssertionError("eu-stack: %s" % done.stderr.decode("utf-8", "replace"))
    return stacks


def gdb(*arguments, timeout=180, limit=2000):
    """{tid: Stack} as gdb says, of real activations only."""
    with tempfile.TemporaryDirectory(prefix="pycore-gdb-") as folder:
        output, script = os.path.join(folder, "out.json"), os.path.join(folder, "script.py")
        with open(script, "w") as stream:
            stream.write("OUTPUT, LIMIT = %r, %d\n" % (output, limit) + GDB_SCRIPT)
        settings = ["set auto-load no", "set debuginfod enabled off", "set pagination off",
                    "set backtrace past-main on", "set backtrace past-entry on"]
        command = ["gdb", "-nx", "-batch"]
        for setting in settings:
            command += ["-iex", setting]
        done = subprocess.run(command + [*map(str, arguments), "-x", script],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout,
                              env=support.clean_environment())
        try:
            with open(output) as stream:
                found = json.load(stream)
        except OSError:
            text = done.stdout.decode("utf-8", "replace")
            if "Python scripting is not supported" in text:
                raise unittest.SkipTest("this gdb has no Python") from None
            raise AssertionError("gdb: %s" % text[-2000:]) from None
    stacks = {}
    for tid, facts in found.items():
        stack = stacks[int(tid)] = Stack()
        for pc, name in facts["rows"]:
            stack.pcs.append(pc)
            stack.names.append(name)
        # gdb.FRAME_UNWIND_NO_REASON, _OUTERMOST
        stack.error = None if facts["end"] in (0, 1, 2) else str(facts["end"])
    return stacks


def natives_of(thread):
    """The native activations of a thread in pycore's JSON: inlined calls left out."""
    return [frame for frame in thread["frames"]
            if frame["kind"] == "native" and not frame["inlined"]]


def pcs_of(thread):
    return [int(frame["address"] or "-1", 16) for frame in natives_of(thread)]


def modules_of(*arguments):
    """The files of all modules, and their separate debug files."""
    done = subprocess.run(["eu-unstrip", "-n", *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    words = done.stdout.decode("utf-8", "replace").split()
    return sorted({word for word in words if word.startswith("/") and os.path.isfile(word)})


# ---- Comparing -----------------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def aliases(file):
    """{name: address} of the symbols of a file; of one that is gone, none."""
    try:
        with open(file, "rb") as stream:
            content = hashlib.sha1(stream.read()).digest()
    except OSError:
        return {}
    if content not in ALIASES:  # tests work with copies of a few files
        ALIASES[content] = read_aliases(file)
    return ALIASES[content]


def read_aliases(file):
    found = {}
    for options in (["-D"], [], ["-C"]):
        done = subprocess.run(["nm", *options, file], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            match = re.match(r"([0-9a-f]+) ([a-zA-Z]) (.*)$", line)
            if match and match.group(2) not in "dDbBrR":  # not data
                found[match.group(3).split("@")[0]] = int(match.group(1), 16)
    return found


def bare(name):
    """Without what tools add: versions, the parts that compilers split off, arguments."""
    name = re.sub(r"@.*", "", name)
    name = re.sub(r"( \[clone [^\]]*\])+$", "", name)
    return re.sub(r"(\.(part|cold|isra|constprop|lto_priv)(\.\d+)?)+$", "", name)


def same_name(one, other, modules=()):
    if one is None or other is None:
        return one is other
    if bare(one) == bare(other):
        return True
    # gdb leaves out the arguments of C++ functions where it has them from DWARF.
    if re.sub(r"\(.*", "", bare(one)) == re.sub(r"\(.*", "", bare(other)) != "":
        return True
    for file in modules:
        table = aliases(file)
        if table.get(bare(one), -1) == table.get(bare(other), -2):
            return True
    return False


def show(pcs, names, limit=14, first=0):
    rows = ["      #%-3d %#x %s" % (first + index, pc, name)
            for index, (pc, name) in enumerate(zip(pcs, names))]
    return "\n".join(rows[:limit] + (["      ... %d in all" % (len(rows) + first)]
                                     if len(rows) > limit else []))


SYSCALL_BYTES = 2  # x86-64


def same_place(pcs, others):
    """Equal; or pcs is of the moment in which the thread, woken by a stop before, makes its system call
    again: there the kernel has put it back by the instruction (Linux, arch/x86/kernel/signal.c,
    arch_do_signal_or_restart)."""
    return pcs == others or (len(pcs) == len(others) > 0 and pcs[1:] == others[1:] and
                             pcs[0] == others[0] - SYSCALL_BYTES)


class Comparison:
    """Counts, and the list of what differs."""

    def __init__(self):
        self.problems = []
        self.threads = self.frames = self.by_eu = self.by_gdb = self.by_table = 0

    def differ(self, label, thread, oracle_name, stack):
        pcs = pcs_of(thread)
        names = [frame["function"] for frame in natives_of(thread)]
        first = next((index for index, pair in enumerate(zip(pcs, stack.pcs))
                      if pair[0] != pair[1]), min(len(pcs), len(stack.pcs)))
        start = max(0, first - 1)
        self.problems.append("%s (tid %d): frame %d of %d differs; %s says (%d)%s\n%s\n"
                             "    pycore says\n%s\n    notes: %s" % (
                                 label, thread["tid"], first, len(pcs), oracle_name,
                                 len(stack.pcs), "" if not stack.error else " " + stack.error,
                                 show(stack.pcs[start:], stack.names[start:], first=start),
                                 show(pcs[start:], names[start:], first=start), thread["notes"]))

    def thread(self, label, thread, eu, by_gdb, known=None):
        """pycore's frames must be eu-stack's; where eu-stack gave up or ended early, gdb's.

        known: what is known of the oracles at this place: eu-stack's frames are right up to the
        caller of this function, and there are no more.
        """
        self.threads += 1
        pcs = pcs_of(thread)
        self.frames += len(pcs)
        if known is not None:
            eu.pcs = eu.pcs[:eu.names.index(known) + 2]
            eu.error = "(of which only these are right)"
            self.by_table += pcs == eu.pcs
            if pcs != eu.pcs:
                self.differ(label, thread, "eu-stack", eu)
            return
        early = eu.error or by_gdb and (len(by_gdb.pcs) > len(eu.pcs) and
                                        by_gdb.pcs[:len(eu.pcs)] == eu.pcs)
        if not early:
            self.by_eu += same_place(pcs, eu.pcs)
            if not same_place(pcs, eu.pcs):
                self.differ(label, thread, "eu-stack", eu)
        else:
            if by_gdb is None:
                self.problems.append("%s: eu-stack ended early, and gdb was not asked" % label)
                return
            self.by_gdb += same_place(pcs, by_gdb.pcs)
            if not same_place(pcs, by_gdb.pcs):
                self.differ(label, thread, "gdb", by_gdb)
                self.problems[-1] += "\n    eu-stack says (early)\n" + show(eu.pcs, eu.names)

    def names(self, label, thread, stack, modules, which):
        """Function names of the same frames. pycore may know more than the oracle, never less."""
        by_pc = dict(zip(stack.pcs, stack.names))
        for frame in natives_of(thread):
            other = by_pc.get(int(frame["address"] or "-1", 16))
            if other is None or other == "??":
                continue
            if frame["function"] is None and \
                    not any(bare(other) in aliases(file) for file in modules):
                continue  # the name of a variable
            if not same_name(frame["function"], other, modules):
                self.problems.append("%s (tid %d): %s %s is %r, %s says %r" % (
                    label, thread["tid"], frame["address"], frame["module"], frame["function"],
                    which, other))

    def summary(self):
        return "%d threads, %d native frames; equal to eu-stack's %d, where that failed to " \
               "gdb's %d, by the table of known faults %d" % (
                   self.threads, self.frames, self.by_eu, self.by_gdb, self.by_table)


def check_order(thread, facts, plan, present):
    """Every function of the chain lies right between the Python frames that called it and that it
    called; the Python frames are those that Python itself named. The first difference, or None.

    present: names of all functions that are on the stack (a tail call leaves none).
    """
    names = [frame["function"] for frame in thread["frames"] if frame["kind"] == "python"]
    if isinstance(plan["leaf"], str) and plan["leaf"] in names:
        names = names[names.index(plan["leaf"]):]  # what that leaf calls is not for here
    if names != facts["python"]:
        return "Python frames are\n      %s, not\n      %s" % (names, facts["python"])
    levels = [link[1] for link in plan["chain"]]
    present = {bare(name) for name in present if name}
    seen = []
    for frame in thread["frames"]:
        if frame["kind"] == "native" and bare(frame["function"] or "") in levels:
            if seen[-1:] != [bare(frame["function"])]:
                seen.append(bare(frame["function"]))
        elif frame["kind"] == "python" and frame["function"] == "descend":
            seen.append("descend")
    wanted = ["descend"] if isinstance(plan["leaf"], str) else []
    for name in reversed(levels):
        wanted += [name] * (name in present) + ["descend"]
    if seen != wanted:
        return "merged order is\n      %s, not\n      %s" % (seen, wanted)
    return None


def check_loops(thread, one_each):
    """Python frames lie right inside of the evaluation loop that runs them: up to 3.10 one_each.
    The first that does not, or None. Loops whose name is not known are believed, and so is a note
    that says that not all of them are known."""
    run = []
    if thread["notes"]:
        return None
    for frame in thread["frames"]:
        if frame["kind"] == "python":
            run.append(frame["function"])
        elif frame["kind"] == "native" and run and not frame["inlined"]:
            name = bare(frame["function"] or "")
            if name and name != "_PyEval_EvalFrameDefault" and "TAIL_CALL" not in name and \
                    frame["module"]:
                return "%s are run by %s" % (run, name)
            if one_each and len(run) > 1:
                return "one loop runs %s" % run
            run = []
    return "no loop runs %s" % run if run else None


def lines_of(file, offsets):
    """{offset: [(function, file, line), ...]} by addr2line, inlined calls first."""
    done = subprocess.run(["addr2line", "-a", "-i", "-f", "-C", "-e", file,
                           *map(hex, sorted(set(offsets)))],
                          stdout=subprocess.PIPE, check=True)
    found, rows = {}, None
    for line in done.stdout.decode().splitlines():
        if re.match(r"0x[0-9a-f]+$", line):
            rows = found.setdefault(int(line, 16), [])
        elif rows is not None and (not rows or len(rows[-1]) == 3):
            rows.append((line,))
        else:
            name, _, number = line.partition(" ")[0].rpartition(":")
            rows[-1] += (name, int(number) if number.isdigit() else None)
    return found


def activations(document):
    """(frame, the frames inlined into it and itself, address to look up) of all native frames."""
    for thread in document["snapshots"][0]["threads"]:
        group, exact = [], True
        for frame in thread["frames"]:
            if frame["kind"] != "native":
                continue
            group.append(frame)
            if not frame["inlined"]:
                # A caller executes the call, which lies before the return address.
                yield frame, group, int(frame["address"] or "-1", 16) - (not exact)
                exact, group = bool(frame.get("signal")), []


def check_offsets(frame, module, table, biases, problems):
    """All symbols of a module lie by the same whole number of pages from where nm has them."""
    name = frame["function"] if frame["function"] in table else bare(frame["function"] or "")
    if name not in table or frame["offset"] is None or "@plt" in frame["function"]:
        return
    offset = frame["offset"] if isinstance(frame["offset"], int) else int(frame["offset"], 16)
    bias = int(frame["address"], 16) - offset - table[name]
    if bias & 0xfff or biases.setdefault(module, bias) != bias:
        problems.append("%s: offset %s of %s+%s is wrong" % (
            frame["address"], frame["offset"], module, frame["function"]))


def check_lines(where, told, right, problems):
    """What pycore and addr2line say of one address: (function, file, line), inlined calls first."""
    if [row[2] for row in right] == [None] or right[0][0] == "??":
        return
    # Of several, addr2line gives the first one the name of the symbol, and others names without
    # their scope.
    if len(told) != len(right) or any(
            one[2] != other[2] or os.path.basename(one[1] or "") != os.path.basename(other[1]) or
            other[0].split("(")[0] not in (one[0] or "") and (index or len(right) == 1)
            for index, (one, other) in enumerate(zip(told, right))):
        problems.append("%s: pycore says %s, addr2line says %s" % (where, told, right))


def check_places(document, folder, problems):
    """Offsets against nm, file, line and inlined calls against addr2line, for the libraries that
    were built here. Returns how many frames were looked at, and how many inlined calls."""
    biases, wanted = {}, {}
    for frame, group, address in activations(document):
        module = os.path.basename(frame["module"] or "")
        file = os.path.join(folder, module)
        if module.endswith(".so") and module[:-3] in BUILDS and os.path.exists(file):
            check_offsets(frame, module, aliases(file), biases, problems)
            wanted.setdefault(module, []).append((address, group))
    checked = inlined = 0
    for module, rows in wanted.items():
        if module not in biases or "-g" not in BUILDS[module[:-3]][1]:
            continue
        found = lines_of(os.path.join(folder, module), [row[0] - biases[module] for row in rows])
        for address, group in rows:
            offset = address - biases[module]
            told = [(frame["function"], frame["file"], frame["line"]) for frame in group]
            check_lines("%s+%#x" % (module, offset), told, found[offset], problems)
            checked += 1
            inlined += len(group) - 1
    return checked, inlined
