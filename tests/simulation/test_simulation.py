"""Five hundred seeds of the simulation; `make simulate SEEDS=20000` runs as many as one likes."""

import os
import subprocess
import sys

import pytest

from deploy.local.processes import REPOSITORY_ROOT
from tests.simulation.check import faults
from tests.simulation.world import World

CHUNKS, SEEDS_EACH = 20, 25


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_goes_wrong_the_same_submissions_give_the_same_state(chunk: int) -> None:
    """INVARIANT: same states, same facts, same outcomes as the plain reference, nothing lost, nothing left over.

    If this broke, an agency could be called late by an outage, or two runs of a month could disagree. A seed that
    fails is run again, with its trace, by `make simulate SEED=…`.
    """
    first = chunk * SEEDS_EACH
    failed = {seed: found for seed in range(first, first + SEEDS_EACH) if (found := faults(World(seed).run()))}

    assert failed == {}


def test_a_seed_is_always_the_same_run() -> None:
    """INVARIANT: a failure can be looked at again. Other processes hash strings otherwise; it must not matter."""
    program = "from tests.simulation.world import World; print(World(7, trace=True).run().digest())"
    digests = {World(7, trace=True).run().digest() for _ in range(2)} | {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            cwd=REPOSITORY_ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hashing in ("1", "2")
    }

    assert len(digests) == 1


def test_the_simulated_world_is_as_bad_as_it_says() -> None:
    """Over some seeds, everything that is meant to go wrong did."""
    worlds = [World(seed).run() for seed in range(20)]
    stats = sum((world.stats for world in worlds), start=worlds[0].stats.__class__())

    for what in (
        "crashes",
        "rebalances",
        "zombies",
        "stalls",
        "failed calls",
        "commit refused",
        "parked",
        "lost races",
    ):
        assert stats[what] > 0, what
    assert {world.story.exact for world in worlds} == {True, False}
