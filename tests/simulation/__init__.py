"""A seeded simulation of the tasks service: real parts, simulated world, every fault, one plain reference.

`story.py` draws what is submitted, `world.py` runs replicas against it and breaks what it can, `reference.py` says what
must come out, `check.py` compares. `make simulate` runs seeds; a seed always runs the same way.
"""
