# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that wait for all there is, in several loops and threads; what the program itself says of them is
a JSON line {id of the task: facts}, then READY.

facts: label, name, coroutine, state, cancelling, loop (id), frames (innermost first: function, file,
line), of a finished one its exception; and what the scene says: awaits (labels of tasks), kind, what,
type. `asleep`: all loops wait for their selectors. `blocked`: a task of the main loop sleeps as it may not,
others have their turn after it.
"""

import asyncio
import asyncio.tasks
import concurrent.futures
import functools
import gc
import inspect
import json
import os
import socket
import sys
import threading
import time

FACTS = {}   # label: what the scene says
TASKS = {}   # label: task
KEPT = []    # what must live
LONG_S = 5000
VERSION = sys.version_info[:2]
_PyTask = asyncio.tasks._PyTask


# ---- The oracle ----------------------------------------------------------------------------------

def line_of(frame):
    return [frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno]


def inside(thing):
    """What a coroutine, or what stands for one, waits for."""
    for prefix, awaited in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        if hasattr(thing, prefix + "_frame"):
            return getattr(thing, prefix + "_frame"), getattr(thing, awaited)
    if type(thing).__name__ in ("coroutine_wrapper", "async_generator_asend",
                                "async_generator_athrow", "anext_awaitable"):
        return None, next(iter(gc.get_referents(thing)), None)
    return None, None


def chain_of(coroutine):
    frames = []
    while coroutine is not None:
        frame, coroutine = inside(coroutine)
        if frame is not None:
            frames.append(line_of(frame))
    return frames[::-1]


def state_of(task):
    coroutine = task._coro
    waiter = task._fut_waiter
    if task.done():
        return "finished"
    if inspect.iscoroutine(coroutine):
        state = inspect.getcoroutinestate(coroutine)
        if state in ("CORO_CREATED", "CORO_RUNNING"):
            return state[5:].lower()
    return "ready" if waiter is None or waiter.done() else "waiting"


def stack_of(task):
    """Frames of the running one, innermost first, up to its coroutine's."""
    frames, frame = [], sys._getframe(2)
    while frame is not None:
        frames.append(line_of(frame))
        if frame is task._coro.cr_frame:
            break
        frame = frame.f_back
    return frames


def facts_of(label, task):
    running = state_of(task) == "running"
    return dict(
        FACTS.get(label, {}),
        label=label,
        name=task.get_name() if hasattr(task, "get_name") else None,
        coroutine=task._coro.__qualname__ if hasattr(task._coro, "__qualname__") else None,
        state=state_of(task),
        cancelling=bool(getattr(task, "cancelling", int)()) or task._must_cancel,
        loop=id(task._loop),
        frames=[] if task.done() else stack_of(task) if running else chain_of(task._coro))


def all_tasks():
    if VERSION < (3, 7):
        return [task for loop in LOOPS for task in asyncio.Task.all_tasks(loop) |
                _PyTask.all_tasks(loop) if not task.done()]
    # 3.14+: the function in C does not know tasks in Python.
    in_python = getattr(asyncio.tasks, "_py_all_tasks", asyncio.all_tasks)
    return [task for loop in LOOPS for task in asyncio.all_tasks(loop) | in_python(loop)]


def tell():
    labels = {id(task): label for label, task in TASKS.items()}
    tasks = set(all_tasks()) | {task for task in TASKS.values()
                                if task.done() and not task.cancelled()}
    facts = {id(task): facts_of(labels.get(id(task), "?"), task) for task in tasks}
    print(json.dumps(facts))
    print("READY", flush=True)


# ---- Scenes --------------------------------------------------------------------------------------

LOOPS = []


def start(label, coroutine, kind=None, what=None, type=None, awaits=(), make=None, **more):
    task = make(coroutine) if make else asyncio.ensure_future(coroutine)
    TASKS[label] = task
    FACTS[label] = dict(more, kind=kind, what=what, type=type, awaits=list(awaits))
    return task


def leaf(label, **options):
    return start(label, asyncio.sleep(LONG_S), kind="sleep", **options)


async def nested(depth, inner):
    if depth:
        return await nested(depth - 1, inner)
    return await inner()


async def forever():
    await asyncio.sleep(LONG_S)


class Gatherer:
    async def gather(self, tasks):
        return await asyncio.gather(*tasks)


async def wait_all(tasks):
    await asyncio.wait(tasks)


async def completed(tasks):
    for one in asyncio.as_completed(tasks):
        await one


async def shielded(task):
    await asyncio.shield(task)


async def limited(task):
    await asyncio.wait_for(task, LONG_S)


async def limited_coroutine():
    await asyncio.wait_for(forever(), LONG_S)


async def direct(task):
    return await task


