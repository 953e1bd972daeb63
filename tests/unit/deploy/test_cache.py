"""The download cache: whole or not at all, once, checked."""

import asyncio
from pathlib import Path

import pytest

from deploy.local.cache import cache_dir, cached, check_files, fill, read_checksums, sha256_of
from deploy.local.errors import LocalStackError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DONDOC_CACHE_DIR", str(tmp_path / "cache"))


def test_cache_folder_is_the_chosen_one_else_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == tmp_path / "cache"

    monkeypatch.delenv("DONDOC_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "dondoc"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "dondoc"


async def test_two_runs_at_once_download_once() -> None:
    downloads = 0

    async def download(folder: Path) -> None:
        nonlocal downloads
        downloads += 1
        (folder / "program").write_text("whole")
        await asyncio.sleep(0.3)

    folders = await asyncio.gather(fill("thing", download), fill("thing", download))

    assert downloads == 1
    assert folders[0] == folders[1]
    assert (folders[0] / "program").read_text() == "whole"


async def test_failed_download_leaves_nothing_and_the_next_one_works() -> None:
    async def fails(folder: Path) -> None:
        (folder / "program").write_text("half")
        raise LocalStackError("cut off")

    async def works(folder: Path) -> None:
        assert not (folder / "program").exists()

    with pytest.raises(LocalStackError, match="cut off"):
        await fill("thing", fails)
    assert cached("thing") is None

    assert await fill("thing", works) == cached("thing")


async def test_unwritable_cache_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DONDOC_CACHE_DIR", str(tmp_path / "file" / "cache"))

    async def never(folder: Path) -> None:
        raise AssertionError(folder)

    with pytest.raises(LocalStackError, match="set DONDOC_CACHE_DIR to a folder you own"):
        await fill("thing", never)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"a.jar": b"right"}, "missing: b.jar"),
        ({"a.jar": b"wrong", "b.jar": b"right"}, "other content than pinned: a.jar"),
        ({"a.jar": b"right", "b.jar": b"right", "c.jar": b"?"}, "not expected: c.jar"),
    ],
)
def test_download_that_is_not_what_is_pinned_is_refused(
    files: dict[str, bytes], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "right").write_bytes(b"right")
    pinned = sha256_of(tmp_path / "right")
    folder = tmp_path / "download"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)

    with pytest.raises(LocalStackError, match=complaint):
        check_files(folder, {"a.jar": pinned, "b.jar": pinned})


def test_checksum_list_is_what_sha256sum_writes(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("aa  one.jar\nbb  two.jar\n")

    assert read_checksums(tmp_path / "list") == {"one.jar": "aa", "two.jar": "bb"}
