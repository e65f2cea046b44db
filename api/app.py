"""The ASGI app: live objects, middleware, routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api import errors, pages
from api.access import Door, Doorkeeper
from api.guard import BodyGuard, Counting
from api.routes import (
    adding,
    check,
    clusters,
    collections,
    duplicates,
    explaining,
    health,
    images,
    jobs,
    models,
    previews,
    problems,
    search,
    session,
    survey,
    vectors,
)
from api.routes import map as collection_map
from api.routes.previews import PreviewAsked
from api.schemas.basics import PROBLEM_RESPONSES, Problem
from api.schemas.jobs import UrlsToAdd
from api.schemas.search import Question, Questions
from api.schemas.vectors import Items
from api.service import Service
from api.sorting.service import Sorting
from likeness import __version__
from likeness.runtime import Runtime
from likeness.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_ROUTERS = (
    collections.router,
    search.router,
    previews.router,
    images.router,
    adding.router,
    explaining.router,
    vectors.router,
    duplicates.router,
    check.router,
    clusters.router,
    survey.router,
    collection_map.router,
    jobs.router,
    models.router,
    session.router,
    problems.router,
    health.router,
    pages.router,
)
_BODIES = (Question, Questions, UrlsToAdd, Items, PreviewAsked)


def create_app(given: Settings | Runtime, *, hosts: frozenset[str] | None = None) -> FastAPI:
    """The app over a runtime, which stays the caller's, or over one of its own from settings.

    hosts: names that it answers to (`LOOPBACK_NAMES` on loopback), None for any.
    Nothing is opened before the app starts.
    """
    settings = given if isinstance(given, Settings) else given.settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = given if isinstance(given, Runtime) else Runtime(given)
        try:
            service = await run_in_threadpool(Service, runtime)
            app.state.service = service
            app.state.doorkeeper = Doorkeeper(service.keys, open_to_all=settings.insecure)
            sorting = app.state.sorting = await run_in_threadpool(Sorting, service)
            service.start()
            try:
                yield
            finally:
                service.stopping = True
                await run_in_threadpool(sorting.close)
                await service.close()
        finally:
            if runtime is not given:
                await run_in_threadpool(runtime.close)

    app = FastAPI(
        title="Likeness",
        version=__version__,
        summary="Image search: by picture, by words, and by both.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        responses=PROBLEM_RESPONSES,
        redirect_slashes=False,
    )
    errors.install(app)
    app.add_exception_handler(ValidationError, _on_own_validation)
    app.add_middleware(BodyGuard, max_bytes=settings.max_body, timeout_s=settings.request_timeout_s)
    app.add_middleware(Door, doorkeeper=lambda: app.state.doorkeeper, hosts=hosts)
    app.add_middleware(Counting, metrics=lambda: app.state.service.metrics)
    for router in _ROUTERS:
        app.include_router(router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The operations of an OpenAPI document."""
    for methods in document["paths"].values():
        yield from methods.values()


async def _on_own_validation(_request: Request, error: Exception) -> JSONResponse:
    """Bodies that routes validate themselves, because they come in more than one form."""
    assert isinstance(error, ValidationError)
    found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors()]
    return errors.validation_problem(found)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with the models that routes refer to by name."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (Problem, *_BODIES):
            found = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= found.pop("$defs", {})
            schemas[model.__name__] = found
        for operation in operations(document):
            if "security" in operation:  # optional: asked for once there are keys
                operation["security"] = [{}, *operation["security"]]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        app.openapi_schema = document
    return app.openapi_schema
