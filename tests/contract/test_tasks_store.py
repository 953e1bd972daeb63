"""What every tasks store must do: the one in memory that the simulation uses, and the one on a real MongoDB."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

import pytest

from services.tasks import wire
from services.tasks.documents import STEPS_KEPT
from services.tasks.domain.commands import Cancel
from services.tasks.domain.deadlines import (
    Boundary,
    ByReferenceRule,
    ConditionalRule,
    DueRule,
    FixedRule,
    OpenEndedRule,
    RecurringRule,
    RelativeRule,
)
from services.tasks.domain.directive import Obligation, Pause
from services.tasks.domain.reading import EVERYTHING, Reader
from services.tasks.domain.task import End, Succession, Task
from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import (
    Buried,
    Change,
    DirectiveState,
    EntryWrite,
    LedgerEntry,
    Message,
    ObligationState,
    Outcome,
    Parked,
    Position,
    Registry,
    TaskFilter,
    TaskStore,
    Untold,
    Verdict,
    Write,
)
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.builders import a_cause, a_document, a_task, after, at
from tests.support.database import fresh_database

NOW = at("2024-10-20 08:00")
BETWEEN = NOW + timedelta(microseconds=1_999)
"""Falls between two milliseconds."""
CUT = NOW + timedelta(milliseconds=1)


class Store(TaskStore, Protocol):
    """With what the API reads."""

    async def ledger_by_id(
        self, submission_id: str, source: str | None, limit: int, reader: Reader = EVERYTHING
    ) -> list[LedgerEntry]: ...

    async def list_tasks(self, wanted: TaskFilter, *, after: str | None, limit: int) -> list[Task]: ...

    async def history(self, task_id: str) -> list[Change] | None: ...


@pytest.fixture(params=["memory", pytest.param("mongo", marks=pytest.mark.connected)])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the store is; None: in memory, and no server is started."""
    return str(request.getfixturevalue("mongo_uri")) if request.param == "mongo" else None


@pytest.fixture
async def store(address: str | None) -> AsyncIterator[Store]:
    if address is None:
        yield MemoryTaskStore()
        return
    async with fresh_database(address) as database:
        mongo = MongoTaskStore(database)
        await mongo.prepare()
        await mongo.prepare()
        yield mongo


def task_id(number: int) -> str:
    return f"H48/TB-1/II.{number}/H48.21"


def an_entry(number: int = 1, offset: int = 0, **changes: Any) -> LedgerEntry:
    entry = LedgerEntry(
        f"//s#e{number}", "//s", f"e{number}", "t", "H48", "H48.21", task_id(1), BETWEEN, "digest", Position(0, offset)
    )
    return entry._replace(**changes)


def a_write(number: int = 1, *, token: str = "t1", replaces: int | None = None, **changes: Any) -> Write:
    task = changes.pop("task", None) or a_task(task_id=task_id(number), clause=f"II.{number}")
    write = Write(
        task=task,
        text=wire.snapshot_json(task),
        partition=0,
        offset=-1,
        steps=(),
        untold=Untold(token, (Message("topic", "key", b"\x00value"),), (Verdict("k", Outcome.APPLIED, "r", "d"),)),
        replaces=replaces,
        next_at=NOW,
    )
    return replace(write, **changes)


def a_parked(number: int, *, partition: int = 0, offset: int | None = None, about: int = 1) -> Parked:
    place = Position(partition, number if offset is None else offset)
    return Parked(f"//s#e{number}", task_id(about), place, BETWEEN, b"\xffvalue")


def an_obligation(opens: datetime | None, number: int = 1, *, partition: int = 0) -> ObligationState:
    due = RecurringRule("monthly", Boundary.BEFORE, 20, date(2024, 10, 14))
    obligation = Obligation(
        "H48", "TB-1", f"II.{number}", "Báo cáo", "hằng tháng", "recurring", ("1/QĐ",), ("H48.21",), (), due,
        "automatic", "H48.07", None, a_cause(event_id="directive"), a_document(),
    )  # fmt: skip
    return ObligationState(obligation, partition, opens)


async def outcome(store: Store, key: str) -> tuple[str, str]:
    entry = (await store.ledger([key]))[key]
    return entry.outcome.value, entry.reason


# -- ledger --------------------------------------------------------------------------------------------------------


