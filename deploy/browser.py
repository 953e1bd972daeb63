"""Headless Chromium, for what can only be judged by looking: pictures, and whether a page fits a phone."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH_VARIABLE: Final = "DONDOC_CHROMIUM"
"""Which one to use; without it, the first of `NAMES` on the path."""
_ANSWER_SECONDS_MAX: Final = 60.0
_EXIT_SECONDS_MAX: Final = 10.0
# Chromium expects its pipe as descriptors 3 and 4; only a process of its own can be given those safely.
_AS_3_AND_4: Final = (
    "import os, sys; r, w = map(int, sys.argv[1:3]); os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def find_chromium() -> str | None:
    """Where it is; None if this machine has none."""
    named = os.environ.get(PATH_VARIABLE)
    return named or next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


class BrowserError(RuntimeError):
    """Chromium went away, or did not do what it was told to."""


class Page:
    """One page in one browser, over the DevTools pipe: no port, no driver to install. Use it with `with`."""

    def __init__(self, chromium: str) -> None:
        self._chromium = chromium
        self._number = 0
        self._session: str | None = None

    def __enter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(prefix="dondoc-chromium-", ignore_cleanup_errors=True)
        (read, ours_out), (ours_in, write) = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (read, write)]
        command = (
            *(sys.executable, "-c", _AS_3_AND_4, *map(str, theirs), self._chromium),
            *(
                "--headless",
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-gpu",
                "--hide-scrollbars",
                "--disable-lcd-text",
            ),
            # In a container we are root and without namespaces; what it shows is our own text.
            *("--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={self._profile.name}", "about:blank"),
        )
        self._process = subprocess.Popen(command, pass_fds=theirs, stderr=subprocess.DEVNULL)
        for one in (read, write, *theirs):
            os.close(one)
        self._out, self._in = os.fdopen(ours_out, "wb"), ours_in
        self._unread = b""
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _open(self) -> None:
        target = self._do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Asked, it ends its children first: killed, they would go on writing into the profile while it is removed.
        with contextlib.suppress(BrowserError, OSError, subprocess.TimeoutExpired):
            self._session = None
            self._do("Browser.close")
            self._process.wait(_EXIT_SECONDS_MAX)
        self._process.kill()
        self._process.wait(_EXIT_SECONDS_MAX)
        os.close(self._in)
        with contextlib.suppress(BrokenPipeError):
            self._out.close()
        self._profile.cleanup()

    def view(self, *, width: int, height: int = 100, is_dark: bool = False, is_print: bool = False) -> None:
        """From now on, a window of this size in CSS pixels, with these colours, or as on paper."""
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._do("Emulation.setEmulatedMedia", media="print" if is_print else "", features=[scheme])

    def show(self, html: str, *, width: int, is_dark: bool = False) -> None:
        """Lay a document out in a window of this width, in CSS pixels."""
        self.view(width=width, is_dark=is_dark)
        frame = self._do("Page.getFrameTree")["frameTree"]["frame"]["id"]
        self._do("Page.setDocumentContent", frameId=frame, html=html)

    def forget_cookies(self) -> None:
        """As if all of them had run out."""
        self._do("Network.clearBrowserCookies")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, as JSON has it; of a promise, what it comes to."""
        answer = self._do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """A key, as from a keyboard: `Tab` is 9, `Enter` 13."""
        same = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        self._do("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **same, **text)
        self._do("Input.dispatchKeyEvent", type="keyUp", **same)

    def picture(self, path: Path, *, scale: float = 1.0, height_max: int | None = None) -> None:
        """Write the whole document as a PNG, or its beginning."""
        width, height = self.ask("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        height = min(height, height_max) if height_max is not None else height
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": scale}
        shot = self._do("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        self._out.write(json.dumps(command).encode() + b"\0")
        self._out.flush()
        while (answer := self._read()).get("id") != self._number:
            pass
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not select.select([self._in], [], [], _ANSWER_SECONDS_MAX)[0]:
                raise BrowserError(f"{self._chromium} has not answered for {_ANSWER_SECONDS_MAX:g} s")
            some = os.read(self._in, 65536)
            if not some:
                raise BrowserError(f"{self._chromium} has ended")
            self._unread += some
        one, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        return message
