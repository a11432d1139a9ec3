# SPDX-License-Identifier: GPL-3.0-or-later
"""Situations in which the syntax makes the stack or the line difficult."""

import asyncio
import contextlib
import functools
import sys
import threading

from situations import park, situation


def both(*args, **kwargs):
    return args


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(
            *args,
            **kwargs
        )
    return wrapper


class Decorator:
    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        return self.function(*args)


@situation()
@decorated
@Decorator
@decorated
def decorators(
        argument=1
):
    return park()


@situation(name="decorator-runs")
def decorator_runs():
    def parks(function):
        park()
        return function

    @decorated
    @parks
    @decorated
    def never():
        pass


@situation()
def argument_of_call():
    both(
        1,
        both(
            2,
            park(

            ),
        ),
        key=3,
    )


def callee(first, second,
           third):
    park()


@situation()
def call_of_many_lines():
    (
        callee
    )(
        1,
        second=both(
            2
        ),
        third=3
    )


class Chain:
    def step(self, last=False):
        if last:
            park()
        return self


@situation()
def method_chain():
    (Chain()
     .step()
     .step(
         last=True)
     .step())


@situation()
def expression_of_many_lines():
    return (1 +
            2 *
            (park() or
             3) -
            4)


@situation()
def default_argument():
    def never(
            first=1,
            second=park()):
        pass


@situation()
def statement_on_one_line():
    for number in (1,): park(); number = 2


@contextlib.contextmanager
def managed(where):
    if where == "enter":
        park()
    try:
        yield
    finally:
        if where == "exit":
            park()


class Manager:
    def __init__(self, where):
        self.where = where

    def __enter__(self):
        if self.where == "enter":
            park()
        return self

    def __exit__(self, *error):
        if self.where == "exit":
            park()
        return True


for _where in ("enter", "exit"):
    @situation(name="with-" + _where)
    def with_(where=_where):
        with Manager(None), \
                Manager(where):
            both()

    @situation(name="with-generator-" + _where)
    def with_generator(where=_where):
        with managed(where):
            both()


@situation(name="with-exit-by-error")
def with_error():
    with Manager("exit"):
        both(
            1 / 0)


@situation(name="with-exit-by-return")
def with_return():
    with Manager("exit"):
        for number in (1, 2):
            return both(
                1)


@situation(name="with-body")
def with_body():
    with Manager(None) as one, Manager(None):
        try:
            raise ValueError
        except ValueError:
            with one:
                park()


@situation(name="try-finally")
def try_finally():
    try:
        return 1
    finally:
        park()


@situation(name="try-finally-error")
def try_finally_error():
    try:
        try:
            raise KeyError(
                1)
        finally:
            park()
    except KeyError:
        pass


@situation(name="try-except-else")
def try_else():
    for number in range(3):
        try:
            continue
        except ValueError:
            pass
        else:
            pass
        finally:
            park()


@situation(name="except-filter")
def except_filter():
    def kinds():
        park()
        return KeyError
    try:
        {}[1]
    except kinds():
        pass


@situation(name="list-comprehension")
def list_comprehension():
    return [
        park()
        for number in (1, 2)
        if number
    ]


@situation(name="nested-comprehension")
def nested_comprehension():
    return {
        outer: {
            inner + (park() or 0)
            for inner in (1, 2)
        }
        for outer in (1, 2)
    }


@situation(name="generator-expression")
def generator_expression():
    return list(
        park()
        for outer in (1, 2)
        for inner in (park for number in (1, 2))
    )


@situation(name="lambda")
def many_lambdas():
    return (lambda function: (
        lambda: function()))(
            lambda:
            park())()


@situation(name="assert-message")
def assert_message():
    try:
        assert 1 == 2, park()
    except AssertionError:
        pass


# ---- Generators and coroutines -------------------------------------------------------------------


def inner_generator():
    yield 1
    received = yield (
        park())
    return received


def outer_generator():
    yield 0
    result = yield from inner_generator()
    yield result


def outermost_generator():
    return (
        yield from
        outer_generator())


@situation(name="yield-from")
def yield_from():
    for item in outermost_generator():
        pass


@situation(name="generator-next", generator_next="{built-in method builtins.next}")
def generator_next():
    generator = outermost_generator()
    next(generator)
    next(generator)
    next(generator)


@situation(name="generator-send", generator_send="{method 'send' of 'generator' objects}")
def generator_send():
    generator = outermost_generator()
    generator.send(None)
    generator.send(None)
    generator.send(1)


def stubborn():
    try:
        yield 1
    except GeneratorExit:
        park()
    finally:
        both()


