"""Agencies are merged, split and renamed: open tasks follow when their day has come, on a real mongod."""

from typing import Any

import pytest

from services.tasks.domain.task import Result
from services.tasks.ports import Registry
from shared.contracts.topics import AGENCIES
from tests.flow.tasks.harness import PARTITIONS, REGISTRY, Service, agency, directive, obligation, say
from tests.support.builders import at
from tests.support.workload import OFFICE, STANDING

pytestmark = [pytest.mark.connected, pytest.mark.timeout(180)]

NEW = tuple(agency(code) for code in ("H48.40", "H48.41", "H48.42"))
LAST_OF_JUNE = {"kind": "fixed", "boundary": "by", "day": "2025-06-30"}
OLD_TASK, NEW_TASK = "H48/TB-1/II.1.h/H48.21", "H48/TB-1/II.1.h/H48.40"


def reorganised(
    change: str, predecessors: list[str], successors: list[str], *, received: str = "2025-02-24 08:00", **more: Any
) -> tuple[str, dict[str, Any]]:
    data = {
        "change": change,
        "predecessors": predecessors,
        "successors": successors,
        "effective_on": "2025-03-01",
        "document": {"number": "18/NQ-HĐND", "issued_on": "2025-02-20"},
        **more,
    }
    return say(
        "agency.reorganised", data, by=OFFICE, received=received, event_id=f"reorganised-{'-'.join(predecessors)}"
    )


async def started(service: Service, *obligations: dict[str, Any]) -> None:
    await service.on(*REGISTRY, *NEW, directive(*(obligations or (obligation(due=LAST_OF_JUNE),))))


async def test_a_renamed_agencys_tasks_move_on_the_day_not_before(service: Service) -> None:
    await started(service)
    await service.on(reorganised("renamed", ["H48.21"], ["H48.40"]))
    assert await service.outcome("reorganised-H48.21") == ("applied", "applied")

    await service.time_passes("2025-02-28 23:59")
    assert (await service.task(OLD_TASK)).is_open

    await service.time_passes("2025-03-01 00:00")
    await service.time_passes("2025-03-01 00:01")
    old, new = await service.task(OLD_TASK), await service.task(NEW_TASK)
    assert (old.result, new.result) == (Result.TRANSFERRED, Result.ASSIGNED)
    assert new.deadlines == old.deadlines
    assert [one.what for one in await service.history(OLD_TASK)] == ["assigned", "transferred"]
    last = (await service.history(OLD_TASK))[-1]
    assert (last.reason, last.event_id, last.new) == (
        "agency_reorganised",
        "//test/H48.01#reorganised-H48.21",
        NEW_TASK,
    )


async def test_what_was_received_before_the_day_counts_although_it_is_applied_after(service: Service) -> None:
    """INVARIANT: the agency's last report on the last evening is not lost to the reorganisation."""
    await started(service)
    await service.on(reorganised("renamed", ["H48.21"], ["H48.40"]))
    result = {"task_id": OLD_TASK, "document": {"number": "9/BC", "issued_on": "2025-02-28"}}

    await service.on(say("task.result_submitted", result, received="2025-02-28 23:58", event_id="last-evening"))
    await service.time_passes("2025-03-01 00:00")

    assert await service.outcome("last-evening") == ("applied", "applied")
    new = await service.task(NEW_TASK)
    assert new.result is Result.SUBMITTED
    await service.on(say("task.result_accepted", {"task_id": NEW_TASK}, by=STANDING, received="2025-03-03 09:00"))
    assert (await service.task(NEW_TASK)).result is Result.COMPLETED


