# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads to be found from outside of a container: says who they are, and sleeps. With the argument
"busy" one of them works. Runs on Python 3.6 and later, with little of the standard library."""

import sys
import threading
import time


def native_id():
    # 3.6 and 3.7 do not tell.
    return threading.get_native_id() if hasattr(threading, "get_native_id") else 0


def say(name):
    sys.stdout.write("THREAD %s %d\n" % (name, native_id()))
    sys.stdout.flush()


def parked(started):
    say("parked")
    lock = threading.Lock()
    lock.acquire()
    started.set()
    lock.acquire()


def busy(started):
    say("busy")
    started.set()
    number = 0
    while True:
        number = (number + 1) % 1000


def start(function):
    started = threading.Event()
    threading.Thread(target=function, name=function.__name__, args=(started,), daemon=True).start()
    started.wait()


def waiting():
    time.sleep(100000)


start(parked)
if "busy" in sys.argv:
    start(busy)
say("MainThread")
sys.stdout.write("READY\n")
sys.stdout.flush()
waiting()
