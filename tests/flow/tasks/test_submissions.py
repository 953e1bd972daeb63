"""What becomes of submissions: each once, in order, whatever is killed in between."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY as REGISTRY_OF_METRICS

from services.tasks.ports import Outcome, Registry, Write
from shared.contracts.codec import decode
from shared.contracts.topics import AGENCIES as AGENCIES_TOPIC
from shared.contracts.topics import INDICATORS, TASKS, Topic
from shared.runtime.consuming import LANES, Consumption
from shared.runtime.errors import TransientError
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
from tests.support.builders import at
from tests.support.workload import OFFICE, STANDING

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]


async def test_a_directive_makes_a_task_for_every_agency_of_a_group(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation(), obligation("II.5", ["@districts"])))

    tasks = {task.task_id for task in await service.store.list_tasks(_all(), after=None, limit=100)}
    assert tasks == {
        "H48/TB-1/II.1.h/H48.07",
        "H48/TB-1/II.1.h/H48.21",
        "H48/TB-1/II.1.h/H48.22",
        "H48/TB-1/II.5/H48.21",
        "H48/TB-1/II.5/H48.22",
    }
    assert service.facts() == ["assigned"] * 5
    assert service.facts(AGENCIES_TOPIC.name) == ["changed"] * 4
    assert await service.outcome("directive") == ("applied", "applied")


def _all() -> Any:
    from services.tasks.ports import TaskFilter

    return TaskFilter()


@pytest.mark.parametrize(
    ("leads", "reason"), [(["H48.99"], "unknown_agency"), (["@nobody"], "empty_group")], ids=["agency", "group"]
)
async def test_a_directive_that_names_nobody_is_rejected_whole(service: Service, leads: list[str], reason: str) -> None:
    await service.on(*REGISTRY, directive(obligation(), obligation("II.5", leads)))

    assert await service.outcome("directive") == ("rejected", reason)
    assert await service.store.list_tasks(_all(), after=None, limit=10) == []
    assert service.facts() == ["rejected"]


async def test_a_client_that_sends_twice_has_one_effect(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()))
    first = say("task.result_submitted", RESULT, event_id="r1")
    again = say("task.result_submitted", RESULT, event_id="r1", received="2024-10-14 09:05")

    await service.on(first, again)
    await service.on(again)

    assert service.facts()[3:] == ["result_received"]
    assert await service.outcome("r1") == ("applied", "applied")


async def test_an_id_used_for_other_content_is_refused_and_the_first_stands(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()))
    await service.on(say("task.progress_reported", {"task_id": TASK, "percent": 10}, event_id="p1"))
    elsewhere = {"task_id": "H48/TB-1/II.1.h/H48.22", "percent": 90}

    await service.on(say("task.progress_reported", elsewhere, event_id="p1"))

    assert await service.outcome("p1") == ("applied", "applied")
    rejected = decode(TASKS.name, service.told[-1].value)
    assert rejected.envelope.type == "dondoc.submission.rejected.v1"
    assert rejected.envelope.data["reason"] == "id_reused"
    [entry] = await service.store.ledger_by_id("p1", None, 2)
    assert entry.reused == 1


async def test_a_redelivered_batch_has_no_second_effect(service: Service) -> None:
    records = await service.on(*REGISTRY, directive(obligation()), say("task.result_submitted", RESULT))
    told = list(service.told)

    await service.handlers.on_submissions(records)

    assert service.told == told


async def test_what_was_written_but_not_told_is_told_after_redelivery_with_the_same_bytes(service: Service) -> None:
    """INVARIANT: a crash between the write and the telling loses no fact."""
    await service.on(*REGISTRY, directive(obligation()))
    records = await service.receive(say("task.result_submitted", RESULT, event_id="r1"))
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)
    assert await service.outcome("r1") == ("in_flight", "")

    await service.handlers.on_submissions(records)

    assert service.facts()[3:] == ["result_received"]
    assert await service.outcome("r1") == ("applied", "applied")


async def test_a_submission_for_a_task_not_known_yet_waits_and_is_applied_when_the_directive_comes(
    service: Service,
) -> None:
    await service.on(say("task.result_submitted", RESULT, event_id="early", received="2024-10-14 08:31"))
    assert await service.outcome("early") == ("parked", "task_not_known_yet")

    await service.on(*REGISTRY, directive(obligation()))
    await service.time_passes("2024-10-14 09:00")

    assert await service.outcome("early") == ("applied", "applied")
    assert service.facts()[-1] == "result_received"


async def test_what_waited_for_a_task_comes_before_what_follows_it(service: Service) -> None:
    await service.on(say("task.result_submitted", RESULT, event_id="early", received="2024-10-14 08:31"))
    await service.on(*REGISTRY, directive(obligation()))

    await service.on(say("task.result_accepted", {"task_id": TASK}, by=STANDING, event_id="verdict"))

    assert await service.outcome("verdict") == ("applied", "applied")


class _OwnsEverything:
    """A consumption that has every partition, and no time yet."""

    def owned(self, _topic: Topic, lane: int | None = None) -> list[int]:
        return [one for one in range(PARTITIONS) if lane in {None, one % LANES}]

    @asynccontextmanager
    async def holding(self, _lane: int) -> AsyncIterator[None]:
        yield

    async def partition_times(self, _topic: Topic, _lane: int) -> dict[int, datetime]:
        return {}


async def test_the_gauge_of_what_is_waited_for_counts_every_lane(service: Service) -> None:
    lost = [f"H48/CV-9/I.1/H48.{number}" for number in range(20, 32)]
    await service.on(*(say("task.acknowledged", {"task_id": one}, by=one.split("/")[3]) for one in lost))

    await service.sweep.turn(cast(Consumption, _OwnsEverything()))

    assert REGISTRY_OF_METRICS.get_sample_value("dondoc_tasks_waited_for") == len(lost)


async def test_a_submission_whose_task_never_comes_is_rejected_after_a_day_with_a_reason(service: Service) -> None:
    await service.on(say("task.result_submitted", RESULT, event_id="lost", received="2024-10-14 08:31"))

    await service.time_passes("2024-10-15 08:30")
    assert (await service.outcome("lost"))[0] == "parked"
    await service.time_passes("2024-10-15 08:31")

    assert await service.outcome("lost") == ("rejected", "unknown_task")
    assert service.facts() == ["rejected"]


async def test_nothing_is_given_up_while_its_directive_may_stand_in_another_partitions_backlog(
    service: Service,
) -> None:
    """INVARIANT: a day is counted by the time of the partition that directives come through."""
    await service.on(say("task.result_submitted", RESULT, event_id="early", received="2024-10-14 08:31"))
    directives_come_through = await service.partition_of("H48")
    times = dict.fromkeys(range(PARTITIONS), at("2024-12-01 00:00"))
    await service.store.note_times({**times, directives_come_through: at("2024-10-14 08:00")})

    await service.sweep.settle_parked(list(times), times)

    assert await service.outcome("early") == ("parked", "task_not_known_yet")


async def test_each_missed_period_opens_once_after_an_outage(service: Service) -> None:
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"}
    await service.on(*REGISTRY, directive(obligation("II.2.a", [STANDING], due=monthly)))

    await service.time_passes("2025-01-10 00:00")
    await service.time_passes("2025-01-10 00:00")

    tasks = await service.store.list_tasks(_all(), after=None, limit=10)
    assert [task.period for task in tasks] == ["2024-10", "2024-11", "2024-12", "2025-01"]
    assert [task.deadlines[0].nominal.day for task in tasks] == [19] * 4
    assert service.facts().count("assigned") == 4


async def test_time_fires_milestones_once(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))

    await service.time_passes("2024-10-20 00:00")
    await service.time_passes("2024-10-20 00:00")

    assert service.facts()[1:] == ["due_soon", "due_soon", "due_soon", "overdue"]


async def test_money_comes_under_the_province_and_is_applied_once(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()))
    allocated = {
        "allocation_id": "QĐ371".replace("Đ", "D"),
        "task_id": TASK,
        "fiscal_year": 2024,
        "amount_vnd": 500,
        "document": {"number": "371/QĐ-UBND", "issued_on": "2024-05-14"},
    }
    records = await service.on(say("budget.allocated", allocated, by=OFFICE, key="H48", event_id="money"))
    await service.handlers.on_submissions(records)

    stored = (await service.store.tasks([TASK]))[TASK]
    assert [one.amount_vnd for one in stored.task.allocations] == [500]
    assert service.facts().count("allocated") == 1
    assert await service.outcome("money") == ("applied", "applied")


async def test_a_reassigned_task_is_told_at_both_agencies(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
    move = {
        "task_id": TASK,
        "to_agency": "H48.22",
        "reason": "chuyển chức năng",
        "document": {"number": "2/QĐ", "issued_on": "2024-10-15"},
    }
    await service.on(say("task.reassigned", move, by=OFFICE))

    both = await service.store.tasks([TASK, "H48/TB-1/II.1.h/H48.22"])
    assert both[TASK].task.result.value == "transferred"
    assert both["H48/TB-1/II.1.h/H48.22"].task.predecessor == TASK
    assert sorted(service.facts()[1:]) == ["assigned", "transferred"]


async def test_a_reassignment_to_nobody_is_rejected(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation("II.1.h", ["H48.21"])))
    document = {"number": "2/QĐ", "issued_on": "2024-10-15"}
    move = {"task_id": TASK, "to_agency": "H48.99", "reason": "x", "document": document}

    await service.on(say("task.reassigned", move, by=OFFICE, event_id="m"))

    assert await service.outcome("m") == ("rejected", "unknown_agency")


async def test_a_revoked_directive_ends_its_open_tasks_and_opens_no_further_period(service: Service) -> None:
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"}
    await service.on(*REGISTRY, directive(obligation(), obligation("II.2.a", [STANDING], due=monthly)))
    records = await service.on(say("directive.revoked", REVOKED, by=OFFICE, received="2024-10-16 09:00"))
    await service.handlers.on_submissions(records)
    await service.time_passes("2025-01-10 00:00")

    tasks = await service.store.list_tasks(_all(), after=None, limit=10)
    assert {task.result.value for task in tasks} == {"discontinued"}
    assert len(tasks) == 4


async def test_a_directive_is_not_called_revoked_while_a_task_of_it_goes_on(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INVARIANT: an effect on many tasks is reported as applied only when all of them have it.

    If this broke, an agency would be chased for a task of a document that no longer stands.
    """
    await service.on(*REGISTRY, directive(obligation()))
    save = service.store.save_tasks

    async def always_too_late(writes: Sequence[Write]) -> frozenset[str]:
        return frozenset(write.task.task_id for write in writes)

    monkeypatch.setattr("services.tasks.handlers.RACES_MAX", 2)
    monkeypatch.setattr(service.store, "save_tasks", always_too_late)
    records = await service.receive(say("directive.revoked", REVOKED, by=OFFICE, event_id="end"))
    with pytest.raises(TransientError):
        await service.handlers.on_submissions(records)
    assert (await service.outcome("end"))[0] == "in_flight"

    monkeypatch.setattr(service.store, "save_tasks", save)
    await service.handlers.on_submissions(records)

    assert (await service.outcome("end"))[0] == "applied"
    assert {task.result.value for task in await service.store.list_tasks(_all(), after=None, limit=10)} == {
        "discontinued"
    }


