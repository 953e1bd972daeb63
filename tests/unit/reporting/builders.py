"""Task facts for tests: say only what the test cares about. Times are local; days are written `2024-10-19`."""

from datetime import date, datetime, timedelta
from typing import Final

from services.reporting.domain.facts import Deadline, End, Result, TaskFacts
from services.reporting.domain.periods import Kind, Mark, Regime, Rule
from shared.workdays.calendar import ICT, start_of

DECREE_09: Final = Regime(
    id="nd-09-2019",
    name="Chế độ báo cáo định kỳ",
    citation="Nghị định 09/2019/NĐ-CP, Điều 12",
    rules={
        # The decree knows no week: ISO 8601, from Monday to Sunday.
        Kind.WEEKLY: Rule(Mark(0, 1), Mark(0, 7), Mark(0, 8)),
        Kind.MONTHLY: Rule(Mark(-1, 15), Mark(0, 14), Mark(0, 19)),
        Kind.QUARTERLY: Rule(Mark(-1, 15), Mark(2, 14), Mark(2, 19)),
        Kind.HALF_YEARLY: Rule(Mark(-1, 15), Mark(5, 14), Mark(5, 19)),
        Kind.YEARLY: Rule(Mark(-1, 15), Mark(11, 14), Mark(11, 19)),
    },
)
"""Written once more than in policies/default.yaml, which test_rules.py holds against it."""


def at(text: str) -> datetime:
    """A local instant, `2024-11-15 09:00` or, at 08:00, `2024-11-15`."""
    instant = datetime.fromisoformat(text)
    if len(text) == 10:
        instant += timedelta(hours=8)
    return instant.replace(tzinfo=ICT)


def a_deadline(last_day: str, *, version: int = 1, received: str = "2024-10-11", granted: bool = False) -> Deadline:
    """A deadline that ends with its legal day; the operational day is the last working day up to it."""
    legal = date.fromisoformat(last_day)
    operational = legal - timedelta(days=max(0, legal.weekday() - 4))
    return Deadline(version, legal, operational, start_of(legal + timedelta(days=1)), granted, at(received))


def a_result(received: str, verdict: str | None = None, judged: str | None = None) -> Result:
    """A result; judged when it was received unless said otherwise."""
    if verdict is None:
        return Result(at(received), None, None)
    assert verdict in {"accepted", "returned"}
    return Result(at(received), verdict, at(judged or received))  # type: ignore[arg-type]


def an_end(how: str, received: str) -> End:
    """An end without result."""
    return End(how, at(received))  # type: ignore[arg-type]


def a_task(
    *deadlines: Deadline,
    results: tuple[Result, ...] = (),
    ended: End | None = None,
    assigned: str = "2024-10-11",
    agency: str = "H48.07",
    clause: str = "II.2.g",
    seq: int = 1,
    **more: object,
) -> TaskFacts:
    """A task of Sở TT&TT, assigned on the day of the meeting."""
    return TaskFacts(
        task_id=f"H48/TB-UBND-2024/{clause}/{agency}",
        seq=seq,
        agency=agency,
        assigned_at=at(assigned),
        deadlines=deadlines,
        results=results,
        ended=ended,
        **more,  # type: ignore[arg-type]
    )