async def test_a_claim_tells_what_was_claimed_before(store: Store) -> None:
    first, second = an_entry(1), an_entry(2, 1)
    assert await store.claim([]) == {}
    assert await store.claim([first]) == {}

    again = an_entry(1, 7, digest="other")
    known = await store.claim([again, second])

    assert known == {first.key: first._replace(received_at=CUT)}
    assert known[first.key].received_at == CUT
    assert set(await store.ledger([first.key, second.key, "none"])) == {first.key, second.key}
    assert await store.ledger([]) == {}


async def test_of_two_claims_of_one_id_in_a_batch_the_first_counts(store: Store) -> None:
    known = await store.claim([an_entry(1, 3), an_entry(1, 4)])

    assert known["//s#e1"].position == Position(0, 3)


async def test_of_two_who_claim_an_id_one_gets_it(store: Store) -> None:
    """INVARIANT: an id has one effect, even when two partitions carry it at the same moment."""
    for number in range(20):
        found = await asyncio.gather(*(store.claim([an_entry(number, offset)]) for offset in range(3)))

        winners = [offset for offset, known in enumerate(found) if not known]
        assert len(winners) == 1
        assert {one.position.offset for known in found for one in known.values()} == set(winners)


async def test_the_ledger_is_read_by_the_clients_id(store: Store) -> None:
    other = an_entry(1)._replace(key="//o#e1", source="//o")
    await store.claim([an_entry(1), other, an_entry(2)])

    assert {one.key for one in await store.ledger_by_id("e1", None, 10)} == {"//s#e1", "//o#e1"}
    assert [one.key for one in await store.ledger_by_id("e1", "//o", 10)] == ["//o#e1"]
    assert len(await store.ledger_by_id("e1", None, 1)) == 1
    assert await store.ledger_by_id("e9", None, 10) == []


async def test_parked_never_replaces_an_outcome(store: Store) -> None:
    """INVARIANT: a replica that lost its partition cannot undo what its successor did."""
    await store.claim([an_entry(1), an_entry(2, 1)])
    parked = [Verdict(f"//s#e{number}", Outcome.PARKED, "waits") for number in (1, 2)]
    await store.close([Verdict("//s#e1", Outcome.APPLIED, "applied", "detail")], recorded_at=NOW)
    await store.close(parked, recorded_at=NOW)
    assert await outcome(store, "//s#e1") == ("applied", "applied")
    assert await outcome(store, "//s#e2") == ("parked", "waits")

    await store.close([Verdict("//s#e2", Outcome.REJECTED, "not_yours")], recorded_at=NOW)
    await store.close(parked, recorded_at=NOW)
    await store.close([Verdict("//s#none", Outcome.APPLIED, "applied")], recorded_at=NOW)
    await store.close([], recorded_at=NOW)

    assert await outcome(store, "//s#e2") == ("rejected", "not_yours")
    assert (await store.ledger(["//s#e1"]))["//s#e1"].detail == "detail"
    assert await store.ledger(["//s#none"]) == {}


async def test_a_buried_record_is_dead_unless_its_id_is_settled(store: Store) -> None:
    def buried(number: int) -> Buried:
        return Buried(f"//s#e{number}", "//s", f"e{number}", "t", "invalid_data", "where", Position(3, number))

    await store.claim([an_entry(1), an_entry(2, 1), an_entry(3, 2)])
    await store.close([Verdict("//s#e1", Outcome.APPLIED, "applied")], recorded_at=NOW)
    await store.close([Verdict("//s#e2", Outcome.PARKED, "waits")], recorded_at=NOW)
    for number in (1, 2, 3, 4, 4):
        await store.bury(buried(number), recorded_at=NOW)

    assert await outcome(store, "//s#e1") == ("applied", "applied")
    assert [await outcome(store, f"//s#e{number}") for number in (2, 3, 4)] == [("dead", "invalid_data")] * 3
    unknown = (await store.ledger(["//s#e4"]))["//s#e4"]
    assert (unknown.received_at, unknown.position, unknown.agency, unknown.task_id) == (None, (3, 4), "", None)
    known = (await store.ledger(["//s#e3"]))["//s#e3"]
    assert (known.position, known.agency) == (Position(0, 2), "H48.21")


async def test_each_reuse_is_counted(store: Store) -> None:
    await store.claim([an_entry(1)])
    await store.note_reuse(["//s#e1", "//s#e1", "//s#none"])
    await store.note_reuse(["//s#e1"])

    assert (await store.ledger(["//s#e1"]))["//s#e1"].reused == 3
    assert await store.ledger(["//s#none"]) == {}


