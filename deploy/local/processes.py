"""Child processes that never outlive us, that can be killed like in a power cut, and whose log explains their death."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.local.errors import LocalStackError

REPOSITORY_ROOT: Final = Path(__file__).resolve().parents[2]

_BOUND: Final = Path(__file__).with_name("bound.py")
_STOP_SECONDS_MAX: Final = 15.0
_REAP_SECONDS_MAX: Final = 10.0
_LOG_TAIL_LINES: Final = 15
_LOG_TAIL_BYTES: Final = 16_384
_POLL_SECONDS: Final = 0.05

# To the kernel the *thread* that started a child is its parent: were it a passing worker thread, its end would kill the
# child. So one thread, which lives as long as this process, starts them all.
_starter: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter")


@dataclass(slots=True)
class ManagedProcess:
    """One child process in a session of its own, with its log in a file."""

    name: str
    command: Sequence[str]
    log_path: Path
    env: Mapping[str, str] | None = None
    """The whole environment; None means ours."""
    cwd: Path = REPOSITORY_ROOT
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it and return at once; being ready is another question."""
        if self.is_running():
            raise LocalStackError(f"{self.name} is running already (pid {self.pid})")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._process = _starter.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        # -I -S: the wrapper needs nothing but the standard library, and is gone after some milliseconds.
        wrapper = (sys.executable, "-I", "-S", str(_BOUND), str(os.getpid()))
        # Appended to: the log of what happened before a restart is the interesting part.
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                (*wrapper, *self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self.env is None else dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id, also of one that has ended."""
        if self._process is None:
            raise LocalStackError(f"{self.name} was never started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by which signal); None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def is_running(self) -> bool:
        """Say whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    async def stop(self, timeout: float = _STOP_SECONDS_MAX) -> None:
        """Ask it to end (SIGTERM); insist (SIGKILL) after the timeout. Nothing happens when it has ended already."""
        if self.is_running():
            self.send(signal.SIGTERM)
            # A paused process could not hear the request.
            self.send(signal.SIGCONT)
            await self._ended(timeout)
        self.kill()

    def kill(self) -> None:
        """End it at once and unasked, like a power cut (SIGKILL), with all that it started."""
        if self._process is None:
            return
        if self._process.poll() is None:
            # Not reaped yet, so the group's number cannot have been given to somebody else.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=_REAP_SECONDS_MAX)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing answers."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        self.send(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process; one that has just ended no longer minds."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    async def _ended(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.is_running():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def finish(self, *, within: float) -> None:
        """Wait for a command that ends by itself; anything but success is an error that shows its last words."""
        try:
            if not await self._ended(within):
                raise LocalStackError(self.obituary(f"did not finish within {within:.0f} s"))
        finally:
            # Also when we are cancelled: a download nobody waits for must not go on.
            self.kill()
        if self.exit_code != 0:
            raise LocalStackError(self.obituary(f"failed (exit code {self.exit_code})"))

    async def wait_until(self, is_ready: Callable[[], Awaitable[bool]], *, within: float) -> None:
        """Poll until it is ready. Its death, or the end of the time allowed, is an error that shows its last words."""
        deadline = time.monotonic() + within
        while True:
            if not self.is_running():
                raise LocalStackError(self.obituary(f"ended while starting (exit code {self.exit_code})"))
            if await is_ready():
                return
            if time.monotonic() > deadline:
                raise LocalStackError(self.obituary(f"was not ready within {within:.0f} s"))
            await asyncio.sleep(_POLL_SECONDS)

    def obituary(self, what: str) -> str:
        """What happened, followed by the end of the log and where the rest of it is."""
        return f"{self.name} {what}; the end of {self.log_path}:\n{self.log_tail()}"

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        """The last lines of its log, indented."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - _LOG_TAIL_BYTES))
                text = log.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return "  (no log)"
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (the log is empty)"


async def accepts_connections(port: int) -> bool:
    """Say whether somebody listens on this port of the loopback address."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
