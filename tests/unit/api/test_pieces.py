"""Small parts of the API: the table of errors, bodies, thumbnails kept."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from api.errors import TABLE, all_kinds, kind_of, problem_of
from api.guard import BodyGuard
from likeness import errors
from likeness.errors import CatalogError, CorruptImage, InputError, LikenessError, WhereError
from likeness.imaging.thumbnail_cache import SIDES, ThumbnailCache, kept_side


def every_error() -> list[type[LikenessError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, LikenessError)
    ]


@pytest.mark.parametrize("error", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_and_what_the_caller_can_mend_is_a_4xx(
    error: type[LikenessError],
) -> None:
    kind = kind_of(error.__new__(error))
    operators = (errors.SettingsError, errors.WeightsError)
    if issubclass(error, InputError | errors.ImageError) and not issubclass(error, operators):
        assert 400 <= kind.status < 500
    assert kind.code == kind.code.lower()


def test_a_code_has_one_status() -> None:
    codes = [kind.code for kind in all_kinds()]
    assert len(codes) == len(set(codes))
    assert {kind.code for kind in TABLE.values()} <= set(codes)


def test_what_is_our_fault_is_not_told_in_detail(caplog: pytest.LogCaptureFixture) -> None:
    answer = problem_of(CatalogError("password is hunter2"))
    assert answer.status_code == 500
    assert b"hunter2" not in answer.body
    assert "hunter2" in caplog.text


def test_errors_hand_on_their_values() -> None:
    where = json.loads(problem_of(WhereError("a:(", 2, "what is that")).body)
    assert (where["where"], where["position"]) == ("a:(", 2)
    image = json.loads(problem_of(CorruptImage("a.jpg", "it is broken")).body)
    assert (image["image"], image["reason"], image["code"]) == (
        "a.jpg", "it is broken", "image_corrupt"
    )  # fmt: skip


# ---------------------------------------------------------------------------- bodies


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    try:
        body = await Request(scope, receive).body()
        answer = PlainTextResponse(str(len(body)))
    except HTTPException as error:
        answer = PlainTextResponse(error.detail, status_code=error.status_code)
    await answer(scope, receive, send)


def status_of(parts: list[tuple[float, bytes]], headers: list[tuple[bytes, bytes]] = []) -> int:  # noqa: B006
    """The status for a body that comes in parts, each after some seconds."""

    async def work() -> int:
        waiting, sent = list(parts), []

        async def receive() -> dict[str, Any]:
            pause, part = waiting.pop(0)
            await asyncio.sleep(pause)
            return {"type": "http.request", "body": part, "more_body": bool(waiting)}

        async def send(message: Any) -> None:
            sent.append(message)

        guard = BodyGuard(reads_all, max_bytes=100, timeout_s=0.2)
        await guard({"type": "http", "method": "POST", "headers": headers}, receive, send)
        return int(sent[0]["status"])

    return asyncio.run(work())


def test_a_body_within_bounds_is_read() -> None:
    assert status_of([(0, b"x" * 50), (0.05, b"x" * 50)]) == 200


def test_a_body_that_drips_is_cut_off() -> None:
    assert status_of([(0.05, b"x")] * 50) == 408


def test_a_body_without_end_is_cut_off() -> None:
    assert status_of([(0, b"x" * 60)] * 50) == 413


@pytest.mark.parametrize(
    ("length", "status"),
    [(b"100", 200), (b"101", 413), (b"9" * 5000, 413), (b"-1", 400), (b"1e3", 400), (b"", 400)],
)
def test_a_declared_length_is_believed_only_to_refuse(length: bytes, status: int) -> None:
    assert status_of([(0, b"x")], [(b"content-length", length)]) == status


# ---------------------------------------------------------------------------- thumbnails


def test_sides_that_are_kept_cover_what_is_asked() -> None:
    assert [kept_side(side) for side in (16, 128, 129, 1000, 5000)] == [128, 128, 256, 1024, 1024]


def test_thumbnails_are_kept_by_content_and_the_oldest_go(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path, max_bytes=1000)
    for number in range(10):
        cache.put(f"{number:064x}", SIDES[0], bytes([number]) * 150)
        os.utime(next(tmp_path.rglob(f"{number:064x}-*")), (number, number))
    cache.trim()
    kept = [number for number in range(10) if cache.get(f"{number:064x}", SIDES[0])]
    assert kept == list(range(4, 10))
    assert cache.get(f"{9:064x}", SIDES[0]) == b"\x09" * 150
    assert cache.get(f"{9:064x}", SIDES[1]) is None


def test_a_full_disk_loses_the_thumbnail_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ThumbnailCache(tmp_path / "file", max_bytes=1000)
    cache.put("ab" * 32, SIDES[0], b"x")
    assert cache.get("ab" * 32, SIDES[0]) is None
