"""A key kept by the browser: pictures in a page cannot be asked for with a header."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.access import COOKIE, SESSION_PATH, Doorkeeper, presented_key
from api.errors import KeyNeeded
from api.schemas.basics import Asked, Document
from api.service import Service, TheService
from likeness.catalog.serving.keys import Scope

router = APIRouter(prefix=SESSION_PATH, tags=["operation"])

_MONTH_S = 30 * 24 * 3600


class SessionAsked(Asked):
    key: str = Field(max_length=200, examples=["lk_…"])


class Session(Document):
    """What this browser may do."""

    key_needed: bool = Field(description="Whether keys are asked for at all.")
    scope: Scope | None = Field(description="What may be done; null: nothing without a key.")
    fetch_urls: bool = Field(description="Whether pictures can be named by URL.")
    max_body: int = Field(description="Bytes of one request, at most.")


@router.get("", summary="What I may do")
async def get_session(request: Request, service: TheService) -> Session:
    """Asked by the page when it opens."""
    keeper: Doorkeeper = request.app.state.doorkeeper
    scope = await keeper.scope_of(presented_key(request.headers))
    return _session(service, scope, await _needed(keeper))


@router.post("", summary="Keep a key in a cookie")
async def open_session(
    asked: SessionAsked, request: Request, response: Response, service: TheService
) -> Session:
    """The cookie is out of reach of scripts and is sent to this site only, from this site only."""
    keeper: Doorkeeper = request.app.state.doorkeeper
    scope = await keeper.scope_of(asked.key)
    if scope is None:
        raise KeyNeeded("this key is wrong or revoked")
    needed = await _needed(keeper)
    if needed:  # then the key is one of ours, and fit for a header
        response.set_cookie(
            COOKIE,
            asked.key,
            max_age=_MONTH_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return _session(service, scope, needed)


@router.delete("", summary="Forget the key", status_code=204, response_class=Response)
async def close_session() -> Response:
    """The cookie is gone."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


async def _needed(keeper: Doorkeeper) -> bool:
    return await keeper.scope_of(None) is None


def _session(service: Service, scope: Scope | None, needed: bool) -> Session:
    settings = service.settings
    return Session(
        key_needed=needed,
        scope=scope,
        fetch_urls=settings.fetch_urls,
        max_body=settings.max_body,
    )
