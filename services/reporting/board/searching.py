"""The search: what a question asks for, and what is found by names alone. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.reporting.board import pages
from services.reporting.board.registers import Names
from services.reporting.domain.reading import Reader
from services.reporting.domain.scopes import name_key
from services.reporting.domain.search import directive_word, plain_text, terms_of
from services.reporting.lists import Sought, State

QUESTION_CHARS_MAX: Final = 200
NAMED_MAX: Final = 8
"""So many agencies and directives are named; one more word finds the others."""
STATES: Final[Mapping[str, str]] = {
    State.OPEN: "Chưa hoàn thành",
    State.OVERDUE: "Quá hạn",
    State.DONE: "Đã hoàn thành",
}
TOO_BROAD: Final = (
    "Từ khóa này có trong quá nhiều nhiệm vụ nên không tìm kịp. Xin thêm từ, hoặc chọn cơ quan hay văn bản."
)


@dataclass(frozen=True, slots=True)
class Named:
    """An agency or a directive that a question names."""

    name: str
    href: str
    code: str
    tasks_href: str


@dataclass(frozen=True, slots=True)
class Filters:
    """What a search is narrowed to, as its address says."""

    agency: str | None = None
    directive: str | None = None
    state: State | None = None


def sought(
    question: str, filters: Filters, names: Names, reader: Reader, *, province: str, now: datetime
) -> Sought | None:
    """What to look for; None where nothing is asked but an agency, whose page lists its tasks."""
    numbers = {plain_text(number): slug for slug, number in names.directives.items()}
    codes = {plain_text(code): code for code in names.agencies}
    words: list[str] = []
    concerns = [reader.agency] if reader.agency is not None else []
    for term in _terms(question, province):
        # A number stands for its directive, a code for whom a task concerns; all else is a word.
        if term in codes:
            concerns.append(codes[term])
        else:
            words.append(directive_word(numbers[term]) if term in numbers else term)
    if filters.directive is not None:
        words.append(directive_word(filters.directive))
    if not words:
        return None
    return Sought(
        province,
        tuple(words),
        now,
        concerns=tuple(concerns),
        agency=filters.agency,
        directive=filters.directive,
        state=filters.state,
    )


def _terms(question: str, province: str) -> tuple[str, ...]:
    """A task's id is its directive, clause and agency."""
    begins = plain_text(province) + "/"
    plain = plain_text(question.strip())
    return terms_of(plain.removeprefix(begins).replace("/", " ") if plain.startswith(begins) else question)


def agencies_named(question: str, names: Names, reader: Reader, province: str) -> tuple[Named, ...]:
    """Agencies whose name or code has all of the words."""
    found = [
        (code, name)
        for code, name in names.agencies.items()
        if reader.sees_agency(code) and _names(question, f"{code} {name}")
    ]
    found.sort(key=lambda one: name_key(one[1]))
    return tuple(_named("agencies", "agency", code, name, province) for code, name in found[:NAMED_MAX])


def directives_named(question: str, names: Names, reader: Reader, province: str) -> tuple[Named, ...]:
    """Directives whose number or id has all of the words. An agency finds its own by their tasks."""
    if not reader.sees_all:
        return ()
    found = [(slug, number) for slug, number in names.directives.items() if _names(question, f"{slug} {number}")]
    found.sort(key=lambda one: one[1])
    return tuple(_named("directives", "directive", slug, number, province) for slug, number in found[:NAMED_MAX])


def _named(path: str, kind: str, code: str, name: str, province: str) -> Named:
    tasks = pages.address("/search", province=province, **{kind: code})
    return Named(name, pages.address(f"/{path}/{code}", province=province), code, tasks)


def _names(question: str, name: str) -> bool:
    terms, plain = plain_text(question).split(), plain_text(name)
    return bool(terms) and all(term in plain for term in terms)
