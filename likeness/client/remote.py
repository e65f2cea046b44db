"""The client of a service."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Self
from urllib.parse import quote

import httpx
import numpy as np
from PIL import Image as Pixels

from api.schemas.check import CheckedImage, CheckedList
from api.schemas.images import Image, ImagePage
from api.schemas.jobs import AddedList
from api.schemas.search import Answer
from api.schemas.vectors import Explanation
from indexer.sources import SourceItem, SourceLimits, open_source
from indexer.sources.interface import SourceProblem
from likeness import __version__
from likeness.client.asking import (
    file_bytes,
    ids_of,
    is_url,
    options_of,
    pictures_of,
    sources_of,
    wanted,
)
from likeness.client.interface import AddReport, Picture, Source
from likeness.client.results import Explained, Results, thumbnail_side
from likeness.errors import ImageError, QueryError, ServiceError
from likeness.types import RgbImage

_PAGE = 500
_FILES_AT_ONCE = 32
_BYTES_AT_ONCE = 64 * 2**20

Problem = tuple[str, str, str]


class RemoteClient:
    """See `Client`. Raises ServiceError for whatever the service answers with a problem."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        collection: str,
        timeout_s: float,
    ) -> None:
        headers = {"User-Agent": f"likeness/{__version__}"}
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        self.collection = collection
        self._url = url.rstrip("/")
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout_s)

    def search(
        self,
        text: str | Sequence[str] = (),
        *,
        image: Picture | Sequence[Picture] = (),
        image_id: int | Sequence[int] = (),
        without: str | Sequence[str] = (),
        without_image: Picture | Sequence[Picture] = (),
        without_id: int | Sequence[int] = (),
        collection: str | None = None,
        **options: Any,
    ) -> Results:
        asked = wanted(text, image, image_id, without, without_image, without_id)
        terms: list[dict[str, Any]] = [{"text": t, "weight": w} for t, w in asked.texts]
        files: list[tuple[bytes, str]] = []
        shown: list[RgbImage] = []
        for picture, weight in asked.pictures:
            if is_url(picture):
                terms.append({"url": str(picture), "weight": weight})
                continue
            terms.append({"upload": len(files), "weight": weight})
            files.append(file_bytes(picture))
            if weight > 0:
                shown += _for_sheet(files[-1][0])
        terms += [{"id": each, "weight": weight} for each, weight in asked.ids]
        chosen = options_of(options)
        question = {"terms": terms, **{name: getattr(chosen, name) for name in chosen.__slots__}}
        base = self._base(collection)
        answer = Answer.model_validate_json(self._post(f"{base}/search", question, files).content)

        def small(image_id: int) -> bytes:
            size = {"size": thumbnail_side()}
            return self._send("GET", f"{base}/images/{image_id}/thumbnail", params=size).content

        return Results(
            answer,
            small,
            words=[each for each, weight in asked.texts if weight > 0],
            without_words=[each for each, weight in asked.texts if weight < 0],
            images=shown,
        )

    def add(
        self, sources: Source | Sequence[Source], *, collection: str | None = None
    ) -> AddReport:
        name = collection or self.collection
        self._send("POST", "/v1/collections", json={"name": name})
        problems: list[Problem] = []
        added = known = 0
        for files, urls in _loads(sources_of(sources), problems):
            address = f"{self._base(collection)}/images"
            if urls:
                answer = self._send("POST", address, json={"urls": urls}, params={"wait": "true"})
            else:
                parts = [("image", (name, data)) for data, name in files]
                answer = self._send("POST", address, files=parts)
            for each in AddedList.model_validate_json(answer.content).images:
                added += each.outcome == "added"
                known += each.outcome == "known"
                if each.outcome == "failed":
                    problems.append((each.name, each.reason or "", each.message or ""))
        return AddReport(added, known, len(problems), tuple(problems))

    def remove(
        self,
        image_ids: int | Sequence[int] = (),
        *,
        where: str | None = None,
        collection: str | None = None,
    ) -> int:
        chosen = ids_of(image_ids)
        if bool(chosen) == bool(where):
            raise QueryError("name the images to remove by id, or by where, but not by both")
        if where:
            chosen = [image.id for image in self.images(where=where, collection=collection)]
        removed = 0
        address = f"{self._base(collection)}/images"
        for image_id in chosen:
            before = Image.model_validate_json(self._send("GET", f"{address}/{image_id}").content)
            self._send("DELETE", f"{address}/{image_id}")
            removed += before.state != "gone"
        return removed

    def images(
        self,
        *,
        where: str | None = None,
        state: str = "ready",
        limit: int | None = None,
        collection: str | None = None,
    ) -> Iterator[Image]:
        after: int | None = 0
        left = limit
        while after is not None and (left is None or left > 0):
            size = _PAGE if left is None else min(_PAGE, left)
            asked: dict[str, Any] = {"state": state, "after": after, "limit": size}
            if where:
                asked["where"] = where
            sent = self._send("GET", f"{self._base(collection)}/images", params=asked)
            page = ImagePage.model_validate_json(sent.content)
            yield from page.images
            after = page.next_after
            left = None if left is None else left - len(page.images)

    def explain(
        self,
        image_id: int,
        *,
        image: Picture | None = None,
        query_id: int | None = None,
        space: str | None = None,
        collection: str | None = None,
    ) -> Explained:
        if (image is None) == (query_id is None):
            raise QueryError("give the query as image or as query_id, one of them")
        address = f"{self._base(collection)}/images/{image_id}/explain"
        chosen = {} if space is None else {"space": space}

        def ask(view: str) -> bytes:
            params = {**chosen, "view": view}
            if image is None:
                params["query_id"] = str(query_id)
                return self._send("GET", address, params=params).content
            if is_url(image):
                question = {"terms": [{"url": str(image)}]}
                return self._send("POST", address, params=params, json=question).content
            data, name = file_bytes(image)
            files = {"image": (name, data)}
            return self._send("POST", address, params=params, files=files).content

        found = Explanation.model_validate_json(ask("document"))
        return Explained(found, lambda: ask("picture"))

    def check(
        self,
        images: Picture | Sequence[Picture],
        *,
        least: str = "edited-copy",
        collection: str | None = None,
    ) -> list[CheckedImage]:
        found: list[CheckedImage] = []
        files = [file_bytes(each) for each in pictures_of(images)]
        for start in range(0, len(files), _FILES_AT_ONCE):
            parts = [
                ("image", (name, data)) for data, name in files[start : start + _FILES_AT_ONCE]
            ]
            address = f"{self._base(collection)}/check"
            answer = self._send("POST", address, files=parts, params={"least": least})
            found += CheckedList.model_validate_json(answer.content).images
        return found

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _base(self, collection: str | None) -> str:
        return f"/v1/collections/{quote(collection or self.collection, safe='')}"

    def _post(
        self, address: str, question: dict[str, Any], files: Sequence[tuple[bytes, str]]
    ) -> httpx.Response:
        """As JSON, or with files beside it."""
        if not files:
            return self._send("POST", address, json=question)
        parts = [("image", (name, data)) for data, name in files]
        return self._send("POST", address, data={"request": json.dumps(question)}, files=parts)

    def _send(self, method: str, address: str, **options: Any) -> httpx.Response:
        """Raises ServiceError for everything that is not a success."""
        try:
            answer = self._http.request(method, address, **options)
        except httpx.HTTPError as error:
            reason = f"it does not answer: {error or type(error).__name__}"
            raise ServiceError(self._url, 0, "unreachable", reason) from error
        if answer.is_success:
            return answer
        try:
            problem = answer.json()
            code, detail = str(problem["code"]), str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            problem, code = {}, "http"
            detail = f"it answered {answer.status_code} and is perhaps no Likeness service"
        raise ServiceError(self._url, answer.status_code, code, detail, problem)


