"""The checks of the deployment files: nothing is wrong, and what is wrong is found."""

import shutil
from pathlib import Path

import pytest

from deploy.checks.__main__ import problems
from deploy.local.processes import REPOSITORY_ROOT

FILES = (
    "docker-compose.yml",
    ".env.example",
    "docs/runbook.md",
    "deploy/prometheus/scrape.yml",
    "deploy/prometheus/alerts.yml",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY_ROOT / name, tmp_path / name)
    return tmp_path


def test_nothing_is_wrong() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("docker-compose.yml", "DONDOC_SMTP_HOST:", "DONDOC_SMTP_HOSST:", "notify does not read DONDOC_SMTP_HOSST"),
        ("docker-compose.yml", "  KAFKA_BOOTSTRAP_SERVERS: k", "  KAFKA_BROKERS: k", "needs KAFKA_BOOTSTRAP_SERVERS"),
        ("docker-compose.yml", "services.tasks]", "services.task]", "tasks runs"),
        (".env.example", "# DONDOC_CLOCK=", "# DONDOC_KLOCK=", "DONDOC_CLOCK is missing"),
        ("deploy/prometheus/scrape.yml", '"notify:8082", ', "", "notify is not scraped"),
        ("deploy/prometheus/alerts.yml", "dondoc_stalled_seconds", "dondoc_stuck", "dondoc_stuck, which nobody"),
        ("docs/runbook.md", "## DeadLetter\n", "## Dead\n", "no section DeadLetter"),
    ],
)
def test_what_is_wrong_is_found_and_named(copy: Path, file: str, old: str, new: str, found: str) -> None:
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))

    assert any(found in one for one in problems(copy)), problems(copy)
