"""The login page of trials in a process of its own, so that the local stack's board can be logged in at."""

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from deploy.local.processes import ManagedProcess, accepts_connections
from deploy.login_page import CLIENT_ID, HOST

PORT: Final = 8084
_READY_SECONDS_MAX: Final = 15.0
_STOP_SECONDS_MAX: Final = 5.0


@dataclass(slots=True)
class TrialLogin:
    """The provider, and what reporting must be told of it."""

    board_url: str
    port: int
    key_file: Path
    process: ManagedProcess

    @classmethod
    async def start_new(
        cls, issuer_dir: Path, board_url: str, log_dir: Path, *, port: int, say: Callable[[str], None] = print
    ) -> Self:
        """Start one over an issuer's folder and wait until it answers."""
        began = time.monotonic()
        login = cls._prepare(issuer_dir, board_url, log_dir, port)
        login.process.start()
        try:
            await login.process.wait_until(lambda: accepts_connections(port), within=_READY_SECONDS_MAX)
        except BaseException:
            login.process.kill()
            raise
        say(f"Login: for trials, {login.url}, {time.monotonic() - began:.1f} s")
        return login

    @classmethod
    def _prepare(cls, issuer_dir: Path, board_url: str, log_dir: Path, port: int) -> Self:
        issuer_dir = issuer_dir.absolute()
        key_file = issuer_dir / "login-key"
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_text(secrets.token_urlsafe(32), encoding="utf-8")
        command = (
            *(sys.executable, "-m", "deploy", "issuer", "serve", "--folder", str(issuer_dir)),
            *("--port", str(port), "--board", board_url),
        )
        return cls(board_url, port, key_file, ManagedProcess("login", command, log_dir / "login.log"))

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    def env(self) -> dict[str, str]:
        """For reporting."""
        return {
            "DONDOC_BOARD_URL": self.board_url,
            "DONDOC_LOGIN_CLIENT_ID": CLIENT_ID,
            "DONDOC_LOGIN_KEY_FILE": str(self.key_file),
            "DONDOC_LOGIN_DISCOVERY_URL": f"{self.url}/.well-known/openid-configuration",
        }

    async def stop(self) -> None:
        """End it."""
        await self.process.stop(_STOP_SECONDS_MAX)
