"""Search over a real catalog and real indexes, with an encoder that knows colours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer.publish import needs_publish, publish
from likeness.catalog import Catalog
from likeness.catalog.records import (
    Batch,
    Collection,
    Filled,
    Linked,
    SnapshotState,
    SourceFacts,
    Space,
    Stored,
)
from likeness.errors import (
    CorruptImage,
    ImageNotFound,
    NoTextTower,
    QueryError,
    SpaceMismatch,
    WhereError,
)
from likeness.types import ImageFacts, RgbImage, Tower
from search.request import IdTerm, ImageTerm, SearchRequest, TextTerm, VectorTerm
from search.service import Searcher
from tests.fakes.encoder import COLOURS, FakeEncoder
from tests.services.catalogs import catalog, catalog_url

__all__ = ["catalog", "catalog_url"]

WORDS = FakeEncoder("fake:words")
LOOK = FakeEncoder("fake:look", towers=frozenset({Tower.IMAGE}), seed=1)
ENCODERS = {encoder.spec.name: encoder for encoder in (WORDS, LOOK)}


def picture(*colours: str) -> RgbImage:
    """Vertical stripes, uint8 [32, 32, 3]."""
    stripes = [np.full((32, 32 // len(colours), 3), COLOURS[colour]) for colour in colours]
    return np.concatenate(stripes, axis=1).astype(np.uint8)


def load_image(data: bytes, name: str) -> RgbImage:
    """Reads "red blue" as the picture of those colours."""
    try:
        return picture(*data.decode().split())
    except KeyError as error:
        raise CorruptImage(name, "no such colour") from error


class World:
    """A collection with spaces, and a searcher over it."""

    def __init__(self, catalog: Catalog, folder: Path, *encoders: FakeEncoder) -> None:
        self.catalog, self.folder = catalog, folder
        self.collection: Collection = catalog.create_collection("default")
        self.spaces: list[Space] = [
            catalog.ensure_space(
                self.collection.id,
                encoder=encoder.spec.name,
                fingerprint=encoder.fingerprint,
                dim=encoder.spec.dim,
                towers=encoder.spec.towers,
            )
            for encoder in encoders
        ]
        self.searcher = self.new_searcher()

    def new_searcher(self) -> Searcher:
        return Searcher(
            self.catalog,
            index_dir=self.index_dir,
            encoder_of=lambda space: ENCODERS[space.encoder],
            load_image=load_image,
        )

    def index_dir(self, space: Space) -> Path:
        return self.folder / str(space.id)

    def store(self, pictures: Mapping[str, Sequence[str]], width: int = 32) -> dict[str, int]:
        """Commit pictures by name in one batch; returns their ids by name."""
        images = [picture(*colours) for colours in pictures.values()]
        items = [
            Stored(
                SourceFacts(f"file:///{name}", f"/{name}", sha256=_hash(name), size=1),
                ImageFacts(width, 32, "png"),
                row,
            )
            for row, name in enumerate(pictures)
        ]
        vectors = {
            space.id: ENCODERS[space.encoder].embed(images).astype(np.float16)
            for space in self.spaces
        }
        done = self.catalog.commit_batch(self.collection.id, Batch(items, vectors))
        return dict(zip(pictures, done.stored, strict=True))

    def publish(self) -> None:
        for space in self.spaces:
            publish(self.catalog, space, self.index_dir(space))

    def ask(self, *terms: object, **options: object) -> list[str]:
        """Names of the hits."""
        request = SearchRequest(terms=terms, **options)  # type: ignore[arg-type]
        answer = self.searcher.search("default", request)
        return [hit.image.path.removeprefix("/") for hit in answer.hits]


def _hash(name: str) -> str:
    return (name.encode().hex() + "0" * 64)[:64]


COLOURFUL = {
    "red": ["red"],
    "blue": ["blue"],
    "green": ["green"],
    "red-blue": ["red", "blue"],
    "red-red-blue-red": ["red", "red", "blue", "red"],
    "yellow": ["yellow"],
    "black": ["black"],
    "purple": ["purple"],
}


@pytest.fixture
def world(catalog: Catalog, tmp_path: Path) -> Iterator[World]:
    built = World(catalog, tmp_path / "index", WORDS)
    yield built
    built.searcher.close()


@pytest.fixture
def ids(world: World) -> dict[str, int]:
    return world.store(COLOURFUL)


@pytest.fixture(params=["tail only", "snapshot", "snapshot and tail"])
def held(request: pytest.FixtureRequest, world: World) -> dict[str, int]:
    """The colourful pictures, wherever they are held."""
    if request.param == "snapshot and tail":
        names = list(COLOURFUL)
        first = world.store({name: COLOURFUL[name] for name in names[:4]})
        world.publish()
        return first | world.store({name: COLOURFUL[name] for name in names[4:]})
    stored = world.store(COLOURFUL)
    if request.param == "snapshot":
        world.publish()
    return stored


def test_words_find_what_they_say(world: World, held: dict[str, int]) -> None:
    assert world.ask(TextTerm("a red thing"), k=2) == ["red", "red-red-blue-red"]
    assert world.ask(TextTerm("blue"), k=1) == ["blue"]


def test_a_picture_finds_itself_first(world: World, held: dict[str, int]) -> None:
    for name, colours in COLOURFUL.items():
        assert world.ask(ImageTerm(picture(*colours)), k=1) == [name]
        assert world.ask(ImageTerm(" ".join(colours).encode(), "q.png"), k=1) == [name]


def test_an_image_named_by_id_is_not_among_its_own_answers(
    world: World, held: dict[str, int]
) -> None:
    assert world.ask(IdTerm(held["red"]), k=1) == ["red-red-blue-red"]
    assert world.ask(IdTerm(held["red"]), k=1, keep_queried=True) == ["red"]
    assert len(world.ask(IdTerm(held["red"]), k=100)) == len(COLOURFUL) - 1


def test_what_is_not_wanted_moves_the_query_away(world: World, held: dict[str, int]) -> None:
    plain = world.ask(ImageTerm(picture("red", "blue")), k=8)
    away = world.ask(ImageTerm(picture("red", "blue")), TextTerm("blue", weight=-0.5), k=8)
    assert away.index("blue") > plain.index("blue")


def test_terms_are_weighed(world: World, held: dict[str, int]) -> None:
    red, blue = TextTerm("red", 1.0), TextTerm("blue", 1.0)
    heavy = world.ask(TextTerm("red", 5.0), blue, k=1)
    light = world.ask(red, TextTerm("blue", 5.0), k=1)
    assert (heavy, light) == (["red"], ["blue"])


def test_when_k_images_match_k_come_back(world: World, held: dict[str, int]) -> None:
    world.store({f"wide-{i}": ["grey"] for i in range(5)}, width=500)
    for k in (1, 4, 5, 9):
        found = world.ask(TextTerm("red"), where="width:500", k=k)
        assert len(found) == min(k, 5)
        assert all(name.startswith("wide") for name in found)
    assert world.ask(TextTerm("red"), where="width:501", k=5) == []


def test_filters_follow_the_catalog(world: World, held: dict[str, int]) -> None:
    assert world.ask(TextTerm("red"), where="tag:liked") == []
    world.catalog.add_tags(world.collection.id, [held["blue"], held["green"]], ["liked"])
    assert sorted(world.ask(TextTerm("red"), where="tag:liked")) == ["blue", "green"]
    world.catalog.remove_tags(world.collection.id, [held["blue"]], ["liked"])
    assert world.ask(TextTerm("red"), where="tag:liked") == ["green"]


def test_pages_join_without_gap_or_repeat(world: World, held: dict[str, int]) -> None:
    whole = world.ask(TextTerm("red"), k=8)
    pages = [world.ask(TextTerm("red"), k=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [name for page in pages for name in page] == whole
    request = SearchRequest((TextTerm("red"),), k=3, offset=3)
    ranks = [hit.rank for hit in world.searcher.search("default", request).hits]
    assert ranks == [4, 5, 6]


def test_changes_are_seen_by_the_next_query(world: World, held: dict[str, int]) -> None:
    assert world.ask(TextTerm("red"), k=1) == ["red"]
    world.catalog.mark_gone(world.collection.id, [held["red"]])
    assert world.ask(TextTerm("red"), k=1) == ["red-red-blue-red"]
    world.store({"red": ["red"]})  # the same bytes at the same place: it came back
    assert world.ask(TextTerm("red"), k=1) == ["red"]
    world.store({"red again": ["red"]})
    assert world.ask(TextTerm("red"), k=2) == ["red", "red again"]


def test_images_with_the_same_bytes_are_both_found(world: World, held: dict[str, int]) -> None:
    twin = Linked(
        SourceFacts("file:///twin", "/twin", sha256=_hash("red"), size=1),
        ImageFacts(32, 32, "png"),
        held["red"],
    )
    world.catalog.commit_batch(world.collection.id, Batch([twin]))
    for _ in range(2):
        assert world.ask(TextTerm("red"), k=2) == ["red", "twin"]
        world.publish()


def test_a_batch_answers_as_its_requests_would_alone(world: World, held: dict[str, int]) -> None:
    requests = [
        SearchRequest((TextTerm("red"),), k=3),
        SearchRequest((ImageTerm(picture("blue")),), k=1),
        SearchRequest((TextTerm("green"),), k=9, where="width:32"),
        SearchRequest((IdTerm(held["red"]), TextTerm("blue", -0.3)), k=2, offset=1),
    ]
    together = world.searcher.search_many("default", requests)
    for request, answer in zip(requests, together, strict=True):
        alone = world.searcher.search("default", request)
        assert answer.hits == alone.hits
        assert (answer.matched, answer.searched) == (alone.matched, alone.searched)
    assert world.searcher.search_many("default", []) == []


def test_an_answer_is_plain_json(world: World, held: dict[str, int]) -> None:
    request = SearchRequest((TextTerm("red"),), k=1, where="width:32")
    answer = world.searcher.search("default", request).as_dict()
    assert json.loads(json.dumps(answer)) == answer
    assert answer["encoder"] == "fake:words"
    assert (answer["searched"], answer["matched"]) == (8, 8)
    assert (answer["hits"][0]["path"], answer["hits"][0]["rank"]) == ("/red", 1)
    assert set(answer["timings_ms"]) == {"encode", "filter", "recall", "rank", "facts"}


def test_what_cannot_be_asked_says_why(world: World, ids: dict[str, int]) -> None:
    red = TextTerm("red")
    with pytest.raises(ImageNotFound, match="no image 99999"):
        world.ask(IdTerm(99_999))
    with pytest.raises(WhereError):
        world.ask(red, where="width:")
    with pytest.raises(CorruptImage, match=r"bad\.png"):
        world.ask(ImageTerm(b"mauve", "bad.png"))
    with pytest.raises(QueryError, match="cancel out"):
        world.ask(red, TextTerm("red", -1.0))
    with pytest.raises(QueryError, match="uint8"):
        world.ask(ImageTerm(np.zeros((4, 4), np.uint8)))
    with pytest.raises(QueryError, match=r"no space .fake:other. .spaces: fake:words"):
        world.ask(red, space="fake:other")
    with pytest.raises(SpaceMismatch, match=r"\[7\]"):
        world.ask(VectorTerm(np.ones(7)))
    with pytest.raises(SpaceMismatch, match=LOOK.fingerprint[:12]):
        world.ask(VectorTerm(np.ones(49), fingerprint=LOOK.fingerprint))
    with pytest.raises(QueryError, match="NaN"):
        world.ask(VectorTerm(np.full(49, np.nan)))


def test_a_vector_is_searched_where_it_belongs(world: World, ids: dict[str, int]) -> None:
    vector = WORDS.embed([picture("green")])[0] * 7
    assert world.ask(VectorTerm(vector), k=1) == ["green"]
    assert world.ask(VectorTerm(vector, WORDS.fingerprint), k=1) == ["green"]


def test_a_collection_without_embeddings_says_how_to_make_them(
    catalog: Catalog, tmp_path: Path
) -> None:
    world = World(catalog, tmp_path)
    with pytest.raises(QueryError, match="no embeddings yet"):
        world.ask(TextTerm("red"))


def test_an_empty_space_answers_with_nobody(world: World) -> None:
    assert world.ask(TextTerm("red")) == []


class TestTwoSpaces:
    @pytest.fixture
    def world(self, catalog: Catalog, tmp_path: Path) -> Iterator[World]:
        built = World(catalog, tmp_path / "index", WORDS, LOOK)
        built.store(COLOURFUL)
        yield built
        built.searcher.close()

    def encoder_for(self, world: World, *terms: object, **options: object) -> str:
        request = SearchRequest(terms=terms, **options)  # type: ignore[arg-type]
        return world.searcher.search("default", request).encoder

    def test_each_query_goes_to_the_space_that_suits_it(self, world: World) -> None:
        image = ImageTerm(picture("red"))
        assert self.encoder_for(world, TextTerm("red")) == "fake:words"
        assert self.encoder_for(world, TextTerm("red"), image) == "fake:words"
        assert self.encoder_for(world, image) == "fake:look"
        assert self.encoder_for(world, IdTerm(1)) == "fake:look"
        assert self.encoder_for(world, image, space="fake:words") == "fake:words"
        assert self.encoder_for(world, image, space=WORDS.fingerprint[:12]) == "fake:words"
        vector = VectorTerm(WORDS.embed([picture("red")])[0], WORDS.fingerprint)
        assert self.encoder_for(world, vector) == "fake:words"

    def test_words_asked_of_a_space_that_knows_none_say_so(self, world: World) -> None:
        with pytest.raises(NoTextTower, match="fake:look"):
            world.ask(TextTerm("red"), space="fake:look")

    def test_both_spaces_answer(self, world: World) -> None:
        for space in ("fake:words", "fake:look"):
            assert world.ask(ImageTerm(picture("blue")), k=1, space=space) == ["blue"]


def test_an_image_filled_into_a_second_space_is_found_there(
    catalog: Catalog, tmp_path: Path
) -> None:
    first = World(catalog, tmp_path / "index", WORDS)
    stored = first.store({"red": ["red"], "blue": ["blue"]})
    both = World(catalog, tmp_path / "index", WORDS, LOOK)
    vectors = {both.spaces[1].id: LOOK.embed([picture("red")]).astype(np.float16)}
    catalog.commit_batch(both.collection.id, Batch([Filled(stored["red"], 0)], vectors))
    assert both.ask(ImageTerm(picture("blue")), space="fake:look") == ["red"]


def test_a_damaged_index_is_reported_and_rebuilt(world: World, ids: dict[str, int]) -> None:
    world.publish()
    space = world.spaces[0]
    (row,) = world.catalog.snapshots(space.id)
    victim = world.index_dir(space) / row.name / "vectors.f16"
    victim.chmod(0o644)
    damaged = bytearray(victim.read_bytes())
    damaged[5] ^= 4
    victim.write_bytes(damaged)
    answer = world.searcher.search("default", SearchRequest((TextTerm("red"),), k=1))
    assert answer.hits[0].image.path == "/red"
    assert answer.snapshot is None
    assert [notice.code for notice in answer.notices] == ["index_damaged"]
    (row,) = world.catalog.snapshots(space.id)
    assert row.state is SnapshotState.ASIDE
    assert needs_publish(world.catalog, space, world.index_dir(space))
    world.publish()
    world.searcher.reader(space).view(wait=True)
    answer = world.searcher.search("default", SearchRequest((TextTerm("red"),), k=1))
    assert (answer.snapshot is not None, answer.notices) == (True, ())
    assert [row.state for row in world.catalog.snapshots(space.id)] == [SnapshotState.CURRENT]


def test_answers_are_right_while_images_come_and_go(world: World, ids: dict[str, int]) -> None:
    """No answer holds an image that was gone before it was asked, or lacks one that stayed."""
    world.publish()
    wrong, stop = list[object](), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            found = world.ask(TextTerm("red"), k=50)
            if found[0] != "red" or not {"red", "blue"} <= set(found) or "green" in found:
                wrong.append(found)

    world.catalog.mark_gone(world.collection.id, [ids["green"]])
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        stored = world.store({f"{turn}-{i}": ["grey", "white"] for i in range(3)})
        world.catalog.mark_gone(world.collection.id, list(stored.values())[:2])
        if turn % 3 == 0:
            world.publish()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
