"""Reorganisation: open tasks go to the successor, deadlines unchanged; where that is not plain, a human chooses.

Cases of 2025 (NQ 190/2025/QH15, NQ 202/2025/QH15, Law 72/2025/QH15): domain §2.8.
"""

from datetime import date

import pytest

from services.tasks.domain.agencies import (
    Agency,
    Problem,
    ProblemKind,
    members,
    reorganisation_problem,
    standing_agency,
)
from services.tasks.domain.commands import (
    AcceptResult,
    Allocate,
    Cancel,
    GrantExtension,
    ReportDisbursement,
    ReportProgress,
    ReturnResult,
    SubmitResult,
)
from services.tasks.domain.decide import advance, assign
from services.tasks.domain.decision import FactKind, Reason
from services.tasks.domain.succession import Edge, move, parties, plain_successor, review_by
from services.tasks.domain.task import Result, Task
from tests.support.builders import AGENCY, REVIEWER, RULES, a_cause, a_document, a_task, after, at

MARCH = at("2025-03-01 00:00")
SUBMIT = SubmitResult(a_document(), "", 0, None)


def an_edge(
    *successors: str, agency: str = AGENCY, told: str = "2025-02-24 08:00", effective: str = "2025-03-01"
) -> Edge:
    return Edge(
        agency,
        successors,
        at(f"{effective} 00:00"),
        a_document(date(2025, 2, 20), "18/NQ-HĐND"),
        a_cause(told, "H48.01"),
    )


def moved(task: Task, edge: Edge, existing: Task | None = None) -> tuple[Task, Task | None]:
    found = move(task, edge, existing, recorded_at=MARCH)
    assert found is not None
    return found.decision.task, found.successor


def test_merged_finance_and_planning_go_on_under_the_new_name_with_the_same_deadline() -> None:
    """KHĐT + TC → TC (01/3/2025)."""
    task = a_task(date(2025, 6, 30))

    old, new = moved(task, an_edge("H48.40"))

    assert new is not None
    assert (old.result, old.ended and old.ended.successor) == (Result.TRANSFERRED, new.task_id)
    assert new.task_id == "H48/TB-1/II.1.h/H48.40"
    assert new.deadlines == task.deadlines
    assert new.predecessor == task.task_id
    assert old.ended is not None
    assert old.ended.document is not None
    assert old.ended.document.number == "18/NQ-HĐND"
    assert old.ended.cause.received_at == MARCH, "from the day it takes effect on, told a week before"


def test_what_was_told_late_moves_when_it_was_told() -> None:
    old, _ = moved(a_task(), an_edge("H48.40", told="2025-03-10 09:00"))

    assert old.ended is not None
    assert old.ended.cause.received_at == at("2025-03-10 09:00")


def test_work_goes_along_and_a_result_can_still_be_judged() -> None:
    task = after(
        a_task(date(2025, 6, 30)),
        (ReportProgress(40, "đang làm"), "2024-12-01 09:00"),
        (Allocate("vốn-1", 2025, 700, a_document()), "2024-12-02 09:00", "H48.01"),
        (ReportDisbursement(date(2025, 1, 31), 300), "2025-02-01 09:00"),
        (SUBMIT, "2025-02-27 09:00"),
    ).task

    _, new = moved(task, an_edge("H48.40"))

    assert new is not None
    assert (new.progress, new.results, new.allocations, new.disbursements) == (
        task.progress,
        task.results,
        task.allocations,
        task.disbursements,
    )
    judged = after(assign(new).task, (AcceptResult(""), "2025-03-05 09:00", REVIEWER)).task
    assert judged.result is Result.COMPLETED


def test_an_overdue_stands_and_is_not_told_again_under_the_new_name() -> None:
    task = advance(a_task(), now=at("2025-02-28 00:00"), recorded_at=at("2025-02-28 00:00"), rules=RULES).task

    _, new = moved(task, an_edge("H48.40"))

    assert new is not None
    later = advance(assign(new).task, now=at("2025-06-01 00:00"), recorded_at=at("2025-06-01 00:00"), rules=RULES)
    assert later.facts == (), "overdue and all levels were reached under the old name"
    assert {(one.kind.value, one.level) for one in new.milestones} == {
        ("overdue", 0),
        ("escalation", 1),
        ("escalation", 2),
        ("escalation", 3),
    }


