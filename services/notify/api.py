"""Reading alerts over HTTP: each with why it was sent or stays silent. No addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Protocol

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.notify import openapi
from services.notify.domain.reading import SCOPES, sees_province
from services.notify.handlers import local_day
from services.notify.ports import AlertWithDeliveries
from shared.contracts.claims import Credential
from shared.runtime.bearer import Verify, for_bearers
from shared.runtime.clock import Clock
from shared.runtime.problems import problem

PAGE_DEFAULT = 50
PAGE_MAX = 500
FILTERS = ("agency", "kind", "task_id", "outcome")


class Reading(Protocol):
    """What the API reads."""

    async def list_alerts(
        self, wanted: Mapping[str, str], *, after: str | None, limit: int, reader: str | None
    ) -> Sequence[AlertWithDeliveries]: ...

    async def role(self, province: str, code: str, on: date) -> str | None: ...


class AlertApi:
    """`/v1/alerts`. `verify`: how tokens are verified; None lets everybody read everything."""

    def __init__(self, store: Reading, clock: Clock, *, verify: Verify | None) -> None:
        self._store = store
        self._clock = clock
        self._verify = verify

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/v1/alerts", for_bearers(self.list_alerts, self._verify, scopes=SCOPES)),
            Route("/openapi.json", self.openapi),
        ]

    async def openapi(self, _: Request) -> Response:
        """The description of this API."""
        return Response(pydantic_core.to_json(openapi.document()), media_type="application/json")

    async def list_alerts(self, request: Request, credential: Credential | None) -> Response:
        """A page of alerts in order of id; `next` continues it."""
        query = request.query_params
        if unknown := sorted(set(query) - {*FILTERS, "cursor", "limit"}):
            known = ", ".join((*FILTERS, "cursor", "limit"))
            return problem(400, "unknown_filter", f"Unknown filter {unknown[0]!r}. Known: {known}.")
        try:
            limit = min(PAGE_MAX, max(1, int(query.get("limit", PAGE_DEFAULT))))
        except ValueError:
            return problem(400, "malformed_filter", "limit is a whole number.")
        wanted = {name: query[name] for name in FILTERS if name in query}
        reader = None
        if credential is not None:
            wanted["province"] = credential.province
            reader = await self._agency_only(credential)
        found = await self._store.list_alerts(wanted, after=query.get("cursor"), limit=limit, reader=reader)
        content = {
            "alerts": [_row(one) for one in found],
            "next": found[-1].decided.alert.alert_id if len(found) == limit else None,
        }
        return Response(pydantic_core.to_json(content), media_type="application/json")

    async def _agency_only(self, credential: Credential) -> str | None:
        """Whose alerts are shown; None for those of the whole province."""
        role = await self._store.role(credential.province, credential.agency, local_day(self._clock.now()))
        return None if sees_province(credential.scopes, role) else credential.agency


def _row(one: AlertWithDeliveries) -> dict[str, Any]:
    decided = one.decided
    return {
        **asdict(decided.alert),
        "outcome": "notify" if decided.notify else "silent",
        "reason": decided.reason,
        "recipients": [asdict(recipient) for recipient in decided.recipients],
        "decided_at": decided.decided_at,
        "deliveries": [asdict(delivery) for delivery in one.deliveries],
    }