async def test_a_split_is_queued_until_a_human_chooses(service: Service) -> None:
    await started(service)
    await service.on(reorganised("split", ["H48.21"], ["H48.40", "H48.41"]))
    await service.time_passes("2025-03-01 00:00")

    waiting = await service.task(OLD_TASK)
    assert waiting.succession is not None
    assert waiting.succession.choices == ("H48.40", "H48.41")

    choice = {
        "task_id": OLD_TASK,
        "to_agency": "H48.41",
        "reason": "theo chức năng mới",
        "document": {"number": "77/UBND-NC", "issued_on": "2025-03-04"},
    }
    await service.on(say("task.progress_reported", {"task_id": OLD_TASK, "percent": 60}, received="2025-03-03 09:00"))
    await service.on(say("task.reassigned", choice, by=OFFICE, received="2025-03-04 09:00", event_id="choice"))

    assert await service.outcome("choice") == ("applied", "applied")
    new = await service.task("H48/TB-1/II.1.h/H48.41")
    assert new.progress is not None, "work goes along after a reorganisation"
    assert (await service.task(OLD_TASK)).result is Result.TRANSFERRED


async def test_two_that_become_one_owe_the_shared_obligation_once(service: Service) -> None:
    """Thirteen districts or two departments: the first makes the successor's task, the others join it."""
    await started(service)
    await service.on(reorganised("merged", ["H48.21", "H48.22"], ["H48.40"]))

    await service.time_passes("2025-03-01 00:00")

    tasks = await service.tasks()
    assert {task_id: task.result.value for task_id, task in tasks.items() if "H48.07" not in task_id} == {
        OLD_TASK: "transferred",
        "H48/TB-1/II.1.h/H48.22": "transferred",
        NEW_TASK: "assigned",
    }
    ended = [task.ended.successor for task in tasks.values() if task.ended]
    assert ended == [NEW_TASK, NEW_TASK]


async def test_an_agency_that_takes_another_in_keeps_its_own_tasks(service: Service) -> None:
    """Kế hoạch và Đầu tư + Tài chính → Tài chính, whose code stays."""
    await started(service, obligation("II.3", ["H48.21"]), obligation("II.4", ["H48.22"]))
    await service.on(reorganised("merged", ["H48.21", "H48.22"], ["H48.22"]))

    await service.time_passes("2025-03-01 00:00")

    tasks = {one: task.result.value for one, task in (await service.tasks()).items()}
    assert tasks == {
        "H48/TB-1/II.3/H48.21": "transferred",
        "H48/TB-1/II.3/H48.22": "assigned",
        "H48/TB-1/II.4/H48.22": "assigned",
    }


async def test_two_obligations_of_one_successor_stay_two(service: Service) -> None:
    """II.3 and II.4 of the notice after KHĐT + TC → TC: do not merge obligations (domain §2.8 e)."""
    await started(service, obligation("II.3", ["H48.21"]), obligation("II.4", ["H48.22"]))
    await service.on(reorganised("merged", ["H48.21", "H48.22"], ["H48.40"]))

    await service.time_passes("2025-03-01 00:00")

    assert {one for one, task in (await service.tasks()).items() if task.is_open} == {
        "H48/TB-1/II.3/H48.40",
        "H48/TB-1/II.4/H48.40",
    }


async def test_periods_that_open_later_open_under_the_new_name(service: Service) -> None:
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2025-02-01"}
    await started(service, obligation("II.2.a", ["H48.21"], due=monthly))
    await service.on(reorganised("renamed", ["H48.21"], ["H48.40"]))

    await service.time_passes("2025-04-02 00:00")
    await service.time_passes("2025-04-02 00:01")

    tasks = {one: task.result.value for one, task in (await service.tasks()).items()}
    assert tasks == {
        "H48/TB-1/II.2.a/H48.21/2025-02": "transferred",
        "H48/TB-1/II.2.a/H48.40/2025-02": "assigned",
        "H48/TB-1/II.2.a/H48.40/2025-03": "assigned",
        "H48/TB-1/II.2.a/H48.40/2025-04": "assigned",
    }


async def test_a_reviewer_that_is_no_more_is_followed(service: Service) -> None:
    """STTTT, the standing agency, became part of SKHCN in 2025: its results must still be judged."""
    await started(service)
    await service.on(reorganised("merged", [STANDING], ["H48.40"]))

    await service.time_passes("2025-03-01 00:00")

    assert (await service.task(OLD_TASK)).reviewer == "H48.40"
    [*_, line] = await service.history(OLD_TASK)
    assert (line.what, line.reason, line.previous, line.new) == (
        "corrected",
        "reviewer_reorganised",
        STANDING,
        "H48.40",
    )


