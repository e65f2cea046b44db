"""A key kept by the browser: pictures in a page cannot be asked for with a header."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api.access import COOKIE, SESSION_PATH, Doorkeeper, presented_key
from api.errors import KeyNeeded
from api.schemas.basics import Asked, Document
from likeness.catalog.serving.keys import Scope

router = APIRouter(prefix=SESSION_PATH, tags=["operation"])

_MONTH_S = 30 * 24 * 3600


class SessionAsked(Asked):
    key: str = Field(max_length=200, examples=["lk_…"])


class Session(Document):
    """What this browser may do."""

    key_needed: bool = Field(description="Whether keys are asked for at all.")
    scope: Scope | None = Field(description="What may be done; null: nothing without a key.")


@router.get("", summary="What I may do")
async def get_session(request: Request) -> Session:
    """Asked by the page when it opens."""
    keeper: Doorkeeper = request.app.state.doorkeeper
    scope = await run_in_threadpool(keeper.scope_of, presented_key(request.headers))
    needed = await run_in_threadpool(keeper.scope_of, None) is None
    return Session(key_needed=needed, scope=scope)


@router.post("", summary="Keep a key in a cookie")
async def open_session(asked: SessionAsked, request: Request, response: Response) -> Session:
    """The cookie is out of reach of scripts and is sent to this site only, from this site only."""
    keeper: Doorkeeper = request.app.state.doorkeeper
    scope = await run_in_threadpool(keeper.scope_of, asked.key)
    if scope is None:
        raise KeyNeeded("this key is wrong or revoked")
    needed = await run_in_threadpool(keeper.scope_of, None) is None
    if needed:  # then the key is one of ours, and fit for a header
        response.set_cookie(
            COOKIE,
            asked.key,
            max_age=_MONTH_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return Session(key_needed=needed, scope=scope)


@router.delete("", summary="Forget the key", status_code=204, response_class=Response)
async def close_session() -> Response:
    """The cookie is gone."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
