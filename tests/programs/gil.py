# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the GIL, who collects garbage: one phase after another, a line on standard output each.

usage: gil.py FIFO      a byte written to it leads to the next phase
"""

import ctypes
import gc
import os
import sys
import threading
import time

KEEPS_GIL = ctypes.PyDLL(None)
BUFFER = ctypes.create_string_buffer(8)


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def hold(fifo, line):
    # The GIL stays held from the moment the line is out, or nearly.
    say(line); KEEPS_GIL.read(fifo, BUFFER, 1)


def wait(descriptor):
    os.read(descriptor, 1)


def spin():
    while True:
        ROUNDS[0] += 1


def spin_outer():
    spin()


class Dying:
    def __init__(self):
        self.me = self

    def __del__(self):
        say("elsewhere")
        wait(NEVER[0])


def collect():
    Dying()
    gc.collect()


NEVER = os.pipe()
ROUNDS = [0]

if __name__ == "__main__":
    gc.disable()
    fifo = os.open(sys.argv[1], os.O_RDWR)
    threading.Thread(target=wait, args=(NEVER[0],), name="waiter", daemon=True).start()
    hold(fifo, "READY")
    spinner = threading.Thread(target=spin_outer, name="spinner", daemon=True)
    spinner.start()
    while ROUNDS[0] < 2:  # or it would have to wait for the GIL before it spins
        time.sleep(0.001)
    hold(fifo, "gil-wait")
    gc.callbacks.append(lambda phase, info: phase == "start" and hold(fifo, "collecting"))
    gc.collect()
    del gc.callbacks[:]
    threading.Thread(target=collect, name="collector", daemon=True).start()
    spinner.join()
