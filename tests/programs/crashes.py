# SPDX-License-Identifier: GPL-3.0-or-later
"""Crashes in the way that its first argument says, beside a thread that waits. The folder with what
was compiled for it is the second. Python 3.6 and later."""
import ctypes
import faulthandler
import os
import sys
import threading
import time

crashes = {}


def crash(function):
    crashes[function.__name__] = function
    return function


def native(name):
    def in_extension():
        sys.path.insert(0, sys.argv[2])
        import crash_native
        getattr(crash_native, name)(("an", "argument"))
    crashes[name] = in_extension


for each in ("null_read", "null_write", "wild_write", "non_canonical", "non_canonical_frame",
             "after_free", "read_only", "data_call", "null_call", "divide", "beyond", "recurse", "assertion", "free_twice",
             "give_up", "raise_text", "raise_os", "raise_key"):
    native(each)


@crash
def python_recursion():
    """Without end, through C."""
    sys.path.insert(0, sys.argv[2])
    import crash_native
    sys.setrecursionlimit(1 << 30)

    def deeper():
        crash_native.call(deeper)
    threading.stack_size(256 << 10)
    thread = threading.Thread(target=deeper, name="deep")
    thread.start()
    thread.join()


@crash
def c_recursion_in_thread():
    sys.path.insert(0, sys.argv[2])
    import crash_native
    threading.stack_size(256 << 10)
    thread = threading.Thread(target=crash_native.recurse, args=(1,), name="deep")
    thread.start()
    thread.join()


@crash
def ctypes_read():
    ctypes.string_at(8)


@crash
def ctypes_write():
    ctypes.memset(0, 1, 1)


@crash
def ctypes_null_call():
    ctypes.CFUNCTYPE(None)(0)()


@crash
def fatal():
    message = ctypes.c_char_p(b"message of ours")
    ctypes.pythonapi.Py_FatalError(message)


@crash
def fatal_inside():
    """One of the interpreter's own: a thread state is asked for where there is none."""
    ctypes.CDLL(None).PyThreadState_Get()


@crash
def through_faulthandler():
    faulthandler.enable()
    sys.path.insert(0, sys.argv[2])
    import crash_native
    crash_native.wild_write(1)


@crash
def sent():
    os.kill(os.getpid(), 11)


@crash
def while_handling():
    sys.path.insert(0, sys.argv[2])
    import crash_native
    try:
        raise ValueError("first")
    except ValueError:
        crash_native.null_read(1)


def throws(name):
    def in_library():
        getattr(ctypes.CDLL(os.path.join(sys.argv[2], "crash_cxx.so")), name)()
    crashes[name] = in_library


for each in "throw_derived", "throw_own", "throw_text":
    throws(each)


def waiting():
    time.sleep(1000)


if __name__ == "__main__":
    threading.Thread(target=waiting, name="waiting", daemon=True).start()
    time.sleep(0.1)
    crashes[sys.argv[1]]()
