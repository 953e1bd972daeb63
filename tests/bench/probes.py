"""Looking at what is measured without costing it much."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from deploy.local.processes import REPOSITORY_ROOT
from deploy.local.stack import Service
from shared.contracts.topics import Topic

Record: TypeAlias = "ConsumerRecord[Any, Any]"

CONSUMED: Final = "dondoc_consumed_records_total"
WAIT_SECONDS_MAX: Final = 300.0
CHILD_SECONDS_MAX: Final = 300.0
LOOK_SECONDS_MIN: Final = 0.01
LOOK_SECONDS_MAX: Final = 0.5
QUIET_LOOKS: Final = 30
QUIET_LOOK_SECONDS: Final = 0.1


class CouldNotMeasureError(Exception):
    """The figure would not mean what it says."""


class Counters:
    """Reads services' /metrics over connections that stay open."""

    def __init__(self) -> None:
        # verify off: loading certificates takes longer than what is looked at.
        self._client = httpx.AsyncClient(trust_env=False, timeout=30, verify=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def total(self, service: Service, *names: str) -> float:
        """The sum of all series of these metrics."""
        text = (await self._client.get(f"{service.url}/metrics")).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(names))

    async def reaches(self, service: Service, expected: int, metric: str = CONSUMED) -> None:
        """Wait until a service is done with so many records, or another metric of it is as high.

        A look costs the service some milliseconds, so the next one is taken half way to where the end is in sight.
        """
        first, began = await self.total(service, metric), time.monotonic()
        consumed = first
        while consumed < expected:
            elapsed = time.monotonic() - began
            if elapsed > WAIT_SECONDS_MAX:
                raise CouldNotMeasureError(f"{service.name}: {metric} is {consumed:.0f}, not {expected}")
            remaining = elapsed * (expected - consumed) / (consumed - first) if consumed > first else 0.1
            await asyncio.sleep(min(max(remaining / 2, LOOK_SECONDS_MIN), LOOK_SECONDS_MAX))
            consumed = await self.total(service, metric)

    async def quiet(self, services: list[Service], *names: str) -> None:
        """Wait until these metrics have stood still for a while."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        before: list[float] = []
        still = 0
        while still < QUIET_LOOKS:
            now = [await self.total(service, *names) for service in services]
            still = still + 1 if now == before else 0
            before = now
            if time.monotonic() > deadline:
                raise CouldNotMeasureError("the services do not come to rest")
            await asyncio.sleep(QUIET_LOOK_SECONDS)


async def end_offsets(bootstrap: str, topic: Topic) -> Mapping[int, int]:
    """Partition → the offset of the next record."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        ends: dict[Any, int] = await consumer.end_offsets(partitions)
        return {one.partition: ends[one] for one in partitions}
    finally:
        await consumer.stop()


async def records_since(bootstrap: str, topic: Topic, offsets: Mapping[int, int]) -> list[Record]:
    """What a topic holds from these offsets on, up to now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic.name, number) for number in offsets]
        consumer.assign(partitions)
        for one in partitions:
            consumer.seek(one, offsets[one.partition])
        ends = await consumer.end_offsets(partitions)
        expected = sum(ends[one] - offsets[one.partition] for one in partitions)
        found: list[Record] = []
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while len(found) < expected:
            if time.monotonic() > deadline:
                raise CouldNotMeasureError(f"{topic.name} could not be read to its end")
            for some in (await consumer.getmany(timeout_ms=1_000)).values():
                found += some
        return found
    finally:
        await consumer.stop()


def cpu_seconds(service: Service) -> float:
    """Processor time of a service's process so far."""
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    # proc(5): utime and stime, the 14th and 15th field, of which the first two are before the bracket.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def child(module: str, *arguments: str) -> list[float]:
    """Run a module of this folder in a process of its own; it prints numbers, mostly a count and seconds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"tests.bench.{module}",
        *arguments,
        cwd=REPOSITORY_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHILD_SECONDS_MAX):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CouldNotMeasureError(f"{module} ended with {process.returncode}")
    return [float(one) for one in output.split()]
