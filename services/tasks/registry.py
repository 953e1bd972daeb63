"""The registry of agencies, indicators, their targets and directives: a document each, told on a topic of its kind."""

import uuid
from collections.abc import Callable, Collection
from functools import partial

from services.tasks import records
from services.tasks.domain.agencies import Agency, Problem, ending
from services.tasks.domain.succession import Edge, with_predecessors
from services.tasks.domain.task import Cause
from services.tasks.folding import Submission
from services.tasks.ports import Entry, EntryWrite, Message, Outcome, Registry, TaskStore, Untold, Verdict
from services.tasks.records import Record
from services.tasks.telling import Teller
from services.tasks.writing import RACES_MAX
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.runtime.errors import TransientError

NextRecord = Callable[[Record | None], Record | Problem | None]
"""What becomes of a document as it is known; why nothing can; None: it says so already."""


class RegistryKeeper:
    """Applies what is said of agencies and indicators, and tells what is said of directives."""

    def __init__(self, store: TaskStore, teller: Teller) -> None:
        self._store = store
        self._teller = teller
        self._edges: dict[str, dict[str, Edge]] | None = None
        self._written = 0
        """How often this replica changed an agency."""

    # -- agencies --------------------------------------------------------------------------------------------------

    async def agencies(self, province: str) -> tuple[dict[str, Agency], dict[str, Edge]]:
        """The province's agencies by code, and what became of those that were reorganised."""
        entries = await self._store.entries_with(Registry.AGENCIES, {"province": province})
        known = [entry.data for entry in entries.values()]
        return {one["code"]: records.agency(one) for one in known}, records.edges(known)

    async def edges(self, *, again: bool = True) -> dict[str, dict[str, Edge]]:
        """Reorganised agencies of every province, by province and code. `again`: what other replicas wrote, too."""
        if again or self._edges is None:
            written, found = self._written, dict[str, dict[str, Edge]]()
            for entry in (await self._store.ended_agencies()).values():
                found.setdefault(entry.data["province"], {}).update(records.edges([entry.data]))
            if written != self._written:
                return found
            self._edges = found
        return self._edges

    async def may_be_moved_to(self, task_id: str, province: str) -> bool:
        """Whether an open task waits to be moved there, in one step or in many: each takes a turn of its partition."""
        *stem, agency = task_id.split("/")[:4]
        tail = task_id.split("/")[4:]
        edges = (await self.edges()).get(province, {})
        names = with_predecessors(agency, edges) - {agency}
        there = await self._store.tasks(["/".join([*stem, code, *tail]) for code in names]) if names else {}
        return any(one.task.is_open and one.task.succession is None for one in there.values())

    async def register(self, submission: Submission, data: ordered.AgencyRegistered, cause: Cause) -> None:
        """An agency's record, new or replaced."""
        province = submission.entry.province
        await self._put(
            Registry.AGENCIES,
            f"{province}/{data.code}",
            submission,
            cause,
            lambda known: records.agency_record(data, province, known, cause),
        )

    async def end(self, submission: Submission, data: ordered.AgencyReorganised, cause: Cause) -> None:
        """Note on each predecessor's record what becomes of it; its tasks move when the day has come (sweep)."""
        province = submission.entry.province
        for code in ending(data.predecessors, data.successors):
            await self._put(
                Registry.AGENCIES,
                f"{province}/{code}",
                submission,
                cause,
                lambda known: records.ended_record(data, known or {}, cause),
                closes=False,
            )

    # -- indicators ------------------------------------------------------------------------------------------------

    async def set_target(self, submission: Submission, data: ordered.IndicatorTargetSet, cause: Cause) -> str | Problem:
        """A target, and the values that are measured against it."""
        province = submission.entry.province
        target_id = f"{province}/{data.agency or '*'}/{data.code}/{data.period}"
        problem = await self._put(
            Registry.TARGETS,
            target_id,
            submission,
            cause,
            lambda known: records.target_record(data, province, known, cause),
            closes=False,
        )
        if problem is not None:
            return problem
        # Only now: of a first value that is on its way, and is not among these, its reporter finds the target.
        values = await self._store.entries_with(
            Registry.INDICATORS,
            {"province": province, "code": data.code, "period": data.period}
            | ({"agency": data.agency} if data.agency else {}),
        )
        await self._measure(values, submission, cause)
        return f"{len(values)} values are measured against it"

    async def report_indicator(
        self, submission: Submission, data: said.IndicatorReported, cause: Cause
    ) -> str | Problem:
        """An agency's value."""
        province, agency = submission.entry.province, submission.entry.agency
        value_id = f"{province}/{agency}/{data.code}/{data.period}"
        targets = (await self._targets([value_id]))[value_id]
        problem = await self._put(
            Registry.INDICATORS,
            value_id,
            submission,
            cause,
            lambda known: records.indicator_record(data, province, agency, known, targets, cause),
            closes=False,
        )
        if problem is not None:
            return problem
        # Targets come through another partition: who set one meanwhile may have looked for values before this one.
        await self._measure([value_id], submission, cause)
        return "kept"

    async def _measure(self, value_ids: Collection[str], submission: Submission, cause: Cause) -> None:
        """Give values the targets that they do not have yet."""
        for value_id, targets in (await self._targets(value_ids)).items():
            await self._put(
                Registry.INDICATORS,
                value_id,
                submission,
                cause,
                partial(_against, targets),
                closes=False,
                is_step=False,
            )

    async def _targets(self, value_ids: Collection[str]) -> dict[str, list[Record]]:
        """All that was ever set for these values, for every agency and for theirs."""
        general = {one: "{0}/*/{2}/{3}".format(*one.split("/")) for one in sorted(value_ids)}
        found = await self._store.entries(Registry.TARGETS, {*general, *general.values()})
        return {
            own: [
                target
                for target_id in (shared, own)
                if target_id in found
                for target in records.targets_in(found[target_id].data)
            ]
            for own, shared in general.items()
        }

    # -- directives ------------------------------------------------------------------------------------------------

    async def tell_directive(self, submission: Submission, data: ordered.DirectiveIssued, cause: Cause) -> None:
        """A directive's record by this revision; one that a higher revision wrote stays as it is."""
        province = submission.entry.province
        await self._put(
            Registry.DIRECTIVES,
            f"{province}/{data.directive}",
            submission,
            cause,
            lambda known: records.directive_record(data, province, known, cause),
            closes=False,
        )

    async def tell_revocation(self, submission: Submission, data: ordered.DirectiveRevoked, cause: Cause) -> None:
        """The same record, withdrawn."""
        await self._put(
            Registry.DIRECTIVES,
            f"{submission.entry.province}/{data.directive}",
            submission,
            cause,
            lambda known: records.revoked_record(data, known, cause),
            closes=False,
        )

    # -- one document ----------------------------------------------------------------------------------------------

    async def _put(
        self,
        registry: Registry,
        entry_id: str,
        submission: Submission,
        cause: Cause,
        next_record: NextRecord,
        *,
        closes: bool = True,
        is_step: bool = True,
    ) -> Problem | None:
        """Replace one registry document and tell it. Returns why it cannot be.

        `closes`: the ledger entry closes with it. `is_step`: the document remembers the event, so that nothing is done
        twice; else what it says must tell.
        """
        key = submission.entry.key
        for _ in range(RACES_MAX):
            known = (await self._store.entries(registry, [entry_id])).get(entry_id)
            done = is_step and known is not None and key in known.steps
            record = None if done else next_record(known.data if known is not None else None)
            if isinstance(record, Problem):
                return record
            if record is None:
                if known is not None and known.untold is not None:
                    await self._teller.tell_entries(registry, {entry_id: known.untold})
                elif closes:
                    await self._teller.close([_applied(key)])
                return None
            steps = known.steps if known is not None else ()
            write = EntryWrite(
                id=entry_id,
                data=record,
                partition=submission.position.partition,
                steps=(*steps, key) if is_step else steps,
                untold=_owed(
                    known, records.message(registry, record, at=cause), verdicts=(_applied(key),) if closes else ()
                ),
                replaces=known.version if known is not None else None,
            )
            if registry is Registry.AGENCIES:
                self._edges, self._written = None, self._written + 1
            if await self._store.save_entry(registry, write):
                self._edges = None
                await self._teller.tell_entries(registry, {entry_id: write.untold})
                return None
        raise TransientError(f"registry document {entry_id!r} is written by others all the time")


def _owed(known: Entry | None, message: Message | None, *, verdicts: tuple[Verdict, ...]) -> Untold:
    """What a document's next state has to tell: first what the one before did not get round to."""
    before = known.untold if known is not None and known.untold is not None else Untold("")
    messages = (message,) if message is not None else ()
    return Untold(uuid.uuid4().hex, (*before.messages, *messages), (*before.verdicts, *verdicts))


def _applied(key: str) -> Verdict:
    return Verdict(key, Outcome.APPLIED, "applied")


def _against(targets: list[Record], known: Record | None) -> Record | None:
    assert known is not None, "values are never taken away"
    return records.indicator_with_targets(known, targets)
