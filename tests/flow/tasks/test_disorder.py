"""Orders of events that the simulation found to go wrong, told one by one."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import pytest

from services.tasks.mongo import MongoTaskStore
from services.tasks.ports import Message, Write
from tests.flow.tasks.harness import (
    PARTITIONS,
    REGISTRY,
    RESULT,
    REVOKED,
    TASK,
    Service,
    agency,
    directive,
    obligation,
    say,
)
from tests.flow.tasks.memory import MemoryTaskStore
from tests.support.builders import at
from tests.support.workload import OFFICE, STANDING

MONTHLY = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"}
DOCUMENT = {"number": "2/QĐ", "issued_on": "2024-10-15"}
MOVE: dict[str, Any] = {"task_id": TASK, "to_agency": "H48.22", "reason": "chuyển", "document": DOCUMENT}
HEIR = "H48/TB-1/II.1.h/H48.22"


@pytest.fixture
def service() -> Service:
    return Service(cast(MongoTaskStore, MemoryTaskStore()))


async def test_a_reassignment_that_got_half_way_is_finished(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """INVARIANT: a death between the successor's write and the transfer's leaves nobody with a task too many."""
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
    save = service.store.save_tasks

    async def dies_at_the_transfer(writes: Sequence[Write]) -> frozenset[str]:
        if any(write.task.ended for write in writes):
            raise ConnectionError("died")
        return await save(writes)

    monkeypatch.setattr(MemoryTaskStore, "save_tasks", lambda _, writes: dies_at_the_transfer(writes))
    records = await service.receive(say("task.reassigned", MOVE, by=OFFICE, event_id="move"))
    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)
    monkeypatch.setattr(MemoryTaskStore, "save_tasks", lambda _, writes: save(writes))
    await service.handlers.on_submissions(records)

    both = await service.store.tasks([TASK, HEIR])
    assert both[TASK].task.result.value == "transferred"
    assert both[HEIR].task.predecessor == TASK
    assert await service.outcome("move") == ("applied", "applied")


async def test_what_comes_between_a_look_and_a_transfer_goes_along(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: money that another partition brings while a task is being reassigned is not left behind."""
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
    money = {"allocation_id": "a1", "task_id": TASK, "fiscal_year": 2024, "amount_vnd": 5, "document": DOCUMENT}
    between = await service.receive(say("budget.allocated", money, by=OFFICE, key="H48", event_id="money"))
    save = service.store.save_tasks

    async def loses_the_race(writes: Sequence[Write]) -> frozenset[str]:
        if any(write.task.ended for write in writes):
            monkeypatch.setattr(MemoryTaskStore, "save_tasks", lambda _, writes: save(writes))
            await service.handlers.on_submissions(between)
        return await save(writes)

    monkeypatch.setattr(MemoryTaskStore, "save_tasks", lambda _, writes: loses_the_race(writes))
    await service.on(say("task.reassigned", MOVE, by=OFFICE, event_id="move"))

    assert await service.outcome("money") == ("applied", "applied")
    assert [one.amount_vnd for one in (await service.task(HEIR)).allocations] == [5]
    assert (await service.task(TASK)).result.value == "transferred"


