"""What the local stack says when a machine lacks something it needs."""

import platform
import stat
from pathlib import Path

import pytest

from deploy.local.errors import LocalStackError
from deploy.local.kafka_apache import find_jars, find_java
from deploy.local.mongod import find_program


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DONDOC_CACHE_DIR", str(tmp_path / "cache"))


def _program(folder: Path, name: str, script: str) -> Path:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


async def test_missing_java_says_what_to_install() -> None:
    with pytest.raises(LocalStackError, match="needs java: install a Java 17 runtime"):
        await find_java()


async def test_old_java_says_what_was_found(tmp_path: Path) -> None:
    _program(tmp_path, "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")

    with pytest.raises(LocalStackError, match=r"11\.0\.2.*install a Java 17 runtime"):
        await find_java()


async def test_java_17_is_taken(tmp_path: Path) -> None:
    java = _program(tmp_path, "java", """echo 'openjdk version "17.0.15" 2025-04-15' >&2""")

    assert await find_java() == str(java)


async def test_missing_maven_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="Maven is needed once"):
        await find_jars(tmp_path)


async def test_maven_that_fetches_other_jars_is_refused(tmp_path: Path) -> None:
    _program(tmp_path, "mvn", "exit 0")

    with pytest.raises(LocalStackError, match=r"missing: .*kafka_2\.13-4\.0\.0\.jar"):
        await find_jars(tmp_path)


async def test_mongod_on_path_is_taken_before_any_download(tmp_path: Path) -> None:
    program = _program(tmp_path, "mongod", "exit 0")

    found = await find_program(tmp_path)

    assert (found.path, found.origin, found.library_dir) == (program, "PATH", None)


async def test_machine_without_a_pinned_mongod_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    with pytest.raises(LocalStackError, match=r"no mongod is pinned for .* riscv64: install MongoDB"):
        await find_program(tmp_path)
