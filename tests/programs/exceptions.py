# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that sleep while they handle exceptions; each has said before, by the traceback module, what
Python itself would print. Prints one line of JSON: [{thread, roots: [...]}]. Python 3.6 and later."""
import json
import sys
import threading
import time
import traceback
import types

said = []
handlers = []


def describe(value, parsed=None):
    """What Python would print of an exception, with all that belongs to it."""
    parsed = parsed or traceback.TracebackException(type(value), value, value.__traceback__)
    first = "".join(parsed.format_exception_only()).split("\n")[0]
    cls = type(value)
    home = "" if cls.__module__ in ("builtins", "__main__") else cls.__module__ + "."
    own_str = isinstance(vars(cls).get("__str__"), types.FunctionType)
    result = {
        "first_line": None if own_str or isinstance(value, SyntaxError) else first,
        "type": home + cls.__qualname__,
        "message": None if own_str else str(value),
        "arguments": repr(value.args) if own_str else None,
        "notes": list(getattr(value, "__notes__", [])),
        "traceback": [[item.name, item.filename, item.lineno] for item in parsed.stack],
    }
    if value.__cause__ is not None:
        result["cause"] = describe(value.__cause__)
    elif value.__context__ is not None and not value.__suppress_context__:
        result["context"] = describe(value.__context__)
    if hasattr(value, "exceptions"):
        result["members"] = [describe(member) for member in value.exceptions]
    return result


def hold(*values):
    """To be called in the handler: says what is handled, innermost first, and sleeps."""
    said.append({"thread": threading.current_thread().name,
                 "roots": [describe(value) for value in values]})
    time.sleep(1000)


def handler(function):
    handlers.append(function)
    return function


def fail(depth, kind=ValueError, *arguments):
    if depth:
        fail(depth - 1, kind, *arguments)
    raise kind(*arguments)


def simple(name, kind, *arguments):
    def run():
        try:
            fail(2, kind, *arguments)
        except BaseException as error:
            hold(error)
    run.__name__ = name
    handlers.append(run)


class Plain(Exception):
    pass


class Speaks(Exception):
    def __str__(self):
        return "code of its own"


class Outer:
    class Inner(KeyError):
        pass


class Derived(OSError):
    pass


simple("no_arguments", ValueError)
simple("one_text", ValueError, "it's \"wrong\"\n\u20ac \U0001f40d")
simple("one_number", ValueError, -12345678901234)
simple("one_none", ValueError, None)
simple("two", ValueError, "a", 1)
simple("nested_tuple", RuntimeError, ("x", (True, None)), b"\x00'\xff")
simple("key", KeyError, "missing")
simple("key_two", KeyError, "missing", "too")
simple("inner_key", Outer.Inner, ("tuple", 1))
simple("plain", Plain, "of a class of its own")
simple("speaks", Speaks, "argument", 2)
simple("os_two", OSError, 2, "No such file or directory")
simple("os_file", OSError, 2, "No such file or directory", "/nonexistent/'x'")
simple("os_files", OSError, 17, "File exists", "a", None, "b")
simple("os_one", OSError, "text only")
simple("os_derived", Derived, 13, "Permission denied", "x")
simple("decode", UnicodeDecodeError, "utf-8", b"ab\xff", 2, 3, "invalid start byte")
simple("decode_range", UnicodeDecodeError, "utf-8", b"ab\xff\xfe", 2, 4, "invalid")
simple("encode", UnicodeEncodeError, "ascii", "a\u20acb", 1, 2, "ordinal not in range(128)")
simple("encode_wide", UnicodeEncodeError, "ascii", "\u00e9\U0001f40d", 1, 2, "not in range")
simple("translate", UnicodeTranslateError, "\u20ac", 0, 1, "no")
simple("exit", SystemExit, 3)
simple("stop", StopIteration, "value")
simple("interrupt", KeyboardInterrupt)
simple("class_as_argument", TypeError, int)


@handler
def json_error():
    try:
        json.loads("{")
    except ValueError as error:
        hold(error)


@handler
def import_error():
    try:
        import no_such_module_of_anybody  # noqa: F401
    except ImportError as error:
        hold(error)


@handler
def syntax():
    try:
        compile("x = = 1\n", "/some/folder/file.py", "exec")
    except SyntaxError as error:
        hold(error)


@handler
def zero_division():
    try:
        1 / 0
    except ZeroDivisionError as error:
        hold(error)


@handler
def open_file():
    try:
        open("/nonexistent/file")
    except OSError as error:
        hold(error)


@handler
def raised_from():
    try:
        try:
            fail(1, ValueError, "first")
        except ValueError as first:
            raise KeyError("second") from first
    except KeyError as second:
        hold(second)


@handler
def context():
    try:
        try:
            fail(1, ValueError, "first")
        except ValueError:
            fail(0, KeyError, "second")
    except KeyError as second:
        hold(second)


@handler
def from_none():
    try:
        try:
            fail(1, ValueError, "first")
        except ValueError:
            raise KeyError("second") from None
    except KeyError as second:
        hold(second)


@handler
def handled_twice():
    """One is handled while another one is, and they have nothing to do with each other."""
    try:
        fail(1, ValueError, "outer")
    except ValueError as outer:
        try:
            raise KeyError("inner") from None
        except KeyError as inner:
            hold(inner, outer)


@handler
def in_finally():
    try:
        try:
            fail(1, ValueError, "on its way")
        finally:
            hold(sys.exc_info()[1])
    except ValueError:
        pass


def generator():
    try:
        fail(1, KeyError, "in the generator")
    except KeyError as inner:
        inner.__suppress_context__ = True
        yield inner


@handler
def in_generator():
    """A generator that handles one of its own is resumed by a function that handles another one."""
    def works():
        try:
            fail(1, KeyError, "in the generator")
        except KeyError as inner:
            inner.__suppress_context__ = True
            outer = yield
            hold(inner, outer)
    running = works()
    next(running)
    try:
        fail(1, ValueError, "outside")
    except ValueError as outer:
        running.send(outer)


@handler
def suspended_generator():
    """What a generator that does not run handles is not handled now."""
    suspended = generator()
    next(suspended)
    try:
        fail(0, ValueError, "outside")
    except ValueError as error:
        hold(error)


@handler
def in_with():
    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, kind, value, trace):
            hold(value)
    with Manager():
        fail(1, ValueError, "leaves the block")


@handler
def ring():
    """Causes that go round: Python itself stops there."""
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    try:
        raise first
    except ValueError as error:
        said.append({"thread": "ring", "roots": None})
        del error
        time.sleep(1000)


@handler
def deep():
    def sink(depth):
        if depth:
            sink(depth - 1)
        raise ValueError("deep")
    try:
        sink(700)
    except ValueError as error:
        hold(error)


if sys.version_info >= (3, 11):
    exec("""
@handler
def notes():
    try:
        fail(0, ValueError, "with notes")
    except ValueError as error:
        error.add_note("one")
        error.add_note("two\\nlines")
        hold(error)


def members(count):
    for number in range(count):
        try:
            fail(1, (ValueError, KeyError)[number % 2], "member %d" % number)
        except Exception as error:
            yield error


@handler
def group():
    try:
        raise ExceptionGroup("several", list(members(3)))
    except ExceptionGroup as error:
        hold(error)


@handler
def group_of_groups():
    try:
        raise BaseExceptionGroup("outer", [ExceptionGroup("inner", list(members(2))),
                                           KeyboardInterrupt()])
    except BaseExceptionGroup as error:
        hold(error)
""")


if __name__ == "__main__":
    sys.setrecursionlimit(5000)
    threads = [threading.Thread(target=function, name=function.__name__, daemon=True)
               for function in handlers]
    for thread in threads:
        thread.start()
    while len(said) < len(threads):
        time.sleep(0.01)
    print(json.dumps(said))
    print("READY", flush=True)
    time.sleep(1000)
