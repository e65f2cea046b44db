"""Any sequence of batches leaves the catalog as a plain model of it says."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from likeness.catalog import Catalog
from likeness.catalog.records import (
    Batch,
    BatchItem,
    Failed,
    ImageRow,
    Linked,
    Moved,
    Space,
    Stored,
)
from likeness.types import ImageState
from tests.fakes.catalogs import FACTS, failed, make_space, sha256_of, source, vectors_of

NAMES = "abcdef"
GOOD = range(4)
BAD = range(100, 102)
"""Contents that no decoder reads."""

Live = dict[str, int | None]
"""Name → content, of what is live; None: unreadable."""


@dataclass(frozen=True)
class Put:
    """A file of this content is found at a place."""

    name: str
    content: int | None


@dataclass(frozen=True)
class Move:
    """The nth image that the catalog knows is found at another place."""

    number: int
    name: str


@dataclass(frozen=True)
class Vanish:
    number: int


Action = Put | Move | Vanish
puts = st.builds(Put, st.sampled_from(NAMES), st.sampled_from([*GOOD, *BAD, None]))
moves = st.builds(Move, st.integers(0, 20), st.sampled_from(NAMES))
vanishings = st.builds(Vanish, st.integers(0, 20))


@dataclass
class Model:
    catalog: Catalog
    space: Space
    live: Live = field(default_factory=dict)
    contents: dict[int, str] = field(default_factory=dict)
    follower: set[int] = field(default_factory=set)
    revision: int = 0

    def rows(self) -> list[ImageRow]:
        return self.catalog.list_images(self.space.collection_id)

    def commit(self, actions: Sequence[Action]) -> None:
        known = self.rows()
        by_sha = {row.sha256: row for row in known if row.state is ImageState.READY}
        items: list[BatchItem] = []
        left: set[str] = set()
        moved: Live = {}
        put: Live = {}
        contents = list(GOOD)
        for action in actions:
            match action:
                case Put(name, content):
                    put[name] = content
                    if content is None or content in BAD:
                        items.append(failed(name, content))
                    elif len(items) % 2 and sha256_of(content) in by_sha:
                        twin = by_sha[sha256_of(content)]
                        items.append(Linked(source(name, content), FACTS, twin.id))
                    else:
                        items.append(Stored(source(name, content), FACTS, content))
                case Move(number, name) if known:
                    row = known[number % len(known)]
                    if row.sha256 == "" or any(
                        isinstance(i, Moved) and i.source.uri == f"file:///{name}" for i in items
                    ):
                        continue
                    content = next(c for c in (*GOOD, *BAD) if sha256_of(c) == row.sha256)
                    items.append(Moved(source(name, content), row.id, from_uri=row.uri))
                    if row.state is not ImageState.GONE:
                        left.add(row.path[1:])
                    moved[name] = content
        for name in left:
            self.live.pop(name, None)
        self.live |= moved
        self.live |= put
        batch = Batch(items, {self.space.id: vectors_of(contents)})
        before = self.catalog.head(self.space.collection_id, self.space.id).revision
        result = self.catalog.commit_batch(self.space.collection_id, batch)
        assert result.revision in (before, before + 1)
        gone = [
            known[action.number % len(known)]
            for action in actions
            if isinstance(action, Vanish) and known
        ]
        still = {row.id: row for row in self.rows()}
        for row in gone:
            if still[row.id].state is not ImageState.GONE:
                self.live.pop(still[row.id].path[1:])
                self.catalog.mark_gone(self.space.collection_id, [row.id])
                still[row.id] = self.catalog.images(self.space.collection_id, [row.id])[row.id]
        self.check()
        places = [item.source.uri for item in items if isinstance(item, Stored | Linked | Failed)]
        if len(set(places)) == len(places) and not moved and not gone:
            again = self.catalog.commit_batch(self.space.collection_id, batch)
            assert (len(again.skipped), again.revision) == (len(items), result.revision)

    def check(self) -> None:
        rows = self.rows()
        alive = [row for row in rows if row.state is not ImageState.GONE]
        sha256s = {name: "" if c is None else sha256_of(c) for name, c in self.live.items()}
        assert {row.path[1:]: row.sha256 for row in alive} == sha256s
        for row in alive:
            good = row.sha256 in {sha256_of(content) for content in GOOD}
            assert row.state is (ImageState.READY if good else ImageState.FAILED)
            assert (row.reason_code is None) == good
        for row in rows:
            assert self.contents.setdefault(row.id, row.sha256) == row.sha256
            assert row.revision <= self.catalog.collection(self.name).revision
        ready = [row for row in alive if row.state is ImageState.READY]
        image_ids, vectors = self.catalog.vectors(self.space.id, [row.id for row in ready])
        assert image_ids.tolist() == [row.id for row in ready]
        numbers = [next(c for c in GOOD if sha256_of(c) == row.sha256) for row in ready]
        assert np.array_equal(vectors, vectors_of(numbers))
        self.follow(image_ids.tolist())
        summary = next(s for s in self.catalog.collections() if s.collection.name == self.name)
        embedded = set(self.contents.values()) & {sha256_of(c) for c in GOOD}
        assert summary.spaces[0].stored_bytes == 2 * self.space.dim * len(embedded)

    def follow(self, ready: list[int]) -> None:
        changes = self.catalog.changes_since(self.space.id, self.revision)
        self.follower |= set(changes.added_ids.tolist())
        self.follower -= set(changes.dead_ids.tolist())
        assert sorted(self.follower) == ready
        self.revision = changes.revision

    @property
    def name(self) -> str:
        return self.space.encoder.removeprefix("fake:")


@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    batches=st.lists(
        st.lists(puts | puts | moves | vanishings, min_size=1, max_size=8), min_size=1, max_size=6
    )
)
def test_any_sequence_of_batches_leaves_what_the_model_says(
    catalog: Catalog, batches: list[list[Action]]
) -> None:
    name = uuid.uuid4().hex
    model = Model(catalog, make_space(catalog, catalog.create_collection(name), name))
    for batch in batches:
        note(f"{model.live} + {batch}")
        model.commit(batch)
    catalog.drop_collection(name)
