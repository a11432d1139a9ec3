# SPDX-License-Identifier: GPL-3.0-or-later
"""Situations in which Python is called by C that Python called, and C calls of all shapes."""

import cProfile
import ctypes
import functools
import gc
import heapq
import io
import json
import os
import pickle
import pstats
import re
import select
import socket
import sys
import threading
import time
import warnings
import weakref

from situations import LIBC, PARK, park, situation

# ---- Python called by C --------------------------------------------------------------------------


@situation(sort_with_key="{built-in method builtins.sorted}")
def sort_with_key():
    def key(item):
        park()
        return item
    return sorted([3, 1, 2], key=key)


@situation(sort_in_place="{method 'sort' of 'list' objects}")
def sort_in_place():
    [3, 1, 2].sort(key=lambda item: park())


@situation(sort_in_sort="{built-in method builtins.sorted}",
           outer="{built-in method builtins.sorted}", inner="{built-in method posix.read}")
def sort_in_sort():
    def inner(item):
        os.read(PARK, 1)

    def outer(item):
        return sorted([2, 1], key=inner)[0]
    sorted([3, 1, 2], key=outer)


@situation()
def mapping():
    return list(map(lambda item: park(), filter(lambda item: True, [1, 2])))


@situation(reducing="{built-in method _functools.reduce}")
def reducing():
    functools.reduce(lambda left, right: park(), [1, 2, 3])


@situation(substituting="{method 'sub' of 're.Pattern' objects}" if sys.version_info >= (3, 7) else
           "{method 'sub' of '_sre.SRE_Pattern' objects}")
def substituting():
    pattern = re.compile("b")
    pattern.sub(lambda match: park(), "abc")


@situation()
def c_callback():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: park())
    array = (ctypes.c_int * 3)(3, 1, 2)
    LIBC.qsort(array, 3, 4, compare)


@situation()
def finalizer():
    class Dying:
        def __del__(self):
            park()
    dying = Dying()
    del dying
    return None


@situation()
def weak_callback():
    class Thing:
        pass
    thing = Thing()
    reference = weakref.ref(thing, lambda dead: park())
    thing = None
    return reference


class Key:
    def __init__(self, park_in):
        self.park_in = park_in

    def __hash__(self):
        if self.park_in == "hash":
            park()
        return 1

    def __eq__(self, other):
        if "eq" in (self.park_in, other.park_in):
            park()
        return True


@situation()
def equal_in_dict():
    return {Key(None): 1}[Key("eq")]


@situation(hash_in_dict="{built-in method builtins.hash}")
def hash_in_dict():
    hash(Key("hash"))


@situation(get_from_dict="{method 'get' of 'dict' objects}")
def get_from_dict():
    {Key(None): 1}.get(Key("eq"))


class Meta(type):
    def __call__(cls, *args, **kwargs):
        park()
        return super().__call__(*args, **kwargs)

    @classmethod
    def __prepare__(mcs, name, bases, parked=False):
        if parked:
            park()
        return {}

    def __new__(mcs, name, bases, namespace, parked=False):
        return super().__new__(mcs, name, bases, namespace)

    def __init__(cls, name, bases, namespace, parked=False):
        super().__init__(name, bases, namespace)


@situation()
def metaclass_call():
    class Made(metaclass=Meta):
        pass
    Made()


@situation()
def metaclass_prepare():
    class Made(metaclass=Meta, parked=True):
        pass


@situation()
def class_body():
    class Body:
        field = 1
        class Inner:
            parked = park()


@situation()
def subclass_hook():
    class Base:
        def __init_subclass__(cls, **options):
            park()
    class Derived(Base):
        pass


@situation()
def set_name():
    class Descriptor:
        def __set_name__(self, owner, name):
            park()
    class Owner:
        field = Descriptor()


class Lazy:
    __slots__ = ("slot",)

    @property
    def value(self):
        return park()

    def __getattr__(self, name):
        if name == "missing":
            park()
        raise AttributeError(name)

    def __setattr__(self, name, value):
        park()

    def __delattr__(self, name):
        park()

    def __getitem__(self, key):
        return park()

    def __setitem__(self, key, value):
        park()

    def __contains__(self, item):
        return park()

    def __call__(self, *args, **kwargs):
        return park()

    def __len__(self):
        return park()

    def __bool__(self):
        return park()

    def __iter__(self):
        return park()

    def __add__(self, other):
        return park()

    def __radd__(self, other):
        return park()

    def __iadd__(self, other):
        return park()

    def __lt__(self, other):
        return park()

    def __index__(self):
        return park()

    def __str__(self):
        return park()

    def __repr__(self):
        return park()

    def __format__(self, spec):
        return park()

    def __reduce_ex__(self, protocol):
        return park()

    def __next__(self):
        return park()


class Greedy:
    def __getattribute__(self, name):
        park()


