"""Deciding a wave of overdues against a bare loop that writes the same; a whole wave until its digests are taken.

The clock of notify is in our hands: it stands at half past midnight until the digests are to leave.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from deploy.local.mailbox import Mail
from deploy.local.stack import Service, Stack
from shared.contracts.topics import ALERTS, TASKS
from shared.runtime.mongodb import Database, connect
from tests.bench import alerts, figures
from tests.bench.bare_notify import DIGEST_AFTER
from tests.bench.figures import Figure
from tests.bench.probes import CouldNotMeasureError, Counters, child, end_offsets, records_since
from tests.bench.steered import Steered

SERVICES: Final[tuple[str, ...]] = ()
"""Each measurement starts a process of its own, on a database of its own."""
# A paused process keeps its partitions, and does not take the pause for a fault of its own.
ENV: Final = {"DONDOC_KAFKA_SESSION_TIMEOUT_MS": "300000", "DONDOC_STUCK_SECONDS": "600"}
METRICS: Final = ("notify_decide_ratio", "notify_wave_messages", "notify_wave_seconds", "memory_mb_notify")
BARE: Final = "a bare loop that writes and tells the same of the same records, under the same indexes, deciding nothing"
PORTION: Final = 10_000
"""Overdues of one round."""
WAVE: Final = 50_000
NOW: Final = alerts.OVERDUE_AT + timedelta(minutes=30)
DIGESTS_AT: Final = NOW + DIGEST_AFTER
WAIT_SECONDS_MAX: Final = 300.0
LOOK_SECONDS: Final = 0.25
PER_CHANGE: Final = frozenset({"recorded_at"})
"""What no two writers share: when each wrote."""


@dataclass(frozen=True, slots=True)
class Bench(Steered):
    """What both measurements need."""

    async def start(self, prefix: str) -> tuple[Service, Database]:
        """A fresh process that knows the agencies, and its database."""
        self.stands(NOW)
        notify = await self.stack.add_replica("notify", self.env(prefix))
        await alerts.tell_agencies(self.stack.kafka.bootstrap)
        await self.counters.reaches(notify, len(alerts.agencies()))
        return notify, self.client[f"{prefix}_notify"]


async def measure(stack: Stack, rounds: int, work_dir: Path) -> dict[str, Figure]:
    """First the ratio, on waves of a fifth, then a wave at once on a process of its own."""
    client = connect(stack.mongod.uri, app_name="bench-notify")
    try:
        async with Counters() as counters:
            bench = Bench(stack, client, counters, work_dir / "clock.json")
            return {**await _ratio(bench, rounds), **await _wave(bench)}
    finally:
        client.close()


# -- deciding ------------------------------------------------------------------------------------------------------


async def _ratio(bench: Bench, rounds: int) -> dict[str, Figure]:
    """A portion of its own each round, worked off by both; who is first changes round by round. One warms both up."""
    notify, database = await bench.start("bench_decide")
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds + 1):
        offsets = await end_offsets(bench.stack.kafka.bootstrap, TASKS)
        told = await end_offsets(bench.stack.kafka.bootstrap, ALERTS)
        notify.process.pause()
        await alerts.tell_tasks(bench.stack.kafka.bootstrap, alerts.overdues(number * PORTION, PORTION))
        bare_seconds = await _bare(bench, number, offsets) if number % 2 else 0.0
        our_seconds = await _ours(bench, notify, len(alerts.agencies()) + (number + 1) * PORTION)
        bare_seconds = bare_seconds or await _bare(bench, number, offsets, notify)
        await _verify(bench, database, bench.client[_bare_name(number)], told)
        if number:
            ours.append(PORTION / our_seconds)
            bare.append(PORTION / bare_seconds)
        await bench.client.drop_database(_bare_name(number))
    await notify.stop()
    said = f"{BARE}, waves of {PORTION:,}"
    return {METRICS[0]: figures.ratio(ours, bare, said, of="alerts/s", target=figures.DECIDE_TARGET)}


async def _ours(bench: Bench, notify: Service, expected: int) -> float:
    began = time.perf_counter()
    notify.process.resume()
    await bench.counters.reaches(notify, expected)
    return time.perf_counter() - began


def _bare_name(number: int) -> str:
    return f"bench_bare_notify_{number}"


async def _bare(bench: Bench, number: int, offsets: Mapping[int, int], notify: Service | None = None) -> float:
    text = ",".join(f"{partition}:{offset}" for partition, offset in offsets.items())
    stack = bench.stack
    arguments = (stack.kafka.bootstrap, stack.mongod.uri, _bare_name(number), str(number), NOW.isoformat(), text)
    if notify is not None:
        notify.process.pause()
    written, seconds = await child("bare_notify", *arguments)
    if notify is not None:
        notify.process.resume()
    if written != PORTION:
        raise CouldNotMeasureError(f"the bare loop wrote {written:.0f} of {PORTION} alerts")
    return seconds


async def _verify(bench: Bench, ours: Database, bare: Database, told: Mapping[int, int]) -> None:
    """Both have written the same documents and told the same events."""
    for name in ("tasks", "deliveries", "alerts"):
        theirs = {one["_id"]: one async for one in bare[name].find()}
        count = 0
        async for one in ours[name].find({"_id": {"$in": list(theirs)}}):
            count += 1
            if _lasting(one) != _lasting(theirs[one["_id"]]):
                raise CouldNotMeasureError(f"not the same in {name}: {one}, bare {theirs[one['_id']]}")
        if count != PORTION:
            raise CouldNotMeasureError(f"{count} of {PORTION} {name} are written by both")
    events = Counter((one.key, one.value) for one in await records_since(bench.stack.kafka.bootstrap, ALERTS, told))
    if len(events) != PORTION or set(events.values()) != {2}:
        raise CouldNotMeasureError(f"of {PORTION} alerts, {len(events)} different events were told, {events.total()}")


def _lasting(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """In order: the bytes are the same only if it is. A task's fields are set by name, in the server's order."""
    return [(name, value) for name, value in document.items() if name not in PER_CHANGE]


# -- a whole wave --------------------------------------------------------------------------------------------------


async def _wave(bench: Bench) -> dict[str, Figure]:
    """All at once, to a fresh process; then the morning comes."""
    notify, database = await bench.start("bench_wave")
    notify.process.pause()
    await alerts.tell_tasks(bench.stack.kafka.bootstrap, alerts.overdues(0, WAVE))
    began = time.perf_counter()
    notify.process.resume()
    await bench.counters.reaches(notify, len(alerts.agencies()) + WAVE)
    decided = time.perf_counter()
    bench.stands(DIGESTS_AT)
    await _all_sent(database)
    sent = time.perf_counter()
    mails = await asyncio.to_thread(bench.stack.mailbox.mails)
    peak = figures.peak_mb(notify)
    await _verify_digests(database, mails)
    await notify.stop()
    said = (
        f"no baseline: {WAVE:,} overdues of {len(alerts.CODES)} agencies at once, from the first record until the last "
        f"digest was taken: {decided - began:.1f} s to decide them, {sent - decided:.1f} s for the digests"
    )
    load = (
        f"peak resident size (VmHWM) of the process after: {WAVE:,} overdues of {len(alerts.CODES)} agencies at once, "
        "and their digests"
    )
    return {
        METRICS[1]: Figure(len(mails), "mails", said, figures.WAVE_MESSAGES_TARGET),
        METRICS[2]: Figure(round(sent - began, 1), "s", said, figures.NO_TARGET),
        METRICS[3]: Figure(round(peak, 1), "MB", load, figures.MEMORY_TARGET),
    }


async def _all_sent(database: Database) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while await database["deliveries"].find_one({"state": "pending"}, {"_id": 1}):
        if time.monotonic() > deadline:
            waiting = await database["deliveries"].count_documents({"state": "pending"})
            raise CouldNotMeasureError(f"{waiting} of {WAVE} alerts are not sent")
        await asyncio.sleep(LOOK_SECONDS)


async def _verify_digests(database: Database, mails: Sequence[Mail]) -> None:
    """Every alert is in a digest that is in the mailbox of its agency, which counts all its tasks."""
    per_agency = WAVE // len(alerts.CODES)
    group = {"_id": {"message": "$message_id", "agency": "$agency", "state": "$state"}, "alerts": {"$sum": 1}}
    rows = [one async for one in database["deliveries"].aggregate([{"$group": group}])]
    told = {one["_id"]["message"]: alerts.mailbox(one["_id"]["agency"]) for one in rows}
    taken = {str(one.message["Message-ID"]).strip("<>").partition("@")[0]: one.recipients[0] for one in mails}
    good = {(one["_id"]["state"], one["alerts"]) for one in rows} == {("sent", per_agency)}
    if not good or len(rows) != len(alerts.CODES) or told != taken:
        raise CouldNotMeasureError(f"{WAVE} alerts went into {len(rows)} messages, {len(mails)} mails were taken")
    if any(f"{per_agency}" not in one.text for one in mails):
        raise CouldNotMeasureError(f"a digest does not count {per_agency} tasks")
