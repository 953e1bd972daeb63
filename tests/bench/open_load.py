"""An open loop: each request at its moment, whether or not those before were answered.

`python -m tests.bench.open_load PORT PER_SECOND CONTENT_TYPE REQUESTS`: REQUESTS is a file as `tests.bench.load` reads
it. Prints the number of answers other than 202, then the seconds of each request from the moment it was due: what waits
for a free connection waits too.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from tests.bench.load import ACCEPTED, Connection, connect, request

CONNECTIONS: Final = 64
ANSWER_SECONDS_MAX: Final = 30.0
TICK_SECONDS: Final = 0.001


class OpenLoad:
    """Requests over some connections, each of which has one under way at a time."""

    def __init__(self, requests: Sequence[bytes], per_second: int, *, good: int = ACCEPTED) -> None:
        self.bad = 0
        self._good = good
        self.seconds = [0.0] * len(requests)
        self._requests = requests
        self._per_second = per_second
        self._began = 0.0
        self._answered = 0
        self._due: deque[int] = deque()
        # In turn: a server lets go of a connection that says nothing for long.
        self._free: deque[Connection] = deque()
        self._under_way: dict[Connection, int] = {}
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, port: int) -> None:
        """Send all, and wait for all answers."""
        every = [await connect(port, self._on_answer, self._on_loss) for _ in range(CONNECTIONS)]
        self._free.extend(every)
        self._began = time.perf_counter()
        number = 0
        while number < len(self._requests):
            now = int((time.perf_counter() - self._began) * self._per_second)
            while number < min(now, len(self._requests)):
                self._due.append(number)
                number += 1
            self._send()
            await asyncio.sleep(TICK_SECONDS)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await self._done
        for one in every:
            one.close()

    def _send(self) -> None:
        while self._due and self._free:
            number, connection = self._due.popleft(), self._free.popleft()
            self._under_way[connection] = number
            connection.send(self._requests[number])

    def _on_answer(self, connection: Connection, status: int) -> None:
        number = self._under_way.pop(connection)
        self.seconds[number] = time.perf_counter() - self._began - number / self._per_second
        self.bad += status != self._good
        self._answered += 1
        self._free.append(connection)
        self._send()
        if self._answered == len(self._requests):
            self._done.set_result(None)

    def _on_loss(self) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("the server closed a connection"))


async def run(port: int, per_second: int, requests: Sequence[bytes]) -> OpenLoad:
    """Send all requests."""
    load = OpenLoad(requests, per_second)
    await load.run(port)
    return load


def main(arguments: list[str]) -> None:
    """Read the requests, send, print."""
    port, per_second, content_type, path = arguments
    pairs = (line.split(b" ", 1) for line in Path(path).read_bytes().splitlines())
    requests = [request(token, content_type, body) for token, body in pairs]
    load = uvloop.run(run(int(port), int(per_second), requests))
    sys.stdout.write(f"{load.bad} {' '.join(f'{one:.5f}' for one in load.seconds)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
