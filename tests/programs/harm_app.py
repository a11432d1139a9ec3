# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that shows whether it was harmed: threads that count what they do in a shared file.

usage: harm_app.py SHARED MODE [ARGUMENT]...

SHARED is a file of 512 bytes, 64 counters: 0 the main thread (or what the mode says), 1 a thread
that computes, 2 one that sleeps, 3 one that waits for a pipe; 8 and 9 as the modes say.
Runs on Python 3.6 and later.
"""

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
beats = None


def open_beats(path):
    with open(path, "r+b") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 512)).cast("Q")


def compute():
    while True:
        sum(range(200))
        beats[1] += 1


def doze():
    while True:
        time.sleep(0.002)
        beats[2] += 1


def wait_for_pipe(reader, writer):
    while True:
        os.write(writer, b"x")
        os.read(reader, 1)
        beats[3] += 1
        time.sleep(0.001)


def start_workers():
    for work, arguments in ((compute, ()), (doze, ()), (wait_for_pipe, os.pipe())):
        threading.Thread(target=work, args=arguments, daemon=True).start()


def ready():
    print("READY %d" % os.getpid())
    sys.stdout.flush()


def plain():
    start_workers()
    ready()
    while True:
        time.sleep(0.003)
        beats[0] += 1


def many(count):
    """Plain, with that many sleeping threads more."""
    for _ in range(int(count)):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    plain()


def wait_for_go():
    """The test says when: only it knows whether pycore is at work yet."""
    while not beats[8]:
        time.sleep(0.001)


def leave(delay_s, code):
    """exit_group() while the other threads work."""
    start_workers()
    ready()
    wait_for_go()
    time.sleep(float(delay_s))
    os._exit(int(code))


def threads_end(count):
    """Threads that end all the time; then, once it may, the program does, a thread at a time."""
    start_workers()
    ready()
    rounds = 0
    while not beats[8] or rounds < int(count):
        rounds += beats[8]
        crowd = [threading.Thread(target=time.sleep, args=(0.002,)) for _ in range(8)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        beats[0] += 1
    sys.exit(7)


def become(caller, rounds):
    """Executes itself again that many times, from the main thread or from another one."""
    done = int(os.environ.get("HARM_ROUND", "0"))
    start_workers()
    if done == 0:
        ready()
    beats[0] = done
    if done == int(rounds):
        while True:
            time.sleep(0.003)
            beats[8] += 1
    if int(rounds) > 1:
        time.sleep(0.02)
    else:
        wait_for_go()
    become_program(caller, [sys.executable, os.path.abspath(__file__)] + sys.argv[1:],
                   dict(os.environ, HARM_ROUND=str(done + 1)))


def become_program(caller, arguments, environment):
    def execute():
        os.execve(arguments[0], arguments, environment)

    if caller == "thread":
        threading.Thread(target=execute).start()
        time.sleep(1000)
    execute()


def become_sleep(caller):
    start_workers()
    ready()
    wait_for_go()
    become_program(caller, ["/bin/sleep", "1000"], {"PATH": "/bin"})


def fork():
    start_workers()
    ready()
    while True:
        child = os.fork()
        if child == 0:
            os._exit(5)
        if os.waitpid(child, 0)[1] != 5 << 8:
            beats[8] += 1
        beats[0] += 1


def run():
    start_workers()
    ready()
    while True:
        done = subprocess.run(["/bin/echo", "hello"], stdout=subprocess.PIPE)
        if done.returncode or done.stdout != b"hello\n":
            beats[8] += 1
        beats[0] += 1


def vfork(library, hold_ms):
    """The main thread is the parent of a vfork() child that takes its time."""
    hold = ctypes.CDLL(library).hold_vfork
    start_workers()
    ready()
    while True:
        beats[8] = 1
        hold(int(hold_ms))
        beats[8] = 0
        beats[0] += 1


def main_exits():
    """The main thread ends, its process does not."""
    start_workers()
    ready()
    libc.syscall(60, 0)


def signals(library, log):
    """Signals are written to a log by a handler in C; some reach the main thread only."""
    library = ctypes.CDLL(library)
    first = signal.SIGRTMIN
    signal.pthread_sigmask(signal.SIG_BLOCK, [first + 3])
    start_workers()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [first + 3])
    if library.open_log(os.fsencode(log)) != 0:
        sys.exit("no log")
    for signo in (signal.SIGUSR1, signal.SIGALRM, first + 3, first + 4):
        library.log_signal(int(signo))
    ready()
    while True:
        sum(range(300))
        time.sleep(0.0005)
        beats[0] += 1


def job(*mode):
    """A child in a process group of its own, as a shell would start it; counts what wait() says:
    8 stops, 9 continues."""
    child = os.fork()
    if child == 0:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        os.setpgid(0, 0)
        for number in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, signal.SIG_DFL)
        plain()
    while True:
        _, status = os.waitpid(child, os.WUNTRACED | os.WCONTINUED)
        if os.WIFSTOPPED(status):
            beats[8] += 1
        elif os.WIFCONTINUED(status):
            beats[9] += 1
        else:
            sys.exit("the child ended")


def trace_me():
    """A child that its parent traces, and that stands in a stop that the parent looks at."""
    child = os.fork()
    if child == 0:
        libc.prctl(1, signal.SIGKILL, 0, 0, 0)
        libc.ptrace(0, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            time.sleep(0.003)
            beats[0] += 1
    os.waitpid(child, os.WUNTRACED)
    print(child)
    ready()
    while not beats[8]:
        time.sleep(0.01)
    libc.ptrace(7, child, 0, 0)
    os.waitpid(child, 0)


def tracer(*tids):
    """A tracer that holds another process's threads."""
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    for tid in map(int, tids):
        if libc.ptrace(16, tid, None, None) != 0:
            sys.exit("cannot attach: %s" % os.strerror(ctypes.get_errno()))
        status = ctypes.c_int()
        libc.waitpid(tid, ctypes.byref(status), 0x40000000)
    ready()
    time.sleep(1000)


MODES = {function.__name__.replace("_", "-"): function for function in (
    plain, many, leave, threads_end, become, become_sleep, fork, run, vfork, main_exits, signals,
    job, trace_me, tracer)}


if __name__ == "__main__":
    beats = open_beats(sys.argv[1])
    MODES[sys.argv[2]](*sys.argv[3:])
