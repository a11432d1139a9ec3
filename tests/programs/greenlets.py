# SPDX-License-Identifier: GPL-3.0-or-later
"""Greenlets that wait in known places, and what the program itself says of them.

usage: greenlets.py FILE plain|gevent|eventlet|many|busy|alone [COUNT]
       greenlets.py FILE native LIBRARY

FILE gets JSON: for each greenlet, by its id, the frames that gr_frame leads to, outermost first. Names
are spelled so that they tell what is expected: a function called wait_event waits for an event.
"""

import json
import sys
import threading


def stack(frame):
    rows = []
    while frame is not None:
        rows.append([frame.f_code.co_name, frame.f_lineno, frame.f_code.co_filename])
        frame = frame.f_back
    return rows[::-1]


def state_of(one):
    import greenlet
    if one.dead:
        return "dead"
    if one.gr_frame is not None:
        return "suspended"
    # gevent has a truth of its own.
    return "running" if greenlet.greenlet.__bool__(one) else "created"


def say(file, greenlets, **more):
    facts = {
        "%#x" % id(one): {
            "name": name,
            "state": state_of(one),
            "type": type(one).__name__,
            "parent": "%#x" % id(one.parent) if one.parent is not None else None,
            "frames": stack(one.gr_frame),
        } for name, one in greenlets.items()}
    with open(file, "w") as stream:
        json.dump(dict(more, greenlets=facts), stream)


# ---- greenlet alone ------------------------------------------------------------------------------

def away():
    import greenlet
    return greenlet.getcurrent().parent.switch()


def simple(value):
    return value + away()


def deep(count):
    if count:
        return deep(
            count - 1)
    return away()


def numbers(count):
    for number in range(count):
        yield number + away()


def by_generator(count):
    return [number for number in numbers(count)]


def by_c(values):
    return sorted(values, key=lambda value: away())


def nested(value):
    import greenlet
    inner = greenlet.greenlet(simple)
    KEPT["inner"] = inner
    inner.switch(value)
    away()


def ends():
    return 1


class Derived(object):
    """Made below, once greenlet is imported."""


KEPT = {}


def let_begin(made, sleep):
    """Each of them has been switched to: it waits."""
    while any(one.gr_frame is None for one in made.values()):
        sleep(0.01)


def start_plain():
    import greenlet

    class Own(greenlet.greenlet):
        def run(self, value):
            with_default(value)

    def with_default(value, other=3):
        return value + other + away()

    made = {"simple": (greenlet.greenlet(simple), (1,)),
            "deep": (greenlet.greenlet(deep), (300,)),
            "by_generator": (greenlet.greenlet(by_generator), (3,)),
            "by_c": (greenlet.greenlet(by_c), ([3, 2, 1],)),
            "nested": (greenlet.greenlet(nested), (1,)),
            "own": (Own(), (5,)),
            "ends": (greenlet.greenlet(ends), ())}
    for one, arguments in made.values():
        one.switch(*arguments)
    # In and out once more: its second suspension is at another place.
    made["by_generator"][0].switch(5)
    KEPT.update({name: one for name, (one, _) in made.items()})
    KEPT["never"] = greenlet.greenlet(simple)
    return KEPT


def in_thread(ready, event):
    import greenlet
    KEPT["main of thread"] = greenlet.getcurrent()
    KEPT["of thread"] = one = greenlet.greenlet(deep)
    one.switch(5)
    ready.set()
    event.wait()


def plain(file):
    import greenlet
    start_plain()
    KEPT["main"] = greenlet.getcurrent()
    ready, event = threading.Event(), threading.Event()
    thread = threading.Thread(target=in_thread, args=(ready, event), daemon=True)
    thread.start()
    ready.wait()
    say(file, KEPT)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    event.wait()


# ---- Native frames -------------------------------------------------------------------------------

def native(file, path):
    """Native code that called back into Python and was switched away."""
    import ctypes
    import greenlet
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
    library = ctypes.CDLL(path)

    def called(value):
        away()
        return value

    def called_twice(value):
        return between(value) + 1

    def between(value):
        return library.switch_inner(KEPT["called"], value)

    KEPT.update(called=callback(called), called_twice=callback(called_twice))

    def calls():
        assert library.switch_outer(KEPT["called"], 3) == 4

    def calls_alloca():
        assert library.switch_alloca(KEPT["called"], 100) == 101

    def calls_twice():
        library.switch_outer(KEPT["called_twice"], 5)

    def switches_often():
        away()
        calls()
        calls()

    made = {
        "calls": greenlet.greenlet(calls),
        "calls_alloca": greenlet.greenlet(calls_alloca),
        "calls_twice": greenlet.greenlet(calls_twice),
        "switches_often": greenlet.greenlet(switches_often),
        "run": greenlet.greenlet(library.switch_outer),
    }
    for name, one in made.items():
        if name == "run":
            one.switch(KEPT["called"], 7)
        else:
            one.switch()
    made["switches_often"].switch()
    made["switches_often"].switch()
    made["no_python"] = greenlet.greenlet(greenlet.getcurrent().switch)
    made["no_python"].switch()
    made["main"] = greenlet.getcurrent()
    KEPT.update(made)

    def at_last():
        say(file, made)
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        threading.Event().wait()

    KEPT["at_last"] = callback(lambda value: greenlet.greenlet(at_last).switch())
    library.switch_outer(KEPT["at_last"], 9)


# ---- gevent --------------------------------------------------------------------------------------

