#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profiler costs a server: throughput, latency, processor time, with and without it.

    bench/harm.py [--blocks 8] [--phase 5] [--server cpu,io] [--python 3.12] [--interval 200ms]
                  [--idle 20] [--only pycore] [--pycore PATH] [--py-spy PATH] [--json FILE]

Two servers, each a Python process with a thread for each connection and --idle more that sleep:
  cpu  each request computes for about half a millisecond; 4 connections contend for the GIL
  io   each request waits 10 ms in poll(), then answers; 16 connections
A load generator in a process of its own keeps one request under way on each connection, and writes
down when each was answered and how long it took.

Time is cut into phases: in each of --blocks blocks two phases without a profiler and one with each
tool, in an order drawn anew for each block. pycore runs with -i 200ms; py-spy, when installed, with
-r 5 (without native stacks, unlike pycore; and with, as a tool of its own). Starting the tool is
part of its phase. The table has the median of each number over the phases without a profiler; then,
for each tool, the median of its differences to its own blocks' means without, in per cent, and the
95 % interval of that median (bootstrap over the blocks); and the same for the control: one phase
without against the other. Where the interval holds 0, there is no difference to be seen in the
control's noise; else it is marked with a star.
"server CPU" is the server's own processor time per request. Exit status 1 when a request failed or
the server did not end as it was told to.

Takes blocks x (2 + tools) x phase x servers: 400 s with all three tools. Needs root or
kernel.yama.ptrace_scope=0, and a quiet machine with two processors at least.
"""

import argparse
import array
import json
import os
import random
import subprocess
import sys
import tempfile
import time

import common

SERVER = """
import select, socket, sys, threading, time
kind, idle = sys.argv[1], int(sys.argv[2])

def compute(depth):
    if depth:
        return compute(depth - 1)
    return sum(i * i for i in range(9000)) % 251

def answer():
    if kind == "cpu":
        return compute(10)
    silent, other = socket.socketpair()
    poll = select.poll()
    poll.register(silent, select.POLLIN)
    poll.poll(10)
    return 1

def serve(connection):
    while connection.recv(1):
        connection.sendall(bytes([answer()]))

def sleep(depth):
    if depth:
        return sleep(depth - 1)
    time.sleep(100000)

for number in range(idle):
    threading.Thread(target=sleep, args=(10,), daemon=True).start()
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(64)
print(listener.getsockname()[1])
sys.stdout.flush()

def accept():
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
sys.stdin.readline()
sys.exit(0)
"""

# Prints "failures N"; writes (end, latency) of all requests, in ns of CLOCK_MONOTONIC.
LOAD = """
import array, socket, sys, threading, time
port, connections, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
stopping, failures, records = [], [], []

def load(record):
    try:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not stopping:
            begin = time.monotonic_ns()
            connection.sendall(b"x")
            if len(connection.recv(1)) != 1:
                raise OSError("closed")
            end = time.monotonic_ns()
            record.append(end)
            record.append(end - begin)
    except OSError as error:
        failures.append(error)

threads = []
for number in range(connections):
    records.append(array.array("Q"))
    threads.append(threading.Thread(target=load, args=(records[-1],)))
    threads[-1].start()
print("READY")
sys.stdout.flush()
sys.stdin.readline()
stopping.append(1)
for thread in threads:
    thread.join()
with open(output, "wb") as stream:
    for record in records:
        record.tofile(stream)
