"""The report over HTTP: its content as JSON, and its files. As it was prepared, or of a running period as of now."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import pydantic_core
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.reporting import content_wire
from services.reporting.asking import (
    RefusedError,
    check_period,
    province_needed,
    revision_asked,
    unknown_period,
    unknown_province,
)
from services.reporting.domain.content import Content
from services.reporting.files import csv_file, docx_file, json_file, pdf_file, tables, words, xlsx_file
from services.reporting.login import BoardLogin, wants_page
from services.reporting.ports import Registry
from services.reporting.preparing import ContentStore, Figures, Gathering, ReportRuling
from services.reporting.report_openapi import MEDIA_TYPES, SCOPES
from shared.contracts.claims import Credential
from shared.runtime.bearer import Endpoint, Verify, for_bearers
from shared.runtime.clock import Clock
from shared.runtime.problems import problem
from shared.supervision import AUTHORITY_WRITE, SUPERVISING
from shared.workdays.calendar import local_day

NOT_SUPERVISING: Final = "not_supervising"
FRESH_SECONDS: Final = 20.0
"""Real time for which a provisional content is answered again: gathering reads the tasks of every list."""
PROVISIONAL_MAX: Final = 8
"""So many provisional contents are remembered for that long."""
FILES_MAX: Final = 16
"""So many files are remembered, each of some hundred kilobytes: the same one is asked for by several people."""

_RENDER: Final[Mapping[str, Callable[[Content], bytes]]] = {
    "xlsx": xlsx_file.render,
    "docx": docx_file.render,
    "pdf": pdf_file.render,
}


@dataclass(frozen=True, slots=True)
class Found:
    """A content, and what is known of its preparation."""

    content: Content
    content_hash: str
    prepared: Mapping[str, Any]


class ReportFiles:
    """`/v1/reports/{period}/content.json` and `/v1/reports/{period}.{csv,xlsx,docx,pdf}`.

    `verify`: how tokens are verified; None lets everybody read. `login`: an officer's browser shows its login instead.
    """

    def __init__(
        self,
        reading: Figures,
        store: ContentStore,
        gathering: Gathering,
        rules: ReportRuling,
        clock: Clock,
        *,
        verify: Verify | None,
        login: BoardLogin | None = None,
        real_time: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reading = reading
        self._store = store
        self._gathering = gathering
        self._rules = rules
        self._clock = clock
        self._verify = verify
        self._login = login
        self._real_time = real_time
        # One at a time: a large report takes the processor for seconds, and who consumes Kafka needs it too.
        self._turn = asyncio.Lock()
        self._provisional: OrderedDict[tuple[str, str], tuple[float, Found]] = OrderedDict()
        self._files: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def routes(self) -> list[Route]:
        """All routes. Those of `/v1/reports/{period}.json`, the aggregates, are api.py's."""
        return [
            Route("/v1/reports/{period}/content.json", self._guarded(self.content)),
            *(Route(f"/v1/reports/{{period}}.{ending}", self._guarded(self._file(ending))) for ending in MEDIA_TYPES),
        ]

    def _guarded(self, endpoint: Callable[[Request, Credential | None], Awaitable[Response]]) -> Endpoint:
        bearer = for_bearers(endpoint, self._verify, scopes=SCOPES)
        officer = self._login.for_officers(endpoint) if self._login is not None else bearer

        async def guarded(request: Request) -> Response:
            # A link on the board is followed by a browser, which has a cookie and no header.
            follows_link = "authorization" not in request.headers and wants_page(request)
            return await (officer if follows_link else bearer)(request)

        return guarded

    # -- what is asked ---------------------------------------------------------------------------------------------

    async def content(self, request: Request, credential: Credential | None) -> Response:
        """The content as JSON."""
        try:
            found = await self._find(request, credential)
        except RefusedError as refused:
            return problem(refused.status, refused.code, refused.detail)

        def render() -> bytes:
            return pydantic_core.to_json(json_file.document(found.content) | dict(found.prepared))

        return await self._answer(request, found, "json", "application/json", render)

    def _file(self, ending: str) -> Callable[[Request, Credential | None], Awaitable[Response]]:
        async def file(request: Request, credential: Credential | None) -> Response:
            try:
                table = _table(request) if ending == "csv" else ""
                found = await self._find(request, credential)
            except RefusedError as refused:
                return problem(refused.status, refused.code, refused.detail)

            def render() -> bytes:
                return csv_file.render(found.content, table) if table else _RENDER[ending](found.content)

            return await self._answer(
                request, found, f"{table}.{ending}" if table else ending, MEDIA_TYPES[ending], render
            )

        return file

    async def _find(self, request: Request, credential: Credential | None) -> Found:
        """The content that a request asks for. Raises RefusedError."""
        province = await self._province(request.query_params.get("province"), credential)
        await self._check_reader(province, credential)
        period = request.path_params["period"]
        check_period(self._rules.regime(province), period)
        revision = revision_asked(request)
        prepared = await self._store.prepared(province, period, revision)
        if prepared is not None:
            told = {"revision": prepared.revision, "prepared_at": prepared.prepared_at}
            return Found(prepared.content, prepared.content_hash, told)
        if revision is not None:
            raise RefusedError(
                404, "unknown_revision", f"No revision {revision} of the report on {period} was prepared."
            )
        return await self._as_of_now(province, period)

    async def _as_of_now(self, province: str, period: str) -> Found:
        """Of a period that runs, or has closed and is not prepared yet; remembered for a moment."""
        async with self._turn:
            kept = self._provisional.get((province, period))
            if kept is not None and self._real_time() - kept[0] < FRESH_SECONDS:
                return kept[1]
            content = await self._gathering.content(province, period)
            if content is None:
                raise unknown_period(period)
            content_hash = await asyncio.to_thread(lambda: content.content_hash)
            found = Found(content, content_hash, {})
            _remember(self._provisional, (province, period), (self._real_time(), found), PROVISIONAL_MAX)
            return found

    async def _province(self, asked: str | None, credential: Credential | None) -> str:
        """Whose report; a token's is that of its province."""
        known = await self._reading.provinces()
        if credential is not None:
            if asked not in {None, credential.province}:
                raise unknown_province(str(asked))
            asked = credential.province
        if asked is None and len(known) > 1:
            raise province_needed(known)
        province = asked if asked is not None else next(iter(known), None)
        if province is None or (credential is None and province not in known):
            raise unknown_province(str(province))
        return province

    async def _check_reader(self, province: str, credential: Credential | None) -> None:
        """Who supervises reads the report: it names every agency's tasks, and people (ADR 0023)."""
        if credential is None or AUTHORITY_WRITE in credential.scopes:
            return
        entries = await self._reading.entries(Registry.AGENCIES, province)
        registered = dict(content_wire.registered(one) for one in entries).get(credential.agency)
        if registered is None or registered.role_on(local_day(self._clock.now())) not in SUPERVISING:
            raise RefusedError(
                403,
                NOT_SUPERVISING,
                "The report names all agencies' tasks: the standing agency and the chairman's office read it. The "
                "figures by agency are at /v1/reports/{period}.json, your tasks at /v1/tasks.",
            )

    # -- what is answered ------------------------------------------------------------------------------------------

    async def _answer(
        self, request: Request, found: Found, name: str, media_type: str, render: Callable[[], bytes]
    ) -> Response:
        revision = found.prepared.get("revision", "now")
        key = (found.content_hash, f"{revision}/{name}")
        tag = f'"{found.content_hash[:32]}-{revision}-{name}"'
        headers = {
            "etag": tag,
            # Whoever is logged in next asks again; a prepared revision is then answered with 304.
            "cache-control": "private, no-cache",
            "x-content-type-options": "nosniff",
        }
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        async with self._turn:
            file = self._files.get(key)
            if file is None:
                file = await asyncio.to_thread(render)
                _remember(self._files, key, file, FILES_MAX)
        if name != "json":
            headers["content-disposition"] = disposition(found.content, name.rpartition(".")[2], revision)
        return Response(file, media_type=media_type, headers=headers)


def _remember(kept: "OrderedDict[Any, Any]", key: Any, value: Any, most: int) -> None:
    """The newest few."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def _table(request: Request) -> str:
    asked = request.query_params.get("table", "agencies")
    if asked not in tables.TABLES:
        raise RefusedError(400, "unknown_table", f"Choose a table: {', '.join(tables.TABLES)}.")
    return asked


def disposition(content: Content, ending: str, revision: int | str) -> str:
    """A file name in plain letters, and the Vietnamese one for those who can read it (RFC 6266, RFC 8187)."""
    span = content.span
    plain = f"bao-cao-{content.province}-{span.id}"
    proper = f"Báo cáo {words.period(span.kind, span.id)} - {content.province_name}"
    if content.provisional:
        plain, proper = f"{plain}-tam-tinh", f"{proper} (số liệu tạm tính)"
    elif isinstance(revision, int) and revision > 1:
        plain, proper = f"{plain}-lan-{revision}", f"{proper} (lần {revision})"
    # No character that a file system or a shell takes for something else.
    safe = "".join("-" if one in '/\\:*?"<>|%' else one for one in words.clean(proper))
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(f'{safe}.{ending}', safe='')}"
