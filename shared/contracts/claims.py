"""What an access token says of its bearer: the claims that every service reads alike (design §5, RFC 9068)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from shared.contracts.identifiers import AgencyCode, ProvinceCode

SCOPES_MAX: Final = 50

_province: Final = TypeAdapter(ProvinceCode)
_agency: Final = TypeAdapter(AgencyCode)


class ClaimError(ValueError):
    """A claim is missing or cannot be read; the message says which, never what stood there."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Whose token it is and what it is good for."""

    province: str
    agency: str
    scopes: frozenset[str]


def credential(claims: Mapping[str, Any]) -> Credential:
    """The bearer of verified claims. Raises ClaimError."""
    province, agency, scope = claims.get("province"), claims.get("agency"), claims.get("scope")
    if not isinstance(province, str) or not _matches(_province, province):
        raise ClaimError("the claim province is missing or no province code")
    if not isinstance(agency, str) or not _matches(_agency, agency):
        raise ClaimError("the claim agency is missing or no agency code")
    if not isinstance(scope, str):
        raise ClaimError("the claim scope is missing")
    return Credential(province, agency, frozenset(scope.split(" ", SCOPES_MAX)[:SCOPES_MAX]))


def _matches(adapter: TypeAdapter[str], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True
