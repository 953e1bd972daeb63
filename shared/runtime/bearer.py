"""Bearer tokens over HTTP (RFC 6750): the header, the challenge, and what those hear who are not let in."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from shared.contracts.claims import Credential
from shared.runtime import metrics
from shared.runtime.keys import KeyMetrics
from shared.runtime.problems import problem
from shared.runtime.process import Loop
from shared.runtime.settings import ReadingSettings
from shared.runtime.tokens import TokenFault, TokenRefusedError, TokenVerifier

log = structlog.get_logger()

_REALM: Final = 'Bearer realm="dondoc"'
_RETRY_AFTER_SECONDS: Final = 2

SCOPE_MISSING: Final = "scope_missing"
SECURITY_SCHEME: Final[dict[str, Any]] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "OAuth 2.0 access token by RFC 9068 (RS256, ES256 or EdDSA) with the claims "
    "`province`, `agency` and `scope`.",
}
"""For `components.securitySchemes` of an OpenAPI document."""
SECURITY: Final[list[dict[str, Any]]] = [{"bearer": []}]
"""For each operation that needs a token."""

RETRY_AFTER: Final[dict[str, Any]] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
"""The headers of an answer that asks to come again."""

COUNTS: Final = KeyMetrics(
    keys=metrics.VERIFICATION_KEYS,
    keys_refused=metrics.KEYS_REFUSED,
    key_reloads_failed=metrics.KEY_RELOADS_FAILED,
    tokens_verified=metrics.TOKENS_VERIFIED,
)

KEYS_POLL_SECONDS: Final = 0.5
"""How often is looked whether it is time to ask the issuer."""

Verify = Callable[[str], Credential]
Endpoint = Callable[[Request], Awaitable[Response]]


def bearer(authorizations: Sequence[bytes]) -> str:
    """The token of the Authorization header. Raises TokenRefusedError."""
    if not authorizations:
        raise TokenRefusedError(TokenFault.MISSING, "Send a token: Authorization: Bearer <token>.")
    scheme, _, token = authorizations[0].partition(b" ")
    if scheme.lower() != b"bearer":
        raise TokenRefusedError(TokenFault.MISSING, "Send a bearer token: Authorization: Bearer <token>.")
    if len(authorizations) > 1 or not token.strip():
        raise TokenRefusedError(TokenFault.MALFORMED, "Send exactly one token: Authorization: Bearer <token>.")
    return token.strip().decode("latin-1")


def token_challenge(fault: str) -> str:
    """WWW-Authenticate of a 401. Who sent no token at all is told nothing about errors (RFC 6750 §3.1)."""
    return _REALM if fault == TokenFault.MISSING else f'{_REALM}, error="invalid_token"'


def scope_challenge(needed: Collection[str]) -> str:
    """WWW-Authenticate of a 403 for want of a scope."""
    return f'{_REALM}, error="insufficient_scope", scope="{" ".join(needed)}"'


def token_status(fault: str) -> int:
    """401; 503 where the token is not to blame."""
    return 503 if fault == TokenFault.KEYS_MISSING else 401


def reading_verifier(settings: ReadingSettings) -> TokenVerifier | None:
    """What verifies the tokens of those who read; None where the settings let everybody read everything."""
    if not settings.reading_needs_token or settings.credentials is None:
        log.warning("reading.open", hint="no token is needed to read; for trials only")
        return None
    # From here on they are waited for, also where the file cannot be read.
    metrics.VERIFICATION_KEYS.set(0)
    return TokenVerifier.of(settings.credentials, COUNTS, tokens_cached_max=settings.tokens_cached_max)


def key_loops(verify: TokenVerifier | None) -> list[Loop]:
    """What keeps the keys as their issuer publishes them, where it publishes them at an address."""
    download = verify.download if verify is not None else None
    return [Loop("keys", download.turn, every_seconds=KEYS_POLL_SECONDS)] if download is not None else []


def for_bearers(
    endpoint: Callable[[Request, Credential | None], Awaitable[Response]],
    verify: Verify | None,
    *,
    scopes: Collection[str],
) -> Endpoint:
    """An endpoint that only a token with one of these scopes opens. Where none is needed it is called with None."""

    async def guarded(request: Request) -> Response:
        if verify is None:
            return await endpoint(request, None)
        authorizations = [value for name, value in request.scope["headers"] if name == b"authorization"]
        try:
            credential = verify(bearer(authorizations))
        except TokenRefusedError as error:
            metrics.READS_REFUSED.labels(error.fault.value).inc()
            return _not_known(error)
        if credential.scopes.isdisjoint(scopes):
            metrics.READS_REFUSED.labels(SCOPE_MISSING).inc()
            return _not_allowed(scopes)
        return await endpoint(request, credential)

    return guarded


def refusals(described: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """What for_bearers answers, for the responses of an operation; `described` turns codes into a response."""
    tokens = [fault for fault in TokenFault if fault is not TokenFault.KEYS_MISSING]
    challenge = {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}
    return {
        "401": {**described(", ".join(f"`{fault.value}`" for fault in tokens)), "headers": challenge},
        "403": {**described(f"`{SCOPE_MISSING}`"), "headers": challenge},
        "503": {
            **described(f"`{TokenFault.KEYS_MISSING.value}`"),
            "headers": RETRY_AFTER,
        },
    }


def _not_known(refused: TokenRefusedError) -> Response:
    status = token_status(refused.fault)
    answer = problem(status, refused.fault.value, refused.detail)
    if status == 401:
        answer.headers["WWW-Authenticate"] = token_challenge(refused.fault)
    else:
        answer.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return answer


def _not_allowed(scopes: Collection[str]) -> Response:
    known = ", ".join(scopes)
    answer = problem(
        403, SCOPE_MISSING, f"The token's scope has none of these: {known}. Ask the issuer for one that has."
    )
    answer.headers["WWW-Authenticate"] = scope_challenge(scopes)
    return answer
