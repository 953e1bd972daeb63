"""Business time: real, scaled, steered."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.runtime.clock import FileClock, ScaledClock, SystemClock, clock_from, write_piece

START = datetime(2024, 10, 11, 1, 0, tzinfo=UTC)


def test_no_setting_means_real_time() -> None:
    clock = clock_from("")

    assert isinstance(clock, SystemClock)
    assert abs(clock.now().timestamp() - time.time()) < 5


def test_a_scaled_clock_runs_a_day_a_second() -> None:
    clock = clock_from("2024-10-11T08:00:00+07:00@86400@1795500000")

    assert clock.at(1795500000) == START
    assert clock.at(1795500002) == START + timedelta(days=2)


def test_before_its_epoch_a_scaled_clock_stands() -> None:
    assert ScaledClock(START, 86400, 1000).at(0) == START


def test_business_time_stops_at_the_limit() -> None:
    clock = ScaledClock(START, 86400, 0, START + timedelta(hours=1))

    assert clock.at(50) == START + timedelta(hours=1)


def test_a_steered_clock_follows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    write_piece(path, ScaledClock(START, 0, 0))
    clock = clock_from(f"file:{path}")
    assert isinstance(clock, FileClock)
    assert clock.now() == START

    write_piece(path, ScaledClock(START + timedelta(days=3), 0, 0))

    assert clock.now() == START + timedelta(days=3)


@pytest.mark.parametrize("spec", ["now", "2024-10-11T08:00:00@1@0", "2024-10-11T08:00:00+07:00@fast@0"])
def test_a_clock_that_cannot_be_read_says_how_to_write_it(spec: str) -> None:
    with pytest.raises(ValueError, match="<start>@<speed>@<real epoch>"):
        clock_from(spec)
