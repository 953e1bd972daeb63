"""Who takes a task over: by decision on one task, or because agencies were reorganised.

The deadline stays and the history stays under the old name (NQ 190/2025/QH15: the receiving agency takes the
functions over without interruption). Where the successor is not plain, a human chooses, and the choice is logged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from services.tasks.domain.decision import Decision, FactKind, Reason, changed
from services.tasks.domain.task import STANDING, Cause, Document, End, Succession, Task, share_id


@dataclass(frozen=True, slots=True)
class Edge:
    """What became of an agency, and from when on."""

    agency: str
    successors: tuple[str, ...]
    effective_at: datetime
    document: Document
    cause: Cause

    @property
    def moves_from(self) -> datetime:
        """When tasks begin to move: on the day it takes effect, or when it was told, if that was later."""
        return max(self.effective_at, self.cause.received_at)


def parties(task: Task) -> tuple[str, ...]:
    """Agencies whose end would concern an open task: its own, while nobody has been asked yet, and its reviewer."""
    if not task.is_open:
        return ()
    return (task.reviewer,) if task.succession is not None else tuple(dict.fromkeys((task.agency, task.reviewer)))


class Move(NamedTuple):
    """What a reorganisation does to one task, and the successor's task where one is to be made."""

    decision: Decision
    successor: Task | None


def successor_id(task: Task, agency: str) -> str:
    """The id of the same share at another agency."""
    return share_id(task.obligation_id, agency, task.period)


def succeed(task: Task, agency: str, cause: Cause, *, with_work: bool) -> Task:
    """The successor's task: same obligation, same deadlines with their history, same money, and what stands stands.

    `with_work`: what the old agency had reported comes along, since the same people go on with it.
    """
    successor = Task(
        task_id=successor_id(task, agency),
        province=task.province,
        directive=task.directive,
        clause=task.clause,
        agency=agency,
        period=task.period,
        title=task.title,
        phrase=task.phrase,
        category=task.category,
        bases=task.bases,
        cooperating=tuple(code for code in task.cooperating if code != agency),
        reviewer=task.reviewer,
        acceptance=task.acceptance,
        assigned=cause,
        predecessor=task.task_id,
        deadlines=task.deadlines,
        milestones=tuple(one for one in task.milestones if one.kind in STANDING and one.retracted is None),
        allocations=task.allocations,
        disbursements=task.disbursements,
        dependencies=task.dependencies,
        suspensions=task.suspensions,
    )
    if not with_work:
        return successor
    return successor.changed(
        progress=task.progress,
        results=task.results,
        extensions=task.extensions,
        obstacles=task.obstacles,
        contributions=task.contributions,
    )


def move(task: Task, edge: Edge, existing: Task | None, *, recorded_at: datetime) -> Move | None:
    """Move an open task of an agency that is no more. `existing`: the successor's task for the same share, if any.

    None: nothing is to be done any more.
    """
    if not task.is_open or task.succession is not None:
        return None
    cause = _cause(task, edge, recorded_at)
    if len(edge.successors) != 1:
        return Move(_ask(task, edge, "several_successors" if edge.successors else "no_successor", cause), None)
    [agency] = edge.successors
    # In a task that is over, nobody would go on with what is still owed here.
    if existing is not None and (_at_stake(task) or not existing.is_open):
        return Move(_ask(task, edge, "successor_has_its_own", cause), None)
    end = End("transferred", "", edge.document, successor_id(task, agency), cause)
    decision = changed(
        task,
        FactKind.TRANSFERRED,
        Reason.AGENCY_REORGANISED,
        cause,
        previous=task.agency,
        new=successor_id(task, agency),
        ended=end,
    )
    return Move(decision, succeed(task, agency, cause, with_work=True) if existing is None else None)


def review_by(task: Task, edge: Edge, fallback: str | None, *, recorded_at: datetime) -> Decision | None:
    """Who judges an open task's results when its reviewer is no more: the one successor, else the standing agency."""
    reviewer = edge.successors[0] if len(edge.successors) == 1 else fallback
    if not task.is_open or task.reviewer != edge.agency or reviewer in {None, edge.agency}:
        return None
    return changed(
        task,
        FactKind.CORRECTED,
        Reason.REVIEWER_REORGANISED,
        _cause(task, edge, recorded_at),
        previous=task.reviewer,
        new=str(reviewer),
        reviewer=reviewer,
    )


def plain_successor(agency: str, edges: Mapping[str, Edge], at: datetime) -> str | None:
    """Who an agency's name in a document means at an instant; None where that is not plain."""
    seen: set[str] = set()
    while (edge := edges.get(agency)) is not None and edge.effective_at <= at:
        if len(edge.successors) != 1 or agency in seen:
            return None
        seen.add(agency)
        [agency] = edge.successors
    return agency


def with_successors(agencies: Iterable[str], edges: Mapping[str, Edge]) -> frozenset[str]:
    """Agencies and all that they became, at one remove or several."""
    found: set[str] = set()
    left = list(agencies)
    while left:
        code = left.pop()
        if code not in found:
            found.add(code)
            left.extend(edges[code].successors if code in edges else ())
    return frozenset(found)


def in_effect(edges: Mapping[str, Edge], at: datetime) -> dict[str, Edge]:
    """What had become of agencies by an instant."""
    return {code: edge for code, edge in edges.items() if edge.effective_at <= at}


def with_predecessors(agency: str, edges: Mapping[str, Edge]) -> frozenset[str]:
    """An agency and all that became it, at one remove or several."""
    found = {agency}
    while more := {code for code, edge in edges.items() if not found.isdisjoint(edge.successors)} - found:
        found |= more
    return frozenset(found)


def moves_at(task: Task, edge: Edge) -> datetime:
    """The day the reorganisation takes effect on; when it was told late, or the task came later, from then on."""
    return max(edge.moves_from, task.assigned.received_at)


def _cause(task: Task, edge: Edge, recorded_at: datetime) -> Cause:
    return Cause(edge.cause.event_id, edge.cause.actor, moves_at(task, edge), recorded_at)


def _at_stake(task: Task) -> bool:
    """Whether a result waits or money is counted here, which must not vanish in another task."""
    return task.unjudged_result is not None or bool(task.allocations or task.disbursements)


def _ask(
    task: Task,
    edge: Edge,
    why: Literal["several_successors", "no_successor", "successor_has_its_own"],
    cause: Cause,
) -> Decision:
    succession = Succession(edge.successors, edge.document, why, cause)
    return changed(
        task,
        FactKind.SUCCESSION_DUE,
        Reason.AGENCY_REORGANISED,
        cause,
        previous=task.agency,
        new=",".join(edge.successors),
        succession=succession,
    )
