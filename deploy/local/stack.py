"""The whole system on this machine: database, broker, topics, mailbox, issuer and services, up and down in order."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from deploy.local.broker import Kafka, KafkaKind, start_kafka
from deploy.local.errors import LocalStackError
from deploy.local.issuer import Issuer
from deploy.local.mailbox import Mailbox
from deploy.local.mongod import CACHE_GB, Mongod
from deploy.local.ports import free_port, preferred_port
from deploy.local.processes import ManagedProcess
from deploy.local.trial_login import PORT as LOGIN_PORT
from deploy.local.trial_login import TrialLogin
from deploy.topics import create_topics
from shared.contracts.topics import TOPICS

SERVICE_PORTS: Final[Mapping[str, int]] = {"ingest": 8080, "tasks": 8081, "notify": 8082, "reporting": 8083}
"""The services in the order of the flow, with the ports people know them by."""

_BOARD: Final = "reporting"
_READY_SECONDS_MAX: Final = 60.0
_PROBE_SECONDS_MAX: Final = 2.0
# A service may drain for 20 s before it ends by itself.
_STOP_SECONDS_MAX: Final = 25.0
_WATCH_SECONDS: Final = 0.25


def python_module(service: str) -> Sequence[str]:
    """How a service is started unless somebody says otherwise."""
    return (sys.executable, "-m", f"services.{service}")


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to start, and with what."""

    run_dir: Path
    """Holds `logs/`, `mails/`, `issuer/`, and `data/`, which goes when the stack stops."""
    kafka: KafkaKind = KafkaKind.EMBEDDED
    services: tuple[str, ...] = tuple(SERVICE_PORTS)
    replicas: Mapping[str, int] = field(default_factory=dict)
    """How many processes of a service; one unless named here."""
    preferred_ports: bool = False
    """Use the well-known ports where they are free."""
    clock: str | None = None
    """DONDOC_CLOCK; of `<start>@<speed>` the real epoch is filled in, so that all processes agree."""
    database_prefix: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """For every service; wins over what the stack sets."""
    service_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For one service; wins over `env`."""
    service_command: Callable[[str], Sequence[str]] = python_module
    keep_data: bool = False
    mongod_cache_gb: float = CACHE_GB
    trial_login: bool = False
    """Start a page to log in at the board on, if reporting is started: whoever opens it may be any agency."""


@dataclass(slots=True)
class Service:
    """One replica of a service."""

    name: str
    """`tasks`, and `tasks-2` for the second replica."""
    port: int
    process: ManagedProcess
    _say: Callable[[str], None]
    is_expected_up: bool = False
    """Whether its end would be a surprise."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Start it without waiting."""
        self.process.start()
        self.is_expected_up = True

    async def wait_ready(self, within: float = _READY_SECONDS_MAX) -> None:
        """Wait until `/readyz` says 200."""
        began = time.monotonic()
        await self.process.wait_until(self.is_ready, within=within)
        self._say(f"{self.name}: ready on {self.url}, {time.monotonic() - began:.1f} s")

    async def start(self) -> None:
        """Start it on its port and wait until it is ready."""
        self.launch()
        await self.wait_ready()

    async def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.is_expected_up = False
        await self.process.stop(_STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End it like a power cut (SIGKILL)."""
        self.is_expected_up = False
        self.process.kill()

    async def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port."""
        await self.stop()
        await self.start()

    async def is_ready(self) -> bool:
        """Say whether `/readyz` answers 200 now."""
        # trust_env off: a proxy of the environment has no business on the loopback address.
        async with httpx.AsyncClient(timeout=_PROBE_SECONDS_MAX, trust_env=False) as client:
            try:
                response = await client.get(f"{self.url}/readyz")
            except httpx.TransportError:
                return False
        return response.status_code == httpx.codes.OK


class Stack:
    """All parts of the local system; `async with Stack(options) as stack:` holds them up for the block."""

    mongod: Mongod
    kafka: Kafka
    mailbox: Mailbox
    issuer: Issuer
    login: TrialLogin | None = None

    def __init__(self, options: StackOptions, *, say: Callable[[str], None] = print) -> None:
        unknown = sorted((set(options.replicas) | set(options.service_env)) - set(options.services))
        if unknown:
            raise LocalStackError(f"settings for services that are not started: {', '.join(unknown)}")
        self.options = options
        self.log_dir = options.run_dir / "logs"
        self._say = say
        self._services: dict[str, Service] = {}
        self._undo = AsyncExitStack()
        self._clock = _with_epoch(options.clock)
        self._board_port: int | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._undo.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._undo.aclose()

    async def _start(self) -> None:
        options = self.options
        data_dir = options.run_dir / "data"
        self.log_dir.mkdir(parents=True, exist_ok=True)
        if not options.keep_data:
            self._undo.callback(shutil.rmtree, data_dir, ignore_errors=True)
        self.mongod = await Mongod.find_or_start(
            data_dir / "mongod", self.log_dir, cache_gb=options.mongod_cache_gb, say=self._say
        )
        self._undo.push_async_callback(self.mongod.stop)
        self.kafka = await start_kafka(options.kafka, data_dir / "kafka", self.log_dir, say=self._say)
        self._undo.push_async_callback(self.kafka.stop)
        began = time.monotonic()
        await create_topics(self.kafka.bootstrap)
        self._say(f"Topics: all {len(TOPICS)} are there, {time.monotonic() - began:.1f} s")
        self.mailbox = await Mailbox.start_new(options.run_dir / "mails", self.log_dir, say=self._say)
        self._undo.push_async_callback(self.mailbox.stop)
        self.issuer = Issuer.open(options.run_dir / "issuer")
        if options.trial_login and _BOARD in options.services:
            await self._start_login()
        await self._start_services()

    async def _start_login(self) -> None:
        # Each must know the other's address before it starts.
        self._board_port = self._port(SERVICE_PORTS[_BOARD])
        self.login = await TrialLogin.start_new(
            self.options.run_dir / "issuer",
            f"http://127.0.0.1:{self._board_port}",
            self.log_dir,
            port=self._port(LOGIN_PORT),
            say=self._say,
        )
        self._undo.push_async_callback(self.login.stop)

    def _port(self, known_by: int | None) -> int:
        """The port people know something by, where that is wanted and free; else any."""
        return preferred_port(known_by) if self.options.preferred_ports and known_by is not None else free_port()

    async def _start_services(self) -> None:
        self._undo.push_async_callback(self._stop_services)
        services = [
            self._prepare(name, _replica_name(name, number), number == 1)
            for name in self.options.services
            for number in range(1, self.options.replicas.get(name, 1) + 1)
        ]
        for service in services:
            service.launch()
        for service in services:
            await service.wait_ready()

    async def _stop_services(self) -> None:
        # All at once: none depends on another, and each may drain for a while.
        await asyncio.gather(*(service.stop() for service in self._services.values()))

    def _prepare(self, service: str, name: str, is_first: bool, env: Mapping[str, str] | None = None) -> Service:
        if service == _BOARD and is_first and self._board_port is not None:
            port = self._board_port
        else:
            port = self._port(SERVICE_PORTS.get(service) if is_first else None)
        process = ManagedProcess(
            name,
            self.options.service_command(service),
            self.log_dir / f"{name}.log",
            env={**self.env_of(service, port), **(env or {})},
        )
        self._services[name] = Service(name, port, process, self._say)
        return self._services[name]

    def env_of(self, service: str, port: int) -> dict[str, str]:
        """The whole environment of a service that listens on this port."""
        options = self.options
        ours = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "MONGODB_URI": self.mongod.uri,
            "DONDOC_HTTP_HOST": "127.0.0.1",
            "DONDOC_HTTP_PORT": str(port),
            "DONDOC_JWKS_FILE": str(self.issuer.jwks_file.resolve()),
            "DONDOC_JWT_ISSUER": self.issuer.issuer,
            "DONDOC_JWT_AUDIENCE": self.issuer.audience,
            "DONDOC_SMTP_HOST": self.mailbox.host,
            "DONDOC_SMTP_PORT": str(self.mailbox.port),
            "DONDOC_LOG_FORMAT": "json",
            # As in the image: the database driver's threads would otherwise each keep an arena of their own.
            "MALLOC_ARENA_MAX": "2",
        }
        if self._clock is not None:
            ours["DONDOC_CLOCK"] = self._clock
        if options.database_prefix is not None:
            ours["DONDOC_DATABASE_PREFIX"] = options.database_prefix
        if service == _BOARD and self.login is not None:
            ours.update(self.login.env())
        return {**os.environ, **ours, **options.env, **options.service_env.get(service, {})}

    @property
    def services(self) -> Sequence[Service]:
        """All replicas of all services, in the order they were started."""
        return tuple(self._services.values())

    def service(self, name: str) -> Service:
        """A replica by name: `tasks`, or `tasks-2` for the second one."""
        try:
            return self._services[name]
        except KeyError:
            raise LocalStackError(f"no service {name!r}; there are: {', '.join(self._services)}") from None

    async def add_replica(self, service: str, env: Mapping[str, str] | None = None) -> Service:
        """Start one more process of a service and wait until it is ready."""
        taken = self._services.keys()
        number = next(n for n in range(1, len(taken) + 2) if _replica_name(service, n) not in taken)
        replica = self._prepare(service, _replica_name(service, number), number == 1, env)
        await replica.start()
        return replica

    async def first_death(self) -> str:
        """Wait until a process ends that nobody asked to; say which, and its last words."""
        while True:
            for process in self._expected_up():
                if not process.is_running():
                    return process.obituary(f"ended by itself (exit code {process.exit_code})")
            await asyncio.sleep(_WATCH_SECONDS)

    def _expected_up(self) -> list[ManagedProcess]:
        parts = [part.process for part in (self.mongod, self.kafka) if part.is_ours]
        services = [service.process for service in self._services.values() if service.is_expected_up]
        login = [self.login.process] if self.login is not None else []
        return [*parts, self.mailbox.process, *login, *services]


def _replica_name(service: str, number: int) -> str:
    return service if number == 1 else f"{service}-{number}"


def _with_epoch(clock: str | None) -> str | None:
    """Complete `<start>@<speed>` with the moment it begins; anything else is passed on as it is."""
    if clock is None or clock.startswith("file:") or clock.count("@") != 1:
        return clock
    return f"{clock}@{time.time():.3f}"