async def test_an_indicator_is_told_with_its_target(service: Service) -> None:
    target = {
        "code": "DVCTT",
        "title": "Tỷ lệ hồ sơ trực tuyến",
        "period": "2024-Q4",
        "at_least_percent": "45.8",
        "document": {"number": "38/KH-UBND", "issued_on": "2024-02-20"},
    }
    value = {
        "code": "DVCTT",
        "period": "2024-Q4",
        "numerator": "40",
        "denominator": "100",
        "data_source": "Hệ thống thông tin giải quyết TTHC",
    }
    await service.on(say("indicator.target_set", target, by=OFFICE))
    await service.on(say("indicator.reported", value, key="H48.21"))

    told = decode(INDICATORS.name, service.told[-1].value)
    assert (str(told.envelope.data["numerator"]), str(told.envelope.data["at_least_percent"])) == ("40", "45.8")
    assert list(await service.store.entries(Registry.INDICATORS, ["H48/H48.21/DVCTT/2024-Q4"]))


async def test_a_second_issue_of_a_directive_is_rejected(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()))
    await service.on(directive(obligation(), event_id="again"))

    assert await service.outcome("again") == ("rejected", "directive_exists")


async def test_a_replica_that_lost_its_partition_cannot_undo_an_outcome_by_parking(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()))
    [record] = await service.on(say("task.result_submitted", RESULT, event_id="r1"))

    from services.tasks.ports import Verdict

    await service.store.close(
        [Verdict(record.event.key, Outcome.PARKED, "task_not_known_yet")], recorded_at=datetime.now().astimezone()
    )

    assert await service.outcome("r1") == ("applied", "applied")


