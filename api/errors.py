"""Errors as HTTP: one table from error to status and code, and RFC 9457 problem details.

Codes are stable: programs tell problems apart by them, people read `detail`. `GET /v1/problems`
lists the table, and each problem's `type` leads to its row.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from likeness import errors as e
from likeness.errors import LikenessError, WhereError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
PROBLEMS_PATH = "/v1/problems"


class ApiError(LikenessError):
    """Something that only a caller of the API can meet. extra: members beside the standard ones;
    headers: of the answer."""

    def __init__(
        self,
        message: str,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.extra, self.headers = dict(extra or {}), dict(headers or {})


class BadRequest(ApiError):
    """A body or parameter that cannot be read as what it should be."""


class OverLimit(ApiError):
    """More of something than one request may ask for; `extra` holds limit and given."""


class BodyTooLarge(ApiError):
    """The request's body is larger than settings allow."""


class BodyTooSlow(ApiError):
    """The request's body did not arrive in time."""


class TookTooLong(ApiError):
    """The work was begun and not done in time."""


class Busy(ApiError):
    """The work could not even be begun in time."""


class NotReady(ApiError):
    """The service is starting: an encoder or an index is being loaded."""


class KeyNeeded(ApiError):
    """No key, or one that opens nothing."""


class ScopeNeeded(ApiError):
    """A valid key whose scope does not cover what was asked."""


class ForeignOrigin(ApiError):
    """A web page of another site asked, or a name that is not this server's."""


class UrlsAreOff(ApiError):
    """Images were named by URL where that is not allowed."""


class FileUnreachable(ApiError):
    """A stored image whose file has gone, or now holds something else."""


class EncoderNotServed(ApiError):
    """An encoder that no collection uses."""


class NotMadeYet(ApiError):
    """Something that a job has to make first."""


class NotFoundHere(ApiError):
    """A group, run, cluster or plan that the collection does not have."""


class AlreadyRunning(ApiError):
    """A job of the kind is at work on the collection; `extra` holds its id."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A row of the table: what an error is to a caller."""

    status: int
    code: str
    title: str


TABLE: dict[type[LikenessError], ProblemKind] = {
    BadRequest: ProblemKind(400, "bad_request", "The request cannot be read"),
    OverLimit: ProblemKind(422, "over_limit", "More than one request may ask for"),
    BodyTooLarge: ProblemKind(413, "body_too_large", "The body is too large"),
    BodyTooSlow: ProblemKind(408, "body_too_slow", "The body did not arrive in time"),
    TookTooLong: ProblemKind(422, "took_too_long", "The question takes too long to answer"),
    Busy: ProblemKind(503, "busy", "Too much is being asked at once"),
    NotReady: ProblemKind(503, "not_ready", "The service is still starting"),
    KeyNeeded: ProblemKind(401, "key_needed", "An API key is needed"),
    ScopeNeeded: ProblemKind(403, "scope_needed", "The API key does not allow this"),
    ForeignOrigin: ProblemKind(403, "foreign_origin", "Asked in the name of another site"),
    UrlsAreOff: ProblemKind(403, "urls_off", "Fetching URLs is switched off"),
    FileUnreachable: ProblemKind(410, "file_unreachable", "The image's file is out of reach"),
    EncoderNotServed: ProblemKind(422, "encoder_not_served", "The encoder is not in use here"),
    NotMadeYet: ProblemKind(404, "not_made_yet", "A job has to make this first"),
    NotFoundHere: ProblemKind(404, "not_found_here", "The collection has no such thing"),
    AlreadyRunning: ProblemKind(409, "already_running", "A job like this is at work"),
    e.WhereError: ProblemKind(422, "where_invalid", "The filter cannot be understood"),
    e.QueryError: ProblemKind(422, "query_invalid", "The question cannot be asked"),
    e.CollectionNotFound: ProblemKind(404, "collection_not_found", "There is no such collection"),
    e.ImageNotFound: ProblemKind(404, "image_not_found", "There is no such image"),
    e.JobNotFound: ProblemKind(404, "job_not_found", "There is no such job"),
    e.KeyNotFound: ProblemKind(404, "key_not_found", "There is no such key"),
    e.SpaceMismatch: ProblemKind(422, "space_mismatch", "Vectors of two encoders cannot meet"),
    e.PlanError: ProblemKind(409, "plan_stale", "The plan cannot be carried out as it is"),
    e.UnknownEncoder: ProblemKind(422, "unknown_encoder", "There is no such encoder"),
    e.NoTextTower: ProblemKind(422, "no_text_tower", "The encoder does not know words"),
    e.NoAttentionMap: ProblemKind(422, "no_attention_map", "The encoder has no attention map"),
    e.NoPatchTokens: ProblemKind(422, "no_patch_tokens", "The encoder has no patch tokens"),
    e.WeightsError: ProblemKind(503, "weights_unusable", "The encoder's weights cannot be used"),
    e.SettingsError: ProblemKind(500, "settings_invalid", "The service is set up wrongly"),
    e.SourceError: ProblemKind(422, "source_unreadable", "A source cannot be read"),
    e.InputError: ProblemKind(422, "input_invalid", "The request cannot be carried out"),
    e.UnsupportedFormat: ProblemKind(415, "image_unsupported", "Not an image that can be read"),
    e.ImageTooLarge: ProblemKind(413, "image_too_large", "The image is too large"),
    e.CorruptImage: ProblemKind(422, "image_corrupt", "The image is broken"),
    e.UnreadableSource: ProblemKind(422, "image_unreadable", "The image cannot be fetched"),
    e.DecodeTimeout: ProblemKind(422, "image_timeout", "The image takes too long to decode"),
    e.DecoderCrashed: ProblemKind(422, "image_crashes", "The image brings its decoder down"),
    e.ImageError: ProblemKind(422, "image_unusable", "The image cannot be used"),
    e.DecoderUnavailable: ProblemKind(503, "no_decoder", "No image can be decoded now"),
    e.VectorError: ProblemKind(422, "vector_invalid", "The vector cannot be used"),
    e.SnapshotError: ProblemKind(503, "index_unusable", "The index cannot answer"),
    e.CatalogUnavailable: ProblemKind(503, "catalog_unavailable", "The database is out of reach"),
    e.CatalogError: ProblemKind(500, "catalog_unusable", "The database cannot be used"),
    LikenessError: ProblemKind(500, "internal", "Something went wrong here"),
}
"""The row of an error is that of its nearest class: subclasses stand for themselves."""

