#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""--locals: values of all kinds as the interpreter itself says them, live, in cores and captures; kinds
of variables; and that no secret leaves without --show-secrets."""

import json
import os
import subprocess
import tempfile

import support

PROGRAM = support.path("tests/programs/values.py")
BUILDS = ("release", "debug", "free-threaded")


def frames_of(document):
    return [frame for snapshot in document["snapshots"] for thread in snapshot["threads"]
            for frame in thread["frames"]]


def variables(document, function):
    """The variables of the first frame of a function: {name: (kind, value)}."""
    for frame in frames_of(document):
        if frame.get("function") == function and "locals" in frame:
            return {local["name"]: (local["kind"], local["value"]) for local in frame["locals"]}
    raise AssertionError("no variables of %s" % function)


def held(document):
    """What the frames of hold() hold: {key: text}."""
    found = {}
    for frame in frames_of(document):
        if frame.get("function") == "hold":
            here = {local["name"]: local["value"] for local in frame.get("locals", ())}
            if "key" in here:
                found[here["key"][1:-1].replace("\\\\", "\\")] = here["value"]
    return found


BUSY = '''
import threading, time
def rest(value):
    time.sleep(100000)
thread = threading.Thread(target=rest, args=(5,), name="asleep", daemon=True)
thread.start()
def runs():
    with open("/proc/self/task/%d/status" % thread.native_id) as stream:
        return [line for line in stream if line.startswith(("State:", "voluntary_ctxt"))]
# Twice the same while the GIL is free: it sleeps, and does not wait for that.
before = None
while before != runs() or "S (sleeping)" not in before[0]:
    before = runs()
    time.sleep(0.05)
print("READY", flush=True)
while True:
    pass
'''


class Values(support.TestCase):
    def compare(self, expected, document):
        found = held(document)
        self.assertEqual(sorted(expected), sorted(found))
        wrong = ["%s: %s, and not %s" % (key, found[key], text)
                 for key, text in expected.items() if found[key] != text]
        self.assertEqual(wrong, [])

    @support.each_python(builds=BUILDS)
    def test_live_core_and_capture(self, python):
        with tempfile.TemporaryDirectory() as folder:
            self.check_all(python, os.path.join(folder, "capture"), os.path.join(folder, "core"))

    def check_all(self, python, capture, core):
        with support.start_target(python, PROGRAM, still=True) as target:
            expected = json.loads(target.lines[0])
            self.assertGreater(len(expected), 200)
            live = support.pycore_json("snap", target.pid, "--locals", ok=(0, 1))
            saved = support.pycore_json("snap", target.pid, "--locals", "--save", capture, ok=(0, 1))
            dumped = support.pycore("gcore", target.pid, "-o", core)
            self.assertEqual(dumped.rc, 0, dumped.err)
        self.compare(expected, live)
        self.compare(expected, saved)
        self.compare(expected, support.pycore_json("analyze", core, "--locals", ok=(0, 1)))
        self.compare(expected, support.pycore_json("report", capture, "--locals", ok=(0, 1)))
        # Says so.
        self.assertIn("--locals", str(saved["source"].get("notes", "")) + str(saved["notes"]))
        # Not asked for, they are not there.
        plain = support.pycore_json("report", capture, ok=(0, 1))
        self.assertFalse([frame for frame in frames_of(plain) if "locals" in frame])

    @support.each_python(first=support.MINORS[-1])
    def test_capture_without_and_threads_that_run(self, python):
        with tempfile.TemporaryDirectory() as folder:
            capture = os.path.join(folder, "capture")
            with support.start_program([python.path, "-c", BUSY]) as target:
                live = support.pycore_json("snap", target.pid, "--locals", ok=(0, 1))
                support.pycore_json("snap", target.pid, "--save", capture, ok=(0, 1))
            replayed = support.pycore_json("report", capture, "--locals", ok=(0, 1))
        threads = {thread["name"]: thread for thread in live["snapshots"][0]["threads"]}
        self.assertIn("as it ran", str(threads["MainThread"]["notes"]))
        self.assertEqual(variables({"snapshots": [{"threads": [threads["asleep"]]}]}, "rest"),
                         {"value": ("argument", "5")})
        self.assertFalse([frame for frame in frames_of(replayed) if "locals" in frame])
        self.assertIn("without --locals", str(replayed["notes"]))


KINDS = '''
import sys, time
def outer(free_one):
    def inner(first, second=2, *rest, only, **more):
        local = 1
        unset = 1
        del unset
        cell = 3
        use = lambda: (cell, first)
        if not first:
            never = 1
        shared = free_one
        print("READY")
        sys.stdout.flush()
        time.sleep(100000)
    inner("a", only=None, extra=1)
class Body:
    attribute = 5
    outer("free")
'''


class Kinds(support.TestCase):
    @support.each_python(builds=BUILDS)
    def test_kinds_of_variables(self, python):
        with tempfile.TemporaryDirectory() as folder:
            script = os.path.join(folder, "kinds.py")
            with open(script, "w") as stream:
                stream.write(KINDS)
            with support.start_target(python, script, still=True) as target:
                document = support.pycore_json("snap", target.pid, "--locals", ok=(0, 1))
        inner = variables(document, "inner")
        use = inner.pop("use")
        self.assertEqual(use[0], "local")
        self.assertRegex(use[1], r"^<function outer.<locals>.inner.<locals>.<lambda> at 0x[0-9a-f]+>$")
        self.assertEqual(inner, {
            "first": ("argument", "'a'"), "second": ("argument", "2"), "rest": ("argument", "()"),
            "only": ("argument", "None"), "more": ("argument", "{'extra': 1}"),
            "local": ("local", "1"), "cell": ("cell", "3"), "free_one": ("free", "'free'"),
            "shared": ("local", "'free'")})
        self.assertEqual(variables(document, "Body"), {"attribute": ("local", "5")})
        module = variables(document, "<module>")
        self.assertEqual(sorted(module), ["outer", "sys", "time"])


# Nothing that looks like a secret, wherever it is; each value has a mark of its own.
SECRETS = '''
import collections, functools, os, sys, threading, time
try:
    import dataclasses
except ImportError:
    dataclasses = None

class Account:
    def __init__(self):
        self.user = "VISIBLE1"
        self.password = "SECRETa1"
        self.nested = {"api_key": "SECRETa2"}

class Slotted:
    __slots__ = ("token", "name")
    def __init__(self):
        self.token, self.name = "SECRETa3", "VISIBLE2"

Login = collections.namedtuple("Login", "user passwd")

def connect(host, password, *, api_key=None, **options):
    db_password = "SECRETb1"
    authToken = b"SECRETb2"
    secret = ["SECRETb3", {"x": "SECRETb4"}]
    client_secret = bytearray(b"SECRETb5")
    pwd = 990001990001
    account, slotted, login = Account(), Slotted(), Login("VISIBLE3", "SECRETb6")
    headers = [("Authorization", "Bearer SECRETb7"), ("Accept", "VISIBLE4")]
    header_map = {"Cookie": "id=SECRETb8", "x-api-key": "SECRETb9"}
    raw = b"GET / HTTP/1.1\\r\\nAuthorization: Basic SECRETc1\\r\\nHost: VISIBLE5\\r\\n"
    url = "postgresql://app:SECRETc2@db/VISIBLE6"
    body = '{"password": "SECRETc3", "user": "VISIBLE7"}'
    argv = ["prog", "--token", "SECRETc4", "--password=SECRETc5"]
    key = "sk-proj-SECRETc6x0123456789"
    aws = "AKIASECRETC7X0123456"
    jwt_text = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJTRUNSRVQifQ.SECRETc8x012345"
    pem = "-----BEGIN PRIVATE KEY-----\\nSECRETc9\\n-----END PRIVATE KEY-----"
    error = ValueError("login with password='SECRETd1' failed")
    call = functools.partial(print, password="SECRETd2")
    nested = {"level": [{"deep": {"session_token": "SECRETd3"}}]}
    environ = os.environ
    env = dict(os.environ)
    copied = {b"PATH": b"/bin", b"HOME": b"/", b"SOME_SETTING": b"SECRETd4"}
    made = type("Data", (), {})()
    if dataclasses:
        made = dataclasses.make_dataclass("Data", [("name", str), ("secret_key", str)])(
            "VISIBLE8", "SECRETd5")
    exec_env = ["PATH=/bin", "X=SECRETd6"]
    environment = exec_env
    visible = "VISIBLE9"
    tokenizer, monkey, keyboard, max_tokens = "VISIBLE10", "VISIBLE11", "VISIBLE12", 880088
    cell_secret = "SECRETd7"
    def inner(token_in_cell=lambda: cell_secret):
        print("READY")
        sys.stdout.flush()
        time.sleep(100000)
    inner()

PASSWORD = "SECRETe1"
connect("VISIBLE13", PASSWORD, api_key="SECRETe2", options_token="SECRETe3")
'''
VISIBLE = ["VISIBLE%d" % i for i in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)] + ["880088"]
ENVIRONMENT = {"DB_PASSWORD": "SECRETf1", "HARMLESS_SETTING": "SECRETf2"}


class Secrets(support.TestCase):
    def leaks(self, text):
        return sorted({text[at:at + 8] for mark in ("SECRET", "990001990001")
                       for at in range(len(text)) if text.startswith(mark, at)})

    @support.each_python(builds=BUILDS)
    def test_planted_secrets_stay_hidden(self, python):
        with tempfile.TemporaryDirectory() as folder:
            # Compiled before: the compiler leaves literals where the stack will be.
            script, module = (os.path.join(folder, name) for name in ("run.py", "secrets_here.py"))
            with open(script, "w") as stream:
                stream.write("import secrets_here\n")
            with open(module, "w") as stream:
                stream.write(SECRETS)
            subprocess.run([python.path, "-m", "py_compile", module], check=True)
            with support.start_target(python, script, "--token=SECRETg1", "--password", "SECRETg2",
                                      env=ENVIRONMENT, still=True) as target:
                paths = [os.path.join(folder, "report." + ending)
                         for ending in ("json", "txt", "md", "html")]
                outputs = [word for path in paths for word in ("-o", path)]
                done = support.pycore("snap", target.pid, "--locals", *outputs)
                self.assertIn(done.rc, (0, 1), done.err)
                capture = os.path.join(folder, "capture")
                done = support.pycore("snap", target.pid, "--save", capture)
                self.assertIn(done.rc, (0, 1), done.err)
                shown = support.pycore("snap", target.pid, "--locals", "--show-secrets", "-f", "json")
            for path in paths:
                with open(path, encoding="utf-8", errors="replace") as stream:
                    self.assertEqual(self.leaks(stream.read()), [], path)
            with open(capture, "rb") as stream:
                self.assertEqual(self.leaks(stream.read().decode("latin-1")), [], "the capture")
            with open(paths[0]) as stream:
                report = stream.read()
            for text in VISIBLE:
                self.assertIn(text, report)
            # The test would see them, and each of them.
            for text in ("SECRETa1", "SECRETb8", "SECRETc9", "SECRETd7", "SECRETe3", "SECRETf2"):
                self.assertIn(text, shown.out)


if __name__ == "__main__":
    import tap
    tap.main()
