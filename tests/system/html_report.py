# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the HTML report share: a small service, one run of it, one capture, one page."""

import json
import os
import re
import tempfile
import time
import unittest

import browser
import support

PROGRAM = '''
import sys, threading, time

def hot(number):
    for step in range(3000):
        number = (number * 31 + step) % 10007
    return number

def cold(number):
    for step in range(700):
        number = (number * 17 + step) % 10007
    return number

def fall(depth):
    return cold(depth) if depth == 0 else fall(depth - 1)

def work():
    while True:
        hot(1)
        fall(5)

def doze():
    while True:
        time.sleep(60)

lock = threading.Lock()
lock.acquire()

def wait_for_lock():
    lock.acquire()

for name, target in (("worker", work), ("dozer", doze), ("locked", wait_for_lock)):
    threading.Thread(target=target, name=name, daemon=True).start()
print("READY")
sys.stdout.flush()
doze()
'''


def data_of(text):
    return json.loads(re.search('id="data">(.*?)</script>', text, re.S).group(1))


def with_data(text, data):
    """The page with other data."""
    escaped = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return re.sub('(id="data">).*?(</script>)', lambda found: found.group(1) + escaped + found.group(2),
                  text, count=1, flags=re.S)


class Report(support.TestCase):
    """One run, one capture, one page; the tests look at it."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        python = next((python for python in reversed(support.interpreters())
                       if python.build == "release" and python.minor >= (3, 8)), None)
        if not python:
            raise unittest.SkipTest("no Python 3.8 or later is on this machine")
        cls.python = python
        script = os.path.join(cls.folder, "service.py")
        with open(script, "w") as stream:
            stream.write(PROGRAM)
        cls.capture = os.path.join(cls.folder, "run.cap")
        with support.start_target(python, script) as target:
            deadline = time.monotonic() + 60
            while True:
                cls.take_run(target.pid)
                if cls.shows_all() or time.monotonic() > deadline:
                    break
            cls.dump = support.pycore("snap", target.pid, "-f", "html").out
        cls.path = os.path.join(cls.folder, "report.html")
        done = support.pycore("analyze", cls.capture, "-o", cls.path)
        assert done.rc in (0, 1), done.err
        with open(cls.path, encoding="utf-8") as stream:
            cls.text = stream.read()
        cls.data = data_of(cls.text)

    @classmethod
    def take_run(cls, pid):
        done = support.pycore("snap", pid, "-n", "20", "-i", "20ms", "--save", cls.capture,
                              "-o", os.path.join(cls.folder, "live.txt"))
        assert done.rc in (0, 1), done.err
        cls.json = support.pycore_json("analyze", cls.capture, ok=(0, 1))
        cls.profile = cls.json["profile"]

    @classmethod
    def shows_all(cls):
        """Twenty looks do not always meet all functions of the program, nor show which one is the hottest."""
        own = {function["function"]: function["own"] for function in cls.profile["functions"]}
        worker = next((thread["tid"] for thread in cls.profile["threads"] if thread["name"] == "worker"), None)
        stacks = [stack for stack in cls.profile["stacks"] if stack["tid"] == worker]
        return {"hot", "cold", "fall"} <= set(own) and own["hot"] > 2 * own["cold"] and len(stacks) > 3 and \
            "lock-wait" in cls.profile["states"]

    def page(self, text=None, **options):
        path = self.path
        if text is not None:
            path = os.path.join(self.folder, "other.html")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
        return Checked(self, "file://" + path, **options)


class Checked(browser.Page):
    """A page that must not complain, nor ask for anything, until it is left."""

    def __init__(self, test, url, **options):
        super().__init__(url, **options)
        self.test = test

    def __exit__(self, kind=None, *_):
        super().__exit__()
        if kind is None:
            self.test.assertEqual(self.complaints, [])
            self.test.assertEqual(self.requests, [])
