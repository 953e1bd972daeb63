"""The README is true: what it names exists."""

import re
from pathlib import Path

import pytest

from deploy.local.processes import REPOSITORY_ROOT

README = (REPOSITORY_ROOT / "README.md").read_text()
MAKEFILE = (REPOSITORY_ROOT / "Makefile").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (REPOSITORY_ROOT / target).exists()


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"\bmake ([a-z]+)", README))))
def test_every_verb_is_in_the_makefile(verb: str) -> None:
    assert re.search(rf"^{verb}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ([a-z.]+)", README))))
def test_every_module_it_runs_exists(module: str) -> None:
    path = REPOSITORY_ROOT / Path(*module.split("."))
    assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_every_verb_explains_itself() -> None:
    verbs = re.search(r"\.PHONY: (.+)", MAKEFILE)
    assert verbs is not None
    for verb in verbs[1].split():
        assert re.search(rf"^{verb}:.*## \S", MAKEFILE, re.MULTILINE), verb
