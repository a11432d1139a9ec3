# SPDX-License-Identifier: GPL-3.0-or-later
"""Headless Chromium for tests of what is made for browsers, driven by its DevTools protocol over a
pair of pipes (--remote-debugging-pipe: messages of JSON, each ended by a NUL byte).

    with browser.Page("file:///report.html", width=1280, height=800) as page:
        page.click("#graph-reset")
        page.key("ArrowDown")
        self.assertEqual(page.text("#graph-details"), "...")
        self.assertEqual(page.complaints, [])

`page.complaints` has all that the page wrote to its console, `page.errors` those of it that are
errors; `page.requests` what it asked for beside itself.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_S = 180

# key: (code, virtual key code) as the UI Events specification and Windows have them
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Enter": 13, "Escape": 27,
        "Home": 36, "End": 35, "Tab": 9, " ": 32}


def find():
    """The browser's program; skips the test where there is none."""
    for name in NAMES:
        if shutil.which(name):
            return shutil.which(name)
    raise unittest.SkipTest("chromium is not on this machine")


class Page:
    def __init__(self, url, width=1280, height=800, scale=1, dark=False, scripts=True, flags=()):
        self.url, self.width, self.height, self.scale = url, width, height, scale
        self.dark, self.scripts, self.flags = dark, scripts, flags
        self.complaints, self.errors, self.requests = [], [], []
        self._events, self._last = [], 0

    def __enter__(self):
        program = find()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ends = [os.pipe(), os.pipe()]
        # High numbers, so that 3 and 4 can be made of them whatever else is open here.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 40) for end in (ends[0][0], ends[1][1])]

        def lend():
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)
        self._process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--remote-debugging-pipe", "--user-data-dir=" + self._folder.name,
             *self.flags, "about:blank"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=lend, start_new_session=True)
        for end in theirs + [ends[0][0], ends[1][1]]:
            os.close(end)
        self._to, self._from, self._buffer, self._session = ends[0][1], ends[1][0], b"", None
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Its own group, whose leader is not reaped yet.
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._folder.cleanup()

    def _open(self):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.ask(domain + ".enable")
        self.resize(self.width, self.height, self.scale)
        self.media(dark=self.dark)
        if not self.scripts:
            self.ask("Emulation.setScriptExecutionDisabled", value=True)
        self.ask("Page.navigate", url=self.url)
        self.wait_for("Page.loadEventFired")

    # ---- The protocol ----------------------------------------------------------------------------

    def _read(self, deadline):
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError("the browser said nothing for %d s" % TIMEOUT_S)
            data = os.read(self._from, 1 << 20)
            if not data:
                raise unittest.SkipTest("the browser does not run here")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self._note(message["method"], message["params"])
        return message

    def _note(self, method, params):
        self._events.append(method)
        if method == "Runtime.consoleAPICalled":
            self._complain(params["type"] == "error", str(params["args"]))
        elif method == "Runtime.exceptionThrown":
            self._complain(True, json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self._complain(params["entry"]["level"] == "error", params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and params["request"]["url"] != self.url:
            self.requests.append(params["request"]["url"])

    def _complain(self, is_error, text):
        self.complaints.append(text)
        if is_error:
            self.errors.append(text)

    def ask(self, method, **params):
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise AssertionError("%s: %s" % (method, answer["error"]))
                return answer["result"]

    def wait_for(self, event):
        deadline = time.monotonic() + TIMEOUT_S
        while event not in self._events:
            self._read(deadline)

    # ---- What a reader does ----------------------------------------------------------------------

    def run(self, script):
        """The value of an expression."""
        done = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise AssertionError("%s: %s" % (script, done["exceptionDetails"]))
        return done["result"].get("value")

    def wait(self, script):
        """Until an expression is true."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.run(script):
            if time.monotonic() > deadline:
                raise AssertionError("never true: " + script)
            time.sleep(0.05)

    def settle(self):
        """Until what was asked for is drawn."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def text(self, selector):
        return self.run("document.querySelector(%s).textContent" % json.dumps(selector))

    def texts(self, selector):
        return self.run("Array.from(document.querySelectorAll(%s), (e) => e.textContent)" % json.dumps(selector))

    def click(self, selector, x=None, y=None):
        """In its middle, or at a place within it."""
        box = self.run("""(() => { const e = document.querySelector(%s);
            e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect();
            return [r.left, r.top, r.width, r.height]; })()""" % json.dumps(selector))
        place = {"x": box[0] + (box[2] / 2 if x is None else x), "y": box[1] + (box[3] / 2 if y is None else y)}
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, button="none" if kind == "mouseMoved" else "left",
                     clickCount=0 if kind == "mouseMoved" else 1, **place)
        self.settle()

    def key(self, key, count=1):
        for _ in range(count):
            facts = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper()))}
            if key == "Enter":
                facts["text"] = "\r"
            elif len(key) == 1:
                facts["text"] = key
            self.ask("Input.dispatchKeyEvent", type="keyDown", **facts)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **facts)
        self.settle()

    def type(self, selector, text):
        """None: into what has the focus."""
        if selector:
            self.run("document.querySelector(%s).focus()" % json.dumps(selector))
        self.ask("Input.insertText", text=text)
        self.settle()

    def choose(self, selector, value):
        """An option, a radio button, a checkbox or a slider, as the page hears of it."""
        self.run("""(() => { const e = document.querySelector(%s), value = %s;
            if (typeof value === "boolean") e.checked = value; else e.value = value;
            e.dispatchEvent(new Event("input", {bubbles: true}));
            e.dispatchEvent(new Event("change", {bubbles: true})); })()""" % (json.dumps(selector), json.dumps(value)))
        self.settle()

    def resize(self, width, height, scale=1):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=scale, mobile=False)

    def media(self, dark=False, kind=""):
        self.ask("Emulation.setEmulatedMedia", media=kind, features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def screenshot(self, path, whole=False):
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(shot["data"]))

    def print(self, path):
        done = self.ask("Page.printToPDF", preferCSSPageSize=True)
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(done["data"]))
