"""Whoever writes a file by hand is told where it is wrong and what to write instead, all at once."""

from datetime import time
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from shared.yaml_files import TimeOfDay, YamlFile, read_yaml


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    number: int = Field(default=1, alias="nr")


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rows: tuple[_Row, ...] = ()
    by_number: dict[int, _Row] = Field(default_factory=dict)
    opens: TimeOfDay = time(8)


KNOWN = "known are rows, by_number, opens"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.yaml"


def problems(path: Path) -> list[str]:
    with pytest.raises(ValueError, match="line") as caught:
        read_yaml(path, _Content)
    return [line.removeprefix(f"{path}, ") for line in str(caught.value).splitlines()]


def test_a_good_file_is_read_whoever_saved_it(path: Path) -> None:
    # A byte order mark and CRLF: Notepad.
    path.write_bytes('\ufeffopens: "07:30"\r\nrows: [{name: một, nr: 2}]\r\n'.encode())

    content = read_yaml(path, _Content)

    assert content.rows == (_Row(name="một", nr=2),)
    assert content.opens == time(7, 30)


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_lines(path: Path) -> None:
    path.write_text("""\
# a comment counts as a line
rows:
  - name: one
  - nr: 2
  - {name: 3}
  - name: four
    extra: 1
by_number:
  x: {name: one}
  2: three
rosw: []
""")

    assert problems(path) == [
        "line 4: rows.1.name: is missing; add it",
        'line 5: rows.2.name: must be text; put it in quotes: "3"',
        "line 7: rows.3.extra: nobody reads this field; correct its name or take it out",
        'line 9: by_number.x: must be a valid integer, unable to parse string as an integer, not "x"',
        "line 10: by_number.2: must be fields with values, such as `name: value`",
        f"line 11: rosw: nobody reads this field; correct its name or take it out; {KNOWN}",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: the file is empty"),
        ("# nothing\n", "line 1: the file is empty"),
        ("- one\n", "line 1: must be fields with values, such as `name: value`"),
        ("rows: []\nrows: []\n", "line 2: rows: stands twice, first on line 1; take one out"),
        ("by_number:\n  1: {name: a}\n  '1': {name: b}\n", "line 3: 1: stands twice, first on line 2; take one out"),
        ("by_number:\n  1: {name: a}\n  0x1: {name: b}\n", "line 3: 1: stands twice, first on line 2; take one out"),
        (
            "rows: []\nopens: 2024-02-30\n",
            'line 2: cannot be read as YAML: "2024-02-30": day is out of range for month',
        ),
        ("rows: []\nno: 1\n", "line 2: no: YAML reads this name as yes or no; put it in quotes"),
        ("rows: []\n7: 1\n", "line 2: 7: names must be text, not 7; put them in quotes"),
        ("rows: []\nopens: *x\n", "line 2: cannot be read as YAML: found undefined alias 'x'"),
        ("rows: []\nopens: '08:00\n", "line 3: cannot be read as YAML: found unexpected end of stream"),
        ("rows: []\n---\nrows: []\n", "line 2: cannot be read as YAML: but found another document"),
        ("rows: []\n[1]: 2\n", "line 2: cannot be read as YAML: found unhashable key"),
        ("rows: []\nopens: \x01\n", "line 2: has a character that no text has; take it out"),
        ("rows: []\nopens: !!python/none x\n", "line 2: cannot be read as YAML: could not determine a constructor"),
    ],
)
def test_what_is_no_such_file_is_refused_with_its_line(path: Path, text: str, told: str) -> None:
    path.write_text(text)

    [problem] = problems(path)

    assert problem.startswith(told)


def test_a_file_in_another_encoding_is_refused_with_its_line(path: Path) -> None:
    path.write_bytes(b"rows: []\n# t\xean\n")

    assert problems(path) == ["line 2: is not written in UTF-8; save it as UTF-8"]


@pytest.mark.parametrize(
    "written", ["17:00", "08:00:00Z", '"8:00"', '"24:00"', '"07:60"', "0", "sáng", '"08:00+07:00"']
)
def test_what_is_no_time_of_day_is_refused(path: Path, written: str) -> None:
    """Unquoted, 17:00 is a number in YAML: taken for seconds, the office would open at 00:17."""
    path.write_text(f"rows: []\nopens: {written}\n")

    [problem] = problems(path)

    assert problem.startswith("line 2: opens: ")
    assert problem.endswith('is no time of day; write hours and minutes in quotes, such as "08:00"')


def test_what_is_missing_is_told_where_it_is_missing(path: Path) -> None:
    path.write_text("rows: []\nby_number:\n  1: {name: one}\n  2:\n    name: two\n")
    file = YamlFile.read(path)

    assert file.line_of(()) == 1
    assert file.line_of(("by_number", 2)) == 4
    assert file.line_of(("by_number", 2, "name")) == 5
    assert file.line_of(("by_number", 2, "nr")) == 4
    assert file.line_of(("by_number", 3)) == 2


def test_what_a_model_cannot_say_is_refused_in_the_same_words(path: Path) -> None:
    path.write_text("rows: []\nopens: '08:00'\n")
    file = YamlFile.read(path)

    file.refuse([])
    with pytest.raises(ValueError, match=r"some\.yaml, line 1: rows: too few\n.*some\.yaml, line 2: opens: too late"):
        file.refuse([(("opens",), "too late"), (("rows",), "too few")])


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"some\.yaml"):
        read_yaml(path, _Content)
