"""Agencies: who is meant by a name or a group, who supervises, and what a reorganisation must say to be applied."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from services.tasks.domain.succession import Edge, plain_successor


@dataclass(frozen=True, slots=True)
class Agency:
    """What expansion needs to know of an agency."""

    code: str
    role: Literal["agency", "standing", "chairman_office"]
    groups: tuple[str, ...]


class ProblemKind(StrEnum):
    """Why an event that shapes the province cannot be applied."""

    UNKNOWN_AGENCY = "unknown_agency"
    EMPTY_GROUP = "empty_group"
    NO_STANDING_AGENCY = "no_standing_agency"
    AGENCY_IS_NO_MORE = "agency_is_no_more"
    DIRECTIVE_EXISTS = "directive_exists"
    DIRECTIVE_REVOKED = "directive_revoked"
    UNKNOWN_CLAUSE = "unknown_clause"
    CYCLIC_DEPENDENCY = "cyclic_dependency"
    ISSUED_IN_FUTURE = "issued_in_future"
    UNKNOWN_DIRECTIVE = "unknown_directive"
    NOT_CONDITIONAL = "not_conditional"
    NOT_RECURRING = "not_recurring"
    OCCURRED_IN_FUTURE = "occurred_in_future"
    ALREADY_TRIGGERED = "already_triggered"
    ALREADY_SUSPENDED = "already_suspended"
    NOT_SUSPENDED = "not_suspended"
    DAY_TOO_EARLY = "day_too_early"
    DAY_TAKEN_AWAY = "day_taken_away"
    TOO_MANY_TASKS = "too_many_tasks"
    TOO_MANY_ENTRIES = "too_many_entries"
    ALREADY_REORGANISED = "already_reorganised"
    WRONG_SUCCESSORS = "wrong_successors"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem and where it lies."""

    reason: ProblemKind
    detail: str


def members(
    names: Iterable[str], agencies: Mapping[str, Agency], edges: Mapping[str, Edge], at: datetime
) -> tuple[str, ...] | Problem:
    """Name agencies one by one: codes stay, `@group` becomes its members, in order of code, each once.

    The name of an agency that was merged or renamed is read as its successor's (NQ 190/2025/QH15).
    """
    found: dict[str, None] = {}
    for name in names:
        if name.startswith("@"):
            group = sorted(code for code, agency in agencies.items() if name in agency.groups)
            present = [now for code in group if (now := plain_successor(code, edges, at)) is not None]
            if not present:
                return Problem(ProblemKind.EMPTY_GROUP, f"no registered agency is in group {name}")
            found.update(dict.fromkeys(present))
            continue
        if name not in agencies:
            return Problem(ProblemKind.UNKNOWN_AGENCY, f"agency {name} is not registered")
        now = plain_successor(name, edges, at)
        if now is None:
            choices = ", ".join(edges[name].successors) if name in edges else ""
            return Problem(
                ProblemKind.AGENCY_IS_NO_MORE,
                f"agency {name} was reorganised; name who takes over" + (f": {choices}" if choices else ""),
            )
        found[now] = None
    return tuple(found)


def standing_agency(agencies: Mapping[str, Agency], edges: Mapping[str, Edge], at: datetime) -> str | None:
    """Who supervises and, by default, judges results."""
    codes = (code for code, agency in agencies.items() if agency.role == "standing")
    return next((now for code in codes if (now := plain_successor(code, edges, at)) is not None), None)


_NEEDED = {"merged": "exactly one successor", "renamed": "one predecessor and one successor", "split": "two or more"}


def ending(predecessors: Iterable[str], successors: Collection[str]) -> tuple[str, ...]:
    """Who is no more. An agency named on both sides goes on and keeps its tasks: Tài chính takes Kế hoạch in."""
    return tuple(code for code in predecessors if code not in successors)


def reorganisation_problem(
    change: Literal["merged", "split", "renamed", "abolished"],
    predecessors: Collection[str],
    successors: Collection[str],
    agencies: Mapping[str, Agency],
    edges: Mapping[str, Edge],
    *,
    key: str,
) -> Problem | None:
    """Why a reorganisation cannot be applied; None where it can. `key`: its event, which may come again."""
    fits = {
        "merged": len(successors) == 1,
        "renamed": (len(predecessors), len(successors)) == (1, 1),
        "split": len(successors) > 1,
    }
    if not fits.get(change, True):
        return Problem(
            ProblemKind.WRONG_SUCCESSORS,
            f"{change} takes {_NEEDED[change]}; named are {len(predecessors)} and {len(successors)}",
        )
    for code in (*predecessors, *successors):
        if code not in agencies:
            return Problem(
                ProblemKind.UNKNOWN_AGENCY, f"agency {code} is not registered; register it first (agency.registered)"
            )
    over = ending(predecessors, successors)
    if not over and change != "split":
        return Problem(ProblemKind.WRONG_SUCCESSORS, "every predecessor is a successor too, so nobody ends")
    for code in over:
        known = edges.get(code)
        if known is not None and known.cause.event_id != key:
            return Problem(
                ProblemKind.ALREADY_REORGANISED, f"agency {code} was reorganised already, by {known.document.number}"
            )
    return None
