"""One alert through all stages: what each said, when it may be told; and the second look when its time has come."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain import timing
from services.notify.domain.alert import KIND_OF_FACT, Alert, AlertKind, TaskState
from services.notify.domain.dedup import Heard, Reach
from services.notify.domain.dispatch import Lane
from services.notify.domain.inhibit import Reason
from services.notify.domain.pipeline import Again, Decision, Stage, Step, Verdict, again, decide
from services.notify.domain.registry import Registry
from services.notify.domain.routing import Role
from services.notify.domain.silences import Silence
from services.tasks.domain.decision import FactKind
from shared.contracts.alert_facts import AlertKind as WireKind
from shared.contracts.alert_facts import RecipientRole
from tests.support.builders import at
from tests.unit.notify.builders import (
    AGENCY,
    HEAD,
    OPEN,
    OVERDUE,
    REGISTRY,
    RULES,
    STANDING,
    a_silence,
    an_agency,
    an_alert,
)

K, R = AlertKind, Reason
MONDAY = at("2024-10-21 09:00")
EVENING = at("2024-10-21 18:00")
TUESDAY_OPENS, TUESDAY_DIGEST = at("2024-10-22 07:30"), at("2024-10-22 08:01")
HEARD = Heard(K.OVERDUE, 4, AGENCY, Reach.TOLD)


def decided(
    alert: Alert,
    task: TaskState = OPEN,
    now: datetime = MONDAY,
    *,
    registry: Registry = REGISTRY,
    silences: Sequence[Silence] = (),
    story: Sequence[Heard] = (),
) -> Decision:
    return decide(alert, task, registry=registry, rules=RULES, silences=silences, story=story, now=now)


def looked_at(alert: Alert, task: TaskState = OPEN, now: datetime = MONDAY, **changes: Any) -> Again:
    asked: dict[str, Any] = {"recipient": AGENCY, "lane": Lane.OWN, **changes}
    recipient = asked.pop("recipient")
    return again(alert, task, recipient, rules=RULES, now=now, **asked)


def said(decision: Decision) -> list[str]:
    return [f"{step.stage.value}: {step.reason}" for step in decision.steps]


# -- the first look ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alert", "task", "now", "not_before", "in_digest", "steps"),
    [
        (
            an_alert(K.ASSIGNED),
            OPEN,
            MONDAY,
            MONDAY,
            False,
            ["inhibit: due", "mute: office_open", "silence: none", "route: agency:H48.21"],
        ),
        (
            an_alert(K.RESULT_RETURNED),
            OPEN,
            EVENING,
            TUESDAY_OPENS,
            False,
            ["inhibit: due", "mute: office_closed", "silence: none", "route: agency:H48.21"],
        ),
        (
            an_alert(K.ESCALATION, level=2),
            OVERDUE,
            EVENING,
            EVENING,
            False,
            [
                "inhibit: due",
                "mute: passes",
                "silence: none",
                "route: agency:H48.21, head:H48.21, standing:H48.07",
            ],
        ),
        (
            an_alert(K.OVERDUE),
            OVERDUE,
            MONDAY,
            TUESDAY_DIGEST,
            True,
            ["inhibit: due", "mute: waits_for_digest", "silence: none", "route: agency:H48.21"],
        ),
        # A period that opens, or a task that was another agency's, is no new directive.
        (
            an_alert(K.ASSIGNED, continues=True),
            OPEN,
            MONDAY,
            TUESDAY_DIGEST,
            True,
            ["inhibit: due", "mute: waits_for_digest", "silence: none", "route: agency:H48.21"],
        ),
    ],
)
def test_an_alert_passes_the_stages_and_each_says_its_word(
    alert: Alert, task: TaskState, now: datetime, not_before: datetime, in_digest: bool, steps: list[str]
) -> None:
    found = decided(alert, task, now)

    assert (found.reason, found.not_before, found.in_digest, found.silence_id) == (R.DUE, not_before, in_digest, "")
    assert said(found) == steps


def test_what_is_silent_passes_no_further_stage() -> None:
    found = decided(an_alert(K.OVERDUE), OPEN, silences=[a_silence()])

    assert (found.reason, found.recipients, found.silence_id) == (R.RETRACTED, (), "")
    assert said(found) == ["inhibit: retracted"]


@pytest.mark.parametrize(
    ("alert", "ends", "not_before"),
    [
        (an_alert(K.ASSIGNED), "2024-10-23 10:00", "2024-10-21 10:00"),
        (an_alert(K.ASSIGNED), "2024-10-21 09:20", "2024-10-21 09:20"),
        (an_alert(K.CHANGED), "2024-10-23 10:00", "2024-10-22 08:01"),
        # A silence that ends before it could have been told anyway.
        (an_alert(K.CHANGED), "2024-10-21 10:00", "2024-10-22 08:01"),
    ],
)
def test_a_silenced_alert_is_looked_at_again_soon(alert: Alert, ends: str, not_before: str) -> None:
    """Every hour, or for the next digest: whoever ends the silence early finds it."""
    found = decided(alert, silences=[a_silence(ends)])

    assert (found.not_before, found.silence_id) == (at(not_before), "s1")
    assert "silence: silenced: s1" in said(found)
    assert found.recipients == (AGENCY,)


def test_a_silence_that_ends_in_the_night_does_not_open_the_office() -> None:
    found = decided(an_alert(K.ASSIGNED), now=EVENING, silences=[a_silence("2024-10-21 20:00")])

    assert (found.not_before, found.silence_id) == (TUESDAY_OPENS, "s1")


def test_a_retraction_that_nobody_needs_says_so() -> None:
    untold = decided(an_alert(K.OVERDUE_RETRACTED))
    told = decided(an_alert(K.OVERDUE_RETRACTED), story=[HEARD, replace(HEARD, recipient=STANDING)])

    assert (untold.reason, untold.recipients) == (R.NOBODY_WAS_TOLD, ())
    assert said(untold)[-1] == "route: nobody_was_told"
    assert (told.reason, told.recipients) == (R.DUE, (AGENCY, STANDING))


def test_what_is_for_a_supervisor_that_is_not_there_says_so() -> None:
    found = decided(an_alert(K.OBSTACLE), registry=Registry([an_agency()]))

    assert (found.reason, found.recipients) == (R.NO_RECIPIENT, ())
    assert said(found)[-1] == "route: no_recipient"


def test_supervisors_are_those_of_the_day_in_vietnam() -> None:
    """At 23:00 UTC the day in Vietnam is the next one."""
    until_monday = an_agency("H48.06", role="standing", valid_to=MONDAY.date())
    registry = Registry([until_monday, an_agency("H48.08", role="standing")])

    def hears(now: str) -> str:
        return decided(an_alert(K.OBSTACLE), OPEN, at(now), registry=registry).recipients[0].agency

    assert hears("2024-10-21 23:59") == "H48.06"
    assert hears("2024-10-22 00:01") == "H48.08"


# -- the second look -----------------------------------------------------------------------------------------------


def test_what_is_still_due_goes() -> None:
    assert looked_at(an_alert(K.ASSIGNED)) == Again(Verdict.GO, Step(Stage.INHIBIT, "due"))


@pytest.mark.parametrize("lane", list(Lane))
def test_what_is_settled_meanwhile_stays_silent_on_every_lane(lane: Lane) -> None:
    """INVARIANT: a task that was finished is not nagged about, not even where an officer sends it again."""
    found = looked_at(an_alert(K.OVERDUE), replace(OVERDUE, result="submitted"), lane=lane)

    assert (found.verdict, found.reason) == (Verdict.SUPPRESS, R.TASK_SUBMITTED)
    assert found.step == Step(Stage.INHIBIT, "task_submitted")


@pytest.mark.parametrize(
    ("lane", "now", "until"),
    [
        (Lane.OWN, EVENING, TUESDAY_OPENS),
        (Lane.OWN, MONDAY, None),
        # A digest leaves on a working day as it is, and an officer knows what time it is.
        (Lane.DIGEST, EVENING, None),
        (Lane.RESEND, EVENING, None),
    ],
)
def test_only_messages_of_their_own_wait_for_the_office(lane: Lane, now: datetime, until: datetime | None) -> None:
    found = looked_at(an_alert(K.ASSIGNED), now=now, lane=lane)

    assert found.until == until
    assert found.verdict is (Verdict.GO if until is None else Verdict.HOLD)
    assert until is None or found.step == Step(Stage.MUTE, "office_closed")


@pytest.mark.parametrize(
    ("lane", "until"),
    [(Lane.OWN, "2024-10-21 10:00"), (Lane.DIGEST, "2024-10-22 08:01"), (Lane.RESEND, None)],
)
def test_a_silence_that_was_asked_for_meanwhile_holds_it_back(lane: Lane, until: str | None) -> None:
    found = looked_at(an_alert(K.ASSIGNED), lane=lane, silences=[a_silence("2024-10-23 10:00")])

    assert found.until == (None if until is None else at(until))
    assert found.verdict is (Verdict.GO if until is None else Verdict.HOLD)
    assert found.silence_id == ("" if until is None else "s1")
    assert until is None or found.step == Step(Stage.SILENCE, "silenced: s1")


def test_a_silence_is_named_before_the_hour() -> None:
    found = looked_at(an_alert(K.ASSIGNED), now=EVENING, silences=[a_silence("2024-10-23 10:00")])

    assert (found.step.stage, found.until) == (Stage.SILENCE, TUESDAY_OPENS)


@pytest.mark.parametrize(
    ("story", "verdict", "step"),
    [
        ([HEARD], Verdict.GO, "due"),
        ([replace(HEARD, reach=Reach.PENDING)], Verdict.HOLD, "overdue_not_told_yet"),
        ([replace(HEARD, reach=Reach.NOT_TOLD)], Verdict.SUPPRESS, "nobody_was_told"),
        ([replace(HEARD, recipient=HEAD)], Verdict.SUPPRESS, "nobody_was_told"),
        ([], Verdict.SUPPRESS, "nobody_was_told"),
    ],
)
@pytest.mark.parametrize("lane", list(Lane))
def test_a_retraction_goes_after_what_it_takes_back(
    story: list[Heard], verdict: Verdict, step: str, lane: Lane
) -> None:
    """INVARIANT: nobody reads that an overdue is taken back before, or without, reading that there is one."""
    found = looked_at(an_alert(K.OVERDUE_RETRACTED), story=story, lane=lane)

    assert (found.verdict, found.step.reason) == (verdict, step)
    # For how long nobody knows: until the overdue is told, or silenced.
    assert found.until is None


def test_no_silence_holds_a_retraction_back() -> None:
    found = looked_at(an_alert(K.OVERDUE_RETRACTED), story=[HEARD], silences=[a_silence()])

    assert found.verdict is Verdict.GO


# -- both looks ----------------------------------------------------------------------------------------------------

_FIRST = at("2024-10-01 00:00")
_instants = st.integers(0, 200 * 24 * 60).map(lambda minutes: _FIRST + timedelta(minutes=minutes))
_states = st.builds(
    lambda result, version, overdue, given, escalation: replace(
        OPEN,
        result=result,
        deadline_version=version,
        overdue_since=min(overdue, version),
        given_on=min(given, version),
        escalation=escalation,
    ),
    st.sampled_from(["assigned", "in_progress", "submitted", "completed", "suspended", "discontinued", "transferred"]),
    st.integers(1, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2),
)


@st.composite
def alerts(draw: st.DrawFn) -> tuple[Alert, TaskState, datetime]:
    """An alert, what is known of its task, and when it comes in."""
    now = draw(_instants)
    alert = an_alert(
        draw(st.sampled_from(list(K))),
        level=draw(st.integers(1, 4)),
        deadline_version=draw(st.integers(1, 3)),
        superseded=draw(st.booleans()),
        continues=draw(st.booleans()),
        forwarded=draw(st.booleans()),
        cooperating=draw(st.sampled_from([(), ("H48.03",)])),
        received_at=now - timedelta(hours=draw(st.integers(0, 48))),
    )
    return alert, draw(_states), now


def _lane(decision: Decision) -> Lane:
    return Lane.DIGEST if decision.in_digest else Lane.OWN


@given(alerts())
def test_what_the_first_look_lets_through_the_second_does_when_its_time_has_come(
    situation: tuple[Alert, TaskState, datetime],
) -> None:
    """INVARIANT: where nothing has changed, a message leaves at the instant that was said."""
    alert, task, now = situation
    decision = decided(alert, task, now, story=[HEARD])

    for recipient in decision.recipients:
        found = looked_at(alert, task, decision.not_before, recipient=recipient, lane=_lane(decision), story=[HEARD])
        assert found.verdict is Verdict.GO
    if decision.reason is not R.DUE:
        found = looked_at(alert, task, now, lane=_lane(decision), story=[])
        assert found.verdict is Verdict.SUPPRESS or decision.reason is R.NO_RECIPIENT


@given(alerts(), st.lists(st.tuples(_instants, st.integers(1, 10 * 24)), max_size=4))
def test_a_delivery_is_told_after_its_silences_in_the_hours_in_which_it_may(
    situation: tuple[Alert, TaskState, datetime], quiet: list[tuple[datetime, int]]
) -> None:
    """INVARIANT: nothing is held back for ever, and nothing comes before its silence is over."""
    alert, task, now = situation
    silences = [
        replace(a_silence(), silence_id=f"s{number}", starts_at=starts, ends_at=starts + timedelta(hours=hours))
        for number, (starts, hours) in enumerate(quiet)
    ]
    decision = decided(alert, task, now, silences=silences, story=[HEARD])
    if decision.reason is not R.DUE:
        return
    assert decision.not_before >= now

    instant = decision.not_before
    # It is looked at every hour of the office, or every day.
    for _ in range(24 * 10 * len(silences) + 2):
        found = looked_at(alert, task, instant, lane=_lane(decision), silences=silences, story=[HEARD])
        if found.until is None:
            break
        assert found.verdict is Verdict.HOLD
        assert found.until > instant
        instant = found.until
    assert found.verdict is Verdict.GO
    assert not any(one.is_active(instant) and one.covers(alert) for one in silences)
    if not decision.in_digest and alert.kind not in RULES.policy.passes:
        assert timing.office_opens(instant, RULES) == instant
    if decision.in_digest:
        assert timing.next_digest(instant - timedelta(seconds=1), RULES) == instant


# -- the contract --------------------------------------------------------------------------------------------------


def test_every_fact_that_alerts_is_a_fact_and_every_kind_is_in_the_contract() -> None:
    assert set(KIND_OF_FACT) <= {kind.value for kind in FactKind}
    assert set(KIND_OF_FACT.values()) == set(AlertKind)
    # The first version's words are frozen; later ones are told as v2, where the word is open.
    later = {AlertKind.CHANGED, AlertKind.CONTRIBUTION, AlertKind.SUCCESSION}
    assert {kind.value for kind in AlertKind} - {kind.value for kind in later} == {kind.value for kind in WireKind}
    assert {role.value for role in Role} == {role.value for role in RecipientRole}
