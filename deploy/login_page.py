"""A login page for trials: a small OpenID provider over the file-based issuer. Whoever opens it may be any agency.

It listens on this machine only and is no part of the image. A province has a provider of its own (docs/procedures.md).
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus, urlencode

import uvicorn
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from joserfc import jwt
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.issuer import ALGORITHM, SCOPES, FileIssuer, IssuerError
from shared.contracts.identifiers import AgencyCode, ProvinceCode

HOST: Final = "127.0.0.1"
CLIENT_ID: Final = "dondoc-board"
DEMO_AGENCIES: Final = Path(__file__).with_name("demo") / "quang-ngai-2024-10.yaml"
CODE_SECONDS_MAX: Final = 60
CODES_MAX: Final = 1_000
BODY_BYTES_MAX: Final = 64 * 1024
ASKED: Final = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
)
MEANINGS: Final[Mapping[str, str]] = {
    "reports:read": "xem báo cáo",
    "tasks:read": "xem nhiệm vụ",
    "events:write": "gửi sự kiện của cơ quan",
    "authority:write": "giao việc, nghiệm thu, gia hạn (cơ quan thường trực, Văn phòng UBND)",
}
ROLES: Final[Mapping[str, str]] = {"standing": "cơ quan thường trực", "chairman_office": "Văn phòng UBND"}

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_province: Final = TypeAdapter(ProvinceCode)
_agency: Final = TypeAdapter(AgencyCode)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to log in as: an agency."""

    province: str
    agency: str
    name: str
    role: str = "agency"


