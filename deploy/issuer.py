"""A file-based issuer of tokens, for provinces that run none: key pairs in a folder, of which `jwks.json` is public.

Only `jwks.json` goes to the services (`DONDOC_KEYS_DIR`); whoever reads `private/` can speak for every agency.
"""

import json
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from joserfc import jwt
from joserfc.jwk import ECKey

ALGORITHM: Final = "ES256"
CURVE: Final = "P-256"
SCOPES: Final = ("events:write", "authority:write", "tasks:read", "reports:read")


class IssuerError(Exception):
    """What was asked of the issuer cannot be done; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key pair of an issuer."""

    kid: str
    made_at: datetime
    signs: bool
    """Whether new tokens are signed with it; the others only verify what was signed before."""


class FileIssuer:
    """Signs RFC 9068 access tokens that services accept through `jwks.json`."""

    def __init__(self, folder: Path, issuer: str, audience: str, signing: str) -> None:
        self._folder = folder
        self.issuer = issuer
        self.audience = audience
        self._signing = signing
        self.key = self._private(signing)

    @classmethod
    def make(cls, folder: Path, *, issuer: str, audience: str = "dondoc") -> Self:
        """A new issuer with its first key. Refuses a folder that has one."""
        if _state_file(folder).exists():
            raise IssuerError(f"{folder} has an issuer already; `keys rotate` gives it a new key")
        (folder / "private").mkdir(parents=True, exist_ok=True, mode=0o700)
        made = cls(folder, issuer, audience, _new_key(folder))
        made._publish()
        return made

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The issuer of a folder."""
        try:
            state = json.loads(_state_file(folder).read_text(encoding="utf-8"))
            return cls(folder, state["issuer"], state["audience"], state["signing"])
        except FileNotFoundError as error:
            raise IssuerError(f"{folder} has no issuer; `keys init --issuer https://…` makes one") from error
        except (ValueError, KeyError) as error:
            raise IssuerError(f"{_state_file(folder)} cannot be read ({error}); restore it from a backup") from error

    @property
    def jwks_file(self) -> Path:
        """The public keys."""
        return self._folder / "jwks.json"

    def known_keys(self) -> list[KeyState]:
        """All its keys, the oldest first."""
        found = [
            KeyState(path.stem, datetime.fromtimestamp(path.stat().st_mtime, UTC), path.stem == self._signing)
            for path in (self._folder / "private").glob("*.json")
        ]
        return sorted(found, key=lambda one: (one.made_at, one.kid))

    def rotate(self) -> str:
        """Sign with a new key from now on; tokens under the keys before stay good until these are retired."""
        self._signing = _new_key(self._folder)
        self.key = self._private(self._signing)
        self._publish()
        return self._signing

    def retire(self, kid: str) -> None:
        """Forget a key: no token that was signed with it is taken any more."""
        if kid == self._signing:
            raise IssuerError(f"{kid} signs; `keys rotate` first")
        if kid not in {one.kid for one in self.known_keys()}:
            raise IssuerError(f"there is no key {kid}; `keys list` shows those there are")
        # Public first: whatever happens in between, its tokens are refused, and this can be asked for again.
        self._publish(without=kid)
        self._private_file(kid).unlink()

    def mint(
        self,
        agency: str,
        province: str,
        scopes: Iterable[str],
        ttl: timedelta = timedelta(hours=8),
        *,
        subject: str | None = None,
    ) -> str:
        """A bearer token for an agency's system. Its times are real ones, also where a clock runs business time."""
        # RFC 9068: without a person behind the token, the subject is the client itself.
        client = subject or f"{province}/{agency}"
        issued_at = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": client,
            "client_id": client,
            "iat": issued_at,
            "exp": issued_at + int(ttl.total_seconds()),
            "jti": str(uuid.uuid4()),
            "scope": " ".join(scopes),
            "province": province,
            "agency": agency,
        }
        header = {"typ": "at+jwt", "alg": ALGORITHM, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[ALGORITHM])

    def _private_file(self, kid: str) -> Path:
        return self._folder / "private" / f"{kid}.json"

    def _private(self, kid: str) -> ECKey:
        return ECKey.import_key(json.loads(self._private_file(kid).read_text(encoding="utf-8")))

    def _publish(self, *, without: str | None = None) -> None:
        """Public keys first: a token must never be signed with a key that nobody can look up."""
        public = [self._private(one.kid).as_dict(private=False) for one in self.known_keys() if one.kid != without]
        _replace(self.jwks_file, {"keys": public}, mode=0o644)
        state = {"issuer": self.issuer, "audience": self.audience, "signing": self._signing}
        _replace(_state_file(self._folder), state, mode=0o644)


def _state_file(folder: Path) -> Path:
    return folder / "issuer.json"


def _new_key(folder: Path) -> str:
    """Make a key pair; returns its id, the thumbprint by RFC 7638."""
    kid = "-"
    # One of 64 begins with a dash, which `keys retire` would read as an option.
    while kid.startswith("-"):
        key = ECKey.generate_key(CURVE, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
        kid = str(key.kid)
    _replace(folder / "private" / f"{kid}.json", key.as_dict(private=True), mode=0o600)
    return kid


def _replace(path: Path, content: Any, *, mode: int) -> None:
    """Write beside it and rename over: a service reads the file the moment it changes."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    # Created with its mode, so that it is at no moment readable by others.
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
