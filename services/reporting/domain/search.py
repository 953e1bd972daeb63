"""What a search compares: words without the marks that people leave out when they type."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Final

WORDS_MAX: Final = 100
"""So many words of a title are found by; the index has an entry for each."""
WORD_CHARS_MAX: Final = 60
TERMS_MAX: Final = 8
"""So many words of a question are looked at."""

# A word may have these inside it: 558/TB-UBND, II.2.g, 2021-2025.
_WORD: Final = re.compile(r"[^\W_]+(?:[./-][^\W_]+)*")
_PARTS: Final = re.compile(r"[./-]")


def plain_text(*texts: str) -> str:
    """Lower case without marks, so that `giai ngan` finds `Giải ngân`."""
    return " ".join(one.lower() if one.isascii() else _without_marks(one) for one in texts)


@lru_cache(maxsize=2_000)
def _without_marks(text: str) -> str:
    """Kept: all agencies of a clause share its title."""
    bare = unicodedata.normalize("NFD", text.casefold())
    return "".join(mark for mark in bare if not unicodedata.combining(mark)).replace("đ", "d")


def search_words(title: str, clause: str, directive: str) -> list[str]:
    """What a task is found by, each once: its clause, its directive, and the words of its title."""
    words: dict[str, None] = dict.fromkeys((plain_text(clause)[:WORD_CHARS_MAX], directive_word(directive)))
    for count, word in enumerate(_words(plain_text(title))):
        if count >= WORDS_MAX:
            break
        words[word] = None
    return list(words)


def wording_id(province: str, directive: str, clause: str, title: str) -> str:
    """Under what the words of a task are kept. A clause has one wording for all its tasks, seldom a second.

    Ids sort by directive and clause, so that what is found together stands together.
    """
    content = hashlib.blake2b(title.encode(), digest_size=6).hexdigest()
    return f"{province}/{directive}/{clause}~{content}"


def directive_word(slug: str) -> str:
    """Stands among a task's words for its directive."""
    return plain_text(slug)[:WORD_CHARS_MAX]


def terms_of(question: str) -> tuple[str, ...]:
    """The words that a question asks for, as they were typed but plain; all of them are to be there."""
    found = (one[:WORD_CHARS_MAX] for one in _WORD.findall(plain_text(question)))
    return tuple(dict.fromkeys(found))[:TERMS_MAX]


def matched(text: str, terms: Collection[str]) -> list[tuple[str, bool]]:
    """A text in pieces, and whether each is a word that was asked for."""
    text = unicodedata.normalize("NFC", text)
    pieces: list[tuple[str, bool]] = []
    end = 0
    for begin, until in _places(text):
        if begin >= end and plain_text(text[begin:until])[:WORD_CHARS_MAX] in terms:
            pieces += [(text[end:begin], False), (text[begin:until], True)]
            end = until
    pieces.append((text[end:], False))
    return [one for one in pieces if one[0]]


def _words(plain: str) -> Iterator[str]:
    """Words, and the parts of those that have some."""
    for word in _WORD.findall(plain):
        yield word[:WORD_CHARS_MAX]
        parts = _PARTS.split(word)
        if len(parts) > 1:
            yield from parts


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where words are, each before its parts."""
    for word in _WORD.finditer(text):
        yield word.span()
        begin = word.start()
        for part in _PARTS.split(word[0]):
            yield begin, begin + len(part)
            begin += len(part) + 1
