"""Managed processes: bounded stops, and errors that show the log."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import LocalStackError
from deploy.local.ports import free_port, is_free
from deploy.local.processes import ManagedProcess

_STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
_PARENT = "import subprocess; subprocess.run(['sh', '-c', 'echo up; exec sleep 600'])"


def _python(code: str, log_path: Path) -> ManagedProcess:
    return ManagedProcess("trial", (sys.executable, "-c", code), log_path)


async def test_process_that_ignores_the_request_is_killed_after_the_bound(tmp_path: Path) -> None:
    process = _python(_STUBBORN, tmp_path / "log")
    process.start()
    await process.wait_until(_has_written(tmp_path / "log"), within=20)

    await process.stop(timeout=0.3)

    assert process.exit_code == -9


async def test_kill_takes_grandchildren_along(tmp_path: Path) -> None:
    process = _python(_PARENT, tmp_path / "log")
    process.start()
    await process.wait_until(_has_written(tmp_path / "log"), within=20)
    (grandchild,) = psutil.Process(process.pid).children()

    process.kill()

    psutil.wait_procs([grandchild], timeout=5)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


async def test_paused_process_can_still_be_stopped(tmp_path: Path) -> None:
    process = _python("print('up', flush=True); import time; time.sleep(600)", tmp_path / "log")
    process.start()
    await process.wait_until(_has_written(tmp_path / "log"), within=20)
    process.pause()

    await process.stop(timeout=10)

    assert process.exit_code == -15


async def test_death_while_starting_shows_the_end_of_the_log(tmp_path: Path) -> None:
    process = _python("raise SystemExit('port is taken')", tmp_path / "log")
    process.start()

    with pytest.raises(LocalStackError, match=r"(?s)trial ended while starting \(exit code 1\).*port is taken"):
        await process.wait_until(_never, within=20)


async def test_waiting_is_bounded(tmp_path: Path) -> None:
    process = _python("import time; time.sleep(600)", tmp_path / "log")
    process.start()

    with pytest.raises(LocalStackError, match="was not ready within 0 s"):
        await process.wait_until(_never, within=0.2)
    process.kill()


async def test_missing_program_is_named(tmp_path: Path) -> None:
    process = ManagedProcess("trial", ("no-such-program",), tmp_path / "log")
    process.start()

    with pytest.raises(LocalStackError, match="no-such-program: No such file"):
        await process.finish(within=20)


async def test_restart_appends_to_the_log(tmp_path: Path) -> None:
    process = _python("print('line')", tmp_path / "log")
    for _ in range(2):
        process.start()
        await process.finish(within=20)

    assert process.log_tail() == "  line\n  line"


def test_free_ports_differ_and_lie_below_those_of_outgoing_connections() -> None:
    ports = [free_port() for _ in range(50)]

    assert len(set(ports)) == 50
    assert max(ports) < 32_768
    assert all(is_free(port) for port in ports)


async def _never() -> bool:
    return False


def _has_written(log_path: Path) -> Callable[[], Awaitable[bool]]:
    """Ready once the log has a line."""

    async def has_written() -> bool:
        return bool(log_path.read_bytes())  # noqa: ASYNC240 - nothing else waits here

    return has_written
