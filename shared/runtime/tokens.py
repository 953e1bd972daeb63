"""Access tokens by RFC 9068, verified with the keys of `keys`. Real time throughout; no token ever leaves this file."""

import base64
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

import pydantic_core
from joserfc import jws
from joserfc.errors import JoseError
from prometheus_client import Counter

from shared.contracts.claims import ClaimError, Credential, credential
from shared.runtime.keys import ALGORITHMS, Key, KeyDownload, KeyFile, KeyMetrics
from shared.runtime.settings import CredentialSettings

LEEWAY_SECONDS_MAX: Final = 60
TOKEN_CHARS_MAX: Final = 8_192

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})


class TokenFault(StrEnum):
    """Why a token lets nobody in. Stable words that a client's program reads; also metric labels."""

    MISSING = "token_missing"
    MALFORMED = "token_malformed"
    EXPIRED = "token_expired"
    NOT_YET_VALID = "token_not_yet_valid"
    WRONG_AUDIENCE = "token_wrong_audience"
    WRONG_ISSUER = "token_wrong_issuer"
    UNKNOWN_KEY = "token_unknown_key"
    BAD_SIGNATURE = "token_bad_signature"
    INCOMPLETE = "token_incomplete"
    KEYS_MISSING = "keys_missing"
    """Not the token's fault: there is nothing to verify it with yet."""


class TokenRefusedError(Exception):
    """A token that is not taken. `detail` says what was wrong and what to do; it never quotes the token."""

    def __init__(self, fault: TokenFault, detail: str) -> None:
        super().__init__(fault)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class _Verified:
    credential: Credential
    expires_at: float
    """Seconds since 1970, the leeway included."""


