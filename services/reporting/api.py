"""Reading reports: JSON for programs. No decisions here, nothing is computed anew. People have the board."""

from collections.abc import Mapping
from typing import Any

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.reporting import openapi, wire
from services.reporting.counting import Rules
from services.reporting.domain.report import Report
from services.reporting.domain.scopes import PROVINCE_SCOPE, kind_of
from services.reporting.openapi import SCOPES
from services.reporting.ports import Reading
from shared.contracts.claims import Credential
from shared.runtime.bearer import Verify, for_bearers
from shared.runtime.problems import problem


class RefusedError(Exception):
    """A question that has no answer: status, stable code, and what to do."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class ReportApi:
    """`/v1/reports` and `/openapi.json`. `verify`: how tokens are verified; None lets everybody read."""

    def __init__(self, store: Reading, rules: Rules, *, verify: Verify | None) -> None:
        self._store = store
        self._verify = verify
        self._rules = rules

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/v1/reports/{period}.json", for_bearers(self.report, self._verify, scopes=SCOPES)),
            Route("/openapi.json", self.document),
        ]

    async def document(self, _: Request) -> Response:
        """This API, described."""
        return answer(openapi.document())

    async def report(self, request: Request, credential: Credential | None) -> Response:
        """All reports of a period: the province first, then agencies by name. A token's are those of its province."""
        asked = request.query_params.get("province")
        try:
            if credential is not None and asked not in {None, credential.province}:
                raise _unknown_province(str(asked))
            reports = await self._find(
                request.path_params["period"], asked if credential is None else credential.province
            )
            if (one := request.query_params.get("scope")) is not None:
                reports = _only(reports, one)
        except RefusedError as refused:
            return problem(refused.status, refused.code, refused.detail)
        return answer(wire.document(reports))

    async def _find(self, period: str, province: str | None) -> list[Report]:
        code = await self._province(province)
        try:
            self._rules.regime(code or "").period(period)
        except ValueError as error:
            raise RefusedError(400, "malformed_period", f"{period!r} cannot be read: {error}.") from error
        reports = await self._store.reports(code, period) if code is not None else []
        if all(report.scope != PROVINCE_SCOPE for report in reports):
            raise RefusedError(
                404, "unknown_period", f"There is no report for {period}: no task had been assigned by then."
            )
        return reports

    async def _province(self, asked: str | None) -> str | None:
        known = sorted(await self._store.provinces())
        if asked is not None:
            if asked not in known:
                raise _unknown_province(asked)
            return asked
        if len(known) > 1:
            raise RefusedError(
                400, "province_needed", f"Say which province: add ?province=. Known: {', '.join(known)}."
            )
        return known[0] if known else None


def _only(reports: list[Report], one: str) -> list[Report]:
    """The report on one scope, and that on the province, whose head they share."""
    try:
        kind_of(one)
    except ValueError as error:
        raise RefusedError(400, "malformed_scope", f"{one!r} cannot be read: {error}.") from error
    if all(report.scope != one for report in reports):
        raise RefusedError(404, "unknown_scope", f"There is no report on {one!r} for this period: it had no task.")
    return [report for report in reports if report.scope in {one, PROVINCE_SCOPE}]


def _unknown_province(asked: str) -> RefusedError:
    return RefusedError(404, "unknown_province", f"No task of province {asked!r} is known.")


def answer(content: Mapping[str, Any]) -> Response:
    """A JSON answer."""
    return Response(
        pydantic_core.to_json(content), media_type="application/json", headers={"cache-control": "no-cache"}
    )
