# SPDX-License-Identifier: GPL-3.0-or-later
"""Two threads that spend their processor time in three functions by given parts, however busy the
machine is; one that waits for ever. For comparisons: diff_shares.py PER_CENT_HOT PER_CENT_WARM.

One of the functions has a file with a name that no report may take for markup.
"""
import random
import sys
import threading
import time

import at_rest

HOSTILE = "<script>alert(1)</script>`|&.py"
CODE = """
def %s(end):
    n = 0
    while time.thread_time() < end:
        for _ in range(20000):
            n += 1
"""


def make(name, file):
    names = {"time": time}
    exec(compile(CODE % name, file, "exec"), names)
    return names[name]


hot, warm, cool = make("hot", __file__), make("warm", HOSTILE), make("cool", __file__)


def burn(shares):
    rng = random.Random(threading.current_thread().name)
    spent = time.thread_time()
    while True:
        spent += rng.uniform(0.002, 0.006)
        rng.choices((hot, warm, cool), shares)[0](spent)


def stuck(lock):
    lock.acquire()


def main():
    first, second = float(sys.argv[1]), float(sys.argv[2])
    lock = threading.Lock()
    lock.acquire()
    threading.Thread(target=stuck, args=(lock,), name="stuck", daemon=True).start()
    at_rest.wait()
    for k in range(2):
        threading.Thread(target=burn, args=((first, second, 100 - first - second),),
                         name="worker-%d" % k, daemon=True).start()
    print("READY", flush=True)
    while True:
        time.sleep(60)


main()
