"""Reading reports: JSON for programs, the board for people. No decisions here, nothing is computed anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pydantic_core
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from services.reporting import openapi, wire
from services.reporting.counting import Rules
from services.reporting.domain.periods import Kind, Regime
from services.reporting.domain.report import Report
from services.reporting.domain.scopes import PROVINCE_SCOPE, agency_of, kind_of, name_key
from services.reporting.login import BoardLogin
from services.reporting.openapi import SCOPES
from services.reporting.ports import PeriodRow, Reading
from shared.contracts.claims import Credential
from shared.runtime.bearer import Verify, for_bearers
from shared.runtime.problems import problem
from shared.workdays.calendar import ICT

_BOARD_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class RefusedError(Exception):
    """A question that has no answer: status, stable code, and what to do."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


@dataclass(frozen=True, slots=True)
class _Place:
    """Where on the board one is."""

    province: str
    name: str
    periods: list[PeriodRow]
    provinces: list[tuple[str, str]]


class ReportApi:
    """`/v1/reports`, `/` and `/openapi.json`. `verify`: how tokens are verified; None lets everybody read."""

    def __init__(
        self,
        store: Reading,
        rules: Rules,
        province_names: Mapping[str, str],
        *,
        verify: Verify | None,
        login: BoardLogin,
    ) -> None:
        self._store = store
        self._verify = verify
        self._login = login
        self._rules = rules
        self._province_names = province_names
        self._board = _environment().get_template("board.html")

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/v1/reports/{period}.json", for_bearers(self.report, self._verify, scopes=SCOPES)),
            Route("/openapi.json", self.document),
            Route("/", self._login.for_officers(self.board)),
            *self._login.routes(),
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

    async def board(self, request: Request, officer: Credential | None) -> Response:
        """The board of a period; without one, of the period that runs. An officer's is that of his province."""
        place: _Place | None = None
        reports: list[Report] = []
        said, status = "", 200
        try:
            place = await self._place(request.query_params.get("province"), officer)
            period = request.query_params.get("period") or (place.periods[0].id if place.periods else None)
            if period is not None:
                reports = await self._find(period, place.province)
        except RefusedError as refused:
            said, status = _IN_VIETNAMESE[refused.code], refused.status
        page = self._board.render(officer=officer, **_board_context(place, reports, said, self._rules))
        return HTMLResponse(page, status_code=status, headers=_BOARD_HEADERS)

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

    async def _place(self, asked: str | None, officer: Credential | None) -> _Place:
        known = sorted(one for one in await self._store.provinces() if officer is None or one == officer.province)
        code = asked if asked is not None else next(iter(known), None)
        if code is None:
            raise RefusedError(200, "no_data", "")
        if code not in known:
            raise RefusedError(404, "unknown_province", "")
        names = [(one, self._province_names.get(one, one)) for one in known]
        months = [row for row in await self._store.periods(code) if row.kind is Kind.MONTHLY]
        return _Place(code, dict(names)[code], months, names)


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


_IN_VIETNAMESE = {
    "no_data": "Chưa có số liệu. Bảng tổng hợp xuất hiện khi nhiệm vụ đầu tiên được giao.",
    "unknown_province": "Không có số liệu của đơn vị này.",
    "unknown_period": "Không có số liệu của kỳ báo cáo này.",
    "malformed_period": "Kỳ báo cáo không đúng dạng; ví dụ đúng: 2024-11.",
}


def _board_context(place: _Place | None, reports: list[Report], said: str, rules: Rules) -> dict[str, Any]:
    whole = next((report for report in reports if report.scope == PROVINCE_SCOPE), None)
    agencies = sorted(
        (report for report in reports if agency_of(report.scope) is not None),
        key=lambda report: (-report.figures.open_overdue, name_key(report.scope_name)),
    )
    regime: Regime = rules.regime(place.province if place is not None else "")
    return {
        "place": place,
        "report": whole,
        "agencies": agencies,
        "said": said or ("" if whole is not None else _IN_VIETNAMESE["no_data"]),
        "regime": regime,
    }


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, day=day, moment=moment, month=month)
    return environment


def number(value: int) -> str:
    """1.234, as Vietnamese documents write it."""
    return f"{value:,}".replace(",", ".")


def percent(value: Decimal | None) -> str:
    """86,44 %; a dash where there is nothing to divide by."""
    return "–" if value is None else f"{value:.2f}\u00a0%".replace(".", ",")


def day(value: date) -> str:
    """14/11/2024."""
    return f"{value:%d/%m/%Y}"


def moment(value: datetime) -> str:
    """14/11/2024 17:05, local."""
    return f"{value.astimezone(ICT):%d/%m/%Y %H:%M}"


def month(period: str) -> str:
    """11/2024; Q4/2024; 2024."""
    year, _, number_in_year = period.partition("-")
    return f"{number_in_year}/{year}" if number_in_year else year


def answer(content: Mapping[str, Any]) -> Response:
    """A JSON answer."""
    return Response(
        pydantic_core.to_json(content), media_type="application/json", headers={"cache-control": "no-cache"}
    )
