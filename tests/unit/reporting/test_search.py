"""What a task is found by, and which words of a title are marked."""

import pytest

from services.reporting.domain.search import (
    TERMS_MAX,
    WORDS_MAX,
    matched,
    plain_text,
    search_words,
    terms_of,
    wording_id,
)


def words(title: str) -> list[str]:
    return search_words(title, "II.2.đ-2", "QĐ-04-BCĐ")[2:]


def test_marks_and_case_do_not_matter() -> None:
    assert plain_text("Đôn ĐỐC, giải NGÂN ở Quảng Ngãi") == "don doc, giai ngan o quang ngai"
    # The same text with its marks as characters of their own.
    assert plain_text("gia\u0309i nga\u0302n") == "giai ngan"


def test_a_task_is_found_by_clause_and_directive() -> None:
    assert search_words("", "II.2.đ-2", "QĐ-04-BCĐ") == ["ii.2.d-2", "qd-04-bcd"]


def test_words_are_found_whole_and_by_their_parts() -> None:
    assert words("Đề án 06/CP, CNTT-TT năm 2021-2025; (đề án)") == [
        *("de", "an", "06/cp", "06", "cp", "cntt-tt", "cntt", "tt", "nam", "2021-2025", "2021", "2025"),
    ]


def test_tasks_of_a_clause_share_their_wording_and_no_others_do() -> None:
    one = wording_id("H48", "TB", "I.1", "Báo cáo")
    assert one.startswith("H48/TB/I.1~")
    others = {
        wording_id("H48", "TB", "I.1", "Báo cáo quý"),
        wording_id("H48", "TB", "I.2", "Báo cáo"),
        wording_id("H48", "KH", "I.1", "Báo cáo"),
        wording_id("H49", "TB", "I.1", "Báo cáo"),
    }
    assert len(others | {one}) == 5


def test_words_are_bounded() -> None:
    assert len(words(" ".join(f"w{n}" for n in range(500)))) == WORDS_MAX
    assert max(map(len, words("x" * 5_000))) == 60
    assert len(terms_of(" ".join(f"w{n}" for n in range(500)))) == TERMS_MAX


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("Giải ngân", ("giai", "ngan")),
        ("  giải,ngân; giải ", ("giai", "ngan")),
        ("558/TB-UBND II.2.g", ("558/tb-ubnd", "ii.2.g")),
        ('"$where": {}', ("where",)),
        (" … ", ()),
    ],
)
def test_a_question_is_words(question: str, terms: tuple[str, ...]) -> None:
    assert terms_of(question) == terms


@pytest.mark.parametrize(
    ("text", "terms", "found"),
    [
        ("Trình kế hoạch", ("ke", "hoach"), "Trình [kế] [hoạch]"),
        ("Kế hoạch 38/KH-UBND", ("38/kh-ubnd",), "Kế hoạch [38/KH-UBND]"),
        ("Kế hoạch 38/KH-UBND", ("ubnd", "ke"), "[Kế] hoạch 38/KH-[UBND]"),
        ("Kế hoạch", ("oac",), "Kế hoạch"),
        ("<b>kế</b>", ("ke",), "<b>[kế]</b>"),
        ("ke\u0302\u0301 hoạch", ("ke",), "[kế] hoạch"),
        ("", ("ke",), ""),
    ],
)
def test_words_that_were_asked_for_are_marked(text: str, terms: tuple[str, ...], found: str) -> None:
    assert "".join(f"[{piece}]" if is_sought else piece for piece, is_sought in matched(text, terms)) == found
