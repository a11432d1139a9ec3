#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small service that is busy, waiting and locked at once: something for pycore to look at.

Its threads, by name:

    MainThread      sleeps, and puts a job into the queue now and then
    pricing         hot: about 70 % in simulate_prices, 20 % in rank_offers (recursive),
                    10 % in render_page (a comprehension)
    http-server     serves a socket pair: waits in select, reads and answers
    http-client     sends a request over it some twenty times a second
    cache-writer    holds the cache's lock while it sleeps
    cache-reader    waits for that lock
    worker-0 ...    wait for jobs in a queue, of which there is one now and then

Runs on Python 3.6 and later with nothing but the standard library. Prints its pid and READY, and
ends quietly on SIGTERM, on SIGINT, or after --seconds.
"""

import argparse
import os
import queue
import select
import signal
import socket
import threading
import time

# How much work each part of a round does. Tuned by measurement for 70 : 20 : 10, which differs a
# little between Python versions.
PRICE_STEPS = 2650
OFFER_COUNT = 64
PAGE_ROWS = 190


# ---- The hot thread ------------------------------------------------------------------------------

def simulate_prices(steps):
    price = 100
    for step in range(steps):
        price = (price * 31 + step) % 10007
        if price % 3 == 0:
            price += 7
    return price


def rank_offers(offers):
    if len(offers) <= 1:
        return offers
    middle = len(offers) // 2
    return merge_offers(rank_offers(offers[:middle]), rank_offers(offers[middle:]))


def merge_offers(left, right):
    merged = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]


def render_page(rows):
    lines = ["<li>%d: %d</li>" % (row, row * row) for row in range(rows)]
    return "\n".join(lines)


def handle_round(number):
    price = simulate_prices(PRICE_STEPS)
    offers = [(number * 7919 + price * i) % 1009 for i in range(OFFER_COUNT)]
    rank_offers(offers)
    render_page(PAGE_ROWS)


def pricing_loop():
    number = 0
    while True:
        handle_round(number)
        number += 1


# ---- Input and output ----------------------------------------------------------------------------

def read_request(connection):
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        data = connection.recv(4096)
        if not data:
            return b""
        request += data
    return request


def serve(connection):
    while True:
        select.select([connection], [], [])
        if not read_request(connection):
            return
        body = b"it is %d\n" % time.time()
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def request_loop(connection):
    while True:
        time.sleep(0.05)
        connection.sendall(b"GET /time HTTP/1.0\r\n\r\n")
        connection.recv(4096)


# ---- The lock that is held too long --------------------------------------------------------------

class Cache:
    def __init__(self):
        self.lock = threading.Lock()
        self.entries = {}

    def refresh(self):
        with self.lock:
            time.sleep(0.5)  # the mistake to find: a slow fetch under the lock
            self.entries["time"] = time.time()

    def lookup(self, key):
        with self.lock:
            return self.entries.get(key)


def write_cache(cache):
    while True:
        cache.refresh()
        time.sleep(0.005)


def read_cache(cache):
    while True:
        cache.lookup("time")
        time.sleep(0.005)


# ---- The pool ------------------------------------------------------------------------------------

def work(jobs):
    while True:
        simulate_prices(jobs.get())


# ---- The service ---------------------------------------------------------------------------------

def allow_tracing():
    """Lets any process of this user look at this one where Yama restricts that to parents."""
    try:
        import ctypes
        # PR_SET_PTRACER and PR_SET_PTRACER_ANY of <linux/prctl.h>
        ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=None,
                        help="end after that long (default: run until a signal)")
    parser.add_argument("--workers", type=int, default=3, help="threads of the pool (default 3)")
    parser.add_argument("--allow-tracing", action="store_true",
                        help="let other processes of this user look at it (for the demo)")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.allow_tracing:
        allow_tracing()

    # Nothing here needs an orderly end, and threads that sleep are not waited for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))

    jobs = queue.Queue()
    cache = Cache()
    server_end, client_end = socket.socketpair()
    plan = [
        ("pricing", pricing_loop, ()),
        ("http-server", serve, (server_end,)),
        ("http-client", request_loop, (client_end,)),
        ("cache-writer", write_cache, (cache,)),
        ("cache-reader", read_cache, (cache,)),
    ]
    plan += [("worker-%d" % i, work, (jobs,)) for i in range(arguments.workers)]
    for name, function, values in plan:
        threading.Thread(target=function, name=name, args=values, daemon=True).start()

    print("busy_service: pid %d" % os.getpid())
    print("READY", flush=True)

    end = None if arguments.seconds is None else time.time() + arguments.seconds
    while end is None or time.time() < end:
        time.sleep(0.5)
        jobs.put(200)
    os._exit(0)


if __name__ == "__main__":
    main()
