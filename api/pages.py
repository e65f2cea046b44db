"""The web page: static files of `api/web`, read once and served from memory.

Everything under one address that holds a digest of all files, so browsers keep it for a year and
still see a new version at once; only the small frame of each page is asked for anew. The content
security policy allows scripts and styles from these files and nothing else, inline or from afar,
and no script may turn text into markup.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A page: `js/NAME/page.js` and `css/NAME.css` make it, in the frame that all share."""

    address: str
    name: str
    title: str


PAGES = (
    Page("/", "search", "Search"),
    Page("/duplicates", "duplicates", "Duplicates"),
    Page("/clusters", "clusters", "Clusters"),
    Page("/map", "map", "Map"),
)

_FRAME = "frame.html"
_KEPT = "public, max-age=31536000, immutable"
_ASKED_ANEW = "no-cache"
_MEDIA_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css"}

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Site:
    """assets: bytes by path below `api/web`. version: changes with any of them. pages: HTML by
    address."""

    assets: Mapping[str, bytes]
    version: str
    pages: Mapping[str, bytes]


@cache
def site() -> Site:
    """The files, read at the first request."""
    assets = dict(_read(files("api") / "web", ""))
    digest = hashlib.sha256()
    for path in sorted(assets):
        digest.update(f"{path} {len(assets[path])}\n".encode() + assets[path])
    version = digest.hexdigest()[:16]
    frame = Template(assets.pop(_FRAME).decode())
    pages = {page.address: _drawn(frame, page, version, sorted(assets)) for page in PAGES}
    return Site(assets, version, pages)


def _read(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found


def _drawn(frame: Template, page: Page, version: str, paths: Sequence[str]) -> bytes:
    """The page's HTML. Its modules are named, so that a browser asks for all of them at once."""
    root = f"/assets/{version}"
    modules = [path for path in paths if path.startswith(("js/core/", f"js/{page.name}/"))]
    preload = "\n".join(f'<link rel="modulepreload" href="{root}/{path}">' for path in modules)
    links = (
        f'<a href="{each.address}"{" aria-current=page" if each == page else ""}>{each.title}</a>'
        for each in PAGES
    )
    return frame.substitute(
        title=page.title, name=page.name, nav="".join(links), assets=root, preload=preload
    ).encode()


async def get_page(address: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """A page's frame; 304 for those who have it."""
    body = site().pages[address]
    headers = {
        **_HEADERS,
        "Cache-Control": _ASKED_ANEW,
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
    }
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="text/html", headers=headers)


@router.api_route("/assets/{version}/{path:path}", methods=["GET", "HEAD"])
async def get_asset(
    version: str, path: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """A file of the page. Another version's address is answered with this one's, not to be kept:
    a page that was open while the server was replaced goes on until it is loaded anew."""
    found = site()
    body = found.assets.get(path)
    if body is None:
        raise HTTPException(404, f"the page has no file {path[:100]!r}")
    headers = {
        **_HEADERS,
        "Cache-Control": _KEPT if version == found.version else _ASKED_ANEW,
        "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
    }
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    suffix = path[path.rfind(".") :]
    media_type = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(path)[0]
    return Response(body, media_type=media_type or "application/octet-stream", headers=headers)


def _add(page: Page) -> None:
    @router.api_route(page.address, methods=["GET", "HEAD"])
    async def get(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        return await get_page(page.address, if_none_match)


for _page in PAGES:
    _add(_page)
