"""Reading reports: JSON for programs. No decisions here, nothing is computed anew. People have the board."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.reporting import openapi, wire
from services.reporting.asking import (
    RefusedError,
    check_period,
    province_needed,
    revision_asked,
    unknown_period,
    unknown_province,
)
from services.reporting.counting import Rules
from services.reporting.domain.report import Report, report_key
from services.reporting.domain.scopes import PROVINCE_SCOPE, kind_of
from services.reporting.openapi import SCOPES
from services.reporting.ports import Reading
from shared.contracts.claims import Credential
from shared.runtime.bearer import Endpoint, Verify, for_bearers
from shared.runtime.problems import problem

REVISIONS_MAX: Final = 500
"""So many revisions of a report are listed, the newest."""


class ReportApi:
    """`/v1/reports` and `/openapi.json`. `verify`: how tokens are verified; None lets everybody read."""

    def __init__(self, store: Reading, rules: Rules, *, verify: Verify | None) -> None:
        self._store = store
        self._verify = verify
        self._rules = rules

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/v1/reports/{period}.json", self._guarded(self._report)),
            Route("/v1/reports/{period}/revisions", self._guarded(self._revisions)),
            Route("/openapi.json", self.document),
        ]

    async def document(self, _: Request) -> Response:
        """This API, described."""
        return answer(openapi.document())

    def _guarded(self, find: Callable[[Request, str | None], Awaitable[Mapping[str, Any]]]) -> Endpoint:
        """Answer what is found for a province: a token's are those of its own."""

        async def endpoint(request: Request, credential: Credential | None) -> Response:
            asked = request.query_params.get("province")
            try:
                if credential is not None and asked not in {None, credential.province}:
                    raise unknown_province(str(asked))
                return answer(await find(request, asked if credential is None else credential.province))
            except RefusedError as refused:
                return problem(refused.status, refused.code, refused.detail)

        return for_bearers(endpoint, self._verify, scopes=SCOPES)

    async def _report(self, request: Request, province: str | None) -> Mapping[str, Any]:
        """All reports of a period: the province first, then agencies by name. Or what stood once."""
        period, scope = request.path_params["period"], _scope(request)
        revision, instant = revision_asked(request), _instant(request)
        if revision is not None and instant is not None:
            raise RefusedError(400, "malformed_revision", "Ask for a revision or for an instant, not for both.")
        reports = await self._find(period, province, scope)
        if revision is not None:
            return wire.one_revision(await self._stood(reports, scope or PROVINCE_SCOPE, revision))
        if instant is not None:
            reports = await self._stood_at(reports, scope, instant)
        return wire.document(_only(reports, scope) if scope is not None else reports)

    async def _revisions(self, request: Request, province: str | None) -> Mapping[str, Any]:
        """What became of one report, the newest first."""
        scope = _scope(request) or PROVINCE_SCOPE
        current = _on(await self._find(request.path_params["period"], province, scope), scope)
        return wire.revisions(await self._store.kept_revisions(current.key, REVISIONS_MAX))

    async def _stood(self, reports: list[Report], scope: str, revision: int) -> Report:
        current = _on(reports, scope)
        found = await self._store.revision(current.key, revision)
        if found is None:
            raise RefusedError(
                404,
                "unknown_revision",
                f"Revision {revision} of this report is not kept: those of a closed period are, and the one that "
                f"stands ({current.revision}). /v1/reports/{current.period}/revisions lists them.",
            )
        return found

    async def _stood_at(self, reports: list[Report], scope: str | None, instant: datetime) -> list[Report]:
        if scope is not None:
            _on(reports, scope)
        current = _on(reports, PROVINCE_SCOPE)
        found = await self._store.stood_at(current.province, current.period, instant)
        if not {PROVINCE_SCOPE, scope or PROVINCE_SCOPE} <= {one.scope for one in found}:
            raise RefusedError(
                404,
                "unknown_revision",
                f"No revision that is kept stood at {instant.isoformat()}: those of a closed period are kept, and the "
                f"one that stands. /v1/reports/{current.period}/revisions lists them.",
            )
        return found

    async def _find(self, period: str, province: str | None, scope: str | None) -> list[Report]:
        """Those of a period: all, or the one on a scope beside that on the province."""
        if province is not None and _has_whole(reports := await self._read(province, period, scope)):
            # The usual case, by one question.
            return reports
        code = await self._province(province)
        check_period(self._rules.regime(code or ""), period)
        reports = await self._read(code, period, scope) if code is not None else []
        if not _has_whole(reports):
            raise unknown_period(period)
        return reports

    async def _read(self, province: str, period: str, scope: str | None) -> list[Report]:
        if scope is None:
            return await self._store.reports(province, period)
        keys = {report_key(province, period, one) for one in (PROVINCE_SCOPE, scope)}
        return list((await self._store.some_reports(keys)).values())

    async def _province(self, asked: str | None) -> str | None:
        known = sorted(await self._store.provinces())
        if asked is not None:
            if asked not in known:
                raise unknown_province(asked)
            return asked
        if len(known) > 1:
            raise province_needed(known)
        return known[0] if known else None


def _has_whole(reports: list[Report]) -> bool:
    """Whether the report on the province is among them: a period has it before any other."""
    return any(report.scope == PROVINCE_SCOPE for report in reports)


def _scope(request: Request) -> str | None:
    asked = request.query_params.get("scope")
    if asked is not None:
        try:
            kind_of(asked)
        except ValueError as error:
            raise RefusedError(400, "malformed_scope", f"{asked!r} cannot be read: {error}.") from error
    return asked


def _instant(request: Request) -> datetime | None:
    asked = request.query_params.get("as_of")
    if asked is None:
        return None
    try:
        instant = datetime.fromisoformat(asked)
        # Zones may take the first and the last day out of what there is.
        instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _malformed_instant(asked) from error
    if instant.tzinfo is None:
        raise _malformed_instant(asked)
    return instant


def _malformed_instant(asked: str) -> RefusedError:
    return RefusedError(
        400, "malformed_instant", f"{asked!r} is no instant with a zone, such as 2024-11-20T09:00:00Z (RFC 3339)."
    )


def _on(reports: list[Report], scope: str) -> Report:
    """The report on one scope."""
    for report in reports:
        if report.scope == scope:
            return report
    raise RefusedError(404, "unknown_scope", f"There is no report on {scope!r} for this period: it had no task.")


def _only(reports: list[Report], scope: str) -> list[Report]:
    """The report on one scope, and that on the province, whose head they share."""
    return [_on(reports, PROVINCE_SCOPE), *([_on(reports, scope)] if scope != PROVINCE_SCOPE else [])]


def answer(content: Mapping[str, Any]) -> Response:
    """A JSON answer."""
    return Response(
        pydantic_core.to_json(content), media_type="application/json", headers={"cache-control": "no-cache"}
    )
