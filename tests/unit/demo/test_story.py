"""The notice and the story as data: complete, valid, and nothing in it that the platform would not know."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from deploy.demo.__main__ import ENDS, NOTICE, STARTS, STORY
from deploy.demo.story import StoryError, load_notice, load_outage, load_story
from services.tasks.directives import expand
from services.tasks.domain.agencies import Agency, Problem
from services.tasks.domain.deadlines import RecurringRule
from services.tasks.domain.directive import Obligation, tasks_of
from services.tasks.domain.task import Cause, Task
from shared.contracts.authority_events import DirectiveIssued
from shared.contracts.events import BY_TOPIC
from shared.contracts.topics import SUBMISSIONS
from tests.support.builders import RULES

NOTICE_DATA = load_notice(NOTICE)
STORY_DATA = load_story(NOTICE_DATA, STORY)
ISSUED = DirectiveIssued.model_validate(NOTICE_DATA.directive)


def test_the_notice_has_47_obligations_of_the_kinds_that_were_counted() -> None:
    counts = Counter(one.category.value for one in ISSUED.obligations)

    assert len(ISSUED.obligations) == 47
    assert sum(one.due.kind == "fixed" for one in ISSUED.obligations) == 9
    assert sum(one.due.kind == "recurring" for one in ISSUED.obligations) == 3
    assert (counts["dated"], counts["recurring"], counts["conditional"]) == (9, 7, 4)
    assert counts["standing"] + counts["by_reference"] + counts["indicator"] == 27


def test_clauses_come_in_the_order_of_the_notice() -> None:
    clauses = [one.clause.split("-")[0] for one in ISSUED.obligations]

    assert list(dict.fromkeys(clauses)) == [
        *(f"II.1.{letter}" for letter in "abcdđegh"),
        *(f"II.2.{letter}" for letter in "abcdđeghi"),
        "II.3",
        "II.4",
        "II.5",
        "II.6",
    ]


def test_thirty_four_agencies_thirteen_of_them_districts() -> None:
    assert len(NOTICE_DATA.members(["@all"])) == 34
    assert len(NOTICE_DATA.members(["@districts"])) == 13
    assert NOTICE_DATA.code_of("standing") == "H48.07"


def test_the_three_regulations_carry_their_extension() -> None:
    extended = [one for one in ISSUED.obligations if one.extended_by is not None]

    assert [one.clause for one in extended] == ["II.2.d", "II.2.d-2", "II.2.d-3"]
    assert {one.extended_by.document.number for one in extended if one.extended_by} == {"5233/UBND-KGVX"}


def test_the_story_uses_every_event_type_there_is() -> None:
    assert {one.event["type"] for one in STORY_DATA} == set(BY_TOPIC[SUBMISSIONS.name])


def test_the_story_is_in_order_and_inside_its_time() -> None:
    times = [one.at for one in STORY_DATA]

    assert times == sorted(times)
    assert times[0] >= STARTS
    # What waits for an unknown task is given up a day later; that must still happen in the story.
    assert times[-1] + timedelta(days=1) <= ENDS


def test_the_one_known_fact_is_in_it() -> None:
    [plan] = [
        one
        for one in STORY_DATA
        if one.event["type"] == "dondoc.task.result_submitted.v1"
        and one.event["data"]["task_id"].endswith("/II.2.g/H48.07")
    ]

    assert plan.at.date().isoformat() == "2024-11-15"
    assert plan.event["data"]["document"]["number"] == "223/KH-UBND"


def test_every_submission_but_the_declared_one_is_about_a_task_that_exists_by_then() -> None:
    opened = _tasks_by_opening()
    strangers = []
    for one in STORY_DATA:
        task_id = one.event["data"].get("task_id")
        if task_id is not None and not (task_id in opened and opened[task_id] <= one.at):
            strangers.append(one.event["id"])

    # The second directive and the successor of a reassigned task are not in the notice itself.
    own = [one for one in strangers if not one.startswith("e")]
    assert own == ["khong-co-nhiem-vu"]


def _tasks_by_opening() -> dict[str, datetime]:
    agencies = {
        str(one["code"]): Agency(str(one["code"]), one.get("role", "agency"), tuple(one["groups"]))
        for one in NOTICE_DATA.agencies
    }
    issued_at = next(one.at for one in STORY_DATA if one.event["id"] == "ban-hanh-thong-bao")
    cause = Cause("x", "H48.01", issued_at, issued_at)
    obligations = expand(ISSUED, agencies, {}, NOTICE_DATA.province, cause)
    assert not isinstance(obligations, Problem)
    found: dict[str, datetime] = {}
    for obligation in obligations:
        for task in _all_tasks(obligation):
            found[task.task_id] = task.assigned.received_at
    # Told by the story itself: other directives, occurrences, successors.
    found["H48/CV-THU-2024-11/I.2/H48.04"] = issued_at
    found["H48/TB-UBND-2024-10-11/II.3/H48.03"] = issued_at
    for tail in ("I.1/H48.02", "I.1/H48.03", "I.2/H48.07", "I.3/H48.15/2025-01-17", "I.4/H48.13"):
        found[f"H48/KH-THU-2025/{tail}"] = issued_at
    for tail in ("I.5/H48.20/2025-W03", "I.6/H48.05", "I.8/H48.06", "I.8/H48.04"):
        found[f"H48/KH-THU-2025/{tail}"] = issued_at
    return found


def test_the_outage_lasts_two_weeks_in_which_agencies_go_on_sending() -> None:
    outage = load_outage(STORY)

    assert (outage.service, outage.ends - outage.begins) == ("tasks", timedelta(days=14))
    assert sum(outage.begins <= one.at < outage.ends for one in STORY_DATA) > 50


def _all_tasks(obligation: Obligation) -> Iterator[Task]:
    until = ENDS if isinstance(obligation.due, RecurringRule) else obligation.issued.received_at
    return tasks_of(obligation, until=until, recorded_at=until, rules=RULES)


def test_loading_twice_gives_the_same() -> None:
    assert load_story(NOTICE_DATA, STORY) == STORY_DATA


def test_an_entry_that_cannot_be_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "story.yaml"
    entry = {"at": "2024-10-15 09:00", "who": ["H48.03"], "say": "task.progress_reported", "clause": "II.3"}
    broken.write_text(yaml.safe_dump({"entries": [{**entry, "data": {"percent": 400}}]}))

    with pytest.raises(StoryError, match=r"entry 1 \(task.progress_reported at 2024-10-15 09:00\)"):
        load_story(NOTICE_DATA, broken)