async def test_a_revocation_follows_a_task_that_is_handed_over_before_its_eyes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: nobody is chased for a document that no longer stands, whoever had the task when it was withdrawn."""
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
    look = service.store.open_task_ids

    async def too_early(*asked: str) -> Sequence[str]:
        found = await look(*asked)
        await service.on(say("task.reassigned", MOVE, by=OFFICE, event_id="move"))
        return found

    monkeypatch.setattr(MemoryTaskStore, "open_task_ids", lambda _, *asked: too_early(*asked))
    await service.on(say("directive.revoked", REVOKED, by=OFFICE))

    assert await service.outcome("move") == ("applied", "applied")
    assert (await service.task(HEIR)).result.value == "discontinued"


async def test_money_does_not_make_a_task_overdue_whose_result_stands_in_a_backlog(service: Service) -> None:
    """INVARIANT: what comes through another partition lets no time pass."""
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
    money = {"allocation_id": "a1", "task_id": TASK, "fiscal_year": 2024, "amount_vnd": 5, "document": DOCUMENT}
    await service.on(say("budget.allocated", money, by=OFFICE, key="H48", received="2024-11-15 09:00"))

    await service.on(say("task.result_submitted", RESULT, received="2024-10-18 16:00"))

    assert "overdue" not in service.facts()


async def test_a_revocation_does_not_either(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))

    await service.on(say("directive.revoked", REVOKED, by=OFFICE, received="2024-11-15 09:00"))

    assert service.facts()[-1] == "cancelled"
    assert "overdue" not in service.facts()


async def test_time_passes_before_a_reassignment_to_nobody_too(service: Service) -> None:
    """INVARIANT: the order of facts does not hang on whether a timer or a record came first."""
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))

    await service.on(say("task.reassigned", {**MOVE, "to_agency": "H48.99"}, by=OFFICE, received="2024-10-20 09:00"))

    assert service.facts()[-2:] == ["overdue", "rejected"]


async def settle(service: Service, times: dict[int, datetime]) -> None:
    await service.store.note_times(times)
    await service.sweep.settle_parked(list(times), times)


async def test_nothing_is_given_up_while_any_partition_may_still_make_its_task(service: Service) -> None:
    """INVARIANT: a backlog of the partition that opens periods, or that a reassignment stands in, gives nothing up."""
    await service.on(say("task.result_submitted", RESULT, event_id="early", received="2024-10-14 08:31"))
    times = dict.fromkeys(range(PARTITIONS), at("2024-12-01 00:00"))
    behind = (await service.partition_of("H48") + 1) % PARTITIONS

    await settle(service, {**times, behind: at("2024-10-14 09:00")})

    assert (await service.outcome("early"))[0] == "parked"


async def test_nothing_is_given_up_whose_period_is_about_to_open(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation("II.2.a", [STANDING], due=MONTHLY)))
    about = {**RESULT, "task_id": f"H48/TB-1/II.2.a/{STANDING}/2024-11"}
    await service.on(say("task.result_submitted", about, by=STANDING, event_id="r", received="2024-10-31 20:00"))
    times = dict.fromkeys(range(PARTITIONS), at("2024-11-05 00:00"))

    await settle(service, times)
    assert (await service.outcome("r"))[0] == "parked"
    await service.sweep.open_periods(times)
    await settle(service, times)

    assert await service.outcome("r") == ("applied", "applied")


async def test_what_came_a_day_before_its_task_is_rejected_whoever_was_away(service: Service) -> None:
    """INVARIANT: an outage does not decide whether a submission counts."""
    await service.on(*REGISTRY, directive(obligation("II.2.a", [STANDING], due=MONTHLY)))
    about = {**RESULT, "task_id": f"H48/TB-1/II.2.a/{STANDING}/2024-11"}
    await service.on(say("task.result_submitted", about, by=STANDING, event_id="r", received="2024-10-30 20:00"))

    times = dict.fromkeys(range(PARTITIONS), at("2024-11-05 00:00"))
    await service.sweep.open_periods(times)
    await settle(service, times)

    assert await service.outcome("r") == ("rejected", "unknown_task")
    assert "result_received" not in service.facts()


async def test_a_period_that_was_being_opened_does_not_revive_a_revoked_directive(service: Service) -> None:
    """INVARIANT: nobody is chased for a document that no longer stands."""
    await service.on(*REGISTRY, directive(obligation("II.2.a", [STANDING], due=MONTHLY)))
    [read_before] = await service.store.obligations_due(dict.fromkeys(range(PARTITIONS), at("2024-11-05 00:00")), 10)
    await service.on(say("directive.revoked", REVOKED, by=OFFICE, received="2024-11-02 09:00"))

    await service.store.save_obligation(read_before)

    assert not await service.store.obligations_due(dict.fromkeys(range(PARTITIONS), at("2025-11-05 00:00")), 10)


async def test_what_was_given_up_is_forgotten_even_after_a_death(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.on(say("task.result_submitted", RESULT, event_id="lost", received="2024-10-14 08:31"))

    async def dies(keys: Sequence[str]) -> None:
        if keys:
            raise ConnectionError("died")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryTaskStore, "unpark", lambda _, keys: dies(keys))
        with pytest.raises(ConnectionError):
            await service.time_passes("2024-10-20 08:31")
    assert await service.outcome("lost") == ("rejected", "unknown_task")

    await service.time_passes("2024-10-20 08:31")

    assert not await service.store.parked_task_ids(range(PARTITIONS))


async def test_a_task_that_was_overdue_by_the_hour_stays_so_through_a_suspension(service: Service) -> None:
    """INVARIANT: nobody wins the rest of a day by being suspended."""
    due = {"kind": "fixed", "boundary": "by", "day": "2024-10-18", "hour": "17:00"}
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"], due=due)))
    suspended = {"task_id": TASK, "reason": "tạm dừng", "document": DOCUMENT}
    await service.on(say("task.suspended", suspended, by=OFFICE, received="2024-10-18 18:00"))

    await service.on(
        say("task.resumed", {"task_id": TASK, "document": DOCUMENT}, by=OFFICE, received="2024-10-19 09:00")
    )
    await service.on(say("task.result_submitted", RESULT, received="2024-10-19 10:00"))

    assert "overdue_retracted" not in service.facts()
    last = (await service.task(TASK)).deadlines[-1]
    assert (last.legal.isoformat(), last.due_at) == ("2024-10-19", at("2024-10-19 09:00"))


async def test_a_period_that_opens_during_a_revocation_is_ended_by_the_revocation(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: a task that ends names the decision that ended it, whoever got to it first."""
    await service.on(*REGISTRY, directive(obligation("II.2.a", [STANDING], due=MONTHLY)))
    now = at("2024-11-05 00:00")
    [read_before] = await service.store.obligations_due(dict.fromkeys(range(PARTITIONS), now), 10)
    listed = service.store.open_task_ids

    async def opens_meanwhile(_: MemoryTaskStore, *asked: Any) -> Sequence[str]:
        monkeypatch.undo()
        await service.sweep._open(read_before, now)
        return await listed(*asked)

    monkeypatch.setattr(MemoryTaskStore, "open_task_ids", opens_meanwhile)
    await service.on(say("directive.revoked", REVOKED, by=OFFICE, event_id="revoked", received="2024-11-05 09:00"))

    ended = (await service.task(f"H48/TB-1/II.2.a/{STANDING}/2024-11")).ended
    assert ended is not None
    assert (ended.reason, ended.cause.event_id.split("#")[1]) == ("thay thế", "revoked")


