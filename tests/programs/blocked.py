# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that wait, each for something else; a thread is called like its function. Prints its child's number."""

import concurrent.futures
import ctypes
import fcntl
import logging
import multiprocessing
import os
import queue
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

folder = tempfile.mkdtemp()
with open(os.path.join(folder, "slow_module.py"), "w") as stream:
    stream.write("import time\ntime.sleep(1000)\n")
sys.path.insert(0, folder)

pool_lock = threading.Lock()
first, second, third = threading.Lock(), threading.Lock(), threading.Lock()
condition = threading.Condition()
taken = threading.Condition()
event = threading.Event()
slots = threading.Semaphore(1)
barrier = threading.Barrier(5)
seated = threading.Barrier(3)
jobs, full = queue.Queue(), queue.Queue(1)
full.put(1)
simple = queue.SimpleQueue() if hasattr(queue, "SimpleQueue") else None
python_rlock = threading._PyRLock()
bare = threading.RLock()
libc = ctypes.CDLL(None)
mutex, variable = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
signalled, lent = threading.Lock(), threading.Lock()
process_lock = multiprocessing.Lock()
executor = concurrent.futures.ThreadPoolExecutor(1)
one, other = socket.socketpair()
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(5)
client = socket.socket()
client.connect(server.getsockname())
accepted = server.accept()
reading, writing = os.pipe()
fifo = os.path.join(folder, "fifo")
os.mkfifo(fifo)
fifo_fd = os.open(fifo, os.O_RDWR)
locked, again = open(fifo, "r+b", 0), open(fifo, "r+b", 0)


class Box:
    def __init__(self):
        self._lock = threading.RLock()
        self.called = threading.Lock()


class Stuck(logging.StreamHandler):
    def emit(self, record):
        time.sleep(1000)


box = Box()
log = logging.getLogger("app")
log.addHandler(Stuck())


def holder():
    with pool_lock, box._lock, slots, taken, python_rlock, process_lock:
        bare.acquire()
        time.sleep(1000)


def taker(self=box):
    lent.acquire()
    lent.release()
    self.called.acquire()
    try:
        time.sleep(1000)
    finally:
        self.called.release()


def wait_taker(self=box):
    self.called.acquire()


def wait_lent():
    """Taken before, by a function that did not say when it gives it back."""
    lent.acquire()
    lent.acquire()


def signal():
    """A lock that another one is to release: nobody has it."""
    signalled.acquire()
    try:
        signalled.acquire()
    finally:
        signalled.release()


def closures():
    inner = threading.Lock()

    def cell_taker():
        count = 0
        while count < 1000:
            inner.acquire()
            try:
                time.sleep(1000)
                count += 1
            finally:
                inner.release()

    def wait_cell():
        inner.acquire()
    return cell_taker, wait_cell


cell_taker, wait_cell = closures()


def mutex_holder():
    libc.pthread_mutex_lock(mutex)
    time.sleep(1000)


def mutex_wait():
    libc.pthread_mutex_lock(mutex)


def variable_wait():
    """pthread_cond_wait() on a mutex of its own."""
    own = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(own)
    libc.pthread_cond_wait(variable, own)


def lock_with():
    with pool_lock:
        pass


def lock_acquire():
    pool_lock.acquire()


def lock_timeout():
    pool_lock.acquire(timeout=500)


def lock_argument(given=pool_lock):
    given.acquire()


def rlock(self=box):
    with self._lock:
        pass


def rlock_bare():
    bare.acquire()


def rlock_python():
    with python_rlock:
        pass


def condition_wait():
    with condition:
        condition.wait()


def condition_enter():
    with taken:
        pass


def event_wait():
    event.wait()


def semaphore():
    with slots:
        pass


def barrier_wait():
    barrier.wait()


def queue_get():
    jobs.get()


def queue_put():
    full.put(2)


def queue_join():
    full.join()


def simple_get():
    simple.get()


def between_processes():
    with process_lock:
        pass


def ring(mine, next_one):
    with mine:
        seated.wait()
        with next_one:
            pass


def ring_1():
    ring(first, second)


def ring_2():
    ring(second, third)


def ring_3():
    ring(third, first)


def itself():
    mine = threading.Lock()
    with mine:
        with mine:
            pass


def join():
    threads["holder"].join()


def slow():
    time.sleep(1000)


def future():
    result = executor.submit(slow)
    result.result()


def importing():
    import slow_module


def import_lock():
    import slow_module


def log_first():
    log.error("x")


def log_second():
    log.error("y")


def receive():
    one.recv(1)


def receive_tcp():
    client.recv(1)


def accept():
    server.accept()


def read_pipe():
    os.read(reading, 1)


def read_fifo():
    os.read(fifo_fd, 1)


def read_file():
    with os.fdopen(fifo_fd, "rb", closefd=False) as stream:
        stream.readline()


def poll():
    poller = select.poll()
    poller.register(other, select.POLLIN)
    poller.register(reading, select.POLLIN)
    poller.poll()


def poll_epoll():
    poller = select.epoll()
    poller.register(other, select.EPOLLIN)
    poller.register(reading, select.EPOLLIN)
    poller.poll()


def poll_select():
    select.select([other, reading], [], [], 900)


def child():
    os.waitpid(sleeper.pid, 0)


def file_lock():
    fcntl.flock(locked, fcntl.LOCK_EX)
    fcntl.flock(again, fcntl.LOCK_EX)


def marks():
    """Of each other thread what changes when it does anything."""
    for tid in sorted(set(os.listdir("/proc/self/task")) - {str(os.getpid())}):
        with open("/proc/self/task/%s/status" % tid) as stream:
            yield [line for line in stream if line.startswith(("State:", "voluntary_", "nonvoluntary_"))]


def wait_until_still():
    """Each thread must have what it takes before the next one wants it."""
    last, give_up = None, time.time() + 50
    while True:
        now = list(marks())
        if now == last and all("S (sleeping)" in mark[0] for mark in now):
            return
        last = now
        if time.time() > give_up:
            sys.stderr.write("the threads do not come to rest: %s\n" % now)
            os._exit(1)
        time.sleep(0.01)


sleeper = subprocess.Popen(["sleep", "1000"])
threads = {}
for function in (holder, lock_with, lock_acquire, lock_timeout, lock_argument, taker, wait_taker,
                 cell_taker, wait_cell, wait_lent, signal, mutex_holder, mutex_wait,
                 variable_wait, rlock, rlock_bare, rlock_python,
                 condition_wait, condition_enter, event_wait, semaphore, barrier_wait,
                 queue_get, queue_put, queue_join, simple_get, between_processes, ring_1, ring_2,
                 ring_3, itself, join, future, importing, import_lock, log_first, log_second,
                 receive, receive_tcp, accept, read_pipe, read_fifo, read_file, poll, poll_epoll,
                 poll_select, child, file_lock):
    if function is simple_get and simple is None:
        continue
    thread = threading.Thread(target=function, name=function.__name__)
    thread.daemon = True
    threads[function.__name__] = thread
    thread.start()
    wait_until_still()
print("child %d" % sleeper.pid)
print("READY", flush=True)
try:
    time.sleep(600)
finally:
    sleeper.kill()
    os._exit(0)
