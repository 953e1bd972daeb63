"""One alert through the stages, each with its reason: inhibit → mute → silence → route; and again when it is due."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.notify.domain import timing
from services.notify.domain.alert import Alert, AlertKind, TaskState
from services.notify.domain.dedup import Heard, Reach, may_have_heard, reach_before
from services.notify.domain.dispatch import Delivery, Lane
from services.notify.domain.inhibit import Reason, why
from services.notify.domain.registry import Registry
from services.notify.domain.routing import Recipient, recipients
from services.notify.domain.rulebook import Rules
from services.notify.domain.silences import Silence, silencing
from shared.workdays.calendar import local_day

LOOKED_AT_AGAIN = timedelta(hours=1)


class Stage(StrEnum):
    """Where a word was said about an alert or one of its deliveries."""

    INHIBIT = "inhibit"
    MUTE = "mute"
    SILENCE = "silence"
    ROUTE = "route"
    GROUP = "group"
    DEDUP = "dedup"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage said."""

    stage: Stage
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an alert."""

    reason: Reason
    recipients: tuple[Recipient, ...]
    not_before: datetime
    """When it may be told at the earliest."""
    in_digest: bool
    silence_id: str
    """The silence that holds it back, or nothing."""
    steps: tuple[Step, ...]


def decide(
    alert: Alert,
    task: TaskState,
    *,
    registry: Registry,
    rules: Rules,
    silences: Sequence[Silence] = (),
    story: Iterable[Heard] = (),
    now: datetime,
) -> Decision:
    """Decide on an alert as it comes in. `story`: who heard what of the overdue that a retraction takes back."""
    reason = why(alert, task, now=now)
    steps = [Step(Stage.INHIBIT, reason.value)]
    in_digest = alert.kind not in timing.IMMEDIATE or (alert.kind is AlertKind.ASSIGNED and alert.continues)
    if reason is not Reason.DUE:
        return Decision(reason, (), now, in_digest, "", tuple(steps))
    mute, not_before = _earliest(alert, in_digest=in_digest, now=now, rules=rules)
    steps.append(Step(Stage.MUTE, mute.value))
    silence = silencing(alert, silences, now=now)
    steps.append(_said(silence) if silence else Step(Stage.SILENCE, "none"))
    if silence is not None:
        not_before = max(not_before, after(silence, alert, in_digest=in_digest, now=now, rules=rules))
    found = recipients(
        alert,
        registry.supervisors(local_day(now)),
        may_have_heard(story, alert.seq),
        levels=rules.policy.levels,
        cooperating_hear=rules.policy.cooperating_hear,
    )
    if not found:
        reason = Reason.NOBODY_WAS_TOLD if alert.kind is AlertKind.OVERDUE_RETRACTED else Reason.NO_RECIPIENT
    steps.append(Step(Stage.ROUTE, ", ".join(f"{one.role}:{one.agency}" for one in found) or reason.value))
    return Decision(reason, found, not_before, in_digest, silence.silence_id if silence else "", tuple(steps))


class Verdict(StrEnum):
    """What becomes of a delivery whose time has come."""

    GO = "go"
    SUPPRESS = "suppress"
    HOLD = "hold"
    """It waits, for an hour that is open, a silence to end, or the overdue that it takes back to be told."""


@dataclass(frozen=True, slots=True)
class Again:
    """The second look at a delivery."""

    verdict: Verdict
    step: Step
    until: datetime | None = None
    reason: Reason = Reason.DUE
    silence_id: str = ""


def again(
    alert: Alert,
    task: TaskState,
    recipient: Recipient,
    *,
    lane: Lane,
    rules: Rules,
    silences: Sequence[Silence] = (),
    story: Iterable[Heard] = (),
    now: datetime,
) -> Again:
    """Look again when a delivery's time has come: much may have happened since it was decided."""
    reason = why(alert, task, now=now)
    if reason is Reason.DUE and alert.kind is AlertKind.OVERDUE_RETRACTED:
        match reach_before(story, recipient, alert.seq):
            case Reach.PENDING:
                return Again(Verdict.HOLD, Step(Stage.INHIBIT, "overdue_not_told_yet"))
            case Reach.NOT_TOLD:
                reason = Reason.NOBODY_WAS_TOLD
    if reason is not Reason.DUE:
        return Again(Verdict.SUPPRESS, Step(Stage.INHIBIT, reason.value), reason=reason)
    if (quiet := silenced(alert, lane=lane, silences=silences, rules=rules, now=now)) is not None:
        return quiet
    if lane is Lane.OWN:
        mute, not_before = timing.immediate(alert.kind, now=now, rules=rules)
        if not_before > now:
            return Again(Verdict.HOLD, Step(Stage.MUTE, mute.value), until=not_before)
    return Again(Verdict.GO, Step(Stage.INHIBIT, reason.value))


def silenced(alert: Alert, *, lane: Lane, silences: Sequence[Silence], rules: Rules, now: datetime) -> Again | None:
    """Whether a silence holds a delivery back. What an officer has sent again is asked for, whatever is silent."""
    silence = silencing(alert, silences, now=now) if lane is not Lane.RESEND else None
    if silence is None:
        return None
    until = after(silence, alert, in_digest=lane is Lane.DIGEST, now=now, rules=rules)
    return Again(Verdict.HOLD, _said(silence), until=until, silence_id=silence.silence_id)


def inhibited(
    deliveries: Iterable[Delivery], known: Mapping[str, TaskState], *, now: datetime
) -> dict[Reason, list[Delivery]]:
    """Deliveries by why they are due, or silent, given the newest states of their tasks."""
    found: dict[Reason, list[Delivery]] = {}
    for one in deliveries:
        found.setdefault(why(one.alert, known[one.alert.task_id], now=now), []).append(one)
    return found


def _said(silence: Silence) -> Step:
    return Step(Stage.SILENCE, f"silenced: {silence.silence_id}")


def after(silence: Silence, alert: Alert, *, in_digest: bool, now: datetime, rules: Rules) -> datetime:
    """When something that a silence holds back is looked at again: soon, since it may be ended early, by anybody."""
    again_at = min(silence.ends_at, now + LOOKED_AT_AGAIN)
    _, not_before = _earliest(alert, in_digest=in_digest, now=now if in_digest else again_at, rules=rules)
    return not_before


def _earliest(alert: Alert, *, in_digest: bool, now: datetime, rules: Rules) -> tuple[timing.Mute, datetime]:
    if in_digest:
        return timing.Mute.DIGEST, timing.next_digest(now, rules)
    return timing.immediate(alert.kind, now=now, rules=rules)