def start_gevent():
    import gevent
    import gevent.event
    import gevent.lock
    import gevent.queue
    import gevent.socket
    import gevent.thread
    queue, full = gevent.queue.Queue(), gevent.queue.Queue(1)
    full.put(1)
    event, semaphore = gevent.event.Event(), gevent.lock.Semaphore(0)
    lock = gevent.thread.allocate_lock()
    lock.acquire()
    left, right = gevent.socket.socketpair()
    server = gevent.socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    KEPT["objects"] = [queue, full, event, semaphore, left, right, server]

    def wait_queue_get():
        queue.get()

    def wait_queue_put():
        full.put(2)

    def wait_event():
        event.wait()

    def wait_semaphore():
        semaphore.acquire()

    def wait_with():
        with semaphore:
            pass

    def wait_lock():
        lock.acquire()

    def wait_read():
        left.recv(10)

    def wait_accept():
        server.accept()

    def wait_sleep():
        gevent.sleep(100000)

    def sleeps():
        gevent.sleep(100000)
        yield 1

    def wait_sleep_in_generator():
        for _ in sleeps():
            pass

    functions = [wait_queue_get, wait_queue_put, wait_event, wait_semaphore, wait_with,
                 wait_lock, wait_read, wait_accept, wait_sleep, wait_sleep_in_generator]
    made = {function.__name__: gevent.spawn(function) for function in functions}

    def wait_task():
        made["wait_sleep"].join()

    made["wait_task"] = gevent.spawn(wait_task)
    let_begin(made, gevent.sleep)
    return made


def with_gevent(file):
    import gevent
    import gevent.util
    made = start_gevent()
    made["hub"] = gevent.get_hub()
    made["late"] = gevent.spawn(ends)
    say(file, made, run_info="\n".join(gevent.util.format_run_info(thread_stacks=False)))
    made["late"].kill()
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    gevent.sleep(100000)


def settled(file, made):
    """All have come to where they stay; the hub goes on meanwhile."""
    import gevent
    gevent.sleep(0.3)
    say(file, made)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    while True:
        gevent.sleep(0.2)


def with_cycle(file, kind):
    import gevent
    import gevent.lock
    import gevent.thread
    new = {"rlock": gevent.lock.RLock, "lock": gevent.thread.allocate_lock,
           "semaphore": gevent.lock.BoundedSemaphore, "join": gevent.lock.RLock}[kind]
    accounts, orders = new(), new()
    made = {}

    def transfer():
        with accounts:
            gevent.sleep(0.05)
            with orders:
                pass

    def audit():
        orders.acquire()
        try:
            gevent.sleep(0.05)
            with accounts:
                pass
        finally:
            orders.release()

    def left():
        gevent.sleep(0.05)
        made["right"].join()

    def right():
        gevent.sleep(0.05)
        made["left"].get()

    functions = [left, right] if kind == "join" else [transfer, audit]
    for function in functions:
        made[function.__name__] = gevent.spawn(function)
    settled(file, made)


def with_pile(file):
    """Many that wait for a lock which one of them has, and sleeps."""
    import gevent
    import gevent.lock
    lock = gevent.lock.BoundedSemaphore()

    def update():
        with lock:
            gevent.sleep(100000)

    settled(file, {"update-%d" % number: gevent.spawn(update) for number in range(40)})


# ---- eventlet ------------------------------------------------------------------------------------

def with_eventlet(file):
    import eventlet
    import eventlet.event
    import eventlet.queue
    import eventlet.semaphore
    from eventlet.green import socket
    queue, event = eventlet.queue.Queue(), eventlet.event.Event()
    semaphore = eventlet.semaphore.Semaphore(0)
    left, right = socket.socketpair()
    KEPT["objects"] = [left, right]

    def wait_queue_get():
        queue.get()

    def wait_event():
        event.wait()

    def wait_semaphore():
        semaphore.acquire()

    def wait_read():
        left.recv(10)

    def wait_sleep():
        eventlet.sleep(100000)

    functions = [wait_queue_get, wait_event, wait_semaphore, wait_read, wait_sleep]
    made = {function.__name__: eventlet.spawn(function) for function in functions}
    let_begin(made, eventlet.sleep)
    say(file, made)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    eventlet.sleep(100000)


# ---- Many, and busy ------------------------------------------------------------------------------

def many(file, count):
    import greenlet
    kept = [greenlet.greenlet(deep) for _ in range(count)]
    for one in kept:
        one.switch(5)
    say(file, {})
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    threading.Event().wait()


def ping(count):
    while True:
        sum(range(3000))  # as much as a short callback does
        if count % 3 == 0:
            deep(count % 40)
        else:
            simple(
                0)


def busy(file, count):
    import greenlet
    kept = [greenlet.greenlet(ping) for _ in range(count)]
    for number, one in enumerate(kept):
        one.switch(number)
    say(file, {})
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    while True:
        for one in kept:
            one.switch(0)


def alone(file):
    """Each thread has the greenlet that it began with, as libraries ask for it, and no other one."""
    import greenlet

    def ask():
        KEPT[threading.current_thread().name] = greenlet.getcurrent()
        ready.release()
        event.wait()

    ready, event = threading.Semaphore(0), threading.Event()
    KEPT["main"] = greenlet.getcurrent()
    for _ in range(3):
        threading.Thread(target=ask, daemon=True).start()
        ready.acquire()
    say(file, KEPT)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    event.wait()


if __name__ == "__main__":
    kinds = {"plain": plain, "gevent": with_gevent, "eventlet": with_eventlet, "many": many,
             "cycle": with_cycle, "pile": with_pile,
             "busy": busy, "alone": alone, "native": native}
    kinds[sys.argv[2]](sys.argv[1], *[int(word) if word.isdigit() else word
                                      for word in sys.argv[3:]])
