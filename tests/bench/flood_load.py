"""Floods a door with bodies. Every answer is fine that is not a surprise: taken, refused, or asked to come again.

`python -m tests.bench.flood_load PORT CONNECTIONS SECONDS REQUESTS`: REQUESTS is a file as `tests.bench.load` reads it.
Prints how many bodies were taken, refused and answered with a surprise, and the megabytes sent.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

import uvloop

from tests.bench.load import ACCEPTED, HOST, request

CONTENT_TYPE: Final = "application/cloudevents-batch+json"
REFUSED: Final = frozenset({400, 413, 422, 429, 503})
ANSWER_SECONDS_MAX: Final = 60.0


async def flood(port: int, deadline: float, requests: Iterator[bytes], seen: Counter[int]) -> int:
    """One sender after the other on one connection. Returns the bytes sent."""
    sent = 0
    while time.monotonic() < deadline:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            while time.monotonic() < deadline:
                content = next(requests)
                writer.write(content)
                sent += len(content)
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    await writer.drain()
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = next(
                        int(line.partition(b":")[2])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    )
                    await reader.readexactly(length)
                seen[int(head[9:12])] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            # Let go while it was still sending: its answer is lost, as it is to any sender that does not read.
            seen[503] += 1
        finally:
            writer.close()
    return sent


async def run(port: int, connections: int, seconds: float, requests: Sequence[bytes]) -> tuple[Counter[int], int]:
    """All senders at once."""
    deadline = time.monotonic() + seconds
    bodies = cycle(requests)
    seen: Counter[int] = Counter()
    sent = await asyncio.gather(*(flood(port, deadline, bodies, seen) for _ in range(connections)))
    return seen, sum(sent)


def main(arguments: list[str]) -> None:
    """Read the requests, send, print."""
    port, connections, seconds, path = arguments
    pairs = (line.split(b" ", 1) for line in Path(path).read_bytes().splitlines())
    requests = [request(token, CONTENT_TYPE, body) for token, body in pairs]
    seen, sent = uvloop.run(run(int(port), int(connections), float(seconds), requests))
    refused = sum(number for status, number in seen.items() if status in REFUSED)
    other = sum(seen.values()) - seen[ACCEPTED] - refused
    sys.stderr.write(f"{dict(seen)}\n")
    sys.stdout.write(f"{seen[ACCEPTED]} {refused} {other} {sent / 1e6:.0f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
