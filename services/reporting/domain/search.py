"""What a search compares: words without the marks that people leave out when they type."""

import unicodedata
from functools import lru_cache


def plain_text(*texts: str) -> str:
    """Lower case without marks, so that `giai ngan` finds `Giải ngân`."""
    return " ".join(one.lower() if one.isascii() else _without_marks(one) for one in texts)


@lru_cache(maxsize=2_000)
def _without_marks(text: str) -> str:
    """Kept: all agencies of a clause share its title."""
    bare = unicodedata.normalize("NFD", text.casefold())
    return "".join(mark for mark in bare if not unicodedata.combining(mark)).replace("đ", "d")
