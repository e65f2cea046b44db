"""What comes after recall, over a real catalog: p, cut, cursors, re-rankers, fusion, crops."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.publish import publish
from likeness.catalog import Catalog
from likeness.catalog.records import Batch, SourceFacts, Space, Stored
from likeness.errors import QueryError, UnreadableSource
from likeness.types import Embeddings, ImageFacts, PreparedBatch, RgbImage, Tower
from search.request import IdTerm, ImageTerm, SearchRequest, TextTerm, VectorTerm
from search.response import SearchResponse
from search.service import Searcher
from tests.fakes.encoder import FakeEncoder
from tests.services.catalogs import catalog, catalog_url

__all__ = ["catalog", "catalog_url"]

COUNT = 120


class LightEncoder(FakeEncoder):
    """Sees light and dark more than colour, and has patch tokens: the pixels of each patch."""

    def __init__(self) -> None:
        super().__init__("fake:light", towers=frozenset({Tower.IMAGE}), seed=3)
        self.spec = replace(self.spec, patch_grid=(8, 8))

    def _embed(self, batch: PreparedBatch) -> Embeddings:
        grey = batch.mean(axis=3, keepdims=True)
        return super()._embed((0.8 * grey + 0.2 * batch).astype(np.uint8))

    def patch_tokens(self, images: Sequence[RgbImage]) -> np.ndarray:
        batch = self.preprocess.batch(images).reshape(len(images), 8, 4, 8, 4, 3)
        return batch.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), 64, 48).astype(np.float32)


COLOURS, LIGHT = FakeEncoder("fake:colours"), LightEncoder()
ENCODERS = {encoder.spec.name: encoder for encoder in (COLOURS, LIGHT)}


def picture(number: int) -> RgbImage:
    """uint8 [32, 32, 3]: an 8×8 pattern of its own; related for numbers of the same dozen."""
    theme = np.random.default_rng(number // 12).integers(0, 255, (8, 8, 3))
    own = np.random.default_rng(1000 + number).integers(0, 255, (8, 8, 3))
    mixed = (0.5 * theme + 0.5 * own).astype(np.uint8)
    return np.asarray(Image.fromarray(mixed).resize((32, 32), Image.Resampling.NEAREST))


def load_image(data: bytes, _name: str) -> RgbImage:
    return picture(int(data))


class Shelf:
    """A collection of numbered pictures in some spaces, and a searcher."""

    def __init__(self, catalog: Catalog, folder: Path, *encoders: FakeEncoder) -> None:
        self.catalog, self.folder, self.encoders = catalog, folder, encoders
        self.collection = catalog.create_collection("default")
        self.spaces = [
            catalog.ensure_space(
                self.collection.id,
                encoder=encoder.spec.name,
                fingerprint=encoder.fingerprint,
                dim=encoder.spec.dim,
                towers=encoder.spec.towers,
            )
            for encoder in encoders
        ]
        self.reads: list[str] = []
        self.searcher = Searcher(
            catalog,
            index_dir=self.index_dir,
            encoder_of=lambda space: ENCODERS[space.encoder],
            load_image=load_image,
            read_image=lambda row: self.read(row.path),
        )
        self.ids: dict[int, int] = {}

    def index_dir(self, space: Space) -> Path:
        return self.folder / str(space.id)

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        if path == "/7":
            raise UnreadableSource(path, "it is gone")
        return path.removeprefix("/").encode()

    def store(self, numbers: Sequence[int]) -> None:
        items = [
            Stored(
                SourceFacts(f"file:///{n}", f"/{n}", sha256=f"{n:064d}", size=1),
                ImageFacts(32 if n % 2 else 64, 32, "png"),
                row,
            )
            for row, n in enumerate(numbers)
        ]
        images = [picture(n) for n in numbers]
        vectors = {
            space.id: encoder.embed(images).astype(np.float16)
            for space, encoder in zip(self.spaces, self.encoders, strict=True)
        }
        done = self.catalog.commit_batch(self.collection.id, Batch(items, vectors))
        self.ids |= dict(zip(numbers, done.stored, strict=True))

    def ask(self, *terms: object, **options: object) -> SearchResponse:
        request = SearchRequest(terms=terms, **options)  # type: ignore[arg-type]
        return self.searcher.search("default", request)

    def numbers(self, *terms: object, **options: object) -> list[int]:
        return numbers_of(self.ask(*terms, **options))


def numbers_of(answer: SearchResponse) -> list[int]:
    return [int(hit.image.path.removeprefix("/")) for hit in answer.hits]


@pytest.fixture
def shelf(catalog: Catalog, tmp_path: Path) -> Iterator[Shelf]:
    built = Shelf(catalog, tmp_path / "index", COLOURS)
    built.store(range(COUNT - 20))
    publish(catalog, built.spaces[0], built.index_dir(built.spaces[0]))
    built.store(range(COUNT - 20, COUNT))
    yield built
    built.searcher.close()


@pytest.fixture
def two_spaces(catalog: Catalog, tmp_path: Path) -> Iterator[Shelf]:
    built = Shelf(catalog, tmp_path / "index", LIGHT, COLOURS)
    built.store(range(COUNT))
    yield built
    built.searcher.close()


STRANGER = ImageTerm(picture(5000))


def test_a_copy_has_a_small_p_and_a_stranger_none_below_the_cut(shelf: Shelf) -> None:
    copy = shelf.ask(ImageTerm(picture(5)), k=COUNT)
    chances = [hit.p for hit in copy.hits]
    assert chances[0] is not None
    assert chances[0] < 0.01
    assert chances == sorted(chances), "p rises as the score falls"
    assert numbers_of(copy)[0] == 5
    cut = shelf.ask(ImageTerm(picture(5)), k=COUNT, max_false=0.5)
    assert numbers_of(cut) == [
        n for n, p in zip(numbers_of(copy), chances, strict=True) if p <= 0.5
    ]
    assert cut.next_cursor is None
    assert shelf.numbers(STRANGER, max_false=0.001) == []


def test_p_is_for_pictures_only(shelf: Shelf) -> None:
    for terms in ([TextTerm("red")], [ImageTerm(picture(1)), TextTerm("red", -0.5)]):
        assert {hit.p for hit in shelf.ask(*terms).hits} == {None}
        with pytest.raises(QueryError, match="known for pictures"):
            shelf.ask(*terms, max_false=0.01)
    assert shelf.ask(IdTerm(shelf.ids[3])).hits[0].p is not None


def test_a_small_collection_has_no_p_and_says_so_when_it_is_needed(
    catalog: Catalog, tmp_path: Path
) -> None:
    few = Shelf(catalog, tmp_path, COLOURS)
    few.store(range(10))
    assert {hit.p for hit in few.ask(STRANGER).hits} == {None}
    with pytest.raises(QueryError, match="collections of 50 images"):
        few.ask(STRANGER, max_false=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"where": "width:64"},
        {"rerank": ("qe",), "candidates": 30},
        {"rerank": ("kreciprocal", "mmr"), "candidates": 25},
        {"max_false": 0.9},
    ],
    ids=["plain", "filtered", "expanded", "two re-rankers", "cut"],
)
def test_cursors_lead_through_all_pages_without_gap_or_repeat(shelf: Shelf, options) -> None:
    whole = shelf.numbers(STRANGER, k=COUNT, **options)
    pages, ranks, after = [], [], None
    while True:
        answer = shelf.ask(STRANGER, k=7, after=after, **options)
        pages.append(numbers_of(answer))
        ranks += [hit.rank for hit in answer.hits]
        after = answer.next_cursor
        if after is None:
            break
    assert list(itertools.chain(*pages)) == whole
    assert ranks == list(range(1, len(whole) + 1))
    assert all(len(page) == 7 for page in pages[:-1])


def test_a_cursor_holds_its_place_while_images_come_and_go(shelf: Shelf) -> None:
    whole = shelf.numbers(STRANGER, k=COUNT)
    first = shelf.ask(STRANGER, k=20)
    # Twenty that rank above the cursor's place, among others, and two of the first page gone.
    shelf.store(range(200, 260))
    gone = [shelf.ids[n] for n in whole[:2]]
    shelf.catalog.mark_gone(shelf.collection.id, gone)
    rest, after = [], first.next_cursor
    while after is not None:
        answer = shelf.ask(STRANGER, k=20, after=after)
        rest += numbers_of(answer)
        after = answer.next_cursor
    assert [n for n in rest if n < 200] == whole[20:]
    assert len(set(rest)) == len(rest)


def test_a_cursor_of_another_question_or_none_at_all_is_refused(shelf: Shelf) -> None:
    after = shelf.ask(STRANGER, k=5).next_cursor
    assert after is not None
    for terms, options in [
        ((ImageTerm(picture(1)),), {}),
        ((STRANGER,), {"where": "width:64"}),
        ((STRANGER,), {"rerank": ("qe",)}),
    ]:
        with pytest.raises(QueryError, match="another question"):
            shelf.ask(*terms, after=after, **options)
    for word in ("", "nonsense", after[:-4], "WzEsMSxudWxsLDEsMV0", "////", "🦔"):
        with pytest.raises(QueryError, match="not one of ours"):
            shelf.ask(STRANGER, after=word)
    with pytest.raises(QueryError, match="say twice"):
        shelf.ask(STRANGER, after=after, offset=5)


def test_rerankers_reorder_the_best_and_leave_the_rest_behind_them(shelf: Shelf) -> None:
    plain = shelf.numbers(STRANGER, k=COUNT)
    answer = shelf.ask(STRANGER, k=COUNT, rerank=("kreciprocal",), candidates=40)
    found = numbers_of(answer)
    assert sorted(found[:40]) == sorted(plain[:40])
    assert found[:40] != plain[:40]
    assert found[40:] == plain[40:]
    assert answer.rerank == ("kreciprocal",)
    assert answer.timings_ms["rerank:kreciprocal"] > 0
    by = [hit.ranked_by for hit in answer.hits]
    assert by[:40] == sorted(by[:40], reverse=True)
    assert by[40:] == [None] * (COUNT - 40)
    scores = {hit.image_id: hit.score for hit in answer.hits}
    assert scores == {hit.image_id: hit.score for hit in shelf.ask(STRANGER, k=COUNT).hits}


def test_rerankers_keep_to_the_filter_and_to_k(shelf: Shelf) -> None:
    for name in ("qe", "dba", "kreciprocal", "diffusion", "mmr"):
        found = shelf.numbers(STRANGER, k=10, where="width:64", rerank=(name,))
        assert len(found) == 10
        assert all(number % 2 == 0 for number in found)


def test_an_unknown_reranker_is_refused_before_anything_is_searched(shelf: Shelf) -> None:
    with pytest.raises(QueryError, match="no re-ranker 'krec'"):
        SearchRequest((STRANGER,), rerank=("krec",))


def test_a_batch_with_rerankers_answers_as_its_requests_would_alone(two_spaces: Shelf) -> None:
    requests = [
        SearchRequest((STRANGER,), k=3),
        SearchRequest((STRANGER,), k=30, rerank=("qe",), candidates=50),
        SearchRequest((ImageTerm(picture(4)),), k=110),
        SearchRequest((ImageTerm(picture(4)),), k=2, fusion="rank"),
        SearchRequest((IdTerm(two_spaces.ids[9]),), k=4, max_false=0.9),
        SearchRequest((IdTerm(two_spaces.ids[9]),), k=4, fusion="none"),
    ]
    together = two_spaces.searcher.search_many("default", requests)
    for request, answer in zip(requests, together, strict=True):
        alone = two_spaces.searcher.search("default", request)
        assert answer.hits == alone.hits
        assert answer.next_cursor == alone.next_cursor


@pytest.mark.parametrize("k", [1, 10, 60])
def test_fusion_by_evidence_is_exact(two_spaces: Shelf, k: int) -> None:
    """However few candidates are fetched at first, the answer is that of all of them."""
    whole = two_spaces.ask(STRANGER, k=COUNT)
    assert set(whole.spaces) == {"fake:light", "fake:colours"}
    assert numbers_of(two_spaces.ask(STRANGER, k=k)) == numbers_of(whole)[:k]
    by = [hit.ranked_by for hit in whole.hits]
    assert by == sorted(by, reverse=True)
    alone = two_spaces.ask(STRANGER, k=COUNT, fusion="none")
    assert alone.spaces == ("fake:light",)
    assert numbers_of(alone) != numbers_of(whole)
    scores = {hit.image_id: hit.score for hit in alone.hits}
    assert {hit.image_id: hit.score for hit in whole.hits} == scores, "cosines of the leading space"


def test_an_image_that_a_space_does_not_hold_yet_counts_as_ordinary_there(
    two_spaces: Shelf,
) -> None:
    """Stored before the second encoder was added: found by the first, at any depth alike."""
    numbers = range(COUNT, COUNT + 30)
    light = two_spaces.spaces[:1]
    held, two_spaces.spaces = two_spaces.spaces, light
    two_spaces.encoders = (LIGHT,)
    two_spaces.store(numbers)
    two_spaces.spaces, two_spaces.encoders = held, (LIGHT, COLOURS)
    asked = ImageTerm(picture(COUNT + 7))
    whole = two_spaces.numbers(asked, k=COUNT + 30)
    assert len(whole) == COUNT + 30
    assert whole.index(COUNT + 7) < 20
    for k in (1, 30, 100):
        assert two_spaces.numbers(asked, k=k) == whole[:k]


def test_patches_count_in_a_fused_answer_too(two_spaces: Shelf) -> None:
    spoiled = picture(30).copy()
    spoiled[:20, :20] = picture(44)[:20, :20]
    spoiled[20:, 20:] = picture(50)[20:, 20:]
    answer = two_spaces.ask(ImageTerm(spoiled), rerank=("patches",), k=3)
    assert len(answer.spaces) == 2
    assert numbers_of(answer)[0] == 30


def test_words_and_named_spaces_are_not_fused(two_spaces: Shelf) -> None:
    assert two_spaces.ask(TextTerm("red")).spaces == ("fake:colours",)
    assert two_spaces.ask(STRANGER, space="fake:light").spaces == ("fake:light",)
    vector = VectorTerm(COLOURS.embed([picture(1)])[0], COLOURS.fingerprint)
    assert two_spaces.ask(vector).spaces == ("fake:colours",)


def test_an_image_that_one_space_lacks_is_asked_of_the_other_alone(two_spaces: Shelf) -> None:
    third = FakeEncoder("fake:new", seed=9)
    ENCODERS[third.spec.name] = third
    two_spaces.catalog.ensure_space(
        two_spaces.collection.id,
        encoder=third.spec.name,
        fingerprint=third.fingerprint,
        dim=third.spec.dim,
        towers=third.spec.towers,
    )
    answer = two_spaces.ask(IdTerm(two_spaces.ids[1]))
    assert "fake:new" not in answer.spaces
    assert len(answer.hits) == 10


def test_the_joint_p_promises_no_more_than_each_space_does(two_spaces: Shelf) -> None:
    joint = {hit.image_id: hit.p for hit in two_spaces.ask(STRANGER, k=COUNT).hits}
    for name in ("fake:light", "fake:colours"):
        for hit in two_spaces.ask(STRANGER, k=COUNT, space=name).hits:
            assert joint[hit.image_id] <= min(1.0, 2 * hit.p) + 1e-6


def test_a_part_of_the_query_picture_can_be_what_counts(shelf: Shelf) -> None:
    collage = np.concatenate([picture(17), picture(71)], axis=1)
    left = ImageTerm(collage, crop=(0, 0, 0.5, 1))
    right = ImageTerm(collage, crop=(0.5, 0, 1, 1))
    assert shelf.numbers(left, k=1) == [17]
    assert shelf.numbers(right, k=1) == [71]
    sliver = ImageTerm(collage, crop=(0.5, 0.5, 0.50001, 0.50001))
    assert len(shelf.numbers(sliver, k=3)) == 3
    for crop in ((0.5, 0, 0.5, 1), (0, 0, 1, 1.2), (-0.1, 0, 1, 1), (0, float("nan"), 1, 1)):
        with pytest.raises(QueryError, match="left, top, right, bottom"):
            shelf.ask(ImageTerm(collage, crop=crop))


def test_patches_find_the_picture_that_was_cut_in_pieces(catalog: Catalog, tmp_path: Path) -> None:
    shelf = Shelf(catalog, tmp_path / "index", LIGHT)
    shelf.store(range(60))
    spoiled = picture(30).copy()
    spoiled[:20, :20] = picture(44)[:20, :20]
    spoiled[20:, 20:] = picture(50)[20:, 20:]
    answer = shelf.ask(ImageTerm(spoiled), rerank=("patches",), candidates=60, k=60)
    assert numbers_of(answer)[0] == 30
    assert len(numbers_of(answer)) == 60, "unreadable images keep their place"
    reads = len(shelf.reads)
    assert reads == 60
    again = shelf.ask(ImageTerm(spoiled), rerank=("patches",), candidates=60, k=60)
    assert numbers_of(again) == numbers_of(answer)
    assert shelf.reads[reads:] == ["/7"], "the others' patches are kept"
    by_id = shelf.ask(IdTerm(shelf.ids[30]), rerank=("patches",))
    assert by_id.rerank == ("patches",)
    with pytest.raises(QueryError, match="needs an image as the query"):
        shelf.ask(VectorTerm(LIGHT.embed([picture(1)])[0]), rerank=("patches",))
