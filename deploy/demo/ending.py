"""How the demo ends: whether it stays up, and the last lines, which are what a stranger needs next."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from deploy.demo.page import TEMPLATE
from deploy.local.processes import REPOSITORY_ROOT
from deploy.local.stack import SERVICE_PORTS

BOARD: Final = "reporting"


class Keep(StrEnum):
    """Whether to leave everything running at the end."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


def keeps(asked: Keep, *, reads_terminal: bool, writes_terminal: bool) -> bool:
    """Unasked, only where somebody sits before it who can look at the board and press Ctrl-C."""
    if asked is Keep.AUTO:
        return reads_terminal and writes_terminal
    return asked is Keep.YES


def running(build: Path, addresses: Mapping[str, str], standing: str) -> str:
    """What to open while it runs, and how to end it. `standing`: the agency that sees everything."""
    return "\n".join(
        [
            "",
            f"What came of it, every report and letter: {(build / TEMPLATE).as_uri()}",
            f"Tasks: {addresses['tasks']}/v1/tasks; alerts: {addresses['notify']}/v1/alerts",
            f"The board: {addresses[BOARD]}/",
            f"  it leads to a login page for trials: no password, be any agency; {standing} sees all, others their own",
            "Ctrl-C ends it.",
        ]
    )


def gone(build: Path) -> str:
    """What is left when everything is down, and how to get the rest."""
    return "\n".join(
        [
            "",
            f"What came of it, every report and letter: {(build / TEMPLATE).relative_to(REPOSITORY_ROOT)}",
            f"make demo KEEP=1 leaves it running, with the board on http://127.0.0.1:{SERVICE_PORTS[BOARD]}/; "
            "make up starts an empty system.",
        ]
    )
