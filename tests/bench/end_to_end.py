"""`end_to_end_p50_ms`, `end_to_end_p99_ms`: from the 202 of ingest to the alert on its topic, at a steady rate."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import pydantic_core
from aiokafka import AIOKafkaConsumer

from deploy.local.stack import Stack
from shared.contracts.topics import ALERTS
from tests.bench import lives
from tests.bench.figures import NO_TARGET, Figure, memory
from tests.bench.load import ACCEPTED, Connection, connect, request
from tests.bench.probes import CONSUMED, CouldNotMeasureError, Counters
from tests.support.workload import PROVINCE, produce

SERVICES: Final = ("ingest", "tasks", "notify", "reporting")
ENV: Final[dict[str, str]] = {}
METRICS: Final = ("end_to_end_p50_ms", "end_to_end_p99_ms")
LOAD: Final = "2,000 tasks assigned, then the events of end_to_end_p99_ms"
PER_SECOND: Final = 100
WARM_UP_EVENTS: Final = 500
EVENTS: Final = 2_500
CONNECTIONS: Final = 16
ARRIVAL_SECONDS_MAX: Final = 60.0


class Sender:
    """Some connections; each request takes a free one."""

    def __init__(self) -> None:
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        self._waiting: dict[Connection, asyncio.Future[tuple[int, float]]] = {}
        self._all: list[Connection] = []

    async def open(self, port: int) -> None:
        """Connect."""
        self._all = [await connect(port, self._answered, self._lost) for _ in range(CONNECTIONS)]
        for connection in self._all:
            self._free.put_nowait(connection)

    async def ask(self, content: bytes) -> tuple[int, float]:
        """Send a request; returns the status and when it came."""
        connection = await self._free.get()
        self._waiting[connection] = asyncio.get_running_loop().create_future()
        connection.send(content)
        answer = await self._waiting[connection]
        self._free.put_nowait(connection)
        return answer

    def close(self) -> None:
        """Disconnect."""
        for connection in self._all:
            connection.close()

    def _answered(self, connection: Connection, status: int) -> None:
        self._waiting[connection].set_result((status, time.perf_counter()))

    def _lost(self) -> None:
        for one in self._waiting.values():
            if not one.done():
                one.set_exception(ConnectionError("ingest closed a connection"))


class Arrivals:
    """When the alerts about obstacles came, each for the first time."""

    def __init__(self) -> None:
        self.by_task: dict[str, list[float]] = {}
        self.repeats = 0
        self._seen: set[str] = set()

    async def watch(self, consumer: AIOKafkaConsumer) -> None:
        """Note every arrival until cancelled."""
        async for record in consumer:
            at = time.perf_counter()
            data = pydantic_core.from_json(record.value)["data"]
            if data["kind"] != "obstacle":
                continue
            if data["alert_id"] in self._seen:
                self.repeats += 1
                continue
            self._seen.add(data["alert_id"])
            self.by_task.setdefault(data["task_id"], []).append(at)

    async def match(self, answers: Mapping[str, list[tuple[int, float]]]) -> None:
        """Wait until every event that was answered has its alert."""
        deadline = time.monotonic() + ARRIVAL_SECONDS_MAX
        while missing := sum(len(some) - len(self.by_task.get(about, ())) for about, some in answers.items()):
            if time.monotonic() > deadline:
                raise CouldNotMeasureError(f"{missing} alerts did not come")
            await asyncio.sleep(0.1)


async def measure(stack: Stack, rounds: int, work_dir: Path) -> dict[str, Figure]:
    """One steady run; `rounds` does not matter, there is no baseline to alternate with."""
    await produce(stack.kafka.bootstrap, [*lives.agencies(), lives.issued(0)])
    services = [stack.service(name) for name in SERVICES]
    async with Counters() as counters:
        await counters.reaches(stack.service("tasks"), len(lives.agencies()) + 1)
        # The assignments are told and mailed before the first event.
        await counters.quiet(services, CONSUMED, "dondoc_notify_deliveries_total")
    consumer = AIOKafkaConsumer(ALERTS.name, bootstrap_servers=stack.kafka.bootstrap)
    await consumer.start()
    arrivals = Arrivals()
    try:
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)
        watching = asyncio.create_task(arrivals.watch(consumer))
        try:
            answers = await _send(stack)
            await arrivals.match(answers)
        finally:
            watching.cancel()
    finally:
        await consumer.stop()
    waits = _waits(answers, arrivals.by_task)
    cuts = quantiles(waits, n=100)
    said = (
        f"no baseline: {len(waits)} events at {PER_SECOND}/s, all four services on one machine, "
        f"from the 202 to the record on {ALERTS.name}; {arrivals.repeats} records came twice"
    )
    return {
        "end_to_end_p50_ms": Figure(round(median(waits), 1), "ms", said, NO_TARGET),
        "end_to_end_p99_ms": Figure(round(cuts[98], 1), "ms", said, NO_TARGET),
        **memory(services, LOAD),
    }


async def _send(stack: Stack) -> dict[str, list[tuple[int, float]]]:
    """Every event at its moment, whether or not those before were answered. Task id → number, instant of each 202."""
    tokens = {one: stack.issuer.mint(one, PROVINCE, ["events:write"]).encode() for one in lives.AGENCIES}
    tasks = lives.task_ids(0)
    answers: dict[str, list[tuple[int, float]]] = {}
    sender = Sender()
    await sender.open(stack.service("ingest").port)

    async def post(number: int) -> None:
        about = tasks[number % len(tasks)]
        agency = about.rpartition("/")[2]
        content = {
            "specversion": "1.0",
            "id": f"obstacle-{number}",
            "source": f"//bench/{agency}",
            "type": "dondoc.task.obstacle_raised.v1",
            "data": {"task_id": about, "obstacle_id": f"o{number}", "description": "Chưa được bố trí kinh phí"},
        }
        body = request(tokens[agency], "application/cloudevents+json", pydantic_core.to_json(content))
        status, at = await sender.ask(body)
        if status != ACCEPTED:
            raise CouldNotMeasureError(f"ingest answered {status}")
        answers.setdefault(about, []).append((number, at))

    try:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(WARM_UP_EVENTS + EVENTS):
                await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
                group.create_task(post(number))
    finally:
        sender.close()
    return answers


def _waits(answers: Mapping[str, list[tuple[int, float]]], arrivals: Mapping[str, list[float]]) -> list[float]:
    """Milliseconds of each event after the warm-up. A task's alerts come in the order of its obstacles."""
    return [
        (arrived - answered) * 1000
        for about, some in answers.items()
        for (number, answered), arrived in zip(some, arrivals[about], strict=True)
        if number >= WARM_UP_EVENTS
    ]