async def test_a_chain_of_changes_is_followed_to_its_end(service: Service) -> None:
    await started(service)
    await service.on(
        reorganised("renamed", ["H48.21"], ["H48.40"]),
        reorganised("renamed", ["H48.40"], ["H48.41"], effective_on="2025-07-01"),
    )

    await service.time_passes("2025-07-01 00:00")
    await service.time_passes("2025-07-01 00:01")

    open_ones = {one for one, task in (await service.tasks()).items() if task.is_open and "H48.4" in one}
    assert open_ones == {"H48/TB-1/II.1.h/H48.41"}


async def test_a_later_directive_reads_the_old_name_as_the_new_one(service: Service) -> None:
    await started(service)
    await service.on(reorganised("renamed", ["H48.21"], ["H48.40"]))

    await service.on(
        directive(
            obligation("I.1", ["H48.21"]),
            directive="CV-2",
            issued_on="2025-03-10",
            received="2025-03-10 09:00",
            event_id="cv-2",
        )
    )

    assert "H48/CV-2/I.1/H48.40" in await service.tasks()


async def test_the_successor_of_a_cooperating_agency_may_contribute(service: Service) -> None:
    await started(service, obligation("II.2.e", ["H48.21"], cooperating=["H48.22"], due=LAST_OF_JUNE))
    await service.on(reorganised("renamed", ["H48.22"], ["H48.40"]))
    task_id = "H48/TB-1/II.2.e/H48.21"
    contribution = {"task_id": task_id, "summary": "đã rà soát"}

    await service.on(
        say("task.contribution_submitted", contribution, by="H48.40", received="2025-02-28 09:00", event_id="early"),
        say("task.contribution_submitted", contribution, by="H48.40", received="2025-03-03 09:00", event_id="later"),
        say("task.contribution_submitted", contribution, by="H48.41", received="2025-03-03 09:00", event_id="foreign"),
    )

    assert await service.outcome("early") == ("rejected", "not_cooperating")
    assert await service.outcome("later") == ("applied", "applied")
    assert await service.outcome("foreign") == ("rejected", "not_cooperating")


async def test_the_registry_tells_what_became_of_an_agency_and_keeps_it(service: Service) -> None:
    await started(service)
    await service.on(reorganised("renamed", ["H48.21"], ["H48.40"]))
    await service.on(agency("H48.21"))

    [entry] = (await service.store.entries(Registry.AGENCIES, ["H48/H48.21"])).values()
    assert (entry.data["valid_to"], entry.data["successors"]) == ("2025-02-28", ["H48.40"])
    assert entry.data["basis"]["number"] == "18/NQ-HĐND"
    assert service.facts(AGENCIES.name).count("changed") == len(REGISTRY) + len(NEW) + 2


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (reorganised("merged", ["H48.99"], ["H48.40"]), "unknown_agency"),
        (reorganised("split", ["H48.21"], ["H48.40"]), "wrong_successors"),
    ],
)
async def test_what_cannot_be_changes_nothing(service: Service, event: tuple[str, dict[str, Any]], reason: str) -> None:
    await started(service)

    await service.on(event)
    await service.time_passes("2025-03-02 00:00")

    assert await service.outcome(event[1]["id"]) == ("rejected", reason)
    assert all(task.is_open for task in (await service.tasks()).values())


async def test_moving_goes_on_where_a_crash_left_it(service: Service) -> None:
    await started(service)
    await service.on(reorganised("merged", ["H48.21", "H48.22"], ["H48.40"]))
    service.lose_next_publish = True

    with pytest.raises(ConnectionError):
        await service.time_passes("2025-03-01 00:00")
    await service.time_passes("2025-03-01 00:00")
    await service.sweep.tell_leftovers(list(range(4)))

    open_ones = {one for one, task in (await service.tasks()).items() if task.is_open}
    assert open_ones == {NEW_TASK, f"H48/TB-1/II.1.h/{STANDING}"}


