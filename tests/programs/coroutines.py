# SPDX-License-Identifier: GPL-3.0-or-later
"""Generators, coroutines and async generators in every state, and what the interpreter itself says of
them: a JSON line {label: facts}, one of what the collector knows, then READY.

facts: object (its address), kind, state (of inspect), name, qualname, frames (innermost first: name, file,
line), end (address of what the innermost one awaits, 0: nothing), running. Suspends itself without an event loop: coroutines are driven by hand.
"""

import gc
import inspect
import json
import sys
import time
import types

FACTS = {}
FRESH = set()  # async generators that have not begun
KEPT = []
KINDS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


# ---- The oracle ----------------------------------------------------------------------------------

PREFIXES = {"generator": "gi", "coroutine": "cr", "async_generator": "ag"}
STATES = {"generator": inspect.getgeneratorstate, "coroutine": inspect.getcoroutinestate}


def kind_of(thing):
    return type(thing).__name__


def part(thing, name):
    return getattr(thing, "%s_%s" % (PREFIXES[kind_of(thing)], name))


def is_on_stack(frame):
    at = sys._getframe()
    while at is not None and at is not frame:
        at = at.f_back
    return at is not None


def state_of(thing):
    frame = part(thing, "frame")
    if kind_of(thing) in STATES:
        return STATES[kind_of(thing)](thing).split("_")[1].lower().replace("closed", "done")
    # ag_running says whether somebody is inside of one of its methods, which may be suspended.
    return ("done" if frame is None else "running" if is_on_stack(frame) else
            "created" if id(thing) in FRESH or frame.f_lasti == -1 else "suspended")


def awaited(thing):
    return thing.gi_yieldfrom if kind_of(thing) == "generator" else part(thing, "await")


def place(thing):
    code = part(thing, "code")
    return [code.co_name, code.co_filename, part(thing, "frame").f_lineno]


# What these stand for cannot be asked of Python itself, but of the collector.
def wrapped(thing):
    if kind_of(thing) in ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow",
                          "anext_awaitable"):
        return gc.get_referents(thing)[0]
    return None


def follow(thing):
    """(frames, what the innermost one awaits, whether it runs), and what is met on the way."""
    frames, met, at = [], [], thing
    while at is not None:
        if kind_of(at) not in PREFIXES:
            inner = wrapped(at)
            if inner is None:
                return frames, at, False, met
            at = inner
            continue
        met.append(at)
        state = state_of(at)
        if state in ("running", "done"):
            return frames, at if state == "done" else None, state == "running", met
        frames.insert(0, place(at))
        at = awaited(at)
    return frames, None, False, met


def note(label, thing):
    frames, end, running, _ = follow(thing)
    facts = {"object": id(thing), "frames": frames, "end": id(end) if end is not None else 0,
             "running": running}
    if kind_of(thing) in PREFIXES:
        facts.update(kind=kind_of(thing), state=state_of(thing), name=thing.__name__,
                     qualname=thing.__qualname__)
    FACTS[label] = facts
    KEPT.append((thing, end))


def outermost(things):
    """Those that are suspended and that no other one delegates to: {address: [kind, begun, frames]}."""
    waiting = [thing for thing in things if state_of(thing) in ("created", "suspended")]
    chains = [follow(thing) for thing in waiting]
    inner = {id(other) for chain in chains for other in chain[3][1:]}
    return {id(thing): [kind_of(thing).replace("_", "-"), state_of(thing) == "suspended", chain[0]]
            for thing, chain in zip(waiting, chains) if id(thing) not in inner}


# ---- What there is -------------------------------------------------------------------------------

class Pause:
    """Third-party: its __await__ is a generator."""

    def __await__(self):
        return (yield self)