async def test_whoever_slept_while_a_submission_was_parked_and_applied_does_not_apply_it_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: once is once, also for a process that was taken for dead between claiming and loading."""
    early = await service.receive(say("task.result_submitted", RESULT, received="2024-10-14 08:29"))
    load = MemoryTaskStore.tasks

    async def sleeps(store: MemoryTaskStore, ids: Sequence[str]) -> Any:
        monkeypatch.undo()
        await service.handlers.on_submissions(early)
        await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
        await service.time_passes("2024-10-14 12:00")
        return await load(store, ids)

    monkeypatch.setattr(MemoryTaskStore, "tasks", sleeps)
    await service.handlers.on_submissions(early)

    assert len((await service.task(TASK)).results) == 1


async def test_a_revision_that_changes_nothing_changes_nothing_for_a_successor_either(service: Service) -> None:
    """INVARIANT: whoever led a task does not cooperate on it, for its successor as for a revision."""
    words = obligation("II.1.h", ["H48.21"], cooperating=["@all"])
    await service.on(*REGISTRY, agency("H48.40"), directive(words))
    await service.on(say("task.reassigned", {**MOVE, "to_agency": "H48.40"}, by=OFFICE, received="2024-10-15 09:00"))

    await service.on(directive(words, revision=2, event_id="again", received="2024-10-16 09:00"))

    heir = await service.task("H48/TB-1/II.1.h/H48.40")
    assert (heir.seq, heir.cooperating) == (1, ("H48.07", "H48.22"))


def ends(change: str, over: list[str], becomes: list[str]) -> tuple[str, dict[str, Any]]:
    data = {"change": change, "predecessors": over, "successors": becomes, "effective_on": "2024-11-01"}
    return say("agency.reorganised", {**data, "document": DOCUMENT}, by=OFFICE, event_id=f"ends-{over[0]}")


LATER = {"kind": "fixed", "boundary": "by", "day": "2025-06-30"}
OTHER = "H48/TB-1/II.1.h/H48.25"
"""In the same partition as TASK."""
NEWCOMERS = (agency("H48.25"), agency("H48.40"), agency("H48.41"))


async def test_of_two_that_become_one_at_once_neither_loses_a_result(service: Service) -> None:
    """INVARIANT: a result that waits for a verdict waits somewhere, whoever else is moved in the same moment."""
    await service.on(*REGISTRY, *NEWCOMERS, directive(obligation("II.1.h", ["H48.21", "H48.25"], due=LATER)))
    await service.on(say("task.result_submitted", RESULT), ends("merged", ["H48.21", "H48.25"], ["H48.40"]))
    await service.on(say("task.result_submitted", {**RESULT, "task_id": OTHER}, by="H48.25"))

    await service.time_passes("2024-11-01 00:00")

    waiting = [one.task_id for one in (await service.tasks()).values() if one.is_open and one.unjudged_result]
    assert waiting == [OTHER, "H48/TB-1/II.1.h/H48.40"]


async def test_of_two_that_are_reassigned_to_one_at_once_the_second_is_refused(service: Service) -> None:
    await service.on(*REGISTRY, *NEWCOMERS, directive(obligation("II.1.h", ["H48.21", "H48.25"], due=LATER)))
    to_one = {**MOVE, "to_agency": "H48.40"}

    await service.on(
        say("task.reassigned", to_one, by=OFFICE, event_id="first"),
        say("task.reassigned", {**to_one, "task_id": OTHER}, by=OFFICE, event_id="second"),
    )

    assert await service.outcome("first") == ("applied", "applied")
    assert await service.outcome("second") == ("rejected", "same_agency")


async def test_a_task_that_another_replica_dealt_with_meanwhile_is_left_alone(service: Service) -> None:
    """INVARIANT: what was found before is looked at as it is now; a sweep does not die of it."""
    await service.on(*REGISTRY, *NEWCOMERS, directive(obligation("II.1.h", ["H48.21"], due=LATER)))
    await service.on(ends("split", ["H48.21"], ["H48.40", "H48.41"]))
    await service.time_passes("2024-11-01 00:00")
    before = await service.task(TASK)

    over = (await service.sweep._registry.edges())["H48"]
    await service.upkeep._move([TASK], "H48", over, at("2024-11-01 00:00"))

    assert await service.task(TASK) == before


async def test_nothing_is_given_up_whose_task_is_being_moved_in_many_steps(service: Service) -> None:
    """INVARIANT: the second step of a chain takes another turn, by whose time a day may have passed."""
    await service.on(*REGISTRY, *NEWCOMERS, directive(obligation("II.1.h", ["H48.21"], due=LATER)))
    await service.on(ends("renamed", ["H48.21"], ["H48.40"]), ends("renamed", ["H48.40"], ["H48.41"]))
    about = {**RESULT, "task_id": "H48/TB-1/II.1.h/H48.41"}
    await service.on(say("task.result_submitted", about, by="H48.41", event_id="new", received="2024-11-01 09:00"))

    await settle(service, dict.fromkeys(range(PARTITIONS), at("2024-11-05 00:00")))
    for _ in range(3):
        await service.time_passes("2024-11-05 00:00")

    assert await service.outcome("new") == ("applied", "applied")


async def test_whoever_slept_applies_what_was_parked_meanwhile_in_the_order_of_the_records(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the order per task is that of its records, also of those that one process has and another parked."""

    def progress(percent: int) -> tuple[str, dict[str, Any]]:
        data = {"task_id": TASK, "percent": percent}
        return say("task.progress_reported", data, event_id=f"p{percent}", received="2024-10-14 08:31")

    records = await service.receive(progress(10), progress(20), progress(30))
    read = MemoryTaskStore.tasks

    async def sleeps(store: MemoryTaskStore, ids: Sequence[str]) -> Any:
        monkeypatch.undo()
        await service.handlers.on_submissions(records)
        await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
        return await read(store, ids)

    monkeypatch.setattr(MemoryTaskStore, "tasks", sleeps)
    await service.handlers.on_submissions(records[:2])

    reported = [one.new for one in await service.history(TASK) if one.what == "progressed"]
    assert reported == ["10%", "20%", "30%"]


