"""The one thing ingest does: read, judge, stamp, publish, and only then say yes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from services.ingest import metrics, wire
from services.ingest.domain.admission import Admission
from services.ingest.domain.authorisation import SCOPES, Credential, Verdict, authorise
from services.ingest.domain.refusal import Code, Fault, RefusedError
from services.ingest.domain.submission import Submission, repeated
from services.ingest.ports import Clock, Message, NotAcknowledgedError, Publish, TooLargeError, Trace


class Taken(NamedTuple):
    """The name of an event that was taken."""

    source: str
    id: str


class Receipt(NamedTuple):
    """What was taken, and when it was received."""

    received_at: datetime
    events: Sequence[Taken]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may hold."""

    batch_events_max: int
    event_bytes_max: int


class Intake:
    """Takes events of a verified sender."""

    def __init__(self, publish: Publish, clock: Clock, admission: Admission, limits: Limits) -> None:
        self._publish = publish
        self._clock = clock
        self._admission = admission
        self._limits = limits

    def received_at(self) -> datetime:
        """The moment that counts (design §3.2): to be asked once, when the whole body is there."""
        return self._clock.now()

    async def accept(
        self,
        credential: Credential,
        parse: Callable[[], Any],
        *,
        received_at: datetime,
        trace: Trace | None,
        is_batch: bool = False,
    ) -> Receipt:
        """Take one event, or all events of a batch, or none. Raises RefusedError."""
        events = self._enter(parse, is_batch)
        count = len(events)
        try:
            submissions, messages = self._judged(events, credential, received_at, trace, is_batch)
            taken = [Taken(one.source, one.id) for one in submissions]
            types = [one.type for one in submissions]
            # What was read is several times as large as what is sent: not kept while the broker is awaited.
            del events, submissions
            await self._tell(messages)
        finally:
            self._admission.leave(events=count)
        metrics.accepted(types)
        return Receipt(received_at, taken)

    def check(
        self, credential: Credential, parse: Callable[[], Any], *, received_at: datetime, is_batch: bool = False
    ) -> int:
        """How many events would be taken now. Keeps and promises nothing. Raises what `accept` would raise before."""
        events = self._enter(parse, is_batch)
        try:
            return len(self._judged(events, credential, received_at, None, is_batch)[0])
        finally:
            self._admission.leave(events=len(events))

    def _enter(self, parse: Callable[[], Any], is_batch: bool) -> list[Any]:
        """The events of a body, counted as under way: whoever gets them lets them leave."""
        events = self._events(parse, is_batch)
        if not self._admission.enter(events=len(events)):
            raise RefusedError(Code.OVERLOADED, "Too many events are under way. Wait, then send the same again.")
        return events

    def _judged(
        self,
        events: Sequence[Any],
        credential: Credential,
        received_at: datetime,
        trace: Trace | None,
        is_batch: bool,
    ) -> tuple[list[Submission], list[Message]]:
        """Events that their sender may send, and as they would be kept."""
        submissions = self._read(events, is_batch)
        _judge(credential, submissions, is_batch)
        messages = [wire.message(one, credential, received_at=received_at, trace=trace) for one in submissions]
        self._measure(messages, is_batch)
        return submissions, messages

    def _events(self, parse: Callable[[], Any], is_batch: bool) -> list[Any]:
        try:
            content = parse()
        except wire.FaultyError as error:
            raise _refused(error.faults) from error
        if not is_batch:
            return [content]
        if not isinstance(content, list):
            raise _faulty([Fault("", Code.INVALID_EVENT, "a batch is a JSON array of events")], content)
        if len(content) > self._limits.batch_events_max:
            raise RefusedError(
                Code.TOO_MANY_EVENTS,
                f"The batch holds {len(content)} events; {self._limits.batch_events_max} are taken at once. Split it.",
            )
        return content

    def _read(self, events: Sequence[Any], is_batch: bool) -> list[Submission]:
        """All events, or a refusal that names every one that is wrong."""
        submissions: list[Submission] = []
        faults: list[Fault] = []
        for position, event in enumerate(events):
            try:
                submissions.append(wire.read(event))
            except wire.FaultyError as error:
                at = f"/{position}" if is_batch else ""
                faults.extend(Fault(at + one.pointer, one.code, one.detail) for one in error.faults)
        if faults:
            # The list around a single event is ours, not a level of the body.
            raise _faulty(faults, events if is_batch else events[0])
        if is_batch and (twice := repeated(submissions)):
            raise _refused(
                [Fault(f"/{one}", Code.DUPLICATE_IN_BATCH, "its source and id stood before") for one in twice]
            )
        return submissions

    def _measure(self, messages: Sequence[Message], is_batch: bool) -> None:
        limit = self._limits.event_bytes_max
        faults = [
            Fault(f"/{position}" if is_batch else "", Code.EVENT_TOO_LARGE, f"more than {limit} bytes")
            for position, one in enumerate(messages)
            if len(one.value) > limit
        ]
        if faults:
            raise RefusedError(Code.EVENT_TOO_LARGE, f"An event may have {limit} bytes. Divide it.", faults)

    async def _tell(self, messages: Sequence[Message]) -> None:
        began = time.perf_counter()
        try:
            await self._publish(messages)
        except NotAcknowledgedError as error:
            raise RefusedError(
                Code.NOT_ACKNOWLEDGED,
                "The events could not be secured in time. Send the same again: source and id make that safe.",
            ) from error
        except TooLargeError as error:
            raise RefusedError(Code.EVENT_TOO_LARGE, "An event is larger than can be kept. Divide it.") from error
        metrics.ACK_SECONDS.observe(time.perf_counter() - began)


