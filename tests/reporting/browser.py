"""A headless Chromium that opens pages and says what is wrong with them, driven by the DevTools protocol."""

import json
import os
import shutil
import subprocess
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60  # for any answer, on a machine that others use too

# Elements that reach beyond the window are named, but not those inside an element that scrolls by itself.
_LOOK = """
((width) => {
  const wide = [];
  if (document.scrollingElement.scrollWidth > width) {
    for (const one of document.body.querySelectorAll("*")) {
      const box = one.getBoundingClientRect(), right = box.left + Math.max(box.width, one.scrollWidth);
      if (right > width + 1 && !one.parentElement.closest(".wide, svg"))
        wide.push(`${one.tagName.toLowerCase()} ${one.getAttribute("class")} to ${right}`);
    }
    wide.push(`the document to ${document.scrollingElement.scrollWidth}`);
  }
  const images = [...document.images].filter((one) => !one.complete || !one.naturalWidth);
  return { wide: wide.slice(0, 5), missing: images.map((one) => one.alt || one.src.slice(0, 60)) };
})(WIDTH)
"""


@dataclass
class Findings:
    """What is wrong with a page as it was opened."""

    errors: list[str] = field(default_factory=list)
    """Exceptions, errors and warnings on the console, and what the browser itself reports."""
    requests: list[str] = field(default_factory=list)
    """Addresses that the page asked for, besides itself and data in it."""
    missing: list[str] = field(default_factory=list)
    """Pictures without pixels."""
    wide: list[str] = field(default_factory=list)
    """What makes the document scroll sideways."""

    @property
    def nothing(self) -> bool:
        return not (self.errors or self.requests or self.missing or self.wide)


def found() -> str | None:
    """Return the program of an installed browser."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One window of one browser process; ``start`` makes it."""

    def __init__(self, address: str) -> None:
        # Without an origin, since the browser refuses those that it does not know.
        self._socket = websocket.create_connection(address, timeout=_SECONDS, suppress_origin=True)
        self._last = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self._address = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    @classmethod
    @contextmanager
    def start(cls, program: str, folder: Path) -> Iterator[Self]:
        """Start a browser with its profile in ``folder``, and end it."""
        options = ["--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run"]
        options += ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        options += ["--no-sandbox"] if os.getuid() == 0 else []
        with subprocess.Popen([program, *options, "about:blank"], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                head, told = "DevTools listening on ", []
                for line in process.stderr:
                    told.append(line)
                    if line.startswith(head):
                        break
                else:
                    raise RuntimeError(f"{program} ended: {''.join(told)}")
                # What it says later is read, or it would wait for a reader.
                threading.Thread(target=process.stderr.read, daemon=True).start()
                browser = cls(told[-1].removeprefix(head).strip())
                yield browser
                browser._socket.close()
            finally:
                process.kill()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that arrive meanwhile are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        self._socket.send(json.dumps(message if self._session is None else message | {"sessionId": self._session}))
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv())
        if "method" in message:
            self._events.append(message)
        return message

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(_exception(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def key(self, name: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def open(self, page: Path, width: int, *, dark: bool = False, height: int = 900) -> Findings:
        """Open a page in a window of so many CSS pixels, and return what is wrong with it."""
        mobile = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        address = page.resolve().as_uri()
        self.call("Page.navigate", url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()
        # What the page's scripts report after it is loaded is received before the answer to this.
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        self._address = address
        return self.look(width)

    def look(self, width: int) -> Findings:
        """Return what is wrong with the open page by now."""
        looked = self.evaluate(_LOOK.replace("WIDTH", str(width)))
        found = Findings(missing=looked["missing"], wide=looked["wide"])
        for event in self._events:
            _note(found, event["method"], event["params"], self._address)
        return found

    def picture(self, path: Path) -> None:
        """Write the whole open page as a PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(b64decode(answer["data"]))

    def pdf(self, path: Path) -> None:
        """Write the open page as it is printed on A4."""
        answer = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(b64decode(answer["data"]))


def _note(found: Findings, method: str, given: dict[str, Any], address: str) -> None:
    if method == "Runtime.exceptionThrown":
        found.errors.append(_exception(given["exceptionDetails"]))
    elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
        found.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in given["args"]))
    elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
        found.errors.append(given["entry"]["text"])
    elif method == "Network.requestWillBeSent":
        asked = given["request"]["url"]
        if asked != address and not asked.startswith("data:"):
            found.requests.append(asked)


def _exception(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])
