"""Reading at a steady rate, each request at its moment, whether or not those before were answered.

`python -m tests.bench.board_load PORT PER_SECOND SECONDS PATH…`: the paths take turns. Prints the number of answers
other than 200, then the seconds of each request from the moment it was due.
"""

import sys
from typing import Final

import uvloop

from tests.bench.open_load import OpenLoad

FOUND: Final = 200


async def run(port: int, per_second: int, seconds: int, paths: list[str]) -> OpenLoad:
    """Send all requests."""
    asked = [f"GET {one} HTTP/1.1\r\nhost: bench\r\n\r\n".encode() for one in paths]
    load = OpenLoad([asked[number % len(asked)] for number in range(per_second * seconds)], per_second, good=FOUND)
    await load.run(port)
    return load


if __name__ == "__main__":
    load = uvloop.run(run(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
    sys.stdout.write(f"{load.bad} {' '.join(f'{one:.5f}' for one in load.seconds)}\n")