# -- tasks ---------------------------------------------------------------------------------------------------------


async def test_a_task_comes_back_as_it_was_written(store: Store) -> None:
    write = a_write(1, offset=7, steps=("a", "b"))
    assert await store.save_tasks([]) == frozenset()
    assert await store.save_tasks([write]) == frozenset()

    stored = (await store.tasks([task_id(1), task_id(2)]))[task_id(1)]
    assert (stored.task, stored.text, stored.untold) == (write.task, write.text, write.untold)
    assert (stored.version, stored.partition, stored.offset, stored.steps) == (1, 0, 7, ("a", "b"))
    assert await store.tasks([]) == {}
    assert await store.existing([task_id(1), task_id(2)]) == {task_id(1)}
    assert await store.existing([]) == frozenset()


async def test_a_write_on_another_version_is_lost_and_leaves_no_trace(store: Store) -> None:
    """INVARIANT: compare-and-set. Two who read the same version cannot both write over it."""
    await store.save_tasks([a_write(1), a_write(2)])

    assert await store.save_tasks([a_write(1, token="t2"), a_write(3, token="t2")]) == {task_id(1)}
    mine = a_write(1, token="t3", replaces=1, offset=5)
    stale = a_write(2, token="t3", replaces=9, offset=5)
    gone = a_write(9, token="t3", replaces=1)
    assert await store.save_tasks([mine, stale, gone]) == {task_id(2), task_id(9)}
    assert await store.save_tasks([replace(mine, untold=Untold("t4"), offset=6)]) == {task_id(1)}

    found = await store.tasks([task_id(1), task_id(2), task_id(3), task_id(9)])
    assert {one: (stored.version, stored.offset) for one, stored in found.items()} == {
        task_id(1): (2, 5),
        task_id(2): (1, -1),
        task_id(3): (1, -1),
    }


async def test_of_racing_writers_of_a_version_one_wins(store: Store) -> None:
    await store.save_tasks([a_write(1)])
    for version in range(1, 20):
        lost = await asyncio.gather(
            *(store.save_tasks([a_write(1, token=f"{version}-{who}", replaces=version)]) for who in range(3))
        )
        assert sorted(map(len, lost)) == [0, 1, 1]
    assert (await store.tasks([task_id(1)]))[task_id(1)].version == 20


async def test_what_is_owed_is_forgotten_by_its_token_only(store: Store) -> None:
    """INVARIANT: a late `told` clears nothing that was written after what it told."""
    await store.save_tasks([a_write(1, token="t1"), a_write(2, token="t1")])
    await store.save_tasks([a_write(1, token="t2", replaces=1)])

    await store.told({task_id(1): "t1", task_id(2): "t1", task_id(9): "t1"})
    await store.told({})

    found = await store.tasks([task_id(1), task_id(2)])
    assert [one.untold and one.untold.token for one in found.values()] == ["t2", None]
    assert [one.version for one in found.values()] == [2, 1]


async def test_leftovers_are_found_by_partition_and_age(store: Store) -> None:
    await store.save_tasks([a_write(1), a_write(2, partition=1), a_write(3)])
    await store.told({task_id(3): "t1"})

    assert await store.untold([0, 2], older_than_seconds=0) == {task_id(1): a_write(1).untold}
    assert await store.untold([0, 1], older_than_seconds=60) == {}
    assert await store.untold([], older_than_seconds=0) == {}


async def test_only_the_last_steps_are_kept(store: Store) -> None:
    steps = tuple(f"s{number}" for number in range(STEPS_KEPT + 3))
    await store.save_tasks([a_write(1, steps=steps)])

    assert (await store.tasks([task_id(1)]))[task_id(1)].steps == steps[3:]


async def test_what_is_due_comes_by_each_partitions_time_earliest_first(store: Store) -> None:
    second = timedelta(seconds=1)
    await store.save_tasks(
        [
            a_write(1, next_at=NOW + second),
            a_write(2, next_at=NOW),
            a_write(3, next_at=NOW, partition=1),
            a_write(4, next_at=None),
            a_write(5, next_at=NOW + 2 * second, partition=1),
        ]
    )

    assert list(await store.due({0: NOW + second}, 10)) == [task_id(2), task_id(1)]
    assert list(await store.due({0: NOW + second, 1: NOW - second}, 1)) == [task_id(2)]
    assert set(await store.due({0: NOW, 1: NOW + 2 * second}, 10)) == {task_id(2), task_id(3), task_id(5)}
    assert await store.due({}, 10) == {}


