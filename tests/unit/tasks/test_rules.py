"""The milestone policy is data, and broken data is refused at start."""

from pathlib import Path

import pytest

from services.tasks.rules import read_policy, read_rulebook
from services.tasks.settings import Settings

CALENDAR: Path = Settings.model_fields["calendar_file"].default
POLICY: Path = Settings.model_fields["policy_file"].default


def test_a_misspelt_policy_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "policy.yaml"
    broken.write_text(POLICY.read_text().replace("review_days_after", "review_days"))

    with pytest.raises(ValueError, match=r"policy\.yaml, line 6: review_days: nobody reads this field"):
        read_policy(broken)


def test_a_time_without_quotes_is_refused(tmp_path: Path) -> None:
    """YAML reads 17:00 as the number 1020, which was taken for seconds: reminders at 00:17."""
    broken = tmp_path / "policy.yaml"
    broken.write_text(POLICY.read_text().replace('"08:00"', "17:00"))

    with pytest.raises(ValueError, match=r"policy\.yaml, line 7: reminder_time: .* in quotes"):
        read_policy(broken)


def test_the_policy_is_what_the_province_decided() -> None:
    policy = read_policy(POLICY)

    assert policy.reminder_days_before == (7, 3, 1, 0)
    assert policy.escalation_days_after == (1, 5, 10)


def test_a_province_may_have_a_calendar_or_a_policy_of_its_own(tmp_path: Path) -> None:
    own, swapped = tmp_path / "H49", tmp_path / "H50"
    own.mkdir()
    swapped.mkdir()
    (own / "policy.yaml").write_text(POLICY.read_text().replace("[7, 3, 1, 0]", "[5]"))
    (swapped / "calendar.yaml").write_text('version: "own"\ndays_off: []\ndays_worked: []\n')

    book = read_rulebook(CALENDAR, POLICY, str(tmp_path))

    assert book.of("H49").milestones.reminder_days_before == (5,)
    assert book.of("H49").calendar == book.common.calendar
    assert book.of("H50").calendar.version == "own"
    assert book.of("H50").milestones == book.common.milestones
    assert book.of("H48") is book.common


def test_what_only_notify_reads_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "H49").mkdir()
    (tmp_path / "H49" / "notify.yaml").write_text("version: [")

    book = read_rulebook(CALENDAR, POLICY, str(tmp_path))

    assert book.of("H49") == book.common


def test_a_file_that_nobody_would_read_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "H49").mkdir()
    (tmp_path / "H49" / "policies.yaml").write_text("")

    with pytest.raises(ValueError, match="read here"):
        read_rulebook(CALENDAR, POLICY, str(tmp_path))


def test_a_broken_policy_of_a_province_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "H49").mkdir()
    (tmp_path / "H49" / "policy.yaml").write_text("version: x\nreminder_days_before: [-1]\n")

    with pytest.raises(ValueError, match=r"H49/policy\.yaml, line 2: reminder_days_before\.0"):
        read_rulebook(CALENDAR, POLICY, str(tmp_path))
