# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools and what looks like one. `lent.py SCENE`: in each one "slow" stands still in query(), and four others,
"next-N", wait for the same thing as it got. In STARVED it has what they wait for; in the others they are idle,
or wait for somebody else. Python 3.6 and later."""
import collections
import contextlib
import queue
import socket
import sys
import threading
import time

scenes, STARVED = {}, []
ours, theirs = socket.socketpair()
asked = threading.Event()


def scene(starved):
    def add(make):
        scenes[make.__name__] = make
        if starved:
            STARVED.append(make.__name__)
        return make
    return add


def query():
    asked.set()
    ours.recv(1)


def one():
    lent = queue.Queue()
    lent.put("connection")
    return lent


@scene(True)
def semaphore():
    limit = threading.Semaphore(1)

    def slow():
        with limit:
            query()

    def quick():
        with limit:
            pass
    return slow, quick


@scene(True)
def manager():
    lent = one()

    @contextlib.contextmanager
    def connected():
        connection = lent.get(timeout=1000)
        try:
            yield connection
        finally:
            lent.put(connection)

    def slow():
        with connected():
            query()

    def quick():
        with connected():
            pass
    return slow, quick


@scene(True)
def own_manager():
    class Pool:
        def __init__(self):
            self.lent = one()

        def __enter__(self):
            self.connection = self.lent.get()
            return self.connection

        def __exit__(self, *_):
            self.lent.put(self.connection)

    pool = Pool()

    def slow():
        with pool:
            query()

    def quick():
        with pool:
            pass
    return slow, quick


@scene(True)
def other_functions():
    lent = one()

    def slow():
        connection = lent.get()
        try:
            query()
        finally:
            lent.put(connection)

    def quick():
        connection = lent.get()
        lent.put(connection)
    return slow, quick


class Engine:
    def __init__(self):
        self.changed = threading.Condition()
        self.idle = collections.deque(["connection"])
        self.working = set()

    def check_out(self):
        with self.changed:
            while not self.idle:
                self.changed.wait()
            connection = self.idle.popleft()
            self.working.add(connection)
            return connection

    def check_in(self, connection):
        with self.changed:
            self.idle.append(connection)
            self.changed.notify()

    def tell(self, connection):
        with self.changed:
            self.working.discard(connection)
            self.changed.notify_all()


@scene(True)
def condition():
    engine = Engine()

    def slow():
        connection = engine.check_out()
        try:
            query()
        finally:
            engine.check_in(connection)

    def quick():
        engine.check_in(engine.check_out())
    return slow, quick


@scene(False)
def jobs_of_condition():
    engine = Engine()

    def work():
        while True:
            job = engine.check_out()
            query()
            engine.tell(job)
    return work, work


@scene(False)
def jobs():
    todo = one()

    def work():
        while True:
            job = todo.get()
            try:
                query()
            except OSError:
                todo.put(job)  # another try
    return work, work


@scene(False)
def jobs_that_may_fail():
    todo = one()

    def work():
        while True:
            job = todo.get()
            if query():
                todo.put(job)
    return work, work


class Store:
    def __init__(self):
        self.lock = threading.Lock()

    def take(self):
        self.lock.acquire()
        self.lock.release()

    def give(self):
        self.lock.acquire()
        self.lock.release()

    def enter(self):
        self.lock.acquire()

    def leave(self):
        self.lock.release()


@scene(False)
def methods_that_lock():
    store = Store()

    def slow():
        store.take()
        store.enter()  # so that they wait; nothing says of it that it lasts
        query()
        store.give()
    return slow, store.take


@scene(True)
def methods_between_which_it_is_locked():
    store = Store()

    def slow():
        store.enter()
        query()
        store.leave()

    def quick():
        store.enter()
        store.leave()
    return slow, quick


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print(*sorted(scenes))
        print(*STARVED)
        sys.exit()
    slow, quick = scenes[sys.argv[1]]()
    threads = [threading.Thread(target=slow, name="slow", daemon=True)]
    threads[0].start()
    asked.wait()  # it has what it got
    for i in range(4):
        threads.append(threading.Thread(target=quick, name="next-%d" % i, daemon=True))
        threads[-1].start()
    print("READY")
    sys.stdout.flush()
    time.sleep(1000)
