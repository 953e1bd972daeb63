"""Bodies in pieces: whatever is sent, it is whole and bounded, or refused."""

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.body import Body
from services.ingest.domain.refusal import Code, RefusedError

LIMIT = 1_000


def _read(pieces: Sequence[bytes], *, is_gzip: bool) -> bytes:
    body = Body(is_gzip=is_gzip, bytes_max=LIMIT)
    grew = sum(body.add(piece) for piece in pieces)
    whole = body.whole()
    assert grew == len(whole)
    return whole


def _refusal(pieces: Sequence[bytes], *, is_gzip: bool = True) -> Code:
    with pytest.raises(RefusedError) as refused:
        _read(pieces, is_gzip=is_gzip)
    return refused.value.code


def _outcome(sent: bytes) -> bytes | Code:
    try:
        return _read([sent], is_gzip=True)
    except RefusedError as refused:
        return refused.code


def _pieces(content: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    for size in sizes:
        yield content[:size]
        content = content[size:]
    yield content


@given(st.binary(max_size=LIMIT), st.booleans(), st.lists(st.integers(0, 300), max_size=10))
def test_what_was_sent_comes_out_however_it_is_cut(content: bytes, is_gzip: bool, sizes: list[int]) -> None:
    # Random bytes grow a little when they are compressed.
    if len(sent := gzip.compress(content) if is_gzip else content) <= LIMIT:
        assert _read([*_pieces(sent, sizes)], is_gzip=is_gzip) == content


@given(st.binary(min_size=1, max_size=500), st.integers(0, 1_000), st.binary(min_size=1, max_size=5))
def test_a_damaged_stream_is_refused_or_comes_out_as_it_was(content: bytes, place: int, damage: bytes) -> None:
    sent = gzip.compress(content)
    place %= len(sent)

    # A header's time and system may be anything.
    assert _outcome(sent[:place] + damage + sent[place + len(damage) :]) in {content, Code.MALFORMED_ENCODING}


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([b"x" * (LIMIT + 1)], Code.BODY_TOO_LARGE),
        ([b"{}"], Code.MALFORMED_ENCODING),
        ([], Code.MALFORMED_ENCODING),
        ([zlib.compress(b"{}")], Code.MALFORMED_ENCODING),
        ([gzip.compress(b"{}")[:-1]], Code.MALFORMED_ENCODING),
        ([gzip.compress(b"{}"), b"x"], Code.MALFORMED_ENCODING),
        ([gzip.compress(b"{}") * 2], Code.MALFORMED_ENCODING),
        ([gzip.compress(b" " * (LIMIT + 1))], Code.BODY_TOO_LARGE),
        # Blocks of nothing: no content, and no end.
        ([b"\x1f\x8b\x08" + bytes(7), *[b"\x00\x00\x00\xff\xff"] * LIMIT], Code.BODY_TOO_LARGE),
    ],
)
def test_what_is_no_gzip_and_what_becomes_too_large_is_refused(pieces: list[bytes], code: Code) -> None:
    assert _refusal(pieces) is code


def test_a_bomb_is_never_blown_up() -> None:
    """INVARIANT: memory is bounded whatever comes."""
    bomb = gzip.compress(bytes(200_000_000))
    body = Body(is_gzip=True, bytes_max=1_000_000)
    tracemalloc.start()
    with pytest.raises(RefusedError):
        body.add(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 5_000_000


def test_many_small_pieces_cost_no_more_than_their_bytes() -> None:
    tracemalloc.start()
    body = Body(is_gzip=False, bytes_max=1_000_000)
    for _ in range(200_000):
        body.add(b"x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1_000_000


def test_what_says_it_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(RefusedError):
        Body(is_gzip=False, bytes_max=LIMIT).announced(LIMIT + 1)
    Body(is_gzip=False, bytes_max=LIMIT).announced(None)
