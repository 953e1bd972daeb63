"""Reports of progress, at a steady rate, straight into the topic."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import cycle
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from shared.contracts.codec import event_key
from shared.contracts.topics import SUBMISSIONS
from shared.runtime.clock import Clock
from tests.bench.population import Place
from tests.support.workload import Submitted, event


def progress(where: Place, event_id: str, received_at: datetime) -> Submitted:
    """A report of an agency on its task."""
    data = {"task_id": where.task_id, "percent": 40, "note": "Đang phối hợp với các đơn vị liên quan"}
    content = event("task.progress_reported", data, agency=where.agency, received_at=received_at, event_id=event_id)
    return Submitted(where.task_id, content)


class Reports:
    """Sends one report after the other until it is enough, each about the next task."""

    def __init__(self, bootstrap: str, places: Sequence[Place], name: str) -> None:
        self.sent: dict[str, int] = {}
        """Milliseconds of the record, by the submission's key."""
        self._places = cycle(places)
        self._name = name
        self._enough = asyncio.Event()
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    def enough(self) -> None:
        """No further ones."""
        self._enough.set()

    async def send(self, per_second: int, clock: Clock) -> None:
        """Send at a steady rate, received when they are sent; at least one."""
        began = time.perf_counter()
        acks: dict[str, asyncio.Future[Any]] = {}
        while not acks or not self._enough.is_set():
            number = len(acks)
            report = progress(next(self._places), f"{self._name}-{number}", clock.now())
            key = event_key(report.event["source"], report.event["id"])
            acks[key] = await self._producer.send(SUBMISSIONS.name, key=report.key.encode(), value=report.value)
            await asyncio.sleep(max(0.0, began + (number + 1) / per_second - time.perf_counter()))
        self.sent = {key: (await ack).timestamp for key, ack in acks.items()}
