# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks that are taken by acquire(). In each case a thread "has-CASE" stands still in park(), and another
one, "wants-CASE", waits for the lock. In those of HOLDS the first one has it; in the others a call that
has returned took it, so nothing of it can be found. Python 3.6 and later."""
import sys
import threading
import time

cases, HOLDS = {}, set()
GLOBAL = threading.Lock()
still = threading.Event()


def case(function):
    cases[function.__name__] = function
    return function


def holds(function):
    HOLDS.add(function.__name__)
    return case(function)


def park():
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
    while not all(lock.locked() for lock in locks.values()):
        time.sleep(0.01)
    time.sleep(0.2)
    for name in cases:
        start("wants-" + name, want, locks[name])
    time.sleep(0.3)
    print("HOLDS", *HOLDS)
    print("READY")
    sys.stdout.flush()
    still.wait()
