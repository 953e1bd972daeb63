"""Each directive has one record on a topic of its own: as its highest revision words it, and whether it stands."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import EntryWrite, Registry
from shared.contracts.codec import decode
from shared.contracts.registry_facts import DirectiveChanged
from shared.contracts.topics import DIRECTIVES, TASKS
from tests.flow.tasks.harness import PARTITIONS, REGISTRY, REVOKED, Service, directive, obligation, say
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.workload import OFFICE

Event = tuple[str, dict[str, Any]]
CONDITIONAL = {"kind": "conditional", "trigger": "vượt thẩm quyền"}


@pytest.fixture
def service() -> Service:
    return Service(cast(MongoTaskStore, MemoryTaskStore()))


def revision(number: int, *, event_id: str | None = None, received: str = "2024-10-17 09:00", **changes: Any) -> Event:
    words = {"title": f"Lần {number}", **changes}
    return directive(obligation(), revision=number, event_id=event_id or f"r{number}", received=received, **words)


def revoked(event_id: str = "end", received: str = "2024-10-20 09:00", **changes: Any) -> Event:
    return say("directive.revoked", {**REVOKED, **changes}, by=OFFICE, event_id=event_id, received=received)


def told(service: Service) -> list[DirectiveChanged]:
    """What was told of directives, in order; what was told twice, twice."""
    found = [decode(one.topic, one.value).data for one in service.told if one.topic == DIRECTIVES.name]
    assert all(isinstance(one, DirectiveChanged) for one in found)
    return cast(list[DirectiveChanged], found)


def short(records: Sequence[DirectiveChanged]) -> list[tuple[int, int, str, bool]]:
    return [(one.seq, one.revision, one.title, one.revoked is not None) for one in records]


async def test_a_directive_is_told_in_its_own_words_with_clauses_that_have_no_task(service: Service) -> None:
    await service.on(
        *REGISTRY,
        directive(
            obligation(leads=["@districts", "H48.07"], feeds=["II.2"], phrase="trước ngày 20/10/2024"),
            obligation("II.2", ["H48.21"], due=CONDITIONAL, category="conditional", reviewer="H48.01"),
            number="441/TB-UBND",
        ),
    )

    [one] = told(service)
    assert (one.province, one.directive, one.kind, one.number, one.issuer) == (
        "H48",
        "TB-1",
        "TB",
        "441/TB-UBND",
        "UBND tỉnh",
    )
    assert [(it.clause, it.leads, it.category.value, it.reviewer, it.feeds) for it in one.obligations] == [
        ("II.1.h", ("@districts", "H48.07"), "dated", None, ("II.2",)),
        ("II.2", ("H48.21",), "conditional", "H48.01", ()),
    ]
    assert one.obligations[0].phrase == "trước ngày 20/10/2024"
    assert {task.clause for task in (await service.tasks()).values()} == {"II.1.h"}
    assert one.issued == one.cause
    assert (one.revoked, one.revoked_document, one.revoked_reason) == (None, None, None)


async def test_a_directive_is_told_before_its_tasks(service: Service) -> None:
    """Most readers then know its name when a task comes; topics have no common order, so none may rely on it."""
    await service.on(*REGISTRY, directive(obligation()))

    topics = [one.topic for one in service.told if one.topic in {TASKS.name, DIRECTIVES.name}]
    assert topics == [DIRECTIVES.name, *[TASKS.name] * 3]


async def test_a_revision_and_a_revocation_change_the_record(service: Service) -> None:
    await service.on(*REGISTRY, revision(1, received="2024-10-14 09:00"), revision(3), revoked())

    records = told(service)
    assert short(records) == [(1, 1, "Lần 1", False), (2, 3, "Lần 3", False), (3, 3, "Lần 3", True)]
    assert {one.issued.event_id for one in records} == {"//test/H48.01#r1"}
    assert [one.cause.event_id.split("#")[1] for one in records] == ["r1", "r3", "end"]
    last = records[-1]
    assert last.revoked == last.cause
    assert last.revoked_document is not None
    assert (last.revoked_document.number, last.revoked_reason) == ("9/TB", "thay thế")
    assert last.obligations == records[1].obligations


async def test_what_is_rejected_is_not_told(service: Service) -> None:
    await service.on(*REGISTRY, revision(3))

    await service.on(revision(2), revision(3, event_id="other"), revoked("nobody", directive="TB-9"))
    await service.on(revision(4, obligations=[obligation(leads=["H48.99"])]))

    assert [(await service.outcome(one))[0] for one in ("r2", "other", "nobody", "r4")] == ["rejected"] * 4
    assert short(told(service)) == [(1, 3, "Lần 3", False)]


async def test_a_second_revocation_leaves_the_first(service: Service) -> None:
    await service.on(*REGISTRY, revision(1), revoked(), revoked("again", "2024-10-21 09:00", reason="lần nữa"))

    assert [one.revoked_reason for one in told(service)] == [None, "thay thế"]


async def test_what_comes_again_is_told_no_second_time(service: Service) -> None:
    """Under the same offset, after a rebalance, and sent anew under the same id."""
    events = (revision(1), revision(2), revoked())
    records = await service.on(*REGISTRY, *events)

    await service.handlers.on_submissions(records)
    await service.on(*events)

    assert [one.seq for one in told(service)] == [1, 2, 3]


async def test_a_record_that_a_crash_left_untold_is_told_again_under_its_id(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sweep, and by the redelivery no second time."""
    monkeypatch.setattr("services.tasks.sweep.UNTOLD_AFTER_SECONDS", -1.0)
    await service.on(*REGISTRY)
    records = await service.receive(revision(1))
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)
    assert told(service) == []

    await service.sweep.tell_leftovers(list(range(PARTITIONS)))
    await service.handlers.on_submissions(records)

    assert short(told(service)) == [(1, 1, "Lần 1", False)]
    assert await service.outcome("r1") == ("applied", "applied")


