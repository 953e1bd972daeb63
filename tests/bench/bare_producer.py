"""Baseline of `ingest_batch_vs_producer`: aiokafka alone, with the same acknowledgements. Prints events and seconds.

`python -m tests.bench.bare_producer BOOTSTRAP CALLERS WARM_UP REQUESTS`: REQUESTS is a file as `tests.bench.load` reads
it, of batches. Each caller sends the events of a batch one by one and waits for all acknowledgements.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydantic_core
import uvloop
from aiokafka import AIOKafkaProducer

from shared.contracts.topics import SUBMISSIONS

Batch = Sequence[tuple[bytes, bytes]]


def batches(path: Path) -> list[Batch]:
    """Key and value of every event, ready to be sent."""
    bodies = (line.split(b" ", 1)[1] for line in path.read_bytes().splitlines())
    return [
        [(one["data"]["task_id"].encode(), pydantic_core.to_json(one)) for one in pydantic_core.from_json(body)]
        for body in bodies
    ]


async def run(bootstrap: str, callers: int, warm_up: int, waiting: Sequence[Batch]) -> tuple[int, float]:
    """Send all; the first are not timed."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, max_batch_size=256 * 1024
    )
    await producer.start()

    async def call(rest: Iterator[Batch]) -> None:
        for batch in rest:
            acks = [await producer.send(SUBMISSIONS.name, key=key, value=value) for key, value in batch]
            await asyncio.gather(*acks)

    async def send(some: Sequence[Batch]) -> float:
        rest = iter(some)
        began = time.perf_counter()
        await asyncio.gather(*(call(rest) for _ in range(callers)))
        return time.perf_counter() - began

    try:
        await send(waiting[:warm_up])
        seconds = await send(waiting[warm_up:])
    finally:
        await producer.stop()
    return sum(map(len, waiting[warm_up:])), seconds


if __name__ == "__main__":
    bootstrap, callers, warm_up, path = sys.argv[1:]
    events, seconds = uvloop.run(run(bootstrap, int(callers), int(warm_up), batches(Path(path))))
    sys.stdout.write(f"{events} {seconds:.4f}\n")
