"""What was known of a task by an instant: its snapshot of today without what was recorded later.

Reports look back by what was *received*; a fact that came in after the close amends them (ADR 0024). Judged without
such facts, a period is what it was when it closed.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypeVar

from shared.contracts.registry_facts import IndicatorValue
from shared.contracts.task_facts import Cause, TaskSnapshot


class _Caused(Protocol):
    @property
    def cause(self) -> Cause:
        """What made it."""
        ...


_Fact = TypeVar("_Fact", bound=_Caused)


def known_by(task: TaskSnapshot, instant: datetime) -> TaskSnapshot | None:
    """The task with every fact that reports count, as far as it had been recorded by then; None: nobody knew of it.

    What a snapshot keeps no history of stays as it is: where the work stands (`result`), and whatever a later fact took
    the place of, as a second verdict on the same result.
    """
    if task.assigned.recorded_at > instant:
        return None

    def some(facts: Iterable[_Fact]) -> tuple[_Fact, ...]:
        return tuple(one for one in facts if one.cause.recorded_at <= instant)

    def cause(one: Cause | None) -> Cause | None:
        return one if one is not None and one.recorded_at <= instant else None

    return task.model_copy(
        update={
            "deadlines": some(task.deadlines),
            "results": tuple(
                one
                if cause(one.verdict_cause) is not None
                else one.model_copy(update={"verdict": None, "verdict_note": "", "verdict_cause": None})
                for one in some(task.results)
            ),
            "extensions": tuple(
                one
                if cause(one.outcome_cause) is not None
                else one.model_copy(update={"outcome": None, "outcome_cause": None})
                for one in some(task.extensions)
            ),
            "obstacles": tuple(
                one.model_copy(
                    update={
                        "answered": cause(one.answered),
                        "forwarded": cause(one.forwarded),
                        "forwarded_to": one.forwarded_to if cause(one.forwarded) is not None else None,
                        "cleared": cause(one.cleared),
                    }
                )
                for one in some(task.obstacles)
            ),
            "allocations": some(task.allocations),
            "disbursements": some(task.disbursements),
            "suspensions": tuple(
                one
                if cause(one.resumed) is not None
                else one.model_copy(update={"resumed": None, "resumed_document": None})
                for one in some(task.suspensions)
            ),
            "ended": task.ended if task.ended is not None and cause(task.ended.cause) is not None else None,
        }
    )


def indicator_known_by(value: IndicatorValue, instant: datetime) -> IndicatorValue:
    """An indicator with what had been reported and aimed at by then; its plain fields stay the last word."""
    return value.model_copy(
        update={
            name: tuple(one for one in facts if one.cause.recorded_at <= instant)
            for name, facts in (("reports", value.reports), ("targets", value.targets))
        }
    )
