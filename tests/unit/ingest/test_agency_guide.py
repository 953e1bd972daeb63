"""docs/agencies.md and the code say the same."""

import json
import re
from pathlib import Path

import pytest

from services.ingest import wire
from services.ingest.answers import STATUS
from services.ingest.domain.refusal import Code
from services.ingest.settings import Settings

GUIDE = (Path(__file__).parents[3] / "docs" / "agencies.md").read_text(encoding="utf-8")


def test_every_code_is_listed_once_under_its_status_with_a_remedy() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \| (.+?) \| (.+?) \|$", GUIDE, re.M)

    assert {code: int(status) for code, status, _, _ in rows} == {code.value: STATUS[code] for code in Code}
    assert len(rows) == len(Code)


@pytest.mark.parametrize("example", re.findall(r"```json\n(.+?)```", GUIDE, re.S))
def test_every_example_would_be_taken(example: str) -> None:
    wire.read(json.loads(example))


def test_the_limits_are_those_of_the_settings() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}

    assert defaults["body_bytes_max"] == 1024 * 1024
    for name in ("batch_events_max", "event_bytes_max", "agency_events_burst"):
        assert f"{defaults[name]:,}".replace(",", ".") in GUIDE
    assert f"{defaults['body_seconds_max']:.0f} giây" in GUIDE
    assert f"{defaults['agency_events_per_second']:.0f} sự kiện/giây" in GUIDE
    assert f"{wire.DEPTH_MAX} tầng" in GUIDE
