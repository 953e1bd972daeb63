"""Who is who on a day: names, roles, and who took over from an agency that is no more."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from services.notify.domain.routing import Supervisors, supervisors

_SUCCESSIONS_MAX = 10
"""A chain longer than this is a loop."""


@dataclass(frozen=True, slots=True)
class AgencyRecord:
    """An agency as the registry has it. Its mailboxes are personal data: never logged, never on a topic of ours."""

    province: str
    code: str
    seq: int
    name: str
    role: str
    valid_to: date | None
    """Its last day; None while it exists."""
    contact: str | None
    head_contact: str | None
    head_title: str | None
    successors: tuple[str, ...] = ()

    def exists(self, on: date) -> bool:
        """Whether it has not ended by a local day."""
        return self.valid_to is None or self.valid_to >= on


class Registry:
    """The agencies of one province."""

    def __init__(self, records: Iterable[AgencyRecord]) -> None:
        self._by_code = {one.code: one for one in records}

    def get(self, code: str) -> AgencyRecord | None:
        """The record of an agency, also of one that is no more."""
        return self._by_code.get(code)

    @property
    def names(self) -> dict[str, str]:
        """Agency code → name."""
        return {code: one.name for code, one in self._by_code.items()}

    @property
    def records(self) -> tuple[AgencyRecord, ...]:
        """All of them, also those that are no more."""
        return tuple(self._by_code.values())

    def supervisors(self, on: date) -> Supervisors:
        """Who supervises on a local day."""
        return supervisors({one.code: one.role for one in self._by_code.values() if one.exists(on)})

    def role(self, code: str, on: date) -> str | None:
        """What an agency is on a local day; None for one that is not there, or no more."""
        one = self._by_code.get(code)
        return one.role if one is not None and one.exists(on) else None

    def reader_of(self, code: str, on: date) -> str:
        """Who reads what is for an agency: itself, its successor, or the standing agency where that is not plain."""
        for _ in range(_SUCCESSIONS_MAX):
            one = self._by_code.get(code)
            if one is None or one.exists(on):
                return code
            if len(one.successors) != 1:
                return self.supervisors(on).standing or code
            code = one.successors[0]
        return code
