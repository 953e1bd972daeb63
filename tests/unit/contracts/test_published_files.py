"""Writing and checking the published files: what is stale is named, and what to run."""

import sys
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

import services
from deploy import contracts

A, B, OLD = (PurePosixPath("schemas") / name for name in ("a.json", "b.json", "old.json"))
FOLDERS = [PurePosixPath("schemas")]


def test_what_is_stale_is_named_and_written(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / B).write_text("2")
    (tmp_path / OLD).write_text("3")
    files = {A: "1", B: "two"}

    assert contracts.stale(files, FOLDERS, tmp_path) == [
        "schemas/a.json: missing",
        "schemas/b.json: not what the code says",
        "schemas/old.json: nothing in the code needs it",
    ]
    assert contracts.write(files, FOLDERS, tmp_path) == 3
    assert contracts.stale(files, FOLDERS, tmp_path) == []
    assert contracts.write(files, FOLDERS, tmp_path) == 0


def test_a_stale_file_fails_the_check_and_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contracts, "contract_files", lambda: {contracts.ASYNCAPI: "{}"})
    monkeypatch.setattr(contracts, "openapi_files", dict)

    assert contracts.main(["check"]) == 1

    said = capsys.readouterr().err
    assert "shared/contracts/asyncapi.json: not what the code says" in said
    assert "run `python -m deploy.contracts write`" in said


def test_the_files_come_out_the_same_every_time() -> None:
    assert contracts.contract_files() == contracts.contract_files()


def test_a_change_that_is_not_additive_fails_the_diff(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contracts, "changes", lambda ref: ["a.json: /data/x: field removed"])

    assert contracts.main(["diff", "v1"]) == 1
    assert "/data/x: field removed" in capsys.readouterr().err


def test_a_commit_without_a_contract_passes_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contracts, "changes", lambda ref: None)

    assert contracts.main(["diff", "v1"]) == 0
    assert "nothing to compare" in capsys.readouterr().out


def test_a_commit_that_is_not_there_could_not_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert contracts.main(["diff", "no-such-commit"]) == 2
    assert "no-such-commit is no commit here" in capsys.readouterr().err


def test_a_service_without_openapi_is_named_and_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("services.described.openapi")
    module.document = lambda: {"openapi": "3.1.0"}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "services.described", ModuleType("services.described"))
    monkeypatch.setitem(sys.modules, "services.described.openapi", module)

    files = contracts.openapi_files(["described", "silent"])

    assert files == {PurePosixPath("docs/openapi/described.json"): '{\n "openapi": "3.1.0"\n}\n'}
    assert "no OpenAPI for silent" in capsys.readouterr().err


def test_a_service_that_does_not_import_is_not_taken_for_one_without_openapi(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").touch()
    (tmp_path / "broken" / "openapi.py").write_text("import no_such_module\n")
    monkeypatch.setattr(services, "__path__", [*services.__path__, str(tmp_path)])

    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        contracts.openapi_files(["broken"])
