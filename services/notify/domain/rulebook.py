"""What provinces have decided: when offices work, and what may come when."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.notify.domain.policy import NotifyPolicy
from shared.workdays.calendar import WorkingCalendar


@dataclass(frozen=True, slots=True)
class Rules:
    """What a province decides about messages: its calendar and its policy."""

    calendar: WorkingCalendar
    policy: NotifyPolicy


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The rules of each province; most have the common ones."""

    common: Rules
    provinces: Mapping[str, Rules] = field(default_factory=dict)

    def of(self, province: str) -> Rules:
        """The rules of a province."""
        return self.provinces.get(province, self.common)