async def test_an_instant_is_kept_to_the_millisecond(store: Store) -> None:
    change = Change(1, "assigned", "applied", "e", "H48.01", BETWEEN, BETWEEN, "", "assigned")
    await store.save_tasks([a_write(1, next_at=BETWEEN, history=(change,))])

    assert list(await store.due({0: CUT}, 10)) == [task_id(1)]
    assert await store.due({0: CUT - timedelta(microseconds=1)}, 10) == {}
    kept = await store.history(task_id(1))
    assert kept == [change._replace(received_at=CUT, recorded_at=CUT)]
    assert kept[0].received_at.utcoffset() == timedelta(0)


async def test_history_grows_with_every_write_that_won(store: Store) -> None:
    def change(seq: int) -> Change:
        return Change(seq, "progressed", "applied", f"e{seq}", "a", NOW, NOW, "", "")

    await store.save_tasks([a_write(1, history=(change(1),))])
    await store.save_tasks([a_write(1, token="t2", replaces=1, history=(change(2), change(3)))])
    await store.save_tasks([a_write(1, token="t3", replaces=1, history=(change(9),))])

    assert [one.seq for one in await store.history(task_id(1)) or []] == [1, 2, 3]
    assert await store.history(task_id(2)) is None


def ended(number: int) -> Task:
    task = a_task(task_id=task_id(number), clause=f"II.{number}")
    return after(task, (Cancel("x", a_document()), "2024-10-15 08:00", "H48.01")).task


async def test_a_directives_open_tasks_are_known(store: Store) -> None:
    other = a_task(task_id="H48/TB-2/II.1/H48.21", directive="TB-2")
    await store.save_tasks([a_write(1), a_write(2, task=ended(2)), a_write(3, task=other), a_write(4)])
    await store.save_tasks([a_write(4, task=ended(4), token="t2", replaces=1)])

    assert list(await store.open_task_ids("H48", "TB-1")) == [task_id(1)]
    assert list(await store.open_task_ids("H49", "TB-1")) == []


async def test_tasks_are_listed_by_filter_and_page(store: Store) -> None:
    undated = a_task(None, task_id=task_id(2), clause="II.2", agency="H48.22")
    await store.save_tasks([a_write(3, task=ended(3)), a_write(1), a_write(2, task=undated)])
    due_at = a_task().deadlines[0].due_at

    async def found(cursor: str | None = None, limit: int = 10, **wanted: Any) -> list[str]:
        return [one.clause for one in await store.list_tasks(TaskFilter(**wanted), after=cursor, limit=limit)]

    assert await found() == ["II.1", "II.2", "II.3"]
    assert await found(limit=2) == ["II.1", "II.2"]
    assert await found(task_id(2)) == ["II.3"]
    assert await found(result="discontinued") == ["II.3"]
    assert await found(agency="H48.22", province="H48", directive="TB-1") == ["II.2"]
    assert await found(province="H49") == []
    assert await found(due_before=due_at) == []
    assert await found(due_before=due_at + timedelta(seconds=1)) == ["II.1", "II.3"]


# -- handovers -----------------------------------------------------------------------------------------------------


def a_handover(number: int, heir: int, *, token: str = "h", replaces: int = 1) -> Write:
    """The task ends, and task `heir` goes on."""
    task = a_task(task_id=task_id(number), clause=f"II.{number}", seq=2, ended=an_end(task_id(heir)))
    follower = a_task(task_id=task_id(heir), clause=f"II.{heir}", seq=1, predecessor=task_id(number))
    change = Change(2, "transferred", "applied", "move", "a", NOW, NOW, "", "")
    return a_write(
        number,
        token=token,
        replaces=replaces,
        task=task,
        next_at=None,
        history=(change,),
        heir=a_write(heir, token=token, task=follower),
    )


def an_end(successor: str) -> End:
    return End("transferred", "", a_document(), successor, a_cause())


async def written(store: Store, *numbers: int) -> dict[int, tuple[bool, str | None]]:
    """Number of each task that exists → whether it has ended, whom it follows."""
    found = await store.tasks([task_id(one) for one in numbers])
    return {
        one: (found[task_id(one)].task.ended is not None, found[task_id(one)].task.predecessor)
        for one in numbers
        if task_id(one) in found
    }


