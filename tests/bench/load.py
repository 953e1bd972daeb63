"""A lean HTTP/1.1 client for loads: keep-alive connections, each with one request under way at a time.

`python -m tests.bench.load PORTS CONNECTIONS WARM_UP SLICES CONTENT_TYPE REQUESTS`: REQUESTS is a file with a token, a
space and a JSON body on each line. Each port (`8080,8081`) gets all of them, the first WARM_UP untimed, the others in
SLICES that alternate between the ports (A B B A …): what slows the machine for a second slows all. Prints the number of
answers other than 202, then the seconds of each port.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, cast

HOST: Final = "127.0.0.1"
ACCEPTED: Final = 202


def request(token: bytes, content_type: str, body: bytes) -> bytes:
    """`POST /v1/events` as it goes over the wire."""
    head = b"POST /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer %s\r\ncontent-type: %s\r\n" % (
        token,
        content_type.encode(),
    )
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


class Connection(asyncio.Protocol):
    """One connection. `answered` hears the status of each answer, `lost` that it was closed from the other side."""

    def __init__(self, answered: "Callable[[Connection, int], None]", lost: Callable[[], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one in all but name.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, content: bytes) -> None:
        """Send a request; the one before must have been answered."""
        assert self._transport is not None, "connected before it is used"
        self._transport.write(content)

    def close(self) -> None:
        """End it."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._answered(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self._lost()


async def connect(port: int, answered: Callable[[Connection, int], None], lost: Callable[[], None]) -> Connection:
    """Open one."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(answered, lost), HOST, port)
    return connection


class Load:
    """Requests over a fixed number of connections, as fast as the answers come."""

    def __init__(self) -> None:
        self.bad = 0
        self._connections: list[Connection] = []
        self._requests: Iterator[bytes] = iter(())
        self._busy = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, port: int, connections: int) -> None:
        """Connect."""
        self._connections = [await connect(port, self._answered, self._lost) for _ in range(connections)]

    async def run(self, requests: Sequence[bytes]) -> float:
        """Send all; returns the seconds until the last answer."""
        self._requests = iter(requests)
        self._busy = len(self._connections)
        self._done = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        for connection in self._connections:
            self._next(connection)
        await self._done
        return time.perf_counter() - began

    def close(self) -> None:
        """Disconnect."""
        for connection in self._connections:
            connection.close()

    def _answered(self, connection: Connection, status: int) -> None:
        self.bad += status != ACCEPTED
        self._next(connection)

    def _next(self, connection: Connection) -> None:
        content = next(self._requests, None)
        if content is not None:
            connection.send(content)
            return
        self._busy -= 1
        if not self._busy and not self._done.done():
            self._done.set_result(None)

    def _lost(self) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("the server closed a connection"))


async def run(
    ports: Sequence[int], connections: int, warm_up: int, slices: int, requests: Sequence[bytes]
) -> tuple[int, list[float]]:
    """Send all requests to every port; returns the bad answers and the seconds of each port after the warm-up."""
    loads = [Load() for _ in ports]
    for load, port in zip(loads, ports, strict=True):
        await load.open(port, connections)
        await load.run(requests[:warm_up])
    timed = requests[warm_up:]
    each = len(timed) // slices
    seconds = [0.0] * len(loads)
    for number in range(slices):
        for who in range(len(loads)) if number % 2 == 0 else reversed(range(len(loads))):
            seconds[who] += await loads[who].run(timed[number * each : (number + 1) * each])
    for load in loads:
        load.close()
    return sum(load.bad for load in loads), seconds


def main(arguments: list[str]) -> None:
    """Read the requests, send, print."""
    ports, connections, warm_up, slices, content_type, path = arguments
    pairs = (line.split(b" ", 1) for line in Path(path).read_bytes().splitlines())
    requests = [request(token, content_type, body) for token, body in pairs]
    numbers = [int(port) for port in ports.split(",")]
    bad, seconds = asyncio.run(run(numbers, int(connections), int(warm_up), int(slices), requests))
    sys.stdout.write(f"{bad} {' '.join(f'{one:.4f}' for one in seconds)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
