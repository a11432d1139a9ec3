# SPDX-License-Identifier: GPL-3.0-or-later
"""Things that go wrong, one for each letter of the first argument: d two threads that want each
other's lock, p threads behind one that holds a lock and waits for a peer, e one that handles an
exception; i idle ones that wait for work. Python 3.6 and later."""
import queue
import socket
import sys
import threading
import time

accounts, orders, pool_lock = threading.Lock(), threading.Lock(), threading.Lock()
api_token = "ghp_" + "x1Y2" * 9
both = threading.Barrier(2)
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(1)
held = threading.Event()


def transfer():
    with accounts:
        both.wait()
        with orders:
            pass


def refund():
    with orders:
        both.wait()
        with accounts:
            pass


def query(connection, password="hunter2-is-a-secret"):
    held.set()
    connection.recv(100)


def run_report():
    connection = socket.create_connection(server.getsockname())
    with pool_lock:
        query(connection)


def serve(number):
    with pool_lock:
        pass


def retry():
    try:
        {}["sku"]
    except KeyError as error:
        try:
            raise ValueError("no price, password=hunter2-is-a-secret") from error
        except ValueError:
            time.sleep(1000)


def start(function, name, *arguments):
    threading.Thread(target=function, name=name, args=arguments, daemon=True).start()


what = sys.argv[1]
if "d" in what:
    start(transfer, "transfer-1")
    start(refund, "refund-1")
if "p" in what:
    start(run_report, "report")
    held.wait()
    for each in range(8):
        start(serve, "serve-%d" % each, each)
if "e" in what:
    start(retry, "retry")
if "i" in what:
    for each in range(4):
        start(queue.Queue().get, "idle-%d" % each)
print("READY", flush=True)
time.sleep(1000)
