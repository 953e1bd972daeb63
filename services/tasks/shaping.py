"""What shapes the province: the registry, directives, targets, indicators. Series of idempotent one-document steps.

Each step can be repeated; the ledger entry is closed last, so a redelivery repeats what is missing.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from services.tasks import wire
from services.tasks.domain.commands import Cancel
from services.tasks.domain.deadlines import RecurringRule
from services.tasks.domain.decide import Rules
from services.tasks.domain.directive import (
    Agency,
    DirectiveProblem,
    Obligation,
    Problem,
    members,
    standing_agency,
    tasks_of,
)
from services.tasks.domain.recurrence import next_opening
from services.tasks.domain.task import Cause, Task
from services.tasks.folding import Submission, as_step
from services.tasks.handlers import TaskHandlers
from services.tasks.ports import (
    Entry,
    EntryWrite,
    ObligationState,
    Outcome,
    Registry,
    TaskStore,
    Untold,
    Verdict,
)
from services.tasks.telling import Teller
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.runtime.clock import Clock
from shared.runtime.errors import TransientError

log = structlog.get_logger()

RACES_MAX = 30


class Shaping:
    """Applies events that are not about one task."""

    def __init__(
        self,
        store: TaskStore,
        teller: Teller,
        partition_of: Callable[[str], Awaitable[int]],
        clock: Clock,
        rules: Rules,
    ) -> None:
        self._store = store
        self._teller = teller
        self._partition_of = partition_of
        self._clock = clock
        self._rules = rules
        self.tasks: TaskHandlers | None = None

    async def on_submission(self, submission: Submission) -> None:
        """Apply one event of the province."""
        cause = wire.cause_of(submission.event, recorded_at=self._clock.now())
        match submission.event.data:
            case ordered.AgencyRegistered() as data:
                await self._register(submission, data, cause)
            case ordered.DirectiveIssued() as data:
                await self._issue(submission, data, cause)
            case ordered.DirectiveRevoked() as data:
                await self._revoke(submission, data)
            case ordered.IndicatorTargetSet() as data:
                await self._set_target(submission, data, cause)
            case said.IndicatorReported() as data:
                await self._report_indicator(submission, data, cause)
            case ordered.AgencyReorganised():
                await self._reject(
                    submission,
                    "reorganisation_not_supported",
                    "Reorganisations are not applied by this version; reassign the open tasks one by one.",
                    cause,
                )
            case _:
                raise AssertionError(f"{submission.event.kind.name} shapes nothing")

    async def _close(self, submission: Submission, reason: str, detail: str = "") -> None:
        await self._teller.close([Verdict(submission.entry.key, Outcome.APPLIED, reason, detail)])

    async def _reject(self, submission: Submission, reason: str, detail: str, cause: Cause) -> None:
        await self._teller.reject(submission.event, reason=reason, detail=detail, at=cause)
        log.info("submission.rejected", event_id=submission.entry.key, reason=reason)

    # -- registry --------------------------------------------------------------------------------------------------

    async def agencies(self, province: str) -> dict[str, Agency]:
        """The province's registry as expansion needs it."""
        entries = await self._store.entries_with(Registry.AGENCIES, {"province": province})
        return {
            entry.data["code"]: Agency(entry.data["code"], entry.data["role"], tuple(entry.data["groups"]))
            for entry in entries.values()
        }

    async def _register(self, submission: Submission, data: ordered.AgencyRegistered, cause: Cause) -> None:
        province = submission.entry.province
        await self._put(
            Registry.AGENCIES,
            f"{province}/{data.code}",
            submission,
            cause,
            lambda known: wire.agency_record(data, province, known.data if known else None, cause),
        )

    async def _put(
        self,
        registry: Registry,
        entry_id: str,
        submission: Submission,
        cause: Cause,
        next_data: Callable[[Entry | None], Mapping[str, Any]],
        *,
        closes: bool = True,
    ) -> None:
        """Replace one registry document and tell it."""
        key = submission.entry.key
        for _ in range(RACES_MAX):
            known = (await self._store.entries(registry, [entry_id])).get(entry_id)
            if known is not None and key in known.steps:
                if known.untold is not None:
                    await self._teller.tell_entries(registry, {entry_id: known.untold})
                elif closes:
                    await self._close(submission, "applied")
                return
            data = next_data(known)
            before = known.untold if known is not None and known.untold is not None else Untold("")
            verdicts = (Verdict(key, Outcome.APPLIED, "applied"),) if closes else ()
            message = wire.registry_message(registry, data, at=cause)
            write = EntryWrite(
                id=entry_id,
                data=data,
                partition=submission.position.partition,
                steps=(*(known.steps if known else ()), key),
                untold=Untold(
                    uuid.uuid4().hex,
                    (*before.messages, *([message] if message else [])),
                    (*before.verdicts, *verdicts),
                ),
                replaces=known.version if known else None,
            )
            if await self._store.save_entry(registry, write):
                await self._teller.tell_entries(registry, {entry_id: write.untold})
                return
        raise TransientError(f"registry document {entry_id!r} is written by others all the time")

    # -- indicators ------------------------------------------------------------------------------------------------

    async def _set_target(self, submission: Submission, data: ordered.IndicatorTargetSet, cause: Cause) -> None:
        province = submission.entry.province
        target = wire.target_record(data, province)
        target_id = f"{province}/{data.agency or '*'}/{data.code}/{data.period}"
        values = await self._store.entries_with(
            Registry.INDICATORS,
            {"province": province, "code": data.code, "period": data.period}
            | ({"agency": data.agency} if data.agency else {}),
        )
        await self._put(Registry.TARGETS, target_id, submission, cause, lambda _: target, closes=False)
        for entry_id in sorted(values):
            await self._put(
                Registry.INDICATORS,
                entry_id,
                submission,
                cause,
                lambda known: wire.indicator_with_target(known.data if known else {}, target),
                closes=False,
            )
        await self._close(submission, "applied")

    async def _report_indicator(self, submission: Submission, data: said.IndicatorReported, cause: Cause) -> None:
        province, agency = submission.entry.province, submission.entry.agency
        own, general = (f"{province}/{whose}/{data.code}/{data.period}" for whose in (agency, "*"))
        targets = await self._store.entries(Registry.TARGETS, [own, general])
        target = targets.get(own) or targets.get(general)
        await self._put(
            Registry.INDICATORS,
            own,
            submission,
            cause,
            lambda known: wire.indicator_record(
                data,
                province,
                agency,
                known.data if known else None,
                target.data if target else None,
                received_at=cause.received_at,
            ),
        )

    # -- directives ------------------------------------------------------------------------------------------------

    async def _issue(self, submission: Submission, data: ordered.DirectiveIssued, cause: Cause) -> None:
        province, key = submission.entry.province, submission.entry.key
        known = await self._store.directive_revision(province, data.directive)
        if known is not None and known[1] != key:
            if data.revision <= known[0]:
                await self._reject(
                    submission,
                    DirectiveProblem.DIRECTIVE_EXISTS,
                    f"Directive {data.directive} was issued already, as revision {known[0]}.",
                    cause,
                )
            else:
                await self._reject(
                    submission,
                    DirectiveProblem.REVISION_NOT_SUPPORTED,
                    "Corrections of a directive are not applied by this version; extend, cancel or reassign tasks.",
                    cause,
                )
            return
        obligations = self._expand(data, await self.agencies(province), province, cause)
        if isinstance(obligations, Problem):
            await self._reject(submission, obligations.reason, obligations.detail, cause)
            return
        await self._store.save_directive(province, data.directive, data.revision, key)
        tasks: list[Task] = []
        for obligation in obligations:
            tasks.extend(
                tasks_of(obligation, until=cause.received_at, recorded_at=cause.recorded_at, rules=self._rules)
            )
            if isinstance(obligation.due, RecurringRule):
                await self._store.save_obligation(
                    ObligationState(
                        obligation,
                        await self._partition_of(obligation.obligation_id),
                        next_opening(obligation.due, cause.received_at),
                    )
                )
        assert self.tasks is not None, "set by app.build"
        await self.tasks.create(tasks, submission.event)
        await self._close(submission, "applied", f"{len(obligations)} obligations, {len(tasks)} tasks")
        log.info("directive.issued", directive=data.directive, obligations=len(obligations), tasks=len(tasks))

    @staticmethod
    def _expand(
        data: ordered.DirectiveIssued, agencies: Mapping[str, Agency], province: str, cause: Cause
    ) -> list[Obligation] | Problem:
        obligations = []
        standing = standing_agency(agencies)
        for item in data.obligations:
            reviewer = item.reviewer or standing
            if reviewer is None:
                return Problem(DirectiveProblem.NO_STANDING_AGENCY, f"{item.clause}: nobody can judge its results")
            if reviewer not in agencies:
                return Problem(DirectiveProblem.UNKNOWN_AGENCY, f"{item.clause}: reviewer {reviewer} is not registered")
            leads = members(item.leads, agencies)
            cooperating = members(item.cooperating, agencies)
            for found in (leads, cooperating):
                if isinstance(found, Problem):
                    return Problem(found.reason, f"{item.clause}: {found.detail}")
            assert not isinstance(leads, Problem), "checked above"
            assert not isinstance(cooperating, Problem), "checked above"
            obligations.append(
                wire.obligation(
                    item,
                    data,
                    province=province,
                    leads=leads,
                    cooperating=cooperating,
                    reviewer=reviewer,
                    cause=cause,
                )
            )
        return obligations

    async def _revoke(self, submission: Submission, data: ordered.DirectiveRevoked) -> None:
        province = submission.entry.province
        await self._store.end_obligations(province, data.directive)
        assert self.tasks is not None, "set by app.build"
        cancelled = await self.tasks.cancel_all(
            list(await self._store.open_task_ids(province, data.directive)),
            Cancel(data.reason, wire.document(data.document)),
            as_step(submission),
        )
        await self._close(submission, "applied", f"{cancelled} open tasks ended")
