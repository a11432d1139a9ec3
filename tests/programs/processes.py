# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of several processes: processes.py WHAT [ARGUMENT...]. It says READY once all of those
that it starts with are there, and in the functions in which they stay."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import at_rest


def busy_in_worker(there=None):
    """It tells by that pipe that it is there."""
    if there is not None:
        os.write(there, b"x")
    while True:
        sum(range(2000))


def idle_in_worker(there=None):
    if there is not None:
        os.write(there, b"x")
    while True:
        time.sleep(1000)


def await_bytes(pipe, count):
    while count:
        count -= len(os.read(pipe, count))


def come_of_age():
    """pycore takes a child younger than 50 ms for a fork on its way to an exec."""
    time.sleep(0.1)


def await_program(pid, name):
    """Until a child, or a child of it, has become that program."""
    while True:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as stream:
            pids = [pid] + [int(word) for word in stream.read().split()]
        for candidate in pids:
            with open("/proc/%d/cmdline" % candidate) as stream:
                if stream.read().split("\0")[0] == name:
                    return
        time.sleep(0.01)


def busy_for(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(2000))


def ready(*words):
    print("READY", *words, flush=True)


def wait():
    while True:
        time.sleep(1)


def work(index, there):
    """A worker of the pre-forking server; the first one is busy."""
    threading.Thread(target=idle_in_worker, args=(there,), name="helper", daemon=True).start()
    if index:
        idle_in_worker(there)
    busy_in_worker(there)


def forked(function, *arguments):
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*arguments)
    finally:
        os._exit(0)


def prefork(count):
    """A server with workers; beside them two programs that are no Python."""
    others, there = os.pipe()
    pids = [forked(work, index, there) for index in range(int(count))]
    sleeper = subprocess.Popen(["sleep", "1000"])
    shell = subprocess.Popen(["sh", "-c", "sleep 999; true"])
    await_bytes(others, 2 * len(pids))
    for process in sleeper, shell:
        await_program(process.pid, "sleep")
    for pid in pids[1:]:
        at_rest.wait_for_child(pid)
    come_of_age()
    ready(*pids)
    wait()


def task(seconds):
    busy_for(seconds)
    return os.getpid()


def pool(method):
    """Tasks in a pool of processes."""
    multiprocessing.set_start_method(method)
    with multiprocessing.Pool(2) as workers:
        while len(set(workers.map(task, [0.01] * 4, 1))) < 2:
            pass
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
    below = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE)
    below.stdout.readline()
    ready()
    wait()


def grandchild():
    others, there = os.pipe()
    forked(busy_in_worker, there)
    await_bytes(others, 1)
    come_of_age()
    ready()
    wait()


def becomes(python, folder):
    """Executes a program that is no Python once there is a file "go" in that folder, which becomes a Python
    again once there is one "back"."""
    ready()
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.05)
    script = os.path.abspath(__file__)
    os.execv("/bin/sh", ["sh", "-c", "until test -e %s/back; do sleep 0.1; done; exec %s %s returned"
                         % (folder, python, script)])


def returned():
    busy_in_worker()


def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.05)


def parent_of_becoming(python, folder):
    child = subprocess.Popen([python, os.path.abspath(__file__), "becomes", python, folder],
                             stdout=subprocess.PIPE)
    child.stdout.readline()
    come_of_age()
    ready()
    wait()


def mother():
    """To be killed; her child lives on."""
    others, there = os.pipe()
    child = forked(busy_in_worker, there)
    await_bytes(others, 1)
    come_of_age()
    ready(child)
    wait()


def brief(folder):
    """All of it ends once there is a file "go" in that folder."""
    go = os.path.join(folder, "go")
    forked(wait_for_file, go)
    come_of_age()
    ready()
    wait_for_file(go)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
