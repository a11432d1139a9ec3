# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of several processes: processes.py WHAT [ARGUMENT...]. It says READY once all of those
that it starts with are there."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time


def busy_in_worker():
    while True:
        sum(range(2000))


def idle_in_worker():
    while True:
        time.sleep(0.05)


def busy_for(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(2000))


def ready(*words):
    print("READY", *words, flush=True)


def wait():
    while True:
        time.sleep(1)


def work(index):
    """A worker of the pre-forking server; the first one is busy."""
    threading.Thread(target=idle_in_worker, name="helper", daemon=True).start()
    if index:
        idle_in_worker()
    busy_in_worker()


def forked(function, *arguments):
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*arguments)
    finally:
        os._exit(0)


def settle():
    """Children are through their start."""
    time.sleep(0.3)


def prefork(count):
    """A server with workers; beside them two programs that are no Python."""
    pids = [forked(work, index) for index in range(int(count))]
    subprocess.Popen(["sleep", "1000"])
    subprocess.Popen(["sh", "-c", "sleep 999; true"])
    settle()
    ready(*pids)
    wait()


def task(seconds):
    busy_for(seconds)
    return os.getpid()


def pool(method):
    """Tasks in a pool of processes."""
    multiprocessing.set_start_method(method)
    with multiprocessing.Pool(2) as workers:
        workers.map(task, [0.01] * 4)
        ready()
        while True:
            workers.map(task, [0.05] * 8)


def churn(lifetime):
    """One child after the other, and a program that is no Python with each."""
    ready()
    while True:
        child = forked(busy_for, float(lifetime))
        subprocess.call(["true"])
        os.waitpid(child, 0)


def shell(python):
    """A Python below a shell, and one below that."""
    command = "%s %s grandchild; true" % (python, os.path.abspath(__file__))
    subprocess.Popen(["sh", "-c", command])
    time.sleep(1)
    ready()
    wait()


def grandchild():
    forked(busy_in_worker)
    wait()


def becomes(python):
    """Executes a program that is no Python, which becomes a Python again."""
    ready()
    time.sleep(1.5)
    script = os.path.abspath(__file__)
    os.execv("/bin/sh", ["sh", "-c", "sleep 1; exec %s %s returned" % (python, script)])


def returned():
    busy_in_worker()


def parent_of_becoming(python):
    subprocess.Popen([python, os.path.abspath(__file__), "becomes", python],
                     stdout=subprocess.DEVNULL)
    settle()
    ready()
    wait()


def mother():
    """To be killed; her child lives on."""
    child = forked(busy_in_worker)
    settle()
    ready(child)
    wait()


def brief(seconds):
    """All of it ends."""
    forked(busy_for, float(seconds))
    ready()
    busy_for(float(seconds))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
