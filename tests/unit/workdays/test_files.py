"""The calendar is data: what was decided wins, broken data is refused, and every file of a province has a reader."""

from datetime import date
from pathlib import Path

import pytest

from shared.workdays.files import VIETNAM, ProvinceFiles, province_files, read_calendar


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
    assert read_calendar(VIETNAM).is_working(date.fromisoformat(day)) is worked


@pytest.mark.parametrize(
    ("days", "decided"),
    [
        (["2024-01-01", "2025-12-31"], True),
        (["2025-12-31", "2026-01-02"], False),  # rolls over into a year that is half known
        (["2023-12-29"], False),
    ],
)
def test_a_half_known_year_is_marked(days: list[str], decided: bool) -> None:
    assert read_calendar(VIETNAM).is_decided(*map(date.fromisoformat, days)) is decided


def test_every_decided_day_names_its_source(tmp_path: Path) -> None:
    broken = tmp_path / "calendar.yaml"
    broken.write_text('version: "1"\ndays_off:\n  - {day: 2025-05-02}\ndays_worked: []\n')

    with pytest.raises(ValueError, match=r"calendar\.yaml, line 3: days_off\.0\.source: is missing"):
        read_calendar(broken)


def test_a_day_that_is_on_no_calendar_is_refused_with_its_line(tmp_path: Path) -> None:
    broken = tmp_path / "calendar.yaml"
    broken.write_text('version: "1"\ndays_off:\n  - {day: 2025-02-30, source: "?"}\ndays_worked: []\n')

    with pytest.raises(ValueError, match=r'calendar\.yaml, line 3: .*"2025-02-30"'):
        read_calendar(broken)


def test_no_folder_means_no_province_of_its_own() -> None:
    assert province_files("") == {}


def test_a_province_has_what_stands_in_its_folder(tmp_path: Path) -> None:
    own, other = tmp_path / "H48", tmp_path / "H49"
    own.mkdir()
    other.mkdir()
    for name in ("calendar.yaml", "policy.yaml"):
        (own / name).write_text("")
    (other / "notify.yaml").write_text("")

    assert province_files(str(tmp_path)) == {
        "H48": ProvinceFiles(own / "calendar.yaml", own / "policy.yaml", None),
        "H49": ProvinceFiles(None, None, other / "notify.yaml"),
    }


@pytest.mark.parametrize("stray", ["H49", "H49.yaml", "h49/policy.yaml", "H49/policies.yaml", "H490/notify.yaml"])
def test_a_file_that_nobody_would_read_is_refused(tmp_path: Path, stray: str) -> None:
    path = tmp_path / stray
    path.parent.mkdir(exist_ok=True)
    path.write_text("")

    with pytest.raises(ValueError, match="read here" if stray.startswith("H49/") else "named like a province"):
        province_files(str(tmp_path))
