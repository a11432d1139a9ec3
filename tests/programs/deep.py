# SPDX-License-Identifier: GPL-3.0-or-later
"""Very deep stacks and many threads; FOLDER/expected.json says what they are.

usage: deep.py FOLDER THREADS DEPTH...
"""

import json
import os
import sys
import threading

import at_rest

PIPE = os.pipe()
EXPECTED = []
CALLS = [0, 0]


def down(depth):
    if depth:
        return down(
            depth - 1)
    wait()


def alternate(depth):
    return down(depth - 1) if depth else wait()


def wait():
    ready.release(); os.read(PIPE[0], 1)


def describe(frame):
    """Runs of equal frames: [count, function, line]."""
    runs = []
    while frame is not None:
        row = [frame.f_code.co_name, frame.f_lineno]
        if runs and runs[-1][1:] == row:
            runs[-1][0] += 1
        else:
            runs.append([1] + row)
        frame = frame.f_back
    return runs


if __name__ == "__main__":
    folder, count, depths = sys.argv[1], int(sys.argv[2]), [int(text) for text in sys.argv[3:]]
    ready = threading.Semaphore(0)
    sys.setrecursionlimit(200000)
    for index, depth in enumerate(depths):
        # Up to 3.10 each Python call is a C call too.
        threading.stack_size(900 << 20)
        threading.Thread(target=down, args=(depth,), name="deep %d" % depth, daemon=True).start()
    threading.stack_size(256 << 10)
    for index in range(count):
        threading.Thread(target=alternate, args=(index % 7,), name="thread %d" % index,
                         daemon=True).start()
    for index in range(count + len(depths)):
        ready.acquire()
    at_rest.wait()  # from release() to read() each needs the GIL once more
    frames = sys._current_frames()
    threads = [[thread.name, thread.ident, describe(frames[thread.ident])]
               for thread in threading.enumerate() if thread is not threading.main_thread()]
    with open(os.path.join(folder, "expected.json"), "w") as stream:
        json.dump(threads, stream)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    os.read(PIPE[0], 1)
