# SPDX-License-Identifier: GPL-3.0-or-later
"""For programs that die once their threads stand where they shall be found. Runs on Python 3.6 and later."""

import os
import sys
import time


def marks():
    """What changes whenever another thread runs: its state, and how often it went to sleep or was put off."""
    for tid in sorted(os.listdir("/proc/self/task")):
        if int(tid) != os.getpid():
            with open("/proc/self/task/%s/status" % tid) as stream:
                yield [tid] + [line for line in stream
                               if line.startswith(("State:", "voluntary", "nonvoluntary"))]


def wait_for_others(limit_s=60):
    """For the main thread: until all others sleep, and have not run while it slept and left them the GIL."""
    before, give_up = None, time.time() + limit_s
    while True:
        now = list(marks())
        if now == before and all("S (sleeping)" in mark[1] for mark in now):
            return
        if time.time() > give_up:
            sys.exit("the threads do not come to rest: %s" % now)
        before = now
        time.sleep(0.03)
