"""Who may send what: every kind of sender, every type, own and foreign."""

from itertools import product

import pytest

from services.ingest import wire
from services.ingest.domain.authorisation import Credential, Owner, Speaker, Statement, Verdict, authorise
from shared.contracts.events import Sender
from tests.unit.ingest.builders import one_of_each_type

OURS, THEIRS = Owner("H48", "H48.21"), Owner("H48", "H48.22")
NAMESAKE = Owner("H49", "H48.21")
"""The same agency code in another province."""

ROLES = {
    "agency": frozenset({"events:write"}),
    "authority": frozenset({"authority:write"}),
    "both": frozenset({"events:write", "authority:write"}),
    "reader": frozenset({"tasks:read", "reports:read"}),
    "nobody": frozenset[str](),
}
EVENTS = one_of_each_type()
COOPERATION = "dondoc.task.contribution_submitted.v1"
"""The one thing an agency may say on a foreign task; tasks knows whether the obligation names it."""


def expected(role: str, sender: Sender, owner: Owner | None, name: str) -> Verdict:
    """The rule again, as a table a reader can check: who is allowed at all, then province, then agency."""
    if sender is Sender.AGENCY and role not in {"agency", "both"}:
        return Verdict.SCOPE_MISSING
    if sender is Sender.AUTHORITY and role not in {"authority", "both"}:
        return Verdict.SCOPE_MISSING
    if owner is NAMESAKE:
        return Verdict.WRONG_PROVINCE
    if owner is THEIRS and sender is Sender.AGENCY and name != COOPERATION:
        return Verdict.NOT_YOURS
    return Verdict.ALLOWED


def cases() -> list[tuple[str, str, Owner | None]]:
    """Every role × every event type × every owner it can name."""
    return [
        (role, name, owner)
        for role, (name, event) in product(ROLES, EVENTS.items())
        for owner in ((OURS, THEIRS, NAMESAKE) if "task_id" in event["data"] else (None,))
    ]


def test_the_golden_examples_cover_every_type() -> None:
    assert EVENTS.keys() == wire.EVENT_TYPES.keys()


@pytest.mark.parametrize(("role", "name", "owner"), cases())
def test_a_sender_may_say_only_what_its_scope_and_place_allow(role: str, name: str, owner: Owner | None) -> None:
    """INVARIANT: nobody speaks for another.

    If this breaks, one agency can change another's tasks, or an agency can grant itself an extension.
    """
    credential = Credential("H48", "H48.21", ROLES[role])
    event = dict(EVENTS[name])
    if owner is not None:
        task_id = f"{owner.province}/TB-1/II.1.a/{owner.agency}"
        event = {**event, "data": {**event["data"], "task_id": task_id}}
    event.pop("subject", None)

    verdict = authorise(credential, wire.read(event).statement)

    assert verdict is expected(role, wire.EVENT_TYPES[name].sender, owner, name)


@pytest.mark.parametrize("speaker", Speaker)
@pytest.mark.parametrize(
    ("province", "agency", "verdict"),
    [
        (None, None, Verdict.ALLOWED),
        ("H48", "H48.21", Verdict.ALLOWED),
        ("H49", "H48.21", Verdict.WRONG_PROVINCE),
        ("H48", "H48.22", Verdict.NOT_YOURS),
        ("H49", "H48.22", Verdict.WRONG_PROVINCE),
        ("", None, Verdict.WRONG_PROVINCE),
        ("h48", None, Verdict.WRONG_PROVINCE),
    ],
)
def test_what_an_event_claims_of_its_sender_must_be_what_the_credential_says(
    speaker: Speaker, province: str | None, agency: str | None, verdict: Verdict
) -> None:
    credential = Credential("H48", "H48.21", ROLES["both"])

    assert authorise(credential, Statement(speaker, None, province, agency)) is verdict


@pytest.mark.parametrize("scope", ["events:writer", "EVENTS:WRITE", "events", "*", ""])
def test_a_scope_counts_only_by_its_exact_name(scope: str) -> None:
    credential = Credential("H48", "H48.21", frozenset({scope}))

    assert authorise(credential, Statement(Speaker.AGENCY, OURS)) is Verdict.SCOPE_MISSING
