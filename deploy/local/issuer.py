"""An issuer of tokens for trials and tests: a key pair in a folder. A province has one of its own."""

import json
import os
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER: Final = "https://dondoc.local/issuer"
AUDIENCE: Final = "dondoc"

_ALGORITHM: Final = "ES256"
_CURVE: Final = "P-256"
_DEFAULT_TTL: Final = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs RFC 9068 access tokens that services accept through `jwks_file`."""

    key: ECKey
    jwks_file: Path
    issuer: str = ISSUER
    audience: str = AUDIENCE

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The issuer of this folder; its key pair is made on first use."""
        folder.mkdir(parents=True, exist_ok=True)
        private_file, jwks_file = folder / "private-key.json", folder / "jwks.json"
        if private_file.exists():
            key = ECKey.import_key(json.loads(private_file.read_text(encoding="utf-8")))
        else:
            key = ECKey.generate_key(_CURVE, {"use": "sig", "alg": _ALGORITHM}, auto_kid=True)
            _write_private(private_file, json.dumps(key.as_dict(private=True)))
        jwks_file.write_text(json.dumps({"keys": [key.as_dict(private=False)]}, indent=2), encoding="utf-8")
        return cls(key, jwks_file)

    @classmethod
    def existing(cls, folder: Path) -> Self | None:
        """The issuer of this folder, if it has one."""
        return cls.open(folder) if (folder / "private-key.json").exists() else None

    def mint(
        self,
        agency: str,
        province: str,
        scopes: Iterable[str],
        ttl: timedelta = _DEFAULT_TTL,
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
        header = {"typ": "at+jwt", "alg": _ALGORITHM, "kid": self.key.kid}
        return jwt.encode(header, claims, self.key, algorithms=[_ALGORITHM])


def _write_private(path: Path, text: str) -> None:
    # Created with its mode, so that it is at no moment readable by others.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