def operations():
    lazy = Lazy()

    def assign(): lazy.field = 1
    def delete(): del lazy.field
    def store(): lazy["key"] = 1
    def add_in_place():
        other = lazy
        other += 1
    def unpack(): a, b = lazy
    def loop():
        for item in lazy:
            pass
    def branch():
        if lazy:
            pass
        else:
            return
    def star(): print(*lazy)
    found = {
        "property": lambda: lazy.value,
        "getattr": lambda: lazy.missing,
        "getattr_c": lambda: getattr(lazy, "missing"),
        "getattribute": lambda: Greedy().anything,
        "setattr": assign, "delattr": delete, "setitem": store, "iadd": add_in_place,
        "unpack": unpack, "for": loop, "if": branch, "star": star,
        "getitem": lambda: lazy["key"],
        "contains": lambda: 1 in lazy,
        "call": lambda: lazy(1, *[2], key=3, **{"other": 4}),
        "len": lambda: len(lazy),
        "add": lambda: lazy + 1,
        "radd": lambda: 1 + lazy,
        "lt": lambda: lazy < 1,
        "index": lambda: [1, 2, 3][lazy],
        "str": lambda: str(lazy),
        "percent": lambda: "%s" % (lazy,),
        "fstring": lambda: f"{1} {lazy:>10} {2}",
        "repr": lambda: f"{lazy!r}",
        "format": lambda: "{0}".format(lazy),
        "next": lambda: next(lazy),
        "pickle": lambda: pickle.dumps(lazy, 2),
        "max": lambda: max([1, 2], key=lambda item: park()),
        "min": lambda: min(1, lazy),
        "sum": lambda: sum([lazy, lazy]),
        "any": lambda: any(park() for item in [1, 2]),
        "join": lambda: "".join(str(park()) for item in [1, 2]),
        "heap": lambda: heapq.heappush([lazy], lazy),
        "json": lambda: json.dumps({"a": [object()]}, default=lambda thing: park()),
        "partial": lambda: functools.partial(lazy, 1)(2),
        "cached": lambda: functools.lru_cache(None)(lambda number: park())(1),
        "exec": lambda: exec("park()", {"park": park}),
        "eval": lambda: eval("[park() for number in (1,)]", {"park": park}),
        "type": lambda: type("Made", (), {"__init__": lambda self: park()})(),
        "slice": lambda: "abc"[lazy:],
        "range": lambda: range(lazy),
        "isinstance": lambda: isinstance(1, type("Abstract", (type,), {
            "__instancecheck__": lambda cls, thing: park()})("Abstract", (), {})),
    }
    return found


for _name, _function in operations().items():
    situation(name="operation-" + _name)(_function)


@situation()
def raw_stream():
    class Raw(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            park()
            return 0
    for line in io.TextIOWrapper(io.BufferedReader(Raw())):
        pass


@situation(codec_error="{method 'encode' of 'str' objects}")
def codec_error():
    import codecs
    codecs.register_error("park", lambda error: park())
    "\u20ac".encode("ascii", "park")


@situation()
def importing():
    folder = os.path.join(sys.argv[1], "modules")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "parked_module.py"), "w") as stream:
        stream.write("import os\nfrom situations import park\nclass Loading:\n    value = park()\n")
    sys.path.append(folder)
    import parked_module
    return parked_module


@situation()
def warning():
    class Loud(warnings.catch_warnings):
        pass
    def shown(*args, **kwargs):
        park()
    registry = {}
    namespace = {"warnings": warnings, "__warningregistry__": registry}
    # Not through catch_warnings: that would change the filters of all threads.
    original = warnings._showwarnmsg
    def mine(message):
        if threading.current_thread().name == "warning":
            shown(message)
        else:
            original(message)
    warnings._showwarnmsg = mine
    warnings.filterwarnings("always", "parked", UserWarning)
    exec("warnings.warn('parked')", namespace)


@situation()
def thread_local():
    class Local(threading.local):
        def __init__(self):
            park()
    Local()


@situation(tracing=True)  # not where the GIL's holder is asked for: the collection is not its own
def garbage_finalizer():
    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            if threading.current_thread().name == "garbage_finalizer":
                park()
    gc.disable()
    Cycle()
    gc.collect()


# ---- Calls into C that block ---------------------------------------------------------------------

# The name of each is what this interpreter's own profiler makes of the same call, done with an
# argument that does not block.

def profiled(function, argument):
    """The builtin that `function` calls, in the words of pstats."""
    profile = cProfile.Profile()
    profile.runcall(function, argument)
    names = [key[2] for key in pstats.Stats(profile).stats if key[0] == "~"]
    names = ["{%s}" % name[1:-1] if name[:1] == "<" else name for name in names]
    names = [name for name in names if "_lsprof" not in name and " '__e" not in name]
    assert len(names) == 1, (function, names)
    return names[0]


def sleep_plainly(seconds):
    time.sleep(seconds)


def sleep_by_star(seconds):
    arguments = (seconds,)
    time.sleep(*arguments)


sleep_alias = time.sleep


def sleep_by_global(seconds):
    sleep_alias(seconds)


def sleep_by_local(seconds):
    nap = time.sleep
    nap(seconds)


