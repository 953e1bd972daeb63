"""Cooperating agencies tell what they did; the lead decides, and reports the result."""

from dataclasses import replace
from datetime import date

import pytest

from services.tasks.domain.commands import Cancel, Contribute, JudgeContribution, SubmitResult
from services.tasks.domain.decision import Reason
from tests.support.builders import AGENCY, a_document, a_task, after

COOPERATING = "H48.03"
CONTRIBUTE = Contribute("đã rà soát", a_document(date(2024, 10, 15)), 1)
TASK = a_task(cooperating=(COOPERATING, "H48.04"))


def test_a_contribution_is_kept_with_who_and_when_and_moves_neither_result_nor_deadline() -> None:
    task = after(TASK, (CONTRIBUTE, "2024-10-15 09:00", COOPERATING)).task

    [one] = task.contributions
    assert (one.number, one.agency, one.summary, one.verdict) == (1, COOPERATING, "đã rà soát", None)
    assert (task.result, task.deadlines) == (TASK.result, TASK.deadlines)


def test_the_lead_judges_the_latest_of_each() -> None:
    task = after(
        TASK,
        (CONTRIBUTE, "2024-10-15 09:00", COOPERATING),
        (CONTRIBUTE, "2024-10-15 10:00", "H48.04"),
        (JudgeContribution(COOPERATING, "returned", "thiếu danh mục"), "2024-10-16 09:00", AGENCY),
        (CONTRIBUTE, "2024-10-17 09:00", COOPERATING),
        (JudgeContribution(COOPERATING, "accepted", ""), "2024-10-17 10:00", AGENCY),
    ).task

    assert [(one.agency, one.verdict) for one in task.contributions] == [
        (COOPERATING, "returned"),
        ("H48.04", None),
        (COOPERATING, "accepted"),
    ]


def test_the_successor_of_a_cooperating_agency_speaks_for_it() -> None:
    successor = replace(CONTRIBUTE, stands_for=frozenset({COOPERATING}))

    task = after(TASK, (successor, "2025-03-03 09:00", "H48.40")).task

    assert [one.agency for one in task.contributions] == ["H48.40"]


def test_a_lead_that_took_in_a_cooperating_agency_reports_results_and_contributes_nothing_to_itself() -> None:
    successor = replace(CONTRIBUTE, stands_for=frozenset({COOPERATING}))

    assert after(TASK, (successor, "2025-03-03 09:00", AGENCY)).reason is Reason.NOT_COOPERATING


@pytest.mark.parametrize(
    ("command", "actor", "reason"),
    [
        (CONTRIBUTE, "H48.99", Reason.NOT_COOPERATING),
        (CONTRIBUTE, AGENCY, Reason.NOT_COOPERATING),
        (JudgeContribution(COOPERATING, "accepted", ""), AGENCY, Reason.NO_CONTRIBUTION),
        (JudgeContribution(COOPERATING, "accepted", ""), COOPERATING, Reason.NOT_YOURS),
        (SubmitResult(a_document(), "", 0, None), COOPERATING, Reason.NOT_YOURS),
    ],
)
def test_nobody_speaks_for_another(
    command: Contribute | JudgeContribution | SubmitResult, actor: str, reason: Reason
) -> None:
    assert after(TASK, (command, "2024-10-15 09:00", actor)).reason is reason


def test_a_task_that_ended_takes_no_contribution() -> None:
    ended = after(TASK, (Cancel("thôi", a_document()), "2024-10-15 09:00", "H48.01")).task

    assert after(ended, (CONTRIBUTE, "2024-10-15 10:00", COOPERATING)).reason is Reason.TASK_ENDED


def test_the_note_on_a_delay_is_kept_with_its_cause() -> None:
    late = SubmitResult(a_document(), "", 0, "disagreement", "chờ ý kiến thống nhất")

    [entry] = after(a_task(), (late, "2024-11-15 09:00")).task.results

    assert (entry.delay_cause, entry.delay_note) == ("disagreement", "chờ ý kiến thống nhất")
