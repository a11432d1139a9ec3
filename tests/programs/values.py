# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that hold values of all kinds as locals, and what repr() says of them.

usage: values.py

Prints one line of JSON, {key: text}, and READY. Each value is the local `value` of a frame of hold(),
whose local `key` names it. Where repr() would run Python code or say less than pycore does, the text
is put together here from what the program knows. Runs on Python 3.6 to 3.15.
"""

import array
import collections
import datetime
import decimal
import enum
import fractions
import functools
import io
import json
import math
import os
import pathlib
import random
import socket
import sys
import threading
import time
import types
import uuid
import weakref

NEW = sys.version_info
VALUES = []  # (key, value, text)
KEEP = []


def add(key, value, text=None):
    VALUES.append((key, value, repr(value) if text is None else text))


def numbers():
    for value in (0, 1, -1, 2**30 - 1, 2**30, -2**30, 2**60, 2**62, 2**63, 2**64 - 1, -2**64, 10**9,
                  10**18, 10**27 + 1, 10**100, -10**300, 3**500):
        add("int %d" % len(VALUES), value)
    add("int huge", 1 << 100000, "<int of 100001 bits>")
    add("int huge negative", -(1 << 100000), "<negative int of 100001 bits>")
    for value in (0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, 1e16, 1e15, 123456789012345680.0, 1e22, 1e-4,
                  1e-5, 1.5e-7, 5e-324, 1.7976931348623157e308, 2.0**53, math.pi, 1e100, 100.0,
                  float("inf"), float("-inf"), float("nan"), 9999999999999998.0, 0.00012345):
        add("float %d" % len(VALUES), value)
    chance = random.Random(5)
    for _ in range(40):
        add("float %d" % len(VALUES), chance.uniform(-1, 1) * 10.0**chance.randint(-30, 30))
    for value in (1j, complex(1, -2), complex(-0.0, 1), complex(0, -0.0), complex(1.5, 1e20),
                  complex(float("inf"), float("nan")), complex(-1, 0)):
        add("complex %d" % len(VALUES), value)
    for text in ("0", "-0", "1.10", "123.45", "-1E+10", "1E-10", "0.000001", "0.0000001", "NaN",
                 "Infinity", "-Infinity", "sNaN", "12345678901234567890123.456", "1E+3", "0E-7"):
        add("decimal " + text, decimal.Decimal(text))
    add("fraction", fractions.Fraction(-3, 7))
    for value in (True, False, None, Ellipsis, NotImplemented):
        add(repr(value), value)


def texts():
    for value in ("", "plain", "it's", '"quoted"', "'both\"", "tab\tnew\nret\r\\", "\x00\x1f\x7f",
                  "\xe9\xff", "\xa0\xad\x85", "\u20ac", "\u200b\u2028\ufeff", "\U0001f40d", "\ud800",
                  "mixed \U0001f40d \u20ac \xe9 a", "\ue000", "\u3000", "\u0301e", "x" * 200):
        add("str %d" % len(VALUES), value)
    add("str long", "ab" * 500, repr(("ab" * 500)[:200]) + "... (1000 chars)")
    for value in (b"", b"plain", b"it's", b"\x00\xff\n\t\\", bytes(range(32, 127)), b"x" * 200):
        add("bytes %d" % len(VALUES), value)
    add("bytes long", b"y" * 201, repr(b"y" * 200) + "... (201 bytes)")
    for value in (bytearray(), bytearray(b"abc"), bytearray(b"\x00'")):
        add("bytearray %d" % len(VALUES), value)
    shifted = bytearray(b"0123456789")
    del shifted[:3]
    add("bytearray shifted", shifted)


def containers():
    for value in ((), (1,), (1, "a"), [], [1, [2, [3]]], {}, {1: 2, "a": "b"}, set(), {7},
                  frozenset(), frozenset({"x"}), {(1, 2): [3]}, [None] * 20, {"k": {"k": {"k": 1}}},
                  range(5), range(1, 10, 2), range(10**20), slice(1, None, 2), slice(None)):
        add("container %d" % len(VALUES), value)
    add("list long", list(range(100)), "[%s, ... 80 more]" % ", ".join(map(str, range(20))))
    add("dict long", {i: i for i in range(50)},
        "{%s, ... 30 more}" % ", ".join("%d: %d" % (i, i) for i in range(20)))
    add("list deep", [[[[[[1]]]]]], "[[[[<list of 1>]]]]")
    add("dict deep", {1: {1: {1: {1: {1: 2}}}}}, "{1: {1: {1: {1: <dict of 1>}}}}")
    cyclic = [1]
    cyclic.append(cyclic)
    add("list cyclic", cyclic)
    loop = {}
    loop["me"] = loop
    add("dict cyclic", loop)
    inner = ([],)
    inner[0].append(inner)
    add("tuple cyclic", inner)
    holes = {i: i for i in range(10)}
    for i in range(0, 10, 2):
        del holes[i]
    add("dict with holes", holes)
    many = set(range(1000))
    for i in range(10, 1000):
        many.discard(i)
    add("set with dummies", many)
    ordered = collections.OrderedDict([("a", 1), ("b", [2]), ("c", 3)])
    add("ordered dict", ordered)
    moved = collections.OrderedDict(ordered)
    moved.move_to_end("a")
    del moved["b"]
    add("ordered dict moved", moved)
    add("ordered dict empty", collections.OrderedDict())
    add("default dict", collections.defaultdict(list, {"a": [1]}))
    add("default dict without", collections.defaultdict(None))
    add("deque", collections.deque([1, "a"]))
    add("deque bounded", collections.deque(range(5), maxlen=3))
    turned = collections.deque(range(70))
    turned.rotate(30)
    for _ in range(60):
        turned.pop()
    add("deque over blocks", turned)
    add("counter", collections.Counter("aab"))
    add("mapping proxy", types.MappingProxyType({"a": 1}))


def times():
    utc = datetime.timezone.utc
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    for value in (datetime.date(1, 1, 1), datetime.date(2026, 12, 31), datetime.time(0, 0),
                  datetime.time(1, 2, 3), datetime.time(1, 2, 0, 4), datetime.time(1, 2, tzinfo=utc),
                  datetime.datetime(2026, 1, 2, 3, 4), datetime.datetime(2026, 1, 2, 3, 4, 5, 678901),
                  datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=utc),
                  datetime.datetime(2026, 1, 2, 3, 4, fold=1), datetime.datetime(1, 1, 1, tzinfo=east),
                  utc, east, datetime.timezone(datetime.timedelta(hours=1), "CET")):
        add("time %d" % len(VALUES), value)
    for value in (datetime.timedelta(), datetime.timedelta(1), datetime.timedelta(-1, 5),
                  datetime.timedelta(microseconds=7), datetime.timedelta(400, 86399, 999999)):
        add("delta %d" % len(VALUES), value)


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Number(enum.IntEnum):
    FIVE = 5


Point = collections.namedtuple("Point", "x y")


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Normal:
    def __init__(self):
        self.a = 1
        self.b = "two"

    def method(self):
        pass


class Slots:
    __slots__ = ("first", "second", "unset")

    def __init__(self):
        self.first = 1
        self.second = [2]


class MoreSlots(Slots):
    __slots__ = ("third", "__dict__")

    def __init__(self):
        super().__init__()
        self.third = 3
        self.free = 4


class OwnText:
    def __repr__(self):
        raise RuntimeError("the program is not to be run")


class Text(str):
    pass


class Whole(int):
    pass


class Real(float):
    pass


class Listed(list):
    pass


class Mapped(dict):
    pass


class Grouped(set):
    pass


class Own(dict):
    def __repr__(self):
        return "something else"


class Failure(Exception):
    pass


def of(value, attributes=""):
    return "<%s.%s object at 0x%x%s>" % (__name__, type(value).__qualname__, id(value), attributes)


def instances():
    for value in (Color.RED, Color.BLUE, Number.FIVE):
        add(str(value) + " member", value,
            "<%s.%s: %r>" % (type(value).__name__, value.name, value.value))
    add("enum class", Color, "<enum 'Color'>")
    add("namedtuple", Point(1, "a"))
    add("struct sequence", time.gmtime(0))
    add("struct sequence with gaps", os.stat_result(range(10)))
    normal, plain, slots, more = Normal(), Plain(p=1), Slots(), MoreSlots()
    add("normal", normal, of(normal, ": a=1, b='two'"))
    later = Normal()
    later.c = None
    later.a = 2
    add("normal, attributes added", later, of(later, ": a=2, b='two', c=None"))
    as_dict = Normal()
    KEEP.append(as_dict.__dict__)
    add("normal with a dict", as_dict, of(as_dict, ": a=1, b='two'"))
    add("plain", plain, of(plain, ": p=1"))
    empty = Plain()
    add("empty", empty, of(empty))
    add("slots", slots, of(slots, ": first=1, second=[2]"))
    add("slots and dict", more, of(more, ": first=1, second=[2], third=3, free=4"))
    own = OwnText()
    add("own repr", own, of(own))
    me = Plain()
    me.me = me
    add("instance in itself", me, of(me, ": me=" + of(me)))
    for value in (Text("abc"), Whole(7), Whole(-2**70), Real(1.5), Listed([1]), Mapped(a=1),
                  Grouped([1])):
        add("derived %d" % len(VALUES), value)
    tall = Whole(2**100)
    tall.extra = 1
    add("derived with attributes", tall)
    add("derived with a repr", Own(a=1), "Own({'a': 1})")
    add("uuid", uuid.UUID(int=0x1234567812345678123456781234567))
    for path in (pathlib.PurePosixPath("/a/b/c.txt"), pathlib.Path("relative/x"), pathlib.Path(".")):
        add("path %s" % path, path)
        str(path)
        add("path %s, asked for" % path, path)
    try:
        import dataclasses
    except ImportError:
        return
    cls = dataclasses.make_dataclass("Data", [("x", int), ("y", str, "why"), (
        "hush", int, dataclasses.field(default=3, repr=False))])
    add("dataclass", cls(1))
    add("dataclass nested", cls(cls(2), "z"))
    if NEW >= (3, 10):
        cls = dataclasses.make_dataclass("Tight", [("x", int), ("y", int)], slots=True)
        add("dataclass with slots", cls(1, 2))


def generator():
    yield 1


async def coroutine():
    pass


async def async_generator():
    yield 1


def state(value, word):
    return "%s, %s>" % (repr(value)[:-1], word)


def callables():
    normal = Normal()
    for value in (callables, generator, lambda: 1, len, [].append, "x".join, int, type, Normal,
                  datetime.datetime, collections.OrderedDict, Color.__class__, sys, os, __import__(
                      "json"), types.ModuleType("made")):
        text = None
        if value is __import__("__main__"):
            text = "<module '__main__'>"
        elif isinstance(value, types.ModuleType):
            file = getattr(value, "__file__", None)
            text = "<module %r%s>" % (value.__name__, " from %r" % file if file else
                                      " (built-in)" if value.__name__ == "sys" else None or "")
            if value.__name__ == "made":
                text = "<module 'made'>"
        add("callable %d" % len(VALUES), value, text)
    add("method", normal.method, "<bound method Normal.method of %s>" % of(normal))
    new, ended, waiting = generator(), generator(), generator()
    list(ended)
    next(waiting)
    add("generator new", new, state(new, "created"))
    add("generator ended", ended, state(ended, "closed"))
    add("generator suspended", waiting, state(waiting, "suspended"))
    awaits = coroutine()
    add("coroutine", awaits, state(awaits, "created"))
    yields = async_generator()
    add("async generator", yields, state(yields, "created"))
    partial = functools.partial(len, [1], key=2)
    add("partial", partial, "functools.partial(<built-in function len>, *([1],), **{'key': 2})")
    KEEP.append(normal)
    reference = weakref.ref(normal)
    add("weakref", reference, "<weakref at 0x%x; to 'Normal' at 0x%x>" % (id(reference), id(normal)))
    gone = weakref.ref(Normal())
    add("weakref dead", gone, "<weakref at 0x%x; dead>" % id(gone))
    cell = (lambda: normal).__closure__[0]
    add("cell", cell, "<cell at 0x%x: %s>" % (id(cell), of(normal, ": a=1, b='two'")))
    for error in (ValueError("bad"), KeyError(1), OSError(2, "none"), Failure(), Failure("a", 2)):
        add("exception %d" % len(VALUES), error)
    code = callables.__code__
    add("code", code)
    made = property(len)
    add("property", made, "<property object at 0x%x>" % id(made))
    lock, held = threading.Lock(), threading.Lock()
    held.acquire()
    for value in (lock, held):
        add("lock %d" % len(VALUES), value)


def files():
    null = open(os.devnull)
    raw = open(os.devnull, "rb", buffering=0)
    closed = open(os.devnull, "rb")
    closed.close()
    pair = socket.socketpair()
    for value in (null, null.buffer, raw):
        add("file %d" % len(VALUES), value, "<_io.%s fd=%d>" % (type(value).__name__, value.fileno()))
    add("file closed", closed, "<_io.BufferedReader [closed]>")
    add("socket", pair[0], "<socket.socket fd=%d, family=%d, type=%d, proto=0>" % (
        pair[0].fileno(), pair[0].family, pair[0].type))
    shut = socket.socket()
    shut.close()
    add("socket closed", shut, "<socket.socket [closed]>")
    add("other", array.array("i"), "<array.array object at 0x%x>" % id(VALUES[-1][1]))
    VALUES.pop()
    add("StringIO", io.StringIO, None)
    KEEP.append(pair)


def arrays():
    try:
        import numpy
    except ImportError:
        return
    for value, text in (
            (numpy.arange(3), "shape=(3,), dtype=int64, [0, 1, 2]"),
            (numpy.array([[1.5, 2.0], [0.1, -1e30]]),
             "shape=(2, 2), dtype=float64, [1.5, 2.0, 0.1, -1e+30]"),
            (numpy.arange(6).reshape(2, 3).T, "shape=(3, 2), dtype=int64, [0, 3, 1, 4, 2, 5]"),
            (numpy.arange(10)[::-2], "shape=(5,), dtype=int64, [9, 7, 5, 3, 1]"),
            (numpy.array(7, "u1"), "shape=(), dtype=uint8, [7]"),
            (numpy.zeros((0, 3), "f4"), "shape=(0, 3), dtype=float32, []"),
            (numpy.array([True, False]), "shape=(2,), dtype=bool, [True, False]"),
            (numpy.array([1, 0.5, -2], "f2"), "shape=(3,), dtype=float16, [1.0, 0.5, -2.0]"),
            (numpy.array([0.1], "f4"), "shape=(1,), dtype=float32, [0.1]"),
            (numpy.array(["a", "bcd"]), "shape=(2,), dtype=<U3"),
            (numpy.array([b"ab"]), "shape=(1,), dtype=S2"),
            (numpy.array([None, "x"], "O"), "shape=(2,), dtype=object, [None, 'x']"),
            (numpy.arange(100, dtype="i2"), "shape=(100,), dtype=int16, [%s, ... 80 more]"
             % ", ".join(map(str, range(20))))):
        add("array %d" % len(VALUES), value, "array(%s)" % text)
    add("numpy int", numpy.int32(-5), "numpy.int32(-5)")
    add("numpy bool", numpy.bool_(True), "numpy.%s(True)" % type(numpy.bool_(True)).__name__)


def hold(values, ready):
    if not values:
        ready.set()
        time.sleep(100000)
    key, value, _ = values[0]
    hold(values[1:], ready)
    return key, value


def main():
    for make in (numbers, texts, containers, times, instances, callables, files, arrays):
        make()
    assert len({key for key, _, _ in VALUES}) == len(VALUES), "a key twice"
    print(json.dumps({key: text for key, _, text in VALUES}))
    for start in range(0, len(VALUES), 100):
        ready = threading.Event()
        threading.Thread(target=hold, args=(VALUES[start:start + 100], ready), daemon=True).start()
        ready.wait()
    print("READY")
    sys.stdout.flush()
    time.sleep(100000)


sys.setrecursionlimit(10000)
main()
