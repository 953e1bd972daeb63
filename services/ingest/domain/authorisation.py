"""Who may send what. Nobody speaks for another: province and agency come from the credential (design §3.6)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Speaker(StrEnum):
    """In which capacity an event is sent. The event's type says it, the credential's scope allows it."""

    AGENCY = "agency"
    AUTHORITY = "authority"


SCOPES = {Speaker.AGENCY: "events:write", Speaker.AUTHORITY: "authority:write"}
"""The scope that lets a credential speak in a capacity."""


class Verdict(StrEnum):
    """Why an event may be sent, or why not."""

    ALLOWED = "allowed"
    SCOPE_MISSING = "scope_missing"
    WRONG_PROVINCE = "wrong_province"
    NOT_YOURS = "not_yours"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a verified token says of its bearer."""

    province: str
    agency: str
    scopes: frozenset[str]


class Owner(NamedTuple):
    """Whose task an event is about."""

    province: str
    agency: str


class Statement(NamedTuple):
    """What an event says about who speaks, and of whose task."""

    speaker: Speaker
    owner: Owner | None = None
    """None when the event is about no task."""
    province: str | None = None
    """As the event's own attribute claims; None when it claims nothing."""
    agency: str | None = None
    cooperates: bool = False
    """It is what a cooperating agency says on a lead's task; whether it cooperates, only the obligation knows."""


def authorise(credential: Credential, statement: Statement) -> Verdict:
    """Say whether the bearer may send this event."""
    if SCOPES[statement.speaker] not in credential.scopes:
        return Verdict.SCOPE_MISSING
    owner = statement.owner
    if statement.province is not None and statement.province != credential.province:
        return Verdict.WRONG_PROVINCE
    if owner is not None and owner.province != credential.province:
        return Verdict.WRONG_PROVINCE
    if statement.agency is not None and statement.agency != credential.agency:
        return Verdict.NOT_YOURS
    # The authority decides on every agency's tasks; an agency reports on its own only, or what it did for a lead's.
    foreign = owner is not None and owner.agency != credential.agency
    if statement.speaker is Speaker.AGENCY and foreign and not statement.cooperates:
        return Verdict.NOT_YOURS
    return Verdict.ALLOWED
