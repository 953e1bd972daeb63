"""What services write is what the contract says: snapshots and records of tasks against the contract's models."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.tasks import records, wire
from services.tasks.domain.commands import (
    AcceptResult,
    Acknowledge,
    Allocate,
    AnswerObstacle,
    Cancel,
    Contribute,
    ForwardObstacle,
    GrantExtension,
    JudgeContribution,
    RaiseObstacle,
    Reassign,
    ReportDisbursement,
    ReportProgress,
    RequestExtension,
    Resume,
    ReturnResult,
    SubmitResult,
    Suspend,
)
from services.tasks.domain.decide import advance, assign, decide
from services.tasks.domain.decision import Fact, FactKind
from services.tasks.domain.task import Dependency, Task
from services.tasks.ports import Registry
from services.tasks.records import Record
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.contracts import registry_facts as facts
from shared.contracts.codec import decode
from shared.contracts.events import BY_TOPIC
from shared.contracts.model import Part
from shared.contracts.task_facts import TaskChanged, TaskSnapshot
from shared.contracts.topics import AGENCIES, DIRECTIVES, INDICATORS, SUBMISSIONS, TASKS
from tests.support.builders import AGENCY, REVIEWER, RULES, a_cause, a_document, a_task, at

STEPS = [
    (Acknowledge(), AGENCY),
    (ReportProgress(30, "ghi chú"), AGENCY),
    (SubmitResult(a_document(), "tóm tắt", 2, "money"), AGENCY),
    (AcceptResult(""), REVIEWER),
    (ReturnResult("thiếu"), REVIEWER),
    (RequestExtension(date(2024, 12, 1), "x"), AGENCY),
    (GrantExtension(date(2024, 12, 1), a_document(), ""), "H48.01"),
    (RaiseObstacle("o1", "khó", True), AGENCY),
    (AnswerObstacle("o1"), "H48.01"),
    (ForwardObstacle("o1", "chairman"), "H48.07"),
    (ReportDisbursement(date(2024, 10, 1), 5), AGENCY),
    (Allocate("a1", 2024, 10, a_document()), "H48.01"),
    (Contribute("đã làm", a_document(), 1), "H48.03"),
    (JudgeContribution("H48.03", "accepted", "đủ"), AGENCY),
    (Suspend("chờ", a_document()), "H48.01"),
    (Resume(a_document(), None), "H48.01"),
    (Resume(a_document(), date(2025, 3, 1)), "H48.01"),
    (Cancel("thôi", a_document()), "H48.01"),
    (Reassign("H48.30", "chuyển", a_document()), "H48.01"),
]


@given(st.lists(st.tuples(st.integers(0, 1500), st.sampled_from(STEPS)), max_size=10))
@settings(max_examples=100, deadline=None)
def test_every_fact_the_tasks_service_tells_reads_back_as_the_contract_says(
    steps: list[tuple[int, tuple[object, str]]],
) -> None:
    task = a_task(cooperating=("H48.03",), dependencies=(Dependency("II.1.a", "shared_deadline"),))
    facts: list[Fact] = []
    for hours, (command, actor) in sorted(steps, key=lambda step: step[0]):
        cause = a_cause(at("2024-10-14 09:00") + timedelta(hours=hours), actor)
        decision = decide(task, command, cause=cause, rules=RULES)  # type: ignore[arg-type]
        task = decision.task
        facts += decision.facts

    for fact in facts:
        if fact.kind is FactKind.REJECTED:
            continue
        event = decode(TASKS.name, wire.message(fact).value)
        assert isinstance(event.data, TaskChanged)
        assert (event.data.task_id, event.data.seq) == (fact.task.task_id, fact.task.seq)
        assert event.data.task.result.value == fact.task.result.value
        assert len(event.data.task.deadlines) == len(fact.task.deadlines)
        assert len(event.data.task.milestones) == len(fact.task.milestones)
        # The fast text is pydantic's, value by value: what is told and stored reads back as the same task.
        text = wire.snapshot_json(fact.task)
        assert json.loads(text) == wire.snapshot(fact.task)
        assert TypeAdapter(Task).validate_json(text) == fact.task


def test_a_snapshot_has_every_field_of_the_contract_and_no_other() -> None:
    assert set(wire.snapshot(a_task())) == set(TaskSnapshot.model_fields)


def test_every_kind_of_fact_is_an_event_type_of_the_tasks_topic() -> None:
    told = {f"dondoc.task.{kind.value}.v1" for kind in FactKind if kind is not FactKind.REJECTED}

    assert told | {"dondoc.submission.rejected.v1"} == set(BY_TOPIC[TASKS.name])


def test_the_first_fact_of_a_task_has_number_one() -> None:
    [fact] = assign(a_task(seq=0)).facts

    assert decode(TASKS.name, wire.message(fact).value).envelope.id == f"{a_task().task_id}:1"


def test_milestones_are_told_with_the_instant_they_were_due() -> None:
    task: Task = a_task()
    [first, *_] = advance(task, now=at("2024-12-01 00:00"), recorded_at=at("2024-12-01 00:00"), rules=RULES).facts

    event = decode(TASKS.name, wire.message(first).value)
    assert isinstance(event.data, TaskChanged)
    assert event.data.change.cause.received_at == at("2024-10-15 08:00")


# -- the registry's records ----------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[2] / "shared" / "contracts" / "examples" / "submissions"


def sent(name: str) -> Any:
    """What the example of a submission says."""
    return decode(SUBMISSIONS.name, (EXAMPLES / f"{name}.json").read_bytes()).data


def every_record() -> list[tuple[Registry, str, type[Part], Record]]:
    """One of each kind that is told, with everything in it that it can have."""
    by = a_cause()
    agency: ordered.AgencyRegistered = sent("agency.registered.v1")
    merger: ordered.AgencyReorganised = sent("agency.reorganised.v1")
    report: said.IndicatorReported = sent("indicator.reported.v1")
    target = records.target_record(sent("indicator.target_set.v1"), "H48", None, by)
    issued = records.directive_record(sent("directive.issued.v1.every-due-rule"), "H48", None, by)
    assert isinstance(target, dict)
    assert issued is not None
    revoked = records.revoked_record(sent("directive.revoked.v1"), issued, by)
    value = records.indicator_record(report, "H48", AGENCY, None, target["targets"], by)
    assert isinstance(value, dict)
    assert revoked is not None
    known = records.agency_record(agency, "H48", None, by)
    return [
        (Registry.AGENCIES, AGENCIES.name, facts.AgencyChanged, known),
        (Registry.AGENCIES, AGENCIES.name, facts.AgencyChanged, records.ended_record(merger, known, by)),
        (Registry.INDICATORS, INDICATORS.name, facts.IndicatorValue, value),
        (Registry.DIRECTIVES, DIRECTIVES.name, facts.DirectiveChanged, issued),
        (Registry.DIRECTIVES, DIRECTIVES.name, facts.DirectiveChanged, revoked),
    ]


@pytest.mark.parametrize(("registry", "topic", "model", "record"), every_record())
def test_a_record_of_the_registry_has_every_field_of_the_contract_and_no_other(
    registry: Registry, topic: str, model: type[Part], record: Record
) -> None:
    message = records.message(registry, record, at=a_cause())

    assert message is not None
    event = decode(topic, message.value)
    assert type(event.data) is model
    assert (message.topic, event.envelope.subject) == (topic, message.key)
    # Also of what lies inside: a field that the contract does not know would be dropped on the way, and told to nobody.
    assert event.data.model_dump(mode="json") == model.model_validate(record).model_dump(mode="json")
    assert _names(event.envelope.data) == _names(event.data.model_dump(mode="json"))


def _names(node: Any) -> Any:
    """The fields of a document and of all that lies in it."""
    if isinstance(node, dict):
        return {name: _names(one) for name, one in node.items()}
    return [_names(one) for one in node] if isinstance(node, list) else None
