"""What each item of a batch changes, decided in memory; no SQL here.

Moves are settled first, all together, so that chains and swaps of names work; then the other
items in their order, each seeing those before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from likeness.catalog.commit.touched import Image, NewVector, Touched
from likeness.catalog.records import (
    BatchItem,
    Failed,
    Filled,
    Linked,
    Moved,
    SourceFacts,
    Stored,
)
from likeness.catalog.rows import facts_values
from likeness.errors import CatalogError
from likeness.types import ImageFacts, ImageState, StoredVectors


def decide(
    touched: Touched, items: Sequence[BatchItem], vectors: Mapping[int, StoredVectors]
) -> list[tuple[Image, bool]]:
    """Mark on touched what the batch changes; return per item its row and whether it changed.

    vectors: space id → float16 [m, d], already checked.
    Raises ValueError for an item that contradicts the rows it names.
    """
    decider = _Decider(touched, tuple(vectors))
    moves = {i: item for i, item in enumerate(items) if isinstance(item, Moved)}
    outcomes = decider.settle(moves)
    for i, item in enumerate(items):
        if not isinstance(item, Moved):
            outcomes[i] = decider.apply(item)
    return [outcomes[i] for i in range(len(items))]


class _Decider:
    def __init__(self, touched: Touched, space_ids: tuple[int, ...]) -> None:
        self._rows, self._space_ids = touched, space_ids

    def apply(self, item: Stored | Linked | Failed | Filled) -> tuple[Image, bool]:
        match item:
            case Stored(source, facts, row):
                image, changed = self._claim(source, facts)
                for space_id in self._space_ids:
                    changed |= self._embed(image, space_id, NewVector(row))
                return image, changed
            case Linked(source, facts, twin_id):
                return self._link(source, facts, self._rows.by_id[twin_id])
            case Failed():
                return self._fail(item)
            case Filled(image_id, row):
                image, changed = self._rows.by_id[image_id], False
                if image.state is ImageState.READY:
                    for space_id in self._space_ids:
                        changed |= self._embed(image, space_id, NewVector(row))
                return image, changed

    # ---------------------------------------------------------------- moves

    def settle(self, moves: Mapping[int, Moved]) -> dict[int, tuple[Image, bool]]:
        """Give every moved row its new place; return outcomes by the moves' positions."""
        leaving: dict[int, Image] = {}
        targets: set[tuple[str, bytes]] = set()
        for i, move in moves.items():
            image = self._rows.by_id[move.image_id]
            if move.source.sha256 != image.sha256.hex():
                raise ValueError(f"image {image.id} has other bytes than {move.source.uri}")
            target = (move.source.uri, image.sha256)
            expected = move.from_uri is None or move.from_uri == image.uri
            if (
                expected
                and image.uri != move.source.uri
                and image not in leaving.values()
                and target not in targets
            ):
                leaving[i] = image
                targets.add(target)
                self._rows.lift(image)
        # A row that stays where it is may hold the place that another wanted: that one stays too.
        while blocked := [
            i
            for i, image in leaving.items()
            if (moves[i].source.uri, image.sha256) in self._rows.by_key
        ]:
            for i in blocked:
                self._rows.put(leaving.pop(i))
        outcomes = {}
        for i, image in leaving.items():
            self._relocate(image, moves[i].source)
            outcomes[i] = (image, True)
        staying = {i: move for i, move in moves.items() if i not in leaving}
        relocated = list(leaving.values())
        left = {i for i, move in staying.items() if self._leave(move, relocated)}
        for i, move in staying.items():
            outcomes[i] = self._rejoin(move, left=i in left)
        return outcomes

    def _leave(self, move: Moved, relocated: list[Image]) -> bool:
        """The old place is gone, if the new one has a row of this content; whether it is."""
        image = self._rows.by_id[move.image_id]
        held = (move.source.uri, image.sha256) in self._rows.by_key
        elsewhere = image in relocated or move.from_uri not in (None, image.uri)
        if image.uri == move.source.uri or not held or elsewhere or not image.is_live:
            return False
        image.vanish()
        self._rows.live.pop(image.uri, None)
        return True

    def _relocate(self, image: Image, source: SourceFacts) -> None:
        image.uri = source.uri
        image.changes["uri"] = source.uri
        self._take_over(image)
        image.refresh(source)
        self._return(image)
        self._rows.put(image)

    def _rejoin(self, move: Moved, *, left: bool) -> tuple[Image, bool]:
        """Settle a move that takes no row to a new place.

        Either the image came back to where it was; or the new place has a row of this content
        already, which serves; or the image has been moved elsewhere since, and the new place
        becomes an image of its own.
        """
        image = self._rows.by_id[move.image_id]
        if image.uri == move.source.uri:
            changed = image.refresh(move.source)
            self._take_over(image)
            return image, self._return(image) or changed
        if image.failure is not None and not image.spaces:
            place, changed = self._fail(Failed(move.source, *image.failure))
        else:
            place, changed = self._link(move.source, None, image)
        if left:
            place.tags_from += [image, *image.tags_from]
        return place, changed or left

    def _return(self, image: Image) -> bool:
        """A row that is found again stands as it stood: ready when it has embeddings."""
        if image.spaces:
            return image.become(ImageState.READY)
        if image.is_live:
            return False
        if image.failure is not None:
            return image.become(ImageState.FAILED, image.failure)
        return image.become(ImageState.READY)

    # ---------------------------------------------------------------- the others

    def _link(
        self, source: SourceFacts, facts: ImageFacts | None, twin: Image
    ) -> tuple[Image, bool]:
        if twin.sha256.hex() != source.sha256:
            raise ValueError(f"image {twin.id} has other bytes than {source.uri}")
        space_ids = [space_id for sha, space_id in self._rows.content if sha == twin.sha256]
        if not space_ids and (twin.failure or twin.state is ImageState.PENDING):
            raise CatalogError(f"image {twin.id} has no embedding that {source.uri} could share")
        image, changed = self._claim(source, facts)
        if facts is None and image.id is None:
            image.facts_from = twin
        for space_id in space_ids:
            changed |= self._embed(image, space_id, None)
        return image, changed

    def _claim(self, source: SourceFacts, facts: ImageFacts | None) -> tuple[Image, bool]:
        """Return the row of this content at this place, now ready, and whether that changed it."""
        image = self._row_at(source)
        changed = image.refresh(source)
        if image.state is not ImageState.READY:
            image.become(ImageState.READY)
            if facts is not None:
                image.changes |= facts_values(facts)
            changed = True
        self._take_over(image)
        return image, changed

    def _fail(self, item: Failed) -> tuple[Image, bool]:
        image = self._row_at(item.source)
        changed = image.refresh(item.source)
        # The same bytes were embedded: a later failure (time, memory) says nothing about them.
        if image.state is not ImageState.READY:
            changed |= image.become(ImageState.FAILED, (item.reason_code, item.message))
        self._take_over(image)
        return image, changed

    def _row_at(self, source: SourceFacts) -> Image:
        sha = bytes.fromhex(source.sha256)
        image = self._rows.by_key.get((source.uri, sha))
        if image is None:
            image = Image(None, source.uri, sha, ImageState.PENDING)
            self._rows.images.append(image)
            self._rows.by_key[source.uri, sha] = image
        return image

    def _take_over(self, image: Image) -> None:
        """The image is the live one of its place; another that was is gone, its tags kept."""
        other = self._rows.live.get(image.uri)
        if other is not None and other is not image:
            other.vanish()
            image.tags_from += [other, *other.tags_from]
        self._rows.live[image.uri] = image

    def _embed(self, image: Image, space_id: int, new: NewVector | None) -> bool:
        """The image has an embedding in the space, shared with its twins; whether it is new."""
        if space_id in image.spaces:
            return False
        vector = self._rows.content.get((image.sha256, space_id), new)
        if vector is None:
            return False
        self._rows.content[image.sha256, space_id] = vector
        image.spaces.add(space_id)
        image.embeddings[space_id] = vector
        return True