VALIDATION = ProblemKind(422, "request_invalid", "The request does not fit its schema")
_BY_STATUS: dict[int, ProblemKind] = {
    400: TABLE[BadRequest],
    404: ProblemKind(404, "no_route", "There is nothing at this address"),
    408: TABLE[BodyTooSlow],
    405: ProblemKind(405, "method_not_allowed", "The address does not know this method"),
    413: TABLE[BodyTooLarge],
    500: TABLE[LikenessError],
}


def all_kinds() -> list[ProblemKind]:
    """Every kind of problem once, by code."""
    kinds = {kind.code: kind for kind in (*TABLE.values(), *_BY_STATUS.values(), VALIDATION)}
    return [kinds[code] for code in sorted(kinds)]


def kind_of(error: LikenessError) -> ProblemKind:
    """What an error is to a caller."""
    for ancestor in type(error).__mro__:
        if ancestor in TABLE:
            return TABLE[ancestor]
    raise TypeError(f"{type(error).__name__} is no LikenessError")


def problem(
    kind: ProblemKind,
    detail: str,
    *,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The answer that tells of a problem."""
    document = {
        "type": f"{PROBLEMS_PATH}/{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "detail": detail,
        **(extra or {}),
    }
    return JSONResponse(
        document, status_code=kind.status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def problem_of(error: LikenessError) -> JSONResponse:
    """The answer to a request that met this error. What is our fault is logged, not told."""
    kind = kind_of(error)
    if kind.status == 500:
        log.error("a request met %s", type(error).__name__, exc_info=error)
        return problem(kind, "the service could not do this; its log says why")
    extra: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, ApiError):
        extra, headers = error.extra, error.headers
    elif isinstance(error, WhereError):
        extra = {"where": error.text, "position": error.position, "reason": error.reason}
    elif isinstance(error, e.ImageError):
        extra = {"image": error.name, "reason": error.reason}
    if kind.status == 503:
        headers = {"Retry-After": "5", **headers}
    return problem(kind, str(error), extra=extra, headers=headers)


def install(app: FastAPI) -> None:
    """The app answers every error as a problem."""

    async def on_likeness_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, LikenessError)
        return problem_of(error)

    async def on_http_exception(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            return _not_allowed(app, request)
        kind = _BY_STATUS.get(error.status_code)
        if kind is None:
            kind = ProblemKind(error.status_code, "http", str(error.detail))
        return problem(kind, str(error.detail), headers=error.headers)

    async def on_validation(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return validation_problem(error.errors())

    async def on_anything(_request: Request, error: Exception) -> JSONResponse:
        log.error("a request met an error that nobody expected", exc_info=error)
        return problem(TABLE[LikenessError], "the service could not do this; its log says why")

    app.add_exception_handler(LikenessError, on_likeness_error)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_anything)


def _not_allowed(app: FastAPI, request: Request) -> JSONResponse:
    """405, with every method that the address knows: each is a route of its own here."""
    allowed: set[str] = set()
    for path, methods in app.openapi()["paths"].items():
        if compile_path(path)[0].fullmatch(request.url.path):
            allowed |= {method.upper() for method in methods}
    listed = ", ".join(sorted(allowed))
    detail = f"{request.method} is not known here; {listed or 'nothing'} is"
    return problem(_BY_STATUS[405], detail, headers={"Allow": listed})


def validation_problem(found: Sequence[Mapping[str, Any]]) -> JSONResponse:
    """Where a request does not fit its schema, and why; the values themselves are not repeated."""
    listed = [
        {"at": [str(part) for part in item["loc"]], "reason": str(item["msg"])}
        for item in found[:20]
    ]
    first = listed[0] if listed else {"at": [], "reason": "it does not fit"}
    detail = f"{'.'.join(first['at'])}: {first['reason']}"
    return problem(VALIDATION, detail, extra={"errors": listed})
