"""Charts are drawn right, say what they show, and let nothing through that is told by names."""

import re
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from services.reporting.charts import Bar, Line, heat, heat_steps, lines, patterns, share_bar, stacked_columns, ticks

HOSTILE = '"><script>alert(1)</script>'


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, (0, 1)),
        (1, (0, 1)),
        (3, (0, 1, 2, 3)),
        (7, (0, 2, 4, 6, 8)),
        (66, (0, 20, 40, 60, 80)),
        (100, (0, 50, 100)),
        (999_999, (0, 500_000, 1_000_000)),
    ],
)
def test_ticks_are_round_and_reach_the_highest(highest: int, expected: tuple[int, ...]) -> None:
    assert ticks(highest) == expected


def test_ticks_are_few() -> None:
    for highest in (*range(1, 2_000), 10**6 + 1, 10**9 - 1):
        marks = ticks(highest)
        assert marks[-1] >= highest
        assert 2 <= len(marks) <= 6


def heights(drawn: str, kind: str) -> list[float]:
    return [float(one) for one in re.findall(rf'class="fill {kind}"[^>]*height="([\d.]+)"', drawn)]


def test_columns_are_as_high_as_their_numbers() -> None:
    bars = [Bar("10/24", (("done_on_time", 20), ("open_overdue", 60))), Bar("11/24", (("done_on_time", 40),))]

    drawn = stacked_columns(bars, ident="c", title="t", desc="d")

    first, second = heights(drawn, "done_on_time")
    assert second == pytest.approx(2 * first)
    assert heights(drawn, "open_overdue") == [pytest.approx(3 * first, abs=0.02)]


def test_what_is_late_differs_by_hatching_too() -> None:
    drawn = stacked_columns([Bar("", (("done_on_time", 1), ("open_overdue", 1)))], ident="c", title="t", desc="d")

    assert 'fill="url(#hatch-open_overdue)"' in drawn
    assert "hatch-done_on_time" not in drawn
    assert 'id="hatch-open_overdue"' in patterns()


def test_a_gap_in_a_line_stays_a_gap() -> None:
    values = (Decimal(10), Decimal(20), None, Decimal(30), Decimal(40))

    drawn = lines(list("abcde"), [Line("first", "Tỷ lệ", values)], ident="l", title="t", desc="d")

    assert drawn.count("<polyline") == 2
    assert drawn.count("<circle") == 4
    assert "Tỷ lệ, b: 20,00 %" in drawn


def test_a_share_bar_fills_its_width_and_nothing_is_drawn_of_nothing() -> None:
    drawn = share_bar(Bar("", (("done_on_time", 1), ("open_in_time", 0), ("open_overdue", 3))), ident="s")

    assert re.findall(r'class="fill (\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn) == [
        ("done_on_time", "0.00", "25.00"),
        ("open_overdue", "25.00", "75.00"),
    ]
    assert share_bar(Bar("", (("done_on_time", 0),)), ident="s") == ""


@pytest.mark.parametrize(
    ("highest", "steps"),
    [
        (0, ()),
        (1, (1,)),
        (3, (1, 2, 3)),
        (5, (1, 2, 3, 4, 5)),
        (100, (3, 6, 16, 40, 100)),
        (900, (4, 15, 59, 231, 900)),
    ],
)
def test_shades_of_a_heat_map_end_with_the_highest_and_none_is_empty(highest: int, steps: tuple[int, ...]) -> None:
    assert heat_steps(highest) == steps


def test_a_darker_shade_is_a_higher_count() -> None:
    steps = heat_steps(900)

    assert [heat(count, steps) for count in (0, 1, 4, 5, 59, 60, 900)] == [0, 1, 1, 2, 3, 4, 5]


def test_charts_are_sound_and_escaped() -> None:
    """INVARIANT: what is told by names is text in a chart as well."""
    drawn = stacked_columns([Bar(HOSTILE, (("done_on_time", 1),), HOSTILE)], ident="c", title=HOSTILE, desc=HOSTILE)
    line = lines([HOSTILE], [Line("first", HOSTILE, (Decimal(1),))], ident="l", title=HOSTILE, desc=HOSTILE)

    for one in (drawn, line):
        root = ElementTree.fromstring(one)
        assert "<script" not in one
        assert root.attrib["role"] == "img"
        assert [child.tag for child in root][:2] == ["title", "desc"]
        assert root[0].text == HOSTILE
