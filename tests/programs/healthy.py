# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers in which nothing is wrong, made of the standard library alone; the first argument says which.
They get a little to do all the time: what that is is not far from the forms that trouble has. Python 3.6
and later."""
import asyncio
import http.client
import http.server
import json
import logging
import multiprocessing
import os
import queue
import socketserver
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PAUSE_S = 0.01
kinds = {}


def kind(function):
    kinds[function.__name__] = function
    return function


def start(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()


def serve(number):
    time.sleep(0.002)
    return json.dumps(list(range(number % 300)))


@kind
def http_threads():
    """A thread for each connection, and clients that open one for each request."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = serve(200).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    def ask(port):
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            time.sleep(PAUSE_S)

    server = Server(("127.0.0.1", 0), Handler)
    start(ask, server.server_address[1])
    start(server.serve_forever)


@kind
def executor():
    pool = ThreadPoolExecutor(8)

    def submit():
        number = 0
        while True:
            futures = [pool.submit(serve, number + each) for each in range(4)]
            number = len([future.result() for future in futures]) + number
            time.sleep(PAUSE_S)

    start(submit)


@kind
def consumers():
    """Consumers of a queue that log through one handler, and who waits for all to be done."""
    jobs = queue.Queue(20)
    log = logging.getLogger("jobs")
    log.addHandler(logging.StreamHandler(open(os.devnull, "w")))

    def consume():
        while True:
            log.warning("done: %s", serve(jobs.get()))
            jobs.task_done()

    def produce():
        while True:
            for number in range(10):
                jobs.put(number)
            jobs.join()
            time.sleep(PAUSE_S)

    for _ in range(4):
        start(consume)
    start(produce)


@kind
def event_loop():
    async def handle():
        while True:
            await asyncio.sleep(PAUSE_S)
            await asyncio.get_event_loop().run_in_executor(None, serve, 50)

    async def main():
        await asyncio.gather(*[handle() for _ in range(5)])

    def run():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())

    start(run)


@kind
def timers():
    """A scheduler: one thread waits for the next of its jobs, under a lock that is free meanwhile."""
    changed = threading.Condition(threading.RLock())
    due = [time.monotonic()]

    def run():
        while True:
            with changed:
                changed.wait(max(0, due[0] - time.monotonic()))
                due[0] = time.monotonic() + PAUSE_S
            serve(10)

    def add():
        while True:
            with changed:
                changed.notify()
            time.sleep(PAUSE_S)

    start(run)
    start(add)


@kind
def workers():
    """Processes that take their work from a pipe, one after the other under a lock."""
    pool = multiprocessing.get_context("fork").Pool(3)

    def submit():
        while True:
            pool.map(serve, range(20))
            time.sleep(PAUSE_S)

    start(submit)
    return [worker.pid for worker in pool._pool]


if __name__ == "__main__":
    processes = kinds[sys.argv[1]]() or []
    time.sleep(0.3)
    print("READY", *processes)
    sys.stdout.flush()
    while True:
        time.sleep(1000)