def groups():
    leaf("gathered 1")
    leaf("gathered 2")
    start("gather", Gatherer().gather([TASKS["gathered 1"], TASKS["gathered 2"]]), "several",
          type="_GatheringFuture", awaits=["gathered 1", "gathered 2"])
    leaf("waited 1")
    leaf("waited 2")
    start("wait", wait_all([TASKS["waited 1"], TASKS["waited 2"]]), "several",
          awaits=["waited 1", "waited 2"])
    leaf("completing")
    start("as_completed", completed([TASKS["completing"]]), "several",
          awaits=["completing"])
    leaf("below shield")
    start("shield", shielded(TASKS["below shield"]), "task", type="Future",
          awaits=["below shield"])
    leaf("limited")
    start("wait_for", limited(TASKS["limited"]), "task", type="Task", awaits=["limited"])
    leaf("awaited")
    start("direct", direct(TASKS["awaited"]), "task", type="Task", awaits=["awaited"])
    start("deep", nested(1000, functools.partial(direct, TASKS["awaited"])), "task", type="Task",
          awaits=["awaited"])


async def grouped():
    async with asyncio.TaskGroup() as group:
        for name in ("in group 1", "in group 2"):
            TASKS[name] = group.create_task(forever(), name=name)
            FACTS[name] = {"kind": "sleep", "awaits": []}


async def limited_by_block():
    async with asyncio.timeout(LONG_S):
        await asyncio.sleep(LONG_S)


def newer():
    if VERSION >= (3, 11):
        start("TaskGroup", grouped(), "several", type="TaskGroup",
              awaits=["in group 1", "in group 2"])
        start("timeout", limited_by_block(), "sleep")
    if VERSION >= (3, 12):
        loop = asyncio.get_running_loop()
        start("eager", nested(2, forever), "sleep",
              make=lambda coroutine: asyncio.Task(coroutine, loop=loop, eager_start=True))


class Guarded:
    def __init__(self):
        self.lock = asyncio.Lock()
        self.condition = asyncio.Condition()

    async def hold(self):
        async with self.lock:
            await asyncio.sleep(LONG_S)

    async def want(self):
        async with self.lock:
            pass

    async def notified(self):
        async with self.condition:
            await self.condition.wait()


async def happen(event):
    await event.wait()


async def enter(semaphore):
    async with semaphore:
        await asyncio.sleep(LONG_S)


async def get(jobs):
    return await jobs.get()


async def put(full):
    await full.put(2)


async def join(full):
    await full.join()


async def meet(barrier):
    await barrier.wait()


def locks():
    guarded = Guarded()
    start("holder", guarded.hold(), "sleep")
    start("lock", guarded.want(), "lock", "self.lock", "Lock", holder="holder")
    start("condition", guarded.notified(), "condition", "self.condition", "Condition")
    start("event", happen(asyncio.Event()), "event", "event", "Event")
    semaphore = asyncio.Semaphore(1)
    start("in semaphore", enter(semaphore), "sleep")
    start("semaphore", enter(semaphore), "semaphore", "semaphore", "Semaphore")
    full = asyncio.Queue(maxsize=1)
    full.put_nowait(1)
    start("get", get(asyncio.Queue()), "queue-get", "jobs", "Queue")
    start("put", put(full), "queue-put", "full", "Queue")
    start("join", join(full), "queue-join", "full", "Queue")
    if VERSION >= (3, 11):
        start("barrier", meet(asyncio.Barrier(2)), "barrier", "barrier", "Barrier")


async def numbers():
    for number in range(10):
        await asyncio.sleep(0)
        yield number
        await asyncio.sleep(LONG_S)


async def iterate():
    async for _ in numbers():
        pass


async def send_to():
    generator = numbers()
    await generator.asend(None)
    await generator.asend(None)


class Awaitable:
    """Its iterator is a generator."""

    def __init__(self, future):
        self.future = future

    def __await__(self):
        yield from asyncio.shield(self.future).__await__()


class Iterator:
    """An iterator without a frame, which yields a future as asyncio's own do."""

    def __init__(self, future):
        self.future = future

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        self.future._asyncio_future_blocking = True
        return self.future


async def foreign(awaitable):
    await awaitable


async def bare(future):
    await future


if VERSION < (3, 11):
    @asyncio.coroutine
    def of_generators(depth):
        if depth:
            yield from of_generators(depth - 1)
        yield from asyncio.sleep(LONG_S)


def iterators():
    if VERSION < (3, 11):
        start("of generators", of_generators(2), "sleep")
    start("async for", iterate(), "sleep")
    start("asend", send_to(), "sleep")
    loop = asyncio.get_event_loop()
    leaf("below awaitable")
    start("awaitable", foreign(Awaitable(TASKS["below awaitable"])), "task", type="Future",
          awaits=["below awaitable"])
    start("iterator", foreign(Iterator(loop.create_future())), "other", "awaitable", "Iterator")
    start("future", bare(loop.create_future()), "future", "future", "Future")


