"""A service's process: one HTTP server, one FastStream app, some loops; started in order, stopped in reverse."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import structlog
import uvicorn
from faststream import FastStream
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from shared.runtime.connections import mend_connections
from shared.runtime.consuming import Consumption
from shared.runtime.crash import Crash, crash_process
from shared.runtime.errors import is_transient
from shared.runtime.http_limits import LimitedProtocol
from shared.runtime.ops import Check, ops_routes
from shared.runtime.problems import answer_http_error
from shared.runtime.publishing import Publisher
from shared.runtime.settings import ProcessSettings
from shared.runtime.watchdog import Watchdog

log = structlog.get_logger()

START_FAILED = 3
BEAT_SECONDS = 1.0
YOUNG_MAX = 20_000
"""See serve."""
CONNECT_SECONDS_MAX = 20.0
BROKER_SECONDS_MAX = 5.0
"""How long a service that can do without Kafka waits for it at its start."""

Step = Callable[[], Awaitable[None]]


class Loop:
    """Work done again and again until the process stops. A transient error waits; any other ends the process."""

    def __init__(self, name: str, turn: Step, *, every_seconds: float) -> None:
        self.name = name
        self._turn = turn
        self._every_seconds = every_seconds

    async def run(self, watchdog: Watchdog, crash: Crash) -> None:
        """Turn until cancelled."""
        while True:
            watchdog.beat(self.name)
            try:
                await self._turn()
            except Exception as error:
                if not is_transient(error):
                    crash(f"loop {self.name!r} failed", error)
                    raise
                log.warning("loop.waits", loop=self.name, cause=type(error).__name__)
                await asyncio.sleep(1.0)
            await self._pause(watchdog)

    async def _pause(self, watchdog: Watchdog) -> None:
        """Beats all the while: who pauses for an hour on purpose is not stuck."""
        left = self._every_seconds
        while left > BEAT_SECONDS:
            await asyncio.sleep(BEAT_SECONDS)
            left -= BEAT_SECONDS
            watchdog.beat(self.name)
        await asyncio.sleep(left)


def make_app(
    *,
    routes: Sequence[BaseRoute],
    watchdog: Watchdog,
    publisher: Publisher,
    consumption: Consumption | None = None,
    loops: Sequence[Loop] = (),
    ready: Mapping[str, Check] | None = None,
    before: Sequence[Step] = (),
    after: Sequence[Step] = (),
    without_broker: Check | None = None,
    crash: Crash = crash_process,
) -> Starlette:
    """Compose a service. `before` runs first on start (indexes, migrations), `after` last on stop (closing clients).

    `without_broker`: for a service that can work without Kafka, whether it can now. It starts all the same then, and
    connects when it may.
    """
    tasks: list[asyncio.Task[None]] = []

    async def start_parts() -> None:
        for step in before:
            await _until_possible(step)
        if without_broker is None:
            await _until_possible(publisher.start)
        else:
            # Better with it than without: only a broker that is away is not waited for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BROKER_SECONDS_MAX):
                    await _until_possible(publisher.start)

    async def connect() -> None:
        if not publisher.connected:
            # aiokafka waits without end for a broker that answers half of what it is asked.
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await publisher.start()

    async def producer_or_without() -> bool:
        return publisher.connected or (without_broker is not None and await without_broker())

    async def start_loops() -> None:
        if consumption is not None:
            consumption.watch()
        tasks.extend(asyncio.create_task(loop.run(watchdog, crash), name=loop.name) for loop in loops)
        watchdog.start()
        log.info("service.started")

    async def stop_loops() -> None:
        await watchdog.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if consumption is not None:
            await consumption.stop()

    async def stop_parts() -> None:
        await publisher.stop()
        for step in after:
            await step()
        log.info("service.stopped")

    # What is in hand is finished on_shutdown; FastStream then stops polling and leaves the group.
    app = FastStream(
        *([consumption.broker] if consumption is not None else []),
        logger=None,
        on_startup=[start_parts],
        after_startup=[start_loops],
        on_shutdown=[stop_loops],
        after_shutdown=[stop_parts],
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if consumption is None:
            await start_parts()
            await start_loops()
            yield
            await stop_loops()
            await stop_parts()
        else:
            async with app:
                yield

    if without_broker is not None:
        loops = [*loops, Loop("broker", connect, every_seconds=1.0)]
    checks: dict[str, Check] = {"producer": producer_or_without, **(ready or {})}
    if consumption is not None:
        checks["consumer"] = consumption.ready
    ops: list[Route] = ops_routes(watchdog, checks)
    # The service's own first: routes are tried in order, and one of them is the hot path.
    return Starlette(routes=[*routes, *ops], lifespan=lifespan, exception_handlers={HTTPException: answer_http_error})


async def _until_possible(step: Step) -> None:
    """Start order must not matter: wait for Kafka and MongoDB as long as it takes, saying so."""
    for attempt in range(1_000_000):
        try:
            await step()
            return
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("start.waits", cause=type(error).__name__, attempt=attempt)
            await asyncio.sleep(min(2.0, 0.2 * 2 ** min(attempt, 4)))


def serve(app: ASGIApp, settings: ProcessSettings, *, young_max: int = YOUNG_MAX) -> None:
    """Run until SIGTERM or SIGINT; uvicorn drains open requests first. A stop asked for exits 0.

    `young_max`: after so many new containers garbage is looked for. To be larger than what is alive of a batch.
    """
    # What was loaded so far lives as long as the process, and a batch makes many short-lived values: collecting all of
    # it again and again cost a fifth of the time of a batch.
    gc.collect()
    gc.freeze()
    gc.set_threshold(young_max, 20, 50)
    # uvicorn raises the signal again once it has stopped; without these that would look like being killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    mend_connections()
    server = uvicorn.Server(server_config(app, settings))
    server.run()
    if not server.started:
        sys.exit(START_FAILED)


def server_config(app: ASGIApp, settings: ProcessSettings) -> uvicorn.Config:
    """The HTTP server of every service."""
    return uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        loop="uvloop",
        http=LimitedProtocol,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        # Whoever asks `client` means the other end of the connection, not what a header says of it.
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.drain_seconds),
        timeout_keep_alive=30,
        backlog=512,
    )
