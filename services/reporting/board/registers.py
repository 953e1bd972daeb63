"""What agencies and directives are called, as their records say: read again only once a record changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from services.reporting import wire
from services.reporting.domain.reading import EVERYTHING, Reader, Registered, reader_of
from services.reporting.lists import Kept, Lists
from services.reporting.ports import Registry, Tally
from shared.contracts.claims import Credential
from shared.contracts.registry_facts import DirectiveChanged


@dataclass(frozen=True, slots=True)
class Names:
    """Of one province."""

    agencies: Mapping[str, str] = field(default_factory=dict)
    registered: Mapping[str, Registered] = field(default_factory=dict)
    directives: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    tallies: tuple[Tally, Tally]
    names: Names


class Registers:
    """By province. Records are few, change seldom and are asked for by every page."""

    def __init__(self, store: Kept, lists: Lists) -> None:
        self._store = store
        self._lists = lists
        self._seen: dict[str, _Seen] = {}

    async def names(self, province: str) -> Names:
        """What things are called now."""
        tallies = (
            await self._store.tally_entries(Registry.AGENCIES, province),
            await self._store.tally_entries(Registry.DIRECTIVES, province),
        )
        seen = self._seen.get(province)
        if seen is None or seen.tallies != tallies:
            seen = _Seen(tallies, await self._read(province))
            if tallies != (Tally(), Tally()):
                # A province that has no record is asked for by anybody who makes one up.
                self._seen[province] = seen
        return seen.names

    async def _read(self, province: str) -> Names:
        agencies = [wire.agency(one) for one in await self._store.entries(Registry.AGENCIES, province)]
        directives = [wire.directive(one) for one in await self._store.entries(Registry.DIRECTIVES, province)]
        return Names(
            {one.code: one.name for one in agencies},
            {one.code: Registered(one.role, one.valid_from, one.valid_to) for one in agencies},
            {one.directive: one.number or one.directive for one in directives},
        )

    async def directive(self, province: str, slug: str) -> DirectiveChanged | None:
        """A directive's record; None where there is none."""
        found = await self._lists.entry(Registry.DIRECTIVES, f"{province}/{slug}")
        return wire.directive(found) if found is not None else None

    async def reader(self, officer: Credential | None, today: date) -> Reader:
        """How far somebody sees. None: nobody needs to log in, for trials."""
        if officer is None:
            return EVERYTHING
        registered = (await self.names(officer.province)).registered.get(officer.agency)
        role = registered.role_on(today) if registered is not None else None
        return reader_of(officer.province, officer.agency, officer.scopes, role)
