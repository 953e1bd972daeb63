"""Who hears an alert: agencies in roles, from the registry."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from services.notify.domain.alert import Alert, AlertKind


class Role(StrEnum):
    """In which role a recipient hears an alert."""

    AGENCY = "agency"
    HEAD = "head"
    STANDING = "standing"
    CHAIRMAN_OFFICE = "chairman_office"
    REVIEWER = "reviewer"


@dataclass(frozen=True, slots=True)
class Recipient:
    """An agency in a role."""

    agency: str
    role: Role


@dataclass(frozen=True, slots=True)
class Supervisors:
    """Who supervises in a province, as far as the registry says."""

    standing: str | None
    chairman_office: str | None


def needs_supervisors(alert: Alert) -> bool:
    """Whether somebody above the agency hears it."""
    return alert.kind in {AlertKind.OBSTACLE, AlertKind.SUCCESSION} or (
        alert.kind is AlertKind.ESCALATION and alert.level > 1
    )


def supervisors(roles: Mapping[str, str]) -> Supervisors:
    """Find them among agency code → role; of several with one role, the first by code."""
    by_role = {role: code for code, role in sorted(roles.items(), reverse=True)}
    return Supervisors(by_role.get("standing"), by_role.get("chairman_office"))


def recipients(
    alert: Alert,
    above: Supervisors,
    told: Iterable[Recipient] = (),
    *,
    levels: Mapping[int, Sequence[Role]],
    cooperating_hear: Set[AlertKind] = frozenset(),
) -> tuple[Recipient, ...]:
    """Name the recipients. `told`: who may have heard of the overdue that is being taken back.

    `levels`: who hears an escalation of which level; beyond the highest one, who hears that.
    """
    agency = Recipient(alert.agency, Role.AGENCY)
    found: list[Recipient | None]
    match alert.kind:
        case AlertKind.ESCALATION:
            in_role = {
                Role.AGENCY: agency,
                Role.HEAD: Recipient(alert.agency, Role.HEAD),
                Role.STANDING: _maybe(above.standing, Role.STANDING),
                Role.CHAIRMAN_OFFICE: _maybe(above.chairman_office, Role.CHAIRMAN_OFFICE),
            }
            found = [in_role[role] for role in levels[min(alert.level, max(levels))] if role in in_role]
        case AlertKind.OVERDUE_RETRACTED:
            found = [*sorted(set(told), key=lambda one: (one.role, one.agency))]
        case AlertKind.REVIEW_REMINDER:
            found = [Recipient(alert.reviewer, Role.REVIEWER)]
        case AlertKind.OBSTACLE:
            above_it = (
                _maybe(above.chairman_office, Role.CHAIRMAN_OFFICE)
                if alert.forwarded
                else _maybe(above.standing, Role.STANDING)
            )
            found = [above_it]
        case AlertKind.CONTRIBUTION if alert.contributor:
            found = [Recipient(alert.contributor, Role.AGENCY)]
        case AlertKind.SUCCESSION:
            found = [_maybe(above.standing, Role.STANDING)]
        case _:
            found = [agency]
    if alert.kind in cooperating_hear:
        found += [Recipient(one, Role.AGENCY) for one in alert.cooperating]
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _maybe(agency: str | None, role: Role) -> Recipient | None:
    return Recipient(agency, role) if agency is not None else None
