# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the interpreter under test (3.6 or later) for callsite_oracle.py.

Three comparisons of the C code with this very process:
  static  every code object of the standard library: each reachable instruction has one depth
          (from 3.9), none above co_stacksize; specialised bytes give the same as plain ones;
  called  inside C callables that call back, the slot named must hold that very callable;
  traced  single-stepping, the depth computed must be the one the frame has just saved.
"""
import builtins
import ctypes
import functools
import gc
import io
import json
import os
import sys
import sysconfig
import types

import callsite_oracle_snippets as snippets
import callsite_oracle_workloads as workloads

VERSION = sys.version_info[:2]
HEX = VERSION[0] << 8 | VERSION[1]
NULLS = (0, 1)  # 3.14: a NULL reference is tagged
NONE, FUNCTION, METHOD, ENTER, EXIT, ITER, SEND, IMPORT = range(8)
NAME_KINDS = ("unknown", "global", "name", "attr", "method", "super", "module", "fast", "deref",
              "const", "special", "build_class")
OFFSETS = {  # co_code_adaptive, co_nlocalsplus, localsplus of the interpreter frame
    (3, 11): (184, 76, 72), (3, 12): (192, 72, 72), (3, 13): (200, 72, 72),
    (3, 14): (208, 72, 80), (3, 15): (208, 72, 80),
}.get(VERSION)


class Bytecode(ctypes.Structure):
    _fields_ = [("code", ctypes.c_char_p), ("size_bytes", ctypes.c_size_t),
                ("version", ctypes.c_uint16), ("table", ctypes.c_char_p),
                ("table_size", ctypes.c_size_t), ("stack_size", ctypes.c_uint32)]


class Callsite(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("content", ctypes.c_int), ("name_kind", ctypes.c_int),
                ("name_index", ctypes.c_int32), ("slot", ctypes.c_int32),
                ("slot_alt", ctypes.c_int32), ("arg_count", ctypes.c_uint32),
                ("depth_count", ctypes.c_uint32), ("depths", ctypes.c_int32 * 16),
                ("depth_certain", ctypes.c_bool), ("instruction", ctypes.c_size_t),
                ("opcode", ctypes.c_uint8), ("oparg", ctypes.c_uint32)]


LIB = ctypes.CDLL(sys.argv[1])
LIB.py_callsite_depths_create.restype = ctypes.c_void_p
LIB.py_callsite_depths_create.argtypes = [ctypes.POINTER(Bytecode)]
LIB.py_callsite_depths_destroy.argtypes = [ctypes.c_void_p]
LIB.py_callsite_depths_destroy.restype = None
LIB.py_callsite_find.restype = ctypes.c_bool
LIB.py_callsite_find.argtypes = [ctypes.POINTER(Bytecode), ctypes.c_void_p, ctypes.c_size_t,
                                 ctypes.c_int32, ctypes.POINTER(Callsite)]

counts = {"failures": 0}
complaints = 0


def count(key, number=1):
    counts[key] = counts.get(key, 0) + number


def fail(text, *args):
    global complaints
    count("failures")
    complaints += 1
    if complaints <= 40:
        sys.stderr.write("%d.%d: " % VERSION + text % args + "\n")


def adaptive_bytes(code):
    """The bytes the interpreter runs, specialised and instrumented."""
    return ctypes.string_at(id(code) + OFFSETS[0], len(code.co_code))


class Asked(object):
    """One code object as the C code sees it."""

    def __init__(self, code, text=None):
        text = code.co_code if text is None else text
        table = getattr(code, "co_exceptiontable", None)
        self.text = text
        self.bytecode = Bytecode(text, len(text), HEX, table, len(table or b""),
                                 code.co_stacksize)
        self.depths = LIB.py_callsite_depths_create(ctypes.byref(self.bytecode))
        self.site = Callsite()

    def find(self, offset, known_depth=-1):
        known = LIB.py_callsite_find(ctypes.byref(self.bytecode), self.depths, offset,
                                     known_depth, ctypes.byref(self.site))
        return self.site if known else None

    def __del__(self):
        LIB.py_callsite_depths_destroy(self.depths)


def pointer(address):
    return ctypes.c_size_t.from_address(address).value


def value_stack(frame):
    """(address of slot 0, depth the frame has saved; None: it says it runs)."""
    if VERSION <= (3, 10):
        base = pointer(id(frame) + HEADER + 48)
        if VERSION == (3, 10):
            depth = ctypes.c_int.from_address(id(frame) + HEADER + 64).value
            return base, None if depth < 0 else depth
        top = pointer(id(frame) + HEADER + 56)
        return base, (top - base) // 8 if top else None
    inner = pointer(id(frame) + 24)
    slots = ctypes.c_int.from_address(id(frame.f_code) + OFFSETS[1]).value
    base = inner + OFFSETS[2] + slots * 8
    if VERSION >= (3, 14):
        top = pointer(inner + 64)
        return base, (top - base) // 8 if top else None
    top = ctypes.c_int.from_address(inner + 64).value
    return base, None if top < 0 else top - slots


HEADER = object.__basicsize__  # larger with reference tracing

# --- static -------------------------------------------------------------------------------------


def codes_of(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            for inner in codes_of(constant):
                yield inner


def check_static(code):
    asked = Asked(code)
    deepest = 0
    step = 2
    for offset in range(0, len(code.co_code), step):
        site = asked.find(offset)
        if site is None:
            fail("%s: offset %d not decoded", code, offset)
            return
        if site.instruction != offset:
            continue  # in a cache or on a prefix
        count("static_instructions")
        if site.kind != NONE:
            count("static_calls")
            if site.name_kind:
                count("static_calls_named")
        deepest = max(deepest, max(list(site.depths)[:site.depth_count] or [0]))
        if site.depth_count == 0:
            count("static_unreachable")
        elif not site.depth_certain:
            count("static_uncertain")
            if site.kind != NONE:
                count("static_calls_uncertain")
            if VERSION >= (3, 9):
                fail("%s: %d depths at %d", code, site.depth_count, offset)
    if deepest > code.co_stacksize:
        fail("%s: depth %d above co_stacksize %d", code, deepest, code.co_stacksize)
    count("static_codes")


def run_static(limit):
    root = sysconfig.get_paths()["stdlib"]
    names = sorted(os.path.join(directory, name)
                   for directory in (root, root + "/asyncio", root + "/email", root + "/test")
                   if os.path.isdir(directory)
                   for name in os.listdir(directory) if name.endswith(".py"))
    # The same amount everywhere: spread over all modules.
    for path in names[::max(1, len(names) // limit)]:
        try:
            with io.open(path, "rb") as source:
                code = compile(source.read(), path, "exec")
        except (SyntaxError, ValueError, IOError):
            continue
        if len(code.co_code) > 60000:
            continue  # asked per instruction: quadratic
        for inner in codes_of(code):
            if len(inner.co_code) < 20000:
                check_static(inner)


# --- called -------------------------------------------------------------------------------------

armed = False
asked_codes = {}
unnamed = set()


def object_at(address):
    """The live container object at an address, None: no object there."""
    if VERSION >= (3, 14):
        address &= ~3
    if address in BY_ADDRESS:
        return BY_ADDRESS[address]
    for candidate in gc.get_objects():
        if id(candidate) == address:
            return candidate
    return None


def name_of(code, site):
    kind = NAME_KINDS[site.name_kind]
    index = site.name_index
    if kind in ("global", "name", "attr", "method", "super", "module"):
        return code.co_names[index]
    if kind == "fast" or kind == "deref" and VERSION >= (3, 11):
        table = getattr(code, "_varname_from_oparg", None)
        return table(index) if table else code.co_varnames[index]
    if kind == "deref":
        return (code.co_cellvars + code.co_freevars)[index]
    if kind == "special":
        return ("__enter__", "__exit__", "__aenter__", "__aexit__")[index]
    return None


def callable_at(base, site, moved):
    """(object in the slot that holds the callable, address of the slot)."""
    address = base + (site.slot + moved) * 8
    if site.kind == METHOD and pointer(address) in NULLS:
        address = base + (site.slot_alt + moved) * 8
    return object_at(pointer(address))


def matches(found, tag, site):
    if tag is None:
        return site.kind in (FUNCTION, METHOD) and found is P
    if tag == "iter":
        return site.kind == ITER and type(found) is map
    if tag == "send":
        return site.kind == SEND and type(found) is map
    name = getattr(found, "__name__", None)
    if tag == "with":
        if site.kind == ENTER:
            holder = getattr(found, "__self__", None) if site.content == 2 else found
            return type(holder) is io.BufferedReader and (
                site.content == 3 or name == "__exit__")
        return name in ("__enter__", "__exit__")
    return site.kind in (FUNCTION, METHOD) and name == tag


def check(*args, tag, result=0, **kwargs):
    """Called by C code: what does the frame below this one call?"""
    if not armed:
        return result
    frame = sys._getframe(1)
    code = frame.f_code
    if VERSION >= (3, 11):
        asked = Asked(code, adaptive_bytes(code))
    else:
        asked = asked_codes.get(code) or asked_codes.setdefault(code, Asked(code))
    site = asked.find(frame.f_lasti)
    where = "%s %s offset %d" % (code.co_name, tag, frame.f_lasti)
    count("called")
    if site is None:
        fail("%s: not known", where)
        return result
    if VERSION >= (3, 11) and asked.text[site.instruction:][:1] != bytes([site.opcode]):
        count("called_specialised")
    base, saved = value_stack(frame)
    if saved is not None and VERSION >= (3, 14):
        count("called_saved_depth_off_by_%d" % (saved - site.depths[0]))
    if site.kind == EXIT and site.content == 0 and tag == "with":
        count("called_exit_without_slot")
        return result
    if site.depth_count == 0:
        fail("%s: no depth (kind %d)", where, site.kind)
        return result
    hits = [i for i in range(site.depth_count)
            if matches(callable_at(base, site, site.depths[i] - site.depths[0]), tag, site)]
    if not hits:
        fail("%s: kind %d slot %d: wrong object %r %#x", where, site.kind, site.slot,
             callable_at(base, site, 0), pointer(base + site.slot * 8))
        return result
    count("called_right" if site.depth_certain else "called_right_of_%d" % site.depth_count)
    name = name_of(code, site)
    if site.kind in (FUNCTION, METHOD):
        count("called_named" if name else "called_not_named")
        expected = {None: ("P", "p", "q"), "with": ("__enter__", "__exit__")}.get(tag, (tag,))
        if not name:
            unnamed.add("not named: " + where)
        if name and name not in expected:
            fail("%s: name %s (%s)", where, name, NAME_KINDS[site.name_kind])
    return result


# By keyword: with positional arguments of its own, partial borrows the slot below the arguments
# (PY_VECTORCALL_ARGUMENTS_OFFSET), which is the callable's.
P = functools.partial(check, tag=None)
K = {name: functools.partial(check, tag=name)
     for name in ("sort sorted iter send with max extend len get int round reversed hex index "
                  "count isinstance issubclass getattr tuple list set sum any next min fromkeys "
                  "bytes").split()}
K["str"] = functools.partial(check, tag="str", result="")
K["join"] = functools.partial(check, tag="join", result="")
BY_ADDRESS = {id(thing): thing for thing in list(vars(builtins).values()) + [P]}


class Raw(io.RawIOBase):
    """Its closed and close are called by BufferedReader.__enter__ and __exit__."""
    closed = property(K["with"])

    def readable(self):
        return True

    close = staticmethod(K["with"])


class Importer(object):
    def find_spec(self, name, path=None, target=None):
        if name != "callsite_nothing" or not armed:
            return None
        frame = sys._getframe(1)
        while "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        asked = Asked(frame.f_code)
        site = asked.find(frame.f_lasti)
        count("called")
        if site.kind != IMPORT or name_of(frame.f_code, site) != name:
            fail("import: kind %d, name %s", site.kind, name_of(frame.f_code, site))
        else:
            count("called_right")
        return None


def drive(result):
    """Runs generators and coroutines to their end; tolerates what snippets raise on purpose."""
    try:
        if hasattr(result, "send"):
            while True:
                result.send(None)
        elif hasattr(result, "asend"):
            while True:
                try:
                    step = result.asend(None)
                    while True:
                        step.send(None)
                except StopIteration:
                    pass
    except (StopIteration, StopAsyncIteration):
        pass


def snippet_functions():
    space = {"P": P, "K": K, "Raw": Raw, "io": io, "o": types.SimpleNamespace(P=P),
             "keep": [], "drive": drive, "make": lambda: P}
    for index, (minimum, source) in enumerate(snippets.SNIPPETS):
        if VERSION < minimum:
            continue
        names = dict(space, __name__="snippet%d" % index)
        exec(compile(source, "snippet%d" % index, "exec"), names)
        yield names["run"]


def ignore(frame, event, arg):
    """A profile function."""


def run_called():
    global armed
    sys.meta_path.insert(0, Importer())
    for run in snippet_functions():
        for _ in range(40):  # until the specialiser had its say
            drive(run())
        armed = True
        for _ in range(3):
            drive(run())
        if VERSION >= (3, 12):  # INSTRUMENTED_CALL and the like
            sys.setprofile(ignore)
            drive(run())
            sys.setprofile(None)
        armed = False
        count("called_snippets")


# --- traced -------------------------------------------------------------------------------------


def run_traced(limit):
    seen = {}
    quota = [0]

    def depths_of(code, offset):
        entry = seen.get(code)
        if entry is None:
            entry = seen[code] = (Asked(code), {})
        asked, known = entry
        if offset not in known:
            site = asked.find(offset)
            known[offset] = tuple(site.depths)[:site.depth_count] if site else ()
        return known[offset]

    def tracer(frame, event, arg):
        if frame.f_code.co_filename == __file__ or sys.gettrace() is None:
            return None
        if VERSION >= (3, 7):
            frame.f_trace_opcodes = True
        # 3.12 and 3.13 save the depth for "line" only, the others for both, 3.6 has no "opcode".
        if event not in ("opcode", "line"):
            return tracer
        depth = value_stack(frame)[1]
        if depth is None:
            return tracer
        computed = depths_of(frame.f_code, frame.f_lasti)
        count("traced")
        if depth not in computed:
            fail("%s offset %d: depth is %d, computed %s", frame.f_code, frame.f_lasti, depth,
                 computed)
        elif len(computed) > 1:
            count("traced_uncertain_but_among")
        if counts["traced"] >= quota[0]:
            sys.settrace(None)
            frame.f_trace = None
            return None
        return tracer

    if VERSION >= (3, 7):
        sys._getframe().f_trace_opcodes = True  # 3.12 looks for it when tracing starts
    runs = list(snippet_functions()) + workloads.workloads()
    for left in range(len(runs), 0, -1):  # what one leaves over the later ones may use
        run = runs[-left]
        quota[0] = counts.get("traced", 0) + (limit - counts.get("traced", 0)) // left
        try:
            sys.settrace(tracer)
            drive(run())
        except Exception as error:
            sys.settrace(None)
            sys.stderr.write("workload %s: %r\n" % (run, error))
        finally:
            sys.settrace(None)
    count("traced_codes", len(seen))


def main():
    run_called()
    run_static(120)
    run_traced(int(sys.argv[2]))
    if os.environ.get("PYCORE_ORACLE_VERBOSE"):
        sys.stderr.write("\n".join(sorted(unnamed)) + "\n")
    print(json.dumps(counts, sort_keys=True))


main()