# -- clauses that open tasks when something happens ----------------------------------------------------------------

CLAUSE = {"directive": "TB-1", "clause": "II.1.h"}


def occurred(event_id: str, received: str, day: str = "2025-02-20") -> tuple[str, dict[str, Any]]:
    return say("obligation.triggered", {**CLAUSE, "occurred_on": day}, by=OFFICE, received=received, event_id=event_id)


async def test_what_occurs_after_a_reorganisation_names_the_agencies_of_that_day(service: Service) -> None:
    conditional = {"kind": "conditional", "trigger": "vượt thẩm quyền", "days": 5}
    await started(service, obligation(leads=["H48.21"], cooperating=["H48.22"], due=conditional))
    await service.on(reorganised("renamed", ["H48.22"], ["H48.41"]), reorganised("renamed", [STANDING], ["H48.42"]))

    await service.on(occurred("later", "2025-03-03 09:00", "2025-03-02"))

    [task] = (await service.tasks()).values()
    assert (task.cooperating, task.reviewer) == (("H48.41",), "H48.42")


async def test_an_occurrence_that_was_dealt_with_opens_nothing_for_the_successor(service: Service) -> None:
    conditional = {"kind": "conditional", "trigger": "vượt thẩm quyền", "days": 5}
    await started(service, obligation(leads=["H48.21"], acceptance="automatic", due=conditional))
    done = {"task_id": f"{OLD_TASK}/2025-02-20", "document": {"number": "9/BC", "issued_on": "2025-02-21"}}
    await service.on(
        occurred("first", "2025-02-20 09:00"),
        say("task.result_submitted", done, received="2025-02-21 09:00"),
        reorganised("renamed", ["H48.21"], ["H48.40"]),
    )

    await service.on(occurred("again", "2025-03-03 09:00"))

    assert await service.outcome("again") == ("rejected", "already_triggered")
    assert [task.result for task in (await service.tasks()).values()] == [Result.COMPLETED]


async def test_a_pause_leaves_open_tasks_as_they_are(service: Service) -> None:
    """A task moves when its own time comes, not because its clause pauses."""
    monthly = {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-14"}
    await started(service, obligation(leads=["H48.21"], cooperating=["H48.22"], due=monthly))
    await service.on(reorganised("renamed", ["H48.22"], ["H48.41"]))
    pause = {**CLAUSE, "reason": "sắp xếp", "document": {"number": "20/UBND", "issued_on": "2025-03-03"}}

    await service.on(say("obligation.suspended", pause, by=OFFICE, received="2025-03-03 09:00", event_id="pause"))

    assert await service.outcome("pause") == ("applied", "applied")
    assert [one.what for one in await service.history(f"{OLD_TASK}/2024-10")] == ["assigned"]


async def test_what_waited_for_a_task_that_was_only_just_made_is_applied_before_it_moves(service: Service) -> None:
    """INVARIANT: another replica makes a task between two looks; what the old agency sent in time is not lost."""
    conditional = {"kind": "conditional", "trigger": "vượt thẩm quyền", "days": 5}
    await started(service, obligation(leads=["H48.21"], due=conditional))
    await service.on(reorganised("renamed", ["H48.21"], ["H48.40"]))
    done = {"task_id": f"{OLD_TASK}/2025-02-20", "document": {"number": "9/BC", "issued_on": "2025-02-21"}}
    await service.on(say("task.result_submitted", done, received="2025-02-21 09:00", event_id="in-time"))
    await service.on(occurred("occurred", "2025-02-20 09:00"))

    # This replica looked for what waits just before the task was there.
    await service.upkeep.move_tasks(dict.fromkeys(range(PARTITIONS), at("2025-03-01 00:01")))
    await service.time_passes("2025-03-01 00:02")

    assert await service.outcome("in-time") == ("applied", "applied")
    assert (await service.task(f"{NEW_TASK}/2025-02-20")).result is Result.SUBMITTED
