"""axe-core, the accessibility checker, for browser tests: one file of a pinned wheel, kept in the cache folder.

The wheel is of axe-playwright-python, which is kept up to date; only its axe.min.js (axe-core 4.12.1, MPL-2.0) is
taken. As a dependency it would bring Playwright along, which is never run here. The wheel without such a dependency
(axe-core-python) carries an axe-core of 2022.
"""

import asyncio
import sys
import zipfile
from pathlib import Path
from typing import Final

from deploy.local.cache import check_files, fill
from deploy.local.errors import LocalStackError

_NAME: Final = "axe-core-4.12.1"
_WHEEL: Final = "axe_playwright_python-0.1.8-py3-none-any.whl"
_SHA256: Final = "fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8"
_DOWNLOAD_SECONDS_MAX: Final = 120.0
GRAVE: Final = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => one.id + ": " + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 120)
    + " (" + node.any.concat(node.all, node.none).map((check) => check.message).join("; ") + ")").join(" | ")))
"""
"""Asked of a page with the script on it: what axe calls serious or critical there."""


async def axe_script() -> str:
    """The script that puts `axe` on a page; downloaded on first use."""
    folder = await fill(_NAME, _download)
    return (folder / "axe.min.js").read_text(encoding="utf-8")


async def _download(folder: Path) -> None:
    wheels = folder / "wheels"
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:")
    process = await asyncio.create_subprocess_exec(*command, "--dest", str(wheels), "axe-playwright-python==0.1.8")
    async with asyncio.timeout(_DOWNLOAD_SECONDS_MAX):
        if await process.wait() != 0:
            raise LocalStackError("cannot download axe-core: make pip able to fetch axe-playwright-python==0.1.8")
    check_files(wheels, {_WHEEL: _SHA256})
    with zipfile.ZipFile(wheels / _WHEEL) as wheel:
        (folder / "axe.min.js").write_bytes(wheel.read("axe_playwright_python/axe.min.js"))
