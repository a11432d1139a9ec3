# SPDX-License-Identifier: GPL-3.0-or-later
"""For programs whose threads go to places where they stay: waiting until they are there. Python 3.6 and
later."""

import os
import time


def look(folder="/proc/self/task"):
    """{tid: (state, switches)} of the threads of a process."""
    found = {}
    for tid in os.listdir(folder):
        try:
            with open("%s/%s/status" % (folder, tid)) as stream:
                lines = dict(line.split(":\t", 1) for line in stream if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[tid] = (lines["State"][0], lines["voluntary_ctxt_switches"],
                      lines["nonvoluntary_ctxt_switches"])
    return found


def wait_for(folder, awake):
    before = {}
    while True:
        now = look(folder)
        resting = [tid for tid, facts in now.items() if facts[0] == "S" and before.get(tid) == facts]
        if now and len(resting) >= len(now) - awake:
            return
        before = now
        time.sleep(0.05)


def wait(running=0):
    """Until all threads sleep, but the calling one and so many more, and did not run for a while: who waits
    for the GIL is woken by whoever lets it go, and at each switch interval."""
    wait_for("/proc/self/task", 1 + running)


def wait_for_child(pid):
    """The same of another process, and all of its threads."""
    wait_for("/proc/%d/task" % pid, 0)