@dataclass(frozen=True, slots=True)
class Board:
    """Who may send browsers here, and where they are sent back to."""

    urls: tuple[str, ...]
    client_id: str = CLIENT_ID
    secret: str = ""
    """Empty: a public client."""

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """Exactly these; an address that only begins alike may be somebody else's."""
        return tuple(f"{url.rstrip('/')}/login/callback" for url in self.urls)

    @property
    def front_pages(self) -> tuple[str, ...]:
        """Where a logout may lead to."""
        return tuple(f"{url.rstrip('/')}/" for url in self.urls)


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code stands for."""

    person: tuple[str, str]
    scopes: tuple[str, ...]
    redirect_uri: str
    challenge: str
    nonce: str
    until: float


class _AskedWronglyError(Exception):
    """The text says what is wrong with a request that a browser brought."""


class LoginPage:
    """The provider. `folder`: of the file-based issuer, read anew for each token, so that its keys may change."""

    def __init__(
        self,
        folder: Path,
        url: str,
        board: Board,
        people: Sequence[Person],
        *,
        valid: timedelta = timedelta(hours=8),
        real_time: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._issuer = FileIssuer.load(folder).issuer
        self._url = url
        self._board = board
        self._people = people
        self._valid = valid
        self._real_time = real_time
        self._grants: dict[str, _Grant] = {}
        loader = FileSystemLoader(Path(__file__).parent)
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._template = environment.get_template("login_page.html")

    def app(self) -> Starlette:
        """To be served."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/jwks.json", self.jwks),
                Route("/authorize", self.ask),
                Route("/authorize", self.grant, methods=["POST"]),
                Route("/token", self.token, methods=["POST"]),
                Route("/end-session", self.leave),
            ]
        )

    async def discovery(self, _: Request) -> Response:
        """OpenID Connect Discovery 1.0."""
        return JSONResponse(
            {
                "issuer": self._issuer,
                "authorization_endpoint": f"{self._url}/authorize",
                "token_endpoint": f"{self._url}/token",
                "jwks_uri": f"{self._url}/jwks.json",
                "end_session_endpoint": f"{self._url}/end-session",
                "scopes_supported": ["openid", *SCOPES],
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": ["client_secret_basic" if self._board.secret else "none"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def jwks(self, _: Request) -> Response:
        """The public keys."""
        return Response(FileIssuer.load(self._folder).jwks_file.read_bytes(), media_type="application/jwk-set+json")

    async def ask(self, request: Request) -> Response:
        """`GET /authorize`: who is it?"""
        try:
            asked = self._asked(dict(request.query_params))
        except _AskedWronglyError as error:
            return self._page("Không đăng nhập được", str(error), status=400)
        return self._page("Đăng nhập", "", asked=asked)

    async def grant(self, request: Request) -> Response:
        """`POST /authorize`: a code for whom was chosen."""
        try:
            form = await _form(request)
            asked = self._asked({name: values[0] for name, values in form.items()})
            person = self._chosen(form)
        except _AskedWronglyError as error:
            return self._page("Không đăng nhập được", str(error), status=400)
        scopes = tuple(scope for scope in SCOPES if scope in form.get("scope_given", []))
        code = self._keep(
            _Grant(
                person,
                scopes,
                asked["redirect_uri"],
                asked["code_challenge"],
                asked.get("nonce", ""),
                self._real_time() + CODE_SECONDS_MAX,
            )
        )
        answer = {"code": code, "state": asked.get("state", ""), "iss": self._issuer}
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 303, headers=_headers("'self'"))

    async def token(self, request: Request) -> Response:
        """`POST /token`: tokens for a code, which is good once, whatever comes of it."""
        try:
            form = {name: values[0] for name, values in (await _form(request)).items()}
        except _AskedWronglyError:
            return _refusal("invalid_request")
        if not self._is_board(request, form):
            return _refusal("invalid_client", HTTPStatus.UNAUTHORIZED)
        if form.get("grant_type") != "authorization_code":
            return _refusal("unsupported_grant_type")
        grant = self._grants.pop(form.get("code", ""), None)
        if (
            grant is None
            or self._real_time() >= grant.until
            or form.get("redirect_uri") != grant.redirect_uri
            or not _proves(form.get("code_verifier", ""), grant.challenge)
        ):
            return _refusal("invalid_grant")
        issuer = FileIssuer.load(self._folder)
        province, agency = grant.person
        content = {
            "access_token": issuer.mint(agency, province, grant.scopes, self._valid),
            "id_token": self._id_token(issuer, grant),
            "token_type": "Bearer",
            "expires_in": int(self._valid.total_seconds()),
            "scope": " ".join(("openid", *grant.scopes)),
        }
        return JSONResponse(content, headers={"cache-control": "no-store"})

    async def leave(self, request: Request) -> Response:
        """`GET /end-session`: nobody is remembered here, so there is only the way back."""
        back = request.query_params.get("post_logout_redirect_uri")
        if back in self._board.front_pages:
            return RedirectResponse(back, 303, headers=_headers("'self'"))
        return self._page("Đã đăng xuất", "Bạn đã đăng xuất.")

    def _asked(self, given: Mapping[str, str]) -> dict[str, str]:
        """The parameters of a sound request. What is wrong is told here and not sent back: to whom would it go?"""
        asked = {name: given[name] for name in ASKED if name in given}
        if asked.get("client_id") != self._board.client_id:
            raise _AskedWronglyError("Không biết ứng dụng này (client_id).")
        if asked.get("redirect_uri") not in self._board.redirect_uris:
            raise _AskedWronglyError("Địa chỉ quay về (redirect_uri) không phải là địa chỉ đã đăng ký.")
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            raise _AskedWronglyError("Chỉ phục vụ response_type=code với scope openid.")
        if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != 43:
            raise _AskedWronglyError("Cần PKCE với phương thức S256.")
        return asked

    def _chosen(self, form: Mapping[str, Sequence[str]]) -> tuple[str, str]:
        """Province and agency."""
        other = form.get("other", [""])[0].strip()
        province, _, agency = (other or form.get("who", [""])[0]).partition("/")
        try:
            return _province.validate_python(province), _agency.validate_python(agency)
        except ValidationError:
            raise _AskedWronglyError("Cần mã tỉnh và mã cơ quan, ví dụ H48/H48.21.") from None

    def _keep(self, grant: _Grant) -> str:
        now = self._real_time()
        self._grants = {code: one for code, one in self._grants.items() if one.until > now}
        if len(self._grants) >= CODES_MAX:
            self._grants.clear()
        code = secrets.token_urlsafe(32)
        self._grants[code] = grant
        return code

    def _is_board(self, request: Request, form: Mapping[str, str]) -> bool:
        """Whether the board asks: by its secret where it has one (RFC 6749 §2.3.1)."""
        if not self._board.secret:
            return form.get("client_id") == self._board.client_id
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(given, validate=True).decode().partition(":")
        except ValueError:
            return False
        return (
            scheme.lower() == "basic"
            and unquote_plus(name) == self._board.client_id
            and hmac.compare_digest(unquote_plus(secret).encode(), self._board.secret.encode())
        )

    def _id_token(self, issuer: FileIssuer, grant: _Grant) -> str:
        now = int(self._real_time())
        claims = {
            "iss": issuer.issuer,
            "sub": "/".join(grant.person),
            "aud": self._board.client_id,
            "iat": now,
            "exp": now + CODE_SECONDS_MAX,
            **({"nonce": grant.nonce} if grant.nonce else {}),
        }
        return jwt.encode(
            {"typ": "JWT", "alg": ALGORITHM, "kid": issuer.key.kid}, claims, issuer.key, algorithms=[ALGORITHM]
        )

    def _page(self, title: str, text: str, *, status: int = 200, asked: Mapping[str, str] | None = None) -> Response:
        page = self._template.render(
            title=title,
            text=text,
            asked=asked,
            people=self._people,
            scopes=SCOPES,
            wanted=(asked or {}).get("scope", "").split(),
            meanings=MEANINGS,
            roles=ROLES,
        )
        # Browsers hold the redirect that follows a form against form-action, too.
        back = asked["redirect_uri"].removesuffix("/login/callback") if asked else ""
        return HTMLResponse(page, status, headers=_headers(f"'self' {back}".strip()))


def read_people(path: Path) -> tuple[Person, ...]:
    """Who can be chosen: `province`, and `agencies` with `code`, `name` and perhaps `role` and `province`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(
            Person(
                _province.validate_python(one.get("province", content["province"])),
                _agency.validate_python(one["code"]),
                str(one["name"]),
                str(one.get("role", "agency")),
            )
            for one in content["agencies"]
        )
    except (OSError, yaml.YAMLError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise IssuerError(f"{path} is no list of agencies: {type(error).__name__} ({error})") from None


def serve(page: LoginPage, port: int) -> None:
    """Answer on this machine until a signal ends it. No access log: addresses carry codes."""
    uvicorn.run(page.app(), host=HOST, port=port, access_log=False, log_level="warning", server_header=False)


async def _form(request: Request) -> dict[str, list[str]]:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise _AskedWronglyError("Yêu cầu quá dài.")
    try:
        return parse_qs(body.decode(), strict_parsing=bool(body), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise _AskedWronglyError("Không đọc được yêu cầu.") from None


def _proves(verifier: str, challenge: str) -> bool:
    """RFC 7636 §4.6."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return hmac.compare_digest(digest, challenge)


def _refusal(error: str, status: int = HTTPStatus.BAD_REQUEST) -> Response:
    headers = {"cache-control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Basic realm="dondoc"'
    return JSONResponse({"error": error}, status, headers=headers)


def _headers(form_action: str) -> dict[str, Any]:
    return {
        "content-security-policy": f"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
        f"form-action {form_action}; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
