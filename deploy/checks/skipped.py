"""`python -m deploy.checks.skipped REPORT`: names the tests that a JUnit report says were skipped; CI skips nothing.

One thing may be missing: a part that no service needs, like a browser to look at e-mails with. It is named, too.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

OPTIONAL: Final = "optional part missing: "
"""How the reason begins with which a test is skipped that CI may go without."""
_EXPECTED_FAILURE = "pytest.xfail"


def skipped(report: Path) -> list[str]:
    """A line for each test that did not run, with why."""
    # The report is our own, written a moment ago.
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314
    return [
        f"{case.get('classname')}::{case.get('name')}: {why.get('message')}"
        for case in cases
        for why in case.iter("skipped")
        if why.get("type") != _EXPECTED_FAILURE
    ]


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 if anything was skipped that CI may not go without."""
    found = skipped(Path(arguments[0]))
    for one in found:
        print(f"skipped: {one}")
    return 1 if any(OPTIONAL not in one for one in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
