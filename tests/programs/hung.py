# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that hang, as books on threads and bug trackers have them; the argument says which. All of them do
so in the main thread, after they said READY. Python 3.6 and later."""
import concurrent.futures
import queue
import sys
import threading

kinds = {}


def kind(function):
    kinds[function.__name__] = function
    return function


def start(function, **options):
    threading.Thread(target=function, **options).start()


def silent(*_):
    """Nobody wants to read of the exceptions that end threads here."""


@kind
def lock_twice():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@kind
def lock_of_the_caller():
    """The other thread ends before long."""
    lock = threading.Lock()

    def outer():
        lock.acquire()
        inner()
        lock.release()

    def inner():
        lock.acquire()
        lock.release()

    start(outer, name="outer")
    threading.Event().wait()


@kind
def ring_with_a_limit():
    first, second, both = threading.Lock(), threading.Lock(), threading.Barrier(2)

    def take(one, other):
        with one:
            both.wait()
            other.acquire(timeout=1000)

    start(lambda: take(first, second), name="lower", daemon=True)
    start(lambda: take(second, first), name="upper", daemon=True)
    threading.Event().wait()


@kind
def tasks_not_done():
    jobs = queue.Queue()

    def work():
        while True:
            jobs.get()

    start(work, name="worker", daemon=True)
    jobs.put(1)
    jobs.join()


@kind
def consumer_has_ended():
    jobs = queue.Queue(1)

    def consume():
        raise ValueError(jobs.get())

    start(consume, daemon=True)
    while True:
        jobs.put(1)


@kind
def missing_at_a_barrier():
    threading.Barrier(2).wait()


@kind
def semaphore_not_released():
    slots = threading.Semaphore(1)

    def use():
        slots.acquire()
        raise ValueError
        slots.release()

    start(use)
    while True:
        slots.acquire()
        slots.release()


@kind
def result_of_nobody():
    concurrent.futures.Future().result()


@kind
def thread_at_exit():
    start(threading.Event().wait, name="forgotten")


@kind
def producer_has_ended():
    """It might as well be a worker that a signal's handler gives work to."""
    jobs = queue.Queue()
    consumer = threading.Thread(target=jobs.get, name="consumer")
    consumer.start()
    consumer.join()


@kind
def signal_by_a_lock():
    """Taken twice by one thread, and released by another one that is late."""
    done = threading.Lock()

    def work():
        threading.Event().wait(1000)
        done.release()

    done.acquire()
    start(work, daemon=True)
    done.acquire()


if __name__ == "__main__":
    threading.excepthook = silent
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    kinds[sys.argv[1]]()
