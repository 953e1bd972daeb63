"""The reporting policy: what comes with us is sound; what is broken is refused with file, line and remedy."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from services.reporting.domain.periods import Kind
from services.reporting.rules import read_policy, read_rulebook
from services.reporting.settings import Settings
from tests.unit.reporting.builders import DECREE_09

DEFAULT = Settings.model_fields["reporting_policy_file"].default
CALENDAR = Settings.model_fields["calendar_file"].default


def test_default_file_is_decree_09() -> None:
    regime, benchmarks, report = read_policy(DEFAULT)

    assert replace(regime, recipients=()) == DECREE_09
    assert list(regime.rules) == list(Kind)
    assert regime.recipients
    assert report.prepares == frozenset(Kind)
    assert [(one.code, one.percent) for one in benchmarks] == [("CDS-CHI", Decimal("0.5"))]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cut_off: {month: 0, day: 14}", "cut_off: {month: 0, day: 16}", "overlap"),
        ("cut_off: {month: 0, day: 14}", "cut_off: {month: 0, day: 12}", "leave a gap"),
        ("due: {month: 0, day: 19}", "due: {month: 0, day: 14}", "is due on"),
        ("    monthly:", "    fortnightly:", "fortnightly"),
        ('percent: "0.5"', 'percent: "-1"', "percent"),
        ("valid_from: 2023-01-01", "valid_from: 2023-02-30", "2023-02-30"),
        ("kind: minimum", "kind: maximum", "kind"),
        ("  id: nd-09-2019", "  name_of_it: x", "name_of_it"),
    ],
)
def test_broken_file_is_refused_with_line_and_remedy(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "reporting.yaml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(ValueError, match=said) as refused:
        read_policy(file)

    assert str(file) in str(refused.value)
    assert "line" in str(refused.value)


def test_month_is_needed(tmp_path: Path) -> None:
    lines = DEFAULT.read_text(encoding="utf-8").splitlines(keepends=True)
    file = tmp_path / "reporting.yaml"
    file.write_text("".join(line for line in lines if "monthly:" not in line), encoding="utf-8")

    with pytest.raises(ValueError, match="monthly is missing"):
        read_policy(file)


def test_province_has_periods_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "H49"
    own.mkdir()
    text = DEFAULT.read_text(encoding="utf-8").replace("id: nd-09-2019", "id: own")
    (own / "reporting.yaml").write_text(text, encoding="utf-8")

    rulebook = read_rulebook(CALENDAR, DEFAULT, str(tmp_path))

    assert (rulebook.regime("H49").id, rulebook.regime("H48").id) == ("own", "nd-09-2019")
    assert rulebook.calendar("H49") == rulebook.calendar("H48")
    assert rulebook.benchmarks("H49") == rulebook.benchmarks("H48")