async def test_a_redelivery_tells_what_a_crash_left_untold_before_it_closes_the_ledger(service: Service) -> None:
    await service.on(*REGISTRY)
    records = await service.receive(revision(1))
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)

    await service.handlers.on_submissions(records)

    assert short(told(service)) == [(1, 1, "Lần 1", False)]
    assert await service.outcome("r1") == ("applied", "applied")


async def test_what_one_change_did_not_tell_comes_before_the_next(service: Service) -> None:
    """INVARIANT: on a compacted topic the last record stays, so it must be the newest."""
    await service.on(*REGISTRY)
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.on(revision(1))

    await service.on(revision(2))

    assert [one.seq for one in told(service)] == [1, 2]


async def test_whoever_slept_over_a_revision_does_not_tell_the_older_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the record is the highest revision's, whoever wakes up with an older one."""
    await service.on(*REGISTRY)
    records = await service.receive(revision(1))
    save = MemoryTaskStore.save_directive

    async def sleeps(store: MemoryTaskStore, *asked: Any) -> None:
        monkeypatch.undo()
        await service.handlers.on_submissions(records)
        await service.on(revision(2))
        await save(store, *asked)

    monkeypatch.setattr(MemoryTaskStore, "save_directive", sleeps)
    await service.handlers.on_submissions(records)

    assert short(told(service)) == [(1, 1, "Lần 1", False), (2, 2, "Lần 2", False)]


async def test_whoever_slept_until_it_was_to_be_told_does_not_tell_the_older_one_either(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw its own revision in force; the record itself must say no."""
    await service.on(*REGISTRY)
    records = await service.receive(revision(1))
    look, asked_before = MemoryTaskStore.directive, 0

    async def sleeps(store: MemoryTaskStore, *asked: Any) -> Any:
        nonlocal asked_before
        asked_before += 1
        found = await look(store, *asked)
        if asked_before == 2:
            monkeypatch.undo()
            await service.on(revision(2))
        return found

    monkeypatch.setattr(MemoryTaskStore, "directive", sleeps)
    await service.handlers.on_submissions(records)

    assert short(told(service)) == [(1, 2, "Lần 2", False)]


async def test_of_two_that_claim_one_revision_the_first_is_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the record is of the event that the directive's state names, also if that one dies before it tells."""
    await service.on(*REGISTRY)
    first, second = await service.receive(revision(1), revision(1, event_id="second", title="Khác"))
    save, write = MemoryTaskStore.save_directive, MemoryTaskStore.save_entry

    async def dies(store: MemoryTaskStore, registry: Registry, entry: EntryWrite) -> bool:
        if registry is Registry.DIRECTIVES:
            raise ConnectionError("died")
        return await write(store, registry, entry)

    async def sleeps(store: MemoryTaskStore, *asked: Any) -> None:
        monkeypatch.undo()
        with monkeypatch.context() as patched:
            patched.setattr(MemoryTaskStore, "save_entry", dies)
            with pytest.raises(ConnectionError):
                await service.handlers.on_submissions([first])
        await save(store, *asked)

    monkeypatch.setattr(MemoryTaskStore, "save_directive", sleeps)
    await service.handlers.on_submissions([second])
    await service.handlers.on_submissions([first])

    assert short(told(service)) == [(1, 1, "Lần 1", False)]
