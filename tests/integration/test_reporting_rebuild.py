"""`dondoc rebuild reporting` on a real Kafka and MongoDB, beside the running service: killed, aborted, to its end."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.local.broker import KafkaKind
from deploy.local.stack import Stack, StackOptions
from services.reporting.mongo_generations import STATE, generation_of
from shared.runtime.clock import ScaledClock, write_piece
from shared.runtime.consuming import Received
from shared.runtime.mongodb import Database, connect
from tests.flow.reporting.snapshots import a_snapshot, changed
from tests.integration.test_reporting_faults import (
    END,
    HURRIED,
    a_workload,
    assert_revisions_are_in_order,
    expected_figures,
    latest,
    produce,
    read_reports,
)
from tests.support.waiting import until
from tests.unit.reporting.builders import at

pytestmark = [pytest.mark.connected, pytest.mark.faults, pytest.mark.timeout(900)]

SEED = 20241115
PREFIX = "rebuild"


@dataclass(slots=True)
class Ended:
    """A command that came to its end."""

    code: int | None
    out: str
    err: str


async def dondoc(stack: Stack, *words: str, kill_when: Any = None) -> Ended:
    """Run the operator's command; `kill_when`: something to wait for, then it is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy",
        "rebuild",
        "reporting",
        *words,
        env=stack.env_of("reporting", 1),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if kill_when is not None:
        await kill_when()
        os.killpg(process.pid, signal.SIGKILL)
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


async def generations_of(database: Database) -> set[int]:
    """Those that have a collection."""
    names = await database.list_collection_names()
    return {one for one in map(generation_of, names) if one is not None}


async def settle(stack: Stack, told: Sequence[Received], what: str) -> None:
    """Wait until the last word on each report is what all facts together give."""
    expected = expected_figures(told)

    async def settled() -> bool:
        published = await read_reports(stack.kafka.bootstrap)
        return expected == {
            key: (one.final, one.totals, one.days_late, one.money)
            for key, one in latest(published).items()
            if not one.scope.startswith("group:") and (one.totals.total or one.totals.ended_without_result)
        }

    await until(settled, within=120, what=what)


def another(number: int) -> Received:
    """A task more."""
    return changed(a_snapshot(1, agency="H48.01", clause=f"IX.{number}", assigned="2025-01-05 08:00", due="2025-01-10"))


async def test_rebuild_beside_the_service(tmp_path: Path) -> None:
    """INVARIANT: whatever becomes of a rebuild, each report ends with what all facts together give, told once each.

    If this broke, mending the figures would be what breaks them.
    """
    workload = a_workload(random.Random(SEED))
    steering = tmp_path / "clock.json"
    write_piece(steering, ScaledClock(at("2024-10-11"), 0.0, 0.0))
    options = StackOptions(
        run_dir=tmp_path,
        kafka=KafkaKind.APACHE,
        services=(),
        clock=f"file:{steering}",
        database_prefix=PREFIX,
        env=HURRIED,
    )
    async with Stack(options, say=lambda _: None) as stack:
        for _ in range(2):
            await stack.add_replica("reporting")
        client = connect(stack.mongod.uri, app_name="tests")
        try:
            database = client[f"{PREFIX}_reporting"]
            await _play(stack, database, workload, steering)
        finally:
            client.close()


async def _play(stack: Stack, database: Database, workload: list[Received], steering: Path) -> None:
    bootstrap = stack.kafka.bootstrap
    told = list(workload)
    half = len(workload) // 2
    await produce(bootstrap, workload[:half])
    write_piece(steering, ScaledClock(at("2024-10-11") + timedelta(days=45), 0.0, 0.0))

    # Killed while it reads; facts go on coming in.
    async def is_filling() -> Any:
        return await database[STATE].find_one({"filling": {"$ne": None}})

    killed = await dondoc(stack, kill_when=lambda: until(is_filling, what="it begins"))
    assert killed.code != 0
    await produce(bootstrap, workload[half:])
    refused = await dondoc(stack)
    assert (refused.code, "another rebuild runs" in refused.err) == (3, True), refused.err
    aborted = await dondoc(stack, "--abort")
    assert (aborted.code, "is ended" in aborted.out) == (0, True), aborted
    write_piece(steering, ScaledClock(at(END), 0.0, 0.0))
    await settle(stack, told, "the reports agree with the facts")
    assert await generations_of(database) == {1}

    # What is right stays as it is.
    before = dict(await read_reports(bootstrap))
    rebuilt = await dondoc(stack)
    assert rebuilt.code == 0, rebuilt
    assert "tasks: 400, of which 400 are as they were" in rebuilt.out
    assert dict(await read_reports(bootstrap)) == before
    (serving,) = await generations_of(database)
    assert serving > 1

    # A document changed by hand is mended, while facts come in.
    tasks = database[f"task_facts_g{serving}"]
    (altered,) = await tasks.find({"agency": "H48.03"}).limit(1).to_list(1)
    await tasks.update_one({"_id": altered["_id"]}, {"$set": {"steps": []}})

    async def come_in() -> None:
        for number in range(10):
            told.append(another(number))
            await produce(bootstrap, told[-1:])
            await asyncio.sleep(0.3)

    coming = asyncio.create_task(come_in())
    rebuilt = await dondoc(stack)
    await coming
    assert rebuilt.code == 0, rebuilt
    assert f"differed: 1 ({altered['_id']})" in rebuilt.out
    await settle(stack, told, "the altered task is mended and nothing that came in is missing")

    # What is in no topic is not thrown away unasked.
    (serving,) = await generations_of(database)
    tasks = database[f"task_facts_g{serving}"]
    await tasks.insert_one({**altered, "_id": "H48/TB-X/I.1/H48.03"})
    refused = await dondoc(stack)
    assert (refused.code, "H48/TB-X/I.1/H48.03" in refused.err) == (4, True), refused
    assert await generations_of(database) == {serving}
    await tasks.delete_one({"_id": "H48/TB-X/I.1/H48.03"})

    # The database is gone, and comes back with the revisions where they were.
    await settle(stack, told, "the reports agree again")
    await database.client.drop_database(database.name)
    told.append(another(77))
    await produce(bootstrap, told[-1:])
    await asyncio.sleep(2)
    rebuilt = await dondoc(stack)
    assert rebuilt.code == 0, rebuilt
    assert "restored from their topics" in rebuilt.out
    await settle(stack, told, "the lost database is made again")
    assert_revisions_are_in_order(await read_reports(bootstrap))
