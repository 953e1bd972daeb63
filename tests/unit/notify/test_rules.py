"""The message policy is data, and broken data is refused at start: with the line, and with what to write instead."""

from dataclasses import replace
from datetime import date, time
from pathlib import Path

import pytest

from services.notify.domain.alert import AlertKind
from services.notify.domain.policy import NotifyPolicy
from services.notify.domain.routing import Role
from services.notify.domain.rulebook import Rulebook
from services.notify.rules import read_policy, read_rulebook
from shared.workdays.files import VIETNAM

POLICY = Path(__file__).parents[3] / "services" / "notify" / "policies" / "default.yaml"
CALENDAR = 'version: "own"\ndays_off:\n  - {day: 2024-10-18, source: "one"}\ndays_worked: []\n'

# Each on a line of its own: a test replaces some and knows by the number where it did.
LINES = (
    'version: "1"',
    'digest_at: "08:00"',
    'office_hours: ["07:30", "17:00"]',
    "passes: [escalation]",
    "escalation:",
    "  1: {tell: [agency, head]}",
    "  2: {tell: [standing], with: 1}",
    "  3: {tell: [chairman_office], with: 2}",
    "cooperating_hear: [assigned]",
    "messages_per_hour: 20",
    "summary_day: 15",
)


def written(folder: Path, **changed: str) -> Path:
    """A policy file with some lines changed: `_7="…"` changes line 7; an empty one takes it out."""
    lines = [changed.get(f"_{number}", line) for number, line in enumerate(LINES, 1)]
    path = folder / "notify.yaml"
    path.write_text("\n".join(lines))
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ValueError, match=r"notify\.yaml, line") as caught:
        read_policy(path)
    return [line.removeprefix(f"{path}, ") for line in str(caught.value).splitlines()]


def test_the_default_is_what_the_code_takes_where_nothing_is_said() -> None:
    assert read_policy(POLICY) == replace(NotifyPolicy(), version="2026-11")


def test_every_field_of_the_file_counts(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        _2='digest_at: "07:45"',
        _3='office_hours: ["07:00", "16:30"]',
        _4="passes: [escalation, overdue_retracted]",
        _6="  1: {tell: [head]}",
        _9="cooperating_hear: []",
        _10="messages_per_hour: 5",
        _11="summary_day: 10",
    )

    assert read_policy(path) == NotifyPolicy(
        version="1",
        digest_at=time(7, 45),
        office_from=time(7),
        office_to=time(16, 30),
        passes=frozenset({AlertKind.ESCALATION, AlertKind.OVERDUE_RETRACTED}),
        levels={
            1: (Role.HEAD,),
            2: (Role.HEAD, Role.STANDING),
            3: (Role.HEAD, Role.STANDING, Role.CHAIRMAN_OFFICE),
        },
        cooperating_hear=frozenset(),
        messages_per_hour=5,
        summary_day=10,
    )


def test_a_level_hears_everybody_once_and_from_below_however_it_is_written(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        _6="  1: {tell: [head, agency], with: 3}",
        _7="  2: {with: 1}",
        _8="  3: {tell: [chairman_office, agency, agency]}",
    )

    levels = read_policy(path).levels

    assert levels[3] == (Role.AGENCY, Role.CHAIRMAN_OFFICE)
    assert levels[1] == levels[2] == (Role.AGENCY, Role.HEAD, Role.CHAIRMAN_OFFICE)