def sleep_in_expression(seconds):
    return [1, (2, {"a": 3, "b": time.sleep(seconds)}), 4]


def sleep_nested(seconds):
    for number in range(2):
        with memoryview(b"") as view:
            try:
                for other in (1, 2):
                    try:
                        pass
                    finally:
                        while True:
                            time.sleep(seconds)
                            return view
            finally:
                number = other


def sleep_in_except(seconds):
    try:
        1 / 0
    except ZeroDivisionError as error:
        try:
            raise KeyError(error)
        except KeyError:
            for number in (1,):
                time.sleep(seconds)


def sleep_in_finally(seconds):
    try:
        try:
            raise KeyError
        finally:
            time.sleep(seconds)
    except KeyError:
        pass


def sleep_in_finally_calm(seconds):
    for number in (1, 2):
        try:
            number = 3
        finally:
            time.sleep(seconds)
        break


def sleep_in_loop(seconds):
    for number in (1, 2):
        for other in (3, 4):
            time.sleep(seconds)
            return


def sleep_in_comprehension(seconds):
    [time.sleep(number) for number in [seconds]]


def read_descriptor(descriptor):
    os.read(descriptor, 1)


def wait_on_poll(timeout):
    POLL.poll(timeout)


def wait_on_select(timeout):
    select.select([], [], [], timeout)


def wait_on_epoll(timeout):
    EPOLL.poll(timeout)


def acquire_lock(pair):
    pair[0].acquire(timeout=pair[1])


def acquire_positionally(pair):
    pair[0].acquire(True, pair[1])


def acquire_by_keywords(pair):
    pair[0].acquire(**{"blocking": True, "timeout": pair[1]})


def acquire_reentrant(pair):
    pair[0].acquire(True, pair[1])


def enter_lock(lock):
    with lock:
        return 1


def enter_second(lock):
    with memoryview(b"") as view, lock:
        return view


def receive(end):
    end.recv(1)


def receive_into(end):
    end.recv_into(bytearray(1))


def accept(listener):
    try:
        listener._accept()
    except OSError:
        pass


POLL = select.poll()
EPOLL = select.epoll()
FOREVER = 100000


def taken(kind):
    """A lock that another thread holds, for good."""
    lock = kind()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    return lock


def quick_end(closed=False):
    left, right = socket.socketpair()
    if closed:
        left.close()
    KEPT.append((left, right))
    return right


def quick_listener():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0pycore-test-%d-%d" % (os.getpid(), len(KEPT)))
    listener.listen(1)
    KEPT.append(listener)
    return listener


def refusing_listener():
    listener = quick_listener()
    listener.setblocking(False)
    return listener


KEPT = []

for _function in (sleep_plainly, sleep_by_star, sleep_by_global, sleep_by_local,
                  sleep_in_expression, sleep_nested, sleep_in_except, sleep_in_finally,
                  sleep_in_finally_calm, sleep_in_loop):
    situation({_function.__name__: profiled(_function, 0)}, name=_function.__name__)(
        functools.partial(_function, FOREVER))

for _function, _quick, _slow in (
        (read_descriptor, os.open(os.devnull, os.O_RDONLY), PARK),
        (wait_on_poll, 0, FOREVER * 1000), (wait_on_epoll, 0, FOREVER), (wait_on_select, 0, FOREVER),
        (acquire_lock, (threading.Lock(), 1), (taken(threading.Lock), FOREVER)),
        (acquire_positionally, (threading.Lock(), 1), (taken(threading.Lock), FOREVER)),
        (acquire_by_keywords, (threading.Lock(), 1), (taken(threading.Lock), FOREVER)),
        (acquire_reentrant, (threading.RLock(), 1), (taken(threading.RLock), FOREVER)),
        (receive, quick_end(True), quick_end()), (receive_into, quick_end(True), quick_end()),
        (accept, refusing_listener(), quick_listener())):
    situation({_function.__name__: profiled(_function, _quick)}, name=_function.__name__)(
        functools.partial(_function, _slow))

# The profiler of 3.6 to 3.13 is not told of __enter__: the name is what it says of acquire.
for _function in (enter_lock, enter_second):
    for _kind in (threading.Lock, threading.RLock):
        _name = "%s_%s" % (_function.__name__, _kind.__name__)
        situation({_function.__name__: "{method '__enter__' of '%s.%s' objects}" % (
            type(_kind()).__module__, type(_kind()).__name__)}, name=_name)(
                functools.partial(_function, taken(_kind)))


@situation(read_a_line="{method 'readline' of '_io.BufferedReader' objects}")
def read_a_line():
    KEPT.append(os.pipe())
    stream = os.fdopen(KEPT[-1][0], "rb")
    stream.readline()


@situation(read_lines="{slot wrapper '__next__' of '_io.BufferedReader' objects}")
def read_lines():
    KEPT.append(os.pipe())
    for line in os.fdopen(KEPT[-1][0], "rb"):
        pass


@situation(call_c=None)  # a ctypes function: profilers know no name for it
def call_c():
    LIBC.pause()