async def test_a_task_and_its_heir_are_written_together(store: Store) -> None:
    await store.save_tasks([a_write(1), a_write(2)])

    assert await store.save_tasks([a_handover(1, 5), a_write(2, token="t2", replaces=1)]) == frozenset()

    assert await written(store, 1, 2, 5) == {1: (True, None), 2: (False, None), 5: (False, task_id(1))}
    found = await store.tasks([task_id(1), task_id(5)])
    assert [one.untold and one.untold.token for one in found.values()] == ["h", "h"]
    assert [one.next_at for one in found.values()] == [None, NOW]
    assert [one.seq for one in await store.history(task_id(1)) or []] == [2]
    assert set(await store.open_task_ids("H48", "TB-1")) == {task_id(2), task_id(5)}


async def test_without_its_heir_a_task_is_not_written(store: Store) -> None:
    """INVARIANT: nobody's work ends in a task that another one's heir took."""
    await store.save_tasks([a_write(1), a_write(2), a_write(5)])

    assert await store.save_tasks([a_handover(1, 5), a_handover(2, 6)]) == {task_id(1)}

    assert await written(store, 1, 2, 5, 6) == {
        1: (False, None), 2: (True, None), 5: (False, None), 6: (False, task_id(2)),
    }  # fmt: skip
    version = (await store.tasks([task_id(1)]))[task_id(1)].version
    assert await store.history(task_id(1)) == []
    assert await store.save_tasks([a_write(1, token="t2", replaces=version)]) == frozenset()


async def test_without_its_task_an_heir_is_not_written(store: Store) -> None:
    await store.save_tasks([a_write(1)])
    await store.save_tasks([a_write(1, token="t2", replaces=1)])

    assert await store.save_tasks([a_handover(1, 5)]) == {task_id(1)}

    assert await written(store, 1, 5) == {1: (False, None)}


async def test_of_two_that_hand_over_to_one_the_second_is_told(store: Store) -> None:
    await store.save_tasks([a_write(1), a_write(2), a_write(3)])

    [lost] = await store.save_tasks([a_handover(1, 5), a_handover(2, 5)])
    assert await store.save_tasks([a_handover(3, 5)]) == {task_id(3)}

    assert lost in {task_id(1), task_id(2)}
    [winner] = {task_id(1), task_id(2)} - {lost}
    found = await store.tasks([task_id(1), task_id(2), task_id(5)])
    assert found[task_id(5)].task.predecessor == winner
    assert [found[one].task.ended is None for one in (winner, lost)] == [False, True]


class DeathError(Exception):
    pass


