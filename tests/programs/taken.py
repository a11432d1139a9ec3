# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks that are taken by acquire(). In each case a thread "has-CASE" stands still in park(), and another
one, "wants-CASE", waits for the lock. In those of HOLDS the first one has it; in the others a call that
has returned took it, so nothing of it can be found. Python 3.6 and later."""
import contextlib
import sys
import threading
import time

import at_rest

cases, HOLDS = {}, set()
GLOBAL = threading.Lock()
still = threading.Event()


def case(function):
    cases[function.__name__] = function
    return function


def holds(function):
    HOLDS.add(function.__name__)
    return case(function)


parked = []


def park():
    parked.append(1)
    still.wait()


def take(lock):
    lock.acquire()


def false():
    return False


@holds
def plain(lock):
    lock.acquire()
    park()


@holds
def with_finally(lock):
    lock.acquire()
    try:
        park()
    finally:
        lock.release()


@holds
def of_object(lock):
    class Account:
        def __init__(self):
            self.lock = lock

    account = Account()
    account.lock.acquire()
    park()
    account.lock.release()


@holds
def of_global(_):
    GLOBAL.acquire()
    park()


@holds
def of_closure(lock):
    def inner():
        lock.acquire()
        park()
    inner()


@holds
def after_branch(lock):
    if false():
        time.sleep(1)
    for _ in range(2):
        false()
    lock.acquire()
    park()


@holds
def round_and_round(lock):
    while not false():
        lock.acquire()
        park()
        lock.release()


@holds
def further_out(lock):
    def inner():
        time.sleep(0)
        park()
    lock.acquire()
    inner()


@holds
def in_handler(lock):
    try:
        raise ValueError
    except ValueError:
        lock.acquire()
        park()


@holds
def in_time(lock):
    if lock.acquire(timeout=1000):
        try:
            park()
        finally:
            lock.release()


@holds
def or_fails(lock):
    if not lock.acquire(False):
        raise ValueError
    time.sleep(0)
    park()
    lock.release()


@case
def if_it_got_it(lock):
    take(lock)
    got = lock.acquire(False)
    park()
    if got:
        lock.release()


@case
def unless_it_failed(lock):
    take(lock)
    if lock.acquire(False):
        false()
    else:
        park()
        return
    lock.release()


@contextlib.contextmanager
def taking(lock):
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


@contextlib.contextmanager
def within(lock):
    with lock:
        yield


class Guard:
    def __init__(self, lock):
        self.lock = lock

    def __enter__(self):
        self.lock.acquire()
        return self

    def __exit__(self, *_):
        self.lock.release()


class Own:
    __slots__ = "inner",

    def __init__(self, lock):
        self.inner = lock

    def acquire(self):
        self.inner.acquire()

    def release(self):
        self.inner.release()

    def __enter__(self):
        self.acquire()

    def __exit__(self, *_):
        self.release()


class Derived(Own):
    pass


class Maybe(Guard):
    def __enter__(self):
        if false():
            self.lock.acquire()


class Moment(Guard):
    def __enter__(self):
        self.lock.acquire()
        self.lock.release()


class Leaves(Guard):
    def __exit__(self, *_):
        pass


@holds
def by_context_manager(lock):
    with taking(lock):
        park()


@holds
def within_context_manager(lock):
    with within(lock):
        park()


if sys.version_info >= (3, 8):  # what ExitStack calls was a closure before
    @holds
    def by_exit_stack(lock):
        with contextlib.ExitStack() as stack:
            stack.enter_context(within(threading.Lock()))
            stack.enter_context(lock)
            park()

    @holds
    def by_manager_of_exit_stack(lock):
        with contextlib.ExitStack() as stack:
            stack.enter_context(taking(lock))
            park()


@holds
def by_own_manager(lock):
    with Guard(lock):
        park()


@holds
def of_own_class(lock):
    with Own(lock):
        park()


@holds
def of_derived_class(lock):
    own = Derived(lock)
    own.acquire()
    try:
        park()
    finally:
        own.release()


@case
def manager_is_over(lock):
    with taking(lock), Guard(threading.Lock()):
        pass
    take(lock)
    park()


@case
def manager_has_not_begun(lock):
    with contextlib.ExitStack() as stack:
        take(lock)
        stack.push(taking(lock))
        park()


@case
def manager_may_take(lock):
    take(lock)
    with Maybe(lock):
        park()


@case
def manager_takes_for_a_moment(lock):
    with Moment(lock):
        take(lock)
        park()
        lock.acquire()


@case
def manager_leaves_it(lock):
    with Leaves(lock):
        park()


@case
def released(lock):
    lock.acquire()
    lock.release()
    take(lock)
    park()


@case
def in_other_branch(lock):
    take(lock)
    if false():
        lock.acquire()
    park()


@case
def not_blocking(lock):
    take(lock)
    lock.acquire(False)
    park()


@case
def by_result(lock):
    take(lock)
    if not lock.acquire(False):
        park()


@case
def before_handler(lock):
    take(lock)
    try:
        int("a")
        lock.acquire()
    except ValueError:
        park()


@case
def later(lock):
    take(lock)
    park()
    lock.acquire()


@case
def another_one(lock):
    take(lock)
    other = threading.Lock()
    other.acquire()
    park()


def start(name, function, *arguments):
    threading.Thread(target=function, name=name, args=arguments, daemon=True).start()


def want(lock):
    lock.acquire()


if __name__ == "__main__":
    locks = {name: GLOBAL if name == "of_global" else threading.Lock() for name in cases}
    for name in cases:
        start("has-" + name, cases[name], locks[name])
    while len(parked) < len(cases):
        time.sleep(0.01)
    for name in cases:
        start("wants-" + name, want, locks[name])
    at_rest.wait()
    print("HOLDS", *HOLDS)
    print("READY")
    sys.stdout.flush()
    still.wait()