class TokenVerifier:
    """Turns a token into a credential, or says why not. What it verified it remembers until the token expires."""

    def __init__(
        self,
        keys: KeyFile,
        counts: KeyMetrics,
        *,
        issuer: str,
        audience: str,
        leeway_seconds: int,
        tokens_cached_max: int = 10_000,
        download: KeyDownload | None = None,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        """`download`: what keeps the file fresh, where that is ours to do; its `turn` is to be called by a loop."""
        if not 0 <= leeway_seconds <= LEEWAY_SECONDS_MAX:
            raise ValueError(f"DONDOC_JWT_LEEWAY_SECONDS is {leeway_seconds}; 0 to {LEEWAY_SECONDS_MAX} are allowed")
        if not issuer:
            raise ValueError("DONDOC_JWT_ISSUER is empty; name the issuer whose tokens are taken")
        self.download = download
        self._keys = keys
        self._counts = counts
        self._issuer = issuer
        self._audience = audience
        self._leeway_seconds = leeway_seconds
        self._tokens_cached_max = tokens_cached_max
        self._real_time = real_time
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._version = keys.version

    @classmethod
    def of(
        cls,
        settings: CredentialSettings,
        counts: KeyMetrics,
        *,
        tokens_cached_max: int,
        real_time: Callable[[], float] = time.time,
    ) -> Self:
        """The verifier that the environment asks for."""
        download = None
        if settings.jwks_url:
            download = KeyDownload(
                settings.jwks_url,
                settings.jwks_file,
                counts,
                every_seconds=settings.jwks_refresh_seconds,
                real_time=real_time,
            )
        stale_seconds_max = settings.jwks_stale_seconds_max if download is not None else None
        return cls(
            KeyFile(settings.jwks_file, counts, stale_seconds_max=stale_seconds_max, real_time=real_time),
            counts,
            download=download,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            leeway_seconds=settings.jwt_leeway_seconds,
            tokens_cached_max=tokens_cached_max,
            real_time=real_time,
        )

    def __call__(self, token: str) -> Credential:
        """Who the bearer is. Raises TokenRefusedError."""
        keys = self._keys.keys()
        if self._keys.version != self._version:
            # A key that is gone verifies nothing any more.
            self._verified.clear()
            self._version = self._keys.version
        if not keys:
            raise _no_keys()
        if len(token) > TOKEN_CHARS_MAX:
            raise _refused(TokenFault.MALFORMED, f"it is longer than {TOKEN_CHARS_MAX} characters")
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._verified.get(digest)
        if known is None:
            try:
                known = self._judge(_signed_claims(token, keys, self._counts.tokens_verified, _TYPES))
            except TokenRefusedError as refused:
                self._ask_for_key(refused)
                raise
            self._remember(digest, known)
        elif self._real_time() >= known.expires_at:
            del self._verified[digest]
            raise _refused(TokenFault.EXPIRED, "it has expired")
        else:
            self._verified.move_to_end(digest)
        return known.credential

    def claims(self, token: str, *, types: Collection[str]) -> dict[str, Any]:
        """What another JWT of the issuer says, such as an ID token. Only its signature and its `typ` are checked.

        `types`: in lower case; "" is for none. Raises TokenRefusedError.
        """
        keys = self._keys.keys()
        if not keys:
            raise _no_keys()
        try:
            return _signed_claims(token, keys, self._counts.tokens_verified, types)
        except TokenRefusedError as refused:
            self._ask_for_key(refused)
            raise

    def ready(self) -> bool:
        """Whether there are keys to verify with."""
        return bool(self._keys.keys())

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        while len(self._verified) > self._tokens_cached_max:
            self._verified.popitem(last=False)

    def _ask_for_key(self, refused: TokenRefusedError) -> None:
        """Where a key may be a new one, have the issuer asked for it and tell the bearer to come again."""
        if refused.fault is TokenFault.UNKNOWN_KEY and self.download is not None and self.download.ask():
            raise TokenRefusedError(
                TokenFault.KEYS_MISSING, "The issuer is being asked for its newest keys. Send it again in a moment."
            ) from refused

    def _judge(self, claims: Mapping[str, Any]) -> _Verified:
        """Decide on the claims of a token whose signature is good."""
        if claims.get("iss") != self._issuer:
            raise _refused(TokenFault.WRONG_ISSUER, "it comes from another issuer than this system trusts")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise _refused(TokenFault.WRONG_AUDIENCE, f"it is not meant for {self._audience!r}")
        expires_at = _instant(claims, "exp")
        if expires_at is None:
            raise _refused(TokenFault.INCOMPLETE, "the claim exp is missing")
        now = self._real_time()
        if now >= expires_at + self._leeway_seconds:
            raise _refused(TokenFault.EXPIRED, "it has expired")
        for name in ("nbf", "iat"):
            begins_at = _instant(claims, name)
            if begins_at is not None and begins_at > now + self._leeway_seconds:
                raise _refused(TokenFault.NOT_YET_VALID, f"its {name} lies in the future; compare the clocks")
        try:
            bearer = credential(claims)
        except ClaimError as error:
            raise _refused(TokenFault.INCOMPLETE, str(error)) from error
        return _Verified(bearer, expires_at + self._leeway_seconds)


def _signed_claims(
    token: str, keys: Mapping[str, tuple[str, Key]], checked: Counter, types: Collection[str]
) -> dict[str, Any]:
    """The claims of a JWT of these types, once its signature is good."""
    match = _COMPACT.fullmatch(token)
    header = _object(match[1]) if match else None
    if header is None:
        raise _refused(TokenFault.MALFORMED, "it is not a signed JWT in compact form")
    if str(header.get("typ", "")).lower() not in types:
        raise _refused(
            TokenFault.MALFORMED, "its header says another typ than it must; an access token's is at+jwt (RFC 9068)"
        )
    claims = _parsed(_checked_signature(token, header, keys, checked))
    if claims is None:
        raise _refused(TokenFault.MALFORMED, "its claims are no JSON object")
    return claims


def _checked_signature(
    token: str, header: Mapping[str, Any], keys: Mapping[str, tuple[str, Key]], checked: Counter
) -> bytes:
    """The payload, once the signature over it is good."""
    if "crit" in header or "b64" in header:
        raise _refused(TokenFault.MALFORMED, "its header demands an extension that is not supported")
    algorithm, key_id = header.get("alg"), header.get("kid")
    wanted = ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if wanted is None or not isinstance(algorithm, str):
        raise _refused(TokenFault.BAD_SIGNATURE, f"its alg is not one of {', '.join(ALGORITHMS)}")
    kind, key = keys.get(key_id, (None, None)) if isinstance(key_id, str) else (None, None)
    if key is None:
        raise _refused(TokenFault.UNKNOWN_KEY, "its header names a kid that is not among the known keys")
    if kind != wanted:
        raise _refused(TokenFault.BAD_SIGNATURE, "its alg does not belong to the key that its kid names")
    checked.inc()
    try:
        return bytes(jws.deserialize_compact(token, key, algorithms=[algorithm]).payload)
    except (JoseError, ValueError, TypeError) as error:
        raise _refused(TokenFault.BAD_SIGNATURE, "its signature does not fit") from error


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # JSON knows 1e999 and true; neither is an instant.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise _refused(TokenFault.MALFORMED, f"the claim {name} is no number of seconds")
    return float(value)


def _object(part: str) -> dict[str, Any] | None:
    try:
        return _parsed(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        value = pydantic_core.from_json(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _no_keys() -> TokenRefusedError:
    return TokenRefusedError(TokenFault.KEYS_MISSING, "No verification keys are loaded yet. Send it again in a moment.")


def _refused(fault: TokenFault, reason: str) -> TokenRefusedError:
    return TokenRefusedError(
        fault, f"The token is refused: {reason}. Ask the issuer for a new one and send the request again."
    )