class Iterator:
    """... and an iterator of its own."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return None


def plain(count):
    for i in range(count):
        yield i


def delegate(inner):
    result = yield from inner
    return result


def returns_three():
    return 3
    yield


@types.coroutine
def old_style():
    yield "old"


async def pause():
    await Pause()


async def iterate():
    await Iterator()


async def deep(depth):
    if depth:
        await deep(depth - 1)
    else:
        await pause()


async def awaits(thing):
    return await thing


async def numbers(wait):
    yield 1
    await wait
    yield 2


async def each(source):
    async for number in source:
        pass


async def enters(manager):
    async with manager:
        await pause()


class Manager:
    async def __aenter__(self):
        await pause()

    async def __aexit__(self, *exc):
        pass


class Named:
    async def method(self):
        values = [
            await old_style(),
            await pause(),
        ]
        return values


def begun(thing, steps=1):
    """Runs it to where it waits (a coroutine, or what an async generator's methods give)."""
    for _ in range(steps):
        thing.send(None)
    return thing


def finish(thing):
    """What a step of an async generator gives, which ends by StopIteration."""
    try:
        while True:
            thing.send(None)
    except StopIteration as end:
        return end.value


def generators():
    note("created", plain(3))
    note("suspended", begun(plain(3)))
    used = plain(1)
    list(used)
    note("done", used)
    inner = begun(plain(3))
    note("delegates", begun(delegate(delegate(inner))))
    note("inner", inner)
    note("delegates to an iterator", begun(delegate(iter([1, 2]))))
    renamed = begun(plain(2))
    renamed.__name__, renamed.__qualname__ = "other", "Other.name"
    note("renamed", renamed)
    note("expression", begun(i for i in [1, 2, 3]))
    note("after a value", begun(delegate(delegate(plain(5))), 3))
    note("lambda", begun((lambda: (yield))()))
    nothing = returns_three()
    note("returns at once", nothing)


def coroutines():
    note("coroutine created", pause())
    note("coroutine", begun(pause()))
    note("third-party iterator", begun(iterate()))
    note("deep", begun(deep(30)))
    note("old style", begun(old_style()))
    note("awaits old style", begun(awaits(old_style())))
    note("method", begun(Named().method()))
    note("method, second line", begun(Named().method(), 2))
    note("wrapper", begun(pause().__await__()))
    note("enters", begun(enters(Manager())))
    note("entered", begun(enters(Manager()), 2))
    over = pause()
    over.close()
    note("coroutine done", over)


def async_generators():
    created = numbers(pause())
    FRESH.add(id(created))
    note("async created", created)
    at_yield = numbers(pause())
    finish(at_yield.__anext__())
    note("async at its yield", at_yield)
    waiting = numbers(pause())
    finish(waiting.__anext__())
    step = begun(waiting.__anext__())
    note("async awaits", waiting)
    note("step of an async generator", step)
    note("async for", begun(each(numbers(pause())), 1))
    sent = numbers(pause())
    finish(sent.asend(None))
    note("awaits asend", begun(awaits(sent.asend(5))))
    thrown = numbers(pause())
    finish(thrown.__anext__())
    begun(thrown.__anext__())

    async def cleans_up():
        try:
            yield 1
        finally:
            await pause()

    closing = cleans_up()
    finish(closing.__anext__())
    note("awaits aclose", begun(awaits(closing.aclose())))
    if sys.version_info >= (3, 10):
        given = numbers(pause())
        finish(given.__anext__())
        note("anext with a default", begun(awaits(anext(given, None))))


def executing():
    """A generator that runs while this is written, and one that delegates to it."""
    state = {}

    def running():
        note("running", state["self"])
        note("runs inside of another", state["outer"])
        yield from say()

    state["self"] = running()
    state["outer"] = delegate(state["self"])
    KEPT.append(state)
    next(state["outer"])


def say():
    sys.stdout.write(json.dumps(FACTS) + "\n")
    gc.collect()
    objects = gc.get_objects()
    things = [thing for thing in objects if type(thing) in KINDS]
    frozen = gc.get_freeze_count() if hasattr(gc, "get_freeze_count") else 0  # 3.12 freezes some
    heap = {"objects": len(objects) + frozen, "generators": sorted([id(thing) for thing in things]),
            "outermost": outermost(things)}
    text = json.dumps(heap)
    del objects, things, heap
    sys.stdout.write(text + "\n")
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    while True:
        time.sleep(1000)
    yield


generators()
coroutines()
async_generators()
gc.collect()
executing()
