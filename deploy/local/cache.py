"""The cache folder for what the local stack downloads: filled once, under a lock, checked by sha256."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from deploy.local.errors import LocalStackError

_LOCK_SECONDS_MAX: Final = 900.0
_LOCK_POLL_SECONDS: Final = 0.2


def cache_dir() -> Path:
    """DONDOC_CACHE_DIR, else the user's cache folder."""
    chosen = os.environ.get("DONDOC_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "dondoc"


def cached(name: str) -> Path | None:
    """The folder of that name where it is complete."""
    folder = cache_dir() / name
    return folder if folder.is_dir() else None


async def fill(name: str, download: Callable[[Path], Awaitable[None]]) -> Path:
    """The folder of that name, downloaded unless it is there. It appears whole or not at all.

    Two runs at once are safe: the second waits for the first and finds the folder filled.
    """
    async with _locked(name):
        if (ready := cached(name)) is not None:
            return ready
        partial = cache_dir() / f".partial-{name}"
        # What a killed run left behind.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            await download(partial)
            return partial.rename(cache_dir() / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@asynccontextmanager
async def _locked(name: str) -> AsyncIterator[None]:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f".{name}.lock").open("w")
    except OSError as error:
        raise LocalStackError(
            f"cannot write to the cache folder {folder} ({error.strerror}): set DONDOC_CACHE_DIR to a folder you own"
        ) from error
    with lock:
        deadline = time.monotonic() + _LOCK_SECONDS_MAX
        # The kernel frees the lock of a process that dies, so it never needs to be cleaned up.
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"another process has been filling {folder / name} for {_LOCK_SECONDS_MAX:.0f} s: "
                    "end it and try again"
                )
            await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sha256_of(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Raise unless the folder holds exactly these files (name → sha256)."""
    found = {path.name: sha256_of(path) for path in folder.iterdir() if path.is_file()}
    missing = sorted(expected.keys() - found.keys())
    surplus = sorted(found.keys() - expected.keys())
    changed = sorted(name for name, digest in expected.items() if found.get(name, digest) != digest)
    complaints = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("not expected", surplus), ("other content than pinned", changed))
        if names
    ]
    if complaints:
        raise LocalStackError(
            "the download is not what this repository pins by sha256, so nothing of it is used ("
            + "; ".join(complaints)
            + "). Try again; if it stays so, the source serves something else than it did: ask before changing the pins"
        )


def read_checksums(path: Path) -> dict[str, str]:
    """Read a list in the format of `sha256sum` (digest, name) as name → sha256."""
    pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name.strip(): digest for digest, name in pairs}
