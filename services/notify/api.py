"""Alerts, silences and previews over HTTP: why something was sent or stays silent. No addresses (ADR 0010, 0019)."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any
from uuid import uuid4

import pydantic_core
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.notify import openapi
from services.notify.domain import timing
from services.notify.domain.dispatch import Lane, desk_of, slot_of, waits_with
from services.notify.domain.pipeline import Stage, Step
from services.notify.domain.reading import SCOPES
from services.notify.domain.silences import Silence, fault
from services.notify.handlers import SLOTS
from services.notify.lookup import Lookup
from services.notify.ports import AlertWithDeliveries, Channel, Compose, NotifyStore
from services.notify.previews import Previews
from shared.contracts.claims import Credential
from shared.contracts.identifiers import AgencyCode, DirectiveSlug, TaskId
from shared.runtime.bearer import Verify, for_bearers
from shared.runtime.clock import Clock
from shared.runtime.problems import problem
from shared.supervision import AUTHORITY_WRITE, sees_province
from shared.workdays.calendar import local_day

PAGE_DEFAULT = 50
PAGE_MAX = 500
BODY_BYTES_MAX = 16 * 1024
FILTERS = ("agency", "kind", "task_id", "directive", "outcome")


class _SilenceAsked(BaseModel):
    """The body of POST /v1/silences."""

    model_config = ConfigDict(extra="forbid")
    silence_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Give one, and a repeat makes no second silence."""
    agency: AgencyCode | None = None
    directive: DirectiveSlug | None = None
    task_id: TaskId | None = None
    reason: str = Field(min_length=1, max_length=500)
    starts_at: AwareDatetime | None = None
    """None: now."""
    ends_at: AwareDatetime