def _loads(
    sources: Sequence[Source], problems: list[Problem]
) -> Iterator[tuple[list[tuple[bytes, str]], list[str]]]:
    """What one request takes: some files (bytes and name), or some URLs."""
    urls = [str(each) for each in sources if is_url(each)]
    for start in range(0, len(urls), _FILES_AT_ONCE):
        yield [], urls[start : start + _FILES_AT_ONCE]
    held: list[tuple[bytes, str]] = []
    for data, name in _files(sources, problems):
        heavy = sum(len(each) for each, _ in held) + len(data) > _BYTES_AT_ONCE
        if held and (heavy or len(held) >= _FILES_AT_ONCE):
            yield held, []
            held = []
        held.append((data, name))
    if held:
        yield held, []


def _files(sources: Sequence[Source], problems: list[Problem]) -> Iterator[tuple[bytes, str]]:
    for each in sources:
        if isinstance(each, bytes):
            yield each, "upload"
        elif not is_url(each):
            with open_source(each, limits=SourceLimits()) as source:
                for found in source.scan():
                    if isinstance(found, SourceProblem):
                        problems.append((found.path, str(found.kind), found.reason))
                        continue
                    yield from _read(source.read, found, problems)


def _read(read: Any, item: SourceItem, problems: list[Problem]) -> Iterator[tuple[bytes, str]]:
    try:
        yield read(item), item.path.rpartition("/")[2]
    except ImageError as error:
        problems.append((error.name, error.code, str(error)))


def _for_sheet(data: bytes) -> list[RgbImage]:
    """The caller's own picture, for the contact sheet; none when it cannot be read here."""
    try:
        with Pixels.open(io.BytesIO(data)) as opened:
            opened.thumbnail((512, 512))
            return [np.asarray(opened.convert("RGB"))]
    except (OSError, ValueError, Pixels.DecompressionBombError):
        return []