def test_reminders_of_the_past_are_not_repeated_under_the_new_name() -> None:
    task = advance(
        a_task(date(2025, 3, 7)), now=at("2025-02-28 23:00"), recorded_at=at("2025-02-28 23:00"), rules=RULES
    ).task

    _, new = moved(task, an_edge("H48.40"))

    assert new is not None
    later = advance(assign(new).task, now=at("2025-03-08 00:00"), recorded_at=at("2025-03-08 00:00"), rules=RULES)
    reminders = [fact.cause.received_at for fact in later.facts if fact.kind is FactKind.DUE_SOON]
    assert reminders
    assert min(reminders) > MARCH


def test_a_split_waits_for_a_human_and_stays_where_it_is() -> None:
    """Sở LĐTBXH → Nội vụ, GDĐT, Y tế, NN&MT."""
    edge = an_edge("H48.50", "H48.51", "H48.52", "H48.53")

    task, new = moved(a_task(date(2025, 6, 30)), edge)

    assert new is None
    assert task.agency == AGENCY
    assert task.is_open
    assert task.succession is not None
    assert (task.succession.why, task.succession.choices) == ("several_successors", edge.successors)
    assert move(task, edge, None, recorded_at=MARCH) is None, "asked once"
    assert after(task, (ReportProgress(50, ""), "2025-03-02 09:00")).reason is Reason.APPLIED, "reports are still taken"


def test_an_abolished_agency_without_successor_asks_too() -> None:
    task, new = moved(a_task(), an_edge())

    assert new is None
    assert task.succession is not None
    assert task.succession.why == "no_successor"


def test_a_share_that_the_successor_has_already_is_joined_to_it() -> None:
    """KHĐT and TC both owe II.1.h; after the merger TC owes it once."""
    own = a_task(task_id="H48/TB-1/II.1.h/H48.40", agency="H48.40")

    old, new = moved(a_task(), an_edge("H48.40"), existing=own)

    assert new is None
    assert (old.result, old.ended and old.ended.successor) == (Result.TRANSFERRED, own.task_id)


@pytest.mark.parametrize(
    "task",
    [
        after(a_task(), (SUBMIT, "2025-02-27 09:00")).task,
        after(a_task(), (Allocate("vốn-1", 2025, 700, a_document()), "2024-12-02 09:00", "H48.01")).task,
    ],
    ids=["a result waits", "money is counted"],
)
def test_a_share_with_something_at_stake_is_not_joined_without_a_human(task: Task) -> None:
    own = a_task(task_id="H48/TB-1/II.1.h/H48.40", agency="H48.40")

    waiting, new = moved(task, an_edge("H48.40"), existing=own)

    assert new is None
    assert waiting.succession is not None
    assert waiting.succession.why == "successor_has_its_own"


def test_what_has_ended_stays_under_the_old_name() -> None:
    completed = after(a_task(), (SUBMIT, "2024-10-16 09:00"), (AcceptResult(""), "2024-10-17 09:00", REVIEWER)).task
    cancelled = after(a_task(), (Cancel("thôi", a_document()), "2024-10-16 09:00", "H48.01")).task

    assert move(completed, an_edge("H48.40"), None, recorded_at=MARCH) is None
    assert move(cancelled, an_edge("H48.40"), None, recorded_at=MARCH) is None


def test_a_history_of_extensions_and_a_return_goes_along() -> None:
    task = after(
        a_task(),
        (GrantExtension(date(2024, 11, 30), a_document(), ""), "2024-10-18 09:00", "H48.01"),
        (SUBMIT, "2024-11-20 09:00"),
        (ReturnResult("thiếu"), "2024-11-21 09:00", REVIEWER),
        (GrantExtension(date(2024, 12, 31), a_document(), ""), "2024-11-25 09:00", "H48.01"),
    ).task

    _, new = moved(task, an_edge("H48.40"))

    assert new is not None
    assert (new.times_extended, new.results[0].verdict) == (2, "returned")
    assert new.deadlines[0].nominal == date(2024, 10, 19), "the original, for ever"


# -- reviewers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successors", "fallback", "reviewer"),
    [
        (("H48.40",), "H48.07", "H48.40"),  # STTTT → SKHCN
        (("H48.40", "H48.41"), "H48.02", "H48.02"),
        ((), "H48.02", "H48.02"),
        ((), None, None),
    ],
)
def test_somebody_can_always_judge(successors: tuple[str, ...], fallback: str | None, reviewer: str | None) -> None:
    edge = an_edge(*successors, agency=REVIEWER)

    decision = review_by(a_task(), edge, fallback, recorded_at=MARCH)

    assert (decision and decision.task.reviewer) == reviewer


def test_parties_are_those_whose_end_concerns_the_task() -> None:
    waiting, _ = moved(a_task(), an_edge("H48.50", "H48.51"))
    old, _ = moved(a_task(), an_edge("H48.40"))

    assert parties(a_task()) == (AGENCY, REVIEWER)
    assert parties(waiting) == (REVIEWER,), "asked already"
    assert parties(old) == ()


