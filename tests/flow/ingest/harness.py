"""Ingest with a broker in memory: requests in, records and answers out."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from deploy.local.issuer import Issuer
from services.ingest.app import build
from services.ingest.ports import Outbox
from services.ingest.settings import Settings
from shared.runtime.batching import Outgoing
from shared.runtime.publishing import Publisher, PublishTimeoutError
from shared.runtime.settings import CredentialSettings
from tests.unit.ingest.builders import AGENCY

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
NOW = datetime(2024, 10, 15, 1, 0, tzinfo=UTC)


class MemoryPublisher(Publisher):
    """Keeps records instead of sending them; can be silent, or fail."""

    def __init__(self) -> None:
        super().__init__("nowhere:1", client_id="memory")
        self.records: list[Outgoing] = []
        self.is_silent = False
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        """Where set, acknowledgements wait for it."""

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to close."""

    @property
    def connected(self) -> bool:
        return True

    async def publish(self, records: Sequence[Outgoing], *, timeout_seconds: float | None = None) -> None:
        if self.error is not None:
            raise self.error
        if self.is_silent:
            await asyncio.sleep(timeout_seconds or 0)
            raise PublishTimeoutError(f"no acknowledgement within {timeout_seconds} s")
        if self.gate is not None:
            await self.gate.wait()
        self.records.extend(records)


@dataclass(slots=True)
class MovableClock:
    """Business time that the test moves."""

    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant

    def at(self, real: float) -> datetime:
        return self.instant


@dataclass(slots=True)
class Door:
    """One ingest, a client in front of it, a broker in memory behind it."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    clock: MovableClock = field(default_factory=MovableClock)
    broker: MemoryPublisher = field(default_factory=MemoryPublisher)
    crashes: list[str] = field(default_factory=list)
    outbox: Outbox | None = None
    issuer: Issuer = field(init=False)
    app: ASGIApp = field(init=False)
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.issuer = Issuer.open(self.folder)
        credentials = CredentialSettings(jwks_file=self.issuer.jwks_file, jwt_issuer=self.issuer.issuer)
        settings = Settings(
            KAFKA_BOOTSTRAP_SERVERS="nowhere:1",
            **{"credentials": credentials, "ack_timeout_seconds": 0.05, "outbox": False, **self.options},
        )
        self.app = build(settings, clock=self.clock, publisher=self.broker, outbox=self.outbox, crash=self._crash)
        transport = httpx.ASGITransport(self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://ingest")

    def _crash(self, reason: str, error: BaseException | None = None) -> None:
        self.crashes.append(reason)

    def token(self, *, agency: str = AGENCY, province: str = "H48", scopes: Sequence[str] = ("events:write",)) -> str:
        return self.issuer.mint(agency, province, scopes)

    async def post(
        self,
        content: Any,
        *,
        token: str | None = None,
        content_type: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        query: str = "",
    ) -> httpx.Response:
        """Send an event, a list of events as a batch, or bytes as they are. An empty token sends none."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        media_type = (BATCH if isinstance(content, list) else STRUCTURED) if content_type is None else content_type
        held = self.token() if token is None else token
        fixed = [("content-type", media_type)] if media_type else []
        fixed += [("authorization", f"Bearer {held}")] if held else []
        path = f"/v1/events?{query}" if query else "/v1/events"
        return await self.client.post(path, content=body, headers=[*fixed, *headers])

    def published(self) -> list[tuple[str, dict[str, Any]]]:
        """Key and event of every record, in order."""
        return [(one.key.decode(), json.loads(one.value)) for one in self.broker.records if one.key and one.value]


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code; checks that a refusal is a problem by RFC 9457, whole."""
    if answer.status_code == httpx.codes.ACCEPTED:
        return 202, "accepted"
    content = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert content["type"] == f"https://dondoc.example/problems/{content['code']}"
    assert content["status"] == answer.status_code
    assert content["title"]
    assert content["detail"]
    return answer.status_code, content["code"]
