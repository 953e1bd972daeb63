"""The issuer as an OpenID provider: where its pages are, and tokens for a code.

Sources: OpenID Connect Core 1.0, OpenID Connect Discovery 1.0, RFC 6749, RFC 7636 (PKCE). Real time throughout. Neither
a code nor a token is ever logged, nor told in an error.
"""

import asyncio
import base64
import functools
import hashlib
import math
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar
from urllib.parse import quote_plus

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from shared.runtime.keys import LOOPBACK

log = structlog.get_logger()

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
DISCOVERY_KEPT_SECONDS: Final = 3_600.0
ASK_SECONDS_MAX: Final = 5.0
FAILED_KEPT_SECONDS: Final = 2.0
"""An issuer that did not answer is not asked again for so long: many may wait, and each would wait in turn."""
EXCHANGES_MAX: Final = 20
"""Codes exchanged at once; whoever has a login cookie can have us ask the issuer."""
ANSWER_BYTES_MAX: Final = 256 * 1024
CHALLENGE_METHOD: Final = "S256"

_ERROR_CODE: Final = re.compile(r"[a-z][a-z_]{0,39}")
_Answer = TypeVar("_Answer", bound=BaseModel)


class LoginFault(StrEnum):
    """Why a login did not come about. Stable words: a metric's label, and what an officer tells an operator."""

    NOT_SET_UP = "login_not_set_up"
    ISSUER_DOWN = "issuer_down"
    ISSUER_UNSOUND = "issuer_unsound"
    """It answers what the standards do not allow, or what is not safe."""
    ISSUER_REFUSED = "issuer_refused"
    """It sent the officer back with an error."""
    CLIENT_REFUSED = "client_refused"
    """It does not know us by our id and secret."""
    CODE_REFUSED = "code_refused"
    """The code was used before, is too old, or somebody else's."""
    BUSY = "busy"
    STATE_UNKNOWN = "state_unknown"
    """Nobody here began this login, or too long ago."""
    IDENTITY_REFUSED = "identity_refused"
    """The ID token is not the answer to what was asked."""
    ACCESS_REFUSED = "access_refused"
    """The access token is none that we take."""
    ACCESS_TOO_LARGE = "access_too_large"
    KEYS_MISSING = "keys_missing"
    FOREIGN_FORM = "foreign_form"
    """A form that another site's page sent."""


class LoginError(Exception):
    """A login that ends here. `detail`: a word for the operator; never a code, a token or what a stranger wrote."""

    def __init__(self, fault: LoginFault, detail: str = "") -> None:
        super().__init__(fault)
        self.fault = fault
        self.detail = detail


class Endpoints(BaseModel):
    """What the issuer's discovery document says, as far as we need it."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None = None
    code_challenge_methods_supported: tuple[str, ...] | None = None
    authorization_response_iss_parameter_supported: bool = False


class Tokens(BaseModel):
    """What a code was exchanged for."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: SecretStr
    id_token: SecretStr


@dataclass(frozen=True, slots=True)
class Client:
    """As whom the issuer knows us."""

    id: str
    redirect_uri: str
    scope: str
    secret: str = field(default="", repr=False)
    """Empty: a public client."""