class Dying:
    """A collection whose process dies at one of its calls, before or after it took effect."""

    def __init__(self, collection: Any, call: int, *, after: bool) -> None:
        self._collection = collection
        self._left = call
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        if name not in {"bulk_write", "insert_many"}:
            return method

        async def write(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0 or (self._left == 0 and not self._after):
                raise DeathError
            found = await method(*args, **kwargs)
            if self._left == 0:
                raise DeathError
            return found

        return write


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
@pytest.mark.parametrize("dies_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("address", [pytest.param("mongo", marks=pytest.mark.connected)], indirect=True)
async def test_a_handover_that_was_killed_is_brought_to_its_end_by_whoever_reads_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: int, dies_after: bool, taken: bool
) -> None:
    """INVARIANT: both or neither, also for whoever reads after the death; then nobody is in the way of a new try."""
    await store.save_tasks([a_write(1), a_write(2), *([a_write(5)] if taken else [])])
    with monkeypatch.context() as patched:
        patched.setattr(store, "_tasks", Dying(vars(store)["_tasks"], call, after=dies_after))
        with pytest.raises(DeathError):
            await store.save_tasks([a_handover(1, 5)])

    begun = call > 1 or dies_after
    due = await store.due({0: NOW}, 10)
    assert (task_id(1) in due) is (not begun or (taken and call == 3 and dies_after))
    # What read before the handover began must not write over it.
    assert (await store.save_tasks([a_write(1, token="late", replaces=1)]) == {task_id(1)}) is begun

    follows = None if taken else task_id(1)
    if begun:
        assert await written(store, 1, 5) == {1: (not taken, None), 5: (False, follows)}
    else:
        assert await written(store, 1) == {1: (False, None)}
    version = (await store.tasks([task_id(1)]))[task_id(1)].version
    again = await store.save_tasks([a_handover(1, 6, token="again", replaces=version)])
    assert again == frozenset()


@pytest.mark.parametrize("address", [pytest.param("mongo", marks=pytest.mark.connected)], indirect=True)
async def test_a_handover_brought_to_its_end_by_many_at_once_is_written_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.save_tasks([a_write(1)])
    with monkeypatch.context() as patched:
        patched.setattr(store, "_tasks", Dying(vars(store)["_tasks"], 1, after=True))
        with pytest.raises(DeathError):
            await store.save_tasks([a_handover(1, 5)])

    found = await asyncio.gather(*(store.tasks([task_id(1)]) for _ in range(5)))

    assert all(one[task_id(1)].task.ended is not None for one in found)
    assert len({one[task_id(1)].version for one in found}) == 1
    assert len(await store.history(task_id(1)) or []) == 1


# -- parked --------------------------------------------------------------------------------------------------------


async def test_what_is_parked_comes_back_in_the_order_it_came(store: Store) -> None:
    await store.park([a_parked(3), a_parked(1), a_parked(2, partition=1, offset=0), a_parked(4, about=2)])
    await store.park([replace(a_parked(1), value=b"again")])

    found = await store.parked_for([task_id(1), task_id(9)])
    assert [one.key for one in found] == ["//s#e1", "//s#e3", "//s#e2"]
    assert found[0] == replace(a_parked(1), received_at=CUT)
    assert await store.parked_task_ids([0]) == {task_id(1), task_id(2)}
    assert await store.parked_task_ids([1]) == {task_id(1)}
    assert await store.parked_task_ids([]) == frozenset()


async def test_what_is_parked_is_found_by_age_until_it_is_forgotten(store: Store) -> None:
    await store.park([a_parked(2), a_parked(1), a_parked(3, partition=1)])

    assert [one.key for one in await store.parked_by([0], CUT, 10)] == ["//s#e1", "//s#e2"]
    assert [one.key for one in await store.parked_by([0, 1], CUT, 1)] == ["//s#e1"]
    assert list(await store.parked_by([0], CUT - timedelta(milliseconds=1), 10)) == []

    await store.unpark(["//s#e1", "//s#none"])
    await store.unpark([])
    assert [one.key for one in await store.parked_by([0], CUT, 10)] == ["//s#e2"]


# -- registry, directives, obligations -----------------------------------------------------------------------------


def an_entry_write(data: dict[str, Any], *, replaces: int | None, token: str, partition: int = 0) -> EntryWrite:
    return EntryWrite("H48/H48.21", data, partition, ("s",), Untold(token), replaces)


async def test_a_registry_document_is_guarded_by_its_version_too(store: Store) -> None:
    first = {"province": "H48", "code": "H48.21", "seq": 1, "groups": ["@all"]}
    assert await store.save_entry(Registry.AGENCIES, an_entry_write(first, replaces=None, token="t1"))
    assert not await store.save_entry(Registry.AGENCIES, an_entry_write(first, replaces=None, token="t2"))
    second = {**first, "seq": 2}
    assert await store.save_entry(Registry.AGENCIES, an_entry_write(second, replaces=1, token="t3", partition=1))
    assert not await store.save_entry(Registry.AGENCIES, an_entry_write(first, replaces=1, token="t4"))

    [entry] = (await store.entries(Registry.AGENCIES, ["H48/H48.21", "none"])).values()
    assert (entry.data, entry.version, entry.steps, entry.untold) == (second, 2, ("s",), Untold("t3"))
    assert set(await store.entries_with(Registry.AGENCIES, {"province": "H48", "seq": 2})) == {"H48/H48.21"}
    assert await store.entries_with(Registry.AGENCIES, {"province": "H48", "seq": 1}) == {}
    assert await store.entries(Registry.TARGETS, ["H48/H48.21"]) == {}

    assert set(await store.untold_entries(Registry.AGENCIES, [1], older_than_seconds=0)) == {"H48/H48.21"}
    assert await store.untold_entries(Registry.AGENCIES, [0], older_than_seconds=0) == {}
    assert await store.untold_entries(Registry.AGENCIES, [1], older_than_seconds=60) == {}
    await store.entry_told(Registry.AGENCIES, "H48/H48.21", "t1")
    assert (await store.entries(Registry.AGENCIES, ["H48/H48.21"]))["H48/H48.21"].untold is not None
    await store.entry_told(Registry.AGENCIES, "H48/H48.21", "t3")
    assert (await store.entries(Registry.AGENCIES, ["H48/H48.21"]))["H48/H48.21"].untold is None


async def test_a_directive_keeps_its_highest_revision(store: Store) -> None:
    assert await store.directive("H48", "TB-1") is None
    await store.save_directive("H48", "TB-1", 2, "second")
    await store.save_directive("H48", "TB-1", 1, "first")
    await store.save_directive("H48", "TB-1", 2, "another second")
    assert await store.directive("H48", "TB-1") == DirectiveState(2, "second")

    await store.revoke_directive("H48", "TB-1")
    await store.revoke_directive("H48", "TB-9")
    await store.save_directive("H48", "TB-1", 3, "third")

    assert await store.directive("H48", "TB-1") == DirectiveState(3, "third", revoked=True)
    assert await store.directive("H48", "TB-9") is None


async def test_what_is_told_of_a_directive_and_what_is_known_of_it_are_apart(store: Store) -> None:
    """INVARIANT: one is guarded by its version, the other by its revision; each would undo the other."""
    data = {"province": "H48", "directive": "TB-1", "seq": 1, "revision": 1, "obligations": [{"clause": "II.1"}]}
    await store.save_directive("H48", "TB-1", 1, "first")
    assert await store.save_entry(Registry.DIRECTIVES, EntryWrite("H48/TB-1", data, 0, ("s",), Untold("t"), None))
    await store.revoke_directive("H48", "TB-1")

    [entry] = (await store.entries(Registry.DIRECTIVES, ["H48/TB-1"])).values()
    assert (entry.data, entry.version) == (data, 1)
    assert set(await store.untold_entries(Registry.DIRECTIVES, [0], older_than_seconds=0)) == {"H48/TB-1"}
    assert await store.directive("H48", "TB-1") == DirectiveState(1, "first", revoked=True)


async def test_an_obligation_is_written_by_whoever_read_it_last(store: Store) -> None:
    assert await store.save_obligation(an_obligation(NOW))
    assert not await store.save_obligation(an_obligation(NOW)), "it is there"

    [known] = (await store.obligations(["H48/TB-1/II.1", "H48/TB-1/II.9"])).values()
    assert known == replace(an_obligation(NOW), version=1)
    paused = replace(known.obligation, pauses=(Pause(a_cause(), a_document()),))
    assert await store.save_obligation(replace(known, obligation=paused, next_at=None))
    assert not await store.save_obligation(replace(known, next_at=CUT)), "somebody was first"

    [kept_one] = (await store.obligations_of("H48", "TB-1")).values()
    assert (kept_one.obligation, kept_one.next_at, kept_one.version) == (paused, None, 2)
    assert await store.obligations_of("H48", "TB-2") == {}


async def test_obligations_are_due_by_their_partitions_time(store: Store) -> None:
    earlier, later = NOW, NOW + timedelta(days=31)
    await store.save_obligation(an_obligation(later))
    await store.save_obligation(an_obligation(earlier, 2))
    await store.save_obligation(an_obligation(None, 3))

    async def due(times: dict[int, datetime], limit: int = 10) -> list[str]:
        return [one.obligation.clause for one in await store.obligations_due(times, limit)]

    assert await due({0: later}) == ["II.2", "II.1"]
    assert await due({0: later}, 1) == ["II.2"]
    assert await due({0: earlier}) == ["II.2"]
    assert await due({3: later}) == []
    assert await due({}) == []
    assert [await store.next_opening(f"H48/TB-1/II.{one}") for one in (1, 2, 3, 9)] == [later, earlier, None, None]


@pytest.mark.parametrize(
    "due",
    [
        FixedRule(Boundary.BEFORE, date(2024, 10, 20)),
        FixedRule(Boundary.WITHIN, None, "2024-11", time(16, 30)),
        RecurringRule("weekly", Boundary.BY, 5, date(2024, 10, 14), date(2025, 1, 1), time(16)),
        RecurringRule("monthly", Boundary.WITHIN, None, date(2024, 10, 14)),
        RelativeRule(5, True, date(2024, 10, 14)),
        RelativeRule(5, False, None),
        ConditionalRule("vượt thẩm quyền", 5, True),
        ConditionalRule("kịp thời", None, False),
        ByReferenceRule("Luật Đầu tư công"),
        OpenEndedRule("standing"),
    ],
    ids=repr,
)
async def test_every_due_rule_is_read_back_as_it_was_written(store: Store, due: DueRule) -> None:
    state = an_obligation(NOW)
    written = replace(state, obligation=replace(state.obligation, due=due))
    await store.save_obligation(written)

    [known] = (await store.obligations(["H48/TB-1/II.1"])).values()
    assert known.obligation == written.obligation


# -- what rarely happens -------------------------------------------------------------------------------------------


async def test_open_tasks_are_found_by_who_holds_or_reviews_them(store: Store) -> None:
    held = a_task(task_id=task_id(1), clause="II.1")
    reviewed = a_task(task_id="H48/TB-1/II.2/H48.22", agency="H48.22", reviewer="H48.21")
    choice = Succession(("a", "b"), a_document(), "several_successors", a_cause())
    waiting = a_task(task_id=task_id(3), succession=choice)
    ended = a_task(task_id=task_id(4), ended=End("discontinued", "", None, None, a_cause()))
    await store.save_tasks([a_write(1, task=one) for one in (held, reviewed, waiting, ended)])

    async def found(parties: list[str], partition: int = 0, after: str = "", limit: int = 10) -> list[str]:
        return list(await store.open_tasks_with("H48", parties, partition, after=after, limit=limit))

    assert await found(["H48.21"]) == [task_id(1), "H48/TB-1/II.2/H48.22"]
    assert await found(["H48.21"], limit=1) == [task_id(1)]
    assert await found(["H48.21"], after=task_id(1)) == ["H48/TB-1/II.2/H48.22"]
    assert await found(["H48.21"], partition=1) == []
    assert await found(["H48.07"]) == [task_id(1), task_id(3)], "the reviewer of one that waits is still to be found"
    assert list(await store.open_tasks_with("H49", ["H48.21"], 0, after="", limit=10)) == []


async def test_open_tasks_that_stand_by_older_rules_are_found(store: Store) -> None:
    ended = a_task(task_id=task_id(4), ended=End("discontinued", "", None, None, a_cause()))
    await store.save_tasks([a_write(1, rules="1"), a_write(2, rules="2"), a_write(4, task=ended, rules="1")])

    async def older(rules: dict[str | None, str], partitions: list[int]) -> list[str]:
        return sorted(await store.open_tasks_by_other_rules(rules, partitions, 10))

    assert await older({None: "2"}, [0, 1]) == [task_id(1)]
    assert await older({None: "3"}, [0]) == [task_id(1), task_id(2)]
    assert await older({None: "1", "H48": "3"}, [0]) == [task_id(1), task_id(2)]
    assert await older({None: "3", "H48": "1"}, [0]) == []
    assert await older({None: "3"}, [1]) == []


async def test_the_earliest_that_is_planned_is_known_by_partition(store: Store) -> None:
    later = NOW + timedelta(days=1)
    await store.save_tasks([a_write(1, next_at=later), a_write(2), a_write(3, partition=1, next_at=None)])
    await store.save_obligation(an_obligation(later))
    await store.save_obligation(an_obligation(None, 2, partition=1))

    assert await store.earliest_due([0, 1, 2]) == {0: NOW}
    assert await store.earliest_due([1]) == {}
    assert await store.earliest_opening([0, 1]) == {0: later}


async def test_agencies_that_are_no_more_are_found(store: Store) -> None:
    for code, valid_to in (("H48.21", None), ("H48.22", "2025-02-28")):
        data = {"province": "H48", "code": code, "valid_to": valid_to}
        await store.save_entry(Registry.AGENCIES, EntryWrite(f"H48/{code}", data, 0, (), Untold("t"), None))

    assert set(await store.ended_agencies()) == {"H48/H48.22"}


async def test_lists_can_be_narrowed_to_what_a_preview_or_a_choice_needs(store: Store) -> None:
    waiting = a_task(task_id=task_id(3), succession=Succession((), a_document(), "no_successor", a_cause()))
    dateless = a_task(None, task_id=task_id(4))
    await store.save_tasks([a_write(1), a_write(3, task=waiting), a_write(4, task=dateless)])

    async def ids(**wanted: Any) -> list[str]:
        return [one.task_id for one in await store.list_tasks(TaskFilter(**wanted), after=None, limit=10)]

    assert await ids(open_with_deadline=True) == [task_id(1), task_id(3)]
    assert await ids(awaiting_succession=True) == [task_id(3)]
    assert await ids(reader="H48.99") == []


async def test_a_partitions_time_never_goes_back(store: Store) -> None:
    assert await store.slowest_time() is None
    await store.note_times({0: BETWEEN, 1: NOW})
    await store.note_times({0: NOW})
    await store.note_times({})

    assert await store.time_of(0) == CUT
    assert await store.time_of(1) == NOW
    assert await store.time_of(2) is None
    assert await store.slowest_time() == NOW
