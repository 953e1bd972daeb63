"""A lean HTTP/1.1 client for loads: keep-alive connections, one request each at a time. Counts what is not 202.

`python -m tests.bench.load PORT CONNECTIONS REQUESTS BODIES TOKEN CONTENT_TYPE`: BODIES is a file with one JSON body a
line, used in turn. Prints the seconds and the number of answers other than 202.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path


class Connection(asyncio.Protocol):
    """One keep-alive connection that sends the next request when the answer has come."""

    def __init__(self, requests: Iterator[bytes], done: "asyncio.Future[int]") -> None:
        self._requests = requests
        self._done = done
        self._buffer = b""
        self._bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(self._bad)
            return
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        if len(rest) < length:
            return
        self._bad += b" 202 " not in head.split(b"\r\n")[0]
        self._buffer = rest[length:]
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("the server closed the connection"))


async def run(port: int, connections: int, requests: list[bytes]) -> tuple[float, int]:
    """Send all requests; returns seconds and bad answers."""
    loop = asyncio.get_running_loop()
    queue = iter(requests)
    done = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for one in done:
        await loop.create_connection(lambda one=one: Connection(queue, one), "127.0.0.1", port)  # type: ignore[misc]
    bad = sum(await asyncio.gather(*done))
    return time.perf_counter() - began, bad


def main(arguments: list[str]) -> None:
    """Read the bodies, send, print."""
    port, connections, count, bodies, token, content_type = arguments
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: {content_type}\r\n"
    ).encode()
    lines = itertools.islice(Path(bodies).read_bytes().splitlines(), int(count))
    requests = [head + b"content-length: %d\r\n\r\n" % len(line) + line for line in lines]
    seconds, bad = asyncio.run(run(int(port), int(connections), requests))
    sys.stdout.write(f"{seconds:.4f} {bad}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
