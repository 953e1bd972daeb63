"""Access tokens by RFC 9068, verified against a JWKS file. Real time throughout; no token ever leaves this file."""

import base64
import hashlib
import math
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import pydantic_core
import structlog
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from prometheus_client import Counter, Gauge

from shared.contracts.claims import ClaimError, Credential, credential
from shared.runtime.settings import CredentialSettings

log = structlog.get_logger()

Key = RSAKey | ECKey | OKPKey

LEEWAY_SECONDS_MAX: Final = 60
TOKEN_CHARS_MAX: Final = 8_192
RELOAD_SECONDS: Final = 1.0
RSA_BITS_MIN: Final = 2_048

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
_ALGORITHMS: Final[Mapping[str, str]] = {"RS256": "RSA", "ES256": "P-256", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
"""What tokens may be signed with → the one kind of key that verifies it. `Ed25519` is RFC 9864's word for `EdDSA`."""


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
class TokenMetrics:
    """Where a service counts; each has metrics of its own name."""

    keys: Gauge
    keys_refused: Counter
    key_reloads_failed: Counter
    tokens_verified: Counter


@dataclass(frozen=True, slots=True)
class _Verified:
    credential: Credential
    expires_at: float
    """Seconds since 1970, the leeway included."""


class KeyFile:
    """The keys of a JWKS file, read again when the file changes, looked at once a second at most."""

    def __init__(self, path: Path, counts: TokenMetrics, *, real_time: Callable[[], float] = time.time) -> None:
        self._path = path
        self._counts = counts
        self._real_time = real_time
        self._looked_at = -math.inf
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, tuple[str, Key]] = {}
        self.version = 0
        """Grows with every change of the keys."""

    def keys(self) -> Mapping[str, tuple[str, Key]]:
        """Key id → the kind of key and the key."""
        now = self._real_time()
        if not 0 <= now - self._looked_at < RELOAD_SECONDS:
            self._looked_at = now
            self._look()
        return self._keys

    def _look(self) -> None:
        try:
            state = os.stat(self._path)
            seen = (state.st_mtime_ns, state.st_size, state.st_ino)
            if seen == self._seen:
                return
            keys = _read_keys(self._path.read_bytes(), self._counts.keys_refused)
        # Whatever is wrong with the new file, the keys before still verify what they signed.
        except (OSError, ValueError) as error:
            self._counts.key_reloads_failed.inc()
            log.error("keys.unreadable", file=str(self._path), cause=type(error).__name__, kept=len(self._keys))
            return
        self._seen, self._keys = seen, keys
        self.version += 1
        self._counts.keys.set(len(keys))
        log.info("keys.loaded", file=str(self._path), keys=len(keys))


def _read_keys(content: bytes, refused: Counter) -> dict[str, tuple[str, Key]]:
    document = pydantic_core.from_json(content)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("a JWKS file is an object with a list `keys`")
    keys: dict[str, tuple[str, Key]] = {}
    for one in document["keys"]:
        usable = _usable(one)
        if usable is None or one["kid"] in keys:
            refused.inc()
            log.warning("keys.refused", hint="RSA from 2048 bits, EC P-256 or Ed25519, with a kid of its own")
            continue
        keys[one["kid"]] = usable
    return keys


def _usable(one: Any) -> tuple[str, Key] | None:
    """The kind of key and the key; None for what verifies no token here, such as a shared secret."""
    if not isinstance(one, dict) or not isinstance(one.get("kid"), str) or one.get("use", "sig") != "sig":
        return None
    try:
        kind, key = _import(one)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    declared = one.get("alg")
    return (kind, key) if declared is None or _ALGORITHMS.get(declared) == kind else None


def _import(one: dict[str, Any]) -> tuple[str, Key]:
    match one.get("kty"), one.get("crv"):
        case "RSA", _:
            rsa = RSAKey.import_key(one)
            if rsa.public_key.key_size < RSA_BITS_MIN:
                raise ValueError("the RSA key is too short")
            return "RSA", rsa
        case "EC", "P-256":
            return "P-256", ECKey.import_key(one)
        case "OKP", "Ed25519":
            return "Ed25519", OKPKey.import_key(one)
        case _:
            raise ValueError("this kind of key is not taken")


class TokenVerifier:
    """Turns a token into a credential, or says why not. What it verified it remembers until the token expires."""

    def __init__(
        self,
        keys: KeyFile,
        counts: TokenMetrics,
        *,
        issuer: str,
        audience: str,
        leeway_seconds: int,
        tokens_cached_max: int = 10_000,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        if not 0 <= leeway_seconds <= LEEWAY_SECONDS_MAX:
            raise ValueError(f"DONDOC_JWT_LEEWAY_SECONDS is {leeway_seconds}; 0 to {LEEWAY_SECONDS_MAX} are allowed")
        if not issuer:
            raise ValueError("DONDOC_JWT_ISSUER is empty; name the issuer whose tokens are taken")
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
        counts: TokenMetrics,
        *,
        tokens_cached_max: int,
        real_time: Callable[[], float] = time.time,
    ) -> Self:
        """The verifier that the environment asks for."""
        return cls(
            KeyFile(settings.jwks_file, counts, real_time=real_time),
            counts,
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
            raise TokenRefusedError(
                TokenFault.KEYS_MISSING, "No verification keys are loaded yet. Send it again in a moment."
            )
        if len(token) > TOKEN_CHARS_MAX:
            raise _refused(TokenFault.MALFORMED, f"it is longer than {TOKEN_CHARS_MAX} characters")
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._verified.get(digest)
        if known is None:
            known = self._verify(token, keys)
            self._remember(digest, known)
        elif self._real_time() >= known.expires_at:
            del self._verified[digest]
            raise _refused(TokenFault.EXPIRED, "it has expired")
        else:
            self._verified.move_to_end(digest)
        return known.credential

    def ready(self) -> bool:
        """Whether there are keys to verify with."""
        return bool(self._keys.keys())

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified[digest] = verified
        while len(self._verified) > self._tokens_cached_max:
            self._verified.popitem(last=False)

    def _verify(self, token: str, keys: Mapping[str, tuple[str, Key]]) -> _Verified:
        match = _COMPACT.fullmatch(token)
        header = _object(match[1]) if match else None
        if header is None:
            raise _refused(TokenFault.MALFORMED, "it is not a signed JWT in compact form")
        payload = _checked_signature(token, header, keys, self._counts.tokens_verified)
        claims = _parsed(payload)
        if claims is None:
            raise _refused(TokenFault.MALFORMED, "its claims are no JSON object")
        return self._judge(claims)

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


def _checked_signature(
    token: str, header: Mapping[str, Any], keys: Mapping[str, tuple[str, Key]], checked: Counter
) -> bytes:
    """The payload, once the signature over it is good."""
    if str(header.get("typ", "")).lower() not in _TYPES:
        raise _refused(TokenFault.MALFORMED, "its header says another typ than at+jwt (RFC 9068)")
    if "crit" in header or "b64" in header:
        raise _refused(TokenFault.MALFORMED, "its header demands an extension that is not supported")
    algorithm, key_id = header.get("alg"), header.get("kid")
    wanted = _ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if wanted is None or not isinstance(algorithm, str):
        raise _refused(TokenFault.BAD_SIGNATURE, f"its alg is not one of {', '.join(_ALGORITHMS)}")
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


def _refused(fault: TokenFault, reason: str) -> TokenRefusedError:
    return TokenRefusedError(
        fault, f"The token is refused: {reason}. Ask the issuer for a new one and send the request again."
    )
