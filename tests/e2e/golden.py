"""The golden report: what the demo's six months must say, in files short enough to be read and checked by hand.

`python -m tests.e2e.golden` writes them anew from `build/demo/reports`, after a run of `make demo`; look at the diff
before you commit it.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from deploy.demo.__main__ import BUILD, PERIODS
from deploy.demo.reports import AGGREGATES, CONTENT

FOLDER: Final = Path(__file__).parent / "golden"
EXCLUDED: Final = {
    "content_hash": "is made of the following, too",
    "report_revision": "how often a running month is told depends on how fast the machine is",
    "revision": "likewise, of the prepared report",
    "prepared_at": "when the service got round to it",
    "amended": "whether the last facts before a cut-off come in just before or just after the close, which amends it",
    "late_facts": "likewise",
    "heading.dated_on": "the day after the cut-off, but of an amended report the day of the amendment",
}
"""What may differ from run to run, by its name in content.json, and why."""
SCOPES: Final = ("group", "directive", "category")
"""Kinds of scopes beside the province and the agencies, which the content has."""


def golden(content: Mapping[str, Any], aggregates: Mapping[str, Any]) -> dict[str, Any]:
    """What a month's report says. Of agencies and scopes figures that are zero are left out."""
    heading = {name: value for name, value in content["heading"].items() if f"heading.{name}" not in EXCLUDED}
    plain = {
        name: value
        for name, value in content.items()
        if name not in EXCLUDED and not isinstance(value, list | dict) and value is not None
    }
    return {
        **plain,
        "span": content["span"],
        "heading": heading,
        "figures": content["figures"],
        "previous": _filled(content["previous"]),
        "year_before": _filled(content["year_before"]),
        "agencies": {one["code"]: _agency(one) for one in content["agencies"]},
        "scopes": {one["scope"]: _scope(one) for one in aggregates["scopes"] if one["scope"].startswith(SCOPES)},
        **{
            name: [_row(one) for one in content[name]]
            for name in ("overdue", "upcoming", "extensions", "funded", "indicators", "indicators_behind")
        },
        "ranking": [_row(one) for one in content["ranking"]],
        "proposals": [_row(one) for one in content["proposals"]],
    }


def _filled(figures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {name: one for name, one in figures.items() if one not in (0, None)} if figures is not None else None


def _agency(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: one for name, one in row.items() if name not in {"code", "figures"}}
    return _filled({**rest, **row["figures"]}) or {}


def _scope(report: Mapping[str, Any]) -> dict[str, Any]:
    parts = ("totals", "rates", "money", "causes", "extensions", "obstacles")
    figures = {name: report[name] for name in ("scope_name", "days_late", "extended")}
    figures |= {name: filled for name in parts if (filled := _filled(report[name]))}
    return _filled(figures | ({"members": len(report["members"])} if report["members"] else {})) or {}


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a list, its task by id: what a task is called stands in the notice."""
    return {
        name: one["task_id"] if name == "task" else one for name, one in row.items() if one not in (None, "", [], {})
    }


def text(month: Mapping[str, Any]) -> str:
    """A line for every figure of the province, every agency, every row: so that a diff says what changed."""
    return "{\n" + ",\n".join(_lines(month)) + "\n}\n"


def _lines(month: Mapping[str, Any]) -> Iterator[str]:
    for name, value in month.items():
        match value:
            case list() if value:
                rows = ",\n".join(f"    {_json(row)}" for row in value)
                yield f"  {_json(name)}: [\n{rows}\n  ]"
            case dict() if value:
                rows = ",\n".join(f"    {_json(key)}: {_json(one)}" for key, one in value.items())
                yield f"  {_json(name)}: {{\n{rows}\n  }}"
            case _:
                yield f"  {_json(name)}: {_json(value)}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def of_run(build: Path) -> dict[str, str]:
    """Period → the golden file as a run's reports give it."""
    found = {}
    for period in PERIODS:
        content, aggregates = (
            json.loads((build / "reports" / form.path(period)).read_text(encoding="utf-8"))
            for form in (CONTENT, AGGREGATES)
        )
        found[period] = text(golden(content, aggregates))
    return found


def committed() -> dict[str, str]:
    """Period → the golden file."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}


def main() -> int:
    """Write the files anew."""
    FOLDER.mkdir(exist_ok=True)
    for period, content in of_run(BUILD).items():
        (FOLDER / f"{period}.json").write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
