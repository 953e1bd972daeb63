"""The file of webhook endpoints: which agency's system is told where, and what its messages are signed with."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from shared.contracts.identifiers import AgencyCode, ProvinceCode
from shared.yaml_files import Place, YamlFile

SECRETS_MAX: Final = 5
"""Of one endpoint: the one in use, and those on their way in or out."""
SYMMETRIC_BYTES: Final = range(24, 64 + 1)
"""Standard Webhooks 1.0.0, signature scheme: 192 to 512 bits."""
SEED_BYTES: Final = 32
"""Of an Ed25519 key (RFC 8032); Go, NaCl and libsodium write the public half behind it."""

Secret: TypeAlias = bytes | Ed25519PrivateKey
"""Shared with the receiver (HMAC-SHA256), or ours alone."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an agency's system takes messages."""

    province: str
    agency: str
    url: str = field(repr=False)
    """May carry a key in its query."""
    secrets: tuple[Secret, ...] = field(repr=False)
    """Every message is signed with all of them, so that the receiver may change from one to the next."""
    head: bool = False
    """Whether it also takes what is for the head of the agency in person."""


def _url(text: str, info: ValidationInfo) -> str:
    try:
        url = httpx.URL(text)
        # What the resolver would choke on, such as an empty label.
        url.raw_host.decode("ascii").encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        raise ValueError("this is no url; write https://host/path") from None
    assert info.context is not None
    if url.scheme != "https" and not (info.context["allow_private"] and url.scheme == "http"):
        raise ValueError("this is not https, and messages would travel in the open; write https://host/path")
    if url.userinfo:
        raise ValueError("no name and no password in a url, take them out: messages prove themselves by signatures")
    if not url.host or url.fragment or not (url.port is None or 1 <= url.port <= 65_535):
        raise ValueError("this leads to no server; write https://host/path or https://host:port/path")
    return str(url)


def _secret(written: object) -> Secret:
    """Standard Webhooks 1.0.0, secret serialization."""
    kind, _, encoded = str(written).partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if kind == "whsec" and len(key) in SYMMETRIC_BYTES:
        return key
    if kind == "whsk" and len(key) in {SEED_BYTES, 2 * SEED_BYTES}:
        private = Ed25519PrivateKey.from_private_bytes(key[:SEED_BYTES])
        if key[SEED_BYTES:] in {b"", private.public_key().public_bytes_raw()}:
            return private
    raise ValueError(
        "write whsec_ and base64 of 24 to 64 random bytes (openssl rand -base64 32), "
        "or whsk_ and base64 of an Ed25519 private key (32 bytes, or 64 with its public half)"
    )


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    province: ProvinceCode
    agency: AgencyCode
    url: Annotated[str, AfterValidator(_url)]
    secrets: Annotated[
        tuple[Annotated[Secret, PlainValidator(_secret)], ...], Field(min_length=1, max_length=SECRETS_MAX)
    ]
    head: bool = False


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    endpoints: tuple[_Row, ...]


def read_endpoints(path: Path, *, allow_private: bool) -> tuple[Endpoint, ...]:
    """Read the file. `allow_private`: http is good enough, for trials.

    Raises OSError naming the file, or ValueError naming file, lines and remedies, and nothing of what may be secret.
    """
    file = YamlFile.read(path)
    rows: Sequence[_Row] = ()
    mistakes: list[tuple[Place, str]] = []
    try:
        rows = _File.model_validate(file.content, context={"allow_private": allow_private}).endpoints
    except ValidationError as error:
        # Not `file.into`: it quotes what was written, and a secret may stand in the wrong field.
        mistakes = [(one["loc"], _remedy(one)) for one in error.errors()]
    file.refuse([*mistakes, *_repeated(rows)])
    return tuple(Endpoint(row.province, row.agency, row.url, row.secrets, row.head) for row in rows)


def _repeated(rows: Sequence[_Row]) -> Iterator[tuple[Place, str]]:
    seen: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        if (row.province, row.agency) in seen:
            yield (
                ("endpoints", number, "agency"),
                f"{row.province}/{row.agency} has an endpoint above; take one out, and put all secrets into one list",
            )
        seen.add((row.province, row.agency))


def _remedy(error: ErrorDetails) -> str:
    """What to write instead; pydantic's own words, which quote nothing, where they say enough."""
    match error["type"]:
        case "extra_forbidden":
            known = _Row.model_fields if len(error["loc"]) > 1 else _File.model_fields
            return f"nobody reads this field; correct its name or take it out; known are {', '.join(known)}"
        case "missing" | "too_short":
            return "is missing; add it"
        case "tuple_type":
            return "must be a list, with a dash before each of its items"
        case "model_type":
            return "must be fields with values, such as `name: value`"
        case "too_long":
            return f"are more than {error['ctx']['max_length']}; take out what nobody verifies with any more"
        case "value_error":
            return str(error["ctx"]["error"])
    return error["msg"].replace("Input should", "must", 1).replace("String should", "must", 1)