async def submit(pool):
    await asyncio.get_event_loop().run_in_executor(pool, time.sleep, LONG_S)


async def read(reader):
    await reader.readline()


async def receive(ours):
    await asyncio.get_event_loop().sock_recv(ours, 10)


async def outside():
    pool = concurrent.futures.ThreadPoolExecutor(1, **(
        {"thread_name_prefix": "pool"} if VERSION >= (3, 6) else {}))
    start("executor", submit(pool), "executor", type="Future", thread="pool_0")
    start("executor waits", submit(pool), "executor", type="Future")
    one, two = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=one)
    start("stream", read(reader), "read", type="StreamReader", fd=one.fileno())
    three, four = socket.socketpair()
    three.setblocking(False)
    if VERSION >= (3, 7):  # before, sock_recv() was no coroutine: the future says nothing
        start("socket", receive(three), "read", type="socket", fd=three.fileno())
    KEPT.extend([pool, one, two, three, four, reader, writer])


async def bridge(coroutine, loop):
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))


async def remote():
    TASKS["remote"] = next(task for task in all_tasks() if task._coro.__name__ == "remote")
    FACTS["remote"] = {"kind": "sleep", "awaits": []}
    await asyncio.sleep(LONG_S)


def bridges():
    start("bridge", bridge(remote(), LOOPS[0]), "task", type="Future", awaits=["remote"])


class OwnTask(asyncio.Task):
    pass


async def fail(secret):
    await asyncio.sleep(0)
    raise ValueError("no such thing: " + secret)


RELUCTANT = []


async def reluctant():
    try:
        await asyncio.sleep(LONG_S)
    except asyncio.CancelledError:
        RELUCTANT.append("again")
        await asyncio.sleep(LONG_S)


def kinds_of_tasks():
    loop = asyncio.get_event_loop()
    start("in Python", nested(3, forever), "sleep", make=lambda c: _PyTask(c, loop=loop),
          task_type="Task")
    start("awaits Python's", direct(TASKS["in Python"]), "task", type="Task",
          awaits=["in Python"])
    leaf("own class", make=lambda c: OwnTask(c, loop=loop), task_type="OwnTask")
    if VERSION >= (3, 8):
        leaf("named", make=lambda c: loop.create_task(c, name="given name \u00e4"))
    start("failed", fail("it"), exception="ValueError: no such thing: it")
    start("cancelled", reluctant(), "sleep")
    loop.call_later(0.05, TASKS["cancelled"].cancel)


# ---- Loops ---------------------------------------------------------------------------------------

def other_thread(ready):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    LOOPS.append(loop)

    async def main():
        leaf("other thread's")
        TASKS["other main"] = next(task for task in all_tasks() if task._coro is coroutine)
        FACTS["other main"] = {"kind": "task", "type": "Task", "awaits": ["other thread's"]}
        loop.call_later(0.1, ready.set)
        await TASKS["other thread's"]

    coroutine = main()
    loop.run_until_complete(coroutine)


async def asleep():
    groups()
    newer()
    locks()
    iterators()
    await outside()
    bridges()
    kinds_of_tasks()
    asyncio.get_event_loop().call_later(0.1, tell_when_still)
    await asyncio.get_event_loop().create_future()


def tell_when_still():
    """When all have come to where they wait, in both threads."""
    still = (TASKS["failed"].done() and "again" in RELUCTANT and "remote" in TASKS
             and state_of(TASKS["remote"]) == "waiting"
             and not any(loop._ready for loop in LOOPS))
    if still:
        tell()
    else:
        asyncio.get_event_loop().call_later(0.1, tell_when_still)


async def woken(event):
    await event.wait()


def sleep_as_it_may_not(task):
    tell()
    time.sleep(LONG_S)


async def blocking():
    await asyncio.sleep(0.1)
    TASKS["before"].done()
    EVENT.set()
    start("created", forever())
    await nested(2, stop_all)


async def stop_all():
    sleep_as_it_may_not(TASKS["blocking"])


async def blocked():
    global EVENT
    EVENT = asyncio.Event()
    leaf("before")
    start("woken", woken(EVENT))
    start("blocking", blocking())
    start("awaits blocking", direct(TASKS["blocking"]), "task", type="Task", awaits=["blocking"])
    await asyncio.get_event_loop().create_future()


def run(coroutine):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    LOOPS.append(loop)
    TASKS["main"] = loop.create_task(coroutine)
    FACTS["main"] = {"kind": "future", "type": "Future", "awaits": []}
    loop.run_until_complete(TASKS["main"])


def main(mode):
    sys.setrecursionlimit(5000)
    if mode == "asleep":
        ready = threading.Event()
        threading.Thread(target=other_thread, args=(ready,), name="other loop",
                         daemon=True).start()
        ready.wait()
    run({"asleep": asleep, "blocked": blocked}[mode]())


main(*sys.argv[1:])
