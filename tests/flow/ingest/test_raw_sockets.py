"""What comes over the wire from those who mean no good, or know no better: answered, bounded, and nobody else waits."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvicorn

from services.ingest.settings import Settings
from shared.runtime import http_limits
from shared.runtime.http_limits import HEAD_BYTES_MAX, HEADERS_MAX
from shared.runtime.process import server_config
from shared.runtime.settings import CredentialSettings
from tests.flow.ingest.harness import STRUCTURED, Door
from tests.unit.ingest.builders import an_event

ANSWER_SECONDS_MAX = 10.0


class Wire:
    """An ingest on a real socket."""

    def __init__(self, door: Door, server: uvicorn.Server) -> None:
        self.door = door
        self.port: int = server.servers[0].sockets[0].getsockname()[1]
        self.connections = server.server_state.connections

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes, pause: float = 0.0) -> tuple[int, dict[str, object]]:
        """Send pieces over one connection; the first answer's status and content."""
        reader, writer = await self.connect()
        # Read meanwhile: whoever is let go while still sending would otherwise lose the answer.
        answered = asyncio.create_task(answer(reader, writer))
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
                if answered.done():
                    break
        return await answered

    def head(self, *headers: str, token: bool = True) -> bytes:
        held = [f"authorization: Bearer {self.door.token()}"] if token else []
        lines = ["POST /v1/events HTTP/1.1", "host: x", f"content-type: {STRUCTURED}", *held, *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    async def is_well(self) -> bool:
        """Whether everybody else is served as ever."""
        body = json.dumps(an_event()).encode()
        status, _ = await self.say(self.head(f"content-length: {len(body)}") + body)
        return status == 202


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, closes: bool = True
) -> tuple[int, dict[str, object]]:
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        content = json.loads(await reader.readexactly(length))
    if closes:
        writer.close()
    return int(head.split()[1]), content


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    door = Door(tmp_path, {"body_seconds_max": 1.0, "trusted_proxies": "10.1.0.7"})
    credentials = CredentialSettings(jwks_file=door.issuer.jwks_file, jwt_issuer=door.issuer.issuer)
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS="nowhere:1", http_port=0, outbox=False, credentials=credentials)
    config = server_config(door.app, settings)
    # The loop is pytest's own, and there is nothing to start or to stop.
    config.lifespan = "off"
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 uvicorn offers nothing to wait for
            await asyncio.sleep(0.01)
    yield Wire(door, server)
    server.should_exit = server.force_exit = True
    await serving


async def test_a_good_request_in_single_bytes_is_taken(wire: Wire) -> None:
    body = json.dumps(an_event()).encode()
    whole = wire.head(f"content-length: {len(body)}") + body
    status, _ = await wire.say(*(whole[one : one + 1] for one in range(len(whole))))
    assert status == 202


async def test_a_large_body_right_behind_its_head_is_no_large_head(wire: Wire) -> None:
    body = json.dumps(an_event(note="x" * 3_000)).encode() + b" " * (4 * HEAD_BYTES_MAX)
    one = wire.head(f"content-length: {len(body)}") + body
    reader, writer = await wire.connect()
    # Two requests in a row, the second one's head in the same piece as the first one's body.
    writer.write(one + one)
    assert (await answer(reader, writer))[0] == 202


async def test_a_header_does_not_move_a_connection_to_a_trusted_address(wire: Wire) -> None:
    """uvicorn would believe X-Forwarded-For of the loopback address, where a proxy on the same server is."""
    body = json.dumps(an_event()).encode()
    named = ("dondoc-sender: H48/H48.21", "x-forwarded-for: 10.1.0.7")
    status, content = await wire.say(wire.head(f"content-length: {len(body)}", *named, token=False) + body)
    assert (status, content["code"]) == (401, "token_missing")


async def test_ten_thousand_headers_are_refused(wire: Wire) -> None:
    status, content = await wire.say(wire.head(*(f"x-{number}: 1" for number in range(10_000))))
    assert (status, content["code"]) == (431, "head_too_large")
    assert await wire.is_well()


@pytest.mark.parametrize("number", [HEADERS_MAX - 10, HEADERS_MAX + 1])
async def test_headers_are_counted(wire: Wire, number: int) -> None:
    body = json.dumps(an_event()).encode()
    headers = (f"x-{one}: 1" for one in range(number))
    status, _ = await wire.say(wire.head(f"content-length: {len(body)}", *headers) + body)
    assert status == (202 if number < HEADERS_MAX else 431)


