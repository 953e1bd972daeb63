"""What stands in a digest: the truth of an agency's tasks, what is new in it, and what is gone from it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.domain.alert import Alert, AlertKind, Standing, TaskState
from services.notify.domain.digest import (
    LINES_MAX,
    TOPIC_OF,
    Digest,
    Gone,
    Line,
    Section,
    Topic,
    Unreachable,
    digest,
    gone_why,
    section,
)
from services.notify.domain.inhibit import Reason, why
from tests.support.builders import at
from tests.unit.notify.builders import OPEN, OVERDUE, REMINDED, an_alert

K = AlertKind
DAY = date(2024, 10, 21)
NOW = at("2024-10-21 08:01")


def task_id(number: int) -> str:
    return f"H48/TB-1/II.{number}/H48.21"


def a_task(number: int, like: TaskState = OVERDUE, **changes: Any) -> TaskState:
    return replace(like, **{"task_id": task_id(number), "clause": f"II.{number}", **changes})


def about(number: int, kind: AlertKind, **changes: Any) -> Alert:
    return an_alert(kind, **{"task_id": task_id(number), "clause": f"II.{number}", "seq": 5, **changes})


def put_together(
    standing: Iterable[TaskState] = (),
    alerts: Iterable[Alert] = (),
    before: Mapping[str, str] | None = None,
    states: Iterable[TaskState] = (),
) -> Digest:
    known = {one.task_id: one for one in states}
    return digest(day=DAY, standing=standing, alerts=alerts, before=before or {}, states=known)


def lines(content: Digest, topic: Topic) -> list[Line]:
    found = [one for one in content.sections if one.topic is topic]
    return [line for one in found for _, some in one.directives for line in some]


def clauses(content: Digest, topic: Topic) -> list[str]:
    return [line.clause for line in lines(content, topic)]


# -- sections ------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_section_and_every_section_a_kind() -> None:
    """INVARIANT: there is no alert that a digest cannot show: any kind may be folded into one."""
    assert set(TOPIC_OF) == set(K)
    assert set(TOPIC_OF.values()) == set(Topic)


@pytest.mark.parametrize("kind", list(K))
def test_an_alert_of_any_kind_is_a_line_of_its_section(kind: AlertKind) -> None:
    content = put_together(alerts=[about(1, kind, level=2)])

    [line] = lines(content, TOPIC_OF[kind])
    assert (line.clause, line.is_new, line.level, len(content.sections)) == ("II.1", True, 2, 1)


def test_sections_come_in_the_order_of_urgency() -> None:
    content = put_together([a_task(1, REMINDED), a_task(2)], [about(3, kind) for kind in sorted(K, reverse=True)])

    topics = [one.topic for one in content.sections]
    assert topics == list(Topic)
    assert topics[:4] == [Topic.OVERDUE, Topic.DUE_SOON, Topic.ESCALATION, Topic.RETRACTED]


def test_what_stands_is_told_from_the_task_itself_and_once() -> None:
    """A reminder of what is overdue by now says less, and an overdue is not told twice."""
    standing = [a_task(1, escalation=2), a_task(2, REMINDED)]
    alerts = [about(1, K.OVERDUE), about(1, K.DUE_SOON), about(2, K.DUE_SOON), about(2, K.OVERDUE)]

    content = put_together(standing, alerts)

    assert [(one.topic, one.count) for one in content.sections] == [(Topic.OVERDUE, 1), (Topic.DUE_SOON, 1)]
    assert [line.level for line in lines(content, Topic.OVERDUE)] == [2]


def test_what_is_overdue_may_be_told_of_in_other_sections_too() -> None:
    content = put_together([a_task(1)], [about(1, K.ESCALATION, level=1), about(1, K.RESULT_RETURNED)])

    assert [one.topic for one in content.sections] == [Topic.OVERDUE, Topic.ESCALATION, Topic.RETURNED]


def test_a_task_with_several_alerts_of_a_section_is_listed_once_with_the_newest() -> None:
    alerts = [about(1, K.CHANGED, seq=seq, title=f"tên {seq}") for seq in (4, 6, 5)]
    alerts += [about(1, kind, seq=seq) for seq, kind in ((7, K.EXTENSION_GRANTED), (8, K.EXTENSION_REFUSED))]

    content = put_together(alerts=alerts)

    assert [line.title for line in lines(content, Topic.CHANGED)] == ["tên 6"]
    assert len(lines(content, Topic.EXTENSION)) == 1


def test_a_level_is_the_one_of_the_newest_escalation() -> None:
    alerts = [about(1, K.ESCALATION, seq=seq, level=level) for seq, level in ((5, 1), (7, 3), (6, 2))]

    assert [line.level for line in lines(put_together(alerts=alerts), Topic.ESCALATION)] == [3]


def test_the_longest_due_comes_first_and_what_has_no_day_last() -> None:
    days = [None, date(2024, 10, 19), date(2024, 9, 1)]

    content = put_together(a_task(number, last_day=day) for number, day in enumerate(days))

    assert [line.last_day for line in lines(content, Topic.OVERDUE)] == [date(2024, 9, 1), date(2024, 10, 19), None]


def test_tasks_stand_by_directive_the_most_urgent_directive_first() -> None:
    tasks = [
        a_task(1, directive="TB-1", last_day=date(2024, 10, 3)),
        a_task(2, directive="TB-2", last_day=date(2024, 10, 1)),
        a_task(3, directive="TB-1", last_day=date(2024, 10, 2)),
        a_task(4, directive="TB-2", last_day=date(2024, 10, 4)),
    ]

    [found] = put_together(tasks).sections

    assert [(name, [line.clause for line in some]) for name, some in found.directives] == [
        ("TB-2", ["II.2", "II.4"]),
        ("TB-1", ["II.3", "II.1"]),
    ]


def test_of_very_many_tasks_the_most_urgent_are_listed_and_the_others_counted() -> None:
    tasks = [a_task(number, last_day=DAY - timedelta(days=number)) for number in range(LINES_MAX + 20)]

    content = put_together(tasks)

    [found] = content.sections
    shown = {line.task_id for line in lines(content, Topic.OVERDUE)}
    assert (found.count, found.unlisted, len(shown)) == (LINES_MAX + 20, 20, LINES_MAX)
    assert shown == {task_id(number) for number in range(20, LINES_MAX + 20)}
    # The next one compares itself with all of them: what moves up into the list is no news.
    assert len(content.listed) == LINES_MAX + 20


def test_lateness_is_counted_in_calendar_days_after_the_last_day() -> None:
    [line] = lines(put_together([a_task(1, last_day=date(2024, 10, 19))]), Topic.OVERDUE)
    days = [date(2024, 10, day) for day in (18, 19, 20, 29)]

    assert [line.days_late(day) for day in days] == [0, 0, 1, 10]
    assert replace(line, last_day=None).days_late(DAY) == 0


# -- compared with the last one ------------------------------------------------------------------------------------


def test_what_was_not_there_as_such_is_new() -> None:
    standing = [a_task(1), a_task(2), a_task(3), a_task(4, REMINDED)]
    before = {task_id(1): "overdue", task_id(2): "due_soon", task_id(4): "due_soon"}

    content = put_together(standing, before=before)

    assert {line.clause: line.is_new for line in lines(content, Topic.OVERDUE)} == {
        "II.1": False,
        "II.2": True,
        "II.3": True,
    }
    assert [line.is_new for line in lines(content, Topic.DUE_SOON)] == [False]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (replace(OVERDUE, result="submitted"), Gone.SUBMITTED),
        (replace(OVERDUE, result="completed"), Gone.COMPLETED),
        (replace(OVERDUE, result="suspended"), Gone.SUSPENDED),
        (replace(OVERDUE, result="discontinued"), Gone.ENDED),
        (replace(OVERDUE, result="transferred"), Gone.ENDED),
        (OPEN, Gone.DEADLINE_MOVED),
        (replace(REMINDED, deadline_version=2), Gone.DEADLINE_MOVED),
    ],
)
def test_what_stood_there_and_does_no_more_is_named_with_the_reason(task: TaskState, why: Gone) -> None:
    content = put_together(before={task_id(1): "overdue"}, states=[a_task(1, task)])

    assert [(one.task_id, one.clause, one.why) for one in content.gone] == [(task_id(1), "II.1", why)]
    assert gone_why(task) is why


def test_what_has_become_overdue_is_not_gone_from_what_is_nearly_due() -> None:
    content = put_together([a_task(1)], before={task_id(1): "due_soon"}, states=[a_task(1)])

    assert content.gone == ()


def test_what_an_agency_is_told_of_others_tasks_is_not_said_to_be_gone_the_next_day() -> None:
    """Of an agency without one successor: the standing agency hears of its overdue, and has none of its tasks."""
    overdue = a_task(1, agency="H48.30")
    first = put_together(alerts=[about(1, K.OVERDUE, agency="H48.30")], states=[overdue])
    assert clauses(first, Topic.OVERDUE) == ["II.1"]

    assert put_together(before=first.listed, states=[overdue]).gone == ()


def test_what_nothing_is_known_of_any_more_is_not_said_to_be_gone() -> None:
    assert put_together(before={task_id(1): "overdue"}).gone == ()


def test_what_stands_is_what_the_next_digest_compares_itself_with() -> None:
    content = put_together([a_task(1), a_task(2, REMINDED)], [about(3, K.ASSIGNED), about(4, K.ESCALATION)])

    assert content.listed == {task_id(1): "overdue", task_id(2): "due_soon"}
    assert content.overdue == {task_id(1)}


def test_what_is_silenced_neither_stands_nor_goes() -> None:
    """An officer asked for quiet about it: the digest says nothing of it, and nothing when it is over."""
    tasks = [a_task(1), a_task(2), a_task(3, REMINDED)]
    before = {task_id(2): "overdue", task_id(4): "overdue", task_id(5): "overdue"}
    settled = [a_task(4, result="submitted"), a_task(5, result="submitted")]
    quiet = {task_id(2), task_id(4)}

    content = digest(
        day=DAY,
        standing=tasks,
        alerts=(),
        before=before,
        states={one.task_id: one for one in settled},
        is_silenced=lambda task: task.task_id in quiet,
    )

    assert content.listed == {task_id(1): "overdue", task_id(3): "due_soon"}
    assert clauses(content, Topic.OVERDUE) == ["II.1"]
    assert [one.task_id for one in content.gone] == [task_id(5)]


def test_what_a_digest_is_told_beside_its_tasks_stands_in_it() -> None:
    row = Unreachable("H48.22", "agency", "email", "no_contact", 3)
    content = digest(day=DAY, standing=(), alerts=(), before={}, states={}, folded=4, unreachable=[row])

    assert (content.day, content.folded, content.unreachable, content.sections) == (DAY, 4, (row,), ())


# -- over anything -------------------------------------------------------------------------------------------------

_states = st.builds(
    lambda result, version, reminded, overdue, escalation: replace(
        OPEN,
        result=result,
        deadline_version=version,
        reminded_on=min(reminded, version),
        overdue_since=min(overdue, version),
        escalation=escalation,
    ),
    st.sampled_from(["assigned", "in_progress", "submitted", "completed", "suspended", "discontinued", "transferred"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 3),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[TaskState], list[Alert], dict[str, str]]:
    """Tasks as they are, alerts about some, and what the last digest listed."""
    count = draw(st.integers(1, 12))
    tasks = [
        a_task(number, draw(_states), last_day=draw(st.none() | st.dates(date(2024, 9, 1), date(2024, 12, 1))))
        for number in range(count)
    ]
    tasks = [replace(one, directive=draw(st.sampled_from(["TB-1", "TB-2"]))) for one in tasks]
    some = st.tuples(st.integers(0, count - 1), st.sampled_from(list(K)), st.integers(1, 9), st.integers(0, 3))
    alerts = [
        about(number, kind, seq=seq, deadline_version=version, received_at=NOW)
        for number, kind, seq, version in draw(st.lists(some, max_size=12))
    ]
    before = draw(
        st.dictionaries(st.integers(0, 12).map(task_id), st.sampled_from(["overdue", "due_soon"]), max_size=12)
    )
    return tasks, [one for one in alerts if _may_be(one, tasks)], before


def _may_be(alert: Alert, tasks: Sequence[TaskState]) -> bool:
    """Only what is due gets into a digest, and a reminder is known of whoever is reminded."""
    task = next(one for one in tasks if one.task_id == alert.task_id)
    if alert.kind is K.DUE_SOON and task.standing is None:
        return False
    return why(alert, task, now=NOW) is Reason.DUE


@given(situations())
def test_a_digest_tells_the_truth_about_every_task(
    situation: tuple[Sequence[TaskState], Sequence[Alert], Mapping[str, str]],
) -> None:
    """INVARIANT: each task that stands is listed once, as what it is; and nothing that is shown is said to be gone."""
    tasks, alerts, before = situation
    standing = [one for one in tasks if one.standing is not None]

    content = put_together(standing, alerts, before, tasks)

    listed = {topic: Counter(one.task_id for one in lines(content, topic)) for topic in Topic}
    assert all(count == 1 for topic in Topic for count in listed[topic].values())
    for task in standing:
        is_overdue = task.standing is Standing.OVERDUE
        assert (task.task_id in listed[Topic.OVERDUE]) is is_overdue
        assert (task.task_id in listed[Topic.DUE_SOON]) is not is_overdue
    shown = set(listed[Topic.OVERDUE]) | set(listed[Topic.DUE_SOON])
    gone = [one.task_id for one in content.gone]
    assert not set(gone) & shown
    # Whatever stood in the last one either still does, or is named as gone.
    assert sorted(gone) == sorted({one.task_id for one in tasks} & set(before) - shown)
    assert set(content.listed) == shown
    # Whatever was to be said of an alert is there, or the task itself says more.
    for alert in alerts:
        topic = TOPIC_OF[alert.kind]
        assert alert.task_id in (shown if topic in {Topic.OVERDUE, Topic.DUE_SOON} else listed[topic])


@given(situations())
def test_the_same_situation_gives_the_same_digest_in_whatever_order_it_is_told(
    situation: tuple[list[TaskState], list[Alert], dict[str, str]],
) -> None:
    """A repeat after a crash is the same message."""
    tasks, alerts, before = situation
    standing = [one for one in tasks if one.standing is not None]
    # Two facts of a task never have one number.
    alerts = list({(one.task_id, one.seq): one for one in alerts}.values())

    assert put_together(standing, alerts, before, tasks) == put_together(
        reversed(standing), reversed(alerts), dict(reversed(before.items())), reversed(tasks)
    )


_some_lines = st.lists(
    st.builds(
        Line,
        st.integers(0, 10_000).map(task_id),
        st.sampled_from(["TB-1", "TB-2", "TB-3"]),
        st.just("II.1"),
        st.just(""),
        st.just("H48.21"),
        st.none() | st.dates(date(2024, 1, 1), date(2024, 12, 1)),
        st.booleans(),
    ),
    max_size=3 * LINES_MAX,
)


@given(_some_lines)
def test_what_is_listed_and_what_is_not_add_up(some: list[Line]) -> None:
    found: Section = section(Topic.OVERDUE, some)
    listed = [line for _, directive in found.directives for line in directive]

    assert found.count == len(listed) + found.unlisted == len(some)
    assert len(listed) == min(len(some), LINES_MAX)
    assert len({name for name, _ in found.directives}) == len(found.directives)
    assert all(line.directive == name for name, directive in found.directives for line in directive)
    if found.unlisted:
        last = max(line.last_day or date.max for line in listed)
        left = Counter(some) - Counter(listed)
        assert all((line.last_day or date.max) >= last for line in left)
