"""Who hears an alert: agencies in roles, by the policy's levels and by who cooperates."""

from pathlib import Path

import pytest

from services.notify.domain.alert import Alert, AlertKind
from services.notify.domain.policy import NotifyPolicy
from services.notify.domain.routing import Recipient, Role, Supervisors, recipients, supervisors
from services.notify.rules import read_policy
from tests.unit.notify.builders import ABOVE, AGENCY, CHAIRMAN, HEAD, POLICY_FILE, RULES, STANDING, an_alert

K = AlertKind
POLICY = RULES.policy
LEVELS = POLICY.levels
OTHER = Recipient("H48.03", Role.AGENCY)


def by(policy: NotifyPolicy, alert: Alert, above: Supervisors = ABOVE) -> list[Recipient]:
    return list(recipients(alert, above, levels=policy.levels, cooperating_hear=policy.cooperating_hear))


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        (an_alert(K.ASSIGNED), [AGENCY]),
        (an_alert(K.DUE_SOON), [AGENCY]),
        (an_alert(K.OVERDUE), [AGENCY]),
        (an_alert(K.RESULT_RETURNED), [AGENCY]),
        (an_alert(K.EXTENSION_GRANTED), [AGENCY]),
        (an_alert(K.EXTENSION_REFUSED), [AGENCY]),
        (an_alert(K.ENDED), [AGENCY]),
        (an_alert(K.ESCALATION, level=1), [AGENCY, HEAD]),
        (an_alert(K.ESCALATION, level=2), [AGENCY, HEAD, STANDING]),
        (an_alert(K.ESCALATION, level=3), [AGENCY, HEAD, STANDING, CHAIRMAN]),
        # The milestone policy may know more levels than this one: then who hears the highest hears it.
        (an_alert(K.ESCALATION, level=4), [AGENCY, HEAD, STANDING, CHAIRMAN]),
        (an_alert(K.REVIEW_REMINDER), [Recipient("H48.07", Role.REVIEWER)]),
        (an_alert(K.OBSTACLE), [STANDING]),
        (an_alert(K.OBSTACLE, forwarded=True), [CHAIRMAN]),
        (an_alert(K.CHANGED), [AGENCY]),
        (an_alert(K.CONTRIBUTION), [AGENCY]),
        (an_alert(K.CONTRIBUTION, contributor="H48.03"), [OTHER]),
        (an_alert(K.SUCCESSION), [STANDING]),
        (an_alert(K.OVERDUE_RETRACTED), []),
    ],
)
def test_an_alert_goes_to_those_whom_it_concerns(alert: Alert, expected: list[Recipient]) -> None:
    assert by(POLICY, alert) == expected


def test_every_kind_but_a_retraction_has_somebody_who_hears_it() -> None:
    assert [kind for kind in K if not by(POLICY, an_alert(kind, level=1))] == [K.OVERDUE_RETRACTED]


@pytest.mark.parametrize(
    ("levels", "heard"),
    [
        (
            "1: {tell: [head]}, 2: {tell: [standing]}, 3: {tell: [chairman_office]}",
            [[HEAD], [STANDING], [CHAIRMAN]],
        ),
        (
            "1: {tell: [agency]}, 2: {tell: [standing], with: 1}, 3: {tell: [head, agency]}",
            [[AGENCY], [AGENCY, STANDING], [AGENCY, HEAD]],
        ),
        (
            "1: {tell: [chairman_office], with: 2}, 2: {tell: [head]}, 3: {with: 1}",
            [[HEAD, CHAIRMAN], [HEAD], [HEAD, CHAIRMAN]],
        ),
    ],
)
def test_who_hears_an_escalation_stands_in_the_policys_file(
    levels: str, heard: list[list[Recipient]], tmp_path: Path
) -> None:
    lines = POLICY_FILE.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("escalation:", "  1:", "  2:", "  3:"))]
    file = tmp_path / "notify.yaml"
    file.write_text("\n".join([*kept, f"escalation: {{{levels}}}"]))
    policy = read_policy(file)

    assert [by(policy, an_alert(K.ESCALATION, level=level)) for level in (1, 2, 3)] == heard


def test_beyond_the_highest_level_hears_who_hears_that() -> None:
    levels = {1: (Role.AGENCY,), 2: (Role.STANDING,)}

    found = [recipients(an_alert(K.ESCALATION, level=level), ABOVE, levels=levels) for level in (2, 3, 9)]
    assert found == [(STANDING,)] * 3


@pytest.mark.parametrize("kind", list(K))
def test_who_cooperates_hears_the_kinds_of_the_policy_and_no_others(kind: AlertKind) -> None:
    alert = an_alert(kind, level=1, cooperating=("H48.03", "H48.04"))
    others = [OTHER, Recipient("H48.04", Role.AGENCY)]
    without = list(recipients(alert, ABOVE, levels=LEVELS))

    assert by(POLICY, alert) == without + (others if kind is K.ASSIGNED else [])
    assert list(recipients(alert, ABOVE, levels=LEVELS, cooperating_hear=frozenset(K))) == without + others


def test_nobody_hears_the_same_in_the_same_role_twice() -> None:
    found = by(POLICY, an_alert(K.ASSIGNED, cooperating=("H48.21", "H48.03", "H48.03")))

    assert found == [AGENCY, OTHER]


def test_a_retraction_goes_to_exactly_those_who_were_told() -> None:
    """INVARIANT: who heard of an overdue hears that it is taken back, and nobody else does."""
    found = recipients(an_alert(K.OVERDUE_RETRACTED), ABOVE, {STANDING, AGENCY}, levels=LEVELS)

    assert found == (AGENCY, STANDING)


def test_without_supervisors_an_escalation_still_reaches_the_agency_and_its_head() -> None:
    assert by(POLICY, an_alert(K.ESCALATION, level=3), Supervisors(None, None)) == [AGENCY, HEAD]


@pytest.mark.parametrize("alert", [an_alert(K.OBSTACLE), an_alert(K.OBSTACLE, forwarded=True), an_alert(K.SUCCESSION)])
def test_without_supervisors_there_is_nobody_to_hear_what_is_for_them(alert: Alert) -> None:
    assert by(POLICY, alert, Supervisors(None, None)) == []


def test_supervisors_are_found_by_their_roles() -> None:
    assert supervisors({"H48.01": "chairman_office", "H48.09": "standing", "H48.07": "standing"}) == ABOVE
    assert supervisors({"H48.21": "agency"}) == Supervisors(None, None)
