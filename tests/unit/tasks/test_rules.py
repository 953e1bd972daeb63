"""The calendar and the milestone policy are data, and broken data is refused at start."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.tasks.rules import read_calendar, read_policy, read_rulebook
from services.tasks.settings import Settings

CALENDAR: Path = Settings.model_fields["calendar_file"].default
POLICY: Path = Settings.model_fields["policy_file"].default


@pytest.mark.parametrize(
    ("day", "worked"),
    [
        ("2024-04-29", False),  # swapped off
        ("2024-05-04", True),  # a Saturday, worked for it
        ("2024-09-02", False),  # National Day
        ("2025-01-29", False),  # Tết
        ("2025-04-26", True),  # a Saturday, worked for 2/5
        ("2025-05-02", False),
        ("2024-10-19", False),  # an ordinary Saturday
        ("2024-10-18", True),
    ],
)
def test_decided_days_win_over_the_week(day: str, worked: bool) -> None:
    assert read_calendar(CALENDAR).is_working(date.fromisoformat(day)) is worked


@pytest.mark.parametrize(
    ("days", "decided"),
    [
        (["2024-01-01", "2025-12-31"], True),
        (["2025-12-31", "2026-01-02"], False),  # rolls over into a year that is half known
        (["2023-12-29"], False),
    ],
)
def test_a_half_known_year_is_marked(days: list[str], decided: bool) -> None:
    assert read_calendar(CALENDAR).is_decided(*map(date.fromisoformat, days)) is decided


def test_every_decided_day_names_its_source(tmp_path: Path) -> None:
    broken = tmp_path / "calendar.yaml"
    broken.write_text('version: "1"\ndays_off: [{day: 2025-05-02}]\ndays_worked: []\n')

    with pytest.raises(ValidationError, match="source"):
        read_calendar(broken)


def test_a_misspelt_policy_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "policy.yaml"
    broken.write_text(POLICY.read_text().replace("review_days_after", "review_days"))

    with pytest.raises(ValidationError, match="review_days"):
        read_policy(broken)


def test_the_policy_is_what_the_province_decided() -> None:
    policy = read_policy(POLICY)

    assert policy.reminder_days_before == (7, 3, 1, 0)
    assert policy.escalation_days_after == (1, 5, 10)


def test_a_province_may_have_a_calendar_or_a_policy_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "H49"
    own.mkdir()
    (own / "policy.yaml").write_text(POLICY.read_text().replace("[7, 3, 1, 0]", "[5]"))

    book = read_rulebook(CALENDAR, POLICY, str(tmp_path))

    assert book.of("H49").milestones.reminder_days_before == (5,)
    assert book.of("H49").calendar == book.common.calendar
    assert book.of("H48") is book.common


@pytest.mark.parametrize("stray", ["H49.yaml", "h49/policy.yaml", "H49/policies.yaml"])
def test_a_file_that_nobody_would_read_is_refused_at_start(tmp_path: Path, stray: str) -> None:
    path = tmp_path / stray
    path.parent.mkdir(exist_ok=True)
    path.write_text("")

    with pytest.raises(ValueError, match="read here" if stray.startswith("H49/") else "named like a province"):
        read_rulebook(CALENDAR, POLICY, str(tmp_path))


def test_a_broken_policy_of_a_province_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "H49").mkdir()
    (tmp_path / "H49" / "policy.yaml").write_text("version: x\nreminder_days_before: [-1]\n")

    with pytest.raises(ValidationError, match="reminder_days_before"):
        read_rulebook(CALENDAR, POLICY, str(tmp_path))
