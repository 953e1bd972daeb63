"""The content as JSON: everything that is said, with the arithmetic done. Money is whole đồng, rates are text."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, Final

import pydantic_core

from services.reporting.domain.content import Content
from services.reporting.domain.figures import Figures
from services.reporting.domain.indicators import IndicatorFigure

DERIVED: Final[Mapping[type[Any], tuple[str, ...]]] = {
    Figures: (
        "done",
        "open",
        "total",
        "late",
        "on_time_of_due",
        "done_of_all",
        "disbursed_percent",
        "disbursed_of_assigned_percent",
    ),
    IndicatorFigure: ("percent", "is_met"),
}
"""What follows from the fields and stands beside them."""


def render(content: Content) -> bytes:
    """UTF-8."""
    return pydantic_core.to_json(document(content))


def document(content: Content) -> dict[str, Any]:
    """What `GET /v1/reports/{period}/content.json` answers, before revision and day of preparation."""
    shown = _plain(content)
    assert isinstance(shown, dict), "a content has fields"
    return shown | {"content_hash": content.content_hash}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        names = (*(one.name for one in fields(value)), *DERIVED.get(type(value), ()))
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Decimal):
        # No exponent, and no zero less than was said: 98.60 stays so.
        return format(value, "f")
    return value
