"""What a search compares: words without the marks that people leave out when they type."""

import unicodedata


def plain_text(*texts: str) -> str:
    """Lower case without marks, so that `giai ngan` finds `Giải ngân`."""
    bare = unicodedata.normalize("NFD", " ".join(texts).casefold())
    return "".join(mark for mark in bare if not unicodedata.combining(mark)).replace("đ", "d")
