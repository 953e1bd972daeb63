"""Whom or what a report is on: the province, an agency, a group of agencies, a directive or a category."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PROVINCE_SCOPE: Final = "province"


class ScopeKind(StrEnum):
    """What a scope's name begins with."""

    PROVINCE = "province"
    GROUP = "group"
    AGENCY = "agency"
    DIRECTIVE = "directive"
    CATEGORY = "category"


NO_GROUP: Final = "group:none"
"""Agencies that the registry puts in no group. A group's own name begins with @."""


def scope(kind: ScopeKind, name: str) -> str:
    """`agency:H48.07`."""
    return f"{kind}:{name}"


def agency_scope(agency: str) -> str:
    """The scope of one agency's report."""
    return scope(ScopeKind.AGENCY, agency)


def kind_of(one: str) -> ScopeKind:
    """What a scope is on. ValueError names the kinds."""
    kind, colon, name = one.partition(":")
    if kind in set(ScopeKind) and bool(colon and name) == (kind != ScopeKind.PROVINCE):
        return ScopeKind(kind)
    raise ValueError("a scope is province, or agency:, group:, directive: or category: with a name after it")


def name_in(one: str) -> str:
    """What stands after the kind; nothing for the province."""
    return one.partition(":")[2]


def agency_of(one: str) -> str | None:
    """The agency of a scope; None for any other."""
    return name_in(one) if one.startswith("agency:") else None


@dataclass(frozen=True, slots=True)
class Labels:
    """Where a task is counted."""

    agency: str
    directive: str
    category: str

    def scopes(self) -> tuple[str, ...]:
        """All but groups, which are sums of agencies."""
        return (
            PROVINCE_SCOPE,
            agency_scope(self.agency),
            scope(ScopeKind.DIRECTIVE, self.directive),
            scope(ScopeKind.CATEGORY, self.category),
        )


def in_order(scopes: Iterable[tuple[str, str]]) -> list[str]:
    """Of scopes with names: the province first, then by kind, each kind by name."""
    kinds = list(ScopeKind)
    return [
        one
        for one, _ in sorted(scopes, key=lambda named: (kinds.index(kind_of(named[0])), name_key(named[1]), named[0]))
    ]


_LETTERS = {letter: order for order, letter in enumerate("aăâbcdđeêfghijklmnoôơpqrstuưvwxyz")}
_SHAPES = "\u0302\u0306\u031b"  # circumflex, breve, horn make another letter; the five tone marks do not


def name_key(name: str) -> tuple[tuple[int, ...], str]:
    """Vietnamese alphabetical order: đ after d, ê after e; tones decide only between equal letters."""
    bare = "".join(mark for mark in unicodedata.normalize("NFD", name.casefold()) if _is_letter(mark))
    letters = unicodedata.normalize("NFC", bare)
    return tuple(_LETTERS.get(letter, ord(letter) - 1000) for letter in letters), name


def _is_letter(mark: str) -> bool:
    return not unicodedata.combining(mark) or mark in _SHAPES