async def test_whoever_slept_while_a_directive_was_issued_and_revoked_does_not_reject_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: what was applied is never told as rejected by a process that saw what came later."""
    await service.on(*REGISTRY)
    records = await service.receive(directive(obligation("II.1.h", ["H48.21"])))
    look = MemoryTaskStore.directive

    async def sleeps(store: MemoryTaskStore, *asked: Any) -> Any:
        monkeypatch.undo()
        await service.handlers.on_submissions(records)
        await service.on(say("directive.revoked", REVOKED, by=OFFICE, received="2024-10-15 09:00"))
        return await look(store, *asked)

    monkeypatch.setattr(MemoryTaskStore, "directive", sleeps)
    await service.handlers.on_submissions(records)

    assert await service.outcome("directive") == ("applied", "applied")
    assert service.facts() == ["assigned", "cancelled"]


async def test_whoever_slept_over_a_directive_does_not_read_its_names_by_what_came_later(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: a directive means the agencies that its names meant when it was its turn."""
    await service.on(*REGISTRY, *NEWCOMERS)
    records = await service.receive(directive(obligation("II.1.h", ["H48.21"], due=LATER), received="2024-11-02 09:00"))
    look = MemoryTaskStore.directive

    async def sleeps(store: MemoryTaskStore, *asked: Any) -> Any:
        monkeypatch.undo()
        await service.handlers.on_submissions(records)
        await service.on(ends("renamed", ["H48.21"], ["H48.40"]))
        return await look(store, *asked)

    monkeypatch.setattr(MemoryTaskStore, "directive", sleeps)
    await service.handlers.on_submissions(records)

    assert list(await service.tasks()) == [TASK]
    assert (await service.task(TASK)).is_open