KINDS = (
    "'assigned', 'due_soon', 'overdue', 'overdue_retracted', 'escalation', 'review_reminder', 'result_returned', "
    "'extension_granted', 'extension_refused', 'obstacle', 'changed', 'contribution', 'succession' or 'ended'"
)
ROLES = "'agency', 'head', 'standing' or 'chairman_office'"
IN_QUOTES = 'is no time of day; write hours and minutes in quotes, such as "08:00"'


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        # -- each field for itself
        ({"_1": "version: 2026"}, 'line 1: version: must be text; put it in quotes: "2026"'),
        ({"_2": 'digest_at: "8 giờ"'}, f'line 2: digest_at: "8 giờ" {IN_QUOTES}'),
        ({"_2": 'digest_at: "25:00"'}, f'line 2: digest_at: "25:00" {IN_QUOTES}'),
        ({"_3": 'office_hours: ["07:30", 17:00]'}, f"line 3: office_hours.1: 1020 {IN_QUOTES}"),
        ({"_3": 'office_hours: ["07:30"]'}, "line 3: office_hours.1: is missing; add it"),
        ({"_4": "passes: [escalated]"}, f'line 4: passes.0: "escalated" is unknown; choose {KINDS}'),
        ({"_4": "passes: escalation"}, 'line 4: passes: must be a list, such as [one, another], not "escalation"'),
        ({"_6": "  1: {tell: [agency, boss]}"}, f'line 6: escalation.1.tell.1: "boss" is unknown; choose {ROLES}'),
        ({"_6": "  1: {tell: [reviewer]}"}, f'line 6: escalation.1.tell.0: "reviewer" is unknown; choose {ROLES}'),
        ({"_7": "  2: {tell: [standing], with: 4}"}, "line 7: escalation.2.with: there is no level 4; levels are 1, 2"),
        ({"_7": "  2: {tell: [standing], with: 0}"}, "line 7: escalation.2.with: there is no level 0; levels are 1, 2"),
        ({"_7": "  2: {tell: [standing], with: }"}, "line 7: escalation.2.with: must be a valid integer, not None"),
        (
            {"_7": "  2: {tell: [standing], and: 1}"},
            "line 7: escalation.2.and: nobody reads this field; correct its name or take it out",
        ),
        (
            {"_8": LINES[7] + "\n  4: {tell: [agency]}"},
            "line 9: escalation.4: there is no level 4; levels are 1, 2 and 3",
        ),
        (
            {"_8": LINES[7] + "\n  0: {tell: [agency]}"},
            "line 9: escalation.0: there is no level 0; levels are 1, 2 and 3",
        ),
        ({"_9": "cooperating_hear: [all]"}, f'line 9: cooperating_hear.0: "all" is unknown; choose {KINDS}'),
        (
            {"_10": "messages_per_hour: 0"},
            "line 10: messages_per_hour: must be greater than or equal to 1, not 0",
        ),
        ({"_10": "messages_per_hour: yes"}, "line 10: messages_per_hour: must be a valid integer, not True"),
        ({"_11": "summary_day: 20"}, "line 11: summary_day: must be less than or equal to 19, not 20"),
        ({"_11": "summary_day: 0"}, "line 11: summary_day: must be greater than or equal to 1, not 0"),
        # -- fields that are not there, that nobody knows, that stand twice
        ({"_10": "#"}, "line 1: messages_per_hour: is missing; add it"),
        (
            {"_11": LINES[10] + "\nquiet: true"},
            "line 12: quiet: nobody reads this field; correct its name or take it out; known are version, digest_at, "
            "office_hours, passes, escalation, cooperating_hear, messages_per_hour, summary_day",
        ),
        ({"_11": LINES[10] + "\n" + LINES[9]}, "line 12: messages_per_hour: stands twice, first on line 10; take one"),
        ({"_8": "  2: {tell: [chairman_office]}"}, "line 8: 2: stands twice, first on line 7; take one out"),
        # -- fields beside each other
        (
            {"_3": 'office_hours: ["17:00", "07:30"]'},
            "line 3: office_hours: the office must close after it opens at 17:00; write the earlier time first",
        ),
        ({"_3": 'office_hours: ["08:00", "08:00"]'}, "line 3: office_hours: the office must close after it opens"),
        (
            {"_2": 'digest_at: "07:29"'},
            "line 2: digest_at: the office is closed then, so digests would never leave on time; choose a time from "
            "07:30 on and before 16:59",
        ),
        ({"_2": 'digest_at: "17:00"'}, "line 2: digest_at: the office is closed then"),
        # It leaves a minute later, when the office has closed.
        ({"_2": 'digest_at: "16:59"'}, "line 2: digest_at: the office is closed then"),
        (
            {"_7": "#"},
            "line 5: escalation: level 2 is missing; add it, such as 2: {tell: [agency, head]}",
        ),
        (
            {"_6": "  1: {tell: [agency], with: 1}"},
            "line 6: escalation.1.with: levels go round in a loop (1 → 1); take one `with` out",
        ),
        (
            {"_7": "  2:\n    tell: [standing]\n    with: 3"},
            "line 9: escalation.2.with: levels go round in a loop (2 → 3 → 2); take one `with` out",
        ),
        (
            {"_6": "  1: {tell: [agency], with: 3}"},
            "line 6: escalation.1.with: levels go round in a loop (1 → 3 → 2 → 1); take one `with` out",
        ),
        # What leads into a loop is no part of it: told once.
        (
            {"_6": "  1: {tell: [agency], with: 2}"},
            "line 6: escalation.1.with: levels go round in a loop (1 → 2 → 1); take one `with` out",
        ),
        (
            {"_6": "  1: {with: 2}", "_7": "  2: {with: 3}"},
            "line 7: escalation.2.with: levels go round in a loop (2 → 3 → 2); take one `with` out",
        ),
        ({"_6": "  1: {tell: []}"}, "line 6: escalation.1: nobody would hear of it; name somebody in `tell`"),
        ({"_6": "  1: {}"}, "line 6: escalation.1: nobody would hear of it; name somebody in `tell`"),
    ],
)
def test_a_broken_policy_is_refused_with_line_and_remedy(tmp_path: Path, changed: dict[str, str], told: str) -> None:
    [problem] = problems(written(tmp_path, **changed))

    assert problem.startswith(told)


