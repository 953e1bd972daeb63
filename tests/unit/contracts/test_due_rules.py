"""Due rules: only what can become a day is taken."""

from datetime import time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.contracts.due_rules import DueRule, FixedDue

RULE = TypeAdapter[Any](DueRule)


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "fixed", "boundary": "before", "day": "2024-10-20"},
        {"kind": "fixed", "boundary": "within", "period": "2024-11"},
        {"kind": "fixed", "boundary": "by", "day": "2024-11-15", "hour": "17:00"},
        {"kind": "recurring", "every": "monthly", "boundary": "before", "day": 20, "starts_on": "2024-10-01"},
        {"kind": "recurring", "every": "quarterly", "starts_on": "2024-10-01"},
        {"kind": "relative", "days": 15, "unit": "working"},
        {"kind": "relative", "days": 15, "after": "2024-10-20"},
        {"kind": "open_ended"},
    ],
)
def test_a_rule_is_stated_as_the_document_does(rule: dict[str, Any]) -> None:
    assert RULE.validate_python(rule).kind == rule["kind"]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "fixed", "boundary": "before"},
        {"kind": "fixed", "boundary": "before", "period": "2024-11"},
        {"kind": "fixed", "boundary": "within", "day": "2024-10-20"},
        {"kind": "fixed", "boundary": "within", "day": "2024-10-20", "period": "2024-11"},
        {"kind": "fixed", "boundary": "within", "period": "2024-02-30"},
        {"kind": "fixed", "boundary": "by", "day": "9999-12-31"},
        {"kind": "fixed", "boundary": "by", "day": "0001-01-01"},
        {"kind": "fixed", "boundary": "by", "day": "2024-11-15", "hour": "17:00Z"},
        {"kind": "fixed", "boundary": "by", "day": "2024-11-15", "hour": "17:00+07:00"},
        {"kind": "recurring", "every": "monthly", "boundary": "before", "starts_on": "2024-10-01"},
        {"kind": "recurring", "every": "monthly", "boundary": "within", "day": 20, "starts_on": "2024-10-01"},
        {"kind": "recurring", "every": "weekly", "boundary": "by", "day": 8, "starts_on": "2024-10-01"},
        {"kind": "recurring", "every": "yearly", "starts_on": "2024-10-01", "ends_on": "2024-09-30"},
        {"kind": "relative", "days": 0},
        {"kind": "relative", "days": 3, "after": "9999-12-31"},
        {"kind": "soon"},
    ],
)
def test_a_rule_that_can_become_no_day_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RULE.validate_python(rule)


def test_an_hour_is_published_as_local_time() -> None:
    """JSON Schema's format `time` demands an offset; our own values would fail it."""
    schema = FixedDue.model_json_schema()["properties"]["hour"]
    rule = FixedDue.model_validate({"boundary": "by", "day": "2024-11-15", "hour": "17:00"})

    assert rule.hour == time(17)
    assert all("format" not in branch for branch in schema["anyOf"])
