"""The letters as a browser lays them out: they fit a phone, and can be read by day and by night.

Without Chromium these are skipped, and `deploy.checks.skipped` names them: a browser is no part of the system, so CI
may go without. A machine that says which one to use (DONDOC_CHROMIUM) and has none there fails.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from deploy.browser import NAMES, PATH_VARIABLE, Page, find_chromium
from deploy.checks.skipped import OPTIONAL
from deploy.pictures import COMPOSER, NOW, a_digest, a_letter, a_summary, an_escalation
from services.notify.domain.digest import Digest, Line, Topic, Unreachable, section
from services.notify.domain.routing import Role
from services.notify.ports import Message

CONTRAST_MIN = 4.5
"""WCAG 2 AA, for text of any size."""
TEXT_PIXELS_MIN = 13

_OVERFLOWING = """
[...document.querySelectorAll("body *")]
  .filter(one => one.getClientRects().length && one.getBoundingClientRect().right > innerWidth + 0.5)
  .map(one => one.outerHTML.slice(0, 200))
"""
_ILLEGIBLE = """
(() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => [r, g, b].map(one => one / 255)
    .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = one => {
    for (; one; one = one.parentElement) {
      const found = numbers(getComputedStyle(one).backgroundColor)
      if (found.length === 3 || found[3] === 1) return found
    }
    return [255, 255, 255]
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const found = []
  for (let text; text = texts.nextNode();) {
    const holder = text.parentElement
    if (!text.data.trim() || !holder.getClientRects().length) continue
    const style = getComputedStyle(holder)
    const [dark, bright] = [light(numbers(style.color)), light(ground(holder))].sort((a, b) => a - b)
    const contrast = (bright + 0.05) / (dark + 0.05)
    if (contrast < CONTRAST_MIN || parseFloat(style.fontSize) < TEXT_PIXELS_MIN)
      found.push(`${contrast.toFixed(1)}, ${style.fontSize}: ${text.data.trim()}`)
  }
  return found
})()
""".replace("CONTRAST_MIN", str(CONTRAST_MIN)).replace("TEXT_PIXELS_MIN", str(TEXT_PIXELS_MIN))


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(f"{OPTIONAL}none of {', '.join(NAMES)} is on the path, and {PATH_VARIABLE} names no other")
    with Page(chromium) as one:
        yield one


def a_digest_of_the_longest() -> Message:
    """Words without a space to break at, everywhere a document or the registry can put them."""
    word = "Ứngdụngcôngnghệthôngtin" * 20
    line = Line("H48/" + word, word, word, word, word, NOW.date(), is_new=True, level=3)
    lines = section(Topic.OVERDUE, [replace(line, title=f"{word} {number}") for number in range(3)])
    digest = Digest(NOW.date(), (lines,), (), 99_999, (Unreachable(word, word, word, word, 1_000_000),))
    return COMPOSER.digest(replace(a_letter("H48.07", Role.STANDING), agency_name=word), digest, now=NOW)


LETTERS = pytest.mark.parametrize(
    "letter",
    [a_digest(), an_escalation(), a_summary(), a_digest_of_the_longest()],
    ids=["digest", "escalation", "summary", "longest"],
)


def asked(page: Page, letter: Message, question: str, **window: Any) -> Any:
    page.show(letter.html, **window)
    return page.ask(question)


@pytest.mark.parametrize("width", [320, 360, 680, 1280])
@LETTERS
def test_nothing_is_wider_than_the_window(page: Page, letter: Message, width: int) -> None:
    inner, scrolled = asked(page, letter, "[innerWidth, document.documentElement.scrollWidth]", width=width)

    assert inner == width
    assert scrolled <= width
    assert page.ask(_OVERFLOWING) == []


@LETTERS
def test_without_its_style_sheet_a_letter_still_fits_a_phone(page: Page, letter: Message) -> None:
    """Some mail programs drop the style sheet, and keep what stands in the elements."""
    page.show(letter.html, width=360)
    page.ask("document.querySelector('style').remove()")

    assert page.ask("document.documentElement.scrollWidth") <= 360
    assert page.ask(_OVERFLOWING) == []


@pytest.mark.parametrize("is_dark", [False, True], ids=["by day", "by night"])
@LETTERS
def test_every_word_stands_out_from_its_ground(page: Page, letter: Message, is_dark: bool) -> None:
    assert asked(page, letter, _ILLEGIBLE, width=360, is_dark=is_dark) == []


def test_the_checks_see_what_they_are_for(page: Page) -> None:
    page.show("<body><div style='width:400px;color:#999;background:#fff'>x</div></body>", width=360)

    assert len(page.ask(_OVERFLOWING)) == 1
    assert page.ask(_ILLEGIBLE) == ["2.8, 16px: x"]
