"""A report: the figures of a scope for a period beside earlier ones, its hash, and when it deserves a new revision."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import IndicatorFigure
from services.reporting.domain.periods import Kind
from services.reporting.domain.scopes import name_in

BECAUSE_MAX: Final = 50
"""So many late facts are named in an amendment; the others are counted."""


def report_key(province: str, period: str, scope: str) -> str:
    """`{province}/{period}/{scope}`, also the key of its records."""
    return f"{province}/{period}/{scope}"


@dataclass(frozen=True, slots=True)
class LateFact:
    """Something that came in after the close, and was received before the cut-off."""

    task_id: str
    seq: int
    reason: str
    received_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Amendment:
    """What a revision changed in a closed report, and why."""

    changed: Mapping[str, tuple[Any, Any]]
    """Figure → before and after."""
    because: tuple[LateFact, ...] = ()
    more: int = 0
    """Further late facts, not named."""


@dataclass(frozen=True, slots=True)
class Head:
    """What must be known of the last revision to decide on the next."""

    revision: int
    final: bool
    content_hash: str
    scope_name: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """One revision of the report on a scope for a period."""

    province: str
    period: str
    kind: Kind
    scope: str
    scope_name: str
    regime: str
    starts_on: date
    cut_off_on: date
    due_on: date
    final: bool
    as_of: datetime
    """The instant looked back from: the cut-off, or how far time had come."""
    figures: Figures
    computed_at: datetime
    previous_period: str | None = None
    previous: Figures | None = None
    """Of the period before, as it stands; None where it has no report."""
    year_before_period: str | None = None
    year_before: Figures | None = None
    """Of the same period of last year."""
    indicators: tuple[IndicatorFigure, ...] = ()
    members: tuple[str, ...] = ()
    """Of a group: its agencies, kept so that a closed report does not change with the registry."""
    revision: int = 1
    amendment: Amendment | None = None
    known_hash: str | None = None
    """Of a report read back from its topic, where what was told of it does not give its hash again."""

    @property
    def key(self) -> str:
        """One report, all revisions."""
        return report_key(self.province, self.period, self.scope)

    @property
    def content_hash(self) -> str:
        """sha256 of all that is counted and compared: equal content, equal hash, whatever it is called or when."""
        if self.known_hash is not None:
            return self.known_hash
        # Written by hand in the order of its keys: the figures of now stand in the reports of five running periods.
        indicators = _json([asdict(one) for one in self.indicators]) if self.indicators else "[]"
        text = (
            f'{{"figures":{_figures(self.figures)},"indicators":{indicators},'
            f'"previous":{_figures(self.previous)},"year_before":{_figures(self.year_before)}}}'
        )
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def head(self) -> Head:
        """What the next revision is compared with."""
        return Head(self.revision, self.final, self.content_hash, self.scope_name, self.members)


@lru_cache(maxsize=4_096)
def _figures(figures: Figures | None) -> str:
    return _json(figures.as_dict() if figures is not None else None)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_text)


def _text(value: object) -> str:
    # 45.80 and 45.8 are the same number.
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)


class Reason(StrEnum):
    """Why a report is published anew, or is not."""

    FIRST = "first"
    FIGURES = "figures"
    CLOSED = "closed"
    AMENDED = "amended"
    NAMED = "named"
    UNCHANGED = "unchanged"  # the only one that stays silent


def why_revise(last: Head | None, draft: Report, content_hash: str) -> Reason:
    """Say whether a freshly computed report deserves a revision, and why."""
    if last is None:
        return Reason.FIRST
    if last.final and not draft.final:
        # What was closed stays closed, even if this replica does not know yet how far time has come.
        return Reason.UNCHANGED
    if draft.final and not last.final:
        return Reason.CLOSED
    if content_hash != last.content_hash:
        return Reason.AMENDED if draft.final else Reason.FIGURES
    # A closed report keeps the name of its time (domain §2.8), unless it went out before the name was known at all.
    if draft.scope_name != last.scope_name and (not draft.final or last.scope_name == name_in(draft.scope)):
        return Reason.NAMED
    return Reason.UNCHANGED


def revise(last: Head | None, draft: Report) -> Report:
    """The draft as the next revision."""
    if last is None:
        return draft
    keeps_name = last.final and last.scope_name != name_in(draft.scope)
    return replace(draft, revision=last.revision + 1, scope_name=last.scope_name if keeps_name else draft.scope_name)


def amendment(before: Report, after: Report, facts: Sequence[LateFact]) -> Amendment:
    """What changed between two revisions of a closed report. `facts`: what came in late and touches its scope."""
    changed: dict[str, tuple[Any, Any]] = {}
    for part in ("figures", "previous", "year_before"):
        old, new = getattr(before, part), getattr(after, part)
        olds, news = (one.as_dict() if one is not None else {} for one in (old, new))
        prefix = "" if part == "figures" else f"{part}."
        for name in olds.keys() | news.keys():
            if olds.get(name) != news.get(name):
                changed[f"{prefix}{name}"] = (olds.get(name), news.get(name))
    if before.indicators != after.indicators:
        values = [{one.code: one.percent for one in report.indicators} for report in (before, after)]
        changed |= {
            f"indicators.{code}": (values[0].get(code), values[1].get(code))
            for code in values[0].keys() | values[1].keys()
        }
    ordered = sorted(facts, key=lambda one: (one.recorded_at, one.task_id, one.seq))
    return Amendment(dict(sorted(changed.items())), tuple(ordered[:BECAUSE_MAX]), max(0, len(ordered) - BECAUSE_MAX))