def test_an_edge_of_what_is_allowed_is_allowed(tmp_path: Path) -> None:
    path = written(tmp_path, _2='digest_at: "07:30"', _10="messages_per_hour: 1", _11="summary_day: 19")

    assert read_policy(path).summary_day == 19


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    for_themselves = written(tmp_path, _2="digest_at: noon", _7="  2: {tell: [x]}", _10="messages_per_hour: 0")
    assert [line.split(": ")[0] for line in problems(for_themselves)] == ["line 2", "line 7", "line 10"]

    together = written(tmp_path, _2='digest_at: "06:00"', _6="#", _8="  3: {with: 3}")
    assert [line.split(": ")[0] for line in problems(together)] == ["line 2", "line 5", "line 8"]


def test_a_province_may_have_a_calendar_or_a_policy_of_its_own(tmp_path: Path) -> None:
    for province in ("H48", "H49", "H50"):
        (tmp_path / province).mkdir()
    written(tmp_path / "H48", _11="summary_day: 12")
    (tmp_path / "H49" / "calendar.yaml").write_text(CALENDAR)
    (tmp_path / "H50" / "policy.yaml").write_text("only: tasks read this")

    book = read_rulebook(VIETNAM, POLICY, str(tmp_path))

    assert book.of("H48").policy.summary_day == 12
    assert book.of("H48").calendar == book.common.calendar
    assert not book.of("H49").calendar.is_working(date(2024, 10, 18))
    assert book.of("H49").policy == book.common.policy
    assert book.of("H50") == book.common
    assert book.of("H51") is book.common


def test_without_a_folder_all_provinces_have_the_common_rules() -> None:
    book = read_rulebook(VIETNAM, POLICY)

    assert book == Rulebook(book.common)
    assert book.common.policy == read_policy(POLICY)
    assert not book.common.calendar.is_working(date(2025, 1, 29))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("H49/notify.yaml", 'version: "1"\ndigest: 1\n', r"H49/notify\.yaml, line 2: digest: nobody reads this field"),
        ("H49/calendar.yaml", 'version: "1"\ndays_of: []\n', r"H49/calendar\.yaml, line 2: days_of: nobody reads"),
        (
            "H49/notifications.yaml",
            "",
            r"H49/notifications\.yaml: only calendar\.yaml, policy\.yaml, notify\.yaml, reporting\.yaml are",
        ),
        ("h49/notify.yaml", "", "h49: a folder named like a province's code is expected"),
    ],
)
def test_a_broken_file_of_a_province_is_refused_at_start(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(text)

    with pytest.raises(ValueError, match=told):
        read_rulebook(VIETNAM, POLICY, str(tmp_path))
