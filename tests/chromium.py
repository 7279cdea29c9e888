"""A headless Chromium for tests, driven over two pipes by the DevTools protocol."""

from __future__ import annotations

import base64
import functools
import importlib.resources
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
_PATIENCE_S = 60  # a busy machine starts a browser slowly


class Browser:
    """One tab: `open` a file, `run` JavaScript, `press` keys, `shoot` the screen, `audit` it.

    `problems` holds what the console, the policy of the page or an exception complained of, and
    `asked` the addresses that the page tried to load.
    """

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()

        def hand_over() -> None:  # Chromium reads from 3 and writes to 4
            os.dup2(commands, 100)
            os.dup2(answers, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self._process = subprocess.Popen(
            [
                CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
                "--disable-background-networking",
                "--hide-scrollbars", "--mute-audio", "--remote-debugging-pipe",
                f"--user-data-dir={self._profile.name}", "about:blank",
            ],
            preexec_fn=hand_over, close_fds=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self._loaded = 0
        self.problems: list[str] = []
        self.asked: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def open(self, path: Path) -> None:
        """Load a file and wait until it is drawn; problems before are forgotten."""
        self.problems, self.asked, before = [], [], self._loaded
        self._send("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + _PATIENCE_S
        while self._loaded == before:
            self._take(deadline)

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        done = self._send(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True,
            userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, code: str) -> None:
        """Wait until an expression is true; some events come after the call that made them."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self.run(code):
            assert time.monotonic() < deadline, code
            time.sleep(0.01)

    def click(self, selector: str) -> None:
        """A real click into the middle of an element, so that what covers it gets it instead."""
        x, y = self.run(
            "(() => { const e = document.querySelector(" + json.dumps(selector) + ");"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        codes = {"ArrowRight": 39, "ArrowLeft": 37, "Escape": 27, "Tab": 9, "Enter": 13}
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key,
                windowsVirtualKeyCode=codes[key], **more,
            )  # fmt: skip

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """The screen in CSS px, and whether its user likes it dark."""
        self._send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])

    def print_media(self, *, is_on: bool) -> None:
        """Styles as on paper."""
        self._send("Emulation.setEmulatedMedia", media="print" if is_on else "screen")

    def audit(self) -> str:
        """What axe holds against the page as it stands, a paragraph a rule; empty when nothing.

        Source: https://github.com/dequelabs/axe-core, all rules but the experimental ones.
        """
        self.run(_axe())  # evaluated by the DevTools, which no policy of the page stops
        found = self.run("axe.run({resultTypes: ['violations']}).then(done => done.violations)")
        return "\n".join(
            f"{rule['id']}: {rule['help']}"
            + "".join(f"\n  {node['html']}\n    {node['failureSummary']}" for node in rule["nodes"])
            for rule in found
        )

    def run_scripts(self, *, allowed: bool) -> None:
        self._send("Emulation.setScriptExecutionDisabled", value=not allowed)

    def shoot(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the screen, or of the whole page."""
        shot = self._send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            answer = self._take(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _take(self, deadline: float) -> dict[str, Any]:
        """The next message; events are noted on the way."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("Chromium does not answer")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise RuntimeError("Chromium has ended")
            self._rest += chunk
        text, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self._loaded += 1
        elif event == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.problems.append(str(params["args"]))
        elif event == "Log.entryAdded":
            self.problems.append(params["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"][:200])


@functools.cache
def _axe() -> str:
    """The script, which leaves `axe` behind."""
    return importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
