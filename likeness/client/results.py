"""Answers as Python values, that show themselves in a notebook."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import overload

import numpy as np
from PIL import Image as Pixels

from api.schemas.images import Image
from api.schemas.search import Answer, Hit
from api.schemas.vectors import Explanation
from likeness.errors import LikenessError
from likeness.imaging.contact_sheet import SheetHit, SheetRow, sheet_png
from likeness.types import RgbImage

_SHOWN = 50
_SIDE = 256

Thumbnail = Callable[[int], bytes]
"""Image id → bytes of a small picture. Raises LikenessError when it is out of reach."""


class Results(Sequence[Hit]):
    """The hits of a search, best first. answer: everything else that the search says.

    In a notebook it shows itself as a contact sheet.
    """

    def __init__(
        self,
        answer: Answer,
        thumbnail: Thumbnail,
        *,
        words: Sequence[str] = (),
        without_words: Sequence[str] = (),
        images: Sequence[RgbImage] = (),
    ) -> None:
        self.answer = answer
        self._thumbnail = thumbnail
        self._words, self._without, self._images = list(words), list(without_words), list(images)

    def __len__(self) -> int:
        return len(self.answer.hits)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | Sequence[Hit]:
        return self.answer.hits[at]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.answer.hits)

    def __repr__(self) -> str:
        best = ", ".join(f"{_name(hit.image)} {hit.score:.3f}" for hit in self.answer.hits[:3])
        more = ", …" if len(self) > 3 else ""
        known = f"{len(self)} of {self.answer.matched} images of {self.answer.collection}"
        return f"<{known}: {best}{more}>"

    @property
    def ids(self) -> list[int]:
        """The images' ids, best first."""
        return [hit.image.id for hit in self.answer.hits]

    @property
    def next_cursor(self) -> str | None:
        """Give it as `after` to get the next page; None on the last."""
        return self.answer.next_cursor

    def thumbnail(self, image_id: int) -> RgbImage | None:
        """A small picture, uint8 [h, w, 3]; None when the image is out of reach."""
        try:
            data = self._thumbnail(image_id)
        except LikenessError:
            return None
        with Pixels.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"))

    def sheet(self) -> bytes:
        """A contact sheet of question and answers: the bytes of a PNG."""
        hits = [
            SheetHit(hit.rank, hit.score, _name(hit.image), self.thumbnail(hit.image.id))
            for hit in self.answer.hits[:_SHOWN]
        ]
        row = SheetRow(hits, words=self._words, images=self._images, without_words=self._without)
        return sheet_png([row], title=f"{self.answer.collection} · {self.answer.encoder}")

    def _repr_png_(self) -> bytes:
        return self.sheet()

    def _repr_html_(self) -> str:
        cards = "".join(self._card(hit) for hit in self.answer.hits[:_SHOWN])
        asked = html.escape(" · ".join([*self._words, *(f"not {w}" for w in self._without)]))
        return (
            f"<div><p>{asked}</p>"
            '<div style="display:flex;flex-wrap:wrap;gap:8px;align-items:flex-end">'
            f"{cards}</div></div>"
        )

    def _card(self, hit: Hit) -> str:
        name = html.escape(_name(hit.image))
        picture = "<em>no picture</em>"
        try:
            data = base64.b64encode(self._thumbnail(hit.image.id)).decode()
        except LikenessError as error:
            picture = f"<em>{html.escape(str(error))}</em>"
        else:
            picture = (
                f'<img src="data:image/webp;base64,{data}" alt="{name}" '
                'style="max-height:160px;max-width:240px;display:block">'
            )
        return (
            f'<figure style="margin:0;max-width:240px">{picture}<figcaption '
            f'style="font-size:11px;overflow-wrap:anywhere">{hit.rank}. {hit.score:.3f} {name} '
            f"<small>#{hit.image.id}</small></figcaption></figure>"
        )


class Explained:
    """Why an image matched. explanation: as data. In a notebook it shows itself as a picture."""

    def __init__(self, explanation: Explanation, picture: Callable[[], bytes]) -> None:
        self.explanation = explanation
        self._picture = picture

    def picture(self) -> bytes:
        """Both images, what they share, and where the encoder looked: the bytes of a PNG."""
        return self._picture()

    def __repr__(self) -> str:
        found = self.explanation
        verified = sum(match.verified for match in found.matches)
        what = "no shared region" if found.region is None else f"{verified} verified patches"
        return f"<image {found.id}: {what}, evidence {found.evidence:.1f}>"

    def _repr_png_(self) -> bytes:
        return self._picture()


def thumbnail_side() -> int:
    """Pixels of the longer side of thumbnails in sheets."""
    return _SIDE


def _name(image: Image) -> str:
    given = image.fields.get("filename")
    return given if isinstance(given, str) else PurePath(image.path).name
