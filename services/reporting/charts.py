"""Charts as SVG text, drawn here and nowhere else. Pure: values in, mark-up out; what is told by names is escaped.

Nothing rests on colour alone: kinds differ in hatching too, every chart has a title and a description, and each page
shows the same numbers in a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from markupsafe import Markup

WIDTH: Final = 720
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 30
_PLOT_HEIGHT: Final = 190
_HEIGHT: Final = _TOP + _PLOT_HEIGHT + _BOTTOM
_TICKS: Final = 4
HATCHED: Final = frozenset({"done_late", "open_overdue", "open_due_soon"})
"""Kinds that are drawn with a pattern as well."""
HEAT_STEPS: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One column of a chart, or the one row of a share bar."""

    label: str
    parts: tuple[tuple[str, int], ...]
    """(kind, how many), from the bottom up. A kind is a class of the stylesheet."""
    told: str = ""
    """What a pointer resting on it is shown."""

    @property
    def total(self) -> int:
        """All parts."""
        return sum(count for _, count in self.parts)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a value per column, None where there is nothing to divide by."""

    kind: str
    name: str
    values: tuple[Decimal | None, ...]


def ticks(highest: int) -> tuple[int, ...]:
    """Round numbers from 0 up to the first that is not below the highest value; at most six of them."""
    if highest <= 0:
        return (0, 1)
    size = 10 ** (len(str(highest)) - 1)
    steps = [size // 10 * factor for factor in (1, 2, 5) if size >= 10] + [size, size * 2, size * 5]
    step = next(one for one in steps if one > 0 and one * _TICKS >= highest)
    count = -(-highest // step)
    return tuple(step * place for place in range(count + 1))


def stacked_columns(bars: Sequence[Bar], *, ident: str, title: str, desc: str) -> Markup:
    """A column for each bar, its parts on top of each other."""
    marks = ticks(max((bar.total for bar in bars), default=0))
    parts = [_grid(marks, marks[-1])]
    slot = _slot(len(bars))
    width = min(44.0, slot * 0.66)
    for place, bar in enumerate(bars):
        x = _LEFT + slot * place + (slot - width) / 2
        y = float(_TOP + _PLOT_HEIGHT)
        drawn = [Markup("<title>{}</title>").format(bar.told or bar.label)]
        for kind, count in bar.parts:
            if not count:
                continue
            height = _PLOT_HEIGHT * count / marks[-1]
            y -= height
            drawn.extend(_rectangle(kind, x, y, width, height))
        parts.append(Markup("<g>{}</g>").format(Markup("").join(drawn)))
        parts.append(_label(bar.label, place, slot, len(bars)))
    return _svg(parts, ident=ident, title=title, desc=desc)


def lines(labels: Sequence[str], drawn: Sequence[Line], *, ident: str, title: str, desc: str) -> Markup:
    """Percentages from 0 to 100 over the columns. A gap stays a gap."""
    slot = _slot(len(labels))
    parts = [_grid((0, 25, 50, 75, 100), 100, unit="%")]
    for place, label in enumerate(labels):
        parts.append(_label(label, place, slot, len(labels)))
    for line in drawn:
        for run in _runs(line.values):
            points = " ".join(f"{_x(place, slot):.1f},{_y(line.values[place]):.1f}" for place in run)
            if len(run) > 1:
                parts.append(Markup('<polyline class="line {}" points="{}"/>').format(line.kind, points))
        parts.extend(_dots(line, labels, slot))
    return _svg(parts, ident=ident, title=title, desc=desc)


def share_bar(bar: Bar, *, ident: str) -> Markup:
    """One row, its parts beside each other: 100 wide. Beside it stand the numbers, so it is told to nobody."""
    total = bar.total
    if not total:
        return Markup("")
    x, drawn = 0.0, []
    for kind, count in bar.parts:
        if not count:
            continue
        width = 100 * count / total
        drawn.extend(_rectangle(kind, x, 0, width, 8))
        x += width
    return Markup(
        '<svg class="share" id="{}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" '
        'focusable="false">{}</svg>'
    ).format(ident, Markup("").join(drawn))


def heat_steps(highest: int) -> tuple[int, ...]:
    """The last number of each shade, at most HEAT_STEPS of them: each about as many times the one before.

    Counts are mostly small and a few are large: shades of equal width would leave all but those few alike.
    """
    steps: list[int] = []
    for place in range(1, HEAT_STEPS + 1):
        step = round(highest ** (place / HEAT_STEPS))
        steps.append(max(step, steps[-1] + 1 if steps else 1))
        if steps[-1] >= highest:
            break
    return tuple(steps) if highest > 0 else ()


def heat(count: int, steps: Sequence[int]) -> int:
    """How dark a cell is: 0 for none, then from 1."""
    return 0 if count <= 0 else 1 + sum(count > step for step in steps[:-1])


# -- parts -------------------------------------------------------------------------------------------------------------


def patterns() -> Markup:
    """The hatchings that charts of a page refer to; once on each page that draws any."""
    return Markup(
        '<svg class="patterns" width="0" height="0" aria-hidden="true" focusable="false"><defs>'
        '<pattern id="hatch-open_overdue" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect class="ink" width="2" height="6"/></pattern>'
        '<pattern id="hatch-done_late" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(-45)"><rect class="ink" width="1.5" height="6"/></pattern>'
        '<pattern id="hatch-open_due_soon" width="5" height="5" patternUnits="userSpaceOnUse">'
        '<circle class="ink" cx="2.5" cy="2.5" r="1"/></pattern>'
        "</defs></svg>"
    )


def _rectangle(kind: str, x: float, y: float, width: float, height: float) -> list[Markup]:
    # Numbers and a name of ours: a page has a thousand of these, and nothing in them to escape.
    shape = f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
    drawn = [Markup(f'<rect class="fill {kind}" {shape}/>')]  # noqa: S704
    if kind in HATCHED:
        drawn.append(Markup(f'<rect fill="url(#hatch-{kind})" {shape}/>'))  # noqa: S704
    return drawn


def _grid(marks: Sequence[int], highest: int, *, unit: str = "") -> Markup:
    drawn = []
    for mark in marks:
        y = _TOP + _PLOT_HEIGHT * (1 - mark / highest)
        drawn.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(_LEFT, WIDTH - _RIGHT, y, y)
        )
        text = f"{mark:,}".replace(",", ".") + unit
        drawn.append(Markup('<text class="tick" x="{}" y="{:.1f}">{}</text>').format(_LEFT - 6, y + 4, text))
    return Markup("").join(drawn)


def _slot(columns: int) -> float:
    return (WIDTH - _LEFT - _RIGHT) / max(1, columns)


def _x(place: int, slot: float) -> float:
    return _LEFT + slot * (place + 0.5)


def _y(value: Decimal | None) -> float:
    assert value is not None, "a gap has no place"
    return _TOP + _PLOT_HEIGHT * (1 - float(value) / 100)


def _label(label: str, place: int, slot: float, columns: int) -> Markup:
    last = " last" if place == columns - 1 else ""
    return Markup('<text class="label{}" x="{:.1f}" y="{}">{}</text>').format(
        last, _x(place, slot), _HEIGHT - 10, label
    )


def _runs(values: Sequence[Decimal | None]) -> list[list[int]]:
    """The places that a line joins."""
    found: list[list[int]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            found.append([])
        else:
            found[-1].append(place)
    return [run for run in found if run]


def _dots(line: Line, labels: Sequence[str], slot: float) -> list[Markup]:
    drawn = []
    for place, value in enumerate(line.values):
        if value is None:
            continue
        x, y = _x(place, slot), _y(value)
        told = f"{line.name}, {labels[place]}: {value:.2f} %".replace(".", ",")
        title = Markup("<title>{}</title>").format(told)
        if line.kind == "first":
            shape = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4">{}</circle>')
        else:
            shape, x, y = (
                Markup('<rect class="dot {}" x="{:.1f}" y="{:.1f}" width="8" height="8">{}</rect>'),
                x - 4,
                y - 4,
            )
        drawn.append(shape.format(line.kind, x, y, title))
    return drawn


def _svg(parts: Sequence[Markup], *, ident: str, title: str, desc: str) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>'
    ).format(WIDTH, _HEIGHT, ident, ident, ident, title, ident, desc, Markup("").join(parts))