class Provider:
    """The issuer, asked over HTTP. Raises LoginError."""

    def __init__(
        self,
        issuer: str,
        client: Client,
        *,
        discovery_url: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        real_time: Callable[[], float] = time.monotonic,
    ) -> None:
        """`discovery_url`: where the document is, if not where the issuer's name says."""
        self.client = client
        self._issuer = issuer
        self._discovery_url = discovery_url or issuer.rstrip("/") + DISCOVERY_PATH
        if not is_safe_url(self._discovery_url):
            raise ValueError(
                f"{self._discovery_url!r} is not https; set DONDOC_LOGIN_DISCOVERY_URL to where the issuer's "
                f"{DISCOVERY_PATH} is read over https"
            )
        self._transport = transport
        self._real_time = real_time
        self._asking = asyncio.Lock()
        self._endpoints: Endpoints | None = None
        self._read_at = -math.inf
        self._failed_at = -math.inf
        self._failed_with = LoginFault.ISSUER_DOWN
        self._exchanges = 0

    async def endpoints(self) -> Endpoints:
        """Where its pages are. Read once an hour."""
        async with self._asking:
            now = self._real_time()
            if self._endpoints is not None and now - self._read_at < DISCOVERY_KEPT_SECONDS:
                return self._endpoints
            if now - self._failed_at < FAILED_KEPT_SECONDS:
                raise LoginError(self._failed_with)
            try:
                self._endpoints = self._sound(
                    _read(Endpoints, await self._ask("GET", self._discovery_url, expected={httpx.codes.OK}))
                )
            except LoginError as error:
                self._failed_at, self._failed_with = self._real_time(), error.fault
                raise
            self._read_at = now
            return self._endpoints

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where the officer's browser is sent to log in."""
        endpoint = httpx.URL((await self.endpoints()).authorization_endpoint)
        return str(
            endpoint.copy_merge_params(
                {
                    "response_type": "code",
                    "client_id": self.client.id,
                    "redirect_uri": self.client.redirect_uri,
                    "scope": self.client.scope,
                    "state": state,
                    "nonce": nonce,
                    "code_challenge": challenge(verifier),
                    "code_challenge_method": CHALLENGE_METHOD,
                }
            )
        )

    async def check_sender(self, claimed: str | None) -> None:
        """That an answer came from this issuer (RFC 9207), where it says so or promised to."""
        promised = (await self.endpoints()).authorization_response_iss_parameter_supported
        if claimed != self._issuer and (promised or claimed is not None):
            raise LoginError(LoginFault.ISSUER_UNSOUND, "iss")

    async def exchange(self, code: str, verifier: str) -> Tokens:
        """The tokens for a code."""
        if self._exchanges >= EXCHANGES_MAX:
            raise LoginError(LoginFault.BUSY)
        self._exchanges += 1
        try:
            return _read(Tokens, await self._exchanged(code, verifier))
        finally:
            self._exchanges -= 1

    async def _exchanged(self, code: str, verifier: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "code_verifier": verifier,
        }
        auth = None
        if self.client.secret:
            # client_secret_basic, each part form-encoded first (RFC 6749 §2.3.1).
            auth = httpx.BasicAuth(quote_plus(self.client.id), quote_plus(self.client.secret))
        else:
            form["client_id"] = self.client.id
        refusals = {httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}
        answer = await self._ask(
            "POST",
            (await self.endpoints()).token_endpoint,
            expected={httpx.codes.OK, *refusals},
            data=form,
            auth=auth,
        )
        if answer.status_code in refusals:
            said = _error_code(answer)
            fault = LoginFault.CODE_REFUSED if said == "invalid_grant" else LoginFault.CLIENT_REFUSED
            raise LoginError(fault, said)
        return answer

    async def _ask(self, method: str, url: str, *, expected: set[int], **content: Any) -> httpx.Response:
        """An answer with one of these status codes, read whole. Redirects are not followed: who stands there?"""
        try:
            async with (
                asyncio.timeout(ASK_SECONDS_MAX),
                self._http(url) as client,
                client.stream(method, url, headers={"accept": "application/json"}, **content) as answer,
            ):
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES_MAX:
                        raise LoginError(LoginFault.ISSUER_UNSOUND, "too_large")
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            log.warning("login.issuer_down", url=url, cause=type(error).__name__)
            raise LoginError(LoginFault.ISSUER_DOWN) from None
        if answer.status_code not in expected:
            log.warning("login.issuer_answers", url=url, status=answer.status_code)
            is_down = answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS
            fault = LoginFault.ISSUER_DOWN if is_down else LoginFault.ISSUER_UNSOUND
            raise LoginError(fault, f"http_{answer.status_code}")
        return httpx.Response(answer.status_code, content=bytes(body))

    def _http(self, url: str) -> httpx.AsyncClient:
        # A proxy of the environment has no business on the loopback address.
        uses_proxy = httpx.URL(url).host not in LOOPBACK
        return httpx.AsyncClient(
            transport=self._transport, timeout=ASK_SECONDS_MAX, trust_env=uses_proxy, verify=_tls()
        )

    def _sound(self, found: Endpoints) -> Endpoints:
        """The document, if it is this issuer's and leads nowhere unsafe."""
        urls = (found.authorization_endpoint, found.token_endpoint, found.end_session_endpoint)
        methods = found.code_challenge_methods_supported
        wrong = {
            # Another's document would send codes, and our secret, to another (mix-up).
            "issuer": found.issuer != self._issuer,
            "http": not all(is_safe_url(url) for url in urls if url is not None),
            "pkce": methods is not None and CHALLENGE_METHOD not in methods,
        }
        for what, is_wrong in wrong.items():
            if is_wrong:
                log.error("login.issuer_unsound", url=self._discovery_url, what=what)
                raise LoginError(LoginFault.ISSUER_UNSOUND, what)
        return found


def challenge(verifier: str) -> str:
    """What is shown first of a verifier (RFC 7636 §4.2, S256)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def is_safe_url(url: str) -> bool:
    """Whether tokens may travel there: https, or this machine."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return bool(parts.host) and (parts.scheme == "https" or (parts.scheme == "http" and parts.host in LOOPBACK))


def is_answer(
    claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: float, leeway_seconds: float
) -> bool:
    """Whether an ID token answers this very login (OpenID Connect Core 1.0 §3.1.3.7)."""
    audience = claims.get("aud")
    party = claims.get("azp", client_id)
    expires_at = claims.get("exp")
    return (
        claims.get("iss") == issuer
        and client_id in (audience if isinstance(audience, list) else [audience])
        and party == client_id
        and isinstance(expires_at, int | float)
        and now < expires_at + leeway_seconds
        and claims.get("nonce") == nonce
    )


def error_word(text: str) -> str:
    """An error code of OAuth as far as it can be shown and logged; what looks like none is only called unknown."""
    return text if _ERROR_CODE.fullmatch(text) else "unknown"


def _error_code(answer: httpx.Response) -> str:
    try:
        return error_word(str(answer.json()["error"]))
    except (ValueError, KeyError, TypeError):
        return "unknown"


def _read(model: type[_Answer], answer: httpx.Response) -> _Answer:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        fields = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        log.error("login.issuer_unsound", what=fields or "no_json")
        raise LoginError(LoginFault.ISSUER_UNSOUND, fields or "no_json") from None


@functools.cache
def _tls() -> ssl.SSLContext:
    """Made once: reading all authorities takes as long as a login."""
    return httpx.create_ssl_context()