async def test_whoever_slept_over_a_revision_does_not_take_it_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the highest revision's words stand, whoever wakes up with older ones."""
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"], due=LATER)))
    # It changes nothing, so no step in the task's document tells that it was here.
    same = directive(obligation("II.1.h", ["H48.21"], due=LATER), revision=2, event_id="two")
    records = await service.receive(same)
    listed = MemoryTaskStore.open_task_ids

    async def sleeps(store: MemoryTaskStore, *asked: Any) -> Any:
        monkeypatch.undo()
        await service.handlers.on_submissions(records)
        three = obligation("II.1.h", ["H48.21"], due=LATER, title="Ba")
        await service.on(directive(three, revision=3, event_id="three"))
        return await listed(store, *asked)

    monkeypatch.setattr(MemoryTaskStore, "open_task_ids", sleeps)
    await service.handlers.on_submissions(records)

    assert (await service.task(TASK)).title == "Ba"


async def test_whoever_slept_over_a_named_day_names_none_for_what_opened_afterwards(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: the same submissions give the same state: what is opened after a day was named has none by it."""
    when = {"kind": "conditional", "trigger": "khi phát sinh"}
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"], due=when)))
    clause = {"directive": "TB-1", "clause": "II.1.h"}
    day = {**clause, "due": {"kind": "fixed", "boundary": "by", "day": "2024-12-15"}, "document": DOCUMENT}
    records = await service.receive(say("obligation.dated", day, by=OFFICE, event_id="day"))
    listed = MemoryTaskStore.open_task_ids

    async def sleeps(store: MemoryTaskStore, *asked: Any) -> Any:
        monkeypatch.undo()
        await service.handlers.on_submissions(records)
        await service.on(say("obligation.triggered", {**clause, "occurred_on": "2024-10-14"}, by=OFFICE))
        return await listed(store, *asked)

    monkeypatch.setattr(MemoryTaskStore, "open_task_ids", sleeps)
    await service.handlers.on_submissions(records)

    assert (await service.task(f"{TASK}/2024-10-14")).deadline is None


async def test_a_revision_that_changes_nothing_gives_a_successor_no_other_day(service: Service) -> None:
    """INVARIANT: whoever takes a task over has the days that were left of it, for a revision too."""
    words = obligation("II.1.h", ["H48.21"], due={"kind": "relative", "days": 20, "after": "assigned"})
    await service.on(*REGISTRY, agency("H48.40"), directive(words))
    await service.on(say("task.reassigned", {**MOVE, "to_agency": "H48.40"}, by=OFFICE, received="2024-10-15 09:00"))

    await service.on(directive(words, revision=2, event_id="again", received="2024-10-16 09:00"))

    assert (await service.task("H48/TB-1/II.1.h/H48.40")).seq == 1


async def test_a_revision_does_not_end_a_task_that_waits_to_be_moved(service: Service) -> None:
    """INVARIANT: a directive that names the new agency means the work that the old one has done."""
    words = obligation("II.1.h", ["H48.21"], due=LATER)
    await service.on(*REGISTRY, *NEWCOMERS, directive(words), ends("renamed", ["H48.21"], ["H48.40"]))
    await service.on(say("task.progress_reported", {"task_id": TASK, "percent": 60}))

    await service.on(directive(words, revision=2, event_id="again", received="2024-11-02 09:00"))
    await service.time_passes("2024-11-02 09:00")

    assert (await service.task(TASK)).result.value == "transferred"
    assert (await service.task("H48/TB-1/II.1.h/H48.40")).result.value == "in_progress"


async def test_money_that_waited_comes_before_money_that_follows(service: Service) -> None:
    """INVARIANT: what waited comes first, although it waits in another partition than its task's."""
    await service.on(*REGISTRY, directive(obligation("II.2.a", [STANDING], due=MONTHLY)))
    task_id = f"H48/TB-1/II.2.a/{STANDING}/2024-11"
    money = {"allocation_id": "a1", "task_id": task_id, "fiscal_year": 2024, "amount_vnd": 5, "document": DOCUMENT}
    early = say("budget.allocated", money, by=OFFICE, key="H48", received="2024-10-31 20:00", event_id="early")
    await service.on(early)
    times = dict.fromkeys(range(PARTITIONS), at("2024-11-01 00:00"))
    await service.sweep.open_periods(times)
    service.teller.note_parked([await service.partition_of(task_id)], any_parked=False)
    assert await service.partition_of(task_id) != await service.partition_of("H48")

    await service.on(
        say("budget.allocated", {**money, "amount_vnd": 7}, by=OFFICE, received="2024-11-01 09:00", key="H48")
    )

    assert [one.what for one in await service.history(task_id)] == ["assigned", "allocated", "allocated"]


async def test_what_a_sleeper_applied_is_not_applied_again_because_another_parked_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: one effect. The sleeper claimed it before, made the task itself, and died before it could tell."""
    await service.on(*REGISTRY)
    sleeper = Service(service.store, offsets=service.offsets)
    await settle(sleeper, dict.fromkeys(range(PARTITIONS), at("2024-10-14 08:31")))
    early = await sleeper.receive(say("task.result_submitted", RESULT, event_id="early", received="2024-10-14 08:31"))
    both = [*early, *await sleeper.receive(directive(obligation("II.1.h", ["H48.21"])))]
    save_directive, save_tasks = service.store.save_directive, service.store.save_tasks

    async def parked_meanwhile(*asked: Any) -> Any:
        await service.handlers.on_submissions(early)
        return await save_directive(*asked)

    async def dies_afterwards(writes: Sequence[Write]) -> frozenset[str]:
        lost = await save_tasks(writes)
        sleeper.lose_next_publish = any(write.task.results for write in writes)
        return lost

    monkeypatch.setattr(MemoryTaskStore, "save_directive", lambda _, *asked: parked_meanwhile(*asked))
    monkeypatch.setattr(MemoryTaskStore, "save_tasks", lambda _, writes: dies_afterwards(writes))
    with pytest.raises(ConnectionError):
        await sleeper.handlers.on_submissions(both)
    await settle(service, dict.fromkeys(range(PARTITIONS), at("2024-10-14 12:00")))

    assert [one.what for one in await service.history(TASK)] == ["assigned", "result_received"]
    assert await service.outcome("early") == ("applied", "applied")


async def test_nothing_is_given_up_while_a_reassignment_that_makes_its_task_waits_too(service: Service) -> None:
    """INVARIANT: whoever was told to report is heard, also while the replica that is to say so is away."""
    await service.on(
        say("task.reassigned", MOVE, by=OFFICE, event_id="move", received="2024-10-14 08:31"),
        say("task.acknowledged", {"task_id": HEIR}, by="H48.22", event_id="heir", received="2024-10-14 08:40"),
    )
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
    times = dict.fromkeys(range(PARTITIONS), at("2024-10-15 09:00"))
    await service.store.note_times(times)

    await service.sweep.settle_parked([await service.partition_of(HEIR)], times)
    assert (await service.outcome("heir"))[0] == "parked"

    for _ in range(2):
        await settle(service, times)
    assert await service.outcome("move") == ("applied", "applied")
    assert await service.outcome("heir") == ("applied", "applied")


async def test_two_that_wait_for_shares_of_a_clause_that_never_comes_do_not_wait_for_each_other(
    service: Service,
) -> None:
    await service.on(
        say("task.acknowledged", {"task_id": TASK}, event_id="one", received="2024-10-14 08:31"),
        say("task.acknowledged", {"task_id": HEIR}, by="H48.22", event_id="other", received="2024-10-14 08:31"),
    )
    for _ in range(2):
        await settle(service, dict.fromkeys(range(PARTITIONS), at("2024-10-15 09:00")))

    assert await service.outcome("one") == await service.outcome("other") == ("rejected", "unknown_task")


async def test_what_this_process_is_about_to_tell_is_no_leftover_of_a_crash(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told late because the broker is slow is not untold: the sweep would tell everything twice on a busy machine."""
    monkeypatch.setattr("services.tasks.sweep.UNTOLD_AFTER_SECONDS", -1.0)
    await service.on(*REGISTRY, directive(obligation()))
    service.told.clear()
    slow = asyncio.Event()
    publish = service.publish

    async def wait_for_the_broker(messages: Sequence[Message]) -> None:
        await slow.wait()
        await publish(messages)

    service.teller._publish = wait_for_the_broker
    telling = asyncio.create_task(service.on(say("task.acknowledged", {"task_id": TASK})))
    await asyncio.sleep(0.2)
    leftovers = asyncio.create_task(service.sweep.tell_leftovers(list(range(PARTITIONS))))
    await asyncio.sleep(0.2)
    slow.set()
    await asyncio.gather(telling, leftovers)

    assert service.facts() == ["acknowledged"]


async def test_what_could_not_be_told_is_told_by_the_sweep(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tasks.sweep.UNTOLD_AFTER_SECONDS", -1.0)
    await service.on(*REGISTRY, directive(obligation()))
    service.told.clear()
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.on(say("task.acknowledged", {"task_id": TASK}))

    await service.sweep.tell_leftovers(list(range(PARTITIONS)))

    assert service.facts() == ["acknowledged"]