_SAID = {
    Verdict.WRONG_PROVINCE: (Code.WRONG_PROVINCE, "belongs to another province than the credential"),
    Verdict.NOT_YOURS: (Code.NOT_YOURS, "belongs to another agency than the credential"),
}


def _judge(credential: Credential, submissions: Sequence[Submission], is_batch: bool) -> None:
    """Refuse unless the sender may say all of it."""
    faults = []
    for position, one in enumerate(submissions):
        verdict = authorise(credential, one.statement)
        if verdict is Verdict.ALLOWED:
            continue
        at = f"/{position}" if is_batch else ""
        if verdict is Verdict.SCOPE_MISSING:
            scope = SCOPES[one.statement.speaker]
            faults.append(Fault(f"{at}/type", Code.SCOPE_MISSING, f"needs a token with the scope {scope}"))
        else:
            code, detail = _SAID[verdict]
            faults.append(Fault(at + _where(credential, one, verdict), code, detail))
    if faults:
        raise RefusedError(faults[0].code, f"Not yours to send: {faults[0].pointer} {faults[0].detail}.", faults)


def _where(credential: Credential, submission: Submission, verdict: Verdict) -> str:
    statement = submission.statement
    if verdict is Verdict.WRONG_PROVINCE:
        return "/data/task_id" if statement.province in {None, credential.province} else "/province"
    return "/data/task_id" if statement.agency in {None, credential.agency} else "/agency"


def _faulty(faults: Sequence[Fault], content: Any) -> RefusedError:
    """Of what is far too deep nothing else needs to be said."""
    return wire.too_deep() if wire.exceeds_depth(content) else _refused(faults)


def _refused(faults: Sequence[Fault]) -> RefusedError:
    codes = {fault.code for fault in faults}
    code = faults[0].code if len(codes) == 1 else Code.INVALID_EVENT
    first = faults[0]
    more = f", and {len(faults) - 1} more (see errors)" if len(faults) > 1 else ""
    return RefusedError(
        code,
        f"Nothing was taken. {first.pointer or 'The body'}: {first.detail}{more}. Correct it, then send it again.",
        faults,
    )
