"""What docker-compose.yml promises: closed by default, restarted when it ends itself, nothing runs as root."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks.__main__ import problems
from deploy.checks.skipped import OPTIONAL, skipped
from deploy.checks.skipped import main as check_skipped
from deploy.local.processes import REPOSITORY_ROOT

COMPOSE = yaml.safe_load((REPOSITORY_ROOT / "docker-compose.yml").read_text())
PARTS: dict[str, Any] = COMPOSE["services"]
SERVICES = ("ingest", "tasks", "notify", "reporting")
OURS = (*SERVICES, "topics")


def test_only_the_three_doors_are_published_and_only_on_this_server() -> None:
    published = {name: part["ports"] for name, part in PARTS.items() if "ports" in part}

    assert sorted(published) == ["ingest", "reporting", "tasks"]
    for ports in published.values():
        assert all(port.startswith("${DONDOC_PUBLISH_ADDRESS:-127.0.0.1}:") for port in ports)


@pytest.mark.parametrize("part", PARTS)
def test_no_part_may_gain_rights(part: str) -> None:
    assert PARTS[part]["cap_drop"] == ["ALL"]
    assert PARTS[part]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("part", OURS)
def test_ours_run_as_nobody_on_a_read_only_root(part: str) -> None:
    assert PARTS[part]["user"] == "10001:10001"
    assert PARTS[part]["read_only"] is True


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_ends_itself_is_started_again(service: str) -> None:
    """INVARIANT: the crash-only processes have somebody who starts them.

    Without it, a process that ended itself on purpose (exit status 70) would stay away.
    """
    assert PARTS[service]["restart"] == "unless-stopped"
    assert PARTS[service]["stop_grace_period"] == "30s"


@pytest.mark.parametrize("service", SERVICES)
def test_services_start_once_the_topics_are_there(service: str) -> None:
    assert PARTS[service]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("part", ["kafka", "mongo"])
def test_broker_and_database_keep_their_data_and_are_reached_from_inside_only(part: str) -> None:
    named = [volume.split(":")[0] for volume in PARTS[part]["volumes"]]

    assert set(named) <= set(COMPOSE["volumes"])
    assert PARTS[part]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_the_broker_makes_no_topic_by_itself() -> None:
    assert PARTS["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("docker-compose.yml", "  MONGODB_URI:", "  # MONGODB_URI:", "reporting needs MONGODB_URI"),
        ("docker-compose.yml", "  DONDOC_JWKS_FILE:", "  # DONDOC_JWKS_FILE:", "ingest needs DONDOC_JWKS_FILE"),
        ("docker-compose.yml", 'HTTP_PORT: "8081"', 'HTTP_PORT: "8091"', "tasks is not scraped at tasks:8091"),
        (".env.example", "STUCK_SECONDS=60.0", "STUCK_SECONDS=90.0", "DONDOC_STUCK_SECONDS shows '90.0'"),
        ("docs/runbook.md", "## DeadLetter\n", "## DeadLetter\n\n## Old\n", "Old is no alert"),
    ],
)
def test_what_drifted_apart_is_named(tmp_path: Path, file: str, old: str, new: str, found: str) -> None:
    for name in (
        "docker-compose.yml",
        ".env.example",
        "docs/runbook.md",
        "deploy/prometheus/scrape.yml",
        "deploy/prometheus/alerts.yml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY_ROOT / name, tmp_path / name)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))

    assert any(found in one for one in problems(tmp_path)), problems(tmp_path)


def test_a_skipped_test_is_named_and_an_expected_failure_is_not(tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.a" name="test_ran"/>'
        '<testcase classname="tests.a" name="test_b"><skipped type="pytest.skip" message="no Java"/></testcase>'
        '<testcase classname="tests.a" name="test_c"><skipped type="pytest.xfail" message=""/></testcase>'
        "</testsuite></testsuites>"
    )

    assert skipped(report) == ["tests.a::test_b: no Java"]


@pytest.mark.parametrize(
    ("reasons", "status"),
    [((), 0), ((f"{OPTIONAL}no Chromium",), 0), (("no Java",), 1), ((f"{OPTIONAL}no Chromium", "no Java"), 1)],
)
def test_only_what_no_service_needs_may_be_skipped_and_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reasons: tuple[str, ...], status: int
) -> None:
    report = tmp_path / "tests.xml"
    cases = (
        f'<testcase classname="a" name="b"><skipped type="pytest.skip" message="{one}"/></testcase>' for one in reasons
    )
    report.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")

    assert check_skipped([str(report)]) == status
    assert capsys.readouterr().out.splitlines() == [f"skipped: a::b: {one}" for one in reasons]
