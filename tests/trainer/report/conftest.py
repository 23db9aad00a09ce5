"""Make reports, read them, and open them in headless Chromium, over the DevTools protocol by two pipes."""

import base64
import io
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import time

import numpy as np
import pytest
import torch
from PIL import Image

from src.trainer.report import Report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60


def images(height=40, width=60, channels=3, level=0.5):
    """Return noisy, denoised and clean tensors (C, H, W)."""
    rng = torch.Generator().manual_seed(0)
    clean = torch.full((channels, height, width), level)
    noisy = clean + 0.1 * level * torch.randn(clean.shape, generator=rng)
    return noisy, clean + 0.02 * level, clean


@pytest.fixture
def new(tmp_path):
    """Return a function that makes a report of `count` images."""
    return lambda count=1: Report(tmp_path, "a title", "seed: 0\n", "run/checkpoint/run_100.pth", count)


def add(report, name, *images, **options):
    """Add the next image to a report."""
    report.take(report.look(len(report._looks), name, *images, **options))


def html(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def data(folder, number=1):
    text = re.search(rf'<script type="application/json" id="d{number}">(.*?)</script>', html(folder))
    return None if text is None else json.loads(text[1])


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))))


class Page:
    """A page in the browser. Messages end with a zero byte; an answer has the number of its request."""

    def __init__(self, to_browser, from_browser):
        self.to_browser = to_browser
        self.from_browser = from_browser
        self.numbers = itertools.count(1)
        self.stored = b""
        self.problems = []
        self.requests = []
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **arguments):
        """Call a DevTools method and return its result; record the events in between."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": arguments}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _next(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.stored:
            assert select.select([self.from_browser], [], [], deadline - time.monotonic())[0], "no answer"
            part = os.read(self.from_browser, 1 << 20)
            assert part, "the browser has ended"
            self.stored += part
        message, self.stored = self.stored.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        method, content = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = content["exceptionDetails"]
            self.problems.append(details.get("exception", details).get("description", details["text"]))
        elif method == "Log.entryAdded":
            self.problems.append(content["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert"):
            self.problems.append(str(content["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(content["request"]["url"][:200])

    def open(self, path, fragment=""):
        """Load a file and wait until its images are shown."""
        self.call("Page.navigate", url=path.as_uri() + fragment)
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")
        self.settle()

    def run(self, expression):
        """Evaluate JavaScript on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < deadline, f"never: {condition}"
            time.sleep(0.02)

    def settle(self):
        """Wait for the next two frames."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def size(self, width, height, ratio=1, mobile=False):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=ratio, mobile=mobile,
        )  # fmt: skip
        self.settle()

    def dark(self):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def box(self, selector):
        """Scroll an element into view and return its left, top, width and height."""
        return self.run(
            f"(e => (e.scrollIntoView({{block: 'nearest'}}), e = e.getBoundingClientRect(),"
            f" [e.x, e.y, e.width, e.height]))(document.querySelector({json.dumps(selector)}))"
        )

    def point(self, selector, across=0.5, down=0.5):
        left, top, width, height = self.box(selector)
        return left + across * width, top + down * height

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start, end):
        held = {"button": "left", "buttons": 1}
        self.mouse("mousePressed", *start, clickCount=1, **held)
        self.mouse("mouseMoved", *[(a + b) / 2 for a, b in zip(start, end, strict=True)], **held)
        self.mouse("mouseMoved", *end, **held)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def click(self, selector):
        place = self.point(selector)
        self.drag(place, place)
        self.settle()

    def key(self, key, code=0, text=""):
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """The pipes of a running browser."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None or os.name != "posix":
        pytest.skip("the page is tested in Chromium; it is not installed (Debian: apt-get install chromium)")
    browser_reads, to_browser = os.pipe()
    from_browser, browser_writes = os.pipe()
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe",
        "--disable-dev-shm-usage", "--hide-scrollbars",
        f"--user-data-dir={tmp_path_factory.mktemp('browser')}",
    ]  # fmt: skip
    # The browser uses file descriptors 3 and 4.
    shell = f'exec "$@" 3</dev/fd/{browser_reads} 4>/dev/fd/{browser_writes}'
    process = subprocess.Popen(
        ["sh", "-c", shell, "sh", *command],
        pass_fds=(browser_reads, browser_writes), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(browser_reads)
    os.close(browser_writes)
    yield to_browser, from_browser
    os.close(to_browser)  # this ends the browser
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
    os.close(from_browser)


@pytest.fixture
def browser(chromium):
    """A new page of 1280 x 900 px. A test fails on console errors and on requests."""
    page = Page(*chromium)
    page.size(1280, 900)
    yield page
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    page.call("Page.close")
