"""A command on a terminal of its own, as somebody sits before it: what it prints, and keys to press."""

import asyncio
import fcntl
import os
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from deploy.local.processes import REPOSITORY_ROOT

CTRL_C = b"\x03"


class Terminal:
    """Starts the command; it ends with us, since its terminal does."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._ours, its = os.openpty()
        self.said = ""
        self._process = subprocess.Popen(
            command,
            stdin=its,
            stdout=its,
            stderr=its,
            env=dict(env),
            cwd=REPOSITORY_ROOT,
            start_new_session=True,
            # Its controlling terminal: what makes Ctrl-C a signal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(its)
        os.set_blocking(self._ours, False)

    async def wait_for(self, text: str, *, within: float) -> None:
        """Wait until it has printed this. Its end, or the end of the time allowed, is an error with what it said."""
        await self._until(lambda: text in self.said, within)
        assert text in self.said, self.said

    async def press(self, key: bytes) -> None:
        """As if typed."""
        os.write(self._ours, key)

    async def ended(self, *, within: float) -> int:
        """Wait for its end. Returns the exit status; negative: by which signal."""
        await self._until(lambda: False, within)
        code = self._process.poll()
        assert code is not None, f"it still runs:\n{self.said}"
        return code

    async def _until(self, is_so: Callable[[], bool], within: float) -> None:
        deadline = time.monotonic() + within
        while not is_so() and time.monotonic() < deadline:
            is_over = self._process.poll() is not None
            self._read()
            if is_over:
                return
            await asyncio.sleep(0.05)

    def _read(self) -> None:
        # A terminal that nobody writes to any more reads as an error.
        with suppress(OSError):
            while chunk := os.read(self._ours, 65_536):
                self.said += chunk.decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=10)
        os.close(self._ours)