# -- names in documents --------------------------------------------------------------------------------------------

AGENCIES = {
    code: Agency(code, role, groups)  # type: ignore[arg-type]
    for code, role, groups in [
        ("H48.03", "agency", ("@all",)),
        ("H48.04", "agency", ("@all",)),
        ("H48.07", "standing", ("@all",)),
        ("H48.20", "agency", ("@districts",)),
        ("H48.40", "agency", ("@all",)),
        ("H48.41", "agency", ()),
        ("H48.42", "agency", ()),
    ]
}
EDGES = {
    "H48.04": an_edge("H48.03", agency="H48.04"),
    "H48.07": an_edge("H48.40", agency="H48.07"),
    "H48.20": an_edge("H48.41", "H48.42", agency="H48.20", effective="2025-07-01"),
}


@pytest.mark.parametrize(
    ("names", "when", "found"),
    [
        (["H48.04"], "2025-02-28 23:59", ("H48.04",)),
        (["H48.04"], "2025-03-01 00:00", ("H48.03",)),
        (["H48.03", "H48.04"], "2025-03-01 00:00", ("H48.03",)),
        (["@all"], "2025-02-01 00:00", ("H48.03", "H48.04", "H48.07", "H48.40")),
        (["@all"], "2025-03-01 00:00", ("H48.03", "H48.40")),
        (["H48.20"], "2025-06-30 23:59", ("H48.20",)),
    ],
)
def test_a_name_is_read_as_the_agency_that_it_means_on_that_day(
    names: list[str], when: str, found: tuple[str, ...]
) -> None:
    assert members(names, AGENCIES, EDGES, at(when)) == found


def test_a_name_with_several_successors_must_be_said_anew() -> None:
    problem = members(["H48.20"], AGENCIES, EDGES, at("2025-07-01 00:00"))

    assert isinstance(problem, Problem)
    assert problem.reason is ProblemKind.AGENCY_IS_NO_MORE
    assert "H48.41, H48.42" in problem.detail


def test_the_standing_agency_has_a_successor_too() -> None:
    assert standing_agency(AGENCIES, EDGES, at("2025-02-01 00:00")) == "H48.07"
    assert standing_agency(AGENCIES, EDGES, at("2025-04-01 00:00")) == "H48.40"


def test_two_agencies_that_name_each_other_lead_nowhere() -> None:
    circle = {"a": an_edge("b", agency="a"), "b": an_edge("a", agency="b")}

    assert plain_successor("a", circle, at("2025-04-01 00:00")) is None


@pytest.mark.parametrize(
    ("change", "predecessors", "successors", "reason"),
    [
        ("merged", ["H48.03", "H48.40"], ["H48.41"], None),
        ("merged", ["H48.03"], ["H48.41", "H48.42"], ProblemKind.WRONG_SUCCESSORS),
        ("renamed", ["H48.03"], ["H48.41"], None),
        ("renamed", ["H48.03", "H48.40"], ["H48.41"], ProblemKind.WRONG_SUCCESSORS),
        ("split", ["H48.03"], ["H48.41"], ProblemKind.WRONG_SUCCESSORS),
        ("split", ["H48.03"], ["H48.41", "H48.42"], None),
        ("abolished", ["H48.03"], [], None),
        ("abolished", ["H48.03"], ["H48.41", "H48.42"], None),
        ("merged", ["H48.99"], ["H48.41"], ProblemKind.UNKNOWN_AGENCY),
        ("merged", ["H48.03"], ["H48.99"], ProblemKind.UNKNOWN_AGENCY),
        ("merged", ["H48.03", "H48.40"], ["H48.40"], None),  # the successor goes on under its code
        ("merged", ["H48.40"], ["H48.40"], ProblemKind.WRONG_SUCCESSORS),
        ("merged", ["H48.04"], ["H48.41"], ProblemKind.ALREADY_REORGANISED),
    ],
)
def test_a_reorganisation_says_what_it_must(
    change: str, predecessors: list[str], successors: list[str], reason: ProblemKind | None
) -> None:
    problem = reorganisation_problem(change, predecessors, successors, AGENCIES, EDGES, key="new")  # type: ignore[arg-type]

    assert (problem and problem.reason) == reason


def test_the_same_event_again_is_no_second_reorganisation() -> None:
    key = EDGES["H48.04"].cause.event_id

    assert reorganisation_problem("merged", ["H48.04"], ["H48.03"], AGENCIES, EDGES, key=key) is None
