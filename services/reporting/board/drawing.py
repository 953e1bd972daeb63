"""Templates, the stylesheet and the script: read once, named by what is in them, served from here."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.reporting import charts
from services.reporting.board import pages, words

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_HERE: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_YEAR: Final = 31_536_000


class Drawn(NamedTuple):
    """A page, ready to be sent."""

    content: bytes
    status: int


class Drawing:
    """Turns a page's values into an answer. Keeps nothing of them, so one does for a process: see drawing()."""

    def __init__(self) -> None:
        self._files = {one.name: one.read_bytes() for one in sorted((_HERE / "static").iterdir()) if one.is_file()}
        self._hashes = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in self._files.items()}
        self._templates = Environment(
            loader=FileSystemLoader([_HERE / "templates", _HERE.parent / "templates"]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            number=words.number,
            percent=words.percent,
            day=words.day,
            moment=words.moment,
            period=words.period,
        )
        self._templates.globals.update(
            file=self.file,
            address=pages.address,
            task_address=pages.task_address,
            words=words,
            patterns=charts.patterns,
        )
        # Compiled now, not for the first who looks.
        for name in self._templates.list_templates():
            self._templates.get_template(name)

    def file(self, name: str) -> str:
        """Where a page finds a file; another address once its content is another."""
        return f"/static/{name}?v={self._hashes[name]}"

    def draw(self, template: str, values: Mapping[str, Any], status: int) -> Drawn:
        """A page."""
        return Drawn(self._templates.get_template(template).render(values).encode(), status)

    @staticmethod
    def answer(drawn: Drawn) -> Response:
        """The answer that shows it; a new one each time, since who logs in is added to its headers."""
        return HTMLResponse(drawn.content, status_code=drawn.status, headers=HEADERS)

    async def static(self, request: Request) -> Response:
        """`GET /static/{name}`: open to everybody, like the login page that needs it."""
        name = request.path_params["name"]
        content = self._files.get(name)
        if content is None:
            return Response("not found", status_code=404, media_type="text/plain")
        is_named = request.query_params.get("v") == self._hashes[name]
        headers = {
            "cache-control": f"public, max-age={_YEAR}, immutable" if is_named else "no-cache",
            "x-content-type-options": "nosniff",
        }
        return Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])


@cache
def drawing() -> Drawing:
    """The one of this process: compiling all templates takes 0.2 s."""
    return Drawing()
