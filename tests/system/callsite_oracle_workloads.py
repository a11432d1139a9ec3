# SPDX-License-Identifier: GPL-3.0-or-later
"""Longer programs for callsite_oracle_probe.py to single-step through."""
import sys


def _tests(name):
    """run() for one module of the test package."""
    import importlib
    import io
    import unittest
    module = importlib.import_module("test." + name)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)

    def run():
        unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    return run


def _library():
    """A bit of everything written in Python."""
    import argparse
    import ast
    import asyncio
    import collections
    import configparser
    import contextlib
    import csv
    import difflib
    import dis
    import email.message
    import fractions
    import heapq
    import html.parser
    import http.cookies
    import inspect
    import io
    import ipaddress
    import json
    import pickle
    import pprint
    import random
    import re
    import shlex
    import statistics
    import string
    import tarfile
    import tempfile
    import textwrap
    import tokenize
    import traceback
    import urllib.parse
    import xml.dom.minidom
    import zipfile
    source = inspect.getsource(heapq.merge) + inspect.getsource(contextlib.ExitStack)

    def texts():
        list(tokenize.generate_tokens(io.StringIO(source).readline))
        tree = ast.parse(source)
        [type(node) for node in ast.walk(tree)]
        getattr(ast, "unparse", ast.dump)(tree)
        textwrap.fill(source)
        list(difflib.ndiff(["a\n", "b\n", "d\n"], ["a\n", "c\n", "d\n"]))
        list(difflib.unified_diff(source[:900].split("\n"), source[:700].split("\n")))
        pprint.pformat({"a": [1, 2, {"b": (3, 4)}], "c": "x y " * 30}, width=10)
        json.dumps({"a": [1, None, 2.5]}, indent=1)
        json.JSONDecoder(parse_int=int).decode('{"a": [1, 2.5, "x", null]}')
        re.compile("(a|b)*c+[^d]{2,3}(?P<x>y)(?(x)z|w)")
        string.Template("$a ${b}").substitute(a=1, b=2)
        string.Formatter().vformat("{0:>{1}} {a[0]}", (1, 5), {"a": [3]})
        shlex.split("a 'b c' \"d\\\"e\" # f", comments=True)
        urllib.parse.urlsplit("http://u:p@h:1/p;x?q=%20#f").geturl()
        urllib.parse.parse_qs("a=1&b=%20&a=3")
        html.parser.HTMLParser().feed("<p class='x'>a &amp; b<br/><!-- c --></p>")
        http.cookies.SimpleCookie("a=b; c=d").output()
        xml.dom.minidom.parseString("<a b='c'><d/>e</a>").toprettyxml()

    def objects():
        parser = argparse.ArgumentParser(prog="p")
        parser.add_argument("-x", type=int, choices=[1, 2], help="x %(default)s")
        parser.add_argument("rest", nargs="*")
        parser.parse_args(["-x", "1", "a", "b"])
        parser.format_help()
        config = configparser.ConfigParser()
        config.read_string("[a]\nb = 1\nc = %(b)s\n")
        config.get("a", "c")
        message = email.message.EmailMessage()
        message["Subject"] = "x"
        message["To"] = "a <b@c>"
        message.set_content("text")
        str(message)
        collections.namedtuple("N", "a b")(1, 2)
        collections.Counter("abc").most_common(2)
        collections.ChainMap({1: 2}, {3: 4})[3]
        list(csv.DictReader(["a,b", "1,2"]))
        pickle._loads(pickle._dumps({"a": [1, (2, 3), b"4", "5", 6.0, None]}))
        for target in (inspect.signature, json.dumps, argparse.ArgumentParser):
            str(inspect.signature(target))
        dis.dis(contextlib.ExitStack, file=io.StringIO())
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(contextlib.suppress(KeyError))
                stack.callback(print, end="", file=io.StringIO())
                raise ValueError
        except ValueError:
            traceback.format_exc()

    def numbers():
        statistics.stdev([1, 2, 4])
        random.Random(1).sample(range(20), 5)
        random.Random(1).shuffle([1, 2, 3])
        fractions.Fraction("1/3") + fractions.Fraction(1, 7) ** 2
        list(ipaddress.ip_network("10.0.0.0/28").subnets(2))
        list(heapq.merge([1, 4], [2, 3], key=lambda x: x))
        import _pydecimal
        with _pydecimal.localcontext() as context:
            context.prec = 9
            _pydecimal.Decimal("2").sqrt().exp() / 7

    def files():
        with tempfile.TemporaryDirectory() as directory:
            with zipfile.ZipFile(directory + "/z.zip", "w") as archive:
                archive.writestr("a", "b")
            with zipfile.ZipFile(directory + "/z.zip") as archive:
                archive.read("a")
            with tarfile.open(directory + "/t.tar", "w") as archive:
                archive.add(directory + "/z.zip", "z")
            with tarfile.open(directory + "/t.tar") as archive:
                archive.getnames()

    def loops():
        async def consumer(queue, lock):
            while True:
                item = await queue.get()
                async with lock:
                    queue.task_done()
                if item is None:
                    return

        async def main():
            queue, lock = asyncio.Queue(), asyncio.Lock()
            task = asyncio.ensure_future(consumer(queue, lock))
            for item in (1, 2, None):
                await queue.put(item)
            try:
                await asyncio.wait_for(asyncio.sleep(5), 0.01)
            except Exception:
                pass
            await asyncio.gather(task, queue.join(), return_exceptions=True)
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()
    return [texts, objects, numbers, files, loops]


def workloads():
    ret = _library()
    for name in ("test_with", "test_grammar", "test_exceptions", "test_generators",
                 "test_contextlib", "test_coroutines", "test_asyncgen"):
        try:
            ret.append(_tests(name))
        except Exception as error:  # no test package, a module this version lacks
            sys.stderr.write("no test.%s: %s\n" % (name, error))
    return ret
