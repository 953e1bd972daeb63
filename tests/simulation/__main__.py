"""`python -m tests.simulation --seeds 500` or `--seed 17` (with a trace). Exit code 1 when a seed fails."""

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import Pool

from tests.simulation.check import faults
from tests.simulation.world import World

FAULTS_SHOWN = 5


def run(seed: int) -> tuple[int, list[str], Counter[str]]:
    """One seed: what is wrong, and what went wrong in its world."""
    world = World(seed).run()
    return seed, faults(world), world.stats


def _one(seed: int) -> int:
    world = World(seed, trace=True).run()
    found = faults(world)
    _say(*(world.trace or ()))
    _say("", f"seed {seed}: {dict(world.stats)}", f"digest {world.digest()}", *found)
    return 1 if found else 0


def _many(first: int, number: int) -> int:
    began, failed, stats = time.monotonic(), 0, Counter[str]()
    with Pool(os.cpu_count()) as pool:
        for seed, found, seen in pool.imap_unordered(run, range(first, first + number), chunksize=10):
            stats += seen
            if found:
                failed += 1
                _say(f"seed {seed} FAILED: {len(found)} faults; run it again: make simulate SEED={seed}")
                _say(*(f"  {one}" for one in found[:FAULTS_SHOWN]))
    _say(f"{number} seeds from {first}, {failed} failed, {time.monotonic() - began:.0f} s; {dict(stats)}")
    return 1 if failed else 0


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="from which on")
    parser.add_argument("--seed", type=int, help="this one only, with a trace")
    options = parser.parse_args()
    return _one(options.seed) if options.seed is not None else _many(options.first, options.seeds)


if __name__ == "__main__":
    sys.exit(main())