print("failures", len(failures))
"""

CONNECTIONS = {"cpu": 4, "io": 16}
METRICS = (("requests/s", "rate"), ("latency ms p50", "p50"), ("latency ms p99", "p99"),
           ("latency ms p99.9", "p999"), ("latency ms max", "max"), ("server CPU us", "cpu"))


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as stream:
        fields = stream.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def find_tools(options):
    tools = {"pycore": [options.pycore, "snap", "{pid}", "-i", options.interval, "-d", "{seconds}s",
                        "-q", "-f", "json", "-o", "{output}"]}
    spy = common.find_peer(options.py_spy, "py-spy")
    if spy:
        tools["py-spy"] = [spy, "record", "-i", "-r", "5", "-d", "{seconds}", "-f", "raw", "-o",
                           "{output}", "-p", "{pid}"]
        tools["py-spy -n"] = tools["py-spy"] + ["--native"]
    if options.only:
        tools = {name: tools[name] for name in options.only.split(",") if name in tools}
    return tools


def run_phase(server, command, options, folder):
    """Begin and end in ns, the server's CPU seconds; runs the tool meanwhile."""
    words = {"pid": server.pid, "seconds": options.phase, "output": os.path.join(folder, "output")}
    begin, cpu = time.monotonic_ns(), cpu_seconds(server.pid)
    tool = None
    if command:
        tool = subprocess.Popen([part.format(**words) for part in command],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    time.sleep(options.phase)
    end, used = time.monotonic_ns(), cpu_seconds(server.pid) - cpu
    worked = tool is None or tool.wait(60) in (0, 1)  # 1: the report lacks a stack
    return begin, end, used, worked


def run_server(python, kind, tools, options, folder):
    """[{tool or "off", ...: [phase results]}] per block; failures; exit status."""
    records = os.path.join(folder, "records")
    server = subprocess.Popen([python, "-c", SERVER, kind, str(options.idle)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    load = subprocess.Popen([sys.executable, "-c", LOAD, server.stdout.readline().decode().strip(),
                             str(CONNECTIONS[kind]), records], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    load.stdout.readline()
    time.sleep(1)
    blocks = []
    for _ in range(options.blocks):
        order = ["off", "off", *tools]
        random.shuffle(order)
        blocks.append([(name, run_phase(server, tools.get(name), options, folder))
                       for name in order])
    out, _ = load.communicate(b"\n")
    failures = int(out.split()[-1])
    server.communicate(b"\n")
    numbers = array.array("Q")
    with open(records, "rb") as stream:
        numbers.frombytes(stream.read())
    requests = sorted(zip(numbers[0::2], numbers[1::2]))
    return [[(name, summary(requests, phase)) for name, phase in block] for block in blocks], \
        failures, server.returncode


def summary(requests, phase):
    """The numbers of one phase."""
    begin, end, cpu, worked = phase
    latencies = sorted(latency / 1e6 for at, latency in requests if begin <= at < end)
    if not latencies:
        raise SystemExit("no request was answered in a phase")
    return {"rate": len(latencies) / ((end - begin) / 1e9), "worked": worked,
            "cpu": 1e6 * cpu / len(latencies), "max": latencies[-1],
            **{key: common.percentile(latencies, share)
               for key, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}}


def difference_text(differences):
    """The median with its interval, and a star when that does not hold 0."""
    source = random.Random(1)
    medians = sorted(common.median(source.choices(differences, k=len(differences)))
                     for _ in range(2000))
    low, high = common.percentile(medians, 0.025), common.percentile(medians, 0.975)
    return "%+.1f [%+.1f,%+.1f]%s" % (common.median(differences), low, high,
                                      " " if low <= 0 <= high else "*")


def print_table(kind, tools, blocks):
    print("\n%-17s %9s" % (kind + " server", "off")
          + "".join("%26s" % (name + " % ") for name in ["control", *tools]))
    for label, key in METRICS:
        offs = [[phase[key] for name, phase in block if name == "off"] for block in blocks]
        line = "%-17s %9.3f" % (label, common.median(sum(offs, [])))
        line += "%26s" % difference_text([100 * (a / b - 1) for a, b in offs])
        for tool in tools:
            line += "%26s" % difference_text(
                [100 * (2 * phase[key] / sum(pair) - 1) for block, pair in zip(blocks, offs)
                 for name, phase in block if name == tool])
        print(line)
    for tool in tools:
        failed = sum(not phase["worked"] for block in blocks for name, phase in block
                     if name == tool)
        if failed:
            print("%s failed in %d phases" % (tool, failed))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pycore", default=common.default_pycore())
    parser.add_argument("--python", default="3.12", help="path or version")
    parser.add_argument("--py-spy")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--phase", type=int, default=5, help="seconds")
    parser.add_argument("--server", default="cpu,io")
    parser.add_argument("--interval", default="200ms")
    parser.add_argument("--idle", type=int, default=20, help="threads that only sleep")
    parser.add_argument("--only", help="tools by the table's names, with commas")
    parser.add_argument("--json", help="all phases go there")
    options = parser.parse_args()
    python = common.find_pythons([options.python])[0]
    tools = find_tools(options)
    print("Python %s, %d blocks of %d s phases; differences are medians of pairs"
          % (common.version_of(python), options.blocks, options.phase))
    raw, faults = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.server.split(","):
            raw[kind], failures, status = run_server(python, kind, tools, options, folder)
            print_table(kind, tools, raw[kind])
            print("failed requests: %d, exit status of the server: %d" % (failures, status))
            sys.stdout.flush()
            faults += failures + (status != 0)
    if options.json:
        with open(options.json, "w") as stream:
            json.dump(raw, stream)
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