@situation(name="generator-close", generator_close="{method 'close' of 'generator' objects}")
def generator_close():
    generator = stubborn()
    next(generator)
    generator.close()


@situation(name="generator-throw", generator_throw="{method 'throw' of 'generator' objects}")
def generator_throw():
    def delegating():
        yield from stubborn()
    generator = delegating()
    next(generator)
    generator.throw(GeneratorExit)


@situation(name="generator-dies")
def generator_dies():
    generator = stubborn()
    next(generator)
    del generator
    both()


@situation(name="generator-of-another-thread")
def generator_moves():
    made = []

    def make():
        generator = outermost_generator()
        next(generator)
        made.append(generator)
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    list(made[0])


class Awaitable:
    def __init__(self, where):
        self.where = where

    def __await__(self):
        yield 1
        if self.where == "await":
            park()
        yield 2

    async def __aenter__(self):
        if self.where == "aenter":
            park()

    async def __aexit__(self, *error):
        if self.where == "aexit":
            await Awaitable("await")

    def __aiter__(self):
        return self

    async def __anext__(self):
        await Awaitable(None)
        park()
        raise StopAsyncIteration


async def async_await():
    await Awaitable("await")


async def async_enter():
    async with Awaitable("aenter"):
        pass


async def async_exit():
    async with Awaitable("aexit"):
        both()


async def async_for():
    async for item in Awaitable(None):
        pass


async def numbers():
    yield 1
    await Awaitable("await")
    yield 2


async def async_generator():
    async for number in numbers():
        both()


async def async_comprehension():
    return [
        number
        async for number in numbers()
    ]


async def async_nested():
    async def middle():
        return await async_generator()
    await middle()


def drive(coroutine):
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


for _function in (async_await, async_enter, async_exit, async_for, async_generator,
                  async_comprehension, async_nested):
    situation(name="by-hand-" + _function.__name__,
              drive="{method 'send' of 'coroutine' objects}")(
                  lambda function=_function: drive(function()))


@situation(name="async-generator-close")
def async_generator_close():
    async def closing():
        try:
            yield 1
        finally:
            park()
    generator = closing()
    drive(generator.__anext__())
    drive(generator.aclose())


async def asyncio_main(blocking):
    async def child():
        await asyncio.sleep(0)
        if blocking:
            park()
        await asyncio.sleep(100000)
    await asyncio.gather(child(), asyncio.sleep(100000))


def run_loop(blocking):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(asyncio_main(blocking))


@situation(name="asyncio-blocked")
def asyncio_blocked():
    run_loop(True)


@situation(name="asyncio-idle", select="{method 'poll' of 'select.epoll' objects}")
def asyncio_idle():
    run_loop(False)


# ---- Newer syntax --------------------------------------------------------------------------------

NEWER = {
    ((3, 8), "walrus"): """
def situation():
    return [last := park(), (first := last)]
""",
    ((3, 10), "match"): """
class Point:
    __match_args__ = ("x", "y")
    x = 1
    @property
    def y(self):
        return park()
def situation():
    match Point():
        case Point(2, y):
            pass
        case Point(1,
                   3):
            pass
""",
    ((3, 11), "except-star"): """
def situation():
    try:
        raise ExceptionGroup("both", [ValueError(1), KeyError(2)])
    except* ValueError:
        pass
    except* KeyError as group:
        for number in (1,):
            park()
""",
    ((3, 11), "except-star-raising"): """
def situation():
    try:
        try:
            raise ExceptionGroup("both", [ValueError(1), KeyError(2)])
        except* ValueError:
            raise
        finally:
            park()
    except* BaseException:
        pass
""",
    ((3, 12), "type-parameters"): """
def situation():
    class Generic[T: (park(), int)]:
        pass
    def function[A](argument: A = park()) -> A:
        pass
""",
    ((3, 12), "type-alias"): """
def situation():
    type Alias = [
        park() for number in (1, 2)]
    return Alias.__value__
""",
    ((3, 12), "super-in-class"): """
class Base:
    def method(self):
        return park()
class Derived(Base):
    def method(self):
        return [super().method()
                for number in (1, 2)]
def situation():
    Derived().method()
""",
    ((3, 14), "template-string"): """
def situation():
    return t"{1} {
        park()} {2}"
""",
    ((3, 14), "lazy-annotations"): """
def situation():
    def annotated(argument: park()) -> int:
        pass
    return annotated.__annotations__
""",
}

for (_version, _name), _source in NEWER.items():
    if sys.version_info >= _version:
        _namespace = {"park": park, "__name__": "newer"}
        exec(compile(_source, "<newer syntax>", "exec"), _namespace)
        situation(name=_name)(_namespace["situation"])
