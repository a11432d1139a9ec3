# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium that tests drive through its DevTools protocol, by a pipe (NUL-terminated JSON
on descriptors 3 and 4): https://chromedevtools.github.io/devtools-protocol/. Standard library only.

    with browser.open_page("file:///...") as page:
        page.click("#reset")
        self.assertEqual(page.value("document.title"), "...")
        self.assertEqual(page.errors, [])
"""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

import support

TIMEOUT_S = 60


def program():
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome",
                                                "chrome"))), None)


class Page:
    """One page. `errors`: what it complained of; `requests`: every URL that it asked for."""

    def __init__(self, to_browser, from_browser):
        self._to, self._from = to_browser, from_browser
        self._buffer, self._answers, self._number = b"", {}, 0
        self._session = None
        self.loaded = False
        self.errors, self.requests = [], []

    def _receive(self, deadline):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._from, 1 << 20) if ready else b""
            if not data:
                raise AssertionError("the browser %s" % ("ended" if ready else "does not answer"))
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(line)
        if "id" in message:
            self._answers[message["id"]] = message
            return
        facts = message["params"]
        if message["method"] == "Page.loadEventFired":
            self.loaded = True
        elif message["method"] == "Runtime.exceptionThrown":
            self.errors.append(facts["exceptionDetails"])
        elif message["method"] == "Runtime.consoleAPICalled" and facts["type"] == "error":
            self.errors.append(facts["args"])
        elif message["method"] == "Log.entryAdded" and facts["entry"]["level"] == "error":
            self.errors.append(facts["entry"])
        elif message["method"] == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])

    def call(self, method, **params):
        """A method of the protocol; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT_S
        while self._number not in self._answers:
            self._receive(deadline)
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise AssertionError("%s: %s" % (method, answer["error"]))
        return answer["result"]

    def begin(self):
        """Attaches to a page of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target,
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def go(self, url):
        """Opens a URL and waits until it has loaded."""
        self.loaded = False
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + TIMEOUT_S
        while not self.loaded:
            self._receive(deadline)

    def value(self, expression):
        """The value of a JavaScript expression (of a promise: what it comes to)."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError("%s: %s" % (expression, result["exceptionDetails"]))
        return result["result"].get("value")

    def wait(self, expression):
        """Waits until an expression is true."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self.value(expression):
            if time.monotonic() > deadline:
                raise AssertionError("never true: " + expression)
            time.sleep(0.05)

    def click_at(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click(self, element):
        """A click of the mouse on the middle of an element, by a selector or an expression."""
        found = element if "(" in element else "document.querySelector(%s)" % json.dumps(element)
        self.click_at(*self.value("(() => { const r = %s.getBoundingClientRect();"
                                  " return [r.x + r.width / 2, r.y + r.height / 2]; })()" % found))

    def press(self, key):
        """A key: 'Enter', 'ArrowDown', '/' ..."""
        more = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key,
                      **(more if kind == "keyDown" else {}))

    def type(self, text):
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def resize(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=scale, mobile=False)

    def prefer(self, scheme):
        """'dark' or 'light'."""
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        """A PNG of what is to be seen."""
        with open(path, "wb") as stream:
            stream.write(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def open_page(url=None, *flags):
    """A page in a browser of its own, which ends with it; opens `url` at once."""
    to_browser, from_browser = os.pipe(), os.pipe()

    def prepare():
        # Out of the way of 3 and 4 first: they may be ends of these pipes themselves.
        ends = [os.dup(to_browser[0]), os.dup(from_browser[1])]
        ends = [os.dup2(end, 20 + number) for number, end in enumerate(ends)]
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as log:
        command = [program(), "--headless", "--remote-debugging-pipe", "--no-sandbox",
                   "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
                   "--disable-background-networking", "--user-data-dir=" + home, *flags]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   close_fds=False, preexec_fn=prepare, start_new_session=True,
                                   env=support.clean_environment(HOME=home))
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            page = Page(to_browser[1], from_browser[0])
            page.begin()
            if url:
                page.go(url)
            yield page
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(to_browser[1])
            os.close(from_browser[0])
