"""What one query sees: an index, the tail beside it, and what has died since."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.types import Embeddings, ImageIds, StoredVectors
from likeness.vectors.idset import IdSet
from likeness.vectors.index import Neighbours, VectorIndex, merge

NOBODY = IdSet(())


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the asker should know though the answer is right. code: stable."""

    code: str
    message: str

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class View:
    """A space as of one revision. Immutable; any number of queries share it.

    base: a snapshot's index, or all vectors read from the catalog. tail: images added since, or
    added again; removed: images of base that died since or that tail holds anew. So each image
    stands in one of the two. snapshot: the name of base's, None when it came from the catalog.
    """

    base: VectorIndex
    tail: VectorIndex
    removed: IdSet
    revision: int
    snapshot: str | None

    def __len__(self) -> int:
        return self.base.matched(removed=self.removed) + len(self.tail)

    @property
    def dim(self) -> int:
        return self.base.dim

    def search(self, queries: Embeddings, k: int, *, allowed: IdSet | None = None) -> Neighbours:
        """The k best of the images in `allowed` (None: of all), as of this revision.

        queries: float32 [q, d]. Never fewer than k when k are allowed. Raises VectorError.
        """
        answers = [self.base.search(queries, k, allowed=allowed, removed=self.removed)]
        if len(self.tail):
            answers.append(self.tail.search(queries, k, allowed=allowed))
        return merge(answers, k)

    def matched(self, allowed: IdSet | None = None) -> int:
        """How many images a search chooses from."""
        in_base = self.base.matched(allowed=allowed, removed=self.removed)
        return in_base + (self.tail.matched(allowed=allowed) if len(self.tail) else 0)

    def vectors(self, image_ids: ImageIds) -> tuple[ImageIds, StoredVectors]:
        """Those images that are here, in the order asked: ids int64 [m], float16 [m, d]."""
        wanted = np.asarray(image_ids, dtype=np.int64).reshape(-1)
        alive = np.isin(wanted, self.removed.ids, invert=True)
        base_ids, base_rows = self.base.vectors(wanted[alive])
        tail_ids, tail_rows = self.tail.vectors(wanted)
        ids = np.concatenate([base_ids, tail_ids])
        rows = np.concatenate([base_rows, tail_rows])
        place = {image_id: at for at, image_id in enumerate(ids.tolist())}
        order = [place[i] for i in wanted.tolist() if i in place]
        return ids[order], rows[order]
