"""What shapes the province, sorted to who applies it. Series of idempotent one-document steps.

Each step can be repeated; the ledger entry is closed last, so a redelivery repeats what is missing.
"""

import structlog

from services.tasks import wire
from services.tasks.directives import DirectiveKeeper
from services.tasks.domain.agencies import Problem, ending, reorganisation_problem
from services.tasks.domain.task import Cause
from services.tasks.folding import Submission
from services.tasks.ports import Outcome, Verdict
from services.tasks.registry import RegistryKeeper
from services.tasks.telling import Teller
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.runtime.clock import Clock

log = structlog.get_logger()


class Shaping:
    """Applies events that are not about one task."""

    def __init__(self, registry: RegistryKeeper, directives: DirectiveKeeper, teller: Teller, clock: Clock) -> None:
        self._registry = registry
        self._directives = directives
        self._teller = teller
        self._clock = clock

    async def on_submission(self, submission: Submission) -> None:
        """Apply one event of the province."""
        cause = wire.cause_of(submission.event, recorded_at=self._clock.now())
        match submission.event.data:
            # It closes its ledger entry together with the one document that it writes.
            case ordered.AgencyRegistered() as data:
                await self._registry.register(submission, data, cause)
            case _:
                await self._close(submission, await self._apply(submission, cause), cause)

    async def _apply(self, submission: Submission, cause: Cause) -> str | Problem:
        match submission.event.data:
            case ordered.AgencyReorganised() as data:
                return await self._reorganise(submission, data, cause)
            case ordered.IndicatorTargetSet() as data:
                return await self._registry.set_target(submission, data, cause)
            case said.IndicatorReported() as data:
                return await self._registry.report_indicator(submission, data, cause)
            case ordered.DirectiveIssued() as data:
                return await self._directives.issue(submission, data, cause)
            case ordered.DirectiveRevoked() as data:
                return await self._directives.revoke(submission, data, cause)
            case ordered.ObligationTriggered() as data:
                return await self._directives.trigger(submission, data, cause)
            case ordered.ObligationDated() as data:
                return await self._directives.give_day(submission, data, cause)
            case ordered.ObligationSuspended() | ordered.ObligationResumed() as data:
                return await self._directives.pause(submission, data, cause)
            case _:
                raise AssertionError(f"{submission.event.kind.name} shapes nothing")

    async def _close(self, submission: Submission, done: str | Problem, cause: Cause) -> None:
        key = submission.entry.key
        if isinstance(done, Problem):
            await self._teller.reject(submission.event, reason=done.reason, detail=done.detail, at=cause)
            log.info("submission.rejected", event_id=key, reason=done.reason)
        else:
            await self._teller.close([Verdict(key, Outcome.APPLIED, "applied", done)])
            log.info("province.shaped", event_id=key, what=submission.event.kind.slug, effect=done)

    async def _reorganise(self, submission: Submission, data: ordered.AgencyReorganised, cause: Cause) -> str | Problem:
        agencies, edges = await self._registry.agencies(submission.entry.province)
        problem = reorganisation_problem(
            data.change.value, data.predecessors, data.successors, agencies, edges, key=submission.entry.key
        )
        if problem is not None:
            return problem
        await self._registry.end(submission, data, cause)
        over = ending(data.predecessors, data.successors)
        return f"{len(over)} agencies end with the day before {data.effective_on}; their open tasks move then"