class AlertApi:
    """`/v1/alerts`, `/v1/silences`, `/v1/digests`. `verify`: how tokens are verified; None lets everybody read."""

    def __init__(
        self,
        store: NotifyStore,
        lookup: Lookup,
        channels: Mapping[str, Channel],
        compose: Compose,
        clock: Clock,
        *,
        verify: Verify | None,
    ) -> None:
        self._store = store
        self._lookup = lookup
        self._previews = Previews(store, lookup, channels, compose)
        self._clock = clock
        self._verify = verify

    def routes(self) -> list[Route]:
        """All routes."""

        def reading(endpoint: Any) -> Any:
            return for_bearers(endpoint, self._verify, scopes=SCOPES)

        def writing(endpoint: Any) -> Any:
            return for_bearers(endpoint, self._verify, scopes=(AUTHORITY_WRITE,))

        return [
            Route("/v1/alerts", reading(self.list_alerts)),
            Route("/v1/alerts/{alert_id:path}/resend", writing(self.resend), methods=["POST"]),
            Route("/v1/silences", reading(self.list_silences)),
            Route("/v1/silences", writing(self.silence), methods=["POST"]),
            Route("/v1/silences/{silence_id}", writing(self.end_silence), methods=["DELETE"]),
            Route("/v1/digests/preview", reading(self.preview)),
            Route("/openapi.json", self.openapi),
        ]

    async def openapi(self, _: Request) -> Response:
        """The description of this API."""
        return _json(openapi.document())

    # -- alerts ----------------------------------------------------------------------------------------------------

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
        following = found[-1].decided.alert.alert_id if len(found) == limit else None
        return _json({"alerts": [_row(one) for one in found], "next": following})

    async def resend(self, request: Request, credential: Credential | None) -> Response:
        """Send an alert once more to everybody who was sent it or could not be reached, at once, under new ids."""
        if credential is None:
            return _writing_needs_token()
        alert_id = request.path_params["alert_id"]
        found = await self._store.find_alert(alert_id)
        if found is None or found.decided.alert.province != credential.province:
            return problem(404, "not_found", f"There is no alert {alert_id!r}; GET /v1/alerts lists them.")
        now = self._clock.now()
        registry = await self._lookup.registry(credential.province)
        alert = found.decided.alert
        again = []
        for one in await self._store.deliveries_about(alert_id):
            desk = desk_of(one.recipient, registry, alert.province, local_day(now))
            times = one.resent + 1
            waits = waits_with(alert, desk, one.channel, Lane.RESEND, resent=times)
            slot = slot_of(alert.province, desk.agency, SLOTS)
            again.append(replace(one, lane=Lane.RESEND, waits=waits, slot=slot, resent=times))
        count = await self._store.resend(again, Step(Stage.SEND, f"again, asked by {credential.agency}"), at=now)
        if not count:
            return problem(
                409, "nothing_to_resend", "None of its deliveries was sent or has failed: each waits or was silenced."
            )
        return _json({"alert_id": alert_id, "deliveries": count}, status=202)

    # -- silences --------------------------------------------------------------------------------------------------

    async def list_silences(self, request: Request, credential: Credential | None) -> Response:
        """The silences of the province, the newest first; `active=true`: those that hold now."""
        query = request.query_params
        if unknown := sorted(set(query) - {"active", "province"}):
            return problem(400, "unknown_filter", f"Unknown filter {unknown[0]!r}. Known: active, province.")
        province = credential.province if credential is not None else query.get("province", "")
        if not province:
            return problem(400, "malformed_filter", "Without a token, name the province: ?province=H48.")
        active_at = self._clock.now() if query.get("active") == "true" else None
        found = await self._store.silences(province, active_at=active_at)
        reader = await self._agency_only(credential) if credential is not None else None
        return _json({"silences": [asdict(one) for one in found if reader is None or _concerns(one, reader)]})

    async def silence(self, request: Request, credential: Credential | None) -> Response:
        """Be quiet about an agency, a directive or a task until an instant."""
        if credential is None:
            return _writing_needs_token()
        body = await _body(request)
        if body is None:
            return problem(413, "too_large", f"A silence is at most {BODY_BYTES_MAX} bytes of JSON.")
        try:
            asked = _SilenceAsked.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = "/" + "/".join(str(part) for part in first["loc"])
            return problem(422, "invalid_silence", f"{where}: {first['msg']}. Correct it, then send it again.")
        now = self._clock.now()
        silence = Silence(
            asked.silence_id or uuid4().hex,
            credential.province,
            asked.agency,
            asked.directive,
            asked.task_id,
            asked.reason,
            credential.agency,
            asked.starts_at or now,
            asked.ends_at,
        )
        if (wrong := fault(silence, now=now)) is not None:
            return problem(422, "invalid_silence", f"{wrong[0].upper()}{wrong[1:]}. Correct it, then send it again.")
        kept = await self._store.add_silence(silence)
        self._lookup.forget()
        if _asked(kept) != _asked(silence):
            return problem(409, "id_reused", f"{silence.silence_id!r} is another silence already; choose another id.")
        return _json(asdict(kept), status=201, headers={"Location": f"/v1/silences/{kept.silence_id}"})

    async def end_silence(self, request: Request, credential: Credential | None) -> Response:
        """End a silence now. What it held back comes up again."""
        if credential is None:
            return _writing_needs_token()
        now = self._clock.now()
        digest = timing.next_digest(now, self._lookup.rules(credential.province))
        silence_id = request.path_params["silence_id"]
        ended = await self._store.end_silence(credential.province, silence_id, at=now, digest=digest)
        self._lookup.forget()
        if ended is None:
            return problem(404, "not_found", f"There is no silence {silence_id!r}; GET /v1/silences lists them.")
        return _json(asdict(ended))

    # -- previews --------------------------------------------------------------------------------------------------

    async def preview(self, request: Request, credential: Credential | None) -> Response:
        """The next digest of an agency as it would leave; HTML for who accepts that rather than JSON."""
        query = request.query_params
        if unknown := sorted(set(query) - {"agency", "province"}):
            return problem(400, "unknown_filter", f"Unknown filter {unknown[0]!r}. Known: agency, province.")
        province = credential.province if credential is not None else query.get("province", "")
        agency = query.get("agency") or (credential.agency if credential is not None else "")
        if not province or not agency:
            return problem(400, "malformed_filter", "Name the agency: ?agency=H48.21; without a token &province=H48.")
        if credential is not None and await self._agency_only(credential) not in {None, agency}:
            return problem(403, "not_yours", "An agency previews its own digest only.")
        found = await self._previews.digest(province, agency, now=self._clock.now())
        if found is None:
            return problem(404, "not_found", f"The registry knows no agency {agency!r} in {province}.")
        message, leaves, has_news = found
        if "text/html" in request.headers.get("accept", ""):
            return Response(message.html, media_type="text/html")
        return _json(
            {
                "leaves_at": leaves,
                "has_news": has_news,
                "subject": message.subject,
                "text": message.text,
                "digest": message.data,
            }
        )

    async def _agency_only(self, credential: Credential) -> str | None:
        """Whose alerts are shown; None for those of the whole province."""
        registry = await self._lookup.registry(credential.province)
        role = registry.role(credential.agency, local_day(self._clock.now()))
        return None if sees_province(credential.scopes, role) else credential.agency


def _row(one: AlertWithDeliveries) -> dict[str, Any]:
    decided = one.decided
    return {
        **asdict(decided.alert),
        "outcome": "notify" if decided.notify else "silent",
        "state": one.state,
        "reason": decided.reason,
        "recipients": [asdict(recipient) for recipient in decided.recipients],
        "decided_at": decided.decided_at,
        "stages": [asdict(step) for step in decided.steps],
        "deliveries": [asdict(delivery) for delivery in one.deliveries],
    }


def _asked(one: Silence) -> tuple[object, ...]:
    """What tells one silence from another with its id; not when it starts, which is now where nothing is said."""
    return (one.agency, one.directive, one.task_id, one.reason, one.ends_at)


def _concerns(silence: Silence, agency: str) -> bool:
    """Whether a silence may be about an agency's tasks."""
    of_task = None if silence.task_id is None else silence.task_id.split("/")[3]
    return silence.agency in {None, agency} and of_task in {None, agency}


async def _body(request: Request) -> bytes | None:
    """The body; None where it is too large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return body


def _writing_needs_token() -> Response:
    return problem(
        403, "writing_needs_token", "This system reads without tokens (DONDOC_READING_NEEDS_TOKEN); writing needs one."
    )


def _json(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = pydantic_core.to_json(content)
    return Response(body, status_code=status, headers=dict(headers or {}), media_type="application/json")
