"""The keys that tokens are verified with: a JWKS file, and where it may come from. Real time throughout."""

import asyncio
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pydantic_core
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from prometheus_client import Counter, Gauge

log = structlog.get_logger()

Key = RSAKey | ECKey | OKPKey

ALGORITHMS: Final[Mapping[str, str]] = {"RS256": "RSA", "ES256": "P-256", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}
"""What tokens may be signed with → the one kind of key that verifies it. `Ed25519` is RFC 9864's word for `EdDSA`."""
RSA_BITS_MIN: Final = 2_048
RELOAD_SECONDS: Final = 1.0
FETCH_SECONDS_MAX: Final = 5.0
RETRY_SECONDS: Final = 5.0
"""After a first failure; twice as long after each further one, never longer than between two successes."""
FAILURES_MAX: Final = 10
ASKED_SECONDS_MIN: Final = 10.0
"""Anybody can show a key that nobody knows; the issuer is asked no more often for that."""
JWKS_BYTES_MAX: Final = 1024 * 1024
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class KeyMetrics:
    """Where a service counts; each has metrics of its own name."""

    keys: Gauge
    keys_refused: Counter
    key_reloads_failed: Counter
    tokens_verified: Counter


class KeyFile:
    """The keys of a JWKS file, read again when the file changes, looked at once a second at most.

    `stale_seconds_max`: of a file that somebody keeps fresh; one that was not for so long verifies nothing any more.
    """

    def __init__(
        self,
        path: Path,
        counts: KeyMetrics,
        *,
        stale_seconds_max: float | None = None,
        real_time: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._counts = counts
        self._stale_seconds_max = stale_seconds_max
        self._real_time = real_time
        self._looked_at = -math.inf
        self._seen: tuple[int, int, int] | None = None
        self._content = b""
        self._keys: dict[str, tuple[str, Key]] = {}
        self.version = 0
        """Grows with every change of the keys."""

    def keys(self) -> Mapping[str, tuple[str, Key]]:
        """Key id → the kind of key and the key."""
        now = self._real_time()
        if not 0 <= now - self._looked_at < RELOAD_SECONDS:
            self._looked_at = now
            self._look()
            self._forget_if_stale(now)
        return self._keys

    def _look(self) -> None:
        try:
            state = os.stat(self._path)
            seen = (state.st_mtime_ns, state.st_size, state.st_ino)
            if seen == self._seen:
                return
            content = self._path.read_bytes()
            keys = read_keys(content, self._counts.keys_refused)
        # Whatever is wrong with the new file, the keys before still verify what they signed.
        except (OSError, ValueError) as error:
            self._counts.key_reloads_failed.inc()
            log.error("keys.unreadable", file=str(self._path), cause=type(error).__name__, kept=len(self._keys))
            return
        self._seen = seen
        # What was only confirmed changes nothing for the tokens that were verified.
        if content != self._content or not self._keys:
            self._content = content
            self._replace(keys)
            log.info("keys.loaded", file=str(self._path), keys=len(keys))

    def _forget_if_stale(self, now: float) -> None:
        if self._stale_seconds_max is None or self._seen is None or not self._keys:
            return
        if now - self._seen[0] / 1e9 > self._stale_seconds_max:
            log.error("keys.stale", file=str(self._path), hint="the issuer has not confirmed them for too long")
            self._replace({})

    def _replace(self, keys: dict[str, tuple[str, Key]]) -> None:
        self._keys = keys
        self.version += 1
        self._counts.keys.set(len(keys))


class KeyDownload:
    """Keeps a JWKS file as the issuer publishes it. What was fetched once outlives a restart and the issuer's outage.

    `every_seconds`: between confirmations; sooner, once in `ASKED_SECONDS_MIN`, when somebody shows an unknown key.
    """

    def __init__(
        self,
        url: str,
        path: Path,
        counts: KeyMetrics,
        *,
        every_seconds: float,
        real_time: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        parts = httpx.URL(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.host in LOOPBACK):
            raise ValueError("DONDOC_JWKS_URL is not https; keys from an open line let anybody sign")
        self._url = url
        self._path = path
        self._counts = counts
        self._every_seconds = every_seconds
        self._real_time = real_time
        self._transport = transport
        self._tried_at = -math.inf
        self._asked = False
        self._failures = 0

    def ask(self) -> bool:
        """Have the keys fetched soon. False: they were fetched a moment ago, and who asks again learns nothing."""
        if self._real_time() - self._tried_at < ASKED_SECONDS_MIN:
            return self._asked
        self._asked = True
        return True

    async def turn(self) -> None:
        """Fetch, if it is time to. Never raises: the file before stays."""
        now = self._real_time()
        wait = self._every_seconds
        if self._failures:
            wait = min(wait, RETRY_SECONDS * 2 ** (self._failures - 1))
        if not self._asked and 0 <= now - self._tried_at < wait:
            return
        self._tried_at = now
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                content = await self._fetch()
            if not read_keys(content, self._counts.keys_refused):
                raise ValueError("no key in it can be used")
            await asyncio.to_thread(self._keep, content)
        except (httpx.HTTPError, TimeoutError, OSError, ValueError) as error:
            self._failures = min(self._failures + 1, FAILURES_MAX)
            self._counts.key_reloads_failed.inc()
            log.error("keys.not_fetched", url=self._url, cause=type(error).__name__, failures=self._failures)
        else:
            self._failures = 0
        finally:
            self._asked = False

    async def _fetch(self) -> bytes:
        # A redirect would let whoever stands there say who may speak; it is not followed.
        async with (
            httpx.AsyncClient(transport=self._transport, timeout=FETCH_SECONDS_MAX) as client,
            client.stream("GET", self._url, headers={"accept": "application/jwk-set+json, application/json"}) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"answered {answer.status_code}")
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > JWKS_BYTES_MAX:
                    raise ValueError("larger than any key set")
            return bytes(content)

    def _keep(self, content: bytes) -> None:
        """Replace the file in one step: readers see the old one or the new one."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        now = self._real_time()
        os.utime(temporary, (now, now))
        temporary.replace(self._path)


def read_keys(content: bytes, refused: Counter) -> dict[str, tuple[str, Key]]:
    """Key id → the kind of key and the key. Raises ValueError for what is no key set."""
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
    return (kind, key) if declared is None or ALGORITHMS.get(declared) == kind else None


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
