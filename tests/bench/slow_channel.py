"""`notify_slow_channel_p99_ratio`: what e-mail suffers while every agency's own system hangs until it is given up.

Three processes of notify in turn, as they are delivered: one knows e-mail alone; the others also have a webhook
endpoint for every agency, all of which take what is sent, and never answer, or answer at once. A directive after the
other is announced, each to one agency, at a steady rate. The ratio is that of the process whose endpoints hang to the
one without any, which has half the work; the third says how much of it is the work, and how much the hanging.
"""

import asyncio
import base64
import re
import time
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from aiokafka import AIOKafkaProducer

from deploy.local.stack import Stack
from services.notify.channels.webhook import MESSAGE_SECONDS_MAX
from shared.contracts.topics import TASKS
from tests.bench import alerts
from tests.bench.figures import SLOW_CHANNEL_TARGET, Figure
from tests.bench.probes import CouldNotMeasureError, Counters
from tests.support.webhook_server import webhook_server
from tests.support.workload import PROVINCE

SERVICES: Final[tuple[str, ...]] = ()
"""Each round starts its own."""
ENV: Final[dict[str, str]] = {}
METRICS: Final = ("notify_slow_channel_p99_ratio",)
ROUNDS: Final = 3
PER_SECOND: Final = 10
WARM_UP: Final = 3 * PER_SECOND
COUNT: Final = WARM_UP + 20 * PER_SECOND
NOON: Final = datetime.fromisoformat("2024-11-05T12:00:00+07:00")
"""Offices are open; no digest leaves."""
WAIT_SECONDS_MAX: Final = 120.0
LOOK_SECONDS: Final = 0.5
_SECRET: Final = f"whsec_{base64.b64encode(bytes(32)).decode()}"


class Other(StrEnum):
    """How the other channel is."""

    NONE = "none"
    HANGS = "hangs"
    ANSWERS = "answers"


async def measure(stack: Stack, rounds: int, work_dir: Path) -> dict[str, Figure]:
    """In turn, and each is first once; `rounds` does not matter."""
    took: dict[Other, list[list[float]]] = {other: [] for other in Other}
    others = tuple(Other)
    for number in range(ROUNDS):
        first = number % len(others)
        for other in (*others[first:], *others[:first]):
            before = COUNT * sum(map(len, took.values()))
            took[other].append(await _round(stack, work_dir, before, other))
    p99 = {other: [_p99(one) for one in some] for other, some in took.items()}
    ratios = [one / without for one, without in zip(p99[Other.HANGS], p99[Other.NONE], strict=True)]
    said = (
        f"the same without the other channel: p99 {median(p99[Other.NONE]):.2f} s (with it "
        f"{median(p99[Other.HANGS]):.2f}; were it to answer at once {median(p99[Other.ANSWERS]):.2f}), from the record "
        f"of a fact until the mail server has its message; {COUNT - WARM_UP} messages at {PER_SECOND}/s to "
        f"{len(alerts.CODES)} agencies, whose own systems hang for {MESSAGE_SECONDS_MAX:.0f} s a try; {ROUNDS} "
        f"alternating rounds, {min(ratios):.2f} to {max(ratios):.2f}"
    )
    return {METRICS[0]: Figure(round(median(ratios), 3), "ratio", said, SLOW_CHANNEL_TARGET)}


async def _round(stack: Stack, work_dir: Path, number: int, other: Other) -> list[float]:
    """How long each message took, on a database of its own. `number`: of its first directive."""
    env = {"DONDOC_CLOCK": f"{NOON.isoformat()}@1@{time.time()}", "DONDOC_DATABASE_PREFIX": f"bench_slow_{number}"}
    async with AsyncExitStack() as undo:
        counters = await undo.enter_async_context(Counters())
        if other is not Other.NONE:
            server = await undo.enter_async_context(webhook_server())
            server.behaviour = "hangs" if other is Other.HANGS else "answers"
            file = work_dir / f"webhooks-{number}.yaml"
            file.write_text(_endpoints(server.port))
            env |= {"DONDOC_WEBHOOKS_FILE": str(file), "DONDOC_WEBHOOKS_ALLOW_PRIVATE": "true"}
        notify = await stack.add_replica("notify", env)
        undo.push_async_callback(notify.stop)
        await alerts.tell_agencies(stack.kafka.bootstrap)
        await counters.reaches(notify, len(alerts.agencies()))
        before = len(stack.mailbox.mails())
        told = await _tell(stack.kafka.bootstrap, number)
        taken = await _taken(stack, told.keys(), before)
        if other is not Other.NONE and not server.requests:
            raise CouldNotMeasureError("nothing came to the agencies' own systems")
    return [taken[one] - at for one, at in told.items()][WARM_UP:]


async def _tell(bootstrap: str, first: int) -> dict[str, float]:
    """Task id → the seconds of its record, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        acks = {}
        began = time.perf_counter()
        for number in range(COUNT):
            fact = alerts.announcement(first + number)
            acks[fact.task_id] = await producer.send(TASKS.name, key=fact.task_id.encode(), value=fact.value)
            await asyncio.sleep(max(0.0, began + (number + 1) / PER_SECOND - time.perf_counter()))
        return {task_id: (await ack).timestamp / 1000 for task_id, ack in acks.items()}
    finally:
        await producer.stop()


async def _taken(stack: Stack, expected: Collection[str], before: int) -> dict[str, float]:
    """Task id → when the mail server took the message about it. `before`: how many mails it had taken until then."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (count := len(list(stack.mailbox.folder.glob("*.eml"))) - before) < len(expected):
        if time.monotonic() > deadline:
            raise CouldNotMeasureError(f"{count} of {len(expected)} messages were taken")
        await asyncio.sleep(LOOK_SECONDS)
    mails = (await asyncio.to_thread(stack.mailbox.mails))[before:]
    taken = {
        task_id: int(mail.path.name.partition("-")[0]) / 1e9
        for mail in mails
        for task_id in re.findall(r"/tasks/(\S+)", mail.text)
    }
    if taken.keys() != set(expected) or len(mails) != len(expected):
        raise CouldNotMeasureError(f"{len(mails)} mails about {len(taken)} tasks, not {len(expected)}")
    return taken


def _endpoints(port: int) -> str:
    rows = [
        f"  - {{province: {PROVINCE}, agency: {code}, url: 'http://127.0.0.1:{port}/{code}', secrets: [{_SECRET}]}}\n"
        for code in alerts.CODES
    ]
    return "".join(["endpoints:\n", *rows])


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]
