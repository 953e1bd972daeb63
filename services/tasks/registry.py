"""The registry of agencies, indicators and their targets: small documents, each told on a topic of its own."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from services.tasks import wire
from services.tasks.domain.agencies import Agency, ending
from services.tasks.domain.succession import Edge, with_predecessors
from services.tasks.domain.task import Cause
from services.tasks.folding import Submission
from services.tasks.ports import Entry, EntryWrite, Outcome, Registry, TaskStore, Untold, Verdict
from services.tasks.telling import Teller
from services.tasks.writing import RACES_MAX
from shared.contracts import agency_events as said
from shared.contracts import authority_events as ordered
from shared.runtime.errors import TransientError


class RegistryKeeper:
    """Applies what is said of agencies and indicators."""

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
        records = [entry.data for entry in entries.values()]
        return {one["code"]: wire.agency(one) for one in records}, wire.edges(records)

    async def edges(self, *, again: bool = True) -> dict[str, dict[str, Edge]]:
        """Reorganised agencies of every province, by province and code. `again`: what other replicas wrote, too."""
        if again or self._edges is None:
            written, found = self._written, dict[str, dict[str, Edge]]()
            for entry in (await self._store.ended_agencies()).values():
                found.setdefault(entry.data["province"], {}).update(wire.edges([entry.data]))
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
            lambda known: wire.agency_record(data, province, known.data if known else None, cause),
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
                lambda known: wire.ended_record(data, known.data if known else {}, cause),
                closes=False,
            )

    # -- indicators ------------------------------------------------------------------------------------------------

    async def set_target(self, submission: Submission, data: ordered.IndicatorTargetSet, cause: Cause) -> None:
        """A target, and the values that are measured against it."""
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
        await self._teller.close([Verdict(submission.entry.key, Outcome.APPLIED, "applied")])

    async def report_indicator(self, submission: Submission, data: said.IndicatorReported, cause: Cause) -> None:
        """An agency's value."""
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

    # -- one document ----------------------------------------------------------------------------------------------

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
                    await self._teller.close([Verdict(key, Outcome.APPLIED, "applied")])
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
            if registry is Registry.AGENCIES:
                self._edges, self._written = None, self._written + 1
            if await self._store.save_entry(registry, write):
                self._edges = None
                await self._teller.tell_entries(registry, {entry_id: write.untold})
                return
        raise TransientError(f"registry document {entry_id!r} is written by others all the time")
