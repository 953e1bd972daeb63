"""Fixtures only."""

from pathlib import Path

import pytest

from tests.flow.ingest.harness import Door


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """An ingest with a broker in memory."""
    return Door(tmp_path)