async def test_one_endless_header_is_refused_while_it_is_being_sent(wire: Wire) -> None:
    begin = b"POST /v1/events HTTP/1.1\r\nhost: x\r\nx-endless: "
    status, content = await wire.say(begin, *(b"x" * 8_192 for _ in range(100)), pause=0.001)
    assert (status, content["code"]) == (431, "head_too_large")
    assert await wire.is_well()


async def test_a_slow_head_is_let_go_and_so_is_who_says_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_limits, "HEAD_SECONDS_MAX", 0.5)
    drip = wire.say(b"POST /v1/events HTTP/1.1\r\n", *(b"a: b\r\n" for _ in range(50)), pause=0.05)
    silent = wire.say()
    breaks = wire.say(*(b"\r\n" for _ in range(40)), pause=0.05)
    for status, content in await asyncio.gather(drip, silent, breaks):
        assert (status, content["code"]) == (408, "head_too_slow")


async def test_five_hundred_slow_senders_keep_nobody_else_waiting(wire: Wire) -> None:
    slow = [await wire.connect() for _ in range(500)]
    for _, writer in slow:
        writer.write(b"POST /v1/events HTTP/1.1\r\nhost: x\r\n")
    assert await wire.is_well()
    for _, writer in slow:
        writer.close()


async def test_more_connections_than_are_allowed_are_told_so(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_limits, "CONNECTIONS_MAX", 5)
    open_ones = [await wire.connect() for _ in range(5)]
    await asyncio.sleep(0.1)
    status, content = await wire.say()
    assert (status, content["code"]) == (503, "overloaded")
    for _, writer in open_ones:
        writer.close()
    await asyncio.sleep(0.1)
    assert await wire.is_well()


async def test_a_slow_body_is_let_go(wire: Wire) -> None:
    status, content = await wire.say(wire.head("content-length: 1000"), *(b"{" for _ in range(15)), pause=0.1)
    assert (status, content["code"]) == (408, "body_too_slow")
    assert await wire.is_well()


async def test_an_endless_chunked_body_is_refused(wire: Wire) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    status, content = await wire.say(wire.head("transfer-encoding: chunked"), *(chunk for _ in range(200)))
    assert (status, content["code"]) == (413, "body_too_large")
    assert await wire.is_well()


async def test_trailers_without_end_are_not_kept(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    header = http_limits.LimitedProtocol.on_header

    def counted(protocol: http_limits.LimitedProtocol, name: bytes, value: bytes) -> None:
        header(protocol, name, value)
        kept.append(len(protocol.headers))

    monkeypatch.setattr(http_limits.LimitedProtocol, "on_header", counted)
    reader, writer = await wire.connect()
    writer.write(wire.head("transfer-encoding: chunked", token=False) + b"0\r\n")
    assert (await answer(reader, writer, closes=False))[0] == 401
    writer.write(b"a:b\r\n" * 50_000)
    await writer.drain()
    await asyncio.sleep(0.5)
    writer.close()
    assert len(kept) > HEADERS_MAX
    assert max(kept) < HEADERS_MAX
    assert await wire.is_well()


async def test_who_does_not_read_the_answers_is_let_go(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_limits, "UNREAD_SECONDS_MAX", 0.5)
    _, writer = await asyncio.open_connection("127.0.0.1", wire.port, limit=1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    with suppress(ConnectionError):
        for _ in range(200):
            writer.write(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
            await writer.drain()
    assert len(wire.connections) == 1
    async with asyncio.timeout(10):
        while wire.connections:  # noqa: ASYNC110 nothing tells
            await asyncio.sleep(0.1)
    writer.close()
    assert await wire.is_well()


async def test_a_body_that_unpacks_without_end_is_refused(wire: Wire) -> None:
    bomb = gzip.compress(b" " * (256 * 1024 * 1024), compresslevel=9)
    assert len(bomb) < 300_000
    head = wire.head(f"content-length: {len(bomb)}", "content-encoding: gzip")
    status, content = await wire.say(head + bomb)
    assert (status, content["code"]) == (413, "body_too_large")
    assert await wire.is_well()


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\nbad header: 1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n",
    ],
    ids=["tls", "no-version", "both-lengths", "two-lengths", "negative-length", "space-in-name", "null"],
)
async def test_what_is_not_http_is_said_so(wire: Wire, said: bytes) -> None:
    """Two readings of one request are how a request is smuggled past a proxy."""
    status, content = await wire.say(said)
    assert (status, content["code"]) == (400, "malformed_http")
    assert await wire.is_well()