async def test_the_sweep_tells_what_a_crash_left_and_only_that(service: Service) -> None:
    await service.on(*REGISTRY, directive(obligation()))
    records = await service.receive(say("task.result_submitted", RESULT, event_id="r1"))
    service.lose_next_publish = True
    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)

    owed = await service.store.untold(range(PARTITIONS), older_than_seconds=0)
    assert list(owed) == [TASK]
    await service.teller.tell(owed)

    assert service.facts()[-1] == "result_received"
    assert await service.outcome("r1") == ("applied", "applied")
    assert not await service.store.untold(range(PARTITIONS), older_than_seconds=0)


def test_a_day_is_what_a_parked_submission_is_given() -> None:
    from services.tasks.handlers import PARKED_HOURS_MAX

    assert timedelta(hours=PARKED_HOURS_MAX) == timedelta(days=1)


async def test_one_group_that_fails_takes_none_of_the_others_with_it(service: Service) -> None:
    """INVARIANT: a batch that could not be finished is applied in full when it comes again, each fact told once more
    at most."""
    agencies = [f"H48.{number}" for number in range(20, 31)]
    await service.on(
        agency(OFFICE, "chairman_office"),
        agency(STANDING, "standing"),
        *[agency(code) for code in agencies],
        directive(obligation(leads=agencies)),
    )
    told = len(service.told)
    records = await service.receive(
        *[
            say("task.acknowledged", {"task_id": f"H48/TB-1/II.1.h/{code}"}, by=code, event_id=f"a-{code}")
            for code in agencies
        ]
    )
    service.lose_next_publish = True

    with pytest.raises(ConnectionError):
        await service.handlers.on_submissions(records)
    await service.handlers.on_submissions(records)

    ids = [decode(TASKS.name, one.value).envelope.id for one in service.told[told:]]
    assert sorted(set(ids)) == sorted(f"H48/TB-1/II.1.h/{code}:2" for code in agencies)
    assert len(ids) == len(set(ids))
    assert {(await service.outcome(f"a-{code}"))[0] for code in agencies} == {"applied"}
