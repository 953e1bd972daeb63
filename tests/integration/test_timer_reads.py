"""What the sweep reads rests on indexes: its price follows what is due, not how many tasks there are."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise

import pytest

from services.tasks import sweep
from shared.runtime.consuming import LANES
from tests.bench import population
from tests.bench.reads import Reads
from tests.support.database import fresh_database

pytestmark = pytest.mark.connected

DUE = 30
BEFORE, AFTER = population.instant(8, 30), population.instant(10)


@pytest.fixture
async def reads(mongo_uri: str) -> AsyncIterator[Reads]:
    waiting = [population.instant(9) + timedelta(seconds=number) for number in range(DUE)]
    async with fresh_database(mongo_uri) as database, fresh_database(mongo_uri) as scratch:
        await population.fill(database, scratch, population.assigned(waiting, 2_000))
        async with Reads.of(mongo_uri, database.name) as found:
            yield found


async def test_due_tasks_are_found_by_their_keys_alone(reads: Reads) -> None:
    """INVARIANT: looks many times a second, three lanes each, read what is due and nothing else.

    If this broke, every look would read the province's tasks through.
    """
    found = await reads.due(dict.fromkeys(population.PARTITIONS, AFTER))

    assert all(one.is_bounded for one in found), found
    assert {stage for one in found for stage in one.stages if stage.startswith("IXSCAN")} == {"IXSCAN timers"}
    assert sum(one.returned for one in found) == DUE
    assert sum(one.keys for one in found) == sum(one.documents for one in found) == DUE


async def test_a_turn_with_nothing_to_do_reads_no_document(reads: Reads) -> None:
    found = await reads.turn(dict.fromkeys(population.PARTITIONS, BEFORE))

    # An empty or missing collection is read through: there is nothing in it.
    assert all(one.is_bounded for one in found if one.stages != ("EOF",)), found
    assert sum(one.documents for one in found) == 0
    assert {"tasks", "obligations", "parked"} <= {one.collection for one in found}


async def test_a_wave_lets_records_in_after_every_page(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    """INVARIANT: a lane is held for one page of milestones at a time, however many are due.

    If this broke, a midnight's deadlines would hold up what agencies send: a lane that is held soon holds up all.
    """
    monkeypatch.setattr(sweep, "PAGE", 3)
    fired: list[list[int]] = [[0] for _ in range(LANES)]

    async def let_in(lane: int) -> None:
        over = {"due_at": {"$lte": AFTER}, "next_at": {"$gt": AFTER}, "p": {"$mod": [LANES, lane]}}
        fired[lane].append(len(await reads.database["tasks"].find(over).to_list(None)))

    await reads.turn(dict.fromkeys(population.PARTITIONS, AFTER), let_in=let_in)

    pages = [later - before for lane in fired for before, later in pairwise(lane)]
    assert max(pages) == 3
    assert sum(pages) == DUE
    assert all(len(lane) > 2 for lane in fired), "one turn goes on while more is due"
